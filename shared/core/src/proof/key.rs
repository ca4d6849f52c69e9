//! The keys that sign checkpoints.

pub use crate::verifier_key::{SignerName, VerifierKey};

use crate::time::Timestamp;

/// A key that signs, or signed, the checkpoints of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    pub key: VerifierKey,
    /// What the signer calls it: the ARN of a KMS key.
    pub reference: String,
    /// When it began to sign.
    pub since: Timestamp,
}
