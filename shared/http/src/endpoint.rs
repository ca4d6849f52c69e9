//! Endpoints: each is declared once, with its route, its callers, its documentation and its handler. The router and the
//! [OpenAPI document](crate::openapi) are both made from these declarations, so they always have the same endpoints.
//!
//! Architecture invariant: a router never calls [`Endpoint::documentation`], so functions neither build nor link
//! descriptions.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{FromRef, Request, State},
    response::Response,
    routing::{MethodFilter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    Services,
    access::{Access, PlatformAccess},
    problem::{Kind, Problem},
};

/// One endpoint. Its file, its type and its [`ID`](Self::ID) have the same name.
pub trait Endpoint<S> {
    /// The `operationId`: a verb and the resource, such as `getOrganisation`.
    const ID: &'static str;
    const METHOD: Method;
    const PATH: &'static str;
    const SCOPE: Scope = Scope::Path;
    /// Who may call it. The router checks that before the handler runs.
    type Access: Access;

    /// Which of the platform's tokens may call it.
    const PLATFORM: PlatformAccess = PlatformAccess::Deployment;

    fn documentation() -> Documentation;

    fn handle(state: S, call: <Self::Access as Access>::Call)
    -> impl Future<Output = Result<Response, Problem>> + Send;
}

/// What endpoints are added to: a [`Router`] answers them, a [`Description`](crate::openapi::Description) lists them.
pub trait Endpoints<S>: Sized {
    /// Adds an endpoint at each of its paths.
    #[must_use]
    fn endpoint<E: Endpoint<S> + 'static>(self) -> Self;
}

impl<S: Clone + Send + Sync + 'static> Endpoints<S> for Router<S>
where
    Services: FromRef<S>,
{
    fn endpoint<E: Endpoint<S> + 'static>(self) -> Self {
        let add = |router: Self, path: &str| router.route(path, on(E::METHOD.filter(), answer::<E, S>));
        match E::SCOPE {
            Scope::Path => add(self, E::PATH),
            Scope::TokenOrPath => add(add(self, E::PATH), &below_organisation(E::PATH)),
        }
    }
}

async fn answer<E: Endpoint<S>, S>(State(state): State<S>, request: Request) -> Result<Response, Problem>
where
    S: Clone + Send + Sync + 'static,
    Services: FromRef<S>,
{
    let call = E::Access::admit(request, &state, E::PLATFORM).await?;
    E::handle(state, call).await
}

/// How an endpoint learns which organisation it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The path names the organisation, or the endpoint is not for an organisation.
    Path,
    /// The endpoint is for the token's own organisation. It also exists below `/organisations/{organisation}`, where
    /// the platform can call it.
    TokenOrPath,
}

pub(crate) fn below_organisation(path: &str) -> String {
    format!("/organisations/{{organisation}}{path}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// Returns the name as OpenAPI writes it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A group of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Events,
    Audit,
    Organisations,
    Tokens,
    Destinations,
    Platform,
    Service,
}

impl Tag {
    /// Every tag with its description, in the order in which readers see them.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Events, "Record events, as a producer."),
        (Self::Audit, "Read the log. Each call is itself recorded before it is answered."),
        (Self::Destinations, "An organisation's S3 bucket, to which its events are delivered every ten minutes."),
        (Self::Tokens, "An organisation's tokens. A token's text is shown once."),
        (Self::Organisations, "The platform's customers."),
        (Self::Platform, "The platform's own named tokens, each with scopes."),
        (Self::Service, "The API itself."),
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "Events",
            Self::Audit => "Audit log",
            Self::Organisations => "Organisations",
            Self::Tokens => "Tokens",
            Self::Destinations => "Destinations",
            Self::Platform => "Platform",
            Self::Service => "Service",
        }
    }
}

/// Makes a type's schema in a generator that keeps the definitions it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A successful response.
#[derive(Debug, Clone)]
pub(crate) struct Success {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// By media type.
    pub(crate) content: Vec<(&'static str, SchemaOf)>,
    /// By name, each with its description.
    pub(crate) headers: Vec<(&'static str, &'static str, SchemaOf)>,
}

/// What the OpenAPI document says about an endpoint in addition to its declaration.
#[derive(Debug, Clone)]
pub struct Documentation {
    pub(crate) tag: Tag,
    pub(crate) summary: &'static str,
    pub(crate) description: Cow<'static, str>,
    /// Where the parameters are (`query` or `header`), and an object whose members are the parameters.
    pub(crate) parameters: Vec<(&'static str, SchemaOf)>,
    /// The request's body by media type.
    pub(crate) request: Vec<(&'static str, SchemaOf)>,
    pub(crate) is_request_required: bool,
    pub(crate) responses: Vec<Success>,
    pub(crate) problems: Vec<&'static Kind>,
    pub(crate) records: &'static [&'static str],
}

impl Documentation {
    #[must_use]
    pub fn new(tag: Tag, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            description: Cow::Borrowed(""),
            parameters: Vec::new(),
            request: Vec::new(),
            is_request_required: true,
            responses: Vec::new(),
            problems: Vec::new(),
            records: &[],
        }
    }

    #[must_use]
    pub fn description(mut self, description: impl Into<Cow<'static, str>>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds query parameters: the members of `T`.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.parameters.push(("query", schema_of::<T>));
        self
    }

    /// Adds request headers: the members of `T`.
    #[must_use]
    pub fn headers<T: JsonSchema>(mut self) -> Self {
        self.parameters.push(("header", schema_of::<T>));
        self
    }

    /// Sets the request body: a `T` as JSON.
    #[must_use]
    pub fn request<T: JsonSchema>(self) -> Self {
        self.request_as::<T>("application/json")
    }

    /// Sets the request body, which may be missing: a `T` as JSON.
    #[must_use]
    pub fn optional_request<T: JsonSchema>(self) -> Self {
        Self { is_request_required: false, ..self }.request::<T>()
    }

    /// Adds a request body: a `T` in this media type. Each call adds an alternative.
    #[must_use]
    pub fn request_as<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        self.request.push((media_type, schema_of::<T>));
        self
    }

    /// Adds a successful response: a `T` as JSON.
    #[must_use]
    pub fn response<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.empty_response(status, description).response_as::<T>("application/json")
    }

    /// Adds a successful response without a body. [`response_as`](Self::response_as) can add a body.
    #[must_use]
    pub fn empty_response(mut self, status: u16, description: &'static str) -> Self {
        self.responses.push(Success { status, description, content: Vec::new(), headers: Vec::new() });
        self
    }

    /// Adds a body to the last response: a `T` in this media type. Each call adds an alternative.
    #[must_use]
    pub fn response_as<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        if let Some(response) = self.responses.last_mut() {
            response.content.push((media_type, schema_of::<T>));
        }
        self
    }

    /// Adds a header to the last response.
    #[must_use]
    pub fn response_header<T: JsonSchema>(mut self, name: &'static str, description: &'static str) -> Self {
        if let Some(response) = self.responses.last_mut() {
            response.headers.push((name, description, schema_of::<T>));
        }
        self
    }

    /// Adds problems, in addition to those of every call with a token and of every call with a body.
    #[must_use]
    pub fn problems(mut self, problems: &[&'static Kind]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// Sets the types of audit events. A successful call records one event of one of these types. [`POSTED`] stands for
    /// the types of the events in the request.
    #[must_use]
    pub fn records(mut self, types: &'static [&'static str]) -> Self {
        self.records = types;
        self
    }
}

/// Stands for the types of the events in the request.
pub const POSTED: &str = "*";
