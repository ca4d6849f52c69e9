//! Characters that people cannot see. Owns the set of these characters, the places where one of them is part of a
//! visible character, and a pattern for clients with the same meaning.
//!
//! The set has control characters, line and paragraph separators, all code points with the Unicode property
//! `Default_Ignorable_Code_Point`, the format characters of interlinear annotations and hieroglyphs, and the two symbols
//! that look like a space (U+2800, U+1D159). Format characters that are visible, such as the Arabic number signs, are not
//! in it. White space is not in it either, because it takes up room.
//!
//! Some invisible characters choose the shape of the character before them: joiners in the scripts of Persian, Hindi and
//! many other languages, and variation selectors and joiners in ideographs and emoji. People's names need them, so they
//! are allowed there and only there. Tag characters are never allowed, because a text of any length can hide in them;
//! that excludes the flags of England, Scotland and Wales.

/// Inclusive ranges, in order.
type Ranges = &'static [(char, char)];

const INVISIBLE: Ranges = &[
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d159}', '\u{1d159}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// White space that takes up room on a line (Unicode, general category `Zs`).
const SPACES: Ranges = &[
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];

/// Visible characters, and the invisible ones that may follow: at most one of each set, in this order.
struct Shaped {
    characters: Ranges,
    shapers: &'static [Ranges],
}

const JOINERS: Ranges = &[('\u{200c}', '\u{200d}')];

const SHAPED: [Shaped; 4] = [
    // Arabic, Syriac, the scripts of India, Myanmar, Khmer and others whose letters join.
    Shaped {
        characters: &[
            ('\u{600}', '\u{61b}'),
            ('\u{61d}', '\u{dff}'),
            ('\u{1000}', '\u{109f}'),
            ('\u{1780}', '\u{17b3}'),
            ('\u{17b6}', '\u{17ff}'),
            ('\u{1a20}', '\u{1aaf}'),
            ('\u{1b00}', '\u{1bff}'),
            ('\u{a840}', '\u{a8ff}'),
            ('\u{a980}', '\u{a9ff}'),
            ('\u{aa60}', '\u{aa7f}'),
            ('\u{fb50}', '\u{fdff}'),
            ('\u{fe70}', '\u{fefc}'),
            ('\u{10a00}', '\u{10fff}'),
            ('\u{11000}', '\u{11fff}'),
            ('\u{1e900}', '\u{1e95f}'),
        ],
        shapers: &[JOINERS],
    },
    // Mongolian: free variation selectors and the vowel separator.
    Shaped { characters: &[('\u{1820}', '\u{18af}')], shapers: &[&[('\u{180b}', '\u{180f}')], JOINERS] },
    // Ideographs: variants that names in Chinese and Japanese distinguish.
    Shaped {
        characters: &[
            ('\u{3400}', '\u{4dbf}'),
            ('\u{4e00}', '\u{9fff}'),
            ('\u{f900}', '\u{faff}'),
            ('\u{20000}', '\u{3ffff}'),
        ],
        shapers: &[&[('\u{fe00}', '\u{fe02}'), ('\u{e0100}', '\u{e01ef}')]],
    },
    // Symbols that can be shown as emoji, and emoji that are joined to one.
    Shaped {
        characters: &[
            ('\u{a9}', '\u{a9}'),
            ('\u{ae}', '\u{ae}'),
            ('\u{203c}', '\u{203c}'),
            ('\u{2049}', '\u{2049}'),
            ('\u{2100}', '\u{27bf}'),
            ('\u{2900}', '\u{2bff}'),
            ('\u{3030}', '\u{303d}'),
            ('\u{3297}', '\u{3299}'),
            ('\u{1f000}', '\u{1faff}'),
        ],
        shapers: &[&[('\u{fe0e}', '\u{fe0f}')], &[('\u{200d}', '\u{200d}')]],
    },
];

/// The end of a keycap emoji such as `1️⃣`. The selector before it is part of the emoji.
const KEYCAP: char = '\u{20e3}';
const EMOJI_SELECTOR: char = '\u{fe0f}';

fn contains(ranges: Ranges, character: char) -> bool {
    let index = ranges.partition_point(|(_, last)| *last < character);
    ranges.get(index).is_some_and(|(first, _)| *first <= character)
}

/// Returns whether the character cannot be seen by itself.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    contains(INVISIBLE, character)
}

/// Returns each character of `text` and whether it is hidden: invisible, and not part of a visible character.
pub fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut shapers: &[Ranges] = &[];
    text.char_indices().map(move |(index, character)| {
        if !is_invisible(character) {
            let shaped = SHAPED.iter().find(|shaped| contains(shaped.characters, character));
            shapers = shaped.map_or(&[], |shaped| shaped.shapers);
            return (character, false);
        }
        if let Some(position) = shapers.iter().position(|set| contains(set, character)) {
            shapers = &shapers[position + 1..];
            return (character, false);
        }
        shapers = &[];
        let rest = &text[index + character.len_utf8()..];
        (character, !(character == EMOJI_SELECTOR && rest.starts_with(KEYCAP)))
    })
}

