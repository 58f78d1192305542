//! Asks nodes whether they serve at all: a TCP connection to the media server, or a GET.
//!
//! One address of a node is probed, its IPv4 address if it has one; that of the other family is taken to be like it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::header::USER_AGENT;
use hyper::{Request, Uri};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::feed::client::{AGENT, Clients, HttpClient, causes};
use crate::feed::credentials::Credentials;
use crate::feed::names::Names;
use crate::feed::pace::{FIRST_WITHIN, keep, next_tick, share};
use crate::pool::{Check, Family, Node, NodeId};

/// Time from a good probe to the next.
const EVERY: Duration = Duration::from_secs(5);
/// Time from a failed probe to the next, from beginning to beginning: long enough to outlast a lost route, and so
/// short that the second failure comes within ten seconds of a server's end.
const AGAIN: Duration = Duration::from_secs(4);
/// The longest time for a probe.
const LIMIT: Duration = Duration::from_secs(2);
/// Probes at the same time: each holds a socket. 5,000 nodes that answer within half a second need no more.
const AT_ONCE: usize = 512;

/// A node to probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Which.
    pub node: NodeId,
    /// What shows that it serves.
    pub goal: Goal,
}

/// What shows that a node serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Goal {
    /// A TCP connection.
    Tcp(SocketAddr),
    /// A status below 400 to a GET of this URL.
    Http(String),
}

/// The outcome of one probe.
#[derive(Debug)]
pub struct Probed {
    /// Of which node.
    pub node: NodeId,
    /// When it ended.
    pub at: std::time::Instant,
    /// Why the node does not seem to serve, if so.
    pub result: Result<(), String>,
}

impl Probe {
    /// How a node is to be probed, if it is.
    pub fn of(id: NodeId, node: &Node) -> Option<Self> {
        let goal = match node.check.as_ref()? {
            Check::Tcp(port) => {
                let address = node.address(Family::V4).or(node.address(Family::V6))?;
                Goal::Tcp(SocketAddr::new(address, *port))
            }
            Check::Http(url) => Goal::Http(url.clone()),
        };
        Some(Self { node: id, goal })
    }
}

/// Probes until the sender of probes is gone.
pub(super) async fn run(probes: watch::Receiver<Vec<Probe>>, sender: mpsc::Sender<Probed>, names: Names) {
    // A connection kept open would hide that no new one can be made.
    let client = Clients::new(0, names).of(&Credentials::default());
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let epoch = Instant::now();
    keep(
        probes,
        |probe| probe.node,
        |probe| probe_at_intervals(client.clone(), probe, epoch, Arc::clone(&room), sender.clone()),
    )
    .await;
}

async fn probe_at_intervals(
    client: HttpClient,
    probe: Probe,
    epoch: Instant,
    room: Arc<Semaphore>,
    sender: mpsc::Sender<Probed>,
) {
    let Probe { node, goal } = probe;
    let share = share(&goal);
    let phase = epoch + EVERY.mul_f64(share);
    let mut due = Instant::now() + FIRST_WITHIN.mul_f64(share);
    loop {
        sleep_until(due).await;
        let Ok(permit) = room.acquire().await else { return };
        // From here on: to wait for room is no fault of the node.
        let begun = Instant::now();
        let outcome = timeout(LIMIT, attempt(&client, &goal)).await.unwrap_or_else(|_| Outcome::of_timeout());
        drop(permit);
        let result = match outcome {
            Outcome::Good => Ok(()),
            Outcome::Bad(why) => Err(why),
            Outcome::Ours(why) => {
                tracing::warn!(?goal, why, "a node cannot be probed, for a reason of this machine");
                due = begun + EVERY;
                continue;
            }
        };
        due = if result.is_ok() { next_tick(phase, EVERY, begun + EVERY / 2) } else { begun + AGAIN };
        let at = Instant::now().into_std();
        if sender.send(Probed { node, at, result }).await.is_err() {
            return;
        }
    }
}

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Bad(String),
    /// This machine could not even try, which says nothing of the node.
    Ours(String),
}

