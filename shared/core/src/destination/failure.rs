//! Failures of delivery: a stable code, the cause in plain words, and advice.
//!
//! AWS answers `AccessDenied` in many cases. The rest of the message and the name of the call distinguish these cases.
//! If AWS gives the same answer for several causes, there is one code, and the advice lists the checks in order. A test
//! replays the answers that AWS documents, and writes `infra/docs/failures.md` from the results.

mod denial;
mod messages;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::{
    denial::{Denial, How, PolicyKind},
    messages::Message,
};
use super::{
    advice::Advice,
    proof::{Proof, RolesWithoutExternalId},
    sink::{Call, Reason, SinkError, Target, printable},
};

/// The longest part of AWS's answer that is stored and shown, in bytes.
pub const AWS_MAX_BYTES: usize = 1024;

/// Why a delivery failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: FailureCode,
    /// What happened and why: one or two sentences.
    pub cause: String,
    /// What to change, and where.
    pub fix: Advice,
    /// The answer from AWS, with the request id if there was one. At most [`AWS_MAX_BYTES`], no control characters.
    pub aws: Option<String>,
}

/// Who can remedy a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemediedBy {
    /// The owner of the bucket and the role.
    Customer,
    /// The operator of Annals.
    Operator,
    /// Nobody. The failure ends without action, and delivery continues.
    Time,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $remedied_by:ident;)+) => {
        /// The kind of a failure. The names are part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl FailureCode {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

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
    /// The role does not exist, does not trust us, or requires another external id. STS gives one answer for all three.
    RoleNotAssumable = "role_not_assumable", Customer;
    /// STS rejects the role's ARN.
    RoleArnInvalid = "role_arn_invalid", Customer;
    /// A resource control policy of the role's AWS organization denies AssumeRole.
    RoleDeniedByResourceControlPolicy = "role_denied_by_resource_control_policy", Customer;
    /// STS is not active in our region for the role's account.
    StsRegionDisabled = "sts_region_disabled", Customer;
    /// The session policy is too large.
    SessionPolicyTooLarge = "session_policy_too_large", Customer;
    /// The session policy is malformed.
    SessionPolicyMalformed = "session_policy_malformed", Operator;
    /// AWS rejects our own identity, or does not allow it to assume roles.
    OperatorNotAuthorized = "operator_not_authorized", Operator;
    /// The role was assumed, but S3 rejects its session.
    SessionDenied = "session_denied", Customer;
    /// STS limits the rate at which our account may assume roles.
    AssumeRoleThrottled = "assume_role_throttled", Operator;
    /// The role accepts any external id, and nobody has proven that it is meant for the organisation.
    ExternalIdNotRequired = "external_id_not_required", Customer;
    /// The role required the organisation's external id and accepts any now.
    ProofLost = "proof_lost", Customer;
    /// A proven destination of another organisation uses the role.
    RoleTaken = "role_taken", Customer;
    /// A proven destination of another organisation delivers to the bucket, under a prefix that overlaps.
    BucketTaken = "bucket_taken", Customer;
    /// The bucket does not exist.
    BucketMissing = "bucket_missing", Customer;
    /// S3 rejects the name of the bucket.
    BucketNameInvalid = "bucket_name_invalid", Customer;
    /// The bucket is in another region than expected.
    WrongRegion = "wrong_region", Customer;
    /// The bucket belongs to another account than the role, and does not allow the put.
    BucketOwnerDiffers = "bucket_owner_differs", Customer;
    /// AWS has disabled access to the bucket.
    BucketAccessDisabled = "bucket_access_disabled", Customer;
    /// AWS reports a problem with the account of the bucket.
    AccountProblem = "account_problem", Customer;
    /// The role's own policies do not allow the put, or AWS does not say which policy denies it.
    PutDenied = "put_denied", Customer;
    /// The role's permissions boundary denies the put.
    PutDeniedByPermissionsBoundary = "put_denied_by_permissions_boundary", Customer;
    /// Our session policy denies the put.
    PutDeniedBySessionPolicy = "put_denied_by_session_policy", Operator;
    /// The bucket's policy denies the put.
    PutDeniedByBucketPolicy = "put_denied_by_bucket_policy", Customer;
    /// A service control policy denies the put.
    PutDeniedByServiceControlPolicy = "put_denied_by_service_control_policy", Customer;
    /// A resource control policy denies the put.
    PutDeniedByResourceControlPolicy = "put_denied_by_resource_control_policy", Customer;
    /// The policy of our VPC endpoint denies the put.
    PutDeniedByVpcEndpointPolicy = "put_denied_by_vpc_endpoint_policy", Operator;
    /// The role cannot use the bucket's KMS key.
    KmsDenied = "kms_denied", Customer;
    /// The bucket's KMS key is disabled.
    KmsKeyDisabled = "kms_key_disabled", Customer;
    /// The bucket's KMS key does not exist.
    KmsKeyMissing = "kms_key_missing", Customer;
    /// The bucket's KMS key is pending deletion, or cannot encrypt for another reason.
    KmsKeyUnusable = "kms_key_unusable", Customer;
    /// The bucket's Object Lock does not accept the object.
    ObjectLock = "object_lock", Customer;
    /// The bucket does not accept ACLs.
    AclNotSupported = "acl_not_supported", Operator;
    /// The bucket does not accept objects.
    MethodNotAllowed = "method_not_allowed", Customer;
    /// The object's key is too long.
    KeyTooLong = "key_too_long", Customer;
    /// The object is too large.
    ObjectTooLarge = "object_too_large", Operator;
    /// Objects of somebody else have all keys that were tried.
    KeyTaken = "key_taken", Customer;
    /// The object was damaged on its way.
    DamagedOnTheWay = "damaged_on_the_way", Time;
    /// Another change to the same object or bucket is in progress.
    Conflict = "conflict", Time;
    /// Our clock is wrong.
    ClockSkewed = "clock_skewed", Operator;
    /// AWS limits the rate of calls.
    Throttled = "throttled", Time;
    /// S3 asks to slow down.
    SlowDown = "slow_down", Time;
    /// AWS has an outage or an internal error.
    AwsUnavailable = "aws_unavailable", Time;
    /// No answer in time.
    TimedOut = "timed_out", Time;
    /// The host name of AWS could not be resolved.
    NameNotResolved = "name_not_resolved", Time;
    /// The TLS connection failed.
    TlsFailed = "tls_failed", Time;
    /// The host refused the connection.
    ConnectionRefused = "connection_refused", Time;
    /// The connection failed for another reason.
    Unreachable = "unreachable", Time;
    /// The log ends before events that were delivered: an earlier copy of it was restored.
    AheadOfLog = "ahead_of_log", Operator;
    /// The log has another event than the one that was delivered under its number.
    LogMismatch = "log_mismatch", Operator;
    /// Any other answer.
    Unknown = "unknown", Operator;
}

