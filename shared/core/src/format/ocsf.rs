//! Events of the Open Cybersecurity Schema Framework (OCSF) 1.8.0 as JSON objects. Owns the mapping. `.ci/validate-formats`
//! checks the result against the published schema.
//!
//! # Classes and activities
//! The first matching row decides. Actions are compared in upper case.
//!
//! | class | entity type | actions: activity |
//! |---|---|---|
//! | Authentication (3002) | any | `LOGIN`: Logon · `LOGOUT`: Logoff |
//! | User Access Management (3005) | any, with a permission and a subject of type `USER` | `ACL_GRANT`: Assign Privileges · `ACL_REVOKE`: Revoke Privileges |
//! | Account Change (3001) | `USER` | `CREATE`, `SIGNUP`: Create · `ENABLE`, `ACTIVATE`: Enable · `PASSWORD_CHANGE`: Password Change · `PASSWORD_RESET`: Password Reset · `DISABLE`, `DEACTIVATE`, `SUSPEND`: Disable · `DELETE`: Delete · `LOCK`: Lock · `UNLOCK`: Unlock · `MFA_ENABLE`: MFA Factor Enable · `MFA_DISABLE`: MFA Factor Disable |
//! | Entity Management (3004) | `USER`, `TEAM`, `GROUP`, `ORGANISATION`, `ORGANIZATION`, `POLICY`, `KEY`, `API_KEY`, `S3_AUDIT_SINK` | `CREATE`: Create · `READ`: Read · `UPDATE`: Update · `DELETE`: Delete · `ENABLE`: Enable · `DISABLE`: Disable · `ACTIVATE`: Activate · `DEACTIVATE`: Deactivate · `SUSPEND`, `PAUSE`: Suspend · `RESUME`: Resume |
//! | API Activity (6003) | any | `CREATE`: Create · `READ`: Read · `UPDATE`: Update · `DELETE`: Delete · any other: Other, with the action as its name |
//!
//! Annals' own events about destinations, tokens and organisations are Entity Management, `audit.read` is API Activity: Read,
//! and `destination.test`, `.replay` and `.gap`, `log.restored` and `registry.restored` are API Activity: Other. An event is Annals' own if its `recordedBy` is
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
//! | `user` | the entity (3001); the entity if it is a user, otherwise the principal (3002); the subject (3005) |
//! | `entity`, `entity_result` (3004) | the entity, with `before` and `after` as `data` |
//! | `resources` (6003, 3005) | the entity as Target; in 6003 also the subject as Affected and the parent entity as Related |
//! | `privileges` (3005) | the permissions' `friendlyId`, or `ALL_PERMISSIONS` |
//! | `service` (3002) | the organisation, as the service signed in to |
//! | `api` (6003) | `type` as the operation, `context.requestId` as the request's uid |
//! | `src_endpoint` | `context.ipAddress` if it is valid, otherwise `clientType` as the name |
//! | `http_request` | `context.requestId`, `.userAgent`, and PactFlow's description of a call in `payload`: `method`, `path`, `queryString`, `userAgent`, `referer` |
//! | `status_id`, `status_code`, `status_detail` | see below; `outcome`; `reason` |
//! | `severity_id` | High for Annals' own `log.restored` (events that were lost), Medium for its `destination.gap` (events that were never delivered), otherwise Informational |
//! | `unmapped` | members without an attribute in the class, unaltered: `clientType`, `previousHash`, `parentEntity`, `subject`, `permission`, `before`, `after`, `context`, `payload`, `metadata` |
//! | `raw_data`, `raw_data_hash`, `raw_data_size` | the line, its SHA-256 (the next line's `previousHash`), its size in bytes |
//!
//! **Status.** `outcome` decides, if the producer sent it: `SUCCESS` is Success, `FAILURE` and `DENIED` are Failure, anything
//! else is Other. Without it: an audit event records that something was done, so the status is Success. It is Failure if a
//! word of `type` or `action` says so (`failed`, `failure`, `denied`), for Annals' own `destination.test` that failed, and for
//! its own `destination.gap` and `log.restored`.
//! It is Unknown if the action has no activity in the table, except for `INVITE`, `ACL_GRANT`, `ACL_REVOKE` and Annals'
//! own events.
//!
//! An attribute whose value has the wrong format, such as an invalid e-mail address or HTTP method, is left out; `raw_data`
//! has the value. IP addresses are written in canonical form (RFC 5952).

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    line::{Fields, Reference},
    log::segment::{Line, LineHash},
};

