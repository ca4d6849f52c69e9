//! What the servers share: listening, stopping, and the parts of a response. Owns no protocol.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, StatusCode, header::HeaderName};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Becomes true once, when the cloud stops.
pub(crate) type Stop = watch::Receiver<bool>;

/// Listens on the loopback interface only; port 0 takes any free port.
pub(crate) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop`, then lets running requests finish.
pub(crate) fn serve(tasks: &mut JoinSet<()>, listener: TcpListener, router: Router, stop: Stop) {
    use axum::serve::ListenerExt;
    // Without TCP_NODELAY a small response waits for the acknowledgement of the previous one, up to 40 ms.
    let listener = listener.tap_io(|stream: &mut TcpStream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
    });
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped(stop)).await {
            tracing::error!(%error, "an embedded server ended");
        }
    });
}

/// Returns when the cloud stops or is dropped.
pub(crate) async fn stopped(mut stop: Stop) {
    // An error means that the sender was dropped, which is a stop as well.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// Sets a header, unless the value has characters that a header cannot have.
pub(crate) fn set_header<B>(response: &mut http::Response<B>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Escapes the characters that XML reserves.
pub(crate) fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

pub(crate) fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    set_header(&mut response, "content-type", content_type);
    response
}
