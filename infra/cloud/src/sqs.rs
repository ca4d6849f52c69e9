//! SQS: the AWS JSON 1.0 protocol, permissions and long polling. Owns the parameters and their refusals; how a queue
//! behaves is [`queue`](super::queue)'s.
//!
//! Not here: FIFO queues, queue policies (so another account's requests are denied), deleting, listing, tagging and
//! purging queues, and changing a queue's attributes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    access::{self, Consent, Decision, Principal},
    clock::Clock,
    entropy,
    iam::{Iam, KeyFault},
    policy::Context,
    queue::{self, Attribute, AttributeValue, Handle, NewMessage, QueueFault, QueueOptions, Queues, Received, Redrive},
    server::{self, Stop},
    sigv4::{Authorization, SignatureFault},
};

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// Entries of a batch.
const BATCH_MAX: usize = 10;
/// Attributes of a message.
const ATTRIBUTES_MAX: usize = 10;
/// Bytes of a request: ten messages that are a mebibyte together, escaped.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// All queues of this cloud, with what waits for their messages.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    account: String,
    region: String,
    /// The server's URL, without a slash at the end.
    endpoint: String,
    clock: Clock,
    queues: Mutex<Queues>,
    /// Changes whenever a message may have become visible.
    arrivals: watch::Sender<u64>,
}

impl Broker {
    pub(super) fn new(account: String, region: String, endpoint: String, clock: Clock) -> Self {
        let (queues, arrivals) = (Mutex::default(), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { account, region, endpoint, clock, queues, arrivals }) }
    }

    /// Creates a queue, or finds it where it has the same options already. Its URL.
    pub(super) fn create(&self, name: &str, options: QueueOptions) -> Result<String, SqsFault> {
        let is_name = !name.is_empty()
            && name.len() <= 80
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_name {
            return Err(SqsFault::invalid(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            ));
        }
        check_options(&options)?;
        let mut queues = self.lock();
        if let Some(redrive) = &options.redrive
            && queues.get(&redrive.dead_letter_queue).is_none()
        {
            return Err(SqsFault::attribute("RedrivePolicy", "Dead letter target does not exist."));
        }
        match queues.get(name) {
            Some(queue) if queue.options != options => {
                return Err(SqsFault::new(
                    "QueueNameExists",
                    "QueueAlreadyExists",
                    "A queue already exists with the same name and a different value for an attribute",
                ));
            }
            Some(_) => {}
            None => queues.create(name, self.arn(name), options, self.shared.clock.now_millis()),
        }
        Ok(self.url(name))
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.shared.endpoint, self.shared.account)
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.shared.region, self.shared.account)
    }

    /// The name in a queue's URL. Its host does not count, as on SQS.
    fn name_in_url(&self, url: &str) -> Result<String, SqsFault> {
        let mut parts = url.rsplit('/');
        match (parts.next(), parts.next()) {
            (Some(name), Some(account)) if account == self.shared.account => Ok(name.to_owned()),
            _ => Err(QueueFault::NoQueue.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.shared.arrivals.send_modify(|arrivals| *arrivals = arrivals.wrapping_add(1));
    }
}

/// A refusal in the protocol's form: the modelled name, and the older code that the SDKs report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqsFault {
    status: StatusCode,
    name: String,
    code: &'static str,
    message: String,
}

impl std::fmt::Display for SqsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for SqsFault {}

impl SqsFault {
    fn new(name: &str, code: &'static str, message: impl Into<String>) -> Self {
        let name = format!("com.amazonaws.sqs#{name}");
        Self { status: StatusCode::BAD_REQUEST, name, code, message: message.into() }
    }

    /// One that every AWS service knows, and SQS's model does not name.
    fn common(status: StatusCode, name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, name: format!("com.amazon.coral.service#{name}"), code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::common(StatusCode::BAD_REQUEST, "InvalidParameterValueException", "InvalidParameterValue", message)
    }

    fn missing(parameter: &str) -> Self {
        let message = format!("The request must contain the parameter {parameter}.");
        Self::common(StatusCode::BAD_REQUEST, "MissingRequiredParameterException", "MissingParameter", message)
    }

