//! Waiting until the viewers of drained nodes have left.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::{INTERRUPTED, WAITED};
use crate::command::admin::NoAnswer;
use crate::command::watch::{print, span};
use crate::command::{FAILURE, SUCCESS, nodes};
use crate::config;
use crate::pool::Bitrate;
use crate::serve::admin::{NodeReport, NodesReport};

/// Between two looks.
const LOOKS: Duration = Duration::from_secs(2);
/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

/// What is waited for, of each node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Fewer viewers than this.
    Clients(f64),
    /// Less is sent than this.
    Egress(Bitrate),
}

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// What.
    pub condition: Condition,
    /// How long at most; none = until it is so.
    pub timeout: Option<Duration>,
}

/// How far a node is.
enum Progress {
    Reached,
    Left(String),
    /// It serves again: somebody has ended the drain.
    Ended,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is nothing to wait for: write `clients<50` or `egress<10Mbit/s`");
        let (resource, value) = text.split_once('<').ok_or_else(usage)?;
        match resource.trim() {
            "clients" => match value.trim().parse::<f64>() {
                Ok(clients) if clients.is_finite() && clients > 0.0 => Ok(Self::Clients(clients)),
                _ => Err(format!("`{}` is no number of viewers above 0", value.trim())),
            },
            "egress" => match config::bitrate(value.trim()) {
                Ok(rate) if rate.0 > 0.0 => Ok(Self::Egress(rate)),
                Err(Some(meant)) => Err(format!("`{}` is no bit rate; did you mean `{meant}`?", value.trim())),
                _ => Err(format!("`{}` is no bit rate such as 10Mbit/s", value.trim())),
            },
            _ => Err(usage()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients(clients) => write!(f, "clients<{clients}"),
            Self::Egress(rate) => write!(f, "egress<{rate}"),
        }
    }
}

