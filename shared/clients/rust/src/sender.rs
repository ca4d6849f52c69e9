//! The task that delivers events: one request at a time, in order. Each batch keeps its idempotency key until its outcome is
//! known. Does not interpret responses: that is [`crate::response`].

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
    buffer::{Buffer, Entry, Fate, Phase},
    http::{Request, Transport},
    randomness::Randomness,
    report::{DeliveryError, Loss, Observer, Status, Undelivered},
    response::{Verdict, interpret},
};

/// The limit of the first delay after a failure. It doubles with each further failure.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(100);
/// The same if the token or the configuration must be changed first: more frequent retries would only fill the server's logs.
const ATTENTION_DELAY_FIRST: Duration = Duration::from_secs(1);
/// The largest limit in that case. A new token ends the delay at once.
const ATTENTION_DELAY_MAX: Duration = Duration::from_secs(60);

/// When to retry, and when to give up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry_delay_max: Duration,
    pub(crate) max_age: Option<Duration>,
}

pub(crate) struct Sender<T> {
    buffer: Arc<Buffer>,
    transport: T,
    token: watch::Receiver<HeaderValue>,
    retry_policy: RetryPolicy,
    randomness: Randomness,
    observer: Option<Arc<dyn Observer>>,
    status: Arc<watch::Sender<Status>>,
    /// The batch in flight, followed by the rest of the batch that it was split from.
    batches: VecDeque<Batch>,
    /// Failures since the last success.
    failures: u32,
}

/// Events that are sent together. Under one key the bytes are always the same.
struct Batch {
    key: String,
    body: Bytes,
    entries: Vec<Entry>,
    attempts: u32,
    /// Whether a request was sent and its response was lost.
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
        retry_policy: RetryPolicy,
        randomness: Randomness,
        observer: Option<Arc<dyn Observer>>,
        status: Arc<watch::Sender<Status>>,
    ) -> Self {
        Self {
            buffer,
            transport,
            token,
            retry_policy,
            randomness,
            observer,
            status,
            batches: VecDeque::new(),
            failures: 0,
        }
    }

    /// Delivers until the client is closed and nothing is left, or until its deadline. Dropping the sender reports the rest,
    /// also when the runtime ends.
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
                let in_flight = self.batches.front().and_then(|batch| batch.entries.first());
                self.buffer.settle(in_flight.map(|entry| entry.number));
            }
        }
    }

    fn push_front(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.batches.push_front(Batch::new(self.randomness.key(), entries));
        }
    }

    fn pop_front(&mut self) -> Vec<Entry> {
        self.batches.pop_front().map_or_else(Vec::new, |batch| batch.entries)
    }

    /// Sends the first batch once. Waits if that failed.
    async fn attempt(&mut self) {
        let Some(batch) = self.batches.front_mut() else { return };
        let age = batch.entries.last().map_or(Duration::ZERO, |youngest| youngest.recorded_at.elapsed());
        if self.retry_policy.max_age.is_some_and(|max_age| age > max_age) {
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
        let (verdict, in_doubt) = match timeout(self.retry_policy.attempt_timeout, self.transport.post(request)).await {
            Ok(Ok(response)) => (interpret(&response, batch.entries.len()), !(300..500).contains(&response.status)),
            Ok(Err(no_response)) => (failed(DeliveryError::Unreachable(no_response.detail)), no_response.in_doubt),
            Err(_) => (failed(DeliveryError::TimedOut), true),
        };
        batch.in_doubt = was_in_doubt || in_doubt;
        self.follow(verdict).await;
    }

    /// Applies a verdict to the first batch.
    async fn follow(&mut self, verdict: Verdict) {
        let (error, retry_after) = match verdict {
            Verdict::Failed { error, retry_after } => (error, retry_after),
            Verdict::KeyReused(error) => {
                let entries = self.pop_front();
                self.push_front(entries);
                (error, Duration::ZERO)
            }
            settled => {
                self.set_working();
                let entries = self.pop_front();
                self.settle(settled, entries);
                return;
            }
        };
        self.failures = self.failures.saturating_add(1);
        let (first, max) = if error.needs_attention() {
            (ATTENTION_DELAY_FIRST, ATTENTION_DELAY_MAX)
        } else {
            (RETRY_DELAY_FIRST, self.retry_policy.retry_delay_max)
        };
        let limit = first.saturating_mul(1 << (self.failures - 1).min(20)).min(max);
        let delay = retry_after + self.randomness.jitter(limit);
        self.set_failing(error);
        self.pause(delay).await;
    }

    /// Releases the events that the server decided on, and keeps the others.
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

    /// Waits before the next attempt. A new token or a shutdown ends the wait.
    async fn pause(&mut self, delay: Duration) {
        let mut phase = self.buffer.phase();
        let closing = *phase.borrow() != Phase::Open;
        tokio::select! {
            () = sleep(delay) => {}
            Ok(()) = self.token.changed() => self.failures = 0,
            Ok(_) = phase.wait_for(|phase| *phase != Phase::Open), if !closing => self.failures = 0,
        }
    }

    fn set_working(&mut self) {
        self.failures = 0;
        if let Status::Failing { since, .. } = &*self.status.borrow() {
            tracing::info!(failing_seconds = since.elapsed().as_secs(), "audit events are delivered again");
        } else {
            return;
        }
        self.status.send_replace(Status::Working);
        self.notify(|observer| observer.status_changed(&Status::Working));
    }

    fn set_failing(&mut self, error: DeliveryError) {
        let since = match &*self.status.borrow() {
            Status::Failing { since, .. } => Some(*since),
            Status::Working => None,
        };
        let status = Status::Failing { since: since.unwrap_or_else(Instant::now), error };
        self.status.send_replace(status.clone());
        if since.is_none() {
            if let Status::Failing { error, .. } = &status {
                tracing::warn!(trouble = %error, "audit events cannot be delivered: they are kept and tried again");
            }
            self.notify(|observer| observer.status_changed(&status));
        }
    }

    /// Drops all events of a batch for the same reason.
    fn lose_all(&self, entries: Vec<Entry>, fate: Fate, loss: &Loss) {
        self.lose(entries.into_iter().map(|entry| (entry, loss.clone())).collect(), fate);
    }
}

