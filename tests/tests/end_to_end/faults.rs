//! What the operator of a deployment has to provide, taken away one by one: each right of each function's role in
//! `template.yaml`, each table, the index, the queue, the signing key, the quotas, the settings. The functions' binaries must
//! name what is lacking, in AWS's words, at level ERROR and with the metric of an alarm, and must never take it for a fault of
//! Annals. The rights that are left are those of the template and no others, so the template also grants all that is needed.

use std::collections::{BTreeMap, BTreeSet};

use annals_core::token::Role;
use annals_http::console::session::form_token;
use annals_tests::{
    customer::Customer,
    deployment::{Deployment, FunctionRole, PLATFORM_TOKEN},
    gateway::{Answer, Encoding, Request},
    permissions::{GuardedDynamoDb, Right, Tables, rights},
    runtime_api::Function,
    template::resources,
};
use serde_json::{Value, json};

const FUNCTIONS: [FunctionRole; 4] =
    [FunctionRole::Api, FunctionRole::Console, FunctionRole::TestConnection, FunctionRole::Shipper];

/// Rights that Lambda's event source mapping uses in the function's name.
const OF_LAMBDA: [&str; 3] = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"];

fn binary(role: FunctionRole) -> &'static str {
    match role {
        FunctionRole::Api => env!("CARGO_BIN_EXE_api-under-test"),
        FunctionRole::Console => env!("CARGO_BIN_EXE_console-under-test"),
        FunctionRole::TestConnection => env!("CARGO_BIN_EXE_test-connection-under-test"),
        FunctionRole::Shipper => env!("CARGO_BIN_EXE_shipper-under-test"),
    }
}

/// What is taken away.
#[derive(Debug, Clone)]
enum Lack {
    Nothing,
    Right(Right),
    /// The variable has this value instead.
    Setting(&'static str, String),
    /// All calls of DynamoDB are refused with this code and message.
    Tables(&'static str, &'static str),
    /// The signing key is disabled.
    KeyDisabled,
}

/// What a function's tour of its work showed.
#[derive(Debug)]
struct Tour {
    /// The answers that are problems, by what was asked.
    problems: BTreeMap<String, Value>,
    lines: Vec<Value>,
}

struct World {
    deployment: Deployment,
    signing_key: String,
    number: usize,
}

impl World {
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let signing_key = deployment.cloud().create_key("alias/checkpoints", [7; 32]).unwrap();
        Self { deployment, signing_key, number: 0 }
    }

