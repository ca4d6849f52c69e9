//! The program that `cargo run` starts: the printed commands work, Ctrl-C ends it, and the next start finds the same
//! data.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use annals_tests::{
    lines::{Chain, sha256},
    process::Process,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_local-under-test");
const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";
/// The last printed line.
const READY: &str = "Ctrl-C ends it.\n";

/// Temporary folders of a test.
struct Folders {
    root: TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir(folders.temporary()).unwrap();
        folders
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("a folder with data")
    }

    fn info(&self) -> PathBuf {
        self.root.path().join("info.json")
    }

    /// The folder for the program's temporary files.
    fn temporary(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// Starts the program. Its data is in [`Self::data`] unless the options say otherwise.
    async fn start(&self, options: &[&str]) -> Program {
        self.ready(self.spawn(options)).await
    }

    async fn ready(&self, process: Process) -> Program {
        process.wait_for(READY).await;
        let info = serde_json::from_str(&fs::read_to_string(self.info()).unwrap()).unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(600)).build().unwrap();
        Program { process, info, http }
    }

    fn spawn(&self, options: &[&str]) -> Process {
        let (data, info) = (self.data(), self.info());
        let mut arguments = vec!["--info-file", info.to_str().unwrap()];
        if !options.contains(&"--in-memory") {
            arguments.extend(["--data-dir", data.to_str().unwrap()]);
        }
        for (name, value) in [("--port", "0"), ("--tick-seconds", "3600")] {
            if !options.contains(&name) {
                arguments.extend([name, value]);
            }
        }
        arguments.extend(options);
        Process::start(BINARY, arguments, self.environment())
    }

    fn environment(&self) -> [(String, String); 2] {
        [
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("TMPDIR".to_owned(), self.temporary().to_str().unwrap().to_owned()),
        ]
    }

    /// Starts the program with a disk on which no file can grow beyond `blocks` of 512 bytes.
    async fn start_on_small_disk(&self, blocks: u32) -> Program {
        let (data, info) = (self.data(), self.info());
        // Without the trap the kernel ends a program that writes beyond the limit.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let arguments = ["-c", &script, BINARY, "--port", "0", "--tick-seconds", "3600", "--info-file"];
        let arguments = arguments.into_iter().chain([info.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]);
        let process = Process::start("/bin/sh", arguments, self.environment());
        self.ready(process).await
    }

    /// The objects of a bucket, as files on disk.
    fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.data().join("s3").join(bucket);
        let keys = files(&folder);
        keys.into_iter().map(|key| (key.clone(), fs::read(folder.join(key)).unwrap())).collect()
    }
}

/// The files below a folder, as relative paths.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found
}

struct Program {
    process: Process,
    info: Value,
    http: reqwest::Client,
}

impl Program {
    fn info(&self, pointer: &str) -> String {
        self.info.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}")).to_owned()
    }

    async fn call(&self, method: reqwest::Method, path: &str, role: &str, body: Option<Value>) -> Value {
        let url = if path.starts_with("http://") { path.to_owned() } else { self.info("/api") + path };
        let mut request = self.http.request(method, url).bearer_auth(self.info(&format!("/tokens/{role}")));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn get(&self, path: &str, role: &str) -> Value {
        self.call(reqwest::Method::GET, path, role, None).await
    }

    async fn post(&self, path: &str, role: &str, body: Value) -> Value {
        self.call(reqwest::Method::POST, path, role, Some(body)).await
    }

    /// Creates a destination at the customer's bucket.
    async fn destination(&self) -> Value {
        let path = format!("/organisations/{}/destinations", self.info("/organisation"));
        self.post(&path, "admin", json!({"bucket": self.info["bucket"], "roleArn": self.info["roleArn"]})).await
    }

    async fn tick(&self) -> Value {
        self.post("/_local/tick", "admin", json!({})).await
    }

    /// Ends the program as Ctrl-C does. The exit status must be 0.
    async fn interrupt(self) {
        self.end("INT").await;
    }

    async fn end(mut self, signal: &str) {
        self.process.signal(signal);
        let status = self.process.wait().await;
        assert!(status.success(), "{status}");
    }
}

