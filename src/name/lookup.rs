//! Names as look-ups want them: in lower case, on the stack, with a hash for each suffix.

use std::sync::OnceLock;

use arrayvec::ArrayVec;

use super::{MAX_LABEL, MAX_LABELS, MAX_NAME, labels};

/// Octets that are copied and put into lower case at once.
const BLOCK: usize = 16;
/// Octets that are hashed at once.
const WORD: usize = 8;
/// Room for the longest name in whole blocks, and for a word from any of its octets on.
const ROOM: usize = MAX_NAME.next_multiple_of(BLOCK) + WORD;

/// A name as look-ups want it: lower-case wire form with place and hash of each suffix, without memory of its own.
///
/// Of names that are common two or three cache lines are used.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct LookupName {
    length: u8,
    /// Of all labels, of all but the first, and so on.
    suffixes: ArrayVec<Suffix, MAX_LABELS>,
    /// What lies behind the name is of no meaning.
    wire: [u8; ROOM],
}

#[derive(Debug, Clone, Copy)]
struct Suffix {
    hash: u32,
    start: u8,
}

impl Default for LookupName {
    fn default() -> Self {
        Self::new()
    }
}

impl LookupName {
    /// The root; `read` makes another name of it.
    #[inline]
    pub fn new() -> Self {
        Self { length: 1, suffixes: ArrayVec::new(), wire: [0; ROOM] }
    }

    /// Makes it the root.
    #[inline]
    pub fn clear(&mut self) {
        (self.wire[0], self.length) = (0, 1);
        self.suffixes.clear();
    }

    /// Lower-case copy of an uncompressed name that is known to be well formed.
    pub fn from_wire(wire: &[u8]) -> Self {
        let mut name = Self::new();
        // What is well formed is read; the root stands for anything else.
        let _end = name.read(wire);
        name
    }

    /// Lower-case copy of a name whose first labels and whose rest stand apart; together they are well formed.
    pub fn from_parts(first: &[u8], rest: &[u8]) -> Self {
        let parts = labels(first).chain(labels(rest));
        let mut wire = ArrayVec::<u8, { MAX_NAME + MAX_NAME }>::new();
        for label in parts {
            wire.push(label.len() as u8);
            wire.extend(label.iter().copied());
        }
        wire.push(0);
        Self::from_wire(&wire)
    }

    /// Takes the uncompressed name that `octets` begin with, and says where it ends; none if it is broken, or goes on by a
    /// pointer. Then the name is the root.
    #[inline]
    pub fn read(&mut self, octets: &[u8]) -> Option<usize> {
        self.clear();
        let Some(end) = self.find_labels(octets) else {
            self.suffixes.clear();
            return None;
        };
        // Whole blocks, lengths of labels too: these are below the letters. What is behind the name may come along.
        let (blocks, rest) = octets.as_chunks::<BLOCK>();
        for (index, to) in self.wire.as_chunks_mut::<BLOCK>().0.iter_mut().take(end.div_ceil(BLOCK)).enumerate() {
            match blocks.get(index) {
                Some(block) => *to = *block,
                None => to[..rest.len()].copy_from_slice(rest),
            }
            to.make_ascii_lowercase();
        }
        self.length = end as u8;
        self.hash();
        Some(end)
    }

    /// Notes where labels start, and says where the name ends.
    #[inline]
    fn find_labels(&mut self, octets: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let length = usize::from(*octets.get(at)?);
            if length == 0 {
                return Some(at + 1);
            }
            let next = at + 1 + length;
            if length > MAX_LABEL || next >= MAX_NAME {
                return None;
            }
            self.suffixes.push(Suffix { hash: 0, start: at as u8 });
            at = next;
        }
    }

    /// Hashes all suffixes.
    #[inline]
    fn hash(&mut self) {
        let secret = secret();
        let mut hash = ROOT_HASH;
        for suffix in self.suffixes.iter_mut().rev() {
            let start = usize::from(suffix.start);
            let length = usize::from(self.wire[start]);
            hash = extend_by_words(secret, hash, length, |at| {
                let word = self.wire[start + 1 + at..].first_chunk();
                word.map_or(0, |word| u64::from_le_bytes(*word))
            });
            suffix.hash = hash;
        }
    }

    /// The whole name, in lower case.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.length)]
    }

    /// How many labels there are, the root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        self.suffixes.len()
    }

    /// Where the suffix of so many labels starts in the wire form.
    #[inline]
    pub fn suffix_start(&self, label_count: usize) -> usize {
        match self.label_count().checked_sub(label_count) {
            Some(skipped) if label_count > 0 => usize::from(self.suffixes[skipped].start),
            _ => usize::from(self.length) - 1,
        }
    }

    /// The suffix of so many labels, in wire form; the root for 0.
    #[inline]
    pub fn suffix(&self, label_count: usize) -> &[u8] {
        &self.wire()[self.suffix_start(label_count)..]
    }

    /// The hash of the suffix of so many labels.
    #[inline]
    pub fn suffix_hash(&self, label_count: usize) -> u32 {
        match self.label_count().checked_sub(label_count) {
            Some(skipped) if label_count > 0 => self.suffixes[skipped].hash,
            _ => ROOT_HASH,
        }
    }

    /// The hash of the whole name.
    #[inline]
    pub fn hash_of_all(&self) -> u32 {
        self.suffixes.first().map_or(ROOT_HASH, |whole| whole.hash)
    }
}

