use annals_http::prelude::*;

pub(super) struct RevokePlatformToken;

impl Endpoint<Services> for RevokePlatformToken {
    const ID: &'static str = "revokePlatformToken";
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/platform-tokens/{platformToken}";
    type Access = Platform;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Platform, "Revoke a named token of the platform")
            .description("The token is invalid from now on.")
            .empty_response(204, "The token is revoked.")
            .problems(&[kind::NOT_FOUND, kind::CHANGED])
    }

    async fn handle(services: Services, call: Call) -> Result<Response, Problem> {
        let id = call.path_parameter("platformToken")?;
        services.administration.revoke_platform_token(&id).await?;
        Ok(response::no_content())
    }
}
