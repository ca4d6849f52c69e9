//! How a deployment appears to its customers: the product's name, a logo, an accent colour, and where they find help. Owns what
//! is allowed, so that every page stays readable and every text that is filled in stays valid.
//!
//! A colour is checked against every ground of the console's style sheet, because no page can be tested with it before the
//! deployment.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// How a deployment appears to its customers. By default, as Annals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brand {
    pub product: Option<ProductName>,
    pub logo: Option<Logo>,
    pub accent: Accent,
    pub support: Option<Support>,
    /// The product's page that opens the console for its user.
    pub sign_in: Option<Link>,
}

impl Brand {
    /// Returns the name of the product.
    #[must_use]
    pub fn name(&self) -> &str {
        self.product.as_ref().map_or("Annals", ProductName::as_str)
    }

    /// Returns whether pages show whose product they belong to.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.product.is_some() || self.logo.is_some()
    }

    /// Returns the name for identifiers in AWS: lower-case letters, digits and hyphens, beginning with a letter.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for char in self.name().chars() {
            if char.is_ascii_alphanumeric() {
                slug.push(char.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.trim_end_matches('-');
        if slug.starts_with(|char: char| char.is_ascii_alphabetic()) {
            slug.to_owned()
        } else {
            format!("audit-{slug}")
        }
    }

    /// Puts the product's name into a text about Annals.
    #[must_use]
    pub fn word(&self, text: &str) -> String {
        text.replace("Annals", self.name())
    }
}

/// The product's name: up to 40 letters, digits, spaces and `.` `-` `&` `+`. It is filled into YAML, shell scripts, Terraform and
/// descriptions of IAM, which allow Latin-1 (IAM API Reference, `CreateRole`, `Description`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductName(String);

impl ProductName {
    const MAX_CHARS: usize = 40;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProductName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter =
            |char: char| char.is_ascii_alphanumeric() || ('À'..='ÿ').contains(&char) && char.is_alphabetic();
        let fits = text.chars().count() <= Self::MAX_CHARS
            && text.chars().all(|char| is_letter(char) || " .-&+".contains(char))
            && text.starts_with(is_letter)
            && !text.ends_with(' ')
            && !text.contains("  ");
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "must be 1 to 40 letters of Western European languages, digits, single spaces, and . - & +, and begin with a \
                 letter or digit",
            )
        }
    }
}

/// The logo, a data URI of a PNG, WebP or SVG image in base64. Its own address serves it: an address elsewhere would tell that
/// site who reads an audit log, and pages load nothing from other sites. The environment of a Lambda function has 4 KB in all.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Logo {
    /// The longest data URI, in characters.
    pub const MAX_CHARS: usize = 2048;

    /// Returns the media type, such as `image/png`.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Does not show the image.
impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logo").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

impl FromStr for Logo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NOT_ONE: &str =
            "must be a data URI of a PNG, WebP or SVG image in base64, such as data:image/png;base64,iVBORw0…";
        if text.len() > Self::MAX_CHARS {
            return Err("must be a data URI of at most 2048 characters: use a smaller image");
        }
        let (declared, encoded) =
            text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")).ok_or(NOT_ONE)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| NOT_ONE)?;
        let is_svg = || std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg"));
        let media_type = match declared {
            "image/png" if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
            "image/webp" if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => "image/webp",
            "image/svg+xml" if is_svg() => "image/svg+xml",
            _ => return Err(NOT_ONE),
        };
        Ok(Self { media_type, bytes })
    }
}

/// Where customers find help: an `https` or a `mailto` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support(String);

impl Support {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Support {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_address(text, &["https://", "mailto:"]) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be an https or mailto address of at most 1024 ASCII characters, such as https://help.example.com")
        }
    }
}

