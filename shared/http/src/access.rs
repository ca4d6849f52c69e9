//! Who may call an endpoint. The access of an endpoint is a type that also says what its handler receives, so a handler
//! cannot run, or see an organisation, before the caller has been checked.

use annals_core::{
    caller::Caller,
    organisation::Organisation,
    platform::PlatformScope,
    token::Role::{self, Admin, Auditor, Producer},
};
use axum::extract::{FromRef, Request};

use crate::{
    Services,
    call::{Call, Visit},
    problem::Problem,
};

pub const PRODUCERS: &[Role] = &[Producer];
pub const READERS: &[Role] = &[Auditor, Admin];
pub const ADMINISTRATORS: &[Role] = &[Admin];

/// The callers of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Anyone, without a token.
    Anyone,
    /// The platform's tokens.
    Platform,
    /// The platform's tokens and organisations' tokens with one of these roles.
    Roles(&'static [Role]),
}

/// Which of the platform's tokens may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformAccess {
    /// The deployment's own token, and no named one.
    Deployment,
    /// Every token of the platform.
    Every,
    /// The deployment's own token, and named tokens with this scope.
    Scope(PlatformScope),
}

/// Authenticates a caller and checks that `platform` may make the call, if it is a named token of the platform.
async fn authenticate(request: Request, services: Services, platform: PlatformAccess) -> Result<Call, Problem> {
    let call = Call::authenticate(request, services).await?;
    let Caller::PlatformToken(token) = &call.caller else { return Ok(call) };
    let required = match platform {
        PlatformAccess::Every => return Ok(call),
        PlatformAccess::Scope(scope) if token.scopes.contains(&scope) => return Ok(call),
        PlatformAccess::Scope(scope) => format!("the scope {}", scope.as_str()),
        PlatformAccess::Deployment => "the deployment's own token".to_owned(),
    };
    Err(Problem::scope_missing(token, &required))
}

pub trait Access {
    /// What the handler receives.
    type Call: Send;
    const CALLERS: Callers;
    /// Whether the organisation is loaded. If so, a call can fail because it does not exist.
    const NEEDS_ORGANISATION: bool;

    /// Authenticates the caller and checks that it may call the endpoint, which `platform` may call among the platform's tokens.
    fn admit<S>(
        request: Request,
        state: &S,
        platform: PlatformAccess,
    ) -> impl Future<Output = Result<Self::Call, Problem>> + Send
    where
        S: Send + Sync,
        Services: FromRef<S>;
}

/// Anyone, without a token.
#[derive(Debug)]
pub struct Anyone;

impl Access for Anyone {
    type Call = ();
    const CALLERS: Callers = Callers::Anyone;
    const NEEDS_ORGANISATION: bool = false;

    async fn admit<S>(_: Request, _: &S, _: PlatformAccess) -> Result<(), Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        Ok(())
    }
}

/// Anyone, without a token, where the answer depends on the request.
#[derive(Debug)]
pub struct Visitors;

impl Access for Visitors {
    type Call = Visit;
    const CALLERS: Callers = Callers::Anyone;
    const NEEDS_ORGANISATION: bool = false;

    async fn admit<S>(request: Request, _: &S, _: PlatformAccess) -> Result<Visit, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        Ok(Visit::of(request))
    }
}

/// The platform, in a call without an organisation, or for an organisation that may not exist yet.
#[derive(Debug)]
pub struct Platform;

impl Access for Platform {
    type Call = Call;
    const CALLERS: Callers = Callers::Platform;
    const NEEDS_ORGANISATION: bool = false;

    async fn admit<S>(request: Request, state: &S, platform: PlatformAccess) -> Result<Call, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        let call = authenticate(request, Services::from_ref(state), platform).await?;
        call.require_platform()?;
        Ok(call)
    }
}

/// The platform, for the organisation in the path.
#[derive(Debug)]
pub struct PlatformForOrganisation;

impl Access for PlatformForOrganisation {
    type Call = Call<Organisation>;
    const CALLERS: Callers = Callers::Platform;
    const NEEDS_ORGANISATION: bool = true;

    async fn admit<S>(request: Request, state: &S, platform: PlatformAccess) -> Result<Call<Organisation>, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        Platform::admit(request, state, platform).await?.authorise(&[]).await
    }
}

macro_rules! role_access {
    ($($(#[doc = $doc:literal])+ $name:ident = $roles:ident;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub struct $name;

            impl Access for $name {
                type Call = Call<Organisation>;
                const CALLERS: Callers = Callers::Roles($roles);
                const NEEDS_ORGANISATION: bool = true;

                async fn admit<S>(request: Request, state: &S, platform: PlatformAccess) -> Result<Call<Organisation>, Problem>
                where
                    S: Send + Sync,
                    Services: FromRef<S>,
                {
                    authenticate(request, Services::from_ref(state), platform).await?.authorise($roles).await
                }
            }
        )+
    };
}

/// The platform, and the organisation's producers, who record events.
#[derive(Debug)]
pub struct Producers;

impl Access for Producers {
    type Call = Call<Organisation>;
    const CALLERS: Callers = Callers::Roles(PRODUCERS);
    const NEEDS_ORGANISATION: bool = true;

    async fn admit<S>(request: Request, state: &S, platform: PlatformAccess) -> Result<Call<Organisation>, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        authenticate(request, Services::from_ref(state), platform).await?.authorise_recording(PRODUCERS).await
    }
}

role_access! {
    /// The platform, and the organisation's auditors and administrators.
    Readers = READERS;
    /// The platform, and the organisation's administrators.
    Administrators = ADMINISTRATORS;
}
