//! Where a comparison ran, and with which versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::limit::RECEIVE_BUFFER;
use crate::servers::{Contestant, Server};

/// What a reader needs to know of the machine, each with its name.
pub fn describe() -> Vec<(&'static str, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value_of(&cpu, "model name").unwrap_or("unknown").to_owned();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distribution = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    vec![
        ("date", output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))),
        ("processor", format!("{model}, {cores} cores")),
        ("kernel", format!("Linux {}", kernel.trim())),
        ("distribution", distribution.trim_matches('"').to_owned()),
        ("load average before", load.split(' ').next().unwrap_or_default().to_owned()),
    ]
}

/// The version of a contestant, as its package or its program says it.
pub fn version(contestant: &Contestant) -> String {
    match (contestant.server, contestant.server.package()) {
        (_, Some(package)) => package_version(package),
        (Server::Limit, None) => "of this package".to_owned(),
        (_, None) => output(Command::new(&contestant.program).arg("--version")),
    }
}

/// The version of a Debian package.
pub fn package_version(package: &str) -> String {
    output(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]))
}

/// The commit of a checkout, with a note if it was changed.
pub fn commit(directory: &Path) -> String {
    output(Command::new("git").arg("-C").arg(directory).args(["describe", "--always", "--dirty", "--abbrev=10"]))
}

/// Servers that ask for a receive buffer must get it, and those that ask for none need it too: 1,024 queries wait.
pub fn check_buffers() -> Result<()> {
    for setting in ["rmem_default", "rmem_max"] {
        let path = format!("/proc/sys/net/core/{setting}");
        let octets: usize = fs::read_to_string(&path)?.trim().parse()?;
        if octets < RECEIVE_BUFFER {
            bail!(
                "net.core.{setting} is {octets}, and {RECEIVE_BUFFER} are needed: benches/peers/run sets it for the run"
            );
        }
    }
    Ok(())
}

fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// What a command prints; a word for nothing, since nothing is measured by it.
fn output(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
