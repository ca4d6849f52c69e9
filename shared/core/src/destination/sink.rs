//! The port to customers' buckets and roles.

#![warn(missing_docs)]

use std::{fmt, ops::Deref};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{BucketName, Destination, KeyPrefix, PlaceName, Region, RoleArn};
use crate::{
    invisible::is_invisible,
    organisation::{Organisation, OrganisationId},
};

/// A bucket, and the access to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The organisation. Its id names the session in the customer's CloudTrail.
    pub organisation: OrganisationId,
    /// The bucket.
    pub bucket: BucketName,
    /// The prefix of keys. The session can write nowhere else.
    pub prefix: KeyPrefix,
    /// The role to assume.
    pub role_arn: RoleArn,
    /// Sent with every AssumeRole.
    pub external_id: String,
    /// The bucket's region. `None`: the region in which Annals runs.
    pub region: Option<Region>,
    /// The 12 digits of the account that must own the bucket.
    pub bucket_owner: String,
}

impl Target {
    /// Returns the target of `destination`.
    #[must_use]
    pub fn of(organisation: &Organisation, destination: &Destination) -> Self {
        Self {
            organisation: organisation.id.clone(),
            bucket: destination.bucket.clone(),
            prefix: destination.settings.prefix.clone(),
            role_arn: destination.role_arn.clone(),
            external_id: organisation.external_id.clone(),
            region: destination.settings.region.clone(),
            bucket_owner: destination.bucket_owner().to_owned(),
        }
    }
}

impl Target {
    /// Returns the name of the place.
    #[must_use]
    pub fn place_name(&self) -> PlaceName {
        PlaceName {
            bucket: self.bucket.to_string(),
            role_arn: self.role_arn.to_string(),
            prefix: self.prefix.as_str().to_owned(),
            bucket_owner: self.bucket_owner.clone(),
        }
    }
}

/// An object to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The key, prefix included.
    pub key: String,
    /// The media type.
    pub content_type: &'static str,
    /// The content.
    pub content: ObjectContent,
    /// What to do if an object with this key exists.
    pub existing: Existing,
}

/// Bytes with their SHA-256. It is computed once: for the record of the delivery, for the checksum that S3 compares, and for the
/// signature of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectContent {
    bytes: Bytes,
    sha256: [u8; 32],
}

impl ObjectContent {
    /// Returns the bytes. They are not copied.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Returns the SHA-256 of the bytes.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl<B: Into<Bytes>> From<B> for ObjectContent {
    fn from(bytes: B) -> Self {
        let bytes = bytes.into();
        Self { sha256: Sha256::digest(&bytes).into(), bytes }
    }
}

impl Deref for ObjectContent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What happens to an existing object with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is kept.
    Keep,
    /// It is replaced.
    Replace,
}

/// The result of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The object was written.
    Now,
    /// An object with this key existed, and was kept. This call has not written it.
    Before,
    /// An object with this key existed, and was kept. An earlier attempt of this call, whose answer was lost, may have
    /// written it.
    Unclear,
}

/// A call to AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// AssumeRole.
    AssumeRole,
    /// PutObject.
    PutObject,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// AWS answered with an error.
    Answered {
        /// The HTTP status.
        status: u16,
        /// AWS's error code, such as `AccessDenied`.
        code: String,
        /// AWS's message.
        message: String,
        /// The bucket's region, if the answer names it.
        bucket_region: Option<String>,
    },
    /// No answer arrived in time.
    TimedOut,
    /// The host name could not be resolved.
    NotResolved,
    /// The host refused the connection.
    Refused,
    /// No TLS connection could be established: wrong certificate or protocol.
    TlsFailed,
    /// The connection failed for another reason, or was lost.
    NotConnected,
}

impl Reason {
    /// The longest message that is kept, in bytes: enough for the longest ARNs and the reason behind them.
    pub const MESSAGE_MAX_BYTES: usize = 4096;
    /// The longest error code that is kept, in bytes.
    pub const CODE_MAX_BYTES: usize = 64;