pub(super) const VERSION: &str = "1.8.0";

/// A class of events with its category and activities.
#[derive(Debug, PartialEq, Eq)]
struct Class {
    uid: u32,
    name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    activities: &'static [Activity],
}

/// An activity's uid, its name and its actions.
type Activity = (u32, &'static str, &'static [&'static str]);

const OTHER: u32 = 99;
const IAM: &str = "Identity & Access Management";

static AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    category_uid: 3,
    category_name: IAM,
    activities: &[(1, "Logon", &["LOGIN"]), (2, "Logoff", &["LOGOUT"])],
};

static USER_ACCESS: Class = Class {
    uid: 3005,
    name: "User Access Management",
    category_uid: 3,
    category_name: IAM,
    activities: &[(1, "Assign Privileges", &["ACL_GRANT"]), (2, "Revoke Privileges", &["ACL_REVOKE"])],
};

static ACCOUNT_CHANGE: Class = Class {
    uid: 3001,
    name: "Account Change",
    category_uid: 3,
    category_name: IAM,
    activities: &[
        (1, "Create", &["CREATE", "SIGNUP"]),
        (2, "Enable", &["ENABLE", "ACTIVATE"]),
        (3, "Password Change", &["PASSWORD_CHANGE"]),
        (4, "Password Reset", &["PASSWORD_RESET"]),
        (5, "Disable", &["DISABLE", "DEACTIVATE", "SUSPEND"]),
        (6, "Delete", &["DELETE"]),
        (9, "Lock", &["LOCK"]),
        (10, "MFA Factor Enable", &["MFA_ENABLE"]),
        (11, "MFA Factor Disable", &["MFA_DISABLE"]),
        (12, "Unlock", &["UNLOCK"]),
    ],
};

static ENTITY_MANAGEMENT: Class = Class {
    uid: 3004,
    name: "Entity Management",
    category_uid: 3,
    category_name: IAM,
    activities: &[
        (1, "Create", &["CREATE"]),
        (2, "Read", &["READ"]),
        (3, "Update", &["UPDATE"]),
        (4, "Delete", &["DELETE"]),
        (8, "Enable", &["ENABLE"]),
        (9, "Disable", &["DISABLE"]),
        (10, "Activate", &["ACTIVATE"]),
        (11, "Deactivate", &["DEACTIVATE"]),
        (12, "Suspend", &["SUSPEND", "PAUSE"]),
        (13, "Resume", &["RESUME"]),
    ],
};

static API_ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category_uid: 6,
    category_name: "Application Activity",
    activities: &[
        (1, "Create", &["CREATE"]),
        (2, "Read", &["READ"]),
        (3, "Update", &["UPDATE"]),
        (4, "Delete", &["DELETE"]),
    ],
};

/// Returns OCSF's `type_id` and name of an entity type; `None` if it does not belong to Entity Management.
fn managed(entity_type: &str) -> Option<(u32, &str)> {
    match entity_type {
        "USER" => Some((2, "User")),
        "TEAM" | "GROUP" => Some((3, "Group")),
        "ORGANISATION" | "ORGANIZATION" => Some((4, "Organization")),
        "POLICY" => Some((5, "Policy")),
        "KEY" | "API_KEY" | "S3_AUDIT_SINK" => Some((OTHER, entity_type)),
        _ => None,
    }
}

