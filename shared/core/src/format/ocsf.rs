//! Events of the Open Cybersecurity Schema Framework (OCSF) 1.8.0 as JSON objects. Owns the mapping. `.ci/validate-formats`
//! checks the result against the published schema.
//!
//! # Classes and activities
//! Producers name the same thing in many ways. So the words of `action` and `type` count, not their spelling: `LOGIN_FAILED`,
//! `user.login.failed` and `loginFailed` have the same words, `created` is a form of `create`, and what stands behind the verb (or
//! else before it) is its object. `action` comes first; `type` counts where `action` does not say enough. The first matching row
//! decides. An event that no row fits is API Activity: Other, because Unknown is better than a guess.
//!
//! | class | words | activity |
//! |---|---|---|
//! | any | a code of Auth0's log, such as `s`, `fp`, `sepft`, `scpr` | as Auth0 documents it; `sapi` and `fapi` by the method of their call |
//! | Authentication (3002) | `assume role`, `switch role`, `impersonate` | Account Switch |
//! | | `evaluate sign on`; a challenge or a push message of a sign-in or a second factor | Preauth |
//! | | `session` and that it ended, was deleted, revoked or has expired; `logout`, `sign out`, `slo` | Logoff |
//! | | `session` and that it was started or created; `login`, `sign in`, `sign on`, `auth`, `authentication`, without a verb (`login` in `update login page` is none); a second factor that was verified; the response of a single sign-on | Logon |
//! | Account Change (3001), if the subject or the entity is a user | `mfa`, `factor`, `otp`, `passkey`, … and enable, create, enroll | MFA Factor Enable |
//! | | the same and disable, delete, reset | MFA Factor Disable |
//! | | `password` and reset, or forgotten, expired, recovery | Password Reset |
//! | | `password`, `login profile` and change, create | Password Change |
//! | | attach, detach and `policy` | Attach Policy, Detach Policy |
//! | User Access Management (3005), if the subject or the entity is a user, and `permission` or a role says which privileges | grant, assign; revoke, unassign: and `role`, `permission`, `acl`, … | Assign Privileges, Revoke Privileges |
//! | Group Management (3006), if the entity, the subject or the parent entity is a group or team | add, remove: and `member`, `user` | Add User, Remove User |
//! | Account Change (3001), if the entity is a user and the object of the verb | create · enable, activate, resume · disable, deactivate, suspend · delete · lock · unlock | Create · Enable · Disable · Delete · Lock · Unlock |
//! | Entity Management (3004), if the entity is a user, group, team, organisation, policy, device, role, key, token, credential, certificate, tenant, workspace or sink | create · read · update · delete · move, rename · enroll · unenroll · enable · disable · activate · deactivate, revoke · suspend, pause · resume; if the object of the verb is a part of the entity: Update | of the same name |
//! | API Activity (6003) | create, add, upload, … · read, get, list, describe, download, … · update, set, put, start, grant, … · delete, remove, terminate, … | Create · Read · Update · Delete |
//! | | none, but `payload` has the method of a call (`method`, `request_method`, `request.method`, `details.request.method`) | `GET`, `HEAD`: Read · `PUT`, `PATCH`: Update · `DELETE`: Delete |
//! | | any other | Other, with the action as its name |
//!
//! The verbs are in `ocsf/words.rs`, the other words and Auth0's codes in `ocsf/classes.rs`. What users, groups and so on are,
//! says the last word of their `entityType`: `AWS::IAM::User`, `AppUser`, `IAM_USER`.
//!
//! Annals' own events about destinations, tokens and organisations are Entity Management, `audit.read` is API Activity: Read,
//! and `destination.test`, `.confirm`, `.replay` and `.gap`, `log.restored` and `registry.restored` are API Activity: Other. An event is Annals' own if its `recordedBy` is
//! `annals`: a producer may send the same types.
//!
//! # Attributes
//! | attribute | from |
//! |---|---|
//! | `time` | `occurredAt`; `timestamp` if the producer did not send it |
//! | `metadata.uid`, `.sequence`, `.event_code`, `.tenant_uid` | `eventId`, `sequence`, `type`, the organisation's id |
//! | `metadata.logged_time`, `.original_time` | `timestamp`; `occurredAt` as sent |
//! | `metadata.reporter.uid` | `recordedBy`; left out if the line does not have it |
//! | `actor.user`, `actor.app_name` | `principal`, `clientType` |
//! | `user` | the subject if it is a user, otherwise the entity (3001, 3005, 3006); the entity if it is a user, otherwise the principal (3002) |
//! | `group` (3006) | the entity, the subject or the parent entity that is a group |
//! | `auth_protocol`, `is_mfa`, `account_switch_type` (3002) | if the words name SAML, OpenID, OAuth, LDAP, RADIUS or Kerberos; if they name a second factor; Impersonate |
//! | `entity`, `entity_result` (3004) | the entity, with `before` and `after` as `data` |
//! | `resources` (6003, 3005) | the entity as Target; in 6003 also the subject as Affected and the parent entity as Related |
//! | `privileges` (3005) | the permissions' `friendlyId`, or `ALL_PERMISSIONS`; without them the name of the role |
//! | `service` (3002) | the organisation, as the service signed in to |
//! | `api` (6003) | `type` as the operation, `context.requestId` as the request's uid |
//! | `src_endpoint` | `context.ipAddress` if it is valid, otherwise `clientType` as the name |
//! | `http_request` | `context.requestId`, `.userAgent`, and PactFlow's description of a call in `payload`: `method`, `path`, `queryString`, `userAgent`, `referer` |
//! | `status_id`, `status_code`, `status_detail` | see below; `outcome`; `reason` |
//! | `severity_id` | High for Annals' own `log.restored` (events that were lost), Medium for its `destination.gap` (events that were never delivered), otherwise Informational |
//! | `unmapped` | members without an attribute in the class, unaltered: `previousHash`, `parentEntity`, `subject`, `permission`, `before`, `after`, `context`, `payload`, `metadata`; `context` only if it has more than the three members above |
//! | `raw_data`, `raw_data_hash`, `raw_data_size` | the line, its SHA-256 (the next line's `previousHash`), its size in bytes |
//!
//! **Status.** `outcome` decides, if the producer sent it: `SUCCESS`, `ALLOW` and the like are Success, `FAILURE`, `DENIED`,
//! `REJECTED`, `ERROR` and the like are Failure, `UNKNOWN` is Unknown, anything else is Other. Without it, `payload.outcome` or
//! `payload.outcome.result` decides if it is `SUCCESS`, `FAILURE` or `DENIED`, then a `payload.errorCode` (Failure), and then the words:
//! `failed`, `failure`, `denied`, `unsuccessful`, `unauthorized`, or at the end `rejected`, `error`, `refused`, `forbidden`, and
//! `blocked` behind `login`, `session`, `request` and the like. A request, an invitation or a review that was denied or rejected is no
//! failure, nor is a user whom somebody blocked. An attempt or a challenge that does not say how it ended is Unknown. Otherwise: an
//! audit event records that something was done, so the status is Success if the event has an activity, and Unknown if it has none,
//! except for `INVITE` and Annals' own events. Annals' own `destination.test` and `.confirm` that failed, `destination.gap` and `log.restored` are
//! Failure.
//!
//! **Slim.** [`Profile::Slim`] leaves out `raw_data`, `raw_data_size`, `message`, `metadata.log_name` and `.log_provider`, and the names of
//! numbers that the schema publishes (`class_name`, `severity`, `type` and the like). `raw_data_hash` still ties the event to its line.
//!
//! An attribute whose value has the wrong format, such as an invalid e-mail address or HTTP method, is left out; `raw_data`
//! has the value. IP addresses are written in canonical form (RFC 5952).

