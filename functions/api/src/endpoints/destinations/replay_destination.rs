use annals_core::administration::ReplayInput;
use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct ReplayDestination;

impl Endpoint<Services> for ReplayDestination {
    const ID: &'static str = "replayDestination";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/replay";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Deliver a range of events again")
            .description("The objects have keys of their own, below `replay/` and the replay's id.")
            .request::<InputSchema<ReplayInput>>()
            .response::<DestinationView<'_>>(202, "The replay begins within ten minutes.")
            .problems(&[kind::REPLAY_IN_PROGRESS, kind::NOTHING_TO_REPLAY, kind::CHANGED])
            .records(&["destination.replay"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let input = ReplayInput::parse(&call.body)?;
        let destination = services.administration.replay(&call.organisation, &id, input, &call.actor()).await?;
        Ok(response::json(StatusCode::ACCEPTED, &DestinationView::of(&call.organisation, &destination)))
    }
}
