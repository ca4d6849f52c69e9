//! Finding the positions of times in a log, without an index in the store: recording times increase with sequences, so a
//! position is found by a search over the segments' headers.
//!
//! Many times are searched for together in rounds. Each round reads two segments per time concurrently, and each segment
//! found narrows the search for all times. So the number of round trips hardly depends on the number of times. Counts of
//! events between times follow from the positions, because sequences have no gaps.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all};

use super::{
    Log,
    segment::{Segment, Tail},
    store::{Consistency, Order, StoreError},
    tail::{Hazard, cannot_have_expired},
};
use crate::{
    organisation::{Organisation, OrganisationId, RetentionDays},
    time::Timestamp,
};

/// The segments of a log that are known so far.
#[derive(Debug)]
pub struct SegmentIndex {
    organisation: OrganisationId,
    tail: Tail,
    /// By first sequence.
    segments: BTreeMap<u64, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// No segment begins in `from..first`.
    from: u64,
    last: u64,
    recorded_at: Timestamp,
}

impl SegmentIndex {
    fn new(organisation: &OrganisationId, tail: Tail, oldest: Option<&Segment>) -> Self {
        let mut index = Self { organisation: organisation.clone(), tail, segments: BTreeMap::new() };
        if let Some(oldest) = oldest.filter(|oldest| oldest.first <= tail.last) {
            let end = Known { from: tail.segment, last: tail.last, recorded_at: tail.recorded_at };
            index.segments.insert(tail.segment, end);
            index.learn(1, Some(oldest));
        }
        index
    }

    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Returns the recording time of the oldest segment that is stored, expired or not.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.segments.first_key_value().map(|(_, known)| known.recorded_at)
    }

    /// Returns the last known segment before `time`, and the first known segment at or after it.
    fn around(&self, time: Timestamp) -> (Option<Known>, Option<(u64, Known)>) {
        let before = self.segments.values().rev().find(|known| known.recorded_at < time);
        let after = self.segments.iter().find(|(_, known)| known.recorded_at >= time);
        (before.copied(), after.map(|(first, known)| (*first, *known)))
    }

    /// Returns the first sequence of the first known segment at or after `time`, or the sequence after the tail.
    fn position(&self, time: Timestamp) -> u64 {
        self.around(time).1.map_or(self.tail.last + 1, |(first, _)| first)
    }

    /// Returns where to look next for the position of `time`: the position expected if events are spread evenly, and
    /// the middle of the range in case they are not. Returns `None` if the position is known.
    fn guesses(&self, time: Timestamp) -> Option<[u64; 2]> {
        let (Some(before), Some((_, after))) = self.around(time) else { return None };
        let start = before.last + 1;
        let width = after.from.checked_sub(start).filter(|width| *width > 0)?;
        let part = time.since(before.recorded_at).as_millis();
        let whole = after.recorded_at.since(before.recorded_at).as_millis().max(1);
        let even = u64::try_from(u128::from(width) * part / whole).unwrap_or(u64::MAX);
        Some([even, width / 2].map(|steps| start + steps.min(width - 1)))
    }

    /// Adds that `found` is the first segment that begins at `asked` or later.
    fn learn(&mut self, asked: u64, found: Option<&Segment>) {
        if let Some(segment) = found.filter(|segment| segment.first <= self.tail.last) {
            // No segment begins in a hole that a restore left.
            let from = segment.previous() + 1;
            let known = Known { from, last: segment.last(), recorded_at: segment.recorded_at };
            self.segments.entry(segment.first).or_insert(known);
        }
        if let Some((_, next)) = self.segments.range_mut(asked..).next() {
            next.from = next.from.min(asked);
        }
    }
}

