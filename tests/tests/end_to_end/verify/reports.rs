//! The report of each kind of problem, word for word.

use annals_core::log::segment::LineHash;
use annals_verify::{Expectation, line, report::Verdict, tail::Fetched, verify};

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
        self.check().to_text(9)
    }
}

#[tokio::test]
async fn a_complete_delivery_is_proven() {
    let delivery = Delivery::small().await;
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.
    ");
}

#[tokio::test]
async fn without_a_tail_the_end_is_not_proven() {
    let mut delivery = Delivery::small().await;
    delivery.expected.tail = None;
    insta::assert_snapshot!(delivery.text(), @"
    CONSISTENT, NOT PROVEN: nothing is wrong with 9 events, sequences 1 to 9, but they are not proven.
      Not confirmed: sequences 1 to 9: without gaps, but not confirmed by anything that is signed or supplied.
      To confirm the end, pass the public key of the checkpoints with --key, or the log's tail with --tail or --tail-url.
    ");
}

#[tokio::test]
async fn an_older_tail_confirms_the_events_up_to_it() {
    let mut delivery = Delivery::small().await;
    let fifth = delivery.lines(&delivery.keys()[1])[1].clone();
    *delivery.tail() = tail(&fifth, Fetched::Earlier);
    insta::assert_snapshot!(delivery.text(), @"
    CONSISTENT, NOT PROVEN: nothing is wrong with 9 events, sequences 1 to 9, but only sequences 1 to 5 are proven.
      Proven: sequences 1 to 5, none missing, none altered, as of 2026-11-22T10:07:53.330Z.
      From sequence 1: the beginning of the log.
      To sequence 5: the log's tail.
      Not confirmed: sequences 6 to 9: behind sequence 5, the last one that is confirmed.
    ");
    delivery.tail().hash = LineHash([7; 32]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its hash does not match the tail: the line was changed, or it and the lines before it were rewritten to match each other
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn objects_that_are_missing() {
    let mut delivery = Delivery::small().await;
    delivery.remove(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 2 objects with 6 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 6: 3 events between line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: whole objects, or the end of the first or the beginning of the second
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_first_object_is_missing_only_if_it_is_expected() {
    let mut delivery = Delivery::small().await;
    delivery.remove(0);
    insta::assert_snapshot!(delivery.text(), @"
    CONSISTENT, NOT PROVEN: nothing is wrong with 6 events, sequences 4 to 9, but they are not proven.
      Not confirmed: sequences 4 to 9: unaltered, because the hash of sequence 9 is confirmed, but nothing confirms that none is missing before sequence 4.

    Note: the delivery begins with sequence 4; if that is what you expect, confirm it with --first 4.
    ");
    delivery.expected.first = Some(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 2 objects with 6 events, sequences 4 to 9.

    1. MISSING: sequences 1 to 3: 3 events before 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, the first object
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.

    Note: the delivery begins with sequence 4; if that is what you expect, confirm it with --first 4.
    ");
}

#[tokio::test]
async fn a_delivery_that_ends_before_the_stated_beginning_proves_nothing() {
    let mut delivery = Delivery::small().await;
    delivery.expected.first = Some(10);
    assert_eq!(delivery.check().verdict, Verdict::Proven, "nothing was recorded behind the ninth event");
    delivery.expected.first = Some(50);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. MISSING: sequence 50: the delivery ends with sequence 9, before the stated beginning
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.

    Note: the delivery begins with sequence 1, earlier than expected (50).
    ");
}

#[tokio::test]
async fn lines_that_are_missing_within_an_object() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.remove(1)));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 8 events, sequences 1 to 9.

    1. MISSING: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: 1 event between line 1 and line 2
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_missing_beginning_of_an_object() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.drain(..2)));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 7 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 5: 2 events between 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the latter begins in the middle of a batch, so its beginning is missing
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.
    ");
}

#[tokio::test]
async fn events_that_expired_before_their_delivery() {
    let mut delivery = Delivery::small().await;
    let last = gap(&delivery.lines(&delivery.keys()[2])[2], "annals", 4, 5);
    *delivery.tail() = tail(&last, Fetched::Earlier);
    delivery.edit(2, |lines| lines[2] = last);
    delivery.remove(1);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 2 problems in 2 objects with 6 events, sequences 1 to 9.

    1. MISSING: sequences 4 to 5: 2 events expired before delivery, according to the event destination.gap at sequence 9
       Next: nobody deleted anything: these events expired in the log before the bucket accepted them; find out when the destination was failing, and increase the retention; to check only what comes after them, use --first.

    2. MISSING: sequence 6: 1 event between line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json and line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: whole objects, or the end of the first or the beginning of the second
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.
    ");
}

#[tokio::test]
async fn a_line_that_was_changed() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines[1] = lines[1].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its hash does not match the previousHash of line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, and that line matches the line after it
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn the_last_line_of_an_object_that_was_changed() {
    let mut delivery = Delivery::small().await;
    delivery.edit(0, |lines| lines[2] = lines[2].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json, sequence 3: its hash does not match the previousHash of line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, and that line matches the line after it
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn a_previous_hash_that_was_changed() {
    let mut delivery = Delivery::small().await;
    let forged = |lines: &mut Vec<String>| lines[0] = rewritten(&lines[0], 4, &LineHash([7; 32]), "", "");
    delivery.edit(1, forged);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 4: only its previousHash was changed: with the hash of the line before it, the line is as delivered
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
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

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: its previousHash is not the hash of the line before it, and its own hash matches nothing after it: the line was changed, and possibly the line before it too
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn the_last_line_is_compared_with_the_tail() {
    let mut delivery = Delivery::small().await;
    delivery.edit(2, |lines| lines[2] = lines[2].replace("Ada", "Eve"));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequence 9: its hash does not match the tail: the line was changed, or it and the lines before it were rewritten to match each other
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
    delivery.expected.tail = None;
    assert_eq!(delivery.check().verdict, Verdict::Consistent, "only the tail can show it");
}

#[tokio::test]
async fn lines_that_were_rewritten_to_match_each_other() {
    let mut delivery = Delivery::small().await;
    delivery.edit(2, |lines| {
        let hash = line::LineReader::default().header(lines[0].as_bytes()).unwrap().previous;
        lines[0] = rewritten(&lines[0], 7, &hash, "Ada", "Eve");
        lines[1] = rewritten(&lines[1], 8, &LineHash::of(&lines[0]), "", "");
        lines[2] = rewritten(&lines[2], 9, &LineHash::of(&lines[1]), "", "");
    });
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. CHANGED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequence 9: its hash does not match the tail: the line was changed, or it and the lines before it were rewritten to match each other
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn lines_that_are_out_of_order() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.swap(0, 1));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. REORDERED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 4: expected sequence 6 here: the lines are out of order (2 places)
       Next: Annals delivers each line once and in order: find out what rewrote the object, and download it again.
    ");
}

#[tokio::test]
async fn a_repeated_line() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.insert(2, lines[1].clone()));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. DUPLICATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: the same event is at line 2 of this object
       Next: Annals delivers each line once and in order: find out what rewrote the object, and download it again.
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
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.

    Note: sequences 5 to 8 are also in 2026-12/03/2026-12-03T23-46-42-000Z-copy0002.json, byte for byte the same (not a replay: a destination that is deleted and created again delivers the last days again).
    Note: sequence 9 is also in 2026-12/03/2026-12-03T23-46-43-000Z-copy0003.json, byte for byte the same (not a replay: a destination that is deleted and created again delivers the last days again).
    Note: sequences 2 to 5 are also in replay/7/2026-12/03/2026-12-03T23-46-41-000Z-copy0001.json, byte for byte the same (a replay).
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

    1. TWO VERSIONS: line 3 of 2026-12/03/2026-12-03T23-46-41-000Z-copy0001.json, sequence 6: the line differs from line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, which fits its neighbours better
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.
    ");
}

#[tokio::test]
async fn a_replay_fills_a_gap() {
    let mut delivery = Delivery::small().await;
    let lines = delivery.lines(&delivery.keys()[1]);
    delivery.remove(1);
    delivery.add(1, Some("7"), &lines);
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.
    ");
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
       Next: download the object again; if it is the same in the bucket, request a replay.
    ");
    delivery.put_content(&key, &whole[..whole.len() - 1]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. TRUNCATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the newline at the end is missing
       Next: download the object again; if it is the same in the bucket, request a replay.
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

    1. TRUNCATED: line 3 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the compressed content is damaged after this line (unexpected end of file)
       Next: download the object again; if it is the same in the bucket, request a replay.
    ");
}

#[tokio::test]
async fn a_delivery_that_ends_before_the_tail() {
    let mut delivery = Delivery::small().await;
    delivery.remove(2);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: 6 events, sequences 1 to 6, but the log goes on to sequence 9.

    1. BEHIND THE TAIL: sequences 7 to 9: 3 events between the end of the delivery and the saved tail, recorded at 2026-11-22T10:09:06.699Z: unless the next delivery is still to come, they are missing
       Next: save this tail to a file, wait ten minutes for the next delivery, and run again with --tail FILE: events that are still missing then are lost; check the destination's status.
    ");
    delivery.tail().fetched = Fetched::Now;
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: 6 events, sequences 1 to 6, but the log goes on to sequence 9.

    1. BEHIND THE TAIL: sequences 7 to 9: 3 events between the end of the delivery and the tail, recorded at 2026-11-22T10:09:06.699Z, which was fetched just now: they may not have been delivered yet
       Next: save this tail to a file, wait ten minutes for the next delivery, and run again with --tail FILE: events that are still missing then are lost; check the destination's status.
    ");
    delivery.objects.clear();
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN YET: no events, but the log goes on to sequence 9.

    1. BEHIND THE TAIL: sequences 1 to 9: 9 events between the end of the delivery and the tail, recorded at 2026-11-22T10:09:06.699Z, which was fetched just now: they may not have been delivered yet
       Next: save this tail to a file, wait ten minutes for the next delivery, and run again with --tail FILE: events that are still missing then are lost; check the destination's status.
    ");
}

#[tokio::test]
async fn events_beyond_the_end_of_the_log() {
    let mut delivery = Delivery::small().await;
    let sixth = delivery.lines(&delivery.keys()[1])[2].clone();
    *delivery.tail() = tail(&sixth, Fetched::Now);
    insta::assert_snapshot!(delivery.text(), @r#"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. BEYOND THE TAIL: 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json, sequences 7 to 9: the log ends at sequence 6
       Next: these events were never recorded: find out who wrote the object (access logs of the bucket).
    "#);
}

#[tokio::test]
async fn a_line_of_another_organisation() {
    let mut delivery = Delivery::small().await;
    let other = log("umbrella", 1, &[9]).await.concat();
    delivery.edit(1, |lines| lines.insert(1, other[4].clone()));
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. FOREIGN LINE: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json: the line belongs to another organisation, umbrella
       Next: find out who wrote to the object; only Annals should be able to.
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

    1. CHANGED: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json, sequence 5: eventId and sequence do not match
       Next: find out who wrote the object after its delivery (object versions and access logs of the bucket), and request a replay of these sequences to get the original lines.

    2. FOREIGN LINE: line 1 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json: the line is empty
       Next: find out who wrote to the object; only Annals should be able to.

    3. FOREIGN LINE: line 4 of 2026-11/22/2026-11-22T10-10-00-000Z-cccccccc.json: the line is not JSON: expected value at line 1 column 1
       Next: find out who wrote to the object; only Annals should be able to.
    ");
}

#[tokio::test]
async fn objects_that_annals_did_not_write() {
    let mut delivery = Delivery::small().await;
    delivery.objects.insert("notes.txt".into(), b"hello".to_vec());
    delivery.objects.insert("test-wiremock-cloud-integration.txt".into(), b"hello".to_vec());
    delivery.put("2026-11/22/2026-11-22T10-10-00-000Z-dddddddd.json", &[]);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 2 problems in 4 objects with 9 events, sequences 1 to 9.

    1. FOREIGN OBJECT: notes.txt: it is neither events nor a checkpoint
       Next: the object was not used: if the bucket is also used for something else, pass the destination's prefix with --prefix, or ignore the object with --ignore.

    2. EMPTY OBJECT: 2026-11/22/2026-11-22T10-10-00-000Z-dddddddd.json: the object has no lines
       Next: Annals delivers no empty objects: download it again; if it is empty in the bucket, request a replay.

    Note: skipped 1 object: objects of the connection test (1).
    ");
}

#[tokio::test]
async fn what_tools_leave_behind_is_skipped_and_counted() {
    let mut delivery = Delivery::small().await;
    for key in [
        ".DS_Store",
        "2026-11/22/Thumbs.db",
        "2026-11/22/desktop.ini",
        "2026-11/22/._2026-11-22T10-10-00-000Z-aaaaaaaa.json",
        "_SUCCESS",
        "athena/2f1a3c4e-0000-4000-8000-000000000000.csv",
        "athena/2f1a3c4e-0000-4000-8000-000000000000.csv.metadata",
        "athena/2f1a3c4e-0000-4000-8000-000000000001.txt",
        "AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/22/x.json.gz",
        "test-wiremock-cloud-integration.txt",
    ] {
        delivery.objects.insert(key.into(), b"hello".to_vec());
    }
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.

    Note: skipped 10 objects: files of operating systems and tools (5), files of other services and of operating systems (1), objects of the connection test (1), results of Athena (3).
    ");
}

#[tokio::test]
async fn renamed_copies_are_only_noted() {
    let mut delivery = Delivery::small().await;
    let key = delivery.keys()[1].clone();
    let content = delivery.objects[&key].clone();
    let (folder, name) = key.rsplit_once('/').unwrap();
    delivery.objects.insert(format!("{folder}/copy of {name}"), content.clone());
    delivery.objects.insert(key.replace(".json", " (1).json"), content);
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.

    Note: sequences 4 to 6 are also in 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb (1).json, byte for byte the same (a renamed copy of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json).
    Note: sequences 4 to 6 are also in 2026-11/22/copy of 2026-11-22T10-10-00-000Z-bbbbbbbb.json, byte for byte the same (a renamed copy of 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json).
    ");
}

#[tokio::test]
async fn events_in_any_file_are_checked() {
    let mut delivery = Delivery::small().await;
    let mut lines: Vec<String> = delivery.keys().iter().flat_map(|key| delivery.lines(key)).collect();
    delivery.objects.clear();
    delivery.put("events.ndjson", &lines);
    insta::assert_snapshot!(delivery.text(), @"
    Proven: 9 events, sequences 1 to 9, none missing, none altered, as of 2026-11-22T10:09:06.699Z.
      From sequence 1: the beginning of the log.
      To sequence 9: the log's tail.
    ");
    lines[0] = lines[0].replace("Ada", "Eve");
    delivery.put("events.ndjson", &lines);
    assert_eq!(delivery.check().verdict, Verdict::Broken);
    // The first line tells, even if it was changed or has a byte order mark.
    for changed in [lines[0].replace("01", "0x"), format!("\u{feff}{}", lines[0])] {
        lines[0] = changed;
        delivery.put("events.ndjson", &lines);
        let report = delivery.check();
        let place = report.problems.iter().map(|problem| (problem.key.as_deref(), problem.line)).next();
        assert_eq!(place, Some((Some("events.ndjson"), Some(1))), "{}", report.to_text(9));
    }
}

#[tokio::test]
async fn the_tail_of_another_log() {
    let mut delivery = Delivery::small().await;
    let other = log("umbrella", 1, &[9]).await.concat();
    *delivery.tail() = tail(&other[8], Fetched::Now);
    insta::assert_snapshot!(delivery.text(), @"
    NOT PROVEN: 1 problem in 3 objects with 9 events, sequences 1 to 9.

    1. TAIL: the tail belongs to the log of another organisation than acme
       Next: fetch the tail again, with a token of this organisation.
    ");
}

#[tokio::test]
async fn problems_beyond_the_limit_are_counted() {
    let mut delivery = Delivery::small().await;
    for object in 0..3 {
        delivery.edit(object, |lines| drop(lines.remove(1)));
    }
    insta::assert_snapshot!(delivery.check().to_text(1), @"
    NOT PROVEN: 3 problems in 3 objects with 6 events, sequences 1 to 9.

    1. MISSING: line 2 of 2026-11/22/2026-11-22T10-10-00-000Z-aaaaaaaa.json, sequence 2: 1 event between line 1 and line 2
       Next: find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences.

    And 2 more: use --json to see all.
    ");
}

#[tokio::test]
async fn an_object_with_too_many_invalid_lines_is_given_up() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| lines.extend(std::iter::repeat_n("rubbish".to_owned(), 1000)));
    let report = delivery.check();
    assert_eq!((report.verdict, report.problems.len()), (Verdict::Broken, 101));
    assert!(report.problems.iter().any(|problem| problem.what.starts_with("too many errors")));
}

#[tokio::test]
async fn the_report_as_json() {
    let mut delivery = Delivery::small().await;
    delivery.edit(1, |lines| drop(lines.remove(1)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&delivery.check()).unwrap(), @r#"
    {
      "verdict": "broken",
      "summary": "NOT PROVEN: 1 problem in 3 objects with 8 events, sequences 1 to 9.",
      "organisation": "acme",
      "objects": 3,
      "lines": 8,
      "events": 8,
      "firstSequence": 1,
      "lastSequence": 9,
      "lastHash": "faea95e68eac2655456febe102d62e5068254bcaf1968367009ce6711c2b3b35",
      "tailSequence": 9,
      "behind": 0,
      "checkpoints": 0,
      "newestCheckpoint": null,
      "signers": [],
      "proven": [],
      "asOf": null,
      "unconfirmed": [],
      "lost": [],
      "skipped": 0,
      "problems": [
        {
          "kind": "missing",
          "key": "2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json",
          "line": 2,
          "firstSequence": 5,
          "lastSequence": 5,
          "what": "1 event between line 1 and line 2",
          "next": "find out who deleted objects (object versions and access logs of the bucket), and request a replay of these sequences"
        }
      ],
      "notes": []
    }
    "#);
}

#[tokio::test]
async fn a_source_without_deliveries_cannot_be_checked() {
    let error = verify(&std::collections::BTreeMap::new(), &Expectation::default()).unwrap_err();
    insta::assert_snapshot!(error, @"no delivered objects here (0 other objects): is this the right folder, bucket and prefix?");
}
