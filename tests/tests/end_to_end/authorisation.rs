//! Who may call what, and what event it leaves: a table over all operations that the API's description names and
//! `template.yaml` deploys. An operation without a line here fails, and so does a line without an operation, or one that
//! says something else.

use std::collections::BTreeMap;

use annals_api::DOCUMENT;
use annals_core::token::Role;
use annals_http::operation::POSTED;
use annals_tests::customer::Customer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fixture::{Answer, Caller, Fixture, Org, event, text},
    tokens::expired,
};

struct Route {
    method: Method,
    path: &'static str,
    /// Which roles may call it; the platform may call all, and only the platform those that no role may.
    roles: &'static [Role],
    /// How it is answered where it succeeds.
    status: u16,
    /// The type of the one event that a call leaves.
    leaves: Option<&'static str>,
    body: fn(&Stage) -> Option<Value>,
}

const NOBODY: &[Role] = &[];
const PRODUCERS: &[Role] = &[Role::Producer];
const READERS: &[Role] = &[Role::Auditor, Role::Admin];
const ADMINISTRATORS: &[Role] = &[Role::Admin];

/// Routes that ask for no token.
const PUBLIC: &[(Method, &str)] = &[(Method::GET, "/health"), (Method::GET, "/openapi.json")];

fn routes() -> Vec<Route> {
    let route = |method, path, roles, status, leaves: &'static str, body: fn(&Stage) -> Option<Value>| {
        let leaves = (!leaves.is_empty()).then_some(leaves);
        Route { method, path, roles, status, leaves, body }
    };
    let none: fn(&Stage) -> Option<Value> = |_| None;
    let posted: fn(&Stage) -> Option<Value> = |_| Some(event("posted"));
    let changed: fn(&Stage) -> Option<Value> = |_| Some(json!({"name": "Changed"}));
    let token: fn(&Stage) -> Option<Value> = |_| Some(json!({"name": "New", "role": "auditor"}));
    let role: fn(&Stage) -> Option<Value> = |_| Some(json!({"role": "admin"}));
    let destination: fn(&Stage) -> Option<Value> = |stage| {
        let customer = stage.free.as_ref()?;
        Some(json!({"bucket": customer.bucket, "roleArn": customer.role_arn}))
    };
    let settings: fn(&Stage) -> Option<Value> = |_| Some(json!({"prefix": "audit"}));
    let range: fn(&Stage) -> Option<Value> = |_| Some(json!({"firstSequence": 1, "lastSequence": 2}));
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let organisation = "/organisations/{organisation}";
    let tokens = "/organisations/{organisation}/tokens";
    let one_token = "/organisations/{organisation}/tokens/{token}";
    let rotate = "/organisations/{organisation}/tokens/{token}/rotate";
    let portal_links = "/organisations/{organisation}/portal-links";
    let destinations = "/organisations/{organisation}/destinations";
    let one = "/organisations/{organisation}/destinations/{destination}";
    let pause = "/organisations/{organisation}/destinations/{destination}/pause";
    let resume = "/organisations/{organisation}/destinations/{destination}/resume";
    let replay = "/organisations/{organisation}/destinations/{destination}/replay";
    let setup = "/organisations/{organisation}/destinations/{destination}/setup";
    let deliveries = "/organisations/{organisation}/destinations/{destination}/deliveries";
    let test = "/organisations/{organisation}/destinations/{destination}/test";
    vec![
        route(get.clone(), "/organisations", NOBODY, 200, "", none),
        route(put, organisation, NOBODY, 200, "organisation.update", changed),
        route(get.clone(), organisation, READERS, 200, "", none),
        route(post.clone(), tokens, ADMINISTRATORS, 201, "token.create", token),
        route(get.clone(), tokens, ADMINISTRATORS, 200, "", none),
        route(delete.clone(), one_token, ADMINISTRATORS, 204, "token.revoke", none),
        route(post.clone(), rotate, ADMINISTRATORS, 201, "token.rotate", none),
        route(post.clone(), portal_links, NOBODY, 201, "portal_link.create", role),
        route(post.clone(), "/events", PRODUCERS, 201, "mock_api.update", posted),
        route(post.clone(), "/organisations/{organisation}/events", PRODUCERS, 201, "mock_api.update", posted),
        route(get.clone(), "/audit", READERS, 200, "audit.read", none),
        route(get.clone(), "/audit/stats", READERS, 200, "audit.read", none),
        route(get.clone(), "/audit/tail", READERS, 200, "audit.read", none),
        route(get.clone(), "/audit/{uuid}", READERS, 200, "audit.read", none),
        route(get.clone(), "/organisations/{organisation}/audit", READERS, 200, "audit.read", none),
        route(get.clone(), "/organisations/{organisation}/audit/stats", READERS, 200, "audit.read", none),
        route(get.clone(), "/organisations/{organisation}/audit/tail", READERS, 200, "audit.read", none),
        route(get.clone(), "/organisations/{organisation}/audit/{uuid}", READERS, 200, "audit.read", none),
        route(post.clone(), destinations, ADMINISTRATORS, 201, "destination.create", destination),
        route(get.clone(), destinations, ADMINISTRATORS, 200, "", none),
        route(get.clone(), one, ADMINISTRATORS, 200, "", none),
        route(Method::PATCH, one, ADMINISTRATORS, 200, "destination.update", settings),
        route(delete, one, ADMINISTRATORS, 204, "destination.delete", none),
        route(post.clone(), pause, ADMINISTRATORS, 200, "destination.pause", none),
        route(post.clone(), resume, ADMINISTRATORS, 200, "destination.resume", none),
        route(post.clone(), replay, ADMINISTRATORS, 202, "destination.replay", range),
        route(get.clone(), setup, ADMINISTRATORS, 200, "", none),
        route(get, deliveries, ADMINISTRATORS, 200, "", none),
        route(post, test, ADMINISTRATORS, 200, "destination.test", none),
    ]
}

