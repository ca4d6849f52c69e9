//! The embedded AWS: DynamoDB, S3, STS and SQS in this process, spoken to over HTTP with the real SDKs. Owns the
//! servers' lives, their addresses and where their data is; what each of them does is its own module's. Nothing of
//! Annals is known in here.
//!
//! Accounts are real enough to go wrong in the ways of AWS: keys, roles with trust policies, sessions that expire,
//! bucket policies, regions. The one part without them is DynamoDB, which checks no signatures and no permissions.
//!
//! ```no_run
//! use annals_cloud::{Bucket, Cloud, CloudOptions, Role};
//! use serde_json::json;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let cloud = Cloud::start(CloudOptions::default()).await?;
//! let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
//! let key = cloud.iam().create_user(cloud.account(), "shipper", everything.clone())?;
//! cloud.iam().put_bucket(Bucket::new("customer-logs", "444455556666", "eu-west-1"))?;
//! cloud.iam().put_role(Role::new(
//!     "arn:aws:iam::444455556666:role/annals-writer",
//!     json!({"Statement": [{
//!         "Effect": "Allow",
//!         "Principal": {"AWS": cloud.account()},
//!         "Action": "sts:AssumeRole",
//!         "Condition": {"StringEquals": {"sts:ExternalId": "north-1"}},
//!     }]}),
//!     vec![everything],
//! ))?;
//! let sts = aws_sdk_sts::Client::new(&cloud.sdk_config(&key));
//! # Ok(())
//! # }
//! ```

pub mod access;
mod clock;
mod entropy;
mod iam;
pub mod policy;
mod queue;
mod s3;
mod server;
mod sigv4;
mod sqs;
mod sts;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use dynoxide::Database;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet};

pub use self::{
    clock::Clock,
    iam::{AccessKey, Bucket, Iam, IamError, Role},
    queue::{QueueOptions, Redrive},
};

/// How often DynamoDB forgets what has expired. AWS takes up to days; nobody waits that long for a local run.
const TTL_SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long [`Cloud::stop`] waits for running requests.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How to start. The default keeps everything in memory, or in a temporary directory that goes with the cloud.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// Where data is kept: `dynamodb.sqlite`, `s3/<bucket>/<key>` and `aws.json`. Created where it does not exist.
    /// `None`: nothing outlives the cloud.
    pub data_dir: Option<PathBuf>,
    /// The account that runs Annals, 12 digits: the owner of the queues. `111122223333` by default.
    pub account: String,
    /// The region of the queues, and the one that [`Cloud::sdk_config`] signs for. `us-east-1` by default.
    pub region: String,
    /// The servers' ports.
    pub ports: Ports,
    /// The time that sessions and messages go by.
    pub clock: Clock,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            ports: Ports::default(),
            clock: Clock::new(),
        }
    }
}

/// The servers' ports on 127.0.0.1; 0, the default, is any free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// DynamoDB's.
    pub dynamodb: u16,
    /// S3's.
    pub s3: u16,
    /// STS's.
    pub sts: u16,
    /// SQS's.
    pub sqs: u16,
}

/// The servers' URLs, such as `http://127.0.0.1:41235`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// DynamoDB's.
    pub dynamodb: String,
    /// S3's. The SDKs address buckets in its path by themselves, because the host is an IP address.
    pub s3: String,
    /// STS's.
    pub sts: String,
    /// SQS's.
    pub sqs: String,
}

/// The SDKs ask this for their endpoints, each by its service's id.
impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() != "AWS_ENDPOINT_URL" {
            return None;
        }
        match key.service_id() {
            "DynamoDB" => Some(self.dynamodb.clone()),
            "S3" => Some(self.s3.clone()),
            "STS" => Some(self.sts.clone()),
            "SQS" => Some(self.sqs.clone()),
            _ => None,
        }
    }
}

