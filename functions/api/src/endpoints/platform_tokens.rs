//! The platform's named tokens. Only the deployment's own token may make these calls: a leaked named token cannot gain scopes,
//! and cannot lock out its owner.

mod create_platform_token;
mod list_platform_tokens;
mod revoke_platform_token;
mod rotate_platform_token;

use annals_core::{
    platform::{PlatformScope, PlatformToken},
    time::Timestamp,
    token::TokenId,
};
use annals_http::{Services, endpoint::Endpoints, schema::Moment};
use schemars::JsonSchema;
use serde::Serialize;

use self::{
    create_platform_token::CreatePlatformToken, list_platform_tokens::ListPlatformTokens,
    revoke_platform_token::RevokePlatformToken, rotate_platform_token::RotatePlatformToken,
};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints
        .endpoint::<CreatePlatformToken>()
        .endpoint::<ListPlatformTokens>()
        .endpoint::<RevokePlatformToken>()
        .endpoint::<RotatePlatformToken>()
}

/// A named token of the platform, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PlatformToken")]
struct PlatformTokenView<'a> {
    /// The id, a part of the token's text. Events that it recorded have `recordedBy` `platform/` and this id.
    #[schemars(regex(pattern = "^[A-Za-z0-9]{12}$"))]
    id: &'a str,
    /// The name of the part of your product that holds it.
    name: &'a str,
    #[schemars(extend("items" = serde_json::json!({"type": "string", "enum": scopes()})))]
    scopes: Vec<&'static str>,
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

impl<'a> From<&'a PlatformToken> for PlatformTokenView<'a> {
    fn from(token: &'a PlatformToken) -> Self {
        Self {
            id: token.id.as_str(),
            name: &token.name,
            scopes: token.scope_names(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            replaces: token.replaces.as_ref().map(TokenId::as_str),
            replaced_by: token.replaced_by.as_ref().map(TokenId::as_str),
        }
    }
}

/// The form of a token's text.
const TEXT: &str = "^annals_platform_[A-Za-z0-9]{12}_[A-Za-z0-9]{38}$";

fn scopes() -> Vec<&'static str> {
    PlatformScope::ALL.iter().map(|scope| scope.as_str()).collect()
}