impl Log {
    /// Returns an index of a log's oldest segment and tail, for [`locate`](Self::locate). Takes one round trip.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn segment_index(&self, organisation: &OrganisationId) -> Result<SegmentIndex, StoreError> {
        let oldest = self.next_segment(organisation, 1, Consistency::Strong);
        let (tail, mut oldest) = try_join(self.tail(organisation), oldest).await?;
        if oldest.is_none() {
            oldest = self.segment_from(organisation, &tail, 1, Consistency::Strong).await?;
        }
        Ok(SegmentIndex::new(organisation, tail, oldest.as_ref()))
    }

    /// Returns for each of `times` the first sequence of the first segment recorded at or after it, or the sequence after
    /// the tail if there is no such segment. Adds the segments it reads to `index`.
    ///
    /// Eventually consistent reads cost half, but may place a time after events that were just recorded. A single time is
    /// searched for with one read per round, which takes more round trips and fewer read units.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn locate(
        &self,
        index: &mut SegmentIndex,
        times: &[Timestamp],
        consistency: Consistency,
    ) -> Result<Vec<u64>, StoreError> {
        for round in 0.. {
            let guesses = times.iter().filter_map(|time| index.guesses(*time));
            let places: BTreeSet<u64> = match times {
                [_] => guesses.map(|guesses| guesses[round % 2]).collect(),
                _ => guesses.flatten().collect(),
            };
            if places.is_empty() {
                break;
            }
            let reads =
                places.iter().map(|place| self.segment_from(&index.organisation, &index.tail, *place, consistency));
            let found = try_join_all(reads).await?;
            for (asked, segment) in places.iter().zip(&found) {
                index.learn(*asked, segment.as_ref());
            }
        }
        Ok(times.iter().map(|time| index.position(*time)).collect())
    }

    /// Returns the first sequence of the first segment recorded at or after `since`, or the sequence after the tail if
    /// there is no such segment.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn first_since(&self, organisation: &Organisation, since: Timestamp) -> Result<u64, StoreError> {
        let tail = self.tail_of(organisation).await?;
        if tail.recorded_at < since {
            return Ok(tail.last + 1);
        }
        self.positions(&organisation.id, tail, &[since]).await.map(|positions| positions[0])
    }

    /// Returns the first sequence of the first segment that was recorded at or after `since` and expires after `until`, or
    /// the sequence after the tail if there is no such segment.
    ///
    /// A segment keeps the retention with which it was recorded. So after a change of the retention, neighbours expire in
    /// any order, and only the segments themselves tell when. A bounded number of them is read. If all of these expire by
    /// `until`, the result is the sequence after them, which may be too early but never too late.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn first_kept(
        &self,
        organisation: &Organisation,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<u64, StoreError> {
        /// The most pages of the store that are read, each of up to 1 MB.
        const MAX_PAGES: usize = 16;
        let tail = self.tail_of(organisation).await?;
        if tail.recorded_at < since {
            return Ok(tail.last + 1);
        }
        // What was recorded from this time on expires after `until`, whatever the retention. A segment expires at a whole
        // second, so what was recorded before it, with the shortest retention, has expired.
        let second = Timestamp::from_millis(until.as_millis() / 1000 * 1000);
        let outlasts = second.minus(RetentionDays::MIN.duration()).plus(Duration::from_millis(1)).max(since);
        let positions = self.positions(&organisation.id, tail, &[since, outlasts]).await?;
        let (mut at, end) = (positions[0], positions[1]);
        if organisation.longest_retention == RetentionDays::MIN {
            return Ok(end);
        }
        for _ in 0..MAX_PAGES {
            if at >= end {
                return Ok(end);
            }
            let range = at..=end - 1;
            let segments = self.confirmed(&organisation.id, range, Order::Ascending, None).await?;
            if let Some(kept) = segments.iter().find(|segment| !segment.is_expired(until)) {
                return Ok(kept.first);
            }
            // Nothing is found if everything has just been deleted.
            let Some(last) = segments.last() else { return Ok(at) };
            at = last.last() + 1;
        }
        Ok(at)
    }

    /// Returns the positions of `times` in the log that ends with `tail`.
    async fn positions(
        &self,
        organisation: &OrganisationId,
        tail: Tail,
        times: &[Timestamp],
    ) -> Result<Vec<u64>, StoreError> {
        // A stale read could place a time after events that exist.
        let consistency = Consistency::Strong;
        let oldest = self.segment_from(organisation, &tail, 1, consistency).await?;
        let mut index = SegmentIndex::new(organisation, tail, oldest.as_ref());
        self.locate(&mut index, times, consistency).await
    }

    /// Returns the first segment that begins at or after `sequence`, in a log that ends with `tail`. That nothing is found up
    /// to the tail counts only if a strongly consistent read repeats it: all times would be placed after it.
    ///
    /// # Errors
    /// Returns an error if the tail's segment cannot have expired and is not found, or if the store fails.
    pub(super) async fn segment_from(
        &self,
        organisation: &OrganisationId,
        tail: &Tail,
        sequence: u64,
        consistency: Consistency,
    ) -> Result<Option<Segment>, StoreError> {
        let found = self.next_segment(organisation, sequence, consistency).await?;
        if found.is_some() || sequence > tail.segment {
            return Ok(found);
        }
        let found = self.next_segment(organisation, sequence, Consistency::Strong).await?;
        if found.is_none() && cannot_have_expired(tail.recorded_at, self.clock.now()) {
            return Err(Hazard::EventsMissing { next_to: sequence }.into());
        }
        Ok(found)
    }
}
