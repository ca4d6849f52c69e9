//! The environment of a deployed function: the two tables, the queue, an identity, and the variables that name them. It
//! is set up in the embedded cloud as by `template.yaml` on AWS.

use std::{path::Path, sync::Arc, time::Duration};

use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    system::{SystemClock, SystemEntropy},
};
use annals_cloud::{Cloud, CloudOptions, QueueOptions, Redrive};
use annals_core::{
    administration::{Actor, DestinationInput, Put},
    caller::Caller,
    destination::{Destination, RolesWithoutExternalId, connection_test::TEST_OBJECT_NAME},
    event::{Context, Layout, parse},
    log::{segment::Tail, store::LogStore as _, tail::Anchor},
    organisation::{Organisation, OrganisationId, OrganisationInput},
    portal::{PortalLinkInput, User},
    recorded_by::RecordedBy,
    service::ServiceSettings,
    time::Clock,
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use annals_local::system::{System, SystemOptions};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::{customer::Customer, lines::sha256, sample};

pub const PLATFORM_TOKEN: &str = "annals_platform_of_a_test_0123456789";

/// A deployment in the embedded cloud.
#[derive(Debug)]
pub struct Deployment {
    cloud: Cloud,
    api: Services,
    store: Arc<DynamoStore>,
    tables: Tables,
    queue_url: String,
}

/// A function, which may do what its role in `template.yaml` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionRole {
    /// Uses only DynamoDB.
    Api,
    /// Uses only DynamoDB.
    Console,
    /// Assumes customers' roles.
    TestConnection,
    /// Assumes customers' roles and uses the queue.
    Shipper,
}

