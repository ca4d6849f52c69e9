//! The API on stores and buckets in memory, in virtual time and with seeded randomness, so that answers are the same
//! bytes each time, and a record of all calls.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use annals_core::{
    administration::{Actor, Administration},
    admission::rate_limiter::{Rate, RateLimits},
    caller::Caller,
    delivery::{
        queue::ShipQueue,
        ship::{ShipPolicy, Shipping},
    },
    destination::connection_test::TEST_OBJECT_NAME,
    event::Context,
    log::tail::Hazard,
    organisation::OrganisationId,
    portal::{PortalLinkInput, User},
    proof::{signer::SignerFault, store::ProofStore},
    registry::Registry,
    service::ServiceSettings,
    time::Clock as _,
    token::{Role, TokenHash},
};
use annals_http::{Services, console::Embedding};
use annals_test_connection::TestConnectionState;
use annals_tests::{
    bucket::MemoryBuckets,
    clock::PausedClock,
    deployment::PLATFORM_TOKEN,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    memory::MemoryStore,
    queue::MemoryQueue,
    sample::START,
    shipping::world::maintain,
    signer::MemorySigner,
};
use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::document::Described;

/// A call as an example shows it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) id: String,
    pub(crate) path: String,
    /// In lower case.
    pub(crate) method: String,
    /// The name of the example. Problems have their code as a name.
    pub(crate) name: String,
    /// The body and the media type of the request, if the example shows them.
    pub(crate) sent: Option<(String, Value)>,
    pub(crate) status: u16,
    /// The body of the answer, and its media type without parameters.
    pub(crate) answered: Option<(String, Value)>,
}

/// A call to be made.
#[derive(Debug)]
pub(crate) struct Ask {
    operation: Described,
    name: String,
    token: Option<String>,
    path: BTreeMap<&'static str, String>,
    query: String,
    headers: Vec<(&'static str, String)>,
    media_type: &'static str,
    body: Sent,
}

#[derive(Debug)]
enum Sent {
    Nothing,
    Json(Value),
    Text(String),
    /// So many spaces.
    Spaces(usize),
    /// A truncated body.
    CutOff,
}

impl Ask {
    pub(crate) fn by(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn by_nobody(mut self) -> Self {
        self.token = None;
        self
    }

    /// What the example is called.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(crate) fn at(mut self, parameter: &'static str, value: &str) -> Self {
        self.path.insert(parameter, value.to_owned());
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Sent::Json(body);
        self
    }

    pub(crate) fn text(mut self, media_type: &'static str, body: &str) -> Self {
        (self.media_type, self.body) = (media_type, Sent::Text(body.to_owned()));
        self
    }

    pub(crate) fn spaces(mut self, count: usize) -> Self {
        self.body = Sent::Spaces(count);
        self
    }

    pub(crate) fn cut_off(mut self) -> Self {
        self.body = Sent::CutOff;
        self
    }

    fn request(&self) -> Request<Body> {
        let mut target = self.operation.path.clone();
        for (name, value) in &self.path {
            target = target.replace(&format!("{{{name}}}"), value);
        }
        if !self.query.is_empty() {
            target = format!("{target}?{}", self.query);
        }
        let mut request = Request::builder()
            .method(self.operation.method.as_str())
            .uri(target)
            .header(header::HOST, "audit.example.com")
            .header("x-forwarded-proto", "https")
            .header(header::USER_AGENT, "curl/8.5.0")
            .extension(ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 50_000))));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !matches!(self.body, Sent::Nothing) {
            request = request.header(header::CONTENT_TYPE, self.media_type);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = match &self.body {
            Sent::Nothing => Body::empty(),
            Sent::Json(value) => Body::from(value.to_string()),
            Sent::Text(text) => Body::from(text.clone()),
            Sent::Spaces(count) => Body::from(" ".repeat(*count)),
            Sent::CutOff => Body::from_stream(futures_util::stream::iter([
                Ok("{"),
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            ])),
        };
        request.body(body).unwrap()
    }

    fn sent(&self) -> Option<(String, Value)> {
        let body = match &self.body {
            Sent::Json(value) => value.clone(),
            Sent::Text(text) => text.as_str().into(),
            Sent::Nothing | Sent::Spaces(_) | Sent::CutOff => return None,
        };
        Some((self.media_type.to_owned(), body))
    }
}

