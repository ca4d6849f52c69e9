//! The section "Audit Events": the bucket that an organisation's events are delivered to.
//!
//! - [`page`]: the page: destinations, a new one, and what the plan allows
//! - [`card`]: one destination, and what can be done with it
//! - [`connection_test`], [`advice`]: what a test found, and what to change where
//! - [`setup`]: what to set up in AWS
//! - [`history`]: what was delivered
//! - [`form`]: the forms, and the input that becomes of them
//!
//! Routes, all below `/console/destinations`: `GET` and `POST` of itself; `GET /{destination}/deliveries`; `POST
//! /{destination}/settings`, `/pause`, `/resume`, `/replay`; `GET` and `POST /{destination}/delete`. `POST
//! /{destination}/test` belongs to the test-connection function, which alone may assume customers' roles; it shows the page
//! by [`show_tested`].

pub mod advice;
pub mod card;
pub mod connection_test;
pub mod form;
pub mod history;
pub mod page;
#[cfg(test)]
mod samples;
pub mod setup;

use annals_core::{
    administration::AdministrationError,
    change::Conflict,
    delivery::{connection_test::ConnectionTestReport, setup::Setup},
    destination::{Destination, DestinationId, DestinationInput, ReplayInput, SettingsPatch},
    organisation::Organisation,
};
use annals_http::{
    ADMINISTRATORS,
    console::{refusal::Refusal, session::ConsoleRequest},
    problem::Problem,
};
use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};

use self::{
    card::{Card, More},
    connection_test::ConnectionTest,
    history::History,
    page::{Done, Page, Room},
};
use crate::{
    Console,
    confirmation::Confirmation,
    fields::{Fields, parameter},
    layout::{Section, Shell},
    ui,
};

#[cfg(test)]
pub(crate) use self::samples::samples;

pub(crate) fn routes() -> Router<Console> {
    let one = |what: &str| format!("/console/destinations/{{destination}}/{what}");
    Router::new()
        .route("/console/destinations", get(show).post(create))
        .route(&one("deliveries"), get(deliveries))
        .route(&one("settings"), post(change))
        .route(&one("pause"), post(pause))
        .route(&one("resume"), post(resume))
        .route(&one("replay"), post(replay))
        .route(&one("delete"), get(ask_to_delete).post(delete))
}

/// `GET /console/destinations`: the destination, or how to make one. `done` says what has just been done, `destination`
/// which one to show in full, where there are several.
async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let query = request.call.query();
    let looked_at = parameter(query, "destination").parse().ok();
    let page = read(&request, &organisation, looked_at.as_ref(), None).await?;
    let page = Page { done: Done::named(&parameter(query, "done")), ..page };
    Ok(ui::page(page.render(&Shell::of(&request, &organisation, Section::Destinations))))
}

/// The page with what a test of its destination found.
///
/// # Errors
/// Where the destination cannot be read.
pub async fn show_tested(
    request: &ConsoleRequest,
    organisation: &Organisation,
    id: &DestinationId,
    report: &ConnectionTestReport,
) -> Result<Response, Refusal> {
    let page = read(request, organisation, Some(id), Some(report)).await?;
    Ok(ui::page(page.render(&Shell::of(&request, organisation, Section::Destinations))))
}

/// The page as things are. The destination `looked_at`, or else the first, is shown in full, with the report of its test.
async fn read(
    request: &ConsoleRequest,
    organisation: &Organisation,
    looked_at: Option<&DestinationId>,
    report: Option<&ConnectionTestReport>,
) -> Result<Page, Refusal> {
    let api = &request.call.api;
    let destinations = api.administration.destinations(&organisation.id).await.map_err(Problem::from)?;
    let looked_at = looked_at.and_then(|id| destinations.iter().find(|destination| destination.id == *id));
    let looked_at = looked_at.or(destinations.first());
    let deliveries = match looked_at {
        Some(destination) => api.administration.deliveries(destination, history::ALL).await.map_err(Problem::from)?,
        None => Vec::new(),
    };
    let card = |destination: &Destination| {
        let setup = Setup::of(&api.service, organisation, destination);
        let card = Card::of(organisation, destination, &setup);
        if looked_at.is_none_or(|looked_at| looked_at.id != destination.id) {
            return card;
        }
        let connection_test = report.map(|report| ConnectionTest::of(report, destination, &setup));
        Card { connection_test, ..card }.in_full(destination, &setup, &deliveries)
    };
    Ok(Page {
        done: None,
        refused: None,
        cards: destinations.iter().map(card).collect(),
        room: Room::of(organisation, destinations.len(), &api.service),
    })
}

