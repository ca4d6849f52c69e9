//! Measures appends to one organisation in virtual time, in sandboxes of Lambda that share only the store: from a few
//! appends a second to twenty times the limit, with and without idempotency keys, in batches, and beside other
//! organisations and readers. Prints the figures and exits with 1 if a required figure is missed.
//!
//! Modelled are the store's latency, the 1,000 write and 3,000 read units a second of an organisation's partition,
//! transactions that hold their items, one request at a time in a sandbox, and an account's 1,000 sandboxes. Not modelled
//! are processor time and cold starts. Run it with `cargo bench -p annals-tests --bench contention --profile dev`.
//!
//! The rate of lost conditions has a lower bound that no policy changes: an attempt fails if another succeeds between
//! its read and its write. Independent writers lose aS/(1-aS) conditions per append, at S appends per second and a round
//! trip of a: 0.11, 0.33 and 1.0 at 20, 50 and 100 per second.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use annals_core::{
    audit::{Audit, AuditError, PageRequest},
    event::Body,
    log::{
        Log,
        append::{AppendError, AppendPolicy, IdempotencyKey},
        rate::AppendLimits,
        store::{LogStore, Order},
    },
    organisation::Organisation,
    time::{Clock as _, Timestamp},
};
use annals_local::demo;
use annals_tests::{
    clock::PausedClock,
    entropy::SeededEntropy,
    lambda::{ACCOUNT_CONCURRENCY, Busy, Lambda},
    latency::{Jitter, LatencyStore},
    memory::MemoryStore,
    partition::PartitionLimits,
    sample,
};
use hdrhistogram::Histogram;

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// Not measured, because processes have to meet the load first.
const WARM_UP: Duration = Duration::from_secs(2);

/// The figures that are required of a flooded organisation.
const MIN_GOODPUT: f64 = 0.9 * 100.0;
const MAX_P99_MILLIS: f64 = 500.0;
const MAX_CALLS_OF_A_REFUSAL: f64 = 2.0;
const MAX_BUSY: f64 = 25.0;
/// A request of hundreds of write units waits until the partition has them.
const MAX_LARGE_MILLIS: f64 = 3000.0;

/// The size of an event that does not compress.
const NOISE_KILOBYTES: usize = 100;

const FLOOD: Duration = Duration::from_secs(5);
const NEIGHBOURS: Duration = Duration::from_secs(15);
const BATCHES: Duration = Duration::from_secs(20);
const STARVATION: Duration = Duration::from_secs(20);
const BELOW: Duration = Duration::from_secs(100);

/// The round trips to the store: they vary by 30 %, and some take ten times as long.
#[derive(Clone, Copy)]
struct Network {
    name: &'static str,
    round_trip: Duration,
    slow: f64,
}

const NEAR: Network = Network { name: "5 ms", round_trip: Duration::from_millis(5), slow: 0.0 };
const FAR: Network = Network { name: "7 ms, 1 % slow", round_trip: Duration::from_millis(7), slow: 0.01 };

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// One request of this number of events.
    Append(usize),
    /// One event with an idempotency key.
    Keyed,
    /// Events of together this many KB that do not compress.
    Incompressible(usize),
    /// A page of the newest 100 events.
    Read,
}

/// Requests at random times.
struct Stream {
    organisation: String,
    kind: Kind,
    per_second: f64,
}

impl Stream {
    fn new(organisation: &str, kind: Kind, per_second: f64) -> Self {
        Self { organisation: organisation.to_owned(), kind, per_second }
    }
}

/// What a sandbox keeps between requests.
struct Sandbox {
    log: Arc<Log>,
    audit: Audit,
    store: Arc<LatencyStore<MemoryStore>>,
}

/// What became of a stream's requests.
struct Tally {
    /// Latencies in microseconds.
    accepted: Histogram<u64>,
    events: u64,
    refused: u64,
    /// The calls to the store before a refusal, one after another.
    calls_of_refusals: Histogram<u64>,
    /// Requests that failed otherwise, for example because the account had no sandbox left.
    failed: u64,
}

