"""Runs the recipes of infra/docs/siem.md against the program, as far as their programs are at hand. Called by .ci/siem:

    python .ci/siem.py

annals-local is on the PATH; grove and dlt are installed. Collectors are killed after pages and at other times, and must have brought
every event in the end. The configurations of programs that are not at hand are checked against what Annals writes: their cursors are
played through, and their patterns, limits and fields compared with lines, keys and files.
"""

import configparser
import fnmatch
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import yaml

from querying import delivered_lines, event, poison
from snippets import HALF, KILL, LIMITED, Failure, Program, Proxy, expect, run, same

DOCUMENT = Path("infra/docs/siem.md")
COLLECTING = Path("infra/docs/collecting.md")
PARSERS = {".json": json.loads, ".yml": yaml.safe_load, ".yaml": yaml.safe_load, ".toml": tomllib.loads}
BATCHES, BATCH = 4, 900
LARGEST_BYTES = 250 * 1024
KILLS_AT_ANY_TIME = 4


class Recipes:
    """The code blocks of the document, by file name, and which of them are not used yet."""

    def __init__(self):
        fences = re.findall(r"^```(\S*) ?(\S*)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
        self.texts = {name: text for _, name, text in fences}
        same(len(self.texts), len(fences), "blocks with a name of their own")
        self.unused = set(self.texts)

    def text(self, name):
        self.unused.discard(name)
        return self.texts[name]

    def parsed(self, name):
        return PARSERS[Path(name).suffix](self.text(name))

    def ini(self, name):
        parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
        parser.optionxform = str
        parser.read_string(self.text(name))
        [section] = parser.sections()
        return section, dict(parser[section])

    def put(self, folder, *names):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(self.text(name))


class Log:
    """A program with a log of several pages, which has events that break readers."""

    def __init__(self, scratch):
        self.program = Program(scratch)
        self.info = self.program.info
        self.tokens = self.info["tokens"]
        destination = {"bucket": self.info["bucket"], "roleArn": self.info["roleArn"], "prefix": "audit"}
        path = f"/organisations/{self.info['organisation']}/destinations"
        self.destination = f"{path}/{self.program.ok('POST', path, self.tokens['admin'], json.dumps(destination))['id']}"
        for text in poison():
            self.program.ok("POST", "/events", self.tokens["producer"], text)
        self.record(event(payload={"text": "x" * LARGEST_BYTES}))
        for _ in range(BATCHES):
            self.record(*[event()] * BATCH)

    def record(self, *events):
        self.program.ok("POST", "/events", self.tokens["producer"], json.dumps(events))

    def lines(self):
        """All lines, by sequence, as they are delivered."""
        self.program.ok("POST", "/_local/tick")
        lines = list(delivered_lines(self.files()))
        found = {json.loads(line)["sequence"]: line for line in lines}
        same(len(found), len(lines), "delivered events")
        return found

    def files(self):
        return self.program.data / "s3" / self.info["bucket"]

    def environment(self, api):
        return {**os.environ, "API": api, "AUDITOR": self.tokens["auditor"], "no_proxy": "*"}

    def audit(self, link):
        """Returns the page at a link, as JSON."""
        path = link.removeprefix(self.program.api)
        return self.program.ok("GET", path, self.tokens["auditor"], headers={"Accept": "application/hal+json"})


def is_complete(found, log, what):
    """Every event up to the newest one that was found was found, as it is."""
    lines = log.lines()
    last = max(found)
    same(sorted(found), list(range(1, last + 1)), f"{what}: the events that were collected")
    expect(last > BATCHES * BATCH, f"{what}: the last events are missing: {last}")
    for sequence, value in found.items():
        if sequence in lines:
            same(value, json.loads(lines[sequence]), f"{what}: event {sequence}")


def is_killed_and_completes(log, command, folder, variables):
    """Kills a collector after each of its pages and at other times, lets requests fail, and lets it complete in the end."""
    chance = random.Random(os.environ.get("ANNALS_COMMIT", ""))
    with Proxy(log.program.api) as proxy:
        proxy.server.handle_error = lambda *_: None  # a collector that was killed takes no response
        environment = log.environment(proxy.api) | variables(proxy.api)

        def start():
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        for request in range(BATCHES + 1):
            proxy.faults = [None] * request + [KILL]
            proxy.victim = start()
            proxy.victim.wait(timeout=60)
            log.record(event(type="meanwhile"))
        pages = len({path for _, path, _ in proxy.seen})
        expect(pages > BATCHES, f"the log is too short for a restart in its middle: {pages} pages")
        for fault in (LIMITED, HALF):
            proxy.faults = [fault]
            run(command, folder, environment, status=None)
        for _ in range(KILLS_AT_ANY_TIME):
            log.record(*[event(type="meanwhile")] * 10)
            victim = start()
            try:
                victim.wait(timeout=chance.uniform(0.3, 3))
            except subprocess.TimeoutExpired:
                victim.send_signal(signal.SIGKILL)
                victim.wait()
        proxy.faults = []
        for _ in range(3):
            last = run(command, folder, environment, status=None)
    expect(last.returncode == 0, f"{command}: {last.stdout[-2000:]}{last.stderr[-2000:]}")


def grove(recipes, log, scratch):
    folder = scratch / "grove"
    recipes.put(folder, "annals_grove.py", "pyproject.toml")
    install = ["--no-deps", "--no-build-isolation", "--no-compile", "--target", "site", "."]
    run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *install], folder)
    for name in ("configuration", "cache", "output"):
        (folder / name).mkdir()
    settings = {
        f"GROVE_{kind}_HANDLER": "local_file" for kind in ("CONFIG", "CACHE", "OUTPUT")
    } | {
        "GROVE_CONFIG_LOCAL_FILE_PATH": str(folder / "configuration"),
        "GROVE_CACHE_LOCAL_FILE_PATH": str(folder / "cache"),
        "GROVE_OUTPUT_LOCAL_FILE_PATH": str(folder / "output"),
        "GROVE_LOCK_DURATION": "0",
        "PYTHONPATH": str(folder / "site"),
    }

    def variables(api):
        configuration = recipes.parsed("annals.json") | {"api": api, "key": log.tokens["auditor"], "frequency": 0}
        (folder / "configuration/annals.json").write_text(json.dumps(configuration))
        return settings

    is_killed_and_completes(log, [Path(sys.executable).parent / "grove"], folder, variables)
    found, count = {}, 0
    for path in sorted((folder / "output").rglob("*.json.gz")):
        try:
            text = gzip.decompress(path.read_bytes())
        except (EOFError, zlib.error):
            continue  # Grove was killed while it wrote this file, and wrote the page again
        for line in text.splitlines():
            stored = json.loads(line)
            del stored["_grove"]
            found[stored["sequence"]] = stored
            count += 1
    is_complete(found, log, "Grove")
    print(f"Grove: {len(found)} events, {count - len(found)} of them twice")


