//! The address of the client when proxies such as a CDN stand in front of API Gateway.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, Request};
use lambda_http::request::RequestContext;

/// How many proxies in front of API Gateway are trusted: 0 to 5. Each of them must append the address of whoever called it
/// to `X-Forwarded-For`, and the API must be reachable through them alone. Clients choose what else the header says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TrustedProxies(usize);

impl FromStr for TrustedProxies {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().filter(|hops| *hops <= 5).map(Self).ok_or("must be the number of proxies, from 0 to 5")
    }
}

impl TrustedProxies {
    /// Replaces the source address of an API Gateway request, which is the last proxy's, by the one that the first trusted
    /// proxy saw. A request that fewer proxies have passed on keeps the address of the connection.
    #[must_use]
    pub(super) fn believed<B>(self, mut request: Request<B>) -> Request<B> {
        if self.0 > 0
            && let Some(RequestContext::ApiGatewayV2(context)) = request.extensions().get()
            && let Some(peer) = context.http.source_ip.as_deref().and_then(|text| text.parse().ok())
            && let Some(client) = self.client(request.headers(), peer)
            && let Some(RequestContext::ApiGatewayV2(context)) = request.extensions_mut().get_mut()
        {
            context.http.source_ip = Some(client.to_string());
        }
        request
    }

    fn client(self, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        let values = headers.get_all("x-forwarded-for").iter();
        let entries = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let mut addresses: Vec<Option<IpAddr>> = entries.map(address).collect();
        // API Gateway appends the address of its own caller, which is the last proxy.
        addresses.pop_if(|last| *last == Some(peer));
        addresses.len().checked_sub(self.0).and_then(|first| addresses[first])
    }
}

/// Parses an address, which some proxies write with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|peer| peer.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;

    use super::*;

    const CDN: &str = "198.51.100.1";

    fn source(proxies: &str, forwarded: &[&str]) -> String {
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.http.source_ip = Some(CDN.to_owned());
        let mut request = Request::new(());
        request.extensions_mut().insert(RequestContext::ApiGatewayV2(context));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
        }
        let request = proxies.parse::<TrustedProxies>().unwrap().believed(request);
        let Some(RequestContext::ApiGatewayV2(context)) = request.extensions().get() else { panic!("no context") };
        context.http.source_ip.clone().unwrap()
    }

    #[test]
    fn without_trusted_proxies_the_header_says_nothing() {
        assert_eq!(source("0", &["203.0.113.7"]), CDN);
        assert_eq!(source("0", &["203.0.113.7, 198.51.100.1"]), CDN);
    }

    #[test]
    fn a_client_cannot_choose_its_address_behind_a_trusted_proxy() {
        for spoofed in ["", "10.0.0.1, ", "10.0.0.1, 10.0.0.2, 10.0.0.3, ", "junk, ", ", , ,"] {
            assert_eq!(source("1", &[&format!("{spoofed}203.0.113.7, {CDN}")]), "203.0.113.7", "{spoofed}");
            assert_eq!(source("2", &[&format!("{spoofed}203.0.113.7, 192.0.2.1, {CDN}")]), "203.0.113.7", "{spoofed}");
        }
        assert_eq!(source("1", &["10.0.0.1", "203.0.113.7", CDN]), "203.0.113.7", "in a header for each hop");
    }

    #[test]
    fn a_request_that_fewer_proxies_passed_on_keeps_the_address_of_the_connection() {
        assert_eq!(source("1", &[]), CDN);
        assert_eq!(source("1", &[CDN]), CDN);
        assert_eq!(source("2", &[&format!("203.0.113.7, {CDN}")]), CDN);
        assert_eq!(source("1", &[&format!("not an address, {CDN}")]), CDN);
    }

    #[test]
    fn ports_and_ipv6_are_understood() {
        assert_eq!(source("1", &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(source("1", &[&format!("2001:db8::7, {CDN}")]), "2001:db8::7");
        assert_eq!(source("1", &[&format!("[2001:db8::7]:4711, {CDN}")]), "2001:db8::7");
    }

    #[test]
    fn the_number_is_small() {
        for text in ["", "-1", "6", "one", "1.0"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
    }
}
