//! An authenticated request: who calls, from where, with which path, query, headers and body.

use annals_core::{
    administration::Actor,
    audit::Reader,
    caller::Caller,
    event::{Context, MAX_REQUEST_BYTES},
    fault::{Fault, Faults},
    organisation::{Organisation, OrganisationId},
    token::{Role, TokenText},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts as _, RawPathParams, Request},
};
use http::{Extensions, HeaderMap, HeaderValue, Method, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lambda_http::request::RequestContext;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::{
    Services,
    problem::Problem,
    request_log::{LogFields, address, request_id},
};

/// The longest path and query, in bytes. API Gateway accepts 10,240 bytes of request line and headers together.
const MAX_URI_BYTES: usize = 8 * 1024;
/// The most parameters of a query.
const MAX_QUERY_PARAMETERS: usize = 100;

/// A request of nobody in particular.
#[derive(Debug)]
pub struct Visit {
    parts: Parts,
}

impl Visit {
    #[must_use]
    pub fn of(request: Request) -> Self {
        Self { parts: request.into_parts().0 }
    }

    /// Returns the part of the URL before the service's own paths: scheme, host and base path.
    #[must_use]
    pub fn root_url(&self) -> String {
        root_url(&self.parts)
    }

    /// Returns whether `Accept` names HTML, as that of every browser does. Programs name JSON, anything, or nothing.
    #[must_use]
    pub fn wants_html(&self) -> bool {
        let accept = self.parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        accept
            .split(',')
            .filter_map(|range| range.split(';').next())
            .any(|name| name.trim().eq_ignore_ascii_case("text/html"))
    }
}

fn root_url(parts: &Parts) -> String {
    let scheme = if is_https(&parts.headers) { "https" } else { "http" };
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("{scheme}://{host}{}", base_path(&parts.extensions))
}

/// A request of a known caller. `T` is [`Organisation`] once the caller was found to have access to one.
#[derive(Debug)]
pub struct Call<T = ()> {
    pub services: Services,
    pub caller: Caller,
    pub organisation: T,
    pub body: Bytes,
    parts: Parts,
    path: Vec<(String, String)>,
}

impl Call {
    /// Authenticates the caller by the token in the `Authorization` header.
    ///
    /// # Errors
    /// Returns the problem if the token is missing or invalid, the caller exceeds a rate, or the request is malformed.
    pub async fn authenticate(request: Request, services: Services) -> Result<Self, Problem> {
        let bearer = bearer(request.headers()).ok_or_else(Problem::unauthorized)?;
        let caller = services.admission.admit(bearer, address(request.extensions())).await.inspect_err(|_| {
            if let Some(id) = TokenText::id_in(bearer).or_else(|| TokenText::platform_id_in(bearer)) {
                LogFields::of(request.extensions()).claimed_token(id);
            }
        })?;
        Self::of(request, services, caller).await
    }

    /// Reads the request of an authenticated caller.
    ///
    /// # Errors
    /// Returns the problem if the request is too large, encoded or malformed.
    pub async fn of(request: Request, services: Services, caller: Caller) -> Result<Self, Problem> {
        LogFields::of(request.extensions()).caller(&caller);
        if let Some(error) = services.admission.take_note_error() {
            LogFields::of(request.extensions()).failed_quietly(&error);
        }
        let (mut parts, body) = request.into_parts();
        if parts.uri.path_and_query().map_or(0, |target| target.as_str().len()) > MAX_URI_BYTES {
            return Err(Problem::uri_too_long(MAX_URI_BYTES));
        }
        check_query(parts.uri.query().unwrap_or_default())?;
        let is_encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
        if parts.headers.get_all(header::CONTENT_ENCODING).iter().any(is_encoded) {
            return Err(Problem::unsupported_content_encoding());
        }
        let path = RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| Problem::not_found())?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = match parts.method {
            // A body has no meaning in these methods (RFC 9110, section 9.3), so it is not checked.
            Method::GET | Method::HEAD | Method::DELETE => Bytes::new(),
            _ => read(body).await?,
        };
        Ok(Self { services, caller, organisation: (), body, parts, path })
    }

    /// Checks that the caller may make the call, and returns the call with its organisation. This is the organisation
    /// in the path. If the path has none, it is the token's own organisation. Only the platform may call for an
    /// organisation other than its token's own.
    ///
    /// # Errors
    /// Returns the problem if the caller's role is not one of `roles`, or the organisation does not exist or is not the
    /// caller's. The platform may do what any role may.
    pub async fn authorise(self, roles: &[Role]) -> Result<Call<Organisation>, Problem> {
        let organisation = self.organisation_for(roles).await?;
        Ok(self.with(organisation))
    }

    /// Does the same for a call that records events. The organisation may be half a second old.
    ///
    /// # Errors
    /// Returns the same problems as [`authorise`](Self::authorise).
    pub async fn authorise_recording(self, roles: &[Role]) -> Result<Call<Organisation>, Problem> {
        let id = self.organisation_id_for(roles)?;
        let organisation = self.services.administration.recent_organisation(&id).await?;
        self.log_fields().organisation(&organisation.id);
        Ok(self.with(organisation))
    }

    fn with(self, organisation: Organisation) -> Call<Organisation> {
        let Self { services, caller, body, parts, path, .. } = self;
        Call { services, caller, organisation, body, parts, path }
    }

    /// Does the same checks as [`authorise`](Self::authorise), and returns only the organisation.
    ///
    /// # Errors
    /// Returns the same problems as [`authorise`](Self::authorise).
    pub async fn organisation_for(&self, roles: &[Role]) -> Result<Organisation, Problem> {
        let id = self.organisation_id_for(roles)?;
        let organisation = self.services.administration.organisation(&id).await?;
        self.log_fields().organisation(&organisation.id);
        Ok(organisation)
    }

    fn organisation_id_for(&self, roles: &[Role]) -> Result<OrganisationId, Problem> {
        let named = self.parameter("organisation");
        Ok(match (&self.caller, named) {
            (Caller::Platform | Caller::PlatformToken(_), None) => return Err(Problem::organisation_required()),
            (Caller::Platform | Caller::PlatformToken(_), Some(named)) => {
                named.parse().map_err(|_| Problem::not_found())?
            }
            (Caller::Token(token), Some(named)) if token.organisation.as_str() != named => {
                return Err(Problem::not_found());
            }
            (Caller::Token(token), _) => {
                if !roles.contains(&token.role) {
                    let required: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                    return Err(Problem::forbidden(token.role.as_str(), &required.join(" or ")));
                }
                token.organisation.clone()
            }
            (Caller::Session(session), _) if roles.contains(&session.role) => session.organisation.clone(),
            (Caller::Session(_), _) => return Err(Problem::not_found()),
        })
    }

    /// Returns the organisation's id in the path of a call that may create the organisation.
    ///
    /// # Errors
    /// Returns a fault if it is not a valid id.
    pub fn organisation_id(&self) -> Result<OrganisationId, Problem> {
        let named = self.parameter("organisation").unwrap_or_default();
        named.parse().map_err(|error| Fault::parameter("organisation", format!("{error}")).into())
    }
}

