//! Signature Version 4 in the `Authorization` header of requests to STS, SQS and KMS. Owns its verification.
//! [`iam`](super::iam) owns keys and sessions, and the S3 server verifies its requests itself.
//!
//! The algorithm is the one in the IAM User Guide, *Create a signed AWS API request*.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header, request::Parts};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Iso8601};

use super::{
    access::Principal,
    clock::system_millis,
    iam::{Iam, KeyFault},
};

/// How far a signature's time may be from the server's.
const MAX_SKEW_MILLIS: u64 = 15 * 60 * 1000;

/// Why the caller of a request is not authenticated: the code and the message of the 403 response of STS and SQS. KMS has
/// other codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unauthenticated {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl From<SignatureFault> for Unauthenticated {
    fn from(fault: SignatureFault) -> Self {
        let code = match fault {
            SignatureFault::Missing => "MissingAuthenticationToken",
            SignatureFault::Incomplete(_) => "IncompleteSignature",
            SignatureFault::Mismatch | SignatureFault::Skewed(_) => "SignatureDoesNotMatch",
        };
        Self { code, message: fault.to_string() }
    }
}

impl From<KeyFault> for Unauthenticated {
    fn from(fault: KeyFault) -> Self {
        let (code, message) = match fault {
            KeyFault::Unknown | KeyFault::InvalidToken => {
                ("InvalidClientTokenId", "The security token included in the request is invalid.")
            }
            KeyFault::Expired => ("ExpiredToken", "The security token included in the request is expired"),
        };
        Self { code, message: message.to_owned() }
    }
}

/// Returns who signed a request to `service`.
pub(crate) fn authenticate(
    iam: &Iam,
    service: &str,
    request: &Parts,
    body: &[u8],
) -> Result<Principal, Unauthenticated> {
    let authorization = Authorization::parse(&request.headers)?;
    let key_id = &authorization.access_key_id;
    let secret = iam.secret(key_id).ok_or(KeyFault::Unknown)?;
    // The session token is checked before the signature, as on AWS.
    let caller = iam.authenticate(key_id, authorization.session_token.as_deref())?;
    authorization.verify(service, &secret, request, body)?;
    Ok(caller)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SignatureFault {
    #[error("Request is missing Authentication Token")]
    Missing,
    #[error("Authorization header requires {0}")]
    Incomplete(&'static str),
    /// The signature was made with another secret, or for another request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    #[error("Signature expired: {0} is not within 15 min. of the current time")]
    Skewed(String),
}

/// A signature that has not been verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authorization {
    access_key_id: String,
    session_token: Option<String>,
    region: String,
    date: String,
    service: String,
    moment: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(headers: &HeaderMap) -> Result<Self, SignatureFault> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let value = text(header::AUTHORIZATION.as_str()).ok_or(SignatureFault::Missing)?;
        let parameters =
            value.strip_prefix("AWS4-HMAC-SHA256").ok_or(SignatureFault::Incomplete("AWS4-HMAC-SHA256"))?;
        let parameter = |name: &'static str| {
            parameters
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or(SignatureFault::Incomplete(name))
        };
        let scope: Vec<&str> = parameter("Credential")?.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = scope[..] else {
            return Err(SignatureFault::Incomplete("Credential"));
        };
        let signed_headers: Vec<String> = parameter("SignedHeaders")?.split(';').map(str::to_owned).collect();
        if !signed_headers.iter().any(|name| name == "host") {
            return Err(SignatureFault::Incomplete("'host' in SignedHeaders"));
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            session_token: text("x-amz-security-token").map(str::to_owned),
            region: region.to_owned(),
            date: date.to_owned(),
            service: service.to_owned(),
            moment: text("x-amz-date").ok_or(SignatureFault::Incomplete("x-amz-date"))?.to_owned(),
            signed_headers,
            signature: parameter("Signature")?.to_owned(),
        })
    }

    /// Returns `Ok` if this is the signature of `request` to `service` with `secret`, at most 15 minutes old.
    fn verify(&self, service: &str, secret: &str, request: &Parts, body: &[u8]) -> Result<(), SignatureFault> {
        if self.service != service || !self.moment.starts_with(&self.date) {
            return Err(SignatureFault::Mismatch);
        }
        let signed_at = OffsetDateTime::parse(&self.moment, &Iso8601::PARSING)
            .ok()
            .and_then(|moment| u64::try_from(moment.unix_timestamp()).ok())
            .ok_or(SignatureFault::Incomplete("x-amz-date"))?;
        if (signed_at * 1000).abs_diff(system_millis()) > MAX_SKEW_MILLIS {
            return Err(SignatureFault::Skewed(self.moment.clone()));
        }

        let mut canonical =
            format!("{}\n{}\n{}\n", request.method, request.uri.path(), canonical_query(request.uri.query()));
        for name in &self.signed_headers {
            let values: Vec<String> = request
                .headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            canonical.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        canonical.push_str(&format!("\n{}\n{}", self.signed_headers.join(";"), hex::encode(Sha256::digest(body))));

        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            self.moment,
            hex::encode(Sha256::digest(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date.as_str(), &self.region, &self.service, "aws4_request"] {
            key = mac(&key, part)?.finalize().into_bytes().to_vec();
        }
        let signature = hex::decode(&self.signature).map_err(|_| SignatureFault::Mismatch)?;
        mac(&key, &to_sign)?.verify_slice(&signature).map_err(|_| SignatureFault::Mismatch)
    }
}

fn mac(key: &[u8], message: &str) -> Result<Hmac<Sha256>, SignatureFault> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SignatureFault::Mismatch)?;
    mac.update(message.as_bytes());
    Ok(mac)
}

/// Sorts the parameters. They stay as they are encoded: the SDKs encode them as the algorithm requires.
fn canonical_query(query: Option<&str>) -> String {
    let mut pairs: Vec<String> = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort_unstable();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        headers.insert("host", "iam.amazonaws.com".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        headers
    }

    #[test]
    fn the_credential_scope_is_read() {
        let value = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/sts/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=5d67";
        let authorization = Authorization::parse(&headers(value)).unwrap();
        assert_eq!((authorization.access_key_id.as_str(), authorization.region.as_str()), ("AKIDEXAMPLE", "eu-west-1"));
    }

    #[test]
    fn a_header_that_lacks_something_says_what() {
        assert_eq!(Authorization::parse(&HeaderMap::new()), Err(SignatureFault::Missing));
        for (value, lacks) in [
            ("Bearer x", "AWS4-HMAC-SHA256"),
            ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=5d", "Credential"),
            ("AWS4-HMAC-SHA256 Credential=A/1/r/sts/aws4_request, SignedHeaders=host", "Signature"),
            (
                "AWS4-HMAC-SHA256 Credential=A/1/r/sts/aws4_request, SignedHeaders=date, Signature=5d",
                "'host' in SignedHeaders",
            ),
        ] {
            assert_eq!(Authorization::parse(&headers(value)), Err(SignatureFault::Incomplete(lacks)));
        }
    }

    #[test]
    fn an_old_signature_is_refused() {
        let value = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sts/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature=5d67";
        let (mut request, ()) = http::Request::post("/").body(()).unwrap().into_parts();
        request.headers = headers(value);
        let outcome = Authorization::parse(&request.headers).unwrap().verify("sts", "secret", &request, b"");
        assert_eq!(outcome, Err(SignatureFault::Skewed("20150830T123600Z".to_owned())));
    }

    #[test]
    fn parameters_are_sorted() {
        assert_eq!(canonical_query(Some("b=2&a&c=")), "a=&b=2&c=");
    }
}
