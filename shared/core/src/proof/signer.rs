//! The port to the private keys that sign checkpoints.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;

/// The largest message that a signer signs, in bytes (AWS KMS, `Sign`, message type RAW).
pub const MESSAGE_MAX_BYTES: usize = 4096;

/// The kind of a signer's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerFault {
    /// We are not allowed to use the key.
    Denied,
    /// The key does not exist.
    KeyMissing,
    /// The key is disabled.
    KeyDisabled,
    /// The key is pending deletion, or not available for another reason.
    KeyUnavailable,
    /// The key is of another kind than Ed25519, or the request was refused for another reason.
    KeyUnsuitable,
    /// The rate of calls is limited.
    Throttled,
    /// The signer did not answer, or has an outage.
    Unavailable,
}

impl SignerFault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::Denied,
        Self::KeyMissing,
        Self::KeyDisabled,
        Self::KeyUnavailable,
        Self::KeyUnsuitable,
        Self::Throttled,
        Self::Unavailable,
    ];

    /// Returns the name in the API, in logs and in the runbook.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Denied => "signing_denied",
            Self::KeyMissing => "signing_key_missing",
            Self::KeyDisabled => "signing_key_disabled",
            Self::KeyUnavailable => "signing_key_unavailable",
            Self::KeyUnsuitable => "signing_key_unsuitable",
            Self::Throttled => "signing_throttled",
            Self::Unavailable => "signing_unavailable",
        }
    }

    /// Returns what happened, in one sentence.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Denied => "This service is not allowed to use its signing key.",
            Self::KeyMissing => "The signing key of this service does not exist.",
            Self::KeyDisabled => "The signing key of this service is disabled.",
            Self::KeyUnavailable => "The signing key of this service is pending deletion or not available.",
            Self::KeyUnsuitable => "The signing key of this service is not an Ed25519 key for signatures.",
            Self::Throttled => "AWS KMS limits the rate of signatures.",
            Self::Unavailable => "AWS KMS did not answer.",
        }
    }

    /// Returns whether a later call can succeed without a change by somebody.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

/// A call to the signer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", .fault.cause(), .answer.as_ref().map_or_else(String::new, |answer| format!(" {answer}")))]
pub struct SignerError {
    /// The kind of failure.
    pub fault: SignerFault,
    /// The signer's own words, on one line.
    pub answer: Option<String>,
}

/// Private keys, each named by a reference such as the ARN of a KMS key.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// Returns the Ed25519 public key of the key with this reference.
    async fn public_key(&self, reference: &str) -> Result<[u8; 32], SignerError>;

    /// Returns the Ed25519 signature of `message`. The same key and message always result in the same signature.
    async fn sign(&self, reference: &str, message: &[u8]) -> Result<[u8; 64], SignerError>;
}
