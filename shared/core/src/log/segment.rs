//! Segments: the events of one append, how they are encoded, chained by hash and rendered to lines.
//!
//! Rendering is a pure function of the segment: every line that leaves the system, as an API answer, in a bucket or on a
//! page, comes from [`Segment::lines`], so all of them agree byte for byte for ever.

use std::{fmt, io};

use sha2::{Digest as _, Sha256};

use crate::{event::Body, id::EventId, json, organisation::OrganisationId, time::Timestamp};

/// The most bytes of encoded bodies that one segment holds. A DynamoDB item has at most 400 KB, keys, names and header
/// included (AWS, "Service, account, and table quotas in Amazon DynamoDB").
pub const MAX_ENCODED_BYTES: usize = 380 * 1024;

/// The most bytes of bodies, before encoding, that one segment holds: what one read has to take in at the least. The
/// largest event's body stays below it.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// SHA-256 of a line's bytes, without its newline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineHash(pub [u8; 32]);

impl LineHash {
    /// What the first line of a log has for the hash of the line before.
    pub const ORIGIN: Self = Self([0; 32]);

    /// The hash of `line`.
    #[must_use]
    pub fn of(line: &str) -> Self {
        Self(Sha256::digest(line.as_bytes()).into())
    }
}

/// 64 hexadecimal digits, as `sha256sum` prints them.
impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 random bytes that name one append: by them a writer knows its own write again after an answer that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppendId(pub [u8; 16]);

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last event's sequence; 0 where there never was one.
    pub last: u64,
    /// The first sequence of the last event's segment; 0 where there never was one.
    pub segment: u64,
    /// When the last segment was recorded.
    pub recorded_at: Timestamp,
    /// The hash of the last line.
    pub hash: LineHash,
}

impl Tail {
    /// The end of a log without events.
    pub const ORIGIN: Self = Self { last: 0, segment: 0, recorded_at: Timestamp::EPOCH, hash: LineHash::ORIGIN };

    /// The id of the last event, where there ever was one.
    #[must_use]
    pub fn event_id(&self, organisation: &OrganisationId) -> Option<EventId> {
        (self.last > 0)
            .then(|| EventId::new(organisation, self.recorded_at, self.segment, offset(self.last - self.segment)))
    }
}

/// An index in a segment. A segment has at most 1,000 events, so it always fits.
pub(crate) fn offset(index: u64) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// The events of one append: one immutable item of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The sequence of its first event.
    pub first: u64,
    /// How many events it holds, 1 to 1,000.
    pub count: u16,
    /// When it was recorded: strictly later than the segment before it.
    pub recorded_at: Timestamp,
    /// The hash of the line before its first one.
    pub previous_hash: LineHash,
    /// The hash of its last line.
    pub hash: LineHash,
    /// Whose append it is.
    pub append: AppendId,
    /// What the organisation was called when it was recorded.
    pub organisation_name: String,
    /// The bodies of its events.
    pub bodies: EncodedBodies,
    /// From when on it counts as expired, in whole seconds since the epoch, whether or not it was deleted yet.
    pub expires_at: u64,
}

impl Segment {
    /// The sequence of its last event.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// The log's tail, were this segment the last.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail { last: self.last(), segment: self.first, recorded_at: self.recorded_at, hash: self.hash }
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now.as_millis() / 1000
    }

    /// Its lines, in order.
    ///
    /// # Errors
    /// Where the encoded bodies are damaged.
    pub fn lines(&self, organisation: &OrganisationId) -> Result<Vec<Line>, DamagedSegment> {
        let damaged = |source| DamagedSegment { organisation: organisation.clone(), first: self.first, source };
        let (lines, hash) = self.render(organisation, &self.bodies.decode().map_err(damaged)?);
        if lines.len() == usize::from(self.count) && hash == self.hash {
            Ok(lines)
        } else {
            Err(damaged(io::Error::new(io::ErrorKind::InvalidData, "its lines do not add up to its hash and count")))
        }
    }

    /// The lines of `bodies`, and the hash of the last. There is at most one more than there should be: it shows the
    /// damage, and 50 stored bytes can claim a million.
    fn render(&self, organisation: &OrganisationId, bodies: &str) -> (Vec<Line>, LineHash) {
        let mut previous = self.previous_hash;
        let mut lines = Vec::with_capacity(usize::from(self.count));
        for (index, body) in (0..).zip(bodies.lines().take(usize::from(self.count) + 1)) {
            let id = EventId::new(organisation, self.recorded_at, self.first, offset(index));
            let text = render(organisation, &self.organisation_name, id, &previous, body);
            previous = LineHash::of(&text);
            lines.push(Line { id, recorded_at: self.recorded_at, text });
        }
        (lines, previous)
    }

    /// The hash of the last line, were it recorded at `recorded_at` behind a line with hash `previous`.
    pub(crate) fn chain(
        organisation: &OrganisationId,
        name: &str,
        recorded_at: Timestamp,
        first: u64,
        previous: LineHash,
        bodies: &[Body],
    ) -> LineHash {
        bodies.iter().enumerate().fold(previous, |previous, (index, body)| {
            let id = EventId::new(organisation, recorded_at, first, offset(index as u64));
            LineHash::of(&render(organisation, name, id, &previous, body.as_str()))
        })
    }
}

