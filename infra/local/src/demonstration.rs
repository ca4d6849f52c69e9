//! The content that a local run begins with: a platform token, an organisation with a token of each role, and a
//! customer's bucket and role in another account.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_aws::{
    dynamodb::DynamoStore,
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    administration::{Actor, Put},
    caller::Caller,
    destination::policy::Policy,
    entropy::{self, BASE62},
    event::{self, Context, Layout},
    organisation::{Organisation, OrganisationInput},
    recorded_by::RecordedBy,
    time::{Clock, Timestamp},
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use anyhow::Context as _;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    demo::{self, incident},
    front_door::{self, ORGANISATION},
    system::System,
};
use annals_cloud::{Bucket, Role as IamRole, Versioning};

const NAME: &str = "Northwind Mills";
/// The customer's account in the embedded cloud.
const CUSTOMER: &str = "444455556666";
const BUCKET: &str = "northwind-mills-audit-events";
const ROLE: &str = "arn:aws:iam::444455556666:role/annals-put-audit-events";
/// The file in the data directory that keeps the tokens, which are shown only once.
const FILE: &str = "annals.json";
/// The events of this much time are recorded in one batch, as by a producer that collects them. Earlier than a day ago, it
/// collects for longer, so that the program is ready soon.
const BATCH_WINDOW: Duration = Duration::from_secs(10 * 60);
const EARLIER_BATCH_WINDOW: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demonstration {
    pub platform_token: String,
    pub organisation: String,
    /// One token per role, by the role's name.
    pub tokens: BTreeMap<String, String>,
    pub bucket: String,
    /// The role that may write into the bucket.
    pub role_arn: String,
    /// Whether an earlier run created it in the data directory.
    #[serde(skip)]
    pub is_from_earlier_run: bool,
}

impl Demonstration {
    /// Creates a link to the organisation's page, for an administrator.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn portal_link(&self, system: &System) -> anyhow::Result<String> {
        let token = front_door::portal_link(system.api(), &self.organisation.parse()?).await?;
        Ok(format!("{}/console/enter/{}", system.url(), token.reveal()))
    }
}

/// Returns the platform's token: the one in the data directory, or a new one.
///
/// # Errors
/// Returns an error if the file in the data directory is invalid.
pub fn platform_token(data_dir: Option<&Path>) -> anyhow::Result<String> {
    Ok(match read(data_dir)? {
        Some(demonstration) => demonstration.platform_token,
        None => format!("annals_platform_{}", entropy::characters(&SystemEntropy, BASE62, 40)),
    })
}

fn read(data_dir: Option<&Path>) -> anyhow::Result<Option<Demonstration>> {
    let Some(path) = data_dir.map(|dir| dir.join(FILE)).filter(|path| path.exists()) else { return Ok(None) };
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not a valid file of tokens", path.display()))
}

/// Returns whether an earlier run created a demonstration in this directory.
#[must_use]
pub fn exists_in(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

/// The events with which a new organisation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    None,
    /// The events of last week and of this week up to now: more than the seven days of a first delivery.
    LastWeek,
}

