//! Hostile input is refused with the place of the fault and leaves nothing, or is stored as sent, and the next request
//! works. A table of inputs over HTTP, and random inputs through the router.

use std::{io::Write as _, sync::Arc};

use annals_api::router;
use annals_aws::system::SystemEntropy;
use annals_core::{
    log::{read::ReadLimit, store::Order},
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use annals_tests::{
    clock::VirtualClock,
    deployment::{PLATFORM_TOKEN, platform},
    memory::MemoryStore,
    sample,
};
use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Request, StatusCode, header};
use proptest::prelude::*;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower::ServiceExt as _;

use crate::fixture::{Answer, Fixture, Org, event};

#[derive(Debug, Clone, Copy)]
enum Sender {
    Producer,
    Auditor,
    Admin,
    Platform,
    Nobody,
}

/// An input and its refusal.
struct Case {
    what: &'static str,
    sender: Sender,
    line: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// The pointer of the first fault, or the name of its parameter.
    at: Option<String>,
}

impl Case {
    fn new(what: &'static str, sender: Sender, line: impl Into<String>) -> Self {
        let headers = vec![("content-type", b"application/json".to_vec())];
        Self {
            what,
            sender,
            line: line.into(),
            headers,
            body: Vec::new(),
            status: 400,
            code: "invalid_input",
            at: None,
        }
    }

    /// An event to post.
    fn posted(what: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(what, Sender::Producer, "POST /events").body(body).at("")
    }

