//! The command line: the comparison, and the two programs that it needs, which can be run by hand too.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};
use thalweg_peers::generator::{Load, Truth};
use thalweg_peers::measure::family;
use thalweg_peers::report::Report;
use thalweg_peers::rounds::Plan;
use thalweg_peers::servers::{Contestant, Server};
use thalweg_peers::sets::Set;
use thalweg_peers::workspace::{USUAL_NAMES, Workspace};
use thalweg_peers::{limit, machine, verdicts};

/// Port of the first server; the others are on the next ones.
const FIRST_PORT: u16 = 5_301;

/// How much CPU time a query costs thalweg, beside other nameservers and the bare limit.
#[derive(Parser)]
#[command(bin_name = "benches/peers/run")]
struct Cli {
    #[command(subcommand)]
    command: Option<Program>,
    #[command(flatten)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Program {
    /// The bare limit, on each of these addresses.
    #[command(hide = true)]
    Limit { addresses: Vec<SocketAddr> },
    /// The load of one set on a server that runs already, to look at it meanwhile.
    #[command(hide = true)]
    Load(OneLoad),
}

#[derive(Args)]
struct Comparison {
    /// How often all is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 1.2)]
    seconds: f64,
    /// Seconds before each measurement, in which caches get warm.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// What is asked; all sets if left out.
    #[arg(long, value_delimiter = ',')]
    sets: Vec<Set>,
    /// Who is asked; all servers if left out.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Server>,
    /// Names of the zones for the sets by size.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000],
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sizes: Vec<u32>,
    /// A thalweg and what to call it, instead of that of this checkout; several are compared with each other.
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    thalweg: Vec<(String, PathBuf)>,
    /// Core of the servers; the generator has the next core below, or the one above core 0.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Where the report goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"))]
    out: PathBuf,
}

#[derive(Args)]
struct OneLoad {
    /// Address and port.
    server: SocketAddr,
    /// What is asked.
    #[arg(long, default_value = "s")]
    set: Set,
    /// Names of its zone.
    #[arg(long, default_value_t = USUAL_NAMES)]
    names: u32,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// A process whose CPU time is told, with its children.
    #[arg(long)]
    process: Option<u32>,
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("NAME=PATH is wanted")?;
    // It is a directory too, and a part of one line.
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err("letters, digits, `-`, `_` and `.` make a name".to_owned());
    }
    let path = PathBuf::from(path).canonicalize().map_err(|error| format!("{path}: {error}"))?;
    Ok((name.to_owned(), path))
}

fn main() -> ExitCode {
    let Cli { command, comparison } = Cli::parse();
    let result = match command {
        None => comparison.run(),
        Some(Program::Limit { addresses }) => limit::serve(&addresses).context("the limit"),
        Some(Program::Load(load)) => load.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches/peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Comparison {
    fn run(&self) -> Result<()> {
        machine::check_buffers()?;
        let plan = self.plan()?;
        let machine = machine::describe();
        let workspace = workspace(&plan.all_sizes())?;
        // The generator is this thread.
        pin(if self.core == 0 { 1 } else { self.core - 1 })?;
        let samples = plan.run(&workspace)?;
        let thalwegs = plan.contestants.iter().filter(|contestant| contestant.server == Server::Thalweg);
        let verdicts: Vec<_> =
            thalwegs.map(|thalweg| (thalweg.label.clone(), verdicts::judge(&samples, &thalweg.label))).collect();
        let report = Report {
            plan: &plan,
            samples: &samples,
            machine: &machine,
            verdicts: &verdicts,
            repository: &repository(),
        };
        fs::write(&self.out, report.markdown()).with_context(|| self.out.display().to_string())?;
        println!("\ntables: {}", self.out.display());
        for (label, verdicts) in &verdicts {
            println!("\ngoals of {label}");
            verdicts.iter().for_each(|verdict| println!("{verdict}"));
            verdicts::left_out(verdicts).into_iter().for_each(|note| println!("{note}"));
        }
        match samples.note_of_idle() {
            Some(note) => bail!("{note}: is the machine busy?"),
            None => Ok(()),
        }
    }

    fn plan(&self) -> Result<Plan> {
        let all_or = |chosen: &[_]| if chosen.is_empty() { Set::value_variants().to_vec() } else { chosen.to_vec() };
        Ok(Plan {
            contestants: self.contestants()?,
            sets: all_or(&self.sets),
            sizes: self.sizes.clone(),
            rounds: self.rounds.into(),
            warm_up: seconds(self.warm_up)?,
            duration: seconds(self.seconds)?,
            server_core: self.core,
        })
    }

    fn contestants(&self) -> Result<Vec<Contestant>> {
        let servers = if self.servers.is_empty() { Server::value_variants() } else { &self.servers };
        let mut contestants: Vec<Contestant> = Vec::new();
        for &server in servers {
            for (label, program) in self.programs(server)? {
                if contestants.iter().any(|other| other.label == label) {
                    bail!("there are two called {label}");
                }
                if !program.exists() {
                    bail!("{} of {label} is not there: benches/peers/run builds or installs it", program.display());
                }
                let port = FIRST_PORT + contestants.len() as u16;
                contestants.push(Contestant { server, label, program, port });
            }
        }
        Ok(contestants)
    }

    /// The programs that are a server, with their labels.
    fn programs(&self, server: Server) -> Result<Vec<(String, PathBuf)>> {
        let thalwegs = || match self.thalweg.as_slice() {
            [] => vec![("thalweg".to_owned(), repository().join("target/release/thalweg"))],
            named => named.to_vec(),
        };
        let label = server.label().to_owned();
        Ok(match server {
            // This very program, which has it as a command.
            Server::Limit => vec![(label, std::env::current_exe()?)],
            Server::Thalweg => thalwegs(),
            Server::ThalwegUnlimited => {
                let unlimited = |(name, path)| (format!("{name} without rate limiting"), path);
                thalwegs().into_iter().map(unlimited).collect()
            }
            Server::Gdnsd => vec![(label, "/usr/sbin/gdnsd".into())],
            Server::Knot => vec![(label, "/usr/sbin/knotd".into())],
            Server::Nsd => vec![(label, "/usr/sbin/nsd".into())],
            Server::Bind | Server::BindViews => vec![(label, "/usr/sbin/named".into())],
        })
    }
}

impl OneLoad {
    fn run(&self) -> Result<()> {
        let processes = self.process.map_or(Ok(Vec::new()), family)?;
        let load = Load {
            server: self.server,
            processes: &processes,
            queries: &self.set.queries(self.names),
            geography: &workspace(&[])?.geography,
            truth: Truth::None,
            warm_up: Duration::ZERO,
            duration: seconds(self.seconds)?,
        };
        let outcome = load.run()?;
        let answers = outcome.answers as f64;
        println!("{:.0} answers a second, {} lost", answers / outcome.elapsed.as_secs_f64(), outcome.lost);
        if self.process.is_some() {
            let cost = outcome.cpu.total.as_secs_f64() * 1e6 / answers;
            println!("{cost:.3} µs of CPU time per answer, busy for {:.0} % of the time", outcome.busy() * 100.0);
        }
        Ok(())
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn workspace(sizes: &[u32]) -> Result<Workspace> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/run");
    Workspace::create(&root, &repository().join("geoip"), sizes)
}

fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).with_context(|| format!("{seconds} seconds"))
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("core {core}, which the generator needs"))
}