mod classes;
mod words;

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::{
    classes::{ACCOUNT_SWITCH, API_ACTIVITY, AUTHENTICATION, Classified, ENTITY_MANAGEMENT, USER_ACCESS},
    words::Words,
};
use super::object::ColumnKind;
use crate::{
    line::{Fields, Reference},
    log::segment::{Line, LineHash},
};

pub(super) const VERSION: &str = "1.8.0";

const OTHER: u32 = 99;

/// Returns `status_id` and `status`.
fn status<'a>(fields: &'a Fields<'_>, texts: [&Words; 2], failed: Option<bool>, is_known: bool) -> (u32, &'a str) {
    const SUCCESS: (u32, &str) = (1, "Success");
    const FAILURE: (u32, &str) = (2, "Failure");
    const UNKNOWN: (u32, &str) = (0, "Unknown");
    if let Some(outcome) = fields.outcome.not_blank() {
        return match outcome.to_ascii_uppercase().as_str() {
            "SUCCESS" | "SUCCEEDED" | "SUCCESSFUL" | "ALLOW" | "ALLOWED" | "OK" => SUCCESS,
            "FAILURE" | "FAILED" | "FAIL" | "DENIED" | "DENY" | "REJECTED" | "BLOCKED" | "ERROR" | "UNSUCCESSFUL" => {
                FAILURE
            }
            "UNKNOWN" => UNKNOWN,
            _ => (OTHER, outcome),
        };
    }
    let kind = fields.kind.as_str();
    let own_kind = if fields.is_own() { kind } else { "" };
    let test_failed =
        matches!(own_kind, "destination.test" | "destination.confirm") && fields.call().outcome.as_str() == "failed";
    // Events were never delivered, or lost.
    if test_failed || matches!(own_kind, "destination.gap" | "log.restored") {
        return FAILURE;
    }
    match fields.payload_outcome().as_str().to_ascii_uppercase().as_str() {
        "SUCCESS" => return SUCCESS,
        "FAILURE" | "DENIED" => return FAILURE,
        _ => {}
    }
    if fields.payload_has_error() || texts.into_iter().any(classes::failure) {
        return FAILURE;
    }
    match failed {
        Some(true) => return FAILURE,
        Some(false) => return SUCCESS,
        None => {}
    }
    let own = match fields.entity.entity_type.as_str() {
        "S3_AUDIT_SINK" => own_kind.starts_with("destination."),
        "AUDIT_LOG" => own_kind == "registry.restored",
        _ => false,
    };
    if texts.into_iter().any(classes::is_undecided) {
        UNKNOWN
    } else if is_known || own || fields.action.as_str().eq_ignore_ascii_case("INVITE") {
        SUCCESS
    } else {
        UNKNOWN
    }
}

