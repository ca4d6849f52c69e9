//! The port to where segments are kept. One contract suite (`tests/tests/contract.rs`) holds every implementation to it.

#![warn(missing_docs)]

use std::{error::Error, fmt};

use async_trait::async_trait;

use crate::{
    change::{Change, Conflict},
    organisation::OrganisationId,
    time::Timestamp,
};

use super::segment::{AppendId, Segment, Tail};

/// An error of an adapter, for the logs; never for a caller's eyes.
pub type Source = Box<dyn Error + Send + Sync>;

/// A store that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It refused for load: it did nothing.
    #[error("the store is throttling")]
    Throttled(#[source] Source),
    /// It did not answer, or not with an answer: whether it did what it was asked is unknown.
    #[error("the store did not answer")]
    Unavailable(#[source] Source),
    /// It gave back what was never written there, or refuses what is right: retrying does not help.
    #[error("the store's answer makes no sense")]
    Broken(#[source] Source),
}

impl From<super::segment::DamagedSegment> for StoreError {
    fn from(error: super::segment::DamagedSegment) -> Self {
        Self::Broken(error.into())
    }
}

/// What is already at the place where a segment should go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Whose append it is.
    pub append: AppendId,
    /// The log's tail when it was written.
    pub tail: Tail,
}

/// Why a commit did not take place.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// There is a segment already: nothing was written.
    #[error("the place in the log is taken")]
    Occupied(Occupant),
    /// What should be written beside the segments, at this index, was refused: nothing was written.
    #[error("what should be written beside the segments was refused")]
    Refused(usize, Refusal),
    /// Another transaction touches the same items at this moment: nothing was written.
    #[error("another transaction is in progress")]
    Busy,
    /// Anything else. After [`StoreError::Unavailable`] it may have been written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where one request's events are within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The segment's first sequence.
    pub segment: u64,
    /// When the segment was recorded.
    pub recorded_at: Timestamp,
    /// The index of the request's first event in it.
    pub index: u16,
    /// How many of its events are the request's.
    pub count: u16,
}

/// What an idempotency key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// SHA-256 of the key as the client sent it.
    pub key: [u8; 32],
    /// SHA-256 of the request's events.
    pub fingerprint: [u8; 32],
    /// Where its events are.
    pub spans: Vec<Span>,
    /// From when on the key may be used anew, in seconds since the epoch.
    pub expires_at: u64,
}

/// Something that is written in the same transaction as segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactItem {
    /// An idempotency key that comes to be used.
    Key(IdempotencyRecord),
    /// A change of the registry that the segments record.
    Change(Change),
}

/// Why something could not be written beside segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The idempotency key is in use.
    KeyInUse(Box<IdempotencyRecord>),
    /// The registry is not as the change expects.
    Conflict(Conflict),
}

/// Segments, one after the other, and what is written beside them: together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// At least one; they follow one another without a gap and share one append id.
    pub segments: Vec<Segment>,
    /// What is written beside them.
    pub items: Vec<TransactItem>,
    /// The present moment, in seconds since the epoch: keys that expired before it count as free.
    pub now: u64,
}

/// The order of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By rising sequence: chronological.
    Ascending,
    /// By falling sequence.
    Descending,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// It may miss the newest writes. Half the price.
    Eventual,
    /// It sees every write that was acknowledged before it.
    Strong,
}

/// Where segments are kept. Every call is for one organisation and can touch no other's.
#[async_trait]
pub trait LogStore: fmt::Debug + Send + Sync {
    /// The tail that the item with the highest sequence speaks of: a segment's, or the anchor's where no segment is
    /// left. Strongly consistent. `None` where there is neither.
    async fn newest(&self, organisation: &OrganisationId) -> Result<Option<Tail>, StoreError>;

    /// The anchor, strongly consistent; `None` where the organisation has no log.
    async fn anchor(&self, organisation: &OrganisationId) -> Result<Option<Tail>, StoreError>;

    /// Writes the anchor, unless there is one that is as far along. Says whether it wrote.
    async fn advance_anchor(&self, organisation: &OrganisationId, to: &Tail) -> Result<bool, StoreError>;

    /// Writes a commit whole, on condition that no segment is at any of its places and nothing beside
    /// them is refused.
    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError>;

    /// The segments whose first sequence is in `from..=to`, at most `limit` of them, and perhaps fewer: a page ends at
    /// the store's own bound. What is returned is a run without omissions from the range's beginning (in `order`) as
    /// far as it goes, but for deleted segments and, where `consistency` is eventual, for the newest. Empty means that
    /// there is none in the whole range.
    async fn range(
        &self,
        organisation: &OrganisationId,
        range: std::ops::RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError>;
}