impl Tally {
    fn new() -> Self {
        let histogram = || Histogram::new(3).expect("three digits are allowed");
        Self { accepted: histogram(), events: 0, refused: 0, calls_of_refusals: histogram(), failed: 0 }
    }

    fn add(&mut self, answer: Result<(), AppendError>, took: Duration, calls: u64, events: u64) {
        match answer {
            Ok(()) => {
                self.accepted.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)).expect("the histogram grows");
                self.events += events;
            }
            Err(AppendError::RateLimited(_)) => {
                self.calls_of_refusals.record(calls).expect("the histogram grows");
                self.refused += 1;
            }
            Err(_) => self.failed += 1,
        }
    }

    fn millis(&self, quantile: f64) -> f64 {
        self.accepted.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn refused_percent(&self) -> f64 {
        100.0 * self.refused as f64 / (self.refused + self.failed + self.accepted.len()).max(1) as f64
    }
}

/// A measurement.
struct Outcome {
    seconds: f64,
    /// For each stream.
    tallies: Vec<Tally>,
    /// The sandboxes that were busy for the first stream's organisation.
    busy: Busy,
    appends: f64,
    lost: f64,
    write_units: f64,
    throttled: u64,
    conflicts: u64,
}

impl Outcome {
    fn goodput(&self, stream: usize) -> f64 {
        self.tallies[stream].events as f64 / self.seconds
    }
}

/// A log as in a deployed function.
fn limited_log(store: Arc<dyn LogStore>, clock: &Arc<PausedClock>, entropy: Arc<SeededEntropy>) -> Arc<Log> {
    let log = Log::new(store, clock.clone(), entropy, AppendPolicy::default());
    log.limit_appends(AppendLimits::default());
    Arc::new(log)
}

/// Serves the requests of all streams and measures after the warm-up.
async fn measure(network: Network, measured: Duration, streams: &[Stream]) -> Outcome {
    let clock = PausedClock::new(START);
    let entropy = SeededEntropy::new(1);
    let memory = Arc::new(MemoryStore::new().with_limits(PartitionLimits::of_aws(clock.clone())));
    let start = {
        let (clock, entropy, memory) = (clock.clone(), entropy.fork(), Arc::clone(&memory));
        move || {
            let jitter = Jitter { slow: network.slow, ..Jitter::new(0.3, entropy.fork()) };
            let store = LatencyStore::new(Arc::clone(&memory), clock.clone(), network.round_trip, Some(jitter));
            let log = limited_log(store.clone(), &clock, entropy.fork());
            Sandbox { audit: Audit::new(Arc::clone(&log)), log, store }
        }
    };
    let lambda = Lambda::new(clock.clone(), entropy.fork(), ACCOUNT_CONCURRENCY, Duration::ZERO, start);
    let lambda = Arc::new(lambda);
    let bodies: Arc<Vec<_>> = Arc::new(demo::realistic_events(1, 1000).iter().map(sample::posted).collect());
    let until = WARM_UP + measured;

    let mut generators = tokio::task::JoinSet::new();
    let mut tallies = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        let tally = Arc::new(Mutex::new(Tally::new()));
        tallies.push(Arc::clone(&tally));
        let visit = Visit {
            kind: stream.kind,
            organisation: sample::organisation(&stream.organisation),
            bodies: Arc::clone(&bodies),
        };
        let (visit, clock, entropy) = (Arc::new(visit), clock.clone(), entropy.fork());
        let (lambda, pause) = (Arc::clone(&lambda), Duration::from_secs_f64(1.0 / stream.per_second));
        generators.spawn(async move {
            let mut requests = tokio::task::JoinSet::new();
            let mut number = index * 101;
            loop {
                clock.sleep(entropy.exponential(pause)).await;
                let begun = clock.elapsed();
                if begun >= until {
                    break;
                }
                number += 1;
                let (visit, tally) = (Arc::clone(&visit), Arc::clone(&tally));
                let (lambda, clock) = (Arc::clone(&lambda), clock.clone());
                requests.spawn(async move {
                    let served = async |sandbox: &Sandbox| {
                        let before = sandbox.store.calls_in_a_row();
                        let answer = visit.serve(sandbox, number).await;
                        (answer, sandbox.store.calls_in_a_row() - before)
                    };
                    let answer = lambda.invoke(visit.organisation.id.clone(), served).await;
                    let (answer, calls) = answer.unwrap_or((Err(AppendError::Contended), 0));
                    if begun >= WARM_UP {
                        let mut tally = tally.lock().expect("no task panics");
                        tally.add(answer, clock.elapsed() - begun, calls, visit.events());
                    }
                });
            }
            while let Some(request) = requests.join_next().await {
                request.expect("no task panics");
            }
        });
    }
    clock.sleep(WARM_UP).await;
    lambda.count_anew();
    let (before, (throttled, conflicts)) = (memory.meter(), memory.refusals());
    clock.sleep(measured).await;
    let (after, (throttled_after, conflicts_after)) = (memory.meter(), memory.refusals());
    let busy = lambda.busy(&streams[0].organisation.parse().expect("its id is valid"));
    while let Some(generator) = generators.join_next().await {
        generator.expect("no task panics");
    }
    let tallies = tallies.into_iter().map(|tally| {
        Arc::into_inner(tally).and_then(|tally| tally.into_inner().ok()).expect("all requests have ended")
    });
    Outcome {
        seconds: measured.as_secs_f64(),
        tallies: tallies.collect(),
        busy,
        appends: (after.commits - before.commits) as f64,
        lost: (after.lost - before.lost) as f64,
        write_units: after.write_units - before.write_units,
        throttled: throttled_after - throttled,
        conflicts: conflicts_after - conflicts,
    }
}

