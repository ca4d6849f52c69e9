//! What checkpoints prove, and what is found of those who delete, replay, replace or forge them.

use std::time::Duration;

use annals_core::{
    log::segment::LineHash,
    proof::checkpoint::{Entry, SignedObject},
};
use annals_verify::{
    AsOf,
    keys::Keys,
    report::{ProblemKind, Report, Verdict},
    state::State,
    tail::Tail,
};

use super::{
    delivery::{Delivery, content, encode, gap, invented, rewritten, sequence},
    signing::{Chain, NAME, Signer, entry},
};

/// The kinds of the problems, in order, each once.
fn kinds(report: &Report) -> Vec<ProblemKind> {
    let mut kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// What is proven, as pairs of sequences.
fn proven(report: &Report) -> Vec<(u64, u64)> {
    report.proven.iter().map(|proven| (proven.first_sequence, proven.last_sequence)).collect()
}

fn unconfirmed(report: &Report) -> Vec<(u64, u64)> {
    report.unconfirmed.iter().map(|stretch| (stretch.first_sequence, stretch.last_sequence)).collect()
}

fn signer() -> Signer {
    Signer::new(NAME, 1)
}

async fn signed() -> (Delivery, Chain) {
    Delivery::small().await.signed(&signer())
}

impl Delivery {
    fn without_keys(&self) -> Self {
        let mut other = self.clone();
        other.expected.keys = Keys::default();
        other
    }

    /// Rewrites everything from sequence `first` on, so that the lines match each other.
    fn rewrite_from(&mut self, first: u64) {
        let mut hash: Option<LineHash> = None;
        for key in self.data_keys() {
            let mut lines = self.lines(&key);
            for line in lines.iter_mut().filter(|line| sequence(line) >= first) {
                *line = match hash {
                    None => line.replacen("Ada", "Eve", 1),
                    Some(hash) => rewritten(line, sequence(line), &hash, "Ada", "Ada"),
                };
                hash = Some(LineHash::of(line));
            }
            self.put(&key, &lines);
        }
    }
}

#[tokio::test]
async fn a_signed_delivery_is_proven_from_its_first_to_its_last_sequence() {
    let (delivery, _) = signed().await;
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:30:30.000Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the checkpoint of 2026-11-22T10:30:30.000Z (annals-checkpoints/2026-11/22/2026-11-22T10-30-30-000Z-d.checkpoint).
      Newest checkpoint: 2026-11-22T10:30:30.000Z, signed by annals.example.com+8a079fbb.
    ");
}

#[tokio::test]
async fn without_a_key_checkpoints_confirm_nothing() {
    let (delivery, _) = signed().await;
    insta::assert_snapshot!(delivery.without_keys().check().to_text(9), @"
    CONSISTENT, NOT PROVEN: nothing is wrong with 9 events, sequences 1 to 9, but they are not proven.
      Not confirmed: sequences 1 to 9: without gaps, but not confirmed by anything that is signed or supplied.
      To confirm the end, pass the public key of the checkpoints with --key, or the log's tail with --tail or --tail-url.

    Note: 3 checkpoints here, but without the public key they confirm nothing: pass it with --key; GET /keys of the API returns it, and it should also come from somewhere that whoever writes to this bucket cannot change.
    ");
}

#[tokio::test]
async fn a_key_without_a_checkpoint_that_it_has_signed_proves_nothing() {
    let (mut delivery, _) = signed().await;
    for key in delivery.checkpoint_keys() {
        delivery.objects.remove(&key);
    }
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. NOT SIGNED: there is no checkpoint, and --key checks nothing but checkpoints
       Next: compare your key with GET /keys of the API, pass the destination's prefix, or save GET /audit/checkpoint and pass it with --tail.
    ");
    let (mut delivery, _) = signed().await;
    delivery.expected.keys = Signer::new(NAME, 2).keys();
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint, ProblemKind::Unsigned]);
}

#[tokio::test]
async fn lines_behind_the_last_checkpoint_are_not_confirmed() {
    let (mut delivery, _) = signed().await;
    let last = delivery.data_keys().pop().unwrap();
    let forged = invented(delivery.lines(&last).last().unwrap(), Duration::from_secs(1_000_000));
    delivery.add(1, None, &[forged]);
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    CONSISTENT, NOT PROVEN: nothing is wrong with 10 events, sequences 1 to 10, but only sequences 1 to 9 are proven.
      Proven: sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:30:30.000Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the checkpoint of 2026-11-22T10:30:30.000Z (annals-checkpoints/2026-11/22/2026-11-22T10-30-30-000Z-d.checkpoint).
      Newest checkpoint: 2026-11-22T10:30:30.000Z, signed by annals.example.com+8a079fbb.
      Not confirmed: sequence 10: behind sequence 9, the last one that is confirmed.
    ");
}

