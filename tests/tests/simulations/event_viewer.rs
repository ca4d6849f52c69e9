//! The event viewer in a browser: links lead to every event, every part of an export is complete, errors have a page of
//! their own, and each read is recorded.

use std::{sync::Arc, time::Duration};

use annals_console::Console;
use annals_core::{
    admission::rate_limiter::RateLimits,
    event::{Body as Event, Layout, parse},
    log::{read::ReadLimit, segment::Line, store::Order},
    organisation::{Organisation, OrganisationInput},
    portal::PortalLinkInput,
    recorded_by::RecordedBy,
    time::Clock,
    token::{TokenHash, TokenInput},
};
use annals_http::{Services, console::Embedding};
use annals_tests::{
    clock::PausedClock,
    deployment::{PLATFORM_TOKEN, platform},
    entropy::SeededEntropy,
    faulty::Store,
    latency::LatencyStore,
    memory::MemoryStore,
    model::in_virtual_time,
    sample,
};
use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const HOUR: Duration = Duration::from_secs(60 * 60);
const LATENCY: Duration = Duration::from_millis(5);

/// A deployment with an organisation, and a session of an auditor.
struct World {
    store: Arc<MemoryStore>,
    clock: Arc<PausedClock>,
    acme: Organisation,
    cookie: String,
}

