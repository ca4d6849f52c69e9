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
use annals_http::{ADMINISTRATORS, problem::Problem};
use axum::{Router, response::Response, routing::get};

use self::view::{Done, Made, Page, rotation_page};
use crate::{
    Console, entrance,
    fields::{Fields, parameter},
    layout::Section,
    question::Question,
    refusal::Refusal,
    ui,
    visit::Visit,
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
async fn list(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let done = Done::named(&parameter(visit.call.query(), "done"));
    let page = Page { done, ..read(&visit, &organisation, form::creation()).await? };
    Ok(ui::page(page.render(&visit.shell(&organisation, Section::Tokens))))
}

/// The page as things are, with `form` for a new one.
async fn read(visit: &Visit, organisation: &Organisation, form: Fields) -> Result<Page, Refusal> {
    let api = &visit.call.api;
    let tokens = api.administration.tokens(&organisation.id).await.map_err(Problem::from)?;
    Ok(Page::of(&tokens, api.clock.now(), form))
}

/// `POST /console/tokens`: creates one. The answer is the only place where its text is shown.
async fn create(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let api = &visit.call.api;
    let now = api.clock.now();
    let mut form = form::creation().typed(&visit.form);
    match TokenInput::parse(form::creation_body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = form::refused(form, &faults),
        Ok(TokenInput { role: Role::Producer, .. }) => {
            form.refuse(
                "role",
                "must be auditor or admin: producers' tokens are made by the product that you came from",
            );
        }
        Ok(input) => match api.administration.create_token(&organisation, input, &visit.call.actor()).await {
            Ok((token, text)) => {
                let made = Made { name: token.name, text, api: visit.call.root(), replaced_until: None };
                let page = Page { made: Some(made), ..read(&visit, &organisation, form::creation()).await? };
                return Ok(ui::page(page.render(&visit.shell(&organisation, Section::Tokens))));
            }
            Err(AdministrationError::Conflict(Conflict::TokenLimit)) => form.faults.push(too_many()),
            Err(error) => return Err(Problem::from(error).into()),
        },
    }
    let page = read(&visit, &organisation, form).await?;
    Ok(ui::refused(page.render(&visit.shell(&organisation, Section::Tokens))))
}

fn too_many() -> String {
    format!("There are {MAX_TOKENS} tokens, and there can be no more. Revoke one that is not needed.")
}

/// The token of the path, which is none of a producer.
async fn named(visit: &Visit, organisation: &Organisation) -> Result<Token, Refusal> {
    let id: TokenId = visit.call.parsed("token")?;
    let token = visit.call.api.administration.token(&organisation.id, &id).await.map_err(Problem::from)?;
    if token.role == Role::Producer {
        return Err(Refusal::NotFound);
    }
    Ok(token)
}

/// `GET /console/tokens/{token}/replace`: asks how long the token is to go on beside its successor.
async fn ask_to_replace(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let token = named(&visit, &organisation).await?;
    let shell = visit.shell(&organisation, Section::Tokens);
    Ok(ui::page(rotation_page(token.id.as_str(), &token.name, &form::rotation(), &shell)))
}

/// `POST /console/tokens/{token}/replace`: creates its successor. The answer is the only place where that one's text is
/// shown.
async fn replace(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let token = named(&visit, &organisation).await?;
    let api = &visit.call.api;
    let now = api.clock.now();
    let shell = visit.shell(&organisation, Section::Tokens);
    let mut form = form::rotation().typed(&visit.form);
    match RotationInput::parse(form::rotation_body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = form::refused(form, &faults),
        Ok(input) => match api.administration.rotate_token(&organisation, &token.id, input, &visit.call.actor()).await {
            Ok(rotation) => {
                let made = Made {
                    name: rotation.token.name,
                    text: rotation.text,
                    api: visit.call.root(),
                    replaced_until: rotation.replaced.expires_at.filter(|at| *at > api.clock.now()),
                };
                let page = Page { made: Some(made), ..read(&visit, &organisation, form::creation()).await? };
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
    Ok(ui::refused(rotation_page(token.id.as_str(), &token.name, &form, &shell)))
}

/// `GET /console/tokens/{token}/revoke`: asks whether that is meant.
async fn ask_to_revoke(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let token = named(&visit, &organisation).await?;
    Ok(ui::page(question(&token).render(&visit.shell(&organisation, Section::Tokens))))
}

fn question(token: &Token) -> Question {
    Question {
        title: "Revoke this token?".to_owned(),
        subject: token.name.clone(),
        consequences: vec!["Whoever uses it is refused from then on. It cannot be brought back."],
        action: format!("/console/tokens/{}/revoke", token.id),
        back: Section::Tokens.path(),
    }
}

/// `POST /console/tokens/{token}/revoke`: ends one.
async fn revoke(visit: Visit) -> Result<Response, Refusal> {
    let organisation = visit.organisation(ADMINISTRATORS).await?;
    let token = named(&visit, &organisation).await?;
    let administration = &visit.call.api.administration;
    administration.revoke_token(&organisation, &token.id, &visit.call.actor()).await.map_err(Problem::from)?;
    let location = format!("{}/console/tokens?done={}", visit.call.base_path(), Done::Revoked.as_str());
    Ok(entrance::see_other(&location))
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
