//! Browsing the log: the newest events of a period with counts over time, and one event with its neighbours. Each view
//! is one read, and is recorded as one read.
//!
//! # Cost
//! Counting by reading costs 0.03 to 0.09 read units per event and one round trip per megabyte: at least 1,500 read units
//! for 50,000 events. So:
//!
//! - Without a filter events are not read to be counted. Sequences have no gaps and recording times increase with them, so
//!   the counts follow from the position of each bar, and [`Log::locate`](crate::log::Log::locate) finds all positions in
//!   a few round trips. The counts are exact, and hardly cost more for millions of events. A view of a day with 25 bars and
//!   20,000 events in batches of 25 takes 78 read units; counting them by reading takes 323. Events that expired early
//!   because the retention was shortened are counted until their original expiry.
//! - A filter that only excludes Annals' own events, such as reads of the log, is a filter of the page alone. The counts contain
//!   what it excludes ([`Timeline::counts_excluded`]), so that hiding reads does not cost a read of every event.
//! - With any other filter the scan that fills the page continues to count, newest first, within the limits of a page of the API
//!   (10,000 events, 8 MiB). If it reaches a limit, [`Timeline::counted_since`] is the time from which the counts are
//!   complete.
//!
//! If nothing matches a filter, the newest events of the period are read once more, to tell which values occur.
//!
//! Without a filter the page and the counts are read concurrently, and the positions of both ends of the period are searched
//! for together.

use std::time::Duration;

use futures_util::future::{try_join, try_join3};

use super::{Audit, AuditError, Page, PageRequest, Reader, Start, filter::Filter, values::Values};
use crate::{
    id::EventId,
    log::{
        read::{PlaceError, ReadLimit},
        restore,
        segment::Line,
        segment_index::SegmentIndex,
        store::{Consistency, Order, StoreError},
    },
    organisation::Organisation,
    time::Timestamp,
};

/// The possible lengths of a timeline's stretches, which begin at full minutes, hours and days in UTC.
const STEPS: [Duration; 9] =
    [minutes(1), minutes(5), minutes(15), hours(1), hours(6), days(1), days(7), days(28), days(91)];
/// The most events that are read to tell which values occur.
const MAX_EXAMINED: usize = 1_000;
/// The maximum number of whole stretches in a timeline.
const MAX_STRETCHES: u64 = 60;

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

const fn hours(number: u64) -> Duration {
    minutes(number * 60)
}

const fn days(number: u64) -> Duration {
    hours(number * 24)
}

/// A request for the newest events with their counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowseRequest {
    /// Only events recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Only events recorded before this time.
    pub until: Option<Timestamp>,
    pub filter: Filter,
    /// The maximum number of events.
    pub page_size: usize,
    /// The current time, at which the timeline ends unless `until` is earlier.
    pub now: Timestamp,
}

/// The newest events and their counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browsed {
    /// Newest first.
    pub page: Page,
    pub timeline: Timeline,
    /// Whether the log never had an event.
    pub log_is_empty: bool,
    /// If nothing matched the filter: the values of the newest events of the period.
    pub occurring: Option<Values>,
}

/// Counts of events over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The length of each stretch except the first and the last, which may be shorter.
    pub step: Duration,
    /// Oldest first, including stretches without events.
    pub stretches: Vec<Stretch>,
    /// If counting stopped at a limit: the time before which events were not counted.
    pub counted_since: Option<Timestamp>,
    /// Whether events that the filter excludes are counted too.
    pub counts_excluded: bool,
}

/// A bar of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The number of matching events.
    pub events: u64,
}

impl Timeline {
    /// Creates a timeline without events, with the shortest stretches that give at most [`MAX_STRETCHES`].
    fn between(since: Timestamp, until: Timestamp) -> Self {
        let length = until.since(since);
        let fits = |step: &&Duration| length.as_millis() <= step.as_millis() * u128::from(MAX_STRETCHES);
        let widest = STEPS[STEPS.len() - 1];
        let step = STEPS.iter().find(fits).copied().unwrap_or(widest);
        let millis = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
        let mut stretches = Vec::new();
        let mut begin = since;
        while begin < until {
            // Time since the epoch has no leap seconds.
            let next = Timestamp::from_millis((begin.as_millis() / millis + 1) * millis);
            let end = next.min(until).max(Timestamp::from_millis(begin.as_millis() + 1));
            stretches.push(Stretch { since: begin, until: end, events: 0 });
            begin = end;
        }
        Self { since, until, step, stretches, counted_since: None, counts_excluded: false }
    }

    /// Returns the number of events in all stretches.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.events).sum()
    }

    fn count(&mut self, at: Timestamp) {
        let index = self.stretches.partition_point(|stretch| stretch.until <= at);
        if let Some(stretch) = self.stretches.get_mut(index).filter(|stretch| stretch.since <= at) {
            stretch.events += 1;
        }
    }
}

/// An event and its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    pub line: Line,
    /// `None` if there is no previous event, or it has expired.
    pub previous: Option<EventId>,
    pub next: Option<EventId>,
}

