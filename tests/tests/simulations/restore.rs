//! Tables that are taken back to an earlier copy: what contradicts deliveries is named as such, and after the restore is
//! recorded, everything goes on without a number used twice, an event delivered twice, or a proof that claims too much.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};

use annals_core::{
    audit::{Audit, PageRequest, Resume, Start},
    change::Change,
    delivery::{
        plan::PlanJob,
        queue::ShipOrder,
        restore::{RestoreCursor, RestoreRequest},
        ship::{ShipOutcome, ShipPolicy, ShipReport, Shipping},
    },
    destination::{Delivery, Destination, DestinationId, State, failure::FailureCode, sink::ObjectSink},
    id::EventId,
    log::{
        Log,
        append::{AppendError, AppendPolicy},
        read::PlaceError,
        segment::{Line, Tail},
        store::Order,
        tail::Hazard,
    },
    organisation::{Organisation, OrganisationId},
    proof::{checkpoint::SignedNote, log_checkpoint::LogCheckpoints, signing::Signing},
    registry::{Registry, RestoredTables, Stretch},
    time::{Clock as _, Timestamp},
};
use annals_tests::{
    bucket::{Condition, MemoryBuckets},
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    memory::{MemoryStore, Table},
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::world::active_destinations,
    signer::MemorySigner,
};
use annals_verify::{
    AsOf, Expectation,
    keys::Keys,
    report::{ProblemKind, Report, Verdict},
};
use serde_json::json;

const KEY: &str = "key-1";
const TICK: Duration = Duration::from_secs(600);
/// The ticks within which every destination is compared with the end of its log.
const ROUND: usize = 36;

/// An organisation with a destination, and a shipper that signs.
struct World {
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    store: Arc<MemoryStore>,
    buckets: Arc<MemoryBuckets>,
    queue: Arc<MemoryQueue>,
    signer: Arc<MemorySigner>,
    acme: Organisation,
}

impl World {
    /// A world with two events: of the organisation and of the destination.
    async fn start() -> Self {
        let clock = PausedClock::new(sample::START);
        let acme = sample::organisation("acme");
        let buckets = MemoryBuckets::new(clock.clone(), "eu-central-1".parse().unwrap());
        let destination = sample::destination(&acme, "1");
        buckets.open(&destination.bucket, "eu-central-1".parse().unwrap());
        let world = Self {
            entropy: SeededEntropy::new(1),
            store: Arc::new(MemoryStore::new()),
            buckets,
            queue: MemoryQueue::new(clock.clone()),
            signer: MemorySigner::new(),
            acme: acme.clone(),
            clock,
        };
        let log = world.log();
        log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone())).await.unwrap();
        let create = Change::CreateDestination { destination: Box::new(destination), limit: 1 };
        log.append_change(&acme, sample::body("1"), create).await.unwrap();
        world
    }

    fn log(&self) -> Arc<Log> {
        let policy = AppendPolicy::default();
        Arc::new(Log::new(self.store.clone(), self.clock.clone(), self.entropy.fork(), policy))
    }

    fn signing(&self) -> Arc<Signing> {
        self.signer.signing(KEY, self.store.clone(), self.clock.clone())
    }

    fn shipping(&self) -> Shipping {
        self.shipping_within(ShipPolicy::default().time_budget)
    }

    fn shipping_within(&self, time_budget: Duration) -> Shipping {
        let sink = self.buckets.clone() as Arc<dyn ObjectSink>;
        let (store, queue, clock) = (self.store.clone(), self.queue.clone(), self.clock.clone());
        let policy = ShipPolicy { time_budget, ..ShipPolicy::default() };
        let shipping = Shipping::new(self.log(), store, queue, sink, clock, self.entropy.fork(), policy);
        shipping.with_signing(Some(self.signing()))
    }

    /// Records one event after the other.
    async fn record(&self, count: usize) {
        for number in 0..count {
            self.log().append(&self.acme, vec![sample::body(&number.to_string())], None).await.unwrap();
        }
    }

    /// Records events and delivers them with the next tick.
    async fn deliver(&self, count: usize) {
        self.record(count).await;
        self.tick().await;
    }

    /// Plans and ships what was ordered. Returns the reports.
    async fn tick(&self) -> Vec<ShipReport> {
        self.clock.jump(TICK);
        let shipping = self.shipping();
        shipping.plan().await.unwrap();
        let mut reports = Vec::new();
        for message in self.queue.receive(10) {
            reports.push(shipping.ship(message.order()).await.unwrap());
            self.queue.delete(message.number);
        }
        reports
    }

    /// Ticks until a run does not end as if everything was in order. Panics if that takes longer than a round.
    async fn tick_until_it_is_noticed(&self) -> FailureCode {
        for _ in 0..ROUND {
            for report in self.tick().await {
                if let ShipOutcome::Failing(code) = report.outcome {
                    return code;
                }
            }
        }
        panic!("nothing was noticed: {:?}", self.destination().await.state())
    }

    async fn destination(&self) -> Destination {
        self.store.destinations(&self.acme.id).await.unwrap().remove(0)
    }

    async fn failing(&self) -> Option<FailureCode> {
        match self.destination().await.state() {
            State::Failing { failing, .. } => Some(failing.failure.code),
            _ => None,
        }
    }

    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let bucket = sample::destination(&self.acme, "1").bucket;
        self.buckets.objects(&bucket).into_iter().map(|(key, object)| (key, object.content.to_vec())).collect()
    }
}

