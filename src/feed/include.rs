//! Files that zone files include: found, kept inside the directory of zones, read once a zone.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inputs::{Taken, read_file, shown};
use super::seal::Seal;
use super::stamps::Stamps;
use crate::diagnostic::{Diagnostic, Source};
use crate::zone::{self, Inclusion};

/// The files of one zone.
pub(super) struct Includes {
    /// No file outside this directory is opened; in its real form, without symbolic links.
    jail: io::Result<PathBuf>,
    /// By their real paths; the zone's own file is among them.
    opened: HashMap<PathBuf, Opened>,
    /// Where a source stands: what it includes is sought beside it.
    paths: HashMap<Arc<str>, PathBuf>,
    /// Their texts, by their real paths.
    texts: HashMap<PathBuf, Source>,
    inclusions: Inclusions,
}

/// What a zone's files wanted to include, one after the other, and what they got. While that is the same, and the octets of the
/// zone's own file are, so is all that is read.
#[derive(Debug, Default, Clone)]
pub(super) struct Inclusions {
    /// The real path of the zone's own file: what includes this, includes itself.
    own: Option<PathBuf>,
    wanted: Vec<Wanted>,
}

#[derive(Debug, Clone)]
struct Wanted {
    /// The name of the text that includes it.
    by: Arc<str>,
    path: Box<[u8]>,
    /// The file, or why there is none.
    got: Result<Opened, String>,
}

/// A file that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opened {
    /// What messages call it.
    name: Arc<str>,
    real: PathBuf,
    seal: Seal,
}

impl Includes {
    /// Those of a zone whose own file has been read, and is called so in messages.
    pub(super) fn new(zone_directory: &Path, path: &Path, name: &Arc<str>, seal: Seal) -> Self {
        let real = |path: &Path| match path.as_os_str().is_empty() {
            true => Path::new(".").canonicalize(),
            false => path.canonicalize(),
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        // A zone whose file is configured to lie elsewhere has the directory that it lies in.
        let jail = real(zone_directory).ok().filter(|jail| real(beside).is_ok_and(|beside| beside.starts_with(jail)));
        let jail = jail.map_or_else(|| real(beside), Ok);
        let own = path.canonicalize().ok();
        let opened = |real: &PathBuf| (real.clone(), Opened { name: Arc::clone(name), real: real.clone(), seal });
        Self {
            jail,
            opened: own.iter().map(opened).collect(),
            paths: HashMap::from([(Arc::clone(name), path.to_owned())]),
            texts: HashMap::new(),
            inclusions: Inclusions { own, wanted: Vec::new() },
        }
    }

    /// Takes the text of the zone's own file.
    pub(super) fn begin(&mut self, source: &Source) {
        self.texts.extend(self.inclusions.own.iter().map(|own| (own.clone(), source.clone())));
    }

    /// Opens a file that a zone file includes, and has it watched, also if it is not there.
    pub(super) fn open(
        &mut self,
        inclusion: &Inclusion<'_>,
        watched: &mut Stamps,
        taken: &mut Taken,
    ) -> Result<Source, Box<Diagnostic>> {
        let found = self.find(&inclusion.by.name, inclusion.path, watched, taken);
        let got = found.as_ref().map(|(opened, _)| opened.clone()).map_err(ToString::to_string);
        let (by, path) = (Arc::clone(&inclusion.by.name), inclusion.path.into());
        self.inclusions.wanted.push(Wanted { by, path, got });
        let (opened, octets) = found?;
        let text = |octets| Source::new(opened.name, zone::text_of(octets));
        Ok(self.texts.entry(opened.real).or_insert_with(|| text(octets.unwrap_or_default())).clone())
    }

    /// Whether all that was wanted then would be got now. If not, some of it has been opened, and nothing else can.
    pub(super) fn are_still(&mut self, before: &Inclusions, watched: &mut Stamps, taken: &mut Taken) -> bool {
        self.inclusions.own == before.own
            && before.wanted.iter().all(|wanted| {
                match (self.find(&wanted.by, &wanted.path, watched, taken), &wanted.got) {
                    (Ok((now, _)), Ok(then)) => now == *then,
                    (Err(now), Err(then)) => now.to_string() == *then,
                    _ => false,
                }
            })
    }

    /// What was wanted and got, and the texts of included files.
    pub(super) fn end(mut self) -> (Inclusions, impl Iterator<Item = Source>) {
        if let Some(own) = &self.inclusions.own {
            self.texts.remove(own);
        }
        (self.inclusions, self.texts.into_values())
    }

    /// Finds a file that is to be included, and reads it if that has not been done.
    fn find(
        &mut self,
        by: &str,
        written: &[u8],
        watched: &mut Stamps,
        taken: &mut Taken,
    ) -> Result<(Opened, Option<Vec<u8>>), Box<Diagnostic>> {
        let beside = self.paths.get(by).and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let path = beside.join(OsStr::from_bytes(written));
        let unreadable = |error: &io::Error| {
            let help = format!("the path starts at the directory of {by}");
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
        if let Some(opened) = self.opened.get(&real) {
            return Ok((opened.clone(), None));
        }
        let octets = read_file(&real).map_err(|error| unreadable(&error))?;
        let seal = taken.take(&real, &octets);
        taken.keep(&path, &octets);
        let opened = Opened { name: shown(&path).into(), real: real.clone(), seal };
        // It may be reached by several links; what it includes is sought beside itself.
        self.paths.insert(Arc::clone(&opened.name), real.clone());
        self.opened.insert(real, opened.clone());
        Ok((opened, Some(octets)))
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
