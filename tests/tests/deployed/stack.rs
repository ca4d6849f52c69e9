//! A deployment from the view of its users: record and read events, create and test a destination, and receive objects by the
//! schedule. One suite, two environments: the system that `cargo run` starts and, if `ANNALS_TEST_STACK` has the outputs of a
//! stack as JSON, that stack. `bash .ci/deploy` deploys it to MiniStack, which `ANNALS_TEST_AWS_ENDPOINT` names; without that variable
//! the stack is in a real account of AWS, as `infra/aws-trial/trial` deploys it.
//!
//! Real in MiniStack's stack are the template, after the SAM transform; the binaries of `sam build` as processes that speak the Lambda
//! Runtime API; the roles, whose policies are evaluated at every call; the tables, the queue, its event source mapping, the
//! rules and their inputs; customers' accounts, roles and buckets.
//! Simulated are all AWS services. MiniStack's gateway has routes only because the deployment creates them again, and adds no
//! `X-Forwarded-Proto`, so requests bring their own. Nothing is throttled, and tables do not delete expired items. The suite
//! changes the rate of the schedule rules to a minute.

use std::{collections::BTreeMap, time::Duration};

use annals_aws::{
    dynamodb::{DynamoStore, Tables},
    system::SystemClock,
};
use annals_cloud::{AccessKey, Bucket, Role};
use annals_core::{
    log::{
        segment::Tail,
        store::{Consistency, LogStore as _, Order},
        tail::Anchor,
    },
    organisation::OrganisationId,
    proof::checkpoint::SignedNote,
    time::Clock as _,
};
use annals_http::openapi::Description;
use annals_local::system::System;
use annals_tests::{
    account::Account,
    caller::{Address, Answer, Caller},
    customer::{Customer, account, name, objects, put_policy, trust},
    deployment::{PLATFORM_TOKEN, start_system},
    in_every_environment,
    lines::{Chain, is_delivery, sha256},
    ministack::{MiniStack, root},
};
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";
/// The time limit for a rule that fires every minute.
const PATIENCE: Duration = Duration::from_secs(600);

in_every_environment! {
    events_come_in_alone_in_a_batch_and_as_lines_and_go_out_by_the_page
    the_schedule_delivers_to_who_lets_us_in_and_says_why_not_to_who_does_not
    what_was_set_up_is_changed_shown_and_ended
    a_role_that_accepts_any_external_id_is_proven_by_the_code_in_the_bucket
    the_log_goes_on_where_all_that_came_before_has_expired
    an_administrator_does_by_the_page_what_the_api_does_until_leaving_it
    nobody_is_let_in_without_a_token_and_other_organisations_do_not_exist
    every_operation_is_answered_by_the_function_that_has_it_and_nothing_else_is
}

struct Environment {
    place: Place,
    api: Address,
    platform: String,
    /// The account that runs Annals, 12 digits.
    service: String,
}

enum Place {
    Local(Box<System>),
    Deployed { aws: Aws, stack: Value },
}

/// Where a stack is deployed.
enum Aws {
    MiniStack(MiniStack),
    Account(Box<Account>),
}

impl Aws {
    async fn customer(&self, trust: Value, keys: &str) -> Customer {
        match self {
            Self::MiniStack(ministack) => ministack.customer(trust, keys).await,
            Self::Account(account) => account.customer(trust, keys).await,
        }
    }

    async fn put_policy(&self, role_arn: &str, policy: &Value) {
        match self {
            Self::MiniStack(ministack) => ministack.put_policy(role_arn, policy).await,
            Self::Account(account) => account.put_policy(role_arn, policy).await,
        }
    }

    /// S3 for the administrator of a customer's account.
    fn s3(&self, customer: &Customer) -> aws_sdk_s3::Client {
        match self {
            Self::MiniStack(ministack) => ministack.s3(&customer.account),
            Self::Account(account) => account.s3(),
        }
    }

    /// DynamoDB for an operator of the service's account.
    fn dynamodb(&self, service: &str) -> Client {
        match self {
            Self::MiniStack(ministack) => Client::new(&ministack.config(root(service))),
            Self::Account(account) => Client::new(account.config()),
        }
    }
}

/// What TTL, which deletes late, has left of a log that has expired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Newest,
}

/// An organisation, with a token of each role.
struct Org {
    id: String,
    external_id: String,
    producer: String,
    auditor: String,
    admin: String,
}