/// Returns the class and activity of an event. An activity of `None` is Other.
fn classify(fields: &Fields<'_>, action: &str, privileges: &[Cow<'_, str>]) -> (&'static Class, Option<Activity>) {
    let entity_type = fields.entity.entity_type.as_str();
    let about_user = fields.subject.as_ref().is_some_and(|subject| subject.entity_type.as_str() == "USER");
    let classes = [
        (&AUTHENTICATION, true),
        (&USER_ACCESS, about_user && !privileges.is_empty()),
        (&ACCOUNT_CHANGE, entity_type == "USER"),
        (&ENTITY_MANAGEMENT, managed(entity_type).is_some()),
        (&API_ACTIVITY, true),
    ];
    let found = classes.into_iter().filter(|(_, fits)| *fits).find_map(|(class, _)| {
        let activity = class.activities.iter().find(|(_, _, actions)| actions.contains(&action))?;
        Some((class, Some(*activity)))
    });
    found.unwrap_or((&API_ACTIVITY, None))
}

/// Returns `status_id` and `status`.
fn status<'a>(fields: &'a Fields<'_>, action: &str, activity: Option<Activity>) -> (u32, &'a str) {
    if let Some(outcome) = fields.outcome.not_blank() {
        return match outcome.to_ascii_uppercase().as_str() {
            "SUCCESS" => (1, "Success"),
            "FAILURE" | "DENIED" => (2, "Failure"),
            _ => (OTHER, outcome),
        };
    }
    const FAILURES: [&str; 3] = ["failed", "failure", "denied"];
    let kind = fields.kind.as_str();
    let mut words = [kind, action].into_iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let own_kind = if fields.is_own() { kind } else { "" };
    let test_failed = own_kind == "destination.test" && fields.call().outcome.as_str() == "failed";
    // Events were never delivered, or lost.
    if test_failed
        || matches!(own_kind, "destination.gap" | "log.restored")
        || words.any(|word| FAILURES.iter().any(|failure| word.eq_ignore_ascii_case(failure)))
    {
        return (2, "Failure");
    }
    let own = match fields.entity.entity_type.as_str() {
        "S3_AUDIT_SINK" => own_kind.starts_with("destination."),
        "AUDIT_LOG" => own_kind == "registry.restored",
        _ => false,
    };
    if activity.is_some() || own || matches!(action, "INVITE" | "ACL_GRANT" | "ACL_REVOKE") {
        (1, "Success")
    } else {
        (0, "Unknown")
    }
}

#[derive(Serialize)]
struct Event<'a> {
    metadata: Metadata<'a>,
    time: u64,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    activity_id: u32,
    activity_name: &'a str,
    type_uid: u32,
    type_name: String,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'a str>,
    message: String,
    actor: Actor<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privileges: Option<Vec<Cow<'a, str>>>,
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
    raw_data: &'a str,
    raw_data_hash: Fingerprint,
    raw_data_size: usize,
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
    log_name: &'static str,
    log_provider: &'static str,
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
    #[serde(rename = "type")]
    kind: &'a str,
}

