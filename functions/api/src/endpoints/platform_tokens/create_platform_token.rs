use annals_core::platform::PlatformTokenInput;
use annals_http::prelude::*;

use super::{PlatformTokenView, TEXT};

pub(super) struct CreatePlatformToken;

impl Endpoint<Services> for CreatePlatformToken {
    const ID: &'static str = "createPlatformToken";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/platform-tokens";
    type Access = Platform;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Platform, "Create a named token of the platform")
            .description(
                "The token may make the calls of its scopes for every organisation. Its text is shown only in this response.",
            )
            .request::<InputSchema<PlatformTokenInput>>()
            .response::<CreatedPlatformToken<'_>>(201, "The token was created, and is valid at once.")
            .problems(&[kind::TOKEN_LIMIT, kind::CHANGED])
    }

    async fn handle(services: Services, call: Call) -> Result<Response, Problem> {
        let input = PlatformTokenInput::parse(&call.body, services.clock.now())?;
        let (token, text) = services.administration.create_platform_token(input).await?;
        let created = CreatedPlatformToken { created: PlatformTokenView::from(&token), token: text.reveal() };
        Ok(response::json(StatusCode::CREATED, &created))
    }
}

/// A new named token of the platform. Its text is shown only in this response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CreatedPlatformToken")]
struct CreatedPlatformToken<'a> {
    #[serde(flatten)]
    created: PlatformTokenView<'a>,
    /// The token's text, to be sent as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: &'a str,
}
