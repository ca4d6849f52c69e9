"""Moves an organisation from one program to another as infra/docs/moving.md says. Called by .ci/snippets:

    python .ci/moving.py

annals-local and annals-verify are on the PATH.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from snippets import Failure, Program, environment, expect, run, same

DOCUMENT = Path("infra/docs/moving.md")
EVENTS = 1500


def event(kind):
    entity = {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"}
    return {"action": "UPDATE", "type": kind, "entity": entity, "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER"}}


def move(old, new, folder):
    blocks = dict(re.findall(r"^```bash (\S+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
    same(sorted(blocks), ["archive.sh", "create.sh", "destination.sh", "link.sh"], "blocks")
    for name, text in blocks.items():
        (folder / name).write_text(text)
    platform = old.info["platformToken"]
    path = "/organisations/moving"
    old.ok("PUT", path, platform, json.dumps({"name": "Moving Ltd", "plan": "enterprise", "retentionDays": 30}))
    tokens = [("backend", "producer"), ("SIEM", "auditor"), ("admin", "admin")]
    for name, role in tokens:
        old.ok("POST", f"{path}/tokens", platform, json.dumps({"name": name, "role": role}))
    for _ in range(EVENTS // 500):
        old.ok("POST", f"{path}/events", platform, json.dumps([event("before")] * 500))

    where = environment(
        "", OLD=old.api, OLD_PLATFORM=platform, NEW=new.api, NEW_PLATFORM=new.info["platformToken"], ORGANISATION="moving",
        BUCKET=new.info["bucket"], ROLE=new.info["roleArn"], PREFIX="second",
    )
    run(["bash", "create.sh"], folder, where)
    created = json.loads((folder / "organisation.json").read_text())
    same((created["name"], created["plan"], created["retentionDays"]), ("Moving Ltd", "enterprise", 30), "the organisation")
    made = [json.loads(line) for line in (folder / "tokens.ndjson").read_text().splitlines() if line]
    same(sorted((token["name"], token["role"]) for token in made), sorted(tokens), "the tokens")
    run(["bash", "destination.sh"], folder, where)
    [producer] = [token["token"] for token in made if token["role"] == "producer"]
    new.ok("POST", "/events", producer, json.dumps(event("after")))

    proven = run(["bash", "archive.sh"], folder, where)
    expect("Proven" in proven or "proven" in proven, f"annals-verify does not prove the archive: {proven}")
    run(["bash", "link.sh"], folder, where)
    end = int((folder / "end.checkpoint").read_text().splitlines()[1])
    expect(end > EVENTS, f"the archive ends at {end}")
    [auditor] = [token["token"] for token in made if token["role"] == "auditor"]
    events = new.ok("GET", "/audit?pageSize=100", auditor)["events"]
    same([one["type"] for one in events if one["type"] in ("after", "log.continued")], ["after", "log.continued"], "the new log")
    same(events[-1]["payload"]["lastSequence"], end, "the end of the old log, in the new one")


def main():
    with tempfile.TemporaryDirectory(prefix="annals-moving-") as scratch:
        folders = [Path(scratch, name) for name in ("old", "new", "work")]
        for folder in folders:
            folder.mkdir()
        programs = []
        try:
            programs += [Program(folder) for folder in folders[:2]]
            move(*programs, folders[2])
        finally:
            for program in programs:
                program.stop()
    print("moving: passed")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"moving: {failure}")
