//! Questions that the user answers with Yes or No before something is deleted. Each is a page of its own, which the script
//! shows as a dialog.

use maud::{Markup, html};

use crate::layout::Shell;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirmation {
    pub(crate) question: String,
    /// The name of what would be deleted.
    pub(crate) subject: String,
    /// The effects of Yes.
    pub(crate) consequences: Vec<&'static str>,
    /// The path that Yes is posted to.
    pub(crate) action: String,
    /// The path that No leads to.
    pub(crate) back: &'static str,
}

impl Confirmation {
    pub(crate) fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            section #question .card .question aria-labelledby="question-title" {
                h1 #question-title { (self.question) }
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
        shell.page(&self.question, &content)
    }
}
