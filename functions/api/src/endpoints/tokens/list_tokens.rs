use annals_http::prelude::*;

use super::TokenView;

pub(super) struct ListTokens;

impl Endpoint<Services> for ListTokens {
    const ID: &'static str = "listTokens";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/tokens";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Tokens);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Tokens, "List tokens")
            .description(
                "Each with its id, role, end and last use. Ended tokens stay in the list until their space is needed.",
            )
            .response::<TokenList<'_>>(200, "The organisation's tokens without their texts, the oldest first.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let tokens = services.administration.tokens(&call.organisation.id).await?;
        let list = TokenList { tokens: tokens.iter().map(TokenView::from).collect() };
        Ok(response::json(StatusCode::OK, &list))
    }
}

/// An organisation's tokens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TokenList")]
struct TokenList<'a> {
    tokens: Vec<TokenView<'a>>,
}
