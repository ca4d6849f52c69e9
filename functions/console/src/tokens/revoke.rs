//! Revoking a token, after a question.

use annals_core::token::Token;
use annals_http::{
    ADMINISTRATORS,
    console::{self, done},
};

use super::page::Done;
use crate::{confirmation::Confirmation, prelude::*};

/// `GET /console/tokens/{token}/revoke`
pub(super) async fn ask(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = super::token(&request, &organisation).await?;
    Ok(ui::page(confirmation(&token).render(&Shell::of(&request, &organisation, Section::Tokens))))
}

/// `POST /console/tokens/{token}/revoke`
pub(super) async fn revoke(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = super::token(&request, &organisation).await?;
    let administration = &request.call.services.administration;
    administration.revoke_token(&organisation, &token.id, &request.call.actor()).await.map_err(Problem::from)?;
    let said = done::query(Done::Revoked.as_str(), request.call.services.clock.now());
    Ok(console::redirect(&format!("{}/console/tokens?{said}", request.call.base_path())))
}

fn confirmation(token: &Token) -> Confirmation {
    Confirmation {
        question: "Revoke this token?".to_owned(),
        subject: token.name.clone(),
        consequences: vec!["Programs that use it will be refused. This cannot be undone."],
        action: format!("/console/tokens/{}/revoke", token.id),
        back: Section::Tokens.path(),
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use super::fixtures;

    let token = fixtures::token(0, &fixtures::longest_name(), annals_core::token::Role::Admin);
    vec![("revoke a token", confirmation(&token).render(&Shell::sample(Section::Tokens)))]
}
