//! Other people's programs: dig and named-checkzone of BIND, Prometheus node_exporter. `tests/run` installs them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use support::client::{Client, get, wait_for};
use support::daemon::{SERVER, Served};
use support::installation::Installation;
use support::query::Query;
use thalweg::config::embedded_presets;
use thalweg::load;
use thalweg::load::rate::between;
use thalweg::steer::NodeReason;
use thalweg::wire::RecordType;

mod support;

const ZONE: &str = "zones/live.example.zone";
const PLACES: &str = "
[service.\"play.live.example\"]
answers = 1
[place.fra]
at = [50.1, 8.7]
[place.nyc]
at = [40.7, -74.0]
[place.sin]
at = [1.35, 103.8]
";
const CLIENT: &str = "84.128.0.1";

/// The zone that is shipped, and a node at each of three places.
fn shipped(more: &str) -> Installation {
    let zone = fs::read_to_string(root().join(ZONE)).unwrap();
    let config = format!("{SERVER}{PLACES}{more}");
    Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone.as_str())])
}

fn three_places() -> Installation {
    shipped(
        "[node.fra1]\nplace = \"fra\"\naddresses = [\"198.51.100.10\"]\n\
         [node.nyc1]\nplace = \"nyc\"\naddresses = [\"203.0.113.10\"]\n\
         [node.sin1]\nplace = \"sin\"\naddresses = [\"192.0.2.10\"]\n",
    )
}