fn is_address(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    text.len() <= 1024
        && rest.is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

/// An `https` address of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link(String);

impl Link {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address with one more parameter in its query. The value must be encoded.
    #[must_use]
    pub fn with_parameter(&self, name: &str, encoded: &str) -> String {
        let (address, fragment) = self.0.split_once('#').map_or((self.0.as_str(), None), |(a, b)| (a, Some(b)));
        let separator = if address.contains('?') { '&' } else { '?' };
        let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
        format!("{address}{separator}{name}={encoded}{fragment}")
    }
}

impl FromStr for Link {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_address(text, &["https://"]) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be an https address of at most 1024 ASCII characters, such as https://app.example.com/audit")
        }
    }
}

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    /// Returns the relative luminance (WCAG 2.2, "relative luminance").
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Returns the contrast, from 1 to 21 (WCAG 2.2, "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    /// Returns the lowest contrast with any of these grounds.
    fn lowest(self, grounds: &[Self]) -> f64 {
        grounds.iter().map(|ground| self.contrast(*ground)).fold(f64::INFINITY, f64::min)
    }

    /// Returns the colour mixed with as little of `other` as makes it readable on all grounds.
    fn readable(self, other: Self, grounds: &[Self]) -> Self {
        let mix = |percent: u32| {
            let mut mixed = self.0;
            for (value, towards) in mixed.iter_mut().zip(other.0) {
                let sum = u32::from(*value) * (100 - percent) + u32::from(towards) * percent;
                *value = u8::try_from(sum / 100).unwrap_or(u8::MAX);
            }
            Self(mixed)
        };
        (0..=100).map(mix).find(|colour| colour.lowest(grounds) >= MIN_CONTRAST).unwrap_or(other)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", hex::encode(self.0))
    }
}

/// `#` and six hexadecimal digits.
impl FromStr for Colour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 3];
        hex::decode_to_slice(text.strip_prefix('#').ok_or(())?, &mut bytes).map_err(|_| ())?;
        Ok(Self(bytes))
    }
}

/// The least contrast of text (WCAG 2.2, 1.4.3 "Contrast (Minimum)", level AA).
const MIN_CONTRAST: f64 = 4.5;

/// What the accent colour is seen on, or what is seen on it, in light mode: the grounds of the console's style sheet.
pub const LIGHT_GROUNDS: [Colour; 6] = [
    Colour([0xff, 0xff, 0xff]),
    Colour([0xf6, 0xf7, 0xf9]),
    Colour([0xf0, 0xf2, 0xf5]),
    Colour([0xe6, 0xf4, 0xeb]),
    Colour([0xfd, 0xf3, 0xdc]),
    Colour([0xfc, 0xeb, 0xeb]),
];
/// The same in dark mode. The first is the text on a button in the accent colour.
pub const DARK_GROUNDS: [Colour; 7] = [
    Colour([0x10, 0x13, 0x1a]),
    Colour([0x14, 0x16, 0x1a]),
    Colour([0x1c, 0x1f, 0x25]),
    Colour([0x16, 0x18, 0x1d]),
    Colour([0x17, 0x33, 0x25]),
    Colour([0x3a, 0x2d, 0x12]),
    Colour([0x3d, 0x1c, 0x1e]),
];

/// The colour of links, of the main button and of charts, in light and in dark mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent {
    pub light: Colour,
    pub dark: Colour,
}

impl Default for Accent {
    fn default() -> Self {
        Self { light: Colour([0x24, 0x56, 0xc5]), dark: Colour([0x8f, 0xb3, 0xff]) }
    }
}

/// One colour or two, separated by a comma: for light and for dark mode, such as `#2456c5,#8fb3ff`. If there is one, it is
/// mixed with white for dark mode until it can be read.
impl FromStr for Accent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let colours: Result<Vec<Colour>, ()> = text.split(',').map(|colour| colour.trim().parse()).collect();
        let (light, dark) = match colours.as_deref() {
            Ok([light]) => (*light, light.readable(Colour::WHITE, &DARK_GROUNDS)),
            Ok([light, dark]) => (*light, *dark),
            _ => {
                return Err(
                    "must be one colour or two, for light and for dark mode, such as #2456c5,#8fb3ff".to_owned()
                );
            }
        };
        check(light, Colour::BLACK, &LIGHT_GROUNDS, "light", "darker")?;
        check(dark, Colour::WHITE, &DARK_GROUNDS, "dark", "lighter")?;
        Ok(Self { light, dark })
    }
}

