//! Rate limits: the answers, their cost, and that refused requests leave nothing. Through the router in this process,
//! with a clock that the test controls.

use std::{sync::Arc, time::Duration};

use annals_api::router;
use annals_aws::system::SystemEntropy;
use annals_core::{
    admission::{
        KNOWN_FOR, USE_PRECISION,
        rate_limiter::{Rate, RateLimits},
    },
    event::{MAX_EVENT_BYTES, MAX_EVENTS, MAX_REQUEST_BYTES},
    json::{MAX_BODY_BYTES, MAX_DEPTH},
    log::{
        append::{MAX_APPEND_UNITS, MAX_STORED_BYTES},
        rate::AppendLimits,
    },
    organisation::{Organisation, OrganisationInput},
    token::{DEFAULT_OVERLAP, MAX_OVERLAP, MAX_TOKENS, Role, TokenHash, TokenInput},
};
use annals_http::{Services, gateway::MAX_JSON_BYTES};
use annals_tests::{
    clock::VirtualClock,
    deployment::{PLATFORM_TOKEN, platform},
    memory::MemoryStore,
    sample,
};
use axum::{body::Body, response::Response};
use http::{Request, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::fixture::event;

/// An instance of the API.
struct Instance {
    api: Services,
    store: Arc<MemoryStore>,
    clock: Arc<VirtualClock>,
}

impl Instance {
    fn start(limits: RateLimits) -> Self {
        Self::on(Arc::new(MemoryStore::new()), VirtualClock::new(sample::START), limits)
    }

    /// Another instance on the same store.
    fn another(&self) -> Self {
        Self::on(self.store.clone(), self.clock.clone(), RateLimits::NONE)
    }

    fn on(store: Arc<MemoryStore>, clock: Arc<VirtualClock>, limits: RateLimits) -> Self {
        let service = sample::service();
        let platform = TokenHash::of(PLATFORM_TOKEN);
        let api = Services::new(store.clone(), clock.clone(), Arc::new(SystemEntropy), platform, service);
        Self { api: api.with_rate_limits(limits), store, clock }
    }

    async fn organisation(&self, id: &str) -> Organisation {
        let input = OrganisationInput::parse(br#"{"name":"Acme"}"#).unwrap();
        self.api.administration.put_organisation(&id.parse().unwrap(), input, &platform()).await.unwrap();
        self.api.administration.organisation(&id.parse().unwrap()).await.unwrap()
    }

    async fn token(&self, organisation: &Organisation, role: Role) -> String {
        let input = TokenInput { name: "A".into(), role, expires_at: None };
        let (_, text) = self.api.administration.create_token(organisation, input, &platform()).await.unwrap();
        text.reveal().to_owned()
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: String) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body));
        router(self.api.clone()).oneshot(request.unwrap()).await.unwrap()
    }

    async fn read(&self, token: &str) -> Response {
        self.send("GET", "/audit", token, String::new()).await
    }

    async fn post(&self, token: &str, events: usize) -> Response {
        let events: Vec<Value> = (0..events).map(|n| event(&n.to_string())).collect();
        self.send("POST", "/events", token, Value::from(events).to_string()).await
    }

    async fn tail(&self, organisation: &Organisation) -> u64 {
        self.api.log.tail(&organisation.id).await.unwrap().last
    }
}

/// The seconds to wait in a refusal's header.
async fn retry_after(answer: Response) -> u64 {
    let (parts, body) = answer.into_parts();
    assert_eq!(parts.status, 429);
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&body["code"], &body["status"]), (&"too_many_requests".into(), &429.into()));
    let seconds = parts.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(body["detail"].as_str().unwrap().contains(&format!("Wait {seconds} s")), "{body}");
    seconds
}