/// A node whose load is read at this URL, and one whose load nobody reads.
fn scraped(url: &str, interval: &str) -> Installation {
    shipped(&format!(
        "[node.fra1]\nplace = \"fra\"\naddresses = [\"198.51.100.10\"]\ninterval = \"{interval}\"\nexporters.node = \"{url}\"\n\
         [node.nyc1]\nplace = \"nyc\"\naddresses = [\"203.0.113.10\"]\n"
    ))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed (tests/run installs it): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn dig(server: SocketAddr, arguments: &str) -> String {
    let port = server.port().to_string();
    let fixed = ["@127.0.0.1", "-p", &port, "+norecurse", "+tries=1", "+timeout=10"];
    let arguments: Vec<&str> = fixed.into_iter().chain(arguments.split(' ')).collect();
    let text = run("dig", &arguments);
    assert!(!text.contains("WARNING") && !text.contains("Warning"), "{text}");
    text
}

#[test]
fn dig_gets_static_names_wildcards_and_nxdomain_over_udp_and_tcp() {
    let served = Served::start(&three_places());
    for way in ["+notcp", "+tcp"] {
        let short = |name: &str| dig(served.dns(), &format!("{way} +short {name}"));
        assert_eq!(short("www.live.example A"), "live.example.\n192.0.2.80\n");
        assert_eq!(short("any.thing.customers.live.example AAAA"), "2001:db8::81\n");
        assert_eq!(short("live.example MX"), "10 mail.live.example.\n20 mail.backup.example.\n");
        let key = short("mail._domainkey.live.example TXT");
        assert!(key.starts_with("\"v=DKIM1; k=rsa; \" \"p=MIIB") && key.len() > 300, "{key}");
        let none = dig(served.dns(), &format!("{way} none.live.example A"));
        for part in
            ["status: NXDOMAIN", "flags: qr aa;", "\nlive.example.\t\t300\tIN\tSOA\t", "ANSWER: 0, AUTHORITY: 1"]
        {
            assert!(none.contains(part), "{part} is missing in\n{none}");
        }
        let transport = if way == "+tcp" { "(TCP)" } else { "(UDP)" };
        assert!(none.contains(transport), "{none}");
    }
}

#[test]
fn dig_gets_the_node_of_the_clients_country() {
    let served = Served::start(&three_places());
    // Germany, Brazil, Japan.
    for (subnet, node) in
        [("84.128.0.0/24", "198.51.100.10"), ("177.32.0.0/24", "203.0.113.10"), ("126.0.0.0/24", "192.0.2.10")]
    {
        for way in ["+notcp", "+tcp"] {
            let text = dig(served.dns(), &format!("{way} +subnet={subnet} play.live.example A"));
            assert!(text.contains(&format!("IN\tA\t{node}\n")), "{node} is missing in\n{text}");
            assert!(text.contains(&format!("CLIENT-SUBNET: {subnet}/24\n")), "{text}");
        }
    }
    let unlocated = dig(served.dns(), "+subnet=0 play.live.example A");
    assert!(unlocated.contains("CLIENT-SUBNET: 0.0.0.0/0/0\n") && unlocated.contains("status: NOERROR"), "{unlocated}");
}

#[test]
fn dig_gets_the_options_of_edns_that_it_asks_for() {
    let zone =
        "$TTL 1h\n@ SOA ns1 host 7 1h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nbig TXT ( LONG )\nbig TXT ( MORE )\n";
    let zone =
        zone.replace("LONG", &"\"0123456789abcdef\" ".repeat(15)).replace("MORE", &"\"fedcba9876543210\" ".repeat(15));
    let config = SERVER.replace("[server]", "[server]\nidentity = \"ns1\"\nversion = \"of today\"\nnsid = \"ns1.fra\"");
    let installation =
        Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", zone.as_str())]);
    let served = Served::start(&installation);
    for (arguments, expected) in [
        ("+nsid ns1.live.example A", "; NSID: 6e 73 31 2e 66 72 61 (\"ns1.fra\")"),
        ("+cookie=0102030405060708 ns1.live.example A", "; COOKIE: 010203040506070801000000"),
        ("+cookie ns1.live.example A", " (good)"),
        ("+expire live.example SOA", "; EXPIRE: 1209600 ("),
        ("+tcp +keepalive ns1.live.example A", "; TCP KEEPALIVE: 10.0 secs"),
        ("+cookie=0102030405060708 +header-only", "QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1"),
        ("+bufsize=512 +ignore big.live.example TXT", "flags: qr aa tc;"),
        ("+bufsize=512 +ignore big.live.example TXT", "ADDITIONAL: 1"),
        ("+noedns +ignore big.live.example TXT", "flags: qr aa tc;"),
        ("+bufsize=1232 +ignore big.live.example TXT", "ANSWER: 2"),
        ("+bufsize=512 big.live.example TXT", "ANSWER: 2"),
        ("version.bind CH TXT", "version.bind.\t\t0\tCH\tTXT\t\"of today\""),
        ("id.server CH TXT", "id.server.\t\t0\tCH\tTXT\t\"ns1\""),
        ("+noednsneg +edns=100 ns1.live.example A", "status: BADVERS"),
        ("+ednsopt=65001:abcd ns1.live.example A", "status: NOERROR"),
        ("+ednsflags=0x7fff ns1.live.example A", "; EDNS: version: 0, flags:; udp: 1232"),
        ("nS1.LiVe.eXaMpLe A", ";nS1.LiVe.eXaMpLe.\t\tIN\tA"),
        ("nS1.LiVe.eXaMpLe A", "nS1.LiVe.eXaMpLe.\t3600\tIN\tA\t192.0.2.53"),
        ("+opcode=STATUS ns1.live.example A", "opcode: STATUS, status: NOTIMP"),
        ("elsewhere.example A", "; EDE: 20 (Not Authoritative)"),
    ] {
        let found = dig(served.dns(), arguments);
        assert!(found.contains(expected), "dig {arguments}: {expected} is missing in\n{found}");
    }
}

#[test]
fn dig_is_told_who_it_is() {
    let config = format!(
        "{}{PLACES}[node.fra1]\nplace = \"fra\"\naddresses = [\"198.51.100.10\"]\n",
        SERVER.replace("[server]", "[server]\nwhoami = \"whoami.live.example\"")
    );
    let zone = fs::read_to_string(root().join(ZONE)).unwrap();
    let installation = Installation::new([("thalweg.toml", config.as_str()), (ZONE, zone.as_str())]);
    let served = Served::start(&installation);
    for (way, transport) in [("+notcp", "udp"), ("+tcp", "tcp")] {
        let told = dig(served.dns(), &format!("{way} +subnet=84.128.0.0/24 whoami.live.example TXT"));
        let answer = format!(
            "whoami.live.example.\t0\tIN\tTXT\t\"resolver=127.0.0.1\" \"transport={transport}\" \"subnet=84.128.0.0/24\" \
             \"matched=84.128.0.0/10\" \"region=DE\" \"generation=1\" \"play.live.example=fra1\"\n"
        );
        assert!(told.contains(&answer) && told.contains("CLIENT-SUBNET: 84.128.0.0/24/24\n"), "{told}");
    }
    let size =
        |text: &str| text.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: ")?.parse::<usize>().ok());
    let told = dig(served.dns(), "+nsid +cookie whoami.live.example TXT");
    assert!(size(&told).is_some_and(|size| size <= 512), "{told}");
}

#[test]
fn named_checkzone_accepts_every_shipped_zone() {
    let zones = fs::read_dir(root().join("zones")).unwrap().map(|entry| entry.unwrap().path());
    let mut checked = 0;
    for path in zones.filter(|path| path.extension().is_some_and(|extension| extension == "zone")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap();
        let said = run("named-checkzone", &["-i", "local", name, path.to_str().unwrap()]);
        assert!(said.trim_end().ends_with("OK"), "{said}");
        checked += 1;
    }
    assert!(checked > 0);
}

/// A node_exporter, which ends with the test.
struct Exporter {
    process: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start() -> Self {
        let mut process = Command::new("prometheus-node-exporter")
            .args(["--web.listen-address=127.0.0.11:0", "--log.format=logfmt"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus-node-exporter is needed (tests/run installs it): {error}"));
        let mut log = BufReader::new(process.stderr.take().unwrap());
        // Its log is the only place where it says which port it got.
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the exporter ended");
            let found = line.split("127.0.0.11:").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit));
            match found.and_then(|digits| digits.collect::<String>().parse::<u16>().ok()) {
                Some(port) if port > 0 => break SocketAddr::from(([127, 0, 0, 11], port)),
                _ => {}
            }
        };
        // Read on, or it stands still when the pipe is full.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { process, address }
    }

    fn counters(&self) -> (String, Instant) {
        (get(self.address, "/metrics"), Instant::now())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have been ended already.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The sums of `node_cpu_seconds_total`, idle or waiting for I/O, and all, as one would add them up by hand.
fn cpu_seconds(body: &str) -> (f64, f64) {
    let (mut idle, mut all) = (0.0, 0.0);
    for line in body.lines().filter(|line| line.starts_with("node_cpu_seconds_total{")) {
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        all += value;
        if line.contains("mode=\"idle\"") || line.contains("mode=\"iowait\"") {
            idle += value;
        }
    }
    (idle, all)
}

fn node(served: &Served) -> NodeReason {
    served.explain_node("play.live.example", CLIENT, "fra1")
}

fn cpu_of(reason: &NodeReason) -> Option<f64> {
    reason.uses.iter().find(|each| each.resource == "cpu").map(|each| each.share)
}

#[test]
fn a_real_node_exporter_is_read_and_goes_stale_when_it_stops() {
    let mut exporter = Exporter::start();
    let (first, first_at) = exporter.counters();
    let served = Served::start(&scraped(&format!("http://{}/metrics", exporter.address), "500ms"));
    let fresh = wait_for("a fresh reading", || {
        let reason = node(&served);
        reason.pressure.is_some().then_some(reason)
    });
    assert!(cpu_of(&fresh).is_some_and(|share| (0.0..=1.0).contains(&share)), "{fresh:?}");
    assert!(fresh.age.is_some_and(|age| age < 5.0) && !fresh.because.contains("stale"), "{fresh:?}");

    // What the program makes of two bodies is what a hand with a calculator makes of them.
    let (second, second_at) = exporter.counters();
    let counters = |body: &str| load::read(&embedded_presets()["node"], body.as_bytes()).unwrap();
    let elapsed = second_at.duration_since(first_at).as_secs_f64();
    let ours =
        between(&embedded_presets()["node"], &counters(&first), &counters(&second), elapsed).unwrap().cpu.unwrap();
    let ((idle_before, all_before), (idle_after, all_after)) = (cpu_seconds(&first), cpu_seconds(&second));
    let by_hand = 1.0 - (idle_after - idle_before) / (all_after - all_before);
    // Sums of hundredths of seconds in another order; counters of idle time may fall by hundredths.
    assert!((ours - by_hand).abs() < 0.01, "{ours} is not {by_hand}");

    exporter.process.kill().unwrap();
    exporter.process.wait().unwrap();
    let client = Client::new(served.dns());
    let stale = wait_for("a stale reading", || {
        assert_eq!(client.ask(&Query::new("play.live.example.", RecordType::A)).lines[0], "NOERROR qr aa");
        let reason = node(&served);
        reason.because.contains("stale").then_some(reason)
    });
    assert!(stale.because.contains("no connection"), "{}", stale.because);
    assert_eq!(stale.pressure.is_some(), fresh.pressure.is_some(), "what was last known is still shown");
}

#[test]
fn an_exporter_that_never_answers_delays_no_answer_and_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = Served::start(&scraped(&format!("http://{}/metrics", listener.local_addr().unwrap()), "10s"));
    let client = Client::new(served.dns());
    let (mut connection, _) = listener.accept().unwrap();
    let mut request = [0; 4];
    connection.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"GET ");
    // The scrape hangs from here on, until it is given up after 4 s.
    let reply = client.ask(&Query::new("play.live.example.", RecordType::A));
    assert_eq!(reply.lines[0], "NOERROR qr aa");
    connection.set_nonblocking(true).unwrap();
    let rest = connection.read_to_end(&mut Vec::new());
    assert_eq!(rest.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "the answer waited for the scrape");
    let reason = wait_for("its trouble", || {
        let reason = node(&served);
        reason.because.contains("no whole answer within").then_some(reason)
    });
    assert!(reason.because.contains("its load was never read"), "{}", reason.because);
    assert_eq!(reason.pressure, None);
}
