//! Verifies Signature Version 4 in the `Authorization` header of requests to STS and SQS. Owns the computation; whose
//! key it is, is [`iam`](super::iam)'s, and S3 requests are verified by the S3 server's own implementation.
//!
//! The algorithm is *Create a signed AWS API request* of the IAM User Guide.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Uri, header};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Iso8601};

use super::clock::system_millis;

/// How far a signature's time may lie from the server's.
const MAX_SKEW_MILLIS: u64 = 15 * 60 * 1000;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureFault {
    /// There is none.
    #[error("Request is missing Authentication Token")]
    Missing,
    /// The header, or one that it depends on, is not what the algorithm asks for.
    #[error("Authorization header requires {0}")]
    Incomplete(&'static str),
    /// It was made with another secret, or for another request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// It was made too long ago, or for the future.
    #[error("Signature expired: {0} is not within 15 min. of the current time")]
    Skewed(String),
}

/// A signature as it was sent, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// The access key's id.
    pub(super) access_key_id: String,
    /// The session token beside it.
    pub(super) session_token: Option<String>,
    /// The region it is good for.
    pub(super) region: String,
    date: String,
    service: String,
    moment: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    /// Reads the headers of a signed request.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, SignatureFault> {
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

    /// Whether this is the signature of that request to `service` with `secret`, made within the last minutes.
    pub(super) fn verify(
        &self,
        service: &str,
        secret: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), SignatureFault> {
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

        let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), canonical_query(uri.query()));
        for name in &self.signed_headers {
            let values: Vec<String> = headers
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

/// The parameters in order. They are taken as encoded: the SDKs encode them the way the algorithm asks for.
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
        let headers = headers(value);
        let outcome = Authorization::parse(&headers).unwrap().verify(
            "sts",
            "secret",
            &Method::POST,
            &Uri::from_static("/"),
            &headers,
            b"",
        );
        assert_eq!(outcome, Err(SignatureFault::Skewed("20150830T123600Z".to_owned())));
    }

    #[test]
    fn parameters_are_sorted() {
        assert_eq!(canonical_query(Some("b=2&a&c=")), "a=&b=2&c=");
    }
}
