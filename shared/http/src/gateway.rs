//! A router behind API Gateway: how its function runs, whose address a request has, and how the base path is removed.
//!
//! On Lambda an environment of a function takes one request at a time. On Lambda Managed Instances it takes as many as
//! `AWS_LAMBDA_MAX_CONCURRENCY` says, each by a poller of its own. All of them share one process and its use cases, so appends
//! to one organisation that run at the same time share a segment.

mod trusted_proxies;

use std::sync::Arc;

use annals_aws::{
    dynamodb,
    metrics::{self, CannotStart},
    settings::{self, SettingError},
    telemetry,
};
use annals_core::event::MAX_REQUEST_BYTES;
use aws_config::SdkConfig;
use axum::{Router, body::Bytes, response::Response};
use http::{Request, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full};
use lambda_http::{Body, aws_lambda_events::apigw::ApiGatewayV2httpRequestContext, request::RequestContext};
use tower::util::{AndThen, MapRequest};

use self::trusted_proxies::TrustedProxies;
use crate::{
    call::BasePath,
    endpoint::{Endpoint, Endpoints, Scope, below_organisation},
};

/// The most bytes of an event that Lambda accepts (AWS Lambda, "Lambda quotas": 6 MB). API Gateway refuses a request whose
/// event is larger, with a 413 that is not ours.
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;
/// The bytes of an event besides the body. Path and headers have at most 10 KB (Amazon API Gateway, "Quotas for configuring and
/// running an HTTP API"); the event has some of them twice, and escapes characters.
const RESERVED_BYTES: usize = 64 * 1024;
/// Up to this size a body of `application/json` always passes API Gateway, which passes it on as a text in JSON: each quote,
/// backslash and line break in it becomes two characters. A larger body passes if it has fewer of them.
pub const MAX_JSON_BYTES: usize = 3_000_000;

const _: () = assert!(2 * MAX_JSON_BYTES + RESERVED_BYTES <= MAX_EVENT_BYTES);
// API Gateway passes on every other media type in Base64.
const _: () = assert!(MAX_REQUEST_BYTES.div_ceil(3) * 4 + RESERVED_BYTES <= MAX_EVENT_BYTES);

/// Runs a function behind API Gateway until Lambda ends it. `read` reads the environment, `router` answers the requests
/// for `paths`. The store's connection is made before the first request.
///
/// # Errors
/// Returns an error if a setting is missing or invalid, or Lambda's runtime API fails.
pub async fn run<S>(
    read: impl FnOnce(&SdkConfig) -> Result<S, SettingError>,
    router: impl FnOnce(S) -> Router,
    paths: Paths,
) -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let started = settings::sdk_config().and_then(|config| {
        let proxies = settings::parsed_or("TRUSTED_PROXIES", TrustedProxies::default())?;
        read(&config).map(|state| (config, state, proxies))
    });
    let (config, state, proxies) = started.inspect_err(|error| metrics::emit(&CannotStart::because(error)))?;
    if let Err(error) = dynamodb::warm(&config, &settings::required("REGISTRY_TABLE")?).await {
        tracing::warn!(%error, "not warmed");
    }
    let paths = Arc::new(paths);
    let prepare = move |request: Request<Body>| strip_base_path(proxies.believed(request), &paths);
    lambda_http::run_concurrent(AndThen::new(MapRequest::new(router(state), prepare), collected)).await
}

/// Returns the response with its body in one piece, because the runtime shares responses between threads.
async fn collected(response: Response) -> Result<http::Response<Full<Bytes>>, lambda_http::Error> {
    let (parts, body) = response.into_parts();
    Ok(http::Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}

/// The paths that a function serves. A segment in braces stands for any segment, `{*rest}` for the rest of the path.
#[derive(Debug, Clone, Default)]
pub struct Paths(Vec<String>);

impl Paths {
    #[must_use]
    pub fn and(mut self, path: impl Into<String>) -> Self {
        self.0.push(path.into());
        self
    }

    fn contain(&self, path: &str) -> bool {
        self.0.iter().any(|declared| matches(declared, path))
    }

    /// Returns whether a path begins like one of these, or ends with one.
    fn are_in(&self, path: &str) -> bool {
        let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
        let begins = self.0.iter().any(|declared| first(declared) == first(path));
        begins || path.match_indices('/').any(|(start, _)| self.contain(&path[start..]))
    }
}

impl<S> Endpoints<S> for Paths {
    fn endpoint<E: Endpoint<S> + 'static>(self) -> Self {
        match E::SCOPE {
            Scope::Path => self.and(E::PATH),
            Scope::TokenOrPath => self.and(E::PATH).and(below_organisation(E::PATH)),
        }
    }
}

