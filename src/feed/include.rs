//! Files that zone files include: found, kept inside the directory of zones, read once a zone.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inputs::{Taken, read_file, shown};
use super::stamps::Stamps;
use crate::diagnostic::{Diagnostic, Source};
use crate::zone::{self, Inclusion};

/// The files of one zone.
pub(super) struct Includes {
    /// No file outside this directory is opened; in its real form, without symbolic links.
    jail: io::Result<PathBuf>,
    /// By their real paths.
    opened: HashMap<PathBuf, Source>,
    /// Where a source stands: what it includes is sought beside it.
    paths: HashMap<Arc<str>, PathBuf>,
}

impl Includes {
    /// Those of a zone whose own file has been read.
    pub(super) fn new(zone_directory: &Path, path: &Path, source: &Source) -> Self {
        let real = |path: &Path| match path.as_os_str().is_empty() {
            true => Path::new(".").canonicalize(),
            false => path.canonicalize(),
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        // A zone whose file is configured to lie elsewhere has the directory that it lies in.
        let jail = real(zone_directory).ok().filter(|jail| real(beside).is_ok_and(|beside| beside.starts_with(jail)));
        let jail = jail.map_or_else(|| real(beside), Ok);
        let opened = path.canonicalize().ok().map(|path| (path, source.clone())).into_iter().collect();
        Self { jail, opened, paths: HashMap::from([(Arc::clone(&source.name), path.to_owned())]) }
    }

    /// What was opened.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.opened.values().map(|source| &*source.text)
    }

    /// Opens a file that a zone file includes, and has it watched, also if it is not there.
    pub(super) fn open(
        &mut self,
        inclusion: &Inclusion<'_>,
        watched: &mut Stamps,
        taken: &mut Taken,
    ) -> Result<Source, Box<Diagnostic>> {
        let by = self.paths.get(&inclusion.by.name).and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let path = by.join(OsStr::from_bytes(inclusion.path));
        let unreadable = |error: &io::Error| {
            let help = format!("the path starts at the directory of {}", inclusion.by.name);
            Box::new(Diagnostic::error(format!("{} cannot be read: {error}", shown(&path))).help(help))
        };
        let jail = self.jail.as_ref().map_err(&unreadable)?;
        let outside = || {
            let error = Diagnostic::error(format!("{} is outside {}", shown(&path), shown(jail)));
            Box::new(error.help("only files in the directory of zones can be included, also by symbolic links"))
        };
        // Nothing is told, and nothing watched, of what is outside.
        let real = path.canonicalize().map_err(|error| match is_below(&path, jail) {
            true => {
                watched.take(&path);
                unreadable(&error)
            }
            false => outside(),
        })?;
        if !real.starts_with(jail) {
            return Err(outside());
        }
        watched.take(&path);
        watched.take(&real);
        if let Some(source) = self.opened.get(&real) {
            return Ok(source.clone());
        }
        let octets = read_file(&real).map_err(|error| unreadable(&error))?;
        taken.take(&real, &octets);
        taken.keep(&path, &octets);
        let source = Source::new(shown(&path), zone::text_of(octets));
        // It may be reached by several links; what it includes is sought beside itself.
        self.paths.insert(Arc::clone(&source.name), real.clone());
        self.opened.insert(real, source.clone());
        Ok(source)
    }
}

/// Whether a path that leads to nothing would lead into a directory: its nearest ancestor that is there does.
fn is_below(path: &Path, directory: &Path) -> bool {
    let is_plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    let there = path.ancestors().skip(1).find_map(|ancestor| match ancestor.as_os_str().is_empty() {
        true => Path::new(".").canonicalize().ok(),
        false => ancestor.canonicalize().ok(),
    });
    is_plain && there.is_some_and(|there| there.starts_with(directory))
}
