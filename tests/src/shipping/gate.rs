//! Stands between a process and the world: calls take time, fail, crash or freeze their process, or have something else
//! happen right before them. Calls are counted, so that a sweep can choose each in turn.

use std::{
    fmt,
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    delivery::queue::{NotSent, QueueMessage},
    destination::{
        Delivery, Destination,
        sink::{Call as SinkCall, Object, Reason, SinkError, Stored, Target},
    },
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, Order, StoreError},
    },
    organisation::OrganisationId,
    time::Clock,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::ports::{Below, Decorated, Decorator, Ports};
use crate::{
    entropy::SeededEntropy,
    faulty::{Call, Fault},
};

type Decide = Box<dyn Fn(Call) -> Option<Fault> + Send + Sync>;

/// The ports of a process with faults and delays.
pub struct Gate {
    below: Arc<dyn Ports>,
    clock: Arc<dyn Clock>,
    calls: AtomicU64,
    names: Mutex<Vec<&'static str>>,
    decide: Decide,
    latency: Option<Latency>,
    meanwhile: Mutex<Option<(u64, BoxFuture<'static, ()>)>>,
    crashed: Notify,
    throttled: Mutex<Option<OrganisationId>>,
    /// The number of the call before which the process freezes, if it does.
    freezes_at: AtomicU64,
    frozen: watch::Sender<bool>,
    has_frozen: AtomicBool,
    held: Mutex<Vec<String>>,
}

/// The number of no call.
const NEVER: u64 = u64::MAX;

/// How long calls take until they are done. Answers take no time: their delay would be a part of the next call's.
#[derive(Debug, Clone)]
pub struct Latency {
    pub limit: Duration,
    pub entropy: Arc<SeededEntropy>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Gate {
    /// Stands before `below`. `decide` chooses the fault of each call. Delays run on `clock`.
    #[must_use]
    pub fn new(
        below: Arc<dyn Ports>,
        clock: Arc<dyn Clock>,
        latency: Option<Latency>,
        decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Arc<Decorated<Self>> {
        Arc::new(Decorated(Self {
            below,
            clock,
            calls: AtomicU64::new(0),
            names: Mutex::default(),
            decide: Box::new(decide),
            latency,
            meanwhile: Mutex::default(),
            crashed: Notify::new(),
            throttled: Mutex::default(),
            freezes_at: AtomicU64::new(NEVER),
            frozen: watch::Sender::new(false),
            has_frozen: AtomicBool::new(false),
            held: Mutex::default(),
        }))
    }

    /// Does `work` right before the `nth` call, counted from 1.
    pub fn meanwhile(&self, nth: u64, work: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, Box::pin(work)));
    }

    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `work` in a process that may crash. `None` if it has crashed.
    pub async fn live<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.crashed.notified() => None,
            done = work => Some(done),
        }
    }

    /// Lets the partition of this organisation's log throttle every write of a segment and every read of segments.
    pub fn throttle(&self, organisation: Option<OrganisationId>) {
        *self.throttled.lock().unwrap_or_else(PoisonError::into_inner) = organisation;
    }

    /// Replaces the fault of a call to a partition that throttles.
    fn or_throttled(&self, organisation: &OrganisationId, fault: Option<Fault>) -> Option<Fault> {
        let throttled = self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        if throttled.as_ref() == Some(organisation) { Some(Fault::Throttled) } else { fault }
    }

    /// Lets the process freeze in the middle of the `nth` of its next calls, counted from 1: before the call is done.
    pub fn freeze_at(&self, nth: u64) {
        self.freezes_at.store(self.calls.load(Ordering::Relaxed) + nth, Ordering::Relaxed);
    }

    /// Returns when the process is frozen.
    pub async fn frozen(&self) {
        // An error is impossible: the sender is `self`.
        let _ = self.frozen.subscribe().wait_for(|frozen| *frozen).await;
    }

    /// Lets a frozen process go on. It does not freeze again.
    pub fn thaw(&self) {
        self.freezes_at.store(NEVER, Ordering::Relaxed);
        self.frozen.send_replace(false);
    }

    /// The keys of the objects that the process put since it froze: what it knew was old.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits while the process is frozen.
    async fn stand_still(&self, number: u64) {
        if number == self.freezes_at.load(Ordering::Relaxed) {
            self.has_frozen.store(true, Ordering::Relaxed);
            self.frozen.send_replace(true);
        }
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }

    async fn enter(&self, name: &'static str) -> Option<Fault> {
        self.enter_with(name, None).await
    }

    /// `key` is that of the object that the call puts.
    async fn enter_with(&self, name: &'static str, key: Option<&str>) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        let meanwhile = {
            let mut meanwhile = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner);
            if meanwhile.as_ref().is_some_and(|(nth, _)| *nth == number) { meanwhile.take() } else { None }
        };
        if let Some((_, work)) = meanwhile {
            work.await;
        }
        if let Some(latency) = &self.latency {
            self.clock.sleep(latency.entropy.duration(latency.limit)).await;
        }
        self.stand_still(number).await;
        if self.has_frozen.load(Ordering::Relaxed) {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(key.map(str::to_owned));
        }
        let fault = (self.decide)(Call { number, name });
        if fault == Some(Fault::CrashBefore) {
            self.crash().await;
        }
        fault
    }

    /// Does `work` after a delay, even if its caller is gone.
    fn late(&self, after: Duration, work: impl Future<Output = ()> + Send + 'static) {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            clock.sleep(after).await;
            work.await;
        });
    }

    async fn crash(&self) {
        self.crashed.notify_one();
        std::future::pending().await
    }

    async fn leave(&self, fault: Option<Fault>) {
        if fault == Some(Fault::CrashAfter) {
            self.crash().await;
        }
    }
}

