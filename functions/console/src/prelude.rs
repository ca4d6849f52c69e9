//! What every page and form needs: `use crate::prelude::*`.

pub(crate) use annals_http::{
    console::{refusal::Refusal, session::ConsoleRequest},
    problem::Problem,
};
pub(crate) use axum::response::Response;
pub(crate) use maud::{Markup, html};

pub(crate) use crate::{
    fields::{Control, Field, Fields},
    layout::{Section, Shell},
    ui,
};
