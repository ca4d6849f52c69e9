//! What every route needs of a request: who calls, for which organisation, from where, with what body.

use std::net::{IpAddr, SocketAddr};

use annals_core::{
    administration::Actor,
    audit::Reader,
    event::{Context, MAX_REQUEST_BYTES},
    fault::{Fault, Faults},
    organisation::{Organisation, OrganisationId},
    token::{Caller, Role},
};
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, FromRef, FromRequest, FromRequestParts as _, RawPathParams, Request},
    response::{IntoResponse as _, Response},
};
use http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lambda_http::request::RequestContext;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value, json as object};

use crate::{Services, gateway::BasePath, problem::Problem, unit::Notes};

/// The longest path with its query, in bytes. API Gateway takes 10,240 bytes of request line and headers together.
const MAX_URI_BYTES: usize = 8 * 1024;
/// The most parameters of a query.
const MAX_QUERY_PARAMETERS: usize = 100;

/// A request of somebody whom we know.
#[derive(Debug)]
pub struct Call {
    /// The API that answers.
    pub api: Services,
    /// Who calls.
    pub caller: Caller,
    /// The body.
    pub body: Bytes,
    parts: Parts,
    path: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequest<S> for Call
where
    Services: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let api = Services::from_ref(state);
        let bearer = bearer(request.headers()).ok_or_else(Problem::unauthorized)?;
        let caller = api.admission.admit(bearer, address(request.extensions())).await?;
        Self::of(request, state, caller).await
    }
}

impl Call {
    /// The request of a caller who was let in.
    ///
    /// # Errors
    /// The problem that the request has.
    pub async fn of<S: Send + Sync>(request: Request, state: &S, caller: Caller) -> Result<Self, Problem>
    where
        Services: FromRef<S>,
    {
        let api = Services::from_ref(state);
        let (mut parts, body) = request.into_parts();
        if parts.uri.path_and_query().map_or(0, |all| all.as_str().len()) > MAX_URI_BYTES {
            return Err(Problem::uri_too_long(MAX_URI_BYTES));
        }
        check_query(parts.uri.query().unwrap_or_default())?;
        let is_encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
        if parts.headers.get_all(header::CONTENT_ENCODING).iter().any(is_encoded) {
            return Err(Problem::unsupported_content_encoding());
        }
        let params = RawPathParams::from_request_parts(&mut parts, state).await.map_err(|_| Problem::not_found())?;
        let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = match parts.method {
            // Content means nothing to these (RFC 9110, section 9.3), so it cannot be at fault either.
            Method::GET | Method::HEAD | Method::DELETE => Bytes::new(),
            _ => read(body).await?,
        };
        Ok(Self { api, caller, body, parts, path })
    }
}

/// The whole of a body, where it is not too large.
async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::body_too_large(MAX_REQUEST_BYTES)),
        Err(_) => Err(Problem::body_cut_off()),
    }
}

/// The token of the one `Authorization: Bearer` header. Of two it cannot be told which counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Passes where every name and value of a query is UTF-8 without NUL once it is decoded: what is decoded otherwise would
/// not be what was sent.
fn check_query(query: &str) -> Result<(), Faults> {
    let mut faults = Vec::new();
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    for (index, parameter) in parameters.enumerate() {
        if index == MAX_QUERY_PARAMETERS {
            let detail = format!("holds more than {MAX_QUERY_PARAMETERS} parameters");
            return Err(Fault::parameter("query", detail).into());
        }
        let decoded: Vec<u8> = percent_decode_str(parameter).collect();
        let name = percent_decode_str(parameter.split('=').next().unwrap_or_default()).decode_utf8_lossy();
        if decoded.contains(&0) {
            faults.push(Fault::parameter(name, "must not hold the character NUL (%00)"));
        } else if std::str::from_utf8(&decoded).is_err() {
            faults.push(Fault::parameter(name, "is not UTF-8 once it is decoded"));
        }
    }
    Faults::none_or(faults)
}

/// The address that a request came from: API Gateway says so on Lambda, the connection itself locally. Never a header
/// that anybody may send.
#[must_use]
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref()?.parse().ok(),
        _ => extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()),
    }
}

impl Call {
    /// Counts the events of the request against the caller's rate.
    ///
    /// # Errors
    /// The problem that there were too many.
    pub fn charge(&self, events: usize) -> Result<(), Problem> {
        Ok(self.api.admission.charge(&self.caller, events)?)
    }

    /// What the body is said to be, where that is said.
    ///
    /// # Errors
    /// [`Problem::unsupported_media_type`] where it is said twice, or in characters that no media type has.
    pub fn content_type(&self) -> Result<Option<&str>, Problem> {
        let mut values = self.parts.headers.get_all(header::CONTENT_TYPE).iter();
        let value = values.next().map(|value| value.to_str().map_err(|_| Problem::unsupported_media_type()));
        if values.next().is_some() { Err(Problem::unsupported_media_type()) } else { value.transpose() }
    }

