//! Who may import whom: the table of `STYLE.md`, held against every file of `src/`.

use std::fs;
use std::path::{Path, PathBuf};

use rust::{ModulePath, Token, paths, tokens, without_test_modules};

// Beside this file it would be a test of its own.
#[path = "layers/rust.rs"]
mod rust;

/// One row of the table.
struct Layer {
    name: &'static str,
    modules: &'static [&'static str],
    /// The layers whose modules it may import.
    imports: &'static [&'static str],
    within: Within,
    is_pure: bool,
}

/// What the modules of one layer may import of each other.
enum Within {
    Nothing,
    ToTheLeft,
    Pairs(&'static [(&'static str, &'static str)]),
    Everything,
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "words",
        modules: &["diagnostic", "prefetch", "name", "geo", "pool"],
        imports: &[],
        within: Within::ToTheLeft,
        is_pure: true,
    },
    Layer {
        name: "codec",
        modules: &["wire", "dnssec"],
        imports: &["words"],
        within: Within::ToTheLeft,
        is_pure: true,
    },
    Layer {
        name: "inputs",
        modules: &["config", "zone", "load"],
        imports: &["codec", "words"],
        within: Within::Nothing,
        is_pure: true,
    },
    Layer {
        name: "steering",
        modules: &["steer"],
        imports: &["inputs", "words"],
        within: Within::Nothing,
        is_pure: true,
    },
    Layer {
        name: "snapshot",
        modules: &["snapshot"],
        imports: &["steering", "inputs", "codec", "words"],
        within: Within::Nothing,
        is_pure: true,
    },
    Layer {
        name: "engine",
        modules: &["answer"],
        imports: &["snapshot", "steering", "inputs", "codec", "words"],
        within: Within::Nothing,
        is_pure: true,
    },
    Layer {
        name: "shell",
        modules: &["metrics", "intake", "feed", "serve"],
        imports: &["engine", "snapshot", "steering", "inputs", "codec", "words"],
        // Counts and events go up through these two; the feed and the servers never meet.
        within: Within::Pairs(&[
            ("metrics", "intake"),
            ("intake", "metrics"),
            ("feed", "metrics"),
            ("feed", "intake"),
            ("serve", "metrics"),
            ("serve", "intake"),
        ]),
        is_pure: false,
    },
    Layer {
        name: "edge",
        modules: &["simulate", "command", "cli", "main"],
        imports: &["shell", "engine", "snapshot", "steering", "inputs", "codec", "words"],
        within: Within::Everything,
        is_pure: false,
    },
];

/// Pure although its layer is not: the model world is judged by the same seed each time.
const PURE_AT_THE_EDGE: &str = "simulate";

/// Crates that bring files, sockets, tasks, system calls or logs.
const IMPURE_CRATES: &[&str] = &[
    "axum",
    "futures_util",
    "hickory_server",
    "hyper",
    "hyper_rustls",
    "hyper_util",
    "libc",
    "notify",
    "rustls",
    "socket2",
    "tokio",
    "tokio_util",
    "tracing",
    "tracing_subscriber",
];
const IMPURE_STD: &[&str] = &["fs", "env", "process"];
const SOCKETS: &[&str] = &["UdpSocket", "TcpListener", "TcpStream"];

#[test]
fn every_module_keeps_to_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<(String, String)> = rust_files(&root.join("src"))
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(root).expect("every file was found below the root");
            (name.to_str().expect("names in src are UTF-8").replace('\\', "/"), fs::read_to_string(&file).unwrap())
        })
        .collect();
    let complaints = complaints(&files);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_table_is_the_one_of_the_style_page() {
    let style = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("STYLE.md")).unwrap();
    let rows = style.lines().skip_while(|line| !line.starts_with("| layer | modules |")).skip(2);
    let written: Vec<(String, Vec<String>)> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[2].split(' ').map(|module| module.trim_matches('`').to_owned()).collect())
        })
        .collect();
    let held: Vec<(String, Vec<String>)> = LAYERS
        .iter()
        .map(|layer| (layer.name.to_owned(), layer.modules.iter().map(|&module| module.to_owned()).collect()))
        .collect();
    assert_eq!(written, held);
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All that is wrong in these files (name, text), each as `file:line: what`.
fn complaints(files: &[(String, String)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(name, text)).collect();
    let test_modules: Vec<Vec<String>> = sources.iter().flat_map(Source::test_modules).collect();
    let is_test = |source: &Source| test_modules.iter().any(|module| source.module.starts_with(module));
    let mut all = Vec::new();
    for source in &sources {
        if !source.text.starts_with("//! ") {
            all.push(format!(
                "{}:1: the first line must be `//!` and one sentence saying what the file holds",
                source.file
            ));
        }
        if !is_test(source) {
            source.check(&mut all);
        }
    }
    all
}