impl Environment {
    async fn all() -> Vec<Self> {
        let mut environments = vec![Self::local().await];
        if let Ok(outputs) = std::env::var("ANNALS_TEST_STACK") {
            environments.push(Self::deployed(serde_json::from_str(&outputs).unwrap()));
        }
        environments
    }

    async fn local() -> Self {
        let system = start_system(None).await;
        let (api, service) = (Address::new(&system.url()), system.cloud().account().to_owned());
        Self { place: Place::Local(Box::new(system)), api, platform: PLATFORM_TOKEN.to_owned(), service }
    }

    fn deployed(stack: Value) -> Self {
        let url = text(&stack["ApiUrl"]);
        let service = text(&stack["ShipperRoleArn"]).split(':').nth(4).unwrap().to_owned();
        let (aws, api) = match std::env::var("ANNALS_TEST_AWS_ENDPOINT") {
            Ok(endpoint) => {
                let host = url.strip_prefix("https://").unwrap().to_owned();
                // MiniStack serves all APIs at one address. The path has the API's ID.
                let sent_to = format!("{endpoint}/_aws/execute-api/{}/$default", host.split('.').next().unwrap());
                let headers = vec![("host", host), ("x-forwarded-proto", "https".to_owned())];
                (Aws::MiniStack(MiniStack::at(endpoint)), Address::behind(&url, &sent_to, headers))
            }
            Err(_) => (Aws::Account(Box::new(Account::of_the_environment(&service))), Address::new(&url)),
        };
        Self {
            api,
            platform: std::env::var("ANNALS_TEST_PLATFORM_TOKEN").unwrap(),
            service,
            place: Place::Deployed { aws, stack },
        }
    }

