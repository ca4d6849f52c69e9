"""Generates a client from the OpenAPI document and uses it on the real program. Called by .ci/snippets:

    python .ci/generated-client.py

openapi-python-client and annals-local are on the PATH. The only warnings that the generator may give are that it does not send NDJSON.
"""

import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from snippets import Failure, Program, expect, same

DOCUMENT = Path("functions/api/openapi.json").resolve()
EXPECTED_WARNING = "Unsupported content type application/x-ndjson"
EVENT = {
    "action": "UPDATE",
    "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
    "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER", "email": "ada@example.com"},
}


def generate(folder):
    command = ["openapi-python-client", "generate", "--path", DOCUMENT, "--output-path", folder / "annals", "--meta", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"openapi-python-client: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = (done.stdout + done.stderr).splitlines()
    warnings = [line for line in lines if line.startswith("WARNING parsing")]
    reasons = [line for line in lines if re.match("Unsupported|Cannot|Invalid|Could not|Unable", line)]
    same(reasons, [EXPECTED_WARNING] * 2, "what the generator cannot do")
    same(len(warnings), 2, "warnings")


def use(program):
    module = importlib.import_module
    models, client = module("annals.models"), module("annals.client")
    info, tokens = program.info, program.info["tokens"]

    def as_role(role):
        return client.AuthenticatedClient(base_url=info["api"], token=tokens[role], raise_on_unexpected_status=True)

    posted = []
    for permission in (None, "ALL_PERMISSIONS", {"permissions": [{"id": "p", "friendlyId": "read"}]}):
        event = EVENT if permission is None else EVENT | {"permission": permission}
        body = models.EventInput.from_dict(event)
        same(body.to_dict(), event, "the event as the client sends it")
        receipts = module("annals.api.events.record_events").sync(client=as_role("producer"), body=body)
        posted.append(receipts.events[0].sequence)

    page = module("annals.api.audit_log.list_audit").sync(client=as_role("auditor"), page_size=100)
    read = {event.sequence: event for event in page.events}
    expect(set(posted) <= set(read), f"recorded {posted}, read {sorted(read)}")
    same(read[posted[2]].permission.to_dict(), {"permissions": [{"id": "p", "friendlyId": "read"}]}, "the permission read")
    alone = module("annals.api.audit_log.get_audit_event").sync(read[posted[0]].uuid, client=as_role("auditor"))
    same(alone.sequence, posted[0], "the event alone")

    destination = models.DestinationInput.from_dict({"bucket": info["bucket"], "roleArn": info["roleArn"]})
    created = module("annals.api.destinations.create_destination").sync(
        info["organisation"], client=as_role("admin"), body=destination
    )
    same(created.bucket, info["bucket"], "the destination")

    refused = module("annals.api.audit_log.list_audit").sync_detailed(client=as_role("auditor"), page_size=0)
    same((refused.status_code, refused.parsed.code), (400, "invalid_input"), "a refusal")


def main():
    with tempfile.TemporaryDirectory(prefix="annals-client-") as scratch:
        folder = Path(scratch)
        generate(folder)
        sys.path.insert(0, str(folder))
        program = Program(folder)
        try:
            use(program)
        finally:
            program.stop()
    print("generated client: passed, it records, reads and creates a destination")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"generated client: {failure}")
