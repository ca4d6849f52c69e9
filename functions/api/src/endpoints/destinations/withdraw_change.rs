use annals_http::prelude::*;

use super::DestinationView;

pub(super) struct WithdrawChange;

impl Endpoint<Services> for WithdrawChange {
    const ID: &'static str = "withdrawChange";
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/change";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Withdraw the pending change of a destination")
            .description("The values in force stay. If no change is pending, this changes nothing.")
            .response::<DestinationView<'_>>(200, "No change is pending.")
            .problems(&[kind::CHANGED])
            .records(&["destination.update"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.withdraw_change(&call.organisation, &id, &call.actor()).await?;
        Ok(response::json(StatusCode::OK, &DestinationView::of(&call.organisation, &destination)))
    }
}
