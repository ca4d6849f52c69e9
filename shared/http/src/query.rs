//! The parameters of reads: what is asked for, and what links to further reads carry on.

use annals_core::{
    audit::{
        PageRequest, Shape, Start,
        filter::{Filter, SearchText},
        stats::{By, Interval, StatsRequest},
    },
    fault::{Fault, Faults},
    id::EventId,
    log::store::Order,
    time::Timestamp,
};

/// Events on a page, unless another number is asked for.
const DEFAULT_PAGE_SIZE: usize = 100;
/// The most events on a page.
const MAX_PAGE_SIZE: usize = 1000;
/// The highest page number: no log has more events than a page of one each would show.
const MAX_PAGE_NUMBER: u64 = 1 << 40;
/// The longest value of a filter, in characters: as long as what it is compared with may be.
const MAX_VALUE_CHARS: usize = 1024;
/// The most values of one filter.
const MAX_VALUES: usize = 20;

/// Parameters of a filter. Each may be given several times: any of its values will do.
pub const FILTERS: [&str; 7] = ["type", "excludeType", "userUuid", "action", "entityType", "entityId", "principalId"];

/// A query string, read parameter by parameter; every fault is reported at once.
struct Parameters {
    given: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Parameters {
    /// The parameters in `query`: those that are `known`, and those of a filter.
    fn of(query: &str, known: &[&str]) -> Self {
        let mut faults = Vec::new();
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let filter = FILTERS.contains(&&*name);
            if !filter && !known.contains(&&*name) {
                let detail = format!("is no parameter of this call: it has {}", names(known));
                faults.push(Fault::parameter(name, detail));
            } else if !filter && given.iter().any(|(other, _)| *other == name) {
                faults.push(Fault::parameter(name, "is given twice"));
            } else {
                given.push((name.into_owned(), value.into_owned()));
            }
        }
        Self { given, faults }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads a parameter, where it is given; what is wrong with it is a fault.
    fn read<T, E: ToString>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let fault = match parse(self.value(name)?) {
            Ok(value) => return Some(value),
            Err(error) => error.to_string(),
        };
        self.faults.push(Fault::parameter(name, fault));
        None
    }

    fn filter(&mut self) -> Filter {
        let mut values = |name: &'static str| {
            let values: Vec<String> =
                self.given.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
            if values.len() > MAX_VALUES {
                self.faults.push(Fault::parameter(name, format!("is given more than {MAX_VALUES} times")));
            }
            if let Some(detail) = values.iter().find_map(|value| wrong_value(value)) {
                self.faults.push(Fault::parameter(name, detail));
            }
            values
        };
        let mut filter = Filter {
            types: values("type"),
            excluded_types: values("excludeType"),
            actions: values("action"),
            entity_types: values("entityType"),
            entity_ids: values("entityId"),
            principal_ids: values("principalId"),
            user_ids: values("userUuid"),
            text: None,
        };
        filter.text = self.read("q", |text| match wrong_value(text) {
            Some(detail) => Err(detail),
            None => Ok(SearchText::new(text)),
        });
        filter
    }

    /// The parameters of the filter as they were given, to be carried on.
    fn given_filter(&self) -> Vec<(&'static str, String)> {
        let names = FILTERS.into_iter().chain(["q"]);
        names
            .flat_map(|name| {
                let values = self.given.iter().filter(move |(key, _)| key == name);
                values.map(move |(_, value)| (name, value.clone()))
            })
            .collect()
    }

    fn owned(&self, name: &'static str) -> Option<(&'static str, String)> {
        self.value(name).map(|value| (name, value.to_owned()))
    }
}

fn wrong_value(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("must not be empty".into());
    }
    (value.chars().count() > MAX_VALUE_CHARS).then(|| format!("must be at most {MAX_VALUE_CHARS} characters long"))
}

fn names(known: &[&str]) -> String {
    // What links carry on by themselves is nobody's to choose.
    let own = known.iter().filter(|name| !["through", "skip"].contains(name));
    let mut names: Vec<&str> = own.copied().chain(FILTERS).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} and {last}", names.join(", "))
}

fn whole_number<T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy>(
    min: T,
    max: T,
) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        let number = text.parse::<T>().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
    }
}

