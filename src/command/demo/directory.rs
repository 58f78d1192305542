//! The directory of an installation that lives as long as the demonstration, unless somebody edits it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names that are tried, should some be taken.
const TRIES: u32 = 100;

/// A directory of our own; removed when dropped, unless something in it is not as we wrote it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    written: Vec<(PathBuf, String)>,
}

impl Directory {
    /// Makes a new directory where temporary files go.
    pub(super) fn create() -> io::Result<Self> {
        let id = std::process::id();
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..TRIES {
            let path = std::env::temp_dir().join(format!("thalweg-demo-{id}-{number}"));
            // Everybody may write there: a directory that is there already is not ours.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, written: Vec::new() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and returns its path; `name` may begin with directories.
    pub(super) fn write(&mut self, name: &str, text: String) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &text)?;
        self.written.push((path.clone(), text));
        Ok(path)
    }

    /// Whether anything in it is not as it was written.
    pub(super) fn is_edited(&self) -> bool {
        let is_changed = |(path, text): &(PathBuf, String)| !fs::read(path).is_ok_and(|now| now == text.as_bytes());
        self.written.iter().any(is_changed) || count_files(&self.path) != self.written.len()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.is_edited() {
            // What cannot be removed stays among the temporary files, where it harms nobody.
            let _stays = fs::remove_dir_all(&self.path);
        }
    }
}

fn count_files(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count_files(&entry.path()),
        _ => 1,
    };
    entries.filter_map(Result::ok).map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_unless_it_was_edited() {
        let written = || {
            let mut directory = Directory::create().unwrap();
            let file = directory.write("zones/a.zone", "text".to_owned()).unwrap();
            (directory, file)
        };
        let (directory, _) = written();
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());

        let edits: [fn(&Path) -> io::Result<()>; 3] = [
            |file| fs::write(file, "other"),
            |file| fs::write(file.with_extension("mine"), "text"),
            |file| fs::remove_file(file),
        ];
        for edit in edits {
            let (directory, file) = written();
            edit(&file).unwrap();
            let path = directory.path().to_owned();
            drop(directory);
            assert!(path.exists());
            fs::remove_dir_all(path).unwrap();
        }
    }
}
