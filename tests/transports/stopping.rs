//! What a server that stops tells those who are connected: that nothing was cut off.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use quinn::ConnectionError;

use super::clients::{ask, endpoint, is_play, is_served, play, quic, tls};
use super::installed;

#[test]
fn who_is_connected_hears_that_a_server_stops() {
    let served = installed("").served;
    let mut over_tls = tls(served.tls(), b"dot");
    assert!(is_play(ask(&mut over_tls, &play())));
    let mut over_h1 = tls(served.https(), b"http/1.1");
    over_h1.write_all(b"GET / HTTP/1.1\r\nhost: ns1\r\n\r\n").and_then(|()| over_h1.flush()).unwrap();
    let mut head = [0; 12];
    over_h1.read_exact(&mut head).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_endpoint, over_quic) = runtime.block_on(async {
        let endpoint = endpoint();
        let connection = quic(&endpoint, served.quic()).await;
        assert!(is_served(&connection).await);
        (endpoint, connection)
    });
    let listeners = [served.tls(), served.https(), served.http()];
    drop(served);
    // RFC 8446 §6.1: without its farewell the end of TLS would be an error.
    for mut stream in [over_tls, over_h1] {
        let ended = stream.read_to_end(&mut Vec::new());
        assert_eq!(ended.map_err(|error| error.kind()).map(|_| ()), Ok::<(), ErrorKind>(()));
    }
    match runtime.block_on(over_quic.closed()) {
        // DOQ_NO_ERROR.
        ConnectionError::ApplicationClosed(closed) => assert_eq!(closed.error_code.into_inner(), 0),
        other => panic!("{other}"),
    }
    for listener in listeners {
        assert!(TcpStream::connect(listener).is_err(), "{listener}");
    }
}
