//! A zone that is signed here, as other nameservers get it.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::answers::{ZONE, installation, thalweg};
use super::programs::output;
use super::support::daemon::Served;

#[test]
fn what_is_transferred_of_a_zone_that_is_signed_here_verifies() {
    let installation = installation("keys = \"keys\"", ZONE);
    let config = fs::read_to_string(installation.config()).unwrap();
    let table = "[zone.\"live.example\"]\ntransfer = { allow = [\"127.0.0.0/8\"] }\n";
    installation.write("thalweg.toml", &config.replace("[zone.\"live.example\"]\n", table));
    let served = Served::start(&installation);
    let (ip, port) = (format!("@{}", served.dns().ip()), served.dns().port().to_string());
    let transferred =
        output(Command::new("dig").args([&ip, "-p", &port, "+noall", "+answer", "+onesoa", "live.example", "AXFR"]));
    let directory = TempDir::new().unwrap();
    let (zone, key) = (directory.path().join("zone"), directory.path().join("key"));
    fs::write(&zone, &transferred).unwrap();
    fs::write(&key, thalweg(&installation, &["ds", "live.example"])).unwrap();
    output(Command::new("ldns-verify-zone").arg("-k").arg(&key).arg(&zone));
    // What steering alone has at its names would not be there for others.
    assert!(
        !transferred.contains("whoami.live.example") && !transferred.contains("room.live.example"),
        "{transferred}"
    );
    assert!(transferred.contains("play.live.example"), "{transferred}");
}
