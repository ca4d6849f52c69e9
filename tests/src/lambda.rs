//! Lambda's sandboxes: each serves one request at a time, a request for which none is idle starts another, and an account
//! has a limit. Owns no functions: what a sandbox keeps between requests is the caller's.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{clock::PausedClock, entropy::SeededEntropy};

/// The concurrent executions of an account unless AWS raises its quota (AWS, "Lambda quotas").
pub const ACCOUNT_CONCURRENCY: usize = 1000;

/// The account's limit was reached, so the request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled;

/// How many sandboxes are busy for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Busy {
    pub now: usize,
    pub most: usize,
    /// The integral over time, in sandbox seconds.
    pub seconds: f64,
    since: Duration,
}

pub struct Lambda<K, P> {
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    concurrency: usize,
    cold_start: Duration,
    start: Box<dyn Fn() -> P + Send + Sync>,
    state: Mutex<State<K, P>>,
}

struct State<K, P> {
    idle: Vec<P>,
    started: usize,
    in_use: usize,
    throttled: u64,
    busy: HashMap<K, Busy>,
}

impl<K: Clone + Eq + Hash, P> Lambda<K, P> {
    /// An account without sandboxes, which may run `concurrency` of them at once. `start` makes what a new sandbox keeps.
    #[must_use]
    pub fn new(
        clock: Arc<PausedClock>,
        entropy: Arc<SeededEntropy>,
        concurrency: usize,
        cold_start: Duration,
        start: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self {
        let state = State { idle: Vec::new(), started: 0, in_use: 0, throttled: 0, busy: HashMap::new() };
        Self { clock, entropy, concurrency, cold_start, start: Box::new(start), state: Mutex::new(state) }
    }

    /// Serves a request of `caller` in any idle sandbox, or in a new one.
    ///
    /// # Errors
    /// Returns an error if all sandboxes of the account are busy.
    pub async fn invoke<T>(&self, caller: K, work: impl AsyncFnOnce(&P) -> T) -> Result<T, Throttled> {
        let idle = {
            let mut state = self.lock();
            if state.in_use >= self.concurrency {
                state.throttled += 1;
                return Err(Throttled);
            }
            state.in_use += 1;
            state.busy.entry(caller.clone()).or_default().change(self.clock.elapsed(), 1);
            let count = state.idle.len();
            (count > 0).then(|| state.idle.swap_remove(self.entropy.below(count)))
        };
        let mut visit = Visit { lambda: self, caller: Some(caller), sandbox: None };
        let sandbox = match idle {
            Some(sandbox) => sandbox,
            None => {
                self.lock().started += 1;
                if !self.cold_start.is_zero() {
                    annals_core::time::Clock::sleep(&*self.clock, self.cold_start).await;
                }
                (self.start)()
            }
        };
        Ok(work(visit.sandbox.insert(sandbox)).await)
    }

    /// The sandboxes that were ever started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.lock().started
    }

    /// The requests that were not served.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.lock().throttled
    }

    #[must_use]
    pub fn busy(&self, caller: &K) -> Busy {
        self.lock().busy.get(caller).copied().unwrap_or_default()
    }

    /// Counts busy sandboxes from now on.
    pub fn count_anew(&self) {
        let now = self.clock.elapsed();
        for busy in self.lock().busy.values_mut() {
            *busy = Busy { now: busy.now, most: busy.now, seconds: 0.0, since: now };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy {
    fn change(&mut self, at: Duration, by: isize) {
        self.seconds += self.now as f64 * (at - self.since).as_secs_f64();
        self.since = at;
        self.now = self.now.saturating_add_signed(by);
        self.most = self.most.max(self.now);
    }
}

/// A request that is being served. The sandbox becomes idle when it is dropped.
struct Visit<'a, K: Clone + Eq + Hash, P> {
    lambda: &'a Lambda<K, P>,
    caller: Option<K>,
    sandbox: Option<P>,
}

impl<K: Clone + Eq + Hash, P> Drop for Visit<'_, K, P> {
    fn drop(&mut self) {
        let mut state = self.lambda.lock();
        state.in_use -= 1;
        state.idle.extend(self.sandbox.take());
        if let Some(busy) = self.caller.take().and_then(|caller| state.busy.get_mut(&caller)) {
            busy.change(self.lambda.clock.elapsed(), -1);
        }
    }
}

#[cfg(test)]
mod tests {
    use annals_core::time::{Clock as _, Timestamp};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_serves_one_request_at_a_time_and_the_account_has_a_limit() {
        let clock = PausedClock::new(Timestamp::from_millis(1_800_000_000_000));
        let number = std::sync::atomic::AtomicUsize::new(0);
        let next = move || number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let lambda = Lambda::new(clock.clone(), SeededEntropy::new(1), 2, Duration::ZERO, next);
        let work = async |sandbox: &usize| {
            clock.sleep(Duration::from_millis(10)).await;
            *sandbox
        };
        let all = tokio::join!(lambda.invoke("a", work), lambda.invoke("b", work), lambda.invoke("a", work));
        assert_eq!(all, (Ok(0), Ok(1), Err(Throttled)));
        assert!(lambda.invoke("a", work).await.is_ok());
        assert_eq!((lambda.started(), lambda.throttled()), (2, 1));
        let busy = lambda.busy(&"a");
        assert_eq!((busy.now, busy.most, busy.seconds), (0, 1, 0.02));
    }
}
