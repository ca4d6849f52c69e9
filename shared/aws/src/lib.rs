//! Adapters of the domain's ports to AWS: DynamoDB, S3 with STS, SQS, the clock, the random generator; and what a
//! function reads from its environment.
//!
//! The same adapters run on Lambda and on a developer's machine; only the endpoints behind the SDK's configuration
//! differ. Nothing is decided here.
//!
//! Architecture invariant: only this crate knows the names of DynamoDB's attributes.

pub mod dynamodb;
pub mod metrics;
pub mod s3;
pub mod settings;
pub mod sqs;
pub mod system;
pub mod telemetry;
