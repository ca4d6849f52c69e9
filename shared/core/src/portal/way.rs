//! Where a portal link leads: to a page of the console, and from there back to a page of the product. Neither can lead
//! anywhere else, whatever a request says: an address is accepted by what it is made of, not by what is missing from it.

use std::{str::FromStr, sync::Arc};

/// The longest path and URL, in characters. A session's item keeps the URL.
const MAX_CHARS: usize = 2000;

/// A path of the console, with a query string and without the deployment's base path, such as `/console/events?q=a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsolePath(String);

impl ConsolePath {
    /// A regular expression of ECMA-262.
    pub const PATTERN: &'static str = "^/console(/[A-Za-z0-9_-]+)+(\\?[!$-;=?-\\[\\]-~]*)?$";

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path without the query string.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }
}

impl FromStr for ConsolePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let is_segment = |segment: &str| {
            !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        // No dot and no escape: nothing that a server or a browser could resolve to another path.
        let is_path = path.strip_prefix("/console/").is_some_and(|rest| rest.split('/').all(is_segment));
        let is_query = query.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\".contains(&byte));
        if is_path && is_query && text.len() <= MAX_CHARS {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be a path of the console, such as /console/events?outcome=FAILURE")
        }
    }
}

/// The address of a page of the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnUrl(String);

impl ReturnUrl {
    /// A regular expression of ECMA-262.
    pub const PATTERN: &'static str = "^https?://[A-Za-z0-9.:-]+([/?#][A-Za-z0-9_.~!$&'()*+,;=:@/?#%-]*)?$";

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the scheme, the host and the port.
    fn origin(&self) -> &str {
        let begin = self.0.find("://").map_or(0, |at| at + 3);
        let length = self.0[begin..].find(['/', '?', '#']).unwrap_or(self.0.len() - begin);
        &self.0[..begin + length]
    }
}

impl FromStr for ReturnUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Self(text.to_owned());
        let rest = &text[url.origin().len()..];
        let is_rest = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.~!$&'()*+,;=:@/?#%-".contains(&byte));
        if is_origin(url.origin()) && is_rest && text.len() <= MAX_CHARS {
            Ok(url)
        } else {
            Err("must be an https URL without user name, such as https://app.example.com/settings")
        }
    }
}

/// The origins of the product, separated by commas, such as `https://app.example.com`. Plain `http` is accepted for `localhost`
/// and `127.0.0.1` only. Without any, no link leads back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnOrigins(Arc<[String]>);

impl ReturnOrigins {
    /// Returns whether one of the origins has this page. Nothing but the very same origin counts.
    #[must_use]
    pub fn allow(&self, url: &ReturnUrl) -> bool {
        self.0.iter().any(|origin| origin == url.origin())
    }
}

impl FromStr for ReturnOrigins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins: Arc<[String]> = origins.map(str::to_owned).collect();
        if origins.iter().all(|origin| is_origin(origin)) {
            Ok(Self(origins))
        } else {
            Err("must be origins separated by commas, such as https://app.example.com")
        }
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_secure = scheme == "https" || (scheme == "http" && ["localhost", "127.0.0.1"].contains(&host));
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_secure && host.split('.').all(is_label) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_back_to_pages_of_the_product_only() {
        let origins: ReturnOrigins = "https://app.example.com, http://localhost:3000".parse().unwrap();
        for allowed in [
            "https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com/settings?tab=audit#log",
            "https://app.example.com?next=https://evil.example",
            "http://localhost:3000/x",
        ] {
            assert!(origins.allow(&allowed.parse().unwrap()), "{allowed}");
        }
        for other in [
            "https://app.example.com.evil.example/",
            "https://app.example.com:8443/",
            "http://localhost/",
            "https://evil.example/https://app.example.com",
            "https://evil.example#https://app.example.com",
            "https://APP.example.com/",
        ] {
            let is_allowed = other.parse().is_ok_and(|url| origins.allow(&url));
            assert!(!is_allowed, "{other}");
        }
        for tricky in [
            "//app.example.com/",
            "/settings",
            "\\\\app.example.com",
            "https:app.example.com",
            "https:/app.example.com",
            "https:///app.example.com",
            "https://app.example.com@evil.example/",
            "https://app.example.com:443@evil.example/",
            "https://app.example.com\\@evil.example/",
            "https://evil.example\\.app.example.com/",
            "https://app.example.com/\r\nSet-Cookie: a=b",
            "https://app.example.com/\t",
            " https://app.example.com/",
            "\u{1}https://app.example.com/",
            "https://app.example.com/\u{0}",
            "https://app.example.com\u{3002}evil.example/",
            "https://app.example.com/é",
            "http://app.example.com/",
            "javascript://app.example.com/%0aalert(1)",
            "data:text/html,https://app.example.com",
            "https://[::1]/",
            "",
        ] {
            assert!(tricky.parse::<ReturnUrl>().is_err(), "{tricky:?}");
        }
        assert!(!ReturnOrigins::default().allow(&"https://app.example.com/".parse().unwrap()));
        for bad in [
            "*",
            "https://*.example.com",
            "https://app.example.com/",
            "http://app.example.com",
            "app.example.com",
            "https://a b",
        ] {
            assert!(bad.parse::<ReturnOrigins>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_one_of_the_console() {
        let pattern = regex::Regex::new(ConsolePath::PATTERN).unwrap();
        for good in [
            "/console/events",
            "/console/events?q=a%20b&type=x.y",
            "/console/events/AaICssV7cACAAAAAAeCKzA",
            "/console/x?a=https://b",
            "/console/events?q={[a|b]}",
        ] {
            assert_eq!(good.parse::<ConsolePath>().unwrap().as_str(), good);
            assert!(pattern.is_match(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "/console",
            "/console/",
            "/consoles/x",
            "//evil.example/console/x",
            "/console//evil.example",
            "/console/../audit",
            "/console/%2e%2e/audit",
            "/console/x\\y",
            "/console/x\r\nLocation: y",
            "/console/x?a\u{0}",
            "/console/x#y",
            "https://evil.example/console/x",
            "console/x",
            "/console/é",
        ] {
            assert!(bad.parse::<ConsolePath>().is_err() && !pattern.is_match(bad), "{bad:?}");
        }
    }
}
