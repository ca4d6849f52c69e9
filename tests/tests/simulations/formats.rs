//! Exported events in every format: a week of a company's events, events of Annals itself, and unusual ones; and checkpoints.
//! `.ci/validate-formats` runs this test with `ANNALS_FORMATS_FOLDER`, the folder to write the documents to, and
//! validates them against the published schemas.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use annals_core::{
    administration::{Actor, Administration, DestinationInput, Put, ReplayInput},
    audit::{Audit, PageRequest, Start},
    caller::Caller,
    event::{Body, Context, OwnEvent},
    format::Format,
    log::{
        Log,
        append::AppendPolicy,
        segment::{Line, LineHash},
        store::LogStore,
    },
    organisation::{Organisation, OrganisationInput},
    proof::{
        checkpoint::{Checkpoint, Delivered, Entries, Entry, Signature, SignedContent, SignedNote, SignedObject, note},
        key::VerifierKey,
    },
    registry::Registry,
    token::TokenInput,
};
use annals_local::demo;
use annals_tests::{clock::PausedClock, entropy::SeededEntropy, memory::MemoryStore, sample};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::producers;

/// Strings that may break a format or a reader of it.
const HOSTILE: [&str; 30] = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1-1",
    "-5",
    "@SUM(1)",
    "\t=1",
    "\r\n=1",
    "'=1",
    "\"=1\"",
    "＝1",
    "a;=1",
    "a,b;c\td",
    "a\r\nb\nc\rd",
    "\"\"\"",
    "\\\"\\",
    "\u{0}\u{1f}\u{7f}\u{85}",
    "\u{2028}\u{2029}",
    "\u{feff}bom",
    "\u{fffe}\u{ffff}\u{fdd0}",
    "\u{202e}txt.exe",
    "日本語 🚆 é",
    "{\"a\":1}",
    "null",
    "0",
    "1e999",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "user.login.failed",
];

const ACTIONS: [&str; 33] = [
    "CREATE",
    "READ",
    "UPDATE",
    "DELETE",
    "SIGNUP",
    "LOGIN",
    "LOGOUT",
    "LOGIN_FAILED",
    "ACL_GRANT",
    "ACL_REVOKE",
    "INVITE",
    "ENABLE",
    "DISABLE",
    "ACTIVATE",
    "DEACTIVATE",
    "SUSPEND",
    "PAUSE",
    "RESUME",
    "LOCK",
    "UNLOCK",
    "PASSWORD_CHANGE",
    "PASSWORD_RESET",
    "MFA_ENABLE",
    "MFA_DISABLE",
    "TEST",
    "REPLAY",
    "EXPIRE",
    "create",
    "explode",
    "=1+1",
    "\u{0}",
    "９",
    "a\nb",
];

const ENTITY_TYPES: [&str; 19] = [
    "MOCK_API",
    "USER",
    "TEAM",
    "ORGANISATION",
    "API_TEMPLATE",
    "API_TEMPLATE_CATALOGUE",
    "DATA_SOURCE",
    "KEY",
    "DATABASE_CONNECTION",
    "STUB_MAPPING",
    "MOCK_API_SETTINGS",
    "SUBSCRIPTION",
    "OPENAPI_GIT_INTEGRATION",
    "API_KEY",
    "S3_AUDIT_SINK",
    "AUDIT_LOG",
    "GROUP",
    "POLICY",
    "=1+1",
];

const PRINCIPAL_TYPES: [&str; 6] = ["USER", "API_KEY", "SYSTEM", "PLATFORM", "SERVICE_ACCOUNT", "ROBOT"];

/// Every action on every type of entity, with and without optional members.
fn combinations() -> Vec<Value> {
    let mut events = Vec::new();
    for (row, action) in ACTIONS.iter().enumerate() {
        for (column, entity_type) in ENTITY_TYPES.iter().enumerate() {
            let number = row * ENTITY_TYPES.len() + column;
            let odd = HOSTILE[number % HOSTILE.len()];
            let mut event = json!({
                "action": action,
                "entity": {"id": format!("e{odd}"), "name": odd, "entityType": entity_type},
                "principal": {"id": format!("{odd}p"), "name": "", "entityType": PRINCIPAL_TYPES[number % 6]},
            });
            let subject = json!({"id": "u1", "name": odd, "entityType": if number % 4 < 2 { "USER" } else { "TEAM" }});
            let permission = json!({"permissions": [{"id": "p", "friendlyId": odd}, {"id": "q", "friendlyId": ""}]});
            for (bit, member, value) in [
                (1, "subject", subject),
                (2, "permission", if number.is_multiple_of(3) { json!("ALL_PERMISSIONS") } else { permission }),
                (3, "parentEntity", json!({"id": "t", "name": odd, "entityType": "TEAM"})),
                (4, "before", json!({"v": odd, odd: [null, 1.5e300, {"deep": [[]]}]})),
                (5, "after", json!({})),
                (6, "payload", json!({"method": odd, "path": odd, "queryString": odd, "referer": odd, "status": 500})),
                (7, "metadata", json!({odd: odd})),
                (8, "occurredAt", json!("1999-12-31t23:59:59.999999999+23:59")),
            ] {
                if !((number * 37) >> bit).is_multiple_of(3) {
                    event[member] = value;
                }
            }
            events.push(event);
        }
    }
    events
}