impl World {
    async fn new() -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), PausedClock::new(sample::START));
        let acme = sample::organisation("acme");
        let mut world = Self { store, clock, acme, cookie: String::new() };
        let administration = world.api(Arc::clone(&world.store)).administration;
        let input = OrganisationInput::parse(br#"{"name":"Acme","plan":"enterprise","retentionDays":7}"#).unwrap();
        administration.put_organisation(&world.acme.id, input, &platform()).await.unwrap();
        world.acme = administration.organisation(&world.acme.id).await.unwrap();
        world
    }

    fn api<S: Store>(&self, store: Arc<S>) -> Services {
        let platform = TokenHash::of(PLATFORM_TOKEN);
        Services::new(
            store,
            self.clock.clone(),
            SeededEntropy::new(self.clock.now().as_millis()),
            platform,
            sample::service(),
        )
        .with_rate_limits(RateLimits::NONE)
    }

    fn console<S: Store>(&self, store: Arc<S>) -> Router {
        annals_console::router(Console { services: self.api(store), embedding: Embedding::default() })
    }

    /// Opens a new session, because sessions are short.
    async fn sign_in(&mut self) {
        let input = PortalLinkInput::parse(br#"{"role":"auditor","user":{"id":"7","name":"Ada"}}"#).unwrap();
        let administration = self.api(Arc::clone(&self.store)).administration;
        let (_, link) = administration.create_portal_link(&self.acme, input, &platform()).await.unwrap();
        let request = Request::post(format!("/console/enter/{}", link.reveal())).body(Body::empty()).unwrap();
        let answer = self.console(Arc::clone(&self.store)).oneshot(request).await.unwrap();
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    async fn send<S: Store>(&self, store: Arc<S>, path: &str) -> Response {
        let request = Request::get(path).header(header::COOKIE, &self.cookie).body(Body::empty()).unwrap();
        self.console(store).oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.send(Arc::clone(&self.store), path).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn page(&self, path: &str) -> String {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(page.len() < 100_000, "{path}: {} bytes", page.len());
        page
    }

    async fn append(&self, bodies: Vec<Event>) {
        self.api(Arc::clone(&self.store)).log.append(&self.acme, bodies, None).await.unwrap();
    }

    async fn lines(&self) -> Vec<Line> {
        let log = self.api(Arc::clone(&self.store)).log;
        let last = log.tail(&self.acme.id).await.unwrap().last;
        let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        log.read(&self.acme.id, 1..=last, None, Order::Ascending, limit).await.unwrap().lines
    }

    async fn reads(&self) -> Vec<Value> {
        let lines = self.lines().await;
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(&line.text).unwrap());
        events.filter(|event| event["type"] == "audit.read").collect()
    }
}

/// The target of the first link with `mark` before or in its text.
fn link(page: &str, mark: &str) -> Option<String> {
    let links = page.split("<a ").skip(1).filter_map(|rest| rest.split("</a>").next());
    let found =
        links.filter(|link| link.contains(mark)).find_map(|link| link.split("href=\"").nth(1)?.split('"').next());
    found.map(|href| href.replace("&amp;", "&"))
}

/// The IDs of the events on a page.
fn listed(page: &str) -> Vec<String> {
    let rows = page.split("<td class=\"what\"><a href=\"/console/events/").skip(1);
    rows.map(|row| row.chars().take(22).collect()).collect()
}

#[test]
fn the_pages_of_older_events_list_every_event_once() {
    in_virtual_time(async {
        let mut world = World::new().await;
        for number in 0..40 {
            let labels = ["a", "b"].map(|label| sample::body(&format!("{label}{}", number % 3)));
            world.append(labels.into()).await;
            world.clock.jump(HOUR);
        }
        world.sign_in().await;
        for query in [
            "?range=all&reads=shown",
            "?range=all",
            "?range=24h",
            "",
            "?entityId=a1&range=7d",
            "?q=PAYMENTS&type=mock_api.update&range=all",
        ] {
            let mut expected: Vec<Line> = world.lines().await;
            let since = match query {
                "" | "?range=24h" => Some(world.clock.now().minus(24 * HOUR)),
                _ => None,
            };
            expected.retain(|line| {
                since.is_none_or(|since| line.recorded_at >= since)
                    && (query.contains("reads=shown") || !line.text.contains(r#""type":"audit.read""#))
                    && (!query.contains("entityId") || line.text.contains("\"id\":\"a1\""))
                    && (!query.contains("PAYMENTS") || line.text.contains("mock_api.update"))
            });
            let expected: Vec<String> = expected.iter().rev().map(|line| line.id.short()).collect();
            let (mut found, mut path) = (Vec::new(), Some(format!("/console/events{query}")));
            let mut pages = 0;
            while let Some(href) = path {
                let page = world.page(&href).await;
                assert_eq!(page.contains("<svg"), pages == 0, "{href}: the chart is on the first page");
                found.extend(listed(&page));
                path = link(&page, "data-older");
                pages += 1;
            }
            assert_eq!(found, expected, "{query}");
        }
    });
}

#[test]
fn the_viewer_tells_who_recorded_an_event_and_hides_only_annals_own_reads() {
    in_virtual_time(async {
        let mut world = World::new().await;
        let token: RecordedBy = "token/0123456789AB".parse().unwrap();
        let forged = json!({
            "action": "READ", "type": "audit.read", "clientType": "SYSTEM",
            "entity": {"id": "acme", "name": "Acme", "entityType": "AUDIT_LOG"},
            "principal": {"id": "platform", "name": "Platform", "entityType": "PLATFORM"},
        });
        let forged = parse(forged.to_string().as_bytes(), Layout::Json, &token).unwrap();
        world.append(forged).await;
        world.sign_in().await;
        world.page("/console/events").await;
        let page = world.page("/console/events?type=audit.read").await;
        assert_eq!(listed(&page).len(), 2);
        assert!(page.contains("recorded by Annals") && page.contains("recorded by token/0123456789AB"), "{page}");

        let page = world.page("/console/events?type=audit.read&excludeOwnType=audit.read").await;
        let [id] = &listed(&page)[..] else { panic!("{page}") };
        assert!(page.contains("recorded by token/0123456789AB") && !page.contains("recorded by Annals"), "{page}");
        assert!(page.contains(r#"name="reads" value="shown">"#), "the switch is off: {page}");
        let reads = |page: &str| page.matches("audit.<wbr>read").count();
        let page = world.page("/console/events").await;
        assert_eq!(reads(&page), 1, "only the producer's: {page}");
        assert!(page.contains("reads of this log included"), "the chart says what it counts: {page}");
        let page = world.page("/console/events?reads=shown").await;
        assert!(reads(&page) > 1 && page.contains(r#"name="reads" value="shown" checked"#), "{page}");
        let page = world.page(&format!("/console/events/{id}")).await;
        assert!(
            page.contains("<code>token/0123456789AB</code>") && page.contains("A producer sent this event"),
            "{page}"
        );
        let others = link(&page, "recordedBy=").unwrap();
        assert_eq!(listed(&world.page(&others).await), [id.as_str()], "{others}");
        let page = world.page("/console/events?recordedBy=annals&type=audit.read").await;
        let own = listed(&page);
        assert!(own.len() >= 2 && !own.contains(id), "{page}");
        let page = world.page(&format!("/console/events/{}", own[0])).await;
        assert!(page.contains("Annals itself: this is one of its own events."), "{page}");
        let (status, page) = world.get("/console/events?recordedBy=somebody").await;
        assert_eq!(status, 422);
        assert!(
            page.contains("Recorded by must be annals, platform, platform/ or token/ and the id of a token"),
            "{page}"
        );
    });
}

#[test]
fn the_parts_of_an_export_contain_every_matching_event() {
    in_virtual_time(async {
        let mut world = World::new().await;
        for number in 0..90 {
            let ballast = format!("\"{}", "x".repeat(200_000));
            world.append(vec![sample::body_with(&format!("n{}", number % 2), &ballast)]).await;
            world.clock.jump(Duration::from_secs(60));
        }
        world.sign_in().await;
        for (format, query) in
            [("ndjson", "range=all&"), ("csv", "range=7d&entityId=n1&"), ("csv", "until=2000-01-01&")]
        {
            let before = world.lines().await;
            let (mut whole, mut names, mut parts) = (String::new(), Vec::new(), 0);
            let mut path = Some(format!("/console/events/export?{query}format={format}"));
            while let Some(href) = path {
                let plan = world.page(&href).await;
                parts += 1;
                if let Some(file) = link(&plan, "download=") {
                    // Other events are recorded meanwhile.
                    world.append(vec![sample::body("n1")]).await;
                    let answer = world.send(Arc::clone(&world.store), &file).await;
                    let headers = answer.headers().clone();
                    names.push(headers[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned());
                    let content = answer.into_body().collect().await.unwrap().to_bytes();
                    // Lambda's limit: the answer as a JSON string.
                    let json = Value::from(String::from_utf8(content.to_vec()).unwrap()).to_string();
                    assert!(json.len() < 6_000_000, "{}", json.len());
                    whole += std::str::from_utf8(&content).unwrap();
                }
                path = link(&plan, "Continue with part");
                assert_eq!(path.is_some(), plan.contains("There are more events"));
            }
            match (format, query) {
                ("ndjson", _) => {
                    let expected: String = before.iter().map(|line| format!("{}\n", line.text)).collect();
                    assert!(whole == expected, "{} and {} bytes", whole.len(), expected.len());
                    assert!(parts >= 5, "{parts}");
                    names.dedup();
                    assert_eq!(names.len(), parts);
                    assert!(names[0].starts_with("attachment; filename=\"acme-events-2026-"), "{names:?}");
                    assert!(names[1].ends_with("-part-2.ndjson\""), "{names:?}");
                }
                (_, "until=2000-01-01&") => assert_eq!((parts, whole.as_str()), (1, "")),
                _ => {
                    assert_eq!(whole.matches("\u{feff}sequence,eventId,").count(), parts, "each part is a table");
                    let rows = whole.matches("mock_api.update").count();
                    let matching = |line: &&Line| line.text.contains("\"id\":\"n1\"");
                    assert_eq!(rows, before.iter().filter(matching).count());
                }
            }
        }
    });
}

#[test]
fn every_fault_has_a_page_and_a_status_and_is_not_recorded_as_a_read() {
    in_virtual_time(async {
        let mut world = World::new().await;
        world.append(vec![sample::body("a")]).await;
        let old = world.lines().await.last().unwrap().id;
        for _ in 0..8 {
            world.clock.jump(24 * HOUR);
            world.api(Arc::clone(&world.store)).log.maintain(&world.acme.id).await.unwrap();
        }
        world.append(vec![sample::body("b")]).await;
        let event = world.lines().await.last().unwrap().clone();
        world.sign_in().await;
        for (path, status, message) in [
            ("/console/events?since=yesterday", 422, "From is not a date and time."),
            ("/console/events?until=2026-01-01&since=2026-01-02", 422, "To must be later than From."),
            ("/console/events?pageSize=7", 422, "pageSize is not a parameter of this page."),
            ("/console/events?from=x", 422, "from is not an event"),
            ("/console/events?from=AaICssV7cACAAAAAAeCKzA", 422, "from is not an event of your organisation."),
            ("/console/events/export?format=pdf", 422, "format must be ndjson or csv."),
            ("/console/events/export", 422, "format must be ndjson or csv."),
            ("/console/events/nonsense", 404, "Event not found"),
            ("/console/events/AaICssV7cACAAAAAAeCKzA", 404, "Event not found"),
            ("/console/events/AaICssV7cACAAAAAAeCKzA/json", 404, "Event not found"),
            (&format!("/console/events/{}", old.short()), 410, "This event has expired"),
            (&format!("/console/events?from={}", old.short()), 410, "This event has expired"),
        ] {
            let (answer, page) = world.get(path).await;
            assert_eq!(answer, status, "{path}");
            assert!(page.contains(message), "{path}: {page}");
        }
        assert_eq!(world.reads().await.len(), 0);

        let page = world.page(&format!("/console/events/{}", event.id.short())).await;
        assert!(page.contains(&event.id.to_string()));
        let (status, file) = world.get(&format!("/console/events/{}/json", event.id.short())).await;
        assert_eq!((status, file), (StatusCode::OK, format!("{}\n", event.text)));
        world.page("/console/events?q=secret").await;
        let reads = world.reads().await;
        let recorded: Vec<_> = reads
            .iter()
            .map(|read| {
                [&read["clientType"], &read["principal"]["name"], &read["payload"]["queryString"]].map(Value::as_str)
            })
            .collect();
        assert_eq!(recorded[2], [Some("UI"), Some("Ada"), Some("q=secret")]);
        assert_eq!(recorded.len(), 3, "each page is one read");
    });
}

#[test]
fn a_page_takes_at_most_one_round_trip_more_than_the_api_calls() {
    in_virtual_time(async {
        let mut world = World::new().await;
        for number in 0..600 {
            world.append(vec![sample::body(&format!("n{}", number % 2))]).await;
            world.clock.jump(HOUR / 4);
        }
        world.sign_in().await;
        let input = TokenInput::parse(br#"{"name":"SIEM","role":"auditor"}"#, world.clock.now()).unwrap();
        let administration = world.api(Arc::clone(&world.store)).administration;
        let (_, token) = administration.create_token(&world.acme, input, &platform()).await.unwrap();
        let slow = LatencyStore::new(Arc::clone(&world.store), world.clock.clone() as Arc<dyn Clock>, LATENCY, None);
        let event = world.lines().await[300].id.short();
        let now = world.clock.now();
        let trips = async |path: &str| {
            let begun = world.clock.elapsed();
            let is_page = path.starts_with("/console");
            let answer = if is_page {
                world.send(Arc::clone(&slow), path).await
            } else {
                let authorization = format!("Bearer {}", token.reveal());
                let request =
                    Request::get(path).header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap();
                annals_api::router(world.api(Arc::clone(&slow))).oneshot(request).await.unwrap()
            };
            assert_eq!(answer.status(), 200, "{path}");
            (world.clock.elapsed() - begun).as_micros() / LATENCY.as_micros()
        };
        for (range, hours) in [("1h", 1), ("24h", 24), ("7d", 168)] {
            for filter in ["", "&entityId=n1"] {
                let since = now.minus(HOUR * hours);
                let page = trips(&format!("/console/events?range={range}{filter}")).await;
                let audit = trips(&format!("/audit?since={since}&sort=desc&pageSize=50{filter}")).await;
                let stats = trips(&format!("/audit/stats?since={since}&interval=hour{filter}")).await;
                println!("{range}{filter}: {page} round trips; of the API's calls {audit} and {stats}");
                assert!(page <= audit.max(stats) + 1, "{range}{filter}: {page}, {audit}, {stats}");
            }
        }
        let (page, call) = (trips(&format!("/console/events/{event}")).await, trips(&format!("/audit/{event}")).await);
        println!("an event: {page} round trips; of the API's call {call}");
        assert!(page <= call + 1, "{page}, {call}");
    });
}
