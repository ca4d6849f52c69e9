//! Access to an organisation's page: a portal link becomes one session despite failures, and the session has the rights
//! of its role until it ends. The test controls the clock.

use std::{sync::Arc, time::Duration};

use annals_console::Console;
use annals_core::{
    administration::{AdministrationError, DestinationInput},
    admission::rate_limiter::RateLimits,
    brand::Brand,
    log::{read::ReadLimit, store::Order},
    organisation::{Organisation, OrganisationInput},
    portal::{LINK_LIFE, MAX_SESSION_LIFE, PortalLinkInput, SESSION_LIFE},
    service::ServiceSettings,
    time::Clock as _,
    token::{Role, TokenHash, TokenInput, TokenText},
};
use annals_http::{Services, console::Embedding};
use annals_tests::{
    clock::{PausedClock, VirtualClock},
    deployment::{PLATFORM_TOKEN, platform},
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore, Store},
    latency::LatencyStore,
    memory::MemoryStore,
    sample,
};
use axum::{body::Body, response::Response};
use http::{Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SECOND: Duration = Duration::from_secs(1);

/// A deployment: what its functions share.
struct World {
    store: Arc<MemoryStore>,
    clock: Arc<VirtualClock>,
    entropy: Arc<SeededEntropy>,
    limits: RateLimits,
}

impl World {
    fn new() -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), VirtualClock::new(sample::START));
        Self { store, clock, entropy: SeededEntropy::new(7), limits: RateLimits::NONE }
    }

    fn api(&self) -> Services {
        self.api_over(Arc::clone(&self.store))
    }

    fn api_over<S: Store>(&self, store: Arc<S>) -> Services {
        let service = ServiceSettings {
            brand: Brand { sign_in: Some("https://app.example.com/audit".parse().unwrap()), ..Brand::default() },
            return_origins: "https://app.example.com".parse().unwrap(),
            ..sample::service()
        };
        let platform = TokenHash::of(PLATFORM_TOKEN);
        Services::new(store, self.clock.clone(), self.entropy.fork(), platform, service).with_rate_limits(self.limits)
    }

    async fn organisation(&self, id: &str) -> Organisation {
        let administration = self.api().administration;
        let input = OrganisationInput::parse(br#"{"name":"Acme","plan":"enterprise"}"#).unwrap();
        administration.put_organisation(&id.parse().unwrap(), input, &platform()).await.unwrap();
        administration.organisation(&id.parse().unwrap()).await.unwrap()
    }

    async fn link(&self, organisation: &Organisation, role: &str) -> String {
        let user = r#"{"id":"7","name":"Ada","email":"ada@example.com"}"#;
        let input = PortalLinkInput::parse(format!(r#"{{"role":"{role}","user":{user}}}"#).as_bytes()).unwrap();
        let (_, token) = self.api().administration.create_portal_link(organisation, input, &platform()).await.unwrap();
        token.reveal().to_owned()
    }

    /// Creates a link with these members, or returns the faults.
    async fn link_with(&self, organisation: &Organisation, members: &Value) -> Result<String, String> {
        let input = PortalLinkInput::parse(members.to_string().as_bytes()).map_err(|faults| faults.to_string())?;
        let created = self.api().administration.create_portal_link(organisation, input, &platform()).await;
        created.map(|(_, token)| token.reveal().to_owned()).map_err(|error| format!("{error:?}"))
    }

    /// Answers a request in a new instance of the function.
    async fn send(&self, request: Builder, body: &str) -> Response {
        self.send_with_origins("", request, body).await
    }

    async fn send_with_origins(&self, origins: &str, request: Builder, body: &str) -> Response {
        let services = self.api();
        let embedding = origins.parse::<Embedding>().unwrap().with_brand(services.service.brand.clone());
        let console = Console { services, embedding };
        annals_console::router(console).oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }

    async fn open_link(&self, link: &str) -> Response {
        self.send(Request::post(format!("/console/enter/{link}")), "").await
    }

    async fn show_link(&self, link: &str) -> Response {
        self.send(get(&format!("/console/enter/{link}")), "").await
    }

    /// Starts a session and returns its cookie.
    async fn session(&self, organisation: &Organisation, role: &str) -> String {
        let answer = self.open_link(&self.link(organisation, role).await).await;
        assert_eq!(answer.status(), 303);
        cookie(&answer)
    }

    async fn get(&self, path: &str, cookie: &str) -> Response {
        self.send(get(path).header(header::COOKIE, cookie), "").await
    }

    async fn lines(&self, organisation: &Organisation) -> Vec<Value> {
        let log = self.api().log;
        let last = log.tail(&organisation.id).await.unwrap().last;
        let limit = ReadLimit { events: 10_000, bytes: usize::MAX };
        let run = log.read(&organisation.id, 1..=last, None, Order::Ascending, limit).await.unwrap();
        run.lines.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect()
    }

    async fn signed_in(&self, organisation: &Organisation) -> usize {
        self.lines(organisation).await.iter().filter(|line| line["type"] == "console.sign_in").count()
    }
}

fn get(path: &str) -> Builder {
    Request::get(path)
}

/// The cookie that a browser sends back.
fn cookie(answer: &Response) -> String {
    let set = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_link_opens_its_page_unless_the_role_does_not_include_it() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    for (role, path, opened) in [
        ("admin", "/console/events?outcome=FAILURE", "/console/events?outcome=FAILURE"),
        ("auditor", "/console/events/AaICssV7cACAAAAAAeCKzA", "/console/events/AaICssV7cACAAAAAAeCKzA"),
        ("admin", "/console/tokens", "/console/tokens"),
        ("auditor", "/console/tokens", "/console/events"),
        ("admin", "/console/elsewhere", "/console/destinations"),
        ("admin", "/console/enter/abc", "/console/destinations"),
        ("admin", "/console/leave", "/console/destinations"),
    ] {
        let link = world.link_with(&acme, &json!({"role": role, "path": path})).await.unwrap();
        // It comes before the page that was asked for earlier.
        let enter = Request::post(format!("/console/enter/{link}"));
        let enter = enter.header(header::COOKIE, "annals-return=%2Fconsole%2Fevents%3Fq%3Dearlier");
        let answer = world.send(enter, "").await;
        let location = answer.headers()[header::LOCATION].to_str().unwrap();
        let kept = "/console/events?q=earlier";
        assert!(location == opened || (location == kept && opened != path), "{role} {path}: {location}");
    }
}

#[tokio::test]
async fn pages_lead_back_to_the_product_and_nowhere_else() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let back = "https://app.example.com/settings?tab=audit";
    let link = world.link_with(&acme, &json!({"role": "admin", "returnUrl": back})).await.unwrap();
    let cookie = cookie(&world.open_link(&link).await);
    let mut html = String::new();
    for page in ["/console/destinations", "/console/events", "/console/tokens"] {
        html = text(world.get(page, &cookie).await).await;
        assert!(html.contains(&format!("<a class=\"product\" href=\"{back}\" target=\"_top\">")), "{page}");
    }
    let token = form_token(&html);
    let leave = Request::post("/console/leave").header(header::COOKIE, &cookie);
    let html = text(world.send(leave, &format!("formToken={token}")).await).await;
    assert!(html.contains(&format!("href=\"{back}\"")), "{html}");

    for elsewhere in [
        "https://evil.example/",
        "https://app.example.com.evil.example/",
        "https://app.example.com@evil.example/",
        "https://app.example.com:8443/",
        "//app.example.com/",
        "/settings",
        "javascript:alert(1)",
        "https://app.example.com/\r\nx",
        "https://app.example.com\\@evil.example",
    ] {
        let refused = world.link_with(&acme, &json!({"role": "admin", "returnUrl": elsewhere})).await.unwrap_err();
        assert!(refused.contains("/returnUrl"), "{elsewhere}: {refused}");
    }
    for elsewhere in
        ["https://evil.example/console/x", "//evil.example/console/x", "/audit", "/console/../audit", "/console/x\n"]
    {
        let refused = world.link_with(&acme, &json!({"role": "admin", "path": elsewhere})).await.unwrap_err();
        assert!(refused.contains("/path"), "{elsewhere}: {refused}");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_is_led_to_the_product_with_the_page_that_was_asked_for() {
    let world = World::new();
    let answer = world.send(get("/console/events?outcome=FAILURE&q=a%20b"), "").await;
    assert_eq!(answer.status(), 401);
    let html = text(answer).await;
    let address = "https://app.example.com/audit?path=%2Fconsole%2Fevents%3Foutcome%3DFAILURE%26q%3Da%2520b";
    assert!(html.contains(&format!("href=\"{address}\"")), "{html}");
}

#[tokio::test]
async fn a_link_starts_one_session_which_is_recorded_with_its_user() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    for (role, first_page, other) in [("admin", "/console/destinations", 200), ("auditor", "/console/events", 404)] {
        let link = world.link(&acme, role).await;
        let answer = world.open_link(&link).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::LOCATION]),
            (303, &first_page.parse().unwrap())
        );
        let cookie = cookie(&answer);
        assert_eq!(world.get(first_page, &cookie).await.status(), 200);
        assert_eq!(world.get("/console/destinations", &cookie).await.status(), other);
        assert_eq!(world.get("/console/tokens", &cookie).await.status(), other);
        assert_eq!(world.open_link(&link).await.status(), 410, "it works once");
        let line = world.lines(&acme).await.into_iter().rfind(|line| line["type"] == "console.sign_in").unwrap();
        assert_eq!((&line["action"], &line["clientType"]), (&"LOGIN".into(), &"UI".into()));
        assert_eq!(line["payload"]["role"], role);
        let principal = serde_json::json!({"id": "7", "name": "Ada", "entityType": "USER", "email": "ada@example.com"});
        assert_eq!(line["principal"], principal);
        assert!(!line.to_string().contains(&link) && !line.to_string().contains(&cookie[7..]), "no secret is recorded");
    }
    assert_eq!(world.signed_in(&acme).await, 2);
}

