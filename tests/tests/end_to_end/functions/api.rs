//! The binary of the API function, invoked as by API Gateway and Lambda.

use annals_core::token::Role;
use annals_tests::{
    deployment::{Deployment, FunctionRole, PLATFORM_TOKEN, platform},
    gateway::{Answer, Encoding, HOST, REQUEST_ID, Request, SOURCE_IP},
    lines::sha256,
    runtime_api::Function,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_api-under-test");

async fn start(deployment: &Deployment) -> Function {
    Function::start(BINARY, deployment.environment(FunctionRole::Api)).await
}

async fn call(function: &Function, request: &Request) -> Answer {
    Answer::of(&function.invoke(&request.event()).await.unwrap())
}

fn event(label: &str) -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": label, "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
    })
}

#[tokio::test]
async fn an_event_that_is_posted_is_recorded_and_read() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let function = start(&deployment).await;

    let answer = call(&function, &Request::new("POST", "/events").token(&producer).json(&event("m-1"))).await;
    let recorded = answer.expect(201);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(recorded["events"][0]["sequence"], 4, "behind the organisation and two tokens");
    let uuid = recorded["events"][0]["uuid"].as_str().unwrap();

    let answer = call(&function, &Request::new("GET", "/audit?sort=-timestamp&pageSize=1").token(&auditor)).await;
    let page = answer.expect(200);
    assert_eq!(answer.headers["content-type"], "application/hal+json");
    assert_eq!(page["events"][0]["uuid"], uuid);
    assert_eq!(page["events"][0]["entity"]["id"], "m-1");
    let own = format!("https://{HOST}/audit?sort=-timestamp&pageSize=1");
    assert_eq!(page["_links"]["self"]["href"], own, "links lead to where the caller came in");
    let next = page["_links"]["next"]["href"].as_str().unwrap();
    assert!(next.starts_with(&format!("https://{HOST}/audit?from=")), "{next}");

    let log = &deployment.api().log;
    let tail = log.tail(&acme.id).await.unwrap();
    assert_eq!(tail.last, 5, "one event posted, one read");
    let line = log.event(&acme, tail.event_id(&acme.id).unwrap()).await.unwrap();
    let read: Value = serde_json::from_str(&line.text).unwrap();
    assert_eq!(read["type"], "audit.read");
    assert_eq!(
        read["context"],
        json!({"ipAddress": SOURCE_IP, "userAgent": "curl/8.5.0", "requestId": REQUEST_ID}),
        "who calls is told by API Gateway, not by a header that anybody may send"
    );
    assert_eq!(read["payload"]["params"], json!({"sort": "-timestamp", "pageSize": "1"}));
}

#[tokio::test]
async fn what_the_deployment_sets_holds_for_new_organisations_and_destinations() {
    let deployment = Deployment::start().await;
    let mut environment = deployment.environment(FunctionRole::Api);
    environment.push(("DEFAULT_RETENTION_DAYS".to_owned(), "30".to_owned()));
    environment.push(("CUSTOMER_ROLE_PATTERN".to_owned(), "annals-*".to_owned()));
    let function = Function::start(BINARY, environment).await;
    let put = async |id: &str, input: Value| {
        let request = Request::new("PUT", &format!("/organisations/{id}")).token(PLATFORM_TOKEN).json(&input);
        call(&function, &request).await.expect(201)["retentionDays"].clone()
    };
    assert_eq!(put("acme", json!({"name": "Acme", "plan": "enterprise"})).await, 30);
    assert_eq!(put("globex", json!({"name": "Globex", "retentionDays": 365})).await, 365);

    let create = async |role: &str| {
        let input = json!({"bucket": "acme-audit", "roleArn": format!("arn:aws:iam::444455556666:role/{role}")});
        let request = Request::new("POST", "/organisations/acme/destinations").token(PLATFORM_TOKEN).json(&input);
        call(&function, &request).await
    };
    let refused = create("other").await.expect(400);
    assert_eq!(refused["errors"][0]["pointer"], "/roleArn");
    assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("annals-*"), "{refused}");
    assert_eq!(create("annals-put").await.status, 201);
}

