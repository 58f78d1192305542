//! DNS over QUIC (RFC 9250): hickory-server carries, our engine answers.
//!
//! hickory-server takes records, not octets, so the engine's reply is taken apart and handed over piece
//! by piece. A query that hickory cannot parse never comes here: hickory answers FORMERR by itself.

mod pieces;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::serialize::binary::DecodeError;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use pieces::Pieces;

use super::Responder;
use super::scratch::{self, Path};
use super::tls::Certificate;
use crate::answer::Transport;
use crate::intake::Tally;

/// What the log should hear of hickory, in the words of `tracing_subscriber::EnvFilter`: it writes
/// two lines for each reply, and warns each time that a client goes away.
pub const LOG_FILTER: &str = "hickory_server=error,hickory_net=error,hickory_proto=error";

/// How long a handshake, the next query on a connection, or the reading of a reply may take; as long
/// as a TCP connection may be idle.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a listener that failed is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// The encrypted listeners.
pub struct Encrypted {
    responder: Responder,
    stop: CancellationToken,
    listeners: JoinSet<()>,
}

impl Encrypted {
    /// No listeners yet; those to come serve until `stop`.
    pub fn new(responder: Responder, stop: CancellationToken) -> Self {
        Self { responder, stop, listeners: JoinSet::new() }
    }

    /// Serves DNS over QUIC on a bound socket; to be called within a runtime.
    pub fn listen_quic(&mut self, socket: std::net::UdpSocket, certificate: &Certificate) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let handler = self.handler(socket.local_addr()?.ip());
        let config = certificate.server_config(&[b"doq"]);
        self.listen("QUIC", move || {
            let mut server = Server::new(handler.clone());
            let socket = UdpSocket::from_std(socket.try_clone()?)?;
            let registered = server.register_quic_listener_and_tls_config(socket, TIMEOUT, config.clone());
            registered.map_err(io::Error::other)?;
            Ok(server)
        })
    }

    /// Waits until the listeners are closed, after `stop`.
    pub async fn closed(mut self) {
        while let Some(ended) = self.listeners.join_next().await {
            if let Err(error) = ended {
                error!(%error, "an encrypted listener ended by a panic, which is a defect");
            }
        }
    }

    fn handler(&self, local: IpAddr) -> Handler {
        // hickory does not tell where a query was sent to, but a listener on one address knows.
        let local = (!local.is_unspecified()).then_some(local);
        Handler { responder: self.responder.clone(), local }
    }

    fn listen(
        &mut self,
        carrier: &'static str,
        start: impl Fn() -> io::Result<Server<Handler>> + Send + 'static,
    ) -> io::Result<()> {
        let server = start()?;
        self.listeners.spawn(keep(server, carrier, start, self.stop.clone()));
        Ok(())
    }
}

/// Keeps a listener open until `stop`: hickory-server 0.26 gives one up when a connection is aborted
/// before it is accepted, hence a server for each and a second socket on the same port.
async fn keep(
    mut server: Server<Handler>,
    carrier: &'static str,
    start: impl Fn() -> io::Result<Server<Handler>>,
    stop: CancellationToken,
) {
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => break,
            ended = server.block_until_done() => ended,
        };
        let reason = ended.err().map_or_else(|| "without a reason".to_owned(), |error| error.to_string());
        warn!(carrier, reason, "a listener closed, opening it again");
        // What closes it at once again must not take a core.
        let _ = timeout(PAUSE, stop.cancelled()).await;
        match start() {
            Ok(fresh) => server = fresh,
            Err(error) => error!(carrier, %error, "cannot open the listener, trying again"),
        }
    }
    if let Err(error) = server.shutdown_gracefully().await {
        debug!(carrier, %error, "a listener closed with an error");
    }
}

/// Answers what hickory-server has read.
#[derive(Clone)]
struct Handler {
    responder: Responder,
    local: Option<IpAddr>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let sent = match self.reply(request) {
            None => return nothing_sent(request),
            Some(Ok(pieces)) => {
                let response = MessageResponseBuilder::new(&pieces.queries, pieces.edns.as_ref()).build(
                    pieces.metadata,
                    &pieces.answers,
                    &pieces.authorities,
                    [],
                    &pieces.additionals,
                );
                handle.send_response(response).await
            }
            Some(Err(error)) => {
                error!(%error, "the engine's reply cannot be taken apart, which is a defect; SERVFAIL is sent");
                let builder = MessageResponseBuilder::from_message_request(request);
                handle.send_response(builder.error_msg(&request.metadata, ResponseCode::ServFail)).await
            }
        };
        sent.unwrap_or_else(|error| {
            debug!(client = %request.src(), %error, "a reply could not be sent");
            self.responder.counts.add(&Tally { unsent: 1, ..Tally::default() });
            nothing_sent(request)
        })
    }
}

impl Handler {
    /// The engine's reply in hickory's pieces; none if there is nothing to send.
    fn reply(&self, request: &Request) -> Option<Result<Pieces, DecodeError>> {
        let transport = Transport::Quic;
        // RFC 9250 §4.2.1: the id is 0, anything else a protocol error. hickory-server 0.26 would send
        // the reply with id 0 and then stumble over the difference, in debug builds by a panic.
        if request.metadata.id != 0 {
            return None;
        }
        let path = Path::new(request.src(), self.local, transport);
        scratch::respond(&self.responder, request.as_slice(), path, Pieces::read)
    }
}

/// What hickory wants to hear of a reply that was not sent.
fn nothing_sent(request: &Request) -> ResponseInfo {
    Header { metadata: Metadata::response_from_request(&request.metadata), counts: HeaderCounts::default() }.into()
}
