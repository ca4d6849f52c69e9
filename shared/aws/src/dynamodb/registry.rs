//! Organisations, tokens, portal links, sessions, destinations and deliveries as items of the registry table.
//!
//! | thing | `pk` | `sk` | listed among (`g`) |
//! |---|---|---|---|
//! | the table's own name | `#table` | `#table` | |
//! | organisation | `org#ID` | `organisation` | `organisations` |
//! | token | `token#ID` | `token` | `tokens#ORGANISATION` |
//! | the platform's named tokens | `platform` | `tokens` | |
//! | portal link, mark that it was used | `link#SHA256` | `link`, `used` | |
//! | session | `session#SHA256` | `session` | `sessions#ORG`, session id |
//! | destination | `org#ORGANISATION` | `destination#ID` | `active#SHARD` |
//! | last connection test | `org#ORGANISATION` | `connectionTest#DESTINATION` | |
//! | times of limited uses | `org#ORGANISATION` | `uses#NAME` | |
//! | delivery | `deliveries#ORGANISATION#DESTINATION` | milliseconds, first sequence, replay | |
//! | rest of planning a shard | `plan` | `shard#SHARD` | |
//! | claims of a bucket or role | `claims#bucket#NAME`, `claims#role#PARTITION:ACCOUNT:NAME` | `claims` | |
//! | the same by version 0.1, unused | `claim#bucket#NAME`, `claim#role#ARN` | `claim` | |
//! | idempotency key | `org#ORGANISATION` | `idempotency#SHA256` | |

use std::{
    collections::{BTreeMap, HashMap},
    ops::RangeInclusive,
    time::Duration,
};

use annals_core::{
    destination::{
        Challenge, Checkpoints, ClaimKey, Claims, Content, Delivery, Destination, DestinationId, Failing, Holder,
        Intent, Lost, Progress, Proof, Proven, Rendering, Replay, Settings,
        advice::Advice,
        connection_test::ConnectionTestReport,
        failure::{Failure, FailureCode},
    },
    limited::Limited,
    log::{
        segment::LineHash,
        store::{Consistency, StoreError},
    },
    organisation::{Organisation, OrganisationId, RetentionDays},
    platform::PlatformTokens,
    portal::{ConsolePath, PortalLink, ReturnUrl, SESSION_LIFE, Session, User},
    registry::{
        ActiveDestination, ActivePage, ActivePosition, MaintenanceProgress, MaintenanceStep, PlanPass, Registry,
        RestoredTables, shard_of,
    },
    time::Timestamp,
    token::{Role, Token, TokenHash, TokenId},
    usage::DeliveredMonths,
};
use async_trait::async_trait;
use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::SdkError,
    operation::{
        put_item::{PutItemError, PutItemOutput},
        transact_write_items::TransactWriteItemsError,
    },
    types::{
        AttributeValue, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    },
};
use futures_util::future::try_join;

use crate::metrics::{self, UnreadableItem};

use super::{
    BATCH_GET, DynamoStore, change, is_made,
    item::{
        Attributes, Builder, EXPIRES_AT, EXPIRY, FAILURE_CODE, GROUP, GROUP_SORT, Item, LAG_FROM, LAST_USED_AT,
        LISTING, NEXT_SEQUENCE, ORG, ORGANISATION, PENDING, PK, REPLACED_BY, RETRY_AT, SEQ, SK, TOKENS, VERSION,
        malformed,
    },
    platform, store_error,
};

/// How long the result of a connection test is kept.
const CONNECTION_TEST_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most that the clocks of two functions differ.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(5 * 60);
/// How long the times of limited uses are kept after the last one.
const USES_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is known of a portal link that it has expired, or was used.
const LINK_REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
const STARTED_AT: &str = "startedAt";
const ENDS_AT: &str = "endsAt";
const RETURN_URL: &str = "returnUrl";
/// How many deliveries a search reads at once.
const DELIVERIES_PAGE: i32 = 20;
/// How long the record of a delivery is kept.
const DELIVERY_TTL: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// What was delivered in each month.
const DELIVERED: &str = "delivered";
const DELIVERED_UNKNOWN_UNTIL: &str = "deliveredUnknownUntil";
/// The sort key of what was delivered to a destination that was deleted, up to the destination's id.
const USAGE_OF_DELETED: &str = "usage#";
const DELIVERED_HASH: &str = "deliveredHash";
const RENDERING: &str = "rendering";
/// How the role was proven; empty if it is not. Version 0.1 did not store it.
const PROVEN_BY: &str = "provenBy";
/// Whether the plan has disabled a destination. Version 0.1 stored it as `disabled`.
const PLAN_DISABLED: &str = "planDisabled";
/// The attribute with the holders of a claim: a line of organisation, destination and prefix for each, with slashes between.
const HOLDERS: &str = "holders";
/// The attribute with the pending change, as JSON.
const PENDING_CHANGE: &str = "pendingChange";
const CHECKPOINT_LAST: &str = "checkpointLast";
const CHECKPOINT_BEGUN: &str = "checkpointBegun";
const CHECKPOINT_UNSIGNED: &str = "checkpointUnsigned";
const CHECKPOINT_RESTORED: &str = "checkpointRestored";
const CHECKPOINT_DUE: &str = "checkpointDue";
/// The shortest retention that an organisation had so far, in days.
pub(super) const SHORTEST_RETENTION: &str = "shortestRetentionDays";
/// When the tick began that planned a shard, and what it has not planned yet, as JSON.
const TICK: &str = "tick";
const REST: &str = "rest";
/// The attribute with the result of a connection test, as JSON.
const CONNECTION_TEST_REPORT: &str = "report";
/// The attribute with the times of limited uses, in milliseconds, separated by commas.
const USE_TIMES: &str = "times";
/// Attributes of a run of maintenance: the number of its parts, and the set of those that are finished.
const PARTS: &str = "parts";
const FINISHED: &str = "finished";
/// The most items that are held to list ids.
const LISTED_AT_ONCE: usize = 1000;
/// How long the progress of a run is kept.
const MAINTENANCE_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many more records than wanted are read to find numbered deliveries, because the clock that sorts them may be off.
const NEIGHBOURS: u64 = 8;

/// Reads the items of a listing. Leaves out those that cannot be read, and reports each: one of them must not hide the
/// others.
fn readable<T>(table: &str, items: &[Item], read: impl Fn(&Item) -> Result<T, StoreError>) -> Vec<T> {
    let mut read_items = Vec::with_capacity(items.len());
    for item in items {
        match read(item) {
            Ok(thing) => read_items.push(thing),
            Err(error) => metrics::emit(&UnreadableItem::new(table, item.key(), &error)),
        }
    }
    read_items
}

pub(super) fn organisation_key(id: &OrganisationId) -> Attributes {
    Builder::default().text(PK, format!("org#{id}")).text(SK, "organisation").build()
}