/// Creates the demonstration, or returns the one that an earlier run created in the data directory.
///
/// # Errors
/// Returns an error if the store or a file fails.
pub async fn prepare(
    system: &System,
    data_dir: Option<&Path>,
    platform_token: String,
    history: History,
) -> anyhow::Result<Demonstration> {
    if let Some(demonstration) = read(data_dir)? {
        return Ok(Demonstration { is_from_earlier_run: true, ..demonstration });
    }
    let begin = match history {
        History::None => SystemClock.now(),
        History::LastWeek => last_monday(SystemClock.now()),
    };
    let clock = Arc::new(HistoryClock(AtomicU64::new(begin.as_millis())));
    let api = Services::new(
        Arc::new(DynamoStore::clone(system.store()).in_simulated_time()),
        clock.clone(),
        Arc::new(SystemEntropy),
        TokenHash::of(&platform_token),
        system.api().service.clone(),
    );
    let actor = platform();
    let input = json!({"name": NAME, "plan": "enterprise"}).to_string();
    let input = OrganisationInput::parse(input.as_bytes())?;
    let (Put::Created(organisation) | Put::Updated(organisation)) =
        api.administration.put_organisation(&ORGANISATION.parse()?, input, &actor).await?;
    let mut tokens = BTreeMap::new();
    let mut producer = RecordedBy::Platform;
    for role in [Role::Producer, Role::Auditor, Role::Admin] {
        let input = TokenInput { name: format!("Demonstration {}", role.as_str()), role, expires_at: None };
        let (token, text) = api.administration.create_token(&organisation, input, &actor).await?;
        tokens.insert(role.as_str().to_owned(), text.reveal().to_owned());
        if role == Role::Producer {
            producer = RecordedBy::Token(token.id);
        }
    }
    if history == History::LastWeek {
        record_history(&api, &clock, &organisation, &producer).await?;
    }

    let protect = Policy::protect("aws", BUCKET, "", ROLE);
    system.cloud().iam().put_bucket(Bucket {
        policy: Some(serde_json::to_value(protect)?),
        versioning: Versioning::Enabled,
        ..Bucket::new(BUCKET, CUSTOMER, "us-east-1")
    })?;
    let trust = Policy::trust("aws", system.cloud().account(), &organisation.external_id);
    let put = Policy::deliver("aws", BUCKET, "");
    let role = IamRole::new(ROLE, serde_json::to_value(trust)?, vec![serde_json::to_value(put)?]);
    system.cloud().iam().put_role(role)?;

    let demonstration = Demonstration {
        platform_token,
        organisation: ORGANISATION.to_owned(),
        tokens,
        bucket: BUCKET.to_owned(),
        role_arn: ROLE.to_owned(),
        is_from_earlier_run: false,
    };
    if let Some(dir) = data_dir {
        let path = dir.join(FILE);
        fs::write(&path, serde_json::to_string_pretty(&demonstration)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(demonstration)
}

fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}

/// Returns midnight UTC on Monday of the week before that of `now`.
fn last_monday(now: Timestamp) -> Timestamp {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    // The Unix epoch was a Thursday.
    let days = now.as_millis() / DAY;
    let monday = days - (days + 3) % 7;
    Timestamp::from_millis((monday - 7) * DAY)
}

/// Records the company's events from the clock's time up to now, each batch at its own time.
async fn record_history(
    api: &Services,
    clock: &HistoryClock,
    organisation: &Organisation,
    producer: &RecordedBy,
) -> anyhow::Result<()> {
    let begin = clock.now();
    let length = SystemClock.now().since(begin);
    let mut history: Vec<_> = demo::weeks(1).take_while(|event| event.at < length).collect();
    history.extend(incident::events(&history, length));
    history.sort_by_key(|event| event.at);
    let mut rest = history.as_slice();
    while let Some(first) = rest.first() {
        let window = if first.at + DAY < length { EARLIER_BATCH_WINDOW } else { BATCH_WINDOW };
        let together = rest.iter().take_while(|event| event.at < first.at + window).count();
        let (batch, later) = rest.split_at(together.min(event::MAX_EVENTS));
        rest = later;
        let lines: Vec<String> = batch.iter().map(|event| with_time(event, begin).to_string()).collect();
        let bodies = event::parse(lines.join("\n").as_bytes(), Layout::Ndjson, producer)?;
        clock.0.store(begin.plus(batch.last().map_or(first.at, |event| event.at)).as_millis(), Ordering::Relaxed);
        api.log.append(organisation, bodies, None).await?;
    }
    Ok(())
}

/// Returns the event with the time at which it happened.
fn with_time(event: &demo::DemoEvent, begin: Timestamp) -> serde_json::Value {
    let mut body = event.body.clone();
    body["occurredAt"] = begin.plus(event.at).to_string().into();
    body
}

/// A clock that shows the current time of the recorded history, in milliseconds since the epoch.
#[derive(Debug)]
struct HistoryClock(AtomicU64);

#[async_trait]
impl Clock for HistoryClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}
