//! Reading the log: events from a position, single events by id, the oldest event.
//!
//! Reads are eventually consistent as long as the sequences returned have no gap. At a gap the read is repeated with
//! strong consistency, and only what is still missing then has expired.

use std::ops::{ControlFlow, RangeInclusive};

use futures_util::future::try_join;

use crate::{
    id::EventId,
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
};

use super::{
    Log,
    segment::{Line, LineHash, Seen, Segment, Stored},
    store::{Consistency, Found, Order, Place, StoreError},
    tail::{End, Hazard, NOTHING_EXPIRES_WITHIN, cannot_have_expired},
};

/// The size of a read. It ends with the segment that reaches either bound.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    pub events: usize,
    /// Bytes of lines, with one newline each.
    pub bytes: usize,
}

/// Events of one log, in the requested order.
#[derive(Debug)]
pub struct Run {
    /// Without expired events.
    pub lines: Vec<Line>,
    /// The sequence from which a further read in the same order continues: the beginning of a segment (ascending) or its
    /// end (descending).
    pub at: u64,
    /// Whether the read reached the end of the range.
    pub ended: bool,
}

/// The end position of a read.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// The sequence from which a further read in the same order continues: the beginning of a segment (ascending) or its
    /// end (descending).
    pub at: u64,
    /// Whether the read reached the end of the range.
    pub ended: bool,
    /// The first segment read, expired or not.
    pub first: Option<Passed>,
    /// The first segment read that has not expired.
    pub first_live: Option<Passed>,
}

/// The header of a segment that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    first: u64,
    count: u16,
    recorded_at: Timestamp,
    /// The sequence before the segment, and the hash of that line.
    previous: (u64, LineHash),
    expired: bool,
}

impl Passed {
    /// Returns whether `id` belongs to an event of the segment.
    #[must_use]
    pub fn holds(&self, id: EventId) -> bool {
        self.first == id.segment() && self.recorded_at == id.recorded_at() && id.index() < self.count
    }

    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired
    }

    #[must_use]
    pub fn begins_with(&self, sequence: u64) -> bool {
        self.first == sequence
    }

    /// Returns the hash of the line with this sequence, if it is the line before the segment.
    #[must_use]
    pub fn hash_of(&self, sequence: u64) -> Option<LineHash> {
        (self.previous.0 == sequence).then_some(self.previous.1)
    }

    /// Returns the last sequence before the hole that ends with the segment, if the log was restored in between.
    #[must_use]
    pub fn resumes_after(&self) -> Option<u64> {
        Some(self.previous.0).filter(|previous| previous + 1 < self.first)
    }
}

/// What waits for a reader that has read all events before a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub events: u64,
    /// When the first of them was recorded. `None` if an eventually consistent read finds none yet.
    pub since: Option<Timestamp>,
}

/// How an event is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentEnd {
    /// It is the last one of its segment and has this hash.
    Hash(LineHash),
    /// More events of its segment follow.
    Within,
    Missing,
}

