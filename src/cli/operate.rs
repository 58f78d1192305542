//! The command line of what operators look at and drain.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::ConfigArgument;
use super::overrides::Terms;
use crate::command::drain::{Condition, DrainArguments, Wait, drain, undrain};
use crate::command::nodes::{Filter, nodes};
use crate::command::status::status;
use crate::config;
use crate::pool::Selection;

#[derive(Debug, Subcommand)]
pub(super) enum OperateCommand {
    /// Say what an operator should know first. Exit status: 0 all is well, 1 warning, 2 critical, or no daemon answers.
    Status {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// List the nodes, the worst first.
    Nodes {
        /// These nodes only.
        nodes: Vec<String>,
        /// Those at this place only.
        #[arg(long)]
        place: Option<String>,
        /// Those of this pool only.
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Send nobody new to nodes. Exit status: 0 done, 1 refused, 2 wrong usage, 3 the time to wait is over.
    Drain {
        #[command(flatten)]
        which: Which,
        /// Say only what would come of it: the predicted pressure of each place.
        #[arg(long)]
        dry_run: bool,
        /// Do it though it overloads other nodes, or leaves none.
        #[arg(long)]
        force: bool,
        /// Wait until each node is like this: clients<50, egress<10Mbit/s. What was drained stays so if you stop waiting.
        #[arg(long, value_name = "CONDITION")]
        wait: Option<Condition>,
        /// How long to wait at most: 30m [default: for ever].
        #[arg(long, value_name = "DURATION", requires = "wait", value_parser = duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        terms: Terms,
    },
    /// End the drain of nodes.
    Undrain {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        config: ConfigArgument,
    },
}

/// How it is printed.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw it again and again [default: every 2s].
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = duration)]
    watch: Option<Duration>,
}

/// Which nodes.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").required(true).args(["nodes", "place", "label"]))]
pub(super) struct Which {
    /// The nodes.
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// All nodes at this place.
    #[arg(long)]
    place: Option<String>,
    /// All nodes with this label, as role=edge; given several times, with all of them.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

impl OperateCommand {
    /// Does what it says, and returns the exit status.
    pub(super) fn execute(self) -> u8 {
        match self {
            Self::Status { output, config } => status(&config.file(), output.json, output.watch),
            Self::Nodes { nodes: names, place, pool, output, config } => {
                let filter = Filter { nodes: names, place, pool };
                nodes(&config.file(), &filter, output.json, output.watch)
            }
            Self::Drain { which, dry_run, force, wait, timeout, terms } => {
                let Terms { time, reason, config } = terms;
                let wait = wait.map(|condition| Wait { condition, timeout });
                let which = which.selection();
                let arguments = DrainArguments { which, time, reason, is_dry_run: dry_run, is_forced: force, wait };
                drain(&config.file(), arguments)
            }
            Self::Undrain { which, config } => undrain(&config.file(), &which.selection()),
        }
    }
}

impl Which {
    fn selection(self) -> Selection {
        match self.place {
            Some(place) => Selection::Place(place),
            None if self.label.is_empty() => Selection::Nodes(self.nodes),
            None => Selection::Labels(self.label.into_iter().collect::<BTreeMap<_, _>>()),
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(label, _)| !label.is_empty());
    pair.map(|(label, value)| (label.to_owned(), value.to_owned())).ok_or_else(|| "write it like role=edge".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    match config::duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be longer than nothing".to_owned()),
        Err(Some(meant)) => Err(format!("did you mean `{meant}`?")),
        Err(None) => Err("write a time such as 2s or 30m".to_owned()),
    }
}