    fn platform(&self) -> Caller<'_> {
        self.api.with(&self.platform)
    }

    async fn organisation(&self) -> Org {
        let id = name("org");
        let input = json!({"name": "Acme", "plan": "enterprise"});
        let created = self.platform().put(&format!("/organisations/{id}"), &input).await.expect(201);
        let mut tokens = BTreeMap::new();
        for role in ["producer", "auditor", "admin"] {
            let input = json!({"name": format!("A test's {role}"), "role": role});
            let token = self.platform().post(&format!("/organisations/{id}/tokens"), &input).await.expect(201);
            tokens.insert(role, text(&token["token"]));
        }
        let mut token = |role| tokens.remove(role).unwrap();
        Org {
            id,
            external_id: text(&created["externalId"]),
            producer: token("producer"),
            auditor: token("auditor"),
            admin: token("admin"),
        }
    }

    /// A customer in an own account, whose role requires this external ID, if any, and may put objects whose keys `keys`
    /// matches.
    async fn customer(&self, external_id: Option<&str>, keys: &str) -> Customer {
        let trust = trust(&self.service, external_id);
        match &self.place {
            Place::Local(system) => {
                let iam = system.cloud().iam();
                let (account, bucket) = (account(), name("events"));
                let role_arn = format!("arn:aws:iam::{account}:role/put-{bucket}");
                iam.put_bucket(Bucket::new(&bucket, &account, "us-east-1")).unwrap();
                iam.put_role(Role::new(&role_arn, trust, vec![put_policy(&bucket, keys)])).unwrap();
                Customer { account, bucket, role_arn }
            }
            Place::Deployed { aws, .. } => aws.customer(trust, keys).await,
        }
    }

    /// Lets a customer's role put all objects.
    async fn repair_role(&self, customer: &Customer, external_id: &str) {
        let policy = customer.put_policy("*");
        match &self.place {
            Place::Local(system) => {
                let trust = trust(&self.service, Some(external_id));
                system.cloud().iam().put_role(Role::new(&customer.role_arn, trust, vec![policy])).unwrap();
            }
            Place::Deployed { aws, .. } => aws.put_policy(&customer.role_arn, &policy).await,
        }
    }

    /// The objects in the customer's bucket.
    async fn objects(&self, customer: &Customer) -> BTreeMap<String, Vec<u8>> {
        match &self.place {
            Place::Local(system) => customer.objects(system.cloud()).await,
            Place::Deployed { aws, .. } => objects(&aws.s3(customer), &customer.bucket).await,
        }
    }

    /// The tables with an operator's permissions.
    fn tables(&self) -> (Client, Tables) {
        match &self.place {
            Place::Local(system) => {
                let any = system.cloud().sdk_config(&AccessKey::new("any", "any"));
                (Client::new(&any), system.tables().clone())
            }
            Place::Deployed { aws, stack } => {
                let tables = Tables { log: text(&stack["LogTableName"]), registry: text(&stack["RegistryTableName"]) };
                (aws.dynamodb(&self.service), tables)
            }
        }
    }

    fn store(&self) -> DynamoStore {
        let (client, tables) = self.tables();
        DynamoStore::new(client, tables)
    }

    /// Moves a log a hundred days into the past, so that all of it has expired. The anchor has the log's end.
    async fn expire(&self, organisation: &OrganisationId, left: Left) -> Tail {
        let (store, (client, tables)) = (self.store(), self.tables());
        let newest = store.newest(organisation).await.unwrap().tail().unwrap();
        let tail = Tail { recorded_at: newest.recorded_at.minus(Duration::from_secs(100 * 24 * 3600)), ..newest };
        let anchor = Anchor { tail, checked: Some(SystemClock.now()) };
        assert!(store.advance_anchor(organisation, &anchor).await.unwrap());
        let everything = store.range(organisation, 1..=tail.last, Order::Ascending, None, Consistency::Strong);
        let org = AttributeValue::S(organisation.to_string());
        for segment in everything.await.unwrap() {
            let seq = AttributeValue::N(segment.first.to_string());
            if left == Left::Newest && segment.first == tail.segment {
                let recorded_at = AttributeValue::N(tail.recorded_at.as_millis().to_string());
                let update = client.update_item().table_name(&tables.log).key("org", org.clone()).key("seq", seq);
                let update = update.update_expression("SET t = :t").expression_attribute_values(":t", recorded_at);
                update.send().await.unwrap();
            } else {
                let delete = client.delete_item().table_name(&tables.log).key("org", org.clone()).key("seq", seq);
                delete.send().await.unwrap();
            }
        }
        tail
    }

    /// Waits until the schedule has done it, and maintained logs.
    async fn schedule(&self, done: impl AsyncFn() -> bool) {
        match &self.place {
            Place::Local(_) => {
                self.api.nobody().post("/_local/tick", &json!({})).await.expect(200);
                assert!(done().await);
            }
            Place::Deployed { aws, stack } => {
                let rules = self.every_minute(aws, &text(&stack["ShipperFunctionName"])).await;
                assert_eq!(rules, 2, "one plans, one maintains");
                let begun = Instant::now();
                while !(done().await && self.is_maintained().await) {
                    assert!(begun.elapsed() < PATIENCE, "the schedule did not do it in {PATIENCE:?}");
                    sleep(Duration::from_millis(500)).await;
                }
                println!("the schedule took {:?}", begun.elapsed());
            }
        }
    }

    /// Whether a part of a run of maintenance is finished.
    async fn is_maintained(&self) -> bool {
        let (client, tables) = self.tables();
        let query = client.query().table_name(&tables.registry).key_condition_expression("pk = :pk");
        let runs = query.expression_attribute_values(":pk", AttributeValue::S("maintenance".to_owned())).send().await;
        runs.unwrap().items().iter().any(|run| run.contains_key("finished"))
    }

    /// Lets all rules that invoke a function fire every minute. Returns their number.
    async fn every_minute(&self, aws: &Aws, function: &str) -> usize {
        let aws = match aws {
            Aws::MiniStack(ministack) => ministack,
            Aws::Account(account) => return account.every_minute(function),
        };
        let target = json!({"TargetArn": format!("arn:aws:lambda:us-east-1:{}:function:{function}", self.service)});
        let rules = aws.events(&self.service, "ListRuleNamesByTarget", &target).await;
        let rules = rules["RuleNames"].as_array().unwrap();
        for name in rules {
            let input = json!({"Name": name, "ScheduleExpression": "rate(1 minute)"});
            aws.events(&self.service, "PutRule", &input).await;
        }
        rules.len()
    }
}

impl Org {
    fn path(&self, rest: &str) -> String {
        format!("/organisations/{}{rest}", self.id)
    }
}

