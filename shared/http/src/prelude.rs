//! What every file of an endpoint needs: `use annals_http::prelude::*`.

pub use annals_core::{organisation::Organisation, platform::PlatformScope};
pub use axum::response::Response;
pub use http::StatusCode;
pub use schemars::JsonSchema;
pub use serde::Serialize;

pub use crate::{
    Services,
    access::{Administrators, Anyone, Platform, PlatformAccess, Producers, Readers, Visitors},
    call::{Call, Visit},
    endpoint::{Documentation, Endpoint, Method, Scope, Tag},
    inline_schemas,
    problem::{Problem, kind},
    query::QuerySchema,
    response,
    schema::InputSchema,
};
