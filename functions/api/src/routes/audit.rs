//! `/audit`: the log as PactFlow's audit API shows one: chronological pages, links, cursors that are event ids.

mod describe;

pub(crate) use self::describe::operations;

use annals_core::{
    audit::{PageRequest, Shape, Start, stats::StatsRequest, view},
    format::Format,
    id::EventId,
    log::segment::Tail,
};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use annals_http::query::{PageQuery, StatsQuery};
use annals_http::{
    READERS,
    call::{self, Call, reader},
    problem::Problem,
};

/// The media type of JSON with links ("JSON Hypertext Application Language").
const HAL: &str = "application/hal+json";

/// `GET /audit`, `GET /organisations/{organisation}/audit`: one page; as JSON with links, or, as `Accept` says, as lines
/// or rows, with links in the header.
pub async fn page(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let format = call.header(header::ACCEPT).and_then(Format::negotiate);
    let query = PageQuery::parse(call.query(), format.map_or(Shape::View, Shape::Format))?;
    let page = call.api.audit.page(&organisation, &query.request, &reader(&call)).await;
    let page = page.map_err(|error| Problem::cursor(cursor_name(&query.request), &error))?;
    call.notes().page(page.shown.len());

    let base = call.base();
    let mut links = vec![("self", own_href(&call, &base))];
    if let Some(next) = page.next {
        let mut params = vec![("from", next.short())];
        params.extend(page.through.map(|through| ("through", through.short())));
        params.extend((page.skip > 0).then(|| ("skip", page.skip.to_string())));
        params.extend(query.carried_on());
        links.push(("next", href(&base, &params)));
    }
    let mut params = match page.resume {
        Start::Edge => vec![],
        Start::From(id) => vec![("from", id.short())],
        Start::After(id) => vec![("after", id.short())],
    };
    params.extend(query.resumed_with());
    links.push(("resume", href(&base, &params)));

    Ok(match format {
        None => {
            let body = format!(r#"{{"events":[{}],"_links":{}}}"#, page.shown.join(","), hal(&links));
            call::answer(StatusCode::OK, HAL, body)
        }
        Some(format) => {
            let mut response =
                call::answer(StatusCode::OK, format.media_type(), format.preamble() + &page.shown.concat());
            response.headers_mut().extend(web_links(&links).map(|links| (header::LINK, links)));
            response
        }
    })
}

/// `GET /audit/stats`, `GET /organisations/{organisation}/audit/stats`: counts by hour or day.
pub async fn stats(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let query = StatsQuery::parse(call.query(), call.api.clock.now())?;
    let stats = call.api.audit.stats(&organisation, &query.request, &reader(&call)).await;
    let name = if query.request.from.is_some() { "from" } else { "through" };
    let stats = stats.map_err(|error| Problem::cursor(name, &error))?;

    let base = call.base();
    let mut links = vec![("self", own_href(&call, &base))];
    if let Some(next) = stats.next {
        let mut params = vec![("from", next.short())];
        params.extend(stats.through.map(|through| ("through", through.short())));
        params.extend(query.carried_on());
        links.push(("next", href(&base, &params)));
    }
    let intervals: Vec<Value> = stats
        .intervals
        .iter()
        .map(|count| {
            json!({
                "start": count.start,
                "total": count.total,
                "counts": count.counts,
                "firstSequence": count.sequences.start(),
                "lastSequence": count.sequences.end(),
            })
        })
        .collect();
    let StatsRequest { since, until, interval, .. } = query.request;
    let body = json!({
        "since": since,
        "until": until,
        "interval": interval.as_str(),
        "intervals": intervals,
        "_links": hal(&links),
    });
    Ok(call::answer(StatusCode::OK, HAL, body.to_string()))
}

/// `GET /audit/{uuid}`, `GET /organisations/{organisation}/audit/{uuid}`: one event.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let id = EventId::parse(call.param("uuid").unwrap_or_default()).map_err(|_| Problem::not_found())?;
    let line = call.api.audit.event(&organisation, id, &reader(&call)).await?;
    Ok(call::answer(StatusCode::OK, HAL, view(&line)))
}

/// `GET /audit/tail`, `GET /organisations/{organisation}/audit/tail`: the end of the log, to hold against what was
/// delivered.
pub async fn tail(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let tail = call.api.audit.tail(&organisation, &reader(&call)).await?;
    let id = tail.event_id(&organisation.id);
    let Tail { last, recorded_at, hash, .. } = tail;
    let body = json!({
        "sequence": last,
        "eventId": id.map(|id| id.to_string()),
        "hash": hash.to_string(),
        "timestamp": id.map(|_| recorded_at),
    });
    Ok(call::json(StatusCode::OK, &body))
}

fn href(base: &str, params: &[(&str, String)]) -> String {
    if params.is_empty() {
        return base.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    format!("{base}?{query}")
}

/// Where the call itself leads again.
fn own_href(call: &Call, base: &str) -> String {
    if call.query().is_empty() { base.to_owned() } else { format!("{base}?{}", call.query()) }
}

/// Links as HAL has them.
fn hal(links: &[(&str, String)]) -> Value {
    links.iter().map(|(name, href)| ((*name).to_owned(), json!({"href": href}))).collect::<Map<_, _>>().into()
}

/// Links as a `Link` header (RFC 8288). What callers sent is in them escaped, as it came.
fn web_links(links: &[(&str, String)]) -> Option<HeaderValue> {
    let links: Vec<String> = links.iter().map(|(name, href)| format!("<{href}>; rel=\"{name}\"")).collect();
    HeaderValue::from_str(&links.join(", ")).ok()
}

/// The parameter that a cursor which marks no place was given in.
fn cursor_name(request: &PageRequest) -> &'static str {
    match request.start {
        Start::From(_) => "from",
        Start::After(_) => "after",
        Start::Edge => "through",
    }
}
