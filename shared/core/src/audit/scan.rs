//! Searching the log for events that match a filter, with a limit on how much is read.

use std::ops::{ControlFlow, RangeInclusive};

use super::filter::Filter;
use crate::{
    id::EventId,
    log::{
        Log,
        read::{Passed, ReadLimit},
        segment::{Line, Seen, Stored},
        store::{Order, StoreError},
    },
    organisation::OrganisationId,
    time::Timestamp,
};

/// The maximum that a scan reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) events: usize,
    /// Bytes of lines, with one newline each.
    pub(super) bytes: usize,
}

/// A scan and its results so far.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    filter: &'a Filter,
    order: Order,
    /// The number of matching events to skip before one is kept.
    skip: u64,
    /// The number of events to keep.
    want: usize,
    left: Budget,
    /// The size of lines that may still be kept.
    keep_bytes: usize,
    /// Whether it continues after it has kept enough events, to count the others.
    counting: bool,
    /// The recording time of each matching event, if it counts.
    pub(super) counted: Vec<Timestamp>,
    /// The events kept.
    pub(super) lines: Vec<Line>,
    /// The sequence at which it continues.
    pub(super) at: u64,
    /// Whether it reached the end of the range.
    pub(super) ended: bool,
    /// The first segment read.
    pub(super) first: Option<Passed>,
    /// The event before which it stopped because a limit was reached.
    pub(super) stopped_at: Option<EventId>,
}

impl<'a> Scan<'a> {
    /// Creates a scan for `want` events that match `filter`. It keeps lines of about `keep_bytes` at most.
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

    /// Makes the scan count all matching events up to the end of the range or its budget.
    pub(super) fn counting(self) -> Self {
        Self { counting: true, ..self }
    }

    /// Returns the number of matching events that are still to be skipped.
    pub(super) fn to_skip(&self) -> u64 {
        self.skip
    }

    /// Returns whether there is no reason to read further.
    pub(super) fn is_over(&self) -> bool {
        self.has_enough() && !self.counting || self.stopped_at.is_some()
    }

    /// Returns whether it keeps no further event.
    fn has_enough(&self) -> bool {
        self.lines.len() >= self.want || self.counting && self.keep_bytes == 0
    }

    /// Returns whether a limit is reached, so that it stops before the next event.
    fn is_exhausted(&self) -> bool {
        self.left.events == 0 || self.left.bytes == 0 || self.keep_bytes == 0 && !self.counting
    }

    /// Scans `range`, which has the meaning described at [`Log::read`].
    pub(super) async fn run(
        &mut self,
        log: &Log,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        segment_of_start: Option<u64>,
    ) -> Result<(), StoreError> {
        let (mut rest, mut within) = (range, segment_of_start);
        // Unless the scan counts, the first read is as small as possible, in case every event matches. If few events
        // match, each read is twice as large as the one before.
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
            let filter = self.filter;
            let wanted = |stored: &Stored<'_>| filter.matches(stored.body, stored.recorded_at);
            let take = |seen: Seen<'_>| self.take(seen);
            let reached = log.each_seen(organisation, rest.clone(), within, order, limit, wanted, take).await?;
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

    fn take(&mut self, seen: Seen<'_>) -> ControlFlow<()> {
        let (id, bytes) = match &seen {
            Seen::Line(line) => (line.id, line.text.len() + 1),
            Seen::Unwanted(stored) => (stored.id, stored.line_bytes()),
        };
        if self.is_exhausted() {
            self.stopped_at = Some(id);
            return ControlFlow::Break(());
        }
        self.left.events -= 1;
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        if let Seen::Line(line) = seen {
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
