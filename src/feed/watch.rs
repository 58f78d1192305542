//! News of edited files: one message once files have been left alone for a moment.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    paths: Vec<PathBuf>,
    /// How the inputs looked when they were last said to be edited.
    stamp: u64,
    news: watch::Receiver<()>,
    /// When what was edited will have been left alone for long enough, and when it is read at the latest.
    due: Option<(Instant, Instant)>,
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
        Self { watcher, directories: BTreeMap::new(), paths: Vec::new(), stamp: 0, news, due: None }
    }

    /// Watches where these files and directories are, and no others: files are often replaced, so
    /// their directories are watched.
    pub(super) fn set_paths(&mut self, paths: &[PathBuf]) {
        if self.paths.is_empty() {
            self.stamp = stamp(paths);
        }
        self.paths = paths.to_vec();
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = paths.iter().filter_map(directory).collect();
        let is_same =
            |other: &BTreeMap<_, _>, (path, identity): &(&PathBuf, &(u64, u64))| other.get(*path) == Some(*identity);
        for (gone, _) in self.directories.iter().filter(|entry| !is_same(&wanted, entry)) {
            // A directory that was removed is watched no more already.
            let _already_gone = watcher.unwatch(gone);
        }
        for (new, _) in wanted.iter().filter(|entry| !is_same(&self.directories, entry)) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %new.display(), %error, "edits here are not noticed; reload with SIGHUP");
            }
        }
        self.directories = wanted;
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
                    // Other files change beside the inputs: our own log, if it stands there, with each reload.
                    let stamp = stamp(&self.paths);
                    if self.stamp != stamp {
                        self.stamp = stamp;
                        return;
                    }
                }
            }
        }
    }
}

/// The directory to watch for a path, and which one that is; none if it is not there.
fn directory(path: &PathBuf) -> Option<(PathBuf, (u64, u64))> {
    let directory = if path.is_dir() { path } else { path.parent()? };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let metadata = std::fs::metadata(directory).ok()?;
    Some((directory.to_owned(), (metadata.dev(), metadata.ino())))
}

/// What an edit of any of these would change; links are followed, because files are replaced behind them.
fn stamp(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let metadata = std::fs::metadata(path).ok();
        let seen = metadata.map(|seen| (seen.dev(), seen.ino(), seen.size(), seen.ctime(), seen.ctime_nsec()));
        (path, seen).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An edit that is not noticed for so long never will be.
    const LONG: Duration = Duration::from_secs(10);

    fn installation() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (file, zones) = (directory.path().join("thalweg.toml"), directory.path().join("zones"));
        std::fs::write(&file, "1").unwrap();
        std::fs::create_dir(&zones).unwrap();
        (directory, file, zones)
    }

    #[tokio::test]
    async fn what_is_written_beside_the_inputs_is_no_edit_of_them() {
        let (directory, file, _) = installation();
        let mut watch = Watch::new();
        watch.set_paths(std::slice::from_ref(&file));
        let log = directory.path().join("thalweg.log");
        std::fs::write(&log, "an error").unwrap();
        assert!(tokio::time::timeout(QUIET * 3, watch.edited()).await.is_err(), "the log is no input");
        std::fs::write(&file, "2").unwrap();
        tokio::time::timeout(LONG, watch.edited()).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_was_replaced_is_watched_as_the_old_one_was() {
        let (directory, file, zones) = installation();
        let zone = zones.join("live.example.zone");
        let mut watch = Watch::new();
        let paths = [file, zones.clone(), zone.clone()];
        watch.set_paths(&paths);
        let next = directory.path().join("next");
        std::fs::create_dir(&next).unwrap();
        std::fs::rename(&zones, directory.path().join("before")).unwrap();
        std::fs::rename(&next, &zones).unwrap();
        tokio::time::timeout(LONG, watch.edited()).await.unwrap();
        watch.set_paths(&paths);
        std::fs::write(&zone, "edited").unwrap();
        tokio::time::timeout(LONG, watch.edited()).await.unwrap();
    }
}
