"""Runs the Python programs of infra/docs/querying.md over objects that the program delivers. Called by .ci/siem:

    python .ci/readers.py

annals-local is on the PATH; pandas and dlt are installed.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

import duckdb

from querying import DOCUMENT, delivered_lines, native_lines, poison
from snippets import Failure, Program, expect, run, same

ROUNDS = 2


def check_pandas(folder, objects, lines):
    shown = run([sys.executable, "-W", "error", "pandas_events.py", objects], folder)
    kinds = [json.loads(line)["type"] for line in lines]
    counts = re.findall(r"^(\S+) +(\d+)$", shown, re.MULTILINE)
    same(dict(counts), {kind: str(kinds.count(kind)) for kind in kinds}, "the types that pandas counts")
    same(len(re.findall("192.0.2.7", shown)), kinds.count("user.login") // 2, "the failures that pandas shows")


def check_dlt(folder, objects, lines):
    settings = {"DLT_DATA_DIR": str(folder / "data"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    run([sys.executable, "-W", "error", "dlt_objects.py", objects.as_uri()], folder, os.environ | settings)
    with duckdb.connect(str(folder / "annals_objects.duckdb"), read_only=True) as database:
        rows = database.execute("SELECT sequence, type, line FROM audit.events ORDER BY sequence").fetchall()
    expected = [(json.loads(line)["sequence"], json.loads(line)["type"], line) for line in lines]
    same(rows, expected, "the rows that dlt loaded")


def check_flat(folder, objects, lines):
    shown = run([sys.executable, "-W", "error", "pandas_flat.py", objects], folder)
    kinds = [json.loads(line)["type"] for line in lines]
    counts = re.findall(r"^(\S+) +(\d+)$", shown, re.MULTILINE)
    same(dict(counts), {kind: str(kinds.count(kind)) for kind in kinds}, "the types that pandas counts in flat objects")
    settings = {"DLT_DATA_DIR": str(folder / "data"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    run([sys.executable, "-W", "error", "dlt_flat.py", objects.as_uri()], folder, os.environ | settings)
    with duckdb.connect(str(folder / "annals_flat.duckdb"), read_only=True) as database:
        rows = database.execute("SELECT sequence, type, payload FROM audit.events ORDER BY sequence").fetchall()
    for (sequence, kind, payload), line in zip(rows, lines, strict=True):
        original = json.loads(line)
        found = None if payload is None else json.loads(payload)
        same((sequence, kind, found), (original["sequence"], original["type"], original.get("payload")), "a row that dlt loaded")


def main():
    found = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
    same(sorted(found), ["dlt_flat.py", "dlt_objects.py", "pandas_events.py", "pandas_flat.py"], "programs")
    for layout, compression in [("hive", "gzip"), ("wiremock", "none")]:
        with tempfile.TemporaryDirectory(prefix="annals-readers-") as scratch:
            folder, program = Path(scratch), Program(Path(scratch))
            try:
                for name, text in found.items():
                    (folder / name).write_text(text)
                info, tokens = program.info, program.info["tokens"]
                destination = {"bucket": info["bucket"], "roleArn": info["roleArn"], "prefix": "audit"}
                destination |= {"layout": layout, "compression": compression}
                path = f"/organisations/{info['organisation']}/destinations"
                created = program.ok("POST", path, tokens["admin"], json.dumps(destination))
                objects = program.data / "s3" / info["bucket"] / "audit"
                for _ in range(ROUNDS):
                    for text in poison():
                        program.ok("POST", "/events", tokens["producer"], text)
                    program.ok("POST", "/_local/tick")
                    lines = list(delivered_lines(objects))
                    check_pandas(folder, objects, lines)
                    check_dlt(folder, objects, lines)
                program.ok("DELETE", f"{path}/{created['id']}", tokens["admin"])
                flat = destination | {"prefix": "flat", "shape": "flat"}
                program.ok("POST", path, tokens["admin"], json.dumps(flat))
                objects = objects.parent / "flat"
                for _ in range(ROUNDS):
                    for text in poison():
                        program.ok("POST", "/events", tokens["producer"], text)
                    program.ok("POST", "/_local/tick")
                    check_flat(folder, objects, native_lines(program, objects))
            finally:
                program.stop()
    print(f"readers: passed, {len(found)} programs")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"readers: {failure}")
