//! Standard queues: visibility timeouts, delays, receive counts, dead letters, retention. Owns their semantics as plain
//! data with the time handed in; the protocol and waiting are [`sqs`](super::sqs)'s.
//!
//! Everything is in memory, and gone when the process ends: the schedule makes new messages.

use std::collections::BTreeMap;

use s3s::crypto::{Checksum, Md5};

/// Bytes of a message, attributes included, and of a whole batch (SQS Developer Guide, *Amazon SQS message quotas*).
pub(super) const MESSAGE_MAX_BYTES: usize = 1_048_576;
/// Messages of one queue that may be in flight.
const IN_FLIGHT_MAX: usize = 120_000;
/// The longest visibility timeout: 12 hours.
pub(super) const VISIBILITY_MAX_SECONDS: u32 = 43_200;

/// How a queue behaves. The defaults are SQS's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// How long a received message stays invisible to others, in seconds, 0 to 43,200.
    pub visibility_timeout_seconds: u32,
    /// How long a message stays invisible after it was sent, in seconds, 0 to 900.
    pub delay_seconds: u32,
    /// How long a receive waits for a message where the request does not say, in seconds, 0 to 20.
    pub receive_wait_seconds: u32,
    /// How long a message is kept, in seconds, 60 to 1,209,600.
    pub retention_seconds: u32,
    /// Bytes of a message, 1,024 to 1,048,576.
    pub message_max_bytes: usize,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            visibility_timeout_seconds: 30,
            delay_seconds: 0,
            receive_wait_seconds: 0,
            retention_seconds: 345_600,
            message_max_bytes: MESSAGE_MAX_BYTES,
            redrive: None,
        }
    }
}

/// A redrive policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead-letter queue, in the same account and region.
    pub dead_letter_queue: String,
    /// How often a message may be received, 1 to 1,000.
    pub max_receive_count: u32,
}

/// What a message attribute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeValue {
    /// Of data types `String` and `Number`.
    Text(String),
    /// Of data type `Binary`.
    Bytes(Vec<u8>),
}

/// A message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    /// `String`, `Number` or `Binary`, with a custom suffix after a dot.
    pub(super) data_type: String,
    pub(super) value: AttributeValue,
}

/// A message to be sent.
#[derive(Debug, Clone, Default)]
pub(super) struct NewMessage {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) delay_seconds: Option<u32>,
    pub(super) sender_id: String,
    pub(super) trace_header: Option<String>,
}

impl NewMessage {
    /// What counts against the limit: body, and names, types and values of attributes.
    pub(super) fn size_bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.len(),
                AttributeValue::Bytes(bytes) => bytes.len(),
            };
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) sender_id: String,
    pub(super) trace_header: Option<String>,
    pub(super) sent_millis: u64,
    pub(super) first_received_millis: u64,
    pub(super) receive_count: u32,
    /// The ARN of the queue that it was moved from.
    pub(super) dead_letter_source: Option<String>,
    visible_millis: u64,
    /// Received, and neither deleted nor visible again. What is invisible otherwise is delayed.
    in_flight: bool,
}

/// A message as it was handed out.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) message: Message,
    pub(super) handle: Handle,
}

/// Names one receipt of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) queue: String,
    pub(super) position: u64,
    pub(super) receive_count: u32,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) arn: String,
    pub(super) options: QueueOptions,
    pub(super) created_millis: u64,
    messages: BTreeMap<u64, Message>,
}

/// How many messages are where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) visible: usize,
    pub(super) in_flight: usize,
    pub(super) delayed: usize,
}

/// What is asked of a message that is not there in the way that it would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueFault {
    #[error("The specified queue does not exist.")]
    NoQueue,
    #[error("The input receipt handle is invalid.")]
    InvalidHandle,
    #[error(
        "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change."
    )]
    NotInFlight,
    #[error("Too many messages are in flight.")]
    OverLimit,
}

/// All queues, by name.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<String, Queue>,
    /// Sending order; across queues, so that a message keeps its handle's position when it is moved.
    next_position: u64,
}

