//! `/audit`: the log as PactFlow's audit API shows one: chronological pages, links, cursors that are event ids.

use annals_core::{
    audit::{AuditError, PageRequest, Reader, Start, view},
    fault::{Fault, Faults},
    id::EventId,
    log::{segment::Tail, store::Order},
    time::Timestamp,
};
use axum::response::Response;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::READERS,
};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;

/// `GET /audit`, `GET /organisations/{organisation}/audit`: one page.
pub async fn page(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let query = Query::parse(call.query())?;
    let page = call.api.audit.page(&organisation, &query.request, &reader(&call)).await;
    let page = page.map_err(|error| query.explain(&error))?;

    let base = call.base();
    let own = if call.query().is_empty() { base.clone() } else { format!("{base}?{}", call.query()) };
    let mut links = Map::new();
    links.insert("self".into(), json!({"href": own}));
    if let Some(next) = page.next {
        let mut params = vec![("from", next.short())];
        params.extend(page.through.map(|through| ("through", through.short())));
        params.extend(query.carried_on());
        links.insert("next".into(), json!({"href": href(&base, &params)}));
    }
    let mut params = match page.resume {
        Start::Edge => vec![],
        Start::From(id) => vec![("from", id.short())],
        Start::After(id) => vec![("after", id.short())],
    };
    params.extend(query.page_size.clone().map(|size| ("pageSize", size)));
    links.insert("resume".into(), json!({"href": href(&base, &params)}));

    let events: Vec<String> = page.lines.iter().map(view).collect();
    let body = format!(r#"{{"events":[{}],"_links":{}}}"#, events.join(","), Value::Object(links));
    Ok(call::answer(StatusCode::OK, "application/hal+json", body))
}

/// `GET /audit/{uuid}`, `GET /organisations/{organisation}/audit/{uuid}`: one event.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(READERS).await?;
    let id = EventId::parse(call.param("uuid").unwrap_or_default()).map_err(|_| Problem::not_found())?;
    let line = call.api.audit.event(&organisation, id, &reader(&call)).await?;
    Ok(call::answer(StatusCode::OK, "application/hal+json", view(&line)))
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

/// The caller, with the call as PactFlow's own audit events describe one.
fn reader(call: &Call) -> Reader {
    let params: Map<String, Value> = form_urlencoded::parse(call.query().as_bytes())
        .map(|(name, value)| (name.into_owned(), call::cut(&value).into()))
        .collect();
    let details = json!({
        "path": call.path(),
        "queryString": call::cut(call.query()),
        "method": call.method(),
        "userAgent": call.header(header::USER_AGENT).map(call::cut),
        "referer": call.header(header::REFERER).map(call::cut),
        "params": params,
    });
    Reader { principal: call.caller.principal(), context: call.context(), call: details }
}

fn href(base: &str, params: &[(&str, String)]) -> String {
    if params.is_empty() {
        return base.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    format!("{base}?{query}")
}

/// The parameters of a page.
#[derive(Debug)]
struct Query {
    request: PageRequest,
    /// As they were given, to be carried on.
    since: Option<String>,
    sort: Option<String>,
    page_size: Option<String>,
}

impl Query {
    fn parse(query: &str) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !["from", "after", "since", "through", "sort", "pageSize"].contains(&&*name) {
                let detail = "is no parameter of this call: it has from, after, since, sort and pageSize";
                faults.push(Fault::parameter(name, detail));
            } else if given.iter().any(|(other, _)| *other == name) {
                faults.push(Fault::parameter(name, "is given twice"));
            } else {
                given.push((name.into_owned(), value.into_owned()));
            }
        }
        let value = |name: &str| given.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut read = |name: &'static str, fault: Option<String>| {
            faults.extend(fault.map(|detail| Fault::parameter(name, detail)));
        };

        let mut cursor = |name: &'static str| {
            let id = value(name).map(EventId::parse).transpose();
            read(name, id.as_ref().err().map(ToString::to_string));
            id.ok().flatten()
        };
        let (from, after, through) = (cursor("from"), cursor("after"), cursor("through"));
        if value("from").is_some() && value("after").is_some() {
            read(
                "after",
                Some("cannot be used together with from: one begins with its event, the other behind it".into()),
            );
        }
        let since = value("since").map(Timestamp::parse_leniently).transpose();
        read("since", since.as_ref().err().map(ToString::to_string));
        let order = match value("sort").unwrap_or("asc").trim_start() {
            "asc" | "timestamp" | "+timestamp" => Order::Ascending,
            "desc" | "-timestamp" => Order::Descending,
            _ => {
                read("sort", Some("must be +timestamp or asc (oldest first), or -timestamp or desc".into()));
                Order::Ascending
            }
        };
        let page_size = match value("pageSize").map(str::parse::<usize>) {
            None => DEFAULT_PAGE_SIZE,
            Some(Ok(size)) if (1..=MAX_PAGE_SIZE).contains(&size) => size,
            Some(_) => {
                read("pageSize", Some(format!("must be a whole number from 1 to {MAX_PAGE_SIZE}")));
                DEFAULT_PAGE_SIZE
            }
        };
        Faults::none_or(faults)?;
        let start = match (from, after) {
            (Some(id), _) => Start::From(id),
            (None, Some(id)) => Start::After(id),
            (None, None) => Start::Edge,
        };
        let owned = |name: &str| value(name).map(str::to_owned);
        Ok(Self {
            request: PageRequest { start, since: since.ok().flatten(), through, order, page_size },
            since: owned("since"),
            sort: owned("sort"),
            page_size: owned("pageSize"),
        })
    }

    /// What the next page is asked for beside its place.
    fn carried_on(&self) -> impl Iterator<Item = (&'static str, String)> {
        // Going forward, the next page begins behind `since` anyway; going back, it still bounds the end.
        let since = self.since.clone().filter(|_| self.request.order == Order::Descending);
        [("since", since), ("sort", self.sort.clone()), ("pageSize", self.page_size.clone())]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
    }

    /// The problem that `error` is, at the parameter that it is about.
    fn explain(&self, error: &AuditError) -> Problem {
        let name = match self.request.start {
            Start::From(_) => "from",
            Start::After(_) => "after",
            Start::Edge => "through",
        };
        Problem::cursor(name, error)
    }
}
