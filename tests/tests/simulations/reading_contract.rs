//! What `infra/docs/reading.md` promises of pages, cursors, filters and counts, where it takes another clock, another
//! store or more events than a running system gives at once.

use std::{sync::Arc, time::Duration};

use annals_api::router;
use annals_core::{
    audit::{
        Audit, AuditError, PageRequest, Shape, Start,
        filter::{Filter, SearchText},
        stats::{By, Interval, StatsRequest},
    },
    event::{Body, Layout, parse},
    format::Format,
    log::{
        Log,
        append::AppendPolicy,
        segment::Line,
        store::{LogStore, Order},
    },
    organisation::{Organisation, OrganisationInput},
    recorded_by::RecordedBy,
    time::Clock as _,
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use annals_tests::{
    clock::PausedClock,
    deployment::platform,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    memory::MemoryStore,
    model::in_virtual_time,
    sample,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::util::ServiceExt as _;

/// A log in memory with a clock that tests control.
struct World {
    clock: Arc<PausedClock>,
    store: Arc<MemoryStore>,
    log: Arc<Log>,
    acme: Organisation,
    entropy: Arc<SeededEntropy>,
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = PausedClock::new(sample::START);
        let entropy = SeededEntropy::new(seed);
        let store = Arc::new(MemoryStore::new().with_page(7));
        let log = Arc::new(Log::new(
            Arc::clone(&store) as Arc<dyn LogStore>,
            clock.clone(),
            entropy.fork(),
            AppendPolicy::default(),
        ));
        Self { clock, store, log, acme: sample::organisation("acme"), entropy }
    }

    fn audit(&self) -> Audit {
        Audit::new(Arc::clone(&self.log))
    }

    async fn append(&self, bodies: Vec<Body>) {
        self.log.append(&self.acme, bodies, None).await.unwrap();
        self.clock.jump(Duration::from_secs(60));
    }

    /// All pages from `request` on: what they show, how many they are, and what comes to an end.
    async fn follow(&self, mut request: PageRequest) -> (Vec<Line>, usize) {
        let (mut lines, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.audit().page(&self.acme, &request, &sample::reader()).await.unwrap();
            assert!(page.lines.len() <= request.page_size);
            assert_eq!(page.lines.len(), page.shown.len());
            lines.extend(page.lines);
            pages += 1;
            let Some(next) = page.next else { return (lines, pages) };
            request = PageRequest { start: Start::From(next), through: page.through, skip: page.skip, ..request };
        }
    }
}

fn body(action: &str, entity: &str, principal: &str, note: &str) -> Body {
    let event = json!({
        "action": action,
        "entity": {"id": entity, "name": "x", "entityType": "MOCK_API"},
        "principal": {"id": principal, "name": "x", "entityType": "USER"},
        "payload": {"note": note},
    });
    parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0)
}

