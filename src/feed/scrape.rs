//! Asks exporters for their metrics, each in its own time, on a thread of its own: nobody waits for a slow one.
//! The probes of nodes run on the same thread.

pub(super) mod exchange;

use std::time::Duration;
use std::{io, thread};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::feed::pace::{FIRST_WITHIN, keep, next_tick, share};
use crate::feed::probe::{self, Probe, Probed};
use crate::feed::scrape::exchange::{Exchange, HttpClient, client};
use crate::load;
use crate::load::counters::Counters;
use crate::load::error::ScrapeError;
use crate::pool::{Exporter, NodeId};

/// The longest time for a whole scrape, if the interval allows it.
const MAX_TIMEOUT: Duration = Duration::from_secs(4);
/// Idle connections that are kept to each exporter.
const IDLE_CONNECTIONS: usize = 1;
/// The shortest interval, whatever is asked for.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// An exporter to ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Whose load it shows.
    pub node: NodeId,
    /// Where it is and what it has.
    pub exporter: Exporter,
    /// Time from scrape to scrape.
    pub interval: Duration,
}

/// What tells the sources of load apart: a node, a preset by name, and where it is read.
pub type Source = (NodeId, String, String);

/// What tells an exporter of a node from others.
pub fn source(node: NodeId, exporter: &Exporter) -> Source {
    (node, exporter.preset.name.clone(), exporter.url.clone())
}

/// The outcome of one scrape.
#[derive(Debug)]
pub struct Scraped {
    /// Whose load it shows.
    pub node: NodeId,
    /// The exporter, as configured.
    pub exporter: Exporter,
    /// When the answer was complete, or given up.
    pub at: std::time::Instant,
    /// What it gave.
    pub result: Result<Counters, ScrapeError>,
}

