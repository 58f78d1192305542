//! The state directory: what survives a restart, file by file, each written whole or not at all.
//!
//! A file that is not as it was written is set aside and made anew, and one that cannot be read at all stays until then: state
//! never keeps the server from starting.

mod histories;
mod keeper;
mod kept;
mod learned;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::Hasher;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::name::{Name, Printed};

use siphasher::sip128::{Hasher128, SipHasher24};

pub(super) use histories::with_histories;
pub(super) use keeper::{Done, Keeper};
pub(super) use kept::{Files, Found, find};
pub(super) use learned::{SAVED, inherit};

/// The first word of each file.
const MAGIC: &str = "thalweg-state";
/// What stands before it in master files.
const COMMENT: &str = "; ";
/// Of what stands behind the first line; another one is not read.
const VERSION: u32 = 1;
/// Octets of the longest first line.
const MAX_HEAD: usize = 128;
/// What locks the directory.
const LOCK: &str = "lock";
/// The end of the name of a file that is being written; it begins with a dot.
const NEW: &str = ".new";
/// The end of the name of a file that could not be read.
const BROKEN: &str = "broken";

/// A directory that is ours alone while this lives.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// What could not be read, by the name of the file.
    lost: Mutex<BTreeMap<String, Lost>>,
    /// Locked until it is closed, also by the end of the process.
    _lock: File,
}

/// Why nothing was made of a file.
#[derive(Debug)]
struct Lost {
    because: String,
    /// It is where it was: it may be whole, and somebody may let us read it.
    is_in_place: bool,
}

/// Why there is no state.
#[derive(Debug)]
pub enum NoStore {
    /// Another server has it.
    Taken,
    /// It cannot be made, or written to.
    Unusable(io::Error),
}

/// Why a file is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Broken {
    Head,
    Version(u32),
    Length { written: u64, found: u64 },
    Checksum,
}

impl Store {
    /// Makes the directory if need be, readable by nobody else, and locks it.
    pub fn open(directory: &Path) -> Result<Self, NoStore> {
        match DirBuilder::new().recursive(true).mode(0o700).create(directory) {
            Err(error) if !directory.is_dir() => return Err(NoStore::Unusable(error)),
            _ => {}
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(directory.join(LOCK));
        let lock = lock.map_err(NoStore::Unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                let store = Self { directory: directory.to_owned(), lost: Mutex::default(), _lock: lock };
                store.warn_of_readers();
                store.remove_leftovers();
                Ok(store)
            }
            Err(TryLockError::WouldBlock) => Err(NoStore::Taken),
            Err(TryLockError::Error(error)) => Err(NoStore::Unusable(error)),
        }
    }

    fn warn_of_readers(&self) {
        let mode = fs::metadata(&self.directory).map_or(0, |directory| directory.permissions().mode());
        if mode & 0o077 != 0 {
            let directory = self.directory.display();
            tracing::warn!("{directory} is open to other users (mode {:03o}): `chmod 700 {directory}`", mode & 0o777);
        }
    }

