"""Runs the statements of infra/docs/querying.md over objects that the program delivers. Called by .ci/snippets:

    python .ci/querying.py

annals-local is on the PATH; duckdb is installed. Athena is not at hand: its view is run by DuckDB, to which macros give the
functions of Athena that it uses, and its table by reading lines.
"""

import gzip
import hashlib
import itertools
import json
import re
import sys
import tempfile
from pathlib import Path

import duckdb

from snippets import Failure, Program, expect, same

DOCUMENT = Path("infra/docs/querying.md")
DAYS = "s3://BUCKET/PREFIX/dt=*/hour=*/*.json*"
LIKE_ATHENA = """
CREATE MACRO json_extract_scalar(document, path) AS json_extract_string(document, path);
CREATE MACRO json_format(value) AS CAST(value AS VARCHAR);
CREATE MACRO from_iso8601_timestamp(text) AS CAST(text AS TIMESTAMPTZ);
"""


def event(**members):
    entity = {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"}
    principal = {"id": "42", "name": "Ada", "entityType": "USER"}
    return {"action": "UPDATE", "entity": entity, "principal": principal, **members}


def poison():
    """Events that break readers which guess types, as JSON texts."""
    permission = {"permissions": [{"id": "p", "friendlyId": "read"}]}
    events = [
        event(before={"Content-Type": "a", "content-type": "b"}),
        event(permission="ALL_PERMISSIONS"),
        event(permission=permission),
        event(payload={"": 1}),
        event(payload={"a.b": 1, "a": {"b": 2}}),
        event(after={"m": {"x": 1}}),
        event(after={"m": "text"}),
        event(payload={"text": "\u2028\x01\x00|,;\t\r\n'\""}),
        event(type="user.login", payload={"outcome": "FAILURE"}),
        event(type="user.login", outcome="DENIED", context={"ipAddress": "192.0.2.7"}),
        event(principal={"id": "1", "entityType": "USER", "ID": [1], "Name": {"a": 1, "A": 2}}),
    ]
    texts = [json.dumps(one) for one in events]
    for number in ("12345678901234567890", "123456789012345678901234567890", "1.50"):
        texts.append(json.dumps(event(payload={"n": 0})).replace('"n": 0', f'"n": {number}'))
    return texts


def statements():
    return dict(re.findall(r"^```sql (\S+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))


def check_duckdb(found, files, delivered, layout):
    """The view has every event with every value."""
    glob = f"{files}/dt=*/hour=*/*.json*" if layout == "hive" else f"{files}/[0-9]*/*/*.json*"
    view = found["duckdb.sql"].replace(DAYS, glob)
    expect(view != found["duckdb.sql"], "duckdb.sql reads other files")
    if layout != "hive":
        view = view.replace("hive_partitioning = true", "hive_partitioning = false")
    database = duckdb.connect()
    database.execute(view)
    columns = ["sequence", "action", "type", "outcome", "permission", "before", "after", "context", "payload", "metadata"]
    rows = database.execute(f"SELECT {', '.join(columns)} FROM events ORDER BY sequence").fetchall()
    same(len(rows), len(delivered), f"{layout}: the number of events")
    for row, line in zip(rows, delivered):
        original = json.loads(line)
        for column, value in zip(columns, row):
            if column in ("permission", "before", "after", "context", "payload", "metadata") and value is not None:
                value = json.loads(value)
            same(value, original.get(column), f"{layout}: {column} of event {original['sequence']}")
    digits = database.execute("SELECT payload->>'n' FROM events WHERE payload->>'n' IS NOT NULL ORDER BY sequence").fetchall()
    same([value for [value] in digits][:2], ["12345678901234567890", "123456789012345678901234567890"], "the digits")
    same(len(database.execute(found["failed-sign-ins.sql"]).fetchall()), 2, "failed sign-ins")
    [[events, expected]] = database.execute(found["complete.sql"]).fetchall()
    same(events, expected, "the events of complete.sql")


def check_athena(found, files, delivered):
    """The table's folders are the delivered ones, and the view has every event with every value."""
    table, view = found["athena-table.sql"], found["athena-view.sql"]
    template = re.search(r"'storage.location.template' = 's3://BUCKET/PREFIX/(.*)/'", table)[1]
    folder = template.replace("${dt}", r"\d{4}-\d\d-\d\d").replace("${hour}", r"\d\d")
    for path in files.rglob("*.json*"):
        if "annals-checkpoints" not in path.parts:
            expect(re.fullmatch(folder, str(path.parent.relative_to(files))), f"{path} is in no partition")
    expect(all("\x01" not in line for line in delivered), "a line has the table's separator")
    database = duckdb.connect()
    database.execute(LIKE_ATHENA)
    database.execute("CREATE TABLE annals_lines (line VARCHAR, dt VARCHAR, hour VARCHAR)")
    database.executemany("INSERT INTO annals_lines VALUES (?, '2026-11-22', '10')", [[line] for line in delivered])
    database.execute(view)
    rows = database.execute("SELECT sequence, principal_id, payload, permission FROM annals_events ORDER BY sequence").fetchall()
    for (sequence, principal, payload, permission), line in zip(rows, delivered, strict=True):
        original = json.loads(line)
        same((sequence, principal), (original["sequence"], original["principal"]["id"]), "a row of the view")
        for name, value in (("payload", payload), ("permission", permission)):
            same(None if value is None else json.loads(value), original.get(name), f"{name} of {sequence}")


def check_flat(found, files, delivered):
    """Flat objects have every event with every value in the columns of both tables, and readers that guess types read them."""
    view = found["duckdb-flat.sql"].replace(DAYS, f"{files}/dt=*/hour=*/*.json*")
    expect(view != found["duckdb-flat.sql"], "duckdb-flat.sql reads other files")
    database = duckdb.connect()
    database.execute(view)
    columns = {"outcome": "outcome", "action": "action", "recorded_by": "recordedBy", "previous_hash": "previousHash"}
    documents = {"parent_entity": "parentEntity"} | {name: name for name in ("entity", "principal", "permission", "before", "after", "context", "payload")}
    names = list(columns | documents)
    rows = database.execute(f"SELECT {', '.join(names)}, principal_id, hash, line FROM events ORDER BY sequence").fetchall()
    for row, text in zip(rows, delivered, strict=True):
        original = json.loads(text)
        for name, value in zip(names, row):
            member = (columns | documents)[name]
            value = json.loads(value) if name in documents and value is not None else value
            same(value, original.get(member), f"{name} of the flat event {original['sequence']}")
        same(row[-3], original["principal"]["id"], "principal_id")
        same(row[-2], hashlib.sha256(text.encode()).hexdigest(), "hash")
        same(row[-1], None, "the column line")
    same(len(database.execute(found["flat-failed-sign-ins.sql"]).fetchall()), 1, "failed sign-ins in flat objects")
    digits = database.execute("SELECT payload->>'n' FROM events WHERE payload->>'n' IS NOT NULL ORDER BY sequence").fetchall()
    same([value for [value] in digits][:2], ["12345678901234567890", "123456789012345678901234567890"], "the digits")
    [[guessed]] = database.execute(f"SELECT count(*) FROM read_json_auto('{files}/dt=*/hour=*/*.json*')").fetchall()
    same(guessed, len(delivered), "the events of DuckDB's own guess")
    table = re.findall(r"^  `(\w+)` (\w+)", found["athena-flat.sql"], re.MULTILINE)
    kinds = {"bigint": int, "string": str}
    for text in delivered_lines(files):
        row = json.loads(text)
        same(list(row), [name for name, _ in table], "the columns of athena-flat.sql")
        expect(all(row[name] is None or type(row[name]) is kinds[kind] for name, kind in table), f"a column has another type: {text}")


def check_partitions(files):
    """Each event is in the partition of the hour in which it was recorded."""
    for path in files.rglob("*.json*"):
        if "annals-checkpoints" not in path.parts:
            for row in map(json.loads, delivered_lines(path.parent)):
                at = row["recorded_at"]
                same(str(path.parent.relative_to(files)), f"dt={at[:10]}/hour={at[11:13]}", f"the partition of event {row['sequence']}")


def check_setup(program, destination, data, delivered, what):
    """The statements of a destination's setup read all of its events."""
    path = f"/organisations/{program.info['organisation']}/destinations/{destination['id']}/setup"
    found = program.ok("GET", path, program.info["tokens"]["admin"])["query"]["statements"]
    database = duckdb.connect()
    view = found["duckdb.sql"].replace("s3://", f"{data}/s3/")
    database.execute(view)
    sequence = {"ocsf": "metadata->>'sequence'"}.get(destination["format"], "sequence")
    rows = database.execute(f"SELECT CAST({sequence} AS BIGINT) AS number FROM events ORDER BY number").fetchall()
    same([number for [number] in rows], [json.loads(line)["sequence"] for line in delivered], f"{what}: the events of duckdb.sql")
    prefix = f"s3://{destination['bucket']}/{destination['prefix']}"
    expect(f"LOCATION '{prefix}'" in found["athena-table.sql"], f"{what}: the location")
    if destination["shape"] == "flat":
        same(sorted(found), ["athena-table.sql", "duckdb.sql"], f"{what}: statements")
        return
    files = data / "s3" / destination["bucket"] / destination["prefix"]
    events = list(delivered_lines(files))
    database.execute(LIKE_ATHENA)
    database.execute("CREATE TABLE annals_lines (line VARCHAR, dt VARCHAR, hour VARCHAR)")
    database.executemany("INSERT INTO annals_lines VALUES (?, '2026-11-22', '10')", [[event] for event in events])
    database.execute(found["athena-view.sql"])
    same(len(database.execute("SELECT * FROM annals_events").fetchall()), len(events), f"{what}: the events of athena-view.sql")


def native_lines(program, files):
    """The lines of the log that were delivered, which are its first ones."""
    lines = program.ok("GET", "/audit?pageSize=1000", program.info["tokens"]["auditor"], headers={"Accept": "application/x-ndjson"})
    return lines.removesuffix("\n").split("\n")[: len(list(delivered_lines(files)))]


def check_shapes(found, layout, compression):
    """Objects of every format and shape."""
    with tempfile.TemporaryDirectory(prefix="annals-querying-") as scratch:
        program = Program(Path(scratch))
        try:
            info, tokens = program.info, program.info["tokens"]
            path = f"/organisations/{info['organisation']}/destinations"
            for text in poison():
                program.ok("POST", "/events", tokens["producer"], text)
            for form, shape in itertools.product(("native", "ocsf", "cloudevents"), ("native", "flat")):
                what = f"{layout} {form} {shape}"
                destination = {
                    "bucket": info["bucket"], "roleArn": info["roleArn"], "prefix": f"{form}/{shape}",
                    "layout": layout, "compression": compression, "format": form, "shape": shape,
                }
                destination = program.ok("POST", path, tokens["admin"], json.dumps(destination))
                program.ok("POST", "/_local/tick")
                files = program.data / "s3" / info["bucket"] / destination["prefix"]
                delivered = native_lines(program, files)
                expect(len(delivered) > len(poison()), f"{what}: the events were not delivered")
                check_setup(program, destination, program.data, delivered, what)
                if (layout, destination["format"], destination["shape"]) == ("hive-recorded", "native", "flat"):
                    check_flat(found, files, delivered)
                    check_partitions(files)
                program.ok("DELETE", f"{path}/{destination['id']}", tokens["admin"])
        finally:
            program.stop()


def main():
    found = statements()
    blocks = ["duckdb.sql", "failed-sign-ins.sql", "complete.sql", "athena-table.sql", "athena-view.sql"]
    blocks += ["duckdb-flat.sql", "athena-flat.sql", "flat-failed-sign-ins.sql"]
    same(sorted(found), sorted(blocks), "blocks")
    for layout, compression in [("hive-recorded", "gzip"), ("wiremock", "none")]:
        check_shapes(found, layout, compression)
    combinations = [("hive", "none"), ("hive", "gzip"), ("wiremock", "none"), ("wiremock", "gzip")]
    for layout, compression in combinations:
        with tempfile.TemporaryDirectory(prefix="annals-querying-") as scratch:
            program = Program(Path(scratch))
            try:
                info = program.info
                tokens = info["tokens"]
                destination = {
                    "bucket": info["bucket"], "roleArn": info["roleArn"], "prefix": "audit", "layout": layout, "compression": compression,
                }
                path = f"/organisations/{info['organisation']}/destinations"
                program.ok("POST", path, tokens["admin"], json.dumps(destination))
                for text in poison():
                    program.ok("POST", "/events", tokens["producer"], text)
                program.ok("POST", "/_local/tick")
                lines = program.ok("GET", "/audit?pageSize=1000", tokens["auditor"], headers={"Accept": "application/x-ndjson"})
                delivered = lines.removesuffix("\n").split("\n")
                files = program.data / "s3" / info["bucket"] / "audit"
                # What was recorded after the delivery is not there.
                last = max(json.loads(line)["sequence"] for line in delivered_lines(files))
                delivered = [line for line in delivered if json.loads(line)["sequence"] <= last]
                expect(len(delivered) > len(poison()), "the events were not delivered")
                check_duckdb(found, files, delivered, layout)
                if layout == "hive":
                    check_athena(found, files, delivered)
            finally:
                program.stop()
    print(f"querying: passed, {len(found)} statements over {len(combinations)} kinds of objects with {len(poison())} unusual events")


def delivered_lines(files):
    for path in sorted(files.rglob("*.json*"), key=lambda path: path.name):
        if "annals-checkpoints" not in path.parts:
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            yield from data.decode().removesuffix("\n").split("\n")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"querying: {failure}")
