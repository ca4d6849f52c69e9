use annals_http::prelude::*;

use super::OrganisationView;

pub(super) struct GetOrganisation;

impl Endpoint<Services> for GetOrganisation {
    const ID: &'static str = "getOrganisation";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}";
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Organisations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "Get an organisation")
            .description("Its name, plan and retention. What it recorded is at `/organisations/{organisation}/audit`.")
            .response::<OrganisationView<'_>>(200, "The organisation.")
    }

    async fn handle(_: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        Ok(response::json(StatusCode::OK, &OrganisationView::from(&call.organisation)))
    }
}