impl<T> Call<T> {
    /// Returns `Ok` if the caller is the platform.
    ///
    /// # Errors
    /// Returns [`Problem::forbidden`] for any other caller.
    pub fn require_platform(&self) -> Result<(), Problem> {
        let role = match &self.caller {
            Caller::Platform | Caller::PlatformToken(_) => return Ok(()),
            Caller::Token(token) => token.role,
            Caller::Session(session) => session.role,
        };
        Err(Problem::forbidden(role.as_str(), "the platform's token"))
    }

    /// Counts the events of the request towards the caller's rate limit.
    ///
    /// # Errors
    /// Returns a problem if there are too many.
    pub fn charge(&self, events: usize) -> Result<(), Problem> {
        Ok(self.services.admission.charge(&self.caller, events)?)
    }

    /// Returns the fields of the request's log line, for its handler to set.
    #[must_use]
    pub fn log_fields(&self) -> LogFields {
        LogFields::of(&self.parts.extensions)
    }

    /// Returns a parameter of the path, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter of the path, parsed.
    ///
    /// # Errors
    /// Returns [`Problem::not_found`] if the value cannot be parsed, because such a resource cannot exist.
    pub fn path_parameter<P: std::str::FromStr>(&self, name: &str) -> Result<P, Problem> {
        self.parameter(name).and_then(|value| value.parse().ok()).ok_or_else(Problem::not_found)
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns the text of a header.
    #[must_use]
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the bytes of a header, which need not be text.
    ///
    /// # Errors
    /// Returns a fault if the header is given more than once.
    pub fn header_bytes(&self, name: &'static str) -> Result<Option<&[u8]>, Fault> {
        let mut values = self.parts.headers.get_all(name).iter();
        let value = values.next().map(HeaderValue::as_bytes);
        if values.next().is_some() { Err(Fault::parameter(name, "is given more than once")) } else { Ok(value) }
    }

    /// Returns the `Content-Type` header.
    ///
    /// # Errors
    /// Returns [`Problem::unsupported_media_type`] if the header is given more than once or is not text.
    pub fn content_type(&self) -> Result<Option<&str>, Problem> {
        let mut values = self.parts.headers.get_all(header::CONTENT_TYPE).iter();
        let value = values.next().map(|value| value.to_str().map_err(|_| Problem::unsupported_media_type()));
        if values.next().is_some() { Err(Problem::unsupported_media_type()) } else { value.transpose() }
    }

    /// Returns the query string as it was sent.
    #[must_use]
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Returns the path as it was sent, without the base path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    #[must_use]
    pub fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    /// Returns the URL of the call without its query, for links.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.root_url(), self.path())
    }

