//! The page of one event: a sentence, the changes, all values, and the position in the log.

use annals_core::{
    audit::browse::Detail,
    brand::Brand,
    destination::{Delivery, Destination},
    hash::LineHash,
    id::EventId,
    log::read::PlaceError,
    recorded_by::RecordedBy,
    time::Timestamp,
};

use super::{
    check,
    diff::{Change, Difference, Path},
    event::{Event, Reference, Sentence},
    json::Node,
    query::View,
    text::{Cut, short},
};
use crate::{prelude::*, ui::Tone};

/// The most rows of the difference, and of the unchanged values.
const MAX_ROWS: usize = 60;
/// The limits below are in bytes of HTML. This one is for all values of the difference together.
const MAX_DIFFERENCE_BYTES: usize = 20_000;
const MAX_VALUE_BYTES: usize = 1_000;
/// For each of the context, the payload, the metadata and the permission.
const MAX_OBJECT_BYTES: usize = 5_000;
const MAX_JSON_BYTES: usize = 20_000;
/// The longest query string in a link.
const MAX_SUFFIX_BYTES: usize = 2_000;

/// `GET /console/events/{uuid}`. The query string is that of the list that links here.
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = super::open(&request).await?;
    let services = &request.call.services;
    let (view, _) = View::parse(request.call.query(), &[], &[], services.clock.now());
    let Ok(id) = EventId::parse(request.call.parameter("uuid").unwrap_or_default()) else {
        return super::not_readable(PlaceError::Unknown.into(), &shell);
    };
    let reader = request.call.reader();
    let detail = services.audit.detail(&organisation, id, &reader);
    let deliveries = services.administration.deliveries_of(&organisation.id, id);
    let (detail, deliveries) = tokio::join!(detail, deliveries);
    match detail {
        Ok(detail) => Ok(ui::page(EventPage::of(&detail, &deliveries.map_err(Problem::from)?, &view).render(&shell))),
        Err(error) => super::not_readable(error, &shell),
    }
}

