//! The command line.

mod keys;
mod operate;
mod overrides;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

use keys::KeysCommand;
use operate::OperateCommand;
use overrides::OverrideCommand;

use crate::command::{check, demo, explain, inventory, presets, run, simulate};
use crate::serve::admin::ExplainParameters;

/// Where the configuration is looked for, the first that is there.
const PLACES: [&str; 2] = ["thalweg.toml", "/etc/thalweg/thalweg.toml"];

/// Authoritative DNS for streaming services, with answers that follow geography and load.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on loopback, with model nodes and viewers: see it steer.
    Demo(DemoArguments),
    /// Serve in the foreground. SIGHUP reloads, SIGTERM ends.
    Run {
        #[command(flatten)]
        config: ConfigArgument,
        /// Do not start if anything at all is wrong with the inputs, one zone for instance.
        #[arg(long)]
        strict: bool,
        /// Take edited inputs when a reload is asked for (SIGHUP), not by themselves.
        #[arg(long)]
        no_watch: bool,
    },
    /// Say all that is wrong or doubtful in configuration, zones and geography. Exit status: 0 no errors, 1 errors, 2 wrong usage.
    Check {
        #[command(flatten)]
        config: ConfigArgument,
        /// Count warnings as errors: the exit status is 1 if there is any.
        #[arg(long)]
        strict: bool,
        /// Scrape every node once too, and say what each rule of its presets found, and which capacity is unknown.
        #[arg(long)]
        probe: bool,
    },
    /// Say why a client gets the answer it gets.
    Explain(ExplainArguments),
    #[command(flatten)]
    Operate(OperateCommand),
    #[command(flatten)]
    Override(OverrideCommand),
    /// Show lists of nodes: how many each has, how old it is, what is wrong with it, and what waits: a shorter list, or nodes
    /// that tell by heartbeats that they are there.
    Inventory(InventoryArguments),
    /// Keys that sign zones: make, list, and replace them.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List the presets by which exporters are read, or show the rules of one.
    Presets {
        /// Which one to show.
        name: Option<String>,
    },
    /// Compare policies in a model world: crowds, failures, and monitoring that lags or lies.
    Simulate(SimulateArguments),
}

#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file [default: thalweg.toml here, then /etc/thalweg/thalweg.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
struct InventoryArguments {
    #[command(subcommand)]
    command: Option<InventoryCommand>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgument,
}

