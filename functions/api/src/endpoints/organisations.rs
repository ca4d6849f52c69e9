//! The platform's customers.

mod create_portal_link;
mod get_organisation;
mod get_usage;
mod list_organisations;
mod put_organisation;

use annals_core::{
    organisation::{Organisation, Plan},
    time::Timestamp,
};
use annals_http::{Services, endpoint::Endpoints, schema::Moment};
use schemars::JsonSchema;
use serde::Serialize;

use self::{
    create_portal_link::CreatePortalLink, get_organisation::GetOrganisation, get_usage::GetUsage,
    list_organisations::ListOrganisations, put_organisation::PutOrganisation,
};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints
        .endpoint::<ListOrganisations>()
        .endpoint::<PutOrganisation>()
        .endpoint::<GetOrganisation>()
        .endpoint::<CreatePortalLink>()
        .endpoint::<GetUsage>()
}

/// A customer of the platform.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Organisation")]
struct OrganisationView<'a> {
    /// The id, which the platform chose.
    id: &'a str,
    /// The name. Each event carries the name at the time it was recorded.
    name: &'a str,
    /// The plan: `enterprise` and `enterprise_trial` include one destination.
    #[schemars(extend("enum" = plans()))]
    plan: &'a str,
    /// How many days events that are recorded from now on are kept.
    #[schemars(range(min = 7, max = 3650))]
    retention_days: u16,
    /// The external ID that Annals sends with every AssumeRole to one of the organisation's roles.
    external_id: &'a str,
    /// When the organisation was created.
    #[schemars(with = "Moment")]
    created_at: Timestamp,
}

impl<'a> From<&'a Organisation> for OrganisationView<'a> {
    fn from(organisation: &'a Organisation) -> Self {
        Self {
            id: organisation.id.as_str(),
            name: &organisation.name,
            plan: organisation.plan.as_str(),
            retention_days: organisation.retention.days(),
            external_id: &organisation.external_id,
            created_at: organisation.created_at,
        }
    }
}

fn plans() -> Vec<&'static str> {
    Plan::ALL.iter().map(|plan| plan.as_str()).collect()
}
