//! Reads the tree and cuts Rust files into tokens, so that no rule is fooled by a comment or a string.

use std::fs;
use std::path::{Path, PathBuf};

/// What a token is. Comments and white space are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Sign,
    Text,
    Number,
    Lifetime,
}

/// One token, its 1-based line, and whether it only exists in a test build.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }
}

/// A file: its path from the top of the repository with `/`, its text, and the tokens of a Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut tokens = if path.ends_with(".rs") { tokens(text) } else { Vec::new() };
        let whole = is_test_file(path);
        mark_tests(&mut tokens, whole);
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    /// Whether the token at `at` begins this sequence of words and signs.
    pub(crate) fn follows(&self, at: usize, sequence: &[&str]) -> bool {
        sequence.iter().enumerate().all(|(i, text)| self.tokens.get(at + i).is_some_and(|t| t.is(text)))
    }

    /// Every place where the sequence begins.
    pub(crate) fn find<'a>(&'a self, sequence: &'a [&'a str]) -> impl Iterator<Item = &'a Token> {
        (0..self.tokens.len()).filter(|at| self.follows(*at, sequence)).map(|at| &self.tokens[at])
    }

    /// The index of the bracket that closes the one at `open`, or of the last token.
    pub(crate) fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Every text file that belongs to the repository, in the order of the paths.
pub(crate) fn tree() -> Vec<Source> {
    let mut found = Vec::new();
    visit(&root(), "", &mut found);
    let tests: Vec<String> = found.iter().flat_map(test_modules).collect();
    let is_test = |path: &str| {
        tests.iter().any(|one| path.starts_with(&format!("{one}.rs")) || path.starts_with(&format!("{one}/")))
    };
    for source in found.iter_mut().filter(|source| is_test(&source.path)) {
        mark_tests(&mut source.tokens, true);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|s| s.path == "api/src/lib.rs"), "the tree was not found at {:?}", root());
    found
}

/// The modules that this file declares for test builds only, as paths without their ending.
fn test_modules(source: &Source) -> Vec<String> {
    let own = source.path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| own.strip_suffix(root)).unwrap_or(own);
    let declared = source.tokens.windows(3).filter(|t| t[0].test && t[0].is("mod") && t[2].is(";"));
    declared.map(|t| format!("{folder}/{}", t[1].text)).collect()
}

fn visit(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    const SKIPPED: &[&str] = &[".git", "node_modules"];
    const SKIPPED_AT_TOP: &[&str] = &["target", "linkspan-demo", "data"];
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if SKIPPED.contains(&name.as_str()) || prefix.is_empty() && SKIPPED_AT_TOP.contains(&name.as_str()) {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            visit(&entry.path(), &format!("{path}/"), found);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push(Source::new(&path, &text));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// Marks what only exists in a test build: the item after `#[cfg(test)]` or `#[test]`.
fn mark_tests(tokens: &mut [Token], whole: bool) {
    let texts = |tokens: &[Token], at: usize| -> String {
        tokens[at..closing(tokens, at) + 1].iter().map(|t| t.text.as_str()).collect()
    };
    let mut at = 0;
    while at < tokens.len() {
        let attribute = tokens[at].is("#") && tokens.get(at + 1).is_some_and(|t| t.is("["));
        if !attribute {
            at += 1;
            continue;
        }
        let text = texts(tokens, at + 1);
        let mut end = closing(tokens, at + 1);
        if text.starts_with("[cfg(test") || text.starts_with("[cfg(all(test") || text == "[test]" {
            end = item_end(tokens, end + 1);
            tokens[at..=end].iter_mut().for_each(|token| token.test = true);
        }
        at = end + 1;
    }
    if whole {
        tokens.iter_mut().for_each(|token| token.test = true);
    }
}

/// The last token of the item that begins at `at`: its closing brace, or its semicolon or comma.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "{" if tokens[at].is("{") => return closing(tokens, at),
            "(" | "[" if tokens[at].kind == Kind::Sign => at = closing(tokens, at),
            ";" | "," if tokens[at].kind == Kind::Sign => return at,
            _ => {}
        }
        at += 1;
    }
    tokens.len() - 1
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
        } else if token.is(")") || token.is("]") || token.is("}") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len().saturating_sub(1)
}

