//! The values that occur in some events, with their counts: what a person may have meant who filtered by a value that does not
//! occur.

use std::collections::HashMap;

use crate::{line::Fields, log::segment::Line};

/// A property of events whose values are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Property {
    Type,
    Action,
    PrincipalId,
    EntityType,
    EntityId,
    Outcome,
    /// The IP address. It has no parameter of its own: the text filter finds it.
    Address,
    RecordedBy,
}

impl Property {
    pub const ALL: [Self; 8] = [
        Self::Type,
        Self::Action,
        Self::PrincipalId,
        Self::EntityType,
        Self::EntityId,
        Self::Outcome,
        Self::Address,
        Self::RecordedBy,
    ];

    /// Returns the parameter that filters by it.
    #[must_use]
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Action => "action",
            Self::PrincipalId => "principalId",
            Self::EntityType => "entityType",
            Self::EntityId => "entityId",
            Self::Outcome => "outcome",
            Self::Address => "q",
            Self::RecordedBy => "recordedBy",
        }
    }
}

/// A value and the number of events that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub value: String,
    /// The name that goes with an id; empty for other properties.
    pub name: String,
    pub events: u64,
}

/// The values that occur in some events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    /// How many events were examined.
    pub events: u64,
    values: HashMap<Property, Vec<Value>>,
}

/// The most suggestions for a value.
const MAX_SUGGESTIONS: usize = 3;
/// The longest value that is compared, in characters. The comparison takes the square of it.
const MAX_COMPARED_CHARS: usize = 80;

impl Values {
    /// Counts the values of `lines`, the newest first.
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut counts: HashMap<(Property, String), (String, u64)> = HashMap::new();
        for line in lines {
            let fields = Fields::of(line);
            let context = fields.context();
            for property in Property::ALL {
                let (value, name) = match property {
                    Property::Type => (&fields.kind, ""),
                    Property::Action => (&fields.action, ""),
                    Property::PrincipalId => (&fields.principal.id, fields.principal.name.as_str()),
                    Property::EntityType => (&fields.entity.entity_type, ""),
                    Property::EntityId => (&fields.entity.id, fields.entity.name.as_str()),
                    Property::Outcome => (&fields.outcome, ""),
                    Property::Address => (&context.ip_address, ""),
                    Property::RecordedBy => (&fields.recorded_by, ""),
                };
                if let Some(value) = value.not_blank() {
                    let count = counts.entry((property, value.to_owned())).or_insert_with(|| (name.to_owned(), 0));
                    count.1 += 1;
                }
            }
        }
        let mut values: HashMap<Property, Vec<Value>> = HashMap::new();
        for ((property, value), (name, events)) in counts {
            values.entry(property).or_default().push(Value { value, name, events });
        }
        for values in values.values_mut() {
            values.sort_by(|one, other| other.events.cmp(&one.events).then_with(|| one.value.cmp(&other.value)));
        }
        Self { events: lines.len() as u64, values }
    }

    /// Returns the values of a property, the most frequent first.
    #[must_use]
    pub fn of_property(&self, property: Property) -> &[Value] {
        self.values.get(&property).map_or(&[], Vec::as_slice)
    }

    /// Returns the values of a property that are most like `typed`, which is not one of them. A name counts like its id.
    #[must_use]
    pub fn like(&self, property: Property, typed: &str) -> Vec<&Value> {
        let typed = comparable(typed);
        let mut found: Vec<(usize, &Value)> = self
            .of_property(property)
            .iter()
            .filter_map(|value| {
                let distances = [&value.value, &value.name].map(|text| distance(&typed, &comparable(text)));
                distances.into_iter().flatten().min().map(|distance| (distance, value))
            })
            .collect();
        // The sort is stable, so of equal distances the most frequent one is first.
        found.sort_by_key(|(distance, _)| *distance);
        found.into_iter().map(|(_, value)| value).take(MAX_SUGGESTIONS).collect()
    }
}

