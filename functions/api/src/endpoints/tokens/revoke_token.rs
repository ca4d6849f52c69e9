use annals_http::prelude::*;

use super::changeable;

pub(super) struct RevokeToken;

impl Endpoint<Services> for RevokeToken {
    const ID: &'static str = "revokeToken";
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/organisations/{organisation}/tokens/{token}";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Tokens);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Tokens, "Revoke a token")
            .description("The token is invalid from now on. Only the platform revokes producers' tokens.")
            .empty_response(204, "The token is revoked.")
            .records(&["token.revoke"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = changeable(&services, &call).await?;
        services.administration.revoke_token(&call.organisation, &id, &call.actor()).await?;
        Ok(response::no_content())
    }
}
