//! AWS Lambda for a function's process: its variables, and the Runtime API from which it takes events and to which it
//! answers (AWS, "Using the Lambda runtime API for custom runtimes", version 2018-06-01).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use annals_aws::system::SystemClock;
use annals_core::time::Clock as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{Response, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::process::Process;

/// The time limit of an invocation: the longest in `template.yaml`, the shipper's.
const TIMEOUT: Duration = Duration::from_secs(180);

/// The variables that Lambda sets, without the function's name and the Runtime API's address.
const ENVIRONMENT: [(&str, &str); 14] = [
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
    ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef"),
    ("AWS_REGION", "us-east-1"),
    ("LANG", "en_US.UTF-8"),
    ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ("LAMBDA_TASK_ROOT", "/var/task"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ("TZ", ":UTC"),
    ("_HANDLER", "bootstrap"),
];

/// A function that can be invoked. Dropping it ends the process, and shows its logs if the test fails.
#[derive(Debug)]
pub struct Function {
    process: Process,
    runtime: Arc<Runtime>,
    events: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
pub struct Logs {
    /// Standard output, to which functions log.
    pub stdout: String,
    /// Standard error, to which only unhandled errors go.
    pub stderr: String,
}

#[derive(Debug)]
struct Runtime {
    arn: String,
    /// When the function first asked for an event.
    ready: watch::Sender<Option<Instant>>,
    /// How many requests for an event wait.
    pollers: watch::Sender<usize>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    state: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    count: u64,
    answers: HashMap<String, oneshot::Sender<Result<Value, Value>>>,
    init_error: Option<Value>,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: String,
}

impl Function {
    /// Starts a function's binary with no other variables than Lambda's and `environment`.
    pub async fn start(binary: &str, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::start_by(binary, [], environment).await
    }

    /// Starts a function that another program runs, for instance an interpreter.
    pub async fn start_by<'a>(
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let name = program.rsplit('/').next().unwrap_or(program);
        let (events, waiting) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            arn: format!("arn:aws:lambda:us-east-1:111122223333:function:{name}"),
            ready: watch::Sender::new(None),
            pollers: watch::Sender::new(0),
            waiting: tokio::sync::Mutex::new(waiting),
            state: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(Arc::clone(&runtime));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let own = [
            ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name.to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME".to_owned(), format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_RUNTIME_API".to_owned(), address.to_string()),
        ];
        let lambda = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let process = Process::start(program, arguments, lambda.into_iter().chain(own).chain(environment));
        Self { process, runtime, events, server }
    }

    /// Invokes the function.
    ///
    /// # Errors
    /// Returns what Lambda returns if the function fails: the error that the function reported, `Runtime.ExitError` if
    /// it ended, or `Sandbox.Timedout` if it did not answer in time.
    pub async fn invoke(&self, event: &Value) -> Result<Value, Value> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.runtime.lock();
            state.count += 1;
            let id = format!("00000000-0000-4000-8000-{:012}", state.count);
            state.answers.insert(id.clone(), answer);
            id
        };
        let failure = |kind: &str, message: &str| {
            Err(json!({"errorType": kind, "errorMessage": format!("RequestId: {id} Error: {message}")}))
        };
        // The server holds the other end as long as `self` lives.
        self.events.send(Invocation { id: id.clone(), event: event.to_string() }).unwrap();
        tokio::select! {
            biased;
            Ok(answer) = answered => answer,
            () = self.process.closed() => match self.runtime.lock().init_error.clone() {
                Some(error) => Err(error),
                None => failure("Runtime.ExitError", "Runtime exited"),
            },
            () = tokio::time::sleep(TIMEOUT) => failure("Sandbox.Timedout", "Task timed out"),
        }
    }

    /// Waits until the function asks for its first event, which ends its start, and returns the time of that.
    pub async fn ready(&self) -> Instant {
        let mut ready = self.runtime.ready.subscribe();
        tokio::select! {
            biased;
            Ok(at) = ready.wait_for(Option::is_some) => at.unwrap(),
            () = self.process.closed() => panic!("the function ended before it asked for an event"),
        }
    }

    /// Waits until so many pollers of the function wait for an event.
    pub async fn until_idle(&self, pollers: usize) {
        let mut waiting = self.runtime.pollers.subscribe();
        tokio::select! {
            biased;
            Ok(_) = waiting.wait_for(|waiting| *waiting == pollers) => {}
            () = self.process.closed() => panic!("the function ended"),
        }
    }

    /// The peak resident memory in bytes (Linux, `VmHWM`).
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// The processor time so far (Linux).
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        cpu_time(&self.process.id().to_string())
    }

    /// The resident memory in bytes (Linux, `VmRSS`).
    #[must_use]
    pub fn resident_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The processor time that the process has used, in its code and in the kernel, to a hundredth of a second (Linux).
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        const TICKS_A_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The second field is the name in parentheses. `utime` and `stime` are the fields 14 and 15 (proc(5)).
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
    }

    fn memory_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Asks the function to end, as Lambda does, and waits for it.
    pub async fn terminate(&self) {
        self.process.signal("TERM");
        self.process.closed().await;
    }

    /// Ends the function and returns its output.
    #[must_use]
    pub fn stop(self) -> Logs {
        // First the process, which would complain about a Runtime API that is gone.
        let (stdout, stderr) = self.process.kill();
        self.server.abort();
        Logs { stdout, stderr }
    }
}

