//! A cache of what was read a moment ago, so that a burst of requests costs one read. It does not cache that something does
//! not exist.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::time::Timestamp;

/// How long a value is known without another read. A clock that is set back can at most double this time.
pub const KNOWN_FOR: Duration = Duration::from_millis(500);
/// The most values in the cache. Further values are read each time.
const MANY: usize = 1024;

/// Values by key, each with a time before its read began.
#[derive(Debug)]
pub struct Known<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// Returns the value with this key, if it was read less than [`KNOWN_FOR`] ago. A read whose time is in the future does
    /// not count: the clock was set back, so the age of the read is unknown.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        self.lock().get(key).filter(|(_, begun)| is_fresh(*begun, now)).map(|(value, _)| value.clone())
    }

    /// Stores a value whose read began at `begun`.
    pub(crate) fn insert(&self, key: K, value: V, begun: Timestamp) {
        let mut known = self.lock();
        if known.len() >= MANY {
            known.retain(|_, (_, other)| is_fresh(*other, begun));
        }
        if known.len() < MANY {
            known.insert(key, (value, begun));
        }
    }

    /// Removes the values that this process has changed.
    pub(crate) fn forget(&self, is_changed: impl Fn(&V) -> bool) {
        self.lock().retain(|_, (value, _)| !is_changed(value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(begun: Timestamp, now: Timestamp) -> bool {
    begun <= now && now.since(begun) < KNOWN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    #[test]
    fn a_value_is_known_for_half_a_second_and_not_from_the_future() {
        let known = Known::default();
        known.insert(1, "one", NOW);
        let at = |millis| known.get(&1, Timestamp::from_millis(NOW.as_millis() + millis - 1000));
        for (millis, is_known) in [(999, false), (1000, true), (1499, true), (1500, false), (3_600_000, false)] {
            assert_eq!(at(millis).is_some(), is_known, "{millis}");
        }
        known.forget(|value| *value == "one");
        assert_eq!(known.get(&1, NOW), None);
    }

    #[test]
    fn the_number_of_known_values_is_bounded() {
        let known = Known::default();
        (0..3 * MANY).for_each(|number| known.insert(number, number, NOW));
        assert_eq!(known.lock().len(), MANY);
        let later = NOW.plus(KNOWN_FOR);
        known.insert(7 * MANY, 7 * MANY, later);
        assert_eq!(known.lock().len(), 1, "old ones make room");
        assert!(known.get(&(7 * MANY), later).is_some());
    }
}
