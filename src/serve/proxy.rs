//! The PROXY protocol, version 2: a proxy tells before the first octet of a connection whose it is.
//!
//! From the networks of `server.proxy_protocol` the header is required: the specification (HAProxy, proxy-protocol.txt,
//! §2) forbids to guess whether it is there, or clients behind a proxy could write their own. From others it is no
//! header but what the carrier makes of these octets, which is never a query.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets before the addresses: the signature, version and command, family and protocol, and a length.
const FIXED: usize = 16;
/// Octets of the longest header: addresses, and what proxies add to them (certificates in TLVs are the longest).
const MAX_LENGTH: usize = 4_096;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// A client's, and the address that he called, as the proxy has it.
    Client(SocketAddr, IpAddr),
    /// The proxy's own, to see whether anybody is there.
    Own,
}

/// Reads a header, and not an octet more.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Told> {
    let wrong = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    if !fixed.starts_with(SIGNATURE) {
        return Err(wrong("no header of the PROXY protocol, version 2"));
    }
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_LENGTH {
        return Err(wrong("a header of the PROXY protocol that is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    told(fixed[12], fixed[13], &rest).ok_or_else(|| wrong("a header of the PROXY protocol that cannot be read"))
}

/// What a header says; none if nothing that is known here.
fn told(version_and_command: u8, family: u8, rest: &[u8]) -> Option<Told> {
    match version_and_command {
        // LOCAL: whatever follows is to be skipped.
        0x20 => return Some(Told::Own),
        0x21 => {}
        _ => return None,
    }
    match family {
        // TCP over IPv4: source, destination, and their ports.
        0x11 => {
            let (addresses, _tlvs) = rest.split_first_chunk::<12>()?;
            let [a, b, c, d, e, f, g, h, port @ .., _, _] = *addresses;
            let client = Ipv4Addr::new(a, b, c, d).into();
            Some(Told::Client(SocketAddr::new(client, u16::from_be_bytes(port)), Ipv4Addr::new(e, f, g, h).into()))
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, _tlvs) = rest.split_first_chunk::<4>()?;
            let client = Ipv6Addr::from(*source).to_canonical();
            let port = u16::from_be_bytes([ports[0], ports[1]]);
            Some(Told::Client(SocketAddr::new(client, port), Ipv6Addr::from(*destination).to_canonical()))
        }
        // UNSPEC: the proxy knows of no addresses, so the connection counts as its own.
        0x00 => Some(Told::Own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
    }

    async fn read_all(mut octets: &[u8]) -> (Option<Told>, usize) {
        let told = read(&mut octets).await.ok();
        (told, octets.len())
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_told_and_tlvs_skipped() {
        let v4 = [192, 0, 2, 77, 198, 51, 100, 1, 0xc3, 0x50, 0, 53];
        let client = Told::Client("192.0.2.77:50000".parse().unwrap(), "198.51.100.1".parse().unwrap());
        assert_eq!(read_all(&[&header(0x21, 0x11, &v4)[..], b"next"].concat()).await, (Some(client), 4));
        let with_tlv = [&v4[..], b"\x04\x00\x03abc"].concat();
        assert_eq!(read_all(&[&header(0x21, 0x11, &with_tlv)[..], b"next"].concat()).await, (Some(client), 4));
        let [source, destination] = ["2001:db8::7", "2001:db8::53"].map(|text| text.parse::<Ipv6Addr>().unwrap());
        let v6 = [&source.octets()[..], &destination.octets(), &[0xc3, 0x50, 0, 53]].concat();
        let client = Told::Client(SocketAddr::new(source.into(), 50_000), destination.into());
        assert_eq!(read_all(&header(0x21, 0x21, &v6)).await, (Some(client), 0));
    }

    #[tokio::test]
    async fn checks_of_the_proxy_are_its_own() {
        for own in [header(0x20, 0x00, b""), header(0x20, 0x11, &[1; 12]), header(0x21, 0x00, b"\x04\0\0")] {
            assert_eq!(read_all(&own).await.0, Some(Told::Own));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let v4 = [192, 0, 2, 77, 198, 51, 100, 1, 0xc3, 0x50, 0, 53];
        let whole = header(0x21, 0x11, &v4);
        for wrong in [
            b"PROXY TCP4 192.0.2.77 198.51.100.1 50000 53\r\n".to_vec(),
            whole[..whole.len() - 1].to_vec(),
            header(0x21, 0x11, &v4[..11]),
            header(0x22, 0x11, &v4),
            header(0x31, 0x11, &v4),
            header(0x21, 0x12, &v4),
            header(0x21, 0x11, &[0; MAX_LENGTH + 1]),
        ] {
            assert_eq!(read_all(&wrong).await.0, None, "{wrong:?}");
        }
    }
}