fn layer_of(module: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.modules.contains(&module))
}

fn is_pure(module: &str) -> bool {
    module == PURE_AT_THE_EDGE || layer_of(module).is_some_and(|layer| layer.is_pure)
}

fn may_import(from: &str, to: &str) -> bool {
    let (Some(layer), Some(other)) = (layer_of(from), layer_of(to)) else {
        return false;
    };
    if from == to || layer.imports.contains(&other.name) {
        return true;
    }
    if layer.name != other.name {
        return false;
    }
    let place = |module: &str| layer.modules.iter().position(|&each| each == module);
    match layer.within {
        Within::Nothing => false,
        Within::ToTheLeft => place(to) < place(from),
        Within::Pairs(pairs) => pairs.contains(&(from, to)),
        Within::Everything => true,
    }
}

/// A file, its place in the tree of modules, and its tokens without those of inline test modules.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
    /// Empty for `lib.rs`.
    module: Vec<String>,
    tokens: Vec<Token>,
    /// Names of modules declared by `#[cfg(test)] mod NAME;`.
    test_children: Vec<String>,
}

impl<'a> Source<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        let (tokens, test_children) = without_test_modules(&tokens(text));
        Self { file, text, module: module_path(file), tokens, test_children }
    }

    fn test_modules(&self) -> Vec<Vec<String>> {
        self.test_children.iter().map(|child| [self.module.as_slice(), std::slice::from_ref(child)].concat()).collect()
    }

    fn check(&self, all: &mut Vec<String>) {
        let Some(top) = self.module.first().map(String::as_str) else {
            // lib.rs declares the modules; it imports none.
            return;
        };
        let Some(layer) = layer_of(top) else {
            all.push(format!("{}:1: `{top}` is in no layer: name it in STYLE.md and in tests/layers.rs", self.file));
            return;
        };
        let paths = paths(&self.tokens);
        for path in &paths {
            let Some(target) = target(&self.module, path) else { continue };
            let place = format!("{}:{}", self.file, path.line);
            match layer_of(&target) {
                None => all.push(format!("{place}: `{}` leads to no module of the table", path.segments.join("::"))),
                Some(other) if !may_import(top, &target) => {
                    all.push(format!("{place}: `{top}` ({}) may not import `{target}` ({})", layer.name, other.name));
                }
                Some(_) => {}
            }
        }
        if is_pure(top) {
            self.check_purity(&paths, all);
        }
    }

    fn check_purity(&self, paths: &[ModulePath], all: &mut Vec<String>) {
        let denies = paths.iter().any(|path| path.segments == ["clippy", "disallowed_methods"])
            && self.text.contains("\n#![deny(clippy::disallowed_methods)]");
        if self.module.len() == 1 && !denies {
            all.push(format!("{}:1: a pure module opens with `#![deny(clippy::disallowed_methods)]`", self.file));
        }
        let mut complain =
            |line: usize, what: &str| all.push(format!("{}:{line}: pure modules have no `{what}`", self.file));
        for token in self.tokens.iter().filter(|token| token.text == "async") {
            complain(token.line, "async");
        }
        for path in paths {
            let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
            match segments.as_slice() {
                [head, _, ..] if IMPURE_CRATES.contains(head) => complain(path.line, head),
                ["std", module, ..] if IMPURE_STD.contains(module) => complain(path.line, &format!("std::{module}")),
                [.., "net", socket] | [.., "net", socket, _] if SOCKETS.contains(socket) => {
                    complain(path.line, &format!("std::net::{socket}"));
                }
                [socket, _] if SOCKETS.contains(socket) => complain(path.line, socket),
                _ => {}
            }
        }
    }
}

/// `src/geo/rule.rs` → `geo`, `rule`; `src/geo/mod.rs` → `geo`; `src/lib.rs` → nothing.
fn module_path(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    if inner == "lib" { Vec::new() } else { inner.split('/').map(str::to_owned).collect() }
}

