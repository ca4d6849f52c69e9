//! STS over the query protocol: `AssumeRole` and `GetCallerIdentity`. Owns the parameters, the errors and their messages,
//! and the XML; [`access`](super::access) decides on trust, and [`iam`](super::iam) keeps the sessions.
//!
//! One server answers for every region. A parameter that is not supported is refused, not ignored. Not supported: managed
//! session policies, session tags, source identities, MFA, and the other actions.

use std::collections::HashMap;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use http::StatusCode;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    access::{self, Consent, Decision, Principal},
    clock::Clock,
    entropy,
    iam::{self, Iam, NewSession},
    policy::{Context, Policy, PolicyKind},
    server,
    sigv4::{self, Unauthenticated},
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const DEFAULT_DURATION_SECONDS: u32 = 3600;
/// The longest session of a role that was assumed by another role's session.
const CHAINED_DURATION_SECONDS: u32 = 3600;
/// Characters of an inline session policy (API reference of `AssumeRole`).
const SESSION_POLICY_MAX_CHARS: usize = 2048;
/// Bytes of a request: more than twice the largest parameters.
const BODY_MAX_BYTES: usize = 64 * 1024;

#[derive(Clone)]
struct Sts {
    iam: Iam,
    clock: Clock,
}

pub(crate) fn router(iam: Iam, clock: Clock) -> Router {
    Router::new().route("/", post(handle)).with_state(Sts { iam, clock })
}

#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    fn constraint(value: &str, member: &str, constraint: &str) -> Self {
        Self::invalid(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
        ))
    }

    fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", error.to_string())
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(Unauthenticated { code, message }: Unauthenticated) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }
}

async fn handle(State(sts): State<Sts>, request: Request) -> Response {
    let request_id = entropy::request_id();
    let (status, body) = match sts.answer(request).await {
        Ok((action, result)) => (
            StatusCode::OK,
            format!(
                "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
            ),
        ),
        Err(Refusal { status, code, message }) => {
            let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
            let message = server::escape_xml(&message);
            (
                status,
                format!(
                    "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
                ),
            )
        }
    };
    let mut response = server::respond(status, "text/xml", body);
    server::set_header(&mut response, "x-amzn-requestid", &request_id);
    response
}

