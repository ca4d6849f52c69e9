//! The API itself.

mod get_health;
mod get_keys;
mod get_openapi;

use annals_http::{Services, endpoint::Endpoints};

use self::{get_health::GetHealth, get_keys::GetKeys, get_openapi::GetOpenapi};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints.endpoint::<GetHealth>().endpoint::<GetOpenapi>().endpoint::<GetKeys>()
}
