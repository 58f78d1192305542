//! Asking a primary: the SOA record by datagrams or a stream, transfers by a stream, signed if there is a key.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::soa::Soa;
use super::transfer::{Asked, Fault, Outcome, Transfer};
use crate::feed::unix_seconds;
use crate::name::Name;
use crate::wire::{CLASS_IN, MAX_STREAM, Rcode, RecordType, Response, SignatureError, TsigKey, Verifier, sign_request};

/// How long a datagram's reply is waited for, and how often one is sent.
const DATAGRAM: Duration = Duration::from_secs(2);
const DATAGRAMS: u32 = 3;
/// How long a connection may take to be made, and each message to come.
const CONNECT: Duration = Duration::from_secs(10);
const MESSAGE: Duration = Duration::from_secs(30);
/// How long all of a transfer may take: a primary that trickles must not keep others from being asked.
const TRANSFER: Duration = Duration::from_secs(3600);
/// Datagrams that are no reply to what was asked, and are passed over.
const MAX_STRAY: u32 = 64;

/// A server that has a zone.
#[derive(Debug, Clone)]
pub(super) struct Primary {
    pub(super) address: SocketAddr,
    /// What messages are signed with.
    pub(super) key: Option<Arc<TsigKey>>,
}

/// Why a primary gave nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be reached, or says nothing.
    Unreachable(String),
    /// What it says is not what was asked.
    Fault(Fault),
    /// It is not signed as it should be.
    Signature(SignatureError),
}

impl Primary {
    /// The SOA record that it has for the zone.
    pub(super) async fn soa(&self, zone: &Name) -> Result<Soa, Trouble> {
        let mut tried = 0;
        loop {
            tried += 1;
            match timeout(DATAGRAM, self.ask_by_datagram(zone)).await {
                Ok(Ok(Some(soa))) => return Ok(soa),
                Ok(Ok(None)) => break,
                Ok(Err(Trouble::Unreachable(because))) if tried >= DATAGRAMS => {
                    return Err(Trouble::Unreachable(because));
                }
                Ok(Err(Trouble::Unreachable(_))) => tokio::time::sleep(PAUSE).await,
                Ok(Err(trouble)) => return Err(trouble),
                Err(_) if tried >= DATAGRAMS => break,
                Err(_) => {}
            }
        }
        // What was truncated, or lost on the way, may come by a stream.
        let mut stream = self.connect().await?;
        let mut query = Query::new(zone, RecordType::SOA, self.key.as_ref())?;
        send(&mut stream, &query.message).await?;
        let mut message = Vec::new();
        receive(&mut stream, &mut message, Instant::now() + MESSAGE).await?;
        let response = query.check(&message).and_then(|read| read.ok_or_else(no_reply))?;
        soa_of(&response)
    }

    /// None if the reply is truncated.
    async fn ask_by_datagram(&self, zone: &Name) -> Result<Option<Soa>, Trouble> {
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        // Others cannot answer then, and a port where nobody listens is told at once.
        socket.connect(self.address).await?;
        let mut query = Query::new(zone, RecordType::SOA, self.key.as_ref())?;
        socket.send(&query.message).await?;
        let mut buffer = vec![0; MAX_STREAM];
        for _ in 0..MAX_STRAY {
            let length = socket.recv(&mut buffer).await?;
            // It may be late, or forged by somebody who does not know what was asked.
            let Some(response) = query.check(&buffer[..length])? else { continue };
            return match response.is_truncated() {
                true => Ok(None),
                false => soa_of(&response).map(Some),
            };
        }
        Err(no_reply())
    }

    /// What it has for the zone.
    pub(super) async fn transfer(&self, zone: &Name, asked: Asked, held: Option<&[u8]>) -> Result<Outcome, Trouble> {
        let end = Instant::now() + TRANSFER;
        let mut stream = self.connect().await?;
        let mut query = Query::with_soa(zone, asked.qtype(), self.key.as_ref(), held)?;
        send(&mut stream, &query.message).await?;
        let mut transfer = Transfer::new(zone, query.id, asked);
        let mut verifier = query.verifier.take();
        let mut message = Vec::new();
        loop {
            receive(&mut stream, &mut message, end.min(Instant::now() + MESSAGE)).await?;
            if let Some(verifier) = &mut verifier {
                verifier.verify(&message, unix_seconds()).map_err(Trouble::Signature)?;
            }
            if transfer.take(&message).map_err(Trouble::Fault)? {
                break;
            }
        }
        // RFC 8945 §5.3.1: the last message is signed.
        if verifier.is_some_and(|verifier| !verifier.is_proven()) {
            return Err(Trouble::Signature(SignatureError::Missing));
        }
        transfer.outcome().ok_or_else(no_reply)
    }

