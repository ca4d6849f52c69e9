//! The model test: random appends and reads of a log at the same time, with failures and months of silence, checked
//! against what a log promises. [`annals`] is the log of Annals as its subject. [`crate::broken_logs`] are logs that it
//! must reject.
//!
//! A seed decides everything and time is virtual, so each run of a seed is the same.

pub mod annals;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    sync::Arc,
    time::Duration,
};

use annals_core::time::{Clock, Timestamp};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};

use crate::{clock::PausedClock, entropy::SeededEntropy, sample};

/// The longest time that a writer tries.
const DEADLINE: Duration = Duration::from_secs(15);
/// The latest that a write arrives after its request.
pub const LATE: Duration = Duration::from_secs(20);
const KEY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The events of one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// One label for each event: unique and ascending.
    pub labels: Vec<String>,
    /// Incompressible bytes in each event.
    pub ballast: usize,
    /// The idempotency key, if there is one.
    pub key: Option<String>,
}

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The events are recorded, with these sequences if the log returns any.
    Recorded(Vec<u64>),
    /// They were recorded before, with these sequences.
    Replayed(Vec<u64>),
    /// Nothing was recorded: the key was used for other events.
    KeyReused,
    /// Nothing was recorded, for another reason.
    Nothing,
    /// No answer came: the events may be recorded.
    Unknown,
}

/// An event that the log holds or held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub sequence: u64,
    /// Its label, or `None` if the log recorded the event itself.
    pub label: Option<String>,
    /// The text that a reader sees: unique.
    pub text: String,
    /// No reader sees it from this time on.
    pub expires_at: Timestamp,
}

/// A page of a reader.
#[derive(Debug, Clone)]
pub struct Polled<C> {
    pub events: Vec<String>,
    pub cursor: C,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Acknowledged events are in the log, at the sequences of the answer.
    NothingLost,
    /// No event is in the log twice.
    NothingDoubled,
    /// If the answer says that nothing was recorded, nothing was.
    NothingUnsaid,
    /// A batch is in the log whole, in order and without gaps, or not at all.
    BatchesWhole,
    /// Sequences have no gaps and never change.
    Dense,
    /// Each line carries the hash of the line before it.
    Chained,
    /// A segment is recorded later than the one before it and kept as long as promised.
    TimesRise,
    /// A reader that follows its cursor sees every event once and in order.
    NothingMissed,
    /// Every way of reading shows the same events.
    ReadsAgree,
    /// An idempotency key stands for one batch as long as it is remembered.
    KeysHold,
    /// An ID without an event is refused for the right reason.
    IdsJudged,
}

impl Violation {
    pub fn new(promise: Promise, detail: impl Into<String>) -> Self {
        Self { promise, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.detail)
    }
}

impl std::error::Error for Violation {}

/// The time and the randomness of a subject.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub clock: Arc<PausedClock>,
    pub entropy: Arc<SeededEntropy>,
}

/// A log that the model test can check.
#[async_trait]
pub trait Subject: Send + Sync {
    type Cursor: Clone + Send + Sync;

    /// The number of independent writers.
    fn writers(&self) -> usize;

    /// Whether the log supports idempotency keys.
    fn knows_keys(&self) -> bool;

    /// Appends a batch as one of the writers. Dropping the future is a client that disconnects.
    async fn append(&self, writer: usize, batch: &Batch) -> Result<Answer, Violation>;

    /// Cursors of all readers at the beginning of the log.
    fn readers(&self) -> Vec<Self::Cursor>;

    /// The next page of a reader: empty if it is up to date, `None` if reading failed.
    async fn poll(&self, cursor: &Self::Cursor) -> Result<Option<Polled<Self::Cursor>>, Violation>;

    /// All events that were ever recorded, in order, from the store.
    fn contents(&self) -> Vec<Recorded>;

    /// A change besides appends, for instance of settings, if the log supports any.
    async fn meddle(&self) -> Result<(), Violation> {
        Ok(())
    }

    /// Lets at most a day pass without appends, with the daily maintenance.
    async fn idle(&self, duration: Duration) -> Result<(), Violation>;

    /// Reads everything in every way while nothing else happens.
    async fn inspect(&self) -> Result<(), Violation> {
        Ok(())
    }

