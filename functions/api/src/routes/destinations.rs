//! `/organisations/{organisation}/destinations`: the buckets to which an organisation's events go.

use annals_core::{
    delivery::Delivery,
    destination::{Compression, Destination, DestinationInput, KeyLayout, ReplayInput, SettingsPatch},
    organisation::Organisation,
    time::Timestamp,
};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use annals_http::{
    ADMINISTRATORS, Services,
    call::{self, Call},
    operation::{Access, Method, Operation, Operations, Tag},
    problem::{Problem, kind},
    schema::{Account, AccountOrNull, Moment, RegionOrNull, SentMoment, Sequence, Sha256},
};

/// How many deliveries are shown.
const DELIVERIES: usize = 100;

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    let all = "/organisations/{organisation}/destinations";
    let one = "/organisations/{organisation}/destinations/{destination}";
    let under = |name: &str| format!("{one}/{name}");
    let new = |id, summary| Operation::new(Tag::Destinations, Access::Roles(ADMINISTRATORS), id, summary);
    to.operation(Method::Post, all, create, || {
        new("createDestination", "Create a destination")
            .details(
                "Delivery begins with the first event of the last seven days. What the role needs is told by the \
                 destination's setup, and whether it works by its test.",
            )
            .takes::<DestinationInputSchema>()
            .answers::<DestinationView<'_>>(201, "It was created, and is delivered to from the next tick on.")
            .refuses(&[kind::PLAN_LIMIT, kind::BUCKET_IN_USE, kind::ROLE_IN_USE, kind::CHANGED])
            .leaves(&["destination.create"])
    })
    .operation(Method::Get, all, list, || {
        new("listDestinations", "List destinations")
            .answers::<DestinationList<'_>>(200, "All of the organisation's destinations, with their status.")
    })
    .operation(Method::Get, one, show, || {
        new("getDestination", "Show a destination and its status")
            .answers::<DestinationView<'_>>(200, "The destination.")
    })
    .operation(Method::Patch, one, change, || {
        new("changeDestination", "Change a destination")
            .details("What the body leaves out stays as it is. Bucket and role cannot be changed: make another.")
            .takes::<SettingsPatchSchema>()
            .answers::<DestinationView<'_>>(200, "It is as the body says.")
            .refuses(&[kind::CHANGED])
            .leaves(&["destination.update"])
    })
    .operation(Method::Delete, one, delete, || {
        new("deleteDestination", "Delete a destination")
            .details("Nothing more is sent there. What is in the bucket stays there.")
            .answers_nothing(204, "It is deleted.")
            .refuses(&[kind::CHANGED])
            .leaves(&["destination.delete"])
    })
    .operation(Method::Post, &under("pause"), pause, || {
        new("pauseDestination", "Pause a destination")
            .details("Nothing is sent until it is resumed; events wait for as long as they are kept.")
            .answers::<DestinationView<'_>>(200, "It is paused.")
            .refuses(&[kind::CHANGED])
            .leaves(&["destination.pause"])
    })
    .operation(Method::Post, &under("resume"), resume, || {
        new("resumeDestination", "Resume a destination")
            .details("Delivery goes on where it stopped.")
            .answers::<DestinationView<'_>>(200, "It is not paused.")
            .refuses(&[kind::CHANGED])
            .leaves(&["destination.resume"])
    })
    .operation(Method::Post, &under("replay"), replay, || {
        new("replayDestination", "Deliver a range of events once more")
            .details("Under keys of their own, below `replay/` and the replay's id, from the next tick on.")
            .takes::<ReplayInputSchema>()
            .answers::<DestinationView<'_>>(202, "It will be delivered.")
            .refuses(&[kind::REPLAY_IN_PROGRESS, kind::NOTHING_TO_REPLAY, kind::CHANGED])
            .leaves(&["destination.replay"])
    })
    .operation(Method::Get, &under("deliveries"), deliveries, || {
        new("listDeliveries", "List the last deliveries")
            .answers::<DeliveryList<'_>>(200, "The last hundred objects that were put there, the newest first.")
    })
}

