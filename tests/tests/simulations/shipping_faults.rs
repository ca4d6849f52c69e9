//! The fault sweep of shipping: every call that shipping makes fails in turn, in every way, or has something else
//! happen right before it; afterwards, once nothing fails any more, the bucket holds every event exactly once, in
//! order, each object complete. Owns what happens when; fixtures and judgement are `annals_tests::shipping`'s.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use annals_core::{organisation::RetentionDays, registry::Registry as _, time::Clock as _};
use annals_tests::{
    bucket::Condition,
    entropy::SeededEntropy,
    faulty::Fault,
    model::in_virtual_time,
    queue::VISIBILITY,
    shipping::{
        checker::{Checked, Ending},
        fixture::{Event, Fixture, Kind, TICK},
    },
};
use futures_util::future::join_all;

/// The names of the calls that the tick of a fixture makes when nothing fails.
async fn calls(kind: Kind) -> Vec<&'static str> {
    let fixture = Fixture::start(kind).await;
    let process = fixture.process(|_| None);
    fixture.tick(&process).await.unwrap();
    process.gate.0.names()
}

/// The fixture in which the `nth` call fails, brought to its end. Says what it was checked to be.
async fn failing_at(kind: Kind, nth: u64, fault: Fault) -> Result<Checked, String> {
    let fixture = Fixture::start(kind).await;
    let process = fixture.process(move |call| (call.number == nth).then_some(fault));
    let alive = fixture.tick(&process).await.is_some();
    fixture.recover(alive.then_some(&process)).await;
    fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
}

/// The events without those that record a move. After a fault, a change may wait for an hour until it is examined again.
fn recorded(checked: &Checked) -> u64 {
    checked.events - checked.moves
}

/// Fails every call of every fixture with each of `faults`.
fn sweep(faults: &[Fault]) {
    let mut runs = 0;
    for kind in Kind::ALL {
        let names = in_virtual_time(calls(kind));
        let undisturbed = in_virtual_time(failing_at(kind, 0, Fault::Unsent)).unwrap();
        for (name, nth) in names.iter().zip(1..) {
            for fault in faults {
                let checked = in_virtual_time(failing_at(kind, nth, *fault))
                    .unwrap_or_else(|violation| panic!("{kind:?}, {fault:?} at call {nth}, {name}: {violation}"));
                assert_eq!(recorded(&checked), recorded(&undisturbed), "{kind:?}, {fault:?} at call {nth}, {name}");
                runs += 1;
            }
        }
        println!("{kind:?}: {} calls, {undisturbed:?}: {}", names.len(), names.join(" "));
    }
    println!("{runs} runs");
}

#[test]
fn a_call_that_fails_before_it_happens_loses_and_doubles_nothing() {
    sweep(&[Fault::Throttled, Fault::Unsent]);
}

#[test]
fn a_call_whose_answer_is_lost_after_it_happened_loses_and_doubles_nothing() {
    sweep(&[Fault::AnswerLost, Fault::Busy]);
}

#[test]
fn a_process_that_dies_before_a_call_loses_and_doubles_nothing() {
    sweep(&[Fault::CrashBefore]);
}

#[test]
fn a_process_that_dies_after_a_call_loses_and_doubles_nothing() {
    sweep(&[Fault::CrashAfter]);
}