pub(super) fn organisation_item(organisation: &Organisation) -> Attributes {
    let mut item = Builder::default()
        .text(GROUP, "organisations")
        .text(GROUP_SORT, &organisation.id)
        .text("name", &organisation.name)
        .text("plan", organisation.plan.as_str())
        .number("retentionDays", organisation.retention.days().into())
        .number("longestRetentionDays", organisation.longest_retention.days().into())
        .number(SHORTEST_RETENTION, organisation.shortest_retention.days().into())
        .text("externalId", &organisation.external_id)
        .time("createdAt", organisation.created_at)
        .number(VERSION, organisation.version)
        .number("destinations", 0)
        .number(TOKENS, 0)
        .build();
    item.extend(organisation_key(&organisation.id));
    item
}

fn read_organisation(item: &Item) -> Result<Organisation, StoreError> {
    let days = |name: &str| RetentionDays::try_from(item.number(name)?).map_err(|_| malformed(name));
    let (retention, version) = (days("retentionDays")?, item.number(VERSION)?);
    let shortest_retention = match item.has(SHORTEST_RETENTION) {
        true => days(SHORTEST_RETENTION)?,
        // Version 0.1 did not store it. Only the first version of an organisation certainly had no other retention.
        false if version == 1 => retention,
        false => RetentionDays::MIN,
    };
    Ok(Organisation {
        id: item.text(PK)?.strip_prefix("org#").and_then(|id| id.parse().ok()).ok_or_else(|| malformed(PK))?,
        name: item.text("name")?.to_owned(),
        plan: item.parsed("plan")?,
        retention,
        longest_retention: days("longestRetentionDays")?,
        shortest_retention,
        external_id: item.text("externalId")?.to_owned(),
        created_at: item.time("createdAt")?,
        version,
    })
}

pub(super) fn token_key(id: &TokenId) -> Attributes {
    Builder::default().text(PK, format!("token#{id}")).text(SK, "token").build()
}

pub(super) fn token_item(token: &Token) -> Attributes {
    let mut item = Builder::default()
        .text(GROUP, format!("tokens#{}", token.organisation))
        .text(GROUP_SORT, &token.id)
        .text(ORGANISATION, &token.organisation)
        .bytes("hash", &token.hash.0)
        .text("name", &token.name)
        .text("role", token.role.as_str())
        .time("createdAt", token.created_at)
        .time_if(EXPIRES_AT, token.expires_at)
        .time_if(LAST_USED_AT, token.last_used_at)
        .text_if("replaces", token.replaces.as_ref())
        .text_if(REPLACED_BY, token.replaced_by.as_ref())
        .build();
    item.extend(token_key(&token.id));
    item
}

fn read_token(item: &Item) -> Result<Token, StoreError> {
    Ok(Token {
        id: item.text(PK)?.strip_prefix("token#").and_then(|id| id.parse().ok()).ok_or_else(|| malformed(PK))?,
        hash: TokenHash(item.array("hash")?),
        organisation: item.parsed(ORGANISATION)?,
        name: item.text("name")?.to_owned(),
        role: item.parsed("role")?,
        created_at: item.time("createdAt")?,
        expires_at: item.time_if(EXPIRES_AT)?,
        last_used_at: item.time_if(LAST_USED_AT)?,
        replaces: item.parsed_if("replaces")?,
        replaced_by: item.parsed_if(REPLACED_BY)?,
    })
}

/// Adds the attributes that a portal link and a session have in common.
fn whose(item: Builder, organisation: &OrganisationId, role: Role, user: &User) -> Builder {
    item.text(ORGANISATION, organisation)
        .text("role", role.as_str())
        .text("userId", &user.id)
        .text("userName", &user.name)
        .text_if("userEmail", user.email.as_ref())
}

fn read_user(item: &Item) -> Result<User, StoreError> {
    Ok(User {
        id: item.text("userId")?.to_owned(),
        name: item.text("userName")?.to_owned(),
        email: item.text("userEmail").ok().map(str::to_owned),
    })
}

fn link_attribute(hash: &TokenHash, kind: &str) -> Attributes {
    Builder::default().text(PK, format!("link#{}", hex::encode(hash.0))).text(SK, kind).build()
}

pub(super) fn link_key(hash: &TokenHash) -> Attributes {
    link_attribute(hash, "link")
}

pub(super) fn link_item(link: &PortalLink) -> Attributes {
    let mut item = whose(Builder::default(), &link.organisation, link.role, &link.user)
        .time(EXPIRES_AT, link.expires_at)
        .number(EXPIRY, link.expires_at.plus(LINK_REMEMBERED_FOR).as_secs_ceil())
        .text_if("path", link.path.as_ref().map(ConsolePath::as_str))
        .text_if(RETURN_URL, link.return_url.as_ref().map(ReturnUrl::as_str))
        .build();
    item.extend(link_key(&link.hash));
    item
}

/// Links and sessions of version 0.1 do not have it.
fn read_return_url(item: &Item) -> Option<ReturnUrl> {
    item.text(RETURN_URL).ok().and_then(|url| url.parse().ok())
}

fn read_link(item: &Item, hash: TokenHash) -> Result<PortalLink, StoreError> {
    Ok(PortalLink {
        hash,
        organisation: item.parsed(ORGANISATION)?,
        role: item.parsed("role")?,
        user: read_user(item)?,
        path: item.text("path").ok().and_then(|path| path.parse().ok()),
        return_url: read_return_url(item),
        expires_at: item.time(EXPIRES_AT)?,
    })
}

/// Returns the key of the mark that a link was used. It is an item of its own, because version 0.1 takes any item with
/// [`link_key`] for an unused link.
fn used_link_key(hash: &TokenHash) -> Attributes {
    link_attribute(hash, "used")
}

pub(super) fn used_link_item(hash: &TokenHash, used_at: Timestamp) -> Attributes {
    let mut item = Builder::default().number(EXPIRY, used_at.plus(LINK_REMEMBERED_FOR).as_secs_ceil()).build();
    item.extend(used_link_key(hash));
    item
}

pub(super) fn session_key(hash: &TokenHash) -> Attributes {
    Builder::default().text(PK, format!("session#{}", hex::encode(hash.0))).text(SK, "session").build()
}

pub(super) fn session_item(session: &Session) -> Attributes {
    let item =
        Builder::default().text(GROUP, format!("sessions#{}", session.organisation)).text(GROUP_SORT, session.id());
    let mut item = whose(item, &session.organisation, session.role, &session.user)
        .time(STARTED_AT, session.started_at)
        .time(EXPIRES_AT, session.expires_at)
        .time(ENDS_AT, session.ends_at)
        .number(EXPIRY, session.expires_at.as_secs_ceil())
        .text_if(RETURN_URL, session.return_url.as_ref().map(ReturnUrl::as_str))
        .build();
    item.extend(session_key(&session.hash));
    item
}

fn read_session(item: &Item) -> Result<Session, StoreError> {
    let hash = item.text(PK)?.strip_prefix("session#").and_then(|hash| hash.parse().ok());
    let expires_at = item.time(EXPIRES_AT)?;
    Ok(Session {
        hash: hash.ok_or_else(|| malformed(PK))?,
        organisation: item.parsed(ORGANISATION)?,
        role: item.parsed("role")?,
        user: read_user(item)?,
        // Sessions of version 0.1 are not extended.
        started_at: item.time_if(STARTED_AT)?.unwrap_or_else(|| expires_at.minus(SESSION_LIFE)),
        expires_at,
        ends_at: item.time_if(ENDS_AT)?.unwrap_or(expires_at),
        return_url: read_return_url(item),
    })
}