fn matches(declared: &str, path: &str) -> bool {
    let (mut declared, mut path) = (declared.split('/'), path.split('/'));
    loop {
        match (declared.next(), path.next()) {
            (None, None) => return true,
            (Some(rest), Some(_)) if rest.starts_with("{*") => return true,
            (Some(parameter), Some(segment)) if parameter.starts_with('{') && !segment.is_empty() => {}
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

/// Moves the base path out of the request's URI into a [`BasePath`].
fn strip_base_path<B>(mut request: Request<B>, paths: &Paths) -> Request<B> {
    let Some(RequestContext::ApiGatewayV2(context)) = request.extensions().get() else { return request };
    let uri = request.uri();
    let (base, own) = uri.path().split_at(base_path_length(context, uri.path(), paths));
    if base.is_empty() {
        return request;
    }
    let target = uri.query().map_or_else(|| own.to_owned(), |query| format!("{own}?{query}"));
    let (base, mut parts) = (BasePath(base.to_owned()), uri.clone().into_parts());
    parts.path_and_query = target.parse::<PathAndQuery>().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(base);
    }
    request
}

/// At API Gateway's own domain the base path is the stage, unless that is `$default`. At a custom domain it is the path
/// of the mapping. The request does not contain it, so it is computed: the longest end of the path that is one of the
/// function's own paths is removed, and the rest is the base path. So a mapping must not begin like one of these paths.
fn base_path_length(context: &ApiGatewayV2httpRequestContext, path: &str, paths: &Paths) -> usize {
    let stage = context.stage.as_deref().filter(|stage| *stage != "$default");
    let length_of_stage = stage.map_or(0, |stage| {
        let is_first =
            path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)).is_some_and(|rest| rest.starts_with('/'));
        if is_first { 1 + stage.len() } else { 0 }
    });
    let is_custom_domain = context.domain_name.as_deref().is_some_and(|domain| !domain.contains(".execute-api."));
    if !is_custom_domain {
        return length_of_stage;
    }
    let mut starts = path.match_indices('/').map(|(index, _)| index);
    let is_own = |start: &usize| match path.split_at(*start) {
        // `/v1/audit/` is no path of the function, and `/v1/audit` no base path.
        (base, "/") if !base.is_empty() => paths.contain("/") && !paths.are_in(base),
        (_, own) => paths.contain(own),
    };
    starts.find(is_own).unwrap_or(length_of_stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";

    fn stripped(domain: &str, stage: &str, uri: &str) -> (String, Option<String>) {
        let paths = Paths::default()
            .and("/")
            .and("/audit")
            .and("/audit/{uuid}")
            .and("/organisations/{organisation}/audit")
            .and("/console")
            .and("/console/{*rest}");
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.stage = Some(stage.to_owned());
        context.domain_name = Some(domain.to_owned());
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        request.extensions_mut().insert(RequestContext::ApiGatewayV2(context));
        let request = strip_base_path(request, &paths);
        (request.uri().to_string(), request.extensions().get::<BasePath>().map(|base| base.0.clone()))
    }

    #[test]
    fn the_stage_is_removed_at_the_domain_of_the_gateway() {
        for (stage, uri, expected) in [
            ("$default", "https://h/audit?a=b", ("https://h/audit?a=b", None)),
            ("$default", "https://h/prod/audit", ("https://h/prod/audit", None)),
            ("prod", "https://h/prod/audit?a=%2Fb", ("https://h/audit?a=%2Fb", Some("/prod"))),
            ("prod", "https://h/prod/", ("https://h/", Some("/prod"))),
            ("prod", "https://h/prod/nowhere", ("https://h/nowhere", Some("/prod"))),
            ("audit", "https://h/audit/audit", ("https://h/audit", Some("/audit"))),
            (
                "prod",
                "https://h/prod/organisations/a%2Fb/audit",
                ("https://h/organisations/a%2Fb/audit", Some("/prod")),
            ),
            ("prod", "https://h/prod/console/a/b/c", ("https://h/console/a/b/c", Some("/prod"))),
        ] {
            let expected = (expected.0.to_owned(), expected.1.map(str::to_owned));
            assert_eq!(stripped(GATEWAY, stage, uri), expected, "{stage} {uri}");
        }
    }

    #[test]
    fn the_path_of_the_mapping_is_removed_at_a_custom_domain() {
        for (uri, expected) in [
            ("https://h/audit", ("https://h/audit", None)),
            ("https://h/v1/log/audit/xyz?a=%2Fb", ("https://h/audit/xyz?a=%2Fb", Some("/v1/log"))),
            ("https://h/organisations/audit/audit", ("https://h/organisations/audit/audit", None)),
            ("https://h/v1/organisations/a%2Fb/audit", ("https://h/organisations/a%2Fb/audit", Some("/v1"))),
            ("https://h/v1/audit/a%2Fb", ("https://h/audit/a%2Fb", Some("/v1"))),
            ("https://h/v1/console", ("https://h/console", Some("/v1"))),
            ("https://h/v1/console/destinations//", ("https://h/console/destinations//", Some("/v1"))),
            ("https://h/v1/nowhere", ("https://h/v1/nowhere", None)),
            ("https://h/v1/audit/", ("https://h/v1/audit/", None)),
            ("https://h/", ("https://h/", None)),
            ("https://h/v1/", ("https://h/", Some("/v1"))),
            ("https://h/audit/", ("https://h/audit/", None)),
            ("https://h/audit/x/", ("https://h/audit/x/", None)),
            ("https://h/audit/x/y/", ("https://h/audit/x/y/", None)),
        ] {
            let expected = (expected.0.to_owned(), expected.1.map(str::to_owned));
            assert_eq!(stripped("audit.example.com", "$default", uri), expected, "{uri}");
        }
    }
}
