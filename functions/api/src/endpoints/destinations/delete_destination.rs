use annals_http::prelude::*;

pub(super) struct DeleteDestination;

impl Endpoint<Services> for DeleteDestination {
    const ID: &'static str = "deleteDestination";
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Delete a destination")
            .description("Nothing more is delivered. Delivered objects stay in the bucket.")
            .empty_response(204, "The destination is deleted.")
            .problems(&[kind::CHANGED])
            .records(&["destination.delete"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        services.administration.delete_destination(&call.organisation, &id, &call.actor()).await?;
        Ok(response::no_content())
    }
}