#[tokio::test]
async fn the_platform_token_that_is_replaced_is_valid_until_it_is_taken_away() {
    let deployment = Deployment::start().await;
    let new = "annals_platform_which-replaces-the-other";
    let statuses = async |previous: &str| {
        let mut environment = deployment.environment(FunctionRole::Api);
        environment.retain(|(name, _)| name != "PLATFORM_TOKEN_SHA256");
        environment.push(("PLATFORM_TOKEN_SHA256".to_owned(), sha256(new.as_bytes())));
        environment.push(("PREVIOUS_PLATFORM_TOKEN_SHA256".to_owned(), previous.to_owned()));
        let function = Function::start(BINARY, environment).await;
        let mut statuses = Vec::new();
        for token in [new, PLATFORM_TOKEN, ""] {
            statuses.push(call(&function, &Request::new("GET", "/organisations").token(token)).await.status);
        }
        statuses
    };
    assert_eq!(statuses(&sha256(PLATFORM_TOKEN.as_bytes())).await, [200, 200, 401]);
    assert_eq!(statuses("").await, [200, 401, 401]);
}

#[tokio::test]
async fn a_body_in_base64_is_the_same_as_one_in_text() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let function = start(&deployment).await;
    let array = json!([event("a"), event("ä")]).to_string();
    let ndjson = format!("{}\n{}\n", event("b"), event("ö"));
    for (media_type, body, encoding) in [
        ("application/json", &array, Encoding::Text),
        ("application/json", &array, Encoding::Base64),
        ("application/x-ndjson", &ndjson, Encoding::Base64),
        ("application/x-ndjson", &ndjson, Encoding::Text),
    ] {
        let request = Request::new("POST", "/events").token(&producer).body(media_type, body.as_str(), encoding);
        let recorded = call(&function, &request).await.expect(201);
        assert_eq!(recorded["events"].as_array().unwrap().len(), 2, "{media_type} {encoding:?}");
    }
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let page = call(&function, &Request::new("GET", "/audit?from=").token(&auditor)).await;
    assert_eq!(page.status, 400, "an empty cursor is none");
    let page = call(&function, &Request::new("GET", "/audit").token(&auditor)).await.expect(200);
    let labels: Vec<&str> = page["events"].as_array().unwrap().iter().filter_map(label).collect();
    assert_eq!(labels, ["a", "ä", "a", "ä", "b", "ö", "b", "ö"]);
}

fn label(event: &Value) -> Option<&str> {
    (event["entity"]["entityType"] == "MOCK_API").then(|| event["entity"]["id"].as_str().unwrap())
}

#[tokio::test]
async fn what_is_wrong_is_answered_as_a_problem_and_the_next_event_is_answered_as_ever() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let function = start(&deployment).await;
    let before = deployment.api().log.tail(&acme.id).await.unwrap();
    let post = || Request::new("POST", "/events").token(&producer);
    for (request, status, code) in [
        (Request::new("GET", "/audit"), 401, "unauthorized"),
        (Request::new("GET", "/audit").token("nonsense"), 401, "unauthorized"),
        (Request::new("GET", "/audit").token(&producer), 403, "forbidden"),
        (Request::new("GET", "/organisations/umbrella").token(PLATFORM_TOKEN), 404, "not_found"),
        (Request::new("GET", "/nowhere").token(&producer), 404, "no_such_route"),
        (Request::new("PATCH", "/events").token(&producer), 405, "method_not_allowed"),
        (post().json(&json!({"action": 7})), 400, "invalid_input"),
        (post(), 400, "invalid_input"),
        (post().body("text/csv", "a,b", Encoding::Text), 415, "unsupported_media_type"),
        (post().body("application/json", vec![0xff; 4 * 1024 * 1024 + 1], Encoding::Base64), 413, "body_too_large"),
    ] {
        let answer = call(&function, &request).await;
        let problem = answer.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{problem}");
        assert_eq!(call(&function, &Request::new("GET", "/health")).await.expect(200)["status"], "ok");
    }
    assert_eq!(deployment.api().log.tail(&acme.id).await.unwrap(), before, "nothing was recorded");
}

#[tokio::test]
async fn an_event_that_is_no_request_is_an_error_and_the_function_goes_on() {
    let deployment = Deployment::start().await;
    let function = start(&deployment).await;
    for event in [json!({}), json!({"Records": []}), json!("hello")] {
        let error = function.invoke(&event).await.unwrap_err();
        assert!(error["errorType"].is_string() && error["errorMessage"].is_string(), "{error}");
        assert_ne!(error["errorType"], "Runtime.ExitError", "the process lives on: {error}");
    }
    assert_eq!(call(&function, &Request::new("GET", "/health")).await.status, 200);
}

