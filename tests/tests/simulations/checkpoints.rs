//! The checkpoints of destinations and logs: when they are signed, what they say, and that they are put exactly once
//! whatever fails.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use annals_core::{
    change::Change,
    delivery::ship::{ShipPolicy, ShipReport, Shipping, Signed},
    destination::{Destination, Place, State, connection_test::TEST_OBJECT_NAME, sink::ObjectSink},
    log::{
        Log,
        append::AppendPolicy,
        segment::LineHash,
        store::{Consistency, LogStore},
    },
    organisation::Organisation,
    proof::{
        checkpoint::{Checkpoint, Delivered, Entries, Entry, SignedNote, parse_entries},
        key::VerifierKey,
        log_checkpoint::LogCheckpoints,
        signer::SignerFault,
        signing::Signing,
        store::ProofStore,
    },
    registry::Registry,
    time::Clock as _,
};
use annals_tests::{
    bucket::{Condition, MemoryBuckets},
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    memory::MemoryStore,
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::world::active_destinations,
    signer::MemorySigner,
};

const KEY: &str = "key-1";
const NEXT_KEY: &str = "key-2";
/// The bucket to which the destination moves.
const ANOTHER: &str = "another-bucket";
const TICK: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An organisation with a destination, and a shipper that signs.
struct World {
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    store: Arc<MemoryStore>,
    buckets: Arc<MemoryBuckets>,
    signer: Arc<MemorySigner>,
    acme: Organisation,
    policy: ShipPolicy,
}

