//! The scenario of the examples: an organisation is created, its events are recorded, read and delivered, and every
//! problem occurs.

use std::time::Duration;

use annals_core::{destination::connection_test::TEST_OBJECT_NAME, event::MAX_REQUEST_BYTES, log::tail::Hazard};
use annals_tests::{bucket::Trust, deployment::PLATFORM_TOKEN, entropy::SeededEntropy, faulty::Fault};
use serde_json::{Value, json};

use super::{
    document::Described,
    world::{Ask, Exchange, World},
};

const ORGANISATION: &str = "northwind-mills";
const OTHER: &str = "globex";
const BUCKET: &str = "northwind-mills-audit-events";
const ROLE: &str = "arn:aws:iam::444455556666:role/annals-put-audit-events";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The tokens of an organisation.
struct Tokens {
    producer: String,
    auditor: String,
    admin: String,
}

impl Tokens {
    fn of(&self, role: &str) -> &str {
        match role {
            "producer" => &self.producer,
            "auditor" => &self.auditor,
            "admin" => &self.admin,
            _ => PLATFORM_TOKEN,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

fn event(action: &str, id: &str, name: &str) -> Value {
    json!({
        "action": action,
        "entity": {"id": id, "name": name, "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER", "email": "ada.bell@example.com"},
    })
}

/// Runs the scenario and returns every call with its answer.
pub(crate) async fn tell(operations: Vec<Described>) -> Vec<Exchange> {
    let mut world = World::new(operations);
    let tokens = customers(&mut world).await;
    events(&mut world, &tokens).await;
    reading(&mut world, &tokens).await;
    destinations(&mut world, &tokens).await;
    changes_of_tokens(&mut world, &tokens).await;
    platform_tokens(&mut world).await;
    service(&mut world).await;
    refusals(&mut world, &tokens).await;
    expiry(&mut world, &tokens).await;
    world.exchanges
}

async fn organisation(world: &mut World, id: &str, name: &str) -> Tokens {
    world.defaults.insert("organisation", id.to_owned());
    let input = json!({"name": name, "plan": "enterprise", "retentionDays": 90});
    world.show(world.ask("putOrganisation").by(PLATFORM_TOKEN).named("created").json(input), 201).await;
    let mut texts = Vec::new();
    for (role, name) in [("producer", "Backend"), ("auditor", "SIEM"), ("admin", "Ada Bell")] {
        world.wait(MINUTE);
        let input = json!({"name": name, "role": role});
        let created = world.show(world.ask("createToken").by(PLATFORM_TOKEN).json(input), 201).await;
        texts.push(text(&created["token"]));
        world.defaults.insert("token", text(&created["id"]));
    }
    let [producer, auditor, admin] = texts.try_into().unwrap();
    Tokens { producer, auditor, admin }
}

async fn customers(world: &mut World) -> Tokens {
    let tokens = organisation(world, ORGANISATION, "Northwind Mills").await;
    world.wait(MINUTE);
    let input = json!({"name": "Northwind Mills Ltd", "retentionDays": 365});
    world.show(world.ask("putOrganisation").by(PLATFORM_TOKEN).named("changed").json(input), 200).await;
    world.show(world.ask("getOrganisation").by(&tokens.auditor), 200).await;
    let input = json!({"name": "", "plan": "gold", "colour": "red"});
    world.show(world.ask("putOrganisation").by(PLATFORM_TOKEN).json(input), 400).await;
    world.show(world.ask("listOrganisations").by(PLATFORM_TOKEN), 200).await;
    world.show(world.ask("listOrganisations").by(PLATFORM_TOKEN).query("page=2"), 400).await;
    let input = json!({"name": "SIEM", "role": "root", "expiresAt": "2020-01-01T00:00:00Z"});
    world.show(world.ask("createToken").by(&tokens.admin).json(input), 400).await;
    let input = json!({"role": "producer", "user": {"id": "7"}});
    world.show(world.ask("createPortalLink").by(PLATFORM_TOKEN).json(input), 400).await;
    let user = json!({"id": "42", "name": "Ada Bell", "email": "ada@northwind.example"});
    let input = json!({"role": "admin", "user": user});
    world.show(world.ask("createPortalLink").by(PLATFORM_TOKEN).json(input), 201).await;
    world.defaults.insert("session", world.session(ORGANISATION).await);
    world.show(world.ask("listSessions").by(&tokens.admin), 200).await;
    world.show(world.ask("revokeSession").by(&tokens.admin), 204).await;
    world.defaults.insert("session", world.session(ORGANISATION).await);
    world.show(world.ask("listTokens").by(&tokens.admin), 200).await;
    world.show(world.ask("getUsage").by(PLATFORM_TOKEN).query("month=2026-11"), 200).await;
    world.show(world.ask("getUsage").by(PLATFORM_TOKEN).query("month=2026-13"), 400).await;
    tokens
}

async fn events(world: &mut World, tokens: &Tokens) {
    for (operation, token) in [("recordEvents", &*tokens.producer), ("recordOrganisationEvents", PLATFORM_TOKEN)] {
        world.wait(MINUTE);
        let ask = |world: &World| world.ask(operation).by(token);
        let recorded = world.show(ask(world).named("one").json(event("CREATE", "m-1", "Payments")), 201).await;
        world.defaults.insert("uuid", text(&recorded["events"][0]["uuid"]));
        let mut renamed = event("UPDATE", "m-1", "Payments EU");
        renamed["type"] = "mock_api.renamed".into();
        renamed["before"] = json!({"name": "Payments"});
        renamed["after"] = json!({"name": "Payments EU"});
        renamed["occurredAt"] = "2026-11-22T10:05:00.250+01:00".into();
        renamed["context"] = json!({"ipAddress": "198.51.100.17", "userAgent": "Mozilla/5.0", "requestId": "r-81"});
        renamed["metadata"] = json!({"ticket": "OPS-217"});
        let several = json!([renamed, event("DELETE", "m-2", "Invoices")]);
        let several = |world: &World| ask(world).header("idempotency-key", "backup-17").json(several.clone());
        world.show(several(world).named("several"), 201).await;
        world.show(several(world).named("repeated"), 201).await;
        let other = event("CREATE", "m-3", "Orders");
        world.show(ask(world).header("idempotency-key", "backup-17").json(other.clone()), 422).await;
        let lines = format!("{}\n{other}\n", event("LOGIN", "42", "Ada Bell"));
        world.show(ask(world).named("lines").text("application/x-ndjson", &lines), 201).await;
        let faulty =
            json!([other, {"action": "", "entity": {"id": 7, "name": "x"}, "principal": "me", "colour": "red"}]);
        world.show(ask(world).json(faulty), 400).await;
        world.show(ask(world).text("text/csv", "a,b"), 415).await;
        world.show(batch_too_large(ask(world)), 413).await;
    }
}

/// Events that are each small enough, but together too large even when compressed.
fn batch_too_large(ask: Ask) -> Ask {
    let entropy = SeededEntropy::new(1);
    // All characters that JSON writes in one byte: each has 6.5 bits of information.
    let letters: Vec<u8> = (b' '..=b'~').filter(|letter| !b"\"\\".contains(letter)).collect();
    let events = (0..4).map(|n| {
        let mut event = event("UPDATE", &n.to_string(), "Noise");
        let ballast = (0..255 * 1024).map(|_| char::from(*entropy.pick(&letters)));
        event["payload"] = json!({"ballast": ballast.collect::<String>()});
        event
    });
    ask.json(events.collect())
}

async fn reading(world: &mut World, tokens: &Tokens) {
    for (scope, token) in [("", &*tokens.auditor), ("Organisation", PLATFORM_TOKEN)] {
        let ask = |world: &World, verb: &str, rest: &str| world.ask(&format!("{verb}{scope}{rest}")).by(token);
        world.wait(MINUTE);
        let first = ask(world, "list", "Audit").named("first").query("pageSize=2&excludeType=token.create");
        world.show(first, 200).await;
        let newest = ask(world, "list", "Audit").named("newest").query("sort=-timestamp&pageSize=1&action=UPDATE");
        world.show(newest, 200).await;
        for (accept, name) in [
            ("application/x-ndjson", "lines"),
            ("application/x-ndjson; profile=cloudevents", "cloudevents"),
            ("application/x-ndjson; profile=ocsf", "ocsf"),
            ("application/x-ndjson; profile=ocsf-slim", "ocsf-slim"),
            ("application/cloudevents-batch+json", "batch"),
            ("application/ocsf-batch+json", "batch"),
            ("text/csv", "rows"),
        ] {
            let shown = ask(world, "list", "Audit").named(name).query("pageSize=2&entityType=MOCK_API");
            world.show(shown.header("accept", accept), 200).await;
        }
        world.show(ask(world, "list", "Audit").query("pageSize=0&since=yesterday&colour=red"), 400).await;
        world.show(ask(world, "get", "AuditStats").query("since=2026-11-22&interval=hour"), 200).await;
        world.show(ask(world, "get", "AuditStats").query("by=colour"), 400).await;
        world.show(ask(world, "get", "AuditTail"), 200).await;
        world.show(ask(world, "get", "AuditCheckpoint"), 200).await;
        world.wait(2 * MINUTE);
        world.show_unsigned(ask(world, "get", "AuditCheckpoint"), 503).await;
        world.show_without_signing(ask(world, "get", "AuditCheckpoint"), 404).await;
        world.show(ask(world, "get", "AuditEvent"), 200).await;
        for accept in ["application/x-ndjson", "application/cloudevents+json", "application/ocsf+json", "text/csv"] {
            world.show(ask(world, "get", "AuditEvent").named("event").header("accept", accept), 200).await;
        }
    }
}

async fn destinations(world: &mut World, tokens: &Tokens) {
    let ask = |world: &World, operation: &str| world.ask(operation).by(&tokens.admin);
    world.buckets.open(&BUCKET.parse().unwrap(), "us-east-1".parse().unwrap());
    let shown = world.show(world.ask("getOrganisation").by(PLATFORM_TOKEN), 200).await;
    let trust = Trust::ExternalId(text(&shown["externalId"]));
    world.buckets.set_trust(&ROLE.parse().unwrap(), trust.clone());
    let input = json!({"bucket": "s3://bucket", "roleArn": "arn:aws:iam::1:user/x", "region": "Frankfurt"});
    world.show(ask(world, "createDestination").json(input), 400).await;
    world.wait(MINUTE);
    let input = json!({"bucket": BUCKET, "roleArn": ROLE, "prefix": "annals", "region": null});
    let created = world.show(ask(world, "createDestination").json(input.clone()), 201).await;
    world.defaults.insert("destination", text(&created["id"]));
    world.show(ask(world, "createDestination").json(input), 403).await;
    world.show(ask(world, "getSetup"), 200).await;
    world.wait(MINUTE);
    world.show(ask(world, "testConnection").named("passed"), 200).await;
    world.buckets.set_trust(&ROLE.parse().unwrap(), Trust::Revoked);
    world.show(ask(world, "testConnection").named("failed"), 200).await;
    world.wait(10 * MINUTE);
    world.tick().await;
    world.show(ask(world, "getDestination").named("failing"), 200).await;
    world.buckets.set_trust(&ROLE.parse().unwrap(), trust);
    world.wait(70 * MINUTE);
    world.tick_unsigned().await;
    world.show(ask(world, "getDestination").named("unsigned"), 200).await;
    world.wait(70 * MINUTE);
    world.tick().await;
    world.show(ask(world, "getDestination").named("sent"), 200).await;
    world.show(ask(world, "listDestinations"), 200).await;
    world.show(ask(world, "listDeliveries"), 200).await;
    let patch = json!({"compression": "gzip", "layout": "hive"});
    world.show(ask(world, "changeDestination").json(patch), 200).await;
    world.show(ask(world, "changeDestination").json(json!({"bucket": "s3://another", "layout": "flat"})), 400).await;
    let patch = json!({"bucket": "acme-wiremock-cloud-audit-events-2"});
    world.show(ask(world, "changeDestination").named("moving").json(patch), 200).await;
    world.show_under(Fault::Changed, ask(world, "withdrawChange"), 409).await;
    world.show(ask(world, "withdrawChange"), 200).await;
    let nothing = json!({"firstSequence": 1_000_000, "lastSequence": 1_000_001});
    world.show(ask(world, "replayDestination").json(nothing), 409).await;
    world.show(ask(world, "replayDestination").json(json!({"firstSequence": 2, "lastSequence": 1})), 400).await;
    let range = json!({"firstSequence": 1, "lastSequence": 8});
    world.show(ask(world, "replayDestination").named("sequences").json(range), 202).await;
    let times = json!({"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T12:00:00Z"});
    world.show(ask(world, "replayDestination").json(times.clone()), 409).await;
    world.tick().await;
    world.show_under(Fault::Changed, ask(world, "replayDestination").json(times.clone()), 409).await;
    world.show(ask(world, "replayDestination").named("times").json(times), 202).await;
    world.show(ask(world, "pauseDestination"), 200).await;
    world.show_under(Fault::Changed, ask(world, "resumeDestination"), 409).await;
    world.show(ask(world, "resumeDestination"), 200).await;

    let (ours, destination) = (world.defaults.clone(), world.defaults["destination"].clone());
    let others = organisation(world, OTHER, "Globex").await;
    open_role(world, &others.admin).await;
    world.defaults = ours;
    world.defaults.insert("destination", destination);
}

/// A role that accepts any external ID, as WireMock Cloud's guide sets it up.
async fn open_role(world: &mut World, admin: &str) {
    const BUCKET: &str = "globex-wiremock-cloud-audit-events";
    const ROLE: &str = "arn:aws:iam::777788889999:role/wiremock-cloud-put-audit-events";
    world.buckets.open(&BUCKET.parse().unwrap(), "us-east-1".parse().unwrap());
    world.buckets.set_trust(&ROLE.parse().unwrap(), Trust::AnyExternalId);
    let input = json!({"bucket": BUCKET, "roleArn": ROLE});
    let created = world.show(world.ask("createDestination").by(admin).json(input), 201).await;
    world.defaults.insert("destination", text(&created["id"]));
    let confirm = |world: &World, code: &str| world.ask("confirmDestination").by(admin).json(json!({"code": code}));
    world.show(confirm(world, "7KQ2M-XW4TR"), 409).await;
    world.wait(MINUTE);
    world.show(world.ask("testConnection").by(admin).named("unconfirmed"), 200).await;
    world.show(world.ask("getDestination").by(admin).named("unproven"), 200).await;
    world.show(confirm(world, "7KQ2M-XW4TR"), 400).await;
    let object = world.buckets.object(&BUCKET.parse().unwrap(), TEST_OBJECT_NAME).unwrap();
    let content = String::from_utf8(object.content.to_vec()).unwrap();
    let code = content.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap().to_owned();
    world.show_under(Fault::Changed, confirm(world, &code), 409).await;
    world.show(confirm(world, &code), 200).await;
}

async fn changes_of_tokens(world: &mut World, tokens: &Tokens) {
    let ask = |world: &World, operation: &str| world.ask(operation).by(&tokens.admin);
    let input = json!({"name": "Nightly export", "role": "auditor", "expiresAt": "2027-11-22T00:00:00Z"});
    let created = world.show(ask(world, "createToken").named("ending").json(input), 201).await;
    let id = text(&created["id"]);
    world.show(ask(world, "rotateToken").at("token", &id), 400).await;
    let input = json!({"overlapSeconds": 3600, "expiresAt": "2028-11-22T00:00:00Z"});
    let rotated = world.show(ask(world, "rotateToken").at("token", &id).json(input.clone()), 201).await;
    world.show(ask(world, "rotateToken").at("token", &id).json(input.clone()), 409).await;
    let successor = text(&rotated["id"]);
    world.show(ask(world, "revokeToken").at("token", &successor), 204).await;
    let mut full = false;
    for n in 0..200 {
        let input = json!({"name": format!("Collector {n}"), "role": "auditor"});
        let ask = ask(world, "createToken").named("ending").json(input);
        if world.try_show(ask, &[201, 409]).await == 409 {
            full = true;
            break;
        }
    }
    assert!(full, "an organisation may have any number of tokens");
    let input = json!({"overlapSeconds": 60});
    let own = world.defaults["token"].clone();
    world.show(ask(world, "rotateToken").at("token", &own).json(input), 409).await;
}

async fn platform_tokens(world: &mut World) {
    let ask = |world: &World, operation: &str| world.ask(operation).by(PLATFORM_TOKEN);
    let create = |world: &World| {
        let input = json!({"name": "Onboarding", "scopes": ["organisations", "tokens"]});
        ask(world, "createPlatformToken").json(input)
    };
    world.wait(MINUTE);
    let first = world.show(create(world), 201).await;
    let input = json!({"name": "Backend", "scopes": ["events"], "expiresAt": "2027-11-22T00:00:00Z"});
    let second = world.show(ask(world, "createPlatformToken").named("ending").json(input), 201).await;
    let input = json!({"name": "", "scopes": ["everything"], "expiresAt": "2020-01-01T00:00:00Z"});
    world.show(ask(world, "createPlatformToken").json(input), 400).await;
    world.show_under(Fault::Changed, create(world), 409).await;

    let rotate =
        |world: &World, id: &str, input: Value| ask(world, "rotatePlatformToken").at("platformToken", id).json(input);
    let (first, second) = (text(&first["id"]), text(&second["id"]));
    world.show(rotate(world, &second, json!({})), 400).await;
    world.show(rotate(world, "abcdefghijkl", json!({})), 404).await;
    let input = json!({"overlapSeconds": 3600, "expiresAt": "2028-11-22T00:00:00Z"});
    world.show(rotate(world, &second, input), 201).await;
    world.show(ask(world, "listPlatformTokens"), 200).await;
    world.show(rotate(world, &second, json!({"expiresAt": null})), 409).await;
    world.show_under(Fault::Changed, rotate(world, &first, json!({})), 409).await;

    let revoke = |world: &World, id: &str| ask(world, "revokePlatformToken").at("platformToken", id);
    world.show(revoke(world, "abcdefghijkl"), 404).await;
    world.show_under(Fault::Changed, revoke(world, &second), 409).await;
    world.show(revoke(world, &second), 204).await;
    let mut full = false;
    for _ in 0..100 {
        if world.try_show(create(world), &[201, 409]).await == 409 {
            full = true;
            break;
        }
    }
    assert!(full, "the platform may have any number of tokens");
    world.show(rotate(world, &first, json!({})), 409).await;
    world.defaults.insert("platformToken", first);
}

async fn service(world: &mut World) {
    world.show(world.ask("getRoot"), 200).await;
    for page in ["getRoot", "getDocs"] {
        world.show_page(world.ask(page).named("page").header("accept", "text/html")).await;
    }
    world.show(world.ask("getHealth"), 200).await;
    let health = |world: &World| world.ask("getDeepHealth").by(PLATFORM_TOKEN);
    world.show(health(world), 200).await;
    world.show_unsigned(health(world), 503).await;
    let keys = |world: &World| world.ask("getKeys");
    world.show(keys(world), 200).await;
    world.show_unsigned(keys(world), 503).await;
    world.show_under(Fault::Unsent, keys(world), 503).await;
    world.show_under(Fault::Broken, keys(world), 500).await;
    world.show_under(Fault::Denied, keys(world), 503).await;
    // The whole document would contain itself.
    world.show_description().await;
}

/// The problems that every operation can have.
async fn refusals(world: &mut World, tokens: &Tokens) {
    // The role loses its proof, so that a code can be entered.
    world.buckets.set_trust(&ROLE.parse().unwrap(), Trust::AnyExternalId);
    world.wait(MINUTE);
    world.show(world.ask("testConnection").by(&tokens.admin).named("unconfirmed"), 200).await;
    world.wait(MINUTE);
    for operation in world.operations.clone() {
        let Described { id, method, path, .. } = &operation;
        let roles = operation.roles();
        let Some(role) = roles.last() else { continue };
        let caller = tokens.of(role);
        for code in operation.codes() {
            let ask = plain(world.ask(id).by(caller), id);
            // It reads nothing to admit the platform, and reports a fault of the store as a problem of its own.
            let ask = match code.as_str() {
                "internal" | "operator_required" | "unavailable" if id == "getDeepHealth" => {
                    // Until then the token is known.
                    world.wait(MINUTE);
                    ask.by(&tokens.admin)
                }
                _ => ask,
            };
            if world.has_shown(id, &code) {
                continue;
            }
            match code.as_str() {
                "unauthorized" => drop(world.show(ask.by_nobody(), 401).await),
                "forbidden" => {
                    let other =
                        ["producer", "auditor", "admin"].into_iter().find(|role| !roles.contains(role)).unwrap();
                    world.show(ask.by(tokens.of(other)), 403).await;
                }
                "organisation_needed" => drop(world.show(ask.by(PLATFORM_TOKEN), 400).await),
                "invalid_input" => drop(world.show(ask.query("note=%00"), 400).await),
                "body_cut_off" => drop(world.show(ask.cut_off(), 400).await),
                "body_too_large" => drop(world.show(ask.spaces(MAX_REQUEST_BYTES + 1), 413).await),
                "not_acceptable" => drop(world.show(ask.header("accept", "application/xml"), 406).await),
                "uri_too_long" => drop(world.show(ask.query(&"x".repeat(10_000)), 414).await),
                "unsupported_content_encoding" => {
                    world.show(ask.header("content-encoding", "gzip"), 415).await;
                }
                "too_many_requests" => world.show_too_often(ask).await,
                "internal" => drop(world.show_under(Fault::Broken, ask, 500).await),
                "operator_required" => drop(world.show_under(Fault::Denied, ask, 503).await),
                "unavailable" => drop(world.show_under(Fault::Unsent, ask, 503).await),
                "tail_unknown" => world.show_hazard(Hazard::TailUnknown { certain_at: None }, ask).await,
                "events_missing" => world.show_hazard(Hazard::EventsMissing { next_to: 7 }, ask).await,
                "clock_ahead" => world.show_hazard(Hazard::ClockAhead { by: 400 * DAY }, ask).await,
                "clock_behind" => world.show_hazard(Hazard::ClockBehind { by: 400 * DAY }, ask).await,
                "not_found" if path.contains("{organisation}") => {
                    let other = if *role == "platform" { "nobody" } else { OTHER };
                    world.show(ask.at("organisation", other), 404).await;
                }
                "not_found" => drop(world.show(ask.at("uuid", "AaICssV7cACAAAAAAeCKzA"), 404).await),
                "changed" => drop(world.show_under(Fault::Changed, ask, 409).await),
                // Time has to pass for it.
                "expired" => {}
                other => panic!("{method} {path} is not shown refusing {other}"),
            }
        }
    }
}

/// A valid call.
fn plain(ask: Ask, operation: &str) -> Ask {
    match operation {
        "putOrganisation" => ask.json(json!({"name": "Northwind"})),
        "createToken" => ask.json(json!({"name": "SIEM", "role": "auditor"})),
        "rotateToken" => ask.json(json!({"overlapSeconds": 3600})),
        "createPlatformToken" => ask.json(json!({"name": "Backend", "scopes": ["events"]})),
        "rotatePlatformToken" => ask.json(json!({"overlapSeconds": 3600})),
        "createPortalLink" => ask.json(json!({"role": "auditor"})),
        "createDestination" => ask.json(json!({"bucket": "another-bucket", "roleArn": ROLE})),
        "changeDestination" => ask.json(json!({"prefix": "audit"})),
        "confirmDestination" => ask.json(json!({"code": "7KQ2M-XW4TR"})),
        "replayDestination" => ask.json(json!({"firstSequence": 1, "lastSequence": 2})),
        "recordEvents" | "recordOrganisationEvents" => ask.json(event("CREATE", "m-4", "Refunds")),
        _ => ask,
    }
}

/// Cursors to deleted events.
async fn expiry(world: &mut World, tokens: &Tokens) {
    let uuid = world.defaults["uuid"].clone();
    world.outlive(ORGANISATION, 400 * DAY).await;
    for (scope, token) in [("", &*tokens.auditor), ("Organisation", PLATFORM_TOKEN)] {
        let ask = |world: &World, verb: &str, rest: &str| world.ask(&format!("{verb}{scope}{rest}")).by(token);
        world.show(ask(world, "list", "Audit").query(&format!("from={uuid}")), 410).await;
        world.show(ask(world, "get", "AuditStats").query(&format!("from={uuid}")), 410).await;
        world.show(ask(world, "get", "AuditEvent"), 410).await;
    }
}
