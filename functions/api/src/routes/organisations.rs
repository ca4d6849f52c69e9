//! `/organisations`: the platform's calls that create, change and show its customers.

use annals_core::{
    administration::Put,
    fault::Fault,
    organisation::{Organisation, OrganisationId, OrganisationInput},
};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::READERS,
};

/// How many organisations one page shows.
const PAGE: usize = 100;

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
    let mut links = json!({"self": {"href": call.base()}});
    if let Some(last) = organisations.last().filter(|_| organisations.len() == PAGE) {
        links["next"] = json!({"href": format!("{}?after={}", call.base(), last.id)});
    }
    let organisations: Vec<Value> = organisations.iter().map(view).collect();
    Ok(call::json(StatusCode::OK, &json!({"organisations": organisations, "_links": links})))
}

fn view(organisation: &Organisation) -> Value {
    json!({
        "id": organisation.id.as_str(),
        "name": organisation.name,
        "plan": organisation.plan.as_str(),
        "retentionDays": organisation.retention.days(),
        "externalId": organisation.external_id,
        "createdAt": organisation.created_at,
    })
}
