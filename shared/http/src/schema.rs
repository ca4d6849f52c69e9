//! Schemas of texts that occur in many places: what the domain's parsers read and its types print.

use schemars::SchemaGenerator;

/// Control characters, and those that turn or break the text behind them, in a class of a pattern.
macro_rules! invisible {
    () => {
        r"\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069\uFEFF"
    };
}

/// A text that is not blank.
pub const NOT_BLANK: &str = r"\S";

/// A text that is not blank, and holds nothing that people cannot see.
pub const DISPLAY_NAME: &str =
    concat!("^[^", invisible!(), "]*", r"[^\s", invisible!(), "]", "[^", invisible!(), "]*$");

/// An event's id in 22 characters: a UUIDv7 in base64url without padding.
const SHORT_ID: &str = "^[A-Za-z0-9_-]{8}[c-f][A-Za-z0-9_-][CGKOSWaeimquy26-][A-Za-z0-9_-]{10}[AQgw]$";
/// An event's id in 36 characters.
const LONG_ID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$";

/// Types that stand for schemas which are written where they are used.
#[macro_export]
macro_rules! inline_schemas {
    ($($(#[doc = $doc:literal])+ $vis:vis $name:ident = $schema:tt;)+) => {
        $(
            $(#[doc = $doc])+
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
    /// A moment as it is answered: UTC, to the millisecond.
    pub Moment = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
    };
    /// A moment as it is sent: RFC 3339 with any offset, between the years 1970 and 9999.
    pub SentMoment = {
        "type": "string",
        "format": "date-time",
        "pattern": r"^(19[7-9]\d|[2-9]\d{3})-"
    };
    /// An event's id as UUIDv7.
    pub EventIdText = {"type": "string", "format": "uuid"};
    /// An event's id in the 22 characters that PactFlow's clients know.
    pub Uuid = {"type": "string", "pattern": SHORT_ID};
    /// An event's id in either form, as it is sent.
    pub Cursor = {"type": "string", "anyOf": [{"pattern": SHORT_ID}, {"pattern": LONG_ID}]};
    /// SHA-256 in hex.
    pub Sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"};
    /// The twelve digits of an AWS account.
    pub Account = {"type": "string", "pattern": "^[0-9]{12}$"};
    /// A region's name, or null.
    pub RegionOrNull = {"oneOf": [{"type": "string", "pattern": r"^[a-z]{2}(-[a-z]+){1,2}-\d$"}, {"type": "null"}]};
    /// The twelve digits of an AWS account, or null.
    pub AccountOrNull = {"oneOf": [{"type": "string", "pattern": "^[0-9]{12}$"}, {"type": "null"}]};
    /// A moment as it is sent, or null.
    pub SentMomentOrNull = {
        "oneOf": [SentMoment::json_schema(&mut SchemaGenerator::default()), {"type": "null"}]
    };
    /// A sequence.
    pub Sequence = {"type": "integer", "minimum": 1};
    /// An absolute URL.
    pub Href = {"type": "string", "format": "uri"};
}
