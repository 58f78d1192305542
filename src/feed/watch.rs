//! News of edited files: one message once files have been left alone for a moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::Instant;

use super::stamps::Stamps;

/// Editors and git write in several steps; only what has been left alone for so long is read.
const QUIET: Duration = Duration::from_millis(300);

/// Watches the directories in which inputs stand.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    /// The inputs as they were when they were read, or last looked at.
    stamps: Stamps,
    news: watch::Receiver<()>,
    /// When what was edited will have been left alone for long enough.
    quiet_at: Option<Instant>,
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
        Self { watcher, directories: BTreeSet::new(), stamps: Stamps::default(), news, quiet_at: None }
    }

    /// Watches these files and directories, and no others. Files are often replaced, so it is their
    /// directories that are watched, and other files in them change too: our own log for one.
    pub(super) fn set_inputs(&mut self, inputs: Stamps) {
        let Some(watcher) = &mut self.watcher else { return };
        let directory = |path: &Path| -> Option<PathBuf> {
            let directory = if path.is_dir() { path } else { path.parent()? };
            Some(if directory.as_os_str().is_empty() { Path::new(".").to_owned() } else { directory.to_owned() })
        };
        let wanted: BTreeSet<PathBuf> = inputs.paths().filter_map(directory).collect();
        for gone in self.directories.difference(&wanted) {
            // A directory that was removed is watched no more already.
            let _already_gone = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.directories) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %new.display(), %error, "edits here are not noticed; reload with SIGHUP");
            }
        }
        self.directories = wanted;
        self.stamps = inputs;
        // Of what was edited after it was read, and before it was watched, there will be no news.
        self.quiet_at = Some(Instant::now() + QUIET);
    }

    /// Returns once an input was edited and then left alone; nothing is lost if it is not awaited to its end.
    pub(super) async fn edited(&mut self) {
        loop {
            let quiet_at = self.quiet_at;
            let changed = self.news.changed();
            let news = match quiet_at {
                Some(at) => tokio::time::timeout_at(at, changed).await,
                None => Ok(changed.await),
            };
            match news {
                Ok(Ok(())) => self.quiet_at = Some(Instant::now() + QUIET),
                // Without a watcher there is no news, ever.
                Ok(Err(_)) => std::future::pending().await,
                Err(_left_alone) => {
                    self.quiet_at = None;
                    if self.stamps.have_changed() {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(path: &Path) -> Stamps {
        let mut stamps = Stamps::default();
        stamps.take(path);
        stamps
    }

    #[tokio::test]
    async fn edits_of_inputs_are_noticed_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("thalweg.toml");
        std::fs::write(&input, "old").unwrap();
        let mut watch = Watch::new();
        watch.set_inputs(stamps(&input));
        std::fs::write(directory.path().join("log"), "a line").unwrap();
        assert!(tokio::time::timeout(QUIET * 4, watch.edited()).await.is_err());

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
        let as_read = stamps(&input);
        std::fs::write(&input, "newer").unwrap();
        let mut watch = Watch::new();
        watch.set_inputs(as_read);
        watch.edited().await;
    }
}
