//! Delivery to many customers at once: what hangs for some holds up none of the others. In virtual time, with as many
//! messages and invocations at once as `template.yaml` says.

use std::{collections::HashSet, sync::Arc, time::Duration};

use annals_core::{
    administration::DestinationInput,
    delivery::ship::{ShipOutcome, ShipPolicy},
    organisation::{OrganisationId, OrganisationInput},
    time::Clock as _,
};
use annals_tests::{
    bucket::Condition,
    entropy::SeededEntropy,
    memory::MemoryStore,
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::{
        checker::{Checker, Ending},
        fixture::TICK,
        gate::{Gate, Latency},
        world::{BATCH, HOME, Process, Shipped, World, platform, region},
    },
};
use futures_util::future::join_all;
use saphyr::{LoadableYamlNode as _, Yaml};

const DESTINATIONS: usize = 1000;
/// Every fifth of them hangs.
const HANGING: usize = 200;

/// Many organisations with a destination and an event each.
struct Crowd {
    world: World,
    process: Process,
    hanging: HashSet<OrganisationId>,
}

impl Crowd {
    async fn gather() -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
        let entropy = SeededEntropy::new(7);
        let latency = Latency { limit: Duration::from_millis(40), entropy: entropy.fork() };
        let gate = Gate::new(world.ports(), world.clock.clone(), Some(latency), |_| None);
        let process = Process::start(gate, |ports| ports, world.dial.clone(), ShipPolicy::default(), &entropy);
        let mut hanging = HashSet::new();
        for number in 0..DESTINATIONS {
            let id: OrganisationId = format!("org-{number:04}").parse().unwrap();
            let input = OrganisationInput::parse(br#"{"name":"One of many","plan":"enterprise"}"#).unwrap();
            process.administration.put_organisation(&id, input, &platform()).await.unwrap();
            let organisation = world.organisation(&id).await;
            let sample = sample::destination(&organisation, "1");
            let input =
                DestinationInput { bucket: sample.bucket, role_arn: sample.role_arn, settings: sample.settings };
            world.buckets.open(&input.bucket, region(HOME));
            if number % (DESTINATIONS / HANGING) == 0 {
                world.buckets.set_condition(&input.bucket, Condition::Hanging);
                hanging.insert(id.clone());
            }
            process.administration.create_destination(&organisation, input, &platform()).await.unwrap();
        }
        Self { world, process, hanging }
    }

    /// Plans, and ships with `at_once` invocations until nothing is left. Gives what became of each order.
    async fn tick(&self, at_once: usize) -> Vec<Shipped> {
        self.process.plan().await.unwrap().unwrap();
        let invocations = (0..at_once).map(async |_| {
            let mut shipped = Vec::new();
            loop {
                let some = self.process.work(&self.world.queue, &*self.world.clock).await.unwrap();
                if some.is_empty() {
                    return shipped;
                }
                shipped.extend(some);
            }
        });
        join_all(invocations).await.into_iter().flatten().collect()
    }

    fn hangs(&self, shipped: &Shipped) -> bool {
        self.hanging.iter().any(|id| id.as_str() == shipped.order.organisation)
    }
}

/// What the queue's trigger says in the template: messages a batch, and batches at once.
fn trigger() -> (usize, usize) {
    let template = Yaml::load_from_str(include_str!("../../../template.yaml")).unwrap();
    let properties = ["Resources", "ShipperFunction", "Properties", "Events", "Ship", "Properties"]
        .iter()
        .fold(&template[0], |node, key| &node[*key]);
    let number = |node: &Yaml<'_>| usize::try_from(node.as_integer().unwrap()).unwrap();
    (number(&properties["BatchSize"]), number(&properties["ScalingConfig"]["MaximumConcurrency"]))
}

#[test]
fn two_hundred_of_a_thousand_destinations_that_hang_hold_up_none_of_the_others() {
    let (batch, at_once) = trigger();
    assert_eq!(batch, BATCH, "the harness takes as many messages at once as the template");
    in_virtual_time(async {
        let crowd = Crowd::gather().await;
        for tick in 1..=2 {
            let begun = crowd.world.clock.now();
            let shipped = crowd.tick(at_once).await;
            assert_eq!(shipped.len(), DESTINATIONS, "tick {tick}");
            let (mut slowest, mut failing) = (Duration::ZERO, 0);
            for one in &shipped {
                let outcome = &one.result.as_ref().unwrap().outcome;
                if crowd.hangs(one) {
                    assert!(matches!(outcome, ShipOutcome::Failing(_)), "{outcome:?}");
                    failing += 1;
                } else {
                    assert_eq!(*outcome, ShipOutcome::UpToDate);
                    slowest = slowest.max(one.ended_at.since(begun));
                }
            }
            println!("tick {tick}: the slowest of the healthy was served after {slowest:?}");
            assert_eq!(failing, HANGING);
            // Once they are known, those that hang wait behind the others.
            let within = if tick == 1 { TICK } else { Duration::from_secs(60) };
            assert!(slowest < within, "tick {tick}: a healthy one waited {slowest:?}");
            let clock = Arc::clone(&crowd.world.clock);
            clock.jump(TICK);
            for id in (0..DESTINATIONS).map(|number| format!("org-{number:04}").parse().unwrap()) {
                let organisation = crowd.world.organisation(&id).await;
                crowd.process.log.append(&organisation, vec![sample::body("more")], None).await.unwrap();
            }
        }
        crowd.tick(at_once).await;
        for id in (0..DESTINATIONS).map(|number| format!("org-{number:04}").parse().unwrap()) {
            let ending = if crowd.hanging.contains(&id) { Ending::Open } else { Ending::Settled };
            Checker::of(&crowd.world, &id, Duration::from_secs(5)).check(ending).await.unwrap();
        }
    });
}
