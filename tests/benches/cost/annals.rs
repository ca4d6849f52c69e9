//! Annals itself: the routes, use cases, adapters and the shipper of a deployment, in one warm instance of each
//! function.

use std::{sync::Arc, time::Duration};

use annals_api::router;
use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    kms::KmsSigner,
    sqs::SqsShipQueue,
    system::SystemEntropy,
};
use annals_core::{
    administration::DestinationInput,
    admission::rate_limiter::RateLimits,
    organisation::OrganisationInput,
    proof::signing::{Signing, SigningKey},
    service::ServiceSettings,
    token::{Role, TokenHash, TokenInput},
};
use annals_http::Services;
use annals_shipper::Shipper;
use annals_tests::{capacity::CapacityMeter, deployment::platform};
use async_trait::async_trait;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::util::ServiceExt as _;

use crate::{
    PART,
    company::{COMPANY, Tenant},
    tally::Item,
    test_bed::{Design, TestBed},
};

/// The signing key of the whole company for a day, scaled as maintenance is.
const KEY_MONTHS: f64 = 1.0 / 30.4375 / PART as f64;
const LINES: &str = "application/x-ndjson";
const PAGE: &str = "application/hal+json";

pub(crate) struct Annals {
    test_bed: TestBed,
    tables: Tables,
    meter: CapacityMeter,
    router: Router,
    shipper: Shipper,
    tenants: Vec<Access>,
    posts: u64,
}

struct Access {
    producer: String,
    auditor: String,
    /// Where the SIEM goes on.
    resume: String,
}

impl Annals {
    /// A deployment with these customers, whose first tick is over.
    pub(crate) async fn start(tenants: &[Tenant]) -> Self {
        let test_bed = TestBed::start().await;
        let tables = Tables { log: "log".into(), registry: "registry".into() };
        create_tables(&test_bed.database, &tables).await.unwrap();
        let (client, meter) = CapacityMeter::client(&test_bed.config);
        let store = Arc::new(DynamoStore::new(client, tables.clone()).in_simulated_time());
        let account = test_bed.cloud.account().parse().unwrap();
        let service = ServiceSettings::of(account);
        let entropy = Arc::new(SystemEntropy);
        let clock = test_bed.clock.clone();
        let api = Services::new(Arc::clone(&store), clock.clone(), entropy.clone(), TokenHash([0; 32]), service)
            .with_rate_limits(RateLimits::NONE);
        let queue = SqsShipQueue::new(test_bed.queue.clone(), test_bed.queue_url.clone());
        let reference = test_bed.cloud.create_key("alias/checkpoints", [7; 32]).unwrap();
        let key = SigningKey { name: "annals.example.com".parse().unwrap(), reference };
        let signer = Arc::new(KmsSigner::new(&test_bed.config));
        let signing = Arc::new(Signing::new(key, signer, store.clone(), clock.clone()));
        let shipper =
            Shipper::new(store, Arc::new(queue), Arc::new(test_bed.sink()), clock, entropy).with_signing(Some(signing));
        let mut annals =
            Self { router: router(api.clone()), shipper, tables, meter, tenants: Vec::new(), posts: 0, test_bed };
        for (number, tenant) in tenants.iter().enumerate() {
            let input = json!({"name": format!("Organisation {number}"), "plan": "enterprise"}).to_string();
            let input = OrganisationInput::parse(input.as_bytes()).unwrap();
            let id = format!("organisation-{number}").parse().unwrap();
            api.administration.put_organisation(&id, input, &platform()).await.unwrap();
            let organisation = api.administration.organisation(&id).await.unwrap();
            assert_eq!(u32::from(organisation.retention.days()), COMPANY.retention_days);
            let token = async |role: Role| {
                let input = TokenInput { name: role.as_str().to_owned(), role, expires_at: None };
                let created = api.administration.create_token(&organisation, input, &platform()).await;
                created.unwrap().1.reveal().to_owned()
            };
            let (producer, auditor) = (token(Role::Producer).await, token(Role::Auditor).await);
            let resume = "/audit?pageSize=1000&excludeType=audit.read".to_owned();
            annals.tenants.push(Access { producer, auditor, resume });
            if tenant.polls {
                annals.poll(number).await;
            }
            if tenant.delivers {
                let customer = annals.test_bed.customer(&organisation);
                let input = json!({"bucket": customer.bucket, "roleArn": customer.role_arn}).to_string();
                let input = DestinationInput::parse(input.as_bytes(), &annals_tests::sample::service()).unwrap();
                api.administration.create_destination(&organisation, input, &platform()).await.unwrap();
            }
        }
        annals.tick().await;
        annals
    }

