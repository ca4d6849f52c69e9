//! The buckets to which an organisation's events are delivered.

mod change_destination;
mod confirm_destination;
mod create_destination;
mod delete_destination;
mod get_destination;
mod get_setup;
mod list_deliveries;
mod list_destinations;
mod pause_destination;
mod replay_destination;
mod resume_destination;
mod withdraw_change;

use annals_core::{
    destination::{Compression, Destination, KeyLayout, ObjectFormat, PendingChange, ProvenBy, Shape},
    organisation::Organisation,
    time::Timestamp,
};
use annals_http::{
    Services,
    endpoint::Endpoints,
    schema::{Account, Moment, Sequence, Sha256},
};
use schemars::JsonSchema;
use serde::Serialize;

use self::{
    change_destination::ChangeDestination, confirm_destination::ConfirmDestination,
    create_destination::CreateDestination, delete_destination::DeleteDestination, get_destination::GetDestination,
    get_setup::GetSetup, list_deliveries::ListDeliveries, list_destinations::ListDestinations,
    pause_destination::PauseDestination, replay_destination::ReplayDestination, resume_destination::ResumeDestination,
    withdraw_change::WithdrawChange,
};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints
        .endpoint::<CreateDestination>()
        .endpoint::<ListDestinations>()
        .endpoint::<GetDestination>()
        .endpoint::<ChangeDestination>()
        .endpoint::<WithdrawChange>()
        .endpoint::<DeleteDestination>()
        .endpoint::<ConfirmDestination>()
        .endpoint::<PauseDestination>()
        .endpoint::<ResumeDestination>()
        .endpoint::<ReplayDestination>()
        .endpoint::<ListDeliveries>()
        .endpoint::<GetSetup>()
}

/// A customer's bucket and the role that gives access to it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Destination")]
struct DestinationView<'a> {
    #[schemars(regex(pattern = "^[a-z0-9]{12}$"))]
    id: &'a str,
    /// The bucket's name.
    bucket: &'a str,
    /// The role's ARN.
    role_arn: &'a str,
    /// The prefix of all keys: empty, or ends with a slash.
    prefix: &'a str,
    /// The bucket's region, given or detected; null: the region that Annals runs in.
    region: Option<&'a str>,
    /// The compression of objects.
    #[schemars(extend("enum" = compressions()))]
    compression: &'a str,
    /// The layout of keys.
    #[schemars(extend("enum" = layouts()))]
    layout: &'a str,
    /// The format of events in objects.
    #[schemars(extend("enum" = formats()))]
    format: &'a str,
    /// The shape of events in objects: with nested members, or as rows of always the same columns.
    #[schemars(extend("enum" = shapes()))]
    shape: &'a str,
    /// The account that must own the bucket.
    #[schemars(with = "Account")]
    bucket_owner: &'a str,
    /// The external ID that Annals sends with every AssumeRole.
    external_id: &'a str,
    /// When the destination was created.
    #[schemars(with = "Moment")]
    created_at: Timestamp,
    /// The status in one word.
    #[schemars(extend("enum" = ["pending", "unproven", "sent", "failing", "paused", "disabled"]))]
    state: &'static str,
    /// The status in a sentence.
    status: String,
    /// Whether the role is proven to be meant for the organisation. Only then events are delivered.
    proof: ProofView,
    /// A change of bucket, role or prefix that is not in force yet; null: none.
    pending_change: Option<PendingChangeView<'a>>,
    /// When an object was last delivered; null: never.
    #[schemars(with = "Option<Moment>")]
    last_success: Option<Timestamp>,
    /// The failure of the last attempt; null if it succeeded.
    failing: Option<FailingView<'a>>,
    /// Events that expired before their delivery was confirmed; null: none.
    lost: Option<LostView>,
    /// The sequence of the first event that the destination gets: the first event of the last seven days when it was
    /// created. null: an earlier version created the destination and nothing has been delivered since.
    #[schemars(with = "Option<Sequence>")]
    first_sequence: Option<u64>,
    /// The last signed checkpoint in the bucket; null: none yet.
    checkpoint: Option<CheckpointView<'a>>,
    /// Why the last attempt to sign failed; null if it succeeded. Delivery continues meanwhile.
    unsigned: Option<UnsignedView<'a>>,
    /// The sequence of the event that is delivered next.
    #[schemars(with = "Sequence")]
    next_sequence: u64,
    /// The replay in progress; null: none.
    replay: Option<ReplayView<'a>>,
}

