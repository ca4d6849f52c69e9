//! Randomness: asked of the operating system once, when a client starts. Idempotency keys and jitter derive from it, so
//! that nothing can fail later for want of it.

use std::time::Duration;

/// What a client draws from.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    /// 128 random bits: the part that all keys of this client have in common.
    origin: u128,
    keys: u64,
    state: u64,
}

impl Chance {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// Where it gives no randomness.
    #[expect(clippy::disallowed_methods, reason = "a producer's process is not the domain: tests use a fixed seed")]
    pub(crate) fn from_system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 24];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// Seeded by `seed`: the same seed gives the same keys and jitter.
    pub(crate) fn from_seed(seed: [u8; 24]) -> Self {
        let (origin, state) = seed.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        let state = state.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Self { origin: number(origin), keys: 0, state }
    }

    /// An idempotency key that no client ever gave before.
    pub(crate) fn key(&mut self) -> String {
        self.keys += 1;
        format!("{:032x}-{}", self.origin, self.keys)
    }

    /// A duration from zero up to `limit`: "full jitter".
    pub(crate) fn jitter(&mut self, limit: Duration) -> Duration {
        // SplitMix64: jitter keeps clients apart and is no secret.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Duration::try_from_secs_f64(limit.as_secs_f64() * (mixed >> 11) as f64 / (1_u64 << 53) as f64).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_the_same_and_fit_the_header() {
        let mut chance = Chance::from_seed([255; 24]);
        let (first, second) = (chance.key(), chance.key());
        assert_ne!(first, second);
        assert_eq!(first, "ffffffffffffffffffffffffffffffff-1");
        let mut others = [Chance::from_system().unwrap(), Chance::from_system().unwrap()];
        let [third, fourth] = others.each_mut().map(Chance::key);
        assert_ne!(third, fourth);
    }

    #[test]
    fn jitter_uses_all_of_its_range_and_nothing_else() {
        let mut chance = Chance::from_seed([7; 24]);
        let limit = Duration::from_secs(10);
        let drawn: Vec<Duration> = (0..1000).map(|_| chance.jitter(limit)).collect();
        assert!(drawn.iter().all(|jitter| *jitter <= limit));
        for tenth in 0..10 {
            let range = Duration::from_secs(tenth)..Duration::from_secs(tenth + 1);
            let inside = drawn.iter().filter(|jitter| range.contains(*jitter)).count();
            assert!((60..140).contains(&inside), "{range:?}: {inside}");
        }
    }
}
