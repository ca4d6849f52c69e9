//! The OpenAPI 3.1 document of the API: generated from the same endpoints as the router, the types that serde writes,
//! and the table of problems. Owns the document's form; the documentation of an endpoint is part of its declaration.
//!
//! No function generates it at run time. A test writes `openapi.json` and adds real responses of the program as
//! examples. The API function serves that file.

use std::collections::BTreeMap;

use schemars::{
    JsonSchema as _, Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform as _},
};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Map, Value, json};

use crate::{
    access::{Access, Callers, PlatformAccess},
    endpoint::{Documentation, Endpoint, Endpoints, Method, SchemaOf, Scope, Tag, below_organisation},
    problem::{self, Kind, kind},
    schema::Cursor,
};

const ABOUT: &str = "\
An audit log for the customers of a SaaS product. Events are recorded in one gapless sequence per organisation, can be \
read page by page, and are delivered every ten minutes as NDJSON to an S3 bucket that the customer owns.

**Tokens.** Every call except those of *Service* sends `Authorization: Bearer TOKEN`. The platform's tokens act for every \
organisation and name it in the path. The deployment's own token may make every such call. A named token of the platform \
(`annals_platform_…`) may make those of its scopes: `x-platform-scope` says which scope a call needs; without it, only the \
deployment's own token may make the call. An organisation's token acts for its own organisation, in one of three roles: a \
`producer` records events, an `auditor` reads them, an `admin` reads them and manages destinations and tokens. `x-roles` \
lists who may make a call.

**Problems.** Every error is `application/problem+json` (RFC 9457) with a `code` that does not change, a `detail` that \
says what to do, and, for an invalid input, all its faults in `errors`. What belongs to another organisation is answered \
exactly as what does not exist. Members may be added to any response; ignore those that you do not know.

**Events.** Every change is recorded as an event in the organisation's own log, and so is every read of the log. \
`x-audit-events` lists the types of that event; `*` stands for the types of the posted events.";

/// Lists endpoints.
#[derive(Debug, Default)]
pub struct Description {
    endpoints: Vec<Described>,
}

/// One endpoint at one path.
#[derive(Debug)]
struct Described {
    id: String,
    method: Method,
    path: String,
    scope: Scope,
    callers: Callers,
    platform: PlatformAccess,
    needs_organisation: bool,
    documentation: Documentation,
}

impl<S> Endpoints<S> for Description {
    fn endpoint<E: Endpoint<S> + 'static>(mut self) -> Self {
        let described = |id: String, path: String, scope| Described {
            id,
            method: E::METHOD,
            path,
            scope,
            callers: E::Access::CALLERS,
            platform: E::PLATFORM,
            needs_organisation: E::Access::NEEDS_ORGANISATION,
            documentation: E::documentation(),
        };
        self.endpoints.push(described(E::ID.to_owned(), E::PATH.to_owned(), E::SCOPE));
        if E::SCOPE == Scope::TokenOrPath {
            let verb = E::ID.find(|letter: char| letter.is_ascii_uppercase()).unwrap_or(E::ID.len());
            let (verb, resource) = E::ID.split_at(verb);
            let id = format!("{verb}Organisation{resource}");
            self.endpoints.push(described(id, below_organisation(E::PATH), Scope::Path));
        }
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
    /// Operations by path and method.
    #[serde(serialize_with = "default_first")]
    pub paths: BTreeMap<String, BTreeMap<&'static str, Value>>,
    /// Definitions that other parts refer to, by kind and name.
    #[serde(serialize_with = "default_first")]
    pub components: BTreeMap<&'static str, Map<String, Value>>,
}

/// The format of a response to a request without `Accept`. Generators of clients take the first media type of a response.
const DEFAULT_MEDIA_TYPE: &str = "application/hal+json";

/// Serializes a part of the document, in which the default media type comes before all others.
fn default_first<T: Serialize, S: Serializer>(part: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let part = serde_json::to_value(part).map_err(S::Error::custom)?;
    DefaultFirst(&part).serialize(serializer)
}

