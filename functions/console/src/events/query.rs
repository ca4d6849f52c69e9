//! The query string of a view of the log. It has the parameters of `GET /audit`, so that a filter is the same text in both, and
//! `range`, a period that ends now, and `reads`. Annals' own records of reads are hidden unless they are asked for.

use std::{fmt, time::Duration};

use annals_core::{
    audit::{PageRequest, Shape},
    fault::{Fault, Place},
    id::EventId,
    time::{Timestamp, TimestampError},
};
use annals_http::query::{FILTERS, PageQuery};

/// A period that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RecentPeriod {
    Hour,
    #[default]
    Day,
    Week,
    /// 30 days.
    Month,
    /// The whole time for which events are kept.
    All,
}

impl RecentPeriod {
    pub(super) const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::All];

    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::All => "all",
        }
    }

    #[must_use]
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Hour => "Last hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::All => "All",
        }
    }

    fn since(self, now: Timestamp) -> Option<Timestamp> {
        let hours = match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
            Self::All => return None,
        };
        Some(now.minus(Duration::from_secs(hours * 60 * 60)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Range {
    Recent(RecentPeriod),
    /// Two times, as they were given. Each of them may be empty.
    Between {
        since: String,
        until: String,
    },
}

/// The type of Annals' own events that record reads of the log. A producer's events of this type are never hidden.
pub(super) const READS: &str = "audit.read";

/// Whether reads of the log are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Hidden,
    Shown,
}

/// The start of a page of older events, as in the API's `next` link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageStart {
    pub(super) from: EventId,
    /// The newest event of the first page.
    pub(super) through: Option<EventId>,
    /// How many matching events are skipped.
    pub(super) skip: u64,
}

/// A view of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) range: Range,
    pub(super) reads: Reads,
    /// The filter parameters in the API's order, and their values, without the one that hides reads.
    pub(super) filter: Vec<(&'static str, String)>,
    /// Parameters that only some pages have, such as `from`.
    others: Vec<(String, String)>,
}

/// The longest query string of a view. A page repeats it in many links.
const MAX_QUERY_BYTES: usize = 2_000;

/// The parameters of a list, besides range and filter.
pub(super) const LIST_PARAMETERS: &[&str] = &["from", "through", "skip"];

impl View {
    /// Parses a query string into a view, and into the request for its page or the faults. Empty values, which forms send, are
    /// ignored. `others` are further parameters of the API that the page has, and `own` are those that the API does not have.
    pub(super) fn parse(
        query: &str,
        others: &[&str],
        own: &[&str],
        now: Timestamp,
    ) -> (Self, Result<PageRequest, Vec<Fault>>) {
        let mut faults = Vec::new();
        let range = Range::Recent(RecentPeriod::default());
        let mut view = Self { range, reads: Reads::Hidden, filter: Vec::new(), others: Vec::new() };
        let (mut since, mut until) = (String::new(), String::new());
        let given: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        // In the API's order, so that equal views have equal addresses.
        for name in FILTERS {
            let values = given.iter().filter(|(key, _)| key == name);
            view.filter.extend(values.map(|(_, value)| (name, value.clone())));
        }
        let is_hiding = |(name, value): &(&str, String)| *name == "excludeOwnType" && value == READS;
        if !view.filter.iter().any(is_hiding) && view.asks_for_reads() {
            view.reads = Reads::Shown;
        }
        view.filter.retain(|pair| !is_hiding(pair));
        for (name, value) in &given {
            match name.as_str() {
                "since" => since = with_zone(value),
                "until" => until = with_zone(value),
                "range" => match RecentPeriod::ALL.into_iter().find(|recent| recent.as_str() == value) {
                    Some(recent) => view.range = Range::Recent(recent),
                    None => faults.push(Fault::parameter("range", "must be 1h, 24h, 7d, 30d or all")),
                },
                "reads" if value == "shown" => view.reads = Reads::Shown,
                "reads" => faults.push(Fault::parameter("reads", "must be shown")),
                name if FILTERS.contains(&name) => {}
                name if others.contains(&name) || own.contains(&name) => {
                    view.others.push((name.to_owned(), value.clone()));
                }
                name => faults.push(Fault::parameter(name, "is not a parameter of this page")),
            }
        }
        if !(since.is_empty() && until.is_empty()) {
            view.range = Range::Between { since, until };
        }
        if view.query().len() > MAX_QUERY_BYTES {
            faults.push(Fault::parameter("The filter", "is too long for this page. The API accepts longer ones"));
        }
        let request = match PageQuery::parse(&view.api_query(own), Shape::View) {
            Ok(query) => {
                let mut request = query.request;
                if let Range::Recent(recent) = view.range {
                    request.since = recent.since(now);
                }
                if faults.is_empty() { Ok(request) } else { Err(faults) }
            }
            Err(found) => {
                faults.extend_from_slice(found.as_slice());
                Err(faults)
            }
        };
        (view, request)
    }

