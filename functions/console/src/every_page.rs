//! Renders every page with every sample of its view model. A page is small and well-formed, has no inline script or style, and
//! gives every control a name.

use std::collections::HashSet;

use annals_core::brand::{Accent, Brand, Colour, DARK_GROUNDS, LIGHT_GROUNDS};
use annals_http::console::{
    refusal::{self, Way},
    return_to::ReturnTo,
};
use maud::Markup;

use crate::{
    destinations, events,
    layout::{sample_brand, show_samples_as},
    sign_in, tokens,
};

const MAX_PAGE_BYTES: usize = 104_000;

/// The name of a sample, and its page.
pub(crate) type Sample = (&'static str, Markup);

fn samples() -> Vec<Sample> {
    let (brand, back) = (sample_brand(), "https://app.example.com/".parse().unwrap());
    let asked_for = ReturnTo::parse("/console/events?outcome=FAILURE").unwrap();
    let mut samples = vec![
        ("signed out", sign_in::signed_out_page("/prod", &brand, None)),
        ("signed out, with a way back", sign_in::signed_out_page("/prod", &brand, Some(&back))),
        ("refusal", refusal::page("", &brand, "You are not signed in", "Go back.", None, Way::Back(asked_for))),
        (
            "refusal with a request ID",
            refusal::page("/prod", &brand, "Unavailable", "Try again.", Some("abc="), Way::Start),
        ),
    ];
    samples.extend(events::samples());
    samples.extend(destinations::samples());
    samples.extend(tokens::samples());
    samples
}

#[test]
fn pages_of_another_product_name_no_other() {
    let product = "Acme Söhne & Co";
    let logo = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=";
    show_samples_as(Brand {
        product: Some(product.parse().unwrap()),
        logo: Some(logo.parse().unwrap()),
        accent: "#7a0050".parse().unwrap(),
        support: Some("https://help.example.com/audit".parse().unwrap()),
        sign_in: Some("https://app.example.com/audit?from=log".parse().unwrap()),
    });
    let mut named = 0;
    for (name, page) in samples() {
        let html = page.into_string();
        named += usize::from(html.contains("Acme Söhne &amp; Co"));
        for word in ["Annals", "WireMock", "test-wiremock"] {
            let at = html.find(word);
            assert!(
                at.is_none(),
                "{name}: {}",
                html[at.unwrap_or(0).saturating_sub(100)..].chars().take(200).collect::<String>()
            );
        }
        check(name, &html);
        assert!(html.len() < MAX_PAGE_BYTES, "{name}: {} bytes", html.len());
    }
    assert!(named > 20, "{named} pages name the product");
}

#[test]
fn the_grounds_that_a_colour_is_checked_against_are_those_of_the_style_sheet() {
    let css = include_str!("../assets/base.css");
    let colours = |name: &str| {
        let value = css.split_once(&format!("  --{name}: light-dark(")).unwrap().1.split(')').next().unwrap();
        let (light, dark) = value.split_once(", ").unwrap();
        [light, dark].map(|colour| colour.parse::<Colour>().unwrap())
    };
    let grounds = ["ground", "surface", "sunken", "good-ground", "warning-ground", "bad-ground"].map(colours);
    for [light, dark] in grounds {
        assert!(LIGHT_GROUNDS.contains(&light) && DARK_GROUNDS.contains(&dark), "{light} {dark}");
    }
    let [light, dark] = colours("on-accent");
    assert!(LIGHT_GROUNDS.contains(&light) && DARK_GROUNDS.contains(&dark), "{light} {dark}");
    assert_eq!(colours("accent"), [Accent::default().light, Accent::default().dark]);
    assert!(include_str!("../assets/icon.svg").contains(&Accent::default().light.to_string()));
}

#[test]
fn every_sample_is_a_small_and_valid_page() {
    let mut names = HashSet::new();
    for (name, page) in samples() {
        assert!(names.insert(name), "two samples are called {name}");
        let html = page.into_string();
        assert!(html.len() < MAX_PAGE_BYTES, "{name}: {} bytes", html.len());
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">") && html.ends_with("</html>"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}: one main heading");
        assert_eq!(html.matches("id=\"content\"").count(), 1, "{name}");
        check(name, &html);
    }
}

/// Checks for what the content security policy blocks, for invalid HTML, and for controls without a name.
fn check(name: &str, html: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut ids = HashSet::new();
    for tag in tags(html) {
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "{name}: </{closed}>");
            continue;
        }
        let element: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!tag.contains(" style=") && element != "style", "{name}: an inline style: <{tag}>");
        assert!(!tag.contains(" on"), "{name}: an inline script: <{tag}>");
        if element == "script" {
            assert!(tag.contains(" src="), "{name}: an inline script");
        }
        if element == "form" && tag.contains("method=\"post\"") {
            let rest = html.split_once(tag).map_or("", |(_, rest)| rest);
            let form = rest.split("</form>").next().unwrap_or_default();
            assert!(form.contains("name=\"formToken\""), "{name}: a form without a form token: <{tag}>");
        }
        if let Some(id) = attribute(tag, "id") {
            assert!(ids.insert(id.to_owned()), "{name}: two elements have the id {id}");
        }
        let labelled = attribute(tag, "id").is_some_and(|id| html.contains(&format!("for=\"{id}\"")));
        if ["input", "select", "textarea"].contains(&element.as_str()) && !tag.contains("type=\"hidden\"") {
            assert!(labelled || tag.contains("aria-label"), "{name}: a field without a name: <{tag}>");
        }
        const VOID: [&str; 7] = ["meta", "link", "input", "br", "hr", "img", "wbr"];
        if !VOID.contains(&element.as_str()) {
            open.push(element);
        }
    }
    assert_eq!(open, Vec::<String>::new(), "{name}: not closed");
}

/// Returns the texts between `<` and `>`. Texts and attribute values contain neither, because they are escaped.
fn tags(html: &str) -> impl Iterator<Item = &str> {
    let parts = html.split('<').skip(1).filter_map(|part| part.split('>').next());
    parts.filter(|tag| !tag.starts_with('!'))
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}