pub(super) fn destination_key(organisation: &OrganisationId, id: &DestinationId) -> Attributes {
    Builder::default().text(PK, format!("org#{organisation}")).text(SK, format!("destination#{id}")).build()
}

pub(super) fn destination_item(destination: &Destination) -> Result<Attributes, StoreError> {
    let failing = destination.progress.failing.as_ref();
    let settings = &destination.settings;
    let mut item = Builder::default()
        .number(NEXT_SEQUENCE, destination.next_sequence)
        .time_if(RETRY_AT, failing.map(|failing| failing.retry_at))
        .text("bucket", &destination.bucket)
        .text("roleArn", &destination.role_arn)
        .text("prefix", settings.prefix.as_str())
        .text_if("region", settings.region.as_ref().map(|region| region.as_str()))
        .text("compression", settings.compression.as_str())
        .text("layout", settings.layout.as_str())
        .text_if(RENDERING, rendering_text(settings.rendering)?)
        .text_if("bucketOwner", settings.bucket_owner.as_ref())
        .flag("paused", destination.paused)
        // Version 0.1 delivers to whatever is not disabled.
        .flag("disabled", destination.disabled || destination.proof.proven.is_none())
        .flag(PLAN_DISABLED, destination.disabled)
        .time("createdAt", destination.created_at)
        .number_if("firstSequence", destination.first_sequence)
        .number("deliveries", destination.deliveries)
        .time_if("lastSuccess", destination.progress.last_success)
        .time_if(LAG_FROM, destination.progress.lag_from)
        .bytes_unless_empty(DELIVERED, &destination.progress.delivered.to_bytes())
        .time_if(DELIVERED_UNKNOWN_UNTIL, destination.progress.delivered.unknown_until)
        .number(VERSION, destination.version);
    // What planning needs to know fits into one attribute of the index.
    item = match destination.checkpoints.due_at {
        Some(due) if destination.intent.is_none() && destination.replay.is_none() => item.time(PENDING, due),
        _ => item.flag(PENDING, destination.intent.is_some() || destination.replay.is_some()),
    };
    item = checkpoint_attributes(item, &destination.checkpoints)?;
    item = proof_attributes(item, &destination.proof)
        .text_if(PENDING_CHANGE, destination.pending.as_ref().map(to_json).transpose()?);
    if destination.is_active() {
        item = item
            .text(GROUP, format!("active#{}", shard_of(&destination.id)))
            .text(GROUP_SORT, ActivePosition::of(&destination.organisation, &destination.id).as_str());
    }
    if let Some(intent) = &destination.intent {
        item = intent_attributes(item, &INTENT, intent)?;
    }
    if let Some(replay) = &destination.replay {
        item = item
            .text("replayId", &replay.id)
            .number("replayNext", replay.next)
            .number("replayLast", replay.last)
            .time("replayStartedAt", replay.started_at);
        if let Some(intent) = &replay.intent {
            item = intent_attributes(item, &REPLAY_INTENT, intent)?;
        }
    }
    if let Some(LineHash(hash)) = &destination.progress.last_hash {
        item = item.bytes(DELIVERED_HASH, hash);
    }
    if let Some(failing) = failing {
        item = item
            .text(FAILURE_CODE, failing.failure.code.as_str())
            .text("failureCause", &failing.failure.cause)
            .text("failureFix", &failing.failure.fix)
            .text_if("failureAdvice", advice_json(&failing.failure.fix)?)
            .text_if("failureAws", failing.failure.aws.as_ref())
            .time("failingSince", failing.since)
            .number("failingAttempts", failing.attempts.into());
    }
    if let Some(lost) = &destination.progress.lost {
        item = item
            .number("lostEvents", lost.events)
            .number("lostFirst", *lost.last.start())
            .number("lostLast", *lost.last.end())
            .time("lostNoticedAt", lost.noticed_at);
    }
    let mut item = item.build();
    item.extend(destination_key(&destination.organisation, &destination.id));
    Ok(item)
}

fn proof_attributes(item: Builder, proof: &Proof) -> Builder {
    let Proof { proven, lost_at, challenge, claimed } = proof;
    let challenge = challenge.as_ref();
    item.text(PROVEN_BY, proven.map_or("", |proven| proven.by.as_str()))
        .time_if("provenAt", proven.map(|proven| proven.at))
        .time_if("proofCheckAt", proven.map(|proven| proven.check_at))
        .time_if("proofLostAt", *lost_at)
        .text_if("challengeCode", challenge.map(|challenge| &challenge.code))
        .time_if("challengeIssuedAt", challenge.map(|challenge| challenge.issued_at))
        .number_if("challengeAttempts", challenge.map(|challenge| challenge.attempts.into()))
        .flag("claimed", *claimed)
}

/// Reads whether the plan has disabled the destination, and the proof.
fn read_proof(item: &Item) -> Result<(bool, Proof), StoreError> {
    if !item.has(PROVEN_BY) {
        if item.number(VERSION)? < Destination::FIRST_VERSION {
            return Ok((item.flag("disabled")?, Proof::of_earlier_version(item.time_if("lastSuccess")?)));
        }
        // An instance of version 0.1 has changed it and dropped the proof, which has to be given again.
        return Ok((false, Proof::default()));
    }
    let proven = match item.text(PROVEN_BY)? {
        "" => None,
        by => Some(Proven {
            by: by.parse().map_err(|_| malformed(PROVEN_BY))?,
            at: item.time("provenAt")?,
            check_at: item.time("proofCheckAt")?,
        }),
    };
    let challenge = if item.has("challengeCode") {
        Some(Challenge {
            code: item.text("challengeCode")?.to_owned(),
            issued_at: item.time("challengeIssuedAt")?,
            attempts: u32::try_from(item.number("challengeAttempts")?).unwrap_or(u32::MAX),
        })
    } else {
        None
    };
    let proof = Proof { proven, lost_at: item.time_if("proofLostAt")?, challenge, claimed: item.flag("claimed")? };
    Ok((item.flag(PLAN_DISABLED)?, proof))
}

/// Adds the state of checkpoints. Each part is JSON.
fn checkpoint_attributes(item: Builder, checkpoints: &Checkpoints) -> Result<Builder, StoreError> {
    let Checkpoints { last, begun, unsigned, restored, due_at } = checkpoints;
    Ok(item
        .text_if(CHECKPOINT_LAST, last.as_ref().map(to_json).transpose()?)
        .text_if(CHECKPOINT_BEGUN, begun.as_ref().map(to_json).transpose()?)
        .text_if(CHECKPOINT_UNSIGNED, unsigned.as_ref().map(to_json).transpose()?)
        .text_if(CHECKPOINT_RESTORED, restored.then_some("registry"))
        .time_if(CHECKPOINT_DUE, *due_at))
}

fn read_checkpoints(item: &Item) -> Result<Checkpoints, StoreError> {
    Ok(Checkpoints {
        last: from_json_if(item, CHECKPOINT_LAST)?,
        begun: from_json_if(item, CHECKPOINT_BEGUN)?,
        unsigned: from_json_if(item, CHECKPOINT_UNSIGNED)?,
        restored: item.has(CHECKPOINT_RESTORED),
        due_at: item.time_if(CHECKPOINT_DUE)?,
    })
}

fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.into()))
}

fn from_json_if<T: serde::de::DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>, StoreError> {
    match item.text(name) {
        Ok(json) => serde_json::from_str(json).map(Some).map_err(|_| malformed(name)),
        Err(_) => Ok(None),
    }
}

/// Returns the parts of `advice` as JSON. Returns `None` if the advice is only text.
fn advice_json(advice: &Advice) -> Result<Option<String>, StoreError> {
    if Advice::from(advice.to_string()) == *advice {
        return Ok(None);
    }
    serde_json::to_string(advice).map(Some).map_err(|error| StoreError::Broken(error.into()))
}

/// Earlier versions stored only the text.
fn read_advice(item: &Item) -> Result<Advice, StoreError> {
    match item.text("failureAdvice") {
        Ok(json) => serde_json::from_str(json).map_err(|_| malformed("failureAdvice")),
        Err(_) => Ok(item.text("failureFix")?.into()),
    }
}

/// The names of an intent's attributes.
struct IntentNames {
    first: &'static str,
    last: &'static str,
    key: &'static str,
    attempted: &'static str,
    prefix: &'static str,
    compression: &'static str,
    rendering: &'static str,
    expired: &'static str,
    taken_at: &'static str,
}

const INTENT: IntentNames = IntentNames {
    first: "intentFirst",
    last: "intentLast",
    key: "intentKey",
    attempted: "intentAttempted",
    prefix: "intentPrefix",
    compression: "intentCompression",
    rendering: "intentRendering",
    expired: "intentExpired",
    taken_at: "intentTakenAt",
};

const REPLAY_INTENT: IntentNames = IntentNames {
    first: "replayIntentFirst",
    last: "replayIntentLast",
    key: "replayIntentKey",
    attempted: "replayIntentAttempted",
    prefix: "replayIntentPrefix",
    compression: "replayIntentCompression",
    rendering: "replayIntentRendering",
    expired: "replayIntentExpired",
    taken_at: "replayIntentTakenAt",
};

/// Returns a rendering as JSON. Returns `None` if it is the native one, which earlier versions knew alone.
fn rendering_text(rendering: Rendering) -> Result<Option<String>, StoreError> {
    (!rendering.is_native()).then(|| to_json(&rendering)).transpose()
}

fn intent_attributes(item: Builder, names: &IntentNames, intent: &Intent) -> Result<Builder, StoreError> {
    let item = item.text_if(names.rendering, rendering_text(intent.rendering)?);
    Ok(item
        .number(names.first, intent.first)
        .number(names.last, intent.last)
        .text(names.key, &intent.key)
        .flag(names.attempted, intent.attempted)
        .text(names.prefix, intent.prefix.as_str())
        .text(names.compression, intent.compression.as_str())
        .text(names.expired, ranges_text(&intent.expired))
        .time_if(names.taken_at, intent.taken_at))
}

/// Writes ranges as `1-5,9-9`.
fn ranges_text(ranges: &[RangeInclusive<u64>]) -> String {
    ranges.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect::<Vec<_>>().join(",")
}

