//! What went wrong with a delivery: a stable code, the cause in plain words, and what to change where.
//!
//! AWS answers `AccessDenied` for many things; what it says beside that, and at which call, tells them apart. Where it
//! answers the same for several causes there is one code, and the fix lists what to check, in order. `tests/failures.rs`
//! replays AWS's documented answers to this, and keeps `infra/docs/failures.md` in step with it.

mod denial;
mod messages;
mod policy;

use self::denial::{Denial, How, PolicyKind};
use super::sink::{Call, Reason, SinkError, Target, printable};

/// What is stored and shown of AWS's answer at most, in bytes.
pub const AWS_MAX_BYTES: usize = 1024;

/// A failure that the customer can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable code.
    pub code: FailureCode,
    /// What is wrong, one sentence or two.
    pub cause: String,
    /// What to change where. One line; policies in it are JSON to paste.
    pub fix: String,
    /// What AWS said, with the request's id where there was one; [`AWS_MAX_BYTES`] at most, no control characters.
    pub aws: Option<String>,
}

/// Who can mend a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemediedBy {
    /// Whoever owns the bucket and the role.
    Customer,
    /// Whoever runs Annals.
    Operator,
    /// Nobody needs to: it passes, and delivery goes on by itself.
    Time,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $remedied_by:ident;)+) => {
        /// What kind of failure it is. The names are part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl FailureCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name, as the API writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Who can mend it.
            #[must_use]
            pub fn remedied_by(self) -> RemediedBy {
                match self {
                    $(Self::$variant => RemediedBy::$remedied_by,)+
                }
            }
        }
    };
}

codes! {
    /// The role does not exist, does not trust us, or requires another external id: STS answers the same to all three.
    RoleNotAssumable = "role_not_assumable", Customer;
    /// STS does not take the role's ARN.
    RoleArnInvalid = "role_arn_invalid", Customer;
    /// A resource control policy of the role's organisation keeps us out.
    RoleDeniedByResourceControlPolicy = "role_denied_by_resource_control_policy", Customer;
    /// STS is switched off in our region for the role's account.
    StsRegionDisabled = "sts_region_disabled", Customer;
    /// The policy that we give along with AssumeRole is too large.
    SessionPolicyTooLarge = "session_policy_too_large", Customer;
    /// The policy that we give along with AssumeRole is malformed.
    SessionPolicyMalformed = "session_policy_malformed", Operator;
    /// Our own identity is not accepted, or may not assume any role.
    OperatorNotAuthorized = "operator_not_authorized", Operator;
    /// The role was assumed, but S3 does not accept its session.
    SessionDenied = "session_denied", Customer;
    /// There is no such bucket.
    BucketMissing = "bucket_missing", Customer;
    /// No bucket can have this name.
    BucketNameInvalid = "bucket_name_invalid", Customer;
    /// The bucket is in a region other than the one given.
    WrongRegion = "wrong_region", Customer;
    /// The bucket belongs to an account other than the role's.
    BucketOwnerDiffers = "bucket_owner_differs", Customer;
    /// AWS has closed the bucket.
    BucketAccessDisabled = "bucket_access_disabled", Customer;
    /// AWS has trouble with the bucket owner's account.
    AccountProblem = "account_problem", Customer;
    /// The role's own policies do not allow the put, or AWS does not say what denies it.
    PutDenied = "put_denied", Customer;
    /// The role's permissions boundary denies the put.
    PutDeniedByPermissionsBoundary = "put_denied_by_permissions_boundary", Customer;
    /// The session that we narrowed denies the put.
    PutDeniedBySessionPolicy = "put_denied_by_session_policy", Operator;
    /// The bucket's policy says `Deny`.
    PutDeniedByBucketPolicy = "put_denied_by_bucket_policy", Customer;
    /// A service control policy denies the put.
    PutDeniedByServiceControlPolicy = "put_denied_by_service_control_policy", Customer;
    /// A resource control policy denies the put.
    PutDeniedByResourceControlPolicy = "put_denied_by_resource_control_policy", Customer;
    /// The policy of our own VPC endpoint denies the put.
    PutDeniedByVpcEndpointPolicy = "put_denied_by_vpc_endpoint_policy", Operator;
    /// The role may not use the key that the bucket encrypts with.
    KmsDenied = "kms_denied", Customer;
    /// The key is disabled.
    KmsKeyDisabled = "kms_key_disabled", Customer;
    /// There is no such key.
    KmsKeyMissing = "kms_key_missing", Customer;
    /// The key is about to be deleted, or cannot encrypt for another reason.
    KmsKeyUnusable = "kms_key_unusable", Customer;
    /// The bucket's Object Lock does not take the object.
    ObjectLock = "object_lock", Customer;
    /// The bucket takes no ACLs.
    AclNotSupported = "acl_not_supported", Operator;
    /// Objects cannot be put there.
    MethodNotAllowed = "method_not_allowed", Customer;
    /// The key is too long.
    KeyTooLong = "key_too_long", Customer;
    /// The object is too large.
    ObjectTooLarge = "object_too_large", Operator;
    /// What arrived is not what was sent.
    DamagedOnTheWay = "damaged_on_the_way", Time;
    /// Something else is being done to the same object or bucket.
    Conflict = "conflict", Time;
    /// Our clock is wrong.
    ClockSkewed = "clock_skewed", Operator;
    /// AWS limits the rate of calls.
    Throttled = "throttled", Time;
    /// S3 asks to slow down.
    SlowDown = "slow_down", Time;
    /// AWS has trouble of its own.
    AwsUnavailable = "aws_unavailable", Time;
    /// No answer in time.
    TimedOut = "timed_out", Time;
    /// AWS's host name has no address.
    NameNotResolved = "name_not_resolved", Time;
    /// No secure connection.
    TlsFailed = "tls_failed", Time;
    /// The connection was refused.
    ConnectionRefused = "connection_refused", Time;
    /// No connection, for another reason.
    Unreachable = "unreachable", Time;
    /// Anything else.
    Unknown = "unknown", Operator;
}