async fn events_come_in_alone_in_a_batch_and_as_lines_and_go_out_by_the_page(environment: &Environment) {
    let acme = environment.organisation().await;
    let producer = environment.api.with(&acme.producer);
    let one = producer.post("/events", &event("one")).await.expect(201);
    assert_eq!(sequences(&one), [5], "the organisation and its tokens come first");
    let batch: Vec<Value> = (0..40).map(|number| event(&format!("batch {number}"))).collect();
    let key = [("idempotency-key", "a-batch")];
    for _ in 0..2 {
        let body = Some(Value::from(batch.clone()).to_string());
        let batch = producer.send(Method::POST, "/events", &key, body).await.expect(201);
        assert_eq!(sequences(&batch), (6..46).collect::<Vec<_>>(), "sent twice, recorded once");
    }
    let lines = format!("{}\n{}\n", event("line 1"), event("line 2 – ä"));
    let ndjson = [("content-type", "application/x-ndjson")];
    let lines = producer.send(Method::POST, "/events", &ndjson, Some(lines)).await.expect(201);
    assert_eq!(sequences(&lines), [46, 47]);
    let ours = acme.path("/events");
    assert_eq!(sequences(&environment.platform().post(&ours, &event("platform's")).await.expect(201)), [48]);
    producer.post("/events", &json!({"action": 1})).await.expect_problem(400, "invalid_input");

    let auditor = environment.api.with(&acme.auditor);
    let mut href = "/audit?pageSize=20".to_owned();
    let mut read = Vec::new();
    loop {
        let page = auditor.get(&href).await.expect(200);
        read.extend(page["events"].as_array().unwrap().clone());
        for (name, link) in page["_links"].as_object().unwrap() {
            let link = text(&link["href"]);
            assert!(link.starts_with(&format!("{}/audit?", environment.api.url())), "{name}: {link}");
        }
        match page["_links"]["next"]["href"].as_str() {
            Some(next) => href = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(sequences(&json!({"events": read})), (1..=48).collect::<Vec<_>>());
    let entity = |index: usize| read[index]["entity"]["id"].as_str();
    assert_eq!((entity(4), entity(44), entity(46)), (Some("one"), Some("batch 39"), Some("line 2 – ä")));
    let uuid = text(&read[4]["uuid"]);
    assert_eq!(auditor.get(&format!("/audit/{uuid}")).await.expect(200)["entity"]["id"], "one");
    for path in ["/audit/tail", "/audit/stats"] {
        auditor.get(path).await.expect(200);
    }
    let note = auditor.send(Method::GET, "/audit/checkpoint", &[], None).await;
    assert_eq!(note.status, 200, "{}", note.body);
    let keys = environment.api.nobody().get("/keys").await.expect(200);
    let key = text(&keys["keys"][0]["verifierKey"]).parse().unwrap();
    let note = SignedNote::parse(note.body.as_bytes()).unwrap();
    assert!(!note.signed_by(&[key]).is_empty() && note.text().contains(&format!("/{}\n", acme.id)), "{}", note.text());
    let csv = auditor.send(Method::GET, "/audit?pageSize=5", &[("accept", "text/csv")], None).await;
    assert_eq!((csv.status, csv.body.lines().count()), (200, 6), "{}", csv.body);
}

/// An organisation whose log is delivered.
struct Party {
    org: Org,
    customer: Customer,
    destination: String,
}

impl Party {
    /// An organisation with a destination at a customer's bucket, whose role requires the organisation's or another external ID
    /// and may put objects whose keys `keys` matches.
    async fn new(environment: &Environment, external_id: Option<&str>, keys: &str) -> Self {
        let org = environment.organisation().await;
        let customer = environment.customer(Some(external_id.unwrap_or(&org.external_id)), keys).await;
        let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
        let admin = environment.api.with(&org.admin);
        let created = admin.post(&org.path("/destinations"), &input).await.expect(201);
        assert_eq!((&created["state"], &created["externalId"]), (&json!("pending"), &json!(org.external_id)));
        Self { destination: org.path(&format!("/destinations/{}", text(&created["id"]))), org, customer }
    }

    async fn shown(&self, environment: &Environment) -> Value {
        environment.api.with(&self.org.admin).get(&self.destination).await.expect(200)
    }

    async fn tested(&self, environment: &Environment) -> Value {
        let path = format!("{}/test", self.destination);
        environment.api.with(&self.org.admin).post(&path, &json!({})).await.expect(200)
    }
}

async fn the_schedule_delivers_to_who_lets_us_in_and_says_why_not_to_who_does_not(environment: &Environment) {
    let acme = Party::new(environment, None, "*").await;
    let locked = Party::new(environment, Some("another-external-id"), "*").await;
    let narrow = Party::new(environment, None, "elsewhere/*").await;

    let report = acme.tested(environment).await;
    let steps = report["steps"].as_array().unwrap();
    assert!(report["outcome"] == "passed" && steps.iter().all(|step| step["outcome"] == "passed"), "{report}");
    let file = environment.objects(&acme.customer).await.remove(TEST_OBJECT).unwrap();
    assert!(String::from_utf8(file).unwrap().contains(&text(&report["testedAt"])));
    let refused = [(&locked, "assumeRole", "role_not_assumable"), (&narrow, "writeObject", "put_denied")];
    for (party, step, code) in refused {
        let report = party.tested(environment).await;
        let failed = report["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "failed").unwrap();
        assert_eq!((&report["outcome"], &failed["name"]), (&json!("failed"), &json!(step)), "{report}");
        assert_eq!(failed["code"], code, "{report}");
        assert!(text(&failed["fix"]).len() > 20 && text(&failed["aws"]).contains("AccessDenied"), "{failed}");
    }

    environment.api.with(&acme.org.producer).post("/events", &event("to be delivered")).await.expect(201);
    let parties = [&acme, &locked, &narrow];
    environment
        .schedule(async || {
            let mut states = Vec::new();
            for party in parties {
                states.push(text(&party.shown(environment).await["state"]));
            }
            states == ["sent", "failing", "failing"]
        })
        .await;

    let objects = environment.objects(&acme.customer).await;
    let keys: Vec<&String> = objects.keys().filter(|key| is_delivery(key)).collect();
    let chain = Chain::of(&objects);
    let mut expected = vec!["organisation.create"];
    expected.extend(["token.create"; 3]);
    expected.extend(["destination.create", "destination.test", "mock_api.update"]);
    assert_eq!((chain.types(), chain.range()), (expected, Some((1, 7))));
    let deliveries = format!("{}/deliveries", acme.destination);
    let listed = environment.api.with(&acme.org.admin).get(&deliveries).await.expect(200);
    let [delivery] = listed["deliveries"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((keys.len(), &delivery["key"]), (1, &json!(keys[0])));
    assert_eq!(delivery["sha256"], sha256(&objects[keys[0]]));
    let shown = acme.shown(environment).await;
    assert_eq!((&shown["state"], &shown["nextSequence"]), (&json!("sent"), &json!(8)));
    let checkpoint = &shown["checkpoint"];
    assert_eq!((&checkpoint["sequence"], &shown["unsigned"]), (&json!(7), &Value::Null), "{shown}");
    let note = &objects[&text(&checkpoint["key"])];
    assert_eq!(checkpoint["sha256"], sha256(note));
    let keys = environment.api.nobody().get("/keys").await.expect(200);
    let key = text(&keys["keys"][0]["verifierKey"]).parse().unwrap();
    assert!(!SignedNote::parse(note).unwrap().signed_by(&[key]).is_empty());

    for (party, _, code) in refused {
        let shown = party.shown(environment).await;
        assert_eq!(shown["failing"]["code"], code, "{shown}");
        let status = text(&shown["status"]);
        assert!(status.contains(&text(&shown["failing"]["fix"])), "{status}");
        assert!(status.ends_with("None has been sent so far."), "{status}");
        assert!(environment.objects(&party.customer).await.is_empty());
    }
    environment.repair_role(&narrow.customer, &narrow.org.external_id).await;
    assert_eq!(narrow.tested(environment).await["outcome"], "passed");
    let shown = narrow.shown(environment).await;
    assert_eq!(shown["failing"]["retryAt"], shown["failing"]["since"], "it is not waited for any longer: {shown}");
}

async fn what_was_set_up_is_changed_shown_and_ended(environment: &Environment) {
    let party = Party::new(environment, None, "*").await;
    let (admin, path) = (environment.api.with(&party.org.admin), &party.destination);
    let changed = admin.send(Method::PATCH, path, &[], Some(json!({"prefix": "audit"}).to_string())).await.expect(200);
    assert_eq!(changed["prefix"], "audit/");
    assert_eq!(admin.post(&format!("{path}/pause"), &json!({})).await.expect(200)["state"], "paused");
    assert_eq!(admin.post(&format!("{path}/resume"), &json!({})).await.expect(200)["state"], "pending");
    let range = json!({"firstSequence": 1, "lastSequence": 2});
    admin.post(&format!("{path}/replay"), &range).await.expect(202);
    let setup = admin.get(&format!("{path}/setup")).await.expect(200).to_string();
    assert!(setup.contains(&environment.service) && setup.contains(&party.org.external_id), "{setup}");

    let tokens = party.org.path("/tokens");
    let old = admin.post(&tokens, &json!({"name": "SIEM", "role": "auditor"})).await.expect(201);
    let old_path = format!("{tokens}/{}", text(&old["id"]));
    let new = admin.post(&format!("{old_path}/rotate"), &json!({})).await.expect(201);
    for token in [&old, &new] {
        environment.api.with(&text(&token["token"])).get("/audit/tail").await.expect(200);
    }
    let second = admin.post(&tokens, &json!({"name": "Ada's", "role": "admin"})).await.expect(201);
    let (id, second) = (text(&second["id"]), text(&second["token"]));
    environment.api.with(&second).post(&format!("{path}/test"), &json!({})).await.expect(200);
    let listed = admin.get(&tokens).await.expect(200);
    let used = listed["tokens"].as_array().unwrap().iter().find(|token| token["id"] == id).unwrap();
    assert!(used["lastUsedAt"].is_string(), "the function that tests notes it, too: {used}");
    admin.delete(&old_path).await.expect(204);
    let listed = admin.get(&tokens).await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 5, "three of the organisation's, and two new ones");
    admin.delete(path).await.expect(204);
    admin.get(path).await.expect_problem(404, "not_found");
    let listed = admin.get(&party.org.path("/destinations")).await.expect(200);
    assert_eq!(listed["destinations"], json!([]));

    let renamed = json!({"name": "Acme Inc.", "plan": "enterprise"});
    environment.platform().put(&party.org.path(""), &renamed).await.expect(200);
    assert_eq!(admin.get(&party.org.path("")).await.expect(200)["name"], "Acme Inc.");
    let found = environment.platform().get("/organisations").await.expect(200);
    assert!(!found["organisations"].as_array().unwrap().is_empty());
}

async fn a_role_that_accepts_any_external_id_is_proven_by_the_code_in_the_bucket(environment: &Environment) {
    let org = environment.organisation().await;
    let customer = environment.customer(None, "*").await;
    let admin = environment.api.with(&org.admin);
    let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
    let created = admin.post(&org.path("/destinations"), &input).await.expect(201);
    let id = text(&created["id"]);
    let path = org.path(&format!("/destinations/{id}"));
    let tested = admin.post(&format!("{path}/test"), &json!({})).await.expect(200);
    assert_eq!(tested["outcome"], "unconfirmed", "{tested}");
    assert_eq!(admin.get(&path).await.expect(200)["state"], "unproven");
    let confirm = format!("{path}/confirm");
    admin.post(&confirm, &json!({"code": "AAAAA-AAAAA"})).await.expect_problem(400, "invalid_input");
    let file = environment.objects(&customer).await.remove(TEST_OBJECT).unwrap();
    let file = String::from_utf8(file).unwrap();
    let code = file.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap();

    let link = environment.platform().post(&org.path("/portal-links"), &json!({"role": "admin"})).await.expect(201);
    let browser = Browser::enter(environment, &text(&link["url"])).await;
    let page = browser.see("/console/destinations").await;
    assert!(page.body.contains(r#"name="code""#) && page.body.contains(TEST_OBJECT), "{}", page.body);
    let form = format!("/console/destinations/{id}/confirm");
    let wrong = browser.fill_in(&form, &[("code", "AAAAA-AAAAA")]).await;
    assert!(wrong.body.contains("attempts left: 3"), "{}", wrong.body);
    let right = browser.fill_in(&form, &[("code", code)]).await;
    assert_eq!(right.status, 303, "{}", right.body);
    assert!(browser.see(&right.headers["location"]).await.body.contains("Confirmed"));
    let proof = &admin.post(&confirm, &json!({"code": "any"})).await.expect(200)["proof"];
    assert_eq!((&proof["state"], &proof["by"]), (&json!("proven"), &json!("code")));
    let tested = admin.post(&format!("{path}/test"), &json!({})).await.expect(200);
    assert_eq!(tested["outcome"], "passed", "{tested}");
}

async fn the_log_goes_on_where_all_that_came_before_has_expired(environment: &Environment) {
    let party = Party::new(environment, None, "*").await;
    let link =
        environment.platform().post(&party.org.path("/portal-links"), &json!({"role": "admin"})).await.expect(201);
    let organisation = party.org.id.parse().unwrap();
    let store = environment.store();
    for (what, left) in
        [("enter", Left::Nothing), ("test", Left::Nothing), ("test", Left::Newest), ("read", Left::Newest)]
    {
        // The API function remembers the end of a log for a second.
        sleep(Duration::from_millis(1500)).await;
        let tail = environment.expire(&organisation, left).await;
        match what {
            "enter" => drop(Browser::enter(environment, &text(&link["url"])).await),
            "test" => assert_eq!(party.tested(environment).await["outcome"], "passed"),
            _ => drop(environment.api.with(&party.org.auditor).get("/audit/tail").await.expect(200)),
        }
        let new = store.range(&organisation, tail.last + 1..=u64::MAX, Order::Ascending, None, Consistency::Strong);
        let segments = new.await.unwrap();
        let first = segments.first().unwrap_or_else(|| panic!("{what}: nothing was recorded"));
        assert_eq!((first.first, first.previous_hash), (tail.last + 1, tail.hash), "{what}");
    }
}

/// A browser with a session of the organisation's page.
struct Browser<'a> {
    environment: &'a Environment,
    cookie: String,
    form_token: String,
}

impl<'a> Browser<'a> {
    async fn enter(environment: &'a Environment, link: &str) -> Self {
        let shown = environment.api.nobody().get(link).await;
        assert!(shown.status == 200 && shown.body.contains("Open the audit log"), "{}", shown.body);
        let entered = environment.api.nobody().send(Method::POST, link, &[], None).await;
        assert_eq!(entered.status, 303, "{}", entered.body);
        let cookie = entered.headers["set-cookie"].split(';').next().unwrap().to_owned();
        let mut browser = Self { environment, cookie, form_token: String::new() };
        let page = browser.see("/console/destinations").await;
        let (_, field) = page.body.split_once(r#"name="formToken" value=""#).expect("a form");
        browser.form_token = field.split('"').next().unwrap().to_owned();
        browser
    }

    async fn see(&self, path: &str) -> Answer {
        self.environment.api.nobody().send(Method::GET, path, &[("cookie", &self.cookie)], None).await
    }

    async fn fill_in(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [fields, &[("formToken", &self.form_token)]].concat();
        let form = reqwest::Url::parse_with_params("https://form", fields).unwrap().query().unwrap().to_owned();
        let headers = [("cookie", self.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.environment.api.nobody().send(Method::POST, path, &headers, Some(form)).await
    }
}

async fn an_administrator_does_by_the_page_what_the_api_does_until_leaving_it(environment: &Environment) {
    let acme = environment.organisation().await;
    let customer = environment.customer(Some(&acme.external_id), "*").await;
    let event = environment.api.with(&acme.producer).post("/events", &event("seen")).await.expect(201);
    let uuid = text(&event["events"][0]["uuid"]);
    let user = json!({"id": "7", "name": "Ada Bell", "email": "ada@example.com"});
    let input = json!({"role": "admin", "user": user});
    let link = environment.platform().post(&acme.path("/portal-links"), &input).await.expect(201);
    let link = text(&link["url"]);
    let browser = Browser::enter(environment, &link).await;

    let admin = environment.api.with(&acme.admin);
    let bucket = [("bucket", customer.bucket.as_str()), ("roleArn", &customer.role_arn)];
    assert_eq!(browser.fill_in("/console/destinations", &bucket).await.status, 303);
    let listed = admin.get(&acme.path("/destinations")).await.expect(200);
    let one = format!("/console/destinations/{}", text(&listed["destinations"][0]["id"]));
    let settings =
        [("prefix", "audit"), ("region", ""), ("compression", "gzip"), ("layout", "hive"), ("bucketOwner", "")];
    let replay = [("by", "sequence"), ("firstSequence", "1"), ("lastSequence", "2")];
    let done: [(&str, &[(&str, &str)]); 4] =
        [("settings", &settings), ("pause", &[]), ("resume", &[]), ("replay", &replay)];
    for (what, fields) in done {
        let answer = browser.fill_in(&format!("{one}/{what}"), fields).await;
        assert_eq!(answer.status, 303, "{what}: {}", answer.body);
    }
    let tested = browser.fill_in(&format!("{one}/test"), &[]).await;
    assert_eq!(tested.status, 303, "{}", tested.body);
    let shown = browser.see(&tested.headers["location"]).await;
    assert!(shown.body.contains(TEST_OBJECT), "the page shows the last test: {}", shown.body);
    assert!(environment.objects(&customer).await.contains_key(&format!("audit/{TEST_OBJECT}")));

    let name = [("name", "SIEM"), ("role", "auditor"), ("expiresAt", "90")];
    let made = browser.fill_in("/console/tokens", &name).await;
    assert_eq!(made.status, 303, "{}", made.body);
    let brought = made.headers["set-cookie"].split(';').next().unwrap().to_owned();
    let cookies = format!("{}; {brought}", browser.cookie);
    let path = made.headers["location"].as_str();
    let made = environment.api.nobody().send(Method::GET, path, &[("cookie", &cookies)], None).await;
    let (_, token) = made.body.split_once("annals_").expect("a token");
    let token: String = token.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    environment.api.with(&format!("annals_{token}")).get("/audit/tail").await.expect(200);
    let listed = admin.get(&acme.path("/tokens")).await.expect(200);
    let made = listed["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "SIEM").unwrap();
    let token = format!("/console/tokens/{}", text(&made["id"]));
    let fields = [("overlapSeconds", "0"), ("expiresAt", "90")];
    assert_eq!(browser.fill_in(&format!("{token}/replace"), &fields).await.status, 303);
    assert_eq!(browser.fill_in(&format!("{token}/revoke"), &[]).await.status, 303);

    let event = format!("/console/events/{uuid}");
    let deliveries = format!("{one}/deliveries");
    let csv = "/console/events/export?format=csv";
    for path in ["/console/events", &event, csv, &deliveries, "/console/destinations", "/console/tokens"] {
        let page = browser.see(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
    }
    assert_eq!(browser.fill_in(&format!("{one}/delete"), &[]).await.status, 303);
    assert_eq!(admin.get(&acme.path("/destinations")).await.expect(200)["destinations"], json!([]));

    assert_eq!(browser.see("/console/nowhere").await.status, 404);
    assert_eq!(browser.fill_in("/console/leave", &[]).await.status, 200);
    for path in [link.as_str(), "/console/tokens"] {
        let refused = browser.see(path).await;
        assert!((400..500).contains(&refused.status), "{path}: {}", refused.body);
    }
}

async fn nobody_is_let_in_without_a_token_and_other_organisations_do_not_exist(environment: &Environment) {
    let (acme, umbrella) = (environment.organisation().await, environment.organisation().await);
    environment.api.with(&acme.producer).post("/events", &event("private")).await.expect(201);
    for caller in [environment.api.nobody(), environment.api.with("nonsense"), environment.api.with(&acme.auditor[1..])]
    {
        let refused = caller.get("/audit").await;
        refused.expect_problem(401, "unauthorized");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
    }
    environment.api.with(&acme.producer).get("/audit").await.expect_problem(403, "forbidden");
    let theirs = environment.api.with(&umbrella.admin);
    let one = text(&environment.api.with(&acme.auditor).get("/audit").await.expect(200)["events"][4]["uuid"]);
    for path in ["", "/audit", "/audit/tail", "/destinations", "/tokens", &format!("/audit/{one}")] {
        let nowhere = theirs.get(&format!("/organisations/nowhere{path}")).await;
        nowhere.expect_problem(404, "not_found");
        assert_eq!(without_request(theirs.get(&acme.path(path)).await), without_request(nowhere), "{path}");
    }
    theirs.get(&format!("/audit/{one}")).await.expect_problem(404, "not_found");
    let test = acme.path("/destinations/abcdefghijkl/test");
    theirs.post(&test, &json!({})).await.expect_problem(404, "not_found");
}

async fn every_operation_is_answered_by_the_function_that_has_it_and_nothing_else_is(environment: &Environment) {
    let description = annals_api::endpoints::add(Description::default());
    let document = serde_json::to_value(annals_test_connection::add(description).document()).unwrap();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace(['{', '}'], "");
            let answer = environment.api.nobody().send(method.clone(), &path, &[], None).await;
            if operation["security"] == json!([]) {
                assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
            } else {
                answer.expect_problem(401, "unauthorized");
            }
            operations += 1;
        }
    }
    assert!(operations >= 30, "the description is not understood: {operations}");
    let health = environment.platform().get("/health/deep").await.expect(200);
    let checks = health["checks"].as_array().unwrap().iter().map(|check| text(&check["name"]));
    assert_eq!(checks.collect::<Vec<_>>(), ["log", "registry", "listing", "signing"], "{health}");
    for (method, path) in
        [(Method::GET, "/nowhere"), (Method::DELETE, "/events"), (Method::POST, "/organisations/a/b/c")]
    {
        let answer = environment.platform().send(method.clone(), path, &[], None).await;
        let code = answer.json()["code"].clone();
        assert!(["no_such_route", "method_not_allowed"].iter().any(|expected| code == *expected), "{method} {path}");
    }
}

/// Headers and problem of a refusal, without the values that differ between requests.
fn without_request(mut answer: Answer) -> (BTreeMap<String, String>, Value) {
    answer.headers.retain(|name, _| !name.contains("request") && !name.starts_with("x-amz"));
    let mut problem = answer.json();
    problem.as_object_mut().unwrap().remove("requestId");
    (answer.headers, problem)
}

/// An event as a producer posts it.
fn event(label: &str) -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": label, "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
    })
}

fn sequences(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["sequence"].as_u64().unwrap()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}