#[test]
fn a_destination_ahead_of_its_log_is_named_and_gets_nothing() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.deliver(3).await;
        assert_eq!(world.destination().await.next_sequence, 6);
        let objects = world.objects();
        world.store.take_back(&earlier, &[Table::Log]);
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::AheadOfLog);
        assert_eq!(world.failing().await, Some(FailureCode::AheadOfLog));
        let status = world.destination().await.status().to_string();
        assert!(
            status.contains("Events up to sequence 5 were delivered, but our log ends with sequence 2."),
            "{status}"
        );
        // New events take the numbers of lost ones. It stays a failure, and for days.
        world.record(2).await;
        let mut noticed = 0;
        for _ in 0..3 * 144 {
            for report in world.tick().await {
                noticed += usize::from(matches!(report.outcome, ShipOutcome::Failing(_)));
                assert_ne!(report.outcome, ShipOutcome::UpToDate);
            }
        }
        assert!(noticed > 24 * 3, "reported {noticed} times: at least once an hour");
        assert_eq!(world.failing().await, Some(FailureCode::AheadOfLog));
        assert_eq!(world.objects(), objects, "nothing is delivered, and nothing is signed");
    });
}

#[test]
fn a_log_that_was_restored_and_went_on_is_named_and_not_delivered() {
    in_virtual_time(async {
        for (lost, new) in [(3, 3), (3, 4), (3, 90), (1, 1)] {
            let world = World::start().await;
            let earlier = world.store.back_up();
            world.deliver(lost).await;
            let objects = world.objects();
            world.store.take_back(&earlier, &[Table::Log]);
            for _ in 0..new {
                world.clock.jump(Duration::from_secs(1));
                world.record(1).await;
            }
            // An end with another event is compared once a day, when a checkpoint is due.
            let mut code = None;
            for _ in 0..145 {
                code = code.or(world.tick().await.into_iter().find_map(|report| match report.outcome {
                    ShipOutcome::Failing(code) => Some(code),
                    _ => None,
                }));
            }
            assert_eq!(code, Some(FailureCode::LogMismatch), "{new} new events");
            assert_eq!(world.failing().await, Some(FailureCode::LogMismatch));
            assert_eq!(world.objects(), objects, "nothing is delivered, and nothing is signed");
        }
    });
}

#[test]
fn a_position_within_a_batch_of_a_restored_log_is_no_gap() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.deliver(3).await;
        let objects = world.objects();
        world.store.take_back(&earlier, &[Table::Log]);
        // Sequences 3 to 12 in one segment, and the destination is at 6.
        let batch = (0..10).map(|number| sample::body(&number.to_string())).collect();
        world.log().append(&world.acme, batch, None).await.unwrap();
        world.record(1).await;
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::LogMismatch);
        assert_eq!(world.objects(), objects);
        assert_eq!(world.destination().await.progress.lost, None, "no event has expired");
    });
}

#[test]
fn an_unfinished_delivery_of_events_that_the_log_lost_is_named() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let earlier = world.store.back_up();
        world.record(3).await;
        let bucket = world.destination().await.bucket;
        world.buckets.set_condition(&bucket, Condition::Outage);
        world.tick().await;
        assert!(world.destination().await.intent.is_some());
        let (objects, events) = (world.objects(), world.log().tail(&world.acme.id).await.unwrap().last);
        assert_eq!(events, 5);
        world.store.take_back(&earlier, &[Table::Log]);
        world.buckets.set_condition(&bucket, Condition::Working);
        let mut code = None;
        for _ in 0..ROUND {
            world.tick().await;
            code = world.failing().await.filter(|code| code.is_contradiction()).or(code);
        }
        assert_eq!(code, Some(FailureCode::AheadOfLog));
        assert_eq!(world.objects(), objects);
        assert_eq!(world.log().tail(&world.acme.id).await.unwrap().last, 2, "and nothing is recorded about it");
    });
}

