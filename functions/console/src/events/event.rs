//! An event as pages tell it: what its line says, and that as a sentence.

use annals_core::{id::EventId, log::segment::Line, time::Timestamp};
use maud::{Markup, html};

use super::{json::Node, text::short};

/// Something, or somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Thing {
    /// Its id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// What kind of thing it is.
    pub(super) kind: String,
    /// The e-mail address, of a person.
    pub(super) email: String,
}

impl Thing {
    fn of(node: &Node) -> Self {
        let [id, name, kind, email] = ["id", "name", "entityType", "email"].map(|key| node.text_of(key));
        Self { id, name, kind, email }
    }

    /// Its name, or its id where it has none, in at most `max` characters.
    pub(super) fn label(&self, max: usize) -> String {
        let text = if self.name.trim().is_empty() { &self.id } else { &self.name };
        short(text, max)
    }
}

/// What a line says.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: EventId,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) action: String,
    pub(super) entity: Thing,
    pub(super) principal: Thing,
    pub(super) subject: Option<Thing>,
    pub(super) client: String,
    /// All of it.
    pub(super) whole: Node,
}

impl Event {
    /// Reads a line. Where it is no event, which no log holds, all is empty.
    pub(super) fn of(line: &Line) -> Self {
        let whole = Node::parse(&line.text).unwrap_or(Node::Object(Vec::new()));
        let thing = |key: &str| whole.member(key).map(Thing::of);
        Self {
            id: line.id,
            at: line.recorded_at,
            kind: whole.text_of("type"),
            action: whole.text_of("action"),
            entity: thing("entity").unwrap_or_default(),
            principal: thing("principal").unwrap_or_default(),
            subject: thing("subject"),
            client: whole.text_of("clientType"),
            whole,
        }
    }

    /// What happened.
    pub(super) fn sentence(&self) -> Sentence {
        const MAX_CHARS: usize = 120;
        let verb = verb(&self.action);
        let is_about_oneself = self.entity.id == self.principal.id && self.entity.kind == self.principal.kind;
        let object = (!(is_about_oneself && verb.is_some_and(|verb| verb.alone)))
            .then(|| (short(&self.entity.kind, 40), self.entity.label(MAX_CHARS)));
        let verb = match verb {
            Some(verb) => format!("{}{}", verb.past, if object.is_some() { verb.before_object } else { "" }),
            None => format!("did {} to", short(&self.action, 40)),
        };
        let subject = self.subject.as_ref().map(|subject| subject.label(MAX_CHARS));
        Sentence { who: self.principal.label(MAX_CHARS), verb, object, subject }
    }
}

/// What happened: `Ada Bell updated MOCK_API Payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Who did it.
    pub(super) who: String,
    /// What was done.
    pub(super) verb: String,
    /// What it was done to: its type and its name; nothing where somebody did something by themselves.
    pub(super) object: Option<(String, String)>,
    /// Whom it concerns.
    pub(super) subject: Option<String>,
}

impl Sentence {
    pub(super) fn render(&self) -> Markup {
        html! {
            bdi { (self.who) } " " (self.verb)
            @if let Some((kind, name)) = &self.object { " " span .kind { bdi { (kind) } } " " bdi { (name) } }
            @if let Some(subject) = &self.subject { " for " bdi { (subject) } }
        }
    }

    /// The same as plain text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}", self.who, self.verb);
        if let Some((kind, name)) = &self.object {
            text.push_str(&format!(" {kind} {name}"));
        }
        if let Some(subject) = &self.subject {
            text.push_str(&format!(" for {subject}"));
        }
        text
    }
}

/// How an action is told.
#[derive(Clone, Copy)]
struct Verb {
    past: &'static str,
    before_object: &'static str,
    /// Whether it needs no object where that is who did it.
    alone: bool,
}

fn verb(action: &str) -> Option<Verb> {
    const fn plain(past: &'static str) -> Verb {
        Verb { past, before_object: "", alone: false }
    }
    Some(match action.to_ascii_uppercase().as_str() {
        "CREATE" => plain("created"),
        "UPDATE" => plain("updated"),
        "DELETE" => plain("deleted"),
        "READ" => plain("read"),
        "TEST" => plain("tested"),
        "ROTATE" => plain("rotated"),
        "REVOKE" | "ACL_REVOKE" => plain("revoked access to"),
        "GRANT" | "ACL_GRANT" => plain("granted access to"),
        "INVITE" => plain("invited"),
        "LOGIN" => Verb { past: "signed in", before_object: " to", alone: true },
        "LOGOUT" => Verb { past: "signed out", before_object: " of", alone: true },
        "SIGNUP" => Verb { past: "signed up", before_object: " to", alone: true },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::samples::line, *};

    fn told(event: &str) -> String {
        Event::of(&line(1, event)).sentence().text()
    }

    #[test]
    fn an_event_is_told_as_a_sentence() {
        let ada = r#""principal":{"id":"42","name":"Ada Bell","entityType":"USER"}"#;
        let payments = r#""entity":{"id":"m-1","name":"Payments","entityType":"MOCK_API"}"#;
        assert_eq!(told(&format!(r#""action":"UPDATE",{payments},{ada}"#)), "Ada Bell updated MOCK_API Payments");
        assert_eq!(told(&format!(r#""action":"sync",{payments},{ada}"#)), "Ada Bell did sync to MOCK_API Payments");
        let herself = r#""entity":{"id":"42","name":"Ada Bell","entityType":"USER"}"#;
        assert_eq!(told(&format!(r#""action":"LOGIN",{herself},{ada}"#)), "Ada Bell signed in");
        assert_eq!(told(&format!(r#""action":"UPDATE",{herself},{ada}"#)), "Ada Bell updated USER Ada Bell");
        let log = r#""entity":{"id":"acme","name":"Acme","entityType":"AUDIT_LOG"}"#;
        assert_eq!(told(&format!(r#""action":"READ",{log},{ada}"#)), "Ada Bell read AUDIT_LOG Acme");
        let ben = r#""subject":{"id":"7","name":"Ben","entityType":"USER"}"#;
        assert_eq!(
            told(&format!(r#""action":"GRANT",{payments},{ada},{ben}"#)),
            "Ada Bell granted access to MOCK_API Payments for Ben"
        );
    }
}
