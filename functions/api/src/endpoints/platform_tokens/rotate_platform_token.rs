use annals_core::token::RotationInput;
use annals_http::prelude::*;

use super::{PlatformTokenView, TEXT};

pub(super) struct RotatePlatformToken;

impl Endpoint<Services> for RotatePlatformToken {
    const ID: &'static str = "rotatePlatformToken";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/platform-tokens/{platformToken}/rotate";
    type Access = Platform;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Platform, "Replace a named token of the platform")
            .description(
                "Creates a successor with the same name and scopes. The token itself stays valid for a while, so that its \
                 holders can be switched over. The successor's text is shown only in this response. If the token \
                 expires, the request must say in `expiresAt` whether the successor does.",
            )
            .optional_request::<InputSchema<RotationInput>>()
            .response::<RotatedPlatformToken<'_>>(201, "The successor was created, and is valid at once.")
            .problems(&[kind::NOT_FOUND, kind::ROTATION_IN_PROGRESS, kind::TOKEN_LIMIT, kind::CHANGED])
    }

    async fn handle(services: Services, call: Call) -> Result<Response, Problem> {
        let id = call.path_parameter("platformToken")?;
        let input = RotationInput::parse(&call.body, services.clock.now())?;
        let rotation = services.administration.rotate_platform_token(&id, input).await?;
        let rotated = RotatedPlatformToken {
            created: PlatformTokenView::from(&rotation.token),
            token: rotation.text.reveal(),
            replaced: PlatformTokenView::from(&rotation.replaced),
        };
        Ok(response::json(StatusCode::CREATED, &rotated))
    }
}

/// A named token's successor. Its text is shown only in this response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RotatedPlatformToken")]
struct RotatedPlatformToken<'a> {
    #[serde(flatten)]
    created: PlatformTokenView<'a>,
    /// The successor's text, to be sent as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: &'a str,
    /// The token that it replaces, with the time at which that one expires.
    replaced: PlatformTokenView<'a>,
}
