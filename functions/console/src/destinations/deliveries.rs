//! The last deliveries as a table, and their event counts and lags as charts.

use annals_core::{
    destination::{Delivery, Destination},
    time::Timestamp,
};
use annals_http::ADMINISTRATORS;

use crate::{
    chart::{Bar, BarChart, Tick},
    prelude::*,
    ui::Tone,
};

/// The most deliveries that are shown.
pub const LIMIT: usize = 100;
/// The rows of the table in a destination's card.
const NEWEST: usize = 10;
/// The most bars of a chart.
const MAX_BARS: usize = 50;
/// The fewest deliveries that a chart is drawn for.
const MIN_DELIVERIES: usize = 3;
/// The fewest slots of a chart. If there are fewer deliveries, the slots on the left stay empty.
const MIN_SLOTS: usize = 24;
/// A longer lag is marked: three scheduled runs.
const MAX_USUAL_LAG_SECONDS: u64 = 30 * 60;
/// The longest part of a key that is shown.
const MAX_KEY_CHARS: usize = 120;

/// `GET /console/destinations/{destination}/deliveries`
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    let destination = administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    let deliveries = administration.deliveries(&destination, LIMIT).await.map_err(Problem::from)?;
    let deliveries = Deliveries::all(&deliveries, &destination);
    let shell = Shell::of(&request, &organisation, Section::Destinations);
    Ok(ui::page(deliveries.render_page(destination.bucket.as_str(), &shell)))
}

#[derive(Debug, Clone, PartialEq)]
pub struct Deliveries {
    /// The newest first.
    pub rows: Vec<Row>,
    pub total: usize,
    /// Event counts and lags, the oldest delivery first. Empty if there are too few deliveries.
    pub charts: Vec<BarChart>,
    /// The path of the page with all deliveries, if these are not all.
    pub all: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub delivered_at: Timestamp,
    pub events: String,
    pub size: String,
    pub sequences: String,
    /// How long the oldest event had waited, and whether that is unusually long.
    pub lag: (String, bool),
    /// The key, or its end if it is long.
    pub key: String,
    /// The SHA-256 of the object; unknown if an object was there already.
    pub sha256: Option<String>,
    pub is_already_there: bool,
    pub is_replay: bool,
}

impl Deliveries {
    /// The newest of `deliveries`, which are sorted from newest to oldest.
    #[must_use]
    pub fn newest(deliveries: &[Delivery], destination: &Destination) -> Self {
        let all = format!("/console/destinations/{}/deliveries", destination.id);
        Self { all: (deliveries.len() > NEWEST).then_some(all), ..Self::of(deliveries, destination, NEWEST) }
    }

    #[must_use]
    pub fn all(deliveries: &[Delivery], destination: &Destination) -> Self {
        Self::of(deliveries, destination, LIMIT)
    }

    fn of(deliveries: &[Delivery], destination: &Destination, rows: usize) -> Self {
        let rows = deliveries.iter().take(rows).map(|delivery| Row::of(delivery, destination)).collect();
        Self { rows, total: deliveries.len(), charts: charts(deliveries, destination), all: None }
    }

    fn render_page(&self, bucket: &str, shell: &Shell) -> Markup {
        let content = html! {
            div .stack {
                p { a href=(shell.href(Section::Destinations.path())) { "Audit Events" } }
                h1 { "The last deliveries" }
                p .lead .break { "To " (bucket) ", the newest first, at most " (LIMIT) "." }
            }
            section .card aria-label="Deliveries" { (self.render(shell, "deliveries")) }
        };
        shell.page("The last deliveries", &content)
    }

