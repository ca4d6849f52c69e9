//! The rate limit of an organisation's appends. It holds across all processes that write the log, although they share
//! nothing but the log: each segment's header contains the limit's state, every append reads the newest segment's header,
//! and the conditional write of the next segment changes the state. Owns the arithmetic; [`append`](super::append) asks it.
//!
//! The state is that of the generic cell rate algorithm (ITU-T I.371): for each [`Budget`] the time at which it will be
//! full again.
//!
//! Why there is a limit: an append fails its conditional write if another succeeds between its read and its write, so
//! independent writers lose aS/(1-aS) writes an append, at S appends a second and a round trip of a seconds. Lost writes
//! take time, money and the partition's throughput of 1,000 write units a second. The limit keeps S below that knee.

use std::time::Duration;

use crate::time::Timestamp;

/// Whose appends are counted together. A flood of one kind leaves room for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Events of the organisation's producers.
    Producers,
    /// Annals' own events, among them those that record reads, and changes of the registry.
    Own,
}

/// How much an append brings. While the producers' budget is used up, small and large appends take turns; otherwise the
/// more frequent kind would take every turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    Small,
    Large,
}

impl Size {
    /// Returns the size of an append of this many events, of together `bytes`.
    #[must_use]
    pub const fn of(events: usize, bytes: usize) -> Self {
        if events >= 10 || bytes >= 32 * 1024 { Self::Large } else { Self::Small }
    }
}

/// The limits of one organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendLimits {
    /// The time in which the producers' budget gains one append.
    pub interval: Duration,
    /// The same for an append of several merged requests. The processes that merge are few and keep a pace, so at the same
    /// number of appends they lose fewer conditional writes than independent ones.
    pub merged_interval: Duration,
    /// The producers' budget is the appends of this time.
    pub burst: Duration,
    /// The time in which Annals' own budget gains one append.
    pub own_interval: Duration,
    pub own_burst: Duration,
    /// The time for a write unit (1 KB), if the units of an append take longer than its interval.
    pub unit_interval: Duration,
    /// How much the budget may be exceeded by an append that has lost a conditional write: it has come this far.
    pub grace: Duration,
    /// How much the budget may be exceeded by an append that follows one of the other size.
    pub turn_grace: Duration,
}

/// Measured by `tests/benches/contention.rs` with independent writers. At a round trip of 5 ms the 99th percentile of
/// latency rises from 40 ms at 100 appends a second to 660 ms at 150. At 7 ms, of which one in a hundred takes ten times as
/// long, it is 180 ms at 100, and 150 are more than the log can take.
impl Default for AppendLimits {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(10),
            merged_interval: Duration::from_millis(5),
            burst: Duration::from_millis(120),
            own_interval: Duration::from_millis(100),
            own_burst: Duration::from_millis(2000),
            unit_interval: Duration::from_micros(1700),
            grace: Duration::from_millis(50),
            turn_grace: Duration::from_millis(100),
        }
    }
}

impl AppendLimits {
    /// No limit, for a process that serves only the person who started it.
    pub const NONE: Self = Self {
        interval: Duration::ZERO,
        merged_interval: Duration::ZERO,
        burst: Duration::MAX,
        own_interval: Duration::ZERO,
        own_burst: Duration::MAX,
        unit_interval: Duration::ZERO,
        grace: Duration::ZERO,
        turn_grace: Duration::ZERO,
    };
    /// The most that one append takes from its budget. Even the largest has passed after this time.
    const MAX_COST: Duration = Duration::from_secs(5);
    /// A state that is further ahead than appends can bring it was written by a clock that is wrong. It is ignored.
    const PLAUSIBLE: Duration = Duration::from_secs(10);

    /// An append of this many requests counts as merged. Two or three are together by chance also where processes are many.
    const MERGED_FROM: usize = 4;

