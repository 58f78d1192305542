//! gdnsd: its plugin geoip steers, by the same geography, places and addresses.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::geography::{PLACES, Place};
use crate::sets::{STEERED, Steered, ZONE};

/// Writes its configuration.
pub(super) fn prepare(setup: &Setup<'_>) -> Result<Command> {
    let Setup { workspace, names, directory, program, .. } = setup;
    let zones = directory.join("zones");
    fs::create_dir(&zones)?;
    symlink(workspace.gdnsd_zone(*names), zones.join(ZONE))?;
    fs::write(directory.join("config"), configuration(setup))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(directory).arg("start");
    Ok(command)
}

fn configuration(setup: &Setup<'_>) -> String {
    let Setup { workspace, port, directory, .. } = setup;
    let centers = list(PLACES.iter().map(|place| place.name));
    let continents: String = PLACES.iter().map(continents_of).collect();
    let resources: String = STEERED.iter().map(|&steered| resource(steered)).collect();
    format!(
        r#"options => {{
  listen => {{
    127.0.0.1:{port} => {{ udp_threads => 1, tcp_threads => 1 }},
    "[::1]:{port}" => {{ udp_threads => 1, tcp_threads => 1 }},
  }},
  run_dir => {directory}/run, state_dir => {directory}/state,
  zones_rfc1035_threads => 1,
}}
plugins => {{ geoip => {{
  maps => {{ world => {{
    geoip2_db => {geography},
    datacenters => {centers},
    map => {{
{continents}      default => {centers},
    }}
  }} }},
  resources => {{
{resources}  }}
}} }}
"#,
        directory = directory.display(),
        geography = workspace.geography_path().display(),
    )
}

fn continents_of(place: &Place) -> String {
    let near = list(place.near);
    place.continents.iter().map(|continent| format!("      {continent} => {near},\n")).collect()
}

fn resource(steered: Steered) -> String {
    let addresses = |place: &Place| list(place.addresses(steered));
    let centers: Vec<_> = PLACES.iter().map(|place| format!("{} => {}", place.name, addresses(place))).collect();
    let (label, centers) = (steered.label, centers.join(", "));
    format!("    {label} => {{ map => world, service_types => up, dcmap => {{ {centers} }} }}\n")
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}
