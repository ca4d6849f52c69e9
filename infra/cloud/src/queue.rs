//! Standard queues: visibility timeouts, receive counts and dead letters. Owns their semantics as plain data; callers
//! pass the current time. [`sqs`](super::sqs) owns the protocol.
//!
//! Messages are in memory only: they are lost when the process ends.

use std::collections::BTreeMap;

/// The options of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// How long a received message stays invisible to others, in seconds, 0 to 43,200. 30 by default.
    pub visibility_timeout_seconds: u32,
    /// Where a message is moved after it was received too often. `None`, the default: it stays in the queue.
    pub redrive: Option<Redrive>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { visibility_timeout_seconds: 30, redrive: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// How often a message may be received, 1 to 1,000.
    pub max_receive_count: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) sent_millis: u64,
    pub(crate) first_received_millis: Option<u64>,
    pub(crate) receive_count: u32,
    /// The queue that the message was moved from.
    pub(crate) dead_letter_source: Option<String>,
    /// When the message can be received. Until then it is in flight, because these queues have no delayed messages.
    visible_millis: u64,
}

/// Identifies one receipt of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) position: u64,
    pub(crate) receive_count: u32,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) options: QueueOptions,
    messages: BTreeMap<u64, Message>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) in_flight: usize,
}

/// All queues, by name.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: BTreeMap<String, Queue>,
    /// In the order of sending, across all queues: a message keeps its position when it is moved.
    next_position: u64,
}

impl Queues {
    pub(crate) fn get(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(crate) fn create(&mut self, name: &str, options: QueueOptions) {
        self.queues.insert(name.to_owned(), Queue { options, messages: BTreeMap::new() });
    }

    /// Sends a message. Like the other operations, does nothing if there is no such queue.
    pub(crate) fn send(&mut self, name: &str, id: String, body: String, now_millis: u64) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let message = Message {
            id,
            body,
            sent_millis: now_millis,
            first_received_millis: None,
            receive_count: 0,
            dead_letter_source: None,
            visible_millis: now_millis,
        };
        queue.messages.insert(self.next_position, message);
        self.next_position += 1;
    }

    /// Returns up to `max` visible messages and makes them invisible. Messages that were received too often are moved to
    /// the dead-letter queue instead.
    pub(crate) fn receive(&mut self, name: &str, max: usize, now_millis: u64) -> Vec<(Handle, Message)> {
        let Some(queue) = self.queues.get_mut(name) else { return Vec::new() };
        let redrive = queue.options.redrive.clone();
        let max_receive_count = redrive.as_ref().map_or(u32::MAX, |redrive| redrive.max_receive_count);
        let visible_millis = now_millis + u64::from(queue.options.visibility_timeout_seconds) * 1000;
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        for (position, message) in &mut queue.messages {
            if received.len() == max {
                break;
            }
            if message.visible_millis > now_millis {
                continue;
            }
            if message.receive_count >= max_receive_count {
                dead.push(*position);
                continue;
            }
            message.receive_count += 1;
            message.first_received_millis.get_or_insert(now_millis);
            message.visible_millis = visible_millis;
            let handle = Handle { position: *position, receive_count: message.receive_count };
            received.push((handle, message.clone()));
        }
        let moved: Vec<_> =
            dead.iter().filter_map(|position| Some((*position, queue.messages.remove(position)?))).collect();
        if let Some(target) = redrive.and_then(|redrive| self.queues.get_mut(&redrive.dead_letter_queue)) {
            target.messages.extend(moved.into_iter().map(|(position, mut message)| {
                message.dead_letter_source = Some(name.to_owned());
                (position, message)
            }));
        }
        received
    }

    /// Deletes a message if the handle is from its latest receipt. An older handle deletes nothing. It is not an error
    /// to use an older handle or to delete a message twice.
    pub(crate) fn delete(&mut self, name: &str, handle: &Handle) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        if queue.messages.get(&handle.position).is_some_and(|message| message.receive_count == handle.receive_count) {
            queue.messages.remove(&handle.position);
        }
    }
}

impl Queue {
    pub(crate) fn counts(&self, now_millis: u64) -> Counts {
        let visible = self.messages.values().filter(|message| message.visible_millis <= now_millis).count();
        Counts { visible, in_flight: self.messages.len() - visible }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(options: QueueOptions) -> Queues {
        let mut queues = Queues::default();
        queues.create("dead", QueueOptions::default());
        queues.create("work", options);
        queues.send("work", "id".to_owned(), "a".to_owned(), 0);
        queues
    }

    #[test]
    fn a_received_message_is_invisible_until_its_timeout_and_then_comes_again() {
        let mut queues = queues(QueueOptions::default());
        let first = queues.receive("work", 10, 0);
        assert_eq!(first[0].1.body, "a");
        assert!(queues.receive("work", 10, 29_999).is_empty());
        let second = queues.receive("work", 10, 30_000);
        assert_eq!(second[0].1.receive_count, 2);
        assert_eq!(second[0].1.first_received_millis, Some(0));

        queues.delete("work", &first[0].0);
        let in_flight = |queues: &Queues| queues.get("work").unwrap().counts(30_000).in_flight;
        assert_eq!(in_flight(&queues), 1, "an old handle deletes nothing");
        queues.delete("work", &second[0].0);
        queues.delete("work", &second[0].0);
        assert_eq!(in_flight(&queues), 0);
    }

    #[test]
    fn a_message_received_too_often_is_moved_to_the_dead_letters() {
        let redrive = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count: 2 };
        let mut queues = queues(QueueOptions { redrive: Some(redrive), ..QueueOptions::default() });
        for receipt in 0..2 {
            assert_eq!(queues.receive("work", 10, receipt * 30_000).len(), 1);
        }
        assert!(queues.receive("work", 10, 60_000).is_empty());
        assert_eq!(queues.get("work").unwrap().counts(60_000), Counts { visible: 0, in_flight: 0 });
        let dead = queues.receive("dead", 10, 60_000);
        assert_eq!(dead[0].1.body, "a");
        assert_eq!(dead[0].1.dead_letter_source.as_deref(), Some("work"));
    }
}
