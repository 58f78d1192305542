//! The keeper: a thread that writes state, so that a slow disk holds up neither ticks nor orders.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Store;
use super::kept::{Files, keep};
use crate::diagnostic::Source;
use crate::intake::Board;

/// Those who wait for the disk to have a file, at most.
const MAX_WAITING: usize = 64;
/// From a write that failed to the next attempt.
const AGAIN: Duration = Duration::from_secs(1);
/// The word of the alarm.
const ALARM: &str = "state";
/// What inputs are called among files.
const INPUTS: &str = "inputs";

/// What is done once the disk has it, or has refused it.
pub(in crate::feed) type Done = Box<dyn FnOnce(bool) + Send>;

/// Writes what it is given, until it is dropped; then what is waiting is still written. Of each file only the newest octets
/// matter, and those that the disk refuses are tried again.
pub(in crate::feed) struct Keeper {
    store: Arc<Store>,
    board: Arc<Board>,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What waits for the disk, one job for each file.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    is_ending: bool,
}

struct Job {
    name: String,
    content: Content,
    done: Vec<Done>,
}

enum Content {
    Octets(Vec<u8>),
    Zone(Source),
    Inputs(Files),
}

impl Keeper {
    /// Starts the thread.
    pub(in crate::feed) fn start(store: Store, board: Arc<Board>) -> io::Result<Self> {
        let (store, desk) = (Arc::new(store), Arc::new(Desk::default()));
        let thread = {
            let (store, board, desk) = (Arc::clone(&store), Arc::clone(&board), Arc::clone(&desk));
            std::thread::Builder::new().name("state".to_owned()).spawn(move || work(&store, &board, &desk))?
        };
        Ok(Self { store, board, desk, thread: Some(thread) })
    }

    /// What is there to be loaded.
    pub(in crate::feed) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes a file soon.
    pub(in crate::feed) fn save(&self, name: &str, octets: Vec<u8>) {
        self.give(name, Content::Octets(octets), None);
    }

    /// Writes a file soon, and says whether the disk has it.
    pub(in crate::feed) fn save_then(&self, name: &str, octets: Vec<u8>, done: Done) {
        self.give(name, Content::Octets(octets), Some(done));
    }

    /// Writes a master file soon.
    pub(in crate::feed) fn save_zone(&self, name: &str, file: Source) {
        self.give(name, Content::Zone(file), None);
    }

    /// Keeps inputs without errors, in the place of those before.
    pub(in crate::feed) fn keep_inputs(&self, files: Files) {
        self.give(INPUTS, Content::Inputs(files), None);
    }

    fn give(&self, name: &str, content: Content, done: Option<Done>) {
        let is_dead = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let refused = self.desk.put(name, content, done, if is_dead { 0 } else { MAX_WAITING });
        if is_dead || refused.is_some() {
            fail(&self.board, &self.store, if is_dead { "its thread has ended" } else { "the disk hangs" });
        }
        if let Some(done) = refused {
            done(false);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.desk.waiting().is_ending = true;
        self.desk.news.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the state had panicked");
        }
    }
}

impl Desk {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds it can panic halfway.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a job down, in the place of an older one of the same file; gives back who would be one too many to wait.
    fn put(&self, name: &str, content: Content, done: Option<Done>, room: usize) -> Option<Done> {
        let mut waiting = self.waiting();
        let index = waiting.jobs.iter().position(|job| job.name == name);
        let mut job = Job { name: name.to_owned(), content, done: Vec::new() };
        if let Some(index) = index {
            // Those who gave older octets wait for the newer ones, which have theirs in them.
            job.done = waiting.jobs.remove(index).done;
        }
        let refused = match done {
            Some(done) if job.done.len() < room => {
                job.done.push(done);
                None
            }
            done => done,
        };
        waiting.jobs.push(job);
        self.news.notify_one();
        refused
    }

    /// All that waits, once anything does, or after this time; and whether it is the last.
    fn take(&self, patience: Option<Duration>) -> (Vec<Job>, bool) {
        let is_idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.is_ending;
        let mut waiting = match patience {
            None => self.news.wait_while(self.waiting(), is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.news.wait_timeout_while(self.waiting(), patience, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        (std::mem::take(&mut waiting.jobs), waiting.is_ending)
    }
}

fn work(store: &Store, board: &Board, desk: &Desk) {
    // What the disk has refused.
    let mut refused: Vec<Job> = Vec::new();
    loop {
        let (jobs, is_last) = desk.take((!refused.is_empty()).then_some(AGAIN));
        // These first: the alarm is over only when nothing is missing.
        let mut again = std::mem::take(&mut refused);
        again.retain(|old| jobs.iter().all(|new| new.name != old.name));
        for mut job in again.into_iter().chain(jobs) {
            let saved = match &job.content {
                Content::Octets(octets) => store.save(&job.name, octets),
                Content::Zone(file) => store.save_zone(&job.name, file.text.as_bytes()),
                Content::Inputs(files) => keep(store, files),
            };
            let (done, is_saved) = (std::mem::take(&mut job.done), saved.is_ok());
            match saved {
                Err(error) => {
                    fail(board, store, &error.to_string());
                    refused.push(job);
                }
                Ok(()) if refused.is_empty() && board.clear(ALARM, "") => {
                    tracing::info!("state is kept again in {}", store.directory().display());
                }
                Ok(()) => {}
            }
            done.into_iter().for_each(|done| done(is_saved));
        }
        if is_last {
            return;
        }
    }
}

/// Tells it once, until all is written again.
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
    use std::time::Instant;

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

    #[test]
    fn what_was_refused_is_tried_again_until_the_disk_has_the_newest_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let board = Arc::new(Board::new());
        let keeper = Keeper::start(Store::open(&path).unwrap(), Arc::clone(&board)).unwrap();
        let (sender, done) = channel();
        let save = |name: &str, octets: &[u8]| {
            let sender = sender.clone();
            keeper.save_then(name, octets.to_vec(), Box::new(move |is_kept| sender.send(is_kept).unwrap()));
            done.recv().unwrap()
        };
        // No file can have the name of a directory with something in it.
        let obstacle = path.join("orders/x");
        std::fs::create_dir_all(&obstacle).unwrap();
        assert!(!save("orders", b"old") && !save("orders", b"new"));
        assert!(save("learned", b"x"), "others are written");
        assert_eq!(board.alarms().len(), 1, "but not all of them");
        std::fs::remove_dir_all(path.join("orders")).unwrap();
        let begun = Instant::now();
        while !board.alarms().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is not tried again");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(keeper.store().load("orders").as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn of_what_comes_while_the_disk_hangs_the_newest_counts_and_not_all_wait_for_it() {
        let desk = Desk::default();
        let (sender, done) = channel();
        let give = |number: u8| {
            let sender = sender.clone();
            let done: Done = Box::new(move |is_kept| sender.send((number, is_kept)).unwrap());
            desk.put("orders", Content::Octets(vec![number]), Some(done), 2)
        };
        assert!(give(1).is_none() && give(2).is_none());
        give(3).expect("there is no room")(false);
        desk.put("learned", Content::Octets(Vec::new()), None, 2);
        let (jobs, is_last) = desk.take(None);
        assert_eq!((jobs.len(), is_last, done.recv()), (2, false, Ok((3, false))));
        assert!(matches!(&jobs[0].content, Content::Octets(octets) if *octets == [3]));
        assert_eq!(jobs[0].done.len(), 2);
    }
}
