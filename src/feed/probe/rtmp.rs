//! The handshake of RTMP as a client (Adobe's RTMP specification 1.0, §5.2): C0 and C1 out, S0, S1 and S2 in, C2 out.

use std::hash::{BuildHasher, RandomState};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::steer::mix;

/// §5.2.2: the version of this specification.
const VERSION: u8 = 3;
/// §5.2.3 and §5.2.4: octets of C1, S1, C2 and S2.
const CHUNK: usize = 1536;
/// Octets in front of the random ones in each of them: two times of 4 octets, or one and four octets of nothing.
const TIMES: usize = 8;

/// Why there was no handshake.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The connection broke, or was closed.
    Broken(io::Error),
    /// S0 has another version: it is hardly RTMP.
    Version(u8),
    /// S2 is not what was sent.
    Echo,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("no RTMP handshake: it closed the connection")
            }
            Self::Broken(error) => write!(f, "no RTMP handshake: {error}"),
            Self::Version(octet) => {
                write!(f, "no RTMP handshake: its first octet is 0x{octet:02x}, not the version {VERSION}")
            }
            Self::Echo => f.write_str("no RTMP handshake: S2 is not an echo of C1"),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Goes through the handshake; what is behind it, and who may connect, is not asked.
pub(super) async fn shake_hands(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Refusal> {
    // A time of 0, and 0 behind it: servers that know a handshake with digests answer this one with the plain one.
    let mut hello = [0; 1 + CHUNK];
    hello[0] = VERSION;
    fill_with_noise(&mut hello[1 + TIMES..]);
    stream.write_all(&hello).await?;
    let version = stream.read_u8().await?;
    if version != VERSION {
        return Err(Refusal::Version(version));
    }
    let (mut theirs, mut echo) = ([0; CHUNK], [0; CHUNK]);
    // What servers write behind the time of S1 differs: §5.2.3 wants zeros, many tell their version.
    stream.read_exact(&mut theirs).await?;
    stream.read_exact(&mut echo).await?;
    // §5.2.4: S2 must contain the random octets of C1. Of its times only the first is ours, and some write their own.
    if echo[TIMES..] != hello[1 + TIMES..] {
        return Err(Refusal::Echo);
    }
    // C2 ends the handshake on the server's side too, which would else log a failed one with each probe. Whether it
    // is still read says nothing more.
    let _ended = stream.write_all(&theirs).await;
    Ok(())
}

/// §5.2.3: the octets only have to differ from those of other connections.
fn fill_with_noise(octets: &mut [u8]) {
    let mut noise = RandomState::new().hash_one(octets.len());
    for chunk in octets.chunks_mut(8) {
        noise = mix(noise);
        chunk.copy_from_slice(&noise.to_be_bytes()[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What a client finds where this is written once C0 and C1 are there; the octets that it sent first.
    async fn found(answer: impl Fn(&[u8]) -> Vec<u8>) -> (Result<(), Refusal>, Vec<u8>) {
        let (mut ours, mut theirs) = duplex(4 * CHUNK);
        let serve = async move {
            let mut hello = vec![0; 1 + CHUNK];
            theirs.read_exact(&mut hello).await.unwrap();
            theirs.write_all(&answer(&hello)).await.unwrap();
            drop(theirs);
            hello
        };
        tokio::join!(shake_hands(&mut ours), serve)
    }

    fn server(hello: &[u8]) -> Vec<u8> {
        let own = [7; CHUNK];
        [&[VERSION][..], &own, &hello[1..]].concat()
    }

    #[tokio::test]
    async fn c0_and_c1_are_as_the_specification_has_them() {
        let (result, hello) = found(server).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!((hello[0], &hello[1..9]), (3, &[0; 8][..]));
        assert_ne!(found(server).await.1, hello, "random octets tell connections apart");
    }

    #[tokio::test]
    async fn the_times_of_s2_may_be_the_servers_own() {
        let late = |hello: &[u8]| {
            let mut answer = server(hello);
            answer[1 + CHUNK..][..TIMES].copy_from_slice(&[9; TIMES]);
            answer
        };
        assert!(found(late).await.0.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_told() {
        let told = async |answer: fn(&[u8]) -> Vec<u8>| found(answer).await.0.unwrap_err().to_string();
        assert!(told(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await.ends_with("0x48, not the version 3"));
        assert!(told(|_| Vec::new()).await.ends_with("it closed the connection"));
        assert!(told(|hello| server(hello)[..3000].to_vec()).await.ends_with("it closed the connection"));
        assert!(told(|_| server(&[7; 1 + CHUNK])).await.ends_with("S2 is not an echo of C1"));
        // A server that echoes everything sends S0 and S1, and no S2.
        assert!(told(<[u8]>::to_vec).await.ends_with("it closed the connection"));
    }
}