    /// Returns what an append takes from its budget.
    pub(super) fn cost(&self, demand: &Demand) -> Duration {
        let units = u32::try_from(demand.units).unwrap_or(u32::MAX);
        let interval = match demand.budget {
            Budget::Own => self.own_interval,
            Budget::Producers if demand.requests >= Self::MERGED_FROM => self.merged_interval,
            Budget::Producers => self.interval,
        };
        interval.max(self.unit_interval.saturating_mul(units)).min(Self::MAX_COST.max(interval))
    }
}

/// What an append asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub budget: Budget,
    /// Its write units, 1 for each KB.
    pub units: u64,
    pub size: Size,
    /// The requests that are written together.
    pub requests: usize,
    /// Whether it has lost a conditional write after it was within the limit.
    pub admitted: bool,
}

/// The limit's state after a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// When each budget will be full; the epoch if it is.
    producers_full_at: Timestamp,
    own_full_at: Timestamp,
    /// The size of the producers' last append.
    last: Size,
}

impl RateState {
    /// Full budgets, before the first append.
    pub const FULL: Self =
        Self { producers_full_at: Timestamp::EPOCH, own_full_at: Timestamp::EPOCH, last: Size::Small };

    /// Returns the state after an append at `now`.
    ///
    /// # Errors
    /// Returns the time after which the append will be within the limit.
    pub fn spend(self, limits: &AppendLimits, demand: &Demand, now: Timestamp) -> Result<Self, Duration> {
        let producers = Demand { budget: Budget::Producers, ..*demand };
        match demand.budget {
            Budget::Producers => self.spend_producers(limits, demand, now),
            Budget::Own => {
                let spent = self.owed(self.own_full_at, now) + limits.own_interval;
                match spent.checked_sub(limits.own_burst) {
                    None | Some(Duration::ZERO) => {
                        let own_full_at = now.max(self.plausible(self.own_full_at, now)).plus(limits.cost(demand));
                        Ok(Self { own_full_at, ..self })
                    }
                    // What the producers leave is free for all.
                    Some(wait) => self.spend_producers(limits, &producers, now).map_err(|other| wait.min(other)),
                }
            }
        }
    }

    fn spend_producers(self, limits: &AppendLimits, demand: &Demand, now: Timestamp) -> Result<Self, Duration> {
        let owed = self.owed(self.producers_full_at, now);
        let grace = if demand.admitted { limits.grace } else { Duration::ZERO };
        let turn = if demand.size == self.last { Duration::ZERO } else { limits.turn_grace };
        let most = limits.burst.saturating_add(grace + turn);
        match (owed + limits.interval).checked_sub(most) {
            None | Some(Duration::ZERO) => {
                let full_at = now.max(self.plausible(self.producers_full_at, now));
                Ok(Self { producers_full_at: full_at.plus(limits.cost(demand)), last: demand.size, ..self })
            }
            Some(wait) => Err(wait),
        }
    }

    /// Returns how full the producers' budget is used, from 0 to 1 or more.
    #[must_use]
    pub fn pressure(self, limits: &AppendLimits, now: Timestamp) -> f64 {
        self.owed(self.producers_full_at, now).as_secs_f64() / limits.burst.as_secs_f64()
    }

    fn plausible(self, full_at: Timestamp, now: Timestamp) -> Timestamp {
        if full_at.since(now) > AppendLimits::PLAUSIBLE { now } else { full_at }
    }

    fn owed(self, full_at: Timestamp, now: Timestamp) -> Duration {
        self.plausible(full_at, now).since(now)
    }

    /// Returns the state as it is stored: two times in milliseconds, each as 6 bytes, and a byte.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[..6].copy_from_slice(&self.producers_full_at.as_millis().to_be_bytes()[2..]);
        bytes[6..12].copy_from_slice(&self.own_full_at.as_millis().to_be_bytes()[2..]);
        bytes[12] = u8::from(self.last == Size::Large);
        bytes
    }

    /// Reads what [`RateState::to_bytes`] returned. Anything else, as a later release may store it, is read as full
    /// budgets: a limit is no reason to refuse a log.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let time =
            |part: &[u8]| Timestamp::from_millis(part.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        match bytes {
            [times @ .., last] if times.len() == 12 => Self {
                producers_full_at: time(&times[..6]),
                own_full_at: time(&times[6..]),
                last: if *last == 1 { Size::Large } else { Size::Small },
            },
            _ => Self::FULL,
        }
    }
}

