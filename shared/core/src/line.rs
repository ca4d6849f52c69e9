//! The known members of a line, borrowed from its text. Everything that interprets a line reads it here.
//!
//! Reading never fails. A member that is missing, or is of another type than expected, is absent. In a text that is not a
//! JSON object, or that contains a known member twice, every member is absent. The log accepts no such event, so only
//! free-form members such as `context` can be of unexpected types.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::BitOr};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{json::Key, log::segment::Line, recorded_by::RecordedBy, time::Timestamp};

/// A string, or absent.
#[derive(Debug, Default, Clone)]
pub struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// Returns the string, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the string; empty if absent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Returns the string unless it is absent or blank.
    #[must_use]
    pub fn not_blank(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.trim().is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Option<Cow<'a, str>>);
        or_absent::<D, Borrowed<'a>>(deserializer).map(|text| Self(text.0))
    }
}

/// A reference to an entity, a principal or an organisation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub entity_type: Text<'a>,
    #[serde(borrow)]
    pub email: Text<'a>,
}

/// The members of `context` that have a meaning.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context<'a> {
    #[serde(borrow)]
    pub ip_address: Text<'a>,
    #[serde(borrow)]
    pub user_agent: Text<'a>,
    #[serde(borrow)]
    pub request_id: Text<'a>,
}

/// The members of `payload` that describe an HTTP call in PactFlow's format.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Call<'a> {
    #[serde(borrow)]
    pub method: Text<'a>,
    #[serde(borrow)]
    pub path: Text<'a>,
    #[serde(borrow)]
    pub query_string: Text<'a>,
    #[serde(borrow)]
    pub user_agent: Text<'a>,
    #[serde(borrow)]
    pub referer: Text<'a>,
    /// The result of a connection test. PactFlow's format does not have it.
    #[serde(borrow)]
    pub outcome: Text<'a>,
}

/// The members of `payload` that tell how something went, in the shapes of known producers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record<'a> {
    #[serde(borrow)]
    outcome: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Text<'a>,
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, rename = "request_method")]
    request_method: Text<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    request: RequestOfRecord<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    details: DetailsOfRecord<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DetailsOfRecord<'a> {
    #[serde(borrow, deserialize_with = "or_absent")]
    request: RequestOfRecord<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestOfRecord<'a> {
    #[serde(borrow)]
    method: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutcomeOfRecord<'a> {
    #[serde(borrow)]
    result: Text<'a>,
}