/// A method and a path.
type Call = (String, String);

/// The names of the operations that `template.yaml` deploys.
fn deployed() -> BTreeMap<Call, String> {
    const TEMPLATE: &str = include_str!("../../../template.yaml");
    let member = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}: "))?;
        let value = rest.split([',', '}']).next()?;
        // A path in braces is quoted.
        let value = if let Some(quoted) = rest.strip_prefix('"') { quoted.split('"').next()? } else { value };
        Some(value.trim().to_owned())
    };
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    // Pages are no operations.
    let events = lines.windows(3).filter(|lines| lines[1].trim() == "Type: HttpApi" && !lines[2].contains("/console"));
    let routes = events.map(|lines| {
        let found = member(lines[2], "Method").zip(member(lines[2], "Path"));
        let name = lines[0].trim().trim_end_matches(':').to_owned();
        (found.unwrap_or_else(|| panic!("not understood: {}", lines[2])), name)
    });
    routes.collect()
}

/// What the description says of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    name: String,
    roles: Vec<String>,
    events: Vec<String>,
}

/// The operations that the description names.
fn described() -> BTreeMap<Call, Described> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let texts = |list: &Value| list.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let mut described = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let operation = Described {
                name: text(&operation["operationId"]),
                roles: texts(&operation["x-roles"]),
                events: texts(&operation["x-audit-events"]),
            };
            described.insert((method.to_uppercase(), path.clone()), operation);
        }
    }
    described
}

/// An organisation with a token to be revoked, and a destination or a customer who has none yet.
struct Stage {
    org: Org,
    token: String,
    destination: String,
    uuid: String,
    free: Option<Customer>,
}

impl Stage {
    async fn start(fixture: &Fixture, route: &Route) -> Self {
        let org = fixture.organisation().await;
        let input = json!({"name": "To be revoked", "role": "auditor"});
        let token = fixture.platform().post(&format!("/organisations/{}/tokens", org.id), &input).await.expect(201);
        let creates = route.leaves == Some("destination.create");
        let customer = fixture.customer(&org);
        let destination = if creates { String::new() } else { fixture.destination(&org, &customer).await };
        if route.leaves == Some("destination.resume") {
            let path = format!("/organisations/{}/destinations/{destination}/pause", org.id);
            fixture.with(&org.admin).post(&path, &json!({})).await.expect(200);
        }
        let uuid = text(&fixture.lines_behind(&org.id, 0).await[0]["eventId"]);
        Self { token: text(&token["id"]), destination, uuid, free: creates.then_some(customer), org }
    }

    /// The route's path for these things.
    fn path(&self, route: &Route) -> String {
        self.path_in(route, &self.org.id)
    }

    fn path_in(&self, route: &Route, organisation: &str) -> String {
        route
            .path
            .replace("{organisation}", organisation)
            .replace("{token}", &self.token)
            .replace("{destination}", &self.destination)
            .replace("{uuid}", &self.uuid)
    }

    async fn call(&self, route: &Route, caller: Caller<'_>, path: &str) -> Answer {
        caller.send(route.method.clone(), path, &[], (route.body)(self).map(|body| body.to_string())).await
    }

