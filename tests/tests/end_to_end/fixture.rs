//! The running system and its callers.

use std::{path::Path, sync::Arc, time::Duration};

use annals_aws::system::SystemEntropy;
use annals_core::{
    destination::RolesWithoutExternalId,
    log::{read::ReadLimit, segment::Tail, store::Order},
    organisation::OrganisationId,
    time::{Clock, Timestamp},
    token::TokenHash,
};
use annals_http::Services;
use annals_local::system::System;
pub(crate) use annals_tests::caller::{Answer, Caller};
use annals_tests::{
    caller::Address,
    customer::{Customer, name},
    deployment::{PLATFORM_TOKEN, start_system, start_system_with},
    lines::Chain,
};
use http::Method;
use serde_json::{Value, json};

/// The period of the first delivery.
pub(crate) const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) struct Fixture {
    pub(crate) system: System,
    address: Address,
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

impl Fixture {
    /// A system that keeps everything in memory.
    pub(crate) async fn start() -> Self {
        Self::start_in(None).await
    }

    /// A system with a data directory. The schedule's period is an hour: tests request ticks.
    pub(crate) async fn start_in(data_dir: Option<&Path>) -> Self {
        Self::of(start_system(data_dir).await)
    }

    /// A system that keeps everything in memory, with the rule of a deployment for roles that accept any external id.
    pub(crate) async fn with_rule(rule: RolesWithoutExternalId) -> Self {
        Self::of(start_system_with(None, rule).await)
    }

    fn of(system: System) -> Self {
        let address = Address::new(&system.url());
        Self { system, address }
    }

    pub(crate) fn with<'a>(&'a self, token: &'a str) -> Caller<'a> {
        self.address.with(token)
    }

    pub(crate) fn nobody(&self) -> Caller<'_> {
        self.address.nobody()
    }

    pub(crate) fn platform(&self) -> Caller<'_> {
        self.with(PLATFORM_TOKEN)
    }

    /// Creates an organisation on the enterprise plan.
    pub(crate) async fn organisation(&self) -> Org {
        self.organisation_on("enterprise").await
    }

    /// Creates an organisation with a token of each role.
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

    /// Creates a token and returns its text.
    pub(crate) async fn token(&self, organisation: &str, role: &str) -> String {
        let input = json!({"name": format!("A test's {role}"), "role": role});
        let created = self.platform().post(&format!("/organisations/{organisation}/tokens"), &input).await;
        text(&created.expect(201)["token"])
    }

    /// Signs somebody in to the organisation's page and returns the session's id.
    pub(crate) async fn session(&self, organisation: &Org) -> String {
        let path = format!("/organisations/{}", organisation.id);
        let link = self.platform().post(&format!("{path}/portal-links"), &json!({"role": "auditor"})).await.expect(201);
        let entered = self.nobody().send(Method::POST, &text(&link["url"]), &[], None).await;
        assert_eq!(entered.status, 303, "{}", entered.body);
        let listed = self.platform().get(&format!("{path}/sessions")).await.expect(200);
        text(&listed["sessions"][0]["id"])
    }

    /// A customer whose role requires the organisation's external ID.
    pub(crate) fn customer(&self, organisation: &Org) -> Customer {
        Customer::create(self.system.cloud(), Some(&organisation.external_id))
    }

    /// Creates a destination at the customer's bucket and returns its ID.
    pub(crate) async fn destination(&self, organisation: &Org, customer: &Customer) -> String {
        let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn});
        let path = format!("/organisations/{}/destinations", organisation.id);
        text(&self.with(&organisation.admin).post(&path, &input).await.expect(201)["id"])
    }

    /// Plans and ships now. Returns the report.
    pub(crate) async fn tick(&self) -> Value {
        self.nobody().post("/_local/tick", &json!({})).await.expect(200)
    }

    /// The delivered lines, checked.
    pub(crate) async fn delivered(&self, customer: &Customer) -> Chain {
        Chain::of(&customer.objects(self.system.cloud()).await)
    }

    /// The end of an organisation's log. Unlike a call of the API, this leaves no event.
    pub(crate) async fn tail(&self, organisation: &str) -> Tail {
        self.system.api().log.tail(&organisation.parse().unwrap()).await.unwrap()
    }

    /// The lines of an organisation's log after `sequence`. Unlike a call of the API, this leaves no event.
    pub(crate) async fn lines_behind(&self, organisation: &str, sequence: u64) -> Vec<Value> {
        let id: OrganisationId = organisation.parse().unwrap();
        let tail = self.tail(organisation).await.last;
        let limit = ReadLimit { events: 1_000_000, bytes: usize::MAX };
        let log = &self.system.api().log;
        let run = log.read(&id, sequence + 1..=tail, None, Order::Ascending, limit).await.unwrap();
        run.lines.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect()
    }

    /// The types of the events after `sequence`.
    pub(crate) async fn types_behind(&self, organisation: &str, sequence: u64) -> Vec<String> {
        self.lines_behind(organisation, sequence).await.iter().map(|line| text(&line["type"])).collect()
    }

    /// The use cases with another clock on the same store.
    pub(crate) fn at(&self, clock: Arc<dyn Clock>) -> Services {
        let store = annals_aws::dynamodb::DynamoStore::clone(self.system.store()).in_simulated_time();
        Services::new(
            Arc::new(store),
            clock,
            Arc::new(SystemEntropy),
            TokenHash::of(PLATFORM_TOKEN),
            self.system.api().service.clone(),
        )
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

/// The label of an event from [`event`], or `None` for an event of Annals itself.
pub(crate) fn label(event: &Value) -> Option<&str> {
    (event["entity"]["entityType"] == "MOCK_API").then(|| event["entity"]["id"].as_str().unwrap())
}

/// The labels of the events on a page that are from [`event`].
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