#[tokio::test]
async fn concurrent_requests_with_one_link_start_one_session() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let link = world.link(&acme, "admin").await;
    let answers = futures_util::future::join_all((0..20).map(|_| world.open_link(&link))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(303), count(410)), (1, 19));
    assert_eq!(world.signed_in(&acme).await, 1);
}

#[tokio::test]
async fn links_and_sessions_expire() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let (late, in_time) = (world.link(&acme, "admin").await, world.link(&acme, "admin").await);
    world.clock.advance(LINK_LIFE - SECOND);
    let cookie = cookie(&world.open_link(&in_time).await);
    world.clock.advance(SECOND);
    assert_eq!(world.open_link(&late).await.status(), 410);
    world.clock.advance(SESSION_LIFE - SECOND);
    let ended = world.get("/console/events", &cookie).await;
    assert_eq!(ended.status(), 401);
    assert!(text(ended).await.contains("open the audit log there again"));
}

#[tokio::test]
async fn used_expired_and_unknown_links_say_what_they_are() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let (used, late) = (world.link(&acme, "admin").await, world.link(&acme, "admin").await);
    world.open_link(&used).await;
    world.clock.advance(LINK_LIFE);
    let never = TokenText::generate_plain(&*world.entropy);
    for (link, status, expected) in [
        (&*used, 410, "This link has been used"),
        (&late, 410, "This link has expired"),
        (never.reveal(), 404, "There is no such link"),
        ("no-link", 404, "There is no such link"),
    ] {
        for answer in [world.show_link(link).await, world.open_link(link).await] {
            assert_eq!(answer.status(), status, "{link}");
            let page = text(answer).await;
            assert!(page.contains(expected) && !page.contains("Go to the audit log"), "{page}");
        }
    }
}