#[tokio::test]
async fn a_line_behind_the_end_of_the_log_that_claims_to_be_older_than_the_checkpoint_is_forged() {
    let (mut delivery, _) = signed().await;
    let last = delivery.data_keys().pop().unwrap();
    let forged = invented(delivery.lines(&last).last().unwrap(), Duration::from_secs(1));
    delivery.add(1, None, &[forged]);
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    NOT PROVEN: 1 problem in 4 objects with 10 events, sequences 1 to 10.

    1. FORGED: line 1 of 2026-12/03/2026-12-03T23-46-41-000Z-copy0001.json, sequence 10: it claims to have been recorded before 2026-11-22T10:30:30.000Z, when the log ended at sequence 9: it was invented
       Next: this event was never recorded: find out who wrote the object (object versions and access logs of the bucket).
    ");
    assert_eq!(delivery.without_keys().check().verdict, Verdict::Consistent);
}

#[tokio::test]
async fn rewritten_lines_do_not_match_the_checkpoint() {
    for first in [1, 2, 5, 8, 9] {
        let (mut delivery, _) = signed().await;
        delivery.rewrite_from(first);
        let report = delivery.check();
        assert_eq!((report.verdict, kinds(&report)), (Verdict::Broken, vec![ProblemKind::Changed]), "{first}");
        assert_ne!(delivery.without_keys().check().verdict, Verdict::Proven);
    }
    // All lines are rewritten, and the checkpoints are deleted or signed with a key of the forger's own.
    let (mut delivery, _) = signed().await;
    delivery.rewrite_from(1);
    for key in delivery.checkpoint_keys() {
        delivery.objects.remove(&key);
    }
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Unsigned]);
    assert_eq!(delivery.without_keys().check().verdict, Verdict::Consistent);
    let expected = delivery.expected.clone();
    let (mut forged, _) = delivery.signed(&Signer::new(NAME, 9));
    forged.expected = expected;
    assert_eq!(kinds(&forged.check()), [ProblemKind::Checkpoint, ProblemKind::Unsigned]);
}

#[tokio::test]
async fn an_object_that_is_deleted_is_missing_wherever_it_was() {
    for object in 0..3 {
        let (mut delivery, _) = signed().await;
        let key = delivery.data_keys().remove(object);
        delivery.objects.remove(&key);
        let report = delivery.check();
        assert_eq!((report.verdict, kinds(&report)), (Verdict::Broken, vec![ProblemKind::Missing]), "{object}");
        if object == 0 {
            insta::assert_snapshot!(report.to_text(9), @"
            NOT PROVEN: 1 problem in 2 objects with 6 events, sequences 4 to 9.

            1. MISSING: sequences 1 to 3: 3 events before 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, the first object; according to a checkpoint, delivered in 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json
               Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.

            Note: the delivery begins with sequence 4; if that is what you expect, confirm it with --first 4.
            ");
        }
    }
    let (mut delivery, _) = signed().await;
    delivery.remove_oldest();
    delivery.objects.retain(|key, _| !key.contains("annals-checkpoints"));
    assert_eq!(delivery.without_keys().check().verdict, Verdict::Consistent);
}

impl Delivery {
    fn remove_oldest(&mut self) {
        let key = self.data_keys().remove(0);
        self.objects.remove(&key);
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_deleted_is_missed() {
    for checkpoint in 0..3 {
        let (mut delivery, _) = signed().await;
        let key = delivery.checkpoint_keys().remove(checkpoint);
        delivery.objects.remove(&key);
        let report = delivery.check();
        // The end is no different from one that is not signed yet.
        let expected = if checkpoint == 2 { Verdict::Consistent } else { Verdict::Broken };
        assert_eq!(report.verdict, expected, "{checkpoint}: {}", report.to_text(9));
        if checkpoint == 1 {
            insta::assert_snapshot!(report.to_text(9), @"
            NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

            1. CHECKPOINT: annals-checkpoints/2026-11/22/2026-11-22T10-30-30-000Z-d.checkpoint: the checkpoint before it is missing (SHA-256 3fe1db4731d6676e3efc054aedc2b248be802be16073b5d297a38cb402ec904b)
               Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.
            ");
        }
    }
}

#[tokio::test]
async fn an_end_that_is_cut_consistently_shows_in_the_time_of_the_newest_checkpoint() {
    let (mut delivery, mut chain) = signed().await;
    let last_line = delivery.lines(&delivery.data_keys()[2]).pop().unwrap();
    chain.idle(&mut delivery, &last_line);
    chain.idle(&mut delivery, &last_line);
    delivery.expected.as_of = Some(AsOf::Now(chain.time));
    assert_eq!(delivery.check().verdict, Verdict::Proven);
    for key in delivery.checkpoint_keys().split_off(3) {
        delivery.objects.remove(&key);
    }
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. NO RECENT CHECKPOINT: annals-checkpoints/2026-11/22/2026-11-22T10-30-30-000Z-d.checkpoint: the newest checkpoint is of 2026-11-22T10:30:30.000Z, 48 hours before now, although there is a new one at least every day: newer checkpoints and events may have been taken away, or signing or delivery has stopped
       Next: check the destination's status; to check an archive, pass the time that the proof must be about with --as-of.
    ");
    // Somebody who asks about that time gets the answer for that time.
    let newest = delivery.checkpoint(&delivery.checkpoint_keys()[2]).time;
    delivery.expected.as_of = Some(AsOf::Time(newest.plus(Duration::from_secs(26 * 3600))));
    let report = delivery.check();
    assert_eq!((report.verdict, report.as_of), (Verdict::Proven, Some(newest.to_string())));
    delivery.expected.as_of = Some(AsOf::Time(newest.plus(Duration::from_secs(26 * 3600 + 1))));
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Silence]);
}

#[tokio::test]
async fn an_older_checkpoint_in_the_place_of_a_newer_one_is_found() {
    let (mut delivery, _) = signed().await;
    let keys = delivery.checkpoint_keys();
    let older = delivery.objects[&keys[0]].clone();
    delivery.objects.insert(keys[1].clone(), older.clone());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint]);
    let (mut delivery, _) = signed().await;
    delivery.objects.insert(keys[2].clone(), older.clone());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint]);
    // A copy that is named like its original is one that somebody has made while downloading.
    let (mut delivery, _) = signed().await;
    delivery.objects.insert(keys[0].replace(".checkpoint", " (1).checkpoint"), older);
    assert_eq!(delivery.check().verdict, Verdict::Proven);
}