/// A state of the log that contradicts what was delivered. It cannot come about while Annals alone writes its tables: a table
/// was restored or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// The log ends with the sequence `last`, but all events before `next` were delivered.
    AheadOfLog { next: u64, last: u64 },
    /// The event with this sequence is not the one that was delivered.
    LogMismatch { sequence: u64 },
}

/// Why a destination is not allowed to deliver, although nothing has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The role accepts any external id.
    Unproven(RolesWithoutExternalId),
    /// The role required the organisation's external id and accepts any now.
    ProofLost(RolesWithoutExternalId),
    BucketTaken,
    RoleTaken,
}

impl Withheld {
    /// Returns why nothing is delivered to an unproven role.
    #[must_use]
    pub fn of(proof: &Proof, roles: RolesWithoutExternalId) -> Self {
        if proof.lost_at.is_some() { Self::ProofLost(roles) } else { Self::Unproven(roles) }
    }
}

impl FailureCode {
    /// Returns whether the role has to be proven.
    #[must_use]
    pub fn is_of_proof(self) -> bool {
        matches!(self, Self::ExternalIdNotRequired | Self::ProofLost)
    }

    /// Returns whether the log contradicts what was delivered.
    #[must_use]
    pub fn is_contradiction(self) -> bool {
        matches!(self, Self::AheadOfLog | Self::LogMismatch)
    }

