use annals_core::token::RotationInput;
use annals_http::prelude::*;

use super::{TEXT, TokenView, changeable};

pub(super) struct RotateToken;

impl Endpoint<Services> for RotateToken {
    const ID: &'static str = "rotateToken";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/tokens/{token}/rotate";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Tokens);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Tokens, "Replace a token")
            .description(
                "Creates a successor with the same name and role. The token itself stays valid for a while, so that its \
                 holders can be switched over. The successor's text is shown only in this response. If the token \
                 expires, the request must say in `expiresAt` whether the successor does. Only the platform replaces \
                 producers' tokens.",
            )
            .optional_request::<InputSchema<RotationInput>>()
            .response::<RotatedToken<'_>>(201, "The successor was created, and is valid at once.")
            .problems(&[kind::ROTATION_IN_PROGRESS, kind::TOKEN_LIMIT, kind::CHANGED])
            .records(&["token.rotate"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = changeable(&services, &call).await?;
        let input = RotationInput::parse(&call.body, services.clock.now())?;
        let rotation = services.administration.rotate_token(&call.organisation, &id, input, &call.actor()).await?;
        let rotated = RotatedToken {
            created: TokenView::from(&rotation.token),
            token: rotation.text.reveal(),
            replaced: TokenView::from(&rotation.replaced),
        };
        Ok(response::json(StatusCode::CREATED, &rotated))
    }
}

/// A token's successor. Its text is shown only in this response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RotatedToken")]
struct RotatedToken<'a> {
    #[serde(flatten)]
    created: TokenView<'a>,
    /// The successor's text, to be sent as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: &'a str,
    /// The token that it replaces, with the time at which that one expires.
    replaced: TokenView<'a>,
}
