//! An exporter's answer in the Prometheus text format → the wanted samples, nothing else.
//!
//! The way of a line: filter by name, strict lexer, canonical line, `prometheus-parse`, decoding. What is not wanted
//! costs one look at its name.
#![deny(clippy::disallowed_methods)]

use std::io::{self, BufRead};

use prometheus_parse::{Scrape, Value};

use crate::load::error::ScrapeError;
use crate::load::line;

/// Octets of the largest answer that is read; node_exporter's is about 60 KB.
pub const MAX_BODY: usize = 4 << 20;
/// The most wanted samples of an answer: those of 512 cores and 2,000 network devices fit. A sample takes up to 500
/// octets while it is read.
pub const MAX_SAMPLES: usize = 8_192;
/// The most labels of all wanted samples together. A tiny one takes a hundred octets while it is read.
pub const MAX_LABELS: usize = 32_768;
/// Octets of all lines of wanted samples together.
pub const MAX_WANTED: usize = 768 << 10;

/// A metric that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'w> {
    /// Its name.
    pub name: &'w str,
    /// What values it can have.
    pub kind: Kind,
}

/// What values a metric can have; none can be NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, never below zero.
    Counter,
    /// Any number.
    Gauge,
}

/// What was wanted of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposition<'w> {
    /// The samples, in the order of the answer; at least one.
    pub samples: Vec<Sample<'w>>,
    /// Lines with a wanted name that could not be read or held no possible value.
    pub refused: usize,
}

/// One value of a wanted metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'w> {
    /// The metric's name.
    pub name: &'w str,
    /// Its labels, in the order of their names.
    pub labels: Vec<(String, String)>,
    /// Finite; of counters not negative.
    pub value: f64,
}

impl Sample<'_> {
    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == key).map(|(_, value)| value.as_str())
    }
}

/// Reads the wanted samples of a body; timestamps in it are ignored.
pub fn read<'w>(body: &[u8], wanted: &[Wanted<'w>]) -> Result<Exposition<'w>, ScrapeError> {
    if body.len() > MAX_BODY {
        return Err(ScrapeError::TooLarge(MAX_BODY));
    }
    let mut lines = CanonicalLines { rest: body, wanted, seen: 0, labels: 0, octets: 0 };
    // The time would be that of samples without one, which nothing reads: any does, and no clock is asked.
    let scrape = Scrape::parse_at(&mut lines, Default::default());
    if lines.seen == 0 {
        return Err(ScrapeError::NothingWanted { refused: 0 });
    }
    if !body.ends_with(b"\n") {
        return Err(ScrapeError::Truncated);
    }
    let Ok(scrape) = scrape else {
        return Err(lines.excess());
    };
    let samples: Vec<Sample> = scrape.samples.into_iter().filter_map(|sample| decode(&sample, wanted)).collect();
    let refused = lines.seen - samples.len();
    if samples.is_empty() {
        return Err(ScrapeError::NothingWanted { refused });
    }
    Ok(Exposition { samples, refused })
}

/// The lines of wanted samples as the crate can read them, one at a time: memory is that of what is wanted.
struct CanonicalLines<'a> {
    rest: &'a [u8],
    wanted: &'a [Wanted<'a>],
    /// Lines with a wanted name so far, well-formed or not.
    seen: usize,
    /// Their labels, as the signs between a name and a value tell.
    labels: usize,
    /// Their octets.
    octets: usize,
}

impl CanonicalLines<'_> {
    fn is_excessive(&self) -> bool {
        self.seen > MAX_SAMPLES || self.labels > MAX_LABELS || self.octets > MAX_WANTED
    }

    fn excess(&self) -> ScrapeError {
        if self.seen > MAX_SAMPLES {
            ScrapeError::TooManySamples(MAX_SAMPLES)
        } else if self.labels > MAX_LABELS {
            ScrapeError::TooManyLabels(MAX_LABELS)
        } else {
            ScrapeError::TooMuchWanted(MAX_WANTED)
        }
    }
}

impl Iterator for CanonicalLines<'_> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(line) = next_line(&mut self.rest) {
            let Some((metric, after)) = split_wanted(line, self.wanted) else {
                continue;
            };
            self.seen += 1;
            self.octets += line.len();
            self.labels += line.iter().filter(|octet| **octet == b'=').count();
            if self.is_excessive() {
                return Some(Err(io::ErrorKind::FileTooLarge.into()));
            }
            if let Some(canonical) = line::canonical(metric, &String::from_utf8_lossy(after)) {
                return Some(Ok(canonical));
            }
        }
        None
    }
}

/// Takes the next line, without its end.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let from = *rest;
    // Of all ways through a slice this one searches fastest without a crate; reading a slice cannot fail.
    let length = rest.skip_until(b'\n').ok().filter(|length| *length > 0)?;
    let line = &from[..length];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Which wanted metric a line is of, and what follows the name.
