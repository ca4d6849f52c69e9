//! Records events in Annals from a Rust service, in the background: the client batches and retries, and never blocks or
//! fails its host.
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
//! // From any task or thread. This never waits.
//! let renamed = Event::new("UPDATE", Entity::new("m1", "Payments", "MOCK_API"), Entity::new("7", "Ada", "USER"))
//!     .before(json!({"name": "Pay"}))
//!     .after(json!({"name": "Payments"}));
//! audit.record(&renamed)?;
//!
//! // If the event must be in the log before the caller goes on.
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
//! # Guarantees
//! - **Order**: events reach the log in the order of the calls that recorded them. The client sends one request at a time,
//!   and retries a failed one before it sends the next. Only events that the server rejects are left out.
//! - **Exactly once**: each batch has an idempotency key, and every retry sends the same bytes under the same key. So an
//!   event is in the log once even if a response was lost. The server remembers keys for 24 hours: an event can be in the
//!   log twice only if the server is unreachable for that long after a request whose response was lost. A
//!   [`Builder::max_age`] below 24 hours rules that out.
//! - **Bounded memory**: if the server accepts nothing, the client keeps up to [`Builder::buffer_max_events`] events and
//!   [`Builder::buffer_max_bytes`] bytes and retries forever. Then it [refuses](Refused::Full) new events. The buffer is in
//!   memory only: its events are lost if the process is killed. For events that must not be lost, await
//!   [`AuditLog::record_durably`].
//! - **No silent loss**: the [`Observer`] is told of each event that was accepted and is not delivered, and [`Stats`] count
//!   it.
//!
//! # Failures
//! | the server | the client |
//! |---|---|
//! | cannot be reached, times out, or returns 408, 425, 429, 5xx | retries after a random delay below a limit that doubles from 100 ms to [`Builder::retry_delay_max`] (30 s), and never before `Retry-After` |
//! | returns 401, 403, or a response that Annals never returns (404, a redirect, a web page) | retries in the same way, with a limit from 1 s to 60 s: an operator can rotate the token or correct the configuration while events are kept. [`AuditLog::status`] has the error; [`AuditLog::set_token`] retries at once |
//! | rejects individual events of a batch (400, 422) | gives up these events and sends the others under a new key |
//! | has seen the key with other events (422) | sends the batch under a new key: a duplicate is better than a loss |
//! | rejects a batch as a whole (413) | halves it, until the event that is the cause is alone |
//!
//! # Modules
//! - `event`: events, and the NDJSON line of each
//! - `buffer`: undelivered events, within bounds
//! - `sender`: the task that delivers; `response`: what a response means; `randomness`: keys and jitter
//! - `http`: requests, connections, the token
//! - `builder`, `audit_log`, `report`: the public API

#![warn(missing_docs)]

mod audit_log;
mod buffer;
mod builder;
mod event;
mod http;
mod randomness;
mod report;
mod response;
mod sender;

pub use audit_log::{Acknowledgement, AuditLog};
pub use builder::{Builder, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, StartError};
pub use event::{Entity, Event, MAX_EVENT_BYTES};
pub use http::InvalidToken;
pub use report::{DeliveryError, Fault, Loss, Observer, Receipt, Refused, ShutdownReport, Stats, Status, Undelivered};
