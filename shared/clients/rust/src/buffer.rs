//! What was recorded and is not delivered yet: bounded, in order, counted. Callers put events in without waiting; the one
//! sender takes them out batch by batch. Knows nothing of requests and answers.

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

/// Who waits for an event's receipt.
pub(crate) type Waiter = oneshot::Sender<Result<Receipt, Loss>>;

/// One event that waits, or is under way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) line: Line,
    /// Its place in the order of recording, from 0.
    pub(crate) number: u64,
    pub(crate) recorded_at: Instant,
    pub(crate) waiter: Option<Waiter>,
}

/// How far the client is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Events are taken.
    Open,
    /// What is buffered is still delivered, until the deadline where there is one.
    Closing(Option<Instant>),
    /// Nothing happens any more.
    Ended,
}

/// What became of events that leave the buffer.
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
    /// Changed under the state's lock alone.
    phase: watch::Sender<Phase>,
    /// Every event with a lower number has left the buffer.
    settled_before: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Entry>,
    /// The bytes of `queue`; events under way are counted in `stats` alone.
    queued_bytes: usize,
    next_number: u64,
    /// Events with a lower number do not wait for others to join their batch.
    hurry_before: u64,
    /// How many were refused since the buffer was full; 0 while it has room.
    overflow: u64,
    stats: Stats,
    undelivered: Vec<Undelivered>,
}

impl Buffer {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_number: 0,
            hurry_before: 0,
            overflow: 0,
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

    /// Nothing that holds the lock can leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in. One that somebody waits for is sent without delay.
    pub(crate) fn push(&self, line: Result<Line, Refused>, waiter: Option<Waiter>) -> Result<(), Refused> {
        let mut overflowed = false;
        let mut state = self.lock();
        let outcome = line.and_then(|line| {
            if *self.phase.borrow() != Phase::Open {
                return Err(Refused::ShutDown);
            }
            if state.stats.buffered_events >= self.limits.buffer_max_events
                || state.stats.buffered_bytes + line.size_bytes() > self.limits.buffer_max_bytes
            {
                overflowed = state.overflow == 0;
                state.overflow += 1;
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
        if overflowed {
            tracing::warn!("the buffer of audit events is full: events are refused");
        }
        result
    }

    /// Appends an event; whether the sender has to look.
    fn accept(&self, state: &mut State, line: Line, waiter: Option<Waiter>) -> bool {
        let size_bytes = line.size_bytes();
        let number = state.next_number;
        state.next_number += 1;
        state.stats.recorded += 1;
        state.stats.buffered_events += 1;
        state.stats.buffered_bytes += size_bytes;
        state.queued_bytes += size_bytes;
        let waited_for = waiter.is_some();
        if waited_for {
            state.hurry_before = state.next_number;
        }
        state.queue.push_back(Entry { line, number, recorded_at: Instant::now(), waiter });
        waited_for || state.queue.len() == 1 || self.is_full_batch(state)
    }

    fn is_full_batch(&self, state: &State) -> bool {
        state.queue.len() >= self.limits.batch_max_events || state.queued_bytes >= self.limits.batch_max_bytes
    }

    /// The next batch, at least one event, as soon as it is full or has waited long enough; `None` when the client is
    /// closing and nothing is left.
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
                        let hurry = closing || oldest.number < state.hurry_before;
                        if hurry || waited >= self.limits.linger || self.is_full_batch(&state) {
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

    /// Counts events out of the buffer, to which they belong while they are under way.
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
        // Half empty, so that a buffer at its brim is one episode and not one line of log a batch.
        let has_room = stats.buffered_events <= self.limits.buffer_max_events / 2
            && stats.buffered_bytes <= self.limits.buffer_max_bytes / 2;
        let refused = if has_room { std::mem::take(&mut state.overflow) } else { 0 };
        drop(state);
        if refused > 0 {
            tracing::info!(refused, "the buffer of audit events has room again");
        }
    }

    /// Tells those who flush how far the sender is: `under_way` is the first event that it still holds.
    pub(crate) fn settle(&self, under_way: Option<u64>) {
        let state = self.lock();
        let queued = state.queue.front().map(|entry| entry.number);
        self.settled_before.send_replace(under_way.or(queued).unwrap_or(state.next_number));
    }

    pub(crate) fn count_retry(&self) {
        self.lock().stats.retries += 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// Returns when everything that is in the buffer now has left it.
    pub(crate) async fn flush(&self) {
        let target = {
            let mut state = self.lock();
            state.hurry_before = state.next_number;
            state.next_number
        };
        self.wake.notify_one();
        // The buffer owns the other end: it cannot be gone.
        let _ = self.settled_before.subscribe().wait_for(|settled| *settled >= target).await;
    }

    /// Takes no more events. An earlier deadline stands.
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

    /// Ends: what nobody took out is given back, and nothing comes in any more.
    pub(crate) fn end(&self) -> Vec<Entry> {
        let mut state = self.lock();
        self.phase.send_replace(Phase::Ended);
        state.queued_bytes = 0;
        state.queue.drain(..).collect()
    }

    /// Leaves for the report of the shutdown what was not delivered, and lets go of all who wait.
    pub(crate) fn leave(&self, undelivered: Vec<Undelivered>) {
        self.lock().undelivered = undelivered;
        self.settled_before.send_replace(u64::MAX);
    }

    /// What was left, to the first who asks, when the client has ended.
    pub(crate) async fn ended(&self) -> ShutdownReport {
        let _ = self.settled_before.subscribe().wait_for(|settled| *settled == u64::MAX).await;
        ShutdownReport { undelivered: std::mem::take(&mut self.lock().undelivered) }
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}
