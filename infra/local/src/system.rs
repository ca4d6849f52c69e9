//! The functions on the embedded cloud: one HTTP address, the schedule, and the queue. The use cases and adapters are the same
//! as on Lambda.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use annals_aws::{
    dynamodb::{self, DynamoStore, Tables},
    kms::KmsSigner,
    s3::{S3ObjectSink, SinkPatience},
    sqs::SqsShipQueue,
    system::{SystemClock, SystemEntropy},
};
use annals_console::Console;
use annals_core::{
    admission::rate_limiter::RateLimits,
    brand::Brand,
    delivery::{
        plan::PlanReport,
        ship::{ShipPolicy, Shipping},
    },
    destination::{RolesWithoutExternalId, sink::ObjectSink},
    entropy,
    log::{Log, append::AppendPolicy, store::LogStore},
    portal::ReturnOrigins,
    proof::signing::{Signing, SigningKey},
    service::ServiceSettings,
    time::Clock,
    token::TokenHash,
};
use annals_http::{
    Services,
    console::{Embedding, protected},
    with_request_log,
};
use annals_shipper::{Processed, Shipped, Shipper, Work, outcome};
use annals_test_connection::TestConnectionState;
use anyhow::Context as _;
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use axum::{Router, extract::State, http::StatusCode, middleware, response::Response, routing::post};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex, OwnedMutexGuard},
    task::JoinSet,
};

use crate::front_door;
use annals_cloud::{Cloud, CloudOptions, QueueOptions, Redrive};

/// How often the queue is polled between ticks, for messages that become visible again after a failure.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often maintenance runs.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The name in the checkpoints of a local run.
const SIGNER_NAME: &str = "annals.localhost";
const SIGNING_KEY_ALIAS: &str = "alias/annals-checkpoints";

#[derive(Debug, Clone)]
pub struct SystemOptions {
    /// 0 takes any free port.
    pub port: u16,
    /// `None`: data is in memory.
    pub data_dir: Option<PathBuf>,
    /// The time between two ticks of the schedule.
    pub tick: Duration,
    /// The hash of the platform's token.
    pub platform: TokenHash,
    /// The origins that may embed the organisation's page.
    pub embedding: Embedding,
    /// What becomes of roles that accept any external id.
    pub roles_without_external_id: RolesWithoutExternalId,
    /// How it appears to customers.
    pub brand: Brand,
    /// The origins that portal links may lead back to.
    pub return_origins: ReturnOrigins,
    /// The name of the object that connection tests write.
    pub test_object_name: String,
}

