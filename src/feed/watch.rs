//! News of edited files: one message once files have been left alone for a moment.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::Instant;

/// Editors and git write in several steps; only what has been left alone for so long is read.
const QUIET: Duration = Duration::from_millis(300);
/// In a directory that is never quiet, because a log is written there, edits wait no longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// Watches the directories in which inputs stand.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of each: behind the same path there may be another directory later.
    directories: BTreeMap<PathBuf, (u64, u64)>,
    /// The inputs as they were when they were last looked at; none = not yet.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    news: watch::Receiver<()>,
    /// When what was edited will have been left alone for long enough, and when it is read at the latest.
    due: Option<(Instant, Instant)>,
}

/// What tells that a file is another one, or that a directory has other entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// It is not there, or cannot be seen.
    Missing,
    /// Device, inode, length, seconds and nanoseconds of the last change.
    Seen(u64, u64, u64, i64, i64),
}

impl Watch {
    /// Watches nothing yet; without the kernel's help it stays so, and only SIGHUP reloads.
    pub(super) fn new() -> Self {
        let (sender, news) = watch::channel(());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                sender.send_replace(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "edited files are not noticed; reload with SIGHUP"))
            .ok();
        Self { watcher, directories: BTreeMap::new(), stamps: BTreeMap::new(), news, due: None }
    }

    /// Watches these files and directories, and no others. Files are often replaced, so it is their
    /// directories that are watched, and other files in them change too: our own log for one.
    pub(super) fn set_paths(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = paths.iter().filter_map(|path| directory(path)).collect();
        let is_in =
            |others: &BTreeMap<_, _>, (path, identity): &(&PathBuf, &(u64, u64))| others.get(*path) == Some(*identity);
        for (gone, _) in self.directories.iter().filter(|entry| !is_in(&wanted, entry)) {
            // A directory that was removed is watched no more already.
            let _already_gone = watcher.unwatch(gone);
        }
        for (new, _) in wanted.iter().filter(|entry| !is_in(&self.directories, entry)) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %new.display(), %error, "edits here are not noticed; reload with SIGHUP");
            }
        }
        self.directories = wanted;
        // What has no stamp yet counts as edited at the next news: it may have been since it was read.
        let known = std::mem::take(&mut self.stamps);
        self.stamps = paths.iter().map(|path| (path.clone(), known.get(path).copied().flatten())).collect();
    }

    /// Returns once an input was edited and then left alone; nothing is lost if it is not awaited to its end.
    pub(super) async fn edited(&mut self) {
        loop {
            let due = self.due;
            let changed = self.news.changed();
            let news = match due {
                Some((quiet_at, _)) => tokio::time::timeout_at(quiet_at, changed).await,
                None => Ok(changed.await),
            };
            match news {
                Ok(Ok(())) => {
                    let now = Instant::now();
                    let latest = due.map_or(now + LONGEST, |(_, latest)| latest);
                    self.due = Some(((now + QUIET).min(latest), latest));
                }
                // Without a watcher there is no news, ever.
                Ok(Err(_)) => std::future::pending().await,
                Err(_left_alone) => {
                    self.due = None;
                    if self.has_changed() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether any input is another than when this was last asked.
    fn has_changed(&mut self) -> bool {
        let mut has_changed = false;
        for (path, stamp) in &mut self.stamps {
            let now = Some(std::fs::metadata(path).map_or(Stamp::Missing, |file| {
                Stamp::Seen(file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
            }));
            has_changed |= *stamp != now;
            *stamp = now;
        }
        has_changed
    }
}

/// The directory to watch for a path, and which one that is; none if it is not there.
fn directory(path: &Path) -> Option<(PathBuf, (u64, u64))> {
    let directory = if path.is_dir() { path } else { path.parent()? };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let seen = std::fs::metadata(directory).ok()?;
    Some((directory.to_owned(), (seen.dev(), seen.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_was_replaced_is_watched_as_the_old_one_was() {
        let directory = tempfile::tempdir().unwrap();
        let (zones, next) = (directory.path().join("zones"), directory.path().join("next"));
        std::fs::create_dir(&zones).unwrap();
        std::fs::create_dir(&next).unwrap();
        let paths = [directory.path().join("thalweg.toml"), zones.clone()];
        let mut watch = Watch::new();
        watch.set_paths(&paths);
        watch.has_changed();
        std::fs::rename(&zones, directory.path().join("before")).unwrap();
        std::fs::rename(&next, &zones).unwrap();
        watch.edited().await;
        watch.set_paths(&paths);
        std::fs::write(zones.join("live.example.zone"), "new").unwrap();
        watch.edited().await;
    }

    #[tokio::test]
    async fn edits_of_inputs_are_noticed_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("thalweg.toml");
        let log = directory.path().join("log");
        std::fs::write(&input, "old").unwrap();
        let mut watch = Watch::new();
        watch.set_paths(std::slice::from_ref(&input));
        assert!(watch.has_changed(), "what was never looked at may have changed");
        let missing = directory.path().join("missing");
        watch.set_paths(&[input.clone(), missing]);
        assert!(watch.has_changed(), "and what is missing may have been there");

        std::fs::write(&log, "a line").unwrap();
        assert!(!watch.has_changed());
        std::fs::write(&input, "newer").unwrap();
        watch.edited().await;
        assert!(!watch.has_changed(), "an edit is told once");

        let replacement = directory.path().join("replacement");
        std::fs::write(&replacement, "newer").unwrap();
        std::fs::rename(&replacement, &input).unwrap();
        watch.edited().await;
        std::fs::remove_file(&input).unwrap();
        watch.edited().await;
    }
}
