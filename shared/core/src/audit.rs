//! Reading the audit log: pages, single events, counts, the tail. Every read is recorded as an event.
//!
//! - [`browse`]: the newest events with counts over time, and one event with its neighbours
//! - [`filter`]: which events match
//! - [`stats`]: counts of events over time
//! - [`values`]: the values that occur, for those who filtered by another
//!
//! A page is read first, so an invalid cursor changes nothing. Then the read is recorded as an event. Then the page is
//! completed with the events before that record. So a page never shows its own read and misses no event recorded before
//! it.

pub mod browse;
pub mod filter;
mod scan;
mod search;
pub mod stats;
pub mod values;

use std::sync::Arc;

use self::{
    filter::Filter,
    scan::{Budget, Scan},
};

use crate::{
    event::{self, Context, Entity, OwnEvent, Principal},
    format::Format,
    id::EventId,
    json,
    line::Fields,
    log::{
        Log,
        append::{AppendError, Outcome},
        read::{Passed, PlaceError, ReadLimit},
        restore::{backward, forward},
        segment::{Line, Tail},
        store::{Order, StoreError},
    },
    organisation::Organisation,
    time::Timestamp,
};

/// The maximum size of the events on a page, counted by [`answer_bytes`], so that an answer stays below the 6 MB that a
/// Lambda function may return (AWS, "Lambda quotas").
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Sequences have 40 bits in event ids.
const MAX_SEQUENCE: u64 = (1 << 40) - 1;
/// The maximum that is read for one filtered page. A page that reaches it ends there and has a `next`.
const MAX_SCAN: Budget = Budget { events: 10_000, bytes: 8 * 1024 * 1024 };

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest event, or with the newest in descending order.
    #[default]
    Edge,
    /// With this event.
    From(EventId),
    /// After this event.
    After(EventId),
}

/// A request for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    pub start: Start,
    /// Only events recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Only events recorded before this time.
    pub until: Option<Timestamp>,
    pub filter: Filter,
    /// The number of matching events to skip first.
    pub skip: u64,
    /// The last event to return: the tail at the time of the first page, which `next` carries to the following pages.
    pub through: Option<EventId>,
    pub order: Order,
    /// 1 to 1,000 events.
    pub page_size: usize,
    pub shape: Shape,
}

impl Default for PageRequest {
    /// Requests the oldest hundred events.
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

/// The representation of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As JSON objects made by [`view`].
    View,
    /// As one line or row each.
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

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub lines: Vec<Line>,
    /// The lines in the requested [`Shape`].
    pub shown: Vec<String>,
    /// The event with which the next page begins, if there is one. It may not match the filter.
    pub next: Option<EventId>,
    /// The number of matching events that the next page still has to skip.
    pub skip: u64,
    /// The bound for the next page.
    pub through: Option<EventId>,
    pub resume: Resume,
}

/// Where a collector continues that has kept the events of a page and of those before it, and nothing else. It misses no event
/// and gets none twice, whichever page was the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// In chronological order from here, without a bound.
    Onward(Start),
    /// With the next page: older events follow first, and those recorded later follow the last page.
    NextPage,
}