struct DefaultFirst<'a>(&'a Value);

impl Serialize for DefaultFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(DefaultFirst)),
            Value::Object(members) => {
                let default = members.get_key_value(DEFAULT_MEDIA_TYPE);
                let others = members.iter().filter(|(name, _)| *name != DEFAULT_MEDIA_TYPE);
                let ordered = default.into_iter().chain(others);
                serializer.collect_map(ordered.map(|(name, value)| (name, DefaultFirst(value))))
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

impl Description {
    /// Returns the document, without examples.
    #[must_use]
    pub fn document(self) -> Document {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<String, BTreeMap<&'static str, Value>> = BTreeMap::new();
        for endpoint in &self.endpoints {
            let operation = operation(endpoint, &mut schemas);
            paths.entry(endpoint.path.clone()).or_default().insert(endpoint.method.as_str(), operation);
        }
        let mut components = schemas.take();
        components.values_mut().for_each(enumerate_constants);
        paths.values_mut().flat_map(BTreeMap::values_mut).for_each(enumerate_constants);
        let bearer = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the platform, or of an organisation: `annals_…`.",
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
                "description": "Where this document was served. On AWS that is https://API.execute-api.REGION.amazonaws.com",
            }]),
            tags: Tag::ALL.iter().map(tag).collect(),
            paths,
            components: BTreeMap::from([("schemas", components), ("securitySchemes", security_schemes)]),
        }
    }
}

/// The schemas that the document refers to. Requests and responses are separate: an optional member of a request may be
/// left out; an optional member of a response is always present unless serde skips it.
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

    /// Returns the schema of a part of a request, in which an optional member may be left out, but not be null.
    fn sent(&mut self, schema: SchemaOf) -> Value {
        let mut schema = schema(&mut self.sent);
        RecursiveTransform(refuse_null).transform(&mut schema);
        schema.to_value()
    }

    /// Returns the same schema itself instead of a reference to it.
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
            debug_assert!(same, "two schemas have the same name: {schema}");
        }
        schemas
    }
}

/// Writes each constant as an enumeration of one value with its type: generators of clients drop responses with a constant
/// number, and fail where a constant is one of several choices.
fn enumerate_constants(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(constant) = members.remove("const") {
                let kind = if constant.is_string() { "string" } else { "integer" };
                members.entry("type").or_insert_with(|| kind.into());
                members.insert("enum".to_owned(), json!([constant]));
            }
            members.values_mut().for_each(enumerate_constants);
        }
        Value::Array(items) => items.iter_mut().for_each(enumerate_constants),
        _ => {}
    }
}

/// Removes null, which schemars allows for an `Option`.
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

fn operation(endpoint: &Described, schemas: &mut Schemas) -> Value {
    let documentation = &endpoint.documentation;
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": documentation.summary,
        "tags": [documentation.tag.as_str()],
        "security": match endpoint.callers {
            Callers::Anyone => json!([]),
            Callers::Platform | Callers::Roles(_) => json!([{"bearer": []}]),
        },
        "responses": responses(endpoint, schemas),
    });
    if !documentation.description.is_empty() {
        operation["description"] = documentation.description.as_ref().into();
    }
    let parameters = parameters(endpoint, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !documentation.request.is_empty() {
        let content = content(&documentation.request, |schema| schemas.sent(schema));
        operation["requestBody"] = json!({"required": documentation.is_request_required, "content": content});
    }
    let platform = endpoint.callers != Callers::Anyone && endpoint.scope == Scope::Path;
    let mut roles: Vec<&str> = platform.then_some("platform").into_iter().collect();
    if let Callers::Roles(named) = endpoint.callers {
        roles.extend(named.iter().map(|role| role.as_str()));
    }
    operation["x-roles"] = roles.into();
    if platform && let PlatformAccess::Scope(scope) = endpoint.platform {
        operation["x-platform-scope"] = scope.as_str().into();
    }
    operation["x-audit-events"] = documentation.records.into();
    operation
}

