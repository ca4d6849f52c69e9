//! `/organisations/{organisation}/tokens`: an organisation's tokens.
//!
//! Producers' tokens are the platform's to create, replace and revoke: an administrator whom the log is to watch could
//! otherwise silence it, or write into it.

mod describe;

pub(crate) use self::describe::operations;

use annals_core::token::{Role, RotationInput, Token, TokenId, TokenInput};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use annals_http::{
    ADMINISTRATORS,
    call::{self, Call},
    problem::Problem,
};

/// `POST …/tokens`: creates one. The answer is the only place where its text is shown.
pub async fn create(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let input = TokenInput::parse(&call.body, call.api.clock.now())?;
    if input.role == Role::Producer {
        call.platform_only()?;
    }
    let (token, text) = call.api.administration.create_token(&organisation, input, &call.actor()).await?;
    let mut view = view(&token);
    view["token"] = text.reveal().into();
    Ok(call::json(StatusCode::CREATED, &view))
}

/// `GET …/tokens`: all of them, without their texts.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let tokens = call.api.administration.tokens(&organisation.id).await?;
    let tokens: Vec<Value> = tokens.iter().map(view).collect();
    Ok(call::json(StatusCode::OK, &json!({"tokens": tokens})))
}

/// `DELETE …/tokens/{token}`: ends one.
pub async fn revoke(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("token")?;
    let token = call.api.administration.token(&organisation.id, &id).await?;
    if token.role == Role::Producer {
        call.platform_only()?;
    }
    call.api.administration.revoke_token(&organisation, &id, &call.actor()).await?;
    Ok(call::answer(StatusCode::NO_CONTENT, "application/json", String::new()))
}

/// `POST …/tokens/{token}/rotate`: creates its successor and gives it an end. The answer is the only place where the
/// successor's text is shown.
pub async fn rotate(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("token")?;
    let token = call.api.administration.token(&organisation.id, &id).await?;
    if token.role == Role::Producer {
        call.platform_only()?;
    }
    let input = RotationInput::parse(&call.body, call.api.clock.now())?;
    let rotation = call.api.administration.rotate_token(&organisation, &id, input, &call.actor()).await?;
    let mut created = view(&rotation.token);
    created["token"] = rotation.text.reveal().into();
    created["replaced"] = view(&rotation.replaced);
    Ok(call::json(StatusCode::CREATED, &created))
}

fn view(token: &Token) -> Value {
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "role": token.role.as_str(),
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "lastUsedAt": token.last_used_at,
        "replaces": token.replaces.as_ref().map(TokenId::as_str),
        "replacedBy": token.replaced_by.as_ref().map(TokenId::as_str),
    })
}
