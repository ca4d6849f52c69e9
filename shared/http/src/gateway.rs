//! API Gateway in front of a router: what it puts before a path is taken off, and put back into links; and how a function
//! that serves it runs.

use annals_aws::{
    dynamodb,
    settings::{self, SettingError},
    telemetry,
};
use aws_config::SdkConfig;
use axum::Router;
use http::{Request, Uri, uri::PathAndQuery};
use lambda_http::request::RequestContext;
use tower::util::MapRequest;

/// Runs a function behind API Gateway until Lambda ends it: `router` over what `read` finds in the environment, with the
/// store's connection made before the first request.
///
/// # Errors
/// Where the environment lacks something, or Lambda's runtime API fails.
pub async fn run<S>(
    read: impl FnOnce(&SdkConfig) -> Result<S, SettingError>,
    router: impl FnOnce(S) -> Router,
) -> Result<(), lambda_http::Error> {
    telemetry::start_json();
    let started = settings::sdk_config().and_then(|config| read(&config).map(|state| (config, state)));
    let (config, state) = started.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    if let Err(error) = dynamodb::warm(&config, &settings::required("REGISTRY_TABLE")?).await {
        tracing::warn!(%error, "not warmed");
    }
    lambda_http::run(behind_gateway(router(state))).await
}

/// What stands before the API's own paths where callers see them: a stage such as `/prod`, or the path of a custom
/// domain's mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(pub String);

type TakeOff<B> = fn(Request<B>) -> Request<B>;

/// `router` as a Lambda function behind API Gateway serves it, at any stage and under any custom domain.
pub fn behind_gateway<B>(router: Router) -> MapRequest<Router, TakeOff<B>> {
    MapRequest::new(router, take_off_base_path)
}

/// The route that API Gateway chose tells how many segments of the path are the API's own: what comes before them is the
/// base path.
fn take_off_base_path<B>(mut request: Request<B>) -> Request<B> {
    let Some(RequestContext::ApiGatewayV2(context)) = request.extensions().get() else { return request };
    let route = context.route_key.as_deref().and_then(|key| key.split_once(' ')).map(|(_, route)| route);
    let segments = route.map_or(0, |route| route.matches('/').count());
    let uri = request.uri();
    let own = segments.checked_sub(1).and_then(|last| uri.path().rmatch_indices('/').nth(last));
    let Some((base, own)) = own.filter(|(index, _)| *index > 0).map(|(index, _)| uri.path().split_at(index)) else {
        return request;
    };
    let target = uri.query().map_or_else(|| own.to_owned(), |query| format!("{own}?{query}"));
    let (base, mut parts) = (BasePath(base.to_owned()), uri.clone().into_parts());
    parts.path_and_query = target.parse::<PathAndQuery>().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(base);
    }
    request
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;

    use super::*;

    fn taken_off(route: &str, uri: &str) -> (String, Option<String>) {
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.route_key = Some(route.to_owned());
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        request.extensions_mut().insert(RequestContext::ApiGatewayV2(context));
        let request = take_off_base_path(request);
        (request.uri().to_string(), request.extensions().get::<BasePath>().map(|base| base.0.clone()))
    }

    #[test]
    fn what_stands_before_the_route_is_taken_off() {
        let base = |text: &str| Some(text.to_owned());
        for (route, uri, expected) in [
            ("GET /audit", "https://h/audit?a=b", ("https://h/audit?a=b", None)),
            ("GET /audit", "https://h/prod/audit?a=%2Fb", ("https://h/audit?a=%2Fb", base("/prod"))),
            ("GET /audit/{uuid}", "https://h/v1/log/audit/xyz", ("https://h/audit/xyz", base("/v1/log"))),
            (
                "GET /organisations/{organisation}/audit",
                "https://h/prod/organisations/a%2Fb/audit",
                ("https://h/organisations/a%2Fb/audit", base("/prod")),
            ),
            ("$default", "https://h/prod/audit", ("https://h/prod/audit", None)),
            ("GET /organisations/{organisation}/audit", "https://h/audit", ("https://h/audit", None)),
        ] {
            assert_eq!(taken_off(route, uri), (expected.0.to_owned(), expected.1), "{route} {uri}");
        }
    }
}
