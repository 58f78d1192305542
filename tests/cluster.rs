//! Several nameservers of one installation: what they tell each other, and what they agree on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use socket2::{Domain, Socket, Type};
use support::client::{Client, PATIENCE, wait_for};
use support::daemon::Served;
use support::installation::Installation;
use support::query::Query;
use thalweg::wire::RecordType;

mod support;

#[path = "cluster/crowd.rs"]
mod crowd;
#[path = "cluster/partition.rs"]
mod partition;

const ZONE: &str = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
const TOKEN: &str = "0123456789abcdef-the-token";
const NODES: &str = "[region.dach]\nnetworks = [\"84.128.0.0/16\"]\nnear = [\"fra\"]\n[service.\"play.live.example\"]\nanswers = 1\n[place.fra]\nat = [50.1, 8.7]\n[place.nyc]\nat = [40.7, -74]\n\
                     [node.fra1]\nplace = \"fra\"\naddresses = [\"198.51.100.1\"]\n\
                     [node.nyc1]\nplace = \"nyc\"\naddresses = [\"198.51.100.2\"]\n";

/// Nameservers that know of each other, not started yet.
struct Cluster {
    installations: Vec<Installation>,
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    /// So many, with the same nodes; `extra` is written into each `[cluster]`.
    fn new(count: usize, nodes: &str, extra: &str) -> Self {
        let addresses = free_addresses(count);
        let installation = |address: &SocketAddr| {
            let peers: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
            let config = format!(
                "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\nidentity = \"ns\"\n\
                 [geoip]\ndatabases = [{:?}]\n[cluster]\nlisten = \"{address}\"\npeers = [{}]\n{extra}\n{nodes}",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/geoip/flat.mmdb"),
                peers.join(", ")
            );
            let files = [("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)];
            let installation = Installation::new(files);
            write_secret(&installation, TOKEN);
            installation
        };
        Self { installations: addresses.iter().map(installation).collect(), addresses }
    }

    fn start(&self, index: usize) -> Served {
        Served::start(&self.installations[index])
    }

    fn start_all(&self) -> Vec<Served> {
        let served: Vec<Served> = (0..self.installations.len()).map(|index| self.start(index)).collect();
        wait_for("the nameservers to hear each other", || self.all_up(&served).then_some(()));
        served
    }

    fn all_up(&self, served: &[Served]) -> bool {
        served.iter().all(|one| metric(one, "thalweg_peer_up{") == (served.len() - 1) as f64)
    }

    /// What the program says to one of them: exit status, output and errors.
    fn run(&self, index: usize, served: &Served, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(arguments)
            .arg("--config")
            .arg(self.installations[index].config())
            .env_clear()
            .env("USER", "karl")
            .env("THALWEG_SERVER__ADMIN", served.admin().to_string())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|octets| String::from_utf8(octets).unwrap()).concat();
        assert!(!text.contains("panicked"), "{text}");
        (output.status.code(), text)
    }
}

/// Ports that nobody has now, each on an address of its own so that hardly anybody takes one meanwhile.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let id = std::process::id();
    let of = |index: usize| {
        let address = [127, 100 + (id >> 8) as u8 % 100, id as u8, index as u8 + 1];
        TcpListener::bind((std::net::Ipv4Addr::from(address), 0)).unwrap().local_addr().unwrap()
    };
    (0..count).map(of).collect()
}

