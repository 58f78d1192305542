//! A model node: takes viewers over TCP, and shows how busy they keep it as Prometheus node_exporter does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::machine::{Activity, Job, Machine};
use super::scene::Role;

/// The most viewers that a node takes; more are turned away.
const MAX_VIEWERS: usize = 300;
/// How long nobody is taken after somebody could not be.
const RESPITE: Duration = Duration::from_millis(100);
/// The longest batch job, in seconds.
const MAX_SECONDS: f64 = 3600.0;
/// A batch job of which nothing is said: how long it runs, and what share of all cores it takes.
const JOB_SECONDS: f64 = 20.0;
const JOB_CPU: f64 = 0.76;

/// The handle of a node that runs.
#[derive(Debug, Clone)]
pub struct Node {
    /// Which of the scene's nodes it is.
    pub role: Role,
    /// Where its exporter and its batch jobs are reached over HTTP.
    pub exporter: SocketAddr,
    machine: Arc<Mutex<Machine>>,
    scrapes: watch::Sender<u64>,
}

/// Sockets of a node, before it runs.
#[derive(Debug)]
pub struct Sockets {
    role: Role,
    media: TcpListener,
    exporter: TcpListener,
}

/// Parameters of `/overload`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Overload {
    seconds: Option<f64>,
    cpu: Option<f64>,
}

impl Sockets {
    /// Binds the node's address for viewers at this port, or at any if it is 0, and for the exporter at any.
    pub fn bind(role: Role, media: u16) -> io::Result<Self> {
        let bind = |port| {
            let listener = TcpListener::bind((role.address(), port))?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        Ok(Self { role, media: bind(media)?, exporter: bind(0)? })
    }

    /// The port to which viewers connect.
    pub fn media_port(&self) -> io::Result<u16> {
        Ok(self.media.local_addr()?.port())
    }
}

impl Node {
    /// Starts the node on the runtime that was entered; it runs as long as that.
    pub fn start(sockets: Sockets) -> io::Result<Self> {
        let Sockets { role, media, exporter } = sockets;
        let booted = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let machine = Arc::new(Mutex::new(Machine::new(Instant::now(), booted)));
        let node = Self { role, exporter: exporter.local_addr()?, machine, scrapes: watch::Sender::new(0) };
        let media = tokio::net::TcpListener::from_std(media)?;
        tokio::spawn(node.clone().take_viewers(media));
        let router = Router::new()
            // `?collect[]=` may ask for less than all, as of any node_exporter; there is not much to leave out.
            .route("/metrics", get(metrics))
            .route("/overload", post(overload))
            .with_state(node.clone());
        let exporter = tokio::net::TcpListener::from_std(exporter)?;
        // It ends with the runtime only: axum goes on whatever a connection brings.
        tokio::spawn(async move { axum::serve(exporter, router).await });
        Ok(node)
    }

    /// What the node sees of itself.
    pub fn activity(&self) -> Activity {
        self.machine().activity(Instant::now())
    }

    /// Waits until the exporter has answered so often.
    pub async fn scraped(&self, times: u64) {
        let mut scrapes = self.scrapes.subscribe();
        // It fails if the sender is gone, which is part of the node.
        let _counted = scrapes.wait_for(|scrapes| *scrapes >= times).await;
    }

    /// Starts a batch job that takes CPU from the viewers.
    pub fn overload(&self, seconds: f64, cpu: f64) {
        let now = Instant::now();
        self.machine().begin(now, Job { cpu, until: now + Duration::from_secs_f64(seconds) });
    }

    /// Starts a batch job of the usual size.
    pub fn overload_as_usual(&self) {
        self.overload(JOB_SECONDS, JOB_CPU);
    }

    async fn take_viewers(self, listener: tokio::net::TcpListener) {
        // Dropped with this task, and with them all connections.
        let mut viewers = JoinSet::new();
        loop {
            tokio::select! {
                Some(_gone) = viewers.join_next() => {}
                accepted = listener.accept(), if viewers.len() < MAX_VIEWERS => {
                    match accepted {
                        Ok((connection, _)) => {
                            viewers.spawn(Visit::begin(&self).last(connection));
                        }
                        // Too many open files, perhaps: asking again at once would only keep the thread busy.
                        Err(_) => tokio::time::sleep(RESPITE).await,
                    }
                }
            }
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // Sums of numbers are right whatever happened to whom they were told.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connected viewer, as long as it is connected.
struct Visit(Node);

impl Visit {
    fn begin(node: &Node) -> Self {
        node.machine().arrive(Instant::now());
        Self(node.clone())
    }

    /// Waits until the viewer hangs up. No media is sent: the counters say what would have been.
    async fn last(self, mut connection: TcpStream) {
        let mut buffer = [0; 64];
        while connection.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.machine().leave(Instant::now());
    }
}

async fn metrics(State(node): State<Node>) -> ([(header::HeaderName, &'static str); 1], String) {
    let text = node.machine().exposition(Instant::now());
    node.scrapes.send_modify(|scrapes| *scrapes += 1);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn overload(State(node): State<Node>, Query(parameters): Query<Overload>) -> (StatusCode, String) {
    let Overload { seconds, cpu } = parameters;
    let (seconds, cpu) = (seconds.unwrap_or(JOB_SECONDS), cpu.unwrap_or(JOB_CPU));
    if !(0.0..=MAX_SECONDS).contains(&seconds) || !(0.0..=1.0).contains(&cpu) {
        let message = format!("seconds go from 0 to {MAX_SECONDS}, cpu (a share of all cores) from 0 to 1\n");
        return (StatusCode::BAD_REQUEST, message);
    }
    node.overload(seconds, cpu);
    let name = node.role.name();
    let message = format!("{name}: a batch job takes {:.0} % of the CPU for {seconds} s\n", cpu * 100.0);
    (StatusCode::OK, message)
}