def dlt(recipes, log, scratch):
    folder = scratch / "dlt"
    recipes.put(folder, "dlt_events.py")
    settings = {"DLT_DATA_DIR": str(folder / "data"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    is_killed_and_completes(log, [sys.executable, "dlt_events.py"], folder, lambda _: settings)
    database = duckdb.connect(str(folder / "annals.duckdb"), read_only=True)
    rows = database.execute("SELECT sequence, type, principal_id, line FROM audit.events").fetchall()
    found = {}
    for sequence, kind, principal, line in rows:
        found[sequence] = json.loads(line)
        same((kind, principal), (found[sequence]["type"], found[sequence]["principal"]["id"]), "a row")
    same(len(found), len(rows), "dlt: rows of different events")
    lines = log.lines()
    expect(all(lines.get(sequence, line) == line for sequence, _, _, line in rows), "dlt: a line is not as delivered")
    is_complete(found, log, "dlt")
    print(f"dlt: {len(found)} events")


# What is not at hand: cursors.


def template(value, scope):
    """Evaluates a value template of httpjson, a path into its state. Returns None for what is not there."""
    for name in re.fullmatch(r"\[\[\.(.*)\]\]", value)[1].split("."):
        scope = scope.get(name) if isinstance(scope, dict) else None
    return scope


def httpjson(recipes, log, cursor_template=""):
    """Plays httpjson, which is stopped after any number of acknowledged events. Returns how often each event was published.

    Filebeat publishes an event with the cursor as it was before, then sets last_event and evaluates the cursor anew
    (x-pack/filebeat/input/httpjson/request.go, handleEvent). What it stores is the cursor of the last acknowledged event.
    """
    [configured] = recipes.parsed("filebeat-httpjson.yml")["filebeat.inputs"]
    [[_, after]] = [list(step["set"].values())[:2] for step in configured["request.transforms"] if "url.params.after" in str(step)]
    [pagination] = configured["response.pagination"]
    [(name, value)] = configured["cursor"].items()
    value = cursor_template or value["value"]
    same(configured["response.split"], {"target": "body.events"}, "the split of httpjson")
    first = configured["request.url"].replace("${API}", log.program.api)

    published, stored = {}, {}
    for acknowledged in (1, 2, 700, 999, 1000, 1001, 1500, 10**9):
        state = {"cursor": dict(stored)}
        left = acknowledged
        from_cursor = template(after, state)
        link = first + (f"&after={from_cursor}" if from_cursor else "")
        if cursor_template and from_cursor:
            link = from_cursor
        while link and left:
            state["last_response"] = {"body": log.audit(link)}
            for one in state["last_response"]["body"]["events"]:
                if not left:
                    break
                left -= 1
                published[one["sequence"]] = published.get(one["sequence"], 0) + 1
                stored = dict(state["cursor"])
                state["last_event"] = one
                state["cursor"][name] = template(value, state)
            link = template(pagination["set"]["value"], state)
    return published


def the_cursor_of_httpjson_loses_nothing(recipes, log):
    published = httpjson(recipes, log)
    last = max(published)
    same(sorted(published), list(range(1, last + 1)), "httpjson: the events that were published")
    expect(max(published.values()) <= 8, "httpjson publishes an event at each restart again")
    lost = httpjson(recipes, log, "[[.last_response.body._links.resume.href]]")
    expect(len(lost) < max(lost), "the document warns of resume for httpjson, which would lose nothing")
    print(f"Elastic: with the cursor of the document nothing is lost, with resume {max(lost) - len(lost)} events")


def the_token_of_sentinel_loses_nothing(recipes, log):
    """Plays PersistentToken: the token of each page is stored, a page without one ends the poll."""
    connector = recipes.parsed("sentinel.json")["properties"]
    paging, request = connector["paging"], connector["request"]
    same(connector["response"]["eventsJsonPaths"], ["$.events"], "where Sentinel finds events")
    member = re.fullmatch(r"\$\.events\[-1:\]\.(\w+)", paging["nextPageTokenJsonPath"])[1]
    query = {paging["pageSizeParameterName"]: paging["pageSize"]} | request["queryParameters"]
    first = f"{log.program.api}/audit?" + "&".join(f"{name}={value}" for name, value in query.items())
    expect(request["apiEndpoint"].endswith("/audit"), "Sentinel asks for another path")
    token, found, requests = None, {}, 0
    for _ in range(3):  # polls
        while True:
            events = log.audit(first + (f"&{paging['nextPageParaName']}={token}" if token else ""))["events"]
            requests += 1
            expect(requests < 30, "a poll of Sentinel does not end")
            found |= {one["sequence"]: one for one in events}
            if not events:
                break
            token = events[-1][member]
        log.record(event(type="meanwhile"))
    lines = log.lines()
    missing = [json.loads(line) for sequence, line in lines.items() if sequence <= max(found) and sequence not in found]
    same({(line["type"], line["recordedBy"]) for line in missing} - {("audit.read", "annals")}, set(), "what Sentinel left out")


# What is not at hand: patterns, limits and fields.


def the_notification_is_of_events_alone(recipes, log):
    admin = log.tokens["admin"]
    tested = log.program.ok("POST", f"{log.destination}/test", admin)["key"]
    keys = {tested} | {str(path.relative_to(log.files())) for path in log.files().rglob("audit/**/*") if path.is_file()}
    data = {key for key in keys if key.endswith(".json")}
    expect(any("annals-checkpoints" in key for key in keys), f"other keys: {keys}")
    [configured] = recipes.parsed("notification.json")["QueueConfigurations"]
    [rule] = configured["Filter"]["Key"]["FilterRules"]
    same((rule["Name"], {key for key in keys if key.startswith(rule["Value"])}), ("prefix", data), "objects that S3 announces")
    [s3] = recipes.parsed("filebeat-aws-s3.yml")["filebeat.inputs"]
    [selector] = s3["file_selectors"]
    for ending in ("", ".gz"):
        same({key for key in keys if re.search(selector["regex"], key + ending)}, data, "objects that Filebeat reads")


def no_line_is_too_long_and_every_member_has_a_place(recipes, lines):
    largest = max(len(line.encode()) for line in lines)
    expect(largest > LARGEST_BYTES, f"the longest line has {largest} bytes")
    _, props = recipes.ini("props.conf")
    vector = recipes.parsed("vector-file.yaml")["sources"]["annals"]
    fluent = recipes.parsed("fluent-bit.yaml")["pipeline"]["inputs"][0]
    same(fluent["buffer_max_size"], "1M", "the buffer of Fluent Bit")
    for limit in (int(props["TRUNCATE"]), vector["max_line_bytes"], 1024 * 1024):
        expect(limit > 2 * largest, f"{limit} bytes are too few for lines of {largest}")
    for line in lines:
        before, after = re.split(props["TIME_PREFIX"], line, maxsplit=1)
        shown = json.loads(line)["timestamp"]
        expect(after.startswith(shown) and len(shown) == int(props["MAX_TIMESTAMP_LOOKAHEAD"]), f"Splunk's time is not in {line[:200]}")
        expect(len(re.split(props["LINE_BREAKER"], line)) == 1, "Splunk breaks a line")

    members = {member for line in lines for member in json.loads(line)}
    panther = {field["name"]: field for field in recipes.parsed("panther.yml")["fields"]}
    same(members - set(panther), set(), "members without a field at Panther")
    kinds = {"string": str, "bigint": int, "timestamp": str, "object": dict}
    elastic = recipes.parsed("index-template.json")["template"]["mappings"]["properties"]["annals"]["properties"]
    for line in lines:
        for member, value in json.loads(line).items():
            kind = panther[member]["type"]
            expect(kind == "json" or isinstance(value, kinds[kind]), f"{member} is not of Panther's type {kind}")
            if elastic.get(member, {}).get("type") == "flattened":
                expect(isinstance(value, dict), f"{member} cannot be flattened")
        for member, field in panther.items():
            expect(not field.get("required") or member in json.loads(line), f"{member} is not in every line")


def collected_files_are_found(recipes, log, scratch):
    folder = scratch / "collecting"
    folder.mkdir()
    [program] = re.findall(r"^```python collect.py\n(.*?)^```$", COLLECTING.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "collect.py").write_text(program)
    run([sys.executable, "collect.py"], folder, log.environment(log.program.api))
    files = [f"/var/lib/annals/{path.relative_to(folder)}" for path in (folder / "collected").rglob("*") if path.is_file()]
    section, _ = recipes.ini("inputs-api.conf")
    patterns = [
        section.removeprefix("batch://"),
        recipes.parsed("datadog-annals.d.conf.yaml")["logs"][0]["path"],
        recipes.parsed("fluent-bit.yaml")["pipeline"]["inputs"][0]["path"],
        *recipes.parsed("vector-file.yaml")["sources"]["annals"]["include"],
    ]
    for pattern in patterns:
        same([file for file in files if not fnmatch.fnmatch(file, pattern)], [], f"files that {pattern} does not find")
        expect(files and pattern.count("/") == files[0].count("/"), f"{pattern} has another depth than {files[:1]}")
    recipes.ini("inputs-s3.conf")
    recipes.parsed("vector.yaml")


def main():
    with tempfile.TemporaryDirectory(prefix="annals-siem-") as scratch:
        scratch = Path(scratch)
        recipes, log = Recipes(), Log(scratch)
        try:
            with ThreadPoolExecutor(max_workers=2) as pool:
                for done in [pool.submit(collector, recipes, log, scratch) for collector in (grove, dlt)]:
                    done.result()
            the_cursor_of_httpjson_loses_nothing(recipes, log)
            the_token_of_sentinel_loses_nothing(recipes, log)
            lines = list(log.lines().values())
            the_notification_is_of_events_alone(recipes, log)
            no_line_is_too_long_and_every_member_has_a_place(recipes, lines)
            collected_files_are_found(recipes, log, scratch)
            expect(not recipes.unused, f"never used: {', '.join(sorted(recipes.unused))}")
        finally:
            log.program.stop()
    print(f"siem: passed, {len(recipes.texts)} blocks")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and ends the program on the way
    try:
        main()
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"siem: {failure}")
