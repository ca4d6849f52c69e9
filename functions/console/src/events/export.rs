//! What is filtered as files. An answer of a Lambda function has a bound, so a large export has parts: a page shows what
//! is in one before it is fetched, and where the next begins.

use annals_core::{
    audit::{Page, PageRequest},
    format::Format,
    organisation::OrganisationId,
    time::Timestamp,
};
use maud::{Markup, html};

use super::query::{Range, View};
use crate::{layout::Shell, ui};

/// More than fit into any part: what ends one is its size.
pub(super) const MAX_EVENTS: usize = 100_000;
/// The parameters beside the filter's that the API does not know.
pub(super) const OWN: &[&str] = &["format", "part", "download"];

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportPage {
    /// What the format is called.
    pub(super) format: &'static str,
    /// The number of this part.
    pub(super) part: u64,
    /// What is in it; nothing where no event matches.
    pub(super) content: Option<Part>,
    /// Where the next part is, if there is one.
    pub(super) next: Option<String>,
    /// From when on the next part looks.
    pub(super) next_from: Option<Timestamp>,
    /// The same in the other format.
    pub(super) other: (&'static str, String),
    /// Where the list is.
    pub(super) back: String,
}

/// What is in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// How many events.
    pub(super) events: u64,
    /// The sequences of the first and the last.
    pub(super) sequences: [u64; 2],
    /// When they were recorded.
    pub(super) times: [Timestamp; 2],
    /// How large the file is.
    pub(super) bytes: u64,
    /// Where it is.
    pub(super) href: String,
    /// What it is called.
    pub(super) name: String,
}

/// The format that a name in addresses means, and the name.
pub(super) fn format(name: &str) -> Option<(Format, &'static str)> {
    match name {
        "ndjson" => Some((Format::Lines, "ndjson")),
        "csv" => Some((Format::Csv, "csv")),
        _ => None,
    }
}

/// Which part a view asks for.
pub(super) fn part(view: &View) -> u64 {
    view.other("part").and_then(|part| part.parse().ok()).filter(|part| (1..1_000_000).contains(part)).unwrap_or(1)
}

/// What a part's file is called.
pub(super) fn file_name(organisation: &OrganisationId, page: &Page, part: u64, format: &str) -> String {
    let time = |at: Timestamp| at.to_string().replace(':', "-").chars().take(16).collect::<String>();
    let times = match (page.lines.first(), page.lines.last()) {
        (Some(first), Some(last)) => format!("-{}Z-to-{}Z", time(first.recorded_at), time(last.recorded_at)),
        _ => String::new(),
    };
    let part = if part > 1 || page.next.is_some() { format!("-part-{part}") } else { String::new() };
    format!("{organisation}-events{times}{part}.{format}")
}

/// How large a part's file is.
fn bytes(page: &Page, format: Format) -> u64 {
    (format.preamble().len() + page.shown.iter().map(String::len).sum::<usize>()) as u64
}

impl ExportPage {
    /// What `page` would be as a file. Its times are those of `request`, so that what is fetched is what is shown, however
    /// much later.
    pub(super) fn of(
        view: &View,
        request: &PageRequest,
        page: &Page,
        (format, name): (Format, &'static str),
        organisation: &OrganisationId,
    ) -> Self {
        let part = part(view);
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let range = match (request.since, request.until) {
            (None, None) => view.range.clone(),
            (since, until) => Range::Between { since: time(since), until: time(until) },
        };
        let pinned = view.during(range);
        let at = |from: Option<String>, skip: u64, part: u64| {
            let mut others = vec![("format", name.to_owned())];
            others.extend(from.map(|from| ("from", from)));
            others.extend(page.through.map(|through| ("through", through.short())));
            others.extend((skip > 0).then(|| ("skip", skip.to_string())));
            others.extend((part > 1).then(|| ("part", part.to_string())));
            others
        };
        let href = |others: &[(&str, String)]| format!("/console/events/export?{}", pinned.query_with(others));
        let content = page.lines.first().zip(page.lines.last()).map(|(first, last)| {
            let mut others = at(view.other("from").map(str::to_owned), request.skip, part);
            others.push(("download", "1".to_owned()));
            Part {
                events: page.lines.len() as u64,
                sequences: [first.sequence(), last.sequence()],
                times: [first.recorded_at, last.recorded_at],
                bytes: bytes(page, format),
                href: href(&others),
                name: file_name(organisation, page, part, name),
            }
        });
        let other = if name == "csv" { ("NDJSON", "ndjson") } else { ("CSV", "csv") };
        Self {
            format: if name == "csv" { "CSV" } else { "NDJSON" },
            part,
            content,
            next: page.next.map(|next| href(&at(Some(next.short()), page.skip, part + 1))),
            next_from: page.next.map(|next| next.recorded_at()),
            other: (
                other.0,
                format!("/console/events/export?{}", pinned.query_with(&[("format", other.1.to_owned())])),
            ),
            back: format!("/console/events?{}", view.query()),
        }
    }

    /// The page.
    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let is_whole = self.part == 1 && self.next.is_none();
        let title = format!("Export as {}", self.format);
        let content = html! {
            div .row { a .target href=(shell.href(&self.back)) { "← Back to the list" } }
            h1 { (title) }
            section .card aria-label="This part" {
                @if !is_whole { h2 { "Part " (ui::number(self.part)) } }
                @match &self.content {
                    Some(part) => (part.render(is_whole, shell)),
                    None if is_whole => {
                        p { "No event matches: there is nothing to export." }
                    },
                    None => p { "No event of this part of the log matches." },
                }
            }
            @if let (Some(next), Some(from)) = (&self.next, self.next_from) {
                section .card aria-labelledby="more" {
                    h2 #more { "This is not all" }
                    p { "A file holds about 4 MB, and a filter looks through 10,000 events at a time. The next part begins at " (ui::time(from)) "." }
                    div .row { a .button href=(shell.href(next)) { "Go on with part " (ui::number(self.part + 1)) } }
                }
            } @else if !is_whole {
                p .hint { "This is the last part." }
            }
            p .hint {
                "Events are in the order in which they were recorded, the oldest first. "
                "What is recorded after this page was opened is not in the export. "
                "To collect everything continuously, use the delivery to a bucket, or the API."
            }
            p { "Rather " a href=(shell.href(&self.other.1)) { "export as " (self.other.0) } "?" }
        };
        shell.page(&title, &content)
    }
}

impl Part {
    fn render(&self, is_whole: bool, shell: &Shell) -> Markup {
        html! {
            p {
                @if is_whole { "All of it fits into one file: " }
                strong { (ui::count(self.events, "event", "events")) }
                ", recorded from " (ui::time(self.times[0])) " to " (ui::time(self.times[1]))
                ", sequences " (ui::number(self.sequences[0])) " to " (ui::number(self.sequences[1]))
                ", " (ui::bytes(self.bytes)) "."
            }
            div .row {
                a .button.primary href=(shell.href(&self.href)) download=(self.name) { "Download" }
                code .file-name { (self.name) }
            }
        }
    }
}
