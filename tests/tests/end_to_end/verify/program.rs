//! The program `annals-verify`, on objects that the real shipper delivered into the embedded cloud: from a bucket over the S3
//! protocol, from a folder, and with the tail from the real API.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use annals_local::system::System;
use annals_tests::{
    customer::Customer,
    deployment::{PLATFORM_TOKEN, start_system},
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::delivery::decode;

struct Fixture {
    system: System,
    customer: Customer,
    http: reqwest::Client,
    auditor: String,
    environment: Vec<(String, String)>,
}

impl Fixture {
    /// Starts the system with an organisation whose events go to a customer's bucket, compressed and below `audit/`.
    async fn start() -> Self {
        let system = start_system(None).await;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(600)).build().unwrap();
        let acme = json!({"name": "Acme", "plan": "enterprise"}).to_string();
        let created = http.put(format!("{}/organisations/acme", system.url())).bearer_auth(PLATFORM_TOKEN).body(acme);
        let created = created.header("content-type", "application/json").send().await.unwrap();
        let acme: Value = serde_json::from_str(&created.text().await.unwrap()).unwrap();
        let customer = Customer::create(system.cloud(), acme["externalId"].as_str());
        let reader =
            json!({"Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": "*"}]});
        let key = system.cloud().iam().create_user(&customer.account, "reader", reader).unwrap();
        let environment = [
            ("AWS_ACCESS_KEY_ID", key.id),
            ("AWS_SECRET_ACCESS_KEY", key.secret),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL_S3", system.cloud().endpoints().s3.clone()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let mut fixture = Self { system, customer, http, auditor: String::new(), environment };
        let token = json!({"name": "auditor", "role": "auditor"});
        let token = fixture.call("POST", "/organisations/acme/tokens", token).await;
        fixture.auditor = token["token"].as_str().unwrap().to_owned();
        let destination = json!({
            "bucket": fixture.customer.bucket, "roleArn": fixture.customer.role_arn,
            "prefix": "audit", "compression": "gzip", "layout": "hive",
        });
        fixture.call("POST", "/organisations/acme/destinations", destination).await;
        fixture
    }

    /// Calls the API with the platform token.
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let request = self.http.request(method.parse().unwrap(), self.system.url() + path);
        let request = request.bearer_auth(PLATFORM_TOKEN).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Returns what the API returns to the platform token.
    async fn text(&self, path: &str) -> String {
        let request = self.http.get(self.system.url() + path).bearer_auth(PLATFORM_TOKEN);
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    async fn deliver(&self, events: usize) {
        let event = |number| {
            json!({
                "action": "CREATE",
                "entity": {"id": format!("m-{number}"), "name": "Payments", "entityType": "MOCK_API"},
                "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER"},
            })
        };
        self.call("POST", "/organisations/acme/events", (0..events).map(event).collect()).await;
        self.call("POST", "/_local/tick", json!({})).await;
    }

    /// Runs the program. Returns its exit status, standard output and standard error.
    async fn run(&self, arguments: &[&str], token: Option<&str>) -> (Option<i32>, String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_verify-under-test"));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        let Output { status, stdout, stderr } =
            command.envs(token.map(|token| ("ANNALS_TOKEN", token))).output().await.unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Runs the program with this standard input.
    async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_verify-under-test"));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = streams.spawn().unwrap();
        let mut stdin = program.stdin.take().unwrap();
        stdin.write_all(input).await.unwrap();
        drop(stdin);
        let Output { status, stdout, stderr } = program.wait_with_output().await.unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Returns all delivered lines, in order.
    async fn lines(&self) -> Vec<u8> {
        let objects = self.customer.objects(self.system.cloud()).await;
        let events = objects.into_iter().filter(|(key, _)| key.ends_with(".json.gz"));
        events.flat_map(|(_, content)| decode(&content).unwrap()).collect()
    }

    /// Copies the bucket into a folder.
    async fn download(&self, folder: &Path) {
        for (key, content) in self.customer.objects(self.system.cloud()).await {
            let file = folder.join(key);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_proven_from_bucket_and_folder_and_a_deleted_object_is_missing() {
    let fixture = Fixture::start().await;
    for _ in 0..3 {
        fixture.deliver(5).await;
    }
    let bucket = format!("s3://{}", fixture.customer.bucket);
    let api = fixture.system.url();

    let (status, out, err) = fixture.run(&[&bucket, "--tail-url", &api, "--first", "1"], Some(&fixture.auditor)).await;
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("Proven: ") && out.contains(": the log's tail.\n"), "{out}");
    assert!(out.contains("\n  From sequence 1: the beginning of the log.\n"), "{out}");

    // Fetching the tail was recorded: now the log is one event ahead of the bucket.
    let arguments = [&bucket, "--prefix", "audit", "--tail-url", &api, "--organisation", "acme", "--json"];
    let (status, out, _) = fixture.run(&arguments, Some(PLATFORM_TOKEN)).await;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &report["verdict"], &report["behind"]), (Some(1), &json!("behind"), &json!(1)), "{out}");

    let folder = tempfile::tempdir().unwrap();
    let (saved, objects) = (folder.path().join("tail.json"), folder.path().join("objects"));
    fs::create_dir(&objects).unwrap();
    let tail = fixture.call("GET", "/organisations/acme/audit/tail", json!({})).await;
    fs::write(&saved, tail.to_string()).unwrap();
    let (saved, place) = (saved.to_str().unwrap(), objects.to_str().unwrap());
    fixture.download(&objects).await;
    let (status, out, _) = fixture.run(&[place, "--tail", saved], None).await;
    assert_eq!(status, Some(1), "{out}");
    assert!(out.starts_with("NOT PROVEN YET: "), "{out}");
    fixture.deliver(1).await;
    fixture.download(&objects).await;
    let (status, out, err) = fixture.run(&[place, "--tail", saved], None).await;
    assert_eq!((status, err.as_str()), (Some(3), ""), "{out}");
    let sequence = &tail["sequence"];
    assert!(out.contains(&format!("  Proven: sequences 1 to {sequence}, none missing, none altered, as of ")), "{out}");
    assert!(out.contains(&format!(": behind sequence {sequence}, the last one that is confirmed.")), "{out}");

    let s3 = fixture.customer.s3(fixture.system.cloud());
    let keys = fixture.customer.objects(fixture.system.cloud()).await.into_keys();
    let keys: Vec<String> = keys.filter(|key| key.ends_with(".json.gz")).collect();
    s3.delete_object().bucket(&fixture.customer.bucket).key(&keys[1]).send().await.unwrap();
    fs::remove_file(objects.join(&keys[1])).unwrap();
    for source in [place, &format!("{bucket}/audit")] {
        let (status, out, err) = fixture.run(&[source, "--tail", saved], None).await;
        assert_eq!((status, err.as_str()), (Some(1), ""), "{out}");
        assert!(out.starts_with("NOT PROVEN: 1 problem ") && out.contains("1. MISSING: "), "{out}");
    }
    fixture.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_cannot_be_checked_is_neither_proven_nor_disproven() {
    let fixture = Fixture::start().await;
    fixture.deliver(1).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let rubbish = folder.path().join("rubbish.json");
    fs::write(&rubbish, "{}").unwrap();
    fixture.download(folder.path()).await;
    let (empty, rubbish, api) = (empty.to_str().unwrap(), rubbish.to_str().unwrap(), fixture.system.url());
    let bucket = format!("s3://{}", fixture.customer.bucket);
    let nowhere = format!("{place}/nowhere");
    let state = format!("{place}/state.json");
    fs::write(&state, "{}").unwrap();
    let cases: [(&[&str], Option<&str>, &str); 20] = [
        (&[], None, "required"),
        (&[place, "--frist", "1"], None, "--frist"),
        (&[place, "--first", "0"], None, "--first"),
        (&[&nowhere], None, "is not a folder and not a file"),
        (&[place, &nowhere], None, "is not a folder and not a file"),
        (&[place, "--key", "no-key"], None, "--key is neither a verifier key"),
        (&[place, "--key", rubbish], None, "does not contain verifier keys"),
        (&[place, "--state", &state], None, "cannot use the state"),
        (&[place, "--as-of", "yesterday"], None, "--as-of"),
        (&[empty], None, "no delivered object"),
        (&[place, "--region", "eu-west-1"], None, "--region requires a bucket"),
        (&[place, "--tail", &nowhere], None, "cannot read the tail"),
        (&[place, "--tail", rubbish], None, "does not contain a tail"),
        (&[place, "--tail-url", &api], None, "ANNALS_TOKEN"),
        (&[place, "--tail-url", &api], Some("wrong"), "the API refused with status 401"),
        (&[place, "--tail-url", "http://api.example.com"], Some("secret"), "must be https://"),
        (&[place, "--tail-url", "http://127.0.0.1:1"], Some("secret"), "no response from the API"),
        (&["s3://no-such-bucket-of-this-test"], None, "NoSuchBucket"),
        (&[&bucket, "--region", "eu-west-1"], None, "use --region us-east-1"),
        (&[&bucket, "--profile", "nobody"], None, "no AWS credentials"),
    ];
    for (arguments, token, reason) in cases {
        let (status, out, err) = fixture.run(arguments, token).await;
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(reason) && !err.contains("secret"), "{arguments:?}: {err}");
    }
    let arguments = [&bucket, "--region", "us-east-1", "--tail-url", &api, "--organisation", "acme"];
    let (status, _, err) = fixture.run(&arguments, Some(PLATFORM_TOKEN)).await;
    assert_eq!((status, err.as_str()), (Some(0), ""));
    fixture.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collected_files_several_sources_and_standard_input_are_checked_like_a_bucket() {
    let mut fixture = Fixture::start().await;
    fixture.deliver(5).await;
    fixture.deliver(5).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tail, file, other) = (path("tail.json"), path("events.ndjson"), path("rest/page.ndjson"));
    fs::write(&tail, fixture.call("GET", "/organisations/acme/audit/tail", json!({})).await.to_string()).unwrap();
    fixture.deliver(1).await;
    let lines = fixture.lines().await;
    fs::create_dir(folder.path().join("rest")).unwrap();
    fs::write(&file, &lines).unwrap();
    let proven = |(status, out, err): (Option<i32>, String, String)| {
        // The events after the tail are not confirmed.
        assert_eq!((status, err.as_str()), (Some(3), ""), "{out}");
        assert!(out.contains("\n  From sequence 1: the beginning of the log.\n"), "{out}");
        assert!(out.contains(": the log's tail.\n"), "{out}");
    };
    proven(fixture.run(&[&file, "--tail", &tail], None).await);
    let cut = lines.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&file, &lines[..cut]).unwrap();
    fs::write(&other, &lines[cut..]).unwrap();
    proven(fixture.run(&[&file, &path("rest"), "--tail", &tail], None).await);
    proven(fixture.run(&[&path(""), "--ignore", "tail.json", "--tail", &tail], None).await);
    fs::write(path(".DS_Store"), "junk").unwrap();
    let (status, out, _) = fixture.run(&[&path(""), "--tail", &tail], None).await;
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("1. FOREIGN OBJECT: tail.json: ") && out.contains("skipped 1 object: "), "{out}");
    proven(fixture.run_with_input(&[&file, "-", "--tail", &tail], &lines[cut..]).await);
    let (status, out, _) = fixture.run_with_input(&["-", "--tail", &tail, "--first", "1"], &lines[cut..]).await;
    assert_eq!(status, Some(1), "{out}");
    // The bucket, and its region is not the environment's.
    fixture.environment[2].1 = "eu-west-1".into();
    let bucket = format!("s3://{}/audit", fixture.customer.bucket);
    proven(fixture.run(&[&bucket, "--tail", &tail], None).await);
    proven(fixture.run(&[&bucket, &file, "--tail", &tail], None).await);
    fixture.environment.remove(2);
    proven(fixture.run(&[&bucket, "--tail", &tail], None).await);
    fixture.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_proven_by_its_checkpoints_and_the_public_key() {
    let fixture = Fixture::start().await;
    for _ in 0..3 {
        fixture.deliver(5).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (keys, checkpoint, state) = (path("keys.json"), path("checkpoint.txt"), path("state.json"));
    let response = fixture.call("GET", "/keys", json!({})).await;
    let key = response["keys"][0]["verifierKey"].as_str().unwrap();
    fs::write(&keys, response.to_string()).unwrap();
    let bucket = format!("s3://{}/audit", fixture.customer.bucket);
    for key in [keys.as_str(), key] {
        let (status, out, err) = fixture.run(&[&bucket, "--key", key, "--state", &state, "--json"], None).await;
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&report["verdict"], &report["checkpoints"]), (&json!("proven"), &json!(3)), "{out}");
        assert_eq!(report["proven"][0]["firstSequence"], json!(1), "{out}");
        assert_eq!(report["proven"][0]["lastSequence"], report["lastSequence"], "{out}");
    }
    // The script for auditors agrees.
    let objects = folder.path().join("objects");
    fixture.download(&objects).await;
    let (passed, printed) = super::auditing::run("check.sh", &[key, objects.to_str().unwrap()]);
    assert!(passed && printed.matches(": OK\n").count() == 3, "{printed}");

    // Collected from the API, up to a signed end.
    let note = fixture.text("/organisations/acme/audit/checkpoint").await;
    fs::write(&checkpoint, &note).unwrap();
    fixture.call("POST", "/_local/tick", json!({})).await;
    let last = note.lines().nth(1).unwrap().parse().unwrap();
    let lines = fixture.lines().await;
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').take(last).collect();
    let (status, out, err) =
        fixture.run_with_input(&["-", "--key", &keys, "--tail", &checkpoint], &lines.concat()).await;
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");

    let object = fixture.customer.objects(fixture.system.cloud()).await.into_keys().next_back().unwrap();
    let s3 = fixture.customer.s3(fixture.system.cloud());
    s3.delete_object().bucket(&fixture.customer.bucket).key(&object).send().await.unwrap();
    let (status, out, _) = fixture.run(&[&bucket, "--key", &keys], None).await;
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains(&format!("according to a checkpoint, delivered in {object}\n")), "{out}");
    fixture.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_lets_the_next_run_begin_where_the_last_one_ended() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tail, state, events) = (path("tail.json"), path("state.json"), path("events.ndjson"));
    let arguments = [events.as_str(), "--tail", &tail, "--state", &state];
    let (mut seen, mut states) = (0, Vec::new());
    for _ in 0..3 {
        fixture.deliver(5).await;
        fs::write(&tail, fixture.call("GET", "/organisations/acme/audit/tail", json!({})).await.to_string()).unwrap();
        fixture.call("POST", "/_local/tick", json!({})).await;
        let lines = fixture.lines().await;
        let tail: Value = serde_json::from_slice(&fs::read(&tail).unwrap()).unwrap();
        // Only what is new, up to the tail.
        let new: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
        let last = usize::try_from(tail["sequence"].as_u64().unwrap()).unwrap();
        fs::write(&events, new[seen..last].concat()).unwrap();
        seen = last;
        let (status, out, err) = fixture.run(&arguments, None).await;
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        let stored: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        let expected = (&json!("acme"), &json!(1), &tail["sequence"], &tail["hash"]);
        let found = (&stored["organisation"], &stored["firstSequence"], &stored["lastSequence"], &stored["lastHash"]);
        assert_eq!(found, expected);
        states.push(stored);
    }
    // A run that proves nothing stores nothing.
    fs::write(&events, "").unwrap();
    let (status, out, _) = fixture.run(&[&events, "--state", &state], None).await;
    assert_eq!(status, Some(1), "{out}");
    let stored: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    assert_eq!(Some(&stored), states.last());
    fixture.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_profile_takes_precedence_over_keys_in_the_environment() {
    let mut fixture = Fixture::start().await;
    fixture.deliver(1).await;
    let folder = tempfile::tempdir().unwrap();
    let (id, secret) = (fixture.environment[0].1.clone(), fixture.environment[1].1.clone());
    let file = folder.path().join("credentials");
    fs::write(&file, format!("[reader]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")).unwrap();
    fixture.environment[1].1 = "wrong".into();
    fixture.environment.push(("AWS_SHARED_CREDENTIALS_FILE".into(), file.to_str().unwrap().into()));
    let bucket = format!("s3://{}", fixture.customer.bucket);
    let (status, _, err) = fixture.run(&[&bucket], None).await;
    assert_eq!(status, Some(2), "{err}");
    let (status, _, err) = fixture.run(&[&bucket, "--profile", "reader"], None).await;
    assert_eq!((status, err.as_str()), (Some(3), ""));
    fixture.system.stop().await;
}