/// Scrapes and probes until it is dropped.
#[derive(Debug)]
pub struct Scraper {
    /// None only while dropping, as `probes` is.
    targets: Option<watch::Sender<Vec<Target>>>,
    probes: Option<watch::Sender<Vec<Probe>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Scraper {
    /// Starts the thread, with nothing to ask yet; outcomes go to the senders, and while one is full, what it is for
    /// is left out.
    pub fn start(scraped: mpsc::Sender<Scraped>, probed: mpsc::Sender<Probed>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (targets, new_targets) = watch::channel(Vec::new());
        let (probes, new_probes) = watch::channel(Vec::new());
        let thread = thread::Builder::new().name("scrape".to_owned()).spawn(move || {
            runtime.block_on(async { tokio::join!(run(new_targets, scraped), probe::run(new_probes, probed)) });
            // The system's look-up of a name cannot be cancelled, and may hang for a minute: it is left behind.
            runtime.shutdown_background();
        })?;
        Ok(Self { targets: Some(targets), probes: Some(probes), thread: Some(thread) })
    }

    /// Asks these and no others from now on; those that were asked already keep their pace.
    pub fn set_targets(&self, targets: Vec<Target>) {
        if let Some(sender) = &self.targets {
            sender.send_replace(targets);
        }
    }

    /// Probes these and no others from now on.
    pub fn set_probes(&self, probes: Vec<Probe>) {
        if let Some(sender) = &self.probes {
            sender.send_replace(probes);
        }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.targets = None;
        self.probes = None;
        let outcome = self.thread.take().map(thread::JoinHandle::join);
        if let Some(Err(_)) = outcome {
            tracing::error!("the scraper's thread had panicked");
        }
    }
}

async fn run(targets: watch::Receiver<Vec<Target>>, sender: mpsc::Sender<Scraped>) {
    let client = client(IDLE_CONNECTIONS);
    let epoch = Instant::now();
    keep(
        targets,
        |target| source(target.node, &target.exporter),
        |target| scrape_at_intervals(client.clone(), target, epoch, sender.clone()),
    )
    .await;
}

async fn scrape_at_intervals(client: HttpClient, target: Target, epoch: Instant, sender: mpsc::Sender<Scraped>) {
    let Target { node, exporter, interval } = target;
    let interval = interval.max(MIN_INTERVAL);
    let limit = interval.mul_f64(0.8).min(MAX_TIMEOUT);
    let mut exchange = Exchange::new(&exporter, limit);
    let share = share(&exporter.url);
    let mut due = Instant::now() + FIRST_WITHIN.min(interval).mul_f64(share);
    tokio::time::sleep_until(due).await;
    // From here on at the URL's own phase, the first time not right after the first scrape.
    due = next_tick(epoch + interval.mul_f64(share), interval, due + interval / 2);
    let mut ticks = tokio::time::interval_at(due, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let body =
            tokio::time::timeout(limit, exchange.body(&client)).await.unwrap_or(Err(ScrapeError::Timeout(limit)));
        let at = Instant::now().into_std();
        let result = body.and_then(|body| load::read(&exporter.preset, &body));
        if sender.send(Scraped { node, exporter: exporter.clone(), at, result }).await.is_err() {
            return;
        }
        ticks.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::embedded_presets;
    use crate::feed::probe::Goal;
    use crate::feed::scrape::exchange::READ_BUFFER;
    use crate::load::exposition::MAX_BODY;

    const BODY: &str = include_str!("../../tests/load/node_exporter_default.prom");

    /// What a server does with a connection.
    #[derive(Clone)]
    enum Server {
        /// Answers each request with these octets, then keeps or closes the connection as they say.
        Answers(String),
        /// Answers this to narrowed requests, the body to others.
        RefusesToNarrow,
        /// Speaks before it is asked, and no TLS.
        Greets,
        /// Reads, and never says a word.
        Silent,
        /// Sends an octet each tenth of a second.
        Drips,
        /// Sends comments for ever.
        Endless,
    }

    async fn start(server: Server) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, server.clone()));
            }
        });
        address
    }

    async fn answer(mut stream: TcpStream, server: Server) -> io::Result<()> {
        if let Server::Greets = server {
            return stream.write_all(b"220 welcome\r\n").await;
        }
        loop {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await?);
            }
            match &server {
                Server::Answers(answer) => {
                    stream.write_all(answer.as_bytes()).await?;
                    if !answer.contains("Content-Length") || answer.contains("Connection: close") {
                        return Ok(());
                    }
                }
                Server::RefusesToNarrow => {
                    let is_narrowed = String::from_utf8_lossy(&request).starts_with("GET /metrics?collect%5B%5D=cpu&");
                    let answer =
                        if is_narrowed { response("400 Bad Request", "", "no") } else { response("200 OK", "", BODY) };
                    stream.write_all(answer.as_bytes()).await?;
                }
                Server::Silent | Server::Greets => std::future::pending().await,
                Server::Drips => {
                    let mut ticks = tokio::time::interval(Duration::from_millis(100));
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    loop {
                        ticks.tick().await;
                        stream.write_all(b"#").await?;
                    }
                }
                Server::Endless => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    let comments = "# more\n".repeat(10_000);
                    loop {
                        stream.write_all(comments.as_bytes()).await?;
                    }
                }
            }
        }
    }

    fn response(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn target(node: u16, url: String, interval: Duration) -> Target {
        Target {
            node: NodeId(node),
            exporter: Exporter { preset: Arc::clone(&embedded_presets()["node"]), url },
            interval,
        }
    }

    async fn outcome(url: String) -> Result<Counters, ScrapeError> {
        let (_targets, news) = watch::channel(vec![target(0, url, Duration::from_secs(5))]);
        let mut news = news;
        news.mark_changed();
        let (sender, mut scraped) = mpsc::channel(1);
        tokio::select! {
            () = run(news, sender) => unreachable!("the targets' sender lives"),
            scraped = scraped.recv() => scraped.expect("run lives").result,
        }
    }

    async fn outcome_of(server: Server) -> Result<Counters, ScrapeError> {
        outcome(format!("http://{}/metrics", start(server).await)).await
    }

    // Where the clock is paused it leaps to the next timer as soon as all wait for nothing else.

    #[tokio::test(start_paused = true)]
    async fn a_body_becomes_counters() {
        let typed = response("200 OK", "Content-Type: text/plain; version=0.0.4\r\n", BODY);
        let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{BODY}");
        for server in [Server::Answers(typed), Server::Answers(until_close), Server::RefusesToNarrow] {
            let counters = outcome_of(server).await.expect("counters");
            assert_eq!(counters.rules[1]["eth0"].value, 737263.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_hostile_answer_is_its_own_error() {
        let json = "{\"code\":1090}";
        let cut = &BODY[..BODY.len() - 3];
        let not_found = ScrapeError::Status(404);
        for (answer, expected) in [
            (response("404 Not Found", "", BODY), not_found),
            (response("302 Found", "Location: /metrics\r\n", ""), ScrapeError::Status(302)),
            (response("204 No Content", "", ""), ScrapeError::Status(204)),
            (
                response("200 OK", "Content-Type: application/json\r\n", json),
                ScrapeError::ContentType("application/json".to_owned()),
            ),
            (
                response("200 OK", "Content-Type: text/html; charset=utf-8\r\n", BODY),
                ScrapeError::ContentType("text/html; charset=utf-8".to_owned()),
            ),
            (response("200 OK", "", json), ScrapeError::NothingWanted { refused: 0 }),
            (format!("HTTP/1.0 200 OK\r\n\r\n{cut}"), ScrapeError::Truncated),
        ] {
            assert_eq!(outcome_of(Server::Answers(answer)).await, Err(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn broken_http_is_an_error() {
        let promised = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\nConnection: close\r\n\r\n{BODY}");
        let headers: String = (0..5000).map(|n| format!("X-{n}: 1\r\n")).collect();
        let long = format!("X: {}\r\n", "x".repeat(READ_BUFFER));
        for answer in [
            promised,
            response("200 OK", &headers, BODY),
            response("200 OK", &long, BODY),
            "+PONG\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{BODY}"),
        ] {
            let outcome = outcome_of(Server::Answers(answer.clone())).await;
            assert!(
                matches!(outcome, Err(ScrapeError::Http(_))),
                "{outcome:?} for {}",
                &answer[..20.min(answer.len())]
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_endless_answers_have_a_bound() {
        for server in [Server::Silent, Server::Drips] {
            assert_eq!(outcome_of(server).await, Err(ScrapeError::Timeout(MAX_TIMEOUT)));
        }
        assert_eq!(outcome_of(Server::Endless).await, Err(ScrapeError::TooLarge(MAX_BODY)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let closed = listener.local_addr().expect("its address");
        drop(listener);
        let speaks_no_tls = start(Server::Greets).await;
        for url in [format!("http://{closed}/metrics"), format!("https://{speaks_no_tls}/metrics")] {
            let outcome = outcome(url).await;
            let Err(ScrapeError::Connect(why)) = outcome else { panic!("{outcome:?}") };
            assert!(!why.contains("client error"), "{why}");
        }
        for url in ["http://[::1", "no url at all"] {
            assert!(matches!(outcome(url.to_owned()).await, Err(ScrapeError::Url(_))), "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_silent_exporter_and_reloads_keep_the_pace() {
        const INTERVAL: Duration = Duration::from_secs(5);
        let good =
            target(1, format!("http://{}/a", start(Server::Answers(response("200 OK", "", BODY))).await), INTERVAL);
        let silent = target(2, format!("http://{}/b", start(Server::Silent).await), INTERVAL);
        let (targets, news) = watch::channel(Vec::new());
        let (sender, mut scraped) = mpsc::channel(16);
        tokio::spawn(run(news, sender));
        targets.send_replace(vec![silent, good.clone()]);
        let (mut good_at, mut silent_errors) = (Vec::new(), 0);
        while good_at.len() < 6 {
            let outcome = scraped.recv().await.expect("run lives");
            if outcome.node == NodeId(1) {
                assert!(outcome.result.is_ok());
                good_at.push(outcome.at);
            } else {
                assert_eq!(outcome.result, Err(ScrapeError::Timeout(MAX_TIMEOUT)));
                silent_errors += 1;
            }
            if good_at.len() == 4 {
                // The silent one goes, the good one does not notice.
                targets.send_replace(vec![good.clone()]);
            }
        }
        assert!((2..=4).contains(&silent_errors), "{silent_errors}");
        let gaps: Vec<_> = good_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] >= INTERVAL / 2 - Duration::from_millis(5) && gaps[0] <= INTERVAL * 3 / 2, "{gaps:?}");
        assert!(gaps[1..].iter().all(|gap| gap.abs_diff(INTERVAL) < Duration::from_millis(5)), "{gaps:?}");

        targets.send_replace(vec![target(3, good.exporter.url, INTERVAL)]);
        assert_eq!(scraped.recv().await.expect("run lives").node, NodeId(3));
        drop(targets);
        while scraped.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn a_dropped_scraper_leaves_nothing_behind() {
        let address = start(Server::Answers(response("200 OK", "", BODY))).await;
        let (sender, mut scraped) = mpsc::channel(1);
        let (probes, mut probed) = mpsc::channel(1);
        let scraper = Scraper::start(sender, probes).expect("a thread");
        scraper.set_targets(vec![target(7, format!("http://{address}/metrics"), MIN_INTERVAL)]);
        let first = scraped.recv().await.expect("an outcome");
        assert_eq!((first.node, first.exporter.url), (NodeId(7), format!("http://{address}/metrics")));
        assert_eq!(first.result.expect("counters").rules[1]["eth0"].capacity, None);
        scraper.set_probes(vec![Probe { node: NodeId(8), goal: Goal::Tcp(address) }]);
        let probe = probed.recv().await.expect("an outcome");
        assert_eq!((probe.probe.node, probe.result), (NodeId(8), Ok(())));
        drop(scraper);
        while scraped.recv().await.is_some() {}
        while probed.recv().await.is_some() {}
    }
}