#[tokio::test]
async fn checkpoints_that_are_not_of_this_log_are_named_as_what_they_are() {
    let (mut delivery, chain) = signed().await;
    let key = delivery.data_keys()[0].clone();
    let entries = vec![entry(&delivery, &key)];
    let checkpoint = chain.checkpoint(9, LineHash([7; 32]), 9, entries);
    let mut put = |name: &str, note: Vec<u8>| {
        delivery.objects.insert(format!("annals-checkpoints/{name}.checkpoint"), note);
    };
    let mut umbrella = checkpoint.clone();
    umbrella.organisation = "umbrella".parse().unwrap();
    put("another-organisation", signer().note(&umbrella));
    let mut other = checkpoint.clone();
    other.signer = "other.example.com".parse().unwrap();
    put("another-deployment", Signer::new("other.example.com", 1).note(&other));
    put("another-key", Signer::new(NAME, 2).note(&checkpoint));
    let note = String::from_utf8(signer().note(&checkpoint)).unwrap();
    put("changed", note.replacen("first 1", "first 2", 1).into_bytes());
    put("cut", note.as_bytes()[..note.len() - 20].to_vec());
    put("empty", Vec::new());
    put("not-in-the-chain", note.into_bytes());
    insta::assert_snapshot!(delivery.check().to_text(9), @"
    NOT PROVEN: 7 problems in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequence 9: its hash does not match the checkpoint of 2026-11-22T10:40:30.000Z (annals-checkpoints/not-in-the-chain.checkpoint): the line was changed, or it and the lines before it were rewritten to match each other
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.

    2. CHECKPOINT: annals-checkpoints/another-deployment.checkpoint: it is a checkpoint of another deployment: it names the signer other.example.com
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    3. CHECKPOINT: annals-checkpoints/another-key.checkpoint: it has no valid signature of a trusted key: it is unsigned, damaged, or signed with an unknown key
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    4. CHECKPOINT: annals-checkpoints/another-organisation.checkpoint: it is a checkpoint of another organisation, umbrella
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    5. CHECKPOINT: annals-checkpoints/changed.checkpoint: it has no valid signature of a trusted key: it is unsigned, damaged, or signed with an unknown key
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    6. CHECKPOINT: annals-checkpoints/cut.checkpoint: it is damaged, or no checkpoint: malformed note
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    7. CHECKPOINT: annals-checkpoints/empty.checkpoint: it is damaged, or no checkpoint: malformed note
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.
    ");
}

#[tokio::test]
async fn an_object_with_other_bytes_is_changed_even_if_its_lines_are_the_same() {
    let (mut delivery, _) = signed().await;
    let key = delivery.data_keys()[1].clone();
    let plain = delivery.objects[&key].clone();
    delivery.objects.insert(key, encode(&plain, true));
    let report = delivery.check();
    let [problem] = report.problems.as_slice() else { panic!("{}", report.to_text(9)) };
    assert!(problem.what.starts_with("the object is not as it was delivered: "), "{}", problem.what);
}

#[tokio::test]
async fn the_events_of_a_missing_object_may_be_somewhere_else() {
    let (mut delivery, _) = signed().await;
    let keys = delivery.data_keys();
    let lines: Vec<String> = keys[..2].iter().flat_map(|key| delivery.lines(key)).collect();
    for key in &keys[..2] {
        delivery.objects.remove(key);
    }
    delivery.objects.insert("collected/events.ndjson".into(), content(&lines));
    assert_eq!(delivery.check().verdict, Verdict::Proven, "{}", delivery.check().to_text(9));
}

#[tokio::test]
async fn what_expired_is_explained_by_a_trusted_checkpoint_or_by_annals_own_event_and_by_nobody_else() {
    // Sequences 4 to 6 are not there. The checkpoint of the last object can say so, and so can its last line.
    for (by_checkpoint, by_event, expected) in [
        (false, None, vec![ProblemKind::Missing]),
        (true, None, vec![ProblemKind::MissingExplained]),
        (false, Some("annals"), vec![ProblemKind::MissingExplained]),
        (false, Some("token/0123456789AB"), vec![ProblemKind::Missing]),
        (false, Some("platform"), vec![ProblemKind::Missing]),
    ] {
        let mut delivery = Delivery::small().await;
        let keys = delivery.data_keys();
        delivery.objects.remove(&keys[1]);
        if let Some(recorded_by) = by_event {
            let mut lines = delivery.lines(&keys[2]);
            lines[2] = gap(&lines[2], recorded_by, 4, 6);
            delivery.put(&keys[2], &lines);
        }
        let signer = signer();
        let mut chain = Chain::new(&signer, 1);
        chain.cover(&mut delivery, &keys[0]);
        let last = delivery.lines(&keys[2]).pop().unwrap();
        let mut entries = vec![entry(&delivery, &keys[2])];
        if by_checkpoint {
            entries.insert(0, Entry::Expired(4..=6));
        }
        let checkpoint = chain.checkpoint(9, LineHash::of(&last), 9, entries);
        chain.add(&mut delivery, &checkpoint);
        (delivery.expected.tail, delivery.expected.keys) = (None, signer.keys());
        let report = delivery.check();
        assert_eq!(kinds(&report), expected, "{}", report.to_text(9));
        // Without a key nothing confirms the explanation.
        assert_eq!(kinds(&delivery.without_keys().check()), [ProblemKind::Missing]);
        // Who begins after the gap does not ask about it, and what was delivered before it is signed.
        delivery.expected.first = Some(7);
        let report = delivery.check();
        assert_eq!((report.verdict, proven(&report)), (Verdict::Proven, vec![(1, 3), (7, 9)]), "{}", report.to_text(9));
    }
}

#[tokio::test]
async fn after_a_change_of_keys_the_old_key_is_trusted_only_before_it() {
    let (old, new) = (signer(), Signer::new(NAME, 2));
    let mut delivery = Delivery::small().await;
    let keys = delivery.data_keys();
    let mut chain = Chain::new(&old, 1);
    chain.cover(&mut delivery, &keys[0]);
    chain.next_key = Some(new.verifier.clone());
    chain.cover(&mut delivery, &keys[1]);
    let (before, changed) = (chain.clone(), chain.time);
    chain.signer = new.clone();
    chain.cover(&mut delivery, &keys[2]);
    delivery.expected.tail = None;
    delivery.expected.as_of = Some(AsOf::Now(chain.time));
    let check = |delivery: &Delivery, keys: &Keys| {
        let mut delivery = delivery.clone();
        delivery.expected.keys = keys.clone();
        delivery.check()
    };
    // The chain leads back from the new key, and the announcement forward from the old one.
    let all = [new.keys_after(&old, None), new.keys(), old.keys()];
    for keys in &all {
        let report = check(&delivery, keys);
        assert_eq!((report.verdict, proven(&report)), (Verdict::Proven, vec![(1, 9)]), "{}", report.to_text(9));
    }
    // Whoever has the old key goes on with it.
    let mut forged = delivery.clone();
    let newest = forged.checkpoint_keys().pop().unwrap();
    forged.objects.remove(&newest);
    forged.rewrite_from(7);
    let mut forger = before;
    forger.cover(&mut forged, &keys[2]);
    for keys in &all {
        let report = check(&forged, keys);
        assert_eq!(
            (report.verdict, kinds(&report)[0]),
            (Verdict::Broken, ProblemKind::Checkpoint),
            "{}",
            report.to_text(9)
        );
    }
    insta::assert_snapshot!(check(&forged, &all[0]).to_text(9), @"
    NOT PROVEN: 4 problems in 3 objects with 9 events, sequences 1 to 9.

    1. CHECKPOINT: annals-checkpoints/2026-11/22/2026-11-22T10-10-30-000Z-d.checkpoint: it is signed with the past key annals.example.com+8a079fbb, and no checkpoint that is signed with the current key leads back to it: whoever has the past key can have forged it
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    2. CHECKPOINT: annals-checkpoints/2026-11/22/2026-11-22T10-20-30-000Z-d.checkpoint: it is signed with the past key annals.example.com+8a079fbb, and no checkpoint that is signed with the current key leads back to it: whoever has the past key can have forged it
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    3. CHECKPOINT: annals-checkpoints/2026-11/22/2026-11-22T10-30-30-000Z-d.checkpoint: it is signed with the past key annals.example.com+8a079fbb, and no checkpoint that is signed with the current key leads back to it: whoever has the past key can have forged it
       Next: find out who wrote or deleted objects (object versions and access logs of the bucket); if a checkpoint is not of this log, delete it or ignore it with --ignore.

    4. NOT SIGNED: none of 3 checkpoints is signed by the current key, annals.example.com+d78c6b6d
       Next: compare your key with GET /keys of the API, pass the destination's prefix, or save GET /audit/checkpoint and pass it with --tail.
    ");
    // An archive from before the change.
    let mut archive = delivery.clone();
    archive.objects.remove(&newest);
    archive.objects.remove(&keys[2]);
    archive.expected.as_of = Some(AsOf::Time(changed));
    assert_eq!(check(&archive, &new.keys_after(&old, Some(changed))).verdict, Verdict::Proven);
    assert_eq!(check(&archive, &new.keys_after(&old, None)).verdict, Verdict::Broken);
    archive.expected.as_of = Some(AsOf::Time(changed.plus(Duration::from_secs(1))));
    assert_eq!(check(&archive, &new.keys_after(&old, Some(changed))).verdict, Verdict::Broken);
}

#[tokio::test]
async fn a_destination_that_is_created_again_has_a_chain_of_its_own() {
    let (mut delivery, mut first) = signed().await;
    let lines: Vec<String> = delivery.data_keys().iter().flat_map(|key| delivery.lines(key)).collect();
    let mut second = Chain { destination: "00000000000e", previous: None, first: 7, ..first.clone() };
    let copy = delivery.add(1, None, &lines[6..]);
    let copies = second.cover(&mut delivery, &copy);
    let report = delivery.check();
    assert_eq!((report.verdict, proven(&report)), (Verdict::Proven, vec![(1, 9)]), "{}", report.to_text(9));
    // The first destination was deleted: nothing more is signed for it, and the second one covers what follows.
    let line = lines[8].clone();
    second.idle(&mut delivery, &line);
    second.idle(&mut delivery, &line);
    delivery.expected.as_of = Some(AsOf::Now(second.time));
    assert_eq!(delivery.check().verdict, Verdict::Proven);
    // Each chain must be whole.
    let mut broken = delivery.clone();
    broken.objects.remove(&copies);
    assert_eq!(kinds(&broken.check()), [ProblemKind::Checkpoint]);
    // What only the first one delivered must be there, too.
    let mut broken = delivery.clone();
    broken.remove_oldest();
    assert_eq!(kinds(&broken.check()), [ProblemKind::Missing]);
    // The checkpoints of an ended destination that only a past key has signed do not count, and are no forgery.
    let new = Signer::new(NAME, 2);
    let mut third = Chain { destination: "00000000000f", previous: None, signer: new.clone(), ..second.clone() };
    third.first = 1;
    third.idle(&mut delivery, &line);
    delivery.expected.keys = new.keys_after(&first.signer, None);
    delivery.expected.as_of = Some(AsOf::Now(third.time));
    let report = delivery.check();
    assert_eq!((report.verdict, report.notes.len()), (Verdict::Proven, 3), "{}", report.to_text(9));
    // Newer ones are.
    first.time = third.time;
    first.idle(&mut delivery, &line);
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint]);
}

