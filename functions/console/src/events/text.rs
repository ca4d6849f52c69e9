//! Texts of events, made visible and cut to a length.

use annals_core::invisible;

use crate::ui::html_bytes;

/// A text that may have been cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cut {
    pub(super) text: String,
    pub(super) is_cut: bool,
}

impl Cut {
    /// Cuts `text` to `max` bytes of HTML.
    pub(super) fn to(text: &str, max: usize) -> Self {
        let mut left = max;
        for (index, character) in text.char_indices() {
            match left.checked_sub(html_bytes(character)) {
                Some(rest) => left = rest,
                None => return Self { text: format!("{}…", text[..index].trim_end()), is_cut: true },
            }
        }
        Self { text: text.to_owned(), is_cut: false }
    }
}

/// Replaces invisible characters, so that the text is on one line, and cuts it to `max` characters and to `2 * max` bytes of
/// HTML.
pub(super) fn short(text: &str, max: usize) -> String {
    let visible: String = invisible::characters(text).take(max + 1).map(visible).collect();
    let cut = Cut::to(&visible, 2 * max);
    if cut.is_cut || visible.chars().count() <= max {
        return cut.text;
    }
    visible.chars().take(max).chain(['…']).collect()
}

fn visible((character, hidden): (char, bool)) -> char {
    match character {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        _ if hidden => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_replaced_and_long_texts_are_cut() {
        assert_eq!(short("plain", 10), "plain");
        assert_eq!(short("abcdefghij", 10), "abcdefghij");
        assert_eq!(short("abcdefghijk", 10), "abcdefghij…");
        assert_eq!(short("a\0b\u{202e}c\nd\u{7f}", 10), "a␀b\u{fffd}c␊d␡");
        assert_eq!(short(&"\"".repeat(10), 10), "\"\"\"…", "quotes take six bytes each");
        assert_eq!(Cut::to("a<b", 6), Cut { text: "a<b".to_owned(), is_cut: false });
        assert_eq!(Cut::to("a<b", 5), Cut { text: "a<…".to_owned(), is_cut: true });
    }
}