impl FailureCode {
    /// The code with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().copied().find(|code| code.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// What kind of failure a call's error is.
    #[must_use]
    pub fn of(error: &SinkError) -> Self {
        match &error.reason {
            Reason::TimedOut => Self::TimedOut,
            Reason::NotResolved => Self::NameNotResolved,
            Reason::Refused => Self::ConnectionRefused,
            Reason::TlsFailed => Self::TlsFailed,
            Reason::NotConnected => Self::Unreachable,
            Reason::Answered { status, code, message, .. } => Self::of_either(code, message)
                .or_else(|| match error.call {
                    Call::AssumeRole => Self::of_assume_role(code, message),
                    Call::PutObject => Self::of_put_object(code, message),
                })
                .unwrap_or_else(|| Self::of_status(*status, error.call)),
        }
    }

    /// What both services answer alike ("Common error types", "Error responses" of the API references).
    fn of_either(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded"
            | "KMS.ThrottlingException" => Self::Throttled,
            "SlowDown" => Self::SlowDown,
            "InternalError"
            | "InternalFailure"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "KMS.KMSInternalException"
            | "KMS.DependencyTimeoutException" => Self::AwsUnavailable,
            "RequestTimeout" | "RequestTimeoutException" => Self::TimedOut,
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Self::ClockSkewed,
            // STS has no code of its own for it.
            "SignatureDoesNotMatch"
                if message.contains("Signature expired") || message.contains("Signature not yet current") =>
            {
                Self::ClockSkewed
            }
            _ => return None,
        })
    }

    fn of_assume_role(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "AccessDenied" | "AccessDeniedException" => match Denial::told(message).map(|denial| denial.by) {
                Some(PolicyKind::ResourceControl) => Self::RoleDeniedByResourceControlPolicy,
                Some(PolicyKind::Resource) | None => Self::RoleNotAssumable,
                // All others are policies of the caller: ours.
                Some(_) => Self::OperatorNotAuthorized,
            },
            "ValidationError" | "ValidationException" => Self::RoleArnInvalid,
            "RegionDisabledException" | "RegionDisabled" => Self::StsRegionDisabled,
            "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => Self::SessionPolicyTooLarge,
            "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => Self::SessionPolicyMalformed,
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "MissingAuthenticationToken"
            | "NotAuthorized"
            | "OptInRequired" => Self::OperatorNotAuthorized,
            _ => return None,
        })
    }

    fn of_put_object(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "AccessDenied" if message.contains("perform: kms:") => Self::KmsDenied,
            "AccessDenied" if message.contains("protected by object lock") => Self::ObjectLock,
            "AccessDenied" => match Denial::told(message) {
                None => Self::PutDenied,
                Some(Denial { by, how }) => match (by, how) {
                    (PolicyKind::Identity, _) => Self::PutDenied,
                    (PolicyKind::Boundary, _) => Self::PutDeniedByPermissionsBoundary,
                    (PolicyKind::Session, _) => Self::PutDeniedBySessionPolicy,
                    (PolicyKind::Resource, How::Explicitly) => Self::PutDeniedByBucketPolicy,
                    // Within an account a bucket's policy need not allow what the role's does.
                    (PolicyKind::Resource, How::Implicitly) => Self::BucketOwnerDiffers,
                    (PolicyKind::ServiceControl, _) => Self::PutDeniedByServiceControlPolicy,
                    (PolicyKind::ResourceControl, _) => Self::PutDeniedByResourceControlPolicy,
                    (PolicyKind::VpcEndpoint, _) => Self::PutDeniedByVpcEndpointPolicy,
                },
            },
            "InvalidAccessKeyId"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "SignatureDoesNotMatch" => Self::SessionDenied,
            "NoSuchBucket" => Self::BucketMissing,
            "InvalidBucketName" => Self::BucketNameInvalid,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "Redirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => Self::WrongRegion,
            "AllAccessDisabled" => Self::BucketAccessDisabled,
            "AccountProblem" | "NotSignedUp" => Self::AccountProblem,
            "KMS.AccessDeniedException" => Self::KmsDenied,
            "KMS.DisabledException" => Self::KmsKeyDisabled,
            "KMS.NotFoundException" => Self::KmsKeyMissing,
            "KMS.KMSInvalidStateException" | "KMS.InvalidStateException" | "KMS.InvalidKeyUsageException" => {
                Self::KmsKeyUnusable
            }
            "InvalidRequest" if message.contains("Object Lock") || message.contains("Content-MD5") => Self::ObjectLock,
            "AccessControlListNotSupported" => Self::AclNotSupported,
            "MethodNotAllowed" => Self::MethodNotAllowed,
            "KeyTooLongError" | "KeyTooLong" => Self::KeyTooLong,
            "EntityTooLarge" => Self::ObjectTooLarge,
            "BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch" => Self::DamagedOnTheWay,
            "ConditionalRequestConflict" | "OperationAborted" => Self::Conflict,
            _ => return None,
        })
    }

    /// What is left where the code says nothing, as in the answer of something between us and AWS.
    fn of_status(status: u16, call: Call) -> Self {
        match (status, call) {
            (429, _) => Self::Throttled,
            (408, _) => Self::TimedOut,
            (500 | 502 | 503 | 504, _) => Self::AwsUnavailable,
            (301 | 302 | 307 | 308, Call::PutObject) => Self::WrongRegion,
            (405, Call::PutObject) => Self::MethodNotAllowed,
            _ => Self::Unknown,
        }
    }
}

