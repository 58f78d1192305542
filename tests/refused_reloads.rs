//! Reloads that must change nothing, or must not be missed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
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
fn another_name_of_a_zone_file_is_a_change() {
    let Installation { file, zone, directory: _directory } = installation();
    fs::write(&file, "").unwrap();
    let before = load(&file, &[], None).inputs.unwrap();
    fs::rename(&zone, zone.with_file_name("other.example.zone")).unwrap();
    let after = load(&file, &[], Some(&before)).inputs.unwrap();
    assert_ne!(before.fingerprint, after.fingerprint);
}
