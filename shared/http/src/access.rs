//! Who may call an endpoint. The access of an endpoint is a type that also says what its handler receives, so a handler
//! cannot run, or see an organisation, before the caller has been checked.

use annals_core::{
    organisation::Organisation,
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
    /// The platform's token.
    Platform,
    /// The platform's token and organisations' tokens with one of these roles.
    Roles(&'static [Role]),
}

pub trait Access {
    /// What the handler receives.
    type Call: Send;
    const CALLERS: Callers;
    /// Whether the organisation is loaded. If so, a call can fail because it does not exist.
    const NEEDS_ORGANISATION: bool;

    /// Authenticates the caller and checks that it may call the endpoint.
    fn admit<S>(request: Request, state: &S) -> impl Future<Output = Result<Self::Call, Problem>> + Send
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

    async fn admit<S>(_: Request, _: &S) -> Result<(), Problem>
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

    async fn admit<S>(request: Request, _: &S) -> Result<Visit, Problem>
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

    async fn admit<S>(request: Request, state: &S) -> Result<Call, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        let call = Call::authenticate(request, Services::from_ref(state)).await?;
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

    async fn admit<S>(request: Request, state: &S) -> Result<Call<Organisation>, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        Platform::admit(request, state).await?.authorise(&[]).await
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

                async fn admit<S>(request: Request, state: &S) -> Result<Call<Organisation>, Problem>
                where
                    S: Send + Sync,
                    Services: FromRef<S>,
                {
                    Call::authenticate(request, Services::from_ref(state)).await?.authorise($roles).await
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

    async fn admit<S>(request: Request, state: &S) -> Result<Call<Organisation>, Problem>
    where
        S: Send + Sync,
        Services: FromRef<S>,
    {
        Call::authenticate(request, Services::from_ref(state)).await?.authorise_recording(PRODUCERS).await
    }
}

role_access! {
    /// The platform, and the organisation's auditors and administrators.
    Readers = READERS;
    /// The platform, and the organisation's administrators.
    Administrators = ADMINISTRATORS;
}
