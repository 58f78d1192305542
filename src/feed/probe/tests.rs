//! Probes of servers that speak right, wrong or not at all, on loopback.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::pool::Node;

/// What a server does with a connection.
#[derive(Clone)]
enum Server {
    /// Answers each request with a status and an endless body.
    Http(&'static str),
    /// Goes through the handshake of RTMP.
    Rtmp,
    /// Begins it, and echoes what it never was sent.
    WrongRtmp,
    /// Goes through the handshake of TLS.
    Tls(TlsAcceptor),
    /// Closes it at once, as servers do that have no room.
    Closes,
    /// Says nothing.
    Silent,
}

async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn serve(server: Server) -> SocketAddr {
    serve_at(Ipv4Addr::LOCALHOST.into(), server).await
}

async fn serve_at(address: IpAddr, server: Server) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak(stream, server.clone()));
        }
    });
    address
}

async fn speak(mut stream: TcpStream, server: Server) -> std::io::Result<()> {
    match server {
        Server::Http(status) => {
            let _octets = stream.read(&mut [0; 1024]).await?;
            stream.write_all(format!("HTTP/1.1 {status}\r\nLocation: /x\r\n\r\nx").as_bytes()).await?;
        }
        Server::Rtmp | Server::WrongRtmp => {
            let mut hello = [0; 1537];
            stream.read_exact(&mut hello).await?;
            if matches!(server, Server::WrongRtmp) {
                hello[100] ^= 1;
            }
            stream.write_all(&[&[3][..], &[5; 1536], &hello[1..]].concat()).await?;
            stream.read_exact(&mut hello[1..]).await?;
            assert_eq!(hello[1..], [5; 1536], "C2 is an echo of S1");
        }
        Server::Tls(acceptor) => drop(acceptor.accept(stream).await?),
        Server::Closes => return Ok(()),
        Server::Silent => {}
    }
    std::future::pending().await
}