    /// The function's tour while something is lacking.
    async fn tour(&mut self, role: FunctionRole, lack: &Lack) -> Tour {
        self.number += 1;
        let deployment = &self.deployment;
        let cloud = deployment.cloud();
        let mut granted = rights_here(role);
        if let Lack::Right(right) = lack {
            assert!(granted.remove(right), "{right}");
        }
        let tables = match *lack {
            Lack::Tables(code, message) => Tables::Refuse(code, message),
            _ => Tables::Work,
        };
        let dynamodb = GuardedDynamoDb::start(&cloud.endpoints().dynamodb, granted.clone(), tables).await;
        let actions: BTreeSet<&str> = granted.iter().map(|right| right.action.as_str()).collect();
        let policy = json!({"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]});
        let key = cloud.iam().create_user(cloud.account(), &format!("{role:?}-{}", self.number), policy).unwrap();
        let mut environment: BTreeMap<String, String> = deployment.environment(role).into_iter().collect();
        let mut set = |name: &str, value: &str| drop(environment.insert(name.to_owned(), value.to_owned()));
        set("AWS_ACCESS_KEY_ID", &key.id);
        set("AWS_SECRET_ACCESS_KEY", &key.secret);
        set("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url());
        set("AWS_ENDPOINT_URL_KMS", &cloud.endpoints().kms);
        if matches!(role, FunctionRole::Api | FunctionRole::Shipper) {
            set("SIGNING_KEY", &self.signing_key);
            set("SIGNER_NAME", "annals.example.com");
        }
        if let Lack::Setting(name, value) = lack {
            set(name, value);
        }
        if matches!(lack, Lack::KeyDisabled) {
            cloud.iam().set_key_state(&self.signing_key, annals_cloud::KeyState::Disabled).unwrap();
        }

        let organisation = deployment.organisation(&format!("acme-{}", self.number)).await;
        let customer = Customer::create(cloud, Some(&organisation.external_id));
        let destination = deployment.destination(&organisation, &customer).await;
        let admin = deployment.token(&organisation, Role::Admin).await;
        let link = deployment.portal_link(&organisation, Role::Admin).await;
        let session = deployment.session(&organisation, Role::Admin).await;
        let id = organisation.id.as_str();
        // The end of its log has to be looked up in the anchor.
        let idle = deployment.organisation(&format!("idle-{}", self.number)).await;
        let idle_customer = Customer::create(cloud, Some(&idle.external_id));
        let idle_destination = deployment.destination(&idle, &idle_customer).await;
        let idle_admin = deployment.token(&idle, Role::Admin).await;
        let idle_session = deployment.session(&idle, Role::Admin).await;
        deployment.age_log(&idle.id).await;
        let test = |organisation: &str, destination: &str, admin: &str| {
            let path = format!("/organisations/{organisation}/destinations/{destination}/test");
            (format!("test of {organisation}"), Request::new("POST", &path).token(admin))
        };
        let requests = match role {
            FunctionRole::Api => of_api(id, &format!("new-{}", self.number), idle.id.as_str(), &admin),
            FunctionRole::Console => of_console(&link, &session, &idle_session),
            FunctionRole::TestConnection => vec![
                test(id, destination.id.as_str(), &admin),
                test(idle.id.as_str(), idle_destination.id.as_str(), &idle_admin),
            ],
            FunctionRole::Shipper => Vec::new(),
        };
        let function = Function::start(binary(role), environment).await;
        let mut problems = BTreeMap::new();
        for (what, request) in requests {
            let answer = Answer::of(&function.invoke(&request.event()).await.unwrap());
            if answer.status >= 500 {
                problems.insert(what, serde_json::from_str(&answer.body).unwrap_or(json!({"status": answer.status})));
            }
        }
        if role == FunctionRole::Shipper {
            let order = json!({
                "organisation": id, "destination": destination.id.as_str(), "nextSequence": 1, "pending": false,
            });
            // A restore of the last organisation alone.
            let last = format!("zz-{:03}", self.number);
            deployment.organisation(&format!("{last}-last")).await;
            let restore = json!({
                "task": "restore", "restore": "drill", "tables": "registry", "restoredTo": "2026-01-01T00:00:00Z",
                "after": {"organisation": last, "failed": 0},
            });
            let mut events = vec![message(&order), json!({"task": "plan"}), json!({"task": "maintain"}), restore];
            // Then the parts of the jobs that these have sent, and what the parts send.
            for _ in 0..3 {
                for event in events {
                    if let Err(error) = function.invoke(&event).await {
                        problems.insert(event.to_string(), error);
                    }
                }
                // Orders are for the destinations of all tours, whose logs are aged.
                let sent = deployment.messages().await;
                events = sent.iter().filter(|body| body["job"].is_string()).map(message).collect();
            }
        }
        let lines = function.stop().lines();
        cloud.iam().set_key_state(&self.signing_key, annals_cloud::KeyState::Enabled).unwrap();
        Tour { problems, lines }
    }
}

/// The rights of a function's role where no signing key was replaced.
fn rights_here(role: FunctionRole) -> BTreeSet<Right> {
    let mut granted = rights(role);
    granted.retain(|right| right.resource != "PreviousSigningKeyArn");
    granted
}

/// A message of the queue, as Lambda passes it to the shipper.
fn message(body: &Value) -> Value {
    json!({"Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975970000", "body": body.to_string(), "eventSource": "aws:sqs",
    }]})
}

fn event() -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER"},
    })
}