fn write_secret(installation: &Installation, token: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = installation.path("peer.token");
    std::fs::write(&path, format!("{token}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The sum of a metric's lines.
fn metric(served: &Served, beginning: &str) -> f64 {
    let page = served.metrics();
    let lines = page.lines().filter(|line| line.starts_with(beginning));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// The address that a German client is told.
fn answer(served: &Served) -> String {
    let query = Query::new("play.live.example.", RecordType::A).with_subnet("84.128.0.0/24".parse().unwrap());
    let reply = Client::new(served.dns()).ask(&query);
    let answer = reply.lines.iter().find(|line| line.starts_with("answer: ")).unwrap();
    answer.rsplit_once(' ').unwrap().1.to_owned()
}

/// Says something to a cluster's listener and returns the status line.
fn say(address: SocketAddr, token: Option<&str>, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let length = body.len();
    let message = format!(
        "POST /v1/peer HTTP/1.1\r\nhost: a\r\n{token}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    // The listener may have heard enough before the end.
    let _cut = stream.write_all(message.as_bytes());
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().unwrap_or_default().to_owned() + answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn an_order_given_to_one_nameserver_is_followed_by_all_and_lifted_by_any() {
    let cluster = Cluster::new(3, NODES, "token_file = \"peer.token\"");
    let served = cluster.start_all();
    for one in &served {
        assert_eq!(answer(one), "198.51.100.1");
    }
    let (status, text) = cluster.run(0, &served[0], &["drain", "fra1", "--reason", "kernel", "--for", "2h"]);
    let [a, b, c] = cluster.addresses[..] else { panic!() };
    assert!(status == Some(0) && text.contains(&format!("applied at {a}, {b}, {c}\n")), "{status:?} {text}");
    for (index, one) in served.iter().enumerate() {
        assert_eq!(answer(one), "198.51.100.2");
        let (_, listed) = cluster.run(index, one, &["overrides"]);
        assert!(listed.contains("drain fra1") && listed.contains("karl") && listed.contains("kernel"), "{listed}");
    }
    // By its number, which is the same everywhere.
    let order = served[0].snapshot().tables.orders[0].clone();
    let (status, text) = cluster.run(2, &served[2], &["lift", &order.id.to_string()]);
    assert!(status == Some(0) && text.contains("lifted: drain fra1"), "{text}");
    for one in &served {
        assert!(one.snapshot().tables.orders.is_empty());
    }
}

#[test]
fn a_nameserver_that_was_away_takes_over_what_was_ordered_and_lifted_meanwhile() {
    let cluster = Cluster::new(3, NODES, "token_file = \"peer.token\"");
    let mut served = cluster.start_all();
    let (status, text) = cluster.run(0, &served[0], &["weight", "nyc1", "0.5", "--reason", "a test"]);
    assert_eq!(status, Some(0), "{text}");
    drop(served.pop());
    let (status, text) = cluster.run(0, &served[0], &["drain", "fra1", "--reason", "kernel"]);
    let [a, b, c] = cluster.addresses[..] else { panic!() };
    let told = format!("applied at {a}, {b}; not at {c}: no connection");
    assert!(status == Some(1) && text.contains(&told), "{status:?} {text}");
    let pending = || metric(&served[0], &format!("thalweg_peer_orders_pending{{peer=\"{c}\"}}"));
    assert_eq!(pending(), 1.0);
    // One more that the away one never hears of while it stands.
    let (_, text) = cluster.run(1, &served[1], &["freeze", "--reason", "match"]);
    assert!(text.contains("freeze"), "{text}");
    let (status, text) = cluster.run(1, &served[1], &["lift", "all"]);
    assert!(status == Some(1) && text.contains("lifted: drain fra1"), "{text}");
    let (status, text) = cluster.run(1, &served[1], &["drain", "fra1", "--reason", "again"]);
    assert!(status == Some(1), "{text}");

    let back = cluster.start(2);
    wait_for("the order at the one that is back", || (answer(&back) == "198.51.100.2").then_some(()));
    let standing: Vec<String> = back.snapshot().tables.orders.iter().map(|order| order.reason.clone()).collect();
    assert_eq!(standing, ["again"]);
    wait_for("nothing more to tell", || (pending() == 0.0).then_some(()));
}

#[test]
fn what_was_lifted_while_a_nameserver_was_away_stays_lifted_when_all_have_been_restarted() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    for installation in &cluster.installations {
        let config = std::fs::read_to_string(installation.config()).unwrap();
        installation.write("thalweg.toml", &config.replacen("[server]\n", "[server]\nstate = \"state\"\n", 1));
    }
    let mut served = cluster.start_all();
    let (status, text) = cluster.run(0, &served[0], &["drain", "fra1", "--reason", "kernel"]);
    assert_eq!(status, Some(0), "{text}");
    wait_for("the order on the other's disk", || {
        std::fs::read_to_string(cluster.installations[1].path("state/orders"))
            .ok()
            .filter(|kept| kept.contains("kernel"))
    });
    drop(served.pop());
    let (status, text) = cluster.run(0, &served[0], &["undrain", "fra1"]);
    assert!(status == Some(1) && text.contains("lifted: drain fra1"), "{text}");
    drop(served.pop());

    let back = cluster.start(1);
    assert_eq!(answer(&back), "198.51.100.2", "it has not heard of the end");
    let served = [cluster.start(0), back];
    wait_for("the end at the one that was away", || served[1].snapshot().tables.orders.is_empty().then_some(()));
    let pending = || served.iter().map(|one| metric(one, "thalweg_peer_orders_pending")).sum::<f64>();
    wait_for("nothing more to tell", || (cluster.all_up(&served) && pending() == 0.0).then_some(()));
    assert!(served.iter().all(|one| one.snapshot().tables.orders.is_empty()));
}

#[test]
fn whoever_has_another_token_is_neither_heard_nor_told() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    write_secret(&cluster.installations[1], "another-token-of-somebody");
    let served = [cluster.start(0), cluster.start(1)];
    let [a, b] = cluster.addresses[..] else { panic!() };
    let (status, text) = cluster.run(0, &served[0], &["drain", "fra1", "--reason", "kernel"]);
    let told = format!("applied at {a}; not at {b}: the token is another one here");
    assert!(status == Some(1) && text.contains(&told), "{text}");
    assert_eq!(answer(&served[1]), "198.51.100.1");
    wait_for("the alarm", || {
        served[0]
            .metrics()
            .contains(&format!("thalweg_alarm{{alarm=\"peer_refuses\",about=\"{b}\"}} 1.0"))
            .then_some(())
    });
    assert!(metric(&served[1], "thalweg_peer_messages_refused_total{because=\"token\"}") >= 1.0);

    // The file is read again when it changes; the new token comes as a second line first.
    write_secret(&cluster.installations[1], &format!("another-token-of-somebody\n{TOKEN}"));
    served[1].reload().unwrap();
    wait_for("the order at the other", || (answer(&served[1]) == "198.51.100.2").then_some(()));
}

#[test]
fn the_listener_hears_only_nameservers_within_bounds() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let served = cluster.start(0);
    let at = cluster.addresses[0];
    let peer = format!("{{\"protocol\":1,\"server\":5,\"listen\":\"{}\"", cluster.addresses[1]);
    for (token, body, expected) in [
        (None, format!("{peer}}}"), "401"),
        (Some("0123456789abcdef-the-toke"), format!("{peer}}}"), "401"),
        (Some(TOKEN), "{\"protocol\":1,\"server\":5,\"listen\":\"192.0.2.9:8054\"}".to_owned(), "403"),
        (Some(TOKEN), "rubbish".to_owned(), "400"),
        (Some(TOKEN), format!("{peer},\"padding\":\"{}\"}}", "x".repeat(5 << 20)), "413"),
        (Some(TOKEN), format!("{peer}}}"), "200"),
    ] {
        let said = say(at, token, &body);
        assert!(said.starts_with(&format!("HTTP/1.1 {expected}")), "{expected}: {said}");
    }
    for because in ["token", "stranger", "unreadable", "too_large"] {
        let name = format!("thalweg_peer_messages_refused_total{{because=\"{because}\"}}");
        assert!(metric(&served, &name) >= 1.0, "{because}: {}", served.metrics());
    }
    assert!(!served.metrics().contains(TOKEN));
}

#[test]
fn whoever_shows_nothing_keeps_no_nameserver_out() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let _served = cluster.start(0);
    let at = cluster.addresses[0];
    let hoard = |from: [u8; 4]| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&at.into()).unwrap();
        TcpStream::from(socket)
    };
    let hoarded: Vec<TcpStream> = (0..100).map(|_| hoard([127, 7, 7, 7])).collect();
    let peer = format!("{{\"protocol\":1,\"server\":5,\"listen\":\"{}\"}}", cluster.addresses[1]);
    let said = say(at, Some(TOKEN), &peer);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // Those that have a place lose it soon, too; the others had none.
    for mut stream in hoarded {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let heard = stream.read(&mut [0; 1]);
        let is_closed = match &heard {
            Ok(octets) => *octets == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(is_closed, "{heard:?}");
    }
}

#[test]
fn a_newer_nameserver_is_understood_and_one_of_another_protocol_is_told_of() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let served = cluster.start(0);
    let [at, peer] = cluster.addresses[..] else { panic!() };
    let drain = "{\"stamp\":{\"time\":5,\"server\":5},\"given\":{\"id\":2005,\"what\":\"drain\",\"node\":\"fra1\",\
                 \"who\":\"anna\",\"reason\":\"disk\",\"since\":5,\"until\":null,\"mood\":\"good\"}}";
    let strange = "{\"stamp\":{\"time\":5,\"server\":5},\"given\":{\"what\":\"teleport\",\"id\":7}}";
    let newer = format!(
        "{{\"protocol\":1,\"server\":5,\"version\":\"99.0\",\"listen\":\"{peer}\",\"colour\":\"blue\",\
         \"decrees\":[{strange},{drain}],\"report\":{{\"flows\":[{{\"node\":\"fra1\",\"taste\":3}}]}}}}"
    );
    let said = say(at, Some(TOKEN), &newer);
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"reason\":\"disk\""), "{said}");
    assert_eq!(answer(&served), "198.51.100.2");
    let other =
        format!("{{\"protocol\":2,\"server\":6,\"version\":\"99.1\",\"listen\":\"{peer}\",\"decrees\":\"none\"}}");
    let said = say(at, Some(TOKEN), &other);
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"protocol\":1"), "{said}");
    wait_for("the alarm", || {
        let alarm = format!("thalweg_alarm{{alarm=\"peer_protocol\",about=\"{peer}\"}} 1.0");
        served.metrics().contains(&alarm).then_some(())
    });
}

