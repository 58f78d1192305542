//! Servers that answer queries as Prometheus and its relatives do, and what is made of their answers.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::embedded_presets;
use crate::load::counters::Counters;

/// One series: metric, label, job, value; of `up` the value is the time of the last scrape.
type Told = (&'static str, &'static str, &'static str, f64);

/// What a server does.
struct Stub {
    /// The last samples, as they are now.
    series: Mutex<Vec<Told>>,
    /// How long it takes for an answer.
    delay: Mutex<Duration>,
    /// Of whatever is asked without `nocache=1`, the answer is of half a minute ago: there was nothing.
    is_victoria: bool,
    /// Queries for this metric are too much for it.
    refuses: Option<&'static str>,
}

impl Stub {
    fn of(series: &[Told]) -> Self {
        Self { series: Mutex::new(series.to_vec()), delay: Mutex::default(), is_victoria: false, refuses: None }
    }

    async fn start(self) -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let stub = Arc::new(self);
        let shared = Arc::clone(&stub);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        (address, stub)
    }

    fn reply(&self, form: &str) -> Value {
        let value = |key: &str| form.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let query = value("query").expect("a query").replace("%28", "(").replace("%7B", "{");
        let now = value("time").map_or_else(unix, |time| time.parse().expect("a time"));
        if self.refuses.is_some_and(|metric| query.contains(metric)) {
            return json!({"status": "error", "error": "too many samples"});
        }
        let is_late = self.is_victoria && value("nocache") != Some("1");
        let asked = query.split(['(', '{']).filter(|word| !word.is_empty());
        let asked: Vec<&str> = asked.collect();
        let series = self.series.lock().expect("no panic");
        let taken = series.iter().filter(|(metric, ..)| !is_late && asked.contains(metric));
        let result: Vec<Value> = taken
            .map(|(_, instance, job, value)| {
                json!({"metric": {"instance": instance, "job": job}, "value": [now, value.to_string()]})
            })
            .collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}})
    }
}

async fn answer(mut stream: TcpStream, stub: Arc<Stub>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut form = vec![0; length.expect("a length")];
        stream.read_exact(&mut form).await?;
        let delay = *stub.delay.lock().expect("no panic");
        tokio::time::sleep(delay).await;
        let body = stub.reply(&String::from_utf8_lossy(&form)).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn unix() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64()
}

fn wanted(preset: &str) -> Wanted {
    Wanted {
        node: NodeId(0),
        exporter: Exporter {
            preset: Arc::clone(&embedded_presets()[preset]),
            url: "prometheus".to_owned(),
            access: Arc::default(),
        },
        instance: None,
        name: "fra1".to_owned(),
        addresses: Vec::new(),
    }
}

fn asked(server: SocketAddr) -> Query {
    Query {
        url: format!("http://{server}"),
        credentials: None,
        label: "instance".to_owned(),
        filter: String::new(),
        interval: Duration::from_secs(15),
    }
}

