//! The binary of the console function, invoked as by API Gateway and Lambda.

use annals_core::token::Role;
use annals_http::console::session::form_token;
use annals_tests::{
    deployment::{Deployment, FunctionRole, PLATFORM_TOKEN},
    gateway::{Answer, Encoding, REQUEST_ID, Request, SOURCE_IP},
    runtime_api::Function,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_console-under-test");
const FORM: &str = "application/x-www-form-urlencoded";

async fn start(deployment: &Deployment) -> Function {
    Function::start(BINARY, deployment.environment(FunctionRole::Console)).await
}

async fn call(function: &Function, request: &Request) -> Answer {
    Answer::of(&function.invoke(&request.event()).await.unwrap())
}

#[tokio::test]
async fn a_session_reads_pages_and_sends_forms_behind_a_stage() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let function = start(&deployment).await;
    let link = deployment.portal_link(&acme, Role::Admin).await;
    let enter = Request::new("POST", &format!("/console/enter/{link}")).stage("prod");
    let answer = call(&function, &enter).await;
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/prod/console/destinations"));
    let cookie = answer.headers["set-cookie"].split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-annals="), "{cookie}");
    assert_eq!(call(&function, &enter).await.status, 410);

    let page = Request::new("GET", "/console/tokens").stage("prod").header("cookie", &format!("other=1; {cookie}"));
    let answer = call(&function, &page).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("href=\"/prod/console/events\""), "links contain the stage");

    let token = form_token(cookie.split_once('=').unwrap().1);
    assert!(answer.body.contains(&token));
    let leave = |body: String| {
        // API Gateway encodes forms in Base64.
        let request = Request::new("POST", "/console/leave").header("cookie", &cookie);
        request.body(FORM, body, Encoding::Base64)
    };
    assert_eq!(call(&function, &leave("formToken=x".to_owned())).await.status, 403);
    assert_eq!(call(&function, &leave(format!("formToken={token}"))).await.status, 200);
    assert_eq!(call(&function, &page).await.status, 401);

    let logs = function.stop();
    logs.assert_without(&[&link, &token, cookie.split_once('=').unwrap().1, PLATFORM_TOKEN]);
    let lines = logs.lines();
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "answered").collect();
    assert_eq!(answered.len(), 6, "{lines:?}");
    assert_eq!((&answered[0]["route"], &answered[0]["status"]), (&json!("/console/enter/{link}"), &json!(303)));
    assert_eq!((&answered[1]["code"], &answered[1]["requestId"]), (&json!("link_used"), &json!(null)));
    assert_eq!((&answered[2]["organisation"], &answered[2]["Requests"]), (&json!("acme"), &json!(1)));
    let session = answered[0]["caller"].as_str().unwrap();
    assert!(session.strip_prefix("session/").is_some_and(|id| id.len() == 12), "{session}");
    let callers: Vec<&Value> = answered.iter().map(|line| &line["caller"]).collect();
    let [none, session] = [Value::Null, json!(session)];
    assert_eq!(
        callers,
        [&session, &none, &session, &session, &session, &none],
        "the link was used, the session has ended"
    );
    assert!(answered.iter().all(|line| line["ip_address"] == SOURCE_IP), "{answered:?}");
}

#[tokio::test]
async fn a_refusal_shows_the_request_id_of_the_log_line() {
    let deployment = Deployment::start().await;
    let function = start(&deployment).await;
    let answer = call(&function, &Request::new("GET", "/console/events")).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (401, "text/html; charset=utf-8"));
    assert!(answer.body.contains(REQUEST_ID) && answer.body.contains("You are not signed in"), "{}", answer.body);
    let policy = &answer.headers["content-security-policy"];
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn the_environment_allows_origins_to_embed_the_console() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let mut environment = deployment.environment(FunctionRole::Console);
    environment.push(("CONSOLE_ORIGINS".to_owned(), "https://app.example.com".to_owned()));
    let function = Function::start(BINARY, environment).await;
    let link = deployment.portal_link(&acme, Role::Auditor).await;
    let answer = call(&function, &Request::new("POST", &format!("/console/enter/{link}"))).await;
    assert!(answer.headers["set-cookie"].ends_with("; Secure; SameSite=None; Partitioned"));
    assert!(answer.headers["content-security-policy"].ends_with("frame-ancestors https://app.example.com"));
}
