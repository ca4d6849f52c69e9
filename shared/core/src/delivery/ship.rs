//! Planning a tick, and shipping to one destination.
//!
//! Each step is conditional on the destination's version, and the object's key and content follow from the intent alone.
//! So whatever crashes or runs twice puts the same bytes under the same key: no event is lost, none is delivered twice.

use std::{
    ops::{ControlFlow, RangeInclusive},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    change::{Change, Conflict},
    destination::{Compression, Destination, DestinationId, Failing, Intent, Lost, Progress, Replay},
    entropy::{self, Entropy},
    event::{OwnEvent, Principal},
    log::{
        Log,
        append::AppendError,
        read::ReadLimit,
        store::{Consistency, Order, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    registry::{ActiveDestination, Registry},
    time::{Clock, Timestamp},
};

use super::{
    Content, Delivery,
    failure::{Failure, FailureCode, RemediedBy},
    load::{Holes, Load, Loading},
    object_key,
    queue::{ShipOrder, ShipQueue},
    sink::{Existing, Object, ObjectSink, Reason, SinkError, Stored, Target},
};

/// How many organisations or destinations are maintained at the same time.
const MAINTAINED_AT_ONCE: usize = 8;
/// Of how many destinations the lag is looked at at the same time.
const MEASURED_AT_ONCE: usize = 32;

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
    /// The longest that an event waits, at its worst of all destinations whose side is in order, in seconds; where it was
    /// looked at, because orders of earlier plans were not done yet.
    pub lag_seconds: Option<u64>,
}

/// What shipping to one destination did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipReport {
    /// How it ended.
    pub outcome: ShipOutcome,
    /// The objects that were delivered before that.
    pub deliveries: Vec<Delivery>,
    /// How long the oldest event that is still to be delivered waits, in seconds; 0 where everything is delivered. `None`
    /// where it waits for the customer's side, somebody else has taken over, or nothing more was seen.
    pub lag_seconds: Option<u64>,
}