fn throttled() -> StoreError {
    StoreError::Throttled("injected".into())
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("injected".into())
}

#[async_trait]
impl Decorator for Gate {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.below)
    }

    async fn store_call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fault = self.enter(name).await;
        let answer = store_call(fault, work).await;
        self.leave(fault).await;
        answer
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let fault = self.or_throttled(organisation, self.enter("commit").await);
        let work = self.below.commit(organisation, commit);
        let answer = match fault {
            Some(Fault::Throttled) => Err(throttled().into()),
            Some(Fault::Busy) => Err(CommitError::Busy),
            Some(Fault::Unsent) => Err(unavailable().into()),
            Some(Fault::Late(after)) => {
                let (below, organisation, commit) = (Arc::clone(&self.below), organisation.clone(), commit.clone());
                self.late(after, async move { drop(below.commit(&organisation, &commit).await) });
                Err(unavailable().into())
            }
            Some(Fault::AnswerLost) => {
                let _ = work.await;
                Err(unavailable().into())
            }
            _ => work.await,
        };
        self.leave(fault).await;
        answer
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        let fault = self.or_throttled(organisation, self.enter("range").await);
        let answer = store_call(fault, self.below.range(organisation, range, order, limit, consistency)).await;
        self.leave(fault).await;
        answer
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let fault = self.enter("save_progress").await;
        if let Some(Fault::Late(after)) = fault {
            let below = Arc::clone(&self.below);
            let (destination, delivery) = (destination.clone(), delivery.cloned());
            self.late(after, async move { drop(below.save_progress(&destination, delivery.as_ref()).await) });
            return Err(unavailable());
        }
        let answer = store_call(fault, self.below.save_progress(destination, delivery)).await;
        self.leave(fault).await;
        answer
    }

    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        let fault = self.enter_with("put", Some(&object.key)).await;
        if let Some(Fault::Late(after)) = fault {
            let (below, target) = (Arc::clone(&self.below), target.clone());
            self.late(after, async move { drop(below.put(&target, object).await) });
            return Err(SinkError::new(SinkCall::PutObject, Reason::TimedOut));
        }
        let work = self.below.put(target, object);
        let answer = sink_call(SinkCall::PutObject, fault, work).await;
        self.leave(fault).await;
        answer
    }

    async fn assume(&self, target: &Target, external_id: &str) -> Result<(), SinkError> {
        let fault = self.enter("assume").await;
        let answer = sink_call(SinkCall::AssumeRole, fault, self.below.assume(target, external_id)).await;
        self.leave(fault).await;
        answer
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let fault = self.enter("send").await;
        let none_sent = |reason| Err(NotSent { refused: (0..messages.len()).collect(), reason });
        let answer = match fault {
            Some(Fault::Throttled | Fault::Busy) => none_sent(throttled()),
            Some(Fault::Unsent | Fault::Late(_)) => none_sent(unavailable()),
            Some(Fault::AnswerLost) => {
                let _ = self.below.send(messages).await;
                none_sent(unavailable())
            }
            _ => self.below.send(messages).await,
        };
        self.leave(fault).await;
        answer
    }
}

async fn store_call<T>(
    fault: Option<Fault>,
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    match fault {
        Some(Fault::Throttled | Fault::Busy) => Err(throttled()),
        Some(Fault::Unsent | Fault::Late(_)) => Err(unavailable()),
        Some(Fault::AnswerLost) => work.await.and_then(|_| Err(unavailable())),
        _ => work.await,
    }
}

async fn sink_call<T>(
    call: SinkCall,
    fault: Option<Fault>,
    work: impl Future<Output = Result<T, SinkError>> + Send,
) -> Result<T, SinkError> {
    let error = |reason| Err(SinkError::new(call, reason));
    match fault {
        Some(Fault::Throttled) => error(Reason::answered(503, "SlowDown", "Please reduce your request rate.", None)),
        Some(Fault::Busy) => error(Reason::answered(409, "ConditionalRequestConflict", "A conflict occurred.", None)),
        Some(Fault::Unsent | Fault::Late(_)) => error(Reason::NotConnected),
        Some(Fault::AnswerLost) => {
            work.await?;
            error(Reason::TimedOut)
        }
        _ => work.await,
    }
}
