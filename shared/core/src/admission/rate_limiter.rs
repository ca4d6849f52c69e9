//! A rate limiter: a bucket of units for each caller, which fills at a constant rate up to its burst. This module owns the
//! arithmetic and the bound on memory; its parent decides whose request it is.
//!
//! A bucket is one number: the time at which it will be full (the generic cell rate algorithm, ITU-T I.371). The
//! `governor` crate does the same, but limits neither the number of keys nor the effect of a clock that is set back, and
//! adds a dozen crates to functions whose size determines their cold start.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{log::rate::AppendLimits, organisation::OrganisationId, time::Timestamp, token::TokenId};

/// The most buckets in memory. A full bucket does not need to be stored.
const MANY: usize = 4096;

/// A group of requests that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bucket {
    Platform,
    /// A named token of the platform, which has a rate of its own.
    PlatformToken(TokenId),
    Organisation(OrganisationId),
    /// Failed authentications from a network. `None` if the network is unknown.
    Address(Option<IpAddr>),
}

/// The rate at which a bucket fills, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units per second, 1 to 1,000,000.
    per_second: u32,
    /// The size of the bucket in units, 1 to 1,000,000.
    burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be units per second and units at once, such as 100/1000, both from 1 to 1000000")]
pub struct RateError;

impl Rate {
    pub const MAX: u32 = 1_000_000;

    /// # Errors
    /// Returns an error if either is 0 or more than [`Rate::MAX`].
    pub const fn new(per_second: u32, burst: u32) -> Result<Self, RateError> {
        if per_second == 0 || burst == 0 || per_second > Self::MAX || burst > Self::MAX {
            return Err(RateError);
        }
        Ok(Self { per_second, burst })
    }

    /// Returns the time in which a bucket gains `units`, in nanoseconds. This is a multiple of the time for one unit,
    /// so units that are taken one by one take the same time.
    fn nanos(self, units: u32) -> u128 {
        u128::from(units) * 1_000_000_000_u128.div_ceil(self.per_second.into())
    }
}

/// `100/1000`: units per second, units at once.
impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<NonZeroU32>().map(NonZeroU32::get).map_err(|_| RateError);
        let (per_second, burst) = text.split_once('/').ok_or(RateError)?;
        Self::new(number(per_second)?, number(burst)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.per_second, self.burst)
    }
}

/// The limits of one process, and of the logs that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    pub organisation: Rate,
    pub platform: Rate,
    /// Failed authentications from one network, each of which costs a read.
    pub failed_authentications: Rate,
    /// Appends to each organisation's log. This limit holds across processes.
    pub appends: AppendLimits,
}

impl RateLimits {
    /// Practically unlimited, for a process that serves only the person who started it.
    pub const NONE: Self = {
        let most = Rate { per_second: Rate::MAX, burst: Rate::MAX };
        Self { organisation: most, platform: most, failed_authentications: most, appends: AppendLimits::NONE }
    };
}

/// For an organisation 1,000 events per second in full batches, or 100 in single requests. Ten times that for the
/// platform, which acts for all organisations.
impl Default for RateLimits {
    fn default() -> Self {
        Self {
            organisation: Rate { per_second: 100, burst: 1000 },
            platform: Rate { per_second: 1000, burst: 10_000 },
            failed_authentications: Rate { per_second: 5, burst: 50 },
            appends: AppendLimits::default(),
        }
    }
}

/// The buckets of one process.
#[derive(Debug)]
pub struct RateLimiter {
    limits: RateLimits,
    /// The time at which each bucket will be full, in nanoseconds since the epoch.
    full_at: Mutex<HashMap<Bucket, u128>>,
}

