//! The binary of the API function on Lambda Managed Instances, where one process takes several requests at once.

use std::collections::BTreeSet;

use annals_core::{id::EventId, organisation::Organisation, token::Role};
use annals_tests::{
    deployment::{Deployment, PLATFORM_TOKEN},
    dynamodb_proxy::Passed,
    gateway::{Answer, Request},
    sample,
    sandbox::Sandbox,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_api-under-test");
/// The default of Lambda Managed Instances for Rust, for each processor.
const POLLERS: usize = 8;

/// An environment of the function.
struct Environment(Sandbox);

impl Environment {
    async fn of_managed_instances(deployment: &Deployment) -> Self {
        Self(Sandbox::managed(BINARY, deployment, POLLERS).await)
    }

    /// Posts the event with this number, in a request with this number.
    async fn post(&self, number: usize) -> Answer {
        let request = Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN).json(&event(number));
        let mut event = request.event();
        event["requestContext"]["requestId"] = format!("request-{number}").into();
        Answer::of(&self.0.function.invoke(&event).await.unwrap())
    }

    /// Posts events at the same time: the first one is being written while the others reach the log. Returns the answers
    /// in the order of `numbers`.
    async fn post_together(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<Answer> {
        let mut numbers = numbers.into_iter();
        let first = numbers.next().unwrap();
        let rest: Vec<usize> = numbers.collect();
        self.0.dynamodb.hold();
        let others = async {
            self.0.dynamodb.until(|passed| passed.held == 1).await;
            let answers = join_all(rest.iter().map(|number| self.post(*number)));
            let release = async {
                // Every poller has taken its request, which then only has to be written.
                self.0.function.until_idle(POLLERS - 1 - rest.len()).await;
                self.0.dynamodb.release();
            };
            futures_util::future::join(answers, release).await.0
        };
        let (first, others) = futures_util::future::join(self.post(first), others).await;
        [first].into_iter().chain(others).collect()
    }
}

fn event(number: usize) -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": format!("m-{number}"), "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
        "context": {"ipAddress": "192.0.2.7", "requestId": format!("4cf6b0e{number}")},
    })
}

/// The label of the only event of an answer, as the log has it.
async fn recorded(deployment: &Deployment, organisation: &Organisation, answer: &Answer) -> String {
    let answer = answer.expect(201);
    let id = EventId::parse(answer["events"][0]["eventId"].as_str().unwrap()).unwrap();
    sample::label(&deployment.api().log.event(organisation, id).await.unwrap().text).unwrap()
}

#[tokio::test]
async fn requests_at_the_same_time_share_a_segment_and_each_gets_its_own_answer_and_line() {
    const ROUNDS: usize = 25;
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let environment = Environment::of_managed_instances(&deployment).await;
    let mut sequences = BTreeSet::new();
    for round in 0..ROUNDS {
        let numbers = (0..POLLERS).map(|number| 1 + round * POLLERS + number);
        let answers = environment.post_together(numbers.clone()).await;
        for (number, answer) in numbers.zip(&answers) {
            assert_eq!(recorded(&deployment, &acme, answer).await, format!("m-{number}"), "the answer is another's");
            sequences.insert(answer.expect(201)["events"][0]["sequence"].as_u64().unwrap());
        }
    }
    let events = ROUNDS * POLLERS;
    // Before them is the event about the organisation.
    assert_eq!(sequences, (2..2 + events as u64).collect(), "every event has a number of its own");

    let Passed { puts, write_units, .. } = environment.0.dynamodb.passed();
    let units = write_units as f64 / events as f64;
    println!("{events} events: {puts} writes, {units:.3} write units an event");
    // Two for each round, and some more if a request has to read its organisation, or comes late on a busy machine.
    assert!(puts <= 3 * ROUNDS as u64, "{puts} writes");
    assert!(units <= 0.4, "{units} write units an event");

    let lines = environment.0.function.stop().lines();
    assert_eq!(lines.len(), events, "a line for each request");
    let mut told: Vec<_> = lines
        .iter()
        .map(|line| {
            let number: usize = line["request_id"].as_str().unwrap().strip_prefix("request-").unwrap().parse().unwrap();
            let invocation = line["lambda_request_id"].as_str().unwrap().rsplit('-').next().unwrap();
            assert_eq!(invocation.parse::<usize>().unwrap(), number, "invocations are numbered in the same order");
            assert_eq!((&line["status"], &line["EventsRecorded"]), (&json!(201), &json!(1)), "{line}");
            assert_eq!(line["BytesRecorded"], json!(sample::posted(&event(number)).event().len() + 1), "{line}");
            number
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, (1..=events).collect::<Vec<_>>());
    assert_eq!(lines.iter().filter(|line| line["ColdStarts"] == 1).count(), 1);
}

#[tokio::test]
async fn a_request_that_fails_does_not_fail_those_at_the_same_time() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    let auditor = deployment.token(&acme, Role::Auditor).await;
    let environment = Environment::of_managed_instances(&deployment).await;
    environment.0.dynamodb.hold();
    let requests = async {
        environment.0.dynamodb.until(|passed| passed.held == 1).await;
        let post = Request::new("POST", "/organisations/acme/events").token(PLATFORM_TOKEN);
        let mut statuses = Vec::new();
        for (request, status) in [
            (post.clone().json(&json!({"action": 7})), 400),
            (Request::new("POST", "/events").token(&auditor).json(&event(2)), 403),
            (Request::new("POST", "/organisations/umbrella/events").token(PLATFORM_TOKEN).json(&event(3)), 404),
        ] {
            let answer = Answer::of(&environment.0.function.invoke(&request.event()).await.unwrap());
            statuses.push((answer.status, status));
        }
        environment.0.dynamodb.release();
        statuses
    };
    let (first, statuses) = futures_util::future::join(environment.post(1), requests).await;
    assert_eq!(recorded(&deployment, &acme, &first).await, "m-1");
    assert!(statuses.iter().all(|(got, expected)| got == expected), "{statuses:?}");
    let lines = environment.0.function.stop().lines();
    let told: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["EventsRecorded"].as_u64())).collect();
    assert_eq!(told, [(Some(400), None), (Some(403), None), (Some(404), None), (Some(201), Some(1))]);
}

#[tokio::test]
async fn without_managed_instances_a_process_takes_one_request_at_a_time() {
    let deployment = Deployment::start().await;
    let acme = deployment.organisation("acme").await;
    for variables in [&[][..], &[("AWS_LAMBDA_MAX_CONCURRENCY", "1")]] {
        let environment = Environment(Sandbox::start(BINARY, &deployment, variables).await);
        environment.0.function.until_idle(1).await;
        environment.0.dynamodb.hold();
        let second = async {
            environment.0.dynamodb.until(|passed| passed.held == 1).await;
            let release = async {
                environment.0.function.until_idle(0).await;
                environment.0.dynamodb.release();
            };
            futures_util::future::join(environment.post(2), release).await.0
        };
        let (first, second) = futures_util::future::join(environment.post(1), second).await;
        assert_eq!(recorded(&deployment, &acme, &first).await, "m-1");
        assert_eq!(recorded(&deployment, &acme, &second).await, "m-2");
        assert_eq!(environment.0.dynamodb.passed().puts, 2, "requests one after the other share nothing");
        let lines = environment.0.function.stop().lines();
        assert_eq!(lines.iter().map(|line| &line["request_id"]).collect::<Vec<_>>(), ["request-1", "request-2"]);
    }
}