impl<'a> DestinationView<'a> {
    fn of(organisation: &'a Organisation, destination: &'a Destination) -> Self {
        let failing = destination.progress.failing.as_ref().map(|failing| FailingView {
            code: failing.failure.code.as_str(),
            cause: &failing.failure.cause,
            fix: failing.failure.fix.to_string(),
            aws: failing.failure.aws.as_deref(),
            since: failing.since,
            attempts: failing.attempts,
            retry_at: failing.retry_at,
        });
        let replay = destination.replay.as_ref().map(|replay| ReplayView {
            id: &replay.id,
            next_sequence: replay.next,
            last_sequence: replay.last,
            started_at: replay.started_at,
        });
        let lost = destination.progress.lost.as_ref().map(|lost| LostView {
            events: lost.events,
            first_sequence: *lost.last.start(),
            last_sequence: *lost.last.end(),
            noticed_at: lost.noticed_at,
        });
        let checkpoint = destination.checkpoints.last.as_ref().map(|last| CheckpointView {
            sequence: last.sequence,
            at: last.at,
            key: &last.key,
            sha256: last.sha256.to_string(),
        });
        let unsigned = destination.checkpoints.unsigned.as_ref().map(|unsigned| UnsignedView {
            since: unsigned.since,
            code: &unsigned.code,
            detail: &unsigned.detail,
            attempts: unsigned.attempts,
            retry_at: unsigned.retry_at,
        });
        Self {
            id: destination.id.as_str(),
            bucket: destination.bucket.as_str(),
            role_arn: destination.role_arn.as_str(),
            prefix: destination.settings.prefix.as_str(),
            region: destination.settings.region.as_ref().map(|region| region.as_str()),
            compression: destination.settings.compression.as_str(),
            layout: destination.settings.layout.as_str(),
            format: destination.settings.rendering.format.as_str(),
            shape: destination.settings.rendering.shape.as_str(),
            bucket_owner: destination.bucket_owner(),
            external_id: &organisation.external_id,
            created_at: destination.created_at,
            state: destination.state().as_str(),
            status: destination.status().to_string(),
            proof: ProofView::of(destination),
            pending_change: destination.pending.as_ref().map(PendingChangeView::of),
            last_success: destination.progress.last_success,
            failing,
            lost,
            checkpoint,
            unsigned,
            first_sequence: destination.first_sequence,
            next_sequence: destination.next_sequence,
            replay,
        }
    }
}

/// Whether and how the role is proven to be meant for the organisation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Proof")]
struct ProofView {
    #[schemars(extend("enum" = ["unproven", "proven"]))]
    state: &'static str,
    /// How it was proven; null: unproven. `externalId`: the role requires the organisation's external ID. `code`: somebody
    /// entered the code in the test object. `allowed`: this deployment allows roles that accept any external ID. `upgrade`:
    /// an earlier version, which required no proof, delivered with it.
    #[schemars(extend("enum" = proofs()))]
    by: Option<&'static str>,
    /// When it was proven; null: unproven.
    #[schemars(with = "Option<Moment>")]
    at: Option<Timestamp>,
    /// Whether the code in the test object is awaited.
    needs_code: bool,
}

impl ProofView {
    fn of(destination: &Destination) -> Self {
        let proven = destination.proof.proven;
        Self {
            state: if proven.is_some() { "proven" } else { "unproven" },
            by: proven.map(|proven| proven.by.as_str()),
            at: proven.map(|proven| proven.at),
            needs_code: proven.is_none() && destination.proof.challenge.is_some(),
        }
    }
}

