//! `thalweg run`: serve in the foreground; SIGHUP reloads, SIGTERM and SIGINT end.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::daemon::Daemon;
use super::notify::{State, notify};
use super::{FAILURE, SUCCESS, count, draw};
use crate::feed::{Options, StartError};

/// Serves until a signal ends it.
pub fn run(file: PathBuf, is_strict: bool) -> u8 {
    let options = Options { file, environment: std::env::vars().collect(), is_strict };
    let daemon = match Daemon::start(options) {
        Ok(daemon) => daemon,
        Err(StartError { diagnostics }) => {
            draw(&diagnostics);
            eprintln!("thalweg: not started: {}", count(&diagnostics));
            return FAILURE;
        }
    };
    let listening = &daemon.listening;
    let list =
        |addresses: &[std::net::SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    tracing::info!(
        dns = list(&listening.dns),
        tls = list(&listening.tls),
        quic = list(&listening.quic),
        admin = %listening.admin,
        "thalweg {} answers", env!("CARGO_PKG_VERSION"),
    );
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("thalweg: not started: {error}");
            return FAILURE;
        }
    };
    let outcome = runtime.block_on(until_stopped(&daemon));
    notify(State::Stopping);
    drop(daemon);
    match outcome {
        Ok(()) => SUCCESS,
        Err(error) => {
            eprintln!("thalweg: signals cannot be received: {error}");
            FAILURE
        }
    }
}

async fn until_stopped(daemon: &Daemon) -> std::io::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    notify(State::Ready);
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                notify(State::Reloading);
                // The feed has logged what came of it.
                let _logged = daemon.reload().await;
                notify(State::Ready);
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}
