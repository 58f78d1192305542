//! Exporters of all sorts, kind and hostile, and what is made of their answers.

mod access;
mod coding;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::embedded_presets;
use crate::feed::client::READ_BUFFER;
use crate::feed::probe::Goal;
use crate::load::exposition::MAX_BODY;

const BODY: &str = include_str!("../../../tests/load/node_exporter_default.prom");

/// What a server does with a connection.
#[derive(Clone)]
enum Server {
    /// Answers each request with these octets, then keeps or closes the connection as they say.
    Answers(Vec<u8>),
    /// Answers the body to requests that have these words in them, 401 to others.
    Wants(String),
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
                stream.write_all(answer).await?;
                let head = String::from_utf8_lossy(&answer[..answer.len().min(200)]);
                if !head.contains("Content-Length") || head.contains("Connection: close") {
                    return Ok(());
                }
            }
            Server::Wants(words) => {
                let has_them = String::from_utf8_lossy(&request).contains(words);
                let status = if has_them { "200 OK" } else { "401 Unauthorized" };
                stream.write_all(response(status, "", BODY).as_bytes()).await?;
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
        exporter: Exporter { preset: Arc::clone(&embedded_presets()["node"]), url, access: Arc::default() },
        interval,
        credentials: Some(Arc::new(Credentials::default())),
    }
}

async fn outcome(url: String) -> Result<Counters, ScrapeError> {
    outcome_at(target(0, url, Duration::from_secs(5))).await
}

async fn outcome_at(target: Target) -> Result<Counters, ScrapeError> {
    let (_targets, mut news) = watch::channel(vec![target]);
    news.mark_changed();
    let (sender, mut scraped) = mpsc::channel(1);
    tokio::select! {
        () = run(news, sender, Names::of_system(), 0) => unreachable!("the targets' sender lives"),
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
    for server in [Server::Answers(typed.into()), Server::Answers(until_close.into()), Server::RefusesToNarrow] {
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
        assert_eq!(outcome_of(Server::Answers(answer.into())).await, Err(expected));
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
        let outcome = outcome_of(Server::Answers(answer.clone().into())).await;
        assert!(matches!(outcome, Err(ScrapeError::Http(_))), "{outcome:?} for {}", &answer[..20.min(answer.len())]);
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
        target(1, format!("http://{}/a", start(Server::Answers(response("200 OK", "", BODY).into())).await), INTERVAL);
    let silent = target(2, format!("http://{}/b", start(Server::Silent).await), INTERVAL);
    let (targets, news) = watch::channel(Vec::new());
    let (sender, mut scraped) = mpsc::channel(16);
    tokio::spawn(run(news, sender, Names::of_system(), 0));
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
    let address = start(Server::Answers(response("200 OK", "", BODY).into())).await;
    let (sender, mut scraped) = mpsc::channel(1);
    let (probes, mut probed) = mpsc::channel(1);
    let scraper = Scraper::start(sender, probes, 0).expect("a thread");
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
