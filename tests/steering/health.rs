//! Health end to end: media servers that speak right, wrong or not at all, by pool and address family.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thalweg::load::history::Reading;
use thalweg::pool::{Family, NodeId, PoolId};
use thalweg::steer::Standing;
use thalweg::wire::RecordType;

use super::machine::{Server, answer};
use super::support::client::{Client, page, wait_for};
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;
use super::support::query::Query;

const ZONE: &str = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";
/// One probe is enough to believe it, and what a viewer brings is next to nothing.
const POOLS: &str = "
[service.\"play.live.example\"]
pool = \"edge\"
answers = 2
[service.\"whip.live.example\"]
pool = \"whip\"
answers = 2
[pool.edge]
viewer = { bitrate = \"64kbit/s\", stays = \"24h\" }
[place.fra]
at = [50.1, 8.7]
[defaults.node]
place = \"fra\"
interval = \"500ms\"
rise = 1
fall = 1
";

/// A media server that speaks RTMP, or has no room: then it closes each connection at once, as servers do at their limit.
struct Media {
    server: Server,
    has_room: Arc<AtomicBool>,
}

impl Media {
    fn start(address: SocketAddr) -> Self {
        let has_room = Arc::new(AtomicBool::new(true));
        let lets_in = Arc::clone(&has_room);
        let serve = move |mut stream: TcpStream| {
            let mut hello = [0; 1537];
            // Probes that are given up have their own reasons.
            if lets_in.load(Ordering::SeqCst) && stream.read_exact(&mut hello).is_ok() {
                let _sent = stream.write_all(&[&[3][..], &[5; 1536], &hello[1..]].concat());
                let _read = stream.read_exact(&mut hello[1..]);
            }
        };
        Self { server: Server::start_at(address, serve), has_room }
    }

    /// Two of them, at the same port of these addresses.
    fn pair(addresses: [IpAddr; 2]) -> [Self; 2] {
        wait_for("a port that is free at both", || {
            let port = TcpListener::bind((addresses[0], 0)).unwrap().local_addr().unwrap().port();
            let is_free = addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok());
            is_free.then(|| addresses.map(|address| Self::start((address, port).into())))
        })
    }
}

/// The nodes of an answer.
fn named(client: &Client, name: &str, rtype: RecordType) -> Vec<String> {
    let reply = client.ask(&Query::new(name, rtype));
    let answers = reply.lines.iter().filter(|line| line.starts_with("answer: "));
    let mut named: Vec<String> = answers.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    named.sort_unstable();
    named
}

fn installation(nodes: &str) -> Installation {
    let config = format!("{SERVER}{POOLS}{nodes}");
    Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)])
}

#[test]
fn a_node_is_withdrawn_in_the_family_and_the_pool_where_its_checks_fail_and_nowhere_else() {
    let (v4, v6) = (Ipv4Addr::new(127, 0, 42, 1), Ipv6Addr::LOCALHOST);
    let [mut over_v4, mut over_v6] = Media::pair([v4.into(), v6.into()]);
    let is_up = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&is_up);
    let up = Server::start(v4, move |stream| {
        let status = if told.load(Ordering::SeqCst) { "204 No Content" } else { "200 OK" };
        answer(stream, status, String::new);
    });
    let (rtmp, http) = (over_v4.server.address.port(), up.address.port());
    let installation = installation(&format!(
        "[pool.whip]\ncheck = \"http://{v4}:{http}/up 204\"\n\
         [node.fra1]\naddresses = [\"{v4}\", \"{v6}\"]\ncheck = [\"rtmp:{rtmp}\"]\n\
         [node.fra2]\naddresses = [\"198.51.100.11\", \"2001:db8::11\"]\n"
    ));
    // The check of the pool asks the same for both nodes: nobody is at the addresses of the second.
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    let [both4, both6] = [["127.0.42.1", "198.51.100.11"], ["2001:db8::11", "::1"]];
    let see = |what: &str, name: &str, rtype: RecordType, expected: &[&str]| {
        wait_for(what, || (named(&client, name, rtype) == expected).then_some(()));
    };
    let up_metric = |labels: &str| {
        let line = format!("thalweg_node_up{{{labels}}} ");
        let page = served.metrics();
        page.lines().find_map(|each| each.strip_prefix(&line)).map(str::to_owned).unwrap_or_else(|| panic!("{page}"))
    };
    see("both over IPv4", "play.live.example.", RecordType::A, &both4);
    see("both over IPv6", "play.live.example.", RecordType::AAAA, &both6);

    over_v6.server.stop();
    see("one over IPv6", "play.live.example.", RecordType::AAAA, &both6[..1]);
    assert_eq!(named(&client, "play.live.example.", RecordType::A), both4);
    assert_eq!(up_metric("node=\"fra1\",family=\"ipv6\""), "0.0");
    assert_eq!(up_metric("node=\"fra1\",family=\"ipv4\""), "1.0");
    let told = served.explain_node("play.live.example", "192.0.2.1", "fra1").because;
    assert!(told.contains(&format!("down elsewhere: rtmp:{rtmp} at [::1]:{rtmp} has failed for ")), "{told}");

    over_v6.server.listen();
    over_v4.server.stop();
    see("both over IPv6 again", "play.live.example.", RecordType::AAAA, &both6);
    see("one over IPv4", "play.live.example.", RecordType::A, &both4[1..]);
    let reason = served.explain_node("play.live.example", "192.0.2.1", "fra1");
    assert_eq!(reason.standing, "down");
    let told = format!("down: rtmp:{rtmp} at 127.0.42.1:{rtmp} has failed for ");
    assert!(reason.because.starts_with(&told) && reason.because.contains("no connection"), "{}", reason.because);

    over_v4.server.listen();
    see("both over IPv4 again", "play.live.example.", RecordType::A, &both4);
    is_up.store(false, Ordering::SeqCst);
    // What is the same for all nodes fails for all: the brake lets the first go.
    let left = wait_for("one in the pool", || {
        let left = named(&client, "whip.live.example.", RecordType::A);
        (left.len() == 1).then_some(left)
    });
    let gone = if left == both4[1..] { "fra1" } else { "fra2" };
    assert_eq!(named(&client, "play.live.example.", RecordType::A), both4);
    assert_eq!(up_metric(&format!("node=\"{gone}\",family=\"ipv4\",pool=\"whip\"")), "0.0");
    let told = served.explain_node("whip.live.example", "192.0.2.1", gone).because;
    assert!(told.contains("a check of pool whip, has failed") && told.contains("status 200, not 204"), "{told}");
}