/// `POST …/destinations`: creates one.
pub async fn create(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let input = DestinationInput::parse(&call.body, &call.api.service)?;
    let destination = call.api.administration.create_destination(&organisation, input, &call.actor()).await?;
    Ok(call::json(StatusCode::CREATED, &view(&organisation, &destination)))
}

/// `GET …/destinations`: all of them.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let destinations = call.api.administration.destinations(&organisation.id).await?;
    let destinations = destinations.iter().map(|destination| view(&organisation, destination)).collect();
    Ok(call::json(StatusCode::OK, &DestinationList { destinations }))
}

/// `GET …/destinations/{destination}`: one, with its status.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.destination(&organisation.id, &id).await?;
    Ok(call::json(StatusCode::OK, &view(&organisation, &destination)))
}

/// `PATCH …/destinations/{destination}`: changes prefix, region, compression, layout or bucket owner.
pub async fn change(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.destination(&organisation.id, &id).await?;
    let patch = SettingsPatch::parse(&call.body, &destination.role_arn)?;
    let destination = call.api.administration.change_destination(&organisation, &id, patch, &call.actor()).await?;
    Ok(call::json(StatusCode::OK, &view(&organisation, &destination)))
}

/// `POST …/destinations/{destination}/pause`: sends nothing more until it is resumed.
pub async fn pause(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.pause_destination(&organisation, &id, &call.actor()).await?;
    Ok(call::json(StatusCode::OK, &view(&organisation, &destination)))
}

/// `POST …/destinations/{destination}/resume`: goes on where it stopped.
pub async fn resume(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.resume_destination(&organisation, &id, &call.actor()).await?;
    Ok(call::json(StatusCode::OK, &view(&organisation, &destination)))
}

/// `POST …/destinations/{destination}/replay`: delivers a range of events once more, from the next tick on.
pub async fn replay(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let input = ReplayInput::parse(&call.body)?;
    let destination = call.api.administration.replay(&organisation, &id, input, &call.actor()).await?;
    Ok(call::json(StatusCode::ACCEPTED, &view(&organisation, &destination)))
}

/// `DELETE …/destinations/{destination}`: nothing more is sent there.
pub async fn delete(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    call.api.administration.delete_destination(&organisation, &id, &call.actor()).await?;
    Ok(call::answer(StatusCode::NO_CONTENT, "application/json", String::new()))
}

/// `GET …/destinations/{destination}/deliveries`: the last hundred objects that were put there, the newest first.
pub async fn deliveries(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.destination(&organisation.id, &id).await?;
    let deliveries = call.api.administration.deliveries(&destination, DELIVERIES).await?;
    Ok(call::json(StatusCode::OK, &DeliveryList { deliveries: deliveries.iter().map(delivery_view).collect() }))
}

