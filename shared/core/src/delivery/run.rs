//! One run of deliveries to one destination: it begins or resumes objects, one after the other, until it must stop.

use std::{convert::Infallible, ops::RangeInclusive, time::Duration};

use futures_util::future::join;
use serde_json::json;

use crate::{
    change::{Change, Conflict},
    destination::{
        Compression, Content, Delivery, Destination, Failing, Intent, KeyLayout, Lost, Progress, Replay,
        failure::{Contradiction, Failure, Withheld},
        proof::{RoleCheck, check_role},
        sink::{Call, Existing, Object, ObjectContent, Reason, SinkError, Stored, Target},
    },
    entropy,
    event::{OwnEvent, Principal},
    log::{
        append::AppendError,
        read::{ReadLimit, SegmentEnd},
        segment::{LineHash, Tail},
        store::{Order, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
    usage::DeliveryCounts,
};

use super::{
    KeySuffix, claims,
    load::{Form, Holes, Load, Loading},
    object_key,
    ship::{ShipError, ShipOutcome, ShipPolicy, Shipping, Signed, is_outside_annals},
};

/// The most keys that one run tries for an object. A second one is needed only if somebody has put an object under the
/// first, and a third one if they saw the second before we used it.
const MAX_KEYS: u32 = 4;

/// What S3 answers to a conditional put if an object with the key exists ("Error responses", Amazon S3 API Reference).
const PRECONDITION_FAILED: &str = "At least one of the preconditions that you specified did not hold.";

pub(super) struct DestinationRun<'a> {
    pub(super) shipping: &'a Shipping,
    pub(super) organisation: Organisation,
    pub(super) destination: Destination,
    /// The tail of the log, if it was read.
    tail: Option<Tail>,
    pub(super) deliveries: Vec<Delivery>,
    /// The time from which lag counts.
    pub(super) lag_from: Option<Timestamp>,
    /// What became of the checkpoint that was due.
    pub(super) checkpoint: Option<Signed>,
    /// The events that follow the object which is being put, read meanwhile.
    ahead: Option<Ahead>,
    /// Whether an object of this run reached the end of the log. What is recorded later waits for the next tick: otherwise
    /// a busy log would become a stream of small objects.
    reached_end: bool,
    /// Whether this run has recorded an event since it read the object that it is about to put.
    has_recorded: bool,
}

/// Events that were read ahead.
struct Ahead {
    /// The sequence where they begin.
    start: u64,
    form: Form,
    load: Load,
}

/// Why a run stops.
pub(super) enum Stop {
    Ended(ShipOutcome),
    Failed(ShipError),
}

impl From<ShipOutcome> for Stop {
    fn from(outcome: ShipOutcome) -> Self {
        Self::Ended(outcome)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<AppendError> for Stop {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict(Conflict::Missing) => Self::Ended(ShipOutcome::Gone),
            AppendError::Conflict(_) => Self::Ended(ShipOutcome::Superseded),
            error => Self::Failed(error.into()),
        }
    }
}

/// An object whose intent is stored.
struct Begun {
    lane: Lane,
    intent: Intent,
    origin: Origin,
    load: Load,
}

/// Where an intent comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This run stored it.
    ThisRun,
    /// An earlier run, or one at the same time, stored it.
    EarlierRun,
}

/// What is known of the puts of an intent's key before the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EarlierPuts {
    /// None was sent, or all were refused. An object under the key is somebody else's.
    WroteNothing,
    /// One may have written the object, so the key stays. Otherwise the events could be delivered twice.
    Unclear,
}

/// What an object belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// The regular delivery of new events.
    New,
    Replay,
}

