//! Parses one line as strictly as Annals renders it: the log's own fields in their order and spelling, then the body. Does
//! not compare lines: that is [`crate::check`](mod@crate::check).

use std::borrow::Cow;

use annals_core::{
    destination::Rendering,
    id::EventId,
    log::segment::{Line, LineHash},
    organisation::OrganisationId,
    recorded_by::RecordedBy,
    time::Timestamp,
};
use serde::de::IgnoredAny;

/// The largest index of an event in its append (`annals_core::log::append`).
const MAX_INDEX: u16 = 999;

/// The log's own fields of a line, each as the line states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    pub sequence: u64,
    pub id: EventId,
    pub timestamp: &'a str,
    pub previous: LineHash,
    /// `None` in lines that were recorded before there was this field.
    pub recorded_by: Option<RecordedBy>,
    pub organisation: &'a str,
    /// The rest of the line: the event's body without its first brace.
    pub body: &'a str,
}

/// Why Annals cannot have written a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("the line is empty")]
    Empty,
    #[error("the line ends with a carriage return: a tool converted the line endings")]
    CarriageReturn,
    #[error("the line is longer than any event")]
    TooLong,
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// This field is missing, or not in its order or spelling.
    #[error("the line is not as Annals writes it: {0} is missing, misplaced or malformed")]
    Field(&'static str),
    #[error("the line is not JSON: {0}")]
    NotJson(String),
    /// The event's id and this field contradict each other.
    #[error("eventId and {0} do not match")]
    Contradiction(&'static str),
}

/// Parses lines. Caches what consecutive lines usually have in common.
#[derive(Debug, Default)]
pub struct LineReader {
    timestamp: Option<(Timestamp, String)>,
    organisation: Option<OrganisationId>,
}

impl LineReader {
    /// Parses a line without its newline.
    ///
    /// # Errors
    /// Returns an error if Annals cannot have written the line.
    pub fn header<'a>(&mut self, line: &'a [u8]) -> Result<Header<'a>, LineError> {
        match line.last() {
            None => return Err(LineError::Empty),
            Some(b'\r') => return Err(LineError::CarriageReturn),
            Some(_) => {}
        }
        let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
        let header = Rest(text).header().map_err(|field| {
            // For a half line, "not JSON" is the clearer message.
            check_json(text).err().unwrap_or(LineError::Field(field))
        })?;
        check_json(text)?;
        if header.id.sequence() != header.sequence || header.id.index() > MAX_INDEX {
            return Err(LineError::Contradiction("sequence"));
        }
        if self.timestamp(header.id.recorded_at()) != header.timestamp {
            return Err(LineError::Contradiction("timestamp"));
        }
        if !self.is_of(&header)? {
            return Err(LineError::Contradiction("organisation"));
        }
        Ok(header)
    }

    fn timestamp(&mut self, at: Timestamp) -> &str {
        if self.timestamp.as_ref().is_none_or(|(known, _)| *known != at) {
            self.timestamp = Some((at, at.to_string()));
        }
        self.timestamp.as_ref().map_or("", |(_, text)| text)
    }

    fn is_of(&mut self, header: &Header<'_>) -> Result<bool, LineError> {
        if self.organisation.as_ref().is_none_or(|known| known.as_str() != header.organisation) {
            let organisation = header.organisation.parse().map_err(|_| LineError::Field("organisation.id"))?;
            self.organisation = Some(organisation);
        }
        Ok(self.organisation.as_ref().is_some_and(|organisation| header.id.is_of(organisation)))
    }
}

fn check_json(text: &str) -> Result<(), LineError> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| LineError::NotJson(error.to_string()))
}

