//! Replacing a token by a new one with the same name and role. Both work for a while.

use annals_core::{
    administration::AdministrationError,
    change::Conflict,
    organisation::Organisation,
    service::{ConsoleTokens, TokenDays},
    time::Timestamp,
    token::{DEFAULT_OVERLAP, RotationInput, Token},
};
use annals_http::ADMINISTRATORS;
use axum::extract::State;
use serde_json::{Value, json};

use super::{created, expiry, limit_reached};
use crate::{Console, fields::whole_number, prelude::*};

/// `GET /console/tokens/{token}/replace`
pub(super) async fn ask(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let allowed = &request.call.services.service.console_tokens;
    let token = replaceable(&request, &organisation, allowed).await?;
    Ok(ui::page(render(&token, &fields(allowed.max_life), &Shell::of(&request, &organisation, Section::Tokens))))
}

/// `POST /console/tokens/{token}/replace`. The page that follows shows the new token's text.
pub(super) async fn replace(State(console): State<Console>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let services = &request.call.services;
    let allowed = &services.service.console_tokens;
    let token = replaceable(&request, &organisation, allowed).await?;
    let now = services.clock.now();
    let shell = Shell::of(&request, &organisation, Section::Tokens);
    let mut form = fields(allowed.max_life).filled_from(&request.form);
    match RotationInput::parse(body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = expiry::with_faults(form, &faults, allowed.max_life),
        Ok(input) => {
            let actor = request.call.actor();
            match services.administration.rotate_token(&organisation, &token.id, input, &actor).await {
                Ok(rotation) => return Ok(created::redirect(&request, &console.embedding, &rotation.text)),
                Err(AdministrationError::RotationInProgress(_)) => form.faults.push(
                    "This token is already being replaced: two tokens with its name and role are active. Revoke one of \
                     them first."
                        .to_owned(),
                ),
                Err(AdministrationError::Conflict(Conflict::TokenLimit)) => form.faults.push(limit_reached()),
                Err(AdministrationError::Input(fault)) => {
                    form = expiry::with_faults(form, &fault.into(), allowed.max_life);
                }
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    }
    Ok(ui::invalid_form(render(&token, &form, &shell)))
}

/// Reads the token of the path.
///
/// # Errors
/// Returns [`Refusal::NotFound`] for a token of a role whose tokens are not created here.
async fn replaceable(
    request: &ConsoleRequest,
    organisation: &Organisation,
    allowed: &ConsoleTokens,
) -> Result<Token, Refusal> {
    let token = super::token(request, organisation).await?;
    if allowed.roles.contain(token.role) { Ok(token) } else { Err(Refusal::NotFound) }
}

#[must_use]
pub fn fields(longest: TokenDays) -> Fields {
    let overlaps = [
        (0, "Expires immediately"),
        (3600, "Expires in an hour"),
        (86_400, "Expires in a day"),
        (604_800, "Expires in 7 days"),
    ];
    let overlaps = overlaps.map(|(seconds, label)| (seconds.to_string(), label.to_owned()));
    let mut fields = vec![
        Field::new("overlapSeconds", "The old token", Control::Choice(overlaps.to_vec()))
            .value(&DEFAULT_OVERLAP.as_secs().to_string())
            .hint("Both tokens work until then, so that you can change over without interruption."),
    ];
    let [expires_at, date] = expiry::fields(longest);
    fields.extend([Field { label: "The new token expires", ..expires_at }, date]);
    Fields::new(fields)
}

fn body(form: &Fields, now: Timestamp) -> Value {
    json!({
        "overlapSeconds": whole_number(form.get("overlapSeconds")),
        "expiresAt": expiry::value(form, now),
    })
}

fn render(token: &Token, form: &Fields, shell: &Shell) -> Markup {
    let content = html! {
        section #question .card .question aria-labelledby="question-title" {
            h1 #question-title { "Replace this token" }
            p .subject { (token.name) }
            p { "You get a new token with the same name and role." }
            form .fields method="post" action=(shell.href(&format!("/console/tokens/{}/replace", token.id))) {
                (shell.form_token())
                (form.render("replacement"))
                div .row {
                    a .button href=(shell.href(Section::Tokens.path())) data-no { "Cancel" }
                    button .primary type="submit" { "Create the new token" }
                }
            }
        }
    };
    shell.page("Replace a token", &content)
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use annals_core::token::Role;

    use super::fixtures;

    let shell = Shell::sample(Section::Tokens);
    let days = ConsoleTokens::default().max_life;
    let token = fixtures::token(1, "SIEM", Role::Auditor);
    let longest = fixtures::token(1, &fixtures::longest_name(), Role::Auditor);
    vec![
        ("replace a token", render(&token, &fields(days), &shell)),
        ("replace a token: invalid", render(&longest, &fixtures::invalid(fields(days)), &shell)),
    ]
}

#[cfg(test)]
mod tests {
    use annals_core::token::SuccessorEnd;

    use super::{super::fixtures::NOW, *};

    #[test]
    fn every_fault_of_a_replacement_is_at_its_field() {
        let parse = |values: &[(&str, &str)]| {
            let days = ConsoleTokens::default().max_life;
            let form = fields(days).with_values(values);
            let input = RotationInput::parse(body(&form, NOW).to_string().as_bytes(), NOW);
            input.map_err(|faults| expiry::with_faults(form, &faults, days))
        };
        let input = parse(&[]).expect("the defaults are valid");
        assert_eq!((input.overlap, input.end), (DEFAULT_OVERLAP, SuccessorEnd::At(NOW.plus(expiry::DAY * 90))));
        assert_eq!(parse(&[("expiresAt", "never")]).unwrap_err().invalid_names(), ["expiresAt"]);
        let invalid = [("overlapSeconds", "x"), ("expiresAt", expiry::AT_DATE), ("date", "x")];
        assert_eq!(parse(&invalid).unwrap_err().invalid_names(), ["overlapSeconds", "date"]);
    }
}
