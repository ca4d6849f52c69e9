//! What the servers of the embedded cloud share: listening, stopping, and small parts of answers. Owns no protocol.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{Router, response::Response};
use http::{HeaderValue, header::HeaderName};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Becomes true once, when the cloud stops.
pub(super) type Stop = watch::Receiver<bool>;

/// A listener on this machine's loopback interface only; port 0 is any free one.
pub(super) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop`, then lets running requests finish.
pub(super) fn serve(tasks: &mut JoinSet<()>, listener: TcpListener, router: Router, stop: Stop) {
    use axum::serve::ListenerExt;
    // Without it a small answer waits for the acknowledgement of the one before, up to 40 ms.
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

/// Returns when the cloud stops, or is gone.
pub(super) async fn stopped(mut stop: Stop) {
    // An error means that the sender is gone: that is a stop as well.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// Sets a header, unless the value cannot be one.
pub(super) fn set_header<B>(response: &mut http::Response<B>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The text with the characters escaped that XML reserves.
pub(super) fn escape_xml(text: &str) -> String {
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

/// An answer with a status, headers and a body.
pub(super) fn respond(status: http::StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = status;
    set_header(&mut response, "content-type", content_type);
    response
}
