//! Delivery: putting new events into customers' buckets, each once, however often it is tried.
//!
//! - [`sink`]: the port to buckets and the roles that open them
//! - [`queue`]: the port to the queue between planning and shipping
//! - [`failure`]: what went wrong, in words that its customer can act on
//! - [`setup`]: what a customer sets up in its own account, ready to paste
//! - [`ship`]: planning a tick, and shipping one destination
//! - [`test_connection`]: the test of a destination

pub mod connection_test;
pub mod failure;
mod load;
pub mod queue;
pub mod setup;
pub mod ship;
pub mod sink;

use sha2::{Digest as _, Sha256};

use crate::{
    destination::{Compression, Destination, DestinationId, KeyLayout, Replay},
    entropy::BASE36,
    organisation::OrganisationId,
    time::Timestamp,
};

/// One object that was put into a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whose events it holds.
    pub organisation: OrganisationId,
    /// Where it was put.
    pub destination: DestinationId,
    /// The sequence of its first event.
    pub first: u64,
    /// The sequence of its last event.
    pub last: u64,
    /// Its key.
    pub key: String,
    /// The replay that it belongs to, where it is none of the regular deliveries.
    pub replay: Option<String>,
    /// What it holds. `None` where that is not known: the object was put by a try that nobody heard the end of, and some of
    /// its events have expired since, so that it cannot be told from what is left.
    pub content: Option<Content>,
    /// How long its oldest event had waited, in seconds.
    pub lag_seconds: u64,
    /// How many events were left to be delivered after it.
    pub lag_events: u64,
    /// When it was known to be there.
    pub delivered_at: Timestamp,
}

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// How many events.
    pub events: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// The key of the object with the events `first` to `last`, begun at `at`: behind the destination's prefix
/// `YYYY-MM/DD/YYYY-MM-DDTHH-mm-ss-SSSZ-`, a suffix of eight letters and digits, and `.json` (the layout of WireMock
/// Cloud); in the Hive layout `dt=YYYY-MM-DD/hour=HH/` instead of month and day. A replay's is below `replay/` and its id.
///
/// The suffix is derived from what the object holds, so that two deliveries begun in the same millisecond differ.
#[must_use]
pub fn object_key(destination: &Destination, replay: Option<&Replay>, at: Timestamp, first: u64, last: u64) -> String {
    let settings = &destination.settings;
    let replay = replay.map_or_else(String::new, |replay| format!("replay/{}/", replay.id));
    let identity = format!("{}/{}/{replay}{first}-{last}", destination.organisation, destination.id);
    let digest = Sha256::digest(identity.as_bytes());
    let suffix: String =
        digest.iter().take(8).map(|byte| char::from(BASE36[usize::from(*byte) % BASE36.len()])).collect();
    let (year, month, day) = at.date();
    let time = at.to_string().replace([':', '.'], "-");
    let folder = match settings.layout {
        KeyLayout::Wiremock => format!("{year:04}-{month:02}/{day:02}"),
        KeyLayout::Hive => format!("dt={year:04}-{month:02}-{day:02}/hour={}", &time[11..13]),
    };
    let ending = match settings.compression {
        Compression::None => "json",
        Compression::Gzip => "json.gz",
    };
    format!("{}{replay}{folder}/{time}-{suffix}.{ending}", settings.prefix.as_str())
}
