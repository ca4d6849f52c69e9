//! The claims of a bucket or a role, as they are stored.

use super::{BucketName, Destination, DestinationId, KeyPrefix, RoleArn};
use crate::organisation::OrganisationId;

/// What can be claimed: a bucket or a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey(String);

impl ClaimKey {
    const ROLE: &'static str = "role#";

    #[must_use]
    pub fn bucket(name: &BucketName) -> Self {
        Self(format!("bucket#{name}"))
    }

    #[must_use]
    pub fn role(arn: &RoleArn) -> Self {
        Self(format!("{}{}", Self::ROLE, arn.identity()))
    }

    #[must_use]
    pub fn is_role(&self) -> bool {
        self.0.starts_with(Self::ROLE)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The destinations that claim a bucket or a role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    pub holders: Vec<Holder>,
    /// The number of changes. Each change is conditional on it.
    pub version: u64,
}

/// A destination that claims a bucket or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub organisation: OrganisationId,
    pub destination: DestinationId,
    /// The prefix of the keys that were written when it took the claim.
    pub prefix: KeyPrefix,
}

impl Holder {
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        Self {
            organisation: destination.organisation.clone(),
            destination: destination.id.clone(),
            prefix: destination.settings.prefix.clone(),
        }
    }
}
