use annals_core::organisation::OrganisationId;
use annals_http::prelude::*;
use annals_http::query::{Describer, Parameters, Query, Reader, organisation_id};

use super::OrganisationView;
use crate::endpoints::Link;

/// Organisations per page.
const PAGE_SIZE: usize = 100;

pub(super) struct ListOrganisations;

impl Endpoint<Services> for ListOrganisations {
    const ID: &'static str = "listOrganisations";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations";
    type Access = Platform;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Organisations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "List organisations")
            .description("Ordered by id, a hundred per page. Follow `_links.next` until a page has none.")
            .query::<QuerySchema<ListQuery>>()
            .response::<OrganisationPage<'_>>(200, "A page of organisations.")
    }

    async fn handle(services: Services, call: Call) -> Result<Response, Problem> {
        let mut reader = Reader::of(call.query());
        let ListQuery { after } = ListQuery::of(&mut reader);
        reader.finish()?;
        let organisations = services.administration.organisations(after.as_ref(), PAGE_SIZE).await?;
        let last = organisations.last().filter(|_| organisations.len() == PAGE_SIZE);
        let next = last.map(|last| Link { href: format!("{}?after={}", call.url(), last.id) });
        let page = OrganisationPage {
            organisations: organisations.iter().map(OrganisationView::from).collect(),
            links: PageLinks { this: Link { href: call.url() }, next },
        };
        Ok(response::json(StatusCode::OK, &page))
    }
}

/// The query of a page.
#[derive(Debug)]
struct ListQuery {
    after: Option<OrganisationId>,
}

impl ListQuery {
    fn of<P: Parameters>(parameters: &mut P) -> Self {
        let after = "Only organisations whose id sorts after this one.";
        Self { after: parameters.optional("after", after, organisation_id()) }
    }
}

impl Query for ListQuery {
    fn describe(describer: &mut Describer) {
        Self::of(describer);
    }
}

/// Organisations in the order of their ids.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganisationPage<'a> {
    organisations: Vec<OrganisationView<'a>>,
    #[serde(rename = "_links")]
    links: PageLinks,
}

/// Links to this page and the next.
#[derive(Debug, Serialize, JsonSchema)]
struct PageLinks {
    #[serde(rename = "self")]
    this: Link,
    /// The next page. Missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
}
