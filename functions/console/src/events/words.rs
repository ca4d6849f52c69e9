//! Words for people instead of the identifiers that programs send: actions as verbs, entity types as nouns.

/// A verb, as a sentence needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verb {
    /// As in "failed to update".
    pub(super) base: String,
    /// As in "updated".
    pub(super) past: String,
    /// What stands between the verb and its object, with a space before it.
    pub(super) preposition: &'static str,
    /// Whether the sentence has no object when the principal is also the entity.
    pub(super) is_intransitive: bool,
}

/// Actions whose words do not follow from their names: the base, the past and the preposition.
const VERBS: [(&str, &str, &str, &str); 32] = [
    ("ACL_GRANT", "grant access", "granted access", " to"),
    ("ACL_REVOKE", "revoke access", "revoked access", " to"),
    ("BEGIN", "begin", "began", ""),
    ("BUY", "buy", "bought", ""),
    ("EXPORT", "export", "exported", ""),
    ("FAILED_LOGIN", "sign in", "failed to sign in", " to"),
    ("GET", "read", "read", ""),
    ("GIVE", "give", "gave", ""),
    ("GRANT", "grant access", "granted access", " to"),
    ("IMPERSONATE", "act as", "acted as", ""),
    ("LIST", "list", "listed", ""),
    ("LOGIN", "sign in", "signed in", " to"),
    ("LOGIN_FAILED", "sign in", "failed to sign in", " to"),
    ("LOGOUT", "sign out", "signed out", " of"),
    ("MAKE", "make", "made", ""),
    ("PUT", "write", "wrote", ""),
    ("READ", "read", "read", ""),
    ("RESET", "reset", "reset", ""),
    ("REVOKE", "revoke access", "revoked access", " to"),
    ("RUN", "run", "ran", ""),
    ("SELL", "sell", "sold", ""),
    ("SEND", "send", "sent", ""),
    ("SET", "set", "set", ""),
    ("SIGNIN", "sign in", "signed in", " to"),
    ("SIGNOUT", "sign out", "signed out", " of"),
    ("SIGNUP", "sign up", "signed up", " to"),
    ("SIGN_IN", "sign in", "signed in", " to"),
    ("SIGN_OUT", "sign out", "signed out", " of"),
    ("SPLIT", "split", "split", ""),
    ("SYNC", "synchronise", "synchronised", ""),
    ("VIEW", "view", "viewed", ""),
    ("WRITE", "write", "wrote", ""),
];

/// Returns what an event of Annals' own says of its entity, if its action alone does not.
pub(super) fn own_predicate(event_type: &str) -> Option<&'static str> {
    match event_type {
        "destination.gap" => Some("could not deliver all events to"),
        "destination.replay" => Some("started to deliver events again to"),
        "session.revoke" => Some("ended"),
        "token.revoke" => Some("revoked"),
        _ => None,
    }
}

/// Verbs of one syllable that double their last letter, and others that a rule would miss.
const DOUBLED: [&str; 14] = [
    "stop", "drop", "ship", "ban", "pin", "tag", "map", "plan", "submit", "commit", "log", "unban", "unpin", "transfer",
];

/// Returns the verb of an action, or `None` if its name is not made of words.
pub(super) fn verb(action: &str) -> Option<Verb> {
    let name = action.trim().to_ascii_uppercase().replace(['-', ' ', '.'], "_");
    if let Ok(index) = VERBS.binary_search_by(|(known, ..)| (*known).cmp(&name)) {
        let (_, base, past, preposition) = VERBS[index];
        let is_intransitive = base.starts_with("sign ");
        return Some(Verb { base: base.to_owned(), past: past.to_owned(), preposition, is_intransitive });
    }
    let words: Vec<String> = words(action)?.into_iter().map(|word| word.to_ascii_lowercase()).collect();
    let (first, rest) = words.split_first()?;
    if !first.bytes().all(|byte| byte.is_ascii_lowercase()) || first.len() < 3 {
        return None;
    }
    let with_rest = |verb: &str| [&[verb.to_owned()], rest].concat().join(" ");
    let preposition = if rest.is_empty() { "" } else { " of" };
    // "updated", "mock_api.updated": already the past.
    let past = if first.ends_with("ed") { first.clone() } else { past(first) };
    Some(Verb { base: with_rest(first), past: with_rest(&past), preposition, is_intransitive: false })
}

