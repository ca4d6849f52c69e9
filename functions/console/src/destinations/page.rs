//! The page "Audit Events": a card for each destination, and the form for a new one.

use annals_core::{
    administration::AdministrationError,
    delivery::setup::Setup,
    destination::{Destination, DestinationId, connection_test::ConnectionTestReport, health::Health},
    log::read::Backlog,
    organisation::Organisation,
};
use annals_http::{ADMINISTRATORS, console::done};
use futures_util::{
    FutureExt as _,
    future::{join_all, try_join_all},
};

use super::{
    card::{Card, Details},
    connection_test::ConnectionTest,
    deliveries,
    new::NewDestination,
};
use crate::{fields::parameter, prelude::*, ui::Tone};

/// `GET /console/destinations`. The parameters `done` and `at` name the last change and its time; `destination` selects the
/// destination that is shown in full if there are several.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let query = request.call.query();
    let selected = parameter(query, "destination");
    let page = read(&request, &organisation, selected.parse().ok().as_ref()).await?;
    let done = done::recent(query, request.call.services.clock.now()).and_then(|name| Done::named(&name));
    let done = done.filter(|done| done.still_holds(page.cards.iter().find(|card| card.id == selected)));
    Ok(ui::page(Page { done, ..page }.render(&Shell::of(&request, &organisation, Section::Destinations))))
}

/// Reads the page. The destination `selected`, or else the first one, is shown in full.
pub(super) async fn read(
    request: &ConsoleRequest,
    organisation: &Organisation,
    selected: Option<&DestinationId>,
) -> Result<Page, Refusal> {
    let services = &request.call.services;
    let administration = &services.administration;
    let now = services.clock.now();
    let destinations = administration.destinations(&organisation.id).await.map_err(Problem::from)?;
    let selected = selected.and_then(|id| destinations.iter().find(|destination| destination.id == *id));
    let selected = selected.or(destinations.first());
    let deliveries = async {
        match selected {
            Some(destination) => administration.deliveries(destination, deliveries::LIMIT).await,
            None => Ok(Vec::new()),
        }
    };
    let tests = try_join_all(destinations.iter().map(|destination| administration.last_connection_test(destination)));
    // The page says less if the log cannot be read.
    let backlogs = join_all(
        destinations
            .iter()
            .map(|destination| async { services.log.backlog(&organisation.id, destination.next_sequence).await.ok() }),
    );
    let (deliveries, tests, backlogs) = tokio::try_join!(deliveries, tests, backlogs.map(Ok))
        .map_err(|error: AdministrationError| Problem::from(error))?;
    let card = |(destination, (report, backlog)): (&Destination, (Option<ConnectionTestReport>, Option<Backlog>))| {
        let setup = Setup::of(&services.service, organisation, destination);
        let connection_test = report.as_ref().map(|report| ConnectionTest::of(report, destination, &setup));
        let card =
            Card::of(organisation, destination, &Setup::in_force(&services.service, organisation, destination), now);
        let card = Card { connection_test, ..card }.with_health(destination, report.as_ref(), backlog.as_ref(), now);
        match selected {
            Some(selected) if selected.id == destination.id => card.with_details(destination, &setup, &deliveries),
            // Only what is shown in full has room for the steps of the test.
            _ => Card { connection_test: None, ..card },
        }
    };
    let cards = destinations.iter().zip(tests.into_iter().zip(backlogs)).map(card).collect();
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
    ChangePending,
    Withdrawn,
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
        Self::ChangePending,
        Self::Withdrawn,
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
            Self::ChangePending => "change-pending",
            Self::Withdrawn => "withdrawn",
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

    /// Returns whether its message is still true. `card` is the destination that was changed.
    fn still_holds(self, card: Option<&Card>) -> bool {
        match (self, card) {
            (Self::Deleted, card) => card.is_none(),
            (_, None) => false,
            (Self::Saved, Some(card)) => card.health == Health::New,
            (Self::Paused, Some(card)) => card.is_paused,
            (Self::Resumed, Some(card)) => !card.is_paused,
            (Self::ReplayStarted, Some(card)) => card.replay.is_some(),
            (Self::Confirmed, Some(card)) => {
                card.health != Health::Unproven && card.pending.as_ref().is_none_or(|pending| pending.is_proven)
            }
            (Self::ChangePending, Some(card)) => card.pending.is_some(),
            (Self::Withdrawn, Some(card)) => card.pending.is_none(),
            (Self::Changed | Self::TestedTooOften, Some(_)) => true,
        }
    }

    fn tone(self) -> Tone {
        if self == Self::TestedTooOften { Tone::Warning } else { Tone::Good }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Saved => "Saved. Now set up the bucket and the role in AWS as described below, then press Test.",
            Self::Changed => "The settings are saved.",
            Self::ChangePending => {
                "Saved. Events go on to the current place until the new one is proven. Set up the new one in AWS as described \
                 below, then press Test."
            }
            Self::Withdrawn => "Withdrawn. Nothing changes.",
            Self::Paused => "Paused. No events are sent until you resume.",
            Self::Resumed => "Resumed. Delivery continues where it stopped, within ten minutes.",
            Self::Confirmed => {
                "Confirmed: the role is proven. The next events are sent within ten minutes. To a new destination, the first ones \
                 reach back seven days."
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
                (ui::done(done.tone(), done.message()))
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

    #[test]
    fn a_message_is_not_shown_when_the_page_says_otherwise() {
        use crate::destinations::fixtures::{card, destination, working};

        let new = card(&destination(), None, 0, true);
        let working = card(&working(destination()), None, 3, true);
        let paused = Card { is_paused: true, ..working.clone() };
        let holds = |done: Done, card: &Card| done.still_holds(Some(card));
        assert!(holds(Done::Saved, &new) && !holds(Done::Saved, &working));
        assert!(holds(Done::Paused, &paused) && !holds(Done::Paused, &working));
        assert!(holds(Done::Resumed, &working) && !holds(Done::Resumed, &paused));
        assert!(!holds(Done::ReplayStarted, &working), "it has finished");
        assert!(!holds(Done::Deleted, &working) && Done::Deleted.still_holds(None) && !Done::Paused.still_holds(None));
    }
}
