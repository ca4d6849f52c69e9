//! `POST /console/destinations/{destination}/test`: the Test button of the console. The console's page shows the result, which
//! the test saves.

use annals_core::{administration::AdministrationError, destination::DestinationId};
use annals_http::{
    ADMINISTRATORS,
    console::{done, redirect, refusal::Refusal, session::ConsoleRequest},
    problem::Problem,
};
use axum::{Router, extract::State, response::Response, routing::post};

use crate::TestConnectionState;

pub(crate) const PATH: &str = "/console/destinations/{destination}/test";

pub(crate) fn routes() -> Router<TestConnectionState> {
    Router::new().route(PATH, post(test))
}

async fn test(State(state): State<TestConnectionState>, request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let id: DestinationId = request.call.path_parameter("destination")?;
    let base = request.call.base_path();
    match state.test(&organisation, &id, &request.call).await {
        Ok(_) => Ok(redirect(&format!("{base}/console/destinations?destination={id}#test-{id}"))),
        Err(AdministrationError::TooOften(_)) => {
            let said = done::query("tested-too-often", request.call.services.clock.now());
            Ok(redirect(&format!("{base}/console/destinations?destination={id}&{said}")))
        }
        Err(error) => Err(Problem::from(error).into()),
    }
}