fn view<'a>(organisation: &'a Organisation, destination: &'a Destination) -> DestinationView<'a> {
    let failing = destination.progress.failing.as_ref().map(|failing| FailingView {
        code: failing.failure.code.as_str(),
        cause: &failing.failure.cause,
        fix: &failing.failure.fix,
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
    DestinationView {
        id: destination.id.as_str(),
        bucket: destination.bucket.as_str(),
        role_arn: destination.role_arn.as_str(),
        prefix: destination.settings.prefix.as_str(),
        region: destination.settings.region.as_ref().map(|region| region.as_str()),
        compression: destination.settings.compression.as_str(),
        layout: destination.settings.layout.as_str(),
        bucket_owner: destination.bucket_owner(),
        external_id: &organisation.external_id,
        created_at: destination.created_at,
        state: destination.state(),
        status: destination.status(),
        last_success: destination.progress.last_success,
        failing,
        lost,
        next_sequence: destination.next_sequence,
        replay,
    }
}

fn delivery_view(delivery: &Delivery) -> DeliveryView<'_> {
    let content = delivery.content.as_ref();
    DeliveryView {
        key: &delivery.key,
        first_sequence: delivery.first,
        last_sequence: delivery.last,
        events: content.map(|content| content.events),
        bytes: content.map(|content| content.bytes),
        sha256: content.map(|content| content.sha256.as_str()),
        replay: delivery.replay.as_deref(),
        lag_seconds: delivery.lag_seconds,
        lag_events: delivery.lag_events,
        delivered_at: delivery.delivered_at,
    }
}

/// A customer's bucket and the role that opens it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Destination")]
struct DestinationView<'a> {
    /// Its id.
    #[schemars(regex(pattern = "^[a-z0-9]{12}$"))]
    id: &'a str,
    /// The bucket's name.
    bucket: &'a str,
    /// The ARN of the role.
    role_arn: &'a str,
    /// What all keys begin with: empty, or ends with a slash.
    prefix: &'a str,
    /// The bucket's region, as given or learnt; null: the region that Annals runs in.
    region: Option<&'a str>,
    /// Whether objects are compressed.
    #[schemars(extend("enum" = compressions()))]
    compression: &'a str,
    /// How keys are laid out.
    #[schemars(extend("enum" = layouts()))]
    layout: &'a str,
    /// The account that must own the bucket.
    #[schemars(with = "Account")]
    bucket_owner: &'a str,
    /// The external ID that is sent with every AssumeRole.
    external_id: &'a str,
    /// When it was created.
    #[schemars(with = "Moment")]
    created_at: Timestamp,
    /// The status in one word.
    #[schemars(extend("enum" = ["pending", "sent", "failing", "paused", "disabled"]))]
    state: &'static str,
    /// The status in a sentence.
    status: String,
    /// When an object was last put there; null: never.
    #[schemars(with = "Option<Moment>")]
    last_success: Option<Timestamp>,
    /// What is wrong, where the last attempt failed.
    failing: Option<FailingView<'a>>,
    /// What expired before its delivery was confirmed, if anything did.
    lost: Option<LostView>,
    /// The sequence that is delivered next.
    #[schemars(with = "Sequence")]
    next_sequence: u64,
    /// What is being delivered once more.
    replay: Option<ReplayView<'a>>,
}

/// Delivery that does not succeed at present.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Failing")]
struct FailingView<'a> {
    /// What kind of failure it is. Codes do not change; new ones may be added.
    code: &'static str,
    /// What is wrong.
    cause: &'a str,
    /// What to change where.
    fix: &'a str,
    /// What AWS said.
    aws: Option<&'a str>,
    /// Since when.
    #[schemars(with = "Moment")]
    since: Timestamp,
    /// How often in a row.
    attempts: u32,
    /// Not tried again before.
    #[schemars(with = "Moment")]
    retry_at: Timestamp,
}

/// Events that expired before their delivery was confirmed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Lost")]
struct LostView {
    /// How many, in the destination's whole life.
    events: u64,
    /// The first of the last stretch of them.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The last of the last stretch of them.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// When that was noticed.
    #[schemars(with = "Moment")]
    noticed_at: Timestamp,
}

/// Events that are being delivered once more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Replay")]
struct ReplayView<'a> {
    /// Its id, part of its keys.
    id: &'a str,
    /// The sequence that is delivered next.
    #[schemars(with = "Sequence")]
    next_sequence: u64,
    /// The sequence of the last event of the range.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// When it was asked for.
    #[schemars(with = "Moment")]
    started_at: Timestamp,
}

/// An organisation's destinations.
#[derive(Debug, Serialize, JsonSchema)]
struct DestinationList<'a> {
    destinations: Vec<DestinationView<'a>>,
}

/// One object that was put into the bucket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
struct DeliveryView<'a> {
    /// Its key.
    key: &'a str,
    /// The sequence of its first event.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The sequence of its last event.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// How many events it holds; null where that is not known, because some have expired before the put was confirmed.
    events: Option<u64>,
    /// Its size; null where that is not known.
    bytes: Option<u64>,
    /// SHA-256 of its bytes; null where that is not known.
    #[schemars(with = "Option<Sha256>")]
    sha256: Option<&'a str>,
    /// The id of the replay that it belongs to, if it does.
    replay: Option<&'a str>,
    /// How long its oldest event had waited.
    lag_seconds: u64,
    /// How many events were left to be delivered after it.
    lag_events: u64,
    /// When it was known to be there.
    #[schemars(with = "Moment")]
    delivered_at: Timestamp,
}

