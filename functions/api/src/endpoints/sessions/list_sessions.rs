use annals_core::{portal::Session, time::Timestamp};
use annals_http::{prelude::*, schema::Moment};

use super::super::UserView;

pub(super) struct ListSessions;

impl Endpoint<Services> for ListSessions {
    const ID: &'static str = "listSessions";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/sessions";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::PortalLinks);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Organisations, "List sessions")
            .description(
                "Who is signed in to the organisation's page. A session that began a moment ago may be missing.",
            )
            .response::<SessionList>(200, "The sessions that have not ended, the oldest first.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let sessions = services.administration.sessions(&call.organisation).await?;
        let list = SessionList { sessions: sessions.into_iter().map(SessionView::from).collect() };
        Ok(response::json(StatusCode::OK, &list))
    }
}

/// The sessions of an organisation's page.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionList {
    sessions: Vec<SessionView>,
}

/// A person's session on an organisation's page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Session")]
struct SessionView {
    /// The id, as in `recordedBy` and in the log lines of requests.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    id: String,
    /// The role on the page.
    #[schemars(extend("enum" = ["admin", "auditor"]))]
    role: &'static str,
    user: UserView,
    /// When the user signed in.
    #[schemars(with = "Moment")]
    started_at: Timestamp,
    /// When the session ends unless the user opens another page.
    #[schemars(with = "Moment")]
    expires_at: Timestamp,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id().to_string(),
            role: session.role.as_str(),
            user: session.user.into(),
            started_at: session.started_at,
            expires_at: session.expires_at,
        }
    }
}
