//! Forms: their fields, what was typed into them, and what is wrong with it, at its place.
//!
//! A field is called as the member of the API's input that it becomes, so that a fault finds its field by its pointer.

use annals_core::fault::{Faults, Place};
use maud::{Markup, html};

use crate::visit::Form;

/// What is shown again of what was typed.
const MAX_KEPT_CHARS: usize = 1000;

/// What is typed or chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A line of text.
    Text,
    /// A whole number.
    Digits,
    /// A date and time, in UTC.
    Moment,
    /// A date.
    Date,
    /// One of several values, each with what it is called.
    Choice(Vec<(String, String)>),
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the form, and in the input.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// What to write there.
    pub hint: Option<String>,
    /// What is written there.
    pub value: String,
    /// What is wrong with that, as a sentence.
    pub fault: Option<String>,
    /// What is typed or chosen.
    pub control: Control,
    /// Whether it cannot be left empty.
    pub required: bool,
}

impl Field {
    /// An empty field that may stay so.
    #[must_use]
    pub fn new(name: &'static str, label: &'static str, control: Control) -> Self {
        Self { name, label, hint: None, value: String::new(), fault: None, control, required: false }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With a value, cut where it is very long.
    #[must_use]
    pub fn value(self, value: &str) -> Self {
        Self { value: value.chars().take(MAX_KEPT_CHARS).collect(), ..self }
    }

    /// Not to be left empty.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The field of the form whose ids begin with `form`.
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
            Control::Moment => ("datetime-local", None),
            Control::Date => ("date", None),
            Control::Digits => ("text", Some("numeric")),
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

/// The fields of one form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// The fields, in order.
    pub fields: Vec<Field>,
    /// What is wrong with the whole, as sentences.
    pub faults: Vec<String>,
}

impl Fields {
    /// A form of these fields.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields, faults: Vec::new() }
    }

    /// With what somebody typed.
    #[must_use]
    pub fn typed(mut self, form: &Form) -> Self {
        for field in &mut self.fields {
            *field = field.clone().value(form.text(field.name));
        }
        self
    }

    /// With the faults of the input that was made of it, each at its field.
    #[must_use]
    pub fn refused(mut self, faults: &Faults) -> Self {
        for fault in faults.as_slice() {
            let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
            let place = place.trim_start_matches('/');
            if !self.refuse(place, &fault.detail) {
                self.faults.push(format!("What you sent {}.", fault.detail));
            }
        }
        self
    }

    /// Says that the field `name` is at fault: the rest of a sentence that begins with what it is called. Whether there is
    /// such a field.
    pub fn refuse(&mut self, name: &str, detail: &str) -> bool {
        let field = self.fields.iter_mut().find(|field| field.name == name);
        field.map(|field| field.fault = Some(format!("{} {detail}.", field.label))).is_some()
    }

    /// Whether anything is wrong with it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.faults.is_empty() || self.fields.iter().any(|field| field.fault.is_some())
    }

    /// What the field `name` says.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|field| field.name == name).map_or("", |field| &field.value)
    }

    /// What is wrong with it, and the fields, in a form whose ids begin with `form`.
    #[must_use]
    pub fn render(&self, form: &str) -> Markup {
        let first = self.fields.iter().position(|field| field.fault.is_some());
        html! {
            @if self.is_refused() {
                div .notice .bad role="alert" {
                    @for fault in &self.faults {
                        p { (fault) }
                    }
                    @if first.is_some() {
                        p { "Nothing was changed. Please correct what is marked below." }
                    }
                }
            }
            @for (index, field) in self.fields.iter().enumerate() {
                (field.render(form, first == Some(index)))
            }
        }
    }
}

/// The value of `name` in a query string; empty where there is none.
pub(crate) fn parameter(query: &str, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A whole number as JSON; anything else as a text, which will be refused at its place.
#[must_use]
pub(crate) fn digits(text: &str) -> serde_json::Value {
    let digits = text.replace(['\u{202f}', '\u{a0}', ' '], "");
    match digits.parse::<u64>() {
        Ok(number) if digits.len() <= 15 => number.into(),
        _ => text.into(),
    }
}

/// A date and time as browsers send them, in UTC, as RFC 3339 has it; anything else as it is.
#[must_use]
pub(crate) fn moment(text: &str) -> String {
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
    fn a_fault_is_shown_at_its_field_and_otherwise_with_the_whole() {
        let fields = Fields::new(vec![Field::new("bucket", "Bucket name", Control::Text).hint("…").required()]);
        assert!(!fields.is_refused());
        let at_field = fields.clone().refused(&Fault::at("/bucket", "is required").into());
        assert_eq!(at_field.fields[0].fault.as_deref(), Some("Bucket name is required."));
        let html = at_field.render("new").into_string();
        assert!(html.contains(r#"aria-invalid="true" aria-describedby="new-bucket-fault new-bucket-hint""#), "{html}");
        let with_whole = fields.refused(&Fault::at("/colour", "is not a known field here").into());
        assert_eq!(with_whole.faults, ["What you sent is not a known field here."]);
    }

    #[test]
    fn a_parameter_is_decoded_and_the_first_one_counts() {
        assert_eq!(parameter("a=1%202&a=3&b", "a"), "1 2");
        assert_eq!([parameter("a=1&b", "b"), parameter("", "b")], ["", ""]);
    }

    #[test]
    fn what_browsers_send_becomes_what_the_api_takes() {
        for (typed, read) in [
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2026-11-22T10:00", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:30", "2026-11-22T10:00:30Z"),
            ("2026-11-22T10:00:30.5", "2026-11-22T10:00:30.5Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00+01:00", "2026-11-22T10:00:00+01:00"),
            ("x", "x"),
        ] {
            assert_eq!(moment(typed), read);
        }
        assert_eq!(digits("12 345"), 12_345);
        assert_eq!(digits("007"), 7);
        for text in ["", "-1", "1.5", "1e9", "x", "99999999999999999999"] {
            assert_eq!(digits(text), text);
        }
    }
}
