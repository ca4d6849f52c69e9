//! Measures single events that are posted to one organisation through a few environments of Lambda Managed Instances, in
//! virtual time with a store five milliseconds away. An environment is one process with several pollers: each takes a request,
//! answers it, and takes the next.
//!
//! Requests go through the router of the API function. Reports the rate, segments, failed conditions, write units and simulated
//! latencies without processor time.
//!
//! Then the same for the function's processes, which take requests from Lambda's Runtime API and write to the embedded DynamoDB,
//! as fast as they can in real time.
//!
//! Exits with 1 if a required bound is exceeded. None depends on real time.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use annals_core::{
    admission::rate_limiter::RateLimits,
    log::rate::AppendLimits,
    organisation::OrganisationInput,
    time::{Clock as _, Timestamp},
    token::TokenHash,
};
use annals_http::Services;
use annals_local::demo;
use annals_tests::{
    clock::PausedClock,
    deployment::{Deployment, PLATFORM_TOKEN, platform},
    dynamodb_proxy::Passed,
    entropy::SeededEntropy,
    gateway::{self, Answer},
    latency::{Jitter, LatencyStore},
    memory::MemoryStore,
    sample,
    sandbox::Sandbox,
};
use axum::{Router, body::Body};
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http::{Request, StatusCode, header};
use tokio::sync::{Mutex, mpsc};
use tower::ServiceExt as _;

const LATENCY: Duration = Duration::from_millis(5);
const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const EVENTS: usize = 10_000;
const PROCESS_EVENTS: usize = 1_000;
/// At random times; before the first, the organisation is created.
const PER_SECOND: f64 = 1000.0;
const MAX_UNITS: f64 = 0.4;
const MAX_P99_MILLIS: f64 = 500.0;

struct Outcome {
    refused: usize,
    seconds: f64,
    segments: u64,
    lost: u64,
    units: f64,
    latencies: Histogram<u64>,
}

impl Outcome {
    fn millis(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn print(&self, environments: usize, pollers: usize, events: usize) {
        println!(
            "{:<24} {:>8.0} {:>8} {:>8} {:>8} {:>8.3} {:>8.1} {:>8.1}",
            format!("{environments} x {pollers}"),
            events as f64 / self.seconds,
            self.refused,
            self.segments,
            self.lost,
            self.units,
            self.millis(0.5),
            self.millis(0.99),
        );
    }
}

async fn measure(seed: u64, environments: usize, pollers: usize) -> Outcome {
    let clock = PausedClock::new(START);
    let entropy = SeededEntropy::new(seed);
    let memory = Arc::new(MemoryStore::new());
    let environment = || {
        let jitter = Jitter::new(0.3, entropy.fork());
        let store = LatencyStore::new(Arc::clone(&memory), clock.clone(), LATENCY, Some(jitter));
        let platform = TokenHash::of(PLATFORM_TOKEN);
        Services::new(store, clock.clone(), entropy.fork(), platform, sample::service())
            .with_rate_limits(RateLimits { appends: AppendLimits::default(), ..RateLimits::NONE })
    };
    let organisation = OrganisationInput::parse(br#"{"name":"Acme"}"#).expect("the input is valid");
    let first = environment();
    let id = "acme".parse().expect("the id is valid");
    first.administration.put_organisation(&id, organisation, &platform()).await.expect("the store works");
    let before = memory.meter();

    // Lambda gives a request to a poller that waits.
    let (arrivals, queue) = mpsc::unbounded_channel::<(Duration, String)>();
    let queue = Arc::new(Mutex::new(queue));
    let mut tasks = tokio::task::JoinSet::new();
    for router in (0..environments).map(|_| annals_api::router(environment())) {
        for _ in 0..pollers {
            let (router, queue, clock) = (router.clone(), Arc::clone(&queue), clock.clone());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                loop {
                    let next = queue.lock().await.recv().await;
                    let Some((at, event)) = next else { return answers };
                    let status = post(router.clone(), event).await;
                    answers.push((clock.elapsed().saturating_sub(at), status));
                }
            });
        }
    }
    let events = demo::realistic_events(seed, 1000);
    let begun = clock.elapsed();
    let mut at = begun;
    for number in 0..EVENTS {
        at += entropy.exponential(Duration::from_secs_f64(1.0 / PER_SECOND));
        clock.sleep(at.saturating_sub(clock.elapsed())).await;
        arrivals.send((at, events[number % events.len()].to_string())).expect("pollers run");
    }
    drop(arrivals);
    let mut latencies = Histogram::new(3).expect("three digits are allowed");
    let mut refused = 0;
    while let Some(answers) = tasks.join_next().await {
        for (latency, status) in answers.expect("no task panics") {
            refused += usize::from(status != StatusCode::CREATED);
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            latencies.record(micros).expect("the histogram grows");
        }
    }
    let used = memory.meter();
    let lost = used.lost - before.lost;
    Outcome {
        refused,
        seconds: (clock.elapsed() - begun).as_secs_f64(),
        segments: used.commits - before.commits,
        lost,
        units: (used.write_units - before.write_units) / EVENTS as f64,
        latencies,
    }
}