impl<'a> DestinationRun<'a> {
    pub(super) fn new(
        shipping: &'a Shipping,
        organisation: Organisation,
        destination: Destination,
        lag_from: Option<Timestamp>,
    ) -> Self {
        let (tail, deliveries, checkpoint, ahead) = (None, Vec::new(), None, None);
        let (reached_end, has_recorded) = (false, false);
        Self {
            shipping,
            organisation,
            destination,
            tail,
            deliveries,
            lag_from,
            checkpoint,
            ahead,
            reached_end,
            has_recorded,
        }
    }

    pub(super) async fn run(&mut self) -> Result<ShipOutcome, ShipError> {
        let Err(stop) = self.deliver_until_stopped().await;
        let outcome = match stop {
            Stop::Ended(outcome) => outcome,
            Stop::Failed(error) => return Err(error),
        };
        // A bucket that refuses events refuses a checkpoint, too.
        if !matches!(outcome, ShipOutcome::UpToDate | ShipOutcome::OutOfTime) {
            return Ok(outcome);
        }
        match self.finish().await {
            Ok(()) => Ok(outcome),
            Err(Stop::Ended(outcome)) => Ok(outcome),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Does what must not delay the events.
    async fn finish(&mut self) -> Result<(), Stop> {
        self.sign_deliveries().await?;
        self.examine_change().await?;
        self.take_over().await?;
        Ok(())
    }

    async fn deliver_until_stopped(&mut self) -> Result<Infallible, Stop> {
        let deadline = self.shipping.clock.now().plus(self.shipping.policy.time_budget);
        if self.organisation.plan.destinations() == 0 || !self.destination.is_active() {
            return Err(ShipOutcome::Gone.into());
        }
        // While the place in force works, another one is examined when the events are delivered: it may keep us waiting.
        if self.destination.progress.failing.is_some() || self.destination.proof.proven.is_none() {
            self.examine_change().await?;
        }
        self.take_over().await?;
        self.prove().await?;
        loop {
            let mut begun = self.resume_or_begin(deadline).await?;
            if begun.lane == Lane::New {
                self.record_expired(&mut begun).await?;
            }
            match self.deliver(begun, deadline).await {
                Ok(()) => drop(self.take_over().await?),
                // The place that refused it may be one that is about to be left.
                Err(Stop::Ended(ShipOutcome::Failing(_))) if self.take_over().await? => {}
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Stops the run if the role is not proven to be meant for this organisation, or if another organisation's destination has
    /// claimed the bucket or the role.
    async fn prove(&mut self) -> Result<(), Stop> {
        let Shipping { registry, sink, entropy, clock, policy, .. } = self.shipping;
        let now = clock.now();
        if self.destination.proof.is_check_due(now) {
            let target = Target::of(&self.organisation, &self.destination);
            let check = check_role(&**sink, &**entropy, &target).await;
            let mut destination = self.next_version();
            destination.proof = destination.proof.after(&check, policy.roles, now);
            let failure = match &check {
                _ if destination.proof.proven.is_some() => None,
                RoleCheck::NotAssumable(error) | RoleCheck::Unknown(error) => Some(Failure::explain(error, &target)),
                RoleCheck::AcceptsAnyExternalId | RoleCheck::RequiresExternalId => {
                    Some(Failure::withheld(Withheld::of(&destination.proof, policy.roles), &target))
                }
            };
            if let Some(failure) = failure {
                return Err(self.save_failure(destination, failure).await);
            }
            if destination.progress.failing.as_ref().is_some_and(|failing| failing.failure.code.is_of_proof()) {
                destination.progress.failing = None;
            }
            self.save(destination, None).await?;
        }
        if !self.destination.proof.claimed
            && let Some(taken) = claims::rival(&**registry, &self.destination, now).await?
        {
            let failure = Failure::withheld(taken, &Target::of(&self.organisation, &self.destination));
            return Err(self.save_failure(self.next_version(), failure).await);
        }
        Ok(())
    }

    /// Claims the bucket and the role, to which an object was just written. The intent stays as it is if that fails.
    async fn claim_bucket_and_role(&mut self, lane: Lane, intent: &Intent) -> Result<(), Stop> {
        let registry = &*self.shipping.registry;
        let Some(taken) = claims::take(registry, &self.destination, self.shipping.clock.now()).await? else {
            return Ok(());
        };
        let failure = Failure::withheld(taken, &Target::of(&self.organisation, &self.destination));
        Err(self.save_failure(self.with_intent(lane, intent), failure).await)
    }

    /// Resumes the unfinished object. If there is no unfinished object, begins the next one: new events first, then a
    /// replay.
    async fn resume_or_begin(&mut self, deadline: Timestamp) -> Result<Begun, Stop> {
        let replay_intent = self.destination.replay.as_ref().and_then(|replay| replay.intent.clone());
        let unfinished = match (self.destination.intent.clone(), replay_intent) {
            (Some(intent), _) => Some((Lane::New, intent)),
            (None, Some(intent)) => Some((Lane::Replay, intent)),
            (None, None) => None,
        };
        if let Some((lane, mut intent)) = unfinished {
            let load = self.load(intent.first..=intent.last, Holes::Skip, Form::of_intent(&intent), usize::MAX).await?;
            if lane == Lane::Replay || self.keep_what_a_restore_left(&mut intent, &load).await? {
                if lane == Lane::New {
                    self.check_continuity(&load).await?;
                }
                return Ok(Begun { lane, intent, origin: Origin::EarlierRun, load });
            }
        }
        if self.shipping.clock.now() >= deadline {
            return Err(ShipOutcome::OutOfTime.into());
        }
        if !self.reached_end
            && let Some(begun) = self.begin().await?
        {
            return Ok(begun);
        }
        match self.destination.replay.clone() {
            Some(replay) => self.begin_replay(replay).await,
            None => Err(ShipOutcome::UpToDate.into()),
        }
    }

    /// Reads events into the content of an object.
    async fn load(
        &self,
        range: RangeInclusive<u64>,
        holes: Holes,
        form: Form,
        max_bytes: usize,
    ) -> Result<Load, StoreError> {
        let id = &self.organisation.id;
        // New events begin with a segment. A replay can begin within one.
        let within = match self.destination.replay {
            Some(_) => self.shipping.log.segment_of(id, *range.start()).await?,
            None => None,
        };
        load(self.shipping, id, range, within, holes, form, max_bytes).await
    }

    /// Reads the next new events and stores the intent to deliver them. `None` if there are none.
    async fn begin(&mut self) -> Result<Option<Begun>, Stop> {
        let start = self.destination.next_sequence;
        let form = Form::of_settings(&self.destination.settings);
        let object_bytes = object_bytes(self.shipping, form);
        let ahead = self.ahead.take().filter(|ahead| ahead.start == start && ahead.form == form);
        let mut load = match ahead {
            Some(ahead) => ahead.load,
            None => self.load(start..=u64::MAX, Holes::End, form, object_bytes).await?,
        };
        if load.first().is_none() {
            // Either nothing new was recorded or all of it has expired. A read up to the tail misses nothing.
            let tail = self.tail().await?.last;
            if tail < start {
                self.check_end(start).await?;
                return Ok(None);
            }
            load = self.load(start..=tail, Holes::End, form, object_bytes).await?;
        }
        self.check_continuity(&load).await?;
        let next = match load.first() {
            Some(first) => first,
            None => self.tail().await?.last + 1,
        };
        // Behind a hole that a restore left, the first segment says what it follows. Only the events before the hole can have
        // expired.
        let hole = load.first_live.filter(|live| live.begins_with(next)).and_then(|live| live.resumes_after());
        let expired_to = hole.map_or(next - 1, |after| after.min(next - 1));
        if start <= expired_to {
            let delivered = start.saturating_sub(1);
            if self.shipping.log.end_of_segment(&self.organisation.id, delivered).await? == SegmentEnd::Within {
                // Delivery continues with the first event of a segment. Such an event may have expired and still be stored.
                let contradiction = Contradiction::LogMismatch { sequence: delivered };
                return Err(self.record_contradiction(contradiction).await);
            }
            let mut destination = self.next_version();
            destination.next_sequence = expired_to + 1;
            destination.progress.last_hash = None;
            self.record_lost(&[start..=expired_to], destination).await?;
        }
        let Some((first, last)) = load.first().zip(load.last()) else { return Ok(None) };
        let intent = self.intent(None, self.key_time(self.shipping.clock.now(), &load), first, last);
        let mut destination = self.next_version();
        destination.intent = Some(intent.clone());
        self.save(destination, None).await?;
        Ok(Some(Begun { lane: Lane::New, intent, origin: Origin::ThisRun, load }))
    }

    /// Reads the next events of a replay and stores the intent to deliver them. Ends the replay if there are none.
    async fn begin_replay(&mut self, replay: Replay) -> Result<Begun, Stop> {
        let form = Form::of_settings(&self.destination.settings);
        let object_bytes = object_bytes(self.shipping, form);
        let load = self.load(replay.next..=replay.last, Holes::End, form, object_bytes).await?;
        let mut destination = self.next_version();
        let Some((first, last)) = load.first().zip(load.last()) else {
            destination.replay = None;
            self.save(destination, None).await?;
            return Err(ShipOutcome::UpToDate.into());
        };
        let intent = self.intent(Some(&replay), self.key_time(replay.started_at, &load), first, last);
        destination.replay = Some(Replay { intent: Some(intent.clone()), ..replay });
        self.save(destination, None).await?;
        Ok(Begun { lane: Lane::Replay, intent, origin: Origin::ThisRun, load })
    }

    /// Returns the tail of the log. It may have been read earlier in this run.
    async fn tail(&mut self) -> Result<Tail, StoreError> {
        if let Some(tail) = self.tail {
            return Ok(tail);
        }
        let tail = self.shipping.log.tail_of(&self.organisation).await?;
        Ok(*self.tail.insert(tail))
    }

    /// Stops the run if the log, which has no event at `start` or after it, does not end with the event that was delivered
    /// last.
    async fn check_end(&mut self, start: u64) -> Result<(), Stop> {
        let tail = self.tail().await?;
        if tail.last + 1 < start {
            let contradiction = Contradiction::AheadOfLog { next: start, last: tail.last };
            return Err(self.record_contradiction(contradiction).await);
        }
        if self.destination.progress.last_hash.is_some_and(|delivered| delivered != tail.hash) {
            let contradiction = Contradiction::LogMismatch { sequence: tail.last };
            return Err(self.record_contradiction(contradiction).await);
        }
        if self.destination.progress.failing.as_ref().is_some_and(|failing| failing.failure.code.is_contradiction()) {
            // The log is in order again, although there is nothing to deliver.
            let mut destination = self.next_version();
            destination.progress.failing = None;
            self.save(destination, None).await?;
        }
        Ok(())
    }

    /// Cuts an intent of new events at the hole that a restore left: the events in it cannot be delivered any more. They are
    /// in the bucket if an earlier put wrote the object, and Annals cannot tell. Returns whether anything is left of it.
    async fn keep_what_a_restore_left(&mut self, intent: &mut Intent, load: &Load) -> Result<bool, Stop> {
        if load.last() == Some(intent.last) {
            return Ok(true);
        }
        let holes = self.shipping.log.holes(&self.organisation.id).await?;
        let Some(hole) = holes.iter().find(|hole| (hole.first..=hole.last).contains(&intent.last)) else {
            return Ok(true);
        };
        if hole.first > intent.first {
            intent.last = hole.first - 1;
            return Ok(true);
        }
        let mut destination = self.next_version();
        destination.intent = None;
        self.save(destination, None).await?;
        Ok(false)
    }

    /// Stops the run if what was read does not continue what was delivered.
    async fn check_continuity(&mut self, load: &Load) -> Result<(), Stop> {
        let delivered = self.destination.next_sequence.saturating_sub(1);
        let found = load.passed.and_then(|passed| passed.hash_of(delivered));
        match (self.destination.progress.last_hash, found) {
            (Some(expected), Some(found)) if expected != found => {
                let contradiction = Contradiction::LogMismatch { sequence: delivered };
                Err(self.record_contradiction(contradiction).await)
            }
            _ => Ok(()),
        }
    }

    /// Stores in the status that the log contradicts what was delivered.
    async fn record_contradiction(&mut self, contradiction: Contradiction) -> Stop {
        let destination = self.next_version();
        self.save_failure(destination, Failure::contradiction(contradiction)).await
    }

    /// Returns the time in the key of a new object whose delivery begins at `at`.
    fn key_time(&self, at: Timestamp, load: &Load) -> Timestamp {
        match self.destination.settings.layout {
            KeyLayout::HiveRecorded => load.oldest.unwrap_or(at),
            KeyLayout::Wiremock | KeyLayout::Hive => at,
        }
    }

    /// Returns a new intent. It is attempted, because its put follows at once.
    fn intent(&self, replay: Option<&Replay>, at: Timestamp, first: u64, last: u64) -> Intent {
        let suffix = KeySuffix::random(&*self.shipping.entropy);
        Intent {
            first,
            last,
            key: object_key(&self.destination, replay, at, &suffix),
            attempted: true,
            prefix: self.destination.settings.prefix.clone(),
            compression: self.destination.settings.compression,
            rendering: self.destination.settings.rendering,
            expired: Vec::new(),
            taken_at: Some(self.shipping.clock.now()),
        }
    }

    /// Records which events of the intent have expired. An earlier attempt may have delivered them, but Annals cannot
    /// check: it has no permission to read the bucket.
    async fn record_expired(&mut self, begun: &mut Begun) -> Result<(), Stop> {
        let intent = &begun.intent;
        let accounted = intent.expired.iter().chain(&begun.load.stretches).cloned().collect();
        let lost = without(intent.first..=intent.last, accounted);
        if lost.is_empty() {
            return Ok(());
        }
        // Nothing can have expired behind the end of the log.
        let tail = self.tail().await?.last;
        if tail < begun.intent.last {
            let contradiction = Contradiction::AheadOfLog { next: begun.intent.last + 1, last: tail };
            return Err(self.record_contradiction(contradiction).await);
        }
        let intent = &mut begun.intent;
        intent.expired.extend_from_slice(&lost);
        let mut destination = self.next_version();
        destination.intent = Some(intent.clone());
        self.record_lost(&lost, destination).await
    }

    /// Puts the object and commits the delivery.
    async fn deliver(&mut self, begun: Begun, deadline: Timestamp) -> Result<(), Stop> {
        let Begun { lane, mut intent, origin, load } = begun;
        let Some(oldest) = load.oldest else {
            // Every event has expired: continue after the intent, and keep the status.
            let mut destination = self.next_version();
            advance(&mut destination, lane, intent.last, None);
            return self.save(destination, None).await;
        };
        let content = Content {
            events: load.events(),
            bytes: load.content.len() as u64,
            sha256: hex::encode(load.content.sha256()),
        };
        let last_hash = load.last_hash.filter(|_| load.stretches.last().is_some_and(|end| *end.end() == intent.last));
        let whole = intent.first..=intent.last;
        let mut gone = without(whole.clone(), load.stretches.clone());
        gone.extend_from_slice(&intent.expired);
        // What the two have in common counts once.
        let expired = without(whole.clone(), without(whole, gone));
        let mut earlier = EarlierPuts::WroteNothing;
        if origin == Origin::EarlierRun {
            earlier = self.claim(lane, &mut intent).await?;
        }
        // An object of an earlier run was read to its own end.
        let has_recorded = std::mem::take(&mut self.has_recorded);
        self.reached_end |= lane == Lane::New && origin == Origin::ThisRun && load.at_end && !has_recorded;
        let reads_on = lane == Lane::New && !load.at_end && self.shipping.clock.now() < deadline;
        let next = reads_on.then_some(intent.last + 1);
        let id = self.organisation.id.clone();
        let reading = read_ahead(self.shipping, &id, next, Form::of_settings(&self.destination.settings));
        let (stored, ahead) = join(self.put(lane, &mut intent, load.content, earlier), reading).await;
        self.ahead = ahead;
        let already_there = stored? != Stored::Now;
        if !self.destination.proof.claimed {
            self.claim_bucket_and_role(lane, &intent).await?;
        }
        let now = self.shipping.clock.now();
        let tail = self.shipping.log.tail_of(&self.organisation).await?;
        self.tail = Some(tail);
        let mut destination = self.next_version();
        destination.proof.claimed = true;
        let replay = destination.replay.as_ref().filter(|_| lane == Lane::Replay).map(|replay| replay.id.clone());
        let before = destination.next_sequence;
        destination.first_sequence.get_or_insert(before);
        destination.deliveries += 1;
        if self.shipping.signing.is_some() {
            // If this run ends before it signs, the next tick does.
            let retry_at = destination.checkpoints.unsigned.as_ref().map(|unsigned| unsigned.retry_at);
            destination.checkpoints.due_at = Some(retry_at.unwrap_or(now));
        }
        advance(&mut destination, lane, intent.last, last_hash);
        let mut delivered = destination.progress.usage();
        delivered.add(now, DeliveryCounts { objects: 1, events: content.events, bytes: content.bytes });
        destination.progress = Progress { last_success: Some(now), failing: None, delivered, ..destination.progress };
        // A backlog from outside Annals ends with the first object whose events were all recorded after the object
        // before it. Until then lag counts from the last delivered object.
        if lane == Lane::New && self.lag_from.is_some_and(|from| oldest < from) {
            self.lag_from = Some(now);
            destination.progress.lag_from = self.lag_from;
        }
        let delivery = Delivery {
            organisation: self.organisation.id.clone(),
            destination: self.destination.id.clone(),
            number: Some(destination.deliveries),
            first: intent.first,
            last: intent.last,
            last_hash,
            expired,
            lost: (lane == Lane::New && before < intent.first).then(|| before..=intent.first - 1),
            key: intent.key,
            bucket: Some(self.destination.bucket.clone()),
            replay,
            already_there,
            // What is there already may be somebody else's.
            content: (!already_there).then_some(content),
            lag_seconds: now.since(oldest).as_secs(),
            lag_events: (tail.last + 1).saturating_sub(destination.next_sequence),
            delivered_at: now,
        };
        self.save(destination, Some(&delivery)).await?;
        self.deliveries.push(delivery);
        Ok(())
    }

    /// Returns the target of an intent's object, with the prefix that was in force when it began.
    fn target(&self, intent: &Intent) -> Target {
        Target { prefix: intent.prefix.clone(), ..Target::of(&self.organisation, &self.destination) }
    }

    /// Makes an intent of an earlier run this run's: stores it as attempted before its put is sent. A run at the same time
    /// that has stored it, too, can then neither give it another key nor commit it. Returns what is known of its earlier
    /// puts.
    async fn claim(&mut self, lane: Lane, intent: &mut Intent) -> Result<EarlierPuts, Stop> {
        let earlier = if intent.attempted {
            EarlierPuts::Unclear
        } else {
            // Two runs that claim it at the same time must not store the same destination: the store takes the second
            // write for a repetition of the first.
            self.change_key(intent);
            EarlierPuts::WroteNothing
        };
        intent.attempted = true;
        intent.taken_at = Some(self.shipping.clock.now());
        self.save(self.with_intent(lane, intent), None).await?;
        Ok(earlier)
    }

    /// Puts the object of an intent, which is stored as attempted. If somebody else's object has its key, stores another
    /// key and puts again. If the refusal names another region for the bucket, stores the region and puts again.
    async fn put(
        &mut self,
        lane: Lane,
        intent: &mut Intent,
        content: ObjectContent,
        mut earlier: EarlierPuts,
    ) -> Result<Stored, Stop> {
        let content_type = match intent.compression {
            Compression::None => "application/x-ndjson",
            Compression::Gzip => "application/gzip",
        };
        let mut keys = 1;
        let mut is_region_new = true;
        loop {
            let target = self.target(intent);
            let (key, content) = (intent.key.clone(), content.clone());
            let object = Object { key, content_type, content, existing: Existing::Keep };
            match self.shipping.sink.put(&target, object).await {
                Ok(Stored::Before) if earlier == EarlierPuts::WroteNothing => {
                    if keys == MAX_KEYS {
                        let reason = Reason::answered(412, "PreconditionFailed", PRECONDITION_FAILED, None);
                        let error = SinkError::new(Call::PutObject, reason);
                        return Err(self.record_failure(lane, intent, earlier, &error).await);
                    }
                    keys += 1;
                    self.change_key(intent);
                    self.save(self.with_intent(lane, intent), None).await?;
                }
                Ok(stored) => return Ok(stored),
                Err(error) => {
                    if !error.is_definite() {
                        earlier = EarlierPuts::Unclear;
                    }
                    let region = error.learnt_region(&target).filter(|_| is_region_new);
                    let Some(region) = region else {
                        return Err(self.record_failure(lane, intent, earlier, &error).await);
                    };
                    is_region_new = false;
                    if earlier == EarlierPuts::WroteNothing {
                        self.change_key(intent);
                    }
                    let mut destination = self.with_intent(lane, intent);
                    destination.settings.region = Some(region);
                    self.save(destination, None).await?;
                }
            }
        }
    }

    /// Gives an intent that has certainly written nothing another key. Whoever has seen the old one, for example in
    /// CloudTrail or in the status, could put an object there.
    fn change_key(&self, intent: &mut Intent) {
        intent.key = KeySuffix::random(&*self.shipping.entropy).replace_in(&intent.key);
    }

    /// Returns the next version of the destination, with `intent` as the intent of `lane`.
    fn with_intent(&self, lane: Lane, intent: &Intent) -> Destination {
        let mut destination = self.next_version();
        let place = match lane {
            Lane::New => Some(&mut destination.intent),
            Lane::Replay => destination.replay.as_mut().map(|replay| &mut replay.intent),
        };
        if let Some(place) = place {
            *place = Some(intent.clone());
        }
        destination
    }

    /// Stores in the status why the put failed and when to try again. In the same write, an intent that has certainly
    /// written nothing gets another key, because the refusal may have revealed its key.
    async fn record_failure(
        &mut self,
        lane: Lane,
        intent: &mut Intent,
        earlier: EarlierPuts,
        error: &SinkError,
    ) -> Stop {
        let failure = Failure::explain(error, &Target::of(&self.organisation, &self.destination));
        if earlier == EarlierPuts::WroteNothing {
            self.change_key(intent);
            intent.attempted = false;
        }
        intent.taken_at = None;
        self.save_failure(self.with_intent(lane, intent), failure).await
    }

    /// Stores `destination` with the failure and the time of the next attempt.
    async fn save_failure(&mut self, mut destination: Destination, failure: Failure) -> Stop {
        let shipping = self.shipping;
        let now = shipping.clock.now();
        let code = failure.code;
        let before = self.destination.progress.failing.as_ref();
        let attempts = before.map_or(0, |failing| failing.attempts).saturating_add(1);
        let retry_at = now.plus(backoff(shipping, attempts));
        let since = before.map_or(now, |failing| failing.since);
        destination.progress.failing = Some(Failing { failure, since, attempts, retry_at });
        if is_outside_annals(code) {
            destination.progress.lag_from = Some(now);
        }
        match self.save(destination, None).await {
            Ok(()) => ShipOutcome::Failing(code).into(),
            Err(stop) => stop,
        }
    }

    /// Records in the log that events expired undelivered, and stores `destination` with it in one transaction.
    async fn record_lost(&mut self, lost: &[RangeInclusive<u64>], mut destination: Destination) -> Result<(), Stop> {
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
        self.record(&event, change).await?;
        self.destination = destination;
        Ok(())
    }

    /// Records an event in the log, and makes its change in the same transaction.
    pub(super) async fn record(&mut self, event: &OwnEvent, change: Change) -> Result<(), Stop> {
        self.shipping.log.append_change(&self.organisation, event.body(), change).await?;
        self.has_recorded = true;
        Ok(())
    }

    pub(super) fn next_version(&self) -> Destination {
        Destination { version: self.destination.version + 1, ..self.destination.clone() }
    }

    /// Stops the run if somebody else has changed the destination.
    pub(super) async fn save(&mut self, destination: Destination, delivery: Option<&Delivery>) -> Result<(), Stop> {
        if !self.shipping.registry.save_progress(&destination, delivery).await? {
            return Err(ShipOutcome::Superseded.into());
        }
        self.destination = destination;
        Ok(())
    }
}

/// Reads events into the content of an object, segment by segment, so that memory holds little more than the object.
/// `within` is the first sequence of the segment in which the range begins, if it does not begin with one.
async fn load(
    shipping: &Shipping,
    organisation: &OrganisationId,
    range: RangeInclusive<u64>,
    within: Option<u64>,
    holes: Holes,
    form: Form,
    max_bytes: usize,
) -> Result<Load, StoreError> {
    // In practice this does not limit the number of events, because a page of the store ends earlier.
    let limit = ReadLimit { events: 1_000_000, bytes: max_bytes };
    let mut loading = Loading::new(form, holes);
    let take = |line| loading.take(line);
    let read = shipping.log.each(organisation, range, within, Order::Ascending, limit, take).await?;
    Ok(loading.finish(read))
}

/// Returns the size of lines at which an object in this form ends, in bytes.
fn object_bytes(shipping: &Shipping, form: Form) -> usize {
    shipping.policy.object_bytes / form.rendering.expansion()
}

/// Reads the events from `next` on, while the object before them is put. `None` without `next`, or if they could not be read:
/// then they are read when it is their turn.
async fn read_ahead(
    shipping: &Shipping,
    organisation: &OrganisationId,
    next: Option<u64>,
    form: Form,
) -> Option<Ahead> {
    let start = next?;
    let max_bytes = object_bytes(shipping, form);
    let load = load(shipping, organisation, start..=u64::MAX, None, Holes::End, form, max_bytes).await.ok()?;
    Some(Ahead { start, form, load })
}

/// Returns the pause after `attempts` failures in a row: half of the longest, and a random part of the other half.
pub(super) fn backoff(shipping: &Shipping, attempts: u32) -> Duration {
    let ShipPolicy { backoff_first, backoff_cap, .. } = shipping.policy;
    let longest = backoff_first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let half = longest.min(backoff_cap) / 2;
    half + entropy::jitter(&*shipping.entropy, half)
}

/// Lets the destination continue after the event `last`, whose line has the hash `last_hash` if it is known.
fn advance(destination: &mut Destination, lane: Lane, last: u64, last_hash: Option<LineHash>) {
    match lane {
        Lane::New => {
            destination.next_sequence = last + 1;
            destination.progress.last_hash = last_hash;
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

/// Returns the number of sequences in a range.
fn length(range: &RangeInclusive<u64>) -> u64 {
    range.end() - range.start() + 1
}

/// Returns what is left of `range` without `parts`, in order.
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