/// The caller that reads, as it is recorded.
#[derive(Debug, Clone)]
pub struct Reader {
    pub principal: Principal,
    /// `API` or `UI`.
    pub client_type: &'static str,
    pub context: Context,
    /// The call in PactFlow's format: `path`, `queryString`, `method`, `userAgent`, `referer`, `params`.
    pub call: serde_json::Value,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The read could not be recorded, so its result is withheld.
    #[error("the read could not be recorded")]
    Record(#[source] AppendError),
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

/// Recorded reads of every organisation's log.
#[derive(Debug, Clone)]
pub struct Audit {
    log: Arc<Log>,
}

impl Audit {
    #[must_use]
    pub fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// Returns a page. A page with a `next` may have fewer events than requested, or no events at all: if events are
    /// large, or if the read reached its limit because few events match the filter.
    ///
    /// # Errors
    /// Returns an error if a cursor is invalid (nothing is recorded then), or if the read fails or cannot be recorded.
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
            // Sequences have no gaps but for the holes that restores left, so skipped events need not be read.
            self.verify(organisation, request.start).await?;
            let holes = self.log.holes(&organisation.id).await?;
            start = forward(&holes, start, skip).min(MAX_SEQUENCE);
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
        // A bound beyond the tail must be forged. With such a bound the pages would never end, because each read
        // records an event.
        let through = request
            .through
            .filter(|through| before.is_none_or(|before| through.sequence() <= before.sequence()))
            .or(before);
        let last = last.min(through.map_or(0, EventId::sequence));
        if !scan.is_over() && scan.at <= last {
            // Events that were recorded during the read, or were too new for eventually consistent reads.
            let (from, within) = if scan.at < start { (start, segment) } else { (scan.at, None) };
            scan.run(&self.log, &organisation.id, from..=last, within).await?;
        }
        scan.lines.retain(|line| line.sequence() <= last);
        scan.stopped_at = scan.stopped_at.filter(|id| id.sequence() <= last);
        let end = through.map_or(Start::From(own), Start::After);
        Ok(request.cut(scan, through, end))
    }

    async fn descending(
        &self,
        organisation: &Organisation,
        request: &PageRequest,
        reader: &Reader,
    ) -> Result<Page, AuditError> {
        let through = match (request.through, request.start) {
            (Some(through), _) => Some(through),
            (None, Start::Edge) => self.log.tail_of(organisation).await?.event_id(&organisation.id),
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
        if skip > 0 && request.filter.is_empty() {
            end = backward(&self.log.holes(&organisation.id).await?, end, skip);
            skip = 0;
        }
        let mut scan = request.scan(skip);
        scan.run(&self.log, &organisation.id, first..=end, None).await?;
        let (_, own) = self.record(organisation, reader).await?;
        // Without a bound of its own, a first page that begins after an event does not show that event: it is still to come.
        let (through, end) = match (request.through, request.start) {
            (None, Start::After(id)) => match scan.lines.first().map(|line| line.id).or(scan.stopped_at) {
                Some(newest) => (Some(newest), Start::After(newest)),
                None => (None, Start::From(id)),
            },
            _ => (through, through.map_or(Start::From(own), Start::After)),
        };
        Ok(request.cut(scan, through, end))
    }

    /// Returns `Ok` if the start is an event of this organisation that has not expired, or one that was lost by a restore: a
    /// reader that has seen it misses nothing behind it.
    async fn verify(&self, organisation: &Organisation, start: Start) -> Result<(), PlaceError> {
        let (Start::From(id) | Start::After(id)) = start else { return Ok(()) };
        match self.log.event(organisation, id).await {
            Ok(_) | Err(PlaceError::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Verifies the start of events that have been read. Usually their first segment is enough to tell.
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
            Err(PlaceError::Lost { .. }) => return Ok(()),
            other => return other.map(drop),
        };
        // A reader that continues after an expired event misses no event if the next event has not expired.
        let tail = self.log.tail_of(organisation).await?;
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

    /// Returns an event.
    ///
    /// # Errors
    /// Returns an error if the event does not exist or has expired, or if the read fails or cannot be recorded.
    pub async fn event(&self, organisation: &Organisation, id: EventId, reader: &Reader) -> Result<Line, AuditError> {
        let line = self.log.event(organisation, id).await?;
        self.record(organisation, reader).await?;
        Ok(line)
    }

    /// Returns the tail before this read was recorded.
    ///
    /// # Errors
    /// Returns an error if the read fails or cannot be recorded.
    pub async fn tail(&self, organisation: &Organisation, reader: &Reader) -> Result<Tail, AuditError> {
        let tail = self.log.tail_of(organisation).await?;
        self.record(organisation, reader).await?;
        Ok(tail)
    }

    /// Records a read of something else than events, such as a checkpoint.
    ///
    /// # Errors
    /// Returns an error if the read cannot be recorded.
    pub async fn record_read(&self, organisation: &Organisation, reader: &Reader) -> Result<(), AuditError> {
        self.record(organisation, reader).await.map(drop)
    }

    /// Records a read. Returns the event before the record, and the record.
    async fn record(
        &self,
        organisation: &Organisation,
        reader: &Reader,
    ) -> Result<(Option<EventId>, EventId), AuditError> {
        let body = OwnEvent {
            action: "READ",
            kind: event::READ,
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

    /// Makes a page from a scan, which looks for one event more than the page has. `end` is where events recorded later begin.
    fn cut(&self, scan: Scan<'_>, through: Option<EventId>, end: Start) -> Page {
        let skip = scan.to_skip();
        let (mut lines, stopped_at) = (scan.lines, scan.stopped_at);
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for line in lines.iter().take(self.page_size) {
            let text = self.shape.show(line);
            bytes += answer_bytes(&text);
            // A page has at least one event.
            if bytes > MAX_PAGE_BYTES && !shown.is_empty() {
                break;
            }
            shown.push(text);
        }
        let next = lines.get(shown.len()).map(|line| line.id).or(stopped_at);
        lines.truncate(shown.len());
        let resume = match (next, self.order) {
            (None, _) => Resume::Onward(end),
            (Some(next), Order::Ascending) => Resume::Onward(Start::From(next)),
            (Some(_), Order::Descending) => Resume::NextPage,
        };
        Page { lines, shown, next, skip, through, resume }
    }
}

/// Returns the size of a text in an answer. Lambda takes an answer as a JSON string, in which quotes, backslashes and control
/// characters are escaped.
fn answer_bytes(text: &str) -> usize {
    const BETWEEN: usize = 1;
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => r"\u0000".len(),
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + BETWEEN
}

/// Returns an event as `GET /audit` shows it: PactFlow's fields followed by all fields of the line.
///
/// `db_user_id` is the principal's id, as a number if it is one. `user_email` is the principal's e-mail address or null.
/// `payload` is an empty object if the event has none.
#[must_use]
pub fn view(line: &Line) -> String {
    let fields = Fields::of(line);
    let id = fields.principal.id.as_str();
    let number = id.parse::<i64>().ok().filter(|number| number.to_string() == id);
    format!(
        r#"{{"uuid":"{}","db_user_id":{},"user_email":{},{}{}"#,
        line.id.short(),
        number.map_or_else(|| json::quote(id), |number| number.to_string()),
        fields.principal.email.not_blank().map_or_else(|| "null".into(), json::quote),
        if fields.payload.is_some() { "" } else { r#""payload":{},"# },
        line.text.strip_prefix('{').unwrap_or(&line.text),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_in_an_answer_includes_the_escapes_of_a_json_string() {
        let text: String = (0..=0x100_u32).filter_map(char::from_u32).collect();
        let quotes = 2;
        assert_eq!(answer_bytes(&text) - 1, json::quote(&text).len() - quotes);
    }
}
