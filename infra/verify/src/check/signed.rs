//! Compares the chain and the objects with what checkpoints state.

use std::collections::HashMap;

use annals_core::proof::checkpoint::{Entry, SignedObject};

use super::{Checker, proven::Point};
use crate::{
    CLOCK_SKEW, content,
    line::LineReader,
    report::{Problem, ProblemKind, count, grouped},
    source::SourceError,
    trust::Link,
};

impl Checker<'_> {
    /// Collects the hashes that trusted checkpoints, an earlier run, and the tail state.
    pub(super) fn collect_points(&mut self) {
        let links = self.judgement.links.iter().filter(|_| self.judgement.confirms);
        // The newest of those that state the same line comes last.
        for link in links.filter(|link| link.checkpoint.last > 0) {
            self.points.insert(link.checkpoint.last, Point { hash: link.checkpoint.hash, by: link.describe() });
        }
        // The line before a hole that a restore left is not before any other line.
        let links = self.judgement.links.iter().filter(|_| self.judgement.confirms);
        for (link, entry) in links.flat_map(|link| link.entries.iter().map(move |entry| (link, entry))) {
            if let Entry::Lost { sequences, after: Some(hash) } = entry
                && *sequences.start() > 1
            {
                let point = Point { hash: *hash, by: link.describe() };
                self.points.entry(sequences.start() - 1).or_insert(point);
            }
        }
        if let Some(state) = &self.expected.state {
            let by = "the state of an earlier run".to_owned();
            self.points.entry(state.last).or_insert(Point { hash: state.hash, by });
        }
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.sequence > 0) {
            let by = "the log's tail".to_owned();
            self.points.entry(tail.sequence).or_insert(Point { hash: tail.hash, by });
        }
    }

    /// Compares the chain with the checkpoints.
    pub(super) fn compare_with_checkpoints(&mut self) -> Result<(), SourceError> {
        self.compare_hashes()?;
        self.compare_objects();
        // What the checkpoint of a log covers may not be delivered yet.
        let delivered = self.judgement.links.iter().filter(|link| link.checkpoint.delivered.is_some());
        if let Some(delivered) = delivered.map(|link| link.checkpoint.last).max() {
            let end = self.end();
            let last = end.map_or(0, |(_, run)| run.last);
            let first = (last + 1).max(self.required_first().unwrap_or(1));
            if first <= delivered {
                self.add_missing(first, delivered, end.map(|(run, _)| run), None);
            }
        }
        self.report_undelivered();
        self.find_forged()
    }

    /// Reports events that are not here although a trusted checkpoint of the log, or of a destination that lags, says that
    /// the log has them.
    fn report_undelivered(&mut self) {
        if !self.judgement.confirms {
            return;
        }
        let last = self.end().map_or(0, |(_, run)| run.last);
        let links = &self.judgement.links;
        let logs = links.iter().filter(|link| link.checkpoint.delivered.is_none() && link.checkpoint.last > last);
        if let Some(link) = logs.max_by_key(|link| link.checkpoint.last) {
            let what = format!(
                "{} that {} covers: unless the next delivery is still to come, they are missing",
                count(link.checkpoint.last - last, "event"),
                link.describe()
            );
            let problem = Problem::new(ProblemKind::Behind, what).at(&link.note.key);
            self.problems.push(problem.sequences(last + 1, link.checkpoint.last));
            return;
        }
        let lagging = links.iter().filter_map(|link| Some((link, link.checkpoint.delivered.as_ref()?.log_last)));
        if let Some((link, log_last)) = lagging.max_by_key(|(_, log_last)| *log_last).filter(|(_, end)| *end > last) {
            let note = format!(
                "at the time of {} the log ended at sequence {}: what comes after sequence {} was not delivered yet",
                link.describe(),
                grouped(log_last),
                grouped(last)
            );
            self.notes.push(note);
        }
    }

    /// Compares the hash of the line at which each checkpoint ends. If they differ, so do all later ones: reports the first.
    fn compare_hashes(&mut self) -> Result<(), SourceError> {
        let mut links: Vec<Link<'_>> = self.judgement.links.clone();
        links.sort_by_key(|link| link.checkpoint.last);
        let mut differing: Option<(Link<'_>, usize, u64)> = None;
        for link in links {
            let last = link.checkpoint.last;
            let Some(piece) = self.piece_at(last) else { continue };
            if self.hash_at(piece.run, last)? != Some(link.checkpoint.hash) {
                match &mut differing {
                    None => differing = Some((link, piece.run, 0)),
                    Some((.., more)) => *more += 1,
                }
            }
        }
        let Some((link, run, more)) = differing else { return Ok(()) };
        let more = if more == 0 { String::new() } else { format!(" and {}", count(more, "more checkpoint")) };
        let what = format!(
            "its hash does not match {}{more}: the line was changed, or it and the lines before it were rewritten to match \
             each other",
            link.describe()
        );
        self.report_line(ProblemKind::Changed, run, link.checkpoint.last, &what);
        Ok(())
    }

    /// Compares the objects with the SHA-256 and size that checkpoints state.
    fn compare_objects(&mut self) {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, object) in self.objects.iter().enumerate() {
            by_name.entry(crate::name(&object.key)).or_default().push(index);
        }
        let links = self.judgement.links.clone();
        for (link, entry) in links.iter().flat_map(|link| link.entries.iter().map(move |entry| (link, entry))) {
            let Entry::Object(SignedObject { content: Some(signed), key, .. }) = entry else { continue };
            let candidates = by_name.get(crate::name(key)).into_iter().flatten();
            for index in candidates.filter(|index| is_same_key(&self.objects[**index].key, key)) {
                let object = &self.objects[*index];
                let Some(found) = object.summary.fingerprint else { continue };
                if (found.sha256, found.bytes) != (signed.sha256, signed.bytes) {
                    let what = format!(
                        "the object is not as it was delivered: {} bytes with SHA-256 {}, but {} bytes with SHA-256 {} \
                         according to {}",
                        grouped(found.bytes),
                        hex::encode(found.sha256),
                        grouped(signed.bytes),
                        hex::encode(signed.sha256),
                        link.describe()
                    );
                    self.problems.push(Problem::new(ProblemKind::Changed, what).at(&object.key));
                }
            }
        }
    }

    /// Reports lines behind the end of the log at the newest checkpoint's time that claim to have been recorded before it.
    fn find_forged(&mut self) -> Result<(), SourceError> {
        let Some(link) = self.judgement.newest().filter(|_| self.judgement.confirms).copied() else { return Ok(()) };
        // The checkpoint of a log ends where the log does.
        let log_last = link.checkpoint.delivered.as_ref().map_or(link.checkpoint.last, |delivered| delivered.log_last);
        let before = link.checkpoint.time.minus(CLOCK_SKEW);
        for index in 0..self.runs.len() {
            let place = self.runs[index];
            if place.run.last <= log_last {
                continue;
            }
            let key = self.key(place.object).to_owned();
            let (from, to) = (place.run.line_of(place.run.first.max(log_last + 1)), place.run.last_line());
            let mut forged = None;
            content::each_numbered_line(self.source, &key, |number, line| {
                if number < from || number > to {
                    return number < to;
                }
                if let Ok(header) = LineReader::default().header(line)
                    && header.id.recorded_at() < before
                {
                    forged = Some(header.sequence);
                }
                forged.is_none() && number < to
            })?;
            if let Some(sequence) = forged {
                let what = format!(
                    "it claims to have been recorded before {}, when the log ended at sequence {}: it was invented",
                    link.checkpoint.time,
                    grouped(log_last)
                );
                self.report_line(ProblemKind::Forged, index, sequence, &what);
            }
        }
        Ok(())
    }
}

/// Returns whether a key of the source and a key in the bucket can be of the same object: folders can begin anywhere.
fn is_same_key(own: &str, signed: &str) -> bool {
    let ends =
        |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    ends(own, signed) || ends(signed, own)
}
