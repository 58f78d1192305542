//! Presets: those of the program, which stand in `presets/`, and `[preset.NAME]` of the configuration.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Source};
use crate::pool::{Combine, Falls, Identity, Measure, Preset, Resource, Rule, Scope, Selector, Told};

use super::table::Table;
use super::tree::{self, Entry, Item, Value};
use super::value::{self, Reading, Wrong};
use super::written::{Problems, Written};

/// The presets of the program, as they stand in `presets/`.
const EMBEDDED: &[(&str, &str)] = &[
    ("node", include_str!("../../presets/node.toml")),
    ("process", include_str!("../../presets/process.toml")),
    ("srs", include_str!("../../presets/srs.toml")),
    ("srs_heartbeat", include_str!("../../presets/srs_heartbeat.toml")),
    ("nginx", include_str!("../../presets/nginx.toml")),
    ("mediamtx", include_str!("../../presets/mediamtx.toml")),
    ("livekit", include_str!("../../presets/livekit.toml")),
    ("jvb", include_str!("../../presets/jvb.toml")),
    ("redis", include_str!("../../presets/redis.toml")),
    ("cadvisor", include_str!("../../presets/cadvisor.toml")),
    ("windows", include_str!("../../presets/windows.toml")),
];
/// The most scrapes of which the largest value may count.
const MOST_POLLS: u32 = 60;

/// Presets by name.
pub type Presets = BTreeMap<String, Arc<Preset>>;

/// The presets of the program.
pub fn embedded() -> &'static Presets {
    static PRESETS: LazyLock<Presets> = LazyLock::new(|| {
        let read = |(name, text): &(&str, &str)| {
            let source = Source::new(format!("presets/{name}.toml"), *text);
            let (preset, diagnostics) = read_text(name, &source, &Presets::new());
            let wrong: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            assert!(wrong.is_empty(), "tests read all presets of the program: {}", wrong.join("\n"));
            ((*name).to_owned(), Arc::new(preset.expect("without a diagnostic it was read")))
        };
        EMBEDDED.iter().map(read).collect()
    });
    &PRESETS
}

