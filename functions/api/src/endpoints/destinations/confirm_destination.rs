use annals_core::administration::ConfirmInput;
use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct ConfirmDestination;

impl Endpoint<Services> for ConfirmDestination {
    const ID: &'static str = "confirmDestination";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/confirm";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Prove a role by the code in the test object")
            .description(
                "Needed only for a role that accepts any external ID. Test the destination, read the code in the test object, \
                 and send it here. A code is valid for a day and for five attempts. If the role is proven already, this \
                 changes nothing.",
            )
            .request::<InputSchema<ConfirmInput>>()
            .response::<DestinationView<'_>>(200, "The role is proven. Delivery begins within ten minutes.")
            .problems(&[kind::NO_CODE, kind::CHANGED])
            .records(&["destination.confirm"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let input = ConfirmInput::parse(&call.body)?;
        let administration = &services.administration;
        let destination = administration.confirm_destination(&call.organisation, &id, &input, &call.actor()).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
