//! Reading the audit log as its users do: pages, single events, counts, the tail; and that each such read is recorded
//! itself.
//!
//! - [`browse`]: the newest events with how many there were over time, and one event with those beside it
//! - [`filter`]: which events are asked for
//! - [`stats`]: counts of events over time
//!
//! A page is read first, so that a cursor that is none changes nothing; then the read is recorded; then the page is
//! completed up to the event before that record. So a page never shows its own read, and misses nothing that was there.

pub mod browse;
pub mod filter;
mod scan;
pub mod stats;

use std::sync::Arc;

use serde::Deserialize;

use self::{
    filter::Filter,
    scan::{Budget, Scan},
};

use crate::{
    event::{Context, Entity, OwnEvent, Principal},
    format::Format,
    id::EventId,
    json,
    log::{
        Log,
        append::{AppendError, Outcome},
        read::{Passed, PlaceError, ReadLimit},
        segment::{Line, Tail},
        store::{Order, StoreError},
    },
    organisation::Organisation,
    time::Timestamp,
};

/// The most bytes of events on one page, as they count in an answer (see [`answer_bytes`]), so that it stays below the 6 MB
/// that a Lambda function may give (AWS, "Lambda quotas"), whatever the events' sizes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Sequences have 40 bits.
const MAX_SEQUENCE: u64 = (1 << 40) - 1;
/// How much is looked at for one page of what a filter leaves; where that ends, the page does.
const MAX_SCAN: Budget = Budget { events: 10_000, bytes: 8 * 1024 * 1024 };

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest event, or with the newest in descending order.
    #[default]
    Edge,
    /// With this event.
    From(EventId),
    /// Behind this event.
    After(EventId),
}

/// What page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Where it begins.
    pub start: Start,
    /// Only events recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Only events recorded before this time.
    pub until: Option<Timestamp>,
    /// Only events that match.
    pub filter: Filter,
    /// How many of those that match are passed over first.
    pub skip: u64,
    /// No event after this one: the tail as it was at the first page, which every `next` carries on.
    pub through: Option<EventId>,
    /// The order of events.
    pub order: Order,
    /// How many events at most, 1 to 1,000.
    pub page_size: usize,
    /// How they are shown.
    pub shape: Shape,
}

impl Default for PageRequest {
    /// The oldest hundred.
    fn default() -> Self {
        Self {
            start: Start::Edge,
            since: None,
            until: None,
            filter: Filter::default(),
            skip: 0,
            through: None,
            order: Order::Ascending,
            page_size: 100,
            shape: Shape::View,
        }
    }
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As [`view`] shows them.
    View,
    /// One line or row each.
    Format(Format),
}

impl Shape {
    fn show(self, line: &Line) -> String {
        match self {
            Self::View => view(line),
            Self::Format(format) => {
                let mut text = String::new();
                format.write(line, &mut text);
                text
            }
        }
    }
}

/// Events, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub lines: Vec<Line>,
    /// The same, shown.
    pub shown: Vec<String>,
    /// The event with which the next page begins, where there is one. Where a filter was given it need not match.
    pub next: Option<EventId>,
    /// How many matching events are still to be passed over on the next page.
    pub skip: u64,
    /// The bound that `next` carries on.
    pub through: Option<EventId>,
    /// Where to go on, chronologically, when all pages have been followed: shows what was recorded since.
    pub resume: Start,
}