/// The members of a line.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fields<'a> {
    #[serde(borrow)]
    pub previous_hash: Text<'a>,
    /// Absent in lines that were recorded before there was this field.
    #[serde(borrow)]
    pub recorded_by: Text<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    pub organisation: Reference<'a>,
    #[serde(borrow)]
    pub action: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    pub entity: Reference<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    pub principal: Reference<'a>,
    #[serde(borrow)]
    pub outcome: Text<'a>,
    #[serde(borrow)]
    pub reason: Text<'a>,
    #[serde(borrow, deserialize_with = "or_absent")]
    pub parent_entity: Option<Reference<'a>>,
    #[serde(borrow, deserialize_with = "or_absent")]
    pub subject: Option<Reference<'a>>,
    #[serde(borrow)]
    pub permission: Option<&'a RawValue>,
    #[serde(borrow)]
    pub before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub after: Option<&'a RawValue>,
    #[serde(borrow)]
    pub client_type: Text<'a>,
    #[serde(borrow)]
    pub occurred_at: Text<'a>,
    #[serde(borrow)]
    pub context: Option<&'a RawValue>,
    #[serde(borrow)]
    pub payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub metadata: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    #[must_use]
    pub fn of(line: &'a Line) -> Self {
        read(&line.text)
    }

    /// Reads only some members of an event: its line or its stored part. It reads no further than the last of them, and relies
    /// on what the log accepted: that no member is there twice.
    #[must_use]
    pub(crate) fn only(event: &'a str, wanted: Wanted) -> Self {
        let mut some = SomeFields { wanted, fields: Self::default() };
        if wanted != Wanted::NONE {
            // The rest of a text that is not read to its end counts as an error.
            let _ = serde_json::Deserializer::from_str(event).deserialize_map(&mut some);
        }
        some.fields
    }

    /// Returns whether the event is one of Annals' own. Only then do its type and its payload mean what they mean in
    /// Annals' own events: a producer may send the same.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.recorded_by.as_str() == RecordedBy::ANNALS
    }

    #[must_use]
    pub fn context(&self) -> Context<'a> {
        self.context.map(|context| read(context.get())).unwrap_or_default()
    }

    /// Returns whether `context` has no members but those named.
    #[must_use]
    pub fn context_has_only(&self, names: &[&str]) -> bool {
        let members = self.context.map(|context| read::<BTreeMap<Cow<'a, str>, IgnoredAny>>(context.get()));
        members.is_none_or(|members| members.keys().all(|name| names.contains(&&**name)))
    }

    /// Returns `payload` as the description of an HTTP call.
    #[must_use]
    pub fn call(&self) -> Call<'a> {
        self.payload.map(|payload| read(payload.get())).unwrap_or_default()
    }

    /// Returns the outcome that the payload states: `outcome`, or `outcome.result` as in Okta's system log.
    #[must_use]
    pub fn payload_outcome(&self) -> Text<'a> {
        let Some(outcome) = self.record().outcome else { return Text::default() };
        let text: Text<'a> = read(outcome.get());
        if text.0.is_some() { text } else { read::<OutcomeOfRecord<'a>>(outcome.get()).result }
    }

    /// Returns whether the payload has an error code, as records of AWS CloudTrail have.
    #[must_use]
    pub fn payload_has_error(&self) -> bool {
        self.record().error_code.not_blank().is_some()
    }

    /// Returns the method of the HTTP call that the payload describes: in PactFlow's format, or as the logs of Auth0 and
    /// GitHub have it.
    #[must_use]
    pub fn payload_method(&self) -> Text<'a> {
        let Record { method, request_method, request, details, .. } = self.record();
        let methods = [method, request_method, request.method, details.request.method];
        methods.into_iter().find(|method| method.0.is_some()).unwrap_or_default()
    }

    fn record(&self) -> Record<'a> {
        self.payload.map(|payload| read(payload.get())).unwrap_or_default()
    }

    /// Returns `occurredAt`, or the recording time if the producer did not send it.
    #[must_use]
    pub fn event_time(&self, line: &Line) -> Timestamp {
        self.occurred_at(line.recorded_at)
    }

    /// Returns the same for an event that was recorded at `recorded_at`.
    pub(crate) fn occurred_at(&self, recorded_at: Timestamp) -> Timestamp {
        Timestamp::parse(self.occurred_at.as_str()).unwrap_or(recorded_at)
    }
}

/// A set of members, for [`Fields::only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted(u8);

impl Wanted {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const RECORDED_BY: Self = Self(1);
    pub(crate) const ACTION: Self = Self(1 << 1);
    pub(crate) const TYPE: Self = Self(1 << 2);
    pub(crate) const ENTITY: Self = Self(1 << 3);
    pub(crate) const PRINCIPAL: Self = Self(1 << 4);
    pub(crate) const OUTCOME: Self = Self(1 << 5);
    pub(crate) const OCCURRED_AT: Self = Self(1 << 6);
}

impl BitOr for Wanted {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Members that are being read, and those that are still to be read.
struct SomeFields<'a> {
    wanted: Wanted,
    fields: Fields<'a>,
}