/// A round, of this server and within this time.
async fn round(server: SocketAddr, nodes: &[Wanted], limit: Duration) -> (Query, Result<Round, ScrapeError>) {
    let query = asked(server);
    let credentials = Credentials::default();
    let client = Clients::new(AT_ONCE, Names::of_system()).of(&credentials);
    let server =
        Server { client: &client, credentials: &credentials, query: &query, deadline: Instant::now() + limit, limit };
    let outcome = server.ask(nodes).await;
    (query, outcome)
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn tell(teller: &mut Teller, server: SocketAddr, nodes: &[Wanted]) -> Vec<Scraped> {
    let (query, outcome) = round(server, nodes, PATIENCE).await;
    teller.tell(outcome, &query, nodes)
}

fn only(mut news: Vec<Scraped>) -> Result<Counters, ScrapeError> {
    assert_eq!(news.len(), 1);
    news.remove(0).result
}

#[tokio::test]
async fn victoria_metrics_is_asked_for_now() {
    let series = [("up", "fra1:9121", "redis", unix()), ("redis_connected_clients", "fra1:9121", "redis", 7.0)];
    let stub = Stub { is_victoria: true, ..Stub::of(&series) };
    let (address, _stub) = stub.start().await;
    let counters = only(tell(&mut Teller::default(), address, &[wanted("redis")]).await);
    assert!(counters.is_ok(), "{counters:?}");
}

#[tokio::test]
async fn one_metric_that_fails_fails_the_presets_that_need_it() {
    let now = unix();
    let series = [
        ("up", "fra1:9121", "redis", now),
        ("up", "fra1:9972", "srs", now),
        ("redis_connected_clients", "fra1:9121", "redis", 7.0),
        ("srs_clients", "fra1:9972", "srs", 3.0),
    ];
    let stub = Stub { refuses: Some("redis_net_output_bytes_total"), ..Stub::of(&series) };
    let (address, _stub) = stub.start().await;
    let news = tell(&mut Teller::default(), address, &[wanted("redis"), wanted("srs")]).await;
    let failed = news[0].result.as_ref().expect_err("its egress is missing").to_string();
    assert!(failed.contains("too many samples"), "{failed}");
    assert!(news[1].result.is_ok(), "{:?}", news[1].result);
}

#[tokio::test]
async fn queries_go_side_by_side() {
    let series = [("up", "fra1:9121", "redis", unix()), ("redis_connected_clients", "fra1:9121", "redis", 7.0)];
    let (address, stub) = Stub::of(&series).start().await;
    let nodes = [wanted("redis"), wanted("srs"), wanted("node")];
    let count = metrics(&nodes).len() as u32;
    assert!(count > 20);
    let delay = Duration::from_millis(300);
    *stub.delay.lock().expect("no panic") = delay;
    // One after the other they would take twice as long, and the times of scrapes go before.
    let (_, outcome) = round(address, &nodes, delay * (count / 2)).await;
    let Round { replies, .. } = outcome.expect("a round");
    let target = replies.targets().next().expect("a target");
    for node in &nodes {
        let found = replies.counters(&node.exporter.preset, &[target], None);
        assert!(!matches!(found, Err(ScrapeError::Timeout(_))), "{found:?}");
    }
}

#[tokio::test]
async fn a_scrape_is_told_once_and_a_slow_answer_does_not_move_it() {
    let now = unix();
    let series = |at, octets| {
        vec![
            ("up", "fra1:9121", "redis", at),
            ("redis_net_output_bytes_total", "fra1:9121", "redis", octets),
            ("redis_connected_clients", "fra1:9121", "redis", 7.0),
        ]
    };
    let (address, stub) = Stub::of(&series(now - 20.0, 1e6)).start().await;
    let (mut teller, nodes) = (Teller::default(), [wanted("redis")]);
    let first = tell(&mut teller, address, &nodes).await;
    assert_eq!(first.len(), 1);
    *stub.delay.lock().expect("no panic") = Duration::from_millis(300);
    assert_eq!(tell(&mut teller, address, &nodes).await.len(), 0, "the same scrape, and by the delay at another time");
    *stub.series.lock().expect("no panic") = series(now - 5.0, 2e6);
    let second = tell(&mut teller, address, &nodes).await;
    let apart = second[0].at.duration_since(first[0].at).as_secs_f64();
    assert!((apart - 15.0).abs() < 0.1, "{apart} s");
    *stub.series.lock().expect("no panic") = series(now - 12.0, 1.5e6);
    assert_eq!(tell(&mut teller, address, &nodes).await.len(), 0, "its clock was set back: it tells of before");
}

#[tokio::test]
async fn of_several_exporters_of_a_machine_the_one_with_most_of_the_metrics_is_read() {
    let now = unix();
    let series = |newest: &'static str, ago: f64| {
        let at = |label| now - ago - if label == newest { 0.0 } else { 1.0 };
        let started = "process_start_time_seconds";
        vec![
            ("up", "fra1:6789", "livekit", at("fra1:6789")),
            ("up", "fra1:9100", "node", at("fra1:9100")),
            ("livekit_participant_total", "fra1:6789", "livekit", 5.0),
            ("process_cpu_seconds_total", "fra1:6789", "livekit", 900.0),
            (started, "fra1:6789", "livekit", 1000.0),
            ("process_cpu_seconds_total", "fra1:9100", "node", 3.0),
            (started, "fra1:9100", "node", 2000.0),
        ]
    };
    let (address, stub) = Stub::of(&series("fra1:6789", 10.0)).start().await;
    let (mut teller, nodes) = (Teller::default(), [wanted("livekit")]);
    let first = only(tell(&mut teller, address, &nodes).await).expect("counters");
    *stub.series.lock().expect("no panic") = series("fra1:9100", 5.0);
    let second = only(tell(&mut teller, address, &nodes).await).expect("counters");
    assert_eq!((first.runs.values().copied().collect::<Vec<_>>(), &first.runs), (vec![1000.0], &second.runs));
    // Down, it is not replaced by what another exporter tells of itself.
    *stub.series.lock().expect("no panic") =
        series("fra1:9100", 0.0).into_iter().filter(|each| each.2 == "node").collect();
    let down = only(tell(&mut teller, address, &nodes).await).expect_err("no counters").to_string();
    assert!(down.contains("`fra1:6789`"), "{down}");
    *stub.series.lock().expect("no panic") = series("fra1:9100", 0.0);
    // A preset that several fit goes on with the one that it has begun with.
    let (mut teller, nodes) = (Teller::default(), [wanted("process")]);
    let first = only(tell(&mut teller, address, &nodes).await).expect("counters");
    stub.series.lock().expect("no panic").insert(0, ("up", "fra1:1", "other", now));
    stub.series.lock().expect("no panic").insert(0, ("process_cpu_seconds_total", "fra1:1", "other", 1.0));
    stub.series.lock().expect("no panic").insert(0, ("process_start_time_seconds", "fra1:1", "other", 3000.0));
    assert!(tell(&mut teller, address, &nodes).await.is_empty(), "no news of {first:?}");
}

