"""Runs the Sigma rules in infra/sigma over lines that the program wrote, and the drill for a leaked token. Called by .ci/siem:

    python .ci/detection.py

annals-local is on the PATH; pySigma with its backend for SQLite is installed. The drill is the bash block of infra/docs/security.md.
"""

import http.client
import json
import re
import sqlite3
import sys
import tempfile
import urllib.parse
from pathlib import Path

import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingPipeline
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from querying import delivered_lines, event
from snippets import Failure, Program, environment, expect, run, same

RULES = Path("infra/sigma")
DRILL = Path("infra/docs/security.md")
# They ask other servers for the names of techniques.
OFFLINE = [check for check in validators.values() if not re.search("attack|d3f", check.__name__.lower())]
READS_IN_BULK = 100


class Actor:
    """Somebody with a token, at an address of the loopback network."""

    def __init__(self, program, token, address="127.0.0.1"):
        self.program, self.token, self.address = program, token, address
        self.organisation = f"/organisations/{program.info['organisation']}"

    def call(self, method, path, body=None):
        netloc = urllib.parse.urlsplit(self.program.api).netloc
        connection = http.client.HTTPConnection(netloc, timeout=60, source_address=(self.address, 0))
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    def ok(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        expect(status in (200, 201, 204), f"{method} {path}: {status} {answer}")
        return answer

    def below(self, method, path, body=None):
        return self.ok(method, self.organisation + path, body)

    def token_of(self, name, role, **members):
        return self.below("POST", "/tokens", {"name": name, "role": role, **members})


def everything_happens(program):
    """Does what the rules look for, and what looks like it. Returns the platform."""
    info, tokens = program.info, program.info["tokens"]
    platform, admin = Actor(program, info["platformToken"]), Actor(program, tokens["admin"])
    ending = {"expiresAt": "2099-01-01T00:00:00Z"}
    renewed = platform.token_of("renewed", "admin", **ending)["id"]
    platform.below("POST", f"/tokens/{renewed}/rotate", ending)
    platform.token_of("endless", "auditor")
    platform.token_of("ending", "auditor", **ending)

    absent = {"bucket": info["bucket"], "roleArn": info["roleArn"] + "-absent"}
    refused = admin.below("POST", "/destinations", absent)["id"]
    admin.below("POST", f"/destinations/{refused}/test")
    admin.below("DELETE", f"/destinations/{refused}")
    destination = admin.below("POST", "/destinations", absent | {"roleArn": info["roleArn"]})["id"]
    admin.below("POST", f"/destinations/{destination}/test")
    admin.below("PATCH", f"/destinations/{destination}", {"compression": "gzip"})
    program.ok("POST", "/_local/tick")

    # Events that expire while nothing is delivered.
    admin.below("POST", f"/destinations/{destination}/pause")
    producer = Actor(program, tokens["producer"])
    first = producer.ok("POST", "/events", event())["events"][0]["sequence"]
    for sequence in range(1, first + 1):
        program.expire(info["organisation"], sequence)
    admin.below("POST", f"/destinations/{destination}/resume")
    program.ok("POST", "/_local/tick")

    for plan, days in (("free", 90), ("enterprise", 7), ("enterprise", 90)):
        platform.ok("PUT", platform.organisation, {"name": "Northwind Mills", "plan": plan, "retentionDays": days})
    link = platform.below("POST", "/portal-links", {"user": {"id": "42", "name": "Ada Bell"}, "role": "admin"})["url"]
    run(["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-L", "-d", "", link], None)

    for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
        Actor(program, tokens["auditor"], address).ok("GET", "/audit?pageSize=1")
    for _ in range(READS_IN_BULK):
        admin.ok("GET", "/audit?pageSize=1")
    admin.below("DELETE", f"/destinations/{destination}")

    # What a producer invents, so that it looks like all of these.
    for rule in RULES.glob("*.yml"):
        for kind in re.findall(r"^ +(?:- |type: )([a-z_]+\.[a-z_]+)$", rule.read_text(), re.MULTILINE):
            after = {"role": "admin", "expiresAt": None, "retentionDays": 1}
            producer.ok("POST", "/events", event(type=kind, after=after, payload={"outcome": "failed", "role": "admin"}))
    return platform


def flat(value, prefix=""):
    """The members of an object by their paths, as SIEMs name fields."""
    for name, member in value.items():
        if isinstance(member, dict):
            yield from flat(member, f"{prefix}{name}.")
        else:
            yield prefix + name, member if isinstance(member, (str, int, float, type(None))) else json.dumps(member)


def database(lines):
    rows = [dict(flat(line)) for line in lines]
    columns = sorted({name for row in rows for name in row})
    found = sqlite3.connect(":memory:")
    found.row_factory = sqlite3.Row
    found.execute(f"CREATE TABLE logs ({', '.join(f'`{name}`' for name in columns)})")
    marks = ", ".join("?" * len(columns))
    found.executemany(f"INSERT INTO logs VALUES ({marks})", [[row.get(name) for name in columns] for row in rows])
    return found


# What each rule must find: the lines for which this holds. Correlations are looked at one by one.
EXPECTED = {
    "admin_token": lambda line, after, payload: line["type"] in ("token.create", "token.rotate") and after.get("role") == "admin",
    "endless_token": lambda line, after, payload: line["type"] == "token.create" and after["expiresAt"] is None,
    "delivery_stopped": lambda line, after, payload: line["type"] in ("destination.pause", "destination.disable", "destination.delete"),
    "destination_redirected": lambda line, after, payload: line["type"] in ("destination.create", "destination.update"),
    "connection_test_failed": lambda line, after, payload: line["type"] == "destination.test" and payload["outcome"] == "failed",
    "events_lost": lambda line, after, payload: line["type"] == "destination.gap",
    "retention_shortened": lambda line, after, payload: after.get("retentionDays") == 7,
    "admin_sign_in": lambda line, after, payload: line["type"] == "console.sign_in",
    "log_read": lambda line, after, payload: line["type"] == "audit.read",
}


def check_rules(lines, tokens):
    rules = SigmaCollection.load_ruleset([RULES])
    issues = SigmaValidator(OFFLINE).validate_rules(rules.rules)
    same([str(issue) for issue in issues], [], "what pySigma finds wrong with the rules")
    own = [line for line in lines if line["recordedBy"] == "annals"]
    with database(lines) as logs:
        for path in sorted(RULES.glob("*.yml")):
            if path.stem in EXPECTED:
                [query] = sqliteBackend().convert(SigmaCollection.from_yaml(path.read_text()))
                found = {row["sequence"] for row in logs.execute(query)}
                matches = EXPECTED[path.stem]
                expected = {line["sequence"] for line in own if matches(line, line.get("after", {}), line.get("payload", {}))}
                expect(expected, f"{path.stem}: nothing happened that it looks for")
                same(sorted(found), sorted(expected), f"what {path.stem} finds")
        [query] = sqliteBackend().convert(SigmaCollection.from_yaml((RULES / "forged_event.yml").read_text()))
        forged = [row["recordedBy"] for row in logs.execute(query)]
        expect(len(forged) > 10 and set(forged) == {f"token/{tokens['producer']}"}, f"forged events: {forged}")

        for name, principal in (("read_from_many_addresses", "auditor"), ("read_in_bulk", "admin")):
            texts = [(RULES / f"{one}.yml").read_text() for one in ("log_read", name)]
            [query] = sqliteBackend().convert(SigmaCollection.from_yaml("---\n".join(texts)))
            groups = {json.loads(row["group_keys"])["principal.id"].lower() for row in logs.execute(query)}
            same(groups, {tokens[principal].lower()}, f"whom {name} finds")
    same(sorted([*EXPECTED, "forged_event", "read_from_many_addresses", "read_in_bulk"]), sorted(path.stem for path in RULES.glob("*.yml")), "rules")


def check_readme():
    """The table has every rule with its level, and the pipeline works."""
    readme = (RULES / "README.md").read_text()
    for path in RULES.glob("*.yml"):
        level = yaml.safe_load(path.read_text())["level"]
        expect(re.search(rf"^\|.*`{path.stem}`.* \| {level} \|", readme, re.MULTILINE), f"README.md does not have {path.stem} as {level}")
    [pipeline] = re.findall("^```yaml pipeline.yml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    backend = sqliteBackend(processing_pipeline=ProcessingPipeline.from_yaml(pipeline))
    [query] = backend.convert(SigmaCollection.from_yaml((RULES / "events_lost.yml").read_text()))
    expect("annals.recordedBy" in query and "annals.type" in query, f"the pipeline does not rename fields: {query}")


def drill(program, platform, folder):
    """Two tokens leak; the document's drill finds and ends everything about each."""
    [script] = re.findall("^```bash leaked-token.sh\n(.*?)^```$", DRILL.read_text(), re.MULTILINE | re.DOTALL)
    info = program.info
    leaked = {role: platform.token_of(f"leaked {role}", role) for role in ("admin", "producer")}
    admin, producer = (Actor(program, leaked[role]["token"], "127.0.0.5") for role in ("admin", "producer"))

    recorded = []
    for _ in range(2):
        recorded += [one["sequence"] for one in producer.ok("POST", "/events", [event(type="invented")] * 700)["events"]]
    Actor(program, info["tokens"]["producer"]).ok("POST", "/events", event())
    admin.ok("GET", "/audit?pageSize=1")
    destination = admin.below("POST", "/destinations", {"bucket": info["bucket"], "roleArn": info["roleArn"], "prefix": "stolen"})
    left = [admin.token_of("left", "auditor"), admin.token_of("left as well", "admin")]
    left.append(admin.below("POST", f"/tokens/{left[0]['id']}/rotate", {}))

    found = {}
    for role, token in leaked.items():
        place = folder / role
        place.mkdir()
        (place / "leaked-token.sh").write_text(script)
        who = environment(program.api, PLATFORM=info["platformToken"], ORGANISATION=info["organisation"], LEAKED=token["token"])
        run(["bash", "leaked-token.sh"], place, who)
        found[role] = {path.name: path.read_text() for path in place.iterdir()}

    def lines(role, name):
        return [json.loads(line) for line in found[role][name].splitlines()]

    same([line["sequence"] for line in lines("producer", "recorded.ndjson")], recorded, "what the leaked producer's token recorded")
    same(found["producer"]["left-behind.txt"], "", "what the producer's token left behind")
    same(found["admin"]["recorded.ndjson"], "", "events that the admin's token recorded")
    kinds = {line["type"] for line in lines("admin", "done.ndjson")}
    same(kinds, {"audit.read", "destination.create", "token.create", "token.rotate"}, "what the leaked admin token did")
    same({line["principal"]["id"] for line in lines("admin", "done.ndjson")}, {leaked["admin"]["id"]}, "who did it")
    expect("127.0.0.5" in found["admin"]["addresses.txt"], "the address of the thief is not shown")
    same([line["entity"]["id"] for line in lines("admin", "destinations.ndjson")], [destination["id"]], "destinations")
    ids = {one["id"] for one in left}
    same(set(found["admin"]["left-behind.txt"].split()), ids, "tokens that were left behind")
    ended = {line["entity"]["id"] for line in lines("admin", "ended.ndjson")}
    same(ended, ids | {leaked["admin"]["id"]}, "tokens that were ended")
    for token in [*left, *leaked.values()]:
        status, _ = Actor(program, token["token"]).call("GET", "/audit?pageSize=1")
        same(status, 401, f"the status for the ended token {token['name']}")


def main():
    with tempfile.TemporaryDirectory(prefix="annals-detection-") as scratch:
        program = Program(Path(scratch))
        try:
            platform = everything_happens(program)
            tokens = {role: text.split("_")[1] for role, text in program.info["tokens"].items()}
            auditor = program.info["tokens"]["auditor"]
            text = program.ok("GET", "/audit?pageSize=1000", auditor, headers={"Accept": "application/x-ndjson"})
            stored = {line for line in delivered_lines(program.data / "s3" / program.info["bucket"])}
            lines = {json.loads(line)["sequence"]: json.loads(line) for line in [*stored, *text.splitlines()]}
            check_rules([line for _, line in sorted(lines.items())], tokens)
            check_readme()
            drill(program, platform, Path(scratch))
        finally:
            program.stop()
    print(f"detection: passed, {len(EXPECTED) + 3} rules over {len(lines)} lines, and the drill")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"detection: {failure}")
