//! Days of a deployment in virtual time with one fault or none. The use cases run as by the schedule and the queue and
//! print the lines of the functions. AWS's own metrics are added.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use annals_aws::metrics::{self, NAMESPACE, NotDone, UnitOfWork, UnreadableItem};
use annals_core::{
    administration::{Administration, DestinationInput},
    admission::rate_limiter::RateLimits,
    delivery::{
        queue::{Job, NotSent, QueueMessage, ShipOrder, ShipQueue},
        ship::{ShipPolicy, Shipping},
    },
    destination::{
        Destination,
        sink::{Call, Object, Reason, SinkError, Stored, Target},
    },
    log::{
        Log,
        append::AppendPolicy,
        segment::Segment,
        store::{Commit, CommitError, Consistency, Order, StoreError},
        tail::Hazard,
    },
    operator::{OperatorCode, OperatorFault},
    organisation::OrganisationId,
    proof::signer::SignerFault,
    registry::{Registry as _, RestoredTables},
    time::Clock as _,
    token::TokenHash,
};
use annals_http::Services;
use annals_shipper::units;
use annals_tests::{
    bucket::{Condition, Trust},
    deployment::PLATFORM_TOKEN,
    entropy::SeededEntropy,
    memory::{Backup, MemoryStore, Table},
    queue::MemoryQueue,
    sample,
    shipping::{
        ports::{Below, Decorated, Decorator, Ports},
        world::{BATCH, HOME, World, platform, region},
    },
    signer::MemorySigner,
};
use async_trait::async_trait;
use axum::{Router, body::Body};
use http::Request;
use tower::ServiceExt as _;

use super::cloud_watch::Metrics;

/// The fault from [`BEGIN`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Nobody calls, and nothing is recorded.
    Quiet,
    /// The rule that plans is disabled.
    PlanningOff,
    /// The registry fails whenever a tick is planned.
    PlanningFails,
    /// The queue accepts no orders.
    QueueRefuses,
    /// The rule that maintains is disabled.
    MaintenanceOff,
    /// Maintenance cannot list the organisations.
    MaintenanceFails,
    /// The end of one customer's log is unknown.
    TailUnknown,
    /// The events of one customer's log are not found, although they are young.
    EventsMissing,
    /// An instance of the API that one customer reaches has a clock that is ahead.
    ClockAhead,
    /// The queue's event source mapping is disabled.
    QueueNotConsumed,
    /// The shipper crashes at every batch.
    ShipperCrashes,
    /// The shipper's role may no longer assume roles.
    OurRoleDenied,
    /// The shipper's role may no longer assume roles, and STS does not say that it is ours.
    EveryRoleRefused,
    /// STS limits the rate at which the shipper may assume roles.
    AssumingRolesThrottled,
    /// The shipper's role may not read the registry.
    ShipperDeniedTheStore,
    /// The API's role may not use the tables.
    ApiDeniedTheStore,
    /// The same of a single call.
    ApiDeniedTheStoreOnce,
    /// The API's role may not use the tables, on managed instances.
    InstancesDeniedTheStore,
    /// The console's role may not use the tables.
    ConsoleDeniedTheStore,
    /// The role of connection tests may not assume roles.
    ConnectionTestsDenied,
    /// An invalid order is in the queue.
    PoisonOrder,
    /// One organisation's log cannot be read.
    LogUnreadable,
    /// The API cannot reach the store.
    StoreGoneForTheApi,
    /// Lambda refuses to run the API function: its callers get 503.
    ApiThrottled,
    /// The API function ends before it answers: its callers get 500.
    ApiCrashes,
    /// Three requests in an hour fail.
    FewApiErrors,
    /// Every request fails, one every ten minutes.
    ApiFailsAtLowTraffic,
    /// Every request takes 8 seconds.
    ApiSlow,
    /// Somebody guesses tokens.
    TokensGuessed,
    /// The same where events are recorded on managed instances.
    TokensGuessedOnInstances,
    /// Somebody creates tokens of administrators.
    AdminTokensCreated,
    /// The same on the page.
    AdminTokensCreatedOnPages,
    /// Somebody changes destinations.
    DestinationsChanged,
    /// The same on the page.
    DestinationsChangedOnPages,
    /// API Gateway refuses requests.
    GatewayThrottles,
    /// Lambda refuses to run the shipper at times.
    ShipperThrottled,
    /// Lambda refused to run the shipper once.
    ShipperThrottledOnce,
    /// DynamoDB throttles reads of the log table. The SDK retries with success.
    LogReadsThrottled,
    /// The same of writes.
    LogWritesThrottled,
    /// The same of reads of the registry.
    RegistryReadsThrottled,
    /// The same of writes.
    RegistryWritesThrottled,
    /// The same of reads of the index.
    IndexReadsThrottled,
    /// The same of writes.
    IndexWritesThrottled,
    /// The shipper may no longer use the signing key.
    SigningDenied,
    /// The signing key fails for a quarter of an hour.
    SigningThrottledOnce,
    /// One customer's bucket is deleted.
    BucketMissing,
    /// One customer's role no longer trusts Annals.
    RoleRevoked,
    /// One customer's bucket accepts connections and never answers.
    BucketHangs,
    /// S3 fails for every bucket.
    S3Outage,
    /// One customer pauses, and resumes later.
    Paused,
    /// The log's table is taken back by a hundred minutes.
    LogRestored,
    /// The functions are deployed on copies of the tables.
    TablesCopied,
    /// A destination's item was damaged.
    ItemDamaged,
    /// One customer, with a week of events, gets a destination.
    Backlog,
    /// One customer requests a replay of everything.
    Replayed,
}

