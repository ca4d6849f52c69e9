//! Operations: each is told once, with its route, its handler, and what it takes, answers and refuses. A router is made of
//! the first two, the API's [description](crate::description) of the rest, so that neither can have what the other lacks.
//!
//! Architecture invariant: a router ignores how an operation is described, so nothing of a description is built, or even
//! linked, in a function.

use annals_core::token::Role;
use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::problem::Kind;

/// The methods of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Shows something, and changes nothing but that reads of the log are recorded.
    Get,
    /// Makes something be as the body says.
    Put,
    /// Does something.
    Post,
    /// Changes what the body names.
    Patch,
    /// Ends something.
    Delete,
}

impl Method {
    /// Its name in lower case, as OpenAPI writes it.
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

/// What operations are told to: a [`Router`] answers them, a [`Description`](crate::description::Description) lists them.
pub trait Operations<S>: Sized {
    /// One operation.
    #[must_use]
    fn operation<H, T>(self, method: Method, path: &str, handler: H, describe: impl FnOnce() -> Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static;

    /// An operation on the organisation whose token it is, and the same below `/organisations/{organisation}`, where the
    /// platform can use it, too.
    #[must_use]
    fn scoped_operation<H, T>(self, method: Method, path: &str, handler: H, describe: impl Fn() -> Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let named = format!("/organisations/{{organisation}}{path}");
        self.operation(method, path, handler.clone(), || describe().scoped(Scope::Token)).operation(
            method,
            &named,
            handler,
            || describe().scoped(Scope::Path),
        )
    }
}

impl<S: Clone + Send + Sync + 'static> Operations<S> for Router<S> {
    fn operation<H, T>(self, method: Method, path: &str, handler: H, _: impl FnOnce() -> Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.route(path, on(method.filter(), handler))
    }
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Anyone,
    /// The platform alone.
    Platform,
    /// The platform, and an organisation's tokens of these roles.
    Roles(&'static [Role]),
}

/// How an operation learns which organisation it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It is the token's own. The platform's token has none.
    Token,
    /// The path names it, or the operation is for none.
    Path,
}

/// What an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Recording.
    Events,
    /// Reading.
    Audit,
    /// The platform's customers.
    Organisations,
    /// Who may call.
    Tokens,
    /// Where events are delivered to.
    Destinations,
    /// The API itself.
    Service,
}

impl Tag {
    /// Every tag with what it says to readers of the description, in their order.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Events, "Record what happened: the producer's part."),
        (Self::Audit, "Read the log. Each call is itself recorded, before it is answered."),
        (Self::Destinations, "An organisation's bucket, to which its events are delivered every ten minutes."),
        (Self::Tokens, "An organisation's tokens. A token's text is shown once."),
        (Self::Organisations, "The platform's customers."),
        (Self::Service, "The API itself."),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "Events",
            Self::Audit => "Audit log",
            Self::Organisations => "Organisations",
            Self::Tokens => "Tokens",
            Self::Destinations => "Destinations",
            Self::Service => "Service",
        }
    }
}

/// Makes a type's schema, in a generator that keeps what it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One success that an operation can answer with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) meaning: &'static str,
    /// By media type.
    pub(crate) content: Vec<(&'static str, SchemaOf)>,
    /// By name, with what they say.
    pub(crate) headers: Vec<(&'static str, &'static str, SchemaOf)>,
}

/// How an operation is described.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(crate) id: String,
    pub(crate) tag: Tag,
    pub(crate) access: Access,
    pub(crate) scope: Scope,
    pub(crate) summary: &'static str,
    pub(crate) details: &'static str,
    /// Where they are (`query` or `header`), and an object whose members are the parameters.
    pub(crate) parameters: Vec<(&'static str, SchemaOf)>,
    /// By media type.
    pub(crate) body: Vec<(&'static str, SchemaOf)>,
    pub(crate) body_required: bool,
    pub(crate) answers: Vec<Answer>,
    pub(crate) problems: Vec<&'static Kind>,
    pub(crate) events: &'static [&'static str],
}

impl Operation {
    /// An operation by the name of its handler's resource and deed, such as `getOrganisation`.
    #[must_use]
    pub fn new(tag: Tag, access: Access, id: &'static str, summary: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            tag,
            access,
            scope: Scope::Path,
            summary,
            details: "",
            parameters: Vec::new(),
            body: Vec::new(),
            body_required: true,
            answers: Vec::new(),
            problems: Vec::new(),
            events: &[],
        }
    }

    /// What its callers should know.
    #[must_use]
    pub fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    /// Its query parameters: the members of `T`.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.parameters.push(("query", schema_of::<T>));
        self
    }

    /// The request headers that it heeds: the members of `T`.
    #[must_use]
    pub fn headers<T: JsonSchema>(mut self) -> Self {
        self.parameters.push(("header", schema_of::<T>));
        self
    }

    /// Its body is a `T` as JSON.
    #[must_use]
    pub fn takes<T: JsonSchema>(self) -> Self {
        self.takes_as::<T>("application/json")
    }

    /// It may have a body, which is a `T` as JSON then.
    #[must_use]
    pub fn takes_if_any<T: JsonSchema>(self) -> Self {
        Self { body_required: false, ..self }.takes::<T>()
    }

    /// Its body may be a `T` in this media type.
    #[must_use]
    pub fn takes_as<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        self.body.push((media_type, schema_of::<T>));
        self
    }

    /// It answers with a `T` as JSON.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: u16, meaning: &'static str) -> Self {
        self.answers_nothing(status, meaning).or_as::<T>("application/json")
    }

    /// It answers without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, meaning: &'static str) -> Self {
        self.answers.push(Answer { status, meaning, content: Vec::new(), headers: Vec::new() });
        self
    }

    /// The answer named last may be a `T` in this media type.
    #[must_use]
    pub fn or_as<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push((media_type, schema_of::<T>));
        }
        self
    }

    /// The answer named last may carry this header.
    #[must_use]
    pub fn with_header<T: JsonSchema>(mut self, name: &'static str, meaning: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, meaning, schema_of::<T>));
        }
        self
    }

    /// The problems that it has beside those of every call with a token, and of every call with a body.
    #[must_use]
    pub fn refuses(mut self, problems: &[&'static Kind]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// The types of the event that a call leaves in the log: one of these. [`POSTED`] for those that it was sent.
    #[must_use]
    pub fn leaves(mut self, events: &'static [&'static str]) -> Self {
        self.events = events;
        self
    }

    fn scoped(mut self, scope: Scope) -> Self {
        self.scope = scope;
        if scope == Scope::Path {
            let verb = self.id.find(|letter: char| letter.is_ascii_uppercase()).unwrap_or(self.id.len());
            self.id.insert_str(verb, "Organisation");
        }
        self
    }
}

/// Stands for the types of the events that were posted.
pub const POSTED: &str = "*";
