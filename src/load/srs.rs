//! What is wanted of SRS' exporter, and the counters made of it.
#![deny(clippy::disallowed_methods)]

use crate::load::counters::{Counters, Stepped, refuse_duplicates};
use crate::load::error::ScrapeError;
use crate::load::exposition::{Exposition, Kind, Wanted};

const CLIENTS: &str = "srs_clients";
const CPU: &str = "srs_cpu_percent";
const SENT: &str = "srs_send_bytes_total";
const BUILD: &str = "srs_build_info";

/// The metrics that its counters are made of; none of its values can be negative.
pub const WANTED: &[Wanted] = &[
    Wanted { name: CLIENTS, kind: Kind::Counter },
    Wanted { name: CPU, kind: Kind::Counter },
    Wanted { name: SENT, kind: Kind::Counter },
    Wanted { name: BUILD, kind: Kind::Gauge },
];

/// Seconds between updates of what it sent, measured on SRS 7.0: 3.0 to 3.1.
const STEP: f64 = 3.0;

/// Gathers what `exposition::read` found for `WANTED`; without any load it is no answer of SRS.
pub(super) fn counters(exposition: &Exposition) -> Result<Counters, ScrapeError> {
    let Exposition { samples, refused } = exposition;
    refuse_duplicates(samples)?;
    let of = |name| samples.iter().find(|sample| sample.name == name);
    let value = |name| of(name).map(|sample| sample.value);
    let counters = Counters {
        clients: value(CLIENTS),
        // Percent of one core, of all its threads together.
        core: value(CPU).map(|percent| percent / 100.0),
        sent: value(SENT).map(|octets| Stepped { octets, step: STEP }),
        // It tells no time of start, but draws a new service each time.
        run: of(BUILD).map(|build| {
            let label = |key| build.label(key).unwrap_or_default();
            format!("{} {}", label("service"), label("pid"))
        }),
        refused: *refused,
        ..Counters::default()
    };
    let has_load = counters.clients.is_some() || counters.core.is_some() || counters.sent.is_some();
    has_load.then_some(counters).ok_or(ScrapeError::NothingWanted { refused: *refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::pool::ExporterKind;

    fn counters(body: &[u8]) -> Result<Counters, ScrapeError> {
        load::read(ExporterKind::Srs, body)
    }

    #[test]
    fn a_body_of_srs_becomes_counters() {
        let busy = counters(include_bytes!("../../tests/load/srs_34clients.prom")).expect("counters");
        let expected = Counters {
            clients: Some(34.0),
            core: Some(0.02),
            sent: Some(Stepped { octets: 252_286_018.0, step: 3.0 }),
            run: Some("gi0405m6 29735".to_owned()),
            ..Counters::default()
        };
        assert_eq!(busy, expected);
        let idle = counters(include_bytes!("../../tests/load/srs_idle.prom")).expect("counters");
        assert_eq!((idle.clients, idle.sent), (Some(0.0), Some(Stepped { octets: 0.0, step: 3.0 })));
        assert!((idle.core.expect("cpu") - 0.00999).abs() < 1e-6);
        assert_eq!((idle.run, idle.refused), (expected.run, 0));
    }

    #[test]
    fn a_body_without_load_is_no_answer_of_srs() {
        for (body, expected) in [
            // Its API's answer where the exporter is off.
            ("{\"code\":1090}", ScrapeError::NothingWanted { refused: 0 }),
            ("srs_build_info{service=\"a\",pid=\"1\"} 1\n", ScrapeError::NothingWanted { refused: 0 }),
            (
                "srs_cpu_percent NaN\nsrs_clients +Inf\nsrs_send_bytes_total -1\n",
                ScrapeError::NothingWanted { refused: 3 },
            ),
            ("srs_clients 1\nsrs_clients 2\n", ScrapeError::Duplicate(CLIENTS)),
        ] {
            assert_eq!(counters(body.as_bytes()), Err(expected), "{body}");
        }
    }
}
