//! `$INCLUDE`: the records of another file at this place (RFC 1035 §5.1).

use std::sync::Arc;

use super::lex::Word;
use super::read::Reader;
use crate::diagnostic::{Diagnostic, Source};
use crate::name::{Name, unescape};

/// How deep files may include each other.
pub(super) const MAX_DEPTH: usize = 16;
/// How many files a zone may consist of, each counted as often as it is included.
pub(super) const MAX_FILES: usize = 10_000;

/// A file that is wanted by a zone file.
#[derive(Debug, Clone, Copy)]
pub struct Inclusion<'r> {
    /// Its path as it is written, without quotes and escapes.
    pub path: &'r [u8],
    /// The text that includes it.
    pub by: &'r Source,
}

/// Opens included files. For the same file it must give the same text, not a copy: loops are told by that.
pub type Open<'o> = dyn FnMut(&Inclusion<'_>) -> Result<Source, Box<Diagnostic>> + 'o;

impl Reader<'_, '_, '_> {
    /// Reads `$INCLUDE file [origin]`.
    ///
    /// As BIND does, origin and owner are afterwards what they were before, and `$TTL` stays.
    pub(super) fn include(&mut self, word: Word, arguments: &[Word]) {
        let (path_word, origin) = match arguments {
            [path] => (*path, self.origin.clone()),
            [path, origin] => match Name::parse(self.text(*origin), Some(&self.origin)) {
                Ok(name) => (*path, name),
                Err(error) => return self.error(*origin, error.to_string(), None),
            },
            [] => return self.error(word, "`$INCLUDE` lacks its file", Some(WRITTEN)),
            [_, _, surplus, ..] => return self.error(*surplus, "`$INCLUDE` takes a file and an origin", Some(WRITTEN)),
        };
        let included_at = self.start + word.span().start as u32;
        let Some((source, start)) = self.open(path_word, included_at) else {
            return;
        };
        let owner = self.state.take_owner();
        self.state.set_owner(owner.clone());
        let known_problems = self.state.problems.len();
        Reader { source: &source, start, included_at: Some(included_at), origin, state: &mut *self.state }.read();
        self.state.set_owner(owner);
        self.state.say_who_includes(start, known_problems);
    }

    /// Opens a file, if it may be opened here; the text, and the number of its first octet.
    fn open(&mut self, path_word: Word, included_at: u32) -> Option<(Source, u32)> {
        let path = match unescaped(self.text(path_word)) {
            Ok(path) => path,
            Err(error) => {
                self.error(path_word, error.to_string(), None);
                return None;
            }
        };
        // The file itself, and those above it.
        let depth = 1 + self.state.records.texts.path(self.included_at).count();
        if depth > MAX_DEPTH {
            let message = format!("files include each other more than {MAX_DEPTH} deep");
            self.error(path_word, message, Some("include fewer files from included ones"));
            return None;
        }
        if self.state.records.texts.count() > MAX_FILES {
            let message = format!("more than {MAX_FILES} files are included");
            self.error(path_word, message, Some("join some of them"));
            return None;
        }
        let opened = (self.state.open)(&Inclusion { path: &path, by: self.source });
        let source = match opened {
            Ok(source) => source,
            Err(refusal) => {
                self.state.problems.push(refusal.at(self.source, path_word.span()));
                return None;
            }
        };
        let is_open = |text: &Source| Arc::ptr_eq(&text.text, &source.text);
        if is_open(self.source) || self.state.records.texts.path(self.included_at).any(|(text, _)| is_open(text)) {
            let message = format!("`{}` includes itself", source.name);
            self.error(path_word, message, Some("take one of the `$INCLUDE` lines out"));
            return None;
        }
        let start = self.state.records.texts.open(&source, Some(included_at));
        if start.is_none() {
            self.error(path_word, "the zone is too large: more than 4 GiB of text", None);
        }
        Some((source, start?))
    }
}

const WRITTEN: &str = "write `$INCLUDE file`, or `$INCLUDE file origin`";

fn unescaped(text: &str) -> Result<Vec<u8>, crate::name::NameError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        let (octet, after) = if octet == b'\\' { unescape(after)? } else { (octet, after) };
        octets.push(octet);
        rest = after;
    }
    Ok(octets)
}
