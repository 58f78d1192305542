//! Zone transfers out (RFC 5936, RFC 1995, RFC 9103): message by message, as fast as the secondary reads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::scratch::Path;
use super::stream::Place;
use super::{Responder, unix_milliseconds};
use crate::answer::{Context, Transfer, read, transfer};
use crate::intake::{Limit, TransferOutcome};
use crate::name::LookupName;
use crate::steer::Estimate;
use crate::wire::RecordType;

/// Transfers at a time; one more is refused, and secondaries come back.
pub(super) const MAX_TRANSFERS: usize = 32;
/// How long one may take: a secondary that reads so slowly holds an old zone in memory, and a place that others want.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Refusals are logged this often at most, in seconds: anybody can ask.
const LOG_PAUSE: u64 = 1;

/// A transfer that may begin, and its place among those at a time.
pub(super) struct Begun {
    transfer: Transfer,
    client: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

/// The transfer that a message asks for; none if it is something else, or is answered with an error as any other query.
pub(super) fn asked(responder: &Responder, message: &[u8], path: Path) -> Option<Box<Begun>> {
    let mut name = LookupName::new();
    // Most are something else, and are read again to be answered.
    if !may_be_transfer(message) {
        return None;
    }
    let query = read(message, &mut name)?;
    let Path { client, local, transport, idle } = path;
    let context = Context { client, local, transport, now: unix_milliseconds(), idle, estimate: Estimate::default() };
    let snapshot = responder.published.snapshot();
    let counts = &responder.transfers.counts;
    match transfer(&snapshot, &query, &context)? {
        Ok(transfer) => {
            let permit = responder.transfers.slots.clone().try_acquire_owned();
            let Ok(permit) = permit else {
                counts.count(TransferOutcome::Busy);
                tell(&responder.transfers.told, || {
                    let zone = &transfer.told.zone;
                    warn!(%client, %zone, "no transfer: there are {MAX_TRANSFERS} already");
                });
                return None;
            };
            Some(Box::new(Begun { transfer, client, _permit: permit }))
        }
        Err(denial) => {
            counts.count(TransferOutcome::Denied);
            tell(&responder.transfers.told, || info!(%client, "transfer refused: {denial}"));
            None
        }
    }
}

/// Whether a message can be a query for a transfer: its question ends with one of both types.
fn may_be_transfer(message: &[u8]) -> bool {
    let mut at = 12;
    while let Some(&length @ 1..=63) = message.get(at) {
        at += 1 + usize::from(length);
    }
    let qtype = message.get(at + 1..at + 3).map(|qtype| u16::from_be_bytes([qtype[0], qtype[1]]));
    qtype.is_some_and(|qtype| [RecordType::AXFR, RecordType::IXFR].contains(&RecordType(qtype)))
}

/// Logs unless that was done just now.
fn tell(told: &AtomicU64, log: impl FnOnce()) {
    let now = unix_milliseconds() / 1_000;
    let before = told.load(Ordering::Relaxed);
    let is_first =
        now >= before + LOG_PAUSE && told.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if is_first {
        log();
    }
}

/// Sends a transfer; an error is that it was not taken, and the limit that this came to.
///
/// One message is in memory at a time, and the next is made when the kernel has this one.
pub(super) async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    begun: Box<Begun>,
    responder: &Responder,
    place: &Place,
) -> Result<(), Option<Limit>> {
    let Begun { mut transfer, client, _permit } = *begun;
    let told = transfer.told.clone();
    let counts = &responder.transfers.counts;
    let start = Instant::now();
    let (mut octets, mut messages_sent) = (0, 0);
    let mut messages = transfer.messages();
    let ended = loop {
        let message = match messages.next(unix_milliseconds() / 1_000) {
            Ok(Some(message)) => message,
            Ok(None) => break Ok(()),
            Err(_) => {
                warn!(%client, zone = %told.zone, "transfer given up: a record is too large for a message");
                break Err(None);
            }
        };
        let write = async {
            stream.write_all(message).await?;
            // TLS holds octets that the socket did not take.
            stream.flush().await
        };
        let sent = tokio::select! {
            biased;
            written = timeout(place.limits().write, write) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(None),
                Err(_) => Err(Some(Limit::Write)),
            },
            // Who does not read is idle, too.
            () = place.wanted() => Err(None),
        };
        if sent.is_err() {
            break sent;
        }
        octets += message.len();
        messages_sent += 1;
        place.progressed();
        if start.elapsed() > LONGEST {
            break Err(Some(Limit::Total));
        }
    };
    let (kind, serial, zone) = (told.kind.word(), told.serial, &told.zone);
    let key = told.key.as_ref().map(ToString::to_string).unwrap_or_default();
    match ended {
        Ok(()) => {
            counts.count(TransferOutcome::Sent(told.kind));
            info!(%client, %zone, serial, since = told.since, kind, key, messages = messages_sent, octets, "transfer sent");
        }
        Err(limit) => {
            counts.count(TransferOutcome::Unread);
            let limit = limit.map_or("it is gone, or its place was wanted", Limit::key);
            warn!(%client, %zone, serial, kind, key, octets, limit, "transfer ended: the secondary did not read it");
        }
    }
    ended
}
