//! Planning a tick, and shipping to one destination.
//!
//! Each step is conditional on the destination's version, and the object's key and content follow from the intent alone.
//! So whatever crashes or runs twice puts the same bytes under the same key: no event is lost, none is delivered twice.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    destination::{Destination, DestinationId, Failing, Intent, Progress},
    entropy::{self, Entropy},
    event::{Entity, OwnEvent},
    log::{
        Log,
        append::AppendError,
        read::ReadLimit,
        segment::Line,
        store::{Order, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    registry::{Change, Conflict, Registry},
    time::{Clock, Timestamp},
};

use super::{
    Delivery,
    failure::{Failure, FailureCode},
    object_key,
    queue::{ShipOrder, ShipQueue},
    sink::{Existing, Object, ObjectSink, Reason, SinkError, Target},
};

/// Bounds of shipping.
#[derive(Debug, Clone, Copy)]
pub struct ShipPolicy {
    /// An object is ended with the segment that reaches so many bytes.
    pub object_bytes: usize,
    /// No further object is begun after this long; what is left waits for the next tick.
    pub time_budget: Duration,
    /// The first pause of a failing destination, about: the tick's own period.
    pub backoff_first: Duration,
    /// The longest pause of a failing destination.
    pub backoff_cap: Duration,
}

impl Default for ShipPolicy {
    fn default() -> Self {
        Self {
            object_bytes: 16 * 1024 * 1024,
            time_budget: Duration::from_secs(45),
            backoff_first: Duration::from_secs(5 * 60),
            backoff_cap: Duration::from_secs(60 * 60),
        }
    }
}

/// What a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanReport {
    /// Orders that were sent to the queue.
    pub planned: usize,
    /// Failing destinations whose pause is not over.
    pub deferred: usize,
}

/// What shipping to one destination did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipReport {
    /// How it ended.
    pub outcome: ShipOutcome,
    /// The objects that were delivered before that.
    pub deliveries: Vec<Delivery>,
}

/// How shipping to one destination ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShipOutcome {
    /// Everything there was is delivered.
    UpToDate,
    /// The time was over; the next tick goes on.
    OutOfTime,
    /// The destination was deleted or is not to be delivered to.
    Gone,
    /// Another shipper, or a change by its owner, came first: whoever it was goes on.
    Superseded,
    /// The customer's side refused; its status says why.
    Failing(FailureCode),
}

/// Our own side failed: the order should be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The order names what cannot be an organisation or destination.
    #[error("the order names no destination")]
    BadOrder,
    /// The log or the registry failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// An event of our own could not be recorded.
    #[error("an event could not be recorded")]
    Append(#[from] AppendError),
}

/// Plans ticks and ships.
#[derive(Debug)]
pub struct Shipping {
    log: Arc<Log>,
    registry: Arc<dyn Registry>,
    queue: Arc<dyn ShipQueue>,
    sink: Arc<dyn ObjectSink>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: ShipPolicy,
}

/// A step that cannot be gone beyond: shipping ends with this.
type Ended = Result<ShipOutcome, ShipError>;

impl Shipping {
    /// Ships from `log` to where `registry` says, through `sink`; plans into `queue`.
    #[must_use]
    pub fn new(
        log: Arc<Log>,
        registry: Arc<dyn Registry>,
        queue: Arc<dyn ShipQueue>,
        sink: Arc<dyn ObjectSink>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: ShipPolicy,
    ) -> Self {
        Self { log, registry, queue, sink, clock, entropy, policy }
    }

    /// Sends an order for every active destination whose pause, if it has one, is over.
    ///
    /// # Errors
    /// Where the registry or the queue fails; orders sent before that are as good as any.
    pub async fn plan(&self) -> Result<PlanReport, StoreError> {
        let now = self.clock.now();
        let active = self.registry.active_destinations().await?;
        let due = |retry_at: Option<Timestamp>| retry_at.is_none_or(|at| at <= now);
        let orders: Vec<ShipOrder> =
            active.iter().filter(|destination| due(destination.retry_at)).map(ShipOrder::from).collect();
        self.queue.send(&orders).await?;
        Ok(PlanReport { planned: orders.len(), deferred: active.len() - orders.len() })
    }

    /// Brings every organisation's anchor up to its log's tail. Gives the number of organisations.
    ///
    /// # Errors
    /// Where the store fails; what was done before that is done.
    pub async fn maintain(&self) -> Result<usize, StoreError> {
        const PAGE: usize = 100;
        const AT_ONCE: usize = 8;
        let (mut after, mut count) = (None, 0);
        loop {
            let organisations = self.registry.organisations(after.as_ref(), PAGE).await?;
            for some in organisations.chunks(AT_ONCE) {
                let tasks = some.iter().map(|organisation| self.log.maintain(&organisation.id));
                for result in futures_util::future::join_all(tasks).await {
                    result?;
                }
            }
            count += organisations.len();
            match organisations.last() {
                Some(last) if organisations.len() == PAGE => after = Some(last.id.clone()),
                _ => return Ok(count),
            }
        }
    }