#[tokio::test]
async fn paths_come_decoded_and_may_hold_anything() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let function = start(&deployment).await;
    for path in
        ["/audit/ ", "/audit/ä", "/audit/%", "/audit/\u{1}", "/organisations/a\"b/audit", "//audit", "/audit/.."]
    {
        let answer = function.invoke(&Request::new("GET", path).token(&auditor).event()).await;
        let answer = Answer::of(&answer.unwrap_or_else(|error| panic!("{path:?}: {error}")));
        assert!((400..500).contains(&answer.status) || answer.status == 200, "{path:?}: {answer:?}");
    }
    assert_eq!(call(&function, &Request::new("GET", "/health")).await.status, 200);
}

#[tokio::test]
async fn logs_are_json_lines_without_tokens_and_without_events() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let function = start(&deployment).await;
    let mut secret = event("m-1");
    secret["payload"] = json!({"password": "hunter2-hunter2"});
    let mut faulty = secret.clone();
    faulty["colour"] = "hunter2-hunter2".into();
    let key = "Idempotency-Key-of-a-test";
    let post = || Request::new("POST", "/events").token(&producer).header("idempotency-key", key);
    for (request, status) in [
        (post().json(&secret), 201),
        (post().json(&secret), 201),
        (post().json(&event("other")), 422),
        (post().json(&faulty), 400),
        (Request::new("GET", "/audit?since=hunter2-hunter2").token(&auditor), 400),
        (Request::new("GET", "/audit").token(&auditor), 200),
        (Request::new("GET", "/hunter2-hunter2").token("hunter2-hunter2"), 404),
    ] {
        assert_eq!(call(&function, &request).await.status, status);
    }
    let made = Request::new("POST", "/organisations/acme/tokens").token(PLATFORM_TOKEN);
    let made = call(&function, &made.json(&json!({"name": "SIEM", "role": "auditor"}))).await.expect(201);
    let text = made["token"].as_str().unwrap();

    let logs = function.stop();
    logs.assert_without(&[&producer, &auditor, text, PLATFORM_TOKEN, &sha256(PLATFORM_TOKEN.as_bytes())]);
    logs.assert_without(&["hunter2", "ada@example.com", "Payments", key, "Bearer"]);
    let answered: Vec<Value> = logs.lines().into_iter().filter(|line| line["message"] == "answered").collect();
    let told = |line: &Value| format!("{} {} {}", line["method"], line["route"], line["status"]).replace('"', "");
    let told: Vec<String> = answered.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "POST /events 201",
            "POST /events 201",
            "POST /events 422",
            "POST /events 400",
            "GET /audit 400",
            "GET /audit 200",
            "GET none 404",
            "POST /organisations/{organisation}/tokens 201",
        ]
    );
    assert!(answered.iter().all(|line| line["level"] == "INFO" && line["duration_ms"].is_u64()), "{answered:?}");
}

#[tokio::test]
async fn each_request_is_logged_with_its_caller_and_its_address() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let revoked = deployment.token(&acme, Role::Auditor).await;
    let id = |token: &str| token.split('_').nth(1).unwrap().to_owned();
    let function = start(&deployment).await;
    let revoke = format!("/organisations/acme/tokens/{}", id(&revoked));
    let mistyped = format!("{}-", &revoked[..revoked.len() - 1]);
    let event = json!(event("a"));
    let requests = [
        (Request::new("POST", "/events").token(&producer).json(&event), 201),
        (Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN).json(&event), 201),
        (Request::new("POST", "/events").token(&auditor).json(&event), 403),
        (Request::new("GET", "/audit?q=secret-query").token(&auditor), 200),
        (Request::new("DELETE", &revoke).token(PLATFORM_TOKEN), 204),
        (Request::new("GET", "/audit?q=secret-query").token(&revoked), 401),
        (Request::new("GET", "/audit").token(&mistyped), 401),
        (Request::new("GET", "/audit"), 401),
        (Request::new("GET", "/health"), 200),
    ];
    for (request, status) in &requests {
        assert_eq!(call(&function, request).await.status, *status);
    }
    let logs = function.stop();
    logs.assert_without(&[&producer, &auditor, &revoked, &mistyped, PLATFORM_TOKEN, "secret-query", "Bearer"]);
    let lines = logs.lines();
    let told = lines.iter().map(|line| (line["caller"].as_str(), line["claimed_token"].as_str()));
    let (sent, read) = (format!("token/{}", id(&producer)), format!("token/{}", id(&auditor)));
    let claimed = id(&revoked);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (Some(&*sent), None),
            (Some("platform"), None),
            (Some(&*read), None),
            (Some(&*read), None),
            (Some("platform"), None),
            (None, Some(&*claimed)),
            (None, None),
            (None, None),
            (None, None),
        ]
    );
    assert!(lines.iter().all(|line| line["ip_address"] == SOURCE_IP), "{lines:?}");
}

