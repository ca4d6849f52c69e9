//! The usage by activity. Calls are counted where they leave the SDK, request units as DynamoDB reports them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use annals_cloud::Endpoints;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use serde::Deserialize;

/// The items with a price in `infra/prices.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Item {
    ApiRequest,
    Invocation,
    GigabyteSecond,
    LoggedGigabyte,
    WriteUnit,
    ReadUnit,
    StoredGigabyteMonth,
    RecoverableGigabyteMonth,
    QueueRequest,
    SentGigabyte,
    AssumedRole,
    Signature,
    SigningKeyMonth,
    ObjectPut,
}

impl Item {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 14] = [
        Self::ApiRequest,
        Self::Invocation,
        Self::GigabyteSecond,
        Self::LoggedGigabyte,
        Self::WriteUnit,
        Self::ReadUnit,
        Self::StoredGigabyteMonth,
        Self::RecoverableGigabyteMonth,
        Self::QueueRequest,
        Self::SentGigabyte,
        Self::AssumedRole,
        Self::Signature,
        Self::SigningKeyMonth,
        Self::ObjectPut,
    ];
}

/// The activities that cause usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Activity {
    /// Setup of the sample: not counted.
    Preparing,
    Recording,
    /// SIEMs that poll.
    Polling,
    /// People who look.
    Viewing,
    Delivering,
    /// Once a day.
    Maintaining,
    /// Storage of written data until it expires.
    Keeping,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    pub(crate) items: BTreeMap<Item, f64>,
    /// Calls of DynamoDB, which is paid by units.
    pub(crate) database_calls: f64,
}

impl Usage {
    pub(crate) fn of(&self, item: Item) -> f64 {
        self.items.get(&item).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, other: &Self, factor: f64) {
        for (item, amount) in &other.items {
            *self.items.entry(*item).or_default() += amount * factor;
        }
        self.database_calls += other.database_calls * factor;
    }
}

#[derive(Debug)]
pub(crate) struct Tally(Mutex<State>);

#[derive(Debug)]
struct State {
    activity: Activity,
    used: BTreeMap<Activity, Usage>,
}

impl Tally {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { activity: Activity::Preparing, used: BTreeMap::new() })))
    }

    /// Sets the activity of the usage from now on.
    pub(crate) fn begin(&self, activity: Activity) {
        self.lock().activity = activity;
    }

    pub(crate) fn add(&self, item: Item, amount: f64) {
        *self.lock().current().items.entry(item).or_default() += amount;
    }

    /// The usage of an activity.
    pub(crate) fn of(&self, activity: Activity) -> Usage {
        self.lock().used.get(&activity).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn current(&mut self) -> &mut Usage {
        self.used.entry(self.activity).or_default()
    }
}

/// An HTTP client for the SDK that counts every call, retries included.
#[derive(Debug)]
pub(crate) struct CountingClient {
    pub(crate) inner: SharedHttpClient,
    pub(crate) endpoints: Endpoints,
    pub(crate) tally: Arc<Tally>,
}

impl HttpClient for CountingClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(CountingConnector {
            inner: self.inner.http_connector(settings, components),
            endpoints: self.endpoints.clone(),
            tally: Arc::clone(&self.tally),
        })
    }
}

#[derive(Debug)]
struct CountingConnector {
    inner: SharedHttpConnector,
    endpoints: Endpoints,
    tally: Arc<Tally>,
}

impl HttpConnector for CountingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let at = |endpoint: &str| request.uri().starts_with(endpoint);
        if at(&self.endpoints.dynamodb) {
            self.tally.lock().current().database_calls += 1.0;
        } else if at(&self.endpoints.s3) {
            self.tally.add(Item::ObjectPut, 1.0);
        } else if at(&self.endpoints.sts) {
            self.tally.add(Item::AssumedRole, 1.0);
        } else if at(&self.endpoints.kms) {
            self.tally.add(Item::Signature, 1.0);
        } else {
            self.tally.add(Item::QueueRequest, 1.0);
        }
        self.inner.call(request)
    }
}
