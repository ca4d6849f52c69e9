//! An event for display: the values of its line, and a sentence about it.

use annals_core::{
    id::EventId,
    line::{self, Fields},
    log::segment::Line,
    recorded_by::RecordedBy,
    time::Timestamp,
};
use maud::{Markup, html};

use super::{json::Node, text::short};

/// An entity or a principal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reference {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) entity_type: String,
    /// Only principals have one.
    pub(super) email: String,
}

impl Reference {
    fn of(reference: &line::Reference<'_>) -> Self {
        let [id, name, entity_type, email] = [&reference.id, &reference.name, &reference.entity_type, &reference.email]
            .map(|text| text.as_str().to_owned());
        Self { id, name, entity_type, email }
    }

    /// Returns the name, or the id if there is no name, cut to `max` characters.
    pub(super) fn label(&self, max: usize) -> String {
        let text = if self.name.trim().is_empty() { &self.id } else { &self.name };
        short(text, max)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: EventId,
    pub(super) at: Timestamp,
    pub(super) event_type: String,
    pub(super) action: String,
    pub(super) entity: Reference,
    pub(super) principal: Reference,
    pub(super) subject: Option<Reference>,
    pub(super) client: String,
    /// `None` if the event was recorded before Annals stored this.
    pub(super) recorded_by: Option<RecordedBy>,
    pub(super) whole: Node,
}

impl Event {
    pub(super) fn of(line: &Line) -> Self {
        let fields = Fields::of(line);
        Self {
            id: line.id,
            at: line.recorded_at,
            event_type: fields.kind.as_str().to_owned(),
            action: fields.action.as_str().to_owned(),
            entity: Reference::of(&fields.entity),
            principal: Reference::of(&fields.principal),
            subject: fields.subject.as_ref().map(Reference::of),
            client: fields.client_type.as_str().to_owned(),
            recorded_by: fields.recorded_by.as_str().parse().ok(),
            whole: Node::parse(&line.text).unwrap_or(Node::Object(Vec::new())),
        }
    }

    pub(super) fn sentence(&self) -> Sentence {
        const MAX_CHARS: usize = 120;
        let verb = verb(&self.action);
        let is_self = self.entity.id == self.principal.id && self.entity.entity_type == self.principal.entity_type;
        let object = (!(is_self && verb.is_some_and(|verb| verb.is_intransitive)))
            .then(|| (short(&self.entity.entity_type, 40), self.entity.label(MAX_CHARS)));
        let verb = match verb {
            Some(verb) => format!("{}{}", verb.past, if object.is_some() { verb.preposition } else { "" }),
            None => format!("did {} to", short(&self.action, 40)),
        };
        let subject = self.subject.as_ref().map(|subject| subject.label(MAX_CHARS));
        Sentence { principal: self.principal.label(MAX_CHARS), verb, object, subject }
    }
}

/// For example `Ada Bell updated MOCK_API Payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) principal: String,
    pub(super) verb: String,
    /// Type and name of the entity; `None` if it is the principal itself, as in `Ada Bell signed in`.
    pub(super) object: Option<(String, String)>,
    pub(super) subject: Option<String>,
}

impl Sentence {
    pub(super) fn render(&self) -> Markup {
        html! {
            bdi { (self.principal) } " " (self.verb)
            @if let Some((entity_type, name)) = &self.object { " " span .kind { bdi { (entity_type) } } " " bdi { (name) } }
            @if let Some(subject) = &self.subject { " for " bdi { (subject) } }
        }
    }

    /// Returns the sentence as plain text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}", self.principal, self.verb);
        if let Some((entity_type, name)) = &self.object {
            text.push_str(&format!(" {entity_type} {name}"));
        }
        if let Some(subject) = &self.subject {
            text.push_str(&format!(" for {subject}"));
        }
        text
    }
}

#[derive(Clone, Copy)]
struct Verb {
    past: &'static str,
    preposition: &'static str,
    /// Whether the sentence has no object when the principal is also the entity.
    is_intransitive: bool,
}

fn verb(action: &str) -> Option<Verb> {
    const fn transitive(past: &'static str) -> Verb {
        Verb { past, preposition: "", is_intransitive: false }
    }
    Some(match action.to_ascii_uppercase().as_str() {
        "CREATE" => transitive("created"),
        "UPDATE" => transitive("updated"),
        "DELETE" => transitive("deleted"),
        "READ" => transitive("read"),
        "TEST" => transitive("tested"),
        "ROTATE" => transitive("rotated"),
        "REVOKE" | "ACL_REVOKE" => transitive("revoked access to"),
        "GRANT" | "ACL_GRANT" => transitive("granted access to"),
        "INVITE" => transitive("invited"),
        "LOGIN" => Verb { past: "signed in", preposition: " to", is_intransitive: true },
        "LOGOUT" => Verb { past: "signed out", preposition: " of", is_intransitive: true },
        "SIGNUP" => Verb { past: "signed up", preposition: " to", is_intransitive: true },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::line, *};

    fn sentence(event: &str) -> String {
        Event::of(&line(1, event)).sentence().text()
    }

    #[test]
    fn an_event_becomes_a_sentence() {
        let ada = r#""principal":{"id":"42","name":"Ada Bell","entityType":"USER"}"#;
        let payments = r#""entity":{"id":"m-1","name":"Payments","entityType":"MOCK_API"}"#;
        assert_eq!(sentence(&format!(r#""action":"UPDATE",{payments},{ada}"#)), "Ada Bell updated MOCK_API Payments");
        assert_eq!(sentence(&format!(r#""action":"sync",{payments},{ada}"#)), "Ada Bell did sync to MOCK_API Payments");
        let herself = r#""entity":{"id":"42","name":"Ada Bell","entityType":"USER"}"#;
        assert_eq!(sentence(&format!(r#""action":"LOGIN",{herself},{ada}"#)), "Ada Bell signed in");
        assert_eq!(sentence(&format!(r#""action":"UPDATE",{herself},{ada}"#)), "Ada Bell updated USER Ada Bell");
        let log = r#""entity":{"id":"acme","name":"Acme","entityType":"AUDIT_LOG"}"#;
        assert_eq!(sentence(&format!(r#""action":"READ",{log},{ada}"#)), "Ada Bell read AUDIT_LOG Acme");
        let ben = r#""subject":{"id":"7","name":"Ben","entityType":"USER"}"#;
        assert_eq!(
            sentence(&format!(r#""action":"GRANT",{payments},{ada},{ben}"#)),
            "Ada Bell granted access to MOCK_API Payments for Ben"
        );
    }
}
