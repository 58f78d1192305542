//! Lists in files: which there are for a pattern, and what stands in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fetch::MAX_BODY;
use super::{Found, Taken, Text};
use crate::config::{Format, Inventory, Written, is_pattern};
use crate::diagnostic::{Diagnostic, Source};
use crate::feed::inputs::{read_file, shown};
use crate::feed::stamps::Stamps;

/// Where lists are read.
pub(in crate::feed) struct Files<'f> {
    /// Relative paths start here.
    pub(in crate::feed) directory: &'f Path,
    /// What was looked at.
    pub(in crate::feed) watched: &'f mut Stamps,
}

impl Files<'_> {
    /// The files of an inventory, each once, in the order of their names.
    pub(super) fn of(&mut self, inventory: &Inventory, old: Option<&Taken>) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for written in &inventory.files {
            for next in self.matching(written, old) {
                if found.iter().all(|known| known.name != next.name) {
                    found.push(next);
                }
            }
        }
        found
    }

    fn matching(&mut self, written: &Written<String>, old: Option<&Taken>) -> Vec<Found> {
        let path = self.directory.join(&written.value);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.watched.take(directory);
        if !is_pattern(&name) {
            return vec![self.read(&path)];
        }
        let mut paths = match list(directory) {
            Ok(paths) => paths,
            Err(error) => {
                let error = written.error(format!("the lists in {} cannot be read: {error}", shown(directory)));
                let error = error.help("make the directory, and let the server read it; lists that were read go on");
                // Those that were there may still be there.
                let known = old.into_iter().flat_map(|old| old.sources.keys()).filter(|known| {
                    let known = Path::new(known);
                    known.parent() == path.parent()
                        && known.file_name().is_some_and(|known| matches(&name, &known.to_string_lossy()))
                });
                let mut found: Vec<Found> =
                    known.map(|known| Found { name: known.clone(), result: Err(error.clone()) }).collect();
                if found.is_empty() {
                    found.push(Found { name: written.value.clone(), result: Err(error) });
                }
                return found;
            }
        };
        paths.retain(|path| path.file_name().is_some_and(|found| matches(&name, &found.to_string_lossy())));
        paths.sort();
        paths.iter().map(|found| self.read(&path.with_file_name(found.file_name().unwrap_or_default()))).collect()
    }

    fn read(&mut self, path: &Path) -> Found {
        self.watched.take(path);
        let name = shown(path);
        let result = read(path).map_err(|error| {
            let help = "what was last read of it goes on; an empty list is `[]`";
            Diagnostic::error(error).in_file(name.clone()).help(help)
        });
        Found { name, result }
    }
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

fn read(path: &Path) -> Result<Text, String> {
    let format = Format::of(path).ok_or("it ends with neither `.json`, `.yml` nor `.yaml`")?;
    let length = fs::metadata(path).map_or(0, |file| file.len());
    if length > MAX_BODY as u64 {
        return Err(format!("it has {length} octets, which is longer than any list: at most {MAX_BODY} are read"));
    }
    let octets = read_file(path).map_err(|error| format!("cannot be read: {error}"))?;
    let written = fs::metadata(path).and_then(|file| file.modified()).ok();
    let text = String::from_utf8(octets)
        .map_err(|error| format!("is not UTF-8: see octet {}", error.utf8_error().valid_up_to()))?;
    let at = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or_else(now, |since| since.as_secs());
    Ok(Text { source: Source::new(shown(path), text), format, at })
}

/// Seconds since 1970.
pub(in crate::feed) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether a file's name is one of a pattern's: `*` stands for any characters, `?` for one. As in a shell, neither stands
/// for the dot of a hidden file.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Which lengths of the name the pattern so far may stand for.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for &part in &pattern {
        if part == '*' {
            let first = reached.iter().position(|is_reached| *is_reached).unwrap_or(reached.len());
            reached[first..].fill(true);
        } else {
            for at in (0..name.len()).rev() {
                reached[at + 1] = reached[at] && (part == '?' || part == name[at]);
            }
            reached[0] = false;
        }
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_longer_than_any_list_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nodes.json");
        fs::File::create(&path).unwrap().set_len(MAX_BODY as u64 + 1).unwrap();
        assert!(read(&path).is_err_and(|error| error.contains("longer than any list")));
        fs::write(&path, "[]").unwrap();
        assert!(read(&path).is_ok());
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, is_match) in [
            ("*.json", "a.json", true),
            ("*.json", ".json", false),
            ("*.json", ".a.json", false),
            ("*.json", "a.json.tmp", false),
            ("fra-?.yml", "fra-1.yml", true),
            ("fra-?.yml", "fra-10.yml", false),
            ("fra-*-*.yml", "fra-a-b.yml", true),
            ("fra-*-*.yml", "fra-a.yml", false),
            ("nodes.json", "nodes.json", true),
            ("*", "ä", true),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }
}