/// Why an event cannot be returned.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("is not an event of this organisation")]
    Unknown,
    /// The event was lost when the log's table was restored to an earlier copy, or never existed: nothing tells.
    #[error("is an event that was lost")]
    Lost {
        /// The event behind the lost ones, which says what was lost; `None` if it has expired.
        next: Option<EventId>,
    },
    #[error("is an event that has expired")]
    Expired {
        /// The oldest event that has not expired; `None` if all have.
        oldest: Option<EventId>,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Log {
    /// Returns the events with a sequence in `range`, up to `limit`. Whole segments are read, so there may be slightly
    /// more. If an ascending range begins inside a segment, `segment_of_start` must be the segment's first sequence;
    /// without it the read begins with the first segment that begins in the range.
    ///
    /// # Errors
    /// Returns an error if the store fails or a segment is missing or damaged.
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

    /// Passes the events that [`read`](Self::read) would return to `take`, one by one, until it breaks. Memory holds at
    /// most one encoded answer of the store and the lines of one segment.
    ///
    /// # Errors
    /// Returns an error if the store fails or a segment is missing or damaged; `take` may have been called before.
    pub async fn each(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
        order: Order,
        limit: ReadLimit,
        mut take: impl FnMut(Line) -> ControlFlow<()> + Send,
    ) -> Result<Reached, StoreError> {
        let take = |seen: Seen<'_>| match seen {
            Seen::Line(line) => take(line),
            Seen::Unwanted(_) => ControlFlow::Continue(()),
        };
        self.each_seen(organisation, range, segment_of_start, order, limit, |_| true, take).await
    }

    /// Does what [`each`](Self::each) does, but renders only the lines of events that are `wanted`. Segments without such an
    /// event are not compared with their hash.
    ///
    /// # Errors
    /// Returns the same errors as [`each`](Self::each).
    #[expect(clippy::too_many_arguments, reason = "a read in full")]
    pub async fn each_seen(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
        order: Order,
        limit: ReadLimit,
        wanted: impl Fn(&Stored<'_>) -> bool + Send + Sync,
        mut take: impl FnMut(Seen<'_>) -> ControlFlow<()> + Send,
    ) -> Result<Reached, StoreError> {
        let now = self.clock.now();
        let mut walk = Walk::new(range.clone(), segment_of_start, order);
        let (mut events, mut bytes, mut first, mut first_live) = (0, 0, None, None);
        while events < limit.events && bytes < limit.bytes && !walk.at_end {
            let segments = self.step(organisation, &walk, limit.events - events).await?;
            walk.at_end = segments.is_empty();
            for segment in segments {
                walk.pass(&segment);
                let expired = segment.is_expired(now);
                let passed = Passed {
                    first: segment.first,
                    count: segment.count,
                    recorded_at: segment.recorded_at,
                    previous: (segment.previous(), segment.previous_hash),
                    expired,
                };
                first.get_or_insert(passed);
                if !expired {
                    first_live.get_or_insert(passed);
                    let end = segment.visit(
                        organisation,
                        order,
                        |stored| range.contains(&stored.id.sequence()) && wanted(stored),
                        |seen| {
                            let (sequence, length) = match &seen {
                                Seen::Line(line) => (line.sequence(), line.text.len() + 1),
                                Seen::Unwanted(stored) => (stored.id.sequence(), stored.line_bytes()),
                            };
                            if !range.contains(&sequence) {
                                return ControlFlow::Continue(());
                            }
                            events += 1;
                            bytes += length;
                            take(seen)
                        },
                    )?;
                    if end.is_break() {
                        return Ok(Reached { at: walk.at, ended: walk.at_end, first, first_live });
                    }
                }
                if events >= limit.events || bytes >= limit.bytes {
                    break;
                }
            }
        }
        Ok(Reached { at: walk.at, ended: walk.at_end, first, first_live })
    }

    /// Returns the next segments of the walk, without a gap. The result is empty at the end of the walk.
    async fn step(&self, organisation: &OrganisationId, walk: &Walk, want: usize) -> Result<Vec<Segment>, StoreError> {
        // Sequences have no gaps, so a stretch of `want` sequences holds at most `want` events, and no more is read than
        // needed. If no segment begins in it (a large segment, or expired ones), the next segment is read instead.
        let stretch = walk.stretch(want);
        let mut segments = self.fetch(organisation, stretch.clone(), walk.order, None, Consistency::Eventual).await?;
        if segments.is_empty() && !walk.ends_with(&stretch) {
            segments = self.fetch(organisation, walk.rest(), walk.order, Some(1), Consistency::Eventual).await?;
        }
        if walk.has_gap(&segments) {
            // Either the read was stale or segments have expired. A strongly consistent read tells which.
            segments = self.fetch(organisation, walk.rest(), walk.order, Some(1), Consistency::Strong).await?;
            if walk.has_gap(&segments) && segments.is_empty() {
                segments = self.check_empty(organisation, walk).await?;
            }
            if let Some(next) = segments.first()
                && walk.has_gap(&segments)
            {
                self.check_gap(organisation, walk, next).await?;
            }
            // The next step reads the segments after the first one again.
        } else if let Some(dense) = walk.dense_prefix(&segments) {
            segments.truncate(dense);
        }
        Ok(segments)
    }

    /// Reads what is left of the walk again if a strongly consistent read found nothing although there must be something.
    /// Fails if it finds nothing again, or if segments are missing that cannot have expired.
    async fn check_empty(&self, organisation: &OrganisationId, walk: &Walk) -> Result<Vec<Segment>, StoreError> {
        let rest = walk.rest();
        let mut behind = self.next_segment(organisation, *rest.start(), Consistency::Strong).await?;
        if behind.is_none() && self.newest_begins_from(organisation, *rest.start()).await? {
            // The newest segment may have been written since.
            behind = self.next_segment(organisation, *rest.start(), Consistency::Strong).await?;
            if behind.is_none() {
                return Err(walk.missing());
            }
        }
        match &behind {
            Some(segment) if rest.contains(&segment.first) => {
                let segments = self.fetch(organisation, rest, walk.order, Some(1), Consistency::Strong).await?;
                if segments.is_empty() && !segment.is_expired(self.clock.now()) {
                    return Err(walk.missing());
                }
                return Ok(segments);
            }
            Some(next) if walk.order == Order::Ascending => self.check_gap(organisation, walk, next).await?,
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Returns whether the newest segment begins at or after `sequence` and must be stored.
    async fn newest_begins_from(&self, organisation: &OrganisationId, sequence: u64) -> Result<bool, StoreError> {
        Ok(match self.store.newest(organisation).await?.end {
            // What takes the first place of a hole outlives the segment behind the hole.
            Some(End::Segment(tail)) if tail.segment >= sequence => {
                !self.store.holes(organisation).await?.iter().any(|hole| hole.last + 1 == tail.segment)
            }
            _ => false,
        })
    }

    /// Fails if segments are missing that cannot have expired. `next` is the one behind the missing ones, in the order of
    /// the walk, as a strongly consistent read found it.
    async fn check_gap(&self, organisation: &OrganisationId, walk: &Walk, next: &Segment) -> Result<(), StoreError> {
        if !walk.skips_to(next) {
            return Ok(());
        }
        // Whatever is missing is younger than the segment before it in the log.
        let before = match (walk.order, walk.last_recorded_at) {
            (Order::Descending, _) => Some(next.recorded_at),
            (Order::Ascending, None) if walk.at > 1 => {
                let range = 1..=walk.at - 1;
                let found = self.fetch(organisation, range, Order::Descending, Some(1), Consistency::Strong).await?;
                // A position within a segment is no gap.
                found.first().filter(|segment| segment.last() < walk.at).map(|segment| segment.recorded_at)
            }
            (Order::Ascending, last_recorded_at) => last_recorded_at,
        };
        let now = self.clock.now();
        match before {
            Some(recorded_at) if cannot_have_expired(recorded_at, now) => Err(walk.missing()),
            _ => Ok(()),
        }
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

    /// Returns what is at up to [`MAX_PLACES`](super::store::MAX_PLACES) places, as an eventually consistent read finds it.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.store.find(places).await
    }

    /// Returns whether an eventually consistent read finds an event at or after `sequence`. Costs half a read unit if
    /// there is no such event. An idle destination costs this at each tick.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn reaches(&self, organisation: &OrganisationId, sequence: u64) -> Result<bool, StoreError> {
        Ok(self.waiting_since(organisation, sequence).await?.is_some())
    }

    /// Returns the recording time of the first event at or after `sequence` that an eventually consistent read finds. Costs
    /// as much as [`Log::reaches`].
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn waiting_since(
        &self,
        organisation: &OrganisationId,
        sequence: u64,
    ) -> Result<Option<Timestamp>, StoreError> {
        let next = self.next_segment(organisation, sequence, Consistency::Eventual).await?;
        Ok(next.map(|segment| segment.recorded_at))
    }

    /// Returns what is recorded at or after `sequence`.
    ///
    /// # Errors
    /// Returns an error if the store fails, or if the tail is unknown.
    pub async fn backlog(&self, organisation: &OrganisationId, sequence: u64) -> Result<Backlog, StoreError> {
        let (since, tail) = try_join(self.waiting_since(organisation, sequence), self.tail(organisation)).await?;
        Ok(Backlog { events: (tail.last + 1).saturating_sub(sequence), since })
    }

    /// Returns the event with this id.
    ///
    /// # Errors
    /// Returns an error if there is no such event, if it has expired, or if the store fails.
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

    /// Returns why no segment begins where `id` says: the event never existed, or it has expired and was deleted.
    async fn missing(&self, organisation: &Organisation, id: EventId) -> PlaceError {
        let tail = match self.tail_of(organisation).await {
            Ok(tail) => tail,
            Err(error) => return error.into(),
        };
        match self.segment_from(&organisation.id, &tail, id.segment(), Consistency::Strong).await {
            Ok(Some(next)) if next.previous() < id.segment() => {
                let event = EventId::new(&organisation.id, next.recorded_at, next.first, 0);
                return PlaceError::Lost { next: (!next.is_expired(self.clock.now())).then_some(event) };
            }
            Ok(_) => {}
            Err(error) => return error.into(),
        }
        let young = self.clock.now().since(id.recorded_at()) < NOTHING_EXPIRES_WITHIN;
        if id.sequence() > tail.last || id.recorded_at() > tail.recorded_at || young {
            return PlaceError::Unknown;
        }
        // The segment at or before the event's place may show that the event cannot have existed.
        match self.nearest(&organisation.id, id.segment()).await {
            Ok(Some(nearest)) if nearest.last() >= id.segment() || nearest.recorded_at > id.recorded_at() => {
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

    /// Returns the oldest event that has not expired.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn oldest(&self, organisation: &Organisation) -> Result<Option<EventId>, StoreError> {
        let start = self.first_live(organisation).await?;
        let limit = ReadLimit { events: 1, bytes: usize::MAX };
        let run = self.read(&organisation.id, start..=u64::MAX, None, Order::Ascending, limit).await?;
        Ok(run.lines.first().map(|line| line.id))
    }

    /// Returns the beginning of a segment before which every event has expired.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn first_live(&self, organisation: &Organisation) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let first = self.next_segment(&organisation.id, 1, Consistency::Eventual).await?;
        match first {
            // Expired segments are deleted late. A search by time skips them instead of reading them.
            Some(segment) if segment.is_expired(now) => {
                self.first_since(organisation, now.minus(organisation.longest_retention.duration())).await
            }
            Some(segment) => Ok(segment.first),
            None => Ok(1),
        }
    }

    /// Returns the first sequence of the segment that contains `sequence`, or of the nearest segment before it.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn segment_of(&self, organisation: &OrganisationId, sequence: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.nearest(organisation, sequence).await?.map(|segment| segment.first))
    }

    /// Returns how the event with this sequence is stored, expired or not. Strongly consistent.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn end_of_segment(&self, organisation: &OrganisationId, sequence: u64) -> Result<SegmentEnd, StoreError> {
        Ok(match self.nearest(organisation, sequence).await? {
            Some(segment) if segment.last() == sequence => SegmentEnd::Hash(segment.hash),
            Some(segment) if segment.last() > sequence => SegmentEnd::Within,
            _ => SegmentEnd::Missing,
        })
    }

    /// Returns the segment that contains `sequence`, or the nearest one before it.
    async fn nearest(&self, organisation: &OrganisationId, sequence: u64) -> Result<Option<Segment>, StoreError> {
        let found = self.confirmed(organisation, 1..=sequence, Order::Descending, Some(1)).await?;
        Ok(found.into_iter().next())
    }

    /// Returns what a strongly consistent read finds. An empty answer counts only if a second read repeats it, where much
    /// follows from it and nothing else would show that it is wrong.
    pub(super) async fn confirmed(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
    ) -> Result<Vec<Segment>, StoreError> {
        let found = self.fetch(organisation, range.clone(), order, limit, Consistency::Strong).await?;
        if found.is_empty() {
            return self.fetch(organisation, range, order, limit, Consistency::Strong).await;
        }
        Ok(found)
    }

    /// Returns the first segment that begins at or after `sequence`.
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

/// The progress of a read through a range of sequences, segment by segment.
#[derive(Debug)]
struct Walk {
    range: RangeInclusive<u64>,
    order: Order,
    /// The sequence expected next: the next segment's first (ascending) or last (descending).
    at: u64,
    /// The recording time of the last segment read; `None` at the beginning, where any number of segments may be missing.
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

    fn missing(&self) -> StoreError {
        Hazard::EventsMissing { next_to: self.at }.into()
    }

    /// Returns the range that has not been read.
    fn rest(&self) -> RangeInclusive<u64> {
        match self.order {
            Order::Ascending => self.at..=*self.range.end(),
            // A segment that begins before the range may end in it.
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

    /// Returns whether `segments` does not begin with the expected segment.
    fn has_gap(&self, segments: &[Segment]) -> bool {
        match segments.first() {
            Some(segment) => self.skips_to(segment),
            // At the open end of the log there may be no segment. Below a known bound there must be one.
            None => self.order == Order::Descending || *self.range.end() != u64::MAX,
        }
    }

    fn skips_to(&self, segment: &Segment) -> bool {
        match self.order {
            // Behind a hole that a restore left, the segment says what it follows.
            Order::Ascending => !(segment.previous()..segment.first).contains(&(self.at - 1)),
            Order::Descending => segment.last() < self.at,
        }
    }

    /// Returns how many of `segments` follow one another without a gap; `None` if all do.
    fn dense_prefix(&self, segments: &[Segment]) -> Option<usize> {
        let breaks = |pair: &[Segment]| match self.order {
            Order::Ascending => pair[1].previous() != pair[0].last(),
            Order::Descending => pair[0].previous() != pair[1].last(),
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
                self.at = segment.previous();
                self.at_end = self.at < (*self.range.start()).max(1);
            }
        }
    }
}
