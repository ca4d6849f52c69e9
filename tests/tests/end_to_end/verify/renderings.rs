//! Objects in other formats and shapes: what can be proven of them, and what is found of those who change them.

use std::collections::BTreeSet;

use annals_core::{
    destination::{ObjectFormat, Rendering, Shape},
    log::segment::Line,
};
use annals_verify::report::{ProblemKind, Verdict};

use super::{
    delivery::{Delivery, id},
    signing::{NAME, Signer},
};

/// Every rendering but the native one.
fn renderings() -> impl Iterator<Item = Rendering> {
    let all = ObjectFormat::ALL.iter().flat_map(|format| Shape::ALL.iter().map(move |shape| (*format, *shape)));
    all.map(|(format, shape)| Rendering { format, shape }).filter(|rendering| !rendering.is_native())
}

impl Delivery {
    /// Returns the same events, written in another rendering.
    fn rendered(&self, rendering: Rendering) -> Self {
        let mut rendered = self.clone();
        for key in self.data_keys() {
            let mut content = String::new();
            for text in self.lines(&key) {
                let id = id(&text);
                rendering.write(&Line { id, recorded_at: id.recorded_at(), text }, &mut content);
            }
            rendered.put_content(&key, content.as_bytes());
        }
        rendered
    }
}

#[tokio::test]
async fn a_delivery_in_any_format_and_shape_is_proven_like_its_lines() {
    let native = Delivery::small().await;
    let signer = Signer::new(NAME, 1);
    let expected = native.clone().signed(&signer).0.check();
    for rendering in renderings() {
        let report = native.rendered(rendering).signed(&signer).0.check();
        assert_eq!((report.verdict, &report.proven, &report.problems), (Verdict::Proven, &expected.proven, &vec![]));
        // The chain and the tail confirm the lines without a signature, too.
        let report = native.rendered(rendering).check();
        assert_eq!((report.verdict, report.events, report.last_hash), (Verdict::Proven, 9, expected.last_hash.clone()));
    }
}

#[tokio::test]
async fn lines_in_several_renderings_are_one_chain() {
    let native = Delivery::small().await;
    let mut mixed = native.clone();
    for (key, rendering) in native.data_keys().into_iter().zip(renderings().chain(renderings()).skip(1)) {
        mixed.objects.insert(key.clone(), native.rendered(rendering).objects[&key].clone());
    }
    assert_eq!(mixed.check().verdict, Verdict::Proven);
    // A replay in another format has the same lines.
    let flat = Rendering { format: ObjectFormat::Native, shape: Shape::Flat };
    let key = native.data_keys().remove(1);
    mixed.objects.insert(
        "replay/r1/2026-11/22/2026-11-22T11-10-00-000Z-aaaaaaaa.json".into(),
        native.rendered(flat).objects[&key].clone(),
    );
    let report = mixed.check();
    assert_eq!(report.verdict, Verdict::Proven);
    assert!(report.notes.iter().any(|note| note.contains("the same lines in another format or shape")), "{report:?}");
}

#[tokio::test]
async fn a_line_that_is_changed_in_any_rendering_is_found() {
    let native = Delivery::small().await;
    for rendering in renderings() {
        for key in native.data_keys() {
            let mut changed = native.rendered(rendering);
            let content = String::from_utf8(changed.objects[&key].clone()).unwrap();
            assert!(content.contains("Ada"));
            changed.put_content(&key, content.replace("Ada", "Eve").as_bytes());
            let report = changed.check();
            let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
            assert!(kinds.contains(&ProblemKind::Changed), "{rendering:?} {key}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn what_does_not_follow_from_a_line_is_vouched_for_by_a_signature_alone() {
    let native = Delivery::small().await;
    let signer = Signer::new(NAME, 1);
    let mut told = BTreeSet::new();
    for (rendering, from, to) in [
        (Rendering { format: ObjectFormat::Ocsf, shape: Shape::Native }, r#""severity_id":1"#, r#""severity_id":2"#),
        (Rendering { format: ObjectFormat::Ocsf, shape: Shape::Flat }, r#""severity_id":1"#, r#""severity_id":2"#),
        (Rendering { format: ObjectFormat::CloudEvents, shape: Shape::Native }, r#""authtype":""#, r#""authtype":"x"#),
        (Rendering { format: ObjectFormat::CloudEvents, shape: Shape::Flat }, r#""authtype":""#, r#""authtype":"x"#),
        (
            Rendering { format: ObjectFormat::Native, shape: Shape::Flat },
            r#""principal_name":""#,
            r#""principal_name":"x"#,
        ),
    ] {
        let key = native.data_keys().remove(1);
        let change = |delivery: &mut Delivery| {
            let content = String::from_utf8(delivery.objects[&key].clone()).unwrap();
            assert!(content.contains(from), "{content}");
            delivery.put_content(&key, content.replacen(from, to, 1).as_bytes());
        };
        // Nobody signs it: the line is proven, but not what else is there.
        let mut unsigned = native.rendered(rendering);
        change(&mut unsigned);
        let report = unsigned.check();
        assert_eq!(report.verdict, Verdict::Consistent, "{rendering:?}");
        told.insert(report.unconfirmed[0].why.clone());
        // It was changed after it was signed.
        let mut changed = native.rendered(rendering).signed(&signer).0;
        change(&mut changed);
        assert_eq!(changed.check().problems[0].kind, ProblemKind::Changed, "{rendering:?}");
        // Annals itself derived it so, for example another version.
        let mut derived = native.rendered(rendering);
        change(&mut derived);
        assert_eq!(derived.signed(&signer).0.check().verdict, Verdict::Proven, "{rendering:?}");
    }
    assert!(told.iter().eq([
        "1 event in 2026-11/22/2026-11-22T10-10-00-000Z-bbbbbbbb.json has its line, but what else is in it \
                             does not follow from the line, or another version of Annals derived it, and no trusted \
                             checkpoint signs the object"
    ]));
}