    /// Removes what a server that was killed had not finished, and inputs of which nothing can be made.
    fn remove_leftovers(&self) {
        let is_left = |name: &str| {
            let is_unfinished = name.starts_with('.') && name.ends_with(NEW);
            is_unfinished || name.starts_with(kept::INPUT) && name.ends_with(BROKEN)
        };
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left)) {
            // What stays is read by nobody, here as below.
            let _stays = fs::remove_file(entry.path());
        }
        let _stays = fs::remove_dir_all(self.path(kept::LAID_OUT));
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Replaces a file in one step: whoever loads it gets the old octets or the new ones, whenever the power fails.
    ///
    /// `name` is a plain file name of ours. Blocks until the disk has it.
    pub fn save(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        self.save_behind("", name, octets)
    }

    /// The same for a master file: our first line is a comment in it.
    pub fn save_zone(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        self.save_behind(COMMENT, name, octets)
    }

    fn save_behind(&self, mark: &str, name: &str, octets: &[u8]) -> io::Result<()> {
        let unread = self.lost().get(name).filter(|lost| lost.is_in_place).map(|lost| lost.because.clone());
        if let Some(because) = unread {
            self.set_aside(name, &because);
        }
        let beside = self.directory.join(format!(".{name}{NEW}"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(mark.as_bytes())?;
        file.write_all(head(octets).as_bytes())?;
        file.write_all(octets)?;
        // Else the new name may come to the disk before what it names.
        file.sync_all()?;
        fs::rename(&beside, self.path(name))?;
        File::open(&self.directory)?.sync_all()
    }

    /// What was saved last; none if nothing was, if it cannot be read, or if it is not what was written: then it is set aside.
    pub fn load(&self, name: &str) -> Option<Vec<u8>> {
        let octets = match fs::read(self.path(name)) {
            Ok(octets) => octets,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!("{}: {error}; it stays there until it is begun anew", self.path(name).display());
                self.lost().insert(name.to_owned(), Lost { because: error.to_string(), is_in_place: true });
                return None;
            }
        };
        match body(&octets) {
            Ok(start) => Some(octets[start..].to_vec()),
            Err(broken) => {
                self.set_aside(name, &broken);
                None
            }
        }
    }

    /// Renames a file of which nothing can be made, so that somebody may look at it; it is made anew.
    pub fn set_aside(&self, name: &str, because: &dyn fmt::Display) {
        let (path, aside) = (self.path(name), self.path(&format!("{name}.{BROKEN}")));
        let (file, directory) = (path.display(), self.directory.display());
        self.lost().insert(name.to_owned(), Lost { because: because.to_string(), is_in_place: false });
        match fs::rename(&path, &aside) {
            Ok(()) => tracing::error!("{file}: {because}; it is {name}.{BROKEN} now, and begun anew in {directory}"),
            Err(error) => tracing::error!("{file}: {because}; it is begun anew, and cannot be set aside: {error}"),
        }
    }

    /// Why nothing was made of a file that is there, or was.
    pub(super) fn loss(&self, name: &str) -> Option<String> {
        self.lost().get(name).map(|lost| lost.because.clone())
    }

    /// Removes a file that is of no use any more.
    pub fn remove(&self, name: &str) {
        // What stays is read by nobody.
        let _stays = fs::remove_file(self.path(name));
    }

    /// The names of all files that begin so.
    pub fn names(&self, front: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(front) && !name.ends_with(BROKEN)).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn lost(&self) -> MutexGuard<'_, BTreeMap<String, Lost>> {
        // Nothing that holds it can panic halfway.
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("another server keeps its state there"),
            Self::Unusable(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("this is no state of thalweg"),
            Self::Version(version) => write!(f, "it has version {version}, and {VERSION} is read here"),
            Self::Length { written, found } => write!(f, "it is cut or grown: {found} octets of {written}"),
            Self::Checksum => f.write_str("its octets are not those that were written"),
        }
    }
}

/// What a file of a state directory holds, without a claim to the directory; none if it is not whole.
pub(super) fn peek(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let octets = fs::read(directory.join(name)).ok()?;
    body(&octets).ok().map(|start| octets[start..].to_vec())
}

/// The file in which the signatures of a zone are kept.
pub(super) fn signatures_of(zone: &Name) -> String {
    let name: String = Printed(&zone.lower_wire()).to_string().replace(['/', '\\'], "_");
    format!("signatures-{name}")
}

/// `thalweg-state 1 4711 9f86…`: version, octets behind the line, and their hash.
fn head(octets: &[u8]) -> String {
    format!("{MAGIC} {VERSION} {} {:032x}\n", octets.len(), checksum(octets))
}

