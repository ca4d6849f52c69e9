//! The forms: a new destination, its settings, and a replay. Each is turned into the JSON that the API takes, so that
//! there is one set of rules.

use annals_core::{
    destination::{Compression, Destination, KeyLayout, Settings},
    fault::Faults,
    service::ServiceSettings,
};
use serde_json::{Value, json};

use crate::fields::{Control, Field, Fields, to_rfc3339, whole_number};

/// A new destination.
#[must_use]
pub fn creation(service: &ServiceSettings) -> Fields {
    let must_match = match service.roles.as_str() {
        "*" => String::new(),
        pattern => format!(" Its name must match {pattern}."),
    };
    Fields::new(vec![
        Field::new("bucket", "Bucket name", Control::Text)
            .required()
            .hint("The name alone, such as my-company-audit-events. It need not exist yet."),
        Field::new("roleArn", "Role ARN", Control::Text).required().hint(format!(
            "Such as arn:{}:iam::123456789012:role/annals-put-audit-events, with the 12 digits of your AWS account. The \
             role need not exist yet: write the ARN that it will have.{must_match}",
            service.partition()
        )),
    ])
}

/// What [`creation`] asks for.
#[must_use]
pub fn creation_body(form: &Fields) -> Value {
    filled(form, &["bucket", "roleArn"])
}

/// A destination's settings.
#[must_use]
pub fn settings(destination: &Destination) -> Fields {
    let Settings { prefix, region, compression, layout, bucket_owner } = &destination.settings;
    let choices = |names: &[(&str, &str)]| {
        Control::Choice(names.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect())
    };
    let compressions = choices(&[
        (Compression::None.as_str(), "None: plain NDJSON"),
        (Compression::Gzip.as_str(), "gzip: keys end in .gz"),
    ]);
    let layouts = choices(&[
        (KeyLayout::Wiremock.as_str(), "By day: 2026-11/22/…"),
        (KeyLayout::Hive.as_str(), "Hive partitions: dt=2026-11-22/hour=10/…"),
    ]);
    Fields::new(vec![
        Field::new("prefix", "Key prefix", Control::Text)
            .value(prefix.as_str())
            .hint("What all keys begin with, such as audit/annals. The role's permission policy names it."),
        Field::new("region", "Region", Control::Text)
            .value(region.as_ref().map_or("", |region| region.as_str()))
            .hint("Where the bucket is, such as eu-central-1. Empty: it is found out."),
        Field::new("compression", "Compression", compressions).value(compression.as_str()),
        Field::new("layout", "Key layout", layouts).value(layout.as_str()),
        Field::new("bucketOwner", "Bucket owner", Control::Text)
            .value(bucket_owner.as_ref().map_or("", |owner| owner.as_str()))
            .hint(format!(
                "The 12 digits of the account that must own the bucket. Empty: the role's, {}.",
                destination.role_arn.account()
            )),
    ])
}

/// What [`settings`] asks for. An empty region is to be found out, an empty owner is the role's account.
#[must_use]
pub fn settings_body(form: &Fields) -> Value {
    let nullable = |name: &str| match form.get(name) {
        "" => Value::Null,
        text => text.into(),
    };
    let mut body = filled(form, &["compression", "layout"]);
    body["prefix"] = form.get("prefix").into();
    body["region"] = nullable("region");
    body["bucketOwner"] = nullable("bucketOwner");
    body
}

/// A replay of what was recorded in a stretch of time.
#[must_use]
pub fn replay_by_time() -> Fields {
    Fields::new(vec![
        Field::new("since", "From (UTC)", Control::DateTime).required(),
        Field::new("until", "To (UTC)", Control::DateTime).required(),
    ])
}

/// A replay of a range of sequences.
#[must_use]
pub fn replay_by_sequence() -> Fields {
    Fields::new(vec![
        Field::new("firstSequence", "First sequence", Control::WholeNumber).required(),
        Field::new("lastSequence", "Last sequence", Control::WholeNumber).required(),
    ])
}

/// What [`replay_by_time`] asks for.
#[must_use]
pub fn replay_by_time_body(form: &Fields) -> Value {
    let mut body = filled(form, &["since", "until"]);
    for (_, time) in body.as_object_mut().into_iter().flatten() {
        *time = to_rfc3339(time.as_str().unwrap_or_default()).into();
    }
    body
}

/// What [`replay_by_sequence`] asks for.
#[must_use]
pub fn replay_by_sequence_body(form: &Fields) -> Value {
    let mut body = filled(form, &["firstSequence", "lastSequence"]);
    for (_, sequence) in body.as_object_mut().into_iter().flatten() {
        *sequence = whole_number(sequence.as_str().unwrap_or_default());
    }
    body
}

/// The fields that are not empty.
fn filled(form: &Fields, names: &[&str]) -> Value {
    let filled = names.iter().filter(|name| !form.get(name).is_empty());
    filled.fold(json!({}), |mut body, name| {
        body[*name] = form.get(name).into();
        body
    })
}

