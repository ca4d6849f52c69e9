//! What a client tells its host: what became of events, how it fares, and how to be told.

use tokio::time::Instant;

/// Why an event was not taken. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The buffer has no room: the server takes less than is recorded, or nothing at all.
    #[error("the buffer is full")]
    Full,
    /// The client was shut down, or its runtime has ended.
    #[error("the client is shut down")]
    ShutDown,
    /// It is larger than [`MAX_EVENT_BYTES`](crate::MAX_EVENT_BYTES).
    #[error("the event is larger than {} bytes", crate::MAX_EVENT_BYTES)]
    TooLarge,
    /// It serialises to something that is no JSON object.
    #[error("an event must be a JSON object")]
    NotAnObject,
    /// It cannot be serialised.
    #[error("the event cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

/// Where an event is in the organisation's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Its id, a UUID.
    pub event_id: String,
    /// The same in 22 characters.
    pub uuid: String,
    /// Its number in the log.
    pub sequence: u64,
}

/// What the server found wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON Pointer into the event; the empty one is the whole event.
    pub pointer: String,
    /// What is wrong, as the rest of a sentence that begins with the place.
    pub detail: String,
}

/// Why an event that was taken will not be delivered.
///
/// `in_doubt` is true where a request with the event was sent and its answer never came: it may have been recorded all
/// the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The server will never take it.
    #[error("the server rejected the event{}", first(.0))]
    Rejected(Vec<Fault>),
    /// It could not be delivered within the maximum age.
    #[error("the event could not be delivered in time")]
    TooOld {
        /// Whether it may have been recorded.
        in_doubt: bool,
    },
    /// The client, or its runtime, ended before it was delivered.
    #[error("the client ended before the event was delivered")]
    Ended {
        /// Whether it may have been recorded.
        in_doubt: bool,
    },
}

fn first(faults: &[Fault]) -> String {
    faults.first().map_or_else(String::new, |fault| format!(": {} {}", fault.pointer, fault.detail))
}

/// Counters since the start. `recorded` = `delivered` + `rejected` + `dropped` + `buffered_events`, at any moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that were taken.
    pub recorded: u64,
    /// Events that were not taken: see [`Refused`].
    pub refused: u64,
    /// Events that the server acknowledged.
    pub delivered: u64,
    /// Events that the server will never take.
    pub rejected: u64,
    /// Events that were taken and then given up.
    pub dropped: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Events that wait, or are under way.
    pub buffered_events: usize,
    /// Their bytes.
    pub buffered_bytes: usize,
}

/// How delivery fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Status {
    /// The last request, if there was one, was answered as it should be.
    #[default]
    Working,
    /// Nothing is delivered at present; events are kept and tried again.
    Failing {
        /// Since when.
        since: Instant,
        /// The latest cause.
        trouble: Trouble,
    },
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// There was no connection, or it broke.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The answer did not come in time.
    #[error("no answer in time")]
    TimedOut,
    /// The server asks for fewer requests.
    #[error("throttled (status 429)")]
    Throttled,
    /// The server failed.
    #[error("the server failed (status {0})")]
    Server(u16),
    /// The token is not valid, or not allowed to record.
    #[error("the token was refused (status {status}): {detail}")]
    Token {
        /// The HTTP status.
        status: u16,
        /// What the server says about it.
        detail: String,
    },
    /// The URL, the organisation or something in between is not as it should be.
    #[error("unexpected answer (status {status}): {detail}")]
    Setup {
        /// The HTTP status.
        status: u16,
        /// What the server says about it.
        detail: String,
    },
}

impl Trouble {
    /// Whether somebody has to change something before it can work again.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        matches!(self, Self::Token { .. } | Self::Setup { .. })
    }
}

/// Is told what happens in the background. It is called from the task that delivers, so it should return soon; if it
/// panics, only that call is lost.
///
/// A closure `|event: &str, loss: &Loss| …` is an observer.
pub trait Observer: Send + Sync + 'static {
    /// `event`, as JSON, was taken and will not be delivered. What is refused at once is not told here: its caller knows.
    fn lost(&self, event: &str, loss: &Loss);

    /// Delivery began to fail, or works again.
    fn status_changed(&self, _status: &Status) {}
}

impl<F: Fn(&str, &Loss) + Send + Sync + 'static> Observer for F {
    fn lost(&self, event: &str, loss: &Loss) {
        self(event, loss);
    }
}

/// What was left when a client was shut down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "what is in it was not delivered"]
pub struct ShutdownReport {
    /// What was not delivered, oldest first.
    pub undelivered: Vec<Undelivered>,
}

/// An event that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The event, as JSON.
    pub event: String,
    /// Whether it may have been recorded all the same: a request with it was sent and its answer never came.
    pub in_doubt: bool,
}
