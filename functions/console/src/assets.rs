//! The style sheet, the script and the icon. Each has a versioned address, which contains a hash of the content, so
//! that browsers may cache the file forever, and a fixed address, for pages that other functions render.

use std::sync::LazyLock;

use annals_core::token::TokenHash;
use annals_http::console::refusal::Refusal;
use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::header;

use crate::Console;

#[derive(Debug)]
pub struct Asset {
    content: &'static str,
    media_type: &'static str,
    name: String,
    pub versioned_name: String,
}

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&TokenHash::of(content).0[..6]);
        Self {
            content,
            media_type,
            name: format!("{stem}.{extension}"),
            versioned_name: format!("{stem}-{hash}.{extension}"),
        }
    }
}

pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../assets/base.css"),
        include_str!("../assets/events.css"),
        include_str!("../assets/destinations.css"),
        include_str!("../assets/tokens.css"),
    );
    Asset::new("console", "css", "text/css; charset=utf-8", content)
});
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../assets/base.js"),
        include_str!("../assets/events.js"),
        include_str!("../assets/destinations.js"),
    );
    Asset::new("console", "js", "text/javascript; charset=utf-8", content)
});
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/assets/{asset}", get(asset))
}

/// `GET /console/assets/{asset}`: a file, without a session.
async fn asset(name: Result<Path<String>, PathRejection>) -> Result<Response, Refusal> {
    let Path(name) = name.map_err(|_| Refusal::NotFound)?;
    let assets: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let is_named = |asset: &&Asset| asset.versioned_name == name || asset.name == name;
    let asset = assets.into_iter().find(is_named).ok_or(Refusal::NotFound)?;
    let cache = if asset.name == name { "public, max-age=300" } else { "public, max-age=31536000, immutable" };
    let headers = [(header::CONTENT_TYPE, asset.media_type), (header::CACHE_CONTROL, cache)];
    Ok((headers, asset.content).into_response())
}
