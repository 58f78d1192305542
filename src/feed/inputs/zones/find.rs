//! Where the files of zones are.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Secondary, Written};
use crate::diagnostic::Diagnostic;
use crate::feed::inputs::{Loader, shown};
use crate::feed::secondary::Copy;
use crate::name::Name;

/// The file of a zone.
pub(in crate::feed::inputs) struct ZoneFile {
    /// The zone's name.
    pub(super) origin: Name,
    pub(super) path: PathBuf,
    /// If not, that has been reported; the zone goes on in its old form.
    pub(super) is_there: bool,
    /// The zone comes from other servers: what came of it, if anything did and counts still.
    pub(super) transferred: Option<Option<Arc<Copy>>>,
}

impl ZoneFile {
    /// A zone that is not read now.
    pub(in crate::feed::inputs) fn elsewhere(origin: Name) -> Self {
        Self::of(origin, PathBuf::new(), false)
    }

    fn of(origin: Name, path: PathBuf, is_there: bool) -> Self {
        Self { origin, path, is_there, transferred: None }
    }
}

impl Loader {
    /// Finds the files of all zones: those in the directory, and those that the configuration names.
    pub(in crate::feed::inputs) fn find_zones(&mut self, config: &Config) -> Vec<ZoneFile> {
        let mut files: BTreeMap<Name, PathBuf> = BTreeMap::new();
        let mut contested = BTreeMap::new();
        let directory = self.path(&config.zones.directory.value);
        self.watched.take(&directory);
        self.zone_directory.clone_from(&directory);
        match std::fs::read_dir(&directory) {
            Ok(entries) => {
                for entry in entries {
                    let path = match entry {
                        Ok(entry) => entry.path(),
                        Err(error) => {
                            self.unlisted(config, &error);
                            continue;
                        }
                    };
                    let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".zone")) else {
                        // Parts that are included stand here too; only what was surely meant to be a zone is told.
                        if path.to_string_lossy().to_ascii_lowercase().ends_with(".zone") {
                            let warning =
                                Diagnostic::warning("the file is not read: its name does not end with `.zone`");
                            let help = "write the name in UTF-8 and its end in lower case";
                            self.diagnostics.push(warning.in_file(shown(&path)).help(help));
                        }
                        continue;
                    };
                    // Editors leave such files beside the one that is being written; `..zone` is that of the root.
                    if stem.starts_with('.') && stem != "." {
                        continue;
                    }
                    match Name::parse(stem, None) {
                        Ok(origin) => {
                            if let Some(twin) = files.insert(origin.clone(), path.clone()) {
                                let (first, second) = if twin < path { (&twin, &path) } else { (&path, &twin) };
                                self.diagnostics.push(
                                    Diagnostic::error(format!("{} is of the same zone", shown(first)))
                                        .in_file(shown(second))
                                        .help("one of the two files has to go"),
                                );
                                contested.insert(origin, path);
                            }
                        }
                        Err(error) => self.diagnostics.push(
                            Diagnostic::error(format!("the file's name must be that of its zone: {error}"))
                                .in_file(shown(&path)),
                        ),
                    }
                }
            }
            // Without a directory of zones, each zone may be named on its own.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !(config.zones.files.is_empty() && config.zones.secondaries.is_empty())
                    && config.zones.directory.place.is_none() => {}
            Err(error) => self.unlisted(config, &error),
        }
        let mut missing = Vec::new();
        // Which of the two is meant nobody knows; in which order a directory is listed must not say it.
        for (origin, path) in contested {
            files.remove(&origin);
            if config.zones.files.iter().all(|written| written.value.name != origin) {
                missing.push(ZoneFile::of(origin, path, false));
            }
        }
        for written in &config.zones.files {
            let path = self.path(&written.value.path);
            let origin = written.value.name.clone();
            if let Err(error) = std::fs::metadata(&path) {
                let message = format!("the zone file {} cannot be read: {error}", shown(&path));
                self.diagnostics.push(written.error(message));
                files.remove(&origin);
                self.watched.take(&path);
                missing.push(ZoneFile::of(origin, path, false));
                continue;
            }
            files.insert(origin, path);
        }
        for secondary in &config.zones.secondaries {
            let origin = &secondary.value.name;
            if let Some(path) = files.remove(origin) {
                let message = format!(
                    "the zone {origin} comes from its primaries, but there is a file of it too: {}",
                    shown(&path)
                );
                let help = "take the file away, or `primaries`: which of the two is meant nobody knows";
                self.diagnostics.push(secondary.error(message).help(help));
            }
            missing.retain(|file: &ZoneFile| file.origin != *origin);
        }
        missing.extend(self.transferred(config));
        let found = files.into_iter().map(|(origin, path)| ZoneFile::of(origin, path, true));
        found.chain(missing).collect()
    }

    /// The zones that come from other servers.
    pub(in crate::feed::inputs) fn transferred(&self, config: &Config) -> Vec<ZoneFile> {
        let zone = |written: &Written<Secondary>| {
            let origin = written.value.name.clone();
            let copy = self.copies.of(&origin).cloned();
            let path = copy.as_ref().map_or_else(PathBuf::new, |copy| PathBuf::from(&*copy.source.name));
            ZoneFile { origin, path, is_there: copy.is_some(), transferred: Some(copy) }
        };
        config.zones.secondaries.iter().map(zone).collect()
    }

    /// A directory that cannot be listed, because files are out or it is being replaced, is not one without zones.
    fn unlisted(&mut self, config: &Config, error: &io::Error) {
        let directory = &config.zones.directory;
        let path = shown(&self.path(&directory.value));
        self.block(directory.error(format!("the directory of zones, {path}, cannot be read: {error}")).help(
            "make the directory and put a file NAME.zone for each zone in it, or write `[zone.\"NAME\"] file = …`",
        ));
    }
}
