//! One line, taken apart as strictly as it was rendered: the log's own fields in their order and spelling, then the body.
//! Owns what can be said of a line by itself; what its neighbours say of it is [`crate::stitch`](mod@crate::stitch)'s.

use annals_core::{id::EventId, log::segment::LineHash, organisation::OrganisationId, time::Timestamp};
use serde::de::IgnoredAny;

/// Events of one append (`annals_core::log::append`).
const MAX_INDEX: u16 = 999;

/// The log's own fields of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its place in the log.
    pub sequence: u64,
    /// The event's id.
    pub id: EventId,
    /// When it was recorded, as this line says it.
    pub timestamp: &'a str,
    /// The hash of the line before, as this line says it.
    pub previous: LineHash,
    /// Whose it is.
    pub organisation: &'a str,
    /// What follows the log's own fields, to the end of the line: the event's body without its first brace.
    pub body: &'a str,
}

/// Why a line was not rendered by Annals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// Nothing between two newlines.
    #[error("it is empty")]
    Empty,
    /// It was carried through something that changes the ends of lines.
    #[error("it ends with a carriage return: a tool has converted the ends of lines")]
    CarriageReturn,
    /// More bytes than any event has.
    #[error("it is longer than any event")]
    TooLong,
    /// It is no text.
    #[error("it is no UTF-8")]
    NotUtf8,
    /// Its fields are not those, or not in the order, or not spelt as Annals writes them.
    #[error("it is not as Annals writes it: {0} is not where or what it should be")]
    Field(&'static str),
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    NotJson(String),
    /// Its parts contradict each other.
    #[error("its eventId and its {0} do not belong together")]
    Contradiction(&'static str),
}

/// Takes lines apart. Keeps what neighbours have in common, so that it is computed once.
#[derive(Debug, Default)]
pub struct LineReader {
    timestamp: Option<(Timestamp, String)>,
    organisation: Option<OrganisationId>,
}

impl LineReader {
    /// The header of `line`, which has no newline at its end.
    ///
    /// # Errors
    /// Why Annals cannot have written it.
    pub fn header<'a>(&mut self, line: &'a [u8]) -> Result<Header<'a>, Oddity> {
        match line.last() {
            None => return Err(Oddity::Empty),
            Some(b'\r') => return Err(Oddity::CarriageReturn),
            Some(_) => {}
        }
        let text = std::str::from_utf8(line).map_err(|_| Oddity::NotUtf8)?;
        let header = Rest(text).header().map_err(|field| {
            // Half a line is better called what it is.
            json(text).err().unwrap_or(Oddity::Field(field))
        })?;
        json(text)?;
        if header.id.sequence() != header.sequence || header.id.index() > MAX_INDEX {
            return Err(Oddity::Contradiction("sequence"));
        }
        if self.timestamp(header.id.recorded_at()) != header.timestamp {
            return Err(Oddity::Contradiction("timestamp"));
        }
        if !self.is_of(&header)? {
            return Err(Oddity::Contradiction("organisation"));
        }
        Ok(header)
    }

    fn timestamp(&mut self, at: Timestamp) -> &str {
        if self.timestamp.as_ref().is_none_or(|(known, _)| *known != at) {
            self.timestamp = Some((at, at.to_string()));
        }
        self.timestamp.as_ref().map_or("", |(_, text)| text)
    }

    fn is_of(&mut self, header: &Header<'_>) -> Result<bool, Oddity> {
        if self.organisation.as_ref().is_none_or(|known| known.as_str() != header.organisation) {
            let organisation = header.organisation.parse().map_err(|_| Oddity::Field("organisation.id"))?;
            self.organisation = Some(organisation);
        }
        Ok(self.organisation.as_ref().is_some_and(|organisation| header.id.is_of(organisation)))
    }
}

fn json(text: &str) -> Result<(), Oddity> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| Oddity::NotJson(error.to_string()))
}

