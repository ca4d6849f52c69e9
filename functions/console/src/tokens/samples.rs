//! A sample of every state that the page can be in.

use annals_core::{
    entropy::Entropy,
    time::Timestamp,
    token::{MAX_TOKENS, Role, Token, TokenHash, TokenText},
};

use super::{
    confirmation, form,
    view::{Done, Made, Page, rotation_page},
};
use crate::{every_page::Sample, layout::Section};

const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);
const HOSTILE: &str = "<script>alert(1)</script>\"'&javascript:alert(1)";

#[derive(Debug)]
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn token(index: usize, name: &str, role: Role) -> Token {
    let at = |minutes: u64| Timestamp::from_millis(NOW.as_millis() - minutes * 60_000);
    Token {
        id: format!("token{index:07}").parse().unwrap(),
        hash: TokenHash([0; 32]),
        organisation: "acme".parse().unwrap(),
        name: name.to_owned(),
        role,
        created_at: at(10_000 - index as u64),
        expires_at: match index % 3 {
            0 => None,
            1 => Some(at(index as u64)),
            _ => Some(Timestamp::from_millis(NOW.as_millis() + 1)),
        },
        last_used_at: index.is_multiple_of(2).then(|| at(60)),
        replaces: None,
        replaced_by: index.is_multiple_of(5).then(|| format!("token{:07}", index + 3).parse().unwrap()),
    }
}

fn page(tokens: &[Token]) -> Page {
    Page::of(tokens, NOW, form::creation())
}

pub(crate) fn samples() -> Vec<Sample> {
    let shell = Shell::sample(Section::Tokens);
    let three = [token(0, "Backend", Role::Producer), token(1, "SIEM", Role::Auditor), token(3, HOSTILE, Role::Admin)];
    let longest = HOSTILE.repeat(200).chars().take(200).collect::<String>();
    let quotes: Vec<Token> = (0..3 * MAX_TOKENS).map(|index| token(index, &"\"".repeat(200), Role::Auditor)).collect();
    let full: Vec<Token> =
        (0..MAX_TOKENS).map(|index| Token { expires_at: None, ..token(index, "x", Role::Admin) }).collect();
    let (_, text) = TokenText::generate(&Zeros);
    let made = |replaced_until| Made {
        name: longest.clone(),
        text: text.clone(),
        api: "https://api.example.com/prod".to_owned(),
        replaced_until,
    };
    let refused = |mut fields: crate::fields::Fields| {
        for field in &mut fields.fields {
            *field = field.clone().value(&HOSTILE.repeat(1000));
        }
        fields.add_fault("name", HOSTILE);
        fields.add_fault("expiresAt", HOSTILE);
        fields.faults.push(HOSTILE.to_owned());
        fields
    };
    let mut samples: Vec<Sample> = [
        ("tokens: none", page(&[])),
        ("tokens: three", page(&three)),
        ("tokens: revoked", Page { done: Some(Done::Revoked), ..page(&three) }),
        ("tokens: as many as can be", page(&quotes)),
        ("tokens: full", page(&full)),
        ("tokens: one made", Page { made: Some(made(None)), ..page(&three) }),
        ("tokens: one replaced", Page { made: Some(made(Some(NOW))), ..page(&three) }),
        ("tokens: refused", Page { form: refused(form::creation()), ..page(&three) }),
    ]
    .into_iter()
    .map(|(name, page)| (name, page.render(&shell)))
    .collect();
    samples.push(("revoke a token", confirmation(&token(0, &longest, Role::Admin)).render(&shell)));
    samples.push(("replace a token", rotation_page("token0000001", "SIEM", &form::rotation(), &shell)));
    samples.push(("replace a token: refused", rotation_page("x", &longest, &refused(form::rotation()), &shell)));
    samples
}
