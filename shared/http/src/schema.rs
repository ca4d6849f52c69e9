//! JSON schemas: those of inputs, from their descriptions, and those of texts that occur in many places.

use std::{borrow::Cow, marker::PhantomData};

use annals_core::input::{Describer, Input};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

/// The schema of an input.
#[derive(Debug)]
pub struct InputSchema<I>(PhantomData<I>);

impl<I: Input> JsonSchema for InputSchema<I> {
    fn schema_name() -> Cow<'static, str> {
        I::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (schema, definitions) = Describer::describe::<I>();
        let definitions = definitions.into_iter().map(|(name, schema)| (name.to_owned(), schema));
        generator.definitions_mut().extend(definitions);
        from_value(schema)
    }
}

/// Returns a schema that is written as JSON.
#[must_use]
pub fn from_value(schema: Value) -> Schema {
    schema.try_into().unwrap_or_default()
}

/// An event's id in 22 characters: a UUIDv7 in base64url without padding.
const SHORT_ID: &str = "^[A-Za-z0-9_-]{8}[c-f][A-Za-z0-9_-][CGKOSWaeimquy26-][A-Za-z0-9_-]{10}[AQgw]$";
/// An event's id in 36 characters.
const LONG_ID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$";

/// Who recorded an event ([`annals_core::recorded_by::RecordedBy`]).
const RECORDED_BY: &str = "^(annals|platform|token/[0-9A-Za-z]{12}|session/[0-9a-f]{12})$";

/// Types whose schemas are written where they are used.
#[macro_export]
macro_rules! inline_schemas {
    ($($(#[doc = $doc:literal])* $vis:vis $name:ident = $schema:tt;)+) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug)]
            $vis struct $name;

            impl schemars::JsonSchema for $name {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn inline_schema() -> bool {
                    true
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!($schema)
                }
            }
        )+
    };
}

inline_schemas! {
    /// A time in a response: UTC, to the millisecond.
    pub Moment = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
    };
    /// An event's id as UUIDv7.
    pub EventIdText = {"type": "string", "format": "uuid"};
    /// An event's id in the 22 characters that PactFlow's clients know.
    pub Uuid = {"type": "string", "pattern": SHORT_ID};
    /// An event's id in either form, in a request.
    pub Cursor = {"type": "string", "anyOf": [{"pattern": SHORT_ID}, {"pattern": LONG_ID}]};
    /// Who recorded an event.
    pub RecordedByText = {"type": "string", "pattern": RECORDED_BY};
    /// SHA-256 in hexadecimal digits.
    pub Sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"};
    /// The twelve digits of an AWS account.
    pub Account = {"type": "string", "pattern": "^[0-9]{12}$"};
    /// The sequence of an event.
    pub Sequence = {"type": "integer", "minimum": 1};
    /// An absolute URL.
    pub Href = {"type": "string", "format": "uri"};
}
