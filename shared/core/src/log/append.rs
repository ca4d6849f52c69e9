//! Appending to the log: group commit, idempotency keys, detection of own writes, and retries under contention.
//!
//! Concurrent appends to one organisation within a process are merged: the caller that holds the organisation's turn
//! writes for all callers that wait. The group being written is stored in the turn, not in the writer's future. If that
//! future is dropped, the next caller continues with the same group. So every waiting caller gets a correct answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_channel::oneshot;
use sha2::{Digest as _, Sha256};

use crate::{
    change::{Change, Conflict},
    entropy,
    event::{Body, MAX_EVENTS},
    id::EventId,
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
};

use super::{
    Appended, Log,
    segment::{AppendId, EncodedBodies, MAX_ENCODED_BYTES, MAX_TEXT_BYTES, Segment, Tail, offset},
    store::{Commit, CommitError, IdempotencyRecord, Refusal, Span, StoreError, TransactItem},
};

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum total size of the encoded bodies in one commit. A transaction holds at most 4 MB (AWS,
/// "TransactWriteItems").
const MAX_COMMIT_BYTES: usize = 3_900_000;
/// The maximum total size of the bodies of merged requests. With it, a merged segment fits one item even if it does not
/// compress.
const MAX_MERGED_BYTES: usize = 256 * 1024;

/// When an append retries, pauses and gives up.
#[derive(Debug, Clone, Copy)]
pub struct AppendPolicy {
    /// An append that has not succeeded after this long fails.
    pub deadline: Duration,
    /// How long an append uses the tail that this process last wrote, instead of reading the tail from the store.
    pub tail_ttl: Duration,
    /// Immediate retries after losing the conditional write. Each continues after the segment that took the place.
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
}

/// The best of about fifty policies simulated at 20, 50 and 100 appends a second by independent writers, in bursts of 64
/// writers and under overload; `tests/benches/contention.rs` measures it. Immediate retries remove most of the latency
/// tail. The one after a pause keeps newcomers from overtaking a waiting writer forever. The random pause with a fresh
/// read keeps bursts and overload stable. The number of lost conditions hardly depends on the policy: at S appends a
/// second and a round trip of a seconds it is aS/(1-aS) per append.
impl Default for AppendPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            tail_ttl: Duration::from_secs(1),
            immediate_retries: 2,
            first_pause_round_trips: 4,
            max_pause_round_trips: 40,
            immediate_retries_after_pause: 1,
            min_round_trip: Duration::from_millis(5),
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
    /// Returns the ids of the request's events in the order in which they were sent. An id contains its sequence.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        self.spans.iter().flat_map(|span| {
            (0..span.count).map(|i| EventId::new(&self.organisation, span.recorded_at, span.segment, span.index + i))
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
    /// The events do not fit into one commit, even compressed.
    #[error("the events are too large to be recorded together")]
    TooLarge,
    /// Other writers won every conditional write until the deadline.
    #[error("the log is under contention")]
    Contended,
    /// The store did not answer until the deadline. It is unknown whether the events were recorded.
    #[error("the store did not answer")]
    Unavailable(#[source] Arc<StoreError>),
}

/// The appends to one organisation in this process.
#[derive(Debug, Default)]
pub(super) struct Committer {
    queue: Mutex<VecDeque<Pending>>,
    turn: async_lock::Mutex<Turn>,
}

impl Committer {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Pending>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// State that only the holder of the turn may use.
#[derive(Debug, Default)]
struct Turn {
    /// The group that is being written.
    group: Option<Group>,
    own_tail: OwnTail,
}

/// The last tail that this process wrote or read, and when.
type OwnTail = Option<(Tail, Timestamp)>;

/// A request that waits to be written.
#[derive(Debug)]
struct Pending {
    bodies: Vec<Body>,
    bytes: usize,
    extra: Option<Extra>,
    organisation: Organisation,
    deadline: Timestamp,
    /// Cancelled if the caller no longer waits.
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Receipt, AppendError>;

impl Pending {
    fn answer(self, answer: Answer) {
        // The caller may have stopped waiting; then nobody needs the answer.
        let _ = self.answer.send(answer);
    }
}

/// What the transaction contains besides a request's events.
#[derive(Debug, Clone)]
enum Extra {
    Key { key: IdempotencyKey, fingerprint: [u8; 32] },
    Change(Change),
}

impl Extra {
    /// Returns whether the two must not be in one transaction.
    fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key { key, .. }, Self::Key { key: other, .. }) => key == other,
            _ => true,
        }
    }
}

