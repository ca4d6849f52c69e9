//! The event viewer's list: the filter, the chart, and a row for each event.

use annals_core::{
    audit::{
        AuditError, Page, PageRequest,
        browse::{BrowseRequest, Browsed},
        values::{Property, Values},
    },
    fault::Fault,
    log::{read::PlaceError, store::Order},
    recorded_by::RecordedBy,
    time::Timestamp,
};

use super::{
    event::{Event, Reference, Sentence},
    filter_form::{self, FilterForm},
    query::{LIST_PARAMETERS, PageStart, Range, View},
    text::short,
    timeline,
};
use crate::{chart::BarChart, prelude::*, ui::Tone};

const PAGE_SIZE: usize = 50;
/// The longest query string in the links of rows and bars. A page has many of them.
const MAX_SUFFIX_BYTES: usize = 250;

/// `GET /console/events`: the newest events with their chart, or a page of older ones.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = super::open(&request).await?;
    let services = &request.call.services;
    let now = services.clock.now();
    let (view, page_request) = View::parse(request.call.query(), LIST_PARAMETERS, &[], now);
    let page_request = match page_request {
        Ok(page_request) => page_request,
        Err(faults) => return Ok(List::invalid(&view, &faults).respond(&shell)),
    };
    let reader = request.call.reader();
    let list = if view.is_older() {
        let page_request = PageRequest { order: Order::Descending, page_size: PAGE_SIZE, ..page_request };
        match services.audit.page(&organisation, &page_request, &reader).await {
            Ok(page) => {
                request.call.log_fields().page(page.lines.len());
                List::of(&view, &page)
            }
            Err(AuditError::Place(PlaceError::Unknown)) => return Ok(List::unknown_start(&view).respond(&shell)),
            Err(error) => return super::not_readable(error, &shell),
        }
    } else {
        let PageRequest { since, until, filter, .. } = page_request;
        let browse_request = BrowseRequest { since, until, filter, page_size: PAGE_SIZE, now };
        let browsed = services.audit.browse(&organisation, &browse_request, &reader).await.map_err(Problem::from)?;
        request.call.log_fields().page(browsed.page.lines.len());
        List::newest(&view, &browsed)
    };
    Ok(ui::page(list.render(&shell)))
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct List {
    pub(super) form: FilterForm,
    /// Event counts over time, on the first page only.
    pub(super) chart: Option<BarChart>,
    /// If the chart does not cover its whole period: the time from which its counts are complete, and the address of
    /// the view of earlier events.
    pub(super) counted_since: Option<(Timestamp, String)>,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// The address is not valid.
    Invalid,
    /// The log contains no events at all.
    EmptyLog,
    Events(Rows),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// The newest event first.
    pub(super) rows: Vec<Row>,
    /// The address of the newest events, if these are older ones.
    pub(super) newest: Option<String>,
    pub(super) older: Option<String>,
    /// The time back to which the search went, if it stopped before it had found enough events for a page.
    pub(super) searched_back_to: Option<Timestamp>,
    /// The address of the view without the filter, if there is a filter.
    pub(super) unfiltered: Option<String>,
    /// The addresses of the exports as NDJSON and CSV.
    pub(super) exports: [String; 2],
    /// If nothing matches: what may have been meant.
    pub(super) suggestions: Vec<Suggestion>,
    /// How many events the suggestions are from.
    pub(super) examined: u64,
}

/// A value that occurs, instead of one that does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    /// The label of the field.
    pub(super) field: &'static str,
    pub(super) value: String,
    /// The name that goes with an id; may be empty.
    pub(super) name: String,
    pub(super) events: u64,
    pub(super) href: String,
}

impl Suggestion {
    fn all(view: &View, occurring: &Values) -> Vec<Self> {
        let mut all = Vec::new();
        for property in Property::ALL {
            let parameter = property.parameter();
            for typed in view.values(parameter) {
                all.extend(occurring.like(property, typed).into_iter().map(|value| Self {
                    field: filter_form::label(parameter),
                    value: short(&value.value, 60),
                    name: short(&value.name, 60),
                    events: value.events,
                    href: list_href(&view.with_value(parameter, &value.value).query()),
                }));
            }
        }
        all
    }

