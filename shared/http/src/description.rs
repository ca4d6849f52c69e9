//! The description of the API as OpenAPI 3.1: made of the same operations as the router, of what serde writes, and of the
//! table of problems. Owns the document's form; what operations say of themselves stands beside their handlers.
//!
//! No function makes it: `openapi.json` is written by a test, which adds an example of every answer as the program gave
//! it, and is served as it stands there.

use std::collections::BTreeMap;

use axum::handler::Handler;
use schemars::{
    JsonSchema as _, Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform as _},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    operation::{Access, Method, Operation, Operations, SchemaOf, Scope, Tag},
    problem::{self, Kind, kind},
    schema::Cursor,
};

const ABOUT: &str = "\
An audit log for the customers of a SaaS product. Events are recorded in one dense sequence an organisation, can be read \
page by page, and are delivered every ten minutes as NDJSON into an S3 bucket that the customer owns.

**Tokens.** Every call but those of *Service* carries `Authorization: Bearer TOKEN`. The platform's token acts for every \
organisation, named in the path; an organisation's token acts for its own, in one of three roles: a `producer` records, \
an `auditor` reads, an `admin` reads and manages destinations and tokens. `x-roles` says who may make a call.

**Problems.** Every refusal is `application/problem+json` (RFC 9457) with a `code` that does not change, a `detail` that \
says what to do, and, where an input is at fault, all its faults in `errors`. What belongs to another organisation is \
answered exactly as what does not exist. Members may be added to any answer; pass over those that you do not know.

**Events.** Every change leaves an event in the organisation's own log, and so does every read of it; `x-audit-events` \
names its type, and is `*` where that is the type of what was posted.";

/// Lists operations.
#[derive(Debug, Default)]
pub struct Description {
    operations: Vec<(Method, String, Operation)>,
}

impl<S> Operations<S> for Description {
    fn operation<H, T>(mut self, method: Method, path: &str, _: H, describe: impl FnOnce() -> Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.operations.push((method, path.to_owned(), describe()));
        self
    }
}

/// An OpenAPI document.
#[derive(Debug, Serialize)]
pub struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Vec<Value>,
    /// By path and method.
    pub paths: BTreeMap<String, BTreeMap<&'static str, Value>>,
    /// What the rest refers to, by kind and name.
    pub components: BTreeMap<&'static str, Map<String, Value>>,
}

impl Description {
    /// The document, without examples.
    #[must_use]
    pub fn document(self) -> Document {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<String, BTreeMap<&'static str, Value>> = BTreeMap::new();
        for (method, path, operation) in &self.operations {
            let described = describe(*method, path, operation, &mut schemas);
            paths.entry(path.clone()).or_default().insert(method.as_str(), described);
        }
        let bearer = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "The platform's token, or one of an organisation: `annals_…`.",
        });
        let security_schemes = Map::from_iter([("bearer".to_owned(), bearer)]);
        let tag = |(tag, description): &(Tag, &str)| json!({"name": tag.as_str(), "description": description});
        Document {
            openapi: "3.1.1",
            info: json!({
                "title": "Annals",
                "summary": "An audit log that a SaaS product offers to each of its customers.",
                "description": ABOUT,
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            }),
            servers: json!([{
                "url": "/",
                "description": "Where this description came from. On AWS that is https://API.execute-api.REGION.amazonaws.com",
            }]),
            tags: Tag::ALL.iter().map(tag).collect(),
            paths,
            components: BTreeMap::from([("schemas", schemas.take()), ("securitySchemes", security_schemes)]),
        }
    }
}

/// The schemas that are referred to. What is sent and what is answered are told apart: an optional member of a request may
/// be left out, one of an answer is always there unless serde leaves it out.
struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.meta_schema = None;
                settings.definitions_path = "/components/schemas".into();
            })
        };
        Self {
            sent: settings().for_deserialize().into_generator(),
            answered: settings().for_serialize().into_generator(),
        }
    }

    /// The schema of something that is sent, in which what is optional may be left out, but not be null.
    fn sent(&mut self, schema: SchemaOf) -> Value {
        let mut schema = schema(&mut self.sent);
        RecursiveTransform(refuse_null).transform(&mut schema);
        schema.to_value()
    }

    /// The schema of something that is sent, itself instead of a reference to it.
    fn inlined(&mut self, of: SchemaOf) -> Value {
        let schema = self.sent(of);
        let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
        let definition = name.and_then(|name| self.sent.definitions_mut().remove(&name));
        let Some(mut definition) = definition else { return schema };
        if let Ok(schema) = <&mut Schema>::try_from(&mut definition) {
            RecursiveTransform(refuse_null).transform(schema);
        }
        definition
    }

    fn answered(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.answered).to_value()
    }

    fn take(mut self) -> Map<String, Value> {
        let mut schemas = self.answered.take_definitions(true);
        for (name, mut schema) in self.sent.take_definitions(true) {
            if let Ok(schema) = <&mut Schema>::try_from(&mut schema) {
                RecursiveTransform(refuse_null).transform(schema);
            }
            let same = schemas.insert(name, schema.clone()).is_none_or(|other| other == schema);
            debug_assert!(same, "two schemas have the name of {schema}");
        }
        schemas
    }
}

/// Takes null, which an `Option` may be, out of what a schema allows.
fn refuse_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            schema.ensure_object().extend(only);
        }
    }
}