    /// Delivers what is new to one destination, object by object.
    ///
    /// # Errors
    /// Where our own side fails: the order is to be tried again. What the customer's side refuses is no error, but the
    /// destination's status.
    pub async fn ship(&self, order: &ShipOrder) -> Result<ShipReport, ShipError> {
        let organisation: OrganisationId = order.organisation.parse().map_err(|_| ShipError::BadOrder)?;
        let id: DestinationId = order.destination.parse().map_err(|_| ShipError::BadOrder)?;
        let report = |outcome, deliveries| Ok(ShipReport { outcome, deliveries });
        if !order.pending && !self.log.reaches(&organisation, order.next_sequence).await? {
            return report(ShipOutcome::UpToDate, Vec::new());
        }
        let Some(destination) = self.registry.destination(&organisation, &id).await? else {
            return report(ShipOutcome::Gone, Vec::new());
        };
        let Some(organisation) = self.registry.organisation(&organisation).await? else {
            return report(ShipOutcome::Gone, Vec::new());
        };
        let mut voyage = Voyage { shipping: self, organisation, destination, deliveries: Vec::new() };
        let outcome = voyage.run().await?;
        report(outcome, voyage.deliveries)
    }
}

/// Shipping to one destination, from where it stands.
struct Voyage<'a> {
    shipping: &'a Shipping,
    organisation: Organisation,
    destination: Destination,
    deliveries: Vec<Delivery>,
}

