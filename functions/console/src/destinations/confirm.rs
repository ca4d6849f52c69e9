//! The form that proves a role by the code in the test object.

use annals_core::{
    administration::{AdministrationError, ConfirmInput},
    destination::DestinationId,
};
use annals_http::ADMINISTRATORS;

use super::{
    card::Details,
    page::{Done, show_invalid},
    redirect,
};
use crate::prelude::*;

/// `POST /console/destinations/{destination}/confirm`
pub(super) async fn confirm(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let form = fields().filled_from(&request.form);
    let form = match ConfirmInput::parse(form.non_empty(&["code"]).to_string().as_bytes()) {
        Err(faults) => form.with_faults(&faults),
        Ok(input) => {
            let administration = &request.call.services.administration;
            match administration.confirm_destination(&organisation, &id, &input, &request.call.actor()).await {
                Ok(_) => return Ok(redirect(&request, Done::Confirmed, &id)),
                Err(AdministrationError::Input(fault)) => form.with_faults(&fault.into()),
                Err(AdministrationError::NoCode) => {
                    let mut form = form;
                    form.faults.push(
                        "There is no valid code any more. Press Test: the test object then contains a new one."
                            .to_owned(),
                    );
                    form
                }
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    };
    show_invalid(&request, &organisation, &id, |details| details.confirm = Some(form)).await
}

#[must_use]
pub(super) fn fields() -> Fields {
    Fields::new(vec![
        Field::new("code", "Code", Control::Text)
            .required()
            .hint("Ten letters and digits, as in 7KQ2M-XW4TR. Hyphens, spaces and case do not matter."),
    ])
}

/// Writes the form of the destination `id`, which is posted to the address `action`. `object` names the test object.
pub(super) fn render(details: &Details, id: &str, object: &str, action: &str, shell: &Shell) -> Markup {
    html! {
        @if let Some(form) = &details.confirm {
            section .card aria-labelledby={ "confirm-" (id) } {
                h2 id={ "confirm-" (id) } { "Confirm" }
                p {
                    "Your role accepts any external ID. So we have to make sure that the bucket is yours before we send anything. "
                    "The last test wrote the object " code .break { (object) } ". Open it in the S3 console, and enter the code "
                    "in it here. The code is valid for 24 hours and for five attempts. After that, press Test for a new one."
                }
                form .fields method="post" action=(action) aria-label="Confirm" {
                    (shell.form_token())
                    (form.render(&format!("confirm-{id}")))
                    div .row { button .primary type="submit" { "Confirm" } }
                }
            }
        }
    }
}
