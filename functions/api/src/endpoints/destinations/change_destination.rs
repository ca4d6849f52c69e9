use annals_core::administration::DestinationPatch;
use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct ChangeDestination;

impl Endpoint<Services> for ChangeDestination {
    const ID: &'static str = "changeDestination";
    const METHOD: Method = Method::Patch;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Change a destination")
            .description(
                "Members that the body leaves out keep their values. Another bucket, role, prefix or bucket owner replaces the \
                 current one at once if the current role is not proven. Otherwise it becomes the pending change: events are \
                 delivered to the current place until the new role is proven and an object was written to the new bucket, which a \
                 test does at once. Then the change takes over, and delivery continues where it was. Members that the body leaves \
                 out keep the values of the pending change, if there is one. The current values withdraw it. The region of \
                 another bucket is detected, unless the body names it.",
            )
            .request::<InputSchema<DestinationPatch>>()
            .response::<DestinationView<'_>>(200, "The destination has the values of the body, or they are pending.")
            .problems(&[kind::CHANGED])
            .records(&["destination.update"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.destination(&call.organisation.id, &id).await?;
        let patch = DestinationPatch::parse(&call.body, &destination, &services.service)?;
        let actor = call.actor();
        let destination = services.administration.change_destination(&call.organisation, &id, patch, &actor).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
