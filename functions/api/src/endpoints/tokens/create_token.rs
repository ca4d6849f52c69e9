use annals_core::token::{Role, TokenInput};
use annals_http::prelude::*;

use super::{TEXT, TokenView};

pub(super) struct CreateToken;

impl Endpoint<Services> for CreateToken {
    const ID: &'static str = "createToken";
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/organisations/{organisation}/tokens";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Tokens);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Tokens, "Create a token")
            .description(
                "The token's text is shown only in this response. Only the platform creates producers' tokens.",
            )
            .request::<InputSchema<TokenInput>>()
            .response::<CreatedToken<'_>>(201, "The token was created, and is valid at once.")
            .problems(&[kind::TOKEN_LIMIT, kind::CHANGED])
            .records(&["token.create"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let input = TokenInput::parse(&call.body, services.clock.now())?;
        if input.role == Role::Producer {
            call.require_platform()?;
        }
        let (token, text) = services.administration.create_token(&call.organisation, input, &call.actor()).await?;
        let created = CreatedToken { created: TokenView::from(&token), token: text.reveal() };
        Ok(response::json(StatusCode::CREATED, &created))
    }
}

/// A new token. Its text is shown only in this response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CreatedToken")]
struct CreatedToken<'a> {
    #[serde(flatten)]
    created: TokenView<'a>,
    /// The token's text, to be sent as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: &'a str,
}
