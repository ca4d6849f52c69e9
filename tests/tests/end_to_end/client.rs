//! The client against the local system, over a good network and over one that cuts connections.

mod cutting_proxy;
mod log;

use std::{collections::BTreeMap, time::Duration};

use annals_client::{AuditLog, DeliveryError, Entity, Event, Loss, Refused, ShutdownReport, Status};
use serde_json::json;
use tokio::task::JoinSet;

use self::{
    cutting_proxy::{Cut, CuttingProxy},
    log::{Fixture, PLATFORM_TOKEN},
};

const PRODUCERS: usize = 20;
const EVENTS_EACH: usize = 200;
/// Longer than any test takes on a busy machine.
const GRACE: Duration = Duration::from_secs(600);

fn event(producer: usize, number: usize) -> Event {
    let entity = Entity::new(format!("{producer}/{number}"), "Payments", "MOCK_API");
    Event::new("UPDATE", entity, Entity::new("7", "Ada", "USER")).payload(json!({"number": number}))
}

/// Many tasks record at the same time, each in its own order.
async fn record_from_many_tasks(audit: &AuditLog) {
    let mut tasks = JoinSet::new();
    for producer in 0..PRODUCERS {
        let audit = audit.clone();
        tasks.spawn(async move {
            for number in 0..EVENTS_EACH {
                audit.record(event(producer, number)).unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

/// Every event is in the log once, and the events of each task are in their order.
fn assert_all_there_in_order(labels: &[String]) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for label in labels {
        let (producer, number) = label.split_once('/').unwrap();
        let expected = next.entry(producer).or_default();
        assert_eq!(number.parse::<usize>().unwrap(), *expected, "of producer {producer}");
        *expected += 1;
    }
    assert_eq!(next.len(), PRODUCERS);
    assert!(next.values().all(|count| *count == EVENTS_EACH), "{next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_events_from_many_tasks_arrive_once_in_order_and_in_full_batches() {
    let fixture = Fixture::start().await;
    // However slow the machine is, no batch is sent before it is full, and no request is sent again.
    let builder =
        AuditLog::builder(&fixture.url(), &fixture.producer_token().await).linger(GRACE).attempt_timeout(GRACE);
    let audit = builder.start().unwrap();
    record_from_many_tasks(&audit).await;
    assert_eq!(audit.shutdown(GRACE).await, ShutdownReport::default());
    let log = fixture.log().await;
    assert_all_there_in_order(&log.labels);
    assert_eq!(log.segments, vec![100; PRODUCERS * EVENTS_EACH / 100]);
    let stats = audit.stats();
    assert_eq!((stats.delivered, stats.retries), ((PRODUCERS * EVENTS_EACH) as u64, 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_are_cut_off_after_the_commit_lose_and_repeat_no_event() {
    let fixture = Fixture::start().await;
    let proxy =
        CuttingProxy::start(fixture.url(), &[Cut::No, Cut::WholeResponse, Cut::HalfResponse, Cut::Request]).await;
    let builder = AuditLog::builder(&proxy.url(), PLATFORM_TOKEN).organisation(fixture.organisation());
    let audit = builder.retry_delay_max(Duration::from_millis(10)).start().unwrap();
    record_from_many_tasks(&audit).await;
    let receipt = audit.record_durably(event(0, EVENTS_EACH)).unwrap().await.unwrap();
    assert_eq!(receipt.sequence, fixture.tail().await);
    assert_eq!(audit.shutdown(GRACE).await, ShutdownReport::default());
    let mut log = fixture.log().await;
    assert_eq!(log.labels.pop().unwrap(), format!("0/{EVENTS_EACH}"));
    assert_eq!(log.ids.pop().unwrap(), receipt.event_id);
    assert_all_there_in_order(&log.labels);
    // Each batch goes through the cycle of cuts: three of four attempts fail, two of them after the commit.
    let (processed, batches) = (proxy.processed(), log.segments.len() as u64);
    assert!(processed >= 2 * batches, "{processed} requests for {batches} batches");
    assert!(audit.stats().retries >= 2 * batches, "{:?}", audit.stats());
    fixture.end().await;
}

#[tokio::test]
async fn rejected_events_are_reported_and_the_others_are_recorded() {
    let fixture = Fixture::start().await;
    let builder = AuditLog::builder(&fixture.url(), &fixture.producer_token().await);
    let audit = builder.start().unwrap();
    let good = audit.record_durably(event(0, 0)).unwrap();
    let bad = audit.record_durably(json!({"action": "UPDATE", "colour": "red"})).unwrap();
    let better = audit.record_durably(event(0, 1)).unwrap();
    assert_eq!(good.await.unwrap().sequence + 1, better.await.unwrap().sequence);
    let Err(Loss::Rejected(faults)) = bad.await else { panic!("it was recorded") };
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/entity", "/principal", "/colour"]);
    let large = json!({"action": "x".repeat(annals_client::MAX_EVENT_BYTES)});
    assert!(matches!(audit.record(large), Err(Refused::TooLarge)));
    assert_eq!(fixture.log().await.labels, ["0/0", "0/1"]);
    fixture.end().await;
}

#[tokio::test]
async fn batches_of_the_maximum_size_are_accepted() {
    let fixture = Fixture::start().await;
    let builder = AuditLog::builder(&fixture.url(), &fixture.producer_token().await);
    let audit = builder.batch_max_bytes(usize::MAX).attempt_timeout(GRACE).start().unwrap();
    // Incompressible text: 64 different characters from a generator.
    let mut state = 1_u64;
    let mut noise = || {
        let mut character = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 58) as u8)
        };
        (0..250_000).map(|_| character()).collect::<String>().replace('\\', "|")
    };
    for number in 0..30 {
        audit.record(event(0, number).payload(json!({"noise": noise()}))).unwrap();
    }
    assert_eq!(audit.shutdown(GRACE).await, ShutdownReport::default());
    let labels = fixture.log().await.labels;
    assert_eq!(labels, (0..30).map(|number| format!("0/{number}")).collect::<Vec<_>>());
    assert_eq!((audit.stats().rejected, audit.stats().retries), (0, 0));
    fixture.end().await;
}

#[tokio::test]
async fn a_wrong_token_organisation_or_url_is_reported_as_such() {
    let fixture = Fixture::start().await;
    let builders = [
        AuditLog::builder(&fixture.url(), "annals_wrong"),
        AuditLog::builder(&fixture.url(), &fixture.auditor_token().await),
        AuditLog::builder(&fixture.url(), PLATFORM_TOKEN),
        AuditLog::builder(&fixture.url(), PLATFORM_TOKEN).organisation("nobody"),
        AuditLog::builder(&format!("{}/v1", fixture.url()), PLATFORM_TOKEN),
        AuditLog::builder("http://127.0.0.1:1", "annals_wrong"),
    ];
    let mut errors = Vec::new();
    for builder in builders {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let audit = builder.observer(StatusChannel(sender)).start().unwrap();
        audit.record(event(0, 0)).unwrap();
        let Status::Failing { error, .. } = receiver.recv().await.unwrap() else { panic!("delivery works") };
        errors.push(match error {
            DeliveryError::Unreachable(detail) => detail.split(" (").next().unwrap().to_owned(),
            error => error.to_string(),
        });
        assert_eq!(audit.shutdown(Duration::ZERO).await.undelivered.len(), 1);
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    the token was refused (status 401): The token is missing, mistyped, revoked or expired. Send a valid one: Authorization: Bearer <token>.
    the token was refused (status 403): The token's role is auditor; this call requires producer.
    unexpected response (status 400): The platform's token acts for every organisation. Use the path /organisations/{organisation}/….
    unexpected response (status 404): The organisation, or the resource in it, does not exist for this token. Check the ids in the path, and which organisation the token belongs to.
    unexpected response (status 404): The API has no such path. Check it against /openapi.json.
    error sending request: client error
    ");
    fixture.end().await;
}

/// Passes on each status.
struct StatusChannel(tokio::sync::mpsc::UnboundedSender<Status>);

impl annals_client::Observer for StatusChannel {
    fn lost(&self, _event: &str, _loss: &Loss) {}

    fn status_changed(&self, status: &Status) {
        self.0.send(status.clone()).unwrap();
    }
}
