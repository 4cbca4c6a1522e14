//! What led to an error, in words.

use std::error::Error;

/// An error with everything that led to it, outermost first: for the log and the host's own operator. What reaches
/// others is the error's own text, which says nothing of the inside.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries say their cause's words in their own.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
