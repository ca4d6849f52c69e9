//! What an investigation of the demo company's log finds: early yesterday somebody guesses a user's password, signs in with
//! a new device, creates an API key, and is stopped in the morning.

use std::time::Duration;

use serde_json::{Value, json};

use super::DemoEvent;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ADMINISTRATOR: &str = "Adaeze Okonkwo";
const VICTIM: &str = "Callum Strachan";
/// The address of the attacker (RFC 5737).
const ADDRESS: &str = "203.0.113.77";
/// How often the password is guessed.
const GUESSES: u32 = 17;
/// The time of day at which it begins, in UTC.
const BEGIN: Duration = Duration::from_secs(2 * 60 * 60 + 13 * 60);

/// Returns the events of the incident, for a company whose `history` has the given length. Empty if the history is
/// too short, or does not know the people.
#[must_use]
pub fn events(history: &[DemoEvent], length: Duration) -> Vec<DemoEvent> {
    let midnight = DAY * u32::try_from(length.as_secs() / DAY.as_secs()).unwrap_or(0);
    let Some(begin) = midnight.checked_sub(DAY).map(|day| day + BEGIN) else { return Vec::new() };
    let person =
        |name: &str| history.iter().map(|event| &event.body["principal"]).find(|person| person["name"] == name);
    let (Some(administrator), Some(victim)) = (person(ADMINISTRATOR), person(VICTIM)) else { return Vec::new() };
    let organisation = history.iter().map(|event| &event.body["entity"]).find(|it| it["entityType"] == "ORGANISATION");
    let key = json!({"id": "ak-export-7", "name": "export", "entityType": "API_KEY"});
    let attacker = |number: u32| {
        json!({
            "ipAddress": ADDRESS,
            "userAgent": "python-requests/2.32.5",
            "requestId": format!("7c1e5f0a-2b3d-4c4e-8f5a-{number:012x}"),
            "location": "unknown"
        })
    };
    let sign_in = |number: u32, outcome: &str, reason: Option<&str>| {
        let event_type = if outcome == "SUCCESS" { "user.login.password" } else { "user.login.failed" };
        let mut event = json!({
            "action": "LOGIN", "type": event_type, "outcome": outcome, "clientType": "UI",
            "entity": victim, "principal": victim, "context": attacker(number),
            "payload": {"method": "password", "device": "not seen before"},
        });
        if let Some(reason) = reason {
            event["reason"] = reason.into();
        }
        event
    };
    let mut events: Vec<DemoEvent> = Vec::new();
    let mut add = |at: Duration, body: Value| events.push(DemoEvent { at, body });
    for guess in 0..GUESSES {
        add(begin + Duration::from_secs(9) * guess, sign_in(guess, "FAILURE", Some("The password is wrong.")));
    }
    let inside = begin + MINUTE * 4;
    add(inside, sign_in(100, "SUCCESS", None));
    add(
        inside + MINUTE,
        json!({
            "action": "CREATE", "type": "api_key.create", "outcome": "SUCCESS", "clientType": "UI",
            "entity": key, "principal": victim, "context": attacker(101),
            "after": {"name": "export", "scopes": ["mock_apis:read", "users:read"], "expiresAt": null},
        }),
    );
    add(
        inside + MINUTE * 2,
        json!({
            "action": "EXPORT", "type": "organisation.members_exported", "outcome": "DENIED", "clientType": "API",
            "reason": "The key lacks the scope members:export.",
            "entity": organisation.unwrap_or(victim),
            "principal": victim, "context": attacker(102),
        }),
    );
    let morning = begin + HOUR * 5;
    let office = json!({"ipAddress": "198.51.100.24", "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "location": "Leeds, GB"});
    add(
        morning,
        json!({
            "action": "DELETE", "type": "api_key.delete", "outcome": "SUCCESS", "clientType": "UI",
            "entity": key, "principal": administrator, "context": office,
            "before": {"name": "export", "scopes": ["mock_apis:read", "users:read"], "expiresAt": null},
            "metadata": {"ticket": "SEC-311"},
        }),
    );
    add(
        morning + MINUTE * 3,
        json!({
            "action": "RESET", "type": "user.password_reset", "outcome": "SUCCESS", "clientType": "UI",
            "entity": victim, "principal": administrator, "context": office, "metadata": {"ticket": "SEC-311"},
        }),
    );
    events
}

#[cfg(test)]
mod tests {
    use annals_core::{event, recorded_by::RecordedBy};

    use super::{super::week, *};

    #[test]
    fn the_incident_is_early_yesterday_and_the_product_accepts_it() {
        let history = week(1);
        for hours in [30, 100, 167] {
            let length = HOUR * hours;
            let events = events(&history, length);
            assert_eq!(events.len(), GUESSES as usize + 5);
            assert!(
                events.is_sorted_by_key(|event| event.at) && events.iter().all(|event| event.at < length),
                "{hours}"
            );
            for event in &events {
                let text = event.body.to_string();
                let parsed = event::parse(text.as_bytes(), event::Layout::Json, &RecordedBy::Platform);
                assert!(parsed.is_ok(), "{:?} in {text}", parsed.err());
            }
            let outcomes = |outcome: &str| events.iter().filter(|event| event.body["outcome"] == outcome).count();
            assert_eq!([outcomes("FAILURE"), outcomes("DENIED"), outcomes("SUCCESS")], [17, 1, 4]);
        }
        assert_eq!(events(&history, HOUR * 20), [], "there was no such night");
        assert_eq!(events(&[], DAY * 7), []);
    }
}