/// Makes the hashes this process's own: nobody can aim at collisions, with names in a zone or names that are asked for.
static SECRET: OnceLock<u64> = OnceLock::new();

/// Has names hashed with a secret, which is to come from chance; it has to come before any name. Without it the hashes are the
/// same in each run, as tests and benchmarks want them. The error is a secret that comes too late.
pub fn hash_with(secret: u64) -> Result<(), u64> {
    SECRET.set(secret)
}

#[inline]
fn secret() -> u64 {
    *SECRET.get_or_init(|| 0)
}

/// The hash of the root.
pub const ROOT_HASH: u32 = 0x9e37_79b9;

/// The hash of a name from that of its parent and its leftmost label, which must be in lower case.
pub fn extend_hash(parent: u32, label: &[u8]) -> u32 {
    extend_by_words(secret(), parent, label.len(), |at| {
        let mut octets = [0; WORD];
        let rest = &label[at..];
        let length = rest.len().min(WORD);
        octets[..length].copy_from_slice(&rest[..length]);
        u64::from_le_bytes(octets)
    })
}

/// The same, of a label of so many octets, of which `word` tells the eight from one on; what is behind the label does not
/// count.
#[inline]
fn extend_by_words(secret: u64, parent: u32, length: usize, word: impl Fn(usize) -> u64) -> u32 {
    // Both halves of a product, folded: each octet then counts in each bit.
    let step = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        product as u64 ^ (product >> 64) as u64
    };
    // A label has 63 octets at most, so its length and the parent's hash are one word.
    let mut hash = secret ^ (u64::from(parent) << 32 | length as u64);
    let mut at = 0;
    while at + WORD < length {
        hash = step(hash, word(at));
        at += WORD;
    }
    let left = length - at;
    let mask = u64::MAX >> (8 * (WORD - left).min(WORD - 1));
    hash = step(hash, word(at) & mask);
    hash as u32
}

/// The hash of a whole name in lower-case wire form.
pub fn hash_wire(wire: &[u8]) -> u32 {
    LookupName::from_wire(wire).hash_of_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn name(text: &str) -> Name {
        Name::parse(text, None).expect(text)
    }

    #[test]
    fn suffixes_of_a_lookup_name_have_the_hashes_of_the_names() {
        let lookup = LookupName::from_wire(name("H5.Stream.Example.").wire());
        assert_eq!(lookup.wire(), b"\x02h5\x06stream\x07example\0");
        for (count, text) in [(0, "."), (1, "example."), (2, "stream.example."), (3, "h5.stream.example.")] {
            assert_eq!(lookup.suffix(count), name(text).wire());
            assert_eq!(lookup.suffix_hash(count), hash_wire(name(text).wire()));
        }
    }

    #[test]
    fn a_name_is_read_up_to_its_end() {
        let longest = [&b"\x01A".repeat(127)[..], b"\0"].concat();
        for (octets, expected) in [
            (&b"\x02H5\x07Example\0\0\x01"[..], Some((12, "h5.example."))),
            (b"\0", Some((1, "."))),
            (b"", None),
            (b"\x02H5", None),
            (b"\x02H5\xc0\x0c", None),
            (b"\x40", None),
        ] {
            let mut name = LookupName::new();
            let read = name.read(octets);
            assert_eq!(read, expected.map(|(end, _)| end), "{octets:?}");
            if let Some((_, text)) = expected {
                assert_eq!(name.wire(), self::name(text).wire());
                assert_eq!(name.label_count(), self::name(text).label_count());
            }
        }
        let mut name = LookupName::new();
        assert_eq!(name.read(&longest), Some(255));
        assert_eq!(name.read(&[&b"\x01A"[..], &longest].concat()), None);
        assert_eq!(
            (name.wire(), name.label_count()),
            (&b"\0"[..], 0),
            "what is broken leaves nothing of the name before"
        );
    }

    #[test]
    fn a_lookup_name_holds_the_longest_name_and_no_longer_one() {
        let (labels, root) = (b"\x01A".repeat(127), b"\0");
        let longest = LookupName::from_parts(&[&labels[..120], root].concat(), &[&labels[120..], root].concat());
        assert_eq!(longest.wire().len(), MAX_NAME);
        assert_eq!(longest.label_count(), MAX_LABELS);
        assert_eq!(longest.suffix(1), b"\x01a\0");
    }

    #[test]
    fn the_hash_of_a_name_is_the_same_whatever_lies_behind_it() {
        for length in 1..=MAX_LABEL {
            let label = vec![b'x'; length];
            let wire = [&[length as u8][..], &label, b"\x03net\0"].concat();
            let expected = extend_hash(extend_hash(ROOT_HASH, b"net"), &label);
            let mut name = LookupName::new();
            assert_eq!(name.read(&[&wire[..], &[0xff; 40]].concat()), Some(wire.len()));
            assert_eq!(name.hash_of_all(), expected, "{length}");
            assert_eq!(hash_wire(&wire), expected, "{length}");
            assert_ne!(extend_hash(ROOT_HASH, &label), extend_hash(ROOT_HASH, &label[1..]), "{length}");
        }
    }
}
