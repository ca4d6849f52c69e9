//! Questions that are answered with No or Yes: a page of their own, which the script shows as a dialog.

use maud::{Markup, html};

use crate::layout::Shell;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The question itself.
    pub(crate) title: String,
    /// What it is about.
    pub(crate) subject: String,
    /// What Yes does.
    pub(crate) consequences: Vec<&'static str>,
    /// The path that Yes is posted to.
    pub(crate) action: String,
    /// The path that No leads back to.
    pub(crate) back: &'static str,
}

impl Question {
    /// The page.
    pub(crate) fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            section #question .card .question aria-labelledby="question-title" {
                h1 #question-title { (self.title) }
                p .subject { (self.subject) }
                @for consequence in &self.consequences {
                    p { (consequence) }
                }
                form .row method="post" action=(shell.href(&self.action)) {
                    (shell.form_token())
                    a .button href=(shell.href(self.back)) data-no { "No" }
                    button .danger type="submit" { "Yes" }
                }
            }
        };
        shell.page(&self.title, &content)
    }
}
