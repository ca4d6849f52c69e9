//! Bugs that shipping might have, planted between a process and its ports: each what a shipper would do that was
//! written in a hurry. Owns the bugs; the simulation must find every one of them.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annals_core::{
    change::{Change, Conflict},
    delivery::queue::{NotSent, QueueMessage},
    destination::{
        Delivery, Destination, DestinationId, Intent,
        sink::{Call, Existing, Object, Reason, SinkError, Stored, Target},
    },
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Order, StoreError},
    },
    organisation::OrganisationId,
    registry::{ActivePage, ActivePosition},
    time::Clock,
};
use async_trait::async_trait;

use super::{
    checker::Promise,
    ports::{Below, Decorated, Decorator, Ports},
};

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident => $promise:ident;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// Whether it is one of the administration's, not of the shippers'.
            #[must_use]
            pub fn is_administrations(self) -> bool {
                matches!(self, Self::LookbackFromTheBeginning | Self::LookbackByTodaysRetention)
            }

            pub const ALL: &'static [Self] = &[$(Self::$bug),+];

            /// The promise that it breaks. It may break others besides.
            #[must_use]
            pub fn breaks(self) -> Promise {
                match self {
                    $(Self::$bug => Promise::$promise,)+
                }
            }
        }
    };
}

bugs! {
    /// The delivery is committed, and then its object is put.
    CommitBeforePut => PutBeforeCommit;
    /// The object's key is made from the time of each try.
    KeyFromTheClock => ExactlyOnce;
    /// Progress is saved whatever the destination's version is by now.
    SavedWithoutCondition => NothingOverwritten;
    /// What was begun is forgotten, and something else begun, at the next try.
    IntentDroppedOnRetry => IntentKept;
    /// What was begun takes in what has come since.
    IntentStretchedOnRetry => IntentKept;
    /// That the object is there already is taken for a failure.
    PresentTakenForFailure => Recovers;
    /// That the object is there already is taken for success.
    PresentTakenForOurOwn => NothingClaimed;
    /// A key that a refusal has revealed is put again.
    RevealedKeyKept => KeyChanged;
    /// A key that may have been written is given up.
    WrittenKeyGivenUp => IntentKept;
    /// What failed is passed over, so that the rest can go on.
    SkippedAfterAnError => NothingSkipped;
    /// A refusal is taken for success.
    RefusalTakenForSuccess => PutBeforeCommit;
    /// An object that is there is replaced, by what is left of its events.
    PutWithoutCondition => Immutable;
    /// An object ends where a buffer ended.
    ObjectCutShort => Complete;
    /// What expired is passed over in silence.
    GapNotRecorded => GapsTold;
    /// Of what was begun only what expires first is recorded as a gap.
    GapRecordedOnce => GapsTold;
    /// A new destination begins with the first event of all.
    LookbackFromTheBeginning => LookbackHeld;
    /// A new destination begins where events end that would have expired with the retention of today.
    LookbackByTodaysRetention => LookbackHeld;
    /// A replay takes the checkpoint along.
    ReplayMovesTheCheckpoint => ReplayApart;
    /// A replay ends with its first object.
    ReplayEndsEarly => ReplayApart;
    /// What has expired and is not deleted yet is delivered.
    ExpiredDelivered => ExpiryHolds;
    /// Some events are never read, and taken for expired.
    EventsUnseen => GapsTold;
    /// A delivery that began goes on while the destination is paused.
    PauseIgnored => NothingWhenOff;
    /// A failing destination is tried again much later.
    EndlessBackOff => BackOffBounded;
    /// A failure is logged, and not kept.
    FailureNotKept => StatusTold;
    /// The history is written beside the checkpoint, and sometimes not.
    HistoryForgotten => HistoryTrue;
    /// Objects are put one at a time.
    OneAtATime => DeliveredInTime;
    /// A destination that failed is left out of the plan.
    FailingNotPlanned => Recovers;
    /// What was begun in one place is begun in the next one under the same key.
    MovedUnderItsOldKey => IntentKept;
}

/// A process's ports with a bug in them.
#[derive(Debug)]
pub struct BuggyPorts {
    below: Arc<dyn Ports>,
    bug: Bug,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// What is put once it is committed.
    stashed: Option<(Target, Object)>,
    /// The keys that objects really got, by what they were to get.
    renamed: HashMap<String, String>,
    /// The keys that were tried.
    tried: HashSet<String>,
}