#[tokio::test]
async fn what_an_attacker_would_do_too_is_counted() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let admin = deployment.token(&acme, Role::Admin).await;
    let function = start(&deployment).await;
    let token = |role: &str| json!({"name": "Another", "role": role});
    let destination =
        json!({"bucket": "acme-events", "roleArn": "arn:aws:iam::444455556666:role/annals", "region": "eu-central-1"});
    let destinations = "/organisations/acme/destinations";
    let counted = ["FailedAuthentications", "PlatformTokenUses", "AdminTokensCreated", "DestinationChanges"];
    let requests = [
        (Request::new("GET", "/audit").token("invented"), 401, [1, 0, 0, 0]),
        (Request::new("GET", "/audit"), 401, [1, 0, 0, 0]),
        (Request::new("GET", "/organisations/acme").token(PLATFORM_TOKEN), 200, [0, 1, 0, 0]),
        (Request::new("POST", "/organisations/acme/tokens").token(&admin).json(&token("admin")), 201, [0, 0, 1, 0]),
        (Request::new("POST", "/organisations/acme/tokens").token(&admin).json(&token("auditor")), 201, [0, 0, 0, 0]),
        (Request::new("POST", destinations).token(&admin).json(&destination), 201, [0, 0, 0, 1]),
        // Nothing is created.
        (Request::new("POST", destinations).token(&admin).json(&json!({})), 400, [0, 0, 0, 0]),
    ];
    for (request, status, _) in &requests {
        assert_eq!(call(&function, request).await.status, *status);
    }
    for (line, (_, _, expected)) in function.stop().lines().iter().zip(&requests) {
        assert_eq!(counted.map(|metric| line[metric].as_u64().unwrap_or(0)), *expected, "{line}");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_a_503_that_says_when_to_try_again() {
    let deployment = Deployment::start().await;
    let mut environment = deployment.environment(FunctionRole::Api);
    for (name, value) in &mut environment {
        if name == "AWS_ENDPOINT_URL_DYNAMODB" {
            // Nothing listens on port 1.
            *value = "http://127.0.0.1:1".to_owned();
        }
    }
    let function = Function::start(BINARY, environment).await;
    let answer = call(&function, &Request::new("GET", "/organisations").token(PLATFORM_TOKEN)).await;
    assert_eq!(answer.expect(503)["code"], "unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(call(&function, &Request::new("GET", "/health")).await.status, 200);
    let logs = function.stop();
    let errors: Vec<Value> = logs.lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "logged once: {errors:?}");
    assert_eq!((&errors[0]["code"], &errors[0]["request_id"]), (&json!("unavailable"), &json!(REQUEST_ID)));
    assert!(errors[0]["error"].is_string(), "{errors:?}");
}

#[tokio::test]
async fn a_request_is_one_line_with_its_ids_its_measures_and_no_more_and_a_problem_bears_its_id() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let producer = deployment.token(&acme, Role::Producer).await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let function = start(&deployment).await;
    let post = Request::new("POST", "/events").token(&producer).json(&json!([event("a"), event("b")]));
    let _ = call(&function, &post).await.expect(201);
    let _ = call(&function, &Request::new("GET", "/audit?pageSize=3").token(&auditor)).await.expect(200);
    let mut refused = Request::new("GET", "/audit/AAAAAAAAAAAAAAAAAAAAAA").token(&auditor).event();
    refused["requestContext"]["requestId"] = "another-id".into();
    let problem = Answer::of(&function.invoke(&refused).await.unwrap()).expect(404);
    assert_eq!(problem["requestId"], "another-id");

    let lines = function.stop().lines();
    let [posted, read, refused] = &lines[..] else { panic!("a line a request: {lines:?}") };
    assert_eq!((&posted["organisation"], &posted["route"]), (&json!("acme"), &json!("/events")));
    assert_eq!((&posted["request_id"], &refused["request_id"]), (&json!(REQUEST_ID), &json!("another-id")));
    assert_eq!(posted["lambda_request_id"], "00000000-0000-4000-8000-000000000001");
    assert_eq!(refused["code"], "not_found");
    let told = |line: &Value| {
        ["Requests", "StatusClass", "ColdStarts", "EventsRecorded", "AppendRetries", "PagesRead", "EventsRead"]
            .map(|name| line[name].to_string())
            .join(" ")
    };
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            r#"1 "2xx" 1 2 0 null null"#,
            r#"1 "2xx" null 1 0 1 3"#, // reading is recorded, too
            r#"1 "4xx" null null null null null"#,
        ]
    );
    assert!(posted["BytesRecorded"].as_u64() > Some(100));
    let names = |line: &Value| -> Vec<(String, String)> {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let of_one = |directive: &Value| {
            let dimensions = directive["Dimensions"].to_string();
            let metrics = directive["Metrics"].as_array().unwrap().clone();
            metrics.into_iter().map(move |metric| (metric["Name"].as_str().unwrap().to_owned(), dimensions.clone()))
        };
        directives.iter().flat_map(of_one).collect()
    };
    let (function, by_class) = (r#"[["FunctionName"]]"#, r#"[["FunctionName","StatusClass"]]"#);
    let pairs = |names: &[(&str, &str)]| -> Vec<(String, String)> {
        names.iter().map(|(name, dimensions)| ((*name).to_owned(), (*dimensions).to_owned())).collect()
    };
    assert_eq!(names(refused), pairs(&[("Requests", by_class)]));
    assert_eq!(
        names(read),
        pairs(&[
            ("AppendRetries", function),
            ("BytesRecorded", function),
            ("EventsRead", function),
            ("EventsRecorded", function),
            ("PagesRead", function),
            ("RateLimited", function),
            ("Requests", by_class),
        ])
    );
}

