"""Runs checkov over CloudFormation templates: python .ci/checkov-templates.py TEMPLATE…

Fails on a finding and on an exception that is no longer needed. The template states exceptions, with reasons, at their resources:
`# checkov:skip=CKV_AWS_1:reason`. This uses checkov's library, because the command `checkov` makes network requests.
"""

import re
import sys
from pathlib import Path

from checkov.cloudformation.runner import Runner
from checkov.runner_filter import RunnerFilter

EXCEPTION = re.compile(r"# checkov:skip=(?P<check>\w+):(?P<reason>.*)")
REASON_MIN_CHARACTERS = 20


def faults(template):
    """Yields one line for each fault in a template."""
    report = Runner().run(root_folder=None, files=[template], runner_filter=RunnerFilter(framework=["cloudformation"]))
    yield from (f"{template}: checkov cannot parse it" for _ in report.parsing_errors)
    if not report.passed_checks:
        yield f"{template}: nothing was checked"
    for found in report.failed_checks:
        first, last = found.file_line_range
        yield f"{template}:{first}-{last}: {found.resource}: {found.check_id} {found.check_name}"
    skipped = {(found.check_id, found.file_line_range[0]) for found in report.skipped_checks}
    exceptions = list(EXCEPTION.finditer(Path(template).read_text(encoding="utf-8")))
    for exception in exceptions:
        if len(exception["reason"]) < REASON_MIN_CHARACTERS:
            yield f"{template}: {exception[0]}: the reason is too short"
    if len(skipped) != len(exceptions):
        used = ", ".join(f"{check} at line {line}" for check, line in sorted(skipped))
        yield f"{template}: {len(exceptions)} exceptions, but only {len(skipped)} are needed: {used}"


def main():
    found = [fault for template in sys.argv[1:] for fault in faults(template)]
    if found or not sys.argv[1:]:
        sys.exit("\n".join(found) or __doc__)
    print(f"checkov: no findings in {' '.join(sys.argv[1:])}")


if __name__ == "__main__":
    main()