/// The attributes, in the order of [`Event`].
pub(super) const ATTRIBUTES: [(&str, ColumnKind); 37] = [
    ("metadata", ColumnKind::Json),
    ("time", ColumnKind::Number),
    ("category_uid", ColumnKind::Number),
    ("category_name", ColumnKind::Text),
    ("class_uid", ColumnKind::Number),
    ("class_name", ColumnKind::Text),
    ("activity_id", ColumnKind::Number),
    ("activity_name", ColumnKind::Text),
    ("type_uid", ColumnKind::Number),
    ("type_name", ColumnKind::Text),
    ("severity_id", ColumnKind::Number),
    ("severity", ColumnKind::Text),
    ("status_id", ColumnKind::Number),
    ("status", ColumnKind::Text),
    ("status_code", ColumnKind::Text),
    ("status_detail", ColumnKind::Text),
    ("message", ColumnKind::Text),
    ("actor", ColumnKind::Json),
    ("user", ColumnKind::Json),
    ("group", ColumnKind::Json),
    ("privileges", ColumnKind::Json),
    ("auth_protocol_id", ColumnKind::Number),
    ("auth_protocol", ColumnKind::Text),
    ("is_mfa", ColumnKind::Flag),
    ("account_switch_type_id", ColumnKind::Number),
    ("account_switch_type", ColumnKind::Text),
    ("service", ColumnKind::Json),
    ("entity", ColumnKind::Json),
    ("entity_result", ColumnKind::Json),
    ("api", ColumnKind::Json),
    ("resources", ColumnKind::Json),
    ("src_endpoint", ColumnKind::Json),
    ("http_request", ColumnKind::Json),
    ("unmapped", ColumnKind::Json),
    ("raw_data", ColumnKind::Text),
    ("raw_data_hash", ColumnKind::Json),
    ("raw_data_size", ColumnKind::Number),
];

#[derive(Serialize)]
struct Event<'a> {
    metadata: Metadata<'a>,
    time: u64,
    category_uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    category_name: Option<&'static str>,
    class_uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_name: Option<&'static str>,
    activity_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_name: Option<&'a str>,
    type_uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    severity_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    status_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    actor: Actor<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privileges: Option<Vec<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_protocol_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_mfa: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_switch_type_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_switch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<ManagedEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_result: Option<ManagedEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Api<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    src_endpoint: Endpoint<'a>,
    #[serde(skip_serializing_if = "HttpRequest::is_empty")]
    http_request: HttpRequest<'a>,
    unmapped: Unmapped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data: Option<&'a str>,
    raw_data_hash: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data_size: Option<usize>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    product: Product,
    uid: String,
    event_code: &'a str,
    sequence: u64,
    logged_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_provider: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporter: Option<Reporter<'a>>,
    tenant_uid: &'a str,
}

#[derive(Serialize)]
struct Reporter<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
}

#[derive(Serialize)]
struct User<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    type_id: u32,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

impl<'a> User<'a> {
    fn of(reference: &'a Reference<'_>, profile: Profile) -> Self {
        let (type_id, kind) = match reference.entity_type.as_str() {
            "USER" => (1, "User"),
            "SYSTEM" => (3, "System"),
            "API_KEY" | "SERVICE" | "SERVICE_ACCOUNT" | "PLATFORM" => (4, "Service"),
            other => (OTHER, other),
        };
        let email_addr = reference.email.not_blank().filter(|email| is_email(email));
        let kind = profile.name(type_id, kind);
        Self { uid: reference.id.as_str(), name: reference.name.not_blank(), email_addr, type_id, kind }
    }
}

#[derive(Serialize)]
struct Named<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct ManagedEntity<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    type_id: u32,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> ManagedEntity<'a> {
    fn of(reference: &'a Reference<'_>, data: Option<&'a RawValue>, profile: Profile) -> Self {
        let entity_type = reference.entity_type.as_str();
        let (type_id, kind) = classes::managed(entity_type).unwrap_or((OTHER, entity_type));
        let kind = profile.name(type_id, kind);
        Self { uid: reference.id.as_str(), name: reference.name.not_blank(), type_id, kind, data }
    }
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
}

#[derive(Serialize)]
struct Request<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'a str,
    role_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

impl<'a> Resource<'a> {
    fn of(reference: &'a Reference<'_>, (role_id, role): (u32, &'static str), profile: Profile) -> Self {
        Self {
            uid: reference.id.as_str(),
            name: reference.name.not_blank(),
            kind: reference.entity_type.as_str(),
            role_id,
            role: profile.name(role_id, role),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
}

impl HttpRequest<'_> {
    fn is_empty(&self) -> bool {
        let Self { uid, http_method, url, user_agent, referrer } = self;
        [uid, user_agent, referrer].into_iter().all(Option::is_none) && http_method.is_none() && url.is_none()
    }
}

#[derive(Serialize)]
struct Url<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_string: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unmapped<'a> {
    previous_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_entity: Option<Entity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Entity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

/// An entity with Annals' member names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity<'a> {
    id: &'a str,
    name: &'a str,
    entity_type: &'a str,
}

impl<'a> Entity<'a> {
    fn of(reference: &'a Reference<'_>) -> Self {
        Self { id: reference.id.as_str(), name: reference.name.as_str(), entity_type: reference.entity_type.as_str() }
    }
}

#[derive(Serialize)]
struct Fingerprint {
    algorithm_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    value: String,
}

/// How much of an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// With the line and with the name of each number.
    Full,
    /// Without the line and without the names that the schema publishes.
    Slim,
}

impl Profile {
    /// Returns the name of a number, if the profile has it. The name of [`OTHER`] is the source's own and always there.
    fn name<T>(self, number: u32, name: T) -> Option<T> {
        (self == Self::Full || number == OTHER).then_some(name)
    }
}

