//! What a process remembers of an organisation's rate limit between appends, so that it refuses most of a flood without
//! asking the store.

use std::time::Duration;

use crate::{log::rate::Size, time::Timestamp};

/// The recent appends of one organisation's producers in this process.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    small: Flow,
    large: Flow,
    merges_until: Timestamp,
}

/// The appends of one size.
#[derive(Debug, Default)]
struct Flow {
    /// Decaying counts of requests, and of those that were recorded.
    requests: f64,
    recorded: f64,
    counted_at: Timestamp,
    refused_until: Timestamp,
}

impl Pressure {
    /// How long a process counts as one that merges requests after it had several at once.
    const MERGES_FOR: Duration = Duration::from_secs(10);

    /// Returns whether to refuse a request, and counts it if so. `chance` returns a random number from 0 to 1.
    pub(super) fn refuses(&mut self, now: Timestamp, size: Size, chance: impl FnOnce() -> f64) -> bool {
        self.flow(size).refuses(now, chance)
    }

    /// Notes a request that was recorded.
    pub(super) fn recorded(&mut self, now: Timestamp, size: Size) {
        self.flow(size).count(now, 1.0);
    }

    /// Notes a request that is over the limit, as those that follow are until `until`.
    pub(super) fn refused(&mut self, now: Timestamp, size: Size, until: Timestamp) {
        let flow = self.flow(size);
        flow.count(now, 0.0);
        flow.refused_until = until;
    }

    /// Notes that several requests are in progress at once.
    pub(super) fn merging(&mut self, now: Timestamp) {
        self.merges_until = now.plus(Self::MERGES_FOR);
    }

    /// Returns whether requests that wait are merged with others, so that waiting makes them cheaper. In a sandbox that
    /// serves one request at a time, it would only keep the sandbox busy.
    pub(super) fn merges(&self, now: Timestamp) -> bool {
        now < self.merges_until
    }

    fn flow(&mut self, size: Size) -> &mut Flow {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }
}

impl Flow {
    /// How many requests are let through for each one that is recorded. The rest could only be refused by the store.
    ///
    /// This is client-side throttling as in "Site Reliability Engineering", chapter 21. More than 1, so that a process
    /// notices when the flood ends, and that no turn is left unused.
    const LET_THROUGH: f64 = 1.2;
    /// Refusals that say nothing about the requests that follow.
    const SLACK: f64 = 0.5;
    /// The time in which a count decays to about a third.
    const MEMORY: Duration = Duration::from_secs(5);

    fn refuses(&mut self, now: Timestamp, chance: impl FnOnce() -> f64) -> bool {
        self.decay(now);
        let excess = self.requests - Self::LET_THROUGH * self.recorded - Self::SLACK;
        let refused = now < self.refused_until || (excess > 0.0 && chance() < excess / (self.requests + 1.0));
        self.requests += f64::from(u8::from(refused));
        refused
    }

    fn count(&mut self, now: Timestamp, recorded: f64) {
        self.decay(now);
        self.requests += 1.0;
        self.recorded += recorded;
    }

    fn decay(&mut self, now: Timestamp) {
        let left = (-now.since(self.counted_at).as_secs_f64() / Self::MEMORY.as_secs_f64()).exp();
        self.requests *= left;
        self.recorded *= left;
        self.counted_at = now;
        // A clock that was ahead refuses nothing for long.
        if self.refused_until.since(now) > Self::MEMORY {
            self.refused_until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    /// Offers a request every 10 ms to a store that records one in `interval`. Returns how many reach it.
    fn reach_the_store(pressure: &mut Pressure, begin: Timestamp, requests: u32, interval: Duration) -> u32 {
        let mut free_at = begin;
        let mut reached = 0;
        for number in 0..requests {
            let now = begin.plus(Duration::from_millis(10) * number);
            let chance = f64::from(number * 7919 % 10_007) / 10_007.0;
            if pressure.refuses(now, Size::Small, || chance) {
                continue;
            }
            reached += 1;
            if now >= free_at {
                pressure.recorded(now, Size::Small);
                free_at = now.plus(interval);
            } else {
                pressure.refused(now, Size::Small, free_at);
            }
        }
        reached
    }

    #[test]
    fn a_flood_is_refused_mostly_without_the_store_and_forgotten_soon() {
        let mut pressure = Pressure::default();
        let often = Duration::from_millis(10);
        assert_eq!(reach_the_store(&mut pressure, NOW, 1000, often), 1000, "below the limit everything reaches it");
        let later = NOW.plus(Duration::from_secs(60));
        let reached = reach_the_store(&mut pressure, later, 10_000, Duration::from_millis(200));
        assert!((300..700).contains(&reached), "{reached} of 10000, of which it can record 500");
        let after = later.plus(Duration::from_secs(130));
        let reached = reach_the_store(&mut pressure, after, 1000, often);
        assert!(reached >= 980, "{reached} of 1000 when the flood is over");
    }

    #[test]
    fn after_one_refusal_everything_is_refused_for_its_time_and_then_little() {
        let mut pressure = Pressure::default();
        pressure.refused(NOW, Size::Small, NOW.plus(Duration::from_millis(30)));
        let later = NOW.plus(Duration::from_millis(31));
        assert!(!pressure.refuses(later, Size::Small, || 0.3));
        assert!(pressure.refuses(NOW.plus(Duration::from_millis(29)), Size::Small, || 1.0));
        assert!(!pressure.refuses(NOW, Size::Large, || 0.0), "large appends are counted by themselves");
    }

    #[test]
    fn a_clock_that_was_ahead_refuses_nothing_for_long() {
        let mut pressure = Pressure::default();
        let ahead = NOW.plus(Duration::from_secs(3600));
        pressure.refused(ahead, Size::Small, ahead.plus(Duration::from_millis(30)));
        assert!(!pressure.refuses(NOW, Size::Small, || 0.5));
    }
}
