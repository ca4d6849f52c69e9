//! The API itself.

mod get_deep_health;
mod get_docs;
mod get_health;
mod get_keys;
mod get_openapi;
mod get_root;
mod reference;

use annals_http::{Services, endpoint::Endpoints};

use self::{
    get_deep_health::GetDeepHealth, get_docs::GetDocs, get_health::GetHealth, get_keys::GetKeys,
    get_openapi::GetOpenapi, get_root::GetRoot,
};

/// The version that answers.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The git commit that was built: `build.rs` sets it, except in a debug build.
const COMMIT: Option<&str> = option_env!("ANNALS_COMMIT");

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints
        .endpoint::<GetRoot>()
        .endpoint::<GetDocs>()
        .endpoint::<GetHealth>()
        .endpoint::<GetDeepHealth>()
        .endpoint::<GetOpenapi>()
        .endpoint::<GetKeys>()
}
