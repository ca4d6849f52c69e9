//! The shipper function: it plans on the schedule, ships from the queue, and maintains once a day. This crate maps events to
//! use cases of `annals-core`.

pub mod units;

use std::{collections::BTreeMap, sync::Arc};

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    kms,
    metrics::{self, NotDone},
    s3::S3ObjectSink,
    settings::{self, SettingError},
    sqs::SqsShipQueue,
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    brand::Brand,
    delivery::{
        maintenance::{Division, MaintainReport},
        plan::PlanReport,
        queue::{Job, QueueMessage, ShipOrder, ShipQueue},
        restore::{RestoreCursor, RestoreRequest},
        ship::{ShipError, ShipOutcome, ShipPolicy, ShipReport, Shipping},
    },
    destination::{DestinationIdError, RolesWithoutExternalId, connection_test::TEST_OBJECT_NAME, sink::ObjectSink},
    entropy::Entropy,
    log::{
        Log,
        append::AppendPolicy,
        restore::RestoreIdError,
        store::{LogStore, StoreError},
    },
    organisation::OrganisationId,
    proof::signing::Signing,
    registry::{Registry, RestoredTables},
    time::{Clock, Timestamp},
};
use aws_lambda_events::{
    eventbridge::EventBridgeEvent,
    sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage},
};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The number of destinations that are shipped at once: the size of the queue's batches, so that a slow destination delays no
/// other. Memory holds at most two objects of each: the one that is put and the next one.
const AT_ONCE: usize = 10;

#[derive(Debug)]
pub struct Shipper {
    shipping: Shipping,
}

/// Why an event failed.
#[derive(Debug, thiserror::Error)]
pub enum ShipperError {
    #[error(
        "unknown event: expected a scheduled event, {{\"task\":\"plan\"}}, {{\"task\":\"maintain\"}}, {{\"task\":\"restore\",…}} or messages of the ship queue"
    )]
    UnknownEvent,
    /// The registry or the queue failed during planning.
    #[error("planning failed")]
    Plan(#[source] StoreError),
    /// The store or the queue failed during maintenance.
    #[error("maintenance failed")]
    Maintain(#[source] StoreError),
    #[error("the event about a restore is invalid: {0}")]
    RestoreEvent(#[source] serde_json::Error),
    #[error("the event about a restore is invalid: {0} {1}")]
    RestoreField(&'static str, String),
    /// The organisations could not be listed.
    #[error("the restore stopped")]
    Restore(#[source] StoreError),
    #[error("the answer could not be serialized")]
    Answer(#[source] serde_json::Error),
}

/// The result of one message.
#[derive(Debug)]
pub struct Processed {
    pub message_id: String,
    pub work: Work,
}

/// What a message asked for, and the result.
#[derive(Debug)]
pub enum Work {
    Ship(Box<Shipped>),
    Plan(Result<PlanReport, StoreError>),
    Divide(Result<Division, StoreError>),
    Maintain(MaintainReport),
}

/// The result of an order.
#[derive(Debug)]
pub struct Shipped {
    /// `None` if the message could not be read.
    pub order: Option<ShipOrder>,
    pub result: Result<ShipReport, ShipError>,
}

impl Work {
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Ship(shipped) => shipped.result.is_ok(),
            Self::Plan(result) => result.is_ok(),
            Self::Divide(result) => result.is_ok(),
            Self::Maintain(report) => report.failure.is_none(),
        }
    }
}

/// What the schedule's rules send.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Task {
    Plan,
    Maintain,
}

/// What the operator sends after tables were restored. `infra/docs/restoring.md` explains it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RestoreEvent {
    #[serde(rename = "task")]
    _task: String,
    restore: String,
    tables: RestoredTables,
    restored_to: Timestamp,
    organisation: Option<String>,
    after: Option<After>,
    skip: Option<u64>,
    #[serde(default)]
    last: BTreeMap<String, u64>,
    /// By `ORGANISATION/DESTINATION`.
    #[serde(default)]
    delivered: BTreeMap<String, u64>,
}

/// Where a restore continues, as the answer before says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct After {
    organisation: String,
    failed: usize,
}

/// Whom a restore is for.
#[derive(Debug)]
enum Scope {
    One(OrganisationId),
    After(Option<RestoreCursor>),
}

