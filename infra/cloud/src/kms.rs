//! KMS over the AWS JSON 1.1 protocol: `Sign` and `GetPublicKey` for Ed25519 keys. Owns the parameters, the permissions and
//! the errors. [`iam`](super::iam) keeps the keys.
//!
//! A parameter that is not supported is refused, not ignored. Not supported: creating and changing keys over HTTP, other key
//! specifications, grants, dry runs, and the algorithm `ED25519_PH_SHA_512`.
//! `infra/docs/decisions/0013-our-own-kms-with-two-operations.md` has the reasons.

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer as _;
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    access::{self, Consent, Decision, Principal},
    entropy,
    iam::{Iam, KeyState, OwnedKey},
    policy::Context,
    server,
    sigv4::{self, Unauthenticated},
};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const KEY_SPEC: &str = "ECC_NIST_EDWARDS25519";
const ALGORITHM: &str = "ED25519_SHA_512";
/// The signing algorithms of the API (API reference of `Sign`).
const ALGORITHMS: &[&str] = &[
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "ECDSA_SHA_256",
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "SM2DSA",
    "ML_DSA_SHAKE_256",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
];
const MESSAGE_TYPES: &[&str] = &["RAW", "DIGEST", "EXTERNAL_MU"];
/// Bytes of a message (API reference of `Sign`).
const MESSAGE_MAX_BYTES: usize = 4096;
/// Bytes of a request: more than the largest message in base64.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// What precedes the 32 bytes of an Ed25519 public key in a DER-encoded `SubjectPublicKeyInfo` (RFC 8410).
const PUBLIC_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Debug, Clone)]
struct Kms {
    iam: Iam,
    region: String,
}

pub(crate) fn router(iam: Iam, region: String) -> Router {
    Router::new().route("/", post(handle)).with_state(Kms { iam, region })
}

/// A refusal. KMS answers nearly all of them with status 400.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KmsFault {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl KmsFault {
    fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, name, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        Self::invalid(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
        ))
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }
}

/// The JSON protocols have other names for these faults than the query protocol.
impl From<Unauthenticated> for KmsFault {
    fn from(Unauthenticated { code, message }: Unauthenticated) -> Self {
        let name = match code {
            "MissingAuthenticationToken" => "MissingAuthenticationTokenException",
            "IncompleteSignature" => "IncompleteSignatureException",
            "SignatureDoesNotMatch" => "InvalidSignatureException",
            "ExpiredToken" => "ExpiredTokenException",
            _ => "UnrecognizedClientException",
        };
        Self::new(name, message)
    }
}

async fn handle(State(kms): State<Kms>, request: Request) -> Response {
    let mut response = match kms.answer(request).await {
        Ok(body) => server::respond(StatusCode::OK, CONTENT_TYPE, body.to_string()),
        Err(KmsFault { status, name, message }) => {
            server::respond(status, CONTENT_TYPE, json!({"__type": name, "message": message}).to_string())
        }
    };
    server::set_header(&mut response, "x-amzn-requestid", &entropy::request_id());
    response
}