/// A running cloud. It ends when it is dropped, and its ports are free a moment later; [`stop`](Self::stop) lets running
/// requests finish and returns when the ports are free.
pub struct Cloud {
    account: String,
    region: String,
    endpoints: Endpoints,
    clock: Clock,
    iam: Iam,
    broker: sqs::Broker,
    database: Database,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    // After the tasks: nothing shall write into it any more when it is removed.
    _temporary: Option<TempDir>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Starts all servers, which takes milliseconds.
    ///
    /// # Errors
    /// Where the data directory cannot be used or what is in it is not understood, an account is not 12 digits, or a
    /// port is taken.
    pub async fn start(options: CloudOptions) -> anyhow::Result<Self> {
        let CloudOptions { data_dir, account, region, ports, clock } = options;
        anyhow::ensure!(policy::is_account(&account), "{account} is not an account of 12 digits");
        let (directory, temporary) = match &data_dir {
            Some(path) => (path.clone(), None),
            None => {
                let temporary =
                    tempfile::Builder::new().prefix("annals-").tempdir().context("no temporary directory")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let objects = directory.join("s3");
        fs::create_dir_all(&objects).with_context(|| format!("cannot create {}", objects.display()))?;
        let database = match &data_dir {
            Some(path) => open_database(&path.join("dynamodb.sqlite"))?,
            None => Database::memory_with_clock(std::sync::Arc::new(clock.clone())).context("cannot start DynamoDB")?,
        };
        let file = data_dir.map(|path| path.join("aws.json"));
        let iam = Iam::open(file, objects.clone(), clock.clone()).context("cannot read the accounts")?;

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let listen = async |name: &str, port| {
            let (listener, address) =
                server::listen(port).await.with_context(|| format!("cannot listen on port {port} for {name}"))?;
            anyhow::Ok((listener, format!("http://{address}")))
        };
        let (dynamodb_listener, dynamodb) = listen("DynamoDB", ports.dynamodb).await?;
        let (s3_listener, s3) = listen("S3", ports.s3).await?;
        let (sts_listener, sts) = listen("STS", ports.sts).await?;
        let (sqs_listener, sqs) = listen("SQS", ports.sqs).await?;

        let shutdown = server::stopped(stopping.clone());
        let served = dynoxide::server::serve_with_shutdown(dynamodb_listener, database.clone(), shutdown);
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(error, "the embedded DynamoDB ended");
            }
        });
        tasks.spawn(sweep_ttl_regularly(database.clone(), stopping.clone()));
        server::serve(&mut tasks, s3_listener, s3::router(iam.clone(), &objects)?, stopping.clone());
        server::serve(&mut tasks, sts_listener, sts::router(iam.clone(), clock.clone()), stopping.clone());
        let broker = sqs::Broker::new(account.clone(), region.clone(), sqs.clone(), clock.clone());
        let router = sqs::router(iam.clone(), broker.clone(), stopping.clone());
        server::serve(&mut tasks, sqs_listener, router, stopping);

        let endpoints = Endpoints { dynamodb, s3, sts, sqs };
        Ok(Self { account, region, endpoints, clock, iam, broker, database, stop, tasks, _temporary: temporary })
    }

    /// Where the servers are.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The account that runs Annals, 12 digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The clock that sessions and messages go by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Users, roles and buckets.
    #[must_use]
    pub fn iam(&self) -> &Iam {
        &self.iam
    }

    /// Creates a standard queue in the cloud's own account, or finds the one with the same options. Its URL.
    ///
    /// # Errors
    /// For a name or an option that SQS refuses, a dead-letter queue that does not exist, or a queue of that name with
    /// other options.
    pub fn create_queue(&self, name: &str, options: QueueOptions) -> anyhow::Result<String> {
        Ok(self.broker.create(name, options)?)
    }

    /// Forgets what has expired in DynamoDB now, and says how many items that were. It happens every minute by itself.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sweep_ttl(&self) -> anyhow::Result<usize> {
        sweep_ttl(self.database.clone()).await
    }

    /// What the SDKs' clients are made from: these credentials, the cloud's region, and each service's own endpoint.
    /// The process's environment does not count.
    #[must_use]
    pub fn sdk_config(&self, key: &AccessKey) -> SdkConfig {
        let AccessKey { id, secret, session_token } = key.clone();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                id,
                secret,
                session_token,
                None,
                "embedded",
            )))
            .service_config(self.endpoints.clone())
            .build()
    }

    /// Stops taking requests, lets the running ones finish, and returns when all is closed, after five seconds at most.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, finish).await.is_err() {
            tracing::warn!("requests to the embedded cloud were cut off");
        }
    }
}

fn open_database(path: &Path) -> anyhow::Result<Database> {
    let text = path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?;
    Database::new(text).with_context(|| format!("cannot open {text}"))
}

async fn sweep_ttl(database: Database) -> anyhow::Result<usize> {
    Ok(tokio::task::spawn_blocking(move || database.sweep_ttl()).await??)
}

async fn sweep_ttl_regularly(database: Database, stop: server::Stop) {
    let mut interval = tokio::time::interval(TTL_SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = server::stopped(stop.clone()) => return,
        }
        match sweep_ttl(database.clone()).await {
            Ok(0) => {}
            Ok(expired) => tracing::debug!(expired, "items expired in the embedded DynamoDB"),
            Err(error) => tracing::warn!(%error, "the embedded DynamoDB could not forget what has expired"),
        }
    }
}