#[test]
fn a_log_that_is_in_order_again_ends_the_failure_without_a_new_event() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.deliver(3).await;
        let complete = world.store.back_up();
        world.store.take_back(&earlier, &[Table::Log]);
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::AheadOfLog);
        world.store.take_back(&complete, &[Table::Log]);
        for _ in 0..7 {
            world.tick().await;
        }
        assert_eq!(world.failing().await, None);
        world.record(1).await;
        assert_eq!(world.tick().await[0].outcome, ShipOutcome::UpToDate);
        assert_eq!(world.destination().await.next_sequence, 7);
    });
}

#[test]
fn a_destination_whose_pause_is_over_is_tried_although_it_has_nothing_to_deliver() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.deliver(1).await;
        world.store.take_back(&earlier, &[Table::Log]);
        world.tick_until_it_is_noticed().await;
        let active = active_destinations(&*world.store).await.remove(0);
        assert!(ShipOrder::of(&active, world.clock.now()).pending);
    });
}

/// The number of sequences that the tests leave unused.
const SKIP: u64 = 1000;

impl World {
    /// Plans, and returns which tables planning takes for copies.
    async fn copied(&self) -> Option<RestoredTables> {
        self.shipping().plan().await.unwrap().copied_tables
    }

    fn request(&self, tables: RestoredTables, restored_to: Timestamp) -> RestoreRequest {
        RestoreRequest {
            restore: "copy-1".parse().unwrap(),
            tables,
            restored_to,
            skip: Some(SKIP),
            last: BTreeMap::new(),
            delivered: BTreeMap::new(),
        }
    }

    /// Names how far the destination was delivered, as the log lines of shipments say.
    fn delivered(&self, last: u64) -> BTreeMap<(OrganisationId, DestinationId), u64> {
        BTreeMap::from([((self.acme.id.clone(), sample::destination(&self.acme, "1").id), last)])
    }

    async fn restore(&self, request: &RestoreRequest) {
        let report = self.shipping().restore(request, None).await.unwrap();
        assert_eq!((report.restored, report.failed.len(), &report.after), (1, 0, &None), "{report:?}");
    }

    /// Restores, and does it once more, which changes nothing.
    async fn restore_twice(&self, request: &RestoreRequest) -> Tail {
        self.restore(request).await;
        let tail = self.log().tail(&self.acme.id).await.unwrap();
        self.restore(request).await;
        assert_eq!(self.log().tail(&self.acme.id).await.unwrap(), tail, "a repetition changes nothing");
        tail
    }

    /// Checks the bucket with the public key.
    fn verify(&self) -> Report {
        self.verify_objects(self.objects())
    }

    fn verify_objects(&self, objects: BTreeMap<String, Vec<u8>>) -> Report {
        let expected = Expectation {
            keys: Keys::parse(MemorySigner::verifier_key(KEY).as_str()).unwrap(),
            as_of: Some(AsOf::Now(self.clock.now())),
            ..Expectation::default()
        };
        annals_verify::verify(&objects, &expected).unwrap()
    }

    /// The sequences in the data objects, in the order of the objects' keys.
    fn delivered_sequences(&self) -> Vec<u64> {
        let objects = self.objects();
        let data = objects.iter().filter(|(key, _)| key.ends_with(".json"));
        let lines = data.flat_map(|(_, content)| std::str::from_utf8(content).unwrap().lines());
        lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].as_u64().unwrap())
            .collect()
    }

    /// The events that are not in the bucket yet do not matter: reads everything from `from` on with small pages.
    async fn read_from(&self, from: Start) -> Vec<u64> {
        let audit = Audit::new(self.log());
        let mut request = PageRequest { start: from, page_size: 2, ..PageRequest::default() };
        let mut sequences = Vec::new();
        loop {
            let page = audit.page(&self.acme, &request, &sample::reader()).await.unwrap();
            sequences.extend(page.lines.iter().map(Line::sequence));
            let Some(next) = page.next else { return sequences };
            request = PageRequest { start: Start::From(next), through: page.through, skip: page.skip, ..request };
        }
    }
}

/// The id of the log's last event, which is alone in its segment.
fn tail_id(world: &World, tail: Tail) -> EventId {
    EventId::new(&world.acme.id, tail.recorded_at, tail.segment, 0)
}

fn ranges(report: &Report) -> Vec<(u64, u64)> {
    report.proven.iter().map(|proven| (proven.first_sequence, proven.last_sequence)).collect()
}

fn lost(report: &Report) -> Vec<(u64, u64)> {
    report.lost.iter().map(|lost| (lost.first_sequence, lost.last_sequence)).collect()
}