/// The faults of a replay in the words of its form.
#[must_use]
pub fn replay_refused(mut form: Fields, faults: &Faults) -> Fields {
    let empty: Vec<&'static str> =
        form.fields.iter().filter(|field| field.value.is_empty()).map(|field| field.name).collect();
    if !empty.is_empty() {
        for name in empty {
            form.add_fault(name, "is required");
        }
        return form;
    }
    let mut form = form.with_faults(faults);
    for fault in form.fields.iter_mut().filter_map(|field| field.fault.as_mut()) {
        for (api, page) in [
            ("lies before firstSequence", "lies before the first one"),
            ("must lie behind since", "must lie behind the other one"),
            (
                "is no RFC 3339 date and time, such as 2026-11-22T10:00:00Z,",
                "must be a date and time such as 2026-11-22T10:00:00,",
            ),
        ] {
            *fault = fault.replace(api, page);
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use annals_core::destination::{DestinationInput, ReplayInput, SettingsPatch};

    use super::*;
    use crate::destinations::samples;

    fn with(mut form: Fields, values: &[(&str, &str)]) -> Fields {
        for (name, value) in values {
            let field = form.fields.iter_mut().find(|field| field.name == *name).expect("is a field");
            *field = field.clone().value(value);
        }
        form
    }

    /// Every fault is at a field, and every field named has one.
    fn check(form: &Fields, at: &[&str]) {
        assert_eq!(form.faults, Vec::<String>::new());
        let faulty: Vec<&str> =
            form.fields.iter().filter(|field| field.fault.is_some()).map(|field| field.name).collect();
        assert_eq!(faulty, at, "{form:?}");
    }

    fn created(values: &[(&str, &str)]) -> Result<DestinationInput, (Faults, Fields)> {
        let service = samples::service(true);
        let form = with(creation(&service), values);
        DestinationInput::parse(creation_body(&form).to_string().as_bytes(), &service).map_err(|faults| (faults, form))
    }

    #[test]
    fn every_fault_of_a_new_destination_is_at_its_field() {
        assert!(created(&[("bucket", "acme-audit"), ("roleArn", "arn:aws:iam::123456789012:role/x")]).is_ok());
        for values in [
            &[][..],
            &[("bucket", "s3://x"), ("roleArn", "arn:aws:iam::1:role/x")],
            &[("bucket", "\"\u{202e}<"), ("roleArn", "\\")],
            &[("bucket", ""), ("roleArn", "x")],
        ] {
            let (faults, form) = created(values).unwrap_err();
            check(&form.with_faults(&faults), &["bucket", "roleArn"]);
        }
        for refused in ["arn:aws-cn:iam::123456789012:role/x", "arn:aws:iam::111122223333:role/of-the-service"] {
            let (faults, form) = created(&[("bucket", "acme-audit"), ("roleArn", refused)]).unwrap_err();
            check(&form.with_faults(&faults), &["roleArn"]);
        }
    }

    #[test]
    fn every_fault_of_the_settings_is_at_its_field() {
        let destination = samples::destination();
        let parse =
            |form: &Fields| SettingsPatch::parse(settings_body(form).to_string().as_bytes(), &destination.role_arn);
        let same = parse(&settings(&destination)).expect("nothing is wrong with what is there");
        assert_eq!(same.apply(&destination.settings), destination.settings);

        let names = ["prefix", "region", "compression", "layout", "bucketOwner"];
        let form = with(settings(&destination), &names.map(|name| (name, "*")));
        check(&form.clone().with_faults(&parse(&form).unwrap_err()), &names);
        let form = with(settings(&destination), &[("region", "cn-north-1")]);
        check(&form.clone().with_faults(&parse(&form).unwrap_err()), &["region"]);
        let form = with(settings(&destination), &names.map(|name| (name, "")));
        let emptied = parse(&form).expect("empty is as if nothing were said").apply(&destination.settings);
        assert_eq!((emptied.region, emptied.bucket_owner), (None, None));
    }

    #[test]
    fn every_fault_of_a_replay_is_at_its_field() {
        let by_time = |since: &str, until: &str| {
            let form = with(replay_by_time(), &[("since", since), ("until", until)]);
            let input = ReplayInput::parse(replay_by_time_body(&form).to_string().as_bytes());
            input.map_err(|faults| replay_refused(form, &faults))
        };
        assert!(by_time("2026-11-22T10:00", "2026-11-22T10:00:01").is_ok());
        check(&by_time("", "").unwrap_err(), &["since", "until"]);
        check(&by_time("x", "y").unwrap_err(), &["since", "until"]);
        check(&by_time("2026-11-22T10:00", "").unwrap_err(), &["until"]);
        check(&by_time("2026-11-22T10:00", "2026-11-22T10:00").unwrap_err(), &["until"]);

        let by_sequence = |first: &str, last: &str| {
            let form = with(replay_by_sequence(), &[("firstSequence", first), ("lastSequence", last)]);
            let input = ReplayInput::parse(replay_by_sequence_body(&form).to_string().as_bytes());
            input.map_err(|faults| replay_refused(form, &faults))
        };
        assert!(by_sequence("1", "1 000").is_ok());
        check(&by_sequence("", "").unwrap_err(), &["firstSequence", "lastSequence"]);
        check(&by_sequence("0", "-1").unwrap_err(), &["firstSequence", "lastSequence"]);
        check(&by_sequence("2", "1").unwrap_err(), &["lastSequence"]);
        check(&by_sequence("1", "9999999999999").unwrap_err(), &["lastSequence"]);
    }
}