const SIGNING_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

pub(crate) struct World {
    pub(crate) operations: Vec<Described>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) buckets: Arc<MemoryBuckets>,
    /// Values of path parameters, unless an [`Ask`] says otherwise.
    pub(crate) defaults: BTreeMap<&'static str, String>,
    pub(crate) store: Arc<MemoryStore>,
    administration: Administration,
    clock: Arc<PausedClock>,
    condition: Arc<Mutex<Option<Fault>>>,
    router: Router,
    /// The same with the lowest rate limits.
    strict: Router,
    /// The same without a signing key.
    unsigned: Router,
    /// Makes a router that has used its signing key for nothing yet.
    cold: Box<dyn Fn() -> Router>,
    signer: Arc<MemorySigner>,
    shipping: Shipping,
    queue: Arc<MemoryQueue>,
}

impl World {
    pub(crate) fn new(operations: Vec<Described>) -> Self {
        let clock = PausedClock::new(START);
        let entropy = SeededEntropy::new(7);
        let condition = Arc::new(Mutex::new(None));
        let memory = Arc::new(MemoryStore::new());
        let store = FaultyStore::new(Arc::clone(&memory), {
            let condition = Arc::clone(&condition);
            move |_| *condition.lock().unwrap()
        });
        let service = ServiceSettings {
            region: Some("us-east-1".parse().unwrap()),
            ..ServiceSettings::of("111122223333".parse().unwrap())
        };
        let platform = TokenHash::of(PLATFORM_TOKEN);
        let api = Services::new(Arc::clone(&store), clock.clone(), entropy.fork(), platform, service);
        let signer = MemorySigner::new();
        let api = api.with_rate_limits(RateLimits::NONE);
        let buckets = MemoryBuckets::new(clock.clone(), "us-east-1".parse().unwrap());
        let signing = {
            let (signer, store, clock) = (Arc::clone(&signer), Arc::clone(&store), clock.clone());
            move || signer.signing(SIGNING_KEY, store.clone() as Arc<dyn ProofStore>, clock.clone())
        };
        let sink = buckets.clone();
        let router = move |api: Services| {
            let test = TestConnectionState {
                services: api.clone(),
                embedding: Embedding::default(),
                sink: sink.clone(),
                object_name: TEST_OBJECT_NAME.to_owned(),
            };
            annals_api::router(api).merge(annals_test_connection::add(Router::new()).with_state(test))
        };
        let one = Rate::new(1, 1).unwrap();
        let limits = RateLimits { organisation: one, platform: one, failed_authentications: one, ..RateLimits::NONE };
        let queue = MemoryQueue::new(clock.clone());
        let shipping = Shipping::new(
            Arc::clone(&api.log),
            Arc::clone(&store) as Arc<dyn Registry>,
            Arc::clone(&queue) as Arc<dyn ShipQueue>,
            buckets.clone(),
            clock.clone(),
            entropy.fork(),
            ShipPolicy::default(),
        )
        .with_signing(Some(signing()));
        let cold = router.clone();
        let administration = api.administration.clone();
        Self {
            administration,
            operations,
            exchanges: Vec::new(),
            router: router(api.clone().with_signing(Some(signing()))),
            strict: router(api.clone().with_signing(Some(signing())).with_rate_limits(limits)),
            unsigned: router(api.clone()),
            cold: Box::new(move || cold(api.clone().with_signing(Some(signing())))),
            signer,
            buckets,
            defaults: BTreeMap::new(),
            store: memory,
            clock,
            condition,
            shipping,
            queue,
        }
    }

