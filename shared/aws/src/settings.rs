//! What a function reads from its environment, and the SDK's configuration.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

/// A setting that is missing or makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {reason}")]
pub struct SettingError {
    name: &'static str,
    reason: String,
}

/// The value of an environment variable.
///
/// # Errors
/// Where it is not set.
pub fn required(name: &'static str) -> Result<String, SettingError> {
    std::env::var(name).map_err(|error| SettingError { name, reason: format!("is needed: {error}") })
}

/// The value of an environment variable, read as a `T`.
///
/// # Errors
/// Where it is not set or is no `T`.
pub fn parsed<T: std::str::FromStr>(name: &'static str) -> Result<T, SettingError>
where
    T::Err: std::fmt::Display,
{
    required(name)?.parse().map_err(|error: T::Err| SettingError { name, reason: error.to_string() })
}

/// The value of an environment variable, read as a `T`, or `default` where it is not set or empty.
///
/// # Errors
/// Where it is no `T`.
pub fn parsed_or<T: std::str::FromStr>(name: &'static str, default: T) -> Result<T, SettingError>
where
    T::Err: std::fmt::Display,
{
    if or(name, "").is_empty() { Ok(default) } else { parsed(name) }
}

/// The value of an environment variable, or `default` where it is not set.
#[must_use]
pub fn or(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The SDK's configuration from the environment, with [`patience`].
pub async fn sdk_config() -> SdkConfig {
    patience(aws_config::defaults(BehaviorVersion::latest()).load().await)
}

/// `config` with time-outs that fit calls to DynamoDB and SQS from a function: an attempt that has not been answered in
/// a second and a half is lost, and is better made again while the caller still waits.
#[must_use]
pub fn patience(config: SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_millis(1500))
        .operation_timeout(Duration::from_secs(5))
        .build();
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50));
    config.into_builder().timeout_config(timeouts).retry_config(retries).build()
}
