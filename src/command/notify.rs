//! Telling systemd how the service is (sd_notify(3)): a datagram to the socket it names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A state that systemd knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Reloading,
    Stopping,
}

/// Tells systemd, if it wants to know; not being able to is logged and no more.
pub(super) fn notify(state: State) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let words = match state {
        State::Ready => "READY=1",
        // Type=notify-reload would want a time with it; the unit is Type=notify, which older systemd has too.
        State::Reloading => "RELOADING=1",
        State::Stopping => "STOPPING=1",
    };
    if let Err(error) = send(path.as_encoded_bytes(), words) {
        tracing::warn!(%error, "systemd cannot be told that the service is {state:?}");
    }
}

fn send(path: &[u8], words: &str) -> io::Result<()> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::str::from_utf8(path).map_err(io::Error::other)?)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(|_| ())
}
