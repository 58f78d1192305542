//! The daemon: feed, workers and streams wired together, started and stopped as one.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Cluster, Config, Secure, Server, Workers as Configured, Written};
use crate::diagnostic::Diagnostic;
use crate::feed::{Feed, Options, StartError};
use crate::intake::{Carrier, Counts, Event, events};
use crate::metrics::Metrics;
use crate::serve::admin::{self, Admin};
use crate::serve::cluster::{self, Door};
use crate::serve::cores;
use crate::serve::heartbeat::{self, Ear};
use crate::serve::https;
use crate::serve::ownership::keep_networks_together;
use crate::serve::{Learner, Responder, quic, rate_limit, stall, stream, udp};
use crate::snapshot::Published;

/// How long connections may take to end when the daemon stops.
const STREAMS_GRACE: Duration = Duration::from_secs(2);

/// How many ports are tried if any will do.
const PORT_ATTEMPTS: usize = 100;

/// A server that answers until it is dropped.
pub struct Daemon {
    /// Where it listens.
    pub listening: Listening,
    published: Arc<Published>,
    events: mpsc::Sender<Event>,
    readiness: watch::Receiver<bool>,
    stop: CancellationToken,
    workers: Option<udp::Workers>,
    streams: Option<Runtime>,
    feed: Option<JoinHandle<()>>,
}

/// Addresses that were bound, with their real ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// DNS over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// DNS over TLS.
    pub tls: Vec<SocketAddr>,
    /// DNS over QUIC.
    pub quic: Vec<SocketAddr>,
    /// DNS over HTTPS.
    pub https: Vec<SocketAddr>,
    /// DNS over HTTP, for proxies.
    pub http: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The listener for other nameservers, if there are any.
    pub cluster: Option<SocketAddr>,
    /// Where heartbeats of media servers are sent to, by inventory.
    pub heartbeats: Vec<SocketAddr>,
}

/// Sockets that are bound, before anything answers on them.
struct Bound {
    /// One a worker, address by address.
    udp: Vec<UdpSocket>,
    /// Workers of each address.
    workers: usize,
    /// Over how many sockets in `udp` the queries of one client network are spread.
    spread: usize,
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    quic: Vec<UdpSocket>,
    https: Vec<TcpListener>,
    http: Vec<TcpListener>,
    admin: TcpListener,
    cluster: Option<(TcpListener, Option<Arc<ServerConfig>>)>,
    /// By inventory.
    heartbeats: Vec<(String, TcpListener)>,
    listening: Listening,
}

