//! Deleting a destination, after a question.

use annals_core::destination::{Destination, DestinationId};
use annals_http::ADMINISTRATORS;

use super::{page::Done, redirect};
use crate::{confirmation::Confirmation, prelude::*};

/// `GET /console/destinations/{destination}/delete`
pub(super) async fn ask(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    let destination = administration.destination(&organisation.id, &id).await.map_err(Problem::from)?;
    let shell = Shell::of(&request, &organisation, Section::Destinations);
    Ok(ui::page(confirmation(&destination).render(&shell)))
}

/// `POST /console/destinations/{destination}/delete`
pub(super) async fn delete(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    administration.delete_destination(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(redirect(&request, Done::Deleted, &id))
}

fn confirmation(destination: &Destination) -> Confirmation {
    Confirmation {
        question: "Delete this destination?".to_owned(),
        subject: destination.bucket.to_string(),
        consequences: vec![
            "No more events will be sent to this bucket. The bucket, its objects and the role stay in your account.",
            "Events are still recorded. The first delivery of a new destination only reaches back seven days.",
        ],
        action: format!("/console/destinations/{}/delete", destination.id),
        back: Section::Destinations.path(),
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    let shell = Shell::sample(Section::Destinations);
    vec![("delete a destination", confirmation(&super::fixtures::longest()).render(&shell))]
}
