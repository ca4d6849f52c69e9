//! The style sheet, the script and the icon, in the product's colours, and its logo. Each has a versioned address, which
//! contains a hash of the content, so that browsers may cache the file forever. All but the logo also have a fixed address, for
//! pages that other functions render.

use std::{borrow::Cow, sync::LazyLock};

use annals_core::{
    brand::{Accent, Brand, Logo},
    token::TokenHash,
};
use annals_http::console::refusal::Refusal;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
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
    stem: String,
    extension: &'static str,
    /// Writes the content with the colours of a brand.
    colour: fn(&str, &Accent) -> String,
}

impl Asset {
    fn new(stem: &str, extension: &'static str, media_type: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&TokenHash::of(content).0[..6]);
        let (name, stem) = (format!("{stem}.{extension}"), format!("{stem}-{hash}"));
        Self { content, media_type, name, stem, extension, colour: |content, _| content.to_owned() }
    }

    /// Returns the name that changes with the content and with the brand.
    #[must_use]
    pub fn versioned_name(&self, brand: &Brand) -> String {
        let Accent { light, dark } = brand.accent;
        let colours =
            if brand.accent == Accent::default() { String::new() } else { format!("-{light}{dark}").replace('#', "") };
        format!("{}{colours}.{}", self.stem, self.extension)
    }

    fn content(&self, brand: &Brand) -> Cow<'static, str> {
        if brand.accent == Accent::default() {
            self.content.into()
        } else {
            (self.colour)(self.content, &brand.accent).into()
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
    let colour = |content: &str, Accent { light, dark }: &Accent| {
        format!("{content}\n:root {{ --accent: light-dark({light}, {dark}); }}\n")
    };
    Asset { colour, ..Asset::new("console", "css", "text/css; charset=utf-8", content) }
});
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../assets/base.js"),
        include_str!("../assets/events.js"),
        include_str!("../assets/destinations.js"),
    );
    Asset::new("console", "js", "text/javascript; charset=utf-8", content)
});
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let colour = |content: &str, accent: &Accent| {
        content.replace(&Accent::default().light.to_string(), &accent.light.to_string())
    };
    Asset { colour, ..Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")) }
});

/// Returns the name of the brand's logo.
#[must_use]
pub fn logo_name(logo: &Logo) -> String {
    format!("logo-{}", hex::encode(&TokenHash::of(&hex::encode(logo.bytes())).0[..6]))
}

pub(crate) fn routes() -> Router<Console> {
    Router::new().route("/console/assets/{asset}", get(asset))
}

/// `GET /console/assets/{asset}`: a file, without a session.
async fn asset(State(console): State<Console>, name: Result<Path<String>, PathRejection>) -> Result<Response, Refusal> {
    const FOR_EVER: &str = "public, max-age=31536000, immutable";
    let Path(name) = name.map_err(|_| Refusal::NotFound)?;
    let brand = console.embedding.brand();
    if let Some(logo) = brand.logo.as_ref().filter(|logo| logo_name(logo) == name) {
        let headers = [(header::CONTENT_TYPE, logo.media_type()), (header::CACHE_CONTROL, FOR_EVER)];
        return Ok((headers, logo.bytes().to_vec()).into_response());
    }
    let assets: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let is_named = |asset: &&Asset| asset.versioned_name(brand) == name || asset.name == name;
    let asset = assets.into_iter().find(is_named).ok_or(Refusal::NotFound)?;
    let cache = if asset.name == name { "public, max-age=300" } else { FOR_EVER };
    let headers = [(header::CONTENT_TYPE, asset.media_type), (header::CACHE_CONTROL, cache)];
    Ok((headers, asset.content(brand)).into_response())
}