    fn token_of(&self, role: Role) -> &str {
        match role {
            Role::Producer => &self.org.producer,
            Role::Auditor => &self.org.auditor,
            Role::Admin => &self.org.admin,
        }
    }
}

const ROLES: [Role; 3] = [Role::Producer, Role::Auditor, Role::Admin];

#[test]
fn every_operation_has_a_line_in_the_table_that_says_of_it_what_its_description_says() {
    let mut described = described();
    assert!(described.len() >= 30, "the description is not understood: {described:?}");
    for (method, path) in PUBLIC {
        let operation = described.remove(&(method.to_string(), (*path).to_owned()));
        let operation = operation.unwrap_or_else(|| panic!("{method} {path} is not in the description"));
        assert!(operation.roles.is_empty() && operation.events.is_empty(), "{method} {path}: {operation:?}");
    }
    for route in routes() {
        let what = format!("{} {}", route.method, route.path);
        let operation = described.remove(&(route.method.to_string(), route.path.to_owned()));
        let operation = operation.unwrap_or_else(|| panic!("{what} is not in the description"));
        // The platform names the organisation in the path.
        let platform = route.path.starts_with("/organisations").then_some("platform");
        let roles: Vec<&str> = platform.into_iter().chain(route.roles.iter().map(|role| role.as_str())).collect();
        assert_eq!(operation.roles, roles, "{what}");
        let is_described = |kind: &str| operation.events.iter().any(|event| event == kind || event == POSTED);
        assert_eq!(route.leaves.is_some(), !operation.events.is_empty(), "{what}");
        assert!(route.leaves.is_none_or(is_described), "{what} leaves {:?}: {operation:?}", route.leaves);
        assert!(route.leaves.is_some() || route.method == Method::GET, "{what} changes something and leaves no event");
    }
    assert!(described.is_empty(), "in the description, but not in the table of this test: {described:?}");
}

#[test]
fn what_is_described_is_what_is_deployed_under_the_same_names() {
    let described: BTreeMap<Call, String> = described()
        .into_iter()
        .map(|(call, operation)| (call, operation.name[..1].to_uppercase() + &operation.name[1..]))
        .collect();
    assert_eq!(described, deployed());
}

#[tokio::test]
async fn the_description_is_served_to_anyone_and_may_be_kept_for_an_hour() {
    let fixture = Fixture::start().await;
    let answer = fixture.nobody().get("/openapi.json").await;
    assert_eq!((answer.status, &*answer.body), (200, DOCUMENT));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
}

#[tokio::test]
async fn public_routes_ask_for_no_token_and_leave_no_event() {
    let fixture = Fixture::start().await;
    for (method, path) in PUBLIC {
        let answer = fixture.nobody().send(method.clone(), path, &[], None).await;
        assert_eq!(answer.status, 200, "{method} {path}");
        assert_eq!(fixture.with("nonsense").send(method.clone(), path, &[], None).await, answer, "{method} {path}");
    }
}

