//! The regular expression of NAPTR records: `!expression!replacement!flags` (RFC 3402 §3.2).

use crate::zone::layout::Fault;

/// Whether the regular expression of a NAPTR record, in wire form, is one.
pub(in crate::zone) fn check(rdata: &[u8]) -> Result<(), Fault> {
    let mut texts = rdata.get(4..).unwrap_or_default();
    for _ in ["flags", "services"] {
        let length = texts.first().map_or(0, |&length| usize::from(length) + 1);
        texts = texts.get(length..).unwrap_or_default();
    }
    let Some((&length, rest)) = texts.split_first() else {
        return Ok(());
    };
    match rest.get(..usize::from(length)) {
        Some([]) | None => Ok(()),
        Some(text) => substitution(text).map_err(|message| Fault::new(message).help(WRITTEN)),
    }
}

fn substitution(text: &[u8]) -> Result<(), String> {
    let delimiter = text[0];
    if delimiter.is_ascii_digit() || matches!(delimiter, 0 | b'\\' | b'i') {
        return Err("the delimiter of the regular expression must not be a digit, `i` or `\\`".to_owned());
    }
    let parts = upto(&text[1..], delimiter).and_then(|(expression, rest)| Some((expression, upto(rest, delimiter)?)));
    let Some((expression, (replacement, flags))) = parts else {
        return Err("the regular expression lacks one of its three delimiters".to_owned());
    };
    if !flags.iter().all(|&flag| flag == b'i') {
        return Err("the only flag of a regular expression is `i`".to_owned());
    }
    let groups = Expression { rest: expression, ..Expression::default() }.check()?;
    let mut rest = replacement;
    while let [octet, after @ ..] = rest {
        rest = after;
        if *octet == b'\\' {
            let Some((&escaped, after)) = after.split_first() else {
                break;
            };
            rest = after;
            if escaped.is_ascii_digit() && !(1..=groups).contains(&usize::from(escaped - b'0')) {
                return Err(format!("`\\{}` names no group of the expression", char::from(escaped)));
            }
        }
    }
    Ok(())
}

/// What stands before the next delimiter that no backslash precedes, and what behind it.
fn upto(text: &[u8], delimiter: u8) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        match octet {
            b'\\' => at += 2,
            _ if octet == delimiter => return Some((&text[..at], &text[at + 1..])),
            _ => at += 1,
        }
    }
    None
}

/// An extended regular expression of POSIX.2 §9.4 while it is read.
#[derive(Default)]
struct Expression<'t> {
    rest: &'t [u8],
    groups: usize,
    open: usize,
    /// There is something that may be repeated.
    has_atom: bool,
    /// Something stands in the branch, be it an anchor.
    has_branch: bool,
}