impl World {
    async fn start() -> Self {
        let clock = PausedClock::new(sample::START);
        let acme = sample::organisation("acme");
        let buckets = MemoryBuckets::new(clock.clone(), "eu-central-1".parse().unwrap());
        let destination = sample::destination(&acme, "1");
        buckets.open(&destination.bucket, "eu-central-1".parse().unwrap());
        let world = Self {
            clock,
            entropy: SeededEntropy::new(1),
            store: Arc::new(MemoryStore::new()),
            buckets,
            signer: MemorySigner::new(),
            acme: acme.clone(),
            policy: ShipPolicy { object_bytes: 1, ..ShipPolicy::default() },
        };
        let log = world.log(world.store.clone());
        log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone())).await.unwrap();
        let create = Change::CreateDestination { destination: Box::new(destination), limit: 1 };
        log.append_change(&acme, sample::body("1"), create).await.unwrap();
        world
    }

    fn log(&self, store: Arc<dyn LogStore>) -> Arc<Log> {
        Arc::new(Log::new(store, self.clock.clone(), self.entropy.fork(), AppendPolicy::default()))
    }

    fn signing(&self, reference: &str) -> Arc<Signing> {
        self.signer.signing(reference, self.store.clone() as Arc<dyn ProofStore>, self.clock.clone())
    }

    fn shipping<S: LogStore + Registry + 'static>(&self, store: Arc<S>, signing: Option<Arc<Signing>>) -> Shipping {
        let queue = MemoryQueue::new(self.clock.clone());
        let sink = self.buckets.clone() as Arc<dyn ObjectSink>;
        let (log, clock) = (self.log(store.clone()), self.clock.clone());
        Shipping::new(log, store, queue, sink, clock, self.entropy.fork(), self.policy).with_signing(signing)
    }

    async fn record(&self, labels: &[&str]) {
        let log = self.log(self.store.clone());
        for label in labels {
            log.append(&self.acme, vec![sample::body(label)], None).await.unwrap();
        }
    }

    /// Asks for another bucket, which exists.
    async fn move_to_another_bucket(&self) {
        self.buckets.open(&ANOTHER.parse().unwrap(), "eu-central-1".parse().unwrap());
        let before = self.destination().await;
        let place = Place { bucket: ANOTHER.parse().unwrap(), ..before.place() };
        let after = Destination { version: before.version + 1, ..before.with_request(place, self.clock.now()) };
        assert!(self.store.save_progress(&after, None).await.unwrap());
    }

    async fn destination(&self) -> Destination {
        self.store.destinations(&self.acme.id).await.unwrap().remove(0)
    }

    /// Ships what a plan would order now. `None` if nothing is ordered.
    async fn tick_with(&self, shipping: &Shipping) -> Option<ShipReport> {
        let active = active_destinations(&*self.store).await.remove(0);
        let order = annals_core::delivery::queue::ShipOrder::of(&active, self.clock.now());
        let has_new = self.log(self.store.clone()).reaches(&self.acme.id, active.next_sequence).await.unwrap();
        if !order.pending && !has_new {
            return None;
        }
        Some(shipping.ship(&order).await.unwrap())
    }

    async fn tick(&self) -> Option<ShipReport> {
        self.tick_with(&self.shipping(self.store.clone(), Some(self.signing(KEY)))).await
    }

    /// The objects of both buckets, without those of tests.
    fn objects(&self) -> BTreeMap<String, String> {
        let buckets = [sample::destination(&self.acme, "1").bucket, ANOTHER.parse().unwrap()];
        let objects = buckets.iter().flat_map(|bucket| self.buckets.objects(bucket));
        let objects = objects.filter(|(key, _)| !key.ends_with(TEST_OBJECT_NAME));
        objects.map(|(key, object)| (key, String::from_utf8(object.content.to_vec()).unwrap())).collect()
    }

    /// The checkpoints in the bucket, by time, each verified with `keys`.
    fn checkpoints(&self, keys: &[VerifierKey]) -> Vec<(String, Checkpoint)> {
        let objects = self.objects();
        let notes = objects.iter().filter(|(key, _)| key.ends_with(".checkpoint"));
        notes
            .map(|(key, note)| {
                assert!(key.starts_with("audit/annals-checkpoints/"), "{key}");
                let parsed = SignedNote::parse(note.as_bytes()).unwrap();
                assert!(!parsed.signed_by(keys).is_empty(), "{key} is not signed:\n{note}");
                (note.clone(), Checkpoint::parse(parsed.text()).unwrap())
            })
            .collect()
    }

    /// Checks that the checkpoints form one chain, and that together they list every object exactly once.
    fn check(&self, keys: &[VerifierKey]) -> Vec<Checkpoint> {
        let objects = self.objects();
        let mut previous = None;
        let mut listed = Vec::new();
        let mut checkpoints = Vec::new();
        for (note, checkpoint) in self.checkpoints(keys) {
            let delivered = checkpoint.delivered.clone().unwrap();
            assert_eq!(delivered.previous, previous, "{note}");
            previous = Some(LineHash::of(&note).0);
            listed.extend(self.entries(&delivered));
            checkpoints.push(checkpoint);
        }
        let mut next = 1;
        for entry in &listed {
            let object = match entry {
                Entry::Object(object) => object,
                Entry::Moved { .. } => continue,
                other => panic!("nothing expires here: {other:?}"),
            };
            let content = &objects[&object.key];
            // Unknown where only the existence of the key has confirmed the delivery.
            if let Some(signed) = object.content {
                assert_eq!(signed.sha256, LineHash::of(content).0, "{}", object.key);
                assert_eq!(signed.bytes, content.len() as u64);
            }
            assert_eq!(*object.sequences.start(), next, "{}", object.key);
            next = object.sequences.end() + 1;
        }
        let delivered = objects.keys().filter(|key| !key.contains("annals-checkpoints")).count();
        let objects_listed = listed.iter().filter(|entry| matches!(entry, Entry::Object(_))).count();
        assert_eq!(objects_listed, delivered, "every object is listed exactly once");
        if let Some(last) = checkpoints.last() {
            let line = objects
                .values()
                .flat_map(|content| content.lines())
                .find(|line| line.starts_with(&format!(r#"{{"sequence":{},"#, last.last)));
            assert_eq!(last.hash, LineHash::of(line.unwrap()));
            assert_eq!(last.last, next - 1);
        }
        checkpoints
    }

    fn entries(&self, delivered: &Delivered) -> Vec<Entry> {
        match &delivered.entries {
            Entries::Here(entries) => entries.clone(),
            Entries::Elsewhere { sha256, count, key } => {
                let text = self.objects()[key].clone();
                assert_eq!(LineHash::of(&text).0, *sha256);
                let entries = parse_entries(&text).unwrap();
                assert_eq!(entries.len() as u64, *count);
                entries
            }
        }
    }
}

fn keys() -> [VerifierKey; 1] {
    [MemorySigner::verifier_key(KEY)]
}

#[test]
fn a_run_ends_with_one_checkpoint_over_all_objects_that_it_delivered() {
    in_virtual_time(async {
        let world = World::start().await;
        world.record(&["a", "b"]).await;
        let report = world.tick().await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Put(_))), "{report:?}");
        assert_eq!((world.signer.signatures(), report.deliveries.len()), (1, 4));
        world.clock.jump(TICK);
        assert_eq!(world.tick().await, None, "nothing is new, so nothing is ordered");
        world.record(&["c"]).await;
        world.tick().await.unwrap();
        let checkpoints = world.check(&keys());
        let last: Vec<u64> = checkpoints.iter().map(|checkpoint| checkpoint.last).collect();
        assert_eq!(last, [4, 5]);
        let first: Vec<u64> = checkpoints.iter().map(|one| one.delivered.as_ref().unwrap().first).collect();
        assert_eq!(first, [1, 1]);
        assert_eq!(world.destination().await.checkpoints.last.unwrap().sequence, 5);
    });
}