fn past(verb: &str) -> String {
    let is_vowel = |letter: Option<char>| letter.is_some_and(|letter| "aeiou".contains(letter));
    let mut letters = verb.chars().rev();
    match (letters.next(), letters.next()) {
        (Some('e'), _) => format!("{verb}d"),
        (Some('y'), before) if !is_vowel(before) => format!("{}ied", &verb[..verb.len() - 1]),
        (Some(last), _) if DOUBLED.contains(&verb) => format!("{verb}{last}ed"),
        _ => format!("{verb}ed"),
    }
}

/// Words that are written in another way than in lower case.
const SPELLED: [(&str, &str); 35] = [
    ("acl", "ACL"),
    ("api", "API"),
    ("aws", "AWS"),
    ("cdn", "CDN"),
    ("ci", "CI"),
    ("cli", "CLI"),
    ("csv", "CSV"),
    ("dns", "DNS"),
    ("git", "Git"),
    ("github", "GitHub"),
    ("gpg", "GPG"),
    ("http", "HTTP"),
    ("https", "HTTPS"),
    ("iam", "IAM"),
    ("id", "ID"),
    ("ip", "IP"),
    ("jira", "Jira"),
    ("json", "JSON"),
    ("kms", "KMS"),
    ("ldap", "LDAP"),
    ("mfa", "MFA"),
    ("oauth", "OAuth"),
    ("oidc", "OIDC"),
    ("openapi", "OpenAPI"),
    ("pdf", "PDF"),
    ("s3", "S3"),
    ("saml", "SAML"),
    ("scim", "SCIM"),
    ("sql", "SQL"),
    ("ssh", "SSH"),
    ("sso", "SSO"),
    ("tls", "TLS"),
    ("ui", "UI"),
    ("url", "URL"),
    ("vpc", "VPC"),
];

/// Returns an entity type as a noun: `MOCK_API` is a mock API. A type that is not made of words stays as it is.
pub(super) fn noun(entity_type: &str) -> String {
    if entity_type == "S3_AUDIT_SINK" {
        return "destination".to_owned();
    }
    let Some(words) = words(entity_type) else { return entity_type.to_owned() };
    let spelled = |word: String| {
        let word = word.to_ascii_lowercase();
        SPELLED.binary_search_by(|(known, _)| (*known).cmp(&word)).map_or(word, |index| SPELLED[index].1.to_owned())
    };
    words.into_iter().map(spelled).collect::<Vec<_>>().join(" ")
}

/// Returns the words of an identifier such as `MOCK_API`, `mock-api` or `MockApi`.
fn words(identifier: &str) -> Option<Vec<String>> {
    let is_identifier = |letter: char| letter.is_ascii_alphanumeric() || "_-. ".contains(letter);
    if !identifier.chars().all(is_identifier) {
        return None;
    }
    let mut words = vec![String::new()];
    let mut before = '_';
    for letter in identifier.chars() {
        let is_separator = !letter.is_ascii_alphanumeric();
        let begins = letter.is_ascii_uppercase() && before.is_ascii_lowercase();
        if is_separator || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| !is_separator) {
            word.push(letter);
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_become_verbs() {
        let past = |action: &str| verb(action).map(|verb| format!("{}{}", verb.past, verb.preposition));
        for (action, expected) in [
            ("UPDATE", "updated"),
            ("create", "created"),
            ("MODIFY", "modified"),
            ("DEPLOY", "deployed"),
            ("STOP", "stopped"),
            ("PAUSE", "paused"),
            ("REPLAY", "replayed"),
            ("ACL_GRANT", "granted access to"),
            ("sign-in", "signed in to"),
            ("updated", "updated"),
            ("ROTATE_KEY", "rotated key of"),
        ] {
            assert_eq!(past(action).as_deref(), Some(expected), "{action}");
        }
        for no_verb in ["", "改", "a:b", "x", "42"] {
            assert_eq!(past(no_verb), None, "{no_verb}");
        }
        assert!(VERBS.is_sorted_by_key(|(name, ..)| *name) && SPELLED.is_sorted_by_key(|(word, _)| *word));
    }

    #[test]
    fn entity_types_become_nouns() {
        for (entity_type, expected) in [
            ("MOCK_API", "mock API"),
            ("MOCK_API_SETTINGS", "mock API settings"),
            ("OPENAPI_GIT_INTEGRATION", "OpenAPI Git integration"),
            ("S3_AUDIT_SINK", "destination"),
            ("AuditLog", "audit log"),
            ("user", "user"),
            ("日本", "日本"),
            ("<b>", "<b>"),
            ("", ""),
        ] {
            assert_eq!(noun(entity_type), expected);
        }
    }
}