    async fn call(&self, request: Request<Body>) -> (HeaderMap, Bytes) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let headers = answer.headers().clone();
        (headers, answer.into_body().collect().await.unwrap().to_bytes())
    }

    async fn get(&self, path: &str, token: &str, accept: &str) -> HeaderMap {
        let request = Request::get(path)
            .header("host", "audit.example")
            .header("authorization", format!("Bearer {token}"))
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        let (headers, body) = self.call(request).await;
        self.test_bed.answered(0, body.len(), COMPANY.durations.read);
        self.test_bed.sent(body.len());
        headers
    }

    /// Works on all messages of the queue, in invocations that take `lasts` each.
    async fn work(&mut self, lasts: Duration) {
        loop {
            let messages = self.test_bed.receive().await;
            if messages.is_empty() {
                break;
            }
            let records: Vec<Value> = messages
                .iter()
                .map(|message| json!({"messageId": message.message_id, "body": message.body, "attributes": {}}))
                .collect();
            let answer = self.test_bed.pass(self.shipper.handle(json!({ "Records": records }))).await.unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]));
            self.test_bed.shipped(lasts);
            self.test_bed.delete(&messages).await;
        }
    }

    /// Takes over what the store has consumed since the last time.
    fn settle(&self) {
        for table in [&self.tables.log, &self.tables.registry] {
            let consumed = self.meter.of(table);
            self.test_bed.tally.add(Item::WriteUnit, consumed.write_units);
            self.test_bed.tally.add(Item::ReadUnit, consumed.read_units);
        }
        self.meter.reset();
    }
}

#[async_trait]
impl Design for Annals {
    fn test_bed(&self) -> &TestBed {
        &self.test_bed
    }

    async fn record(&mut self, tenant: usize, events: &[Value], keyed: bool) {
        self.posts += 1;
        let body = match events {
            [event] => event.to_string(),
            _ => Value::from(events).to_string(),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/events")
            .header("authorization", format!("Bearer {}", self.tenants[tenant].producer))
            .header("content-type", "application/json");
        if keyed {
            request = request.header("idempotency-key", format!("batch-{:026}", self.posts));
        }
        let bytes = body.len();
        let (_, answer) = self.call(request.body(body.into()).unwrap()).await;
        self.test_bed.answered(bytes, answer.len(), COMPANY.durations.record);
        self.settle();
    }

    async fn poll(&mut self, tenant: usize) {
        loop {
            let access = &self.tenants[tenant];
            let headers = self.get(&access.resume, &access.auditor, LINES).await;
            let next = link(&headers, "next");
            let ended = next.is_none();
            self.tenants[tenant].resume = next.or_else(|| link(&headers, "resume")).unwrap();
            if ended {
                break;
            }
        }
        self.settle();
    }

    async fn view(&mut self, tenant: usize) {
        self.get("/audit?sort=desc&pageSize=100", &self.tenants[tenant].auditor, PAGE).await;
        self.settle();
    }

    async fn tick(&mut self) {
        self.test_bed.pass(self.shipper.plan()).await.unwrap();
        self.test_bed.shipped(COMPANY.durations.plan);
        self.work(COMPANY.durations.ship).await;
        self.settle();
    }

    async fn maintain(&mut self) {
        self.test_bed.pass(self.shipper.handle(json!({"task": "maintain"}))).await.unwrap();
        self.test_bed.shipped(COMPANY.durations.plan);
        self.work(COMPANY.durations.maintain).await;
        self.test_bed.tally.add(Item::SigningKeyMonth, KEY_MONTHS);
        self.settle();
    }

    async fn keep(&mut self) {
        self.test_bed.keep(&self.tables.log, 0.0).await;
        self.test_bed.keep(&self.tables.registry, 0.0).await;
    }
}

/// Where the `Link` header's link of this relation leads to.
fn link(headers: &HeaderMap, relation: &str) -> Option<String> {
    let relation = format!("; rel=\"{relation}\"");
    let links = headers.get_all("link").iter().flat_map(|links| links.to_str().unwrap().split(", "));
    let mut target = links.filter_map(|link| link.strip_suffix(&relation)?.strip_prefix('<')?.strip_suffix('>'));
    let uri: Uri = target.next()?.parse().unwrap();
    Some(uri.path_and_query().unwrap().to_string())
}
