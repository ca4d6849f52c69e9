//! Two logs with common design errors, which the model test must detect. Nothing else in them is meant to be correct.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::time::{Clock as _, Timestamp};
use async_trait::async_trait;

use crate::model::{Answer, Batch, Polled, Recorded, Subject, Surroundings, Violation};

/// Events of these logs never expire.
const NEVER: Timestamp = Timestamp::from_millis(u64::MAX);

/// The events of a log by its sort key.
type Rows<K> = Mutex<BTreeMap<K, String>>;

fn lock<K>(rows: &Rows<K>) -> MutexGuard<'_, BTreeMap<K, String>> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits as long as a message to or from a store takes.
async fn network_delay(surroundings: &Surroundings) {
    let most = Duration::from_millis(5);
    surroundings.clock.sleep(surroundings.entropy.duration(most)).await;
}

/// A log sorted by the time at which a writer began. Readers ask for events later than the last one they saw.
#[derive(Debug)]
pub struct PagedByTimestamp {
    surroundings: Surroundings,
    rows: Rows<(Timestamp, String)>,
}

impl PagedByTimestamp {
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, rows: Mutex::default() }
    }
}

#[async_trait]
impl Subject for PagedByTimestamp {
    type Cursor = Option<(Timestamp, String)>;

    fn writers(&self) -> usize {
        3
    }

    fn knows_keys(&self) -> bool {
        false
    }

    async fn append(&self, _: usize, batch: &Batch) -> Result<Answer, Violation> {
        let at = self.surroundings.clock.now();
        network_delay(&self.surroundings).await;
        lock(&self.rows).extend(batch.labels.iter().map(|label| ((at, label.clone()), label.clone())));
        network_delay(&self.surroundings).await;
        Ok(Answer::Recorded(Vec::new()))
    }

    fn readers(&self) -> Vec<Self::Cursor> {
        vec![None, None]
    }

    async fn poll(&self, cursor: &Self::Cursor) -> Result<Option<Polled<Self::Cursor>>, Violation> {
        network_delay(&self.surroundings).await;
        let seen: Vec<_> =
            lock(&self.rows).keys().filter(|row| cursor.as_ref().is_none_or(|last| *row > last)).cloned().collect();
        network_delay(&self.surroundings).await;
        let cursor = seen.last().cloned().or_else(|| cursor.clone());
        Ok(Some(Polled { events: seen.into_iter().map(|(_, label)| label).collect(), cursor }))
    }

    fn contents(&self) -> Vec<Recorded> {
        let rows = lock(&self.rows);
        let recorded = |(label, sequence): (&String, u64)| Recorded {
            sequence,
            label: Some(label.clone()),
            text: label.clone(),
            expires_at: NEVER,
        };
        rows.values().zip(1..).map(recorded).collect()
    }

    async fn idle(&self, duration: Duration) -> Result<(), Violation> {
        self.surroundings.clock.jump(duration);
        Ok(())
    }
}

/// A log whose writers first take a number from a counter and then write.
#[derive(Debug)]
pub struct NumberedByCounter {
    surroundings: Surroundings,
    counter: AtomicU64,
    rows: Rows<u64>,
}

impl NumberedByCounter {
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, counter: AtomicU64::new(1), rows: Mutex::default() }
    }
}

#[async_trait]
impl Subject for NumberedByCounter {
    type Cursor = u64;

    fn writers(&self) -> usize {
        3
    }

    fn knows_keys(&self) -> bool {
        false
    }

    async fn append(&self, _: usize, batch: &Batch) -> Result<Answer, Violation> {
        network_delay(&self.surroundings).await;
        let first = self.counter.fetch_add(batch.labels.len() as u64, Ordering::Relaxed);
        network_delay(&self.surroundings).await;
        lock(&self.rows).extend((first..).zip(batch.labels.iter().cloned()));
        network_delay(&self.surroundings).await;
        Ok(Answer::Recorded((first..).take(batch.labels.len()).collect()))
    }

    fn readers(&self) -> Vec<Self::Cursor> {
        vec![0, 0]
    }

    async fn poll(&self, cursor: &Self::Cursor) -> Result<Option<Polled<Self::Cursor>>, Violation> {
        network_delay(&self.surroundings).await;
        let seen: Vec<_> =
            lock(&self.rows).range(cursor + 1..).map(|(number, label)| (*number, label.clone())).collect();
        network_delay(&self.surroundings).await;
        let cursor = seen.last().map_or(*cursor, |(number, _)| *number);
        Ok(Some(Polled { events: seen.into_iter().map(|(_, label)| label).collect(), cursor }))
    }

    fn contents(&self) -> Vec<Recorded> {
        let rows = lock(&self.rows);
        let recorded = |(sequence, label): (&u64, &String)| Recorded {
            sequence: *sequence,
            label: Some(label.clone()),
            text: label.clone(),
            expires_at: NEVER,
        };
        rows.iter().map(recorded).collect()
    }

    async fn idle(&self, duration: Duration) -> Result<(), Violation> {
        self.surroundings.clock.jump(duration);
        Ok(())
    }
}
