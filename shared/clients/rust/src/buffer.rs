//! Undelivered events: bounded, in order, counted. Callers add events without waiting; the sender takes them out in batches.
//! Does not know requests and responses.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, timeout},
};

use crate::{
    event::Line,
    report::{Loss, Receipt, Refused, ShutdownReport, Stats, Undelivered},
};

/// Bounds of the buffer and of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) buffer_max_events: usize,
    pub(crate) buffer_max_bytes: usize,
    pub(crate) batch_max_events: usize,
    pub(crate) batch_max_bytes: usize,
    pub(crate) linger: Duration,
}

/// The channel to the caller that waits for an event's receipt.
pub(crate) type Waiter = oneshot::Sender<Result<Receipt, Loss>>;

/// An event that waits or is in flight.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) line: Line,
    /// The position in the order of recording, from 0.
    pub(crate) number: u64,
    pub(crate) recorded_at: Instant,
    pub(crate) waiter: Option<Waiter>,
}

/// The phases of a client's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Events are accepted.
    Open,
    /// Buffered events are still delivered, until the deadline if there is one.
    Closing(Option<Instant>),
    Ended,
}

/// Why events leave the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Rejected,
    Dropped,
}

#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Limits,
    state: Mutex<State>,
    /// Wakes the sender.
    wake: Notify,
    /// Changed only while the state is locked.
    phase: watch::Sender<Phase>,
    /// All events with a lower number have left the buffer.
    settled_before: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Entry>,
    /// The bytes of `queue`. Events in flight count only in `stats`.
    queued_bytes: usize,
    next_number: u64,
    /// Events with a lower number do not wait for the linger time.
    flush_before: u64,
    /// How many events were refused since the buffer became full; 0 while it has room.
    refused_when_full: u64,
    stats: Stats,
    undelivered: Vec<Undelivered>,
}