impl Daemon {
    /// Reads the inputs, binds all sockets and starts to answer; all that is in the way is reported.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let directory = options.file.parent().unwrap_or(Path::new("")).to_owned();
        let feed = Feed::start(options)?;
        let server = feed.inputs().config.server.clone();
        let bound = bind(&feed.inputs().config, &directory)?;
        Self::answer(feed, &server, bound)
            .map_err(|error| StartError::of(Diagnostic::error(format!("cannot start: {error}"))))
    }

    /// What is served now.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Becomes true when each node has been probed and scraped once, or that has had its time; DNS is answered before.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.readiness.clone()
    }

    /// Reads all inputs again and says what changed, or why nothing did.
    pub async fn reload(&self) -> Result<String, String> {
        let (sender, outcome) = oneshot::channel();
        let gone = "the feed has ended; restart the server";
        self.events.send(Event::Reload(sender)).await.map_err(|_| gone.to_owned())?;
        outcome.await.map_err(|_| gone.to_owned())?
    }

    fn answer(feed: Feed, server: &Server, bound: Bound) -> io::Result<Self> {
        let published = feed.published();
        let stop = CancellationToken::new();
        let (sender, receiver) = events();

        let mut counts = Vec::new();
        let mut counted = || {
            let own = Arc::new(Counts::new());
            counts.push(Arc::clone(&own));
            own
        };
        let mut shelves = Vec::new();
        // The workers of all addresses, and the streams.
        let sharing = bound.udp.len() + 1;
        let mut learner = || {
            // Its keys are random, which is all that is wanted of it.
            let (learner, shelf) = Learner::new(sharing, RandomState::new().hash_one(0));
            shelves.push(shelf);
            learner.telling(sender.clone())
        };
        let cores = if server.pin_workers { cores::of_workers(bound.workers) } else { vec![None; bound.workers] };
        let worker = |(socket, core)| {
            let (counts, learner, watch) = (counted(), learner(), Arc::default());
            udp::Worker { socket, counts, learner, watch, core }
        };
        // Each address has a worker on each of these cores.
        let workers: Vec<_> = bound.udp.into_iter().zip(cores.into_iter().cycle()).map(worker).collect();
        let watches = workers.iter().map(|worker| Arc::clone(&worker.watch)).collect();
        let responder =
            Responder::new(Arc::clone(&published), counted(), learner()).counting_transfers(feed.board().transfers());
        let answers = counted();
        // A flood over one carrier takes nothing from the others.
        let proxies = &server.proxies;
        let over = |carrier| {
            let believed =
                if matches!(carrier, Carrier::Quic | Carrier::Http) { Arc::default() } else { Arc::clone(proxies) };
            stream::Connections::behind(believed, carrier, server.tcp)
        };
        let carriers = [Carrier::Tcp, Carrier::Tls, Carrier::Quic, Carrier::Https, Carrier::Http];
        let [over_tcp, over_tls, over_quic, over_https, over_http] = carriers.map(over);
        let pulse = feed.pulse();
        let shown = |carrier| feed.certificates().get(&carrier).map(Arc::clone);
        let is_on =
            [true, !bound.tls.is_empty(), !bound.quic.is_empty(), !bound.https.is_empty(), !bound.http.is_empty()];
        let all = [&over_tcp, &over_tls, &over_quic, &over_https, &over_http].into_iter().zip(is_on);
        let streams_counts = all
            .filter(|(_, is_on)| *is_on)
            .map(|(connections, _)| (Arc::clone(connections.counts()), shown(connections.counts().carrier())))
            .collect();
        let board = feed.board();
        let metrics = Metrics::new(
            Arc::clone(&published),
            counts,
            streams_counts,
            Arc::clone(&pulse),
            Arc::clone(&board),
            feed.cluster(),
            feed.heartbeats(),
        );
        let readiness = feed.readiness();
        let admin = Admin {
            published: Arc::clone(&published),
            metrics,
            events: sender.clone(),
            board,
            pulse: Arc::clone(&pulse),
            readiness: readiness.clone(),
            cluster: feed.cluster(),
        };

        let streams = tokio::runtime::Builder::new_multi_thread().thread_name("streams").enable_all().build()?;
        {
            let _entered = streams.enter();
            for listener in bound.tcp {
                let listener = asynchronous(listener)?;
                streams.spawn(stream::serve(listener, responder.clone(), over_tcp.clone(), stop.clone()));
            }
            // Where there is a listener, its certificate was read.
            for (listener, shown) in bound.tls.into_iter().zip(shown(Carrier::Tls).into_iter().cycle()) {
                let (listener, connections) = (asynchronous(listener)?, over_tls.clone());
                streams.spawn(stream::serve_tls(listener, shown, responder.clone(), connections, stop.clone()));
            }
            for (socket, shown) in bound.quic.into_iter().zip(shown(Carrier::Quic).into_iter().cycle()) {
                let endpoint = quic::open(socket, &shown, &server.tcp)?;
                streams.spawn(quic::serve(endpoint, responder.clone(), over_quic.clone(), stop.clone()));
            }
            streams.spawn(responder.clone().turn(stop.clone()));
            let doors = https::doors(responder);
            for (listener, shown) in bound.https.into_iter().zip(shown(Carrier::Https).into_iter().cycle()) {
                let (listener, connections) = (asynchronous(listener)?, over_https.clone());
                streams.spawn(https::serve(listener, shown, doors.clone(), connections, stop.clone()));
            }
            for listener in bound.http {
                let (listener, connections) = (asynchronous(listener)?, over_http.clone());
                streams.spawn(https::serve_plain(listener, doors.clone(), connections, stop.clone()));
            }
            streams.spawn(stall::report(pulse, stop.clone()));
            streams.spawn(rate_limit::report(watches, Arc::clone(&published), stop.clone()));
            streams.spawn(admin::serve(asynchronous(bound.admin)?, admin, stop.clone()));
            if let Some(((listener, tls), cluster)) = bound.cluster.zip(feed.cluster()) {
                let door = Door { cluster, events: sender.clone(), tls };
                streams.spawn(cluster::serve(asynchronous(listener)?, door, stop.clone()));
            }
            for (inventory, listener) in bound.heartbeats {
                let shared = feed.heartbeats().into_iter().find(|shared| shared.inventory() == inventory);
                if let Some(shared) = shared {
                    let ear = Ear::new(shared, sender.clone());
                    streams.spawn(heartbeat::serve(asynchronous(listener)?, ear, stop.clone()));
                }
            }
        }
        let workers = udp::Workers::start(workers, bound.spread, &published)?;
        let feed = {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stop = stop.clone();
            let thread = std::thread::Builder::new().name("feed".to_owned());
            thread.spawn(move || runtime.block_on(feed.run(receiver, shelves, answers, stop)))?
        };
        Ok(Self {
            listening: bound.listening,
            published,
            events: sender,
            readiness,
            stop,
            workers: Some(workers),
            streams: Some(streams),
            feed: Some(feed),
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.workers.take());
        if let Some(streams) = self.streams.take() {
            streams.shutdown_timeout(STREAMS_GRACE);
        }
        if self.feed.take().is_some_and(|feed| feed.join().is_err()) {
            tracing::error!("the feed's thread had panicked");
        }
    }
}

