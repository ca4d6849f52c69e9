//! Reproducible randomness: every decision of a seeded test comes from this generator.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use annals_core::entropy::Entropy;

/// Random numbers from a seed (SplitMix64). Not for secrets.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

impl SeededEntropy {
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(seed) })
    }

    /// Another generator, seeded by this one and independent from then on.
    #[must_use]
    pub fn fork(&self) -> Arc<Self> {
        Self::new(self.next())
    }

    pub fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// A number in 0.0..1.0.
    pub fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn happens(&self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A duration of at most `limit`.
    pub fn duration(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.fraction())
    }

    /// The time to the next event of a Poisson process with this mean interval.
    pub fn exponential(&self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.fraction()).ln())
    }

    /// One of `items`, which must not be empty.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (one, two) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert!((0..100).all(|_| one.next() == two.next()));
        assert_ne!(one.next(), SeededEntropy::new(8).next());
    }

    #[test]
    fn exponential_times_have_their_mean() {
        let entropy = SeededEntropy::new(1);
        let sum: Duration = (0..10_000).map(|_| entropy.exponential(Duration::from_millis(10))).sum();
        assert!((95.0..105.0).contains(&sum.as_secs_f64()), "{sum:?}");
    }
}
