//! Segments and anchors as items of the log table.

use annals_core::{
    event::MAX_EVENTS,
    log::{
        rate::RateState,
        segment::{AppendId, ClaimId, Claimed, EncodedBodies, Header, LineHash, Segment, Tail},
        store::{Hole, StoreError},
        tail::{Anchor, End},
    },
    organisation::OrganisationId,
    time::Timestamp,
    usage::LogMonth,
};

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{Attributes, Builder, EXPIRY, Item, ORG, SEQ, malformed};

const COUNT: &str = "n";
const RECORDED_AT: &str = "t";
const PREVIOUS_HASH: &str = "p";
const HASH: &str = "h";
const APPEND: &str = "a";
/// The claims of idempotency keys whose requests begin in the segment: 16 bytes each and the index of the first event as two
/// bytes, big-endian. Absent if there are none.
const CLAIMED: &str = "k";
const CLAIMED_BYTES: usize = 16 + 2;
const BODIES: &str = "z";
/// The rate limit's state. Releases before it existed did not store it.
const RATE: &str = "r";
/// The counts of the month. Releases before they existed did not store them.
const USAGE: &str = "u";
const ORGANISATION_NAME: &str = "o";
/// Attributes of an anchor: the sequence of the tail, and the first sequence of its segment.
pub(super) const LAST: &str = "last";
pub(super) const LAST_SEGMENT: &str = "segment";
/// When it was last certain that an anchor has the tail. Version 0.1 did not write it.
pub(super) const CHECKED: &str = "checked";

/// The last sequence before a segment that follows a hole.
const RESUMES_AFTER: &str = "g";
/// The sort key of the item with the holes that restores left in a log.
const HOLES_SEQ: &str = "-1";
/// The holes: texts `RESTORE FIRST-LAST` in the order of the restores.
pub(super) const HOLES: &str = "holes";

pub(super) fn segment_item(organisation: &OrganisationId, segment: &Segment) -> Attributes {
    let mut claimed = Vec::with_capacity(CLAIMED_BYTES * segment.claimed.len());
    for one in &segment.claimed {
        claimed.extend(one.claim.0);
        claimed.extend(one.index.to_be_bytes());
    }
    Builder::default()
        .bytes_unless_empty(CLAIMED, &claimed)
        .text(ORG, organisation)
        .number(SEQ, segment.first)
        .number(COUNT, u64::from(segment.count))
        .time(RECORDED_AT, segment.recorded_at)
        .bytes(PREVIOUS_HASH, &segment.previous_hash.0)
        .bytes(HASH, &segment.hash.0)
        .bytes(APPEND, &segment.append.0)
        .bytes(RATE, &segment.rate.to_bytes())
        .bytes_unless_empty(USAGE, &usage_bytes(segment.usage))
        .text(ORGANISATION_NAME, &segment.organisation_name)
        .bytes(BODIES, segment.bodies.as_bytes())
        .number_if(RESUMES_AFTER, segment.resumes_after)
        .number(EXPIRY, segment.expires_at)
        .build()
}

pub(super) fn read_segment(item: &Item) -> Result<Segment, StoreError> {
    let count = u16::try_from(item.number(COUNT)?).ok();
    Ok(Segment {
        first: item.number(SEQ)?,
        count: count.filter(|count| (1..=MAX_EVENTS).contains(&usize::from(*count))).ok_or_else(|| malformed(COUNT))?,
        recorded_at: item.time(RECORDED_AT)?,
        previous_hash: LineHash(item.array(PREVIOUS_HASH)?),
        hash: LineHash(item.array(HASH)?),
        append: AppendId(item.array(APPEND)?),
        rate: read_rate(item)?,
        usage: read_usage(item)?,
        claimed: read_claimed(item)?,
        organisation_name: item.text(ORGANISATION_NAME)?.to_owned(),
        bodies: EncodedBodies::from_bytes(item.bytes(BODIES)?.to_vec()),
        resumes_after: item.number_if(RESUMES_AFTER)?,
        expires_at: item.number(EXPIRY)?,
    })
}

fn read_claimed(item: &Item) -> Result<Vec<Claimed>, StoreError> {
    let bytes = if item.has(CLAIMED) { item.bytes(CLAIMED)? } else { &[] };
    let (claimed, rest) = bytes.as_chunks::<CLAIMED_BYTES>();
    if !rest.is_empty() {
        return Err(malformed(CLAIMED));
    }
    let read = |[claim @ .., high, low]: &[u8; CLAIMED_BYTES]| Claimed {
        claim: ClaimId(*claim),
        index: u16::from_be_bytes([*high, *low]),
    };
    Ok(claimed.iter().map(read).collect())
}

/// Reads the header of a segment.
pub(super) fn read_header(item: &Item) -> Result<Header, StoreError> {
    Ok(Header { append: AppendId(item.array(APPEND)?), claimed: read_claimed(item)?, tail: read_tail(item)? })
}

pub(super) fn anchor_key(organisation: &OrganisationId) -> Attributes {
    Builder::default().text(ORG, organisation).number(SEQ, 0).build()
}