/// The first minute of the fault.
pub(crate) const BEGIN: u64 = 300;
const SIGNING_KEY: &str = "signing-key";
const CUSTOMERS: [&str; 3] = ["acme", "globex", "umbrella"];

impl Fault {
    fn is_of_maintenance(self) -> bool {
        matches!(self, Self::MaintenanceOff | Self::MaintenanceFails)
    }

    /// The minute at which the fault ends.
    pub(crate) fn end(self) -> u64 {
        let lasts = match self {
            Self::MaintenanceOff | Self::MaintenanceFails => 3 * 24 * 60,
            Self::BucketMissing | Self::RoleRevoked | Self::Paused | Self::TailUnknown => 26 * 60,
            Self::LogRestored => 8 * 60,
            // Ends before maintenance is due, whose absence is another fault.
            _ => 3 * 60,
        };
        BEGIN + lasts
    }
}

/// The ports of a function with the fault.
#[derive(Debug)]
struct Between {
    ports: Arc<dyn Ports>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Clone, Default)]
struct Trouble {
    failing_calls: Vec<&'static str>,
    all_calls_fail: bool,
    unreadable: Option<OrganisationId>,
    hazard: Option<(OrganisationId, Hazard)>,
    /// Whether calls fail because a right is missing.
    lacks_right: bool,
    /// The status, code and message with which STS answers.
    sts: Option<(u16, &'static str, &'static str)>,
}

impl Between {
    fn new(ports: Arc<dyn Ports>) -> Arc<Decorated<Self>> {
        Arc::new(Decorated(Self { ports, trouble: Mutex::default() }))
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap()
    }

    fn fails(&self, name: &str) -> Result<(), StoreError> {
        let trouble = self.trouble();
        let fails = trouble.all_calls_fail || trouble.failing_calls.contains(&name);
        match (fails, trouble.lacks_right) {
            (false, _) => Ok(()),
            (true, false) => Err(StoreError::Unavailable("injected".into())),
            (true, true) => Err(StoreError::Operator(OperatorFault::new(OperatorCode::PermissionMissing, "injected"))),
        }
    }
}

