//! One attempt at what shows that a node serves, and whose fault it is if it fails.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use http_body_util::Full;
use hyper::header::USER_AGENT;
use hyper::{Request, Uri};
use tokio::net::TcpStream;

use super::tls::Tls;
use super::{Fault, Goal, rtmp};
use crate::feed::client::{AGENT, Clients, HttpClient, causes};
use crate::feed::credentials::Credentials;
use crate::feed::names::Names;

/// What all probes need.
#[derive(Clone)]
pub(super) struct Prober {
    client: HttpClient,
    tls: Tls,
}

impl Prober {
    pub(super) fn new(names: Names) -> Self {
        // A connection kept open would hide that no new one can be made.
        Self { client: Clients::new(0, names).of(&Credentials::default()), tls: Tls::new() }
    }

    /// Tries once; whoever calls bounds the time.
    pub(super) async fn attempt(&self, goal: &Goal) -> Result<(), Fault> {
        match goal {
            Goal::Tcp(address) => connect(*address).await.map(drop),
            Goal::Rtmp(address) => {
                let mut stream = connect(*address).await?;
                rtmp::shake_hands(&mut stream).await.map_err(|refusal| Fault::Node(refusal.to_string()))
            }
            Goal::Tls(address) => {
                let stream = connect(*address).await?;
                let shaken = self.tls.shake_hands(stream, address.ip()).await;
                shaken.map_err(|error| fault("no TLS", &error, Some(address.ip())))
            }
            Goal::Http { url, status } => self.get(url, *status).await,
        }
    }

    async fn get(&self, url: &str, expected: Option<u16>) -> Result<(), Fault> {
        let request = url
            .parse::<Uri>()
            .map_err(http::Error::from)
            .and_then(|url| Request::get(url).header(USER_AGENT, AGENT).body(Full::default()));
        let request = request.map_err(|error| fault("the URL cannot be asked", &error, None))?;
        let host = request.uri().host().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        match self.client.request(request).await {
            Ok(response) => {
                let found = response.status().as_u16();
                match expected {
                    Some(expected) if found != expected => Err(Fault::Node(format!("status {found}, not {expected}"))),
                    None if found >= 400 => Err(Fault::Node(format!("status {found}"))),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                let what = if error.is_connect() { "no connection" } else { "the exchange broke" };
                // Its own words only name the step.
                Err(fault(what, error.source().unwrap_or(&error), host))
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Fault> {
    TcpStream::connect(address).await.map_err(|error| fault("no connection", &error, Some(address.ip())))
}

/// What went wrong, and whose fault that is.
fn fault(what: &str, error: &(dyn Error + 'static), address: Option<IpAddr>) -> Fault {
    let why = format!("{what}: {}", causes(error));
    let is_here = match system_error(error) {
        // A router on the way may say so too, of the node's network.
        Some(libc::ENETUNREACH) => address.is_some_and(|address| !has_route(address)),
        Some(number) => is_ours(number),
        None => false,
    };
    if is_here { Fault::Here(why) } else { Fault::Node(why) }
}

/// Whether this machine is out of sockets, ports or memory, has no such address family, or lets nobody out.
fn is_ours(number: i32) -> bool {
    const OURS: [i32; 8] = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EADDRNOTAVAIL,
        libc::EAFNOSUPPORT,
        libc::EPERM,
        libc::EACCES,
    ];
    OURS.contains(&number)
}

/// The error of the system that is behind an error, if one is.
fn system_error(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(cause) = error {
        let system = cause.downcast_ref::<io::Error>();
        if let Some(number) = system.and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        // An I/O error passes over what it wraps when it is asked for its source.
        let wrapped = system.and_then(io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
        error = wrapped.or_else(|| cause.source());
    }
    None
}

/// Whether this machine knows a way to an address; to connect a datagram socket asks the routing table, and sends nothing.
fn has_route(address: IpAddr) -> bool {
    const ANY_PORT: u16 = 9;
    let own: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((own, 0)).and_then(|socket| socket.connect((address, ANY_PORT))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_node() {
        let of = |error: io::Error, address: Option<IpAddr>| fault("no connection", &error, address);
        let of_number = |number| of(io::Error::from_raw_os_error(number), Some(Ipv4Addr::LOCALHOST.into()));
        for number in [libc::EMFILE, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::EPERM] {
            assert!(matches!(of_number(number), Fault::Here(_)), "{number}");
        }
        let wrapped = io::Error::other(io::Error::from_raw_os_error(libc::ENOBUFS));
        assert!(matches!(of(wrapped, None), Fault::Here(_)));
        assert!(matches!(of_number(libc::ECONNREFUSED), Fault::Node(_)));
    }

    #[test]
    fn a_network_that_only_routers_cannot_reach_is_the_nodes() {
        let error = || io::Error::from_raw_os_error(libc::ENETUNREACH);
        assert!(matches!(fault("no connection", &error(), Some(Ipv4Addr::LOCALHOST.into())), Fault::Node(_)));
        // RFC 6890 §2.2.2: 240.0.0.0/4 is forwarded by nobody, and Linux has no way there.
        let nowhere: IpAddr = Ipv4Addr::new(240, 0, 0, 1).into();
        if !has_route(nowhere) {
            assert!(matches!(fault("no connection", &error(), Some(nowhere)), Fault::Here(_)));
        }
    }
}