fn read_ranges(text: &str) -> Option<Vec<RangeInclusive<u64>>> {
    text.split(',')
        .filter(|range| !range.is_empty())
        .map(|range| {
            let (first, last) = range.split_once('-')?;
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .collect()
}

fn read_intent(item: &Item, names: &IntentNames) -> Result<Option<Intent>, StoreError> {
    if !item.has(names.key) {
        return Ok(None);
    }
    Ok(Some(Intent {
        first: item.number(names.first)?,
        last: item.number(names.last)?,
        key: item.text(names.key)?.to_owned(),
        // Earlier versions stored every intent right before its put.
        attempted: if item.has(names.attempted) { item.flag(names.attempted)? } else { true },
        prefix: item.parsed(names.prefix)?,
        compression: item.parsed(names.compression)?,
        rendering: from_json_if(item, names.rendering)?.unwrap_or_default(),
        expired: read_ranges(item.text(names.expired)?).ok_or_else(|| malformed(names.expired))?,
        taken_at: item.time_if(names.taken_at)?,
    }))
}

fn read_destination(item: &Item) -> Result<Destination, StoreError> {
    let replay = if item.has("replayId") {
        Some(Replay {
            id: item.text("replayId")?.to_owned(),
            next: item.number("replayNext")?,
            last: item.number("replayLast")?,
            started_at: item.time("replayStartedAt")?,
            intent: read_intent(item, &REPLAY_INTENT)?,
        })
    } else {
        None
    };
    let failing = if item.has(FAILURE_CODE) {
        Some(Failing {
            failure: Failure {
                code: FailureCode::named(item.text(FAILURE_CODE)?),
                cause: item.text("failureCause")?.to_owned(),
                fix: read_advice(item)?,
                aws: item.text("failureAws").ok().map(str::to_owned),
            },
            since: item.time("failingSince")?,
            attempts: u32::try_from(item.number("failingAttempts")?).unwrap_or(u32::MAX),
            retry_at: item.time(RETRY_AT)?,
        })
    } else {
        None
    };
    let lost = if item.has("lostEvents") {
        Some(Lost {
            events: item.number("lostEvents")?,
            last: item.number("lostFirst")?..=item.number("lostLast")?,
            noticed_at: item.time("lostNoticedAt")?,
        })
    } else {
        None
    };
    let (disabled, proof) = read_proof(item)?;
    Ok(Destination {
        id: item.text(SK)?.strip_prefix("destination#").and_then(|id| id.parse().ok()).ok_or_else(|| malformed(SK))?,
        organisation: item
            .text(PK)?
            .strip_prefix("org#")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| malformed(PK))?,
        bucket: item.parsed("bucket")?,
        role_arn: item.parsed("roleArn")?,
        settings: Settings {
            prefix: item.parsed("prefix")?,
            region: item.parsed_if("region")?,
            compression: item.parsed("compression")?,
            layout: item.parsed("layout")?,
            rendering: from_json_if(item, RENDERING)?.unwrap_or_default(),
            bucket_owner: item.parsed_if("bucketOwner")?,
        },
        paused: item.flag("paused")?,
        disabled,
        created_at: item.time("createdAt")?,
        proof,
        pending: from_json_if(item, PENDING_CHANGE)?,
        first_sequence: item.number_if("firstSequence")?,
        next_sequence: item.number(NEXT_SEQUENCE)?,
        // Earlier versions did not number deliveries.
        deliveries: item.number_if("deliveries")?.unwrap_or(0),
        intent: read_intent(item, &INTENT)?,
        replay,
        progress: Progress {
            last_success: item.time_if("lastSuccess")?,
            failing,
            lost,
            last_hash: if item.has(DELIVERED_HASH) { Some(LineHash(item.array(DELIVERED_HASH)?)) } else { None },
            lag_from: item.time_if(LAG_FROM)?,
            delivered: read_delivered(item)?,
        },
        checkpoints: read_checkpoints(item)?,
        version: item.number(VERSION)?,
    })
}

fn read_delivered(item: &Item) -> Result<DeliveredMonths, StoreError> {
    let stored = if item.has(DELIVERED) { item.bytes(DELIVERED)? } else { &[] };
    let unknown_until = item.time_if(DELIVERED_UNKNOWN_UNTIL)?;
    DeliveredMonths::from_bytes(stored, unknown_until).ok_or_else(|| malformed(DELIVERED))
}

/// Returns the item that keeps what was delivered to a destination that is deleted; `None` if nothing was.
pub(super) fn deleted_deliveries_item(destination: &Destination) -> Option<Attributes> {
    let delivered = destination.progress.usage();
    let item = Builder::default()
        .text(PK, format!("org#{}", destination.organisation))
        .text(SK, format!("{USAGE_OF_DELETED}{}", destination.id))
        .bytes_unless_empty(DELIVERED, &delivered.to_bytes())
        .time_if(DELIVERED_UNKNOWN_UNTIL, delivered.unknown_until)
        .build();
    (!delivered.is_empty()).then_some(item)
}

fn read_active(item: &Item) -> Result<ActiveDestination, StoreError> {
    let (pending, checkpoint_due) = match item.time(PENDING) {
        Ok(due) => (false, Some(due)),
        Err(_) => (item.flag(PENDING)?, None),
    };
    let (organisation, id) = item.text(GROUP_SORT)?.split_once('#').ok_or_else(|| malformed(GROUP_SORT))?;
    Ok(ActiveDestination {
        organisation: organisation.parse().map_err(|_| malformed(GROUP_SORT))?,
        id: id.parse().map_err(|_| malformed(GROUP_SORT))?,
        next_sequence: item.number(NEXT_SEQUENCE)?,
        pending,
        checkpoint_due,
        retry_at: item.time_if(RETRY_AT)?,
        failure: item.text(FAILURE_CODE).ok().map(FailureCode::named),
        lag_from: item.time_if(LAG_FROM)?,
    })
}

fn plan_pass_item(pass: &PlanPass) -> Result<Attributes, StoreError> {
    let item = Builder::default().text(PK, "plan").text(SK, format!("shard#{}", pass.shard));
    Ok(item.time(TICK, pass.tick).text(REST, to_json(&pass.rest)?).build())
}

fn read_plan_pass(item: &Item) -> Result<PlanPass, StoreError> {
    let shard = item.text(SK)?.strip_prefix("shard#").and_then(|shard| shard.parse().ok());
    Ok(PlanPass {
        shard: shard.ok_or_else(|| malformed(SK))?,
        tick: item.time(TICK)?,
        rest: from_json_if(item, REST)?.unwrap_or_default(),
    })
}

fn deliveries_key(organisation: &OrganisationId, id: &DestinationId) -> String {
    format!("deliveries#{organisation}#{id}")
}

fn delivery_item(delivery: &Delivery) -> Attributes {
    let mut item = Builder::default()
        .text(PK, deliveries_key(&delivery.organisation, &delivery.destination))
        .text(
            SK,
            format!(
                "{:015}#{:012}#{}",
                delivery.delivered_at.as_millis(),
                delivery.first,
                delivery.replay.as_deref().unwrap_or_default(),
            ),
        )
        .number_if("number", delivery.number)
        .number("firstSequence", delivery.first)
        .number("lastSequence", delivery.last)
        .text("expired", ranges_text(&delivery.expired))
        .text_if("lost", delivery.lost.as_ref().map(|lost| ranges_text(std::slice::from_ref(lost))))
        .text("key", &delivery.key)
        .text_if("bucket", delivery.bucket.as_ref())
        .text_if("replay", delivery.replay.as_ref())
        .flag("alreadyThere", delivery.already_there)
        .number("lagSeconds", delivery.lag_seconds)
        .number("lagEvents", delivery.lag_events)
        .time("deliveredAt", delivery.delivered_at)
        .number(EXPIRY, delivery.delivered_at.plus(DELIVERY_TTL).as_secs_ceil());
    if let Some(LineHash(hash)) = &delivery.last_hash {
        item = item.bytes("lastHash", hash);
    }
    if let Some(content) = &delivery.content {
        item = item.number("events", content.events).number("bytes", content.bytes).text("sha256", &content.sha256);
    }
    item.build()
}

fn read_delivery(item: &Item, organisation: &OrganisationId, id: &DestinationId) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        organisation: organisation.clone(),
        destination: id.clone(),
        number: item.number_if("number")?,
        first: item.number("firstSequence")?,
        last: item.number("lastSequence")?,
        last_hash: if item.has("lastHash") { Some(LineHash(item.array("lastHash")?)) } else { None },
        // Earlier versions did not store it.
        expired: if item.has("expired") {
            read_ranges(item.text("expired")?).ok_or_else(|| malformed("expired"))?
        } else {
            Vec::new()
        },
        lost: match item.text("lost") {
            Ok(text) => read_ranges(text).and_then(|ranges| ranges.into_iter().next()),
            Err(_) => None,
        },
        key: item.text("key")?.to_owned(),
        // Earlier versions did not store it.
        bucket: item.parsed_if("bucket")?,
        replay: item.text("replay").ok().map(str::to_owned),
        // Earlier versions did not store it.
        already_there: if item.has("alreadyThere") { item.flag("alreadyThere")? } else { false },
        content: if item.has("sha256") {
            Some(Content {
                events: item.number("events")?,
                bytes: item.number("bytes")?,
                sha256: item.text("sha256")?.to_owned(),
            })
        } else {
            None
        },
        lag_seconds: item.number("lagSeconds")?,
        lag_events: item.number("lagEvents")?,
        delivered_at: item.time("deliveredAt")?,
    })
}

pub(super) fn connection_test_key(organisation: &OrganisationId, id: &DestinationId) -> Attributes {
    Builder::default().text(PK, format!("org#{organisation}")).text(SK, format!("connectionTest#{id}")).build()
}

fn claims_key(key: &ClaimKey) -> Attributes {
    Builder::default().text(PK, format!("claims#{}", key.as_str())).text(SK, "claims").build()
}

fn read_holder(line: &str) -> Option<Holder> {
    let mut parts = line.splitn(3, '/');
    Some(Holder {
        organisation: parts.next()?.parse().ok()?,
        destination: parts.next()?.parse().ok()?,
        prefix: parts.next()?.parse().ok()?,
    })
}

fn uses_key(organisation: &OrganisationId, limited: Limited) -> Attributes {
    Builder::default().text(PK, format!("org#{organisation}")).text(SK, format!("uses#{}", limited.as_str())).build()
}

/// Returns whether a conditional put was made.
fn saved_if_unchanged(result: Result<PutItemOutput, SdkError<PutItemError, HttpResponse>>) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_) | PutItemError::TransactionConflictException(_)) => {
                Ok(false)
            }
            _ => Err(store_error(error)),
        },
    }
}

fn times_text(times: &[Timestamp]) -> String {
    times.iter().map(|time| time.as_millis().to_string()).collect::<Vec<_>>().join(",")
}