#[tokio::test]
async fn a_link_shows_whom_it_signs_in_where_and_only_a_click_uses_it_up() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let link = world.link(&acme, "admin").await;
    for _ in 0..3 {
        let answer = world.show_link(&link).await;
        assert_eq!((answer.status(), answer.headers().get(header::SET_COOKIE)), (StatusCode::OK, None));
        let page = text(answer).await;
        for expected in ["Audit log of Acme", "<b>Ada</b> (ada@example.com)", "manage destinations and tokens"] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(page.contains(&format!(r#"<form method="post" action="/console/enter/{link}">"#)), "{page}");
    }
    assert_eq!(world.signed_in(&acme).await, 0);
    assert_eq!(world.open_link(&link).await.status(), 303);
    let auditor = world.link(&acme, "auditor").await;
    assert!(text(world.show_link(&auditor).await).await.contains("You can read the log."));
}

#[tokio::test]
async fn another_site_cannot_open_a_link_in_a_visitors_browser() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let link = world.link(&acme, "admin").await;
    let post = || Request::post(format!("/console/enter/{link}")).header(header::HOST, "audit.example.com");
    for request in [
        post().header("sec-fetch-site", "cross-site"),
        post().header("sec-fetch-site", "same-site"),
        post().header(header::ORIGIN, "https://evil.example"),
        post().header(header::ORIGIN, "null"),
    ] {
        let answer = world.send(request, "").await;
        assert_eq!((answer.status(), answer.headers().get(header::SET_COOKIE)), (StatusCode::FORBIDDEN, None));
    }
    assert_eq!(world.signed_in(&acme).await, 0);
    let own = post().header(header::ORIGIN, "https://audit.example.com");
    assert_eq!(world.send(own, "").await.status(), 303);
}

#[tokio::test]
async fn a_session_is_replaced_only_after_the_page_said_so_and_ends_then() {
    let world = World::new();
    let (acme, other) = (world.organisation("acme").await, world.organisation("other").await);
    let before = world.session(&acme, "admin").await;
    for (organisation, expected) in [(&other, "another audit log"), (&acme, "this audit log")] {
        let link = world.link(organisation, "auditor").await;
        let path = format!("/console/enter/{link}");
        let shown = text(world.get(&path, &before).await).await;
        assert!(shown.contains(&format!("<b>Ada</b> is signed in to {expected}")), "{shown}");
        assert!(!text(world.show_link(&link).await).await.contains("signed in to"));
        assert_eq!(world.get("/console/tokens", &before).await.status(), 200, "showing it replaces nothing");
        if expected == "this audit log" {
            let answer = world.send(Request::post(&path).header(header::COOKIE, &before), "").await;
            assert_eq!(world.get("/console/events", &cookie(&answer)).await.status(), 200);
            assert_eq!(world.get("/console/tokens", &before).await.status(), 401, "it has ended");
        }
    }
    assert!(world.lines(&acme).await.iter().any(|line| line["type"] == "console.sign_out"));
}

#[tokio::test]
async fn a_session_lasts_while_it_is_used_but_not_for_ever() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let cookie = world.session(&acme, "auditor").await;
    let begun = world.clock.now();
    while world.get("/console/events", &cookie).await.status() == 200 {
        world.clock.advance(SESSION_LIFE / 2);
        assert!(world.clock.now().since(begun) <= MAX_SESSION_LIFE, "it has no end");
    }
    assert_eq!(world.clock.now().since(begun), MAX_SESSION_LIFE);
    let unused = world.session(&acme, "auditor").await;
    world.clock.advance(SESSION_LIFE);
    assert_eq!(world.get("/console/events", &unused).await.status(), 401);
}