#[test]
fn whatever_is_asked_for_following_next_shows_exactly_what_matches() {
    for seed in 0..80 {
        in_virtual_time(async move {
            let world = World::new(seed);
            let entropy = &world.entropy;
            let pick = |texts: &[&'static str]| *entropy.pick(texts);
            for _ in 0..entropy.between(1, 12) {
                let bodies = (0..entropy.between(1, 40)).map(|_| {
                    body(
                        pick(&["CREATE", "UPDATE", "DELETE"]),
                        pick(&["a", "b", "c"]),
                        pick(&["7", "42"]),
                        pick(&["one", "Two", "three and TWO"]),
                    )
                });
                let bodies = bodies.collect();
                world.append(bodies).await;
            }
            for _ in 0..6 {
                let some = |values: &[&str]| -> Vec<String> {
                    values.iter().filter(|_| entropy.happens(0.3)).map(|value| (*value).to_owned()).collect()
                };
                let filter = Filter {
                    types: some(&["mock_api.create", "mock_api.update", "audit.read"]),
                    excluded_types: some(&["audit.read", "mock_api.delete"]),
                    excluded_own_types: some(&["audit.read", "mock_api.create"]),
                    actions: some(&["CREATE", "READ"]),
                    entity_types: some(&["MOCK_API"]),
                    entity_ids: some(&["a", "b"]),
                    principal_ids: some(&["7"]),
                    user_ids: some(&["7", "42"]),
                    recorders: some(&["annals", "platform", "token/0123456789AB"]),
                    outcomes: Vec::new(),
                    occurred_since: None,
                    occurred_until: None,
                    text: entropy.happens(0.3).then(|| SearchText::new("two")),
                };
                let before = world.follow(PageRequest { page_size: 1000, ..PageRequest::default() }).await.0;
                // The read just made is there, too, now.
                let tail = world.log.tail(&world.acme.id).await.unwrap().last;
                let all = world.follow(PageRequest { page_size: 1000, ..PageRequest::default() }).await.0;
                assert_eq!(all.len() as u64, tail);
                let time = || entropy.happens(0.4).then(|| all[entropy.below(all.len())].recorded_at);
                let (one, other) = (time(), time());
                let (since, until) = match (one, other) {
                    (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
                    other => other,
                };
                let order = *entropy.pick(&[Order::Ascending, Order::Descending]);
                let start = *entropy.pick(&[
                    Start::Edge,
                    Start::From(before[entropy.below(before.len())].id),
                    Start::After(before[entropy.below(before.len())].id),
                ]);
                let page_size = usize::try_from(entropy.between(1, 30)).unwrap();
                let skip = *entropy.pick(&[0, 0, 1, 5, 1000]);
                let request =
                    PageRequest { start, since, until, filter, skip, order, page_size, ..PageRequest::default() };
                let tail = world.log.tail(&world.acme.id).await.unwrap().last;
                let contents = world.store.journal(&world.acme.id);
                let lines: Vec<Line> =
                    contents.into_iter().flat_map(|one| one.lines(&world.acme.id).unwrap()).collect();
                let expected = expected(&request, lines, tail);
                let (found, _) = world.follow(request.clone()).await;
                let sequences = |lines: &[Line]| lines.iter().map(Line::sequence).collect::<Vec<_>>();
                assert_eq!(sequences(&found), sequences(&expected), "seed {seed}: {request:?}");
            }
        });
    }
}

/// What a request shows of a log, worked out the simple way.
fn expected(request: &PageRequest, mut lines: Vec<Line>, tail: u64) -> Vec<Line> {
    let descending = request.order == Order::Descending;
    lines.retain(|line| {
        let sequence = line.sequence();
        let from_start = match (request.start, descending) {
            (Start::Edge, _) => true,
            (Start::From(id), false) => sequence >= id.sequence(),
            (Start::After(id), false) => sequence > id.sequence(),
            (Start::From(id), true) => sequence <= id.sequence(),
            (Start::After(id), true) => sequence < id.sequence(),
        };
        from_start
            && sequence <= tail
            && request.since.is_none_or(|since| line.recorded_at >= since)
            && request.until.is_none_or(|until| line.recorded_at < until)
            && request.filter.matches(&line.text, line.recorded_at)
    });
    if descending {
        lines.reverse();
    }
    lines.into_iter().skip(usize::try_from(request.skip).unwrap()).collect()
}

#[test]
fn a_filter_that_leaves_little_stops_after_a_bounded_amount_of_work_and_leads_on() {
    in_virtual_time(async {
        let world = World::new(1);
        for _ in 0..25 {
            world.append(vec![body("UPDATE", "a", "7", "usual"); 1000]).await;
        }
        world.append(vec![body("DELETE", "b", "42", "rare")]).await;
        let filter = Filter { actions: vec!["DELETE".into()], ..Filter::default() };
        let request = PageRequest { filter, ..PageRequest::default() };
        let first = world.audit().page(&world.acme, &request, &sample::reader()).await.unwrap();
        assert!(first.lines.is_empty() && first.next.is_some(), "nothing was found so far");
        assert_eq!(first.next.unwrap().sequence(), 10_001, "where the next page looks on");
        for order in [Order::Ascending, Order::Descending] {
            let (lines, pages) = world.follow(PageRequest { order, ..request.clone() }).await;
            assert_eq!(lines.len(), 1, "{order:?}");
            assert_eq!(pages, 3, "{order:?}");
        }
        let (none, pages) = world.follow(PageRequest { skip: 1, ..request }).await;
        assert!(none.is_empty() && pages == 3, "what is passed over is counted across pages");
    });
}

#[test]
fn long_events_make_short_pages_that_lead_on() {
    in_virtual_time(async {
        let world = World::new(1);
        for number in 0..60 {
            world.append(vec![body("UPDATE", &number.to_string(), "7", &"\"x\" ".repeat(30_000))]).await;
        }
        for shape in
            [Shape::View, Shape::Format(Format::Lines), Shape::Format(Format::Ocsf), Shape::Format(Format::Csv)]
        {
            let request = PageRequest { shape, ..PageRequest::default() };
            let page = world.audit().page(&world.acme, &request, &sample::reader()).await.unwrap();
            // As Lambda takes it: a JSON string.
            let answer: usize = page.shown.iter().map(|text| Value::from(text.as_str()).to_string().len()).sum();
            assert!(answer < 5 * 1024 * 1024 && page.next.is_some(), "{shape:?}: {answer}");
            let excluded_types = vec!["audit.read".into()];
            let filter = Filter { excluded_types, ..Filter::default() };
            let (lines, pages) = world.follow(PageRequest { filter, ..request }).await;
            assert_eq!(lines.len(), 60, "{shape:?}");
            assert!(pages > 1, "{shape:?}");
        }
    });
}

#[test]
fn counts_of_parts_add_up() {
    in_virtual_time(async {
        let world = World::new(1);
        for number in 0..60 {
            let action = if number % 2 == 0 { "CREATE" } else { "DELETE" };
            world.append(vec![body(action, "a", "7", "x"); 900]).await;
        }
        let mut request = StatsRequest {
            since: sample::START,
            until: world.clock.now(),
            from: None,
            through: None,
            interval: Interval::Hour,
            by: By::Action,
            filter: Filter { excluded_types: vec!["audit.read".into()], ..Filter::default() },
        };
        let (mut total, mut creates, mut parts, mut last) = (0, 0, 0, 0);
        loop {
            let stats = world.audit().stats(&world.acme, &request, &sample::reader()).await.unwrap();
            for count in &stats.intervals {
                assert_eq!(*count.sequences.start(), last + 1, "one goes on where the other ended");
                last = *count.sequences.end();
                total += count.total;
                creates += count.counts.get("CREATE").copied().unwrap_or(0);
            }
            parts += 1;
            let Some(next) = stats.next else { break };
            request = StatsRequest { from: Some(next), through: stats.through, ..request };
        }
        assert_eq!((total, creates, parts), (54_000, 27_000, 2));
    });
}

#[test]
fn a_read_that_cannot_be_recorded_is_not_answered() {
    in_virtual_time(async {
        let world = World::new(1);
        world.append(vec![body("UPDATE", "a", "7", "x")]).await;
        let store = FaultyStore::new(Arc::clone(&world.store), |call| (call.name == "commit").then_some(Fault::Unsent));
        let log = Log::new(store, world.clock.clone(), world.entropy.fork(), AppendPolicy::default());
        let audit = Audit::new(Arc::new(log));
        let request = PageRequest::default();
        let page = audit.page(&world.acme, &request, &sample::reader()).await;
        assert!(matches!(page, Err(AuditError::Record(_))), "{page:?}");
        assert_eq!(world.log.tail(&world.acme.id).await.unwrap().last, 1);
    });
}

#[test]
fn an_expired_cursor_is_a_410_that_names_the_oldest_event() {
    in_virtual_time(async {
        let world = World::new(1);
        let service = sample::service();
        let nobody = TokenHash([0; 32]);
        let api = Services::new(Arc::clone(&world.store), world.clock.clone(), world.entropy.fork(), nobody, service);
        let input = OrganisationInput::parse(br#"{"name":"Acme","plan":"enterprise"}"#).unwrap();
        api.administration.put_organisation(&world.acme.id, input, &platform()).await.unwrap();
        let acme = api.administration.organisation(&world.acme.id).await.unwrap();
        let input = TokenInput { name: "SIEM".into(), role: Role::Auditor, expires_at: None };
        let (_, token) = api.administration.create_token(&acme, input, &platform()).await.unwrap();
        let get = async |query: &str| {
            let request = Request::builder()
                .uri(format!("/audit?{query}"))
                .header("authorization", format!("Bearer {}", token.reveal()))
                .body(axum::body::Body::empty())
                .unwrap();
            let answer = router(api.clone()).oneshot(request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        };
        let (_, page) = get("pageSize=1").await;
        let first = page["events"][0]["uuid"].as_str().unwrap().to_owned();
        let end = world.clock.now().plus(acme.retention.duration());
        while world.clock.now() <= end {
            world.clock.jump(Duration::from_secs(24 * 60 * 60));
            api.log.maintain(&acme.id).await.unwrap();
        }
        let receipt = api.log.append(&acme, vec![sample::body("late")], None).await.unwrap();
        let oldest = receipt.ids().next().unwrap();
        let tail = api.log.tail(&acme.id).await.unwrap().last;
        for name in ["from", "after"] {
            let (status, problem) = get(&format!("{name}={first}")).await;
            assert_eq!(status, StatusCode::GONE, "{problem}");
            assert_eq!((&problem["code"], &problem["oldest"]), (&json!("expired"), &json!(oldest.short())));
            assert!(problem["detail"].as_str().unwrap().contains(&format!("from={}", oldest.short())), "{problem}");
        }
        assert_eq!(api.log.tail(&acme.id).await.unwrap().last, tail, "nothing is recorded");
        assert_eq!(get(&format!("from={}", oldest.short())).await.0, StatusCode::OK);
    });
}
