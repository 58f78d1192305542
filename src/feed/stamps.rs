//! Stamps: what tells that a file is another one than that which was read.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files and directories as they were when they were looked at, missing ones too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    by_path: BTreeMap<PathBuf, Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// It is not there, or cannot be seen.
    Missing,
    /// Device, inode, length, seconds and nanoseconds of the last change, its times and rights included.
    Seen(u64, u64, u64, i64, i64),
    /// Two who looked saw it differ: it is to be read again.
    Contested,
}

impl Stamps {
    /// Looks at what is about to be read.
    pub(super) fn take(&mut self, path: &Path) {
        // If it is read twice, it must not have changed since the first time.
        self.by_path.entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    }

    /// Takes what somebody else looked at, at about the same time.
    pub(super) fn append(&mut self, other: Self) {
        for (path, stamp) in other.by_path {
            let ours = self.by_path.entry(path).or_insert(stamp);
            // Which of the two was first is not known; and one of them read what is no more.
            if *ours != stamp {
                *ours = Stamp::Contested;
            }
        }
    }

    /// What was looked at.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.by_path.keys().map(PathBuf::as_path)
    }

    /// Looks again: whether anything is another than it was.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut have_changed = false;
        for (path, stamp) in &mut self.by_path {
            let now = Stamp::of(path);
            have_changed |= *stamp != now;
            *stamp = now;
        }
        have_changed
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        std::fs::metadata(path).map_or(Self::Missing, |file| {
            Self::Seen(file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("input");
        let mut stamps = Stamps::default();
        stamps.take(&input);
        assert!(!stamps.have_changed());
        std::fs::write(&input, "it is there now").unwrap();
        assert!(stamps.have_changed());
        assert!(!stamps.have_changed());
        std::fs::remove_file(&input).unwrap();
        stamps.take(&input);
        assert!(stamps.have_changed(), "what was taken first counts");
    }

    #[test]
    fn what_two_saw_differ_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("input");
        let look = || {
            let mut stamps = Stamps::default();
            stamps.take(&input);
            stamps
        };
        std::fs::write(&input, "old").unwrap();
        let old = look();
        std::fs::write(&input, "newer").unwrap();
        let mut stamps = look();
        stamps.append(look());
        assert!(!stamps.have_changed());
        stamps.append(old);
        assert!(stamps.have_changed(), "whoever looked first read the old file");
        assert!(!stamps.have_changed());
    }
}
