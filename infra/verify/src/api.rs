//! Asks the API for the log's tail, with the SDK's own HTTPS client. Never says the token, nor what the answer holds.

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

use crate::tail::{Asked, Tail, TailError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no tail.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address is none that a token may be sent to.
    #[error("the API's URL must be https://HOST, or http:// to this machine itself")]
    Url,
    /// The token cannot be sent.
    #[error("the token in ANNALS_TOKEN is none")]
    Token,
    /// There is no runtime.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    /// There was no answer.
    #[error("the API does not answer at {url}")]
    Network {
        /// Where.
        url: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered, but not with a tail.
    #[error("the API refused with {status}: {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said to do.
        detail: String,
    },
    /// The answer is no tail.
    #[error("the API's answer is no tail")]
    Answer(#[from] TailError),
}

/// The tail of `organisation`'s log, or of the token's where that is none, from the API at `base`.
///
/// # Errors
/// [`AskError`] where there is none to be had.
pub fn tail(base: &str, organisation: Option<&OrganisationId>, token: &str) -> Result<Tail, AskError> {
    let uri = address(base, organisation)?;
    let request = Request::get(&uri)
        .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("annals-verify/", env!("CARGO_PKG_VERSION")))
        .body(SdkBody::empty())
        .map_err(|_| AskError::Token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Runtime)?;
    let (status, body) =
        runtime.block_on(send(request)).map_err(|source| AskError::Network { url: uri.to_string(), source })?;
    if status == 200 {
        return Ok(Tail::parse(&body, Asked::Now)?);
    }
    Err(AskError::Refused { status, detail: detail(&body, status) })
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

/// Where the tail is. A token is sent in the clear only to this machine itself.
fn address(base: &str, organisation: Option<&OrganisationId>) -> Result<Uri, AskError> {
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/audit/tail").unwrap_or(base);
    let path = organisation.map_or_else(String::new, |organisation| format!("/organisations/{organisation}"));
    let url = if base.contains("/organisations/") {
        format!("{base}/audit/tail")
    } else {
        format!("{base}{path}/audit/tail")
    };
    let uri: Uri = url.parse().map_err(|_| AskError::Url)?;
    let is_safe = match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    };
    if is_safe && uri.query().is_none() { Ok(uri) } else { Err(AskError::Url) }
}

/// What the API says to do (RFC 9457), or what may be the matter where it says nothing.
fn detail(body: &[u8], status: u16) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let said = serde_json::from_slice(body).map(|problem: Problem| problem.detail);
    said.unwrap_or_else(|_| match status {
        301 | 302 | 307 | 308 => "it is elsewhere: give the address that it redirects to".to_owned(),
        _ => "it does not say why; is this the API's URL?".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_asked_for_where_it_is_and_a_token_never_sent_in_the_clear() {
        let acme: OrganisationId = "acme".parse().unwrap();
        let at = |base: &str, organisation: Option<&OrganisationId>| match address(base, organisation) {
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
