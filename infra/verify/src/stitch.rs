//! All summaries, put together by sequence: which events are there, whether each line is what the next one says it was,
//! and, where not, which of the two was changed. Owns the judgement; what is said of it is [`crate::report`]'s.
//!
//! **Copies.** Events that are in several objects are compared. Identical copies are no problem, wherever they are: a
//! replay writes them under `replay/`, and a destination that was deleted and created anew writes the last days once
//! more under regular keys, cut differently. They are noted. Copies that differ are a problem. Within one object every
//! copy is.
//!
//! **Order.** Within an object lines rise one by one. Among objects there is no order: keys follow the clocks of several
//! machines.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use annals_core::{
    log::segment::LineHash,
    organisation::{OrganisationId, OrganisationIdError},
};
use sha2::{Digest as _, Sha256};

use crate::{
    Expectation,
    line::with_previous,
    object::{self, Fault, Gap, Run, Summary},
    report::{Kind, Problem, Report, Verdict, count, grouped, sequences},
    source::{Source, SourceError},
    tail::{Asked, Tail},
};

/// How many objects' hashes are kept while copies are compared.
const KEPT: usize = 4;

/// A delivered object, read.
#[derive(Debug)]
pub struct Delivered {
    /// Its key.
    pub key: String,
    /// Whether it belongs to a replay.
    pub is_replay: bool,
    /// What is in it.
    pub summary: Summary,
}

/// Judges `objects`. `problems` are those that were found before.
///
/// # Errors
/// Where an object must be read again, and cannot.
pub fn stitch(
    source: &dyn Source,
    objects: &[Delivered],
    expected: &Expectation,
    problems: Vec<Problem>,
) -> Result<Report, SourceError> {
    let organisation = organisation(objects, expected);
    let is_ours = |run: &Run| Some(&*run.organisation) == organisation.as_deref();
    let mut runs = Vec::new();
    for (object, delivered) in objects.iter().enumerate() {
        runs.extend(delivered.summary.runs.iter().filter(|run| is_ours(run)).map(|run| Place { object, run }));
    }
    runs.sort_by_key(|place| (place.run.first, objects[place.object].is_replay, place.object, place.run.line));
    let mut starts: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, place) in runs.iter().enumerate() {
        starts.entry(place.run.first).or_default().push(index);
    }
    let gaps = objects.iter().flat_map(|object| &object.summary.gaps);
    let gaps = gaps.filter(|gap| Some(&*gap.organisation) == organisation.as_deref()).cloned().collect();
    let mut stitcher = Stitcher {
        source,
        objects,
        runs,
        starts,
        gaps,
        tail: None,
        pieces: Vec::new(),
        problems,
        notes: Vec::new(),
        blamed: HashSet::new(),
        standing_in: HashMap::new(),
        hashes: VecDeque::new(),
    };
    stitcher.take_tail(expected.tail.as_ref(), organisation.as_deref());
    stitcher.chain(expected.first)?;
    let behind = stitcher.compare_with_tail()?;
    stitcher.compare_copies()?;
    for (object, delivered) in objects.iter().enumerate() {
        stitcher.order_within(object, &delivered.summary.runs.iter().filter(|run| is_ours(run)).collect::<Vec<_>>());
        for run in delivered.summary.runs.iter().filter(|run| !is_ours(run)) {
            let what = format!("{} of another organisation, {}", lines(run), run.organisation);
            stitcher.problems.push(Problem::new(Kind::ForeignLine, what).at(&delivered.key).line(run.line));
        }
    }
    stitcher.tell_faults();
    Ok(stitcher.report(organisation, expected, behind))
}

/// Whose log it is that was delivered.
fn organisation(objects: &[Delivered], expected: &Expectation) -> Option<String> {
    if let Some(organisation) = &expected.organisation {
        return Some(organisation.to_string());
    }
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for run in objects.iter().flat_map(|object| &object.summary.runs) {
        *counts.entry(Arc::clone(&run.organisation)).or_default() += run.last - run.first + 1;
    }
    let id = expected.tail.as_ref().and_then(|tail| tail.id);
    let is_the_tails = |organisation: &str| {
        let parsed: Result<OrganisationId, OrganisationIdError> = organisation.parse();
        id.is_some_and(|id| parsed.is_ok_and(|organisation| id.is_of(&organisation)))
    };
    let best = counts.into_iter().max_by_key(|(organisation, lines)| (is_the_tails(organisation), *lines));
    best.map(|(organisation, _)| organisation.to_string())
}

