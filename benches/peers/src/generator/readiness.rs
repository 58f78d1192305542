//! Whether a server answers yet.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::random::Random;
use super::template::Template;
use crate::datagrams::MAX_DATAGRAM;
use crate::sets::Queries;

/// Between two questions: short against the load time of any zone.
const PATIENCE: Duration = Duration::from_millis(2);

/// Asks the first question of a set until a server at an IPv4 address answers it with records; says when it did. `go_on` ends it
/// by an error.
pub fn await_answer(server: SocketAddr, queries: &Queries, mut go_on: impl FnMut() -> Result<()>) -> Result<Instant> {
    let template = Template::new(&queries.questions[0], queries);
    let mut random = Random::new(0);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut datagram = [0; MAX_DATAGRAM];
    loop {
        go_on()?;
        let length = template.write(0, None, &mut random, &mut datagram);
        let asked = Instant::now();
        let received = socket.send(&datagram[..length]).and_then(|_| socket.recv(&mut datagram));
        let has_answered = received.is_ok_and(|length| length > 12 && datagram[3] & 0x0f == 0 && datagram[7] > 0);
        if has_answered {
            return Ok(Instant::now());
        }
        // While nobody listens there, the kernel refuses at once.
        std::thread::sleep(PATIENCE.saturating_sub(asked.elapsed()));
    }
}
