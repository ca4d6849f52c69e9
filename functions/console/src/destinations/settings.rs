//! The form with a destination's settings.

use annals_core::{
    administration::DestinationPatch,
    destination::{Compression, Destination, DestinationId, KeyLayout, ObjectFormat, Place, Settings, Shape},
};
use annals_http::ADMINISTRATORS;
use serde_json::Value;

use super::{
    page::{Done, show_invalid},
    redirect,
};
use crate::prelude::*;

/// `POST /console/destinations/{destination}/settings`
pub(super) async fn change(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    let destination = administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    let form = fields(&destination).filled_from(&request.form);
    let service = &request.call.services.service;
    match DestinationPatch::parse(body(&form).to_string().as_bytes(), &destination, service) {
        Ok(patch) => {
            let changed = administration.change_destination(&organisation, &id, patch, &request.call.actor()).await;
            let is_pending = changed.map_err(Problem::from)?.pending.is_some();
            Ok(redirect(&request, if is_pending { Done::ChangePending } else { Done::Changed }, &id))
        }
        Err(faults) => {
            let form = form.with_faults(&faults);
            show_invalid(&request, &organisation, &id, |details| details.settings = form).await
        }
    }
}

#[must_use]
pub fn fields(destination: &Destination) -> Fields {
    let Place { bucket, role_arn, prefix, region, bucket_owner } = destination.wanted_place();
    let Settings { compression, layout, rendering, .. } = &destination.settings;
    let compressions = Control::choice(&[
        (Compression::None.as_str(), "None: plain NDJSON"),
        (Compression::Gzip.as_str(), "gzip: keys end in .gz"),
    ]);
    let layouts = Control::choice(&[
        (KeyLayout::Wiremock.as_str(), "By day: 2026-11/22/…"),
        (KeyLayout::Hive.as_str(), "Hive partitions by delivery: dt=2026-11-22/hour=10/…"),
        (KeyLayout::HiveRecorded.as_str(), "Hive partitions by when events were recorded"),
    ]);
    let formats = Control::choice(&[
        (ObjectFormat::Native.as_str(), "Native: the lines of the log"),
        (ObjectFormat::Ocsf.as_str(), "OCSF"),
        (ObjectFormat::CloudEvents.as_str(), "CloudEvents"),
    ]);
    let shapes = Control::choice(&[
        (Shape::Native.as_str(), "Native: with nested members"),
        (Shape::Flat.as_str(), "Flat: the same columns in every row, for Athena, Glue and DuckDB"),
    ]);
    Fields::new(vec![
        Field::new("bucket", "Bucket name", Control::Text)
            .value(bucket.as_str())
            .required()
            .hint("Another bucket is used once the test object was written there."),
        Field::new("roleArn", "Role ARN", Control::Text)
            .value(role_arn.as_str())
            .required()
            .hint("Another role is used once it is proven."),
        Field::new("prefix", "Key prefix", Control::Text)
            .value(prefix.as_str())
            .hint("The beginning of all object keys, such as audit/events. The role's permission policy contains it."),
        Field::new("region", "Region", Control::Text)
            .value(region.as_ref().map_or("", |region| region.as_str()))
            .hint("The bucket's region, such as eu-central-1. If empty, it is detected."),
        Field::new("compression", "Compression", compressions).value(compression.as_str()),
        Field::new("layout", "Key layout", layouts).value(layout.as_str()),
        Field::new("format", "Format", formats).value(rendering.format.as_str()),
        Field::new("shape", "Shape", shapes).value(rendering.shape.as_str()),
        Field::new("bucketOwner", "Bucket owner", Control::Text)
            .value(bucket_owner.as_ref().map_or("", |owner| owner.as_str()))
            .hint(format!(
                "The AWS account that must own the bucket, 12 digits. If empty, it is the role's account, {}.",
                role_arn.account()
            )),
    ])
}

/// Returns the input of the API. An empty region is detected; an empty owner is the role's account.
fn body(form: &Fields) -> Value {
    let nullable = |name: &str| match form.get(name) {
        "" => Value::Null,
        text => text.into(),
    };
    let mut body = form.non_empty(&["bucket", "roleArn", "compression", "layout", "format", "shape"]);
    body["prefix"] = form.get("prefix").into();
    body["region"] = nullable("region");
    body["bucketOwner"] = nullable("bucketOwner");
    body
}

/// Writes the form of the destination `id`, which is posted to the address `action`.
pub(super) fn render(form: &Fields, id: &str, action: &str, shell: &Shell) -> Markup {
    html! {
        details .card .fold open[form.is_invalid()] {
            summary {
                h2 { "Settings" }
                span .hint { "bucket, role, prefix, region, compression, layout, format, shape, bucket owner" }
            }
            form .fields method="post" action=(action) {
                (shell.form_token())
                (form.render(&format!("settings-{id}")))
                div .row { button type="submit" { "Save the settings" } }
                p .hint {
                    "New settings apply to the next delivery. A delivery that has started keeps the old ones. Another bucket, role, "
                    "prefix or bucket owner is used once it is proven: until then events go on to the current one. Delivery "
                    "continues where it was. To have earlier events in another bucket, too, start a replay."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use annals_core::entropy::Entropy;

    use super::*;
    use crate::destinations::fixtures;

    /// Nothing that has begun gets another key here.
    #[derive(Debug)]
    struct NoEntropy;

    impl Entropy for NoEntropy {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn every_fault_of_the_settings_is_at_its_field() {
        let destination = fixtures::destination();
        let service = fixtures::service(true);
        let now = destination.created_at;
        let parse = |form: &Fields| DestinationPatch::parse(body(form).to_string().as_bytes(), &destination, &service);
        let apply = |patch: DestinationPatch| patch.apply(&destination, now, &NoEntropy);
        assert_eq!(apply(parse(&fields(&destination)).expect("the current settings are valid")), destination);

        let form = fields(&destination).with_values(&[("bucket", "s3://x"), ("roleArn", "x")]);
        assert_eq!(form.clone().with_faults(&parse(&form).unwrap_err()).invalid_names(), ["bucket", "roleArn"]);
        let names = ["prefix", "region", "compression", "layout", "format", "shape", "bucketOwner"];
        let form = fields(&destination).with_values(&names.map(|name| (name, "*")));
        assert_eq!(form.clone().with_faults(&parse(&form).unwrap_err()).invalid_names(), names);
        let form = fields(&destination).with_values(&[("region", "cn-north-1")]);
        assert_eq!(form.clone().with_faults(&parse(&form).unwrap_err()).invalid_names(), ["region"]);
        let form = fields(&destination).with_values(&names.map(|name| (name, "")));
        let emptied = apply(parse(&form).expect("every setting is optional")).settings;
        assert_eq!((emptied.region, emptied.bucket_owner), (None, None));
    }
}
