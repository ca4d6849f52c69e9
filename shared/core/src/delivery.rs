//! Delivery: putting new events into customers' buckets. Each event is delivered exactly once, even if its delivery is
//! attempted several times.
//!
//! - `claims`: which proven destinations deliver to a bucket and use a role
//! - [`queue`]: the port to the queue between planning and shipping
//! - [`plan`]: which destinations are due at a tick
//! - [`ship`]: delivering the new events of one destination
//! - `suspicion`: telling our own fault from many customers'
//! - `guard`: finding destinations that planning takes for idle ones
//! - [`maintenance`]: the daily maintenance
//! - `moving`: changing the bucket, the role or the prefix of a destination
//! - [`restore`]: continuing after tables were restored to an earlier copy
//! - [`setup`]: what a customer sets up in AWS, ready to paste
//! - [`query`]: the statements with which a customer queries what was delivered

mod checkpoint;
pub(crate) mod claims;
mod guard;
mod load;
pub mod maintenance;
pub(crate) mod moving;
pub mod plan;
pub mod query;
pub mod queue;
pub mod restore;
mod run;
pub mod setup;
pub mod ship;
mod suspicion;

use crate::{
    destination::{Compression, Destination, KeyLayout, Replay},
    entropy::{self, BASE36, Entropy},
    time::Timestamp,
};

/// The random end of an object's key: eight lower case letters and digits. Nobody can know a key before the put is sent,
/// so nobody can put an object there first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySuffix(String);

impl KeySuffix {
    const LENGTH: usize = 8;

    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(entropy::characters(entropy, BASE36, Self::LENGTH))
    }

    /// Returns `key`, which [`object_key`] made, with this suffix instead of its own.
    #[must_use]
    pub fn replace_in(&self, key: &str) -> String {
        let (start, end) = key.rsplit_once('-').unwrap_or((key, ""));
        let (_, extension) = end.split_once('.').unwrap_or_default();
        format!("{start}-{}.{extension}", self.0)
    }
}

/// Returns the key of an object whose delivery began at `at`: the destination's prefix,
/// `YYYY-MM/DD/YYYY-MM-DDTHH-mm-ss-SSSZ-`, `suffix`, and `.json` (WireMock Cloud's layout). The Hive layout has
/// `dt=YYYY-MM-DD/hour=HH/` instead of month and day, and in [`KeyLayout::HiveRecorded`] `at` is when the first event was
/// recorded. The keys of a replay are below `replay/` and its id. Compressed
/// objects end in `.json.gz`.
#[must_use]
pub fn object_key(destination: &Destination, replay: Option<&Replay>, at: Timestamp, suffix: &KeySuffix) -> String {
    let settings = &destination.settings;
    let replay = replay.map_or_else(String::new, |replay| format!("replay/{}/", replay.id));
    let (year, month, day) = at.date();
    let time = at.to_string().replace([':', '.'], "-");
    let folder = match settings.layout {
        KeyLayout::Wiremock => format!("{year:04}-{month:02}/{day:02}"),
        KeyLayout::Hive | KeyLayout::HiveRecorded => format!("dt={year:04}-{month:02}-{day:02}/hour={}", &time[11..13]),
    };
    let extension = match settings.compression {
        Compression::None => "json",
        Compression::Gzip => "json.gz",
    };
    format!("{}{replay}{folder}/{time}-{}.{extension}", settings.prefix.as_str(), suffix.0)
}
