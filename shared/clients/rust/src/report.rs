//! What a client reports to its host: what became of events, and whether delivery works.

use tokio::time::Instant;

/// Why an event was not accepted. The client keeps nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The buffer is full: the server accepts events more slowly than they are recorded, or not at all.
    #[error("the buffer is full")]
    Full,
    /// The client was shut down, or its runtime ended.
    #[error("the client is shut down")]
    ShutDown,
    /// The event is larger than [`MAX_EVENT_BYTES`](crate::MAX_EVENT_BYTES).
    #[error("the event is larger than {} bytes", crate::MAX_EVENT_BYTES)]
    TooLarge,
    /// The event serialises to something other than a JSON object.
    #[error("an event must be a JSON object")]
    NotAnObject,
    /// The event cannot be serialised.
    #[error("the event cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

/// The position of an event in the organisation's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The event's id, a UUID.
    pub event_id: String,
    /// The same id in 22 characters.
    pub uuid: String,
    /// The event's number in the log, from 1.
    pub sequence: u64,
}

/// What the server found wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON Pointer into the event. An empty pointer means the whole event.
    pub pointer: String,
    /// What is wrong, as a phrase that follows the pointer: `must not be empty`.
    pub detail: String,
}

/// Why an event that was accepted will not be delivered.
///
/// `in_doubt` is true if a request with the event was sent and its response was lost: the event may be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The server rejected the event. It would do so again.
    #[error("the server rejected the event{}", first(.0))]
    Rejected(Vec<Fault>),
    /// The event could not be delivered within [`Builder::max_age`](crate::Builder::max_age).
    #[error("the event could not be delivered in time")]
    TooOld {
        /// Whether the event may be in the log.
        in_doubt: bool,
    },
    /// The client or its runtime ended before the event was delivered.
    #[error("the client ended before the event was delivered")]
    Ended {
        /// Whether the event may be in the log.
        in_doubt: bool,
    },
}

fn first(faults: &[Fault]) -> String {
    faults.first().map_or_else(String::new, |fault| format!(": {} {}", fault.pointer, fault.detail))
}

/// Counters since the start. At any moment, `recorded` = `delivered` + `rejected` + `dropped` + `buffered_events`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Accepted events.
    pub recorded: u64,
    /// Events that were not accepted, see [`Refused`].
    pub refused: u64,
    /// Events that the server recorded.
    pub delivered: u64,
    /// Events that the server rejected.
    pub rejected: u64,
    /// Events that were accepted and given up without a rejection.
    pub dropped: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Events that wait or are in flight.
    pub buffered_events: usize,
    /// The bytes of these events, as JSON.
    pub buffered_bytes: usize,
}

/// Whether delivery works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Status {
    /// The last request succeeded, or there was none yet.
    #[default]
    Working,
    /// Requests are failing. The client keeps events and retries.
    Failing {
        /// When the first of these requests failed.
        since: Instant,
        /// The error of the last request.
        error: DeliveryError,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The connection failed or broke; the reason.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// There was no response in time.
    #[error("no response in time")]
    TimedOut,
    /// The server asked for fewer requests.
    #[error("throttled (status 429)")]
    Throttled,
    /// The server failed with this status.
    #[error("the server failed (status {0})")]
    Server(u16),
    /// The token is invalid, or its role is not `producer`.
    #[error("the token was refused (status {status}): {detail}")]
    Token {
        /// The HTTP status.
        status: u16,
        /// The server's explanation.
        detail: String,
    },
    /// The URL or the organisation is wrong, or a proxy responded.
    #[error("unexpected response (status {status}): {detail}")]
    Configuration {
        /// The HTTP status.
        status: u16,
        /// The server's explanation.
        detail: String,
    },
}

impl DeliveryError {
    /// Returns whether somebody must change the token or the configuration before delivery can work again.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        matches!(self, Self::Token { .. } | Self::Configuration { .. })
    }
}

/// Receives what happens in the background. The delivering task calls it, so it should return quickly. If it panics, only
/// that call is lost.
///
/// A closure `|event: &str, loss: &Loss| …` is an observer.
pub trait Observer: Send + Sync + 'static {
    /// Called for each event, as JSON, that was accepted and will not be delivered. Not called for events that
    /// [`record`](crate::AuditLog::record) refused: its caller knows.
    fn lost(&self, event: &str, loss: &Loss);

    /// Called when delivery begins to fail, and when it works again. Does nothing by default.
    fn status_changed(&self, _status: &Status) {}
}

impl<F: Fn(&str, &Loss) + Send + Sync + 'static> Observer for F {
    fn lost(&self, event: &str, loss: &Loss) {
        self(event, loss);
    }
}

/// The result of a shutdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "its events were not delivered"]
pub struct ShutdownReport {
    /// The events that were not delivered, oldest first.
    pub undelivered: Vec<Undelivered>,
}

/// An event that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The event, as JSON.
    pub event: String,
    /// Whether the event may be in the log: a request with it was sent and its response was lost.
    pub in_doubt: bool,
}
