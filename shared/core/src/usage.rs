//! What an organisation used in a calendar month: events, their bytes, reads and deliveries. Exact enough to bill.
//!
//! Nothing is counted beside the data, so nothing can be counted twice, forgotten, or lost in a crash:
//!
//! - Each segment carries the counts of its month so far, itself included. The conditional write that puts a segment in its
//!   place is also what counts it. Before the first segment of a later month, the counts of the earlier one are stored in an
//!   item of their own, which does not expire.
//! - Each destination carries the counts of what was delivered to it. They change in the write that commits a delivery. A
//!   destination that is deleted leaves them behind.
//!
//! What is not known is said: see [`LogMonth::unknown_until`] and [`DeliveredMonths::unknown_until`].

#![warn(missing_docs)]

use std::{fmt, str::FromStr, time::Duration};

use crate::{event::Body, time::Timestamp};

/// A calendar month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(
    /// The months since January 1970.
    u16,
);

/// The text is not a month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a month such as 2026-11")]
pub struct MonthError;

impl Month {
    /// Returns the month of a time.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let (year, month, _) = at.date();
        Self(u16::try_from((year - 1970) * 12 + i32::from(month) - 1).unwrap_or_default())
    }

    /// Returns the months since January 1970.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Returns the first millisecond of the month.
    #[must_use]
    pub fn begins_at(self) -> Timestamp {
        Timestamp::parse(&format!("{self}-01T00:00:00Z")).unwrap_or(Timestamp::EPOCH)
    }

    /// Returns the first millisecond of the next month.
    #[must_use]
    pub fn ends_at(self) -> Timestamp {
        Self(self.0 + 1).begins_at()
    }
}

/// The year and the month: `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", 1970 + self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins_at = Timestamp::parse(&format!("{text}-01T00:00:00Z")).map_err(|_| MonthError)?;
        Ok(Self::of(begins_at))
    }
}

/// What was recorded in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounts {
    /// The events that producers sent.
    pub events: u64,
    /// Their size as compact JSON, with one newline each, before compression.
    pub bytes: u64,
    /// The events that Annals recorded itself, reads included.
    pub own_events: u64,
    /// The reads of the log: each call of the API and each view of a page is recorded as one event.
    pub reads: u64,
}

impl LogCounts {
    /// Adds events.
    pub(crate) fn add(&mut self, bodies: &[Body]) {
        for body in bodies {
            if body.is_own() {
                self.own_events += 1;
                self.reads += u64::from(body.is_read());
            } else {
                self.events += 1;
                self.bytes += body.event_bytes() as u64 + 1;
            }
        }
    }
}

/// The counts of a month so far, or of a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMonth {
    /// The month. An append counts in the month in which its first segment was recorded.
    pub month: Month,
    /// The counts.
    pub counts: LogCounts,
    /// What was recorded until then may be missing from the counts: a release that did not count recorded it, or it was lost
    /// when the log's table was restored. Before this month, it says so of the months that have no counts.
    pub unknown_until: Option<Timestamp>,
}

impl LogMonth {
    /// A month in which nothing was recorded so far.
    #[must_use]
    pub fn empty(month: Month) -> Self {
        Self { month, counts: LogCounts::default(), unknown_until: None }
    }

    /// Returns the counts as they are stored: the month as two bytes, the counts as numbers in base 128 with the lowest digit
    /// first, and the time until which they are unknown, in milliseconds, or 0.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let LogCounts { events, bytes, own_events, reads } = self.counts;
        let mut stored = self.month.0.to_be_bytes().to_vec();
        for number in [events, bytes, own_events, reads, self.unknown_until.map_or(0, Timestamp::as_millis)] {
            put_number(&mut stored, number);
        }
        stored
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned. `None` for anything else, as a later release may store it: counting
    /// then begins again, and the counts say so.
    #[must_use]
    pub fn from_bytes(mut stored: &[u8]) -> Option<Self> {
        let month = take_month(&mut stored)?;
        let mut next = || take_number(&mut stored);
        let counts = LogCounts { events: next()?, bytes: next()?, own_events: next()?, reads: next()? };
        let unknown_until = next()?;
        let unknown_until = (unknown_until > 0).then(|| Timestamp::from_millis(unknown_until));
        stored.is_empty().then_some(Self { month, counts, unknown_until })
    }
}