/// The top-level module that a path means, if it is one of this crate.
fn target(module: &[String], path: &ModulePath) -> Option<String> {
    let mut rest = path.segments.as_slice();
    if matches!(rest[0].as_str(), "crate" | "thalweg") {
        return rest.get(1).cloned();
    }
    if rest[0] == "self" {
        rest = &rest[1..];
    }
    let ups = rest.iter().take_while(|segment| *segment == "super").count();
    if ups == 0 {
        return None;
    }
    let from = [module, &path.inside].concat();
    from[..from.len().saturating_sub(ups)].first().or(rest.get(ups)).cloned()
}

#[cfg(test)]
mod tests {
    use super::complaints;

    /// What is said of one file that is right but for `code`.
    fn said(file: &str, code: &str) -> Vec<String> {
        let text = format!("//! A file.\n#![deny(clippy::disallowed_methods)]\n{code}\n");
        complaints(&[(file.to_owned(), text)])
    }

    #[test]
    fn what_the_table_allows_passes() {
        for (file, code) in [
            ("src/answer.rs", "use crate::snapshot::Snapshot; use crate::{name::Name, wire::{Query, Reply}};"),
            ("src/pool.rs", "use crate::name::Name; use super::geo::RegionId;"),
            ("src/dnssec/mod.rs", "use crate::wire::Writer;"),
            ("src/feed/scrape.rs", "use super::Inputs; use crate::intake::Event; use crate::load::Sample;"),
            ("src/serve/udp.rs", "use crate::metrics; use crate::answer::answer; async fn run() {}"),
            ("src/cli.rs", "use crate::command; use crate::feed; use crate::serve;"),
            ("src/main.rs", "use thalweg::cli::run;"),
            ("src/lib.rs", "pub mod answer; pub mod feed;"),
        ] {
            assert_eq!(said(file, code), Vec::<String>::new(), "{file}: {code}");
        }
    }

    #[test]
    fn an_import_against_the_table_is_named_with_file_and_line() {
        for (file, code, complaint) in [
            ("src/answer.rs", "\nuse crate::feed::Feed;", "4: `answer` (engine) may not import `feed` (shell)"),
            (
                "src/steer/mod.rs",
                "use crate::snapshot::X;",
                "3: `steer` (steering) may not import `snapshot` (snapshot)",
            ),
            ("src/steer/pick.rs", "use crate::wire::X;", "3: `steer` (steering) may not import `wire` (codec)"),
            ("src/name.rs", "use crate::pool::X;", "3: `name` (words) may not import `pool` (words)"),
            ("src/wire/mod.rs", "use crate::dnssec::X;", "3: `wire` (codec) may not import `dnssec` (codec)"),
            ("src/zone/mod.rs", "use crate::config::X;", "3: `zone` (inputs) may not import `config` (inputs)"),
            ("src/feed/mod.rs", "use crate::serve::X;", "3: `feed` (shell) may not import `serve` (shell)"),
            ("src/serve/mod.rs", "use crate::feed::X;", "3: `serve` (shell) may not import `feed` (shell)"),
            ("src/intake.rs", "use crate::feed::X;", "3: `intake` (shell) may not import `feed` (shell)"),
            ("src/metrics.rs", "use crate::cli::X;", "3: `metrics` (shell) may not import `cli` (edge)"),
        ] {
            assert_eq!(said(file, code), [format!("{file}:{complaint}")], "{code}");
        }
    }

    #[test]
    fn references_are_found_however_they_are_written() {
        for code in [
            "fn f() -> u8 {\ncrate::feed::next()\n}",
            "use crate::{\nfeed::Feed};",
            "use crate::{name::{Name, MAX_NAME},\nfeed as other};",
            "use {std::fmt,\ncrate::feed::Feed};",
            "fn f(x: Vec<u8>)\n-> Vec<super::super::feed::Feed> {}",
            "use\nself::super::super::feed;",
            "mod inner { use\nsuper::super::super::feed; }",
            "mod inner {}\nuse super::super::feed;",
            "fn f() { g::<\ncrate::feed::Feed>() }",
            "const A: &str = r#\"a \" {\n\"#; use crate::feed;",
            "fn f<'a>(x: &'a str, q: char) { if q == '\"' || q == '\\'' {}\nthalweg::feed::f() }",
        ] {
            let found = said("src/zone/lex.rs", code);
            assert_eq!(found, ["src/zone/lex.rs:4: `zone` (inputs) may not import `feed` (shell)"], "{code}");
        }
    }