#[test]
fn the_chain_of_checkpoints_leads_from_one_bucket_into_the_next_and_names_both() {
    for is_signed_before in [true, false] {
        in_virtual_time(async {
            let world = World::start().await;
            let old = world.destination().await.bucket;
            world.record(&["a", "b"]).await;
            world.signer.set_fault(KEY, (!is_signed_before).then_some(SignerFault::Unavailable));
            world.tick().await.unwrap();
            world.signer.set_fault(KEY, None);
            world.move_to_another_bucket().await;
            world.record(&["c"]).await;
            world.clock.jump(TICK * 7);
            world.tick().await.unwrap();
            let moved = world.destination().await;
            assert_eq!((moved.bucket.as_str(), moved.pending), (ANOTHER, None));
            let there = world.check(&keys()).len();
            assert_eq!(
                there,
                if is_signed_before { 2 } else { 1 },
                "the old bucket has checkpoints for all its objects"
            );
            world.clock.jump(TICK);
            world.record(&["d"]).await;
            world.tick().await.unwrap();
            let checkpoints = world.check(&keys());
            let entries = checkpoints.iter().map(|one| world.entries(one.delivered.as_ref().unwrap()));
            let moves: Vec<_> = entries.flatten().filter(|entry| matches!(entry, Entry::Moved { .. })).collect();
            assert_eq!(moves, [Entry::Moved { from: old.clone(), to: ANOTHER.parse().unwrap() }]);
            world.clock.jump(TICK);
            world.record(&["e"]).await;
            world.tick().await.unwrap();
            assert_eq!(world.check(&keys()).len(), there + 2);
        });
    }
}

#[test]
fn a_checkpoint_that_the_old_bucket_may_have_is_put_into_the_new_one_as_it_is() {
    in_virtual_time(async {
        let world = World::start().await;
        let old = world.destination().await.bucket;
        world.signer.set_fault(KEY, Some(SignerFault::Unavailable));
        world.tick().await.unwrap();
        world.signer.set_fault(KEY, None);
        world.buckets.set_condition(&old, Condition::AnswerLost(Duration::ZERO));
        world.clock.jump(TICK * 7);
        let report = world.tick().await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Failed { .. })), "{report:?}");
        world.buckets.set_condition(&old, Condition::Denied);
        world.move_to_another_bucket().await;
        for label in ["a", "b", "c"] {
            world.record(&[label]).await;
            world.clock.jump(TICK * 7);
            world.tick().await;
        }
        let notes = |bucket| {
            let objects = world.buckets.objects(bucket).into_iter();
            objects.filter(|(key, _)| key.ends_with(".checkpoint")).map(|(_, note)| note.sha256).collect::<Vec<_>>()
        };
        let (there, here) = (notes(&old), notes(&ANOTHER.parse().unwrap()));
        assert!(there.len() == 1 && here.len() > 1, "{there:?} {here:?}");
        assert_eq!(there[0], here[0], "the same bytes in both buckets");
    });
}

