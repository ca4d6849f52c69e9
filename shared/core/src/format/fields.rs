//! The fields of a line, borrowed from its text, for the formats that take it apart. Owns no decision: what is missing,
//! or is of another type than it should be, reads as absent, because some parts of an event are any object at all.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{log::segment::Line, time::Timestamp};

/// A string; empty where there is none.
#[derive(Debug, Default, Clone)]
pub(super) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The text, where there is one that is not blank.
    pub(super) fn given(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.trim().is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
        let value = <&'a RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str::<Borrowed<'a>>(value.get()).ok().map(|text| text.0)))
    }
}

/// An entity, a principal or an organisation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Thing<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) entity_type: Text<'a>,
    #[serde(borrow)]
    pub(super) email: Text<'a>,
}

/// The members of `context` that have a meaning.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Context<'a> {
    #[serde(borrow)]
    pub(super) ip_address: Text<'a>,
    #[serde(borrow)]
    pub(super) user_agent: Text<'a>,
    #[serde(borrow)]
    pub(super) request_id: Text<'a>,
}

/// The members of `payload` that describe an HTTP call, as PactFlow has them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) method: Text<'a>,
    #[serde(borrow)]
    pub(super) path: Text<'a>,
    #[serde(borrow)]
    pub(super) query_string: Text<'a>,
    #[serde(borrow)]
    pub(super) user_agent: Text<'a>,
    #[serde(borrow)]
    pub(super) referer: Text<'a>,
    /// Not PactFlow's: what a test of a destination found.
    #[serde(borrow)]
    pub(super) outcome: Text<'a>,
}

/// What a line says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) previous_hash: Text<'a>,
    #[serde(borrow)]
    pub(super) organisation: Thing<'a>,
    #[serde(borrow)]
    pub(super) action: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) entity: Thing<'a>,
    #[serde(borrow)]
    pub(super) principal: Thing<'a>,
    #[serde(borrow)]
    pub(super) parent_entity: Option<Thing<'a>>,
    #[serde(borrow)]
    pub(super) subject: Option<Thing<'a>>,
    #[serde(borrow)]
    pub(super) permission: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) after: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) client_type: Text<'a>,
    #[serde(borrow)]
    pub(super) occurred_at: Text<'a>,
    #[serde(borrow)]
    pub(super) context: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(line: &'a Line) -> Self {
        serde_json::from_str(&line.text).unwrap_or_default()
    }

    pub(super) fn context(&self) -> Context<'a> {
        self.context.and_then(|context| serde_json::from_str(context.get()).ok()).unwrap_or_default()
    }

    pub(super) fn call(&self) -> Call<'a> {
        self.payload.and_then(|payload| serde_json::from_str(payload.get()).ok()).unwrap_or_default()
    }

    /// When it happened: as the producer has it, else when it was recorded.
    pub(super) fn happened_at(&self, line: &Line) -> Timestamp {
        Timestamp::parse(self.occurred_at.as_str()).unwrap_or(line.recorded_at)
    }
}
