//! Which class and activity of OCSF an event belongs to. Owns the tables; the module above documents them.

use std::borrow::Cow;

use super::words::{Verb, Words, singular};
use crate::line::{Fields, Reference};

/// A class of events with its category.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) uid: u32,
    pub(super) name: &'static str,
    pub(super) category_uid: u32,
    pub(super) category_name: &'static str,
}

/// An activity's uid and its name.
pub(super) type Activity = (u32, &'static str);

const IAM: &str = "Identity & Access Management";

const fn iam(uid: u32, name: &'static str) -> Class {
    Class { uid, name, category_uid: 3, category_name: IAM }
}

pub(super) static ACCOUNT_CHANGE: Class = iam(3001, "Account Change");
pub(super) static AUTHENTICATION: Class = iam(3002, "Authentication");
pub(super) static ENTITY_MANAGEMENT: Class = iam(3004, "Entity Management");
pub(super) static USER_ACCESS: Class = iam(3005, "User Access Management");
pub(super) static GROUP_MANAGEMENT: Class = iam(3006, "Group Management");
pub(super) static API_ACTIVITY: Class =
    Class { uid: 6003, name: "API Activity", category_uid: 6, category_name: "Application Activity" };

const LOGON: Activity = (1, "Logon");
const LOGOFF: Activity = (2, "Logoff");
const PREAUTH: Activity = (6, "Preauth");
pub(super) const ACCOUNT_SWITCH: Activity = (7, "Account Switch");

/// The codes of Auth0's log, which are not words. `true` if the code says that it failed.
static AUTH0: [(&str, bool, &Class, Activity); 18] = [
    (
        "s ssa scoa sens seacft seccft sede seoobft seotpft sepft sepkoobft sepkotpft sepkrcft sercft gd_auth_succeed \
         gd_recovery_succeed",
        false,
        &AUTHENTICATION,
        LOGON,
    ),
    (
        "f fp fu fc fco fcoa fsa fens feacft feccft fede feoobft feotpft fepft fepotpft fepkoobft fepkotpft fepkrcft fercft \
         pwd_leak limit_wc limit_mu gd_auth_failed gd_auth_rejected gd_recovery_failed",
        true,
        &AUTHENTICATION,
        LOGON,
    ),
    ("slo", false, &AUTHENTICATION, LOGOFF),
    ("flo", true, &AUTHENTICATION, LOGOFF),
    (
        "cls cs pla mfar gd_start_auth gd_send_sms gd_send_pn gd_send_email gd_send_voice",
        false,
        &AUTHENTICATION,
        PREAUTH,
    ),
    (
        "gd_send_sms_failure gd_send_pn_failure gd_send_email_failure gd_send_voice_failure",
        true,
        &AUTHENTICATION,
        PREAUTH,
    ),
    ("ss", false, &ACCOUNT_CHANGE, (1, "Create")),
    ("fs signup_pwd_leak", true, &ACCOUNT_CHANGE, (1, "Create")),
    ("sdu du", false, &ACCOUNT_CHANGE, (6, "Delete")),
    ("fdu", true, &ACCOUNT_CHANGE, (6, "Delete")),
    ("scp", false, &ACCOUNT_CHANGE, (3, "Password Change")),
    ("fcp reset_pwd_leak", true, &ACCOUNT_CHANGE, (3, "Password Change")),
    ("scpr", false, &ACCOUNT_CHANGE, (4, "Password Reset")),
    ("fcpr", true, &ACCOUNT_CHANGE, (4, "Password Reset")),
    ("ublkdu", false, &ACCOUNT_CHANGE, (12, "Unlock")),
    ("gd_enrollment_complete", false, &ACCOUNT_CHANGE, (10, "MFA Factor Enable")),
    ("gd_unenroll", false, &ACCOUNT_CHANGE, (11, "MFA Factor Disable")),
    ("mgmt_api_read", false, &API_ACTIVITY, (2, "Read")),
];

/// Types whose words mislead.
const EXACT: [(&str, Verb); 5] = [
    ("git.clone", Verb::Read),
    ("git.fetch", Verb::Read),
    ("git.push", Verb::Update),
    ("repo.access", Verb::Update),
    ("user.session.access_admin_app", Verb::Read),
];

/// Codes of Auth0's log without an activity of their own. `true` if the code says that it failed.
const AUTH0_OTHERS: [(&str, bool); 2] =
    [("sapi sce scu scpn sertft", false), ("fapi fce fcu fcpn fertft fd fui fv fvr fcph fcpro", true)];

const SIGN_IN: [&str; 10] = [
    "login",
    "logon",
    "signin",
    "signon",
    "auth",
    "authn",
    "authenticate",
    "authenticated",
    "authentication",
    "reauthenticate",
];
const SIGN_OUT: [&str; 5] = ["logout", "logoff", "signout", "signoff", "slo"];
/// Words that make something else of a sign-in: its settings, or a thing that is called after it.
const NOT_SIGN_IN: [&str; 35] = [
    "profile",
    "page",
    "policy",
    "setting",
    "settings",
    "provider",
    "providers",
    "method",
    "methods",
    "config",
    "configuration",
    "url",
    "banner",
    "flow",
    "screen",
    "requirement",
    "restriction",
    "restrictions",
    "rule",
    "server",
    "module",
    "domain",
    "alias",
    "hook",
    "strength",
    "history",
    "key",
    "link",
    "name",
    "authorization",
    "enforce",
    "enforced",
    "require",
    "required",
    "strong",
];
const SECOND_FACTOR: [&str; 14] = [
    "mfa",
    "factor",
    "2fa",
    "2sv",
    "otp",
    "totp",
    "authenticator",
    "passkey",
    "webauthn",
    "u2f",
    "fido",
    "fido2",
    "titanium",
    "multifactor",
];
const FACTOR_CHECKS: [&str; 9] =
    ["verify", "verified", "verification", "validate", "validated", "deny", "denied", "bypass", "succeeded"];
const CHALLENGES: [&str; 4] = ["challenge", "challenged", "push", "sms"];
const USERS: [&str; 12] = [
    "user",
    "account",
    "member",
    "person",
    "employee",
    "customer",
    "admin",
    "administrator",
    "collaborator",
    "login",
    "contact",
    "subscriber",
];
/// Accounts that are no user's.
const OTHER_ACCOUNTS: [&str; 8] = ["aws", "billing", "bank", "storage", "cloud", "merchant", "business", "service"];
const GROUPS: [&str; 2] = ["group", "team"];
const ORGANISATIONS: [&str; 3] = ["organisation", "organization", "org"];
const MEMBERS: [&str; 5] = ["member", "membership", "user", "collaborator", "moderator"];
const PRIVILEGES: [&str; 9] =
    ["role", "privilege", "permission", "acl", "entitlement", "scope", "admin", "privileges", "permissions"];
/// What Entity Management is about besides users, groups, organisations and policies.
const MANAGED: [&str; 11] = [
    "key",
    "sink",
    "role",
    "token",
    "credential",
    "secret",
    "certificate",
    "tenant",
    "workspace",
    "principal",
    "identity",
];

/// What an event is in OCSF.
pub(super) struct Classified<'a> {
    pub(super) class: &'static Class,
    /// `None` is Other.
    pub(super) activity: Option<Activity>,
    /// Whether a code says that it failed or succeeded.
    pub(super) failed: Option<bool>,
    pub(super) user: Option<&'a Reference<'a>>,
    pub(super) group: Option<&'a Reference<'a>>,
    pub(super) privileges: Vec<Cow<'a, str>>,
}

