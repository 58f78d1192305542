//! Priorities of threads: answers to queries go before all that may wait.

/// Has the thread that calls this, and those that it starts from then on, give way to others where cores are short.
///
/// On a core that is full a thread of the priority 5 gets a quarter beside one of the usual priority, one of 10 a tenth.
pub(super) fn give_way(priority: i32) {
    // On Linux the priority is that of the thread that asks.
    if let Err(error) = rustix::process::setpriority_process(None, priority) {
        tracing::debug!(%error, "a thread of the feed has the priority of everything else");
    }
}
