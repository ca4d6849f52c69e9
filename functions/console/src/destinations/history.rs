//! What was delivered: the last deliveries as a table, and how many events and how much lag they had as charts.

use annals_core::{delivery::Delivery, destination::Destination, time::Timestamp};
use maud::{Markup, html};

use crate::{
    chart::{Bar, BarChart, Tick},
    layout::Shell,
    ui::{self, Tone},
};

/// How many deliveries there are to see.
pub const ALL: usize = 100;
/// How many the table of the first page shows.
const FEW: usize = 10;
/// How many a chart shows.
const BARS: usize = 50;
/// With fewer than these there is nothing to compare.
const FEWEST_BARS: usize = 3;
/// Where there are fewer, they stand at the right end, as wide as they would be.
const MIN_BARS: usize = 24;
/// Longer than this deliveries do not usually wait: three ticks.
const LONG: u64 = 30 * 60;
/// What is shown of a key: all of it, unless its prefix is very long.
const KEY_CHARS: usize = 120;

/// The last deliveries.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The newest first.
    pub rows: Vec<Row>,
    /// How many there are to see.
    pub total: usize,
    /// How many events each had, and how long their oldest had waited; the oldest first. None where there is nothing to
    /// compare.
    pub charts: Vec<BarChart>,
    /// Where all of them are, where these are not all.
    pub all: Option<String>,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it was known to be there.
    pub delivered_at: Timestamp,
    /// How many events it holds.
    pub events: String,
    /// Its size.
    pub size: String,
    /// The sequences of its first and last event.
    pub sequences: String,
    /// How long its oldest event had waited, and whether that is long.
    pub lag: (String, bool),
    /// Its key, the beginning left out where it is very long.
    pub key: String,
    /// SHA-256 of its bytes.
    pub sha256: Option<String>,
    /// Whether it belongs to a replay.
    pub is_replay: bool,
}

impl History {
    /// The newest of a destination's `deliveries`, which begin with the newest.
    #[must_use]
    pub fn few(deliveries: &[Delivery], destination: &Destination) -> Self {
        let all = format!("/console/destinations/{}/deliveries", destination.id);
        Self { all: (deliveries.len() > FEW).then_some(all), ..Self::of(deliveries, destination, FEW) }
    }

    /// All of `deliveries`.
    #[must_use]
    pub fn all(deliveries: &[Delivery], destination: &Destination) -> Self {
        Self::of(deliveries, destination, ALL)
    }

    fn of(deliveries: &[Delivery], destination: &Destination, rows: usize) -> Self {
        let rows = deliveries.iter().take(rows).map(|delivery| Row::of(delivery, destination)).collect();
        Self { rows, total: deliveries.len(), charts: charts(deliveries, destination), all: None }
    }

    /// As HTML, with ids that begin with `id`.
    #[must_use]
    pub fn render(&self, shell: &Shell, id: &str) -> Markup {
        html! {
            @if self.rows.is_empty() {
                p {
                    "None yet. Events are sent every ten minutes; the first delivery reaches back seven days, and what it "
                    "brings will be listed here."
                }
            } @else {
                @if !self.charts.is_empty() {
                    div .charts {
                        @for chart in &self.charts { (chart.render()) }
                    }
                }
                (self.table(id))
                @if let Some(all) = &self.all {
                    p { a href=(shell.href(all)) { "All of the last " (self.total) " deliveries" } }
                }
            }
        }
    }

    fn table(&self, id: &str) -> Markup {
        let caption = format!("{id}-caption");
        html! {
            div .scroll tabindex="0" role="region" aria-labelledby=(caption) {
                table .deliveries {
                    caption .visually-hidden #(caption) { "Deliveries, the newest first" }
                    thead {
                        tr {
                            th scope="col" { "Delivered" }
                            th scope="col" .number { "Events" }
                            th scope="col" .number { "Size" }
                            th scope="col" { "Sequences" }
                            th scope="col" { "Lag" }
                            th scope="col" { "Key" }
                            th scope="col" { "SHA-256" }
                        }
                    }
                    tbody {
                        @for row in &self.rows { (row.render()) }
                    }
                }
            }
        }
    }
}

impl Row {
    fn of(delivery: &Delivery, destination: &Destination) -> Self {
        let content = delivery.content.as_ref();
        let number = |value: Option<u64>, text: fn(u64) -> String| value.map_or_else(|| "not known".to_owned(), text);
        Self {
            delivered_at: delivery.delivered_at,
            events: number(content.map(|content| content.events), ui::number),
            size: number(content.map(|content| content.bytes), ui::bytes),
            sequences: match (delivery.first, delivery.last) {
                (first, last) if first == last => ui::number(first),
                (first, last) => format!("{} – {}", ui::number(first), ui::number(last)),
            },
            lag: (ui::seconds(delivery.lag_seconds), is_late(delivery, destination)),
            key: tail(&delivery.key),
            sha256: content.map(|content| content.sha256.clone()),
            is_replay: delivery.replay.is_some(),
        }
    }

