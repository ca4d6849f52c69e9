//! Fetches the tail from the API, with the AWS SDK's own HTTPS client. No error contains the token or the response.

use std::{io, time::Duration};

use annals_core::organisation::OrganisationId;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use http::{Request, Uri, header};
use serde::Deserialize;

use crate::tail::{Fetched, Tail, TailError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the tail could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A token must not be sent to this address.
    #[error("the API's URL must be https://HOST, or http:// to this machine itself")]
    Url,
    #[error("the token in ANNALS_TOKEN has characters that no token has")]
    Token,
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("no response from the API at {url}")]
    Network { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the API refused with status {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("the API's response is not a tail")]
    Response(#[from] TailError),
}

/// Fetches the tail of a log from the API at `base`. Without `organisation`, the token's organisation.
///
/// # Errors
/// Returns an error if the API does not return a tail.
pub fn fetch_tail(base: &str, organisation: Option<&OrganisationId>, token: &str) -> Result<Tail, FetchError> {
    let uri = tail_uri(base, organisation)?;
    let request = Request::get(&uri)
        .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("annals-verify/", env!("CARGO_PKG_VERSION")))
        .body(SdkBody::empty())
        .map_err(|_| FetchError::Token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(FetchError::Runtime)?;
    let (status, body) =
        runtime.block_on(send(request)).map_err(|source| FetchError::Network { url: uri.to_string(), source })?;
    if status == 200 {
        return Ok(Tail::parse(&body, Fetched::Now)?);
    }
    Err(FetchError::Refused { status, detail: detail(&body, status) })
}

async fn send(request: Request<SdkBody>) -> Result<(u16, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    let response = connector.call(request.try_into()?).await?;
    let status = response.status().as_u16();
    let body = ByteStream::new(response.into_body()).collect().await?;
    Ok((status, body.into_bytes().into()))
}

/// Returns the URI of the tail. A token is sent without TLS only to this machine.
fn tail_uri(base: &str, organisation: Option<&OrganisationId>) -> Result<Uri, FetchError> {
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/audit/tail").unwrap_or(base);
    let path = organisation.map_or_else(String::new, |organisation| format!("/organisations/{organisation}"));
    let url = if base.contains("/organisations/") {
        format!("{base}/audit/tail")
    } else {
        format!("{base}{path}/audit/tail")
    };
    let uri: Uri = url.parse().map_err(|_| FetchError::Url)?;
    let is_safe = match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    };
    if is_safe && uri.query().is_none() { Ok(uri) } else { Err(FetchError::Url) }
}

/// Returns the detail of the API's problem response (RFC 9457), or else the likely cause.
fn detail(body: &[u8], status: u16) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let detail = serde_json::from_slice(body).map(|problem: Problem| problem.detail);
    detail.unwrap_or_else(|_| match status {
        301 | 302 | 307 | 308 => "redirects are not followed: use the URL that it redirects to".to_owned(),
        _ => "the response gives no reason; is this the API's URL?".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_one_uri_and_a_token_is_never_sent_in_clear_text() {
        let acme: OrganisationId = "acme".parse().unwrap();
        let at = |base: &str, organisation: Option<&OrganisationId>| match tail_uri(base, organisation) {
            Ok(uri) => uri.to_string(),
            Err(error) => error.to_string(),
        };
        insta::assert_snapshot!([
            at("https://api.example.com", None),
            at("https://api.example.com/", Some(&acme)),
            at("https://api.example.com/v1/audit/tail", None),
            at("https://api.example.com/organisations/acme/audit/tail", Some(&acme)),
            at("http://127.0.0.1:8700", None),
            at("http://api.example.com", None),
            at("api.example.com", None),
            at("https://api.example.com?x=1", None),
        ].join("\n"), @"
        https://api.example.com/audit/tail
        https://api.example.com/organisations/acme/audit/tail
        https://api.example.com/v1/audit/tail
        https://api.example.com/organisations/acme/audit/tail
        http://127.0.0.1:8700/audit/tail
        the API's URL must be https://HOST, or http:// to this machine itself
        the API's URL must be https://HOST, or http:// to this machine itself
        the API's URL must be https://HOST, or http:// to this machine itself
        ");
    }
}
