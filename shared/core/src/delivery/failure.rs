//! What went wrong with a delivery: a stable code, the cause in plain words, and what to change where.
//!
//! AWS answers "access denied" for many things; what it says beside that, and at which call, tells them apart.

use super::sink::{Call, Reason, SinkError, Target};

/// A failure that the customer can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable code.
    pub code: FailureCode,
    /// What is wrong, one sentence.
    pub cause: String,
    /// What to change where, one sentence or two.
    pub fix: String,
    /// What AWS said, with the request's id where there was one.
    pub aws: Option<String>,
}

/// What kind of failure it is. The names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCode {
    /// The role does not exist, does not trust Annals, or requires another external id.
    RoleNotAssumable,
    /// There is no such bucket.
    BucketMissing,
    /// The bucket is in a region other than the one given.
    WrongRegion,
    /// The role's own policy, or the bucket's, does not allow the put.
    PutDenied,
    /// AWS asks to slow down.
    Throttled,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Unreachable,
    /// Anything else.
    Unknown,
}

impl FailureCode {
    const ALL: [(Self, &'static str); 8] = [
        (Self::RoleNotAssumable, "role_not_assumable"),
        (Self::BucketMissing, "bucket_missing"),
        (Self::WrongRegion, "wrong_region"),
        (Self::PutDenied, "put_denied"),
        (Self::Throttled, "throttled"),
        (Self::TimedOut, "timed_out"),
        (Self::Unreachable, "unreachable"),
        (Self::Unknown, "unknown"),
    ];

    /// Its name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or("unknown", |(_, name)| name)
    }

    /// The code with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Unknown, |(code, _)| *code)
    }

    /// What kind of failure a call's error is.
    #[must_use]
    pub fn of(error: &SinkError) -> Self {
        let (status, code) = match &error.reason {
            Reason::TimedOut => return FailureCode::TimedOut,
            Reason::NotConnected => return FailureCode::Unreachable,
            Reason::Answered { status, code, .. } => (*status, code.as_str()),
        };
        match (error.call, code) {
            (
                _,
                "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException",
            ) => FailureCode::Throttled,
            (_, _) if status == 429 || status == 503 => FailureCode::Throttled,
            (Call::AssumeRole, "AccessDenied") => FailureCode::RoleNotAssumable,
            (Call::PutObject, "NoSuchBucket") => FailureCode::BucketMissing,
            (
                Call::PutObject,
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ) => FailureCode::WrongRegion,
            (Call::PutObject, "AccessDenied" | "AllAccessDisabled") => FailureCode::PutDenied,
            _ => FailureCode::Unknown,
        }
    }
}

impl Failure {
    /// Explains why a call for `target` failed.
    #[must_use]
    pub fn explain(error: &SinkError, target: &Target) -> Self {
        let code = FailureCode::of(error);
        let (cause, fix) = words(code, error.call, target);
        let aws = match &error.reason {
            Reason::Answered { code, message, .. } => {
                let id = error.request_id.as_ref().map_or_else(String::new, |id| format!(" (request {id})"));
                Some(format!("{code}: {message}{id}"))
            }
            Reason::TimedOut | Reason::NotConnected => None,
        };
        Self { code, cause, fix, aws }
    }
}

fn words(code: FailureCode, call: Call, target: &Target) -> (String, String) {
    let Target { bucket, role_arn, external_id, .. } = target;
    let objects = format!("arn:{}:s3:::{bucket}/{}*", role_arn.partition(), target.prefix.as_str());
    match code {
        FailureCode::RoleNotAssumable => (
            format!("The role {role_arn} cannot be assumed."),
            format!(
                "In account {}, check that the role exists, that its trust policy allows sts:AssumeRole to us, and that \
                 it requires either no external ID or exactly {external_id}.",
                role_arn.account()
            ),
        ),
        FailureCode::BucketMissing => (
            format!("There is no bucket {bucket}."),
            format!("Create the bucket {bucket} in account {}, or save its right name.", role_arn.account()),
        ),
        FailureCode::WrongRegion => (
            format!("The bucket {bucket} is in another region."),
            "Save the destination with the region that the bucket's properties show.".into(),
        ),
        FailureCode::PutDenied => (
            format!("The role {role_arn} may not write to the bucket {bucket}."),
            format!(
                "Attach to the role a policy that allows s3:PutObject on {objects}, and check that the bucket's policy \
                 and its KMS key do not deny it."
            ),
        ),
        FailureCode::Throttled => {
            ("AWS asked to slow down.".into(), "Nothing needs to be done: it is tried again by itself.".into())
        }
        FailureCode::TimedOut | FailureCode::Unreachable => (
            match call {
                Call::AssumeRole => "AWS's Security Token Service did not answer.".into(),
                Call::PutObject => format!("The bucket {bucket} did not answer."),
            },
            "It is tried again by itself; if it lasts, check AWS's health dashboard.".into(),
        ),
        FailureCode::Unknown => (
            match call {
                Call::AssumeRole => format!("The role {role_arn} could not be assumed."),
                Call::PutObject => format!("The bucket {bucket} refused the object."),
            },
            "See what AWS said; if that does not help, give it to our support.".into(),
        ),
    }
}