/// Binds everything, or says all that cannot be bound.
fn bind(config: &Config, directory: &Path) -> Result<Bound, StartError> {
    let Config { server, cluster, inventories, .. } = config;
    let mut diagnostics = Vec::new();
    let mut listening = Listening {
        dns: Vec::new(),
        tls: Vec::new(),
        quic: Vec::new(),
        https: Vec::new(),
        http: Vec::new(),
        admin: server.admin.value,
        cluster: None,
        heartbeats: Vec::new(),
    };
    let workers = match server.workers {
        Configured::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        Configured::Fixed(workers) => usize::from(workers),
    };
    let (mut udp, mut tcp, mut spread) = (Vec::new(), Vec::new(), 1);
    for written in &server.dns {
        let bound = bind_dns(written.value, workers);
        match bound {
            Ok((sockets, listener, address)) => {
                warn_of_small_buffer(&sockets[0], address);
                spread = spread.max(keep_networks_together(&sockets));
                udp.extend(sockets);
                tcp.push(listener);
                listening.dns.push(address);
            }
            Err(error) => diagnostics.push(refused(written, "DNS", &error)),
        }
    }
    let mut of_streams = |written: &[Written<SocketAddr>], what: &str, listening: &mut Vec<SocketAddr>| {
        let mut listeners = Vec::new();
        for written in written {
            match stream::bind(written.value).and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((address, listener)) => {
                    listening.push(address);
                    listeners.push(listener);
                }
                Err(error) => diagnostics.push(refused(written, what, &error)),
            }
        }
        listeners
    };
    let tls = of_streams(addresses(server.tls.as_ref()), "DNS over TLS", &mut listening.tls);
    let https = of_streams(addresses(server.https.as_ref()), "DNS over HTTPS", &mut listening.https);
    let http = of_streams(&server.http, "DNS over HTTP", &mut listening.http);
    let mut quic = Vec::new();
    for written in addresses(server.quic.as_ref()) {
        match udp::bind_alone(written.value).and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((address, socket)) => {
                listening.quic.push(address);
                quic.push(socket);
            }
            Err(error) => diagnostics.push(refused(written, "DNS over QUIC", &error)),
        }
    }
    let mut of_cluster = None;
    if let Some(Cluster { listen, tls, .. }) = cluster {
        let tls = tls.as_ref().map(|tls| cluster::mutual_tls(tls, directory)).transpose();
        match TcpListener::bind(listen.value).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                listening.cluster = Some(address);
                match tls {
                    Ok(tls) => of_cluster = Some((listener, tls)),
                    Err(found) => diagnostics.extend(found),
                }
            }
            Err(error) => diagnostics.push(refused(listen, "other nameservers", &error)),
        }
    }
    let mut heartbeats = Vec::new();
    for (name, written) in inventories
        .iter()
        .filter_map(|inventory| Some((&inventory.value.name, &inventory.value.heartbeat.as_ref()?.listen)))
    {
        match TcpListener::bind(written.value).and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                listening.heartbeats.push(address);
                heartbeats.push((name.clone(), listener));
            }
            Err(error) => diagnostics.push(refused(written, "heartbeats", &error)),
        }
    }
    let admin = TcpListener::bind(server.admin.value).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match admin {
        Ok((address, admin)) if diagnostics.is_empty() => {
            listening.admin = address;
            Ok(Bound {
                udp,
                workers,
                spread,
                tcp,
                tls,
                quic,
                https,
                http,
                admin,
                cluster: of_cluster,
                heartbeats,
                listening,
            })
        }
        Ok(_) => Err(StartError { diagnostics }),
        Err(error) => {
            diagnostics.push(refused(&server.admin, "administration", &error));
            Err(StartError { diagnostics })
        }
    }
}

