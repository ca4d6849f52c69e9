//! What a local run begins with: a platform token, an organisation with a token of each role, and, in another account, a
//! customer's bucket with the role that opens it.

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

use annals_aws::system::{SystemClock, SystemEntropy};
use annals_core::{
    administration::{Actor, Put},
    caller::Caller,
    entropy::{self, BASE62},
    event::{self, Context, Layout},
    organisation::{Organisation, OrganisationInput},
    portal::{PortalLinkInput, User},
    time::{Clock, Timestamp},
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use anyhow::Context as _;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{demo, system::System};
use annals_cloud::{Bucket, Role as IamRole};

const ORGANISATION: &str = "demo";
const NAME: &str = "Northwind Mills";
/// The customer's account in the embedded cloud.
const CUSTOMER: &str = "444455556666";
const BUCKET: &str = "northwind-mills-audit-events";
const ROLE: &str = "arn:aws:iam::444455556666:role/annals-put-audit-events";
/// The file in the data directory that remembers what is shown only once.
const FILE: &str = "annals.json";
/// The demonstration's events are recorded in batches, as a producer that collects them would: those of this long
/// together.
const BATCH_WINDOW: Duration = Duration::from_secs(10 * 60);

/// What is handed to the user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demonstration {
    /// The platform's token.
    pub platform_token: String,
    /// The organisation's id.
    pub organisation: String,
    /// A token of each role, by the role's name.
    pub tokens: BTreeMap<String, String>,
    /// The customer's bucket.
    pub bucket: String,
    /// The role that opens it.
    pub role_arn: String,
}

impl Demonstration {
    /// A link to the organisation's page, for an administrator.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn portal_link(&self, system: &System) -> anyhow::Result<String> {
        let user = User { id: "42".into(), name: "Ada Bell".into(), email: Some("ada@example.com".into()) };
        let input = PortalLinkInput { role: Role::Admin, user };
        let administration = &system.api().administration;
        let organisation = administration.organisation(&self.organisation.parse()?).await?;
        let (_, token) = administration.create_portal_link(&organisation, input, &platform()).await?;
        Ok(format!("{}/console/enter/{}", system.url(), token.reveal()))
    }
}

/// The platform's token: the one that the data directory remembers, or a new one.
///
/// # Errors
/// Where the file cannot be understood.
pub fn platform_token(data_dir: Option<&Path>) -> anyhow::Result<String> {
    Ok(match remembered(data_dir)? {
        Some(demonstration) => demonstration.platform_token,
        None => format!("annals_platform_{}", entropy::characters(&SystemEntropy, BASE62, 40)),
    })
}

fn remembered(data_dir: Option<&Path>) -> anyhow::Result<Option<Demonstration>> {
    let Some(path) = data_dir.map(|dir| dir.join(FILE)).filter(|path| path.exists()) else { return Ok(None) };
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("cannot understand {}", path.display()))
}

/// Whether a new organisation begins with a week of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It begins empty.
    None,
    /// Last week and this one up to now are already recorded: more than the seven days that a first delivery reaches back.
    LastWeek,
}

/// Makes the demonstration's parts, or finds those of an earlier run.
///
/// # Errors
/// Where a part cannot be made.
pub async fn prepare(
    system: &System,
    data_dir: Option<&Path>,
    platform_token: String,
    history: History,
) -> anyhow::Result<Demonstration> {
    if let Some(demonstration) = remembered(data_dir)? {
        return Ok(demonstration);
    }
    // All of it is made by the use cases, but for the hour.
    let clock = match history {
        History::None => Arc::new(WalkingClock::at(SystemClock.now())),
        History::LastWeek => Arc::new(WalkingClock::at(last_monday(SystemClock.now()))),
    };
    let api = Services::new(
        Arc::clone(system.store()),
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
    for role in [Role::Producer, Role::Auditor, Role::Admin] {
        let input = TokenInput { name: format!("Demonstration {}", role.as_str()), role, expires_at: None };
        let (_, text) = api.administration.create_token(&organisation, input, &actor).await?;
        tokens.insert(role.as_str().to_owned(), text.reveal().to_owned());
    }
    if history == History::LastWeek {
        record_history(&api, &clock, &organisation).await?;
    }

    system.cloud().iam().put_bucket(Bucket::new(BUCKET, CUSTOMER, "us-east-1"))?;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{}:root", system.cloud().account())},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": organisation.external_id}},
    }]});
    let put = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{BUCKET}/*"),
    }]});
    system.cloud().iam().put_role(IamRole::new(ROLE, trust, vec![put]))?;

    let demonstration = Demonstration {
        platform_token,
        organisation: ORGANISATION.to_owned(),
        tokens,
        bucket: BUCKET.to_owned(),
        role_arn: ROLE.to_owned(),
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

/// The beginning, in UTC, of the Monday of the week before `now`'s.
fn last_monday(now: Timestamp) -> Timestamp {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    // The epoch was a Thursday.
    let days = now.as_millis() / DAY;
    let monday = days - (days + 3) % 7;
    Timestamp::from_millis((monday - 7) * DAY)
}

/// Records the company's events up to now through the use case, the clock walking with them.
async fn record_history(api: &Services, clock: &WalkingClock, organisation: &Organisation) -> anyhow::Result<()> {
    let begin = clock.now();
    let length = SystemClock.now().since(begin);
    let history: Vec<_> = demo::weeks(1).take_while(|event| event.at < length).collect();
    let mut rest = history.as_slice();
    while let Some(first) = rest.first() {
        let together = rest.iter().take_while(|event| event.at < first.at + BATCH_WINDOW).count();
        let (batch, later) = rest.split_at(together.min(event::MAX_EVENTS));
        rest = later;
        let lines: Vec<String> = batch.iter().map(|event| with_time(event, begin).to_string()).collect();
        let bodies = event::parse(lines.join("\n").as_bytes(), Layout::Ndjson)?;
        clock.walk_to(begin.plus(batch.last().map_or(first.at, |event| event.at)));
        api.log.append(organisation, bodies, None).await?;
    }
    Ok(())
}

/// The event as its producer posts it, who says when it happened.
fn with_time(event: &demo::DemoEvent, begin: Timestamp) -> serde_json::Value {
    let mut body = event.body.clone();
    body["occurredAt"] = begin.plus(event.at).to_string().into();
    body
}

/// A clock that is where it was put.
#[derive(Debug)]
struct WalkingClock(AtomicU64);

impl WalkingClock {
    fn at(moment: Timestamp) -> Self {
        Self(AtomicU64::new(moment.as_millis()))
    }

    fn walk_to(&self, moment: Timestamp) {
        self.0.fetch_max(moment.as_millis(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for WalkingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}