/// The commands that the program prints. Each begins with the name of a program.
fn commands(printed: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let begins = |line: &str| ["curl ", "find ", "#"].iter().any(|name| line.starts_with(name));
    let mut inside = false;
    for line in printed.lines() {
        // Headings are at the margin, their contents are indented by two spaces.
        let Some(line) = line.strip_prefix("  ") else {
            inside = false;
            continue;
        };
        if begins(line) {
            commands.push(line.to_owned());
            inside = true;
        } else if let Some(last) = commands.last_mut().filter(|_| inside) {
            last.extend(["\n", line]);
        }
    }
    commands
}

/// Runs a command in a shell.
fn paste(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{command}\n{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_commands_that_are_printed_do_what_is_said_of_them() {
    let found = Command::new("sh").args(["-c", "command -v curl"]).output().unwrap().status.success();
    if !found {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "curl is needed");
        eprintln!("NOT RUN: curl is not on the PATH");
        return;
    }
    let folders = Folders::new();
    let program = folders.start(&[]).await;
    let printed = program.process.stdout();
    let commands = commands(&printed);
    let [link, record, audit, create, test, tick, find] = commands.as_slice() else { panic!("{commands:#?}") };
    let json =
        |text: String| -> Value { serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) };

    let printed_link = program.info("/portalLink");
    let another_link = json(paste(link))["url"].as_str().unwrap().to_owned();
    for link in [printed_link, another_link] {
        let status = format!("curl -s -X POST -o /dev/null -w '%{{http_code}} %{{redirect_url}}' '{link}'");
        let page = format!("{}/console/destinations", program.info("/api"));
        assert_eq!(paste(&status), format!("303 {page}"));
        assert_eq!(paste(&status), "410 ", "it opens once");
    }

    let recorded = json(paste(record));
    let uuid = recorded["events"][0]["uuid"].as_str().unwrap();
    let page = json(paste(audit));
    let last = page["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["uuid"], &last["entity"]["id"]), (&json!(uuid), &json!("m-1")));
    let created = json(paste(create));
    assert_eq!(created["status"], "Status: Audit events are yet to be sent to this destination");
    let tested = json(paste(&test.replace("/ID/", &format!("/{}/", created["id"].as_str().unwrap()))));
    assert!(tested["steps"].as_array().unwrap().iter().all(|step| step["outcome"] == "passed"), "{tested}");
    let ticked = json(paste(tick));
    let delivery = &ticked["shipped"][0]["deliveries"][0];
    let listed = paste(find);
    let key = delivery["key"].as_str().unwrap();
    assert!(listed.lines().any(|path| path.ends_with(key)), "{listed}");
    assert!(listed.lines().any(|path| path.ends_with(TEST_OBJECT)), "{listed}");

    let objects = folders.objects(&program.info("/bucket"));
    assert_eq!(delivery["sha256"], sha256(&objects[key]));
    let chain = Chain::of(&objects);
    assert_eq!(chain.lines.len(), delivery["events"].as_u64().unwrap() as usize);
    assert!(chain.lines.iter().any(|line| line["entity"]["id"] == "m-1"));
    program.interrupt().await;
}

#[tokio::test]
async fn the_info_file_says_all_that_is_printed() {
    let folders = Folders::new();
    fs::write(folders.info(), r#"{"api": "of an earlier run"}"#).unwrap();
    let program = folders.start(&[]).await;
    let printed = program.process.stdout();
    for pointer in [
        "/api",
        "/dynamodb",
        "/s3",
        "/sts",
        "/platformToken",
        "/organisation",
        "/portalLink",
        "/tokens/producer",
        "/tokens/auditor",
        "/tokens/admin",
        "/bucket",
        "/roleArn",
        "/dataDir",
    ] {
        let value = program.info(pointer);
        assert!(!value.is_empty() && printed.contains(&value), "{pointer}: {value} in {printed}");
    }
    for pointer in ["/api", "/dynamodb", "/s3", "/sts"] {
        assert!(program.info(pointer).starts_with("http://127.0.0.1:"), "{pointer}");
    }
    assert_eq!(program.get("/health", "auditor").await["status"], "ok");
    let platform =
        program.http.get(program.info("/api") + "/organisations").bearer_auth(program.info("/platformToken"));
    assert_eq!(platform.send().await.unwrap().status(), 200);
    assert_eq!(fs::canonicalize(folders.data()).unwrap().to_str().unwrap(), program.info("/dataDir"));
    let name = |path: fs::DirEntry| path.file_name().into_string().unwrap();
    let left: Vec<String> = fs::read_dir(folders.root.path()).unwrap().map(|entry| name(entry.unwrap())).collect();
    assert!(!left.iter().any(|name| name.contains("partial")), "{left:?}");
    program.interrupt().await;
}

#[tokio::test]
async fn a_second_start_finds_everything_and_goes_on() {
    let event = |id: &str| {
        json!({
            "action": "UPDATE",
            "entity": {"id": id, "name": "Payments", "entityType": "MOCK_API"},
            "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
        })
    };
    let folders = Folders::new();
    let program = folders.start(&[]).await;
    let first = program.info.clone();
    let recorded = program.post("/events", "producer", event("before")).await;
    let created = program.destination().await;
    program.tick().await;
    program.interrupt().await;

    let program = folders.start(&[]).await;
    for pointer in ["/platformToken", "/organisation", "/tokens", "/bucket", "/roleArn", "/dataDir"] {
        assert_eq!(program.info.pointer(pointer), first.pointer(pointer), "{pointer}");
    }
    let uuid = recorded["events"][0]["uuid"].as_str().unwrap();
    assert_eq!(program.get(&format!("/audit/{uuid}"), "auditor").await["entity"]["id"], "before");
    program.post("/events", "producer", event("after")).await;
    let path =
        format!("/organisations/{}/destinations/{}", program.info("/organisation"), created["id"].as_str().unwrap());
    assert_eq!(program.get(&path, "admin").await["state"], "sent");
    let ticked = program.tick().await;
    let chain = Chain::of(&folders.objects(&program.info("/bucket")));
    assert_eq!(chain.range().unwrap().0, 1, "one chain over both runs");
    assert_eq!(chain.range().unwrap().1, ticked["shipped"][0]["deliveries"][0]["lastSequence"].as_u64().unwrap());
    assert_eq!(chain.lines.last().unwrap()["entity"]["id"], "after");
    program.interrupt().await;
}

#[tokio::test]
async fn a_demonstration_has_a_destination_with_deliveries_and_prints_what_is_in_it() {
    let folders = Folders::new();
    let program = folders.start(&["--demo"]).await;
    let printed = program.process.stdout();
    let commands = commands(&printed);
    assert_eq!(commands.len(), 6, "{commands:#?}");
    let deliveries = commands.iter().find(|command| command.contains("/deliveries")).unwrap();
    let listed: Value = serde_json::from_str(&paste(deliveries)).unwrap();
    let newest = &listed["deliveries"][0];
    let objects = folders.objects(&program.info("/bucket"));
    assert_eq!(newest["sha256"], sha256(&objects[newest["key"].as_str().unwrap()]), "the newest object is there");
    let last = newest["lastSequence"].as_u64().unwrap();
    assert_eq!(Chain::of(&objects).range(), Some((1, last)), "from the beginning of the log");
    let ticked = program.tick().await;
    assert_eq!(ticked["shipped"][0]["destination"], program.info["destination"]);
    let first = program.info.clone();
    program.interrupt().await;

    let again = folders.start(&["--demo"]).await;
    assert!(again.process.stdout().contains("nothing was added to it"), "it says that the folder was there");
    assert_eq!(again.info["destination"], first["destination"]);
    again.interrupt().await;
}

#[tokio::test]
async fn in_memory_nothing_is_left_behind_however_it_ends() {
    for signal in ["INT", "TERM"] {
        let folders = Folders::new();
        let program = folders.start(&["--in-memory"]).await;
        assert_eq!(program.info["dataDir"], Value::Null);
        program.destination().await;
        program.tick().await;
        program.end(signal).await;
        assert!(!folders.data().exists());
        let left = files(&folders.temporary());
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn it_can_be_ended_as_soon_as_the_info_file_is_there() {
    let folders = Folders::new();
    for _ in 0..4 {
        let program = folders.start(&["--in-memory"]).await;
        // No call before the signal: a caller that waits for the file may be quick.
        program.interrupt().await;
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let folders = Folders::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (options, reason) in [
        (["--in-memory", "--port", &port], format!("port {port}")),
        (["--in-memory", "--tick-seconds", "0"], "0 is not in 1..".to_owned()),
        (["--in-memory", "--port", "70000"], "70000 is not in 0..=65535".to_owned()),
        (["--in-memory", "--accent-colour", "#ffcc00"], "#ffcc00 has a contrast of only 1.3 to 1".to_owned()),
    ] {
        let mut process = folders.spawn(&options);
        assert!(!process.wait().await.success());
        let (printed, errors) = process.kill();
        assert!(errors.contains(&reason), "{options:?}: {errors}");
        assert!(!printed.contains("ready"), "{printed}");
        assert!(!folders.info().exists(), "who waits for the file shall not find one");
    }
}

#[tokio::test]
async fn a_full_disk_is_unhealthy_and_refuses_events_while_the_process_is_up() {
    const MORE_THAN_FITS: u32 = 2000;
    let folders = Folders::new();
    let program = folders.start_on_small_disk(4096).await;
    let send = async |request: reqwest::RequestBuilder| {
        let answer = request.bearer_auth(program.info("/platformToken")).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let health = || send(program.http.get(program.info("/api") + "/health/deep"));
    let (status, healthy) = health().await;
    assert_eq!((status, &healthy["status"]), (200, &json!("ok")), "{healthy}");
    let names = healthy["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["log", "registry", "listing", "signing"]);

    let mut calls = 0;
    let problem = loop {
        let (status, answer) = health().await;
        if status != 200 {
            assert_eq!(status, 503, "{answer}");
            break answer;
        }
        calls += 1;
        assert!(calls < MORE_THAN_FITS, "the disk is not full after {calls} calls");
    };
    assert_eq!(problem["code"], "unhealthy");
    for check in problem["checks"].as_array().unwrap() {
        // Ten seconds, and what a busy machine takes to notice that they are over.
        assert!(check["durationMs"].as_u64().unwrap() < 60_000, "{problem}");
        let writes = ["log", "registry"].contains(&check["name"].as_str().unwrap());
        assert!(writes || check["status"] == "ok", "what is not written works: {problem}");
    }
    assert_eq!(program.get("/health", "auditor").await["status"], "ok", "the process is up");

    // Larger than what is left, also compressed.
    let noise: String = (0..3000_u32).map(|number| sha256(&number.to_be_bytes())).collect();
    let event = json!({
        "action": "UPDATE",
        "entity": {"id": "m-1", "entityType": "MOCK_API"},
        "principal": {"id": "42", "entityType": "USER"},
        "payload": {"noise": noise},
    });
    let url = format!("{}/organisations/{}/events", program.info("/api"), program.info("/organisation"));
    let (status, problem) = send(program.http.post(url).json(&event)).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
    program.interrupt().await;
}
