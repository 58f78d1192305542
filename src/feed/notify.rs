//! NOTIFY (RFC 1996): other nameservers are told that a zone has a new serial, until they answer.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::inputs::Inputs;
use super::unix_seconds;
use crate::config::Notified;
use crate::intake::{NotifyOutcome, TransferCounts};
use crate::name::Name;
use crate::snapshot::transfer_serial;
use crate::wire::{CLASS_IN, HEADER, Rcode, RecordType, TsigKey, sign_request};
use crate::zone::Zone;

/// How long each attempt waits for an answer: the first is lost now and then, and who is away for a minute asks by itself
/// when it is back (RFC 1996 §3.6 wants a bound, and a pause that grows).
const ATTEMPTS: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];
/// Nameservers that are told at the same time; others wait.
const MAX_AT_ONCE: usize = 64;
/// Octets of an answer: the question, and a signature.
const MAX_ANSWER: usize = 1_232;
/// Opcode NOTIFY, and AA (RFC 1996 §3.3, §3.7).
const NOTIFY_AUTHORITATIVE: [u8; 2] = [0x24, 0];
/// QR and opcode of an answer.
const ANSWER: u8 = 0xa0;

/// Who was told of which serial, and those who are being told.
pub(super) struct Notifier {
    told: HashMap<(Name, Notified), (u32, AbortHandle)>,
    tasks: JoinSet<()>,
    slots: Arc<Semaphore>,
    counts: Arc<TransferCounts>,
}

impl Notifier {
    /// Nobody was told anything.
    pub(super) fn new(counts: Arc<TransferCounts>) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_AT_ONCE));
        Self { told: HashMap::new(), tasks: JoinSet::new(), slots, counts }
    }

    /// Begins to tell who does not know these inputs' serials yet; who is being told of an older one need not hear of that.
    pub(super) fn tell(&mut self, inputs: &Inputs) {
        // Those that have ended.
        while self.tasks.try_join_next().is_some() {}
        let outward = inputs.config.zones.outward.iter().map(|written| &written.value);
        let wanted: Vec<(&Name, &Notified)> = outward
            .flat_map(|outward| outward.notify.iter().map(|notified| (&outward.zone, &notified.value)))
            .collect();
        self.told.retain(|(zone, notified), (_, task)| {
            let is_wanted = wanted.contains(&(zone, notified));
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
        for (apex, notified) in wanted {
            let Some(zone) = inputs.zones.get(apex) else { continue };
            let serial = transfer_serial(zone);
            let at = (apex.clone(), notified.clone());
            match self.told.get(&at) {
                Some((known, _)) if *known == serial => continue,
                Some((_, task)) => task.abort(),
                None => {}
            }
            let key = notified.key.as_ref().and_then(|key| inputs.keys.get(key)).cloned();
            let (to, question) = (notified.address, question(zone));
            let telling = Telling { zone: apex.clone(), serial, from: source(inputs, to), to, question, key };
            let (slots, counts) = (Arc::clone(&self.slots), Arc::clone(&self.counts));
            let task = self.tasks.spawn(async move {
                // It is never closed.
                let Ok(_slot) = slots.acquire().await else { return };
                counts.count_notify(telling.tell().await);
            });
            self.told.insert(at, (serial, task));
        }
    }
}

/// The address that a nameserver is told from: that which it would ask, if this server listens on single ones; any port.
fn source(inputs: &Inputs, to: SocketAddr) -> SocketAddr {
    let listens = inputs.config.server.dns.iter().map(|listen| listen.value.ip());
    let fits = |address: &IpAddr| {
        address.is_ipv4() == to.is_ipv4()
            && !address.is_unspecified()
            // From there nothing leaves the machine.
            && (!address.is_loopback() || to.ip().is_loopback())
    };
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(listens.into_iter().find(fits).unwrap_or(any), 0)
}

/// The message behind its id and flags: the question for the SOA record, and the record as a hint (RFC 1996 §3.7).
fn question(zone: &Zone) -> Vec<u8> {
    let mut octets = vec![0, 1, 0, 1, 0, 0, 0, 0];
    octets.extend_from_slice(zone.apex().wire());
    octets.extend(RecordType::SOA.0.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    // Its owner is a pointer at the question.
    octets.extend_from_slice(zone.raw_soa().bytes);
    octets
}

/// A nameserver that is being told of a serial.
struct Telling {
    zone: Name,
    serial: u32,
    from: SocketAddr,
    to: SocketAddr,
    question: Vec<u8>,
    key: Option<Arc<TsigKey>>,
}

/// What came of one attempt.
enum Answer {
    Rcode(Rcode),
    /// Nobody answered, or nobody who can be believed; why.
    Nothing(String),
}

impl Telling {
    async fn tell(&self) -> NotifyOutcome {
        let Self { zone, serial, to, .. } = self;
        let mut because = String::new();
        for pause in ATTEMPTS {
            let end = Instant::now() + pause;
            match self.attempt(end).await {
                Ok(Answer::Rcode(Rcode::NOERROR)) => {
                    tracing::info!(%zone, serial, %to, "told of the new serial");
                    return NotifyOutcome::Answered;
                }
                Ok(Answer::Rcode(rcode)) => {
                    let rcode = rcode.mnemonic();
                    tracing::warn!(%zone, serial, %to, "NOTIFY was answered {rcode}: is this server a primary there?");
                    return NotifyOutcome::Refused;
                }
                Ok(Answer::Nothing(why)) => because = why,
                Err(error) => because = error.to_string(),
            }
            tokio::time::sleep_until(end).await;
        }
        tracing::warn!(%zone, serial, %to, "NOTIFY was not answered ({because}): it will ask by itself");
        NotifyOutcome::Unanswered
    }

    /// Sends a message from a new port with a new id, which nobody can guess, and waits for what answers it.
    async fn attempt(&self, end: Instant) -> io::Result<Answer> {
        let socket = UdpSocket::bind(self.from).await?;
        // Who is connected hears its peer alone, and whether anybody listens there.
        socket.connect(self.to).await?;
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let mut message = [&id[..], &NOTIFY_AUTHORITATIVE, &self.question].concat();
        let mut verifier = self.key.as_ref().map(|key| sign_request(key, &mut message, unix_seconds()));
        socket.send(&message).await?;
        let mut because = "it is silent".to_owned();
        let mut answer = [0; MAX_ANSWER];
        loop {
            let Ok(received) = timeout_at(end, socket.recv(&mut answer)).await else {
                return Ok(Answer::Nothing(because));
            };
            let answer = &answer[..received?];
            let Some(rcode) = self.rcode(answer, id) else { continue };
            if let Some(Err(error)) = verifier.as_mut().map(|verifier| verifier.verify(answer, unix_seconds())) {
                // Somebody else may have sent it.
                because = error.to_string();
                continue;
            }
            return Ok(Answer::Rcode(rcode));
        }
    }

    /// The response code, if this answers our message.
    fn rcode(&self, answer: &[u8], id: [u8; 2]) -> Option<Rcode> {
        let header: &[u8; HEADER] = answer.first_chunk()?;
        let name = self.zone.wire().len();
        let is_ours = header[..2] == id && header[2] & 0xf8 == ANSWER;
        // RFC 1996 §4.7: the question comes back; an error may come without.
        let is_of_zone = header[4..6] == [0, 0]
            || answer.get(HEADER..HEADER + name).is_some_and(|there| there.eq_ignore_ascii_case(self.zone.wire()));
        (is_ours && is_of_zone).then_some(Rcode(u16::from(header[3] & 0x0f)))
    }
}
