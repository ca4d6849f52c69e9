//! Filters of events. Owns which events match; the caller decides where and how far to look.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use super::search::SearchText;
use crate::{
    line::{Fields, Wanted},
    time::Timestamp,
};

/// Conditions that an event must all meet. A field without values is not a condition. If a field has several values,
/// the event must equal one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub types: Vec<String>,
    pub excluded_types: Vec<String>,
    /// Types of Annals' own events that do not match. An event of such a type that Annals did not record matches, so a
    /// producer cannot hide an event by its type.
    pub excluded_own_types: Vec<String>,
    pub actions: Vec<String>,
    pub entity_types: Vec<String>,
    pub entity_ids: Vec<String>,
    pub principal_ids: Vec<String>,
    /// A second condition for the principal's id, under PactFlow's name.
    pub user_ids: Vec<String>,
    /// Who recorded the event, as text. An event without this field meets no condition.
    pub recorders: Vec<String>,
    pub outcomes: Vec<String>,
    /// Only events that happened at this time or later: their `occurredAt`, or when they were recorded.
    pub occurred_since: Option<Timestamp>,
    /// Only events that happened before this time.
    pub occurred_until: Option<Timestamp>,
    /// A text that a value contains, ignoring case and encoding. Values are strings, and numbers as printed; names of fields and fields
    /// added by the log are not searched.
    pub text: Option<SearchText>,
}

impl Filter {
    /// Returns whether there is no condition, so every event matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether the only conditions exclude Annals' own events.
    #[must_use]
    pub fn only_excludes_own(&self) -> bool {
        let excluded_own_types = self.excluded_own_types.clone();
        *self == Self { excluded_own_types, ..Self::default() }
    }

    /// Returns whether an event meets all conditions: a JSON object, the line of the event or its stored part.
    #[must_use]
    pub fn matches(&self, event: &str, recorded_at: Timestamp) -> bool {
        self.is_empty() || self.matches_fields(&Fields::only(event, self.members()), event, recorded_at)
    }

    /// Returns the members that [`matches_fields`](Self::matches_fields) looks at.
    pub(super) fn members(&self) -> Wanted {
        let mut members = Wanted::NONE;
        let conditions = [
            (!self.types.is_empty() || !self.excluded_types.is_empty(), Wanted::TYPE),
            (!self.excluded_own_types.is_empty(), Wanted::TYPE | Wanted::RECORDED_BY),
            (!self.actions.is_empty(), Wanted::ACTION),
            (!self.entity_types.is_empty() || !self.entity_ids.is_empty(), Wanted::ENTITY),
            (!self.principal_ids.is_empty() || !self.user_ids.is_empty(), Wanted::PRINCIPAL),
            (!self.recorders.is_empty(), Wanted::RECORDED_BY),
            (!self.outcomes.is_empty(), Wanted::OUTCOME),
            (self.occurred_since.is_some() || self.occurred_until.is_some(), Wanted::OCCURRED_AT),
        ];
        for (_, wanted) in conditions.into_iter().filter(|(is_set, _)| *is_set) {
            members = members | wanted;
        }
        members
    }

    /// Returns the same as [`matches`](Self::matches) for an event whose fields have been read.
    pub(super) fn matches_fields(&self, fields: &Fields<'_>, event: &str, recorded_at: Timestamp) -> bool {
        let among = |values: &[String], value: &str| values.is_empty() || values.iter().any(|one| one == value);
        let (kind, entity, principal) = (fields.kind.as_str(), &fields.entity, fields.principal.id.as_str());
        among(&self.types, kind)
            && !self.excluded_types.iter().any(|one| one == kind)
            && !(fields.is_own() && self.excluded_own_types.iter().any(|one| one == kind))
            && among(&self.actions, fields.action.as_str())
            && among(&self.entity_types, entity.entity_type.as_str())
            && among(&self.entity_ids, entity.id.as_str())
            && among(&self.principal_ids, principal)
            && among(&self.user_ids, principal)
            && among(&self.recorders, fields.recorded_by.as_str())
            && among(&self.outcomes, fields.outcome.as_str())
            && self.occurred_since.is_none_or(|since| fields.occurred_at(recorded_at) >= since)
            && self.occurred_until.is_none_or(|until| fields.occurred_at(recorded_at) < until)
            && self.text.as_ref().is_none_or(|text| may_contain(event, text) && contains(event, text))
    }
}

/// Returns `false` only if no value of the event contains `text`, without reading its values: in ASCII without escapes, each
/// string is a part of the event's text.
fn may_contain(event: &str, text: &SearchText) -> bool {
    !event.is_ascii() || event.contains('\\') || text.may_be_of_a_number() || text.is_in(event)
}

/// Returns whether a value of the event's own fields contains `text`.
fn contains(event: &str, text: &SearchText) -> bool {
    struct Event<'t>(&'t SearchText);
    impl<'de> Visitor<'de> for Event<'_> {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an event")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
            const OF_THE_LOG: [&str; 6] =
                ["sequence", "eventId", "timestamp", "previousHash", "recordedBy", "organisation"];
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
    serde_json::Deserializer::from_str(event).deserialize_map(Event(text)).unwrap_or(false)
}

