//! News of edited files: one message once files have been left alone for a moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::Instant;

/// Editors and git write in several steps; only what has been left alone for so long is read.
const QUIET: Duration = Duration::from_millis(300);

/// Watches the directories in which inputs stand.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
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
        Self { watcher, directories: BTreeSet::new(), news, quiet_at: None }
    }

    /// Watches where these files and directories are, and no others: files are often replaced, so
    /// their directories are watched.
    pub(super) fn set_paths(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let directory = |path: &PathBuf| -> Option<PathBuf> {
            let directory = if path.is_dir() { path } else { path.parent()? };
            Some(if directory.as_os_str().is_empty() { Path::new(".").to_owned() } else { directory.to_owned() })
        };
        let wanted: BTreeSet<PathBuf> = paths.iter().filter_map(directory).collect();
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
    }

    /// Returns once something was edited and then left alone; nothing is lost if it is not awaited to its end.
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
                    return;
                }
            }
        }
    }
}