/// Calls of every kind, some by the platform and some with an organisation's token.
fn of_api(organisation: &str, new: &str, idle: &str, admin: &str) -> Vec<(String, Request)> {
    let at = |path: &str| format!("/organisations/{organisation}{path}");
    let token = json!({"name": "SIEM", "role": "auditor"});
    let own_token = admin.split('_').nth(1).unwrap();
    let calls = [
        ("GET", "/health/deep".to_owned(), Value::Null),
        ("PUT", format!("/organisations/{new}"), json!({"name": "New"})),
        ("POST", at("/tokens"), token),
        ("POST", at("/events"), event()),
        ("POST", format!("/organisations/{idle}/events"), event()),
        ("GET", at("/audit"), Value::Null),
        ("GET", at("/audit/checkpoint"), Value::Null),
        ("GET", at("/tokens"), Value::Null),
        ("GET", at("/destinations"), Value::Null),
        ("GET", "/organisations".to_owned(), Value::Null),
    ];
    let mut requests: Vec<(String, Request)> = calls
        .into_iter()
        .map(|(method, path, body)| {
            let request = Request::new(method, &path).token(PLATFORM_TOKEN);
            (format!("{method} {path}"), if body.is_null() { request } else { request.json(&body) })
        })
        .collect();
    requests.push(("GET /audit/tail".to_owned(), Request::new("GET", "/audit/tail").token(admin)));
    let revoke = at(&format!("/tokens/{own_token}"));
    requests.push(("DELETE token".to_owned(), Request::new("DELETE", &revoke).token(PLATFORM_TOKEN)));
    requests
}

/// Pages and forms of the console.
fn of_console(link: &str, session: &str, idle_session: &str) -> Vec<(String, Request)> {
    let cookie = |session: &str| format!("__Host-annals={session}");
    let form = |session: &str, path: &str, fields: &str| {
        let body = format!("formToken={}&{fields}", form_token(session));
        let request = Request::new("POST", path).header("cookie", &cookie(session));
        request.body("application/x-www-form-urlencoded", body, Encoding::Base64)
    };
    let page = |path: &str| (path.to_owned(), Request::new("GET", path).header("cookie", &cookie(session)));
    vec![
        ("enter".to_owned(), Request::new("POST", &format!("/console/enter/{link}"))),
        page("/console/events"),
        page("/console/destinations"),
        page("/console/tokens"),
        ("create a token".to_owned(), form(session, "/console/tokens", "name=SIEM&role=auditor&expiresAt=90")),
        ("leave".to_owned(), form(session, "/console/leave", "")),
        ("leave the idle one".to_owned(), form(idle_session, "/console/leave", "")),
    ]
}

/// The lines that count for the alarm.
fn faults(tour: &Tour) -> Vec<&Value> {
    tour.lines.iter().filter(|line| line["OperatorFaults"] == 1).collect()
}

/// Checks what a function shows if something is lacking: `codes` may name it, and AWS's words have `words`.
fn check(role: FunctionRole, lack: &Lack, tour: &Tour, codes: &[&str], words: &str) {
    let what = format!("{role:?} without {lack:?}: {tour:#?}");
    for problem in tour.problems.values() {
        assert_ne!(problem["status"], 500, "not a fault of Annals: {what}");
        assert_ne!(problem["code"], "internal", "not a fault of Annals: {what}");
    }
    let faults = faults(tour);
    // The deep health names it, too, but work has to fail, or nobody would miss it.
    assert!(faults.iter().any(|line| line["route"] != "/health/deep"), "nothing in the log: {what}");
    for line in &faults {
        assert_eq!(line["level"], "ERROR", "{what}");
        let code = line["operator_code"].as_str().unwrap();
        assert!(codes.contains(&code), "{code}: {what}");
        // SQS writes actions in lower case.
        let has_words = |error: &str| error.to_lowercase().contains(&words.to_lowercase());
        assert!(line["error"].as_str().is_some_and(has_words), "not in AWS's words: {what}");
        let directives = &line["_aws"]["CloudWatchMetrics"];
        assert!(directives.to_string().contains("\"OperatorFaults\""), "no metric: {what}");
        assert!(PAGE.contains(&format!("\n### {code}\n")), "{code} has no entry");
    }
    // No line at level ERROR is left without a name.
    for line in tour.lines.iter().filter(|line| line["level"] == "ERROR") {
        assert!(line["operator_code"].is_string(), "{what}");
    }
    let answers_requests = role != FunctionRole::Shipper;
    for (asked, problem) in tour.problems.iter().filter(|_| answers_requests) {
        let code = problem["code"].as_str().unwrap_or_default();
        let expected = ["operator_required", "signing_unavailable", "unhealthy", "unavailable", ""];
        assert!(problem["status"] == 503 && expected.contains(&code), "{asked}: {what}");
    }
}

const PAGE: &str = include_str!("../../../infra/docs/operator-failures.md");

