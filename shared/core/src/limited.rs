//! What an organisation may do only a few times a minute, counted across all instances. This module owns the limit; the
//! registry stores the times of the last uses, and each use replaces them on condition that nobody else did.

use std::time::Duration;

use crate::time::Timestamp;

/// What is limited. The limit is the organisation's, which has one destination at most: otherwise deleting a destination and
/// creating it again would begin a new count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limited {
    /// Testing a destination: two or three calls of AssumeRole, of which the account has a quota, and one put.
    Test,
    /// Replaying events, which reads the log and writes objects again.
    Replay,
}

impl Limited {
    /// The most uses within [`Self::PERIOD`].
    pub const MOST: usize = 6;
    pub const PERIOD: Duration = Duration::from_secs(60);

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Replay => "replay",
        }
    }
}

/// Returns the times of the last uses with one at `now`, given those before.
///
/// # Errors
/// Returns how long to wait if the limit is reached.
pub fn with_use_at(now: Timestamp, before: &[Timestamp]) -> Result<Vec<Timestamp>, Duration> {
    // A time far ahead comes from a clock that was wrong, and must not block anybody.
    let counts = |at: &&Timestamp| now.since(**at) < Limited::PERIOD && at.since(now) <= Limited::PERIOD;
    let mut times: Vec<Timestamp> = before.iter().filter(counts).copied().collect();
    times.sort_unstable();
    if times.len() >= Limited::MOST {
        let frees = times[times.len() - Limited::MOST].plus(Limited::PERIOD);
        return Err(frees.since(now));
    }
    times.push(now);
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    #[test]
    fn no_minute_has_more_than_six_uses() {
        let mut times = Vec::new();
        let mut used = Vec::new();
        for second in 0..600 {
            if let Ok(after) = with_use_at(at(second), &times) {
                assert!(after.len() <= Limited::MOST);
                times = after;
                used.push(second);
            }
        }
        assert_eq!(used.len(), 60);
        for first in 0..540 {
            let within = used.iter().filter(|second| (first..first + 60).contains(*second)).count();
            assert_eq!(within, 6, "the minute from {first} on");
        }
    }

    #[test]
    fn the_wait_ends_when_the_oldest_use_is_a_minute_old() {
        let times: Vec<_> = (0..6).map(|second| at(second * 5)).collect();
        let wait = with_use_at(at(30), &times).unwrap_err();
        assert_eq!(wait, Duration::from_secs(30));
        assert!(with_use_at(at(30).plus(wait), &times).is_ok());
        assert!(with_use_at(at(30).plus(wait).minus(Duration::from_millis(1)), &times).is_err());
    }

    #[test]
    fn a_clock_that_was_far_ahead_blocks_nobody() {
        let ahead = vec![at(1_000_000); 6];
        assert_eq!(with_use_at(at(0), &ahead), Ok(vec![at(0)]));
        let little = vec![at(5); 6];
        assert_eq!(with_use_at(at(0), &little), Err(Duration::from_secs(65)));
    }
}
