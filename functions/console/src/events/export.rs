//! Exports of filtered events as files. A Lambda function limits the size of a response, so a large export has several parts. A
//! page describes each part before it is downloaded, and links to the next one.

use annals_core::{
    audit::{AuditError, Page, PageRequest, Shape},
    fault::Fault,
    format::{Format, Representation},
    log::read::PlaceError,
    organisation::OrganisationId,
    time::Timestamp,
};

use super::{
    list::List,
    query::{LIST_PARAMETERS, Range, View},
};
use crate::prelude::*;

/// More events than fit into a part, so that only the size limits a part.
const MAX_EVENTS: usize = 100_000;
/// The parameters that the API does not have.
pub(super) const OWN_PARAMETERS: &[&str] = &["format", "part", "download"];

/// `GET /console/events/export`: describes a part of an export. With the parameter `download`, the part itself.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = super::open(&request).await?;
    let services = &request.call.services;
    let (view, page_request) = View::parse(request.call.query(), LIST_PARAMETERS, OWN_PARAMETERS, services.clock.now());
    let invalid = |faults: &[Fault]| List::invalid(&view, faults).respond(&shell);
    let (page_request, (format, name)) = match (page_request, view.other("format").and_then(format)) {
        (Ok(page_request), Some(format)) => (page_request, format),
        (Ok(_), None) => return Ok(invalid(&[Fault::parameter("format", "must be ndjson or csv")])),
        (Err(faults), _) => return Ok(invalid(&faults)),
    };
    let page_request = PageRequest { page_size: MAX_EVENTS, shape: Shape::Format(format), ..page_request };
    let page = match services.audit.page(&organisation, &page_request, &request.call.reader()).await {
        Ok(page) => page,
        Err(AuditError::Place(PlaceError::Unknown)) => return Ok(List::unknown_start(&view).respond(&shell)),
        Err(error) => return super::not_readable(error, &shell),
    };
    request.call.log_fields().page(page.lines.len());
    if view.other("download").is_some() {
        let file_name = file_name(&organisation.id, &page, part(&view), name);
        let content = preamble(format) + &page.shown.concat();
        return Ok(super::attachment(format.media_type(), &file_name, content));
    }
    let export = ExportPage::of(&view, &page_request, &page, (format, name), &organisation.id);
    Ok(ui::page(export.render(&shell)))
}

/// The description of one part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportPage {
    pub(super) format: &'static str,
    /// The part's number, from 1.
    pub(super) part: u64,
    /// `None` if no event matches.
    pub(super) content: Option<Part>,
    /// The path of the next part.
    pub(super) next: Option<String>,
    /// Where the next part starts.
    pub(super) next_from: Option<Timestamp>,
    /// The name and path of the other format.
    pub(super) other: (&'static str, String),
    /// The path of the list.
    pub(super) back: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) events: u64,
    /// The sequences of the first and the last event.
    pub(super) sequences: [u64; 2],
    /// When the first and the last event were recorded.
    pub(super) times: [Timestamp; 2],
    pub(super) size_bytes: u64,
    pub(super) href: String,
    pub(super) file_name: String,
}

/// Returns the format with this name, and the name.
fn format(name: &str) -> Option<(Format, &'static str)> {
    match name {
        "ndjson" => Some((Format::Lines, "ndjson")),
        "csv" => Some((Format::Csv, "csv")),
        _ => None,
    }
}

/// Returns the number of the part that a view asks for.
fn part(view: &View) -> u64 {
    view.other("part").and_then(|part| part.parse().ok()).filter(|part| (1..1_000_000).contains(part)).unwrap_or(1)
}

fn file_name(organisation: &OrganisationId, page: &Page, part: u64, format: &str) -> String {
    let time = |at: Timestamp| at.to_string().replace(':', "-").chars().take(16).collect::<String>();
    let times = match (page.lines.first(), page.lines.last()) {
        (Some(first), Some(last)) => format!("-{}Z-to-{}Z", time(first.recorded_at), time(last.recorded_at)),
        _ => String::new(),
    };
    let part = if part > 1 || page.next.is_some() { format!("-part-{part}") } else { String::new() };
    format!("{organisation}-events{times}{part}.{format}")
}

