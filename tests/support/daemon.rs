//! A daemon in this process, as `thalweg run` starts it.

use std::net::SocketAddr;
use std::sync::Arc;

use thalweg::answer::Explanation;
use thalweg::command::daemon::Daemon;
use thalweg::feed::Options;
use thalweg::snapshot::Snapshot;
use thalweg::steer::NodeReason;
use tokio::runtime::Runtime;

use super::client::get;
use super::installation::Installation;

/// Any free ports, and as many workers as a small machine has cores.
pub(crate) const SERVER: &str = "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 2\n";

/// A daemon that answers until it is dropped.
pub(crate) struct Served {
    daemon: Daemon,
    runtime: Runtime,
}

impl Served {
    /// Starts a daemon on an installation without errors.
    pub(crate) fn start(installation: &Installation) -> Self {
        Self::start_with(installation, true)
    }

    /// The same, for edits that are taken by `reload` alone: on a slow machine others would be taken by themselves before.
    pub(crate) fn start_unwatched(installation: &Installation) -> Self {
        Self::start_with(installation, false)
    }

    fn start_with(installation: &Installation, is_watching: bool) -> Self {
        let options = Options { file: installation.config(), environment: Vec::new(), is_watching, is_strict: true };
        let daemon = Daemon::start(options).unwrap_or_else(|error| panic!("{:?}", error.diagnostics));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { daemon, runtime }
    }

    /// Where it answers DNS.
    pub(crate) fn dns(&self) -> SocketAddr {
        self.daemon.listening.dns[0]
    }

    /// Where it answers DNS over TLS.
    pub(crate) fn tls(&self) -> SocketAddr {
        self.daemon.listening.tls[0]
    }

    /// Where it answers DNS over QUIC.
    pub(crate) fn quic(&self) -> SocketAddr {
        self.daemon.listening.quic[0]
    }

    /// Where it answers DNS over HTTPS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.daemon.listening.https[0]
    }

    /// Where it answers DNS over HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.daemon.listening.http[0]
    }

    /// Where it answers administrators.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.daemon.listening.admin
    }

    /// Where media servers send heartbeats to.
    pub(crate) fn heartbeats(&self) -> SocketAddr {
        self.daemon.listening.heartbeats[0]
    }

    /// What SIGHUP does.
    pub(crate) fn reload(&self) -> Result<String, String> {
        self.runtime.block_on(self.daemon.reload())
    }

    /// What is served now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.daemon.published().snapshot()
    }

    /// The page of metrics.
    pub(crate) fn metrics(&self) -> String {
        get(self.daemon.listening.admin, "/metrics")
    }

    /// What `thalweg explain` gets.
    pub(crate) fn explain(&self, name: &str, client: &str) -> Explanation {
        let page = get(self.daemon.listening.admin, &format!("/v1/explain?name={name}&client={client}"));
        serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error}: {page}"))
    }

    /// What it says of a node.
    pub(crate) fn explain_node(&self, name: &str, client: &str, node: &str) -> NodeReason {
        let steering = self.explain(name, client).reasons.steering.expect("a steered name");
        steering.nodes.into_iter().find(|reason| reason.node == node).expect("a node of the pool")
    }
}
