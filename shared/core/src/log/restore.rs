//! Continuing a log after its table was restored to an earlier copy.
//!
//! The copy ends earlier than the log did, and the numbers behind its end were used: for events that were delivered, read or
//! acknowledged. So the log continues behind the highest number that can have been used. The first event there records what
//! was lost, and its segment names the event that it follows, so that no reader takes the hole for missing events.
//!
//! The first place of the hole is taken in the same transaction. A writer that has seen only the copy puts its segment there
//! and fails as if another writer had won.

use std::{fmt, str::FromStr, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{
    Log,
    rate::RateState,
    segment::{AppendId, EncodedBodies, Segment, Tail},
    store::{Hole, StoreError},
};
use crate::{
    event::Body,
    organisation::{Organisation, OrganisationId},
    usage::{LogMonth, Month},
};

/// Sequences have 40 bits in event ids.
const MAX_SEQUENCE: u64 = (1 << 40) - 1;
/// The most attempts to record a restore. An attempt fails if a writer records an event at the same time.
const MAX_ATTEMPTS: u32 = 10;
/// The pause between attempts after the store failed.
const PAUSE: Duration = Duration::from_millis(200);

/// The name of a restore, by which a repetition is recognised: 1 to 255 letters, digits, dots, hyphens and underscores, such
/// as the name of the restored table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RestoreId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a restore: 1 to 255 letters, digits, dots, hyphens and underscores")]
pub struct RestoreIdError;

impl RestoreId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the append that records the restore in a log.
    fn append(&self) -> AppendId {
        let digest = Sha256::digest(format!("restore {}", self.0).as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        AppendId(id)
    }
}

impl FromStr for RestoreId {
    type Err = RestoreIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_valid = (1..=255).contains(&text.len()) && text.bytes().all(fits);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(RestoreIdError) }
    }
}

impl fmt::Display for RestoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the sequence of the event that is `count` events behind the one at `start`. `holes` are the log's, the oldest first.
#[must_use]
pub fn forward(holes: &[Hole], start: u64, count: u64) -> u64 {
    let (mut at, mut left) = (start, count);
    for hole in holes.iter().filter(|hole| hole.last >= start) {
        let before = hole.first.saturating_sub(at);
        if left < before {
            break;
        }
        left -= before;
        at = hole.last + 1;
    }
    at.saturating_add(left)
}

/// Returns the sequence of the event that is `count` events before the one at `end`; 0 if there are not as many. `holes` are
/// the log's, the oldest first.
#[must_use]
pub fn backward(holes: &[Hole], end: u64, count: u64) -> u64 {
    let (mut at, mut left) = (end, count);
    for hole in holes.iter().rev().filter(|hole| hole.first <= end) {
        let behind = at.saturating_sub(hole.last);
        if left < behind {
            break;
        }
        left -= behind;
        at = hole.first - 1;
    }
    at.saturating_sub(left)
}

/// Returns how many of the sequences from `first` up to and without `end` have events. `holes` are the log's.
#[must_use]
pub fn count(holes: &[Hole], first: u64, end: u64) -> u64 {
    let without = |hole: &Hole| (hole.last + 1).min(end).saturating_sub(hole.first.max(first));
    end.saturating_sub(first) - holes.iter().map(without).sum::<u64>()
}

