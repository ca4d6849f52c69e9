//! Organisations, events and destinations for tests.

use annals_core::{
    audit::Reader,
    destination::{Checkpoints, Destination, DestinationId, Progress, Proof, ProvenBy, Settings},
    entropy::{BASE62, characters},
    event::{Body, Context, Layout, Principal, parse},
    organisation::{Organisation, Plan, RetentionDays},
    recorded_by::RecordedBy,
    service::ServiceSettings,
    time::Timestamp,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::entropy::SeededEntropy;

/// The time at which tests begin.
pub const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);

/// An organisation with the shortest retention, 7 days.
#[must_use]
pub fn organisation(id: &str) -> Organisation {
    Organisation {
        id: id.parse().unwrap(),
        name: format!("The {id} company"),
        plan: Plan::Enterprise,
        retention: RetentionDays::MIN,
        longest_retention: RetentionDays::MIN,
        shortest_retention: RetentionDays::MIN,
        external_id: format!("annals-{id}"),
        created_at: START,
        version: 1,
    }
}

/// A small event about the thing `label`.
#[must_use]
pub fn body(label: &str) -> Body {
    body_with(label, "")
}

/// An event about the thing `label`, with `ballast` in its payload.
#[must_use]
pub fn body_with(label: &str, ballast: &str) -> Body {
    let event = json!({
        "action": "UPDATE",
        "entity": {"id": label, "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "7", "name": "Ada", "entityType": "USER"},
        "payload": {"ballast": ballast},
    });
    parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0)
}

/// Incompressible characters, different for each label.
#[must_use]
pub fn ballast(label: &str, length: usize) -> String {
    let digest = Sha256::digest(label.as_bytes());
    let seed = digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    characters(&*SeededEntropy::new(seed), BASE62, length)
}

/// A small event about the thing `label` that `caller` recorded.
#[must_use]
pub fn recorded_by(caller: &RecordedBy, label: &str) -> Body {
    parse(body(label).event().as_bytes(), Layout::Json, caller).unwrap().remove(0)
}

/// What an event as a producer posts it with a token is kept as.
#[must_use]
pub fn posted(event: &serde_json::Value) -> Body {
    let token = RecordedBy::Token("Zh6tEWm0nYv2".parse().unwrap());
    parse(event.to_string().as_bytes(), Layout::Json, &token).unwrap().remove(0)
}

/// The label of the event that a line is of; `None` for an event of Annals' own.
#[must_use]
pub fn label(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    (line["entity"]["entityType"] == "MOCK_API").then(|| line["entity"]["id"].as_str().unwrap().to_owned())
}

/// Somebody who reads the audit log.
#[must_use]
pub fn reader() -> Reader {
    Reader {
        principal: Principal::machine("siem", "SIEM", "API_KEY"),
        client_type: "API",
        context: Context::default(),
        call: json!({"path": "/audit", "method": "GET"}),
    }
}

/// A destination of an organisation, in a bucket and with a role of its own, from the log's first event on.
#[must_use]
pub fn destination(organisation: &Organisation, id: &str) -> Destination {
    let id: DestinationId = format!("{id:0>12}").parse().unwrap();
    Destination {
        bucket: format!("bucket-{}-{id}", organisation.id.as_str().to_lowercase().replace('_', "-")).parse().unwrap(),
        role_arn: format!("arn:aws:iam::444455556666:role/{}-{id}", organisation.id).parse().unwrap(),
        settings: Settings { prefix: "audit".parse().unwrap(), ..Settings::default() },
        paused: false,
        disabled: false,
        id,
        organisation: organisation.id.clone(),
        created_at: START,
        first_sequence: Some(1),
        next_sequence: 1,
        deliveries: 0,
        intent: None,
        replay: None,
        progress: Progress::default(),
        checkpoints: Checkpoints::default(),
        proof: Proof::of(ProvenBy::ExternalId, START),
        pending: None,
        version: 1,
    }
}

/// A service that may assume any role of another account than its own.
#[must_use]
pub fn service() -> ServiceSettings {
    ServiceSettings::of("111122223333".parse().unwrap())
}
