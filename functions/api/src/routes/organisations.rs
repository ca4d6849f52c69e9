//! `/organisations`: the platform's calls that create, change and show its customers.

use annals_core::{
    administration::Put,
    fault::Fault,
    organisation::{Organisation, OrganisationId, OrganisationInput, Plan},
    time::Timestamp,
};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::routes::Link;
use annals_http::READERS;
use annals_http::{
    Services,
    call::{self, Call},
    operation::{Access, Method, Operation, Operations, Tag},
    problem::{Problem, kind},
    schema::{DISPLAY_NAME, Moment},
};

/// How many organisations one page shows.
const PAGE: usize = 100;

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    let one = "/organisations/{organisation}";
    to.operation(Method::Get, "/organisations", list, || {
        Operation::new(Tag::Organisations, Access::Platform, "listOrganisations", "List organisations")
            .details("By id, a hundred a page. Follow `_links.next` while there is one.")
            .query::<ListParameters>()
            .answers::<OrganisationPage<'_>>(200, "A page of organisations.")
    })
    .operation(Method::Put, one, put, || {
        Operation::new(Tag::Organisations, Access::Platform, "putOrganisation", "Create or change an organisation")
            .details(
                "What the body leaves out stays as it is, or gets its default. A plan that includes fewer destinations \
                 disables those beyond it; one that includes them again enables them. Asking for what is so already \
                 changes and records nothing.",
            )
            .takes::<OrganisationInputSchema>()
            .answers::<OrganisationView<'_>>(200, "It was there, and is as the body says.")
            .answers::<OrganisationView<'_>>(201, "It was created.")
            .refuses(&[kind::CHANGED])
            .leaves(&["organisation.create", "organisation.update"])
    })
    .operation(Method::Get, one, show, || {
        Operation::new(Tag::Organisations, Access::Roles(READERS), "getOrganisation", "Show an organisation")
            .answers::<OrganisationView<'_>>(200, "The organisation.")
    })
}

/// `PUT /organisations/{organisation}`: creates or changes one.
pub async fn put(call: Call) -> Result<Response, Problem> {
    call.platform_only()?;
    let id = call.organisation_id()?;
    let input = OrganisationInput::parse(&call.body)?;
    Ok(match call.api.administration.put_organisation(&id, input, &call.actor()).await? {
        Put::Created(organisation) => call::json(StatusCode::CREATED, &view(&organisation)),
        Put::Updated(organisation) => call::json(StatusCode::OK, &view(&organisation)),
    })
}

/// `GET /organisations/{organisation}`: one.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    Ok(call::json(StatusCode::OK, &view(&organisation)))
}

/// `GET /organisations`: all, by id, page by page.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.platform_only()?;
    let mut after: Option<OrganisationId> = None;
    for (name, value) in form_urlencoded::parse(call.query().as_bytes()) {
        if name != "after" {
            return Err(Fault::parameter(name, "is no parameter of this call: it has after").into());
        }
        if after.is_some() {
            return Err(Fault::parameter("after", "is given twice").into());
        }
        after = Some(value.parse().map_err(|error| Fault::parameter("after", format!("{error}")))?);
    }
    let organisations = call.api.administration.organisations(after.as_ref(), PAGE).await?;
    let last = organisations.last().filter(|_| organisations.len() == PAGE);
    let next = last.map(|last| Link { href: format!("{}?after={}", call.base(), last.id) });
    let page = OrganisationPage {
        organisations: organisations.iter().map(view).collect(),
        links: PageLinks { own: Link { href: call.base() }, next },
    };
    Ok(call::json(StatusCode::OK, &page))
}

fn view(organisation: &Organisation) -> OrganisationView<'_> {
    OrganisationView {
        id: organisation.id.as_str(),
        name: &organisation.name,
        plan: organisation.plan.as_str(),
        retention_days: organisation.retention.days(),
        external_id: &organisation.external_id,
        created_at: organisation.created_at,
    }
}

/// A customer of the platform.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Organisation")]
struct OrganisationView<'a> {
    /// Its id, as the platform chose it.
    id: &'a str,
    /// Its name. Every event carries the name that was in force.
    name: &'a str,
    /// Its plan: `enterprise` and `enterprise_trial` include one destination.
    #[schemars(extend("enum" = plans()))]
    plan: &'a str,
    /// How many days events that are recorded from now on are kept.
    #[schemars(range(min = 7, max = 3650))]
    retention_days: u16,
    /// The external ID that is sent with every AssumeRole to one of its roles.
    external_id: &'a str,
    /// When it was created.
    #[schemars(with = "Moment")]
    created_at: Timestamp,
}

/// Organisations by id.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganisationPage<'a> {
    organisations: Vec<OrganisationView<'a>>,
    #[serde(rename = "_links")]
    links: PageLinks,
}

/// Where this page is, and the next, if there may be one.
#[derive(Debug, Serialize, JsonSchema)]
struct PageLinks {
    #[serde(rename = "self")]
    own: Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
}

/// Where the list begins.
#[derive(Debug, JsonSchema)]
pub struct ListParameters {
    /// Only organisations whose id sorts behind this one.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"))]
    pub after: Option<String>,
}

/// What an organisation shall be.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "OrganisationInput", rename_all = "camelCase", deny_unknown_fields)]
pub struct OrganisationInputSchema {
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = DISPLAY_NAME))]
    pub name: String,
    /// Its plan; `free` where a new one names none.
    #[schemars(extend("enum" = plans()))]
    pub plan: Option<String>,
    /// How many days events that are recorded from now on are kept; 90 where a new one names none.
    #[schemars(range(min = 7, max = 3650))]
    pub retention_days: Option<u16>,
}

fn plans() -> Vec<&'static str> {
    Plan::ALL.iter().map(|plan| plan.as_str()).collect()
}
