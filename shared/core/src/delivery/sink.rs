//! The port to customers' buckets and the roles that open them.

use std::fmt;

use async_trait::async_trait;

use crate::{
    destination::{BucketName, Destination, KeyPrefix, Region, RoleArn},
    organisation::{Organisation, OrganisationId},
};

/// A bucket, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose it is; names the session in the customer's own trail.
    pub organisation: OrganisationId,
    /// The bucket.
    pub bucket: BucketName,
    /// What keys begin with: the session can write nowhere else.
    pub prefix: KeyPrefix,
    /// The role to assume.
    pub role_arn: RoleArn,
    /// Sent with every AssumeRole.
    pub external_id: String,
    /// Where the bucket is; `None`: where Annals runs.
    pub region: Option<Region>,
}

impl Target {
    /// The target of `destination`.
    #[must_use]
    pub fn of(organisation: &Organisation, destination: &Destination) -> Self {
        Self {
            organisation: organisation.id.clone(),
            bucket: destination.bucket.clone(),
            prefix: destination.prefix.clone(),
            role_arn: destination.role_arn.clone(),
            external_id: organisation.external_id.clone(),
            region: destination.region.clone(),
        }
    }
}

/// What to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key, prefix included.
    pub key: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub content: Vec<u8>,
    /// What if there is one.
    pub existing: Existing,
}

/// What becomes of an object that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Keep,
    /// It is replaced.
    Replace,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    Now,
    /// There was one already, which stays as it is.
    Before,
}

/// Which call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// AssumeRole.
    AssumeRole,
    /// PutObject.
    PutObject,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// AWS answered no.
    Answered {
        /// The HTTP status.
        status: u16,
        /// AWS's code, such as `AccessDenied`.
        code: String,
        /// AWS's words.
        message: String,
        /// Where the bucket is, where AWS said so.
        bucket_region: Option<String>,
    },
    /// There was no answer in time.
    TimedOut,
    /// There was no connection.
    NotConnected,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call:?} failed")]
pub struct SinkError {
    /// Which.
    pub call: Call,
    /// How.
    pub reason: Reason,
    /// The request's id, for AWS's support.
    pub request_id: Option<String>,
}

/// Where objects are put.
#[async_trait]
pub trait ObjectSink: fmt::Debug + Send + Sync {
    /// Puts an object, whole and with a checksum, or not at all.
    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError>;

    /// Tries whether the target's role can be assumed with this external id, instead of the target's own.
    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError>;
}
