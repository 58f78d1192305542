//! The last good inputs: every file as it was read, so that a start with broken ones can be made with these.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, checksum};

/// The file that says which octets stood where.
const LIST: &str = "inputs";
/// How the names of files with octets of an input begin.
pub(super) const INPUT: &str = "input-";
/// Where kept inputs are laid out to be read.
pub(super) const LAID_OUT: &str = "unpacked";
/// Variables of the environment that are inputs.
const VARIABLES: &str = "THALWEG_";

/// Inputs without errors, as they were read.
#[derive(Debug, Clone, Default)]
pub(in crate::feed) struct Files {
    /// The configuration file.
    pub(in crate::feed) file: PathBuf,
    /// The environment that was laid over it.
    pub(in crate::feed) environment: Vec<(String, String)>,
    /// Each file that was read, with its octets.
    pub(in crate::feed) read: Vec<(PathBuf, Vec<u8>)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    file: String,
    environment: Vec<(String, String)>,
    /// Path, and the file that has its octets.
    read: Vec<(String, String)>,
}

/// Kept inputs, laid out below a directory as they lay below the root; removed when dropped.
pub(in crate::feed) struct Found {
    /// Stands for the root.
    pub(in crate::feed) root: PathBuf,
    /// The configuration file in it.
    pub(in crate::feed) file: PathBuf,
    /// The environment that was laid over it.
    pub(in crate::feed) environment: Vec<(String, String)>,
}

impl Drop for Found {
    fn drop(&mut self) {
        // What stays is removed before the next time.
        let _stays = fs::remove_dir_all(&self.root);
    }
}

/// Keeps inputs in the place of those before; octets that are there already are not written again.
pub(super) fn keep(store: &Store, files: &Files) -> io::Result<()> {
    let mut read = Vec::new();
    let mut used = BTreeSet::new();
    for (path, octets) in &files.read {
        // A path that is no text cannot stand in the list; nothing that is served has such a name.
        let Some(path) = real(path).to_str().map(str::to_owned) else { continue };
        let name = format!("{INPUT}{:032x}", checksum(octets));
        if used.insert(name.clone()) && store.load(&name).is_none() {
            store.save(&name, octets)?;
        }
        read.push((path, name));
    }
    let file = real(&files.file).to_string_lossy().into_owned();
    let ours = files.environment.iter().filter(|(key, _)| key.starts_with(VARIABLES)).cloned();
    let list = List { file, environment: ours.collect(), read };
    store.save(LIST, &serde_json::to_vec(&list)?)?;
    store.names(INPUT).iter().filter(|name| !used.contains(*name)).for_each(|name| store.remove(name));
    Ok(())
}

/// Lays out the inputs that were kept; none if there are none, or not all of them are as they were.
pub(in crate::feed) fn find(store: &Store) -> Option<Found> {
    let list = store.load(LIST)?;
    let list: List = serde_json::from_slice(&list).inspect_err(|error| store.set_aside(LIST, error)).ok()?;
    let root = store.directory().join(LAID_OUT);
    // Of a server that was killed meanwhile.
    let _not_there = fs::remove_dir_all(&root);
    // Tokens are among them.
    if let Err(error) = DirBuilder::new().mode(0o700).create(&root) {
        tracing::error!("the kept inputs cannot be laid out in {}: {error}", root.display());
        return None;
    }
    let inside = |path: &str| root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)));
    let found = Found { file: inside(&list.file), environment: list.environment, root: root.clone() };
    for (path, name) in &list.read {
        let octets = store.load(name)?;
        let path = inside(path);
        let laid_out = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, octets));
        if let Err(error) = laid_out {
            tracing::error!("the kept inputs cannot be laid out in {}: {error}", root.display());
            return None;
        }
    }
    Some(found)
}

/// A path from the root, without `.` and `..`.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn inputs_are_found_as_they_were_kept_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        assert!(find(&store).is_none());
        let files = |text: &str| Files {
            file: PathBuf::from("/etc/t/thalweg.toml"),
            environment: vec![("THALWEG_X".to_owned(), "1".to_owned()), ("HOME".to_owned(), "/root".to_owned())],
            read: vec![
                (PathBuf::from("/etc/t/thalweg.toml"), text.as_bytes().to_vec()),
                (PathBuf::from("/etc/t/./zones/../x"), b"zone".to_vec()),
            ],
        };
        keep(&store, &files("old")).unwrap();
        keep(&store, &files("new")).unwrap();
        assert_eq!(store.names(INPUT).len(), 2, "what is no more used is removed");
        let found = find(&store).unwrap();
        assert_eq!(fs::read(&found.file).unwrap(), b"new");
        assert_eq!(fs::read(found.root.join("etc/t/x")).unwrap(), b"zone");
        assert_eq!(found.environment.len(), 1);
        assert_eq!(fs::metadata(&found.root).unwrap().permissions().mode() & 0o777, 0o700);
        let root = found.root.clone();
        drop(found);
        assert!(!root.exists());
        // One of the files is broken: then there are none.
        let name = &store.names(INPUT)[0];
        fs::write(store.directory().join(name), "rubbish").unwrap();
        assert!(find(&store).is_none());
        keep(&store, &files("new")).unwrap();
        assert!(find(&store).is_some());
    }
}
