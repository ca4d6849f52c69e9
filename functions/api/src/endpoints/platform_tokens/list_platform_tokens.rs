use annals_http::prelude::*;

use super::PlatformTokenView;

pub(super) struct ListPlatformTokens;

impl Endpoint<Services> for ListPlatformTokens {
    const ID: &'static str = "listPlatformTokens";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/platform-tokens";
    type Access = Platform;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Platform, "List the platform's named tokens")
            .description(
                "Each with its id, scopes, end and last use. Ended tokens stay in the list until their space is needed.",
            )
            .response::<PlatformTokenList<'_>>(200, "The named tokens without their texts, the oldest first.")
    }

    async fn handle(services: Services, _: Call) -> Result<Response, Problem> {
        let tokens = services.administration.platform_tokens().await?;
        let list = PlatformTokenList { tokens: tokens.iter().map(PlatformTokenView::from).collect() };
        Ok(response::json(StatusCode::OK, &list))
    }
}

/// The platform's named tokens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlatformTokenList")]
struct PlatformTokenList<'a> {
    tokens: Vec<PlatformTokenView<'a>>,
}