/// What each request of a stream asks for.
struct Visit {
    kind: Kind,
    organisation: Organisation,
    bodies: Arc<Vec<Body>>,
}

impl Visit {
    async fn serve(&self, sandbox: &Sandbox, number: usize) -> Result<(), AppendError> {
        let bodies = |count: usize| (0..count).map(|i| self.bodies[(number + i) % self.bodies.len()].clone()).collect();
        let key = || IdempotencyKey::parse(number.to_string().as_bytes()).expect("it is short");
        match self.kind {
            Kind::Append(count) => sandbox.log.append(&self.organisation, bodies(count), None).await.map(drop),
            Kind::Keyed => sandbox.log.append(&self.organisation, bodies(1), Some(key())).await.map(drop),
            Kind::Incompressible(kilobytes) => {
                let events = noise(kilobytes, number as u64);
                sandbox.log.append(&self.organisation, events, None).await.map(drop)
            }
            Kind::Read => {
                let page = PageRequest { order: Order::Descending, ..PageRequest::default() };
                match sandbox.audit.page(&self.organisation, &page, &sample::reader()).await {
                    Ok(_) => Ok(()),
                    Err(AuditError::Record(error)) => Err(error),
                    Err(_) => Err(AppendError::Contended),
                }
            }
        }
    }

    fn events(&self) -> u64 {
        match self.kind {
            Kind::Append(count) => count as u64,
            Kind::Incompressible(kilobytes) => kilobytes.div_ceil(NOISE_KILOBYTES) as u64,
            Kind::Keyed | Kind::Read => 1,
        }
    }
}

/// Events of random text. Base64 text compresses to three quarters, so it is longer by that.
fn noise(kilobytes: usize, seed: u64) -> Vec<Body> {
    let entropy = SeededEntropy::new(seed);
    let text = |length: usize| (0..length).map(|_| char::from(b'A' + entropy.below(26) as u8)).collect::<String>();
    let event = |index: usize| sample::body_with(&index.to_string(), &text(NOISE_KILOBYTES * 1024 * 17 / 10));
    (0..kilobytes.div_ceil(NOISE_KILOBYTES)).map(event).collect()
}