    /// Returns the code with this name. Returns [`Self::Unknown`] if there is no such code, for example if a later
    /// version wrote it.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().copied().find(|code| code.as_str() == name).unwrap_or(Self::Unknown)
    }

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
                .map(|found| match (found, error.call) {
                    (Self::Throttled, Call::AssumeRole) => Self::AssumeRoleThrottled,
                    _ => found,
                })
                .unwrap_or_else(|| Self::of_status(*status, error.call)),
        }
    }

    /// Errors that both services have in common ("Common error types", "Error responses" of the API references).
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
            // STS has no code of its own for a wrong clock.
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
            "AccessDenied" | "AccessDeniedException" => match Denial::read(message).map(|denial| denial.by) {
                Some(PolicyKind::ResourceControl) => Self::RoleDeniedByResourceControlPolicy,
                Some(PolicyKind::Resource) | None => Self::RoleNotAssumable,
                // All other kinds are policies of the caller, which is Annals.
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
            "AccessDenied" => match Denial::read(message) {
                None => Self::PutDenied,
                Some(Denial { by, how }) => match (by, how) {
                    (PolicyKind::Identity, _) => Self::PutDenied,
                    (PolicyKind::Boundary, _) => Self::PutDeniedByPermissionsBoundary,
                    (PolicyKind::Session, _) => Self::PutDeniedBySessionPolicy,
                    (PolicyKind::Resource, How::Explicitly) => Self::PutDeniedByBucketPolicy,
                    // Within one account the role's policy is enough, so the bucket is in another account.
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
            "PreconditionFailed" => Self::KeyTaken,
            "BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch" => Self::DamagedOnTheWay,
            "ConditionalRequestConflict" | "OperationAborted" => Self::Conflict,
            _ => return None,
        })
    }

    /// For answers without a known code, such as those of a proxy between us and AWS.
    fn of_status(status: u16, call: Call) -> Self {
        match (status, call) {
            (429, Call::AssumeRole) => Self::AssumeRoleThrottled,
            (429, Call::PutObject) => Self::Throttled,
            (408, _) => Self::TimedOut,
            (500 | 502 | 503 | 504, _) => Self::AwsUnavailable,
            (301 | 302 | 307 | 308, Call::PutObject) => Self::WrongRegion,
            (405, Call::PutObject) => Self::MethodNotAllowed,
            _ => Self::Unknown,
        }
    }
}

impl Serialize for FailureCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FailureCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|name| Self::named(&name))
    }
}

impl Failure {
    /// Explains why a call for `target` failed.
    #[must_use]
    pub fn explain(error: &SinkError, target: &Target) -> Self {
        let code = FailureCode::of(error);
        let Message { cause, fix } = messages::explain(code, error, target);
        Self { code, cause, fix, aws: answer(error) }
    }

    /// Explains why delivery to `target` is withheld.
    #[must_use]
    pub fn withheld(withheld: Withheld, target: &Target) -> Self {
        let code = match withheld {
            Withheld::Unproven(_) => FailureCode::ExternalIdNotRequired,
            Withheld::ProofLost(_) => FailureCode::ProofLost,
            Withheld::BucketTaken => FailureCode::BucketTaken,
            Withheld::RoleTaken => FailureCode::RoleTaken,
        };
        let Message { cause, fix } = messages::withhold(withheld, target);
        Self { code, cause, fix, aws: None }
    }

    /// Explains that the log contradicts what was delivered.
    #[must_use]
    pub fn contradiction(contradiction: Contradiction) -> Self {
        let code = match contradiction {
            Contradiction::AheadOfLog { .. } => FailureCode::AheadOfLog,
            Contradiction::LogMismatch { .. } => FailureCode::LogMismatch,
        };
        let Message { cause, fix } = messages::contradict(contradiction);
        Self { code, cause, fix, aws: None }
    }
}

/// Returns the answer from AWS. It always ends with the whole request id, because AWS Support asks for it.
fn answer(error: &SinkError) -> Option<String> {
    let Reason::Answered { status, code, message, .. } = &error.reason else { return None };
    let id = error.request_id.as_deref().map(|id| printable(id, 128)).filter(|id| !id.is_empty());
    let id = id.map_or_else(String::new, |id| format!(" (request {id})"));
    let text = match (code.as_str(), message.as_str()) {
        ("", "") => format!("HTTP status {status}"),
        ("", message) => format!("HTTP status {status}: {message}"),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    Some(printable(&text, AWS_MAX_BYTES - id.len()) + &id)
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
            let failure = Failure::explain(&SinkError { request_id, ..SinkError::new(call, reason) }, &target);
            let aws = failure.aws.unwrap();
            prop_assert!(!aws.is_empty() && aws.len() <= AWS_MAX_BYTES && !aws.chars().any(char::is_control));
            for text in [failure.cause, failure.fix.to_string()] {
                prop_assert!(text.len() <= 4096 && !text.chars().any(char::is_control), "{}", text);
            }
        }
    }
}
