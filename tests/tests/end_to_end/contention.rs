//! 64 writers to one organisation at the same time, over the embedded DynamoDB with the real adapter: merged in one
//! process, and as 64 processes that share only the table.
//!
//! They mostly wait for the shared processor, so the deadline is long. `benches/contention.rs` shows that no append
//! misses the real deadline with a store five milliseconds away.

use std::{sync::Arc, time::Duration};

use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    system::{SystemClock, SystemEntropy},
};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    audit::{Audit, PageRequest, Start},
    entropy::Entropy,
    log::{Log, append::AppendPolicy, segment::LineHash, store::LogStore},
    organisation::Organisation,
    time::Clock,
};
use annals_local::demo;
use annals_tests::{capacity::CapacityMeter, sample};

const WRITERS: usize = 64;
const EVENTS: usize = 20;

struct Store {
    _cloud: Cloud,
    store: Arc<DynamoStore>,
    meter: CapacityMeter,
    log_table: String,
}

async fn store() -> Store {
    let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
    let (client, meter) = CapacityMeter::client(&cloud.sdk_config(&AccessKey::new("any", "any")));
    let tables = Tables { log: "log".into(), registry: "registry".into() };
    create_tables(&client, &tables).await.unwrap();
    let store = Arc::new(DynamoStore::new(client, tables.clone()));
    Store { _cloud: cloud, store, meter, log_table: tables.log }
}

fn log(store: &Store) -> Arc<Log> {
    let parts: (Arc<dyn LogStore>, Arc<dyn Clock>, Arc<dyn Entropy>) =
        (store.store.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let patience = Duration::from_secs(300);
    let policy = AppendPolicy { deadline: patience, contention_deadline: patience, ..AppendPolicy::default() };
    Arc::new(Log::new(parts.0, parts.1, parts.2, policy))
}

/// Lets 64 writers record 20 events each, one after the other, and checks the log afterwards.
async fn write_and_check(name: &str, store: &Store, log_of: impl Fn(usize) -> Arc<Log>) {
    let organisation = Organisation { created_at: SystemClock.now(), ..sample::organisation("acme") };
    let events = demo::realistic_events(7, EVENTS);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (log, organisation, events) = (log_of(writer), organisation.clone(), events.clone());
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for event in &events {
                    let receipt = log.append(&organisation, vec![sample::posted(event)], None).await.unwrap();
                    ids.extend(receipt.ids());
                }
                assert!(ids.is_sorted(), "a writer's own events are in its order");
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for writer in writers {
        ids.extend(writer.await.unwrap());
    }
    let total = WRITERS * EVENTS;
    assert_eq!(ids.len(), total);
    let used = store.meter.of(&store.log_table);
    println!(
        "{name}: {total} events, {:.3} write units an event, {} conditions lost, {:.0} write units wasted",
        used.write_units / total as f64,
        used.failed_conditions,
        used.wasted_units,
    );

    // Readers see dense, chained sequences of exactly the acknowledged events.
    let audit = Audit::new(log_of(0));
    let mut request = PageRequest { page_size: 1000, ..PageRequest::default() };
    let mut lines = Vec::new();
    loop {
        let page = audit.page(&organisation, &request, &sample::reader()).await.unwrap();
        lines.extend(page.lines);
        let Some(next) = page.next else { break };
        request = PageRequest { start: Start::From(next), through: page.through, ..request };
    }
    assert_eq!(lines.len(), total);
    let mut previous = LineHash::ORIGIN;
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line.sequence(), index as u64 + 1, "the sequence is dense");
        assert!(line.text.contains(&format!(r#""previousHash":"{previous}""#)), "the chain holds at {}", index + 1);
        previous = LineHash::of(&line.text);
    }
    ids.sort();
    assert_eq!(ids, lines.iter().map(|line| line.id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_in_one_process_all_succeed_in_a_dense_chain() {
    let store = store().await;
    let shared = log(&store);
    write_and_check("one process", &store, |_| Arc::clone(&shared)).await;
    assert_eq!(store.meter.of(&store.log_table).failed_conditions, 0, "one process does not contend with itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_processes_that_share_only_the_table_all_succeed_in_a_dense_chain() {
    let store = store().await;
    let logs: Vec<_> = (0..WRITERS).map(|_| log(&store)).collect();
    write_and_check("64 processes", &store, |writer| Arc::clone(&logs[writer])).await;
}
