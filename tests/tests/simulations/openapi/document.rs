//! The OpenAPI document: from the code, with examples from real answers.

use std::collections::BTreeMap;

use annals_http::openapi::{Description, Document};
use serde_json::{Map, Value, json};

use super::world::Exchange;

/// The document from the code, without examples.
pub(crate) fn described() -> Document {
    let description = annals_api::endpoints::add(Description::default());
    annals_test_connection::add(description).document()
}

/// One operation of a document.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) id: String,
    /// In upper case.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operation: Value,
}

impl Described {
    /// The responses by status, with references resolved.
    pub(crate) fn responses(&self, document: &Value) -> BTreeMap<String, Value> {
        let responses = self.operation["responses"].as_object().unwrap();
        responses.iter().map(|(status, response)| (status.clone(), resolve(document, response).clone())).collect()
    }

    pub(crate) fn request(&self) -> Option<&Value> {
        self.operation.get("requestBody")
    }

    pub(crate) fn roles(&self) -> Vec<&str> {
        self.operation["x-roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap()).collect()
    }

    /// The codes of its problems.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.operation["responses"].as_object().unwrap().values().flat_map(codes).collect()
    }
}

/// All operations of a document.
pub(crate) fn operations(document: &(impl serde::Serialize + ?Sized)) -> Vec<Described> {
    let document = serde_json::to_value(document).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push(Described {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                operation: operation.clone(),
            });
        }
    }
    operations
}

/// The codes of a response's problems.
pub(crate) fn codes(response: &Value) -> Vec<String> {
    let narrowed = &response["content"]["application/problem+json"]["schema"]["allOf"][1];
    let codes = narrowed["properties"]["code"]["enum"].as_array();
    codes.into_iter().flatten().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// The target of the reference `value`, or `value` itself.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// A validator for a schema of the document.
pub(crate) fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut root = schema.clone();
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["components"] = json!({"schemas": document["components"]["schemas"]});
    jsonschema::options().should_validate_formats(true).build(&root).unwrap()
}

/// Adds requests and answers to a document as examples. Repeated examples become components.
pub(crate) fn illustrate(document: &mut Document, exchanges: &[Exchange]) {
    for exchange in exchanges {
        let operation = document.paths.get_mut(&exchange.path).unwrap().get_mut(&*exchange.method).unwrap();
        if let Some((media_type, body)) = &exchange.sent {
            operation["requestBody"]["content"][media_type]["examples"][&exchange.name] = json!({"value": body});
        }
        let response = &mut operation["responses"][exchange.status.to_string()];
        let what = format!("{} answered {} {:?}", exchange.id, exchange.status, exchange.answered);
        assert!(response.is_object(), "{what}: that status is not described");
        let Some((media_type, body)) = &exchange.answered else {
            assert!(response.get("content").is_none(), "{what}: a body is described");
            continue;
        };
        let content = &mut response["content"][media_type];
        assert!(content.is_object(), "{what}: that media type is not described");
        content["examples"][&exchange.name] = json!({"value": body});
    }
    share_examples(document);
    share_responses(document);
}

fn problems(document: &mut Document) -> impl Iterator<Item = &mut Value> {
    let operations = document.paths.values_mut().flat_map(BTreeMap::values_mut);
    let responses = operations.flat_map(|operation| operation["responses"].as_object_mut().unwrap().values_mut());
    responses.filter(|response| response["content"].get("application/problem+json").is_some())
}

/// Moves each code's commonest example to the components.
fn share_examples(document: &mut Document) {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for response in problems(document) {
        let examples = &response["content"]["application/problem+json"]["examples"];
        for (code, example) in examples.as_object().into_iter().flatten() {
            *counts.entry(code.clone()).or_default().entry(example.to_string()).or_default() += 1;
        }
    }
    let shared = commonest(counts);
    for response in problems(document) {
        let examples = &mut response["content"]["application/problem+json"]["examples"];
        for (code, example) in examples.as_object_mut().into_iter().flatten() {
            if shared.get(code) == Some(example) {
                *example = json!({"$ref": format!("#/components/examples/{code}")});
            }
        }
    }
    document.components.insert("examples", shared);
}

/// Moves each refusal that several operations answer with to the components, by its status and codes.
fn share_responses(document: &mut Document) {
    let name = |response: &Value| codes(response).join("_or_");
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for response in problems(document) {
        *counts.entry(name(response)).or_default().entry(response.to_string()).or_default() += 1;
    }
    let shared = commonest(counts);
    for response in problems(document) {
        let name = name(response);
        if shared.get(&name) == Some(response) {
            *response = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    document.components.insert("responses", shared);
}

/// The most frequent text of each name that occurs more than once, or the first of several.
fn commonest(counts: BTreeMap<String, BTreeMap<String, usize>>) -> Map<String, Value> {
    let most = |texts: BTreeMap<String, usize>| {
        let (text, count) = texts.into_iter().rev().max_by_key(|(_, count)| *count)?;
        (count > 1).then(|| serde_json::from_str(&text).unwrap())
    };
    counts.into_iter().filter_map(|(name, texts)| Some((name, most(texts)?))).collect()
}
