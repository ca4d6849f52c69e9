//! The handle that a host records with. It only puts events in the buffer and asks; the sender does the work.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{
    buffer::Buffer,
    builder::Builder,
    event::Line,
    http::{InvalidToken, Token},
    report::{Loss, Receipt, Refused, ShutdownReport, Stats, Status},
};

/// Records events in the audit log of one organisation. Clones are cheap and are the same client.
///
/// When the last clone is dropped without [`shutdown`](Self::shutdown), what is buffered is still delivered for as long as
/// the runtime lives, however often that must be tried; then the client's task ends.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    buffer: Arc<Buffer>,
    token: Token,
    status: Arc<watch::Sender<Status>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.buffer.close(None);
    }
}

impl AuditLog {
    /// Sets up a client of the service at `url`. The token is a producer's of the organisation, or the platform's; with the
    /// latter name the [organisation](Builder::organisation).
    pub fn builder(url: &str, token: &str) -> Builder {
        Builder::new(url, token)
    }

    pub(crate) fn new(buffer: Arc<Buffer>, token: Token, status: Arc<watch::Sender<Status>>) -> Self {
        Self(Arc::new(Handle { buffer, token, status }))
    }

    /// Takes an event for delivery: an [`Event`](crate::Event), or anything else that serialises to the JSON object of one.
    /// Never waits: it writes the JSON and puts it in a buffer. The order of calls is the order in the log.
    ///
    /// # Errors
    /// Where the event was not taken: there is no room, it is too large or no JSON object, or the client was shut down.
    pub fn record(&self, event: impl Serialize) -> Result<(), Refused> {
        self.0.buffer.push(Line::of(&event), None)
    }

    /// As [`record`](Self::record), for who needs to know that it is in the log, and where. The event is taken by the call
    /// itself and delivered whether or not the future is awaited. It does not linger: it is sent with what is buffered as
    /// soon as the request before it is answered, so that many who wait at once still share batches.
    ///
    /// # Errors
    /// As with `record`. The future's error says why the event will not be in the log.
    pub fn record_durably(&self, event: impl Serialize) -> Result<Acknowledgement, Refused> {
        let (sender, receiver) = oneshot::channel();
        self.0.buffer.push(Line::of(&event), Some(sender))?;
        Ok(Acknowledgement(receiver))
    }

    /// Uses another token from the next attempt on, in all clients of this one's builder. If requests fail at present, the
    /// next attempt is made at once.
    ///
    /// # Errors
    /// Where it cannot be a token; the one before stays.
    pub fn set_token(&self, token: &str) -> Result<(), InvalidToken> {
        self.0.token.set(token)
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.buffer.stats()
    }

    /// How delivery fares.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// Returns when all that was recorded before is delivered, rejected or given up. It does not linger, but waits as long
    /// as it takes: `tokio::time::timeout` bounds it.
    pub async fn flush(&self) {
        self.0.buffer.flush().await;
    }

    /// Takes no more events, delivers what is buffered without lingering, for `grace` at most, and ends. If requests fail
    /// at present, the next attempt is made at once, and pauses begin small again.
    ///
    /// The report holds what was not delivered, so that it can be kept elsewhere. Of several calls the earliest deadline
    /// stands, and one gets the report.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.0.buffer.close(Instant::now().checked_add(grace));
        self.0.buffer.ended().await
    }
}

/// Waits for the server's acknowledgement of one event.
#[derive(Debug)]
#[must_use = "the event is delivered without it, but nobody learns whether it was"]
pub struct Acknowledgement(oneshot::Receiver<Result<Receipt, Loss>>);

impl Future for Acknowledgement {
    type Output = Result<Receipt, Loss>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        // The sender answers everybody, also when it is dropped.
        answer.map(|answer| answer.unwrap_or(Err(Loss::Ended { in_doubt: true })))
    }
}
