use annals_http::prelude::*;
use maud::html;

use super::reference::{self, Html};
use crate::endpoints::Link;

pub(super) struct GetRoot;

impl Endpoint<Services> for GetRoot {
    const ID: &'static str = "getRoot";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/";
    type Access = Visitors;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Find the way")
            .description("Links to what the API has. Browsers get a page.")
            .empty_response(200, "The links.")
            .response_as::<Root>("application/hal+json")
            .response_as::<Html>("text/html")
    }

    async fn handle(_: Services, visit: Visit) -> Result<Response, Problem> {
        let url = visit.root_url();
        let root = Root {
            name: "Annals",
            description: "An audit log of each customer of a SaaS product.",
            links: Links {
                this: Link { href: format!("{url}/") },
                docs: Link { href: format!("{url}/docs") },
                openapi: Link { href: format!("{url}/openapi.json") },
                audit: Link { href: format!("{url}/audit") },
                events: Link { href: format!("{url}/events") },
                keys: Link { href: format!("{url}/keys") },
                health: Link { href: format!("{url}/health") },
                console: Link { href: format!("{url}/console") },
            },
        };
        if visit.wants_html() { Ok(reference::page(page(&root))) } else { Ok(hal(&root)) }
    }
}

fn hal(root: &Root) -> Response {
    response::json_as("application/hal+json", StatusCode::OK, root)
}

fn page(root: &Root) -> String {
    let Links { docs, openapi, audit, events, keys, health, console, .. } = &root.links;
    let rows = [
        (docs, "The reference of the API: every call, its parameters, its answers and its errors."),
        (openapi, "The same as an OpenAPI 3.1 document, for generators of clients."),
        (console, "The page of your organisation. You come to it through a link of the product that uses Annals."),
        (events, "POST: record events, with a producer's token."),
        (audit, "GET: read your organisation's log, with an auditor's token."),
        (keys, "The public keys that check signed checkpoints."),
        (health, "Whether the API answers."),
    ];
    let main = html! {
        h1 { "Annals" }
        p { (root.description) " Every event has a number without gaps and the hash of the event before it, and is delivered "
            "to a bucket that the customer owns." }
        p { "This is the address of its API. It wants a token in each call: the operator of the product that uses Annals gives "
            "you one." }
        table {
            @for (link, what) in rows {
                tr { th scope="row" { a href=(link.href) { (link.href) } } td { (what) } }
            }
        }
    };
    reference::html_document("Annals", &main)
}

/// Where everything is.
#[derive(Debug, Serialize, JsonSchema)]
struct Root {
    name: &'static str,
    description: &'static str,
    #[serde(rename = "_links")]
    links: Links,
}

/// The main addresses of the API.
#[derive(Debug, Serialize, JsonSchema)]
struct Links {
    #[serde(rename = "self")]
    this: Link,
    /// The reference, for people.
    docs: Link,
    /// The OpenAPI document.
    openapi: Link,
    /// The log of the token's organisation.
    audit: Link,
    /// Where events are recorded.
    events: Link,
    /// The public keys of signed checkpoints.
    keys: Link,
    /// Whether the API answers.
    health: Link,
    /// The page of an organisation, for people.
    console: Link,
}
