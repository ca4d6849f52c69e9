//! Versioning and Object Lock of a bucket. Owns their configuration, and decides whether an object is locked.
//!
//! There are no versions: the configuration is stored, and a put over an existing key replaces it. On S3 a put or a delete
//! would leave the locked version behind, so here a put over a locked object and its deletion are refused: a locked object is
//! never lost. Retention of single objects, legal holds and the bypass of governance mode are not supported.

use std::{path::Path, time::SystemTime};

use http::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result, dto, s3_error};

use crate::iam::{Bucket, Retention, RetentionMode, Versioning};

pub(super) fn versioning_output(bucket: &Bucket) -> dto::GetBucketVersioningOutput {
    let status = match bucket.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(dto::BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(dto::BucketVersioningStatus::SUSPENDED),
    };
    dto::GetBucketVersioningOutput { mfa_delete: None, status: status.map(dto::BucketVersioningStatus::from_static) }
}

/// Returns the bucket with another state of versioning.
pub(super) fn with_versioning(bucket: Bucket, configuration: &dto::VersioningConfiguration) -> S3Result<Bucket> {
    if configuration.mfa_delete.is_some() {
        return Err(s3_error!(NotImplemented, "The embedded S3 does not support MFA delete."));
    }
    let versioning = match configuration.status.as_ref().map(dto::BucketVersioningStatus::as_str) {
        Some(dto::BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(dto::BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => {
            return Err(s3_error!(IllegalVersioningConfigurationException, "The Versioning element must be specified"));
        }
    };
    if bucket.retention.is_some() && versioning != Versioning::Enabled {
        return Err(s3_error!(
            InvalidBucketState,
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        ));
    }
    Ok(Bucket { versioning, ..bucket })
}

pub(super) fn object_lock_output(bucket: &Bucket) -> S3Result<dto::GetObjectLockConfigurationOutput> {
    let Some(retention) = bucket.retention else {
        return Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "Object Lock configuration does not exist for this bucket"
        ));
    };
    let mode = match retention.mode {
        RetentionMode::Governance => dto::ObjectLockRetentionMode::GOVERNANCE,
        RetentionMode::Compliance => dto::ObjectLockRetentionMode::COMPLIANCE,
    };
    let default_retention = dto::DefaultRetention {
        days: i32::try_from(retention.days).ok(),
        mode: Some(dto::ObjectLockRetentionMode::from_static(mode)),
        years: None,
    };
    Ok(dto::GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(dto::ObjectLockConfiguration {
            object_lock_enabled: Some(dto::ObjectLockEnabled::from_static(dto::ObjectLockEnabled::ENABLED)),
            rule: Some(dto::ObjectLockRule { default_retention: Some(default_retention) }),
        }),
    })
}

/// Returns the bucket with another default retention. It must have versioning.
pub(super) fn with_object_lock(
    bucket: Bucket,
    configuration: Option<&dto::ObjectLockConfiguration>,
) -> S3Result<Bucket> {
    if bucket.versioning != Versioning::Enabled {
        return Err(s3_error!(
            InvalidBucketState,
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        ));
    }
    let default = configuration
        .and_then(|configuration| configuration.rule.as_ref())
        .and_then(|rule| rule.default_retention.as_ref())
        .ok_or_else(|| {
            s3_error!(NotImplemented, "The embedded S3 supports Object Lock with a default retention only.")
        })?;
    let mode = match default.mode.as_ref().map(dto::ObjectLockRetentionMode::as_str) {
        Some(dto::ObjectLockRetentionMode::GOVERNANCE) => Some(RetentionMode::Governance),
        Some(dto::ObjectLockRetentionMode::COMPLIANCE) => Some(RetentionMode::Compliance),
        _ => None,
    };
    // One of days and years, at most a hundred years.
    let days = match (default.days, default.years) {
        (Some(days @ 1..=36_500), None) => u32::try_from(days).ok(),
        (None, Some(years @ 1..=100)) => u32::try_from(years * 365).ok(),
        _ => None,
    };
    match (mode, days) {
        (Some(mode), Some(days)) => Ok(Bucket { retention: Some(Retention { mode, days }), ..bucket }),
        _ => Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema",
        )),
    }
}

/// Returns an error if the file is an object whose retention has not ended.
pub(super) fn check_unlocked(bucket: &Bucket, file: &Path, now_millis: u64) -> S3Result<()> {
    let Some(retention) = bucket.retention else { return Ok(()) };
    let Ok(modified) = std::fs::metadata(file).and_then(|metadata| metadata.modified()) else { return Ok(()) };
    let put_millis = modified.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_millis());
    if u128::from(now_millis) < put_millis + u128::from(retention.days) * 86_400_000 {
        return Err(s3_error!(AccessDenied, "Access Denied because object protected by object lock."));
    }
    Ok(())
}

/// Returns an error if a put into a bucket with Object Lock has no checksum.
pub(super) fn check_checksum(bucket: &Bucket, headers: &HeaderMap) -> S3Result<()> {
    let is_checksum = |name: &str| {
        name == "content-md5"
            || name == "x-amz-trailer"
            || (name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-algorithm")
    };
    if bucket.retention.is_none() || headers.keys().any(|name| is_checksum(name.as_str())) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
    ))
}
