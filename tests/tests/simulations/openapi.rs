//! The OpenAPI document: it equals what the code declares, every response has an example from the running program, and
//! every example matches its schema.
//!
//! `ANNALS_WRITE_DOCS=1 cargo test -p annals-tests --test simulations openapi::` regenerates `functions/api/openapi.json`.

mod document;
mod scenario;
mod world;

use std::{collections::BTreeSet, path::Path, sync::LazyLock};

use annals_http::problem::kind;
use annals_tests::model::in_virtual_time;
use serde_json::{Value, json};

use self::document::{Described, operations};

/// Codes that belong to no operation, because the request matched none.
const OF_NO_OPERATION: [&str; 2] = ["no_such_route", "method_not_allowed"];

/// The description as the code makes it, with the examples that the program gives now.
static MADE: LazyLock<String> = LazyLock::new(|| {
    let mut document = document::described();
    let exchanges = in_virtual_time(scenario::tell(operations(&document)));
    document::illustrate(&mut document, &exchanges);
    serde_json::to_string_pretty(&document).unwrap() + "\n"
});

fn made() -> Value {
    serde_json::from_str(&MADE).unwrap()
}

#[test]
fn the_committed_description_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/api/openapi.json");
    if std::env::var_os("ANNALS_WRITE_DOCS").is_some() {
        std::fs::write(&path, &*MADE).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(MADE.lines()).position(|(written, made)| written != made);
    assert!(
        written == *MADE,
        "functions/api/openapi.json is not what the code says, from line {:?} on: `just docs` regenerates it",
        differs.map(|index| index + 1)
    );
    assert!(std::env::var_os("ANNALS_WRITE_DOCS").is_some() || annals_api::DOCUMENT == *MADE, "what is served");
}

#[test]
fn every_answer_of_every_operation_has_an_example_and_every_code_one_of_its_own() {
    let document = made();
    let mut answers = 0;
    for operation in operations(&document) {
        for (status, response) in operation.responses(&document) {
            let what = format!("{} {status}", operation.id);
            answers += 1;
            let Some(content) = response["content"].as_object() else {
                assert_eq!(status, "204", "{what} has no body");
                continue;
            };
            for (media_type, content) in content {
                let examples = content["examples"].as_object();
                assert!(examples.is_some_and(|examples| !examples.is_empty()), "{what} as {media_type} has no example");
            }
            for code in document::codes(&response) {
                let examples = &response["content"]["application/problem+json"]["examples"];
                assert!(examples.get(&code).is_some(), "{what} has no example of {code}");
            }
        }
    }
    assert!(answers > 200, "{answers} answers: the description is not understood");
}

#[test]
fn every_example_is_valid_and_schemas_allow_nothing_else_in_its_place() {
    let document = made();
    let mut checked = 0;
    for operation in operations(&document) {
        let responses = operation.responses(&document).into_iter();
        let requests = operation.request().map(|request| ("request".to_owned(), request.clone()));
        for (part, holder) in responses.chain(requests) {
            for (media_type, content) in holder["content"].as_object().into_iter().flatten() {
                let validator = document::validator(&document, &content["schema"]);
                for (name, example) in content["examples"].as_object().into_iter().flatten() {
                    let value = &document::resolve(&document, example)["value"];
                    let faults: Vec<String> = validator
                        .iter_errors(value)
                        .map(|error| format!("{} {error}", error.instance_path()))
                        .collect();
                    let what = format!("{} {part} {media_type} {name}", operation.id);
                    assert!(faults.is_empty(), "{what}: {}\n{value:#}", faults.join("\n"));
                    checked += 1;
                }
                if media_type.ends_with("json") && media_type != "application/x-ndjson" {
                    for other in [json!(null), json!("text"), json!([null]), json!({"type": 7})] {
                        assert!(!validator.is_valid(&other), "{} {part} would allow {other}", operation.id);
                    }
                }
            }
        }
    }
    assert!(checked > 300, "{checked} examples: the description is not understood");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = made();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses", "examples"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "nothing refers to {kind}/{name}");
        }
    }
}

#[test]
fn every_problem_is_one_that_an_operation_can_have() {
    let document = made();
    let mut named: BTreeSet<String> = OF_NO_OPERATION.map(str::to_owned).into();
    for operation in operations(&document) {
        named.extend(operation.responses(&document).values().flat_map(document::codes));
    }
    let all: BTreeSet<String> = kind::ALL.iter().map(|kind| kind.code.to_owned()).collect();
    assert_eq!(named, all);
}

#[test]
fn every_operation_says_who_may_call_it_and_what_event_it_leaves() {
    let document = made();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id.as_str()).collect();
    assert_eq!(ids.len(), operations.len(), "ids are unique");
    for Described { id, method, path, operation, .. } in &operations {
        let roles = operation["x-roles"].as_array().unwrap();
        let is_public = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(roles.is_empty(), is_public, "{id}");
        let events = operation["x-audit-events"].as_array().unwrap();
        // What belongs to no organisation is in no log.
        let is_recorded = !path.starts_with("/platform-tokens");
        assert!(method == "GET" || events.is_empty() != is_recorded, "{id} changes something and leaves no event");
        for part in ["summary", "operationId"] {
            assert!(operation[part].as_str().is_some_and(|text| !text.is_empty()), "{id} has no {part}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let text = parameter["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{id}: {} is not described", parameter["name"]);
        }
    }
}
