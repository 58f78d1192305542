//! `kdig` over each carrier: what plain TCP says, and replies whose size tells nothing.

use std::net::SocketAddr;
use std::process::Command;

use super::installed;

/// What is asked, in kdig's words; each with EDNS, as kdig sends it over TLS anyway.
const QUESTIONS: &[&str] = &[
    "play.live.example A",
    "play.live.example A +dnssec +cdflag +rdflag",
    "play.live.example A +subnet=192.0.2.0/24",
    "play.live.example AAAA +subnet=2001:db8::/48",
    "PLAY.live.example A +norec",
    "www.live.example A",
    "live.example SOA",
    "live.example NS",
    "live.example MX",
    "text.live.example TXT",
    "large.live.example TXT",
    "svc.live.example HTTPS",
    "odd.live.example TYPE65280",
    "nothing.live.example A",
    "text.live.example A",
    "a.sub.live.example A",
    "elsewhere.example A",
    "play.live.example A +edns=1",
    "play.live.example CH A",
];

/// RFC 8467 §4.1: what the size of replies is a multiple of.
const BLOCK: usize = 468;

/// What `kdig` prints.
fn kdig(server: SocketAddr, transport: &str, question: &str) -> String {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    command.args(["+edns", "+nopadding", "+noidn", "+retry=0", "+time=10", transport]).args(question.split(' '));
    let output = command.output().expect("kdig of knot-dnsutils is there");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{transport} {question}: {text}");
    text
}

/// The same without what differs from one asking to the next.
fn reply(server: SocketAddr, transport: &str, question: &str) -> String {
    let text = kdig(server, transport, question);
    let differs = |line: &&str| {
        [";; Received", ";; From", ";; Time", ";; TLS session", ";; QUIC session", ";; HTTP session"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let kept = text.lines().filter(|line| !differs(line)).map(|line| match line.split_once("id: ") {
        Some((before, _id)) => before.to_owned(),
        None => line.to_owned(),
    });
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_carrier_says_what_tcp_says() {
    let served = installed("").served;
    let carriers =
        [(served.tls(), "+tls"), (served.quic(), "+quic"), (served.https(), "+https"), (served.https(), "+https-get")];
    for question in QUESTIONS {
        let plain = reply(served.dns(), "+tcp", question);
        assert!(plain.contains("status: "), "{plain}");
        for (server, carrier) in carriers {
            assert_eq!(reply(server, carrier, question), plain, "{carrier} {question}");
        }
    }
}

#[test]
fn the_size_of_encrypted_replies_tells_nothing() {
    let served = installed("").served;
    let size = |server: SocketAddr, carrier: &str, question: &str| -> usize {
        let text = kdig(server, carrier, &format!("{question} +padding"));
        let received = text.lines().find_map(|line| line.strip_prefix(";; Received ")).expect(&text);
        received.split(' ').next().and_then(|size| size.parse().ok()).expect(received)
    };
    for question in ["play.live.example A", "www.live.example AAAA", "nothing.live.example A", "large.live.example TXT"]
    {
        for (server, carrier) in [(served.tls(), "+tls"), (served.quic(), "+quic"), (served.https(), "+https")] {
            let size = size(server, carrier, question);
            assert!(size > 0 && size.is_multiple_of(BLOCK), "{carrier} {question}: {size}");
        }
        // RFC 7830 §6: where all can be read anyway, padding only amplifies.
        assert!(!size(served.dns(), "+tcp", question).is_multiple_of(BLOCK), "{question}");
    }
}