impl Sts {
    async fn answer(&self, request: Request) -> Result<(&'static str, String), Refusal> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX_BYTES).await.map_err(|_| {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "The request is too large.")
        })?;
        let parameters: HashMap<String, String> = serde_urlencoded::from_bytes(&body)
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "MalformedQueryString", "The body is not a form."))?;
        let caller = sigv4::authenticate(&self.iam, "sts", &parts, &body)?;
        match parameters.get("Action").map(String::as_str) {
            Some("GetCallerIdentity") => Ok(("GetCallerIdentity", caller_identity(&caller))),
            Some("AssumeRole") => Ok(("AssumeRole", self.assume_role(&caller, &parameters)?)),
            action => {
                let action = action.unwrap_or_default();
                let message = format!("Could not find operation {action} for version 2011-06-15");
                Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidAction", message))
            }
        }
    }

    fn assume_role(&self, caller: &Principal, parameters: &HashMap<String, String>) -> Result<String, Refusal> {
        let asked = AssumeRole::parse(parameters)?;
        let refuse = |why: &str| {
            let message = format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {}{why}",
                caller.arn, asked.role_arn
            );
            Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", message)
        };
        // The message is the same if the role does not exist: a caller that may not assume a role must not learn
        // whether it exists.
        let role = self.iam.trusted_role(&asked.role_arn).ok_or_else(|| refuse(""))?;
        let context = Context::of(Some(caller))
            .with_some("sts:ExternalId", asked.external_id.as_deref())
            .with("sts:RoleSessionName", &asked.session_name);
        let request = access::Request {
            principal: Some(caller),
            action: "sts:AssumeRole",
            resource: &asked.role_arn,
            resource_account: &role.account,
            resource_policy: Some(&role.trust),
            consent: Consent::Required,
            context: &context,
        };
        if let Decision::Denied(denial) = request.decide() {
            return Err(match denial {
                access::Denial::Implicit(_) | access::Denial::Explicit(access::Source::Resource) => refuse(""),
                access::Denial::Explicit(_) => refuse(&format!(" {}", denial.because("sts:AssumeRole"))),
            });
        }
        if caller.role_arn.is_some() && asked.duration_seconds > CHAINED_DURATION_SECONDS {
            return Err(Refusal::invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            ));
        }
        if asked.duration_seconds > role.max_session_seconds {
            return Err(Refusal::invalid(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }

        // AWS states the expiry in whole seconds.
        let expires_seconds = self.clock.now_millis() / 1000 + u64::from(asked.duration_seconds);
        let expiration = i64::try_from(expires_seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .ok_or_else(|| Refusal::internal("the session would end outside the calendar"))?;
        let (_, arn, id) = iam::assumed_role(&asked.role_arn, &asked.session_name)
            .ok_or_else(|| Refusal::internal("a stored role has an invalid ARN"))?;
        let packed_size = asked
            .policy_chars
            .map(|chars| format!("<PackedPolicySize>{}</PackedPolicySize>", packed_percent(chars).max(1)));
        let key = self
            .iam
            .open_session(NewSession {
                role_arn: asked.role_arn,
                name: asked.session_name,
                policy: asked.policy,
                expires_millis: expires_seconds * 1000,
            })
            .map_err(Refusal::internal)?;
        Ok(format!(
            "<AssumedRoleUser><AssumedRoleId>{id}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{expiration}</Expiration></Credentials>{}",
            key.id,
            key.secret,
            key.session_token.unwrap_or_default(),
            packed_size.unwrap_or_default()
        ))
    }
}

fn caller_identity(caller: &Principal) -> String {
    format!(
        "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
        server::escape_xml(&caller.arn),
        server::escape_xml(&caller.user_id),
        caller.account
    )
}

fn packed_percent(chars: usize) -> usize {
    chars * 100 / SESSION_POLICY_MAX_CHARS
}

/// The parameters of `AssumeRole`. Bounds and patterns are those of its API reference.
#[derive(Debug, PartialEq, Eq)]
struct AssumeRole {
    role_arn: String,
    session_name: String,
    external_id: Option<String>,
    duration_seconds: u32,
    policy: Option<Policy>,
    policy_chars: Option<usize>,
}

impl AssumeRole {
    fn parse(parameters: &HashMap<String, String>) -> Result<Self, Refusal> {
        let get = |name: &str| parameters.get(name).map(String::as_str);
        for name in parameters.keys() {
            let known = ["Action", "Version", "RoleArn", "RoleSessionName", "ExternalId", "DurationSeconds", "Policy"];
            if !known.contains(&name.as_str()) {
                // Ignoring a parameter that restricts a session would grant more than was asked for.
                return Err(Refusal::invalid(format!("{name} is not supported by the embedded STS")));
            }
        }
        let role_arn = required(get("RoleArn"), "roleArn")?;
        if !(20..=2048).contains(&role_arn.len()) {
            return Err(Refusal::constraint(role_arn, "roleArn", "have length greater than or equal to 20"));
        }
        let is_role = role_arn
            .strip_prefix("arn:aws:iam::")
            .and_then(|rest| rest.split_once(":role/"))
            .is_some_and(|(account, name)| super::policy::is_account(account) && !name.is_empty());
        if !is_role {
            return Err(Refusal::invalid(format!("{role_arn} is invalid")));
        }
        let session_name = required(get("RoleSessionName"), "roleSessionName")?;
        check_text(session_name, "roleSessionName", 2..=64, "[\\w+=,.@-]*", "+=,.@-_")?;
        if let Some(external_id) = get("ExternalId") {
            check_text(external_id, "externalId", 2..=1224, "[\\w+=,.@:\\/-]*", "+=,.@:/-_")?;
        }
        let duration_seconds = match get("DurationSeconds") {
            None => DEFAULT_DURATION_SECONDS,
            Some(text) => {
                let seconds: u32 =
                    text.parse().map_err(|_| Refusal::invalid(format!("{text} is not a number of seconds")))?;
                match seconds {
                    0..900 => {
                        let constraint = "have value greater than or equal to 900";
                        return Err(Refusal::constraint(text, "durationSeconds", constraint));
                    }
                    900..=43200 => seconds,
                    _ => {
                        let constraint = "have value less than or equal to 43200";
                        return Err(Refusal::constraint(text, "durationSeconds", constraint));
                    }
                }
            }
        };
        Ok(Self {
            role_arn: role_arn.to_owned(),
            session_name: session_name.to_owned(),
            external_id: get("ExternalId").map(str::to_owned),
            duration_seconds,
            policy: get("Policy").map(parse_session_policy).transpose()?,
            policy_chars: get("Policy").map(|text| text.chars().count()),
        })
    }
}

fn required<'a>(value: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
    value.ok_or_else(|| {
        Refusal::invalid(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

fn check_text(
    value: &str,
    member: &str,
    length: std::ops::RangeInclusive<usize>,
    pattern: &str,
    punctuation: &str,
) -> Result<(), Refusal> {
    let chars = value.chars().count();
    if chars < *length.start() {
        let constraint = format!("have length greater than or equal to {}", length.start());
        return Err(Refusal::constraint(value, member, &constraint));
    }
    if chars > *length.end() {
        let constraint = format!("have length less than or equal to {}", length.end());
        return Err(Refusal::constraint(value, member, &constraint));
    }
    if !value.chars().all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c)) {
        return Err(Refusal::constraint(value, member, &format!("satisfy regular expression pattern: {pattern}")));
    }
    Ok(())
}

fn parse_session_policy(text: &str) -> Result<Policy, Refusal> {
    let chars = text.chars().count();
    if chars > SESSION_POLICY_MAX_CHARS {
        let message =
            format!("Packed policy consumes {}% of allotted space, please use smaller policy.", packed_percent(chars));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "PackedPolicyTooLarge", message));
    }
    let malformed = |message| Refusal::new(StatusCode::BAD_REQUEST, "MalformedPolicyDocument", message);
    let document: Value =
        serde_json::from_str(text).map_err(|_| malformed("This policy contains invalid Json".to_owned()))?;
    Policy::parse(PolicyKind::Session, &document).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(changes: &[(&str, &str)]) -> Result<AssumeRole, Refusal> {
        let mut parameters: HashMap<String, String> = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", "arn:aws:iam::111122223333:role/writer"),
            ("RoleSessionName", "delivery"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        parameters.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        AssumeRole::parse(&parameters)
    }

    #[test]
    fn the_default_session_is_an_hour() {
        assert_eq!(parse(&[]).unwrap().duration_seconds, 3600);
    }

    #[test]
    fn invalid_parameters_are_refused_with_the_messages_of_aws() {
        let long = "x".repeat(65);
        for (name, value, code, message) in [
            (
                "DurationSeconds",
                "899",
                "ValidationError",
                "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900",
            ),
            (
                "DurationSeconds",
                "43201",
                "ValidationError",
                "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200",
            ),
            (
                "ExternalId",
                "has space",
                "ValidationError",
                "1 validation error detected: Value 'has space' at 'externalId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]*",
            ),
            (
                "ExternalId",
                "x",
                "ValidationError",
                "1 validation error detected: Value 'x' at 'externalId' failed to satisfy constraint: Member must have length greater than or equal to 2",
            ),
            (
                "RoleSessionName",
                &long,
                "ValidationError",
                &format!(
                    "1 validation error detected: Value '{long}' at 'roleSessionName' failed to satisfy constraint: Member must have length less than or equal to 64"
                ),
            ),
            (
                "RoleArn",
                "arn:aws:iam::111122223333:user/writer",
                "ValidationError",
                "arn:aws:iam::111122223333:user/writer is invalid",
            ),
            ("Policy", "{", "MalformedPolicyDocument", "This policy contains invalid Json"),
            (
                "Policy",
                "{}",
                "MalformedPolicyDocument",
                "policy at \"/Statement\": expected a statement or an array of statements",
            ),
            (
                "Policy",
                &" ".repeat(4096),
                "PackedPolicyTooLarge",
                "Packed policy consumes 200% of allotted space, please use smaller policy.",
            ),
            ("TokenCode", "123456", "ValidationError", "TokenCode is not supported by the embedded STS"),
        ] {
            let refusal = parse(&[(name, value)]).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code, refusal.message.as_str()),
                (StatusCode::BAD_REQUEST, code, message)
            );
        }
    }
}
