//! How a process that merges requests spaces its segments while other processes write to the same log.
//!
//! Each process could write a new segment as soon as its last one is written. Then several of them lose most of their
//! conditional writes to each other, and their segments carry few events. After a lost write a process leaves more time
//! between its segments, in which requests gather, and after each written segment a little less. So the processes share the
//! log about equally, and find out by themselves when they are alone again.

use std::time::Duration;

use crate::time::Timestamp;

/// Times are in quarters of a round trip to the store.
#[derive(Debug, Default)]
pub(super) struct Pace {
    spacing: u32,
    round_trip: Duration,
    written_at: Timestamp,
    /// The most requests of a recent segment.
    most_requests: f64,
}

impl Pace {
    /// A lost write adds two round trips. `tests/benches/instances.rs` measures this and the other numbers.
    const LOST: u32 = 8;
    /// A written segment subtracts a quarter.
    const WRITTEN: u32 = 1;
    /// Eight round trips.
    const MAX: u32 = 32;
    /// Upper bound of the spacing if the store answers slowly.
    const MAX_WAIT: Duration = Duration::from_millis(100);
    /// How much of the largest number of requests is left after each smaller segment.
    const REMEMBERED: f64 = 0.98;

    /// Notes a conditional write that another process won.
    pub(super) fn lost(&mut self) {
        self.spacing = (self.spacing + Self::LOST).min(Self::MAX);
    }

    /// Notes a segment of so many requests.
    pub(super) fn wrote(&mut self, requests: usize, now: Timestamp, round_trip: Duration) {
        self.spacing = self.spacing.saturating_sub(Self::WRITTEN);
        self.round_trip = round_trip;
        self.written_at = now;
        self.most_requests = (requests as f64).max(self.most_requests * Self::REMEMBERED);
    }

    /// Returns whether other processes have won writes lately.
    pub(super) fn is_contended(&self) -> bool {
        self.spacing > 0
    }

    /// Returns the time to wait before the next segment.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let spacing = (self.round_trip * self.spacing / 4).min(Self::MAX_WAIT);
        spacing.saturating_sub(now.since(self.written_at))
    }

    /// Returns the number of requests with which waiting ends, because no more come while these wait: an environment has so
    /// many requests at once. Where it has one, nothing waits.
    pub(super) fn full_group(&self) -> usize {
        (self.most_requests.ceil() as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
    const ROUND_TRIP: Duration = Duration::from_millis(5);

    #[test]
    fn a_process_that_loses_leaves_time_to_others_and_is_soon_as_fast_as_before() {
        let mut pace = Pace::default();
        pace.wrote(8, NOW, ROUND_TRIP);
        assert!(!pace.is_contended());
        assert_eq!(pace.wait(NOW), Duration::ZERO);
        pace.lost();
        pace.wrote(8, NOW, ROUND_TRIP);
        assert!(pace.is_contended());
        assert_eq!(pace.wait(NOW), Duration::from_micros(8750));
        assert_eq!(pace.wait(NOW.plus(ROUND_TRIP)), Duration::from_micros(3750));
        assert_eq!(pace.wait(NOW.plus(3 * ROUND_TRIP)), Duration::ZERO);
        (0..7).for_each(|_| pace.wrote(8, NOW, ROUND_TRIP));
        assert!(!pace.is_contended());
    }

    #[test]
    fn the_time_between_segments_is_bounded_also_if_the_store_is_slow() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.lost());
        pace.wrote(8, NOW, ROUND_TRIP);
        assert!(pace.wait(NOW) <= 8 * ROUND_TRIP);
        pace.wrote(8, NOW, Duration::from_secs(3));
        assert_eq!(pace.wait(NOW), Duration::from_millis(100));
        // The clock was set back.
        assert_eq!(pace.wait(Timestamp::EPOCH), Duration::from_millis(100));
    }

    #[test]
    fn a_process_with_one_request_at_a_time_never_waits() {
        let mut pace = Pace::default();
        assert_eq!(pace.full_group(), 1);
        (0..100).for_each(|_| pace.lost());
        pace.wrote(1, NOW, ROUND_TRIP);
        assert_eq!(pace.full_group(), 1);
    }

    #[test]
    fn the_largest_group_is_forgotten_after_a_while() {
        let mut pace = Pace::default();
        pace.wrote(32, NOW, ROUND_TRIP);
        pace.wrote(8, NOW, ROUND_TRIP);
        assert_eq!(pace.full_group(), 32);
        (0..100).for_each(|_| pace.wrote(8, NOW, ROUND_TRIP));
        assert_eq!(pace.full_group(), 8);
    }
}
