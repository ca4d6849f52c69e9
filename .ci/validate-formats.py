"""Validates the documents that the formats test exports. Called by .ci/validate-formats:

    python .ci/validate-formats.py CLOUDEVENTS_PACKAGE FOLDER
"""

import base64
import collections
import copy
import csv
import hashlib
import io
import json
import re
import sys
import tarfile
from pathlib import Path

try:
    from cloudevents.core.formats.json import JSONFormat
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from jsonschema import Draft7Validator, Draft202012Validator
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
except ImportError as error:
    print(f"NOT RUN: {error}", file=sys.stderr)
    sys.exit(77)

# Hash of the npm package that contains the JSON Schema.
CLOUDEVENTS_SHA512 = "bb2cc2f8fa4c3116b06e8b873bede6962b2bdd07c40ce6e6a36a4de284d317a7599dc660a48cdd6ac671d2d441148d5d32ca822d965732dcfc714baf62a1dd6f"
OCSF_VERSION = "1.8.0"
OCSF_CLASSES = {3001, 3002, 3004, 3005, 3006, 6003}
# The attributes that name a number (OCSF, "Sibling attributes"), in an event and in its objects.
SIBLINGS = {
    "category_uid": "category_name",
    "class_uid": "class_name",
    "activity_id": "activity_name",
    "type_uid": "type_name",
    "severity_id": "severity",
    "status_id": "status",
    "type_id": "type",
    "role_id": "role",
    "algorithm_id": "algorithm",
    "auth_protocol_id": "auth_protocol",
    "account_switch_type_id": "account_switch_type",
}
OTHER = 99  # its sibling has the source's own name
JSON_COLUMNS = {"permission", "before", "after", "context", "payload", "metadata"}
OF_A_THING = re.compile("(organisation|entity|principal|parentEntity|subject)(Id|Name|Type|Email)")
MEMBERS = {"Id": "id", "Name": "name", "Type": "entityType", "Email": "email"}
FORMULA = tuple("=+-@＝＋－＠﹦﹢﹣﹫")


class Report:
    """Counts faults and prints the first 20."""

    def __init__(self):
        self.faults = 0

    def fault(self, where, what):
        self.faults += 1
        if self.faults <= 20:
            print(f"{where}: {what}", file=sys.stderr)

    def expect(self, holds, where, what):
        if not holds:
            self.fault(where, what)


def errors(validator, event):
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(event)]


def without(event, path):
    """The event without the member at `path`."""
    event = copy.deepcopy(event)
    parent = event
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return event


def changed(event, path, value):
    """The event with `value` at `path`."""
    event = copy.deepcopy(event)
    parent = event
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return event


def must_fail(report, name, is_valid, mutants):
    """Checks that the validation rejects every mutant."""
    count = 0
    for what, mutant in mutants:
        count += 1
        report.expect(not is_valid(mutant), name, f"accepted, although {what}")
    report.expect(count > 0, name, "there are no mutants")
    return count


def ocsf_mutants(event, schema, root):
    """Mutants of the event, at each of its attributes: required ones are missing, types and numbers are wrong."""

    def walk(value, schema, path):
        while "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, schema["items"], [*path, index])
            yield f"{path} is not an array", changed(event, path, 7)
        elif isinstance(value, dict) and schema.get("properties"):
            for key in schema.get("required", []):
                yield f"{[*path, key]} is missing", without(event, [*path, key])
            if "anyOf" in schema:
                present = [key for [key] in (one["required"] for one in schema["anyOf"]) if key in value]
                mutant = event
                for key in present:
                    mutant = without(mutant, [*path, key])
                yield f"{path} has none of the attributes of which it must have one", mutant
            yield f"{path} has an unknown attribute", changed(event, [*path, "colour"], "red")
            for key, member in value.items():
                yield from walk(member, schema["properties"][key], [*path, key])
        elif schema.get("type") in ("string", "integer"):
            wrong = 7 if schema["type"] == "string" else "7"
            yield f"{path} has a wrong type", changed(event, path, wrong)
            if "enum" in schema or "const" in schema:
                yield f"{path} is not in its enumeration", changed(event, path, 77)

    yield from walk(event, schema, [])


