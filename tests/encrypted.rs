//! DNS over TLS and over QUIC, asked by `kdig`, carry just what plain TCP carries.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use thalweg::config::TcpLimits;
use thalweg::intake::Carrier;
use thalweg::serve::quic;
use thalweg::serve::stream::{Connections, serve, serve_tls};
use thalweg::serve::tls::{Certificate, Shown};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod installation;

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

struct Listening {
    tcp: SocketAddr,
    tls: SocketAddr,
    quic: SocketAddr,
    stop: CancellationToken,
    over_tls: JoinHandle<()>,
    over_quic: JoinHandle<()>,
}

fn certificate() -> Arc<Shown> {
    let directory = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["ns1.live.example".to_owned()]).unwrap();
    let [chain, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Arc::new(Shown::new(Certificate::read(&chain, &key).unwrap()))
}

async fn listening() -> Listening {
    let responder = installation::responder(Arc::default());
    let stop = CancellationToken::new();
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quic_socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [tcp, tls] = [plain.local_addr().unwrap(), tls_listener.local_addr().unwrap()];
    let quic = quic_socket.local_addr().unwrap();
    tokio::spawn(serve(plain, responder.clone(), Connections::new(TcpLimits::default()), stop.clone()));
    let over_tls = Connections::over(Carrier::Tls, TcpLimits::default());
    let over_tls = serve_tls(tls_listener, certificate(), responder.clone(), over_tls, stop.clone());
    let over_tls = tokio::spawn(over_tls);
    let endpoint = quic::open(quic_socket, &certificate(), &TcpLimits::default()).unwrap();
    let over_quic = Connections::over(Carrier::Quic, TcpLimits::default());
    let over_quic = tokio::spawn(quic::serve(endpoint, responder, over_quic, stop.clone()));
    Listening { tcp, tls, quic, stop, over_tls, over_quic }
}

/// What `kdig` prints, without what differs from one asking to the next.
async fn asked(server: SocketAddr, transport: &'static str, question: &'static str) -> String {
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new("kdig");
        command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
        command.args(["+edns", "+nopadding", "+noidn", "+retry=0", "+time=10", transport]);
        command.args(question.split(' '));
        let output = command.output().expect("kdig of knot-dnsutils is there");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{transport} {question}: {text}");
        let differs = |line: &&str| {
            [";; Received", ";; From", ";; Time", ";; TLS session", ";; QUIC session"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        let kept = text.lines().filter(|line| !differs(line)).map(|line| match line.split_once("id: ") {
            Some((before, _id)) => before.to_owned(),
            None => line.to_owned(),
        });
        kept.collect::<Vec<_>>().join("\n")
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_quic_say_what_tcp_says() {
    let listening = listening().await;
    for question in QUESTIONS {
        let plain = asked(listening.tcp, "+tcp", question).await;
        assert!(plain.contains("status: "), "{plain}");
        assert_eq!(asked(listening.tls, "+tls", question).await, plain, "over TLS: {question}");
        assert_eq!(asked(listening.quic, "+quic", question).await, plain, "over QUIC: {question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_close_when_told() {
    let listening = listening().await;
    asked(listening.tls, "+tls", "live.example SOA").await;
    asked(listening.quic, "+quic", "live.example SOA").await;
    listening.stop.cancel();
    listening.over_tls.await.unwrap();
    listening.over_quic.await.unwrap();
    assert!(TcpStream::connect(listening.tls).is_err());
}