/// Without the objects that have one of these sequences.
fn without(mut objects: BTreeMap<String, Vec<u8>>, sequences: RangeInclusive<u64>) -> BTreeMap<String, Vec<u8>> {
    objects.retain(|key, content| {
        let has = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            sequences.contains(&line["sequence"].as_u64().unwrap())
        };
        !key.ends_with(".json") || !std::str::from_utf8(content).unwrap().lines().any(has)
    });
    objects
}

#[test]
fn a_restored_log_goes_on_behind_what_was_used_and_its_destinations_with_it() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(3).await;
        world.record(2).await;
        // Sequences 3 to 5 are delivered and lost, 6 and 7 are lost.
        world.store.restore(&earlier, RestoredTables::Log);
        assert_eq!(world.copied().await, Some(RestoredTables::Log));
        let tail = world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        let next = 5 + SKIP + 1;
        assert_eq!(tail.last, next, "behind the highest sequence that the registry knows");
        world.record(2).await;
        for _ in 0..7 {
            world.tick().await;
        }
        assert_eq!(world.failing().await, None);
        assert_eq!(world.delivered_sequences(), [1, 2, 3, 4, 5, next, next + 1, next + 2]);
        let objects = world.objects();
        let restored = objects.values().find_map(|content| {
            std::str::from_utf8(content).unwrap().lines().find(|line| line.contains("log.restored")).map(str::to_owned)
        });
        let restored: serde_json::Value = serde_json::from_str(&restored.unwrap()).unwrap();
        assert_eq!(restored["recordedBy"], "annals");
        assert_eq!(restored["payload"]["lost"], json!([{"firstSequence": 3, "lastSequence": next - 1}]));
        assert_eq!(restored["payload"]["highestKnownSequence"], 5);
        assert_eq!(world.destination().await.progress.lost, None, "nothing has expired");

        let report = world.verify();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
        assert_eq!((ranges(&report), lost(&report)), (vec![(1, 5), (next, next + 2)], vec![(6, next - 1)]));
        let text = report.to_text(9);
        assert!(text.contains("Lost: sequences 6 to 1,005, when the log was restored to an earlier copy"), "{text}");

        world.deliver(1).await;
        assert_eq!(*world.delivered_sequences().last().unwrap(), next + 3);
        assert_eq!(world.verify().verdict, Verdict::Proven);
    });
}

#[test]
fn a_restored_log_goes_on_behind_its_newest_signed_end_and_behind_what_the_operator_names() {
    in_virtual_time(async {
        for (named, highest) in [(None, 7), (Some(6), 7), (Some(12), 12)] {
            let world = World::start().await;
            let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
            world.record(5).await;
            // Nothing is delivered, but somebody has a signed end.
            LogCheckpoints::new(world.log(), world.signing()).newest(&world.acme).await.unwrap();
            world.record(2).await;
            world.store.restore(&earlier, RestoredTables::Log);
            let last = named.map(|named| (world.acme.id.clone(), named)).into_iter().collect();
            let request = RestoreRequest { last, ..world.request(RestoredTables::Log, restored_to) };
            let tail = world.restore_twice(&request).await;
            assert_eq!(tail.last, highest + SKIP + 1, "{named:?}");
            let line = world.log().event(&world.acme, tail_id(&world, tail)).await.unwrap();
            assert!(line.text.contains(&format!(r#""highestKnownSequence":{highest}"#)), "{}", line.text);
        }
    });
}

#[test]
fn a_log_whose_end_is_unknown_goes_on_behind_what_the_operator_names() {
    in_virtual_time(async {
        let world = World::start().await;
        world.record(3).await;
        let seen = world.clock.now();
        // Everything expires, and nobody made sure of the end.
        world.clock.jump(2 * world.acme.retention.duration());
        world.store.expire(world.clock.now(), |_, _| true);
        let append = async || world.log().append(&world.acme, vec![sample::body("new")], None).await;
        let refused = append().await.unwrap_err();
        assert!(matches!(refused, AppendError::Unsafe(Hazard::TailUnknown { .. })), "{refused:?}");
        let last = BTreeMap::from([(world.acme.id.clone(), 12)]);
        let request = RestoreRequest { last, ..world.request(RestoredTables::Log, seen) };
        for _ in 0..2 {
            let report = world.shipping().restore_one(&request, &world.acme.id).await.unwrap();
            assert_eq!((report.restored, report.failed.len()), (1, 0), "{report:?}");
        }
        append().await.unwrap();
        assert_eq!(world.log().tail(&world.acme.id).await.unwrap().last, 12 + SKIP + 2);
    });
}

#[test]
fn without_a_number_from_the_operator_more_are_left_unused_than_a_log_can_get() {
    in_virtual_time(async {
        let world = World::start().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.clock.jump(Duration::from_secs(60));
        world.store.restore(&earlier, RestoredTables::Log);
        let request = RestoreRequest { skip: None, ..world.request(RestoredTables::Log, restored_to) };
        let tail = world.restore_twice(&request).await;
        assert_eq!(tail.last, 2 + 60 * 100_000 + 1);
    });
}

#[test]
fn an_organisation_that_cannot_be_restored_stops_no_other_and_keeps_planning_off() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        for number in 0..20 {
            let organisation = sample::organisation(&format!("b{number:02}"));
            let create = Change::CreateOrganisation(organisation.clone());
            world.log().append_change(&organisation, sample::body("0"), create).await.unwrap();
        }
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        let batch = (0..3).map(|number| sample::body(&number.to_string())).collect();
        world.log().append(&world.acme, batch, None).await.unwrap();
        world.store.restore(&earlier, RestoredTables::Registry);
        // The first organisation fails, in the first of several pieces.
        let mut request =
            RestoreRequest { delivered: world.delivered(4), ..world.request(RestoredTables::Registry, restored_to) };
        let all = async |request: &RestoreRequest| {
            let shipping = world.shipping_within(Duration::ZERO);
            let (mut after, mut pieces) = (None, Vec::new());
            loop {
                let report = shipping.restore(request, after).await.unwrap();
                pieces.push((report.restored, report.failed.len()));
                after = report.after;
                if after.is_none() {
                    return pieces;
                }
            }
        };
        assert_eq!(all(&request).await, [(7, 1), (8, 0), (5, 0), (0, 0)]);
        assert_eq!(world.copied().await, Some(RestoredTables::Registry), "one is missing");
        for number in 0..20 {
            let tail = world.log().tail(&format!("b{number:02}").parse().unwrap()).await.unwrap();
            assert_eq!(tail.last, 2, "its own event and registry.restored");
        }
        request.delivered = world.delivered(5);
        assert_eq!(all(&request).await, [(8, 0), (8, 0), (5, 0), (0, 0)]);
        assert_eq!(world.copied().await, None);
        let cursor = RestoreCursor { organisation: "b19".parse().unwrap(), failed: 1 };
        world.store.restore(&world.store.back_up(), RestoredTables::Registry);
        world.shipping().restore(&request, Some(cursor)).await.unwrap();
        assert_eq!(world.copied().await, Some(RestoredTables::Registry), "one failed before");
    });
}