    /// A call of the operation with this ID.
    pub(crate) fn ask(&self, operation: &str) -> Ask {
        let found = self.operations.iter().find(|described| described.id == operation);
        Ask {
            operation: found.unwrap_or_else(|| panic!("no operation {operation}")).clone(),
            name: "example".to_owned(),
            token: None,
            path: self.defaults.clone(),
            query: String::new(),
            headers: Vec::new(),
            media_type: "application/json",
            body: Sent::Nothing,
        }
    }

    /// Signs somebody in to an organisation's page and returns the session's id.
    pub(crate) async fn session(&self, organisation: &str) -> String {
        let organisation = self.administration.organisation(&organisation.parse().unwrap()).await.unwrap();
        let user = User { id: "42".into(), name: "Ada Bell".into(), email: Some("ada@northwind.example".into()) };
        let input = PortalLinkInput { role: Role::Admin, user, path: None, return_url: None };
        let actor = Actor { caller: Caller::Platform, context: Context::default() };
        let (_, link) = self.administration.create_portal_link(&organisation, input, &actor).await.unwrap();
        let opened = self.administration.open_portal_link(link.reveal(), Context::default()).await;
        opened.unwrap().0.id().to_string()
    }

    pub(crate) fn wait(&self, duration: Duration) {
        self.clock.jump(duration);
    }

    /// Lets all events expire and be deleted.
    pub(crate) async fn outlive(&self, organisation: &str, duration: Duration) {
        let end = self.clock.now().plus(duration);
        while self.clock.now() < end {
            self.wait(Duration::from_secs(24 * 60 * 60));
            maintain(&self.shipping, self.clock.now()).await.unwrap();
        }
        let id: OrganisationId = organisation.parse().unwrap();
        self.store.expire(self.clock.now(), |of, _| *of == id);
    }

    pub(crate) async fn tick(&self) {
        self.shipping.plan().await.unwrap();
        for message in self.queue.receive(10) {
            self.shipping.ship(message.order()).await.unwrap();
            self.queue.delete(message.number);
        }
    }

    /// Ticks while the signing key cannot be used.
    pub(crate) async fn tick_unsigned(&self) {
        self.signer.set_fault(SIGNING_KEY, Some(SignerFault::Denied));
        self.tick().await;
        self.signer.set_fault(SIGNING_KEY, None);
    }

    /// Makes a call and keeps it as an example unless there is one of that name. Returns the body of the answer.
    pub(crate) async fn show(&mut self, ask: Ask, status: u16) -> Value {
        let answered = Self::call(&self.router, &ask).await;
        self.keep(ask, status, answered)
    }

    /// Makes a call that may have any of `statuses`, and returns the status.
    pub(crate) async fn try_show(&mut self, ask: Ask, statuses: &[u16]) -> u16 {
        let answered = Self::call(&self.router, &ask).await;
        let status = answered.0;
        assert!(statuses.contains(&status), "{answered:?}");
        self.keep(ask, status, answered);
        status
    }

    /// Gets the OpenAPI document and keeps its beginning as an example.
    pub(crate) async fn show_description(&mut self) {
        let ask = self.ask("getOpenapi");
        let (status, mut answered) = Self::call(&self.router, &ask).await;
        if let Some((_, document)) = &mut answered {
            document["info"] = json!({"title": document["info"]["title"], "version": document["info"]["version"]});
            document["paths"] = json!({});
            let members = document.as_object_mut().unwrap();
            members.retain(|name, _| ["openapi", "info", "paths"].contains(&&**name));
        }
        self.keep(ask, 200, (status, answered));
    }

    /// Gets a page for people and keeps its beginning as an example: the reference would contain itself.
    pub(crate) async fn show_page(&mut self, ask: Ask) {
        let (status, mut answered) = Self::call(&self.router, &ask).await;
        if let Some((_, Value::String(page))) = &mut answered {
            page.truncate(page.floor_char_boundary(80));
            page.push('…');
        }
        self.keep(ask, 200, (status, answered));
    }