/// What was put into the bucket.
#[derive(Debug, Serialize, JsonSchema)]
struct DeliveryList<'a> {
    #[schemars(length(max = DELIVERIES))]
    deliveries: Vec<DeliveryView<'a>>,
}

/// What a destination shall be.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "DestinationInput", rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationInputSchema {
    /// The bucket's name alone: 3 to 63 lower case letters, digits, hyphens and dots.
    #[schemars(regex(pattern = BUCKET))]
    pub bucket: String,
    /// The ARN of the role, in the partition that the service runs in.
    #[schemars(regex(pattern = ROLE))]
    pub role_arn: String,
    /// What all keys begin with.
    #[schemars(regex(pattern = PREFIX))]
    pub prefix: Option<String>,
    /// The bucket's region; learnt where it is left out or null.
    #[schemars(with = "Option<RegionOrNull>")]
    pub region: Option<String>,
    /// Whether objects are compressed; `none` where it is left out.
    #[schemars(extend("enum" = compressions()))]
    pub compression: Option<String>,
    /// How keys are laid out: `YYYY-MM/DD/…` or, as Hive and Athena read partitions, `dt=YYYY-MM-DD/hour=HH/…`; the
    /// former, `wiremock`, where it is left out.
    #[schemars(extend("enum" = layouts()))]
    pub layout: Option<String>,
    /// The account that must own the bucket; the role's where it is left out or null.
    #[schemars(with = "Option<AccountOrNull>")]
    pub bucket_owner: Option<String>,
}

/// What of a destination shall be changed.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "DestinationPatch", rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingsPatchSchema {
    /// What all keys begin with.
    #[schemars(regex(pattern = PREFIX))]
    pub prefix: Option<String>,
    /// The bucket's region; null: to be learnt anew.
    #[schemars(with = "Option<RegionOrNull>")]
    pub region: Option<String>,
    /// Whether objects are compressed.
    #[schemars(extend("enum" = compressions()))]
    pub compression: Option<String>,
    /// How keys are laid out.
    #[schemars(extend("enum" = layouts()))]
    pub layout: Option<String>,
    /// The account that must own the bucket; null: the role's.
    #[schemars(with = "Option<AccountOrNull>")]
    pub bucket_owner: Option<String>,
}

/// A range of events.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ReplayInput", untagged)]
pub enum ReplayInputSchema {
    /// By sequence.
    Sequences(SequenceRange),
    /// By the time at which they were recorded.
    Times(TimeRange),
}

/// Events by sequence, both ends included.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct SequenceRange {
    /// The first.
    #[schemars(range(min = 1, max = 0xff_ffff_ffffu64))]
    pub first_sequence: u64,
    /// The last, which does not lie before the first.
    #[schemars(range(min = 1, max = 0xff_ffff_ffffu64))]
    pub last_sequence: u64,
}

/// Events by the time at which they were recorded.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TimeRange {
    /// At this time or later.
    #[schemars(with = "SentMoment")]
    pub since: String,
    /// Before this time, which lies behind the other.
    #[schemars(with = "SentMoment")]
    pub until: String,
}

/// 3 to 63 of these characters, no two dots in a row, and no address.
const BUCKET: &str = r"^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$";
const ROLE: &str = r"^arn:(aws|aws-cn|aws-us-gov):iam::\d{12}:role/([!-9;-~]+/)?[A-Za-z0-9+=,.@_-]{1,64}$";
/// Parts of printable ASCII, less some, between slashes; none is `.` or `..`.
const PREFIX: &str = r"^$|^/$|^(?!.*//)(?!(.*/)?\.\.?(/|$))(?!/)[!#%&'()+,./0-9:;<=>@A-Z\[\]^_`a-z|~-]{1,512}/?$";

fn compressions() -> Vec<&'static str> {
    Compression::ALL.iter().map(|compression| compression.as_str()).collect()
}

fn layouts() -> Vec<&'static str> {
    KeyLayout::ALL.iter().map(|layout| layout.as_str()).collect()
}