/// What was delivered to a destination in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryCounts {
    /// The objects, replays included, checkpoints not.
    pub objects: u64,
    /// The events in them.
    pub events: u64,
    /// Their size as stored, compressed if the destination compresses.
    pub bytes: u64,
}

impl DeliveryCounts {
    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// What was delivered to a destination, month by month.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveredMonths {
    /// The months with deliveries, the oldest first.
    months: Vec<(Month, DeliveryCounts)>,
    /// What was delivered until then may be missing: a release that did not count delivered it, its record is older than
    /// [`MONTHS_KEPT`](Self::MONTHS_KEPT), or it was lost when the registry's table was restored.
    pub unknown_until: Option<Timestamp>,
}

impl DeliveredMonths {
    /// The number of months with deliveries that are kept.
    pub const MONTHS_KEPT: usize = 36;

    /// Returns whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.months.is_empty() && self.unknown_until.is_none()
    }

    /// Says that what was delivered until then may be missing.
    #[must_use]
    pub fn with_unknown_until(self, unknown_until: Option<Timestamp>) -> Self {
        Self { unknown_until, ..self }
    }

    /// Adds a delivery. One that a wrong clock dates before the last one counts in the month of that one.
    pub fn add(&mut self, at: Timestamp, counts: DeliveryCounts) {
        let month = Month::of(at);
        match self.months.last_mut() {
            Some((last, there)) if *last >= month => there.add(counts),
            _ => self.months.push((month, counts)),
        }
        if self.months.len() > Self::MONTHS_KEPT {
            let (oldest, _) = self.months.remove(0);
            self.unknown_until = self.unknown_until.max(Some(oldest.ends_at()));
        }
    }

    /// Returns the counts of a month.
    #[must_use]
    pub fn of(&self, month: Month) -> DeliveryCounts {
        self.months.iter().find(|(there, _)| *there == month).map(|(_, counts)| *counts).unwrap_or_default()
    }

    /// Returns the months as they are stored: each as two bytes, and the counts as numbers in base 128 with the lowest digit
    /// first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut stored = Vec::new();
        for (month, DeliveryCounts { objects, events, bytes }) in &self.months {
            stored.extend(month.0.to_be_bytes());
            [objects, events, bytes].into_iter().for_each(|number| put_number(&mut stored, *number));
        }
        stored
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned; `None` for anything else.
    #[must_use]
    pub fn from_bytes(mut stored: &[u8], unknown_until: Option<Timestamp>) -> Option<Self> {
        let mut months = Vec::new();
        while !stored.is_empty() {
            let month = take_month(&mut stored)?;
            let mut next = || take_number(&mut stored);
            months.push((month, DeliveryCounts { objects: next()?, events: next()?, bytes: next()? }));
        }
        Some(Self { months, unknown_until })
    }
}

fn put_number(stored: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        stored.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    stored.push(number as u8);
}

fn take_number(stored: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (digit, rest) = stored.split_first()?;
        *stored = rest;
        number |= u64::from(digit & 0x7f).checked_shl(shift)?;
        if digit & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_month(stored: &mut &[u8]) -> Option<Month> {
    let (month, rest) = stored.split_first_chunk()?;
    *stored = rest;
    Some(Month(u16::from_be_bytes(*month)))
}

/// How long after its end a month may still change: longer than clocks differ and a delivery takes.
const SETTLED_AFTER: Duration = Duration::from_secs(60 * 60);

/// What an organisation used in a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The month.
    pub month: Month,
    /// Whether the month is over and the counts stay as they are.
    pub is_final: bool,
    /// What was recorded; `None` if it is unknown.
    pub recorded: Option<LogCounts>,
    /// What was recorded in the month until then may be missing from `recorded`.
    pub recorded_unknown_until: Option<Timestamp>,
    /// What was delivered to all destinations, deleted ones included.
    pub delivered: DeliveryCounts,
    /// What was delivered in the month until then may be missing from `delivered`.
    pub delivered_unknown_until: Option<Timestamp>,
}

