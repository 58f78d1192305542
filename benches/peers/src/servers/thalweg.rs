//! thalweg: the places and servers of all, steered by its planner; without exporters, so that no load moves the weights.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::geography::{PLACES, Place};
use crate::sets::{LIVE, MANY, Steered, TURN, ZONE};
use crate::zones::STEERED_TTL;

/// Ports of the admin listeners, so far above the DNS ports.
const ADMIN: u16 = 1_000;

/// Writes its configuration, with a mode of rate limiting.
pub(super) fn prepare(setup: &Setup<'_>, rate_limit: &str) -> Result<Command> {
    let zones = setup.directory.join("zones");
    fs::create_dir(&zones)?;
    symlink(setup.workspace.zone(setup.names), zones.join(format!("{ZONE}.zone")))?;
    let file = setup.directory.join("thalweg.toml");
    fs::write(&file, configuration(setup, rate_limit)?)?;
    let mut command = Command::new(setup.program);
    command.args(["run", "--config"]).arg(file);
    Ok(command)
}

fn configuration(setup: &Setup<'_>, rate_limit: &str) -> Result<String> {
    let Setup { workspace, port, directory, .. } = setup;
    let zones = directory.join("zones");
    let geography = workspace.geography_path();
    // A connection ends after 10,000 queries unless something else is said, and what is measured are long ones.
    let mut text = format!(
        r#"[server]
dns = ["127.0.0.1:{port}", "[::1]:{port}"]
admin = "127.0.0.1:{admin}"
workers = 1
rate_limit = {{ mode = "{rate_limit}" }}
tcp.queries = 1000000000

[zones]
directory = "{zones}"

[geoip]
databases = ["{geography}"]

[defaults.node]
capacity = {{ egress = "1Gbit/s" }}
"#,
        admin = port + ADMIN,
        zones = zones.display(),
        geography = geography.display(),
    );
    for (steered, pool, policy) in [(LIVE, LIVE, "planner"), (MANY, MANY, "planner"), (TURN, LIVE, "round_robin")] {
        let Steered { label, answers } = steered;
        write!(
            text,
            r#"
[service."{label}.{ZONE}"]
pool = "{pool}"
policy = "{policy}"
answers = {answers}
ttl = {{ min = "{STEERED_TTL}s", max = "{STEERED_TTL}s" }}
"#,
            pool = pool.label,
        )?;
    }
    for pool in [LIVE, MANY] {
        write!(text, "\n[pool.{0}]\nselect = {{ pool = \"{0}\" }}\n", pool.label)?;
    }
    for place in &PLACES {
        put_place(&mut text, place)?;
    }
    Ok(text)
}

fn put_place(text: &mut String, place: &Place) -> Result<()> {
    let Place { name, continents, position: (latitude, longitude), near, .. } = place;
    write!(
        text,
        r#"
[place.{name}]
at = [{latitude:.1}, {longitude:.1}]
[region.{name}]
continents = {continents:?}
near = {near:?}
"#
    )?;
    for pool in [LIVE, MANY] {
        for (number, address) in place.addresses(pool).enumerate() {
            write!(
                text,
                r#"[node.{name}-{pool}-{number}]
addresses = ["{address}"]
place = "{name}"
labels = {{ pool = "{pool}" }}
"#,
                pool = pool.label,
            )?;
        }
    }
    Ok(())
}