/// Requests that are written together: one segment, or all segments of one large request.
#[derive(Debug)]
struct Group {
    id: AppendId,
    requests: Vec<Pending>,
    /// For each segment its number of events and their encoding.
    parts: Vec<(usize, EncodedBodies)>,
    /// The earliest deadline of the requests.
    deadline: Timestamp,
    attempts: u32,
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
}

#[derive(Debug)]
struct Placed {
    after: Tail,
    commit: Commit,
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
        let extra = key.map(|key| Extra::Key { key, fingerprint: fingerprint(&bodies) });
        self.enqueue(organisation, bodies, extra).await
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
        self.enqueue(organisation, vec![body], Some(Extra::Change(change))).await
    }

    async fn enqueue(&self, organisation: &Organisation, bodies: Vec<Body>, extra: Option<Extra>) -> Answer {
        let committer = self.committer(&organisation.id);
        let (sender, mut receiver) = oneshot::channel();
        committer.queue().push_back(Pending {
            bytes: bodies.iter().map(|body| body.event_bytes() + 1).sum(),
            bodies,
            extra,
            organisation: organisation.clone(),
            deadline: self.clock.now().plus(self.policy.deadline),
            answer: sender,
        });
        loop {
            let mut turn = committer.turn.lock().await;
            if let Some(answer) = received(&mut receiver) {
                return answer;
            }
            if turn.group.is_none() {
                let requests = take_group(&mut committer.queue());
                turn.group = self.begin(requests);
            }
            self.write(&organisation.id, &mut turn).await;
            drop(turn);
            if let Some(answer) = received(&mut receiver) {
                return answer;
            }
        }
    }

    /// Encodes the bodies of a new group. This happens once, because only a segment's header depends on the tail.
    /// Returns `None` if nothing is left to write.
    fn begin(&self, requests: Vec<Pending>) -> Option<Group> {
        let deadline = requests.iter().map(|request| request.deadline).min()?;
        let bodies: Vec<Body> = requests.iter().flat_map(|request| request.bodies.iter().cloned()).collect();
        let mut parts = Vec::new();
        cut(&bodies, &mut parts);
        // A body that could not be read back must not be written.
        let unreadable = bodies.iter().any(|body| body.as_str().len() > MAX_TEXT_BYTES);
        if unreadable || parts.iter().map(|(_, encoded)| encoded.as_bytes().len()).sum::<usize>() > MAX_COMMIT_BYTES {
            requests.into_iter().for_each(|request| request.answer(Err(AppendError::TooLarge)));
            return None;
        }
        Some(Group {
            id: AppendId(entropy::bytes(&*self.entropy)),
            requests,
            parts,
            deadline,
            attempts: 0,
            retries: 0,
            pauses: 0,
            round_trip: Duration::ZERO,
            placed: None,
            failure: None,
        })
    }

    /// Writes the turn's group, if there is one, until every request of it is answered.
    async fn write(&self, organisation: &OrganisationId, turn: &mut Turn) {
        let Turn { group: current, own_tail } = turn;
        while let Some(group) = current {
            if self.clock.now() >= group.deadline {
                *own_tail = None;
                give_up(current);
                return;
            }
            if group.attempts > 0 {
                self.tally.add(Appended { retries: 1, ..Appended::default() });
            }
            group.attempts += 1;
            match self.attempt(organisation, group, *own_tail).await {
                Ok(()) => self.recorded(organisation, current, own_tail),
                // An earlier attempt had arrived, and its answer was lost.
                Err(CommitError::Occupied(occupant)) if occupant.append == group.id => {
                    self.recorded(organisation, current, own_tail);
                }
                Err(CommitError::Occupied(occupant)) => self.lost(group, own_tail, occupant.tail).await,
                Err(CommitError::Refused(index, refusal)) => {
                    let rest = answer_refused(current, organisation, index, refusal);
                    *current = self.begin(rest);
                }
                Err(CommitError::Busy) => self.pause(group.round_trip, group.attempts).await,
                Err(CommitError::Store(error)) => self.failed(group, error).await,
            }
        }
    }

    /// Sends the group's commit to the store. A group without a commit is placed after the tail first.
    async fn attempt(
        &self,
        organisation: &OrganisationId,
        group: &mut Group,
        own_tail: OwnTail,
    ) -> Result<(), CommitError> {
        if group.placed.is_none() {
            let tail = match own_tail {
                Some((tail, at)) if self.clock.now().since(at) < self.policy.tail_ttl => tail,
                _ => self.tail(organisation).await?,
            };
            group.placed = Some(self.place(organisation, group, tail));
        }
        let Some(placed) = &group.placed else { return Ok(()) };
        let sent_at = self.clock.now();
        let result = self.store.commit(organisation, &placed.commit).await;
        group.round_trip = self.clock.now().since(sent_at);
        result
    }

    /// Chains the group's events to `tail`.
    fn place(&self, organisation: &OrganisationId, group: &Group, tail: Tail) -> Placed {
        let now = self.clock.now();
        let mut end = tail;
        let mut bodies = group.requests.iter().flat_map(|request| request.bodies.iter().cloned());
        let (name, retention) = group.requests.last().map_or((String::new(), Duration::ZERO), |request| {
            (request.organisation.name.clone(), request.organisation.retention.duration())
        });
        let mut segments = Vec::with_capacity(group.parts.len());
        for (count, encoded) in &group.parts {
            let part: Vec<Body> = bodies.by_ref().take(*count).collect();
            let recorded_at = now.max(end.recorded_at.plus(Duration::from_millis(1)));
            let first = end.last + 1;
            let segment = Segment {
                first,
                count: offset(*count as u64),
                recorded_at,
                previous_hash: end.hash,
                hash: Segment::chain(organisation, &name, recorded_at, first, end.hash, &part),
                append: group.id,
                organisation_name: name.clone(),
                bodies: encoded.clone(),
                expires_at: recorded_at.plus(retention).as_secs_ceil(),
            };
            end = segment.tail();
            segments.push(segment);
        }
        let mut first = 0;
        let mut items = Vec::new();
        for request in &group.requests {
            match &request.extra {
                Some(Extra::Key { key, fingerprint }) => items.push(TransactItem::Key(IdempotencyRecord {
                    key: key.0,
                    fingerprint: *fingerprint,
                    spans: spans(&segments, first, request.bodies.len()),
                    expires_at: now.plus(IDEMPOTENCY_TTL).as_secs_ceil(),
                })),
                Some(Extra::Change(change)) => items.push(TransactItem::Change(change.clone())),
                None => {}
            }
            first += request.bodies.len();
        }
        Placed { after: tail, commit: Commit { segments, items, now: now.as_millis() / 1000 } }
    }

    /// Answers the requests of a group that is in the log.
    fn recorded(&self, organisation: &OrganisationId, current: &mut Option<Group>, own_tail: &mut OwnTail) {
        let Some(Group { requests, placed: Some(placed), attempts, .. }) = current.take() else { return };
        let segments = &placed.commit.segments;
        // After several attempts, other writers are probably active, so the next append reads the tail from the store.
        let tail = segments.last().map(Segment::tail).filter(|_| attempts == 1);
        *own_tail = tail.map(|tail| (tail, self.clock.now()));
        self.tally.add(Appended {
            events: requests.iter().map(|request| request.bodies.len() as u64).sum(),
            bytes: requests.iter().map(|request| request.bytes as u64).sum(),
            retries: 0,
        });
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

    /// Handles a lost conditional write: retries immediately after the segment that took the place, or pauses.
    async fn lost(&self, group: &mut Group, own_tail: &mut OwnTail, winner: Tail) {
        group.placed = None;
        group.failure = None;
        let immediate_retries = match group.pauses {
            0 => self.policy.immediate_retries,
            _ => self.policy.immediate_retries_after_pause,
        };
        if group.retries < immediate_retries {
            group.retries += 1;
            *own_tail = Some((winner, self.clock.now()));
        } else {
            group.retries = 0;
            group.pauses += 1;
            *own_tail = None;
            self.pause(group.round_trip, group.pauses).await;
        }
    }

    /// Handles a failure of the store: pauses before a retry, or lets the group give up if a retry cannot help.
    async fn failed(&self, group: &mut Group, error: StoreError) {
        let is_permanent = matches!(error, StoreError::Broken(_));
        group.failure = Some(Arc::new(error));
        if is_permanent {
            group.deadline = Timestamp::EPOCH;
        } else {
            self.pause(group.round_trip, group.attempts).await;
        }
    }

    /// Sleeps for a random time. Its maximum doubles with each round, counted from 1.
    async fn pause(&self, round_trip: Duration, round: u32) {
        let AppendPolicy { first_pause_round_trips, max_pause_round_trips, min_round_trip, .. } = self.policy;
        let round_trips = first_pause_round_trips.saturating_mul(1 << (round - 1).min(16)).min(max_pause_round_trips);
        let limit = round_trip.max(min_round_trip).saturating_mul(round_trips);
        self.clock.sleep(entropy::jitter(&*self.entropy, limit)).await;
    }
}