    /// What the store refused, and where it was wrong.
    fn refusals(&self) -> Refusals {
        Refusals::default()
    }

    /// From now on nothing fails.
    fn heal(&self) {}

    /// At most an hour later, the processes that froze in the middle of an append go on. Returns their number.
    async fn thaw(&self) -> u64 {
        0
    }
}

/// What a store refused, and where it was wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Calls beyond the throughput of a partition.
    pub throttled: u64,
    /// Writes that met a transaction in progress.
    pub conflicts: u64,
    /// Answers that were empty by mistake.
    pub emptied: u64,
}

/// What happened in a run, so that tests can require that enough happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub appends: u64,
    /// Acknowledged appends, replays included.
    pub acknowledged: u64,
    /// Acknowledged as replays.
    pub replayed: u64,
    /// Refused for their key.
    pub reused: u64,
    /// Appends without an answer.
    pub unknown: u64,
    /// Processes that froze in the middle of an append and went on later.
    pub frozen: u64,
    /// Events that were ever recorded.
    pub events: u64,
    /// Of these, the events that are expired at the end.
    pub expired: u64,
    pub days: u64,
    /// Successful reads.
    pub polls: u64,
    pub refusals: Refusals,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.appends += other.appends;
        self.acknowledged += other.acknowledged;
        self.replayed += other.replayed;
        self.reused += other.reused;
        self.unknown += other.unknown;
        self.frozen += other.frozen;
        self.events += other.events;
        self.expired += other.expired;
        self.days += other.days;
        self.polls += other.polls;
        self.refusals.throttled += other.refusals.throttled;
        self.refusals.conflicts += other.refusals.conflicts;
        self.refusals.emptied += other.refusals.emptied;
    }
}

/// Runs `future` in a runtime of one thread with virtual time.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// Runs the scenario of one seed on the subject that `make` returns.
///
/// # Errors
/// Returns the first broken promise.
pub fn run<S: Subject>(seed: u64, make: impl AsyncFnOnce(Surroundings) -> S) -> Result<Tally, Violation> {
    in_virtual_time(async {
        let entropy = SeededEntropy::new(seed);
        let surroundings = Surroundings { clock: PausedClock::new(sample::START), entropy: entropy.fork() };
        let subject = make(surroundings.clone()).await;
        let readers = subject.readers().into_iter().map(Poller::new).collect();
        Run {
            subject,
            clock: surroundings.clock,
            entropy,
            readers,
            sent: Vec::new(),
            keys: BTreeMap::new(),
            tally: Tally::default(),
        }
        .scenario()
        .await
    })
}

/// A reader and all that it has seen.
struct Poller<C> {
    cursor: C,
    /// Texts of events, each with the time at which it was seen.
    seen: Vec<(Timestamp, String)>,
}

impl<C> Poller<C> {
    fn new(cursor: C) -> Self {
        Self { cursor, seen: Vec::new() }
    }
}

/// A batch and all answers to it.
struct Sent {
    batch: Arc<Batch>,
    answers: Vec<Answer>,
}

/// The last use of an idempotency key.
#[derive(Clone)]
struct KeyUse {
    /// When it was first sent.
    since: Timestamp,
    /// When it was last sent: the batch may be recorded as late as this.
    last: Timestamp,
    /// Indexes of the batches that were sent with it.
    sent: Vec<usize>,
}

struct Run<S: Subject> {
    subject: S,
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    readers: Vec<Poller<S::Cursor>>,
    sent: Vec<Sent>,
    /// By key and number of use.
    keys: BTreeMap<(String, usize), KeyUse>,
    tally: Tally,
}

enum Event<C> {
    Answer(usize, Answer),
    Seen(usize, Vec<(Timestamp, Polled<C>)>),
    Nothing,
}

impl<S: Subject> Run<S> {
    async fn scenario(mut self) -> Result<Tally, Violation> {
        for _ in 0..self.entropy.between(4, 12) {
            match self.entropy.below(10) {
                0..6 => self.burst().await?,
                6..9 => self.quiet().await?,
                _ => {
                    self.clock.sleep(LATE).await;
                    self.subject.inspect().await?;
                }
            }
        }
        self.burst().await?;
        self.subject.heal();
        self.tally.frozen += self.subject.thaw().await;
        self.clock.sleep(LATE).await;
        self.subject.inspect().await?;
        self.check_contents()?;
        self.check_readers().await?;
        let (contents, now) = (self.subject.contents(), self.clock.now());
        self.tally.events = contents.len() as u64;
        self.tally.expired = contents.iter().filter(|event| event.expires_at <= now).count() as u64;
        self.tally.refusals = self.subject.refusals();
        self.tally.days = now.since(sample::START).as_secs() / 86_400;
        Ok(self.tally)
    }

