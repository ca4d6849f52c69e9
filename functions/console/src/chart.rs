//! Bar charts over time as SVG. Only the bars are SVG. The texts around them are HTML, so that they keep their size at any
//! width.

use annals_core::time::Timestamp;
use maud::{Markup, html};

use crate::ui::{self, Tone};

/// The height of the plot, in units of its view box.
const HEIGHT: f64 = 100.0;
/// The width of a bar, as a share of its slot.
const BAR_WIDTH: f64 = 0.8;
/// The lowest height of a bar whose value is not zero, so that it is visible.
const MIN_HEIGHT: f64 = 2.0;

#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What is drawn.
    pub title: String,
    /// The text for screen readers. It contains no times, because the script cannot convert them there.
    pub summary: String,
    pub bars: Vec<Bar>,
    pub unit: Unit,
    /// The labels of the time axis, spread evenly.
    pub ticks: Vec<Timestamp>,
}

/// What the bars measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Events,
    Seconds,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub since: Timestamp,
    pub until: Timestamp,
    pub value: u64,
    /// The value in words.
    pub text: String,
    pub href: Option<String>,
    pub tone: Tone,
}

impl Bar {
    /// Returns the period in UTC and the value. The script converts the period to the user's time zone.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}: {}", period(self.since, self.until), self.text)
    }
}

/// Formats a period in UTC.
#[must_use]
pub fn period(since: Timestamp, until: Timestamp) -> String {
    let (since, until) = (ui::minute(since), ui::minute(until));
    match until.split_once(' ') {
        Some((day, time)) if since.starts_with(day) => format!("{since} to {time} UTC"),
        _ => format!("{since} to {until} UTC"),
    }
}

impl Unit {
    /// Returns the value at the top of the axis: a round number that is at least `highest`.
    fn top(self, highest: u64) -> u64 {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        const DURATIONS: [u64; 16] = [
            10,
            MINUTE,
            2 * MINUTE,
            10 * MINUTE,
            20 * MINUTE,
            30 * MINUTE,
            HOUR,
            2 * HOUR,
            4 * HOUR,
            8 * HOUR,
            12 * HOUR,
            DAY,
            2 * DAY,
            4 * DAY,
            10 * DAY,
            30 * DAY,
        ];
        match self {
            Self::Seconds => {
                DURATIONS.into_iter().find(|top| *top >= highest).unwrap_or(highest.div_ceil(2 * DAY) * 2 * DAY)
            }
            Self::Events => {
                let mut power = 1;
                while highest > power * 10 {
                    power *= 10;
                }
                // The middle of the axis is a whole number too.
                let tops = [2, 4, 6, 10].map(|times| times * power);
                tops.into_iter().find(|top| *top >= highest).unwrap_or(10 * power)
            }
        }
    }

    fn mark(self, value: u64) -> String {
        match self {
            Self::Events => ui::number(value),
            Self::Seconds if value == 0 => "0".to_owned(),
            Self::Seconds => ui::round_seconds(value),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Seconds => "waiting time",
        }
    }
}

impl BarChart {
    /// Writes the chart. Bars whose value is zero have no link. Of the links only the last is a stop of the Tab key: the script
    /// moves between them with the arrow keys.
    #[must_use]
    pub fn render(&self) -> Markup {
        let top = self.unit.top(self.bars.iter().map(|bar| bar.value).max().unwrap_or(0));
        let height = |value: u64| match value {
            0 => 0.0,
            value => (value as f64 / top as f64 * HEIGHT).max(MIN_HEIGHT),
        };
        let is_link = |bar: &Bar| bar.href.is_some() && bar.value > 0;
        let last_link = self.bars.iter().rposition(is_link);
        let width = self.bars.len().max(1);
        html! {
            figure .chart {
                figcaption { (self.title) }
                div .axes {
                    div .marks aria-hidden="true" {
                        @for value in [top, top / 2, 0] { span { (self.unit.mark(value)) } }
                    }
                    svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="group" aria-label=(self.summary) {
                        @for y in [0.0, HEIGHT / 2.0, HEIGHT] {
                            line .grid x1="0" x2=(width) y1=(y) y2=(y) {}
                        }
                        @for (index, bar) in self.bars.iter().enumerate() {
                            @let label = bar.label();
                            @let shape = shape(index, bar, &label, height(bar.value));
                            @match bar.href.as_ref().filter(|_| is_link(bar)) {
                                Some(href) => {
                                    a href=(href) aria-label=(label) tabindex=[(last_link != Some(index)).then_some("-1")] { (shape) }
                                },
                                None => g { (shape) },
                            }
                        }
                    }
                    span .unit aria-hidden="true" { (self.unit.name()) }
                    div .ticks aria-hidden="true" {
                        @for at in &self.ticks { (ui::short_time(*at)) }
                    }
                }
            }
        }
    }
}

/// Writes a bar, and a transparent rectangle over the whole slot, which is easier to point at.
fn shape(index: usize, bar: &Bar, label: &str, height: f64) -> Markup {
    let left = index as f64 + (1.0 - BAR_WIDTH) / 2.0;
    html! {
        title data-since=(bar.since.as_millis()) data-until=(bar.until.as_millis()) { (label) }
        rect .slot x=(index) y="0" width="1" height=(HEIGHT) {}
        @if height > 0.0 {
            rect class=(bar.tone.class()) x=(format!("{left:.1}")) y=(format!("{:.1}", HEIGHT - height))
                width=(BAR_WIDTH) height=(format!("{height:.1}")) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_the_axis_and_only_bars_with_a_value_are_links() {
        let hour = |hour: u64| Timestamp::from_millis(hour * 3_600_000);
        let bar = |index: u64, value: u64| Bar {
            since: hour(index),
            until: hour(index + 1),
            value,
            text: format!("{value} <events>"),
            href: Some("?since=1".to_owned()),
            tone: Tone::Neutral,
        };
        let chart = BarChart {
            title: "Events".to_owned(),
            summary: "3 bars".to_owned(),
            bars: vec![bar(0, 0), bar(1, 1), bar(2, 500)],
            unit: Unit::Events,
            ticks: vec![hour(0), hour(3)],
        };
        let html = chart.render().into_string();
        assert_eq!(html.matches("<a ").count(), 2);
        assert_eq!(html.matches(r#"tabindex="-1""#).count(), 1, "the Tab key stops once");
        assert!(html.contains(r#"height="83.3""#) && html.contains(r#"height="2.0""#), "{html}");
        assert!(html.contains("1 &lt;events&gt;") && !html.contains("<events>"), "{html}");
        assert!(html.contains("<span>600</span><span>300</span><span>0</span>"), "{html}");
        assert!(html.contains("1970-01-01 02:00 to 03:00 UTC: 500"), "{html}");
    }

    #[test]
    fn the_axis_ends_at_a_round_number_above_the_highest_bar() {
        assert_eq!(
            [0, 1, 2, 3, 10, 11, 74, 3737].map(|highest| Unit::Events.top(highest)),
            [2, 2, 2, 4, 10, 20, 100, 4000]
        );
        let marks = |highest| {
            let top = Unit::Seconds.top(highest);
            [top, top / 2].map(|value| Unit::Seconds.mark(value))
        };
        assert_eq!(marks(74), ["2 min", "1 min"]);
        assert_eq!(marks(1900), ["1 h", "30 min"]);
        assert_eq!(marks(7 * 86_400), ["10 days", "5 days"]);
        assert_eq!(marks(5), ["10 s", "5 s"]);
        assert_eq!(marks(100 * 86_400), ["100 days", "50 days"]);
    }
}