#[tokio::test]
async fn a_saved_checkpoint_is_a_tail() {
    let (mut delivery, chain) = signed().await;
    let lines: Vec<String> = delivery.data_keys().iter().flat_map(|key| delivery.lines(key)).collect();
    let mut checkpoint = chain.checkpoint(9, LineHash::of(&lines[8]), 9, Vec::new());
    checkpoint.delivered = None;
    let note = signer().note(&checkpoint);
    delivery.objects.clear();
    delivery.objects.insert("events.ndjson".into(), content(&lines));
    delivery.expected.tail = Some(Tail::parse_saved("checkpoint.txt", &note).unwrap());
    let report = delivery.check();
    assert_eq!((report.verdict, proven(&report)), (Verdict::Proven, vec![(1, 9)]), "{}", report.to_text(9));
    assert_eq!(delivery.without_keys().check().verdict, Verdict::Proven, "whoever supplies it vouches for it");
    // With a key, it must be signed with it.
    let note = Signer::new(NAME, 2).note(&checkpoint);
    delivery.expected.tail = Some(Tail::parse_saved("checkpoint.txt", &note).unwrap());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint, ProblemKind::Unsigned]);
    // And it is of one organisation.
    checkpoint.organisation = "umbrella".parse().unwrap();
    delivery.expected.tail = Some(Tail::parse_saved("checkpoint.txt", &signer().note(&checkpoint)).unwrap());
    assert_eq!(delivery.check().verdict, Verdict::Broken);
}