    /// Writes charts and table. Element ids begin with `id`.
    #[must_use]
    pub fn render(&self, shell: &Shell, id: &str) -> Markup {
        html! {
            @if self.rows.is_empty() {
                p {
                    "None yet. Events are sent every ten minutes. The first delivery contains the events of the last seven "
                    "days."
                }
            } @else {
                @if !self.charts.is_empty() {
                    div .charts {
                        @for chart in &self.charts { (chart.render()) }
                    }
                }
                (self.table(id))
                @if self.rows.iter().any(|row| row.is_already_there) {
                    p .hint {
                        "Already there: the answer to our first attempt was lost, and the next one found an object with this "
                        "key, which is ours unless somebody else has put it there."
                    }
                }
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
        let number = |value: Option<u64>, text: fn(u64) -> String| value.map_or_else(|| "unknown".to_owned(), text);
        Self {
            delivered_at: delivery.delivered_at,
            events: number(content.map(|content| content.events), ui::number),
            size: number(content.map(|content| content.bytes), ui::bytes),
            sequences: match (delivery.first, delivery.last) {
                (first, last) if first == last => ui::number(first),
                (first, last) => format!("{} – {}", ui::number(first), ui::number(last)),
            },
            lag: (ui::seconds(delivery.lag_seconds), is_late(delivery, destination)),
            key: end_of(&delivery.key),
            sha256: content.map(|content| content.sha256.clone()),
            is_already_there: delivery.already_there,
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
                td .key {
                    code { (self.key) }
                    @if self.is_replay { " " (ui::badge(Tone::Neutral, "replay")) }
                    @if self.is_already_there { " " (ui::badge(Tone::Warning, "already there")) }
                }
                td {
                    @match &self.sha256 {
                        Some(hash) => code title=(hash) { (hash.get(..12).unwrap_or(hash)) "…" },
                        None => "unknown",
                    }
                }
            }
        }
    }
}

/// How long the oldest event had waited, in seconds, but not longer than the destination exists.
fn lag_seconds(delivery: &Delivery, destination: &Destination) -> u64 {
    delivery.lag_seconds.min(delivery.delivered_at.since(destination.created_at).as_secs())
}

/// Returns whether the lag is unusually long. A replay is never late, because its events are old.
fn is_late(delivery: &Delivery, destination: &Destination) -> bool {
    delivery.replay.is_none() && lag_seconds(delivery, destination) > MAX_USUAL_LAG_SECONDS
}

/// Returns the end of a key. The key prefix is shown elsewhere.
fn end_of(key: &str) -> String {
    match key.char_indices().rev().nth(MAX_KEY_CHARS) {
        Some((index, _)) => format!("…{}", key.get(index..).unwrap_or(key)),
        None => key.to_owned(),
    }
}

/// Returns the charts. They leave out replays, because the events of replays are old.
fn charts(deliveries: &[Delivery], destination: &Destination) -> Vec<BarChart> {
    let regular = deliveries.iter().filter(|delivery| delivery.replay.is_none());
    let mut shown: Vec<&Delivery> = regular.take(MAX_BARS).collect();
    shown.reverse();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return Vec::new() };
    if shown.len() < MIN_DELIVERIES {
        return Vec::new();
    }
    let count = shown.len();
    let (empty_slots, oldest) = match MIN_SLOTS.saturating_sub(count) {
        0 => (0, Tick::Time(first.delivered_at)),
        empty_slots => (empty_slots, Tick::Text(String::new())),
    };
    let ticks = vec![oldest, Tick::Time(last.delivered_at)];
    let empty = Bar { value: 0, label: String::new(), href: None, tone: Tone::Neutral };
    let on_the_right = |bars: Vec<Bar>| std::iter::repeat_n(empty.clone(), empty_slots).chain(bars).collect();
    let events = |delivery: &Delivery| delivery.content.as_ref().map_or(0, |content| content.events);
    let lag = |delivery: &Delivery| lag_seconds(delivery, destination);
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
            bars: on_the_right(event_bars.collect()),
            highest: ui::count(most, "event", "events"),
            ticks: ticks.clone(),
        },
        BarChart {
            title: match late {
                0 => "Lag: age of the oldest event in each delivery".to_owned(),
                _ => format!("Lag: age of the oldest event in each delivery, {late} times more than 30 min"),
            },
            summary: format!(
                "Lag of the last {count} deliveries: {} at most, {} in the newest, {late} times more than 30 minutes.",
                ui::seconds(longest),
                ui::seconds(lag(last))
            ),
            bars: on_the_right(lag_bars.collect()),
            highest: ui::seconds(longest),
            ticks,
        },
    ]
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use super::fixtures::{deliveries, destination, longest};

    let shell = Shell::sample(Section::Destinations);
    let page = |destination: &Destination, count: usize| {
        let deliveries = Deliveries::all(&deliveries(destination, count), destination);
        deliveries.render_page(destination.bucket.as_str(), &shell)
    };
    vec![
        ("deliveries: all", page(&destination(), LIMIT)),
        ("deliveries: the longest keys", page(&longest(), LIMIT)),
        ("deliveries: none", page(&destination(), 0)),
    ]
}