/// How shipping to one destination ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShipOutcome {
    /// Everything there was is delivered.
    UpToDate,
    /// The time was over; the next tick goes on.
    OutOfTime,
    /// The destination was deleted, or paused, or the plan does not include it any more.
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
        // A pause beyond the longest was set by a clock that was ahead.
        let latest = now.plus(self.policy.backoff_cap);
        let due = |retry_at: Option<Timestamp>| retry_at.is_none_or(|at| at <= now || at > latest);
        let mut planned: Vec<&ActiveDestination> =
            active.iter().filter(|destination| due(destination.retry_at)).collect();
        // Those that hung or refused last time wait behind the others.
        planned.sort_by_key(|destination| destination.retry_at.is_some());
        let orders: Vec<ShipOrder> = planned.into_iter().map(ShipOrder::from).collect();
        // Who ships tells the lag of what it ships. Only where it is behind, or nothing is taken from the queue at all, is
        // it worth a read of every log; where the queue does not tell, too.
        let is_busy = self.queue.is_busy().await.unwrap_or(true);
        self.queue.send(&orders).await?;
        let lag_seconds = if is_busy { self.worst_lag(&active).await } else { None };
        Ok(PlanReport { planned: orders.len(), deferred: active.len() - orders.len(), lag_seconds })
    }

    /// How long events wait for destinations whose side is in order, at its worst. A log that cannot be read is left out:
    /// a plan does not fail for it.
    async fn worst_lag(&self, active: &[ActiveDestination]) -> Option<u64> {
        let mut worst = None;
        let in_order: Vec<_> = active.iter().filter(|one| !one.failure.is_some_and(is_theirs)).collect();
        for some in in_order.chunks(MEASURED_AT_ONCE) {
            let waits = some.iter().map(|one| self.lag(&one.organisation, one.next_sequence, one.lag_from));
            worst = futures_util::future::join_all(waits).await.into_iter().flatten().chain(worst).max();
        }
        worst
    }

    /// How long the event at `next_sequence` has been waiting, in seconds, where there is one and the log can be read.
    async fn lag(&self, organisation: &OrganisationId, next_sequence: u64, from: Option<Timestamp>) -> Option<u64> {
        let since = self.log.waiting_since(organisation, next_sequence).await.ok()??;
        Some(self.clock.now().since(from.map_or(since, |from| from.max(since))).as_secs())
    }

    /// What is done once a day: brings every organisation's anchor up to its log's tail, and orders what no plan leads to,
    /// because nothing is there to be delivered: that everything a destination waits for has expired. Gives the number of
    /// organisations.
    ///
    /// # Errors
    /// Where the store or the queue fails, be it for one organisation; what can be done is done.
    pub async fn maintain(&self) -> Result<usize, StoreError> {
        let advanced = self.advance_anchors().await;
        self.order_what_expired().await?;
        advanced
    }

    async fn advance_anchors(&self) -> Result<usize, StoreError> {
        const PAGE: usize = 100;
        let (mut after, mut count, mut failure) = (None, 0, None);
        loop {
            let organisations = self.registry.organisations(after.as_ref(), PAGE).await?;
            for some in organisations.chunks(MAINTAINED_AT_ONCE) {
                let tasks = some.iter().map(|organisation| self.log.maintain(&organisation.id));
                for result in futures_util::future::join_all(tasks).await {
                    // The others are maintained all the same.
                    failure = result.err().or(failure);
                }
            }
            count += organisations.len();
            match organisations.last() {
                Some(last) if organisations.len() == PAGE => after = Some(last.id.clone()),
                _ => return failure.map_or(Ok(count), Err),
            }
        }
    }

    async fn order_what_expired(&self) -> Result<(), StoreError> {
        for some in self.registry.active_destinations().await?.chunks(MAINTAINED_AT_ONCE) {
            let tasks = some.iter().map(async |destination| {
                let ActiveDestination { organisation, next_sequence, .. } = destination;
                let expired = !self.log.reaches(organisation, *next_sequence).await?
                    && self.log.tail(organisation).await?.last >= *next_sequence;
                Ok::<_, StoreError>(expired.then(|| ShipOrder { pending: true, ..ShipOrder::from(destination) }))
            });
            let orders = futures_util::future::try_join_all(tasks).await?;
            self.queue.send(&orders.into_iter().flatten().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Delivers what is new to one destination, object by object.
    ///
    /// # Errors
    /// Where our own side fails: the order is to be tried again. What the customer's side refuses is no error, but the
    /// destination's status.
    pub async fn ship(&self, order: &ShipOrder) -> Result<ShipReport, ShipError> {
        let organisation: OrganisationId = order.organisation.parse().map_err(|_| ShipError::BadOrder)?;
        let id: DestinationId = order.destination.parse().map_err(|_| ShipError::BadOrder)?;
        let report = |outcome| {
            let lag_seconds = (outcome == ShipOutcome::UpToDate).then_some(0);
            Ok(ShipReport { outcome, deliveries: Vec::new(), lag_seconds })
        };
        if !order.pending && !self.log.reaches(&organisation, order.next_sequence).await? {
            return report(ShipOutcome::UpToDate);
        }
        let Some(destination) = self.registry.destination(&organisation, &id).await? else {
            return report(ShipOutcome::Gone);
        };
        let Some(organisation) = self.registry.organisation(&organisation, Consistency::Eventual).await? else {
            return report(ShipOutcome::Gone);
        };
        let lag_from = match &destination.progress {
            Progress { failing: Some(failing), .. } if is_theirs(failing.failure.code) => Some(self.clock.now()),
            progress => progress.lag_from,
        };
        let mut run =
            DestinationRun { shipping: self, organisation, destination, tail: None, deliveries: Vec::new(), lag_from };
        let outcome = run.run().await?;
        let DestinationRun { organisation, destination, deliveries, lag_from, .. } = run;
        let lag_seconds = match outcome {
            ShipOutcome::UpToDate => Some(0),
            ShipOutcome::Failing(code) if is_theirs(code) => None,
            ShipOutcome::Failing(_) | ShipOutcome::OutOfTime => {
                self.lag(&organisation.id, destination.next_sequence, lag_from).await
            }
            ShipOutcome::Gone | ShipOutcome::Superseded => None,
        };
        Ok(ShipReport { outcome, deliveries, lag_seconds })
    }
}

/// Shipping to one destination, from where it stands.
struct DestinationRun<'a> {
    shipping: &'a Shipping,
    organisation: Organisation,
    destination: Destination,
    /// The last sequence of the log, where it was looked at.
    tail: Option<u64>,
    deliveries: Vec<Delivery>,
    /// From when on lag counts.
    lag_from: Option<Timestamp>,
}

/// An object that was begun: its intent is stored.
struct Begun {
    lane: Lane,
    intent: Intent,
    load: Load,
}

/// What an object belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// What is new, in order.
    New,
    /// What is delivered once more.
    Replay,
}