impl DynamoStore {
    pub(super) async fn get(&self, key: Attributes, consistency: Consistency) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.registry)
            .set_key(Some(key))
            .consistent_read(consistency == Consistency::Strong)
            .send()
            .await
            .map_err(store_error)?;
        Ok(answer.item.map(Item))
    }

    /// Returns at most `limit` things whose index entries are in `group` and follow `after`. Leaves out those that cannot be
    /// read, and goes on behind them: fewer than `limit` are returned only if there are no more.
    async fn page<T>(
        &self,
        group: String,
        mut after: Option<String>,
        limit: usize,
        read: fn(&Item) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut page = Vec::new();
        loop {
            let wanted = limit - page.len();
            let listed = self.listed(group.clone(), after.as_deref(), Some(wanted)).await?;
            let is_last = listed.len() < wanted;
            after = listed.last().and_then(|item| item.text(GROUP_SORT).ok()).map(str::to_owned);
            page.extend(readable(&self.tables.registry, &self.whole(listed).await?, read));
            if is_last || page.len() >= limit || after.is_none() {
                return Ok(page);
            }
        }
    }

    /// Returns at most `limit` index entries of `group` that follow `after`.
    async fn listed(&self, group: String, after: Option<&str>, limit: Option<usize>) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let mut query = self
                .client
                .query()
                .table_name(&self.tables.registry)
                .index_name(LISTING)
                .expression_attribute_values(":group", AttributeValue::S(group.clone()))
                .set_exclusive_start_key(start)
                .set_limit(limit.map(|limit| i32::try_from(limit - items.len()).unwrap_or(i32::MAX)));
            query = match after {
                Some(after) => query
                    .key_condition_expression("g = :group AND gs > :after")
                    .expression_attribute_values(":after", AttributeValue::S(after.to_owned())),
                None => query.key_condition_expression("g = :group"),
            };
            let answer = query.send().await.map_err(store_error)?;
            items.extend(answer.items.unwrap_or_default().into_iter().map(Item));
            start = answer.last_evaluated_key;
            if start.is_none() || limit.is_some_and(|limit| items.len() >= limit) {
                return Ok(items);
            }
        }
    }

    /// Returns the whole items of the index entries, in the same order, strongly consistent. Deleted items are left
    /// out.
    async fn whole(&self, listed: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut found = HashMap::new();
        let mut order = Vec::new();
        for item in &listed {
            order.push(item.text(PK)?.to_owned());
        }
        let mut wanted: Vec<Attributes> = listed
            .into_iter()
            .map(|item| item.0.into_iter().filter(|(name, _)| name == PK || name == SK).collect())
            .collect();
        while !wanted.is_empty() {
            let rest = wanted.split_off(wanted.len().min(BATCH_GET));
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.tables.registry, keys.map_err(|error| StoreError::Broken(error.into()))?)
                .send()
                .await
                .map_err(store_error)?;
            for item in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                let item = Item(item);
                found.insert(item.text(PK)?.to_owned(), item);
            }
            wanted = rest;
            let left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys);
            wanted.extend(left);
        }
        Ok(order.iter().filter_map(|pk| found.remove(pk)).collect())
    }
}

/// The organisation and the partition key, neither of which is anyone's, of the item in each table that names the table.
const MARK: &str = "#table";
/// The name of the table that an item with [`MARK`] was put into. A copy of the table has the name of the original.
const MARKED: &str = "table";

impl DynamoStore {
    fn marks(&self) -> [(&str, Attributes); 2] {
        let log = Builder::default().text(ORG, MARK).number(SEQ, 0).build();
        let registry = Builder::default().text(PK, MARK).text(SK, MARK).build();
        [(&self.tables.log, log), (&self.tables.registry, registry)]
    }

    /// Returns whether a table has the mark of another one. Marks it if it has none.
    async fn is_copy(&self, table: &str, key: Attributes) -> Result<bool, StoreError> {
        let get = self.client.get_item().table_name(table).set_key(Some(key.clone()));
        let answer = get.consistent_read(true).send().await.map_err(store_error)?;
        match answer.item.map(Item) {
            Some(mark) => Ok(mark.text(MARKED)? != table),
            None => {
                self.mark(table, key).await?;
                Ok(false)
            }
        }
    }

    /// Puts an item into the registry's table if `condition` holds. Returns whether it was put.
    pub(super) async fn put_if(
        &self,
        item: Attributes,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<bool, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.tables.registry)
            .set_item(Some(item))
            .condition_expression(condition);
        if let Some((name, value)) = value {
            put = put.expression_attribute_values(name, value);
        }
        is_made(put.send().await)
    }

    /// Puts an item whose version follows `before` on condition that the stored one has that version; 0: that there is none.
    /// Returns whether it was put.
    async fn replace_version(&self, item: Attributes, before: u64) -> Result<bool, StoreError> {
        let put = self.client.put_item().table_name(&self.tables.registry).set_item(Some(item));
        let put = match before {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            before => put
                .condition_expression("#version = :before")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        saved_if_unchanged(put.send().await)
    }

    async fn mark(&self, table: &str, mut item: Attributes) -> Result<(), StoreError> {
        item.insert(MARKED.to_owned(), AttributeValue::S(table.to_owned()));
        let put = self.client.put_item().table_name(table).set_item(Some(item));
        put.send().await.map(drop).map_err(store_error)
    }
}

#[async_trait]
impl Registry for DynamoStore {
    async fn copied_tables(&self) -> Result<Option<RestoredTables>, StoreError> {
        let [log, registry] = self.marks();
        let copies = try_join(self.is_copy(log.0, log.1), self.is_copy(registry.0, registry.1)).await?;
        Ok(match copies {
            (true, true) => Some(RestoredTables::Both),
            (true, false) => Some(RestoredTables::Log),
            (false, true) => Some(RestoredTables::Registry),
            (false, false) => None,
        })
    }

    async fn adopt_tables(&self) -> Result<(), StoreError> {
        let [log, registry] = self.marks();
        try_join(self.mark(log.0, log.1), self.mark(registry.0, registry.1)).await.map(drop)
    }

    async fn organisation(
        &self,
        id: &OrganisationId,
        consistency: Consistency,
    ) -> Result<Option<Organisation>, StoreError> {
        let item = self.get(organisation_key(id), consistency).await?;
        item.as_ref().map(read_organisation).transpose()
    }

