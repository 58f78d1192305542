//! As much of the syntax of Rust as telling who imports whom needs: tokens, test modules, paths.

/// `a::b::c` as written, one for each leaf of a group.
#[derive(Debug)]
pub(crate) struct ModulePath {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// Inline modules around it.
    pub(crate) inside: Vec<String>,
}

pub(crate) fn paths(tokens: &[Token]) -> Vec<ModulePath> {
    let mut found = Vec::new();
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|next| next.text == "{") => {
                depth += 1;
                inside.push((tokens[at + 1].text.clone(), depth));
                at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                inside.retain(|(_, opened)| *opened != depth);
                depth = depth.saturating_sub(1);
            }
            _ if token.is_word() => {
                let names: Vec<String> = inside.iter().map(|(name, _)| name.clone()).collect();
                at = read_path(tokens, at, &[], &names, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path or a tree of them that begins at `at`; returns where it ends.
fn read_path(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    inside: &[String],
    found: &mut Vec<ModulePath>,
) -> usize {
    let line = tokens[at].line;
    let mut segments = prefix.to_vec();
    segments.push(tokens[at].text.clone());
    at += 1;
    while tokens.get(at).is_some_and(|token| token.text == "::") {
        match tokens.get(at + 1) {
            Some(next) if next.is_word() || next.text == "*" => {
                segments.push(next.text.clone());
                at += 2;
            }
            Some(next) if next.text == "{" => {
                at += 2;
                while let Some(token) = tokens.get(at).filter(|token| token.text != "}") {
                    let is_leaf = token.is_word() || token.text == "*";
                    at = if is_leaf { read_path(tokens, at, &segments, inside, found) } else { at + 1 };
                    // The word after `as` is a new name, not a path.
                    if tokens.get(at).is_some_and(|token| token.text == "as") {
                        at += 2;
                    }
                }
                return at + 1;
            }
            _ => break,
        }
    }
    found.push(ModulePath { line, segments, inside: inside.to_vec() });
    at
}

/// Takes `#[cfg(test)] mod NAME { … }` out, and names the modules of `#[cfg(test)] mod NAME;`.
pub(crate) fn without_test_modules(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut kept = Vec::new();
    let mut children = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if (0..MARK.len()).all(|step| text(at + step) == MARK[step]) {
            let mut next = at + MARK.len();
            while text(next) == "#" {
                next = after_group(tokens, next + 1);
            }
            if text(next) == "pub" {
                next = if text(next + 1) == "(" { after_group(tokens, next + 1) } else { next + 1 };
            }
            if text(next) == "mod" && text(next + 2) == "{" {
                at = after_group(tokens, next + 2);
                continue;
            }
            if text(next) == "mod" && text(next + 2) == ";" {
                children.push(text(next + 1).to_owned());
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    (kept, children)
}

/// Where the group that opens at `at` has ended.
fn after_group(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A word, `::`, or one other sign; comments, strings and characters are left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (length, is_code) = next_token(rest);
        let token = &rest[..length];
        if is_code {
            found.push(Token { line, text: token.trim_start_matches("r#").to_owned() });
        }
        line += token.matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Octets of what stands at the head of `rest`, and whether it is a word or a sign.
fn next_token(rest: &str) -> (usize, bool) {
    let first = rest.chars().next().expect("the caller found it not empty");
    let up_to = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return (up_to(0, "\n"), false);
    }
    if rest.starts_with("/*") {
        return (block_comment_length(rest), false);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    if first == '\'' {
        let mut next = rest[1..].chars();
        let length = match (next.next(), next.next()) {
            (Some('\\'), Some(escaped)) => up_to(2 + escaped.len_utf8(), "'"),
            (Some(c), Some('\'')) => c.len_utf8() + 2,
            // A lifetime.
            _ => 1 + word_length(&rest[1..]),
        };
        return (length, false);
    }
    let word = word_length(rest);
    let (prefix, tail) = rest.split_at(word);
    if matches!(prefix, "" | "b" | "c") && tail.starts_with('"') {
        return (word + string_length(tail), false);
    }
    if matches!(prefix, "r" | "br" | "cr") {
        let fence = tail.len() - tail.trim_start_matches('#').len();
        if tail[fence..].starts_with('"') {
            return (up_to(word + fence + 1, &format!("\"{}", &tail[..fence])), false);
        }
        if fence == 1 {
            return (word + 1 + word_length(&tail[1..]), true);
        }
    }
    (word.max(first.len_utf8()), !first.is_whitespace() && !first.is_ascii_digit())
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

fn string_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    rest.len()
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}
