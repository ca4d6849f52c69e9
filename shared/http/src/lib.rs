//! What the functions behind API Gateway share. Owns reading a request, the declaration of operations, problems, and the
//! log line of each request; knows no route of its own.
//!
//! - [`call`]: what every route needs of a request: who calls, for which organisation, from where, with what body
//! - [`console`]: sessions, refusals and response headers of the console's addresses
//! - [`gateway`]: what API Gateway puts before the paths
//! - [`operation`]: how an operation is declared, for the router and for OpenAPI
//! - [`description`]: OpenAPI, made of the operations and of [`schema`]s
//! - [`problem`]: every error as problem+json; the one place that knows which error has which status
//! - [`query`]: the parameters of reading the log
//! - [`unit`]: a request's line in the log, and what it measured

pub mod call;
pub mod console;
pub mod description;
pub mod gateway;
pub mod operation;
pub mod problem;
pub mod query;
pub mod schema;
pub mod unit;

use std::sync::Arc;

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    settings::{self, SettingError},
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    administration::Administration,
    admission::{Admission, rate_limiter::RateLimits},
    audit::Audit,
    delivery::setup::TemplateUrl,
    destination::Region,
    entropy::Entropy,
    log::{Log, append::AppendPolicy, store::LogStore},
    organisation::RetentionDays,
    registry::Registry,
    service::{RolePattern, ServiceSettings},
    time::Clock,
    token::{Role, TokenHash},
};
use axum::Router;

use crate::problem::Problem;

/// What the routes are answered with.
#[derive(Debug, Clone)]
pub struct Services {
    /// The log itself, for recording events.
    pub log: Arc<Log>,
    /// Reading it.
    pub audit: Audit,
    /// Organisations, tokens and destinations.
    pub administration: Administration,
    /// Who is let in, and how often.
    pub admission: Admission,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What customers need to know of the deployment.
    pub service: ServiceSettings,
}

impl Services {
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
        let administration = Administration::new(Arc::clone(&log), store, Arc::clone(&clock), entropy)
            .with_default_retention(service.default_retention);
        Self {
            audit: Audit::new(Arc::clone(&log)),
            admission: administration.admission(platform, RateLimits::default()),
            administration,
            log,
            clock,
            service,
        }
    }

    /// The same with other rates.
    #[must_use]
    pub fn with_rate_limits(self, limits: RateLimits) -> Self {
        Self { admission: self.admission.with_limits(limits), ..self }
    }

    /// The API that the environment describes: `LOG_TABLE`, `REGISTRY_TABLE`, `PLATFORM_TOKEN_SHA256`,
    /// `SERVICE_ACCOUNT_ID`, `CUSTOMER_TEMPLATE_URL` where there is one, and, where they are to be other than the
    /// defaults, `DEFAULT_RETENTION_DAYS`, `CUSTOMER_ROLE_PATTERN`, `ALLOW_ROLES_OF_THIS_ACCOUNT`, `ORGANISATION_RATE`,
    /// `PLATFORM_RATE` and `FAILED_AUTHENTICATION_RATE`.
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
            default_retention: settings::parsed_or("DEFAULT_RETENTION_DAYS", RetentionDays::DEFAULT)?,
            roles: settings::parsed_or("CUSTOMER_ROLE_PATTERN", RolePattern::default())?,
            own_roles_allowed: settings::parsed_or("ALLOW_ROLES_OF_THIS_ACCOUNT", false)?,
        };
        let default = RateLimits::default();
        let limits = RateLimits {
            organisation: settings::parsed_or("ORGANISATION_RATE", default.organisation)?,
            platform: settings::parsed_or("PLATFORM_RATE", default.platform)?,
            failed_authentications: settings::parsed_or("FAILED_AUTHENTICATION_RATE", default.failed_authentications)?,
        };
        let api = Self::new(store, Arc::new(SystemClock), Arc::new(SystemEntropy), platform, service);
        Ok(api.with_rate_limits(limits))
    }
}

/// Who may record events.
pub const PRODUCERS: &[Role] = &[Role::Producer];
/// Who may read the audit log.
pub const READERS: &[Role] = &[Role::Auditor, Role::Admin];
/// Who may manage tokens and destinations.
pub const ADMINISTRATORS: &[Role] = &[Role::Admin];

/// `routes` with problem+json for paths and methods that are none, and a log line a request.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>, api: &Services) -> Router<S> {
    let routes = routes
        .fallback(async || Problem::no_such_route())
        .method_not_allowed_fallback(async || Problem::method_not_allowed());
    observed(routes, api)
}

/// `routes` with a log line a request.
pub fn observed<S: Clone + Send + Sync + 'static>(routes: Router<S>, api: &Services) -> Router<S> {
    routes.layer(axum::middleware::from_fn_with_state(Arc::clone(&api.log), unit::observe))
}
