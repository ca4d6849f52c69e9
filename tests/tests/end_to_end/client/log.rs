//! The whole system with one organisation, and the content of its log.

use std::time::Duration;

use annals_core::{
    administration::{Actor, Put},
    caller::Caller,
    destination::connection_test::TEST_OBJECT_NAME,
    event::Context,
    log::{read::ReadLimit, store::Order},
    organisation::{Organisation, OrganisationInput},
    token::{Role, TokenHash, TokenInput},
};
use annals_local::system::{System, SystemOptions};
use serde_json::Value;

pub(crate) const PLATFORM_TOKEN: &str = "annals_platform_of_a_test_0123456789";

/// The running system with one organisation.
pub(crate) struct Fixture {
    system: System,
    organisation: Organisation,
}

/// The events in the log that producers recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The ids of their entities, in order.
    pub(crate) labels: Vec<String>,
    pub(crate) ids: Vec<String>,
    /// The number of events in each segment.
    pub(crate) segments: Vec<usize>,
}

impl Fixture {
    /// Starts a system that keeps everything in memory. Its schedule does not run.
    pub(crate) async fn start() -> Self {
        let tick = Duration::from_secs(3600);
        let options = SystemOptions {
            port: 0,
            data_dir: None,
            tick,
            platform: TokenHash::of(PLATFORM_TOKEN),
            embedding: Default::default(),
            roles_without_external_id: Default::default(),
            brand: Default::default(),
            return_origins: Default::default(),
            test_object_name: TEST_OBJECT_NAME.to_owned(),
        };
        let system = System::start(options).await.unwrap();
        let input = OrganisationInput::parse(br#"{"name": "Acme", "plan": "enterprise"}"#).unwrap();
        let administration = &system.api().administration;
        let put = administration.put_organisation(&"acme".parse().unwrap(), input, &platform()).await.unwrap();
        let (Put::Created(organisation) | Put::Updated(organisation)) = put;
        Self { system, organisation }
    }

    pub(crate) fn url(&self) -> String {
        self.system.url()
    }

    pub(crate) fn organisation(&self) -> &str {
        self.organisation.id.as_str()
    }

    pub(crate) async fn producer_token(&self) -> String {
        self.token(Role::Producer).await
    }

    pub(crate) async fn auditor_token(&self) -> String {
        self.token(Role::Auditor).await
    }

    async fn token(&self, role: Role) -> String {
        let input = TokenInput { name: "A test's".into(), role, expires_at: None };
        let administration = &self.system.api().administration;
        let (_, text) = administration.create_token(&self.organisation, input, &platform()).await.unwrap();
        text.reveal().to_owned()
    }

    /// Returns the last sequence.
    pub(crate) async fn tail(&self) -> u64 {
        self.system.api().log.tail(&self.organisation.id).await.unwrap().last
    }

    /// Returns the events of producers: all lines except Annals' own.
    pub(crate) async fn log(&self) -> Recorded {
        let limit = ReadLimit { events: 1_000_000, bytes: usize::MAX };
        let sequences = 1..=self.tail().await;
        let log = &self.system.api().log;
        let run = log.read(&self.organisation.id, sequences, None, Order::Ascending, limit).await.unwrap();
        let lines = run.lines.iter().map(|line| serde_json::from_str(&line.text).unwrap());
        let lines: Vec<Value> = lines.filter(|line: &Value| line["entity"]["entityType"] == "MOCK_API").collect();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        // The segments have different times.
        let segments = lines.chunk_by(|a, b| a["timestamp"] == b["timestamp"]).map(<[Value]>::len).collect();
        Recorded {
            labels: lines.iter().map(|line| text(&line["entity"]["id"])).collect(),
            ids: lines.iter().map(|line| text(&line["eventId"])).collect(),
            segments,
        }
    }

    pub(crate) async fn end(self) {
        self.system.stop().await;
    }
}

fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}
