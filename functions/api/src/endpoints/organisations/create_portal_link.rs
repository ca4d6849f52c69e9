use annals_core::{portal::PortalLinkInput, time::Timestamp};
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
            .response::<PortalLinkView>(201, "The link. It is shown only in this response.")
            .records(&["portal_link.create"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let input = PortalLinkInput::parse(&call.body)?;
        let (link, token) =
            services.administration.create_portal_link(&call.organisation, input, &call.actor()).await?;
        let view = PortalLinkView {
            url: format!("{}/console/enter/{}", call.root_url(), token.reveal()),
            role: link.role.as_str(),
            user: link.user.into(),
            expires_at: link.expires_at,
        };
        Ok(response::json(StatusCode::CREATED, &view))
    }
}

/// A link to an organisation's page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PortalLink")]
struct PortalLinkView {
    /// The URL for the browser.
    #[schemars(with = "Href")]
    url: String,
    /// The role on the page.
    #[schemars(extend("enum" = ["admin", "auditor"]))]
    role: &'static str,
    /// The user whom events name.
    user: UserView,
    /// When the link expires if nobody opens it.
    #[schemars(with = "Moment")]
    expires_at: Timestamp,
}