/// Compares figures with what is required of them.
#[derive(Default)]
struct Verdict {
    missed: usize,
}

impl Verdict {
    fn at_most(&mut self, what: &str, value: f64, bound: f64) {
        self.require(what, value, value <= bound, &format!("at most {bound:.1}"));
    }

    fn at_least(&mut self, what: &str, value: f64, bound: f64) {
        self.require(what, value, value >= bound, &format!("at least {bound:.1}"));
    }

    fn require(&mut self, what: &str, value: f64, holds: bool, bound: &str) {
        if !holds {
            println!("    MISSED: {what} is {value:.1}, must be {bound}");
            self.missed += 1;
        }
    }
}

/// One organisation is offered up to twenty times its limit, by single events.
async fn floods(verdict: &mut Verdict) {
    println!(
        "{:<15} {:<6} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9}",
        "round trip",
        "events",
        "offered/s",
        "goodput/s",
        "refused %",
        "p50 ms",
        "p99 ms",
        "max ms",
        "calls 99%",
        "calls max",
        "busy mean",
        "max",
        "lost",
        "units/app"
    );
    for network in [NEAR, FAR] {
        for kind in [Kind::Append(1), Kind::Keyed] {
            for per_second in [100.0, 150.0, 200.0, 500.0, 1000.0, 2000.0] {
                let outcome = measure(network, FLOOD, &[Stream::new("acme", kind, per_second)]).await;
                let tally = &outcome.tallies[0];
                let calls = |quantile| tally.calls_of_refusals.value_at_quantile(quantile) as f64;
                println!(
                    "{:<15} {:<6} {:>9.0} {:>9.1} {:>9.1} {:>8.1} {:>8.1} {:>8.1} {:>9} {:>9} {:>9.1} {:>7} {:>7.2} {:>9.2}",
                    network.name,
                    if kind == Kind::Keyed { "keyed" } else { "plain" },
                    per_second,
                    outcome.goodput(0),
                    tally.refused_percent(),
                    tally.millis(0.5),
                    tally.millis(0.99),
                    tally.millis(1.0),
                    calls(0.99),
                    calls(1.0),
                    outcome.busy.seconds / outcome.seconds,
                    outcome.busy.most,
                    outcome.lost / outcome.appends,
                    outcome.write_units / outcome.appends,
                );
                verdict.at_least("goodput a second", outcome.goodput(0), MIN_GOODPUT);
                verdict.at_most("p99 in milliseconds", tally.millis(0.99), MAX_P99_MILLIS);
                verdict.at_most("calls before a refusal", calls(0.99), MAX_CALLS_OF_A_REFUSAL);
                verdict.at_most("sandboxes busy at once", outcome.busy.most as f64, MAX_BUSY);
                verdict.at_most("other failures", tally.failed as f64, 0.0);
            }
        }
    }
}

/// Fifty organisations with an event a second each, and readers, beside a flood.
async fn neighbours(verdict: &mut Verdict) {
    let mut streams = vec![Stream::new("acme", Kind::Read, 5.0)];
    streams.extend((0..50).map(|number| Stream::new(&format!("quiet-{number}"), Kind::Append(1), 1.0)));
    let alone = measure(FAR, NEIGHBOURS, &streams).await;
    streams.push(Stream::new("acme", Kind::Append(1), 2000.0));
    let beside = measure(FAR, NEIGHBOURS, &streams).await;
    let quiet = |outcome: &Outcome| {
        let mut all = Tally::new();
        for tally in &outcome.tallies[1..=50] {
            all.accepted.add(&tally.accepted).expect("the histogram grows");
            all.refused += tally.refused;
            all.failed += tally.failed;
        }
        all
    };
    println!(
        "\n{:<52} {:>8} {:>8} {:>8} {:>8}",
        "beside 2,000 single events a second", "accepted", "refused", "failed", "p99 ms"
    );
    for (name, tally) in [
        ("50 other organisations, 1/s each, without it", &quiet(&alone)),
        ("50 other organisations, 1/s each, beside it", &quiet(&beside)),
        ("5 reads a second of the organisation, without it", &alone.tallies[0]),
        ("5 reads a second of the organisation, beside it", &beside.tallies[0]),
    ] {
        println!(
            "{name:<52} {:>8} {:>8} {:>8} {:>8.1}",
            tally.accepted.len(),
            tally.refused,
            tally.failed,
            tally.millis(0.99)
        );
        verdict.at_most("requests refused", tally.refused as f64, 0.0);
        verdict.at_most("requests failed", tally.failed as f64, 0.0);
    }
    let (before, after) = (quiet(&alone).millis(0.99), quiet(&beside).millis(0.99));
    verdict.at_most("p99 of others in milliseconds", after, 1.2 * before);
    verdict.at_most("p99 of reads in milliseconds", beside.tallies[0].millis(0.99), MAX_P99_MILLIS);
    verdict.at_most("sandboxes busy for the flooded organisation", beside.busy.most as f64, MAX_BUSY);
}