    fn render(&self) -> Markup {
        html! {
            tr {
                th scope="row" { (ui::time(self.delivered_at)) }
                td .number { (self.events) }
                td .number { (self.size) }
                td { (self.sequences) }
                td { @if self.lag.1 { (ui::badge(Tone::Warning, &self.lag.0)) } @else { (self.lag.0) } }
                td .key { code { (self.key) } @if self.is_replay { " " (ui::badge(Tone::Neutral, "replay")) } }
                td {
                    @match &self.sha256 {
                        Some(hash) => code title=(hash) { (hash.get(..12).unwrap_or(hash)) "…" },
                        None => "not known",
                    }
                }
            }
        }
    }
}

/// How long its oldest event had waited for the destination: not before it was there.
fn waited(delivery: &Delivery, destination: &Destination) -> u64 {
    delivery.lag_seconds.min(delivery.delivered_at.since(destination.created_at).as_secs())
}

/// Whether that is long. A replay is late by what was asked for.
fn is_late(delivery: &Delivery, destination: &Destination) -> bool {
    delivery.replay.is_none() && waited(delivery, destination) > LONG
}

/// The end of a key, which tells it from others; the prefix is said elsewhere.
fn tail(key: &str) -> String {
    match key.char_indices().rev().nth(KEY_CHARS) {
        Some((index, _)) => format!("…{}", key.get(index..).unwrap_or(key)),
        None => key.to_owned(),
    }
}

/// How many events, and how long they had waited; replays are left out, because they are late by what was asked for.
fn charts(deliveries: &[Delivery], destination: &Destination) -> Vec<BarChart> {
    let regular = deliveries.iter().filter(|delivery| delivery.replay.is_none());
    let mut shown: Vec<&Delivery> = regular.take(BARS).collect();
    shown.reverse();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return Vec::new() };
    if shown.len() < FEWEST_BARS {
        return Vec::new();
    }
    let count = shown.len();
    let (missing, oldest) = match MIN_BARS.saturating_sub(count) {
        0 => (0, Tick::Time(first.delivered_at)),
        missing => (missing, Tick::Text(String::new())),
    };
    let ticks = vec![oldest, Tick::Time(last.delivered_at)];
    let none = Bar { value: 0, label: String::new(), href: None, tone: Tone::Neutral };
    let at_the_right = |bars: Vec<Bar>| std::iter::repeat_n(none.clone(), missing).chain(bars).collect();
    let events = |delivery: &Delivery| delivery.content.as_ref().map_or(0, |content| content.events);
    let lag = |delivery: &Delivery| waited(delivery, destination);
    let late = shown.iter().filter(|delivery| is_late(delivery, destination)).count();
    let most = shown.iter().map(|delivery| events(delivery)).max().unwrap_or(0);
    let longest = shown.iter().map(|delivery| lag(delivery)).max().unwrap_or(0);
    let bar = |delivery: &Delivery, value: u64, text: &str, tone: Tone| Bar {
        value,
        label: format!("{} UTC: {text}", ui::minute(delivery.delivered_at)),
        href: None,
        tone,
    };
    let event_bars = shown.iter().map(|delivery| {
        let events = events(delivery);
        bar(delivery, events, &ui::count(events, "event", "events"), Tone::Neutral)
    });
    let lag_bars = shown.iter().map(|delivery| {
        let tone = if is_late(delivery, destination) { Tone::Warning } else { Tone::Neutral };
        bar(delivery, lag(delivery), &ui::seconds(lag(delivery)), tone)
    });
    vec![
        BarChart {
            title: format!("Events in the last {count} deliveries"),
            summary: format!(
                "Events in the last {count} deliveries: {} at most, {} in the newest.",
                ui::number(most),
                ui::number(events(last))
            ),
            bars: at_the_right(event_bars.collect()),
            highest: ui::count(most, "event", "events"),
            ticks: ticks.clone(),
        },
        BarChart {
            title: match late {
                0 => "How long their oldest event had waited".to_owned(),
                _ => format!("How long their oldest event had waited: {late} times more than 30 min"),
            },
            summary: format!(
                "Lag of the last {count} deliveries: {} at most, {} in the newest, {late} times more than 30 minutes.",
                ui::seconds(longest),
                ui::seconds(lag(last))
            ),
            bars: at_the_right(lag_bars.collect()),
            highest: ui::seconds(longest),
            ticks,
        },
    ]
}
