//! Lines as rows, for Athena, Glue, DuckDB and pyarrow. Owns the columns, and how a line follows from its row.
//!
//! A row has always the same columns in the same order. `sequence` is a number, everything else is text or `null`. What is
//! nested is JSON text in a column of its own, byte for byte as in the line, so no key in it can clash with another, and
//! no number in it is too large. Ids, names, types and addresses are columns beside it. `hash` is the SHA-256 of the line.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{Column, ColumnKind};
use crate::{
    json,
    line::{Fields, Reference},
    log::segment::{Line, LineHash},
};

/// The columns, in the order of [`write()`]. A new column is the last one, because tools may count columns.
const COLUMNS: [(&str, ColumnKind); 38] = [
    ("sequence", ColumnKind::Number),
    ("event_id", ColumnKind::Text),
    ("recorded_at", ColumnKind::Text),
    ("occurred_at", ColumnKind::Text),
    ("type", ColumnKind::Text),
    ("action", ColumnKind::Text),
    ("outcome", ColumnKind::Text),
    ("reason", ColumnKind::Text),
    ("recorded_by", ColumnKind::Text),
    ("client_type", ColumnKind::Text),
    ("organisation_id", ColumnKind::Text),
    ("organisation_name", ColumnKind::Text),
    ("entity_id", ColumnKind::Text),
    ("entity_name", ColumnKind::Text),
    ("entity_type", ColumnKind::Text),
    ("principal_id", ColumnKind::Text),
    ("principal_name", ColumnKind::Text),
    ("principal_type", ColumnKind::Text),
    ("principal_email", ColumnKind::Text),
    ("parent_entity_id", ColumnKind::Text),
    ("parent_entity_type", ColumnKind::Text),
    ("subject_id", ColumnKind::Text),
    ("subject_type", ColumnKind::Text),
    ("ip_address", ColumnKind::Text),
    ("user_agent", ColumnKind::Text),
    ("request_id", ColumnKind::Text),
    ("entity", ColumnKind::Json),
    ("principal", ColumnKind::Json),
    ("parent_entity", ColumnKind::Json),
    ("subject", ColumnKind::Json),
    ("permission", ColumnKind::Json),
    ("before", ColumnKind::Json),
    ("after", ColumnKind::Json),
    ("context", ColumnKind::Json),
    ("payload", ColumnKind::Json),
    ("metadata", ColumnKind::Json),
    ("previous_hash", ColumnKind::Text),
    ("hash", ColumnKind::Text),
];

/// The column after those: the line, if it does not follow from the others, else `null`.
const LINE: Column = Column { name: "line", kind: ColumnKind::Json };

pub(super) fn columns() -> Vec<Column> {
    COLUMNS.iter().map(|(name, kind)| Column { name, kind: *kind }).chain([LINE]).collect()
}

/// The members of a line that are nested, as they are in the line.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Nested<'a> {
    #[serde(borrow)]
    entity: Option<&'a RawValue>,
    #[serde(borrow)]
    principal: Option<&'a RawValue>,
    #[serde(borrow)]
    parent_entity: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    permission: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