impl Audit {
    /// Returns the newest matching events and their counts. For older events call [`Audit::page`] in descending order,
    /// with `page.next` and `page.through`.
    ///
    /// # Errors
    /// Returns an error if the read fails or cannot be recorded.
    pub async fn browse(
        &self,
        organisation: &Organisation,
        request: &BrowseRequest,
        reader: &Reader,
    ) -> Result<Browsed, AuditError> {
        let mut index = self.log.segment_index(&organisation.id).await?;
        let tail = *index.tail();
        let through = tail.event_id(&organisation.id);

        let kept = request.now.minus(organisation.longest_retention.duration());
        let oldest = index.oldest();
        // The timeline does not extend into the future, because nothing is recorded there.
        let end = request.now.max(tail.recorded_at).plus(Duration::from_millis(1));
        let until = request.until.map_or(end, |until| until.min(end));
        let since = request.since.or(oldest).map_or(until, |since| since.max(kept)).min(until);
        let ends = self.log.locate(&mut index, &[since, until], Consistency::Strong).await?;
        let (first, end) = (ends[0], ends[1] - 1);

        let page = PageRequest {
            since: request.since,
            until: request.until,
            filter: request.filter.clone(),
            order: Order::Descending,
            page_size: request.page_size,
            ..PageRequest::default()
        };
        let mut timeline = Timeline::between(since, until);
        let scan = if request.filter.only_excludes_own() {
            timeline.counts_excluded = !request.filter.is_empty();
            let mut scan = page.scan(0);
            let newest = scan.run(&self.log, &organisation.id, first..=end, None);
            try_join(newest, self.measure(organisation, &mut index, &mut timeline, first..end + 1)).await?;
            scan
        } else {
            let mut scan = page.scan(0).counting();
            scan.run(&self.log, &organisation.id, first..=end, None).await?;
            scan.counted.iter().for_each(|at| timeline.count(*at));
            timeline.counted_since = scan.stopped_at.map(|id| id.recorded_at().plus(Duration::from_millis(1)));
            scan
        };
        let occurring = if scan.lines.is_empty() && !request.filter.only_excludes_own() {
            let all = PageRequest { filter: Filter::default(), page_size: MAX_EXAMINED, ..page.clone() };
            let mut scan = all.scan(0);
            scan.run(&self.log, &organisation.id, first..=end, None).await?;
            Some(Values::of(&scan.lines))
        } else {
            None
        };
        let (_, own) = self.record(organisation, reader).await?;
        let end = through.map_or(Start::From(own), Start::After);
        Ok(Browsed { page: page.cut(scan, through, end), timeline, log_is_empty: tail.last == 0, occurring })
    }

    /// Counts the events of `sequences` by the position at which each stretch begins.
    async fn measure(
        &self,
        organisation: &Organisation,
        index: &mut SegmentIndex,
        timeline: &mut Timeline,
        sequences: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        let inner: Vec<Timestamp> = timeline.stretches.iter().skip(1).map(|stretch| stretch.since).collect();
        let (mut bounds, holes) =
            try_join(self.log.locate(index, &inner, Consistency::Eventual), self.log.holes(&organisation.id)).await?;
        bounds.push(sequences.end);
        let mut begin = sequences.start;
        for (stretch, end) in timeline.stretches.iter_mut().zip(bounds) {
            let end = end.clamp(begin, sequences.end.max(begin));
            stretch.events = restore::count(&holes, begin, end);
            begin = end;
        }
        Ok(())
    }

    /// Returns an event and its neighbours.
    ///
    /// # Errors
    /// Returns the same errors as [`Audit::event`].
    pub async fn detail(
        &self,
        organisation: &Organisation,
        id: EventId,
        reader: &Reader,
    ) -> Result<Detail, AuditError> {
        let (line, previous, next) = try_join3(
            self.log.event(organisation, id),
            self.neighbour(organisation, id, Order::Descending),
            self.neighbour(organisation, id, Order::Ascending),
        )
        .await?;
        self.record(organisation, reader).await?;
        Ok(Detail { line, previous, next })
    }

    async fn neighbour(
        &self,
        organisation: &Organisation,
        id: EventId,
        order: Order,
    ) -> Result<Option<EventId>, PlaceError> {
        if !id.is_of(&organisation.id) || id.sequence() == 0 {
            return Err(PlaceError::Unknown);
        }
        let (range, segment) = match order {
            Order::Ascending => (id.sequence() + 1..=u64::MAX, Some(id.segment())),
            Order::Descending if id.sequence() == 1 => return Ok(None),
            Order::Descending => (id.sequence() - 1..=id.sequence() - 1, None),
        };
        let limit = ReadLimit { events: 1, bytes: usize::MAX };
        match self.log.read(&organisation.id, range, segment, order, limit).await {
            Ok(run) => Ok(run.lines.first().map(|line| line.id)),
            // A forged id may point to a place that cannot be read. The read of the event itself reports the error.
            Err(StoreError::Broken(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