#[test]
fn a_destination_that_stands_in_a_hole_is_found_even_if_the_order_for_it_is_lost() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(3).await;
        world.store.restore(&earlier, RestoredTables::Log);
        let tail = world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        while let Some(message) = world.queue.receive(1).pop() {
            world.queue.delete(message.number);
        }
        for _ in 0..ROUND {
            world.tick().await;
        }
        assert_eq!(world.delivered_sequences(), [1, 2, 3, 4, 5, tail.last]);
    });
}

#[test]
fn the_named_hole_excuses_nothing_that_was_delivered() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(2).await;
        world.deliver(2).await;
        // Sequences 3 and 4, and 5 and 6, are delivered in an object each, and lost.
        world.store.restore(&earlier, RestoredTables::Log);
        world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        world.deliver(1).await;
        assert_eq!(world.verify().verdict, Verdict::Proven, "{}", world.verify().to_text(9));
        let next = 6 + SKIP + 1;
        for gone in [3..=4, 5..=6, 3..=6, 1..=2, next..=next] {
            let report = world.verify_objects(without(world.objects(), gone.clone()));
            assert_eq!(report.verdict, Verdict::Broken, "{gone:?}: {}", report.to_text(9));
            let missing = report.problems.iter().find(|problem| problem.kind == ProblemKind::Missing);
            let missing = missing.unwrap_or_else(|| panic!("{gone:?}: {}", report.to_text(9)));
            assert!(missing.first_sequence <= Some(*gone.start()), "{}", report.to_text(9));
        }
        // Even if the checkpoints between are taken away too.
        let mut objects = without(world.objects(), 5..=6);
        let checkpoints: Vec<String> = objects.keys().filter(|key| key.ends_with(".checkpoint")).cloned().collect();
        objects.retain(|key, _| !checkpoints[1..checkpoints.len() - 1].contains(key));
        assert_eq!(world.verify_objects(objects).verdict, Verdict::Broken);
    });
}

