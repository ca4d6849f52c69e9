//! A page of the log: the filter, the chart, and a row an event.

use annals_core::{
    audit::{Page, browse::Browsed},
    fault::Fault,
    time::Timestamp,
};
use maud::{Markup, html};

use super::{
    event::{Event, Sentence, Thing},
    filter_form::FilterForm,
    query::{At, Range, View},
    text::short,
    timeline,
};
use crate::{
    chart::BarChart,
    layout::{Section, Shell},
    ui::{self, Tone},
};

/// How many events a page has.
pub(super) const PAGE_SIZE: usize = 50;
/// The longest query string that links of rows and bars carry: a page has many of them.
const MAX_CARRIED_BYTES: usize = 250;

/// A page of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List {
    /// What is asked for.
    pub(super) form: FilterForm,
    /// How many events there were over time; on the first page alone.
    pub(super) chart: Option<BarChart>,
    /// From when on the chart's counts are whole, where that is not the whole time; and where what lies before is counted.
    pub(super) counted_since: Option<(Timestamp, String)>,
    /// What is shown of it.
    pub(super) content: Content,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What was asked for makes no sense.
    Refused,
    /// The log holds no event at all.
    EmptyLog,
    /// Events.
    Events(Rows),
}

/// Events, and where there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// The events, the newest first.
    pub(super) rows: Vec<Row>,
    /// Where the newest events are, from a page of older ones.
    pub(super) newest: Option<String>,
    /// Where older ones are.
    pub(super) older: Option<String>,
    /// Where a filter left so few that looking further is left to the reader: how far back was looked.
    pub(super) looked_back_to: Option<Timestamp>,
    /// Without the filter, where there is one.
    pub(super) unfiltered: Option<String>,
    /// The same as a file, as NDJSON and as CSV.
    pub(super) exports: [String; 2],
}

/// One event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Where all of it is.
    pub(super) href: String,
    /// When it was recorded.
    pub(super) at: Timestamp,
    /// Its type.
    pub(super) kind: String,
    /// What happened.
    pub(super) sentence: Sentence,
    /// Who did it: their name, and their e-mail address or else what kind of principal they are.
    pub(super) by: (String, String),
    /// By what.
    pub(super) client: String,
}

impl Row {
    fn of(event: &Event, carried: &str) -> Self {
        let Thing { email, kind, .. } = &event.principal;
        let sentence = event.sentence();
        Self {
            href: format!("/console/events/{}{carried}", event.id.short()),
            at: event.at,
            kind: short(&event.kind, 48),
            sentence: Sentence {
                who: event.principal.label(48),
                object: sentence.object.map(|(kind, _)| (kind, event.entity.label(64))),
                subject: event.subject.as_ref().map(|subject| subject.label(32)),
                ..sentence
            },
            by: (event.principal.label(48), if email.is_empty() { short(kind, 24) } else { short(email, 48) }),
            client: short(&event.client, 16),
        }
    }
}

impl List {
    /// What is wrong with what was asked for.
    pub(super) fn refused(view: &View, faults: &[Fault]) -> Self {
        let form = FilterForm::of(view, faults, &[]);
        Self { form, chart: None, counted_since: None, content: Content::Refused }
    }

    /// The newest events.
    pub(super) fn newest(view: &View, browsed: &Browsed) -> Self {
        let Browsed { page, timeline, log_is_empty } = browsed;
        if *log_is_empty && !view.is_filtered() {
            let form = FilterForm::of(view, &[], &[]);
            return Self { form, chart: None, counted_since: None, content: Content::EmptyLog };
        }
        let links = view.query().len() <= MAX_CARRIED_BYTES;
        let counted_since = timeline.counted_since.map(|at| {
            let before = Range::Between { since: timeline.since.to_string(), until: at.to_string() };
            (at, list_href(&view.during(before).query()))
        });
        Self {
            chart: timeline::chart(timeline, |range| links.then(|| list_href(&view.during(range).query()))),
            counted_since,
            ..Self::of(view, page)
        }
    }

