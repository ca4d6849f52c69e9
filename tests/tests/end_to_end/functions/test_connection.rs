//! The binary of the test-connection function, invoked as by API Gateway and Lambda.

use std::time::Duration;

use annals_aws::s3::SinkPatience;
use annals_core::{destination::Destination, organisation::Organisation, time::Timestamp, token::Role};
use annals_http::console::session::form_token;
use annals_tests::{
    customer::Customer,
    deployment::{Deployment, FunctionRole, PLATFORM_TOKEN},
    gateway::{Answer, Encoding, Request},
    runtime_api::Function,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_test-connection-under-test");
/// API Gateway's integration timeout (AWS, "Quotas for HTTP APIs").
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(30);
const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

struct Stage {
    deployment: Deployment,
    acme: Organisation,
    customer: Customer,
    destination: Destination,
    admin: String,
    function: Function,
}

impl Stage {
    /// A destination whose customer has set everything up.
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let acme = deployment.organisation("acme").await;
        let customer = Customer::create(deployment.cloud(), Some(&acme.external_id));
        let destination = deployment.destination(&acme, &customer).await;
        let admin = deployment.token(&acme, Role::Admin).await;
        let function = Function::start(BINARY, deployment.environment(FunctionRole::TestConnection)).await;
        Self { deployment, acme, customer, destination, admin, function }
    }

    fn request(&self) -> Request {
        Request::new("POST", &format!("/organisations/acme/destinations/{}/test", self.destination.id))
    }

    async fn call(&self, request: &Request) -> Answer {
        Answer::of(&self.function.invoke(&request.event()).await.unwrap())
    }

    /// The outcomes of the steps.
    async fn test(&self) -> (Value, Vec<String>) {
        let report = self.call(&self.request().token(&self.admin)).await.expect(200);
        let steps = report["steps"].as_array().unwrap();
        let steps = steps.iter().map(|step| format!("{} {}", step["name"], step["outcome"]).replace('"', "")).collect();
        (report, steps)
    }

    async fn last_event(&self) -> Value {
        let log = &self.deployment.api().log;
        let id = log.tail(&self.acme.id).await.unwrap().event_id(&self.acme.id).unwrap();
        serde_json::from_str(&log.event(&self.acme, id).await.unwrap().text).unwrap()
    }
}

#[tokio::test]
async fn a_test_of_a_destination_that_is_set_up_writes_the_test_file_and_is_recorded() {
    let stage = Stage::start().await;
    let (report, steps) = stage.test().await;
    assert_eq!(report["outcome"], "passed", "{report}");
    assert_eq!(report["key"], TEST_OBJECT);
    assert_eq!(steps, ["assumeRole passed", "externalId passed", "reachBucket passed", "writeObject passed"]);

    let objects = stage.customer.objects(stage.deployment.cloud()).await;
    assert_eq!(objects.keys().collect::<Vec<_>>(), [TEST_OBJECT]);
    let text = String::from_utf8(objects[TEST_OBJECT].clone()).unwrap();
    let tested_at = report["testedAt"].as_str().unwrap();
    assert!(text.contains(tested_at) && Timestamp::parse(tested_at).is_ok(), "{text:?}");

    let event = stage.last_event().await;
    assert_eq!(event["type"], "destination.test");
    assert_eq!(event["entity"]["id"], stage.destination.id.as_str());
    assert_eq!(event["payload"]["outcome"], "passed");
}

