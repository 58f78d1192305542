//! `thalweg run`: serve in the foreground; SIGHUP reloads, SIGTERM and SIGINT end.

use std::io;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::daemon::Daemon;
use super::notify::{State, notify};
use super::{FAILURE, SUCCESS, count, draw};
use crate::feed::{Options, StartError};

/// Serves until a signal ends it.
pub fn run(file: PathBuf, is_strict: bool, is_watching: bool) -> u8 {
    // First of all: a SIGHUP that comes while large zones are read would else end the program.
    let prepared = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let signals = {
            let _entered = runtime.enter();
            Signals::new()?
        };
        Ok((runtime, signals))
    });
    let (runtime, signals) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("thalweg: not started: signals cannot be received: {error}");
            return FAILURE;
        }
    };
    take_all_descriptors();
    let options = Options { file, environment: std::env::vars().collect(), is_watching, is_strict };
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
        https = list(&listening.https),
        http = list(&listening.http),
        admin = %listening.admin,
        "thalweg {} answers", env!("CARGO_PKG_VERSION"),
    );
    runtime.block_on(signals.until_stopped(&daemon));
    notify(State::Stopping);
    drop(daemon);
    SUCCESS
}

/// Every exporter holds a connection, and shells and container managers begin with 1,024 descriptors, of which the
/// hard limit allows more to whoever asks.
fn take_all_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The signals that are obeyed, received from now on.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Reloads when told so, and returns when told to end, also in the middle of a reload.
    async fn until_stopped(self, daemon: &Daemon) {
        let Self { mut hang_up, mut terminate, mut interrupt } = self;
        let readiness = daemon.readiness();
        let reloads = async {
            while hang_up.recv().await.is_some() {
                let is_ready = *readiness.borrow();
                // A service that has not started yet does not reload for systemd.
                if is_ready {
                    notify(State::Reloading);
                }
                // The feed has logged what came of it.
                let _logged = daemon.reload().await;
                if is_ready {
                    notify(State::Ready);
                }
            }
            std::future::pending::<()>().await;
        };
        let start = async {
            // A feed that has ended has said so.
            if daemon.readiness().wait_for(|ready| *ready).await.is_ok() {
                notify(State::Ready);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = reloads => {}
            () = start => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