#[tokio::test]
async fn without_a_valid_token_every_route_is_refused_alike() {
    let fixture = Fixture::start().await;
    let refused = fixture.nobody().get("/audit").await;
    refused.expect_problem(401, "unauthorized");
    for route in routes() {
        let stage = Stage::start(&fixture, &route).await;
        let old = expired(&fixture, &stage.org.id, *route.roles.first().unwrap_or(&Role::Admin)).await;
        let tokens = format!("/organisations/{}/tokens", stage.org.id);
        let input = json!({"name": "Gone", "role": route.roles.first().map_or("admin", |role| role.as_str())});
        let revoked = fixture.platform().post(&tokens, &input).await.expect(201);
        fixture.platform().delete(&format!("{tokens}/{}", text(&revoked["id"]))).await.expect(204);
        let before = fixture.tail(&stage.org.id).await;
        let revoked = text(&revoked["token"]);
        let callers = [
            ("no token", fixture.nobody()),
            ("garbage", fixture.with("nonsense")),
            ("expired", fixture.with(&old)),
            ("revoked", fixture.with(&revoked)),
        ];
        for (what, caller) in callers {
            let answer = stage.call(&route, caller, &stage.path(&route)).await;
            assert_eq!(answer, refused, "{} {} with {what}", route.method, route.path);
        }
        assert_eq!(fixture.tail(&stage.org.id).await, before, "{} {}: nothing is recorded", route.method, route.path);
    }
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_each_call_leaves_the_one_event_of_its_kind() {
    let fixture = Fixture::start().await;
    for route in routes() {
        let allowed = ROLES.into_iter().filter(|role| route.roles.contains(role)).map(Some);
        // The platform names the organisation in the path.
        let platform = route.path.starts_with("/organisations").then_some(None);
        for role in allowed.chain(platform) {
            let stage = Stage::start(&fixture, &route).await;
            let caller = role.map_or_else(|| fixture.platform(), |role| fixture.with(stage.token_of(role)));
            let before = fixture.tail(&stage.org.id).await.last;
            let answer = stage.call(&route, caller, &stage.path(&route)).await;
            let what = format!("{} {} as {role:?}", route.method, route.path);
            assert_eq!(answer.status, route.status, "{what}: {}", answer.body);
            let left = fixture.lines_behind(&stage.org.id, before).await;
            let types: Vec<&str> = left.iter().map(|line| line["type"].as_str().unwrap()).collect();
            assert_eq!(types, route.leaves.into_iter().collect::<Vec<_>>(), "{what}");
            if let Some(line) = left.first().filter(|line| line["type"] != "mock_api.update") {
                let actor = if role.is_some() { "API_KEY" } else { "PLATFORM" };
                assert_eq!(line["principal"]["entityType"], actor, "{what}: who did it");
                assert_eq!(line["context"]["ipAddress"], "127.0.0.1", "{what}: from where");
            }
        }
    }
}

#[tokio::test]
async fn every_other_role_is_refused_and_leaves_nothing() {
    let fixture = Fixture::start().await;
    for route in routes() {
        let stage = Stage::start(&fixture, &route).await;
        let before = fixture.tail(&stage.org.id).await;
        for role in ROLES.into_iter().filter(|role| !route.roles.contains(role)) {
            let answer = stage.call(&route, fixture.with(stage.token_of(role)), &stage.path(&route)).await;
            let problem = answer.expect_problem(403, "forbidden");
            let detail = text(&problem["detail"]);
            assert!(detail.contains(role.as_str()), "{} {}: {detail}", route.method, route.path);
        }
        if !route.path.starts_with("/organisations") {
            let answer = stage.call(&route, fixture.platform(), &stage.path(&route)).await;
            answer.expect_problem(400, "organisation_needed");
        }
        assert_eq!(fixture.tail(&stage.org.id).await, before, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn what_belongs_to_another_organisation_is_what_does_not_exist() {
    let fixture = Fixture::start().await;
    for route in routes().into_iter().filter(|route| !route.roles.is_empty()) {
        let (stage, other) = (Stage::start(&fixture, &route).await, Stage::start(&fixture, &route).await);
        let (before, others) = (fixture.tail(&stage.org.id).await, fixture.tail(&other.org.id).await);
        let what = format!("{} {}", route.method, route.path);
        for role in ROLES {
            let caller = fixture.with(other.token_of(role));
            if route.path.contains("{organisation}") {
                let theirs = stage.call(&route, caller, &stage.path(&route)).await;
                let absent = stage.call(&route, caller, &stage.path_in(&route, "nobody")).await;
                theirs.expect_problem(404, "not_found");
                assert_eq!(theirs, absent, "{what}: the path of another organisation, as {role:?}");
            }
            // Another's thing in one's own organisation, beside a thing that does not exist.
            if route.roles.contains(&role) && route.path.ends_with('}') && !route.path.ends_with("{organisation}")
                || route.roles.contains(&role) && route.path.contains("{destination}/")
                || route.roles.contains(&role) && route.path.contains("{token}/")
            {
                let theirs = stage.call(&route, caller, &stage.path_in(&route, &other.org.id)).await;
                let nothing = Stage {
                    token: "abcdefghijkl".into(),
                    destination: "abcdefghijkl".into(),
                    uuid: "01a202b2-c57b-7000-8000-000001e08acc".into(),
                    free: None,
                    org: other.org.clone(),
                };
                let absent = nothing.call(&route, caller, &nothing.path(&route)).await;
                theirs.expect_problem(404, "not_found");
                assert_eq!(theirs, absent, "{what}: another's thing, as {role:?}");
            }
        }
        assert_eq!(fixture.tail(&stage.org.id).await, before, "{what}");
        assert_eq!(fixture.tail(&other.org.id).await, others, "{what}");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_problems_too() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    for path in ["/", "/nowhere", "/audit/a/b", "/organisations/", "/events/"] {
        fixture.with(&acme.admin).get(path).await.expect_problem(404, "no_such_route");
    }
    let answer = fixture.with(&acme.admin).delete("/events").await;
    answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "POST");
}
