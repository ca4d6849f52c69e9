"""Runs the code blocks of the documents for callers of the API; .ci/snippets explains the format:

    python .ci/snippets.py PACKAGES

PACKAGES is the folder in which npm installed the TypeScript compiler; annals-local, annals-verify and node are on the PATH.
"""

import csv
import http.client
import http.server
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DOCUMENTS = ["infra/docs/recording.md", "infra/docs/collecting.md", "infra/docs/embedding.md"]
CRATE = "shared/clients/rust/src/lib.rs"
SUFFIXES = {"bash": ".sh", "python": ".py", "typescript": ".mts", "json": ".json"}
FENCE = re.compile("^ *(```+|~~~+)")
READY_WITHIN_SECONDS = 10
PATIENCE_SECONDS = 60
COMMANDS = {".sh": ["bash"], ".py": ["python3"], ".mts": ["node"]}
COMPILE = "import pathlib, sys; compile(pathlib.Path(sys.argv[1]).read_text(), sys.argv[1], 'exec')"
PROGRAMS = ["record.sh", "record.py", "record.mts"]
COLLECTORS = ["collect.py", "collect.mts"]


class Failure(Exception):
    pass


def expect(holds, what):
    if not holds:
        raise Failure(what)


def same(found, expected, what):
    expect(found == expected, f"{what}: expected {short(expected)}, found {short(found)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 1500 else f"{text[:1500]}… ({len(text)} characters)"


# The code blocks of the documents.


class Snippets:
    """The code blocks of all documents, by name, and which of them are not used yet."""

    def __init__(self):
        self.files, self.responses, self.rust = {}, {}, None
        self.unused = set()
        for document in DOCUMENTS:
            self.read(document)

    def read(self, document):
        fence, info, block = None, None, []
        for number, line in enumerate(Path(document).read_text().splitlines(), 1):
            where = f"{document}:{number}"
            marks = FENCE.match(line)
            if fence is None and marks:
                fence, info, block, begun = marks[1], line.strip().lstrip("`~").split(), [], where
            elif fence is not None and marks and line.strip() == fence:
                self.add(begun, info, "".join(line + "\n" for line in block))
                fence = None
            elif fence is not None:
                block.append(line)
            else:
                expect(not line.startswith(("    ", "\t")), f"{where}: a code block without a fence")
        expect(fence is None, f"{document}: the last code block has no end")

    def add(self, where, info, text):
        match info:
            case ["json" | "text", "not-run", name]:
                kind = self.responses
            case ["rust", "annals-client" as name]:
                self.rust = text
                kind = {}
            case [language, name] if name.endswith(SUFFIXES.get(language, "?")):
                kind = self.files
            case _:
                raise Failure(f"{where}: a code block without a known use: {' '.join(info) or 'nothing'}")
        expect(name not in self.unused, f"{where}: there are two blocks {name}")
        kind[name] = text
        self.unused.add(name)

    def file(self, name):
        self.unused.discard(name)
        return self.files[name]

    def put(self, name, folder):
        (folder / name).write_text(self.file(name))

    def response(self, name):
        self.unused.discard(name)
        return json.loads(self.responses[name])

    def check_statically(self, packages, folder):
        """Checks syntax and types, without running anything."""
        for name, text in self.files.items():
            (folder / name).write_text(text)
        for path in folder.glob("*.sh"):
            run(["bash", "-n", path], folder)
        for path in folder.glob("*.py"):
            run(["python3", "-W", "error", "-c", COMPILE, path], folder)
        types = ["--typeRoots", packages / "node_modules/@types", "--types", "node"]
        strict = ["--strict", "--noUncheckedIndexedAccess", "--noPropertyAccessFromIndexSignature", "--noUnusedLocals"]
        # Node runs TypeScript by removing the types, so nothing else may need compilation.
        as_it_is = ["--noEmit", "--erasableSyntaxOnly", "--verbatimModuleSyntax", "--module", "nodenext"]
        sources = ["--target", "es2023", *folder.glob("*.mts")]
        run([packages / "node_modules/.bin/tsc", *strict, *as_it_is, *types, *sources], folder)

    def check_rust(self):
        """Checks that the block is the crate's own example, which the crate's documentation tests compile."""
        lines = (line[3:].removeprefix(" ") for line in Path(CRATE).read_text().splitlines() if line.startswith("//!"))
        example = re.search("^```no_run\n(.*?)^```$", "".join(line + "\n" for line in lines), re.DOTALL | re.MULTILINE)
        expect(example, f"{CRATE}: there is no example")
        shown = [line for line in example[1].splitlines(keepends=True) if line != "#\n" and not line.startswith("# ")]
        same(self.rust, "".join(shown), "the example of annals-client, which must be the crate's")
        self.unused.discard("annals-client")


def run(command, folder, environment=None, status=0):
    """Runs a command. Returns its standard output, or all output if it must fail; with status None, the completed process."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    text = f"{' '.join(str(part) for part in command)[:300]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    if status is None:
        return done
    expect((done.returncode == 0) == (status == 0), f"exit status {done.returncode}: {text}")
    return done.stdout if status == 0 else done.stdout + done.stderr


def command(name, *arguments):
    return [*COMMANDS[Path(name).suffix], name, *arguments]


# The program, and a proxy between it and its callers.


class Program:
    """annals-local on a free port, with a data folder of its own."""

    def __init__(self, scratch):
        self.data, self.log = scratch / "data", scratch / "log"
        info = scratch / "info.json"
        arguments = ["--port", "0", "--data-dir", self.data, "--info-file", info, "--tick-seconds", "3600"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["annals-local", *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ready_by = time.monotonic() + READY_WITHIN_SECONDS
        while not info.exists():
            expect(self.process.poll() is None, "the program ended before it was ready")
            expect(time.monotonic() < ready_by, f"not ready within {READY_WITHIN_SECONDS} s")
            time.sleep(0.02)
        self.info = json.loads(info.read_text())
        self.api = self.info["api"]

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def call(self, method, path, token="", body=None, headers=None):
        """Returns the status and the body: text if NDJSON is requested or there is none, otherwise the parsed JSON."""
        host = urllib.parse.urlsplit(self.api).netloc
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | (headers or {})
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            text = response.read().decode()
            is_text = response.status == 200 and headers.get("Accept") == "application/x-ndjson"
            return response.status, text if is_text or not text else json.loads(text)
        finally:
            connection.close()

    def ok(self, *arguments, **named):
        status, response = self.call(*arguments, **named)
        expect(status in (200, 201, 204), f"{arguments[:2]}: {status} {short(response)}")
        return response

    def count(self, entity):
        """Returns the number of events of an entity."""
        token = self.info["tokens"]["auditor"]
        response = self.ok("GET", f"/audit?pageSize=1000&entityId={entity}", token)
        return len(response["events"])

    def organisation(self, name):
        """Creates an organisation and returns an environment with its tokens."""
        platform = self.info["platformToken"]
        self.ok("PUT", f"/organisations/{name}", platform, '{"name": "Another", "plan": "enterprise"}')
        tokens = {}
        for role in ("producer", "auditor"):
            body = json.dumps({"name": role, "role": role})
            tokens[role.upper()] = self.ok("POST", f"/organisations/{name}/tokens", platform, body)["token"]
        return environment(self.api, **tokens)

    def expire(self, organisation, sequence):
        """Lets the segment that begins with this sequence expire now."""
        update = {
            "TableName": "annals-log",
            "Key": {"org": {"S": organisation}, "seq": {"N": str(sequence)}},
            "UpdateExpression": "SET x = :x",
            "ConditionExpression": "attribute_exists(x)",
            "ExpressionAttributeValues": {":x": {"N": "1"}},
        }
        headers = ["Content-Type: application/x-amz-json-1.0", "X-Amz-Target: DynamoDB_20120810.UpdateItem"]
        arguments = ["curl", "-sS", "--fail-with-body", self.info["dynamodb"], "-d", json.dumps(update)]
        arguments += ["--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:dynamodb", "--user", "any:any"]
        run([*arguments, *itertools.chain(*(("-H", header) for header in headers))], None)

    def delivered(self):
        """Delivers, and returns all lines in the bucket."""
        self.ok("POST", "/_local/tick")
        bucket = self.data / "s3" / self.info["bucket"]
        return b"".join(path.read_bytes() for path in sorted(bucket.rglob("*.json")))


def environment(api, **tokens):
    # Without Node's warnings about experimental features: they must not fail the run.
    quiet = {"NODE_NO_WARNINGS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error", "no_proxy": "*"}
    return {**os.environ, **quiet, "API": api, **tokens}


# Faults of a request: its response is lost, or half of it; the caller is killed; or the proxy responds instead.
LOST, HALF, KILL = "lost", "half", "kill"
BUSY, LIMITED, BAD_GATEWAY = "busy", "limited", "bad gateway"
REFUSALS = {
    BUSY: (503, {"code": "unavailable"}, {"Retry-After": "1"}),
    LIMITED: (429, {"code": "too_many_requests"}, {"Retry-After": "1"}),
    BAD_GATEWAY: (502, {"message": "Bad Gateway"}, {}),
}


class Proxy:
    """Forwards requests to the program, and applies the faults to the first requests, one each."""

    def __init__(self, upstream, *faults):
        self.faults, self.seen, self.victim = list(faults), [], None
        proxy, host = self, urllib.parse.urlsplit(upstream).netloc

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def respond(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fault = proxy.faults.pop(0) if proxy.faults else None
                proxy.seen.append((self.command, self.path, self.headers.get("Idempotency-Key")))
                if fault in REFUSALS:
                    status, problem, headers = REFUSALS[fault]
                    headers = {"Content-Type": "application/problem+json", **headers}
                    return self.reply(status, headers.items(), json.dumps(problem).encode())
                connection = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
                connection.request(self.command, self.path, body=body or None, headers=dict(self.headers))
                upstream = connection.getresponse()
                response = upstream.read()
                connection.close()
                if fault == KILL:
                    proxy.victim.send_signal(signal.SIGKILL)
                if fault in (LOST, KILL):
                    self.close_connection = True
                    return None
                cut = len(response) // 2 if fault == HALF else len(response)
                return self.reply(upstream.status, upstream.getheaders(), response, cut)

            do_GET = do_POST = respond

            def reply(self, status, headers, body, cut=None):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:cut])

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.api = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Scene:
    """The environment that the documents assume."""

    def __init__(self, snippets, program, scratch):
        self.snippets, self.program, self.scratch = snippets, program, scratch
        tokens = program.info["tokens"]
        self.producer, self.auditor, self.admin = tokens["producer"], tokens["auditor"], tokens["admin"]
        self.environment = self.behind(program.api)
        self.numbers = itertools.count(1)

    def behind(self, api):
        return environment(api, PRODUCER=self.producer, AUDITOR=self.auditor)

    def folder(self, *names):
        """Creates a folder with these blocks as files."""
        folder = self.scratch / f"folder-{next(self.numbers)}"
        folder.mkdir()
        for name in names:
            self.snippets.put(name, folder)
        return folder

    def lines(self, query):
        """Returns a page of the log as lines."""
        return self.program.ok("GET", f"/audit{query}", self.auditor, headers={"Accept": "application/x-ndjson"})

    def post(self, body, media_type="application/json", token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Type": media_type}
        return self.program.call("POST", "/events", token or self.producer, body, headers)


def event(entity, **more):
    entity = {"id": entity, "name": "Payments", "entityType": "MOCK_API"}
    principal = {"id": "42", "name": "Ada Bell", "entityType": "USER"}
    return {"action": "CREATE", "entity": entity, "principal": principal} | more


def lines_of(events):
    return "".join(json.dumps(event) + "\n" for event in events)


def shape(value):
    """Returns the names and types of a response, without its values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


# infra/docs/recording.md


def one_event_and_its_response(scene):
    folder = scene.folder("one.sh")
    response = json.loads(run(command("one.sh"), folder, scene.environment))
    same(shape(response), shape(scene.snippets.response("recorded")), "the response of one.sh")


def the_json_examples_are_what_the_api_takes_and_refuses(scene):
    full = scene.snippets.file("full.json")
    status, response = scene.post(full)
    same(status, 201, f"full.json: {response}")
    stored = scene.program.ok("GET", f"/audit/{response['events'][0]['uuid']}", scene.auditor)
    for name, value in json.loads(full).items():
        same(stored[name], value, f"full.json: {name}")
    section = Path(DOCUMENTS[0]).read_text().split("## An event")[1].split("## Limits")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    described = {name for row in rows for name in re.findall("`(.*?)`", row)}
    same(described, set(json.loads(full)), "the fields that are described are those of full.json")
    smallest = scene.post(json.dumps(event("smallest")))[1]["events"][0]["uuid"]
    defaults = scene.program.ok("GET", f"/audit/{smallest}", scene.auditor)
    same((defaults["type"], defaults["clientType"]), ("mock_api.create", "API"), "what is filled in")

    status, problem = scene.post(scene.snippets.file("faulty.json"))
    same((status, problem), (400, scene.snippets.response("problem")), "the response to faulty.json")


def each_program_records_once_whatever_happens_on_the_way(scene):
    """Responses are lost, cut off or refused; then the same program runs again."""

    def records(name, events, faults):
        folder, entity, key = scene.folder(name), uuid.uuid4().hex, uuid.uuid4().hex
        (folder / "batch.ndjson").write_text(lines_of(event(entity, metadata={"n": str(n)}) for n in range(events)))
        with Proxy(scene.program.api, *faults) as proxy:
            arguments = command(name, "batch.ndjson", key)
            begun = time.monotonic()
            first = json.loads(run(arguments, folder, scene.behind(proxy.api)))
            waits = sum(int(REFUSALS[fault][2].get("Retry-After", 0)) for fault in faults if fault in REFUSALS)
            expect(time.monotonic() - begun >= waits, f"{name} came again before Retry-After was over")
            same(proxy.seen, [("POST", "/events", key)] * (len(faults) + 1), f"the requests of {name}")
            again = json.loads(run(arguments, folder, scene.behind(proxy.api)))
        same(shape(first), shape(scene.snippets.response("recorded")), f"what {name} prints")
        same(again, first, f"what {name} prints at the second run")
        numbers = [recorded["sequence"] for recorded in first["events"]]
        same(numbers, list(range(numbers[0], numbers[0] + events)), f"the sequences of {name}")
        same(scene.program.count(entity), events, f"the events in the log of {name} with {faults}")

    cases = [(25, [LOST, BUSY]), (1, [LIMITED]), (3, [HALF, BAD_GATEWAY])]
    with ThreadPoolExecutor(max_workers=3) as pool:
        done = [pool.submit(records, name, *case) for case in cases for name in PROGRAMS]
        for one in done:
            one.result()


def no_program_repeats_what_is_refused(scene):
    key = uuid.uuid4().hex
    same(scene.post(json.dumps(event("first")), Idempotency_Key=key)[0], 201, "an event under a key")
    faulty = lines_of(json.loads(scene.snippets.file("faulty.json")))
    refused = [
        (faulty, uuid.uuid4().hex, "/0/entity/id"),
        (lines_of([event("second")]), key, "idempotency_key_reused"),
    ]
    for name in PROGRAMS:
        for batch, under, mark in refused:
            folder = scene.folder(name)
            (folder / "batch.ndjson").write_text(batch)
            with Proxy(scene.program.api) as proxy:
                printed = run(command(name, "batch.ndjson", under), folder, scene.behind(proxy.api), status=1)
                same(len(proxy.seen), 1, f"the requests of {name} for what is refused")
            expect(mark in printed, f"{name} does not say why: {printed}")


def a_file_under_three_keys_is_recorded_three_times(scene):
    folder, entity = scene.folder("each.sh", *PROGRAMS), uuid.uuid4().hex
    (folder / "events.ndjson").write_text(lines_of([event(entity), event(entity)]))
    run(command("each.sh"), folder, scene.environment)
    same(scene.program.count(entity), 6, "the events of each.sh")


def the_table_of_responses_and_the_limits_are_true(scene):
    table = {}
    for row in re.findall(r"^\| ([0-9, ]+) \| (`.*?) \|", Path(DOCUMENTS[0]).read_text(), re.MULTILINE):
        table.update(dict.fromkeys(re.findall("`(.*?)`", row[1]), row[0]))

    def batch(count):
        return json.dumps([event("limit")] * count)

    def sized(size):
        rest = len(json.dumps(event("limit", metadata={"k": ""})))
        return json.dumps(event("limit", metadata={"k": "x" * (size - rest)}))

    def deep(levels):
        return json.dumps(event("limit", payload=json.loads('{"a":' * (levels - 2) + "{}" + "}" * (levels - 2))))

    def name(length):
        return json.dumps(event("limit", type="limit", action="X" * length))

    key = uuid.uuid4().hex
    for what, expected, code, response in [
        ("1,000 events", 201, None, scene.post(batch(1000))),
        ("1,001 events", 400, "invalid_input", scene.post(batch(1001))),
        ("256 KiB", 201, None, scene.post(sized(256 * 1024))),
        ("256 KiB and a byte", 400, "invalid_input", scene.post(sized(256 * 1024 + 1))),
        ("64 levels", 201, None, scene.post(deep(64))),
        ("65 levels", 400, "invalid_input", scene.post(deep(65))),
        ("a name of 1,024 characters", 201, None, scene.post(name(1024))),
        ("a name of 1,025 characters", 400, "invalid_input", scene.post(name(1025))),
        ("4 MiB and a byte", 413, "body_too_large", scene.post(" " * (4 * 1024 * 1024 + 1))),
        ("an unknown token", 401, "unauthorized", scene.post(batch(1), token="annals_none")),
        ("an auditor's token", 403, "forbidden", scene.post(batch(1), token=scene.auditor)),
        ("a key", 201, None, scene.post(batch(1), Idempotency_Key=key)),
        ("the same key for other events", 422, "idempotency_key_reused", scene.post(batch(2), Idempotency_Key=key)),
        ("a key of 255 bytes", 201, None, scene.post(batch(1), Idempotency_Key=key.ljust(255, "k"))),
        ("a key of 256 bytes", 400, "invalid_input", scene.post(batch(1), Idempotency_Key=key.ljust(256, "k"))),
        ("text", 415, "unsupported_media_type", scene.post(batch(1), media_type="text/plain")),
    ]:
        same((response[0], response[1].get("code")), (expected, code), f"{what} ({short(response[1])})")
        expect(code is None or str(expected) in table[code], f"the table says {table.get(code)} of {code}")


# infra/docs/collecting.md


def collected(folder):
    return b"".join(path.read_bytes() for path in sorted((folder / "collected").rglob("*.json")))


def is_log(found, log, at_least, what):
    """Checks that the lines are the log from its beginning, byte for byte, with at least this many lines."""
    expect(log.startswith(found), f"{what}: what was collected is not the log")
    count = len(found.splitlines())
    expect(count >= at_least, f"{what}: {count} lines, expected {at_least} at least")


def tail(scene):
    return scene.program.ok("GET", "/audit/tail", scene.auditor)["sequence"]


def everything_is_collected_byte_for_byte(scene):
    """By hand, and by the collectors, which are killed at each request and continue each other's work."""
    found = []

    grown = tail(scene)
    folder = scene.folder("collect.sh")
    run(command("collect.sh"), folder, scene.environment)
    by_hand = (folder / "events.ndjson").read_bytes()
    found.append(("collect.sh", grown, by_hand))
    resumed = (folder / "resume.txt").read_text().strip()
    rest = scene.lines(resumed.removeprefix(f"{scene.program.api}/audit"))
    found.append(("collect.sh and its resume link", grown + 1, by_hand + rest.encode()))

    for names in (COLLECTORS, COLLECTORS[::-1]):
        folder = scene.folder(*names)
        with Proxy(scene.program.api) as proxy:
            for request in range(5):
                proxy.faults = [None] * request + [KILL]
                proxy.victim = subprocess.Popen(
                    command(names[request % 2]), cwd=folder, env=scene.behind(proxy.api),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
                proxy.victim.wait(timeout=PATIENCE_SECONDS)
                scene.post(lines_of(event("meanwhile") for _ in range(3)), media_type="application/x-ndjson")
            expect(len({path for _, path, _ in proxy.seen}) > 3, "the log is too short for a restart in its middle")
            proxy.faults = [LIMITED]
            run(command(names[0]), folder, scene.behind(proxy.api), status=1)
            proxy.faults = [HALF]
            run(command(names[1]), folder, scene.behind(proxy.api), status=1)
            grown = tail(scene)
            run(command(names[0]), folder, scene.behind(proxy.api))
            found.append((f"{names[0]} after all", grown, collected(folder)))
            before = len(collected(folder).splitlines())
            run(command(names[1]), folder, scene.behind(proxy.api))
            same(len(collected(folder).splitlines()), before + 1, "lines after a run that finds nothing but a read")

            state = (folder / "collect.json").read_bytes()
            stranger = {**scene.behind(proxy.api), "AUDITOR": "annals_none"}
            expect("401" in run(command(names[0]), folder, stranger, status=1), f"{names[0]} does not show the 401")
            same((folder / "collect.json").read_bytes(), state, "the state after a run that failed")

    log = scene.program.delivered()
    for what, grown, bytes_found in found:
        is_log(bytes_found, log, grown, what)
    return log


# Ends the program before the n-th step that changes a file, like a crash. A page or state is then half written.
CRASH = {
    ".py": """
import os, pathlib, runpy, sys
left = int(sys.argv.pop(1))
def step(real, half=False):
    def stepped(*given, **named):
        global left
        left -= 1
        if left == 0:
            if half: os.ftruncate(given[0], os.fstat(given[0]).st_size // 2)
            os._exit(99)
        return real(*given, **named)
    return stepped
os.fsync, os.replace, os.mkdir = step(os.fsync, half=True), step(os.replace), step(os.mkdir)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
""",
    ".mts": """
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
let left = Number(process.env.CRASH_AT);
for (const name of ["writeFileSync", "renameSync", "mkdirSync"]) {
  const real = fs[name];
  fs[name] = (path, data, ...more) => {
    if (--left === 0) {
      if (name === "writeFileSync") real(path, data.slice(0, data.length / 2));
      process.exit(99);
    }
    return real(path, data, ...more);
  };
}
syncBuiltinESMExports();
""",
}


def taken(folder):
    """Takes the collected files away, as a forwarder does."""
    lines = collected(folder)
    shutil.rmtree(folder / "collected", ignore_errors=True)
    return lines


def a_crash_at_any_step_loses_nothing_and_brings_nothing_twice(scene):
    """The first or a later run crashes before its n-th step, more events are recorded, and another run continues."""
    hook = scene.scratch / "crash.mjs"
    hook.write_text(CRASH[".mts"])

    def record(kind):
        batch = lines_of(event("sweep", type=kind) for _ in range(2))
        same(scene.post(batch, media_type="application/x-ndjson")[0], 201, "a batch")

    def crashes(name, at, query):
        if name.endswith(".py"):
            return ["python3", "-c", CRASH[".py"], str(at), name, query], scene.environment
        return ["node", "--import", hook.as_uri(), name, query], {**scene.environment, "CRASH_AT": str(at)}

    def sweep(name, runs_before):
        kind = "sweep." + uuid.uuid4().hex
        query = f"type={kind}"
        for at in itertools.count(1):
            folder, found = scene.folder(name), b""
            for _ in range(runs_before):
                run(command(name, query), folder, scene.environment)
                found += taken(folder)
            record(kind)
            arguments, crashing = crashes(name, at, query)
            done = run(arguments, folder, crashing, status=None)
            expect(done.returncode in (0, 99), f"{name}: {done.stderr}")
            found += taken(folder)
            record(kind)
            run(command(name, query), folder, scene.environment)
            found += taken(folder)
            expected = scene.lines(f"?pageSize=1000&{query}")
            same(found, expected.encode(), f"{name} after a crash at its step {at}")
            if done.returncode == 0:
                expect(at > 5, f"{name} has only {at - 1} steps to crash at")
                return

    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(sweep, name, runs_before) for runs_before in (0, 1) for name in COLLECTORS]:
            done.result()


def a_collector_that_stood_still_too_long_goes_on_as_the_document_says(scene):
    for name in COLLECTORS:
        organisation = Path(name).suffix[1:]
        own = scene.program.organisation(organisation)
        folder = scene.folder(name)
        run(command(name), folder, own)
        taken(folder)
        last = 0
        for number in range(3):
            body = json.dumps(event(f"missed-{number}"))
            last = scene.program.ok("POST", "/events", own["PRODUCER"], body)["events"][0]["sequence"]
        for sequence in range(1, last):
            scene.program.expire(organisation, sequence)

        state = (folder / "collect.json").read_text()
        printed = run(command(name), folder, own, status=1)
        begin = re.search(r"410.*Begin with (from=[\w-]{22})", printed)
        expect(begin, f"{name} does not say what expired and where to begin: {printed}")
        same((folder / "collect.json").read_text(), state, "the state after a response of 410")
        link = f"{scene.program.api}/audit?pageSize=1000&{begin[1]}"
        (folder / "collect.json").write_text(json.dumps(json.loads(state) | {"link": link}))
        run(command(name), folder, own)
        sequences = [json.loads(line)["sequence"] for line in collected(folder).splitlines()]
        same(sequences[:1], [last], "the first event that is still there")


def without_reads_a_quiet_log_makes_empty_runs(scene, log):
    folder = scene.folder("without-reads.sh", "collect.py")
    run(command("without-reads.sh"), folder, scene.environment)
    found = collected(folder)
    expect(b'"audit.read"' not in found, "reads were collected though they were excluded")
    kept = b"".join(line for line in log.splitlines(keepends=True) if json.loads(line)["type"] != "audit.read")
    expect(found.startswith(kept), "what was collected without reads is not the log without them")
    run(command("without-reads.sh"), folder, scene.environment)
    same(collected(folder), found, "a second run in a quiet log")


def polling_waits_for_the_run_before(scene):
    folder = scene.folder("poll.sh", "collect.py")
    holder = subprocess.Popen(["flock", "collect.lock", "cat"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write(b"held\n")
    holder.stdin.flush()
    holder.stdout.readline()
    run(command("poll.sh"), folder, scene.environment, status=1)
    holder.communicate()
    run(command("poll.sh"), folder, scene.environment)
    expect(collected(folder), "poll.sh collected nothing")


def every_format_shows_the_same_events(scene):
    folder = scene.folder("formats.sh")
    run(command("formats.sh"), folder, scene.environment)
    lines = scene.lines("?type=mock_api.create").splitlines()
    ids = [json.loads(line)["eventId"] for line in lines]
    for file, member, expected in [("ocsf.ndjson", "raw_data", lines), ("cloudevents.ndjson", "id", ids)]:
        shown = [json.loads(line) for line in (folder / file).read_text().splitlines()]
        same([line[member] for line in shown], expected, f"{member} in {file}")
    with open(folder / "events.csv", newline="") as file:
        same([row["eventId"] for row in csv.DictReader(file)], ids, "CSV")


def counts_are_those_of_the_log(scene):
    folder = scene.folder("stats.sh")
    stats = json.loads(run(command("stats.sh"), folder, scene.environment))
    shown = scene.snippets.response("stats")
    same(sorted(stats), sorted(shown), "the members of the counts")
    same(sorted(stats["intervals"][0]), sorted(shown["intervals"][0]), "the members of an interval")
    lines = [json.loads(line) for line in scene.program.delivered().splitlines()]
    counted = sum(stats["since"] <= line["timestamp"] < stats["until"] for line in lines)
    same(sum(interval["total"] for interval in stats["intervals"]), counted, "what was counted")


def what_was_collected_is_proven_and_what_was_changed_is_not(scene):
    small = scene.program.organisation("small")
    for number in range(7):
        body = lines_of(event(f"m-{number}", payload={"previousHash": "0" * 64}) for _ in range(number + 1))
        headers = {"Content-Type": "application/x-ndjson"}
        scene.program.ok("POST", "/events", small["PRODUCER"], body, headers=headers)
    folder = scene.folder("prove.sh", "chain.sh", "collect.py")
    run(command("prove.sh"), folder, small)
    same(shape(json.loads((folder / "tail.json").read_text())), shape(scene.snippets.response("tail")), "the tail")
    run(command("prove.sh"), folder, small)  # now in several files
    files = sorted((folder / "collected").rglob("*.json"))
    expect(len(files) == 2, f"{len(files)} files of two runs")
    chain = command("chain.sh", "collected", "tail.json")
    expect("lines 1 to " in run(chain, folder, small), "chain.sh does not say what it has checked")

    whole = files[0].read_bytes()
    lines = whole.splitlines(keepends=True)
    verify = ["annals-verify", "collected", "--tail", "tail.json"]
    for what, changed, says in [
        ("altered", whole.replace(b"Ada Bell", b"Bob Bell", 1), "is not what was recorded"),
        ("left out", b"".join(lines[:3] + lines[4:]), "events are missing after 3"),
        ("exchanged", b"".join(lines[:3] + [lines[4], lines[3]] + lines[5:]), "events are missing after 3"),
        ("cut off", whole[:-20], "events are missing after"),
    ]:
        files[0].write_bytes(changed)
        run(verify, folder, small, status=1)
        printed = run(chain, folder, small, status=1)
        expect(says in printed, f"chain.sh of a line that is {what}: {printed}")
    files[0].write_bytes(whole)
    shutil.move(files[1], folder / "last")
    run(verify, folder, small, status=1)
    expect("among them: no" in run(chain, folder, small, status=1), "chain.sh passes over a missing end")


# infra/docs/embedding.md


def a_portal_link_leads_to_the_page_once(scene):
    info, folder = scene.program.info, scene.folder("portal_link.sh")
    environment = {**scene.environment, "PLATFORM": info["platformToken"], "ORGANISATION": info["organisation"]}
    response = json.loads(run(command("portal_link.sh"), folder, environment))
    same(shape(response), shape(scene.snippets.response("portal_link")), "the response of portal_link.sh")
    status = ["curl", "-sS", "--noproxy", "*", "-o", "page.html", "-w", "%{http_code}", "--cookie-jar", "jar", "-L", "-d", "", response["url"]]
    same(run([*status[:-4], status[-1]], folder), "200", "the link, shown")
    expect("Ada Bell" in (folder / "page.html").read_text(), "the link shows whom it signs in")
    same(run(status, folder), "200", "the link, opened")
    page = (folder / "page.html").read_text()
    expect("Ada Bell" in page and "Audit Events" in page, f"the page is for its administrator: {short(page)}")
    same(run(status, folder), "410", "the link, opened again")


def everything(scene):
    def step(scenario, *given):
        begun = time.monotonic()
        result = scenario(scene, *given)
        print(f"{time.monotonic() - begun:6.1f} s  {scenario.__name__.replace('_', ' ')}", flush=True)
        return result

    destination = {"bucket": scene.program.info["bucket"], "roleArn": scene.program.info["roleArn"]}
    organisation = scene.program.info["organisation"]
    scene.program.ok("POST", f"/organisations/{organisation}/destinations", scene.admin, json.dumps(destination))

    step(one_event_and_its_response)
    step(the_json_examples_are_what_the_api_takes_and_refuses)
    step(each_program_records_once_whatever_happens_on_the_way)
    step(no_program_repeats_what_is_refused)
    step(a_file_under_three_keys_is_recorded_three_times)
    step(the_table_of_responses_and_the_limits_are_true)
    for _ in range(2):
        same(scene.post(json.dumps([event("many")] * 1000))[0], 201, "a batch")
    log = step(everything_is_collected_byte_for_byte)
    step(a_crash_at_any_step_loses_nothing_and_brings_nothing_twice)
    step(a_collector_that_stood_still_too_long_goes_on_as_the_document_says)
    step(without_reads_a_quiet_log_makes_empty_runs, log)
    step(polling_waits_for_the_run_before)
    step(every_format_shows_the_same_events)
    step(counts_are_those_of_the_log)
    step(what_was_collected_is_proven_and_what_was_changed_is_not)
    step(a_portal_link_leads_to_the_page_once)


def main(packages):
    program = None
    with tempfile.TemporaryDirectory(prefix="annals-snippets-") as scratch:
        scratch = Path(scratch)
        (scratch / "static").mkdir()
        try:
            snippets = Snippets()
            snippets.check_rust()
            snippets.check_statically(packages, scratch / "static")
            program = Program(scratch)
            everything(Scene(snippets, program, scratch))
            expect(not snippets.unused, f"never run: {', '.join(sorted(snippets.unused))}")
        except (Failure, OSError, subprocess.TimeoutExpired) as failure:
            if program and program.process.poll() is not None:
                print("".join(program.log.read_text().splitlines(keepends=True)[-40:]), file=sys.stderr)
            print(f"snippets: {failure}", file=sys.stderr)
            return 1
        finally:
            if program:
                program.stop()
    count = len(snippets.files) + len(snippets.responses) + 1
    print(f"snippets: passed, {count} blocks of {len(DOCUMENTS)} documents")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and ends the program on the way
    sys.exit(main(Path(sys.argv[1]).resolve()))
