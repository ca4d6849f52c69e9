//! The form that filters events.

use std::borrow::Cow;

use annals_core::{fault::Fault, recorded_by::RecordedBy, time::Timestamp};

use super::{
    event::{Event, Reference},
    query::{Range, Reads, RecentPeriod, View, message},
    text::short,
};
use crate::{prelude::*, ui::Tone};

const MAX_SUGGESTIONS: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilterForm {
    /// Label and address of each recent period, and whether it is shown now.
    pub(super) periods: Vec<(&'static str, String, bool)>,
    /// The period that is kept if no times are given.
    pub(super) period: RecentPeriod,
    pub(super) times: [Field; 2],
    pub(super) text: Field,
    pub(super) fields: Vec<Field>,
    pub(super) reads: Reads,
    /// Filter parameters that have no field.
    pub(super) hidden: Vec<(&'static str, String)>,
    /// Faults of parameters that have no field.
    pub(super) faults: Vec<String>,
    /// The address of the view without the filter, if there is a filter.
    pub(super) clear: Option<String>,
    /// The path of the values that occur in this view.
    pub(super) occurring: String,
    /// Each condition: label, value, and the address of the view without it.
    pub(super) chips: Vec<(&'static str, String, String)>,
}

/// One field, with an input for each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// At least one value, which may be empty.
    pub(super) values: Vec<String>,
    pub(super) error: Option<String>,
    /// Suggested values and their names, from the events that are shown.
    pub(super) suggestions: Vec<(String, String)>,
}

/// Returns the label of a parameter.
pub(super) fn label(parameter: &str) -> &'static str {
    match parameter {
        "q" => "Text",
        "type" => "Type",
        "action" => "Action",
        "principalId" => "Principal ID",
        "entityType" => "Entity type",
        "entityId" => "Entity ID",
        "recordedBy" => "Recorded by",
        "outcome" => "Outcome",
        "since" => "From",
        "until" => "To",
        "excludeType" => "Not of type",
        "excludeOwnType" => "Not the log's own",
        "userUuid" => "User",
        "occurredSince" => "Occurred from",
        "occurredUntil" => "Occurred before",
        _ => "Filter",
    }
}

/// Reads a value and its name from an event. Both may be empty.
type Read = fn(&Event) -> (Cow<'_, str>, Cow<'_, str>);

fn named(reference: &Reference) -> (Cow<'_, str>, Cow<'_, str>) {
    (reference.id.as_str().into(), reference.name.as_str().into())
}

/// Returns who recorded an event; empty if the event does not say.
fn recorded_by(event: &Event) -> (Cow<'_, str>, Cow<'_, str>) {
    (event.recorded_by.as_ref().map(RecordedBy::to_string).unwrap_or_default().into(), "".into())
}

impl FilterForm {
    /// `events` are the events that the view shows.
    pub(super) fn of(view: &View, faults: &[Fault], events: &[Event]) -> Self {
        let mut faults: Vec<(&str, &str)> = faults.iter().map(message).collect();
        let mut error = |name: &str| {
            let index = faults.iter().position(|(fault, _)| *fault == name)?;
            Some(format!("{} {}.", label(name), faults.remove(index).1))
        };
        let mut field = |name: &'static str, read: Option<Read>| {
            let mut values: Vec<String> = view.values(name).map(str::to_owned).collect();
            if values.is_empty() {
                values.push(String::new());
            }
            let mut suggestions: Vec<(String, String)> = Vec::new();
            for (value, named) in read.into_iter().flat_map(|read| events.iter().map(read)) {
                // A value that is too long to show is not suggested.
                let is_new = !value.is_empty() && suggestions.iter().all(|(other, _)| *other != value);
                if is_new && short(&value, 40) == value && suggestions.len() < MAX_SUGGESTIONS {
                    suggestions.push((value.into_owned(), short(&named, 40)));
                }
            }
            Field { name, label: label(name), values, error: error(name), suggestions }
        };
        let text = field("q", None);
        let fields = vec![
            field("type", Some(|event| (event.event_type.as_str().into(), "".into()))),
            field("action", Some(|event| (event.action.as_str().into(), "".into()))),
            field("principalId", Some(|event| named(&event.principal))),
            field("entityType", Some(|event| (event.entity.entity_type.as_str().into(), "".into()))),
            field("entityId", Some(|event| named(&event.entity))),
            field("recordedBy", Some(recorded_by)),
            field("outcome", Some(|event| (event.outcome.as_str().into(), "".into()))),
        ];
        let (period, since, until) = match &view.range {
            Range::Recent(period) => (Some(*period), "", ""),
            Range::Between { since, until } => (None, since.as_str(), until.as_str()),
        };
        let mut time = |name: &'static str, value: &str| Field {
            name,
            label: label(name),
            values: vec![for_input(value)],
            error: error(name),
            suggestions: Vec::new(),
        };
        let times = [time("since", since), time("until", until)];
        let href = |range: Range| format!("/console/events?{}", view.with_range(range).query());
        let has_no_field = ["userUuid", "excludeType", "excludeOwnType", "occurredSince", "occurredUntil"];
        let hidden = view.filter.iter().filter(|(name, _)| has_no_field.contains(name));
        Self {
            periods: RecentPeriod::ALL.map(|one| (one.label(), href(Range::Recent(one)), period == Some(one))).into(),
            period: period.unwrap_or_default(),
            times,
            text,
            fields,
            reads: view.reads,
            occurring: format!("/console/events/values?{}", view.query()),
            chips: view
                .filter
                .iter()
                .map(|(name, value)| {
                    let rest = view.without(name, value).query();
                    (label(name), short(value, 40), format!("/console/events?{rest}"))
                })
                .collect(),
            hidden: hidden.cloned().collect(),
            clear: view.is_filtered().then(|| format!("/console/events?{}", view.unfiltered().query())),
            faults: faults.iter().map(|(name, detail)| format!("{} {detail}.", short(name, 40))).collect(),
        }
    }

    fn is_open(&self) -> bool {
        let is_used = |field: &Field| field.error.is_some() || field.values.iter().any(|value| !value.is_empty());
        self.fields.iter().any(is_used) || !self.hidden.is_empty()
    }

    pub(super) fn render(&self, shell: &Shell) -> Markup {
        html! {
            @if !self.faults.is_empty() {
                (ui::notice(Tone::Bad, &html! {
                    p { strong { "This address is not valid." } }
                    @for fault in &self.faults { p { bdi { (fault) } } }
                    p { a href=(shell.href("/console/events")) { "Show the newest events" } }
                }))
            }
            form .card.filter method="get" action=(shell.href("/console/events")) role="search" aria-label="Events" data-filter
                data-occurring=(shell.href(&self.occurring)) {
                div .ranges role="group" aria-label="Time" {
                    @for (label, href, is_shown) in &self.periods {
                        a .range href=(shell.href(href)) aria-current=[is_shown.then_some("true")] { (label) }
                    }
                }
                @if self.period != RecentPeriod::default() { input type="hidden" name="range" value=(self.period.as_str()); }
                @for (name, value) in &self.hidden { input type="hidden" name=(name) value=(value); }
                div .filter-fields {
                    @for time in &self.times { (time.render("datetime-local")) }
                    (self.text.render("search"))
                    p .check {
                        input #reads type="checkbox" name="reads" value="shown" checked[self.reads == Reads::Shown];
                        label for="reads" { "Show reads of this log" }
                    }
                }
                details open[self.is_open()] {
                    summary { "More filters" }
                    div .filter-fields {
                        @for field in &self.fields { (field.render("text")) }
                    }
                }
                @if !self.chips.is_empty() {
                    ul .chips aria-label="Filters in use" {
                        @for (name, value, href) in &self.chips {
                            li {
                                a .chip href=(shell.href(href)) {
                                    span .visually-hidden { "Remove " }
                                    (name) " " strong { bdi { (value) } } span aria-hidden="true" { "×" }
                                }
                            }
                        }
                    }
                }
                div .row {
                    button .primary type="submit" { "Show" }
                    a .target href=(shell.href(&self.occurring)) { "Values that occur" }
                    @if let Some(href) = &self.clear { a .target href=(shell.href(href)) { "Clear the filter" } }
                }
            }
        }
    }
}