impl Voyage<'_> {
    async fn run(&mut self) -> Ended {
        let deadline = self.shipping.clock.now().plus(self.shipping.policy.time_budget);
        loop {
            let (intent, lines) = match self.destination.intent.clone() {
                Some(intent) => {
                    let lines = self.read(intent.first..=intent.last, usize::MAX).await?;
                    (intent, lines)
                }
                None if self.shipping.clock.now() >= deadline => return Ok(ShipOutcome::OutOfTime),
                None => match self.begin().await? {
                    Ok(begun) => begun,
                    Err(outcome) => return Ok(outcome),
                },
            };
            if let Err(outcome) = self.record_what_expired(&intent, &lines).await? {
                return Ok(outcome);
            }
            if let Err(outcome) = self.deliver(&intent, &lines).await? {
                return Ok(outcome);
            }
        }
    }

    async fn read(&self, range: RangeInclusive<u64>, bytes: usize) -> Result<Vec<Line>, StoreError> {
        // Events are read in stretches of this many sequences; a store's page ends earlier.
        let limit = ReadLimit { events: 1_000_000, bytes };
        let run = self.shipping.log.read(&self.organisation.id, range, None, Order::Ascending, limit).await?;
        Ok(run.lines)
    }

    /// Reads what comes next and writes the intent to deliver it.
    async fn begin(&mut self) -> Result<Result<(Intent, Vec<Line>), ShipOutcome>, ShipError> {
        let start = self.destination.next_sequence;
        let mut lines = self.read(start..=u64::MAX, self.shipping.policy.object_bytes).await?;
        let Some(first) = lines.first().map(Line::sequence) else { return Ok(Err(ShipOutcome::UpToDate)) };
        if first > start {
            let mut destination = self.next_version();
            destination.next_sequence = first;
            if let Err(outcome) = self.record_lost(&[start..=first - 1], destination).await? {
                return Ok(Err(outcome));
            }
        }
        // An object's events follow one another; behind a hole another one begins.
        let dense = lines.windows(2).position(|pair| pair[1].sequence() != pair[0].sequence() + 1);
        lines.truncate(dense.map_or(lines.len(), |index| index + 1));
        let last = lines.last().map_or(first, Line::sequence);
        let key = object_key(&self.destination, self.shipping.clock.now(), first, last);
        let intent = Intent { first, last, key, expiry_recorded: false };
        let mut destination = self.next_version();
        destination.intent = Some(intent.clone());
        match self.save(destination, None).await? {
            true => Ok(Ok((intent, lines))),
            false => Ok(Err(ShipOutcome::Superseded)),
        }
    }

    /// Records which events of the intent are not there any more. Perhaps an earlier try delivered them: only
    /// `s3:PutObject` is asked for, so nobody can look.
    async fn record_what_expired(
        &mut self,
        intent: &Intent,
        lines: &[Line],
    ) -> Result<Result<(), ShipOutcome>, ShipError> {
        let mut lost = Vec::new();
        let mut expected = intent.first;
        for sequence in lines.iter().map(Line::sequence).chain([intent.last + 1]) {
            if sequence > expected {
                lost.push(expected..=sequence - 1);
            }
            expected = sequence + 1;
        }
        if lost.is_empty() || intent.expiry_recorded {
            return Ok(Ok(()));
        }
        let mut destination = self.next_version();
        destination.intent = Some(Intent { expiry_recorded: true, ..intent.clone() });
        self.record_lost(&lost, destination).await
    }

    /// Puts the intent's object and commits it.
    async fn deliver(&mut self, intent: &Intent, lines: &[Line]) -> Result<Result<(), ShipOutcome>, ShipError> {
        let mut content = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
        for line in lines {
            content.extend([line.text.as_str(), "\n"]);
        }
        let delivery = Delivery {
            organisation: self.organisation.id.clone(),
            destination: self.destination.id.clone(),
            first: intent.first,
            last: intent.last,
            key: intent.key.clone(),
            events: lines.len() as u64,
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(content.as_bytes())),
            delivered_at: self.shipping.clock.now(),
        };
        if !lines.is_empty() {
            let object = Object {
                key: intent.key.clone(),
                content_type: "application/x-ndjson",
                content: content.into_bytes(),
                existing: Existing::Keep,
            };
            // Stored before or now: either way the object is there.
            if let Err(error) = self.put(object).await? {
                return self.fail(&error).await.map(Err);
            }
        }
        let now = self.shipping.clock.now();
        let mut destination = self.next_version();
        destination.next_sequence = intent.last + 1;
        destination.intent = None;
        destination.progress = Progress { last_success: Some(now), failing: None };
        let delivery = Delivery { delivered_at: now, ..delivery };
        if !self.save(destination, Some(&delivery)).await? {
            return Ok(Err(ShipOutcome::Superseded));
        }
        self.deliveries.push(delivery);
        Ok(Ok(()))
    }

    /// Puts an object; learns the bucket's region from a refusal that names it.
    async fn put(&mut self, object: Object) -> Result<Result<(), SinkError>, ShipError> {
        let target = Target::of(&self.organisation, &self.destination);
        let error = match self.shipping.sink.put(&target, object.clone()).await {
            Ok(_) => return Ok(Ok(())),
            Err(error) => error,
        };
        let Some(region) = learnt_region(&error, &target) else { return Ok(Err(error)) };
        let mut destination = self.next_version();
        destination.region = Some(region);
        if !self.save(destination, None).await? {
            return Ok(Err(error));
        }
        let target = Target::of(&self.organisation, &self.destination);
        Ok(self.shipping.sink.put(&target, object).await.map(drop))
    }

    /// Notes in the status why it failed, and when to try again.
    async fn fail(&mut self, error: &SinkError) -> Ended {
        let shipping = self.shipping;
        let now = shipping.clock.now();
        let failure = Failure::explain(error, &Target::of(&self.organisation, &self.destination));
        let code = failure.code;
        let before = self.destination.progress.failing.as_ref();
        let attempts = before.map_or(0, |failing| failing.attempts) + 1;
        let longest = shipping.policy.backoff_first.saturating_mul(1 << (attempts - 1).min(16));
        let half = longest.min(shipping.policy.backoff_cap) / 2;
        let retry_at = now.plus(half + entropy::jitter(&*shipping.entropy, half));
        let since = before.map_or(now, |failing| failing.since);
        let mut destination = self.next_version();
        destination.progress.failing = Some(Failing { failure, since, attempts, retry_at });
        Ok(if self.save(destination, None).await? { ShipOutcome::Failing(code) } else { ShipOutcome::Superseded })
    }

    /// Records that events expired undelivered, and with it the destination as it is from now on.
    async fn record_lost(
        &mut self,
        lost: &[RangeInclusive<u64>],
        destination: Destination,
    ) -> Result<Result<(), ShipOutcome>, ShipError> {
        let ranges: Vec<_> =
            lost.iter().map(|range| json!({"firstSequence": range.start(), "lastSequence": range.end()})).collect();
        let event = OwnEvent {
            action: "EXPIRE",
            kind: "destination.gap",
            entity: destination.entity(),
            principal: Entity { id: "annals".into(), name: "Annals".into(), entity_type: "SYSTEM" },
            before: None,
            after: None,
            client_type: "SYSTEM",
            context: None,
            payload: Some(json!({"reason": "expired before their delivery was confirmed", "lost": ranges})),
        };
        let change = Change::UpdateDestination(Box::new(destination.clone()));
        match self.shipping.log.append_change(&self.organisation, event.body(), change).await {
            Ok(_) => {
                self.destination = destination;
                Ok(Ok(()))
            }
            Err(AppendError::Conflict(Conflict::Missing)) => Ok(Err(ShipOutcome::Gone)),
            Err(AppendError::Conflict(_)) => Ok(Err(ShipOutcome::Superseded)),
            Err(error) => Err(error.into()),
        }
    }

    fn next_version(&self) -> Destination {
        Destination { version: self.destination.version + 1, ..self.destination.clone() }
    }

    async fn save(&mut self, destination: Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let saved = self.shipping.registry.save_progress(&destination, delivery).await?;
        if saved {
            self.destination = destination;
        }
        Ok(saved)
    }
}

/// The bucket's region, where the refusal names one that was not tried and that the role can reach.
pub(super) fn learnt_region(error: &SinkError, target: &Target) -> Option<crate::destination::Region> {
    let Reason::Answered { bucket_region: Some(name), .. } = &error.reason else { return None };
    let region: crate::destination::Region = name.parse().ok()?;
    (target.region.as_ref() != Some(&region) && region.partition() == target.role_arn.partition()).then_some(region)
}