impl Queues {
    pub(super) fn get(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(super) fn create(&mut self, name: &str, arn: String, options: QueueOptions, now_millis: u64) {
        let queue = Queue { arn, options, created_millis: now_millis, messages: BTreeMap::new() };
        self.queues.insert(name.to_owned(), queue);
    }

    pub(super) fn send(&mut self, name: &str, message: NewMessage, now_millis: u64) -> Result<(), QueueFault> {
        let queue = self.queues.get_mut(name).ok_or(QueueFault::NoQueue)?;
        let delay = message.delay_seconds.unwrap_or(queue.options.delay_seconds);
        let NewMessage { id, body, attributes, sender_id, trace_header, .. } = message;
        queue.messages.insert(
            self.next_position,
            Message {
                id,
                body,
                attributes,
                sender_id,
                trace_header,
                sent_millis: now_millis,
                first_received_millis: 0,
                receive_count: 0,
                dead_letter_source: None,
                visible_millis: now_millis + u64::from(delay) * 1000,
                in_flight: false,
            },
        );
        self.next_position += 1;
        Ok(())
    }

    /// Hands out up to `max` messages and makes them invisible. Those that were received too often are moved instead.
    pub(super) fn receive(
        &mut self,
        name: &str,
        max: usize,
        visibility_seconds: Option<u32>,
        now_millis: u64,
    ) -> Result<Vec<Received>, QueueFault> {
        let queue = self.queues.get_mut(name).ok_or(QueueFault::NoQueue)?;
        queue.settle(now_millis);
        if queue.counts(now_millis).in_flight >= IN_FLIGHT_MAX {
            return Err(QueueFault::OverLimit);
        }
        let visibility = visibility_seconds.unwrap_or(queue.options.visibility_timeout_seconds);
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        for (position, message) in &mut queue.messages {
            if received.len() == max {
                break;
            }
            if message.visible_millis > now_millis {
                continue;
            }
            if queue.options.redrive.as_ref().is_some_and(|redrive| message.receive_count >= redrive.max_receive_count)
            {
                dead.push(*position);
                continue;
            }
            message.receive_count += 1;
            if message.first_received_millis == 0 {
                message.first_received_millis = now_millis;
            }
            message.visible_millis = now_millis + u64::from(visibility) * 1000;
            message.in_flight = true;
            let handle = Handle { queue: name.to_owned(), position: *position, receive_count: message.receive_count };
            received.push(Received { message: message.clone(), handle });
        }
        let source = queue.arn.clone();
        let Some(redrive) = queue.options.redrive.clone().filter(|_| !dead.is_empty()) else { return Ok(received) };
        let moved: Vec<_> =
            dead.into_iter().filter_map(|position| Some((position, queue.messages.remove(&position)?))).collect();
        if let Some(target) = self.queues.get_mut(&redrive.dead_letter_queue) {
            for (position, mut message) in moved {
                message.dead_letter_source = Some(source.clone());
                message.in_flight = false;
                target.messages.insert(position, message);
            }
        }
        Ok(received)
    }

    /// Deletes a message, if the handle is of its latest receipt; an older one deletes nothing and that is no fault,
    /// nor is deleting twice.
    pub(super) fn delete(&mut self, name: &str, handle: &Handle) -> Result<(), QueueFault> {
        let queue = self.queues.get_mut(name).ok_or(QueueFault::NoQueue)?;
        if handle.queue != name {
            return Err(QueueFault::InvalidHandle);
        }
        if queue.messages.get(&handle.position).is_some_and(|message| message.receive_count == handle.receive_count) {
            queue.messages.remove(&handle.position);
        }
        Ok(())
    }

    /// Lets a message in flight become visible after that many seconds from now.
    pub(super) fn change_visibility(
        &mut self,
        name: &str,
        handle: &Handle,
        seconds: u32,
        now_millis: u64,
    ) -> Result<(), QueueFault> {
        let queue = self.queues.get_mut(name).ok_or(QueueFault::NoQueue)?;
        if handle.queue != name {
            return Err(QueueFault::InvalidHandle);
        }
        queue.settle(now_millis);
        match queue.messages.get_mut(&handle.position) {
            Some(message) if message.in_flight && message.receive_count == handle.receive_count => {
                message.visible_millis = now_millis + u64::from(seconds) * 1000;
                Ok(())
            }
            _ => Err(QueueFault::NotInFlight),
        }
    }

    /// When the next message of a queue becomes visible.
    pub(super) fn next_visible_millis(&self, name: &str) -> Option<u64> {
        self.queues.get(name)?.messages.values().map(|message| message.visible_millis).min()
    }
}

impl Queue {
    /// Forgets what is past its retention, and takes back what nobody deleted in time.
    fn settle(&mut self, now_millis: u64) {
        let retention_millis = u64::from(self.options.retention_seconds) * 1000;
        self.messages.retain(|_, message| message.sent_millis + retention_millis > now_millis);
        for message in self.messages.values_mut() {
            message.in_flight &= message.visible_millis > now_millis;
        }
    }

