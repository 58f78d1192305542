//! The servers that are compared: what each is measured with, how it is configured, started and stopped.

mod bind;
mod gdnsd;
mod knot;
mod nsd;
mod process;
mod thalweg;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::generator::Truth;
use crate::sets::Set;
use crate::workspace::Workspace;
pub use process::Running;

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// A program that copies the question back with a fixed answer.
    Limit,
    /// This project, with its defaults: rate limiting counts and logs.
    Thalweg,
    /// The same without rate limiting.
    ThalwegUnlimited,
    /// gdnsd with its plugin geoip.
    Gdnsd,
    /// Knot DNS with mod-geoip.
    Knot,
    /// NSD.
    Nsd,
    /// BIND.
    Bind,
    /// BIND with a view for each place.
    BindViews,
}

impl Server {
    /// Whether it can answer the queries of a set, and somebody wants to know what that costs.
    pub fn takes(self, set: Set) -> bool {
        match self {
            Self::Limit => {
                matches!(set, Set::S | Set::SIpv6 | Set::G16 | Set::G4096 | Set::E | Set::EIpv6 | Set::E50)
            }
            Self::Thalweg => true,
            Self::ThalwegUnlimited => matches!(set, Set::S | Set::G16),
            Self::Gdnsd => Self::Limit.takes(set) || matches!(set, Set::Tcp | Set::Sized),
            Self::Knot => {
                matches!(set, Set::S | Set::G16 | Set::G4096 | Set::E | Set::E50 | Set::Tcp | Set::Sized)
            }
            // NSD knows no geography, and BIND no client subnets.
            Self::Nsd | Self::Bind => matches!(set, Set::S | Set::Tcp | Set::Sized),
            Self::BindViews => matches!(set, Set::G16 | Set::G4096),
        }
    }

    /// How true its replies must be.
    pub fn truth(self) -> Truth {
        match self {
            Self::Limit => Truth::None,
            Self::Thalweg | Self::ThalwegUnlimited => Truth::Planned,
            Self::Gdnsd | Self::Knot | Self::Nsd | Self::Bind | Self::BindViews => Truth::Exact,
        }
    }

    /// As it stands in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Thalweg => "thalweg",
            Self::ThalwegUnlimited => "thalweg without rate limiting",
            Self::Gdnsd => "gdnsd",
            Self::Knot => "knot",
            Self::Nsd => "nsd",
            Self::Bind => "bind",
            Self::BindViews => "bind with views",
        }
    }

    /// The Debian package that has it.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::Limit | Self::Thalweg | Self::ThalwegUnlimited => None,
            Self::Gdnsd => Some("gdnsd"),
            Self::Knot => Some("knot"),
            Self::Nsd => Some("nsd"),
            Self::Bind | Self::BindViews => Some("bind9"),
        }
    }
}

/// One of those that are compared; several may be the same server by different programs.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// What it is.
    pub server: Server,
    /// Its name in tables, which nobody else has.
    pub label: String,
    /// The program to be run.
    pub program: PathBuf,
    /// Where it listens, on loopback of both families.
    pub port: u16,
}

impl Contestant {
    /// Where it is asked, over IPv6 or IPv4.
    pub fn address(&self, is_ipv6: bool) -> SocketAddr {
        let address = if is_ipv6 { Ipv6Addr::LOCALHOST.into() } else { IpAddr::from(Ipv4Addr::LOCALHOST) };
        SocketAddr::new(address, self.port)
    }

    /// Writes its configuration for a zone of so many names; says how it is run, in the foreground.
    fn prepare(&self, workspace: &Workspace, names: u32) -> Result<(Command, PathBuf)> {
        let directory = workspace.server_directory(&self.label.replace(' ', "-"))?;
        let Self { port, program, .. } = self;
        let setup = Setup { workspace, names, port: *port, program, directory: &directory };
        let command = match self.server {
            Server::Limit => limit(&setup),
            Server::Thalweg => thalweg::prepare(&setup, "log")?,
            Server::ThalwegUnlimited => thalweg::prepare(&setup, "off")?,
            Server::Gdnsd => gdnsd::prepare(&setup)?,
            Server::Knot => knot::prepare(&setup)?,
            Server::Nsd => nsd::prepare(&setup)?,
            Server::Bind => bind::prepare(&setup)?,
            Server::BindViews => bind::prepare_views(&setup)?,
        };
        Ok((command, directory))
    }
}

/// What a server is configured with.
struct Setup<'s> {
    workspace: &'s Workspace,
    names: u32,
    port: u16,
    program: &'s Path,
    /// Its own, and empty.
    directory: &'s Path,
}

fn limit(setup: &Setup<'_>) -> Command {
    let Setup { program, port, .. } = setup;
    let mut command = Command::new(program);
    command.args(["limit".to_owned(), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
    command
}
