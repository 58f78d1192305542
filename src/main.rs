//! The program: log, command line, exit status.

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use thalweg::cli::Cli;
use tracing_subscriber::EnvFilter;

/// What is logged unless RUST_LOG says otherwise.
const LOG: &str = "info";

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.serves() {
        thalweg::name::hash_with(RandomState::new().hash_one(0)).expect("no name was hashed yet");
        let filter = EnvFilter::builder().with_default_directive(LOG.parse().expect("a level is a directive"));
        tracing_subscriber::fmt()
            .with_env_filter(filter.from_env_lossy())
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init();
    }
    ExitCode::from(cli.execute())
}
