//! The task that delivers: one request at a time, in order, each batch under its own idempotency key until its fate is
//! known. Decides what becomes of a batch; what an answer means is [`answer`](crate::answer)'s to say.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::header::HeaderValue;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    answer::{self, Verdict},
    buffer::{Buffer, Entry, Fate, Phase},
    chance::Chance,
    http::{Request, Transport},
    report::{Loss, Observer, Status, Trouble, Undelivered},
};

/// The bound of the first pause after a failure; each further one is twice the one before.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(100);
/// The same where somebody has to change something first: trying more often only makes noise in the server's logs.
const ATTENTION_DELAY_FIRST: Duration = Duration::from_secs(1);
/// The bound of all pauses while somebody has to change something. A new token ends the pause.
const ATTENTION_DELAY_MAX: Duration = Duration::from_secs(60);

/// How patient the sender is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry_delay_max: Duration,
    pub(crate) max_age: Option<Duration>,
}

/// The task's state.
pub(crate) struct Sender<T> {
    buffer: Arc<Buffer>,
    transport: T,
    token: watch::Receiver<HeaderValue>,
    patience: Patience,
    chance: Chance,
    observer: Option<Arc<dyn Observer>>,
    status: Arc<watch::Sender<Status>>,
    /// What was taken out of the buffer: the first is under way, the others are what it was split from.
    batches: VecDeque<Batch>,
    /// Failures since the last answer that was as it should be.
    failures: u32,
}

/// Events that are sent together, and the bytes that are sent: always the same under one key.
struct Batch {
    key: String,
    body: Bytes,
    entries: Vec<Entry>,
    attempts: u32,
    /// Whether a request was sent and its answer never came.
    in_doubt: bool,
}

impl Batch {
    fn new(key: String, entries: Vec<Entry>) -> Self {
        let mut body = Vec::with_capacity(entries.iter().map(|entry| entry.line.size_bytes()).sum());
        for entry in &entries {
            body.extend_from_slice(entry.line.as_str().as_bytes());
            body.push(b'\n');
        }
        Self { key, body: body.into(), entries, attempts: 0, in_doubt: false }
    }
}

impl<T: Transport> Sender<T> {
    pub(crate) fn new(
        buffer: Arc<Buffer>,
        transport: T,
        token: watch::Receiver<HeaderValue>,
        patience: Patience,
        chance: Chance,
        observer: Option<Arc<dyn Observer>>,
        status: Arc<watch::Sender<Status>>,
    ) -> Self {
        Self { buffer, transport, token, patience, chance, observer, status, batches: VecDeque::new(), failures: 0 }
    }

    /// Delivers until the client has closed and nothing is left, or its deadline has come. What is left then is reported
    /// when the sender is dropped, as it is when the runtime ends.
    pub(crate) async fn run(mut self) {
        let phase = self.buffer.phase();
        tokio::select! {
            biased;
            () = deadline(phase) => {}
            () = self.deliver() => {}
        }
    }

    async fn deliver(&mut self) {
        while let Some(entries) = self.buffer.next_batch().await {
            self.push_front(entries);
            while !self.batches.is_empty() {
                self.attempt().await;
                let under_way = self.batches.front().and_then(|batch| batch.entries.first());
                self.buffer.settle(under_way.map(|entry| entry.number));
            }
        }
    }

