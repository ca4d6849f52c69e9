//! Measures cold starts of the API function: starts the program of `sam build` with Lambda's Runtime API and a DynamoDB
//! behind TLS many times and compares it with budgets and with functions in Python and JavaScript that make the same
//! append with AWS's libraries.
//!
//! `bash .ci/cold-start` runs it. To run it by hand, with or without the folder of the other functions:
//!
//!     cargo bench -p annals-tests --bench cold_start --profile dev -- target/lambda/annals-api/bootstrap .venv-cold-start
//!
//! Files are cached in memory, and DynamoDB is a debug build on the same machine. Times do not include Lambda's own
//! preparations.

mod endpoint;
mod subject;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use annals_core::token::Role;
use annals_tests::{
    deployment::{Deployment, FunctionRole},
    gateway::Request,
};
use serde_json::{Value, json};

use crate::{
    endpoint::TlsEndpoint,
    subject::{Instructions, Measured, Subject},
};

/// The certificates that the function believes by itself. Here a file names them and one more.
const AMAZON_ROOTS: &str = include_str!("../../../shared/aws/src/amazon-roots.pem");
const MEGABYTE: f64 = 1_048_576.0;
const MILLION: f64 = 1e6;

/// The upper bound of a measurement.
struct Budget {
    what: &'static str,
    unit: &'static str,
    most: f64,
    figure: fn(&Measured) -> f64,
}

const BUDGETS: [Budget; 4] = [
    Budget { what: "exec to /next", unit: "ms", most: 10.0, figure: |measured| millis(measured.init) },
    Budget { what: "resident at /next", unit: "MB", most: 12.0, figure: |measured| megabytes(measured.resident_bytes) },
    Budget {
        what: "resident after 1,000",
        unit: "MB",
        most: 24.0,
        figure: |measured| megabytes(measured.worked_bytes),
    },
    Budget { what: "package, zipped", unit: "MB", most: 3.0, figure: |measured| megabytes(measured.package_bytes) },
];
/// What functions are compared by.
struct Column {
    heading: &'static str,
    unit: &'static str,
    figure: fn(&Measured) -> f64,
}

const COLUMNS: [Column; 5] = [
    Column { heading: "exec to /next", unit: "ms", figure: |measured| millis(measured.init) },
    Column { heading: "first append", unit: "ms", figure: |measured| millis(measured.first) },
    Column { heading: "at /next", unit: "MB", figure: |measured| megabytes(measured.resident_bytes) },
    Column { heading: "after 1,000", unit: "MB", figure: |measured| megabytes(measured.worked_bytes) },
    Column { heading: "zipped", unit: "MB", figure: |measured| megabytes(measured.package_bytes) },
];

