//! Idempotency keys and jitter. Both derive from a seed that the operating system provides once, when a client starts, so
//! nothing can fail later for lack of randomness.

use std::time::Duration;

/// The source of a client's keys and jitter.
#[derive(Debug, Clone)]
pub(crate) struct Randomness {
    /// 128 random bits, which all keys of this client have in common.
    origin: u128,
    keys: u64,
    state: u64,
}

impl Randomness {
    /// Takes the seed from the operating system.
    #[expect(clippy::disallowed_methods, reason = "a producer's process has no entropy port; tests use a fixed seed")]
    pub(crate) fn from_system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 24];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The same seed leads to the same keys and jitter.
    pub(crate) fn from_seed(seed: [u8; 24]) -> Self {
        let (origin, state) = seed.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        let state = state.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Self { origin: number(origin), keys: 0, state }
    }

    /// Returns an idempotency key that no client has used before.
    pub(crate) fn key(&mut self) -> String {
        self.keys += 1;
        format!("{:032x}-{}", self.origin, self.keys)
    }

    /// Returns a duration from zero up to `limit` ("full jitter").
    pub(crate) fn jitter(&mut self, limit: Duration) -> Duration {
        // SplitMix64: jitter spreads the clients' retries and needs no secrecy.
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
    fn keys_are_unique_and_fit_the_header() {
        let mut randomness = Randomness::from_seed([255; 24]);
        let (first, second) = (randomness.key(), randomness.key());
        assert_ne!(first, second);
        assert_eq!(first, "ffffffffffffffffffffffffffffffff-1");
        let mut others = [Randomness::from_system().unwrap(), Randomness::from_system().unwrap()];
        let [third, fourth] = others.each_mut().map(Randomness::key);
        assert_ne!(third, fourth);
    }

    #[test]
    fn jitter_covers_its_whole_range() {
        let mut randomness = Randomness::from_seed([7; 24]);
        let limit = Duration::from_secs(10);
        let drawn: Vec<Duration> = (0..1000).map(|_| randomness.jitter(limit)).collect();
        assert!(drawn.iter().all(|jitter| *jitter <= limit));
        for tenth in 0..10 {
            let range = Duration::from_secs(tenth)..Duration::from_secs(tenth + 1);
            let inside = drawn.iter().filter(|jitter| range.contains(*jitter)).count();
            assert!((60..140).contains(&inside), "{range:?}: {inside}");
        }
    }
}