impl RestoreEvent {
    fn parse(self) -> Result<(RestoreRequest, Scope), ShipperError> {
        let organisation = |name: &'static str, text: &str| {
            text.parse::<OrganisationId>().map_err(|error| ShipperError::RestoreField(name, error.to_string()))
        };
        let last = self.last.iter().map(|(id, last)| Ok((organisation("last", id)?, *last)));
        let last = last.collect::<Result<_, ShipperError>>()?;
        let delivered = self.delivered.iter().map(|(name, last)| {
            let (id, destination) = name
                .split_once('/')
                .ok_or_else(|| ShipperError::RestoreField("delivered", "must name ORGANISATION/DESTINATION".into()))?;
            let destination = destination
                .parse()
                .map_err(|error: DestinationIdError| ShipperError::RestoreField("delivered", error.to_string()))?;
            Ok(((organisation("delivered", id)?, destination), *last))
        });
        let delivered = delivered.collect::<Result<_, ShipperError>>()?;
        let scope = match (&self.organisation, &self.after) {
            (Some(one), _) => Scope::One(organisation("organisation", one)?),
            (None, Some(after)) => {
                let cursor =
                    RestoreCursor { organisation: organisation("after", &after.organisation)?, failed: after.failed };
                Scope::After(Some(cursor))
            }
            (None, None) => Scope::After(None),
        };
        let restore = self
            .restore
            .parse()
            .map_err(|error: RestoreIdError| ShipperError::RestoreField("restore", error.to_string()))?;
        let (tables, restored_to, skip) = (self.tables, self.restored_to, self.skip);
        Ok((RestoreRequest { restore, tables, restored_to, skip, last, delivered }, scope))
    }
}

