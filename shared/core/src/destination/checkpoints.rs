//! What is signed of the deliveries to a destination.

use serde::{Deserialize, Serialize};

use super::{BucketName, KeyPrefix};
use crate::{hash::LineHash, time::Timestamp, verifier_key::VerifierKey};

/// The state of a destination's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoints {
    /// The last one that was put.
    pub last: Option<LastCheckpoint>,
    /// One that is signed and may not have been put.
    pub begun: Option<BegunCheckpoint>,
    /// Set if the last attempt failed.
    pub unsigned: Option<Unsigned>,
    /// Whether the registry's table was restored to an earlier copy since the last one: others may have been put after it, of
    /// which no record is left.
    pub restored: bool,
    /// When the next one is due, even if nothing is delivered until then. `None` if nothing was delivered yet, or if
    /// signing is off.
    pub due_at: Option<Timestamp>,
}

/// A checkpoint in the customer's bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheckpoint {
    /// The number of the last delivery that it covers.
    pub deliveries: u64,
    /// The last sequence that it covers.
    pub sequence: u64,
    /// The hash of the line with that sequence.
    pub hash: LineHash,
    /// When its statement was true.
    pub at: Timestamp,
    /// The object's key, prefix included.
    pub key: String,
    /// SHA-256 of the object.
    pub sha256: LineHash,
    /// The key that signed it.
    pub signer: VerifierKey,
    /// The bucket of the objects that it ends with. `None` if an earlier version signed it, and the bucket was not changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketName>,
}

/// A checkpoint that is signed, and is put again as it is until that succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BegunCheckpoint {
    /// What [`Checkpoints::last`] becomes.
    pub becomes: LastCheckpoint,
    /// The prefix in force when it was signed. The session that puts it is limited to it.
    pub prefix: KeyPrefix,
    /// The signed note.
    pub note: String,
}

/// Deliveries that could not be signed. They continue meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsigned {
    /// The time of the first failure in a row.
    pub since: Timestamp,
    /// The kind of the last failure: that of a signer or of a delivery.
    pub code: String,
    /// What happened, and what to do.
    pub detail: String,
    /// The number of failures in a row.
    pub attempts: u32,
    /// The earliest time of the next attempt.
    pub retry_at: Timestamp,
}
