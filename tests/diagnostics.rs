//! Wrong configurations with their exact messages: each `tests/diagnostics/NAME.toml`, with the variables of
//! `NAME.environment` if there are any, gives what `NAME.expected` holds. `UPDATE=1` rewrites it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::{any, prop_assert};
use proptest::test_runner::{Config as Effort, TestCaseError, TestRunner};
use thalweg::config;
use thalweg::diagnostic::{Diagnostic, Source, has_errors};
use thalweg::pool::{
    Answers, Area, Bitrate, Check, Currency, Full, HashKey, MAX_NODES, Node, Policy, Pool, Saturation,
};

mod lists;

#[test]
fn wrong_configurations_give_the_messages_that_are_written_down() {
    let directory = root().join("tests/diagnostics");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    assert!(!cases.is_empty());
    let mut differences = Vec::new();
    for case in cases {
        let found = messages(&case);
        let expected_path = case.with_extension("expected");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            differences.push(format!("== {}\n-- expected\n{expected}\n-- found\n{found}", case.display()));
        }
    }
    assert!(differences.is_empty(), "{}\nUPDATE=1 rewrites what is expected", differences.join("\n"));
}

/// All diagnostics of a case, drawn, in order.
fn messages(case: &Path) -> String {
    let text = fs::read_to_string(case).expect("the case can be read");
    let variables = fs::read_to_string(case.with_extension("environment")).unwrap_or_default();
    let split = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Vec<_> = variables.lines().filter_map(split).collect();
    let (config, diagnostics) = config::read(&Source::new("thalweg.toml", text), &environment);
    assert_eq!(config.is_none(), has_errors(&diagnostics), "{}", case.display());
    let drawn = diagnostics.iter().map(|diagnostic| diagnostic.render(false));
    drawn.collect::<Vec<_>>().join("\n\n") + "\n"
}