/// Why a restore could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("no sequences are left behind the hole: choose a smaller one")]
    NumbersUsedUp,
    #[error("other writers won every attempt: stop recording first")]
    Contended,
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Log {
    /// Returns the holes that restores left in the log, the oldest first.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn holes(&self, organisation: &OrganisationId) -> Result<Vec<Hole>, StoreError> {
        self.store.holes(organisation).await
    }

    /// Lets a restored log continue. At least `skipped` sequences behind `known` and behind the end of the copy get no event:
    /// `known` is the highest one that is known to have been used. Records the event that `event` returns for the hole behind
    /// it. Does nothing if this restore has been recorded before. Returns the hole.
    ///
    /// # Errors
    /// Returns an error if the restore was not recorded. After [`RestoreError::Store`] it may have been: repeat the call.
    pub async fn restore(
        &self,
        organisation: &Organisation,
        restore: &RestoreId,
        known: u64,
        skipped: u64,
        event: impl Fn(&Hole) -> Body + Send + Sync,
    ) -> Result<Hole, RestoreError> {
        let mut failure = None;
        for _ in 0..MAX_ATTEMPTS {
            match self.try_restore(organisation, restore, known, skipped, &event).await {
                Ok(Some(hole)) => return Ok(hole),
                Ok(None) => failure = None,
                Err(RestoreError::Store(error)) if !matches!(error, StoreError::Broken(_)) => {
                    failure = Some(error);
                    self.clock.sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.map_or(RestoreError::Contended, RestoreError::Store))
    }

    /// Makes one attempt. `None` if another writer was faster.
    async fn try_restore(
        &self,
        organisation: &Organisation,
        restore: &RestoreId,
        known: u64,
        skipped: u64,
        event: &(impl Fn(&Hole) -> Body + Send + Sync),
    ) -> Result<Option<Hole>, RestoreError> {
        let id = &organisation.id;
        if let Some(hole) = self.store.holes(id).await?.into_iter().find(|hole| hole.restore == *restore) {
            // The tail is now known for certain, even if the copy is old.
            self.maintain(id).await?;
            return Ok(Some(hole));
        }
        let newest = self.store.newest(id).await?.tail().unwrap_or(Tail::ORIGIN);
        let anchor = self.store.anchor(id).await?.map_or(Tail::ORIGIN, |anchor| anchor.tail);
        let tail = if anchor.last > newest.last { anchor } else { newest };
        let last = tail.last.max(known).saturating_add(skipped.max(1));
        if last >= MAX_SEQUENCE {
            return Err(RestoreError::NumbersUsedUp);
        }
        let hole = Hole { restore: restore.clone(), first: tail.last + 1, last };
        let segment = self.segment_behind(organisation, &tail, &hole, event(&hole));
        if let Some(closed) = tail.usage.filter(|usage| usage.month < Month::of(segment.recorded_at)) {
            let closed = LogMonth { unknown_until: Some(segment.recorded_at), ..closed };
            self.store.close_month(id, &closed, tail.last).await?;
        }
        if !self.store.leave_hole(id, &hole, &segment).await? {
            // Another writer was faster, or an earlier attempt had arrived and its answer was lost.
            return Ok(None);
        }
        self.maintain(id).await?;
        Ok(Some(hole))
    }

    /// Returns the segment with the event `event`, behind `hole`, which is behind `tail`.
    fn segment_behind(&self, organisation: &Organisation, tail: &Tail, hole: &Hole, event: Body) -> Segment {
        let first = hole.last + 1;
        let recorded_at = self.clock.now().max(tail.recorded_at.plus(Duration::from_millis(1)));
        let bodies = [event];
        // What was lost is not counted.
        let mut usage = LogMonth { unknown_until: Some(recorded_at), ..tail.usage_at(recorded_at) };
        usage.counts.add(&bodies);
        Segment {
            first,
            count: 1,
            recorded_at,
            previous_hash: tail.hash,
            hash: Segment::chain(&organisation.id, &organisation.name, recorded_at, first, tail.hash, &bodies),
            append: hole.restore.append(),
            rate: RateState::FULL,
            usage: Some(usage),
            claimed: Vec::new(),
            organisation_name: organisation.name.clone(),
            bodies: EncodedBodies::encode(&bodies),
            resumes_after: Some(tail.last),
            expires_at: recorded_at.plus(organisation.retention.duration()).as_secs_ceil(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counting_leaves_holes_out(
            lengths in prop::collection::vec((1..6_u64, 1..6_u64), 0..4),
            start in 1..40_u64,
            steps in 0..40_u64,
        ) {
            let (mut holes, mut next) = (Vec::new(), 1);
            for (events, lost) in lengths {
                let first = next + events;
                next = first + lost;
                holes.push(Hole { restore: "copy".parse().unwrap(), first, last: next - 1 });
            }
            let has_event = |sequence: &u64| !holes.iter().any(|hole| (hole.first..=hole.last).contains(sequence));
            prop_assume!(has_event(&start));
            let behind: Vec<u64> = (start..200).filter(has_event).collect();
            prop_assert_eq!(forward(&holes, start, steps), behind[steps as usize]);
            let before: Vec<u64> = (1..=start).rev().filter(has_event).collect();
            prop_assert_eq!(backward(&holes, start, steps), before.get(steps as usize).copied().unwrap_or(0));
            let between = (start..start + steps).filter(has_event).count() as u64;
            prop_assert_eq!(count(&holes, start, start + steps), between);
        }
    }
}