    fn push_front(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.batches.push_front(Batch::new(self.chance.key(), entries));
        }
    }

    fn pop_front(&mut self) -> Vec<Entry> {
        self.batches.pop_front().map_or_else(Vec::new, |batch| batch.entries)
    }

    /// Tries once to deliver the first batch, and pauses where that failed.
    async fn attempt(&mut self) {
        let Some(batch) = self.batches.front_mut() else { return };
        // Entries are in the order of time: the last is the youngest.
        let age = batch.entries.last().map_or(Duration::ZERO, |youngest| youngest.recorded_at.elapsed());
        if self.patience.max_age.is_some_and(|max_age| age > max_age) {
            let loss = Loss::TooOld { in_doubt: batch.in_doubt };
            let entries = self.pop_front();
            self.lose_all(entries, Fate::Dropped, &loss);
            return;
        }
        if batch.attempts > 0 {
            self.buffer.count_retry();
        }
        batch.attempts += 1;
        let was_in_doubt = std::mem::replace(&mut batch.in_doubt, true);
        let request =
            Request { key: batch.key.clone(), body: batch.body.clone(), token: self.token.borrow_and_update().clone() };
        let (verdict, in_doubt) = match timeout(self.patience.attempt_timeout, self.transport.post(request)).await {
            Ok(Ok(answer)) => (answer::judge(&answer, batch.entries.len()), !(300..500).contains(&answer.status)),
            Ok(Err(unanswered)) => (failed(Trouble::Unreachable(unanswered.detail)), unanswered.in_doubt),
            Err(_) => (failed(Trouble::TimedOut), true),
        };
        batch.in_doubt = was_in_doubt || in_doubt;
        self.follow(verdict).await;
    }

    /// Does with the first batch what the verdict on it asks for.
    async fn follow(&mut self, verdict: Verdict) {
        let (trouble, retry_after) = match verdict {
            Verdict::Failed { trouble, retry_after } => (trouble, retry_after),
            Verdict::KeyReused(trouble) => {
                let entries = self.pop_front();
                self.push_front(entries);
                (trouble, Duration::ZERO)
            }
            settled => {
                self.works();
                let entries = self.pop_front();
                self.settle(settled, entries);
                return;
            }
        };
        self.failures = self.failures.saturating_add(1);
        let (first, max) = if trouble.needs_attention() {
            (ATTENTION_DELAY_FIRST, ATTENTION_DELAY_MAX)
        } else {
            (RETRY_DELAY_FIRST, self.patience.retry_delay_max)
        };
        let limit = first.saturating_mul(1 << (self.failures - 1).min(20)).min(max);
        let delay = retry_after + self.chance.jitter(limit);
        self.fails(trouble);
        self.pause(delay).await;
    }

    /// Lets go of a batch that the server has decided on, or of parts of it.
    fn settle(&mut self, verdict: Verdict, mut entries: Vec<Entry>) {
        match verdict {
            Verdict::Recorded(receipts) => {
                self.buffer.release(entries.iter(), Fate::Delivered);
                for (entry, receipt) in entries.into_iter().zip(receipts) {
                    if let Some(waiter) = entry.waiter {
                        let _ = waiter.send(Ok(receipt));
                    }
                }
            }
            Verdict::Rejected(mut faults) => {
                let (mut bad, mut good) = (Vec::new(), Vec::new());
                for (index, entry) in entries.into_iter().enumerate() {
                    match faults.remove(&index) {
                        Some(faults) => bad.push((entry, Loss::Rejected(faults))),
                        None => good.push(entry),
                    }
                }
                self.push_front(good);
                self.lose(bad, Fate::Rejected);
            }
            Verdict::Indivisible(fault) if entries.len() == 1 => {
                self.lose_all(entries, Fate::Rejected, &Loss::Rejected(vec![fault]));
            }
            Verdict::Indivisible(_) => {
                let second = entries.split_off(entries.len() / 2);
                self.push_front(second);
                self.push_front(entries);
            }
            Verdict::Failed { .. } | Verdict::KeyReused(_) => self.push_front(entries),
        }
    }

    /// Waits before the next attempt; a new token, or the beginning of the end, is a reason to try at once.
    async fn pause(&mut self, delay: Duration) {
        let mut phase = self.buffer.phase();
        let closing = *phase.borrow() != Phase::Open;
        tokio::select! {
            () = sleep(delay) => {}
            Ok(()) = self.token.changed() => self.failures = 0,
            Ok(_) = phase.wait_for(|phase| *phase != Phase::Open), if !closing => self.failures = 0,
        }
    }

    fn works(&mut self) {
        self.failures = 0;
        if let Status::Failing { since, .. } = &*self.status.borrow() {
            tracing::info!(failing_seconds = since.elapsed().as_secs(), "audit events are delivered again");
        } else {
            return;
        }
        self.status.send_replace(Status::Working);
        self.tell(|observer| observer.status_changed(&Status::Working));
    }

    fn fails(&mut self, trouble: Trouble) {
        let since = match &*self.status.borrow() {
            Status::Failing { since, .. } => Some(*since),
            Status::Working => None,
        };
        let status = Status::Failing { since: since.unwrap_or_else(Instant::now), trouble };
        self.status.send_replace(status.clone());
        if since.is_none() {
            if let Status::Failing { trouble, .. } = &status {
                tracing::warn!(%trouble, "audit events cannot be delivered: they are kept and tried again");
            }
            self.tell(|observer| observer.status_changed(&status));
        }
    }

    /// Gives up a batch as a whole.
    fn lose_all(&self, entries: Vec<Entry>, fate: Fate, loss: &Loss) {
        self.lose(entries.into_iter().map(|entry| (entry, loss.clone())).collect(), fate);
    }
}

impl<T> Sender<T> {
    /// Gives up events, and tells everybody who wants to know: the events.
    fn lose(&self, lost: Vec<(Entry, Loss)>, fate: Fate) -> Vec<String> {
        if lost.is_empty() {
            return Vec::new();
        }
        self.buffer.release(lost.iter().map(|(entry, _)| entry), fate);
        tracing::warn!(events = lost.len(), fate = ?fate, "audit events will not be delivered");
        let tell = |(entry, loss): (Entry, Loss)| {
            self.tell(|observer| observer.lost(entry.line.as_str(), &loss));
            if let Some(waiter) = entry.waiter {
                // Who no longer waits has no use for it.
                let _ = waiter.send(Err(loss));
            }
            entry.line.into_string()
        };
        lost.into_iter().map(tell).collect()
    }

    /// An observer is the host's code: its panic is not ours.
    fn tell(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer
            && catch_unwind(AssertUnwindSafe(|| tell(&**observer))).is_err()
        {
            tracing::warn!("the observer of audit events panicked");
        }
    }
}

/// However the task ends, also with its runtime, what is left is accounted for and nobody waits for ever.
impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waiting = self.buffer.end();
        let under_way = std::mem::take(&mut self.batches).into_iter();
        let under_way = under_way.flat_map(|batch| batch.entries.into_iter().map(move |entry| (entry, batch.in_doubt)));
        let (lost, doubts): (Vec<_>, Vec<_>) = under_way
            .chain(waiting.into_iter().map(|entry| (entry, false)))
            .map(|(entry, in_doubt)| ((entry, Loss::Ended { in_doubt }), in_doubt))
            .unzip();
        let events = self.lose(lost, Fate::Dropped).into_iter().zip(doubts);
        self.buffer.leave(events.map(|(event, in_doubt)| Undelivered { event, in_doubt }).collect());
    }
}

fn failed(trouble: Trouble) -> Verdict {
    Verdict::Failed { trouble, retry_after: Duration::ZERO }
}

/// Returns at the deadline, once there is one.
async fn deadline(mut phase: watch::Receiver<Phase>) {
    loop {
        let now = *phase.borrow_and_update();
        let changed = match now {
            Phase::Closing(Some(deadline)) => tokio::select! {
                () = sleep_until(deadline) => return,
                changed = phase.changed() => changed,
            },
            _ => phase.changed().await,
        };
        if changed.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod memory_server;
#[cfg(test)]
mod tests;
