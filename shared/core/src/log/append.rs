//! Appending to the log: group commit, detection of own writes, and retries under contention. Claims of idempotency keys
//! are in [`claim`], the rate limit is in [`rate`](super::rate), what a process remembers of it in [`pressure`], and the
//! spacing of groups beside those of other processes in [`pace`].
//!
//! Concurrent appends to one organisation within a process are merged: the caller that holds the organisation's turn
//! writes for all callers that wait. The group being written is stored in the turn, not in the writer's future. If that
//! future is dropped, the next caller continues with the same group. So every waiting caller gets a correct answer.

mod claim;
mod pace;
mod pressure;
mod seen;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_channel::oneshot;
use futures_util::future::select;
use sha2::{Digest as _, Sha256};

use crate::{
    change::{Change, Conflict},
    entropy,
    event::{Body, MAX_EVENTS},
    id::{EventId, SegmentIds},
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
    usage::LogMonth,
};

use super::{
    Appended, Log,
    rate::{AppendLimits, Budget, Demand, RateState, Size, units_of},
    segment::{AppendId, Claimed, EncodedBodies, MAX_ENCODED_BYTES, MAX_TEXT_BYTES, Segment, Tail, offset},
    store::{Commit, CommitError, Span, StoreError},
    tail::Hazard,
};

use self::{
    claim::{ClaimOutcome, Found, PendingClaim},
    pace::Pace,
    pressure::Pressure,
    seen::Seen,
};

pub use self::claim::IDEMPOTENCY_TTL;

/// The most write units of one append: what a partition writes in a second (Amazon DynamoDB, "Best practices for designing
/// and using partition keys effectively"). A log has one partition key, so DynamoDB may never admit more at once.
pub const MAX_APPEND_UNITS: usize = 1000;
/// The most bytes of encoded bodies in one append. Several segments are written in a transaction, which takes two write units
/// for each KB.
pub const MAX_STORED_BYTES: usize = 480 * 1024;
/// The segments of the largest request, and more: a request has four mebibytes, and a segment one, or half of it after a cut.
const MANY_SEGMENTS: usize = 16;
/// Each segment has a header of less than a KB, and is rounded up to a KB.
const _: () = assert!(2 * (MAX_STORED_BYTES / 1024 + MANY_SEGMENTS) <= MAX_APPEND_UNITS);
/// The maximum total size of the bodies of merged requests. With it, a merged segment fits one item even if it does not
/// compress.
const MAX_MERGED_BYTES: usize = 256 * 1024;

/// When an append retries, pauses and gives up.
#[derive(Debug, Clone, Copy)]
pub struct AppendPolicy {
    /// An append fails that the store has not answered for this long.
    pub deadline: Duration,
    /// An append fails that other writers have kept from being written for this long, although the store answers. It is
    /// short, because a request that waits occupies a sandbox. Large appends get more.
    pub contention_deadline: Duration,
    /// How long an append uses the tail that this process last wrote, instead of reading the tail from the store.
    pub tail_ttl: Duration,
    /// Immediate retries after losing the conditional write. Each continues after the segment that took the place, or after
    /// the tail if that segment is not new.
    pub immediate_retries: u32,
    /// Maximum length of the first pause, in round trips to the store. A pause has a random length. After it the tail is
    /// read again. The maximum doubles with each pause.
    pub first_pause_round_trips: u32,
    /// Upper bound of the doubled maximum, in round trips.
    pub max_pause_round_trips: u32,
    /// Immediate retries after losing the conditional write that followed a pause.
    pub immediate_retries_after_pause: u32,
    /// Lower bound for a measured round trip, because the clock cannot measure shorter times precisely.
    pub min_round_trip: Duration,
    /// How long an append waits for its turn in a process that merges those that wait.
    pub merge_patience: Duration,
}

/// The best of about a hundred policies that were simulated with the default rate limits at 100 to 2,000 appends a second by
/// independent writers; `tests/benches/contention.rs` measures it. Below the limit, each writer that retries at once keeps
/// the log as busy as it can be, and few writers wait at the same time. The random pause with a fresh read keeps bursts
/// from using up the partition's throughput. The number of lost conditions hardly depends on the policy: at S appends a
/// second and a round trip of a seconds it is aS/(1-aS) per append.
impl Default for AppendPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            contention_deadline: Duration::from_secs(2),
            tail_ttl: Duration::from_secs(1),
            immediate_retries: 6,
            first_pause_round_trips: 4,
            max_pause_round_trips: 40,
            immediate_retries_after_pause: 4,
            min_round_trip: Duration::from_millis(5),
            merge_patience: Duration::from_secs(1),
        }
    }
}

/// A key that makes a request safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey([u8; 32]);

impl IdempotencyKey {
    /// Hashes the key that a client sent, which must be 1 to 255 bytes long.
    ///
    /// # Errors
    /// Returns the rule if `text` breaks it.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if (1..=255).contains(&text.len()) {
            Ok(Self(Sha256::digest(text).into()))
        } else {
            Err("must be 1 to 255 bytes long")
        }
    }
}

