use annals_core::{destination::Delivery, time::Timestamp};
use annals_http::prelude::*;
use annals_http::schema::{Moment, Sequence, Sha256};

const MAX_DELIVERIES: usize = 100;

pub(super) struct ListDeliveries;

impl Endpoint<Services> for ListDeliveries {
    const ID: &'static str = "listDeliveries";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/deliveries";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "List the latest deliveries")
            .description(
                "Each with its key, its range of sequences, its size and its SHA-256, to find the object of an event.",
            )
            .response::<DeliveryList<'_>>(200, "The last hundred delivered objects, the newest first.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.destination(&call.organisation.id, &id).await?;
        let deliveries = services.administration.deliveries(&destination, MAX_DELIVERIES).await?;
        let list = DeliveryList { deliveries: deliveries.iter().map(DeliveryView::from).collect() };
        Ok(response::json(StatusCode::OK, &list))
    }
}

/// The latest deliveries to a destination.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryList")]
struct DeliveryList<'a> {
    #[schemars(length(max = MAX_DELIVERIES))]
    deliveries: Vec<DeliveryView<'a>>,
}

/// A delivered object.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Delivery")]
struct DeliveryView<'a> {
    /// The object's key.
    key: &'a str,
    /// The object's bucket; null: an earlier version delivered it, to the bucket that the destination had first.
    bucket: Option<&'a str>,
    /// The sequence of the object's first event.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The sequence of the object's last event.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
    /// Whether an object with this key was there already when the delivery was confirmed. An earlier attempt, whose answer
    /// was lost, may have written it, or somebody else. Annals cannot read the bucket: compare the object with the log.
    already_there: bool,
    /// The number of events in the object; null: unknown, because an object was there already.
    events: Option<u64>,
    /// The object's size; null: unknown.
    bytes: Option<u64>,
    /// The SHA-256 of the object's bytes; null: unknown.
    #[schemars(with = "Option<Sha256>")]
    sha256: Option<&'a str>,
    /// The id of the replay that the object belongs to; null: none.
    replay: Option<&'a str>,
    /// How long the object's oldest event had waited.
    lag_seconds: u64,
    /// How many events were still to be delivered after the object.
    lag_events: u64,
    /// When the delivery was confirmed.
    #[schemars(with = "Moment")]
    delivered_at: Timestamp,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        let content = delivery.content.as_ref();
        Self {
            key: &delivery.key,
            bucket: delivery.bucket.as_ref().map(|bucket| bucket.as_str()),
            first_sequence: delivery.first,
            last_sequence: delivery.last,
            already_there: delivery.already_there,
            events: content.map(|content| content.events),
            bytes: content.map(|content| content.bytes),
            sha256: content.map(|content| content.sha256.as_str()),
            replay: delivery.replay.as_deref(),
            lag_seconds: delivery.lag_seconds,
            lag_events: delivery.lag_events,
            delivered_at: delivery.delivered_at,
        }
    }
}
