//! Reloads that must change nothing, or must not be missed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use thalweg::command::daemon::Daemon;
use thalweg::feed::Options;
use thalweg::feed::inputs::{Loaded, load};

const CONFIG: &str = r#"
[server]
dns = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[node.a]
addresses = ["198.51.100.10"]
[pool.edge]
[service."one.live.example"]
pool = "edge"
[service."two.live.example"]
pool = "edge"
"#;
const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\nfree 60 A 192.0.2.1\n";

struct Installation {
    directory: TempDir,
    file: PathBuf,
    zone: PathBuf,
}

fn installation() -> Installation {
    let directory = tempfile::tempdir().unwrap();
    let (file, zones) = (directory.path().join("thalweg.toml"), directory.path().join("zones"));
    fs::create_dir(&zones).unwrap();
    let zone = zones.join("live.example.zone");
    fs::write(&zone, ZONE).unwrap();
    fs::write(&file, CONFIG).unwrap();
    Installation { directory, file, zone }
}

fn messages(loaded: &Loaded) -> String {
    loaded.diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

#[test]
fn a_broken_zone_keeps_its_old_form_while_its_services_stay() {
    let Installation { file, zone, directory: _directory } = installation();
    let before = load(&file, &[], None).inputs.unwrap();
    fs::write(&zone, format!("{ZONE}bad A 1.2.3\n")).unwrap();
    // Another node is no other service.
    fs::write(&file, format!("{CONFIG}[node.b]\naddresses = [\"198.51.100.11\"]\n")).unwrap();
    let after = load(&file, &[], Some(&before)).inputs.unwrap();
    assert_eq!(after.zones.iter().count(), 1);
    assert_eq!(after.fleet.nodes.len(), 2);
}

#[test]
fn a_broken_zone_is_not_served_with_the_numbers_of_other_services() {
    for (change, with) in [
        ("a service vanishes", CONFIG.replace("[service.\"two.live.example\"]\npool = \"edge\"\n", "")),
        ("one comes before", CONFIG.replace("[service.\"one", "[service.\"free.live.example\"]\n[service.\"one")),
        ("a family is added", CONFIG.replace("[\"198.51.100.10\"]", "[\"2001:db8::10\"]")),
    ] {
        let Installation { file, zone, directory: _directory } = installation();
        let before = load(&file, &[], None).inputs.unwrap();
        fs::write(&zone, format!("{ZONE}bad A 1.2.3\n")).unwrap();
        fs::write(&file, with).unwrap();
        let after = load(&file, &[], Some(&before));
        assert!(after.inputs.is_none(), "{change}");
        assert!(messages(&after).contains("its services have changed"), "{change}: {}", messages(&after));
    }
}

#[test]
fn zones_stay_while_their_directory_cannot_be_listed() {
    let Installation { directory, file, .. } = installation();
    let before = load(&file, &[], None).inputs.unwrap();
    fs::rename(directory.path().join("zones"), directory.path().join("elsewhere")).unwrap();
    let after = load(&file, &[], Some(&before));
    assert!(after.inputs.is_none() && messages(&after).contains("cannot be read"), "{}", messages(&after));
}

#[test]
fn a_zone_file_that_is_missing_is_told_once_where_it_is_named() {
    let Installation { file, directory: _directory, .. } = installation();
    fs::write(&file, "[zone.\"zz.example\"]\nfile = \"missing\"\n").unwrap();
    let loaded = load(&file, &[], None);
    assert_eq!(loaded.diagnostics.len(), 1, "{}", messages(&loaded));
    assert!(messages(&loaded).contains("thalweg.toml:2:"), "{}", messages(&loaded));
}

#[test]
fn two_files_of_one_zone_are_an_error_and_what_editors_leave_is_not() {
    let Installation { file, zone, directory: _directory } = installation();
    fs::write(zone.with_file_name(".#live.example.zone"), "").unwrap();
    assert_eq!(load(&file, &[], None).diagnostics.iter().filter(|found| found.is_error()).count(), 0);
    fs::copy(&zone, zone.with_file_name("LIVE.example.zone")).unwrap();
    let loaded = load(&file, &[], None);
    // Which of the two is read first is up to the file system.
    assert!(messages(&loaded).to_lowercase().contains("is of the same zone"), "{}", messages(&loaded));
}

#[test]
fn another_name_of_a_zone_file_is_a_change() {
    let Installation { file, zone, directory: _directory } = installation();
    fs::write(&file, "").unwrap();
    let before = load(&file, &[], None).inputs.unwrap();
    fs::rename(&zone, zone.with_file_name("other.example.zone")).unwrap();
    let after = load(&file, &[], Some(&before)).inputs.unwrap();
    assert_ne!(before.fingerprint, after.fingerprint);
}

/// Lets whoever reads the pipe have these octets; waits until somebody does.
fn feed(pipe: &Path, text: &str) {
    fs::write(pipe, text).unwrap();
}

#[test]
fn what_is_edited_while_the_inputs_are_read_is_read_again() {
    let Installation { directory, file, zone } = installation();
    // Read behind live.example, and held open for as long as the test likes.
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(&file, format!("{CONFIG}[zone.\"zz.example\"]\nfile = \"pipe\"\n")).unwrap();
    let started = std::thread::scope(|scope| {
        scope.spawn(|| feed(&pipe, ZONE));
        Daemon::start(Options { file, environment: Vec::new(), is_watching: true, is_strict: false }).unwrap()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let daemon = std::sync::Arc::new(started);
    let ask = || {
        let daemon = std::sync::Arc::clone(&daemon);
        runtime.spawn(async move { daemon.reload().await })
    };
    let first = ask();
    let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    // The pipe is open on both ends, so live.example has been read by now.
    fs::write(&zone, ZONE.replace("host 1", "host 2")).unwrap();
    let second = ask();
    std::io::Write::write_all(&mut &writer, ZONE.as_bytes()).unwrap();
    drop(writer);
    runtime.block_on(first).unwrap().unwrap();
    std::thread::spawn({
        let pipe = pipe.clone();
        move || feed(&pipe, ZONE)
    });
    runtime.block_on(second).unwrap().unwrap();
    let serial = daemon.published().snapshot().zones.iter().map(|zone| zone.serial()).max();
    assert_eq!(serial, Some(2));
    // A reload that the watcher has begun must not wait at the pipe when the daemon ends.
    let both_ends = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, ZONE).unwrap();
    drop(both_ends);
}