impl Kms {
    async fn answer(&self, request: Request) -> Result<Value, KmsFault> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX_BYTES).await.map_err(|_| KmsFault {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..KmsFault::new("RequestEntityTooLargeException", "The request is too large.")
        })?;
        let caller = sigv4::authenticate(&self.iam, "kms", &parts, &body)?;
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match target.strip_prefix("TrentService.") {
            Some("Sign") => self.sign(&caller, parse(&body)?),
            Some("GetPublicKey") => self.get_public_key(&caller, parse(&body)?),
            _ => Err(KmsFault::new("UnknownOperationException", format!("{target} is not supported."))),
        }
    }

    fn sign(&self, caller: &Principal, input: Sign) -> Result<Value, KmsFault> {
        let Sign { key_id, message, message_type, signing_algorithm } = input;
        check_member(&signing_algorithm, "signingAlgorithm", ALGORITHMS)?;
        check_member(&message_type, "messageType", MESSAGE_TYPES)?;
        let message = STANDARD
            .decode(message)
            .map_err(|_| KmsFault::new("SerializationException", "The message is not in base64."))?;
        if message.len() > MESSAGE_MAX_BYTES {
            let constraint = format!("have length less than or equal to {MESSAGE_MAX_BYTES}");
            return Err(KmsFault::constraint(&format!("{} bytes", message.len()), "message", &constraint));
        }
        let key = self.usable_key(caller, "kms:Sign", &key_id)?;
        if !signing_algorithm.starts_with("ED25519_") {
            let message = format!("Algorithm {signing_algorithm} is incompatible with key spec {KEY_SPEC}.");
            return Err(KmsFault::new("InvalidKeyUsageException", message));
        }
        if signing_algorithm != ALGORITHM {
            return Err(KmsFault::invalid(format!("{signing_algorithm} is not supported by the embedded KMS.")));
        }
        if message_type != "RAW" {
            let message = format!("Message type {message_type} is incompatible with algorithm {signing_algorithm}.");
            return Err(KmsFault::invalid(message));
        }
        let signature = key.pair.sign(&message).to_bytes();
        Ok(json!({"KeyId": key.arn, "Signature": STANDARD.encode(signature), "SigningAlgorithm": ALGORITHM}))
    }

    fn get_public_key(&self, caller: &Principal, input: GetPublicKey) -> Result<Value, KmsFault> {
        let key = self.usable_key(caller, "kms:GetPublicKey", &input.key_id)?;
        let public_key = [&PUBLIC_KEY_PREFIX[..], key.pair.verifying_key().as_bytes()].concat();
        Ok(json!({
            "KeyId": key.arn,
            "PublicKey": STANDARD.encode(public_key),
            "KeySpec": KEY_SPEC,
            "CustomerMasterKeySpec": KEY_SPEC,
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": [ALGORITHM, "ED25519_PH_SHA_512"],
        }))
    }

    /// Returns the key if it exists, the caller is allowed to do `action` with it, and it is enabled.
    fn usable_key(&self, caller: &Principal, action: &str, key_id: &str) -> Result<OwnedKey, KmsFault> {
        let arn = self.key_arn(caller, key_id)?;
        let is_own = arn.split(':').nth(4) == Some(caller.account.as_str());
        // Another account must not learn whether a key exists.
        let hidden = || {
            let message = format!(
                "User: {} is not authorized to perform: {action} on this resource because the resource does not exist in \
                 this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
                caller.arn
            );
            KmsFault::new("AccessDeniedException", message)
        };
        let key = match self.iam.key(&arn) {
            Some(key) => key,
            None if is_own => return Err(KmsFault::not_found(format!("Key '{arn}' does not exist"))),
            None => return Err(hidden()),
        };
        let request = access::Request {
            principal: Some(caller),
            action,
            resource: &key.arn,
            resource_account: &key.account,
            resource_policy: Some(&key.policy),
            consent: Consent::Required,
            context: &Context::of(Some(caller)),
        };
        if let Decision::Denied(denial) = request.decide() {
            if !is_own {
                return Err(hidden());
            }
            let message = format!(
                "User: {} is not authorized to perform: {action} on resource: {arn} {}",
                caller.arn,
                denial.because(action)
            );
            return Err(KmsFault::new("AccessDeniedException", message));
        }
        if self.iam.is_key_throttled(&arn) {
            let message = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.";
            return Err(KmsFault::new("ThrottlingException", message));
        }
        match key.state {
            KeyState::Enabled => Ok(key),
            KeyState::Disabled => Err(KmsFault::new("DisabledException", format!("{arn} is disabled."))),
            KeyState::PendingDeletion => {
                Err(KmsFault::new("KMSInvalidStateException", format!("{arn} is pending deletion.")))
            }
        }
    }

    /// Returns the ARN of the key with this id, ARN, alias or alias ARN. An id and an alias are in the caller's account.
    fn key_arn(&self, caller: &Principal, key_id: &str) -> Result<String, KmsFault> {
        let local = |resource: &str| format!("arn:aws:kms:{}:{}:{resource}", self.region, caller.account);
        let arn = match key_id {
            "" => return Err(KmsFault::constraint("", "keyId", "have length greater than or equal to 1")),
            id if id.starts_with("arn:") => id.to_owned(),
            alias if alias.starts_with("alias/") => local(alias),
            id => local(&format!("key/{id}")),
        };
        let parts: Vec<&str> = arn.split(':').collect();
        match parts[..] {
            ["arn", "aws", "kms", region, _, _] if region != self.region => {
                Err(KmsFault::not_found(format!("Invalid arn {region}")))
            }
            ["arn", "aws", "kms", _, _, resource] if resource.starts_with("alias/") => {
                self.iam.aliased_key(&arn).ok_or_else(|| KmsFault::not_found(format!("Alias {arn} is not found.")))
            }
            ["arn", "aws", "kms", _, _, resource] if resource.starts_with("key/") => Ok(arn),
            _ => Err(KmsFault::not_found(format!("Invalid keyId '{key_id}'"))),
        }
    }
}

fn check_member(value: &str, member: &str, values: &[&str]) -> Result<(), KmsFault> {
    if values.contains(&value) {
        return Ok(());
    }
    Err(KmsFault::constraint(value, member, &format!("satisfy enum value set: [{}]", values.join(", "))))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsFault> {
    serde_json::from_slice(body).map_err(|error| KmsFault::new("SerializationException", error.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Sign {
    key_id: String,
    /// Base64.
    message: String,
    #[serde(default = "raw")]
    message_type: String,
    signing_algorithm: String,
}

fn raw() -> String {
    "RAW".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetPublicKey {
    key_id: String,
}