fn lines(run: &Run) -> String {
    if run.first == run.last {
        "the line is".into()
    } else {
        format!("{} lines from here on are", run.last - run.first + 1)
    }
}

/// A stretch of lines, and where it is.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    object: usize,
    run: &'a Run,
}

/// A stretch of the whole: what is taken of a run.
#[derive(Debug, Clone, Copy)]
struct Piece {
    run: usize,
    /// The sequence from which on it is taken.
    from: u64,
    /// Whether what comes before is as it says.
    joint: Joint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Fits,
    Breaks,
}

struct Stitcher<'a> {
    source: &'a dyn Source,
    objects: &'a [Delivered],
    /// The organisation's stretches, by their first sequence.
    runs: Vec<Place<'a>>,
    starts: HashMap<u64, Vec<usize>>,
    gaps: Vec<Gap>,
    tail: Option<Tail>,
    /// The whole: by rising sequence, none overlapping.
    pieces: Vec<Piece>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    /// Lines, by object and number, of which something was said already.
    blamed: HashSet<(usize, u64)>,
    /// Lines that Annals did not write, and the sequences whose places they take.
    standing_in: HashMap<(usize, u64), u64>,
    hashes: VecDeque<(usize, Rc<Vec<LineHash>>)>,
}

impl<'a> Stitcher<'a> {
    fn key(&self, object: usize) -> &'a str {
        &self.objects[object].key
    }

    /// `line 3 of KEY`.
    fn place(&self, run: usize, sequence: u64) -> String {
        let Place { object, run } = self.runs[run];
        format!("line {} of {}", run.line_of(sequence), self.key(object))
    }

    fn hash_at(&mut self, run: usize, sequence: u64) -> Result<Option<LineHash>, SourceError> {
        let Place { object, run } = self.runs[run];
        if sequence == run.last {
            return Ok(Some(run.hash));
        }
        let known = self.hashes.iter().find(|(known, _)| *known == object).map(|(_, hashes)| Rc::clone(hashes));
        let hashes = match known {
            Some(hashes) => hashes,
            None => {
                let hashes = Rc::new(object::hashes(self.source, self.key(object))?);
                self.hashes.truncate(KEPT - 1);
                self.hashes.push_front((object, Rc::clone(&hashes)));
                hashes
            }
        };
        let index = usize::try_from(run.line_of(sequence) - 1).unwrap_or(usize::MAX);
        Ok(hashes.get(index).copied())
    }

    fn piece_at(&self, sequence: u64) -> Option<usize> {
        let index = self.pieces.partition_point(|piece| piece.from <= sequence).checked_sub(1)?;
        (self.runs[self.pieces[index].run].run.last >= sequence).then_some(index)
    }

    fn whole_hash_at(&mut self, sequence: u64) -> Result<Option<LineHash>, SourceError> {
        match self.piece_at(sequence) {
            Some(piece) => self.hash_at(self.pieces[piece].run, sequence),
            None => Ok(None),
        }
    }

    fn end(&self) -> Option<(usize, u64, LineHash)> {
        self.pieces.last().map(|piece| (piece.run, self.runs[piece.run].run.last, self.runs[piece.run].run.hash))
    }

    fn take_tail(&mut self, tail: Option<&Tail>, organisation: Option<&str>) {
        let Some(tail) = tail else { return };
        let parsed = organisation.and_then(|organisation| organisation.parse::<OrganisationId>().ok());
        match (tail.id, parsed) {
            (Some(id), Some(organisation)) if !id.is_of(&organisation) => {
                let what = format!("the tail is that of another organisation's log than {organisation}'s");
                self.problems.push(Problem::new(Kind::Tail, what));
            }
            _ => self.tail = Some(tail.clone()),
        }
    }

    /// What the line with this sequence should have for its hash, as its successor or the tail says.
    fn claim(&self, sequence: u64) -> Option<LineHash> {
        let next = self.starts.get(&(sequence + 1)).and_then(|runs| runs.first());
        let next = next.map(|run| self.runs[*run].run.previous);
        next.or_else(|| self.tail.as_ref().filter(|tail| tail.sequence == sequence).map(|tail| tail.hash))
    }

    /// Whether a successor, or the tail, confirms the last line of a run.
    fn is_vouched(&self, run: &Run) -> bool {
        let next = self.starts.get(&(run.last + 1)).into_iter().flatten();
        next.into_iter().any(|next| self.runs[*next].run.previous == run.hash)
            || self.tail.as_ref().is_some_and(|tail| tail.sequence == run.last && tail.hash == run.hash)
    }

    /// Puts the whole together.
    fn chain(&mut self, expected: Option<u64>) -> Result<(), SourceError> {
        let Some(first) = self.runs.first().map(|place| place.run.first) else { return Ok(()) };
        match expected {
            Some(expected) if expected < first => self.hole(expected, first - 1, None, Some(0)),
            Some(expected) if expected > first => self.notes.push(format!(
                "it begins with sequence {}, earlier than the {} that was expected",
                grouped(first),
                grouped(expected)
            )),
            _ => {}
        }
        let before = self.tail.as_ref().filter(|tail| tail.sequence + 1 == first).map(|tail| tail.hash);
        let mut hash = if first == 1 { Some(LineHash::ORIGIN) } else { before };
        let (mut next, mut waiting, mut active) = (first, 0, Vec::new());
        loop {
            while self.runs.get(waiting).is_some_and(|place| place.run.first <= next) {
                active.push(waiting);
                waiting += 1;
            }
            active.retain(|run| self.runs[*run].run.last >= next);
            let Some((run, joint)) = self.best(&active, next, hash)? else {
                let Some(first) = self.runs.get(waiting).map(|place| place.run.first) else { return Ok(()) };
                let left = self.end().map(|(run, ..)| run);
                self.hole(next, first - 1, left, Some(waiting));
                (next, hash) = (first, None);
                continue;
            };
            self.pieces.push(Piece { run, from: next, joint });
            if joint == Joint::Breaks {
                self.explain_break(run, next, hash)?;
            }
            (next, hash) = (self.runs[run].run.last + 1, Some(self.runs[run].run.hash));
        }
    }

    /// Which of the runs that hold sequence `next` goes on best behind a line with `hash`.
    fn best(
        &mut self,
        active: &[usize],
        next: u64,
        hash: Option<LineHash>,
    ) -> Result<Option<(usize, Joint)>, SourceError> {
        if let ([only], None) = (active, hash) {
            return Ok(Some((*only, Joint::Fits)));
        }
        let mut best: Option<((bool, bool, u64), usize)> = None;
        // Those that begin here come first: of the others the object must be read again.
        let (here, earlier): (Vec<usize>, Vec<usize>) =
            active.iter().partition(|run| self.runs[**run].run.first == next);
        for run in here.into_iter().chain(earlier) {
            let place = self.runs[run].run;
            let fits = match hash {
                None => true,
                Some(hash) if place.first == next => place.previous == hash,
                Some(_) if best.is_some_and(|((fits, vouched, _), _)| fits && vouched) => continue,
                Some(hash) => self.hash_at(run, next - 1)? == Some(hash),
            };
            let score = (fits, self.is_vouched(place), place.last);
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, run));
            }
        }
        Ok(best.map(|((fits, ..), run)| (run, if fits { Joint::Fits } else { Joint::Breaks })))
    }

    /// Says which line was changed where `run` does not go on behind `hash` at `next`.
    fn explain_break(&mut self, run: usize, next: u64, hash: Option<LineHash>) -> Result<(), SourceError> {
        let Some(hash) = hash else { return Ok(()) };
        let Place { object, run: right } = self.runs[run];
        let left = self.pieces.iter().nth_back(1).map(|piece| piece.run);
        if right.first < next {
            let other = left.map_or_else(String::new, |left| self.place(left, next - 1));
            self.blame(
                Kind::Conflict,
                run,
                next - 1,
                &format!("it is not the same as {other}, and nothing tells which of the two is true"),
            );
            return Ok(());
        }
        if right.last > right.first || self.is_vouched(right) {
            match left {
                Some(left) => {
                    let what = format!(
                        "its hash is not the one that {} has for it, and that line is as the line behind it says",
                        self.place(run, next)
                    );
                    self.blame(Kind::Changed, left, next - 1, &what);
                }
                None => self.blame(Kind::Changed, run, next, "its previousHash is not that of the line before"),
            }
            return Ok(());
        }
        let what = match self.claim(next) {
            None => {
                "its previousHash is not the hash of the line before: one of the two was changed, and no line or tail \
                 behind them tells which"
            }
            Some(claim) => {
                let text = object::text(self.source, self.key(object), right.line)?;
                let mended = with_previous(&text, &hash).map(|text| LineHash(Sha256::digest(&text).into()));
                if mended == Some(claim) {
                    "its previousHash was changed, and nothing else: with the hash of the line before in its place it is \
                     what was delivered"
                } else {
                    "neither is its previousHash the hash of the line before, nor its hash what comes behind it says: it \
                     was changed, and perhaps the line before too"
                }
            }
        };
        self.blame(Kind::Changed, run, next, what);
        Ok(())
    }

    /// Says once that there is something wrong with a line.
    fn blame(&mut self, kind: Kind, run: usize, sequence: u64, what: &str) {
        let Place { object, run } = self.runs[run];
        let line = run.line_of(sequence);
        if self.blamed.insert((object, line)) {
            let problem = Problem::new(kind, what).at(self.key(object)).line(line);
            self.problems.push(problem.sequences(sequence, sequence));
        }
    }

    /// Lines between two runs that Annals did not write.
    fn odd_lines_between(&self, left: Option<usize>, right: Option<usize>) -> Vec<(usize, u64)> {
        let (left, right) = (left.map(|run| self.runs[run]), right.map(|run| self.runs[run]));
        let odd = |object: usize, from: u64, to: u64| {
            let summary: &'a Summary = &self.objects[object].summary;
            let is_odd = |fault: &Fault| matches!(fault, Fault::Odd(_) | Fault::HalfLine);
            let faults = summary.faults.iter().filter(move |(line, fault)| *line > from && *line < to && is_odd(fault));
            faults.map(move |(line, _)| (object, *line)).collect::<Vec<_>>()
        };
        match (left, right) {
            (Some(left), Some(right)) if left.object == right.object => {
                odd(left.object, left.run.last_line(), right.run.line)
            }
            (left, right) => {
                let behind = left.map(|left| odd(left.object, left.run.last_line(), u64::MAX)).unwrap_or_default();
                let before = right.map(|right| odd(right.object, 0, right.run.line)).unwrap_or_default();
                [behind, before].concat()
            }
        }
    }

    /// Whether exactly these sequences are lines that cannot be read. Then they are not missing, but changed.
    fn is_stood_in(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) -> bool {
        let odd = self.odd_lines_between(left, right);
        let fits = odd.len() as u64 == last - first + 1;
        if fits {
            self.standing_in.extend(odd.into_iter().zip(first..=last));
        }
        fits
    }

    /// Says that the events `first` to `last` are not there.
    fn hole(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) {
        if self.is_stood_in(first, last, left, right) {
            return;
        }
        let mut gaps: Vec<Gap> =
            self.gaps.iter().filter(|gap| gap.first <= last && gap.last >= first).cloned().collect();
        gaps.sort_by_key(|gap| gap.first);
        let mut from = first;
        for gap in gaps {
            if gap.last < from {
                continue;
            }
            if gap.first > from {
                self.missing(from, gap.first - 1, left, right);
            }
            let (gone, to) = (gap.first.max(from), gap.last.min(last));
            let what = format!(
                "{} expired before delivery, as the log itself says in its event destination.gap, sequence {}",
                count(to - gone + 1, "event"),
                grouped(gap.sequence)
            );
            self.problems.push(Problem::new(Kind::MissingExplained, what).sequences(gone, to));
            from = to + 1;
        }
        if from <= last {
            self.missing(from, last, left, right);
        }
    }

    fn missing(&mut self, first: u64, last: u64, left: Option<usize>, right: Option<usize>) {
        let events = count(last - first + 1, "event");
        let is_ended = |place: Place<'_>| {
            let summary = &self.objects[place.object].summary;
            summary.faults.is_empty() && place.run.last_line() == summary.lines
        };
        let problem = Problem::new(Kind::Missing, "").sequences(first, last);
        let problem = match (left.map(|run| self.runs[run]), right.map(|run| self.runs[run])) {
            (Some(left), Some(right)) if left.object == right.object && left.run.line < right.run.line => {
                let what = format!("{events} between line {} and line {}", left.run.last_line(), right.run.line);
                Problem { what, ..problem.at(self.key(left.object)).line(right.run.line) }
            }
            (Some(left), Some(right)) => {
                let (before, behind) = (self.key(left.object), self.key(right.object));
                let what = if !is_ended(left) {
                    format!("{events} behind line {} of {before}, which does not end there", left.run.last_line())
                } else if right.run.line == 1 && right.run.index > 0 && !self.objects[right.object].is_replay {
                    format!(
                        "{events} between {before} and {behind}, which begins in the middle of what was recorded at \
                         once: its own beginning is cut"
                    )
                } else {
                    format!(
                        "{events} between line {} of {before} and line {} of {behind}: whole objects, or the end of the \
                         one or the beginning of the other",
                        left.run.last_line(),
                        right.run.line
                    )
                };
                Problem { what, ..problem }
            }
            (None, Some(right)) => {
                let what = format!("{events} before {}, which is the first there is", self.key(right.object));
                Problem { what, ..problem }
            }
            _ => Problem { what: events, ..problem },
        };
        self.problems.push(problem);
    }

    /// Holds the whole against the tail; gives how many events it is behind.
    fn compare_with_tail(&mut self) -> Result<u64, SourceError> {
        let Some(tail) = self.tail.clone() else { return Ok(0) };
        let end = self.end();
        let last = end.map_or(0, |(_, last, _)| last);
        if tail.sequence > last {
            let behind = tail.sequence - last;
            if self.is_stood_in(last + 1, tail.sequence, end.map(|(run, ..)| run), None) {
                return Ok(0);
            }
            self.tell_behind(&tail, last, behind);
            return Ok(behind);
        }
        if let (Asked::Now, Some((run, ..)), true) = (tail.asked, end, tail.sequence < last) {
            let what = format!("the log has ended at sequence {}", grouped(tail.sequence));
            let problem = Problem::new(Kind::Beyond, what).at(self.key(self.runs[run].object));
            self.problems.push(problem.sequences(tail.sequence + 1, last));
        }
        let first = self.pieces.first().map_or(0, |piece| piece.from);
        if tail.sequence + 1 < first {
            self.notes.push(format!(
                "the tail that was given, sequence {}, is older than all that was delivered: it says nothing about it",
                grouped(tail.sequence)
            ));
        } else if let Some(piece) = self.piece_at(tail.sequence) {
            let run = self.pieces[piece].run;
            if self.hash_at(run, tail.sequence)? != Some(tail.hash) {
                let what = "its hash is not the tail's: it was changed, or it and lines before it were written anew so that \
                            they fit each other";
                self.blame(Kind::Changed, run, tail.sequence, what);
            }
        }
        Ok(0)
    }

    fn tell_behind(&mut self, tail: &Tail, last: u64, behind: u64) {
        let is_are = if behind == 1 { "is" } else { "are" };
        let what = match tail.asked {
            Asked::Now => format!(
                "{} behind the tail{}, which was asked for just now: they may not have been delivered yet",
                count(behind, "event"),
                tail.timestamp.as_ref().map_or_else(String::new, |time| format!(" of {time}"))
            ),
            Asked::Earlier => format!(
                "{} behind the tail that was saved{}: unless that is less than a delivery ago, {} {is_are} missing",
                count(behind, "event"),
                tail.timestamp.as_ref().map_or_else(String::new, |time| format!(", of {time}")),
                if behind == 1 { "it" } else { "they" },
            ),
        };
        self.problems.push(Problem::new(Kind::Behind, what).sequences(last + 1, tail.sequence));
    }

    /// Compares what is there more than once.
    fn compare_copies(&mut self) -> Result<(), SourceError> {
        let taken: HashMap<usize, u64> = self.pieces.iter().map(|piece| (piece.run, piece.from)).collect();
        let breaks: Vec<u64> =
            self.pieces.iter().filter(|piece| piece.joint == Joint::Breaks).map(|piece| piece.from).collect();
        let mut copies: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for index in 0..self.runs.len() {
            let Place { object, run } = self.runs[index];
            // The last sequence of it that comes from elsewhere.
            let last = match taken.get(&index) {
                Some(from) if *from == run.first => continue,
                Some(from) => from - 1,
                None => run.last,
            };
            let is_broken = breaks.iter().any(|at| *at > run.first && *at <= last);
            let same = !is_broken && self.hash_at(index, last)? == self.whole_hash_at(last)?;
            let differing = if same { None } else { self.differing(index, last)? };
            if let Some((first, last)) = differing {
                let other = self.piece_at(first).map(|piece| self.place(self.pieces[piece].run, first));
                let place = run.line_of(first);
                if self.blamed.insert((object, place)) {
                    let what =
                        format!("not the same as {}, which fits what is around it better", other.unwrap_or_default());
                    let problem = Problem::new(Kind::Conflict, what).at(self.key(object)).line(place);
                    self.problems.push(problem.sequences(first, last));
                }
                continue;
            }
            let is_within = (run.first..=last).any(|sequence| {
                // A copy in its own object is told with the object's order.
                self.piece_at(sequence).is_some_and(|piece| self.runs[self.pieces[piece].run].object == object)
            });
            if !is_within {
                match copies.last_entry() {
                    Some(mut entry) if entry.key().0 == object && *entry.get() + 1 == run.first => {
                        entry.insert(last);
                    }
                    _ => drop(copies.insert((object, run.first), last)),
                }
            }
        }
        for ((object, first), last) in copies {
            let why = if self.objects[object].is_replay {
                "a replay"
            } else {
                "not of a replay; a destination that was created anew delivers the last days again"
            };
            let noun = sequences(first, last);
            let verb = if first == last { "is" } else { "are" };
            self.notes.push(format!("{noun} {verb} in {} once more, byte for byte the same ({why})", self.key(object)));
        }
        Ok(())
    }

    /// The first and last sequence at which a run differs from the whole.
    fn differing(&mut self, run: usize, last: u64) -> Result<Option<(u64, u64)>, SourceError> {
        let mut differing = None;
        for sequence in self.runs[run].run.first..=last {
            if self.hash_at(run, sequence)? != self.whole_hash_at(sequence)? {
                differing = Some((differing.map_or(sequence, |(first, _)| first), sequence));
            }
        }
        Ok(differing)
    }

    /// Looks whether the lines of an object rise one by one.
    fn order_within(&mut self, object: usize, runs: &[&Run]) {
        let Some((first, others)) = runs.split_first() else { return };
        let mut before: &Run = first;
        let mut moved: Option<(&Run, u64)> = None;
        let mut places = 0u64;
        for (index, run) in others.iter().enumerate() {
            let earlier = runs[..=index].iter().find(|other| other.first <= run.first && other.last >= run.first);
            if let Some(earlier) = earlier {
                if self.blamed.insert((object, run.line)) {
                    let last = run.last.min(earlier.last);
                    let what = format!("already there at line {}", earlier.line_of(run.first));
                    let problem = Problem::new(Kind::Duplicated, what).at(self.key(object)).line(run.line);
                    self.problems.push(problem.sequences(run.first, last));
                }
                if run.last > before.last {
                    before = run;
                }
                continue;
            }
            let expected = before.last + 1;
            let is_hole = run.first > expected && self.is_uncovered(expected, run.first - 1);
            if run.first != expected && !is_hole {
                places += 1;
                moved.get_or_insert((run, expected));
            }
            before = run;
        }
        if let Some((run, expected)) = moved {
            let what = format!(
                "sequence {} should be here: lines are not in order ({})",
                grouped(expected),
                count(places, "place")
            );
            let problem = Problem::new(Kind::Reordered, what).at(self.key(object)).line(run.line);
            self.problems.push(problem.sequences(run.first, run.first));
        }
    }

    fn is_uncovered(&self, first: u64, last: u64) -> bool {
        let index = self.pieces.partition_point(|piece| self.runs[piece.run].run.last < first);
        self.pieces.get(index).is_none_or(|piece| piece.from > last)
    }

    fn tell_faults(&mut self) {
        for (object, delivered) in self.objects.iter().enumerate() {
            for (line, fault) in &delivered.summary.faults {
                let stands_for = self.standing_in.get(&(object, *line));
                let (kind, what) = match fault {
                    Fault::Odd(oddity) if stands_for.is_some() => (Kind::Changed, oddity.to_string()),
                    Fault::Odd(oddity) => (Kind::ForeignLine, oddity.to_string()),
                    Fault::NoNewline => (Kind::Truncated, "the newline at its end is not there".into()),
                    Fault::HalfLine => (Kind::Truncated, "the object ends in the middle of this line".into()),
                    Fault::BrokenGzip(reason) => {
                        (Kind::Truncated, format!("the compressed content is damaged behind this line ({reason})"))
                    }
                    Fault::Empty => (Kind::EmptyObject, "there is no line in it".into()),
                    Fault::GivenUp => {
                        (Kind::Changed, "too much is wrong: what is behind this line was not looked at".into())
                    }
                };
                let problem = Problem::new(kind, what).at(&delivered.key);
                let problem = if *line > 0 { problem.line(*line) } else { problem };
                self.problems.push(match stands_for {
                    Some(sequence) => problem.sequences(*sequence, *sequence),
                    None => problem,
                });
            }
        }
    }

    fn report(mut self, organisation: Option<String>, expected: &Expectation, behind: u64) -> Report {
        let length = |piece: &Piece| self.runs[piece.run].run.last - piece.from + 1;
        let events: u64 = self.pieces.iter().map(length).sum();
        let first = self.pieces.first().map(|piece| piece.from);
        let end = self.end();
        if let (Some(first), None) = (first.filter(|first| *first > 1), expected.first) {
            self.notes.insert(
                0,
                format!(
                    "it begins with sequence {first}, and nothing says that it should: --first {first} would",
                    first = first
                ),
            );
        }
        self.problems.sort_by(|one, other| {
            let place = |problem: &Problem| (problem.first_sequence.unwrap_or(u64::MAX), problem.kind);
            (place(one), &one.key, one.line).cmp(&(place(other), &other.key, other.line))
        });
        let verdict = match self.problems.as_slice() {
            [] => Verdict::Proven,
            problems if problems.iter().all(|problem| problem.kind == Kind::Behind) => Verdict::Behind,
            _ => Verdict::Broken,
        };
        let mut report = Report {
            verdict,
            summary: String::new(),
            organisation,
            objects: self.objects.len() as u64,
            lines: self.objects.iter().map(|object| object.summary.lines).sum(),
            events,
            first_sequence: first,
            last_sequence: end.map(|(_, last, _)| last),
            last_hash: end.map(|(.., hash)| hash.to_string()),
            tail_sequence: expected.tail.as_ref().map(|tail| tail.sequence),
            behind,
            problems: self.problems,
            notes: self.notes,
        };
        report.summary = summary(&report);
        report
    }
}

