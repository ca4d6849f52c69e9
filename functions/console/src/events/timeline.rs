//! The chart of events over time.

use std::time::Duration;

use annals_core::{
    audit::browse::{Stretch, Timeline},
    time::Timestamp,
};

use super::query::Range;
use crate::{
    chart::{Bar, BarChart, Unit},
    ui::{self, Tone},
};

/// Draws `timeline`. `href` returns the address of a range of time. Returns `None` if there are no events.
pub(super) fn chart(timeline: &Timeline, href: impl Fn(Range) -> Option<String>) -> Option<BarChart> {
    let highest =
        timeline.stretches.iter().max_by_key(|stretch| stretch.events).filter(|stretch| stretch.events > 0)?;
    let bars = timeline.stretches.iter().map(|stretch| Bar {
        since: stretch.since,
        until: stretch.until,
        value: stretch.events,
        text: counted(stretch, timeline.counted_since),
        href: href(Range::Between { since: stretch.since.to_string(), until: stretch.until.to_string() }),
        tone: Tone::Neutral,
    });
    let total = ui::count(timeline.total(), "event", "events");
    let at_least = if timeline.counted_since.is_some() { "At least " } else { "" };
    let step = length(timeline.step);
    let with_reads = if timeline.counts_excluded { ", reads of this log included" } else { "" };
    let middle = timeline.since.plus(timeline.until.since(timeline.since) / 2);
    Some(BarChart {
        title: format!("{at_least}{total}, by {step}{with_reads}"),
        summary: format!(
            "{at_least}{total}; at most {} per {step}. Each bar links to its period.",
            ui::number(highest.events)
        ),
        bars: bars.collect(),
        unit: Unit::Events,
        ticks: vec![timeline.since, middle, timeline.until],
    })
}

fn counted(stretch: &Stretch, since: Option<Timestamp>) -> String {
    let events = ui::count(stretch.events, "event", "events");
    match since {
        Some(since) if stretch.until <= since => "not counted".to_owned(),
        Some(since) if stretch.since < since => format!("at least {events}"),
        _ => events,
    }
}

fn length(step: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    const DAY: u64 = 24 * HOUR;
    match step.as_secs() {
        60 => "minute".to_owned(),
        HOUR => "hour".to_owned(),
        DAY => "day".to_owned(),
        seconds @ 0..HOUR => format!("{} minutes", seconds / 60),
        seconds @ HOUR..DAY => format!("{} hours", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_a_label_and_a_link() {
        let start = Timestamp::parse("2026-11-22T22:00:00Z").unwrap();
        let hour = Duration::from_secs(3600);
        let stretch = |index: u32, events| {
            let since = start.plus(hour * index);
            Stretch { since, until: since.plus(hour), events }
        };
        let timeline = Timeline {
            since: start,
            until: start.plus(hour * 3),
            step: hour,
            stretches: vec![stretch(0, 1200), stretch(1, 0), stretch(2, 1)],
            counted_since: None,
            counts_excluded: false,
        };
        let chart = chart(&timeline, |range| Some(format!("{range:?}"))).unwrap();
        let labels: Vec<_> = chart.bars.iter().map(|bar| bar.label().replace('\u{202f}', " ")).collect();
        assert_eq!(
            labels,
            [
                "2026-11-22 22:00 to 23:00 UTC: 1 200 events",
                "2026-11-22 23:00 to 2026-11-23 00:00 UTC: 0 events",
                "2026-11-23 00:00 to 01:00 UTC: 1 event"
            ]
        );
        assert_eq!(chart.title.replace('\u{202f}', " "), "1 201 events, by hour");
        assert!(chart.bars[2].href.as_ref().unwrap().contains("2026-11-23T00:00:00.000Z"));
        let part = Timeline { counted_since: Some(start.plus(hour + hour / 2)), ..timeline.clone() };
        let bars = super::chart(&part, |_| None).unwrap().bars;
        let counts: Vec<_> = bars.iter().map(|bar| bar.text.as_str()).collect();
        assert_eq!(counts, ["not counted", "at least 0 events", "1 event"]);
        assert!(super::chart(&Timeline { stretches: vec![], ..timeline }, |_| None).is_none());
    }
}
