//! The frame of every page: the document's head, the header with the sections, and the footer.

use annals_core::{brand::Brand, organisation::Organisation, portal::ReturnUrl, time::Timestamp, token::Role};
use annals_http::console::{
    self,
    session::{ConsoleRequest, FORM_TOKEN},
};
use maud::{Markup, html};

use crate::{
    assets::{ICON, SCRIPT, STYLE, logo_name},
    ui,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Events,
    Destinations,
    Tokens,
}

impl Section {
    const ALL: [Self; 3] = [Self::Destinations, Self::Events, Self::Tokens];

    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Events => "/console/events",
            Self::Destinations => "/console/destinations",
            Self::Tokens => "/console/tokens",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Events => "Event viewer",
            Self::Destinations => "Audit Events",
            Self::Tokens => "Tokens",
        }
    }

    /// Returns the section that a path belongs to.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let is_below = |section: &Self| {
            path.strip_prefix(section.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Self::ALL.into_iter().find(is_below)
    }

    #[must_use]
    pub fn is_for(self, role: Role) -> bool {
        role == Role::Admin || self == Self::Events
    }
}

/// What the frame of a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// The part of the address that precedes the console's paths, such as `/prod`.
    pub base: String,
    pub organisation: String,
    pub user: String,
    pub role: Role,
    pub section: Section,
    pub session_ends_at: Timestamp,
    /// The value of [`FORM_TOKEN`] in every form.
    pub form_token: String,
    pub brand: Brand,
    /// The product's page that this one leads back to.
    pub return_url: Option<ReturnUrl>,
}

impl Shell {
    #[must_use]
    pub fn of(request: &ConsoleRequest, organisation: &Organisation, section: Section) -> Self {
        Self {
            base: request.call.base_path().to_owned(),
            organisation: organisation.name.clone(),
            user: request.session.user.name.clone(),
            role: request.session.role,
            section,
            session_ends_at: request.session.expires_at,
            form_token: request.form_token.clone(),
            brand: request.call.services.service.brand.clone(),
            return_url: request.session.return_url.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(section: Section) -> Self {
        Self {
            base: "/prod".to_owned(),
            organisation: "Smith & Söhne <b>GmbH</b>".to_owned(),
            user: "Ada \"the\" <i>Bell</i>".to_owned(),
            role: Role::Admin,
            section,
            session_ends_at: Timestamp::from_millis(1_795_343_400_000),
            form_token: "0123456789abcdef".repeat(4),
            brand: sample_brand(),
            return_url: Some("https://app.example.com/settings?tab=audit".parse().unwrap()),
        }
    }

    /// Returns the address of a path of the console.
    #[must_use]
    pub fn href(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Writes the hidden field of every form with `method="post"`.
    #[must_use]
    pub fn form_token(&self) -> Markup {
        html! { input type="hidden" name=(FORM_TOKEN) value=(self.form_token); }
    }

    /// Writes a page with `content` inside this frame.
    #[must_use]
    pub fn page(&self, title: &str, content: &Markup) -> Markup {
        let body = html! {
            a .skip href="#content" { "Skip to content" }
            header .top {
                div .bar {
                    (product(&self.base, &self.brand, self.return_url.as_ref()))
                    p .organisation { (self.organisation) }
                    nav aria-label="Sections" {
                        ul {
                            @for section in Section::ALL.into_iter().filter(|section| section.is_for(self.role)) {
                                li {
                                    a href=(self.href(section.path())) aria-current=[(section == self.section).then_some("page")] {
                                        (section.title())
                                    }
                                }
                            }
                        }
                    }
                    div .user {
                        span .name { (self.user) }
                        form method="post" action=(self.href("/console/leave")) {
                            (self.form_token())
                            button .quiet type="submit" { "Sign out" }
                        }
                    }
                }
            }
            main #content { (content) }
            footer {
                p {
                    "Your session ends at " (ui::time(self.session_ends_at)) ". "
                    span data-zone { "Times are in UTC." }
                    @if let Some(support) = &self.brand.support { " " a href=(support.as_str()) target="_top" { "Get help" } }
                }
            }
        };
        document(&self.base, &self.brand, &format!("{title} · {}", self.organisation), &body)
    }
}

/// Writes whose product the page belongs to, and the way back to it.
fn product(base: &str, brand: &Brand, return_url: Option<&ReturnUrl>) -> Markup {
    let logo = |alt: &str| {
        html! {
            @if let Some(logo) = &brand.logo { img src={ (base) "/console/assets/" (logo_name(logo)) } alt=(alt); }
        }
    };
    html! {
        @if let Some(url) = return_url {
            // A page in a frame leads the whole window back.
            a .product href=(url.as_str()) target="_top" {
                (logo("")) span { "← Back" @if let Some(product) = &brand.product { " to " (product.as_str()) } }
            }
        } @else if brand.is_shown() {
            p .product {
                @match &brand.product {
                    Some(product) => { (logo("")) span { (product.as_str()) } },
                    None => { (logo("Logo")) },
                }
            }
        }
    }
}

/// Writes a document with the console's style sheet, icon and script.
#[must_use]
pub fn document(base: &str, brand: &Brand, title: &str, body: &Markup) -> Markup {
    let links = html! {
        link rel="stylesheet" href={ (base) "/console/assets/" (STYLE.versioned_name(brand)) };
        link rel="icon" href={ (base) "/console/assets/" (ICON.versioned_name(brand)) };
        script src={ (base) "/console/assets/" (SCRIPT.versioned_name(brand)) } defer {}
    };
    console::document(title, &links, body)
}

#[cfg(test)]
thread_local! {
    /// The brand of samples.
    static SAMPLE_BRAND: std::cell::RefCell<Brand> = std::cell::RefCell::default();
}

/// Returns the brand that samples show.
#[cfg(test)]
pub(crate) fn sample_brand() -> Brand {
    SAMPLE_BRAND.with_borrow(Brand::clone)
}

/// Makes samples show another brand, in this test.
#[cfg(test)]
pub(crate) fn show_samples_as(brand: Brand) {
    SAMPLE_BRAND.set(brand);
}