#[test]
fn an_order_for_half_an_hour_holds_for_half_an_hour_where_the_clock_is_ahead_by_more() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let served = cluster.start(0);
    let [at, peer] = cluster.addresses[..] else { panic!() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // Its clock is an hour behind.
    let (clock, until) = (now - 3_600, now - 1_800);
    let drain = format!(
        "{{\"stamp\":{{\"time\":{clock}000,\"server\":5}},\"given\":{{\"id\":2005,\"what\":\"drain\",\"node\":\"fra1\",\
         \"who\":\"anna\",\"reason\":\"disk\",\"since\":{clock},\"until\":{until}}}}}"
    );
    let said =
        format!("{{\"protocol\":1,\"server\":5,\"listen\":\"{peer}\",\"clock\":{clock}000,\"decrees\":[{drain}]}}");
    let said = say(at, Some(TOKEN), &said);
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(answer(&served), "198.51.100.2");
    let ends = served.snapshot().tables.orders[0].until.unwrap();
    assert!((now + 1_790..now + 1_830).contains(&ends), "{ends}");
}

#[test]
fn an_order_that_a_nameserver_cannot_follow_is_not_said_to_apply_there() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let other = &cluster.installations[1];
    let config = std::fs::read_to_string(other.config()).unwrap();
    other.write("thalweg.toml", config.split("[node.nyc1]").next().unwrap());
    let served = cluster.start_all();
    let (status, text) = cluster.run(0, &served[0], &["drain", "nyc1", "--reason", "kernel"]);
    let b = cluster.addresses[1];
    let told = format!("not at {b}: `drain nyc1` does nothing there: no node is called `nyc1`");
    assert!(status == Some(1) && text.contains(&told), "{status:?} {text}");
    let (status, text) = cluster.run(0, &served[0], &["weight", "fra1", "0.5", "--reason", "a test"]);
    assert_eq!(status, Some(0), "it is judged by itself: {text}");
    // It has heard of them all the same.
    assert_eq!(served[1].snapshot().tables.orders.len(), 2);
}