/// The running system.
#[derive(Debug)]
pub struct System {
    cloud: Cloud,
    api: Services,
    store: Arc<DynamoStore>,
    tables: Tables,
    signing: Arc<Signing>,
    signing_key: SigningKey,
    triggers: Arc<Triggers>,
    shipper_config: SdkConfig,
    tester_config: SdkConfig,
    roles_without_external_id: RolesWithoutExternalId,
    test_object_name: String,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl System {
    /// Starts all parts of the system. When this returns, all of them respond.
    ///
    /// # Errors
    /// Returns an error if a port is taken or the data cannot be read.
    pub async fn start(options: SystemOptions) -> anyhow::Result<Self> {
        let cloud = Cloud::start(CloudOptions { data_dir: options.data_dir, ..CloudOptions::default() }).await?;
        let account = cloud.account().to_owned();
        let allow = |statements: Value| json!({"Version": "2012-10-17", "Statement": statements});
        let tables_use = json!({"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"});
        let assume = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"});
        let keys_use = json!({"Effect": "Allow", "Action": ["kms:Sign", "kms:GetPublicKey"], "Resource": "*"});
        let queue_use = json!({"Effect": "Allow", "Action": "sqs:*", "Resource": "*"});
        let api = cloud.iam().create_user(&account, "annals-api", allow(json!([tables_use, keys_use])))?;
        let tester = cloud.iam().create_user(&account, "annals-test-connection", allow(json!([tables_use, assume])))?;
        let shipper = cloud.iam().create_user(
            &account,
            "annals-shipper",
            allow(json!([tables_use, assume, queue_use, keys_use])),
        )?;

        let api_config = patient(cloud.sdk_config(&api));
        let shipper_config = patient(cloud.sdk_config(&shipper));
        let client = aws_sdk_dynamodb::Client::new(&api_config);
        let tables = Tables { log: "annals-log".into(), registry: "annals-registry".into() };
        dynamodb::create_tables(&client, &tables).await.context("cannot create the tables")?;
        dynamodb::enable_time_to_live(&client, &tables).await.context("cannot enable time to live")?;
        cloud.create_queue("annals-ship-dead-letters", QueueOptions::default())?;
        let redrive = Redrive { dead_letter_queue: "annals-ship-dead-letters".into(), max_receive_count: 5 };
        let queue_url =
            cloud.create_queue("annals-ship", QueueOptions { redrive: Some(redrive), ..QueueOptions::default() })?;

        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy);
        let store = Arc::new(DynamoStore::new(client, tables.clone()));
        let reference = cloud.create_key(SIGNING_KEY_ALIAS, entropy::bytes(&SystemEntropy))?;
        let key = SigningKey { name: SIGNER_NAME.parse().map_err(anyhow::Error::msg)?, reference };
        let signing =
            |config| Signing::new(key.clone(), Arc::new(KmsSigner::new(config)), store.clone(), clock.clone());
        let api_signing = Arc::new(signing(&api_config));
        let service = ServiceSettings {
            roles_without_external_id: options.roles_without_external_id,
            brand: options.brand.clone(),
            return_origins: options.return_origins,
            ..ServiceSettings::of(account.parse().map_err(anyhow::Error::msg)?)
        };
        // There is one user, so nothing needs to be limited.
        let api = Services::new(Arc::clone(&store), clock.clone(), entropy.clone(), options.platform, service)
            .with_rate_limits(RateLimits::NONE)
            .with_probes(store.probes(&(clock.clone() as Arc<dyn Clock>)))
            .with_signing(Some(Arc::clone(&api_signing)));
        let queue = aws_sdk_sqs::Client::new(&shipper_config);
        let shipper = Shipper::new(
            Arc::clone(&store),
            Arc::new(SqsShipQueue::new(queue.clone(), queue_url.clone())),
            Arc::new(S3ObjectSink::new(&shipper_config, clock.clone())),
            clock.clone(),
            entropy,
        )
        .with_signing(Some(Arc::new(signing(&shipper_config))))
        .with_roles_without_external_id(options.roles_without_external_id);
        let triggers = Arc::new(Triggers { shipper, queue, queue_url, turn: Arc::default() });
        let tester_config = cloud.sdk_config(&tester);
        let console = Console { services: api.clone(), embedding: options.embedding.with_brand(options.brand) };
        let test_connection = TestConnectionState {
            services: api.clone(),
            embedding: console.embedding.clone(),
            sink: Arc::new(S3ObjectSink::with_patience(&tester_config, clock, SinkPatience::interactive())),
            object_name: options.test_object_name.clone(),
        };

        let listener = TcpListener::bind(("127.0.0.1", options.port)).await;
        let listener = listener.with_context(|| format!("cannot listen on port {}", options.port))?;
        let address = listener.local_addr()?;
        let router = annals_api::router(api.clone())
            .merge(
                with_request_log(protected(annals_console::routes(), &console.embedding)).with_state(console.clone()),
            )
            .merge(with_request_log(annals_test_connection::routes(&console.embedding)).with_state(test_connection))
            .merge(Router::new().route("/_local/tick", post(tick)).with_state(Arc::clone(&triggers)))
            .layer(middleware::from_fn_with_state(api.clone(), front_door::lead));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "the API ended");
            }
        });
        tasks.spawn(Arc::clone(&triggers).run_schedule(options.tick));
        tasks.spawn(Arc::clone(&triggers).run_queue());
        Ok(Self {
            cloud,
            api,
            store,
            tables,
            signing: api_signing,
            signing_key: key,
            triggers,
            shipper_config,
            tester_config,
            roles_without_external_id: options.roles_without_external_id,
            test_object_name: options.test_object_name,
            address,
            tasks,
        })
    }

    /// Returns the API's address, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn api(&self) -> &Services {
        &self.api
    }

    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    #[must_use]
    pub fn store(&self) -> &Arc<DynamoStore> {
        &self.store
    }

    /// Returns the public key that verifies checkpoints.
    ///
    /// # Errors
    /// Returns an error if the embedded KMS or DynamoDB fails.
    pub async fn verifier_key(&self) -> anyhow::Result<String> {
        Ok(self.signing.current().await?.key.to_string())
    }

    /// Returns the shipper's use cases on another clock.
    pub(crate) fn shipping_at(&self, clock: Arc<dyn Clock>) -> Shipping {
        let store = Arc::new(DynamoStore::clone(&self.store).in_simulated_time());
        let entropy = Arc::new(SystemEntropy);
        let log = Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            Arc::clone(&clock),
            entropy.clone(),
            AppendPolicy::default(),
        );
        let queue = SqsShipQueue::new(self.triggers.queue.clone(), self.triggers.queue_url.clone());
        let sink = S3ObjectSink::new(&self.shipper_config, Arc::clone(&clock));
        let signer = Arc::new(KmsSigner::new(&self.shipper_config));
        let signing = Signing::new(self.signing_key.clone(), signer, store.clone(), Arc::clone(&clock));
        let policy = ShipPolicy::default();
        Shipping::new(Arc::new(log), store, Arc::new(queue), Arc::new(sink), clock, entropy, policy)
            .with_signing(Some(Arc::new(signing)))
            .with_roles_without_external_id(self.roles_without_external_id)
    }

    /// Returns the sink of connection tests on another clock.
    pub(crate) fn tester_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn ObjectSink> {
        Arc::new(S3ObjectSink::with_patience(&self.tester_config, clock, SinkPatience::interactive()))
    }

    /// Returns the name of the object that connection tests write.
    pub(crate) fn test_object_name(&self) -> &str {
        &self.test_object_name
    }

    /// Keeps the schedule and the queue from shipping until the guard is dropped.
    pub(crate) async fn hold_schedule(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.triggers.turn).lock_owned().await
    }

    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.cloud.stop().await;
    }
}

