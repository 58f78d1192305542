//! Cores for UDP workers, of those that this process may use; all other threads go where the kernel puts them.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core for each of so many workers, in turn from the first that this process may use; none for any, with a warning, if
/// the kernel does not say which these are.
pub fn of_workers(workers: usize) -> Vec<Option<usize>> {
    match allowed() {
        Ok(cores) => {
            let cores = share_out(&cores, workers);
            tracing::info!(
                cores = cores.iter().flatten().map(usize::to_string).collect::<Vec<_>>().join(","),
                "UDP workers keep to cores"
            );
            cores
        }
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say which cores may be used; UDP workers go where it puts them");
            vec![None; workers]
        }
    }
}

/// Keeps this thread, and those that it starts, to one core; a refusal is a warning, for it answers all the same.
pub fn keep_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if let Err(error) = sched_setaffinity(None, &cores) {
        tracing::warn!(core, %error, "a UDP worker may not keep to its core; it goes where the kernel puts it");
    }
}

/// What taskset, systemd's CPUAffinity= or a cpuset (also that of Kubernetes' static CPU manager) leave. The kernel enforces
/// only the last of these: a thread may take back what the others took (sched_setaffinity(2)).
fn allowed() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

fn share_out(cores: &[usize], workers: usize) -> Vec<Option<usize>> {
    (0..workers).map(|worker| cores.get(worker % cores.len().max(1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn cores_are_given_in_turn_and_round_and_round() {
        assert_eq!(share_out(&[2, 5], 1), [Some(2)]);
        assert_eq!(share_out(&[2, 5], 5), [Some(2), Some(5), Some(2), Some(5), Some(2)]);
        assert_eq!(share_out(&[], 2), [None, None]);
    }

    #[test]
    fn a_core_that_is_refused_leaves_the_thread_where_it_may_be() {
        let before = allowed().expect("the kernel says");
        let all = before.clone();
        // One of its own, for the runner may give this one to other tests.
        let thread = thread::spawn(move || {
            keep_to(CpuSet::MAX_CPU - 1);
            assert_eq!(allowed().expect("the kernel says"), all);
            keep_to(all[0]);
            assert_eq!(allowed().expect("the kernel says"), all[..1]);
        });
        thread.join().expect("no assertion failed");
        assert_eq!(allowed().expect("the kernel says"), before);
    }
}