#[test]
fn silence_is_signed_once_a_day() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await.unwrap();
        let mut ticks = 0;
        for _ in 0..3 * 144 {
            world.clock.jump(TICK);
            ticks += usize::from(world.tick().await.is_some());
        }
        assert_eq!(ticks, 3);
        let checkpoints = world.check(&keys());
        assert_eq!(checkpoints.len(), 4);
        for pair in checkpoints.windows(2) {
            let pause = pair[1].time.since(pair[0].time);
            assert!(pause >= DAY && pause < DAY + TICK, "{pause:?}");
            assert_eq!(pair[1].last, pair[0].last);
        }
    });
}

#[test]
fn whatever_fails_at_the_signer_delivery_continues_and_the_missing_checkpoint_follows() {
    for fault in SignerFault::ALL {
        in_virtual_time(async {
            let world = World::start().await;
            world.signer.set_fault(KEY, Some(fault));
            world.record(&["a"]).await;
            let report = world.tick().await.unwrap();
            let Some(Signed::Failed { unsigned, answer, .. }) = &report.checkpoint else { panic!("{report:?}") };
            assert_eq!(answer.as_deref(), Some("Injected: no."), "for the log");
            assert_eq!((unsigned.code.as_str(), report.deliveries.len()), (fault.code(), 3));
            assert_eq!(unsigned.since, world.clock.now());
            let destination = world.destination().await;
            assert!(matches!(destination.state(), State::Sent { .. }));
            let status = destination.status().to_string();
            assert!(status.contains("is not signed yet") && !status.contains("Injected"), "{status}");
            for label in ["b", "c", "d"] {
                world.clock.jump(TICK);
                world.record(&[label]).await;
                assert_eq!(world.tick().await.unwrap().deliveries.len(), 1);
            }
            let unsigned_later = world.destination().await.checkpoints.unsigned.unwrap();
            assert_eq!(unsigned_later.since, unsigned.since, "since the first failure");
            world.signer.set_fault(KEY, None);
            world.clock.jump(TICK * 7);
            let report = world.tick().await.unwrap();
            assert!(matches!(report.checkpoint, Some(Signed::Put(_))), "{report:?}");
            let destination = world.destination().await;
            assert_eq!(destination.checkpoints.unsigned, None);
            assert!(!destination.status().to_string().contains("signed"));
            let checkpoints = world.check(&keys());
            assert_eq!((checkpoints.len(), checkpoints[0].last), (1, 6));
        });
    }
}

#[test]
fn a_bucket_that_refuses_only_the_checkpoint_is_reported_and_gets_it_later() {
    in_virtual_time(async {
        let world = World::start().await;
        world.signer.set_fault(KEY, Some(SignerFault::Unavailable));
        world.tick().await.unwrap();
        world.signer.set_fault(KEY, None);
        world.buckets.set_condition(&sample::destination(&world.acme, "1").bucket, Condition::Denied);
        world.clock.jump(TICK * 7);
        let report = world.tick().await.unwrap();
        let Some(Signed::Failed { unsigned, .. }) = &report.checkpoint else { panic!("{report:?}") };
        assert_eq!(unsigned.code, "put_denied");
        assert!(unsigned.detail.contains("The checkpoint could not be stored"), "{}", unsigned.detail);
        world.buckets.set_condition(&sample::destination(&world.acme, "1").bucket, Condition::Working);
        world.clock.jump(TICK * 7);
        world.tick().await.unwrap();
        assert_eq!(world.check(&keys()).len(), 1);
    });
}

#[test]
fn a_checkpoint_whose_answer_was_lost_is_not_put_twice() {
    in_virtual_time(async {
        let world = World::start().await;
        world.signer.set_fault(KEY, Some(SignerFault::Unavailable));
        world.tick().await.unwrap();
        world.signer.set_fault(KEY, None);
        let bucket = sample::destination(&world.acme, "1").bucket;
        world.buckets.set_condition(&bucket, Condition::AnswerLost(Duration::ZERO));
        world.clock.jump(TICK * 7);
        let report = world.tick().await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Failed { .. })), "{report:?}");
        world.buckets.set_condition(&bucket, Condition::Working);
        // Meanwhile the key changes: the stored note is put again as it was signed.
        world.clock.jump(TICK * 7);
        let shipping = world.shipping(world.store.clone(), Some(world.signing(NEXT_KEY)));
        let report = world.tick_with(&shipping).await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Put(_))), "{report:?}");
        assert_eq!(world.check(&keys()).len(), 1);
    });
}