/// The write units of segments: 1 for each KB of an item, twice that in a transaction (AWS, "DynamoDB on-demand capacity
/// mode").
pub(super) fn units_of(encoded: impl IntoIterator<Item = usize>) -> u64 {
    /// About the size of an item's other attributes.
    const HEADER_BYTES: usize = 200;
    let (mut items, mut units) = (0, 0);
    for bytes in encoded {
        items += 1;
        units += (bytes + HEADER_BYTES).div_ceil(1024) as u64;
    }
    if items > 1 { 2 * units } else { units }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
    const SINGLE: Demand =
        Demand { budget: Budget::Producers, units: 1, size: Size::Small, requests: 1, admitted: false };
    const OWN: Demand = Demand { budget: Budget::Own, ..SINGLE };
    const BATCH: Demand = Demand { size: Size::Large, units: 8, ..SINGLE };

    fn limits() -> AppendLimits {
        AppendLimits::default()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Appends as many of `demand` at once as pass.
    fn exhaust(mut state: RateState, demand: &Demand, now: Timestamp) -> (RateState, usize, Duration) {
        let mut passed = 0;
        loop {
            match state.spend(&limits(), demand, now) {
                Ok(after) => (state, passed) = (after, passed + 1),
                Err(wait) => return (state, passed, wait),
            }
        }
    }

    #[test]
    fn a_burst_passes_and_then_one_append_each_interval() {
        let (state, passed, wait) = exhaust(RateState::FULL, &SINGLE, NOW);
        assert_eq!((passed, wait), (12, ms(10)));
        assert!(state.spend(&limits(), &SINGLE, NOW.plus(ms(9))).is_err());
        let after = state.spend(&limits(), &SINGLE, NOW.plus(wait)).unwrap();
        assert_eq!(after.spend(&limits(), &SINGLE, NOW.plus(wait)), Err(ms(10)));
        assert_eq!(exhaust(after, &SINGLE, NOW.plus(ms(60_000))).1, 12, "a budget holds no more than its burst");
    }

    #[test]
    fn merged_requests_pass_twice_as_often() {
        let merged = Demand { requests: 8, units: 2, ..SINGLE };
        let (state, ..) = exhaust(RateState::FULL, &merged, NOW);
        let passed = (1..=1000).fold((state, 0), |(state, passed), millis| {
            let (state, more, _) = exhaust(state, &merged, NOW.plus(ms(millis)));
            (state, passed + more)
        });
        assert!((195..=205).contains(&passed.1), "{}", passed.1);
    }

    #[test]
    fn an_append_that_was_within_the_limit_before_it_lost_a_write_is_let_through() {
        let (state, ..) = exhaust(RateState::FULL, &SINGLE, NOW);
        assert_eq!(exhaust(state, &Demand { admitted: true, ..SINGLE }, NOW).1, 5);
    }

    #[test]
    fn a_flood_leaves_annals_own_events_their_budget_and_their_flood_leaves_the_producers_theirs() {
        let (flooded, ..) = exhaust(RateState::FULL, &SINGLE, NOW);
        assert_eq!(exhaust(flooded, &OWN, NOW).1, 20);
        let (read_out, passed, _) = exhaust(RateState::FULL, &OWN, NOW);
        assert_eq!(passed, 20 + 12, "own events also use what the producers leave");
        let mut later = NOW;
        let mut state = read_out;
        let mut passed = [0, 0];
        for _ in 0..1000 {
            later = later.plus(ms(10));
            for (count, demand) in passed.iter_mut().zip([SINGLE, OWN]) {
                if let Ok(after) = state.spend(&limits(), &demand, later) {
                    (state, *count) = (after, *count + 1);
                }
            }
        }
        assert_eq!(passed, [1000, 100]);
    }

    #[test]
    fn a_batch_takes_a_turn_in_a_flood_of_single_events_but_not_every_turn() {
        let (flooded, ..) = exhaust(RateState::FULL, &SINGLE, NOW);
        let after = flooded.spend(&limits(), &BATCH, NOW).unwrap();
        assert!(after.spend(&limits(), &BATCH, NOW).is_err(), "the next turn is anybody's");
        let mut state = after;
        let (mut later, mut singles, mut batches) = (NOW, 0, 0);
        for round in 0..10_000_u64 {
            later = later.plus(ms(1));
            let demand = if round % 2 == 0 { BATCH } else { SINGLE };
            if let Ok(next) = state.spend(&limits(), &demand, later) {
                state = next;
                *(if demand == BATCH { &mut batches } else { &mut singles }) += 1;
            }
        }
        assert!(singles > 50 && batches > 50, "{singles} single events, {batches} batches");
    }

    #[test]
    fn a_large_append_takes_as_long_as_its_units() {
        let large = Demand { units: 300, ..BATCH };
        let state = RateState::FULL.spend(&limits(), &large, NOW).unwrap();
        assert_eq!(state.spend(&limits(), &SINGLE, NOW), Err(ms(510 + 10 - 120 - 100)));
        let transaction = Demand { units: 8000, ..BATCH };
        let state = RateState::FULL.spend(&limits(), &transaction, NOW).unwrap();
        assert!(state.spend(&limits(), &SINGLE, NOW.plus(ms(5000))).is_ok(), "nobody waits longer than that");
        assert_eq!([units_of([400]), units_of([1024]), units_of([300_000, 1000])], [1, 2, 2 * (294 + 2)]);
    }

    #[test]
    fn a_state_from_a_clock_that_is_far_ahead_locks_nobody_out() {
        let year = Duration::from_secs(365 * 24 * 3600);
        let (ahead, ..) = exhaust(RateState::FULL, &SINGLE, NOW.plus(year));
        assert_eq!(exhaust(ahead, &SINGLE, NOW).1, 12);
        assert_eq!(exhaust(ahead, &OWN, NOW).1, 20 + 12);
    }

    #[test]
    fn without_limits_everything_passes() {
        let mut state = RateState::FULL;
        for _ in 0..1000 {
            state = state.spend(&AppendLimits::NONE, &Demand { units: 8000, ..BATCH }, NOW).unwrap();
            state = state.spend(&AppendLimits::NONE, &OWN, NOW).unwrap();
        }
    }

    #[test]
    fn a_state_of_another_release_is_read_as_full_budgets() {
        for bytes in [&[][..], &[1; 12], &[1; 14]] {
            assert_eq!(RateState::from_bytes(bytes), RateState::FULL);
        }
    }

    proptest! {
        #[test]
        fn a_state_reads_what_it_stores(producers in any::<u64>(), own in any::<u64>(), large in any::<bool>()) {
            let state = RateState {
                producers_full_at: Timestamp::from_millis(producers),
                own_full_at: Timestamp::from_millis(own),
                last: if large { Size::Large } else { Size::Small },
            };
            prop_assert_eq!(RateState::from_bytes(&state.to_bytes()), state);
        }

        #[test]
        fn no_more_passes_than_the_burst_and_the_rate_allow_and_whoever_waits_as_told_passes(
            steps in prop::collection::vec((0u64..50, 1u64..20), 1..300)
        ) {
            let (mut state, mut now, mut spent) = (RateState::FULL, NOW, 0);
            for (millis, units) in steps {
                now = now.plus(ms(millis));
                let demand = Demand { units, ..SINGLE };
                match state.spend(&limits(), &demand, now) {
                    Ok(after) => (state, spent) = (after, spent + (17 * units / 10).max(10)),
                    Err(wait) => prop_assert!(state.spend(&limits(), &demand, now.plus(wait)).is_ok()),
                }
                // The last append may take more than is left.
                let most = 120 + 40 + now.since(NOW).as_millis() as u64;
                prop_assert!(spent <= most, "{spent} of {most}");
            }
        }
    }
}
