//! Content negotiation. Owns the parsing of media ranges (RFC 9110, section 12.5.1).

use super::{Form, Format, NotAcceptable, Representation};

/// A media range that matches something that is offered.
struct MediaRange {
    /// In thousandths.
    quality: u16,
    specificity: Specificity,
    /// `None` is the page.
    representation: Option<Representation>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Anything,
    Type,
    Exact,
}

pub(super) fn negotiate(accept: &str) -> Result<Option<Representation>, NotAcceptable> {
    let mut best: Option<MediaRange> = None;
    let mut has_preference = false;
    for range in split(accept, ',') {
        has_preference |= range.split(';').next().is_some_and(|name| name.contains('/'));
        let Some(range) = parse(range).filter(|range| range.quality > 0) else { continue };
        let better = |best: &MediaRange| (range.quality, range.specificity) > (best.quality, best.specificity);
        if best.as_ref().is_none_or(better) {
            best = Some(range);
        }
    }
    match best {
        Some(best) => Ok(best.representation),
        None if has_preference => Err(NotAcceptable),
        None => Ok(None),
    }
}

/// Parses a media range with its parameters. Returns `None` if it matches nothing that is offered.
fn parse(range: &str) -> Option<MediaRange> {
    let mut parts = split(range, ';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let (mut profile, mut quality, mut form) = (None, 1000, Form::Stream);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match key.trim().to_ascii_lowercase().as_str() {
            "profile" => profile = Some(value),
            "q" => quality = thousandths(&value)?,
            "bom" if value == "present" => form = Form::Marked,
            _ => {}
        }
    }
    let page = None;
    let stream = |format| Some(Representation { format, form: Form::Stream });
    let of = |format, form| Some(Representation { format, form });
    let (specificity, representation) = match (name.as_str(), profile.as_deref()) {
        ("application/x-ndjson" | "application/ndjson", profile) => {
            let format = match profile {
                None => Format::Lines,
                Some("cloudevents") => Format::CloudEvents,
                Some("ocsf") => Format::Ocsf,
                Some("ocsf-slim") => Format::OcsfSlim,
                Some(_) => return None,
            };
            (Specificity::Exact, stream(format))
        }
        ("application/cloudevents+json", _) => (Specificity::Exact, of(Format::CloudEvents, Form::Single)),
        ("application/cloudevents-batch+json", _) => (Specificity::Exact, of(Format::CloudEvents, Form::Batch)),
        ("application/ocsf+json", _) => (Specificity::Exact, of(Format::Ocsf, Form::Single)),
        ("application/ocsf-batch+json", _) => (Specificity::Exact, of(Format::Ocsf, Form::Batch)),
        ("text/csv", _) => (Specificity::Exact, of(Format::Csv, form)),
        ("text/*", _) => (Specificity::Type, stream(Format::Csv)),
        ("application/hal+json" | "application/json" | "text/html", _) => (Specificity::Exact, page),
        ("application/*", _) => (Specificity::Type, page),
        ("*/*", _) => (Specificity::Anything, page),
        _ => return None,
    };
    Some(MediaRange { quality, specificity, representation })
}

/// Parses a weight (RFC 9110, section 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let weight: f32 = text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    Some((weight * 1000.0).round() as u16)
}

/// Splits `text` at separators outside quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_decides_then_the_specificity_then_the_order() {
        for (accept, expected) in [
            ("", None),
            ("*/*", None),
            ("application/*", None),
            ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", None),
            ("application/json", None),
            ("application/x-ndjson", Some(Format::Lines)),
            ("application/ndjson", Some(Format::Lines)),
            (" Application/X-NDJSON ; charset=utf-8 ", Some(Format::Lines)),
            ("application/x-ndjson;profile=cloudevents", Some(Format::CloudEvents)),
            ("application/x-ndjson; Profile=\"OCSF\"; q=0.5", Some(Format::Ocsf)),
            ("application/x-ndjson;profile=\"a,b;c\", text/csv;q=0.1", Some(Format::Csv)),
            ("text/csv", Some(Format::Csv)),
            ("text/csv, */*", Some(Format::Csv)),
            ("*/*, text/csv", Some(Format::Csv)),
            ("text/csv;q=0.9, */*", None),
            ("text/*", Some(Format::Csv)),
            ("application/hal+json, text/csv", None),
            ("text/csv, application/hal+json", Some(Format::Csv)),
            ("text/csv;q=0.2, application/x-ndjson;q=0.7, application/json;q=0.1", Some(Format::Lines)),
            (",;=,\",", None),
        ] {
            let format = negotiate(accept).map(|accepted| accepted.map(|representation| representation.format));
            assert_eq!(format, Ok(expected), "{accept}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_unless_something_else_is_accepted() {
        for accept in [
            "image/png",
            "application/xml",
            "application/x-ndjson;profile=ecs",
            "text/csv;q=0",
            "text/csv;q=high",
            "text/csv;q=NaN",
            "application/xml, application/x-ndjson;profile=ecs",
        ] {
            assert_eq!(negotiate(accept), Err(NotAcceptable), "{accept}");
        }
        assert_eq!(negotiate("application/xml, */*;q=0.1"), Ok(None));
        assert_eq!(negotiate("application/xml;q=0.1, text/csv").unwrap().unwrap().format, Format::Csv);
    }

    #[test]
    fn the_registered_media_types_are_one_event_or_a_batch() {
        for (accept, on_a_page, alone) in [
            ("application/cloudevents+json", "application/cloudevents-batch+json", "application/cloudevents+json"),
            (
                "application/cloudevents-batch+json",
                "application/cloudevents-batch+json",
                "application/cloudevents-batch+json",
            ),
            ("Application/OCSF+JSON; version=1.8.0", "application/ocsf-batch+json", "application/ocsf+json"),
            ("application/ocsf-batch+json", "application/ocsf-batch+json", "application/ocsf-batch+json"),
            ("application/x-ndjson", "application/x-ndjson", "application/x-ndjson"),
            (
                "text/csv; bom=present",
                "text/csv; charset=utf-8; header=present",
                "text/csv; charset=utf-8; header=present",
            ),
        ] {
            let representation = negotiate(accept).unwrap().unwrap();
            assert_eq!(
                (representation.media_type_of_page(), representation.media_type_of_event()),
                (on_a_page, alone),
                "{accept}"
            );
        }
    }
}
