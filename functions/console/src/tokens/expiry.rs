//! The two fields that say when a new token expires: after a while, or at a date.

use annals_core::{fault::Faults, time::Timestamp};
use serde_json::Value;
use std::time::Duration;

use crate::{fields::to_rfc3339, prelude::*};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The value of `expiresAt` that means the field `date`.
pub(super) const AT_DATE: &str = "date";

#[must_use]
pub fn fields() -> [Field; 2] {
    let choices = Control::choice(&[
        ("90", "In 90 days"),
        ("30", "In 30 days"),
        ("365", "In a year"),
        (AT_DATE, "At a date"),
        ("never", "Never"),
    ]);
    [
        Field::new("expiresAt", "Expires", choices).value("90"),
        Field::new("date", "Date", Control::Date).hint("The token expires at the beginning of this day, in UTC."),
    ]
}

/// Returns the member `expiresAt` of the API's input; `None` if the token does not expire. An invalid date stays as it
/// is, so that the API's input refuses it.
pub(super) fn value(form: &Fields, now: Timestamp) -> Option<Value> {
    match form.get("expiresAt") {
        "never" => None,
        AT_DATE => Some(to_rfc3339(form.get("date")).into()),
        days => Some(match days.parse::<u32>().ok().filter(|days| (1..=3650).contains(days)) {
            Some(days) => now.plus(DAY * days).to_string().into(),
            None => days.into(),
        }),
    }
}

/// Adds the faults of the API's input. A fault of `expiresAt` belongs to the field `date` if the user chose a date.
#[must_use]
pub(super) fn with_faults(form: Fields, faults: &Faults) -> Fields {
    let mut form = form.with_faults(faults);
    let is_date = Timestamp::parse(&to_rfc3339(form.get("date"))).is_ok();
    let (name, detail) = match (form.get("expiresAt"), is_date) {
        (AT_DATE, true) => ("date", "must be in the future"),
        (AT_DATE, false) => ("date", "must be a date such as 2027-01-31"),
        _ => ("expiresAt", "must be one of these"),
    };
    let has_fault = form.fields.iter_mut().any(|field| field.name == "expiresAt" && field.fault.take().is_some());
    if has_fault {
        form.add_fault(name, detail);
    }
    form
}