    /// Writers and readers at the same time.
    async fn burst(&mut self) -> Result<(), Violation> {
        let count = self.entropy.between(1, 12);
        let span = Duration::from_millis(*self.entropy.pick(&[0, 5, 50, 500]));
        let appends: Vec<_> = (0..count).map(|_| self.next_append(span)).collect();
        let mut readings = Vec::new();
        for reader in 0..self.readers.len() {
            if self.entropy.happens(0.7) {
                let start = self.entropy.duration(span * 2);
                readings.push(Reading { reader, start, times: self.entropy.between(1, 5) });
            }
        }
        let meddles = self.entropy.happens(0.4);
        let (subject, clock) = (&self.subject, &self.clock);
        let mut all: Vec<BoxFuture<'_, Result<Event<S::Cursor>, Violation>>> = Vec::new();
        for Append { index, batch, writer, start, patience } in appends {
            all.push(Box::pin(async move {
                clock.sleep(start).await;
                let answer = tokio::select! {
                    biased;
                    answer = subject.append(writer, &batch) => answer?,
                    () = clock.sleep(patience) => Answer::Unknown,
                };
                Ok(Event::Answer(index, answer))
            }));
        }
        for Reading { reader, start, times } in readings {
            let mut cursor = self.readers[reader].cursor.clone();
            all.push(Box::pin(async move {
                clock.sleep(start).await;
                let mut seen = Vec::new();
                for _ in 0..times {
                    tokio::select! {
                        biased;
                        polled = subject.poll(&cursor) => if let Some(polled) = polled? {
                            cursor = polled.cursor.clone();
                            seen.push((clock.now(), polled));
                        },
                        () = clock.sleep(DEADLINE) => {}
                    }
                }
                Ok(Event::Seen(reader, seen))
            }));
        }
        if meddles {
            all.push(Box::pin(async move {
                clock.sleep(span / 2).await;
                tokio::select! {
                    biased;
                    done = subject.meddle() => done?,
                    () = clock.sleep(DEADLINE) => {}
                }
                Ok(Event::Nothing)
            }));
        }
        for event in join_all(all).await {
            match event? {
                Event::Answer(index, answer) => self.note_answer(index, answer),
                Event::Seen(reader, seen) => {
                    seen.into_iter().for_each(|(at, polled)| self.note_poll(reader, polled, at))
                }
                Event::Nothing => {}
            }
        }
        Ok(())
    }

    fn note_answer(&mut self, index: usize, answer: Answer) {
        self.tally.appends += 1;
        match &answer {
            Answer::Recorded(_) => self.tally.acknowledged += 1,
            Answer::Replayed(_) => {
                self.tally.acknowledged += 1;
                self.tally.replayed += 1;
            }
            Answer::KeyReused => self.tally.reused += 1,
            Answer::Nothing => {}
            Answer::Unknown => self.tally.unknown += 1,
        }
        self.sent[index].answers.push(answer);
    }

    fn note_poll(&mut self, reader: usize, polled: Polled<S::Cursor>, at: Timestamp) {
        self.tally.polls += 1;
        let reader = &mut self.readers[reader];
        reader.cursor = polled.cursor;
        reader.seen.extend(polled.events.into_iter().map(|event| (at, event)));
    }