impl Expression<'_> {
    /// How many groups it has.
    fn check(mut self) -> Result<usize, String> {
        while let [octet, after @ ..] = self.rest {
            self.rest = after;
            let is_bound = *octet == b'{' && matches!(after.first(), Some(b'0'..=b'9' | b','));
            match octet {
                0 => return Err("a regular expression has no zero octet".to_owned()),
                b'*' | b'+' | b'?' => self.repeat()?,
                b'{' if is_bound => {
                    self.repeat()?;
                    self.bound()?;
                }
                b'(' => {
                    self.groups += 1;
                    self.open += 1;
                    // An empty group is allowed, an empty branch is not.
                    let is_empty = after.first() == Some(&b')');
                    (self.has_atom, self.has_branch) = (false, is_empty);
                }
                b')' if self.open > 0 => {
                    self.end_branch()?;
                    self.open -= 1;
                    self.atom();
                }
                b'|' => {
                    self.end_branch()?;
                    (self.has_atom, self.has_branch) = (false, false);
                }
                b'^' | b'$' => (self.has_atom, self.has_branch) = (false, true),
                b'[' => {
                    self.set()?;
                    self.atom();
                }
                b'\\' => {
                    let Some((&escaped, after)) = self.rest.split_first() else {
                        return Err("the regular expression ends with a backslash".to_owned());
                    };
                    self.rest = after;
                    if matches!(escaped, b'1'..=b'9') && usize::from(escaped - b'0') > self.groups {
                        return Err(format!("`\\{}` names no group of the expression", char::from(escaped)));
                    }
                    self.atom();
                }
                _ => self.atom(),
            }
        }
        self.end_branch()?;
        if self.open > 0 {
            return Err("a parenthesis of the regular expression is never closed".to_owned());
        }
        Ok(self.groups)
    }

    fn atom(&mut self) {
        (self.has_atom, self.has_branch) = (true, true);
    }

    fn repeat(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.has_atom) {
            return Err("the regular expression repeats nothing, or twice".to_owned());
        }
        Ok(())
    }

    fn end_branch(&self) -> Result<(), String> {
        if self.has_branch { Ok(()) } else { Err("a branch of the regular expression is empty".to_owned()) }
    }

    /// `n}`, `n,}`, `,n}` or `n,m}`.
    fn bound(&mut self) -> Result<(), String> {
        /// `RE_DUP_MAX` of POSIX.
        const MAX: u32 = 255;
        let wrong = || format!("a bound of the regular expression is not `{{n,m}}` with numbers up to {MAX}");
        let end = self.rest.iter().position(|&octet| octet == b'}').ok_or_else(wrong)?;
        let text = std::str::from_utf8(&self.rest[..end]).map_err(|_| wrong())?;
        self.rest = &self.rest[end + 1..];
        let number = |text: &str, default| match text {
            "" => Some(default),
            _ if text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
            _ => text.parse().ok().filter(|&number: &u32| number <= MAX),
        };
        let (low, high) = text.split_once(',').unwrap_or((text, text));
        match (number(low, 0), number(high, MAX)) {
            (Some(low), Some(high)) if low <= high => Ok(()),
            _ => Err(wrong()),
        }
    }

    /// What stands in brackets, up to the one that closes them.
    fn set(&mut self) -> Result<(), String> {
        let wrong = || "a set `[…]` of the regular expression is not one".to_owned();
        self.rest = self.rest.strip_prefix(b"^").unwrap_or(self.rest);
        let (mut is_first, mut range) = (true, Range::Nothing);
        while let [octet, after @ ..] = self.rest {
            self.rest = after;
            let element = match (octet, after.first()) {
                (b']', _) if !is_first => return Ok(()),
                (b'[', Some(&kind @ (b':' | b'.' | b'='))) => {
                    let name = &after[1..];
                    let end = name.windows(2).position(|pair| pair == [kind, b']']).ok_or_else(wrong)?;
                    self.rest = &name[end + 2..];
                    let is_known = if kind == b':' { CLASSES.contains(&&name[..end]) } else { end > 0 };
                    if !is_known {
                        return Err(wrong());
                    }
                    // A class is no end of a range.
                    range = Range::Done;
                    is_first = false;
                    continue;
                }
                (b'-', Some(next)) if *next != b']' && !is_first => {
                    match range {
                        Range::From(from) if *next >= from => range = Range::To,
                        _ => return Err(wrong()),
                    }
                    continue;
                }
                (octet, _) => *octet,
            };
            range = if range == Range::To { Range::Done } else { Range::From(element) };
            is_first = false;
        }
        Err(wrong())
    }
}

/// How far a range of a set has come.
#[derive(PartialEq, Eq)]
enum Range {
    Nothing,
    From(u8),
    /// The next element ends it.
    To,
    /// It has ended; no other can begin with its end.
    Done,
}

const CLASSES: [&[u8]; 12] = [
    b"alnum", b"alpha", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print", b"punct", b"space", b"upper",
    b"xdigit",
];
const WRITTEN: &str = "write as in `\"!^.*$!sip:info@example.com!\"`, each backslash twice";
