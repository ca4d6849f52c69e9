//! How tokens are described.

#![expect(dead_code, reason = "forms of JSON: they are described, and never made")]

use annals_core::token::{MAX_OVERLAP, Role};
use schemars::JsonSchema;

use super::{create, list, revoke, rotate};
use annals_http::{
    ADMINISTRATORS, Services,
    operation::{Access, Method, Operation, Operations, Tag},
    problem::kind,
    schema::{DISPLAY_NAME, Moment, SentMoment, SentMomentOrNull},
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    let all = "/organisations/{organisation}/tokens";
    let one = "/organisations/{organisation}/tokens/{token}";
    let new = |id, summary| Operation::new(Tag::Tokens, Access::Roles(ADMINISTRATORS), id, summary);
    to.operation(Method::Post, all, create, || {
        new("createToken", "Create a token")
            .details("Its text is in this answer and nowhere else. Producers' tokens are the platform's to create.")
            .takes::<TokenInputSchema>()
            .answers::<CreatedToken>(201, "It was created, and is valid at once.")
            .refuses(&[kind::TOKEN_LIMIT, kind::CHANGED])
            .leaves(&["token.create"])
    })
    .operation(Method::Get, all, list, || {
        new("listTokens", "List tokens")
            .answers::<TokenList>(200, "All of the organisation's tokens, the oldest first, without their texts.")
    })
    .operation(Method::Delete, one, revoke, || {
        new("revokeToken", "Revoke a token")
            .details("It is refused from now on. Producers' tokens are the platform's to revoke.")
            .answers_nothing(204, "It is revoked.")
            .leaves(&["token.revoke"])
    })
    .operation(Method::Post, &format!("{one}/rotate"), rotate, || {
        new("rotateToken", "Replace a token")
            .details(
                "Creates a successor with the same name and role, and lets the token itself go on for a while, so that \
                 its holders can be changed over. The successor's text is in this answer and nowhere else. A token \
                 that has an end is not replaced by one that has none unless `expiresAt` says so. Producers' tokens \
                 are the platform's to replace.",
            )
            .takes_if_any::<RotationInputSchema>()
            .answers::<RotatedToken>(201, "The successor was created, and is valid at once.")
            .refuses(&[kind::ROTATION_IN_PROGRESS, kind::TOKEN_LIMIT, kind::CHANGED])
            .leaves(&["token.rotate"])
    })
}

/// A token, without its text.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase")]
struct Token {
    /// Its id: the first part of its text.
    #[schemars(regex(pattern = "^[A-Za-z0-9]{12}$"))]
    id: String,
    /// What its holders call it.
    name: String,
    /// What its holder may do.
    #[schemars(extend("enum" = roles()))]
    role: String,
    /// When it was created.
    #[schemars(with = "Moment")]
    created_at: String,
    /// From when on it is refused; null: never by itself.
    #[schemars(with = "Option<Moment>")]
    expires_at: Option<String>,
    /// When it was last used, to the hour; null: never.
    #[schemars(with = "Option<Moment>")]
    last_used_at: Option<String>,
    /// The token whose successor it is.
    replaces: Option<String>,
    /// Its successor.
    replaced_by: Option<String>,
}

/// A new token. This is the only place where its text is shown.
#[derive(Debug, JsonSchema)]
struct CreatedToken {
    /// The token, as it was created.
    #[schemars(flatten)]
    created: Token,
    /// What to send as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: String,
}

/// A token's successor. This is the only place where its text is shown.
#[derive(Debug, JsonSchema)]
struct RotatedToken {
    /// The successor.
    #[schemars(flatten)]
    created: Token,
    /// What to send as `Authorization: Bearer …`.
    #[schemars(regex(pattern = TEXT))]
    token: String,
    /// The token that it replaces, with its end.
    replaced: Token,
}

const TEXT: &str = "^annals_[A-Za-z0-9]{12}_[A-Za-z0-9]{38}$";

/// An organisation's tokens.
#[derive(Debug, JsonSchema)]
struct TokenList {
    /// All of them.
    tokens: Vec<Token>,
}

/// What a token shall be.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "TokenInput", rename_all = "camelCase", deny_unknown_fields)]
struct TokenInputSchema {
    /// What its holders call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = DISPLAY_NAME))]
    name: String,
    /// What its holder may do.
    #[schemars(extend("enum" = roles()))]
    role: String,
    /// From when on it is refused: a time in the future. Never, where it is left out.
    #[schemars(with = "Option<SentMoment>")]
    expires_at: Option<String>,
}

/// How a token shall be replaced.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "RotationInput", rename_all = "camelCase", deny_unknown_fields)]
struct RotationInputSchema {
    /// How long the token goes on beside its successor; a day where it is left out.
    #[schemars(range(min = 0, max = MAX_OVERLAP.as_secs()))]
    overlap_seconds: Option<u32>,
    /// From when on the successor is refused: a time in the future; null: never. Required where the token has an end.
    #[schemars(with = "Option<SentMomentOrNull>")]
    expires_at: Option<String>,
}

fn roles() -> [&'static str; 3] {
    [Role::Producer, Role::Auditor, Role::Admin].map(Role::as_str)
}