pub(super) fn write(line: &Line, profile: Profile, out: &mut String) {
    let fields = Fields::of(line);
    let (context, call) = (fields.context(), fields.call());
    let is_full = profile == Profile::Full;
    let (action, kind) = (Words::of(fields.action.as_str()), Words::of(fields.kind.as_str()));
    let texts = [&action, &kind];
    let classified = classes::classify(&fields, &action, &kind, privileges(fields.permission));
    let Classified { class, activity, failed, user, group, privileges } = classified;
    let (activity_id, activity_name) = activity.unwrap_or((OTHER, fields.action.not_blank().unwrap_or("Other")));
    let type_name = format!("{}: {}", class.name, if activity.is_some() { activity_name } else { "Other" });
    let (severity_id, severity) = match fields.kind.as_str() {
        "log.restored" if fields.is_own() => (4, "High"),
        "destination.gap" if fields.is_own() => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let (status_id, status) = status(&fields, texts, failed, activity.is_some());
    let (entity, principal, client) = (&fields.entity, &fields.principal, fields.client_type.not_blank());

    let is_api = class == &API_ACTIVITY;
    let is_access = class == &USER_ACCESS;
    let is_managed = class == &ENTITY_MANAGEMENT;
    let is_sign_in = class == &AUTHENTICATION;
    let user = if is_sign_in { user.or(Some(principal)) } else { user };
    let (auth_protocol_id, auth_protocol) = classes::protocol(texts).filter(|_| is_sign_in).unzip();
    let (account_switch_type_id, account_switch_type) =
        (activity == Some(ACCOUNT_SWITCH)).then_some((2, "Impersonate")).unzip();
    let mut resources = Vec::new();
    if is_api || is_access {
        resources.push(Resource::of(entity, (1, "Target"), profile));
    }
    if is_api {
        resources.extend(fields.subject.as_ref().map(|subject| Resource::of(subject, (3, "Affected"), profile)));
        resources.extend(fields.parent_entity.as_ref().map(|parent| Resource::of(parent, (4, "Related"), profile)));
    }
    let address: Option<IpAddr> = context.ip_address.not_blank().and_then(|address| address.trim().parse().ok());
    let context_is_mapped = (context.ip_address.not_blank().is_none() || address.is_some())
        && fields.context_has_only(&["ipAddress", "userAgent", "requestId"]);
    let organisation = Named { uid: fields.organisation.id.as_str(), name: fields.organisation.name.not_blank() };

    let is_user = |one: &&Reference<'_>| user.is_some_and(|user| std::ptr::eq(user, *one));
    let subject = fields.subject.as_ref().filter(|subject| !is_user(subject));

    let event = Event {
        metadata: Metadata {
            version: VERSION,
            product: Product { name: "Annals", vendor_name: "Annals" },
            uid: line.id.to_string(),
            event_code: fields.kind.as_str(),
            sequence: line.sequence(),
            logged_time: line.recorded_at.as_millis(),
            original_time: fields.occurred_at.not_blank(),
            log_name: is_full.then_some("audit"),
            log_provider: is_full.then_some("Annals"),
            reporter: fields.recorded_by.not_blank().map(|uid| Reporter { uid }),
            tenant_uid: organisation.uid,
        },
        time: fields.event_time(line).as_millis(),
        category_uid: class.category_uid,
        category_name: profile.name(class.category_uid, class.category_name),
        class_uid: class.uid,
        class_name: profile.name(class.uid, class.name),
        activity_id,
        activity_name: profile.name(activity_id, activity_name),
        type_uid: class.uid * 100 + activity_id,
        type_name: is_full.then_some(type_name),
        severity_id,
        severity: profile.name(severity_id, severity),
        status_id,
        status: profile.name(status_id, status),
        status_code: fields.outcome.not_blank(),
        status_detail: fields.reason.not_blank(),
        message: is_full.then(|| message(&fields)),
        actor: Actor { user: User::of(principal, profile), app_name: client },
        user: user.map(|user| User::of(user, profile)),
        group: group.map(|group| Named { uid: group.id.as_str(), name: group.name.not_blank() }),
        privileges: is_access.then_some(privileges),
        auth_protocol_id,
        auth_protocol: auth_protocol.filter(|_| is_full),
        is_mfa: (is_sign_in && classes::names_second_factor(texts)).then_some(true),
        account_switch_type_id,
        account_switch_type: account_switch_type.filter(|_| is_full),
        service: is_sign_in.then_some(organisation),
        entity: is_managed.then(|| ManagedEntity::of(entity, fields.before, profile)),
        entity_result: fields.after.filter(|_| is_managed).map(|after| ManagedEntity::of(entity, Some(after), profile)),
        api: is_api.then(|| Api {
            operation: fields.kind.as_str(),
            request: context.request_id.not_blank().map(|uid| Request { uid }),
        }),
        resources,
        src_endpoint: address.map_or(Endpoint::Name(client.unwrap_or("unknown")), Endpoint::Ip),
        http_request: HttpRequest {
            uid: context.request_id.not_blank(),
            http_method: http_method(call.method.as_str()),
            url: call.path.not_blank().map(|path| Url { path, query_string: call.query_string.not_blank() }),
            user_agent: context.user_agent.not_blank().or_else(|| call.user_agent.not_blank()),
            referrer: call.referer.not_blank(),
        },
        unmapped: Unmapped {
            previous_hash: fields.previous_hash.as_str(),
            parent_entity: fields.parent_entity.as_ref().filter(|_| !is_api).map(Entity::of),
            subject: subject.filter(|_| !is_api).map(Entity::of),
            permission: fields.permission,
            before: fields.before.filter(|_| !is_managed),
            after: fields.after.filter(|_| !is_managed),
            context: fields.context.filter(|_| !context_is_mapped),
            payload: fields.payload,
            metadata: fields.metadata,
        },
        raw_data: is_full.then_some(&*line.text),
        raw_data_hash: Fingerprint {
            algorithm_id: 3,
            algorithm: profile.name(3, "SHA-256"),
            value: LineHash::of(&line.text).to_string(),
        },
        raw_data_size: is_full.then_some(line.text.len()),
    };
    // Every part is a string, a number or JSON, so serialisation cannot fail.
    out.push_str(&serde_json::to_string(&event).unwrap_or_default());
    out.push('\n');
}

/// Returns a line for lists of events: who did what to what.
fn message(fields: &Fields<'_>) -> String {
    let label = |reference: &Reference<'_>| reference.name.not_blank().unwrap_or(reference.id.as_str()).to_owned();
    let (entity, principal) = (&fields.entity, &fields.principal);
    let kind = fields.kind.as_str();
    format!("{}: {kind} {} {}", label(principal), entity.entity_type.as_str(), label(entity))
}

/// Returns the names of the permissions.
fn privileges(permission: Option<&RawValue>) -> Vec<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Permission<'a> {
        #[serde(borrow)]
        All(Cow<'a, str>),
        #[serde(borrow)]
        Some(Permissions<'a>),
    }
    #[derive(Deserialize)]
    struct Permissions<'a> {
        #[serde(borrow)]
        permissions: Vec<One<'a>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct One<'a> {
        #[serde(borrow)]
        friendly_id: Cow<'a, str>,
    }
    match permission.and_then(|permission| serde_json::from_str(permission.get()).ok()) {
        Some(Permission::All(all)) => vec![all],
        Some(Permission::Some(some)) => some.permissions.into_iter().map(|one| one.friendly_id).collect(),
        None => Vec::new(),
    }
}

/// Returns the method if it is a value of OCSF's `http_method`.
fn http_method(text: &str) -> Option<&'static str> {
    let known = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH"];
    known.into_iter().find(|method| method.eq_ignore_ascii_case(text))
}

