//! Recording events in Annals from a Rust service: a client that batches, retries, and never holds up or fails its host.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use annals_client::{AuditLog, Entity, Event, Loss};
//! use serde_json::json;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let audit = AuditLog::builder("https://audit.example.com", &std::env::var("ANNALS_TOKEN")?)
//!     .observer(|event: &str, loss: &Loss| eprintln!("not in the audit log: {loss}: {event}"))
//!     .start()?;
//!
//! // Anywhere, from any task or thread. It never waits.
//! let renamed = Event::new("UPDATE", Entity::new("m1", "Payments", "MOCK_API"), Entity::new("7", "Ada", "USER"))
//!     .before(json!({"name": "Pay"}))
//!     .after(json!({"name": "Payments"}));
//! audit.record(&renamed)?;
//!
//! // Where the caller must know that it is in the log before it goes on.
//! let receipt = audit.record_durably(&renamed)?.await?;
//! println!("number {} in the log", receipt.sequence);
//!
//! // At the end of the process.
//! let report = audit.shutdown(Duration::from_secs(10)).await;
//! for left in report.undelivered {
//!     eprintln!("{}", left.event);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - **Order**: events reach the log in the order of the calls that recorded them. One request is under way at a time, and
//!   no later event overtakes one that is tried again: all wait behind it. Only one that the server rejects is left out.
//! - **Once**: every batch has an idempotency key and is repeated byte by byte under it. So an event is in the log once,
//!   also where the answer to its request was lost, unless the server is out of reach for 24 hours behind that request: so
//!   long it remembers keys. A [`Builder::max_age`] below that rules it out.
//! - **Bounded memory**: where the server takes nothing, events are kept up to [`Builder::buffer_max_events`] and
//!   [`Builder::buffer_max_bytes`] and tried again for ever; then new ones are [refused](Refused::Full). A buffer is memory:
//!   what is in it when the process is killed is lost. [`AuditLog::record_durably`] is for events that must not be.
//! - **Nothing silent**: an event that was taken and is not delivered is told to the [`Observer`], and counted in [`Stats`].
//!
//! # What happens when
//! | the server | the client |
//! |---|---|
//! | cannot be reached, hangs, or answers 408, 425, 429, 5xx | tries again: random pauses below a bound that doubles from 100 ms to 30 s, and never before `Retry-After` |
//! | answers 401, 403, or as Annals never does (404, a redirect, a page) | tries again likewise, from 1 s to 60 s: tokens are rotated and set-ups mended, and events are worth keeping until then. [`AuditLog::status`] tells the cause, [`AuditLog::set_token`] tries at once |
//! | rejects events of a batch by name (400, 422) | gives up those, sends the rest under a new key |
//! | knows the key for other events (422) | sends the batch under a new key: rather twice than never |
//! | rejects a batch as a whole (413) | halves it, down to the event that is the cause |
//!
//! # The modules
//! - `event`: events, and the line of NDJSON that each becomes
//! - `buffer`: what is not delivered yet, bounded
//! - `sender`: the task that delivers; `answer`: what an answer means; `chance`: keys and jitter
//! - `http`: requests, connections, the token
//! - `builder`, `audit_log`, `report`: what the host sees

#![warn(missing_docs)]

mod answer;
mod audit_log;
mod buffer;
mod builder;
mod chance;
mod event;
mod http;
mod report;
mod sender;

pub use audit_log::{Acknowledgement, AuditLog};
pub use builder::{Builder, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, StartError};
pub use event::{Entity, Event, MAX_EVENT_BYTES};
pub use http::InvalidToken;
pub use report::{Fault, Loss, Observer, Receipt, Refused, ShutdownReport, Stats, Status, Trouble, Undelivered};
