//! An organisation's tokens.
//!
//! Only the platform creates, replaces and revokes producers' tokens. The log also records what administrators do. If
//! they controlled these tokens, they could stop the recording or write false events.

mod create_token;
mod list_tokens;
mod revoke_token;
mod rotate_token;

use annals_core::{
    organisation::Organisation,
    time::Timestamp,
    token::{Role, Token, TokenId},
};
use annals_http::{Services, call::Call, endpoint::Endpoints, problem::Problem, schema::Moment};
use schemars::JsonSchema;
use serde::Serialize;

use self::{create_token::CreateToken, list_tokens::ListTokens, revoke_token::RevokeToken, rotate_token::RotateToken};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints.endpoint::<CreateToken>().endpoint::<ListTokens>().endpoint::<RevokeToken>().endpoint::<RotateToken>()
}

/// Returns the id of the token in the path, if the caller may change tokens of its role.
async fn changeable(services: &Services, call: &Call<Organisation>) -> Result<TokenId, Problem> {
    let id = call.path_parameter("token")?;
    let token = services.administration.token(&call.organisation.id, &id).await?;
    if token.role == Role::Producer {
        call.require_platform()?;
    }
    Ok(id)
}

/// A token, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Token")]
struct TokenView<'a> {
    /// The id, a part of the token's text.
    #[schemars(regex(pattern = "^[A-Za-z0-9]{12}$"))]
    id: &'a str,
    /// The name that its holders know it by.
    name: &'a str,
    #[schemars(extend("enum" = roles()))]
    role: &'static str,
    #[schemars(with = "Moment")]
    created_at: Timestamp,
    /// When the token expires; null: never.
    #[schemars(with = "Option<Moment>")]
    expires_at: Option<Timestamp>,
    /// When the token was last used, to the hour; null: never.
    #[schemars(with = "Option<Moment>")]
    last_used_at: Option<Timestamp>,
    /// The id of the token that this one replaces.
    replaces: Option<&'a str>,
    /// The id of the token that replaces this one.
    replaced_by: Option<&'a str>,
}

impl<'a> From<&'a Token> for TokenView<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            id: token.id.as_str(),
            name: &token.name,
            role: token.role.as_str(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            replaces: token.replaces.as_ref().map(TokenId::as_str),
            replaced_by: token.replaced_by.as_ref().map(TokenId::as_str),
        }
    }
}

/// The form of a token's text.
const TEXT: &str = "^annals_[A-Za-z0-9]{12}_[A-Za-z0-9]{38}$";

fn roles() -> Vec<&'static str> {
    Role::ALL.iter().map(|role| role.as_str()).collect()
}