/// Returns the text without what people mistype: case, and which characters stand between words.
fn comparable(text: &str) -> Vec<char> {
    let characters = text.chars().take(MAX_COMPARED_CHARS).flat_map(char::to_lowercase);
    characters.map(|character| if character.is_alphanumeric() { character } else { ' ' }).collect()
}

/// Returns how far apart two texts are, or `None` if they are not alike. A text that contains the other is near.
fn distance(typed: &[char], text: &[char]) -> Option<usize> {
    if typed.is_empty() || text.is_empty() {
        return None;
    }
    let contains = |long: &[char], short: &[char]| long.windows(short.len()).any(|part| part == short);
    if typed == text {
        return Some(0);
    }
    if typed.len() >= 2 && contains(text, typed) || text.len() >= 4 && contains(typed, text) {
        return Some(1);
    }
    let edits = edits(typed, text);
    (edits <= (typed.len() / 3).max(1)).then_some(1 + edits)
}

/// Returns how many characters have to be inserted, deleted or replaced (Levenshtein's distance).
fn edits(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, character) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, with) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(character != with);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::EventId, time::Timestamp};

    fn line(number: u64, kind: &str, user: (&str, &str)) -> Line {
        let id = EventId::new(&"acme".parse().unwrap(), Timestamp::EPOCH, number, 0);
        let text = format!(
            r#"{{"sequence":{number},"action":"UPDATE","type":"{kind}","entity":{{"id":"m-1","name":"Payments","entityType":"MOCK_API"}},"principal":{{"id":"{}","name":"{}","entityType":"USER"}}}}"#,
            user.0, user.1
        );
        Line { id, recorded_at: Timestamp::EPOCH, text }
    }

    fn values() -> Values {
        Values::of(&[
            line(4, "mock_api.update", ("7", "Ben Low")),
            line(3, "mock_api.update", ("42", "Ada Bell")),
            line(2, "mock_api.create", ("42", "Ada Bell")),
            line(1, "user.login", ("42", "Ada")),
        ])
    }

    #[test]
    fn values_are_counted_and_the_most_frequent_comes_first() {
        let values = values();
        let of = |property| -> Vec<(String, String, u64)> {
            let values = values.of_property(property).iter();
            values.map(|value| (value.value.clone(), value.name.clone(), value.events)).collect()
        };
        let row = |value: &str, name: &str, events| (value.to_owned(), name.to_owned(), events);
        assert_eq!(values.events, 4);
        assert_eq!(
            of(Property::Type),
            [row("mock_api.update", "", 2), row("mock_api.create", "", 1), row("user.login", "", 1)]
        );
        assert_eq!(of(Property::PrincipalId), [row("42", "Ada Bell", 3), row("7", "Ben Low", 1)]);
        assert_eq!(of(Property::Outcome), []);
    }

    #[test]
    fn what_was_probably_meant_is_found() {
        let values = values();
        let like = |property, typed: &str| -> Vec<String> {
            values.like(property, typed).into_iter().map(|value| value.value.clone()).collect()
        };
        assert_eq!(like(Property::Type, "mock_api.updated")[0], "mock_api.update");
        assert_eq!(like(Property::Type, "MOCK-API UPDATE")[0], "mock_api.update");
        assert_eq!(like(Property::Type, "mock_api"), ["mock_api.update", "mock_api.create"]);
        assert_eq!(like(Property::PrincipalId, "ada bel"), ["42"], "a name leads to its id");
        assert_eq!(like(Property::EntityType, "mock api"), ["MOCK_API"]);
        for nothing in ["zebra", "", "  ", "é"] {
            assert_eq!(like(Property::Type, nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn distances_are_counted_in_edits() {
        let edits = |one: &str, other: &str| edits(&comparable(one), &comparable(other));
        assert_eq!(
            [edits("kitten", "sitting"), edits("", "abc"), edits("abc", "abc"), edits("ab", "ba")],
            [3, 3, 0, 2]
        );
    }
}