    async fn connect(&self) -> Result<TcpStream, Trouble> {
        let stream = timeout(CONNECT, TcpStream::connect(self.address)).await.map_err(|_| late())??;
        // If it cannot be had, a transfer begins later.
        let _slower = stream.set_nodelay(true);
        Ok(stream)
    }
}

/// Between datagrams to a port where nobody listens.
const PAUSE: Duration = Duration::from_millis(100);

/// A question that is asked.
struct Query {
    id: u16,
    message: Vec<u8>,
    zone: Box<[u8]>,
    qtype: RecordType,
    /// What the reply is checked by.
    verifier: Option<Verifier>,
}

impl Query {
    fn new(zone: &Name, qtype: RecordType, key: Option<&Arc<TsigKey>>) -> Result<Self, Trouble> {
        Self::with_soa(zone, qtype, key, None)
    }

    /// With an SOA record in the authority section (RFC 1995 §3), of these data.
    fn with_soa(
        zone: &Name,
        qtype: RecordType,
        key: Option<&Arc<TsigKey>>,
        soa: Option<&[u8]>,
    ) -> Result<Self, Trouble> {
        let mut id = [0; 2];
        getrandom::fill(&mut id)
            .map_err(|error| Trouble::Unreachable(format!("the system has no randomness: {error}")))?;
        let mut message = id.to_vec();
        message.extend([0, 0, 0, 1, 0, 0, 0, u8::from(soa.is_some()), 0, 0]);
        message.extend_from_slice(zone.wire());
        message.extend(qtype.0.to_be_bytes());
        message.extend(CLASS_IN.to_be_bytes());
        if let Some(rdata) = soa {
            message.extend(POINTER_TO_QUESTION);
            message.extend(RecordType::SOA.0.to_be_bytes());
            message.extend(CLASS_IN.to_be_bytes());
            message.extend([0; 4]);
            message.extend((rdata.len() as u16).to_be_bytes());
            message.extend_from_slice(rdata);
        }
        let verifier = key.map(|key| sign_request(key, &mut message, unix_seconds()));
        Ok(Self { id: u16::from_be_bytes(id), message, zone: zone.lower_wire(), qtype, verifier })
    }

    /// Reads a reply of one message; none if it is one to something else.
    fn check<'m>(&mut self, message: &'m [u8]) -> Result<Option<Response<'m>>, Trouble> {
        let Some(response) = Response::read(message, self.id, &self.zone, self.qtype) else { return Ok(None) };
        if let Some(verifier) = &mut self.verifier {
            verifier.verify(message, unix_seconds()).map_err(Trouble::Signature)?;
        }
        Ok(Some(response))
    }
}

const POINTER_TO_QUESTION: [u8; 2] = [0xc0, 0x0c];

/// The SOA record of a reply.
fn soa_of(response: &Response<'_>) -> Result<Soa, Trouble> {
    if response.rcode() != Rcode::NOERROR {
        return Err(Trouble::Fault(Fault::Refused(response.rcode())));
    }
    // Else it may be a resolver, whose copy is as old as its cache lets it be.
    if !response.is_authoritative() {
        return Err(Trouble::Fault(Fault::Malformed("it is not authoritative for the zone".to_owned())));
    }
    let mut answers = response.answers().flatten();
    let soa = answers.find(|record| record.rtype == RecordType::SOA && record.class == CLASS_IN);
    let soa = soa.and_then(|record| {
        let rdata = crate::zone::read_rdata(record.rtype, record.message, record.start).ok()?;
        Soa::of(&rdata)
    });
    soa.ok_or_else(|| Trouble::Fault(Fault::Malformed("its reply has no SOA record".to_owned())))
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> Result<(), Trouble> {
    let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    timeout(MESSAGE, stream.write_all(&framed)).await.map_err(|_| late())??;
    Ok(())
}

async fn receive(stream: &mut TcpStream, message: &mut Vec<u8>, until: Instant) -> Result<(), Trouble> {
    let read = async {
        let length = usize::from(stream.read_u16().await?);
        message.resize(length, 0);
        stream.read_exact(message).await
    };
    timeout_at(until, read).await.map_err(|_| late())??;
    Ok(())
}

fn late() -> Trouble {
    Trouble::Unreachable("it does not answer in time".to_owned())
}

fn no_reply() -> Trouble {
    Trouble::Fault(Fault::Malformed("it is no response to what was asked".to_owned()))
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Unreachable("it closed the connection".to_owned()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(because) => f.write_str(because),
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Signature(error) => write!(f, "{error}"),
        }
    }
}