#[tokio::test]
async fn a_failing_test_says_what_to_mend_and_the_next_one_passes_once_it_is_mended() {
    let stage = Stage::start().await;
    let iam = stage.deployment.cloud().iam();
    let role = iam.role(&stage.customer.role_arn).unwrap();

    iam.delete_role(&stage.customer.role_arn).unwrap();
    let (report, steps) = stage.test().await;
    assert_eq!(report["outcome"], "failed");
    assert_eq!(steps, ["assumeRole failed", "externalId skipped", "reachBucket skipped", "writeObject skipped"]);
    assert_eq!(report["steps"][0]["code"], "role_not_assumable");
    assert_eq!(stage.last_event().await["payload"]["outcome"], "failed");
    assert!(stage.customer.objects(stage.deployment.cloud()).await.is_empty());

    let mut powerless = role.clone();
    powerless.policies.clear();
    iam.put_role(powerless).unwrap();
    let (report, steps) = stage.test().await;
    assert_eq!(steps, ["assumeRole passed", "externalId passed", "reachBucket passed", "writeObject failed"]);
    assert_eq!(report["steps"][3]["code"], "put_denied");
    let fix = report["steps"][3]["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("arn:aws:s3:::{}/*", stage.customer.bucket)), "{fix}");

    iam.put_role(role).unwrap();
    assert_eq!(stage.test().await.0["outcome"], "passed");
}

#[tokio::test]
async fn the_test_button_saves_the_result_and_redirects_to_the_page_that_shows_it() {
    let stage = Stage::start().await;
    let post = async |role: Role, form: &str| {
        let session = stage.deployment.session(&stage.acme, role).await;
        let path = format!("/console/destinations/{}/test", stage.destination.id);
        let request = Request::new("POST", &path).header("cookie", &format!("__Host-annals={session}"));
        let body = if form.is_empty() { format!("formToken={}", form_token(&session)) } else { form.to_owned() };
        stage.call(&request.body("application/x-www-form-urlencoded", body, Encoding::Base64)).await
    };
    assert_eq!(post(Role::Auditor, "").await.status, 404, "only administrators may test");
    assert_eq!(post(Role::Admin, "formToken=x").await.status, 403, "the form is forged");
    assert!(stage.customer.objects(stage.deployment.cloud()).await.is_empty());
    let answer = post(Role::Admin, "").await;
    let id = &stage.destination.id;
    let page = format!("/console/destinations?destination={id}#test-{id}");
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, page.as_str()));
    let administration = &stage.deployment.api().administration;
    let saved = administration.last_connection_test(&stage.destination).await.unwrap().unwrap();
    assert_eq!((saved.passed, saved.key.as_str()), (true, TEST_OBJECT));
    let event = stage.last_event().await;
    assert_eq!((&event["type"], &event["clientType"]), (&json!("destination.test"), &json!("UI")));
    assert!(stage.customer.objects(stage.deployment.cloud()).await.contains_key(TEST_OBJECT));
}

#[tokio::test]
async fn only_administrators_of_the_organisation_and_the_platform_may_test() {
    let stage = Stage::start().await;
    let umbrella = stage.deployment.organisation("umbrella").await;
    let foreign = stage.deployment.token(&umbrella, Role::Admin).await;
    let auditor = stage.deployment.token(&stage.acme, Role::Auditor).await;
    stage.call(&stage.request()).await.expect(401).as_object().unwrap();
    assert_eq!(stage.call(&stage.request().token("nonsense")).await.status, 401);
    assert_eq!(stage.call(&stage.request().token(&auditor)).await.status, 403);
    let refused = stage.call(&stage.request().token(&foreign)).await;
    let absent = Request::new("POST", "/organisations/acme/destinations/abcdefghijkl/test").token(&stage.admin);
    assert_eq!(refused, stage.call(&absent).await, "what is another's is what does not exist");
    assert_eq!(refused.status, 404);
    assert!(stage.customer.objects(stage.deployment.cloud()).await.is_empty());
    assert_eq!(stage.call(&stage.request().token(PLATFORM_TOKEN)).await.status, 200);
}

#[tokio::test]
async fn the_file_has_the_name_that_the_setting_gives() {
    let stage = Stage::start().await;
    let mut environment = stage.deployment.environment(FunctionRole::TestConnection);
    environment.push(("TEST_OBJECT_NAME".to_owned(), "annals/here.txt".to_owned()));
    let function = Function::start(BINARY, environment).await;
    let answer = function.invoke(&stage.request().token(&stage.admin).event()).await.unwrap();
    assert_eq!(Answer::of(&answer).expect(200)["key"], "annals/here.txt");
    assert!(stage.customer.objects(stage.deployment.cloud()).await.contains_key("annals/here.txt"));
}

#[tokio::test]
async fn a_bucket_that_never_answers_is_reported_within_the_time_limit_of_the_gateway() {
    let stage = Stage::start().await;
    // Accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut environment = stage.deployment.environment(FunctionRole::TestConnection);
    let endpoint = environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL_S3").unwrap();
    endpoint.1 = format!("http://{}", silent.local_addr().unwrap());
    let function = Function::start(BINARY, environment).await;
    let answer = function.invoke(&stage.request().token(&stage.admin).event()).await.unwrap();
    let report = Answer::of(&answer).expect(200);
    assert_eq!(report["steps"][2]["outcome"], "failed");
    assert_eq!(report["steps"][2]["code"], "timed_out");

    // The function gave up by these limits. Measuring the time here would measure the machine, too.
    let patience = SinkPatience::interactive();
    let longest = patience.assume * 3 + patience.put * 2;
    assert!(longest < GATEWAY_TIMEOUT, "the role may be tried three times, and the region twice");
}

#[tokio::test]
async fn an_error_leaves_the_function_answering_and_logs_hold_no_secrets() {
    let stage = Stage::start().await;
    let error = stage.function.invoke(&json!({"hello": "hunter2-hunter2"})).await.unwrap_err();
    assert_ne!(error["errorType"], "Runtime.ExitError", "{error}");
    assert_eq!(stage.test().await.0["outcome"], "passed");
    let Stage { function, admin, acme, .. } = stage;
    let logs = function.stop();
    logs.assert_without(&[&admin, PLATFORM_TOKEN, &acme.external_id, "hunter2", "Bearer"]);
    let lines = logs.lines();
    let answered = lines.iter().filter(|line| line["message"] == "answered").count();
    assert_eq!(answered, 1, "{lines:?}");
    let line = lines.iter().find(|line| line["message"] == "answered").unwrap();
    assert_eq!(
        (&line["Tests"], &line["TestFailures"], &line["organisation"]),
        (&json!(1), &Value::Null, &json!("acme"))
    );
}