    /// Returns the query string for the API.
    fn api_query(&self, own: &[&str]) -> String {
        let mut pairs = Pairs::default();
        pairs.range(&self.range, false);
        pairs.filter(&self.filter);
        if self.reads == Reads::Hidden {
            pairs.push("excludeOwnType", READS);
        }
        let others = self.others.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        others.for_each(|(name, value)| pairs.push(name, value));
        pairs.to_string()
    }

    /// Returns whether the filter finds reads if they are not hidden, so that it must have been meant to.
    fn asks_for_reads(&self) -> bool {
        self.values("type").any(|value| value == READS)
    }

    /// Returns a parameter other than range and filter.
    pub(super) fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether this is a page of older events.
    pub(super) fn is_older(&self) -> bool {
        self.other("from").is_some()
    }

    /// Returns whether there is a filter other than the range and the reads.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Returns the values of a filter parameter.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.filter.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the query string of the newest events of this view.
    #[must_use]
    pub(super) fn query(&self) -> String {
        self.query_with(&[])
    }

    /// Returns the query string with its question mark, for links to the events of this view; empty if it is longer
    /// than `max` bytes.
    pub(super) fn suffix(&self, max: usize) -> String {
        let query = self.query();
        if query.is_empty() || query.len() > max { String::new() } else { format!("?{query}") }
    }

    /// Returns the query string with further parameters.
    pub(super) fn query_with(&self, others: &[(&str, String)]) -> String {
        let mut pairs = Pairs::default();
        pairs.range(&self.range, true);
        match (self.reads, self.asks_for_reads()) {
            (Reads::Shown, false) => pairs.push("reads", "shown"),
            (Reads::Hidden, true) => pairs.push("excludeOwnType", READS),
            _ => {}
        }
        pairs.filter(&self.filter);
        others.iter().for_each(|(name, value)| pairs.push(name, value));
        pairs.to_string()
    }

    /// Returns the query string of a page of older events.
    pub(super) fn query_from(&self, start: &PageStart) -> String {
        let mut others = vec![("from", start.from.short())];
        others.extend(start.through.map(|through| ("through", through.short())));
        others.extend((start.skip > 0).then(|| ("skip", start.skip.to_string())));
        self.query_with(&others)
    }

    /// Returns the same filter with another range.
    pub(super) fn with_range(&self, range: Range) -> Self {
        Self { range, reads: self.reads, filter: self.filter.clone(), others: Vec::new() }
    }

    /// Returns the same view with `value` instead of all values of the filter parameter `name`.
    pub(super) fn with_value(&self, name: &'static str, value: &str) -> Self {
        let mut view = self.with_range(self.range.clone());
        let index = view.filter.iter().position(|(key, _)| *key == name).unwrap_or(view.filter.len());
        view.filter.retain(|(key, _)| *key != name);
        view.filter.insert(index.min(view.filter.len()), (name, value.to_owned()));
        view
    }

    /// Returns the same view without one value of a filter parameter.
    pub(super) fn without(&self, name: &str, value: &str) -> Self {
        let mut view = self.with_range(self.range.clone());
        view.filter.retain(|(key, other)| *key != name || other != value);
        view
    }

    /// Returns the same range without a filter.
    pub(super) fn unfiltered(&self) -> Self {
        Self { range: self.range.clone(), reads: self.reads, filter: Vec::new(), others: Vec::new() }
    }
}

/// Returns the parameter of a fault, and the rest of a sentence that begins with it.
pub(super) fn message(fault: &Fault) -> (&str, &str) {
    let (Place::Parameter(name) | Place::Pointer(name)) = &fault.place;
    match name.as_str() {
        // The API's message asks for RFC 3339, which the user of a form need not know.
        "since" | "until" | "occurredSince" | "occurredUntil" if fault.detail == TimestampError.to_string() => {
            (name, "is not a date and time")
        }
        "until" if fault.detail == "is before since" => (name, "must be later than From"),
        _ => (name, &fault.detail),
    }
}

/// Adds the zone UTC to a time without one. Browsers send such times if the script has not converted them.
fn with_zone(text: &str) -> String {
    match text.len() {
        16 if Timestamp::parse(&format!("{text}:00Z")).is_ok() => format!("{text}:00Z"),
        17.. if Timestamp::parse(&format!("{text}Z")).is_ok() => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

#[derive(Default)]
struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Pairs<'a> {
    fn push(&mut self, name: &'a str, value: &'a str) {
        self.0.push((name, value));
    }

    fn range(&mut self, range: &'a Range, with_recent: bool) {
        match range {
            Range::Recent(recent) if with_recent && *recent != RecentPeriod::default() => {
                self.push("range", recent.as_str())
            }
            Range::Recent(_) => {}
            Range::Between { since, until } => {
                let times = [("since", since), ("until", until)];
                self.0
                    .extend(times.into_iter().filter(|(_, time)| !time.is_empty()).map(|(name, time)| (name, &**time)));
            }
        }
    }

    fn filter(&mut self, filter: &'a [(&'static str, String)]) {
        self.0.extend(filter.iter().map(|(name, value)| (*name, value.as_str())));
    }
}

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish())
    }
}

#[cfg(test)]
mod tests {
    use annals_core::audit::Start;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn parse(query: &str) -> (View, Result<PageRequest, Vec<Fault>>) {
        View::parse(query, LIST_PARAMETERS, &[], NOW)
    }