/// UDP sockets and a TCP listener on the same address and port.
fn bind_dns(address: SocketAddr, workers: usize) -> io::Result<(Vec<UdpSocket>, TcpListener, SocketAddr)> {
    let attempt = || {
        let sockets = udp::bind(address, workers)?;
        let bound = sockets.first().ok_or_else(|| io::Error::other("no workers"))?.local_addr()?;
        Ok((sockets, stream::bind(bound)?, bound))
    };
    // With port 0, TCP wants the port that UDP got. Somebody may have that, and another will do as well.
    let attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    let is_taken = |outcome: &io::Result<_>| matches!(outcome, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
    let first_free = (1..attempts).map(|_| attempt()).find(|outcome| !is_taken(outcome));
    first_free.unwrap_or_else(attempt)
}

fn addresses(secure: Option<&Secure>) -> &[Written<SocketAddr>] {
    secure.map_or(&[], |secure| &secure.listen)
}

fn refused(written: &Written<SocketAddr>, what: &str, error: &io::Error) -> Diagnostic {
    let address = written.value;
    let diagnostic = written.error(format!("cannot listen on {address} for {what}: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => diagnostic.help(
            "ports below 1024 take root or CAP_NET_BIND_SERVICE (the systemd unit gives it); for a try, use a higher port",
        ),
        io::ErrorKind::AddrInUse => diagnostic.help(format!(
            "`ss -lnptu 'sport = :{}'` shows who has it; systemd-resolved listens on 127.0.0.53 only, so name the \
             server's own addresses instead of any",
            address.port()
        )),
        io::ErrorKind::AddrNotAvailable => diagnostic.help("no interface of this machine has the address; see `ip address`"),
        _ => diagnostic,
    }
}

fn warn_of_small_buffer(socket: &UdpSocket, address: SocketAddr) {
    if let Ok((granted, wanted)) = udp::granted_buffer(socket)
        && granted < wanted
    {
        tracing::warn!(%address, granted, wanted, "the receive buffer is small, bursts may be lost; raise net.core.rmem_max");
    }
}

fn asynchronous(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
