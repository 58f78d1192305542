//! NSD: static answers only.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::sets::ZONE;

/// Writes its configuration.
pub(super) fn prepare(setup: &Setup<'_>) -> Result<Command> {
    let Setup { workspace, names, port, directory, program } = setup;
    let configuration = format!(
        r#"server:
  server-count: 1
  ip-address: 127.0.0.1@{port}
  ip-address: ::1@{port}
  username: ""
  chroot: ""
  database: ""
  pidfile: "{directory}/nsd.pid"
  xfrdfile: "{directory}/xfrd.state"
  zonelistfile: "{directory}/zone.list"
  xfrdir: "{directory}"
  minimal-responses: yes
  rrl-ratelimit: 0
  round-robin: no
remote-control:
  control-enable: no
zone:
  name: {ZONE}
  zonefile: {zone}
"#,
        directory = directory.display(),
        zone = workspace.zone(*names).display(),
    );
    let file = directory.join("nsd.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new(program);
    command.arg("-d").arg("-c").arg(file);
    Ok(command)
}