#[derive(Debug, Subcommand)]
enum InventoryCommand {
    /// Take the list that waits, although it does much less than the one before it.
    Confirm {
        /// The inventory.
        name: String,
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Let a node in that tells by heartbeats that it is there.
    Approve {
        /// The inventory.
        name: String,
        /// The node, NODE@ADDRESS if several say to be it, or `all` that wait.
        node: String,
        /// Why; others will read it.
        #[arg(long, default_value = "approved")]
        reason: String,
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Send a node of heartbeats away, and forget that it was ever let in.
    Forget {
        /// The inventory.
        name: String,
        /// The node, or NODE@ADDRESS.
        node: String,
        /// Why; others will read it.
        #[arg(long, default_value = "forgotten")]
        reason: String,
        #[command(flatten)]
        config: ConfigArgument,
    },
}

impl InventoryCommand {
    fn execute(self) -> u8 {
        match self {
            Self::Confirm { name, config } => inventory::confirm(&config.file(), &name),
            Self::Approve { name, node, reason, config } => {
                let node = (node != "all").then_some(node);
                inventory::enrol(&config.file(), name, node, true, reason)
            }
            Self::Forget { name, node, reason, config } => {
                inventory::enrol(&config.file(), name, Some(node), false, reason)
            }
        }
    }
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// Port of the DNS server on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = demo::PORT)]
    port: u16,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

#[derive(Debug, Args)]
struct ExplainArguments {
    /// The name asked for.
    name: String,
    /// The type asked for.
    #[arg(default_value = "A")]
    qtype: String,
    /// A client whose resolver passes its network on.
    #[arg(long, value_name = "IP", required_unless_present = "resolver", conflicts_with_all = ["resolver", "ecs"])]
    client: Option<String>,
    /// The resolver that asks.
    #[arg(long, value_name = "IP")]
    resolver: Option<String>,
    /// The client subnet that the resolver sends.
    #[arg(long, value_name = "PREFIX", requires = "resolver")]
    ecs: Option<String>,
    /// Ask about a key with so many viewers a second behind it, such as a large resolver; else one that asks for the first time.
    #[arg(long, value_name = "RATE")]
    viewers: Option<f64>,
    /// From the files alone, without a daemon and without load.
    #[arg(long)]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgument,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["scenario", "all", "scenario_file", "from"]))]
struct SimulateArguments {
    /// Scenarios that are built in, as S2,X3.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<String>,
    /// All scenarios that are built in.
    #[arg(long)]
    all: bool,
    /// A scenario of your own; may be given several times.
    #[arg(long, value_name = "FILE")]
    scenario_file: Vec<PathBuf>,
    /// Policies, as geo-rr,p2c [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policy: Vec<String>,
    /// How many seeds, from 101 on, or which, as 101-103.
    #[arg(long, default_value = "1")]
    seeds: String,
    /// Another world than the one built in.
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Your own fleet, by its configuration, in place of scenarios.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["scenario", "all", "scenario_file", "world", "out", "plot", "details", "markdown"],
    )]
    from: Option<PathBuf>,
    /// The service of your fleet [default: the first one].
    #[arg(long, value_name = "NAME", requires = "from")]
    service: Option<String>,
    /// A crowd that comes to it, as 20000@eu/3min: from a place, region, country or continent; may be given several times.
    #[arg(long, value_name = "CROWD", requires = "from")]
    flash: Vec<String>,
    /// Where its viewers are, as eu=60%,us=40% [default: nearest to each place by its capacity].
    #[arg(long, value_name = "PARTS", requires = "from")]
    viewers: Option<String>,
    /// How many viewers there are at the start [default: half of those that there is room for].
    #[arg(long, value_name = "NUMBER", requires = "from")]
    population: Option<f64>,
    /// How many hours to simulate [default: 1].
    #[arg(long, requires = "from")]
    hours: Option<f64>,
    /// Tell of all scenarios what only some tell: errors of prediction, viewers sent elsewhere, who was shunned.
    #[arg(long)]
    details: bool,
    /// Print the tables of overload, peak and distance in Markdown.
    #[arg(long)]
    markdown: bool,
    /// Write a row for each run.
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Draw the pressure of every node over time, for the first seed.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl Cli {
    /// Does what the command line says, and returns the exit status.
    pub fn execute(self) -> u8 {
        match self.command {
            Command::Demo(DemoArguments { port, seconds }) => demo::demo(port, seconds),
            Command::Run { config, strict, no_watch } => run::run(config.file(), strict, !no_watch),
            Command::Check { config, strict, probe } => check::check(&config.file(), strict, probe),
            Command::Explain(arguments) => {
                let ExplainArguments { name, qtype, client, resolver, ecs, viewers, offline, json, config } = arguments;
                let parameters = ExplainParameters { name, qtype: Some(qtype), client, resolver, ecs, viewers };
                explain::explain(&config.file(), &parameters, offline, json)
            }
            Command::Operate(command) => command.execute(),
            Command::Override(command) => command.execute(),
            Command::Inventory(InventoryArguments { command: None, json, config }) => {
                inventory::list(&config.file(), json)
            }
            Command::Inventory(InventoryArguments { command: Some(command), .. }) => command.execute(),
            Command::Keys(command) => command.execute(),
            Command::Presets { name } => presets::presets(name.as_deref()),
            Command::Simulate(arguments) => {
                let SimulateArguments {
                    scenario,
                    all,
                    scenario_file,
                    policy,
                    seeds,
                    world,
                    details,
                    markdown,
                    out,
                    plot,
                    from,
                    service,
                    flash,
                    viewers,
                    population,
                    hours,
                } = arguments;
                simulate::simulate(&simulate::Wish {
                    scenarios: scenario,
                    scenario_files: scenario_file,
                    all,
                    policies: policy,
                    seeds,
                    world,
                    details,
                    is_markdown: markdown,
                    from,
                    service,
                    flashes: flash,
                    viewers,
                    population,
                    hours,
                    out,
                    plot,
                })
            }
        }
    }

    /// Whether the command serves, and writes a log: the others print what they have to say.
    pub fn serves(&self) -> bool {
        matches!(self.command, Command::Run { .. } | Command::Demo(_))
    }
}

impl ConfigArgument {
    fn file(self) -> PathBuf {
        let there = || PLACES.into_iter().map(PathBuf::from).find(|place| place.exists());
        self.config.or_else(there).unwrap_or_else(|| PathBuf::from(PLACES[0]))
    }
}
