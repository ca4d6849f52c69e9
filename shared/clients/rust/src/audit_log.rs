//! The handle that the host records events with. It only adds events to the buffer; the sender delivers them.

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
    event::Line,
    http::{InvalidToken, Token},
    report::{Loss, Receipt, Refused, ShutdownReport, Stats, Status},
};

/// Records events in the audit log of one organisation. Clones are cheap and share one client.
///
/// If the last clone is dropped without [`shutdown`](Self::shutdown), the client still delivers the buffered events, with as
/// many retries as necessary, as long as the runtime runs. Then its task ends.
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
    pub(crate) fn new(buffer: Arc<Buffer>, token: Token, status: Arc<watch::Sender<Status>>) -> Self {
        Self(Arc::new(Handle { buffer, token, status }))
    }

    /// Accepts an event for delivery: an [`Event`](crate::Event), or anything else that serialises to the same JSON object.
    /// Returns at once: it serialises the event and adds it to the buffer. The order of calls is the order in the log.
    ///
    /// ```no_run
    /// # fn record(audit: annals_client::AuditLog) -> Result<(), annals_client::Refused> {
    /// use annals_client::{Entity, Event};
    ///
    /// audit.record(Event::new("LOGIN", Entity::new("7", "Ada", "USER"), Entity::new("7", "Ada", "USER")))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the event was not accepted: the buffer is full, the event is too large or is not a JSON object, or
    /// the client was shut down.
    pub fn record(&self, event: impl Serialize) -> Result<(), Refused> {
        self.0.buffer.push(Line::of(&event), None)
    }

    /// Accepts an event like [`record`](Self::record), and returns a future that resolves when the event is in the log. The
    /// call itself accepts the event: it is delivered even if the future is dropped.
    ///
    /// The event does not wait for the [linger time](crate::Builder::linger). It is sent with all buffered events as soon as the
    /// previous request is complete, so concurrent callers still share batches.
    ///
    /// # Errors
    /// Returns an error in the same cases as `record`. The future returns an error if the event will not be in the log.
    pub fn record_durably(&self, event: impl Serialize) -> Result<Acknowledgement, Refused> {
        let (sender, receiver) = oneshot::channel();
        self.0.buffer.push(Line::of(&event), Some(sender))?;
        Ok(Acknowledgement(receiver))
    }

    /// Replaces the token from the next request on, in all clients of the same builder. If requests are failing, the client
    /// retries at once.
    ///
    /// # Errors
    /// Returns an error if the text cannot be a token. The previous token stays in use.
    pub fn set_token(&self, token: &str) -> Result<(), InvalidToken> {
        self.0.token.set(token)
    }

    /// Returns counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.buffer.stats()
    }

    /// Returns whether delivery works.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// Waits until all events recorded before are delivered, rejected or given up. They do not wait for the linger time. There
    /// is no timeout: use `tokio::time::timeout`.
    pub async fn flush(&self) {
        self.0.buffer.flush().await;
    }

    /// Refuses further events, delivers the buffered ones for at most `grace`, and ends. If requests are failing, the client
    /// retries at once, and its delays start from the smallest again.
    ///
    /// The report contains the events that were not delivered, so that the host can store them elsewhere. If there are several
    /// calls, the earliest deadline applies and one of the calls gets the report.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.0.buffer.close(Instant::now().checked_add(grace));
        self.0.buffer.ended().await
    }
}

/// Resolves when the server has recorded one event, or when the client gives it up.
#[derive(Debug)]
#[must_use = "the event is delivered even if this is dropped, but only this reports whether it was"]
pub struct Acknowledgement(oneshot::Receiver<Result<Receipt, Loss>>);

impl Future for Acknowledgement {
    type Output = Result<Receipt, Loss>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(context);
        // A closed channel is unexpected: the sender sends a result for each event, even when it is dropped.
        result.map(|result| result.unwrap_or(Err(Loss::Ended { in_doubt: true })))
    }
}
