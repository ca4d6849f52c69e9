//! Looking for events along the log with a bound on how much is read, whatever a filter leaves of it.

use std::ops::{ControlFlow, RangeInclusive};

use super::filter::Filter;
use crate::{
    id::EventId,
    log::{
        Log,
        read::{Passed, ReadLimit},
        segment::Line,
        store::{Order, StoreError},
    },
    organisation::OrganisationId,
    time::Timestamp,
};

/// How much a scan may look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Events.
    pub(super) events: usize,
    /// Bytes of lines.
    pub(super) bytes: usize,
}

/// A scan: what was found, and how far it came.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    filter: &'a Filter,
    order: Order,
    /// Matching events that are passed over before any is kept.
    skip: u64,
    /// How many to find.
    want: usize,
    left: Budget,
    /// How many bytes of matching lines end it.
    keep_bytes: usize,
    /// Whether it goes on when it has found what it should, to count.
    counting: bool,
    /// Where it counts: when each event that matches was recorded.
    pub(super) counted: Vec<Timestamp>,
    /// What was found.
    pub(super) lines: Vec<Line>,
    /// The sequence at which it goes on.
    pub(super) at: u64,
    /// Whether the range was looked at to its end.
    pub(super) ended: bool,
    /// The first segment that was passed.
    pub(super) first: Option<Passed>,
    /// The event at which it stopped, because it had looked at enough.
    pub(super) stopped_at: Option<EventId>,
}

impl<'a> Scan<'a> {
    /// A scan for `want` events that match `filter`, which keeps about `keep_bytes` at most.
    pub(super) fn new(
        filter: &'a Filter,
        order: Order,
        skip: u64,
        want: usize,
        left: Budget,
        keep_bytes: usize,
    ) -> Self {
        Self {
            filter,
            order,
            skip,
            want,
            left,
            keep_bytes,
            counting: false,
            counted: Vec::new(),
            lines: Vec::new(),
            at: 0,
            ended: false,
            first: None,
            stopped_at: None,
        }
    }

    /// The same, which counts what matches to the end of the range, or as far as it may look.
    pub(super) fn counting(self) -> Self {
        Self { counting: true, ..self }
    }

    /// How many matching events are still to be passed over.
    pub(super) fn to_skip(&self) -> u64 {
        self.skip
    }

    /// Whether there is no reason to look further.
    pub(super) fn is_over(&self) -> bool {
        self.has_enough() && !self.counting || self.stopped_at.is_some()
    }

    /// Whether it keeps no further event.
    fn has_enough(&self) -> bool {
        self.lines.len() >= self.want || self.counting && self.keep_bytes == 0
    }

    /// Whether it has looked at, or found, as much as it may: the next event is where it stops.
    fn is_exhausted(&self) -> bool {
        self.left.events == 0 || self.left.bytes == 0 || self.keep_bytes == 0 && !self.counting
    }

    /// Looks through `range`, as [`Log::read`] reads it.
    pub(super) async fn run(
        &mut self,
        log: &Log,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
    ) -> Result<(), StoreError> {
        let (mut rest, mut within) = (range, segment_of_start);
        // Where a filter leaves all, no more is read than is needed; where it leaves little, more and more at a time.
        let mut stretch = if self.counting { self.left.events } else { self.want - self.lines.len() };
        self.ended = false;
        self.at = match self.order {
            Order::Ascending => *rest.start(),
            Order::Descending => *rest.end(),
        };
        while !self.is_over() && !self.ended {
            let events = if self.is_exhausted() { 1 } else { stretch };
            let limit = ReadLimit { events, bytes: self.left.bytes.max(1) };
            let order = self.order;
            let reached = log.each(organisation, rest.clone(), within, order, limit, |line| self.take(line)).await?;
            self.first = self.first.or(reached.first);
            (self.at, self.ended) = (reached.at, reached.ended);
            rest = match self.order {
                Order::Ascending => reached.at..=*rest.end(),
                Order::Descending => *rest.start()..=reached.at,
            };
            within = None;
            stretch = stretch.saturating_mul(2);
        }
        Ok(())
    }

    fn take(&mut self, line: Line) -> ControlFlow<()> {
        if self.is_exhausted() {
            self.stopped_at = Some(line.id);
            return ControlFlow::Break(());
        }
        self.left.events -= 1;
        self.left.bytes = self.left.bytes.saturating_sub(line.text.len() + 1);
        if self.filter.matches(&line) {
            if self.skip > 0 {
                self.skip -= 1;
                return ControlFlow::Continue(());
            }
            if self.counting {
                self.counted.push(line.recorded_at);
            }
            if !self.has_enough() {
                self.keep_bytes = self.keep_bytes.saturating_sub(line.text.len());
                self.lines.push(line);
            }
        }
        if self.has_enough() && !self.counting { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