impl Failure {
    /// Explains why a call for `target` failed.
    #[must_use]
    pub fn explain(error: &SinkError, target: &Target) -> Self {
        let code = FailureCode::of(error);
        let messages::Message { cause, fix } = messages::message(code, error, target);
        Self { code, cause, fix, aws: said(error) }
    }
}

/// AWS's own words. The request's id is at their end, and whole, however long they are: AWS's support asks for it.
fn said(error: &SinkError) -> Option<String> {
    let Reason::Answered { status, code, message, .. } = &error.reason else { return None };
    let id = error.request_id.as_deref().map(|id| printable(id, 128)).filter(|id| !id.is_empty());
    let id = id.map_or_else(String::new, |id| format!(" (request {id})"));
    let said = match (code.as_str(), message.as_str()) {
        ("", "") => format!("HTTP status {status}"),
        ("", message) => format!("HTTP status {status}: {message}"),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    Some(printable(&said, AWS_MAX_BYTES - id.len()) + &id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_aws_answers_is_explained_within_bounds(
            call in prop_oneof![Just(Call::AssumeRole), Just(Call::PutObject)],
            status: u16,
            code in "\\PC{0,40}|AccessDenied|InvalidRequest|KMS.DisabledException|PermanentRedirect",
            message in ".{0,2000}|User: .{0,40} perform: kms:.{0,80} explicit deny in a session policy",
            bucket_region: Option<String>,
            request_id: Option<String>,
        ) {
            let target = Target {
                organisation: "acme".parse().unwrap(),
                bucket: "amzn-s3-demo-bucket".parse().unwrap(),
                prefix: "audit".parse().unwrap(),
                role_arn: "arn:aws:iam::123456789012:role/annals".parse().unwrap(),
                external_id: "annals-7f3kq9".into(),
                region: None,
                bucket_owner: "123456789012".into(),
            };
            let reason = Reason::Answered { status, code, message, bucket_region };
            let failure = Failure::explain(&SinkError { call, reason, request_id }, &target);
            let aws = failure.aws.unwrap();
            prop_assert!(!aws.is_empty() && aws.len() <= AWS_MAX_BYTES && !aws.chars().any(char::is_control));
            for text in [failure.cause, failure.fix] {
                prop_assert!(text.len() <= 4096 && !text.chars().any(char::is_control), "{}", text);
            }
        }
    }
}
