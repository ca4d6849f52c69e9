//! The port to the private keys that sign checkpoints.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;

use crate::destination::failure::Failure;

/// The largest message that a signer signs, in bytes (AWS KMS, `Sign`, message type RAW).
pub const MESSAGE_MAX_BYTES: usize = 4096;

/// Private keys, each named by a reference such as the ARN of a KMS key.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// Returns the Ed25519 public key of the key with this reference.
    ///
    /// # Errors
    /// Returns the reason if the key does not exist, cannot be used, or did not answer.
    async fn public_key(&self, reference: &str) -> Result<[u8; 32], Failure>;

    /// Returns the Ed25519 signature of `message`. The same key and message always result in the same signature.
    ///
    /// # Errors
    /// Returns the reason if the key does not exist, cannot be used, or did not answer.
    async fn sign(&self, reference: &str, message: &[u8]) -> Result<[u8; 64], Failure>;
}
