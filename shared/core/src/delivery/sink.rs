//! The port to customers' buckets and the roles that open them.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

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
    /// The account that must own the bucket, 12 digits.
    pub bucket_owner: String,
}

impl Target {
    /// The target of `destination`.
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

/// What to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key, prefix included.
    pub key: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub content: Bytes,
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
    /// The host's name has no address.
    NotResolved,
    /// The host refused the connection.
    Refused,
    /// No secure connection came about: the certificate or the protocol is not what it should be.
    TlsFailed,
    /// There was no connection, for another reason.
    NotConnected,
}

impl Reason {
    /// What is kept of AWS's words at most, in bytes: enough for the longest ARNs and the reason behind them.
    pub const MESSAGE_MAX_BYTES: usize = 4096;
    /// What is kept of AWS's code at most, in bytes.
    pub const CODE_MAX_BYTES: usize = 64;

    /// An answer in AWS's words, as far as they are fit to be kept: bounded, without control characters.
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

/// `text` on one line, of `max_bytes` bytes at most, cut between characters: each run of white space is one space;
/// control characters, and those that turn the direction of writing, are left out.
#[must_use]
pub fn printable(text: &str, max_bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut line = String::new();
    // Words are split at white space alone, which control characters such as a line's end belong to.
    for word in text.split_whitespace() {
        let space = usize::from(!line.is_empty());
        let word = word.chars().filter(|&c| !invisible(c));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_says_is_kept_on_one_line_without_what_cannot_be_seen() {
        assert_eq!(printable(" a\r\n\tb\u{1b}[31mc\u{202e}\0 ", 64), "a b[31mc");
        assert_eq!(printable("\u{7}", 64), "");
    }

    #[test]
    fn what_aws_says_is_cut_between_characters() {
        let text = "ä".repeat(1000);
        for max_bytes in 0..64 {
            let cut = printable(&text, max_bytes);
            assert!(cut.len() <= max_bytes && (max_bytes < 3 || cut.ends_with('…')), "{max_bytes}: {cut}");
        }
        assert_eq!(printable(&text, 2000), text);
    }
}
