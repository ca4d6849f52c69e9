//! The content that a local run begins with: a platform token, an organisation with a token of each role, and a
//! customer's bucket and role in another account.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use annals_aws::{
    dynamodb::DynamoStore,
    system::{SystemClock, SystemEntropy},
};
use annals_core::{
    administration::{Actor, Put},
    caller::Caller,
    destination::policy::Policy,
    entropy::{self, BASE62},
    event::Context,
    organisation::OrganisationInput,
    recorded_by::RecordedBy,
    time::Clock,
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    front_door::{self, ORGANISATION},
    history::{self, Customer, HistoryClock},
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
    /// The destination that the history created.
    #[serde(default)]
    pub destination: Option<String>,
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

/// What a new organisation begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    None,
    /// Ten days of events and deliveries up to now.
    TenDays,
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
        History::TenDays => history::beginning(SystemClock.now()),
    };
    let _held = system.hold_schedule().await;
    let clock = Arc::new(HistoryClock::at(begin));
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
    let mut destination = None;
    if history == History::TenDays {
        let elsewhere = Policy::deliver("aws", BUCKET, "audit/");
        let customer = Customer {
            organisation: &organisation,
            producer: &producer,
            administrator: front_door::administrator(),
            bucket: BUCKET,
            role: ROLE,
            policies: [serde_json::to_value(Policy::deliver("aws", BUCKET, ""))?, serde_json::to_value(elsewhere)?],
        };
        destination = history::play(system, &api, &clock, &customer).await?.map(|id| id.to_string());
    }

    let demonstration = Demonstration {
        platform_token,
        organisation: ORGANISATION.to_owned(),
        tokens,
        bucket: BUCKET.to_owned(),
        role_arn: ROLE.to_owned(),
        destination,
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
