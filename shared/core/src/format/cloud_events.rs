//! CloudEvents 1.0 in structured mode as JSON (CloudEvents 1.0.2, core specification and JSON event format). Owns the
//! mapping of attributes. The event's `data` is the line, unaltered.
//!
//! | attribute | from |
//! |---|---|
//! | `id` | `eventId` |
//! | `source` | `/organisations/{id}`, relative to the API's address; unique together with `id` |
//! | `type` | `type`, the value that `GET /audit?type=` filters by |
//! | `subject` | the entity's type and id, such as `MOCK_API/m1` |
//! | `time` | `occurredAt` in UTC with milliseconds; `timestamp` if the producer did not send it |
//! | `datacontenttype` | `application/json` |
//! | `sequence` (extension "Sequence") | `sequence` with leading zeros, so that strings sort like numbers |
//! | `partitionkey` ("Partitioning") | the organisation's id, so that a broker keeps the order of its events |
//! | `recordedtime` ("Recorded Time") | `timestamp` |
//! | `authtype`, `authid` ("Auth Context") | the principal's type and id |
//! | `recordedby` (extension of Annals) | `recordedBy`; left out if the line does not have it |
//!
//! There is no `sequencetype`, because `Integer` means 32 bits with wrap-around. There is no `dataschema`, because the schema
//! has no address that is the same in every deployment. A character that is not allowed in a CloudEvents string (core
//! specification, "Type System") becomes U+FFFD in attributes and is unaltered in `data`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::object::ColumnKind;
use crate::{line::Fields, log::segment::Line, time::Timestamp};

pub(super) const VERSION: &str = "1.0";

/// The attributes, in the order of [`CloudEvent`].
pub(super) const ATTRIBUTES: [(&str, ColumnKind); 14] = [
    ("specversion", ColumnKind::Text),
    ("id", ColumnKind::Text),
    ("source", ColumnKind::Text),
    ("type", ColumnKind::Text),
    ("subject", ColumnKind::Text),
    ("time", ColumnKind::Text),
    ("datacontenttype", ColumnKind::Text),
    ("sequence", ColumnKind::Text),
    ("partitionkey", ColumnKind::Text),
    ("recordedtime", ColumnKind::Text),
    ("authtype", ColumnKind::Text),
    ("authid", ColumnKind::Text),
    ("recordedby", ColumnKind::Text),
    ("data", ColumnKind::Json),
];

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    sequence: String,
    partitionkey: &'a str,
    recordedtime: Timestamp,
    authtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authid: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recordedby: Option<Cow<'a, str>>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    /// A line that is not JSON, as a JSON string.
    Text(&'a str),
}

pub(super) fn write(line: &Line, out: &mut String) {
    let fields = Fields::of(line);
    let (entity, principal) = (&fields.entity, &fields.principal);
    let organisation = fields.organisation.id.as_str();
    let event = CloudEvent {
        specversion: VERSION,
        id: line.id.to_string(),
        source: format!("/organisations/{organisation}"),
        kind: allowed(fields.kind.not_blank().unwrap_or("unknown")),
        subject: allowed(&format!("{}/{}", entity.entity_type.as_str(), entity.id.as_str())).into_owned(),
        time: fields.event_time(line),
        datacontenttype: "application/json",
        // 13 digits: the largest sequence has 40 bits (see `EventId`).
        sequence: format!("{:013}", line.sequence()),
        partitionkey: if organisation.is_empty() { "unknown" } else { organisation },
        recordedtime: line.recorded_at,
        authtype: auth_type(principal.entity_type.as_str()),
        authid: principal.id.not_blank().map(allowed),
        recordedby: fields.recorded_by.not_blank().map(allowed),
        data: serde_json::from_str(&line.text).map_or(Data::Text(&line.text), Data::Json),
    };
    // Every part is a string or JSON, so serialisation cannot fail.
    out.push_str(&serde_json::to_string(&event).unwrap_or_default());
    out.push('\n');
}

