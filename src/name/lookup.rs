//! Names as look-ups want them: in lower case, on the stack, with a hash for each suffix.

use arrayvec::ArrayVec;

use super::{MAX_LABEL, MAX_LABELS, MAX_NAME, label_starts, labels, towards_leaf};

/// A name as look-ups want it: lower-case wire form with the place of each label, on the stack.
#[derive(Clone, Default)]
pub struct LookupName {
    wire: ArrayVec<u8, MAX_NAME>,
    starts: ArrayVec<u8, MAX_LABELS>,
}

impl LookupName {
    /// A name without labels and without its root; `push` and `finish` make a whole name of it.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lower-case copy of an uncompressed name that is known to be well formed.
    pub fn from_wire(wire: &[u8]) -> Self {
        Self::from_parts(wire, &[0])
    }

    /// Lower-case copy of a name whose first labels and whose rest stand apart; together they are well formed.
    pub fn from_parts(first: &[u8], rest: &[u8]) -> Self {
        let mut name = Self::new();
        for label in labels(first).chain(labels(rest)) {
            // A well-formed name has room for each of its labels.
            let _fits = name.push(label);
        }
        name.finish();
        name
    }

    /// Takes the uncompressed name that `octets` begin with, and says where it ends; none if it is broken, or goes on by a
    /// pointer.
    #[inline]
    pub fn read(&mut self, octets: &[u8]) -> Option<usize> {
        let mut end = 0;
        loop {
            let length = usize::from(*octets.get(end)?);
            if length == 0 {
                break;
            }
            if length > MAX_LABEL || end + 1 + length >= MAX_NAME {
                return None;
            }
            self.starts.push(end as u8);
            end += 1 + length;
        }
        self.wire.try_extend_from_slice(&octets[..=end]).ok()?;
        // All at once, lengths too: these are below the letters.
        self.wire.make_ascii_lowercase();
        Some(end + 1)
    }

    /// Adds a label on the right; false if the name would become too long.
    #[inline]
    #[must_use]
    fn push(&mut self, label: &[u8]) -> bool {
        let at = self.wire.len();
        // The root's octet has to fit behind it.
        if at + 1 + label.len() >= MAX_NAME || label.len() > MAX_LABEL {
            return false;
        }
        self.starts.push(at as u8);
        self.wire.push(label.len() as u8);
        let fits = self.wire.try_extend_from_slice(label).is_ok();
        self.wire[at + 1..].make_ascii_lowercase();
        fits
    }

    /// Adds the root: the name is whole.
    #[inline]
    fn finish(&mut self) {
        self.wire.push(0);
    }

    /// The whole name, in lower case.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// How many labels there are, the root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        self.starts.len()
    }

    /// Where the suffix of so many labels starts in the wire form.
    #[inline]
    pub fn suffix_start(&self, label_count: usize) -> usize {
        match self.label_count().checked_sub(label_count) {
            Some(skipped) if label_count > 0 => usize::from(self.starts[skipped]),
            _ => self.wire.len() - 1,
        }
    }

    /// The suffix of so many labels, in wire form; the root for 0.
    #[inline]
    pub fn suffix(&self, label_count: usize) -> &[u8] {
        &self.wire[self.suffix_start(label_count)..]
    }

    /// Hash of each suffix: `[n]` is that of the rightmost `n` labels, `[0]` the root's.
    #[inline]
    pub fn suffix_hashes(&self) -> SuffixHashes {
        let mut hashes = SuffixHashes::new();
        let mut hash = ROOT_HASH;
        hashes.push(hash);
        for label in towards_leaf(&self.wire, &self.starts) {
            hash = extend_hash(hash, label);
            hashes.push(hash);
        }
        hashes
    }
}

/// Hashes of the suffixes of a name, by their number of labels.
pub type SuffixHashes = ArrayVec<u32, { MAX_LABELS + 1 }>;

/// The hash of the root.
pub const ROOT_HASH: u32 = 0x9e37_79b9;

/// The hash of a name from that of its parent and its leftmost label, which must be in lower case.
#[inline]
pub fn extend_hash(parent: u32, label: &[u8]) -> u32 {
    // The multiply-rotate step of FxHash; a collision costs a comparison, no more.
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let step = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let mut hash = step(u64::from(parent), label.len() as u64);
    let mut words = label.chunks_exact(8);
    for word in &mut words {
        // `chunks_exact(8)` yields eight octets each.
        hash = step(hash, u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]));
    }
    let last = words.remainder().iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    hash = step(hash, last);
    (hash ^ hash >> 32) as u32
}

/// The hash of a whole name in lower-case wire form.
pub fn hash_wire(wire: &[u8]) -> u32 {
    towards_leaf(wire, &label_starts(wire)).fold(ROOT_HASH, extend_hash)
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
        let hashes = lookup.suffix_hashes();
        for (count, text) in [(0, "."), (1, "example."), (2, "stream.example."), (3, "h5.stream.example.")] {
            assert_eq!(lookup.suffix(count), name(text).wire());
            assert_eq!(hashes[count], hash_wire(name(text).wire()));
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
        assert_eq!(LookupName::new().read(&longest), Some(255));
        assert_eq!(LookupName::new().read(&[&b"\x01A"[..], &longest].concat()), None);
    }

    #[test]
    fn a_lookup_name_holds_the_longest_name_and_no_longer_one() {
        let mut lookup = LookupName::new();
        for _ in 0..127 {
            assert!(lookup.push(b"A"));
        }
        assert!(!lookup.push(b"a"));
        lookup.finish();
        assert_eq!(lookup.wire().len(), MAX_NAME);
        assert_eq!(lookup.label_count(), MAX_LABELS);
    }
}
