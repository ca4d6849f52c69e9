//! The words of an action or a type, however it is spelled: `LOGIN_FAILED`, `user.login.failed`, `loginFailed`. Owns their
//! grammar: which word is the verb, and what the verb is about. It does not know OCSF.

/// What somebody did. The variants are as fine as OCSF's activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Read,
    Update,
    Delete,
    Move,
    Enroll,
    Unenroll,
    Enable,
    Disable,
    Activate,
    Deactivate,
    Suspend,
    Resume,
    Lock,
    Unlock,
    Grant,
    Revoke,
    Attach,
    Detach,
    Reset,
    Start,
    End,
}

/// The verbs in their base form.
const VERBS: [(Verb, &str); 22] = [
    (
        Verb::Create,
        "create add insert new register provision import upload generate issue launch run allocate publish post clone copy \
         fork install deploy mint join signup",
    ),
    (
        Verb::Read,
        "read get list describe view download export search query lookup head scan fetch show retrieve browse preview \
         inspect accessed",
    ),
    (
        Verb::Update,
        "update change modify edit set put replace patch configure tag untag write adjust rotate renew refresh merge upgrade \
         downgrade promote demote sync archive unarchive link unlink associate disassociate connect disconnect pin unpin \
         reorder toggle extend apply share unshare authorize convert dismiss close reopen approve reboot star unstar save schedule \
         stop expand",
    ),
    (
        Verb::Delete,
        "delete remove destroy drop purge erase terminate deregister unregister uninstall unpublish discard clear trash \
         leave cancel invalidate deprovision",
    ),
    (Verb::Move, "move rename transfer"),
    (Verb::Enroll, "enroll enrol"),
    (Verb::Unenroll, "unenroll unenrol"),
    (Verb::Enable, "enable"),
    (Verb::Disable, "disable"),
    (Verb::Activate, "activate reactivate"),
    (Verb::Deactivate, "deactivate"),
    (Verb::Suspend, "suspend pause"),
    (Verb::Resume, "resume unsuspend unpause"),
    (Verb::Lock, "lock"),
    (Verb::Unlock, "unlock unblock"),
    (Verb::Grant, "grant assign"),
    (Verb::Revoke, "revoke unassign ungrant"),
    (Verb::Attach, "attach"),
    (Verb::Detach, "detach"),
    (Verb::Reset, "reset"),
    (Verb::Start, "start begin open initiate"),
    (Verb::End, "end finish"),
];

/// Verbs that are nouns unless a text begins with them: `workflow_run`, `data_set`.
const LEADING_ONLY: [&str; 7] = ["run", "head", "post", "list", "set", "scan", "issue"];
/// Words behind which a verb's object does not stand: `reset_by_admin`, `shared_with_team`.
const PREPOSITIONS: [&str; 12] = ["by", "for", "from", "with", "to", "in", "into", "of", "on", "via", "as", "at"];
/// Words that may stand before the verb of a command: `BatchGetItem`.
const LEADS: [&str; 4] = ["batch", "bulk", "admin", "auto"];
/// Words that say how something went, or that say nothing.
const FILLERS: [&str; 24] = [
    "success",
    "succeeded",
    "successful",
    "successfully",
    "succeed",
    "failed",
    "failure",
    "fail",
    "unsuccessful",
    "error",
    "denied",
    "rejected",
    "blocked",
    "completed",
    "initiated",
    "requested",
    "attempt",
    "attempted",
    "lifecycle",
    "event",
    "batch",
    "bulk",
    "self",
    "all",
];

/// Returns the verb of which `word` is the base form or the past tense.
fn verb(word: &str) -> Option<Verb> {
    let base =
        |base: &str| VERBS.iter().find(|(_, words)| words.split(' ').any(|known| known == base)).map(|(verb, _)| *verb);
    base(word).or_else(|| {
        let stem = word.strip_suffix("ed")?;
        let undoubled = || stem.char_indices().last().map(|(end, _)| &stem[..end]);
        base(stem)
            .or_else(|| base(&word[..word.len() - 1]))
            .or_else(|| base(&format!("{}y", stem.strip_suffix('i')?)))
            .or_else(|| base(undoubled()?))
    })
}

/// Returns a noun in the singular.
pub(super) fn singular(noun: &str) -> &str {
    match noun.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => noun,
    }
}

