//! Where in the log many times are, found together: for counts of events that no one has to read, because sequences are
//! dense and time rises with them.
//!
//! All times are searched for in rounds: each round asks for two segments a time, at once, and what any of them finds
//! narrows the search for all. So it takes about as many round trips as one search, whatever the number of times.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join_all};

use super::{
    Log,
    read::share,
    segment::{Segment, Tail},
    store::{Consistency, StoreError},
};
use crate::{organisation::OrganisationId, time::Timestamp};

/// What is known of a log: its tail, and some of its segments.
#[derive(Debug)]
pub struct SegmentIndex {
    organisation: OrganisationId,
    tail: Tail,
    /// By the sequence at which each begins.
    segments: BTreeMap<u64, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// No segment begins from here up to this one.
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

    /// The log's tail.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The first sequence of the oldest segment that is there, expired or not, and when it was recorded.
    #[must_use]
    pub fn oldest(&self) -> Option<(u64, Timestamp)> {
        self.segments.first_key_value().map(|(first, known)| (*first, known.recorded_at))
    }

    /// The last known segment before `time`, and the first that is not.
    fn around(&self, time: Timestamp) -> (Option<Known>, Option<(u64, Known)>) {
        let low = self.segments.values().rev().find(|known| known.recorded_at < time);
        let high = self.segments.iter().find(|(_, known)| known.recorded_at >= time);
        (low.copied(), high.map(|(first, known)| (*first, *known)))
    }

    /// The first sequence of the first known segment recorded at or after `time`; one behind the tail where there is none.
    fn place(&self, time: Timestamp) -> u64 {
        self.around(time).1.map_or(self.tail.last + 1, |(first, _)| first)
    }

    /// Where to look to know `time`'s place better: where it would be were events spread evenly, and in the middle, in
    /// case they are not. `None` where it is known.
    fn guesses(&self, time: Timestamp) -> Option<[u64; 2]> {
        let (Some(low), Some((_, high))) = self.around(time) else { return None };
        let start = low.last + 1;
        let width = high.from.checked_sub(start).filter(|width| *width > 0)?;
        let even = share(width, time.since(low.recorded_at), high.recorded_at.since(low.recorded_at));
        Some([even, width / 2].map(|part| start + part.min(width - 1)))
    }

    /// Takes in that `found` is the first segment that begins at `asked` or behind it.
    fn learn(&mut self, asked: u64, found: Option<&Segment>) {
        if let Some(segment) = found.filter(|segment| segment.first <= self.tail.last) {
            let known = Known { from: segment.first, last: segment.last(), recorded_at: segment.recorded_at };
            self.segments.entry(segment.first).or_insert(known);
        }
        if let Some((_, next)) = self.segments.range_mut(asked..).next() {
            next.from = next.from.min(asked);
        }
    }
}

impl Log {
    /// The ends of a log, for [`locate`](Self::locate): one round trip.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn segment_index(&self, organisation: &OrganisationId) -> Result<SegmentIndex, StoreError> {
        let oldest = self.next_segment(organisation, 1, Consistency::Strong);
        let (tail, oldest) = try_join(self.tail(organisation), oldest).await?;
        Ok(SegmentIndex::new(organisation, tail, oldest.as_ref()))
    }

    /// For each of `times`, the first sequence of the first segment recorded at or after it; one behind the tail where
    /// there is none. What is found on the way is kept in `index`. Eventually consistent reads, at half the price, may
    /// place a time behind events that have just been recorded.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn locate(
        &self,
        index: &mut SegmentIndex,
        times: &[Timestamp],
        consistency: Consistency,
    ) -> Result<Vec<u64>, StoreError> {
        loop {
            let guesses: BTreeSet<u64> = times.iter().filter_map(|time| index.guesses(*time)).flatten().collect();
            if guesses.is_empty() {
                return Ok(times.iter().map(|time| index.place(*time)).collect());
            }
            let looks = guesses.iter().map(|at| self.next_segment(&index.organisation, *at, consistency));
            let found = try_join_all(looks).await?;
            for (asked, segment) in guesses.iter().zip(&found) {
                index.learn(*asked, segment.as_ref());
            }
        }
    }
}