async fn post(router: Router, event: String) -> StatusCode {
    let request = Request::post("/organisations/acme/events")
        .header(header::AUTHORIZATION, format!("Bearer {PLATFORM_TOKEN}"))
        .body(Body::from(event))
        .expect("the request is valid");
    match router.oneshot(request).await {
        Ok(response) => response.status(),
        Err(never) => match never {},
    }
}

/// Posts events through the processes of environments, as many at once as they have pollers.
async fn measure_processes(environments: usize, pollers: usize) -> Outcome {
    let deployment = Deployment::start().await;
    deployment.organisation("acme").await;
    let mut sandboxes = Vec::new();
    for _ in 0..environments {
        let sandbox = Sandbox::managed(env!("CARGO_BIN_EXE_api-under-test"), &deployment, pollers).await;
        sandbox.dynamodb.slow_down(LATENCY);
        sandboxes.push(sandbox);
    }
    let events = demo::realistic_events(1, 1000);
    let begun = Instant::now();
    let callers = sandboxes.iter().flat_map(|sandbox| (0..pollers).map(move |_| sandbox)).enumerate().map(
        async |(caller, sandbox)| {
            let mut answers = Vec::new();
            for number in (caller..PROCESS_EVENTS).step_by(environments * pollers) {
                let request = gateway::Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN);
                let request = request.json(&events[number % events.len()]);
                let sent = Instant::now();
                let answer = sandbox.function.invoke(&request.event()).await.expect("the function answers");
                answers.push((sent.elapsed(), Answer::of(&answer)));
            }
            answers
        },
    );
    let answers = join_all(callers).await;
    let seconds = begun.elapsed().as_secs_f64();
    let mut latencies = Histogram::new(3).expect("three digits are allowed");
    let mut sequences = BTreeSet::new();
    for (latency, answer) in answers.into_iter().flatten() {
        sequences.extend(answer.json()["events"][0]["sequence"].as_u64());
        latencies.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)).expect("the histogram grows");
    }
    let passed: Vec<Passed> = sandboxes.iter().map(|sandbox| sandbox.dynamodb.passed()).collect();
    let puts: u64 = passed.iter().map(|passed| passed.puts).sum();
    let lost: u64 = passed.iter().map(|passed| passed.lost).sum();
    Outcome {
        refused: PROCESS_EVENTS - sequences.len(),
        seconds,
        segments: puts - lost,
        lost,
        units: passed.iter().map(|passed| passed.write_units).sum::<u64>() as f64 / PROCESS_EVENTS as f64,
        latencies,
    }
}

/// How many environments there are, how many pollers each has, and whether the bounds are required.
struct Case {
    environments: usize,
    pollers: usize,
    required: bool,
}

/// 8 pollers are the default of Lambda Managed Instances for Rust, and 32 those of the template. Lambda starts three
/// environments. Three with 8 pollers each are shown for comparison: there the groups are too small for so many writers.
const CASES: [Case; 4] = [
    Case { environments: 1, pollers: 8, required: true },
    Case { environments: 1, pollers: 32, required: true },
    Case { environments: 3, pollers: 8, required: false },
    Case { environments: 3, pollers: 32, required: true },
];

/// For each the environments and their pollers.
const PROCESSES: [(usize, usize); 2] = [(1, 8), (3, 32)];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be built");
    println!("{EVENTS} single events at {PER_SECOND}/s to one organisation, {LATENCY:?} to the store");
    header();
    let mut broken = false;
    for Case { environments, pollers, required } in CASES {
        let outcome = runtime.block_on(measure(1, environments, pollers));
        outcome.print(environments, pollers, EVENTS);
        if required {
            broken |= exceeds("events refused", outcome.refused as f64, 0.0);
            broken |= exceeds("seconds", outcome.seconds, 1.02 * EVENTS as f64 / PER_SECOND);
            broken |= exceeds("write units an event", outcome.units, MAX_UNITS);
            broken |= exceeds("p99 in milliseconds", outcome.millis(0.99), MAX_P99_MILLIS);
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be built");
    println!("{PROCESS_EVENTS} through processes, as fast as they can");
    header();
    for (environments, pollers) in PROCESSES {
        let outcome = runtime.block_on(measure_processes(environments, pollers));
        outcome.print(environments, pollers, PROCESS_EVENTS);
        broken |= exceeds("events refused", outcome.refused as f64, 0.0);
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn header() {
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "environments x pollers", "events/s", "refused", "segments", "lost", "units", "p50 ms", "p99 ms"
    );
}

fn exceeds(what: &str, value: f64, max: f64) -> bool {
    if value > max {
        println!("    BROKEN: {what} is {value:.3}, must be at most {max}");
    }
    value > max
}