/// Returns the answer to this caller's request, if there is one.
fn received(receiver: &mut oneshot::Receiver<Answer>) -> Option<Answer> {
    receiver.try_recv().unwrap_or_else(|oneshot::Canceled| {
        // This happens only after a panic while the group was being answered.
        let error = StoreError::Unavailable("the request was dropped without an answer".into());
        Some(Err(AppendError::Unavailable(Arc::new(error))))
    })
}

/// Removes the requests from the queue that are written together next: requests that fit one segment; or one large
/// request; or one change. A transaction costs twice as much as a put, so requests that need one are not merged with
/// requests that do not.
fn take_group(queue: &mut VecDeque<Pending>) -> Vec<Pending> {
    /// A transaction has at most 100 items (AWS, "TransactWriteItems").
    const MAX_KEYS: usize = 90;
    queue.retain(|request| !request.answer.is_canceled());
    let mut group: Vec<Pending> = Vec::new();
    let (mut events, mut bytes) = (0, 0);
    while let Some(next) = queue.front() {
        events += next.bodies.len();
        bytes += next.bytes;
        let fits = group.first().is_none_or(|first| {
            first.extra.is_some() == next.extra.is_some()
                && events <= MAX_EVENTS
                && bytes <= MAX_MERGED_BYTES
                && group.len() < MAX_KEYS
                && group.iter().all(|other| match (&other.extra, &next.extra) {
                    (Some(other), Some(next)) => !other.collides_with(next),
                    _ => true,
                })
        });
        if !fits {
            break;
        }
        group.extend(queue.pop_front());
    }
    group
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

/// Returns the hash of the events alone, without who sent them: after a rotation a producer repeats its requests with the
/// new token.
fn fingerprint(bodies: &[Body]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for body in bodies {
        hash.update(body.event().as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().into()
}

/// Answers all requests of a group whose deadline has passed.
fn give_up(current: &mut Option<Group>) {
    let Some(Group { requests, placed, failure, .. }) = current.take() else { return };
    let unanswered = || Arc::new(StoreError::Unavailable("the answer did not come in time".into()));
    let error = match failure.or_else(|| placed.is_some().then(unanswered)) {
        Some(failure) => AppendError::Unavailable(failure),
        None => AppendError::Contended,
    };
    requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
}

/// Answers the request whose key or change was refused, and returns the others.
fn answer_refused(
    current: &mut Option<Group>,
    organisation: &OrganisationId,
    index: usize,
    refusal: Refusal,
) -> Vec<Pending> {
    let mut requests = current.take().map(|group| group.requests).unwrap_or_default();
    let position = requests.iter().enumerate().filter(|(_, request)| request.extra.is_some()).nth(index);
    let Some(position) = position.map(|(position, _)| position) else { return requests };
    let request = requests.remove(position);
    let answer = match (refusal, &request.extra) {
        (Refusal::Conflict(conflict), _) => Err(AppendError::Conflict(conflict)),
        (Refusal::KeyInUse(record), Some(Extra::Key { fingerprint, .. })) if *fingerprint == record.fingerprint => {
            Ok(Receipt { outcome: Outcome::Replayed, spans: record.spans, organisation: organisation.clone() })
        }
        (Refusal::KeyInUse(_), _) => Err(AppendError::KeyReused),
    };
    request.answer(answer);
    requests
}
