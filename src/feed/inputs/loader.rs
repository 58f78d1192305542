//! The loader: what it has read so far, what is wrong with it, and how files are read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::{Inputs, Loaded};
use crate::config::Written;
use crate::diagnostic::{Diagnostic, Source};
use crate::feed::inventory::Lists;
use crate::feed::parts::Parts;
use crate::feed::seal::Seal;
use crate::feed::secondary::Copies;
use crate::feed::stamps::Stamps;
use crate::feed::state::Files;

/// Reads inputs.
pub(super) struct Loader {
    /// Relative paths start here.
    pub(super) directory: PathBuf,
    /// Zone files include none from outside it.
    pub(super) zone_directory: PathBuf,
    /// Stands for the root of inputs that were kept.
    pub(super) root: Option<PathBuf>,
    /// The state directory.
    pub(super) state: Option<PathBuf>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) watched: Stamps,
    pub(super) listed: Stamps,
    pub(super) lists: Option<Lists>,
    /// What is wrong with lists.
    pub(super) list_diagnostics: Vec<Diagnostic>,
    pub(super) taken: Taken,
    pub(super) parts: Parts,
    /// Zones that came from other servers.
    pub(super) copies: Copies,
    /// Something is wrong that is not inside a zone: then no input is taken.
    pub(super) is_blocked: bool,
}

/// What was read so far.
#[derive(Default)]
pub(in crate::feed) struct Taken {
    /// Each file, and what stood in it. The path counts too: the name of a file is that of its zone.
    sealed: Vec<(PathBuf, Seal)>,
    /// The octets themselves, if they are to be kept.
    pub(super) kept: Option<Vec<(PathBuf, Vec<u8>)>>,
}

impl Taken {
    /// Nothing yet, of somebody who keeps octets or does not, as this one.
    pub(super) fn like(&self) -> Self {
        Self { sealed: Vec::new(), kept: self.kept.as_ref().map(|_| Vec::new()) }
    }

    /// Takes what stood in a file.
    pub(in crate::feed) fn take(&mut self, path: &Path, octets: &[u8]) -> Seal {
        let seal = Seal::of(octets);
        self.sealed.push((path.to_owned(), seal));
        self.keep(path, octets);
        seal
    }

    /// Keeps what stood in a file by another path to it too.
    pub(in crate::feed) fn keep(&mut self, path: &Path, octets: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.push((path.to_owned(), octets.to_vec()));
        }
    }

    /// Stands for all that was read, in this run of the program.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.sealed.hash(&mut hasher);
        hasher.finish()
    }

    /// Takes what somebody else read.
    pub(super) fn append(&mut self, other: Self) {
        self.sealed.extend(other.sealed);
        if let (Some(ours), Some(others)) = (&mut self.kept, other.kept) {
            ours.extend(others);
        }
    }
}

impl Loader {
    pub(super) fn new(file: &Path, root: Option<PathBuf>) -> Self {
        let directory = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut watched = Stamps::default();
        watched.take(file);
        Self {
            zone_directory: directory.clone(),
            directory,
            root,
            diagnostics: Vec::new(),
            watched,
            listed: Stamps::default(),
            lists: None,
            state: None,
            list_diagnostics: Vec::new(),
            taken: Taken::default(),
            parts: Parts::default(),
            copies: Copies::default(),
            is_blocked: false,
        }
    }

    pub(super) fn into_loaded(self, inputs: Option<Inputs>) -> Loaded {
        let Self { mut diagnostics, list_diagnostics, watched, listed, lists, .. } = self;
        let of_lists = list_diagnostics.len();
        diagnostics.extend(list_diagnostics);
        let files = Files::default();
        Loaded { inputs, diagnostics, of_lists, is_lists_only: false, watched, listed, lists, files }
    }

    /// Where a path of the configuration leads.
    pub(super) fn path(&self, written: &Path) -> PathBuf {
        match (&self.root, written.strip_prefix("/")) {
            (Some(root), Ok(below)) => root.join(below),
            _ => self.directory.join(written),
        }
    }

    /// Reports an error that keeps all inputs from being taken.
    pub(super) fn block(&mut self, error: Diagnostic) {
        self.diagnostics.push(error);
        self.is_blocked = true;
    }

    /// A table that the configuration names.
    pub(super) fn read_table(&mut self, written: &Written<PathBuf>) -> Option<Source> {
        let path = self.path(&written.value);
        self.watched.take(&path);
        if let Err(error) = std::fs::metadata(&path) {
            self.diagnostics.push(written.error(format!("{} cannot be read: {error}", shown(&path))));
            return None;
        }
        self.text(&path, read_file(&path))
    }

    /// What was read of a file.
    pub(super) fn octets(&mut self, path: &Path, read: io::Result<Vec<u8>>) -> Option<Vec<u8>> {
        let octets = read.map_err(|error| {
            self.diagnostics.push(Diagnostic::error(format!("cannot be read: {error}")).in_file(shown(path)));
        });
        let octets = octets.ok()?;
        self.taken.take(path, &octets);
        Some(octets)
    }

    /// The same as text.
    pub(super) fn text(&mut self, path: &Path, read: io::Result<Vec<u8>>) -> Option<Source> {
        match String::from_utf8(self.octets(path, read)?) {
            Ok(text) => Some(Source::new(shown(path), text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.diagnostics.push(
                    Diagnostic::error(format!("is not UTF-8: see octet {valid}, on line {line}"))
                        .in_file(shown(path))
                        .help("save it as UTF-8"),
                );
                None
            }
        }
    }
}

/// What stands in a file. To read a pipe or a device might never end, and with it no reload.
pub(in crate::feed) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::Error::other("it is no file")),
    }
}

pub(in crate::feed) fn shown(path: &Path) -> String {
    path.display().to_string()
}