#[tokio::test]
async fn each_right_that_is_taken_away_is_named() {
    let mut world = World::start().await;
    for role in FUNCTIONS {
        let whole = world.tour(role, &Lack::Nothing).await;
        assert!(whole.problems.is_empty(), "the rights of the template suffice for {role:?}: {whole:#?}");
        assert!(faults(&whole).is_empty(), "{role:?}: {whole:#?}");
        for right in rights_here(role) {
            let action = right.action.clone();
            let is_of_lambda = OF_LAMBDA.contains(&&*action);
            // It saves the use of a token, for which a request waits a tenth of a second only.
            let is_hasty = role == FunctionRole::TestConnection && action == "dynamodb:UpdateItem";
            // STS gives the same answer if a customer's role does not trust us: see the next test.
            let is_ambiguous = action == "sts:AssumeRole";
            if is_of_lambda || is_hasty || is_ambiguous {
                continue;
            }
            let lack = Lack::Right(right);
            let tour = world.tour(role, &lack).await;
            let code = match action.split(':').next().unwrap() {
                "kms" => "signing_denied",
                _ => "permission_missing",
            };
            check(role, &lack, &tour, &[code], &action);
        }
    }
}

#[tokio::test]
async fn a_shipper_that_may_assume_no_role_is_named_when_three_customers_fail_at_once() {
    let world = World::start().await;
    let deployment = &world.deployment;
    let mut customers = Vec::new();
    for number in 0..3 {
        let organisation = deployment.organisation(&format!("acme-{number}")).await;
        let customer = Customer::create(deployment.cloud(), Some(&organisation.external_id));
        let destination = deployment.destination(&organisation, &customer).await;
        customers.push((organisation, destination.id));
    }
    let mut codes = Vec::new();
    for user in ["whole", "lacking"] {
        let mut granted: BTreeSet<String> =
            rights(FunctionRole::Shipper).into_iter().map(|right| right.action).collect();
        if user == "lacking" {
            assert!(granted.remove("sts:AssumeRole"));
        }
        let policy = json!({"Statement": [{"Effect": "Allow", "Action": granted, "Resource": "*"}]});
        let cloud = deployment.cloud();
        let key = cloud.iam().create_user(cloud.account(), user, policy).unwrap();
        let environment = deployment.environment(FunctionRole::Shipper).into_iter();
        let own = [("AWS_ACCESS_KEY_ID", key.id.clone()), ("AWS_SECRET_ACCESS_KEY", key.secret.clone())];
        let environment: BTreeMap<String, String> =
            environment.chain(own.map(|(name, value)| (name.to_owned(), value))).collect();
        let function = Function::start(binary(FunctionRole::Shipper), environment).await;
        for (organisation, destination) in &customers {
            deployment.record(organisation, &event()).await;
            let order = json!({
                "organisation": organisation.id.as_str(), "destination": destination.as_str(), "nextSequence": 1,
                "pending": true,
            });
            function.invoke(&message(&order)).await.unwrap();
        }
        let lines = function.stop().lines();
        codes.extend(lines.iter().filter(|line| line["operator_code"].is_string()).map(|line| {
            assert_eq!((&line["level"], &line["OperatorFaults"]), (&json!("ERROR"), &json!(1)), "{line}");
            assert!(line["error"].as_str().is_some_and(|error| error.contains("sts:AssumeRole")), "{line}");
            line["operator_code"].clone()
        }));
    }
    assert_eq!(codes, ["operator_not_authorized"]);
}

