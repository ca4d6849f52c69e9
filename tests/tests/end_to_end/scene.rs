//! The running system, and those who call it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use annals_api::Api;
use annals_aws::system::SystemEntropy;
use annals_core::{
    log::{read::ReadLimit, segment::Tail, store::Order},
    organisation::OrganisationId,
    time::{Clock, Timestamp},
    token::TokenHash,
};
use annals_local::system::{System, SystemOptions};
use annals_tests::{
    customer::{Customer, name},
    deployment::PLATFORM_TOKEN,
    lines::Chain,
};
use reqwest::Method;
use serde_json::{Value, json};

/// How far back the first delivery reaches.
pub(crate) const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The running system.
pub(crate) struct Scene {
    pub(crate) system: System,
    http: reqwest::Client,
}

/// Somebody who calls the API, with a token or without.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    scene: &'a Scene,
    token: Option<&'a str>,
}

/// An organisation, with a token of each role.
#[derive(Debug, Clone)]
pub(crate) struct Org {
    pub(crate) id: String,
    pub(crate) external_id: String,
    pub(crate) producer: String,
    pub(crate) auditor: String,
    pub(crate) admin: String,
}

/// What the API answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Scene {
    /// A system that keeps everything in memory.
    pub(crate) async fn set() -> Self {
        Self::start(None).await
    }

    /// A system on a data directory. Its own schedule rests for an hour: ticks are asked for.
    pub(crate) async fn start(data_dir: Option<&Path>) -> Self {
        let options = SystemOptions {
            port: 0,
            data_dir: data_dir.map(Path::to_owned),
            tick: Duration::from_secs(3600),
            platform: TokenHash::of(PLATFORM_TOKEN),
        };
        let system = System::start(options).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { system, http }
    }

    /// Who has this token.
    pub(crate) fn with<'a>(&'a self, token: &'a str) -> Caller<'a> {
        Caller { scene: self, token: Some(token) }
    }

    /// Who has none.
    pub(crate) fn nobody(&self) -> Caller<'_> {
        Caller { scene: self, token: None }
    }

    /// The platform.
    pub(crate) fn platform(&self) -> Caller<'_> {
        self.with(PLATFORM_TOKEN)
    }

    /// Creates an organisation on the enterprise plan.
    pub(crate) async fn organisation(&self) -> Org {
        self.organisation_on("enterprise").await
    }

    /// Creates an organisation, by the API, with a token of each role.
    pub(crate) async fn organisation_on(&self, plan: &str) -> Org {
        let id = name("org");
        let input = json!({"name": "Acme", "plan": plan});
        let created = self.platform().put(&format!("/organisations/{id}"), &input).await.expect(201);
        let [producer, auditor, admin] = ["producer", "auditor", "admin"].map(|role| self.token(&id, role));
        Org {
            external_id: text(&created["externalId"]),
            producer: producer.await,
            auditor: auditor.await,
            admin: admin.await,
            id,
        }
    }

    /// Creates a token, by the API.
    pub(crate) async fn token(&self, organisation: &str, role: &str) -> String {
        let input = json!({"name": format!("A test's {role}"), "role": role});
        let created = self.platform().post(&format!("/organisations/{organisation}/tokens"), &input).await;
        text(&created.expect(201)["token"])
    }

    /// A customer whose role asks for the organisation's external id.
    pub(crate) fn customer(&self, organisation: &Org) -> Customer {
        Customer::create(self.system.cloud(), Some(&organisation.external_id))
    }

    /// Creates a destination at the customer's bucket, by the API: its id.
    pub(crate) async fn destination(&self, organisation: &Org, customer: &Customer) -> String {
        let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
        let path = format!("/organisations/{}/destinations", organisation.id);
        text(&self.with(&organisation.admin).post(&path, &input).await.expect(201)["id"])
    }

    /// Plans and ships now: what was shipped.
    pub(crate) async fn tick(&self) -> Value {
        self.nobody().post("/_local/tick", &json!({})).await.expect(200)
    }

    /// What was delivered to the customer, checked.
    pub(crate) async fn delivered(&self, customer: &Customer) -> Chain {
        Chain::of(&customer.objects(self.system.cloud()).await)
    }

    /// The end of an organisation's log. Unlike a call of the API this leaves no event.
    pub(crate) async fn tail(&self, organisation: &str) -> Tail {
        self.system.api().log.tail(&organisation.parse().unwrap()).await.unwrap()
    }

    /// The lines of an organisation's log behind `sequence`. Unlike a call of the API this leaves no event.
    pub(crate) async fn lines_behind(&self, organisation: &str, sequence: u64) -> Vec<Value> {
        let id: OrganisationId = organisation.parse().unwrap();
        let tail = self.tail(organisation).await.last;
        let limit = ReadLimit { events: 1_000_000, bytes: usize::MAX };
        let log = &self.system.api().log;
        let run = log.read(&id, sequence + 1..=tail, None, Order::Ascending, limit).await.unwrap();
        run.lines.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect()
    }

    /// The types of the events behind `sequence`.
    pub(crate) async fn types_behind(&self, organisation: &str, sequence: u64) -> Vec<String> {
        self.lines_behind(organisation, sequence).await.iter().map(|line| text(&line["type"])).collect()
    }

    /// The use cases at another time, on the same store.
    pub(crate) fn at(&self, clock: Arc<dyn Clock>) -> Api {
        let store = Arc::clone(self.system.store());
        Api::new(
            store,
            clock,
            Arc::new(SystemEntropy),
            TokenHash::of(PLATFORM_TOKEN),
            self.system.api().service.clone(),
        )
    }
}

impl Caller<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// Any call; `path` may be absolute. A body is JSON unless a header says otherwise.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let url = if path.starts_with("http://") { path.to_owned() } else { self.scene.system.url() + path };
        let mut request = self.scene.http.request(method, url);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let header = |name: &reqwest::header::HeaderName, value: &reqwest::header::HeaderValue| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        let mut headers: BTreeMap<_, _> = answer.headers().iter().map(|(name, value)| header(name, value)).collect();
        headers.remove("date");
        Answer { status: answer.status().as_u16(), headers, body: answer.text().await.unwrap() }
    }
}

impl Answer {
    /// The body as JSON; null where there is none.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The body, where the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// The problem, where it is this one: its form is checked.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:annals:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

/// An event as a producer posts it.
pub(crate) fn event(label: &str) -> Value {
    json!({
        "action": "UPDATE",
        "entity": {"id": label, "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER", "email": "ada@example.com"},
    })
}

/// The label of an event that [`event`] made; `None` for one of Annals' own.
pub(crate) fn label(event: &Value) -> Option<&str> {
    (event["entity"]["entityType"] == "MOCK_API").then(|| event["entity"]["id"].as_str().unwrap())
}

/// The labels of the events of a page that [`event`] made.
pub(crate) fn labels(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().filter_map(label).collect()
}

pub(crate) fn sequences(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["sequence"].as_u64().unwrap()).collect()
}

pub(crate) fn link<'a>(page: &'a Value, name: &str) -> Option<&'a str> {
    page["_links"][name]["href"].as_str()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

pub(crate) fn time(value: &Value) -> Timestamp {
    Timestamp::parse(&text(value)).unwrap()
}
