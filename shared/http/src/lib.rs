//! What the functions behind API Gateway share. Owns the declaration of endpoints, authentication, problems, the OpenAPI
//! document and the log line of each request; knows no endpoint of its own.
//!
//! - [`endpoint`]: how an endpoint is declared
//! - [`access`]: who may call an endpoint
//! - [`call`]: an authenticated request
//! - [`response`]: successful responses
//! - [`problem`]: errors as problem+json; the only module that knows which error has which status
//! - [`query`]: the query parameters of reads of the log
//! - [`openapi`]: the OpenAPI document, made of endpoints and [`schema`]s
//! - [`gateway`]: the function behind API Gateway, and the base path that API Gateway puts before our paths
//! - [`prelude`]: what every endpoint's file imports
//! - [`request_log`]: the log line of a request
//! - [`console`]: sessions, refusals and response headers of the console's addresses

pub mod access;
pub mod call;
pub mod console;
pub mod endpoint;
pub mod gateway;
pub mod openapi;
pub mod prelude;
pub mod problem;
pub mod query;
pub mod request_log;
pub mod response;
pub mod schema;

use std::sync::Arc;

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    kms,
    metrics::WorkMeter,
    settings::{self, SettingError},
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    administration::Administration,
    admission::{Admission, rate_limiter::RateLimits},
    audit::Audit,
    brand::{Accent, Brand},
    destination::{Region, RolesWithoutExternalId},
    entropy::Entropy,
    health::{Health, Probe},
    log::{Log, append::AppendPolicy, store::LogStore},
    organisation::RetentionDays,
    portal::ReturnOrigins,
    proof::{log_checkpoint::LogCheckpoints, signing::Signing},
    registry::Registry,
    service::{ConsoleTokens, RolePattern, ServiceSettings, TemplateUrl},
    time::Clock,
    token::TokenHash,
};
use axum::Router;

pub use crate::access::{ADMINISTRATORS, PRODUCERS, READERS};
use crate::problem::Problem;

/// The use cases, wired to a store.
#[derive(Debug, Clone)]
pub struct Services {
    pub log: Arc<Log>,
    pub audit: Audit,
    pub administration: Administration,
    pub admission: Admission,
    pub clock: Arc<dyn Clock>,
    pub service: ServiceSettings,
    pub health: Health,
    /// `None` if the deployment does not sign checkpoints.
    pub checkpoints: Option<LogCheckpoints>,
}

