//! Schemas of texts that occur in many places: what the domain's parsers read and its types print.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A text that is not blank.
pub const NOT_BLANK: &str = r"\S";

/// An event's id in 22 characters: a UUIDv7 in base64url without padding.
const SHORT_ID: &str = "^[A-Za-z0-9_-]{8}[c-f][A-Za-z0-9_-][CGKOSWaeimquy26-][A-Za-z0-9_-]{10}[AQgw]$";
/// An event's id in 36 characters.
const LONG_ID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$";

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident $shown:literal = $schema:tt;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    $shown.into()
                }

                fn inline_schema() -> bool {
                    true
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

texts! {
    /// A moment as it is answered: UTC, to the millisecond.
    Moment "Moment" = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
    };
    /// A moment as it is sent: RFC 3339 with any offset, between the years 1970 and 9999.
    SentMoment "SentMoment" = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^(19[7-9]\d|[2-9]\d{3})-"
    };
    /// An event's id as UUIDv7.
    EventIdText "EventId" = {"type": "string", "format": "uuid"};
    /// An event's id in the 22 characters that PactFlow's clients know.
    Uuid "Uuid" = {"type": "string", "pattern": SHORT_ID};
    /// An event's id in either form, as it is sent.
    Cursor "Cursor" = {"type": "string", "anyOf": [{"pattern": SHORT_ID}, {"pattern": LONG_ID}]};
    /// SHA-256 in hex.
    Sha256 "Sha256" = {"type": "string", "pattern": "^[0-9a-f]{64}$"};
    /// The twelve digits of an AWS account.
    Account "Account" = {"type": "string", "pattern": "^[0-9]{12}$"};
    /// A region's name, or null.
    RegionOrNull "RegionOrNull" = {"oneOf": [{"type": "string", "pattern": r"^[a-z]{2}(-[a-z]+){1,2}-\d$"}, {"type": "null"}]};
    /// The twelve digits of an AWS account, or null.
    AccountOrNull "AccountOrNull" = {"oneOf": [{"type": "string", "pattern": "^[0-9]{12}$"}, {"type": "null"}]};
    /// A moment as it is sent, or null.
    SentMomentOrNull "SentMomentOrNull" = {
        "oneOf": [SentMoment::json_schema(&mut SchemaGenerator::default()), {"type": "null"}]
    };
    /// A sequence.
    Sequence "Sequence" = {"type": "integer", "minimum": 1};
    /// An absolute URL.
    Href "Href" = {"type": "string", "format": "uri"};
}