#[tokio::test]
async fn a_list_of_objects_can_be_a_file_of_its_own() {
    let mut delivery = Delivery::small().await;
    let keys = delivery.data_keys();
    let signer = signer();
    let mut chain = Chain::new(&signer, 1);
    let last = delivery.lines(&keys[2]).pop().unwrap();
    let mut entries: Vec<Entry> = keys.iter().map(|key| entry(&delivery, key)).collect();
    // Replays, so that they do not fit.
    entries.extend((0..60).map(|number| {
        let key = format!("replay/7/2026-11/22/2026-11-22T10-10-00-000Z-{number:08}.json");
        Entry::Object(SignedObject { sequences: 1..=3, content: None, key })
    }));
    let mut checkpoint = chain.checkpoint(9, LineHash::of(&last), 9, entries);
    let file = checkpoint.outsource_entries("annals-checkpoints/x.entries").unwrap();
    chain.add(&mut delivery, &checkpoint);
    (delivery.expected.tail, delivery.expected.keys) = (None, signer.keys());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint], "it is missing");
    delivery.objects.insert("annals-checkpoints/x.entries".into(), file.clone().into_bytes());
    assert_eq!(delivery.check().verdict, Verdict::Proven, "{}", delivery.check().to_text(9));
    let plain = delivery.objects[&keys[1]].clone();
    delivery.objects.insert(keys[1].clone(), encode(&plain, true));
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Changed], "the list is compared");
    delivery.objects.insert("annals-checkpoints/x.entries".into(), file.replacen("1-3", "1-4", 1).into_bytes());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Checkpoint], "another list is none");
    // One that nothing names was left behind by a run that ended early.
    delivery.objects.insert("annals-checkpoints/x.entries".into(), file.into_bytes());
    delivery.objects.insert("annals-checkpoints/y.entries".into(), b"expired 1-2\n".to_vec());
    delivery.objects.insert(keys[1].clone(), plain);
    assert_eq!(delivery.check().verdict, Verdict::Proven, "{}", delivery.check().to_text(9));
    delivery.objects.insert("annals-checkpoints/y.entries".into(), b"hello".to_vec());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::ForeignObject]);
}

