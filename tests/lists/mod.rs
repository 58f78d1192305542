//! Lists of nodes: for each `tests/lists/NAME.json` or `.yml`, read as the inventory of `NAME.toml` or else of `usual.toml`
//! says, `NAME.expected` holds the nodes that it gives, and all that is said of it. `UPDATE=1` rewrites that.

use std::fs;
use std::path::{Path, PathBuf};

use thalweg::config::{self, Format};
use thalweg::diagnostic::{Diagnostic, Source};
use thalweg::pool::{Family, Node};

#[test]
fn lists_give_the_nodes_and_messages_that_are_written_down() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| Format::of(path).is_some());
    cases.sort();
    assert!(cases.len() > 8);
    let mut differences = Vec::new();
    for case in cases {
        let found = outcome(&case);
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

/// Nodes, one a line, and diagnostics, drawn.
fn outcome(case: &Path) -> String {
    let own = case.with_extension("toml");
    let config = if own.exists() { own } else { case.with_file_name("usual.toml") };
    let (config, said) =
        config::read(&Source::new("thalweg.toml", fs::read_to_string(config).expect("a configuration").as_str()), &[]);
    assert!(said.is_empty(), "{said:?}");
    let config = config.expect("nothing is wrong with it");
    let inventory = &config.inventories[0].value;
    let name = case.file_name().and_then(|name| name.to_str()).expect("a name");
    let source = Source::new(name, fs::read_to_string(case).expect("a list").as_str());
    let drawn = |diagnostics: &[Diagnostic]| -> String {
        diagnostics.iter().map(|diagnostic| format!("\n{}\n", diagnostic.render(false))).collect()
    };
    let list = match config.read_list(inventory, &source, Format::of(case).expect("lists were chosen by it")) {
        Ok(list) => list,
        Err(diagnostics) => return format!("refused\n{}", drawn(&diagnostics)),
    };
    let (nodes, diagnostics) = config.merge(&[(inventory, &list)]);
    let nodes: String = nodes.iter().map(|node| shown(&node.value)).collect();
    format!("{nodes}{}", drawn(&diagnostics))
}

/// All that a list can say of a node.
fn shown(node: &Node) -> String {
    let Node { name, place, labels, capacity, interval, exporters, cost, weight, drained, .. } = node;
    let addresses: Vec<String> =
        [Family::V4, Family::V6].iter().filter_map(|family| node.address(*family)).map(|it| it.to_string()).collect();
    let mut text = format!("{name}: {} place={place:?} labels={labels:?}", addresses.join(" "));
    text.push_str(&format!(" egress={:?} clients={:?}", capacity.egress.map(|rate| rate.0), capacity.clients));
    text.push_str(&format!(" cost={cost} weight={weight} every={interval:?} drained={drained:?}\n"));
    for exporter in exporters {
        text.push_str(&format!("  {} {}\n", exporter.preset.name, exporter.url));
    }
    text
}