fn check(colour: Colour, towards: Colour, grounds: &[Colour], mode: &str, which: &str) -> Result<(), String> {
    let lowest = colour.lowest(grounds);
    if lowest >= MIN_CONTRAST {
        return Ok(());
    }
    let better = colour.readable(towards, grounds);
    Err(format!(
        "has a colour that cannot be read in {mode} mode: {colour} has a contrast of only {:.1} to 1 there, and WCAG 2.2 AA asks \
         for 4.5; use a {which} one, such as {better}",
        (lowest * 10.0).floor() / 10.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_wcag() {
        let contrast = |one: &str, other: &str| one.parse::<Colour>().unwrap().contrast(other.parse().unwrap());
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        assert!((contrast("#777777", "#ffffff") - 4.478).abs() < 0.001);
        assert!((contrast("#ffffff", "#767676") - 4.542).abs() < 0.001);
    }

    #[test]
    fn a_colour_that_cannot_be_read_is_refused_with_one_that_can() {
        assert_eq!("#2456c5,#8fb3ff".parse(), Ok(Accent::default()));
        let refused = |text: &str| text.parse::<Accent>().unwrap_err();
        let message = refused("#ffcc00");
        assert!(message.contains("light mode: #ffcc00 has a contrast of only 1.3 to 1"), "{message}");
        let message = refused("#2456c5, #2456c5");
        assert!(
            message.contains("dark mode: #2456c5 has a contrast of only") && message.contains("lighter one"),
            "{message}"
        );
        for text in ["#ffcc00", "#808080", "#ff0000", "#2456c5,#5a0a0a"] {
            let message = refused(text);
            let better = message.rsplit(' ').next().unwrap();
            let repaired = if text.contains(',') { format!("#2456c5,{better}") } else { better.to_owned() };
            assert!(repaired.parse::<Accent>().is_ok(), "{text}: {message}");
        }
        for text in ["", "red", "#fff", "#2456c5,", "#2456c5,#8fb3ff,#000000", "2456c5", "#2456c5;}body{color:red"] {
            assert!(refused(text).starts_with("must be one colour or two"), "{text}");
        }
    }

    #[test]
    fn one_colour_is_made_readable_for_dark_mode() {
        for text in ["#2456c5", "#7a0050", "#006644", "#000000"] {
            let accent: Accent = text.parse().unwrap();
            assert!(accent.dark.lowest(&DARK_GROUNDS) >= MIN_CONTRAST && accent.light.to_string() == text, "{text}");
        }
    }

    #[test]
    fn a_name_can_be_filled_in_anywhere() {
        for good in ["WireMock Cloud", "Smith & Söhne", "A", "Q.E.D.", "C++ Audit-Log 2"] {
            assert_eq!(good.parse::<ProductName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " a",
            "a ",
            "a  b",
            "a: b",
            "a #b",
            "$(id)",
            "a`b",
            "a\"b",
            "a'b",
            "a\\b",
            "a\nb",
            "<b>",
            "日本",
            "-a",
            &"a".repeat(41),
        ] {
            assert!(bad.parse::<ProductName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_makes_an_identifier() {
        for (name, slug) in
            [("Acme Cloud", "acme-cloud"), ("Smith & Söhne", "smith-s-hne"), ("1&1", "audit-1-1"), ("Éa.", "a")]
        {
            let brand = Brand { product: Some(name.parse().unwrap()), ..Brand::default() };
            assert_eq!((brand.slug().as_str(), brand.word("by Annals.")), (slug, format!("by {name}.")));
        }
        assert_eq!(Brand::default().slug(), "annals");
    }

    #[test]
    fn a_logo_is_a_small_image() {
        let of = |media_type: &str, bytes: &[u8]| format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes));
        let logo: Logo = of("image/svg+xml", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>").parse().unwrap();
        assert_eq!((logo.media_type(), logo.bytes().len()), ("image/svg+xml", 41));
        assert!(of("image/png", b"\x89PNG\r\n\x1a\nIHDR").parse::<Logo>().is_ok());
        for bad in [
            "https://example.com/logo.png".to_owned(),
            "data:image/png;base64,!".to_owned(),
            of("image/png", b"<svg>"),
            of("text/html", b"<svg>"),
            of("image/svg+xml", b"\xff<svg>"),
            of("image/svg+xml", format!("<svg>{}", "x".repeat(2000)).as_bytes()),
        ] {
            assert!(bad.parse::<Logo>().is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn links_lead_to_https_or_to_mail() {
        for good in ["https://help.example.com/audit?x=1", "mailto:help@example.com"] {
            assert_eq!(good.parse::<Support>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "http://a.example",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "//a.example",
            "https://a b",
            "https://a\"b",
            "https://a\u{0}",
        ] {
            assert!(bad.parse::<Support>().is_err() && bad.parse::<Link>().is_err(), "{bad:?}");
        }
        assert!("mailto:help@example.com".parse::<Link>().is_err());
        let link: Link = "https://app.example/audit?a=1#top".parse().unwrap();
        assert_eq!(link.with_parameter("path", "%2Fx"), "https://app.example/audit?a=1&path=%2Fx#top");
    }
}