    fn next_append(&mut self, span: Duration) -> Append {
        let entropy = Arc::clone(&self.entropy);
        let index = match entropy.below(10) {
            _ if !self.subject.knows_keys() => None,
            // Send an earlier batch again while its key is certainly remembered.
            0 | 1 => self.live_key().map(|(name, mut key)| {
                key.last = self.clock.now();
                let index = *entropy.pick(&key.sent);
                self.keys.insert(name, key);
                index
            }),
            // Use a key again for other events.
            2 => self.live_key().map(|(name, mut key)| {
                let index = self.send(Some(name.0.clone()));
                key.last = self.clock.now();
                key.sent.push(index);
                self.keys.insert(name, key);
                index
            }),
            // Use a key that is forgotten by now.
            3 => self.forgotten_key().map(|name| self.first_use(name)),
            4 | 5 => {
                let name = (format!("key-{}", self.sent.len()), 0);
                Some(self.first_use(name))
            }
            _ => None,
        };
        let index = index.unwrap_or_else(|| self.send(None));
        let patience = if entropy.happens(0.2) {
            entropy.duration(Duration::from_millis(100))
        } else {
            // Some clients disconnect just before the writer gives up, others wait for its answer.
            DEADLINE.mul_f64(0.8 + entropy.fraction())
        };
        Append {
            index,
            batch: Arc::clone(&self.sent[index].batch),
            writer: entropy.below(self.subject.writers()),
            start: entropy.duration(span),
            patience,
        }
    }

    fn first_use(&mut self, name: (String, usize)) -> usize {
        let index = self.send(Some(name.0.clone()));
        let now = self.clock.now();
        self.keys.insert(name, KeyUse { since: now, last: now, sent: vec![index] });
        index
    }

    fn live_key(&self) -> Option<((String, usize), KeyUse)> {
        let now = self.clock.now();
        let is_live = |key: &KeyUse| now.since(key.since) < KEY_TTL - Duration::from_secs(3600);
        let live: Vec<_> = self.keys.iter().filter(|(_, key)| is_live(key)).collect();
        (!live.is_empty()).then(|| {
            let (name, key) = *self.entropy.pick(&live);
            (name.clone(), key.clone())
        })
    }

    /// The next use of a key that is certainly forgotten.
    fn forgotten_key(&self) -> Option<(String, usize)> {
        let now = self.clock.now();
        let mut last: HashMap<&str, (usize, Timestamp)> = HashMap::new();
        for ((name, number), key) in &self.keys {
            last.insert(name, (*number, key.last));
        }
        let mut forgotten: Vec<_> = last
            .into_iter()
            .filter(|(_, (_, sent))| now.since(*sent) > KEY_TTL + Duration::from_secs(3600))
            .map(|(name, (number, _))| (name.to_owned(), number + 1))
            .collect();
        forgotten.sort();
        (!forgotten.is_empty()).then(|| self.entropy.pick(&forgotten).clone())
    }

    fn send(&mut self, key: Option<String>) -> usize {
        let number = self.sent.len();
        let (count, ballast) = match self.entropy.below(300) {
            // More than fits into one segment, even compressed.
            0 => (self.entropy.between(6, 8), 90_000),
            1..90 => (self.entropy.between(2, 12), 0),
            _ => (1, 0),
        };
        let labels = (0..count).map(|i| format!("b{number:05}.{i:03}")).collect();
        let batch = Batch { labels, ballast: usize::try_from(ballast).unwrap(), key };
        self.sent.push(Sent { batch: Arc::new(batch), answers: Vec::new() });
        number
    }

    /// Days, weeks or months without appends.
    async fn quiet(&mut self) -> Result<(), Violation> {
        // No earlier write is under way any more.
        self.tally.frozen += self.subject.thaw().await;
        self.clock.sleep(LATE).await;
        let days = *self.entropy.pick(&[1, 1, 2, 6, 7, 8, 20, 60]);
        for _ in 0..days {
            let most = Duration::from_secs(24 * 3600 - 60);
            self.subject.idle(most - self.entropy.duration(most / 10)).await?;
        }
        Ok(())
    }

