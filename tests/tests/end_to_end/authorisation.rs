//! Who may call which endpoint, and which audit event a call records: every endpoint by every role, in its own and in
//! another organisation. The endpoints, their roles and their events are those that the code declares. An endpoint that
//! needs a body fails until [`Route::body`] has one for it.

use std::fmt::Write as _;

use annals_api::DOCUMENT;
use annals_aws::system::SystemClock;
use annals_core::{
    destination::{Challenge, Place},
    registry::Registry as _,
    time::Clock as _,
    token::Role,
};
use annals_http::{endpoint::POSTED, openapi::Description};
use annals_tests::customer::Customer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fixture::{Answer, Caller, Fixture, Org, event, text},
    tokens::expired,
};

const ROLES: [Role; 3] = [Role::Producer, Role::Auditor, Role::Admin];

/// A declared endpoint.
#[derive(Debug)]
struct Route {
    id: String,
    method: Method,
    path: String,
    roles: Vec<Role>,
    is_for_platform: bool,
    /// The scope that a named token of the platform needs. `None`: only the deployment's own token may call it.
    platform_scope: Option<String>,
    /// The status of success if everything exists.
    status: u16,
    /// The types of events of which a call records one.
    records: Vec<String>,
    needs_body: bool,
}

/// The declared endpoints.
fn declared() -> Vec<Route> {
    let description = annals_api::endpoints::add(Description::default());
    let document = serde_json::to_value(annals_test_connection::add(description).document()).unwrap();
    let texts = |list: &Value| list.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let callers = texts(&operation["x-roles"]);
            let statuses = operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap());
            routes.push(Route {
                id: text(&operation["operationId"]),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                roles: ROLES.into_iter().filter(|role| callers.iter().any(|name| name == role.as_str())).collect(),
                platform_scope: operation["x-platform-scope"].as_str().map(str::to_owned),
                is_for_platform: callers.iter().any(|name| name == "platform"),
                status: statuses.min().unwrap(),
                records: texts(&operation["x-audit-events"]),
                needs_body: operation["requestBody"]["required"] == true,
            });
        }
    }
    assert!(routes.len() >= 30, "the description is not understood: {routes:?}");
    routes
}

/// The endpoints that need a token.
fn routes() -> Vec<Route> {
    declared().into_iter().filter(|route| !route.is_public()).collect()
}

impl Route {
    fn is_public(&self) -> bool {
        self.roles.is_empty() && !self.is_for_platform
    }

    fn creates_destination(&self) -> bool {
        self.id == "createDestination"
    }

    /// A valid body.
    fn body(&self, stage: &Stage) -> Option<Value> {
        let body = match self.id.as_str() {
            "putOrganisation" => json!({"name": "Changed"}),
            "createToken" => json!({"name": "New", "role": "auditor"}),
            "createPlatformToken" => json!({"name": "Worker", "scopes": ["events"]}),
            "createPortalLink" => json!({"role": "admin"}),
            "recordEvents" | "recordOrganisationEvents" => event("posted"),
            "createDestination" => {
                let customer = stage.free.as_ref()?;
                json!({"bucket": customer.bucket, "roleArn": customer.role_arn})
            }
            "changeDestination" => json!({"prefix": "audit"}),
            "confirmDestination" => json!({"code": "7KQ2M-XW4TR"}),
            "replayDestination" => json!({"firstSequence": 1, "lastSequence": 2}),
            other => {
                assert!(!self.needs_body, "{other} needs a body: give it one here");
                return None;
            }
        };
        Some(body)
    }

    /// Whether a call may record an event of this type.
    fn may_record(&self, kind: &str) -> bool {
        self.records.iter().any(|declared| declared == kind || declared == POSTED && kind == "mock_api.update")
    }
}

/// An organisation with a token and a session to revoke, and a destination, or a customer without one.
struct Stage {
    org: Org,
    token: String,
    platform_token: String,
    session: String,
    destination: String,
    uuid: String,
    free: Option<Customer>,
}