/// A change of a destination that takes over once its role is proven and an object was written to its bucket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PendingChange")]
struct PendingChangeView<'a> {
    /// The name of the new bucket, or of the current one.
    bucket: &'a str,
    /// The ARN of the new role, or of the current one.
    role_arn: &'a str,
    /// The new prefix, or the current one.
    prefix: &'a str,
    /// The bucket's region, given or detected; null: the region that Annals runs in.
    region: Option<&'a str>,
    /// The account that must own the bucket.
    #[schemars(with = "Account")]
    bucket_owner: &'a str,
    /// `unproven`: test the destination. `proven`: the role is proven, and no object was written to the bucket yet. `ready`: it takes
    /// over with the next delivery.
    #[schemars(extend("enum" = ["unproven", "proven", "ready"]))]
    state: &'static str,
    /// Whether the code in the test object is awaited.
    needs_code: bool,
    /// When it was requested.
    #[schemars(with = "Moment")]
    requested_at: Timestamp,
}

impl<'a> PendingChangeView<'a> {
    fn of(pending: &'a PendingChange) -> Self {
        let PendingChange { place, proof, requested_at, .. } = pending;
        Self {
            bucket: place.bucket.as_str(),
            role_arn: place.role_arn.as_str(),
            prefix: place.prefix.as_str(),
            region: place.region.as_ref().map(|region| region.as_str()),
            bucket_owner: place.owner(),
            state: match (pending.ready_at(), proof.proven) {
                (Some(_), _) => "ready",
                (None, Some(_)) => "proven",
                (None, None) => "unproven",
            },
            needs_code: proof.proven.is_none() && proof.challenge.is_some(),
            requested_at: *requested_at,
        }
    }
}

/// Delivery that fails at present.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Failing")]
struct FailingView<'a> {
    /// The kind of failure. Codes do not change; new ones may be added.
    code: &'static str,
    /// What is wrong.
    cause: &'a str,
    /// What to change, and where.
    fix: String,
    /// The error that AWS returned.
    aws: Option<&'a str>,
    /// When the first of these attempts failed.
    #[schemars(with = "Moment")]
    since: Timestamp,
    /// The number of consecutive failed attempts.
    attempts: u32,
    /// When Annals tries again, at the earliest.
    #[schemars(with = "Moment")]
    retry_at: Timestamp,
}

/// A signed checkpoint in the bucket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignedCheckpoint")]
struct CheckpointView<'a> {
    /// The last event that it covers. 0 before the first one.
    sequence: u64,
    /// When it was signed.
    #[schemars(with = "Moment")]
    at: Timestamp,
    /// The object's key.
    key: &'a str,
    /// SHA-256 of the object.
    #[schemars(with = "Sha256")]
    sha256: String,
}

/// Deliveries that could not be signed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Unsigned")]
struct UnsignedView<'a> {
    /// When the first of these attempts failed.
    #[schemars(with = "Moment")]
    since: Timestamp,
    /// The kind of failure. Codes do not change; new ones may be added.
    code: &'a str,
    /// What happened, and what to do.
    detail: &'a str,
    /// The number of consecutive failed attempts.
    attempts: u32,
    /// When Annals tries again, at the earliest.
    #[schemars(with = "Moment")]
    retry_at: Timestamp,
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Lost")]
struct LostView {
    /// The number of events since the destination was created.
    events: u64,
    /// The first event of the latest lost range.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The last event of the latest lost range.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// When Annals found that range to be lost.
    #[schemars(with = "Moment")]
    noticed_at: Timestamp,
}

/// A repeated delivery of a range of events.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Replay")]
struct ReplayView<'a> {
    /// The replay's id, a part of its keys.
    id: &'a str,
    /// The sequence of the event that is delivered next.
    #[schemars(with = "Sequence")]
    next_sequence: u64,
    /// The sequence of the last event of the range.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// When the replay was requested.
    #[schemars(with = "Moment")]
    started_at: Timestamp,
}

fn compressions() -> Vec<&'static str> {
    Compression::ALL.iter().map(|compression| compression.as_str()).collect()
}

fn layouts() -> Vec<&'static str> {
    KeyLayout::ALL.iter().map(|layout| layout.as_str()).collect()
}

fn formats() -> Vec<&'static str> {
    ObjectFormat::ALL.iter().map(|format| format.as_str()).collect()
}

fn shapes() -> Vec<&'static str> {
    Shape::ALL.iter().map(|shape| shape.as_str()).collect()
}

fn proofs() -> Vec<Option<&'static str>> {
    ProvenBy::ALL.iter().map(|by| Some(by.as_str())).chain([None]).collect()
}
