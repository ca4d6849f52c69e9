//! The forms: a new token, and one that replaces another. Each is turned into the JSON that the API takes, so that there
//! is one set of rules.

use std::time::Duration;

use annals_core::{
    fault::Faults,
    time::Timestamp,
    token::{DEFAULT_OVERLAP, Role},
};
use serde_json::{Value, json};

use crate::fields::{Control, Field, Fields, to_rfc3339};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The choice of a date.
const DATE: &str = "date";

fn choices(choices: &[(&str, &str)]) -> Control {
    Control::Choice(choices.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect())
}

fn end() -> [Field; 2] {
    let ends =
        [("90", "In 90 days"), ("30", "In 30 days"), ("365", "In a year"), (DATE, "At a date"), ("never", "Never")];
    [
        Field::new("expiresAt", "Ends", choices(&ends)).value("90"),
        Field::new("date", "Date", Control::Date)
            .hint("Where it ends at a date: at the beginning of that day, in UTC."),
    ]
}

/// A new token.
#[must_use]
pub fn creation() -> Fields {
    let roles =
        [(Role::Auditor, "Auditor: reads the log"), (Role::Admin, "Admin: also manages destinations and tokens")];
    let mut fields = vec![
        Field::new("name", "Name", Control::Text).required().hint("Who or what will use it, such as SIEM collector."),
        Field::new("role", "Role", choices(&roles.map(|(role, label)| (role.as_str(), label))))
            .value(Role::Auditor.as_str()),
    ];
    fields.extend(end());
    Fields::new(fields)
}

/// What [`creation`] asks for.
#[must_use]
pub fn creation_body(form: &Fields, now: Timestamp) -> Value {
    let mut body = json!({"name": form.get("name"), "role": form.get("role")});
    if let Some(end) = end_of(form, now) {
        body["expiresAt"] = end;
    }
    body
}

/// The successor of a token, which has to say its end where the token has one.
#[must_use]
pub fn rotation() -> Fields {
    let overlaps =
        [(0, "Ends at once"), (3600, "Ends in an hour"), (86_400, "Ends in a day"), (604_800, "Ends in 7 days")];
    let overlaps = overlaps.map(|(seconds, label)| (seconds.to_string(), label.to_owned()));
    let mut fields = vec![
        Field::new("overlapSeconds", "The old token", Control::Choice(overlaps.to_vec()))
            .value(&DEFAULT_OVERLAP.as_secs().to_string())
            .hint("Until then both work, so that you can change over without a gap."),
    ];
    let [ends, date] = end();
    fields.extend([Field { label: "The new token ends", ..ends }, date]);
    Fields::new(fields)
}

/// What [`rotation`] asks for.
#[must_use]
pub fn rotation_body(form: &Fields, now: Timestamp) -> Value {
    json!({
        "overlapSeconds": crate::fields::whole_number(form.get("overlapSeconds")),
        "expiresAt": end_of(form, now).unwrap_or(Value::Null),
    })
}

/// When it is to end, as a text; nothing where it is not. What cannot be a time will be refused as such.
fn end_of(form: &Fields, now: Timestamp) -> Option<Value> {
    match form.get("expiresAt") {
        "never" => None,
        DATE => Some(to_rfc3339(form.get("date")).into()),
        days => Some(match days.parse::<u32>().ok().filter(|days| (1..=3650).contains(days)) {
            Some(days) => now.plus(DAY * days).to_string().into(),
            None => days.into(),
        }),
    }
}

/// With the faults of the input that was made of it: of the end at the date, where a date was asked for.
#[must_use]
pub fn refused(mut form: Fields, faults: &Faults) -> Fields {
    form = form.with_faults(faults);
    let is_date = form.get("expiresAt") == DATE;
    let fault = form.fields.iter_mut().find(|field| field.name == "expiresAt").and_then(|field| field.fault.take());
    if let Some(fault) = fault {
        let (name, detail) = match (is_date, fault.contains("future")) {
            (true, true) => ("date", "must lie in the future"),
            (true, false) => ("date", "must be a date such as 2027-01-31"),
            (false, _) => ("expiresAt", "must be one of these"),
        };
        form.add_fault(name, detail);
    }
    form
}

#[cfg(test)]
mod tests {
    use annals_core::token::{RotationInput, SuccessorEnd, TokenInput};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn with(mut form: Fields, values: &[(&str, &str)]) -> Fields {
        for (name, value) in values {
            let field = form.fields.iter_mut().find(|field| field.name == *name).expect("is a field");
            *field = field.clone().value(value);
        }
        form
    }

    fn faulty(form: &Fields) -> Vec<&str> {
        assert_eq!(form.faults, Vec::<String>::new());
        form.fields.iter().filter(|field| field.fault.is_some()).map(|field| field.name).collect()
    }

    #[test]
    fn every_fault_of_a_new_token_is_at_its_field() {
        let parse = |values: &[(&str, &str)]| {
            let form = with(creation(), values);
            let input = TokenInput::parse(creation_body(&form, NOW).to_string().as_bytes(), NOW);
            input.map_err(|faults| refused(form, &faults))
        };
        let input = parse(&[("name", "SIEM")]).expect("nothing is wrong");
        assert_eq!((input.role, input.expires_at), (Role::Auditor, Some(NOW.plus(DAY * 90))));
        assert_eq!(parse(&[("name", "SIEM"), ("expiresAt", "never")]).expect("nothing is wrong").expires_at, None);
        let dated = parse(&[("name", "SIEM"), ("expiresAt", DATE), ("date", "2027-01-31")]).expect("nothing is wrong");
        assert_eq!(dated.expires_at.map(|at| at.to_string()).as_deref(), Some("2027-01-31T00:00:00.000Z"));

        let bad = [("name", ""), ("role", "x"), ("expiresAt", "x")];
        assert_eq!(faulty(&parse(&bad).unwrap_err()), ["name", "role", "expiresAt"]);
        assert_eq!(faulty(&parse(&[("name", "\u{202e}")]).unwrap_err()), ["name"]);
        for date in ["", "x", "2020-01-01"] {
            let form = parse(&[("name", "SIEM"), ("expiresAt", DATE), ("date", date)]).unwrap_err();
            assert_eq!(faulty(&form), ["date"], "{date}");
        }
    }

    #[test]
    fn every_fault_of_a_rotation_is_at_its_field() {
        let parse = |values: &[(&str, &str)]| {
            let form = with(rotation(), values);
            let input = RotationInput::parse(rotation_body(&form, NOW).to_string().as_bytes(), NOW);
            input.map_err(|faults| refused(form, &faults))
        };
        let input = parse(&[]).expect("nothing is wrong");
        assert_eq!((input.overlap, input.end), (DEFAULT_OVERLAP, SuccessorEnd::At(NOW.plus(DAY * 90))));
        assert_eq!(parse(&[("expiresAt", "never")]).expect("nothing is wrong").end, SuccessorEnd::Never);
        let bad = [("overlapSeconds", "x"), ("expiresAt", DATE), ("date", "x")];
        assert_eq!(faulty(&parse(&bad).unwrap_err()), ["overlapSeconds", "date"]);
    }
}
