use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct GetDestination;

impl Endpoint<Services> for GetDestination {
    const ID: &'static str = "getDestination";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Get a destination and its status")
            .description("The status says what was delivered, what is failing and why, and how to fix it.")
            .response::<DestinationView<'_>>(200, "The destination.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.destination(&call.organisation.id, &id).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
