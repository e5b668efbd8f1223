//! The page's own style sheet, and the policy that lets a browser load it and nothing else.
//!
//! Guarantees: the digest in the policy is that of the sheet as it stands in the page; no script, no font, no frame and
//! no form is allowed, and no image but the one in the browser's tab, which stands in the page itself. Does not: depend on anything outside this program.

use std::sync::LazyLock;

use base64::Engine as _;
use sha2::{Digest, Sha256};

static OWN: LazyLock<Style> = LazyLock::new(|| Style::new(include_str!("../templates/status.css")));

/// A style sheet and what a browser is told about it.
#[derive(Debug)]
pub struct Style {
    sheet: &'static str,
    policy: String,
    policy_of_a_file: String,
}

impl Style {
    /// That of the page.
    #[must_use]
    pub fn own() -> &'static Self {
        &OWN
    }

    fn new(sheet: &'static str) -> Self {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(sheet));
        let policy_of_a_file = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
        );
        let policy = format!("{policy_of_a_file}; frame-ancestors 'none'");
        Self {
            sheet,
            policy,
            policy_of_a_file,
        }
    }

    /// The sheet, as it stands between the tags.
    #[must_use]
    pub const fn sheet(&self) -> &'static str {
        self.sheet
    }

    /// The `Content-Security-Policy` of an answer.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The same for a file; who may frame it can only be said in a header.
    #[must_use]
    pub fn policy_of_a_file(&self) -> &str {
        &self.policy_of_a_file
    }
}