fn describe(method: Method, path: &str, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag.as_str()],
        "security": match operation.access {
            Access::Anyone => json!([]),
            Access::Platform | Access::Roles(_) => json!([{"bearer": []}]),
        },
        "responses": responses(method, operation, schemas),
    });
    if !operation.details.is_empty() {
        described["description"] = operation.details.into();
    }
    let parameters = parameters(path, operation, schemas);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if !operation.body.is_empty() {
        let content = content(&operation.body, |schema| schemas.sent(schema));
        described["requestBody"] = json!({"required": operation.body_required, "content": content});
    }
    let platform = matches!(operation.access, Access::Platform | Access::Roles(_)) && operation.scope == Scope::Path;
    let mut roles: Vec<&str> = platform.then_some("platform").into_iter().collect();
    if let Access::Roles(named) = operation.access {
        roles.extend(named.iter().map(|role| role.as_str()));
    }
    described["x-roles"] = roles.into();
    described["x-audit-events"] = operation.events.into();
    described
}

fn content(types: &[(&'static str, SchemaOf)], mut schema: impl FnMut(SchemaOf) -> Value) -> Value {
    let each = types.iter().map(|(media_type, of)| ((*media_type).to_owned(), json!({"schema": schema(*of)})));
    Value::Object(each.collect())
}

/// Those in the path, then the others.
fn parameters(path: &str, operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path.map(path_parameter).collect();
    for (place, of) in &operation.parameters {
        let members = schemas.inlined(*of);
        let required = members["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in members["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            parameters.push(json!({
                "name": name,
                "in": place,
                "required": required.contains(&name.as_str().into()),
                "description": description,
                "schema": schema,
            }));
        }
    }
    parameters
}

fn path_parameter(name: &str) -> Value {
    let (description, schema) = match name {
        "organisation" => (
            "The organisation's id, as the platform chose it.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", "maxLength": 64}),
        ),
        "destination" => ("The destination's id.", json!({"type": "string", "pattern": "^[a-z0-9]{12}$"})),
        "token" => (
            "The token's id: the first part of its text, behind `annals_`.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9]{12}$"}),
        ),
        "uuid" => (
            "The event's id: its `uuid` of 22 characters, or its `eventId` of 36.",
            Cursor::json_schema(&mut SchemaGenerator::default()).to_value(),
        ),
        _ => ("", json!({"type": "string"})),
    };
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
}

fn responses(method: Method, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let mut response = json!({"description": answer.meaning});
        if !answer.content.is_empty() {
            response["content"] = content(&answer.content, |schema| schemas.answered(schema));
        }
        for (name, meaning, schema) in &answer.headers {
            response["headers"][*name] = json!({"description": meaning, "schema": schemas.answered(*schema)});
        }
        responses.insert(answer.status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for problem in problems(method, operation) {
        let kinds = by_status.entry(problem.status.as_u16()).or_default();
        if !kinds.contains(&problem) {
            kinds.push(problem);
        }
    }
    for (status, kinds) in by_status {
        responses.insert(status.to_string(), refusal(status, &kinds, schemas));
    }
    Value::Object(responses)
}

/// The problems of an operation: its own, and those that it cannot help having.
fn problems(method: Method, operation: &Operation) -> Vec<&'static Kind> {
    let mut problems = operation.problems.clone();
    if operation.access == Access::Anyone {
        return problems;
    }
    problems.extend([
        kind::INVALID_INPUT,
        kind::UNAUTHORIZED,
        kind::FORBIDDEN,
        kind::URI_TOO_LONG,
        kind::UNSUPPORTED_CONTENT_ENCODING,
        kind::TOO_MANY_REQUESTS,
        kind::INTERNAL,
        kind::UNAVAILABLE,
    ]);
    if !matches!(method, Method::Get | Method::Delete) {
        problems.extend([kind::BODY_CUT_OFF, kind::BODY_TOO_LARGE]);
    }
    if operation.scope == Scope::Token {
        problems.push(kind::ORGANISATION_NEEDED);
    } else if matches!(operation.access, Access::Roles(_)) {
        problems.push(kind::NOT_FOUND);
    }
    problems
}

/// What a status means that problems of these kinds have.
fn refusal(status: u16, kinds: &[&Kind], schemas: &mut Schemas) -> Value {
    let meaning: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code, kind.meaning)).collect();
    let codes: Vec<&str> = kinds.iter().map(|kind| kind.code).collect();
    let problem = schemas.answered(|generator| generator.subschema_for::<problem::Described>());
    let narrowed = json!({"properties": {"status": {"const": status}, "code": {"enum": codes}}});
    let mut refusal = json!({
        "description": meaning.join("\n\n"),
        "content": {"application/problem+json": {"schema": {"allOf": [problem, narrowed]}}},
    });
    match status {
        401 => {
            let schema = json!({"type": "string", "const": "Bearer"});
            let header = json!({"description": "How to authenticate.", "required": true, "schema": schema});
            refusal["headers"]["WWW-Authenticate"] = header;
        }
        429 | 503 => {
            let schema = json!({"type": "integer", "minimum": 1});
            let header = json!({"description": "Seconds to wait.", "required": true, "schema": schema});
            refusal["headers"]["Retry-After"] = header;
        }
        _ => {}
    }
    refusal
}
