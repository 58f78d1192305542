//! DNS over QUIC with clients that break its rules, each of which is told by a code of RFC 9250 §4.3.

use quinn::{Connection, ConnectionError, Endpoint, TransportConfig};

use super::clients::{endpoint, endpoint_with, exchange, is_served, play, quic, quic_query};
use super::support::query::Query;
use super::{Installed, installed};
use thalweg::wire::RecordType;

/// DOQ_NO_ERROR, DOQ_PROTOCOL_ERROR and DOQ_EXCESSIVE_LOAD.
const NO_ERROR: u64 = 0;
const PROTOCOL_ERROR: u64 = 2;
const EXCESSIVE_LOAD: u64 = 4;

/// A client of a server with more in `[server]`.
struct Client {
    installed: Installed,
    endpoint: Endpoint,
}

impl Client {
    async fn of(server: &'static str) -> Self {
        let installed = tokio::task::spawn_blocking(move || installed(server)).await.unwrap();
        Self { installed, endpoint: endpoint() }
    }

    async fn connect(&self) -> Connection {
        quic(&self.endpoint, self.installed.served.quic()).await
    }

    /// A server cannot end where tasks must not wait.
    async fn end(self) {
        tokio::task::spawn_blocking(|| drop(self.installed)).await.unwrap();
    }
}

/// The code by which the server ends a connection.
async fn code(connection: &Connection) -> u64 {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(closed) => closed.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
    let client = Client::of("").await;
    let query = quic_query(&play());
    let mut with_id = query.clone();
    with_id[3] = 1;
    let mut keepalive = play();
    keepalive.edns().options.push((11, Vec::new()));
    for (octets, because) in [
        (with_id, "an id"),
        (query.repeat(2), "two queries"),
        (quic_query(&keepalive), "keepalive, which is for TCP"),
        (query[..query.len() - 1].to_vec(), "less than was announced"),
        (vec![0], "half a length"),
        (Vec::new(), "nothing"),
        (vec![0, 3, 0, 0, 1], "no header"),
    ] {
        let connection = client.connect().await;
        assert!(is_served(&connection).await);
        assert_eq!(exchange(&connection, &octets).await, None, "{because}");
        assert_eq!(code(&connection).await, PROTOCOL_ERROR, "{because}");
    }
    let connection = client.connect().await;
    connection.open_uni().await.unwrap().write_all(b"x").await.unwrap();
    assert_eq!(code(&connection).await, PROTOCOL_ERROR, "a stream that has no way back");
    client.end().await;
}

#[tokio::test]
async fn two_queries_are_too_many_before_the_stream_ends() {
    let client = Client::of("").await;
    let connection = client.connect().await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&quic_query(&play()).repeat(2)).await.unwrap();
    assert_eq!(code(&connection).await, PROTOCOL_ERROR);
    client.end().await;
}

#[tokio::test]
async fn a_stream_that_does_not_end_holds_up_no_other() {
    let client = Client::of("").await;
    let connection = client.connect().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (mut send, receive) = connection.open_bi().await.unwrap();
        send.write_all(&quic_query(&play())).await.unwrap();
        open.push((send, receive));
        assert!(is_served(&connection).await);
    }
    assert!(is_served(&client.connect().await).await);
    // Each is answered once it ends.
    for (mut send, mut receive) in open {
        send.finish().unwrap();
        assert!(receive.read_to_end(1 << 17).await.unwrap().len() > 20);
    }
    client.end().await;
}

#[tokio::test]
async fn streams_that_never_end_are_closed_as_idle() {
    let client = Client::of("tcp.idle = \"1s\"").await;
    let connection = client.connect().await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&quic_query(&play())).await.unwrap();
    match connection.closed().await {
        ConnectionError::ApplicationClosed(closed) => assert_eq!(closed.error_code.into_inner(), NO_ERROR),
        // Both sides know that limit.
        ConnectionError::TimedOut => {}
        other => panic!("{other}"),
    }
    client.end().await;
}

#[tokio::test]
async fn the_last_query_of_a_connection_has_its_reply() {
    let client = Client::of("tcp.queries = 3").await;
    let connection = client.connect().await;
    let large = quic_query(&Query::new("large.live.example.", RecordType::TXT));
    for _ in 0..3 {
        let reply = exchange(&connection, &large).await.expect("a reply");
        assert_eq!(reply.len(), 2 + usize::from(u16::from_be_bytes([reply[0], reply[1]])));
    }
    assert_eq!(code(&connection).await, NO_ERROR);
    client.end().await;
}

#[tokio::test]
async fn the_longest_idle_connection_gives_its_place_to_the_next() {
    let client = Client::of("tcp.connections = 2").await;
    let first = client.connect().await;
    assert!(is_served(&first).await);
    let second = client.connect().await;
    assert!(is_served(&second).await && is_served(&first).await);
    let third = client.connect().await;
    assert!(is_served(&third).await);
    assert_eq!(code(&second).await, EXCESSIVE_LOAD);
    assert!(is_served(&first).await);
    client.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_while_others_are_served() {
    let client = Client::of("tcp.write = \"1s\"").await;
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(4_096_u32.into());
    let deaf = quic(&endpoint_with(transport), client.installed.served.quic()).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let (mut send, receive) = deaf.open_bi().await.unwrap();
        let large = quic_query(&Query::new("large.live.example.", RecordType::TXT));
        if send.write_all(&large).await.is_err() || send.finish().is_err() {
            break;
        }
        unread.push(receive);
    }
    assert!(is_served(&client.connect().await).await);
    // What ends it is the limit, and not that it is idle.
    assert_eq!(code(&deaf).await, NO_ERROR);
    let metrics = {
        let (client, metrics) = tokio::task::spawn_blocking(move || {
            let metrics = client.installed.served.metrics();
            (client, metrics)
        })
        .await
        .unwrap();
        client.end().await;
        metrics
    };
    let line = "thalweg_quic_connections_closed_total{limit=\"write\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}
