//! Directories of keys: which there are, and new ones and other times written into them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::inputs::{read_file, shown};
use crate::diagnostic::Diagnostic;
use crate::dnssec::{KeyMaterial, Times, key_file};
use crate::name::Name;

/// A key in its directory.
#[derive(Clone)]
pub struct StoredKey {
    /// The file with its private half and its times.
    pub private: PathBuf,
    /// Its octets.
    pub material: KeyMaterial,
    /// When it does what.
    pub times: Times,
}

/// What a directory has of a zone.
pub struct Listing {
    /// Keys that can be used.
    pub keys: Vec<StoredKey>,
    /// What is wrong with others.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were looked at.
    pub files: Vec<PathBuf>,
}

/// Finds a zone's keys.
pub fn list(directory: &Path, zone: &Name) -> io::Result<Listing> {
    let names = fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|file| key_file::zone_of(file).is_some_and(|of| of == *zone)).collect();
    names.sort_unstable();
    let mut listing = Listing { keys: Vec::new(), diagnostics: Vec::new(), files: Vec::new() };
    for private in names.iter().map(|name| directory.join(name)) {
        let public = private.with_extension("key");
        match read(&public, &private) {
            Ok((material, times)) => listing.keys.push(StoredKey { private: private.clone(), material, times }),
            Err(diagnostic) => listing.diagnostics.push(diagnostic),
        }
        listing.files.extend([public, private]);
    }
    Ok(listing)
}

fn read(public: &Path, private: &Path) -> Result<(KeyMaterial, Times), Diagnostic> {
    let text = |path: &Path| {
        let read = read_file(path).map_err(|error| format!("cannot be read: {error}"));
        let text = read.and_then(|octets| String::from_utf8(octets).map_err(|_| "is no text".to_owned()));
        text.map_err(|error| Diagnostic::error(error).in_file(shown(path)))
    };
    let (public_text, private_text) = (text(public)?, text(private)?);
    let mode = fs::metadata(private).map_or(0, |file| file.permissions().mode());
    if mode & 0o077 != 0 {
        let error = Diagnostic::error(format!("others than its owner can read this key (mode {:04o})", mode & 0o7777));
        let help = format!("`chmod 600 {}`, and give it to the user whom the server runs as", shown(private));
        return Err(error.in_file(shown(private)).help(help));
    }
    key_file::read(&public_text, &private_text).map_err(|key_file::Fault { line, message }| {
        // An excerpt would show the secret.
        let place = if line > 0 { format!(":{line}") } else { String::new() };
        Diagnostic::error(message).in_file(format!("{}{place}", shown(private)))
    })
}

/// Writes a new key, and makes the directory if need be, readable by nobody else; where it is.
pub fn write(directory: &Path, zone: &Name, material: &KeyMaterial, times: &Times) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let private = directory.join(format!("{}.private", key_file::stem(zone, material)));
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o644).open(private.with_extension("key"))?;
    file.write_all(key_file::write_public(zone, material).as_bytes())?;
    give_to_owner_of(&private, &file)?;
    file.sync_all()?;
    write_private(&private, material, times)?;
    Ok(private)
}

/// Gives a key other times.
pub fn set_times(key: &StoredKey, times: &Times) -> io::Result<()> {
    write_private(&key.private, &key.material, times)
}

/// Whole or not at all: a server may read it at any moment.
fn write_private(path: &Path, material: &KeyMaterial, times: &Times) -> io::Result<()> {
    let beside = path.with_extension("private.new");
    // What lies there may be of a writing that was cut short, or a link that whom the directory belongs to would have root follow.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(key_file::write_private(material, times).as_bytes())?;
    give_to_owner_of(path, &file)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Root makes and replaces keys for the user whom the server runs as, to whom the old file or the directory belongs.
fn give_to_owner_of(path: &Path, file: &File) -> io::Result<()> {
    let known = fs::metadata(path).or_else(|_| fs::metadata(path.parent().unwrap_or(Path::new("."))))?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (known.uid(), known.gid()) {
        return Ok(());
    }
    match fchown(file, Some(known.uid()), Some(known.gid())) {
        // A group that is not ours, in a directory of ours.
        Err(_) if own.uid() == known.uid() => Ok(()),
        given => given,
    }
}
