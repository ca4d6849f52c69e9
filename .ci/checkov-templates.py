"""Runs checkov over CloudFormation templates: python .ci/checkov-templates.py TEMPLATE…

A finding fails, and so does an exception that nothing needs any more. An exception stands in the template, at its resource, with its
reason: `# checkov:skip=CKV_AWS_1:reason`. Nothing is asked of the network: the command `checkov` would ask its makers' service
for texts.
"""

import re
import sys
from pathlib import Path

from checkov.cloudformation.runner import Runner
from checkov.runner_filter import RunnerFilter

EXCEPTION = re.compile(r"# checkov:skip=(?P<check>\w+):(?P<reason>.*)")
LEAST_REASON = 20


def faults(template):
    """What is wrong with a template, in lines."""
    report = Runner().run(root_folder=None, files=[template], runner_filter=RunnerFilter(framework=["cloudformation"]))
    yield from (f"{template}: not understood" for _ in report.parsing_errors)
    if not report.passed_checks:
        yield f"{template}: nothing was checked"
    for found in report.failed_checks:
        first, last = found.file_line_range
        yield f"{template}:{first}-{last}: {found.resource}: {found.check_id} {found.check_name}"
    skipped = {(found.check_id, found.file_line_range[0]) for found in report.skipped_checks}
    exceptions = list(EXCEPTION.finditer(Path(template).read_text(encoding="utf-8")))
    for exception in exceptions:
        if len(exception["reason"]) < LEAST_REASON:
            yield f"{template}: {exception[0]}: that is no reason"
    if len(skipped) != len(exceptions):
        used = ", ".join(f"{check} at line {line}" for check, line in sorted(skipped))
        yield f"{template}: {len(exceptions)} exceptions, of which {len(skipped)} are needed: {used}"


def main():
    found = [fault for template in sys.argv[1:] for fault in faults(template)]
    if found or not sys.argv[1:]:
        sys.exit("\n".join(found) or __doc__)
    print(f"checkov: no findings in {' '.join(sys.argv[1:])}")


if __name__ == "__main__":
    main()
