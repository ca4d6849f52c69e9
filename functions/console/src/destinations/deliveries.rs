//! The last deliveries as a table, and their event counts and waiting times as charts.

use annals_core::{
    destination::{Delivery, Destination, health::LATE},
    time::Timestamp,
};
use annals_http::ADMINISTRATORS;

use crate::{
    chart::{Bar, BarChart, Unit},
    prelude::*,
    ui::Tone,
};

/// The most deliveries that are shown.
pub const LIMIT: usize = 100;
/// The rows of the table in a destination's card.
const NEWEST: usize = 10;
/// The lengths of a chart's bars, in minutes. A chart has the shortest that give at most [`MAX_BARS`].
const STEPS_MINUTES: [u64; 8] = [10, 30, 60, 180, 360, 720, 1440, 10_080];
const MAX_BARS: u64 = 32;
/// The fewest bars of a chart. With fewer, the table says as much.
const MIN_BARS: usize = 3;
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
    /// Event counts and waiting times over time. Empty if the deliveries span too little time.
    pub charts: Vec<BarChart>,
    /// Whether the charts show events that were recorded before the destination was saved.
    pub charts_have_backlog: bool,
    /// The path of the page with all deliveries, if these are not all.
    pub all: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub delivered_at: Timestamp,
    pub events: String,
    pub size: String,
    pub sequences: String,
    /// How long the oldest event had waited.
    pub lag: String,
    pub wait: Wait,
    /// The key, or its end if it is long.
    pub key: String,
    /// The SHA-256 of the object; unknown if an object was there already.
    pub sha256: Option<String>,
    pub is_already_there: bool,
}

/// How the waiting time of a delivery is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Usual,
    Late,
    /// Its events were recorded before the destination was saved, so they did not wait for it.
    Backlog,
    /// Its events were delivered before.
    Replay,
}

impl Wait {
    fn of(delivery: &Delivery, destination: &Destination) -> Self {
        let age_of_destination = delivery.delivered_at.since(destination.created_at);
        match delivery.lag_seconds {
            _ if delivery.replay.is_some() => Self::Replay,
            lag if lag > age_of_destination.as_secs() + 1 => Self::Backlog,
            lag if lag > LATE.as_secs() => Self::Late,
            _ => Self::Usual,
        }
    }
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
        let (charts, charts_have_backlog) = charts(deliveries, destination);
        Self { rows, total: deliveries.len(), charts, charts_have_backlog, all: None }
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
                    @if self.charts_have_backlog {
                        p .hint {
                            "Grey: the backlog, which was recorded before the destination was saved. It did not wait, so the chart of "
                            "waiting times does not contain it."
                        }
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
                            th scope="col" { "Waited" }
                            th scope="col" { "Object: key and SHA-256" }
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
            lag: ui::seconds(delivery.lag_seconds),
            wait: Wait::of(delivery, destination),
            key: end_of(&delivery.key),
            sha256: content.map(|content| content.sha256.clone()),
            is_already_there: delivery.already_there,
        }
    }

    fn render(&self) -> Markup {
        html! {
            tr {
                th scope="row" { (ui::time(self.delivered_at)) }
                td .number { (self.events) }
                td .number { (self.size) }
                td { (self.sequences) }
                td {
                    @match self.wait {
                        Wait::Usual => (self.lag),
                        Wait::Late => (ui::badge(Tone::Warning, &self.lag)),
                        Wait::Backlog => { (self.lag) " " (ui::badge(Tone::Neutral, "backlog")) },
                        Wait::Replay => (ui::badge(Tone::Neutral, "replay")),
                    }
                }
                td .key {
                    code { (self.key) }
                    @if self.is_already_there { " " (ui::badge(Tone::Warning, "already there")) }
                    @match &self.sha256 {
                        Some(hash) => code .hash { (hash) },
                        None => span .hint { "SHA-256 unknown" },
                    }
                }
            }
        }
    }
}

/// Returns the end of a key. The key prefix is shown elsewhere.
fn end_of(key: &str) -> String {
    match key.char_indices().rev().nth(MAX_KEY_CHARS) {
        Some((index, _)) => format!("…{}", key.get(index..).unwrap_or(key)),
        None => key.to_owned(),
    }
}

/// A bar of both charts: all deliveries of a period.
#[derive(Debug, Clone, Copy, Default)]
struct Period {
    deliveries: u64,
    events: u64,
    backlog: u64,
    longest_wait_seconds: u64,
    is_late: bool,
}