impl<'a> Classified<'a> {
    fn new(class: &'static Class, activity: Activity) -> Self {
        Self { class, activity: Some(activity), failed: None, user: None, group: None, privileges: Vec::new() }
    }

    fn of_user(class: &'static Class, activity: Activity, user: &'a Reference<'a>) -> Self {
        Self { user: Some(user), ..Self::new(class, activity) }
    }
}

/// Returns OCSF's `type_id` and name of an entity type; `None` if it does not belong to Entity Management.
pub(super) fn managed(entity_type: &str) -> Option<(u32, &str)> {
    let words = Words::of(entity_type);
    let last = singular(words.last()?);
    if is_user(&words) {
        return Some((2, "User"));
    }
    match last {
        _ if GROUPS.contains(&last) => Some((3, "Group")),
        _ if ORGANISATIONS.contains(&last) => Some((4, "Organization")),
        "device" => Some((1, "Device")),
        "policy" => Some((5, "Policy")),
        _ if MANAGED.contains(&last) => Some((super::OTHER, entity_type)),
        _ => None,
    }
}

fn is_user(words: &Words) -> bool {
    let Some(last) = words.last().map(singular) else { return false };
    USERS.contains(&last)
        && !(last == "account" && words.before_last().is_some_and(|word| OTHER_ACCOUNTS.contains(&word)))
}