impl Shipper {
    #[must_use]
    pub fn new<S: LogStore + Registry + 'static>(
        store: Arc<S>,
        queue: Arc<dyn ShipQueue>,
        sink: Arc<dyn ObjectSink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let log = Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            AppendPolicy::default(),
        );
        let log = Arc::new(log.with_meter(Arc::new(metrics::WorkMeter)));
        let shipping = Shipping::new(log, store, queue, sink, clock, entropy, ShipPolicy::default());
        Self { shipping }
    }

    /// Sets what becomes of roles that accept any external id.
    #[must_use]
    pub fn with_roles_without_external_id(self, roles: RolesWithoutExternalId) -> Self {
        Self { shipping: self.shipping.with_roles_without_external_id(roles) }
    }

    /// Sets the name of the object that tells whether a changed place can be written to.
    #[must_use]
    pub fn with_test_object_name(self, name: String) -> Self {
        Self { shipping: self.shipping.with_test_object_name(name) }
    }

    /// Sets what customers see instead of Annals.
    #[must_use]
    pub fn with_brand(self, brand: Brand) -> Self {
        Self { shipping: self.shipping.with_brand(brand) }
    }

    /// Signs checkpoints. Without it, the deployment signs none.
    #[must_use]
    pub fn with_signing(self, signing: Option<Arc<Signing>>) -> Self {
        Self { shipping: self.shipping.with_signing(signing) }
    }

    /// Reads `LOG_TABLE`, `REGISTRY_TABLE`, `SHIP_QUEUE_URL`, optionally `ROLES_WITHOUT_EXTERNAL_ID`, `TEST_OBJECT_NAME` and, to
    /// sign checkpoints, `SIGNING_KEY` and `SIGNER_NAME` from the environment.
    ///
    /// # Errors
    /// Returns an error if a variable is missing.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let tables = Tables { log: settings::required("LOG_TABLE")?, registry: settings::required("REGISTRY_TABLE")? };
        let store = DynamoStore::new(aws_sdk_dynamodb::Client::new(config), tables);
        let queue = SqsShipQueue::new(aws_sdk_sqs::Client::new(config), settings::required("SHIP_QUEUE_URL")?);
        let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
        let sink = S3ObjectSink::new(config, clock.clone());
        let signing = kms::signing(config, store.clone(), clock.clone())?;
        let shipper = Self::new(store, Arc::new(queue), Arc::new(sink), clock, Arc::new(SystemEntropy));
        let roles = settings::parsed_or("ROLES_WITHOUT_EXTERNAL_ID", RolesWithoutExternalId::default())?;
        let shipper = shipper.with_test_object_name(settings::or("TEST_OBJECT_NAME", TEST_OBJECT_NAME));
        let brand = Brand { product: settings::optional("PRODUCT_NAME")?, ..Brand::default() };
        Ok(shipper.with_signing(signing).with_roles_without_external_id(roles).with_brand(brand))
    }

    /// Handles an event of Lambda: messages of the queue, or an event of the schedule. EventBridge's own scheduled event is a
    /// request to plan.
    ///
    /// # Errors
    /// Returns an error for an unknown event, or if planning or maintenance fails: Lambda then retries. Failed messages are
    /// not an error: the answer lists them, and SQS delivers them again.
    pub async fn handle(&self, event: Value) -> Result<Value, ShipperError> {
        if event.get("Records").is_some() {
            let event: SqsEvent = serde_json::from_value(event).map_err(|_| ShipperError::UnknownEvent)?;
            let processed = self.process(event).await;
            let mut answer = SqsBatchResponse::default();
            answer.batch_item_failures = processed
                .into_iter()
                .filter(|processed| !processed.work.is_done())
                .map(|processed| {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = processed.message_id;
                    failure
                })
                .collect();
            return serde_json::to_value(answer).map_err(ShipperError::Answer);
        }
        if event.get("task").is_some_and(|task| task == "restore") {
            let event = RestoreEvent::deserialize(event).map_err(ShipperError::RestoreEvent)?;
            return self.restore(event).await;
        }
        let task = match event.get("task") {
            Some(task) => Task::deserialize(task).map_err(|_| ShipperError::UnknownEvent)?,
            None => {
                let event: EventBridgeEvent<Value> =
                    serde_json::from_value(event).map_err(|_| ShipperError::UnknownEvent)?;
                if event.detail_type != "Scheduled Event" {
                    return Err(ShipperError::UnknownEvent);
                }
                Task::Plan
            }
        };
        match task {
            Task::Plan => {
                let PlanReport { planned, deferred, copied_tables, .. } = self.plan().await?;
                let mut answer = serde_json::json!({"planned": planned, "deferred": deferred});
                if let Some(tables) = copied_tables {
                    answer["copiedTables"] = serde_json::to_value(tables).map_err(ShipperError::Answer)?;
                }
                Ok(answer)
            }
            Task::Maintain => {
                let division = self.shipping.maintain().await.map_err(ShipperError::Maintain)?;
                metrics::emit(&units::Divided::of(&division));
                Ok(serde_json::json!({"organisations": division.organisations, "parts": division.parts}))
            }
        }
    }

    /// Continues after a restore of tables, for one organisation or for as many as fit into the time budget.
    async fn restore(&self, event: RestoreEvent) -> Result<Value, ShipperError> {
        let (request, scope) = event.parse()?;
        let result = match scope {
            Scope::One(organisation) => self.shipping.restore_one(&request, &organisation).await,
            Scope::After(after) => self.shipping.restore(&request, after).await,
        };
        let report = result.map_err(ShipperError::Restore)?;
        metrics::emit(&units::Restoring::of(&report));
        let failed: Vec<Value> = report
            .failed
            .iter()
            .map(|(organisation, error)| serde_json::json!({"organisation": organisation.as_str(), "error": metrics::chain(error)}))
            .collect();
        let after =
            report.after.map(|after| After { organisation: after.organisation.to_string(), failed: after.failed });
        Ok(serde_json::json!({"restored": report.restored, "failed": failed, "after": after}))
    }

    /// Plans one tick.
    ///
    /// # Errors
    /// Returns an error if the registry or the queue fails.
    pub async fn plan(&self) -> Result<PlanReport, ShipperError> {
        let report = self.shipping.plan().await.map_err(ShipperError::Plan)?;
        metrics::emit(&units::Plan::of(&report));
        Ok(report)
    }

    /// Does what the messages of `event` ask for.
    pub async fn process(&self, event: SqsEvent) -> Vec<Processed> {
        stream::iter(event.records).map(|message| self.process_one(message)).buffer_unordered(AT_ONCE).collect().await
    }

    async fn process_one(&self, message: SqsMessage) -> Processed {
        let message_id = message.message_id.unwrap_or_default();
        let body = message.body.unwrap_or_default();
        let work = match serde_json::from_str(&body) {
            Ok(QueueMessage::Job(job)) => self.work(&job).await,
            Ok(QueueMessage::Ship(order)) => self.ship(Some(order)).await,
            Err(_) => self.ship(None).await,
        };
        Processed { message_id, work }
    }

    async fn work(&self, job: &Job) -> Work {
        match job {
            Job::Plan(job) => {
                let result = self.shipping.plan_rest(job).await;
                match &result {
                    Ok(report) => metrics::emit(&units::Plan::of_rest(report)),
                    Err(error) => metrics::emit(&NotDone::because(error)),
                }
                Work::Plan(result)
            }
            Job::Divide(job) => {
                let result = self.shipping.divide(job).await;
                match &result {
                    Ok(division) => metrics::emit(&units::Divided::of(division)),
                    Err(error) => metrics::emit(&NotDone::because(error)),
                }
                Work::Divide(result)
            }
            Job::Maintain(job) => {
                let report = self.shipping.maintain_part(job).await;
                for (organisation, error) in &report.refused {
                    metrics::emit(&units::NotMaintained::new(organisation, error));
                }
                metrics::emit(&units::Maintenance::of(&report));
                if let Some(error) = &report.failure {
                    metrics::emit(&NotDone::because(error));
                }
                Work::Maintain(report)
            }
        }
    }

    async fn ship(&self, order: Option<ShipOrder>) -> Work {
        let shipping = async {
            match &order {
                Some(order) => self.shipping.ship(order).await,
                None => Err(ShipError::BadOrder),
            }
        };
        let (result, appended) = metrics::counted(shipping).await;
        metrics::emit(&units::Shipment::of(order.as_ref(), &result, appended));
        Work::Ship(Box::new(Shipped { order, result }))
    }
}

/// Returns the name of the outcome in logs. For a failure, its code.
#[must_use]
pub fn outcome(outcome: &ShipOutcome) -> &'static str {
    match outcome {
        ShipOutcome::UpToDate => "up_to_date",
        ShipOutcome::OutOfTime => "out_of_time",
        ShipOutcome::Gone => "gone",
        ShipOutcome::Superseded => "superseded",
        ShipOutcome::Failing(code) => code.as_str(),
    }
}
