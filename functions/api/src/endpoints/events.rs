//! Recording events.

mod record_events;

use annals_http::{Services, endpoint::Endpoints};

use self::record_events::RecordEvents;

pub(super) fn add<E: Endpoints<Services>>(endpoints: E) -> E {
    endpoints.endpoint::<RecordEvents>()
}