fn user_of<'a>(references: &[Option<&'a Reference<'a>>]) -> Option<&'a Reference<'a>> {
    references.iter().flatten().copied().find(|one| is_user(&Words::of(one.entity_type.as_str())))
}

fn of_kind<'a>(references: &[Option<&'a Reference<'a>>], kinds: &[&str]) -> Option<&'a Reference<'a>> {
    references
        .iter()
        .flatten()
        .copied()
        .find(|one| Words::of(one.entity_type.as_str()).last().is_some_and(|last| kinds.contains(&singular(last))))
}

/// Classifies an event whose permissions have the names `privileges`.
pub(super) fn classify<'a>(
    fields: &'a Fields<'a>,
    action: &Words,
    kind: &Words,
    mut privileges: Vec<Cow<'a, str>>,
) -> Classified<'a> {
    let references = [Some(&fields.entity), fields.subject.as_ref(), fields.parent_entity.as_ref()];
    let subject_first = [fields.subject.as_ref(), Some(&fields.entity)];
    let texts = [action, kind];
    let verb = action.verb.or(kind.verb);
    let any = |words: &[&str]| texts.iter().any(|text| text.has(words));
    let object = if action.verb.is_some() { &action.object } else { &kind.object };

    if let Some((failed, found)) = auth0(fields) {
        let user = user_of(&subject_first);
        let activity = match found {
            Some((class, activity)) if class != &ACCOUNT_CHANGE || user.is_some() => Some((class, activity)),
            _ => by_method(fields).or_else(|| posted(fields)).map(|activity| (&API_ACTIVITY, activity)),
        };
        let (class, activity) = activity.map_or((&API_ACTIVITY, None), |(class, activity)| (class, Some(activity)));
        let user = user.filter(|_| class == &ACCOUNT_CHANGE || class == &AUTHENTICATION);
        return Classified { activity, failed: Some(failed), user, ..Classified::new(class, LOGON) };
    }
    let exact = EXACT.iter().find(|(kind, _)| [fields.action.as_str(), fields.kind.as_str()].contains(kind));
    if let Some((_, verb)) = exact {
        return Classified::new(&API_ACTIVITY, of_call(*verb));
    }
    if let Some(activity) = texts.iter().find_map(|text| sign_in(text)) {
        return Classified { user: user_of(&[Some(&fields.entity)]), ..Classified::new(&AUTHENTICATION, activity) };
    }
    let user = user_of(&subject_first);
    if let (Some(user), Some(verb)) = (user, verb) {
        let off = matches!(
            verb,
            Verb::Disable | Verb::Deactivate | Verb::Delete | Verb::Unenroll | Verb::Reset | Verb::Revoke
        );
        let on = matches!(verb, Verb::Enable | Verb::Activate | Verb::Create | Verb::Enroll);
        let is_rule = any(&["policy", "requirement", "setting", "settings", "enforcement", "enforce"]);
        if any(&SECOND_FACTOR) && !is_rule && (on || off) {
            let activity = if on { (10, "MFA Factor Enable") } else { (11, "MFA Factor Disable") };
            return Classified::of_user(&ACCOUNT_CHANGE, activity, user);
        }
        if (any(&["password", "passwd"]) || object.as_deref() == Some("profile") && any(&["login"])) && !is_rule {
            let activity = match verb {
                Verb::Reset => Some((4, "Password Reset")),
                _ if any(&["forgot", "forgotten", "recover", "recovery", "expire", "expired"]) => {
                    Some((4, "Password Reset"))
                }
                Verb::Update | Verb::Create => Some((3, "Password Change")),
                _ => None,
            };
            if let Some(activity) = activity {
                return Classified::of_user(&ACCOUNT_CHANGE, activity, user);
            }
        }
        if object.as_deref() == Some("policy") {
            let activity = match verb {
                Verb::Attach => Some((7, "Attach Policy")),
                Verb::Detach => Some((8, "Detach Policy")),
                _ => None,
            };
            if let Some(activity) = activity {
                return Classified::of_user(&ACCOUNT_CHANGE, activity, user);
            }
        }
    }
    if let (Some(verb @ (Verb::Grant | Verb::Revoke)), Some(user)) = (verb, user)
        && any(&PRIVILEGES)
    {
        if privileges.is_empty() {
            let named = of_kind(&references, &["role", "permission", "privilege", "entitlement"]);
            privileges.extend(named.map(|one| one.name.not_blank().unwrap_or(one.id.as_str()).into()));
        }
        if !privileges.is_empty() {
            let activity = if verb == Verb::Grant { (1, "Assign Privileges") } else { (2, "Revoke Privileges") };
            return Classified { privileges, ..Classified::of_user(&USER_ACCESS, activity, user) };
        }
    }
    if let (Some(verb @ (Verb::Create | Verb::Delete)), Some(group)) = (verb, of_kind(&references, &GROUPS))
        && texts.iter().any(|text| text.verb.is_some() && about_members(text))
    {
        let activity = if verb == Verb::Create { (3, "Add User") } else { (4, "Remove User") };
        return Classified { group: Some(group), user, ..Classified::new(&GROUP_MANAGEMENT, activity) };
    }

    let Some(verb) = verb else {
        return Classified { activity: by_method(fields), ..Classified::new(&API_ACTIVITY, LOGON) };
    };
    let entity_type = Words::of(fields.entity.entity_type.as_str());
    let joins =
        texts.iter().any(|text| about_members(text) && text.has(&["group", "groups", "team", "teams", "membership"]));
    let is_about_entity = object.as_deref().is_none_or(|object| !joins && is_called(&entity_type, object));
    if is_user(&entity_type)
        && is_about_entity
        && let Some(activity) = of_account(verb)
    {
        return Classified::of_user(&ACCOUNT_CHANGE, activity, &fields.entity);
    }
    if managed(fields.entity.entity_type.as_str()).is_some() {
        let activity = if is_about_entity || verb == Verb::Read { of_entity(verb) } else { (3, "Update") };
        return Classified::new(&ENTITY_MANAGEMENT, activity);
    }
    Classified::new(&API_ACTIVITY, of_call(verb))
}

