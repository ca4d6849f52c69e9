//! The report of each kind of problem, word for word.

use annals_core::log::segment::LineHash;
use annals_verify::{Expectation, line, report::Verdict, tail::Asked, verify};

use super::delivery::{Delivery, encode, gap, log, rewritten, tail};

impl Delivery {
    /// Changes the lines of the n-th object.
    fn edit(&mut self, object: usize, edit: impl FnOnce(&mut Vec<String>)) {
        let key = self.keys()[object].clone();
        let mut lines = self.lines(&key);
        edit(&mut lines);
        self.put(&key, &lines);
    }

    /// Removes the n-th object.
    fn remove(&mut self, object: usize) {
        let key = self.keys()[object].clone();
        self.objects.remove(&key);
    }

    fn text(&self) -> String {
        self.judged().to_text(9)
    }
}

#[tokio::test]
async fn a_whole_delivery_is_proven() {
    let delivery = Delivery::small().await;
    insta::assert_snapshot!(delivery.text(), @"Proven: 9 events, sequences 1 to 9, none missing, none altered; agrees with the log's tail.");
}

#[tokio::test]
async fn without_a_tail_the_end_is_not_known() {
    let mut delivery = Delivery::small().await;
    delivery.expected.tail = None;
    insta::assert_snapshot!(delivery.text(), @"Proven as far as it goes: 9 events, sequences 1 to 9, none missing, none altered. Where the log ends is not known: give its tail with --tail or --tail-url.");
}

#[tokio::test]
async fn a_tail_that_was_saved_earlier_vouches_for_what_it_can() {
    let mut delivery = Delivery::small().await;
    let fifth = delivery.lines(&delivery.keys()[1])[1].clone();
    *delivery.tail() = tail(&fifth, Asked::Earlier);
    insta::assert_snapshot!(delivery.text(), @"Proven: 9 events, sequences 1 to 9, none missing, none altered; agrees with the log's tail as it was at sequence 5, and goes on behind it.");
    delivery.tail().hash = LineHash([7; 32]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its hash is not the tail's: it was changed, or it and lines before it were written anew so that they fit each other
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn objects_that_are_missing() {
    let mut delivery = Delivery::small().await;
    delivery.remove(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 2 objects with 6 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 6: 3 events between line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: whole objects, or the end of the one or the beginning of the other
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_first_object_is_missed_only_where_it_is_expected() {
    let mut delivery = Delivery::small().await;
    delivery.remove(0);
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 6 events, sequences 4 to 9, none missing, none altered; agrees with the log's tail.

    Note: it begins with sequence 4, and nothing says that it should: --first 4 would.
    ");
    delivery.expected.first = Some(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 2 objects with 6 events, sequences 4 to 9.

    1. MISSING: sequences 1 to 3: 3 events before 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, which is the first there is
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.
    ");
}

#[tokio::test]
async fn lines_that_are_missing_within_an_object() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.remove(1)));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 8 events, sequences 1 to 9.

    1. MISSING: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: 1 event between line 1 and line 2
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_beginning_of_an_object_that_is_missing() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.drain(..2)));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 7 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 5: 2 events between 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, which begins in the middle of what was recorded at once: its own beginning is cut
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.
    ");
}

