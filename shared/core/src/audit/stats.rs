//! Counts of events over time, for charts and to compare a copy with the log. Counting reads the events. A call that
//! reaches its limit returns the position where the next call continues. The total is the sum of the counts of all
//! calls.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, RangeInclusive},
    str::FromStr,
    time::Duration,
};

use super::{Audit, AuditError, Reader, filter::Filter, scan::Budget};
use crate::{
    id::EventId,
    line::{Fields, Wanted},
    log::{
        read::{PlaceError, ReadLimit},
        segment::{Seen, Stored},
        store::Order,
    },
    organisation::Organisation,
    time::Timestamp,
};

/// The maximum that one call reads.
const MAX_SCAN: Budget = Budget { events: 50_000, bytes: 32 * 1024 * 1024 };
/// The maximum size of the distinct names in one call's counts, so that an answer stays small.
const MAX_NAME_BYTES: usize = 1024 * 1024;

/// The length of the intervals that events are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Full hours in UTC.
    Hour,
    /// Days in UTC.
    Day,
}

impl Interval {
    /// Returns the name used by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn duration(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(60 * 60),
            Self::Day => Duration::from_secs(24 * 60 * 60),
        }
    }

    fn beginning(self, at: Timestamp) -> Timestamp {
        // Time since the epoch has no leap seconds.
        let length = u64::try_from(self.duration().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(at.as_millis() / length * length)
    }
}

impl FromStr for Interval {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Hour, Self::Day];
        all.into_iter().find(|interval| interval.as_str() == text).ok_or("must be hour or day")
    }
}

/// The field that events are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Type,
    Action,
    EntityType,
    /// The principal's id.
    Principal,
    /// Who recorded the events.
    RecordedBy,
}

impl By {
    /// Returns the name used by the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Action => "action",
            Self::EntityType => "entityType",
            Self::Principal => "principal",
            Self::RecordedBy => "recordedBy",
        }
    }

    fn member(self) -> Wanted {
        match self {
            Self::Type => Wanted::TYPE,
            Self::Action => Wanted::ACTION,
            Self::EntityType => Wanted::ENTITY,
            Self::Principal => Wanted::PRINCIPAL,
            Self::RecordedBy => Wanted::RECORDED_BY,
        }
    }

    fn name<'a>(self, fields: &'a Fields<'_>) -> &'a str {
        match self {
            Self::Type => fields.kind.as_str(),
            Self::Action => fields.action.as_str(),
            Self::EntityType => fields.entity.entity_type.as_str(),
            Self::Principal => fields.principal.id.as_str(),
            Self::RecordedBy => fields.recorded_by.as_str(),
        }
    }
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Type, Self::Action, Self::EntityType, Self::Principal, Self::RecordedBy];
        let by = all.into_iter().find(|by| by.as_str() == text);
        by.ok_or("must be type, action, entityType, principal or recordedBy")
    }
}

/// A request for counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRequest {
    /// Only events recorded at this time or later.
    pub since: Timestamp,
    /// Only events recorded before this time.
    pub until: Timestamp,
    /// The event with which this call begins: `next` of the previous call.
    pub from: Option<EventId>,
    /// The last event to count: the tail at the time of the first call.
    pub through: Option<EventId>,
    pub interval: Interval,
    pub by: By,
    pub filter: Filter,
}

/// The counts of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The intervals that have events, oldest first.
    pub intervals: Vec<Count>,
    /// The event with which the next call must begin, if there is more to count.
    pub next: Option<EventId>,
    /// The bound for the next call.
    pub through: Option<EventId>,
}

/// The matching events of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub start: Timestamp,
    pub total: u64,
    /// By the value of the field.
    pub counts: BTreeMap<String, u64>,
    /// The sequences of the first and the last event. Without a filter their number equals the total, because sequences
    /// have no gaps.
    pub sequences: RangeInclusive<u64>,
}

impl Audit {
    /// Counts events.
    ///
    /// # Errors
    /// Returns an error if `from` or `through` is not an event of this organisation (nothing is recorded then), or if the
    /// read fails or cannot be recorded.
    pub async fn stats(
        &self,
        organisation: &Organisation,
        request: &StatsRequest,
        reader: &Reader,
    ) -> Result<Stats, AuditError> {
        if [request.from, request.through].into_iter().flatten().any(|id| !id.is_of(&organisation.id)) {
            return Err(PlaceError::Unknown.into());
        }
        let (start, segment) = match request.from {
            Some(id) => {
                self.log.event(organisation, id).await?;
                (id.sequence(), Some(id.segment()))
            }
            None => (self.log.first_since(organisation, request.since).await?, None),
        };
        let (before, _) = self.record(organisation, reader).await?;
        let through = request
            .through
            .filter(|through| before.is_none_or(|before| through.sequence() <= before.sequence()))
            .or(before);
        let end = self.log.first_since(organisation, request.until).await? - 1;
        let end = end.min(through.map_or(0, EventId::sequence));
        let mut counting = Counting::of(request);
        let limit = ReadLimit { events: MAX_SCAN.events + 1, bytes: MAX_SCAN.bytes };
        let take = |seen: Seen<'_>| match seen {
            Seen::Unwanted(stored) => counting.take(&stored),
            Seen::Line(_) => ControlFlow::Continue(()),
        };
        let (log, id) = (&self.log, &organisation.id);
        let reached = log.each_seen(id, start..=end, segment, Order::Ascending, limit, |_| false, take).await?;
        let mut next = counting.stopped_at;
        if next.is_none() && !reached.ended {
            // The limit of bytes was reached. The next event is not known yet.
            let limit = ReadLimit { events: 1, bytes: usize::MAX };
            let more = self.log.read(&organisation.id, reached.at..=end, None, Order::Ascending, limit).await?;
            next = more.lines.first().map(|line| line.id);
        }
        let intervals = counting.intervals.into_values().collect();
        Ok(Stats { intervals, next, through })
    }
}

/// The state of a count.
struct Counting<'a> {
    request: &'a StatsRequest,
    looked_at: usize,
    name_bytes: usize,
    intervals: BTreeMap<u64, Count>,
    stopped_at: Option<EventId>,
}

impl<'a> Counting<'a> {
    fn of(request: &'a StatsRequest) -> Self {
        Self { request, looked_at: 0, name_bytes: 0, intervals: BTreeMap::new(), stopped_at: None }
    }

    fn take(&mut self, event: &Stored<'_>) -> ControlFlow<()> {
        if self.looked_at >= MAX_SCAN.events || self.name_bytes >= MAX_NAME_BYTES {
            self.stopped_at = Some(event.id);
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        let filter = &self.request.filter;
        let fields = Fields::only(event.body, filter.members() | self.request.by.member());
        if filter.matches_fields(&fields, event.body, event.recorded_at) {
            let (name, sequence) = (self.request.by.name(&fields), event.id.sequence());
            let start = self.request.interval.beginning(event.recorded_at);
            let count = self.intervals.entry(start.as_millis()).or_insert_with(|| Count {
                start,
                total: 0,
                counts: BTreeMap::new(),
                sequences: sequence..=sequence,
            });
            count.total += 1;
            count.sequences = *count.sequences.start()..=sequence;
            match count.counts.get_mut(name) {
                Some(number) => *number += 1,
                None => {
                    self.name_bytes += name.len();
                    count.counts.insert(name.to_owned(), 1);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
