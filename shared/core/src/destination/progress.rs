//! How far delivery to a destination has come, and what it is doing now.

use std::ops::RangeInclusive;

use super::{KeyPrefix, failure::Failure, rendering::Rendering, settings::Compression};
use crate::{hash::LineHash, time::Timestamp, usage::DeliveredMonths};

/// Events that are delivered once more, on request, under keys of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The id, which is part of the keys.
    pub id: String,
    /// The sequence to deliver next.
    pub next: u64,
    /// The sequence of the last event.
    pub last: u64,
    /// When the replay was requested: the time in its keys.
    pub started_at: Timestamp,
    /// The object that has begun and is not finished.
    pub intent: Option<Intent>,
}

/// The intent to deliver one object: exactly these events under this key, even after a crash or a change of the
/// settings. The key changes only as long as no put can have written the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The sequence of the first event.
    pub first: u64,
    /// The sequence of the last event.
    pub last: u64,
    /// The object's key, prefix included.
    pub key: String,
    /// Whether a put of this key may have been sent. It is stored before the put is sent. Intents of earlier versions
    /// count as attempted.
    pub attempted: bool,
    /// The prefix in force at the beginning. The session that finishes the delivery is limited to it.
    pub prefix: KeyPrefix,
    pub compression: Compression,
    pub rendering: Rendering,
    /// The events that are recorded as expired: ranges of sequences, both ends included.
    pub expired: Vec<RangeInclusive<u64>>,
    /// When a run took it on, which has not told how its put ended. `None`: no run is at work on it.
    pub taken_at: Option<Timestamp>,
}

/// The result of delivery so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// When an object was last delivered.
    pub last_success: Option<Timestamp>,
    /// Set if the last attempt failed.
    pub failing: Option<Failing>,
    pub lost: Option<Lost>,
    /// The hash of the line before [`Destination::next_sequence`](super::Destination::next_sequence), as it was delivered.
    /// The log must still have that line. `None` if it was not delivered, or if an earlier version delivered it.
    pub last_hash: Option<LineHash>,
    /// The lag of events recorded before this time counts from this time on, because they waited for a reason outside
    /// Annals, such as a pause or a bucket that refused. `None`: lag counts from the recording of each event.
    pub lag_from: Option<Timestamp>,
    /// What was delivered, for the record of usage.
    pub delivered: DeliveredMonths,
}

impl Progress {
    /// Returns what was delivered, as far as it is known.
    #[must_use]
    pub fn usage(&self) -> DeliveredMonths {
        if self.delivered.is_empty() {
            // A release that did not count made these deliveries.
            DeliveredMonths::default().with_unknown_until(self.last_success)
        } else {
            self.delivered.clone()
        }
    }
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The number of such events since the destination was created.
    pub events: u64,
    /// The sequences of the last such range, both ends included.
    pub last: RangeInclusive<u64>,
    pub noticed_at: Timestamp,
}

/// A delivery that keeps failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Why the last attempt failed.
    pub failure: Failure,
    /// The time of the first failure in a row.
    pub since: Timestamp,
    /// The number of failures in a row.
    pub attempts: u32,
    /// The earliest time of the next attempt.
    pub retry_at: Timestamp,
}