/// Who reads, and how the record of it should describe the call.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Who.
    pub principal: Principal,
    /// How the call came, as events say it: `API` or `UI`.
    pub client_type: &'static str,
    /// From where.
    pub context: Context,
    /// The call, as PactFlow describes one: `path`, `queryString`, `method`, `userAgent`, `referer`, `params`.
    pub call: serde_json::Value,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The event that was named marks no place in the log.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The read could not be recorded, so it did not take place.
    #[error("the read could not be recorded")]
    Record(#[source] AppendError),
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

/// The audit log of every organisation, for reading.
#[derive(Debug, Clone)]
pub struct Audit {
    log: Arc<Log>,
}

impl Audit {
    /// Reads from `log`.
    #[must_use]
    pub fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// One page. It may have fewer events than were asked for, or none, and a `next` all the same: where events are long,
    /// or where a filter leaves so little that looking for more would take too long.
    ///
    /// # Errors
    /// Where a cursor marks no place (nothing is recorded then), or the read cannot be done or recorded.
    pub async fn page(
        &self,
        organisation: &Organisation,
        request: &PageRequest,
        reader: &Reader,
    ) -> Result<Page, AuditError> {
        if let Some(through) = request.through
            && !through.is_of(&organisation.id)
        {
            return Err(PlaceError::Unknown.into());
        }
        match request.order {
            Order::Ascending => self.ascending(organisation, request, reader).await,
            Order::Descending => self.descending(organisation, request, reader).await,
        }
    }

    async fn ascending(
        &self,
        organisation: &Organisation,
        request: &PageRequest,
        reader: &Reader,
    ) -> Result<Page, AuditError> {
        let (mut start, mut segment) = match request.start {
            Start::Edge if request.since.is_none() => (self.log.first_live(organisation).await?, None),
            Start::Edge => (1, None),
            Start::From(id) => (id.sequence(), Some(id.segment())),
            Start::After(id) => (id.sequence() + 1, Some(id.segment())),
        };
        let mut verified = false;
        if let Some(since) = request.since {
            let first = self.log.first_since(organisation, since).await?;
            if first > start {
                self.verify(organisation, request.start).await?;
                (start, segment, verified) = (first, None, true);
            }
        }
        let mut skip = request.skip;
        if skip > 0 && request.filter.is_empty() {
            // Sequences are dense: what is passed over need not be read.
            self.verify(organisation, request.start).await?;
            start = start.saturating_add(skip).min(MAX_SEQUENCE);
            (skip, verified) = (0, true);
            segment = self.log.segment_of(&organisation.id, start).await?;
        }
        let mut last = request.through.map_or(u64::MAX, EventId::sequence);
        if let Some(until) = request.until {
            last = last.min(self.log.first_since(organisation, until).await? - 1);
        }
        let mut scan = request.scan(skip);
        scan.run(&self.log, &organisation.id, start..=last, segment).await?;
        if segment.is_some() && !verified {
            self.check_start(organisation, request.start, scan.first).await?;
        }

        let (before, own) = self.record(organisation, reader).await?;
        // A bound that lies ahead, as only a forged one does, would have the chain of pages run after its own records.
        let through = request
            .through
            .filter(|through| before.is_none_or(|before| through.sequence() <= before.sequence()))
            .or(before);
        let last = last.min(through.map_or(0, EventId::sequence));
        if !scan.is_over() && scan.at <= last {
            // What was recorded while the page was read, or was too new for an eventually consistent read.
            let (from, within) = if scan.at < start { (start, segment) } else { (scan.at, None) };
            scan.run(&self.log, &organisation.id, from..=last, within).await?;
        }
        scan.lines.retain(|line| line.sequence() <= last);
        scan.stopped_at = scan.stopped_at.filter(|id| id.sequence() <= last);
        let resume = through.map_or(Start::From(own), Start::After);
        Ok(request.cut(scan, through, resume))
    }

    async fn descending(
        &self,
        organisation: &Organisation,
        request: &PageRequest,
        reader: &Reader,
    ) -> Result<Page, AuditError> {
        let through = match (request.through, request.start) {
            (Some(through), _) => Some(through),
            (None, Start::Edge) => self.log.tail(&organisation.id).await?.event_id(&organisation.id),
            (None, Start::From(id) | Start::After(id)) => Some(id),
        };
        let mut end = match request.start {
            Start::Edge => through.map_or(0, EventId::sequence),
            Start::From(id) => id.sequence(),
            Start::After(id) => id.sequence().saturating_sub(1),
        };
        if let Some(until) = request.until {
            end = end.min(self.log.first_since(organisation, until).await? - 1);
        }
        let first = match request.since {
            Some(since) => self.log.first_since(organisation, since).await?,
            None => self.log.first_live(organisation).await?,
        };
        self.verify(organisation, request.start).await?;
        let mut skip = request.skip;
        if request.filter.is_empty() {
            end = end.saturating_sub(skip);
            skip = 0;
        }
        let mut scan = request.scan(skip);
        scan.run(&self.log, &organisation.id, first..=end, None).await?;
        let (_, own) = self.record(organisation, reader).await?;
        let resume = match (request.through, request.start, through) {
            (None, Start::After(id), _) => Start::From(id),
            (_, _, Some(through)) => Start::After(through),
            (_, _, None) => Start::From(own),
        };
        Ok(request.cut(scan, through, resume))
    }

    /// Whether the start is an event of this organisation that is still there.
    async fn verify(&self, organisation: &Organisation, start: Start) -> Result<(), PlaceError> {
        match start {
            Start::Edge => Ok(()),
            Start::From(id) | Start::After(id) => self.log.event(organisation, id).await.map(drop),
        }
    }

    /// The same for a run that was read from there, which tells without a further read where all is well.
    async fn check_start(
        &self,
        organisation: &Organisation,
        start: Start,
        first: Option<Passed>,
    ) -> Result<(), PlaceError> {
        let (Start::From(id) | Start::After(id)) = start else { return Ok(()) };
        if id.is_of(&organisation.id) && first.is_some_and(|first| first.holds(id) && !first.is_expired()) {
            return Ok(());
        }
        let expired = match self.log.event(organisation, id).await {
            Err(expired @ PlaceError::Expired { .. }) if matches!(start, Start::After(_)) => expired,
            other => return other.map(drop),
        };
        // Who goes on behind an event that has expired has missed nothing if the very next one is still there.
        let tail = self.log.tail(&organisation.id).await?;
        let next = id.sequence() + 1;
        let limit = ReadLimit { events: 1, bytes: usize::MAX };
        let within = Some(id.segment());
        let run = self.log.read(&organisation.id, next..=tail.last, within, Order::Ascending, limit).await?;
        if tail.last < next || run.lines.first().is_some_and(|line| line.sequence() == next) {
            Ok(())
        } else {
            Err(expired)
        }
    }

    /// One event.
    ///
    /// # Errors
    /// Where there is none with this id, none any more, or the read cannot be recorded.
    pub async fn event(&self, organisation: &Organisation, id: EventId, reader: &Reader) -> Result<Line, AuditError> {
        let line = self.log.event(organisation, id).await?;
        self.record(organisation, reader).await?;
        Ok(line)
    }

    /// The tail before this read was recorded.
    ///
    /// # Errors
    /// Where the store fails, or the read cannot be recorded.
    pub async fn tail(&self, organisation: &Organisation, reader: &Reader) -> Result<Tail, AuditError> {
        let tail = self.log.tail(&organisation.id).await?;
        self.record(organisation, reader).await?;
        Ok(tail)
    }

    /// Records a read; gives the event before its record, and the record.
    async fn record(
        &self,
        organisation: &Organisation,
        reader: &Reader,
    ) -> Result<(Option<EventId>, EventId), AuditError> {
        let body = OwnEvent {
            action: "READ",
            kind: "audit.read",
            entity: Entity {
                id: organisation.id.to_string(),
                name: organisation.name.clone(),
                entity_type: "AUDIT_LOG",
            },
            principal: reader.principal.clone(),
            before: None,
            after: None,
            client_type: reader.client_type,
            context: Some(reader.context.clone()),
            payload: Some(reader.call.clone()),
        }
        .body();
        let receipt = self.log.append(organisation, vec![body], None).await.map_err(AuditError::Record)?;
        let before = match receipt.outcome {
            Outcome::Recorded { before } => before,
            Outcome::Replayed => None,
        };
        let own = receipt.ids().next().ok_or(PlaceError::Unknown)?;
        Ok((before, own))
    }
}

impl PageRequest {
    fn scan(&self, skip: u64) -> Scan<'_> {
        let unfiltered = Budget { events: usize::MAX, bytes: MAX_PAGE_BYTES };
        let budget = if self.filter.is_empty() { unfiltered } else { MAX_SCAN };
        Scan::new(&self.filter, self.order, skip, self.page_size + 1, budget, MAX_PAGE_BYTES)
    }

    /// The page that a scan, which may have found an event more, makes.
    fn cut(&self, scan: Scan<'_>, through: Option<EventId>, resume: Start) -> Page {
        let skip = scan.to_skip();
        let (mut lines, stopped_at) = (scan.lines, scan.stopped_at);
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for line in lines.iter().take(self.page_size) {
            let text = self.shape.show(line);
            bytes += answer_bytes(&text);
            // One event always fits.
            if bytes > MAX_PAGE_BYTES && !shown.is_empty() {
                break;
            }
            shown.push(text);
        }
        let next = lines.get(shown.len()).map(|line| line.id).or(stopped_at);
        lines.truncate(shown.len());
        Page { lines, shown, next, skip, through, resume }
    }
}

