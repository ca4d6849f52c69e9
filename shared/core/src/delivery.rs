//! Delivery: putting new events into customers' buckets. Each event is delivered exactly once, even if its delivery is
//! attempted several times.
//!
//! - [`queue`]: the port to the queue between planning and shipping
//! - [`plan`]: which destinations are due at a tick
//! - [`ship`]: delivering the new events of one destination
//! - [`maintenance`]: the daily maintenance
//! - [`setup`]: what a customer sets up in AWS, ready to paste

mod checkpoint;
mod load;
pub mod maintenance;
pub mod plan;
pub mod queue;
mod run;
pub mod setup;
pub mod ship;

use sha2::{Digest as _, Sha256};

use crate::{
    destination::{Compression, Destination, KeyLayout, Replay},
    entropy::BASE36,
    time::Timestamp,
};

/// Returns the key of the object with the events `first` to `last` whose delivery began at `at`: the destination's
/// prefix, `YYYY-MM/DD/YYYY-MM-DDTHH-mm-ss-SSSZ-`, a suffix of eight letters and digits, and `.json` (WireMock Cloud's
/// layout). The Hive layout has `dt=YYYY-MM-DD/hour=HH/` instead of month and day. The keys of a replay are below
/// `replay/` and its id.
///
/// The suffix is derived from the content, so that two deliveries that begin in the same millisecond differ.
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
    let extension = match settings.compression {
        Compression::None => "json",
        Compression::Gzip => "json.gz",
    };
    format!("{}{replay}{folder}/{time}-{suffix}.{extension}", settings.prefix.as_str())
}
