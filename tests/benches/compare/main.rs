//! Compares the release builds of the API function and of the shipper with what teams write with boto3 and AWS's SDK for
//! JavaScript: processor time for the same work, each as a process of its own, on the same embedded AWS, one after another.
//!
//! `bash .ci/compare` runs it and says what it needs. To run it by hand:
//!
//!     cargo bench -p annals-tests --bench compare --profile dev -- API SHIPPER FOLDER
//!
//! FOLDER has the rivals of `tests/benches/compare/rivals` with their packages. The embedded AWS is a debug build, but only the
//! processes that are compared count. They use no TLS. Valgrind counts instructions, if it is installed; it has no
//! instructions for SHA-256, which the processor has, so its counts are too high rather than too low.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use annals_cloud::Bucket;
use annals_core::{log::append::AppendError, organisation::Organisation, time::Clock as _, token::Role};
use annals_tests::{
    clock::VirtualClock,
    customer::{Customer, name},
    deployment::{Deployment, FunctionRole, platform},
    gateway::{Answer, Request},
    runtime_api::Function,
    sample,
};
use aws_sdk_dynamodb::{
    primitives::Blob,
    types::{AttributeValue, PutRequest, WriteRequest},
};
use flate2::{Compression, write::ZlibEncoder};
use serde_json::{Value, json};

const MEGABYTE: f64 = 1e6;
/// Events that are shipped, by how many are recorded together.
const SHIPPED: [(usize, usize); 2] = [(1000, 100_000), (1, 10_000)];
/// Requests that are recorded, by how many events each has.
const RECORDED: [(usize, usize); 2] = [(1, 800), (100, 100)];
/// Requests before those that count.
const WARM_UP: usize = 20;
/// Organisations that take turns, so that none reaches its rate limit.
const ORGANISATIONS: usize = 8;

/// What must be reached.
#[derive(Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The figures so far, and whether one missed its bound.
#[derive(Debug, Default)]
struct Report {
    missed: usize,
}

impl Report {
    fn figure(&mut self, what: &str, figure: f64, unit: &str, bound: Bound) {
        let (reached, bound) = match bound {
            Bound::AtLeast(least) => (figure >= least, format!("at least {least}")),
            Bound::AtMost(most) => (figure <= most, format!("at most {most}")),
        };
        self.missed += usize::from(!reached);
        let verdict = if reached { "reached" } else { "MISSED" };
        println!("{what:<58} {figure:>9.2} {unit:<12} {bound:<14} {verdict}");
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).map(absolute).collect();
    let [api, shipper, rivals] = paths.as_slice() else {
        eprintln!("which programs, and where are the rivals? bash .ci/compare knows");
        return ExitCode::FAILURE;
    };
    let mut report = Report::default();
    for (batch, events) in SHIPPED {
        ship(&mut report, shipper, rivals, batch, events).await;
    }
    for (batch, requests) in RECORDED {
        record(&mut report, api, rivals, batch, requests).await;
    }
    read(&mut report, api).await;
    if report.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An organisation's log, and the same events as a rival stores them.
struct Backlog {
    deployment: Deployment,
    organisation: Organisation,
    events: usize,
    last: u64,
}

impl Backlog {
    async fn record(batch: usize, events: usize) -> Self {
        let deployment = Deployment::start().await;
        let organisation = deployment.organisation("acme").await;
        // In a time of its own, so that the rate limit leaves room for each append.
        let clock = VirtualClock::new(annals_aws::system::SystemClock.now().minus(Duration::from_secs(2 * 60 * 60)));
        let api = deployment.api_at(clock.clone());
        let all = realistic_events();
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = deployment.cloud().iam().create_user(deployment.cloud().account(), "recorder", everything).unwrap();
        let client = aws_sdk_dynamodb::Client::new(&deployment.cloud().sdk_config(&key));
        let mut items = Vec::new();
        for number in 0..events / batch {
            clock.advance(Duration::from_millis(200));
            let some: Vec<&Value> = (0..batch).map(|index| &all[(number * batch + index) % all.len()]).collect();
            let bodies = some.iter().map(|event| sample::posted(event)).collect();
            append(&api.log, &organisation, bodies).await;
            items.push(rival_item(number * batch + 1, &some));
            if items.len() == 25 || number + 1 == events / batch {
                let log_table = log_table(&deployment);
                let writes = std::mem::take(&mut items);
                client.batch_write_item().request_items(log_table, writes).send().await.unwrap();
            }
        }
        let last = deployment.api().log.tail(&organisation.id).await.unwrap().last;
        Self { deployment, organisation, events, last }
    }