def attributes(event):
    """The number of attributes of the event and its objects."""
    if isinstance(event, list):
        return sum(map(attributes, event))
    if isinstance(event, dict):
        return sum(1 + attributes(value) for key, value in event.items() if key not in ("data", "unmapped"))
    return 0


def siblings(event, published):
    """Each number that has a name: its path, the number, its sibling, and the published name."""

    def walk(value, attributes, path):
        for key, member in value.items():
            attribute = attributes.get(key, {})
            enumeration = attribute.get("enum", {})
            if key in SIBLINGS and str(member) in enumeration and member != OTHER:
                yield f"{path}{key}", member, value.get(SIBLINGS[key]), enumeration[str(member)]["caption"]
            if attribute.get("type") == "object_t":
                inner = published["objects"][attribute["object_type"]]["attributes"]
                for item in member if isinstance(member, list) else [member]:
                    yield from walk(item, inner, f"{path}{key}.")

    name = next(name for name, one in published["classes"].items() if one["uid"] == event["class_uid"])
    yield from walk(event, published["classes"][name]["attributes"], "")


def check_ocsf_slim(report, lines, documents):
    """Each slim event is valid, has what the full one has except for texts, and is about as large as its line."""
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(OCSF_VERSION))
    validators = {}
    for number, (line, document) in enumerate(zip(lines, documents, strict=True), 1):
        event = json.loads(document)
        uid = event["class_uid"]
        if uid not in validators:
            validators[uid] = Draft202012Validator(schemas.get_class_schema(schemas.lookup_class_name_from_uid(uid)))
        for error in errors(validators[uid], event):
            report.fault(f"ocsf-slim.ndjson:{number}", error)
        digest = hashlib.sha256(line.encode()).hexdigest()
        report.expect(event["raw_data_hash"]["value"] == digest, f"ocsf-slim.ndjson:{number}", "has another hash")
    ratio = sum(map(len, documents)) / sum(map(len, lines))
    print(f"OCSF, slim: {len(documents)} events, {ratio:.2f} times the lines")


def check_ocsf(report, lines, documents):
    published = get_ocsf_schema(OCSF_VERSION)
    schemas = OcsfJsonSchemaEmbedded(published)
    validators, samples = {}, {}
    counts = collections.Counter()
    for number, (line, document) in enumerate(zip(lines, documents, strict=True), 1):
        where = f"ocsf.ndjson:{number}"
        event = json.loads(document)
        uid, activity = event["class_uid"], event["activity_id"]
        if uid not in validators:
            schema = schemas.get_class_schema(schemas.lookup_class_name_from_uid(uid))
            Draft202012Validator.check_schema(schema)
            validators[uid] = Draft202012Validator(schema)
        counts[event["type_name"]] += 1
        for error in errors(validators[uid], event):
            report.fault(where, error)
        # The mutants of each class are made from its event with the most attributes.
        if attributes(event) > attributes(samples.get(uid, {})):
            samples[uid] = event
        # Rules that the specification states only in prose.
        report.expect(event["metadata"]["version"] == OCSF_VERSION, where, "has another version")
        report.expect(event["type_uid"] == uid * 100 + activity, where, "type_uid is not class_uid * 100 + activity_id")
        for path, number, name, expected in siblings(event, published):
            report.expect(name == expected, where, f"the sibling of {path} {number} is {name!r} instead of {expected!r}")
        raw = event["raw_data"]
        report.expect(raw == line, where, "raw_data is not the line")
        digest = hashlib.sha256(raw.encode()).hexdigest()
        report.expect(event["raw_data_hash"]["value"] == digest, where, "raw_data_hash is not its hash")
        report.expect(event["raw_data_size"] == len(raw.encode()), where, "raw_data_size is not its size")

    report.expect(set(validators) == OCSF_CLASSES, "ocsf.ndjson", f"has the classes {sorted(validators)}")
    broken = 0
    for uid, event in samples.items():
        validator = validators[uid]
        mutants = ocsf_mutants(event, validator.schema, validator.schema)
        broken += must_fail(report, f"OCSF {uid}", lambda mutant: not errors(validator, mutant), mutants)
    for name, count in sorted(counts.items()):
        print(f"  {count:6} {name}")
    print(f"OCSF {OCSF_VERSION}: {len(documents)} events of {len(validators)} classes; {broken} mutants rejected")