    fn side(&self) -> &'static str {
        if self.status.is_server_error() { "Receiver" } else { "Sender" }
    }

    fn attribute(name: &str, reason: &str) -> Self {
        let message = format!("Invalid value for the parameter {name}. Reason: {reason}");
        Self::new("InvalidAttributeValue", "InvalidAttributeValue", message)
    }
}

impl From<QueueFault> for SqsFault {
    fn from(fault: QueueFault) -> Self {
        let message = fault.to_string();
        match fault {
            QueueFault::NoQueue => Self::new("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", message),
            QueueFault::InvalidHandle => Self::new("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", message),
            QueueFault::NotInFlight => {
                Self::new("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", message)
            }
            QueueFault::OverLimit => Self::new("OverLimit", "OverLimit", message),
        }
    }
}

#[derive(Clone)]
struct Sqs {
    iam: Iam,
    broker: Broker,
    stop: Stop,
}

pub(super) fn router(iam: Iam, broker: Broker, stop: Stop) -> Router {
    Router::new().route("/", post(handle)).with_state(Sqs { iam, broker, stop })
}

async fn handle(State(sqs): State<Sqs>, request: Request) -> Response {
    let mut response = match sqs.answer(request).await {
        Ok(body) => server::respond(StatusCode::OK, CONTENT_TYPE, body.to_string()),
        Err(fault) => {
            let body = json!({"__type": fault.name, "message": fault.message}).to_string();
            let mut response = server::respond(fault.status, CONTENT_TYPE, body);
            server::set_header(&mut response, "x-amzn-query-error", &format!("{};{}", fault.code, fault.side()));
            response
        }
    };
    server::set_header(&mut response, "x-amzn-requestid", &entropy::request_id());
    response
}

