//! The program as a process of its own, whose memory, descriptors and log can be looked at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::client::get;

/// A running `thalweg run`, which is ended with this.
pub(crate) struct Child {
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
    /// Where it answers DNS.
    pub(crate) dns: SocketAddr,
    /// Where it tells its metrics.
    pub(crate) admin: SocketAddr,
    tls: Option<SocketAddr>,
    quic: Option<SocketAddr>,
}

impl Child {
    /// Starts it, with as many descriptors as wanted, and returns once it answers.
    pub(crate) fn start(config: &Path, descriptors: u32) -> Self {
        Self::start_under(&[], config, descriptors)
    }

    /// The same by a command that becomes it, such as taskset.
    pub(crate) fn start_under(command: &[&str], config: &Path, descriptors: u32) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n \"$0\" && exec \"$@\""])
            .arg(descriptors.to_string())
            .args(command)
            .args([env!("CARGO_BIN_EXE_thalweg"), "run", "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = |line: &str, key: &str| -> Option<SocketAddr> {
            let (_, rest) = line.split_once(key)?;
            rest.split(['"', ' ']).find(|word| !word.is_empty())?.parse().ok()
        };
        let (dns, admin, tls, quic) = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {:#?}", log.lock().unwrap()));
            let found = address(&line, " dns=").zip(address(&line, " admin="));
            let (tls, quic) = (address(&line, " tls="), address(&line, " quic="));
            log.lock().unwrap().push(line);
            if let Some((dns, admin)) = found {
                break (dns, admin, tls, quic);
            }
        };
        // Whoever does not read the log stops the program once the pipe is full.
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        Self { process, log, dns, admin, tls, quic }
    }

    /// Where it answers DNS over TLS.
    pub(crate) fn tls(&self) -> SocketAddr {
        self.tls.expect("it is configured")
    }

    /// Where it answers DNS over QUIC.
    pub(crate) fn quic(&self) -> SocketAddr {
        self.quic.expect("it is configured")
    }

    /// Octets of memory that it has (VmRSS).
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// The cores that each of its threads may use, with the thread's name, as the kernel writes both.
    pub(crate) fn cores_of_threads(&self) -> Vec<(String, String)> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        // A thread that has just ended has no status.
        let statuses = threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok());
        let field =
            |status: &str, key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        statuses.map(|status| (field(&status, "Name:"), field(&status, "Cpus_allowed_list:"))).collect()
    }

    /// Sets how many descriptors it may have from now on; more that are open stay so.
    pub(crate) fn limit_descriptors(&self, count: u32) {
        let pid = self.process.id().to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={count}:")]).status();
        assert!(status.expect("prlimit of util-linux").success());
    }

    /// A metric; all its lines in sum, 0 if there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = get(self.admin, "/metrics");
        let of_name = page.lines().filter_map(|line| line.strip_prefix(name));
        let values = of_name.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Lines of the log that have these words.
    pub(crate) fn logged(&self, words: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended, which the test has then noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
