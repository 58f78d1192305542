//! News of edited files: one message once files have been left alone for a moment.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::Instant;

use super::stamps::Stamps;

/// How long edits wait until they are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Editors and git write in several steps; only what has been left alone for so long is read.
    quiet: Duration,
    /// In a directory that is never quiet, because a log is written there, edits wait no longer than this.
    longest: Duration,
}

/// What people write.
pub(super) const INPUTS: Patience = Patience { quiet: Duration::from_millis(300), longest: Duration::from_secs(2) };
/// What programs write, in one step each, and want to be seen within a second. Of what is seen half written the old form goes
/// on, and it is looked at again.
pub(super) const LISTS: Patience = Patience { quiet: Duration::from_millis(50), longest: Duration::from_millis(200) };

/// Watches the directories in which inputs stand.
pub(super) struct Watch {
    patience: Patience,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of each: behind the same path there may be another directory later.
    directories: BTreeMap<PathBuf, (u64, u64)>,
    /// The inputs as they were when they were read, or last looked at.
    stamps: Stamps,
    news: watch::Receiver<()>,
    /// When what was edited will have been left alone for long enough, and when it is looked at the latest.
    due: Option<(Instant, Instant)>,
}

impl Watch {
    /// Watches nothing yet; without the kernel's help it stays so, and only SIGHUP reloads.
    pub(super) fn new(patience: &Patience) -> Self {
        let (sender, news) = watch::channel(());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                sender.send_replace(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "edited files are not noticed; reload with SIGHUP"))
            .ok();
        Self { patience: *patience, watcher, directories: BTreeMap::new(), stamps: Stamps::default(), news, due: None }
    }

    /// Watches these files and directories, and no others. Files are often replaced, so it is their
    /// directories that are watched, and other files in them change too: our own log for one.
    pub(super) fn set_inputs(&mut self, inputs: Stamps) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = inputs.paths().filter_map(directory).collect();
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
        self.stamps = inputs;
        // Of what was edited after it was read, and before it was watched, there will be no news.
        self.note();
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
                Ok(Ok(())) => self.note(),
                // Without a watcher there is no news, ever.
                Ok(Err(_)) => std::future::pending().await,
                Err(_left_alone) => {
                    self.due = None;
                    if self.stamps.have_changed() {
                        return;
                    }
                }
            }
        }
    }

    /// Something may have been edited: it is looked at when it is left alone.
    fn note(&mut self) {
        let now = Instant::now();
        let Patience { quiet, longest } = self.patience;
        let latest = self.due.map_or(now + longest, |(_, latest)| latest);
        self.due = Some(((now + quiet).min(latest), latest));
    }
}

/// The directory to watch for a path, and which one that is; none if it is not there.
fn directory(path: &Path) -> Option<(PathBuf, (u64, u64))> {
    let directory = if path.is_dir() { path } else { path.parent()? };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let metadata = std::fs::metadata(directory).ok()?;
    Some((directory.to_owned(), (metadata.dev(), metadata.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(paths: &[&Path]) -> Stamps {
        let mut stamps = Stamps::default();
        for path in paths {
            stamps.take(path);
        }
        stamps
    }

    #[tokio::test]
    async fn edits_of_inputs_are_noticed_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("thalweg.toml");
        std::fs::write(&input, "old").unwrap();
        let mut watch = Watch::new(&INPUTS);
        watch.set_inputs(stamps(&[&input]));
        std::fs::write(directory.path().join("log"), "a line").unwrap();
        assert!(tokio::time::timeout(INPUTS.quiet * 4, watch.edited()).await.is_err());

        std::fs::write(&input, "newer").unwrap();
        watch.edited().await;
        let replacement = directory.path().join("replacement");
        std::fs::write(&replacement, "newer").unwrap();
        std::fs::rename(&replacement, &input).unwrap();
        watch.edited().await;
        std::fs::remove_file(&input).unwrap();
        watch.edited().await;
    }

    #[tokio::test]
    async fn what_is_edited_between_reading_and_watching_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("thalweg.toml");
        std::fs::write(&input, "old").unwrap();
        let as_read = stamps(&[&input]);
        std::fs::write(&input, "newer").unwrap();
        let mut watch = Watch::new(&INPUTS);
        watch.set_inputs(as_read);
        watch.edited().await;
    }

    #[tokio::test]
    async fn a_directory_that_was_replaced_is_watched_as_the_old_one_was() {
        let directory = tempfile::tempdir().unwrap();
        let (zones, next) = (directory.path().join("zones"), directory.path().join("next"));
        let (zone, file) = (zones.join("live.example.zone"), directory.path().join("thalweg.toml"));
        std::fs::create_dir(&zones).unwrap();
        std::fs::create_dir(&next).unwrap();
        let mut watch = Watch::new(&INPUTS);
        watch.set_inputs(stamps(&[&file, &zones, &zone]));
        std::fs::rename(&zones, directory.path().join("before")).unwrap();
        std::fs::rename(&next, &zones).unwrap();
        watch.edited().await;
        watch.set_inputs(stamps(&[&file, &zones, &zone]));
        std::fs::write(&zone, "edited").unwrap();
        watch.edited().await;
    }
}
