use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct PauseDestination;

impl Endpoint<Services> for PauseDestination {
    const ID: &'static str = "pauseDestination";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/pause";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Pause a destination")
            .description("Nothing is delivered until the destination is resumed. Events wait until they expire.")
            .response::<DestinationView<'_>>(200, "The destination is paused.")
            .problems(&[kind::CHANGED])
            .records(&["destination.pause"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.pause_destination(&call.organisation, &id, &call.actor()).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
