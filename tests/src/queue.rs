//! The ship queue in memory: delivery at least once, in any order, with a dead-letter queue.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annals_core::{
    delivery::queue::{NotSent, QueueMessage, ShipOrder, ShipQueue},
    log::store::StoreError,
    time::{Clock, Timestamp},
};
use async_trait::async_trait;

use crate::entropy::SeededEntropy;

/// The visibility timeout.
pub const VISIBILITY: Duration = Duration::from_secs(18 * 60);
/// The maximum receive count.
pub const MAX_RECEIVES: u32 = 5;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number, with which it is deleted.
    pub number: u64,
    pub body: QueueMessage,
    /// The receive count, this time included.
    pub received: u32,
}

/// How unreliable a queue is, within the guarantees of SQS.
#[derive(Debug, Clone)]
pub struct Unreliability {
    /// The probability that a message is delivered again within its visibility timeout.
    pub duplicates: f64,
    /// The probability that a send fails for some or all of its messages, which may have been sent.
    pub lost_answers: f64,
    /// Decides all of it, and the order of messages.
    pub entropy: Arc<SeededEntropy>,
}

#[derive(Debug)]
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    unreliability: Option<Unreliability>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    dead: Vec<QueueMessage>,
    count: u64,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    visible_at: Timestamp,
}

impl Message {
    /// The order to ship that it is.
    #[must_use]
    pub fn order(&self) -> &ShipOrder {
        match &self.body {
            QueueMessage::Ship(order) => order,
            QueueMessage::Job(job) => panic!("{job:?} is no order"),
        }
    }
}

impl MemoryQueue {
    /// An empty queue that delivers every message once and in order.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, unreliability: None, state: Mutex::default() })
    }

    /// An empty queue that is as unreliable as `unreliability` says.
    #[must_use]
    pub fn unreliable(clock: Arc<dyn Clock>, unreliability: Unreliability) -> Arc<Self> {
        Arc::new(Self { clock, unreliability: Some(unreliability), state: Mutex::default() })
    }

    /// Receives up to `limit` messages and hides them for the visibility timeout. Messages that were received too often
    /// go to the dead-letter queue.
    #[must_use]
    pub fn receive(&self, limit: usize) -> Vec<Message> {
        let now = self.clock.now();
        let mut state = self.lock();
        let state = &mut *state;
        state.waiting.retain(|waiting| {
            let dead = waiting.visible_at <= now && waiting.message.received >= MAX_RECEIVES;
            if dead {
                state.dead.push(waiting.message.body.clone());
            }
            !dead
        });
        let mut visible: Vec<usize> =
            (0..state.waiting.len()).filter(|index| state.waiting[*index].visible_at <= now).collect();
        let mut messages = Vec::new();
        while messages.len() < limit && !visible.is_empty() {
            let next = self.unreliability.as_ref().map_or(0, |how| how.entropy.below(visible.len()));
            let waiting = &mut state.waiting[visible.remove(next)];
            waiting.message.received += 1;
            messages.push(waiting.message.clone());
            if !self.happens(|how| how.duplicates) {
                waiting.visible_at = now.plus(VISIBILITY);
            }
        }
        messages
    }

    /// Deletes a message.
    pub fn delete(&self, number: u64) {
        self.lock().waiting.retain(|waiting| waiting.message.number != number);
    }

    /// Duplicates all messages.
    pub fn double(&self) {
        let bodies: Vec<QueueMessage> =
            self.lock().waiting.iter().map(|waiting| waiting.message.body.clone()).collect();
        self.push(&bodies);
    }

    /// The number of messages, hidden ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether there are no messages, hidden ones included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages in the dead-letter queue.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<QueueMessage> {
        self.lock().dead.clone()
    }

    fn push(&self, bodies: &[QueueMessage]) {
        let visible_at = self.clock.now();
        let mut state = self.lock();
        for body in bodies {
            state.count += 1;
            let message = Message { number: state.count, body: body.clone(), received: 0 };
            state.waiting.push(Waiting { message, visible_at });
        }
    }

    fn happens(&self, chance: impl Fn(&Unreliability) -> f64) -> bool {
        self.unreliability.as_ref().is_some_and(|how| how.entropy.happens(chance(how)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ShipQueue for MemoryQueue {
    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        if let Some(how) = self.unreliability.as_ref().filter(|how| how.entropy.happens(how.lost_answers)) {
            // Whether a refused message was sent is unknown. Others were sent.
            let refused: Vec<usize> = (0..messages.len()).filter(|_| how.entropy.happens(0.7)).collect();
            let is_sent = |index: &usize| !refused.contains(index) || how.entropy.happens(0.5);
            let sent = (0..messages.len()).filter(is_sent).map(|index| messages[index].clone());
            self.push(&sent.collect::<Vec<_>>());
            let reason = StoreError::Unavailable("injected".into());
            return if refused.is_empty() { Ok(()) } else { Err(NotSent { refused, reason }) };
        }
        self.push(messages);
        Ok(())
    }

    async fn is_busy(&self) -> Result<bool, StoreError> {
        Ok(!self.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::PausedClock, sample};

    fn order(next_sequence: u64) -> QueueMessage {
        ShipOrder { organisation: "acme".into(), destination: "0".repeat(12), next_sequence, pending: false }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_hidden_until_its_time_is_over_and_gone_once_deleted() {
        let clock = PausedClock::new(sample::START);
        let queue = MemoryQueue::new(clock.clone());
        queue.send(&[order(1), order(2)]).await.unwrap();
        let [first, second] = &queue.receive(10)[..] else { panic!("two messages were sent") };
        assert_eq!((&first.body, &second.body), (&order(1), &order(2)));
        queue.delete(first.number);
        assert!(queue.receive(10).is_empty());
        clock.jump(VISIBILITY);
        for received in 2..=MAX_RECEIVES {
            assert_eq!(queue.receive(10)[0].received, received);
            clock.jump(VISIBILITY);
        }
        assert!(queue.receive(10).is_empty() && queue.is_empty());
        assert_eq!(queue.dead_letters(), [order(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreliable_queue_delivers_twice_and_loses_answers() {
        let clock = PausedClock::new(sample::START);
        let entropy = SeededEntropy::new(3);
        let how = Unreliability { duplicates: 1.0, lost_answers: 1.0, entropy };
        let queue = MemoryQueue::unreliable(clock, how);
        let mut refused = 0;
        while queue.len() < 4 || refused == 0 {
            refused += queue.send(&[order(1), order(2)]).await.map_or_else(|error| error.refused.len(), |()| 0);
        }
        assert_eq!(queue.receive(1).len() + queue.receive(1).len(), 2);
        let before = queue.len();
        queue.double();
        assert_eq!(queue.len(), 2 * before);
    }
}