/// A segment that cannot be read back: its bytes were changed behind the log's back.
#[derive(Debug, thiserror::Error)]
#[error("the segment of {organisation} at sequence {first} is damaged")]
pub struct DamagedSegment {
    organisation: OrganisationId,
    first: u64,
    source: io::Error,
}

/// One event as it leaves the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: EventId,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The line itself, one JSON object without a newline at its end.
    pub text: String,
}

impl Line {
    /// Its sequence.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.id.sequence()
    }
}

/// The line of the event `id`: the log's own fields in front of the stored body.
fn render(organisation: &OrganisationId, name: &str, id: EventId, previous: &LineHash, body: &str) -> String {
    format!(
        r#"{{"sequence":{},"eventId":"{id}","timestamp":"{}","previousHash":"{previous}","organisation":{{"id":"{organisation}","name":{},"entityType":"ORGANISATION"}},{}"#,
        id.sequence(),
        id.recorded_at(),
        json::quote(name),
        body.strip_prefix('{').unwrap_or(body),
    )
}

/// The bodies of a segment as they are stored: a byte that says how, then the newline-separated bodies.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedBodies(Vec<u8>);

impl EncodedBodies {
    const PLAIN: u8 = 0;
    const ZSTD_DICTIONARY_1: u8 = 1;
    /// Levels from 15 on make events one to five in a hundred smaller, and take three to twenty times as long.
    const LEVEL: i32 = 9;

    /// Encodes `bodies`, compressed where that is smaller.
    #[must_use]
    pub fn encode(bodies: &[Body]) -> Self {
        let text = bodies.iter().map(Body::as_str).collect::<Vec<_>>().join("\n");
        let compressed = zstd::bulk::Compressor::with_dictionary(Self::LEVEL, DICTIONARY_1)
            .and_then(|mut compressor| compressor.compress(text.as_bytes()))
            .ok()
            .filter(|compressed| compressed.len() < text.len());
        let (kind, content) = match &compressed {
            Some(compressed) => (Self::ZSTD_DICTIONARY_1, compressed.as_slice()),
            None => (Self::PLAIN, text.as_bytes()),
        };
        let mut bytes = Vec::with_capacity(content.len() + 1);
        bytes.push(kind);
        bytes.extend_from_slice(content);
        Self(bytes)
    }

    /// Bodies as a store gave them back.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn decode(&self) -> io::Result<String> {
        let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
        let (kind, content) = self.0.split_first().ok_or_else(|| invalid("it is empty"))?;
        let text = match *kind {
            Self::PLAIN => content.to_vec(),
            Self::ZSTD_DICTIONARY_1 => {
                // The frame says how large its content is.
                let size = zstd::bulk::Decompressor::upper_bound(content)
                    .filter(|size| *size <= MAX_TEXT_BYTES)
                    .ok_or_else(|| invalid("it claims an impossible size"))?;
                zstd::bulk::Decompressor::with_dictionary(DICTIONARY_1)?.decompress(content, size)?
            }
            _ => return Err(invalid("its encoding is of a later version")),
        };
        String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl fmt::Debug for EncodedBodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} encoded bytes", self.0.len())
    }
}

