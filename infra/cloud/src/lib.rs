//! An embedded AWS: DynamoDB, S3, STS, SQS and KMS in this process, for the real SDKs over HTTP. Owns the lifetime of the servers,
//! their addresses and the place of their data. It knows nothing about the system that uses it.
//!
//! Accounts can fail in the same ways as on AWS: access keys, roles with trust policies, sessions that expire, bucket policies,
//! regions. Only DynamoDB has no accounts: it checks neither signatures nor permissions.
//!
//! ```no_run
//! use annals_cloud::{Bucket, Cloud, CloudOptions, Role};
//! use serde_json::json;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let cloud = Cloud::start(CloudOptions::default()).await?;
//! let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
//! let key = cloud.iam().create_user(cloud.account(), "worker", everything.clone())?;
//! cloud.iam().put_bucket(Bucket::new("customer-logs", "444455556666", "eu-west-1"))?;
//! cloud.iam().put_role(Role::new(
//!     "arn:aws:iam::444455556666:role/writer",
//!     json!({"Statement": [{
//!         "Effect": "Allow",
//!         "Principal": {"AWS": cloud.account()},
//!         "Action": "sts:AssumeRole",
//!         "Condition": {"StringEquals": {"sts:ExternalId": "customer-1"}},
//!     }]}),
//!     vec![everything],
//! ))?;
//! let sts = aws_sdk_sts::Client::new(&cloud.sdk_config(&key));
//! # Ok(())
//! # }
//! ```

mod access;
mod clock;
mod entropy;
mod iam;
mod kms;
mod policy;
mod queue;
mod s3;
mod server;
mod sigv4;
mod sqs;
mod sts;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use aws_config::{BehaviorVersion, Region, SdkConfig, stalled_stream_protection::StalledStreamProtectionConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use dynoxide::Database;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinSet,
};

use self::sqs::Sqs;
pub use self::{
    clock::Clock,
    iam::{AccessKey, Bucket, Iam, IamError, Key, KeyState, Retention, RetentionMode, Role, Versioning},
    queue::{QueueOptions, Redrive},
};

/// How often expired items are deleted from DynamoDB. AWS takes up to days.
const TTL_SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long [`Cloud::stop`] waits for running requests.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of a cloud. By default no data remains when the cloud stops: data is in memory or in a temporary
/// directory.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The directory of `dynamodb.sqlite`, `s3/<bucket>/<key>` and `aws.json`. It is created if it does not exist.
    pub data_dir: Option<PathBuf>,
    /// The cloud's own account, 12 digits: the owner of the queues and of keys. `111122223333` by default.
    pub account: String,
    /// The region of the queues, of KMS and of [`Cloud::sdk_config`]. `us-east-1` by default.
    pub region: String,
    pub ports: Ports,
    /// The system's clock by default.
    pub clock: Clock,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            data_dir: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            ports: Ports::default(),
            clock: Clock::system(),
        }
    }
}

/// The servers' ports on 127.0.0.1. 0, the default, takes any free port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    pub dynamodb: u16,
    pub s3: u16,
    pub sts: u16,
    pub sqs: u16,
    pub kms: u16,
}

/// The servers' URLs, such as `http://127.0.0.1:41235`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    pub dynamodb: String,
    /// The SDKs put the bucket in the path, because the host is an IP address.
    pub s3: String,
    pub sts: String,
    pub sqs: String,
    pub kms: String,
}

/// An SDK client asks for its endpoint by its service's id.
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
            "KMS" => Some(self.kms.clone()),
            _ => None,
        }
    }
}