/// Returns whether a code of Auth0's log says that something failed, and what it was.
fn auth0(fields: &Fields<'_>) -> Option<(bool, Option<(&'static Class, Activity)>)> {
    let kind = fields.kind.as_str();
    let code_of_kind = kind.rsplit('.').next().unwrap_or(kind);
    let codes =
        [fields.action.as_str(), if kind.starts_with("auth0.") || kind == code_of_kind { code_of_kind } else { "" }];
    let has = |all: &str| all.split_ascii_whitespace().any(|code| codes.contains(&code));
    let known = AUTH0.iter().find(|(all, ..)| has(all));
    known
        .map(|(_, failed, class, activity)| (*failed, Some((*class, *activity))))
        .or_else(|| AUTH0_OTHERS.iter().find(|(all, _)| has(all)).map(|(_, failed)| (*failed, None)))
}

/// Returns the activity of Authentication that a text names.
fn sign_in(text: &Words) -> Option<Activity> {
    let bigram = |first: &[&str], second: &[&str]| text.pair(first, second);
    if text.has(&["evaluate", "evaluated", "evaluation"]) && bigram(&["sign"], &["on", "in"]) {
        return Some(PREAUTH);
    }
    if text.has(&NOT_SIGN_IN) {
        return None;
    }
    let switches = text.has(&["assume", "assumed", "switch", "switched"]) && text.has(&["role"]);
    if switches || text.has(&["impersonate", "impersonated", "impersonation"]) {
        return matches!(text.verb, None | Some(Verb::Start)).then_some(ACCOUNT_SWITCH);
    }
    let session = text.has(&["session"]) && text.precedes_the_verb(&["session"]);
    if session {
        match text.verb {
            Some(Verb::Start | Verb::Create) if text.object.as_deref() != Some("token") => return Some(LOGON),
            Some(Verb::End | Verb::Delete | Verb::Revoke | Verb::Reset) => return Some(LOGOFF),
            _ => {}
        }
    }
    if text.verb.is_some_and(|verb| !matches!(verb, Verb::Start | Verb::End)) {
        return None;
    }
    if text.has(&SECOND_FACTOR) && text.has(&CHALLENGES) && text.has(&["send", "sent"]) {
        return Some(PREAUTH);
    }
    let out = text.has(&SIGN_OUT)
        || bigram(&["log", "logged", "sign", "signed"], &["out", "off"])
        || text.has(&["session"]) && text.last() == Some("expired");
    if out {
        return Some(LOGOFF);
    }
    let signs_in = text.has(&SIGN_IN) || bigram(&["log", "logged", "sign", "signed"], &["in", "on"]);
    let factor = text.has(&SECOND_FACTOR);
    if (signs_in || factor || text.has(&["credential"])) && text.has(&CHALLENGES) && !text.has(&FACTOR_CHECKS) {
        return Some(PREAUTH);
    }
    let checked = factor && text.has(&FACTOR_CHECKS);
    let sso = text.has(&["sso", "saml"]) && text.has(&["response", "assertion"]);
    let refused = text.has(&["session"]) && failure(text);
    (signs_in || checked || sso || refused).then_some(LOGON)
}

