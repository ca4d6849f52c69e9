//! Delivery: putting new events into customers' buckets, each once, however often it is tried.
//!
//! - [`sink`]: the port to buckets and the roles that open them
//! - [`queue`]: the port to the queue between planning and shipping
//! - [`failure`]: what went wrong, in words that its customer can act on
//! - [`ship`]: planning a tick, and shipping one destination
//! - [`try_out`]: the test of a destination

pub mod failure;
pub mod queue;
pub mod ship;
pub mod sink;
pub mod try_out;

use sha2::{Digest as _, Sha256};

use crate::{
    destination::{Destination, DestinationId},
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
    /// How many events it holds.
    pub events: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    /// When it was known to be there.
    pub delivered_at: Timestamp,
}

/// The key of the object with the events `first` to `last`, begun at `at`: `YYYY-MM/DD/YYYY-MM-DDTHH-mm-ss-SSSZ-` and a
/// suffix of eight letters and digits, behind the destination's prefix (the layout of WireMock Cloud).
///
/// The suffix is derived from what the object holds, so that two deliveries begun in the same millisecond differ.
#[must_use]
pub fn object_key(destination: &Destination, at: Timestamp, first: u64, last: u64) -> String {
    let identity = format!("{}/{}/{first}-{last}", destination.organisation, destination.id);
    let digest = Sha256::digest(identity.as_bytes());
    let suffix: String =
        digest.iter().take(8).map(|byte| char::from(BASE36[usize::from(*byte) % BASE36.len()])).collect();
    let (year, month, day) = at.date();
    let time = at.to_string().replace([':', '.'], "-");
    format!("{}{year:04}-{month:02}/{day:02}/{time}-{suffix}.json", destination.prefix.as_str())
}
