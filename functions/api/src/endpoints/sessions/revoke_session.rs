use annals_http::prelude::*;

pub(super) struct RevokeSession;

impl Endpoint<Services> for RevokeSession {
    const ID: &'static str = "revokeSession";
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/organisations/{organisation}/sessions/{session}";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::PortalLinks);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "End a session")
            .description("The next page that its user opens says that the session has ended.")
            .empty_response(204, "The session has ended.")
            .records(&["session.revoke"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("session")?;
        services.administration.revoke_session(&call.organisation, &id, &call.actor()).await?;
        Ok(response::no_content())
    }
}
