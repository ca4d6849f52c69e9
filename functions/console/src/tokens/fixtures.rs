//! Tokens and invalid forms for the samples and tests of this section.

use annals_core::{
    time::Timestamp,
    token::{Role, Token, TokenHash},
};

use crate::fields::Fields;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
pub(super) const HOSTILE: &str = "<script>alert(1)</script>\"'&javascript:alert(1)";

pub(super) fn longest_name() -> String {
    HOSTILE.repeat(200).chars().take(200).collect()
}

pub(super) fn token(index: usize, name: &str, role: Role) -> Token {
    let minutes_ago = |minutes: u64| Timestamp::from_millis(NOW.as_millis() - minutes * 60_000);
    Token {
        id: format!("token{index:07}").parse().unwrap(),
        hash: TokenHash([0; 32]),
        organisation: "acme".parse().unwrap(),
        name: name.to_owned(),
        role,
        created_at: minutes_ago(10_000 - index as u64),
        expires_at: match index % 3 {
            0 => None,
            1 => Some(minutes_ago(index as u64)),
            _ => Some(Timestamp::from_millis(NOW.as_millis() + 1)),
        },
        last_used_at: index.is_multiple_of(2).then(|| minutes_ago(60)),
        replaces: None,
        replaced_by: index.is_multiple_of(5).then(|| format!("token{:07}", index + 3).parse().unwrap()),
    }
}

pub(super) fn invalid(mut form: Fields) -> Fields {
    for field in &mut form.fields {
        *field = field.clone().value(&HOSTILE.repeat(1000));
    }
    form.add_fault("name", HOSTILE);
    form.add_fault("expiresAt", HOSTILE);
    form.faults.push(HOSTILE.to_owned());
    form
}
