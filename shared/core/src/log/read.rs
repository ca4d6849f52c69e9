//! Reading the log: runs of events from a position, positions from ids and times, the oldest event there is.
//!
//! Reads are eventually consistent as long as what they return is dense; at a hole they are repeated consistently, and
//! only what is missing then as well has expired.

use std::{
    ops::{ControlFlow, RangeInclusive},
    time::Duration,
};

use crate::{
    id::EventId,
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
};

use super::{
    CERTAIN, Log,
    segment::{Line, Segment},
    store::{Consistency, Order, StoreError},
};

/// How much one read takes in. It ends with the first segment that reaches either bound.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// Events.
    pub events: usize,
    /// Bytes of lines.
    pub bytes: usize,
}

/// Events of one log, in the order asked for.
#[derive(Debug)]
pub struct Run {
    /// The events, none of them expired.
    pub lines: Vec<Line>,
    /// The sequence at which a further read in the same order goes on: where a segment begins (ascending) or ends.
    pub at: u64,
    /// Whether the range was read to its end.
    pub ended: bool,
}

/// How far a read came.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// The sequence at which a further read in the same order goes on: where a segment begins (ascending) or ends.
    pub at: u64,
    /// Whether the range was read to its end.
    pub ended: bool,
    /// The first segment that was passed, expired or not.
    pub first: Option<Passed>,
}

/// A segment that a read passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    first: u64,
    count: u16,
    recorded_at: Timestamp,
    expired: bool,
}

impl Passed {
    /// Whether `id` is one of its events.
    #[must_use]
    pub fn holds(&self, id: EventId) -> bool {
        self.first == id.segment() && self.recorded_at == id.recorded_at() && id.index() < self.count
    }

    /// Whether it has expired.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired
    }
}

