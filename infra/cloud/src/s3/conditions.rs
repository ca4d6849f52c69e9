//! The conditions of GET and HEAD: `If-Match`, `If-None-Match`, `If-Modified-Since` and `If-Unmodified-Since`. `s3s-fs`
//! checks the conditions of writes.

use http::{HeaderMap, HeaderValue, header};
use s3s::{
    S3Error, S3Result,
    dto::{ETag, ETagCondition, GetObjectInput, HeadObjectInput, Timestamp, TimestampFormat},
    s3_error,
};
use time::OffsetDateTime;

pub(super) struct Conditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl From<&GetObjectInput> for Conditions {
    fn from(input: &GetObjectInput) -> Self {
        Self {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
            if_modified_since: input.if_modified_since.clone(),
            if_unmodified_since: input.if_unmodified_since.clone(),
        }
    }
}

impl From<&HeadObjectInput> for Conditions {
    fn from(input: &HeadObjectInput) -> Self {
        Self {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
            if_modified_since: input.if_modified_since.clone(),
            if_unmodified_since: input.if_unmodified_since.clone(),
        }
    }
}

impl Conditions {
    /// Returns an error with status 412 or 304 if a condition does not hold for an object. The order is that of RFC 9110,
    /// section 13.2.2: a condition on the ETag overrides the one on the time.
    pub(super) fn check(&self, e_tag: Option<&ETag>, modified: Option<&Timestamp>) -> S3Result<()> {
        let (Some(e_tag), Some(modified)) = (e_tag, modified) else { return Ok(()) };
        let matches = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(wanted) => wanted.weak_cmp(e_tag),
        };
        let is_newer = |since: &Timestamp| seconds(modified) > seconds(since);
        let (if_match, unmodified_since) = (self.if_match.as_ref(), self.if_unmodified_since.as_ref());
        if !if_match.map(matches).or(unmodified_since.map(|since| !is_newer(since))).unwrap_or(true) {
            return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
        }
        let (if_none_match, modified_since) = (self.if_none_match.as_ref(), self.if_modified_since.as_ref());
        if !if_none_match.map(|condition| !matches(condition)).or(modified_since.map(is_newer)).unwrap_or(true) {
            return Err(not_modified(e_tag, modified));
        }
        Ok(())
    }
}

/// HTTP has no fractions of seconds.
fn seconds(timestamp: &Timestamp) -> i64 {
    OffsetDateTime::from(timestamp.clone()).unix_timestamp()
}

fn not_modified(e_tag: &ETag, modified: &Timestamp) -> S3Error {
    let mut error = s3_error!(NotModified, "Not Modified");
    let mut headers = HeaderMap::new();
    if let Ok(e_tag) = e_tag.to_http_header() {
        headers.insert(header::ETAG, e_tag);
    }
    let mut text = Vec::new();
    if modified.format(TimestampFormat::HttpDate, &mut text).is_ok()
        && let Ok(modified) = HeaderValue::from_bytes(&text)
    {
        headers.insert(header::LAST_MODIFIED, modified);
    }
    error.set_headers(headers);
    error
}