impl Stage {
    async fn start(fixture: &Fixture, route: &Route) -> Self {
        let org = fixture.organisation().await;
        let input = json!({"name": "To be revoked", "role": "auditor"});
        let token = fixture.platform().post(&format!("/organisations/{}/tokens", org.id), &input).await.expect(201);
        let creates = route.creates_destination();
        let customer = fixture.customer(&org);
        let destination = if creates { String::new() } else { fixture.destination(&org, &customer).await };
        if route.id == "resumeDestination" {
            let path = format!("/organisations/{}/destinations/{destination}/pause", org.id);
            fixture.with(&org.admin).post(&path, &json!({})).await.expect(200);
        }
        if route.id == "confirmDestination" {
            await_code(fixture, &org.id, &destination).await;
        }
        if route.id == "withdrawChange" {
            await_another_bucket(fixture, &org.id, &destination).await;
        }
        let uuid = text(&fixture.lines_behind(&org.id, 0).await[0]["eventId"]);
        let session = fixture.session(&org).await;
        let platform_token = if route.path.contains("{platformToken}") {
            platform_token(fixture, &["audit"]).await.0
        } else {
            String::new()
        };
        Self {
            token: text(&token["id"]),
            platform_token,
            session,
            destination,
            uuid,
            free: creates.then_some(customer),
            org,
        }
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
            .replace("{platformToken}", &self.platform_token)
            .replace("{session}", &self.session)
            .replace("{destination}", &self.destination)
            .replace("{uuid}", &self.uuid)
    }

    async fn call(&self, route: &Route, caller: Caller<'_>, path: &str) -> Answer {
        caller.send(route.method.clone(), path, &[], route.body(self).map(|body| body.to_string())).await
    }

    fn token_of(&self, role: Role) -> &str {
        match role {
            Role::Producer => &self.org.producer,
            Role::Auditor => &self.org.auditor,
            Role::Admin => &self.org.admin,
        }
    }
}

/// Lets a change of a proven destination wait.
async fn await_another_bucket(fixture: &Fixture, organisation: &str, destination: &str) {
    let store = fixture.system.store();
    let found =
        store.destination(&organisation.parse().unwrap(), &destination.parse().unwrap()).await.unwrap().unwrap();
    let place = Place { bucket: "another-bucket".parse().unwrap(), ..found.place() };
    let mut waiting = found.with_request(place, SystemClock.now());
    waiting.version += 1;
    assert!(store.save_progress(&waiting, None).await.unwrap());
}

/// Creates a named token of the platform with these scopes. Returns its id and its text.
async fn platform_token(fixture: &Fixture, scopes: &[&str]) -> (String, String) {
    let input = json!({"name": "Worker", "scopes": scopes});
    let created = fixture.platform().post("/platform-tokens", &input).await.expect(201);
    (text(&created["id"]), text(&created["token"]))
}

/// Lets a destination await the code that [`Route::body`] has.
async fn await_code(fixture: &Fixture, organisation: &str, destination: &str) {
    let store = fixture.system.store();
    let found = store.destination(&organisation.parse().unwrap(), &destination.parse().unwrap()).await.unwrap();
    let mut destination = found.unwrap();
    let challenge = Challenge { code: "7KQ2MXW4TR".into(), issued_at: SystemClock.now(), attempts: 0 };
    destination.proof.challenge = Some(challenge);
    destination.version += 1;
    assert!(store.save_progress(&destination, None).await.unwrap());
}