/// What zstd may refer back to before the first event: the keys and known words of an event, the likelier the later.
///
/// It makes a single event's segment about a third smaller, which is what a page of such events costs to read. Segments
/// were written with it: it can never be changed, only joined by a second one under another first byte.
const DICTIONARY_1: &[u8] = br#""ADMIN""SYSTEM""CLI""SIGNUP""ACL_GRANT""ACL_REVOKE""INVITE""LOGIN""API_TEMPLATE_CATALOGUE""DATABASE_CONNECTION""OPENAPI_GIT_INTEGRATION""S3_AUDIT_SINK""SUBSCRIPTION""ORGANISATION""DATA_SOURCE""API_KEY""AUDIT_LOG""audit.read","subject":{"id":","permission":"ALL_PERMISSIONS","permission":{"permissions":[{"id":","friendlyId":"metadata":{"occurredAt":"2026-","queryString":"","method":"POST","method":"GET","params":{"status":"description":"enabled":true,"enabled":false,"version":"null,"location":"en-GB","https://www.","email":"@example.com","entityType":"USER","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/ Safari/537.36 Mozilla/5.0 (Windows NT 10.0; Win64; x64)","requestId":","payload":{"path":"/v1/api/{"action":"DELETE","type":".delete","action":"CREATE","type":".create","action":"UPDATE","type":"mock_api_settings.update","entity":{"id":"","name":"","entityType":"STUB_MAPPING"},"entityType":"MOCK_API"},"principal":{"id":"","name":"","entityType":"USER","email":"parentEntity":{"id":"","name":"","entityType":"TEAM"},"before":{"name":"},"after":{"name":"},"clientType":"UI","clientType":"API","context":{"ipAddress":"192.0.2.","userAgent":"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Layout, parse};

    fn body(name: &str) -> Body {
        let text = format!(
            r#"{{"action":"CREATE","entity":{{"id":"1","name":"{name}","entityType":"MOCK_API"}},"principal":{{"id":"7","name":"Ada","entityType":"USER"}}}}"#
        );
        parse(text.as_bytes(), Layout::Json).unwrap().remove(0)
    }

    fn segment(first: u64, previous: LineHash, bodies: &[Body]) -> Segment {
        let acme = "acme".parse().unwrap();
        let recorded_at = Timestamp::parse("2026-11-22T10:00:00.123Z").unwrap();
        Segment {
            first,
            count: offset(bodies.len() as u64),
            recorded_at,
            previous_hash: previous,
            hash: Segment::chain(&acme, "Acme \"Ltd\"", recorded_at, first, previous, bodies),
            append: AppendId([7; 16]),
            organisation_name: "Acme \"Ltd\"".into(),
            bodies: EncodedBodies::encode(bodies),
            expires_at: 2_000_000_000,
        }
    }

    #[test]
    fn a_line_is_the_logs_fields_in_front_of_the_body() {
        let lines = segment(7, LineHash::ORIGIN, &[body("a"), body("b")]).lines(&"acme".parse().unwrap()).unwrap();
        insta::assert_snapshot!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"), @r#"
        {"sequence":7,"eventId":"01a202b2-c57b-7000-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"0000000000000000000000000000000000000000000000000000000000000000","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"a","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        {"sequence":8,"eventId":"01a202b2-c57b-7001-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"ea8fc60f32c7ac8938268975b30dd50553f0e78fbb2dcd4d1e4efb84dc65d30c","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"b","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        "#);
        assert!(lines[1].text.contains(&LineHash::of(&lines[0].text).to_string()));
        assert!(serde_json::from_str::<serde_json::Value>(&lines[0].text).is_ok());
    }

    #[test]
    fn a_damaged_segment_is_an_error_not_a_wrong_line() {
        let acme = "acme".parse().unwrap();
        let good = segment(1, LineHash::ORIGIN, &[body("a")]);
        let with = |bytes: Vec<u8>| Segment { bodies: EncodedBodies::from_bytes(bytes), ..good.clone() };
        let mut flipped = good.bodies.as_bytes().to_vec();
        if let Some(byte) = flipped.last_mut() {
            *byte ^= 1;
        }
        let other = EncodedBodies::encode(&[body("b")]).as_bytes().to_vec();
        for bytes in [vec![], vec![9, 1], vec![0], vec![1], vec![1, 2, 3], flipped, other] {
            assert!(with(bytes).lines(&acme).is_err());
        }
        assert!(Segment { count: 2, ..good.clone() }.lines(&acme).is_err());
    }

    #[test]
    fn a_damaged_segment_that_claims_a_million_lines_does_not_take_their_memory() {
        let acme = "acme".parse().unwrap();
        let good = segment(1, LineHash::ORIGIN, &[body("a")]);
        let newlines = "\n".repeat(MAX_TEXT_BYTES);
        assert_eq!(good.render(&acme, &newlines).0.len(), 2);
        let mut compressor = zstd::bulk::Compressor::with_dictionary(EncodedBodies::LEVEL, DICTIONARY_1).unwrap();
        let mut bytes = compressor.compress(newlines.as_bytes()).unwrap();
        bytes.insert(0, EncodedBodies::ZSTD_DICTIONARY_1);
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        assert!(Segment { bodies: EncodedBodies::from_bytes(bytes), ..good }.lines(&acme).is_err());
    }

    #[test]
    fn what_compression_would_enlarge_is_stored_plain_and_both_read_back() {
        for bodies in [vec![body("a")], (0..1000).map(|i| body(&i.to_string())).collect()] {
            let text = bodies.iter().map(Body::as_str).collect::<Vec<_>>().join("\n");
            assert_eq!(EncodedBodies::encode(&bodies).decode().unwrap(), text);
        }
        assert_eq!(EncodedBodies::from_bytes(b"\0{}".to_vec()).decode().unwrap(), "{}");
    }

    #[test]
    fn the_dictionary_never_changes() {
        insta::assert_snapshot!(hex::encode(Sha256::digest(DICTIONARY_1)), @"9746e0fa83ebebb3d06cec393830cbfd237447a02510889974e63e9105af7999");
    }
}