#[tokio::test]
async fn a_destination_that_an_earlier_version_began_is_proven_from_its_signed_beginning_on() {
    let mut delivery = Delivery::small().await;
    let keys = delivery.data_keys();
    delivery.objects.remove(&keys[0]);
    let signer = signer();
    let mut chain = Chain::new(&signer, 7);
    chain.cover(&mut delivery, &keys[2]);
    (delivery.expected.tail, delivery.expected.keys) = (None, signer.keys());
    let report = delivery.check();
    assert_eq!((report.verdict, proven(&report)), (Verdict::Consistent, vec![(7, 9)]), "{}", report.to_text(9));
    assert_eq!(unconfirmed(&report), [(4, 6)]);
    delivery.expected.first = Some(4);
    let report = delivery.check();
    assert_eq!((report.verdict, proven(&report)), (Verdict::Proven, vec![(4, 9)]), "{}", report.to_text(9));
}

#[tokio::test]
async fn a_run_begins_where_the_one_before_it_ended_and_reaches_at_least_as_far() {
    let (delivery, mut chain) = signed().await;
    let state = delivery.check().state(None).unwrap();
    assert_eq!((state.first, state.last), (1, 9));
    // Everything that the state covers may be gone, and new events continue it.
    let last = delivery.lines(&delivery.data_keys()[2]).pop().unwrap();
    let mut later = delivery.clone();
    let tenth = invented(&last, Duration::from_secs(100));
    let key = later.add(1, None, std::slice::from_ref(&tenth));
    chain.cover(&mut later, &key);
    later.expected.as_of = Some(AsOf::Now(chain.time));
    let mut only_new = later.clone();
    let keep = [key.clone(), later.checkpoint_keys().pop().unwrap()];
    only_new.objects.retain(|key, _| keep.contains(key));
    assert_eq!(only_new.check().verdict, Verdict::Broken, "without the state, the rest is missing");
    for delivery in [&only_new, &later] {
        let mut delivery = delivery.clone();
        delivery.expected.state = Some(state.clone());
        let report = delivery.check();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
        let next = report.state(Some(state.clone())).unwrap();
        assert_eq!((next.first, next.last, next.hash), (1, 10, LineHash::of(&tenth)));
        // With that state, the bucket as it was before is too short.
        let mut older = self::signed().await.0;
        older.expected.as_of = delivery.expected.as_of;
        older.expected.state = Some(next);
        assert_eq!(kinds(&older.check()), [ProblemKind::Missing, ProblemKind::State]);
    }
    // Nothing new.
    let mut same = delivery.clone();
    same.expected.state = Some(state.clone());
    let report = same.check();
    assert_eq!((report.verdict, report.state(Some(state.clone()))), (Verdict::Proven, Some(state.clone())));
    for key in same.data_keys() {
        same.objects.remove(&key);
    }
    let report = same.check();
    assert_eq!((report.verdict, report.state(Some(state.clone()))), (Verdict::Proven, Some(state.clone())));
    // Another history.
    let mut rewritten = delivery.clone();
    rewritten.rewrite_from(3);
    let (mut rewritten, _) = rewritten.signed(&signer());
    rewritten.expected.state = Some(state.clone());
    assert_eq!(kinds(&rewritten.check()), [ProblemKind::Changed, ProblemKind::State]);
    assert_eq!(rewritten.check().state(Some(state.clone())), None);
    // Another organisation.
    let mut foreign = delivery.clone();
    foreign.expected.state = Some(State { organisation: "umbrella".parse().unwrap(), ..state });
    assert!(kinds(&foreign.check()).contains(&ProblemKind::State));
}

