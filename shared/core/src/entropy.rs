//! The randomness port, and the few ways in which the domain uses it.

#![warn(missing_docs)]

use std::{fmt, time::Duration};

/// Where random bytes come from. Secrets are made of them, so outside tests it is the operating system's generator.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// A duration from zero up to, but not including, `limit`: "full jitter".
pub fn jitter(entropy: &dyn Entropy, limit: Duration) -> Duration {
    let fraction = f64::from(u32::from_be_bytes(bytes(entropy))) / (f64::from(u32::MAX) + 1.0);
    limit.mul_f64(fraction)
}

/// `length` random characters of `alphabet`, each equally likely: bytes that would favour some are thrown away.
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
