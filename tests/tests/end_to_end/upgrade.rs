//! What a release has stored is read by every later one: tables as they were left stand in `tests/data`, one file a
//! release, and are never written again. A new release adds its own: `ANNALS_WRITE_DATA=1 cargo test -p annals-tests
//! --test end_to_end upgrade::` writes the file of the present version if there is none.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    system::SystemEntropy,
};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    administration::{DestinationInput, ReplayInput},
    audit::{Audit, PageRequest, Start},
    caller::Caller,
    delivery::{
        queue::ShipOrder,
        ship::{ShipOutcome, ShipPolicy, Shipping},
    },
    destination::{Proof, sink::ObjectSink},
    event::{Body, Layout, parse},
    log::{
        append::{AppendError, IdempotencyKey, Outcome, Receipt},
        rate::RateState,
        segment::LineHash,
    },
    organisation::{Organisation, OrganisationInput},
    recorded_by::RecordedBy,
    registry::Registry,
    time::{Clock as _, Timestamp},
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use annals_tests::{
    bucket::{Condition, MemoryBuckets},
    clock::PausedClock,
    deployment::platform,
    queue::MemoryQueue,
    sample,
    shipping::world::active_destinations,
};
use aws_sdk_dynamodb::{
    Client,
    primitives::Blob,
    types::{AttributeValue, Put, TransactWriteItem},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A deployment whose clock stands still.
struct World {
    api: Services,
    store: Arc<DynamoStore>,
    client: Client,
    tables: Tables,
    clock: Arc<PausedClock>,
    buckets: Arc<MemoryBuckets>,
    _cloud: Cloud,
}

/// What a release left behind.
struct Release {
    items: Vec<(String, HashMap<String, AttributeValue>)>,
    at: Timestamp,
    /// The text of an auditor's token.
    token: String,
    /// Every line of the log.
    lines: Vec<String>,
}

impl World {
    async fn start(now: Timestamp) -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let client = Client::new(&cloud.sdk_config(&AccessKey::new("any", "any")));
        let tables = Tables { log: "log".into(), registry: "registry".into() };
        create_tables(&client, &tables).await.unwrap();
        let store = Arc::new(DynamoStore::new(client.clone(), tables.clone()).in_simulated_time());
        let clock = PausedClock::new(now);
        let service = sample::service();
        let nobody = TokenHash([0; 32]);
        let api = Services::new(Arc::clone(&store), clock.clone(), Arc::new(SystemEntropy), nobody, service);
        let buckets = MemoryBuckets::new(clock.clone(), "eu-central-1".parse().unwrap());
        Self { api, store, client, tables, clock, buckets, _cloud: cloud }
    }

    async fn acme(&self) -> Organisation {
        self.api.administration.organisation(&"acme".parse().unwrap()).await.unwrap()
    }

    async fn record(&self, count: usize) {
        let event = |number: usize| {
            json!({
                "action": "UPDATE",
                "entity": {"id": format!("m-{number}"), "name": "Zürich \"Pay\"", "entityType": "MOCK_API"},
                "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
                "payload": {"number": number},
            })
        };
        let events: Value = (0..count).map(event).collect();
        let bodies = parse(events.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap();
        self.api.log.append(&self.acme().await, bodies, None).await.unwrap();
        self.clock.jump(Duration::from_secs(60));
    }

    /// Records an event of `number` with [`KEY`].
    async fn record_with_key(&self, number: usize) -> Result<Receipt, AppendError> {
        let event = json!({
            "action": "CREATE",
            "entity": {"id": format!("order-{number}"), "name": "Order", "entityType": "ORDER"},
            "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
        });
        let bodies = parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap();
        self.api.log.append(&self.acme().await, bodies, key()).await
    }

    async fn ship(&self) -> ShipOutcome {
        let shipping = Shipping::new(
            Arc::clone(&self.api.log),
            Arc::clone(&self.store) as Arc<dyn Registry>,
            MemoryQueue::new(self.clock.clone()),
            Arc::clone(&self.buckets) as Arc<dyn ObjectSink>,
            self.clock.clone(),
            Arc::new(SystemEntropy),
            ShipPolicy { object_bytes: 4000, ..ShipPolicy::default() },
        );
        let active = active_destinations(&*self.store).await;
        shipping.ship(&ShipOrder::of(&active[0], self.clock.now())).await.unwrap().outcome
    }

    async fn lines(&self) -> Vec<String> {
        let mut request = PageRequest { page_size: 1000, ..PageRequest::default() };
        let mut lines = Vec::new();
        loop {
            let audit = Audit::new(Arc::clone(&self.api.log));
            let page = audit.page(&self.acme().await, &request, &sample::reader()).await.unwrap();
            lines.extend(page.lines.into_iter().map(|line| line.text));
            let Some(next) = page.next else { return lines };
            request = PageRequest { start: Start::From(next), through: page.through, ..request };
        }
    }

    /// A deployment in the midst of its life: a delivery that was begun and failed, another one behind it, a replay.
    async fn live(&self) -> Release {
        let administration = &self.api.administration;
        let input = OrganisationInput::parse(br#"{"name":"Acme \"Ltd\"","plan":"enterprise"}"#).unwrap();
        administration.put_organisation(&"acme".parse().unwrap(), input, &platform()).await.unwrap();
        let acme = self.acme().await;
        let input = TokenInput { name: "SIEM".into(), role: Role::Auditor, expires_at: None };
        let (_, token) = administration.create_token(&acme, input, &platform()).await.unwrap();
        let body = br#"{"bucket":"acme-audit","roleArn":"arn:aws:iam::444455556666:role/annals","prefix":"audit"}"#;
        let input = DestinationInput::parse(body, &sample::service()).unwrap();
        self.buckets.open(&input.bucket, "eu-central-1".parse().unwrap());
        let destination = administration.create_destination(&acme, input, &platform()).await.unwrap();
        self.record(3).await;
        self.record(40).await;
        assert_eq!(self.ship().await, ShipOutcome::UpToDate);
        self.record(1).await;
        self.record_with_key(1).await.unwrap();
        self.buckets.set_condition(&destination.bucket, Condition::Denied);
        assert!(matches!(self.ship().await, ShipOutcome::Failing(_)));
        let range = ReplayInput::Sequences { first: 2, last: 9 };
        administration.replay(&acme, &destination.id, range, &platform()).await.unwrap();
        let lines = self.lines().await;
        let mut items = Vec::new();
        for table in [&self.tables.log, &self.tables.registry] {
            let found = self.client.scan().table_name(table).send().await.unwrap();
            items.extend(found.items.unwrap().into_iter().map(|item| (table.clone(), item)));
        }
        Release { items, at: self.clock.now(), token: token.reveal().to_owned(), lines }
    }
}

impl Release {
    /// Returns the item of the segment that begins with `first`.
    fn segment(&self, first: u64) -> HashMap<String, AttributeValue> {
        let seq = AttributeValue::N(first.to_string());
        self.items.iter().find(|(table, item)| table == "log" && item["seq"] == seq).unwrap().1.clone()
    }

    fn to_json(&self) -> String {
        let items: Vec<Value> = self
            .items
            .iter()
            .map(|(table, item)| {
                let mut names: Vec<_> = item.keys().collect();
                names.sort_unstable();
                let attributes: Map<String, Value> =
                    names.into_iter().map(|name| (name.clone(), attribute_json(&item[name]))).collect();
                json!({"table": table, "item": attributes})
            })
            .collect();
        let whole = json!({"at": self.at, "token": self.token, "lines": self.lines, "items": items});
        serde_json::to_string_pretty(&whole).unwrap() + "\n"
    }

    fn read(path: &Path) -> Self {
        let whole: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let items = whole["items"].as_array().unwrap().iter().map(|item| {
            let attributes = item["item"].as_object().unwrap().iter();
            (item["table"].as_str().unwrap().to_owned(), attributes.map(|(k, v)| (k.clone(), attribute(v))).collect())
        });
        Self {
            items: items.collect(),
            at: Timestamp::parse(whole["at"].as_str().unwrap()).unwrap(),
            token: whole["token"].as_str().unwrap().to_owned(),
            lines: whole["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect(),
        }
    }
}

/// The key of a request of [`World::live`].
const KEY: &[u8] = b"an order of the previous release";

fn key() -> Option<IdempotencyKey> {
    Some(IdempotencyKey::parse(KEY).unwrap())
}

/// As DynamoDB's own JSON writes it.
fn attribute_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(flag) => json!({"BOOL": flag}),
        AttributeValue::B(bytes) => json!({"B": STANDARD.encode(bytes)}),
        other => panic!("no attribute of ours is {other:?}"),
    }
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => AttributeValue::S(text.clone()),
        ("N", Value::String(number)) => AttributeValue::N(number.clone()),
        ("BOOL", Value::Bool(flag)) => AttributeValue::Bool(*flag),
        ("B", Value::String(text)) => AttributeValue::B(Blob::new(STANDARD.decode(text).unwrap())),
        other => panic!("{other:?} is no attribute"),
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

#[tokio::test]
async fn what_every_release_has_stored_is_read_and_gone_on_with() {
    let present = data().join(format!("release-{}.json", env!("CARGO_PKG_VERSION")));
    if std::env::var_os("ANNALS_WRITE_DATA").is_some() && !present.exists() {
        std::fs::write(&present, World::start(sample::START).await.live().await.to_json()).unwrap();
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.contains(&present), "this version has no file in tests/data: see the top of this test");
    for file in files {
        reads(&Release::read(&file)).await;
    }
}

async fn reads(release: &Release) {
    let world = World::start(release.at).await;
    for (table, item) in &release.items {
        world.client.put_item().table_name(table).set_item(Some(item.clone())).send().await.unwrap();
    }
    let lines = world.lines().await;
    assert_eq!(lines[..release.lines.len()], release.lines, "every line byte for byte");
    let caller = world.api.admission.admit(&release.token, None).await.unwrap();
    assert!(matches!(caller, Caller::Token(token) if token.role == Role::Auditor), "tokens go on working");

    // Release 0.1.0 was written down without a request with a key. The test below has one.
    let has_key = release
        .items
        .iter()
        .any(|(_, item)| matches!(item.get("sk"), Some(AttributeValue::S(sk)) if sk.starts_with("idempotency#")));
    if has_key {
        let again = world.record_with_key(1).await.unwrap();
        assert_eq!(again.outcome, Outcome::Replayed, "a request that the release recorded is not recorded again");
        assert!(matches!(world.record_with_key(2).await, Err(AppendError::KeyReused)));
    }

    // The log goes on where it was left, and so do delivery and replay.
    world.record(2).await;
    let acme = world.acme().await;
    let before = world.api.administration.destinations(&acme.id).await.unwrap().remove(0);
    assert!(before.intent.is_some() && before.replay.is_some() && before.progress.failing.is_some());
    let known = before.first_sequence;
    world.buckets.open(&before.bucket, "eu-central-1".parse().unwrap());
    assert_eq!(world.ship().await, ShipOutcome::UpToDate);
    let after = world.api.administration.destinations(&acme.id).await.unwrap().remove(0);
    let tail = world.api.log.tail(&acme.id).await.unwrap();
    assert_eq!((after.next_sequence, &after.replay), (tail.last + 1, &None));
    let intent = before.intent.unwrap();
    assert_eq!(after.first_sequence, known.or(Some(intent.first)));
    let numbered = world.store.deliveries_numbered(&acme.id, &after.id, before.deliveries + 1..=after.deliveries);
    let numbered = numbered.await.unwrap();
    assert_eq!(numbered.len() as u64, after.deliveries - before.deliveries);
    assert_eq!((numbered[0].first, numbered[0].last), (intent.first, intent.last));
    let object = world.buckets.object(&before.bucket, &intent.key).expect("what was begun is delivered under its key");
    let text = String::from_utf8(object.content.to_vec()).unwrap();
    let first = &release.lines[usize::try_from(intent.first).unwrap() - 1];
    assert!(text.starts_with(first.as_str()));
    let lines = world.lines().await;
    for delivery in numbered {
        assert_eq!(delivery.last_hash, Some(LineHash::of(&lines[usize::try_from(delivery.last).unwrap() - 1])));
    }
    let hashes = lines.windows(2).all(|pair| pair[1].contains(&LineHash::of(&pair[0]).to_string()));
    assert!(hashes, "one chain across releases");
}

/// Release 0.1.0 stored a key in one transaction with the events of its request, and with their positions. It had no claims.
struct RecordedByTheFirstRelease {
    item: HashMap<String, AttributeValue>,
    /// The request again.
    bodies: Vec<Body>,
    ids: Vec<String>,
    expires_at: Timestamp,
}

impl RecordedByTheFirstRelease {
    /// The item of [`KEY`], had the three events of sequence 4 to 6 been recorded with it.
    fn of(release: &Release) -> Self {
        let lines: Vec<Value> = release.lines[3..6].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let bodies: Vec<String> = release.lines[3..6]
            .iter()
            .map(|line| format!("{{{}", line.split_once(r#""entityType":"ORGANISATION"},"#).unwrap().1))
            .collect();
        let fingerprint = Sha256::digest(bodies.iter().map(|body| format!("{body}\n")).collect::<String>());
        let spans = format!(r#"[{{"segment":4,"recorded_at":{},"index":0,"count":3}}]"#, lines[0]["timestamp"]);
        let expires_at = release.at.plus(Duration::from_secs(23 * 3600));
        let item = HashMap::from([
            ("pk".to_owned(), AttributeValue::S("org#acme".into())),
            ("sk".to_owned(), AttributeValue::S(format!("idempotency#{}", hex::encode(Sha256::digest(KEY))))),
            ("fingerprint".to_owned(), AttributeValue::B(Blob::new(fingerprint.to_vec()))),
            ("spans".to_owned(), AttributeValue::S(spans)),
            ("x".to_owned(), AttributeValue::N(expires_at.as_secs_ceil().to_string())),
        ]);
        let bodies = parse(bodies.join("\n").as_bytes(), Layout::Ndjson, &RecordedBy::Platform).unwrap();
        let ids = lines.iter().map(|line| line["eventId"].as_str().unwrap().to_owned()).collect();
        Self { item, bodies, ids, expires_at }
    }
}

#[tokio::test]
async fn a_request_whose_key_was_used_before_the_upgrade_is_not_recorded_again() {
    let release = Release::read(&data().join("release-0.1.0.json"));
    let world = World::start(release.at).await;
    for (table, item) in &release.items {
        world.client.put_item().table_name(table).set_item(Some(item.clone())).send().await.unwrap();
    }
    let old = RecordedByTheFirstRelease::of(&release);
    let put = world.client.put_item().table_name(&world.tables.registry).set_item(Some(old.item.clone()));
    put.send().await.unwrap();
    let acme = world.acme().await;
    let before = world.api.log.tail(&acme.id).await.unwrap();
    let repeat = || world.api.log.append(&acme, old.bodies.clone(), key());

    let again = repeat().await.unwrap();
    assert_eq!(again.outcome, Outcome::Replayed);
    assert_eq!(again.ids().map(|id| id.to_string()).collect::<Vec<_>>(), old.ids, "the first answer");
    assert!(matches!(world.record_with_key(1).await, Err(AppendError::KeyReused)));
    assert_eq!(world.api.log.tail(&acme.id).await.unwrap(), before, "nothing was recorded");

    // From the second of its expiry on, the key is free.
    world.clock.jump(old.expires_at.since(world.clock.now()));
    let anew = repeat().await.unwrap();
    assert!(matches!(anew.outcome, Outcome::Recorded { .. }));
    assert_eq!(anew.ids().next().unwrap().sequence(), before.last + 1);
}

/// While a deployment replaces instances, those of release 0.1.0 write beside those of this one.
#[tokio::test]
async fn an_instance_of_the_first_release_does_not_record_a_request_whose_key_is_claimed() {
    let release = Release::read(&data().join("release-0.1.0.json"));
    let world = World::start(release.at).await;
    for (table, item) in &release.items {
        world.client.put_item().table_name(table).set_item(Some(item.clone())).send().await.unwrap();
    }
    let old = RecordedByTheFirstRelease::of(&release);
    let acme = world.acme().await;
    world.api.log.append(&acme, old.bodies.clone(), key()).await.unwrap();
    let tail = world.api.log.tail(&acme.id).await.unwrap();
    let put = |table: &str, item, condition: &str| {
        Put::builder().table_name(table).set_item(Some(item)).condition_expression(condition)
    };
    let mut segment = release.segment(4);
    segment.insert("seq".to_owned(), AttributeValue::N((tail.last + 1).to_string()));
    let segment = put(&world.tables.log, segment, "attribute_not_exists(org)").build().unwrap();
    let key = put(&world.tables.registry, old.item.clone(), "attribute_not_exists(pk) OR x <= :now")
        .expression_attribute_values(":now", AttributeValue::N((world.clock.now().as_millis() / 1000).to_string()));
    let transaction = world
        .client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(segment).build())
        .transact_items(TransactWriteItem::builder().put(key.build().unwrap()).build());
    let error = transaction.send().await.unwrap_err().into_service_error();
    assert!(error.is_transaction_canceled_exception(), "{error:?}");
    assert_eq!(world.api.log.tail(&acme.id).await.unwrap(), tail);
}

#[tokio::test]
async fn a_segment_of_the_first_release_leaves_full_budgets() {
    let release = Release::read(&data().join("release-0.1.0.json"));
    let world = World::start(release.at).await;
    for (table, item) in &release.items {
        world.client.put_item().table_name(table).set_item(Some(item.clone())).send().await.unwrap();
    }
    let acme = world.acme().await;
    let tail = async || world.api.log.tail(&acme.id).await.unwrap();
    assert_eq!(tail().await.rate, RateState::FULL);
    world.record(1).await;
    assert_ne!(tail().await.rate, RateState::FULL);
    let mut segment = release.segment(4);
    segment.insert("seq".to_owned(), AttributeValue::N((tail().await.last + 1).to_string()));
    world.client.put_item().table_name(&world.tables.log).set_item(Some(segment)).send().await.unwrap();
    assert_eq!(tail().await.rate, RateState::FULL);
}

/// A table, its keys, and its indexes by name, as `template.yaml` writes them.
type Deployed = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What releases have deployed. A new index is added here with the release that deploys it.
const DEPLOYED: [Deployed; 2] = [
    (
        "LogTable",
        "      KeySchema:
        - { AttributeName: org, KeyType: HASH }
        - { AttributeName: seq, KeyType: RANGE }
",
        &[],
    ),
    (
        "RegistryTable",
        "      KeySchema:
        - { AttributeName: pk, KeyType: HASH }
        - { AttributeName: sk, KeyType: RANGE }
",
        &[(
            "listing",
            "          KeySchema:
            - { AttributeName: g, KeyType: HASH }
            - { AttributeName: gs, KeyType: RANGE }
          Projection:
            ProjectionType: INCLUDE
            NonKeyAttributes: [nextSequence, pending, retryAt, failureCode, lagFrom]",
        )],
    ),
];

#[test]
fn keys_and_indexes_that_a_release_has_deployed_stay_as_they_are() {
    let template = std::fs::read_to_string(data().join("../../template.yaml")).unwrap();
    let resources = template.split("\nResources:\n").nth(1).unwrap();
    for (table, keys, indexes) in DEPLOYED {
        let properties = resources.split(&format!("\n  {table}:\n")).nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(properties.contains(keys), "{table} has other keys");
        let mut known = Vec::new();
        for index in properties.split("        - IndexName: ").skip(1) {
            let (name, definition) = index.split_once('\n').unwrap();
            let deployed = indexes.iter().find(|(deployed, _)| *deployed == name);
            let (_, deployed) =
                deployed.unwrap_or_else(|| panic!("{table}: the index {name} is none that was deployed"));
            assert!(definition.starts_with(deployed), "{table}: the index {name} is another one: give it another name");
            known.push(name);
        }
        assert_eq!(known.len(), properties.matches("IndexName").count(), "{table} is not understood");
    }
}

/// While a deployment replaces instances, one of release 0.1.0 may write a destination that this release has created: without the
/// attributes that it does not know.
#[tokio::test]
async fn an_instance_of_the_first_release_cannot_prove_a_destination() {
    let world = World::start(sample::START).await;
    let input = OrganisationInput::parse(br#"{"name":"Acme","plan":"enterprise"}"#).unwrap();
    let administration = &world.api.administration;
    administration.put_organisation(&"acme".parse().unwrap(), input, &platform()).await.unwrap();
    let acme = world.acme().await;
    let body = br#"{"bucket":"acme-audit","roleArn":"arn:aws:iam::444455556666:role/annals"}"#;
    let input = DestinationInput::parse(body, &sample::service()).unwrap();
    let created = administration.create_destination(&acme, input, &platform()).await.unwrap();
    let key = HashMap::from([
        ("pk".to_owned(), AttributeValue::S("org#acme".into())),
        ("sk".to_owned(), AttributeValue::S(format!("destination#{}", created.id))),
    ]);
    let get = world.client.get_item().table_name(&world.tables.registry).set_key(Some(key)).consistent_read(true);
    let mut item = get.send().await.unwrap().item.unwrap();
    assert_eq!(item["disabled"], AttributeValue::Bool(true), "the first release delivers nothing to it");
    let unknown = ["provenBy", "provenAt", "proofCheckAt", "proofLostAt", "claimed", "planDisabled"];
    item.retain(|name, _| !unknown.contains(&name.as_str()));
    item.insert("version".to_owned(), AttributeValue::N((created.version + 1).to_string()));
    item.insert("lastSuccess".to_owned(), AttributeValue::N(sample::START.as_millis().to_string()));
    world.client.put_item().table_name(&world.tables.registry).set_item(Some(item)).send().await.unwrap();
    let read = administration.destination(&acme.id, &created.id).await.unwrap();
    assert_eq!(read.proof, Proof::default());
    assert!(!read.disabled);
}