/// A text in words.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The parts between dots and the like, each with its words in lower case.
    segments: Vec<Vec<String>>,
    pub(super) verb: Option<Verb>,
    /// What the verb is about, in the singular: `user` in `user.lifecycle.create`, `key` in `CreateAccessKey`.
    pub(super) object: Option<String>,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let mut segments: Vec<Vec<String>> =
            text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | ' ')).map(split).collect();
        segments.retain(|words| !words.is_empty());
        let (mut found, mut at) = (None, None);
        for (index, words) in segments.iter().enumerate().rev() {
            if let Some((place, verb)) = verb_of(words) {
                (found, at) = (Some(verb), Some((index, place)));
                break;
            }
        }
        let object = at.and_then(|at| object_of(&segments, at));
        Self { segments, verb: found, object }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().map(String::as_str)
    }

    /// Returns whether one of `words` is among them.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.iter().any(|word| words.contains(&word))
    }

    /// Returns whether `second` follows `first`.
    pub(super) fn pair(&self, first: &[&str], second: &[&str]) -> bool {
        self.iter().zip(self.iter().skip(1)).any(|(one, next)| first.contains(&one) && second.contains(&next))
    }

    /// Returns the last word.
    pub(super) fn last(&self) -> Option<&str> {
        self.iter().last()
    }

    /// Returns the word before the last one.
    pub(super) fn before_last(&self) -> Option<&str> {
        let words: Vec<&str> = self.iter().collect();
        words.len().checked_sub(2).map(|place| words[place])
    }

    /// Returns whether `word` stands before a verb: a session that was started, and not the start of a session.
    pub(super) fn precedes_the_verb(&self, words: &[&str]) -> bool {
        let mut before = self.iter().skip_while(|word| !words.contains(word)).skip(1);
        before.any(|word| verb(word).is_some())
            && !self.iter().take_while(|word| !words.contains(word)).any(|word| verb(word).is_some())
    }
}

/// Returns the words of a segment in lower case: between underscores, hyphens, spaces, and where upper case begins.
fn split(segment: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in segment.split(['_', '-', ' ']) {
        let characters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (place, &character) in characters.iter().enumerate() {
            let begins = character.is_uppercase()
                && place > 0
                && (!characters[place - 1].is_uppercase()
                    || characters.get(place + 1).is_some_and(|next| next.is_lowercase()));
            if begins && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(character.to_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// Returns the verb of a segment with its place: the first word of a command, else the last verb.
fn verb_of(words: &[String]) -> Option<(usize, Verb)> {
    let may_be = |place: usize, word: &str| {
        !FILLERS.contains(&word) && (place == 0 || !LEADING_ONLY.contains(&word) || LEADS.contains(&&*words[0]))
    };
    let verbs = words.iter().enumerate().filter(|(place, word)| may_be(*place, word));
    let verbs = verbs.filter_map(|(place, word)| Some((place, verb(word)?)));
    let before_prepositions =
        words.iter().position(|word| PREPOSITIONS.contains(&word.as_str())).unwrap_or(words.len());
    let mut found: Option<(usize, Verb)> = None;
    for (place, verb) in verbs {
        let leads = words[..place].iter().all(|word| LEADS.contains(&word.as_str()));
        if leads {
            return Some((place, verb));
        }
        if place < before_prepositions.max(1) || found.is_none() {
            found = Some((place, verb));
        }
    }
    found
}

fn object_of(segments: &[Vec<String>], (index, place): (usize, usize)) -> Option<String> {
    let meant = |word: &&String| !FILLERS.contains(&word.as_str()) && verb(word).is_none();
    let words = &segments[index];
    let end = words.iter().position(|word| PREPOSITIONS.contains(&word.as_str())).unwrap_or(words.len());
    let behind = words[(place + 1).min(end)..end].iter().rfind(meant);
    let before = words[..place].iter().rfind(meant);
    let earlier = || segments[..index].iter().rev().find_map(|words| words.iter().rfind(meant));
    behind.or(before).or_else(earlier).map(|word| singular(word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_into_words_however_it_is_spelled() {
        let words = |text: &str| Words::of(text).iter().collect::<Vec<_>>().join(" ");
        for text in ["LOGIN_FAILED", "login.failed", "loginFailed", "Login Failed", "login-failed", "login:failed"] {
            assert_eq!(words(text), "login failed", "{text}");
        }
        assert_eq!(words("EnableMFADevice"), "enable mfa device");
        assert_eq!(words("iam.amazonaws.com:CreateSAMLProvider"), "iam amazonaws com create saml provider");
        assert_eq!(words("ÉTÉ_été"), "été été");
        assert_eq!(words("..__"), "");
    }

    #[test]
    fn the_verb_and_its_object_are_found() {
        let found = |text: &str| {
            let Words { verb, object, .. } = Words::of(text);
            format!("{} {}", verb.map_or("-".into(), |verb| format!("{verb:?}")), object.unwrap_or("-".into()))
        };
        for (text, expected) in [
            ("CREATED", "Create -"),
            ("repo.create", "Create repo"),
            ("user.lifecycle.delete.initiated", "Delete user"),
            ("protected_branch.destroy", "Delete branch"),
            ("org.update_member_repository_creation_permission", "Update permission"),
            ("user.role_changed", "Update role"),
            ("ROLE_ASSIGNED", "Grant role"),
            ("CreateAccessKey", "Create key"),
            ("ListUsers", "Read user"),
            ("AdminCreateUser", "Create user"),
            ("BatchGetItem", "Read item"),
            ("user_session_reset_by_admin", "Reset session"),
            ("team.add_repository", "Create repository"),
            ("permissions.copied", "Create permission"),
            ("app_dropped", "Delete app"),
            ("mock_api.explode", "- -"),
            ("AssumeRole", "- -"),
            ("", "- -"),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
