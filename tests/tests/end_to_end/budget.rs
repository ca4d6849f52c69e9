//! The cost of recording, reading and waiting in the request units that DynamoDB reports, with events of 600 to 900
//! bytes. The bounds are the project's budgets. The measured values are printed.

use std::sync::{Arc, Mutex};

use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    system::{SystemClock, SystemEntropy},
};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    administration::{Actor, Administration, DestinationInput, Put},
    admission::{Admission, KNOWN_FOR, USE_PRECISION, rate_limiter::RateLimits},
    audit::{Audit, Page, PageRequest, Reader, Start},
    caller::Caller,
    delivery::{
        queue::{NotSent, QueueMessage, ShipOrder, ShipQueue},
        ship::{ShipOutcome, ShipPolicy, Shipping},
    },
    destination::sink::{Call, Object, ObjectSink, Reason, SinkError, Stored, Target},
    event::Context,
    log::{
        Log,
        append::{AppendPolicy, IdempotencyKey},
        store::StoreError,
    },
    organisation::{Organisation, OrganisationInput},
    token::{TokenHash, TokenInput},
};
use annals_local::demo;
use annals_tests::{
    capacity::{CapacityMeter, Consumed},
    clock::VirtualClock,
    sample,
};
use async_trait::async_trait;

const EVENTS: usize = 1000;

struct World {
    _cloud: Cloud,
    store: Arc<DynamoStore>,
    meter: CapacityMeter,
    tables: Tables,
}