#[tokio::test]
async fn a_target_without_the_metrics_is_another_trouble_than_none() {
    let (address, stub) = Stub::of(&[("up", "fra1:9100", "node", unix())]).start().await;
    let nodes = [wanted("srs")];
    let there = only(tell(&mut Teller::default(), address, &nodes).await).expect_err("nothing").to_string();
    assert!(there.contains("srs_clients") && there.contains("`fra1:9100`"), "{there}");
    *stub.series.lock().expect("no panic") = vec![("up", "fra2:9100", "node", unix())];
    let none = only(tell(&mut Teller::default(), address, &nodes).await).expect_err("nothing").to_string();
    assert!(none.contains("no target"), "{none}");
}

#[test]
fn each_of_two_thousand_nodes_is_told_its_own() {
    const NODES: usize = 2_000;
    let series = |node: usize, labels: &[(&str, &str)], value: f64| {
        let own = [("instance", format!("node{node}:9100")), ("job", "node".to_owned())];
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let metric = own.into_iter().chain(labels).map(|(key, value)| (key.to_owned(), value)).collect();
        Series { metric, value: (1e9, value.to_string()) }
    };
    let times: Vec<Series> = (0..NODES).map(|node| series(node, &[], 1e9 - 5.0)).collect();
    let mut replies = Replies::new("instance", &times);
    let modes = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
    let cpu = (0..NODES).flat_map(|node| modes.map(|mode| series(node, &[("mode", mode)], node as f64)));
    replies.take("node_cpu_seconds_total", Ok(cpu.collect()));
    let devices = ["eth0", "eth1", "bond0"];
    let sent = (0..NODES).flat_map(|node| devices.map(|device| series(node, &[("device", device)], 1e6)));
    replies.take("node_network_transmit_bytes_total", Ok(sent.collect()));
    let now = Instant::now();
    let outcome = Round { replies, evaluated: 1e9, sent: now, received: now, warnings: Vec::new() };
    let nodes: Vec<Wanted> = (0..NODES)
        .map(|node| Wanted { name: format!("node{node}"), node: NodeId(node as u16), ..wanted("node") })
        .collect();
    let news = Teller::default().tell(Ok(outcome), &asked("127.0.0.1:9".parse().expect("an address")), &nodes);
    assert_eq!(news.len(), NODES);
    for (node, scraped) in news.into_iter().enumerate() {
        let counters = scraped.result.expect("counters");
        let idle: f64 = counters.rules[0].values().map(|group| group.value).sum();
        assert_eq!((scraped.node, idle), (NodeId(node as u16), 2.0 * node as f64));
    }
}