impl Field {
    fn render(&self, kind: &'static str) -> Markup {
        let is_time = kind == "datetime-local";
        // A browser shows nothing in a time field whose value is not a time.
        let is_shown = |value: &str| value.is_empty() || Timestamp::parse_leniently(&format!("{value}Z")).is_ok();
        let kind = if is_time && !self.values.iter().all(|value| is_shown(value)) { "text" } else { kind };
        let error_id = format!("{}-error", self.name);
        let list_id = format!("{}-known", self.name);
        let has_list = !is_time && self.name != "q";
        let list = has_list.then_some(&list_id);
        html! {
            div .field {
                @for (index, value) in self.values.iter().enumerate() {
                    @let id = if index == 0 { self.name.to_owned() } else { format!("{}-{index}", self.name) };
                    label for=(id) {
                        @if index > 0 { "or " }
                        (self.label)
                        @if is_time { " " span .hint data-zone-name { "(UTC)" } }
                    }
                    input id=(id) type=(kind) name=(self.name) value=(value) step=[is_time.then_some("0.001")]
                        list=[list] autocomplete="off" aria-invalid=[self.error.as_ref().map(|_| "true")]
                        aria-describedby=[self.error.as_ref().map(|_| &error_id)];
                }
                @if let Some(error) = &self.error { p .error id=(error_id) { (error) } }
                @if has_list {
                    datalist id=(list_id) { @for (value, name) in &self.suggestions { option value=(value) { (name) } } }
                }
            }
        }
    }
}

/// Formats a time for a time field. Any other text stays as it is.
fn for_input(text: &str) -> String {
    match Timestamp::parse_leniently(text) {
        Ok(at) => at.to_string().trim_end_matches('Z').trim_end_matches(".000").to_owned(),
        Err(_) => text.to_owned(),
    }
}