#[tokio::test]
async fn an_object_of_which_only_the_key_is_known_must_have_its_events() {
    let mut delivery = Delivery::small().await;
    let keys = delivery.data_keys();
    let signer = signer();
    let mut chain = Chain::new(&signer, 1);
    let last = delivery.lines(&keys[2]).pop().unwrap();
    let entries = keys.iter().map(|key| match entry(&delivery, key) {
        Entry::Object(object) => Entry::Object(SignedObject { content: None, ..object }),
        entry => entry,
    });
    let checkpoint = chain.checkpoint(9, LineHash::of(&last), 9, entries.collect());
    chain.add(&mut delivery, &checkpoint);
    (delivery.expected.tail, delivery.expected.keys) = (None, signer.keys());
    assert_eq!(delivery.check().verdict, Verdict::Proven);
    // Somebody else's object took the key.
    delivery.put(&keys[1], &[]);
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Missing, ProblemKind::EmptyObject]);
}

#[tokio::test]
async fn a_destination_that_has_not_delivered_anything_yet_is_empty() {
    let mut delivery = Delivery::small().await;
    delivery.objects.clear();
    let signer = signer();
    let mut chain = Chain::new(&signer, 1);
    let checkpoint = chain.checkpoint(0, LineHash::ORIGIN, 0, Vec::new());
    chain.add(&mut delivery, &checkpoint);
    (delivery.expected.tail, delivery.expected.keys) = (None, signer.keys());
    let report = delivery.check();
    assert_eq!((report.verdict, unconfirmed(&report)), (Verdict::Proven, Vec::new()), "{}", report.to_text(9));
}

