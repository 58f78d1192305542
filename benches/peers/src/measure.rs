//! What a server used, as the kernel counts it: run time of all its threads, and memory.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use anyhow::{Context, Result};

/// Run time of processes so far, or between two moments.
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

impl Cpu {
    /// Reads what all threads of these processes have used so far.
    pub fn read(processes: &[u32]) -> Result<Self> {
        let mut cpu = Self::default();
        for &process in processes {
            for thread in threads(process)? {
                let (run, held_up) = run_times(process, thread);
                cpu.total += run;
                cpu.held_up += held_up;
            }
            let (user, system) = ticks(process)?;
            cpu.user_ticks += user;
            cpu.system_ticks += system;
        }
        Ok(cpu)
    }

    /// Part of it that was in user code, from 0 to 1.
    pub fn user_share(&self) -> f64 {
        match self.user_ticks + self.system_ticks {
            0 => 0.0,
            all => self.user_ticks as f64 / all as f64,
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            // A thread that has ended takes its time with it.
            total: self.total.saturating_sub(before.total),
            held_up: self.held_up.saturating_sub(before.held_up),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
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
pub fn family(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    // A process that has just ended has no threads and no children.
    for thread in threads(process).unwrap_or_default() {
        let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(family));
    }
    all
}

/// The threads of a process.
pub fn threads(process: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{process}/task");
    let entries = fs::read_dir(&path).context(path)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// How long a thread has run, and has waited for its core. One that ends meanwhile has used nothing more.
fn run_times(process: u32, thread: u32) -> (Duration, Duration) {
    let schedstat = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).unwrap_or_default();
    let mut nanoseconds = schedstat.split_whitespace().map(|field| field.parse().unwrap_or(0));
    let mut next = || Duration::from_nanos(nanoseconds.next().unwrap_or(0));
    (next(), next())
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
        let before = Cpu::read(&own).expect("read");
        let mut sum = 0u64;
        while (Cpu::read(&own).expect("read") - before).total < Duration::from_millis(5) {
            sum = std::hint::black_box((0..10_000u64).fold(sum, u64::wrapping_add));
        }
        let memory = Memory::read(&own).expect("read");
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
    }
}