/// The part of a line that is not parsed yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Returns the fields, or else the name of the first invalid one.
    fn header(&mut self) -> Result<Header<'a>, &'static str> {
        let sequence = self.after(r#"{"sequence":"#).and_then(|()| self.number()).ok_or("sequence")?;
        let id = self.after(r#","eventId":""#).and_then(|()| self.take(36)).ok_or("eventId")?;
        let id = EventId::parse(id).ok().filter(|_| !has_upper_case(id)).ok_or("eventId")?;
        let timestamp = self.after(r#"","timestamp":""#).and_then(|()| self.take(24)).ok_or("timestamp")?;
        let previous = self.after(r#"","previousHash":""#).and_then(|()| self.take(64)).ok_or("previousHash")?;
        let previous = hash(previous).ok_or("previousHash")?;
        let recorded_by = self.after(r#"","recordedBy":""#).and_then(|()| self.until_quote());
        let recorded_by = recorded_by.map(|text| text.parse().map_err(|_| "recordedBy")).transpose()?;
        let organisation = self.after(r#"","organisation":{"id":""#).and_then(|()| self.until_quote());
        let organisation = organisation.ok_or("organisation.id")?;
        self.after(r#"","name":""#).and_then(|()| self.until_quote()).ok_or("organisation.name")?;
        self.after(r#"","entityType":"ORGANISATION"},"#).ok_or("organisation.entityType")?;
        if !self.0.starts_with('"') || !self.0.ends_with('}') {
            return Err("the event's body");
        }
        Ok(Header { sequence, id, timestamp, previous, recorded_by, organisation, body: self.0 })
    }

    fn after(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let text = self.take(digits)?;
        if text.starts_with('0') { None } else { text.parse().ok() }
    }

    /// Takes everything before the quote that ends a string.
    fn until_quote(&mut self) -> Option<&'a str> {
        let mut escaped = false;
        let end = self.0.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        self.take(end)
    }
}

fn has_upper_case(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Parses a hash: 64 hexadecimal digits in lower case.
#[must_use]
pub fn hash(text: &str) -> Option<LineHash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().filter(|()| !has_upper_case(text)).map(|()| LineHash(bytes))
}

/// An event of an object, as the line of the log that it is or contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native<'a> {
    pub line: Cow<'a, [u8]>,
    /// How the event is written. `None` if it is the line itself, or nothing that Annals writes.
    pub rendering: Option<Rendering>,
}

impl<'a> Native<'a> {
    /// Finds the line in `event`, which has no newline.
    #[must_use]
    pub fn of(event: &'a [u8]) -> Self {
        let text = if event.starts_with(b"{\"sequence\":") && !is_row(event) { None } else { Some(event) };
        let recovered = text.and_then(|text| std::str::from_utf8(text).ok()).and_then(Rendering::recover);
        match recovered {
            Some(recovered) => {
                Self { line: Cow::Owned(recovered.text.into_bytes()), rendering: Some(recovered.rendering) }
            }
            None => Self { line: Cow::Borrowed(event), rendering: None },
        }
    }

    /// Returns whether `event`, in which the line with this header was found, has nothing but the line and what Annals derives
    /// from it. A version of Annals with another mapping to OCSF derives something else.
    #[must_use]
    pub fn is_all_of(&self, event: &[u8], header: &Header<'_>) -> bool {
        let Some(rendering) = self.rendering else { return true };
        let Ok(text) = std::str::from_utf8(&self.line) else { return false };
        let line = Line { id: header.id, recorded_at: header.id.recorded_at(), text: text.to_owned() };
        let mut written = String::with_capacity(event.len() + 1);
        rendering.write(&line, &mut written);
        written.as_bytes().strip_suffix(b"\n") == Some(event)
    }
}

/// Returns whether an event that begins like a line is a flat row.
fn is_row(event: &[u8]) -> bool {
    let digits = event.iter().skip(12).take_while(|byte| byte.is_ascii_digit()).count();
    event.get(12 + digits..).is_some_and(|rest| rest.starts_with(b",\"event_id\":"))
}

/// Replaces the `previousHash` of a line. Returns `None` if Annals cannot have written the line.
#[must_use]
pub fn with_previous(line: &[u8], previous: &LineHash) -> Option<Vec<u8>> {
    let header = LineReader::default().header(line).ok()?;
    let stated = header.previous.to_string();
    let at = line.windows(stated.len()).position(|window| window == stated.as_bytes())?;
    let mut changed = line.to_vec();
    changed.get_mut(at..at + stated.len())?.copy_from_slice(previous.to_string().as_bytes());
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"sequence":7,"eventId":"01a202b2-c57b-7000-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"00000000000000000000000000000000000000000000000000000000000000ab","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create"}"#;

    fn error(from: &str, to: &str) -> String {
        assert!(LINE.contains(from), "{from}");
        LineReader::default().header(LINE.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_line_is_parsed_into_its_header() {
        let mut reader = LineReader::default();
        let header = reader.header(LINE.as_bytes()).unwrap();
        assert_eq!((header.sequence, header.organisation), (7, "acme"));
        assert_eq!(header.previous.0[31], 0xab);
        assert_eq!(header.body, r#""action":"CREATE","type":"mock_api.create"}"#);
        assert_eq!(header.recorded_by, None);
    }

    #[test]
    fn a_line_may_tell_who_recorded_it() {
        let with =
            |recorded_by: &str| LINE.replacen(r#","organisation""#, &format!(r#"{recorded_by},"organisation""#), 1);
        for text in ["annals", "platform", "platform/0123456789AB", "token/0123456789AB", "session/0123456789ab"] {
            let line = with(&format!(r#","recordedBy":"{text}""#));
            let header = LineReader::default().header(line.as_bytes()).unwrap();
            assert_eq!(header.recorded_by.unwrap().to_string(), text);
            assert_eq!(header.body, r#""action":"CREATE","type":"mock_api.create"}"#);
        }
        for wrong in [r#","recordedBy":"somebody""#, r#","recordedBy":"""#, r#","recordedBy":"annals\u0020""#] {
            let error = LineReader::default().header(with(wrong).as_bytes()).unwrap_err();
            assert_eq!(error, LineError::Field("recordedBy"), "{wrong}");
        }
        for wrong in [r#","recordedBy":null"#, r#","recordedBy": "annals""#, r#","recordedBy":7"#] {
            let error = LineReader::default().header(with(wrong).as_bytes()).unwrap_err();
            assert_eq!(error, LineError::Field("organisation.id"), "{wrong}");
        }
    }

    #[test]
    fn a_line_that_annals_did_not_write_is_refused_with_a_reason() {
        insta::assert_snapshot!([
            error(r#""sequence":7"#, r#""sequence":07"#),
            error(r#""sequence":7"#, r#""sequence":8"#),
            error("{\"sequence", "{ \"sequence"),
            error("01a2", "01A2"),
            error("01a2", "01a3"),
            error("10:00:00.123Z", "10:00:00.124Z"),
            error("00ab", "00AB"),
            error("acme", "umbrella"),
            error(r#""name":"Acme"#, r#""title":"Acme"#),
            error(r#""action":"CREATE","#, r#""action":"CREATE,"#),
            error(r#","type":"mock_api.create"}"#, ""),
            error(LINE, ""),
            error(LINE, "hello"),
            error(LINE, "{}"),
            error(LINE, "{}\r"),
        ].join("\n"), @"
        the line is not JSON: invalid number at line 1 column 14
        eventId and sequence do not match
        the line is not as Annals writes it: sequence is missing, misplaced or malformed
        the line is not as Annals writes it: eventId is missing, misplaced or malformed
        eventId and timestamp do not match
        eventId and timestamp do not match
        the line is not as Annals writes it: previousHash is missing, misplaced or malformed
        eventId and organisation do not match
        the line is not as Annals writes it: organisation.name is missing, misplaced or malformed
        the line is not JSON: expected `,` or `}` at line 1 column 282
        the line is not JSON: EOF while parsing an object at line 1 column 280
        the line is empty
        the line is not JSON: expected value at line 1 column 1
        the line is not as Annals writes it: sequence is missing, misplaced or malformed
        the line ends with a carriage return: a tool converted the line endings
        ");
        let mut bytes = LINE.as_bytes().to_vec();
        bytes[230] = 0xff;
        assert_eq!(LineReader::default().header(&bytes), Err(LineError::NotUtf8));
    }

    #[test]
    fn the_previous_hash_can_be_replaced_and_restored() {
        let other = with_previous(LINE.as_bytes(), &LineHash([7; 32])).unwrap();
        assert_eq!(LineReader::default().header(&other).unwrap().previous, LineHash([7; 32]));
        assert_eq!(
            with_previous(&other, &LineReader::default().header(LINE.as_bytes()).unwrap().previous).unwrap(),
            LINE.as_bytes()
        );
    }
}
