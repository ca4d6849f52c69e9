"""Compares the regions in shared/core/src/destination/partition.rs with those that the AWS SDKs know (partitions.json of botocore).

Regions that nobody outside a government can use are left out on purpose, and so are the pseudo regions of global services.
"""

import json
import re
import sys
from pathlib import Path

import botocore

LEFT_OUT = {"aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"}

source = Path("shared/core/src/destination/partition.rs").read_text(encoding="utf-8")
ours = {
    name: (suffix, set(re.findall(r'"([^"]+)"', regions)))
    for name, suffix, regions in re.findall(
        r'name: "([^"]+)",.*?dns_suffix: "([^"]+)",.*?regions: &\[(.*?)\]', source, re.DOTALL)
}
table = json.loads((Path(botocore.__file__).parent / "data/partitions.json").read_text(encoding="utf-8"))
theirs = {
    partition["id"]: (partition["outputs"]["dnsSuffix"],
                      {region for region in partition["regions"] if not region.endswith("-global")})
    for partition in table["partitions"] if partition["id"] not in LEFT_OUT
}
faults = [f"{name}: here {ours.get(name)}, in the SDK {theirs.get(name)}"
          for name in sorted(ours | theirs) if ours.get(name) != theirs.get(name)]
if faults:
    sys.exit("shared/core/src/destination/partition.rs differs from the SDK:\n" + "\n".join(faults))
print(f"regions: {sum(len(regions) for _, regions in ours.values())} in {len(ours)} partitions, as the SDK lists them")
