//! Counts brackets and tokens on the bytes of a document, before any parser sees it.
//!
//! A parser that recurses can be made to overflow its stack by a few thousand brackets, which ends the process; this
//! scan is a loop with a counter and cannot. It knows just enough of the lexical grammar (GraphQL, section 2.1) to
//! skip comments, strings and block strings, and need not tell good documents from bad ones: the parser does.

use super::error::RequestError;

/// Refuses a document that is nested too deeply or has too many tokens.
///
/// # Errors
/// `LIMIT_EXCEEDED`, naming the limit.
pub(super) fn check(text: &str, max_nesting: usize, max_tokens: usize) -> Result<(), RequestError> {
    let bytes = text.as_bytes();
    let (mut at, mut nesting, mut tokens) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at = skip_comment(bytes, at);
                continue;
            }
            b'"' => at = skip_string(bytes, at),
            b'{' | b'[' | b'(' => {
                nesting += 1;
                if nesting > max_nesting {
                    return Err(RequestError::limit(format!(
                        "The document is nested more than {max_nesting} levels deep."
                    )));
                }
                at += 1;
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                at += 1;
            }
            _ if is_word(byte) => {
                at += bytes[at..].iter().take_while(|&&byte| is_word(byte)).count();
            }
            b'.' if bytes[at..].starts_with(b"...") => at += 3,
            _ => at += 1,
        }
        tokens += 1;
        if tokens > max_tokens {
            return Err(RequestError::limit(format!("The document has more than {max_tokens} tokens.")));
        }
    }
    Ok(())
}

/// Names and numbers. A byte of a longer UTF-8 sequence counts alone, as a token too many rather than too few.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn skip_comment(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].iter().take_while(|&&byte| byte != b'\n' && byte != b'\r').count();
    start + length
}

/// The position after the string or block string that starts at `start`.
fn skip_string(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    if rest.starts_with(b"\"\"\"") {
        let mut at = 3;
        while at < rest.len() {
            if rest[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if rest[at..].starts_with(b"\"\"\"") {
                return start + at + 3;
            } else {
                at += 1;
            }
        }
        return bytes.len();
    }
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return start + at + 1,
            // An unterminated string ends with its line; what follows must not hide in it.
            b'\n' | b'\r' => return start + at,
            _ => at += 1,
        }
    }
    bytes.len()
}