#[test]
fn a_forged_restore_excuses_nothing() {
    in_virtual_time(async {
        let world = World::start().await;
        world.deliver(2).await;
        world.deliver(2).await;
        // A producer records what looks like Annals' own event.
        let forged = json!({
            "action": "RESTORE",
            "type": "log.restored",
            "entity": {"id": "acme", "name": "acme", "entityType": "AUDIT_LOG"},
            "principal": {"id": "annals", "name": "Annals", "entityType": "SYSTEM"},
            "payload": {"lost": [{"firstSequence": 5, "lastSequence": 6}]},
        });
        world.log().append(&world.acme, vec![sample::posted(&forged)], None).await.unwrap();
        world.deliver(1).await;
        assert_eq!(world.verify().verdict, Verdict::Proven);
        let report = world.verify_objects(without(world.objects(), 5..=6));
        assert_eq!((report.verdict, lost(&report)), (Verdict::Broken, vec![]), "{}", report.to_text(9));

        // A bucket's administrator writes it as if Annals had recorded it.
        let mut objects = without(world.objects(), 5..=6);
        for content in objects.values_mut() {
            let text = String::from_utf8(content.clone()).unwrap();
            let changed = text.lines().map(|line| {
                if !line.contains("log.restored") || line.starts_with("{\"sequence\":6") {
                    return format!("{line}\n");
                }
                let (before, rest) = line.split_once(r#""recordedBy":""#).unwrap();
                let (_, rest) = rest.split_once('"').unwrap();
                format!("{before}\"recordedBy\":\"annals\"{rest}\n")
            });
            if text.contains("log.restored") {
                *content = changed.collect::<String>().into_bytes();
            }
        }
        let report = world.verify_objects(objects);
        assert_eq!((report.verdict, lost(&report)), (Verdict::Broken, vec![]), "{}", report.to_text(9));
    });
}

#[test]
fn a_hole_that_is_larger_than_the_checkpoints_say_is_not_excused() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(2).await;
        world.store.restore(&earlier, RestoredTables::Log);
        let tail = world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        world.deliver(1).await;
        let objects = world.objects();
        let (key, note) = objects.iter().rfind(|(key, _)| key.ends_with(".checkpoint")).unwrap();
        let note = SignedNote::parse(note).unwrap();
        let lost_line = note.text().lines().find(|line| line.starts_with("lost ")).unwrap().to_owned();
        let hole = format!("lost 5-{} ", tail.last - 1);
        assert!(lost_line.starts_with(&hole), "{lost_line}");
        // Annals signs the same without the hole, or with a smaller one.
        for signed in [String::new(), lost_line.replacen("lost 5-", "lost 9-", 1) + "\n"] {
            let text = note.text().replacen(&format!("{lost_line}\n"), &signed, 1);
            let signing = world.signing();
            let current = signing.current().await.unwrap();
            let forged = signing.sign(&text, &[current]).await.unwrap();
            let mut objects = objects.clone();
            objects.insert(key.clone(), forged.into_bytes());
            let report = world.verify_objects(objects);
            assert_eq!(report.verdict, Verdict::Broken, "{}", report.to_text(9));
            let missing = report.problems.iter().find(|problem| problem.kind == ProblemKind::Missing).unwrap();
            assert_eq!(missing.first_sequence, Some(5), "{}", report.to_text(9));
        }
    });
}

#[test]
fn both_tables_go_on_behind_what_the_operator_names() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(3).await;
        world.deliver(1).await;
        // Sequences 3 to 6 are delivered in two objects, and neither table knows.
        world.store.restore(&earlier, RestoredTables::Both);
        let request =
            RestoreRequest { delivered: world.delivered(6), ..world.request(RestoredTables::Both, restored_to) };
        let tail = world.restore_twice(&request).await;
        let next = 6 + SKIP + 1;
        assert_eq!(tail.last, next);
        world.tick().await;
        world.deliver(1).await;
        assert_eq!(world.delivered_sequences(), [1, 2, 3, 4, 5, 6, next, next + 1]);
        let report = world.verify();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
        assert_eq!((ranges(&report), lost(&report)), (vec![(1, 6), (next, next + 1)], vec![(7, next - 1)]));
        // Events of which only the superseded checkpoints know are demanded.
        for gone in [3..=5, 6..=6] {
            let report = world.verify_objects(without(world.objects(), gone));
            assert_eq!(report.verdict, Verdict::Broken, "{}", report.to_text(9));
        }
    });
}

#[test]
fn a_restored_registry_goes_on_behind_what_the_operator_names() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.deliver(3).await;
        world.record(1).await;
        world.store.restore(&earlier, RestoredTables::Registry);
        let request =
            RestoreRequest { delivered: world.delivered(5), ..world.request(RestoredTables::Registry, restored_to) };
        let tail = world.restore_twice(&request).await;
        assert_eq!(tail.last, 7, "the restore of the registry is an event, and the numbers go on");
        world.tick().await;
        world.deliver(1).await;
        assert_eq!(world.delivered_sequences(), [1, 2, 3, 4, 5, 6, 7, 8]);
        let report = world.verify();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
        assert_eq!((ranges(&report), lost(&report)), (vec![(1, 8)], vec![]));
        let report = world.verify_objects(without(world.objects(), 3..=5));
        assert_eq!(report.verdict, Verdict::Broken, "a restored registry excuses no missing event");
        let listed = world.store.deliveries(&world.acme.id, &world.destination().await.id, 9).await.unwrap();
        assert!(listed.iter().any(Delivery::is_stand_in));
    });
}