/// Stands in for the schedule and for Lambda's event source mapping of the queue.
#[derive(Debug)]
struct Triggers {
    shipper: Shipper,
    queue: aws_sdk_sqs::Client,
    queue_url: String,
    /// Held while messages are received, so that a requested tick reports everything that it caused.
    turn: Arc<Mutex<()>>,
}

impl Triggers {
    async fn run_schedule(self: Arc<Self>, period: Duration) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        let mut maintenance = tokio::time::interval(MAINTENANCE_INTERVAL);
        loop {
            let result = tokio::select! {
                _ = ticks.tick() => self.tick().await.map(drop),
                _ = maintenance.tick() => {
                    self.shipper.handle(json!({"task": "maintain"})).await.map(drop).map_err(Into::into)
                }
            };
            if let Err(error) = result {
                tracing::error!(error = format!("{error:#}"), "the schedule failed");
            }
        }
    }

    async fn run_queue(self: Arc<Self>) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let _turn = self.turn.lock().await;
            if let Err(error) = self.drain().await {
                tracing::error!(error = format!("{error:#}"), "the queue failed");
            }
        }
    }

    /// Plans, and ships everything that was planned.
    async fn tick(&self) -> anyhow::Result<(PlanReport, Vec<Work>)> {
        let _turn = self.turn.lock().await;
        let plan = self.shipper.plan().await?;
        Ok((plan, self.drain().await?))
    }

    /// Ships until the queue has no visible message.
    async fn drain(&self) -> anyhow::Result<Vec<Work>> {
        let mut all = Vec::new();
        loop {
            let received =
                self.queue.receive_message().queue_url(&self.queue_url).max_number_of_messages(10).send().await?;
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(all);
            }
            let mut event = SqsEvent::default();
            event.records = messages
                .iter()
                .map(|message| {
                    let mut record = SqsMessage::default();
                    record.message_id = message.message_id.clone();
                    record.receipt_handle = message.receipt_handle.clone();
                    record.body = message.body.clone();
                    record
                })
                .collect();
            for Processed { message_id, work } in self.shipper.process(event).await {
                let receipt = messages
                    .iter()
                    .find(|message| message.message_id.as_deref() == Some(message_id.as_str()))
                    .and_then(|message| message.receipt_handle.clone());
                if let Some(receipt) = receipt.filter(|_| work.is_done()) {
                    self.queue.delete_message().queue_url(&self.queue_url).receipt_handle(receipt).send().await?;
                }
                all.push(work);
            }
        }
    }
}

/// Returns `config` with long time limits, which only a call that hangs reaches: the embedded AWS shares the processor
/// with everything else on this machine.
fn patient(config: SdkConfig) -> SdkConfig {
    const LIMIT: Duration = Duration::from_secs(60);
    let timeouts = TimeoutConfig::builder().connect_timeout(LIMIT).operation_timeout(LIMIT).build();
    config.into_builder().timeout_config(timeouts).build()
}

/// `POST /_local/tick`: plans and ships now, and responds with a report. It exists in this process only.
async fn tick(State(triggers): State<Arc<Triggers>>) -> Response {
    let (status, body) = match triggers.tick().await {
        Ok((plan, works)) => {
            let shipped: Vec<Value> = works.iter().filter_map(report).collect();
            (StatusCode::OK, json!({"planned": plan.planned, "deferred": plan.deferred, "shipped": shipped}))
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, json!({"error": format!("{error:#}")})),
    };
    annals_http::response::json(status, &body)
}

/// Returns what became of an order.
fn report(work: &Work) -> Option<Value> {
    let Work::Ship(shipped) = work else { return None };
    let Shipped { order, result } = &**shipped;
    let (organisation, destination) =
        order.as_ref().map_or((None, None), |order| (Some(&order.organisation), Some(&order.destination)));
    let mut report = json!({"organisation": organisation, "destination": destination});
    match result {
        Ok(done) => {
            let deliveries = done.deliveries.iter().map(|delivery| {
                let content = delivery.content.as_ref();
                json!({
                    "key": delivery.key,
                    "firstSequence": delivery.first,
                    "lastSequence": delivery.last,
                    "alreadyThere": delivery.already_there,
                    "events": content.map(|content| content.events),
                    "bytes": content.map(|content| content.bytes),
                    "sha256": content.map(|content| &content.sha256),
                })
            });
            report["outcome"] = outcome(&done.outcome).into();
            report["deliveries"] = deliveries.collect();
        }
        Err(error) => {
            report["outcome"] = "error".into();
            report["error"] = error.to_string().into();
        }
    }
    Some(report)
}