impl World {
    async fn start() -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let (client, meter) = CapacityMeter::client(&cloud.sdk_config(&AccessKey::new("any", "any")));
        let tables = Tables { log: "log".into(), registry: "registry".into() };
        create_tables(&client, &tables).await.unwrap();
        let store = Arc::new(DynamoStore::new(client, tables.clone()).in_simulated_time());
        Self { _cloud: cloud, store, meter, tables }
    }

    /// The log of a process that has just started: it remembers nothing.
    fn log(&self) -> Arc<Log> {
        let policy = AppendPolicy::default();
        Arc::new(Log::new(self.store.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy), policy))
    }

    fn administration(&self) -> Administration {
        Administration::new(self.log(), self.store.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// The admission of a process that has just started: it knows no tokens.
    fn admission(&self) -> Admission {
        self.administration().admission(TokenHash([0; 32]), RateLimits::default())
    }

    async fn organisation(&self, id: &str) -> Organisation {
        let input = OrganisationInput::parse(br#"{"name":"Northwind Mills","plan":"enterprise"}"#).unwrap();
        let put = self.administration().put_organisation(&id.parse().unwrap(), input, &platform()).await.unwrap();
        let (Put::Created(organisation) | Put::Updated(organisation)) = put;
        organisation
    }

    async fn record(&self, organisation: &Organisation, batch: usize) {
        let log = self.log();
        for events in demo::realistic_events(3, EVENTS).chunks(batch) {
            log.append(organisation, events.iter().map(sample::posted).collect(), None).await.unwrap();
        }
    }

    fn log_units(&self) -> Consumed {
        self.meter.of(&self.tables.log)
    }

    fn registry_units(&self) -> Consumed {
        self.meter.of(&self.tables.registry)
    }
}

fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}

async fn write_units_an_event(batch: usize) -> f64 {
    let world = World::start().await;
    let organisation = world.organisation("acme").await;
    world.meter.reset();
    world.record(&organisation, batch).await;
    let units = world.log_units().write_units / EVENTS as f64;
    println!("{units:.3} write units an event in batches of {batch}");
    assert!(units > 0.0);
    units
}

#[tokio::test]
async fn an_event_by_itself_costs_at_most_1_05_write_units() {
    assert!(write_units_an_event(1).await <= 1.05);
}

#[tokio::test]
async fn an_event_with_a_key_costs_at_most_2_1_write_units_and_its_repeat_one_and_two_to_read() {
    let world = World::start().await;
    let organisation = world.organisation("acme").await;
    let events = demo::realistic_events(3, 200);
    for (name, most_writes, most_reads) in [("the first request", 2.1, 0.1), ("its repeat", 1.0, 2.0)] {
        let log = world.log();
        world.meter.reset();
        for (number, event) in events.iter().enumerate() {
            let key = IdempotencyKey::parse(format!("outbox-{number}").as_bytes()).unwrap();
            log.append(&organisation, vec![sample::posted(event)], Some(key)).await.unwrap();
        }
        let (log, registry) = (world.log_units(), world.registry_units());
        let each = |units: f64| units / events.len() as f64;
        let (writes, reads) =
            (each(log.write_units + registry.write_units), each(log.read_units + registry.read_units));
        println!("{name}: {writes:.3} write units and {reads:.3} read units an event");
        assert!(writes <= most_writes && reads <= most_reads);
    }
    assert_eq!(world.log().tail(&organisation.id).await.unwrap().last, events.len() as u64 + 1);
}

#[tokio::test]
async fn an_event_in_a_batch_of_25_costs_at_most_a_quarter_of_a_write_unit() {
    assert!(write_units_an_event(25).await <= 0.25);
}

#[tokio::test]
async fn an_event_in_a_batch_of_100_costs_at_most_a_fifth_of_a_write_unit() {
    assert!(write_units_an_event(100).await <= 0.20);
}

#[tokio::test]
async fn a_page_of_100_single_events_costs_at_most_10_read_units_and_1_write_unit() {
    let world = World::start().await;
    let organisation = world.organisation("acme").await;
    let input = TokenInput::parse(br#"{"name":"SIEM","role":"auditor"}"#, organisation.created_at).unwrap();
    let (_, token) = world.administration().create_token(&organisation, input, &platform()).await.unwrap();
    world.record(&organisation, 1).await;
    // Its first use in an hour has a price of its own: see the test of a token's use.
    world.admission().admit(token.reveal(), None).await.unwrap();
    let mut next = (Start::Edge, None);
    for number in 1..=3 {
        world.meter.reset();
        let page = get_page(&world, token.reveal(), next).await;
        assert_eq!(page.lines.len(), 100);
        let (log, registry) = (world.log_units(), world.registry_units());
        let (reads, writes) = (log.read_units + registry.read_units, log.write_units + registry.write_units);
        println!(
            "page {number}: {reads} read units ({} of them for token and organisation), {writes} write units",
            registry.read_units
        );
        assert!(reads > 0.0 && reads <= 10.0, "{reads}");
        assert!(writes > 0.0 && writes <= 1.0, "{writes}");
        next = (Start::From(page.next.unwrap()), page.through);
    }
}

#[tokio::test]
async fn a_token_costs_a_read_unit_in_half_a_second_and_a_write_unit_in_an_hour() {
    let world = World::start().await;
    let organisation = world.organisation("acme").await;
    let input = TokenInput::parse(br#"{"name":"SIEM","role":"auditor"}"#, organisation.created_at).unwrap();
    let (token, text) = world.administration().create_token(&organisation, input, &platform()).await.unwrap();
    let clock = VirtualClock::new(token.created_at);
    let process = || {
        let entropy = Arc::new(SystemEntropy);
        Administration::new(world.log(), world.store.clone(), clock.clone(), entropy)
            .admission(TokenHash([0; 32]), RateLimits::NONE)
    };
    let admission = process();
    let units = async |admission: &Admission, requests: usize| {
        world.meter.reset();
        for _ in 0..requests {
            admission.admit(text.reveal(), None).await.unwrap();
        }
        let units = world.registry_units();
        println!("{requests} requests: {} read units, {} write units", units.read_units, units.write_units);
        assert_eq!(world.log_units(), Consumed::default(), "its use is no event");
        (units.read_units, units.write_units)
    };
    assert_eq!(units(&admission, 1000).await, (1.0, 1.0), "the first use, and 999 more in the same half second");
    clock.advance(KNOWN_FOR);
    assert_eq!(units(&admission, 1000).await, (1.0, 0.0));
    assert_eq!(units(&process(), 1000).await, (1.0, 0.0), "another process");
    clock.advance(USE_PRECISION);
    assert_eq!(units(&admission, 1000).await, (1.0, 1.0), "an hour later");
    world.meter.reset();
    admission.admit("annals_abcdefghijkl_mistyped", None).await.unwrap_err();
    assert_eq!(world.registry_units(), Consumed::default(), "what is no token costs nothing");
}

/// All store calls of `GET /audit` in a process that has just started.
async fn get_page(world: &World, token: &str, (start, through): (Start, Option<annals_core::id::EventId>)) -> Page {
    let administration = world.administration();
    let Caller::Token(token) = world.admission().admit(token, None).await.unwrap() else {
        panic!("the token is not the platform's");
    };
    let organisation = administration.organisation(&token.organisation).await.unwrap();
    let request = PageRequest { start, through, ..PageRequest::default() };
    let reader = Reader { principal: Caller::Token(token).principal(), ..sample::reader() };
    Audit::new(world.log()).page(&organisation, &request, &reader).await.unwrap()
}

/// Takes every object.
#[derive(Debug)]
struct AnyBucket;

#[async_trait]
impl ObjectSink for AnyBucket {
    async fn put(&self, _: &Target, _: Object) -> Result<Stored, SinkError> {
        Ok(Stored::Now)
    }
    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        let refused = || SinkError::new(Call::AssumeRole, Reason::answered(403, "AccessDenied", "", None));
        if external_id == target.external_id { Ok(()) } else { Err(refused()) }
    }
}

/// Keeps the orders that are sent.
#[derive(Debug, Default)]
struct Orders(Mutex<Vec<ShipOrder>>);

#[async_trait]
impl ShipQueue for Orders {
    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        self.0.lock().unwrap().extend(messages.iter().map(|message| match message {
            QueueMessage::Ship(order) => order.clone(),
            QueueMessage::Job(job) => panic!("the plan is small: {job:?}"),
        }));
        Ok(())
    }

    async fn is_busy(&self) -> Result<bool, StoreError> {
        Ok(!self.0.lock().unwrap().is_empty())
    }
}

#[tokio::test]
async fn an_idle_destination_costs_half_a_read_unit_a_tick_and_no_write() {
    const DESTINATIONS: usize = 200;
    let world = World::start().await;
    for number in 0..DESTINATIONS {
        let organisation = world.organisation(&format!("org-{number}")).await;
        let body =
            format!(r#"{{"bucket":"bucket-{number}","roleArn":"arn:aws:iam::444455556666:role/role-{number}"}}"#);
        let input = DestinationInput::parse(body.as_bytes(), &sample::service()).unwrap();
        world.administration().create_destination(&organisation, input, &platform()).await.unwrap();
    }
    let orders = Arc::new(Orders::default());
    let shipping = Shipping::new(
        world.log(),
        world.store.clone(),
        orders.clone(),
        Arc::new(AnyBucket),
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
        ShipPolicy::default(),
    );
    let tick = async || {
        let planned = shipping.plan().await.unwrap().planned;
        let plan = world.registry_units().read_units;
        let mut delivered = 0;
        let planned_orders = std::mem::take(&mut *orders.0.lock().unwrap());
        for order in planned_orders {
            let report = shipping.ship(&order).await.unwrap();
            assert_eq!(report.outcome, ShipOutcome::UpToDate);
            delivered += report.deliveries.len();
        }
        (planned, plan, delivered)
    };
    assert_eq!(tick().await.2, DESTINATIONS, "the first tick delivers to each");

    world.meter.reset();
    let (planned, plan, delivered) = tick().await;
    assert_eq!((planned, delivered), (0, 0));
    let (log, registry) = (world.log_units(), world.registry_units());
    let each = log.read_units / DESTINATIONS as f64;
    let share = plan / DESTINATIONS as f64;
    println!(
        "{each} read units an idle destination and tick, and {share} as its share of the plan ({plan} for {DESTINATIONS})"
    );
    // One in 36, by chance of their ids, is compared with the end of its log.
    assert!((0.5..0.7).contains(&each), "{each}");
    assert!(share <= 0.05, "{share}");
    assert!((registry.read_units - plan).abs() < f64::EPSILON, "the registry is asked for the plan alone");
    assert_eq!((log.write_units, registry.write_units), (0.0, 0.0));
}