    fn render(&self, shell: &Shell) -> Markup {
        html! {
            li {
                (self.field) " "
                a href=(shell.href(&self.href)) { bdi { (self.value) } }
                @if !self.name.is_empty() && self.name != self.value { " " bdi { (self.name) } }
                span .hint { " " (ui::count(self.events, "event", "events")) }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) href: String,
    pub(super) at: Timestamp,
    pub(super) event_type: String,
    /// `None` if the event does not say who recorded it.
    pub(super) recorded_by: Option<RecordedBy>,
    pub(super) sentence: Sentence,
    /// The principal's name, and the e-mail address or else the type.
    pub(super) principal: (String, String),
    pub(super) client: String,
    /// The IP address; empty if the producer did not send it.
    pub(super) address: String,
    /// A failure or a refusal.
    pub(super) outcome: Option<(Tone, String)>,
}

impl Row {
    fn of(event: &Event, suffix: &str) -> Self {
        let Reference { email, entity_type, .. } = &event.principal;
        let sentence = event.sentence();
        Self {
            href: format!("/console/events/{}{suffix}", event.id.short()),
            at: event.at,
            event_type: short(&event.event_type, 48),
            recorded_by: event.recorded_by.clone(),
            sentence: Sentence {
                principal: event.principal.label(48),
                object: sentence.object.map(|(entity_type, _)| (entity_type, event.entity.label(64))),
                subject: event.subject.as_ref().map(|subject| subject.label(32)),
                ..sentence
            },
            principal: (
                event.principal.label(48),
                if email.is_empty() { short(entity_type, 24) } else { short(email, 48) },
            ),
            client: short(&event.client, 16),
            address: short(&event.address, 45),
            outcome: match event.outcome.as_str() {
                "" | "SUCCESS" => None,
                "FAILURE" => Some((Tone::Bad, "failed".to_owned())),
                "DENIED" => Some((Tone::Warning, "denied".to_owned())),
                other => Some((Tone::Neutral, short(other, 24))),
            },
        }
    }
}

impl List {
    /// Returns the filter with its faults, without events.
    pub(super) fn invalid(view: &View, faults: &[Fault]) -> Self {
        let form = FilterForm::of(view, faults, &[]);
        Self { form, chart: None, counted_since: None, content: Content::Invalid }
    }

    pub(super) fn unknown_start(view: &View) -> Self {
        Self::invalid(view, &[Fault::parameter("from", "is not an event of your organisation")])
    }

    /// Returns the response with an invalid filter.
    pub(super) fn respond(&self, shell: &Shell) -> Response {
        ui::invalid_form(self.render(shell))
    }

    pub(super) fn newest(view: &View, browsed: &Browsed) -> Self {
        let Browsed { page, timeline, log_is_empty, occurring } = browsed;
        if *log_is_empty && !view.is_filtered() {
            let form = FilterForm::of(view, &[], &[]);
            return Self { form, chart: None, counted_since: None, content: Content::EmptyLog };
        }
        let has_links = view.query().len() <= MAX_SUFFIX_BYTES;
        let counted_since = timeline.counted_since.map(|at| {
            let before = Range::Between { since: timeline.since.to_string(), until: at.to_string() };
            (at, list_href(&view.with_range(before).query()))
        });
        let mut list = Self::of(view, page);
        if let (Content::Events(rows), Some(occurring)) = (&mut list.content, occurring) {
            rows.suggestions = Suggestion::all(view, occurring);
            rows.examined = occurring.events;
        }
        Self {
            chart: timeline::chart(timeline, |range| has_links.then(|| list_href(&view.with_range(range).query()))),
            counted_since,
            ..list
        }
    }

    pub(super) fn of(view: &View, page: &Page) -> Self {
        let query = view.query();
        let suffix = view.suffix(MAX_SUFFIX_BYTES);
        let older = page.next.map(|from| PageStart { from, through: page.through, skip: page.skip });
        let searched_back_to = page.next.filter(|_| page.lines.len() < PAGE_SIZE).map(|next| next.recorded_at());
        let events: Vec<Event> = page.lines.iter().map(Event::of).collect();
        let export =
            |format: &str| format!("/console/events/export?{}", view.query_with(&[("format", format.to_owned())]));
        let content = Rows {
            rows: events.iter().map(|event| Row::of(event, &suffix)).collect(),
            newest: view.is_older().then(|| list_href(&query)),
            older: older.map(|start| list_href(&view.query_from(&start))),
            searched_back_to,
            unfiltered: view.is_filtered().then(|| list_href(&view.unfiltered().query())),
            exports: ["ndjson", "csv"].map(export),
            suggestions: Vec::new(),
            examined: 0,
        };
        let form = FilterForm::of(view, &[], &events);
        Self { form, chart: None, counted_since: None, content: Content::Events(content) }
    }

    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        debug_assert_eq!(shell.section, Section::Events);
        let content = html! {
            a .skip href="#events" { "Skip to the events" }
            h1 { "Event viewer" }
            (self.form.render(shell))
            @match &self.content {
                Content::Invalid => div #events {},
                Content::EmptyLog => div #events { (empty_log()) },
                Content::Events(rows) => {
                    @if let Some(chart) = &self.chart { (self.render_chart(chart, shell)) }
                    (rows.render(shell))
                }
            }
        };
        shell.page("Event viewer", &content)
    }

    fn render_chart(&self, chart: &BarChart, shell: &Shell) -> Markup {
        let bars = chart.bars.iter().map(|bar| {
            let href = bar.href.as_ref().map(|href| shell.href(href));
            crate::chart::Bar { href, ..bar.clone() }
        });
        let chart = BarChart { bars: bars.collect(), ..chart.clone() };
        html! {
            section .card.timeline aria-label="Events over time" {
                (chart.render())
                @if let Some((since, before)) = &self.counted_since {
                    p .hint {
                        "A filtered count reads every event, from the newest backwards. It went back to " (ui::time(*since))
                        ". There may be older events. "
                        a .target href=(shell.href(before)) { "Show the time before" }
                    }
                }
            }
        }
    }
}

fn list_href(query: &str) -> String {
    if query.is_empty() { "/console/events".to_owned() } else { format!("/console/events?{query}") }
}

fn empty_log() -> Markup {
    html! {
        section .card.empty {
            h2 { "No events yet" }
            p {
                "This page will show what people and programs do in your organisation: who did what, to what, when and from \
                 where, the newest event first. The first event appears when your product records it."
            }
            p .hint { "Reads of this page are recorded too. Yours will be the first event that you see." }
        }
    }
}

impl Rows {
    fn render(&self, shell: &Shell) -> Markup {
        html! {
            section #events .card.log aria-label="Events" tabindex="-1" {
                (self.render_exports(shell))
                @if self.rows.is_empty() { (self.render_empty(shell)) } @else { (self.render_table(shell)) }
                (self.render_links(shell))
            }
        }
    }