/// The result of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub outcome: Outcome,
    /// The positions of the request's events, in order.
    spans: Vec<Span>,
    organisation: OrganisationId,
}

/// Which request recorded the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This request.
    Recorded {
        /// The event before the first event of this append; `None` at the beginning of the log.
        before: Option<EventId>,
    },
    /// An earlier request with the same idempotency key and the same events.
    Replayed,
}

impl Receipt {
    fn replayed(organisation: &OrganisationId, spans: Vec<Span>) -> Self {
        Self { outcome: Outcome::Replayed, spans, organisation: organisation.clone() }
    }

    /// Returns the ids of the request's events in the order in which they were sent. An id contains its sequence.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        self.spans.iter().flat_map(|span| {
            let ids = SegmentIds::new(&self.organisation, span.recorded_at, span.segment);
            (span.index..span.index + span.count).map(move |index| ids.at(index))
        })
    }
}

/// Why an append failed. Only after [`AppendError::Unavailable`] may the events have been recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("the idempotency key was used for other events")]
    KeyReused,
    /// The registry is not in the state that the change requires. Nothing was recorded or changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// The events take more than [`MAX_STORED_BYTES`], even compressed.
    #[error("the events are too large to be recorded together")]
    TooLarge,
    /// The organisation's events come faster than its log can take them. Nothing was recorded.
    #[error("the rate limit is exceeded")]
    RateLimited(
        /// The time after which there may be room.
        Duration,
    ),
    /// Other writers won every conditional write until the deadline.
    #[error("the log is under contention")]
    Contended,
    /// The log cannot be continued safely. Nothing was recorded.
    #[error(transparent)]
    Unsafe(Hazard),
    /// The store did not answer until the deadline. It is unknown whether the events were recorded.
    #[error("the store did not answer")]
    Unavailable(#[source] Arc<StoreError>),
}

/// The appends to one organisation in this process.
#[derive(Debug, Default)]
pub(super) struct Committer {
    queue: Mutex<VecDeque<Pending>>,
    own_tail: Mutex<OwnTail>,
    awaited: Mutex<Option<Awaited>>,
    pressure: Mutex<Pressure>,
    turn: async_lock::Mutex<Turn>,
}

impl Committer {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Pending>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request to those that wait.
    fn enqueue(&self, request: Pending) {
        let mut queue = self.queue();
        queue.push_back(request);
        let mut awaited = self.awaited();
        if let Some(Awaited { arrived, .. }) = awaited.take_if(|awaited| queue.len() >= awaited.requests) {
            // Whoever waited for it may be gone; the next one looks at the queue.
            let _ = arrived.send(());
        }
    }

