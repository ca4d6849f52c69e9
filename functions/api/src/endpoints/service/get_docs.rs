use annals_http::prelude::*;

use super::reference::{self, Html};

pub(super) struct GetDocs;

impl Endpoint<Services> for GetDocs {
    const ID: &'static str = "getDocs";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/docs";
    type Access = Anyone;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Read the reference")
            .description("A page that is made of the OpenAPI document. It loads nothing else and runs no script.")
            .empty_response(200, "The page.")
            .response_as::<Html>("text/html")
    }

    async fn handle(_: Services, (): ()) -> Result<Response, Problem> {
        let document = serde_json::from_str(crate::DOCUMENT).map_err(|error| Problem::not_serialisable(&error))?;
        Ok(reference::page(reference::render(&document)))
    }
}
