//! The organisation's tokens: listed, created, replaced, revoked.
//!
//! Producers' tokens are listed and no more: they are the platform's to create and revoke, as in the API.
//!
//! Routes, all below `/console/tokens`: `GET` and `POST` of itself; `GET` and `POST /{token}/replace`; `GET` and `POST
//! /{token}/revoke`.

pub mod form;
#[cfg(test)]
mod samples;
pub mod view;

use annals_core::{
    administration::AdministrationError,
    change::Conflict,
    organisation::Organisation,
    token::{MAX_TOKENS, Role, RotationInput, Token, TokenId, TokenInput},
};
use annals_http::{
    ADMINISTRATORS,
    console::{refusal::Refusal, session::ConsoleRequest},
    problem::Problem,
};
use axum::{Router, response::Response, routing::get};

use self::view::{Done, Made, Page, rotation_page};
use crate::{
    Console,
    confirmation::Confirmation,
    fields::{Fields, parameter},
    layout::{Section, Shell},
    ui,
};

#[cfg(test)]
pub(crate) use self::samples::samples;

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/console/tokens", get(list).post(create))
        .route("/console/tokens/{token}/replace", get(ask_to_replace).post(replace))
        .route("/console/tokens/{token}/revoke", get(ask_to_revoke).post(revoke))
}

/// `GET /console/tokens`: all of them, without their texts. `done` says what has just been done.
async fn list(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let done = Done::named(&parameter(request.call.query(), "done"));
    let page = Page { done, ..read(&request, &organisation, form::creation()).await? };
    Ok(ui::page(page.render(&Shell::of(&request, &organisation, Section::Tokens))))
}

/// The page as things are, with `form` for a new one.
async fn read(request: &ConsoleRequest, organisation: &Organisation, form: Fields) -> Result<Page, Refusal> {
    let api = &request.call.api;
    let tokens = api.administration.tokens(&organisation.id).await.map_err(Problem::from)?;
    Ok(Page::of(&tokens, api.clock.now(), form))
}

/// `POST /console/tokens`: creates one. The answer is the only place where its text is shown.
async fn create(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let api = &request.call.api;
    let now = api.clock.now();
    let mut form = form::creation().filled_from(&request.form);
    match TokenInput::parse(form::creation_body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = form::refused(form, &faults),
        Ok(TokenInput { role: Role::Producer, .. }) => {
            form.add_fault(
                "role",
                "must be auditor or admin: producers' tokens are made by the product that you came from",
            );
        }
        Ok(input) => match api.administration.create_token(&organisation, input, &request.call.actor()).await {
            Ok((token, text)) => {
                let made = Made { name: token.name, text, api: request.call.root(), replaced_until: None };
                let page = Page { made: Some(made), ..read(&request, &organisation, form::creation()).await? };
                return Ok(ui::page(page.render(&Shell::of(&request, &organisation, Section::Tokens))));
            }
            Err(AdministrationError::Conflict(Conflict::TokenLimit)) => form.faults.push(too_many()),
            Err(error) => return Err(Problem::from(error).into()),
        },
    }
    let page = read(&request, &organisation, form).await?;
    Ok(ui::invalid_form(page.render(&Shell::of(&request, &organisation, Section::Tokens))))
}

fn too_many() -> String {
    format!("There are {MAX_TOKENS} tokens, and there can be no more. Revoke one that is not needed.")
}

/// The token of the path, which is none of a producer.
async fn named(request: &ConsoleRequest, organisation: &Organisation) -> Result<Token, Refusal> {
    let id: TokenId = request.call.parsed("token")?;
    let token = request.call.api.administration.token(&organisation.id, &id).await.map_err(Problem::from)?;
    if token.role == Role::Producer {
        return Err(Refusal::NotFound);
    }
    Ok(token)
}

/// `GET /console/tokens/{token}/replace`: asks how long the token is to go on beside its successor.
async fn ask_to_replace(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = named(&request, &organisation).await?;
    let shell = Shell::of(&request, &organisation, Section::Tokens);
    Ok(ui::page(rotation_page(token.id.as_str(), &token.name, &form::rotation(), &shell)))
}

/// `POST /console/tokens/{token}/replace`: creates its successor. The answer is the only place where that one's text is
/// shown.
async fn replace(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = named(&request, &organisation).await?;
    let api = &request.call.api;
    let now = api.clock.now();
    let shell = Shell::of(&request, &organisation, Section::Tokens);
    let mut form = form::rotation().filled_from(&request.form);
    match RotationInput::parse(form::rotation_body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = form::refused(form, &faults),
        Ok(input) => match api.administration.rotate_token(&organisation, &token.id, input, &request.call.actor()).await
        {
            Ok(rotation) => {
                let made = Made {
                    name: rotation.token.name,
                    text: rotation.text,
                    api: request.call.root(),
                    replaced_until: rotation.replaced.expires_at.filter(|at| *at > api.clock.now()),
                };
                let page = Page { made: Some(made), ..read(&request, &organisation, form::creation()).await? };
                return Ok(ui::page(page.render(&shell)));
            }
            Err(AdministrationError::RotationInProgress(_)) => form.faults.push(
                "It is being replaced already: its predecessor or its successor works, too. Revoke one of them first."
                    .to_owned(),
            ),
            Err(AdministrationError::Conflict(Conflict::TokenLimit)) => form.faults.push(too_many()),
            Err(AdministrationError::Input(fault)) => form = form::refused(form, &fault.into()),
            Err(error) => return Err(Problem::from(error).into()),
        },
    }
    Ok(ui::invalid_form(rotation_page(token.id.as_str(), &token.name, &form, &shell)))
}

/// `GET /console/tokens/{token}/revoke`: asks whether that is meant.
async fn ask_to_revoke(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = named(&request, &organisation).await?;
    Ok(ui::page(confirmation(&token).render(&Shell::of(&request, &organisation, Section::Tokens))))
}

fn confirmation(token: &Token) -> Confirmation {
    Confirmation {
        question: "Revoke this token?".to_owned(),
        subject: token.name.clone(),
        consequences: vec!["Whoever uses it is refused from then on. It cannot be brought back."],
        action: format!("/console/tokens/{}/revoke", token.id),
        back: Section::Tokens.path(),
    }
}

/// `POST /console/tokens/{token}/revoke`: ends one.
async fn revoke(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let token = named(&request, &organisation).await?;
    let administration = &request.call.api.administration;
    administration.revoke_token(&organisation, &token.id, &request.call.actor()).await.map_err(Problem::from)?;
    let location = format!("{}/console/tokens?done={}", request.call.base_path(), Done::Revoked.as_str());
    Ok(ui::redirect(&location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_have_been_done_is_said_to_be() {
        assert_eq!(Done::named("revoked"), Some(Done::Revoked));
        for text in ["", "Revoked", "<script>"] {
            assert_eq!(Done::named(text), None, "{text}");
        }
    }
}
