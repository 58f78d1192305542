//! What is wanted of a media server's own exporter, and the counters made of it.
//!
//! The names are those of Prometheus' client libraries, which most servers take as they are.
#![deny(clippy::disallowed_methods)]

use crate::load::counters::{Counters, Process, refuse_duplicates};
use crate::load::error::ScrapeError;
use crate::load::exposition::{Exposition, Kind, Wanted};

const CPU: &str = "process_cpu_seconds_total";
const STARTED: &str = "process_start_time_seconds";

/// The metrics that its counters are made of.
pub const WANTED: &[Wanted] =
    &[Wanted { name: CPU, kind: Kind::Counter }, Wanted { name: STARTED, kind: Kind::Counter }];

/// Gathers what `exposition::read` found for `WANTED`; without any CPU time it is no load.
pub(super) fn counters(exposition: &Exposition) -> Result<Counters, ScrapeError> {
    let Exposition { samples, refused } = exposition;
    refuse_duplicates(samples)?;
    let mut counters = Counters { refused: *refused, ..Counters::default() };
    let of = |name| samples.iter().filter(move |sample| sample.name == name);
    for used in of(CPU) {
        let started = of(STARTED).find(|started| started.labels == used.labels).map(|started| started.value);
        counters.processes.insert(used.labels.clone(), Process { cpu: used.value, started });
    }
    (!counters.processes.is_empty()).then_some(counters).ok_or(ScrapeError::NothingWanted { refused: *refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::pool::ExporterKind;

    fn counters(body: &[u8]) -> Result<Counters, ScrapeError> {
        load::read(ExporterKind::Process, body)
    }

    #[test]
    fn a_body_of_a_client_library_becomes_one_process() {
        // An exporter is a process too.
        let counters = counters(include_bytes!("../../tests/load/node_exporter_default.prom")).expect("counters");
        let process = Process { cpu: 0.01, started: Some(1.79537121241e+09) };
        assert_eq!(counters.processes, [(Default::default(), process)].into());
        assert!(counters.cpus.is_empty() && counters.devices.is_empty());
    }

    #[test]
    fn workers_are_told_apart_by_their_labels() {
        let body = "process_cpu_seconds_total{pid=\"1\"} 3\nprocess_cpu_seconds_total{pid=\"2\"} 4\n\
                    process_start_time_seconds{pid=\"2\"} 100\n";
        let counters = counters(body.as_bytes()).expect("counters");
        let workers: Vec<Process> = counters.processes.into_values().collect();
        assert_eq!(workers, [Process { cpu: 3.0, started: None }, Process { cpu: 4.0, started: Some(100.0) }]);
    }

    #[test]
    fn a_body_without_cpu_time_is_no_load() {
        for (body, expected) in [
            ("process_start_time_seconds 1\n", ScrapeError::NothingWanted { refused: 0 }),
            ("process_cpu_seconds_total -1\nprocess_start_time_seconds 1\n", ScrapeError::NothingWanted { refused: 1 }),
            ("process_cpu_seconds_total 1\nprocess_cpu_seconds_total 2\n", ScrapeError::Duplicate(CPU)),
        ] {
            assert_eq!(counters(body.as_bytes()), Err(expected), "{body}");
        }
    }
}
