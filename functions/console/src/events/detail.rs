//! One event in full: what happened, what changed, everything that was told of it, and its place in the log.

use annals_core::{audit::browse::Detail, id::EventId, time::Timestamp};
use maud::{Markup, html};

use super::{
    diff::{Change, Difference, Path},
    event::{Event, Sentence, Thing},
    json::Node,
    query::View,
    text::{Cut, short},
};
use crate::{
    layout::Shell,
    ui::{self, Tone},
};

/// The most rows of the difference, and of what is unchanged.
const MAX_ROWS: usize = 60;
/// How much of the difference is shown, in bytes of HTML.
const MAX_DIFFERENCE_BYTES: usize = 20_000;
/// How much of one value of the difference is shown.
const MAX_VALUE_BYTES: usize = 1_000;
/// How much of an object that was told beside the state is shown.
const MAX_OBJECT_BYTES: usize = 5_000;
/// How much of the JSON is shown.
const MAX_JSON_BYTES: usize = 20_000;
/// The longest query string that links carry.
const MAX_CARRIED_BYTES: usize = 2_000;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventPage {
    /// Where the list is that it was found in.
    pub(super) back: String,
    /// The event before it, and the one after it.
    pub(super) beside: [Option<String>; 2],
    /// Where its line is, as a file.
    pub(super) file: String,
    /// Where everything of this principal, and about this entity, is listed; nothing for ids too long for an address.
    pub(super) related: [Option<String>; 2],
    /// What happened.
    pub(super) sentence: Sentence,
    /// When it was recorded.
    pub(super) at: Timestamp,
    /// When it happened, where its producer says that.
    pub(super) occurred_at: Option<When>,
    /// Its id.
    pub(super) id: String,
    /// Its place in the log.
    pub(super) sequence: u64,
    /// The hash of the line before it.
    pub(super) previous_hash: String,
    /// Its type, and its action.
    pub(super) kinds: [String; 2],
    /// By what it was done.
    pub(super) client: String,
    /// Who did it.
    pub(super) principal: Thing,
    /// What it was done to.
    pub(super) entity: Thing,
    /// What that belongs to, and whom it concerns.
    pub(super) others: Vec<(&'static str, Thing)>,
    /// What changed, where a state was told.
    pub(super) changes: Option<Changes>,
    /// What else was told: what it is called, and its JSON.
    pub(super) objects: Vec<(&'static str, Cut)>,
    /// The whole event.
    pub(super) json: Cut,
}

/// When something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// A moment.
    At(Timestamp),
    /// As it was written.
    Text(String),
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Which states were told.
    pub(super) told: States,
    /// What changed.
    pub(super) rows: Vec<ChangeRow>,
    /// How many more changes there are.
    pub(super) more: usize,
    /// What did not change: its path, and its value.
    pub(super) unchanged: Vec<(String, Cut)>,
    /// How much more did not change.
    pub(super) more_unchanged: usize,
}

/// Which states were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum States {
    /// Both.
    #[default]
    Both,
    /// The one before alone.
    Before,
    /// The one after alone.
    After,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangeRow {
    /// Where.
    pub(super) path: String,
    /// What was there.
    pub(super) before: Option<Cut>,
    /// What is there.
    pub(super) after: Option<Cut>,
}

/// How many bytes are left of a bound, shared by several texts.
struct Room(usize);

impl Room {
    fn cut(&mut self, text: &str, max: usize) -> Cut {
        let cut = Cut::to(text, max.min(self.0));
        let used: usize = cut.text.chars().map(ui::html_bytes).sum();
        self.0 = self.0.saturating_sub(used);
        cut
    }
}

impl Changes {
    fn of(before: Option<&Node>, after: Option<&Node>) -> Option<Self> {
        let told = match (before, after) {
            (Some(_), Some(_)) => States::Both,
            (Some(_), None) => States::Before,
            (None, Some(_)) => States::After,
            (None, None) => return None,
        };
        let Difference { changes, unchanged } = Difference::between(before, after);
        let mut room = Room(MAX_DIFFERENCE_BYTES);
        let path = |path: &Path| short(&path.to_string(), 120);
        let mut rows = Vec::new();
        for (place, change) in changes.iter().take(MAX_ROWS) {
            if room.0 < MAX_VALUE_BYTES {
                break;
            }
            let mut cut = |node: &Node| Some(room.cut(&node.to_string(), MAX_VALUE_BYTES));
            let (before, after) = match change {
                Change::Added(new) => (None, cut(new)),
                Change::Removed(old) => (cut(old), None),
                Change::Changed(old, new) => (cut(old), cut(new)),
            };
            rows.push(ChangeRow { path: path(place), before, after });
        }
        let mut room = Room(MAX_DIFFERENCE_BYTES / 3);
        let same: Vec<_> = unchanged
            .iter()
            .take(MAX_ROWS)
            .map_while(|(place, node)| {
                (room.0 > 0).then(|| (path(place), room.cut(&node.to_string(), MAX_VALUE_BYTES / 2)))
            })
            .collect();
        Some(Self {
            told,
            more: changes.len() - rows.len(),
            rows,
            more_unchanged: unchanged.len() - same.len(),
            unchanged: same,
        })
    }
}

impl EventPage {
    /// What is shown of an event, found in `view`.
    pub(super) fn of(detail: &Detail, view: &View) -> Self {
        let event = Event::of(&detail.line);
        let carried = view.carried(MAX_CARRIED_BYTES);
        let href = |id: EventId| format!("/console/events/{}{carried}", id.short());
        let all_of = |name: &str, id: &str| {
            let pairs = [("range", "30d"), (name, id)];
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            (!id.is_empty() && query.len() <= MAX_CARRIED_BYTES).then(|| format!("/console/events?{query}"))
        };
        let other = |title: &'static str, key: &str| {
            let node = event.whole.member(key)?;
            let [id, name, kind] = ["id", "name", "entityType"].map(|key| short(&node.text_of(key), 200));
            Some((title, Thing { id, name, kind, email: String::new() }))
        };
        let thing = |thing: &Thing| {
            let Thing { id, name, kind, email } = thing;
            let [id, name, kind, email] = [id, name, kind, email].map(|text| short(text, 200));
            Thing { id, name, kind, email }
        };
        let object = |title: &'static str, key: &str| {
            let node = event.whole.member(key).filter(|node| !node.is_empty())?;
            Some((title, Cut::to(&node.pretty(), MAX_OBJECT_BYTES)))
        };
        let occurred_at = event.whole.text_of("occurredAt");
        let state = |key: &str| event.whole.member(key);
        Self {
            back: format!("/console/events{carried}"),
            beside: [detail.previous, detail.next].map(|id| id.map(href)),
            file: format!("/console/events/{}/json", event.id.short()),
            related: [all_of("principalId", &event.principal.id), all_of("entityId", &event.entity.id)],
            sentence: event.sentence(),
            at: event.at,
            occurred_at: (!occurred_at.is_empty()).then(|| match Timestamp::parse(&occurred_at) {
                Ok(at) => When::At(at),
                Err(_) => When::Text(short(&occurred_at, 60)),
            }),
            id: event.id.to_string(),
            sequence: event.id.sequence(),
            previous_hash: short(&event.whole.text_of("previousHash"), 80),
            kinds: [&event.kind, &event.action].map(|text| short(text, 200)),
            client: short(&event.client, 200),
            principal: thing(&event.principal),
            entity: thing(&event.entity),
            others: [other("Belongs to", "parentEntity"), other("Concerns", "subject")].into_iter().flatten().collect(),
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

    /// The page.
    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            div .row.spread {
                a .target href=(shell.href(&self.back)) { "← Back to the list" }
                div .row {
                    @for (name, href) in ["Previous event", "Next event"].iter().zip(&self.beside) {
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
                    (ui::time(self.at))
                    (ui::badge(Tone::Neutral, &short(&self.kinds[0], 60)))
                    span .hint { "event " (ui::number(self.sequence)) " of this log" }
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
                h2 #facts { "Who, what, when" }
                dl .members {
                    dt { "Recorded" }
                    dd { (ui::time(self.at)) " " span .hint { (self.at) } }
                    @if let Some(when) = &self.occurred_at {
                        dt { "Happened" }
                        dd {
                            @match when {
                                When::At(at) => { (ui::time(*at)) " " span .hint { "as its producer says" } },
                                When::Text(text) => (text),
                            }
                        }
                    }
                    dt { "By" }
                    dd {
                        (thing(&self.principal))
                        @if let Some(href) = &self.related[0] {
                            a .target.hint href=(shell.href(href)) { "All by the same principal" }
                        }
                    }
                    dt { "On" }
                    dd {
                        (thing(&self.entity))
                        @if let Some(href) = &self.related[1] {
                            a .target.hint href=(shell.href(href)) { "All on the same entity" }
                        }
                    }
                    @for (title, other) in &self.others {
                        dt { (title) }
                        dd { (thing(other)) }
                    }
                    dt { "Type" }
                    dd { code { bdi { (self.kinds[0]) } } }
                    dt { "Action" }
                    dd { code { bdi { (self.kinds[1]) } } }
                    dt { "Through" }
                    dd { bdi { (self.client) } }
                    dt { "Event id" }
                    dd { code { (self.id) } }
                    dt { "Sequence" }
                    dd {
                        (ui::number(self.sequence))
                        p .hint { "Its place in the log. Sequences have no gaps: if one is missing, an event is missing." }
                    }
                    dt { "Previous hash" }
                    dd {
                        code { (self.previous_hash) }
                        p .hint {
                            "The SHA-256 of the line before it. The next event holds this one's: whoever alters an event \
                             alters the hash that the next one holds."
                        }
                    }
                }
            }
        }
    }

    /// JSON to read, and, where all of it is there, to copy.
    fn render_json(&self, title: &str, json: &Cut, shell: &Shell) -> Markup {
        html! {
            section .card aria-label=(title) {
                @if json.is_cut {
                    figure .copyable {
                        figcaption { (title) ", its beginning" }
                        pre tabindex="0" aria-label=(title) { code { (json.text) } }
                    }
                    p { "It is longer than there is room for here. " a href=(shell.href(&self.file)) { "The whole event as a file" } }
                } @else {
                    (ui::copyable(title, &json.text))
                }
            }
        }
    }
}

/// Something, or somebody.
fn thing(thing: &Thing) -> Markup {
    html! {
        span .thing {
            bdi { (thing.name) }
            @if !thing.email.is_empty() { span .hint { bdi { (thing.email) } } }
            span .hint { bdi { (thing.kind) } }
            code { bdi { (thing.id) } }
        }
    }
}

impl Changes {
    fn render(&self, file: &str, shell: &Shell) -> Markup {
        let title = match self.told {
            States::Both => "What changed",
            States::Before => "What there was before",
            States::After => "What there is now",
        };
        html! {
            section .card.changes aria-labelledby="changes" {
                h2 #changes { (title) }
                @if self.rows.is_empty() {
                    p .hint { "Before and after are the same." }
                } @else {
                    table .difference {
                        caption .visually-hidden { (title) }
                        thead {
                            tr {
                                th scope="col" { "Member" }
                                @if self.told != States::After { th scope="col" { "Before" } }
                                @if self.told != States::Before { th scope="col" { "After" } }
                            }
                        }
                        tbody {
                            @for row in &self.rows {
                                tr class=(row.word()) {
                                    th scope="row" {
                                        code { (row.path) }
                                        @if self.told == States::Both { " " span .hint { (row.word()) } }
                                    }
                                    @if self.told != States::After { td data-label="Before" { (value("del", row.before.as_ref())) } }
                                    @if self.told != States::Before { td data-label="After" { (value("ins", row.after.as_ref())) } }
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
    fn word(&self) -> &'static str {
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
            None => span .hint { "—" span .visually-hidden { " not there" } },
        }
    }
}

/// Why there is no event to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// There is none with this id.
    Unknown,
    /// It has expired; where the oldest one is that has not.
    Expired {
        /// The oldest event's page.
        oldest: Option<String>,
    },
}

impl Gone {
    /// The page.
    #[must_use]
    pub(super) fn render(&self, shell: &Shell) -> Markup {
        let title = match self {
            Self::Unknown => "There is no such event",
            Self::Expired { .. } => "This event has expired",
        };
        let content = html! {
            section .card.empty {
                h1 { (title) }
                @match self {
                    Self::Unknown => p { "No event of your organisation has this id. Take the link from the list, or from where the id was shown." },
                    Self::Expired { .. } => p {
                        "Events are kept for as long as your organisation's plan says, and this one's time is over. What was \
                         delivered to your bucket before is still there."
                    },
                }
                div .row {
                    a .button href=(shell.href("/console/events")) { "Newest events" }
                    @if let Self::Expired { oldest: Some(oldest) } = self {
                        a .button href=(shell.href(oldest)) { "The oldest event there is" }
                    }
                }
            }
        };
        shell.page(title, &content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: Option<&str>, after: Option<&str>) -> Option<Changes> {
        let [before, after] = [before, after].map(|text| text.and_then(Node::parse));
        Changes::of(before.as_ref(), after.as_ref())
    }

    #[test]
    fn a_state_alone_is_told_as_what_it_is() {
        assert_eq!(changes(None, None), None);
        let created = changes(None, Some(r#"{"a":1}"#)).unwrap();
        assert_eq!((created.told, created.rows[0].before.clone()), (States::After, None));
        let deleted = changes(Some(r#"{"a":1}"#), None).unwrap();
        assert_eq!((deleted.told, deleted.rows[0].after.clone()), (States::Before, None));
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