impl Outcome {
    fn of_error(what: &str, error: &(dyn Error + 'static)) -> Self {
        let why = format!("{what}: {}", causes(error));
        if is_ours(error) { Self::Ours(why) } else { Self::Bad(why) }
    }

    fn of_timeout() -> Self {
        Self::Bad(format!("nothing within {} s", LIMIT.as_secs_f64()))
    }
}

async fn attempt(client: &HttpClient, goal: &Goal) -> Outcome {
    match goal {
        Goal::Tcp(address) => match TcpStream::connect(address).await {
            Ok(_closed_at_once) => Outcome::Good,
            Err(error) => Outcome::of_error("no connection", &error),
        },
        Goal::Http(url) => {
            let request = url
                .parse::<Uri>()
                .map_err(http::Error::from)
                .and_then(|url| Request::get(url).header(USER_AGENT, AGENT).body(Full::default()));
            let request = match request {
                Ok(request) => request,
                Err(error) => return Outcome::of_error("the URL cannot be asked", &error),
            };
            match client.request(request).await {
                Ok(response) if response.status().as_u16() < 400 => Outcome::Good,
                Ok(response) => Outcome::Bad(format!("status {}", response.status().as_u16())),
                Err(error) => {
                    let what = if error.is_connect() { "no connection" } else { "the exchange broke" };
                    // Its own words only name the step.
                    match error.source() {
                        Some(cause) => Outcome::of_error(what, cause),
                        None => Outcome::of_error(what, &error),
                    }
                }
            }
        }
    }
}

/// Whether this machine is out of sockets, ports or memory.
fn is_ours(error: &(dyn Error + 'static)) -> bool {
    const OURS: [i32; 5] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL];
    let mut error = Some(error);
    while let Some(cause) = error {
        let system = cause.downcast_ref::<io::Error>();
        if system.and_then(io::Error::raw_os_error).is_some_and(|number| OURS.contains(&number)) {
            return true;
        }
        // An I/O error passes over what it wraps when it is asked for its source.
        let wrapped = system.and_then(io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
        error = wrapped.or_else(|| cause.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("its address")
    }

    /// Answers each request with a status and an endless body; without one it says nothing.
    async fn serve(status: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _octets = stream.read(&mut [0; 1024]).await;
                    let Some(status) = status else { return std::future::pending().await };
                    let answer = format!("HTTP/1.1 {status}\r\nLocation: /x\r\n\r\nx");
                    let _result = stream.write_all(answer.as_bytes()).await;
                    std::future::pending::<()>().await;
                });
            }
        });
        address
    }

    async fn outcome(goal: Goal) -> Result<(), String> {
        let (_probes, mut news) = watch::channel(vec![Probe { node: NodeId(3), goal }]);
        news.mark_changed();
        let (sender, mut probed) = mpsc::channel(1);
        tokio::select! {
            () = run(news, sender, Names::of_system()) => unreachable!("the sender of probes lives"),
            probed = probed.recv() => {
                let probed = probed.expect("run lives");
                assert_eq!(probed.node, NodeId(3));
                probed.result
            }
        }
    }

    // Where the clock is paused it leaps to the next timer as soon as all wait for nothing else.

    #[tokio::test(start_paused = true)]
    async fn a_listener_is_enough_for_a_tcp_probe() {
        assert_eq!(outcome(Goal::Tcp(serve(None).await)).await, Ok(()));
        let refused = outcome(Goal::Tcp(closed().await)).await.expect_err("refused");
        assert!(refused.starts_with("no connection: "), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_below_400_is_enough_for_an_http_probe() {
        for (status, expected) in [
            (Some("200 OK"), Ok(())),
            (Some("204 No Content"), Ok(())),
            (Some("302 Found"), Ok(())),
            (Some("404 Not Found"), Err("status 404".to_owned())),
            (Some("503 Service Unavailable"), Err("status 503".to_owned())),
            (None, Err("nothing within 2 s".to_owned())),
        ] {
            let url = format!("http://{}/live/index.m3u8", serve(status).await);
            assert_eq!(outcome(Goal::Http(url)).await, expected, "{status:?}");
        }
        for (url, expected) in [
            (format!("http://{}/", closed().await), "no connection: "),
            ("http://[::1".to_owned(), "the URL cannot be asked: "),
        ] {
            let error = outcome(Goal::Http(url)).await.expect_err("no answer");
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_failures_come_within_ten_seconds_and_good_probes_every_five() {
        let (probes, news) = watch::channel(Vec::new());
        let (sender, mut probed) = mpsc::channel(16);
        tokio::spawn(run(news, sender, Names::of_system()));
        let good = Probe { node: NodeId(1), goal: Goal::Tcp(serve(None).await) };
        let bad = Probe { node: NodeId(2), goal: Goal::Tcp(closed().await) };
        probes.send_replace(vec![good, bad]);
        let (mut good_at, mut bad_at) = (Vec::new(), Vec::new());
        while good_at.len() < 6 {
            let Probed { node, at, result } = probed.recv().await.expect("run lives");
            assert_eq!(result.is_ok(), node == NodeId(1));
            if node == NodeId(1) { good_at.push(at) } else { bad_at.push(at) }
        }
        let gaps = |times: &[std::time::Instant]| -> Vec<f64> {
            times.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect()
        };
        let (good, bad) = (gaps(&good_at), gaps(&bad_at));
        assert!((2.4..=7.6).contains(&good[0]) && good[1..].iter().all(|gap| (gap - 5.0).abs() < 0.05), "{good:?}");
        assert!(bad.len() >= 4 && bad.iter().all(|gap| (gap - 4.0).abs() < 0.05), "{bad:?}");
    }

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_node() {
        let ours = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(is_ours(&ours) && is_ours(&io::Error::other(ours)));
        assert!(!is_ours(&io::Error::from_raw_os_error(libc::ECONNREFUSED)));
    }

    #[test]
    fn the_first_address_of_a_node_is_probed() {
        let node = |v4, v6, check| Node { v4, v6, check, ..Node::default() };
        let (v4, v6) = (Some(Ipv4Addr::LOCALHOST), Some("2001:db8::1".parse().expect("an address")));
        let goal = |node: Node| Probe::of(NodeId(0), &node).map(|probe| probe.goal);
        let tcp = |address: &str| Some(Goal::Tcp(address.parse().expect("a socket address")));
        assert_eq!(goal(node(v4, v6, Some(Check::Tcp(1935)))), tcp("127.0.0.1:1935"));
        assert_eq!(goal(node(None, v6, Some(Check::Tcp(1935)))), tcp("[2001:db8::1]:1935"));
        let url = "https://fra1.example/ready".to_owned();
        assert_eq!(goal(node(v4, None, Some(Check::Http(url.clone())))), Some(Goal::Http(url)));
        assert_eq!(goal(node(v4, v6, None)), None);
    }
}