fn about_members(text: &Words) -> bool {
    text.object.as_deref().is_some_and(|object| MEMBERS.contains(&object) || object == "group" && text.has(&["user"]))
}

/// Returns whether things of the type are called `noun`.
fn is_called(entity_type: &Words, noun: &str) -> bool {
    let Some(last) = entity_type.last().map(singular) else { return false };
    let same = |names: &[&str]| names.contains(&last) && names.contains(&noun);
    // To add a member to something does not create a user.
    last == noun || same(&USERS) && !matches!(noun, "member" | "collaborator") || same(&ORGANISATIONS) || same(&GROUPS)
}

/// Returns the activity that the method of an HTTP call names. `POST` names none.
fn by_method(fields: &Fields<'_>) -> Option<Activity> {
    match fields.payload_method().as_str().to_ascii_uppercase().as_str() {
        "GET" | "HEAD" => Some(of_call(Verb::Read)),
        "PUT" | "PATCH" => Some(of_call(Verb::Update)),
        "DELETE" => Some(of_call(Verb::Delete)),
        _ => None,
    }
}

/// Returns Create for a `POST` of Auth0's Management API, which creates with it.
fn posted(fields: &Fields<'_>) -> Option<Activity> {
    fields.payload_method().as_str().eq_ignore_ascii_case("POST").then_some(of_call(Verb::Create))
}