impl Logs {
    /// The lines of the log, each of which must be a JSON object.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.stderr, "", "a function logs to standard output alone");
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(object @ Value::Object(_)) => object,
            other => panic!("no JSON object ({other:?}): {line}"),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Fails if the output contains any of `secrets`.
    #[track_caller]
    pub fn assert_without(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(!self.stdout.contains(secret), "the log holds {secret}:\n{}", self.stdout);
            assert!(!self.stderr.contains(secret), "standard error holds {secret}:\n{}", self.stderr);
        }
    }
}

impl Runtime {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_answer(&self, id: &str, answer: Result<Value, Value>) -> Response<Body> {
        match self.lock().answers.remove(id) {
            // An error means that the caller is gone.
            Some(waiting) => drop(waiting.send(answer)),
            None => return reply(StatusCode::BAD_REQUEST, r#"{"errorType":"InvalidRequestID"}"#),
        }
        reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
    }
}

/// A request for an event that waits.
struct Poller<'a>(&'a watch::Sender<usize>);

impl<'a> Poller<'a> {
    fn of(pollers: &'a watch::Sender<usize>) -> Self {
        pollers.send_modify(|waiting| *waiting += 1);
        Self(pollers)
    }
}

impl Drop for Poller<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

async fn next(State(runtime): State<Arc<Runtime>>) -> Response<Body> {
    let now = Instant::now();
    runtime.ready.send_if_modified(|ready| {
        let first = ready.is_none();
        ready.get_or_insert(now);
        first
    });
    let poller = Poller::of(&runtime.pollers);
    let invocation = runtime.waiting.lock().await.recv().await;
    drop(poller);
    let Some(Invocation { id, event }) = invocation else {
        return reply(StatusCode::GONE, r#"{"errorType":"Shutdown"}"#);
    };
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", SystemClock.now().plus(TIMEOUT).as_millis())
        .header("lambda-runtime-invoked-function-arn", &runtime.arn)
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
        .body(Body::from(event))
        .unwrap()
}

async fn response(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    let answer = serde_json::from_slice(&body).map_err(|_| json!({"errorType": "InvalidResponse"}));
    runtime.take_answer(&id, answer)
}

async fn error(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    runtime.take_answer(&id, Err(serde_json::from_slice(&body).unwrap_or_default()))
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: Bytes) -> Response<Body> {
    runtime.lock().init_error = Some(serde_json::from_slice(&body).unwrap_or_default());
    reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

fn reply(status: StatusCode, body: &'static str) -> Response<Body> {
    Response::builder().status(status).header("content-type", "application/json").body(Body::from(body)).unwrap()
}

/// The processor time so far of the process with this id, or of `self` (Linux, `/proc`, in hundredths of a second).
#[must_use]
pub fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name, in parentheses, may contain spaces. User and system time are the fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let hundredths = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(10 * hundredths.sum::<u64>())
}