/// A value that is searched.
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

    const LINE: &str = r#"{"sequence":7,"eventId":"x","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"00","recordedBy":"token/0123456789AB","organisation":{"id":"acme","name":"Acme","entityType":"ORGANISATION"},"action":"UPDATE","type":"mock.renamed","entity":{"id":"m-1","name":"Z\u00fcrich \"Pay\"","entityType":"MOCK_API"},"principal":{"id":"42","name":"Ada","entityType":"USER"},"outcome":"DENIED","clientType":"API","payload":{"path":["/v1/Tills",{"limit":1750}],"ok":true}}"#;

    fn matches(change: impl FnOnce(&mut Filter)) -> bool {
        let mut filter = Filter::default();
        change(&mut filter);
        filter.matches(LINE, Timestamp::EPOCH)
    }

    #[test]
    fn each_condition_compares_one_field_exactly() {
        type Set = fn(&mut Filter, String);
        let cases: [(Set, &str, &str); 8] = [
            (|filter, value| filter.types.push(value), "mock.renamed", "mock"),
            (|filter, value| filter.actions.push(value), "UPDATE", "update"),
            (|filter, value| filter.entity_types.push(value), "MOCK_API", "USER"),
            (|filter, value| filter.entity_ids.push(value), "m-1", "42"),
            (|filter, value| filter.principal_ids.push(value), "42", "m-1"),
            (|filter, value| filter.user_ids.push(value), "42", "m-1"),
            (|filter, value| filter.recorders.push(value), "token/0123456789AB", "annals"),
            (|filter, value| filter.outcomes.push(value), "DENIED", "SUCCESS"),
        ];
        for (set, right, wrong) in cases {
            assert!(matches(|filter| set(filter, right.into())), "{right}");
            assert!(!matches(|filter| set(filter, wrong.into())), "{wrong}");
            let either = |filter: &mut Filter| {
                set(filter, wrong.into());
                set(filter, right.into());
            };
            assert!(matches(either), "one of several values is enough");
        }
        assert!(!matches(|filter| filter.excluded_types.push("mock.renamed".into())));
        assert!(matches(|filter| filter.excluded_types.push("audit.read".into())));
    }

    #[test]
    fn an_event_happened_when_its_producer_says_and_otherwise_when_it_was_recorded() {
        let at = |minute: u64| Timestamp::from_millis(minute * 60_000);
        let found = |since: Option<u64>, until: Option<u64>, occurred_at: &str| {
            let filter = Filter { occurred_since: since.map(at), occurred_until: until.map(at), ..Filter::default() };
            let text = LINE.replacen(r#""outcome":"#, &format!(r#"{occurred_at}"outcome":"#), 1);
            filter.matches(&text, at(9))
        };
        let early = r#""occurredAt":"1970-01-01T01:05:00+01:00","#;
        for (since, until, expected) in
            [(Some(5), None, true), (Some(6), None, false), (None, Some(5), false), (None, Some(6), true)]
        {
            assert_eq!(found(since, until, early), expected, "{since:?} {until:?}");
            let later = |time: Option<u64>| time.map(|time| time + 4);
            assert_eq!(found(later(since), later(until), ""), expected, "{since:?} {until:?}");
        }
    }

    #[test]
    fn only_annals_own_events_are_excluded_by_their_own_type() {
        let excluded = Filter { excluded_own_types: vec!["mock.renamed".into()], ..Filter::default() };
        let by = |recorded_by: &str| {
            let text = LINE.replacen(r#""recordedBy":"token/0123456789AB","#, recorded_by, 1);
            excluded.matches(&text, Timestamp::EPOCH)
        };
        assert!(!by(r#""recordedBy":"annals","#));
        assert!(by(r#""recordedBy":"token/0123456789AB","#) && by(r#""recordedBy":"platform","#));
        assert!(by(""), "it is not known whether an event without the field is Annals' own");
        let other = Filter { excluded_own_types: vec!["audit.read".into()], ..Filter::default() };
        assert!(other.matches(LINE, Timestamp::EPOCH));
    }

    #[test]
    fn all_conditions_must_be_met() {
        let both = |action: &str| {
            matches(|filter| {
                filter.types.push("mock.renamed".into());
                filter.actions.push(action.into());
            })
        };
        assert!(both("UPDATE") && !both("DELETE"));
    }

    #[test]
    fn text_is_found_in_values_ignoring_case_and_escapes() {
        let found = |text: &str| matches(|filter| filter.text = Some(SearchText::new(text)));
        for text in ["züRICH", "h \"pay\"", "/v1/tills", "1750", "ada", "update"] {
            assert!(found(text), "{text}");
        }
        for text in ["path", "Acme", "2026-11", "true", "v1 tills", "previousHash", "token/"] {
            assert!(!found(text), "{text} is not in a value of the event");
        }
    }

    #[test]
    fn a_filter_without_conditions_matches_everything_and_a_broken_line_meets_no_condition() {
        assert!(matches(|_| {}));
        let broken = "{";
        assert!(Filter::default().matches(broken, Timestamp::EPOCH));
        assert!(!Filter { actions: vec!["UPDATE".into()], ..Filter::default() }.matches(broken, Timestamp::EPOCH));
    }
}