/// Where the octets begin that were saved.
fn body(octets: &[u8]) -> Result<usize, Broken> {
    let end = octets.iter().take(MAX_HEAD).position(|octet| *octet == b'\n').ok_or(Broken::Head)?;
    let line = std::str::from_utf8(&octets[..end]).map_err(|_| Broken::Head)?;
    let mut words = line.strip_prefix(COMMENT).unwrap_or(line).split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Broken::Head);
    }
    let version = words.next().and_then(|word| word.parse().ok()).ok_or(Broken::Head)?;
    if version != VERSION {
        return Err(Broken::Version(version));
    }
    let written: u64 = words.next().and_then(|word| word.parse().ok()).ok_or(Broken::Head)?;
    let sum = words.next().and_then(|word| u128::from_str_radix(word, 16).ok()).ok_or(Broken::Head)?;
    let found = &octets[end + 1..];
    if found.len() as u64 != written {
        return Err(Broken::Length { written, found: found.len() as u64 });
    }
    if checksum(found) != sum { Err(Broken::Checksum) } else { Ok(end + 1) }
}

/// 128 bits that tell octets from others; no secret is in them.
fn checksum(octets: &[u8]) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(octets);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("a/state")).unwrap();
        (directory, store)
    }

    #[test]
    fn what_is_saved_is_loaded_and_nobody_else_reads_it() {
        let (_directory, store) = store();
        assert_eq!(store.load("orders"), None);
        for octets in [&b"first"[..], b"", &[0, 10, 255, 10]] {
            store.save("orders", octets).unwrap();
            assert_eq!(store.load("orders").as_deref(), Some(octets));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(store.directory()), mode(&store.path("orders"))), (0o700, 0o600));
        let mut names = store.names("");
        names.sort();
        assert_eq!(names, ["lock", "orders"]);
    }

    #[test]
    fn a_second_server_does_not_get_it_until_the_first_has_ended() {
        let (_directory, store) = store();
        let path = store.directory().to_owned();
        assert!(matches!(Store::open(&path), Err(NoStore::Taken)));
        drop(store);
        assert!(Store::open(&path).is_ok());
    }

    #[test]
    fn what_is_broken_is_set_aside_and_begun_anew() {
        let (_directory, store) = store();
        let path = store.path("orders");
        let sound = || {
            store.save("orders", b"0123456789").unwrap();
            fs::read(&path).unwrap()
        };
        let whole = sound();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let newer = String::from_utf8(whole.clone()).unwrap().replacen(" 1 ", " 2 ", 1).into_bytes();
        for broken in [&whole[..whole.len() - 1], &whole[..9], b"", b"rubbish\n", &flipped, &newer] {
            sound();
            fs::write(&path, broken).unwrap();
            assert_eq!(store.load("orders"), None);
            assert_eq!(fs::read(store.path("orders.broken")).unwrap(), broken);
            assert_eq!(store.load("orders"), None);
        }
        sound();
        assert_eq!(store.load("orders").as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(store.loss("learned"), None);
    }

    #[test]
    fn what_a_killed_server_left_behind_is_removed() {
        let (_directory, store) = store();
        store.save("orders", b"x").unwrap();
        for name in [".orders.new", ".input-00.new", "input-00.broken", "orders.broken", "input-00"] {
            fs::write(store.path(name), "x").unwrap();
        }
        fs::create_dir_all(store.path("unpacked/etc")).unwrap();
        let path = store.directory().to_owned();
        drop(store);
        drop(Store::open(&path).unwrap());
        let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["input-00", "lock", "orders", "orders.broken"]);
    }

    #[test]
    fn what_cannot_even_be_read_stays_until_something_else_is_written() {
        let (_directory, store) = store();
        // A directory of the same name: other users' files can be read by who runs tests as root.
        fs::create_dir(store.path("orders")).unwrap();
        assert_eq!(store.load("orders"), None);
        assert!(store.loss("orders").is_some() && store.path("orders").is_dir());
        for octets in [b"x", b"y"] {
            store.save("orders", octets).unwrap();
            assert_eq!(store.load("orders").as_deref(), Some(&octets[..]));
            assert!(store.path("orders.broken").is_dir());
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told() {
        let (directory, _store) = store();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Store::open(&file.join("state")), Err(NoStore::Unusable(_))));
    }
}