#[test]
fn whatever_call_fails_every_object_is_signed_exactly_once() {
    async fn failing_at(nth: u64, fault: Fault) -> bool {
        let world = World::start().await;
        world.tick().await.unwrap();
        world.record(&["a", "b"]).await;
        world.clock.jump(TICK);
        let store = FaultyStore::nth(world.store.clone(), nth, fault);
        let shipping = world.shipping(store.clone(), Some(world.signing(KEY)));
        let active = active_destinations(&*world.store).await.remove(0);
        let order = annals_core::delivery::queue::ShipOrder::of(&active, world.clock.now());
        tokio::select! {
            _ = shipping.ship(&order) => {}
            () = store.crashed() => {}
        }
        let was_reached = store.calls() >= nth;
        for _ in 0..8 {
            world.clock.jump(TICK);
            world.tick().await;
        }
        let checkpoints = world.check(&keys());
        assert_eq!(checkpoints.last().unwrap().last, 4, "{fault:?} at call {nth}");
        assert_eq!(world.destination().await.checkpoints.begun, None);
        was_reached
    }
    let mut runs = 0;
    for fault in [Fault::Throttled, Fault::Unsent, Fault::AnswerLost, Fault::CrashBefore, Fault::CrashAfter] {
        let mut nth = 1;
        while in_virtual_time(failing_at(nth, fault)) {
            nth += 1;
            runs += 1;
        }
    }
    assert!(runs > 50, "{runs}");
}

#[test]
fn more_objects_than_fit_into_a_message_are_listed_in_a_file() {
    in_virtual_time(async {
        let world = World::start().await;
        let labels: Vec<String> = (0..60).map(|n| n.to_string()).collect();
        world.record(&labels.iter().map(String::as_str).collect::<Vec<_>>()).await;
        world.tick().await.unwrap();
        let checkpoints = world.check(&keys());
        assert_eq!((checkpoints.len(), world.signer.signatures()), (1, 1));
        let Some(Delivered { entries: Entries::Elsewhere { count, key, .. }, .. }) = &checkpoints[0].delivered else {
            panic!("{checkpoints:?}");
        };
        assert!(*count == 62 && key.ends_with(".entries"), "{count} {key}");
    });
}

#[test]
fn a_new_key_is_announced_by_the_old_one() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await.unwrap();
        world.record(&["a"]).await;
        world.clock.jump(TICK);
        let shipping = world.shipping(world.store.clone(), Some(world.signing(NEXT_KEY)));
        world.tick_with(&shipping).await.unwrap();
        let (old, new) = (MemorySigner::verifier_key(KEY), MemorySigner::verifier_key(NEXT_KEY));
        let checkpoints = world.check(&[old.clone(), new.clone()]);
        let announced: Vec<_> = checkpoints.iter().map(|one| one.delivered.clone().unwrap().next_key).collect();
        assert_eq!(announced, [None, Some(new.clone())]);
        assert_eq!(world.checkpoints(std::slice::from_ref(&old)).len(), 2, "the old key has signed both");
        world.record(&["b"]).await;
        world.clock.jump(TICK);
        world.tick_with(&shipping).await.unwrap();
        let third = world.check(&[old, new.clone()]).pop().unwrap();
        assert_eq!(third.delivered.unwrap().next_key, None, "it is announced once");
        let published: Vec<_> = world.store.signing_keys().await.unwrap().into_iter().map(|one| one.key).collect();
        assert_eq!(published, [MemorySigner::verifier_key(KEY), new]);
    });
}

