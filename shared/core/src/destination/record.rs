//! The record of one delivered object.

use std::ops::RangeInclusive;

use super::{BucketName, DestinationId};
use crate::{hash::LineHash, organisation::OrganisationId, time::Timestamp};

/// One object that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub organisation: OrganisationId,
    pub destination: DestinationId,
    /// 1, 2, 3, … per destination, replays included. `None` if an earlier version recorded it.
    pub number: Option<u64>,
    /// The sequence of its first event.
    pub first: u64,
    /// The sequence of its last event.
    pub last: u64,
    /// The hash of the line with the sequence `last`. `None` if that event expired before it was delivered, or if an
    /// earlier version recorded the delivery.
    pub last_hash: Option<LineHash>,
    /// The events from `first` to `last` that expired before they were delivered: ranges of sequences, both ends
    /// included, in order and apart. Empty if an earlier version recorded the delivery.
    pub expired: Vec<RangeInclusive<u64>>,
    /// The events between the delivery before and this one that were lost when the log's table was restored: both ends
    /// included, the last one `first - 1`.
    pub lost: Option<RangeInclusive<u64>>,
    /// The object's key, prefix included. Empty in a record that stands for deliveries whose own records were lost with the
    /// registry's table.
    pub key: String,
    /// The bucket. `None` if an earlier version recorded the delivery: the one that the destination had first.
    pub bucket: Option<BucketName>,
    /// The id of the replay that delivered it. `None` for a regular delivery.
    pub replay: Option<String>,
    /// Whether nothing but the refusal of a second put confirmed the delivery: an earlier attempt may have written the
    /// object, and its answer was lost. Annals cannot read the bucket, so the object may also be somebody else's. `false`
    /// if an earlier version recorded the delivery.
    pub already_there: bool,
    /// `None` if it is unknown.
    pub content: Option<Content>,
    /// The age of its oldest event at delivery, in seconds.
    pub lag_seconds: u64,
    /// The number of events that still waited for delivery afterwards.
    pub lag_events: u64,
    /// When the delivery was confirmed.
    pub delivered_at: Timestamp,
}

impl Delivery {
    /// Returns whether it stands for deliveries whose records were lost when the registry's table was restored.
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        self.key.is_empty()
    }
}

/// The content of a delivered object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The number of events.
    pub events: u64,
    /// The size as stored, in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes as stored, in hex.
    pub sha256: String,
}