fn content(types: &[(&'static str, SchemaOf)], mut schema: impl FnMut(SchemaOf) -> Value) -> Value {
    let each = types.iter().map(|(media_type, of)| ((*media_type).to_owned(), json!({"schema": schema(*of)})));
    Value::Object(each.collect())
}

/// Returns the parameters in the path, then the others.
fn parameters(endpoint: &Described, schemas: &mut Schemas) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path.map(path_parameter).collect();
    for (place, of) in &endpoint.documentation.parameters {
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
            "The organisation's id, which the platform chose.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", "maxLength": 64}),
        ),
        "destination" => ("The destination's id.", json!({"type": "string", "pattern": "^[a-z0-9]{12}$"})),
        "session" => ("The session's id.", json!({"type": "string", "pattern": "^[0-9a-f]{12}$"})),
        "token" => (
            "The token's id: the part of its text after `annals_`, up to the next `_`.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9]{12}$"}),
        ),
        "platformToken" => (
            "The token's id: the part of its text after `annals_platform_`, up to the next `_`.",
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

fn responses(endpoint: &Described, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for success in &endpoint.documentation.responses {
        let mut response = json!({"description": success.description});
        if !success.content.is_empty() {
            response["content"] = content(&success.content, |schema| schemas.answered(schema));
        }
        for (name, description, schema) in &success.headers {
            response["headers"][*name] = json!({"description": description, "schema": schemas.answered(*schema)});
        }
        responses.insert(success.status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for problem in problems(endpoint) {
        let kinds = by_status.entry(problem.status.as_u16()).or_default();
        if !kinds.contains(&problem) {
            kinds.push(problem);
        }
    }
    for (status, kinds) in by_status {
        responses.insert(status.to_string(), problem_response(status, &kinds, schemas));
    }
    Value::Object(responses)
}

/// Returns the problems of an endpoint: its own, and those that follow from its access, method and scope.
fn problems(endpoint: &Described) -> Vec<&'static Kind> {
    let mut problems = endpoint.documentation.problems.clone();
    if endpoint.callers == Callers::Anyone {
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
        kind::OPERATOR_REQUIRED,
        kind::UNAVAILABLE,
    ]);
    if !matches!(endpoint.method, Method::Get | Method::Delete) {
        problems.extend([kind::BODY_CUT_OFF, kind::BODY_TOO_LARGE]);
    }
    if !endpoint.documentation.records.is_empty() {
        problems.extend([kind::TAIL_UNKNOWN, kind::EVENTS_MISSING, kind::CLOCK_AHEAD, kind::CLOCK_BEHIND]);
    }
    if endpoint.scope == Scope::TokenOrPath {
        problems.push(kind::ORGANISATION_REQUIRED);
    } else if endpoint.needs_organisation {
        problems.push(kind::NOT_FOUND);
    }
    problems
}

/// Returns the response with a status that problems of these kinds have.
fn problem_response(status: u16, kinds: &[&Kind], schemas: &mut Schemas) -> Value {
    let meaning: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code, kind.meaning)).collect();
    let codes: Vec<&str> = kinds.iter().map(|kind| kind.code).collect();
    let problem = schemas.answered(|generator| generator.subschema_for::<problem::Body>());
    let narrowed = json!({"properties": {"status": {"const": status}, "code": {"enum": codes}}});
    let mut response = json!({
        "description": meaning.join("\n\n"),
        "content": {"application/problem+json": {"schema": {"allOf": [problem, narrowed]}}},
    });
    match status {
        401 => {
            let schema = json!({"type": "string", "const": "Bearer"});
            let header = json!({"description": "How to authenticate.", "required": true, "schema": schema});
            response["headers"]["WWW-Authenticate"] = header;
        }
        429 | 503 => {
            let schema = json!({"type": "integer", "minimum": 1});
            let header = json!({"description": "Seconds to wait.", "required": true, "schema": schema});
            response["headers"]["Retry-After"] = header;
        }
        _ => {}
    }
    response
}