    #[test]
    fn comments_strings_and_test_modules_may_say_anything() {
        for code in [
            "// use crate::feed::X;\n/* crate::feed /* tokio::spawn */ async */\n/// [`crate::feed`]\nfn f() {}",
            "const A: &str = \"crate::feed \\\" crate::feed\"; const B: &[u8] = b\"tokio::x\";",
            "const A: &str = r##\"crate::feed\"# crate::feed\"##;",
            "#[cfg(test)]\nmod tests { use crate::feed::X; mod more { async fn f() { tokio::x() } } }",
            "#[cfg(test)]\n#[expect(dead_code, reason = \"x\")]\npub(crate) mod tests { use crate::feed::X; }",
            "mod inner { use super::super::Own; }",
            "pub(crate) fn f() {} pub(super) fn g() {} pub(in crate::zone) fn h() {}",
        ] {
            assert_eq!(said("src/zone/lex.rs", code), Vec::<String>::new(), "{code}");
        }
    }

    #[test]
    fn code_after_a_test_module_is_checked_again() {
        let found = said("src/zone/lex.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::feed::X;");
        assert_eq!(found, ["src/zone/lex.rs:5: `zone` (inputs) may not import `feed` (shell)"]);
    }

    #[test]
    fn a_test_module_may_be_a_file_of_its_own() {
        let root = "//! A file.\n#![deny(clippy::disallowed_methods)]\n#[cfg(test)]\nmod tests;\n";
        let child = "//! Tests.\nuse crate::feed::X;\n";
        let of = |root: &str| {
            complaints(&[
                ("src/zone/mod.rs".to_owned(), root.to_owned()),
                ("src/zone/tests.rs".to_owned(), child.to_owned()),
            ])
        };
        assert_eq!(of(root), Vec::<String>::new());
        assert_eq!(of(&root.replace("#[cfg(test)]\n", "")).len(), 1);
    }

    #[test]
    fn every_module_is_in_the_table() {
        assert_eq!(
            said("src/helper/mod.rs", ""),
            ["src/helper/mod.rs:1: `helper` is in no layer: name it in STYLE.md and in tests/layers.rs"]
        );
        for (code, path) in [
            ("use crate::helper::X;", "crate::helper::X"),
            ("use crate::*;", "crate::*"),
            ("use super::*;", "super::*"),
        ] {
            let complaint = format!("src/answer.rs:3: `{path}` leads to no module of the table");
            assert_eq!(said("src/answer.rs", code), [complaint]);
        }
    }

    #[test]
    fn pure_modules_touch_nothing_outside() {
        for (code, what) in [
            ("async fn f() {}", "async"),
            ("fn f() { g(async move { 1 }) }", "async"),
            ("use tokio::sync::Mutex;", "tokio"),
            ("fn f() { tracing::info!(1) }", "tracing"),
            ("use std::{fmt, fs};", "std::fs"),
            ("fn f() { std::fs::read(1) }", "std::fs"),
            ("use std::net::{IpAddr, UdpSocket};", "std::net::UdpSocket"),
            ("use std::net; fn f() { net::TcpStream::connect(1) }", "std::net::TcpStream"),
        ] {
            let complaint = format!("src/simulate/world.rs:3: pure modules have no `{what}`");
            assert_eq!(said("src/simulate/world.rs", code), [complaint], "{code}");
            assert_eq!(said("src/serve/udp.rs", code), Vec::<String>::new(), "{code}");
        }
    }

    #[test]
    fn the_root_of_a_pure_module_opens_with_the_lint() {
        let said = |file: &str| complaints(&[(file.to_owned(), "//! A file.\nfn f() {}\n".to_owned())]);
        for file in ["src/answer.rs", "src/zone/mod.rs", "src/simulate/mod.rs"] {
            let complaint = format!("{file}:1: a pure module opens with `#![deny(clippy::disallowed_methods)]`");
            assert_eq!(said(file), [complaint]);
        }
        for file in ["src/zone/lex.rs", "src/feed/mod.rs", "src/cli.rs", "src/lib.rs"] {
            assert_eq!(said(file), Vec::<String>::new());
        }
    }

    #[test]
    fn every_file_says_first_what_it_holds() {
        let found = complaints(&[("src/main.rs".to_owned(), "fn main() {}\n".to_owned())]);
        assert_eq!(found, ["src/main.rs:1: the first line must be `//!` and one sentence saying what the file holds"]);
    }
}