    fn check_contents(&self) -> Result<(), Violation> {
        let contents = self.subject.contents();
        if let Some((index, event)) = contents.iter().enumerate().find(|(i, event)| event.sequence != *i as u64 + 1) {
            let detail = format!("after sequence {index} comes {}", event.sequence);
            return Err(Violation::new(Promise::Dense, detail));
        }
        let mut places: HashMap<&str, u64> = HashMap::new();
        for event in &contents {
            if let Some(label) = &event.label
                && let Some(before) = places.insert(label, event.sequence)
            {
                let detail = format!("{label} is at {before} and at {}", event.sequence);
                return Err(Violation::new(Promise::NothingDoubled, detail));
            }
        }
        for sent in &self.sent {
            check_batch(sent, &places)?;
        }
        for ((name, _), key) in &self.keys {
            let recorded = |index: &&usize| places.contains_key(self.sent[**index].batch.labels[0].as_str());
            let reused = key.sent.iter().any(|index| self.sent[*index].answers.contains(&Answer::KeyReused));
            let count = key.sent.iter().filter(recorded).count();
            if count > 1 {
                return Err(Violation::new(Promise::KeysHold, format!("{name} stands for {count} batches")));
            }
            if reused && key.sent.len() < 2 {
                let detail = format!("{name} was refused, and was never sent with other events");
                return Err(Violation::new(Promise::KeysHold, detail));
            }
        }
        Ok(())
    }

    async fn check_readers(&mut self) -> Result<(), Violation> {
        for reader in 0..self.readers.len() {
            // Its own reads are recorded, so no page is empty: it has caught up when it has seen the event that is the
            // last now.
            let contents = self.subject.contents();
            let now = self.clock.now();
            let last = contents.iter().rfind(|event| event.label.is_some() && event.expires_at > now);
            for _ in 0..4 * contents.len() + 50 {
                let is_last = |(_, text): &(Timestamp, String)| last.is_none_or(|last| *text == last.text);
                if self.readers[reader].seen.iter().rev().any(is_last) {
                    break;
                }
                let polled = self.subject.poll(&self.readers[reader].cursor).await?;
                let Some(polled) = polled else {
                    return Err(Violation::new(Promise::ReadsAgree, "a read failed although nothing fails any more"));
                };
                self.note_poll(reader, polled, self.clock.now());
            }
            self.check_reader(&self.readers[reader].seen)?;
        }
        Ok(())
    }

    /// A reader has seen every event once and in order, except expired ones.
    fn check_reader(&self, seen: &[(Timestamp, String)]) -> Result<(), Violation> {
        let contents = self.subject.contents();
        let missed = |event: &Recorded, why: &str| {
            Violation::new(Promise::NothingMissed, format!("sequence {} ({:?}) {why}", event.sequence, event.label))
        };
        let mut rest = contents.iter();
        for (at, text) in seen {
            loop {
                let Some(event) = rest.next() else {
                    let detail = format!("seen out of order, twice, or never recorded: {text}");
                    return Err(Violation::new(Promise::NothingMissed, detail));
                };
                if event.text == *text {
                    break;
                }
                if event.expires_at > *at {
                    return Err(missed(event, "was passed over"));
                }
            }
        }
        let now = self.clock.now();
        match rest.find(|event| event.label.is_some() && event.expires_at > now) {
            Some(event) => Err(missed(event, "was not shown at the end")),
            None => Ok(()),
        }
    }
}

/// A reader reads several times, each time from its cursor.
struct Reading {
    reader: usize,
    start: Duration,
    times: u64,
}

struct Append {
    index: usize,
    batch: Arc<Batch>,
    writer: usize,
    start: Duration,
    patience: Duration,
}

fn check_batch(sent: &Sent, places: &HashMap<&str, u64>) -> Result<(), Violation> {
    let labels = &sent.batch.labels;
    let found: Vec<u64> = labels.iter().filter_map(|label| places.get(label.as_str()).copied()).collect();
    if !found.is_empty() && (found.len() < labels.len() || found.windows(2).any(|pair| pair[1] != pair[0] + 1)) {
        return Err(Violation::new(Promise::BatchesWhole, format!("{labels:?} is at {found:?}")));
    }
    for answer in &sent.answers {
        let (Answer::Recorded(told) | Answer::Replayed(told)) = answer else { continue };
        if found.is_empty() || (!told.is_empty() && *told != found) {
            let detail = format!("{labels:?} was said to be at {told:?} and is at {found:?}");
            return Err(Violation::new(Promise::NothingLost, detail));
        }
    }
    let said_nothing = |answer: &Answer| matches!(answer, Answer::Nothing | Answer::KeyReused);
    if !found.is_empty() && sent.answers.iter().all(said_nothing) {
        let detail = format!("{labels:?} is at {found:?}, and the answers were {:?}", sent.answers);
        return Err(Violation::new(Promise::NothingUnsaid, detail));
    }
    Ok(())
}
