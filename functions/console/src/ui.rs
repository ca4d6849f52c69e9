//! The parts that all pages share: responses, badges, notices, times, numbers.

use annals_core::time::Timestamp;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use maud::{Markup, html};

pub(crate) fn page(markup: Markup) -> Response {
    page_with_status(StatusCode::OK, markup)
}

pub(crate) fn page_with_status(status: StatusCode, markup: Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

/// Returns a page with a form that the user has to correct.
pub(crate) fn invalid_form(markup: Markup) -> Response {
    page_with_status(StatusCode::UNPROCESSABLE_ENTITY, markup)
}

/// The colour of a badge, a notice or a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    /// It works but should be improved, or it waits for the user.
    Warning,
    Bad,
    Neutral,
    /// Drawn back, because it does not count.
    Soft,
}

impl Tone {
    /// Returns the class in the style sheet.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
            Self::Soft => "soft",
        }
    }
}

/// Returns a status in one or two words.
#[must_use]
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// Writes a message to the user. Screen readers announce it because of `role="status"`.
#[must_use]
pub fn notice(tone: Tone, content: &Markup) -> Markup {
    html! { div class={ "notice " (tone.class()) } role="status" { (content) } }
}

/// Writes what was just done. The script removes it from the page's address, so that a reload does not repeat it.
#[must_use]
pub fn done(tone: Tone, message: &str) -> Markup {
    html! { div class={ "notice " (tone.class()) } role="status" data-done { p { (message) } } }
}

/// Writes a time in UTC, to the second. The script converts it to the user's time zone and keeps UTC as its title.
#[must_use]
pub fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
    let clock = rest.get(..8).unwrap_or(rest);
    html! { time datetime=(text) { (date) " " (clock) } }
}

/// Writes a time in UTC without the year and to the minute, for the axis of a chart. The script converts it as it converts
/// [`time`].
#[must_use]
pub fn short_time(at: Timestamp) -> Markup {
    let text = at.to_string();
    html! { time datetime=(text) data-short { (text.get(5..16).unwrap_or(&text).replace('T', " ")) } }
}

/// Formats a time in UTC to the minute, as plain text.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    at.to_string().replace('T', " ").chars().take(16).collect()
}

/// Writes a text with a button that copies it. The button needs the script; without it, the user selects the text.
#[must_use]
pub fn copyable(label: &str, text: &str) -> Markup {
    html! {
        figure .copyable {
            figcaption { (label) }
            pre tabindex="0" aria-label=(label) { code { (text) } }
            button .quiet .copy type="button" hidden data-copy { "Copy" span .visually-hidden { " " (label) } }
        }
    }
}

/// Formats a whole number with spaces between thousands.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Returns the number with its noun, such as `1 event` or `2 events`.
#[must_use]
pub fn count(number_of: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(number_of), if number_of == 1 { one } else { many })
}

/// Formats a size with three significant digits and a unit.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if size < 999.5 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    let decimals = if size < 9.995 { 2 } else { usize::from(size < 99.95) };
    format!("{size:.decimals$} {unit}")
}

/// Formats a duration with its unit.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => count(seconds, "second", "seconds"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Formats a duration that is a whole number of its largest unit, as on an axis.
#[must_use]
pub fn round_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writes a name with places at which a browser may break it, so that it is not broken within a word.
#[must_use]
pub fn breakable(name: &str) -> Markup {
    let mut parts: Vec<&str> = name.split_inclusive(['_', '.', '-', '/', '@', ':']).collect();
    let last = parts.pop();
    html! {
        @for part in parts { (part) wbr; }
        @if let Some(last) = last { (last) }
    }
}

/// Returns the length of a character after escaping, in bytes.
#[must_use]
pub fn html_bytes(character: char) -> usize {
    match character {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        '"' => "&quot;".len(),
        character => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sizes_and_durations_have_units_and_groups() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        assert_eq!([count(1, "event", "events"), count(2, "event", "events")], ["1 event", "2 events"]);
        assert_eq!(
            [0, 999, 1000, 12_345, 999_999, 16_777_216, 2_000_000_000_000].map(bytes),
            ["0 bytes", "999 bytes", "1.00 KB", "12.3 KB", "1.00 MB", "16.8 MB", "2.00 TB"]
        );
        assert_eq!(
            [1, 119, 120, 7199, 7260, 200_000].map(seconds),
            ["1 second", "119 seconds", "2 min", "119 min", "2 h 1 min", "2 days 7 h"]
        );
    }

    #[test]
    fn names_break_between_words() {
        assert_eq!(breakable("mock_api.update").into_string(), "mock_<wbr>api.<wbr>update");
        assert_eq!([breakable("").into_string(), breakable("a_").into_string()], ["", "a_"]);
    }

    #[test]
    fn badges_and_copyable_texts_are_escaped() {
        let evil = "<script>alert(1)</script>\"'&";
        let html = html! { (badge(Tone::Good, evil)) (copyable(evil, evil)) }.into_string();
        assert!(!html.contains("<script") && !html.contains("\"'&\""), "{html}");
    }
}
