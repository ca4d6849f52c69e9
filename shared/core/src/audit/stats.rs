//! Counts of events over time: for charts, and to hold a copy of the log against it. Counting reads the events; a call
//! that has read enough stops, and says where to go on. Counts of such parts add up.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, RangeInclusive},
    str::FromStr,
    time::Duration,
};

use super::{
    Audit, AuditError, Reader,
    filter::{Fields, Filter},
    scan::Budget,
};
use crate::{
    id::EventId,
    log::{
        read::{PlaceError, ReadLimit},
        segment::Line,
        store::Order,
    },
    organisation::Organisation,
    time::Timestamp,
};

/// How much is looked at in one call.
const MAX_SCAN: Budget = Budget { events: 50_000, bytes: 32 * 1024 * 1024 };
/// How many bytes of names one call counts under at most, so that an answer stays small.
const MAX_NAME_BYTES: usize = 1024 * 1024;

/// How long a stretch of time counts belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// An hour, from its beginning in UTC.
    Hour,
    /// A day, from midnight in UTC.
    Day,
}

impl Interval {
    /// Its name, as the API writes it.
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
        // No leap second is counted in the time since the epoch.
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

/// What events are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Their type.
    Type,
    /// Their action.
    Action,
    /// The type of their entity.
    EntityType,
    /// The id of their principal.
    Principal,
}

impl By {
    /// Its name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Action => "action",
            Self::EntityType => "entityType",
            Self::Principal => "principal",
        }
    }

    fn name<'a>(self, fields: &'a Fields<'_>) -> &'a str {
        match self {
            Self::Type => &fields.kind,
            Self::Action => &fields.action,
            Self::EntityType => &fields.entity.entity_type,
            Self::Principal => &fields.principal.id,
        }
    }
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Type, Self::Action, Self::EntityType, Self::Principal];
        all.into_iter().find(|by| by.as_str() == text).ok_or("must be type, action, entityType or principal")
    }
}

/// What to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRequest {
    /// Only events recorded at this time or later.
    pub since: Timestamp,
    /// Only events recorded before this time.
    pub until: Timestamp,
    /// The event with which this part begins, as the part before said.
    pub from: Option<EventId>,
    /// No event after this one: the tail as it was at the first part.
    pub through: Option<EventId>,
    /// How long each stretch is.
    pub interval: Interval,
    /// What is counted apart.
    pub by: By,
    /// Only events that match.
    pub filter: Filter,
}

/// Counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The stretches that have events, the oldest first.
    pub intervals: Vec<Count>,
    /// The event with which the next part begins, where there is one.
    pub next: Option<EventId>,
    /// The bound that the next part carries on.
    pub through: Option<EventId>,
}

/// The events of one stretch of time that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When it begins.
    pub start: Timestamp,
    /// How many.
    pub total: u64,
    /// How many under each name.
    pub counts: BTreeMap<String, u64>,
    /// The sequences of the first and the last of them. Without a filter they are as many as the total: sequences are dense.
    pub sequences: RangeInclusive<u64>,
}

impl Audit {
    /// Counts events.
    ///
    /// # Errors
    /// Where `from` or `through` are no events of this organisation (nothing is recorded then), or the read cannot be done
    /// or recorded.
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
        let take = |line: Line| counting.take(&line);
        let reached = self.log.each(&organisation.id, start..=end, segment, Order::Ascending, limit, take).await?;
        let mut next = counting.stopped_at;
        if next.is_none() && !reached.ended {
            // The bytes ended it: look which event comes next.
            let limit = ReadLimit { events: 1, bytes: usize::MAX };
            let more = self.log.read(&organisation.id, reached.at..=end, None, Order::Ascending, limit).await?;
            next = more.lines.first().map(|line| line.id);
        }
        let intervals = counting.intervals.into_values().collect();
        Ok(Stats { intervals, next, through })
    }
}

/// Events being counted.
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

    fn take(&mut self, line: &Line) -> ControlFlow<()> {
        if self.looked_at >= MAX_SCAN.events || self.name_bytes >= MAX_NAME_BYTES {
            self.stopped_at = Some(line.id);
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        let matching = Fields::of(line).filter(|_| self.request.filter.matches(line));
        if let Some(fields) = matching {
            let (name, sequence) = (self.request.by.name(&fields), line.sequence());
            let start = self.request.interval.beginning(line.recorded_at);
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
