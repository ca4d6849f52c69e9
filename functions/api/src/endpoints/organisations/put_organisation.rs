use annals_core::{administration::Put, organisation::OrganisationInput};
use annals_http::prelude::*;

use super::OrganisationView;

pub(super) struct PutOrganisation;

impl Endpoint<Services> for PutOrganisation {
    const ID: &'static str = "putOrganisation";
    const METHOD: Method = Method::Put;
    const PATH: &'static str = "/organisations/{organisation}";
    type Access = Platform;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Organisations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "Create or change an organisation")
            .description(
                "Members that the body leaves out keep their values, or get their defaults in a new organisation. A plan \
                 that includes fewer destinations disables the surplus; a plan that includes them enables them again. A \
                 request that changes nothing records no event.",
            )
            .request::<InputSchema<OrganisationInput>>()
            .response::<OrganisationView<'_>>(200, "The organisation existed, and has the values of the body.")
            .response::<OrganisationView<'_>>(201, "The organisation was created.")
            .problems(&[kind::CHANGED])
            .records(&["organisation.create", "organisation.update"])
    }

    async fn handle(services: Services, call: Call) -> Result<Response, Problem> {
        let id = call.organisation_id()?;
        let input = OrganisationInput::parse(&call.body)?;
        let (status, organisation) = match services.administration.put_organisation(&id, input, &call.actor()).await? {
            Put::Created(organisation) => (StatusCode::CREATED, organisation),
            Put::Updated(organisation) => (StatusCode::OK, organisation),
        };
        Ok(response::json(status, &OrganisationView::from(&organisation)))
    }
}
