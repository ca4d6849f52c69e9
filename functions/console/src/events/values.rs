//! The values that occur in the events of a view, with their counts, each a link that filters by it. The script offers them
//! while somebody types.

use annals_core::{
    audit::{
        AuditError, PageRequest,
        values::{Property, Values},
    },
    fault::Fault,
    log::{read::PlaceError, store::Order},
};

use super::{
    list::List,
    query::{LIST_PARAMETERS, View},
    text::short,
};
use crate::prelude::*;

/// The most events whose values are counted.
const MAX_EVENTS: usize = 1_000;
/// The most values of a property that are shown.
const MAX_VALUES: usize = 12;
/// The longest value that has a link.
const MAX_VALUE_BYTES: usize = 200;
/// The longest query string in the links.
const MAX_QUERY_BYTES: usize = 250;

/// `GET /console/events/values`, with the query string of a list.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = super::open(&request).await?;
    let services = &request.call.services;
    let (view, page_request) = View::parse(request.call.query(), LIST_PARAMETERS, &[], services.clock.now());
    let page_request = match page_request {
        Ok(page_request) => PageRequest { order: Order::Descending, page_size: MAX_EVENTS, ..page_request },
        Err(faults) => return Ok(List::invalid(&view, &faults).respond(&shell)),
    };
    match services.audit.page(&organisation, &page_request, &request.call.reader()).await {
        Ok(page) => {
            request.call.log_fields().page(page.lines.len());
            Ok(ui::page(ValuesPage::of(&view, &Values::of(&page.lines)).render(&shell)))
        }
        Err(AuditError::Place(PlaceError::Unknown)) => {
            let fault = Fault::parameter("from", "is not an event of your organisation");
            Ok(List::invalid(&view, &[fault]).respond(&shell))
        }
        Err(error) => super::not_readable(error, &shell),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValuesPage {
    /// How many events were counted.
    events: u64,
    /// The path of the list.
    back: String,
    properties: Vec<OfProperty>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OfProperty {
    property: Property,
    values: Vec<Occurring>,
    /// How many further values there are.
    more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Occurring {
    value: String,
    /// The name that goes with an id; may be empty.
    name: String,
    events: u64,
    /// The path of the list with this value alone; `None` if it is too long.
    href: Option<String>,
}

fn heading(property: Property) -> &'static str {
    match property {
        Property::Type => "Types",
        Property::Action => "Actions",
        Property::PrincipalId => "Principals",
        Property::EntityType => "Entity types",
        Property::EntityId => "Entities",
        Property::Outcome => "Outcomes",
        Property::Address => "Addresses",
        Property::RecordedBy => "Recorded by",
    }
}

impl ValuesPage {
    fn of(view: &View, values: &Values) -> Self {
        let has_links = view.query().len() <= MAX_QUERY_BYTES;
        let of_property = |property: Property| {
            let all = values.of_property(property);
            let occurring = all.iter().take(MAX_VALUES).map(|value| {
                let is_short = has_links && value.value.len() <= MAX_VALUE_BYTES;
                let query = || view.with_value(property.parameter(), &value.value).query();
                Occurring {
                    value: short(&value.value, 60),
                    name: short(&value.name, 60),
                    events: value.events,
                    href: is_short.then(|| format!("/console/events?{}", query())),
                }
            });
            OfProperty { property, more: all.len().saturating_sub(MAX_VALUES), values: occurring.collect() }
        };
        let properties = Property::ALL.into_iter().map(of_property).filter(|of| !of.values.is_empty());
        Self {
            events: values.events,
            back: format!("/console/events?{}", view.query()),
            properties: properties.collect(),
        }
    }

    fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .row { a .target href=(shell.href(&self.back)) { "← Back to the list" } }
            div .stack {
                h1 { "Values that occur" }
                p .lead {
                    "In the newest " span data-counted { (ui::count(self.events, "event", "events")) } " of this view, at most " (ui::number(MAX_EVENTS as u64))
                    ". A link filters by its value."
                }
            }
            div .properties {
                @for of in &self.properties { (of.render(shell)) }
            }
        };
        shell.page("Values that occur", &content)
    }
}

impl OfProperty {
    fn render(&self, shell: &Shell) -> Markup {
        let title = heading(self.property);
        html! {
            section .card aria-label=(title) {
                h2 { (title) }
                ul .values data-values=(self.property.parameter()) {
                    @for occurring in &self.values {
                        li {
                            span {
                                @match &occurring.href {
                                    Some(href) => a href=(shell.href(href)) data-value { bdi { (ui::breakable(&occurring.value)) } },
                                    None => bdi { (occurring.value) },
                                }
                                @if !occurring.name.is_empty() && occurring.name != occurring.value {
                                    " " bdi .hint data-name { (occurring.name) }
                                }
                            }
                            span .number { (ui::number(occurring.events)) }
                        }
                    }
                }
                @if self.more > 0 { p .hint { "And " (ui::number(self.more as u64)) " more." } }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use super::fixtures::{fifty, hard_texts, hostile, line_of, update, view};

    let shell = Shell::sample(Section::Events);
    let page = |query: &str, lines: &[annals_core::log::segment::Line]| {
        ValuesPage::of(&view(query), &Values::of(lines)).render(&shell)
    };
    let different: Vec<_> =
        (0..1000).map(|number| line_of(number, &hostile(&format!("<b>\"{number}{}", "&".repeat(180))))).collect();
    let long = format!("q={0}&type={0}", "%22".repeat(300));
    let mut samples = vec![
        ("values: fifty events", page("range=7d&type=mock_api.update", &fifty(&update()))),
        ("values: no events", page("", &[])),
        ("values: a thousand different ones", page("range=7d", &different)),
        ("values: of a long filter", page(&long, &different)),
    ];
    for (name, text) in hard_texts() {
        samples.push((format!("values: {name}").leak(), page("", &fifty(&hostile(&text)))));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{line_of, update, view},
        *,
    };

    #[test]
    fn a_value_has_its_count_and_a_link_that_filters_by_it() {
        let lines: Vec<_> = (1..4).map(|number| line_of(number, &update())).collect();
        let page = ValuesPage::of(&view("range=7d&type=x"), &Values::of(&lines));
        let of = |property: Property| {
            let values = page.properties.iter().find(|of| of.property == property).map(|of| of.values[0].clone());
            values.map(|value| (value.value, value.name, value.events, value.href.unwrap_or_default()))
        };
        let row = |value: &str, name: &str, query: &str| {
            Some((value.to_owned(), name.to_owned(), 3, format!("/console/events?range=7d&{query}")))
        };
        assert_eq!(of(Property::Type), row("mock_api.update", "", "type=mock_api.update"));
        assert_eq!(of(Property::PrincipalId), row("42", "Ada Bell", "type=x&principalId=42"));
        assert_eq!(of(Property::Address), row("192.0.2.1", "", "type=x&q=192.0.2.1"));
        assert_eq!(of(Property::Outcome), None);
    }
}
