//! Events of other systems, as they are sent after a straight mapping of their fields: what the log accepts, what it gives back, and
//! what it makes of them in OCSF.
//!
//! The files in `producers` have records in the shapes and with the vocabulary of Okta's system log, Auth0's logs, GitHub's audit
//! log, AWS CloudTrail, Slack's audit log and Google Workspace's activity reports. People, addresses and ids are invented.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use annals_core::{
    event::{Layout, parse},
    format::Format,
    line::Fields,
    log::{
        Log,
        append::AppendPolicy,
        read::ReadLimit,
        segment::Line,
        store::{LogStore, Order},
    },
    recorded_by::RecordedBy,
};
use annals_tests::{clock::PausedClock, entropy::SeededEntropy, memory::MemoryStore, sample};
use serde_json::{Value, json};

/// A record of a producer.
pub(crate) struct Record {
    producer: &'static str,
    raw: Value,
    /// The record's fields under the names of an event, and the record as its payload.
    pub(crate) event: Value,
}

/// Makes an event of a producer's record.
type Mapping = fn(&Value) -> Value;

/// Returns all records with the events that are made of them.
pub(crate) fn records() -> Vec<Record> {
    let producers: [(&str, &str, Mapping); 6] = [
        ("okta", include_str!("producers/okta.ndjson"), okta),
        ("auth0", include_str!("producers/auth0.ndjson"), auth0),
        ("github", include_str!("producers/github.ndjson"), github),
        ("cloudtrail", include_str!("producers/cloudtrail.ndjson"), cloudtrail),
        ("slack", include_str!("producers/slack.ndjson"), slack),
        ("google-workspace", include_str!("producers/google-workspace.ndjson"), google_workspace),
    ];
    let mut records = Vec::new();
    for (producer, lines, map) in producers {
        for line in lines.lines() {
            let raw: Value = serde_json::from_str(line).unwrap();
            let mut event = map(&raw);
            event["payload"] = raw.clone();
            records.push(Record { producer, raw, event });
        }
    }
    records
}

fn okta(raw: &Value) -> Value {
    let thing = |thing: &Value| json!({"id": thing["id"], "name": thing["displayName"], "entityType": thing["type"]});
    let target = if raw["target"].is_null() { &raw["actor"] } else { &raw["target"][0] };
    let mut event = json!({
        "action": raw["eventType"], "type": raw["eventType"], "occurredAt": raw["published"],
        "entity": thing(target), "principal": thing(&raw["actor"]),
        "outcome": raw["outcome"]["result"], "reason": raw["outcome"]["reason"],
        "context": {"ipAddress": raw["client"]["ipAddress"], "userAgent": raw["client"]["userAgent"]["rawUserAgent"]},
    });
    event["principal"]["email"] = raw["actor"]["alternateId"].clone();
    if raw["target"][1].is_object() {
        event["parentEntity"] = thing(&raw["target"][1]);
    }
    event
}

fn auth0(raw: &Value) -> Value {
    let user = json!({"id": raw["user_id"], "name": raw["user_name"], "entityType": "USER"});
    json!({
        "action": raw["type"], "type": raw["type"], "occurredAt": raw["date"], "entity": user, "principal": user,
        "reason": raw["description"], "context": {"ipAddress": raw["ip"], "userAgent": raw["user_agent"]},
    })
}

fn github(raw: &Value) -> Value {
    let (id, entity_type) = ["repo", "team", "user", "org"]
        .into_iter()
        .find_map(|name| raw[name].as_str().map(|id| (id, name.to_uppercase())))
        .unwrap();
    json!({
        "action": raw["action"], "type": raw["action"], "entity": {"id": id, "entityType": entity_type},
        "principal": {"id": raw["actor_id"].to_string(), "name": raw["actor"], "entityType": "USER"},
        "context": {"ipAddress": raw["actor_ip"], "userAgent": raw["user_agent"]},
        "metadata": {"business": raw["business"], "org_id": raw["org_id"]},
    })
}

fn cloudtrail(raw: &Value) -> Value {
    let source = raw["eventSource"].as_str().unwrap().split('.').next().unwrap();
    let entity = match (raw["requestParameters"]["userName"].as_str(), raw["requestParameters"]["bucketName"].as_str())
    {
        (Some(user), _) => json!({"id": user, "entityType": "AWS::IAM::User"}),
        (_, Some(bucket)) => json!({"id": bucket, "entityType": "AWS::S3::Bucket"}),
        _ if source == "signin" => json!({"id": raw["userIdentity"]["arn"], "entityType": "IAMUser"}),
        _ => json!({"id": raw["recipientAccountId"], "entityType": "AWS_ACCOUNT"}),
    };
    let signed_in = raw["responseElements"]["ConsoleLogin"].as_str();
    let mut event = json!({
        "action": raw["eventName"], "type": format!("{source}.{}", raw["eventName"].as_str().unwrap()),
        "occurredAt": raw["eventTime"], "entity": entity,
        "principal": {"id": raw["userIdentity"]["principalId"], "name": raw["userIdentity"]["userName"], "entityType": raw["userIdentity"]["type"]},
        "reason": raw["errorMessage"],
        "context": {"ipAddress": raw["sourceIPAddress"], "userAgent": raw["userAgent"], "requestId": raw["requestID"]},
    });
    if let Some(signed_in) = signed_in {
        event["outcome"] = signed_in.to_uppercase().into();
    }
    event
}

