//! What a server used, as the kernel counts it: run time of all its threads, and memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

/// Run time of processes between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Run time of all threads.
    pub total: Duration,
    /// Time in which threads could have run but for others on their core.
    pub held_up: Duration,
    /// Ticks in user code; ticks only say in which proportion the time is split.
    user_ticks: u64,
    system_ticks: u64,
}

/// What processes have used so far.
pub struct Clock<'p> {
    processes: &'p [u32],
    /// Run time and waiting time by process and thread: one that ends takes its time with it.
    threads: BTreeMap<(u32, u32), (Duration, Duration)>,
    user_ticks: u64,
    system_ticks: u64,
}

impl Cpu {
    /// Part of it that was in user code, from 0 to 1.
    pub fn user_share(&self) -> f64 {
        match self.user_ticks + self.system_ticks {
            0 => 0.0,
            all => self.user_ticks as f64 / all as f64,
        }
    }
}

impl<'p> Clock<'p> {
    /// Reads what all threads of these processes have used so far.
    pub fn read(processes: &'p [u32]) -> Result<Self> {
        let mut clock = Self { processes, threads: BTreeMap::new(), user_ticks: 0, system_ticks: 0 };
        for &process in processes {
            for thread in threads(process)? {
                let Some(schedstat) = file_of_thread(process, thread, "schedstat")? else { continue };
                let times = run_times(&schedstat);
                let times = times.with_context(|| format!("schedstat of {process}: `{schedstat}`"))?;
                clock.threads.insert((process, thread), times);
            }
            let (user, system) = ticks(process)?;
            clock.user_ticks += user;
            clock.system_ticks += system;
        }
        Ok(clock)
    }

    /// What they have used since. Nothing at all is an error, for whoever answers uses some: the kernel does not count it.
    pub fn used(&self) -> Result<Cpu> {
        let now = Self::read(self.processes)?;
        let mut cpu = Cpu {
            user_ticks: now.user_ticks.saturating_sub(self.user_ticks),
            system_ticks: now.system_ticks.saturating_sub(self.system_ticks),
            ..Cpu::default()
        };
        for (thread, (run, held_up)) in now.threads {
            let (run_before, held_up_before) = self.threads.get(&thread).copied().unwrap_or_default();
            cpu.total += run.saturating_sub(run_before);
            cpu.held_up += held_up.saturating_sub(held_up_before);
        }
        if cpu.total.is_zero() && !self.processes.is_empty() {
            bail!("the kernel has counted no CPU time for the processes {:?}", self.processes);
        }
        Ok(cpu)
    }
}

/// Resident memory of processes, in octets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most so far.
    pub peak: u64,
}

impl Memory {
    /// Reads it. What several processes share is counted in each of them.
    pub fn read(processes: &[u32]) -> Result<Self> {
        let mut memory = Self::default();
        for process in processes {
            let path = format!("/proc/{process}/status");
            let status = fs::read_to_string(&path).with_context(|| path.clone())?;
            let kibibytes = |key: &str| -> Option<u64> {
                status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
            };
            memory.resident += kibibytes("VmRSS:").with_context(|| path.clone())? << 10;
            memory.peak += kibibytes("VmHWM:").with_context(|| path.clone())? << 10;
        }
        Ok(memory)
    }
}

/// A process and all that it has started.
pub fn family(process: u32) -> Result<Vec<u32>> {
    let mut all = vec![process];
    for thread in threads(process)? {
        let children = file_of_thread(process, thread, "children")?.unwrap_or_default();
        for child in children.split_whitespace() {
            let child = child.parse().with_context(|| format!("children of {process}: `{children}`"))?;
            match family(child) {
                // It has just ended.
                Err(_) if !fs::exists(format!("/proc/{child}"))? => {}
                others => all.extend(others?),
            }
        }
    }
    Ok(all)
}

/// The threads of a process.
pub fn threads(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task");
    let entries = fs::read_dir(&path).context(path)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// A file of a thread; none if the thread has ended. One that is missing while the thread is there is an error: the kernel has
/// been built without it.
fn file_of_thread(process: u32, thread: u32, name: &str) -> Result<Option<String>> {
    let directory = format!("/proc/{process}/task/{thread}");
    let path = format!("{directory}/{name}");
    // A thread that ends between opening and reading has no process any more.
    let has_ended = |error: &io::Error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH);
        is_missing && !fs::exists(&directory).unwrap_or(true)
    };
    match fs::read_to_string(&path) {
        Err(error) if has_ended(&error) => Ok(None),
        other => other.map(Some).context(path),
    }
}

/// How long a thread has run, and has waited for its core.
fn run_times(schedstat: &str) -> Option<(Duration, Duration)> {
    let mut nanoseconds = schedstat.split_whitespace().map(|field| field.parse().ok().map(Duration::from_nanos));
    nanoseconds.next()?.zip(nanoseconds.next()?)
}

/// proc_pid_stat(5): user and system time are the 14th and the 15th field; the second, in parentheses, may hold spaces.
fn ticks(process: u32) -> Result<(u64, u64)> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    let (_, fields) = stat.rsplit_once(") ").with_context(|| path.clone())?;
    let field = |number: usize| fields.split(' ').nth(number - 3).and_then(|field| field.parse().ok());
    field(14).zip(field(15)).context(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_counted() {
        let own = [std::process::id()];
        let before = Clock::read(&own).expect("read");
        let used = || before.used().map_or(Duration::ZERO, |cpu| cpu.total);
        let mut sum = 0u64;
        while used() < Duration::from_millis(5) {
            sum = std::hint::black_box((0..10_000u64).fold(sum, u64::wrapping_add));
        }
        let memory = Memory::read(&own).expect("read");
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
    }

    #[test]
    fn what_the_kernel_does_not_count_is_an_error() {
        let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
        let all = family(sleeper.id()).expect("children");
        assert_eq!(all, [sleeper.id()]);
        let own = family(std::process::id()).expect("children");
        assert!(own.contains(&sleeper.id()), "{own:?}");
        // It uses some while it starts, and then no more.
        let refusal = loop {
            let before = Clock::read(&all).expect("read");
            std::thread::yield_now();
            if let Err(error) = before.used() {
                break error.to_string();
            }
        };
        assert!(refusal.starts_with("the kernel has counted no CPU time"), "{refusal}");
        assert!(Clock::read(&[]).expect("nobody").used().is_ok());
        sleeper.kill().expect("it sleeps");
        sleeper.wait().expect("it was started here");
        assert!(Clock::read(&all).is_err(), "it has ended");
    }

    #[test]
    fn only_a_thread_that_has_ended_may_lack_its_files() {
        let own = std::process::id();
        assert!(file_of_thread(own, own, "schedstat").expect("there").is_some());
        file_of_thread(own, own, "no such file").expect_err("the thread is there");
        // Threads have numbers from 1.
        assert_eq!(file_of_thread(own, 0, "schedstat").expect("no thread"), None);
        let of = |nanoseconds| Duration::from_nanos(nanoseconds);
        assert_eq!(run_times("12 34 5\n"), Some((of(12), of(34))));
        for wrong in ["", "12", "12 many 5"] {
            assert_eq!(run_times(wrong), None, "{wrong}");
        }
    }
}