pub(super) fn anchor_item(organisation: &OrganisationId, anchor: &Anchor) -> Attributes {
    let Anchor { tail, checked } = anchor;
    let mut item = Builder::default()
        .number(LAST, tail.last)
        .number(LAST_SEGMENT, tail.segment)
        .time(RECORDED_AT, tail.recorded_at)
        .bytes(HASH, &tail.hash.0)
        .time_if(CHECKED, *checked)
        .bytes_unless_empty(USAGE, &usage_bytes(tail.usage))
        .build();
    item.extend(anchor_key(organisation));
    item
}

pub(super) fn read_anchor(item: &Item) -> Result<Anchor, StoreError> {
    let checked = item.has(CHECKED).then(|| item.time(CHECKED)).transpose()?;
    Ok(Anchor { tail: read_tail(item)?, checked })
}

/// Reads a segment's header or an anchor.
pub(super) fn read_end(item: &Item) -> Result<End, StoreError> {
    match item.number(SEQ)? {
        0 => read_anchor(item).map(End::Anchor),
        _ => read_tail(item).map(End::Segment),
    }
}

/// Returns the item that takes the first place of a hole: an anchor with the id of the append that left the hole.
pub(super) fn barrier_item(organisation: &OrganisationId, hole: &Hole, segment: &Segment) -> Attributes {
    let mut item = anchor_item(organisation, &Anchor { tail: segment.tail(), checked: None });
    item.extend(Builder::default().number(SEQ, hole.first).bytes(APPEND, &segment.append.0).build());
    item
}

/// Returns whether an item between segments is one.
pub(super) fn is_segment(item: &Item) -> bool {
    item.has(COUNT)
}

pub(super) fn holes_key(organisation: &OrganisationId) -> Attributes {
    let mut key = Builder::default().text(ORG, organisation).build();
    key.insert(SEQ.to_owned(), AttributeValue::N(HOLES_SEQ.to_owned()));
    key
}

pub(super) fn holes_item(organisation: &OrganisationId, holes: &[Hole]) -> Attributes {
    let text = |hole: &Hole| AttributeValue::S(format!("{} {}-{}", hole.restore, hole.first, hole.last));
    let mut item = holes_key(organisation);
    item.insert(HOLES.to_owned(), AttributeValue::L(holes.iter().map(text).collect()));
    item
}

pub(super) fn read_holes(item: &Item) -> Result<Vec<Hole>, StoreError> {
    let read = |text: &String| {
        let (restore, range) = text.split_once(' ')?;
        let (first, last) = range.split_once('-')?;
        Some(Hole { restore: restore.parse().ok()?, first: first.parse().ok()?, last: last.parse().ok()? })
    };
    let texts = item.texts(HOLES)?;
    texts.into_iter().map(|text| read(text).ok_or_else(|| malformed(HOLES))).collect()
}

/// Reads the tail from a segment's header, an anchor, or the item in the first place of a hole.
pub(super) fn read_tail(item: &Item) -> Result<Tail, StoreError> {
    let first = item.number(SEQ)?;
    let (last, segment) = match item.has(LAST) {
        true => (item.number(LAST)?, item.number(LAST_SEGMENT)?),
        false => (first + item.number(COUNT)? - 1, first),
    };
    let (recorded_at, hash) = (item.time(RECORDED_AT)?, LineHash(item.array(HASH)?));
    Ok(Tail { last, segment, recorded_at, hash, rate: read_rate(item)?, usage: read_usage(item)? })
}

fn read_rate(item: &Item) -> Result<RateState, StoreError> {
    Ok(if item.has(RATE) { RateState::from_bytes(item.bytes(RATE)?) } else { RateState::FULL })
}

fn usage_bytes(usage: Option<LogMonth>) -> Vec<u8> {
    usage.map(LogMonth::to_bytes).unwrap_or_default()
}

fn read_usage(item: &Item) -> Result<Option<LogMonth>, StoreError> {
    Ok(if item.has(USAGE) { LogMonth::from_bytes(item.bytes(USAGE)?) } else { None })
}

/// The sort keys of the counts of months that are over: this, and before it a key for each month since January 1970.
const CLOSED_BEFORE: i32 = -1000;

fn closed_seq(month: u16) -> AttributeValue {
    AttributeValue::N((CLOSED_BEFORE - i32::from(month)).to_string())
}

/// Returns the first and the last sort key of months that are over.
pub(super) fn closed_seqs() -> (AttributeValue, AttributeValue) {
    (closed_seq(u16::MAX), closed_seq(0))
}

/// Returns the item with the counts of a month that is over, up to and with the sequence `last`.
pub(super) fn closed_item(organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Attributes {
    let item = Builder::default().text(ORG, organisation).bytes(USAGE, &closed.to_bytes()).number(LAST, last);
    let mut item = item.build();
    item.insert(SEQ.to_owned(), closed_seq(closed.month.number()));
    item
}

pub(super) fn read_closed(item: &Item) -> Result<LogMonth, StoreError> {
    LogMonth::from_bytes(item.bytes(USAGE)?).ok_or_else(|| malformed(USAGE))
}

pub(super) fn read_recorded_at(item: &Item) -> Result<Timestamp, StoreError> {
    item.time(RECORDED_AT)
}