impl<'de: 'a, 'a> Visitor<'de> for &mut SomeFields<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while self.wanted != Wanted::NONE {
            let Some(Key(key)) = members.next_key()? else { break };
            let fields = &mut self.fields;
            let member = match &*key {
                "recordedBy" => Wanted::RECORDED_BY,
                "action" => Wanted::ACTION,
                "type" => Wanted::TYPE,
                "entity" => Wanted::ENTITY,
                "principal" => Wanted::PRINCIPAL,
                "outcome" => Wanted::OUTCOME,
                "occurredAt" => Wanted::OCCURRED_AT,
                _ => Wanted::NONE,
            };
            if self.wanted.0 & member.0 == 0 {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            match member {
                Wanted::RECORDED_BY => fields.recorded_by = members.next_value()?,
                Wanted::ACTION => fields.action = members.next_value()?,
                Wanted::TYPE => fields.kind = members.next_value()?,
                Wanted::ENTITY => fields.entity = read(members.next_value::<&RawValue>()?.get()),
                Wanted::PRINCIPAL => fields.principal = read(members.next_value::<&RawValue>()?.get()),
                Wanted::OUTCOME => fields.outcome = members.next_value()?,
                _ => fields.occurred_at = members.next_value()?,
            }
            self.wanted.0 &= !member.0;
        }
        Ok(())
    }
}

/// Reads a value, or returns the default if the value is of another type.
fn read<'a, T: Deserialize<'a> + Default>(text: &'a str) -> T {
    // A derived `Deserialize` would read the items of an array as the members of an object, in order.
    if text.trim_start().starts_with('[') { T::default() } else { serde_json::from_str(text).unwrap_or_default() }
}

fn or_absent<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = <&'de RawValue>::deserialize(deserializer)?;
    Ok(read(value.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EventId;

    fn line(text: &str) -> Line {
        let id = EventId::new(&"acme".parse().unwrap(), Timestamp::EPOCH, 7, 0);
        Line { id, recorded_at: Timestamp::EPOCH, text: text.into() }
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_absent_and_the_rest_is_read() {
        let line = line(
            r#"{"action":7,"type":null,"entity":"x","principal":{"id":"p\u00e9","name":[],"new":{}},"subject":[1],
                "parentEntity":{"id":"t"},"payload":{"path":"/x","method":{}},"context":[],"occurredAt":"noon","new":1}"#,
        );
        let fields = Fields::of(&line);
        assert_eq!((fields.action.as_str(), fields.kind.as_str(), fields.entity.id.as_str()), ("", "", ""));
        assert_eq!((fields.principal.id.as_str(), fields.principal.name.not_blank()), ("pé", None));
        assert!(fields.subject.is_none() && fields.before.is_none());
        assert_eq!(fields.parent_entity.as_ref().map(|parent| parent.id.as_str()), Some("t"));
        assert_eq!((fields.call().path.as_str(), fields.call().method.as_str()), ("/x", ""));
        assert_eq!(fields.context().ip_address.as_str(), "");
        assert_eq!(fields.event_time(&line), Timestamp::EPOCH);
    }

    #[test]
    fn only_the_wanted_members_are_read_and_nothing_behind_them() {
        let event =
            r#"{"recordedBy":"annals","action":"A","\u0074ype":"t","entity":{"id":"e"},"outcome":"FAILURE" no JSON"#;
        let wanted = Wanted::TYPE | Wanted::ENTITY;
        let fields = Fields::only(event, wanted);
        assert_eq!((fields.kind.as_str(), fields.entity.id.as_str(), fields.action.as_str()), ("t", "e", ""));
        assert!(!fields.is_own());
        let all = [Wanted::RECORDED_BY, Wanted::ACTION, Wanted::PRINCIPAL, Wanted::OUTCOME, Wanted::OCCURRED_AT];
        let fields = Fields::only(event, all.into_iter().fold(wanted, BitOr::bitor));
        assert!(fields.is_own() && fields.outcome.as_str() == "FAILURE" && fields.principal.id.as_str().is_empty());
    }

    #[test]
    fn in_a_text_that_is_not_one_object_every_member_is_absent() {
        for text in ["", "{", "null", r#"["hash",{},"UPDATE"]"#, "no JSON", "{}{}", r#"{"action":"A","action":"B"}"#] {
            let line = line(text);
            let fields = Fields::of(&line);
            assert_eq!((fields.action.as_str(), fields.principal.id.not_blank()), ("", None), "{text}");
        }
    }
}
