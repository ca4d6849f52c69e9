//! An event for display: the values of its line, and a sentence about it.

use annals_core::{
    id::EventId,
    line::{self, Fields},
    log::segment::Line,
    recorded_by::RecordedBy,
    time::Timestamp,
};
use maud::{Markup, html};

use super::{
    json::Node,
    text::short,
    words::{self, Verb},
};

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
    pub(super) outcome: String,
    /// The IP address, if the producer sent it.
    pub(super) address: String,
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
            outcome: fields.outcome.as_str().to_owned(),
            address: fields.context().ip_address.as_str().to_owned(),
            recorded_by: fields.recorded_by.as_str().parse().ok(),
            whole: Node::parse(&line.text).unwrap_or(Node::Object(Vec::new())),
        }
    }

    pub(super) fn sentence(&self) -> Sentence {
        const MAX_CHARS: usize = 120;
        let verb = words::verb(&self.action);
        let is_self = self.entity.id == self.principal.id && self.entity.entity_type == self.principal.entity_type;
        let is_own = self.recorded_by == Some(RecordedBy::Annals);
        let is_of_log = is_own && self.entity.entity_type == "AUDIT_LOG";
        let object = (!(is_self && verb.as_ref().is_some_and(|verb| verb.is_intransitive))).then(|| {
            // An organisation has one audit log, so its name tells nothing.
            let name = if is_of_log { String::new() } else { self.entity.label(MAX_CHARS) };
            let noun = words::noun(&self.entity.entity_type);
            (short(&if is_of_log { format!("the {noun}") } else { noun }, 40), name)
        });
        let preposition = |verb: &Verb| if object.is_some() { verb.preposition } else { "" };
        let own = words::own_predicate(&self.event_type).filter(|_| is_own);
        let predicate = match (&verb, Outcome::of(&self.outcome)) {
            _ if own.is_some() => own.unwrap_or_default().to_owned(),
            (Some(verb), Outcome::Failure) => format!("failed to {}{}", verb.base, preposition(verb)),
            (Some(verb), Outcome::Denied) => format!("was not allowed to {}{}", verb.base, preposition(verb)),
            (Some(verb), Outcome::Other) => format!("{}{}", verb.past, preposition(verb)),
            (None, _) => format!("did {} to", short(&self.action, 40)),
        };
        let subject = self.subject.as_ref().map(|subject| subject.label(MAX_CHARS));
        Sentence { principal: self.principal.label(MAX_CHARS), verb: short(&predicate, 60), object, subject }
    }
}

/// How what was done went, as far as a sentence tells.
enum Outcome {
    Failure,
    Denied,
    /// It succeeded, or the event says nothing, or something else.
    Other,
}

impl Outcome {
    fn of(outcome: &str) -> Self {
        match outcome {
            "FAILURE" => Self::Failure,
            "DENIED" => Self::Denied,
            _ => Self::Other,
        }
    }
}

/// For example `Ada Bell updated mock API Payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) principal: String,
    pub(super) verb: String,
    /// Kind and name of the entity, of which the name may be empty; `None` if it is the principal itself, as in `Ada Bell
    /// signed in`.
    pub(super) object: Option<(String, String)>,
    pub(super) subject: Option<String>,
}

impl Sentence {
    pub(super) fn render(&self) -> Markup {
        html! {
            bdi { (self.principal) } " " (self.verb)
            @if let Some((kind, name)) = &self.object {
                " " span .kind { bdi { (kind) } }
                @if !name.is_empty() { " " bdi { (name) } }
            }
            @if let Some(subject) = &self.subject { " for " bdi { (subject) } }
        }
    }

    /// Returns the sentence as plain text.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}", self.principal, self.verb);
        if let Some((kind, name)) = &self.object {
            for part in [kind, name].into_iter().filter(|part| !part.is_empty()) {
                text.push_str(&format!(" {part}"));
            }
        }
        if let Some(subject) = &self.subject {
            text.push_str(&format!(" for {subject}"));
        }
        text
    }
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
        assert_eq!(sentence(&format!(r#""action":"UPDATE",{payments},{ada}"#)), "Ada Bell updated mock API Payments");
        assert_eq!(
            sentence(&format!(r#""action":"sync",{payments},{ada}"#)),
            "Ada Bell synchronised mock API Payments"
        );
        assert_eq!(sentence(&format!(r#""action":"a:b",{payments},{ada}"#)), "Ada Bell did a:b to mock API Payments");
        let herself = r#""entity":{"id":"42","name":"Ada Bell","entityType":"USER"}"#;
        assert_eq!(sentence(&format!(r#""action":"LOGIN",{herself},{ada}"#)), "Ada Bell signed in");
        assert_eq!(sentence(&format!(r#""action":"UPDATE",{herself},{ada}"#)), "Ada Bell updated user Ada Bell");
        let log = r#""entity":{"id":"acme","name":"Acme","entityType":"AUDIT_LOG"}"#;
        assert_eq!(sentence(&format!(r#""action":"READ",{log},{ada}"#)), "Ada Bell read audit log Acme");
        let own = r#""recordedBy":"annals""#;
        assert_eq!(sentence(&format!(r#""action":"READ",{own},{log},{ada}"#)), "Ada Bell read the audit log");
        let sink = r#""entity":{"id":"d","name":"acme-audit","entityType":"S3_AUDIT_SINK"}"#;
        let replay = r#""action":"REPLAY","type":"destination.replay""#;
        let replayed = "Ada Bell started to deliver events again to destination acme-audit";
        assert_eq!(sentence(&format!(r#"{replay},{own},{sink},{ada}"#)), replayed);
        assert_eq!(sentence(&format!(r#"{replay},{sink},{ada}"#)), "Ada Bell replayed destination acme-audit");
        let failed = r#""action":"LOGIN","outcome":"FAILURE""#;
        assert_eq!(sentence(&format!(r#"{failed},{herself},{ada}"#)), "Ada Bell failed to sign in");
        let denied = r#""action":"DELETE","outcome":"DENIED""#;
        assert_eq!(
            sentence(&format!(r#"{denied},{payments},{ada}"#)),
            "Ada Bell was not allowed to delete mock API Payments"
        );
        let ben = r#""subject":{"id":"7","name":"Ben","entityType":"USER"}"#;
        assert_eq!(
            sentence(&format!(r#""action":"GRANT",{payments},{ada},{ben}"#)),
            "Ada Bell granted access to mock API Payments for Ben"
        );
    }
}