fn limits(organisation: &str) -> RateLimits {
    RateLimits { organisation: organisation.parse().unwrap(), ..RateLimits::NONE }
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again_and_leave_nothing() {
    let instance = Instance::start(limits("1/3"));
    let (acme, other) = (instance.organisation("acme").await, instance.organisation("other").await);
    let (auditor, producer) = (instance.token(&acme, Role::Auditor).await, instance.token(&acme, Role::Producer).await);
    let others = instance.token(&other, Role::Auditor).await;
    for _ in 0..3 {
        assert_eq!(instance.read(&auditor).await.status(), 200);
    }
    let before = instance.tail(&acme).await;
    for _ in 0..20 {
        assert_eq!(retry_after(instance.read(&auditor).await).await, 1);
        assert_eq!(retry_after(instance.post(&producer, 1).await).await, 1);
        assert_eq!(retry_after(instance.send("GET", "/organisations", &auditor, String::new()).await).await, 1);
    }
    assert_eq!(instance.tail(&acme).await, before, "what is refused is neither done nor recorded");
    assert_eq!(instance.read(&others).await.status(), 200, "another organisation is not slowed down");
    assert_eq!(instance.send("GET", "/health", "", String::new()).await.status(), 200);
    let path = "/organisations/acme/audit";
    assert_eq!(instance.send("GET", path, PLATFORM_TOKEN, String::new()).await.status(), 200, "nor the platform");
    instance.clock.advance(Duration::from_secs(1));
    assert_eq!(instance.post(&producer, 1).await.status(), 201, "who waited as long as was said has room");
    retry_after(instance.read(&auditor).await).await;
}

#[tokio::test]
async fn a_batch_costs_by_its_events_and_the_largest_one_always_passes_sometime() {
    let instance = Instance::start(limits("2/20"));
    let acme = instance.organisation("acme").await;
    let producer = instance.token(&acme, Role::Producer).await;
    assert_eq!(instance.post(&producer, 100).await.status(), 201, "10 units");
    assert_eq!(instance.post(&producer, 109).await.status(), 201, "10 units");
    assert_eq!(retry_after(instance.post(&producer, 1).await).await, 1);
    instance.clock.advance(Duration::from_secs(2));
    let before = instance.tail(&acme).await;
    assert_eq!(
        retry_after(instance.post(&producer, 60).await).await,
        2,
        "it is 2 units short, and asks for its first again"
    );
    assert_eq!(instance.tail(&acme).await, before, "all of a batch, or none");
    instance.clock.advance(Duration::from_secs(2));
    assert_eq!(instance.post(&producer, 60).await.status(), 201);
    instance.clock.advance(Duration::from_secs(60));
    let mut waited = 0;
    loop {
        // It costs more than the token bucket can hold.
        let answer = instance.post(&producer, 1000).await;
        if answer.status() == 201 {
            break;
        }
        let seconds = retry_after(answer).await;
        instance.clock.advance(Duration::from_secs(seconds));
        waited += seconds;
        assert!(waited < 60, "it never passes");
    }
}

#[tokio::test]
async fn a_logs_rate_holds_over_all_instances_and_leaves_readers_and_other_organisations_alone() {
    let instance = Instance::start(RateLimits::NONE);
    let (acme, other) = (instance.organisation("acme").await, instance.organisation("other").await);
    let (auditor, producer) = (instance.token(&acme, Role::Auditor).await, instance.token(&acme, Role::Producer).await);
    let others = instance.token(&other, Role::Producer).await;
    let before = instance.tail(&acme).await;
    let new_instance = || {
        let limits = RateLimits { appends: AppendLimits::default(), ..RateLimits::NONE };
        Instance::on(instance.store.clone(), instance.clock.clone(), limits)
    };
    for number in 0..40 {
        let answer = new_instance().post(&producer, 1).await;
        if number < 12 {
            assert_eq!(answer.status(), 201, "request {number}");
        } else {
            assert_eq!(retry_after(answer).await, 1, "request {number}");
        }
    }
    assert_eq!(instance.tail(&acme).await, before + 12, "nothing of a refused request is recorded");
    assert_eq!(new_instance().read(&auditor).await.status(), 200, "a read is recorded, and has a budget of its own");
    assert_eq!(new_instance().post(&others, 1).await.status(), 201);
    let keyed = async || {
        let request = Request::post("/events").header(header::AUTHORIZATION, format!("Bearer {producer}"));
        let request = request.header("idempotency-key", "a").body(Body::from(event("keyed").to_string()));
        router(new_instance().api).oneshot(request.unwrap()).await.unwrap()
    };
    assert_eq!(retry_after(keyed().await).await, 1);
    instance.clock.advance(Duration::from_secs(1));
    assert_eq!(keyed().await.status(), 201, "who waited as long as was said has room, with the same key");
}

#[test]
fn the_templates_defaults_are_the_codes() {
    const TEMPLATE: &str = include_str!("../../../template.yaml");
    let default = |parameter: &str| {
        let (_, rest) = TEMPLATE.split_once(&format!("\n  {parameter}:\n")).unwrap();
        let (_, rest) = rest.split_once("Default: ").unwrap();
        rest.lines().next().unwrap().parse::<Rate>().unwrap()
    };
    let limits = RateLimits::default();
    assert_eq!(default("OrganisationRate"), limits.organisation);
    assert_eq!(default("PlatformRate"), limits.platform);
    assert_eq!(default("FailedAuthenticationRate"), limits.failed_authentications);
}

#[test]
fn the_documents_numbers_are_the_codes() {
    const DOCUMENT: &str = include_str!("../../../infra/docs/limits.md");
    let limits = RateLimits::default();
    assert_eq!((limits.organisation.to_string(), KNOWN_FOR.as_millis()), ("100/1000".to_owned(), 500));
    assert_eq!((USE_PRECISION.as_secs(), DEFAULT_OVERLAP.as_secs()), (3600, 24 * 3600));
    assert_eq!((MAX_EVENTS, MAX_EVENT_BYTES, MAX_REQUEST_BYTES), (1000, 256 << 10, 4 << 20));
    assert_eq!((MAX_JSON_BYTES, MAX_APPEND_UNITS), (3_000_000, 1000));
    let appends = limits.appends;
    let per_second = |interval: Duration| Duration::from_secs(1).as_micros() / interval.as_micros();
    let at_once = |burst: Duration, interval: Duration| burst.as_micros() / interval.as_micros();
    for text in [
        "100 a second and 1,000 at once",
        &format!(
            "{} appends a second, and {} at once",
            per_second(appends.interval),
            at_once(appends.burst, appends.interval)
        ),
        &format!(
            "{} a second and {} at once",
            per_second(appends.own_interval),
            at_once(appends.own_burst, appends.own_interval)
        ),
        &format!("{} of these pass in a second", per_second(appends.merged_interval)),
        &format!("{} ms for each write unit", appends.unit_interval.as_micros() as f64 / 1000.0),
        "for 500 ms",
        "is updated at most once an hour",
        "(default one day; 0 to 604,800)",
        "4 MiB (413); 1,000 events of 256 KiB; any other body 64 KiB",
        &format!("after compression | {} KiB (413 `batch_too_large`)", MAX_STORED_BYTES >> 10),
        "of `application/json` 3,000,000 bytes",
        &format!("{MAX_DEPTH} levels"),
        &format!("at most {MAX_TOKENS} valid tokens"),
    ] {
        assert!(DOCUMENT.contains(text), "{text}");
    }
    assert_eq!((MAX_OVERLAP.as_secs(), MAX_BODY_BYTES), (604_800, 64 << 10));
}

#[tokio::test]
async fn events_have_an_organisations_new_name_after_half_a_second_at_the_latest() {
    let one = Instance::start(RateLimits::NONE);
    let acme = one.organisation("acme").await;
    let producer = one.token(&acme, Role::Producer).await;
    let other = one.another();
    let name = async |instance: &Instance| {
        assert_eq!(instance.post(&producer, 1).await.status(), 201);
        let tail = instance.api.log.tail(&acme.id).await.unwrap();
        let line = instance.api.log.event(&acme, tail.event_id(&acme.id).unwrap()).await.unwrap();
        let line: Value = serde_json::from_str(&line.text).unwrap();
        line["organisation"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!((name(&one).await, name(&other).await), ("Acme".to_owned(), "Acme".to_owned()));
    let input = OrganisationInput::parse(br#"{"name":"Acme Ltd"}"#).unwrap();
    one.api.administration.put_organisation(&acme.id, input, &platform()).await.unwrap();
    assert_eq!(name(&one).await, "Acme Ltd", "at once in the process that changed it");
    one.clock.advance(KNOWN_FOR - Duration::from_millis(1));
    assert_eq!(name(&other).await, "Acme");
    one.clock.advance(Duration::from_millis(1));
    assert_eq!(name(&other).await, "Acme Ltd");
}
