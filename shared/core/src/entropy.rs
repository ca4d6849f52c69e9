//! The port to randomness, and what the domain makes of random bytes.

#![warn(missing_docs)]

use std::{fmt, time::Duration};

/// A source of random bytes. Secrets are made from them, so outside tests it must be the operating system's generator.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// Returns `N` random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// Returns a random number from 0 up to, but not including, 1.
pub fn fraction(entropy: &dyn Entropy) -> f64 {
    f64::from(u32::from_be_bytes(bytes(entropy))) / (f64::from(u32::MAX) + 1.0)
}

/// Returns a random duration from zero up to, but not including, `limit` ("full jitter").
pub fn jitter(entropy: &dyn Entropy, limit: Duration) -> Duration {
    limit.mul_f64(fraction(entropy))
}

/// Returns `length` random characters of `alphabet`, all equally likely. Bytes that would make some characters more
/// likely are discarded.
pub fn characters(entropy: &dyn Entropy, alphabet: &[u8], length: usize) -> String {
    let fair = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let [byte] = bytes(entropy);
        if usize::from(byte) < fair {
            text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
        }
    }
    text
}

/// Digits, upper and lower case letters.
pub const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits and lower case letters.
pub const BASE36: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