/// Why an id marks no place in the log.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No event of this organisation ever had it.
    #[error("is no event of this organisation")]
    Unknown,
    /// Its event has expired.
    #[error("is an event that has expired")]
    Expired {
        /// The oldest event there is; `None` where all have expired.
        oldest: Option<EventId>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Log {
    /// The events with a sequence in `range`, up to `limit`. Whole segments are read, so there may be somewhat more. The
    /// range may begin in the middle of a segment only where `segment_of_start` names the segment's first sequence;
    /// without it an ascending read begins at the first segment that begins in the range.
    ///
    /// # Errors
    /// Where the store fails, or gave back what cannot be.
    pub async fn read(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
        order: Order,
        limit: ReadLimit,
    ) -> Result<Run, StoreError> {
        let mut lines = Vec::new();
        let take = |line| {
            lines.push(line);
            ControlFlow::Continue(())
        };
        let read = self.each(organisation, range, segment_of_start, order, limit, take).await?;
        Ok(Run { lines, at: read.at, ended: read.ended })
    }

    /// Hands the events that [`read`](Self::read) would give to `take`, one by one, until it has enough: in memory are at
    /// most what one answer of the store holds, encoded, and the lines of one segment.
    ///
    /// # Errors
    /// Where the store fails, or gave back what cannot be; `take` may have had some events by then.
    pub async fn each(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
        order: Order,
        limit: ReadLimit,
        mut take: impl FnMut(Line) -> ControlFlow<()> + Send,
    ) -> Result<Reached, StoreError> {
        let now = self.clock.now();
        let mut walk = Walk::new(range.clone(), segment_of_start, order);
        let (mut events, mut bytes, mut first) = (0, 0, None);
        while events < limit.events && bytes < limit.bytes && !walk.at_end {
            let segments = self.step(organisation, &walk, limit.events - events).await?;
            walk.at_end = segments.is_empty();
            for segment in segments {
                walk.pass(&segment);
                let expired = segment.is_expired(now);
                let passed =
                    Passed { first: segment.first, count: segment.count, recorded_at: segment.recorded_at, expired };
                first.get_or_insert(passed);
                if !expired {
                    let mut lines = segment.lines(organisation)?;
                    if order == Order::Descending {
                        lines.reverse();
                    }
                    for line in lines.into_iter().filter(|line| range.contains(&line.sequence())) {
                        events += 1;
                        bytes += line.text.len() + 1;
                        if take(line).is_break() {
                            return Ok(Reached { at: walk.at, ended: walk.at_end, first });
                        }
                    }
                }
                if events >= limit.events || bytes >= limit.bytes {
                    break;
                }
            }
        }
        Ok(Reached { at: walk.at, ended: walk.at_end, first })
    }

    /// The next segments of the walk, one behind the other; empty at its end.
    async fn step(&self, organisation: &OrganisationId, walk: &Walk, want: usize) -> Result<Vec<Segment>, StoreError> {
        // A stretch as long as what is wanted holds at most so many events, because sequences are dense: nothing is read
        // that is not used. Where it is empty (one large segment, or expired ones), the next segment is looked for.
        let stretch = walk.stretch(want);
        let mut segments = self.fetch(organisation, stretch.clone(), walk.order, None, Consistency::Eventual).await?;
        if segments.is_empty() && !walk.ends_with(&stretch) {
            segments = self.fetch(organisation, walk.rest(), walk.order, Some(1), Consistency::Eventual).await?;
        }
        if walk.has_hole(&segments) {
            // A stale read, or expiry. A consistent read tells.
            segments = self.fetch(organisation, walk.rest(), walk.order, Some(1), Consistency::Strong).await?;
            if let (Some(before), Some(segment)) = (walk.last_recorded_at, segments.first())
                && walk.has_hole(&segments)
                && self.clock.now().since(before.min(segment.recorded_at)) < CERTAIN
            {
                return Err(StoreError::Broken(
                    format!("{organisation}: events before sequence {} are missing", segment.first).into(),
                ));
            }
            // Segments behind the first one are fetched again in the next step.
        } else if let Some(dense) = walk.dense_prefix(&segments) {
            segments.truncate(dense);
        }
        Ok(segments)
    }

    async fn fetch(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.store.range(organisation, range, order, limit, consistency).await
    }

    /// Whether there is an event at `sequence` or behind it, as far as an eventually consistent read sees. Half a read
    /// unit where there is none: what an idle destination costs a tick.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reaches(&self, organisation: &OrganisationId, sequence: u64) -> Result<bool, StoreError> {
        Ok(self.waiting_since(organisation, sequence).await?.is_some())
    }

    /// When the first event from `sequence` on was recorded, where there is one, as it was a moment ago. As cheap as
    /// [`Log::reaches`].
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn waiting_since(
        &self,
        organisation: &OrganisationId,
        sequence: u64,
    ) -> Result<Option<Timestamp>, StoreError> {
        let next = self.next_segment(organisation, sequence, Consistency::Eventual).await?;
        Ok(next.map(|segment| segment.recorded_at))
    }

    /// The event with this id.
    ///
    /// # Errors
    /// Where there is none, or none any more.
    pub async fn event(&self, organisation: &Organisation, id: EventId) -> Result<Line, PlaceError> {
        if !id.is_of(&organisation.id) || id.sequence() == 0 {
            return Err(PlaceError::Unknown);
        }
        let place = id.segment()..=id.segment();
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            let segments = self.fetch(&organisation.id, place.clone(), Order::Ascending, Some(1), consistency).await?;
            if let Some(segment) = segments.first() {
                if segment.recorded_at != id.recorded_at() || id.index() >= segment.count {
                    return Err(PlaceError::Unknown);
                }
                if segment.is_expired(self.clock.now()) {
                    return Err(self.expired(organisation).await);
                }
                let mut lines = segment.lines(&organisation.id).map_err(StoreError::from)?;
                return Ok(lines.swap_remove(usize::from(id.index())));
            }
        }
        Err(self.missing(organisation, id).await)
    }

    /// Why there is no segment where `id` says: it never was, or it has expired and was deleted.
    async fn missing(&self, organisation: &Organisation, id: EventId) -> PlaceError {
        let tail = match self.tail(&organisation.id).await {
            Ok(tail) => tail,
            Err(error) => return error.into(),
        };
        let young = self.clock.now().since(id.recorded_at()) < CERTAIN;
        if id.sequence() > tail.last || id.recorded_at() > tail.recorded_at || young {
            return PlaceError::Unknown;
        }
        // What lies around its place may show that it cannot have been there.
        let around =
            self.fetch(&organisation.id, 1..=id.segment(), Order::Descending, Some(1), Consistency::Strong).await;
        match around {
            Ok(segments)
                if segments.first().is_some_and(|s| s.last() >= id.segment() || s.recorded_at > id.recorded_at()) =>
            {
                PlaceError::Unknown
            }
            Ok(_) => self.expired(organisation).await,
            Err(error) => error.into(),
        }
    }

    async fn expired(&self, organisation: &Organisation) -> PlaceError {
        match self.oldest(organisation).await {
            Ok(oldest) => PlaceError::Expired { oldest },
            Err(error) => error.into(),
        }
    }

    /// The oldest event that has not expired.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn oldest(&self, organisation: &Organisation) -> Result<Option<EventId>, StoreError> {
        let start = self.first_live(organisation).await?;
        let limit = ReadLimit { events: 1, bytes: usize::MAX };
        let run = self.read(&organisation.id, start..=u64::MAX, None, Order::Ascending, limit).await?;
        Ok(run.lines.first().map(|line| line.id))
    }

    /// A sequence at which a segment begins and before which everything has expired.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn first_live(&self, organisation: &Organisation) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let first = self.next_segment(&organisation.id, 1, Consistency::Eventual).await?;
        match first {
            // Deletion lags behind expiry; a jump saves reading through what waits for it.
            Some(segment) if segment.is_expired(now) => {
                self.first_since(organisation, now.minus(organisation.longest_retention.duration())).await
            }
            Some(segment) => Ok(segment.first),
            None => Ok(1),
        }
    }

    /// The first sequence of the first segment recorded at or after `since`; one behind the tail where there is none.
    ///
    /// A search over the segments' times, which rise with their sequences: a handful of point reads and no index.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn first_since(&self, organisation: &Organisation, since: Timestamp) -> Result<u64, StoreError> {
        let tail = self.tail(&organisation.id).await?;
        if tail.recorded_at < since {
            return Ok(tail.last + 1);
        }
        // A stale read would place the beginning behind events that are there.
        let consistency = Consistency::Strong;
        let Some(oldest) = self.next_segment(&organisation.id, 1, consistency).await? else { return Ok(tail.last + 1) };
        if oldest.recorded_at >= since {
            return Ok(oldest.first);
        }
        // Invariant: every segment that begins before `low` is too early; the one that begins at `found` is not, and none
        // that begins from `high` on is before it.
        let (mut low, mut low_time) = (oldest.last() + 1, oldest.recorded_at);
        let (mut high, mut high_time) = (tail.segment, tail.recorded_at);
        let mut found = tail.segment;
        let mut by_time = true;
        while low < high {
            let width = high - low;
            let guess =
                if by_time { share(width, since.since(low_time), high_time.since(low_time)) } else { width / 2 };
            by_time = !by_time;
            match self.next_segment(&organisation.id, low + guess.min(width - 1), consistency).await? {
                Some(segment) if segment.recorded_at < since => {
                    (low, low_time) = (segment.last() + 1, segment.recorded_at);
                }
                Some(segment) if segment.first < high => {
                    (high, high_time) = (segment.first, segment.recorded_at);
                    found = high;
                }
                // Nothing begins between the guess and `high`.
                _ => high = low + guess.min(width - 1),
            }
        }
        Ok(found)
    }

    /// The first sequence of the segment that holds the event `sequence`, or of the nearest one before it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn segment_of(&self, organisation: &OrganisationId, sequence: u64) -> Result<Option<u64>, StoreError> {
        let found = self.fetch(organisation, 1..=sequence, Order::Descending, Some(1), Consistency::Strong).await?;
        Ok(found.first().map(|segment| segment.first))
    }

    /// The segment that begins at `sequence`, or the next one behind it.
    pub(super) async fn next_segment(
        &self,
        organisation: &OrganisationId,
        sequence: u64,
        consistency: Consistency,
    ) -> Result<Option<Segment>, StoreError> {
        let found = self.fetch(organisation, sequence..=u64::MAX, Order::Ascending, Some(1), consistency).await?;
        Ok(found.into_iter().next())
    }
}

