//! The keeper: a thread that writes state, so that a slow disk holds up neither ticks nor orders.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::Store;
use super::kept::{Files, keep};
use crate::intake::Board;

/// Writes that may wait for the disk.
const MAX_WAITING: usize = 64;
/// The word of the alarm.
const ALARM: &str = "state";

/// What is done once the disk has it, or has refused it.
pub(in crate::feed) type Done = Box<dyn FnOnce(bool) + Send>;

/// Writes what it is given, in order, until it is dropped; then what is waiting is still written.
pub(in crate::feed) struct Keeper {
    store: Arc<Store>,
    board: Arc<Board>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Save { name: String, octets: Vec<u8>, done: Option<Done> },
    Inputs(Files),
}

impl Keeper {
    /// Starts the thread.
    pub(in crate::feed) fn start(store: Store, board: Arc<Board>) -> io::Result<Self> {
        let store = Arc::new(store);
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let thread = {
            let (store, board) = (Arc::clone(&store), Arc::clone(&board));
            std::thread::Builder::new().name("state".to_owned()).spawn(move || work(&store, &board, &waiting))?
        };
        Ok(Self { store, board, jobs: Some(jobs), thread: Some(thread) })
    }

    /// What is there to be loaded.
    pub(in crate::feed) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes a file soon.
    pub(in crate::feed) fn save(&self, name: &str, octets: Vec<u8>) {
        self.send(Job::Save { name: name.to_owned(), octets, done: None });
    }

    /// Writes a file soon, and says whether the disk has it.
    pub(in crate::feed) fn save_then(&self, name: &str, octets: Vec<u8>, done: Done) {
        self.send(Job::Save { name: name.to_owned(), octets, done: Some(done) });
    }

    /// Keeps inputs without errors, in the place of those before.
    pub(in crate::feed) fn keep_inputs(&self, files: Files) {
        self.send(Job::Inputs(files));
    }

    fn send(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = match jobs.try_send(job) {
            Ok(()) => return,
            Err(error) => error,
        };
        fail(&self.board, &self.store, "the disk hangs");
        if let Job::Save { done: Some(done), .. } = job {
            done(false);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the state had panicked");
        }
    }
}

fn work(store: &Store, board: &Board, waiting: &Receiver<Job>) {
    for job in waiting {
        let (saved, done) = match job {
            Job::Save { name, octets, done } => (store.save(&name, &octets), done),
            Job::Inputs(files) => (keep(store, &files), None),
        };
        match &saved {
            Ok(()) => {
                if board.clear(ALARM, "") {
                    tracing::info!("state is kept again in {}", store.directory().display());
                }
            }
            Err(error) => fail(board, store, &error.to_string()),
        }
        if let Some(done) = done {
            done(saved.is_ok());
        }
    }
}

/// Tells it once, until something is written again.
fn fail(board: &Board, store: &Store, because: &str) {
    let directory = store.directory().display();
    let told = format!("{directory} cannot be written to ({because}); all goes on, but a restart forgets what is new");
    if board.raise(ALARM, "", &told) {
        tracing::error!(alarm = ALARM, "{told}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_once_and_its_end_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let board = Arc::new(Board::new());
        let keeper = Keeper::start(Store::open(&path).unwrap(), Arc::clone(&board)).unwrap();
        let (sender, done) = channel();
        let save = |name: &str| {
            let sender = sender.clone();
            keeper.save_then(name, b"x".to_vec(), Box::new(move |is_kept| sender.send(is_kept).unwrap()));
            done.recv().unwrap()
        };
        assert!(save("a") && board.alarms().is_empty());
        std::fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        assert!(!save("a") && !save("a"));
        assert_eq!(board.alarms().len(), 1);
        std::fs::rename(directory.path().join("elsewhere"), &path).unwrap();
        assert!(save("b") && board.alarms().is_empty());
        keeper.save("c", b"x".to_vec());
        drop(keeper);
        assert!(Store::open(&path).unwrap().load("c").is_some(), "what waits at the end is written");
    }
}
