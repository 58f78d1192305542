//! The command line of keys that sign zones.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::ConfigArgument;
use crate::command::keys::{self, Delays, Rollover};
use crate::config;
use crate::dnssec::{Algorithm, Role};
use crate::name::Name;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key, and use it as soon as caches can know it. Without `--ksk` or `--zsk` it signs everything.
    #[command(group = ArgGroup::new("role").args(["ksk", "zsk"]))]
    Generate {
        #[command(flatten)]
        zone: ZoneArguments,
        /// A key for keys, beside one that signs all else.
        #[arg(long)]
        ksk: bool,
        /// A key for all but keys.
        #[arg(long)]
        zsk: bool,
        /// How it signs.
        #[arg(long, default_value = "ecdsap256sha256")]
        algorithm: AlgorithmArgument,
        /// Do not wait until caches can know it beside other keys: nobody has asked for the zone yet.
        #[arg(long)]
        at_once: bool,
    },
    /// List the keys of a zone, and their times.
    List(ZoneArguments),
    /// Print the DS records that the parent zone should have.
    Ds(ZoneArguments),
    /// Replace a key without a moment at which answers do not validate. Servers follow by themselves.
    #[command(group = ArgGroup::new("which").args(["ksk", "zsk"]).required(true))]
    Rollover {
        #[command(flatten)]
        zone: ZoneArguments,
        /// The key that the parent points at: begin, then wait for the parent.
        #[arg(long)]
        ksk: bool,
        /// The key for all but keys; all of it goes by itself.
        #[arg(long)]
        zsk: bool,
        /// The parent has the new key's DS record, and nothing else: the old key may go.
        #[arg(long, requires = "ksk")]
        parent_points: bool,
        /// Until all nameservers have what is new.
        #[arg(long, default_value = "1h", value_parser = duration)]
        margin: Duration,
        /// The longest TTL of the zone; as the zone has it if left out, and a day at least.
        #[arg(long, value_parser = duration)]
        zone_ttl: Option<Duration>,
        /// The TTL of DS records at the parent.
        #[arg(long, default_value = "24h", value_parser = duration)]
        parent_ttl: Duration,
    },
}

#[derive(Debug, Args)]
pub(super) struct ZoneArguments {
    /// The zone.
    #[arg(value_parser = name)]
    zone: Name,
    #[command(flatten)]
    config: ConfigArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AlgorithmArgument {
    /// ECDSA P-256 with SHA-256 (13).
    Ecdsap256sha256,
    /// Ed25519 (15).
    Ed25519,
}

impl KeysCommand {
    pub(super) fn execute(self) -> u8 {
        match self {
            Self::Generate { zone: ZoneArguments { zone, config }, ksk: _, zsk, algorithm, at_once } => {
                let algorithm = match algorithm {
                    AlgorithmArgument::Ecdsap256sha256 => Algorithm::EcdsaP256,
                    AlgorithmArgument::Ed25519 => Algorithm::Ed25519,
                };
                let role = if zsk { Role::ZoneSigning } else { Role::KeySigning };
                keys::generate(&config.file(), &zone, algorithm, role, at_once)
            }
            Self::List(ZoneArguments { zone, config }) => keys::list(&config.file(), &zone),
            Self::Ds(ZoneArguments { zone, config }) => keys::ds(&config.file(), &zone),
            Self::Rollover { zone, ksk, zsk: _, parent_points, margin, zone_ttl, parent_ttl } => {
                let which = match (ksk, parent_points) {
                    (false, _) => Rollover::ZoneSigning,
                    (true, false) => Rollover::Begin,
                    (true, true) => Rollover::ParentPoints,
                };
                let delays = Delays { margin, zone_ttl, parent_ttl };
                keys::rollover(&zone.config.file(), &zone.zone, which, delays)
            }
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text, Some(&Name::root())).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|meant| {
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        format!("write a time such as 30m or 2h{meant}")
    })
}