/// `POST /console/destinations`: saves a new one.
async fn create(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let service = &request.call.api.service;
    let mut form = form::creation(service).filled_from(&request.form);
    match DestinationInput::parse(form::creation_body(&form).to_string().as_bytes(), service) {
        Err(faults) => form = form.with_faults(&faults),
        Ok(input) => {
            let administration = &request.call.api.administration;
            match administration.create_destination(&organisation, input, &request.call.actor()).await {
                Ok(_) => return Ok(done(&request, Done::Saved)),
                Err(AdministrationError::Conflict(conflict)) => conflicting(conflict, &mut form)?,
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    }
    let mut page = read(&request, &organisation, None, None).await?;
    match &mut page.room {
        Room::New(new) => new.form = form,
        // Somebody else was faster: the page shows what they saved.
        Room::Full => page.refused = Some(NO_MORE),
        Room::NotInPlan { .. } => {}
    }
    Ok(ui::invalid_form(page.render(&Shell::of(&request, &organisation, Section::Destinations))))
}

/// Why there can be no other.
const NO_MORE: &str = "Nothing was saved: your plan allows no more destinations. Delete the one there is first.";

/// Says of a new destination's form why it cannot be saved.
fn conflicting(conflict: Conflict, form: &mut Fields) -> Result<(), Refusal> {
    match conflict {
        Conflict::BucketInUse => {
            form.add_fault("bucket", "is used by another organisation. Use a bucket of your own");
        }
        Conflict::RoleInUse => {
            form.add_fault("roleArn", "is used by another organisation. Use a role of your own");
        }
        Conflict::Limit => {
            form.faults.push(NO_MORE.to_owned());
        }
        other => return Err(Problem::from(AdministrationError::Conflict(other)).into()),
    }
    Ok(())
}

/// `GET /console/destinations/{destination}/deliveries`: all of the last hundred deliveries.
async fn deliveries(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let administration = &request.call.api.administration;
    let destination = administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    let deliveries = administration.deliveries(&destination, history::ALL).await.map_err(Problem::from)?;
    let history = History::all(&deliveries, &destination);
    let shell = Shell::of(&request, &organisation, Section::Destinations);
    Ok(ui::page(deliveries_page(destination.bucket.as_str(), &history, &shell)))
}

fn deliveries_page(bucket: &str, history: &History, shell: &Shell) -> Markup {
    let content = html! {
        div .stack {
            p { a href=(shell.href(Section::Destinations.path())) { "Audit Events" } }
            h1 { "The last deliveries" }
            p .lead .break { "To " (bucket) ", the newest first. No more than " (history::ALL) " are listed." }
        }
        section .card aria-label="Deliveries" { (history.render(shell, "deliveries")) }
    };
    shell.page("The last deliveries", &content)
}

/// `POST /console/destinations/{destination}/settings`: changes prefix, region, compression, layout or bucket owner.
async fn change(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let administration = &request.call.api.administration;
    let destination = administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    let form = form::settings(&destination).filled_from(&request.form);
    match SettingsPatch::parse(form::settings_body(&form).to_string().as_bytes(), &destination.role_arn) {
        Ok(patch) => {
            let changed = administration.change_destination(&organisation, &id, patch, &request.call.actor()).await;
            let has_moved = changed.map_err(Problem::from)?.settings.prefix != destination.settings.prefix;
            Ok(done(&request, if has_moved { Done::Moved } else { Done::Changed }))
        }
        Err(faults) => {
            let form = form.with_faults(&faults);
            show_refused(&request, &organisation, &id, |more| more.settings = form).await
        }
    }
}

/// `POST /console/destinations/{destination}/replay`: delivers a range of events once more.
async fn replay(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let is_by_time = request.form.text("by") != "sequence";
    let (mut form, body) = if is_by_time {
        let form = form::replay_by_time().filled_from(&request.form);
        let body = form::replay_by_time_body(&form);
        (form, body)
    } else {
        let form = form::replay_by_sequence().filled_from(&request.form);
        let body = form::replay_by_sequence_body(&form);
        (form, body)
    };
    match ReplayInput::parse(body.to_string().as_bytes()) {
        Err(faults) => form = form::replay_refused(form, &faults),
        Ok(input) => {
            let administration = &request.call.api.administration;
            match administration.replay(&organisation, &id, input, &request.call.actor()).await {
                Ok(_) => return Ok(done(&request, Done::Replayed)),
                Err(AdministrationError::NothingToReplay) => {
                    form.faults.push("There is no event in this range, or none any more.".to_owned());
                }
                Err(AdministrationError::ReplayInProgress) => {
                    form.faults.push("A replay is in progress. Ask again when it is finished.".to_owned());
                }
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    }
    let set = |more: &mut More| if is_by_time { more.replay_by_time = form } else { more.replay_by_sequence = form };
    show_refused(&request, &organisation, &id, set).await
}

/// The page with a form of a destination that was refused.
async fn show_refused(
    request: &ConsoleRequest,
    organisation: &Organisation,
    id: &DestinationId,
    set: impl FnOnce(&mut More),
) -> Result<Response, Refusal> {
    let mut page = read(request, organisation, Some(id), None).await?;
    let card = page.cards.iter_mut().find(|card| card.id == id.as_str());
    let more = card.and_then(|card| card.more.as_mut()).ok_or(Refusal::NotFound)?;
    set(more);
    Ok(ui::invalid_form(page.render(&Shell::of(&request, organisation, Section::Destinations))))
}

/// `POST /console/destinations/{destination}/pause`: sends nothing more until it is resumed.
async fn pause(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let administration = &request.call.api.administration;
    administration.pause_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(done(&request, Done::Paused))
}

/// `POST /console/destinations/{destination}/resume`: goes on where it stopped.
async fn resume(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let administration = &request.call.api.administration;
    administration.resume_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(done(&request, Done::Resumed))
}

/// `GET /console/destinations/{destination}/delete`: asks whether that is meant.
async fn ask_to_delete(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let destination =
        request.call.api.administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    Ok(ui::page(confirmation(&destination).render(&Shell::of(&request, &organisation, Section::Destinations))))
}

fn confirmation(destination: &Destination) -> Confirmation {
    Confirmation {
        question: "Delete this destination?".to_owned(),
        subject: destination.bucket.to_string(),
        consequences: vec![
            "Nothing more will be sent there. What is in the bucket stays there, and so do the bucket and the role.",
            "What is recorded meanwhile is kept, but a new destination's first delivery reaches back seven days only.",
        ],
        action: format!("/console/destinations/{}/delete", destination.id),
        back: Section::Destinations.path(),
    }
}

/// `POST /console/destinations/{destination}/delete`: nothing more is sent there.
async fn delete(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.parsed("destination")?;
    let administration = &request.call.api.administration;
    administration.delete_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(done(&request, Done::Deleted))
}

/// Back to the page, which says what was done.
fn done(request: &ConsoleRequest, done: Done) -> Response {
    ui::redirect(&format!("{}/console/destinations?done={}", request.call.base_path(), done.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_have_been_done_is_said_to_be() {
        for done in Done::ALL {
            assert_eq!(Done::named(done.as_str()), Some(*done));
        }
        for text in ["", "Saved", "hacked", "<script>", "saved "] {
            assert_eq!(Done::named(text), None, "{text}");
        }
    }

    #[test]
    fn every_conflict_that_can_be_is_said_in_the_form() {
        for conflict in [Conflict::BucketInUse, Conflict::RoleInUse, Conflict::Limit] {
            let mut form = form::creation(&samples::service(true));
            conflicting(conflict, &mut form).expect("is said in the form");
            assert!(form.is_invalid(), "{conflict:?}");
        }
        assert!(conflicting(Conflict::Changed, &mut form::creation(&samples::service(true))).is_err());
    }
}
