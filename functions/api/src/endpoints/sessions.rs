//! The sessions of people on an organisation's page.

mod list_sessions;
mod revoke_session;

use annals_http::{Services, endpoint::Endpoints};

use self::{list_sessions::ListSessions, revoke_session::RevokeSession};

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints.endpoint::<ListSessions>().endpoint::<RevokeSession>()
}
