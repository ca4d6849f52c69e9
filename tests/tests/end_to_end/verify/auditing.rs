//! The commands of `infra/docs/auditing.md`, which check a delivery without our program.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use annals_core::{
    log::segment::LineHash,
    proof::checkpoint::{Entries, Entry, SignedObject},
};

use super::{
    delivery::Delivery,
    signing::{Chain, NAME, Signer, entry},
};

/// Returns the code block of the document that is named like this.
fn block(name: &str) -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/docs/auditing.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, rest) = document.split_once(&format!("```bash {name}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn write(delivery: &Delivery, folder: &Path) {
    for (key, content) in &delivery.objects {
        let file = folder.join(key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

/// Runs a block with arguments. Returns whether it succeeded, and what it printed.
pub(super) fn run(name: &str, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        Command::new("bash").arg("-c").arg(block(name)).arg(name).args(arguments).output().unwrap();
    let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.success(), printed)
}

/// Checks a delivery with the document's script.
fn check(delivery: &Delivery, key: &Signer) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    write(delivery, folder.path());
    run("check.sh", &[key.verifier.as_str(), folder.path().to_str().unwrap()])
}

#[tokio::test]
async fn the_auditors_commands_find_what_our_program_finds() {
    // A verifier key's part in base64 can contain a plus sign.
    let signer =
        (1..=255).map(|seed| Signer::new(NAME, seed)).find(|signer| signer.verifier.as_str().matches('+').count() == 3);
    let signer = signer.unwrap();
    let (delivery, chain) = Delivery::small().await.signed(&signer);
    let (passed, printed) = check(&delivery, &signer);
    assert!(passed, "{printed}");
    assert!(printed.starts_with("signed: time 2026-11-22T10:30:30.000Z\n"), "{printed}");
    assert!(printed.contains("goes back to: time 2026-11-22T10:10:30.000Z\n"), "{printed}");
    assert_eq!(printed.matches(": OK\n").count(), 3, "{printed}");

    let (passed, printed) = check(&delivery, &Signer::new(NAME, 200));
    assert!(!passed && printed.contains("is not signed with this key"), "{printed}");
    let (data, checkpoints) = (delivery.data_keys(), delivery.checkpoint_keys());
    let says = |change: &dyn Fn(&mut Delivery), expected: &str| {
        let mut changed = delivery.clone();
        change(&mut changed);
        let (passed, printed) = check(&changed, &signer);
        assert!(!passed && printed.contains(expected), "{expected}: {printed}");
    };
    says(&|changed| drop(changed.objects.remove(&checkpoints[1])), "a checkpoint is missing");
    says(&|changed| drop(changed.objects.remove(&data[1])), "FAILED open or read");
    says(&|changed| changed.put(&data[1], &[]), ": FAILED\n");
    let forged = |changed: &mut Delivery| {
        let note = String::from_utf8(changed.objects[&checkpoints[2]].clone()).unwrap();
        changed.objects.insert(checkpoints[2].clone(), note.replacen("log 9", "log 8", 1).into_bytes());
    };
    says(&forged, "is not signed with this key");

    // The hash of the last line is that of the newest checkpoint.
    let folder = tempfile::tempdir().unwrap();
    write(&delivery, folder.path());
    let (_, printed) = run("line-hash.sh", &[folder.path().join(&data[2]).to_str().unwrap()]);
    let note = String::from_utf8(delivery.objects[&checkpoints[2]].clone()).unwrap();
    assert_eq!(printed.lines().next(), note.lines().nth(2));
    let hash = LineHash::of(delivery.lines(&data[2]).last().unwrap()).to_string();
    assert_eq!(printed.lines().nth(1), Some(hash.as_str()));

    // A list of objects in a file of its own.
    let mut delivery = delivery;
    let mut entries = vec![entry(&delivery, &data[2])];
    entries.extend((0..60).map(|number| {
        let key = format!("replay/7/2026-11/22/2026-11-22T10-10-00-000Z-{number:08}.json");
        Entry::Object(SignedObject { sequences: 1..=3, content: None, key })
    }));
    let mut long = Chain { signer: signer.clone(), ..chain };
    let mut checkpoint = long.checkpoint(9, delivery.checkpoint(&checkpoints[2]).hash, 9, entries);
    let list = checkpoint.outsource_entries("annals-checkpoints/x.entries").unwrap();
    assert!(matches!(checkpoint.delivered.as_ref().unwrap().entries, Entries::Elsewhere { .. }));
    long.add(&mut delivery, &checkpoint);
    delivery.objects.insert("annals-checkpoints/x.entries".into(), list.into_bytes());
    let (passed, printed) = check(&delivery, &signer);
    assert!(passed && printed.matches(": OK\n").count() == 4, "{printed}");
    delivery.objects.insert("annals-checkpoints/x.entries".into(), b"object".to_vec());
    let (passed, printed) = check(&delivery, &signer);
    assert!(!passed, "{printed}");
}
