//! Bar charts as SVG. Only the bars are SVG. The texts around them are HTML, so that they keep their size at any width.

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
    pub title: String,
    /// The text for screen readers.
    pub summary: String,
    pub bars: Vec<Bar>,
    /// The highest value, with its unit.
    pub highest: String,
    /// The labels of the horizontal axis.
    pub ticks: Vec<Tick>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub value: u64,
    /// For example a period and its value.
    pub label: String,
    pub href: Option<String>,
    pub tone: Tone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick {
    Time(Timestamp),
    Text(String),
}

impl BarChart {
    /// Writes the chart. Bars whose value is zero have no link.
    #[must_use]
    pub fn render(&self) -> Markup {
        let highest = self.bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
        let height = |value: u64| match value {
            0 => 0.0,
            value => (value as f64 / highest as f64 * HEIGHT).max(MIN_HEIGHT),
        };
        html! {
            figure .chart {
                figcaption { (self.title) }
                div .plot {
                    span .highest { (self.highest) }
                    svg viewBox={ "0 0 " (self.bars.len().max(1)) " " (HEIGHT) } preserveAspectRatio="none" role="group" aria-label=(self.summary) {
                        @for (index, bar) in self.bars.iter().enumerate() {
                            @let shape = shape(index, bar, height(bar.value));
                            @match bar.href.as_ref().filter(|_| bar.value > 0) {
                                Some(href) => a href=(href) aria-label=(bar.label) { (shape) },
                                None => g { (shape) },
                            }
                        }
                    }
                }
                div .ticks aria-hidden="true" {
                    @for tick in &self.ticks {
                        @match tick {
                            Tick::Time(at) => (ui::time(*at)),
                            Tick::Text(text) => span { (text) },
                        }
                    }
                }
            }
        }
    }
}

/// Writes a bar, and a transparent rectangle over the whole slot, which is easier to point at.
fn shape(index: usize, bar: &Bar, height: f64) -> Markup {
    let left = index as f64 + (1.0 - BAR_WIDTH) / 2.0;
    html! {
        title { (bar.label) }
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
    fn heights_follow_values_and_only_bars_with_a_value_are_links() {
        let bar = |value: u64| Bar {
            value,
            label: format!("{value} <events>"),
            href: Some("?since=1".to_owned()),
            tone: Tone::Neutral,
        };
        let chart = BarChart {
            title: "Events".to_owned(),
            summary: "3 bars".to_owned(),
            bars: vec![bar(0), bar(1), bar(500)],
            highest: "500".to_owned(),
            ticks: vec![Tick::Text("then".to_owned()), Tick::Text("now".to_owned())],
        };
        let html = chart.render().into_string();
        assert_eq!(html.matches("<a ").count(), 2);
        assert!(html.contains(r#"height="100.0""#) && html.contains(r#"height="2.0""#), "{html}");
        assert!(html.contains("1 &lt;events&gt;") && !html.contains("<events>"), "{html}");
    }
}