    pub(super) fn counts(&self, now_millis: u64) -> Counts {
        let retention_millis = u64::from(self.options.retention_seconds) * 1000;
        let mut counts = Counts { visible: 0, in_flight: 0, delayed: 0 };
        for message in self.messages.values() {
            if message.sent_millis + retention_millis <= now_millis {
                continue;
            } else if message.visible_millis <= now_millis {
                counts.visible += 1;
            } else if message.in_flight {
                counts.in_flight += 1;
            } else {
                counts.delayed += 1;
            }
        }
        counts
    }
}

/// MD5 in hexadecimal, by which SQS lets senders check that a body arrived whole.
pub(super) fn md5_of_body(body: &str) -> String {
    hex::encode(Md5::checksum(body.as_bytes()))
}

/// MD5 of attributes in the SQS Developer Guide's encoding: by name, each part with its length in front.
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    fn part(md5: &mut Md5, bytes: &[u8]) {
        md5.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        md5.update(bytes);
    }
    if attributes.is_empty() {
        return None;
    }
    let mut md5 = Md5::new();
    for (name, attribute) in attributes {
        part(&mut md5, name.as_bytes());
        part(&mut md5, attribute.data_type.as_bytes());
        match &attribute.value {
            AttributeValue::Text(text) => {
                md5.update(&[1]);
                part(&mut md5, text.as_bytes());
            }
            AttributeValue::Bytes(bytes) => {
                md5.update(&[2]);
                part(&mut md5, bytes);
            }
        }
    }
    Some(hex::encode(md5.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(options: QueueOptions) -> Queues {
        let mut queues = Queues::default();
        queues.create("dead", "arn:dead".to_owned(), QueueOptions::default(), 0);
        queues.create("work", "arn:work".to_owned(), options, 0);
        queues
    }

    fn send(queues: &mut Queues, body: &str, now_millis: u64) {
        let message = NewMessage { body: body.to_owned(), ..NewMessage::default() };
        queues.send("work", message, now_millis).unwrap();
    }

    fn bodies(received: &[Received]) -> Vec<&str> {
        received.iter().map(|received| received.message.body.as_str()).collect()
    }

    #[test]
    fn a_received_message_is_invisible_until_its_timeout_and_then_comes_again() {
        let mut queues = queues(QueueOptions::default());
        send(&mut queues, "a", 0);
        let first = queues.receive("work", 10, None, 0).unwrap();
        assert_eq!(bodies(&first), ["a"]);
        assert!(queues.receive("work", 10, None, 29_999).unwrap().is_empty());
        assert_eq!(queues.next_visible_millis("work"), Some(30_000));
        let second = queues.receive("work", 10, None, 30_000).unwrap();
        assert_eq!(second[0].message.receive_count, 2);

        queues.delete("work", &first[0].handle).unwrap();
        assert_eq!(queues.get("work").unwrap().counts(30_000).in_flight, 1, "an old handle deletes nothing");
        queues.delete("work", &second[0].handle).unwrap();
        queues.delete("work", &second[0].handle).unwrap();
        assert_eq!(queues.get("work").unwrap().counts(30_000).in_flight, 0);
    }

    #[test]
    fn a_message_received_too_often_is_moved_to_the_dead_letters() {
        let redrive = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count: 2 };
        let mut queues = queues(QueueOptions { redrive: Some(redrive), ..QueueOptions::default() });
        send(&mut queues, "a", 0);
        for receipt in 0..2 {
            assert_eq!(queues.receive("work", 10, None, receipt * 30_000).unwrap().len(), 1);
        }
        assert!(queues.receive("work", 10, None, 60_000).unwrap().is_empty());
        let dead = queues.receive("dead", 10, None, 60_000).unwrap();
        assert_eq!(bodies(&dead), ["a"]);
        assert_eq!(dead[0].message.dead_letter_source.as_deref(), Some("arn:work"));
    }

    #[test]
    fn visibility_can_be_changed_only_while_in_flight() {
        let mut queues = queues(QueueOptions::default());
        send(&mut queues, "a", 0);
        let handle = queues.receive("work", 1, None, 0).unwrap().remove(0).handle;
        queues.change_visibility("work", &handle, 60, 10_000).unwrap();
        assert!(queues.receive("work", 1, None, 69_999).unwrap().is_empty());
        queues.change_visibility("work", &handle, 0, 69_999).unwrap();
        assert_eq!(queues.change_visibility("work", &handle, 9, 69_999), Err(QueueFault::NotInFlight));
        assert_eq!(queues.receive("work", 1, None, 69_999).unwrap().len(), 1);
        assert_eq!(queues.change_visibility("dead", &handle, 9, 69_999), Err(QueueFault::InvalidHandle));
    }

    #[test]
    fn delay_and_retention_are_kept() {
        let options = QueueOptions { delay_seconds: 5, retention_seconds: 60, ..QueueOptions::default() };
        let mut queues = queues(options);
        send(&mut queues, "a", 0);
        let counts = |queues: &Queues, now| queues.get("work").unwrap().counts(now);
        assert_eq!(counts(&queues, 0), Counts { visible: 0, in_flight: 0, delayed: 1 });
        assert_eq!(counts(&queues, 5_000), Counts { visible: 1, in_flight: 0, delayed: 0 });
        assert!(queues.receive("work", 1, None, 60_000).unwrap().is_empty());
        assert_eq!(counts(&queues, 60_000), Counts { visible: 0, in_flight: 0, delayed: 0 });
    }

    #[test]
    fn digests_are_those_of_sqs() {
        assert_eq!(md5_of_body("hello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(md5_of_attributes(&BTreeMap::new()), None);
    }
}