impl Sqs {
    async fn answer(&self, request: Request) -> Result<Value, SqsFault> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX_BYTES)
            .await
            .map_err(|_| SqsFault::invalid("The request is too large."))?;
        let caller = self.authenticate(&parts, &body)?;
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = target.strip_prefix("AmazonSQS.").unwrap_or_default();
        match operation {
            "CreateQueue" => self.create_queue(&caller, parse(&body)?),
            "GetQueueUrl" => self.get_queue_url(&caller, parse(&body)?),
            "GetQueueAttributes" => self.get_queue_attributes(&caller, parse(&body)?),
            "SendMessage" => self.send_message(&caller, parse(&body)?),
            "SendMessageBatch" => self.send_message_batch(&caller, parse(&body)?),
            "ReceiveMessage" => self.receive_message(&caller, parse(&body)?).await,
            "DeleteMessage" => self.delete_message(&caller, parse(&body)?),
            "DeleteMessageBatch" => self.delete_message_batch(&caller, parse(&body)?),
            "ChangeMessageVisibility" => self.change_message_visibility(&caller, parse(&body)?),
            "ChangeMessageVisibilityBatch" => self.change_message_visibility_batch(&caller, parse(&body)?),
            _ => Err(SqsFault::common(
                StatusCode::BAD_REQUEST,
                "UnknownOperationException",
                "InvalidAction",
                format!("The action {operation} is not valid for this endpoint."),
            )),
        }
    }

    fn authenticate(&self, request: &http::request::Parts, body: &[u8]) -> Result<Principal, SqsFault> {
        let forbidden = |name, code, message: String| SqsFault::common(StatusCode::FORBIDDEN, name, code, message);
        let signature = |fault: SignatureFault| match fault {
            SignatureFault::Missing => {
                forbidden("MissingAuthenticationTokenException", "MissingAuthenticationToken", fault.to_string())
            }
            SignatureFault::Incomplete(_) => {
                forbidden("IncompleteSignatureException", "IncompleteSignature", fault.to_string())
            }
            SignatureFault::Mismatch | SignatureFault::Skewed(_) => {
                forbidden("InvalidSignatureException", "SignatureDoesNotMatch", fault.to_string())
            }
        };
        let key = |fault| match fault {
            KeyFault::Unknown | KeyFault::InvalidToken => forbidden(
                "UnrecognizedClientException",
                "InvalidClientTokenId",
                "The security token included in the request is invalid.".to_owned(),
            ),
            KeyFault::Expired => forbidden(
                "ExpiredTokenException",
                "ExpiredToken",
                "The security token included in the request is expired".to_owned(),
            ),
        };
        let authorization = Authorization::parse(&request.headers).map_err(signature)?;
        let key_id = &authorization.access_key_id;
        let secret = self.iam.secret(key_id).ok_or_else(|| key(KeyFault::Unknown))?;
        let caller = self.iam.authenticate(key_id, authorization.session_token.as_deref()).map_err(key)?;
        authorization
            .verify("sqs", &secret, &request.method, &request.uri, &request.headers, body)
            .map_err(signature)?;
        Ok(caller)
    }

    /// Permits or refuses an action on a queue. Batches need the permission of their single action.
    fn authorize(&self, caller: &Principal, action: &str, name: &str) -> Result<(), SqsFault> {
        let resource = self.broker.arn(name);
        let context = Context::new()
            .with("aws:SecureTransport", "true")
            .with("aws:PrincipalArn", caller.role_arn.as_deref().unwrap_or(&caller.arn))
            .with("aws:PrincipalAccount", &caller.account)
            .with("aws:userid", &caller.user_id);
        let request = access::Request {
            principal: Some(caller),
            action,
            resource: &resource,
            resource_account: &self.broker.shared.account,
            resource_policy: None,
            consent: Consent::Optional,
            context: &context,
        };
        match request.decide() {
            Decision::Allowed(_) => Ok(()),
            Decision::Denied(denial) => {
                // SQS writes its actions in lower case here.
                let action = action.to_ascii_lowercase();
                let message = format!(
                    "User: {} is not authorized to perform: {action} on resource: {resource} {}",
                    caller.arn,
                    denial.because(&action)
                );
                Err(SqsFault::common(StatusCode::FORBIDDEN, "AccessDeniedException", "AccessDenied", message))
            }
        }
    }

    /// The queue that a URL names, if the caller may do that with it and it exists.
    fn queue(&self, caller: &Principal, action: &str, url: Option<&str>) -> Result<String, SqsFault> {
        let name = self.broker.name_in_url(url.ok_or_else(|| SqsFault::missing("QueueUrl"))?)?;
        self.authorize(caller, action, &name)?;
        self.broker.lock().get(&name).ok_or(QueueFault::NoQueue)?;
        Ok(name)
    }

    fn create_queue(&self, caller: &Principal, input: CreateQueue) -> Result<Value, SqsFault> {
        let name = input.queue_name.ok_or_else(|| SqsFault::missing("QueueName"))?;
        self.authorize(caller, "sqs:CreateQueue", &name)?;
        let url = self.broker.create(&name, parse_options(&input.attributes, &self.broker.arn(""))?)?;
        Ok(json!({"QueueUrl": url}))
    }

    fn get_queue_url(&self, caller: &Principal, input: GetQueueUrl) -> Result<Value, SqsFault> {
        let name = input.queue_name.ok_or_else(|| SqsFault::missing("QueueName"))?;
        self.authorize(caller, "sqs:GetQueueUrl", &name)?;
        let is_ours = input.queue_owner_aws_account_id.is_none_or(|account| account == self.broker.shared.account);
        match self.broker.lock().get(&name) {
            Some(_) if is_ours => Ok(json!({"QueueUrl": self.broker.url(&name)})),
            _ => Err(QueueFault::NoQueue.into()),
        }
    }

    fn get_queue_attributes(&self, caller: &Principal, input: GetQueueAttributes) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:GetQueueAttributes", input.queue_url.as_deref())?;
        let queues = self.broker.lock();
        let queue = queues.get(&name).ok_or(QueueFault::NoQueue)?;
        let counts = queue.counts(self.broker.shared.clock.now_millis());
        let options = &queue.options;
        let created = (queue.created_millis / 1000).to_string();
        let mut all = BTreeMap::from([
            ("ApproximateNumberOfMessages", counts.visible.to_string()),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ("CreatedTimestamp", created.clone()),
            ("DelaySeconds", options.delay_seconds.to_string()),
            ("LastModifiedTimestamp", created),
            ("MaximumMessageSize", options.message_max_bytes.to_string()),
            ("MessageRetentionPeriod", options.retention_seconds.to_string()),
            ("QueueArn", queue.arn.clone()),
            ("ReceiveMessageWaitTimeSeconds", options.receive_wait_seconds.to_string()),
            ("SqsManagedSseEnabled", "false".to_owned()),
            ("VisibilityTimeout", options.visibility_timeout_seconds.to_string()),
        ]);
        if let Some(redrive) = &options.redrive {
            let policy = json!({
                "deadLetterTargetArn": self.broker.arn(&redrive.dead_letter_queue),
                "maxReceiveCount": redrive.max_receive_count,
            });
            all.insert("RedrivePolicy", policy.to_string());
        }
        let wanted = input.attribute_names;
        if let Some(unknown) = wanted.iter().find(|name| !QUEUE_ATTRIBUTES.contains(&name.as_str())) {
            let message = format!("Unknown Attribute {unknown}.");
            return Err(SqsFault::new("InvalidAttributeName", "InvalidAttributeName", message));
        }
        all.retain(|name, _| wanted.iter().any(|wanted| wanted == "All" || wanted == name));
        Ok(if all.is_empty() { json!({}) } else { json!({"Attributes": all}) })
    }

    fn send_message(&self, caller: &Principal, input: SendMessage) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:SendMessage", input.queue_url.as_deref())?;
        let message = self.understand(caller, &name, input.message)?;
        let sent = sent(&message);
        self.put(&name, message)?;
        Ok(Value::Object(sent))
    }

    fn send_message_batch(&self, caller: &Principal, input: Batch<SendEntry>) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:SendMessage", input.queue_url.as_deref())?;
        check_batch(&input.entries, |entry| entry.id.as_deref())?;
        let understood: Vec<_> = input
            .entries
            .into_iter()
            .map(|entry| (entry.id.unwrap_or_default(), self.understand(caller, &name, entry.message)))
            .collect();
        let size: usize =
            understood.iter().filter_map(|(_, message)| message.as_ref().ok()).map(NewMessage::size_bytes).sum();
        if size > queue::MESSAGE_MAX_BYTES {
            return Err(SqsFault::new(
                "BatchRequestTooLong",
                "AWS.SimpleQueueService.BatchRequestTooLong",
                format!(
                    "Batch requests cannot be longer than {} bytes. You have sent {size} bytes.",
                    queue::MESSAGE_MAX_BYTES
                ),
            ));
        }
        batch_result(understood, |message| {
            let sent = sent(&message);
            self.put(&name, message)?;
            Ok(sent)
        })
    }

    fn put(&self, name: &str, message: NewMessage) -> Result<(), SqsFault> {
        self.broker.lock().send(name, message, self.broker.shared.clock.now_millis())?;
        self.broker.announce();
        Ok(())
    }

    fn understand(&self, caller: &Principal, name: &str, message: OutMessage) -> Result<NewMessage, SqsFault> {
        let body =
            message.message_body.filter(|body| !body.is_empty()).ok_or_else(|| SqsFault::missing("MessageBody"))?;
        // The characters that XML 1.0 has: the older protocol could not have carried others.
        let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
        if let Some(character) = body.chars().find(|character| !is_allowed(*character)) {
            let message =
                format!("Invalid binary character '#x{:X}' was found in the message body.", u32::from(character));
            return Err(SqsFault::new("InvalidMessageContents", "InvalidMessageContents", message));
        }
        if message.delay_seconds.is_some_and(|seconds| seconds > 900) {
            return Err(SqsFault::invalid(
                "Value for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
            ));
        }
        if message.message_attributes.len() > ATTRIBUTES_MAX {
            return Err(SqsFault::invalid(format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                message.message_attributes.len()
            )));
        }
        let attributes = message
            .message_attributes
            .into_iter()
            .map(|(name, attribute)| Ok((name.clone(), attribute.understand(&name)?)))
            .collect::<Result<_, SqsFault>>()?;
        let trace_header = message.message_system_attributes.get("AWSTraceHeader");
        let message = NewMessage {
            id: entropy::message_id().map_err(|error| {
                SqsFault::common(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalFailure",
                    "InternalFailure",
                    error.to_string(),
                )
            })?,
            body,
            attributes,
            delay_seconds: message.delay_seconds,
            sender_id: caller.user_id.clone(),
            trace_header: trace_header.and_then(|attribute| attribute.string_value.clone()),
        };
        let max = self.broker.lock().get(name).ok_or(QueueFault::NoQueue)?.options.message_max_bytes;
        if message.size_bytes() > max {
            return Err(SqsFault::invalid(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {max} bytes."
            )));
        }
        Ok(message)
    }

    async fn receive_message(&self, caller: &Principal, input: ReceiveMessage) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:ReceiveMessage", input.queue_url.as_deref())?;
        let max = input.max_number_of_messages.unwrap_or(1);
        if !(1..=BATCH_MAX).contains(&max) {
            return Err(SqsFault::invalid(format!(
                "Value {max} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            )));
        }
        if let Some(seconds) = input.visibility_timeout {
            check_visibility(seconds)?;
        }
        let default_wait = self.broker.lock().get(&name).ok_or(QueueFault::NoQueue)?.options.receive_wait_seconds;
        let wait_seconds = input.wait_time_seconds.unwrap_or(default_wait);
        if wait_seconds > 20 {
            return Err(SqsFault::invalid(format!(
                "Value {wait_seconds} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
            )));
        }
        let received =
            self.poll(&name, max, input.visibility_timeout, Duration::from_secs(wait_seconds.into())).await?;
        let wanted = Wanted {
            system: input.attribute_names.into_iter().chain(input.message_system_attribute_names).collect(),
            attributes: input.message_attribute_names,
        };
        let messages: Vec<Value> = received.into_iter().map(|received| wanted.render(received)).collect();
        Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) })
    }

    /// Receives, and waits for a message where there is none: until one arrives or becomes visible, the wait is over,
    /// or the cloud stops.
    async fn poll(
        &self,
        name: &str,
        max: usize,
        visibility_seconds: Option<u32>,
        wait: Duration,
    ) -> Result<Vec<Received>, SqsFault> {
        let deadline = Instant::now() + wait;
        let mut arrivals = self.broker.shared.arrivals.subscribe();
        let mut clock = self.broker.shared.clock.changes();
        loop {
            arrivals.mark_unchanged();
            clock.mark_unchanged();
            let next_visible = {
                let now_millis = self.broker.shared.clock.now_millis();
                let mut queues = self.broker.lock();
                let received = queues.receive(name, max, visibility_seconds, now_millis)?;
                if !received.is_empty() || Instant::now() >= deadline {
                    return Ok(received);
                }
                queues
                    .next_visible_millis(name)
                    .map(|visible| Duration::from_millis(visible.saturating_sub(now_millis)))
            };
            let again_at = next_visible.map_or(deadline, |pause| deadline.min(Instant::now() + pause));
            tokio::select! {
                () = tokio::time::sleep_until(again_at) => {}
                _ = arrivals.changed() => {}
                _ = clock.changed() => {}
                () = server::stopped(self.stop.clone()) => return Ok(Vec::new()),
            }
        }
    }

    fn delete_message(&self, caller: &Principal, input: OneHandle) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:DeleteMessage", input.queue_url.as_deref())?;
        self.broker.lock().delete(&name, &parse_handle(input.receipt_handle.as_deref())?)?;
        Ok(json!({}))
    }

    fn delete_message_batch(&self, caller: &Principal, input: Batch<HandleEntry>) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:DeleteMessage", input.queue_url.as_deref())?;
        check_batch(&input.entries, |entry| entry.id.as_deref())?;
        let entries =
            input.entries.into_iter().map(|entry| (entry.id.clone().unwrap_or_default(), Ok(entry))).collect();
        batch_result(entries, |entry: HandleEntry| {
            self.broker.lock().delete(&name, &parse_handle(entry.receipt_handle.as_deref())?)?;
            Ok(Map::new())
        })
    }

    fn change_message_visibility(&self, caller: &Principal, input: OneHandle) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:ChangeMessageVisibility", input.queue_url.as_deref())?;
        self.change_visibility(&name, input.receipt_handle.as_deref(), input.visibility_timeout)?;
        Ok(json!({}))
    }

    fn change_message_visibility_batch(
        &self,
        caller: &Principal,
        input: Batch<HandleEntry>,
    ) -> Result<Value, SqsFault> {
        let name = self.queue(caller, "sqs:ChangeMessageVisibility", input.queue_url.as_deref())?;
        check_batch(&input.entries, |entry| entry.id.as_deref())?;
        let entries =
            input.entries.into_iter().map(|entry| (entry.id.clone().unwrap_or_default(), Ok(entry))).collect();
        batch_result(entries, |entry: HandleEntry| {
            self.change_visibility(&name, entry.receipt_handle.as_deref(), entry.visibility_timeout)?;
            Ok(Map::new())
        })
    }

    fn change_visibility(&self, name: &str, handle: Option<&str>, seconds: Option<u32>) -> Result<(), SqsFault> {
        let handle = parse_handle(handle)?;
        let seconds = seconds.ok_or_else(|| SqsFault::missing("VisibilityTimeout"))?;
        check_visibility(seconds)?;
        self.broker.lock().change_visibility(name, &handle, seconds, self.broker.shared.clock.now_millis())?;
        self.broker.announce();
        Ok(())
    }
}