fn split_wanted<'a>(line: &'a [u8], wanted: &[Wanted<'_>]) -> Option<(usize, &'a [u8])> {
    let line = line.trim_ascii_start();
    if line.first().is_none_or(|first| *first == b'#') {
        return None;
    }
    let end = line.iter().position(|octet| matches!(octet, b'{' | b' ' | b'\t'))?;
    let (name, after) = line.split_at(end);
    let metric = wanted.iter().position(|wanted| wanted.name.as_bytes() == name)?;
    Some((metric, after))
}

fn decode<'w>(sample: &prometheus_parse::Sample, wanted: &[Wanted<'w>]) -> Option<Sample<'w>> {
    let Wanted { name, kind } = *wanted.get(line::metric(&sample.metric)?)?;
    // Without a `# TYPE` line the crate knows no other sort.
    let Value::Untyped(value) = sample.value else {
        return None;
    };
    let is_possible = value.is_finite() && (kind == Kind::Gauge || value >= 0.0);
    if !is_possible {
        return None;
    }
    let mut labels = Vec::with_capacity(sample.labels.len());
    for (key, value) in sample.labels.iter() {
        labels.push((key.clone(), line::decode(value)?));
    }
    labels.sort();
    Some(Sample { name, labels, value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use proptest::{collection, sample};

    use super::*;
    use crate::config::embedded_presets;
    use crate::load::counters;

    const SRS_UP: Wanted<'_> = Wanted { name: "srs_up", kind: Kind::Gauge };
    const SENT: Wanted<'_> = Wanted { name: "job:sent:total", kind: Kind::Counter };

    fn values(body: &str, wanted: &[Wanted<'_>]) -> Vec<f64> {
        let exposition = read(body.as_bytes(), wanted).expect(body);
        exposition.samples.iter().map(|sample| sample.value).collect()
    }

    #[test]
    fn a_label_cannot_set_the_value() {
        let body = "srs_up{stream=\"x} 0 \",dev=\"y\"} 1\n";
        let exposition = read(body.as_bytes(), &[SRS_UP]).expect("one sample");
        assert_eq!(exposition.samples[0].value, 1.0);
        assert_eq!(exposition.samples[0].label("stream"), Some("x} 0 "));
        assert_eq!(exposition.samples[0].label("dev"), Some("y"));
    }

    #[test]
    fn what_the_crate_alone_loses_is_kept() {
        for (line, label) in [
            ("srs_up{} 1", None),
            ("srs_up {a=\"b\"} 1", Some("b")),
            ("srs_up\t{a=\"b\"} 1", Some("b")),
            ("srs_up{a=\"b\"}1", Some("b")),
            ("srs_up{a=\"b,c=d\"} 1", Some("b,c=d")),
            ("srs_up{z=\"\", a=\"b\"} 1", Some("b")),
            ("srs_up{a=\"\\\\ \\\" \\n\"} 1", Some("\\ \" \n")),
            ("srs_up{a=\"\\\"q\\\"\"} 1", Some("\"q\"")),
            ("srs_up{a=\"b\"} 1 1543182234", Some("b")),
            ("srs_up{a=\"b\"} 1\r", Some("b")),
        ] {
            let exposition = read(format!("{line}\n").as_bytes(), &[SRS_UP]).expect(line);
            assert_eq!(exposition.samples[0].value, 1.0, "{line}");
            assert_eq!(exposition.samples[0].label("a"), label, "{line}");
        }
        assert_eq!(values("job:sent:total{a=\"b\"} 5\n", &[SRS_UP, SENT]), [5.0]);
    }

    #[test]
    fn impossible_values_are_refused_and_counted() {
        let body =
            "srs_up NaN\nsrs_up +Inf\nsrs_up 1e400\nsrs_up one\nsrs_up{\njob:sent:total -1\nsrs_up -1\nother x\n";
        let exposition = read(body.as_bytes(), &[SRS_UP, SENT]).expect("one sample");
        assert_eq!(exposition.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [-1.0]);
        assert_eq!(exposition.refused, 6);
    }

    #[test]
    fn answers_that_are_no_metrics_are_errors() {
        let nothing = |refused| Err(ScrapeError::NothingWanted { refused });
        let many = "srs_up 1\n".repeat(MAX_SAMPLES + 1);
        for (body, expected) in [
            ("", nothing(0)),
            ("{\"code\":1090}", nothing(0)),
            ("<html>\n", nothing(0)),
            ("Error 500\n", nothing(0)),
            ("# TYPE srs_up gauge\nsrs_ups 1\nsrs_u 1\n", nothing(0)),
            ("srs_up NaN\n", nothing(1)),
            ("srs_up 1\nsrs_up 544.7", Err(ScrapeError::Truncated)),
            ("srs_up 1\nsrs_up{", Err(ScrapeError::Truncated)),
            (&many, Err(ScrapeError::TooManySamples(MAX_SAMPLES))),
        ] {
            assert_eq!(read(body.as_bytes(), &[SRS_UP]), expected, "{}", &body[..body.len().min(40)]);
        }
        assert_eq!(read(&vec![b'\n'; MAX_BODY + 1], &[SRS_UP]), Err(ScrapeError::TooLarge(MAX_BODY)));
        let long = format!("srs_up{{a=\"{}\"}} 1\n", "x".repeat(MAX_WANTED));
        assert_eq!(read(long.as_bytes(), &[SRS_UP]), Err(ScrapeError::TooMuchWanted(MAX_WANTED)));
    }

    #[test]
    fn captured_bodies_are_read_without_loss() {
        let gauge = |name| Wanted { name, kind: Kind::Gauge };
        let hostile = include_bytes!("../../tests/load/pyclient_hostile_text.prom");
        let exposition = read(hostile, &[gauge("media_streams")]).expect("streams");
        let paths: Vec<_> = exposition.samples.iter().map(|sample| sample.label("path").expect("path")).collect();
        assert_eq!(
            paths,
            [
                "live/stream1",
                "live/a=b",
                "live/a}b",
                "live/x} 0 ",
                "live/\"q\"",
                "live/back\\slash",
                "live/новости",
                "live/nl\nx",
            ]
        );
        assert!(exposition.samples.iter().all(|sample| sample.value == 1.0));
        assert_eq!(exposition.refused, 0);

        let timestamps = include_bytes!("../../tests/load/synthetic_timestamps.prom");
        let exposition = read(timestamps, &[gauge("a")]).expect("two values");
        assert_eq!(exposition.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(exposition.refused, 2);

        let invalid_utf8 = include_bytes!("../../tests/load/synthetic_invalid_utf8.prom");
        let exposition = read(invalid_utf8, &[gauge("a"), gauge("b")]).expect("two values");
        assert_eq!(exposition.samples[0].label("x"), Some("\u{fffd}\u{fffd}"));
        assert_eq!(exposition.samples[1].value, 2.0);
    }

    /// Any label value, with the characters of the grammar much more often than by chance.
    fn label_value() -> impl Strategy<Value = String> {
        let grammar = sample::select(vec!['"', '\\', '\n', '{', '}', ',', '=', '%', '#', ' ', '1', 'a', '\u{2028}']);
        collection::vec(proptest::prop_oneof![grammar, any::<char>()], 0..12)
            .prop_map(|characters| characters.into_iter().collect())
    }

    fn escape(value: &str) -> String {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            written in collection::vec((collection::btree_map("[a-z_][a-z0-9_]{0,5}", label_value(), 0..4), any::<f64>()), 1..8)
        ) {
            let written: Vec<_> = written.into_iter().filter(|(_, value)| value.is_finite()).collect();
            let mut body = String::from("# HELP srs_up {\"\n");
            for (labels, value) in &written {
                let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
                body.push_str(&format!("srs_up{{{}}} {value:e} 1795371434280\n", labels.join(",")));
            }
            let exposition = read(body.as_bytes(), &[SRS_UP]);
            let samples = exposition.map_or_else(|_| Vec::new(), |exposition| exposition.samples);
            let found: Vec<_> =
                samples.into_iter().map(|sample| (sample.labels.into_iter().collect(), sample.value)).collect();
            prop_assert_eq!(found, written);
        }

        #[test]
        fn no_body_is_a_panic(
            edits in collection::vec((any::<sample::Index>(), any::<u8>(), any::<bool>()), 0..60),
            cut in any::<sample::Index>(),
        ) {
            let mut body = include_bytes!("../../tests/load/pyclient_hostile_text.prom").to_vec();
            body.extend_from_slice(include_bytes!("../../tests/load/synthetic_timestamps.prom"));
            for (at, octet, is_insertion) in edits {
                let at = at.index(body.len());
                if is_insertion { body.insert(at, octet) } else { body[at] = octet }
            }
            body.truncate(cut.index(body.len()) + 1);
            let wanted = ["media_streams", "media_latency_seconds_bucket", "media_sessions_total", "a"]
                .map(|name| Wanted { name, kind: Kind::Counter });
            if let Ok(exposition) = read(&body, &wanted) {
                assert!(exposition.samples.iter().all(|sample| sample.value >= 0.0));
            }
            let _ = counters::read(&embedded_presets()["node"], &body); // Only that it returns matters.
        }
    }
}
