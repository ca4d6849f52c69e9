//! Bar charts as SVG. Numbers become attributes of shapes; words stay HTML around them, so that they keep their size at any
//! width.

use maud::{Markup, html};

use crate::ui::Tone;

/// The height of the plot in units of its view box.
const HEIGHT: f64 = 100.0;
/// The share of its slot that a bar is wide.
const BAR: f64 = 0.8;
/// The lowest bar that is more than nothing, so that it can be seen.
const LEAST: f64 = 2.0;

/// Bars side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What it shows.
    pub title: String,
    /// What a reader who does not see it should know.
    pub summary: String,
    /// The bars, from left to right.
    pub bars: Vec<Bar>,
    /// The highest value, with its unit.
    pub highest: String,
    /// What stands below it, from the left end to the right.
    pub ticks: Vec<Tick>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// How high it is.
    pub value: u64,
    /// What it says: a stretch of time and a value, for example.
    pub label: String,
    /// Where it leads.
    pub href: Option<String>,
    /// How what it stands for is.
    pub tone: Tone,
}

/// A label of the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick {
    /// A moment.
    Time(annals_core::time::Timestamp),
    /// Words.
    Text(String),
}

impl BarChart {
    /// The chart. Bars without a value lead nowhere.
    #[must_use]
    pub fn render(&self) -> Markup {
        let highest = self.bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
        let height = |value: u64| match value {
            0 => 0.0,
            value => (value as f64 / highest as f64 * HEIGHT).max(LEAST),
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
                            Tick::Time(at) => (crate::ui::time(*at)),
                            Tick::Text(text) => span { (text) },
                        }
                    }
                }
            }
        }
    }
}

/// A bar, and a place to point at that is as high as the plot.
fn shape(index: usize, bar: &Bar, height: f64) -> Markup {
    let left = index as f64 + (1.0 - BAR) / 2.0;
    html! {
        title { (bar.label) }
        rect .slot x=(index) y="0" width="1" height=(HEIGHT) {}
        @if height > 0.0 {
            rect class=(bar.tone.class()) x=(format!("{left:.1}")) y=(format!("{:.1}", HEIGHT - height))
                width=(BAR) height=(format!("{height:.1}")) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values_and_lead_where_there_is_something() {
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