def cloudevents_schema(package):
    """The JSON Schema of the specification, from the SDK for JavaScript."""
    content = Path(package).read_bytes()
    if hashlib.sha512(content).hexdigest() != CLOUDEVENTS_SHA512:
        sys.exit(f"{package} is not the expected package")
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/dist/schema/v1.js").read().decode()
    schema = json.loads(re.search(r"^const schema\d+ = (\{.*\});$", script, re.MULTILINE).group(1))
    if schema["description"] != "CloudEvents Specification JSON Schema":
        sys.exit(f"{package} contains another schema")
    return schema


def check_cloudevents(report, lines, documents, package):
    schema = cloudevents_schema(package)
    Draft7Validator.check_schema(schema)
    checker = Draft7Validator.FORMAT_CHECKER
    for name in ("uri-reference", "date-time"):
        report.expect(name in checker.checkers, "CloudEvents", f"the format {name} is not checked")
    validator = Draft7Validator(schema, format_checker=checker)

    def faults(event):
        found = errors(validator, event)
        if not found:
            try:
                JSONFormat().read(None, json.dumps(event))
            except Exception as error:
                found.append(str(error))
        return found

    ids, sequences = set(), []
    for number, (line, document) in enumerate(zip(lines, documents, strict=True), 1):
        where = f"cloudevents.ndjson:{number}"
        event = json.loads(document)
        for fault in faults(event):
            report.fault(where, fault)
        for key, value in event.items():
            if key != "data":
                forbidden = isinstance(value, str) and re.search("[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]", value)
                report.expect(not forbidden, where, f"{key} has a forbidden character")
        report.expect(document.endswith(f',"data":{line}}}'), where, "data is not the line")
        ids.add((event["source"], event["id"]))
        sequences.append(event["sequence"])
    report.expect(len(ids) == len(documents), "cloudevents.ndjson", "the pairs of source and id are not unique")
    report.expect(sequences == sorted(set(sequences)), "cloudevents.ndjson", "sequences do not sort as strings")

    event = json.loads(documents[0])
    mutants = [(f"{key} is missing", without(event, [key])) for key in ("id", "source", "specversion", "type")]
    mutants += [(f"{key} is a number", changed(event, [key], 7)) for key in event if key in schema["properties"] and key != "data"]
    mutants += [(f"{key} is empty", changed(event, [key], "")) for key in ("id", "source", "type", "subject", "time")]
    mutants += [
        ("time is not a date and time", changed(event, ["time"], "2026-11-22 10:00")),
        ("source is not a URI reference", changed(event, ["source"], "/a b")),
        ("specversion is unknown", changed(event, ["specversion"], "2.0")),
        ("an attribute's name has upper-case letters", changed(event, ["recordedTime"], "x")),
    ]
    broken = must_fail(report, "CloudEvents", lambda mutant: not faults(mutant), mutants)
    print(f"CloudEvents 1.0: {len(documents)} events; {broken} mutants rejected")


def formulas(text, separator):
    """The cells that start like a formula, except negative numbers."""
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
        for cell in row:
            begins = cell.lstrip(" \t\r\n\"\ufeff").startswith(FORMULA)
            if begins and not re.fullmatch(r"-\d+(\.\d+)?", cell):
                yield cell