    /// Ships everything to a new customer. Returns the processor time, and the bytes delivered.
    async fn ship(&self, shipper: &Path, compression: &str) -> (Duration, u64) {
        let deployment = &self.deployment;
        let customer = Customer::create(deployment.cloud(), Some(&self.organisation.external_id));
        let settings = json!({"compression": compression});
        let destination = deployment.destination_with(&self.organisation, &customer, &settings).await;
        let environment = deployment.environment(FunctionRole::Shipper);
        let function = Function::start(shipper.to_str().unwrap(), environment).await;
        function.ready().await;
        let order = json!({
            "organisation": "acme", "destination": destination.id.as_str(), "nextSequence": 1, "pending": true,
        });
        let message = json!({"messageId": "1", "body": order.to_string(), "eventSource": "aws:sqs"});
        let begun = function.processor_time();
        let administration = &deployment.api().administration;
        while administration.destination(&self.organisation.id, &destination.id).await.unwrap().next_sequence
            <= self.last
        {
            function.invoke(&json!({"Records": [message]})).await.unwrap();
        }
        let time = function.processor_time() - begun;
        let deliveries = administration.deliveries(&destination, usize::MAX).await.unwrap();
        // The plan includes one destination.
        administration.delete_destination(&self.organisation, &destination.id, &platform()).await.unwrap();
        (time, deliveries.iter().filter_map(|delivery| delivery.content.as_ref()).map(|content| content.bytes).sum())
    }
}

async fn append(log: &annals_core::log::Log, organisation: &Organisation, bodies: Vec<annals_core::event::Body>) {
    match log.append(organisation, bodies, None).await {
        Ok(_) => {}
        Err(AppendError::RateLimited(wait)) => panic!("wait {wait:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn realistic_events() -> Vec<Value> {
    annals_local::demo::realistic_events(3, 1000)
}

fn log_table(deployment: &Deployment) -> String {
    let environment = deployment.environment(FunctionRole::Api);
    environment.into_iter().find(|(name, _)| name == "LOG_TABLE").unwrap().1
}

/// The partition of a rival's items.
const PARTITION: &str = "rival";

fn rival_item(first: usize, events: &[&Value]) -> WriteRequest {
    use std::io::Write as _;
    let mut bodies = ZlibEncoder::new(Vec::new(), Compression::default());
    let lines: Vec<String> = events.iter().map(|event| event.to_string()).collect();
    bodies.write_all(lines.join("\n").as_bytes()).unwrap();
    let put = PutRequest::builder()
        .item("org", AttributeValue::S(PARTITION.into()))
        .item("seq", AttributeValue::N(first.to_string()))
        .item("at", AttributeValue::N("1795341600123".into()))
        .item("bodies", AttributeValue::B(Blob::new(bodies.finish().unwrap())));
    WriteRequest::builder().put_request(put.build().unwrap()).build()
}

async fn ship(report: &mut Report, shipper: &Path, rivals: &Path, batch: usize, events: usize) {
    let how = if batch == 1 { "singly".to_owned() } else { format!("in {batch}s") };
    let backlog = Backlog::record(batch, events).await;
    let own = |time: Duration| time.as_secs_f64() / (backlog.last as f64) * MEGABYTE;
    let (plain, bytes) = backlog.ship(shipper, "none").await;
    let speed = bytes as f64 / plain.as_secs_f64() / MEGABYTE;
    println!("\nshipping {} events recorded {how}, {bytes} bytes: {:.1} µs an event", backlog.last, own(plain));
    report.figure("plain", speed, "MB/s a core", Bound::AtLeast(if batch == 1 { 60.0 } else { 250.0 }));
    let others = |compression: &str| Rival::ALL.map(|rival| rival.ship(&backlog, rivals, compression));
    let each = |seconds: f64| seconds / backlog.events as f64 * MEGABYTE;
    for (rival, seconds) in Rival::ALL.iter().zip(others("none")) {
        let what = format!("plain, {} ({:.1} µs an event) to Annals", rival.name(), each(seconds));
        let least = match (rival, batch) {
            (Rival::Python, 1) => 4.0,
            (Rival::Python, _) => 15.0,
            (Rival::Node, 1) => 2.5,
            (Rival::Node, _) => 10.0,
        };
        report.figure(&what, each(seconds) / own(plain), "times", Bound::AtLeast(least));
    }
    if batch == 1 {
        return;
    }
    let (gzip, compressed) = backlog.ship(shipper, "gzip").await;
    println!("gzip: {compressed} bytes, {:.1} µs an event", own(gzip));
    report.figure("gzip", bytes as f64 / gzip.as_secs_f64() / MEGABYTE, "MB/s a core", Bound::AtLeast(90.0));
    for (rival, seconds) in Rival::ALL.iter().zip(others("gzip")) {
        let what = format!("gzip, {} ({:.1} µs an event) to Annals", rival.name(), each(seconds));
        let least = if *rival == Rival::Python { 6.0 } else { 3.0 };
        report.figure(&what, each(seconds) / own(gzip), "times", Bound::AtLeast(least));
    }
}

async fn record(report: &mut Report, api: &Path, rivals: &Path, batch: usize, requests: usize) {
    let deployment = Deployment::start().await;
    let mut tokens = Vec::new();
    for number in 0..ORGANISATIONS {
        let organisation = deployment.organisation(&format!("org-{number}")).await;
        tokens.push(deployment.token(&organisation, Role::Producer).await);
    }
    let mut environment = deployment.environment(FunctionRole::Api);
    environment.push(("ORGANISATION_RATE".to_owned(), "10000/10000".to_owned()));
    let events = realistic_events();
    let body = if batch == 1 { events[0].clone() } else { Value::from(events[..batch].to_vec()) };
    let request = |token: &str| Request::new("POST", "/events").token(token).json(&body).event();
    let bodies: Vec<Value> = tokens.iter().map(|token| request(token)).collect();
    let program = api.to_str().unwrap();

    let function = Function::start(program, environment.clone()).await;
    ask(&function, &bodies, WARM_UP).await;
    let begun = function.processor_time();
    ask(&function, &bodies, requests).await;
    let own = (function.processor_time() - begun).as_secs_f64() / (requests * batch) as f64 * MEGABYTE;
    drop(function);
    println!("\nrecording {requests} requests with {batch} events: {own:.1} µs an event");
    if let (Some(few), Some(many)) =
        (instructions(program, &environment, &bodies, 0).await, instructions(program, &environment, &bodies, 40).await)
    {
        let (most, each) = if batch == 1 { (1900.0, 40.0) } else { (180.0, 4000.0) };
        report.figure("instructions an event", (many - few) / each / 1000.0, "thousand", Bound::AtMost(most));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request.json");
    fs::write(&file, bodies[0].to_string()).unwrap();
    for rival in Rival::ALL {
        let words = ["record", file.to_str().unwrap(), &requests.to_string()];
        let seconds = rival.run(rivals, environment.clone(), &words);
        let other = seconds / (requests * batch) as f64 * MEGABYTE;
        let least = match (rival, batch) {
            (_, 1) => 2.5,
            (Rival::Python, _) => 4.5,
            (Rival::Node, _) => 3.0,
        };
        let what = format!("{} ({other:.1} µs an event) to Annals", rival.name());
        report.figure(&what, other / own, "times", Bound::AtLeast(least));
    }
}

async fn ask(function: &Function, bodies: &[Value], requests: usize) {
    for number in 0..requests {
        let answer = Answer::of(&function.invoke(&bodies[number % bodies.len()]).await.unwrap());
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
}

/// Counts the instructions of a process that answers `requests` requests after the warm-up. None without valgrind.
async fn instructions(
    program: &str,
    environment: &[(String, String)],
    bodies: &[Value],
    requests: usize,
) -> Option<f64> {
    Command::new("valgrind").arg("--version").output().ok()?;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("valgrind.log");
    let log_file = format!("--log-file={}", log.display());
    let words = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", &log_file, program];
    let function = Function::start_by("valgrind", words, environment.iter().cloned()).await;
    ask(&function, bodies, WARM_UP + requests).await;
    function.terminate().await;
    let log = fs::read_to_string(&log).unwrap();
    let line = log.lines().find(|line| line.contains("refs:")).unwrap_or_else(|| panic!("no count: {log}"));
    let digits: String = line.rsplit(':').next().unwrap().chars().filter(char::is_ascii_digit).collect();
    Some(digits.parse().unwrap())
}

/// Searches, counts and exports 50,000 events.
async fn read(report: &mut Report, api: &Path) {
    const CALLS: usize = 3;
    let backlog = Backlog::record(1000, 50_000).await;
    let token = backlog.deployment.token(&backlog.organisation, Role::Auditor).await;
    let mut environment = backlog.deployment.environment(FunctionRole::Api);
    environment.push(("ORGANISATION_RATE".to_owned(), "10000/10000".to_owned()));
    let function = Function::start(api.to_str().unwrap(), environment).await;
    println!("\nreading {} events recorded in 1000s", backlog.last);
    let calls = [
        (
            "search for a type without a match",
            "/audit?pageSize=1000&sort=timestamp&type=nothing",
            "application/json",
            2.5,
        ),
        ("search for a text without a match", "/audit?pageSize=1000&sort=timestamp&q=quasar", "application/json", 2.5),
        ("counts by type", "/audit/stats?by=type&interval=day&since=2020-01-01", "application/json", 2.5),
        ("CSV", "/audit?pageSize=1000&sort=timestamp", "text/csv", 12.0),
    ];
    for (what, target, accept, most) in calls {
        let event = Request::new("GET", target).token(&token).header("accept", accept).event();
        let read = async || {
            let answer = Answer::of(&function.invoke(&event).await.unwrap());
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer
        };
        read().await;
        let begun = function.processor_time();
        let mut events = 0;
        let calls = if accept == "text/csv" { 10 * CALLS } else { CALLS };
        for _ in 0..calls {
            let answer = read().await;
            events += if accept == "text/csv" { 1000 } else { scanned(&answer.body, backlog.last) };
        }
        let time = (function.processor_time() - begun).as_secs_f64();
        report.figure(what, time / events as f64 * MEGABYTE, "µs an event", Bound::AtMost(most));
    }
}

/// Returns how many events an answer without a match has examined.
fn scanned(body: &str, last: u64) -> u64 {
    let answer: Value = serde_json::from_str(body).unwrap();
    match answer["_links"]["next"]["href"].as_str() {
        Some(next) => {
            let from = next.split(['?', '&']).find_map(|pair| pair.strip_prefix("from=")).unwrap();
            annals_core::id::EventId::parse(from).unwrap().sequence() - 1
        }
        None => last,
    }
}

/// Who does the same in another language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rival {
    Python,
    Node,
}

impl Rival {
    const ALL: [Self; 2] = [Self::Python, Self::Node];

    fn name(self) -> &'static str {
        match self {
            Self::Python => "boto3",
            Self::Node => "Node SDK v3",
        }
    }

    /// Ships the rival's items. Returns the processor time in seconds.
    fn ship(self, backlog: &Backlog, folder: &Path, compression: &str) -> f64 {
        let cloud = backlog.deployment.cloud();
        let bucket = name("rival");
        cloud.iam().put_bucket(Bucket::new(&bucket, cloud.account(), "us-east-1")).unwrap();
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = cloud.iam().create_user(cloud.account(), "rival", everything).unwrap();
        let mut environment = backlog.deployment.environment(FunctionRole::Shipper);
        environment.retain(|(name, _)| !name.starts_with("AWS_ACCESS_KEY") && !name.starts_with("AWS_SECRET"));
        environment.extend([
            ("AWS_ACCESS_KEY_ID".to_owned(), key.id.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), key.secret.clone()),
            ("BUCKET".to_owned(), bucket),
        ]);
        self.run(folder, environment, &["ship", PARTITION, compression])
    }

    fn run(self, folder: &Path, environment: Vec<(String, String)>, words: &[&str]) -> f64 {
        let (program, script) = match self {
            Self::Python => ("bin/python", "python/rival.py"),
            Self::Node => ("node-program", "node/rival.mjs"),
        };
        let python_path = ("PYTHONPATH".to_owned(), folder.join("python").to_str().unwrap().to_owned());
        let region = ("AWS_REGION".to_owned(), "us-east-1".to_owned());
        let default_region = ("AWS_DEFAULT_REGION".to_owned(), "us-east-1".to_owned());
        let output = Command::new(folder.join(program))
            .arg(folder.join(script))
            .args(words)
            .env_clear()
            .envs(environment.into_iter().chain([python_path, region, default_region]))
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {stdout}{stderr}", self.name());
        stdout.trim().parse().unwrap()
    }
}

/// `cargo bench` runs in the package's folder; paths are meant from the workspace's.
fn absolute(argument: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(argument)
}
