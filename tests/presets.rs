//! What presets make of exporters' answers, as data: each `tests/presets/NAME.case` has two answers and what was used
//! between them.
//!
//! ```text
//! because: where the answers are from
//! preset: mediamtx
//! elapsed: 10
//! == before
//! (an answer, or `file: NAME` of `tests/load`)
//! == after
//! == found
//! egress 12000000
//! ```
//!
//! Each is run a second time as if Prometheus had scraped the exporter and were asked for it. `UPDATE=1` rewrites what was
//! found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use thalweg::config::{embedded_presets, read_preset};
use thalweg::diagnostic::Source;
use thalweg::load;
use thalweg::load::counters::Counters;
use thalweg::load::exposition::{self, Kind, Wanted};
use thalweg::load::promql::{Replies, Series, query};
use thalweg::load::rate::{Custom, Utilisation, between};
use thalweg::pool::Preset;

/// One case, its parts as they were written.
struct Case {
    preset: Preset,
    elapsed: f64,
    before: String,
    after: String,
    found: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presets")
}

impl Case {
    fn read(text: &str) -> Self {
        let mut parts = text.split("\n== ");
        let head = parts.next().unwrap();
        let value = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        assert!(value("because").is_some(), "a case says why it is there");
        let mut case = Self {
            preset: (*embedded_presets()[value("preset").unwrap()]).clone(),
            elapsed: value("elapsed").unwrap().parse().unwrap(),
            before: String::new(),
            after: String::new(),
            found: String::new(),
        };
        for part in parts {
            let (name, body) = part.split_once('\n').unwrap_or((part, ""));
            let body = match body.trim_end().strip_prefix("file: ") {
                Some(file) => fs::read_to_string(directory().join("../load").join(file)).unwrap(),
                None => format!("{}\n", body.trim_end()),
            };
            match name {
                "rules" => case.preset = own(&body),
                "before" => case.before = body,
                "after" => case.after = body,
                "found" => case.found = body,
                other => panic!("`== {other}` is no part of a case"),
            }
        }
        case
    }

    fn run(&self) -> String {
        let read = |body: &str| load::read(&self.preset, body.as_bytes()).map_err(|error| format!("{error}\n"));
        let outcome = || -> Result<String, String> {
            let (before, after) = (read(&self.before)?, read(&self.after)?);
            let used = between(&self.preset, &before, &after, self.elapsed).map_err(|error| format!("{error}\n"))?;
            Ok(told(&used, &after))
        };
        outcome().unwrap_or_else(|error| error)
    }
}

/// What the preset counts in an answer that Prometheus has scraped at `at`.
fn by_prometheus(preset: &Preset, body: &str, at: f64) -> Result<Counters, String> {
    let target = [("instance", "edge1:9100"), ("job", "edge")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let series = |labels: BTreeMap<String, String>, value: f64| Series {
        metric: labels.into_iter().chain(target.clone()).collect(),
        value: (at, value.to_string()),
    };
    let mut replies = Replies::new("instance", &[series(BTreeMap::new(), at)]);
    for (name, _) in preset.wanted() {
        let wanted = [Wanted { name, kind: Kind::Gauge }];
        let Ok(exposition) = exposition::read(body.as_bytes(), &wanted) else { continue };
        // `metric{}`, or `sum by (a, b) (metric{})`.
        let query = query(&[preset], name, "instance", "");
        let kept = query.strip_prefix("sum by (").map(|rest| rest.split_once(')').unwrap().0.split(", ").collect());
        let mut sums: BTreeMap<Vec<(String, String)>, f64> = BTreeMap::new();
        for sample in exposition.samples {
            let is_kept = |key: &String| kept.as_ref().is_none_or(|kept: &Vec<&str>| kept.contains(&key.as_str()));
            let labels = sample.labels.into_iter().filter(|(key, _)| is_kept(key)).collect();
            *sums.entry(labels).or_default() += sample.value;
        }
        let all = sums.into_iter().map(|(labels, sum)| series(labels.into_iter().collect(), sum)).collect();
        replies.take(name, Ok(all));
    }
    let targets: Vec<_> = replies.targets().collect();
    Ok(replies.counters(preset, &targets, None).map_err(|error| format!("{error}\n"))?.counters)
}

fn own(rules: &str) -> Preset {
    let (preset, diagnostics) = read_preset("own", &Source::new("own.toml", rules), embedded_presets());
    preset.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// Everything that is known, a line each.
fn told(used: &Utilisation, after: &Counters) -> String {
    let Utilisation { cpu, process_cpu, cores, egress, link, clients, seats, udp_drops, memory, disk, custom } = used;
    let known = [
        ("cpu", *cpu),
        ("process_cpu", *process_cpu),
        ("process_cpu capacity", *cores),
        ("egress", egress.map(|egress| egress.0)),
        ("egress capacity", link.map(|link| link.0)),
        ("clients", *clients),
        ("clients capacity", *seats),
        ("udp_drops", *udp_drops),
        ("memory", *memory),
        ("disk", *disk),
    ];
    let custom = custom.iter().map(|Custom { name, share, .. }| (&**name, Some(*share)));
    let lines = known.into_iter().chain(custom).filter_map(|(name, value)| Some(format!("{name} {}\n", round(value?))));
    let draining = after.is_draining.then(|| "draining\n".to_owned());
    let refused = (after.refused > 0).then(|| format!("refused {}\n", after.refused));
    lines.chain(draining).chain(refused).collect()
}

/// Six significant digits: sums differ in the last ones.
fn round(value: f64) -> String {
    format!("{}", format!("{value:.5e}").parse::<f64>().unwrap())
}

#[test]
fn presets_find_in_answers_what_is_written_down() {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut problems = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let case = Case::read(&text);
        let found = case.run();
        if found == case.found {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            let (kept, _) = text.split_once("\n== found").unwrap();
            fs::write(&path, format!("{kept}\n== found\n{found}")).unwrap();
        } else {
            problems.push(format!("{}\n-- expected\n{}-- found\n{found}", path.display(), case.found));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn prometheus_tells_of_each_case_what_the_exporter_itself_does() {
    for path in fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()) {
        let case = Case::read(&fs::read_to_string(&path).unwrap());
        let Case { preset, elapsed, before, after, found } = &case;
        let outcome = || -> Result<String, String> {
            let (before, after) = (by_prometheus(preset, before, 100.0)?, by_prometheus(preset, after, 110.0)?);
            let used = between(preset, &before, &after, *elapsed).map_err(|error| format!("{error}\n"))?;
            Ok(told(&used, &after))
        };
        assert_eq!(&outcome().unwrap_or_else(|error| error), found, "{}", path.display());
    }
}

#[test]
fn every_preset_of_the_program_has_a_case() {
    let texts: Vec<String> =
        fs::read_dir(directory()).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    for name in embedded_presets().keys() {
        let line = format!("preset: {name}\n");
        assert!(texts.iter().any(|text| text.contains(&line)), "{name}");
    }
}