    async fn organisations(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<Organisation>, StoreError> {
        self.page("organisations".into(), after.map(ToString::to_string), limit, read_organisation).await
    }

    async fn organisation_ids(
        &self,
        after: Option<&OrganisationId>,
        limit: usize,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        let mut ids = Vec::new();
        let mut after = after.map(ToString::to_string);
        loop {
            let wanted = (limit - ids.len()).min(LISTED_AT_ONCE);
            let listed = self.listed("organisations".into(), after.as_deref(), Some(wanted)).await?;
            let is_last = listed.len() < wanted;
            after = listed.last().and_then(|item| item.text(GROUP_SORT).ok()).map(str::to_owned);
            ids.extend(readable(&self.tables.registry, &listed, |item| item.parsed(GROUP_SORT)));
            if is_last || ids.len() >= limit || after.is_none() {
                return Ok(ids);
            }
        }
    }

    async fn token(&self, id: &TokenId, consistency: Consistency) -> Result<Option<Token>, StoreError> {
        let item = self.get(token_key(id), consistency).await?;
        item.as_ref().map(read_token).transpose()
    }

    async fn tokens(&self, organisation: &OrganisationId) -> Result<Vec<Token>, StoreError> {
        let listed = self.listed(format!("tokens#{organisation}"), None, None).await?;
        Ok(readable(&self.tables.registry, &self.whole(listed).await?, read_token))
    }

    async fn note_token_use(&self, id: &TokenId, at: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
        let millis = |moment: Timestamp| AttributeValue::N(moment.as_millis().to_string());
        let result = self
            .client
            .update_item()
            .table_name(&self.tables.registry)
            .set_key(Some(token_key(id)))
            .update_expression("SET #used = :at")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(#used) OR #used <= :after)")
            .expression_attribute_names("#used", LAST_USED_AT)
            .expression_attribute_values(":at", millis(at))
            .expression_attribute_values(":after", millis(unless_after))
            .send()
            .await;
        is_made(result).map(drop)
    }

    async fn platform_tokens(&self) -> Result<PlatformTokens, StoreError> {
        let item = self.get(platform::tokens_key(), Consistency::Strong).await?;
        item.as_ref().map_or_else(|| Ok(PlatformTokens::default()), platform::read_tokens)
    }

    async fn save_platform_tokens(&self, tokens: &PlatformTokens) -> Result<bool, StoreError> {
        self.replace_version(platform::tokens_item(tokens)?, tokens.version - 1).await
    }

    async fn portal_link(&self, hash: &TokenHash) -> Result<Option<PortalLink>, StoreError> {
        let item = self.get(link_key(hash), Consistency::Strong).await?;
        item.as_ref().map(|item| read_link(item, *hash)).transpose()
    }

    async fn session(&self, hash: &TokenHash) -> Result<Option<Session>, StoreError> {
        let item = self.get(session_key(hash), Consistency::Strong).await?;
        item.as_ref().map(read_session).transpose()
    }

    async fn is_link_used(&self, hash: &TokenHash) -> Result<bool, StoreError> {
        Ok(self.get(used_link_key(hash), Consistency::Strong).await?.is_some())
    }

    async fn sessions(&self, organisation: &OrganisationId) -> Result<Vec<Session>, StoreError> {
        let listed = self.listed(format!("sessions#{organisation}"), None, None).await?;
        Ok(readable(&self.tables.registry, &self.whole(listed).await?, read_session))
    }

    async fn extend_session(&self, hash: &TokenHash, expires_at: Timestamp) -> Result<(), StoreError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.tables.registry)
            .set_key(Some(session_key(hash)))
            .update_expression("SET #end = :end, #expiry = :expiry")
            .condition_expression("#end < :end")
            .expression_attribute_names("#end", EXPIRES_AT)
            .expression_attribute_names("#expiry", EXPIRY)
            .expression_attribute_values(":end", AttributeValue::N(expires_at.as_millis().to_string()))
            .expression_attribute_values(":expiry", AttributeValue::N(expires_at.as_secs_ceil().to_string()))
            .send()
            .await;
        is_made(result).map(drop)
    }

    async fn destination(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, StoreError> {
        let item = self.get(destination_key(organisation, id), Consistency::Strong).await?;
        item.as_ref().map(read_destination).transpose()
    }

    async fn destinations(&self, organisation: &OrganisationId) -> Result<Vec<Destination>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.registry)
            .key_condition_expression("pk = :pk AND begins_with(sk, :kind)")
            .expression_attribute_values(":pk", AttributeValue::S(format!("org#{organisation}")))
            .expression_attribute_values(":kind", AttributeValue::S("destination#".to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        Ok(readable(&self.tables.registry, &items, read_destination))
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        let listed = self.listed(format!("active#{shard}"), after.map(ActivePosition::as_str), Some(limit)).await?;
        let last = listed.last().filter(|_| listed.len() == limit);
        let next = last.map(|item| item.text(GROUP_SORT).map(ActivePosition::from)).transpose()?;
        Ok(ActivePage { destinations: readable(&self.tables.registry, &listed, read_active), next })
    }

    async fn plan_passes(&self) -> Result<Vec<PlanPass>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.registry)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S("plan".to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(store_error)?;
        answer.items.unwrap_or_default().into_iter().map(|item| read_plan_pass(&Item(item))).collect()
    }