#[test]
fn a_new_key_signs_alone_if_the_old_one_is_gone_and_waits_while_it_only_fails_for_a_moment() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await.unwrap();
        world.record(&["a"]).await;
        world.clock.jump(TICK);
        let shipping = world.shipping(world.store.clone(), Some(world.signing(NEXT_KEY)));
        world.signer.set_fault(KEY, Some(SignerFault::Throttled));
        let report = world.tick_with(&shipping).await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Failed { .. })), "{report:?}");
        world.signer.set_fault(KEY, Some(SignerFault::KeyMissing));
        world.clock.jump(TICK * 7);
        let report = world.tick_with(&shipping).await.unwrap();
        assert!(matches!(report.checkpoint, Some(Signed::Put(_))), "{report:?}");
        let checkpoints = world.check(&[MemorySigner::verifier_key(KEY), MemorySigner::verifier_key(NEXT_KEY)]);
        assert_eq!(checkpoints[1].delivered.as_ref().unwrap().next_key, None);
    });
}

#[test]
fn without_a_signing_key_nothing_is_signed_and_nothing_ordered_for_it() {
    in_virtual_time(async {
        let world = World::start().await;
        let silent = world.shipping(world.store.clone(), None);
        assert_eq!(world.tick_with(&silent).await.unwrap().checkpoint, None);
        world.clock.jump(DAY * 2);
        assert_eq!(world.tick_with(&silent).await, None);
        assert!(world.checkpoints(&keys()).is_empty());
        // When signing is turned on, the first checkpoint lists everything, and when it is turned off, nothing is due.
        world.record(&["a"]).await;
        world.tick().await.unwrap();
        assert_eq!(world.check(&keys()).len(), 1);
        world.clock.jump(DAY * 2);
        assert!(world.tick_with(&silent).await.is_some());
        world.clock.jump(DAY * 2);
        assert_eq!(world.tick_with(&silent).await, None);
    });
}

#[test]
fn a_clock_that_is_set_back_does_not_turn_the_times_of_checkpoints_back() {
    in_virtual_time(async {
        let world = World::start().await;
        world.clock.jump(DAY);
        world.tick().await.unwrap();
        let slow = PausedClock::new(sample::START);
        world.record(&["a"]).await;
        let signing = world.signing(KEY);
        let queue = MemoryQueue::new(slow.clone());
        let store = world.store.clone();
        let shipping = Shipping::new(
            world.log(store.clone()),
            store,
            queue,
            world.buckets.clone(),
            slow,
            world.entropy.fork(),
            world.policy,
        )
        .with_signing(Some(signing));
        world.tick_with(&shipping).await.unwrap();
        let mut times: Vec<_> = world.checkpoints(&keys()).iter().map(|(_, checkpoint)| checkpoint.time).collect();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), 2);
        assert!(times[0] >= sample::START.plus(DAY));
    });
}

#[test]
fn the_checkpoint_of_a_log_is_signed_at_most_once_a_minute() {
    in_virtual_time(async {
        let world = World::start().await;
        let acme = world.acme.clone();
        let newest = |reference: &'static str| {
            let log = world.log(world.store.clone());
            let checkpoints = LogCheckpoints::new(log, world.signing(reference));
            let acme = acme.clone();
            async move { checkpoints.newest(&acme).await }
        };
        let first = newest(KEY).await.unwrap();
        let parsed = Checkpoint::parse(SignedNote::parse(first.as_bytes()).unwrap().text()).unwrap();
        let tail = world.store.newest(&acme.id).await.unwrap().tail().unwrap();
        assert_eq!((parsed.last, parsed.hash, parsed.delivered), (2, tail.hash, None));
        world.record(&["a"]).await;
        world.clock.jump(Duration::from_secs(59));
        assert_eq!(newest(KEY).await.unwrap(), first);
        world.clock.jump(Duration::from_secs(1));
        let (second, third) = (newest(KEY).await.unwrap(), newest(KEY).await.unwrap());
        assert_eq!((second == third, world.signer.signatures()), (true, 2));
        assert_ne!(first, second);
        world.clock.jump(DAY);
        world.signer.set_fault(KEY, Some(SignerFault::Denied));
        assert!(newest(KEY).await.is_err());
        assert!(world.store.organisation(&acme.id, Consistency::Strong).await.unwrap().is_some());
    });
}
