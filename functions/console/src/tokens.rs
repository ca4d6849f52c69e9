//! The section "Tokens": the organisation's tokens are listed, created, replaced and revoked.
//!
//! - [`page`]: the section's page, with the list
//! - [`created`]: a token that was just created
//! - [`new`], [`replace`], [`revoke`]: the forms
//! - [`expiry`]: the fields that say when a new token expires
//!
//! Producers' tokens are only listed: as in the API, the platform creates and revokes them.
//!
//! All routes are below `/console/tokens`: `GET` and `POST` on the section itself; `GET` and `POST` on `/{token}/replace` and
//! `/{token}/revoke`.

pub mod created;
pub mod expiry;
#[cfg(test)]
mod fixtures;
pub mod new;
pub mod page;
pub mod replace;
pub mod revoke;

use annals_core::{
    organisation::Organisation,
    token::{MAX_TOKENS, Role, Token, TokenId},
};
use axum::{Router, routing::get};

use crate::{Console, prelude::*};

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console/tokens", get(page::show).post(new::create))
        .route("/console/tokens/{token}/replace", get(replace::ask).post(replace::replace))
        .route("/console/tokens/{token}/revoke", get(revoke::ask).post(revoke::revoke))
}

/// Reads the token of the path.
///
/// # Errors
/// Returns [`Refusal::NotFound`] for a producer's token.
async fn token(request: &ConsoleRequest, organisation: &Organisation) -> Result<Token, Refusal> {
    let id: TokenId = request.call.path_parameter("token")?;
    let token = request.call.services.administration.token(&organisation.id, &id).await.map_err(Problem::from)?;
    if token.role == Role::Producer {
        return Err(Refusal::NotFound);
    }
    Ok(token)
}

fn limit_reached() -> String {
    format!("There are already {MAX_TOKENS} tokens, which is the limit. Revoke one that is not needed.")
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    [page::samples(), replace::samples(), revoke::samples()].concat()
}