/// The verdict in a sentence.
fn summary(report: &Report) -> String {
    let what = match (report.first_sequence, report.last_sequence) {
        (Some(first), Some(last)) => format!("{}, {}", count(report.events, "event"), sequences(first, last)),
        _ => "no event".to_owned(),
    };
    let last = report.last_sequence.unwrap_or(0);
    match (report.verdict, report.tail_sequence) {
        (Verdict::Broken, _) => format!(
            "NOT PROVEN: {} in {} with {what}.",
            count(report.problems.len() as u64, "problem"),
            count(report.objects, "object")
        ),
        (Verdict::Behind, tail) => format!(
            "NOT PROVEN YET: {what}, none missing and none altered in between, but the log goes on to {}.",
            grouped(tail.unwrap_or(0))
        ),
        (Verdict::Proven, None) => format!(
            "Proven as far as it goes: {what}, none missing, none altered. Where the log ends is not known: give its tail \
             with --tail or --tail-url."
        ),
        (Verdict::Proven, Some(tail)) if tail == last => {
            format!("Proven: {what}, none missing, none altered; agrees with the log's tail.")
        }
        (Verdict::Proven, Some(tail)) if Some(tail + 1) >= report.first_sequence => format!(
            "Proven: {what}, none missing, none altered; agrees with the log's tail as it was at sequence {}, and goes on \
             behind it.",
            grouped(tail)
        ),
        (Verdict::Proven, Some(_)) => format!("Proven as far as it goes: {what}, none missing, none altered."),
    }
}