/// Returns the first hidden character of `text`.
#[must_use]
pub fn find_hidden(text: &str) -> Option<char> {
    characters(text).find(|(_, hidden)| *hidden).map(|(character, _)| character)
}

/// Returns a regular expression for texts without a hidden character that are not blank. It is valid in ECMAScript with
/// the flag `u`, in Python and in Rust. Beyond U+FFFF it contains the characters themselves, because these have no escape
/// in common.
#[must_use]
pub fn visible_text_pattern() -> String {
    let shaped = SHAPED.map(|Shaped { characters, shapers }| {
        let shapers: String = shapers.iter().map(|set| format!("[{}]?", class(set))).collect();
        format!("[{}]{shapers}", class(characters))
    });
    let not_plain = [INVISIBLE].into_iter().chain(SHAPED.map(|shaped| shaped.characters));
    let not_plain: String = not_plain.map(class).collect();
    let spaces = class(SPACES);
    let special = format!("{}|{}{}", shaped.join("|"), escape(EMOJI_SELECTOR), escape(KEYCAP));
    format!("^[{spaces}]*(?:[^{not_plain}{spaces}]|{special})(?:[^{not_plain}]|{special})*$")
}

fn class(ranges: Ranges) -> String {
    let range = |(first, last): &(char, char)| match first == last {
        true => escape(*first),
        false => format!("{}-{}", escape(*first), escape(*last)),
    };
    ranges.iter().map(range).collect()
}

fn escape(character: char) -> String {
    match u32::from(character) {
        code @ ..=0xffff => format!(r"\u{code:04X}"),
        _ => character.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_script_and_emoji_have_nothing_hidden() {
        for name in [
            "Acme & Søn (Zürich) – №1",
            "می‌خواهم",
            "क्‍ष",
            "ശ്രീരാജ്‍",
            "ᠮᠣᠩᠭᠣᠯ᠎ᠠ",
            "葛\u{e0100}城",
            "Team 👩‍💻 ❤️‍🔥 🏳️‍🌈 1️⃣ ©️",
            "Οδυσσέας, Дмитрий, שלום, 田中, 김, ไทย",
        ] {
            assert_eq!(find_hidden(name), None, "{name}");
        }
    }

    #[test]
    fn an_invisible_character_is_hidden_unless_it_shapes_the_one_before_it() {
        for hidden in
            "\u{200b}\u{2060}\u{200e}\u{61c}\u{ad}\u{fff9}\u{e0041}\u{202e}\u{2066}\u{2800}\u{3164}\u{115f}\n\u{85}"
                .chars()
        {
            for name in [hidden.to_string(), format!("a{hidden}b"), format!("ب{hidden}ب"), format!("👩{hidden}")] {
                assert_eq!(find_hidden(&name), Some(hidden), "{name:?}");
            }
        }
        for name in [
            "a\u{200d}b",
            "\u{200c}م",
            "م\u{200c}\u{200c}م",
            "👩\u{200d}\u{200d}💻",
            "a\u{fe0f}",
            "漢\u{fe0f}",
            "1\u{fe0f}",
        ] {
            assert!(find_hidden(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn the_tables_are_in_order_and_do_not_overlap() {
        let mut all: Vec<_> = [INVISIBLE, SPACES].into_iter().chain(SHAPED.map(|shaped| shaped.characters)).collect();
        assert!(all.iter().all(|ranges| ranges.is_sorted()));
        let mut ranges: Vec<_> = all.drain(..).flatten().collect();
        ranges.sort_unstable();
        assert!(ranges.iter().all(|(first, last)| first <= last));
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn the_pattern_agrees_with_the_parser_on_every_code_point() {
        let pattern = regex::Regex::new(&visible_text_pattern()).unwrap();
        let accepts = |name: &str| !name.trim().is_empty() && find_hidden(name).is_none();
        let (hidden, visible): (Vec<char>, Vec<char>) =
            ('\0'..=char::MAX).partition(|&character| is_invisible(character));
        for chunk in visible.chunks(4096) {
            let name: String = chunk.iter().collect();
            assert!(accepts(&name) && pattern.is_match(&name), "{:?}", chunk[0]);
        }
        for space in visible.iter().filter(|character| character.is_whitespace()) {
            let name = space.to_string();
            assert!(!accepts(&name) && !pattern.is_match(&name), "{name:?}");
        }
        for character in hidden {
            for (before, after) in [
                ("", ""),
                ("a", "b"),
                ("م", "م"),
                ("ᠭ", "ᠠ"),
                ("葛", "城"),
                ("❤", "❤"),
                ("❤\u{fe0f}", ""),
                ("1", "\u{20e3}"),
                (" ", ""),
            ] {
                let name = format!("{before}{character}{after}");
                assert_eq!(pattern.is_match(&name), accepts(&name), "{name:?}");
            }
        }
    }
}
