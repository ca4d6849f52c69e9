//! The time that DynamoDB tells with an answer, in the header `Date`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use annals_core::time::Timestamp;
use aws_sdk_dynamodb::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef},
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};

/// An interceptor that keeps the time of the last answer of one operation.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTime(Arc<AtomicU64>);

impl ServerTime {
    /// Returns the time of the last answer, in whole seconds. `None` if it had no valid `Date`.
    pub(super) fn get(&self) -> Option<Timestamp> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis > 0).then(|| Timestamp::from_millis(millis))
    }
}

impl Intercept for ServerTime {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let time = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let millis = time.and_then(|time| time.to_millis().ok()).and_then(|millis| u64::try_from(millis).ok());
        self.0.store(millis.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}
