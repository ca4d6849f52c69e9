//! Any text as the value of a header, a path, a query or a member: times, tokens, ids, buckets, roles, prefixes, regions.
//!
//! Accepted values obey the rules, which are written here a second time, and parse again from their printed form. Values that
//! become part of a policy, an ARN or a host name contain no character with a meaning there.

#![no_main]

use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use annals_core::{
    destination::{AccountId, BucketName, Compression, DestinationId, KeyLayout, KeyPrefix, Region, RoleArn},
    format::{NotAcceptable, Representation},
    json,
    log::append::IdempotencyKey,
    organisation::{OrganisationId, Plan},
    service::TemplateUrl,
    time::Timestamp,
    token::{Role, TokenHash, TokenId, TokenText},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(IdempotencyKey::parse(data).is_ok(), (1..=255).contains(&data.len()));
    assert!(json::utf8(data).map_or(true, |text| text.as_bytes() == data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    check_time(text);
    check_token(text);
    check_names(text);
    check_accept(text);
    assert_eq!(json::escape(text).replace("~1", "/").replace("~0", "~"), text);
    assert_eq!(serde_json::from_str::<String>(&json::quote(text)).ok().as_deref(), Some(text));
});

fn check_time(text: &str) {
    let strict = Timestamp::parse(text);
    let lenient = Timestamp::parse_leniently(text);
    if strict.is_ok() {
        assert_eq!(strict, lenient, "{text}");
    }
    let Ok(time) = lenient else { return };
    assert_eq!(Timestamp::from_millis(time.as_millis()), time, "beyond the year 9999");
    let printed = time.to_string();
    assert_eq!(printed.len(), "2026-11-22T10:00:00.123Z".len());
    assert_eq!(Timestamp::parse(&printed), Ok(time));
    assert!(Timestamp::parse_leniently(&printed[..10]).is_ok_and(|day| day <= time));
    assert!(time.as_secs_ceil() * 1000 - time.as_millis() < 1000);
    let (year, month, day) = time.date();
    assert_eq!(printed[..10], format!("{year:04}-{month:02}-{day:02}"));
}

fn check_token(text: &str) {
    if let Some(id) = TokenText::id_in(text) {
        assert_eq!(text.len(), 58);
        assert_eq!(text.strip_prefix("annals_").and_then(|rest| rest.get(..12)), Some(id.as_str()));
        assert_eq!(id.as_str().parse::<TokenId>(), Ok(id));
    }
    if let Ok(hash) = text.parse::<TokenHash>() {
        assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(text.to_ascii_lowercase().parse::<TokenHash>().ok(), Some(hash));
        assert!(!format!("{hash:?}").contains(text));
    }
}

fn check_names(text: &str) {
    parse_and_print::<OrganisationId>(text);
    parse_and_print::<TokenId>(text);
    parse_and_print::<DestinationId>(text);
    parse_and_print::<AccountId>(text);
    for (name, printed) in [
        ("role", text.parse::<Role>().ok().map(Role::as_str)),
        ("plan", text.parse::<Plan>().ok().map(Plan::as_str)),
        ("compression", text.parse::<Compression>().ok().map(Compression::as_str)),
        ("layout", text.parse::<KeyLayout>().ok().map(KeyLayout::as_str)),
    ] {
        assert!(printed.is_none_or(|printed| printed == text), "{name}");
    }

    if let Some(bucket) = parse_and_print::<BucketName>(text) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!((3..=63).contains(&text.len()) && text.bytes().all(fits));
        assert!(!bucket.as_str().contains(".."));
    }
    if let Some(role) = parse_and_print::<RoleArn>(text) {
        assert!(["aws", "aws-cn", "aws-eusc", "aws-us-gov"].contains(&role.partition()));
        assert!(role.account().parse::<AccountId>().is_ok());
        assert!((1..=64).contains(&role.name().len()));
        let front = format!("arn:{}:iam::{}:role/", role.partition(), role.account());
        assert!(text.starts_with(&front) && text.ends_with(role.name()));
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(prefix) = text.parse::<KeyPrefix>() {
        let own = prefix.as_str();
        assert!(own.is_empty() || own == text || own.strip_suffix('/') == Some(text));
        assert_eq!(own.parse::<KeyPrefix>().as_ref(), Ok(&prefix));
        assert!(own.is_empty() || own.ends_with('/') && !own.starts_with('/') && !own.contains("//"));
        assert!(!own.contains(['*', '?', '$', '"', '\\', '{', '}']) && own.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(region) = text.parse::<Region>() {
        assert_eq!(region.as_str(), text);
        assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        assert!(["aws", "aws-cn", "aws-eusc", "aws-us-gov"].contains(&region.partition()));
    }
    if text.parse::<TemplateUrl>().is_ok() {
        assert!(text.starts_with("https://") && text.len() <= 1024);
    }
}

/// Parses a `T` and checks that it prints as `text`.
fn parse_and_print<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    assert_eq!(value.to_string(), text);
    assert_eq!(text.parse::<T>().ok().as_ref(), Some(&value));
    Some(value)
}

fn check_accept(text: &str) {
    let negotiated = Representation::negotiate(text);
    // A media type that is not offered changes nothing, unless it is the only one.
    let beside = Representation::negotiate(&format!("image/png, {text}"));
    assert!(beside == negotiated || (negotiated, beside) == (Ok(None), Err(NotAcceptable)), "{text}");
    if let Ok(Some(representation)) = negotiated {
        let (kind, _) = representation.media_type_of_page().split_once('/').unwrap_or_default();
        assert!(text.to_ascii_lowercase().contains(kind), "{text} does not accept {representation:?}");
    }
}