#[async_trait]
impl Decorator for Between {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.ports)
    }

    async fn store_call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.fails(name)?;
        work.await
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let refused = (0..messages.len()).collect();
        self.fails("send").map_err(|reason| NotSent { refused, reason })?;
        self.ports.send(messages).await
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.fails("commit").map_err(CommitError::Store)?;
        if let Some((_, hazard)) = self.trouble().hazard.as_ref().filter(|(of, _)| of == organisation) {
            return Err(StoreError::from(*hazard).into());
        }
        self.ports.commit(organisation, commit).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.fails("range")?;
        if self.trouble().unreadable.as_ref() == Some(organisation) {
            return Err(StoreError::Broken("injected".into()));
        }
        self.ports.range(organisation, range, order, limit, consistency).await
    }

    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        let answer = self.trouble().sts;
        if let Some((status, code, message)) = answer {
            let reason = Reason::answered(status, code, message, None);
            return Err(SinkError::new(Call::AssumeRole, reason));
        }
        self.ports.put(target, object).await
    }
}

struct Days {
    fault: Fault,
    world: World,
    to_shipper: Arc<Decorated<Between>>,
    to_api: Arc<Decorated<Between>>,
    signer: Arc<MemorySigner>,
    shipping: Shipping,
    administration: Administration,
    api: Router,
    destinations: Vec<Destination>,
    metrics: Metrics,
    /// A copy of the tables, a hundred minutes before the fault and then directly before it.
    backup: Option<Backup>,
}

/// The metrics of the days with the fault, and the last minute.
pub(crate) async fn live(fault: Fault) -> (Metrics, u64) {
    let mut days = Days::begin(fault).await;
    // Until the daily maintenance has run again.
    let end = fault.end() + if fault.is_of_maintenance() { 26 * 60 } else { 5 * 60 };
    let mut minute = 0;
    while minute <= end {
        days.minute(minute).await;
        let start = sample::START.plus(Duration::from_secs(60 * (minute + 1)));
        days.world.clock.jump(start.since(days.world.clock.now()));
        minute = days.world.clock.now().since(sample::START).as_secs() / 60;
    }
    (days.metrics, end)
}