impl Services {
    #[must_use]
    pub fn new<S: LogStore + Registry + 'static>(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        platform: TokenHash,
        service: ServiceSettings,
    ) -> Self {
        let log = Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            AppendPolicy::default(),
        );
        let log = Arc::new(log.with_meter(Arc::new(WorkMeter)));
        let administration = Administration::new(Arc::clone(&log), store, Arc::clone(&clock), entropy)
            .with_default_retention(service.default_retention)
            .with_console_tokens(service.console_tokens.clone())
            .with_roles_without_external_id(service.roles_without_external_id)
            .with_brand(service.brand.clone())
            .with_return_origins(service.return_origins.clone());
        Self {
            audit: Audit::new(Arc::clone(&log)),
            admission: administration.admission(platform, RateLimits::default()),
            administration,
            log,
            health: Health::new(Arc::clone(&clock)),
            clock,
            service,
            checkpoints: None,
        }
    }

    /// Signs checkpoints. Without it, the deployment signs none.
    #[must_use]
    pub fn with_signing(self, signing: Option<Arc<Signing>>) -> Self {
        let health = self.health.with(signing.clone().map(|signing| signing as Arc<dyn Probe>));
        let checkpoints = signing.map(|signing| LogCheckpoints::new(Arc::clone(&self.log), signing));
        Self { checkpoints, health, ..self }
    }

    /// Adds checks of the deployment's health. That of the signing key comes with the key.
    #[must_use]
    pub fn with_probes(self, probes: impl IntoIterator<Item = Arc<dyn Probe>>) -> Self {
        Self { health: self.health.with(probes), ..self }
    }

    /// Limits requests and the appends to each log. Without it, the default rates hold for requests, and logs have no limit.
    #[must_use]
    pub fn with_rate_limits(self, limits: RateLimits) -> Self {
        self.log.limit_appends(limits.appends);
        Self { admission: self.admission.with_limits(limits), ..self }
    }

    /// Reads the environment: `LOG_TABLE`, `REGISTRY_TABLE`, `PLATFORM_TOKEN_SHA256` and `SERVICE_ACCOUNT_ID` are required;
    /// `PREVIOUS_PLATFORM_TOKEN_SHA256`, `CUSTOMER_TEMPLATE_URL`, `DEFAULT_RETENTION_DAYS`, `CUSTOMER_ROLE_PATTERN`,
    /// `ALLOW_ROLES_OF_THIS_ACCOUNT`, `ROLES_WITHOUT_EXTERNAL_ID`, `CONSOLE_TOKEN_MAX_DAYS`, `CONSOLE_TOKEN_ROLES`, `PRODUCT_NAME`,
    /// `PRODUCT_LOGO`, `ACCENT_COLOUR`, `SUPPORT_URL`, `SIGN_IN_URL`, `RETURN_ORIGINS`, `SIGNING_KEY` with `SIGNER_NAME`,
    /// `ORGANISATION_RATE`, `PLATFORM_RATE` and
    /// `FAILED_AUTHENTICATION_RATE` are optional.
    ///
    /// # Errors
    /// Returns an error if a variable is missing or invalid.
    pub fn from_environment(config: &aws_config::SdkConfig) -> Result<Self, SettingError> {
        let tables = Tables { log: settings::required("LOG_TABLE")?, registry: settings::required("REGISTRY_TABLE")? };
        let store = Arc::new(DynamoStore::new(aws_sdk_dynamodb::Client::new(config), tables));
        let platform = settings::parsed("PLATFORM_TOKEN_SHA256")?;
        let console_tokens = ConsoleTokens::default();
        let service = ServiceSettings {
            account: settings::parsed("SERVICE_ACCOUNT_ID")?,
            region: config.region().and_then(|region| region.as_ref().parse::<Region>().ok()),
            template_url: settings::optional::<TemplateUrl>("CUSTOMER_TEMPLATE_URL")?,
            default_retention: settings::parsed_or("DEFAULT_RETENTION_DAYS", RetentionDays::DEFAULT)?,
            roles: settings::parsed_or("CUSTOMER_ROLE_PATTERN", RolePattern::default())?,
            own_roles_allowed: settings::parsed_or("ALLOW_ROLES_OF_THIS_ACCOUNT", false)?,
            console_tokens: ConsoleTokens {
                max_life: settings::parsed_or("CONSOLE_TOKEN_MAX_DAYS", console_tokens.max_life)?,
                roles: settings::parsed_or("CONSOLE_TOKEN_ROLES", console_tokens.roles)?,
            },
            roles_without_external_id: settings::parsed_or(
                "ROLES_WITHOUT_EXTERNAL_ID",
                RolesWithoutExternalId::default(),
            )?,
            brand: Brand {
                product: settings::optional("PRODUCT_NAME")?,
                logo: settings::optional("PRODUCT_LOGO")?,
                accent: settings::parsed_or("ACCENT_COLOUR", Accent::default())?,
                support: settings::optional("SUPPORT_URL")?,
                sign_in: settings::optional("SIGN_IN_URL")?,
            },
            return_origins: settings::parsed_or("RETURN_ORIGINS", ReturnOrigins::default())?,
        };
        let default = RateLimits::default();
        let limits = RateLimits {
            organisation: settings::parsed_or("ORGANISATION_RATE", default.organisation)?,
            platform: settings::parsed_or("PLATFORM_RATE", default.platform)?,
            failed_authentications: settings::parsed_or("FAILED_AUTHENTICATION_RATE", default.failed_authentications)?,
            appends: default.appends,
        };
        let signing = kms::signing(config, store.clone(), Arc::new(SystemClock))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let probes = store.probes(&clock);
        let services = Self::new(store, Arc::new(SystemClock), Arc::new(SystemEntropy), platform, service);
        let services = services.with_rate_limits(limits).with_probes(probes).with_signing(signing);
        let previous = settings::optional("PREVIOUS_PLATFORM_TOKEN_SHA256")?;
        Ok(Self { admission: services.admission.with_previous_platform_token(previous), ..services })
    }
}

/// Adds to `router` the problems for unknown paths and unsupported methods, and a log line for each request.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let router = router
        .fallback(async || Problem::no_such_route())
        .method_not_allowed_fallback(async || Problem::method_not_allowed());
    with_request_log(router)
}

/// Adds to `router` a log line for each request.
pub fn with_request_log<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(axum::middleware::from_fn(request_log::log_request))
}