#[test]
fn inputs_that_differ_are_told_by_part() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    cluster.installations[1].write("zones/live.example.zone", &format!("{ZONE}www 60 A 192.0.2.80\n"));
    let served = cluster.start_all();
    let differs = |part: &str| {
        metric(&served[0], &format!("thalweg_peer_differs{{peer=\"{}\",part=\"{part}\"}}", cluster.addresses[1]))
    };
    wait_for("the zones to differ", || (differs("zones") == 1.0).then_some(()));
    assert_eq!((differs("configuration"), differs("geography"), differs("nodes")), (0.0, 0.0, 0.0));
    cluster.installations[1].write("zones/live.example.zone", ZONE);
    served[1].reload().unwrap();
    wait_for("the zones to be alike", || (differs("zones") == 0.0).then_some(()));
}

#[test]
fn nameservers_with_one_token_make_the_same_cookies_and_all_make_the_same_hashes() {
    let cluster = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    let served = cluster.start_all();
    let [one, other] = [0, 1].map(|index| served[index].snapshot());
    assert_eq!(one.seed, other.seed);
    assert!(one.cookies == other.cookies);
    let stranger = Cluster::new(2, NODES, "token_file = \"peer.token\"");
    write_secret(&stranger.installations[0], "another-token-of-somebody");
    let stranger = stranger.start(0).snapshot();
    assert!(stranger.cookies != one.cookies);
    assert_eq!(stranger.seed, one.seed, "another token would move every room");
}