impl Days {
    async fn begin(fault: Fault) -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
        let (to_shipper, to_api) = (Between::new(world.ports()), Between::new(world.ports()));
        let clock = world.clock.clone();
        let signer = MemorySigner::new();
        let entropy = SeededEntropy::new(7);
        let log = Log::new(to_shipper.clone(), clock.clone(), entropy.fork(), AppendPolicy::default());
        let log = Arc::new(log.with_meter(Arc::new(metrics::WorkMeter)));
        let shipping = Shipping::new(
            log,
            to_shipper.clone(),
            to_shipper.clone(),
            to_shipper.clone(),
            clock.clone(),
            entropy.fork(),
            ShipPolicy::default(),
        )
        .with_signing(Some(signer.signing(SIGNING_KEY, world.store.clone(), clock.clone())));
        let customers = Arc::new(Log::new(world.ports(), clock.clone(), entropy.fork(), AppendPolicy::default()));
        let administration = Administration::new(customers, world.ports(), clock.clone(), entropy.fork());
        let service = sample::service();
        let api = Services::new(to_api.clone(), clock, entropy.fork(), TokenHash::of(PLATFORM_TOKEN), service);
        let api = annals_api::router(api.with_rate_limits(RateLimits::NONE));
        let mut days = Self {
            fault,
            world,
            to_shipper,
            to_api,
            signer,
            shipping,
            administration,
            api,
            destinations: Vec::new(),
            metrics: Metrics::default(),
            backup: None,
        };
        for customer in CUSTOMERS {
            let body = r#"{"name":"A customer","plan":"enterprise"}"#;
            assert_eq!(days.call("PUT", &format!("/organisations/{customer}"), body).await, 201);
            if customer != "umbrella" || fault != Fault::Backlog {
                days.create_destination(customer).await;
            }
        }
        days
    }

    async fn create_destination(&mut self, customer: &str) {
        let organisation = self.world.organisation(&customer.parse().unwrap()).await;
        let body = format!(
            r#"{{"bucket":"bucket-{customer}","roleArn":"arn:aws:iam::444455556666:role/{customer}","region":"{HOME}"}}"#
        );
        let input = DestinationInput::parse(body.as_bytes(), &sample::service()).unwrap();
        let created = self.administration.create_destination(&organisation, input, &platform()).await.unwrap();
        self.world.buckets.open(&created.bucket, region(HOME));
        self.destinations.push(created);
    }

    async fn minute(&mut self, minute: u64) {
        let fault = self.fault;
        if fault == Fault::LogRestored && minute == BEGIN - 100 {
            self.backup = Some(self.world.store.back_up());
        }
        if minute == BEGIN {
            self.break_it().await;
        }
        if minute == fault.end() {
            self.repair().await;
        }
        if fault == Fault::SigningThrottledOnce && minute == BEGIN + 15 {
            self.signer.set_fault(SIGNING_KEY, None);
        }
        if fault == Fault::ApiDeniedTheStoreOnce && minute == BEGIN + 1 {
            *self.to_api.0.trouble() = Trouble::default();
        }
        let is_wrong = (BEGIN..fault.end()).contains(&minute);
        if fault != Fault::Quiet && minute.is_multiple_of(2) {
            self.traffic(minute, is_wrong).await;
        }
        // Once after the deployment, as infra/docs/operations.md says, then by the schedule.
        if minute.is_multiple_of(1440) && !(is_wrong && fault == Fault::MaintenanceOff) {
            match self.shipping.maintain().await {
                Ok(division) => self.tell(&units::Divided::of(&division)),
                Err(error) => self.tell(&NotDone::because(&error)),
            }
        }
        if minute.is_multiple_of(10) && !(is_wrong && fault == Fault::PlanningOff) {
            match self.shipping.plan().await {
                Ok(report) => self.tell(&units::Plan::of(&report)),
                Err(error) => self.tell(&NotDone::because(&error)),
            }
        }
        match fault {
            Fault::QueueNotConsumed if is_wrong => {}
            // Received and never deleted.
            Fault::ShipperCrashes if is_wrong => drop(self.world.queue.receive(BATCH)),
            _ => self.ship().await,
        }
        self.what_aws_measures(minute, is_wrong);
    }

    async fn ship(&mut self) {
        loop {
            let messages = self.world.queue.receive(BATCH);
            if messages.is_empty() {
                return;
            }
            for message in messages {
                if let QueueMessage::Job(Job::Maintain(job)) = &message.body {
                    let report = self.shipping.maintain_part(job).await;
                    self.tell(&units::Maintenance::of(&report));
                    if let Some(error) = &report.failure {
                        self.tell(&NotDone::because(error));
                    } else {
                        self.world.queue.delete(message.number);
                    }
                    continue;
                }
                let (result, appended) = metrics::counted(self.shipping.ship(message.order())).await;
                let unit = units::Shipment::of(Some(message.order()), &result, appended);
                self.tell(&unit);
                if result.is_ok() {
                    self.world.queue.delete(message.number);
                }
            }
        }
    }

    async fn traffic(&mut self, minute: u64, is_wrong: bool) {
        let event = r#"{"action":"UPDATE","entity":{"id":"1","name":"Payments","entityType":"MOCK_API"},
            "principal":{"id":"7","name":"Ada","entityType":"USER"}}"#;
        for customer in CUSTOMERS {
            let (status, code) = self.ask("POST", &format!("/organisations/{customer}/events"), event).await;
            // What the line of each request with the platform token counts.
            self.counted(minute, "PlatformTokenUses", "ApiFunction", 1.0);
            if code == "operator_required" {
                self.operator_fault(minute, "ApiFunction");
            }
            let hazard = match code.as_str() {
                "tail_unknown" => Some("TailsUnknown"),
                "events_missing" => Some("EventsMissing"),
                "clock_ahead" => Some("ClocksOff"),
                _ => None,
            };
            if let Some(metric) = hazard {
                self.metrics.put(minute, NAMESPACE, metric, &[("FunctionName", "ApiFunction")], 1.0);
            }
            let failed = status >= 500 || (is_wrong && self.fault == Fault::ApiCrashes);
            assert!(status == 201 || is_wrong, "{status}");
            if failed {
                self.api_error(minute, 1);
            }
        }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> u16 {
        self.ask(method, path, body).await.0
    }

    /// Returns the status and the problem's code, which the request's log line has as well.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {PLATFORM_TOKEN}"));
        let answer = self.api.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await;
        let (parts, body) = answer.unwrap().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        (parts.status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
    }

    async fn break_it(&mut self) {
        let victim = self.destinations[0].clone();
        let organisation = self.world.organisation(&victim.organisation).await;
        let buckets = &self.world.buckets;
        match self.fault {
            Fault::PlanningFails => self.to_shipper.0.trouble().failing_calls.push("active_destinations"),
            Fault::QueueRefuses => self.to_shipper.0.trouble().failing_calls.extend(["send", "is_busy"]),
            Fault::MaintenanceFails => self.to_shipper.0.trouble().failing_calls.push("organisation_ids"),
            Fault::TailUnknown => {
                let hazard = Hazard::TailUnknown { certain_at: None };
                self.tell(&units::NotMaintained::new(&victim.organisation, &hazard.into()));
                self.to_api.0.trouble().hazard = Some((victim.organisation, hazard));
            }
            Fault::EventsMissing => {
                let hazard = Hazard::EventsMissing { next_to: 7 };
                self.to_api.0.trouble().hazard = Some((victim.organisation, hazard));
            }
            Fault::ClockAhead => {
                let hazard = Hazard::ClockAhead { by: Duration::from_secs(3600) };
                self.to_api.0.trouble().hazard = Some((victim.organisation, hazard));
            }
            Fault::OurRoleDenied => {
                self.to_shipper.0.trouble().sts = Some((403, "ExpiredToken", "The security token is expired"));
            }
            Fault::EveryRoleRefused => {
                self.destinations.iter().for_each(|one| buckets.set_trust(&one.role_arn, Trust::Revoked));
            }
            Fault::AssumingRolesThrottled => {
                self.to_shipper.0.trouble().sts = Some((400, "Throttling", "Rate exceeded"));
            }
            Fault::ShipperDeniedTheStore => {
                let mut trouble = self.to_shipper.0.trouble();
                trouble.failing_calls.push("active_destinations");
                trouble.lacks_right = true;
            }
            Fault::ApiDeniedTheStore | Fault::ApiDeniedTheStoreOnce => {
                let mut trouble = self.to_api.0.trouble();
                (trouble.all_calls_fail, trouble.lacks_right) = (true, true);
            }
            Fault::SigningDenied => self.signer.set_fault(SIGNING_KEY, Some(SignerFault::Denied)),
            Fault::SigningThrottledOnce => self.signer.set_fault(SIGNING_KEY, Some(SignerFault::Throttled)),
            Fault::LogUnreadable => self.to_shipper.0.trouble().unreadable = Some(victim.organisation),
            Fault::StoreGoneForTheApi => self.to_api.0.trouble().all_calls_fail = true,
            Fault::PoisonOrder => {
                let order = ShipOrder {
                    organisation: "No Organisation".to_owned(),
                    destination: "none".to_owned(),
                    next_sequence: 1,
                    pending: false,
                };
                self.world.queue.send(&[order.into()]).await.unwrap();
            }
            Fault::BucketMissing => buckets.set_condition(&victim.bucket, Condition::Missing),
            Fault::BucketHangs => buckets.set_condition(&victim.bucket, Condition::Hanging),
            Fault::RoleRevoked => buckets.set_trust(&victim.role_arn, Trust::Revoked),
            Fault::S3Outage => {
                self.destinations.iter().for_each(|one| buckets.set_condition(&one.bucket, Condition::Outage));
            }
            Fault::Paused => {
                self.administration.pause_destination(&organisation, &victim.id, &platform()).await.unwrap();
            }
            Fault::LogRestored => {
                let earlier = self.backup.replace(self.world.store.back_up()).unwrap();
                self.world.store.take_back(&earlier, &[Table::Log]);
            }
            Fault::TablesCopied => {
                self.world.store.restore(&self.world.store.back_up(), RestoredTables::Both);
            }
            Fault::Backlog => self.create_destination("umbrella").await,
            Fault::Replayed => {
                let input = annals_core::administration::ReplayInput::Sequences { first: 1, last: 100 };
                self.administration.replay(&organisation, &victim.id, input, &platform()).await.unwrap();
            }
            _ => {}
        }
    }

    async fn repair(&mut self) {
        *self.to_shipper.0.trouble() = Trouble::default();
        *self.to_api.0.trouble() = Trouble::default();
        self.signer.set_fault(SIGNING_KEY, None);
        for destination in &self.destinations {
            self.world.buckets.set_condition(&destination.bucket, Condition::Working);
            self.world.buckets.set_trust(&destination.role_arn, Trust::OwnExternalId);
        }
        if self.fault == Fault::TablesCopied {
            self.world.store.adopt_tables().await.unwrap();
        }
        if let Some(complete) = &self.backup {
            self.world.store.take_back(complete, &[Table::Log]);
        }
        if self.fault == Fault::Paused {
            let victim = self.destinations[0].clone();
            let organisation = self.world.organisation(&victim.organisation).await;
            self.administration.resume_destination(&organisation, &victim.id, &platform()).await.unwrap();
        }
    }

    fn tell(&mut self, unit: &impl UnitOfWork) {
        let line = metrics::line(unit, "ShipperFunction", self.world.clock.now());
        self.metrics.take_line(&line, sample::START.as_millis());
    }

    /// API Gateway counts answers, and has no data point for a minute without requests.
    fn api_error(&mut self, minute: u64, count: u32) {
        self.gateway(minute, "5xx", f64::from(count));
    }

    fn gateway(&mut self, minute: u64, name: &str, value: f64) {
        self.metrics.put(minute, "AWS/ApiGateway", name, &[("ApiId", "Api")], value);
    }

    /// What the line of a request to `function` counts.
    fn operator_fault(&mut self, minute: u64, function: &str) {
        self.counted(minute, "OperatorFaults", function, 1.0);
    }

    fn counted(&mut self, minute: u64, metric: &str, function: &str, count: f64) {
        self.metrics.put(minute, metrics::NAMESPACE, metric, &[(metrics::FUNCTION, function)], count);
    }

    /// The metrics of SQS, Lambda and DynamoDB for this minute.
    fn what_aws_measures(&mut self, minute: u64, is_wrong: bool) {
        let dead = u32::try_from(self.world.queue.dead_letters().len()).unwrap();
        let queue = [("QueueName", "ShipDeadLetterQueue.QueueName")];
        self.metrics.put(minute, "AWS/SQS", "ApproximateNumberOfMessagesVisible", &queue, f64::from(dead));
        let shipper = [("FunctionName", "ShipperFunction")];
        let mut refused = 0.0;
        let mut table = |table: &str, metric: &str| {
            self.metrics.put(minute, "AWS/DynamoDB", metric, &[("TableName", table)], 40.0);
        };
        let index = [("TableName", "RegistryTable"), ("GlobalSecondaryIndexName", "listing")];
        if is_wrong {
            match self.fault {
                Fault::ShipperThrottled => refused = 3.0,
                Fault::ShipperThrottledOnce if minute == BEGIN => refused = 4.0,
                Fault::LogReadsThrottled => table("LogTable", "ReadThrottleEvents"),
                Fault::LogWritesThrottled => table("LogTable", "WriteThrottleEvents"),
                Fault::RegistryReadsThrottled => table("RegistryTable", "ReadThrottleEvents"),
                Fault::RegistryWritesThrottled => table("RegistryTable", "WriteThrottleEvents"),
                Fault::ClockAhead if minute.is_multiple_of(10) => {
                    let hazard = Hazard::ClockAhead { by: Duration::from_secs(3600) };
                    self.tell(&NotDone::because(&StoreError::from(hazard)));
                }
                Fault::EventsMissing if minute.is_multiple_of(10) => {
                    let hazard = Hazard::EventsMissing { next_to: 7 };
                    self.tell(&NotDone::because(&StoreError::from(hazard)));
                }
                // Planning lists all destinations, and the page lists those of a customer.
                Fault::ItemDamaged if minute.is_multiple_of(10) => {
                    for function in ["ShipperFunction", "ApiFunction"] {
                        let error = StoreError::Broken("the attribute bucket is missing".into());
                        let unit = UnreadableItem::new("registry", "org#acme destination#000000000001".into(), &error);
                        let line = metrics::line(&unit, function, self.world.clock.now());
                        self.metrics.take_line(&line, sample::START.as_millis());
                    }
                }
                Fault::IndexReadsThrottled => {
                    self.metrics.put(minute, "AWS/DynamoDB", "ReadThrottleEvents", &index, 40.0)
                }
                Fault::IndexWritesThrottled => {
                    self.metrics.put(minute, "AWS/DynamoDB", "WriteThrottleEvents", &index, 40.0)
                }
                Fault::ApiThrottled => self.api_error(minute, 6),
                Fault::ApiFailsAtLowTraffic if minute.is_multiple_of(10) => self.api_error(minute, 1),
                Fault::ApiSlow => self.gateway(minute, "Latency", 8000.0),
                Fault::GatewayThrottles => {
                    self.metrics.put(minute, "Annals/Gateway", "Throttled", &[("ApiId", "Api")], 30.0);
                }
                Fault::InstancesDeniedTheStore if minute == BEGIN => {
                    self.operator_fault(minute, "ApiInstancesFunction");
                }
                Fault::ConsoleDeniedTheStore if minute == BEGIN => self.operator_fault(minute, "ConsoleFunction"),
                Fault::ConnectionTestsDenied if minute == BEGIN => {
                    self.operator_fault(minute, "TestConnectionFunction");
                }
                Fault::TokensGuessed => self.counted(minute, "FailedAuthentications", "ApiFunction", 300.0),
                Fault::TokensGuessedOnInstances => {
                    self.counted(minute, "FailedAuthentications", "ApiInstancesFunction", 300.0);
                }
                Fault::AdminTokensCreated => self.counted(minute, "AdminTokensCreated", "ApiFunction", 2.0),
                Fault::AdminTokensCreatedOnPages => self.counted(minute, "AdminTokensCreated", "ConsoleFunction", 2.0),
                Fault::DestinationsChanged => self.counted(minute, "DestinationChanges", "ApiFunction", 5.0),
                Fault::DestinationsChangedOnPages => self.counted(minute, "DestinationChanges", "ConsoleFunction", 5.0),
                Fault::FewApiErrors if minute < BEGIN + 3 => self.api_error(minute, 1),
                _ => {}
            }
        }
        if minute.is_multiple_of(10) || refused > 0.0 {
            self.metrics.put(minute, "AWS/Lambda", "Throttles", &shipper, refused);
        }
    }
}
