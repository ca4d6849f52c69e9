use annals_core::administration::SettingsPatch;
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
                "Members that the body leaves out keep their values. Bucket and role cannot be changed: create another \
                 destination instead.",
            )
            .request::<InputSchema<SettingsPatch>>()
            .response::<DestinationView<'_>>(200, "The destination has the values of the body.")
            .problems(&[kind::CHANGED])
            .records(&["destination.update"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.destination(&call.organisation.id, &id).await?;
        let patch = SettingsPatch::parse(&call.body, &destination.role_arn)?;
        let actor = call.actor();
        let destination = services.administration.change_destination(&call.organisation, &id, patch, &actor).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
