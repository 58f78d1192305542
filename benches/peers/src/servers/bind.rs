//! BIND: static answers, and with a view for each place also steered ones.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::geography::PLACES;
use crate::sets::ZONE;

/// Writes the configuration of one zone.
pub(super) fn prepare(setup: &Setup<'_>) -> Result<Command> {
    let zone = zone(&setup.workspace.zone(setup.names));
    command(setup, &format!("{}{zone}", options(setup)))
}

/// Writes the configuration of a view for each place; who is nowhere gets the first zone.
pub(super) fn prepare_views(setup: &Setup<'_>) -> Result<Command> {
    let Setup { workspace, directory, .. } = setup;
    // It looks for databases by name, in a directory.
    symlink(workspace.geography_path(), directory.join("GeoLite2-Country.mmdb"))?;
    let mut text = options(setup);
    for place in &PLACES {
        let clients: String = place.continents.iter().map(|code| format!("geoip continent {code}; ")).collect();
        let zone = zone(&workspace.zone_at(place));
        writeln!(text, "view \"{}\" {{\n  match-clients {{ {clients}}};\n  {zone}}};", place.name)?;
    }
    writeln!(text, "view \"elsewhere\" {{\n  {}}};", zone(&workspace.zone_at(&PLACES[0])))?;
    command(setup, &text)
}

fn command(setup: &Setup<'_>, configuration: &str) -> Result<Command> {
    let Setup { directory, program, .. } = setup;
    let file = directory.join("named.conf");
    fs::write(&file, configuration)?;
    // AppArmor confines the program in its usual place to Debian's directories, a copy not.
    let copy = directory.join("named");
    fs::copy(program, &copy)?;
    let mut command = Command::new(copy);
    // One worker, also for UDP.
    command.args(["-f", "-n", "1", "-U", "1", "-c"]).arg(file);
    Ok(command)
}

fn options(setup: &Setup<'_>) -> String {
    let Setup { port, directory, .. } = setup;
    format!(
        r#"options {{
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 port {port} {{ ::1; }};
  directory "{directory}";
  geoip-directory "{directory}";
  pid-file "{directory}/named.pid";
  session-keyfile "{directory}/session.key";
  recursion no;
  minimal-responses yes;
  dnssec-validation no;
  allow-transfer {{ none; }};
  notify no;
  max-cache-size 10m;
}};
controls {{ }};
"#,
        directory = directory.display(),
    )
}

fn zone(file: &Path) -> String {
    format!("zone \"{ZONE}\" {{ type primary; file \"{}\"; }};\n", file.display())
}
