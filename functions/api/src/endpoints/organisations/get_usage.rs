use annals_core::{
    time::Timestamp,
    usage::{DeliveryCounts, Month, Usage},
};
use annals_http::prelude::*;
use annals_http::query::{Describer, Parameters, Query, Reader, month};
use annals_http::schema::Moment;

pub(super) struct GetUsage;

impl Endpoint<Services> for GetUsage {
    const ID: &'static str = "getUsage";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/usage";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Organisations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "Get the usage of a month")
            .description(
                "Exact enough to bill: each event, read and delivery is counted once, by the write that makes it. Where \
                 something may be missing, the usage says so: `exact` is then false.",
            )
            .query::<QuerySchema<UsageQuery>>()
            .response::<UsageView>(200, "The usage.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let mut reader = Reader::of(call.query());
        let UsageQuery { month } = UsageQuery::of(&mut reader);
        reader.finish()?;
        let month = month.unwrap_or_else(|| Month::of(services.clock.now()));
        let usage = services.administration.usage(&call.organisation, month).await?;
        Ok(response::json(StatusCode::OK, &UsageView::from(usage)))
    }
}

/// The query of a usage.
#[derive(Debug)]
struct UsageQuery {
    month: Option<Month>,
}

impl UsageQuery {
    fn of<P: Parameters>(parameters: &mut P) -> Self {
        let description = "A calendar month in UTC, such as `2026-11`; default the present one.";
        Self { month: parameters.optional("month", description, month()) }
    }
}

impl Query for UsageQuery {
    fn describe(describer: &mut Describer) {
        Self::of(describer);
    }
}

/// What an organisation used in a calendar month.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Usage")]
struct UsageView {
    /// The month, in UTC.
    month: String,
    /// Whether the month is over and the counts stay as they are. False until an hour after its end.
    r#final: bool,
    /// Whether nothing can be missing from the counts.
    exact: bool,
    /// The events that producers sent; null if it is unknown.
    events: Option<u64>,
    /// The size of these events as compact JSON, with one newline each, in bytes; null if it is unknown.
    bytes: Option<u64>,
    /// The events that Annals recorded itself, such as reads and changes of destinations; null if it is unknown.
    own_events: Option<u64>,
    /// The calls and pages that read the log; null if it is unknown.
    reads: Option<u64>,
    /// What was recorded in the month until then may be missing from the counts above; null if nothing is.
    #[schemars(with = "Option<Moment>")]
    recorded_unknown_until: Option<Timestamp>,
    /// What was delivered to all destinations, deleted ones included.
    deliveries: DeliveriesUsed,
}

/// What was delivered in a month.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeliveriesUsed {
    /// The objects, those of replays included, checkpoints and test objects not.
    objects: u64,
    /// The events in them.
    events: u64,
    /// Their size as stored, in bytes.
    bytes: u64,
    /// What was delivered in the month until then may be missing; null if nothing is.
    #[schemars(with = "Option<Moment>")]
    unknown_until: Option<Timestamp>,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let Usage { recorded, delivered: DeliveryCounts { objects, events, bytes }, .. } = usage;
        Self {
            month: usage.month.to_string(),
            r#final: usage.is_final,
            exact: usage.recorded_unknown_until.is_none() && usage.delivered_unknown_until.is_none(),
            events: recorded.map(|counts| counts.events),
            bytes: recorded.map(|counts| counts.bytes),
            own_events: recorded.map(|counts| counts.own_events),
            reads: recorded.map(|counts| counts.reads),
            recorded_unknown_until: usage.recorded_unknown_until,
            deliveries: DeliveriesUsed { objects, events, bytes, unknown_until: usage.delivered_unknown_until },
        }
    }
}
