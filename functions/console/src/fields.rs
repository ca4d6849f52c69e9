//! The fields of a form, with their values and faults.
//!
//! A field has the same name as the member of the API's input that contains its value. So the pointer of a fault
//! identifies the field.

use annals_core::fault::{Faults, Place};
use annals_http::console::session::FormData;
use maud::{Markup, html};
use serde_json::Value;

/// The longest value that an invalid form shows again.
const MAX_VALUE_CHARS: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    Text,
    WholeNumber,
    /// A date and time in UTC.
    DateTime,
    Date,
    /// Pairs of a value and its label.
    Choice(Vec<(String, String)>),
}

impl Control {
    #[must_use]
    pub fn choice(choices: &[(&str, &str)]) -> Self {
        Self::Choice(choices.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: Option<String>,
    pub value: String,
    /// What is wrong with the value, as a sentence.
    pub fault: Option<String>,
    pub control: Control,
    pub required: bool,
}

impl Field {
    /// Creates an empty, optional field.
    #[must_use]
    pub fn new(name: &'static str, label: &'static str, control: Control) -> Self {
        Self { name, label, hint: None, value: String::new(), fault: None, control, required: false }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Sets the value, cut to [`MAX_VALUE_CHARS`].
    #[must_use]
    pub fn value(self, value: &str) -> Self {
        Self { value: value.chars().take(MAX_VALUE_CHARS).collect(), ..self }
    }

    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Writes the field. Its element ids begin with `form`.
    fn render(&self, form: &str, focused: bool) -> Markup {
        let id = format!("{form}-{}", self.name);
        let (hint_id, fault_id) = (format!("{id}-hint"), format!("{id}-fault"));
        let described = match (&self.hint, &self.fault) {
            (Some(_), Some(_)) => Some(format!("{fault_id} {hint_id}")),
            (Some(_), None) => Some(hint_id.clone()),
            (None, Some(_)) => Some(fault_id.clone()),
            (None, None) => None,
        };
        let invalid = self.fault.as_ref().map(|_| "true");
        let (kind, keyboard) = match self.control {
            Control::DateTime => ("datetime-local", None),
            Control::Date => ("date", None),
            Control::WholeNumber => ("text", Some("numeric")),
            Control::Text | Control::Choice(_) => ("text", None),
        };
        html! {
            div .field {
                label for=(id) { (self.label) }
                @if let Control::Choice(choices) = &self.control {
                    select #(id) name=(self.name) aria-invalid=[invalid] aria-describedby=[&described] autofocus[focused] {
                        @for (value, label) in choices {
                            option value=(value) selected[*value == self.value] { (label) }
                        }
                    }
                } @else {
                    input #(id) type=(kind) name=(self.name) value=(self.value.replace('\0', "\u{fffd}")) inputmode=[keyboard] autocomplete="off"
                        autocapitalize="none" spellcheck="false" step=[(kind == "datetime-local").then_some("1")]
                        aria-invalid=[invalid] aria-describedby=[&described] required[self.required] autofocus[focused];
                }
                @if let Some(fault) = &self.fault {
                    p .error #(fault_id) { (fault) }
                }
                @if let Some(hint) = &self.hint {
                    p .hint #(hint_id) { (hint) }
                }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    pub fields: Vec<Field>,
    /// Faults that belong to no field, as sentences.
    pub faults: Vec<String>,
}

impl Fields {
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields, faults: Vec::new() }
    }

    /// Takes the values that a browser sent.
    #[must_use]
    pub fn filled_from(mut self, form: &FormData) -> Self {
        for field in &mut self.fields {
            *field = field.clone().value(form.text(field.name));
        }
        self
    }

    /// Adds the faults of the API's input, each to its field.
    #[must_use]
    pub fn with_faults(mut self, faults: &Faults) -> Self {
        for fault in faults.as_slice() {
            let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
            let place = place.trim_start_matches('/');
            if !self.add_fault(place, &fault.detail) {
                self.faults.push(format!("The field {place} {}.", fault.detail));
            }
        }
        self
    }

    /// Adds a fault to the field `name`. `detail` continues a sentence that begins with the field's label. Returns `false` if
    /// there is no such field.
    pub fn add_fault(&mut self, name: &str, detail: &str) -> bool {
        let field = self.fields.iter_mut().find(|field| field.name == name);
        field.map(|field| field.fault = Some(format!("{} {detail}.", field.label))).is_some()
    }

    /// Returns the fields `names` that are not empty, as a JSON object.
    #[must_use]
    pub fn non_empty(&self, names: &[&str]) -> Value {
        let pairs = names.iter().map(|name| (*name, self.get(name))).filter(|(_, value)| !value.is_empty());
        Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    /// Returns the names of the fields that have a fault.
    #[must_use]
    pub fn invalid_names(&self) -> Vec<&'static str> {
        self.fields.iter().filter(|field| field.fault.is_some()).map(|field| field.name).collect()
    }

    #[cfg(test)]
    pub(crate) fn with_values(mut self, values: &[(&str, &str)]) -> Self {
        for (name, value) in values {
            let field = self.fields.iter_mut().find(|field| field.name == *name).unwrap();
            *field = field.clone().value(value);
        }
        self
    }

    #[must_use]
    pub fn is_invalid(&self) -> bool {
        !self.faults.is_empty() || self.fields.iter().any(|field| field.fault.is_some())
    }

    /// Returns the value of the field `name`; empty if there is no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|field| field.name == name).map_or("", |field| &field.value)
    }

    /// Writes the faults and the fields. Element ids begin with `form`.
    #[must_use]
    pub fn render(&self, form: &str) -> Markup {
        let first = self.fields.iter().position(|field| field.fault.is_some());
        html! {
            @if self.is_invalid() {
                div .notice .bad role="alert" {
                    @for fault in &self.faults {
                        p { (fault) }
                    }
                    @if first.is_some() {
                        p { "Nothing was changed. Please correct the marked fields." }
                    }
                }
            }
            @for (index, field) in self.fields.iter().enumerate() {
                (field.render(form, first == Some(index)))
            }
        }
    }
}

/// Returns the first value of `name` in a query string; empty if there is none.
pub(crate) fn parameter(query: &str, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Returns a whole number as JSON. Any other text becomes a JSON string, which the API's input refuses with a fault.
#[must_use]
pub(crate) fn whole_number(text: &str) -> Value {
    let digits = text.replace(['\u{202f}', '\u{a0}', ' '], "");
    match digits.parse::<u64>() {
        Ok(number) if digits.len() <= 15 => number.into(),
        _ => text.into(),
    }
}

/// Converts a date and time in UTC, as a browser sends it, to RFC 3339. Any other text stays as it is.
#[must_use]
pub(crate) fn to_rfc3339(text: &str) -> String {
    match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 | 21..=23 if !text.ends_with('Z') => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use annals_core::fault::Fault;

    use super::*;

    #[test]
    fn a_fault_is_shown_at_its_field_or_above_the_form() {
        let fields = Fields::new(vec![Field::new("bucket", "Bucket name", Control::Text).hint("…").required()]);
        assert!(!fields.is_invalid());
        let at_field = fields.clone().with_faults(&Fault::at("/bucket", "is required").into());
        assert_eq!(at_field.fields[0].fault.as_deref(), Some("Bucket name is required."));
        let html = at_field.render("new").into_string();
        assert!(html.contains(r#"aria-invalid="true" aria-describedby="new-bucket-fault new-bucket-hint""#), "{html}");
        let above_form = fields.with_faults(&Fault::at("/colour", "is not a known field here").into());
        assert_eq!(above_form.faults, ["The field colour is not a known field here."]);
    }

    #[test]
    fn the_first_value_of_a_parameter_is_decoded() {
        assert_eq!(parameter("a=1%202&a=3&b", "a"), "1 2");
        assert_eq!([parameter("a=1&b", "b"), parameter("", "b")], ["", ""]);
    }

    #[test]
    fn values_of_browsers_are_converted_for_the_api() {
        for (typed, read) in [
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2026-11-22T10:00", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:30", "2026-11-22T10:00:30Z"),
            ("2026-11-22T10:00:30.5", "2026-11-22T10:00:30.5Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00+01:00"),
            ("x", "x"),
        ] {
            assert_eq!(to_rfc3339(typed), read);
        }
        assert_eq!(whole_number("12 345"), 12_345);
        assert_eq!(whole_number("007"), 7);
        for text in ["", "-1", "1.5", "1e9", "x", "99999999999999999999"] {
            assert_eq!(whole_number(text), text);
        }
    }
}
