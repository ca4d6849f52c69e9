//! SQS over the AWS JSON 1.0 protocol: sending in batches, receiving, deleting, and a queue's attributes. Owns the
//! parameters and the permissions. [`queue`](super::queue) owns the behaviour of a queue.
//!
//! A parameter that is not supported is refused, not ignored. Not supported: creating queues over HTTP, FIFO queues, queue
//! policies (so requests from other accounts are denied), long polling, delays, message attributes, changing a message's
//! visibility, and retention. `infra/docs/decisions/0012-our-own-sqs-with-five-operations.md` has the reasons.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use s3s::crypto::{Checksum, Md5};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    access::{self, Consent, Decision, Principal},
    clock::Clock,
    entropy,
    iam::Iam,
    policy::Context,
    queue::{Handle, Message, QueueOptions, Queues},
    server,
    sigv4::{self, Unauthenticated},
};

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// Entries in a batch, and messages in one response (SQS Developer Guide, *Amazon SQS message quotas*, as for the others).
const BATCH_MAX: usize = 10;
/// Bytes of a message, and of all messages in a batch.
const MESSAGE_MAX_BYTES: usize = 1_048_576;
/// Bytes of a request: the largest batch, escaped.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Sqs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    iam: Iam,
    account: String,
    region: String,
    /// The server's URL, without a slash at the end.
    endpoint: String,
    clock: Clock,
    queues: Mutex<Queues>,
}

/// A refusal. `name` is the error's name in SQS's model; `code` is the older one, which the SDKs report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct SqsFault {
    status: StatusCode,
    name: &'static str,
    code: &'static str,
    message: String,
}

impl SqsFault {
    fn new(name: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, name, code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValueException", "InvalidParameterValue", message)
    }

    fn no_queue() -> Self {
        let code = "AWS.SimpleQueueService.NonExistentQueue";
        Self::new("QueueDoesNotExist", code, "The specified queue does not exist.")
    }

    fn invalid_handle() -> Self {
        let name = "ReceiptHandleIsInvalid";
        Self::new(name, name, "The input receipt handle is invalid.")
    }
}

impl From<Unauthenticated> for SqsFault {
    fn from(Unauthenticated { code, message }: Unauthenticated) -> Self {
        Self { status: StatusCode::FORBIDDEN, name: code, code, message }
    }
}

async fn handle(State(sqs): State<Sqs>, request: Request) -> Response {
    let mut response = match sqs.answer(request).await {
        Ok(body) => server::respond(StatusCode::OK, CONTENT_TYPE, body.to_string()),
        Err(SqsFault { status, name, code, message }) => {
            let body = json!({"__type": format!("com.amazonaws.sqs#{name}"), "message": message}).to_string();
            let mut response = server::respond(status, CONTENT_TYPE, body);
            let side = if status.is_server_error() { "Receiver" } else { "Sender" };
            server::set_header(&mut response, "x-amzn-query-error", &format!("{code};{side}"));
            response
        }
    };
    server::set_header(&mut response, "x-amzn-requestid", &entropy::request_id());
    response
}

