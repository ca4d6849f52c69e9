//! Writing to the log: group commit, idempotency, own writes known again, and patience under contention.
//!
//! Appends for one organisation that meet in one process are merged: whoever holds the organisation's turn writes for
//! all who wait. What is being written lives in the turn, not in the writer's future: if that future is dropped half way
//! the next in line takes the same commit up again, so that those who waited get an answer that is true.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
/// The most bytes of encoded bodies in one commit. A transaction has at most 4 MB (AWS, "TransactWriteItems").
const MAX_COMMIT_BYTES: usize = 3_900_000;
/// Requests are merged up to this many bytes of bodies, so that a merged segment stays one item however badly it
/// compresses.
const MAX_MERGED_BYTES: usize = 256 * 1024;

/// How an append behaves towards the store and the clock.
#[derive(Debug, Clone, Copy)]
pub struct AppendPolicy {
    /// After this long it gives up.
    pub deadline: Duration,
    /// The tail that this process wrote itself stands in for a read for this long.
    pub tail_ttl: Duration,
    /// So often it tries again at once after a lost condition, behind the segment that it lost to. Then it pauses for a
    /// random time up to so many round trips as it has just seen, reads the tail again and tries; each further pause is up
    /// to twice the one before.
    pub retries_at_once: u32,
    /// The round trips of the first pause.
    pub pause_first: u32,
    /// The most round trips of a pause.
    pub pause_cap: u32,
    /// So often it tries again at once after such a try.
    pub retries_after_pause: u32,
    /// A round trip is taken to be at least so long: clocks are no finer.
    pub round_trip_min: Duration,
}

/// What was best of some fifty ways of retrying, simulated at 20, 50 and 100 appends a second by independent writers, in
/// bursts of 64 writers and in overload; `tests/benches/contention.rs` measures it. Retries at once take most of the tail
/// of latencies away, the one after a pause keeps a writer from being passed by newcomers again and again, and the jittered
/// pause with a fresh read keeps bursts and overload stable. How many conditions are lost hardly depends on any of it: it
/// is aS/(1-aS) at S appends a second with a round trip of a.
impl Default for AppendPolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            tail_ttl: Duration::from_secs(1),
            retries_at_once: 2,
            pause_first: 4,
            pause_cap: 40,
            retries_after_pause: 1,
            round_trip_min: Duration::from_millis(5),
        }
    }
}

/// A key that makes a request safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey([u8; 32]);

impl IdempotencyKey {
    /// The key that a client sent, 1 to 255 bytes long.
    ///
    /// # Errors
    /// What a key has to be.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if (1..=255).contains(&text.len()) {
            Ok(Self(Sha256::digest(text).into()))
        } else {
            Err("must be 1 to 255 bytes long")
        }
    }
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it was recorded now.
    pub outcome: Outcome,
    /// Where its events are, in order.
    spans: Vec<Span>,
    organisation: OrganisationId,
}

/// Whether an append was recorded by this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Now.
    Recorded {
        /// The event before the first of this append; `None` where this one begins the log.
        before: Option<EventId>,
    },
    /// Earlier, by a request with the same idempotency key and the same events.
    Replayed,
}

impl Receipt {
    /// The ids of its events, in the order in which they were given. An id tells its sequence.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        self.spans.iter().flat_map(|span| {
            (0..span.count).map(|i| EventId::new(&self.organisation, span.recorded_at, span.segment, span.index + i))
        })
    }
}

/// Why nothing, or perhaps nothing, was recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The key was used with other events: nothing was recorded.
    #[error("the idempotency key was used for other events")]
    KeyReused,
    /// The registry was not as the change expects: nothing was recorded or changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// The events do not fit one commit even when compressed: nothing was recorded.
    #[error("the events are too large to be recorded together")]
    TooLarge,
    /// Others were always faster, up to the deadline: nothing was recorded.
    #[error("the log is under contention")]
    Contended,
    /// The store did not answer up to the deadline: whether anything was recorded is unknown.
    #[error("the store did not answer")]
    Unavailable(#[source] Arc<StoreError>),
}

/// Requests of one organisation in this process.
#[derive(Debug, Default)]
pub(super) struct Committer {
    queue: Mutex<VecDeque<Pending>>,
    turn: async_lock::Mutex<Turn>,
}

/// What only the holder of the turn may touch.
#[derive(Debug, Default)]
struct Turn {
    /// The tail that this process wrote last, and when.
    tail: Option<(Tail, Timestamp)>,
    /// What is being written.
    group: Option<Group>,
}

