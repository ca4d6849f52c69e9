//! Delivery to an in-memory server that fails on demand, in virtual time.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::memory_server::{Fault, MemoryServer};
use crate::{
    AuditLog, Builder, DeliveryError, Entity, Event, Loss, Observer, Refused, ShutdownReport, Stats, Status,
    randomness::Randomness,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn event(label: &str) -> Event {
    Event::new("UPDATE", Entity::new(label, "Payments", "MOCK_API"), Entity::new("7", "Ada", "USER"))
}

/// An event that the server rejects: it has no action.
fn bad(label: &str) -> Event {
    Event::new("", Entity::new(label, "Payments", "MOCK_API"), Entity::new("7", "Ada", "USER"))
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn builder() -> Builder {
    AuditLog::builder("https://audit.example.com", "token")
}

fn start(builder: &Builder, server: &MemoryServer) -> AuditLog {
    ThreadLog::install();
    builder.start_on(server.clone(), Randomness::from_seed([42; 24])).unwrap()
}

fn record(audit: &AuditLog, range: std::ops::Range<u32>) {
    for label in numbers(range) {
        audit.record(event(&label)).unwrap();
    }
}

/// An observer that remembers its calls.
#[derive(Debug, Clone, Default)]
struct Witness(Arc<Mutex<(Vec<Loss>, Vec<Status>)>>);

impl Witness {
    fn losses(&self) -> Vec<Loss> {
        self.0.lock().unwrap().0.clone()
    }

    fn statuses(&self) -> Vec<Status> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Observer for Witness {
    fn lost(&self, event: &str, loss: &Loss) {
        assert!(event.starts_with('{'), "{event}");
        self.0.lock().unwrap().0.push(loss.clone());
    }

    fn status_changed(&self, status: &Status) {
        self.0.lock().unwrap().1.push(status.clone());
    }
}

#[track_caller]
fn assert_balanced(stats: Stats) {
    let buffered = stats.buffered_events as u64;
    assert_eq!(stats.recorded, stats.delivered + stats.rejected + stats.dropped + buffered, "{stats:?}");
    assert_eq!(stats.buffered_events == 0, stats.buffered_bytes == 0, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn full_batches_are_sent_at_once_and_the_rest_after_the_linger_time() {
    let server = MemoryServer::new();
    let audit = start(&builder(), &server);
    let begin = Instant::now();
    record(&audit, 0..250);
    sleep(SECOND).await;
    let requests = server.requests();
    let counts: Vec<usize> = requests.iter().map(|request| request.labels().len()).collect();
    assert_eq!(counts, [100, 100, 50]);
    assert_eq!(requests[1].at, begin);
    assert_eq!(requests[2].at, begin + Duration::from_millis(200));
    assert_eq!(server.log(), numbers(0..250));
    assert_eq!(requests.iter().map(|request| &request.key).collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_never_exceeds_its_maximum_size() {
    let server = MemoryServer::new();
    let audit = start(&builder().batch_max_bytes(700_000), &server);
    for label in numbers(0..10) {
        audit.record(event(&label).payload(json!({"x": "x".repeat(200_000)}))).unwrap();
    }
    audit.flush().await;
    let sizes: Vec<usize> = server.requests().iter().map(|request| request.body.len()).collect();
    assert!(sizes.len() == 4 && sizes.iter().all(|size| *size <= 700_000), "{sizes:?}");
    assert_eq!(server.log(), numbers(0..10));
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_response_was_lost_is_repeated_under_its_key_and_recorded_once() {
    let server = MemoryServer::new().failing([Fault::ResponseLost, Fault::HangsProcessed]);
    let audit = start(&builder(), &server);
    record(&audit, 0..3);
    audit.flush().await;
    record(&audit, 3..6);
    audit.flush().await;
    let keys: Vec<String> = server.requests().into_iter().map(|request| request.key).collect();
    assert!(keys.len() == 4 && keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
    assert_eq!(server.log(), numbers(0..6));
    assert_eq!(audit.stats().retries, 2);
}

/// Each kind of fault at each attempt: no event is lost, repeated or reordered.
#[tokio::test(start_paused = true)]
async fn no_single_fault_loses_repeats_or_reorders_an_event() {
    let faults = [
        Fault::Refused,
        Fault::ResponseLost,
        Fault::Hangs,
        Fault::HangsProcessed,
        Fault::Responds(503, Some(2), ""),
        Fault::Responds(500, None, "<html>"),
        Fault::Responds(429, Some(1), ""),
        Fault::Responds(401, None, ""),
        Fault::Responds(403, None, ""),
        Fault::Responds(404, None, ""),
        Fault::Responds(413, None, ""),
        Fault::Responds(301, None, ""),
        Fault::Responds(201, None, "<html>welcome</html>"),
        Fault::Responds(422, None, r#"{"code":"idempotency_key_reused"}"#),
        Fault::Responds(400, None, r#"{"code":"body_cut_off"}"#),
    ];
    for fault in faults {
        for attempt in 0..6 {
            let mut script = vec![Fault::None; attempt];
            script.push(fault.clone());
            let server = MemoryServer::new().failing(script);
            let audit = start(&builder().batch_max_events(10), &server);
            record(&audit, 0..45);
            audit.flush().await;
            assert_eq!(server.log(), numbers(0..45), "{fault:?} at attempt {attempt}");
            server.requests();
            assert_balanced(audit.stats());
            assert_eq!(audit.stats().delivered, 45);
        }
    }
}

/// Random series of faults, with invalid events among the valid ones.
#[tokio::test(start_paused = true)]
async fn no_series_of_faults_loses_repeats_or_reorders_an_event() {
    for seed in 0..100_u8 {
        let mut randomness = Randomness::from_seed([seed; 24]);
        let mut draw = |limit: u64| (randomness.jitter(SECOND).as_nanos() as u64 * limit / 1_000_000_001) as usize;
        let kinds = [
            Fault::None,
            Fault::Refused,
            Fault::ResponseLost,
            Fault::Hangs,
            Fault::HangsProcessed,
            Fault::Responds(502, None, ""),
            Fault::Responds(401, None, ""),
        ];
        let script: Vec<Fault> = (0..40).map(|_| kinds[draw(7)].clone()).collect();
        let server = MemoryServer::new().failing(script.clone());
        let witness = Witness::default();
        let audit = start(&builder().batch_max_events(1 + draw(9)).observer(witness.clone()), &server);
        let (mut good, mut bad_count) = (Vec::new(), 0);
        for label in numbers(0..100) {
            if draw(10) == 0 {
                audit.record(bad(&label)).unwrap();
                bad_count += 1;
            } else {
                audit.record(event(&label)).unwrap();
                good.push(label);
            }
            sleep(Duration::from_millis(draw(100) as u64)).await;
        }
        audit.flush().await;
        assert_eq!(server.log(), good, "seed {seed}: {script:?}");
        server.requests();
        assert_eq!(witness.losses().len(), bad_count);
        assert!(witness.losses().iter().all(|loss| matches!(loss, Loss::Rejected(_))));
        assert_balanced(audit.stats());
        assert_eq!((audit.stats().delivered, audit.stats().rejected), (good.len() as u64, bad_count as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_never_earlier_than_retry_after() {
    for status in [503, 429] {
        let server = MemoryServer::new().failing([Fault::Responds(status, Some(7), "")]);
        let audit = start(&builder(), &server);
        record(&audit, 0..1);
        audit.flush().await;
        let requests = server.requests();
        let pause = requests[1].at - requests[0].at;
        assert!((7 * SECOND..=7 * SECOND + Duration::from_millis(101)).contains(&pause), "{status}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_ends_after_the_attempt_timeout() {
    let server = MemoryServer::new().failing([Fault::Hangs]);
    let audit = start(&builder().attempt_timeout(4 * SECOND), &server);
    record(&audit, 0..1);
    audit.flush().await;
    let requests = server.requests();
    let pause = requests[1].at - requests[0].at;
    assert!((4 * SECOND..=4 * SECOND + Duration::from_millis(101)).contains(&pause), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_minutes_costs_few_requests_and_no_event() {
    let server = MemoryServer::new();
    let witness = Witness::default();
    let audit = start(&builder().observer(witness.clone()), &server);
    server.goes_down(10 * MINUTE);
    let begin = Instant::now();
    for second in 0..600 {
        record(&audit, second * 10..second * 10 + 10);
        sleep(SECOND).await;
    }
    assert!(
        matches!(audit.status(), Status::Failing { since, error: DeliveryError::Unreachable(_) } if since < begin + SECOND)
    );
    audit.flush().await;
    assert!(begin.elapsed() <= 10 * MINUTE + 31 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(server.log(), numbers(0..6000));
    assert!(audit.stats().retries < 80, "{:?}", audit.stats());
    assert_eq!(audit.status(), Status::Working);
    assert!(matches!(witness.statuses()[..], [Status::Failing { .. }, Status::Working]));
    assert!(witness.losses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_in_events_and_in_bytes() {
    let line = crate::event::Line::of(&event("0")).unwrap().size_bytes();
    for limited in [builder().buffer_max_events(5), builder().buffer_max_bytes(5 * line + line / 2)] {
        let server = MemoryServer::new();
        server.goes_down(MINUTE);
        let audit = start(&limited.linger(Duration::ZERO), &server);
        record(&audit, 0..3);
        sleep(SECOND).await; // three are in flight, and still count
        record(&audit, 3..5);
        for label in numbers(5..8) {
            assert!(matches!(audit.record(event(&label)), Err(Refused::Full)));
        }
        assert!(matches!(audit.record_durably(event("8")), Err(Refused::Full)));
        let stats = audit.stats();
        assert_eq!((stats.recorded, stats.refused, stats.buffered_events), (5, 4, 5));
        audit.flush().await;
        record(&audit, 9..10);
        audit.flush().await;
        assert_eq!(server.log(), ["0", "1", "2", "3", "4", "9"]);
        assert_balanced(audit.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_events_are_given_up_and_the_others_are_sent_under_a_new_key() {
    let server = MemoryServer::new();
    let witness = Witness::default();
    let audit = start(&builder().observer(witness.clone()), &server);
    audit.record(event("0")).unwrap();
    audit.record(bad("1")).unwrap();
    audit.record(event("2")).unwrap();
    let rejected = audit.record_durably(json!({"entity": {"id": "3"}, "colour": "red"})).unwrap();
    let recorded = audit.record_durably(event("4")).unwrap();
    let Err(Loss::Rejected(faults)) = rejected.await else { panic!("it was recorded") };
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/action", "/entity/entityType", "/principal", "/colour"]);
    assert_eq!(recorded.await.unwrap().sequence, 3);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].key, requests[1].key);
    assert_eq!(server.log(), ["0", "2", "4"]);
    assert_eq!(witness.losses().len(), 2);
    assert_eq!(witness.losses()[0].to_string(), "the server rejected the event: /action must not be empty");
    assert_eq!(audit.stats().rejected, 2);
    assert!(witness.statuses().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_more_faults_than_one_response_reports_is_delivered_in_the_end() {
    let server = MemoryServer::new();
    let audit = start(&builder().batch_max_events(1000), &server);
    for label in numbers(0..1000) {
        audit.record(if label == "500" { event(&label) } else { bad(&label) }).unwrap();
    }
    audit.flush().await;
    assert_eq!(server.log(), ["500"]);
    assert_eq!((audit.stats().rejected, server.requests().len()), (999, 11));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_sent_in_parts_and_in_order() {
    let server = MemoryServer::new();
    server.set_max_events(3);
    let witness = Witness::default();
    let audit = start(&builder().observer(witness.clone()), &server);
    record(&audit, 0..5);
    for label in ["huge", "odd"] {
        audit.record(event(label)).unwrap();
    }
    record(&audit, 5..12);
    audit.flush().await;
    assert_eq!(server.log(), numbers(0..12));
    assert_eq!(witness.losses().len(), 2);
    assert_balanced(audit.stats());
    server.requests();
}

#[tokio::test(start_paused = true)]
async fn events_whose_key_was_used_for_others_are_sent_under_a_new_key() {
    let server = MemoryServer::new();
    let audit = start(&builder(), &server);
    server.remember(Randomness::from_seed([42; 24]).key());
    record(&audit, 0..3);
    audit.flush().await;
    assert_eq!(server.log(), numbers(0..3));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_wait_while_the_token_is_refused() {
    let server = MemoryServer::new();
    server.set_token("rotated");
    let audit = start(&builder(), &server);
    record(&audit, 0..3);
    sleep(60 * MINUTE).await;
    let attempts = server.requests().len();
    assert!((60..300).contains(&attempts), "{attempts}");
    let Status::Failing { error, .. } = audit.status() else { panic!("delivery works") };
    assert!(error.needs_attention());
    assert_eq!(error.to_string(), "the token was refused (status 401): Send a valid token.");
    let changed = Instant::now();
    audit.set_token("rotated").unwrap();
    audit.flush().await;
    assert_eq!(changed.elapsed(), Duration::ZERO);
    assert_eq!(server.log(), numbers(0..3));
    assert_eq!(audit.status(), Status::Working);
}

#[tokio::test(start_paused = true)]
async fn clients_of_one_builder_share_the_token() {
    let server = MemoryServer::new();
    server.set_token("rotated");
    let builder = builder();
    let (one, other) = (start(&builder, &server), start(&builder.clone(), &MemoryServer::new()));
    other.set_token("rotated").unwrap();
    record(&one, 0..1);
    one.flush().await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn delivery_continues_if_the_observer_panics() {
    let server = MemoryServer::new().failing([Fault::Refused]);
    let audit = start(&builder().observer(|_: &str, _: &Loss| panic!("the observer's own fault")), &server);
    audit.record(bad("0")).unwrap();
    record(&audit, 1..3);
    audit.flush().await;
    audit.record(bad("3")).unwrap();
    record(&audit, 4..5);
    assert_eq!(audit.shutdown(MINUTE).await, ShutdownReport::default());
    assert_eq!(server.log(), ["1", "2", "4"]);
    assert_eq!(audit.stats().rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn a_durable_event_does_not_wait_for_the_linger_time() {
    let server = MemoryServer::new();
    let audit = start(&builder().linger(MINUTE), &server);
    let begin = Instant::now();
    record(&audit, 0..2);
    let receipts = [audit.record_durably(event("2")).unwrap(), audit.record_durably(event("3")).unwrap()];
    for (receipt, sequence) in receipts.into_iter().zip([3, 4]) {
        let receipt = receipt.await.unwrap();
        assert_eq!((receipt.event_id, receipt.sequence), (format!("id-{sequence}"), sequence));
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_an_acknowledgement_loses_no_event() {
    let server = MemoryServer::new().failing([Fault::Refused]);
    let audit = start(&builder(), &server);
    drop(audit.record_durably(event("0")).unwrap());
    drop(audit.record_durably(bad("1")).unwrap());
    audit.flush().await;
    assert_eq!(server.log(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_exactly_the_events_recorded_before() {
    let server = MemoryServer::new();
    let audit = start(&builder().linger(MINUTE), &server);
    let begin = Instant::now();
    audit.flush().await;
    record(&audit, 0..150);
    audit.record(bad("150")).unwrap();
    audit.flush().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(server.log(), numbers(0..150));
    record(&audit, 151..152);
    assert!(timeout(30 * SECOND, sleep(MINUTE)).await.is_err());
    assert_eq!(server.log().len(), 150);
    server.goes_down(MINUTE);
    assert!(timeout(30 * SECOND, audit.flush()).await.is_err());
    let later = audit.clone();
    let flush = tokio::spawn(async move { later.flush().await });
    flush.await.unwrap();
    assert_eq!(server.log().len(), 151);
}

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_buffered_events_and_refuses_new_ones() {
    let server = MemoryServer::new();
    let audit = start(&builder().linger(MINUTE), &server);
    record(&audit, 0..150);
    let begin = Instant::now();
    assert_eq!(audit.shutdown(MINUTE).await, ShutdownReport::default());
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(server.log(), numbers(0..150));
    assert!(matches!(audit.record(event("150")), Err(Refused::ShutDown)));
    assert!(matches!(audit.record_durably(event("150")), Err(Refused::ShutDown)));
    audit.flush().await;
    assert_eq!(audit.shutdown(Duration::MAX).await, ShutdownReport::default());
    assert_balanced(audit.stats());
}

#[tokio::test(start_paused = true)]
async fn shutdown_reports_undelivered_events_at_its_deadline() {
    let server = MemoryServer::new().failing([Fault::None, Fault::Hangs]);
    let witness = Witness::default();
    let audit = start(&builder().batch_max_events(2).linger(Duration::ZERO).observer(witness.clone()), &server);
    record(&audit, 0..5);
    let waiting = audit.record_durably(event("5")).unwrap();
    let begin = Instant::now();
    let (report, second) = tokio::join!(audit.shutdown(10 * SECOND), audit.shutdown(MINUTE));
    assert_eq!(begin.elapsed(), 10 * SECOND);
    assert_eq!(second, ShutdownReport::default());
    let left: Vec<(bool, bool)> = report
        .undelivered
        .iter()
        .zip(2..)
        .map(|(left, label)| (left.event.contains(&format!("\"id\":\"{label}\"")), left.in_doubt))
        .collect();
    assert_eq!(left, [(true, true), (true, true), (true, false), (true, false)]);
    assert_eq!(waiting.await, Err(Loss::Ended { in_doubt: false }));
    assert_eq!(witness.losses().len(), 4);
    assert_eq!((audit.stats().dropped, audit.stats().buffered_events), (4, 0));
    assert_balanced(audit.stats());
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_grace_sends_nothing() {
    let server = MemoryServer::new();
    let audit = start(&builder(), &server);
    record(&audit, 0..3);
    assert_eq!(audit.shutdown(Duration::ZERO).await.undelivered.len(), 3);
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_a_retry_delay() {
    let server = MemoryServer::new().failing([Fault::Responds(503, Some(240), ""), Fault::Refused, Fault::Refused]);
    let audit = start(&builder().linger(Duration::ZERO), &server);
    record(&audit, 0..3);
    sleep(SECOND).await;
    assert_eq!(server.requests().len(), 1);
    assert_eq!(audit.shutdown(SECOND).await, ShutdownReport::default());
    assert_eq!(server.log(), numbers(0..3));
}

#[tokio::test(start_paused = true)]
async fn buffered_events_are_delivered_after_the_last_handle_is_dropped() {
    let server = MemoryServer::new();
    server.goes_down(5 * MINUTE);
    let audit = start(&builder(), &server);
    record(&audit, 0..150);
    let acknowledgement = audit.clone().record_durably(event("150")).unwrap();
    drop(audit);
    assert_eq!(acknowledgement.await.unwrap().sequence, 151);
    assert_eq!(server.log(), numbers(0..151));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_client_whose_runtime_has_ended_refuses_events_and_reports_the_rest() {
    let witness = Witness::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let audit = runtime.block_on(async {
        let audit = start(&builder().observer(witness.clone()), &MemoryServer::new().failing([Fault::Hangs]));
        record(&audit, 0..100);
        tokio::task::yield_now().await;
        record(&audit, 100..101);
        audit
    });
    drop(runtime);
    assert!(matches!(audit.record(event("101")), Err(Refused::ShutDown)));
    assert_eq!(witness.losses().len(), 101);
    assert_balanced(audit.stats());
    let another = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    another.block_on(audit.flush());
    let left = another.block_on(audit.shutdown(MINUTE)).undelivered;
    assert_eq!(left.iter().filter(|left| left.in_doubt).count(), 100);
    assert_eq!(left.len(), 101);
}

/// Threads outside the runtime record events while the client shuts down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_event_is_lost_during_shutdown() {
    let server = MemoryServer::new();
    let audit = start(&builder().buffer_max_events(1000).linger(Duration::ZERO), &server);
    let first = audit.record_durably(event("first")).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let audit = audit.clone();
            std::thread::spawn(move || {
                let mut taken = 0;
                loop {
                    match audit.record(event("x")) {
                        Ok(()) => taken += 1,
                        Err(Refused::Full) => std::thread::yield_now(),
                        Err(refused) => break (taken, refused),
                    }
                }
            })
        })
        .collect();
    first.await.unwrap();
    assert_eq!(audit.shutdown(Duration::MAX).await, ShutdownReport::default());
    let mut taken = 1;
    for thread in threads {
        let (count, refused) = thread.join().unwrap();
        assert!(matches!(refused, Refused::ShutDown));
        taken += count;
    }
    assert_eq!(server.log().len(), taken);
    assert_eq!(audit.stats().delivered, taken as u64);
    assert_balanced(audit.stats());
}

#[tokio::test(start_paused = true)]
async fn events_older_than_the_maximum_age_are_given_up() {
    let server = MemoryServer::new().failing([Fault::ResponseLost]);
    let witness = Witness::default();
    let limited = builder().max_age(2 * MINUTE).linger(Duration::ZERO).observer(witness.clone());
    let audit = start(&limited, &server);
    let lost = audit.record_durably(event("0")).unwrap();
    tokio::task::yield_now().await;
    server.goes_down(5 * MINUTE);
    record(&audit, 1..3);
    assert_eq!(lost.await, Err(Loss::TooOld { in_doubt: true }));
    record(&audit, 3..4);
    audit.flush().await;
    record(&audit, 4..5);
    sleep(4 * MINUTE).await;
    assert_eq!(server.log(), ["0", "4"]);
    let stats = audit.stats();
    assert_eq!((stats.dropped, stats.delivered), (4, 1));
    assert_eq!(witness.losses()[1..], vec![Loss::TooOld { in_doubt: false }; 3]);
}

thread_local! {
    /// What this thread logged since it last took it.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLog;

impl ThreadLog {
    /// Installs the subscriber of the whole test process, which keeps the logs of threads apart. One of a thread would not
    /// do: tracing caches for the process whether anybody listens to a log statement, so a thread without a subscriber
    /// that comes to the statement first silences it for all.
    fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false);
            tracing::subscriber::set_global_default(subscriber.with_writer(|| Self).finish()).unwrap();
        });
    }

    fn take() -> String {
        String::from_utf8(LOGGED.take()).unwrap()
    }
}

impl std::io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_and_a_full_buffer_are_logged_when_they_begin_and_end_and_not_in_between() {
    ThreadLog::take(); // another test's, if it ran on the same thread
    let server = MemoryServer::new();
    server.goes_down(10 * MINUTE);
    let audit = start(&builder().buffer_max_events(10).batch_max_events(1), &server);
    record(&audit, 0..10);
    for _ in 0..3 {
        assert!(matches!(audit.record(event("x")), Err(Refused::Full)));
    }
    audit.flush().await;
    audit.record(bad("x")).unwrap();
    audit.flush().await;
    insta::assert_snapshot!(ThreadLog::take(), @r"
    WARN the buffer of audit events is full: events are refused
    WARN audit events cannot be delivered: they are kept and tried again trouble=no connection: connection refused
    INFO audit events are delivered again failing_seconds=607
    INFO the buffer of audit events has room again refused=3
    WARN audit events will not be delivered events=1 fate=Rejected
    ");
}