    /// Returns what completes when so many requests wait.
    fn arrival(&self, requests: usize) -> oneshot::Receiver<()> {
        let (arrived, arrival) = oneshot::channel();
        *self.awaited() = Some(Awaited { requests, arrived });
        arrival
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, Option<Awaited>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pressure(&self) -> std::sync::MutexGuard<'_, Pressure> {
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_tail(&self) -> OwnTail {
        *self.own_tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_own_tail(&self, own_tail: OwnTail) {
        *self.own_tail.lock().unwrap_or_else(PoisonError::into_inner) = own_tail;
    }
}

/// State that only the holder of the turn may use.
#[derive(Debug, Default)]
struct Turn {
    /// The group that is being written.
    group: Option<Group>,
    seen: Seen,
    pace: Pace,
    run: OwnRun,
}

/// The appends of this process that follow one another without another's in between.
#[derive(Debug, Default)]
struct OwnRun {
    last: u64,
    length: u32,
}

impl OwnRun {
    /// Notes that this process wrote up to `last`, after the segment that ends with `after`.
    fn note(&mut self, after: u64, last: u64) {
        self.length = if after == self.last { self.length + 1 } else { 0 };
        self.last = last;
    }
}

/// The requests that the holder of the turn waits for.
#[derive(Debug)]
struct Awaited {
    requests: usize,
    arrived: oneshot::Sender<()>,
}

/// The last tail that this process wrote or read, and when.
type OwnTail = Option<(Tail, Timestamp)>;

/// A request that waits to be written.
#[derive(Debug)]
struct Pending {
    bodies: Vec<Body>,
    bytes: usize,
    organisation: Organisation,
    claim: Option<PendingClaim>,
    /// Is written in the same transaction.
    change: Option<Change>,
    budget: Budget,
    begun: Timestamp,
    /// Cancelled if the caller no longer waits.
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Receipt, AppendError>;

impl Pending {
    fn size(&self) -> Size {
        Size::of(self.bodies.len(), self.bytes)
    }

    fn answer(self, answer: Answer) {
        // The caller may have stopped waiting; then nobody needs the answer.
        let _ = self.answer.send(answer);
    }
}

/// Requests that are written together: one segment, or all segments of one large request.
#[derive(Debug)]
struct Group {
    id: AppendId,
    requests: Vec<Pending>,
    /// For each segment its number of events and their encoding.
    parts: Vec<(usize, EncodedBodies)>,
    /// When the first of the requests began.
    begun: Timestamp,
    /// The commits that were sent.
    attempts: u32,
    /// The answers of the store that the group waited for, one after another.
    round_trips: u32,
    /// The rate limit's state after the group is written, if that is within the limit.
    rate: RateState,
    /// Immediate retries since the last pause.
    retries: u32,
    pauses: u32,
    /// How long the last commit took.
    round_trip: Duration,
    /// The commit to send: chained to a tail and not refused so far. It is repeated unchanged, because an earlier
    /// attempt may have arrived.
    placed: Option<Placed>,
    /// The last error of the store, if it is still unknown whether that attempt wrote the events.
    failure: Option<Arc<StoreError>>,
    /// The last refusal of the store because of load, if nothing else went wrong since.
    throttled: Option<Arc<StoreError>>,
    /// An error that no retry helps against.
    broken: bool,
}

/// What became of an attempt.
enum Attempt {
    Recorded,
    /// Nothing was sent, because these requests were recorded before.
    Found(Vec<Found>),
    /// Nothing was sent, because the group is over the rate limit for so long.
    Limited(Duration),
}

impl Group {
    /// Discards the commit, because another segment has its place in the log.
    fn unplace(&mut self) {
        self.placed = None;
        self.failure = None;
    }

    /// Discards the commit after the store has refused it: another segment probably has its place by now. If an earlier attempt
    /// may have arrived, the commit is kept, because only repeating it tells whether it was made.
    fn displace(&mut self) {
        self.placed.take_if(|placed| !placed.in_doubt);
    }

    /// Returns what the group asks of the rate limit.
    fn demand(&self) -> Demand {
        Demand {
            budget: self.requests.first().map_or(Budget::Producers, |request| request.budget),
            units: units_of(self.parts.iter().map(|(_, encoded)| encoded.as_bytes().len())),
            size: self.size(),
            requests: self.requests.len(),
            // Whoever has come this far goes on, so that a refusal never takes more than two round trips.
            admitted: self.round_trips > 2,
        }
    }

    fn size(&self) -> Size {
        let bytes = self.requests.iter().map(|request| request.bytes).sum();
        Size::of(self.parts.iter().map(|(count, _)| count).sum(), bytes)
    }

    /// Returns where in the group's events the requests with a key begin.
    fn claimed(&self) -> Vec<Claimed> {
        let mut index = 0;
        let mut claimed = Vec::new();
        for request in &self.requests {
            claimed.extend(request.claim.as_ref().map(|claim| Claimed { claim: claim.id, index: offset(index) }));
            index += request.bodies.len() as u64;
        }
        claimed
    }
}

#[derive(Debug)]
struct Placed {
    after: Tail,
    commit: Commit,
    /// The month that the commit ends. Its counts are stored before the commit is sent.
    closes: Option<LogMonth>,
    /// Whether the commit may have been made although no answer said so.
    in_doubt: bool,
}

impl Log {
    /// Records `bodies` at the end of the organisation's log. A batch is all or nothing, keeps its order, and has no other
    /// event in between.
    ///
    /// # Errors
    /// Returns an error if the events were not recorded. Only after [`AppendError::Unavailable`] may they have been.
    pub async fn append(
        &self,
        organisation: &Organisation,
        bodies: Vec<Body>,
        key: Option<IdempotencyKey>,
    ) -> Result<Receipt, AppendError> {
        let begun = self.clock.now();
        let budget = budget(&bodies);
        if budget == Budget::Producers {
            self.refuse_in_a_flood(&organisation.id, size_of(&bodies), begun)?;
        }
        let claim = match key {
            None => None,
            // It must not use up its key, because its halves may be sent with it.
            Some(_) if is_too_large(&bodies) => return Err(AppendError::TooLarge),
            Some(key) => match self.claim(organisation, key, &bodies, begun).await? {
                ClaimOutcome::Claimed(claim) => Some(claim),
                ClaimOutcome::Recorded(receipt) => return Ok(receipt),
            },
        };
        self.enqueue(organisation, bodies, claim, None, budget, begun).await
    }

    /// Records `body` and makes `change` in one transaction.
    ///
    /// # Errors
    /// Returns [`AppendError::Conflict`] if the registry is not in the state that the change requires, otherwise the
    /// same errors as [`Log::append`].
    pub async fn append_change(
        &self,
        organisation: &Organisation,
        body: Body,
        change: Change,
    ) -> Result<Receipt, AppendError> {
        let begun = self.clock.now();
        self.enqueue(organisation, vec![body], None, Some(change), Budget::Own, begun).await
    }

    /// Refuses a request of a producer without asking the store if it would most probably be refused.
    fn refuse_in_a_flood(&self, organisation: &OrganisationId, size: Size, now: Timestamp) -> Result<(), AppendError> {
        if self.committer(organisation).pressure().refuses(now, size, || entropy::fraction(&*self.entropy)) {
            self.meter.add(Appended { refused: 1, ..Appended::default() });
            return Err(AppendError::RateLimited(self.limits().interval));
        }
        Ok(())
    }

    async fn enqueue(
        &self,
        organisation: &Organisation,
        bodies: Vec<Body>,
        claim: Option<PendingClaim>,
        change: Option<Change>,
        budget: Budget,
        begun: Timestamp,
    ) -> Answer {
        let committer = self.committer(&organisation.id);
        let (sender, mut receiver) = oneshot::channel();
        let (events, bytes) = (bodies.len(), bodies.iter().map(|body| body.event_bytes() + 1).sum());
        let admin_tokens = u64::from(change.as_ref().is_some_and(Change::is_of_admin_token));
        let destination_changes = u64::from(change.as_ref().is_some_and(Change::is_of_destination));
        committer.enqueue(Pending {
            bytes,
            bodies,
            organisation: organisation.clone(),
            claim,
            change,
            budget,
            begun,
            answer: sender,
        });
        let answer = loop {
            let mut turn = match committer.turn.try_lock() {
                Some(turn) => turn,
                None => {
                    committer.pressure().merging(self.clock.now());
                    committer.turn.lock().await
                }
            };
            if let Some(answer) = received(&mut receiver) {
                break answer;
            }
            if turn.group.is_none() {
                self.keep_pace(&committer, &turn.pace).await;
                let requests = take_group(&mut committer.queue());
                turn.group = self.begin(requests);
            }
            self.write(&organisation.id, &committer, &mut turn).await;
            drop(turn);
            if let Some(answer) = received(&mut receiver) {
                break answer;
            }
        };
        match &answer {
            Ok(receipt) if receipt.outcome != Outcome::Replayed => {
                let (events, bytes) = (events as u64, bytes as u64);
                let appended = Appended { events, bytes, admin_tokens, destination_changes, ..Appended::default() };
                self.meter.add(appended);
            }
            Err(AppendError::RateLimited(_)) => self.meter.add(Appended { refused: 1, ..Appended::default() }),
            _ => {}
        }
        answer
    }

    /// Waits until this process may write again beside others, or until as many requests wait as it ever has at once.
    async fn keep_pace(&self, committer: &Committer, pace: &Pace) {
        if !pace.is_contended() {
            return;
        }
        let full = pace.full_group();
        if full > 1 {
            // Others have probably written since.
            committer.set_own_tail(None);
        }
        let arrival = committer.arrival(full);
        let wait = pace.wait(self.clock.now());
        if !wait.is_zero() && committer.queue().len() < full {
            let sleep = self.clock.sleep(wait);
            select(std::pin::pin!(sleep), arrival).await;
        }
    }

    /// Encodes the bodies of a new group. This happens once, because only a segment's header depends on the tail.
    /// Returns `None` if nothing is left to write.
    fn begin(&self, requests: Vec<Pending>) -> Option<Group> {
        let begun = requests.iter().map(|request| request.begun).min()?;
        // A request with a key has read the tail and stored its claim.
        let round_trips = if requests.iter().any(|request| request.claim.is_some()) { 2 } else { 0 };
        let bodies: Vec<Body> = requests.iter().flat_map(|request| request.bodies.iter().cloned()).collect();
        let Some(parts) = encode(&bodies) else {
            requests.into_iter().for_each(|request| request.answer(Err(AppendError::TooLarge)));
            return None;
        };
        Some(Group {
            id: AppendId(entropy::bytes(&*self.entropy)),
            requests,
            parts,
            begun,
            attempts: 0,
            round_trips,
            rate: RateState::FULL,
            retries: 0,
            pauses: 0,
            round_trip: Duration::ZERO,
            placed: None,
            failure: None,
            throttled: None,
            broken: false,
        })
    }

    /// Writes the turn's group, if there is one, until every request of it is answered.
    async fn write(&self, organisation: &OrganisationId, committer: &Committer, turn: &mut Turn) {
        let Turn { group: current, seen, pace, run } = turn;
        while let Some(group) = current {
            if self.is_overdue(group) {
                committer.set_own_tail(None);
                give_up(current);
                return;
            }
            match self.attempt(organisation, committer, group, seen).await {
                Ok(Attempt::Recorded) => self.recorded(organisation, committer, current, (seen, pace, run)),
                Ok(Attempt::Found(found)) => {
                    let rest = answer_found(current, organisation, found);
                    *current = self.begin(rest);
                }
                Ok(Attempt::Limited(wait)) => self.limited(current, committer, wait).await,
                // An earlier attempt had arrived, and its answer was lost.
                Err(CommitError::Occupied(occupant)) if occupant.append == group.id => {
                    self.recorded(organisation, committer, current, (seen, pace, run));
                }
                Err(CommitError::Occupied(occupant)) => {
                    let winner = occupant.tail;
                    let is_found = group.claimed().iter().any(|claimed| occupant.index_of(claimed.claim).is_some());
                    seen.note(*occupant, self.clock.now());
                    if is_found {
                        // The next attempt answers the requests whose events are in the segment that took the place.
                        group.unplace();
                        committer.set_own_tail(Some((winner, self.clock.now())));
                    } else {
                        pace.lost();
                        self.lost(group, committer, winner).await;
                        self.widen(current, &mut committer.queue());
                    }
                }
                Err(CommitError::Refused(conflict)) => {
                    let requests = current.take().map(|group| group.requests).unwrap_or_default();
                    requests.into_iter().for_each(|request| request.answer(Err(AppendError::Conflict(conflict))));
                }
                Err(CommitError::Busy) => {
                    group.displace();
                    self.step_back(group, committer).await;
                }
                Err(CommitError::Store(StoreError::Throttled(source))) => {
                    group.displace();
                    group.throttled = Some(Arc::new(StoreError::Throttled(source)));
                    if self.is_flooded(group) {
                        self.refuse(current, committer, Self::THROTTLED_FOR);
                    } else {
                        self.step_back(group, committer).await;
                    }
                }
                Err(CommitError::Store(StoreError::Unsafe(hazard))) => refuse(current, hazard),
                Err(CommitError::Store(error)) => self.failed(group, error).await,
            }
        }
    }

    /// How long an organisation is refused whose appends use up its partition.
    const THROTTLED_FOR: Duration = Duration::from_millis(100);

    /// Returns whether the group has waited for too long: longer for an answer of the store than for its turn.
    fn is_overdue(&self, group: &Group) -> bool {
        let waited = self.clock.now().since(group.begun);
        let is_uncertain = group.failure.is_some();
        let for_turn = match group.size() {
            Size::Small => self.policy.contention_deadline,
            Size::Large => {
                self.policy.contention_deadline + Duration::from_secs(3) + self.limits().cost(&group.demand())
            }
        };
        group.broken
            || waited >= self.policy.deadline
            || (!is_uncertain && (group.attempts > 0 || group.throttled.is_some()) && waited >= for_turn)
    }

    /// Sends the group's commit to the store. A group without a commit is placed after the tail first, if the tail's rate
    /// limit allows it, and once none of its claims is in a segment up to the tail.
    async fn attempt(
        &self,
        organisation: &OrganisationId,
        committer: &Committer,
        group: &mut Group,
        seen: &mut Seen,
    ) -> Result<Attempt, CommitError> {
        if group.placed.is_none() {
            let tail = match (self.own_tail(committer), group.requests.last()) {
                (Some(tail), _) => tail,
                (None, Some(request)) => {
                    group.round_trips += 1;
                    let request = request.organisation.clone();
                    match self.follow(organisation, committer, group, seen).await? {
                        Some(tail) => tail,
                        None => self.newest_tail(&request, committer).await?,
                    }
                }
                (None, None) => self.tail(organisation).await?,
            };
            match tail.rate.spend(&self.limits(), &group.demand(), self.clock.now()) {
                Ok(rate) => group.rate = rate,
                Err(wait) => return Ok(Attempt::Limited(wait)),
            }
            let found = self.look(organisation, &mut group.requests, seen, tail.last).await?;
            if !found.is_empty() {
                return Ok(Attempt::Found(found));
            }
            group.placed = Some(self.place(organisation, group, tail));
        }
        let Some(placed) = &mut group.placed else { return Ok(Attempt::Recorded) };
        if let Some(closed) = placed.closes {
            self.store.close_month(organisation, &closed, placed.after.last).await?;
            placed.closes = None;
        }
        if group.attempts > 0 {
            self.meter.add(Appended { retries: 1, ..Appended::default() });
        }
        group.attempts += 1;
        group.round_trips += 1;
        let sent_at = self.clock.now();
        // The caller that sends it may be gone before the answer comes.
        let was_in_doubt = std::mem::replace(&mut placed.in_doubt, true);
        let result = self.store.commit(organisation, &placed.commit).await;
        if let Err(CommitError::Busy | CommitError::Store(StoreError::Throttled(_))) = result {
            placed.in_doubt = was_in_doubt;
        }
        group.round_trip = self.clock.now().since(sent_at);
        result.map(|()| Attempt::Recorded)
    }

    /// Returns the tail that this process wrote or read a moment ago.
    fn own_tail(&self, committer: &Committer) -> Option<Tail> {
        let now = self.clock.now();
        // After the clock was set back, any tail would look new.
        let is_recent = |at: Timestamp| at <= now && now.since(at) < self.policy.tail_ttl;
        committer.own_tail().filter(|(_, at)| is_recent(*at)).map(|(tail, _)| tail)
    }

    /// Returns the tail that this process wrote or read a moment ago, or else reads it.
    async fn recent_tail(&self, organisation: &Organisation, committer: &Committer) -> Result<Tail, StoreError> {
        match self.own_tail(committer) {
            Some(tail) => Ok(tail),
            None => self.newest_tail(organisation, committer).await,
        }
    }

    /// Reads the tail and remembers it for the next append.
    async fn newest_tail(&self, organisation: &Organisation, committer: &Committer) -> Result<Tail, StoreError> {
        let read_at = self.clock.now();
        let tail = self.tail_of(organisation).await?;
        // An append may have been written while the tail was read.
        if committer.own_tail().is_none_or(|(known, at)| at <= read_at || known.last < tail.last) {
            committer.set_own_tail(Some((tail, read_at)));
        }
        Ok(tail)
    }

    /// Chains the group's events to `tail`.
    fn place(&self, organisation: &OrganisationId, group: &Group, tail: Tail) -> Placed {
        let now = self.clock.now();
        let mut end = tail;
        // All segments of an append count in the month of the first, so that the counts of the month before are stored as the
        // tail has them.
        let mut usage = tail.usage_at(now.max(end.recorded_at.plus(Duration::from_millis(1))));
        let closes = tail.usage.filter(|before| before.month < usage.month);
        let mut bodies = group.requests.iter().flat_map(|request| request.bodies.iter().cloned());
        let (name, retention) = group.requests.last().map_or((String::new(), Duration::ZERO), |request| {
            (request.organisation.name.clone(), request.organisation.retention.duration())
        });
        let mut claimed = group.claimed();
        let mut segments = Vec::with_capacity(group.parts.len());
        for (count, encoded) in &group.parts {
            let part: Vec<Body> = bodies.by_ref().take(*count).collect();
            let recorded_at = now.max(end.recorded_at.plus(Duration::from_millis(1)));
            let first = end.last + 1;
            usage.counts.add(&part);
            let segment = Segment {
                first,
                count: offset(*count as u64),
                recorded_at,
                previous_hash: end.hash,
                hash: Segment::chain(organisation, &name, recorded_at, first, end.hash, &part),
                append: group.id,
                rate: group.rate,
                usage: Some(usage),
                // Only a request by itself has several segments, and it begins in the first.
                claimed: std::mem::take(&mut claimed),
                organisation_name: name.clone(),
                bodies: encoded.clone(),
                resumes_after: None,
                expires_at: recorded_at.plus(retention).as_secs_ceil(),
            };
            end = segment.tail();
            segments.push(segment);
        }
        let change = group.requests.first().and_then(|request| request.change.clone());
        Placed { after: tail, commit: Commit { segments, change }, closes, in_doubt: false }
    }

    /// Answers the requests of a group that is in the log.
    fn recorded(
        &self,
        organisation: &OrganisationId,
        committer: &Committer,
        current: &mut Option<Group>,
        (seen, pace, run): (&mut Seen, &mut Pace, &mut OwnRun),
    ) {
        let Some(Group { requests, placed: Some(placed), attempts, round_trip, .. }) = current.take() else { return };
        let segments = &placed.commit.segments;
        let now = self.clock.now();
        segments.iter().for_each(|segment| seen.note(segment.header(), now));
        pace.wrote(requests.len(), now, round_trip.max(self.policy.min_round_trip));
        let tail = segments.last().map(Segment::tail);
        run.note(placed.after.last, tail.map_or(0, |tail| tail.last));
        // After several attempts, or if this append did not follow ones of this process, other writers are probably active, so
        // the next append reads the tail from the store.
        let is_alone = attempts == 1 && (committer.pressure().merges(now) || run.length >= Self::ALONE_FROM);
        committer.set_own_tail(tail.filter(|_| is_alone).map(|tail| (tail, now)));
        for request in requests.iter().filter(|request| request.budget == Budget::Producers) {
            committer.pressure().recorded(now, request.size());
        }
        let mut before = placed.after.event_id(organisation);
        let mut first = 0;
        for request in requests {
            let count = request.bodies.len();
            let receipt = Receipt {
                outcome: Outcome::Recorded { before },
                spans: spans(segments, first, count),
                organisation: organisation.clone(),
            };
            before = receipt.ids().last();
            first += count;
            request.answer(Ok(receipt));
        }
    }

    /// The appends in a row from which a process probably writes the log alone.
    const ALONE_FROM: u32 = 3;
    /// The share from which a throttled partition is the organisation's own doing.
    const FLOODED_FROM: f64 = 0.5;

    /// Handles a lost conditional write: retries immediately after the segment that took the place, or pauses. Merged requests
    /// do not pause: the processes that merge are few and keep a [`Pace`], and while one pauses, the others take its turns.
    async fn lost(&self, group: &mut Group, committer: &Committer, winner: Tail) {
        group.unplace();
        group.throttled = None;
        let immediate_retries = match group.pauses {
            0 => self.policy.immediate_retries,
            _ => self.policy.immediate_retries_after_pause,
        };
        if group.requests.len() == 1 && group.retries >= immediate_retries {
            self.step_back(group, committer).await;
            return;
        }
        group.retries += 1;
        let now = self.clock.now();
        // A segment that is older than its way here has probably been followed by others.
        let is_newest = now.since(winner.recorded_at) <= 2 * group.round_trip.max(self.policy.min_round_trip);
        committer.set_own_tail(is_newest.then_some((winner, now)));
    }

    /// Pauses before a retry that reads the tail again, if the group was not left where it is.
    async fn step_back(&self, group: &mut Group, committer: &Committer) {
        group.retries = 0;
        group.pauses += 1;
        committer.set_own_tail(None);
        self.pause(group.round_trip, group.pauses).await;
    }

    /// Handles a group that is over the rate limit for `wait`: waits for its turn if that is worth it, or refuses it.
    async fn limited(&self, current: &mut Option<Group>, committer: &Committer, wait: Duration) {
        let Some(group) = current else { return };
        let now = self.clock.now();
        let limits = self.limits();
        let demand = group.demand();
        let patience = if committer.pressure().merges(now) {
            self.policy.merge_patience
        } else if demand.size == Size::Large {
            // A large append may take a while to find room, and there are few of them.
            16 * limits.cost(&demand)
        } else {
            Duration::ZERO
        };
        if now.plus(wait) < group.begun.plus(patience) {
            if group.round_trips > 0 {
                committer.set_own_tail(None);
            }
            let jitter = entropy::jitter(&*self.entropy, limits.interval / 2);
            self.clock.sleep(wait + jitter).await;
        } else {
            self.refuse(current, committer, wait);
        }
    }

    /// Refuses a group that is not written, and later requests of producers until `wait` has passed.
    fn refuse(&self, current: &mut Option<Group>, committer: &Committer, wait: Duration) {
        /// Processes that were refused at the same time come back one by one.
        const SPREAD_INTERVALS: u32 = 5;
        let Some(Group { requests, .. }) = current.take() else { return };
        committer.set_own_tail(None);
        let now = self.clock.now();
        let spread = entropy::jitter(&*self.entropy, self.limits().interval * SPREAD_INTERVALS);
        for request in requests.iter().filter(|request| request.budget == Budget::Producers) {
            committer.pressure().refused(now, request.size(), now.plus(wait + spread));
        }
        requests.into_iter().for_each(|request| request.answer(Err(AppendError::RateLimited(wait))));
    }

    /// Returns whether a throttled group should make room for others.
    fn is_flooded(&self, group: &Group) -> bool {
        let is_producers = group.requests.iter().all(|request| request.budget == Budget::Producers);
        let limits = self.limits();
        let pressure = group.rate.pressure(&limits, self.clock.now());
        is_producers
            && limits != AppendLimits::NONE
            && group.placed.is_none()
            && group.size() == Size::Small
            && (pressure >= Self::FLOODED_FROM || group.pauses > 0)
    }

    /// Adds to a group that is not placed the requests that wait. So the more writers there are, the larger are the groups,
    /// and the fewer conditional writes they lose for each event.
    fn widen(&self, current: &mut Option<Group>, queue: &mut VecDeque<Pending>) {
        let Some(group) = current else { return };
        let count = group.requests.len();
        add_waiting(&mut group.requests, queue);
        if group.requests.len() > count {
            let requests = std::mem::take(&mut group.requests);
            let Group { attempts, round_trips, retries, pauses, round_trip, .. } = *group;
            let widened = |group| Group { attempts, round_trips, retries, pauses, round_trip, ..group };
            *current = self.begin(requests).map(widened);
        }
    }

    /// Handles a failure of the store: pauses before a retry, or lets the group give up if a retry cannot help.
    async fn failed(&self, group: &mut Group, error: StoreError) {
        group.broken = matches!(error, StoreError::Broken(_) | StoreError::Operator(_));
        group.failure = Some(Arc::new(error));
        if !group.broken {
            group.pauses += 1;
            self.pause(group.round_trip, group.pauses).await;
        }
    }

    /// Sleeps for a random time. Its maximum doubles with each round, counted from 1.
    async fn pause(&self, round_trip: Duration, round: u32) {
        /// An attempt that timed out says little about the store's round trip.
        const LONGEST: Duration = Duration::from_millis(500);
        let AppendPolicy { first_pause_round_trips, max_pause_round_trips, min_round_trip, .. } = self.policy;
        let round_trips = first_pause_round_trips.saturating_mul(1 << (round - 1).min(16)).min(max_pause_round_trips);
        let limit = round_trip.max(min_round_trip).saturating_mul(round_trips).min(LONGEST);
        self.clock.sleep(entropy::jitter(&*self.entropy, limit)).await;
    }
}

/// Returns the budget of a request. Annals' own events are never in one request with others.
fn budget(bodies: &[Body]) -> Budget {
    if bodies.iter().all(Body::is_own) { Budget::Own } else { Budget::Producers }
}

fn size_of(bodies: &[Body]) -> Size {
    Size::of(bodies.len(), bodies.iter().map(|body| body.event_bytes() + 1).sum())
}

/// Returns the answer to this caller's request, if there is one.
fn received(receiver: &mut oneshot::Receiver<Answer>) -> Option<Answer> {
    receiver.try_recv().unwrap_or_else(|oneshot::Canceled| {
        // This happens only after a panic while the group was being answered.
        let error = StoreError::Unavailable("the request was dropped without an answer".into());
        Some(Err(AppendError::Unavailable(Arc::new(error))))
    })
}

/// Removes the requests from the queue that are written together next: requests of one budget that fit one segment; or one
/// large request; or one change. A change needs a transaction, which costs twice as much as a put, so it is not merged with
/// others.
fn take_group(queue: &mut VecDeque<Pending>) -> Vec<Pending> {
    let mut group = Vec::new();
    add_waiting(&mut group, queue);
    group
}

/// Moves the requests from the queue to `group` that may be written together with it.
fn add_waiting(group: &mut Vec<Pending>, queue: &mut VecDeque<Pending>) {
    queue.retain(|request| !request.answer.is_canceled());
    let mut events: usize = group.iter().map(|request| request.bodies.len()).sum();
    let mut bytes: usize = group.iter().map(|request| request.bytes).sum();
    while let Some(next) = queue.front() {
        events += next.bodies.len();
        bytes += next.bytes;
        let id = next.claim.as_ref().map(|claim| claim.id);
        let is_repeat = |other: &Pending| id.is_some() && other.claim.as_ref().map(|claim| claim.id) == id;
        let fits = group.first().is_none_or(|first| {
            first.change.is_none()
                && next.change.is_none()
                && first.budget == next.budget
                && events <= MAX_EVENTS
                && bytes <= MAX_MERGED_BYTES
                && !group.iter().any(is_repeat)
        });
        if !fits {
            break;
        }
        group.extend(queue.pop_front());
    }
}

/// Encodes `bodies` as parts that each fit one segment, with the number of events of each. Returns `None` if they do not fit
/// one commit.
fn encode(bodies: &[Body]) -> Option<Vec<(usize, EncodedBodies)>> {
    let mut parts = Vec::new();
    cut(bodies, &mut parts);
    // A body that could not be read back must not be written.
    let unreadable = bodies.iter().any(|body| body.as_str().len() > MAX_TEXT_BYTES);
    let size: usize = parts.iter().map(|(_, encoded)| encoded.as_bytes().len()).sum();
    (!unreadable && size <= MAX_STORED_BYTES).then_some(parts)
}

/// Returns whether `bodies` do not fit one commit. They are encoded to find out only if their size allows no other way.
fn is_too_large(bodies: &[Body]) -> bool {
    let text: usize = bodies.iter().map(|body| body.as_str().len() + 1).sum();
    text > MAX_STORED_BYTES && encode(bodies).is_none()
}

/// Cuts `bodies` into parts that each fit one segment.
fn cut(bodies: &[Body], parts: &mut Vec<(usize, EncodedBodies)>) {
    let text: usize = bodies.iter().map(|body| body.as_str().len() + 1).sum();
    if text <= MAX_TEXT_BYTES || bodies.len() <= 1 {
        let encoded = EncodedBodies::encode(bodies);
        if encoded.as_bytes().len() <= MAX_ENCODED_BYTES || bodies.len() <= 1 {
            parts.push((bodies.len(), encoded));
            return;
        }
    }
    let (left, right) = bodies.split_at(bodies.len() / 2);
    cut(left, parts);
    cut(right, parts);
}

/// Returns the positions of `count` events, starting with event number `first` of all segments together.
fn spans(segments: &[Segment], first: usize, count: usize) -> Vec<Span> {
    let (mut skip, mut left) = (first, count);
    let mut spans = Vec::new();
    for segment in segments {
        let length = usize::from(segment.count);
        let here = length.saturating_sub(skip).min(left);
        if here > 0 {
            spans.push(Span {
                segment: segment.first,
                recorded_at: segment.recorded_at,
                index: offset(skip as u64),
                count: offset(here as u64),
            });
        }
        skip = skip.saturating_sub(length);
        left -= here;
    }
    spans
}

/// Answers all requests of a group whose deadline has passed.
fn give_up(current: &mut Option<Group>) {
    let Some(Group { requests, placed, failure, throttled, .. }) = current.take() else { return };
    let unanswered = || Arc::new(StoreError::Unavailable("the answer did not come in time".into()));
    let error = match failure.or_else(|| placed.is_some().then(unanswered)).or(throttled) {
        Some(failure) => AppendError::Unavailable(failure),
        None => AppendError::Contended,
    };
    requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
}

/// Answers all requests of a group whose log cannot be continued safely.
fn refuse(current: &mut Option<Group>, hazard: Hazard) {
    let Some(Group { requests, failure, .. }) = current.take() else { return };
    let error = failure.map_or(AppendError::Unsafe(hazard), AppendError::Unavailable);
    requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
}

/// Answers the requests that were recorded before, and returns the others.
fn answer_found(current: &mut Option<Group>, organisation: &OrganisationId, found: Vec<Found>) -> Vec<Pending> {
    let requests = current.take().map(|group| group.requests).unwrap_or_default();
    let mut rest = Vec::with_capacity(requests.len());
    for request in requests {
        match found.iter().find(|found| request.claim.as_ref().is_some_and(|claim| claim.id == found.claim)) {
            Some(found) => request.answer(Ok(Receipt::replayed(organisation, found.spans.clone()))),
            None => rest.push(request),
        }
    }
    rest
}