impl RateLimiter {
    /// Creates a limiter whose buckets are all full.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self { limits, full_at: Mutex::default() }
    }

    /// Takes either all `units` out of a bucket or none of them. If `units` is more than the bucket can hold, takes a
    /// full bucket.
    ///
    /// # Errors
    /// Returns the time after which there will be enough units.
    pub fn spend(&self, bucket: Bucket, units: u32, now: Timestamp) -> Result<(), Duration> {
        let rate = self.rate(&bucket);
        let mut all = self.lock();
        let full_at = full_at(&mut all, &bucket, rate, now);
        let after = full_at + rate.nanos(units.min(rate.burst));
        let latest = nanos(now) + rate.nanos(rate.burst);
        if after > latest {
            return Err(duration(after - latest));
        }
        if after > nanos(now) {
            make_room(&mut all, &bucket, now);
            all.insert(bucket, after);
        }
        Ok(())
    }

    /// Takes the rest of the `units` of a request, of which one was taken before. A full bucket is enough for any request.
    ///
    /// # Errors
    /// Returns the time after which there will be enough units for the whole request.
    pub fn spend_rest(&self, bucket: Bucket, units: u32, now: Timestamp) -> Result<(), Duration> {
        let rate = self.rate(&bucket);
        let rest = units.min(rate.burst).saturating_sub(1);
        self.spend(bucket, rest, now).map_err(|wait| wait + duration(rate.nanos(1)))
    }

    fn rate(&self, bucket: &Bucket) -> Rate {
        match bucket {
            Bucket::Platform | Bucket::PlatformToken(_) => self.limits.platform,
            Bucket::Organisation(_) => self.limits.organisation,
            Bucket::Address(_) => self.limits.failed_authentications,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bucket, u128>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(moment: Timestamp) -> u128 {
    u128::from(moment.as_millis()) * 1_000_000
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Returns the time at which a bucket will be full: at the earliest now, and at the latest when an empty bucket would
/// be full, even if the clock was set back.
fn full_at(all: &mut HashMap<Bucket, u128>, bucket: &Bucket, rate: Rate, now: Timestamp) -> u128 {
    let Some(full_at) = all.get_mut(bucket) else { return nanos(now) };
    *full_at = (*full_at).min(nanos(now) + rate.nanos(rate.burst));
    (*full_at).max(nanos(now))
}

/// If there are too many buckets, removes the full ones. If no bucket is full, removes the fullest.
fn make_room(all: &mut HashMap<Bucket, u128>, bucket: &Bucket, now: Timestamp) {
    if all.len() < MANY || all.contains_key(bucket) {
        return;
    }
    all.retain(|_, full_at| *full_at > nanos(now));
    if all.len() >= MANY
        && let Some(fullest) = all.iter().min_by_key(|(_, full_at)| **full_at).map(|(bucket, _)| bucket.clone())
    {
        all.remove(&fullest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn organisation(name: &str) -> Bucket {
        Bucket::Organisation(name.parse().unwrap())
    }

    fn limiter(per_second: u32, burst: u32) -> RateLimiter {
        let organisation = Rate::new(per_second, burst).unwrap();
        RateLimiter::new(RateLimits { organisation, ..RateLimits::default() })
    }

    #[test]
    fn a_burst_passes_and_then_one_at_a_time_as_the_bucket_fills() {
        let limiter = limiter(2, 3);
        let spend = |millis| limiter.spend(organisation("acme"), 1, NOW.plus(Duration::from_millis(millis)));
        assert_eq!([spend(0), spend(0), spend(0)], [Ok(()); 3]);
        assert_eq!(spend(0), Err(Duration::from_millis(500)));
        assert_eq!(spend(499), Err(Duration::from_millis(1)), "a refused request takes nothing");
        assert_eq!(spend(500), Ok(()));
        assert_eq!(spend(500), Err(Duration::from_millis(500)));
        assert_eq!([spend(60_000), spend(60_000), spend(60_000)], [Ok(()); 3], "it holds no more than its burst");
        assert!(spend(60_000).is_err());
        assert_eq!(limiter.spend(organisation("other"), 3, NOW), Ok(()), "another organisation has its own");
    }

    #[test]
    fn a_request_larger_than_the_bucket_takes_all_of_it() {
        let limiter = limiter(10, 5);
        assert_eq!(limiter.spend(organisation("acme"), 1000, NOW), Ok(()));
        assert_eq!(limiter.spend(organisation("acme"), 1000, NOW), Err(Duration::from_millis(500)));
        assert_eq!(limiter.spend(organisation("acme"), u32::MAX, NOW.plus(Duration::from_millis(500))), Ok(()));
    }

    #[test]
    fn a_large_request_passes_when_it_has_waited_as_long_as_was_said() {
        for (per_second, burst, units) in [(1, 5, 5), (1, 5, 1000), (3, 20, 7), (1, 1, 9), (7, 100, 100)] {
            let limiter = limiter(per_second, burst);
            let send = |now| {
                limiter.spend(organisation("acme"), 1, now)?;
                limiter.spend_rest(organisation("acme"), units, now)
            };
            while send(NOW).is_ok() {}
            let (mut now, mut refused) = (NOW, 0);
            while let Err(wait) = send(now) {
                // At most one refusal for the first unit, and one for the whole request.
                refused += 1;
                assert!(refused <= 2, "{per_second}/{burst}: {wait:?}");
                now = now.plus(wait + Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nobody_longer_than_an_empty_bucket() {
        let limiter = limiter(1, 10);
        limiter.spend(organisation("acme"), 10, NOW).unwrap();
        let before = NOW.minus(Duration::from_secs(3600));
        assert_eq!(limiter.spend(organisation("acme"), 1, before), Err(Duration::from_secs(1)));
        assert_eq!(limiter.spend(organisation("acme"), 1, before.plus(Duration::from_secs(1))), Ok(()));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_the_emptiest_stay() {
        let limiter = limiter(1, 10);
        limiter.spend(organisation("greedy"), 10, NOW).unwrap();
        for number in 0..2 * MANY {
            limiter.spend(organisation(&format!("org-{number}")), 1, NOW).unwrap();
        }
        assert_eq!(limiter.lock().len(), MANY);
        assert!(limiter.spend(organisation("greedy"), 1, NOW).is_err());
        limiter.spend(organisation("late"), 1, NOW.plus(Duration::from_secs(60))).unwrap();
        assert_eq!(limiter.lock().len(), 1, "full ones are removed");
    }

    #[test]
    fn a_rate_reads_what_it_prints() {
        assert_eq!("100/1000".parse::<Rate>().unwrap().to_string(), "100/1000");
        for text in ["", "100", "0/1", "1/0", "1/1000001", "1.5/2", "1/2/3", "-1/2", " 1/2"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_burst_and_the_rate_allow(
            per_second in 1u32..1000, burst in 1u32..100, steps in prop::collection::vec((0u64..2000, 1u32..5), 1..200)
        ) {
            let limiter = limiter(per_second, burst);
            let (mut now, mut spent) = (NOW, 0u64);
            for (millis, units) in steps {
                now = now.plus(Duration::from_millis(millis));
                let units = units.min(burst);
                match limiter.spend(organisation("acme"), units, now) {
                    Ok(()) => spent += u64::from(units),
                    Err(wait) => {
                        let then = now.plus(wait + Duration::from_millis(1));
                        prop_assert!(limiter.spend(organisation("acme"), units, then).is_ok());
                    }
                }
                let most = u64::from(burst) * 1000 + u64::from(per_second) * now.since(NOW).as_millis() as u64;
                prop_assert!(spent * 1000 <= most, "{spent} of {most}/1000");
            }
        }

        #[test]
        fn no_moment_and_no_number_overflows(
            at in any::<u64>(), per_second in 1u32..=Rate::MAX, burst in 1u32..=Rate::MAX, units in any::<u32>()
        ) {
            let limiter = limiter(per_second, burst);
            for at in [at, at.wrapping_mul(3)] {
                let _ = limiter.spend(organisation("acme"), units, Timestamp::from_millis(at));
            }
        }
    }
}