impl BuggyPorts {
    #[must_use]
    pub fn in_front_of(below: Arc<dyn Ports>, bug: Bug, clock: Arc<dyn Clock>) -> Arc<dyn Ports> {
        let (state, one_at_a_time) = (Mutex::default(), Arc::default());
        Arc::new(Decorated(Self { below, bug, clock, state, one_at_a_time }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves on condition of whatever version there is.
    async fn save_whatever(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let mut destination = destination.clone();
        while !self.below.save_progress(&destination, delivery).await? {
            let Some(there) = self.below.destination(&destination.organisation, &destination.id).await? else {
                return Ok(false);
            };
            destination.version = there.version + 1;
        }
        Ok(true)
    }

    /// The first sequence of the last seven days, without those that would expire soon with the retention of today.
    async fn first_by_todays_retention(&self, destination: &Destination) -> Result<u64, StoreError> {
        const SOON: Duration = Duration::from_secs(15 * 60);
        let id = &destination.organisation;
        let there = self.below.organisation(id, Consistency::Strong).await?;
        let kept = there.map_or(Duration::MAX, |there| there.retention.duration() - SOON);
        let since = destination.created_at.minus(kept);
        let mut first = destination.next_sequence;
        loop {
            let next = self.below.range(id, first..=u64::MAX, Order::Ascending, Some(1), Consistency::Strong).await?;
            match next.first() {
                Some(segment) if segment.recorded_at < since => first = segment.last() + 1,
                _ => return Ok(first),
            }
        }
    }
}

#[async_trait]
impl Decorator for BuggyPorts {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.below)
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        match (self.bug, &commit.change) {
            (Bug::GapNotRecorded, Some(Change::UpdateDestination(new))) => {
                let there = self.below.destination(organisation, &new.id).await?;
                let is_gap =
                    there.is_some_and(|old| old.next_sequence != new.next_sequence || old.intent != new.intent);
                if is_gap {
                    self.below.save_progress(new, None).await?;
                    return Err(CommitError::Refused(Conflict::Changed));
                }
            }
            (Bug::MovedUnderItsOldKey, Some(Change::UpdateDestination(new))) => {
                let there = self.below.destination(organisation, &new.id).await?;
                if let Some(old) = there.filter(|old| !old.place().is_same(&new.place())) {
                    let new = Destination { intent: old.intent, ..(**new).clone() };
                    let change = Some(Change::UpdateDestination(Box::new(new)));
                    return self.below.commit(organisation, &Commit { change, ..commit.clone() }).await;
                }
            }
            (Bug::LookbackFromTheBeginning, Some(Change::CreateDestination { destination, limit })) => {
                let destination = Box::new(Destination { next_sequence: 1, ..(**destination).clone() });
                let change = Change::CreateDestination { destination, limit: *limit };
                let commit = Commit { change: Some(change), ..commit.clone() };
                return self.below.commit(organisation, &commit).await;
            }
            (Bug::LookbackByTodaysRetention, Some(Change::CreateDestination { destination, limit })) => {
                let first = self.first_by_todays_retention(destination).await?;
                let destination =
                    Destination { first_sequence: Some(first), next_sequence: first, ..(**destination).clone() };
                let change = Change::CreateDestination { destination: Box::new(destination), limit: *limit };
                let commit = Commit { change: Some(change), ..commit.clone() };
                return self.below.commit(organisation, &commit).await;
            }
            _ => {}
        }
        self.below.commit(organisation, commit).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        let mut segments = self.below.range(organisation, range.clone(), order, limit, consistency).await?;
        match self.bug {
            Bug::ExpiredDelivered => segments.iter_mut().for_each(|segment| segment.expires_at *= 2),
            Bug::EventsUnseen => {
                let unseen = |segment: &Segment| segment.first % 5 == 3;
                // The next one is seen in its place, as if it had been deleted.
                while order == Order::Ascending && segments.len() == 1 && unseen(&segments[0]) {
                    let rest = segments[0].last() + 1..=*range.end();
                    segments = self.below.range(organisation, rest, order, limit, consistency).await?;
                }
                segments.retain(|segment| !unseen(segment));
            }
            _ => {}
        }
        Ok(segments)
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        let mut found = self.below.destination(organisation, id).await?;
        if let Some(there) = &mut found {
            match self.bug {
                Bug::IntentDroppedOnRetry => there.intent = None,
                Bug::IntentStretchedOnRetry => {
                    let tail = self.below.newest(organisation).await?.tail().map_or(0, |tail| tail.last);
                    let intent = there.intent.take();
                    there.intent = intent.map(|intent| Intent { last: intent.last.max(tail), ..intent });
                }
                Bug::SkippedAfterAnError if there.progress.failing.is_some() => {
                    if let Some(intent) = there.intent.take() {
                        there.next_sequence = intent.last + 1;
                    }
                }
                Bug::GapRecordedOnce => {
                    if let Some(intent) = there.intent.as_mut().filter(|intent| !intent.expired.is_empty()) {
                        intent.expired = vec![intent.first..=intent.last];
                    }
                }
                Bug::PauseIgnored => there.paused = false,
                _ => {}
            }
        }
        Ok(found)
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        let mut page = self.below.active_destinations(shard, after, limit).await?;
        if self.bug == Bug::FailingNotPlanned {
            page.destinations.retain(|one| one.retry_at.is_none());
        }
        Ok(page)
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let mut new = destination.clone();
        let mut delivery = delivery.cloned();
        match self.bug {
            Bug::SavedWithoutCondition => return self.save_whatever(&new, delivery.as_ref()).await,
            Bug::ReplayMovesTheCheckpoint => {
                if let Some(delivery) = delivery.as_ref().filter(|delivery| delivery.replay.is_some()) {
                    new.next_sequence = delivery.last + 1;
                    new.progress.last_hash = delivery.last_hash;
                }
            }
            Bug::ReplayEndsEarly => new.replay = new.replay.filter(|_| delivery.is_none()),
            Bug::RevealedKeyKept => {
                if let Some(there) = self.below.destination(&new.organisation, &new.id).await?
                    && let (Some(old), Some(intent)) = (there.intent, &mut new.intent)
                    && new.progress.failing.is_some()
                {
                    intent.key = old.key;
                    intent.attempted = true;
                }
            }
            Bug::WrittenKeyGivenUp => {
                if let (Some(intent), Some(_)) = (&mut new.intent, &new.progress.failing) {
                    intent.attempted = false;
                }
            }
            Bug::FailureNotKept => new.progress.failing = None,
            Bug::EndlessBackOff => {
                if let Some(failing) = &mut new.progress.failing {
                    failing.retry_at = failing.retry_at.plus(Duration::from_secs(8 * 60 * 60));
                }
            }
            Bug::HistoryForgotten => delivery = delivery.filter(|delivery| delivery.first % 2 == 0),
            Bug::PauseIgnored => {
                let there = self.below.destination(&new.organisation, &new.id).await?;
                new.paused = there.is_some_and(|there| there.paused);
            }
            Bug::KeyFromTheClock => {
                if let Some(delivery) = &mut delivery
                    && let Some(key) = self.state().renamed.get(&delivery.key)
                {
                    delivery.key.clone_from(key);
                }
            }
            _ => {}
        }
        let saved = self.below.save_progress(&new, delivery.as_ref()).await?;
        let stashed = self.state().stashed.take();
        if let Some((target, object)) = stashed {
            let _ = self.below.put(&target, object).await;
        }
        Ok(saved)
    }

    async fn put(&self, target: &Target, mut object: Object) -> Result<Stored, SinkError> {
        let again = !self.state().tried.insert(object.key.clone());
        match self.bug {
            Bug::CommitBeforePut => {
                self.state().stashed = Some((target.clone(), object));
                return Ok(Stored::Now);
            }
            Bug::KeyFromTheClock => {
                let time = self.clock.now().to_string().replace([':', '.'], "-");
                let (folder, name) = object.key.rsplit_once('/').unwrap_or_default();
                let suffix = name.rsplit_once('-').map_or("", |(_, suffix)| suffix);
                let key = format!("{folder}/{time}-{suffix}");
                self.state().renamed.insert(object.key, key.clone());
                object.key = key;
            }
            Bug::PutWithoutCondition => {
                object.existing = Existing::Replace;
                if again && let Some(end) = object.content.iter().position(|byte| *byte == b'\n') {
                    object.content = object.content.bytes().slice(end + 1..).into();
                }
            }
            Bug::ObjectCutShort if object.content.len() > 1500 => {
                object.content = object.content.bytes().slice(..1500).into();
            }
            _ => {}
        }
        let _turn = match self.bug {
            Bug::OneAtATime => Some(self.one_at_a_time.lock().await),
            _ => None,
        };
        match (self.bug, self.below.put(target, object).await) {
            (Bug::PresentTakenForFailure, Ok(Stored::Before)) => {
                let message = "At least one of the preconditions failed";
                let reason = Reason::answered(412, "PreconditionFailed", message, None);
                Err(SinkError::new(Call::PutObject, reason))
            }
            (Bug::PresentTakenForOurOwn, Ok(Stored::Before)) => Ok(Stored::Now),
            (Bug::RefusalTakenForSuccess, Err(_)) => Ok(Stored::Now),
            (_, answer) => answer,
        }
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        self.below.send(messages).await
    }
}
