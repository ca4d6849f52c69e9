use annals_core::audit::{PageRequest, Resume, Shape, Start};
use annals_http::prelude::*;
use annals_http::query::PageQuery;
use http::{HeaderValue, header};

use super::{CloudEvent, HAL, Link, OcsfEvent, accepted, get_audit_event::AuditEvent, link, link_to_self};

pub(super) struct ListAudit;

impl Endpoint<Services> for ListAudit {
    const ID: &'static str = "listAudit";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/audit";
    const SCOPE: Scope = Scope::TokenOrPath;
    type Access = Readers;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Audit);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Audit, "Read the audit log")
            .description(
                "A page of events, the oldest first unless `sort` says otherwise. Follow `_links.next` until a page has \
                 none: that is the end of the log at the time of the first page. `_links.resume` is on every page and \
                 leads on behind the last event that this page examined: a collector that stores it after any page, and \
                 starts again from it at any time, misses no event and gets none twice. Different filters are combined with AND, several values of one filter with OR. \
                 A call reads a limited part of the log, so a page may have few events or none, and still have a \
                 `next`.\n\n`Accept` selects the format: `application/hal+json`; `application/x-ndjson` for the lines as \
                 they are delivered, or with `profile=cloudevents`, `profile=ocsf` or `profile=ocsf-slim` (without the line and \
                 without published names); `application/cloudevents-batch+json` and `application/ocsf-batch+json` for a JSON \
                 array of the same, also under `application/cloudevents+json` and `application/ocsf+json`; `text/csv`, with \
                 `bom=present` after a byte order mark, as Excel wants it. In all but the first the links are in the header \
                 `Link`. Any other media type is a 406.",
            )
            .query::<QuerySchema<PageQuery>>()
            .empty_response(200, "A page of events.")
            .response_as::<AuditPage>(HAL)
            .response_as::<Lines>("application/x-ndjson")
            .response_as::<Vec<CloudEvent>>("application/cloudevents-batch+json")
            .response_as::<Vec<OcsfEvent>>("application/ocsf-batch+json")
            .response_as::<Rows>("text/csv")
            .response_header::<String>("Link", "The links of formats whose body has no links (RFC 8288).")
            .problems(&[kind::EXPIRED, kind::NOT_ACCEPTABLE])
            .records(&["audit.read"])
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let representation = accepted(&call)?;
        let shape = representation.map_or(Shape::View, |representation| Shape::Format(representation.format));
        let query = PageQuery::parse(call.query(), shape)?;
        let page = services.audit.page(&call.organisation, &query.request, &call.reader()).await;
        let page = page.map_err(|error| Problem::cursor(cursor_parameter(&query.request), &error))?;
        call.log_fields().page(page.shown.len());

        let url = call.url();
        let skip = (page.skip > 0).then(|| ("skip", page.skip.to_string()));
        let next = page.next.map(|next| {
            let mut parameters = vec![("from", next.short())];
            parameters.extend(page.through.map(|through| ("through", through.short())));
            parameters.extend(skip.clone());
            parameters.extend(query.carried_on());
            link(&url, &parameters)
        });
        let resume = match (page.resume, &next) {
            (Resume::NextPage, Some(next)) => next.clone(),
            (resume, _) => {
                let mut parameters = match resume {
                    Resume::Onward(Start::Edge) | Resume::NextPage => vec![],
                    Resume::Onward(Start::From(id)) => vec![("from", id.short())],
                    Resume::Onward(Start::After(id)) => vec![("after", id.short())],
                };
                parameters.extend(skip.filter(|_| next.is_some()));
                parameters.extend(query.resumed_with());
                link(&url, &parameters)
            }
        };
        let links = AuditLinks { this: link_to_self(&call), next, resume };

        Ok(match representation {
            None => {
                let links = serde_json::to_value(&links).map_err(|error| Problem::not_serialisable(&error))?;
                // The events are JSON already.
                let body = format!(r#"{{"events":[{}],"_links":{links}}}"#, page.shown.join(","));
                response::with_body(StatusCode::OK, HAL, body)
            }
            Some(representation) => {
                let media_type = representation.media_type_of_page();
                let mut response = response::with_body(StatusCode::OK, media_type, representation.page(&page.shown));
                response.headers_mut().extend(links.header().map(|links| (header::LINK, links)));
                response
            }
        })
    }
}

/// Returns the parameter of the cursor that a page begins with.
fn cursor_parameter(request: &PageRequest) -> &'static str {
    match request.start {
        Start::From(_) => "from",
        Start::After(_) => "after",
        Start::Edge => "through",
    }
}

/// A page of events.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "it describes text that the domain renders")]
struct AuditPage {
    /// The events in the requested order.
    #[schemars(length(max = 1000))]
    events: Vec<AuditEvent>,
    #[schemars(rename = "_links")]
    links: AuditLinks,
}

/// Links to this page, the next, and events recorded later.
#[derive(Debug, Serialize, JsonSchema)]
struct AuditLinks {
    #[serde(rename = "self")]
    this: Link,
    /// The next page. Missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
    /// Where a collector continues that has the events of this page and of those before it: whatever is left of them,
    /// and then events recorded later.
    resume: Link,
}

impl AuditLinks {
    /// Returns the links as a `Link` header (RFC 8288). Values that callers sent are percent-encoded in them.
    fn header(&self) -> Option<HeaderValue> {
        let links = [("self", Some(&self.this)), ("next", self.next.as_ref()), ("resume", Some(&self.resume))];
        let links = links.into_iter().filter_map(|(name, link)| Some(format!("<{}>; rel=\"{name}\"", link?.href)));
        HeaderValue::from_str(&links.collect::<Vec<_>>().join(", ")).ok()
    }
}

inline_schemas! {
    /// One JSON object per line.
    Lines = {"type": "string"};
    /// Rows of RFC 4180, the first of them with the column names.
    Rows = {"type": "string"};
}