/// The parameters of a page.
#[derive(Debug)]
pub struct PageQuery {
    /// What is asked for.
    pub request: PageRequest,
    filter: Vec<(&'static str, String)>,
    since: Option<(&'static str, String)>,
    until: Option<(&'static str, String)>,
    sort: Option<(&'static str, String)>,
    page_size: Option<(&'static str, String)>,
}

impl PageQuery {
    /// Reads a page's query string; events will be shown as `shape` says.
    ///
    /// # Errors
    /// Every fault, at its parameter.
    pub fn parse(query: &str, shape: Shape) -> Result<Self, Faults> {
        const KNOWN: [&str; 10] =
            ["from", "after", "since", "until", "sort", "pageNumber", "pageSize", "q", "through", "skip"];
        let mut parameters = Parameters::of(query, &KNOWN);
        let from = parameters.read("from", EventId::parse);
        let after = parameters.read("after", EventId::parse);
        let through = parameters.read("through", EventId::parse);
        if parameters.value("from").is_some() && parameters.value("after").is_some() {
            let detail = "cannot be used together with from: one begins with its event, the other behind it";
            parameters.faults.push(Fault::parameter("after", detail));
        }
        let since = parameters.read("since", Timestamp::parse_leniently);
        let until = parameters.read("until", Timestamp::parse_leniently);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            parameters.faults.push(Fault::parameter("until", "lies before since"));
        }
        // A plus that nobody escaped arrives as a space.
        let order = parameters.read("sort", |sort| match sort.trim_start() {
            "asc" | "timestamp" | "+timestamp" => Ok(Order::Ascending),
            "desc" | "-timestamp" => Ok(Order::Descending),
            _ => Err("must be +timestamp or asc (oldest first), or -timestamp or desc"),
        });
        let page_size = parameters.read("pageSize", whole_number(1, MAX_PAGE_SIZE)).unwrap_or(DEFAULT_PAGE_SIZE);
        let page_number = parameters.read("pageNumber", whole_number(1, MAX_PAGE_NUMBER));
        let skip = parameters.read("skip", whole_number(0, u64::MAX >> 1));
        let filter = parameters.filter();
        Faults::none_or(std::mem::take(&mut parameters.faults))?;
        let start = match (from, after) {
            (Some(id), _) => Start::From(id),
            (None, Some(id)) => Start::After(id),
            (None, None) => Start::Edge,
        };
        let skip = page_number.map_or(0, |number| (number - 1).saturating_mul(page_size as u64)) + skip.unwrap_or(0);
        let order = order.unwrap_or(Order::Ascending);
        Ok(Self {
            request: PageRequest { start, since, until, filter, skip, through, order, page_size, shape },
            filter: parameters.given_filter(),
            // Going forward, the next page begins behind `since` anyway; going back, it still bounds the end.
            since: parameters.owned("since").filter(|_| order == Order::Descending),
            until: parameters.owned("until"),
            sort: parameters.owned("sort"),
            page_size: parameters.owned("pageSize"),
        })
    }

    /// What the next page is asked for beside its place.
    pub fn carried_on(&self) -> impl Iterator<Item = (&'static str, String)> {
        let others = [&self.since, &self.until, &self.sort, &self.page_size];
        others.into_iter().flatten().chain(&self.filter).cloned()
    }

    /// What a later read, which goes on chronologically, is asked for beside its place.
    pub fn resumed_with(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.until.iter().chain(&self.page_size).chain(&self.filter).cloned()
    }
}

/// The parameters of counts.
#[derive(Debug)]
pub struct StatsQuery {
    pub request: StatsRequest,
    filter: Vec<(&'static str, String)>,
}

impl StatsQuery {
    /// Reads the query string of counts. Without times it is about the last seven days up to `now`.
    ///
    /// # Errors
    /// Every fault, at its parameter.
    pub fn parse(query: &str, now: Timestamp) -> Result<Self, Faults> {
        const KNOWN: [&str; 7] = ["since", "until", "interval", "by", "q", "from", "through"];
        const DEFAULT_PERIOD: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
        let mut parameters = Parameters::of(query, &KNOWN);
        let since = parameters.read("since", Timestamp::parse_leniently);
        let until = parameters.read("until", Timestamp::parse_leniently).unwrap_or(now);
        let since = since.unwrap_or_else(|| until.minus(DEFAULT_PERIOD));
        if since > until {
            parameters.faults.push(Fault::parameter("until", "lies before since"));
        }
        let interval = parameters.read("interval", str::parse);
        let by = parameters.read("by", str::parse);
        let from = parameters.read("from", EventId::parse);
        let through = parameters.read("through", EventId::parse);
        let filter = parameters.filter();
        Faults::none_or(std::mem::take(&mut parameters.faults))?;
        let interval = interval.unwrap_or(Interval::Day);
        let by = by.unwrap_or(By::Type);
        let request = StatsRequest { since, until, from, through, interval, by, filter };
        Ok(Self { request, filter: parameters.given_filter() })
    }

    /// What the next part is asked for beside its place.
    pub fn carried_on(&self) -> impl Iterator<Item = (&'static str, String)> {
        let StatsRequest { since, until, interval, by, .. } = &self.request;
        let own = [
            ("since", since.to_string()),
            ("until", until.to_string()),
            ("interval", interval.as_str().to_owned()),
            ("by", by.as_str().to_owned()),
        ];
        own.into_iter().chain(self.filter.iter().cloned())
    }
}