#[tokio::test]
async fn other_checkpoints_do_not_hide_that_deliveries_have_stopped() {
    let (delivery, mut chain) = signed().await;
    let hash = LineHash::of(&delivery.lines(&delivery.data_keys()[2])[2]);
    let last_week = chain.time;
    chain.time = last_week.plus(Duration::from_secs(7 * 24 * 3600));
    // The checkpoint of the log, which anyone who may read can get.
    let mut log = chain.checkpoint(9, hash, 9, Vec::new());
    log.delivered = None;
    let mut with_log = delivery.clone();
    with_log.objects.insert("annals-checkpoints/log.checkpoint".into(), signer().note(&log));
    with_log.expected.as_of = Some(AsOf::Now(chain.time));
    assert_eq!(kinds(&with_log.check()), [ProblemKind::Silence]);
    // It also says how long the log is.
    let mut longer = log.clone();
    (longer.last, longer.time) = (60, last_week);
    let mut behind = delivery.clone();
    behind.expected.as_of = Some(AsOf::Now(last_week));
    behind.objects.insert("annals-checkpoints/log.checkpoint".into(), signer().note(&longer));
    let report = behind.check();
    assert_eq!((report.verdict, kinds(&report)), (Verdict::Behind, vec![ProblemKind::Behind]), "{}", report.to_text(9));
    assert!(report.summary.contains("goes on to sequence 60"), "{}", report.summary);
    // Another destination, which goes on but lags.
    let mut other = Chain { destination: "00000000000e", time: chain.time, ..Chain::new(&signer(), 1) };
    let mut lagging = delivery.clone();
    let lines = delivery.lines(&delivery.data_keys()[0]);
    let checkpoint = other.checkpoint(lines.len() as u64, LineHash::of(lines.last().unwrap()), 9, Vec::new());
    other.add(&mut lagging, &checkpoint);
    lagging.expected.as_of = Some(AsOf::Now(chain.time));
    let report = lagging.check();
    assert_eq!(kinds(&report), [ProblemKind::Silence], "{}", report.to_text(9));
}

#[tokio::test]
async fn a_replaced_key_signs_for_no_destination_and_no_log_a_day_later() {
    let (old, new) = (signer(), Signer::new(NAME, 2));
    let mut delivery = Delivery::small().await;
    let keys = delivery.data_keys();
    let mut chain = Chain::new(&old, 1);
    chain.cover(&mut delivery, &keys[0]);
    chain.next_key = Some(new.verifier.clone());
    chain.cover(&mut delivery, &keys[1]);
    chain.signer = new.clone();
    chain.cover(&mut delivery, &keys[2]);
    delivery.expected.tail = None;
    delivery.expected.keys = old.keys();
    let last_line = delivery.lines(&keys[2]).pop().unwrap();
    for _ in 0..3 {
        chain.idle(&mut delivery, &last_line);
    }
    delivery.expected.as_of = Some(AsOf::Now(chain.time));
    let report = delivery.check();
    assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
    // The old key signs an invented line for a destination that never was, and for the log.
    let line = invented(&last_line, Duration::from_secs(3 * 86_400));
    delivery.put("2026-11/25/2026-11-25T10-10-00-000Z-invented.json", std::slice::from_ref(&line));
    let forger = Chain { destination: "00000000000f", time: chain.time, ..Chain::new(&old, 10) };
    let checkpoint = forger.checkpoint(10, LineHash::of(&line), 10, Vec::new());
    let mut log = checkpoint.clone();
    log.delivered = None;
    for checkpoint in [checkpoint, log] {
        let mut forged = delivery.clone();
        forged.objects.insert("annals-checkpoints/forged.checkpoint".into(), old.note(&checkpoint));
        let report = forged.check();
        assert_eq!(report.verdict, Verdict::Broken, "{}", report.to_text(9));
        assert!(kinds(&report).contains(&ProblemKind::Checkpoint), "{}", report.to_text(9));
    }
}

#[tokio::test]
async fn a_hole_behind_lines_that_are_here_is_missing_whatever_an_earlier_run_has_proven() {
    let (mut delivery, _) = signed().await;
    let state = delivery.check().state(None).unwrap();
    delivery.objects.remove(&delivery.data_keys()[1]);
    delivery.expected.state = Some(state.clone());
    assert_eq!(kinds(&delivery.check()), [ProblemKind::Missing]);
    // Older objects may be absent.
    delivery.objects.remove(&delivery.data_keys()[0]);
    let report = delivery.check();
    assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
    // Not even checkpoints reach as far as the state.
    let (mut cut, _) = signed().await;
    cut.expected.state = Some(State { last: 40, checkpoint: None, ..state });
    for key in cut.data_keys() {
        cut.objects.remove(&key);
    }
    assert!(kinds(&cut.check()).contains(&ProblemKind::State));
}
