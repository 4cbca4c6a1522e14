//! The mailbox of the demonstration: the directory into which an instance writes its letters.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data_encoding::BASE64_MIME_PERMISSIVE;

/// The letters to one person in a directory.
pub(super) struct Mailbox {
    directory: PathBuf,
    to: String,
}

impl Mailbox {
    pub(super) fn of(directory: &Path, to: &str) -> Self {
        Self { directory: directory.to_owned(), to: to.to_owned() }
    }

    /// The names of the letters that are there.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".eml")).collect()
    }

    /// What `find` finds in the newest letter that has it and is not among `read` already.
    pub(super) fn newest<T>(&self, read: &BTreeSet<String>, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        // The names begin with the time.
        self.names().iter().rev().filter(|name| !read.contains(*name)).find_map(|name| {
            let raw = std::fs::read_to_string(self.directory.join(name)).ok()?;
            let (head, _) = raw.split_once("\r\n\r\n")?;
            let to = head.lines().find(|line| line.to_ascii_lowercase().starts_with("to:"))?;
            if !to.contains(&self.to) {
                return None;
            }
            find(&text(&raw)?)
        })
    }
}

/// The address in a letter's text that begins like this.
pub(super) fn link(text: &str, beginning: &str) -> Option<String> {
    text.split_whitespace().find(|word| word.starts_with(beginning)).map(str::to_owned)
}

/// The code in a letter's text: a line of nothing but digits, perhaps in groups.
pub(super) fn code(text: &str) -> Option<String> {
    let is_code = |line: &str| {
        line.chars().filter(char::is_ascii_digit).count() >= 6
            && line.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '-')
    };
    text.lines().map(str::trim).find(|line| is_code(line)).map(str::to_owned)
}

/// The plain text of a letter (RFC 2045, 6).
fn text(raw: &str) -> Option<String> {
    let at = raw.find("Content-Type: text/plain")?;
    // The part's own header begins at the boundary before.
    let start = raw[..at].rfind("\r\n--").map_or(0, |at| at + 2);
    let (head, body) = raw[start..].split_once("\r\n\r\n")?;
    let body = body.split("\r\n--").next().unwrap_or(body);
    let coding = head.lines().find_map(|line| line.strip_prefix("Content-Transfer-Encoding:")).map(str::trim);
    let bytes = match coding {
        Some("base64") => BASE64_MIME_PERMISSIVE.decode(body.as_bytes()).ok()?,
        Some("quoted-printable") => unquoted(body),
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).ok()
}

fn unquoted(body: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('=') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(next) = rest.strip_prefix("\r\n") {
            rest = next;
        } else if let Some(byte) = rest.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &rest[2..];
        } else {
            bytes.push(b'=');
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_letter_is_read_in_each_coding() {
        for (coding, body) in [
            ("quoted-printable", "Open http://a.localhost/connect#v=3D1&t=3Dab=\r\nc now\r\n"),
            ("7bit", "Open http://a.localhost/connect#v=1&t=abc now\r\n"),
            ("base64", "T3BlbiBodHRwOi8vYS5sb2NhbGhvc3QvY29ubmVjdCN2PTEmdD1hYmMg\r\nbm93DQo=\r\n"),
        ] {
            let raw = format!(
                "To: x@y.example\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: {coding}\r\n\r\n{body}\r\n--b--\r\n"
            );
            let found = link(&text(&raw).unwrap(), "http://a.localhost/connect#");
            assert_eq!(found.as_deref(), Some("http://a.localhost/connect#v=1&t=abc"), "{coding}");
        }
    }

    #[test]
    fn a_code_is_a_line_of_digits() {
        assert_eq!(code("Hello,\n\nyour code is\n\n   1234-5678\n\nIt works").as_deref(), Some("1234-5678"));
        assert_eq!(code("within 10 minutes\n"), None);
    }
}
