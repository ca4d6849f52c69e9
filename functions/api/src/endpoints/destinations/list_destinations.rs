use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct ListDestinations;

impl Endpoint<Services> for ListDestinations {
    const ID: &'static str = "listDestinations";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/destinations";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "List destinations")
            .description("Each with its settings and its status, so that one call shows whether delivery works.")
            .response::<DestinationList<'_>>(200, "The organisation's destinations with their status.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let destinations = services.administration.destinations(&call.organisation.id).await?;
        let view = |destination| DestinationView::of(&call.organisation, destination);
        let list = DestinationList { destinations: destinations.iter().map(view).collect() };
        Ok(response::json(StatusCode::OK, &list))
    }
}

/// An organisation's destinations.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DestinationList")]
struct DestinationList<'a> {
    destinations: Vec<DestinationView<'a>>,
}