fn of_account(verb: Verb) -> Option<Activity> {
    Some(match verb {
        Verb::Create => (1, "Create"),
        Verb::Enable | Verb::Activate | Verb::Resume => (2, "Enable"),
        Verb::Disable | Verb::Deactivate | Verb::Suspend => (5, "Disable"),
        Verb::Delete => (6, "Delete"),
        Verb::Lock => (9, "Lock"),
        Verb::Unlock => (12, "Unlock"),
        _ => return None,
    })
}

fn of_entity(verb: Verb) -> Activity {
    match verb {
        Verb::Create => (1, "Create"),
        Verb::Read => (2, "Read"),
        Verb::Delete => (4, "Delete"),
        Verb::Move => (5, "Move"),
        Verb::Enroll => (6, "Enroll"),
        Verb::Unenroll => (7, "Unenroll"),
        Verb::Enable => (8, "Enable"),
        Verb::Disable => (9, "Disable"),
        Verb::Activate => (10, "Activate"),
        Verb::Deactivate | Verb::Revoke => (11, "Deactivate"),
        Verb::Suspend => (12, "Suspend"),
        Verb::Resume => (13, "Resume"),
        _ => (3, "Update"),
    }
}

fn of_call(verb: Verb) -> Activity {
    match verb {
        Verb::Create | Verb::Enroll => (1, "Create"),
        Verb::Read => (2, "Read"),
        Verb::Delete | Verb::Unenroll => (4, "Delete"),
        _ => (3, "Update"),
    }
}

/// Returns whether the words say that something failed. A verb says it only of what cannot be its object: `session.blocked`
/// failed, and in `user.blocked` somebody blocked a user.
pub(super) fn failure(text: &Words) -> bool {
    const ANYWHERE: [&str; 9] =
        ["failed", "failure", "failures", "fail", "fails", "denied", "unsuccessful", "unauthorized", "unauthorised"];
    const AT_THE_END: [&str; 6] = ["rejected", "error", "errored", "refused", "forbidden", "timeout"];
    const DECIDED: [&str; 12] = [
        "request",
        "requests",
        "invitation",
        "invite",
        "review",
        "approval",
        "change",
        "application",
        "proposal",
        "grant",
        "closure",
        "bypass",
    ];
    const ATTEMPTS: [&str; 16] = [
        "login",
        "logon",
        "signin",
        "in",
        "on",
        "session",
        "auth",
        "authn",
        "authentication",
        "authorization",
        "access",
        "request",
        "attempt",
        "connection",
        "call",
        "operation",
    ];
    let (last, before) = (text.last().unwrap_or_default(), text.before_last().unwrap_or_default());
    let is_decision = DECIDED.contains(&before);
    text.iter().any(|word| ANYWHERE.contains(&word)) && !(last == "denied" && is_decision)
        || AT_THE_END.contains(&last) && !(last == "rejected" && is_decision)
        || last == "blocked" && ATTEMPTS.contains(&before)
}

/// Returns whether the words name an attempt, and not how it ended.
pub(super) fn is_undecided(text: &Words) -> bool {
    text.has(&["attempt", "attempted", "challenge", "challenged", "requested", "pending", "evaluate"])
}

/// Returns OCSF's `auth_protocol_id` and name, if the words name it.
pub(super) fn protocol(texts: [&Words; 2]) -> Option<(u32, &'static str)> {
    let known: [(&[&str], u32, &str); 6] = [
        (&["saml", "saml2"], 5, "SAML"),
        (&["oidc", "openid"], 4, "OpenID"),
        (&["oauth", "oauth2"], 6, "OAUTH 2.0"),
        (&["ldap"], 12, "LDAP"),
        (&["radius"], 10, "RADIUS"),
        (&["kerberos"], 2, "Kerberos"),
    ];
    known.into_iter().find(|(words, ..)| texts.iter().any(|text| text.has(words))).map(|(_, id, name)| (id, name))
}

/// Returns whether the words name a second factor.
pub(super) fn names_second_factor(texts: [&Words; 2]) -> bool {
    texts.iter().any(|text| text.has(&SECOND_FACTOR))
}