#[tokio::test]
async fn rates_are_those_of_the_environment() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let mut environment = deployment.environment(FunctionRole::Api);
    environment.push(("ORGANISATION_RATE".to_owned(), "1/2".to_owned()));
    let function = Function::start(BINARY, environment.clone()).await;
    let mut answers = Vec::new();
    while answers.len() < 100 && answers.last().is_none_or(|answer: &Answer| answer.status == 200) {
        answers.push(call(&function, &Request::new("GET", "/audit/tail").token(&auditor)).await);
    }
    let refused = answers.pop().unwrap();
    assert_eq!(refused.expect(429)["code"], "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(answers.len() >= 2, "two at once");
    let tail = deployment.api().log.tail(&acme.id).await.unwrap().last;
    assert_eq!(tail, 2 + answers.len() as u64, "behind organisation and token, the reads that were answered");

    for (name, value) in [("ORGANISATION_RATE", "fast"), ("PLATFORM_RATE", "0/1"), ("FAILED_AUTHENTICATION_RATE", "1")]
    {
        let environment = environment.iter().filter(|(other, _)| other != name).cloned();
        let environment: Vec<_> = environment.chain([(name.to_owned(), value.to_owned())]).collect();
        let function = Function::start(BINARY, environment).await;
        function.invoke(&Request::new("GET", "/health").event()).await.unwrap_err();
        assert!(function.stop().stdout.contains(name), "{name}");
    }
}