/// One request that waits to be written.
#[derive(Debug)]
struct Pending {
    bodies: Vec<Body>,
    bytes: usize,
    extra: Option<Extra>,
    organisation: Organisation,
    deadline: Timestamp,
    answer: Answer,
}

impl Pending {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.answer) == 1
    }
}

/// What a request has written beside its events.
#[derive(Debug, Clone)]
enum Extra {
    Key { key: IdempotencyKey, fingerprint: [u8; 32] },
    Change(Change),
}

impl Extra {
    /// Whether the store has to settle one after the other.
    fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key { key, .. }, Self::Key { key: other, .. }) => key == other,
            _ => true,
        }
    }
}

type Answer = Arc<Mutex<Option<Result<Receipt, AppendError>>>>;

/// Requests that are written together: one segment, or the several segments of one large request.
#[derive(Debug)]
struct Group {
    id: AppendId,
    requests: Vec<Pending>,
    /// The bodies cut to segments: how many events, and their encoding.
    parts: Vec<(usize, EncodedBodies)>,
    deadline: Timestamp,
    attempts: u32,
    /// Retries at once since the last pause, and pauses.
    retries: u32,
    pauses: u32,
    /// How long the last answer took.
    round_trip: Duration,
    /// What was sent to the store and not refused by it: to be sent again exactly as it is, because it may have arrived.
    sent: Option<Sent>,
    failure: Option<Arc<StoreError>>,
}

#[derive(Debug, Clone)]
struct Sent {
    behind: Tail,
    commit: Commit,
}

impl Log {
    /// Records `bodies` at the end of the organisation's log: all of them, in order and without another event between
    /// two of one segment, or none.
    ///
    /// # Errors
    /// See [`AppendError`]; only after [`AppendError::Unavailable`] may something have been recorded.
    pub async fn append(
        &self,
        organisation: &Organisation,
        bodies: Vec<Body>,
        key: Option<IdempotencyKey>,
    ) -> Result<Receipt, AppendError> {
        let extra = key.map(|key| Extra::Key { key, fingerprint: fingerprint(&bodies) });
        self.enqueue(organisation, bodies, extra).await
    }

    /// Records `body` and makes `change` in one transaction: both, or neither.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] where the registry is not as the change expects; else as [`Log::append`].
    pub async fn append_change(
        &self,
        organisation: &Organisation,
        body: Body,
        change: Change,
    ) -> Result<Receipt, AppendError> {
        self.enqueue(organisation, vec![body], Some(Extra::Change(change))).await
    }

    async fn enqueue(
        &self,
        organisation: &Organisation,
        bodies: Vec<Body>,
        extra: Option<Extra>,
    ) -> Result<Receipt, AppendError> {
        let committer = self.committer(&organisation.id);
        let answer = Answer::default();
        committer.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(Pending {
            bytes: bodies.iter().map(|body| body.as_str().len() + 1).sum(),
            bodies,
            extra,
            organisation: organisation.clone(),
            deadline: self.clock.now().plus(self.policy.deadline),
            answer: Arc::clone(&answer),
        });
        let answered = || answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        loop {
            let mut turn = committer.turn.lock().await;
            if let Some(result) = answered() {
                return result;
            }
            if turn.group.is_none() {
                let requests = take_group(&mut committer.queue.lock().unwrap_or_else(PoisonError::into_inner));
                turn.group = self.begin(requests);
            }
            self.write(&organisation.id, &mut turn).await;
            drop(turn);
            if let Some(result) = answered() {
                return result;
            }
        }
    }

    /// Encodes what is to be written together; only the header depends on the tail, so this is done once.
    fn begin(&self, requests: Vec<Pending>) -> Option<Group> {
        let deadline = requests.iter().map(|request| request.deadline).min()?;
        let bodies: Vec<Body> = requests.iter().flat_map(|request| request.bodies.iter().cloned()).collect();
        let mut parts = Vec::new();
        cut(&bodies, &mut parts);
        // What could not be read back must not be written.
        let unreadable = bodies.iter().any(|body| body.as_str().len() > MAX_TEXT_BYTES);
        if unreadable || parts.iter().map(|(_, encoded)| encoded.as_bytes().len()).sum::<usize>() > MAX_COMMIT_BYTES {
            requests.into_iter().for_each(|request| answer(request, Err(AppendError::TooLarge)));
            return None;
        }
        let id = AppendId(entropy::bytes(&*self.entropy));
        Some(Group {
            id,
            requests,
            parts,
            deadline,
            attempts: 0,
            retries: 0,
            pauses: 0,
            round_trip: Duration::ZERO,
            sent: None,
            failure: None,
        })
    }

