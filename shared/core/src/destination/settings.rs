//! The settings of a destination.

use std::str::FromStr;

use super::{
    names::{AccountId, KeyPrefix, Region},
    rendering::Rendering,
};

/// The compression of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Plain NDJSON.
    #[default]
    None,
    /// gzip. Keys end in `.gz`.
    Gzip,
}

impl Compression {
    pub const ALL: &'static [Self] = &[Self::None, Self::Gzip];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err("must be none or gzip"),
        }
    }
}

/// The folders in object keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyLayout {
    /// `YYYY-MM/DD/…`, the layout of WireMock Cloud.
    #[default]
    Wiremock,
    /// `dt=YYYY-MM-DD/hour=HH/…`, which Hive and Athena read as partitions: when the object was delivered.
    Hive,
    /// The same with the hour in which the events were recorded. No object has events of two hours.
    HiveRecorded,
}

impl KeyLayout {
    pub const ALL: &'static [Self] = &[Self::Wiremock, Self::Hive, Self::HiveRecorded];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wiremock => "wiremock",
            Self::Hive => "hive",
            Self::HiveRecorded => "hive-recorded",
        }
    }
}

impl FromStr for KeyLayout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wiremock" => Ok(Self::Wiremock),
            "hive" => Ok(Self::Hive),
            "hive-recorded" => Ok(Self::HiveRecorded),
            _ => Err("must be wiremock, hive or hive-recorded"),
        }
    }
}

/// The settings that the owner of a destination can change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub prefix: KeyPrefix,
    /// The bucket's region, given by the owner or learnt from S3. `None`: the region in which Annals runs.
    pub region: Option<Region>,
    pub compression: Compression,
    pub layout: KeyLayout,
    pub rendering: Rendering,
    /// The account that must own the bucket. `None`: the role's account. This keeps events out of a stranger's bucket that
    /// took the name of a deleted one.
    pub bucket_owner: Option<AccountId>,
}