/// Returns what a file begins with. CSV begins with a byte order mark, without which Excel does not take it for UTF-8.
fn preamble(format: Format) -> String {
    let mark = if format == Format::Csv { Representation::MARK } else { "" };
    mark.to_owned() + &format.preamble()
}

fn size_bytes(page: &Page, format: Format) -> u64 {
    (preamble(format).len() + page.shown.iter().map(String::len).sum::<usize>()) as u64
}

impl ExportPage {
    /// Describes `page` as a file. The link to it has the times of `request`, so that a later download has the same events.
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
        let pinned = view.with_range(range);
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
                size_bytes: size_bytes(page, format),
                href: href(&others),
                file_name: file_name(organisation, page, part, name),
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

    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let is_complete = self.part == 1 && self.next.is_none();
        let title = format!("Export as {}", self.format);
        let content = html! {
            div .row { a .target href=(shell.href(&self.back)) { "← Back to the list" } }
            h1 { (title) }
            section .card aria-label="This part" {
                @if !is_complete { h2 { "Part " (ui::number(self.part)) } }
                @match &self.content {
                    Some(part) => (part.render(is_complete, shell)),
                    None if is_complete => {
                        p { "No event matches, so there is nothing to export." }
                    },
                    None => p { "No event in this part of the log matches." },
                }
            }
            @if let (Some(next), Some(from)) = (&self.next, self.next_from) {
                section .card aria-labelledby="more" {
                    h2 #more { "There are more events" }
                    p { "A part has at most about 4 MB, and searches at most 10,000 events. The next part starts at " (ui::time(from)) "." }
                    div .row { a .button href=(shell.href(next)) data-next { "Continue with part " (ui::number(self.part + 1)) } }
                }
            } @else if !is_complete {
                p .hint { "This is the last part." }
            }
            p .hint {
                "The events are in the order in which they were recorded, the oldest first. "
                "Events that are recorded after you opened this page are not included, and neither are reads of this log, unless "
                "the list shows them. "
                "To collect all events continuously, use delivery to a bucket, or the API."
            }
            p { a href=(shell.href(&self.other.1)) { "Export as " (self.other.0) " instead" } }
        };
        shell.page(&title, &content)
    }
}

impl Part {
    fn render(&self, is_complete: bool, shell: &Shell) -> Markup {
        html! {
            p {
                @if is_complete { "All events fit into one file: " }
                strong { (ui::count(self.events, "event", "events")) }
                ", recorded from " (ui::time(self.times[0])) " to " (ui::time(self.times[1]))
                ", sequences " (ui::number(self.sequences[0])) " to " (ui::number(self.sequences[1]))
                ", " (ui::bytes(self.size_bytes)) "."
            }
            div .row {
                a .button.primary href=(shell.href(&self.href)) download=(self.file_name) data-events=(self.events) { "Download" }
                code .file-name { (self.file_name) }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use super::fixtures::{fifty, hostile, organisation, page, update, view};
    use crate::layout::Section;

    let export = |query: &str, lines, has_more| {
        let request = PageRequest { shape: Shape::Format(Format::Csv), ..PageRequest::default() };
        let page = page(lines, has_more);
        let export = ExportPage::of(&view(query), &request, &page, (Format::Csv, "csv"), &organisation());
        export.render(&Shell::sample(Section::Events))
    };
    vec![
        ("export: complete", export("format=csv&type=a", fifty(&update()), false)),
        ("export: nothing", export("format=csv&type=a", vec![], false)),
        ("export: the first part", export("format=csv", fifty(&hostile("\"<b>")), true)),
        ("export: an empty part", export("format=csv&part=2", vec![], true)),
        ("export: the last part", export("format=csv&part=12345", fifty(&update()), false)),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::view, *};

    #[test]
    fn part_numbers_start_at_1() {
        assert_eq!(["part=0", "part=x", "", "part=2"].map(|query| part(&view(query))), [1, 1, 1, 2]);
    }
}
