//! A change of a destination's bucket, role or prefix that is not in force yet: what it is, what it waits for, and the button that
//! withdraws it.

use annals_core::{
    destination::{Destination, DestinationId, PendingChange},
    time::Timestamp,
};
use annals_http::ADMINISTRATORS;

use super::{page::Done, redirect};
use crate::{prelude::*, ui::Tone};

/// `POST /console/destinations/{destination}/withdraw`
pub(super) async fn withdraw(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let administration = &request.call.services.administration;
    administration.withdraw_change(&organisation, &id, &request.call.actor()).await.map_err(Problem::from)?;
    Ok(redirect(&request, Done::Withdrawn, &id))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingView {
    pub bucket: String,
    pub role_arn: String,
    pub prefix: String,
    pub requested_at: Timestamp,
    pub is_proven: bool,
    pub is_ready: bool,
    pub needs_code: bool,
}

impl PendingView {
    #[must_use]
    pub fn of(destination: &Destination) -> Option<Self> {
        let pending = destination.pending.as_ref()?;
        let PendingChange { place, proof, requested_at, .. } = pending;
        Some(Self {
            bucket: place.bucket.to_string(),
            role_arn: place.role_arn.to_string(),
            prefix: place.prefix.as_str().to_owned(),
            requested_at: *requested_at,
            is_proven: proof.proven.is_some(),
            is_ready: pending.ready_at().is_some(),
            needs_code: proof.proven.is_none() && proof.challenge.is_some(),
        })
    }

    /// Writes the notice. `action` is the address that withdraws the change.
    #[must_use]
    pub fn render(&self, action: &str, shell: &Shell) -> Markup {
        ui::notice(
            if self.is_ready { Tone::Good } else { Tone::Warning },
            &html! {
                p {
                    strong { "A change waits. " }
                    @if self.is_ready {
                        "The new place is proven. It takes over when the delivery that has begun is finished, within about an hour."
                    } @else if self.needs_code {
                        "Until it is proven, events go on to the current place. Enter the code in the test object below, under Confirm."
                    } @else {
                        "Until it is proven, events go on to the current place. Set it up in AWS as described below, then press Test."
                    }
                }
                dl .facts {
                    div { dt { "New bucket" } dd { code .break { (self.bucket) } } }
                    div { dt { "New role" } dd { code .break { (self.role_arn) } } }
                    div { dt { "New prefix" } dd { @if self.prefix.is_empty() { "None" } @else { code .break { (self.prefix) } } } }
                    div { dt { "Requested" } dd { (ui::time(self.requested_at)) } }
                }
                form method="post" action=(action) {
                    (shell.form_token())
                    button type="submit" { "Withdraw the change" }
                }
            },
        )
    }
}