    fn render_empty(&self, shell: &Shell) -> Markup {
        html! {
            div .nothing {
                h2 { "No events" }
                @match (self.searched_back_to, &self.unfiltered) {
                    (Some(_), _) => p { "No event in this part of the log matches the filter." },
                    (None, Some(href)) => {
                        p { "No event in this period matches the filter." }
                        p { a href=(shell.href(href)) { "Clear the filter" } }
                    },
                    (None, None) => p { "No events were recorded in this period. Try a longer one." },
                }
                @if !self.suggestions.is_empty() {
                    p {
                        "Did you mean one of these? They are from the newest " (ui::count(self.examined, "event", "events"))
                        " of this period."
                    }
                    ul .points { @for suggestion in &self.suggestions { (suggestion.render(shell)) } }
                }
            }
        }
    }

    fn render_exports(&self, shell: &Shell) -> Markup {
        html! {
            div .row.exports data-exports {
                span .hint role="status" data-progress { "Export all that match as" }
                @for (name, href) in ["NDJSON", "CSV"].iter().zip(&self.exports) {
                    a .target href=(shell.href(href)) data-export { (name) }
                }
            }
        }
    }

    fn render_table(&self, shell: &Shell) -> Markup {
        html! {
            table .events data-rows {
                caption .visually-hidden { "Events, the newest first" }
                thead {
                    tr {
                        th scope="col" { "Time" }
                        th scope="col" { "Event" }
                        th scope="col" { "Type" }
                        th scope="col" { "Principal" }
                        th scope="col" { "Address" }
                    }
                }
                tbody {
                    @for row in &self.rows {
                        tr {
                            td .when { (ui::time(row.at)) }
                            td .what {
                                a href=(shell.href(&row.href)) { (row.sentence.render()) }
                                @if let Some((tone, outcome)) = &row.outcome { " " (ui::badge(*tone, outcome)) }
                            }
                            td .type {
                                span .badge.neutral { (ui::breakable(&row.event_type)) }
                                @if let Some(recorded_by) = &row.recorded_by {
                                    span .hint {
                                        "recorded by "
                                        @match recorded_by {
                                            RecordedBy::Annals => (shell.brand.name()),
                                            recorded_by => (recorded_by),
                                        }
                                    }
                                }
                            }
                            td .who {
                                bdi { (row.principal.0) }
                                span .hint { bdi { (ui::breakable(&row.principal.1)) } }
                            }
                            td .address {
                                @if !row.address.is_empty() { span { (ui::breakable(&row.address)) } }
                                span .hint { (row.client) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn render_links(&self, shell: &Shell) -> Markup {
        html! {
            @if let Some(at) = self.searched_back_to {
                p .hint { "Searched back to " (ui::time(at)) ". There may be older events." }
            }
            div .row.list-links {
                div .row {
                    @if let Some(href) = &self.newest { a .button href=(shell.href(href)) { "Newest events" } }
                    @if let Some(href) = &self.older {
                        a .button href=(shell.href(href)) data-older {
                            @if self.searched_back_to.is_some() { "Search further back" } @else { "Older events" }
                        }
                    } @else if !self.rows.is_empty() {
                        span .hint { "These are the oldest events of this view." }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use annals_core::audit::browse::Timeline;

    use super::fixtures::{HOUR, NOW, fifty, hard_texts, hostile, line, line_of, newest, page, timeline, update, view};

    let shell = Shell::sample(Section::Events);
    let empty_timeline = Timeline { stretches: Vec::new(), ..timeline(24, None) };
    let empty_log =
        Browsed { page: page(vec![], false), timeline: empty_timeline.clone(), log_is_empty: true, occurring: None };
    let meant = Browsed {
        page: page(vec![], false),
        timeline: empty_timeline.clone(),
        log_is_empty: false,
        occurring: Some(Values::of(&fifty(&update()))),
    };
    let all = "range=30d&type=a&type=b&excludeOwnType=audit.read&excludeType=c&action=UPDATE&entityType=MOCK_API\
               &entityId=m-1&principalId=42&userUuid=7&recordedBy=annals&recordedBy=token/0123456789AB&q=pay";
    let times = "since=2026-11-20T10:00&until=2026-11-22T10:00:30";
    let older = format!("range=7d&from={}", line(1, "").id.short());
    let older_list = |query: &str, lines, has_more| List::of(&view(query), &page(lines, has_more));
    let invalid = |query: &str| {
        let (view, request) = View::parse(query, LIST_PARAMETERS, &[], NOW);
        List::invalid(&view, &request.unwrap_err())
    };
    let one = || vec![line_of(1, &update())];
    let three_hours_ago = Some(NOW.minus(HOUR * 3));
    let long = format!("type={0}&type={0}", "%22".repeat(320));
    let mut lists = vec![
        ("events: an empty log", List::newest(&view(""), &empty_log)),
        ("events: none", newest("range=1h", vec![], false, empty_timeline.clone())),
        ("events: none that match", newest("type=a&q=x", vec![], false, empty_timeline)),
        (
            "events: none that match, but others",
            List::newest(&view("type=mock_api.updated&principalId=Ada&outcome=failed"), &meant),
        ),
        ("events: none found yet", newest("type=a", vec![], true, timeline(24, three_hours_ago))),
        ("events: one", newest("", one(), false, timeline(24, None))),
        ("events: fifty", newest("range=all", fifty(&update()), true, timeline(61, None))),
        ("events: every filter", newest(all, fifty(&update()), true, timeline(61, Some(NOW.minus(HOUR))))),
        ("events: between two times", newest(times, fifty(&update()), false, timeline(48, None))),
        ("events: older ones", older_list(&older, fifty(&update()), true)),
        ("events: the oldest", older_list(&older, one(), false)),
        ("events: search stopped", older_list(&format!("{older}&q=x"), one(), true)),
        ("events: invalid times", invalid("since=yesterday&until=%22%3E%3Cscript%3E")),
        ("events: the end before the start", invalid("since=2026-11-22&until=2026-11-21&q=x")),
        ("events: recorded by nobody", invalid("recordedBy=%3Cscript%3E&range=7d")),
        ("events: unknown parameters", invalid("%3Cscript%3E=1&sort=asc&range=2h&from=x&skip=y")),
        ("events: a long filter", newest(&long, fifty(&hostile("日本\"\"")), true, timeline(61, None))),
        ("events: too long a filter", invalid(&format!("{long}&{long}&{long}&{long}"))),
    ];
    for (name, text) in hard_texts() {
        let beginning: String = text.chars().take(150).collect();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &beginning).finish();
        let timeline = timeline(61, Some(NOW.minus(HOUR)));
        lists.push((format!("events: {name}").leak(), newest(&query, fifty(&hostile(&text)), true, timeline)));
    }
    lists.into_iter().map(|(name, list)| (name, list.render(&shell))).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{line_of, page, timeline, update, view},
        *,
    };

    #[test]
    fn a_filter_that_finds_nothing_leads_to_values_that_occur() {
        let lines: Vec<_> = (1..4).map(|sequence| line_of(sequence, &update())).collect();
        let browsed = Browsed {
            page: page(vec![], false),
            timeline: timeline(0, None),
            log_is_empty: false,
            occurring: Some(Values::of(&lines)),
        };
        let html = List::newest(&view("type=mock_api.updated&range=7d"), &browsed);
        let html = html.render(&Shell::sample(Section::Events)).into_string();
        let expected = "Type <a href=\"/prod/console/events?range=7d&amp;type=mock_api.update\"><bdi>mock_api.update</bdi></a>\
                        <span class=\"hint\"> 3 events</span>";
        assert!(html.contains(expected), "{html}");
        assert!(html.contains("from the newest 3 events"), "{html}");
    }

    #[test]
    fn a_row_says_who_did_what_from_where_and_how_it_went() {
        let mut event = update();
        event["outcome"] = "DENIED".into();
        let html = List::of(&view(""), &page(vec![line_of(1, &event)], false));
        let html = html.render(&Shell::sample(Section::Events)).into_string();
        for expected in [
            "<bdi>Ada Bell</bdi> was not allowed to update <span class=\"kind\"><bdi>mock API</bdi></span> <bdi>Payments</bdi>",
            "<span class=\"badge warning\">denied</span>",
            "192.<wbr>0.<wbr>2.<wbr>1",
            "mock_<wbr>api.<wbr>update",
            "ada@<wbr>example.<wbr>com",
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
    }
}
