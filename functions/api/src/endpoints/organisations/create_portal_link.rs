use annals_core::{
    portal::{ConsolePath, PortalLinkInput, ReturnUrl},
    time::Timestamp,
};
use annals_http::prelude::*;
use annals_http::{
    access::PlatformForOrganisation,
    schema::{Href, Moment},
};

use super::super::UserView;

pub(super) struct CreatePortalLink;

impl Endpoint<Services> for CreatePortalLink {
    const ID: &'static str = "createPortalLink";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/portal-links";
    type Access = PlatformForOrganisation;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::PortalLinks);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "Create a link to the organisation's page")
            .description(
                "Your product redirects its signed-in user's browser to the link, or uses it in an iframe. The page shows \
                 who signs in to which audit log, and a click starts a session, which ends after 30 minutes without use \
                 and after 8 hours. The link can be opened once, within five minutes. Events of what the user does on \
                 the page name the user of this request.",
            )
            .request::<InputSchema<PortalLinkInput>>()
            .response::<PortalLinkView<'_>>(201, "The link. It is shown only in this response.")
            .records(&["portal_link.create"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let input = PortalLinkInput::parse(&call.body)?;
        let (link, token) =
            services.administration.create_portal_link(&call.organisation, input, &call.actor()).await?;
        let view = PortalLinkView {
            url: format!("{}/console/enter/{}", call.root_url(), token.reveal()),
            role: link.role.as_str(),
            user: link.user.clone().into(),
            path: link.path.as_ref().map(ConsolePath::as_str),
            return_url: link.return_url.as_ref().map(ReturnUrl::as_str),
            expires_at: link.expires_at,
        };
        Ok(response::json(StatusCode::CREATED, &view))
    }
}

/// A link to an organisation's page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PortalLink")]
struct PortalLinkView<'a> {
    /// The URL for the browser.
    #[schemars(with = "Href")]
    url: String,
    /// The role on the page.
    #[schemars(extend("enum" = ["admin", "auditor"]))]
    role: &'static str,
    /// The user whom events name.
    user: UserView,
    /// The page that the link opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// The page of your product that the console leads back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    /// When the link expires if nobody opens it.
    #[schemars(with = "Moment")]
    expires_at: Timestamp,
}