/// Returns whether OCSF's `email_t` allows the text: ASCII without spaces and quotes, one `@`, a dot in the domain.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(&byte);
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (host, rest) = domain.split_once('.').unwrap_or((domain, ""));
    !local.is_empty() && local.bytes().all(allowed) && label(host) && !rest.is_empty() && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use crate::format::{Format, samples};
    use serde_json::{Value, json};

    fn rendered(event: &Value) -> Value {
        rendered_by(samples::RECORDED_BY, event)
    }

    fn rendered_by(recorded_by: &str, event: &Value) -> Value {
        let lines = samples::lines_by(recorded_by, &[&event.to_string()]);
        serde_json::from_str(&Format::Ocsf.document(&lines)).unwrap()
    }

    fn event(action: &str, entity_type: &str) -> Value {
        json!({
            "action": action,
            "entity": {"id": "e1", "name": "E", "entityType": entity_type},
            "principal": {"id": "7", "name": "Ada", "entityType": "USER"},
        })
    }

    #[test]
    fn a_rich_event_fills_every_attribute_and_a_minimal_one_only_the_required_ones() {
        insta::assert_snapshot!(Format::Ocsf.document(&samples::lines(&[samples::RICH, samples::MINIMAL])), @r#"
        {"metadata":{"version":"1.8.0","product":{"name":"Annals","vendor_name":"Annals"},"uid":"01a202b2-c57b-7000-8000-000001e08acc","event_code":"user.role_changed","sequence":7,"logged_time":1795341600123,"original_time":"2026-11-22T11:59:58.5+02:00","log_name":"audit","log_provider":"Annals","reporter":{"uid":"token/0123456789AB"},"tenant_uid":"acme"},"time":1795341598500,"category_uid":3,"category_name":"Identity & Access Management","class_uid":3004,"class_name":"Entity Management","activity_id":3,"activity_name":"Update","type_uid":300403,"type_name":"Entity Management: Update","severity_id":1,"severity":"Informational","status_id":1,"status":"Success","message":"Ada: user.role_changed USER =Ben; \"the\" Builder, 日本","actor":{"user":{"uid":"7","name":"Ada","email_addr":"ada@example.com","type_id":1,"type":"User"},"app_name":"UI"},"entity":{"uid":"u2","name":"=Ben; \"the\" Builder, 日本","type_id":2,"type":"User","data":{"role":"editor","limit":12345678901234567890123}},"entity_result":{"uid":"u2","name":"=Ben; \"the\" Builder, 日本","type_id":2,"type":"User","data":{"role":"owner;=1+1"}},"src_endpoint":{"ip":"192.0.2.1"},"http_request":{"uid":"r-1","http_method":"PUT","url":{"path":"/users/u2","query_string":"a=1"},"user_agent":"Mozilla/5.0 (X11; Linux)","referrer":"https://app.example/"},"unmapped":{"previousHash":"0000000000000000000000000000000000000000000000000000000000000000","parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"k1","name":"Key","entityType":"API_KEY"},"permission":{"permissions":[{"id":"p1","friendlyId":"read"}]},"context":{"ipAddress":"192.0.2.1","userAgent":"Mozilla/5.0 (X11; Linux)","requestId":"r-1","location":"Oslo"},"payload":{"method":"PUT","path":"/users/u2","queryString":"a=1","referer":"https://app.example/","n":1.50},"metadata":{"ticket":"T-1"}},"raw_data":"{\"sequence\":7,\"eventId\":\"01a202b2-c57b-7000-8000-000001e08acc\",\"timestamp\":\"2026-11-22T10:00:00.123Z\",\"previousHash\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"recordedBy\":\"token/0123456789AB\",\"organisation\":{\"id\":\"acme\",\"name\":\"Acme, \\\"Ltd\\\"\",\"entityType\":\"ORGANISATION\"},\"action\":\"UPDATE\",\"type\":\"user.role_changed\",\"entity\":{\"id\":\"u2\",\"name\":\"=Ben; \\\"the\\\" Builder, 日本\",\"entityType\":\"USER\",\"email\":\"ben@example.com\"},\"principal\":{\"id\":\"7\",\"name\":\"Ada\",\"entityType\":\"USER\",\"email\":\"ada@example.com\"},\"parentEntity\":{\"id\":\"t1\",\"name\":\"Core\",\"entityType\":\"TEAM\"},\"subject\":{\"id\":\"k1\",\"name\":\"Key\",\"entityType\":\"API_KEY\"},\"permission\":{\"permissions\":[{\"id\":\"p1\",\"friendlyId\":\"read\"}]},\"before\":{\"role\":\"editor\",\"limit\":12345678901234567890123},\"after\":{\"role\":\"owner;=1+1\"},\"clientType\":\"UI\",\"occurredAt\":\"2026-11-22T11:59:58.5+02:00\",\"context\":{\"ipAddress\":\"192.0.2.1\",\"userAgent\":\"Mozilla/5.0 (X11; Linux)\",\"requestId\":\"r-1\",\"location\":\"Oslo\"},\"payload\":{\"method\":\"PUT\",\"path\":\"/users/u2\",\"queryString\":\"a=1\",\"referer\":\"https://app.example/\",\"n\":1.50},\"metadata\":{\"ticket\":\"T-1\"}}","raw_data_hash":{"algorithm_id":3,"algorithm":"SHA-256","value":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a"},"raw_data_size":1110}
        {"metadata":{"version":"1.8.0","product":{"name":"Annals","vendor_name":"Annals"},"uid":"01a202b2-c57b-7001-8000-000001e08acc","event_code":"mock_api.create","sequence":8,"logged_time":1795341600123,"log_name":"audit","log_provider":"Annals","reporter":{"uid":"token/0123456789AB"},"tenant_uid":"acme"},"time":1795341600123,"category_uid":6,"category_name":"Application Activity","class_uid":6003,"class_name":"API Activity","activity_id":1,"activity_name":"Create","type_uid":600301,"type_name":"API Activity: Create","severity_id":1,"severity":"Informational","status_id":1,"status":"Success","message":"ci: mock_api.create MOCK_API m1","actor":{"user":{"uid":"ci","type_id":99,"type":"ROBOT"},"app_name":"API"},"api":{"operation":"mock_api.create"},"resources":[{"uid":"m1","type":"MOCK_API","role_id":1,"role":"Target"}],"src_endpoint":{"name":"API"},"unmapped":{"previousHash":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a"},"raw_data":"{\"sequence\":8,\"eventId\":\"01a202b2-c57b-7001-8000-000001e08acc\",\"timestamp\":\"2026-11-22T10:00:00.123Z\",\"previousHash\":\"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a\",\"recordedBy\":\"token/0123456789AB\",\"organisation\":{\"id\":\"acme\",\"name\":\"Acme, \\\"Ltd\\\"\",\"entityType\":\"ORGANISATION\"},\"action\":\"CREATE\",\"type\":\"mock_api.create\",\"entity\":{\"id\":\"m1\",\"name\":\"\",\"entityType\":\"MOCK_API\"},\"principal\":{\"id\":\"ci\",\"name\":\"\",\"entityType\":\"ROBOT\"},\"clientType\":\"API\"}","raw_data_hash":{"algorithm_id":3,"algorithm":"SHA-256","value":"635c44c12cf4a6ab95ee5ae3f7f0bd7bdbcf89046cdf74cf4ca9a3502ba53d88"},"raw_data_size":470}
        "#);
    }

    #[test]
    fn the_class_and_activity_follow_from_entity_and_action() {
        let types = |entity_type: &str, actions: &str| -> Vec<String> {
            let types = actions.split(' ').map(|action| {
                let rendered = rendered(&event(action, entity_type));
                format!("{action} {} {} {}", rendered["type_uid"], rendered["type_name"], rendered["status"])
            });
            types.collect()
        };
        let mut all = types(
            "USER",
            "CREATE SIGNUP UPDATE DELETE DISABLE enable PASSWORD_RESET LOCK MFA_DISABLE LOGIN LOGOUT INVITE",
        );
        all.extend(types("TEAM", "CREATE READ UPDATE DELETE ACL_GRANT"));
        all.extend(types("S3_AUDIT_SINK", "CREATE PAUSE RESUME DISABLE ENABLE DELETE TEST REPLAY EXPIRE"));
        all.extend(types("MOCK_API", "CREATE READ UPDATE DELETE LOGIN LOGIN_FAILED EXPLODE"));
        all.extend(types("AUDIT_LOG", "READ"));
        insta::assert_snapshot!(all.join("\n"), @r#"
        CREATE 300101 "Account Change: Create" "Success"
        SIGNUP 300101 "Account Change: Create" "Success"
        UPDATE 300403 "Entity Management: Update" "Success"
        DELETE 300106 "Account Change: Delete" "Success"
        DISABLE 300105 "Account Change: Disable" "Success"
        enable 300102 "Account Change: Enable" "Success"
        PASSWORD_RESET 300104 "Account Change: Password Reset" "Success"
        LOCK 300109 "Account Change: Lock" "Success"
        MFA_DISABLE 300111 "Account Change: MFA Factor Disable" "Success"
        LOGIN 300201 "Authentication: Logon" "Success"
        LOGOUT 300202 "Authentication: Logoff" "Success"
        INVITE 600399 "API Activity: Other" "Success"
        CREATE 300401 "Entity Management: Create" "Success"
        READ 300402 "Entity Management: Read" "Success"
        UPDATE 300403 "Entity Management: Update" "Success"
        DELETE 300404 "Entity Management: Delete" "Success"
        ACL_GRANT 300403 "Entity Management: Update" "Success"
        CREATE 300401 "Entity Management: Create" "Success"
        PAUSE 300412 "Entity Management: Suspend" "Success"
        RESUME 300413 "Entity Management: Resume" "Success"
        DISABLE 300409 "Entity Management: Disable" "Success"
        ENABLE 300408 "Entity Management: Enable" "Success"
        DELETE 300404 "Entity Management: Delete" "Success"
        TEST 600399 "API Activity: Other" "Unknown"
        REPLAY 600399 "API Activity: Other" "Unknown"
        EXPIRE 600399 "API Activity: Other" "Unknown"
        CREATE 600301 "API Activity: Create" "Success"
        READ 600302 "API Activity: Read" "Success"
        UPDATE 600303 "API Activity: Update" "Success"
        DELETE 600304 "API Activity: Delete" "Success"
        LOGIN 300201 "Authentication: Logon" "Success"
        LOGIN_FAILED 300201 "Authentication: Logon" "Failure"
        EXPLODE 600399 "API Activity: Other" "Unknown"
        READ 600302 "API Activity: Read" "Success"
        "#);
    }

    #[test]
    fn a_failed_sign_in_is_a_failed_sign_in_however_it_is_said() {
        let shown = |event: &Value| {
            let rendered = rendered(event);
            format!("{} {}", rendered["type_name"].as_str().unwrap(), rendered["status"].as_str().unwrap())
        };
        let mut stated = event("LOGIN", "USER");
        stated["payload"] = json!({"outcome": "FAILURE"});
        assert_eq!(shown(&stated), "Authentication: Logon Failure");
        stated["payload"] = json!({"outcome": {"result": "DENIED", "reason": "LOCKED_OUT"}});
        assert_eq!(shown(&stated), "Authentication: Logon Failure");
        stated["outcome"] = "SUCCESS".into();
        assert_eq!(shown(&stated), "Authentication: Logon Success", "the event's own outcome comes first");
        for kind in ["user.login.rejected", "session.blocked", "auth.error", "login.unsuccessful", "loginFailed"] {
            let mut typed = event("LOGIN", "USER");
            typed["type"] = kind.into();
            assert_eq!(shown(&typed), "Authentication: Logon Failure", "{kind}");
            typed["action"] = "HAPPEN".into();
            assert_eq!(shown(&typed), "Authentication: Logon Failure", "{kind}, by its type alone");
        }
        for action in ["LOGIN_FAILED", "FAILED_LOGIN", "Login Failed", "signInFailure"] {
            assert_eq!(shown(&event(action, "MOCK_API")), "Authentication: Logon Failure", "{action}");
        }
        assert_eq!(shown(&event("SIGN_IN", "USER")), "Authentication: Logon Success");
        assert_eq!(shown(&event("SIGN_OUT", "USER")), "Authentication: Logoff Success");
    }

    #[test]
    fn what_was_denied_to_somebody_is_no_failure_of_the_denial() {
        let status = |kind: &str, entity_type: &str| {
            let mut event = event("DECIDE", entity_type);
            event["type"] = kind.into();
            rendered(&event)["status"].as_str().unwrap().to_owned()
        };
        for (kind, entity_type) in
            [("user.blocked", "USER"), ("access_request.rejected", "REQUEST"), ("invitation.denied", "INVITATION")]
        {
            assert_ne!(status(kind, entity_type), "Failure", "{kind}");
        }
        assert_eq!(status("login.attempted", "USER"), "Unknown");
    }

    #[test]
    fn common_words_have_a_class_and_an_activity() {
        let shown = |action: &str, entity_type: &str, kind: Option<&str>, change: &dyn Fn(&mut Value)| {
            let mut event = event(action, entity_type);
            if let Some(kind) = kind {
                event["type"] = kind.into();
            }
            change(&mut event);
            let rendered = rendered(&event);
            format!("{} {}", rendered["type_name"].as_str().unwrap(), rendered["status"].as_str().unwrap())
        };
        let none: &dyn Fn(&mut Value) = &|_| {};
        let to_ben: &dyn Fn(&mut Value) =
            &|event| event["subject"] = json!({"id": "u2", "name": "Ben", "entityType": "USER"});
        let of_team: &dyn Fn(&mut Value) =
            &|event| event["parentEntity"] = json!({"id": "t", "name": "Core", "entityType": "TEAM"});
        let cases = [
            ("CREATED", "USER", None, none),
            ("created", "MOCK_API", None, none),
            ("repo.create", "REPOSITORY", None, none),
            ("ROLE_ASSIGNED", "ROLE", None, to_ben),
            ("ROLE_ASSIGNED", "USER", None, none),
            ("user.lifecycle.create", "User", None, none),
            ("user.lifecycle.suspend", "User", None, none),
            ("user.mfa.factor.activate", "User", None, none),
            ("user.account.update_password", "User", None, none),
            ("user.session.start", "User", None, none),
            ("START", "SESSION", Some("user.session.start"), none),
            ("AssumeRole", "AWS::IAM::Role", None, none),
            ("UpdateAssumeRolePolicy", "AWS::IAM::Role", None, none),
            ("CreateLoginProfile", "AWS::IAM::User", None, none),
            ("DeleteBucket", "AWS::S3::Bucket", None, none),
            ("StartSession", "AWS::EC2::Instance", None, none),
            ("AttachUserPolicy", "AWS::IAM::User", None, none),
            ("AddUserToGroup", "AWS::IAM::Group", None, none),
            ("team.add_member", "USER", None, of_team),
            ("protected_branch.destroy", "REPOSITORY", None, none),
            ("org.add_member", "ORGANIZATION", None, none),
            ("user.add_email", "USER", None, none),
            ("login.page.updated", "PAGE", None, none),
            ("something.happened", "THING", None, none),
        ];
        let all: Vec<String> = cases
            .iter()
            .map(|(action, entity_type, kind, change)| {
                format!("{action} {}", shown(action, entity_type, *kind, *change))
            })
            .collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        CREATED Account Change: Create Success
        created API Activity: Create Success
        repo.create API Activity: Create Success
        ROLE_ASSIGNED User Access Management: Assign Privileges Success
        ROLE_ASSIGNED Entity Management: Update Success
        user.lifecycle.create Account Change: Create Success
        user.lifecycle.suspend Account Change: Disable Success
        user.mfa.factor.activate Account Change: MFA Factor Enable Success
        user.account.update_password Account Change: Password Change Success
        user.session.start Authentication: Logon Success
        START Authentication: Logon Success
        AssumeRole Authentication: Account Switch Success
        UpdateAssumeRolePolicy Entity Management: Update Success
        CreateLoginProfile Account Change: Password Change Success
        DeleteBucket API Activity: Delete Success
        StartSession API Activity: Update Success
        AttachUserPolicy Account Change: Attach Policy Success
        AddUserToGroup Group Management: Add User Success
        team.add_member Group Management: Add User Success
        protected_branch.destroy API Activity: Delete Success
        org.add_member Entity Management: Update Success
        user.add_email Entity Management: Update Success
        login.page.updated API Activity: Update Success
        something.happened API Activity: Other Unknown
        "#);
    }

    #[test]
    fn a_grant_to_a_user_is_user_access_and_to_anything_else_api_activity() {
        let grant = |subject: &str, permission: Value| {
            let mut event = event("ACL_GRANT", "MOCK_API");
            event["subject"] = json!({"id": "u2", "name": "Ben", "entityType": subject});
            if !permission.is_null() {
                event["permission"] = permission;
            }
            let rendered = rendered(&event);
            format!("{} {} {} {}", rendered["type_name"], rendered["status"], rendered["privileges"], rendered["user"])
        };
        let some = json!({"permissions": [{"id": "p1", "friendlyId": "read"}, {"id": "p2", "friendlyId": "wr\u{e9}"}]});
        insta::assert_snapshot!([
            grant("USER", some.clone()), grant("USER", json!("ALL_PERMISSIONS")), grant("USER", Value::Null), grant("TEAM", some),
        ].join("\n"), @r#"
        "User Access Management: Assign Privileges" "Success" ["read","wré"] {"name":"Ben","type":"User","type_id":1,"uid":"u2"}
        "User Access Management: Assign Privileges" "Success" ["ALL_PERMISSIONS"] {"name":"Ben","type":"User","type_id":1,"uid":"u2"}
        "API Activity: Update" "Success" null null
        "API Activity: Update" "Success" null null
        "#);
    }

    #[test]
    fn an_attribute_with_a_value_of_the_wrong_format_is_left_out() {
        let rendered_with = |context: Value, email: &str, method: &str| {
            let mut event = event("CREATE", "MOCK_API");
            event["context"] = context;
            event["payload"] = json!({"method": method});
            event["principal"]["email"] = email.into();
            let rendered = rendered(&event);
            format!(
                "{} {} {}",
                rendered["src_endpoint"], rendered["actor"]["user"]["email_addr"], rendered["http_request"]
            )
        };
        insta::assert_snapshot!([
            rendered_with(json!({"ipAddress": "192.0.2.1", "userAgent": "x"}), "ada@example.com", "PUT"),
            rendered_with(json!({"ipAddress": "2001:DB8:0::1"}), "a+b@sub.example.com", "get"),
            rendered_with(json!({"ipAddress": "0000:0000:0000:0000:0000:ffff:192.168.100.228"}), "ada@localhost", "PURGE"),
            rendered_with(json!({"ipAddress": "192.0.2.1:443"}), "Ada <ada@example.com>", ""),
            rendered_with(json!({"ipAddress": "7", "userAgent": "", "requestId": null}), "a@b@example.com", "=1"),
        ].join("\n"), @r#"
        {"ip":"192.0.2.1"} "ada@example.com" {"http_method":"PUT","user_agent":"x"}
        {"ip":"2001:db8::1"} "a+b@sub.example.com" {"http_method":"GET"}
        {"ip":"::ffff:192.168.100.228"} null null
        {"name":"API"} null null
        {"name":"API"} null null
        "#);
    }

    #[test]
    fn annals_own_events_have_the_status_of_what_they_record() {
        let status = |recorded_by: &str, kind: &str, payload: Value| {
            let entity_type = if kind.ends_with("restored") { "AUDIT_LOG" } else { "S3_AUDIT_SINK" };
            let mut event = event("TEST", entity_type);
            event["type"] = kind.into();
            event["payload"] = payload;
            let rendered = rendered_by(recorded_by, &event);
            format!("{} {} {}", rendered["type_name"], rendered["status"], rendered["severity"])
        };
        insta::assert_snapshot!([
            status("annals", "destination.test", json!({"outcome": "passed"})),
            status("annals", "destination.test", json!({"outcome": "failed"})),
            status("annals", "destination.confirm", json!({"outcome": "failed"})),
            status("annals", "destination.gap", json!({"lost": []})),
            status("annals", "log.restored", json!({"lost": []})),
            status("annals", "registry.restored", json!({})),
        ].join("\n"), @r#"
        "API Activity: Other" "Success" "Informational"
        "API Activity: Other" "Failure" "Informational"
        "API Activity: Other" "Failure" "Informational"
        "API Activity: Other" "Failure" "Medium"
        "API Activity: Other" "Failure" "High"
        "API Activity: Other" "Success" "Informational"
        "#);
        for (kind, payload) in [
            ("destination.test", json!({"outcome": "failed"})),
            ("destination.gap", json!({"lost": []})),
            ("log.restored", json!({"lost": []})),
            ("registry.restored", json!({})),
        ] {
            for producer in [samples::RECORDED_BY, "platform"] {
                let forged = status(producer, kind, payload.clone());
                assert_eq!(forged, r#""API Activity: Other" "Unknown" "Informational""#, "{producer}: {kind}");
            }
        }
    }
}
