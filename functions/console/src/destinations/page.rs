//! The page "Audit Events": a card for each destination, and the form for a new one.

use annals_core::{
    delivery::setup::Setup,
    destination::{Destination, DestinationId},
    organisation::Organisation,
};
use annals_http::ADMINISTRATORS;

use super::{
    card::{Card, Details},
    connection_test::ConnectionTest,
    deliveries,
    new::NewDestination,
};
use crate::{fields::parameter, prelude::*, ui::Tone};

/// `GET /console/destinations`. The parameter `done` names the last change; `destination` selects the destination that is
/// shown in full if there are several.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let query = request.call.query();
    let selected = parameter(query, "destination").parse().ok();
    let page = read(&request, &organisation, selected.as_ref()).await?;
    let page = Page { done: Done::named(&parameter(query, "done")), ..page };
    Ok(ui::page(page.render(&Shell::of(&request, &organisation, Section::Destinations))))
}

/// Reads the page. The destination `selected`, or else the first one, is shown in full.
pub(super) async fn read(
    request: &ConsoleRequest,
    organisation: &Organisation,
    selected: Option<&DestinationId>,
) -> Result<Page, Refusal> {
    let services = &request.call.services;
    let administration = &services.administration;
    let destinations = administration.destinations(&organisation.id).await.map_err(Problem::from)?;
    let selected = selected.and_then(|id| destinations.iter().find(|destination| destination.id == *id));
    let selected = selected.or(destinations.first());
    let (deliveries, report) = match selected {
        Some(destination) => tokio::try_join!(
            administration.deliveries(destination, deliveries::LIMIT),
            administration.last_connection_test(destination),
        )
        .map_err(Problem::from)?,
        None => (Vec::new(), None),
    };
    let card = |destination: &Destination| {
        let setup = Setup::of(&services.service, organisation, destination);
        let card = Card::of(organisation, destination, &setup);
        match selected {
            Some(selected) if selected.id == destination.id => {
                let connection_test = report.as_ref().map(|report| ConnectionTest::of(report, destination, &setup));
                Card { connection_test, ..card }.with_details(destination, &setup, &deliveries)
            }
            _ => card,
        }
    };
    let cards = destinations.iter().map(card).collect();
    Ok(Page { new: NewDestination::of(organisation, destinations.len(), &services.service), ..Page::of_cards(cards) })
}

/// Responds with the page, with an invalid form of the destination `id`.
pub(super) async fn show_invalid(
    request: &ConsoleRequest,
    organisation: &Organisation,
    id: &DestinationId,
    set_form: impl FnOnce(&mut Details),
) -> Result<Response, Refusal> {
    let mut page = read(request, organisation, Some(id)).await?;
    let card = page.cards.iter_mut().find(|card| card.id == id.as_str());
    set_form(card.and_then(|card| card.details.as_mut()).ok_or(Refusal::NotFound)?);
    Ok(ui::invalid_form(page.render(&Shell::of(request, organisation, Section::Destinations))))
}

#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub done: Option<Done>,
    /// Why a change was not made, if no form says so.
    pub error: Option<&'static str>,
    pub cards: Vec<Card>,
    pub new: NewDestination,
}

/// The last change, as the page's address names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Saved,
    Changed,
    PrefixChanged,
    Paused,
    Resumed,
    ReplayStarted,
    Confirmed,
    Deleted,
    /// Nothing was done: the organisation has tested too often.
    TestedTooOften,
}

impl Done {
    pub const ALL: &'static [Self] = &[
        Self::Saved,
        Self::Changed,
        Self::PrefixChanged,
        Self::Paused,
        Self::Resumed,
        Self::ReplayStarted,
        Self::Confirmed,
        Self::Deleted,
        Self::TestedTooOften,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Changed => "changed",
            Self::PrefixChanged => "prefix-changed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::ReplayStarted => "replay-started",
            Self::Confirmed => "confirmed",
            Self::Deleted => "deleted",
            Self::TestedTooOften => "tested-too-often",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|done| done.as_str() == name)
    }

    fn tone(self) -> Tone {
        if self == Self::TestedTooOften { Tone::Warning } else { Tone::Good }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Saved => "Saved. Now set up the bucket and the role in AWS as described below, then press Test.",
            Self::Changed => "The settings are saved.",
            Self::PrefixChanged => {
                "The settings are saved. The role needs permission for the new prefix: replace its permission policy with \
                 the one below, then press Test."
            }
            Self::Paused => "Paused. No events are sent until you resume.",
            Self::Resumed => "Resumed. Delivery continues where it stopped, within ten minutes.",
            Self::Confirmed => {
                "Confirmed: the role is proven. The first events are sent within ten minutes. They reach back seven days."
            }
            Self::ReplayStarted => "The replay starts within ten minutes.",
            Self::TestedTooOften => {
                "Not tested, because there were six tests in the last minute. The result below is the last one. Wait a \
                 minute, then press Test again."
            }
            Self::Deleted => "Deleted. No more events are sent to the bucket. The objects in it stay there.",
        }
    }
}

impl Page {
    #[must_use]
    pub fn of_cards(cards: Vec<Card>) -> Self {
        Self { done: None, error: None, cards, new: NewDestination::LimitReached }
    }

    #[must_use]
    pub fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .stack {
                h1 { "Audit Events" }
                p .lead { "All events of your audit log, sent to your S3 bucket every ten minutes." }
            }
            p .visually-hidden role="status" data-announce {}
            @if let Some(done) = self.done {
                (ui::notice(done.tone(), &html! { p { (done.message()) } }))
            }
            @if let Some(error) = self.error {
                (ui::notice(Tone::Bad, &html! { p { (error) } }))
            }
            @for card in &self.cards { (card.render(shell)) }
            // A disabled destination says what its plan lacks.
            @if self.cards.is_empty() || !matches!(self.new, NewDestination::NotInPlan { .. }) {
                (self.new.render(shell))
            }
        };
        shell.page("Audit Events", &content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_changes_are_shown_as_done() {
        for done in Done::ALL {
            assert_eq!(Done::named(done.as_str()), Some(*done));
        }
        for name in ["", "Saved", "hacked", "<script>", "saved "] {
            assert_eq!(Done::named(name), None, "{name}");
        }
    }
}