impl Deployment {
    /// Starts the cloud in memory with the tables and the queue.
    pub async fn start() -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = cloud.iam().create_user(cloud.account(), "deployer", everything).unwrap();
        let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&key));
        let tables = Tables { log: "annals-LogTable-1".into(), registry: "annals-RegistryTable-1".into() };
        create_tables(&client, &tables).await.unwrap();
        cloud.create_queue("annals-ShipDeadLetterQueue-1", QueueOptions::default()).unwrap();
        let redrive = Redrive { dead_letter_queue: "annals-ShipDeadLetterQueue-1".into(), max_receive_count: 5 };
        let options = QueueOptions { redrive: Some(redrive), ..QueueOptions::default() };
        let queue_url = cloud.create_queue("annals-ShipQueue-1", options).unwrap();
        let store = Arc::new(DynamoStore::new(client, tables.clone()));
        let platform = TokenHash::of(PLATFORM_TOKEN);
        let service = ServiceSettings::of(cloud.account().parse().unwrap());
        let api = Services::new(Arc::clone(&store), Arc::new(SystemClock), Arc::new(SystemEntropy), platform, service);
        Self { cloud, api, store, tables, queue_url }
    }

    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The use cases on the same tables.
    #[must_use]
    pub fn api(&self) -> &Services {
        &self.api
    }

    /// The use cases on the same tables for a process that runs at another time, such as last week.
    #[must_use]
    pub fn api_at(&self, clock: Arc<dyn Clock>) -> Services {
        let store = DynamoStore::clone(&self.store).in_simulated_time();
        let platform = TokenHash::of(PLATFORM_TOKEN);
        Services::new(Arc::new(store), clock, Arc::new(SystemEntropy), platform, self.api.service.clone())
    }

    /// The anchor of an organisation's log.
    pub async fn anchor(&self, organisation: &OrganisationId) -> Option<Anchor> {
        self.store.anchor(organisation).await.unwrap()
    }

    /// The variables of a function, without those that Lambda sets itself.
    #[must_use]
    pub fn environment(&self, role: FunctionRole) -> Vec<(String, String)> {
        let tables = json!({"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"});
        let assume = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/*"});
        let queue = ["sqs:SendMessage", "sqs:GetQueueAttributes"];
        let queue = json!({"Effect": "Allow", "Action": queue, "Resource": "*"});
        let (user, statements) = match role {
            FunctionRole::Api => ("api", vec![tables]),
            FunctionRole::Console => ("console", vec![tables]),
            FunctionRole::TestConnection => ("test-connection", vec![tables, assume]),
            FunctionRole::Shipper => ("shipper", vec![tables, assume, queue]),
        };
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let key = self.cloud.iam().create_user(self.cloud.account(), user, policy).unwrap();
        let endpoints = self.cloud.endpoints();
        let platform = sha256(PLATFORM_TOKEN.as_bytes());
        let mut environment = vec![
            ("AWS_ACCESS_KEY_ID", key.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", &key.secret),
            ("AWS_ENDPOINT_URL_DYNAMODB", &endpoints.dynamodb),
            ("AWS_ENDPOINT_URL_S3", &endpoints.s3),
            ("AWS_ENDPOINT_URL_STS", &endpoints.sts),
            ("AWS_ENDPOINT_URL_SQS", &endpoints.sqs),
            ("LOG_TABLE", &self.tables.log),
            ("REGISTRY_TABLE", &self.tables.registry),
            ("RUST_LOG", "info"),
        ];
        match role {
            FunctionRole::Api | FunctionRole::Console => {
                environment.push(("PLATFORM_TOKEN_SHA256", &platform));
                environment.push(("SERVICE_ACCOUNT_ID", self.cloud.account()));
                environment.push(("CUSTOMER_TEMPLATE_URL", ""));
            }
            FunctionRole::TestConnection => {
                environment.push(("PLATFORM_TOKEN_SHA256", &platform));
                environment.push(("SERVICE_ACCOUNT_ID", self.cloud.account()));
                environment.push(("TEST_OBJECT_NAME", "test-wiremock-cloud-integration.txt"));
            }
            FunctionRole::Shipper => {
                environment.push(("SHIP_QUEUE_URL", &self.queue_url));
                environment.push(("TEST_OBJECT_NAME", "test-wiremock-cloud-integration.txt"));
            }
        }
        environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Creates an organisation on the enterprise plan.
    pub async fn organisation(&self, id: &str) -> Organisation {
        let input = json!({"name": format!("The {id} company"), "plan": "enterprise"}).to_string();
        let input = OrganisationInput::parse(input.as_bytes()).unwrap();
        let put = self.api.administration.put_organisation(&id.parse().unwrap(), input, &platform()).await;
        let (Put::Created(organisation) | Put::Updated(organisation)) = put.unwrap();
        organisation
    }

    /// Creates a token and returns its text.
    pub async fn token(&self, organisation: &Organisation, role: Role) -> String {
        let input = TokenInput { name: format!("A test's {}", role.as_str()), role, expires_at: None };
        let (_, text) = self.api.administration.create_token(organisation, input, &platform()).await.unwrap();
        text.reveal().to_owned()
    }

    /// Creates a portal link and returns its token.
    pub async fn portal_link(&self, organisation: &Organisation, role: Role) -> String {
        let input = PortalLinkInput { role, user: User::unnamed(role), path: None, return_url: None };
        let link = self.api.administration.create_portal_link(organisation, input, &platform()).await;
        link.unwrap().1.reveal().to_owned()
    }

    /// Opens a session on an organisation's page and returns its token.
    pub async fn session(&self, organisation: &Organisation, role: Role) -> String {
        let link = self.portal_link(organisation, role).await;
        let session = self.api.administration.open_portal_link(&link, Context::default()).await;
        session.unwrap().1.reveal().to_owned()
    }

    /// Creates a destination at a customer's bucket.
    pub async fn destination(&self, organisation: &Organisation, customer: &Customer) -> Destination {
        self.destination_with(organisation, customer, &json!({})).await
    }

    /// Creates a destination at a customer's bucket with these settings.
    pub async fn destination_with(
        &self,
        organisation: &Organisation,
        customer: &Customer,
        settings: &Value,
    ) -> Destination {
        let mut input = settings.clone();
        input["bucket"] = customer.bucket.as_str().into();
        input["roleArn"] = customer.role_arn.as_str().into();
        let input = input.to_string();
        let input = DestinationInput::parse(input.as_bytes(), &sample::service()).unwrap();
        self.api.administration.create_destination(organisation, input, &platform()).await.unwrap()
    }

    /// Records events as a producer does.
    pub async fn record(&self, organisation: &Organisation, events: &Value) {
        let bodies = parse(events.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap();
        self.api.log.append(organisation, bodies, None).await.unwrap();
    }

    /// Moves the newest segment of a log a hundred days into the past. Only the anchor makes sure that nothing came after it.
    /// The moved events cannot be read any more, because their hash does not match.
    pub async fn age_log(&self, organisation: &OrganisationId) {
        let newest = self.store.newest(organisation).await.unwrap().tail().unwrap();
        let tail = Tail { recorded_at: newest.recorded_at.minus(Duration::from_secs(100 * 24 * 3600)), ..newest };
        let anchor = Anchor { tail, checked: Some(SystemClock.now()) };
        assert!(self.store.advance_anchor(organisation, &anchor).await.unwrap());
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]});
        let key = self.cloud.iam().create_user(self.cloud.account(), "ager", everything).unwrap();
        let update = aws_sdk_dynamodb::Client::new(&self.cloud.sdk_config(&key)).update_item();
        update
            .table_name(&self.tables.log)
            .key("org", AttributeValue::S(organisation.to_string()))
            .key("seq", AttributeValue::N(tail.segment.to_string()))
            .update_expression("SET t = :t")
            .expression_attribute_values(":t", AttributeValue::N(tail.recorded_at.as_millis().to_string()))
            .send()
            .await
            .unwrap();
    }

    /// Copies both tables, as point-in-time recovery does.
    pub async fn copy_tables(&self) -> Tables {
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]});
        let key = self.cloud.iam().create_user(self.cloud.account(), "restorer", everything).unwrap();
        let client = aws_sdk_dynamodb::Client::new(&self.cloud.sdk_config(&key));
        let copy = Tables { log: "annals-log-restored".into(), registry: "annals-registry-restored".into() };
        create_tables(&client, &copy).await.unwrap();
        for (from, to) in [(&self.tables.log, &copy.log), (&self.tables.registry, &copy.registry)] {
            let mut pages = client.scan().table_name(from).into_paginator().send();
            while let Some(page) = pages.next().await {
                for item in page.unwrap().items.unwrap_or_default() {
                    client.put_item().table_name(to).set_item(Some(item)).send().await.unwrap();
                }
            }
        }
        copy
    }

    /// The same deployment on other tables.
    #[must_use]
    pub fn with_tables(self, tables: Tables) -> Self {
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let key = self.cloud.iam().create_user(self.cloud.account(), "deployer", everything).unwrap();
        let client = aws_sdk_dynamodb::Client::new(&self.cloud.sdk_config(&key));
        let store = Arc::new(DynamoStore::new(client, tables.clone()));
        let platform = TokenHash::of(PLATFORM_TOKEN);
        let service = ServiceSettings::of(self.cloud.account().parse().unwrap());
        let api = Services::new(Arc::clone(&store), Arc::new(SystemClock), Arc::new(SystemEntropy), platform, service);
        Self { api, store, tables, ..self }
    }

    /// Receives all messages of the ship queue and returns their bodies.
    pub async fn messages(&self) -> Vec<Value> {
        let everything = json!({"Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]});
        let key = self.cloud.iam().create_user(self.cloud.account(), "poller", everything).unwrap();
        let sqs = aws_sdk_sqs::Client::new(&self.cloud.sdk_config(&key));
        let mut bodies = Vec::new();
        loop {
            let request = sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(10);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()));
        }
    }
}

/// The system that `cargo run` starts, on a free port and with [`PLATFORM_TOKEN`], in memory or in a data directory.
/// The schedule's period is an hour: tests request ticks.
pub async fn start_system(data_dir: Option<&Path>) -> System {
    start_system_with(data_dir, RolesWithoutExternalId::default()).await
}

/// The same, with the rule of a deployment for roles that accept any external id.
pub async fn start_system_with(data_dir: Option<&Path>, roles_without_external_id: RolesWithoutExternalId) -> System {
    let options = SystemOptions {
        port: 0,
        data_dir: data_dir.map(Path::to_owned),
        tick: Duration::from_secs(3600),
        platform: TokenHash::of(PLATFORM_TOKEN),
        embedding: Default::default(),
        roles_without_external_id,
        brand: Default::default(),
        return_origins: Default::default(),
        test_object_name: TEST_OBJECT_NAME.to_owned(),
    };
    System::start(options).await.unwrap()
}

#[must_use]
pub fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}
