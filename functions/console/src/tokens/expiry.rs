//! The two fields that say when a new token expires: after a while, or at a date.

use annals_core::{fault::Faults, service::TokenDays, time::Timestamp};
use serde_json::Value;
use std::time::Duration;

use crate::{fields::to_rfc3339, prelude::*};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The value of `expiresAt` that means the field `date`.
pub(super) const AT_DATE: &str = "date";

/// Returns the fields for a token that expires within `longest`.
#[must_use]
pub fn fields(longest: TokenDays) -> [Field; 2] {
    let longest = longest.days();
    let mut days: Vec<u32> = [30, 90, 365].into_iter().filter(|days| *days < longest).collect();
    days.push(longest);
    let default = days.iter().rev().find(|days| **days <= 90).copied().unwrap_or(longest).to_string();
    let in_days = |days: u32| if days == 1 { "In a day".to_owned() } else { format!("In {days} days") };
    let mut choices: Vec<_> = days.into_iter().map(|days| (days.to_string(), in_days(days))).collect();
    choices.push((AT_DATE.to_owned(), "At a date".to_owned()));
    let hint =
        format!("The token expires at the beginning of this day, in UTC. It is valid for at most {longest} days.");
    [
        Field::new("expiresAt", "Expires", Control::Choice(choices)).value(&default),
        Field::new("date", "Date", Control::Date).hint(hint),
    ]
}

/// Returns the member `expiresAt` of the API's input. An invalid date stays as it is, so that the API's input refuses it.
pub(super) fn value(form: &Fields, now: Timestamp) -> Value {
    match form.get("expiresAt") {
        AT_DATE => to_rfc3339(form.get("date")).into(),
        days => match days.parse::<u32>().ok().filter(|days| (1..=3650).contains(days)) {
            Some(days) => now.plus(DAY * days).to_string().into(),
            None => days.into(),
        },
    }
}

/// Adds the faults of the API's input. A fault of `expiresAt` belongs to the field `date` if the user chose a date.
#[must_use]
pub(super) fn with_faults(form: Fields, faults: &Faults, longest: TokenDays) -> Fields {
    let in_time = format!("must be in the future, and at most {} days from now", longest.days());
    let mut form = form.with_faults(faults);
    let is_date = Timestamp::parse(&to_rfc3339(form.get("date"))).is_ok();
    let (name, detail) = match (form.get("expiresAt"), is_date) {
        (AT_DATE, true) => ("date", &*in_time),
        (AT_DATE, false) => ("date", "must be a date such as 2027-01-31"),
        _ => ("expiresAt", "must be one of these"),
    };
    let has_fault = form.fields.iter_mut().any(|field| field.name == "expiresAt" && field.fault.take().is_some());
    if has_fault {
        form.add_fault(name, detail);
    }
    form
}
