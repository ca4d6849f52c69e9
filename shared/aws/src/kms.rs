//! Signatures by keys in AWS KMS. A reference is the ARN of a key with the key spec `ECC_NIST_EDWARDS25519`.

use std::{sync::Arc, time::Duration};

use annals_core::{
    destination::sink::printable,
    proof::{
        signer::{Signer, SignerError, SignerFault},
        signing::{Signing, SigningKey},
        store::ProofStore,
    },
    time::Clock,
};
use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};

use crate::settings::{self, SettingError};

/// What precedes the 32 bytes of an Ed25519 public key in a SubjectPublicKeyInfo in DER (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The longest part of an answer that is kept, in bytes.
const ANSWER_MAX_BYTES: usize = 512;

/// Returns the signing key of the environment: `SIGNING_KEY` is its ARN, `SIGNER_NAME` the name in checkpoints. Returns
/// `None` if `SIGNING_KEY` is not set or empty: the deployment signs no checkpoints.
///
/// # Errors
/// Returns an error if the name is missing or invalid.
pub fn signing(
    config: &SdkConfig,
    store: Arc<dyn ProofStore>,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<Signing>>, SettingError> {
    let reference = settings::or("SIGNING_KEY", "");
    if reference.is_empty() {
        return Ok(None);
    }
    let key = SigningKey { name: settings::parsed("SIGNER_NAME")?, reference };
    Ok(Some(Arc::new(Signing::new(key, Arc::new(KmsSigner::new(config)), store, clock))))
}

#[derive(Debug, Clone)]
pub struct KmsSigner {
    client: Client,
}

impl KmsSigner {
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        // No delivery waits for a signature, but the run does: a signer that hangs must not use up its time.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(7))
            .build();
        let config = aws_sdk_kms::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .build();
        Self { client: Client::from_conf(config) }
    }
}

#[async_trait]
impl Signer for KmsSigner {
    async fn public_key(&self, reference: &str) -> Result<[u8; 32], SignerError> {
        let answer = self.client.get_public_key().key_id(reference).send().await.map_err(signer_error)?;
        let der = answer.public_key().map(Blob::as_ref).unwrap_or_default();
        der.strip_prefix(&SPKI_PREFIX)
            .and_then(|key| key.try_into().ok())
            .ok_or(SignerError { fault: SignerFault::KeyUnsuitable, answer: None })
    }

    async fn sign(&self, reference: &str, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let answer = self
            .client
            .sign()
            .key_id(reference)
            .message(Blob::new(message))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::Ed25519Sha512)
            .send()
            .await
            .map_err(signer_error)?;
        let signature = answer.signature().map(Blob::as_ref).unwrap_or_default();
        signature.try_into().map_err(|_| SignerError { fault: SignerFault::KeyUnsuitable, answer: None })
    }
}

fn signer_error<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> SignerError
where
    SdkError<E, R>: ProvideErrorMetadata + RequestId,
{
    let SdkError::ServiceError(_) = &error else {
        return SignerError { fault: SignerFault::Unavailable, answer: None };
    };
    let code = error.code().unwrap_or_default();
    let fault = match code {
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "InvalidGrantTokenException" => SignerFault::Denied,
        "NotFoundException" => SignerFault::KeyMissing,
        "DisabledException" => SignerFault::KeyDisabled,
        "KMSInvalidStateException" | "KeyUnavailableException" => SignerFault::KeyUnavailable,
        "ThrottlingException" | "LimitExceededException" | "TooManyRequestsException" => SignerFault::Throttled,
        "KMSInternalException" | "DependencyTimeoutException" | "InternalFailure" | "ServiceUnavailableException" => {
            SignerFault::Unavailable
        }
        _ => SignerFault::KeyUnsuitable,
    };
    let id = error.request_id().map_or_else(String::new, |id| format!(" (request {id})"));
    let answer = format!("{code}: {}{id}", error.message().unwrap_or_default());
    SignerError { fault, answer: Some(printable(&answer, ANSWER_MAX_BYTES)) }
}