    /// Makes a call while every call of the store has `fault`.
    pub(crate) async fn show_under(&mut self, fault: Fault, ask: Ask, status: u16) -> Value {
        *self.condition.lock().unwrap() = Some(fault);
        let answered = Self::call(&(self.cold)(), &ask).await;
        *self.condition.lock().unwrap() = None;
        self.keep(ask, status, answered)
    }

    /// Makes a call while no log can be used safely.
    pub(crate) async fn show_hazard(&mut self, hazard: Hazard, ask: Ask) {
        self.show_under(Fault::Unsafe(hazard), ask, 503).await;
    }

    /// Makes a call while the signing key cannot be used.
    pub(crate) async fn show_unsigned(&mut self, ask: Ask, status: u16) -> Value {
        self.signer.set_fault(SIGNING_KEY, Some(SignerFault::Unavailable));
        let answered = Self::call(&(self.cold)(), &ask).await;
        self.signer.set_fault(SIGNING_KEY, None);
        self.keep(ask, status, answered)
    }

    /// Makes a call to a deployment without a signing key.
    pub(crate) async fn show_without_signing(&mut self, ask: Ask, status: u16) -> Value {
        let answered = Self::call(&self.unsigned, &ask).await;
        self.keep(ask, status, answered)
    }

    /// Repeats a call until the rate limit refuses it.
    pub(crate) async fn show_too_often(&mut self, ask: Ask) {
        for _ in 0..10 {
            let answered = Self::call(&self.strict, &ask).await;
            if answered.0 == 429 {
                self.keep(ask, 429, answered);
                return;
            }
        }
        panic!("{} may be asked as often as one likes", ask.operation.id);
    }

    async fn call(router: &Router, ask: &Ask) -> (u16, Option<(String, Value)>) {
        let response = router.clone().oneshot(ask.request()).await.unwrap();
        let status = response.status().as_u16();
        let media_type = response.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if body.is_empty() {
            return (status, None);
        }
        let media_type = media_type.unwrap().split(';').next().unwrap().to_owned();
        let is_json = media_type.ends_with("json") && media_type != "application/x-ndjson";
        let mut value = if is_json { serde_json::from_str(&body).unwrap() } else { Value::from(body) };
        if let Some(commit) = value.get_mut("commit") {
            // The build names its own, and the description is the same for all of them.
            *commit = "0123456789abcdef0123456789abcdef01234567".into();
        }
        (status, Some((media_type, value)))
    }

    fn keep(&mut self, ask: Ask, expected: u16, (status, answered): (u16, Option<(String, Value)>)) -> Value {
        let what = format!("{} {} {:?}", ask.operation.id, ask.query, ask.path);
        assert_eq!(status, expected, "{what}: {answered:?}");
        let body = answered.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
        let code = body["code"].as_str().filter(|_| status >= 400);
        let name = code.unwrap_or(&ask.name).to_owned();
        let is_kept = |kept: &Exchange| {
            let media_type = |answered: &Option<(String, Value)>| answered.as_ref().map(|(name, _)| name.clone());
            kept.id == ask.operation.id
                && (kept.status, &kept.name) == (status, &name)
                && media_type(&kept.answered) == media_type(&answered)
        };
        if !self.exchanges.iter().any(is_kept) {
            self.exchanges.push(Exchange {
                sent: ask.sent().filter(|_| status < 400),
                id: ask.operation.id,
                path: ask.operation.path,
                method: ask.operation.method.to_lowercase(),
                name,
                status,
                answered,
            });
        }
        body
    }

    /// Whether an operation has an example of the problem with this code.
    pub(crate) fn has_shown(&self, operation: &str, code: &str) -> bool {
        self.exchanges.iter().any(|kept| kept.id == operation && kept.name == code && kept.status >= 400)
    }
}
