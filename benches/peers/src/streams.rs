//! TCP on long connections: dnsperf asks, because it can.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::generator::{Outcome, list};
use crate::measure::{Clock, Memory};
use crate::servers::Contestant;
use crate::sets::Queries;

/// Connections, each with its part of the queries that wait for their replies.
const CONNECTIONS: usize = 10;
/// Queries that wait for their replies, on all connections.
const OUTSTANDING: usize = 200;
/// Different queries, which are asked over and over.
const QUERIES: usize = 20_000;
/// The mixture has 10 % of names that do not exist; of so many queries as are sent, those found are nearer than this to it.
const NXDOMAIN_SHARES: std::ops::Range<f64> = 8.0..12.0;

/// Writes the list of queries.
pub fn write_queries(path: &Path, queries: &Queries) -> Result<()> {
    fs::write(path, list(queries, QUERIES)).with_context(|| path.display().to_string())
}

/// Asks the queries of a list for some seconds; connecting counts too.
pub fn run(contestant: &Contestant, processes: &[u32], queries: &Path, duration: Duration) -> Result<Outcome> {
    let clock = Clock::read(processes)?;
    let start = Instant::now();
    let output = Command::new("dnsperf")
        .args(["-s", "127.0.0.1", "-p", &contestant.port.to_string(), "-m", "tcp", "-e"])
        .args(["-c", &CONNECTIONS.to_string(), "-q", &OUTSTANDING.to_string()])
        .args(["-l", &duration.as_secs_f64().ceil().to_string(), "-d"])
        .arg(queries)
        .output()
        .context("dnsperf")?;
    let (cpu, elapsed) = (clock.used()?, start.elapsed());
    let memory = Memory::read(processes)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("dnsperf: {}, {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let report = Report(&text);
    let answers = report.number("Queries completed:")?;
    let lost = report.number("Queries lost:")?;
    if answers < 1.0 {
        bail!("dnsperf: no replies\n{text}");
    }
    if !report.are_answers_right() {
        bail!("replies are wrong: not about 10 % NXDOMAIN and else NOERROR, but {}", report.value("Response codes:")?);
    }
    let octets = answers * report.number_after("Average packet size:", "response")?;
    Ok(Outcome { answers: answers as u64, lost: lost as u64, octets: octets as u64, cpu, memory, elapsed })
}

/// What dnsperf prints at its end.
struct Report<'r>(&'r str);

impl<'r> Report<'r> {
    fn value(&self, key: &str) -> Result<&'r str> {
        let value = self.0.lines().find_map(|line| line.trim().strip_prefix(key));
        value.map(str::trim).with_context(|| format!("dnsperf says nothing of `{key}`\n{}", self.0))
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.number_after(key, "")
    }

    fn number_after(&self, key: &str, word: &str) -> Result<f64> {
        let value = self.value(key)?;
        let (_, rest) = value.split_once(word).unwrap_or(("", value));
        let number = rest.split_whitespace().next().and_then(|number| number.parse().ok());
        number.with_context(|| format!("dnsperf says `{key} {value}`"))
    }

    /// `NOERROR 900 (90.00%), NXDOMAIN 100 (10.00%)`, and nothing else.
    fn are_answers_right(&self) -> bool {
        let Ok(codes) = self.value("Response codes:") else { return false };
        let share = |code: &str| -> Option<f64> {
            let (_, share) = codes.split(", ").find(|item| item.starts_with(code))?.split_once('(')?;
            share.strip_suffix("%)")?.parse().ok()
        };
        codes.split(", ").count() == 2
            && share("NOERROR").is_some()
            && share("NXDOMAIN").is_some_and(|share| NXDOMAIN_SHARES.contains(&share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_dnsperf_is_read() {
        let report = Report(
            "  Queries sent:         1000\n  Queries completed:    990 (99.00%)\n  Queries lost:         10 (1.00%)\n\n  \
             Response codes:       NOERROR 891 (90.00%), NXDOMAIN 99 (10.00%)\n  \
             Average packet size:  request 48, response 77\n",
        );
        assert_eq!(report.number("Queries completed:").expect("there"), 990.0);
        assert_eq!(report.number("Queries lost:").expect("there"), 10.0);
        assert_eq!(report.number_after("Average packet size:", "response").expect("there"), 77.0);
        assert!(report.are_answers_right());
        for wrong in ["NOERROR 10 (100.00%)", "NOERROR 5 (45.0%), SERVFAIL 5 (45.0%), NXDOMAIN 1 (10.0%)", ""] {
            assert!(!Report(&format!("  Response codes:  {wrong}\n")).are_answers_right(), "{wrong}");
        }
    }
}