#[test]
fn a_server_at_its_client_limit_that_stops_answering_probes_is_full_and_not_down() {
    let addresses = [Ipv4Addr::new(127, 0, 42, 2), Ipv4Addr::new(127, 0, 42, 3)];
    let media = addresses.map(|address| Media::start((address, 0).into()));
    // Of 100 seats, 90 count as all.
    let [full, free] = [("95", addresses[0]), ("20", addresses[1])].map(|(clients, address)| {
        Server::start(address, move |stream| answer(stream, "200 OK", || format!("srs_clients {clients}\n")))
    });
    let node = |index: usize, exporter: &Server| {
        let port = media[index].server.address.port();
        format!(
            "[node.fra{index}]\naddresses = [\"{}\"]\ncheck = \"rtmp:{port}\"\ncapacity.clients = 100\n\
             exporters.srs = \"http://{}/metrics\"\n",
            addresses[index], exporter.address
        )
    };
    let installation = installation(&format!("[pool.whip]\n{}{}", node(0, &full), node(1, &free)));
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    wait_for("the load of both", || {
        let is_known = |reading: &Reading| matches!(reading, Reading::Fresh(_));
        served.snapshot().tables.nodes.iter().all(|node| is_known(&node.reading)).then_some(())
    });
    let standing = || served.snapshot().tables.fitness(PoolId(0), Family::V4, NodeId(0)).standing;
    assert_eq!(standing(), Standing::Known);

    media[0].has_room.store(false, Ordering::SeqCst);
    wait_for("probes that fail", || {
        let state = served.snapshot().tables.nodes[0].health;
        assert_ne!(standing(), Standing::Down);
        (!state.is_up()).then_some(())
    });
    assert_eq!(standing(), Standing::Full);
    assert_eq!(named(&client, "play.live.example.", RecordType::A), ["127.0.42.3"], "while another has room");
    let told = served.explain_node("play.live.example", "192.0.2.1", "fra0").because;
    assert!(told.contains("full rather than dead") && told.contains("no RTMP handshake"), "{told}");

    // One with room that does the same is down.
    media[0].has_room.store(true, Ordering::SeqCst);
    wait_for("probes that succeed", || served.snapshot().tables.nodes[0].health.is_up().then_some(()));
    media[1].has_room.store(false, Ordering::SeqCst);
    wait_for("the other to be down", || {
        let other = served.snapshot().tables.fitness(PoolId(0), Family::V4, NodeId(1)).standing;
        (other == Standing::Down).then_some(())
    });
}

#[test]
fn readiness_waits_for_the_first_round_and_dns_does_not() {
    // It takes the request, and gives no answer until the program gives up.
    let hanging = Server::start(Ipv4Addr::new(127, 0, 42, 4), |mut stream| {
        let _gone = stream.read_to_end(&mut Vec::new());
    });
    let node = format!(
        "[pool.whip]\n[node.fra1]\naddresses = [\"127.0.42.4\"]\ninterval = \"5s\"\nexporters.srs = \"http://{}/metrics\"\n",
        hanging.address
    );
    let installation = installation(&node);
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    assert_eq!(named(&client, "play.live.example.", RecordType::A), ["127.0.42.4"]);
    let (status, told) = page(served.admin(), "/readyz");
    assert_eq!(status, 503, "{told}");
    assert_eq!(page(served.admin(), "/healthz").0, 200);
    wait_for("the first round", || (page(served.admin(), "/readyz").0 == 200).then_some(()));
    let reading = &served.snapshot().tables.nodes[0].reading;
    assert!(matches!(reading, Reading::Never { because: Some(_) }), "{reading:?}");
}