/// A running cloud. If it is dropped, its ports become free a moment later; [`stop`](Self::stop) lets running requests finish
/// and returns when the ports are free.
pub struct Cloud {
    account: String,
    region: String,
    endpoints: Endpoints,
    clock: Clock,
    iam: Iam,
    sqs: Sqs,
    database: Database,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    // Dropped after the tasks, so that no task still writes into it.
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
    /// Returns an error if the data directory or a file in it cannot be read or written, the account does not have 12 digits,
    /// or a port is taken.
    pub async fn start(options: CloudOptions) -> anyhow::Result<Self> {
        let CloudOptions { data_dir, account, region, ports, clock } = options;
        anyhow::ensure!(policy::is_account(&account), "{account} is not an account of 12 digits");
        let (directory, temporary) = match &data_dir {
            Some(path) => (path.clone(), None),
            None => {
                let temporary = tempfile::Builder::new()
                    .prefix("cloud-")
                    .tempdir()
                    .context("cannot create a temporary directory")?;
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
        let (kms_listener, kms) = listen("KMS", ports.kms).await?;

        serve_dynamodb(&mut tasks, dynamodb_listener, database.clone(), stopping.clone())?;
        tasks.spawn(sweep_ttl_regularly(database.clone(), stopping.clone()));
        server::serve(&mut tasks, s3_listener, s3::router(iam.clone(), &objects)?, stopping.clone());
        server::serve(&mut tasks, sts_listener, sts::router(iam.clone(), clock.clone()), stopping.clone());
        server::serve(&mut tasks, kms_listener, kms::router(iam.clone(), region.clone()), stopping.clone());
        let queues = Sqs::new(iam.clone(), account.clone(), region.clone(), sqs.clone(), clock.clone());
        server::serve(&mut tasks, sqs_listener, queues.router(), stopping);

        let endpoints = Endpoints { dynamodb, s3, sts, sqs, kms };
        Ok(Self { account, region, endpoints, clock, iam, sqs: queues, database, stop, tasks, _temporary: temporary })
    }

    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Returns the cloud's own account, 12 digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    #[must_use]
    pub fn iam(&self) -> &Iam {
        &self.iam
    }

    /// Creates a standard queue in the cloud's own account, or finds the one with the same options. Returns its URL.
    ///
    /// # Errors
    /// Returns an error if SQS would refuse the name or an option, the dead-letter queue does not exist, or a queue with this
    /// name has other options.
    pub fn create_queue(&self, name: &str, options: QueueOptions) -> anyhow::Result<String> {
        Ok(self.sqs.create(name, options)?)
    }

    /// Creates an Ed25519 signing key in the cloud's own account and region, or finds the one with this alias, such as
    /// `alias/signer`. Returns its ARN. `seed` is 32 random bytes; it has no effect if the key exists.
    ///
    /// [`Iam::create_key`] creates keys of other accounts, and [`Iam::set_key_state`] and [`Iam::throttle_key`] make them
    /// fail.
    ///
    /// # Errors
    /// Returns an error if the alias is invalid, or the file of accounts cannot be written.
    pub fn create_key(&self, alias: &str, seed: [u8; 32]) -> anyhow::Result<String> {
        Ok(self.iam.create_key(Key::new(alias, &self.account, &self.region, seed))?)
    }

    /// Deletes the items that have expired from DynamoDB and returns their number. This also happens every minute.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn sweep_ttl(&self) -> anyhow::Result<usize> {
        sweep_ttl(self.database.clone()).await
    }

    /// Returns the configuration of SDK clients: these credentials, the cloud's region, and the endpoints of its
    /// services. It does not depend on the process's environment.
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
            // On a busy machine a stream may pause for longer than the SDKs tolerate by default.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }

    /// Stops accepting requests and returns when the running ones have finished, after five seconds at most.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, finish).await.is_err() {
            tracing::warn!("requests to the embedded cloud were cut off after {STOP_TIMEOUT:?}");
        }
    }
}

fn open_database(path: &Path) -> anyhow::Result<Database> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Database::new(text).with_context(|| format!("cannot open {text}"))
}

/// Serves DynamoDB on a thread of its own. The database works on the thread that calls it and waits for the disk there: a disk
/// that hangs must not keep the other servers, or the program that embeds them, from working.
fn serve_dynamodb(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    database: Database,
    stop: server::Stop,
) -> anyhow::Result<()> {
    let listener = listener.into_std().context("cannot listen for DynamoDB")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start DynamoDB")?;
    let (ended, end) = oneshot::channel();
    let serve = move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            dynoxide::server::serve_with_shutdown(listener, database, server::stopped(stop)).await
        });
        if let Err(error) = served {
            tracing::error!(error, "the embedded DynamoDB ended");
        }
        // An error means that nobody waits for the end.
        let _ = ended.send(());
    };
    std::thread::Builder::new().name("dynamodb".to_owned()).spawn(serve).context("cannot start DynamoDB")?;
    tasks.spawn(async move {
        // An error means that the thread panicked, which is an end, too.
        let _ = end.await;
    });
    Ok(())
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
            Ok(expired) => tracing::debug!(expired, "expired items were deleted from the embedded DynamoDB"),
            Err(error) => tracing::warn!(%error, "expired items could not be deleted from the embedded DynamoDB"),
        }
    }
}
