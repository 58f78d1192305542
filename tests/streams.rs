//! TCP as clients meet it: usual ones, clumsy ones, and those who mean harm.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use thalweg::config::TcpLimits;
use thalweg::intake::{Counts, Limit, StreamCounts};
use thalweg::serve::stream::{Connections, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, timeout};
use tokio_util::sync::CancellationToken;

mod installation;

struct Served {
    address: SocketAddr,
    connections: Connections,
    counts: Arc<Counts>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

async fn served(limits: TcpLimits) -> Served {
    served_among(Connections::new(limits)).await
}

/// One listener of a server that may have more.
async fn served_among(connections: Connections) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let counts = Arc::new(Counts::new());
    let responder = installation::responder(Arc::clone(&counts));
    let serving = tokio::spawn(serve(listener, responder, connections.clone(), stop.clone()));
    Served { address, connections, counts, stop, serving }
}

impl Served {
    fn counts(&self) -> &StreamCounts {
        self.connections.counts()
    }

    /// Replies that were made, sent or not.
    fn answered(&self) -> u64 {
        self.counts.total().replies.iter().sum()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_from(&self, client: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(client.parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// A query behind its length.
fn query(id: u16, name: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    let message = message.to_vec().unwrap();
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

fn play(id: u16) -> Vec<u8> {
    query(id, "play.live.example.", RecordType::A)
}

/// The next reply; none if the connection is closed in order, an error if it is reset.
async fn reply(stream: &mut TcpStream) -> io::Result<Option<Message>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(Message::from_vec(&message).unwrap()))
}

async fn assert_replies(stream: &mut TcpStream, ids: impl IntoIterator<Item = u16>) {
    for id in ids {
        let reply = reply(stream).await.unwrap().unwrap_or_else(|| panic!("closed before the reply to {id}"));
        assert_eq!((reply.id, reply.response_code, reply.answers.len()), (id, ResponseCode::NoError, 1));
    }
}

async fn assert_closed(stream: &mut TcpStream) {
    assert!(reply(stream).await.expect("closed in order").is_none());
}

#[tokio::test]
async fn pipelined_queries_are_all_answered_in_order() {
    let served = served(TcpLimits::default()).await;
    let mut stream = served.connect().await;
    let queries: Vec<u8> = (0..1000).flat_map(play).collect();
    stream.write_all(&queries).await.unwrap();
    assert_replies(&mut stream, 0..1000).await;
    // The connection goes on.
    stream.write_all(&play(7)).await.unwrap();
    assert_replies(&mut stream, [7]).await;
}

#[tokio::test]
async fn a_query_may_come_octet_by_octet() {
    let served = served(TcpLimits::default()).await;
    let mut stream = served.connect().await;
    stream.set_nodelay(true).unwrap();
    for octet in [play(1), play(2)].concat() {
        stream.write_all(&[octet]).await.unwrap();
        // Lets the server read it before the next.
        tokio::task::yield_now().await;
    }
    assert_replies(&mut stream, [1, 2]).await;
}

#[tokio::test]
async fn who_shuts_down_the_sending_side_still_gets_the_replies() {
    let served = served(TcpLimits::default()).await;
    let mut stream = served.connect().await;
    let started = &play(3)[..10];
    stream.write_all(&[&play(1), &play(2), started].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_replies(&mut stream, [1, 2]).await;
    assert_closed(&mut stream).await;
}

#[tokio::test]
async fn large_replies_come_whole() {
    let served = served(TcpLimits::default()).await;
    let mut stream = served.connect().await;
    let queries: Vec<u8> = (0..20).flat_map(|id| query(id, "large.live.example.", RecordType::TXT)).collect();
    stream.write_all(&queries).await.unwrap();
    for id in 0..20 {
        let reply = reply(&mut stream).await.unwrap().unwrap();
        assert_eq!((reply.id, reply.answers.len(), reply.truncation), (id, 128, false));
    }
}

#[tokio::test]
async fn what_is_no_query_ends_the_connection_after_the_replies() {
    let mut response = play(2);
    response[4] |= 0x80;
    for (octets, because) in [
        (vec![0, 0], "a message without octets"),
        (vec![0, 3, 1, 2, 3], "a message shorter than a header"),
        (response, "a response"),
    ] {
        let served = served(TcpLimits::default()).await;
        let mut stream = served.connect().await;
        stream.write_all(&[play(1), octets, play(3)].concat()).await.unwrap();
        assert_replies(&mut stream, [1]).await;
        assert!(matches!(reply(&mut stream).await, Ok(None)), "{because}");
    }
}

/// Asks once, and gets the answer.
async fn assert_serves(stream: &mut TcpStream, id: u16) {
    stream.write_all(&play(id)).await.unwrap();
    assert_replies(stream, [id]).await;
}

#[tokio::test]
async fn for_one_connection_too_many_the_longest_idle_one_is_closed() {
    let served = served(TcpLimits { connections: 2, ..TcpLimits::default() }).await;
    let mut first = served.connect().await;
    assert_serves(&mut first, 1).await;
    let mut second = served.connect().await;
    assert_serves(&mut second, 2).await;
    assert_serves(&mut first, 3).await;
    let mut third = served.connect().await;
    assert_serves(&mut third, 4).await;
    assert_closed(&mut second).await;
    assert_serves(&mut first, 5).await;
    assert_eq!(served.counts().closed_by(Limit::Connections), 1);
    assert_eq!((served.counts().accepted(), served.counts().open()), (3, 2));
}

#[tokio::test]
async fn all_listeners_share_the_limits() {
    let one = served(TcpLimits { connections: 1, ..TcpLimits::default() }).await;
    let other = served_among(one.connections.clone()).await;
    let mut first = one.connect().await;
    assert_serves(&mut first, 1).await;
    let mut second = other.connect().await;
    assert_serves(&mut second, 2).await;
    assert_closed(&mut first).await;
}

#[tokio::test]
async fn an_unfinished_query_and_unread_replies_hold_no_place() {
    let hour = Duration::from_secs(3600);
    let served = served(TcpLimits { connections: 2, idle: hour, write: hour, ..TcpLimits::default() }).await;
    let mut unfinished = served.connect().await;
    unfinished.write_all(&play(1)[..5]).await.unwrap();
    let mut deaf = served.connect().await;
    // Until nothing more is taken: the server waits for its replies to be read.
    let queries = query(1, "large.live.example.", RecordType::TXT).repeat(1000);
    while let Ok(Ok(_)) = timeout(Duration::from_millis(300), deaf.write(&queries)).await {}
    let mut others = [served.connect().await, served.connect().await];
    for stream in &mut others {
        assert_serves(stream, 2).await;
    }
    assert_closed(&mut unfinished).await;
    assert_eq!(served.counts().closed_by(Limit::Connections), 2);
}

#[tokio::test]
async fn what_a_peer_leaves_unread_is_bounded_by_name() {
    /// What the client's kernel takes in.
    const WINDOW: u32 = 4_096;
    let mut unread = Vec::new();
    for unsent in [16 << 10, 512 << 10] {
        let limits = TcpLimits { unsent, write: Duration::from_millis(300), ..TcpLimits::default() };
        let served = served(limits).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(WINDOW).unwrap();
        let mut deaf = socket.connect(served.address).await.unwrap();
        let queries = query(1, "large.live.example.", RecordType::TXT).repeat(200);
        deaf.write_all(&queries).await.unwrap();
        while served.counts().closed_by(Limit::Write) == 0 {
            tokio::task::yield_now().await;
        }
        // What the server's kernel held is gone, too: the connection is reset.
        let mut octets = vec![0; 1 << 20];
        let mut received = 0;
        let ended = loop {
            match deaf.read(&mut octets).await {
                Ok(0) => break Ok(()),
                Ok(length) => received += length,
                Err(error) => break Err(error.kind()),
            }
        };
        assert_eq!(ended, Err(io::ErrorKind::ConnectionReset));
        assert!(received < 4 * WINDOW as usize, "{received} octets were kept for the peer");
        unread.push(served.answered());
    }
    assert!(unread[0] * 4 < unread[1], "replies that were taken: {unread:?}");
}

#[tokio::test]
async fn one_network_cannot_take_all_places() {
    let served = served(TcpLimits { connections_per_prefix: 1, ..TcpLimits::default() }).await;
    let mut first = served.connect_from("127.0.1.1:0").await;
    first.write_all(&play(1)).await.unwrap();
    assert_replies(&mut first, [1]).await;
    assert!(is_turned_away(&mut served.connect_from("127.0.1.2:0").await).await);
    assert!(!is_turned_away(&mut served.connect_from("127.0.2.1:0").await).await);
    drop(first);
    while is_turned_away(&mut served.connect_from("127.0.1.3:0").await).await {}
}

/// Whether a connection is closed without an answer.
async fn is_turned_away(stream: &mut TcpStream) -> bool {
    // It may be closed, or reset, before or after the query.
    stream.write_all(&play(9)).await.is_err() || !matches!(reply(stream).await, Ok(Some(_)))
}

#[tokio::test]
async fn a_connection_has_so_many_queries_and_no_more() {
    let served = served(TcpLimits { queries: 3, ..TcpLimits::default() }).await;
    let mut stream = served.connect().await;
    // More than the server reads at once: what it leaves must not reset the connection.
    let queries: Vec<u8> = (0..1000).flat_map(play).collect();
    stream.write_all(&queries).await.unwrap();
    assert_replies(&mut stream, 0..3).await;
    assert_closed(&mut stream).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_is_closed() {
    let seconds = Duration::from_secs;
    for (limits, closed_after) in [
        (TcpLimits { idle: seconds(10), ..TcpLimits::default() }, seconds(10)),
        (TcpLimits { total: seconds(3), ..TcpLimits::default() }, seconds(3)),
    ] {
        let served = served(limits).await;
        let start = Instant::now();
        assert_closed(&mut served.connect().await).await;
        assert_eq!(start.elapsed().as_secs(), closed_after.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn an_octet_now_and_then_is_no_query() {
    let served = served(TcpLimits { idle: Duration::from_secs(10), ..TcpLimits::default() }).await;
    let start = Instant::now();
    let mut stream = served.connect().await;
    stream.write_all(&play(1)).await.unwrap();
    assert_replies(&mut stream, [1]).await;
    for octet in &play(2)[..3] {
        stream.write_all(&[*octet]).await.unwrap();
        advance(Duration::from_secs(3)).await;
    }
    assert_closed(&mut stream).await;
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn who_never_pauses_is_closed_at_the_end_of_the_total() {
    let served = served(TcpLimits { total: Duration::from_millis(20), ..TcpLimits::default() }).await;
    let mut stream = served.connect().await;
    while !is_turned_away(&mut stream).await {}
}

#[tokio::test]
async fn who_never_reads_is_held_back_and_closed_while_others_are_served() {
    /// More than the kernel buffers of both sides; what is beyond would be in our memory.
    const MOST: usize = 16 << 20;
    let served = served(TcpLimits { write: Duration::from_millis(500), ..TcpLimits::default() }).await;
    let mut deaf = served.connect().await;
    let queries = query(1, "large.live.example.", RecordType::TXT).repeat(1000);
    let flood = tokio::spawn(async move {
        let mut taken = 0;
        loop {
            match deaf.write(&queries).await {
                Ok(octets) => taken += octets,
                Err(_) => return taken,
            }
            assert!(taken < MOST, "nothing holds it back");
        }
    });
    let mut served_meanwhile = 0;
    while !flood.is_finished() {
        let mut stream = served.connect().await;
        stream.write_all(&play(2)).await.unwrap();
        assert_replies(&mut stream, [2]).await;
        served_meanwhile += 1;
    }
    assert!(served_meanwhile > 0);
    flood.await.unwrap();
}

#[tokio::test]
async fn stopping_closes_what_is_idle_and_returns() {
    let served = served(TcpLimits::default()).await;
    let mut stream = served.connect().await;
    stream.write_all(&play(1)).await.unwrap();
    assert_replies(&mut stream, [1]).await;
    served.stop.cancel();
    assert_closed(&mut stream).await;
    served.serving.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