pub(super) fn write(line: &Line, out: &mut String) {
    let fields = Fields::of(line);
    let context = fields.context();
    let nested: Nested<'_> = serde_json::from_str(&line.text).unwrap_or_default();
    let none = Reference::default();
    let (entity, principal) = (&fields.entity, &fields.principal);
    let parent = fields.parent_entity.as_ref().unwrap_or(&none);
    let subject = fields.subject.as_ref().unwrap_or(&none);
    let (id, recorded_at, hash) =
        (line.id.to_string(), line.recorded_at.to_string(), LineHash::of(&line.text).to_string());
    let texts = [
        Some(id.as_str()),
        Some(recorded_at.as_str()),
        fields.occurred_at.get(),
        fields.kind.get(),
        fields.action.get(),
        fields.outcome.get(),
        fields.reason.get(),
        fields.recorded_by.get(),
        fields.client_type.get(),
        fields.organisation.id.get(),
        fields.organisation.name.get(),
        entity.id.get(),
        entity.name.get(),
        entity.entity_type.get(),
        principal.id.get(),
        principal.name.get(),
        principal.entity_type.get(),
        principal.email.get(),
        parent.id.get(),
        parent.entity_type.get(),
        subject.id.get(),
        subject.entity_type.get(),
        context.ip_address.get(),
        context.user_agent.get(),
        context.request_id.get(),
        nested.entity.map(RawValue::get),
        nested.principal.map(RawValue::get),
        nested.parent_entity.map(RawValue::get),
        nested.subject.map(RawValue::get),
        nested.permission.map(RawValue::get),
        nested.before.map(RawValue::get),
        nested.after.map(RawValue::get),
        nested.context.map(RawValue::get),
        nested.payload.map(RawValue::get),
        nested.metadata.map(RawValue::get),
        fields.previous_hash.get(),
        Some(hash.as_str()),
    ];
    let from = out.len();
    out.push_str(&format!(r#"{{"sequence":{}"#, line.sequence()));
    let mut cell = |name: &str, text: Option<&str>| {
        out.extend([",\"", name, "\":"]);
        match text {
            Some(text) => out.push_str(&json::quote(text)),
            None => out.push_str("null"),
        }
    };
    for ((name, _), text) in COLUMNS.iter().skip(1).zip(texts) {
        cell(name, text);
    }
    cell(LINE.name, None);
    out.push('}');
    // Whatever the log has accepted in the past, its line can be found again.
    if line_text(&out[from..]).as_ref() != Some(&line.text) {
        out.truncate(out.len() - "null}".len());
        out.extend([&json::quote(&line.text), "}"]);
    }
    out.push('\n');
}

/// The columns of a row from which the line follows.
#[derive(Deserialize)]
struct Row<'a> {
    sequence: u64,
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    recorded_at: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    recorded_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    organisation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    organisation_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    principal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parent_entity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    permission: Option<Cow<'a, str>>,
    #[serde(borrow)]
    before: Option<Cow<'a, str>>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    #[serde(borrow)]
    context: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<Cow<'a, str>>,
    #[serde(borrow)]
    previous_hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    line: Option<Cow<'a, str>>,
}

/// Returns the text of the line from which [`write()`] wrote `row`. `None` if that is no row.
pub(super) fn line_text(row: &str) -> Option<String> {
    let row: Row<'_> = serde_json::from_str(row).ok()?;
    if let Some(line) = row.line {
        return Some(line.into_owned());
    }
    let text = |text: Option<Cow<'_, str>>| text.map(|text| json::quote(&text));
    let json = |json: Option<Cow<'_, str>>| json.map(Cow::into_owned);
    let organisation = json::object([
        ("id", json::quote(&row.organisation_id?)),
        ("name", json::quote(&row.organisation_name?)),
        ("entityType", json::quote("ORGANISATION")),
    ]);
    let members = [
        ("sequence", Some(row.sequence.to_string())),
        ("eventId", Some(json::quote(&row.event_id))),
        ("timestamp", Some(json::quote(&row.recorded_at))),
        ("previousHash", Some(json::quote(&row.previous_hash?))),
        ("recordedBy", text(row.recorded_by)),
        ("organisation", Some(organisation)),
        ("action", text(row.action)),
        ("type", text(row.kind)),
        ("entity", json(row.entity)),
        ("principal", json(row.principal)),
        ("outcome", text(row.outcome)),
        ("reason", text(row.reason)),
        ("parentEntity", json(row.parent_entity)),
        ("subject", json(row.subject)),
        ("permission", json(row.permission)),
        ("before", json(row.before)),
        ("after", json(row.after)),
        ("clientType", text(row.client_type)),
        ("occurredAt", text(row.occurred_at)),
        ("context", json(row.context)),
        ("payload", json(row.payload)),
        ("metadata", json(row.metadata)),
    ];
    Some(json::object(members.into_iter().filter_map(|(name, value)| Some((name, value?)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples;

    fn row(line: &Line) -> String {
        let mut out = String::new();
        write(line, &mut out);
        out
    }

    #[test]
    fn a_row_has_the_members_of_a_line_as_columns() {
        let lines = samples::lines(&[samples::RICH, samples::MINIMAL]);
        insta::assert_snapshot!(lines.iter().map(row).collect::<String>(), @r#"
        {"sequence":7,"event_id":"01a202b2-c57b-7000-8000-000001e08acc","recorded_at":"2026-11-22T10:00:00.123Z","occurred_at":"2026-11-22T11:59:58.5+02:00","type":"user.role_changed","action":"UPDATE","outcome":null,"reason":null,"recorded_by":"token/0123456789AB","client_type":"UI","organisation_id":"acme","organisation_name":"Acme, \"Ltd\"","entity_id":"u2","entity_name":"=Ben; \"the\" Builder, 日本","entity_type":"USER","principal_id":"7","principal_name":"Ada","principal_type":"USER","principal_email":"ada@example.com","parent_entity_id":"t1","parent_entity_type":"TEAM","subject_id":"k1","subject_type":"API_KEY","ip_address":"192.0.2.1","user_agent":"Mozilla/5.0 (X11; Linux)","request_id":"r-1","entity":"{\"id\":\"u2\",\"name\":\"=Ben; \\\"the\\\" Builder, 日本\",\"entityType\":\"USER\",\"email\":\"ben@example.com\"}","principal":"{\"id\":\"7\",\"name\":\"Ada\",\"entityType\":\"USER\",\"email\":\"ada@example.com\"}","parent_entity":"{\"id\":\"t1\",\"name\":\"Core\",\"entityType\":\"TEAM\"}","subject":"{\"id\":\"k1\",\"name\":\"Key\",\"entityType\":\"API_KEY\"}","permission":"{\"permissions\":[{\"id\":\"p1\",\"friendlyId\":\"read\"}]}","before":"{\"role\":\"editor\",\"limit\":12345678901234567890123}","after":"{\"role\":\"owner;=1+1\"}","context":"{\"ipAddress\":\"192.0.2.1\",\"userAgent\":\"Mozilla/5.0 (X11; Linux)\",\"requestId\":\"r-1\",\"location\":\"Oslo\"}","payload":"{\"method\":\"PUT\",\"path\":\"/users/u2\",\"queryString\":\"a=1\",\"referer\":\"https://app.example/\",\"n\":1.50}","metadata":"{\"ticket\":\"T-1\"}","previous_hash":"0000000000000000000000000000000000000000000000000000000000000000","hash":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a","line":null}
        {"sequence":8,"event_id":"01a202b2-c57b-7001-8000-000001e08acc","recorded_at":"2026-11-22T10:00:00.123Z","occurred_at":null,"type":"mock_api.create","action":"CREATE","outcome":null,"reason":null,"recorded_by":"token/0123456789AB","client_type":"API","organisation_id":"acme","organisation_name":"Acme, \"Ltd\"","entity_id":"m1","entity_name":"","entity_type":"MOCK_API","principal_id":"ci","principal_name":"","principal_type":"ROBOT","principal_email":null,"parent_entity_id":null,"parent_entity_type":null,"subject_id":null,"subject_type":null,"ip_address":null,"user_agent":null,"request_id":null,"entity":"{\"id\":\"m1\",\"name\":\"\",\"entityType\":\"MOCK_API\"}","principal":"{\"id\":\"ci\",\"name\":\"\",\"entityType\":\"ROBOT\"}","parent_entity":null,"subject":null,"permission":null,"before":null,"after":null,"context":null,"payload":null,"metadata":null,"previous_hash":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a","hash":"635c44c12cf4a6ab95ee5ae3f7f0bd7bdbcf89046cdf74cf4ca9a3502ba53d88","line":null}
        "#);
    }

    #[test]
    fn a_line_that_does_not_follow_from_its_members_is_a_column() {
        let [mut line] = samples::lines(&[samples::MINIMAL]).try_into().unwrap();
        line.text = line.text.replace(r#""action":"CREATE","#, r#""action":"CREAT\u0045","#);
        let row = row(&line);
        assert!(row.contains(r#","action":"CREATE","#) && row.ends_with("}\"}\n"), "{row}");
        assert_eq!(line_text(row.trim_end()), Some(line.text));
    }
}