#[tokio::test]
async fn administrators_see_and_end_the_sessions_of_their_organisation() {
    let world = World::new();
    let (acme, other) = (world.organisation("acme").await, world.organisation("other").await);
    let one = world.session(&acme, "admin").await;
    world.clock.advance(SECOND);
    let two = world.session(&acme, "auditor").await;
    let foreign = world.session(&other, "admin").await;
    let administration = world.api().administration;
    let sessions = administration.sessions(&acme).await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.role).collect::<Vec<_>>(), [Role::Admin, Role::Auditor]);
    let foreign_id = administration.sessions(&other).await.unwrap()[0].id();
    let refused = administration.revoke_session(&acme, &foreign_id, &platform()).await;
    assert!(matches!(refused, Err(AdministrationError::NotFound)), "{refused:?}");
    administration.revoke_session(&acme, &sessions[1].id(), &platform()).await.unwrap();
    for (cookie, status) in [(&one, 200), (&two, 401), (&foreign, 200)] {
        assert_eq!(world.get("/console/events", cookie).await.status().as_u16(), status);
    }
    let again = administration.revoke_session(&acme, &sessions[1].id(), &platform()).await;
    assert!(matches!(again, Err(AdministrationError::NotFound)), "{again:?}");
    let line = world.lines(&acme).await.into_iter().rfind(|line| line["type"] == "session.revoke").unwrap();
    assert_eq!(
        (&line["entity"]["id"], &line["before"]["user"]["id"]),
        (&sessions[1].id().to_string().into(), &"7".into())
    );
    world.clock.advance(SESSION_LIFE);
    assert_eq!(administration.sessions(&acme).await.unwrap(), [], "those that have ended are not listed");
}

#[tokio::test]
async fn signing_out_ends_only_that_session() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let (cookie, other) = (world.session(&acme, "auditor").await, world.session(&acme, "auditor").await);
    let page = text(world.get("/console/events", &cookie).await).await;
    let form_token = form_token(&page);
    let leave = || Request::post("/console/leave").header(header::COOKIE, &cookie);
    let answer = world.send(leave(), &format!("formToken={form_token}")).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()[header::SET_COOKIE].to_str().unwrap().contains("annals=; Path=/; Max-Age=0"));
    assert_eq!(world.get("/console/events", &cookie).await.status(), 401);
    assert_eq!(world.get("/console/events", &other).await.status(), 200);
    let lines = world.lines(&acme).await;
    assert_eq!(lines.iter().filter(|line| line["type"] == "console.sign_out").count(), 1);
}

