//! Segments: the events of one append, their encoding, hash chain and rendering to lines.
//!
//! Rendering is a pure function of the segment. Every line that leaves the system comes from [`Segment::lines`], so the API,
//! the delivered objects and the pages always agree byte for byte.

use std::{
    fmt::{self, Write as _},
    io,
    ops::ControlFlow,
};

use super::{compression, rate::RateState, store::Order};
pub use crate::hash::LineHash;
use crate::{
    event::{self, Body},
    id::{EventId, SegmentIds},
    json,
    organisation::OrganisationId,
    time::Timestamp,
    usage::{LogMonth, Month},
};

/// The maximum size of a segment's encoded bodies. A DynamoDB item has at most 400 KB, including attribute names and the
/// header (AWS, "Service, account, and table quotas in Amazon DynamoDB").
pub const MAX_ENCODED_BYTES: usize = 380 * 1024;

/// The maximum size of a segment's bodies before encoding, which is the minimum that one read keeps in memory. The body of
/// the largest event is smaller.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// 16 random bytes that identify an append, so that a writer recognises its own write after the answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppendId(pub [u8; 16]);

/// 16 random bytes that identify the append of a request with an idempotency key, the same for every repeat of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimId(pub [u8; 16]);

/// The events of a request with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    pub claim: ClaimId,
    /// The index of the request's first event in the segment. A large request continues in the segments of the same append.
    pub index: u16,
}

/// What a writer has to know of a segment that is already stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub append: AppendId,
    pub claimed: Vec<Claimed>,
    /// The log's tail after the segment was written.
    pub tail: Tail,
}

impl Header {
    /// Returns the index of the first event of the request that `claim` stands for.
    #[must_use]
    pub fn index_of(&self, claim: ClaimId) -> Option<u16> {
        self.claimed.iter().find(|claimed| claimed.claim == claim).map(|claimed| claimed.index)
    }
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last event's sequence; 0 if the log never had an event.
    pub last: u64,
    /// The first sequence of the last event's segment; 0 if the log never had an event.
    pub segment: u64,
    /// When the last segment was recorded.
    pub recorded_at: Timestamp,
    /// The hash of the last line.
    pub hash: LineHash,
    /// The rate limit's state; full budgets if the tail was read from an anchor.
    pub rate: RateState,
    /// The counts of the last segment's month. `None` if the log never had an event, or if a release that did not count wrote
    /// the last segment.
    pub usage: Option<LogMonth>,
}

impl Tail {
    /// The end of a log without events.
    pub const ORIGIN: Self = Self {
        last: 0,
        segment: 0,
        recorded_at: Timestamp::EPOCH,
        hash: LineHash::ORIGIN,
        rate: RateState::FULL,
        usage: None,
    };

    /// Returns the counts with which a segment that is recorded at `at` goes on.
    #[must_use]
    pub(crate) fn usage_at(&self, at: Timestamp) -> LogMonth {
        let month = Month::of(at);
        match self.usage {
            Some(usage) if usage.month >= month => usage,
            Some(_) => LogMonth::empty(month),
            None => LogMonth { unknown_until: (self.last > 0).then_some(self.recorded_at), ..LogMonth::empty(month) },
        }
    }

    /// Returns the id of the last event; `None` if the log never had an event.
    #[must_use]
    pub fn event_id(&self, organisation: &OrganisationId) -> Option<EventId> {
        (self.last > 0)
            .then(|| EventId::new(organisation, self.recorded_at, self.segment, offset(self.last - self.segment)))
    }
}

/// Converts an index in a segment. A segment has at most 1,000 events, so it always fits.
pub(crate) fn offset(index: u64) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// The events of one append, stored as one immutable item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The sequence of the first event.
    pub first: u64,
    /// The number of events, 1 to 1,000.
    pub count: u16,
    /// Strictly later than the previous segment's.
    pub recorded_at: Timestamp,
    /// The hash of the line before the first line.
    pub previous_hash: LineHash,
    /// The hash of the last line.
    pub hash: LineHash,
    pub append: AppendId,
    /// The rate limit's state after the segment's append.
    pub rate: RateState,
    /// The counts of its month, itself included. `None` if a release that did not count wrote it.
    pub usage: Option<LogMonth>,
    /// The requests with an idempotency key that begin in the segment, in their order.
    pub claimed: Vec<Claimed>,
    /// The organisation's name when the segment was recorded.
    pub organisation_name: String,
    pub bodies: EncodedBodies,
    /// The last sequence before the segment, if it is not `first - 1`: the log was restored, and the sequences between them
    /// were lost.
    pub resumes_after: Option<u64>,
    /// In whole seconds since the epoch. From then on the segment counts as expired, even if it is not deleted yet.
    pub expires_at: u64,
}