/// The part of `width` that `part` is of `whole`.
pub(super) fn share(width: u64, part: Duration, whole: Duration) -> u64 {
    let scaled = u128::from(width) * part.as_millis() / whole.as_millis().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// A way through a range of sequences, segment by segment.
#[derive(Debug)]
struct Walk {
    range: RangeInclusive<u64>,
    order: Order,
    /// The sequence expected next: ascending, the next segment's first; descending, its last.
    at: u64,
    /// When the segment passed last was recorded; `None` at the beginning, where anything may be missing.
    last_recorded_at: Option<Timestamp>,
    at_end: bool,
}

impl Walk {
    fn new(range: RangeInclusive<u64>, segment_of_start: Option<u64>, order: Order) -> Self {
        let at = match order {
            Order::Ascending => segment_of_start.unwrap_or(*range.start()).max(1),
            Order::Descending => *range.end(),
        };
        Self { at_end: range.is_empty(), range, order, at, last_recorded_at: None }
    }

    /// What is left of the range.
    fn rest(&self) -> RangeInclusive<u64> {
        match self.order {
            Order::Ascending => self.at..=*self.range.end(),
            // A segment that begins before the range may reach into it.
            Order::Descending => 1..=self.at,
        }
    }

    fn stretch(&self, want: usize) -> RangeInclusive<u64> {
        let further = (want as u64).saturating_sub(1);
        match self.order {
            Order::Ascending => self.at..=self.at.saturating_add(further).min(*self.range.end()),
            Order::Descending => self.at.saturating_sub(further).max(1)..=self.at,
        }
    }

    fn ends_with(&self, stretch: &RangeInclusive<u64>) -> bool {
        *stretch == self.rest()
    }

    /// Whether `segments` do not begin where they should.
    fn has_hole(&self, segments: &[Segment]) -> bool {
        match segments.first() {
            Some(segment) => self.skips_to(segment),
            // Nothing at all: at the open end of the log there need be nothing, below a known bound there should.
            None => self.order == Order::Descending || *self.range.end() != u64::MAX,
        }
    }

    fn skips_to(&self, segment: &Segment) -> bool {
        match self.order {
            Order::Ascending => segment.first != self.at,
            Order::Descending => segment.last() < self.at,
        }
    }

    /// How many of `segments` follow one another; `None` where all do.
    fn dense_prefix(&self, segments: &[Segment]) -> Option<usize> {
        let breaks = |pair: &[Segment]| match self.order {
            Order::Ascending => pair[1].first != pair[0].last() + 1,
            Order::Descending => pair[0].first != pair[1].last() + 1,
        };
        segments.windows(2).position(breaks).map(|index| index + 1)
    }

    fn pass(&mut self, segment: &Segment) {
        self.last_recorded_at = Some(segment.recorded_at);
        match self.order {
            Order::Ascending => {
                self.at = segment.last() + 1;
                self.at_end = self.at > *self.range.end();
            }
            Order::Descending => {
                self.at = segment.first.saturating_sub(1);
                self.at_end = self.at < (*self.range.start()).max(1);
            }
        }
    }
}