#[test]
fn the_shipped_example_loads_without_a_word() {
    let (config, diagnostics) = config::read(&example(), &[]);
    assert_eq!(one_line_each(&diagnostics), Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!(config.zones.directory.value, Path::new("zones"));
    assert!(config.geoip.databases.is_empty());
    let fra2 = &config.nodes.iter().find(|node| node.value.name == "fra2").unwrap().value;
    assert_eq!(fra2.capacity.egress.map(Bitrate::megabits), Some(2500.0));
    assert_eq!(fra2.interval, Duration::from_secs(5));
    assert_eq!(fra2.exporters[0].url, "http://198.51.100.11:9100/metrics");
    let rooms = &config.services.iter().find(|service| service.value.name.is_wildcard()).unwrap().value;
    assert_eq!((rooms.pool.as_str(), rooms.answers), ("edge", Answers::Fixed(1)));
}

#[test]
fn every_key_that_the_example_marks_as_not_built_is_refused_as_such() {
    let example = example();
    let marked: Vec<&str> = example.text.lines().filter(|line| line.ends_with("  # not built yet")).collect();
    assert!(!marked.is_empty());
    for line in marked {
        let text = example.text.replacen(line, line.trim_start_matches("# "), 1);
        let (config, diagnostics) = config::read(&Source::new("thalweg.toml", text), &[]);
        assert!(config.is_none(), "{line}");
        let [refusal] = diagnostics.as_slice() else { panic!("{line}: {:?}", one_line_each(&diagnostics)) };
        assert!(refusal.message.ends_with("is known, but its feature is not built yet"), "{line}: {refusal}");
    }
}

#[test]
fn every_key_that_the_example_leaves_out_can_be_put_in() {
    let example = example();
    let is_key =
        |line: &&str| line.strip_prefix('#').is_some_and(|key| key.starts_with(|c: char| c.is_ascii_lowercase()));
    let left_out: Vec<&str> = example.text.lines().filter(is_key).collect();
    assert!(left_out.len() > 15);
    for line in left_out {
        let mut text = example.text.replacen(line, &line[1..], 1);
        // Keys of commented tables need these, and an overflow somebody who asks for it.
        text = text.replace("\n#[", "\n[").replace("\n#asns", "\nasns").replace("\n#file", "\nfile");
        text = text.replace("\n#http_sd = \"", "\nhttp_sd = \"");
        for key in [
            "listen = ",
            "peers = ",
            "token_file = \"peer",
            "token_file = \"srs",
            "prometheus = ",
            "from = [",
            "state = ",
            "secret_file = ",
            "primaries = ",
            "dnssec.keys = ",
        ] {
            text = text.replace(&format!("\n#{key}"), &format!("\n{key}"));
        }
        if line.starts_with("#overflow") {
            text = text.replace("full = \"fill\"", "full = \"overflow\"");
        }
        let (_, diagnostics) = config::read(&Source::new("thalweg.toml", text), &[]);
        assert_eq!(one_line_each(&diagnostics), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let source =
        Source::new("thalweg.toml", "[server]\nadmin = \"127.0.0.1:1\"\n[node.Fra1]\naddresses = [\"192.0.2.1\"]\n");
    let environment = [
        ("THALWEG_SERVER__ADMIN", "127.0.0.1:2"),
        ("THALWEG_SERVER__WORKERS", "3"),
        ("THALWEG_SERVER__RATE_LIMIT__MODE", "on"),
        ("THALWEG_NODE__FRA1__LIMITS__CPU", "0.5"),
        ("THALWEG_NODE__FRA1__LABELS__ROLE", "edge"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (config, diagnostics) = config::read(&source, &environment);
    assert_eq!(one_line_each(&diagnostics), Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!(config.server.admin.value, "127.0.0.1:2".parse().unwrap());
    assert_eq!(config.server.workers, config::Workers::Fixed(3));
    assert_eq!(config.server.rate_limit.mode, config::RateLimitMode::On);
    let node = &config.nodes[0].value;
    assert_eq!((node.limits.cpu, node.limits.egress, node.labels["role"].as_str()), (0.5, 0.8, "edge"));
}

#[test]
fn the_smallest_file_gets_every_default() {
    let text = concat!(
        "[service.\"play.live.example\"]\n",
        "[node.a]\naddresses = [\"2001:db8::1\"]\nexporters.node = \"http://{address}:9100/\"\n"
    );
    let (config, diagnostics) = config::read(&Source::new("thalweg.toml", text), &[]);
    assert_eq!(one_line_each(&diagnostics), Vec::<String>::new());
    let config = config.unwrap();
    let dns: Vec<String> = config.server.dns.iter().map(|address| address.value.to_string()).collect();
    assert_eq!(dns, ["0.0.0.0:53", "[::]:53"]);
    assert_eq!(config.server.admin.value.to_string(), "127.0.0.1:8053");
    let example = config::read(&example(), &[]).0.unwrap();
    assert_eq!(config.server.tcp, example.server.tcp, "the example shows the defaults");
    assert_eq!(config.server.tcp.connections, 1000);
    let limit = &config.server.rate_limit;
    assert_eq!((limit.mode, limit.per_second, limit.slip), (config::RateLimitMode::Log, 200, 2));
    assert!(limit.exempt.is_empty());
    let (shown, defaults) = (&example.nodes[1].value, Node::default());
    assert_eq!(shown.limits, defaults.limits);
    assert_eq!((shown.cost, shown.weight, &shown.serves), (defaults.cost, defaults.weight, &defaults.serves));
    let shown = example.pools[0].value.clone();
    assert_eq!(Pool { name: "default".to_owned(), select: BTreeMap::new(), ..shown }, config.pools[0].value);
    assert_eq!(config.pools[0].value, Pool::default());
    let service = &config.services[0].value;
    assert_eq!((service.pool.as_str(), service.policy, service.within.len()), ("default", None, 0));
    assert!(config.server.whoami.is_none());
    assert!(config.pools[0].value.selects(&config.nodes[0].value));
    assert_eq!(config.nodes[0].value.exporters[0].url, "http://[2001:db8::1]:9100/");
}

#[test]
fn nodes_have_what_was_written_over_what_is_default() {
    let config = sound(concat!(
        "[defaults.node]\ncapacity = { egress = \"1Gbit/s\", clients = 500 }\nlimits = { clients = 0.5 }\n",
        "check = \"http://{address}:81/up\"\nserves = [\"EU\", \"AS3320\"]\ncost = 7\nweight = 0.5\n",
        "exporters = { srs = \"http://{address}:9972/\", node = \"http://{address}:9100/\" }\n",
        "[region.telekom]\nasns = [3320]\nnear = [\"fra\"]\nnear_only = true\n[place.fra]\n",
        "[node.a]\naddresses = [\"192.0.2.1\"]\nplace = \"fra\"\n",
        "[node.b]\naddresses = [\"2001:db8::1\"]\nserves = []\ncheck = \"tcp:1935\"\ncost = 0\nweight = 0\n",
        "capacity.clients = 9\nlimits.process_cpu = 0.7\nexporters.process = \"http://{address}:8080/\"\n",
        "exporters.srs = \"http://192.0.2.9:9972/\"\n",
    ));
    let [a, b] = [&config.nodes[0].value, &config.nodes[1].value];
    assert_eq!((a.cost, a.weight, b.cost, b.weight), (7.0, 0.5, 0.0, 0.0));
    assert_eq!((&a.serves, &b.serves), (&vec![Area::Continent("EU".to_owned()), Area::Asn(3320)], &Vec::new()));
    assert_eq!(a.checks, [Check::Http { url: "http://{address}:81/up".to_owned(), status: None }]);
    assert_eq!(b.checks, [Check::Tcp(1935)]);
    assert_eq!((a.capacity.clients, b.capacity.clients), (Some(500.0), Some(9.0)));
    assert_eq!(b.capacity.egress.map(Bitrate::megabits), Some(1000.0));
    assert_eq!((b.limits.cpu, b.limits.process_cpu, b.limits.egress, b.limits.clients), (0.8, 0.7, 0.8, 0.5));
    let exporters: Vec<_> =
        b.exporters.iter().map(|exporter| (exporter.preset.name.as_str(), exporter.url.as_str())).collect();
    let node = ("node", "http://[2001:db8::1]:9100/");
    let process = ("process", "http://[2001:db8::1]:8080/");
    assert_eq!(exporters, [node, process, ("srs", "http://192.0.2.9:9972/")]);
    assert_eq!(a.exporters.len(), 2);
    assert!(config.regions[0].value.near_only);
}

#[test]
fn services_choose_as_they_say_or_else_as_their_pool_says() {
    let config = sound(concat!(
        "[node.a]\naddresses = [\"192.0.2.1\"]\n",
        "[pool.hashed]\npolicy = \"hash\"\nkey = \"name\"\nbound = 2\n",
        "[pool.turns]\npolicy = \"round_robin\"\n",
        "[service.\"a.example\"]\npool = \"hashed\"\n",
        "[service.\"b.example\"]\npool = \"hashed\"\nbound = 3\n",
        "[service.\"*.c.example\"]\npool = \"hashed\"\nkey = \"label\"\n",
        "[service.\"d.example\"]\npool = \"hashed\"\npolicy = \"failover\"\n",
        "[service.\"e.example\"]\npool = \"turns\"\n",
        "[service.\"f.example\"]\npool = \"turns\"\npolicy = \"hash\"\n",
        "[service.\"g.example\"]\npool = \"turns\"\npolicy = \"weighted\"\n",
        "[service.\"h.example\"]\npool = \"turns\"\npolicy = \"nearest\"\n",
        "[service.\"i.example\"]\npool = \"turns\"\npolicy = \"planner\"\n",
    ));
    let hash = |key, bound| Some(Policy::Hash { key, bound });
    let policies: Vec<_> = config.services.iter().map(|service| service.value.policy).collect();
    let of_own = [None, hash(HashKey::Name, 3.0), hash(HashKey::Label, 2.0), Some(Policy::Failover), None];
    assert_eq!(policies[..5], of_own);
    let of_others = [hash(HashKey::Client, 1.25), Some(Policy::Weighted), Some(Policy::Nearest), Some(Policy::Planner)];
    assert_eq!(policies[5..], of_others);
    let pools: Vec<_> = config.pools.iter().map(|pool| Some(pool.value.policy)).collect();
    assert_eq!(pools, [hash(HashKey::Name, 2.0), Some(Policy::RoundRobin)]);
}

#[test]
fn pools_have_viewers_currency_and_somewhere_to_overflow_to() {
    let config = sound(concat!(
        "[server]\nwhoami = \"whoami.live.example\"\n[node.a]\naddresses = [\"192.0.2.1\"]\n",
        "[pool.a]\nviewer = { bitrate = \"8Mbit/s\", stays = \"5m\" }\ncurrency = \"clients\"\nsaturation = \"clip\"\n",
        "full = \"overflow\"\noverflow = { cname = \"x.cdn.example\" }\n",
        "[pool.b]\nfull = \"overflow\"\n",
        "overflow = { cname = \"x.cdn.example\", addresses = [\"192.0.2.80\"], above = 0, cost = 12.5 }\n",
        "[pool.c]\nfull = \"refuse\"\nviewer.stays = \"10s\"\n",
    ));
    let [a, b, c] = [&config.pools[0].value, &config.pools[1].value, &config.pools[2].value];
    assert_eq!((a.viewer.bitrate.megabits(), a.viewer.stays), (8.0, Duration::from_secs(300)));
    assert_eq!((a.currency, a.saturation), (Currency::Clients, Saturation::Clip));
    let Full::Overflow(usual) = &a.full else { panic!("{:?}", a.full) };
    assert_eq!((usual.cname.to_string().as_str(), usual.above, usual.cost), ("x.cdn.example.", 0.95, 100.0));
    let Full::Overflow(own) = &b.full else { panic!("{:?}", b.full) };
    assert_eq!((own.addresses.len(), own.above, own.cost), (1, 0.0, 12.5));
    assert_eq!((&c.full, c.viewer.bitrate.megabits(), c.viewer.stays), (&Full::Refuse, 2.5, Duration::from_secs(10)));
    assert_eq!(config.server.whoami.unwrap().value.to_string(), "whoami.live.example.");
}

/// A configuration that nothing is said of.
fn sound(text: &str) -> config::Config {
    let (config, diagnostics) = config::read(&Source::new("thalweg.toml", text), &[]);
    assert_eq!(one_line_each(&diagnostics), Vec::<String>::new());
    config.expect("nothing is wrong")
}

#[test]
fn one_node_too_many_is_refused_and_not_one_fewer() {
    let node = |index: usize| format!("[node.n{index}]\naddresses = [\"10.0.{}.{}\"]\n", index / 256, index % 256);
    let as_many = (0..MAX_NODES).map(node).collect::<String>();
    let one_more = format!("{as_many}{}", node(MAX_NODES));
    let (config, diagnostics) = config::read(&Source::new("thalweg.toml", as_many), &[]);
    assert_eq!((config.unwrap().nodes.len(), diagnostics.len()), (MAX_NODES, 0));
    let (config, diagnostics) = config::read(&Source::new("thalweg.toml", one_more), &[]);
    assert!(config.is_none());
    let expected = "thalweg.toml:8193:7: error: there are 4097 nodes, at most 4096 are allowed";
    assert_eq!(one_line_each(&diagnostics), [expected]);
}

#[test]
fn what_was_written_can_be_complained_about_later() {
    let text = "[server]\n[node.fra1]\naddresses = [\"192.0.2.1\"]\n";
    let (config, _) = config::read(&Source::new("thalweg.toml", text), &[]);
    let config = config.unwrap();
    let line = config.nodes[0].error("its place cannot be guessed").to_string();
    assert_eq!(line, "thalweg.toml:2:7: error: its place cannot be guessed");
    assert_eq!(config.zones.directory.error("it is missing").to_string(), "error: it is missing");
}

#[test]
fn no_text_makes_the_reader_panic() {
    let example = example();
    let characters: Vec<char> = example.text.chars().collect();
    // The place, how much is taken out, and what is put in.
    let edit = (
        any::<proptest::sample::Index>(),
        0usize..40,
        any::<proptest::sample::Index>(),
        "[\\[\\]{}=\"'.#\\n,a-z0-9é-]{0,4}",
        0usize..60,
    );
    let edits = proptest::collection::vec(edit, 1..8);
    let effort = Effort { cases: 300, failure_persistence: None, ..Effort::default() };
    let checked = TestRunner::new(effort).run(&edits, |edits| {
        let mut text = characters.clone();
        for (at, taken, from, put, moved) in edits {
            let at = at.index(text.len());
            let from = from.index(characters.len());
            let piece = characters[from..].iter().take(moved).copied().chain(put.chars());
            text.splice(at..(at + taken).min(text.len()), piece.collect::<Vec<_>>());
            text.push('\n');
        }
        let source = Source::new("thalweg.toml", text.into_iter().collect::<String>());
        let environment = [("THALWEG_SERVER__ADMIN".to_owned(), source.text.chars().take(40).collect())];
        let (config, diagnostics) = config::read(&source, &environment);
        for diagnostic in &diagnostics {
            prop_assert!(!diagnostic.render(false).is_empty());
        }
        prop_assert!(config.is_none() == has_errors(&diagnostics));
        Ok::<_, TestCaseError>(())
    });
    assert!(checked.is_ok(), "{checked:?}");
}

fn example() -> Source {
    Source::new("thalweg.toml", fs::read_to_string(root().join("thalweg.toml")).expect("the example can be read"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn one_line_each(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}