def check_csv(report, lines, path):
    with path.open(encoding="utf-8", newline="") as document:
        rows = list(csv.DictReader(document, strict=True))
    report.expect(len(rows) == len(lines), "events.csv", f"has {len(rows)} records for {len(lines)} lines")
    for number, (line, row) in enumerate(zip(lines, rows), 1):
        event = json.loads(line)
        for column, cell in row.items():
            where = f"events.csv, record {number}, {column}"
            if column == "hash":
                expected = hashlib.sha256(line.encode()).hexdigest()
            elif column in ("ipAddress", "userAgent", "requestId"):
                expected = event.get("context", {}).get(column)
                expected = expected if isinstance(expected, str) else ""
            elif match := OF_A_THING.fullmatch(column):
                expected = event.get(match[1], {}).get(MEMBERS[match[2]], "")
            elif column in JSON_COLUMNS:
                expected = event.get(column, "")
                cell = json.loads(cell) if cell else ""
                report.expect(cell == expected, where, "has another value")
                continue
            else:
                expected = str(event.get(column, ""))
            # Escaping only adds apostrophes.
            report.expect(cell.replace("'", "") == expected.replace("'", ""), where, f"is {cell!r} for {expected!r}")
    # Spreadsheets use different separators.
    text = path.read_bytes().decode()
    for separator in ",;\t":
        for cell in formulas(text, separator):
            report.fault("events.csv", f"a cell is a formula: {cell!r}")
        report.expect(any(formulas(text.replace("'", ""), separator)), "CSV", "accepted, although nothing is escaped")
    print(f"CSV: {len(rows)} records")


def is_signed(note, verifier_key):
    """Whether the key has signed the note, by the text of c2sp.org/signed-note alone."""
    name, key_id, encoded = verifier_key.split("+", 2)
    key = base64.b64decode(encoded, validate=True)
    if key[:1] != b"\x01" or hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_id:
        return False
    text, signatures = note.rsplit(b"\n\n", 1)
    for line in signatures.decode().removesuffix("\n").split("\n"):
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "—" and signer == name and signature[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text + b"\n")
                return True
            except InvalidSignature:
                pass
    return False


def check_checkpoints(report, folder):
    verifier_key = folder.joinpath("verifier-key").read_text()
    notes = sorted(folder.glob("*.checkpoint"))
    report.expect(notes, "checkpoints", "there are none")
    for path in notes:
        note = path.read_bytes()
        report.expect(is_signed(note, verifier_key), path.name, "has no valid signature")
        origin, sequence, line_hash = note.decode().split("\n")[:3]
        report.expect(origin.rsplit("/", 1)[0] == verifier_key.split("+")[0], path.name, "does not begin with the signer")
        report.expect(int(sequence) >= 0 and len(base64.b64decode(line_hash)) == 32, path.name, "is not a tlog-checkpoint")
        for place in range(0, note.rindex(b"\n\n"), 7):
            changed = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
            report.expect(not is_signed(changed, verifier_key), path.name, f"is signed, although byte {place} was changed")
    print(f"checkpoints: {len(notes)} signed notes")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    package, folder = sys.argv[1], Path(sys.argv[2])

    def read(name):
        # Not splitlines, because lines may contain U+2028.
        return folder.joinpath(name).read_bytes().decode().removesuffix("\n").split("\n")

    report = Report()
    lines = read("lines.ndjson")
    report.expect(len(lines) >= 1000, "lines.ndjson", f"has only {len(lines)} lines")
    check_ocsf(report, lines, read("ocsf.ndjson"))
    check_ocsf_slim(report, lines, read("ocsf-slim.ndjson"))
    check_cloudevents(report, lines, read("cloudevents.ndjson"), package)
    check_csv(report, lines, folder / "events.csv")
    check_checkpoints(report, folder)
    if report.faults:
        sys.exit(f"{report.faults} faults")


if __name__ == "__main__":
    main()
