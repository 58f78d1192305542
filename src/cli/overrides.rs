//! The command line of overrides.

use clap::{Args, Subcommand};

use super::ConfigArgument;
use crate::command::overrides::{lift, limit, list, order};
use crate::steer::{Limited, Override};

/// How long, and why.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// How long it holds: 30m, 2h, forever [default: 1h].
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) time: Option<String>,
    /// Why; whoever asks what is going on reads it.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) config: ConfigArgument,
}

#[derive(Debug, Subcommand)]
pub(super) enum OverrideCommand {
    /// Keep plans and weights as they are for the time being; what fails is still left out.
    Freeze {
        #[command(flatten)]
        terms: Terms,
    },
    /// Send all clients of a region to one place, as long as anything serves there.
    Pin {
        /// The client region.
        region: String,
        /// The place.
        place: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Give a node a part of what it would get.
    Weight {
        /// The node.
        node: String,
        /// The part, 0 to 1.
        weight: f64,
        #[command(flatten)]
        terms: Terms,
    },
    /// Take a node for larger or smaller than it is configured.
    Limit {
        /// The node.
        node: String,
        /// What it can do: egress=2Gbit/s, or clients=800 where the pool counts viewers.
        #[arg(value_parser = limit)]
        capacity: Limited,
        #[command(flatten)]
        terms: Terms,
    },
    /// Steer a service by another policy: planner, round_robin, weighted, nearest, failover, hash.
    Policy {
        /// The service.
        service: String,
        /// The policy.
        policy: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// List what operators want for the time being: what, who, why, since and until when.
    Overrides {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// End an override before its time.
    Lift {
        /// Its number, or `all`.
        id: String,
        #[command(flatten)]
        config: ConfigArgument,
    },
}

impl OverrideCommand {
    /// Does what it says, and returns the exit status.
    pub(super) fn execute(self) -> u8 {
        let (what, terms) = match self {
            Self::Freeze { terms } => (Override::Freeze, terms),
            Self::Pin { region, place, terms } => (Override::Pin { region, place }, terms),
            Self::Weight { node, weight, terms } => (Override::Weight { node, weight }, terms),
            Self::Limit { node, capacity, terms } => (Override::Limit { node, capacity }, terms),
            Self::Policy { service, policy, terms } => (Override::Policy { service, policy }, terms),
            Self::Overrides { json, config } => return list(&config.file(), json),
            Self::Lift { id, config } => return lift(&config.file(), ("id", &id)),
        };
        let Terms { time, reason, config } = terms;
        order(&config.file(), what, time.as_deref(), reason.as_deref())
    }
}
