//! Domain names in wire form: parse, print, compare, hash, canonical order.
#![deny(clippy::disallowed_methods)]

mod lookup;

pub use lookup::{LookupName, ROOT_HASH, extend_hash, hash_wire, hash_with};

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use arrayvec::ArrayVec;

/// Octets of the longest name in wire form, the root's zero octet included (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// Octets of the longest label (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;
/// Labels of the longest name: 127 of one octet, the root not counted.
pub const MAX_LABELS: usize = 127;

/// An absolute domain name in uncompressed wire form.
///
/// The case it was written in is kept; equality, hash and order ignore the case of ASCII letters
/// (RFC 4343), and the order is the canonical one of RFC 4034 §6.1.
#[derive(Clone)]
pub struct Name {
    wire: Box<[u8]>,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self { wire: Box::new([0]) }
    }

    /// Reads a name in presentation form (RFC 1035 §5.1), with `\X` and `\DDD` escapes.
    ///
    /// A name without a dot at its end is continued by `origin`; without an origin it counts as
    /// absolute. `@` alone is the origin.
    pub fn parse(text: &str, origin: Option<&Name>) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        match (bytes, origin) {
            ([], _) => return Err(NameError::Empty),
            (b".", _) => return Ok(Self::root()),
            (b"@", Some(origin)) => return Ok(origin.clone()),
            _ => {}
        }
        let mut wire = Vec::with_capacity(bytes.len() + 2);
        let mut label_at = 0;
        wire.push(0);
        let mut rest = bytes;
        let mut is_absolute = false;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            is_absolute = false;
            let octet = match byte {
                b'.' => {
                    close_label(&mut wire, &mut label_at)?;
                    is_absolute = true;
                    continue;
                }
                b'\\' => {
                    let (octet, after) = unescape(rest)?;
                    rest = after;
                    octet
                }
                other => other,
            };
            wire.push(octet);
        }
        if is_absolute {
            // `close_label` has already opened the label that is the root.
            wire.truncate(label_at + 1);
        } else {
            close_label(&mut wire, &mut label_at)?;
            wire.truncate(label_at);
            wire.extend_from_slice(origin.map_or(&[0], Name::wire));
        }
        if wire.len() > MAX_NAME {
            return Err(NameError::NameTooLong(wire.len()));
        }
        Ok(Self { wire: wire.into() })
    }

    /// Takes a name from uncompressed wire form; `wire` must be the name and nothing else.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut at = 0;
        loop {
            let length = usize::from(*wire.get(at).ok_or(NameError::Unfinished)?);
            if length > MAX_LABEL {
                return Err(NameError::LabelTooLong(length));
            }
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        if at != wire.len() {
            return Err(NameError::Unfinished);
        }
        if at > MAX_NAME {
            return Err(NameError::NameTooLong(at));
        }
        Ok(Self { wire: wire.into() })
    }

    /// The uncompressed wire form, in the case it was written in.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The uncompressed wire form in lower case.
    pub fn lower_wire(&self) -> Box<[u8]> {
        // Length octets are at most 63, so lower-casing cannot touch them.
        self.wire.to_ascii_lowercase().into()
    }

    /// Labels from the leftmost on, the root not included.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> + Clone {
        labels(&self.wire)
    }

    /// How many labels there are, the root not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name without its leftmost label; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let length = usize::from(self.wire[0]);
        (length > 0).then(|| Self { wire: self.wire[length + 1..].into() })
    }

    /// Whether this name is `ancestor` or below it.
    pub fn is_at_or_below(&self, ancestor: &Name) -> bool {
        is_at_or_below(&self.wire, &ancestor.wire)
    }

    /// Whether the leftmost label is the asterisk label (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.wire.starts_with(b"\x01*")
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire.eq_ignore_ascii_case(&other.wire)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in &*self.wire {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_order(&self.wire, &other.wire)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printed(&self.wire).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// There is no text.
    Empty,
    /// Two dots in a row, or a dot at the start.
    EmptyLabel,
    /// A label of so many octets.
    LabelTooLong(usize),
    /// A name of so many octets.
    NameTooLong(usize),
    /// A backslash that is followed by neither a character nor three digits up to 255.
    BadEscape,
    /// Wire form that ends too early or goes on after its end.
    Unfinished,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a name is missing"),
            Self::EmptyLabel => write!(f, "a label is empty"),
            Self::LabelTooLong(octets) => write!(f, "a label has {octets} octets, at most {MAX_LABEL} are allowed"),
            Self::NameTooLong(octets) => write!(f, "the name has {octets} octets, at most {MAX_NAME} are allowed"),
            Self::BadEscape => write!(f, "a backslash must be followed by a character or by three digits up to 255"),
            Self::Unfinished => write!(f, "the wire form of the name is not whole"),
        }
    }
}

impl std::error::Error for NameError {}

/// Prints a name in wire form as RFC 1035 §5.1 and RFC 4343 §2.1 have it: with a dot at the end,
/// escapes for what is special or not printable.
pub struct Printed<'a>(pub &'a [u8]);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.first() == Some(&0) {
            return f.write_str(".");
        }
        for label in labels(self.0) {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

/// Labels of a name in uncompressed wire form, from the leftmost on, the root not included.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            return None;
        }
        let (label, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(label)
    })
}

/// Octets of the uncompressed, well-formed name that `wire` begins with, its root included.
#[inline]
pub fn wire_length(wire: &[u8]) -> usize {
    labels(wire).map(|label| 1 + label.len()).sum::<usize>() + 1
}