/// What is left of a line while it is taken apart.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The fields, or the name of the first that is not there.
    fn header(&mut self) -> Result<Header<'a>, &'static str> {
        let sequence = self.after(r#"{"sequence":"#).and_then(|()| self.number()).ok_or("sequence")?;
        let id = self.after(r#","eventId":""#).and_then(|()| self.take(36)).ok_or("eventId")?;
        let id = EventId::parse(id).ok().filter(|_| !has_upper_case(id)).ok_or("eventId")?;
        let timestamp = self.after(r#"","timestamp":""#).and_then(|()| self.take(24)).ok_or("timestamp")?;
        let previous = self.after(r#"","previousHash":""#).and_then(|()| self.take(64)).ok_or("previousHash")?;
        let previous = hash(previous).ok_or("previousHash")?;
        let organisation = self.after(r#"","organisation":{"id":""#).and_then(|()| self.until_quote());
        let organisation = organisation.ok_or("organisation.id")?;
        self.after(r#"","name":""#).and_then(|()| self.until_quote()).ok_or("organisation.name")?;
        self.after(r#"","entityType":"ORGANISATION"},"#).ok_or("organisation.entityType")?;
        if !self.0.starts_with('"') || !self.0.ends_with('}') {
            return Err("the event's body");
        }
        Ok(Header { sequence, id, timestamp, previous, organisation, body: self.0 })
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

    /// What there is up to the quote that ends a string, which is left.
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

/// The hash that `text`, 64 hexadecimal digits in lower case, is.
#[must_use]
pub fn hash(text: &str) -> Option<LineHash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().filter(|()| !has_upper_case(text)).map(|()| LineHash(bytes))
}

/// `line` with `previous` for the hash of the line before; `None` where it is no line of Annals'.
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

    fn oddity(from: &str, to: &str) -> String {
        assert!(LINE.contains(from), "{from}");
        LineReader::default().header(LINE.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_line_gives_its_header() {
        let mut reader = LineReader::default();
        let header = reader.header(LINE.as_bytes()).unwrap();
        assert_eq!((header.sequence, header.organisation), (7, "acme"));
        assert_eq!(header.previous.0[31], 0xab);
        assert_eq!(header.body, r#""action":"CREATE","type":"mock_api.create"}"#);
    }

    #[test]
    fn what_annals_does_not_write_is_told() {
        insta::assert_snapshot!([
            oddity(r#""sequence":7"#, r#""sequence":07"#),
            oddity(r#""sequence":7"#, r#""sequence":8"#),
            oddity("{\"sequence", "{ \"sequence"),
            oddity("01a2", "01A2"),
            oddity("01a2", "01a3"),
            oddity("10:00:00.123Z", "10:00:00.124Z"),
            oddity("00ab", "00AB"),
            oddity("acme", "umbrella"),
            oddity(r#""name":"Acme"#, r#""title":"Acme"#),
            oddity(r#""action":"CREATE","#, r#""action":"CREATE,"#),
            oddity(r#","type":"mock_api.create"}"#, ""),
            oddity(LINE, ""),
            oddity(LINE, "hello"),
            oddity(LINE, "{}"),
            oddity(LINE, "{}\r"),
        ].join("\n"), @"
        it is no JSON: invalid number at line 1 column 14
        its eventId and its sequence do not belong together
        it is not as Annals writes it: sequence is not where or what it should be
        it is not as Annals writes it: eventId is not where or what it should be
        its eventId and its timestamp do not belong together
        its eventId and its timestamp do not belong together
        it is not as Annals writes it: previousHash is not where or what it should be
        its eventId and its organisation do not belong together
        it is not as Annals writes it: organisation.name is not where or what it should be
        it is no JSON: expected `,` or `}` at line 1 column 282
        it is no JSON: EOF while parsing an object at line 1 column 280
        it is empty
        it is no JSON: expected value at line 1 column 1
        it is not as Annals writes it: sequence is not where or what it should be
        it ends with a carriage return: a tool has converted the ends of lines
        ");
        let mut bytes = LINE.as_bytes().to_vec();
        bytes[230] = 0xff;
        assert_eq!(LineReader::default().header(&bytes), Err(Oddity::NotUtf8));
    }

    #[test]
    fn the_hash_of_the_line_before_can_be_put_back() {
        let other = with_previous(LINE.as_bytes(), &LineHash([7; 32])).unwrap();
        assert_eq!(LineReader::default().header(&other).unwrap().previous, LineHash([7; 32]));
        assert_eq!(
            with_previous(&other, &LineReader::default().header(LINE.as_bytes()).unwrap().previous).unwrap(),
            LINE.as_bytes()
        );
    }
}
