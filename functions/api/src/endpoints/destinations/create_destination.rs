use annals_core::administration::DestinationInput;
use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct CreateDestination;

impl Endpoint<Services> for CreateDestination {
    const ID: &'static str = "createDestination";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Create a destination")
            .description(
                "Delivery begins with the first event of the last seven days. The destination's setup lists what its role \
                 needs, and its connection test shows whether that works. Events are delivered once the role is proven to be \
                 meant for this organisation: at once if it requires the external ID, else by the code in the test object.",
            )
            .request::<InputSchema<DestinationInput>>()
            .response::<DestinationView<'_>>(201, "The destination was created. Delivery begins within ten minutes.")
            .problems(&[kind::PLAN_LIMIT, kind::CHANGED])
            .records(&["destination.create"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let input = DestinationInput::parse(&call.body, &services.service)?;
        let destination = services.administration.create_destination(&call.organisation, input, &call.actor()).await?;
        Ok(response::json(StatusCode::CREATED, &DestinationView::of(&call.organisation, &destination)))
    }
}