#[tokio::test]
async fn each_resource_that_is_taken_away_is_named() {
    let mut world = World::start().await;
    let queue = |url: &str| Lack::Setting("SHIP_QUEUE_URL", url.to_owned());
    for role in FUNCTIONS {
        let cases = [
            (Lack::Setting("LOG_TABLE", "annals-LogTable-9".to_owned()), "table_missing", "ResourceNotFoundException"),
            (Lack::Setting("REGISTRY_TABLE", "annals-RegistryTable-9".to_owned()), "table_missing", "ResourceNotFound"),
            (
                Lack::Tables(
                    "ProvisionedThroughputExceededException",
                    "The level of configured throughput was exceeded.",
                ),
                "aws_throttled",
                "configured throughput",
            ),
            (
                Lack::Tables("AccessDeniedException", "KMS key access denied error: the key is disabled"),
                "key_unusable",
                "the key is disabled",
            ),
            (
                Lack::Tables("ValidationException", "The table does not have the specified index: listing"),
                "index_missing",
                "specified index",
            ),
            (
                Lack::Tables("UnrecognizedClientException", "The security token included in the request is invalid."),
                "credentials_rejected",
                "security token",
            ),
        ];
        for (lack, code, words) in cases {
            let tour = world.tour(role, &lack).await;
            check(role, &lack, &tour, &[code], words);
        }
    }
    let missing = world.deployment.environment(FunctionRole::Shipper);
    let url = &missing.iter().find(|(name, _)| name == "SHIP_QUEUE_URL").unwrap().1;
    let lack = queue(&url.replace("ShipQueue", "NoQueue"));
    let tour = world.tour(FunctionRole::Shipper, &lack).await;
    check(FunctionRole::Shipper, &lack, &tour, &["queue_missing"], "NonExistentQueue");
    for role in [FunctionRole::Api, FunctionRole::Shipper] {
        let tour = world.tour(role, &Lack::KeyDisabled).await;
        check(role, &Lack::KeyDisabled, &tour, &["signing_key_disabled"], "DisabledException");
        let lack = Lack::Setting("SIGNING_KEY", world.signing_key.replace(":key/", ":key/0"));
        let tour = world.tour(role, &lack).await;
        check(role, &lack, &tour, &["signing_key_missing"], "NotFoundException");
    }
}

#[tokio::test]
async fn a_setting_that_is_lacking_is_named_and_counted() {
    let world = World::start().await;
    for role in FUNCTIONS {
        let environment = world.deployment.environment(role).into_iter().filter(|(name, _)| name != "LOG_TABLE");
        let function = Function::start(binary(role), environment.collect::<Vec<_>>()).await;
        function.invoke(&json!({})).await.unwrap_err();
        let logs = function.stop();
        let line: Value = serde_json::from_str(logs.stdout.lines().next().unwrap()).unwrap();
        assert_eq!((&line["message"], &line["level"]), (&json!("cannot start"), &json!("ERROR")));
        assert_eq!((&line["operator_code"], &line["OperatorFaults"]), (&json!("setting_invalid"), &json!(1)));
        assert!(line["error"].as_str().unwrap().contains("LOG_TABLE"), "{line}");
    }
}

#[test]
fn each_function_has_an_alarm_for_what_it_lacks() {
    let resources = resources();
    for function in ["Api", "ApiInstances", "Console", "TestConnection", "Shipper"] {
        let alarm = &resources[&format!("{function}OperatorFaultAlarm")]["Properties"];
        assert_eq!(alarm["MetricName"], "OperatorFaults");
        assert_eq!(alarm["Dimensions"][0]["Value"]["!Ref"], format!("{function}Function"));
        assert_eq!(
            (&alarm["Period"], &alarm["EvaluationPeriods"], &alarm["Threshold"]),
            (&json!(60), &json!(1), &json!(1))
        );
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_named_by_the_deep_health_and_refuses_events() {
    let world = World::start().await;
    // Accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut environment: BTreeMap<String, String> =
        world.deployment.environment(FunctionRole::Api).into_iter().collect();
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), format!("http://{}", silent.local_addr().unwrap()));
    let function = Function::start(binary(FunctionRole::Api), environment).await;
    let call = async |request: Request| Answer::of(&function.invoke(&request.event()).await.unwrap());

    let health = call(Request::new("GET", "/health")).await.expect(200);
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!(env!("CARGO_PKG_VERSION"))));

    let record = Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN).json(&event());
    let refused = call(record).await.expect(503);
    assert_eq!(refused["code"], "unavailable", "{refused}");

    let deep = call(Request::new("GET", "/health/deep").token(PLATFORM_TOKEN)).await.expect(503);
    assert_eq!(deep["code"], "unhealthy", "{deep}");
    let checks = deep["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 3, "{deep}");
    for check in checks {
        assert_eq!(check["status"], "failed", "{deep}");
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{deep}");
    }
    let lines = function.stop().lines();
    let line = lines.iter().find(|line| line["route"] == "/health/deep").unwrap();
    assert_eq!((&line["level"], &line["code"]), (&json!("ERROR"), &json!("unhealthy")));
    assert_eq!(line["operator_code"], Value::Null, "an outage of AWS is not for the operator: {line}");
}
