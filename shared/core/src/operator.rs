//! What only the operator of a deployment can provide, and the error of a call that fails without it: a right, a table, an
//! index, a queue, a key or a quota. Adapters decide which answer means what; [`diagnosis`](super::diagnosis) finds it among the
//! causes of an error.
//!
//! `infra/docs/operator-failures.md` has an entry for each code.

#![warn(missing_docs)]

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// What Annals lacks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum OperatorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl OperatorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name in logs and in the operator's page.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

codes! {
    /// A policy does not allow a call of a function's role.
    PermissionMissing = "permission_missing";
    /// AWS does not accept the credentials of a function.
    CredentialsRejected = "credentials_rejected";
    /// A table does not exist.
    TableMissing = "table_missing";
    /// A table lacks an index.
    IndexMissing = "index_missing";
    /// The ship queue does not exist.
    QueueMissing = "queue_missing";
    /// The KMS key of a table or of the queue cannot be used.
    KeyUnusable = "key_unusable";
    /// AWS limited the rate of calls for longer than they were repeated.
    AwsThrottled = "aws_throttled";
    /// A setting of a function is missing or invalid.
    SettingInvalid = "setting_invalid";
}

/// Annals lacks something that its operator provides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {answer}", .code.as_str())]
pub struct OperatorFault {
    /// What is lacking.
    pub code: OperatorCode,
    /// AWS's own words, on one line.
    pub answer: String,
}

impl OperatorFault {
    /// Creates a fault. `answer` is one line.
    #[must_use]
    pub fn new(code: OperatorCode, answer: impl Into<String>) -> Self {
        Self { code, answer: answer.into() }
    }
}
