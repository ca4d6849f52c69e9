//! Measures appends to one organisation in virtual time with a store five milliseconds away: in independent processes
//! that share only the store, as on Lambda, and in one process that merges concurrent appends.
//!
//! Reports failed conditions, write units and simulated latencies without processor time, the project's aims, and
//! whether they are reached. Exits with 1 if a required bound is exceeded.
//!
//! The rate of failed conditions has a lower bound that no pause changes: an attempt fails if another succeeds between
//! its read and its write. Independent writers fail aS/(1-aS) conditions per append, at S appends per second and a
//! round trip of a: 0.11, 0.33 and 1.0 at 20, 50 and 100 per second.

use std::{process::ExitCode, sync::Arc, time::Duration};

use annals_core::{
    log::{
        Log,
        append::{AppendError, AppendPolicy},
    },
    time::{Clock, Timestamp},
};
use annals_local::demo;
use annals_tests::{
    clock::PausedClock,
    entropy::SeededEntropy,
    latency::{Jitter, LatencyStore},
    memory::MemoryStore,
    sample,
};
use hdrhistogram::Histogram;

const LATENCY: Duration = Duration::from_millis(5);
const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);

#[derive(Clone, Copy)]
enum Load {
    /// Appends per second at random times.
    Rate { per_second: f64, appends: usize },
    /// Writers, each of which makes this number of appends, one after the other.
    Burst { writers: usize, each: usize },
}

/// The processes of the appends.
#[derive(Clone, Copy, PartialEq)]
enum Processes {
    /// One process, which merges concurrent appends.
    One,
    /// One independent process for each append.
    Independent,
}

struct Outcome {
    appends: usize,
    failures: usize,
    seconds: f64,
    lost: f64,
    units: f64,
    latencies: Histogram<u64>,
}

impl Outcome {
    fn millis(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }
}

async fn measure(seed: u64, load: Load, processes: Processes, latency: Duration) -> Outcome {
    let clock = PausedClock::new(START);
    let entropy = SeededEntropy::new(seed);
    let memory = Arc::new(MemoryStore::new());
    let jitter = Jitter { part: 0.3, entropy: entropy.fork() };
    let store = LatencyStore::new(Arc::clone(&memory), clock.clone(), latency, Some(jitter));
    let organisation = sample::organisation("acme");
    let log = || Arc::new(Log::new(store.clone(), clock.clone(), entropy.fork(), AppendPolicy::default()));
    let shared = log();
    let bodies: Arc<Vec<_>> = Arc::new(demo::realistic_events(seed, 1000).iter().map(sample::posted).collect());

    let append = {
        let clock = clock.clone();
        async move |log: Arc<Log>, body| {
            let begun = clock.elapsed();
            let result: Result<_, AppendError> = log.append(&organisation, vec![body], None).await;
            (clock.elapsed() - begun, result.is_ok())
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    let mut at = Duration::ZERO;
    let tracks = match load {
        Load::Rate { appends, .. } => appends,
        Load::Burst { writers, .. } => writers,
    };
    for track in 0..tracks {
        let each = match load {
            Load::Rate { per_second, .. } => {
                at += entropy.exponential(Duration::from_secs_f64(1.0 / per_second));
                1
            }
            Load::Burst { each, .. } => each,
        };
        let log = if processes == Processes::One { Arc::clone(&shared) } else { log() };
        let (clock, bodies, append) = (clock.clone(), Arc::clone(&bodies), append.clone());
        tasks.spawn(async move {
            clock.sleep(at).await;
            let mut results = Vec::with_capacity(each);
            for number in 0..each {
                results.push(append(Arc::clone(&log), bodies[(track * each + number) % bodies.len()].clone()).await);
            }
            results
        });
    }
    let mut latencies = Histogram::new(3).expect("three digits are allowed");
    let (mut appends, mut failures) = (0, 0);
    while let Some(results) = tasks.join_next().await {
        for (latency, succeeded) in results.expect("no task panics") {
            appends += 1;
            failures += usize::from(!succeeded);
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            latencies.record(micros).expect("the histogram grows");
        }
    }
    let used = memory.meter();
    Outcome {
        appends,
        failures,
        seconds: clock.elapsed().as_secs_f64(),
        lost: used.lost as f64 / appends as f64,
        units: used.write_units / appends as f64,
        latencies,
    }
}

/// A load, the project's aims and the required bounds.
struct Case {
    name: &'static str,
    load: Load,
    processes: Processes,
    aim_lost: Option<f64>,
    max_lost: f64,
    max_p99_millis: f64,
    max_units: Option<f64>,
}

const CASES: [Case; 5] = [
    Case {
        name: "instances, 20/s",
        load: Load::Rate { per_second: 20.0, appends: 10_000 },
        processes: Processes::Independent,
        aim_lost: Some(0.15),
        max_lost: 0.15,
        max_p99_millis: 100.0,
        max_units: None,
    },
    Case {
        name: "instances, 50/s",
        load: Load::Rate { per_second: 50.0, appends: 10_000 },
        processes: Processes::Independent,
        aim_lost: Some(0.25),
        max_lost: 0.40,
        max_p99_millis: 200.0,
        max_units: None,
    },
    Case {
        name: "instances, 100/s",
        load: Load::Rate { per_second: 100.0, appends: 10_000 },
        processes: Processes::Independent,
        aim_lost: Some(0.5),
        max_lost: 1.15,
        max_p99_millis: 400.0,
        max_units: None,
    },
    Case {
        name: "64 instances x 50",
        load: Load::Burst { writers: 64, each: 50 },
        processes: Processes::Independent,
        aim_lost: None,
        max_lost: 10.0,
        max_p99_millis: 5_000.0,
        max_units: None,
    },
    Case {
        name: "one process, 1000/s",
        load: Load::Rate { per_second: 1000.0, appends: 10_000 },
        processes: Processes::One,
        aim_lost: Some(0.0),
        max_lost: 0.0,
        max_p99_millis: 40.0,
        max_units: Some(0.4),
    },
];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be built");
    println!(
        "{:<20} {:>9} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "load", "appends/s", "lost", "units", "p50 ms", "p99 ms", "max ms", "failures"
    );
    let mut broken = false;
    for case in &CASES {
        let outcome = runtime.block_on(measure(1, case.load, case.processes, LATENCY));
        println!(
            "{:<20} {:>9.0} {:>9.3} {:>8.3} {:>8.1} {:>9.1} {:>9.1} {:>9}",
            case.name,
            outcome.appends as f64 / outcome.seconds,
            outcome.lost,
            outcome.units,
            outcome.millis(0.5),
            outcome.millis(0.99),
            outcome.millis(1.0),
            outcome.failures,
        );
        if let Some(aim) = case.aim_lost {
            let word = if outcome.lost <= aim { "reached" } else { "NOT reached" };
            println!("    aim: at most {aim} conditions lost an append: {word}");
        }
        let mut bound = |what: &str, value: f64, max: f64| {
            if value > max {
                println!("    BROKEN: {what} is {value:.3}, must be at most {max}");
                broken = true;
            }
        };
        bound("appends that failed", outcome.failures as f64, 0.0);
        bound("conditions lost an append", outcome.lost, case.max_lost);
        bound("p99 in milliseconds", outcome.millis(0.99), case.max_p99_millis);
        bound("write units an event", outcome.units, case.max_units.unwrap_or(f64::INFINITY));
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