    async fn save_plan_pass(&self, pass: &PlanPass) -> Result<bool, StoreError> {
        let tick = AttributeValue::N(pass.tick.as_millis().to_string());
        let result = self
            .client
            .put_item()
            .table_name(&self.tables.registry)
            .set_item(Some(plan_pass_item(pass)?))
            .condition_expression("attribute_not_exists(pk) OR #tick <= :tick")
            .expression_attribute_names("#tick", TICK)
            .expression_attribute_values(":tick", tick)
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(store_error(error)),
            },
        }
    }

    async fn note_maintenance(&self, run: Timestamp, step: MaintenanceStep) -> Result<MaintenanceProgress, StoreError> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let key = Builder::default().text(PK, "maintenance").text(SK, format!("{:015}", run.as_millis())).build();
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.registry)
            .set_key(Some(key))
            .expression_attribute_names("#expiry", EXPIRY)
            .expression_attribute_values(":expiry", number(run.plus(MAINTENANCE_TTL).as_secs_ceil()))
            .return_values(ReturnValue::AllNew);
        let update = match step {
            MaintenanceStep::Divided { parts } => update
                .update_expression("SET #expiry = :expiry, #parts = :parts")
                .expression_attribute_names("#parts", PARTS)
                .expression_attribute_values(":parts", number(parts.into())),
            // A set contains a part once, however often it is added.
            MaintenanceStep::Finished { part } => update
                .update_expression("SET #expiry = :expiry ADD #finished :part")
                .expression_attribute_names("#finished", FINISHED)
                .expression_attribute_values(":part", AttributeValue::Ns(vec![part.to_string()])),
        };
        let answer = update.send().await.map_err(store_error)?;
        let item = Item(answer.attributes.unwrap_or_default());
        let count = |count: u64| u32::try_from(count).map_err(|_| malformed(PARTS));
        Ok(MaintenanceProgress {
            parts: item.number_if(PARTS)?.map(count).transpose()?,
            finished: match item.0.get(FINISHED) {
                Some(AttributeValue::Ns(parts)) => count(parts.len() as u64)?,
                Some(_) => return Err(malformed(FINISHED)),
                None => 0,
            },
        })
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let broken = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Broken(error.into());
        let item = destination_item(destination)?;
        let before = AttributeValue::N((destination.version - 1).to_string());
        let Some(delivery) = delivery else {
            let result = self
                .client
                .put_item()
                .table_name(&self.tables.registry)
                .set_item(Some(item.clone()))
                .condition_expression("#version = :before")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":before", before)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send()
                .await;
            return match result {
                Ok(_) => Ok(true),
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        // The same item is stored if an earlier attempt succeeded and its answer was lost.
                        Ok(failed.item() == Some(&item))
                    }
                    Some(PutItemError::TransactionConflictException(_)) => Ok(false),
                    _ => Err(store_error(error)),
                },
            };
        };
        let destination_put = change::next_version(destination)?.into_action(&self.tables.registry)?;
        let delivery_put =
            Put::builder().table_name(&self.tables.registry).set_item(Some(delivery_item(delivery))).build();
        let result = self
            .client
            .transact_write_items()
            .transact_items(destination_put)
            .transact_items(TransactWriteItem::builder().put(delivery_put.map_err(broken)?).build())
            .send()
            .await;
        let Err(error) = result else { return Ok(true) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reason = cancelled.cancellation_reasons().first();
                match reason.and_then(|reason| reason.code()) {
                    Some("ConditionalCheckFailed") => {
                        Ok(reason.and_then(|reason| reason.item()).is_some_and(|there| *there == item))
                    }
                    Some("TransactionConflict") => Ok(false),
                    _ => Err(store_error(error)),
                }
            }
            _ => Err(store_error(error)),
        }
    }

    async fn deliveries(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.registry)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(deliveries_key(organisation, id)))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(store_error)?;
        let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        Ok(readable(&self.tables.registry, &items, |item| read_delivery(item, organisation, id)))
    }

    async fn deliveries_numbered(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        range: RangeInclusive<u64>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut found = BTreeMap::new();
        let mut start = None;
        let wanted = if range.is_empty() { 0 } else { (range.end() - range.start()).saturating_add(1) };
        while (found.len() as u64) < wanted {
            let missing = wanted - found.len() as u64;
            let answer = self
                .client
                .query()
                .table_name(&self.tables.registry)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", AttributeValue::S(deliveries_key(organisation, id)))
                .scan_index_forward(false)
                .consistent_read(true)
                .limit(i32::try_from(missing.saturating_add(NEIGHBOURS)).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(store_error)?;
            let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
            for delivery in readable(&self.tables.registry, &items, |item| read_delivery(item, organisation, id)) {
                if let Some(number) = delivery.number.filter(|number| range.contains(number)) {
                    found.insert(number, delivery);
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        Ok(found.into_values().collect())
    }

    async fn delivery_of(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        sequence: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        // An event is delivered after it was recorded, usually within ten minutes. Replays can lie between.
        let from = format!("{:015}", recorded_at.minus(CLOCKS_DIFFER_BY).as_millis());
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.registry)
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":pk", AttributeValue::S(deliveries_key(organisation, id)))
                .expression_attribute_values(":from", AttributeValue::S(from.clone()))
                .set_exclusive_start_key(start)
                .limit(DELIVERIES_PAGE)
                .send()
                .await
                .map_err(store_error)?;
            let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
            for delivery in readable(&self.tables.registry, &items, |item| read_delivery(item, organisation, id)) {
                if delivery.replay.is_none() && delivery.last >= sequence {
                    return Ok((delivery.first <= sequence).then_some(delivery));
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(None);
            }
        }
    }

    async fn save_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
        report: &ConnectionTestReport,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(report).map_err(|error| StoreError::Broken(error.into()))?;
        let mut item = Builder::default()
            .text(CONNECTION_TEST_REPORT, json)
            .time("testedAt", report.tested_at)
            .number(EXPIRY, report.tested_at.plus(CONNECTION_TEST_TTL).as_secs_ceil())
            .build();
        item.extend(connection_test_key(organisation, id));
        let tested_at = AttributeValue::N(report.tested_at.as_millis().to_string());
        let condition = "attribute_not_exists(testedAt) OR testedAt <= :testedAt";
        self.put_if(item, condition, Some((":testedAt", tested_at))).await.map(drop)
    }

    async fn last_connection_test(
        &self,
        organisation: &OrganisationId,
        id: &DestinationId,
    ) -> Result<Option<ConnectionTestReport>, StoreError> {
        let item = self.get(connection_test_key(organisation, id), Consistency::Strong).await?;
        item.map(|item| {
            let json = item.text(CONNECTION_TEST_REPORT)?;
            serde_json::from_str(json).map_err(|_| malformed(CONNECTION_TEST_REPORT))
        })
        .transpose()
    }

    async fn claims(&self, key: &ClaimKey) -> Result<Claims, StoreError> {
        let Some(item) = self.get(claims_key(key), Consistency::Strong).await? else { return Ok(Claims::default()) };
        let holders = item.text(HOLDERS)?.lines().map(read_holder).collect::<Option<_>>();
        Ok(Claims { holders: holders.ok_or_else(|| malformed(HOLDERS))?, version: item.number(VERSION)? })
    }

    async fn save_claims(&self, key: &ClaimKey, claims: &Claims) -> Result<bool, StoreError> {
        let line =
            |holder: &Holder| format!("{}/{}/{}", holder.organisation, holder.destination, holder.prefix.as_str());
        let mut item = Builder::default()
            .text(HOLDERS, claims.holders.iter().map(line).collect::<Vec<_>>().join("\n"))
            .number(VERSION, claims.version)
            .build();
        item.extend(claims_key(key));
        self.replace_version(item, claims.version - 1).await
    }

    async fn deleted_deliveries(
        &self,
        organisation: &OrganisationId,
    ) -> Result<Vec<(DestinationId, DeliveredMonths)>, StoreError> {
        let mut deleted = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.registry)
                .key_condition_expression("pk = :pk AND begins_with(sk, :sk)")
                .expression_attribute_values(":pk", AttributeValue::S(format!("org#{organisation}")))
                .expression_attribute_values(":sk", AttributeValue::S(USAGE_OF_DELETED.to_owned()))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(store_error)?;
            for item in answer.items.unwrap_or_default() {
                let item = Item(item);
                let id = item.text(SK)?.strip_prefix(USAGE_OF_DELETED).and_then(|id| id.parse().ok());
                deleted.push((id.ok_or_else(|| malformed(SK))?, read_delivered(&item)?));
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(deleted);
            }
        }
    }

    async fn uses(&self, organisation: &OrganisationId, limited: Limited) -> Result<Vec<Timestamp>, StoreError> {
        let Some(item) = self.get(uses_key(organisation, limited), Consistency::Strong).await? else {
            return Ok(Vec::new());
        };
        let times = item.text(USE_TIMES)?.split(',').map(|millis| Some(Timestamp::from_millis(millis.parse().ok()?)));
        times.collect::<Option<_>>().ok_or_else(|| malformed(USE_TIMES))
    }

    async fn save_uses(
        &self,
        organisation: &OrganisationId,
        limited: Limited,
        before: &[Timestamp],
        after: &[Timestamp],
    ) -> Result<bool, StoreError> {
        let last = after.iter().max().copied().unwrap_or(Timestamp::EPOCH);
        let mut item = Builder::default()
            .text(USE_TIMES, times_text(after))
            .number(EXPIRY, last.plus(USES_TTL).as_secs_ceil())
            .build();
        item.extend(uses_key(organisation, limited));
        let put = self.client.put_item().table_name(&self.tables.registry).set_item(Some(item));
        let put = match before {
            [] => put.condition_expression("attribute_not_exists(pk)"),
            before => put
                .condition_expression("#times = :before")
                .expression_attribute_names("#times", USE_TIMES)
                .expression_attribute_values(":before", AttributeValue::S(times_text(before))),
        };
        saved_if_unchanged(put.send().await)
    }
}
