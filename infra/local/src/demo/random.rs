//! The chance of the demonstration: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
//! 2014). It is for believable data; it is no source of secrets.

/// A sequence of numbers that a seed decides.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to.saturating_sub(from) + 1)
    }

    /// An index into something of `length`, which is not 0.
    pub(super) fn index(&mut self, length: usize) -> usize {
        let length = length.max(1) as u64;
        usize::try_from(self.next() % length).unwrap_or_default()
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    /// One of a choice that is not empty.
    pub(super) fn pick<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[self.index(choice.len())]
    }

    /// One of a choice that has something other than `current`.
    pub(super) fn pick_other<T: Copy + PartialEq>(&mut self, choice: &[T], current: T) -> T {
        let others: Vec<T> = choice.iter().copied().filter(|other| *other != current).collect();
        *self.pick(&others)
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// `length` letters and digits, as short ids have them.
    pub(super) fn short_id(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(b"0123456789abcdefghijklmnopqrstuvwxyz"))).collect()
    }

    /// `length` hexadecimal digits, as a commit has them.
    pub(super) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(b"0123456789abcdef"))).collect()
    }

    /// A random UUID (RFC 9562, version 4).
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (version, variant) = (high & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000);
        format!(
            "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            low & 0xffff_ffff_ffff
        )
    }
}