impl Segment {
    /// Returns the sequence of the last event.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Returns the sequence of the event before the first one; 0 at the beginning of the log.
    #[must_use]
    pub fn previous(&self) -> u64 {
        self.resumes_after.unwrap_or_else(|| self.first.saturating_sub(1))
    }

    /// Returns the log's tail after this segment was written.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail {
            last: self.last(),
            segment: self.first,
            recorded_at: self.recorded_at,
            hash: self.hash,
            rate: self.rate,
            usage: self.usage,
        }
    }

    #[must_use]
    pub fn header(&self) -> Header {
        Header { append: self.append, claimed: self.claimed.clone(), tail: self.tail() }
    }

    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now.as_millis() / 1000
    }

    /// Renders the lines, in order.
    ///
    /// # Errors
    /// Returns an error if the lines cannot be decoded or do not match the segment's hash and count.
    pub fn lines(&self, organisation: &OrganisationId) -> Result<Vec<Line>, DamagedSegment> {
        let damaged = |source| DamagedSegment { organisation: organisation.clone(), first: self.first, source };
        let bodies = self.bodies.decode().map_err(damaged)?;
        self.render_whole(organisation, &bodies).map_err(damaged)
    }

    /// Passes the events to `take` until it breaks. The lines are rendered, and compared with the segment's hash, when the first
    /// event is `wanted`. So the events of a segment that are all unwanted cost no hash.
    ///
    /// # Errors
    /// Returns an error if the events cannot be decoded or do not match the segment's count, or if the lines do not match its
    /// hash.
    pub(super) fn visit(
        &self,
        organisation: &OrganisationId,
        order: Order,
        wanted: impl Fn(&Stored<'_>) -> bool,
        mut take: impl FnMut(Seen<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DamagedSegment> {
        let damaged = |source| DamagedSegment { organisation: organisation.clone(), first: self.first, source };
        let text = self.bodies.decode().map_err(damaged)?;
        let bodies: Vec<&str> = text.lines().take(usize::from(self.count) + 1).collect();
        if bodies.len() != usize::from(self.count) {
            return Err(damaged(Self::mismatch()));
        }
        let ids = SegmentIds::new(organisation, self.recorded_at, self.first);
        let mut lines = Vec::new();
        for step in 0..self.count {
            let index = match order {
                Order::Ascending => step,
                Order::Descending => self.count - 1 - step,
            };
            let stored = Stored { id: ids.at(index), recorded_at: self.recorded_at, body: bodies[usize::from(index)] };
            let seen = if wanted(&stored) {
                if lines.is_empty() {
                    lines = self.render_whole(organisation, &text).map_err(damaged)?;
                }
                let line = &mut lines[usize::from(index)];
                Seen::Line(Line { id: line.id, recorded_at: line.recorded_at, text: std::mem::take(&mut line.text) })
            } else {
                Seen::Unwanted(stored)
            };
            if take(seen).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn render_whole(&self, organisation: &OrganisationId, bodies: &str) -> io::Result<Vec<Line>> {
        let (lines, hash) = self.render(organisation, bodies);
        let is_whole = lines.len() == usize::from(self.count) && hash == self.hash;
        if is_whole { Ok(lines) } else { Err(Self::mismatch()) }
    }

    fn mismatch() -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "its lines do not match its hash and count")
    }

    /// Renders `bodies` and returns the hash of the last line. Renders at most one line more than `count`, which is enough
    /// to show the damage: 50 damaged bytes can decode to a million lines.
    fn render(&self, organisation: &OrganisationId, bodies: &str) -> (Vec<Line>, LineHash) {
        let header = LineHeader::new(organisation, &self.organisation_name, self.recorded_at, self.first);
        let mut previous = self.previous_hash;
        let mut lines = Vec::with_capacity(usize::from(self.count));
        for (index, body) in (0..).zip(bodies.lines().take(usize::from(self.count) + 1)) {
            let id = header.ids.at(offset(index));
            let text = header.line(id, &previous, body);
            previous = LineHash::of(&text);
            lines.push(Line { id, recorded_at: self.recorded_at, text });
        }
        (lines, previous)
    }

    /// Returns the hash of the last line of `bodies` as a segment that follows a line with hash `previous`.
    pub(crate) fn chain(
        organisation: &OrganisationId,
        name: &str,
        recorded_at: Timestamp,
        first: u64,
        previous: LineHash,
        bodies: &[Body],
    ) -> LineHash {
        let header = LineHeader::new(organisation, name, recorded_at, first);
        bodies.iter().enumerate().fold(previous, |previous, (index, body)| {
            LineHash::of(&header.line(header.ids.at(offset(index as u64)), &previous, body.as_str()))
        })
    }
}

/// A stored segment whose bytes were changed.
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
    pub id: EventId,
    pub recorded_at: Timestamp,
    /// One JSON object, without a newline at the end.
    pub text: String,
}

impl Line {
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.id.sequence()
    }
}

