//! Content negotiation. Owns the parsing of media ranges (RFC 9110, section 12.5.1).

use super::Format;

/// A media range that matches something that is offered.
struct MediaRange {
    /// In thousandths.
    quality: u16,
    specificity: Specificity,
    /// `None` is the page.
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Anything,
    Type,
    Exact,
}

pub(super) fn negotiate(accept: &str) -> Option<Format> {
    let mut best: Option<MediaRange> = None;
    for range in split(accept, ',').filter_map(parse).filter(|range| range.quality > 0) {
        let better = |best: &MediaRange| (range.quality, range.specificity) > (best.quality, best.specificity);
        if best.as_ref().is_none_or(better) {
            best = Some(range);
        }
    }
    best?.format
}

/// Parses a media range with its parameters. Returns `None` if it matches nothing that is offered.
fn parse(range: &str) -> Option<MediaRange> {
    let mut parts = split(range, ';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let (mut profile, mut quality) = (None, 1000);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match key.trim().to_ascii_lowercase().as_str() {
            "profile" => profile = Some(value),
            "q" => quality = thousandths(&value)?,
            _ => {}
        }
    }
    let (specificity, format) = match (name.as_str(), profile.as_deref()) {
        ("application/x-ndjson" | "application/ndjson", None) => (Specificity::Exact, Some(Format::Lines)),
        ("application/x-ndjson" | "application/ndjson", Some("cloudevents")) => {
            (Specificity::Exact, Some(Format::CloudEvents))
        }
        ("application/x-ndjson" | "application/ndjson", Some("ocsf")) => (Specificity::Exact, Some(Format::Ocsf)),
        ("application/x-ndjson" | "application/ndjson", Some("ocsf-slim")) => {
            (Specificity::Exact, Some(Format::OcsfSlim))
        }
        ("text/csv", _) => (Specificity::Exact, Some(Format::Csv)),
        ("text/*", _) => (Specificity::Type, Some(Format::Csv)),
        ("application/hal+json" | "application/json", _) => (Specificity::Exact, None),
        ("application/*", _) => (Specificity::Type, None),
        ("*/*", _) => (Specificity::Anything, None),
        _ => return None,
    };
    Some(MediaRange { quality, specificity, format })
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
            ("image/png", None),
            ("application/x-ndjson", Some(Format::Lines)),
            ("application/ndjson", Some(Format::Lines)),
            (" Application/X-NDJSON ; charset=utf-8 ", Some(Format::Lines)),
            ("application/x-ndjson;profile=cloudevents", Some(Format::CloudEvents)),
            ("application/x-ndjson; Profile=\"OCSF\"; q=0.5", Some(Format::Ocsf)),
            ("application/x-ndjson;profile=ecs", None),
            ("application/x-ndjson;profile=\"a,b;c\", text/csv;q=0.1", Some(Format::Csv)),
            ("text/csv", Some(Format::Csv)),
            ("text/csv, */*", Some(Format::Csv)),
            ("*/*, text/csv", Some(Format::Csv)),
            ("text/csv;q=0.9, */*", None),
            ("text/*", Some(Format::Csv)),
            ("application/hal+json, text/csv", None),
            ("text/csv, application/hal+json", Some(Format::Csv)),
            ("text/csv;q=0.2, application/x-ndjson;q=0.7, application/json;q=0.1", Some(Format::Lines)),
            ("text/csv;q=0", None),
            ("text/csv;q=high", None),
            ("text/csv;q=NaN", None),
            (",;=,\",", None),
        ] {
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
    }
}
