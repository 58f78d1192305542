//! Knot DNS: mod-geoip steers, by the continents of the same geography.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::geography::PLACES;
use crate::sets::{STEERED, ZONE};
use crate::zones::STEERED_TTL;

/// Writes its configuration.
pub(super) fn prepare(setup: &Setup<'_>) -> Result<Command> {
    let Setup { directory, program, .. } = setup;
    fs::write(directory.join("knot.conf"), configuration(setup))?;
    fs::write(directory.join("geography.conf"), geography()?)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(directory.join("knot.conf"));
    Ok(command)
}

fn configuration(setup: &Setup<'_>) -> String {
    let Setup { workspace, names, port, directory, .. } = setup;
    let (zone, geography) = (workspace.zone(*names), workspace.geography_path());
    format!(
        r#"server:
  rundir: {directory}
  listen: [127.0.0.1@{port}, ::1@{port}]
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  edns-client-subnet: on
  automatic-acl: off
log:
  - target: stderr
    any: warning
database:
  storage: {directory}
mod-geoip:
  - id: places
    config-file: {directory}/geography.conf
    ttl: {STEERED_TTL}
    mode: geodb
    geodb-file: {geography}
    geodb-key: continent/code
zone:
  - domain: {ZONE}
    file: {zone}
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
    module: mod-geoip/places
"#,
        directory = directory.display(),
        geography = geography.display(),
        zone = zone.display(),
    )
}

fn geography() -> Result<String> {
    let mut text = String::new();
    for steered in STEERED {
        writeln!(text, "{}.{ZONE}:", steered.label)?;
        for place in &PLACES {
            let addresses: Vec<_> = place.addresses(steered).map(|address| address.to_string()).collect();
            for continent in place.continents {
                writeln!(text, "  - geo: \"{continent}\"\n    A: [{}]", addresses.join(", "))?;
            }
        }
    }
    Ok(text)
}