/// Whether a name in uncompressed wire form is `ancestor` or below it.
pub fn is_at_or_below(wire: &[u8], ancestor: &[u8]) -> bool {
    wire.len()
        .checked_sub(ancestor.len())
        .is_some_and(|at| starts_label(wire, at) && wire[at..].eq_ignore_ascii_case(ancestor))
}

/// Whether a label of the name, or its root, starts at this octet.
pub fn starts_label(wire: &[u8], at: usize) -> bool {
    let mut start = 0;
    for label in labels(wire) {
        if start >= at {
            break;
        }
        start += 1 + label.len();
    }
    start == at
}

/// Canonical order of RFC 4034 §6.1: by labels from the right, each as lower-case octets.
pub fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    let (left, right) = (label_starts(a), label_starts(b));
    let mut pairs = towards_leaf(a, &left).zip(towards_leaf(b, &right));
    pairs
        .find_map(|(x, y)| {
            let order = x.iter().map(u8::to_ascii_lowercase).cmp(y.iter().map(u8::to_ascii_lowercase));
            order.is_ne().then_some(order)
        })
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// Where each label of a name starts.
fn label_starts(wire: &[u8]) -> ArrayVec<u8, MAX_LABELS> {
    let mut at = 0;
    let starts = labels(wire).take(MAX_LABELS).map(|label| {
        let start = at;
        at += 1 + label.len();
        start as u8
    });
    starts.collect()
}

/// Labels from the rightmost on.
#[inline]
fn towards_leaf<'a>(wire: &'a [u8], starts: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    starts.iter().rev().map(|&start| {
        let at = usize::from(start);
        &wire[at + 1..at + 1 + usize::from(wire[at])]
    })
}

/// Writes the length of the label that began at `label_at` and opens the next one.
fn close_label(wire: &mut Vec<u8>, label_at: &mut usize) -> Result<(), NameError> {
    let length = wire.len() - *label_at - 1;
    if length == 0 {
        return Err(NameError::EmptyLabel);
    }
    if length > MAX_LABEL {
        return Err(NameError::LabelTooLong(length));
    }
    wire[*label_at] = length as u8;
    *label_at = wire.len();
    wire.push(0);
    Ok(())
}

/// The octet behind a backslash, and what follows it (RFC 1035 §5.1).
pub fn unescape(rest: &[u8]) -> Result<(u8, &[u8]), NameError> {
    match rest {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
            let value = [a, b, c].into_iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
            u8::try_from(value).map(|octet| (octet, after)).map_err(|_| NameError::BadEscape)
        }
        [b'0'..=b'9', ..] | [] => Err(NameError::BadEscape),
        [octet, after @ ..] => Ok((*octet, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text, None).expect(text)
    }

    #[test]
    fn text_becomes_wire_form_and_text_again() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("live.example.", b"\x04live\x07example\0"),
            ("*.Live.example.", b"\x01*\x04Live\x07example\0"),
            ("a\\.b.c.", b"\x03a.b\x01c\0"),
            ("\\000\\255.", b"\x02\x00\xff\0"),
        ] {
            assert_eq!(name(text).wire(), wire, "{text}");
            assert_eq!(name(text).to_string(), text);
            assert_eq!(Name::from_wire(wire).expect(text), name(text));
        }
        assert_eq!(name("no.dot").to_string(), "no.dot.");
    }

    #[test]
    fn relative_names_get_the_origin() {
        let origin = name("live.example.");
        for (text, expected) in
            [("@", "live.example."), ("a", "a.live.example."), ("a.b", "a.b.live.example."), ("a.", "a.")]
        {
            assert_eq!(Name::parse(text, Some(&origin)).expect(text), name(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = "abcdefg.".repeat(32);
        for (text, error) in [
            ("", NameError::Empty),
            ("a..b.", NameError::EmptyLabel),
            (".a.", NameError::EmptyLabel),
            ("..", NameError::EmptyLabel),
            (&long_label, NameError::LabelTooLong(64)),
            (&long_name, NameError::NameTooLong(257)),
            ("a\\", NameError::BadEscape),
            ("a\\25", NameError::BadEscape),
            ("a\\256.", NameError::BadEscape),
        ] {
            assert_eq!(Name::parse(text, None), Err(error), "{text}");
        }
        assert_eq!(Name::from_wire(b"\x04live"), Err(NameError::Unfinished));
        assert_eq!(Name::from_wire(b"\0\0"), Err(NameError::Unfinished));
        assert!(Name::parse(&"abcdefg.".repeat(31), None).is_ok());
    }

    #[test]
    fn ancestors_count_by_labels_and_without_case() {
        assert!(name("a.Live.example.").is_at_or_below(&name("live.EXAMPLE.")));
        assert!(name("live.example.").is_at_or_below(&name("live.example.")));
        assert!(name("live.example.").is_at_or_below(&Name::root()));
        assert!(!name("alive.example.").is_at_or_below(&name("live.example.")));
        assert!(!name("example.").is_at_or_below(&name("live.example.")));
        // The octets of the ancestor stand inside a label here.
        assert!(!Name::from_wire(b"\x03a\x01b\0").expect("whole").is_at_or_below(&name("b.")));
    }

    #[test]
    fn order_is_the_example_of_rfc_4034() {
        let ordered = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        let mut names: Vec<Name> = ordered.iter().rev().map(|text| name(text)).collect();
        names.sort();
        assert_eq!(names, ordered.map(name));
    }
}
