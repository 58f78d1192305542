//! The world: server, model nodes and viewers, started and stopped as one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use super::node::{Node, Sockets};
use super::scene::{self, SITES, roles};
use super::viewer::{Crowd, Told, told};
use crate::command::daemon::Daemon;
use crate::diagnostic::Diagnostic;
use crate::feed::{Options, StartError};

/// How often a port is sought that is free on all addresses of the nodes.
const TRIES: u32 = 10;

/// Everything, until it is dropped; not to be dropped by one of its own tasks.
pub struct World {
    /// The server's address for queries.
    pub dns: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
    /// Its configuration.
    pub config: PathBuf,
    /// The model nodes, site by site.
    pub nodes: Vec<Node>,
    media_port: u16,
    viewers: CancellationToken,
    // Dropped in this order: viewers and nodes, the server, its files.
    runtime: Runtime,
    _daemon: Daemon,
    directory: Directory,
}

impl World {
    /// Starts the nodes and the server, which answers at this port of 127.0.0.1, or at any if it is 0.
    pub fn start(port: u16) -> Result<Self, StartError> {
        let dns = free_address(port).map_err(|error| port_refused(port, &error))?;
        let admin = free_address(0).map_err(|error| refused("no port is free on 127.0.0.1", &error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo")
            .enable_all()
            .build()
            .map_err(|error| refused("no thread for nodes and viewers", &error))?;
        let (nodes, media_port) = start_nodes(&runtime)?;

        let exporters: Vec<SocketAddr> = nodes.iter().map(|node| node.exporter).collect();
        let unwritten = |error| refused("no files for the server", &error);
        let mut directory = Directory::create().map_err(unwritten)?;
        let config = directory.write("thalweg.toml", scene::config(dns, admin, &exporters)).map_err(unwritten)?;
        directory.write("zones/live.example.zone", scene::zone().to_owned()).map_err(unwritten)?;
        // The environment would lay the user's own installation over this one.
        let options = Options { file: config.clone(), environment: Vec::new(), is_watching: true, is_strict: true };
        let daemon = Daemon::start(options)?;
        let viewers = CancellationToken::new();
        Ok(Self { dns, admin, config, nodes, media_port, viewers, runtime, _daemon: daemon, directory })
    }

    /// Lets viewers come, and returns what they are told.
    pub fn invite(&self) -> mpsc::Receiver<Told> {
        let (sender, told) = told();
        for site in 0..SITES.len() {
            let crowd = Crowd { site, dns: self.dns, media_port: self.media_port, told: sender.clone() };
            self.runtime.spawn(crowd.live(self.viewers.child_token()));
        }
        told
    }

    /// Lets all viewers hang up, and no others come.
    pub fn send_viewers_home(&self) {
        self.viewers.cancel();
    }

    /// Does something beside nodes and viewers.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The directory with the server's files; it stays behind if somebody edited it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Whether somebody edited the server's files.
    pub fn is_edited(&self) -> bool {
        self.directory.is_edited()
    }
}

/// Starts all nodes; viewers reach them at one port, for an address is all that they are told.
fn start_nodes(runtime: &Runtime) -> Result<(Vec<Node>, u16), StartError> {
    let (sockets, media_port) = bind_nodes().map_err(|(address, error)| {
        let diagnostic = Diagnostic::error(format!("a model node cannot listen on {address}: {error}"));
        StartError::of(match error.kind() {
            io::ErrorKind::AddrNotAvailable => diagnostic.help(
                "Linux has all of 127.0.0.0/8; other systems have 127.0.0.1 only: add 127.0.1.1, 127.0.1.2, \
                 127.0.2.1, 127.0.2.2, 127.0.3.1 and 127.0.3.2 first, each by `sudo ifconfig lo0 alias ADDRESS`",
            ),
            _ => diagnostic,
        })
    })?;
    let _entered = runtime.enter();
    let nodes: io::Result<Vec<Node>> = sockets.into_iter().map(Node::start).collect();
    Ok((nodes.map_err(|error| refused("the model nodes cannot be started", &error))?, media_port))
}

fn bind_nodes() -> Result<(Vec<Sockets>, u16), (Ipv4Addr, io::Error)> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_nodes_at_one_port() {
            // Free on the first address, and taken on another.
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

fn bind_nodes_at_one_port() -> Result<(Vec<Sockets>, u16), (Ipv4Addr, io::Error)> {
    let (mut all, mut media_port) = (Vec::new(), 0);
    for role in roles() {
        let sockets = Sockets::bind(role, media_port).and_then(|sockets| Ok((sockets.media_port()?, sockets)));
        let (port, sockets) = sockets.map_err(|error| (role.address(), error))?;
        media_port = port;
        all.push(sockets);
    }
    Ok((all, media_port))
}

/// An address on 127.0.0.1 that nobody has over TCP or UDP now; its port is this one unless it is 0.
fn free_address(port: u16) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    UdpSocket::bind(address)?;
    Ok(address)
}

fn port_refused(port: u16, error: &io::Error) -> StartError {
    let message = format!("cannot listen on 127.0.0.1:{port}: {error}");
    StartError::of(
        Diagnostic::error(message).help("choose another with `--port PORT`; `--port 0` takes any that is free"),
    )
}

fn refused(what: &str, error: &io::Error) -> StartError {
    StartError::of(Diagnostic::error(format!("{what}: {error}")))
}