    /// Returns whether an attempt that ended like this has certainly written nothing: AWS refused it, or no connection
    /// was ever established. After a 5xx or without an answer, S3 may have stored the object.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            // 408: a host on the way gave up waiting.
            Self::Answered { status, .. } => (300..500).contains(status) && *status != 408,
            Self::NotResolved | Self::Refused | Self::TlsFailed => true,
            Self::TimedOut | Self::NotConnected => false,
        }
    }

    /// Returns an answer from AWS, with its texts bounded and without control characters.
    #[must_use]
    pub fn answered(status: u16, code: &str, message: &str, bucket_region: Option<String>) -> Self {
        Self::Answered {
            status,
            code: printable(code, Self::CODE_MAX_BYTES),
            message: printable(message, Self::MESSAGE_MAX_BYTES),
            bucket_region,
        }
    }
}

/// Returns `text` on one line of at most `max_bytes` bytes, cut between characters. Each run of white space becomes one
/// space, and invisible characters are left out.
#[must_use]
pub fn printable(text: &str, max_bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    let mut line = String::new();
    // Control characters such as line ends are white space, and split words.
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        let word = word.chars().filter(|&c| !is_invisible(c));
        line.extend(std::iter::repeat_n(' ', space).chain(word));
        if line.len() > max_bytes {
            line.truncate(line.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len())));
            line.extend((max_bytes >= ELLIPSIS.len()).then_some(ELLIPSIS));
            break;
        }
    }
    line
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call:?} failed")]
pub struct SinkError {
    /// The call.
    pub call: Call,
    /// The reason: that of the last attempt, if there were several.
    pub reason: Reason,
    /// Whether an attempt before the last one may have written the object.
    pub earlier_unclear: bool,
    /// The request id, for AWS Support.
    pub request_id: Option<String>,
}

impl SinkError {
    /// Returns the failure of a call whose only attempt ended for `reason`.
    #[must_use]
    pub fn new(call: Call, reason: Reason) -> Self {
        Self { call, reason, earlier_unclear: false, request_id: None }
    }

    /// Returns whether the call has certainly written nothing. Without a session, no put is sent.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self.call {
            Call::AssumeRole => true,
            Call::PutObject => self.reason.is_definite() && !self.earlier_unclear,
        }
    }

    /// Returns the bucket's region, if the answer names a region in the role's partition other than that of `target`.
    #[must_use]
    pub fn learnt_region(&self, target: &Target) -> Option<Region> {
        let Reason::Answered { bucket_region: Some(name), .. } = &self.reason else { return None };
        let region: Region = name.parse().ok()?;
        (target.region.as_ref() != Some(&region) && region.partition() == target.role_arn.partition()).then_some(region)
    }
}

/// A client of customers' buckets.
#[async_trait]
pub trait ObjectSink: fmt::Debug + Send + Sync {
    /// Puts an object with a checksum, completely or not at all.
    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError>;

    /// Assumes the target's role with this external id instead of the target's own.
    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_on_one_line_without_invisible_characters() {
        assert_eq!(printable(" a\r\n\tb\u{1b}[31mc\u{202e}\0 ", 64), "a b[31mc");
        assert_eq!(printable("\u{7}", 64), "");
    }

    #[test]
    fn only_a_refusal_says_that_nothing_was_written() {
        let answered = |status| Reason::answered(status, "", "", None);
        let definite = [301, 400, 403, 404, 409, 412].map(answered).into_iter();
        for reason in definite.chain([Reason::NotResolved, Reason::Refused, Reason::TlsFailed]) {
            let error = SinkError::new(Call::PutObject, reason);
            assert!(error.is_definite(), "{error:?}");
            assert!(!SinkError { earlier_unclear: true, ..error }.is_definite());
        }
        let unclear = [200, 408, 500, 503].map(answered).into_iter();
        for reason in unclear.chain([Reason::TimedOut, Reason::NotConnected]) {
            assert!(!SinkError::new(Call::PutObject, reason.clone()).is_definite(), "{reason:?}");
            assert!(SinkError::new(Call::AssumeRole, reason).is_definite(), "no put is sent without a session");
        }
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let text = "ä".repeat(1000);
        for max_bytes in 0..64 {
            let cut = printable(&text, max_bytes);
            assert!(cut.len() <= max_bytes && (max_bytes < 3 || cut.ends_with('…')), "{max_bytes}: {cut}");
        }
        assert_eq!(printable(&text, 2000), text);
    }
}