#[tokio::test]
async fn invented_tokens_are_counted_by_the_address_that_api_gateway_tells() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let revoked = deployment.token(&acme, Role::Auditor).await;
    let id = revoked.split('_').nth(1).unwrap().parse().unwrap();
    deployment.api().administration.revoke_token(&acme, &id, &platform()).await.unwrap();
    let mut environment = deployment.environment(FunctionRole::Api);
    environment.push(("FAILED_AUTHENTICATION_RATE".to_owned(), "1/1".to_owned()));
    let function = Function::start(BINARY, environment).await;
    let request = |number: usize| {
        let address = format!("10.0.0.{number}");
        Request::new("GET", "/audit/tail").token(&revoked).header("x-forwarded-for", &address)
    };
    let mut statuses = Vec::new();
    while statuses.len() < 100 && statuses.last() != Some(&429) {
        statuses.push(call(&function, &request(statuses.len())).await.status);
    }
    assert_eq!((statuses[0], statuses.last()), (401, Some(&429)), "{statuses:?}");
    let mut event = Request::new("GET", "/audit/tail").token(&auditor).event();
    event["requestContext"]["http"]["sourceIp"] = "198.51.100.1".into();
    let elsewhere = Answer::of(&function.invoke(&event).await.unwrap());
    assert_eq!(elsewhere.status, 200, "another address has a rate of its own");
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named_when_the_function_starts() {
    let deployment = Deployment::start().await;
    for missing in ["LOG_TABLE", "REGISTRY_TABLE", "PLATFORM_TOKEN_SHA256", "SERVICE_ACCOUNT_ID"] {
        let environment = deployment.environment(FunctionRole::Api);
        let environment: Vec<_> = environment.into_iter().filter(|(name, _)| name != missing).collect();
        let function = Function::start(BINARY, environment).await;
        let error = function.invoke(&Request::new("GET", "/health").event()).await.unwrap_err();
        assert_eq!(error["errorType"], "Runtime.ExitError");
        let logs = function.stop();
        let line: Value = serde_json::from_str(logs.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("cannot start")));
        assert!(line["error"].as_str().unwrap().contains(missing), "{line}");
    }
}

#[tokio::test]
async fn links_lead_to_the_stage_at_which_the_caller_came_in() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let function = Function::start(BINARY, deployment.environment(FunctionRole::Api)).await;
    for path in ["/audit", "/organisations/acme/audit"] {
        let request = Request::new("GET", &format!("{path}?pageSize=1")).token(&auditor).stage("prod");
        let page = call(&function, &request).await.expect(200);
        for link in ["self", "next", "resume"] {
            let href = page["_links"][link]["href"].as_str().unwrap();
            assert!(href.starts_with(&format!("https://{HOST}/prod{path}?")), "{link}: {href}");
        }
    }
}

#[tokio::test]
async fn an_export_of_100_000_events_takes_no_more_memory_than_one_of_few() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let events = Value::from(vec![event("m-1"); 1000]);
    for _ in 0..100 {
        deployment.record(&acme, &events).await;
    }
    let function = Function::start(BINARY, deployment.environment(FunctionRole::Api)).await;
    let (mut target, mut lines, mut early) = ("/audit?pageSize=1000".to_owned(), 0, None);
    loop {
        let request = Request::new("GET", &target).token(&auditor).header("accept", "application/x-ndjson");
        let answer = call(&function, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        lines += answer.body.lines().count();
        if lines > 10_000 {
            early.get_or_insert_with(|| function.peak_memory_bytes());
        }
        let next = answer.headers["link"].split(", ").find(|link| link.ends_with("rel=\"next\""));
        let Some(next) = next else { break };
        let href = next.trim_start_matches('<').split('>').next().unwrap();
        target = href.strip_prefix(&format!("https://{HOST}")).unwrap().to_owned();
    }
    assert_eq!(lines, 100_002, "organisation and token before them");
    let (early, late) = (early.unwrap(), function.peak_memory_bytes());
    assert!(late < early + (4 << 20), "{early} bytes after a tenth, {late} at the end");
}

#[tokio::test]
async fn a_dynamodb_that_does_not_answer_does_not_keep_the_function_from_starting() {
    let deployment = Deployment::start().await;
    // Accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut environment = deployment.environment(FunctionRole::Api);
    let endpoint = environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL_DYNAMODB").unwrap();
    endpoint.1 = format!("http://{}", silent.local_addr().unwrap());
    let function = Function::start(BINARY, environment).await;
    assert_eq!(call(&function, &Request::new("GET", "/health")).await.status, 200);
    let logs = function.stop();
    let warnings: Vec<Value> = logs.lines().into_iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "said once: {warnings:?}");
    assert_eq!(warnings[0]["message"], "not warmed");
}
