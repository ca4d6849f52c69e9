//! The HTTP API: which request is answered by which use case, and how.
//!
//! - [`call`]: what every route needs of a request: who calls, for which organisation, from where, with what body
//! - [`problem`]: every error as problem+json; the one place that knows which error has which status
//! - [`routes`]: one file a resource
//!
//! Architecture invariant: handlers are wiring. What is allowed, what is recorded and what is answered is the domain's.

pub mod call;
pub mod problem;
pub mod routes;

use std::sync::Arc;

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    settings::{self, SettingError},
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    administration::Administration,
    audit::Audit,
    delivery::setup::{ServiceSettings, TemplateUrl},
    destination::Region,
    entropy::Entropy,
    log::{Log, append::AppendPolicy, store::LogStore},
    registry::Registry,
    time::Clock,
    token::TokenHash,
};
use axum::{
    Router,
    routing::{delete, get, post, put},
};

use crate::problem::Problem;

/// What the routes are answered with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The log itself, for recording events.
    pub log: Arc<Log>,
    /// Reading it.
    pub audit: Audit,
    /// Organisations, tokens and destinations.
    pub administration: Administration,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The hash of the platform's token.
    pub platform: TokenHash,
    /// What customers need to know of the deployment.
    pub service: ServiceSettings,
}

impl Api {
    /// An API over a store.
    #[must_use]
    pub fn new<S: LogStore + Registry + 'static>(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        platform: TokenHash,
        service: ServiceSettings,
    ) -> Self {
        let log = Arc::new(Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            AppendPolicy::default(),
        ));
        Self {
            audit: Audit::new(Arc::clone(&log)),
            administration: Administration::new(Arc::clone(&log), store, Arc::clone(&clock), entropy),
            log,
            clock,
            platform,
            service,
        }
    }

    /// The API that the environment describes: `LOG_TABLE`, `REGISTRY_TABLE`, `PLATFORM_TOKEN_SHA256`,
    /// `SERVICE_ACCOUNT_ID`, and `CUSTOMER_TEMPLATE_URL` where there is one.
    ///
    /// # Errors
    /// Where a variable is missing or makes no sense.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let tables = Tables { log: settings::required("LOG_TABLE")?, registry: settings::required("REGISTRY_TABLE")? };
        let store = Arc::new(DynamoStore::new(aws_sdk_dynamodb::Client::new(config), tables, Arc::default()));
        let platform = settings::parsed("PLATFORM_TOKEN_SHA256")?;
        let service = ServiceSettings {
            account: settings::parsed("SERVICE_ACCOUNT_ID")?,
            region: config.region().and_then(|region| region.as_ref().parse::<Region>().ok()),
            template_url: match settings::or("CUSTOMER_TEMPLATE_URL", "").as_str() {
                "" => None,
                _ => Some(settings::parsed::<TemplateUrl>("CUSTOMER_TEMPLATE_URL")?),
            },
        };
        Ok(Self::new(store, Arc::new(SystemClock), Arc::new(SystemEntropy), platform, service))
    }
}

/// The routes of the API function.
pub fn router(api: Api) -> Router {
    use routes::{audit, destinations, events, health, organisations, setup, tokens};
    let routes = Router::new()
        .route("/health", get(health::show))
        .route("/organisations", get(organisations::list))
        .route("/organisations/{organisation}", put(organisations::put).get(organisations::show))
        .route("/organisations/{organisation}/tokens", post(tokens::create).get(tokens::list))
        .route("/organisations/{organisation}/tokens/{token}", delete(tokens::revoke))
        .route("/events", post(events::record))
        .route("/organisations/{organisation}/events", post(events::record))
        .route("/audit", get(audit::page))
        .route("/audit/tail", get(audit::tail))
        .route("/audit/{uuid}", get(audit::show))
        .route("/organisations/{organisation}/audit", get(audit::page))
        .route("/organisations/{organisation}/audit/tail", get(audit::tail))
        .route("/organisations/{organisation}/audit/{uuid}", get(audit::show))
        .route("/organisations/{organisation}/destinations", post(destinations::create).get(destinations::list))
        .route(
            "/organisations/{organisation}/destinations/{destination}",
            get(destinations::show).patch(destinations::change).delete(destinations::delete),
        )
        .route("/organisations/{organisation}/destinations/{destination}/setup", get(setup::show))
        .route("/organisations/{organisation}/destinations/{destination}/pause", post(destinations::pause))
        .route("/organisations/{organisation}/destinations/{destination}/resume", post(destinations::resume))
        .route("/organisations/{organisation}/destinations/{destination}/replay", post(destinations::replay))
        .route("/organisations/{organisation}/destinations/{destination}/deliveries", get(destinations::deliveries));
    with_fallbacks(routes).with_state(api)
}

/// `routes` with problem+json for paths and methods that are none, and a log line a request.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(async || Problem::no_such_route())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(axum::middleware::from_fn(call::log))
}