/// Of start and first append together, wherever the handshake is made.
const MOST_INSTRUCTIONS: f64 = 14e6;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(absolute).collect();
    let Some(bootstrap) = arguments.first() else {
        eprintln!("which program? bash .ci/cold-start builds it");
        return ExitCode::FAILURE;
    };
    let scratch = tempfile::tempdir().unwrap();
    let fixture = Fixture::start(scratch.path()).await;
    let annals = fixture.annals(bootstrap);
    let measured = annals.measure().await;
    let instructions = annals.count(scratch.path()).await;

    let mut broken = false;
    println!("{:<22} {:>10} {:>10}", "the API function", "measured", "budget");
    for budget in &BUDGETS {
        let figure = (budget.figure)(&measured);
        let verdict = if figure <= budget.most { "reached" } else { "NOT reached" };
        broken |= figure > budget.most;
        println!("{:<22} {figure:>7.2} {} {:>7.0} {}  {verdict}", budget.what, budget.unit, budget.most, budget.unit);
    }
    println!("{:<22} {:>7.2} ms", "first append", millis(measured.first));
    match instructions {
        Some(Instructions { init, first }) => {
            let sum = (init + first) as f64;
            let verdict = if sum <= MOST_INSTRUCTIONS { "reached" } else { "NOT reached" };
            broken |= sum > MOST_INSTRUCTIONS;
            println!(
                "{:<22} {:>7.2} M  {:>7.0} M   {verdict}: {:.2} M to /next, TLS handshake included, {:.2} M the first append",
                "instructions",
                sum / MILLION,
                MOST_INSTRUCTIONS / MILLION,
                init as f64 / MILLION,
                first as f64 / MILLION,
            );
        }
        None => println!("instructions           NOT COUNTED: valgrind is not installed"),
    }

    if let Some(folder) = arguments.get(1) {
        let others = [fixture.python(folder), fixture.node(folder)];
        println!("\n{:<8} {}", "", COLUMNS.map(|column| format!("{:>16}", column.heading)).join(" "));
        print(&annals, &measured, &measured);
        for other in &others {
            print(other, &other.measure().await, &measured);
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the functions find: a deployment with an organisation, its DynamoDB behind TLS, and whom to believe.
struct Fixture {
    environment: Vec<(String, String)>,
    append: Value,
    read: Value,
    endpoint: TlsEndpoint,
    scratch: PathBuf,
    _deployment: Deployment,
}

impl Fixture {
    async fn start(scratch: &Path) -> Self {
        let deployment = Deployment::start().await;
        let acme = deployment.organisation("acme").await;
        let producer = deployment.token(&acme, Role::Producer).await;
        let auditor = deployment.token(&acme, Role::Auditor).await;
        let plain = deployment.cloud().endpoints().dynamodb.clone();
        let endpoint = TlsEndpoint::start(plain.trim_start_matches("http://").parse().unwrap()).await;
        let mut environment = deployment.environment(FunctionRole::Api);
        for (name, value) in &mut environment {
            if name == "AWS_ENDPOINT_URL_DYNAMODB" {
                *value = endpoint.url.clone();
            }
        }
        environment.push(("ORGANISATION_RATE".to_owned(), "10000/10000".to_owned()));
        let event = json!({
            "action": "UPDATE",
            "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
            "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
        });
        Self {
            environment,
            append: Request::new("POST", "/events").token(&producer).json(&event).event(),
            read: Request::new("GET", "/audit?sort=-timestamp&pageSize=100").token(&auditor).event(),
            endpoint,
            scratch: scratch.to_owned(),
            _deployment: deployment,
        }
    }

    fn annals(&self, bootstrap: &Path) -> Subject {
        let roots = self.file("annals.pem", AMAZON_ROOTS);
        Subject {
            name: "Rust",
            command: vec![text(bootstrap)],
            environment: self.environment(&[("SSL_CERT_FILE", &roots)]),
            package: bootstrap.to_owned(),
            starts: 50,
            append: self.append.clone(),
            read: Some(self.read.clone()),
        }
    }

    /// Python with boto3, by Lambda's own client of the Runtime API, and with the certificates that boto3 believes.
    fn python(&self, folder: &Path) -> Subject {
        let package = folder.join("python");
        let roots = self.file("python.pem", &fs::read_to_string(package.join("botocore/cacert.pem")).unwrap());
        let path = text(&package);
        Subject {
            name: "Python",
            command: [&text(&folder.join("bin/python")), "-m", "awslambdaric", "app.handler"].map(str::to_owned).into(),
            environment: self.environment(&[
                ("AWS_CA_BUNDLE", &roots),
                ("LAMBDA_TASK_ROOT", &path),
                ("PYTHONPATH", &path),
            ]),
            package,
            starts: 9,
            append: self.append.clone(),
            read: None,
        }
    }

    /// Node with the SDK, by Lambda's own client of the Runtime API. Node believes what is built into it, and one more.
    fn node(&self, folder: &Path) -> Subject {
        let package = folder.join("node");
        let roots = self.file("node.pem", "");
        let client = package.join("node_modules/aws-lambda-ric/index.mjs");
        Subject {
            name: "Node",
            command: vec![text(&folder.join("node-program")), text(&client)],
            environment: self.environment(&[
                ("LAMBDA_TASK_ROOT", &text(&package)),
                ("NODE_EXTRA_CA_CERTS", &roots),
                ("_HANDLER", "app.handler"),
            ]),
            package,
            starts: 9,
            append: self.append.clone(),
            read: None,
        }
    }

    fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment.iter().cloned().chain(more).collect()
    }

    /// A file with `certificates` and the endpoint's root.
    fn file(&self, name: &str, certificates: &str) -> String {
        let path = self.scratch.join(name);
        fs::write(&path, format!("{certificates}\n{}", self.endpoint.root)).unwrap();
        text(&path)
    }
}

fn print(subject: &Subject, measured: &Measured, base: &Measured) {
    let cells = COLUMNS.map(|Column { unit, figure, .. }| {
        let (own, base) = (figure(measured), figure(base));
        format!("{:>16}", format!("{own:.1} {unit} {:>3.0}x", own / base))
    });
    println!("{:<8} {}", subject.name, cells.join(" "));
}

/// `cargo bench` runs in the package's folder; paths are meant from the workspace's.
fn absolute(argument: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(argument)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MEGABYTE
}