/// A preset of the program as it was written.
pub fn embedded_text(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Reads a preset that stands in a file of its own.
pub fn read_text(name: &str, source: &Source, known: &Presets) -> (Option<Preset>, Vec<Diagnostic>) {
    let problems = Problems::default();
    let preset = tree::parse(source, &problems).map(|entries: Vec<Entry>| {
        let place = super::written::Place::in_file(source, 0..0);
        read(&Written::default(name.to_owned()), Table::top(entries, place, &problems), known)
    });
    let diagnostics = problems.into_diagnostics();
    let is_sound = !crate::diagnostic::has_errors(&diagnostics);
    (preset.filter(|_| is_sound), diagnostics)
}

/// Reads `[preset.NAME]` tables over the presets of the program; one of the same name replaces it.
pub(super) fn read_all(top: &mut Table<'_>, problems: &Problems) -> Presets {
    let mut presets = embedded().clone();
    for (name, table) in top.named("preset") {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.value.is_empty() || !name.value.chars().all(is_word) {
            problems.error(table.place(), "a preset's name consists of letters, digits, `_` and `-`");
        }
        let preset = read(&name, table, &presets);
        presets.insert(name.value, Arc::new(preset));
    }
    presets
}

/// The names of all resources that presets name.
pub(super) fn custom_resources(presets: &Presets) -> Vec<String> {
    let rules = presets.values().flat_map(|preset| &preset.rules);
    let mut names: Vec<String> = rules
        .filter_map(|rule| match &rule.resource {
            Resource::Custom(name) => Some(name.to_string()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn read(name: &Written<String>, mut table: Table<'_>, known: &Presets) -> Preset {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let is_alike = table.has("like");
    let base = table.word("like", &names).and_then(|like| known.get(like.value));
    let scope = table.word("scope", &["machine", "server"]);
    let about = table.value("about", value::text);
    let collect: Vec<String> =
        table.list("collect", value::text).into_iter().flat_map(|list| list.value).map(|name| name.value).collect();
    let restart = table.some("restart", identity);
    let one = |table: &mut Table<'_>, key| table.value(key, selector).map(|selector| selector.value);
    let [clock, up] = ["clock", "up"].map(|key| one(&mut table, key));
    let draining: Vec<Selector> = table.some("draining", selector).into_iter().map(|draining| draining.value).collect();
    if !is_alike && !table.has("rule") {
        table.require("rule", "write `[[preset.NAME.rule]]` with `resource` and `metric`, or `like = \"node\"` to begin with one of the program's");
    }
    let rules: Vec<Rule> = table.tables("rule", "preset.rule").into_iter().filter_map(read_rule).collect();
    table.finish();
    let base = base.map(|base| (**base).clone());
    let inherit = |own: Option<Selector>, of: fn(&Preset) -> &Option<Selector>| {
        own.or_else(|| base.as_ref().and_then(|base| of(base).clone()))
    };
    Preset {
        name: name.value.clone(),
        about: about.map(|about| about.value).or(base.as_ref().map(|base| base.about.clone())).unwrap_or_default(),
        scope: match scope.map(|scope| scope.value) {
            Some("machine") => Scope::Machine,
            Some(_) => Scope::Server,
            None => base.as_ref().map_or(Scope::Server, |base| base.scope),
        },
        clock: inherit(clock, |base| &base.clock),
        up: inherit(up, |base| &base.up),
        draining: match (draining.is_empty(), &base) {
            (true, Some(base)) => base.draining.clone(),
            _ => draining,
        },
        restart: match (restart.is_empty(), &base) {
            (true, Some(base)) => base.restart.clone(),
            _ => restart.into_iter().map(|identity| identity.value).collect(),
        },
        collect: match (collect.is_empty(), &base) {
            // What other rules need may come from other collectors.
            (true, Some(base)) if rules.is_empty() => base.collect.clone(),
            _ => collect,
        },
        rules: merged(rules, base.map(|base| base.rules).unwrap_or_default()),
    }
}

/// Rules for a resource replace all of the base's for it.
fn merged(own: Vec<Rule>, base: Vec<Rule>) -> Vec<Rule> {
    let kept = base.into_iter().filter(|rule| own.iter().all(|own| own.resource != rule.resource));
    let mut rules: Vec<Rule> = kept.collect();
    rules.extend(own);
    rules
}

fn read_rule(mut table: Table<'_>) -> Option<Rule> {
    table.require("resource", "name what is used: \"cpu\", \"process_cpu\", \"egress\", \"clients\", \"udp_drops\", \"memory\", \"disk\", or a word of your own");
    table.require("metric", "write the series as in PromQL: `metric = 'srs_clients{vhost=\"live\"}'`");
    let resource = table.value("resource", resource);
    let metric = table.some("metric", selector);
    forbid_without_effect(&mut table, resource.as_ref().map(|resource| &resource.value));
    let of = table.some("of", selector);
    let is_rest = table.value("rest", value::boolean);
    let unless = table.value("unless", selector);
    let idle = table.value("idle", selector);
    let each = table.list("each", value::text);
    let reading = table.word("as", &["value", "rate", "delta"]);
    let combine = table.word("combine", &["sum", "max", "avg", "count", "workers"]);
    let scale = table.value("scale", positive);
    let clock = table.value("clock", selector);
    let falls = table.word("falls", &["restart", "skip"]);
    let seconds = |item: &Item| value::duration(item, &(Duration::from_millis(100)..=Duration::from_secs(600)));
    let [step, window] = ["step", "window"].map(|key| table.value(key, seconds).map(|time| time.value.as_secs_f64()));
    let polls = table.value("polls", |item| value::whole(item, &(1..=MOST_POLLS)));
    let capacity = table.some("capacity", told);
    let limit = table.value("limit", value::share);
    table.finish();
    let plain =
        |list: Vec<Written<Selector>>| -> Vec<Selector> { list.into_iter().map(|selector| selector.value).collect() };
    let metric = plain(metric);
    if metric.is_empty() {
        return None;
    }
    Some(Rule {
        resource: resource?.value,
        metric,
        of: plain(of),
        is_rest: is_rest.is_some_and(|is_rest| is_rest.value),
        unless: unless.map(|unless| unless.value),
        idle: idle.map(|idle| idle.value),
        each: each.map(|each| each.value.into_iter().map(|label| label.value).collect()),
        reading: match reading.map(|reading| reading.value) {
            Some("rate") => Measure::Rate,
            Some("delta") => Measure::Delta,
            _ => Measure::Value,
        },
        combine: match combine.map(|combine| combine.value) {
            Some("max") => Combine::Max,
            Some("avg") => Combine::Avg,
            Some("count") => Combine::Count,
            Some("workers") => Combine::Workers,
            _ => Combine::Sum,
        },
        scale: scale.map_or(1.0, |scale| scale.value),
        falls: if falls.is_some_and(|falls| falls.value == "skip") { Falls::Skip } else { Falls::Restart },
        step,
        clock: clock.map(|clock| clock.value),
        window,
        polls: polls.map_or(1, |polls| polls.value as usize),
        capacity: capacity.into_iter().map(|told| told.value).collect(),
        limit: limit.map(|limit| limit.value),
    })
}

/// Reports keys that have no effect beside others: who wrote them believes in it.
fn forbid_without_effect(table: &mut Table<'_>, resource: Option<&Resource>) {
    let reading = table.text_of("as").unwrap_or("value").to_owned();
    let (has_whole, has_step) = (table.has("of"), table.has("step"));
    let mut forbid = |key: &'static str, message: &str, help: &str| {
        // What is not there is no key to tell of.
        if table.has(key) {
            table.forbid(key, message, help);
        }
    };
    if !matches!(resource, None | Some(Resource::Custom(_))) {
        let help = "every node has this resource: write it as a key of `limits` in `[node.NAME]` or `[defaults.node]`";
        forbid("limit", "`limit` is for resources that only presets name", help);
    }
    if !has_whole {
        let help = "name the whole by `of`, or take `rest` away";
        forbid("rest", "`rest` is what is left of a whole, and there is none", help);
    }
    match reading.as_str() {
        "rate" | "delta" => {
            let help = "take `polls` away; `window` measures over longer";
            forbid("polls", "`polls` takes the largest of several values, and this is an increase", help);
        }
        _ => {
            let help = "write `as = \"rate\"`, or take `window` away";
            forbid("window", "`window` is the time of an increase, and this is a value", help);
        }
    }
    if reading != "rate" {
        let help = "write `as = \"rate\"`, or take `step` away";
        forbid("step", "`step` is the time between updates of a counter whose rate is wanted", help);
    }
    if has_step {
        for key in ["window", "of", "rest", "each", "unless", "clock", "combine", "falls"] {
            let message = format!("`{key}` has no effect beside `step`: all series are added up, over five steps");
            forbid(key, &message, &format!("take `{key}` or `step` away"));
        }
    }
}

/// A word for a resource; `client` and `processcpu` are slips.
fn resource(item: &Item) -> Reading<Resource> {
    let word = value::text(item)?;
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if word.is_empty() || word.len() > 32 || !word.chars().all(is_word) {
        return Err(value::wrong(item, "a resource: up to 32 small letters, digits and `_`"));
    }
    let plain = |word: &str| word.replace('_', "").trim_end_matches('s').to_owned();
    match Resource::WORDS.into_iter().find(|known| plain(known) == plain(&word) && *known != word) {
        Some(meant) => {
            Err(value::wrong(item, "a resource that every node has, nor clearly another").help(value::write(meant)))
        }
        None => Ok(Resource::of_word(&word)),
    }
}

/// Series, as PromQL writes them.
fn selector(item: &Item) -> Reading<Selector> {
    let text = value::string(item, "a selector such as `'node_load1{job=\"node\"}'`")?;
    Selector::parse(text).map_err(|error| {
        let (before, after) = text.split_at(error.at.min(text.len()));
        Wrong::new(format!("{} is no selector of series", value::shown(item)))
            .help(format!("after `{before}`, before `{after}`: expected {}", error.expected))
    })
}

/// A number above 0.
fn positive(item: &Item) -> Reading<f64> {
    value::number(item).filter(|number| *number > 0.0).ok_or_else(|| value::wrong(item, "a number above 0"))
}

/// What names a run: a selector, or a table with the labels that are drawn anew.
fn identity(item: &Item) -> Reading<Identity> {
    let Value::Table(entries) = &item.value else {
        return Ok(Identity { selector: selector(item)?, labels: Vec::new() });
    };
    let mut identity = (None, Vec::new());
    for Entry { key, item, .. } in entries {
        match (key.as_str(), &item.value) {
            ("metric", _) => identity.0 = Some(selector(item)?),
            ("labels", Value::Array(labels)) => {
                identity.1 = labels.iter().map(value::text).collect::<Result<_, _>>()?;
            }
            _ => return Err(Wrong::new(format!("`{key}` is not known here")).help(IDENTITY)),
        }
    }
    let (Some(selector), labels) = identity else { return Err(Wrong::new("`metric` is missing").help(IDENTITY)) };
    Ok(Identity { selector, labels })
}

const IDENTITY: &str =
    "write a metric whose value is the time of the start, or `{ metric = \"…\", labels = [\"pid\"] }`";
const CAPACITY: &str = "write a number, a metric, or `{ metric = \"…\", over = \"…\", label = \"…\", scale = 8 }`; of several the first that is told counts";

/// Where a capacity stands.
fn told(item: &Item) -> Reading<Told> {
    let entries = match &item.value {
        Value::Integer(_) | Value::Float(_) => return positive(item).map(Told::Number),
        Value::Table(entries) => entries,
        _ => return Ok(Told::Metric { selector: selector(item)?, over: None, label: None, scale: 1.0 }),
    };
    let (mut metric, mut over, mut label, mut scale) = (None, None, None, 1.0);
    for Entry { key, item, .. } in entries {
        match key.as_str() {
            "metric" => metric = Some(selector(item)?),
            "over" => over = Some(selector(item)?),
            "label" => label = Some(value::text(item)?),
            "scale" => scale = positive(item)?,
            _ => return Err(Wrong::new(format!("`{key}` is not known here")).help(CAPACITY)),
        }
    }
    let Some(selector) = metric else { return Err(Wrong::new("`metric` is missing").help(CAPACITY)) };
    Ok(Told::Metric { selector, over, label, scale })
}