/// Cuts Rust text into tokens; a string's token keeps its text with the quotes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let (kind, end) = next(&chars, at);
        if let Some(kind) = kind {
            found.push(Token { kind, text: chars[at..end].iter().collect(), line, test: false });
        }
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

/// The kind of what begins at `at`, none for comments and white space, and where it ends.
fn next(chars: &[char], at: usize) -> (Option<Kind>, usize) {
    let peek = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match chars[at] {
        '/' if peek(1) == '/' => (None, until(chars, at, |c| c == '\n')),
        '/' if peek(1) == '*' => (None, block_comment(chars, at)),
        '"' => (Some(Kind::Text), string(chars, at + 1)),
        'b' | 'c' if peek(1) == '"' => (Some(Kind::Text), string(chars, at + 2)),
        'b' if peek(1) == '\'' => (Some(Kind::Text), character(chars, at + 2)),
        'r' if peek(1) == '"' || peek(1) == '#' => raw_string(chars, at, at + 1),
        'b' | 'c' if peek(1) == 'r' && (peek(2) == '"' || peek(2) == '#') => raw_string(chars, at, at + 2),
        '\'' if peek(1) == '\\' || peek(2) == '\'' => (Some(Kind::Text), character(chars, at + 1)),
        '\'' => (Some(Kind::Lifetime), until(chars, at + 1, |c| !word(c))),
        c if c.is_ascii_digit() => (Some(Kind::Number), until(chars, at, |c| !word(c))),
        c if word(c) => (Some(Kind::Word), until(chars, at, |c| !word(c))),
        c if c.is_whitespace() => (None, at + 1),
        _ => (Some(Kind::Sign), at + 1),
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|at| stop(chars[*at])).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string(chars: &[char], from: usize) -> usize {
    quoted(chars, from, '"')
}

fn character(chars: &[char], from: usize) -> usize {
    quoted(chars, from, '\'')
}

fn quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `r"…"`, `r#"…"#` and so on; `r#name` is a word.
fn raw_string(chars: &[char], start: usize, hashes_from: usize) -> (Option<Kind>, usize) {
    let quote = until(chars, hashes_from, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return (
            Some(Kind::Word),
            until(chars, quote.max(start + 1), |c| !(c.is_alphanumeric() || c == '_')),
        );
    }
    let hashes = quote - hashes_from;
    let ends = |at: usize| chars[at] == '"' && (1..=hashes).all(|i| chars.get(at + i) == Some(&'#'));
    let end = (quote + 1..chars.len()).find(|at| ends(*at)).map_or(chars.len(), |at| at + hashes + 1);
    (Some(Kind::Text), end)
}

#[test]
fn comments_strings_and_test_code_are_told_apart() {
    let source = Source::new(
        "api/src/x.rs",
        "fn a<'x>() { \"static }\"; r#\"static \"}\"#; b'\\''; '}'; /* static /* } */ */ } // static }\n\
         #[cfg(test)]\nmod tests { static B: u8 = 0; }\nstruct After;",
    );
    let words: Vec<(&str, usize, bool)> = source
        .tokens
        .iter()
        .filter(|t| t.kind == Kind::Word)
        .map(|t| (t.text.as_str(), t.line, t.test))
        .collect();
    let expected = [
        ("fn", 1, false),
        ("a", 1, false),
        ("cfg", 2, true),
        ("test", 2, true),
        ("mod", 3, true),
        ("tests", 3, true),
        ("static", 3, true),
        ("B", 3, true),
        ("u8", 3, true),
        ("struct", 4, false),
        ("After", 4, false),
    ];
    assert_eq!(words, expected);
}

#[test]
fn modules_of_test_builds_are_found() {
    let declared = |path, text| test_modules(&Source::new(path, text));
    let text = "#[cfg(test)]\nmod doubles;\nmod real;\n#[cfg(test)]\nmod here { fn a() {} }";
    assert_eq!(declared("api/src/outbound/mod.rs", text), ["api/src/outbound/doubles"]);
    assert_eq!(declared("api/src/outbound.rs", text), ["api/src/outbound/doubles"]);
    assert_eq!(declared("keyservice/src/lib.rs", text), ["keyservice/src/doubles"]);
}
