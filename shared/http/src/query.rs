//! Query parameters, each described once: the parser and the schema of a query come from one function over
//! [`Parameters`]. A [`Reader`] runs it over a query string and collects all faults, a [`Describer`] collects the
//! schema. Also owns the queries for reads of the log, and the parameters that links to further pages repeat.

use std::{borrow::Cow, marker::PhantomData};

use annals_core::{
    audit::{
        PageRequest, Shape, Start,
        filter::{Filter, SearchText},
        stats::{By, Interval, StatsRequest},
    },
    fault::{Fault, Faults},
    id::EventId,
    log::store::Order,
    recorded_by::RecordedBy,
    time::Timestamp,
    usage::{Month, MonthError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::schema::{Cursor, RecordedByText, from_value};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;
/// The highest page number. Even with one event per page, no log has more pages.
const MAX_PAGE_NUMBER: u64 = 1 << 40;
/// The longest value of a filter, in characters: the same limit as that of the values in events.
const MAX_VALUE_CHARS: usize = 1024;
/// The most values of one filter.
const MAX_VALUES: usize = 20;

type KindOfTexts = fn() -> Kind<String>;

/// The parameters of a filter, with their descriptions and values. Each may be given several times, for any of its values.
const FILTER_PARAMETERS: [(&str, &str, KindOfTexts); 10] = [
    ("type", "Only events of this type, such as `token.create`.", value),
    ("excludeType", "No events of this type.", value),
    (
        "excludeOwnType",
        "No events of this type that Annals recorded itself, such as `audit.read`. Events of the same type that a producer \
         sent are kept.",
        value,
    ),
    ("userUuid", "Only events of this principal: another name of `principalId`.", value),
    ("action", "Only events with this action.", value),
    ("entityType", "Only events whose entity is of this type.", value),
    ("entityId", "Only events about the entity with this id.", value),
    ("principalId", "Only events of the principal with this id.", value),
    (
        "recordedBy",
        "Only events that this caller recorded: `annals` (Annals' own events), `platform`, `token/` and the token's id, or \
         `session/` and the id of a session in the console.",
        recorded_by,
    ),
    ("outcome", "Only events with this outcome, such as `FAILURE`.", value),
];

/// The names of all parameters of a filter.
pub const FILTERS: [&str; 13] = {
    let mut names = [""; 13];
    let mut index = 0;
    while index < FILTER_PARAMETERS.len() {
        names[index] = FILTER_PARAMETERS[index].0;
        index += 1;
    }
    names[index] = "occurredSince";
    names[index + 1] = "occurredUntil";
    names[index + 2] = "q";
    names
};

/// The parameters of a query, each of which is read or described.
pub trait Parameters {
    /// Reads or describes an optional parameter, which may be given at most once.
    fn optional<T>(&mut self, name: &'static str, description: &'static str, kind: Kind<T>) -> Option<T>;

    /// Reads or describes a parameter that may be given up to [`MAX_VALUES`] times.
    fn repeated(&mut self, name: &'static str, description: &'static str, kind: Kind<String>) -> Vec<String>;
}

/// A set of values: how they are parsed, and the JSON schema of what is accepted.
pub struct Kind<T> {
    parse: fn(&str) -> Result<T, String>,
    schema: fn() -> Value,
}

/// A query that the OpenAPI document describes.
pub trait Query {
    fn describe(describer: &mut Describer);
}

/// The schema of a query: an object whose members are its parameters.
#[derive(Debug)]
pub struct QuerySchema<Q>(PhantomData<Q>);

impl<Q: Query> JsonSchema for QuerySchema<Q> {
    fn schema_name() -> Cow<'static, str> {
        "Query".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut describer = Describer::default();
        Q::describe(&mut describer);
        from_value(json!({"type": "object", "properties": describer.properties}))
    }
}

/// Collects the schemas of parameters.
#[derive(Debug, Default)]
pub struct Describer {
    properties: Map<String, Value>,
}

impl Parameters for Describer {
    fn optional<T>(&mut self, name: &'static str, description: &'static str, kind: Kind<T>) -> Option<T> {
        let mut schema = (kind.schema)();
        schema["description"] = description.into();
        self.properties.insert(name.to_owned(), schema);
        None
    }

    fn repeated(&mut self, name: &'static str, description: &'static str, kind: Kind<String>) -> Vec<String> {
        let schema = json!({
            "description": format!("{description} May be given several times."),
            "type": "array",
            "items": (kind.schema)(),
            "minItems": 1,
            "maxItems": MAX_VALUES,
        });
        self.properties.insert(name.to_owned(), schema);
        Vec::new()
    }
}

/// Reads a query string.
#[derive(Debug)]
pub struct Reader {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Reader {
    #[must_use]
    pub fn of(query: &str) -> Self {
        let given = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { given, known: Vec::new(), faults: Vec::new() }
    }

    /// # Errors
    /// Returns every fault with its parameter, including unknown parameters.
    pub fn finish(&mut self) -> Result<(), Faults> {
        // Only links set these two.
        let mut names: Vec<&str> =
            self.known.iter().copied().filter(|name| !["through", "skip"].contains(name)).collect();
        let last = names.pop().unwrap_or_default();
        let names = if names.is_empty() { last.to_owned() } else { format!("{} and {last}", names.join(", ")) };
        for (name, _) in self.given.iter().filter(|(name, _)| !self.known.contains(&&**name)) {
            self.faults.push(Fault::parameter(name, format!("is not a parameter of this call: it has {names}")));
        }
        Faults::none_or(std::mem::take(&mut self.faults))
    }

    fn fault(&mut self, name: &'static str, detail: impl Into<String>) {
        self.faults.push(Fault::parameter(name, detail));
    }

    fn values(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.given.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// Returns a parameter as it was given, for links.
    fn given(&self, name: &'static str) -> Option<(&'static str, String)> {
        self.given.iter().find(|(key, _)| key == name).map(|(_, value)| (name, value.clone()))
    }

    /// Returns the parameters of the filter as they were given, for links.
    fn given_filter(&self) -> Vec<(&'static str, String)> {
        FILTERS
            .into_iter()
            .flat_map(|name| {
                let values = self.given.iter().filter(move |(key, _)| key == name);
                values.map(move |(_, value)| (name, value.clone()))
            })
            .collect()
    }
}

impl Parameters for Reader {
    fn optional<T>(&mut self, name: &'static str, _: &'static str, kind: Kind<T>) -> Option<T> {
        let values = self.values(name);
        if values.len() > 1 {
            self.fault(name, "is given twice");
        }
        match (kind.parse)(values.first()?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }

    fn repeated(&mut self, name: &'static str, _: &'static str, kind: Kind<String>) -> Vec<String> {
        let values = self.values(name);
        if values.len() > MAX_VALUES {
            self.fault(name, format!("is given more than {MAX_VALUES} times"));
        }
        if let Some(detail) = values.iter().find_map(|value| (kind.parse)(value).err()) {
            self.fault(name, detail);
        }
        values
    }
}

fn cursor() -> Kind<EventId> {
    Kind {
        parse: |text| EventId::parse(text).map_err(|error| error.to_string()),
        schema: || Cursor::json_schema(&mut SchemaGenerator::default()).to_value(),
    }
}

/// Accepts a date and time in RFC 3339, or a date, which means the beginning of that day in UTC.
fn time_or_date() -> Kind<Timestamp> {
    Kind {
        parse: |text| Timestamp::parse_leniently(text).map_err(|error| error.to_string()),
        schema: || {
            json!({"type": "string", "anyOf": [
                {"format": "date-time", "pattern": r"^(19[7-9]\d|[2-9]\d{3})-"},
                {"format": "date", "pattern": r"^(19[7-9]\d|[2-9]\d{3})-\d\d-\d\d$"},
            ]})
        },
    }
}

fn whole_number<const MIN: u64, const MAX: u64>() -> Kind<u64> {
    Kind {
        parse: |text| {
            let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
            number.ok_or_else(|| format!("must be a whole number from {MIN} to {MAX}"))
        },
        schema: || {
            let mut schema = json!({"type": "integer", "minimum": MIN, "maximum": MAX});
            // Without this format, generated clients use 32 bits.
            if MAX > i32::MAX as u64 {
                schema["format"] = "int64".into();
            }
            schema
        },
    }
}

/// A text to compare with.
fn value() -> Kind<String> {
    Kind {
        parse: |text| match text {
            "" => Err("must not be empty".to_owned()),
            _ if text.chars().count() > MAX_VALUE_CHARS => {
                Err(format!("must be at most {MAX_VALUE_CHARS} characters long"))
            }
            _ => Ok(text.to_owned()),
        },
        schema: || json!({"type": "string", "minLength": 1, "maxLength": MAX_VALUE_CHARS, "pattern": r"^[^\u0000]*$"}),
    }
}

/// Who recorded an event.
fn recorded_by() -> Kind<String> {
    Kind {
        parse: |text| text.parse::<RecordedBy>().map(|_| text.to_owned()).map_err(|error| error.to_string()),
        schema: || RecordedByText::json_schema(&mut SchemaGenerator::default()).to_value(),
    }
}

/// An organisation's id.
#[must_use]
pub fn organisation_id() -> Kind<annals_core::organisation::OrganisationId> {
    Kind {
        parse: |text| text.parse().map_err(|error| format!("{error}")),
        schema: || json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"}),
    }
}

/// A calendar month in UTC.
#[must_use]
pub fn month() -> Kind<Month> {
    Kind {
        parse: |text| text.parse().map_err(|error: MonthError| error.to_string()),
        schema: || json!({"type": "string", "pattern": r"^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])$"}),
    }
}

fn order() -> Kind<Order> {
    Kind {
        // An unescaped plus arrives as a space.
        parse: |text| match text.trim_start() {
            "asc" | "timestamp" | "+timestamp" => Ok(Order::Ascending),
            "desc" | "-timestamp" => Ok(Order::Descending),
            _ => Err("must be +timestamp or asc (oldest first), or -timestamp or desc (newest first)".to_owned()),
        },
        schema: || json!({"type": "string", "enum": ["+timestamp", "-timestamp", "timestamp", "asc", "desc"]}),
    }
}

fn interval() -> Kind<Interval> {
    Kind {
        parse: |text| text.parse().map_err(str::to_owned),
        schema: || json!({"type": "string", "enum": ["hour", "day"]}),
    }
}

fn by() -> Kind<By> {
    Kind {
        parse: |text| text.parse().map_err(str::to_owned),
        schema: || json!({"type": "string", "enum": ["type", "action", "entityType", "principal", "recordedBy"]}),
    }
}

fn filter<P: Parameters>(parameters: &mut P) -> Filter {
    let mut values =
        FILTER_PARAMETERS.map(|(name, description, kind)| parameters.repeated(name, description, kind())).into_iter();
    let mut next = || values.next().unwrap_or_default();
    let occurred_since = "Only events that happened at this time or later: `occurredAt`, or when they were recorded.";
    let occurred_since = parameters.optional("occurredSince", occurred_since, time_or_date());
    let occurred_until = "Only events that happened before this time.";
    let occurred_until = parameters.optional("occurredUntil", occurred_until, time_or_date());
    let text = parameters.optional("q", "Only events that contain this text, in upper or lower case.", value());
    Filter {
        types: next(),
        excluded_types: next(),
        excluded_own_types: next(),
        user_ids: next(),
        actions: next(),
        entity_types: next(),
        entity_ids: next(),
        principal_ids: next(),
        recorders: next(),
        outcomes: next(),
        occurred_since,
        occurred_until,
        text: text.map(|text| SearchText::new(&text)),
    }
}

/// The parameters of a page as they are given.
struct PageParameters {
    from: Option<EventId>,
    after: Option<EventId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    order: Option<Order>,
    page_size: Option<u64>,
    page_number: Option<u64>,
    through: Option<EventId>,
    skip: Option<u64>,
    filter: Filter,
}

impl PageParameters {
    fn of<P: Parameters>(parameters: &mut P) -> Self {
        Self {
            from: parameters.optional("from", "Begin with this event.", cursor()),
            after: parameters.optional("after", "Begin after this event. Not together with `from`.", cursor()),
            since: parameters.optional(
                "since",
                "Only events recorded at this time or later; a date is its beginning in UTC.",
                time_or_date(),
            ),
            until: parameters.optional("until", "Only events recorded before this time.", time_or_date()),
            order: parameters.optional(
                "sort",
                "`+timestamp` or `asc`: the oldest first (default); `-timestamp` or `desc`: the newest first.",
                order(),
            ),
            page_size: parameters.optional(
                "pageSize",
                "The most events of a page; default 100.",
                whole_number::<1, { MAX_PAGE_SIZE as u64 }>(),
            ),
            page_number: parameters.optional(
                "pageNumber",
                "Skips the pages before this one. Cursors are cheaper, and miss nothing.",
                whole_number::<1, MAX_PAGE_NUMBER>(),
            ),
            through: parameters.optional(
                "through",
                "Set by `next`: the end of the log at the time of the first page.",
                cursor(),
            ),
            skip: parameters.optional(
                "skip",
                "Set by `next`: the number of events still to be skipped.",
                whole_number::<0, { u64::MAX >> 1 }>(),
            ),
            filter: filter(parameters),
        }
    }
}

/// The query of a page.
#[derive(Debug)]
pub struct PageQuery {
    pub request: PageRequest,
    filter: Vec<(&'static str, String)>,
    since: Option<(&'static str, String)>,
    until: Option<(&'static str, String)>,
    sort: Option<(&'static str, String)>,
    page_size: Option<(&'static str, String)>,
}

impl Query for PageQuery {
    fn describe(describer: &mut Describer) {
        PageParameters::of(describer);
    }
}

impl PageQuery {
    /// Reads the query string of a page whose events are shown in `shape`.
    ///
    /// # Errors
    /// Returns every fault with its parameter.
    pub fn parse(query: &str, shape: Shape) -> Result<Self, Faults> {
        let mut reader = Reader::of(query);
        let PageParameters { from, after, since, until, order, page_size, page_number, through, skip, filter } =
            PageParameters::of(&mut reader);
        if reader.given("from").is_some() && reader.given("after").is_some() {
            reader.fault("after", "cannot be used together with from: one begins with its event, the other after it");
        }
        check_period(since, until, &mut reader);
        reader.finish()?;
        let start = match (from, after) {
            (Some(id), _) => Start::From(id),
            (None, Some(id)) => Start::After(id),
            (None, None) => Start::Edge,
        };
        let page_size = page_size.map_or(DEFAULT_PAGE_SIZE, |size| size as usize);
        let skip = page_number.map_or(0, |number| (number - 1).saturating_mul(page_size as u64)) + skip.unwrap_or(0);
        let order = order.unwrap_or(Order::Ascending);
        Ok(Self {
            request: PageRequest { start, since, until, filter, skip, through, order, page_size, shape },
            filter: reader.given_filter(),
            // In ascending order the next page begins after `since` anyway. In descending order `since` still limits
            // where the pages end.
            since: reader.given("since").filter(|_| order == Order::Descending),
            until: reader.given("until"),
            sort: reader.given("sort"),
            page_size: reader.given("pageSize"),
        })
    }

    /// Returns the parameters of the next page, without its cursor.
    pub fn carried_on(&self) -> impl Iterator<Item = (&'static str, String)> {
        let others = [&self.since, &self.until, &self.sort, &self.page_size];
        others.into_iter().flatten().chain(&self.filter).cloned()
    }

    /// Returns the parameters of a later read that continues in chronological order, without its cursor.
    pub fn resumed_with(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.until.iter().chain(&self.page_size).chain(&self.filter).cloned()
    }
}

fn check_period(since: Option<Timestamp>, until: Option<Timestamp>, reader: &mut Reader) {
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        reader.fault("until", "is before since");
    }
}

/// The parameters of counts as they are given.
struct StatsParameters {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    interval: Option<Interval>,
    by: Option<By>,
    from: Option<EventId>,
    through: Option<EventId>,
    filter: Filter,
}

impl StatsParameters {
    fn of<P: Parameters>(parameters: &mut P) -> Self {
        Self {
            since: parameters.optional(
                "since",
                "The beginning of the period; default seven days before `until`.",
                time_or_date(),
            ),
            until: parameters.optional("until", "The end of the period; default now.", time_or_date()),
            interval: parameters.optional("interval", "The length of an interval; default `day`.", interval()),
            by: parameters.optional("by", "The field to count by; default `type`.", by()),
            from: parameters.optional("from", "Set by `next`: where to continue.", cursor()),
            through: parameters.optional(
                "through",
                "Set by `next`: the end of the log at the time of the first part.",
                cursor(),
            ),
            filter: filter(parameters),
        }
    }
}

/// The query of counts.
#[derive(Debug)]
pub struct StatsQuery {
    pub request: StatsRequest,
    filter: Vec<(&'static str, String)>,
}

impl Query for StatsQuery {
    fn describe(describer: &mut Describer) {
        StatsParameters::of(describer);
    }
}

impl StatsQuery {
    /// Reads the query string of counts, by default of the last seven days before `now`.
    ///
    /// # Errors
    /// Returns every fault with its parameter.
    pub fn parse(query: &str, now: Timestamp) -> Result<Self, Faults> {
        const DEFAULT_PERIOD: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
        let mut reader = Reader::of(query);
        let StatsParameters { since, until, interval, by, from, through, filter } = StatsParameters::of(&mut reader);
        let until = until.unwrap_or(now);
        let since = since.unwrap_or_else(|| until.minus(DEFAULT_PERIOD));
        check_period(Some(since), Some(until), &mut reader);
        reader.finish()?;
        let interval = interval.unwrap_or(Interval::Day);
        let by = by.unwrap_or(By::Type);
        let request = StatsRequest { since, until, from, through, interval, by, filter };
        Ok(Self { request, filter: reader.given_filter() })
    }

    /// Returns the parameters of the next part, without its cursor.
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
