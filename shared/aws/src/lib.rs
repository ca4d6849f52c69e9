//! Adapters of the domain's ports to AWS: DynamoDB, S3 with STS, SQS, KMS, the clock and the random generator. Also the settings,
//! logs and metrics of functions.
//!
//! The same adapters run on Lambda and on a developer's machine; only the endpoints in the SDK's configuration differ.
//! Decisions belong to `annals-core`.
//!
//! Architecture invariant: only this crate knows the names of DynamoDB's attributes.

pub mod dynamodb;
pub mod kms;
pub mod metrics;
mod refusal;
pub mod s3;
pub mod settings;
pub mod sqs;
pub mod system;
pub mod telemetry;