fn tls() -> Server {
    let certificate = rcgen::generate_simple_self_signed(["fra1.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    Server::Tls(TlsAcceptor::from(Arc::new(config)))
}

async fn outcome(goal: Goal) -> Result<(), String> {
    let probe = Probe { node: NodeId(3), goal };
    let (_probes, mut news) = watch::channel(vec![probe.clone()]);
    news.mark_changed();
    let (sender, mut probed) = mpsc::channel(1);
    tokio::select! {
        () = run(news, sender, Names::of_system()) => unreachable!("the sender of probes lives"),
        probed = probed.recv() => {
            let probed = probed.expect("run lives");
            assert_eq!(probed.probe, probe);
            probed.result.map_err(|fault| match fault {
                Fault::Node(why) => why,
                Fault::Here(why) => panic!("{why}"),
            })
        }
    }
}

fn http(url: String, status: Option<u16>) -> Goal {
    Goal::Http { url, status }
}

const NOTHING: &str = "nothing within 2 s";

// Where the clock is paused it leaps to the next timer as soon as all wait for nothing else.

#[tokio::test(start_paused = true)]
async fn a_listener_is_enough_for_a_tcp_probe() {
    assert_eq!(outcome(Goal::Tcp(serve(Server::Silent).await)).await, Ok(()));
    let refused = outcome(Goal::Tcp(closed().await)).await.unwrap_err();
    assert!(refused.starts_with("no connection: "), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_rtmp_probe_wants_the_whole_handshake() {
    assert_eq!(outcome(Goal::Rtmp(serve(Server::Rtmp).await)).await, Ok(()));
    for (server, told) in [
        (Server::Silent, NOTHING),
        (Server::Closes, "no RTMP handshake: "),
        (Server::WrongRtmp, "no RTMP handshake: S2 is not an echo of C1"),
        (Server::Http("200 OK"), "no RTMP handshake: its first octet is 0x48, not the version 3"),
    ] {
        let wrong = outcome(Goal::Rtmp(serve(server).await)).await.unwrap_err();
        assert!(wrong.starts_with(told), "{wrong}");
    }
    let refused = outcome(Goal::Rtmp(closed().await)).await.unwrap_err();
    assert!(refused.starts_with("no connection: "), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_tls_probe_takes_any_certificate_but_wants_a_handshake() {
    assert_eq!(outcome(Goal::Tls(serve(tls()).await)).await, Ok(()));
    assert_eq!(outcome(Goal::Tls(serve(Server::Silent).await)).await.unwrap_err(), NOTHING);
    let wrong = outcome(Goal::Tls(serve(Server::Http("200 OK")).await)).await.unwrap_err();
    assert!(wrong.starts_with("no TLS: "), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn a_status_below_400_or_the_one_that_is_expected_is_enough_for_an_http_probe() {
    for (status, expected, found) in [
        ("200 OK", None, Ok(())),
        ("204 No Content", None, Ok(())),
        ("302 Found", None, Ok(())),
        ("404 Not Found", None, Err("status 404".to_owned())),
        ("503 Service Unavailable", None, Err("status 503".to_owned())),
        ("204 No Content", Some(204), Ok(())),
        ("401 Unauthorized", Some(401), Ok(())),
        ("200 OK", Some(204), Err("status 200, not 204".to_owned())),
    ] {
        let url = format!("http://{}/live/index.m3u8", serve(Server::Http(status)).await);
        assert_eq!(outcome(http(url, expected)).await, found, "{status}");
    }
    let silent = format!("http://{}/", serve(Server::Silent).await);
    assert_eq!(outcome(http(silent, None)).await.unwrap_err(), NOTHING);
    for (url, expected) in [
        (format!("http://{}/", closed().await), "no connection: "),
        ("http://[::1".to_owned(), "the URL cannot be asked: "),
    ] {
        let error = outcome(http(url, None)).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_family_is_asked_at_its_own_address() {
    let address = serve_at(Ipv6Addr::LOCALHOST.into(), Server::Http("200 OK")).await;
    for check in [
        Check::Tcp(address.port()),
        Check::Http { url: format!("http://{{address}}:{}/up", address.port()), status: Some(200) },
    ] {
        assert_eq!(outcome(Goal::of(&check, Ipv6Addr::LOCALHOST.into())).await, Ok(()), "{check}");
        let refused = outcome(Goal::of(&check, Ipv4Addr::new(127, 0, 0, 7).into())).await.unwrap_err();
        assert!(refused.starts_with("no connection: "), "{refused}");
    }
    let rtmp = serve_at(Ipv6Addr::LOCALHOST.into(), Server::Rtmp).await;
    assert_eq!(outcome(Goal::of(&Check::Rtmp(rtmp.port()), Ipv6Addr::LOCALHOST.into())).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn two_failures_come_within_ten_seconds_and_good_probes_every_five() {
    let (probes, news) = watch::channel(Vec::new());
    let (sender, mut probed) = mpsc::channel(16);
    tokio::spawn(run(news, sender, Names::of_system()));
    let good = Probe { node: NodeId(1), goal: Goal::Tcp(serve(Server::Silent).await) };
    let bad = Probe { node: NodeId(2), goal: Goal::Tcp(closed().await) };
    probes.send_replace(vec![good.clone(), bad]);
    let (mut good_at, mut bad_at) = (Vec::new(), Vec::new());
    while good_at.len() < 6 {
        let Probed { probe, at, result } = probed.recv().await.expect("run lives");
        assert_eq!(result.is_ok(), probe == good);
        if probe == good { good_at.push(at) } else { bad_at.push(at) }
    }
    let gaps = |times: &[std::time::Instant]| -> Vec<f64> {
        times.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect()
    };
    let (good, bad) = (gaps(&good_at), gaps(&bad_at));
    assert!((2.4..=7.6).contains(&good[0]) && good[1..].iter().all(|gap| (gap - 5.0).abs() < 0.05), "{good:?}");
    assert!(bad.len() >= 4 && bad.iter().all(|gap| (gap - 4.0).abs() < 0.05), "{bad:?}");
}

#[tokio::test(start_paused = true)]
async fn first_probes_of_many_nodes_are_spread_over_a_second() {
    let (probes, news) = watch::channel(Vec::new());
    let (sender, mut probed) = mpsc::channel(512);
    tokio::spawn(run(news, sender, Names::of_system()));
    let port = serve(Server::Silent).await.port();
    let begun = Instant::now().into_std();
    let probe = |node: u16| Probe {
        node: NodeId(node),
        goal: Goal::Tcp((Ipv4Addr::new(127, 0, (node >> 8) as u8, node as u8), port).into()),
    };
    probes.send_replace((1..=200).map(probe).collect());
    let mut quarters = [0; 4];
    for _ in 0..200 {
        let after = (probed.recv().await.expect("run lives").at - begun).as_secs_f64();
        assert!(after <= 1.5, "{after}");
        quarters[((after * 4.0) as usize).min(3)] += 1;
    }
    assert!(quarters.iter().all(|count| (20..90).contains(count)), "{quarters:?}");
}

#[test]
fn a_check_asks_at_the_address_that_it_is_given() {
    let node = Node { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST), ..Node::default() };
    let [v4, v6] = crate::pool::Family::ALL.map(|family| node.address(family).unwrap());
    assert_eq!(Goal::of(&Check::Tcp(1935), v4).to_string(), "127.0.0.1:1935");
    assert_eq!(Goal::of(&Check::Rtmp(1935), v6).to_string(), "[::1]:1935");
    let url = |url: &str| Goal::of(&Check::Http { url: url.to_owned(), status: None }, v6).to_string();
    assert_eq!(url("http://{address}:1985/up"), "http://[::1]:1985/up");
    assert_eq!(url("https://fra1.example/ready"), "https://fra1.example/ready");
}