#[test]
fn a_write_that_arrives_late_loses_and_doubles_nothing() {
    /// It arrives while another process does the work again.
    async fn late_at(kind: Kind, nth: u64, after: Duration) -> Result<Checked, String> {
        let entropy = SeededEntropy::new(nth);
        let fixture = Fixture::start(kind).await;
        let process = fixture.process(move |call| (call.number == nth).then_some(Fault::Late(after)));
        fixture.tick(&process).await;
        fixture.tick(&fixture.slow_process(|_| None, &entropy)).await;
        fixture.world.clock.jump(VISIBILITY);
        fixture.tick(&fixture.slow_process(|_| None, &entropy)).await;
        fixture.world.clock.sleep(after).await;
        fixture.recover(None).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    let mut runs = 0;
    for kind in Kind::ALL {
        let names = in_virtual_time(calls(kind));
        for (name, nth) in names.iter().zip(1..).filter(|(name, _)| ["put", "save_progress", "commit"].contains(name)) {
            for millis in [5, 50, 100, 150, 200, 300, 500, 1000] {
                in_virtual_time(late_at(kind, nth, Duration::from_millis(millis)))
                    .unwrap_or_else(|violation| panic!("{kind:?}, call {nth}, {name}, {millis} ms late: {violation}"));
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
}

#[test]
fn what_fails_twice_in_a_row_loses_and_doubles_nothing() {
    async fn failing_at(kind: Kind, first: u64, second: u64, faults: [Fault; 2]) -> Result<Checked, String> {
        let fixture = Fixture::start(kind).await;
        let process = fixture.process(move |call| (call.number == first).then_some(faults[0]));
        fixture.tick(&process).await;
        fixture.world.clock.jump(VISIBILITY);
        let process = fixture.process(move |call| (call.number == second).then_some(faults[1]));
        fixture.tick(&process).await;
        fixture.recover(None).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    let chance = SeededEntropy::new(1);
    let mut runs = 0;
    for kind in Kind::ALL {
        let count = in_virtual_time(calls(kind)).len() as u64;
        for first in 1..=count {
            for second in (1..=count).filter(|_| chance.happens(0.1)) {
                let faults = [Fault::Unsent, Fault::AnswerLost, Fault::CrashBefore, Fault::CrashAfter];
                let faults = [*chance.pick(&faults), *chance.pick(&faults)];
                in_virtual_time(failing_at(kind, first, second, faults))
                    .unwrap_or_else(|violation| panic!("{kind:?}, {faults:?} at {first} and {second}: {violation}"));
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
}

#[test]
fn whatever_happens_to_a_destination_in_mid_flight_its_deliveries_stay_whole() {
    async fn happening_at(kind: Kind, nth: u64, event: Event) -> Result<Checked, String> {
        let fixture = Arc::new(Fixture::start(kind).await);
        let process = fixture.process(|_| None);
        let arrived = Arc::new(Mutex::new(None));
        let meanwhile = {
            let (fixture, arrived) = (Arc::clone(&fixture), Arc::clone(&arrived));
            async move {
                event.happen(&fixture).await;
                *arrived.lock().unwrap() = Some(fixture.arrivals().await);
            }
        };
        process.gate.0.meanwhile(nth, meanwhile);
        fixture.tick(&process).await;
        let before = arrived.lock().unwrap().ok_or("it did not happen")?;
        if event.switches_off() {
            // What was under way may arrive, and nothing behind it.
            fixture.world.clock.jump(TICK);
            fixture.tick(&process).await;
            let after = fixture.arrivals().await;
            if after > before + 1 {
                return Err(format!("{} objects were sent after it was switched off", after - before));
            }
        }
        event.undo(&fixture).await;
        fixture.recover(Some(&process)).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    let mut runs = 0;
    for kind in Kind::ALL {
        let names = in_virtual_time(calls(kind));
        for (name, nth) in names.iter().zip(1..) {
            for event in Event::ALL {
                in_virtual_time(happening_at(kind, nth, event))
                    .unwrap_or_else(|violation| panic!("{kind:?}, {event:?} before call {nth}, {name}: {violation}"));
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
}

#[test]
fn whatever_a_buckets_administrator_does_after_any_fault_nothing_is_claimed_that_is_not_there() {
    /// The call fails, the administrator acts, and the next attempt meets what he did.
    async fn acting_after(kind: Kind, nth: u64, fault: Fault, event: Event) -> Result<Checked, String> {
        let fixture = Fixture::start(kind).await;
        let process = fixture.process(move |call| (call.number == nth).then_some(fault));
        fixture.tick(&process).await;
        event.happen(&fixture).await;
        fixture.recover(None).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    let (mut runs, mut checked) = (0, Checked::default());
    for kind in Kind::ALL {
        let names = in_virtual_time(calls(kind));
        for (name, nth) in names.iter().zip(1..).filter(|(name, _)| ["put", "save_progress"].contains(name)) {
            for fault in [Fault::Throttled, Fault::Busy, Fault::AnswerLost, Fault::CrashBefore, Fault::CrashAfter] {
                for event in [Event::Planted, Event::Replaced, Event::ObjectDeleted, Event::Ambushed] {
                    let run = in_virtual_time(acting_after(kind, nth, fault, event));
                    checked += run.unwrap_or_else(|violation| {
                        panic!("{kind:?}, {fault:?} at call {nth}, {name}, then {event:?}: {violation}")
                    });
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs, {checked:?}");
    assert!(checked.keys_changed > 50 && checked.already_there > 50 && checked.not_ours > 5, "{checked:?}");
}

#[test]
fn a_test_that_fails_at_any_call_leaves_deliveries_whole() {
    async fn failing_at(kind: Kind, nth: u64, fault: Fault) -> Result<Vec<&'static str>, String> {
        let fixture = Fixture::start(kind).await;
        let process = fixture.process(move |call| (call.number == nth).then_some(fault));
        let tested = fixture.test(&process).await;
        let passed = matches!(&tested, Some(Ok(report)) if report.passed);
        if nth == 0 && !passed {
            return Err(format!("{tested:?}"));
        }
        fixture.recover(None).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())?;
        Ok(process.gate.0.names())
    }

    for kind in Kind::ALL {
        let names = in_virtual_time(failing_at(kind, 0, Fault::Unsent)).unwrap();
        for (name, nth) in names.iter().zip(1..) {
            for fault in [Fault::Throttled, Fault::Unsent, Fault::AnswerLost, Fault::CrashBefore, Fault::CrashAfter] {
                in_virtual_time(failing_at(kind, nth, fault))
                    .unwrap_or_else(|violation| panic!("{kind:?}, {fault:?} at call {nth}, {name}: {violation}"));
            }
        }
        println!("{kind:?}: {}", names.join(" "));
    }
}

#[test]
fn what_expires_piece_by_piece_of_what_was_begun_is_recorded_piece_by_piece() {
    let (checked, gaps) = in_virtual_time(async {
        let fixture = Fixture::start(Kind::Expiring).await;
        let process = fixture.process(|_| None);
        let bucket = fixture.bucket().await;
        fixture.world.buckets.set_condition(&bucket, Condition::Outage);
        for _ in 0..4 {
            fixture.tick(&process).await;
            fixture.world.clock.jump(Duration::from_secs(24 * 60 * 60));
        }
        fixture.world.buckets.set_condition(&bucket, Condition::Working);
        fixture.append(&process, 1).await;
        fixture.recover(Some(&process)).await;
        let checked = fixture.check(Ending::Settled).await;
        let lines =
            fixture.world.store.journal(&fixture.id).into_iter().flat_map(|one| one.lines(&fixture.id).unwrap());
        (
            checked.map_err(|violation| violation.to_string()),
            lines.filter(|line| line.text.contains("destination.gap")).count(),
        )
    });
    let checked = checked.unwrap();
    assert!(gaps >= 3 && checked.lost > 5, "{gaps} gaps, {checked:?}");
}

#[test]
fn what_expires_with_nothing_newer_behind_it_is_told_within_hours() {
    in_virtual_time(async {
        let fixture = Fixture::start(Kind::Incremental).await;
        let process = fixture.process(|_| None);
        let (tail, destination) = (fixture.tail().await, fixture.destination().await);
        let shown = async || fixture.world.store.destination(&fixture.id, &destination).await.unwrap().unwrap();
        let first = shown().await.next_sequence;
        assert!(first < tail, "events wait");
        let end = fixture.world.clock.now().plus(RetentionDays::DEFAULT.duration() + TICK);
        while fixture.world.clock.now() < end {
            fixture.world.clock.jump(Duration::from_secs(24 * 60 * 60));
            process.log.maintain(&fixture.id).await.unwrap();
        }
        let now = fixture.world.clock.now();
        fixture.world.store.expire(now, |_, _| true);
        fixture.tick(&process).await;
        assert_eq!(shown().await.progress.lost, None, "a tick looks for what is there");

        for _ in 0..36 {
            fixture.world.clock.jump(TICK);
            fixture.tick(&process).await;
        }
        let after = shown().await;
        let lost = after.progress.lost.clone().unwrap();
        assert_eq!((lost.events, lost.last), (tail - first + 1, first..=tail));
        let told = format!("numbers {first} to {tail}, noticed at");
        assert!(after.status().to_string().contains(&told), "{}", after.status());
        fixture.recover(Some(&process)).await;
        let checked = fixture.check(Ending::Settled).await.unwrap();
        assert_eq!(checked.lost, tail - first + 1);
        let recorded = fixture.tail().await;
        for _ in 0..36 {
            fixture.world.clock.jump(TICK);
            fixture.tick(&process).await;
        }
        assert_eq!(fixture.tail().await, recorded, "it is told once");
    });
}

#[test]
fn a_message_delivered_twice_is_delivered_once() {
    async fn doubled(kind: Kind, at_once: bool) -> Result<Checked, String> {
        let fixture = Fixture::start(kind).await;
        let process = fixture.process(|_| None);
        process.plan().await.unwrap().unwrap();
        fixture.world.queue.double();
        if at_once {
            // One process works on both at the same time.
            fixture.work(&process).await;
        } else {
            // The second comes when the first is done.
            let [first, second] = &fixture.world.queue.receive(2)[..] else { panic!("two messages were sent") };
            process.shipping.ship(first.order()).await.unwrap();
            fixture.append(&process, 2).await;
            process.shipping.ship(second.order()).await.unwrap();
        }
        fixture.recover(Some(&process)).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    for kind in Kind::ALL {
        for at_once in [true, false] {
            in_virtual_time(doubled(kind, at_once)).unwrap_or_else(|violation| panic!("{kind:?}: {violation}"));
        }
    }
}

#[test]
fn two_to_five_shippers_at_once_deliver_every_event_once() {
    /// With `chance` for each call of each shipper to fail, and perhaps something else happening in between.
    async fn interleaved(kind: Kind, seed: u64) -> Result<Checked, String> {
        let entropy = SeededEntropy::new(seed);
        let chance = *entropy.pick(&[0.0, 0.02, 0.1]);
        let fixture = Fixture::start(kind).await;
        let shippers: Vec<_> = (0..2 + seed % 4)
            .map(|_| {
                let fate = entropy.fork();
                let faults = [Fault::Unsent, Fault::AnswerLost, Fault::Busy, Fault::CrashBefore, Fault::CrashAfter];
                let decide = move |_| fate.happens(chance).then(|| *fate.pick(&faults));
                fixture.slow_process(decide, &entropy)
            })
            .collect();
        let event = [Event::Patched, Event::Paused, Event::Replayed, Event::Recorded];
        let event = seed.is_multiple_of(3).then(|| *entropy.pick(&event));
        let meanwhile = async {
            if let Some(event) = event {
                fixture.world.clock.sleep(entropy.duration(Duration::from_millis(300))).await;
                event.happen(&fixture).await;
            }
        };
        let ticks = join_all(shippers.iter().map(async |shipper| {
            // Each plans, so that there is a message for each.
            fixture.tick(shipper).await;
        }));
        futures_util::future::join(ticks, meanwhile).await;
        if let Some(event) = event {
            event.undo(&fixture).await;
        }
        fixture.recover(None).await;
        fixture.check(Ending::Settled).await.map_err(|violation| violation.to_string())
    }

    let (mut runs, mut put_again) = (0, 0);
    for kind in Kind::ALL {
        for seed in 0..100 {
            let checked = in_virtual_time(interleaved(kind, seed))
                .unwrap_or_else(|violation| panic!("{kind:?}, seed {seed}: {violation}"));
            put_again += checked.put_again;
            runs += 1;
        }
    }
    println!("{runs} runs, {put_again} objects put more than once");
    assert!(put_again > runs / 10, "they hardly ever met: {put_again}");
}