impl<T> Sender<T> {
    /// Drops events, and reports that to the log, the observer and the waiting callers. Returns the events.
    fn lose(&self, lost: Vec<(Entry, Loss)>, fate: Fate) -> Vec<String> {
        if lost.is_empty() {
            return Vec::new();
        }
        self.buffer.release(lost.iter().map(|(entry, _)| entry), fate);
        tracing::warn!(events = lost.len(), fate = ?fate, "audit events will not be delivered");
        let report = |(entry, loss): (Entry, Loss)| {
            self.notify(|observer| observer.lost(entry.line.as_str(), &loss));
            if let Some(waiter) = entry.waiter {
                // This fails if the caller no longer waits.
                let _ = waiter.send(Err(loss));
            }
            entry.line.into_string()
        };
        lost.into_iter().map(report).collect()
    }

    /// Calls the observer. A panic in the host's code does not end the task.
    fn notify(&self, call: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer
            && catch_unwind(AssertUnwindSafe(|| call(&**observer))).is_err()
        {
            tracing::warn!("the observer of audit events panicked");
        }
    }
}

/// However the task ends, even with its runtime, the remaining events are reported and no caller waits forever.
impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waiting = self.buffer.end();
        let in_flight = std::mem::take(&mut self.batches).into_iter();
        let in_flight = in_flight.flat_map(|batch| batch.entries.into_iter().map(move |entry| (entry, batch.in_doubt)));
        let (lost, doubts): (Vec<_>, Vec<_>) = in_flight
            .chain(waiting.into_iter().map(|entry| (entry, false)))
            .map(|(entry, in_doubt)| ((entry, Loss::Ended { in_doubt }), in_doubt))
            .unzip();
        let events = self.lose(lost, Fate::Dropped).into_iter().zip(doubts);
        self.buffer.leave(events.map(|(event, in_doubt)| Undelivered { event, in_doubt }).collect());
    }
}

fn failed(error: DeliveryError) -> Verdict {
    Verdict::Failed { error, retry_after: Duration::ZERO }
}

/// Waits until the deadline, once there is one.
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