impl DestinationRun<'_> {
    async fn run(&mut self) -> Ended {
        let deadline = self.shipping.clock.now().plus(self.shipping.policy.time_budget);
        if self.organisation.plan.destinations() == 0 || !self.destination.is_active() {
            return Ok(ShipOutcome::Gone);
        }
        loop {
            let begun = match self.resume_or_begin(deadline).await? {
                Ok(begun) => begun,
                Err(outcome) => return Ok(outcome),
            };
            if begun.lane == Lane::New
                && let Err(outcome) = self.record_what_expired(&begun).await?
            {
                return Ok(outcome);
            }
            if let Err(outcome) = self.deliver(begun).await? {
                return Ok(outcome);
            }
        }
    }

    /// The object that was begun and not finished, or the next one: of what is new, then of a replay.
    async fn resume_or_begin(&mut self, deadline: Timestamp) -> Result<Result<Begun, ShipOutcome>, ShipError> {
        let replay = self.destination.replay.clone();
        let unfinished = match (&self.destination.intent, replay.as_ref().and_then(|replay| replay.intent.as_ref())) {
            (Some(intent), _) => Some((Lane::New, intent.clone())),
            (None, Some(intent)) => Some((Lane::Replay, intent.clone())),
            (None, None) => None,
        };
        if let Some((lane, intent)) = unfinished {
            let load = self.load(intent.first..=intent.last, Holes::Passed, intent.compression, usize::MAX).await?;
            return Ok(Ok(Begun { lane, intent, load }));
        }
        if self.shipping.clock.now() >= deadline {
            return Ok(Err(ShipOutcome::OutOfTime));
        }
        match self.begin().await? {
            Err(ShipOutcome::UpToDate) => match replay {
                Some(replay) => self.begin_replay(replay).await,
                None => Ok(Err(ShipOutcome::UpToDate)),
            },
            other => Ok(other),
        }
    }

    /// Reads events into the content of an object, segment by segment, so that memory holds little beside the object.
    async fn load(
        &self,
        range: RangeInclusive<u64>,
        holes: Holes,
        compression: Compression,
        max_bytes: usize,
    ) -> Result<Load, StoreError> {
        // Events are read in stretches of this many sequences; a store's page ends earlier.
        let limit = ReadLimit { events: 1_000_000, bytes: max_bytes };
        let log = &self.shipping.log;
        let id = &self.organisation.id;
        // What is new begins with a segment; a replay may begin anywhere.
        let within = match self.destination.replay {
            Some(_) => log.segment_of(id, *range.start()).await?,
            None => None,
        };
        let mut loading = Loading::new(compression, holes);
        let take = |line| {
            loading.take(&line);
            ControlFlow::Continue(())
        };
        log.each(id, range, within, Order::Ascending, limit, take).await?;
        Ok(loading.finish())
    }

    /// Reads what comes next and writes the intent to deliver it.
    async fn begin(&mut self) -> Result<Result<Begun, ShipOutcome>, ShipError> {
        let start = self.destination.next_sequence;
        let policy = &self.shipping.policy;
        let compression = self.destination.settings.compression;
        let mut load = self.load(start..=u64::MAX, Holes::End, compression, policy.object_bytes).await?;
        if load.first().is_none() {
            // Whether nothing new was recorded or all of it has expired, the tail tells. A read up to it misses nothing.
            let tail = self.tail().await?;
            if tail < start {
                return Ok(Err(ShipOutcome::UpToDate));
            }
            load = self.load(start..=tail, Holes::End, compression, policy.object_bytes).await?;
        }
        let expired = start..match load.first() {
            Some(first) => first,
            None => self.tail().await? + 1,
        };
        if !expired.is_empty() {
            let mut destination = self.next_version();
            destination.next_sequence = expired.end;
            if let Err(outcome) = self.record_lost(&[expired.start..=expired.end - 1], destination).await? {
                return Ok(Err(outcome));
            }
        }
        let Some((first, last)) = load.first().zip(load.last()) else { return Ok(Err(ShipOutcome::UpToDate)) };
        let intent = self.intent(None, self.shipping.clock.now(), first, last);
        let mut destination = self.next_version();
        destination.intent = Some(intent.clone());
        self.save_begun(destination, Begun { lane: Lane::New, intent, load }).await
    }

    /// Reads the next events of a replay and writes the intent to deliver them; ends the replay where none is left.
    async fn begin_replay(&mut self, replay: Replay) -> Result<Result<Begun, ShipOutcome>, ShipError> {
        let policy = &self.shipping.policy;
        let compression = self.destination.settings.compression;
        let load = self.load(replay.next..=replay.last, Holes::End, compression, policy.object_bytes).await?;
        let mut destination = self.next_version();
        let Some((first, last)) = load.first().zip(load.last()) else {
            destination.replay = None;
            let saved = self.save(destination, None).await?;
            return Ok(Err(if saved { ShipOutcome::UpToDate } else { ShipOutcome::Superseded }));
        };
        let intent = self.intent(Some(&replay), replay.started_at, first, last);
        destination.replay = Some(Replay { intent: Some(intent.clone()), ..replay });
        self.save_begun(destination, Begun { lane: Lane::Replay, intent, load }).await
    }

    /// The last sequence of the log, as it was at the last delivery or is now.
    async fn tail(&mut self) -> Result<u64, StoreError> {
        if let Some(tail) = self.tail {
            return Ok(tail);
        }
        let tail = self.shipping.log.tail(&self.organisation.id).await?.last;
        Ok(*self.tail.insert(tail))
    }

    /// The intent to deliver the events `first` to `last`.
    fn intent(&self, replay: Option<&Replay>, at: Timestamp, first: u64, last: u64) -> Intent {
        Intent {
            first,
            last,
            key: object_key(&self.destination, replay, at, first, last),
            prefix: self.destination.settings.prefix.clone(),
            compression: self.destination.settings.compression,
            expired: Vec::new(),
        }
    }

    async fn save_begun(
        &mut self,
        destination: Destination,
        begun: Begun,
    ) -> Result<Result<Begun, ShipOutcome>, ShipError> {
        Ok(if self.save(destination, None).await? { Ok(begun) } else { Err(ShipOutcome::Superseded) })
    }

    /// Records which events of the intent are not there any more. Perhaps an earlier try delivered them: only
    /// `s3:PutObject` is asked for, so nobody can look.
    async fn record_what_expired(&mut self, begun: &Begun) -> Result<Result<(), ShipOutcome>, ShipError> {
        let intent = &begun.intent;
        let there = begun.load.stretches.iter();
        let accounted: Vec<_> = intent.expired.iter().chain(there).cloned().collect();
        let lost = without(intent.first..=intent.last, accounted);
        if lost.is_empty() {
            return Ok(Ok(()));
        }
        let expired = intent.expired.iter().chain(&lost).cloned().collect();
        let mut destination = self.next_version();
        destination.intent = Some(Intent { expired, ..intent.clone() });
        self.record_lost(&lost, destination).await
    }

    /// Puts the object that was begun and commits it.
    async fn deliver(&mut self, begun: Begun) -> Result<Result<(), ShipOutcome>, ShipError> {
        let Begun { lane, intent, load } = begun;
        let Some(oldest) = load.oldest else {
            // Nothing is left to put: go on behind it, and leave the status as it is.
            let mut destination = self.next_version();
            pass(&mut destination, lane, intent.last);
            return Ok(if self.save(destination, None).await? { Ok(()) } else { Err(ShipOutcome::Superseded) });
        };
        let content = Content {
            events: load.events(),
            bytes: load.content.len() as u64,
            sha256: hex::encode(Sha256::digest(&load.content)),
        };
        let complete = load.stretches == [intent.first..=intent.last];
        let content_type = match intent.compression {
            Compression::None => "application/x-ndjson",
            Compression::Gzip => "application/gzip",
        };
        let object = Object { key: intent.key.clone(), content_type, content: load.content, existing: Existing::Keep };
        let stored = match self.put(object, &intent).await? {
            Ok(stored) => stored,
            Err(error) => return self.record_failure(&error).await.map(Err),
        };
        let now = self.shipping.clock.now();
        let tail = self.shipping.log.tail(&self.organisation.id).await?.last;
        self.tail = Some(tail);
        let mut destination = self.next_version();
        let replay = destination.replay.as_ref().filter(|_| lane == Lane::Replay).map(|replay| replay.id.clone());
        pass(&mut destination, lane, intent.last);
        destination.progress = Progress { last_success: Some(now), failing: None, ..destination.progress };
        // A backlog that was not ours ends with the first object of events that all came after the object before. Up to
        // there it is worked off as fast as it can be, and only a standstill counts.
        if lane == Lane::New && self.lag_from.is_some_and(|from| oldest < from) {
            self.lag_from = Some(now);
            destination.progress.lag_from = self.lag_from;
        }
        let delivery = Delivery {
            organisation: self.organisation.id.clone(),
            destination: self.destination.id.clone(),
            first: intent.first,
            last: intent.last,
            key: intent.key,
            replay,
            // As long as nothing has expired, every try puts the same bytes.
            content: (stored == Stored::Now || complete).then_some(content),
            lag_seconds: now.since(oldest).as_secs(),
            lag_events: (tail + 1).saturating_sub(destination.next_sequence),
            delivered_at: now,
        };
        if !self.save(destination, Some(&delivery)).await? {
            return Ok(Err(ShipOutcome::Superseded));
        }
        self.deliveries.push(delivery);
        Ok(Ok(()))
    }

    /// Where an intent's object goes: the prefix is the one that was in force when it was begun.
    fn target(&self, intent: &Intent) -> Target {
        Target { prefix: intent.prefix.clone(), ..Target::of(&self.organisation, &self.destination) }
    }

    /// Puts an object; learns the bucket's region from a refusal that names it.
    async fn put(&mut self, object: Object, intent: &Intent) -> Result<Result<Stored, SinkError>, ShipError> {
        let error = match self.shipping.sink.put(&self.target(intent), object.clone()).await {
            Ok(stored) => return Ok(Ok(stored)),
            Err(error) => error,
        };
        let Some(region) = learnt_region(&error, &self.target(intent)) else { return Ok(Err(error)) };
        let mut destination = self.next_version();
        destination.settings.region = Some(region);
        if !self.save(destination, None).await? {
            return Ok(Err(error));
        }
        Ok(self.shipping.sink.put(&self.target(intent), object).await)
    }

    /// Notes in the status why it failed, and when to try again.
    async fn record_failure(&mut self, error: &SinkError) -> Ended {
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
        if is_theirs(code) {
            destination.progress.lag_from = Some(now);
        }
        Ok(if self.save(destination, None).await? { ShipOutcome::Failing(code) } else { ShipOutcome::Superseded })
    }

    /// Records that events expired undelivered, in the log and in the status, and with it the destination as it is from
    /// now on.
    async fn record_lost(
        &mut self,
        lost: &[RangeInclusive<u64>],
        mut destination: Destination,
    ) -> Result<Result<(), ShipOutcome>, ShipError> {
        if let Some(last) = lost.last() {
            let before = destination.progress.lost.as_ref().map_or(0, |lost| lost.events);
            let events = before + lost.iter().map(length).sum::<u64>();
            destination.progress.lost =
                Some(Lost { events, last: last.clone(), noticed_at: self.shipping.clock.now() });
        }
        let ranges: Vec<_> =
            lost.iter().map(|range| json!({"firstSequence": range.start(), "lastSequence": range.end()})).collect();
        let event = OwnEvent {
            action: "EXPIRE",
            kind: "destination.gap",
            entity: destination.entity(),
            principal: Principal::machine("annals", "Annals", "SYSTEM"),
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

/// Whether delivery waits for the customer, or for AWS to mend itself: nothing that whoever runs Annals could do.
fn is_theirs(code: FailureCode) -> bool {
    code.remedied_by() != RemediedBy::Operator
}

/// The destination goes on behind the event `last`.
fn pass(destination: &mut Destination, lane: Lane, last: u64) {
    match lane {
        Lane::New => {
            destination.next_sequence = last + 1;
            destination.intent = None;
        }
        Lane::Replay => {
            let replay = destination.replay.take();
            destination.replay = replay
                .map(|replay| Replay { next: last + 1, intent: None, ..replay })
                .filter(|replay| replay.next <= replay.last);
        }
    }
}

/// How many numbers a range has.
fn length(range: &RangeInclusive<u64>) -> u64 {
    range.end() - range.start() + 1
}

/// What is left of `range` without `parts`, in order.
fn without(range: RangeInclusive<u64>, mut parts: Vec<RangeInclusive<u64>>) -> Vec<RangeInclusive<u64>> {
    parts.sort_by_key(|part| *part.start());
    let (mut next, last) = range.into_inner();
    let mut left = Vec::new();
    for part in parts {
        if next < *part.start() {
            left.push(next..=part.start() - 1);
        }
        next = next.max(part.end() + 1);
    }
    if next <= last {
        left.push(next..=last);
    }
    left
}

/// The bucket's region, where the refusal names one that was not tried and that the role can reach.
pub(super) fn learnt_region(error: &SinkError, target: &Target) -> Option<crate::destination::Region> {
    let Reason::Answered { bucket_region: Some(name), .. } = &error.reason else { return None };
    let region: crate::destination::Region = name.parse().ok()?;
    (target.region.as_ref() != Some(&region) && region.partition() == target.role_arn.partition()).then_some(region)
}
