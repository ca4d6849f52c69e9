"""Lints the OpenAPI document, generates clients from it, and uses them on the real program. Called by .ci/generators:

    python .ci/generators.py PACKAGES

PACKAGES is the folder in which npm installed what .ci/generators-npm names. openapi-python-client, node and annals-local are on the
PATH. The only warnings that a generator or a linter may give are that openapi-python-client does not send NDJSON.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from snippets import Failure, Program, environment, expect, run, same

DOCUMENT = Path("functions/api/openapi.json").resolve()
SOURCES = Path(".ci/generators-npm").resolve()
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


def lint(packages, folder):
    """redocly and spectral find nothing. SOURCES has what they do not look for, with reasons."""
    for name in ("redocly.yaml", ".spectral.yaml"):
        shutil.copy(SOURCES / name, folder)
    shutil.copy(DOCUMENT, folder)
    quiet = {**environment(""), "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    linted = run([packages / "redocly", "lint", "openapi.json", "--format", "json"], folder, quiet, status=None)
    problems = json.loads(linted.stdout)["problems"]
    same([(problem["ruleId"], problem["message"]) for problem in problems], [], "what redocly finds")
    linted = run([packages / "spectral", "lint", "openapi.json", "--format", "json", "--quiet"], folder, quiet, status=None)
    expect(linted.stdout, f"spectral: {linted.stderr[-2000:]}")
    problems = json.loads(linted.stdout)
    same([(problem["code"], problem["path"]) for problem in problems], [], "what spectral finds")


def use_typescript(packages, folder, program):
    """The programs in SOURCES compile against the clients as they were generated, and work."""
    quiet = environment("")
    run([packages / "openapi-ts", "--file", "openapi-ts.config.mjs"], folder, quiet)
    run([packages / "openapi-typescript", "openapi.json", "--output", "openapi-typescript.ts"], folder, quiet)
    run([packages / "tsc", "--project", "."], folder, quiet)
    info, tokens = program.info, program.info["tokens"]
    scene = {"ORGANISATION": info["organisation"], "BUCKET": info["bucket"], "ROLE": info["roleArn"]}
    scene |= {role.upper(): token for role, token in tokens.items()}
    for name in ("use-hey-api.js", "use-openapi-fetch.js"):
        run(["node", folder / "built" / name], folder, environment(program.api, **scene))


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
    deleted = module("annals.api.destinations.delete_destination").sync_detailed(
        info["organisation"], created.id, client=as_role("admin")
    )
    same(deleted.status_code, 204, "the status of the deletion")

    refused = module("annals.api.audit_log.list_audit").sync_detailed(client=as_role("auditor"), page_size=0)
    same((refused.status_code, refused.parsed.code), (400, "invalid_input"), "a refusal")


def main(packages):
    with tempfile.TemporaryDirectory(prefix="annals-client-") as scratch:
        folder, typescript = Path(scratch), Path(scratch, "typescript")
        typescript.mkdir()
        for source in [*SOURCES.glob("*.ts"), *SOURCES.glob("*.mjs"), SOURCES / "tsconfig.json", SOURCES / "package.json", DOCUMENT]:
            shutil.copy(source, typescript)
        (typescript / "node_modules").symlink_to(packages / "node_modules")
        commands = packages / "node_modules/.bin"
        lint(commands, folder)
        generate(folder)
        sys.path.insert(0, str(folder))
        program = Program(folder)
        try:
            use(program)
            use_typescript(commands, typescript, program)
        finally:
            program.stop()
    print("generators: passed, the clients of openapi-python-client, openapi-ts and openapi-typescript record, read and create a destination")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve())
    except Failure as failure:
        sys.exit(f"generators: {failure}")
