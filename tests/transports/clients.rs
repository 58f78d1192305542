//! Clients that speak TLS and QUIC, and believe any certificate.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig as QuicConfig, Connection, Endpoint, TransportConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::support::client::PATIENCE;
use super::support::exchange::{framed, next_framed};
use super::support::query::Query;
use super::support::reply::Reply;
use thalweg::wire::RecordType;

/// A stream over TLS, which waits for what it reads.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection over TCP from this address of ours.
pub(crate) fn tcp(client: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// One over TLS, whose handshake is done.
pub(crate) fn tls(server: SocketAddr, protocol: &[u8]) -> Stream {
    tls_on(tcp(Ipv4Addr::LOCALHOST, server), protocol)
}

/// TLS on a connection, after whatever was said before.
pub(crate) fn tls_on(mut tcp: TcpStream, protocol: &[u8]) -> Stream {
    let name = ServerName::try_from("ns1.live.example").unwrap();
    let mut session = ClientConnection::new(Arc::new(config(protocol)), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).expect("a handshake");
    }
    StreamOwned::new(session, tcp)
}

/// The names in the certificate that is shown.
pub(crate) fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec()
}

/// Asks once over a stream with messages behind their lengths; none if it is closed.
pub(crate) fn ask(stream: &mut (impl Read + Write), query: &Query) -> Option<Reply> {
    stream.write_all(&framed(&query.message())).ok()?;
    stream.flush().ok()?;
    let reply = next_message(stream)?;
    Some(Reply::read(&reply).unwrap())
}

fn next_message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// Asks once over TCP.
pub(crate) fn ask_tcp(server: SocketAddr, query: &Query) -> Option<Reply> {
    let mut stream = tcp(Ipv4Addr::LOCALHOST, server);
    stream.write_all(&framed(&query.message())).ok()?;
    next_framed(&mut stream).ok()?.map(|reply| Reply::read(&reply).unwrap())
}

/// What everybody asks for.
pub(crate) fn play() -> Query {
    Query::new("play.live.example.", RecordType::A)
}

/// Whether that was answered.
pub(crate) fn is_play(reply: Option<Reply>) -> bool {
    reply.is_some_and(|reply| reply.lines.iter().any(|line| line.contains("198.51.100.10")))
}

/// An endpoint for connections over QUIC; within a runtime.
pub(crate) fn endpoint() -> Endpoint {
    endpoint_with(TransportConfig::default())
}

/// The same with limits of its own.
pub(crate) fn endpoint_with(transport: TransportConfig) -> Endpoint {
    let mut endpoint = Endpoint::client(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
    let crypto = QuicClientConfig::try_from(config(b"doq")).unwrap();
    let mut config = QuicConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    endpoint
}

/// A connection over QUIC.
pub(crate) async fn quic(endpoint: &Endpoint, server: SocketAddr) -> Connection {
    endpoint.connect(server, "ns1.live.example").unwrap().await.expect("a handshake")
}

/// Sends octets on a stream of their own, and returns the whole of what comes back; none if the stream or the connection
/// ends otherwise.
pub(crate) async fn exchange(connection: &Connection, octets: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(octets).await.ok()?;
    send.finish().ok()?;
    receive.read_to_end(1 << 17).await.ok()
}

/// A query as QUIC carries it: behind its length, without an id.
pub(crate) fn quic_query(query: &Query) -> Vec<u8> {
    let mut octets = framed(&query.message());
    octets[2..4].fill(0);
    octets
}

/// Whether a stream of QUIC has the answer to what everybody asks for.
pub(crate) async fn is_served(connection: &Connection) -> bool {
    let reply = exchange(connection, &quic_query(&play())).await;
    is_play(reply.map(|reply| Reply::read(&reply[2..]).unwrap()))
}

fn config(protocol: &[u8]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    // A session that goes on shows no certificate.
    config.resumption = Resumption::disabled();
    config
}

/// Takes every server for the right one.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _own: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _own: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