impl Wait {
    /// Looks again and again, shows who is left, and returns the exit status.
    pub(super) fn until_reached(&self, file: &Path, drained: &[String]) -> u8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let interrupted = runtime.and_then(|runtime| {
            let signal = {
                let _entered = runtime.enter();
                signal(SignalKind::interrupt())?
            };
            Ok((runtime, signal))
        });
        let (runtime, mut interrupt) = match interrupted {
            Ok(prepared) => prepared,
            Err(error) => {
                eprintln!("thalweg: cannot wait: {error}; the drain stands");
                return FAILURE;
            }
        };
        let (begun, is_terminal) = (Instant::now(), io::stdout().is_terminal());
        let mut told: Option<Instant> = None;
        loop {
            let line = match nodes::ask(file) {
                Ok(report) => match self.look(&report, drained, begun.elapsed()) {
                    Ok(line) => line,
                    Err((line, status)) => {
                        print(&format!("{}{line}\n", if is_terminal { "\r\x1b[K" } else { "" }));
                        return status;
                    }
                },
                Err(NoAnswer::Refused(message) | NoAnswer::Unreachable(message)) => {
                    message.lines().next().unwrap_or_default().to_owned()
                }
            };
            if is_terminal {
                print(&format!("\r\x1b[K{line}"));
            } else if told.is_none_or(|told| told.elapsed() >= LINES) {
                print(&format!("{line}\n"));
                told = Some(Instant::now());
            }
            let rest = self.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            if rest.is_some_and(|rest| rest.is_zero()) {
                print(if is_terminal { "\n" } else { "" });
                eprintln!(
                    "thalweg: after {} it is not {}; the drain stands",
                    span(begun.elapsed().as_secs_f64()),
                    self.condition
                );
                return WAITED;
            }
            let pause = rest.map_or(LOOKS, |rest| rest.min(LOOKS));
            let is_over = runtime.block_on(async { tokio::time::timeout(pause, interrupt.recv()).await.is_ok() });
            if is_over {
                print(if is_terminal { "\n" } else { "" });
                eprintln!("thalweg: interrupted; the drain stands, `thalweg undrain` ends it");
                return INTERRUPTED;
            }
        }
    }

    /// Who is left; an error is the end of waiting.
    fn look(&self, report: &NodesReport, drained: &[String], waited: Duration) -> Result<String, (String, u8)> {
        let mut left = Vec::new();
        for name in drained {
            // What is configured no more has nobody that it would matter to.
            let Some(node) = report.nodes.iter().find(|node| node.node == *name) else { continue };
            match self.progress(node, waited) {
                Progress::Reached => {}
                Progress::Left(told) => left.push(format!("{name} {told}")),
                Progress::Ended => return Err((format!("{name} is not drained any more"), FAILURE)),
            }
        }
        if left.is_empty() {
            let all = drained.join(", ");
            return Err((format!("{all}: {} after {}", self.condition, span(waited.as_secs_f64())), SUCCESS));
        }
        Ok(format!("waiting for {} since {}: {}", self.condition, span(waited.as_secs_f64()), left.join("; ")))
    }

    fn progress(&self, node: &NodeReport, waited: Duration) -> Progress {
        if node.standing != "drained" {
            return Progress::Ended;
        }
        let (value, is_reached) = match self.condition {
            Condition::Clients(clients) => {
                (node.clients.map(|now| format!("{now:.0} clients")), node.clients.is_some_and(|now| now < clients))
            }
            Condition::Egress(rate) => (
                node.egress.map(|now| Bitrate((now * 1e6).round()).to_string()),
                node.egress.is_some_and(|now| now < rate.megabits()),
            ),
        };
        let age = node.age.unwrap_or(f64::INFINITY);
        match value {
            None => Progress::Left("unknown: no exporter tells it".to_owned()),
            // What was read before the drain says nothing of it, and what is stale nothing of now.
            Some(value) if node.pressure.is_none() => Progress::Left(format!("{value}, {} ago", span(age))),
            Some(_) if is_reached && age <= waited.as_secs_f64() => Progress::Reached,
            Some(value) => Progress::Left(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(standing: &str, clients: Option<f64>, age: f64) -> NodeReport {
        NodeReport {
            node: "a".to_owned(),
            place: "fra".to_owned(),
            pools: Vec::new(),
            standing: standing.to_owned(),
            since: None,
            pressure: Some(0.5),
            predicted: 0.5,
            limit: None,
            worst: None,
            uses: Vec::new(),
            egress: clients.map(|clients| clients * 2.5),
            egress_capacity: None,
            clients,
            capacity: 800.0,
            unit: "Mbit/s".to_owned(),
            answers: None,
            age: Some(age),
            sources: Vec::new(),
            because: String::new(),
        }
    }

    #[test]
    fn it_is_waited_for_what_was_read_since_the_drain() {
        let wait = Wait { condition: "clients<50".parse().unwrap(), timeout: None };
        let look = |node: NodeReport, waited: u64| {
            let report = NodesReport { now: 0, tick_age: 0.0, is_stuck: false, nodes: vec![node] };
            wait.look(&report, &["a".to_owned()], Duration::from_secs(waited)).map_err(|(_, status)| status)
        };
        assert_eq!(
            look(node("drained", Some(50.0), 1.0), 10).unwrap(),
            "waiting for clients<50 since 10 s: a 50 clients"
        );
        assert!(look(node("drained", Some(49.0), 5.0), 4).is_ok());
        assert_eq!(look(node("drained", Some(49.0), 5.0), 6), Err(SUCCESS));
        assert_eq!(look(node("known", Some(70.0), 1.0), 6), Err(FAILURE));
        let silent = NodeReport { pressure: None, ..node("drained", Some(3.0), 90.0) };
        assert!(look(silent, 100).unwrap().contains("3 clients, 90 s ago"));
        assert!(look(node("drained", None, 1.0), 100).unwrap().contains("unknown"));
    }

    #[test]
    fn conditions_are_read_in_the_units_of_the_configuration() {
        assert_eq!("egress<10Mbit/s".parse(), Ok(Condition::Egress(Bitrate(1e7))));
        for (text, told) in [
            ("clients>50", "write `clients<50`"),
            ("clients<many", "no number of viewers"),
            ("egress<10Mbps", "did you mean `10Mbit/s`?"),
            ("cpu<0.3", "write `clients<50`"),
        ] {
            let error = text.parse::<Condition>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