/// Which attributes of messages a receiver asked for.
struct Wanted {
    system: Vec<String>,
    attributes: Vec<String>,
}

impl Wanted {
    fn render(&self, Received { message, handle }: Received) -> Value {
        let mut rendered = json!({
            "MessageId": message.id,
            "ReceiptHandle": render_handle(&handle),
            "MD5OfBody": queue::md5_of_body(&message.body),
            "Body": message.body,
        });
        let mut system = BTreeMap::from([
            ("ApproximateFirstReceiveTimestamp", message.first_received_millis.to_string()),
            ("ApproximateReceiveCount", message.receive_count.to_string()),
            ("SenderId", message.sender_id),
            ("SentTimestamp", message.sent_millis.to_string()),
        ]);
        if let Some(source) = message.dead_letter_source {
            system.insert("DeadLetterQueueSourceArn", source);
        }
        if let Some(trace_header) = message.trace_header {
            system.insert("AWSTraceHeader", trace_header);
        }
        system.retain(|name, _| self.system.iter().any(|wanted| wanted == "All" || wanted == name));
        if !system.is_empty() {
            rendered["Attributes"] = json!(system);
        }
        let mut attributes = message.attributes;
        attributes.retain(|name, _| self.attributes.iter().any(|wanted| is_wanted(wanted, name)));
        if let Some(md5) = queue::md5_of_attributes(&attributes) {
            rendered["MD5OfMessageAttributes"] = json!(md5);
            let values = attributes.into_iter().map(|(name, attribute)| {
                let value = match attribute.value {
                    AttributeValue::Text(text) => json!({"DataType": attribute.data_type, "StringValue": text}),
                    AttributeValue::Bytes(bytes) => {
                        json!({"DataType": attribute.data_type, "BinaryValue": STANDARD.encode(bytes)})
                    }
                };
                (name, value)
            });
            rendered["MessageAttributes"] = Value::Object(values.collect());
        }
        rendered
    }
}