#[tokio::test]
async fn events_that_expired_before_their_delivery() {
    let mut delivery = Delivery::small().await;
    let last = gap(&delivery.lines(&delivery.keys()[2])[2], 4, 5);
    *delivery.tail() = tail(&last, Asked::Earlier);
    delivery.edit(2, |lines| lines[2] = last);
    delivery.remove(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 2 problems in 2 objects with 6 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 5: 2 events expired before delivery, as the log itself says in its event destination.gap, sequence 9
       Next: nothing was taken away: these events expired in the log before the bucket accepted them; look at when the destination was failing, and keep events longer.

    2. MISSING: sequence 6: 1 event between line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: whole objects, or the end of the one or the beginning of the other
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_line_that_was_changed() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines[1] = lines[1].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its hash is not the one that line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json has for it, and that line is as the line behind it says
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn the_last_line_of_an_object_that_was_changed() {
    let mut delivery = Delivery::small().await;
    delivery.edit(0, |lines| lines[2] = lines[2].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json, sequence 3: its hash is not the one that line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json has for it, and that line is as the line behind it says
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn a_previous_hash_that_was_changed() {
    let mut delivery = Delivery::small().await;
    let forged = |lines: &mut Vec<String>| lines[0] = rewritten(&lines[0], 4, &LineHash([7; 32]), "", "");
    delivery.edit(1, forged);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 4: its previousHash was changed, and nothing else: with the hash of the line before in its place it is what was delivered
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn two_neighbours_that_were_changed() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| {
        lines[0] = lines[0].replace("Ada", "Eve");
        lines[1] = lines[1].replace("Ada", "Eve");
    });
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: neither is its previousHash the hash of the line before, nor its hash what comes behind it says: it was changed, and perhaps the line before too
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn the_last_line_of_all_is_held_against_the_tail() {
    let mut delivery = Delivery::small().await;
    delivery.edit(2, |lines| lines[2] = lines[2].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequence 9: its hash is not the tail's: it was changed, or it and lines before it were written anew so that they fit each other
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
    delivery.expected.tail = None;
    assert_eq!(delivery.judged().verdict, Verdict::Proven, "nothing but the tail can tell");
}

#[tokio::test]
async fn a_stretch_that_was_written_anew() {
    let mut delivery = Delivery::small().await;
    delivery.edit(2, |lines| {
        let hash = line::LineReader::default().header(lines[0].as_bytes()).unwrap().previous;
        lines[0] = rewritten(&lines[0], 7, &hash, "Ada", "Eve");
        lines[1] = rewritten(&lines[1], 8, &LineHash::of(&lines[0]), "", "");
        lines[2] = rewritten(&lines[2], 9, &LineHash::of(&lines[1]), "", "");
    });
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequence 9: its hash is not the tail's: it was changed, or it and lines before it were written anew so that they fit each other
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn lines_that_are_out_of_order() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.swap(0, 1));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. REORDERED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 4: sequence 6 should be here: lines are not in order (2 places)
       Next: Annals delivers each line once and in order: see what rewrote the object, and take a fresh copy of it.
    ");
}

#[tokio::test]
async fn a_line_that_is_there_twice() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.insert(2, lines[1].clone()));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. DUPLICATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: already there at line 2
       Next: Annals delivers each line once and in order: see what rewrote the object, and take a fresh copy of it.
    ");
}

#[tokio::test]
async fn identical_copies_are_only_noted() {
    let mut delivery = Delivery::small().await;
    let lines: Vec<String> = delivery.keys().iter().flat_map(|key| delivery.lines(key)).collect();
    delivery.add(1, Some("7"), &lines[1..5]);
    delivery.add(2, None, &lines[4..8]);
    delivery.add(3, None, &lines[8..]);
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered; agrees with the log's tail.

    Note: sequences 5 to 8 are in 2026-12/03/2026-12-03T23-46-42-000Z-copy0002.json once more, byte for byte the same (not of a replay; a destination that was created anew delivers the last days again).
    Note: sequence 9 is in 2026-12/03/2026-12-03T23-46-43-000Z-copy0003.json once more, byte for byte the same (not of a replay; a destination that was created anew delivers the last days again).
    Note: sequences 2 to 5 are in replay/7/2026-12/03/2026-12-03T23-46-41-000Z-copy0001.json once more, byte for byte the same (a replay).
    ");
}

#[tokio::test]
async fn copies_that_differ() {
    let mut delivery = Delivery::small().await;
    let mut lines = delivery.lines(&delivery.keys()[1]);
    lines[2] = lines[2].replace("Ada", "Eve");
    delivery.add(1, None, &lines);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 4 objects with 9 events, sequences 1 to 9.

    1. TWO VERSIONS: line 3 of 2026-12/03/2026-12-03T23-46-41-000Z-copy0001.json, sequence 6: not the same as line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, which fits what is around it better
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.
    ");
}

#[tokio::test]
async fn a_replay_makes_good_what_was_missing() {
    let mut delivery = Delivery::small().await;
    let lines = delivery.lines(&delivery.keys()[1]);
    delivery.remove(1);
    delivery.add(1, Some("7"), &lines);
    insta::assert_snapshot!(delivery.text(), @"Proven: 9 events, sequences 1 to 9, none missing, none altered; agrees with the log's tail.");
}

#[tokio::test]
async fn an_object_that_ends_in_the_middle_of_a_line() {
    let mut delivery = Delivery::small().await;
    let key = delivery.keys()[1].clone();
    let whole = delivery.objects[&key].clone();
    delivery.put_content(&key, &whole[..whole.len() - 100]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 8 events, sequences 1 to 9.

    1. TRUNCATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 6: the object ends in the middle of this line
       Next: take a fresh copy of the object; if it is the same in the bucket, ask for a replay.
    ");
    delivery.put_content(&key, &whole[..whole.len() - 1]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. TRUNCATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the newline at its end is not there
       Next: take a fresh copy of the object; if it is the same in the bucket, ask for a replay.
    ");
}

#[tokio::test]
async fn compressed_content_that_breaks_off() {
    let mut delivery = Delivery::small().await;
    let key = delivery.keys()[1].clone();
    let gzip = encode(&delivery.objects[&key], true);
    delivery.objects.insert(key, gzip[..gzip.len() - 4].to_vec());
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. TRUNCATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the compressed content is damaged behind this line (unexpected end of file)
       Next: take a fresh copy of the object; if it is the same in the bucket, ask for a replay.
    ");
}

#[tokio::test]
async fn a_delivery_that_ends_before_the_tail() {
    let mut delivery = Delivery::small().await;
    delivery.remove(2);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: 6 events, sequences 1 to 6, none missing and none altered in between, but the log goes on to 9.

    1. BEHIND THE TAIL: sequences 7 to 9: 3 events behind the tail that was saved, of 2026-11-22T10:09:06.699Z: unless that is less than a delivery ago, they are missing
       Next: wait for the next delivery, ten minutes, and run again with this tail saved to a file and --tail FILE: what is missing then is missing for good; look at the destination's status.
    ");
    delivery.tail().asked = Asked::Now;
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: 6 events, sequences 1 to 6, none missing and none altered in between, but the log goes on to 9.

    1. BEHIND THE TAIL: sequences 7 to 9: 3 events behind the tail of 2026-11-22T10:09:06.699Z, which was asked for just now: they may not have been delivered yet
       Next: wait for the next delivery, ten minutes, and run again with this tail saved to a file and --tail FILE: what is missing then is missing for good; look at the destination's status.
    ");
    delivery.objects.clear();
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: no event, none missing and none altered in between, but the log goes on to 9.

    1. BEHIND THE TAIL: sequences 1 to 9: 9 events behind the tail of 2026-11-22T10:09:06.699Z, which was asked for just now: they may not have been delivered yet
       Next: wait for the next delivery, ten minutes, and run again with this tail saved to a file and --tail FILE: what is missing then is missing for good; look at the destination's status.
    ");
}

#[tokio::test]
async fn events_beyond_the_end_of_the_log() {
    let mut delivery = Delivery::small().await;
    let sixth = delivery.lines(&delivery.keys()[1])[2].clone();
    *delivery.tail() = tail(&sixth, Asked::Now);
    insta::assert_snapshot!(delivery.text(), @r#"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. BEYOND THE TAIL: 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequences 7 to 9: the log has ended at sequence 6
       Next: these events were never recorded: see who wrote the object (access logs of the bucket).
    "#);
}

#[tokio::test]
async fn a_line_of_another_organisation() {
    let mut delivery = Delivery::small().await;
    let other = log("umbrella", 1, &[9]).await.concat();
    delivery.edit(1, |lines| lines.insert(1, other[4].clone()));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. FOREIGN LINE: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the line is of another organisation, umbrella
       Next: see who wrote to the object; nothing but Annals should be able to.
    ");
}

#[tokio::test]
async fn lines_that_annals_did_not_write() {
    let mut delivery = Delivery::small().await;
    delivery.edit(0, |lines| lines.insert(0, String::new()));
    delivery.edit(1, |lines| lines[1] = lines[1].replace(r#""sequence":5"#, r#""sequence":55"#));
    delivery.edit(2, |lines| lines.push("hello".into()));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 3 problems in 3 objects with 8 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its eventId and its sequence do not belong together
       Next: see who wrote the object after its delivery (versions and access logs of the bucket), and ask for a replay of these sequences: it brings the true lines.

    2. FOREIGN LINE: line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json: it is empty
       Next: see who wrote to the object; nothing but Annals should be able to.

    3. FOREIGN LINE: line 4 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: it is no JSON: expected value at line 1 column 1
       Next: see who wrote to the object; nothing but Annals should be able to.
    ");
}

#[tokio::test]
async fn objects_that_are_not_annals() {
    let mut delivery = Delivery::small().await;
    delivery.objects.insert("notes.txt".into(), b"hello".to_vec());
    delivery.objects.insert("test-wiremock-cloud-integration.txt".into(), b"hello".to_vec());
    delivery.put("2026-11/22/2026-11-22T10-10-00-000Z-dddddddd.json", &[]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 2 problems in 4 objects with 9 events, sequences 1 to 9.

    1. FOREIGN OBJECT: notes.txt: no delivery has such a key
       Next: nothing in it was counted: if the bucket is used for more than this, give the destination's prefix with --prefix; if it is a renamed delivery, give it its name back.

    2. EMPTY OBJECT: 2026-11/22/2026-11-22T10-10-00-000Z-dddddddd.json: there is no line in it
       Next: Annals delivers no empty object: take a fresh copy, then ask for a replay.
    ");
}

#[tokio::test]
async fn the_tail_of_another_log() {
    let mut delivery = Delivery::small().await;
    let other = log("umbrella", 1, &[9]).await.concat();
    *delivery.tail() = tail(&other[8], Asked::Now);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. TAIL: the tail is that of another organisation's log than acme's
       Next: ask for the tail of this organisation's log, with a token of this organisation.
    ");
}

#[tokio::test]
async fn more_problems_than_are_shown_are_counted() {
    let mut delivery = Delivery::small().await;
    for object in 0..3 {
        delivery.edit(object, |lines| drop(lines.remove(1)));
    }
    insta::assert_snapshot!(delivery.judged().to_text(1), @"
    NOT PROVEN: 3 problems in 3 objects with 6 events, sequences 1 to 9.

    1. MISSING: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json, sequence 2: 1 event between line 1 and line 2
       Next: see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences.

    And 2 more; --json has them all.
    ");
}

#[tokio::test]
async fn an_object_full_of_rubbish_is_given_up() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.extend(std::iter::repeat_n("rubbish".to_owned(), 1000)));
    let report = delivery.judged();
    assert_eq!((report.verdict, report.problems.len()), (Verdict::Broken, 101));
    assert!(report.problems.iter().any(|problem| problem.what.starts_with("too much is wrong")));
}

#[tokio::test]
async fn programs_read_the_report_as_json() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.remove(1)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&delivery.judged()).unwrap(), @r#"
    {
      "verdict": "broken",
      "summary": "NOT PROVEN: 1 problem in 3 objects with 8 events, sequences 1 to 9.",
      "organisation": "acme",
      "objects": 3,
      "lines": 8,
      "events": 8,
      "firstSequence": 1,
      "lastSequence": 9,
      "lastHash": "f87d5962796b20b209a82c71b25f963a1ac0e65d8ceb54565da11f875f51f774",
      "tailSequence": 9,
      "behind": 0,
      "problems": [
        {
          "kind": "missing",
          "key": "2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json",
          "line": 2,
          "firstSequence": 5,
          "lastSequence": 5,
          "what": "1 event between line 1 and line 2",
          "next": "see who deleted objects (versions and access logs of the bucket), and ask for a replay of these sequences"
        }
      ],
      "notes": []
    }
    "#);
}

#[tokio::test]
async fn nothing_at_all_is_no_proof() {
    let error = verify(&std::collections::BTreeMap::new(), &Expectation::default()).unwrap_err();
    insta::assert_snapshot!(error, @"there is no delivered object here (0 others): is this the right folder, bucket and prefix?");
}
