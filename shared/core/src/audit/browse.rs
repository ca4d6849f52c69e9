//! Looking at the log as people do: the newest events of a stretch of time with how many there were, hour by hour; and one
//! event with its neighbours. Each is one read, recorded as one.
//!
//! # What it costs
//! Counting by reading costs 0.03 to 0.09 read units an event, and a round trip a megabyte: 50,000 events are 1,500 units
//! or more, and of a log of millions they are one end of what is looked at. So:
//!
//! - Without a filter nothing is counted. Sequences are dense and time rises with them, so the numbers follow from where
//!   each bar begins, which [`Log::locate`](crate::log::Log::locate) finds in a few round trips for all: exact, and hardly
//!   dearer for millions of events. A whole view of a day with 25 bars and 20,000 events in batches of 25 takes 78 read
//!   units, where counting them by reading takes 323 (`tests/tests/browsing.rs`). What has expired before its time, because
//!   retention was shortened, counts until it would have expired otherwise.
//! - With a filter the same scan that fills the page goes on counting, newest first, as far as a page of the API may look
//!   (10,000 events, 8 MiB). Where that ends early, [`Timeline::counted_since`] says from when on the counts are whole:
//!   they are the newest, next to the events that are shown.
//!
//! The two reads of the first case run at the same time, and the places of both ends are searched for together. So a view
//! takes no more round trips after one another than the dearer of `GET /audit` and `GET /audit/stats` does.

use std::time::Duration;

use futures_util::future::{try_join, try_join3};

use super::{Audit, AuditError, Page, PageRequest, Reader, Start, filter::Filter};
use crate::{
    id::EventId,
    log::{
        read::{PlaceError, ReadLimit},
        segment::Line,
        segment_index::SegmentIndex,
        store::{Consistency, Order, StoreError},
    },
    organisation::Organisation,
    time::Timestamp,
};

/// How long the stretches of a timeline may be: minutes, hours and days that begin where such begin in UTC.
const STEPS: [Duration; 9] =
    [minutes(1), minutes(5), minutes(15), hours(1), hours(6), days(1), days(7), days(28), days(91)];
/// The most whole stretches in a timeline.
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

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowseRequest {
    /// Only events recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Only events recorded before this time.
    pub until: Option<Timestamp>,
    /// Only events that match.
    pub filter: Filter,
    /// How many events at most.
    pub page_size: usize,
    /// The present moment, where the timeline ends unless `until` does.
    pub now: Timestamp,
}

/// The newest events, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browsed {
    /// The events, the newest first.
    pub page: Page,
    /// How many there were.
    pub timeline: Timeline,
    /// Whether nothing was ever recorded, whatever was asked for.
    pub log_is_empty: bool,
}

/// How many events there were over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Where it begins.
    pub since: Timestamp,
    /// Where it ends.
    pub until: Timestamp,
    /// How long each stretch is, but for the first and the last.
    pub step: Duration,
    /// All stretches, the oldest first, also those without an event.
    pub stretches: Vec<Stretch>,
    /// Where counting stopped, because it had looked at enough: there may have been more events before.
    pub counted_since: Option<Timestamp>,
}

/// The events of one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When it begins.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many match.
    pub events: u64,
}

impl Timeline {
    /// Stretches from `since` to `until` without events: as long as it takes for there to be few enough.
    fn between(since: Timestamp, until: Timestamp) -> Self {
        let length = until.since(since);
        let fits = |step: &&Duration| length.as_millis() <= step.as_millis() * u128::from(MAX_STRETCHES);
        let widest = STEPS[STEPS.len() - 1];
        let step = STEPS.iter().find(fits).copied().unwrap_or(widest);
        let millis = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
        let mut stretches = Vec::new();
        let mut begin = since;
        while begin < until {
            // No leap second is counted in the time since the epoch.
            let next = Timestamp::from_millis((begin.as_millis() / millis + 1) * millis);
            let end = next.min(until).max(Timestamp::from_millis(begin.as_millis() + 1));
            stretches.push(Stretch { since: begin, until: end, events: 0 });
            begin = end;
        }
        Self { since, until, step, stretches, counted_since: None }
    }

    /// How many events there were in all.
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

/// One event, and those beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The event.
    pub line: Line,
    /// The event before it, where there is one still.
    pub previous: Option<EventId>,
    /// The event after it, where there is one yet.
    pub next: Option<EventId>,
}

impl Audit {
    /// The newest events that match, and how many there were. Older ones: [`Audit::page`], in descending order from
    /// `page.next`, with `page.through`.
    ///
    /// # Errors
    /// Where the read cannot be done or recorded.
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
        let oldest = index.oldest().map(|(_, recorded_at)| recorded_at);
        // Nothing is recorded in the future, so no timeline reaches into it.
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
        let scan = if request.filter.is_empty() {
            let mut scan = page.scan(0);
            let newest = scan.run(&self.log, &organisation.id, first..=end, None);
            try_join(newest, self.measure(&mut index, &mut timeline, first..end + 1)).await?;
            scan
        } else {
            let mut scan = page.scan(0).counting();
            scan.run(&self.log, &organisation.id, first..=end, None).await?;
            scan.counted.iter().for_each(|at| timeline.count(*at));
            timeline.counted_since = scan.stopped_at.map(|id| id.recorded_at().plus(Duration::from_millis(1)));
            scan
        };
        let (_, own) = self.record(organisation, reader).await?;
        let resume = through.map_or(Start::From(own), Start::After);
        Ok(Browsed { page: page.cut(scan, through, resume), timeline, log_is_empty: tail.last == 0 })
    }

    /// Counts the events of `sequences` by where each stretch begins.
    async fn measure(
        &self,
        index: &mut SegmentIndex,
        timeline: &mut Timeline,
        sequences: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        let inner: Vec<Timestamp> = timeline.stretches.iter().skip(1).map(|stretch| stretch.since).collect();
        let mut bounds = self.log.locate(index, &inner, Consistency::Eventual).await?;
        bounds.push(sequences.end);
        let mut begin = sequences.start;
        for (stretch, end) in timeline.stretches.iter_mut().zip(bounds) {
            let end = end.clamp(begin, sequences.end.max(begin));
            stretch.events = end - begin;
            begin = end;
        }
        Ok(())
    }

    /// One event, and which are beside it.
    ///
    /// # Errors
    /// As [`Audit::event`].
    pub async fn detail(
        &self,
        organisation: &Organisation,
        id: EventId,
        reader: &Reader,
    ) -> Result<Detail, AuditError> {
        let (line, previous, next) = try_join3(
            self.log.event(organisation, id),
            self.beside(organisation, id, Order::Descending),
            self.beside(organisation, id, Order::Ascending),
        )
        .await?;
        self.record(organisation, reader).await?;
        Ok(Detail { line, previous, next })
    }

    async fn beside(
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
            // An id that was made up may lie where no log can be read; that it is none is for the event's own read to say.
            Err(StoreError::Broken(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