    /// Older events.
    pub(super) fn of(view: &View, page: &Page) -> Self {
        let query = view.query();
        let carried = view.carried(MAX_CARRIED_BYTES);
        let older = page.next.map(|from| At { from, through: page.through, skip: page.skip });
        let looked_back_to = page.next.filter(|_| page.lines.len() < PAGE_SIZE).map(|next| next.recorded_at());
        let events: Vec<Event> = page.lines.iter().map(Event::of).collect();
        let export =
            |format: &str| format!("/console/events/export?{}", view.query_with(&[("format", format.to_owned())]));
        let content = Rows {
            rows: events.iter().map(|event| Row::of(event, &carried)).collect(),
            newest: view.is_older().then(|| list_href(&query)),
            older: older.map(|at| list_href(&view.query_at(&at))),
            looked_back_to,
            unfiltered: view.is_filtered().then(|| list_href(&view.unfiltered().query())),
            exports: ["ndjson", "csv"].map(export),
        };
        let form = FilterForm::of(view, &[], &events);
        Self { form, chart: None, counted_since: None, content: Content::Events(content) }
    }

    /// The page.
    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        debug_assert_eq!(shell.section, Section::Events);
        let content = html! {
            h1 { "Event viewer" }
            (self.form.render(shell))
            @match &self.content {
                Content::Refused => {}
                Content::EmptyLog => (empty_log()),
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
                        "A filter is looked for event by event, the newest first. Counted back to " (ui::time(*since))
                        ". There may be more before. "
                        a .target href=(shell.href(before)) { "Look at what lies before" }
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
            h2 { "Nothing has been recorded yet" }
            p {
                "Here will be what people and programs do in your organisation: who did what, to what, when and from where, \
                 the newest first. It begins with the first event that your product records."
            }
            p .hint { "Reading this page is recorded, too: that is the first event that you will see." }
        }
    }
}

impl Rows {
    fn render(&self, shell: &Shell) -> Markup {
        html! {
            section .card.log aria-label="Events" {
                @if self.rows.is_empty() { (self.render_nothing(shell)) } @else { (self.render_table(shell)) }
                (self.render_ways_on(shell))
            }
        }
    }

    fn render_nothing(&self, shell: &Shell) -> Markup {
        html! {
            div .nothing {
                h2 { "No events" }
                @match (self.looked_back_to, &self.unfiltered) {
                    (Some(_), _) => p { "Nothing in this part of the log matches the filter." },
                    (None, Some(href)) => {
                        p { "Nothing in this time matches the filter." }
                        p { a href=(shell.href(href)) { "Clear the filter" } }
                    },
                    (None, None) => p { "Nothing was recorded in this time. Try a longer one." },
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
                        th scope="col" { "By" }
                        th scope="col" { "Through" }
                    }
                }
                tbody {
                    @for row in &self.rows {
                        tr {
                            td .when { (ui::time(row.at)) }
                            td .what { a href=(shell.href(&row.href)) { (row.sentence.render()) } }
                            td .type { (ui::badge(Tone::Neutral, &row.kind)) }
                            td .who {
                                bdi { (row.by.0) }
                                span .hint { bdi { (row.by.1) } }
                            }
                            td .client { (row.client) }
                        }
                    }
                }
            }
        }
    }

    fn render_ways_on(&self, shell: &Shell) -> Markup {
        html! {
            @if let Some(at) = self.looked_back_to {
                p .hint { "Looked back to " (ui::time(at)) ". There may be more before." }
            }
            div .row.spread.ways-on {
                div .row {
                    @if let Some(href) = &self.newest { a .button href=(shell.href(href)) { "Newest events" } }
                    @if let Some(href) = &self.older {
                        a .button href=(shell.href(href)) data-older {
                            @if self.looked_back_to.is_some() { "Look further back" } @else { "Older events" }
                        }
                    } @else if !self.rows.is_empty() {
                        span .hint { "These are the oldest events of this view." }
                    }
                }
                div .row {
                    span .hint { "Export as" }
                    @for (name, href) in ["NDJSON", "CSV"].iter().zip(&self.exports) {
                        a .target href=(shell.href(href)) { (name) }
                    }
                }
            }
        }
    }
}