impl Buffer {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_number: 0,
            flush_before: 0,
            refused_when_full: 0,
            stats: Stats::default(),
            undelivered: Vec::new(),
        };
        Self {
            limits,
            state: Mutex::new(state),
            wake: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            settled_before: watch::Sender::new(0),
        }
    }

    /// Ignores poisoning: no code panics while the state is inconsistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. An event with a waiter is sent without delay.
    pub(crate) fn push(&self, line: Result<Line, Refused>, waiter: Option<Waiter>) -> Result<(), Refused> {
        let mut became_full = false;
        let mut state = self.lock();
        let outcome = line.and_then(|line| {
            if *self.phase.borrow() != Phase::Open {
                return Err(Refused::ShutDown);
            }
            if state.stats.buffered_events >= self.limits.buffer_max_events
                || state.stats.buffered_bytes + line.size_bytes() > self.limits.buffer_max_bytes
            {
                became_full = state.refused_when_full == 0;
                state.refused_when_full += 1;
                return Err(Refused::Full);
            }
            Ok(line)
        });
        let result = match outcome {
            Ok(line) => {
                if self.accept(&mut state, line, waiter) {
                    self.wake.notify_one();
                }
                Ok(())
            }
            Err(refused) => {
                state.stats.refused += 1;
                Err(refused)
            }
        };
        drop(state);
        if became_full {
            tracing::warn!("the buffer of audit events is full: events are refused");
        }
        result
    }

    /// Appends an event. Returns whether to wake the sender.
    fn accept(&self, state: &mut State, line: Line, waiter: Option<Waiter>) -> bool {
        let size_bytes = line.size_bytes();
        let number = state.next_number;
        state.next_number += 1;
        state.stats.recorded += 1;
        state.stats.buffered_events += 1;
        state.stats.buffered_bytes += size_bytes;
        state.queued_bytes += size_bytes;
        let has_waiter = waiter.is_some();
        if has_waiter {
            state.flush_before = state.next_number;
        }
        state.queue.push_back(Entry { line, number, recorded_at: Instant::now(), waiter });
        has_waiter || state.queue.len() == 1 || self.is_full_batch(state)
    }

    fn is_full_batch(&self, state: &State) -> bool {
        state.queue.len() >= self.limits.batch_max_events || state.queued_bytes >= self.limits.batch_max_bytes
    }

    /// Returns the next batch, of at least one event, as soon as it is full or has waited for the linger time. Returns `None`
    /// if the client is closing and nothing is left.
    pub(crate) async fn next_batch(&self) -> Option<Vec<Entry>> {
        loop {
            let wait = {
                let mut state = self.lock();
                let closing = *self.phase.borrow() != Phase::Open;
                match state.queue.front() {
                    None if closing => return None,
                    None => Duration::MAX,
                    Some(oldest) => {
                        let waited = oldest.recorded_at.elapsed();
                        let is_due = closing || oldest.number < state.flush_before;
                        if is_due || waited >= self.limits.linger || self.is_full_batch(&state) {
                            return Some(self.take(&mut state));
                        }
                        self.limits.linger - waited
                    }
                }
            };
            let _ = timeout(wait, self.wake.notified()).await;
        }
    }

    fn take(&self, state: &mut State) -> Vec<Entry> {
        let mut size_bytes = 0;
        let fits = |entry: &&Entry| {
            size_bytes += entry.line.size_bytes();
            size_bytes <= self.limits.batch_max_bytes
        };
        let count = state.queue.iter().take(self.limits.batch_max_events).take_while(fits).count().max(1);
        let entries: Vec<Entry> = state.queue.drain(..count).collect();
        state.queued_bytes -= entries.iter().map(|entry| entry.line.size_bytes()).sum::<usize>();
        entries
    }

    /// Counts events out of the buffer. Events in flight belong to it until then.
    pub(crate) fn release<'a>(&self, entries: impl Iterator<Item = &'a Entry>, fate: Fate) {
        let mut state = self.lock();
        let stats = &mut state.stats;
        for entry in entries {
            match fate {
                Fate::Delivered => stats.delivered += 1,
                Fate::Rejected => stats.rejected += 1,
                Fate::Dropped => stats.dropped += 1,
            }
            stats.buffered_events -= 1;
            stats.buffered_bytes -= entry.line.size_bytes();
        }
        // Half empty, so that a buffer that stays almost full is logged once and not for each batch.
        let has_room = stats.buffered_events <= self.limits.buffer_max_events / 2
            && stats.buffered_bytes <= self.limits.buffer_max_bytes / 2;
        let refused = if has_room { std::mem::take(&mut state.refused_when_full) } else { 0 };
        drop(state);
        if refused > 0 {
            tracing::info!(refused, "the buffer of audit events has room again");
        }
    }

    /// Publishes the sender's progress to `flush`. `in_flight` is the number of the first event that it still holds.
    pub(crate) fn settle(&self, in_flight: Option<u64>) {
        let state = self.lock();
        let queued = state.queue.front().map(|entry| entry.number);
        self.settled_before.send_replace(in_flight.or(queued).unwrap_or(state.next_number));
    }

    pub(crate) fn count_retry(&self) {
        self.lock().stats.retries += 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// Waits until all events that are in the buffer now have left it.
    pub(crate) async fn flush(&self) {
        let target = {
            let mut state = self.lock();
            state.flush_before = state.next_number;
            state.next_number
        };
        self.wake.notify_one();
        // This cannot fail: the buffer owns the sender of the channel.
        let _ = self.settled_before.subscribe().wait_for(|settled| *settled >= target).await;
    }

    /// Stops accepting events. The earliest deadline of several calls applies.
    pub(crate) fn close(&self, deadline: Option<Instant>) {
        let state = self.lock();
        self.phase.send_if_modified(|phase| {
            let closed = match *phase {
                Phase::Open => Phase::Closing(deadline),
                Phase::Closing(earlier) => Phase::Closing([earlier, deadline].into_iter().flatten().min()),
                Phase::Ended => Phase::Ended,
            };
            std::mem::replace(phase, closed) != closed
        });
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the client and returns the events that were not taken out.
    pub(crate) fn end(&self) -> Vec<Entry> {
        let mut state = self.lock();
        self.phase.send_replace(Phase::Ended);
        state.queued_bytes = 0;
        state.queue.drain(..).collect()
    }

    /// Stores the undelivered events for the report of the shutdown, and wakes all who wait.
    pub(crate) fn leave(&self, undelivered: Vec<Undelivered>) {
        self.lock().undelivered = undelivered;
        self.settled_before.send_replace(u64::MAX);
    }

    /// Waits until the client has ended. The first caller gets the undelivered events.
    pub(crate) async fn ended(&self) -> ShutdownReport {
        let _ = self.settled_before.subscribe().wait_for(|settled| *settled == u64::MAX).await;
        ShutdownReport { undelivered: std::mem::take(&mut self.lock().undelivered) }
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}