    /// Writes the turn's group, if there is one, until it is there or its deadline has passed, and answers all its
    /// requests.
    async fn write(&self, organisation: &OrganisationId, turn: &mut Turn) {
        while let Some(group) = &mut turn.group {
            if self.clock.now() >= group.deadline {
                let unanswered = || Arc::new(StoreError::Unavailable("the answer did not come in time".into()));
                let error = match group.failure.take().or_else(|| group.sent.is_some().then(unanswered)) {
                    Some(failure) => AppendError::Unavailable(failure),
                    None => AppendError::Contended,
                };
                turn.tail = None;
                finish(&mut turn.group, |_, _| Err(error.clone()));
                return;
            }
            if group.attempts > 0 {
                self.tally.add(Appended { retries: 1, ..Appended::default() });
            }
            group.attempts += 1;
            let sent = match group.sent.clone() {
                Some(sent) => sent,
                None => match self.known_tail(organisation, turn.tail).await {
                    Ok(tail) => group.sent.insert(self.place(organisation, group, tail)).clone(),
                    Err(error) => {
                        self.set_back(group, error).await;
                        continue;
                    }
                },
            };
            let sent_at = self.clock.now();
            let result = self.store.commit(organisation, &sent.commit).await;
            group.round_trip = self.clock.now().since(sent_at);
            let recorded = match result {
                Ok(()) => sent.commit.segments.last().map(Segment::tail),
                Err(CommitError::Occupied(occupant)) if occupant.append == group.id => {
                    // An earlier try had arrived, and its answer was lost on the way back.
                    sent.commit.segments.last().map(Segment::tail)
                }
                Err(CommitError::Occupied(occupant)) => {
                    group.sent = None;
                    group.failure = None;
                    let at_once = match group.pauses {
                        0 => self.policy.retries_at_once,
                        _ => self.policy.retries_after_pause,
                    };
                    if group.retries < at_once {
                        group.retries += 1;
                        turn.tail = Some((occupant.tail, self.clock.now()));
                    } else {
                        group.retries = 0;
                        group.pauses += 1;
                        turn.tail = None;
                        self.back_off(group.round_trip, group.pauses).await;
                    }
                    continue;
                }
                Err(CommitError::Refused(index, refusal)) => {
                    let rest = answer_refused(&mut turn.group, organisation, index, refusal);
                    turn.group = self.begin(rest);
                    continue;
                }
                Err(CommitError::Busy) => {
                    self.back_off(group.round_trip, group.attempts).await;
                    continue;
                }
                Err(CommitError::Store(error)) => {
                    self.set_back(group, error).await;
                    continue;
                }
            };
            turn.tail = recorded.filter(|_| group.attempts == 1).map(|tail| (tail, self.clock.now()));
            let segments = &sent.commit.segments;
            self.tally.add(Appended {
                events: group.requests.iter().map(|request| request.bodies.len() as u64).sum(),
                bytes: group.requests.iter().map(|request| request.bytes as u64).sum(),
                retries: 0,
            });
            let mut before = sent.behind.event_id(organisation);
            finish(&mut turn.group, |request, offset| {
                let receipt = Receipt {
                    outcome: Outcome::Recorded { before },
                    spans: spans(segments, offset, request.bodies.len()),
                    organisation: organisation.clone(),
                };
                before = receipt.ids().last();
                Ok(receipt)
            });
        }
    }

    async fn known_tail(
        &self,
        organisation: &OrganisationId,
        own: Option<(Tail, Timestamp)>,
    ) -> Result<Tail, StoreError> {
        match own {
            Some((tail, at)) if self.clock.now().since(at) < self.policy.tail_ttl => Ok(tail),
            _ => self.tail(organisation).await,
        }
    }

    /// Notes that the store failed: lets some time pass, or gives up at once where more of it would not help.
    async fn set_back(&self, group: &mut Group, error: StoreError) {
        let hopeless = matches!(error, StoreError::Broken(_));
        group.failure = Some(Arc::new(error));
        if hopeless {
            group.deadline = Timestamp::EPOCH;
        } else {
            self.back_off(group.round_trip, group.attempts).await;
        }
    }

    /// Lets a random time pass, on average twice as long at each round, counted from 1.
    async fn back_off(&self, round_trip: Duration, round: u32) {
        let AppendPolicy { pause_first, pause_cap, round_trip_min, .. } = self.policy;
        let round_trips = pause_first.saturating_mul(1 << (round - 1).min(16)).min(pause_cap);
        let limit = round_trip.max(round_trip_min).saturating_mul(round_trips);
        self.clock.sleep(entropy::jitter(&*self.entropy, limit)).await;
    }

