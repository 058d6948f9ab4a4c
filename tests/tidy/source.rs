//! Rust text, taken apart far enough to judge it: words and signs, and comments, each with its line.
//!
//! Knows no rule. What stands in strings and comments is no token, so that it raises no alarm.

/// A file, taken apart.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token<'a>>,
    pub(crate) comments: Vec<Comment<'a>>,
}

/// A word or a sign of the code; numbers, strings and lifetimes are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// A comment, of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    pub(crate) first_line: usize,
    pub(crate) last_line: usize,
    pub(crate) text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut scan = Scan { text, at: 0, line: 1 };
        let mut source = Self { text, tokens: Vec::new(), comments: Vec::new() };
        while let Some(next) = scan.rest().chars().next() {
            let (start, first_line) = (scan.at, scan.line);
            match scan.piece(next) {
                Piece::Code => source.tokens.push(Token { line: first_line, text: &text[start..scan.at] }),
                Piece::Comment => source.comments.push(Comment {
                    first_line,
                    last_line: scan.line,
                    text: &text[start..scan.at],
                }),
                Piece::Nothing => {}
            }
        }
        source
    }

    /// The lines on which these words and signs follow one another.
    pub(crate) fn lines_of<'s>(&'s self, sequence: &'s [&str]) -> impl Iterator<Item = usize> + 's {
        let windows = self.tokens.windows(sequence.len());
        windows
            .filter(move |window| window.iter().zip(sequence).all(|(token, word)| token.text == *word))
            .map(|window| window[0].line)
    }
}

enum Piece {
    Code,
    Comment,
    Nothing,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, bytes: usize) {
        let taken = &self.rest()[..bytes];
        self.line += taken.matches('\n').count();
        self.at += bytes;
    }

    /// Takes all up to and with `end`, or all there is.
    fn take_through(&mut self, end: &str) {
        let bytes = self.rest().find(end).map_or(self.rest().len(), |found| found + end.len());
        self.take(bytes);
    }

    fn piece(&mut self, next: char) -> Piece {
        let rest = self.rest();
        if rest.starts_with("//") {
            self.take(rest.find('\n').unwrap_or(rest.len()));
            return Piece::Comment;
        }
        if rest.starts_with("/*") {
            self.block_comment();
            return Piece::Comment;
        }
        if let Some(bytes) = raw_string(rest) {
            self.take(bytes);
            return Piece::Nothing;
        }
        match next {
            '"' => self.string(),
            '\'' => self.quote(),
            // A sign of its own, although Rust has longer ones.
            _ if !is_word(next) => self.take(next.len_utf8()),
            _ => return self.word(next),
        }
        if next == '"' || next == '\'' || next.is_whitespace() { Piece::Nothing } else { Piece::Code }
    }

    /// A word, and what may be glued to it: `b"..."`, `c"..."`, `b'.'`. Raw strings have been taken before.
    fn word(&mut self, first: char) -> Piece {
        let rest = self.rest();
        if ["b\"", "c\"", "b'"].iter().any(|prefix| rest.starts_with(prefix)) {
            self.take(1);
            return Piece::Nothing;
        }
        if rest.starts_with("r#") {
            self.take(2);
            return Piece::Nothing;
        }
        self.take(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        if first.is_ascii_digit() { Piece::Nothing } else { Piece::Code }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else if let Some(next) = rest.chars().next() {
                self.take(next.len_utf8());
            } else {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(1);
        while let Some(next) = self.rest().chars().next() {
            self.take(next.len_utf8());
            match next {
                '"' => return,
                '\\' => {
                    let escaped = self.rest().chars().next().map_or(0, char::len_utf8);
                    self.take(escaped);
                }
                _ => {}
            }
        }
    }

    /// A character in quotes, or a lifetime, of which the quote alone is taken and the name after it.
    fn quote(&mut self) {
        self.take(1);
        let mut ahead = self.rest().chars();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), Some(escaped)) => {
                self.take(1 + escaped.len_utf8());
                self.take_through("'");
            }
            (Some(_), Some('\'')) => self.take_through("'"),
            _ => {
                let rest = self.rest();
                self.take(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
            }
        }
    }
}

/// The bytes of the raw string that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let behind = &text[prefix.len()..];
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    let body = behind[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closed = body.find(&end).map_or(body.len(), |found| found + end.len());
    Some(prefix.len() + hashes + 1 + closed)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn strings_comments_and_characters_are_no_code() {
    let text = r####"
        // unsafe one
        /* unsafe /* two */ unsafe */
        let a = "unsafe \" unsafe"; let b = r#"unsafe " unsafe"#; let c = b"unsafe"; let d = br"unsafe";
        let e = 'u'; let f = '\''; let g = b'\''; let h = '"'; fn i<'unsafe_>(x: &'unsafe_ str) {}
        let j = '\u{75}'; let k = 0x75; let r#l = c"unsafe";
    "####;
    let source = Source::new(text);
    assert_eq!(source.lines_of(&["unsafe"]).count(), 0);
    let words: Vec<&str> = source.tokens.iter().map(|token| token.text).collect();
    assert_eq!(words.iter().filter(|word| **word == "let").count(), 11);
    assert!(words.contains(&"i") && words.contains(&"str") && words.contains(&"l"));
    assert_eq!(source.comments.len(), 2);
}

#[test]
fn code_behind_a_string_or_a_lifetime_is_seen_on_its_line() {
    let text = "let a = \"x\ny\"; unsafe {}\nfn f<'a>() { unsafe {} }\nlet c = 'a'; unsafe {}";
    let lines: Vec<usize> = Source::new(text).lines_of(&["unsafe", "{"]).collect();
    assert_eq!(lines, [2, 3, 4]);
}
