//! The style sheet, the script and the icon. Their addresses change with their content, so browsers keep them for ever.

use std::sync::LazyLock;

use annals_core::token::TokenHash;
use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header;

use crate::{Console, refusal::Refusal};

/// One file.
#[derive(Debug)]
pub struct Asset {
    content: &'static str,
    media_type: &'static str,
    /// Its name in addresses.
    pub name: String,
}

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&TokenHash::of(content).0[..6]);
        Self { content, media_type, name: format!("{stem}-{hash}.{extension}") }
    }
}

/// How pages look.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../assets/base.css"),
        include_str!("../assets/events.css"),
        include_str!("../assets/destinations.css"),
        include_str!("../assets/tokens.css"),
    );
    Asset::new("console", "css", "text/css; charset=utf-8", content)
});
/// What makes pages smoother. None needs it.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../assets/base.js"),
        include_str!("../assets/events.js"),
        include_str!("../assets/destinations.js"),
    );
    Asset::new("console", "js", "text/javascript; charset=utf-8", content)
});

/// What stands beside the page's title.
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/assets/{asset}", get(asset))
}

/// `GET /console/assets/{asset}`: a file, to anybody.
async fn asset(name: Result<Path<String>, PathRejection>) -> Result<Response, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::NotFound)?;
    let assets: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let asset = assets.into_iter().find(|asset| asset.name == name).ok_or(Refusal::NotFound)?;
    let headers =
        [(header::CONTENT_TYPE, asset.media_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.content).into_response())
}
