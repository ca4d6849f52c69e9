//! HTTP requests, and the token in them. Does not know batches and retries.

use std::{error::Error as _, fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::sync::watch;

use crate::response::Response;

/// The longest response that is read. The receipts of 1,000 events take a tenth of it.
const RESPONSE_MAX_BYTES: usize = 2 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One attempt to deliver a batch.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) body: Bytes,
    /// The `Authorization` header.
    pub(crate) token: HeaderValue,
}

/// A request that got no response.
#[derive(Debug, Clone)]
pub(crate) struct NoResponse {
    pub(crate) detail: String,
    /// Whether the server may have processed the request.
    pub(crate) in_doubt: bool,
}

/// Sends requests to the server.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Sends a request once. The future may be dropped before it completes.
    fn post(&self, request: Request) -> impl Future<Output = Result<Response, NoResponse>> + Send;
}

/// The text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty, or has characters that no token has")]
pub struct InvalidToken;

/// The token of all clients from one builder. Debug output omits it.
#[derive(Clone)]
pub(crate) struct Token(Arc<watch::Sender<HeaderValue>>);

impl Token {
    pub(crate) fn new(text: &str) -> Result<Self, InvalidToken> {
        Ok(Self(Arc::new(watch::Sender::new(header(text)?))))
    }

    pub(crate) fn set(&self, text: &str) -> Result<(), InvalidToken> {
        self.0.send_replace(header(text)?);
        Ok(())
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<HeaderValue> {
        self.0.subscribe()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn header(token: &str) -> Result<HeaderValue, InvalidToken> {
    // A token that was read from a file often ends with a newline.
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidToken);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Creates the connection pool, which all clients from one builder share.
pub(crate) fn connections(url: &Url) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("annals-client/", env!("CARGO_PKG_VERSION")))
        // A redirect would send the token to another server.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    // A proxy cannot reach this machine's loopback address; Go's net/http ignores proxies for it, too.
    if is_loopback(url) { builder.no_proxy() } else { builder }.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Posts to one URL.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    pub(crate) connections: reqwest::Client,
    pub(crate) url: Url,
}

impl Transport for HttpTransport {
    async fn post(&self, request: Request) -> Result<Response, NoResponse> {
        let token = request.token.clone();
        let post = self
            .connections
            .post(self.url.clone())
            .header(AUTHORIZATION, request.token)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("idempotency-key", request.key)
            .body(request.body);
        let mut response = post.send().await.map_err(no_response)?;
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_response)? {
            if body.len() + chunk.len() > RESPONSE_MAX_BYTES {
                body.clear();
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let body = redact(&token, body);
        Ok(Response { status: response.status().as_u16(), retry_after: seconds.map(Duration::from_secs), body })
    }
}

fn no_response(error: reqwest::Error) -> NoResponse {
    let in_doubt = !error.is_connect();
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    NoResponse { detail, in_doubt }
}

/// Removes the token: a response may repeat the request, and parts of responses are logged.
fn redact(token: &HeaderValue, body: Vec<u8>) -> Vec<u8> {
    let token = token.to_str().unwrap_or_default().trim_start_matches("Bearer ");
    match std::str::from_utf8(&body) {
        Ok(text) if text.contains(token) => text.replace(token, "…").into_bytes(),
        _ => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new(" annals_secret\n").unwrap();
        let value = token.subscribe().borrow().clone();
        assert_eq!(value.to_str().unwrap(), "Bearer annals_secret");
        let request = Request { key: "k".into(), body: Bytes::new(), token: value.clone() };
        for shown in [format!("{token:?}"), format!("{request:?}"), format!("{InvalidToken:?} {InvalidToken}")] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert_eq!(redact(&value, b"{\"detail\":\"no annals_secret\"}".to_vec()), "{\"detail\":\"no …\"}".as_bytes());
    }

    #[test]
    fn a_text_that_cannot_be_a_token_is_refused() {
        for text in ["", " \n", "two words", "line\nline", "é"] {
            assert_eq!(Token::new(text).unwrap_err(), InvalidToken, "{text:?}");
        }
    }

    #[test]
    fn loopback_addresses_are_recognised() {
        for (url, expected) in [
            ("http://localhost:80", true),
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]:9/", true),
            ("https://audit.example.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn an_https_url_is_reached_with_tls() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("https://{}/events", listener.local_addr().unwrap()).parse().unwrap();
        let transport = HttpTransport { connections: connections(&url).unwrap(), url };
        let token = header("token").unwrap();
        let posted = transport.post(Request { key: "k".into(), body: Bytes::from_static(b"{}"), token });
        let received = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap()
        };
        let (posted, first_byte) = tokio::join!(posted, received);
        // RFC 8446, section 5.1: a record of type "handshake".
        assert_eq!(first_byte, 22);
        assert!(!posted.unwrap_err().in_doubt);
    }
}
