//! `/organisations/{organisation}/destinations`: the buckets to which an organisation's events go.

use annals_core::{
    delivery::Delivery,
    destination::{Destination, DestinationInput, ReplayInput, SettingsPatch},
    organisation::Organisation,
};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::ADMINISTRATORS,
};

/// How many deliveries are shown.
const DELIVERIES: usize = 100;

/// `POST …/destinations`: creates one.
pub async fn create(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let input = DestinationInput::parse(&call.body, call.api.service.partition())?;
    let destination = call.api.administration.create_destination(&organisation, input, &call.actor()).await?;
    Ok(call::json(StatusCode::CREATED, &view(&organisation, &destination)))
}

/// `GET …/destinations`: all of them.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let destinations = call.api.administration.destinations(&organisation.id).await?;
    let destinations: Vec<Value> = destinations.iter().map(|destination| view(&organisation, destination)).collect();
    Ok(call::json(StatusCode::OK, &json!({"destinations": destinations})))
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
    let deliveries = call.api.administration.deliveries(&organisation.id, &id, DELIVERIES).await?;
    let deliveries: Vec<Value> = deliveries.iter().map(delivery_view).collect();
    Ok(call::json(StatusCode::OK, &json!({"deliveries": deliveries})))
}

fn view(organisation: &Organisation, destination: &Destination) -> Value {
    let failing = destination.progress.failing.as_ref().map(|failing| {
        json!({
            "code": failing.failure.code.as_str(),
            "cause": failing.failure.cause,
            "fix": failing.failure.fix,
            "aws": failing.failure.aws,
            "since": failing.since,
            "attempts": failing.attempts,
            "retryAt": failing.retry_at,
        })
    });
    let replay = destination.replay.as_ref().map(|replay| {
        json!({
            "id": replay.id,
            "nextSequence": replay.next,
            "lastSequence": replay.last,
            "startedAt": replay.started_at,
        })
    });
    let lost = destination.progress.lost.as_ref().map(|lost| {
        json!({
            "events": lost.events,
            "firstSequence": lost.last.start(),
            "lastSequence": lost.last.end(),
            "noticedAt": lost.noticed_at,
        })
    });
    json!({
        "id": destination.id.as_str(),
        "bucket": destination.bucket.as_str(),
        "roleArn": destination.role_arn.as_str(),
        "prefix": destination.settings.prefix.as_str(),
        "region": destination.settings.region.as_ref().map(|region| region.as_str()),
        "compression": destination.settings.compression.as_str(),
        "layout": destination.settings.layout.as_str(),
        "bucketOwner": destination.bucket_owner(),
        "externalId": organisation.external_id,
        "createdAt": destination.created_at,
        "state": destination.state(),
        "status": destination.status(),
        "lastSuccess": destination.progress.last_success,
        "failing": failing,
        "lost": lost,
        "nextSequence": destination.next_sequence,
        "replay": replay,
    })
}

fn delivery_view(delivery: &Delivery) -> Value {
    let content = delivery.content.as_ref();
    json!({
        "key": delivery.key,
        "firstSequence": delivery.first,
        "lastSequence": delivery.last,
        "events": content.map(|content| content.events),
        "bytes": content.map(|content| content.bytes),
        "sha256": content.map(|content| &content.sha256),
        "replay": delivery.replay,
        "lagSeconds": delivery.lag_seconds,
        "lagEvents": delivery.lag_events,
        "deliveredAt": delivery.delivered_at,
    })
}