/// Unusual values: any object may be a payload, and the known members of a context any text.
fn misplaced() -> Vec<Value> {
    let values = [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!(true),
        json!("x"),
        json!("192.0.2.1:443"),
        json!("::1%eth0"),
        json!("fe80::1"),
        json!("::ffff:192.0.2.1"),
        json!("1.2.3.4, 5.6.7.8"),
        json!("999.1.1.1"),
        json!(" 192.0.2.1 "),
    ];
    let event = |value: &Value| {
        let text = if value.is_string() { value.clone() } else { Value::Null };
        json!({
            "action": "CREATE", "clientType": "=1", "outcome": if value.is_string() { "=1" } else { "DENIED" }, "reason": text,
            "entity": {"id": "m", "name": "n", "entityType": "USER", "email": "not an address"},
            "principal": {"id": "p", "name": "n", "entityType": "USER", "email": "\"quoted\"@example.com", "role": value},
            "context": {"ipAddress": text, "userAgent": text, "requestId": text, "location": text, "device": value},
            "payload": {"method": value, "path": value, "queryString": value, "userAgent": value, "referer": value},
        })
    };
    values.iter().map(event).chain(HOSTILE.iter().map(|text| event(&json!(text)))).collect()
}

struct Fixture {
    log: Arc<Log>,
    administration: Administration,
}