#[test]
fn a_position_that_is_no_end_of_an_object_is_refused() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        let batch = (0..3).map(|number| sample::body(&number.to_string())).collect();
        world.log().append(&world.acme, batch, None).await.unwrap();
        world.store.restore(&earlier, RestoredTables::Registry);
        let request =
            RestoreRequest { delivered: world.delivered(4), ..world.request(RestoredTables::Registry, restored_to) };
        let report = world.shipping().restore(&request, None).await.unwrap();
        let [(_, error)] = &report.failed[..] else { panic!("{report:?}") };
        assert!(
            error
                .to_string()
                .ends_with("sequence 4 is not the last event of an object, so it cannot be the last one delivered")
        );
    });
}

#[test]
fn an_idle_destination_of_a_restored_registry_keeps_its_proof() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        // Two days of silence are signed, and no record is left of it.
        for _ in 0..2 * 144 {
            world.tick().await;
        }
        let checkpoints = world.objects().keys().filter(|key| key.ends_with(".checkpoint")).count();
        assert_eq!(checkpoints, 3);
        world.store.restore(&earlier, RestoredTables::Registry);
        world.restore_twice(&world.request(RestoredTables::Registry, restored_to)).await;
        for _ in 0..145 {
            world.tick().await;
        }
        let report = world.verify();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
    });
}

#[test]
fn an_unfinished_delivery_ends_where_the_restored_log_does() {
    in_virtual_time(async {
        for (backed_up, delivered) in [(2, vec![1, 2]), (4, vec![1, 2, 3, 4])] {
            let world = World::start().await;
            world.tick().await;
            let mut earlier = world.store.back_up();
            for last in 3..=5 {
                world.record(1).await;
                if last == backed_up {
                    earlier = world.store.back_up();
                }
            }
            let restored_to = world.clock.now();
            let bucket = world.destination().await.bucket;
            world.buckets.set_condition(&bucket, Condition::Outage);
            world.tick().await;
            let intent = world.destination().await.intent.unwrap();
            assert_eq!((intent.first, intent.last), (3, 5));
            world.store.restore(&earlier, RestoredTables::Log);
            world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
            world.buckets.set_condition(&bucket, Condition::Working);
            for _ in 0..7 {
                world.tick().await;
            }
            let next = 5 + SKIP + 1;
            assert_eq!(world.delivered_sequences(), [delivered, vec![next]].concat());
            let report = world.verify();
            assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
            assert_eq!(lost(&report), [(backed_up + 1, next - 1)]);
        }
    });
}

#[test]
fn a_writer_that_has_seen_only_the_copy_does_not_write_into_the_hole() {
    in_virtual_time(async {
        let world = World::start().await;
        let restored_to = world.clock.now();
        // The writer keeps the tail that it wrote.
        let writer = world.log();
        writer.append(&world.acme, vec![sample::body("before")], None).await.unwrap();
        let tail = world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        let receipt = writer.append(&world.acme, vec![sample::body("behind")], None).await.unwrap();
        assert_eq!(receipt.ids().next().unwrap().sequence(), tail.last + 1);
        assert_eq!(world.log().holes(&world.acme.id).await.unwrap().len(), 1);
    });
}

