//! Which events a reader asks for. Owns what matches; where to look, and for how long, is its caller's to say.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::log::segment::Line;

/// What an event must be to be shown: all of it together. Of several values of one member any will do; an empty one asks
/// for nothing. Values are compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Its type is one of these.
    pub types: Vec<String>,
    /// Its type is none of these.
    pub excluded_types: Vec<String>,
    /// Its action is one of these.
    pub actions: Vec<String>,
    /// The type of its entity is one of these.
    pub entity_types: Vec<String>,
    /// The id of its entity is one of these.
    pub entity_ids: Vec<String>,
    /// The id of its principal is one of these.
    pub principal_ids: Vec<String>,
    /// The same once more, by PactFlow's name for it.
    pub user_ids: Vec<String>,
    /// This text is in one of its values, whatever the case: a string, or a number as it is written; not in the names of
    /// fields, and not in what the log itself adds.
    pub text: Option<SearchText>,
}

/// A text to look for, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// A text as its user typed it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }
}

/// What filters and counts go by.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) entity: Entity<'a>,
    #[serde(borrow)]
    pub(super) principal: Principal<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entity<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) entity_type: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Principal<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

impl<'a> Fields<'a> {
    /// The fields of a line; `None` where it is none of ours.
    pub(super) fn of(line: &'a Line) -> Option<Self> {
        serde_json::from_str(&line.text).ok()
    }
}

impl Filter {
    /// Whether it asks for nothing: every event matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the event is asked for.
    #[must_use]
    pub fn matches(&self, line: &Line) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(fields) = Fields::of(line) else { return false };
        let among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|one| one == value);
        among(&self.types, &fields.kind)
            && !self.excluded_types.iter().any(|one| *one == fields.kind)
            && among(&self.actions, &fields.action)
            && among(&self.entity_types, &fields.entity.entity_type)
            && among(&self.entity_ids, &fields.entity.id)
            && among(&self.principal_ids, &fields.principal.id)
            && among(&self.user_ids, &fields.principal.id)
            && self.text.as_ref().is_none_or(|text| holds(line, text))
    }
}

/// Whether `text` is in a value of the event's own fields.
fn holds(line: &Line, text: &SearchText) -> bool {
    struct Event<'t>(&'t SearchText);
    impl<'de> Visitor<'de> for Event<'_> {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an event")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
            const OF_THE_LOG: [&str; 5] = ["sequence", "eventId", "timestamp", "previousHash", "organisation"];
            let mut found = false;
            while let Some(key) = members.next_key::<Cow<'_, str>>()? {
                if found || OF_THE_LOG.contains(&&*key) {
                    members.next_value::<IgnoredAny>()?;
                } else {
                    found = members.next_value_seed(Value(self.0))?;
                }
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_str(&line.text).deserialize_map(Event(text)).unwrap_or(false)
}

/// A value in which the text is looked for.
struct Value<'t>(&'t SearchText);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.0.is_in(&value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.0.is_in(&value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        Ok(self.0.is_in(&value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.0.is_in(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(one) = items.next_element_seed(Value(self.0))? {
            found |= one;
        }
        Ok(found)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        while members.next_key::<IgnoredAny>()?.is_some() {
            found |= members.next_value_seed(Value(self.0))?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::EventId, time::Timestamp};

    fn line() -> Line {
        let text = r#"{"sequence":7,"eventId":"x","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"00","organisation":{"id":"acme","name":"Acme","entityType":"ORGANISATION"},"action":"UPDATE","type":"mock.renamed","entity":{"id":"m-1","name":"Z\u00fcrich \"Pay\"","entityType":"MOCK_API"},"principal":{"id":"42","name":"Ada","entityType":"USER"},"clientType":"API","payload":{"path":["/v1/Tills",{"limit":1750}],"ok":true}}"#;
        let id = EventId::new(&"acme".parse().unwrap(), Timestamp::EPOCH, 7, 0);
        Line { id, recorded_at: Timestamp::EPOCH, text: text.into() }
    }

    fn matches(change: impl FnOnce(&mut Filter)) -> bool {
        let mut filter = Filter::default();
        change(&mut filter);
        filter.matches(&line())
    }

    #[test]
    fn each_member_asks_for_one_field_exactly() {
        type Set = fn(&mut Filter, String);
        let cases: [(Set, &str, &str); 6] = [
            (|filter, value| filter.types.push(value), "mock.renamed", "mock"),
            (|filter, value| filter.actions.push(value), "UPDATE", "update"),
            (|filter, value| filter.entity_types.push(value), "MOCK_API", "USER"),
            (|filter, value| filter.entity_ids.push(value), "m-1", "42"),
            (|filter, value| filter.principal_ids.push(value), "42", "m-1"),
            (|filter, value| filter.user_ids.push(value), "42", "m-1"),
        ];
        for (set, right, wrong) in cases {
            assert!(matches(|filter| set(filter, right.into())), "{right}");
            assert!(!matches(|filter| set(filter, wrong.into())), "{wrong}");
            let either = |filter: &mut Filter| {
                set(filter, wrong.into());
                set(filter, right.into());
            };
            assert!(matches(either), "any of several will do");
        }
        assert!(!matches(|filter| filter.excluded_types.push("mock.renamed".into())));
        assert!(matches(|filter| filter.excluded_types.push("audit.read".into())));
    }

    #[test]
    fn members_are_combined_with_and() {
        let both = |action: &str| {
            matches(|filter| {
                filter.types.push("mock.renamed".into());
                filter.actions.push(action.into());
            })
        };
        assert!(both("UPDATE") && !both("DELETE"));
    }

    #[test]
    fn text_is_found_in_values_whatever_the_case_and_however_they_were_escaped() {
        let found = |text: &str| matches(|filter| filter.text = Some(SearchText::new(text)));
        for text in ["züRICH", "h \"pay\"", "/v1/tills", "1750", "ada", "update"] {
            assert!(found(text), "{text}");
        }
        for text in ["path", "Acme", "2026-11", "true", "v1 tills", "previousHash"] {
            assert!(!found(text), "{text} is a name, or of the log, or not there");
        }
    }

    #[test]
    fn nothing_asked_for_is_everything_and_what_is_no_event_matches_no_filter() {
        assert!(matches(|_| {}));
        let broken = Line { text: "{".into(), ..line() };
        assert!(Filter::default().matches(&broken));
        assert!(!Filter { actions: vec!["UPDATE".into()], ..Filter::default() }.matches(&broken));
    }
}