impl<'a> User<'a> {
    fn of(reference: &'a Reference<'_>) -> Self {
        let (type_id, kind) = match reference.entity_type.as_str() {
            "USER" => (1, "User"),
            "SYSTEM" => (3, "System"),
            "API_KEY" | "SERVICE" | "SERVICE_ACCOUNT" | "PLATFORM" => (4, "Service"),
            other => (OTHER, other),
        };
        let email_addr = reference.email.not_blank().filter(|email| is_email(email));
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
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> ManagedEntity<'a> {
    fn of(reference: &'a Reference<'_>, data: Option<&'a RawValue>) -> Self {
        let entity_type = reference.entity_type.as_str();
        let (type_id, kind) = managed(entity_type).unwrap_or((OTHER, entity_type));
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
    role: &'static str,
}

impl<'a> Resource<'a> {
    fn of(reference: &'a Reference<'_>, (role_id, role): (u32, &'static str)) -> Self {
        Self {
            uid: reference.id.as_str(),
            name: reference.name.not_blank(),
            kind: reference.entity_type.as_str(),
            role_id,
            role,
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
    client_type: &'a str,
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
    algorithm: &'static str,
    value: String,
}

pub(super) fn write(line: &Line, out: &mut String) {
    let fields = Fields::of(line);
    let (context, call) = (fields.context(), fields.call());
    let action = fields.action.as_str().to_ascii_uppercase();
    let privileges = privileges(fields.permission);
    let (class, activity) = classify(&fields, &action, &privileges);
    let (activity_id, activity_name) = match activity {
        Some((id, name, _)) => (id, name),
        None => (OTHER, fields.action.not_blank().unwrap_or("Other")),
    };
    let type_name = format!("{}: {}", class.name, if activity.is_some() { activity_name } else { "Other" });
    let (severity_id, severity) = match fields.kind.as_str() {
        "log.restored" if fields.is_own() => (4, "High"),
        "destination.gap" if fields.is_own() => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let (status_id, status) = status(&fields, &action, activity);
    let (entity, principal, client) = (&fields.entity, &fields.principal, fields.client_type.not_blank());

    let is_api = class == &API_ACTIVITY;
    let is_access = class == &USER_ACCESS;
    let is_managed = class == &ENTITY_MANAGEMENT;
    let user = match class.uid {
        3001 => Some(entity),
        3002 if entity.entity_type.as_str() == "USER" => Some(entity),
        3002 => Some(principal),
        3005 => fields.subject.as_ref(),
        _ => None,
    };
    let mut resources = Vec::new();
    if is_api || is_access {
        resources.push(Resource::of(entity, (1, "Target")));
    }
    if is_api {
        resources.extend(fields.subject.as_ref().map(|subject| Resource::of(subject, (3, "Affected"))));
        resources.extend(fields.parent_entity.as_ref().map(|parent| Resource::of(parent, (4, "Related"))));
    }
    let address = context.ip_address.not_blank().and_then(|address| address.trim().parse().ok());
    let organisation = Named { uid: fields.organisation.id.as_str(), name: fields.organisation.name.not_blank() };

    let event = Event {
        metadata: Metadata {
            version: VERSION,
            product: Product { name: "Annals", vendor_name: "Annals" },
            uid: line.id.to_string(),
            event_code: fields.kind.as_str(),
            sequence: line.sequence(),
            logged_time: line.recorded_at.as_millis(),
            original_time: fields.occurred_at.not_blank(),
            log_name: "audit",
            log_provider: "Annals",
            reporter: fields.recorded_by.not_blank().map(|uid| Reporter { uid }),
            tenant_uid: organisation.uid,
        },
        time: fields.event_time(line).as_millis(),
        category_uid: class.category_uid,
        category_name: class.category_name,
        class_uid: class.uid,
        class_name: class.name,
        activity_id,
        activity_name,
        type_uid: class.uid * 100 + activity_id,
        type_name,
        severity_id,
        severity,
        status_id,
        status,
        status_code: fields.outcome.not_blank(),
        status_detail: fields.reason.not_blank(),
        message: message(&fields),
        actor: Actor { user: User::of(principal), app_name: client },
        user: user.map(User::of),
        privileges: is_access.then_some(privileges),
        service: (class == &AUTHENTICATION).then_some(organisation),
        entity: is_managed.then(|| ManagedEntity::of(entity, fields.before)),
        entity_result: fields.after.filter(|_| is_managed).map(|after| ManagedEntity::of(entity, Some(after))),
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
            client_type: fields.client_type.as_str(),
            previous_hash: fields.previous_hash.as_str(),
            parent_entity: fields.parent_entity.as_ref().filter(|_| !is_api).map(Entity::of),
            subject: fields.subject.as_ref().filter(|_| !is_api && !is_access).map(Entity::of),
            permission: fields.permission,
            before: fields.before.filter(|_| !is_managed),
            after: fields.after.filter(|_| !is_managed),
            context: fields.context,
            payload: fields.payload,
            metadata: fields.metadata,
        },
        raw_data: &line.text,
        raw_data_hash: Fingerprint {
            algorithm_id: 3,
            algorithm: "SHA-256",
            value: LineHash::of(&line.text).to_string(),
        },
        raw_data_size: line.text.len(),
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
        {"metadata":{"version":"1.8.0","product":{"name":"Annals","vendor_name":"Annals"},"uid":"01a202b2-c57b-7000-8000-000001e08acc","event_code":"user.role_changed","sequence":7,"logged_time":1795341600123,"original_time":"2026-11-22T11:59:58.5+02:00","log_name":"audit","log_provider":"Annals","reporter":{"uid":"token/0123456789AB"},"tenant_uid":"acme"},"time":1795341598500,"category_uid":3,"category_name":"Identity & Access Management","class_uid":3004,"class_name":"Entity Management","activity_id":3,"activity_name":"Update","type_uid":300403,"type_name":"Entity Management: Update","severity_id":1,"severity":"Informational","status_id":1,"status":"Success","message":"Ada: user.role_changed USER =Ben; \"the\" Builder, 日本","actor":{"user":{"uid":"7","name":"Ada","email_addr":"ada@example.com","type_id":1,"type":"User"},"app_name":"UI"},"entity":{"uid":"u2","name":"=Ben; \"the\" Builder, 日本","type_id":2,"type":"User","data":{"role":"editor","limit":12345678901234567890123}},"entity_result":{"uid":"u2","name":"=Ben; \"the\" Builder, 日本","type_id":2,"type":"User","data":{"role":"owner;=1+1"}},"src_endpoint":{"ip":"192.0.2.1"},"http_request":{"uid":"r-1","http_method":"PUT","url":{"path":"/users/u2","query_string":"a=1"},"user_agent":"Mozilla/5.0 (X11; Linux)","referrer":"https://app.example/"},"unmapped":{"clientType":"UI","previousHash":"0000000000000000000000000000000000000000000000000000000000000000","parentEntity":{"id":"t1","name":"Core","entityType":"TEAM"},"subject":{"id":"k1","name":"Key","entityType":"API_KEY"},"permission":{"permissions":[{"id":"p1","friendlyId":"read"}]},"context":{"ipAddress":"192.0.2.1","userAgent":"Mozilla/5.0 (X11; Linux)","requestId":"r-1","location":"Oslo"},"payload":{"method":"PUT","path":"/users/u2","queryString":"a=1","referer":"https://app.example/","n":1.50},"metadata":{"ticket":"T-1"}},"raw_data":"{\"sequence\":7,\"eventId\":\"01a202b2-c57b-7000-8000-000001e08acc\",\"timestamp\":\"2026-11-22T10:00:00.123Z\",\"previousHash\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"recordedBy\":\"token/0123456789AB\",\"organisation\":{\"id\":\"acme\",\"name\":\"Acme, \\\"Ltd\\\"\",\"entityType\":\"ORGANISATION\"},\"action\":\"UPDATE\",\"type\":\"user.role_changed\",\"entity\":{\"id\":\"u2\",\"name\":\"=Ben; \\\"the\\\" Builder, 日本\",\"entityType\":\"USER\",\"email\":\"ben@example.com\"},\"principal\":{\"id\":\"7\",\"name\":\"Ada\",\"entityType\":\"USER\",\"email\":\"ada@example.com\"},\"parentEntity\":{\"id\":\"t1\",\"name\":\"Core\",\"entityType\":\"TEAM\"},\"subject\":{\"id\":\"k1\",\"name\":\"Key\",\"entityType\":\"API_KEY\"},\"permission\":{\"permissions\":[{\"id\":\"p1\",\"friendlyId\":\"read\"}]},\"before\":{\"role\":\"editor\",\"limit\":12345678901234567890123},\"after\":{\"role\":\"owner;=1+1\"},\"clientType\":\"UI\",\"occurredAt\":\"2026-11-22T11:59:58.5+02:00\",\"context\":{\"ipAddress\":\"192.0.2.1\",\"userAgent\":\"Mozilla/5.0 (X11; Linux)\",\"requestId\":\"r-1\",\"location\":\"Oslo\"},\"payload\":{\"method\":\"PUT\",\"path\":\"/users/u2\",\"queryString\":\"a=1\",\"referer\":\"https://app.example/\",\"n\":1.50},\"metadata\":{\"ticket\":\"T-1\"}}","raw_data_hash":{"algorithm_id":3,"algorithm":"SHA-256","value":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a"},"raw_data_size":1110}
        {"metadata":{"version":"1.8.0","product":{"name":"Annals","vendor_name":"Annals"},"uid":"01a202b2-c57b-7001-8000-000001e08acc","event_code":"mock_api.create","sequence":8,"logged_time":1795341600123,"log_name":"audit","log_provider":"Annals","reporter":{"uid":"token/0123456789AB"},"tenant_uid":"acme"},"time":1795341600123,"category_uid":6,"category_name":"Application Activity","class_uid":6003,"class_name":"API Activity","activity_id":1,"activity_name":"Create","type_uid":600301,"type_name":"API Activity: Create","severity_id":1,"severity":"Informational","status_id":1,"status":"Success","message":"ci: mock_api.create MOCK_API m1","actor":{"user":{"uid":"ci","type_id":99,"type":"ROBOT"},"app_name":"API"},"api":{"operation":"mock_api.create"},"resources":[{"uid":"m1","type":"MOCK_API","role_id":1,"role":"Target"}],"src_endpoint":{"name":"API"},"unmapped":{"clientType":"API","previousHash":"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a"},"raw_data":"{\"sequence\":8,\"eventId\":\"01a202b2-c57b-7001-8000-000001e08acc\",\"timestamp\":\"2026-11-22T10:00:00.123Z\",\"previousHash\":\"6da67a5059792cb95f1face6e6666a03622dd98ee0bfd71546955bc128525b7a\",\"recordedBy\":\"token/0123456789AB\",\"organisation\":{\"id\":\"acme\",\"name\":\"Acme, \\\"Ltd\\\"\",\"entityType\":\"ORGANISATION\"},\"action\":\"CREATE\",\"type\":\"mock_api.create\",\"entity\":{\"id\":\"m1\",\"name\":\"\",\"entityType\":\"MOCK_API\"},\"principal\":{\"id\":\"ci\",\"name\":\"\",\"entityType\":\"ROBOT\"},\"clientType\":\"API\"}","raw_data_hash":{"algorithm_id":3,"algorithm":"SHA-256","value":"635c44c12cf4a6ab95ee5ae3f7f0bd7bdbcf89046cdf74cf4ca9a3502ba53d88"},"raw_data_size":470}
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
        ACL_GRANT 600399 "API Activity: Other" "Success"
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
        LOGIN_FAILED 600399 "API Activity: Other" "Failure"
        EXPLODE 600399 "API Activity: Other" "Unknown"
        READ 600302 "API Activity: Read" "Success"
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
        "API Activity: Other" "Success" null null
        "API Activity: Other" "Success" null null
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
            status("annals", "destination.gap", json!({"lost": []})),
            status("annals", "log.restored", json!({"lost": []})),
            status("annals", "registry.restored", json!({})),
        ].join("\n"), @r#"
        "API Activity: Other" "Success" "Informational"
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
