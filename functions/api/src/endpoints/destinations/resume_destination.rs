use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct ResumeDestination;

impl Endpoint<Services> for ResumeDestination {
    const ID: &'static str = "resumeDestination";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/resume";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Resume a destination")
            .description("Delivery continues where it stopped.")
            .response::<DestinationView<'_>>(200, "The destination is not paused.")
            .problems(&[kind::CHANGED])
            .records(&["destination.resume"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.resume_destination(&call.organisation, &id, &call.actor()).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