    /// The organisation that the call is for, if the caller may do what `roles` may: the path's for the platform and
    /// for a token of that organisation, else the token's own.
    ///
    /// # Errors
    /// The problem that the caller has.
    pub async fn organisation(&self, roles: &[Role]) -> Result<Organisation, Problem> {
        let named = self.param("organisation");
        let id = match (&self.caller, named) {
            (Caller::Platform, None) => return Err(Problem::organisation_needed()),
            (Caller::Platform, Some(named)) => named.parse().map_err(|_| Problem::not_found())?,
            (Caller::Token(token), Some(named)) if token.organisation.as_str() != named => {
                return Err(Problem::not_found());
            }
            (Caller::Token(token), _) => {
                if !roles.contains(&token.role) {
                    let needed: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                    return Err(Problem::forbidden(token.role.as_str(), &needed.join(" or ")));
                }
                token.organisation.clone()
            }
            (Caller::Session(session), _) if roles.contains(&session.role) => session.organisation.clone(),
            (Caller::Session(_), _) => return Err(Problem::not_found()),
        };
        let organisation = self.api.administration.organisation(&id).await?;
        self.notes().organisation(&organisation.id);
        Ok(organisation)
    }

    /// Where to note what the request's line should say.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.parts.extensions.get::<Notes>().cloned().unwrap_or_default()
    }

    /// Passes for the platform alone.
    ///
    /// # Errors
    /// [`Problem::forbidden`] for everybody else.
    pub fn platform_only(&self) -> Result<(), Problem> {
        match &self.caller {
            Caller::Platform => Ok(()),
            Caller::Token(token) => Err(Problem::forbidden(token.role.as_str(), "the platform's token")),
            Caller::Session(session) => Err(Problem::forbidden(session.role.as_str(), "the platform's token")),
        }
    }

    /// The organisation's id in the path, for the platform's own calls.
    ///
    /// # Errors
    /// A fault where it is none.
    pub fn organisation_id(&self) -> Result<OrganisationId, Problem> {
        let named = self.param("organisation").unwrap_or_default();
        named.parse().map_err(|error| Fault::parameter("organisation", format!("{error}")).into())
    }

    /// A parameter of the path.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the path as a `T`; what cannot be one does not exist.
    ///
    /// # Errors
    /// [`Problem::not_found`].
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.param(name).and_then(|value| value.parse().ok()).ok_or_else(Problem::not_found)
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header's bytes, whatever they are, where it is given.
    ///
    /// # Errors
    /// A fault where it is given more than once.
    pub fn header_bytes(&self, name: &'static str) -> Result<Option<&[u8]>, Fault> {
        let mut values = self.parts.headers.get_all(name).iter();
        let value = values.next().map(HeaderValue::as_bytes);
        if values.next().is_some() { Err(Fault::parameter(name, "is given more than once")) } else { Ok(value) }
    }

    /// The query string, as it came.
    #[must_use]
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The path, as it came.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// Scheme, host and path by which the caller reached us, for links.
    #[must_use]
    pub fn base(&self) -> String {
        format!("{}{}", self.root(), self.path())
    }

    /// The same up to where our own paths begin.
    #[must_use]
    pub fn root(&self) -> String {
        let scheme = if is_https(&self.parts.headers) { "https" } else { "http" };
        let host = self.header(header::HOST).unwrap_or("localhost");
        format!("{scheme}://{host}{}", self.base_path())
    }

    /// What stands before our own paths, where the caller sees them.
    #[must_use]
    pub fn base_path(&self) -> &str {
        base_path(&self.parts.extensions)
    }

    /// Who acts, and from where.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { caller: self.caller.clone(), context: self.context() }
    }

    /// From where the call came: API Gateway says so on Lambda, the connection itself locally.
    #[must_use]
    pub fn context(&self) -> Context {
        context(&self.parts.headers, &self.parts.extensions)
    }
}

/// From where a request came: API Gateway says so on Lambda, the connection itself locally.
#[must_use]
pub fn context(headers: &HeaderMap, extensions: &Extensions) -> Context {
    let ip_address = match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => address(extensions).map(|address| address.to_string()),
    };
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Context { ip_address, user_agent: user_agent.map(cut), request_id: request_id(extensions) }
}

/// API Gateway's id of a request, made before anything is looked at.
#[must_use]
pub fn request_id(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    }
}

/// What stands before our own paths, where the caller sees them.
#[must_use]
pub fn base_path(extensions: &Extensions) -> &str {
    extensions.get::<BasePath>().map_or("", |base| &base.0)
}

/// Whether the caller reached us by HTTPS: API Gateway takes nothing else, and says so.
#[must_use]
pub fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme != "http")
}

/// What a caller chose for itself, as it is recorded: its first kilobyte.
#[must_use]
pub fn cut(text: &str) -> String {
    const MAX_BYTES: usize = 1024;
    text[..text.floor_char_boundary(MAX_BYTES)].to_owned()
}

/// The caller, with the call as PactFlow's own audit events describe one.
pub fn reader(call: &Call) -> Reader {
    let params: Map<String, Value> = form_urlencoded::parse(call.query().as_bytes())
        .map(|(name, value)| (name.into_owned(), cut(&value).into()))
        .collect();
    let details = object!({
        "path": call.path(),
        "queryString": cut(call.query()),
        "method": call.method(),
        "userAgent": call.header(header::USER_AGENT).map(cut),
        "referer": call.header(header::REFERER).map(cut),
        "params": params,
    });
    Reader {
        principal: call.caller.principal(),
        client_type: call.caller.client_type(),
        context: call.context(),
        call: details,
    }
}

/// An answer with a JSON body.
pub fn answer(status: http::StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer with `value` as JSON, the members of each object by name.
pub fn json(status: http::StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => answer(status, "application/json", value.to_string()),
        Err(error) => Problem::unwritable(&error).into_response(),
    }
}