#[test]
fn readers_go_on_behind_the_hole_wherever_they_were() {
    in_virtual_time(async {
        let world = World::start().await;
        let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
        world.record(3).await;
        // The reader has seen sequence 4, and its read of it is sequence 6.
        let audit = Audit::new(world.log());
        let request = PageRequest { page_size: 4, ..PageRequest::default() };
        let page = audit.page(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!(page.lines.last().unwrap().sequence(), 4);
        let (seen, next, through) = (page.lines[3].id, page.next.unwrap(), page.through);
        world.store.restore(&earlier, RestoredTables::Log);
        world.restore_twice(&world.request(RestoredTables::Log, restored_to)).await;
        // No process goes on that has seen what was lost: a new deployment uses the copy.
        let audit = Audit::new(world.log());
        let restored = 2 + SKIP + 1;
        world.record(1).await;
        let from = async |start| world.read_from(start).await;
        assert_eq!(from(Start::After(seen)).await, [restored, restored + 1]);
        assert_eq!(from(Start::From(seen)).await[..3], [restored, restored + 1, restored + 2]);
        // The bound of the pages was lost, too.
        let request = PageRequest { start: Start::From(next), through, ..PageRequest::default() };
        let page = audit.page(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!((page.lines.len(), page.next), (0, None));
        let Resume::Onward(Start::After(resume)) = page.resume else { panic!() };
        assert_eq!(from(Start::After(resume)).await[0], restored);
        // Both ways across the hole, and counted.
        assert_eq!(from(Start::Edge).await[..4], [1, 2, restored, restored + 1]);
        let request = PageRequest { order: Order::Descending, page_size: 1000, ..PageRequest::default() };
        let page = audit.page(&world.acme, &request, &sample::reader()).await.unwrap();
        let sequences: Vec<u64> = page.lines.iter().map(Line::sequence).collect();
        assert_eq!(sequences[sequences.len() - 4..], [restored + 1, restored, 2, 1]);
        for (order, skip, expected) in [(Order::Ascending, 2, restored), (Order::Ascending, 1, 2)] {
            let request = PageRequest { order, skip, page_size: 1, ..PageRequest::default() };
            let page = audit.page(&world.acme, &request, &sample::reader()).await.unwrap();
            assert_eq!(page.lines[0].sequence(), expected, "{order:?} {skip}");
        }
        let total = sequences.len() as u64 + 3;
        let request = PageRequest { order: Order::Descending, skip: total - 1, page_size: 1, ..PageRequest::default() };
        let page = audit.page(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!(page.lines[0].sequence(), 1, "the last one of {total}");
        // The lost event itself is gone, and says where to go on.
        let Err(PlaceError::Lost { next }) = world.log().event(&world.acme, seen).await else { panic!() };
        assert_eq!(next.unwrap().sequence(), restored);
    });
}

#[test]
fn a_restore_whose_call_fails_anywhere_is_repeated_without_a_second_hole() {
    in_virtual_time(async {
        for fault in [Fault::Unsent, Fault::AnswerLost, Fault::Throttled, Fault::Broken] {
            for nth in 1.. {
                let world = World::start().await;
                world.tick().await;
                let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
                world.deliver(1).await;
                world.store.restore(&earlier, RestoredTables::Both);
                let request = RestoreRequest {
                    delivered: world.delivered(3),
                    ..world.request(RestoredTables::Both, restored_to)
                };
                let faulty = FaultyStore::nth(world.store.clone(), nth, fault);
                let (sink, queue) = (world.buckets.clone(), world.queue.clone());
                let log = Log::new(faulty.clone(), world.clock.clone(), world.entropy.fork(), AppendPolicy::default());
                let shipping = Shipping::new(
                    Arc::new(log),
                    faulty.clone(),
                    queue,
                    sink,
                    world.clock.clone(),
                    world.entropy.fork(),
                    ShipPolicy::default(),
                )
                .with_signing(Some(world.signing()));
                let _ = shipping.restore(&request, None).await;
                let has_failed = faulty.calls() >= nth;
                world.restore_twice(&request).await;
                assert_eq!(world.log().holes(&world.acme.id).await.unwrap().len(), 1, "{fault:?} {nth}");
                world.deliver(1).await;
                let next = 3 + SKIP + 1;
                assert_eq!(world.delivered_sequences(), [1, 2, 3, next, next + 1], "{fault:?} {nth}");
                assert_eq!(world.verify().verdict, Verdict::Proven, "{fault:?} {nth}: {}", world.verify().to_text(9));
                if !has_failed {
                    break;
                }
            }
        }
    });
}

#[test]
fn nothing_is_planned_on_a_copy_until_the_restore_is_recorded() {
    in_virtual_time(async {
        for tables in [RestoredTables::Log, RestoredTables::Registry, RestoredTables::Both] {
            let world = World::start().await;
            world.tick().await;
            let (earlier, restored_to) = (world.store.back_up(), world.clock.now());
            world.deliver(1).await;
            world.store.restore(&earlier, tables);
            let objects = world.objects();
            for _ in 0..ROUND {
                assert!(world.tick().await.is_empty(), "{tables:?}");
                assert_eq!(world.copied().await, Some(tables));
                let job = PlanJob { shard: 0, tick: world.clock.now(), rest: Stretch::round_from(None) };
                assert_eq!(world.shipping().plan_rest(&job).await.unwrap().copied_tables, Some(tables));
            }
            assert_eq!(world.objects(), objects);
            let request = RestoreRequest { delivered: world.delivered(3), ..world.request(tables, restored_to) };
            // One organisation alone does not tell that all are restored.
            world.shipping().restore_one(&request, &world.acme.id).await.unwrap();
            assert_eq!(world.copied().await, Some(tables));
            world.restore(&request).await;
            assert_eq!(world.copied().await, None);
            world.tick().await;
            assert_eq!(world.verify().verdict, Verdict::Proven, "{tables:?}: {}", world.verify().to_text(9));
        }
    });
}