    /// A value in an event's payload.
    fn payload(what: &'static str, value: &str) -> Self {
        Self::posted(what, with_payload(value))
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets another media type.
    fn media_type(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.headers.retain(|(name, _)| *name != "content-type");
        self.header("content-type", value)
    }

    fn at(mut self, place: impl Into<String>) -> Self {
        self.at = Some(place.into());
        self
    }

    fn answered(mut self, status: u16, code: &'static str) -> Self {
        (self.status, self.code, self.at) = (status, code, None);
        self
    }

    /// Sends the bytes over a socket: an HTTP client would correct them.
    async fn send(&self, fixture: &Fixture, org: &Org) -> Answer {
        let token = match self.sender {
            Sender::Producer => Some(org.producer.as_str()),
            Sender::Auditor => Some(org.auditor.as_str()),
            Sender::Admin => Some(org.admin.as_str()),
            Sender::Platform => Some(PLATFORM_TOKEN),
            Sender::Nobody => None,
        };
        let mut request = format!("{} HTTP/1.1\r\nhost: annals\r\nconnection: close\r\n", self.line).into_bytes();
        if let Some(token) = token {
            request.extend(format!("authorization: Bearer {token}\r\n").bytes());
        }
        for (name, value) in &self.headers {
            request.extend(name.bytes().chain(*b": ").chain(value.iter().copied()).chain(*b"\r\n"));
        }
        request.extend(format!("content-length: {}\r\n\r\n", self.body.len()).bytes());
        request.extend(&self.body);
        send(fixture, &request).await
    }
}

/// Sends bytes to a server and returns its answer.
async fn send(fixture: &Fixture, request: &[u8]) -> Answer {
    let url = fixture.system.url();
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    // The server may answer and close the connection before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Answer { status: status.unwrap_or(0), headers: headers.collect(), body: body.to_owned() }
}

/// An event with this text as the value of a member of its payload.
fn with_payload(value: &str) -> String {
    with_member(&format!(r#""payload":{{"a":{value}}}"#))
}

/// An event with an additional member.
fn with_member(member: &str) -> String {
    let event = event("hardened").to_string();
    format!("{},{member}}}", event.strip_suffix('}').unwrap())
}

fn nested(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn bodies() -> Vec<Case> {
    let digits = "9".repeat(10_000);
    let utf16: Vec<u8> = event("a").to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let members = |count: usize| (0..count).map(|n| format!(r#""x{n}":1"#)).collect::<Vec<_>>().join(",");
    let mut cases = vec![
        Case::posted("nothing", ""),
        Case::posted("blanks", " \t\r\n"),
        Case::posted("a NUL", "\0"),
        Case::posted("invalid UTF-8 in a string", b"{\"action\":\"\xff\"}".as_slice()),
        Case::posted("an overlong encoding", b"{\"action\":\"\xc0\x80\"}".as_slice()),
        Case::posted("a surrogate in UTF-8", b"{\"action\":\"\xed\xa0\x80\"}".as_slice()),
        Case::posted("UTF-16", utf16),
        Case::posted("a byte order mark", format!("\u{feff}{}", event("a"))),
        Case::payload("a surrogate cut off", r#""\ud83d\u00""#),
        Case::posted(
            "two keys that are one character cut in halves",
            with_member(r#""payload":{"\ud800":1,"\ud801":2}"#),
        )
        .at("/payload/\u{fffd}"),
        Case::payload("a number beyond doubles", "1e999"),
        Case::payload("a number below them", "-1e999"),
        Case::payload("ten thousand digits", &digits),
        Case::payload("not a number", "NaN"),
        Case::payload("infinity", "-Infinity"),
        Case::payload("a plus", "+1"),
        Case::payload("a leading zero", "01"),
        Case::payload("no digit before the point", ".5"),
        Case::payload("no digit behind it", "1."),
        Case::payload("hexadecimal", "0x10"),
        Case::payload("a trailing comma", "[1,]"),
        Case::payload("a comment", "1 /* one */"),
        Case::payload("single quotes", "'a'"),
        Case::payload("a NUL in a string", "\"a\0b\""),
        Case::payload("a newline in a string", "\"a\nb\""),
        Case::payload("an invalid escape", r#""\x41""#),
        Case::payload("a string without an end", "\"a"),
        Case::posted("more than JSON", format!("{} {{}}", event("a"))),
        Case::posted("an array cut off", format!("[{},", event("a"))),
        Case::payload("a key twice", r#"{"b":1,"b":2}"#).at("/payload/a/b"),
        Case::payload("a key twice, once with an escape", r#"{"b":1,"\u0062":2}"#).at("/payload/a/b"),
        Case::posted("a key twice at the top", with_member(r#""action":"DELETE""#)).at("/action"),
        Case::posted("an unknown field", with_member(r#""__proto__":{}"#)).at("/__proto__"),
        Case::posted("a field in another case", with_member(r#""Payload":{}"#)).at("/Payload"),
        Case::posted("more members than anybody meant", with_member(&members(5000))).at("/x0"),
        Case::posted("an event beyond its bytes", with_payload(&format!("\"{}\"", "x".repeat(256 * 1024)))),
        Case::posted("brackets", "[".repeat(100_000)),
        Case::posted("brackets that are closed", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))
            .at("/0".repeat(65)),
        Case::posted("braces", r#"{"a":"#.repeat(100_000)),
        Case::posted(
            "a thousand and one events",
            format!("[{}{}]", format!("{},", event("a")).repeat(1000), event("a")),
        ),
        Case::posted("a thousand and one lines", format!("{}\n", event("a")).repeat(1001))
            .media_type("application/jsonl"),
        Case::posted("an invalid line", format!("{}\n\u{0}\n", event("a"))).media_type("application/jsonl").at("/1"),
        Case::posted("more than four mebibytes", vec![b' '; 4 * 1024 * 1024 + 1]).answered(413, "body_too_large"),
    ];
    let deep = with_member(&format!(r#""payload":{}"#, nested(64)));
    cases.push(Case::posted("65 levels", deep).at(format!("/payload{}", "/a".repeat(63))));
    for (what, body) in [
        ("an object for an id", r#"{"action":"A","entity":{"id":{},"name":"n","entityType":"T"},"principal":7}"#),
        ("a null for an entity", r#"{"action":"A","entity":{"id":null,"name":"n","entityType":"T"},"principal":7}"#),
    ] {
        cases.push(Case::posted(what, body).at("/entity/id"));
    }
    for (what, name) in [
        ("a NUL in a name", r"a\u0000b"),
        ("a newline in a name", r"a\nb"),
        ("an escape sequence of terminals in a name", r"a\u001b[31mb"),
        ("a C1 control in a name", r"a\u0085b"),
        ("a direction turned in a name", "a\u{202e}b"),
        ("a direction isolated in a name", r"a\u2066b"),
        ("a line separator in a name", "a\u{2028}b"),
        ("a byte order mark in a name", "\u{feff}a"),
        ("a zero-width space for a name", "\u{200b}"),
        ("a word joiner in a name", "a\u{2060}b"),
        ("a left-to-right mark in a name", "a\u{200e}"),
        ("an Arabic letter mark in a name", "\u{61c}a"),
        ("a soft hyphen in a name", "a\u{ad}b"),
        ("an annotation anchor in a name", "a\u{fff9}b"),
        ("a tag character for a name", "\u{e0041}"),
        ("a joiner between Latin letters", "a\u{200d}b"),
        ("a braille blank for a name", "\u{2800}"),
        ("a Hangul filler for a name", "\u{3164}"),
    ] {
        let organisation = format!(r#"{{"name":"{name}"}}"#);
        cases.push(Case::new(what, Sender::Platform, "PUT /organisations/{org}").body(organisation).at("/name"));
        let token = format!(r#"{{"name":"{name}","role":"auditor"}}"#);
        cases.push(Case::new(what, Sender::Admin, "POST /organisations/{org}/tokens").body(token).at("/name"));
    }
    let large = format!(r#"{{"name":"a","role":"auditor","x":"{}"}}"#, "x".repeat(64 * 1024));
    for (what, body, place) in [
        ("more than a name and a role", large, ""),
        ("a name of 201 characters", format!(r#"{{"name":"{}","role":"auditor"}}"#, "ü".repeat(201)), "/name"),
        ("blanks for a name", r#"{"name":" \u00a0\u2003","role":"auditor"}"#.into(), "/name"),
        ("a role twice", r#"{"name":"a","role":"auditor","role":"admin"}"#.into(), "/role"),
        ("an array", "[]".into(), ""),
        (
            "an invalid year",
            r#"{"name":"a","role":"auditor","expiresAt":"99999-01-01T00:00:00Z"}"#.into(),
            "/expiresAt",
        ),
    ] {
        cases.push(Case::new(what, Sender::Admin, "POST /organisations/{org}/tokens").body(body).at(place));
    }
    let days = |text: &str| format!(r#"{{"name":"a","retentionDays":{text}}}"#);
    for number in ["6.0", "-0", "90.5", "99999999999999999999", "\"90\"", "3651", "1e999"] {
        let case = Case::new("an invalid number of days", Sender::Platform, "PUT /organisations/{org}");
        cases.push(case.body(days(number)).at(if number == "1e999" { "" } else { "/retentionDays" }));
    }
    cases
}

fn heads() -> Vec<Case> {
    let good = event("a").to_string();
    let posted = |what| Case::posted(what, event("a").to_string());
    let many = (0..101).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
    let read = |what, query: &str| Case::new(what, Sender::Auditor, format!("GET /audit?{query}"));
    let mut cases = vec![
        posted("gzip")
            .header("content-encoding", "gzip")
            .body(gzipped(&good))
            .answered(415, "unsupported_content_encoding"),
        posted("gzip twice").header("content-encoding", "gzip, gzip").answered(415, "unsupported_content_encoding"),
        posted("an unknown encoding")
            .header("content-encoding", b"\xff".as_slice())
            .answered(415, "unsupported_content_encoding"),
        posted("gzip without saying so").body(gzipped(&good)),
        posted("another character set")
            .media_type("application/json; charset=utf-16")
            .answered(415, "unsupported_media_type"),
        posted("a media type of invalid UTF-8")
            .media_type(b"application/json\xff".as_slice())
            .answered(415, "unsupported_media_type"),
        posted("an empty media type").media_type("").answered(415, "unsupported_media_type"),
        posted("a form").media_type("application/x-www-form-urlencoded").answered(415, "unsupported_media_type"),
        posted("two media types").header("content-type", "text/csv").answered(415, "unsupported_media_type"),
        posted("an empty key").header("idempotency-key", "").at("Idempotency-Key"),
        posted("a key of 256 bytes").header("idempotency-key", "k".repeat(256)).at("Idempotency-Key"),
        posted("two keys").header("idempotency-key", "a").header("idempotency-key", "b").at("idempotency-key"),
        posted("a second token").header("authorization", "Bearer x").answered(401, "unauthorized"),
        read("a NUL in a value", "from=%00").at("from"),
        read("a NUL in a name", "fr%00om=x").at("fr\0om"),
        read("invalid UTF-8 in a value", "since=%ff").at("since"),
        read("an overlong encoding in a value", "type=%c0%80").at("type"),
        read("more parameters than there are", &many).at("query"),
        read("an unknown parameter", "%24where=1").at("$where"),
        read("a page size beyond numbers", &format!("pageSize={}", "9".repeat(1000))).at("pageSize"),
        read("a negative page size", "pageSize=-1").at("pageSize"),
        read("an address beyond its bytes", &format!("since={}", "x".repeat(8200))).answered(414, "uri_too_long"),
        Case::new("a NUL for an organisation", Sender::Platform, "PUT /organisations/%00")
            .body("{}")
            .at("organisation"),
        Case::new("a line break for an organisation", Sender::Platform, "PUT /organisations/a%0ab")
            .body("{}")
            .at("organisation"),
        Case::new(
            "65 characters for an organisation",
            Sender::Platform,
            format!("PUT /organisations/{}", "a".repeat(65)),
        )
        .body("{}")
        .at("organisation"),
    ];
    for path in ["/audit/%00", "/audit/%ff", "/audit/..%2f", "/audit/%", "/audit/%zz", "/organisations/%2e%2e/audit"] {
        cases.push(Case::new("an invalid id", Sender::Auditor, format!("GET {path}")).answered(404, "not_found"));
    }
    for path in ["//audit", "/audit/", "/AUDIT", "/audit%00", "/./audit", "/%61udit"] {
        cases.push(Case::new("an unknown path", Sender::Auditor, format!("GET {path}")).answered(404, "no_such_route"));
    }
    for method in ["TRACE", "CONNECTION", "get", "OPTIONS"] {
        let case = Case::new("an unsupported method", Sender::Auditor, format!("{method} /audit"));
        cases.push(case.answered(405, "method_not_allowed"));
    }
    for value in [b"Bearer \xff\xfe".as_slice(), b"Bearer", b"\x80", b"Bearer annals_\xc3\xbc"] {
        let case = Case::new("an invalid token", Sender::Nobody, "GET /audit").header("authorization", value);
        cases.push(case.answered(401, "unauthorized"));
    }
    cases
}

#[tokio::test]
async fn whatever_is_wrong_is_refused_at_its_place_and_leaves_nothing() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    for mut case in bodies().into_iter().chain(heads()) {
        case.line = case.line.replace("{org}", &acme.id);
        let what = format!("{}: {:.120}", case.what, case.line);
        let answer = case.send(&fixture, &acme).await;
        assert_eq!(answer.status, case.status, "{what}: {}", answer.body);
        let problem = answer.expect_problem(case.status, case.code);
        if let Some(place) = &case.at {
            let fault = &problem["errors"][0];
            let found = fault.get("pointer").or(fault.get("parameter")).and_then(Value::as_str);
            assert_eq!(found, Some(&**place), "{what}: {problem}");
        }
        assert!(problem["errors"].as_array().is_none_or(|faults| faults.len() <= 100), "{what}");
        assert!(answer.body.len() < 64 * 1024, "{what}: the answer is not made as large as one likes");
        assert_eq!(fixture.tail(&acme.id).await, before, "{what}: nothing is recorded");
        fixture.nobody().get("/health").await.expect(200);
    }
    fixture.with(&acme.producer).post("/events", &event("after all of it")).await.expect(201);
}

#[tokio::test]
async fn whatever_is_accepted_is_kept_as_it_was_sent() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let long_key = format!("{{\"{}\":1}}", "k".repeat(100_000));
    let many = format!("{{{}}}", (0..20_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
    let digits = "1".repeat(300);
    let fraction = format!("0.{}", "1".repeat(10_000));
    for value in [
        r#""\u0000""#,
        r#"{"\u0000":"\u0000"}"#,
        r#""\u0001\u001b[31m\u007f\u0085\b\f\n\r\t\/""#,
        "\"\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}\u{10ffff}\"",
        "\"\u{202e}drowssap\u{2066}\u{2069}\u{200f}\u{200d}\"",
        "\"e\u{301}\u{e9}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\"",
        r#""\ud83d\ude00""#,
        r#""\u00e9""#,
        r#""</script><!--'`${}%s%00''""#,
        r#""=1+1""#,
        r#"{"":{"":1}}"#,
        r#"{"__proto__":{"a":1},"constructor":1,"$where":1,"a.b":1,"a/b~c":1}"#,
        r#"{"b":1,"B":2,"b ":3}"#,
        "-0",
        "-0.0",
        "1E+2",
        "1e-999",
        "1.7976931348623157e308",
        "12345678901234567890123.50",
        &digits,
        &fraction,
        "[[],{},null,true,false]",
        &long_key,
        &many,
    ] {
        let before = fixture.tail(&acme.id).await.last;
        let case = Case::payload("kept", value);
        let answer = case.send(&fixture, &acme).await;
        assert_eq!(answer.status, 201, "{value:.99}: {}", answer.body);
        let limit = ReadLimit { events: 10, bytes: usize::MAX };
        let id = acme.id.parse().unwrap();
        let log = &fixture.system.api().log;
        let run = log.read(&id, before + 1..=before + 1, None, Order::Ascending, limit).await.unwrap();
        let kept = format!(r#""payload":{{"a":{value}}}"#);
        assert!(run.lines[0].text.contains(&kept), "{value:.99}: {:.999}", run.lines[0].text);
        let page = fixture.with(&acme.auditor).get("/audit?sort=-timestamp&pageSize=1").await;
        page.expect(200);
        assert!(page.body.contains(&kept), "{value:.99}: {:.999}", page.body);
    }
    // Parsing and serialising returns the same text.
    let mut odd = event("a");
    for (place, text) in [("/action", "A\u{0}\u{202e}"), ("/entity/id", "\n"), ("/principal/name", "\u{0}")] {
        let text = format!("x{text}");
        *odd.pointer_mut(place).unwrap() = text.into();
    }
    fixture.with(&acme.producer).post("/events", &odd).await.expect(201);
    let line = fixture.lines_behind(&acme.id, 0).await.pop().unwrap();
    for place in ["/action", "/entity", "/principal"] {
        assert_eq!(line.pointer(place), odd.pointer(place), "{place}");
    }
}

#[tokio::test]
async fn what_makes_no_difference_makes_none() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let accepted = |case: Case| Case { status: 201, ..case };
    let posted = |what| accepted(Case::posted(what, event("a").to_string()));
    let read = |what| Case { status: 200, ..Case::new(what, Sender::Auditor, "GET /audit") };
    for case in [
        posted("a character set that is right").media_type("application/json; charset=\"UTF-8\"; v=1"),
        posted("no encoding").header("content-encoding", "Identity"),
        posted("a key of any bytes").header("idempotency-key", b"\xff\x80\t".as_slice()),
        posted("a header that nobody knows").header("x-forwarded-for", "10.0.0.1, \u{fc}"),
        posted("an invalid Accept").header("accept", b"\xff/\x80;q=2".as_slice()),
        posted("a user agent of any bytes").header("user-agent", b"\xff\x80".as_slice()),
        posted("a hundred headers less those that are there").header("x-long", "x".repeat(8000)),
        read("a body where none belongs").body("\0\0\0"),
        read("a large one").body(vec![0xff; 1024 * 1024]),
        read("empty parameters").body(""),
    ] {
        let answer = case.send(&fixture, &acme).await;
        assert_eq!(answer.status, case.status, "{}: {}", case.what, answer.body);
    }
    let line = fixture.lines_behind(&acme.id, 0).await.pop().unwrap();
    assert_eq!(line["context"]["ipAddress"], "127.0.0.1", "a header that anybody may send does not count");
}

#[tokio::test]
async fn what_is_no_http_ends_its_connection_and_no_other() {
    let fixture = Fixture::start().await;
    let acme = fixture.organisation().await;
    let before = fixture.tail(&acme.id).await;
    for request in [
        b"\0\0\0\0\r\n\r\n".as_slice(),
        b"GET /audit\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /events HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /audit HTTP/1.1\r\nhost: a\r\nx\0: y\r\n\r\n",
        b"GET /audit HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        format!("GET /audit HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(1000)).as_bytes(),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000)).as_bytes(),
    ] {
        let mut request = request.to_vec();
        if let Some(end) = request.windows(2).position(|pair| pair == b"\r\n") {
            request.splice(end..end, *b"\r\nconnection: close");
        }
        let answer = send(&fixture, &request).await;
        assert!(matches!(answer.status, 0 | 400..=499), "{:.60}: {answer:?}", String::from_utf8_lossy(&request));
        fixture.nobody().get("/health").await.expect(200);
    }
    assert_eq!(fixture.tail(&acme.id).await, before);
}

/// The router on a store in memory, with a token of each role.
struct InProcess {
    router: axum::Router,
    tokens: Vec<String>,
}

impl InProcess {
    async fn start() -> Self {
        let service = sample::service();
        let (store, clock) = (Arc::new(MemoryStore::new()), VirtualClock::new(sample::START));
        let api = Services::new(store, clock, Arc::new(SystemEntropy), TokenHash::of(PLATFORM_TOKEN), service);
        let api = api.with_rate_limits(annals_core::admission::rate_limiter::RateLimits::NONE);
        let input =
            annals_core::organisation::OrganisationInput::parse(br#"{"name":"A","plan":"enterprise"}"#).unwrap();
        let id = "acme".parse().unwrap();
        api.administration.put_organisation(&id, input, &platform()).await.unwrap();
        let organisation = api.administration.organisation(&id).await.unwrap();
        let mut tokens = vec![PLATFORM_TOKEN.to_owned()];
        for role in [Role::Producer, Role::Auditor, Role::Admin] {
            let input = TokenInput { name: "A".into(), role, expires_at: None };
            let (_, text) = api.administration.create_token(&organisation, input, &platform()).await.unwrap();
            tokens.push(text.reveal().to_owned());
        }
        Self { router: router(api), tokens }
    }

    async fn status(&self, request: Request<Body>) -> StatusCode {
        self.router.clone().oneshot(request).await.unwrap().status()
    }
}

/// A random request.
#[derive(Debug, Clone)]
struct Anything {
    token: usize,
    method: &'static str,
    path: String,
    query: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

/// Each operation with a valid body. `*` is a part of the path that is random.
const CALLS: &[(&str, &str, &str)] = &[
    ("POST", "/events", EVENTS),
    ("GET", "/audit", ""),
    ("GET", "/audit/stats", ""),
    ("GET", "/audit/*", ""),
    ("GET", "/organisations", ""),
    ("GET", "/organisations/*", ""),
    ("PUT", "/organisations/*", r#"{"name":"Acme","plan":"enterprise","retentionDays":90}"#),
    ("POST", "/organisations/*/events", EVENTS),
    ("GET", "/organisations/*/audit", ""),
    ("GET", "/organisations/*/audit/*", ""),
    ("GET", "/organisations/*/tokens", ""),
    ("POST", "/organisations/*/tokens", r#"{"name":"SIEM","role":"auditor","expiresAt":"2030-01-01T00:00:00Z"}"#),
    ("DELETE", "/organisations/*/tokens/*", ""),
    ("GET", "/organisations/*/sessions", ""),
    ("DELETE", "/organisations/*/sessions/*", ""),
    ("POST", "/organisations/*/tokens/*/rotate", r#"{"overlapSeconds":60,"expiresAt":null}"#),
    ("GET", "/organisations/*/destinations", ""),
    (
        "POST",
        "/organisations/*/destinations",
        r#"{"bucket":"a-bucket","roleArn":"arn:aws:iam::444455556666:role/a","prefix":"a/b"}"#,
    ),
    ("GET", "/organisations/*/destinations/*", ""),
    ("PATCH", "/organisations/*/destinations/*", r#"{"prefix":"a/b","region":"eu-central-1","compression":"gzip"}"#),
    ("POST", "/organisations/*/destinations/*/replay", r#"{"firstSequence":1,"lastSequence":2}"#),
    ("GET", "/organisations/*/destinations/*/setup", ""),
    ("GET", "/organisations/*/destinations/*/deliveries", ""),
];

const EVENTS: &str = r#"[{"action":"A","entity":{"id":"1","name":"\u00e9\ud83d\ude00","entityType":"T"},"principal":{"id":"1","name":"n","entityType":"U"},"payload":{"a":[1.5e3,{"b":null}]},"metadata":{"k":"v"}}]"#;

/// The parameters of all operations.
const PARAMETERS: &[&str] = &[
    "from",
    "after",
    "since",
    "until",
    "through",
    "sort",
    "type",
    "excludeType",
    "excludeOwnType",
    "userUuid",
    "action",
    "entityType",
    "entityId",
    "principalId",
    "recordedBy",
    "q",
    "pageNumber",
    "pageSize",
    "format",
    "bucket",
    "",
];

/// Headers that the API uses.
const HEADERS: &[&str] = &[
    "content-type",
    "content-encoding",
    "idempotency-key",
    "accept",
    "user-agent",
    "referer",
    "host",
    "x-forwarded-proto",
    "x-forwarded-for",
    "range",
    "if-none-match",
];

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn method_path_and_body() -> impl Strategy<Value = (&'static str, String, Vec<u8>)> {
    let methods = vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY"];
    let paths = vec!["/", "/events", "/audit", "/*", "/*/*", "/organisations/*/tokens"];
    let unknown = (prop::sample::select(methods), prop::sample::select(paths), Just(""));
    let call = prop_oneof![9 => prop::sample::select(CALLS), 1 => unknown];
    let organisation = prop_oneof![9 => Just("acme".to_owned()), 1 => bytes(12).prop_map(|bytes| escaped(&bytes))];
    let id = prop::sample::select(vec!["tail", "01a202b2-c57b-7000-8000-000001e08acc", "abcdefghijkl"]);
    let id = prop_oneof![3 => id.prop_map(str::to_owned), 1 => bytes(12).prop_map(|bytes| escaped(&bytes))];
    let splice = prop_oneof![
        1 => Just(None),
        3 => (any::<prop::sample::Index>(), 0usize..6, bytes(8)).prop_map(Some),
    ];
    (call, organisation, id, splice).prop_map(|((method, shape, body), organisation, id, splice)| {
        let first = if shape.starts_with("/organisations") { organisation } else { id.clone() };
        let path = shape.replacen('*', &first, 1).replacen('*', &id, 1);
        let mut body = body.as_bytes().to_vec();
        if let Some((at, removed, inserted)) = splice {
            let at = at.index(body.len() + 1);
            body.splice(at..(at + removed).min(body.len()), inserted);
        }
        (method, path, body)
    })
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    let likely = vec!["asc", "-timestamp", "1", "0", "18446744073709551615", "2026-11-22", "csv"];
    let value = prop_oneof![bytes(24), prop::sample::select(likely).prop_map(|text| text.as_bytes().to_vec())];
    let pairs = prop::collection::vec((prop::sample::select(PARAMETERS), value), 0..3).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        pairs.collect::<Vec<_>>().join("&").into_bytes()
    });
    prop_oneof![3 => Just(Vec::new()), 6 => pairs, 1 => bytes(40)]
}

fn anything() -> impl Strategy<Value = Anything> {
    let headers = prop::collection::vec((prop::sample::select(HEADERS), bytes(40)), 0..3);
    // Mostly the platform, which may call everything, and sometimes no token.
    let token = prop::sample::select(vec![0, 0, 0, 0, 1, 2, 3, 3, usize::MAX]);
    (token, method_path_and_body(), query(), headers).prop_map(|(token, (method, path, body), query, headers)| {
        Anything { token, method, path, query, headers, body }
    })
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn no_request_at_all_is_answered_by_a_5xx_or_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = runtime.block_on(InProcess::start());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let mut answered = std::collections::BTreeMap::<u16, usize>::new();
    let counted = std::cell::RefCell::new(&mut answered);
    let result = runner.run(&anything(), |given| {
        let target = if given.query.is_empty() {
            given.path.clone().into_bytes()
        } else {
            [given.path.as_bytes(), b"?", &given.query].concat()
        };
        let mut request = Request::builder().method(given.method).uri(target.as_slice());
        if let Some(token) = api.tokens.get(given.token) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &given.headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request = request.header(*name, value);
            }
        }
        // Invalid requests never reach the router.
        let Ok(request) = request.body(Body::from(given.body.clone())) else { return Ok(()) };
        let status = runtime.block_on(api.status(request));
        *counted.borrow_mut().entry(status.as_u16()).or_default() += 1;
        prop_assert!(!status.is_server_error(), "{status}");
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    println!("answers by status: {answered:?}");
    for status in [200, 201, 400, 401, 403, 404, 405] {
        assert!(answered.contains_key(&status), "{status} never occurred: {answered:?}");
    }
}