#[test]
fn nameservers_with_certificates_of_one_authority_hear_each_other_and_nobody_else() {
    let cluster = Cluster::new(2, NODES, "tls = { certificate = \"peer.pem\", key = \"peer.key\", ca = \"ca.pem\" }");
    let issuer = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, theirs) = (issuer(), issuer());
    let certify = |installation: &Installation, issuer: &CertifiedIssuer<'_, KeyPair>, address: String| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![address]).unwrap();
        installation.write("peer.pem", &params.signed_by(&key, issuer).unwrap().pem());
        installation.write("peer.key", &key.serialize_pem());
    };
    for (installation, address) in cluster.installations.iter().zip(&cluster.addresses) {
        certify(installation, &ours, address.ip().to_string());
        installation.write("ca.pem", &ours.pem());
        let config = std::fs::read_to_string(installation.config()).unwrap();
        installation.write("thalweg.toml", &config.replace("identity", "cookie_secrets = \"secrets\"\nidentity"));
        installation.write("secrets", "000102030405060708090a0b0c0d0e0f\n");
    }
    let mut served = cluster.start_all();
    let (status, text) = cluster.run(0, &served[0], &["drain", "fra1", "--reason", "kernel"]);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(answer(&served[1]), "198.51.100.2");
    let said = say(cluster.addresses[0], None, "{\"protocol\":1}");
    assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
    drop(served.pop());

    for (issuer, address, because) in [
        (&theirs, cluster.addresses[1].ip().to_string(), "not at"),
        // The authority vouches for exporters, too; and for this one that it is the other one.
        (&ours, "192.0.2.77".to_owned(), "the certificate has no address of the peers here"),
    ] {
        certify(&cluster.installations[1], issuer, address);
        let stranger = cluster.start(1);
        let (status, text) = cluster.run(1, &stranger, &["freeze", "--reason", "mischief"]);
        assert!(status == Some(1) && text.contains(because), "{text}");
        assert!(served[0].snapshot().tables.orders.iter().all(|order| order.reason != "mischief"));
    }
}