/// Batches, by themselves and beside a flood of single events; and a flood of batches beside single events.
async fn batches(verdict: &mut Verdict) {
    println!(
        "\n{:<52} {:>9} {:>9} {:>8} {:>8} {:>7} {:>9} {:>9} {:>9}",
        "batches", "events/s", "refused %", "p99 ms", "max ms", "lost", "units/app", "throttled", "conflicts"
    );
    let show = |name: &str, outcome: &Outcome, stream: usize| {
        let tally = &outcome.tallies[stream];
        println!(
            "{name:<52} {:>9.0} {:>9.1} {:>8.1} {:>8.1} {:>7.2} {:>9.2} {:>9} {:>9}",
            outcome.goodput(stream),
            tally.refused_percent(),
            tally.millis(0.99),
            tally.millis(1.0),
            outcome.lost / outcome.appends,
            outcome.write_units / outcome.appends,
            outcome.throttled,
            outcome.conflicts,
        );
    };
    let acme = |kind, per_second| Stream::new("acme", kind, per_second);
    let hundreds = measure(NEAR, BATCHES, &[acme(Kind::Append(100), 52.0)]).await;
    show("52 batches of 100 a second", &hundreds, 0);
    verdict.at_least("events a second", hundreds.goodput(0), 5000.0);
    verdict.at_most("p99 in milliseconds", hundreds.tallies[0].millis(0.99), MAX_P99_MILLIS);

    for network in [NEAR, FAR] {
        let streams = [acme(Kind::Append(1), 1000.0), acme(Kind::Append(1000), 0.5)];
        let mixed = measure(network, STARVATION, &streams).await;
        show(&format!("{}: 1,000 single events a second beside", network.name), &mixed, 0);
        show("    a batch of 1,000 every other second", &mixed, 1);
        large_are_recorded(verdict, &mixed.tallies[1]);
        let streams = [acme(Kind::Append(1), 1000.0), acme(Kind::Incompressible(300), 0.5)];
        let mixed = measure(network, STARVATION, &streams).await;
        show(&format!("{}: 1,000 single events a second beside", network.name), &mixed, 0);
        show("    300 KB that do not compress every other second", &mixed, 1);
        large_are_recorded(verdict, &mixed.tallies[1]);
        let flooded =
            measure(network, STARVATION, &[acme(Kind::Append(100), 500.0), acme(Kind::Append(1), 10.0)]).await;
        show(&format!("{}: 500 batches of 100 a second beside", network.name), &flooded, 0);
        show("    10 single events a second", &flooded, 1);
        verdict.at_least("events of batches a second", flooded.goodput(0), 2000.0);
        verdict.at_least("single events a second", flooded.goodput(1), 1.0);
    }
}

fn large_are_recorded(verdict: &mut Verdict, tally: &Tally) {
    verdict.at_least("large appends recorded", tally.accepted.len() as f64, 1.0);
    verdict.at_most("large appends refused or failed", (tally.refused + tally.failed) as f64, 0.0);
    verdict.at_most("the slowest large append in milliseconds", tally.millis(1.0), MAX_LARGE_MILLIS);
}

