//! `/organisations/{organisation}/portal-links`: the way to an organisation's page.

use annals_core::{portal::PortalLinkInput, time::Timestamp};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use annals_http::{
    Services,
    call::{self, Call},
    operation::{Access, Method, Operation, Operations, Tag},
    problem::Problem,
    schema::{DISPLAY_NAME, Href, Moment},
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    to.operation(Method::Post, "/organisations/{organisation}/portal-links", create, || {
        Operation::new(Tag::Organisations, Access::Platform, "createPortalLink", "Create a link to the organisation's page")
            .details(
                "For your product to send its signed-in user's browser to, or an iframe: whoever opens it first has a \
                 session of half an hour. It can be opened once, within five minutes. What the user does there is recorded \
                 under the name that is given here.",
            )
            .takes::<PortalLinkInputSchema>()
            .answers::<PortalLinkView>(201, "The link. It is shown here and nowhere else.")
            .leaves(&["portal_link.create"])
    })
}

/// `POST …/portal-links`: a link that somebody of the organisation opens once, and soon.
pub async fn create(call: Call) -> Result<Response, Problem> {
    call.platform_only()?;
    let organisation = call.organisation(&[]).await?;
    let input = PortalLinkInput::parse(&call.body)?;
    let (link, token) = call.api.administration.create_portal_link(&organisation, input, &call.actor()).await?;
    let view = PortalLinkView {
        url: format!("{}/console/enter/{}", call.root(), token.reveal()),
        role: link.role.as_str(),
        user: UserView { id: link.user.id, name: link.user.name, email: link.user.email },
        expires_at: link.expires_at,
    };
    Ok(call::json(StatusCode::CREATED, &view))
}

/// Who is to be let in.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "PortalLinkInput", deny_unknown_fields)]
pub struct PortalLinkInputSchema {
    /// What may be done on the page: an admin manages destination and tokens and reads the log, an auditor reads the log.
    #[schemars(extend("enum" = ["admin", "auditor"]))]
    pub role: String,
    /// Who it is, as your product knows them. Without it, events name the role alone.
    pub user: Option<UserSchema>,
}

/// Somebody, as your product knows them.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "UserInput", deny_unknown_fields)]
pub struct UserSchema {
    /// Their id in your product.
    #[schemars(length(max = 200), regex(pattern = DISPLAY_NAME))]
    pub id: String,
    /// Their name.
    #[schemars(length(max = 200), regex(pattern = DISPLAY_NAME))]
    pub name: String,
    /// Their e-mail address.
    #[schemars(length(max = 254), regex(pattern = DISPLAY_NAME))]
    pub email: Option<String>,
}

/// Somebody, as your product knows them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
struct UserView {
    /// Their id in your product.
    id: String,
    /// Their name.
    name: String,
    /// Their e-mail address; null where it was not given.
    email: Option<String>,
}

/// A link to an organisation's page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PortalLink")]
struct PortalLinkView {
    /// Where to send the browser.
    #[schemars(with = "Href")]
    url: String,
    /// What may be done there.
    #[schemars(extend("enum" = ["admin", "auditor"]))]
    role: &'static str,
    /// Who is expected.
    user: UserView,
    /// From when on it is refused.
    #[schemars(with = "Moment")]
    expires_at: Timestamp,
}