    /// The commit that puts `group` right behind `tail`.
    fn place(&self, organisation: &OrganisationId, group: &Group, tail: Tail) -> Sent {
        let now = self.clock.now();
        let mut behind = tail;
        let mut bodies = group.requests.iter().flat_map(|request| request.bodies.iter().cloned());
        let (name, retention) = group.requests.last().map_or((String::new(), Duration::ZERO), |request| {
            (request.organisation.name.clone(), request.organisation.retention.duration())
        });
        let mut segments = Vec::with_capacity(group.parts.len());
        for (count, encoded) in &group.parts {
            let part: Vec<Body> = bodies.by_ref().take(*count).collect();
            let recorded_at = now.max(behind.recorded_at.plus(Duration::from_millis(1)));
            let first = behind.last + 1;
            let segment = Segment {
                first,
                count: offset(*count as u64),
                recorded_at,
                previous_hash: behind.hash,
                hash: Segment::chain(organisation, &name, recorded_at, first, behind.hash, &part),
                append: group.id,
                organisation_name: name.clone(),
                bodies: encoded.clone(),
                expires_at: recorded_at.plus(retention).as_secs_ceil(),
            };
            behind = segment.tail();
            segments.push(segment);
        }
        let mut offset = 0;
        let mut items = Vec::new();
        for request in &group.requests {
            match &request.extra {
                Some(Extra::Key { key, fingerprint }) => items.push(TransactItem::Key(IdempotencyRecord {
                    key: key.0,
                    fingerprint: *fingerprint,
                    spans: spans(&segments, offset, request.bodies.len()),
                    expires_at: now.plus(IDEMPOTENCY_TTL).as_secs_ceil(),
                })),
                Some(Extra::Change(change)) => items.push(TransactItem::Change(change.clone())),
                None => {}
            }
            offset += request.bodies.len();
        }
        Sent { behind: tail, commit: Commit { segments, items, now: now.as_millis() / 1000 } }
    }
}

/// Takes from the queue what is written together next: requests that fit one segment, all of them with something beside
/// their events or all of them without (a transaction costs twice as much, which those without need not pay); or one
/// large request; or one change.
fn take_group(queue: &mut VecDeque<Pending>) -> Vec<Pending> {
    /// A transaction has at most 100 items (AWS, "TransactWriteItems").
    const MAX_KEYS: usize = 90;
    queue.retain(|request| !request.is_abandoned());
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

/// Where the `count` events from `offset` on, counted over all segments, are.
fn spans(segments: &[Segment], offset: usize, count: usize) -> Vec<Span> {
    let (mut skip, mut left) = (offset, count);
    let mut spans = Vec::new();
    for segment in segments {
        let length = usize::from(segment.count);
        let here = length.saturating_sub(skip).min(left);
        if here > 0 {
            spans.push(Span {
                segment: segment.first,
                recorded_at: segment.recorded_at,
                index: super::segment::offset(skip as u64),
                count: super::segment::offset(here as u64),
            });
        }
        skip = skip.saturating_sub(length);
        left -= here;
    }
    spans
}

fn fingerprint(bodies: &[Body]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for body in bodies {
        hash.update(body.as_str().as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().into()
}

fn answer(request: Pending, result: Result<Receipt, AppendError>) {
    *request.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
}

/// Ends the group: answers each request with what `result` makes of it and the number of events before its own.
fn finish(group: &mut Option<Group>, mut result: impl FnMut(&Pending, usize) -> Result<Receipt, AppendError>) {
    let mut offset = 0;
    for request in group.take().into_iter().flat_map(|group| group.requests) {
        let result = result(&request, offset);
        offset += request.bodies.len();
        answer(request, result);
    }
}

/// Answers the request whose key or change was refused, and gives back the others.
fn answer_refused(
    group: &mut Option<Group>,
    organisation: &OrganisationId,
    index: usize,
    refusal: Refusal,
) -> Vec<Pending> {
    let mut requests = group.take().map(|group| group.requests).unwrap_or_default();
    let position = requests.iter().enumerate().filter(|(_, request)| request.extra.is_some()).nth(index);
    let Some(position) = position.map(|(position, _)| position) else { return requests };
    let request = requests.remove(position);
    let result = match (refusal, &request.extra) {
        (Refusal::Conflict(conflict), _) => Err(AppendError::Conflict(conflict)),
        (Refusal::KeyInUse(record), Some(Extra::Key { fingerprint, .. })) if *fingerprint == record.fingerprint => {
            Ok(Receipt { outcome: Outcome::Replayed, spans: record.spans, organisation: organisation.clone() })
        }
        (Refusal::KeyInUse(_), _) => Err(AppendError::KeyReused),
    };
    answer(request, result);
    requests
}