    /// Returns the part of the URL before the service's own paths: scheme, host and base path.
    #[must_use]
    pub fn root_url(&self) -> String {
        root_url(&self.parts)
    }

    #[must_use]
    pub fn base_path(&self) -> &str {
        base_path(&self.parts.extensions)
    }

    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { caller: self.caller.clone(), context: self.context() }
    }

    #[must_use]
    pub fn context(&self) -> Context {
        context(&self.parts.headers, &self.parts.extensions)
    }

    /// Returns the caller, with the call as PactFlow's audit events describe one.
    pub fn reader(&self) -> Reader {
        let params: Map<String, Value> = form_urlencoded::parse(self.query().as_bytes())
            .map(|(name, value)| (name.into_owned(), truncate(&value).into()))
            .collect();
        let call = json!({
            "path": self.path(),
            "queryString": truncate(self.query()),
            "method": self.method(),
            "userAgent": self.header(header::USER_AGENT).map(truncate),
            "referer": self.header(header::REFERER).map(truncate),
            "params": params,
        });
        Reader {
            principal: self.caller.principal(),
            client_type: self.caller.client_type(),
            context: self.context(),
            call,
        }
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::body_too_large(MAX_REQUEST_BYTES)),
        Err(_) => Err(Problem::body_cut_off()),
    }
}

/// Returns the token of the only `Authorization: Bearer` header. Returns `None` if there are two such headers, because
/// it is unclear which one is valid.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Returns `Ok` if every name and value, once decoded, is UTF-8 without NUL. Lossy decoding would change what was sent.
fn check_query(query: &str) -> Result<(), Faults> {
    let mut faults = Vec::new();
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    for (index, parameter) in parameters.enumerate() {
        if index == MAX_QUERY_PARAMETERS {
            let detail = format!("has more than {MAX_QUERY_PARAMETERS} parameters");
            return Err(Fault::parameter("query", detail).into());
        }
        let decoded: Vec<u8> = percent_decode_str(parameter).collect();
        let name = percent_decode_str(parameter.split('=').next().unwrap_or_default()).decode_utf8_lossy();
        if decoded.contains(&0) {
            faults.push(Fault::parameter(name, "must not contain the character NUL (%00)"));
        } else if std::str::from_utf8(&decoded).is_err() {
            faults.push(Fault::parameter(name, "is not valid UTF-8 after decoding"));
        }
    }
    Faults::none_or(faults)
}

/// Returns where a request came from: from API Gateway on Lambda, from the connection locally.
#[must_use]
pub fn context(headers: &HeaderMap, extensions: &Extensions) -> Context {
    let ip_address = match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => address(extensions).map(|address| address.to_string()),
    };
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Context { ip_address, user_agent: user_agent.map(truncate), request_id: request_id(extensions) }
}

/// The part of a URL before the service's own paths, as callers see it: a stage such as `/prod`, or the path of a
/// custom domain's mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(pub String);

/// Returns the [`BasePath`] of a request, or an empty text.
#[must_use]
pub fn base_path(extensions: &Extensions) -> &str {
    extensions.get::<BasePath>().map_or("", |base| &base.0)
}

/// Returns whether the caller used HTTPS. API Gateway accepts nothing else, and says so in this header.
#[must_use]
pub fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme != "http")
}

/// Returns the first kilobyte of a text that the caller chose, for audit events.
fn truncate(text: &str) -> String {
    const MAX_BYTES: usize = 1024;
    text[..text.floor_char_boundary(MAX_BYTES)].to_owned()
}
