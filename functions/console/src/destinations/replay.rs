//! The two forms that deliver events again: by time, and by sequence.

use annals_core::{
    administration::{AdministrationError, ReplayInput},
    destination::DestinationId,
    fault::Faults,
    time::Timestamp,
};
use annals_http::ADMINISTRATORS;
use serde_json::Value;

use super::{
    card::Details,
    page::{Done, show_invalid},
    redirect,
};
use crate::{
    fields::{to_rfc3339, whole_number},
    prelude::*,
};

/// `POST /console/destinations/{destination}/replay`
pub(super) async fn start(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let is_by_time = request.form.text("by") != "sequence";
    let (mut form, body) = if is_by_time {
        let form = by_time().filled_from(&request.form);
        let body = by_time_body(&form);
        (form, body)
    } else {
        let form = by_sequence().filled_from(&request.form);
        let body = by_sequence_body(&form);
        (form, body)
    };
    match ReplayInput::parse(body.to_string().as_bytes()) {
        Err(faults) => form = with_faults(form, &faults),
        Ok(input) => {
            let administration = &request.call.services.administration;
            match administration.replay(&organisation, &id, input, &request.call.actor()).await {
                Ok(_) => return Ok(redirect(&request, Done::ReplayStarted, &id)),
                Err(AdministrationError::NothingToReplay) => {
                    form.faults.push("There are no events in this range, or they have expired.".to_owned());
                }
                Err(AdministrationError::ReplayInProgress) => {
                    form.faults.push("A replay is in progress. Try again when it has finished.".to_owned());
                }
                Err(AdministrationError::TooOften(_)) => {
                    form.faults.push("Six replays were started in the last minute. Try again in a minute.".to_owned());
                }
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    }
    let set = |details: &mut Details| {
        if is_by_time { details.replay_by_time = form } else { details.replay_by_sequence = form }
    };
    show_invalid(&request, &organisation, &id, set).await
}

#[must_use]
pub fn by_time() -> Fields {
    Fields::new(vec![
        Field::new("since", "From (UTC)", Control::DateTime).required(),
        Field::new("until", "To (UTC)", Control::DateTime).required(),
    ])
}

#[must_use]
pub fn by_sequence() -> Fields {
    Fields::new(vec![
        Field::new("firstSequence", "First sequence", Control::WholeNumber).required(),
        Field::new("lastSequence", "Last sequence", Control::WholeNumber).required(),
    ])
}

fn by_time_body(form: &Fields) -> Value {
    let mut body = form.non_empty(&["since", "until"]);
    for (_, time) in body.as_object_mut().into_iter().flatten() {
        *time = to_rfc3339(time.as_str().unwrap_or_default()).into();
    }
    body
}

fn by_sequence_body(form: &Fields) -> Value {
    let mut body = form.non_empty(&["firstSequence", "lastSequence"]);
    for (_, sequence) in body.as_object_mut().into_iter().flatten() {
        *sequence = whole_number(sequence.as_str().unwrap_or_default());
    }
    body
}

/// Adds the faults of the API's input, worded for the form's labels.
fn with_faults(mut form: Fields, faults: &Faults) -> Fields {
    let empty: Vec<&'static str> =
        form.fields.iter().filter(|field| field.value.is_empty()).map(|field| field.name).collect();
    if !empty.is_empty() {
        for name in empty {
            form.add_fault(name, "is required");
        }
        return form;
    }
    form = form.with_faults(faults);
    let is_reversed =
        match [form.get("firstSequence"), form.get("lastSequence")].map(|text| whole_number(text).as_u64()) {
            [Some(first), Some(last)] => last < first,
            _ => false,
        };
    for field in form.fields.iter_mut().filter(|field| field.fault.is_some()) {
        let is_time = Timestamp::parse(&to_rfc3339(&field.value)).is_ok();
        let detail = match field.name {
            "since" | "until" if !is_time => "must be a date and time, such as 2026-11-22T10:00:00",
            "until" => "must be later than From",
            "lastSequence" if is_reversed => "must not be less than the first sequence",
            _ => continue,
        };
        field.fault = Some(format!("{} {detail}.", field.label));
    }
    form
}

/// Writes the forms of the destination `id`, which are posted to the address `action`.
pub(super) fn render(details: &Details, id: &str, action: &str, shell: &Shell) -> Markup {
    let is_open = details.replay_by_time.is_invalid() || details.replay_by_sequence.is_invalid();
    html! {
        details .card .fold open[is_open] {
            summary { h2 { "Replay" } span .hint { "deliver events again" } }
            p {
                "If objects in the bucket were lost or damaged, their events can be delivered again, in new objects below "
                code { "replay/" } ". Regular delivery continues meanwhile."
            }
            div .either {
                form .fields method="post" action=(action) aria-label="Replay by time" {
                    (shell.form_token())
                    h3 { "Events recorded between two times" }
                    (details.replay_by_time.render(&format!("time-{id}")))
                    div .row { button type="submit" name="by" value="time" { "Replay this time" } }
                }
                form .fields method="post" action=(action) aria-label="Replay by sequence" {
                    (shell.form_token())
                    h3 { "A range of sequences, both ends included" }
                    (details.replay_by_sequence.render(&format!("sequence-{id}")))
                    div .row { button type="submit" name="by" value="sequence" { "Replay these sequences" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_replay_is_at_its_field() {
        let check_times = |since: &str, until: &str| {
            let form = by_time().with_values(&[("since", since), ("until", until)]);
            let input = ReplayInput::parse(by_time_body(&form).to_string().as_bytes());
            input.map_or_else(|faults| with_faults(form, &faults).invalid_names(), |_| Vec::new())
        };
        assert_eq!(check_times("2026-11-22T10:00", "2026-11-22T10:00:01"), [""; 0]);
        assert_eq!(check_times("", ""), ["since", "until"]);
        assert_eq!(check_times("x", "y"), ["since", "until"]);
        assert_eq!(check_times("2026-11-22T10:00", ""), ["until"]);
        assert_eq!(check_times("2026-11-22T10:00", "2026-11-22T10:00"), ["until"]);

        let check_sequences = |first: &str, last: &str| {
            let form = by_sequence().with_values(&[("firstSequence", first), ("lastSequence", last)]);
            let input = ReplayInput::parse(by_sequence_body(&form).to_string().as_bytes());
            input.map_or_else(|faults| with_faults(form, &faults).invalid_names(), |_| Vec::new())
        };
        assert_eq!(check_sequences("1", "1 000"), [""; 0]);
        assert_eq!(check_sequences("", ""), ["firstSequence", "lastSequence"]);
        assert_eq!(check_sequences("0", "-1"), ["firstSequence", "lastSequence"]);
        assert_eq!(check_sequences("2", "1"), ["lastSequence"]);
        assert_eq!(check_sequences("1", "9999999999999"), ["lastSequence"]);
    }

    #[test]
    fn a_fault_names_the_labels_of_the_form() {
        let form = by_time().with_values(&[("since", "2026-11-22T10:00"), ("until", "2026-11-22T09:00")]);
        let faults = ReplayInput::parse(by_time_body(&form).to_string().as_bytes()).unwrap_err();
        let fault = with_faults(form, &faults).fields[1].fault.clone();
        assert_eq!(fault.as_deref(), Some("To (UTC) must be later than From."));
    }
}
