//! The shipper function: plans on the schedule, ships from the queue, maintains once a day. Which event asks for what,
//! and what is answered; the work is the domain's.

pub mod units;

use std::sync::Arc;

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    metrics,
    s3::S3ObjectSink,
    settings::{self, SettingError},
    sqs::SqsShipQueue,
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    delivery::{
        queue::{ShipOrder, ShipQueue},
        ship::{PlanReport, ShipError, ShipOutcome, ShipPolicy, ShipReport, Shipping},
        sink::ObjectSink,
    },
    entropy::Entropy,
    log::{
        Log,
        append::AppendPolicy,
        store::{LogStore, StoreError},
    },
    registry::Registry,
    time::Clock,
};
use aws_lambda_events::{
    eventbridge::EventBridgeEvent,
    sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage},
};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

/// How many destinations of one batch are shipped to at the same time: as many as the queue's batches have, so that a slow
/// one holds up no other, and memory stays bounded by so many objects.
const AT_ONCE: usize = 10;

/// The shipper.
#[derive(Debug)]
pub struct Shipper {
    shipping: Shipping,
    log: Arc<Log>,
}

/// An event that asks for nothing that the shipper does.
#[derive(Debug, thiserror::Error)]
pub enum ShipperError {
    /// It is none of the schedule's or the queue's.
    #[error(
        "the event is neither a tick of the schedule, nor {{\"task\":\"plan\"}} or {{\"task\":\"maintain\"}}, nor messages of the ship queue"
    )]
    UnknownEvent,
    /// The registry or the queue failed while a tick was planned.
    #[error("the tick is not planned")]
    Plan(#[source] StoreError),
    /// The store or the queue failed while anchors were brought up to date.
    #[error("not all anchors are up to date")]
    Maintain(#[source] StoreError),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Answer(#[source] serde_json::Error),
}

/// What became of one message.
#[derive(Debug)]
pub struct Shipped {
    /// The message's id.
    pub message_id: String,
    /// What it asked for, where that could be read.
    pub order: Option<ShipOrder>,
    /// How that went.
    pub result: Result<ShipReport, ShipError>,
}

/// What the schedule's rules send.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Task {
    Plan,
    Maintain,
}

impl Shipper {
    /// A shipper over a store, a queue and a sink.
    #[must_use]
    pub fn new<S: LogStore + Registry + 'static>(
        store: Arc<S>,
        queue: Arc<dyn ShipQueue>,
        sink: Arc<dyn ObjectSink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let log = Arc::new(Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            AppendPolicy::default(),
        ));
        let shipping = Shipping::new(Arc::clone(&log), store, queue, sink, clock, entropy, ShipPolicy::default());
        Self { shipping, log }
    }

    /// The shipper that the environment describes: `LOG_TABLE`, `REGISTRY_TABLE`, `SHIP_QUEUE_URL`.
    ///
    /// # Errors
    /// Where a variable is missing.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let tables = Tables { log: settings::required("LOG_TABLE")?, registry: settings::required("REGISTRY_TABLE")? };
        let store = DynamoStore::new(aws_sdk_dynamodb::Client::new(config), tables, Arc::default());
        let queue = SqsShipQueue::new(aws_sdk_sqs::Client::new(config), settings::required("SHIP_QUEUE_URL")?);
        let clock = Arc::new(SystemClock);
        let sink = S3ObjectSink::new(config, clock.clone());
        Ok(Self::new(Arc::new(store), Arc::new(queue), Arc::new(sink), clock, Arc::new(SystemEntropy)))
    }

    /// Answers an event as Lambda delivers it: of the queue, or of a rule of the schedule. A scheduled event as
    /// EventBridge makes it by itself asks for a plan.
    ///
    /// # Errors
    /// Where the event is none of these, or a plan or maintenance failed: Lambda then tries again. Messages that failed
    /// are no error; they are named in the answer and come again.
    pub async fn handle(&self, event: Value) -> Result<Value, ShipperError> {
        if event.get("Records").is_some() {
            let event: SqsEvent = serde_json::from_value(event).map_err(|_| ShipperError::UnknownEvent)?;
            let shipped = self.ship(event).await;
            let mut answer = SqsBatchResponse::default();
            answer.batch_item_failures = shipped
                .into_iter()
                .filter(|shipped| shipped.result.is_err())
                .map(|shipped| {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = shipped.message_id;
                    failure
                })
                .collect();
            return serde_json::to_value(answer).map_err(ShipperError::Answer);
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
                let PlanReport { planned, deferred, .. } = self.plan().await?;
                Ok(serde_json::json!({"planned": planned, "deferred": deferred}))
            }
            Task::Maintain => {
                let organisations = self.shipping.maintain().await.map_err(ShipperError::Maintain)?;
                metrics::emit(&units::Maintenance::of(organisations));
                Ok(serde_json::json!({"organisations": organisations}))
            }
        }
    }

    /// Plans one tick.
    ///
    /// # Errors
    /// Where the registry or the queue fails.
    pub async fn plan(&self) -> Result<PlanReport, ShipperError> {
        let report = self.shipping.plan().await.map_err(ShipperError::Plan)?;
        metrics::emit(&units::Plan::of(&report));
        Ok(report)
    }

    /// Ships what the messages of `event` ask for.
    pub async fn ship(&self, event: SqsEvent) -> Vec<Shipped> {
        stream::iter(event.records).map(|message| self.ship_one(message)).buffer_unordered(AT_ONCE).collect().await
    }

    async fn ship_one(&self, message: SqsMessage) -> Shipped {
        let message_id = message.message_id.unwrap_or_default();
        let order: Option<ShipOrder> = message.body.and_then(|body| serde_json::from_str(&body).ok());
        let result = match &order {
            Some(order) => self.shipping.ship(order).await,
            None => Err(ShipError::BadOrder),
        };
        metrics::emit(&units::Shipment::of(order.as_ref(), &result, self.log.take_appended()));
        Shipped { message_id, order, result }
    }
}

/// The outcome's name, as logs and reports write it; a failure's is its code.
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