/// Returns the charts, and whether they contain a backlog. They leave out replays, because the events of replays are old.
fn charts(deliveries: &[Delivery], destination: &Destination) -> (Vec<BarChart>, bool) {
    let regular = || deliveries.iter().filter(|delivery| delivery.replay.is_none());
    let times = regular().map(|delivery| delivery.delivered_at.as_millis());
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return (Vec::new(), false) };
    let steps = STEPS_MINUTES.map(|minutes| minutes * 60_000);
    let step = steps.into_iter().find(|step| (last / step - first / step) < MAX_BARS).unwrap_or(steps[7]);
    let start = first / step;
    let mut periods = vec![Period::default(); usize::try_from(last / step - start).map_or(0, |count| count + 1)];
    if periods.len() < MIN_BARS {
        return (Vec::new(), false);
    }
    for delivery in regular() {
        let index = usize::try_from(delivery.delivered_at.as_millis() / step - start).unwrap_or(usize::MAX);
        let Some(period) = periods.get_mut(index) else { continue };
        let events = delivery.content.as_ref().map_or(0, |content| content.events);
        let wait = Wait::of(delivery, destination);
        period.deliveries += 1;
        period.events += events;
        if wait == Wait::Backlog {
            period.backlog += events;
        } else {
            period.longest_wait_seconds = period.longest_wait_seconds.max(delivery.lag_seconds);
        }
        period.is_late |= wait == Wait::Late;
    }
    let at = |index: usize| Timestamp::from_millis((start + index as u64) * step);
    let bars = |bar: &dyn Fn(&Period) -> (u64, String, Tone)| {
        let bar = |(index, period)| {
            let (value, text, tone) = bar(period);
            Bar { since: at(index), until: at(index + 1), value, text, href: None, tone }
        };
        periods.iter().enumerate().map(bar).collect::<Vec<_>>()
    };
    let count = regular().count();
    let total: u64 = periods.iter().map(|period| period.events).sum();
    let most = periods.iter().map(|period| period.events).max().unwrap_or(0);
    let longest = periods.iter().map(|period| period.longest_wait_seconds).max().unwrap_or(0);
    let late = regular().filter(|delivery| Wait::of(delivery, destination) == Wait::Late).count();
    let of_late = if late == 0 {
        String::new()
    } else {
        format!("; {} waited longer than 30 min", ui::count(late as u64, "delivery", "deliveries"))
    };
    let by = format!("by {}", length(step));
    let ticks: Vec<Timestamp> = [0, periods.len() / 2, periods.len()].map(at).into();
    let charts = vec![
        BarChart {
            title: format!("{} in the last {count} deliveries, {by}", ui::count(total, "event", "events")),
            summary: format!("{}, {by}; at most {}.", ui::count(total, "event", "events"), ui::number(most)),
            bars: bars(&|period| {
                let events = ui::count(period.events, "event", "events");
                let deliveries = ui::count(period.deliveries, "delivery", "deliveries");
                match period.backlog {
                    0 => (period.events, format!("{events} in {deliveries}"), Tone::Neutral),
                    backlog => (
                        period.events,
                        format!("{events} in {deliveries}, {} of them backlog", ui::number(backlog)),
                        Tone::Soft,
                    ),
                }
            }),
            unit: Unit::Events,
            ticks: ticks.clone(),
        },
        BarChart {
            title: format!("Longest time that an event waited for delivery, {by}{of_late}"),
            summary: format!("Longest wait, {by}; at most {}{of_late}.", ui::seconds(longest)),
            bars: bars(&|period| {
                let tone = if period.is_late { Tone::Warning } else { Tone::Neutral };
                let text = match period.deliveries {
                    0 => "no delivery".to_owned(),
                    _ => ui::seconds(period.longest_wait_seconds),
                };
                (period.longest_wait_seconds, text, tone)
            }),
            unit: Unit::Seconds,
            ticks,
        },
    ];
    (charts, periods.iter().any(|period| period.backlog > 0))
}

fn length(step_millis: u64) -> String {
    match step_millis / 60_000 {
        60 => "hour".to_owned(),
        minutes @ 0..60 => format!("{minutes} minutes"),
        1440 => "day".to_owned(),
        10_080 => "week".to_owned(),
        minutes => format!("{} hours", minutes / 60),
    }
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

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{at, deliveries, destination},
        *,
    };

    fn delivery(minutes_ago: u64, events: u64, lag_seconds: u64) -> Delivery {
        let mut delivery = deliveries(&destination(), 1).remove(0);
        delivery.delivered_at = at(minutes_ago);
        delivery.lag_seconds = lag_seconds;
        if let Some(content) = &mut delivery.content {
            content.events = events;
        }
        delivery
    }

    #[test]
    fn the_charts_draw_what_their_titles_and_the_table_say() {
        let created = Destination { created_at: at(101), ..destination() };
        let all = [delivery(60, 20, 2000), delivery(70, 400, 74), delivery(72, 54, 30), delivery(100, 3737, 583_200)];
        let shown = Deliveries::all(&all, &created);
        let waits: Vec<Wait> = shown.rows.iter().map(|row| row.wait).collect();
        assert_eq!(waits, [Wait::Late, Wait::Usual, Wait::Usual, Wait::Backlog]);
        let [events, waits] = &shown.charts[..] else { panic!("{:?}", shown.charts) };
        assert_eq!(events.title.replace('\u{202f}', " "), "4 211 events in the last 4 deliveries, by 10 minutes");
        let drawn = |chart: &BarChart| chart.bars.iter().map(|bar| (bar.value, bar.tone)).collect::<Vec<_>>();
        let (plain, none) = (Tone::Neutral, (0, Tone::Neutral));
        assert_eq!(drawn(events), [(3737, Tone::Soft), none, (54, plain), (400, plain), (20, plain)]);
        assert_eq!(drawn(waits), [none, none, (30, plain), (74, plain), (2000, Tone::Warning)]);
        assert!(waits.title.ends_with("by 10 minutes; 1 delivery waited longer than 30 min"), "{}", waits.title);
        assert_eq!((events.ticks[0], events.ticks[2]), (at(100), at(50)), "the axis begins and ends with its bars");
        assert!(shown.charts_have_backlog);
        assert!(events.bars[0].label().ends_with("3\u{202f}737 of them backlog"), "{}", events.bars[0].label());
    }

    #[test]
    fn a_chart_has_a_bar_for_each_period_and_not_too_many() {
        let spread = |minutes: u64| {
            let all: Vec<Delivery> = (0..100).map(|index| delivery(index * minutes / 99, 1, 1)).collect();
            charts(&all, &destination()).0.first().map_or(0, |chart| chart.bars.len())
        };
        assert_eq!(spread(9), 0, "they are all in one or two periods");
        for minutes in [30, 480, 1000, 10_000, 50_000] {
            let bars = spread(minutes);
            assert!((MIN_BARS..=MAX_BARS as usize).contains(&bars), "{minutes} minutes: {bars} bars");
        }
    }
}