/// An event as it is stored, without the log's own fields.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    pub id: EventId,
    pub recorded_at: Timestamp,
    /// A JSON object: the members of its line without those of the log, but with `recordedBy`.
    pub body: &'a str,
}

impl Stored<'_> {
    /// Returns about how long its line is, in bytes.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        /// The log's own fields in a line, with an organisation whose id and name are not long.
        const HEADER_BYTES: usize = 256;
        HEADER_BYTES + self.body.len()
    }
}

/// An event that a read passes.
#[derive(Debug)]
pub enum Seen<'a> {
    /// Its line, if it is wanted.
    Line(Line),
    Unwanted(Stored<'a>),
}

/// The log's own fields of the lines of one segment. Most of them are the same in each line.
struct LineHeader {
    ids: SegmentIds,
    recorded_at: String,
    organisation: String,
}

impl LineHeader {
    fn new(organisation: &OrganisationId, name: &str, recorded_at: Timestamp, first: u64) -> Self {
        Self {
            ids: SegmentIds::new(organisation, recorded_at, first),
            recorded_at: recorded_at.to_string(),
            organisation: format!(
                r#""organisation":{{"id":"{organisation}","name":{},"entityType":"ORGANISATION"}},"#,
                json::quote(name)
            ),
        }
    }

    /// Renders a line: the log's own fields in front of the stored event, with who recorded it among them.
    fn line(&self, id: EventId, previous: &LineHash, body: &str) -> String {
        /// The most bytes of a sequence, an id, a hash, and what is between them.
        const FIXED_BYTES: usize = 256;
        let (recorded_by, event) = event::split(body);
        let mut line = String::with_capacity(FIXED_BYTES + self.organisation.len() + body.len());
        // Writing to a string does not fail.
        let _ = write!(
            line,
            r#"{{"sequence":{},"eventId":"{id}","timestamp":"{}","previousHash":"{previous}","#,
            id.sequence(),
            self.recorded_at
        );
        if let Some(recorded_by) = recorded_by {
            line.extend([r#""recordedBy":""#, recorded_by, r#"","#]);
        }
        line.extend([&self.organisation, event]);
        line
    }
}

/// The bodies of a segment as stored: a byte for the encoding, then the newline-separated bodies in that encoding.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedBodies(Vec<u8>);

impl EncodedBodies {
    const PLAIN: u8 = 0;
    const ZSTD_DICTIONARY_1: u8 = 1;

    /// Encodes `bodies`, compressed if that is smaller.
    #[must_use]
    pub fn encode(bodies: &[Body]) -> Self {
        let text = bodies.iter().map(Body::as_str).collect::<Vec<_>>().join("\n");
        let compressed = compression::compress(text.as_bytes()).ok().filter(|compressed| compressed.len() < text.len());
        let (kind, content) = match &compressed {
            Some(compressed) => (Self::ZSTD_DICTIONARY_1, compressed.as_slice()),
            None => (Self::PLAIN, text.as_bytes()),
        };
        let mut bytes = Vec::with_capacity(content.len() + 1);
        bytes.push(kind);
        bytes.extend_from_slice(content);
        Self(bytes)
    }

    /// Wraps bytes that a store returned.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
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
                // The frame contains the size of its content.
                let size = compression::claimed_size(content)
                    .filter(|size| *size <= MAX_TEXT_BYTES)
                    .ok_or_else(|| invalid("it claims an impossible size"))?;
                compression::decompress(content, size)?
            }
            _ => return Err(invalid("its encoding is unknown")),
        };
        String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl fmt::Debug for EncodedBodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} encoded bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{Layout, MAX_EVENT_BYTES, parse},
        recorded_by::RecordedBy,
    };

    /// Every form of who records an event.
    const FORMS: &str = "annals|platform|token/[A-Za-z0-9]{12}|session/[0-9a-f]{12}";

    fn body(name: &str) -> Body {
        let text = format!(
            r#"{{"action":"CREATE","entity":{{"id":"1","name":"{name}","entityType":"MOCK_API"}},"principal":{{"id":"7","name":"Ada","entityType":"USER"}}}}"#
        );
        parse(text.as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0)
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
            rate: RateState::FULL,
            usage: None,
            claimed: Vec::new(),
            organisation_name: "Acme \"Ltd\"".into(),
            bodies: EncodedBodies::encode(bodies),
            resumes_after: None,
            expires_at: 2_000_000_000,
        }
    }

    #[test]
    fn a_line_is_the_fields_of_the_log_followed_by_the_body() {
        let lines = segment(7, LineHash::ORIGIN, &[body("a"), body("b")]).lines(&"acme".parse().unwrap()).unwrap();
        insta::assert_snapshot!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"), @r#"
        {"sequence":7,"eventId":"01a202b2-c57b-7000-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"0000000000000000000000000000000000000000000000000000000000000000","recordedBy":"platform","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"a","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        {"sequence":8,"eventId":"01a202b2-c57b-7001-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"f517249584f50d17d54167029ac1c3b0e6df2bdad3db56d43e73a6fea9e2f5de","recordedBy":"platform","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"b","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        "#);
        assert!(lines[1].text.contains(&LineHash::of(&lines[0].text).to_string()));
        assert!(serde_json::from_str::<serde_json::Value>(&lines[0].text).is_ok());
    }

    #[test]
    fn bodies_that_were_stored_without_who_recorded_them_keep_their_lines() {
        let bodies = [body("a"), body("b")];
        let stored = bodies.iter().map(Body::event).collect::<Vec<_>>().join("\n");
        let (lines, hash) = segment(7, LineHash::ORIGIN, &bodies).render(&"acme".parse().unwrap(), &stored);
        insta::assert_snapshot!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"), @r#"
        {"sequence":7,"eventId":"01a202b2-c57b-7000-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"0000000000000000000000000000000000000000000000000000000000000000","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"a","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        {"sequence":8,"eventId":"01a202b2-c57b-7001-8000-000001e08acc","timestamp":"2026-11-22T10:00:00.123Z","previousHash":"ea8fc60f32c7ac8938268975b30dd50553f0e78fbb2dcd4d1e4efb84dc65d30c","organisation":{"id":"acme","name":"Acme \"Ltd\"","entityType":"ORGANISATION"},"action":"CREATE","type":"mock_api.create","entity":{"id":"1","name":"b","entityType":"MOCK_API"},"principal":{"id":"7","name":"Ada","entityType":"USER"},"clientType":"API"}
        "#);
        assert_eq!(hash, LineHash::of(&lines[1].text));
    }

    #[test]
    fn the_largest_event_fits_a_segment_although_it_does_not_compress() {
        let event = |reason: &str| {
            format!(
                r#"{{"action":"A","entity":{{"id":"1","name":"n","entityType":"T"}},"principal":{{"id":"1","name":"n","entityType":"T"}},"payload":{{"p":"{reason}"}}}}"#
            )
        };
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'#' + (state >> 58) as u8)
        };
        let noise: String = (0..MAX_EVENT_BYTES - event("").len()).map(|_| noise()).collect();
        let text = event(&noise.replace('\\', "!"));
        assert_eq!(text.len(), MAX_EVENT_BYTES);
        let longest = RecordedBy::Session("0123456789ab".parse().unwrap());
        let bodies = parse(text.as_bytes(), Layout::Json, &longest).unwrap();
        let segment = segment(1, LineHash::ORIGIN, &bodies);
        assert!(segment.bodies.as_bytes().len() <= MAX_ENCODED_BYTES);
        assert_eq!(segment.lines(&"acme".parse().unwrap()).unwrap().len(), 1);
    }

    proptest! {
        /// A name may look like the beginning of a body, and a segment may mix callers: group commit merges their requests.
        #[test]
        fn each_event_of_a_segment_keeps_its_members_and_who_recorded_it(
            events in prop::collection::vec((".{0,20}|[{\",]{0,3}recordedBy[\":,]{0,3}", FORMS), 1..20)
        ) {
            let body = |(name, recorded_by): &(String, String)| {
                let name = json::quote(name);
                let event = format!(
                    r#"{{"action":"A","entity":{{"id":"1","name":{name},"entityType":"T"}},"principal":{{"id":"1","name":"n","entityType":"T"}}}}"#
                );
                parse(event.as_bytes(), Layout::Json, &recorded_by.parse().unwrap()).unwrap().remove(0)
            };
            let bodies: Vec<Body> = events.iter().map(body).collect();
            let lines = segment(7, LineHash::ORIGIN, &bodies).lines(&"acme".parse().unwrap()).unwrap();
            prop_assert_eq!(lines.len(), events.len());
            for (line, ((name, recorded_by), body)) in lines.iter().zip(events.iter().zip(&bodies)) {
                let read: serde_json::Value = serde_json::from_str(&line.text).unwrap();
                prop_assert_eq!(read["recordedBy"].as_str(), Some(recorded_by.as_str()));
                prop_assert_eq!(read["entity"]["name"].as_str(), Some(name.as_str()));
                prop_assert!(line.text.ends_with(&body.event()[1..]));
                prop_assert_eq!(body.event_bytes(), body.event().len());
            }
        }
    }

    #[test]
    fn a_damaged_segment_is_an_error_and_not_a_wrong_line() {
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
    fn only_segments_with_a_wanted_event_are_compared_with_their_hash() {
        let acme: OrganisationId = "acme".parse().unwrap();
        let good = segment(7, LineHash::ORIGIN, &[body("a"), body("b"), body("c")]);
        let lines = good.lines(&acme).unwrap();
        let seen = |segment: &Segment, order, wanted: &str| {
            let mut seen = Vec::new();
            let end = segment.visit(
                &acme,
                order,
                |stored| stored.body.contains(wanted),
                |event| {
                    seen.push(match event {
                        Seen::Line(line) => {
                            assert_eq!(line, lines[usize::from(line.id.index())]);
                            (line.sequence(), true)
                        }
                        Seen::Unwanted(stored) => (stored.id.sequence(), false),
                    });
                    ControlFlow::Continue(())
                },
            );
            end.map(|_| seen)
        };
        let b = r#""name":"b""#;
        assert_eq!(seen(&good, Order::Ascending, b).unwrap(), [(7, false), (8, true), (9, false)]);
        assert_eq!(seen(&good, Order::Descending, "").unwrap(), [(9, true), (8, true), (7, true)]);
        let other = Segment { hash: LineHash::ORIGIN, ..good.clone() };
        assert_eq!(seen(&other, Order::Ascending, "nothing").unwrap().len(), 3);
        assert!(seen(&other, Order::Ascending, b).is_err());
        assert!(seen(&Segment { count: 2, ..good }, Order::Ascending, "nothing").is_err(), "the count is compared");
    }

    #[test]
    fn a_damaged_segment_that_decodes_to_a_million_lines_does_not_render_them() {
        let acme = "acme".parse().unwrap();
        let good = segment(1, LineHash::ORIGIN, &[body("a")]);
        let newlines = "\n".repeat(MAX_TEXT_BYTES);
        assert_eq!(good.render(&acme, &newlines).0.len(), 2);
        let mut bytes = compression::compress(newlines.as_bytes()).unwrap();
        bytes.insert(0, EncodedBodies::ZSTD_DICTIONARY_1);
        assert!(bytes.len() < 100, "{} bytes", bytes.len());
        assert!(Segment { bodies: EncodedBodies::from_bytes(bytes), ..good }.lines(&acme).is_err());
    }

    #[test]
    fn bodies_are_compressed_only_if_that_is_smaller_and_decode_either_way() {
        for bodies in [vec![body("a")], (0..1000).map(|i| body(&i.to_string())).collect()] {
            let text = bodies.iter().map(Body::as_str).collect::<Vec<_>>().join("\n");
            assert_eq!(EncodedBodies::encode(&bodies).decode().unwrap(), text);
        }
        assert_eq!(EncodedBodies::from_bytes(b"\0{}".to_vec()).decode().unwrap(), "{}");
    }
}