impl Fixture {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = PausedClock::new(sample::START);
        let entropy = SeededEntropy::new(1);
        let log =
            Log::new(Arc::clone(&store) as Arc<dyn LogStore>, clock.clone(), entropy.clone(), AppendPolicy::default());
        let log = Arc::new(log);
        let administration = Administration::new(Arc::clone(&log), store as Arc<dyn Registry>, clock, entropy);
        Self { log, administration }
    }

    /// The events of Annals itself, for all actions of the platform and of an administrator.
    async fn administer(&self, actor: &Actor) -> Organisation {
        let Self { administration, log } = self;
        let id = "acme".parse().unwrap();
        let input = |text: &str| OrganisationInput::parse(text.as_bytes()).unwrap();
        let created = input(r#"{"name":"=Acme; \"Ltd\"","plan":"enterprise"}"#);
        let Put::Created(organisation) = administration.put_organisation(&id, created, actor).await.unwrap() else {
            panic!("it was there already");
        };
        let token = TokenInput::parse(br#"{"name":"SIEM","role":"auditor"}"#, sample::START).unwrap();
        let (token, _) = administration.create_token(&organisation, token, actor).await.unwrap();
        let destination =
            json!({"bucket": "acme-audit", "roleArn": "arn:aws:iam::444455556666:role/annals"}).to_string();
        let destination = DestinationInput::parse(destination.as_bytes(), &sample::service()).unwrap();
        let destination = administration.create_destination(&organisation, destination, actor).await.unwrap();
        administration.pause_destination(&organisation, &destination.id, actor).await.unwrap();
        administration.resume_destination(&organisation, &destination.id, actor).await.unwrap();
        let replay = ReplayInput::parse(br#"{"firstSequence":1,"lastSequence":2}"#).unwrap();
        administration.replay(&organisation, &destination.id, replay, actor).await.unwrap();
        for plan in ["free", "enterprise"] {
            let changed = input(&json!({"name": "Acme", "plan": plan}).to_string());
            administration.put_organisation(&id, changed, actor).await.unwrap();
        }
        let own = |action, kind, payload| OwnEvent {
            action,
            kind,
            entity: destination.entity(),
            principal: actor.caller.principal(),
            before: None,
            after: None,
            client_type: "SYSTEM",
            context: None,
            payload: Some(payload),
        };
        let bodies = vec![
            own("TEST", "destination.test", json!({"outcome": "failed", "steps": []})).body(),
            own("TEST", "destination.test", json!({"outcome": "passed", "steps": []})).body(),
            own("CONFIRM", "destination.confirm", json!({"outcome": "failed"})).body(),
            own("EXPIRE", "destination.gap", json!({"lost": [{"firstSequence": 1, "lastSequence": 2}]})).body(),
        ];
        log.append(&organisation, bodies, None).await.unwrap();
        administration.delete_destination(&organisation, &destination.id, actor).await.unwrap();
        administration.revoke_token(&organisation, &token.id, actor).await.unwrap();
        organisation
    }

    /// Every line of the log, read page by page.
    async fn lines(&self, organisation: &Organisation) -> Vec<Line> {
        let audit = Audit::new(Arc::clone(&self.log));
        let mut request = PageRequest { page_size: 1000, ..PageRequest::default() };
        let mut lines = Vec::new();
        loop {
            let page = audit.page(organisation, &request, &sample::reader()).await.unwrap();
            lines.extend(page.lines);
            let Some(next) = page.next else { return lines };
            request = PageRequest { start: Start::From(next), through: page.through, ..request };
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_is_rendered_in_every_format() {
    let fixture = Fixture::new();
    let context = Context {
        ip_address: Some("2001:db8::1".into()),
        user_agent: Some("curl/8.5".into()),
        request_id: Some("r-1".into()),
    };
    let organisation = fixture.administer(&Actor { caller: Caller::Platform, context }).await;
    let week = demo::week(7).into_iter().map(|event| event.body).step_by(3);
    let produced = producers::records().into_iter().map(|record| record.event);
    let events: Vec<Value> = week.chain(combinations()).chain(misplaced()).chain(produced).collect();
    let bodies: Vec<Body> = events.iter().map(sample::posted).collect();
    for chunk in bodies.chunks(500) {
        // Reading a page sometimes puts its audit event among the others.
        fixture.lines(&organisation).await;
        fixture.log.append(&organisation, chunk.to_vec(), None).await.unwrap();
    }
    let lines = fixture.lines(&organisation).await;
    assert!(lines.len() > events.len() + 15, "{} lines", lines.len());

    let kinds: BTreeSet<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(&line.text).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    for own in [
        "audit.read",
        "organisation.create",
        "organisation.update",
        "token.create",
        "token.revoke",
        "destination.create",
        "destination.pause",
        "destination.resume",
        "destination.replay",
        "destination.disable",
        "destination.enable",
        "destination.test",
        "destination.confirm",
        "destination.gap",
        "destination.delete",
    ] {
        assert!(kinds.contains(own), "{own}");
    }

    let folder = std::env::var_os("ANNALS_FORMATS_FOLDER");
    for (format, name) in [
        (Format::Lines, "lines.ndjson"),
        (Format::CloudEvents, "cloudevents.ndjson"),
        (Format::Ocsf, "ocsf.ndjson"),
        (Format::OcsfSlim, "ocsf-slim.ndjson"),
        (Format::Csv, "events.csv"),
    ] {
        let document = format.document(&lines);
        if format != Format::Csv {
            assert_eq!(document.split_terminator('\n').count(), lines.len(), "{name}");
            assert!(document.split_terminator('\n').all(|line| serde_json::from_str::<Value>(line).is_ok()), "{name}");
        }
        if let Some(folder) = &folder {
            std::fs::write(Path::new(folder).join(name), document).unwrap();
        }
    }
}

#[test]
fn checkpoints_are_signed_notes() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let verifier = VerifierKey::ed25519("annals.example.com".parse().unwrap(), key.verifying_key().as_bytes());
    let object = SignedObject {
        sequences: 12..=14,
        content: Some(SignedContent { sha256: [0xab; 32], bytes: 442 }),
        key: "audit/2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json".into(),
    };
    let delivered = Delivered {
        log_last: 15,
        destination: "k3x9a0bqk3x9".parse().unwrap(),
        first: 12,
        previous: None,
        next_key: None,
        entries: Entries::Here(vec![Entry::Object(object)]),
    };
    let of_the_log = Checkpoint {
        signer: verifier.name().clone(),
        organisation: "acme".parse().unwrap(),
        last: 14,
        hash: LineHash::of("a line"),
        time: sample::START,
        delivered: None,
    };
    let of_a_destination = Checkpoint { delivered: Some(delivered), ..of_the_log.clone() };
    let folder = std::env::var_os("ANNALS_FORMATS_FOLDER");
    for (name, checkpoint) in [("log", of_the_log), ("destination", of_a_destination)] {
        let text = checkpoint.text();
        let bytes = key.sign(text.as_bytes()).to_bytes();
        let note = note(&text, &[Signature { key: verifier.clone(), bytes }]).unwrap();
        let parsed = SignedNote::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.signed_by(std::slice::from_ref(&verifier)), [&verifier]);
        if let Some(folder) = &folder {
            std::fs::write(Path::new(folder).join(format!("{name}.checkpoint")), note).unwrap();
            std::fs::write(Path::new(folder).join("verifier-key"), verifier.as_str()).unwrap();
        }
    }
}