impl Sqs {
    pub(crate) fn new(iam: Iam, account: String, region: String, endpoint: String, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { iam, account, region, endpoint, clock, queues: Mutex::default() }) }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().route("/", post(handle)).with_state(self.clone())
    }

    /// Creates a queue, or finds the one with the same options. Returns its URL.
    pub(crate) fn create(&self, name: &str, options: QueueOptions) -> Result<String, SqsFault> {
        let is_name = (1..=80).contains(&name.len()) && is_identifier(name);
        let redrive = options.redrive.as_ref();
        let mut queues = self.queues();
        if !is_name {
            return Err(SqsFault::invalid("A queue's name has 1 to 80 letters, digits, hyphens and underscores."));
        }
        if options.visibility_timeout_seconds > 43_200
            || redrive.is_some_and(|redrive| !(1..=1000).contains(&redrive.max_receive_count))
        {
            return Err(SqsFault::invalid("The visibility timeout or the maximum receive count is out of range."));
        }
        if redrive.is_some_and(|redrive| queues.get(&redrive.dead_letter_queue).is_none()) {
            return Err(SqsFault::invalid("The dead-letter queue does not exist."));
        }
        match queues.get(name) {
            Some(queue) if queue.options != options => {
                let message = "A queue already exists with the same name and a different value for an attribute";
                return Err(SqsFault::new("QueueNameExists", "QueueAlreadyExists", message));
            }
            Some(_) => {}
            None => queues.create(name, options),
        }
        Ok(format!("{}/{}/{name}", self.shared.endpoint, self.shared.account))
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.shared.region, self.shared.account)
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_millis(&self) -> u64 {
        self.shared.clock.now_millis()
    }

    async fn answer(&self, request: Request) -> Result<Value, SqsFault> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX_BYTES)
            .await
            .map_err(|_| SqsFault::invalid("The request is too large."))?;
        let caller = sigv4::authenticate(&self.shared.iam, "sqs", &parts, &body)?;
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix("AmazonSQS.").unwrap_or_default();
        match operation {
            "SendMessageBatch" => self.send_message_batch(&caller, parse(&body)?),
            "ReceiveMessage" => self.receive_message(&caller, parse(&body)?),
            "DeleteMessage" => self.delete_message(&caller, parse(&body)?),
            "DeleteMessageBatch" => self.delete_message_batch(&caller, parse(&body)?),
            "GetQueueAttributes" => self.get_queue_attributes(&caller, parse(&body)?),
            _ => Err(SqsFault::new(
                "UnknownOperationException",
                "InvalidAction",
                format!("The action {operation} is not valid for this endpoint."),
            )),
        }
    }

    /// Returns the name of the queue at `url` if the caller is allowed to do `action` with it and it exists. The URL's host
    /// does not matter, as on SQS.
    fn queue(&self, caller: &Principal, action: &str, url: &str) -> Result<String, SqsFault> {
        let mut parts = url.rsplit('/');
        let (Some(name), Some(account)) = (parts.next(), parts.next()) else { return Err(SqsFault::no_queue()) };
        if account != self.shared.account {
            return Err(SqsFault::no_queue());
        }
        let resource = self.arn(name);
        let request = access::Request {
            principal: Some(caller),
            action,
            resource: &resource,
            resource_account: account,
            resource_policy: None,
            consent: Consent::Optional,
            context: &Context::of(Some(caller)),
        };
        if let Decision::Denied(denial) = request.decide() {
            // SQS writes the action in lower case here.
            let action = action.to_ascii_lowercase();
            let message = format!(
                "User: {} is not authorized to perform: {action} on resource: {resource} {}",
                caller.arn,
                denial.because(&action)
            );
            let fault = SqsFault::new("AccessDeniedException", "AccessDenied", message);
            return Err(SqsFault { status: StatusCode::FORBIDDEN, ..fault });
        }
        self.queues().get(name).map(|_| name.to_owned()).ok_or_else(SqsFault::no_queue)
    }

    fn send_message_batch(&self, caller: &Principal, input: Batch) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:SendMessage", &input.queue_url)?;
        input.check()?;
        let size: usize = input.entries.iter().map(|entry| entry.content.len()).sum();
        if size > MESSAGE_MAX_BYTES {
            return Err(SqsFault::new(
                "BatchRequestTooLong",
                "AWS.SimpleQueueService.BatchRequestTooLong",
                format!("Batch requests cannot be longer than {MESSAGE_MAX_BYTES} bytes. You have sent {size} bytes."),
            ));
        }
        Ok(input.answer(|body| {
            // The characters that XML 1.0 allows. SQS refuses all others.
            let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
            if body.is_empty() || !body.chars().all(is_allowed) {
                let name = "InvalidMessageContents";
                return Err(SqsFault::new(name, name, "The message is empty or has a character outside XML 1.0."));
            }
            let id = entropy::message_id().map_err(|error| SqsFault {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                ..SqsFault::new("InternalFailure", "InternalFailure", error.to_string())
            })?;
            let sent = json!({"MessageId": id, "MD5OfMessageBody": md5(&body)});
            self.queues().send(&name, id, body, self.now_millis());
            Ok(sent)
        }))
    }

    fn receive_message(&self, caller: &Principal, input: ReceiveMessage) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:ReceiveMessage", &input.queue_url)?;
        let max = input.max_number_of_messages.unwrap_or(1);
        if !(1..=BATCH_MAX).contains(&max) {
            return Err(SqsFault::invalid(format!(
                "Value {max} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            )));
        }
        let received = self.queues().receive(&name, max, self.now_millis());
        let messages: Vec<Value> = received
            .into_iter()
            .map(|(handle, message)| {
                let mut attributes = self.attributes(&message);
                attributes.retain(|name, _| is_wanted(&input.message_system_attribute_names, name));
                json!({
                    "MessageId": message.id,
                    "ReceiptHandle": render_handle(&handle),
                    "MD5OfBody": md5(&message.body),
                    "Body": message.body,
                    "Attributes": attributes,
                })
            })
            .collect();
        Ok(json!({"Messages": messages}))
    }

    fn attributes(&self, message: &Message) -> BTreeMap<&'static str, String> {
        let mut attributes = BTreeMap::from([
            ("ApproximateReceiveCount", message.receive_count.to_string()),
            ("SentTimestamp", message.sent_millis.to_string()),
        ]);
        if let Some(millis) = message.first_received_millis {
            attributes.insert("ApproximateFirstReceiveTimestamp", millis.to_string());
        }
        if let Some(source) = &message.dead_letter_source {
            attributes.insert("DeadLetterQueueSourceArn", self.arn(source));
        }
        attributes
    }

    fn delete_message(&self, caller: &Principal, input: DeleteMessage) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:DeleteMessage", &input.queue_url)?;
        self.queues().delete(&name, &parse_handle(&input.receipt_handle)?);
        Ok(json!({}))
    }

    fn delete_message_batch(&self, caller: &Principal, input: Batch) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:DeleteMessage", &input.queue_url)?;
        input.check()?;
        Ok(input.answer(|receipt_handle| {
            self.queues().delete(&name, &parse_handle(&receipt_handle)?);
            Ok(json!({}))
        }))
    }

    fn get_queue_attributes(&self, caller: &Principal, input: GetQueueAttributes) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:GetQueueAttributes", &input.queue_url)?;
        let queues = self.queues();
        let queue = queues.get(&name).ok_or_else(SqsFault::no_queue)?;
        let counts = queue.counts(self.now_millis());
        let mut attributes = BTreeMap::from([
            ("ApproximateNumberOfMessages", counts.visible.to_string()),
            ("ApproximateNumberOfMessagesDelayed", "0".to_owned()),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ("QueueArn", self.arn(&name)),
            ("VisibilityTimeout", queue.options.visibility_timeout_seconds.to_string()),
        ]);
        if let Some(redrive) = &queue.options.redrive {
            let policy = json!({
                "deadLetterTargetArn": self.arn(&redrive.dead_letter_queue),
                "maxReceiveCount": redrive.max_receive_count,
            });
            attributes.insert("RedrivePolicy", policy.to_string());
        }
        attributes.retain(|name, _| is_wanted(&input.attribute_names, name));
        Ok(json!({"Attributes": attributes}))
    }
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|wanted| wanted == "All" || wanted == name)
}

