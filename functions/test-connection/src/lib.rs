//! The test-connection function: `POST …/destinations/{destination}/test`, and the Test button of the console.
//! It is a separate function because only it, and not the API or the console, may assume customers' roles.

mod page;
mod test_connection;

use std::sync::Arc;

use annals_aws::{
    s3::{S3ObjectSink, SinkPatience},
    settings::{self, SettingError},
};
use annals_core::{
    administration::AdministrationError,
    destination::{
        DestinationId,
        connection_test::{ConnectionTestReport, StepOutcome, TEST_OBJECT_NAME},
        failure::FailureCode,
        sink::ObjectSink,
    },
    diagnosis,
    organisation::Organisation,
};
use annals_http::{
    Services,
    call::Call,
    console::{Embedding, protected},
    endpoint::Endpoints,
    gateway::Paths,
    with_fallbacks,
};
use axum::{Router, extract::FromRef};

use self::test_connection::TestConnection;

/// What the function's handlers use.
#[derive(Debug, Clone)]
pub struct TestConnectionState {
    pub services: Services,
    pub embedding: Embedding,
    /// Writes the test object.
    pub sink: Arc<dyn ObjectSink>,
    /// The test object's name.
    pub object_name: String,
}

impl FromRef<TestConnectionState> for Services {
    fn from_ref(state: &TestConnectionState) -> Self {
        state.services.clone()
    }
}

impl TestConnectionState {
    /// Reads the environment: the variables of [`Services::from_environment`], and optionally `CONSOLE_ORIGINS` and
    /// `TEST_OBJECT_NAME`.
    ///
    /// # Errors
    /// Returns an error if a variable is missing or invalid.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let services = Services::from_environment(config)?;
        let embedding = settings::parsed_or("CONSOLE_ORIGINS", Embedding::default())?;
        let embedding = embedding.with_brand(services.service.brand.clone());
        let clock = Arc::clone(&services.clock);
        let sink = Arc::new(S3ObjectSink::with_patience(config, clock, SinkPatience::interactive()));
        let object_name = settings::or("TEST_OBJECT_NAME", TEST_OBJECT_NAME);
        Ok(Self { services, embedding, sink, object_name })
    }

    async fn test<T>(
        &self,
        organisation: &Organisation,
        id: &DestinationId,
        call: &Call<T>,
    ) -> Result<ConnectionTestReport, AdministrationError> {
        let administration = &self.services.administration;
        let report =
            administration.test_connection(&*self.sink, &self.object_name, organisation, id, &call.actor()).await?;
        let failed = report.steps.iter().find(|step| step.outcome == StepOutcome::Failed);
        let (fields, code) = (call.log_fields(), failed.and_then(|step| step.code));
        fields.test(code.map(FailureCode::as_str));
        if let Some(code) = code.and_then(diagnosis::code_of_delivery) {
            fields.operator(code, failed.and_then(|step| step.aws.clone()).unwrap_or_default());
        }
        Ok(report)
    }
}

/// Returns the router of the function.
pub fn router(state: TestConnectionState) -> Router {
    with_fallbacks(routes(&state.embedding)).with_state(state)
}

/// Returns the function's routes without fallbacks, to be merged with those of other functions.
pub fn routes(embedding: &Embedding) -> Router<TestConnectionState> {
    add(Router::new()).merge(protected(page::routes(), embedding))
}

/// Adds the function's endpoint.
#[must_use]
pub fn add<E: Endpoints<TestConnectionState>>(endpoints: E) -> E {
    endpoints.endpoint::<TestConnection>()
}

/// Returns the paths that the function serves.
#[must_use]
pub fn paths() -> Paths {
    add(Paths::default()).and(page::PATH)
}
