//! Clocks that tests move. Real time plays no part in them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::time::{Clock, Timestamp};
use async_trait::async_trait;
use tokio::sync::oneshot;

/// A clock that stands still until a test advances it. `sleep` ends when it has been advanced far enough.
#[derive(Debug)]
pub struct VirtualClock {
    state: Mutex<Sleepers>,
}

#[derive(Debug)]
struct Sleepers {
    now: Timestamp,
    /// By the time at which they wake, then in the order of their calls.
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    count: u64,
}

impl VirtualClock {
    #[must_use]
    pub fn new(now: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Sleepers { now, waiting: BTreeMap::new(), count: 0 }) })
    }

    /// Advances the clock by `duration` and wakes the sleepers that are due.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.lock();
        let now = state.now.plus(duration);
        state.now = now;
        while let Some(entry) = state.waiting.first_entry()
            && entry.key().0 <= now
        {
            // An error means that the sleeper was dropped.
            let _ = entry.remove().send(());
        }
    }

    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.lock().waiting.values().filter(|sender| !sender.is_closed()).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sleepers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    async fn sleep(&self, duration: Duration) {
        let woken = {
            let mut state = self.lock();
            let (sender, woken) = oneshot::channel();
            let key = (state.now.plus(duration), state.count);
            state.count += 1;
            if duration.is_zero() {
                return;
            }
            state.waiting.insert(key, sender);
            woken
        };
        // An error is impossible: the clock outlives its sleepers.
        let _ = woken.await;
    }
}

/// A clock on tokio's paused time (`#[tokio::test(start_paused = true)]`): whenever all tasks wait, time jumps to the
/// next timer. Latency, backoff and deadlines take no real time and keep their order.
///
/// Tokio's timers have a resolution of a millisecond. A second of theirs is a millisecond here, so that this clock has
/// a resolution of a microsecond.
#[derive(Debug)]
pub struct PausedClock {
    start: Timestamp,
    begun: tokio::time::Instant,
    /// The sum of all jumps, in milliseconds.
    jumped: AtomicU64,
}

const STRETCH: u32 = 1000;

impl PausedClock {
    /// A clock that shows `start`. The runtime's time must be paused.
    #[must_use]
    pub fn new(start: Timestamp) -> Arc<Self> {
        Arc::new(Self { start, begun: tokio::time::Instant::now(), jumped: AtomicU64::new(0) })
    }

    /// Skips `duration` without waking sleepers, for quiet hours between events.
    pub fn jump(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.jumped.fetch_add(millis, Ordering::Relaxed);
    }

    /// The time since the start without jumps, to the microsecond.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed() / STRETCH
    }
}

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.elapsed()).plus(Duration::from_millis(self.jumped.load(Ordering::Relaxed)))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration * STRETCH).await;
    }
}

/// The same clock on a machine whose time is ahead.
#[derive(Debug)]
pub struct AheadClock {
    clock: Arc<dyn Clock>,
    by: Duration,
}

impl AheadClock {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, by: Duration) -> Arc<Self> {
        Arc::new(Self { clock, by })
    }
}

#[async_trait]
impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        self.clock.now().plus(self.by)
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// The same clock on a machine whose time is behind.
#[derive(Debug)]
pub struct BehindClock {
    clock: Arc<dyn Clock>,
    by: Duration,
}

impl BehindClock {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, by: Duration) -> Arc<Self> {
        Arc::new(Self { clock, by })
    }
}

#[async_trait]
impl Clock for BehindClock {
    fn now(&self) -> Timestamp {
        self.clock.now().minus(self.by)
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_test_says_so() {
        let clock = VirtualClock::new(START);
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move {
                clock.sleep(Duration::from_secs(2)).await;
                clock.now()
            }
        });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap(), START.plus(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_goes_to_the_next_waking_and_jumps_over_quiet_hours() {
        let clock = PausedClock::new(START);
        clock.sleep(Duration::from_micros(2500)).await;
        clock.sleep(Duration::from_micros(2500)).await;
        assert_eq!(clock.elapsed(), Duration::from_millis(5));
        clock.jump(Duration::from_secs(3600));
        assert_eq!(clock.now(), START.plus(Duration::from_millis(3_600_005)));
        assert_eq!(AheadClock::new(clock, Duration::from_secs(1)).now(), START.plus(Duration::from_millis(3_601_005)));
    }
}