/// Returns the MD5 of a body. With it the sender checks that the body arrived unchanged.
fn md5(body: &str) -> String {
    hex::encode(Md5::checksum(body.as_bytes()))
}

fn render_handle(handle: &Handle) -> String {
    STANDARD.encode(format!("{}/{}", handle.position, handle.receive_count))
}

fn parse_handle(text: &str) -> Result<Handle, SqsFault> {
    let parse = || {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (position, receive_count) = text.split_once('/')?;
        Some(Handle { position: position.parse().ok()?, receive_count: receive_count.parse().ok()? })
    };
    parse().ok_or_else(SqsFault::invalid_handle)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, SqsFault> {
    serde_json::from_slice(body)
        .map_err(|error| SqsFault::new("SerializationException", "MalformedInput", error.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Batch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Entry {
    id: String,
    /// The message to send, or the receipt handle of the one to delete.
    #[serde(alias = "MessageBody", alias = "ReceiptHandle")]
    content: String,
}

impl Batch {
    fn check(&self) -> Result<(), SqsFault> {
        if self.entries.is_empty() {
            return Err(SqsFault::new(
                "EmptyBatchRequest",
                "AWS.SimpleQueueService.EmptyBatchRequest",
                "There should be at least one entry in the request.",
            ));
        }
        if self.entries.len() > BATCH_MAX {
            return Err(SqsFault::new(
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                format!("Maximum number of entries per request are {BATCH_MAX}. You have sent {}.", self.entries.len()),
            ));
        }
        let mut ids = BTreeSet::new();
        for id in self.entries.iter().map(|entry| entry.id.as_str()) {
            if !(1..=80).contains(&id.len()) || !is_identifier(id) {
                return Err(SqsFault::new(
                    "InvalidBatchEntryId",
                    "AWS.SimpleQueueService.InvalidBatchEntryId",
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
                ));
            }
            if !ids.insert(id) {
                return Err(SqsFault::new(
                    "BatchEntryIdsNotDistinct",
                    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                    format!("Id {id} repeated."),
                ));
            }
        }
        Ok(())
    }

    /// Calls `each` with the content of each entry, and lists the entries that succeeded and those that failed.
    fn answer(self, mut each: impl FnMut(String) -> Result<Value, SqsFault>) -> Value {
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for Entry { id, content } in self.entries {
            match each(content) {
                Ok(mut result) => {
                    result["Id"] = json!(id);
                    successful.push(result);
                }
                Err(SqsFault { status, code, message, .. }) => {
                    let is_senders = !status.is_server_error();
                    failed.push(json!({"Id": id, "SenderFault": is_senders, "Code": code, "Message": message}));
                }
            }
        }
        json!({"Successful": successful, "Failed": failed})
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReceiveMessage {
    queue_url: String,
    max_number_of_messages: Option<usize>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteMessage {
    queue_url: String,
    receipt_handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_back_and_anything_else_is_not_one() {
        let handle = Handle { position: 7, receive_count: 2 };
        assert_eq!(parse_handle(&render_handle(&handle)).unwrap(), handle);
        for text in ["garbage", "", "d29yaw=="] {
            assert_eq!(parse_handle(text).unwrap_err().code, "ReceiptHandleIsInvalid");
        }
    }
}