    #[test]
    fn a_view_survives_its_query_string() {
        for query in [
            "",
            "range=24h",
            "range=all&type=a.b&type=c&q=%3Cscript%3E%26+%2B",
            "q=x&type=y&since=2026-11-22T10:00&until=2026-11-22T11:00:30Z&action=&entityId=",
            "since=2026-11-22&excludeType=audit.read&excludeOwnType=audit.read&userUuid=7&recordedBy=annals",
            "until=2026-11-22T10%3A00%3A00.123%2B02%3A00&principalId=%F0%9F%92%A5&entityType=A+B",
        ] {
            let (view, request) = parse(query);
            let request = request.unwrap();
            let (parsed_again, request_again) = parse(&view.query());
            assert_eq!(parsed_again, view, "{query}");
            assert_eq!(request_again.unwrap(), request, "{query}");
            assert_eq!(parsed_again.query(), view.query());
        }
    }

    #[test]
    fn a_view_and_the_api_have_the_same_query_string() {
        let (view, request) = parse("since=2026-11-22T10%3A00%3A00Z&type=a&principalId=7&q=x&type=audit.read");
        let api = PageQuery::parse(&view.query(), Shape::View).unwrap();
        assert_eq!(api.request, request.unwrap());
    }

    #[test]
    fn reads_are_hidden_unless_they_are_asked_for() {
        for (query, reads, expected) in [
            ("", Reads::Hidden, ""),
            ("excludeOwnType=audit.read", Reads::Hidden, ""),
            ("reads=shown&q=x", Reads::Shown, "reads=shown&q=x"),
            ("type=audit.read", Reads::Shown, "type=audit.read"),
            ("type=audit.read&excludeOwnType=audit.read", Reads::Hidden, "excludeOwnType=audit.read&type=audit.read"),
            ("excludeOwnType=token.create", Reads::Hidden, "excludeOwnType=token.create"),
        ] {
            let (view, request) = parse(query);
            assert_eq!((view.reads, view.query().as_str()), (reads, expected), "{query}");
            let excluded = request.unwrap().filter.excluded_own_types.iter().any(|one| one == READS);
            assert_eq!(excluded, reads == Reads::Hidden, "{query}");
        }
        assert!(!parse("excludeOwnType=audit.read").0.is_filtered());
        assert!(parse("reads=hidden").1.is_err());
    }

    #[test]
    fn a_value_replaces_the_others_of_its_parameter() {
        let (view, _) = parse("type=a&type=b&q=x&range=7d");
        assert_eq!(view.with_value("type", "c d").query(), "range=7d&type=c+d&q=x");
        assert_eq!(view.without("type", "a").query(), "range=7d&type=b&q=x");
        assert_eq!(view.with_value("outcome", "DENIED").query(), "range=7d&type=a&type=b&q=x&outcome=DENIED");
    }

    #[test]
    fn a_range_ends_now_unless_times_are_given() {
        let since = |query: &str| parse(query).1.unwrap().since;
        let hours = |hours: u64| Some(NOW.minus(Duration::from_secs(hours * 3600)));
        assert_eq!([since(""), since("range=1h"), since("range=7d")], [hours(24), hours(1), hours(168)]);
        assert_eq!([since("range=all"), since("until=2026-11-22")], [None, None]);
        assert_eq!(since("range=1h&since=2026-11-22T10:00"), Timestamp::parse("2026-11-22T10:00:00Z").ok());
        assert_eq!(since("range=1h&since=&until="), hours(1));
    }

    #[test]
    fn pages_of_older_events_keep_the_view() {
        let id = EventId::new(&"acme".parse().unwrap(), NOW, 7, 0);
        let (view, _) = parse("range=7d&action=X");
        let (older, request) = parse(&view.query_from(&PageStart { from: id, through: Some(id), skip: 3 }));
        let request = request.unwrap();
        assert_eq!((request.start, request.through, request.skip), (Start::From(id), Some(id), 3));
        assert_eq!(older.query(), view.query());
        assert!(older.is_older() && !view.is_older());
    }

    #[test]
    fn every_fault_names_its_parameter() {
        let faults = |query: &str| -> Vec<String> {
            let found = parse(query).1.unwrap_err();
            found
                .iter()
                .map(|fault| {
                    let (name, detail) = message(fault);
                    format!("{name} {detail}")
                })
                .collect()
        };
        assert_eq!(faults("since=yesterday"), ["since is not a date and time"]);
        assert_eq!(faults("since=2026-11-22&until=2026-11-21"), ["until must be later than From"]);
        assert_eq!(
            faults("range=2h&sort=asc"),
            ["range must be 1h, 24h, 7d, 30d or all", "sort is not a parameter of this page"]
        );
        assert_eq!(faults(&format!("q={}", "x".repeat(1025))), ["q must be at most 1024 characters long"]);
        let long = format!("q={0}&type={0}", "x".repeat(1000));
        assert_eq!(faults(&long), ["The filter is too long for this page. The API accepts longer ones"]);
        assert!(faults("from=x&skip=-1").len() == 2);
    }
}
