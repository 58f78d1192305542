//! A server that runs: started on its core, awaited by asking it, stopped at the end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::Contestant;
use crate::generator::await_answer;
use crate::measure::{family, threads};
use crate::sets::Set;
use crate::workspace::Workspace;

/// How long a server may take to load a zone.
const START: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// Lines of its log that are shown if it does not start.
const LOG_LINES: usize = 15;

/// A server that answers; it ends when this is dropped.
pub struct Running {
    child: Child,
    /// From its start to its first answer.
    pub load_time: Duration,
}

impl Running {
    /// Starts a contestant on a core, with a zone of so many names, and waits until it answers.
    pub fn start(contestant: &Contestant, workspace: &Workspace, names: u32, core: usize) -> Result<Self> {
        let label = &contestant.label;
        is_free(contestant.port).with_context(|| format!("port {} of {label}", contestant.port))?;
        let (command, directory) =
            contestant.prepare(workspace, names).with_context(|| format!("configuring {label}"))?;
        let log_path = directory.join("log");
        let log = File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let started = Instant::now();
        let child = on_core(&command, core)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {label}"))?;
        let mut running = Self { child, load_time: Duration::ZERO };
        let answered = running.await_answer(contestant, names).with_context(|| {
            format!("{label} does not answer; the end of {}:\n{}", log_path.display(), end_of(&log_path))
        })?;
        running.load_time = answered - started;
        running.pin(core).with_context(|| format!("pinning {label}"))?;
        Ok(running)
    }

    /// It and its children.
    pub fn processes(&self) -> Result<Vec<u32>> {
        family(self.child.id())
    }

    fn await_answer(&mut self, contestant: &Contestant, names: u32) -> Result<Instant> {
        let deadline = Instant::now() + START;
        await_answer(contestant.address(false), &Set::Hit.queries(names), || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended, {status}");
            }
            if Instant::now() > deadline {
                bail!("not within {} s", START.as_secs());
            }
            Ok(())
        })
    }

    /// Knot gives its UDP worker a core by itself, whatever it was started on: this undoes it.
    fn pin(&self, core: usize) -> Result<()> {
        let mut cores = CpuSet::new();
        cores.set(core);
        for process in self.processes()? {
            for thread in threads(process)? {
                let thread = Pid::from_raw(thread.cast_signed());
                // A thread that has ended meanwhile runs nowhere.
                let _ = sched_setaffinity(thread, &cores);
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended no children are known.
        let all = self.processes().unwrap_or_else(|_| vec![self.child.id()]);
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        all.into_iter().for_each(|process| signal(process, Signal::KILL));
        // It has been killed, and whatever its status is says nothing.
        let _ = self.child.wait();
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process.cast_signed()) {
        // One that has ended needs none.
        let _ = kill_process(process, signal);
    }
}

/// A server that somebody else runs there would be measured in the place of ours.
fn is_free(port: u16) -> Result<()> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    Ok(())
}

/// The same command through two that become it: one lets it end with this program, however that ends, the other pins it.
fn on_core(command: &Command, core: usize) -> Command {
    let mut pinned = Command::new("setpriv");
    pinned.args(["--pdeathsig", "TERM", "taskset", "-c", &core.to_string()]);
    pinned.arg(command.get_program()).args(command.get_args());
    pinned
}

fn end_of(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