/// What a text adds to an answer: itself, and, because Lambda takes an answer as a JSON string, what it takes to escape
/// quotes, backslashes and control characters there.
fn answer_bytes(text: &str) -> usize {
    const BETWEEN: usize = 1;
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => r"\u0000".len(),
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + BETWEEN
}

/// An event as `GET /audit` shows it: PactFlow's fields, and beside them all fields of its line.
///
/// `db_user_id` is the principal's id, a number where it is one; `user_email` the principal's e-mail address or null;
/// `payload` is an empty object where the producer gave none.
#[must_use]
pub fn view(line: &Line) -> String {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        principal: Principal<'a>,
        #[serde(borrow)]
        payload: Option<&'a serde_json::value::RawValue>,
    }
    #[derive(Deserialize)]
    struct Principal<'a> {
        #[serde(borrow)]
        id: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        email: Option<std::borrow::Cow<'a, str>>,
    }
    let fields: Option<Fields<'_>> = serde_json::from_str(&line.text).ok();
    let (id, email, payload) = match &fields {
        Some(fields) => (&*fields.principal.id, fields.principal.email.as_deref(), fields.payload.is_some()),
        None => ("", None, true),
    };
    let number = id.parse::<i64>().ok().filter(|number| number.to_string() == id);
    format!(
        r#"{{"uuid":"{}","db_user_id":{},"user_email":{},{}{}"#,
        line.id.short(),
        number.map_or_else(|| json::quote(id), |number| number.to_string()),
        email.map_or_else(|| "null".into(), json::quote),
        if payload { "" } else { r#""payload":{},"# },
        line.text.strip_prefix('{').unwrap_or(&line.text),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_lambda_writes_it() {
        let text: String = (0..=0x100_u32).filter_map(char::from_u32).collect();
        let quotes = 2;
        assert_eq!(answer_bytes(&text) - 1, json::quote(&text).len() - quotes);
    }
}
