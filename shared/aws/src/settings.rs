//! What a function reads from its environment, and the SDK's configuration with the HTTPS client that all of a function's
//! clients share.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// The certificates that those of AWS's endpoints are signed with, and nothing else is: Amazon Root CA 1 to 4, and
/// Starfield Services G2, with which they are signed where a client knows none of them (Amazon Trust Services,
/// <https://www.amazontrust.com/repository/>).
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

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

/// The SDK's configuration from what Lambda puts into a function's environment, region and credentials, with [`patience`].
/// `AWS_ENDPOINT_URL`, and the same for one service, such as `AWS_ENDPOINT_URL_DYNAMODB`, lead elsewhere than to AWS.
///
/// What else the SDK's default chain asks has nothing to say on Lambda: profiles, the metadata services of EC2 and ECS, web
/// identities, proxies. It is 0.3 MB of a zipped package.
///
/// # Errors
/// Where there is no region.
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

/// The HTTPS client of all of a function's clients. Those that have the same time-outs share connections, too.
///
/// TLS is rustls over ring. The first handshake and request of a program that does nothing else (x86-64, size first;
/// instructions in user space, the package zipped), as the SDK has it by default and otherwise:
///
/// | cryptography | instructions | time | package |
/// |---|---:|---:|---:|
/// | aws-lc-rs | 424 M | 22 to 59 ms | 1.35 MB |
/// | aws-lc-rs built with `AWS_LC_SYS_NO_JITTER_ENTROPY=1` | 3.4 M | 1.5 ms | 1.34 MB |
/// | ring | 3.4 M | 1.5 ms | 1.09 MB |
///
/// What aws-lc-rs does there is to test a random generator that lives on the processor's jitter, and to seed it; ring asks
/// the kernel, whose generator Lambda's machines have seeded. A setting of the build can be lost, a choice of the program
/// cannot. What ring has not is the post-quantum key exchange of aws-lc-rs, on a way that does not leave AWS.
fn https_client(trust_store: TrustStore) -> SharedHttpClient {
    let context = TlsContext::builder().with_trust_store(trust_store).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.unwrap_or_default())
        .build_https()
}

/// Whose certificates are believed: Amazon's own, where they sign all endpoints; the machine's in other partitions, and
/// where `SSL_CERT_FILE` or `SSL_CERT_DIR` name any. To read the 145 of a machine takes 29 M instructions and 2.7 ms, to
/// read these five 0.03 ms; and no other of those 145 can speak for AWS.
fn trust_store(region: &str) -> TrustStore {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| !or(name, "").is_empty());
    if named || !is_amazons(region) { TrustStore::default() } else { amazons() }
}

/// Whether Amazon signs the certificates of a region's endpoints: in all but China's and the isolated ones.
fn is_amazons(region: &str) -> bool {
    !region.starts_with("cn-") && !region.contains("-iso")
}

fn amazons() -> TrustStore {
    TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
}

/// The variables that lead the SDK's clients elsewhere, as all of AWS's SDKs know them (AWS SDKs and Tools Reference
/// Guide, "Service-specific endpoints").
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

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// As <https://www.amazontrust.com/repository/> has them.
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
    fn a_client_can_be_made_of_them() {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(https_client(amazons()))
            .region(Region::new("eu-central-1"))
            .build();
        // Certificates are read when the first client is made, and one that is none would panic there.
        let _ = aws_sdk_dynamodb::Client::new(&config);
    }

    #[test]
    fn other_partitions_have_certificates_of_others() {
        for region in ["cn-north-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"] {
            assert!(!is_amazons(region), "{region}");
        }
        for region in ["us-east-1", "us-gov-west-1", "eu-central-1", "ap-southeast-2", "mx-central-1"] {
            assert!(is_amazons(region), "{region}");
        }
    }
}
