//! The pages that work without a script: signing in, approving a connection, being told what went wrong.
//!
//! Only views and how they are sent: what they show is decided by the handlers that fill them. Their style sheet is
//! the design language of the whole product.

mod assets;
mod response;
mod views;

pub use assets::{ASSETS, Asset, STYLE, matches_tag};
pub use response::{content_security_policy, page, page_with_form_target};
pub use views::{
    Code, Connect, Consent, Docs, DocsLink, Instance, Message, Mismatch, NotAnAdministrator, OutageSection,
    OutageSide, Outages, Shell, SignIn, SignedOut,
};

#[cfg(test)]
mod tests;
