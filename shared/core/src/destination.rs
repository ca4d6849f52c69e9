//! Destinations: a customer's bucket and the role that grants access to it, and everything that is known about
//! delivery to it.
//!
//! - [`advice`]: what to change to remedy a failure
//! - `checkpoints`: what is signed of the deliveries
//! - `claims`: who claims a bucket or a role
//! - `names`: buckets, roles, accounts, prefixes and regions, as AWS names them
//! - `partition`: the partitions of AWS and their regions
//! - `settings`: what the owner of a destination can change
//! - `pending`: where it delivers to, and a change of that which is not in force yet
//! - `progress`: how far delivery has come, and what it is doing now
//! - `status`: the status that people see
//! - [`proof`]: whether the role is proven to be meant for the organisation
//! - [`health`]: how it is doing, from the newest evidence
//! - `record`: one delivered object
//! - `rendering`: how the events in an object are written
//! - `recorded`: its state, as events record it
//! - [`sink`]: the port to buckets and roles
//! - [`policy`]: the IAM policies that delivery needs
//! - [`failure`]: why a delivery failed, and what to do about it
//! - [`connection_test`]: the test of a destination

pub mod advice;
mod checkpoints;
mod claims;
pub mod connection_test;
pub mod failure;
pub mod health;
mod names;
mod partition;
mod pending;
pub mod policy;
mod progress;
pub mod proof;
mod record;
mod recorded;
mod rendering;
mod settings;
pub mod sink;
mod status;

use std::{fmt, str::FromStr};

use crate::{event::Entity, organisation::OrganisationId, time::Timestamp};

pub use self::{
    checkpoints::{BegunCheckpoint, Checkpoints, LastCheckpoint, Unsigned},
    claims::{ClaimKey, Claims, Holder},
    names::{AccountId, BucketName, KeyPrefix, Region, RoleArn},
    partition::{PARTITIONS, Partition},
    pending::{PendingChange, Place, PlaceName},
    progress::{Failing, Intent, Lost, Progress, Replay},
    proof::{Challenge, Proof, Proven, ProvenBy, RolesWithoutExternalId},
    record::{Content, Delivery},
    rendering::{ObjectFormat, Rendering, Shape},
    settings::{Compression, KeyLayout, Settings},
    status::{State, Status},
};

/// A destination's id: 12 lower case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a destination: 12 lower case letters and digits")]
pub struct DestinationIdError;

impl DestinationId {
    pub const LENGTH: usize = 12;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DestinationId {
    type Err = DestinationIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if text.len() == Self::LENGTH && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DestinationIdError)
        }
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A customer's bucket and the role that grants access to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub id: DestinationId,
    pub organisation: OrganisationId,
    pub bucket: BucketName,
    pub role_arn: RoleArn,
    pub settings: Settings,
    /// Paused by its owner.
    pub paused: bool,
    /// No longer included in the organisation's plan.
    pub disabled: bool,
    pub created_at: Timestamp,
    pub proof: Proof,
    /// A change of bucket, role or prefix that is not in force yet.
    pub pending: Option<PendingChange>,
    /// The sequence of the first event that it gets. `None` if an earlier version created the destination and nothing
    /// has been delivered since.
    pub first_sequence: Option<u64>,
    /// The sequence to deliver next: always the first of a segment.
    pub next_sequence: u64,
    /// The number of numbered deliveries, which is the number of the last one.
    pub deliveries: u64,
    /// The delivery that has begun and is not finished.
    pub intent: Option<Intent>,
    /// The replay in progress.
    pub replay: Option<Replay>,
    pub progress: Progress,
    pub checkpoints: Checkpoints,
    /// The number of changes, from [`Self::FIRST_VERSION`] on. Each change is conditional on it.
    pub version: u64,
}

impl Destination {
    /// The version of a new destination. Version 0.1 began with 1 and stored no proof: so a higher version without a proof
    /// tells that an instance of 0.1 has changed a destination of a later version and dropped its proof.
    pub const FIRST_VERSION: u64 = 1 << 32;

    /// Returns whether delivery to it is on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.paused && !self.disabled
    }

    /// Returns the 12 digits of the account that must own the bucket.
    #[must_use]
    pub fn bucket_owner(&self) -> &str {
        self.settings.bucket_owner.as_ref().map_or_else(|| self.role_arn.account(), AccountId::as_str)
    }

    /// Returns the entity of events about this destination. The entity type is WireMock Cloud's for an audit
    /// destination.
    #[must_use]
    pub fn entity(&self) -> Entity {
        Entity { id: self.id.to_string(), name: self.bucket.to_string(), entity_type: "S3_AUDIT_SINK" }
    }
}