/// Returns the type of a principal in the extension "Auth Context".
fn auth_type(entity_type: &str) -> &'static str {
    match entity_type {
        "USER" => "app_user",
        "API_KEY" => "api_key",
        "SERVICE" | "SERVICE_ACCOUNT" | "PLATFORM" => "service_account",
        "SYSTEM" => "system",
        _ => "unknown",
    }
}

/// Replaces each character that is not allowed in an attribute by U+FFFD.
fn allowed(text: &str) -> Cow<'_, str> {
    let forbidden = |character: char| {
        let code = u32::from(character);
        character.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
    };
    if text.contains(forbidden) { Cow::Owned(text.replace(forbidden, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, samples};

    #[test]
    fn an_event_is_an_envelope_around_its_line() {
        insta::assert_snapshot!(Format::CloudEvents.document(&samples::lines(&[samples::RICH, samples::MINIMAL])), @r#"
        {"specversion":"1.0","id":"01a202b2-c57b-7000-8000-000001e08acc","source":"/organisations/acme","type":"user.role_changed","subject":"USER/u2","time":"2026-11-22T09:59:58.500Z","datacontenttype":"application/json","sequence":"0000000000007","partitionkey":"acme","recordedtime":"2026-11-22T10:00:00.123Z","authtype":"app_user","authid":"7","recordedby":"token/0123456789AB","data":{"sequence":7,"eventId":"01a202b2-c57b-7000-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"0000000000000000000000000000000000000000000000000000000000000000","recordedBy":"token/0123456789AB","organisation":{"id":"acme","name":"Acme, \"Ltd\"","entityType":"ORGANISATION"},"action":"UPDATE","type":"user.role_changed","entity":{"id":"u2","name":"=Ben; \"the\" Builder, 日本","entityType":"USER","email":"ben@example.com"},"principal":{"id":"7","name":"Ada","entityType":"USER","email":"ada@example.com"},"parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"k1","name":"Key","entityType":"API_KEY"},"permission":{"permissions":[{"id":"p1","friendlyId":"read"}]},"before":{"role":"editor","limit":12345678901234567890123},"after":{"role":"owner;=1+1"},"clientType":"UI","occurredAt":"2026-11-22T11:59:58.5+02:00","context":{"ipAddress":"192.0.2.1","userAgent":"Mozilla/5.0 (X11; Linux)","requestId":"r-1","location":"Oslo"},"payload":{"method":"PUT","path":"/users/u2","queryString":"a=1","referer":"https://app.example/","n":1.50},"metadata":{"ticket":"T-1"}}}
        {"specversion":"1.0","id":"01a202b2-c57b-7001-8000-000001e08acc","source":"/organisations/acme","type":"mock_api.create","subject":"MOCK_API/m1","time":"2026-11-22T10:00:00.123Z","datacontenttype":"application/json","sequence":"0000000000008","partitionkey":"acme","recordedtime":"2026-11-22T10:00:00.123Z","authtype":"unknown","authid":"ci","recordedby":"token/0123456789AB","data":{"sequence":8,"eventId":"01a202b2-c57b-7001-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a","recordedBy":"token/0123456789AB","organisation":{"id":"acme","name":"Acme, \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"m1","name":"","entityType":"MOCK_API"},"principal":{"id":"ci","name":"","entityType":"ROBOT"},"clientType":"API"}}
        "#);
    }

    #[test]
    fn the_data_is_the_line_byte_for_byte() {
        for line in samples::lines(&[samples::RICH, samples::MINIMAL]) {
            let rendered = Format::CloudEvents.document([&line]);
            assert!(rendered.ends_with(&format!(r#","data":{}}}{}"#, line.text, "\n")));
        }
    }

    #[test]
    fn an_attribute_has_no_forbidden_character() {
        assert_eq!(allowed("mock\n\u{85}_\u{fdd0}\u{1ffff}api"), "mock\u{fffd}\u{fffd}_\u{fffd}\u{fffd}api");
        assert!(matches!(allowed("Zürich 🚆"), Cow::Borrowed(_)));
    }

    #[test]
    fn sequences_sort_as_strings() {
        let texts = [1_u64, 9, 10, 99, 1 << 40].map(|sequence| format!("{sequence:013}"));
        assert!(texts.is_sorted());
    }
}