fn slack(raw: &Value) -> Value {
    let kind = raw["entity"]["type"].as_str().unwrap();
    let (entity, user) = (&raw["entity"][kind], &raw["actor"]["user"]);
    json!({
        "action": raw["action"], "type": raw["action"],
        "entity": {"id": entity["id"], "name": entity["name"], "entityType": kind},
        "principal": {"id": user["id"], "name": user["name"], "entityType": "user", "email": user["email"]},
        "context": {"ipAddress": raw["context"]["ip_address"], "userAgent": raw["context"]["ua"]},
    })
}

fn google_workspace(raw: &Value) -> Value {
    let event = &raw["events"][0];
    let value = |name: &str| {
        let parameters = event["parameters"].as_array().unwrap();
        parameters.iter().find(|one| one["name"] == name).map(|one| one["value"].clone())
    };
    let user = |email: Value| json!({"id": email, "entityType": "USER"});
    let entity = if let Some(group) = value("GROUP_EMAIL") {
        json!({"id": group, "entityType": "GROUP"})
    } else if let Some(document) = value("doc_id") {
        json!({"id": document, "name": value("doc_title"), "entityType": "DOCUMENT"})
    } else {
        user(value("USER_EMAIL").unwrap_or_else(|| raw["actor"]["email"].clone()))
    };
    let application = raw["id"]["applicationName"].as_str().unwrap();
    json!({
        "action": event["name"], "type": format!("{application}.{}", event["name"].as_str().unwrap()),
        "occurredAt": raw["id"]["time"], "entity": entity,
        "principal": {"id": raw["actor"]["profileId"], "entityType": "USER", "email": raw["actor"]["email"]},
        "context": {"ipAddress": raw["ipAddress"]},
    })
}

/// Records the events that the log accepts, and returns their records with their lines.
async fn recorded() -> Vec<(Record, Line)> {
    let store = Arc::new(MemoryStore::new());
    let clock = PausedClock::new(sample::START);
    let log = Log::new(store as Arc<dyn LogStore>, clock, SeededEntropy::new(1), AppendPolicy::default());
    let acme = sample::organisation("acme");
    let mut accepted = Vec::new();
    for record in records() {
        let Ok(bodies) = parse(record.event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform) else {
            continue;
        };
        log.append(&acme, bodies, None).await.unwrap();
        accepted.push(record);
    }
    let limit = ReadLimit { events: 10_000, bytes: usize::MAX };
    let run = log.read(&acme.id, 1..=u64::MAX, None, Order::Ascending, limit).await.unwrap();
    assert_eq!(run.lines.len(), accepted.len());
    accepted.into_iter().zip(run.lines).collect()
}

#[tokio::test(start_paused = true)]
async fn events_of_other_systems_are_accepted_and_given_back() {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for record in records() {
        counts.entry(record.producer).or_default().0 += 1;
    }
    for (Record { producer, raw, event }, line) in recorded().await {
        counts.entry(producer).or_default().1 += 1;
        let fields = Fields::of(&line);
        let payload: Value = serde_json::from_str(fields.payload.unwrap().get()).unwrap();
        assert_eq!(payload, raw);
        assert_eq!(
            (fields.action.as_str(), fields.kind.as_str()),
            (event["action"].as_str().unwrap(), event["type"].as_str().unwrap())
        );
    }
    for (producer, (all, accepted)) in counts {
        assert!(all >= 40, "{producer}: {all} records");
        assert!(accepted * 100 >= all * 95, "{producer}: {accepted} of {all} are accepted");
    }
}

#[tokio::test(start_paused = true)]
async fn most_events_of_other_systems_have_a_class_and_an_activity_in_ocsf() {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut table = String::new();
    for (Record { producer, event, .. }, line) in recorded().await {
        let rendered: Value = serde_json::from_str(&Format::Ocsf.document([&line])).unwrap();
        let count = counts.entry(producer).or_default();
        count.0 += 1;
        count.1 += usize::from(rendered["activity_id"] != 99);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (action, outcome) = (text(&event["action"]), text(&event["outcome"]));
        let (type_name, status) = (text(&rendered["type_name"]), text(&rendered["status"]));
        writeln!(table, "{producer} {action} {outcome}: {type_name}, {status}").unwrap();
        match outcome.as_str() {
            "FAILURE" | "DENY" => assert_eq!(status, "Failure", "{producer} {action}"),
            "SUCCESS" | "ALLOW" => assert_eq!(status, "Success", "{producer} {action}"),
            _ => {}
        }
    }
    insta::assert_snapshot!(table);
    for (producer, (all, specific)) in counts {
        println!("{producer}: {specific} of {all} events have a class and an activity");
        assert!(specific * 100 >= all * 80, "{producer}: only {specific} of {all} have a class and an activity");
    }
}

#[tokio::test(start_paused = true)]
async fn slim_ocsf_is_at_most_half_as_large_again_as_the_lines() {
    let lines: Vec<Line> = recorded().await.into_iter().map(|(_, line)| line).collect();
    let size = |format: Format| format.document(&lines).len();
    let (native, full, slim) = (size(Format::Lines), size(Format::Ocsf), size(Format::OcsfSlim));
    println!("lines {native} bytes, OCSF {full}, slim {slim}");
    assert!(slim * 2 <= native * 3, "{slim} bytes for {native}");
    assert!(slim < full);
}