/// Few appends, and one process that merges concurrent appends.
async fn undisturbed(verdict: &mut Verdict) {
    println!(
        "\n{:<30} {:>9} {:>8} {:>8} {:>7} {:>9}",
        "below the limit", "refused %", "p50 ms", "p99 ms", "lost", "units/app"
    );
    for (per_second, max_lost, max_p99) in [(20.0, 0.15, 100.0), (50.0, 0.40, 200.0)] {
        let outcome = measure(NEAR, BELOW, &[Stream::new("acme", Kind::Append(1), per_second)]).await;
        let (tally, lost) = (&outcome.tallies[0], outcome.lost / outcome.appends);
        println!(
            "{:<30} {:>9.2} {:>8.1} {:>8.1} {lost:>7.3} {:>9.2}",
            format!("{per_second} a second"),
            tally.refused_percent(),
            tally.millis(0.5),
            tally.millis(0.99),
            outcome.write_units / outcome.appends,
        );
        verdict.at_most("conditions lost an append", lost, max_lost);
        verdict.at_most("p99 in milliseconds", tally.millis(0.99), max_p99);
        verdict.at_most("percent refused", tally.refused_percent(), 0.1);
    }
    let merged = merge(10_000, 1000.0).await;
    println!("\n{:<30} {:>9} {:>8} {:>8} {:>9}", "one process", "refused %", "p50 ms", "p99 ms", "units/ev");
    println!(
        "{:<30} {:>9.2} {:>8.1} {:>8.1} {:>9.3}",
        "1000 a second, merged",
        merged.0.refused_percent(),
        merged.0.millis(0.5),
        merged.0.millis(0.99),
        merged.1
    );
    verdict.at_most("requests refused or failed", (merged.0.refused + merged.0.failed) as f64, 0.0);
    verdict.at_most("p99 in milliseconds", merged.0.millis(0.99), 40.0);
    verdict.at_most("write units an event", merged.1, 0.4);
}

/// Appends single events to one log that serves them all. Returns the write units an event, too.
async fn merge(appends: usize, per_second: f64) -> (Tally, f64) {
    let clock = PausedClock::new(START);
    let entropy = SeededEntropy::new(1);
    let memory = Arc::new(MemoryStore::new().with_limits(PartitionLimits::of_aws(clock.clone())));
    let jitter = Jitter::new(0.3, entropy.fork());
    let store = LatencyStore::new(Arc::clone(&memory), clock.clone(), NEAR.round_trip, Some(jitter));
    let log = limited_log(store, &clock, entropy.fork());
    let bodies: Vec<_> = demo::realistic_events(1, 1000).iter().map(sample::posted).collect();
    let organisation = Arc::new(sample::organisation("acme"));
    let mut tasks = tokio::task::JoinSet::new();
    for body in bodies.iter().cycle().take(appends).cloned() {
        clock.sleep(entropy.exponential(Duration::from_secs_f64(1.0 / per_second))).await;
        let (log, clock, organisation) = (Arc::clone(&log), clock.clone(), Arc::clone(&organisation));
        tasks.spawn(async move {
            let begun = clock.elapsed();
            let answer = log.append(&organisation, vec![body], None).await.map(drop);
            (answer, clock.elapsed() - begun)
        });
    }
    let mut tally = Tally::new();
    while let Some(result) = tasks.join_next().await {
        let (answer, took) = result.expect("no task panics");
        tally.add(answer, took, 0, 1);
    }
    (tally, memory.meter().write_units / appends as f64)
}

fn main() -> ExitCode {
    let mut verdict = Verdict::default();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime can be built")
    };
    run().block_on(undisturbed(&mut verdict));
    run().block_on(floods(&mut verdict));
    run().block_on(neighbours(&mut verdict));
    run().block_on(batches(&mut verdict));
    if verdict.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