fn form_token(page: &str) -> String {
    let rest = page.split_once(r#"name="formToken" value=""#).unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn head_requests_prefetching_and_forbidden_frames_are_refused() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let link = world.link(&acme, "admin").await;
    let path = format!("/console/enter/{link}");
    assert_eq!(world.send(Request::head(&path), "").await.status(), 405);
    for (name, value) in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch")] {
        assert_eq!(world.send(get(&path).header(name, value), "").await.status(), 403);
    }
    // A frame in which the page may not be shown.
    assert_eq!(world.send(get(&path).header("sec-fetch-dest", "iframe"), "").await.status(), 403);
    assert_eq!(world.open_link(&link).await.status(), 303);
}

#[tokio::test]
async fn a_forged_form_changes_nothing() {
    let world = World::new();
    let (acme, other) = (world.organisation("acme").await, world.organisation("other").await);
    let (cookie, foreign) = (world.session(&acme, "admin").await, world.session(&other, "admin").await);
    let page = text(world.get("/console/tokens", &cookie).await).await;
    let (own, others) = (form_token(&page), form_token(&text(world.get("/console/tokens", &foreign).await).await));
    assert_ne!(own, others);
    let leave =
        |site: &str| Request::post("/console/leave").header(header::COOKIE, &cookie).header("sec-fetch-site", site);
    for (site, body) in [
        ("same-origin", String::new()),
        ("same-origin", "formToken=".to_owned()),
        ("same-origin", format!("formToken={others}")),
        ("same-origin", format!("formtoken={own}")),
        ("cross-site", format!("formToken={own}")),
        ("same-site", format!("formToken={own}")),
        ("none", format!("formToken={own}")),
    ] {
        let answer = world.send(leave(site), &body).await;
        assert_eq!(answer.status(), 403, "{site} {body}");
        assert!(text(answer).await.contains("Nothing was changed"));
        assert_eq!(world.get("/console/tokens", &cookie).await.status(), 200, "{site} {body}");
    }
    assert_eq!(world.send(leave("same-origin"), &format!("formToken={own}")).await.status(), 200);
}

