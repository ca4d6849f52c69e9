//! Tests that values of events and addresses are always shown as text, and never become a tag, an attribute or a link
//! of a page.

use std::collections::BTreeSet;

use annals_core::format::Format;

use super::{
    detail::EventPage,
    fixtures::{NOW, detail, hostile, line_of, newest, view},
};
use crate::layout::{Section, Shell};

/// Known attacks through texts, attributes, links, styles and scripts.
const CORPUS: &[&str] = &[
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<iframe srcdoc=\"<script>alert(1)</script>\">",
    "<iframe src=javascript:alert(1)>",
    "<object data=\"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\">",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<form action=//evil.example><input type=submit>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<details open ontoggle=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=alert(1) x=\"",
    "` onmouseover=alert(1) `",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\u{fe64}script\u{fe65}alert(1)\u{fe64}/script\u{fe65}",
    "\u{ff1c}script\u{ff1e}alert(1)",
    "<\0script>alert(1)</script>",
    "\u{202e}>tpircs<",
    "x\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "';alert(1)//\\';alert(1)//",
    "<xss style=\"behavior:url(x.htc)\">",
    "<x contenteditable onblur=alert(1)>lose focus!",
];

/// Returns the tags of a page without attribute values, and the values of all attributes that hold an address.
fn skeleton(html: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut tags, mut addresses) = (Vec::new(), BTreeSet::new());
    for tag in html.split('<').skip(1).filter_map(|part| part.split('>').next()) {
        let mut parts = tag.split('"');
        let mut bare = String::new();
        while let Some(outside) = parts.next() {
            bare.push_str(outside);
            let Some(value) = parts.next() else { break };
            if [" href=", " src=", " action=", " formaction="].iter().any(|name| outside.ends_with(name)) {
                addresses.insert(value.to_owned());
            }
        }
        // Long values are not suggested. Where a name may be broken depends on its characters.
        if !bare.contains("datalist") && !bare.contains("option") && bare != "wbr" {
            tags.push(bare.replace(" list=", ""));
        }
    }
    (tags, addresses)
}

#[test]
fn values_never_become_markup_or_links() {
    assert!(CORPUS.len() >= 30);
    // The way back to the product is the product's own address. Nothing in an event has a part in it.
    let shell = Shell { return_url: None, ..Shell::sample(Section::Events) };
    let pages = |text: &str| {
        let event = hostile(text);
        // Requests with NUL are refused earlier. Other invisible characters stay in a field as the user typed them.
        let text: String = text.chars().filter(|character| !annals_core::invisible::is_invisible(*character)).collect();
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("q", &text).append_pair("type", &text).finish();
        let timeline = annals_core::audit::browse::Timeline {
            since: NOW,
            until: NOW,
            step: std::time::Duration::from_secs(3600),
            stretches: Vec::new(),
            counted_since: None,
            counts_excluded: false,
        };
        [
            newest(&query, vec![line_of(1, &event)], true, timeline).render(&shell).into_string(),
            EventPage::of(&detail(&event), &[], &view(&query)).render(&shell).into_string(),
        ]
    };
    let plain = pages("plain");
    for text in CORPUS {
        for (page, plain) in pages(text).iter().zip(&plain) {
            let ((tags, addresses), (plain_tags, _)) = (skeleton(page), skeleton(plain));
            assert!(tags == plain_tags, "{text}: {tags:?}");
            for address in addresses {
                let ours = address.starts_with("/prod/console/") || ["#content", "#events"].contains(&&*address);
                assert!(ours, "{text}: {address}");
                assert!(!address.contains(['<', '>', '\'', ' ', '\r', '\n']), "{text}: {address}");
            }
            assert!(!page.contains('\0') && !page.contains('\u{202e}'), "{text}");
        }
    }
}

#[test]
fn no_cell_of_an_exported_event_is_a_formula() {
    for text in ["=1+1", "+1", "-1+1", "@SUM(1)", "\t=1", "=cmd|' /C calc'!A0"] {
        let csv = Format::Csv.document([&line_of(1, &hostile(text))]);
        let cells = csv.lines().skip(1).flat_map(|row| row.split(','));
        for cell in cells {
            let cell = cell.trim_start_matches('"');
            assert!(!cell.starts_with(['=', '+', '@', '\t']), "{text}: {cell}");
        }
    }
}
