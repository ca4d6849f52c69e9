//! The form for a new token.

use annals_core::{
    administration::AdministrationError,
    change::Conflict,
    service::ConsoleTokens,
    time::Timestamp,
    token::{Role, TokenInput},
};
use annals_http::ADMINISTRATORS;
use axum::extract::State;
use serde_json::{Value, json};

use super::{created, expiry, limit_reached, page};
use crate::{Console, prelude::*};

/// `POST /console/tokens`. The page that follows shows the token's text, which a cookie carries there, so that a reload does
/// not create another token.
pub(super) async fn create(State(console): State<Console>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let services = &request.call.services;
    let now = services.clock.now();
    let allowed = &services.service.console_tokens;
    let mut form = fields(allowed).filled_from(&request.form);
    match TokenInput::parse(body(&form, now).to_string().as_bytes(), now) {
        Err(faults) => form = expiry::with_faults(form, &faults, allowed.max_life),
        Ok(input) => match services.administration.create_token(&organisation, input, &request.call.actor()).await {
            Ok((_, text)) => return Ok(created::redirect(&request, &console.embedding, &text)),
            Err(AdministrationError::Conflict(Conflict::TokenLimit)) => form.faults.push(limit_reached()),
            Err(AdministrationError::Input(fault)) => {
                form = expiry::with_faults(form, &fault.into(), allowed.max_life);
            }
            Err(error) => return Err(Problem::from(error).into()),
        },
    }
    let shell = Shell::of(&request, &organisation, Section::Tokens);
    Ok(ui::invalid_form(page::read(&request, &organisation, form).await?.render(&shell)))
}

#[must_use]
pub fn fields(allowed: &ConsoleTokens) -> Fields {
    let roles =
        [(Role::Auditor, "Auditor: reads the log"), (Role::Admin, "Admin: also manages destinations and tokens")];
    let roles = roles.into_iter().filter(|(role, _)| allowed.roles.contain(*role));
    let roles = Control::Choice(roles.map(|(role, label)| (role.as_str().to_owned(), label.to_owned())).collect());
    let mut fields = vec![
        Field::new("name", "Name", Control::Text)
            .required()
            .hint("The program or person that will use it, such as SIEM collector."),
        Field::new("role", "Role", roles).value(Role::Auditor.as_str()),
    ];
    fields.extend(expiry::fields(allowed.max_life));
    Fields::new(fields)
}

fn body(form: &Fields, now: Timestamp) -> Value {
    json!({"name": form.get("name"), "role": form.get("role"), "expiresAt": expiry::value(form, now)})
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::NOW,
        expiry::{AT_DATE, DAY},
        *,
    };

    #[test]
    fn every_fault_of_a_new_token_is_at_its_field() {
        let parse = |values: &[(&str, &str)]| {
            let allowed = ConsoleTokens::default();
            let form = fields(&allowed).with_values(values);
            let input = TokenInput::parse(body(&form, NOW).to_string().as_bytes(), NOW);
            input.map_err(|faults| expiry::with_faults(form, &faults, allowed.max_life))
        };
        let input = parse(&[("name", "SIEM")]).expect("it is valid");
        assert_eq!((input.role, input.expires_at), (Role::Auditor, Some(NOW.plus(DAY * 90))));
        assert_eq!(parse(&[("name", "SIEM"), ("expiresAt", "never")]).unwrap_err().invalid_names(), ["expiresAt"]);
        let dated = parse(&[("name", "SIEM"), ("expiresAt", AT_DATE), ("date", "2027-01-31")]).expect("it is valid");
        assert_eq!(dated.expires_at.map(|at| at.to_string()).as_deref(), Some("2027-01-31T00:00:00.000Z"));

        let invalid = [("name", ""), ("role", "x"), ("expiresAt", "x")];
        assert_eq!(parse(&invalid).unwrap_err().invalid_names(), ["name", "role", "expiresAt"]);
        assert_eq!(parse(&[("name", "\u{202e}")]).unwrap_err().invalid_names(), ["name"]);
        for date in ["", "x", "2020-01-01"] {
            let form = parse(&[("name", "SIEM"), ("expiresAt", AT_DATE), ("date", date)]).unwrap_err();
            assert_eq!(form.invalid_names(), ["date"], "{date}");
        }
    }
}
