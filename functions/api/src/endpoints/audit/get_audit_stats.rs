use annals_core::{audit::stats::StatsRequest, time::Timestamp};
use annals_http::prelude::*;
use annals_http::{
    query::StatsQuery,
    schema::{Moment, Sequence},
};
use std::collections::BTreeMap;

use super::{HAL, Link, link, link_to_self};

pub(super) struct GetAuditStats;

impl Endpoint<Services> for GetAuditStats {
    const ID: &'static str = "getAuditStats";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/audit/stats";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Audit);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Audit, "Count events")
            .description(
                "By hour or day, in UTC. A call reads a limited part of the log. Follow `_links.next` until a response \
                 has none, and add up the counts of the same interval.",
            )
            .query::<QuerySchema<StatsQuery>>()
            .empty_response(200, "The counts of all intervals that have events.")
            .response_as::<AuditStats<'_>>(HAL)
            .problems(&[kind::EXPIRED])
            .records(&["audit.read"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let query = StatsQuery::parse(call.query(), services.clock.now())?;
        let stats = services.audit.stats(&call.organisation, &query.request, &call.reader()).await;
        let cursor = if query.request.from.is_some() { "from" } else { "through" };
        let stats = stats.map_err(|error| Problem::cursor(cursor, &error))?;

        let next = stats.next.map(|next| {
            let mut parameters = vec![("from", next.short())];
            parameters.extend(stats.through.map(|through| ("through", through.short())));
            parameters.extend(query.carried_on());
            link(&call.url(), &parameters)
        });
        let intervals = stats.intervals.iter().map(|count| AuditCounts {
            start: count.start,
            total: count.total,
            counts: &count.counts,
            first_sequence: *count.sequences.start(),
            last_sequence: *count.sequences.end(),
        });
        let StatsRequest { since, until, interval, .. } = query.request;
        let stats = AuditStats {
            since,
            until,
            interval: interval.as_str(),
            intervals: intervals.collect(),
            links: StatsLinks { this: link_to_self(&call), next },
        };
        Ok(response::json_as(HAL, StatusCode::OK, &stats))
    }
}

/// Counts of events over time.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditStats")]
struct AuditStats<'a> {
    /// The beginning of the period (inclusive).
    #[schemars(with = "Moment")]
    since: Timestamp,
    /// The end of the period (exclusive).
    #[schemars(with = "Moment")]
    until: Timestamp,
    #[schemars(extend("enum" = ["hour", "day"]))]
    interval: &'static str,
    /// The intervals that have events.
    intervals: Vec<AuditCounts<'a>>,
    #[serde(rename = "_links")]
    links: StatsLinks,
}

/// Links to this part of the counts and the next.
#[derive(Debug, Serialize, JsonSchema)]
struct StatsLinks {
    #[serde(rename = "self")]
    this: Link,
    /// The next part. Missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
}

/// The events of one hour or day.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditCounts")]
struct AuditCounts<'a> {
    /// The beginning of the interval.
    #[schemars(with = "Moment")]
    start: Timestamp,
    /// The number of events.
    #[schemars(with = "Sequence")]
    total: u64,
    /// The number of events by the value of `by`.
    counts: &'a BTreeMap<String, u64>,
    /// The sequence of the first counted event.
    #[schemars(with = "Sequence")]
    first_sequence: u64,
    /// The sequence of the last counted event.
    #[schemars(with = "Sequence")]
    last_sequence: u64,
}
