//! All that carries DNS besides UDP, as clients meet it: kdig and curl, those who are slow, those who mean harm, proxies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "transports/answers.rs"]
mod answers;
#[path = "transports/certificates.rs"]
mod certificates;
#[path = "transports/clients.rs"]
mod clients;
#[path = "transports/floods.rs"]
mod floods;
#[path = "transports/http.rs"]
mod http;
#[path = "transports/proxies.rs"]
mod proxies;
#[path = "transports/quic.rs"]
mod quic;
#[path = "transports/stopping.rs"]
mod stopping;
mod support;

use support::daemon::Served;
use support::installation::Installation;

/// One node, so that every moment has the same answer, and clients who are told what is seen of them.
const CONFIG: &str = r#"
[service."play.live.example"]

[place.fra]
at = [50.1, 8.7]

[region.near]
networks = ["192.0.2.0/24", "2001:db8:1::/48"]
near = ["fra"]

[node.fra1]
addresses = ["198.51.100.10", "2001:db8::10"]
place = "fra"
"#;

const ZONE: &str = "
$TTL 1h
@     SOA   ns1 hostmaster 1 2h 15m 2w 5m
@     NS    ns1
@     MX    10 mail
ns1   A     192.0.2.53
ns1   AAAA  2001:db8::53
mail  A     192.0.2.25
www   CNAME play
text  TXT   \"a;b\" \"two words\" ab\\255c
svc   TYPE65 \\# 13 0001 00 0001 0006 026832 026833
odd   TYPE65280 \\# 3 c0ff00
short 7     CNAME mail
local A     127.0.0.1
sub   NS    ns.sub
ns.sub A    192.0.2.54
";

/// A server that listens for everything on any free port, and what it was started from.
struct Installed {
    installation: Installation,
    served: Served,
}

/// Such a server, with more in `[server]`.
fn installed(server: &str) -> Installed {
    let installation =
        Installation::new([("thalweg.toml", config(server).as_str()), ("zones/live.example.zone", &zone())]);
    certificates::renew(&installation, "ns1.live.example", (2020, 2049));
    let served = Served::start_unwatched(&installation);
    Installed { installation, served }
}

fn config(server: &str) -> String {
    let secure = "{ listen = [\"127.0.0.1:0\"], certificate = \"cert.pem\", key = \"key.pem\" }";
    format!(
        "[server]\ndns = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\n\
         tls = {secure}\nquic = {secure}\nhttps = {secure}\nwhoami = \"whoami.live.example\"\n{server}\n{CONFIG}"
    )
}

/// The zone, with `large` of 32 KiB.
fn zone() -> String {
    let large = (0..128).map(|index| format!("large TXT \"{index:0>250}\"\n"));
    [ZONE.to_owned()].into_iter().chain(large).collect()
}