#[test]
fn every_endpoint_may_be_called_by_these_and_records_this() {
    let mut table = String::new();
    for Route { id, method, path, roles, is_for_platform, records, .. } in declared() {
        let platform = is_for_platform.then_some("platform");
        let callers: Vec<&str> = platform.into_iter().chain(roles.iter().map(|role| role.as_str())).collect();
        let line = format!("{method} {path} {id}: [{}] {}", callers.join(" "), records.join(" "));
        writeln!(table, "{}", line.trim_end()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_endpoint_that_changes_something_records_an_event_and_a_public_one_none() {
    for route in declared() {
        // What belongs to no organisation is in no log.
        let is_recorded = !route.path.starts_with("/platform-tokens");
        assert!(route.method == Method::GET || route.records.is_empty() != is_recorded, "{route:?}");
        assert!(!route.is_public() || route.records.is_empty(), "{route:?}");
    }
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
async fn public_endpoints_need_no_token() {
    let fixture = Fixture::start().await;
    let public: Vec<Route> = declared().into_iter().filter(Route::is_public).collect();
    assert_eq!(public.len(), 5, "{public:?}");
    for Route { method, path, .. } in public {
        let answer = fixture.nobody().send(method.clone(), &path, &[], None).await;
        assert_eq!(answer.status, 200, "{method} {path}");
        assert_eq!(fixture.with("nonsense").send(method.clone(), &path, &[], None).await, answer, "{method} {path}");
    }
}

#[tokio::test]
async fn without_a_valid_token_every_endpoint_refuses_alike() {
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
async fn every_declared_caller_is_allowed_and_each_call_records_one_event_of_a_declared_type() {
    let fixture = Fixture::start().await;
    for route in routes() {
        let allowed = ROLES.into_iter().filter(|role| route.roles.contains(role)).map(Some);
        let platform = route.is_for_platform.then_some(None);
        for role in allowed.chain(platform) {
            let stage = Stage::start(&fixture, &route).await;
            let caller = role.map_or_else(|| fixture.platform(), |role| fixture.with(stage.token_of(role)));
            let before = fixture.tail(&stage.org.id).await.last;
            let answer = stage.call(&route, caller, &stage.path(&route)).await;
            let what = format!("{} {} as {role:?}", route.method, route.path);
            assert_eq!(answer.status, route.status, "{what}: {}", answer.body);
            let left = fixture.lines_behind(&stage.org.id, before).await;
            let types: Vec<&str> = left.iter().map(|line| line["type"].as_str().unwrap()).collect();
            assert_eq!(types.len(), usize::from(!route.records.is_empty()), "{what}: {types:?}");
            assert!(types.iter().all(|kind| route.may_record(kind)), "{what}: {types:?}");
            if let Some(line) = left.first().filter(|line| line["type"] != "mock_api.update") {
                let actor = if role.is_some() { "API_KEY" } else { "PLATFORM" };
                assert_eq!(line["principal"]["entityType"], actor, "{what}: who did it");
                assert_eq!(line["context"]["ipAddress"], "127.0.0.1", "{what}: from where");
            }
        }
    }
}

#[tokio::test]
async fn every_other_role_is_refused_and_nothing_is_recorded() {
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
        if !route.is_for_platform {
            let answer = stage.call(&route, fixture.platform(), &stage.path(&route)).await;
            answer.expect_problem(400, "organisation_needed");
        }
        assert_eq!(fixture.tail(&stage.org.id).await, before, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_named_token_of_the_platform_makes_the_calls_of_its_scopes_and_no_other() {
    const SCOPES: [&str; 6] = ["organisations", "tokens", "destinations", "events", "audit", "portal-links"];
    let fixture = Fixture::start().await;
    let mut tokens = Vec::new();
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        tokens.push((scope, platform_token(&fixture, &[scope]).await, platform_token(&fixture, &others).await.1));
    }
    let (_, everything) = platform_token(&fixture, &SCOPES).await;
    let mut used = Vec::new();
    for route in routes().into_iter().filter(|route| route.is_for_platform && route.id != "getDeepHealth") {
        let stage = Stage::start(&fixture, &route).await;
        let (before, what) = (fixture.tail(&stage.org.id).await, format!("{} {}", route.method, route.path));
        let refuse = async |token: &str, required: &str| {
            let answer = stage.call(&route, fixture.with(token), &stage.path(&route)).await;
            let problem = answer.expect_problem(403, "forbidden");
            assert!(text(&problem["detail"]).ends_with(&format!("requires {required}.")), "{what}: {problem}");
            assert_eq!(fixture.tail(&stage.org.id).await, before, "{what}");
        };
        let Some(scope) = &route.platform_scope else {
            refuse(&everything, "the deployment's own token").await;
            continue;
        };
        let (name, (id, with), without) = tokens.iter().find(|(name, ..)| name == scope).unwrap();
        used.push(*name);
        refuse(without, &format!("the scope {scope}")).await;
        let answer = stage.call(&route, fixture.with(with), &stage.path(&route)).await;
        assert_eq!(answer.status, route.status, "{what}: {}", answer.body);
        for line in fixture.lines_behind(&stage.org.id, before.last).await {
            if line["type"] == "mock_api.update" {
                assert_eq!(line["recordedBy"], format!("platform/{id}"), "{what}");
            } else {
                assert_eq!(line["principal"], json!({"id": id, "name": "Worker", "entityType": "PLATFORM"}), "{what}");
            }
        }
    }
    assert!(SCOPES.into_iter().all(|scope| used.contains(&scope)), "each scope has a call: {used:?}");
    fixture.with(&everything).get("/health/deep").await.expect(200);
}

#[tokio::test]
async fn what_belongs_to_another_organisation_looks_as_if_it_did_not_exist() {
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
            // The ID of another organisation's item in the own organisation is answered like an ID that does not exist.
            if route.roles.contains(&role) && route.path.ends_with('}') && !route.path.ends_with("{organisation}")
                || route.roles.contains(&role) && route.path.contains("{destination}/")
                || route.roles.contains(&role) && route.path.contains("{token}/")
            {
                let theirs = stage.call(&route, caller, &stage.path_in(&route, &other.org.id)).await;
                let nothing = Stage {
                    token: "abcdefghijkl".into(),
                    platform_token: String::new(),
                    session: "0123456789ab".into(),
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
async fn unknown_paths_and_unsupported_methods_are_problems_too() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    for path in ["/docs/", "/nowhere", "/audit/a/b", "/organisations/", "/events/"] {
        fixture.with(&acme.admin).get(path).await.expect_problem(404, "no_such_route");
    }
    let answer = fixture.with(&acme.admin).delete("/events").await;
    answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "POST");
}
