//! The port to the storage of segments. One contract suite runs over every implementation.

#![warn(missing_docs)]

use std::{error::Error, fmt, ops::RangeInclusive};

use async_trait::async_trait;

use crate::{
    change::{Change, Conflict},
    operator::OperatorFault,
    organisation::OrganisationId,
    time::Timestamp,
    usage::LogMonth,
};

use super::{
    restore::RestoreId,
    segment::{ClaimId, Header, Segment},
    tail::{Anchor, Hazard, Newest},
};

/// An adapter's error, to be logged; never shown to a caller of the API.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It rejected the request because of load and did nothing.
    #[error("the store is throttling")]
    Throttled(#[source] Source),
    /// It did not answer. It is unknown whether it did what it was asked.
    #[error("the store did not answer")]
    Unavailable(#[source] Source),
    /// It returned data that was never written, or rejected a valid request. A retry does not help.
    #[error("the store's answer makes no sense")]
    Broken(#[source] Source),
    /// It answered, but what it answered does not suffice to use the log safely. Nothing was written.
    #[error(transparent)]
    Unsafe(#[from] Hazard),
    /// Annals lacks a right, a table or a key. It did nothing, and a retry does not help.
    #[error("the deployment lacks what the store needs")]
    Operator(#[source] OperatorFault),
}

impl From<super::segment::DamagedSegment> for StoreError {
    fn from(error: super::segment::DamagedSegment) -> Self {
        Self::Broken(error.into())
    }
}

/// Why a commit was not made. Only after [`StoreError::Unavailable`] may it have been made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A segment is already stored at one of the places: the first of them.
    #[error("the place in the log is taken")]
    Occupied(Box<Header>),
    /// The registry is not in the state that the change requires.
    #[error("the change was refused")]
    Refused(Conflict),
    /// Another transaction is writing the same items.
    #[error("another transaction is in progress")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The position of one request's events within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The segment's first sequence.
    pub segment: u64,
    /// When the segment was recorded.
    pub recorded_at: Timestamp,
    /// The index of the request's first event in the segment.
    pub index: u16,
    /// The number of the request's events in the segment.
    pub count: u16,
}

/// Names the append of the requests with an idempotency key, before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClaim {
    /// SHA-256 of the key as the client sent it.
    pub key: [u8; 32],
    /// SHA-256 of the request's events.
    pub fingerprint: [u8; 32],
    /// The segment of the append lists it.
    pub id: ClaimId,
    /// No segment up to this sequence is or will be the append's.
    pub from: u64,
    /// When the key may be used again, in seconds since the epoch.
    pub expires_at: u64,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUse {
    /// The append that the claim names, which may be written or not.
    Claimed(KeyClaim),
    /// Events that release 0.1.0 recorded, in one transaction with the key.
    Recorded(RecordedKey),
}

/// The use of an idempotency key as release 0.1.0 stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedKey {
    /// SHA-256 of the request's events.
    pub fingerprint: [u8; 32],
    /// The positions of the request's events.
    pub spans: Vec<Span>,
}

/// A stretch of sequences that have no events, because the log's table was restored to an earlier copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The restore that left it.
    pub restore: RestoreId,
    /// The first sequence without an event.
    pub first: u64,
    /// The last sequence without an event.
    pub last: u64,
}

/// Segments that are written together, with the change of the registry that they record. A commit is all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// At least one. They follow one another without a gap and share one append id.
    pub segments: Vec<Segment>,
    /// Written in the same transaction.
    pub change: Option<Change>,
}

/// The order of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By increasing sequence, which is chronological.
    Ascending,
    /// By decreasing sequence.
    Descending,
}

/// The consistency of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// May miss the newest writes. Costs half.
    Eventual,
    /// Sees every write that was acknowledged before it.
    Strong,
}

/// The most places of one [`LogStore::find`] (Amazon DynamoDB, "BatchGetItem").
pub const MAX_PLACES: usize = 100;

/// A sequence at which a segment may begin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The sequence.
    pub sequence: u64,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A segment, which was recorded at this time, or what takes the first place of a hole before a segment of this time.
    Segment(Timestamp),
    /// No segment begins there.
    Nothing,
    /// The store did not look there, because of load.
    Unknown,
}

/// The storage of segments. Every call is for one organisation and cannot touch data of another.
#[async_trait]
pub trait LogStore: fmt::Debug + Send + Sync {
    /// Returns the item with the highest sequence, strongly consistent: the newest segment, or the anchor if no segment
    /// is left.
    async fn newest(&self, organisation: &OrganisationId) -> Result<Newest, StoreError>;

    /// Returns the anchor, strongly consistent; `None` if the organisation has no log.
    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Anchor>, StoreError>;

    /// Returns the anchors of these logs, in the same order, eventually consistent.
    async fn anchors(&self, organisations: &[OrganisationId]) -> Result<Vec<Option<Anchor>>, StoreError>;

    /// Writes the anchor if its sequence is later than the stored one's, or the same and checked later. A stored time
    /// that is more than a day later than the new one came from a wrong clock, and is replaced. Returns whether it was
    /// written.
    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Anchor) -> Result<bool, StoreError>;

    /// Writes a commit on the condition that no segment is stored at any of its places and its change is not refused. If
    /// both conditions fail, reports the occupied place.
    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError>;

    /// Returns the holes that restores left in the log, the oldest first, strongly consistent.
    async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError>;

    /// Writes a hole and the segment behind it. Takes the hole's first place, too, so that a writer that has seen the log without
    /// the segment cannot write there: for [`commit`](Self::commit) that place is occupied by this segment. Returns `false` and
    /// writes nothing if one of both places is occupied, a hole of the same restore is stored, or another hole is being
    /// written.
    async fn leave_hole(
        &self,
        organisation: &OrganisationId,
        hole: &Hole,
        segment: &Segment,
    ) -> Result<bool, StoreError>;

    /// Writes a claim, unless the key is in use at `now`, in seconds since the epoch. Returns what the key stands for if it
    /// is in use, and `None` if the claim was written.
    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError>;

    /// Replaces a claim of the same key, unless it is not stored as `before` any more. Returns whether it was replaced.
    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError>;

    /// Stores the counts of a month that is over in the log up to and with the sequence `last`. Does nothing if counts of that
    /// month are stored up to a later sequence. They do not expire.
    async fn close_month(&self, organisation: &OrganisationId, closed: &LogMonth, last: u64) -> Result<(), StoreError>;

    /// Returns the counts that were stored of months that are over, the latest first, strongly consistent.
    async fn closed_months(&self, organisation: &OrganisationId) -> Result<Vec<LogMonth>, StoreError>;

    /// Looks at up to [`MAX_PLACES`] places of any logs, eventually consistent. Returns what is there, in the same order.
    /// Costs half a read unit for each place without a segment.
    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError>;

    /// Returns the segments whose first sequence is in `range`, in `order`: at most `limit`, and possibly fewer, because
    /// a store limits the size of its answers. No stored segment is left out between the beginning of the range and the
    /// last segment returned, except the newest ones if `consistency` is eventual. An empty answer means that no segment
    /// begins in the range.
    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError>;
}
