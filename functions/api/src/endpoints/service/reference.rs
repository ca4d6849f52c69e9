//! The reference of the API as a page: rendered from the OpenAPI document, without scripts, fonts or images. Owns the look of the
//! pages that the API function serves, and the headers that keep a browser from doing anything else with them.

use annals_http::prelude::*;
use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

inline_schemas! {
    /// A page for people.
    pub(super) Html = {"type": "string"};
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
nav { columns: 16rem; padding: .5rem 1rem; background: var(--soft); border-radius: .5rem; }
nav ul { margin: 0 0 1rem; padding: 0; list-style: none; break-inside: avoid; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2.5rem 0 0; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; background: var(--soft); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.call { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
.note { opacity: .8; }
summary { cursor: pointer; }
";

/// The SHA-256 of [`STYLE`], the only thing that a page may apply.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-RAxqunvCV7piU7v+2DwFk5yYZ0TfaLsYEX2M3YhcAac='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Writes an HTML document with the style of these pages.
pub(super) fn html_document(title: &str, main: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (main) } }
        }
    };
    document.into_string()
}

/// Returns a page that may load nothing and run nothing.
pub(super) fn page(html: String) -> Response {
    let mut response = response::with_body(StatusCode::OK, "text/html; charset=utf-8", html);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "Accept"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An operation with its place.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(&self.value["operationId"])
    }

    fn call(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }
}

/// Renders an OpenAPI document.
pub(super) fn render(document: &Value) -> String {
    let mut operations = Vec::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, value) in members(methods) {
            operations.push(Operation { method, path, value });
        }
    }
    let info = &document["info"];
    let tags: Vec<(&str, &str)> =
        items(&document["tags"]).map(|tag| (text(&tag["name"]), text(&tag["description"]))).collect();
    let main = html! {
        h1 { (text(&info["title"])) " API " (text(&info["version"])) }
        (prose(text(&info["description"])))
        p { "The same as an " a href="openapi.json" { "OpenAPI 3.1 document" } "." }
        nav aria-label="Calls" {
            @for (tag, _) in &tags {
                ul {
                    li { strong { (tag) } }
                    @for operation in with_tag(&operations, tag) {
                        li { a href={ "#" (operation.id()) } { (text(&operation.value["summary"])) } }
                    }
                }
            }
        }
        @for (tag, description) in &tags {
            h2 { (tag) }
            (prose(description))
            @for operation in with_tag(&operations, tag) {
                (section(document, operation))
            }
        }
    };
    html_document(&format!("{}: API reference", text(&info["title"])), &main)
}

fn with_tag<'a>(operations: &'a [Operation<'a>], tag: &'a str) -> impl Iterator<Item = &'a Operation<'a>> {
    operations.iter().filter(move |operation| text(&operation.value["tags"][0]) == tag)
}

fn section(document: &Value, operation: &Operation<'_>) -> Markup {
    let value = operation.value;
    let callers = list(&value["x-roles"]);
    let records = list(&value["x-audit-events"]);
    let parameters: Vec<&Value> = items(&value["parameters"]).map(|one| resolve(document, one)).collect();
    let body = &value["requestBody"]["content"];
    html! {
        section id=(operation.id()) {
            h3 { (text(&value["summary"])) }
            p.call { (operation.call()) }
            (prose(text(&value["description"])))
            p.note {
                @if callers.is_empty() { "Anyone may call it, without a token." } @else { "With a token of: " (callers) "." }
                @if !records.is_empty() { " Recorded as " code { (records) } "." }
            }
            @if !parameters.is_empty() {
                table {
                    tr { th scope="col" { "Parameter" } th scope="col" { "In" } th scope="col" { "Meaning" } }
                    @for parameter in parameters {
                        tr {
                            td { code { (text(&parameter["name"])) } @if parameter["required"] == true { " (required)" } }
                            td { (text(&parameter["in"])) }
                            td { (prose(text(&parameter["description"]))) }
                        }
                    }
                }
            }
            @for (media_type, content) in members(body) {
                details {
                    summary { "Body: " code { (media_type) } }
                    (schema_and_examples(document, content))
                }
            }
            @for (status, response) in members(&value["responses"]) {
                @let response = resolve(document, response);
                details {
                    summary { (status) " " (first_line(text(&response["description"]))) }
                    (prose(text(&response["description"])))
                    @for (media_type, content) in members(&response["content"]) {
                        p { code { (media_type) } }
                        (schema_and_examples(document, content))
                    }
                }
            }
        }
    }
}

fn schema_and_examples(document: &Value, content: &Value) -> Markup {
    let schema = resolve(document, &content["schema"]);
    let required: Vec<&str> = items(&schema["required"]).map(text).collect();
    html! {
        (prose(text(&schema["description"])))
        @if schema["properties"].is_object() {
            table {
                @for (name, member) in members(&schema["properties"]) {
                    tr {
                        td { code { (name) } @if !required.contains(&name) { " (optional)" } }
                        td { (prose(text(&resolve(document, member)["description"]))) }
                    }
                }
            }
        }
        @for (_, example) in members(&content["examples"]) {
            pre { (example_of(resolve(document, example))) }
        }
    }
}

fn example_of(example: &Value) -> String {
    match &example["value"] {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

/// Follows a reference within the document, once: what a component refers to is not shown.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn list(value: &Value) -> String {
    items(value).map(text).collect::<Vec<_>>().join(", ")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(|members| members.iter().map(|(name, value)| (name.as_str(), value)))
}

fn first_line(text: &str) -> Markup {
    inline(text.lines().next().unwrap_or_default())
}

/// Renders the part of Markdown that descriptions use: paragraphs, lists, `code`, **bold** and *emphasis*.
fn prose(text: &str) -> Markup {
    html! {
        @for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            @if block.lines().all(|line| line.starts_with("- ")) {
                ul { @for item in block.lines() { li { (inline(item.trim_start_matches("- "))) } } }
            } @else {
                p { (inline(block)) }
            }
        }
    }
}

fn inline(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (emphasised(part)) }
        }
    }
}

fn emphasised(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split("**").enumerate() {
            @if place % 2 == 1 { strong { (part) } } @else {
                @for (place, part) in part.split('*').enumerate() {
                    @if place % 2 == 1 { em { (part) } } @else { (part) }
                }
            }
        }
    }
}