/// `GET /console/events/{uuid}/json`: the event's line as a file.
pub(super) async fn download(request: ConsoleRequest) -> Result<Response, Refusal> {
    let (organisation, shell) = super::open(&request).await?;
    let Ok(id) = EventId::parse(request.call.parameter("uuid").unwrap_or_default()) else {
        return super::not_readable(PlaceError::Unknown.into(), &shell);
    };
    match request.call.services.audit.event(&organisation, id, &request.call.reader()).await {
        Ok(line) => {
            let name = format!("event-{}.json", line.sequence());
            Ok(super::attachment("application/json", &name, line.text + "\n"))
        }
        Err(error) => super::not_readable(error, &shell),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventPage {
    /// The path of the list that links here.
    pub(super) back: String,
    /// The paths of the previous and the next event.
    pub(super) neighbours: [Option<String>; 2],
    /// The path of the event's line as a file.
    pub(super) file: String,
    /// The paths of all events of this principal and of this entity; `None` if the id is too long for an address.
    pub(super) related: [Option<String>; 2],
    /// `None` if the event does not say who recorded it; with the path of all events that it recorded.
    pub(super) recorded_by: Option<(RecordedBy, String)>,
    pub(super) sentence: Sentence,
    pub(super) recorded_at: Timestamp,
    pub(super) occurred_at: Option<OccurredAt>,
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) previous_hash: String,
    pub(super) hash: String,
    pub(super) copies: Vec<StoredCopy>,
    pub(super) event_type: String,
    pub(super) action: String,
    pub(super) client: String,
    pub(super) principal: Reference,
    pub(super) entity: Reference,
    /// The parent entity and the subject, with their labels.
    pub(super) others: Vec<(&'static str, Reference)>,
    /// `None` if the event has neither the state before nor the state after.
    pub(super) changes: Option<Changes>,
    /// The labels and JSON texts of permission, context, payload and metadata.
    pub(super) objects: Vec<(&'static str, Cut)>,
    /// The whole event.
    pub(super) json: Cut,
}

/// Where the event is in one destination's bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredCopy {
    pub(super) bucket: String,
    /// The key of the object; `None` if the event is not delivered, or the record has expired.
    pub(super) key: Option<String>,
    /// Whether the delivery was confirmed by nothing but the existence of its key.
    pub(super) was_there: bool,
    /// When the checkpoint that covers the event was signed.
    pub(super) signed_at: Option<Timestamp>,
}

impl StoredCopy {
    fn of((destination, delivery): &(Destination, Option<Delivery>), sequence: u64) -> Self {
        let last = destination.checkpoints.last.as_ref();
        let is_first = destination.first_sequence.is_none_or(|first| first <= sequence);
        Self {
            bucket: delivery.as_ref().and_then(|it| it.bucket.as_ref()).unwrap_or(&destination.bucket).to_string(),
            key: delivery.as_ref().map(|delivery| delivery.key.clone()),
            was_there: delivery.as_ref().is_some_and(|delivery| delivery.content.is_none()),
            signed_at: last.filter(|last| is_first && last.sequence >= sequence).map(|last| last.at),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OccurredAt {
    Time(Timestamp),
    /// The producer's text, if it is not a time.
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    pub(super) states: States,
    pub(super) rows: Vec<ChangeRow>,
    /// How many changes are not shown.
    pub(super) more: usize,
    /// Paths and values.
    pub(super) unchanged: Vec<(String, Cut)>,
    /// How many unchanged values are not shown.
    pub(super) more_unchanged: usize,
}

/// Which states the event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum States {
    #[default]
    Both,
    Before,
    After,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangeRow {
    pub(super) path: String,
    pub(super) before: Option<Cut>,
    pub(super) after: Option<Cut>,
}

/// The remaining bytes of a limit that several texts share.
struct Budget(usize);

impl Budget {
    fn cut(&mut self, text: &str, max: usize) -> Cut {
        let cut = Cut::to(text, max.min(self.0));
        let used: usize = cut.text.chars().map(ui::html_bytes).sum();
        self.0 = self.0.saturating_sub(used);
        cut
    }
}

impl Changes {
    fn of(before: Option<&Node>, after: Option<&Node>) -> Option<Self> {
        let states = match (before, after) {
            (Some(_), Some(_)) => States::Both,
            (Some(_), None) => States::Before,
            (None, Some(_)) => States::After,
            (None, None) => return None,
        };
        let Difference { changes, unchanged } = Difference::between(before, after);
        let mut budget = Budget(MAX_DIFFERENCE_BYTES);
        let path = |path: &Path| short(&path.to_string(), 120);
        let mut rows = Vec::new();
        for (place, change) in changes.iter().take(MAX_ROWS) {
            if budget.0 < MAX_VALUE_BYTES {
                break;
            }
            let mut cut = |node: &Node| Some(budget.cut(&node.to_string(), MAX_VALUE_BYTES));
            let (before, after) = match change {
                Change::Added(new) => (None, cut(new)),
                Change::Removed(old) => (cut(old), None),
                Change::Changed(old, new) => (cut(old), cut(new)),
            };
            rows.push(ChangeRow { path: path(place), before, after });
        }
        let mut budget = Budget(MAX_DIFFERENCE_BYTES / 3);
        let same: Vec<_> = unchanged
            .iter()
            .take(MAX_ROWS)
            .map_while(|(place, node)| {
                (budget.0 > 0).then(|| (path(place), budget.cut(&node.to_string(), MAX_VALUE_BYTES / 2)))
            })
            .collect();
        Some(Self {
            states,
            more: changes.len() - rows.len(),
            rows,
            more_unchanged: unchanged.len() - same.len(),
            unchanged: same,
        })
    }
}

impl EventPage {
    /// `view` is the list that links to the event.
    pub(super) fn of(detail: &Detail, deliveries: &[(Destination, Option<Delivery>)], view: &View) -> Self {
        let event = Event::of(&detail.line);
        let suffix = view.suffix(MAX_SUFFIX_BYTES);
        let href = |id: EventId| format!("/console/events/{}{suffix}", id.short());
        let all_of = |name: &str, id: &str| {
            let pairs = [("range", "30d"), (name, id)];
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            (!id.is_empty() && query.len() <= MAX_SUFFIX_BYTES).then(|| format!("/console/events?{query}"))
        };
        let other = |title: &'static str, key: &str| {
            let node = event.whole.member(key)?;
            let [id, name, entity_type] = ["id", "name", "entityType"].map(|key| short(&node.text_of(key), 200));
            Some((title, Reference { id, name, entity_type, email: String::new() }))
        };
        let cut = |reference: &Reference| {
            let Reference { id, name, entity_type, email } = reference;
            let [id, name, entity_type, email] = [id, name, entity_type, email].map(|text| short(text, 200));
            Reference { id, name, entity_type, email }
        };
        let object = |title: &'static str, key: &str| {
            let node = event.whole.member(key).filter(|node| !node.is_empty())?;
            Some((title, Cut::to(&node.pretty(), MAX_OBJECT_BYTES)))
        };
        let occurred_at = event.whole.text_of("occurredAt");
        let state = |key: &str| event.whole.member(key);
        Self {
            back: format!("/console/events{suffix}"),
            neighbours: [detail.previous, detail.next].map(|id| id.map(href)),
            file: format!("/console/events/{}/json", event.id.short()),
            related: [all_of("principalId", &event.principal.id), all_of("entityId", &event.entity.id)],
            recorded_by: event
                .recorded_by
                .clone()
                .and_then(|by| Some((by.clone(), all_of("recordedBy", &by.to_string())?))),
            sentence: event.sentence(),
            recorded_at: event.at,
            occurred_at: (!occurred_at.is_empty()).then(|| match Timestamp::parse(&occurred_at) {
                Ok(at) => OccurredAt::Time(at),
                Err(_) => OccurredAt::Text(short(&occurred_at, 60)),
            }),
            id: event.id.to_string(),
            sequence: event.id.sequence(),
            previous_hash: short(&event.whole.text_of("previousHash"), 80),
            hash: LineHash::of(&detail.line.text).to_string(),
            copies: deliveries.iter().map(|delivered| StoredCopy::of(delivered, event.id.sequence())).collect(),
            event_type: short(&event.event_type, 200),
            action: short(&event.action, 200),
            client: short(&event.client, 200),
            principal: cut(&event.principal),
            entity: cut(&event.entity),
            others: [other("Parent entity", "parentEntity"), other("Subject", "subject")]
                .into_iter()
                .flatten()
                .collect(),
            changes: Changes::of(state("before"), state("after")),
            objects: [
                object("Permission", "permission"),
                object("Context", "context"),
                object("Payload", "payload"),
                object("Metadata", "metadata"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            json: Cut::to(&event.whole.pretty(), MAX_JSON_BYTES),
        }
    }

    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .row.spread.way {
                a .target href=(shell.href(&self.back)) { "← Back to the list" }
                div .row {
                    @for (name, href) in ["Previous event", "Next event"].iter().zip(&self.neighbours) {
                        @match href {
                            Some(href) => a .button href=(shell.href(href)) { (name) },
                            None => span .hint { "No " (name.to_lowercase()) },
                        }
                    }
                }
            }
            header .stack {
                h1 .sentence { (self.sentence.render()) }
                div .row {
                    (ui::time(self.recorded_at))
                    (ui::badge(Tone::Neutral, &short(&self.event_type, 60)))
                    span .hint { "sequence " (ui::number(self.sequence)) }
                }
            }
            @if let Some(changes) = &self.changes { (changes.render(&self.file, shell)) }
            (self.render_facts(shell))
            @for (title, object) in &self.objects { (self.render_json(title, object, shell)) }
            (self.render_json("The event as JSON", &self.json, shell))
        };
        shell.page(&self.sentence.text(), &content)
    }

    fn render_facts(&self, shell: &Shell) -> Markup {
        html! {
            section .card aria-labelledby="facts" {
                h2 #facts { "Details" }
                dl .members {
                    dt { "Recorded" }
                    dd { (ui::time(self.recorded_at)) " " span .hint { (self.recorded_at) } }
                    @if let Some(occurred_at) = &self.occurred_at {
                        dt { "Occurred" }
                        dd {
                            @match occurred_at {
                                OccurredAt::Time(at) => { (ui::time(*at)) " " span .hint { "according to the producer" } },
                                OccurredAt::Text(text) => (text),
                            }
                        }
                    }
                    dt { "Principal" }
                    dd {
                        (reference(&self.principal))
                        @if let Some(href) = &self.related[0] {
                            a .target.hint href=(shell.href(href)) { "All events of this principal" }
                        }
                    }
                    dt { "Entity" }
                    dd {
                        (reference(&self.entity))
                        @if let Some(href) = &self.related[1] {
                            a .target.hint href=(shell.href(href)) { "All events of this entity" }
                        }
                    }
                    @for (title, other) in &self.others {
                        dt { (title) }
                        dd { (reference(other)) }
                    }
                    dt { "Recorded by" }
                    dd {
                        @match &self.recorded_by {
                            Some((recorded_by, href)) => {
                                code { (recorded_by) }
                                p .hint { (explanation(recorded_by, &shell.brand)) }
                                a .target.hint href=(shell.href(href)) { "All events that it recorded" }
                            },
                            None => {
                                span .hint { "Unknown: the event was recorded by a version that did not store this." }
                            },
                        }
                    }
                    dt { "Type" }
                    dd { code { bdi { (self.event_type) } } }
                    dt { "Action" }
                    dd { code { bdi { (self.action) } } }
                    dt { "Client" }
                    dd { bdi { (self.client) } }
                    dt { "Event ID" }
                    dd { code { (self.id) } }
                    dt { "Sequence" }
                    dd {
                        (ui::number(self.sequence))
                        p .hint { "The position in the log. Sequences have no gaps: if one is missing, an event is missing." }
                    }
                    dt { "Previous hash" }
                    dd {
                        code { (self.previous_hash) }
                        p .hint {
                            "The SHA-256 of the previous event's line. If an event is altered, its hash differs from the one \
                             in the next event."
                        }
                    }
                    dt { "Hash" }
                    dd {
                        code { (self.hash) }
                        p .hint {
                            "The SHA-256 of this event's line. The next event contains it. "
                            a href=(shell.href(check::PATH)) { "How to check this yourself" }
                        }
                    }
                    @for copy in &self.copies {
                        dt { "In the bucket " bdi { (copy.bucket) } }
                        dd { (copy.render()) }
                    }
                }
            }
        }
    }

    /// Writes a JSON text, with a button to copy it if it is complete.
    fn render_json(&self, title: &str, json: &Cut, shell: &Shell) -> Markup {
        html! {
            section .card aria-label=(title) {
                @if json.is_cut {
                    figure .copyable {
                        figcaption { (title) " (beginning)" }
                        pre tabindex="0" aria-label=(title) { code { (json.text) } }
                    }
                    p { "The text is too long for this page. " a href=(shell.href(&self.file)) { "Download the whole event" } }
                } @else {
                    (ui::copyable(title, &json.text))
                }
            }
        }
    }
}

impl StoredCopy {
    fn render(&self) -> Markup {
        html! {
            @match &self.key {
                Some(key) => code .break { (key) },
                None => span .hint { "Not delivered yet, or delivered more than 400 days ago." },
            }
            @if self.was_there {
                p .hint { "The object was there already when it was put again. Only a checkpoint proves what it contains." }
            }
            @match self.signed_at {
                Some(at) => p { "Covered by the signed checkpoint of " (ui::time(at)) "." },
                None => p .hint { "No signed checkpoint covers it yet." },
            }
        }
    }
}

fn explanation(recorded_by: &RecordedBy, brand: &Brand) -> String {
    match recorded_by {
        RecordedBy::Annals => brand.word("Annals itself: this is one of its own events."),
        RecordedBy::Platform => "The platform sent this event with its own token.".to_owned(),
        RecordedBy::PlatformToken(_) => "The platform sent this event with its named token of this ID.".to_owned(),
        RecordedBy::Token(_) => "A producer sent this event with the token of this ID.".to_owned(),
        RecordedBy::Session(_) => "A person sent this event in this session of the console.".to_owned(),
    }
}

fn reference(reference: &Reference) -> Markup {
    html! {
        span .thing {
            bdi { (reference.name) }
            @if !reference.email.is_empty() { span .hint { bdi { (reference.email) } } }
            span .hint { bdi { (reference.entity_type) } }
            code { bdi { (reference.id) } }
        }
    }
}

impl Changes {
    fn render(&self, file: &str, shell: &Shell) -> Markup {
        let title = match self.states {
            States::Both => "Changes",
            States::Before => "State before",
            States::After => "State after",
        };
        html! {
            section .card.changes aria-labelledby="changes" {
                h2 #changes { (title) }
                @if self.rows.is_empty() {
                    p .hint { "The states before and after are equal." }
                } @else {
                    table .difference {
                        caption .visually-hidden { (title) }
                        thead {
                            tr {
                                th scope="col" { "Member" }
                                @if self.states != States::After { th scope="col" { "Before" } }
                                @if self.states != States::Before { th scope="col" { "After" } }
                            }
                        }
                        tbody {
                            @for row in &self.rows {
                                tr class=(row.label()) {
                                    th scope="row" {
                                        code { (row.path) }
                                        @if self.states == States::Both { " " span .hint { (row.label()) } }
                                    }
                                    @if self.states != States::After { td data-label="Before" { (value("del", row.before.as_ref())) } }
                                    @if self.states != States::Before { td data-label="After" { (value("ins", row.after.as_ref())) } }
                                }
                            }
                        }
                    }
                }
                @if self.more > 0 {
                    p {
                        (ui::count(self.more as u64, "more change is", "more changes are")) " in "
                        a href=(shell.href(file)) { "the whole event" } "."
                    }
                }
                @if !self.unchanged.is_empty() {
                    details {
                        summary { (ui::count((self.unchanged.len() + self.more_unchanged) as u64, "member", "members")) " unchanged" }
                        dl .members {
                            @for (path, same) in &self.unchanged {
                                dt { code { (path) } }
                                dd { code .value { (same.text) } }
                            }
                        }
                        @if self.more_unchanged > 0 { p .hint { "And " (ui::number(self.more_unchanged as u64)) " more." } }
                    }
                }
            }
        }
    }
}

impl ChangeRow {
    fn label(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }
}

fn value(element: &str, value: Option<&Cut>) -> Markup {
    html! {
        @match value {
            Some(Cut { text, .. }) if element == "del" => del { code .value { (text) } },
            Some(Cut { text, .. }) => ins { code .value { (text) } },
            None => span .hint { "—" span .visually-hidden { " none" } },
        }
    }
}

/// The page that is shown instead of an event that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MissingEvent {
    /// No event of the organisation has this id.
    Unknown,
    Expired {
        /// The path of the oldest event that has not expired.
        oldest: Option<String>,
    },
    Lost {
        /// The path of the event that says what was lost.
        next: Option<String>,
    },
}

impl MissingEvent {
    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let title = match self {
            Self::Unknown => "Event not found",
            Self::Expired { .. } => "This event has expired",
            Self::Lost { .. } => "This event was lost",
        };
        let content = html! {
            section .card.empty {
                h1 { (title) }
                @match self {
                    Self::Unknown => p { "No event of your organisation has this ID. Check the address, or search for the event in the list." },
                    Self::Expired { .. } => p {
                        "Your organisation's plan limits how long events are kept, and this event was older. If it was delivered \
                         to your bucket, it is still there."
                    },
                    Self::Lost { .. } => p {
                        "An earlier copy of the log had to be restored, and this event was recorded after the copy was made, or never \
                         existed. If it was delivered to your bucket, it is still there."
                    },
                }
                div .row {
                    a .button href=(shell.href("/console/events")) { "Newest events" }
                    @if let Self::Expired { oldest: Some(oldest) } = self {
                        a .button href=(shell.href(oldest)) { "Oldest event" }
                    }
                    @if let Self::Lost { next: Some(next) } = self {
                        a .button href=(shell.href(next)) { "What was lost" }
                    }
                }
            }
        };
        shell.page(title, &content)
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use serde_json::{Map, Value, json};

    use super::fixtures::{detail, hard_texts, hostile, update, view};
    use crate::layout::Section;

    let shell = Shell::sample(Section::Events);
    let event = |event: &Value| EventPage::of(&detail(event), &[], &view("type=a&range=7d")).render(&shell);
    let with = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut changed = update();
        change(changed.as_object_mut().unwrap());
        event(&changed)
    };
    let state = |start: usize| -> Value {
        (0..800).map(|number| (format!("member <{number}>"), json!("\"x".repeat(start + number % 90)))).collect()
    };
    let mut almost_equal = state(1);
    almost_equal["new"] = json!(1);
    let in_buckets = {
        let at = Timestamp::from_millis(1_795_341_600_000);
        let copy = |key: Option<&str>, was_there, signed_at| StoredCopy {
            bucket: "acme-audit-events".to_owned(),
            key: key.map(str::to_owned),
            was_there,
            signed_at,
        };
        let key = "audit/2026-11/22/2026-11-22T10-00-00-000Z-k3x9a0bq.json";
        let copies = vec![copy(Some(key), false, Some(at)), copy(Some(key), true, None), copy(None, false, None)];
        EventPage { copies, ..EventPage::of(&detail(&update()), &[], &view("")) }.render(&shell)
    };
    let mut samples = vec![
        ("event", event(&update())),
        ("event: in buckets", in_buckets),
        (
            "event: recorded by Annals",
            event(&json!({"recordedBy": "annals", "action": "READ", "type": "audit.read",
            "entity": {"id": "acme", "name": "Acme", "entityType": "AUDIT_LOG"},
            "principal": {"id": "siem", "name": "SIEM", "entityType": "API_KEY"}, "clientType": "API"})),
        ),
        ("event: recorded before this was stored", with(&|event| drop(event.remove("recordedBy")))),
        ("event: created", with(&|event| drop(event.remove("before")))),
        ("event: deleted", with(&|event| drop(event.remove("after")))),
        ("event: nothing changed", with(&|event| drop(event.insert("after".into(), event["before"].clone())))),
        (
            "event: the smallest",
            event(&json!({"action": "READ", "type": "audit.read",
                "entity": {"id": "acme", "name": "Acme", "entityType": "AUDIT_LOG"},
                "principal": {"id": "siem", "name": "SIEM", "entityType": "API_KEY"}, "clientType": "API"})),
        ),
        (
            "event: very large",
            with(&|event| {
                event.insert("before".into(), state(1));
                event.insert("after".into(), state(2));
                for name in ["context", "payload", "metadata", "permission"] {
                    event.insert(name.into(), state(3));
                }
            }),
        ),
        (
            "event: very large, with one change",
            with(&|event| {
                event.insert("before".into(), state(1));
                event.insert("after".into(), almost_equal.clone());
            }),
        ),
        ("event: unknown", MissingEvent::Unknown.render(&shell)),
        ("event: expired, like all others", MissingEvent::Expired { oldest: None }.render(&shell)),
        ("event: expired", MissingEvent::Expired { oldest: Some("/console/events/x".to_owned()) }.render(&shell)),
        ("event: lost", MissingEvent::Lost { next: Some("/console/events/x".to_owned()) }.render(&shell)),
    ];
    for (name, text) in hard_texts() {
        samples.push((format!("event: {name}").leak(), event(&hostile(&text))));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: Option<&str>, after: Option<&str>) -> Option<Changes> {
        let [before, after] = [before, after].map(|text| text.and_then(Node::parse));
        Changes::of(before.as_ref(), after.as_ref())
    }

    #[test]
    fn a_single_state_is_shown_as_before_or_after() {
        assert_eq!(changes(None, None), None);
        let created = changes(None, Some(r#"{"a":1}"#)).unwrap();
        assert_eq!((created.states, created.rows[0].before.clone()), (States::After, None));
        let deleted = changes(Some(r#"{"a":1}"#), None).unwrap();
        assert_eq!((deleted.states, deleted.rows[0].after.clone()), (States::Before, None));
    }

    #[test]
    fn long_values_and_many_changes_are_cut_and_counted() {
        let many: Vec<String> = (0..500).map(|number| format!(r#""k{number}":"{}""#, "x".repeat(2000))).collect();
        let all = changes(None, Some(&format!("{{{}}}", many.join(",")))).unwrap();
        assert!(all.rows.len() >= 15 && all.rows.len() + all.more == 500, "{}", all.rows.len());
        assert!(all.rows.iter().all(|row| row.after.as_ref().is_some_and(|cut| cut.is_cut)));
        let state = format!("{{{}}}", many.join(","));
        let same = changes(Some(&state), Some(&state)).unwrap();
        assert_eq!((same.rows.len(), same.more, same.unchanged.len() + same.more_unchanged), (0, 0, 500));
    }
}