/// `All`, a name, or the beginning of names followed by `.*`.
fn is_wanted(wanted: &str, name: &str) -> bool {
    matches!(wanted, "All" | ".*")
        || wanted == name
        || wanted.strip_suffix(".*").is_some_and(|start| name.starts_with(start))
}

fn sent(message: &NewMessage) -> Map<String, Value> {
    let mut sent = Map::new();
    sent.insert("MessageId".to_owned(), json!(message.id));
    sent.insert("MD5OfMessageBody".to_owned(), json!(queue::md5_of_body(&message.body)));
    if let Some(md5) = queue::md5_of_attributes(&message.attributes) {
        sent.insert("MD5OfMessageAttributes".to_owned(), json!(md5));
    }
    sent
}

/// Does each entry, and reports those that went well and those that did not.
fn batch_result<T>(
    entries: Vec<(String, Result<T, SqsFault>)>,
    mut each: impl FnMut(T) -> Result<Map<String, Value>, SqsFault>,
) -> Result<Value, SqsFault> {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        match entry.and_then(&mut each) {
            Ok(mut result) => {
                result.insert("Id".to_owned(), json!(id));
                successful.push(Value::Object(result));
            }
            Err(fault) => failed.push(json!({
                "Id": id, "SenderFault": true, "Code": fault.code, "Message": fault.message})),
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}

fn check_batch<T>(entries: &[T], id: impl Fn(&T) -> Option<&str>) -> Result<(), SqsFault> {
    if entries.is_empty() {
        return Err(SqsFault::new(
            "EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ));
    }
    if entries.len() > BATCH_MAX {
        return Err(SqsFault::new(
            "TooManyEntriesInBatchRequest",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            format!("Maximum number of entries per request are {BATCH_MAX}. You have sent {}.", entries.len()),
        ));
    }
    let mut ids = BTreeSet::new();
    for entry in entries {
        let id = id(entry).unwrap_or_default();
        let is_id = (1..=80).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_id {
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

fn check_visibility(seconds: u32) -> Result<(), SqsFault> {
    if seconds > queue::VISIBILITY_MAX_SECONDS {
        return Err(SqsFault::invalid(format!(
            "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and {}.",
            queue::VISIBILITY_MAX_SECONDS
        )));
    }
    Ok(())
}

fn render_handle(handle: &Handle) -> String {
    STANDARD.encode(format!("{}/{}/{}", handle.queue, handle.position, handle.receive_count))
}

fn parse_handle(text: Option<&str>) -> Result<Handle, SqsFault> {
    let text = text.ok_or_else(|| SqsFault::missing("ReceiptHandle"))?;
    let parse = || {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let mut parts = text.split('/');
        let handle = Handle {
            queue: parts.next()?.to_owned(),
            position: parts.next()?.parse().ok()?,
            receive_count: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(handle)
    };
    parse().ok_or_else(|| QueueFault::InvalidHandle.into())
}

#[rustfmt::skip]
const QUEUE_ATTRIBUTES: &[&str] = &[
    "All", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp", "DelaySeconds", "LastModifiedTimestamp", "MaximumMessageSize", "MessageRetentionPeriod", "QueueArn",
    "ReceiveMessageWaitTimeSeconds", "RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout", "Policy", "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds", "RedriveAllowPolicy",
];

fn check_options(options: &QueueOptions) -> Result<(), SqsFault> {
    let checks = [
        ("VisibilityTimeout", u64::from(options.visibility_timeout_seconds), 0..=43_200),
        ("DelaySeconds", u64::from(options.delay_seconds), 0..=900),
        ("ReceiveMessageWaitTimeSeconds", u64::from(options.receive_wait_seconds), 0..=20),
        ("MessageRetentionPeriod", u64::from(options.retention_seconds), 60..=1_209_600),
        ("MaximumMessageSize", options.message_max_bytes as u64, 1024..=queue::MESSAGE_MAX_BYTES as u64),
        ("RedrivePolicy", options.redrive.as_ref().map_or(1, |redrive| redrive.max_receive_count.into()), 1..=1000),
    ];
    for (name, value, bounds) in checks {
        if !bounds.contains(&value) {
            let reason = format!("Must be between {} and {}.", bounds.start(), bounds.end());
            return Err(SqsFault::attribute(name, &reason));
        }
    }
    Ok(())
}

fn parse_options(attributes: &BTreeMap<String, String>, arn_prefix: &str) -> Result<QueueOptions, SqsFault> {
    let mut options = QueueOptions::default();
    for (name, value) in attributes {
        let number = || value.parse::<u32>().map_err(|_| SqsFault::attribute(name, "It is not a number."));
        match name.as_str() {
            "VisibilityTimeout" => options.visibility_timeout_seconds = number()?,
            "DelaySeconds" => options.delay_seconds = number()?,
            "ReceiveMessageWaitTimeSeconds" => options.receive_wait_seconds = number()?,
            "MessageRetentionPeriod" => options.retention_seconds = number()?,
            "MaximumMessageSize" => options.message_max_bytes = number()? as usize,
            "RedrivePolicy" => options.redrive = Some(parse_redrive(value, arn_prefix)?),
            _ => {
                let message = format!("Unknown Attribute {name}.");
                return Err(SqsFault::new("InvalidAttributeName", "InvalidAttributeName", message));
            }
        }
    }
    Ok(options)
}

fn parse_redrive(text: &str, arn_prefix: &str) -> Result<Redrive, SqsFault> {
    let fault = |reason| SqsFault::attribute("RedrivePolicy", reason);
    let policy: Value = serde_json::from_str(text).map_err(|_| fault("It is not valid JSON."))?;
    let dead_letter_queue = policy["deadLetterTargetArn"]
        .as_str()
        .and_then(|arn| arn.strip_prefix(arn_prefix))
        .ok_or_else(|| fault("deadLetterTargetArn is not a queue of the same account and region."))?
        .to_owned();
    let count = &policy["maxReceiveCount"];
    let max_receive_count = count
        .as_u64()
        .or_else(|| count.as_str()?.parse().ok())
        .and_then(|count| u32::try_from(count).ok())
        .ok_or_else(|| fault("maxReceiveCount is not a number."))?;
    Ok(Redrive { dead_letter_queue, max_receive_count })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, SqsFault> {
    serde_json::from_slice(body).map_err(|error| {
        SqsFault::common(StatusCode::BAD_REQUEST, "SerializationException", "MalformedInput", error.to_string())
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    queue_owner_aws_account_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: Option<String>,
    #[serde(flatten)]
    message: OutMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OutMessage {
    message_body: Option<String>,
    delay_seconds: Option<u32>,
    #[serde(default)]
    message_attributes: BTreeMap<String, OutAttribute>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, OutAttribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OutAttribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl OutAttribute {
    fn understand(self, name: &str) -> Result<Attribute, SqsFault> {
        let fault = |reason: &str| SqsFault::invalid(format!("The message attribute '{name}' is invalid: {reason}"));
        let value = match (self.data_type.split('.').next(), self.string_value, self.binary_value) {
            (Some("String" | "Number"), Some(text), None) if !text.is_empty() => AttributeValue::Text(text),
            (Some("Binary"), None, Some(bytes)) if !bytes.is_empty() => {
                AttributeValue::Bytes(STANDARD.decode(bytes).map_err(|_| fault("the value is not base64."))?)
            }
            (Some("String" | "Number" | "Binary"), ..) => return Err(fault("it needs one value of its type.")),
            _ => return Err(fault("the type must start with String, Number or Binary.")),
        };
        Ok(Attribute { data_type: self.data_type, value })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "T: Deserialize<'de>"))]
struct Batch<T> {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEntry {
    id: Option<String>,
    #[serde(flatten)]
    message: OutMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HandleEntry {
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OneHandle {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: Option<String>,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u32>,
    wait_time_seconds: Option<u32>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_back_and_anything_else_is_not_one() {
        let handle = Handle { queue: "work".to_owned(), position: 7, receive_count: 2 };
        assert_eq!(parse_handle(Some(&render_handle(&handle))).unwrap(), handle);
        for text in ["garbage", "", "d29yaw=="] {
            assert_eq!(parse_handle(Some(text)).unwrap_err().code, "ReceiptHandleIsInvalid");
        }
    }

    #[test]
    fn attributes_are_asked_for_by_name_or_by_prefix() {
        for (wanted, name, matches) in
            [("All", "a", true), (".*", "a", true), ("a", "a", true), ("ship.*", "shipper", true), ("a", "ab", false)]
        {
            assert_eq!(is_wanted(wanted, name), matches, "{wanted} for {name}");
        }
    }

    #[test]
    fn a_redrive_policy_names_a_queue_of_the_same_account_and_region() {
        let prefix = "arn:aws:sqs:us-east-1:111122223333:";
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:111122223333:dead","maxReceiveCount":"3"}"#;
        let expected = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count: 3 };
        assert_eq!(parse_redrive(policy, prefix).unwrap(), expected);
        assert!(parse_redrive(policy, "arn:aws:sqs:eu-west-1:111122223333:").is_err());
        assert!(parse_redrive("{}", prefix).is_err());
    }
}
