//! Segments and anchors as items of the log table.

use annals_core::{
    event::MAX_EVENTS,
    log::{
        segment::{AppendId, ClaimId, Claimed, EncodedBodies, Header, LineHash, Segment, Tail},
        store::StoreError,
        tail::{Anchor, End},
    },
    organisation::OrganisationId,
};

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
const ORGANISATION_NAME: &str = "o";
/// Attributes of an anchor: the sequence of the tail, and the first sequence of its segment.
pub(super) const LAST: &str = "last";
pub(super) const LAST_SEGMENT: &str = "segment";
/// When it was last certain that an anchor has the tail. Version 0.1 did not write it.
pub(super) const CHECKED: &str = "checked";

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
        .text(ORGANISATION_NAME, &segment.organisation_name)
        .bytes(BODIES, segment.bodies.as_bytes())
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
        claimed: read_claimed(item)?,
        organisation_name: item.text(ORGANISATION_NAME)?.to_owned(),
        bodies: EncodedBodies::from_bytes(item.bytes(BODIES)?.to_vec()),
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

/// Reads the tail from a segment's header or an anchor.
pub(super) fn read_tail(item: &Item) -> Result<Tail, StoreError> {
    let first = item.number(SEQ)?;
    let (last, segment) = match first {
        0 => (item.number(LAST)?, item.number(LAST_SEGMENT)?),
        _ => (first + item.number(COUNT)? - 1, first),
    };
    Ok(Tail { last, segment, recorded_at: item.time(RECORDED_AT)?, hash: LineHash(item.array(HASH)?) })
}
