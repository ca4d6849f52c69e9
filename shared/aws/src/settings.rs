//! The settings that a function reads from its environment, and the SDK's configuration, with one HTTPS client for all of
//! the function's clients.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// The root certificates of AWS's endpoints: Amazon Root CA 1 to 4, and Starfield Services G2, which signs those for clients
/// that do not know them (Amazon Trust Services, <https://www.amazontrust.com/repository/>).
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// A setting that is missing or invalid.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {name} {reason}")]
pub struct SettingError {
    name: &'static str,
    reason: String,
}

/// Returns the value of an environment variable.
///
/// # Errors
/// Returns an error if it is not set.
pub fn required(name: &'static str) -> Result<String, SettingError> {
    std::env::var(name).map_err(|error| SettingError { name, reason: format!("is required: {error}") })
}

/// Returns the value of an environment variable, parsed as a `T`.
///
/// # Errors
/// Returns an error if it is not set or cannot be parsed.
pub fn parsed<T: std::str::FromStr>(name: &'static str) -> Result<T, SettingError>
where
    T::Err: std::fmt::Display,
{
    required(name)?.parse().map_err(|error: T::Err| SettingError { name, reason: error.to_string() })
}

/// Returns the value of an environment variable, parsed as a `T`; `None` if it is not set or empty.
///
/// # Errors
/// Returns an error if it cannot be parsed.
pub fn optional<T: std::str::FromStr>(name: &'static str) -> Result<Option<T>, SettingError>
where
    T::Err: std::fmt::Display,
{
    if or(name, "").is_empty() { Ok(None) } else { parsed(name).map(Some) }
}

/// Returns the value of an environment variable, parsed as a `T`, or `default` if it is not set or empty.
///
/// # Errors
/// Returns an error if it cannot be parsed.
pub fn parsed_or<T: std::str::FromStr>(name: &'static str, default: T) -> Result<T, SettingError>
where
    T::Err: std::fmt::Display,
{
    Ok(optional(name)?.unwrap_or(default))
}

/// Returns the value of an environment variable, or `default` if it is not set.
#[must_use]
pub fn or(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Returns the SDK's configuration from the region and credentials in a Lambda function's environment, with the
/// time-outs of [`patience`]. `AWS_ENDPOINT_URL`, or for one service a variable such as `AWS_ENDPOINT_URL_DYNAMODB`,
/// sets another endpoint.
///
/// This leaves out the other sources of the SDK's default chain: profiles, the metadata services of EC2 and ECS, web
/// identities, proxies. Lambda has none of them, and they add 0.3 MB to a zipped package.
///
/// # Errors
/// Returns an error if there is no region.
pub fn sdk_config() -> Result<SdkConfig, SettingError> {
    let region = required("AWS_REGION")?;
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(https_client(trust_store(&region)))
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .service_config(EndpointVariables)
        .build();
    Ok(patience(config))
}

/// Returns the HTTPS client of all of a function's clients. Clients with equal time-outs share connections.
///
/// TLS is rustls with ring. Measured for the first handshake and request of a program that does nothing else (x86-64,
/// optimised for size; instructions in user space; zipped package):
///
/// | cryptography | instructions | time | package |
/// |---|---:|---:|---:|
/// | aws-lc-rs | 424 M | 22 to 59 ms | 1.35 MB |
/// | aws-lc-rs built with `AWS_LC_SYS_NO_JITTER_ENTROPY=1` | 3.4 M | 1.5 ms | 1.34 MB |
/// | ring | 3.4 M | 1.5 ms | 1.09 MB |
///
/// aws-lc-rs, the SDK's default, tests and seeds a random generator that uses the processor's jitter. ring asks the kernel,
/// whose generator Lambda's machines have seeded. A build setting for aws-lc-rs could be lost; a choice in the code
/// cannot. ring lacks the post-quantum key exchange of aws-lc-rs, but these connections do not leave AWS.
fn https_client(trust_store: TrustStore) -> SharedHttpClient {
    let context = TlsContext::builder().with_trust_store(trust_store).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.unwrap_or_default())
        .build_https()
}

/// Returns the trusted root certificates: Amazon's own if they sign all endpoints of the region; the machine's in other
/// partitions, or if `SSL_CERT_FILE` or `SSL_CERT_DIR` is set. Reading a machine's 145 certificates takes 29 M
/// instructions and 2.7 ms, reading these five 0.03 ms. Also, the owners of the other 140 cannot impersonate AWS.
fn trust_store(region: &str) -> TrustStore {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| !or(name, "").is_empty());
    if named || !is_amazons(region) { TrustStore::default() } else { amazons() }
}

/// Returns whether Amazon signs the certificates of a region's endpoints: everywhere except in China and the isolated
/// regions.
fn is_amazons(region: &str) -> bool {
    !region.starts_with("cn-") && !region.contains("-iso")
}

fn amazons() -> TrustStore {
    TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
}

/// The environment variables for other endpoints, as in all of AWS's SDKs (AWS SDKs and Tools Reference Guide,
/// "Service-specific endpoints").
#[derive(Debug)]
struct EndpointVariables;

impl LoadServiceConfig for EndpointVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        const GENERAL: &str = "AWS_ENDPOINT_URL";
        if key.env() != GENERAL {
            return None;
        }
        let service = key.service_id().replace(' ', "_").to_ascii_uppercase();
        [format!("{GENERAL}_{service}"), GENERAL.to_owned()]
            .iter()
            .map(|name| or(name, ""))
            .find(|address| !address.is_empty())
    }
}

/// Returns `config` with time-outs for calls to DynamoDB and SQS from a function: an attempt without an answer after
/// 1.5 seconds is probably lost, so it is repeated while the caller still waits.
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

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// From <https://www.amazontrust.com/repository/>.
    const FINGERPRINTS: [&str; 5] = [
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    ];

    #[test]
    fn the_certificates_are_those_that_amazon_publishes() {
        let lines = AMAZON_ROOTS.lines().filter(|line| !line.starts_with('#'));
        let text: String = lines.collect();
        let bodies = text.split("-----BEGIN CERTIFICATE-----").skip(1);
        let fingerprints: Vec<_> = bodies
            .map(|body| STANDARD.decode(body.trim_end_matches("-----END CERTIFICATE-----")).unwrap())
            .map(|certificate| hex::encode(Sha256::digest(certificate)))
            .collect();
        assert_eq!(fingerprints, FINGERPRINTS);
    }

    #[test]
    fn a_client_accepts_the_certificates() {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(https_client(amazons()))
            .region(Region::new("eu-central-1"))
            .build();
        // The first client reads the certificates, and panics if one is invalid.
        let _ = aws_sdk_dynamodb::Client::new(&config);
    }

    #[test]
    fn other_partitions_use_the_machines_certificates() {
        for region in ["cn-north-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"] {
            assert!(!is_amazons(region), "{region}");
        }
        for region in ["us-east-1", "us-gov-west-1", "eu-central-1", "ap-southeast-2", "mx-central-1"] {
            assert!(is_amazons(region), "{region}");
        }
    }
}