#[tokio::test]
async fn a_session_is_valid_only_for_the_console_of_its_organisation() {
    let world = World::new();
    let (acme, _) = (world.organisation("acme").await, world.organisation("other").await);
    let cookie = world.session(&acme, "admin").await;
    let secret = cookie.split_once('=').unwrap().1.to_owned();
    // Session tokens are not API tokens, and API tokens are not session tokens.
    let api = annals_api::router(world.api());
    let request = get("/organisations/acme").header(header::AUTHORIZATION, format!("Bearer {secret}"));
    let answer = api.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    for value in [PLATFORM_TOKEN, "", "0", &secret[1..], &format!("{secret}0"), "../acme", "é"] {
        let answer = world.get("/console/events", &format!("annals={value}")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{value}");
    }
    for path in ["/console", "/console/events", "/console/destinations", "/console/tokens"] {
        assert_eq!(world.send(get(path), "").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn the_attributes_of_the_cookie_depend_on_https_and_embedding() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let open_link = async |origins: &str, scheme: Option<&str>| {
        let request = Request::post(format!("/console/enter/{}", world.link(&acme, "admin").await));
        let request = scheme.iter().fold(request, |request, scheme| request.header("x-forwarded-proto", *scheme));
        let answer = world.send_with_origins(origins, request, "").await;
        let set = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let (name, rest) = set.split_once('=').unwrap();
        (name.to_owned(), rest.split_once("; ").unwrap().1.to_owned(), policy)
    };
    let (name, attributes, policy) = open_link("", Some("https")).await;
    assert_eq!(name, "__Host-annals");
    assert_eq!(attributes, "Path=/; Max-Age=28800; HttpOnly; Secure; SameSite=Lax");
    assert!(policy.ends_with("frame-ancestors 'none'"));
    let (_, attributes, policy) = open_link("https://app.example.com", Some("https")).await;
    assert_eq!(attributes, "Path=/; Max-Age=28800; HttpOnly; Secure; SameSite=None; Partitioned");
    assert!(policy.ends_with("frame-ancestors https://app.example.com"));
    let (name, attributes, _) = open_link("https://app.example.com", None).await;
    assert_eq!((name.as_str(), attributes.as_str()), ("annals", "Path=/; Max-Age=28800; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let cookie = world.session(&acme, "admin").await;
    let asset = text(world.get("/console/events", &cookie).await).await;
    let asset = asset.split_once("href=\"/console/assets/").unwrap().1.split('"').next().unwrap().to_owned();
    for (path, status, cache) in [
        ("/console/events".to_owned(), 200, "no-store"),
        ("/console/nowhere".to_owned(), 404, "no-store"),
        ("/console/assets/nothing".to_owned(), 404, "no-store"),
        (format!("/console/assets/{asset}"), 200, "public, max-age=31536000, immutable"),
    ] {
        let answer = world.get(&path, &cookie).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; script-src 'self'; style-src 'self';")
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(header("cache-control"), cache, "{path}");
    }
}

#[tokio::test]
async fn guesses_are_limited_and_do_not_block_valid_sessions() {
    let mut world = World::new();
    world.limits = RateLimits { failed_authentications: "1/3".parse().unwrap(), ..RateLimits::NONE };
    let acme = world.organisation("acme").await;
    let link = world.link(&acme, "auditor").await;
    let api = world.api();
    let (_, session) = api.administration.open_portal_link(&link, Default::default()).await.unwrap();
    let mut refused = 0;
    for _ in 0..10 {
        let token = TokenText::generate_plain(&*world.entropy);
        let error = api.admission.admit_session(token.reveal(), None).await.unwrap_err();
        refused += usize::from(matches!(error, annals_core::admission::AdmissionError::TooMany(_)));
    }
    assert_eq!(refused, 7);
    assert!(api.admission.admit_session(session.reveal(), None).await.is_ok());

    let console = annals_console::router(Console { services: api, embedding: Embedding::default() });
    let guess = get(&format!("/console/enter/{}", TokenText::generate_plain(&*world.entropy).reveal()));
    let answer = console.oneshot(guess.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 429, "guessed links count too");
}

/// A form that another program fills in gets no further than the page's own.
#[tokio::test]
async fn a_session_cannot_make_a_token_that_the_deployment_does_not_allow() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let cookie = world.session(&acme, "admin").await;
    let administration = world.api().administration;
    let made = async |role, expires_at| {
        let input = TokenInput { name: "SIEM".into(), role, expires_at };
        administration.create_token(&acme, input, &platform()).await.unwrap().0.id
    };
    let (admins, auditors) = (made(Role::Admin, None).await, made(Role::Auditor, None).await);
    let form_token = form_token(&text(world.get("/console/tokens", &cookie).await).await);
    let post = async |path: &str, fields: &str| {
        let request = Request::post(path).header(header::COOKIE, &cookie);
        world.send(request, &format!("formToken={form_token}&{fields}")).await
    };
    let day = |days: u32| world.clock.now().plus(SECOND * 86_400 * days).to_string();
    for (path, fields, status) in [
        ("/console/tokens".to_owned(), "name=a&role=admin&expiresAt=30".to_owned(), 422),
        ("/console/tokens".to_owned(), "name=a&role=producer&expiresAt=30".to_owned(), 422),
        ("/console/tokens".to_owned(), "name=a&role=auditor&expiresAt=never".to_owned(), 422),
        ("/console/tokens".to_owned(), "name=a&role=auditor&expiresAt=365".to_owned(), 422),
        ("/console/tokens".to_owned(), format!("name=a&role=auditor&expiresAt=date&date={}", &day(92)[..10]), 422),
        (format!("/console/tokens/{admins}/replace"), "overlapSeconds=0&expiresAt=30".to_owned(), 404),
        (format!("/console/tokens/{auditors}/replace"), "overlapSeconds=0&expiresAt=365".to_owned(), 422),
    ] {
        let answer = post(&path, &fields).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {fields}");
        assert_eq!(administration.tokens(&acme.id).await.unwrap().len(), 2, "{path} {fields}");
    }
    assert_eq!(post("/console/tokens", "name=a&role=auditor&expiresAt=90").await.status(), 303);
    assert_eq!(
        post(&format!("/console/tokens/{auditors}/replace"), "overlapSeconds=0&expiresAt=30").await.status(),
        303
    );
    assert_eq!(administration.tokens(&acme.id).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_new_token_is_shown_once_by_the_page_after_the_form() {
    let world = World::new();
    let (acme, other) = (world.organisation("acme").await, world.organisation("other").await);
    let (session, foreign) = (world.session(&acme, "admin").await, world.session(&other, "admin").await);
    let form_token = form_token(&text(world.get("/console/tokens", &session).await).await);
    let post = async |path: &str, fields: &str| {
        let request = Request::post(path).header(header::COOKIE, &session);
        world.send(request, &format!("formToken={form_token}&{fields}")).await
    };
    let made = post("/console/tokens", "name=SIEM&role=auditor&expiresAt=90").await;
    assert_eq!(made.status(), 303);
    assert_eq!(made.headers()[header::LOCATION], "/console/tokens");
    let set = made.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(set.ends_with("; Path=/; Max-Age=120; HttpOnly; SameSite=Lax"), "{set}");
    let brought = cookie(&made);
    let secret = brought.strip_prefix("annals-token=").unwrap();
    assert!(!text(made).await.contains(secret));

    let cookies = format!("{session}; {brought}");
    let shown = world.get("/console/tokens", &cookies).await;
    assert!(shown.headers()[header::SET_COOKIE].to_str().unwrap().starts_with("annals-token=; Path=/; Max-Age=0"));
    assert!(text(shown).await.contains(secret));
    let again = world.get("/console/tokens", &session).await;
    assert_eq!(again.headers().get(header::SET_COOKIE), None);
    assert!(!text(again).await.contains("Copy the token now"), "the browser has deleted the cookie");
    let theirs = text(world.get("/console/tokens", &format!("{foreign}; {brought}")).await).await;
    assert!(!theirs.contains("Copy the token now"), "another organisation does not show it as its own");

    let id = world.api().administration.tokens(&acme.id).await.unwrap()[0].id.clone();
    let replaced = post(&format!("/console/tokens/{id}/replace"), "overlapSeconds=86400&expiresAt=30").await;
    let page = text(world.get("/console/tokens", &format!("{session}; {}", cookie(&replaced))).await).await;
    assert!(page.contains("Copy the token now") && page.contains("The old token works until"), "{page}");
}

#[tokio::test]
async fn a_sign_in_leads_to_the_page_that_was_asked_for_before() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let asked = world.send(get("/console/events?type=user.login&q=a%20b"), "").await;
    let kept = cookie(&asked);
    assert_eq!(asked.status(), 401);
    assert!(text(asked).await.contains("the page that you asked for opens"));
    for (role, kept, expected) in [
        ("auditor", kept.as_str(), "/console/events?type=user.login&q=a%20b"),
        ("admin", "annals-return=%2Fconsole%2Ftokens", "/console/tokens"),
        ("auditor", "annals-return=%2Fconsole%2Ftokens", "/console/events"),
        ("auditor", "annals-return=https%3A%2F%2Fevil.example%2F", "/console/events"),
        ("admin", "annals-return=%2Fconsole%2Fleave", "/console/destinations"),
    ] {
        let link = world.link(&acme, role).await;
        let opened = Request::post(format!("/console/enter/{link}")).header(header::COOKIE, kept);
        let opened = world.send(opened, "").await;
        assert_eq!(opened.headers()[header::LOCATION], expected, "{role} {kept}");
        let set: Vec<_> = opened.headers().get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(set.len(), 2, "the session begins, and the page is forgotten");
        assert!(set[1].to_str().unwrap().starts_with("annals-return=; Path=/; Max-Age=0"), "{set:?}");
    }
    // A form cannot be sent again after the sign-in.
    let refused = world.send(Request::post("/console/tokens"), "").await;
    assert_eq!((refused.status().as_u16(), refused.headers().get(header::SET_COOKIE)), (401, None));
}

/// Opens a link while the `nth` call of the store fails in each possible way, and then again, as a browser that
/// reloads.
#[tokio::test(start_paused = true)]
async fn no_failure_lets_a_link_start_two_sessions_or_an_unrecorded_one() {
    let faults = [
        Fault::Throttled,
        Fault::Busy,
        Fault::Broken,
        Fault::Changed,
        Fault::Unsent,
        Fault::AnswerLost,
        Fault::CrashBefore,
        Fault::CrashAfter,
    ];
    for fault in faults {
        let mut nth = 1;
        loop {
            let world = World::new();
            let acme = world.organisation("acme").await;
            let link = world.link(&acme, "admin").await;
            let store = FaultyStore::nth(Arc::clone(&world.store), nth, fault);
            // Retries wait for real time, because the virtual clock stands still.
            let service = sample::service();
            let clock = annals_tests::clock::PausedClock::new(sample::START);
            let platform = TokenHash::of(PLATFORM_TOKEN);
            let api = Services::new(store.clone(), clock, world.entropy.fork(), platform, service);
            let opened = tokio::select! {
                opened = api.administration.open_portal_link(&link, Default::default()) => Some(opened),
                () = store.crashed() => None,
            };
            let calls = store.calls();
            let context = format!("{fault:?} at call {nth}: {opened:?}");
            let recorded = world.signed_in(&acme).await;
            let again = world.open_link(&link).await.status().as_u16();
            match opened {
                Some(Ok((session, token))) => {
                    assert_eq!((recorded, again), (1, 410), "{context}");
                    let admitted = world.api().admission.admit_session(token.reveal(), None).await.unwrap();
                    assert_eq!(admitted, session, "{context}");
                }
                // After a lost answer the link is used up, or it opens now.
                Some(Err(_)) | None => {
                    assert_eq!((recorded, again), if recorded == 0 { (0, 303) } else { (1, 410) }, "{context}")
                }
            }
            if calls < nth {
                assert!(nth > 4, "there were no calls to fail: {context}");
                break;
            }
            nth += 1;
        }
    }
}

/// The sequential round trips to the store of each page, and of the API's calls with the same content.
#[test]
fn a_page_takes_at_most_one_round_trip_more_than_its_call_of_the_api() {
    const LATENCY: Duration = Duration::from_millis(5);
    annals_tests::model::in_virtual_time(async {
        let world = World::new();
        let acme = world.organisation("acme").await;
        let cookie = world.session(&acme, "admin").await;
        let administration = world.api().administration;
        let token = TokenInput { name: "SIEM".into(), role: Role::Admin, expires_at: None };
        let (_, token) = administration.create_token(&acme, token, &platform()).await.unwrap();
        let input = br#"{"bucket":"acme-audit","roleArn":"arn:aws:iam::444455556666:role/annals"}"#;
        let input = DestinationInput::parse(input, &sample::service()).unwrap();
        let destination = administration.create_destination(&acme, input, &platform()).await.unwrap();
        let event = world.api().log.tail(&acme.id).await.unwrap().event_id(&acme.id).unwrap().short();

        let clock = PausedClock::new(sample::START.plus(SECOND));
        let slow = LatencyStore::new(Arc::clone(&world.store), clock.clone(), LATENCY, None);
        let api =
            Services::new(slow, clock.clone(), world.entropy.fork(), TokenHash::of(PLATFORM_TOKEN), sample::service());
        let api = api.with_rate_limits(RateLimits::NONE);
        let console = annals_console::router(Console { services: api.clone(), embedding: Embedding::default() });
        let router = annals_api::router(api);
        let trips = async |router: &axum::Router, path: &str, name: header::HeaderName, value: String| {
            let begun = clock.elapsed();
            let request = get(path).header(name, value).body(Body::empty()).unwrap();
            let status = router.clone().oneshot(request).await.unwrap().status();
            assert_eq!(status, 200, "{path}");
            (clock.elapsed() - begun).as_micros() / LATENCY.as_micros()
        };
        let one = format!("/organisations/acme/destinations/{}", destination.id);
        for (page, calls) in [
            ("/console/destinations".to_owned(), vec![format!("{one}/deliveries")]),
            (format!("/console/destinations/{}/deliveries", destination.id), vec![format!("{one}/deliveries")]),
            (format!("/console/destinations/{}/delete", destination.id), vec![one.clone()]),
            ("/console/tokens".to_owned(), vec!["/organisations/acme/tokens".to_owned()]),
            ("/console/events".to_owned(), vec!["/audit?sort=desc&since=2026-11-21".to_owned()]),
            (format!("/console/events/{event}"), vec![format!("/audit/{event}")]),
        ] {
            let shown = trips(&console, &page, header::COOKIE, cookie.clone()).await;
            let mut called = 0;
            for call in calls {
                // A token that was just looked up is known for a moment.
                clock.jump(SECOND);
                called += trips(&router, &call, header::AUTHORIZATION, format!("Bearer {}", token.reveal())).await;
            }
            println!("{page}: {shown} round trips, {called} of the API's calls");
            assert!(shown <= called + 1, "{page}: {shown} round trips, {called} of the API's calls");
        }
    });
}

#[tokio::test]
async fn foreign_cookies_large_forms_and_invalid_paths_are_handled() {
    let world = World::new();
    let acme = world.organisation("acme").await;
    let cookie = world.session(&acme, "admin").await;
    let mut both = b"name=Jos\xe9; ".to_vec();
    both.extend(cookie.as_bytes());
    let both = http::HeaderValue::from_bytes(&both).unwrap();
    assert_eq!(world.send(get("/console/tokens").header(header::COOKIE, both), "").await.status(), 200);
    let post = Request::post("/console/tokens").header(header::COOKIE, &cookie);
    assert_eq!(world.send(post, &"a&".repeat(1_000_000)).await.status(), 403);
    for path in ["/console/enter/%FF", "/console/assets/%FF", "/console/events/%FF", "/console/%FF"] {
        let answer = world.get(path, &cookie).await;
        assert!(answer.status().is_client_error(), "{path}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
    }
}
