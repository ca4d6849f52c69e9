//! How the events in an object are written.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The format of the events in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// The lines of the log.
    #[default]
    Native,
    /// OCSF events, each with its line in `raw_data`.
    Ocsf,
    /// CloudEvents, each with its line in `data`.
    CloudEvents,
}

impl ObjectFormat {
    pub const ALL: &'static [Self] = &[Self::Native, Self::Ocsf, Self::CloudEvents];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ocsf => "ocsf",
            Self::CloudEvents => "cloudevents",
        }
    }
}

impl FromStr for ObjectFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.iter().find(|format| format.as_str() == text);
        named.copied().ok_or("must be native, ocsf or cloudevents")
    }
}

/// The shape of the JSON objects in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// As the format has it, with nested members.
    #[default]
    Native,
    /// A row: always the same columns, each of one type or `null`. What is nested is JSON text in one column.
    Flat,
}

impl Shape {
    pub const ALL: &'static [Self] = &[Self::Native, Self::Flat];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Flat => "flat",
        }
    }
}

impl FromStr for Shape {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.iter().find(|shape| shape.as_str() == text);
        named.copied().ok_or("must be native or flat")
    }
}

/// The format and the shape of the events in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rendering {
    pub format: ObjectFormat,
    pub shape: Shape,
}

impl Rendering {
    /// Returns whether the events are the lines of the log.
    #[must_use]
    pub fn is_native(self) -> bool {
        self == Self::default()
    }

    /// Returns about how many times as large as its line an event is. An object ends earlier by that, so that memory holds
    /// no more than an object of lines.
    pub(crate) fn expansion(self) -> usize {
        match (self.format, self.shape) {
            (ObjectFormat::Native, Shape::Native) => 1,
            (ObjectFormat::Native, Shape::Flat) | (ObjectFormat::CloudEvents, _) => 2,
            (ObjectFormat::Ocsf, _) => 4,
        }
    }
}
