//! `/organisations/{organisation}/tokens`: an organisation's tokens.

use annals_core::token::{Token, TokenInput};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::ADMINISTRATORS,
};

/// `POST …/tokens`: creates one. The answer is the only place where its text is shown.
pub async fn create(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let input = TokenInput::parse(&call.body, call.api.clock.now())?;
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
    call.api.administration.revoke_token(&organisation, &id, &call.actor()).await?;
    Ok(call::answer(StatusCode::NO_CONTENT, "application/json", String::new()))
}

fn view(token: &Token) -> Value {
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "role": token.role.as_str(),
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
    })
}