/// What tells the usage of a log.
#[derive(Debug, Clone)]
pub struct LogHistory {
    /// The counts that the last segment carries. `None` if the log is empty, or if a release that did not count wrote it.
    pub current: Option<LogMonth>,
    /// When the last segment was recorded; `None` in an empty log.
    pub last_recorded_at: Option<Timestamp>,
    /// The months that are over, in any order.
    pub closed: Vec<LogMonth>,
}

impl LogHistory {
    /// Returns the counts of a month and until when they are unknown. `None`: nothing is known of that month.
    fn of(&self, month: Month) -> Option<LogMonth> {
        let known = self.current.into_iter().chain(self.closed.iter().copied());
        if let Some(there) = known.clone().find(|there| there.month == month) {
            return Some(there);
        }
        // Counts of every month in which something was recorded are stored before those of a later one, as long as counting
        // went on from one to the other.
        let unknown_until = match known.filter(|there| there.month > month).min_by_key(|there| there.month) {
            Some(next) => next.unknown_until,
            None if self.current.is_some() => None,
            None => self.last_recorded_at,
        };
        let is_known = unknown_until.is_none_or(|until| until < month.begins_at());
        is_known.then(|| LogMonth::empty(month))
    }
}

impl Usage {
    /// Returns the usage of a month.
    #[must_use]
    pub fn of(month: Month, log: &LogHistory, delivered: &[DeliveredMonths], now: Timestamp) -> Self {
        let within = |until: Option<Timestamp>| {
            until.filter(|until| *until > month.begins_at()).map(|until| until.min(month.ends_at()))
        };
        let recorded = log.of(month);
        let mut counts = DeliveryCounts::default();
        delivered.iter().for_each(|one| counts.add(one.of(month)));
        Self {
            month,
            is_final: now >= month.ends_at().plus(SETTLED_AFTER),
            recorded: recorded.map(|recorded| recorded.counts),
            recorded_unknown_until: match recorded {
                Some(recorded) => within(recorded.unknown_until),
                None => Some(month.ends_at()),
            },
            delivered: counts,
            delivered_unknown_until: delivered.iter().filter_map(|one| within(one.unknown_until)).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn month(text: &str) -> Month {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_leniently(text).unwrap()
    }

    #[test]
    fn a_month_begins_and_ends_in_utc() {
        for (text, begins, ends) in [
            ("1970-01", "1970-01-01", "1970-02-01"),
            ("2024-02", "2024-02-01", "2024-03-01"),
            ("2026-12", "2026-12-01", "2027-01-01"),
        ] {
            assert_eq!((month(text).begins_at(), month(text).ends_at()), (at(begins), at(ends)));
            assert_eq!(month(text).to_string(), text);
            assert_eq!(Month::of(at(ends).minus(Duration::from_millis(1))), month(text));
            assert!(Month::of(at(ends)) > month(text));
        }
        for text in ["", "2026", "2026-13", "2026-00", "26-11", "2026-11-01", "2026-1", "1969-12", "november"] {
            assert_eq!(text.parse::<Month>(), Err(MonthError), "{text}");
        }
    }

    #[test]
    fn counts_are_stored_in_a_few_bytes() {
        let counts = LogCounts { events: 1_000_000, bytes: 1_000_000_000, own_events: 5000, reads: 4000 };
        let stored = LogMonth { month: month("2026-11"), counts, unknown_until: None }.to_bytes();
        assert_eq!(stored.len(), 15);
        assert_eq!(LogMonth::from_bytes(&stored).map(|there| there.counts), Some(counts));
        for damaged in [&stored[..14], &[stored.as_slice(), &[0]].concat(), &[], &[0xff; 40]] {
            assert_eq!(LogMonth::from_bytes(damaged), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read(numbers in prop::array::uniform4(any::<u64>()), number: u16, until in any::<Option<u32>>()) {
            let [events, bytes, own_events, reads] = numbers;
            let until = until.filter(|until| *until > 0).map(|until| Timestamp::from_millis(until.into()));
            let counts = LogCounts { events, bytes, own_events, reads };
            let log = LogMonth { month: Month(number), counts, unknown_until: until };
            prop_assert_eq!(LogMonth::from_bytes(&log.to_bytes()), Some(log));
            let counts = DeliveryCounts { objects: events, events: bytes, bytes: reads };
            let delivered = DeliveredMonths { months: vec![(Month(number), counts); 3], unknown_until: until };
            prop_assert_eq!(DeliveredMonths::from_bytes(&delivered.to_bytes(), until), Some(delivered));
        }
    }

    fn counted(text: &str, events: u64, unknown_until: Option<&str>) -> LogMonth {
        let counts = LogCounts { events, ..LogCounts::default() };
        LogMonth { month: month(text), counts, unknown_until: unknown_until.map(at) }
    }

    fn usage(text: &str, log: &LogHistory) -> (Option<u64>, Option<String>) {
        let usage = Usage::of(month(text), log, &[], at("2027-06-15"));
        let until = usage.recorded_unknown_until.map(|until| until.to_string()[..10].to_owned());
        (usage.recorded.map(|counts| counts.events), until)
    }

    #[test]
    fn a_month_without_events_is_known_while_counting_went_on() {
        let log = LogHistory {
            current: Some(counted("2027-03", 3, None)),
            last_recorded_at: Some(at("2027-03-02")),
            closed: vec![counted("2026-12", 2, Some("2026-12-05")), counted("2027-01", 1, None)],
        };
        let exactly = |events| (Some(events), None);
        assert_eq!(usage("2027-03", &log), exactly(3));
        assert_eq!(usage("2027-02", &log), exactly(0), "nothing was recorded between two months that were counted");
        assert_eq!(usage("2027-01", &log), exactly(1));
        assert_eq!(usage("2027-05", &log), exactly(0), "nothing was recorded since");
        assert_eq!(usage("2026-12", &log), (Some(2), Some("2026-12-05".into())), "it was counted from that day on");
        assert_eq!(usage("2026-11", &log), (None, Some("2026-12-01".into())), "nobody counted");
    }

    #[test]
    fn a_release_that_does_not_count_is_noticed() {
        // It recorded last in January, and counting went on in March.
        let log = LogHistory {
            current: Some(counted("2027-03", 3, Some("2027-01-31T12:00:00Z"))),
            last_recorded_at: Some(at("2027-03-02")),
            closed: vec![counted("2026-11", 1, None)],
        };
        assert_eq!(usage("2027-03", &log), (Some(3), None));
        assert_eq!(usage("2027-02", &log), (Some(0), None), "nothing was recorded after January");
        assert_eq!(usage("2027-01", &log), (None, Some("2027-02-01".into())));
        assert_eq!(usage("2026-12", &log), (None, Some("2027-01-01".into())));
        assert_eq!(usage("2026-11", &log), (Some(1), None));
        // It recorded the last segment.
        let log = LogHistory { current: None, ..log };
        assert_eq!(usage("2027-03", &log), (None, Some("2027-04-01".into())));
        assert_eq!(usage("2027-04", &log), (Some(0), None));
        let empty = LogHistory { current: None, last_recorded_at: None, closed: Vec::new() };
        assert_eq!(usage("2027-03", &empty), (Some(0), None));
    }

    #[test]
    fn a_month_is_final_when_nothing_can_be_added() {
        let empty = LogHistory { current: None, last_recorded_at: None, closed: Vec::new() };
        for (now, is_final) in [("2026-11-30", false), ("2026-12-01T00:59:59Z", false), ("2026-12-01T01:00:00Z", true)]
        {
            assert_eq!(Usage::of(month("2026-11"), &empty, &[], at(now)).is_final, is_final, "{now}");
        }
    }

    #[test]
    fn deliveries_are_kept_for_three_years_of_months() {
        let one = DeliveryCounts { objects: 1, events: 2, bytes: 3 };
        let mut delivered = DeliveredMonths::default();
        for number in 0..40 {
            delivered.add(Month(600 + number).begins_at(), one);
        }
        delivered.add(Month(601).begins_at(), one);
        assert_eq!(delivered.of(Month(639)).objects, 2, "time does not run backwards");
        assert_eq!(delivered.unknown_until, Some(Month(603).ends_at()));
        let empty = LogHistory { current: None, last_recorded_at: None, closed: Vec::new() };
        let of = |number| Usage::of(Month(number), &empty, &[delivered.clone(), delivered.clone()], at("2030-01-01"));
        assert_eq!((of(604).delivered.events, of(604).delivered_unknown_until), (4, None));
        assert_eq!((of(603).delivered.events, of(603).delivered_unknown_until), (0, Some(Month(603).ends_at())));
    }
}
