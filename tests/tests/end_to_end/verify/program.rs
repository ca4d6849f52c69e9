//! The program `annals-verify`, on objects that the real shipper delivered into the embedded cloud: from a bucket over the S3
//! protocol, from a folder, and with the tail from the real API.

use std::{fs, path::Path, process::Output, time::Duration};

use annals_local::system::System;
use annals_tests::{
    customer::Customer,
    deployment::{PLATFORM_TOKEN, start_system},
};
use serde_json::{Value, json};

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
        let customer = Customer::create(system.cloud(), None);
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
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(600)).build().unwrap();
        let mut fixture = Self { system, customer, http, auditor: String::new(), environment };
        fixture.call("PUT", "/organisations/acme", json!({"name": "Acme", "plan": "enterprise"})).await;
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
    assert!(out.starts_with("Proven: ") && out.ends_with("the end matches the log's tail.\n"), "{out}");

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
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");

    let s3 = fixture.customer.s3(fixture.system.cloud());
    let keys: Vec<String> = fixture.customer.objects(fixture.system.cloud()).await.into_keys().collect();
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
    let cases: [(&[&str], Option<&str>, &str); 15] = [
        (&[], None, "required"),
        (&[place, "--frist", "1"], None, "--frist"),
        (&[place, "--first", "0"], None, "--first"),
        (&[&nowhere], None, "is not a folder"),
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
    assert_eq!((status, err.as_str()), (Some(0), ""));
    fixture.system.stop().await;
}
