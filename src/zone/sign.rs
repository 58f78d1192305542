//! Signing a zone here: keys, a chain of NSEC records and signatures are added to what its file says (RFC 4035 §2).
//!
//! A zone that is signed so is a zone like one that was signed in its file, and can be transferred.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread;

use super::Steered;
use super::denial::Denial;
use super::kept::{Digest, Digester, Kept};
use super::layout;
use super::records::Records;
use super::store::{APEX, NONE, Node, Rrset, Zone};
use crate::diagnostic::Diagnostic;
use crate::dnssec::{Canonical, KeySet, Lifetime, Signer, Unsigned, Validity, bitmap, delegation_signer};
use crate::name::Name;
use crate::wire::RecordType;

/// By what a zone is signed, and when.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The keys.
    pub keys: KeySet,
    /// How long signatures count.
    pub lifetime: Lifetime,
    /// TTL of the keys' records, in seconds.
    pub key_ttl: u32,
}

/// What came of signing.
#[derive(Debug)]
pub struct Signed {
    /// What makes the next signing cheaper, and keeps the serial number going up.
    pub kept: Arc<Kept>,
    /// When the zone is to be signed again, in seconds since 1970.
    pub again: u64,
    /// From when on all of its signatures count: before that, a clock was ahead, and it is to be signed again too.
    pub from: u64,
    /// By what it was signed.
    pub signing: Signing,
    pub(super) signer: Signer,
}

/// An RRset that is to be signed.
struct Job {
    owner: Box<[u8]>,
    rtype: RecordType,
    ttl: u32,
    rdata: Vec<Box<[u8]>>,
}

/// A signature, and by what it is found again.
struct Made {
    digest: Digest,
    rdata: Box<[u8]>,
}

impl Signing {
    /// Another one for each set of keys, times and bounds.
    pub fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (key, times) in &self.keys.keys {
            (key.dnskey(), times).hash(&mut hasher);
        }
        (self.lifetime, self.key_ttl, self.keys.unusable).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether anything of the zone is to be signed, as it is transferred, for which nothing was kept that is still good.
    fn is_due(&self, zone: &Zone, kept: &Kept, now: u64) -> bool {
        let Ok(signer) = self.keys.signer(zone.lower_apex(), self.lifetime, now) else { return false };
        let state = State { signer: &signer, signing: self, before: &[kept], now, threads: 1 };
        let with_serial = |job: Job| if job.rtype == RecordType::SOA { with_serial(job, kept.serial) } else { job };
        let mut jobs = Records::key_jobs(zone, self, now).into_iter().chain(jobs_of(zone)).map(with_serial);
        jobs.any(|job| !state.is_kept(&job))
    }
}

impl Records {
    /// Signs a zone that was built of these records, with what is bound to it: steered names, and `server.whoami`. What is
    /// transferred, to nameservers that can answer neither, is signed too, if it is another.
    ///
    /// `kept` is what was kept of the last time. An error says why it cannot be signed.
    pub fn sign(
        &mut self,
        zone: &Zone,
        (steered, whoami): (&[Steered], Option<&Name>),
        signing: &Signing,
        now: u64,
        kept: Option<&Kept>,
        threads: usize,
    ) -> Result<(Zone, Signed), Diagnostic> {
        let mut plain = None;
        if zone.adds_types() {
            plain = Some((self.clone(), built(Zone::build(self, &[]))?));
        }
        // Secondaries ask for what is new by the serial number.
        let transferred = plain.as_ref().map_or(zone, |(_, unsigned)| unsigned);
        let is_new = |kept: &Kept| signing.is_due(transferred, kept, now);
        let before: Vec<&Kept> = kept.into_iter().collect();
        let serial = |content: &Digest| next_serial(kept, zone.serial(), content, is_new);
        let mut signed = self.sign_as(zone, signing, now, &before, serial, threads)?;
        let mut zone = built(Zone::build_with_whoami(self, steered, whoami))?.with_signer(&signed);
        if let Some((mut records, unsigned)) = plain {
            // Most of its RRsets are the same.
            let before: Vec<&Kept> = [&*signed.kept].into_iter().chain(kept).collect();
            let serial = signed.kept.serial;
            let other = records.sign_as(&unsigned, signing, now, &before, |_| serial, threads)?;
            zone.transferred = Some(Box::new(built(Zone::build(&records, &[]))?.with_signer(&other)));
            signed.absorb(other);
        }
        Ok((zone, signed))
    }

    /// Adds all that signs a zone to its records, with the serial number that its content has.
    fn sign_as(
        &mut self,
        zone: &Zone,
        signing: &Signing,
        now: u64,
        before: &[&Kept],
        serial: impl FnOnce(&Digest) -> u32,
        threads: usize,
    ) -> Result<Signed, Diagnostic> {
        let name = zone.apex();
        let foreign = |(_, rrset): &(&[u8], Rrset<'_>)| is_of_signing(rrset.rtype);
        if let Some((owner, rrset)) = zone.rrsets().find(foreign) {
            let owner = crate::name::Printed(owner);
            let message =
                format!("the zone `{name}` is to be signed here, but has {} records, as at `{owner}`", rrset.rtype);
            return Err(Diagnostic::error(message)
                .help("take `dnssec` out to serve it as it was signed, or these records out to have it signed here"));
        }
        let signer =
            signing.keys.signer(zone.lower_apex(), signing.lifetime, now).map_err(|why| unsigned(name, why))?;
        let mut jobs = Self::key_jobs(zone, signing, now);
        jobs.extend(jobs_of(zone));
        let state = State { signer: &signer, signing, before, now, threads };
        let (soa_jobs, others): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.rtype == RecordType::SOA);
        let made = state.sign_all(&others)?;
        let mut digester = Digester::new();
        for (owner, rrset) in zone.rrsets().filter(|(_, rrset)| rrset.rtype != RecordType::SOA) {
            digester.take(owner);
            digester.take(rrset.bytes);
        }
        made.iter().flatten().for_each(|made| digester.take(&made.rdata));
        let content = digester.finish();
        let serial = serial(&content);
        self.set_serial(serial);
        let soa_jobs: Vec<Job> = soa_jobs.into_iter().map(|job| with_serial(job, serial)).collect();
        let soa_made = state.sign_all(&soa_jobs)?;
        let mut signatures = HashMap::new();
        let (mut last_begin, mut first_end) = (0, u64::MAX);
        for (job, made) in others.iter().zip(made).chain(soa_jobs.iter().zip(soa_made)) {
            if is_of_signing(job.rtype) {
                job.rdata.iter().for_each(|rdata| self.add(&job.owner, job.rtype, job.ttl, rdata));
            }
            for Made { digest, rdata } in made {
                self.add(&job.owner, RecordType::RRSIG, job.ttl, &rdata);
                let Validity { inception, expiration } = Validity::of_rdata(&rdata).unwrap_or(Validity::OVER);
                (last_begin, first_end) = (last_begin.max(inception.into()), first_end.min(expiration.into()));
                signatures.insert(digest, rdata);
            }
        }
        let renewed = first_end.saturating_sub(signing.lifetime.refresh).max(now + 1);
        let again = signing.keys.next(now).map_or(renewed, |next| next.min(renewed));
        let kept = Arc::new(Kept { serial, content, signatures });
        Ok(Signed { kept, again, from: last_begin, signing: signing.clone(), signer })
    }

    /// The records of the keys, and what they tell the parent.
    fn key_jobs(zone: &Zone, signing: &Signing, now: u64) -> Vec<Job> {
        let apex = zone.lower_apex();
        let job = |rtype, rdata| Job { owner: apex.into(), rtype, ttl: signing.key_ttl, rdata };
        let dnskeys = signing.keys.published(now).iter().map(|key| key.dnskey().into()).collect();
        let synced = signing.keys.synced(now);
        let mut jobs = vec![job(RecordType::DNSKEY, dnskeys)];
        if !synced.is_empty() {
            let signers = synced.iter().map(|key| delegation_signer(apex, key.dnskey()).into());
            jobs.push(job(RecordType::CDS, signers.collect()));
            jobs.push(job(RecordType::CDNSKEY, synced.iter().map(|key| key.dnskey().into()).collect()));
        }
        let types: Vec<RecordType> = jobs.iter().map(|job| job.rtype).collect();
        jobs.extend(chain(zone, &types));
        jobs
    }
}

/// The serial number of a zone whose file has `written`: never below it, and one more than the last if anything has changed
/// (RFC 1982 tells which of two is higher), or is new to other nameservers, as is asked if nothing seems to have changed.
fn next_serial(kept: Option<&Kept>, written: u32, content: &Digest, is_new: impl Fn(&Kept) -> bool) -> u32 {
    let Some(kept) = kept else { return written };
    let is_higher = (written.wrapping_sub(kept.serial) as i32) > 0;
    if is_higher {
        written
    } else if kept.content != *content || is_new(kept) {
        kept.serial.wrapping_add(1)
    } else {
        kept.serial
    }
}

/// That a zone cannot be signed now.
fn unsigned(zone: &Name, why: Unsigned) -> Diagnostic {
    let (message, help) = match why {
        Unsigned::Unusable(count) => (
            format!("the zone `{zone}` is not signed as long as {count} of its keys cannot be used"),
            "mend the key; one that is not wanted any more gets its time of deletion first, and may go after that"
                .to_owned(),
        ),
        Unsigned::NoKeySigningKey => (
            format!("no key signs the keys of the zone `{zone}` now"),
            format!(
                "make one with `thalweg keys generate {zone}`, or look at the times of `thalweg keys list`; it takes one with \
                 the flags 257, to which the parent points"
            ),
        ),
    };
    Diagnostic::error(message).help(help)
}

/// The NSEC records of all names that have records, or answers without them; the apex has these types besides.
fn chain(zone: &Zone, at_apex: &[RecordType]) -> Vec<Job> {
    let ttl = zone.negative_soa().ttl;
    let places: Vec<u32> = zone.nodes().map(|(at, _)| at).filter(|&at| is_denied_by_itself(zone, at)).collect();
    let next = places.iter().cycle().skip(1);
    let jobs = places.iter().zip(next).map(|(&at, &next)| {
        let node = zone.node(at);
        let is_cut = node.cut == at;
        let own = zone.rrsets_of(at).map(|rrset| rrset.rtype);
        // RFC 4035 §2.3: at a cut, what the parent has.
        let own = own.filter(|rtype| !is_cut || matches!(*rtype, RecordType::NS | RecordType::DS));
        let steered =
            [RecordType::A, RecordType::AAAA].into_iter().filter(|rtype| node.steering.family(*rtype).is_some());
        let told = (zone.whoami == at).then_some(RecordType::TXT);
        let of_apex = at_apex.iter().copied().filter(|_| at == APEX);
        let types = own.chain(steered).chain(told).chain(of_apex).chain([RecordType::RRSIG, RecordType::NSEC]);
        let rdata = [zone.owner(next), &bitmap(types)].concat().into();
        // RFC 9077 §3: a proof is kept no longer than a negative answer.
        Job { owner: zone.owner(at).into(), rtype: RecordType::NSEC, ttl, rdata: vec![rdata] }
    });
    jobs.collect()
}

/// Whether a node has an NSEC record: it is authoritative, or a cut, and no empty non-terminal (RFC 4035 §2.3).
fn is_denied_by_itself(zone: &Zone, at: u32) -> bool {
    let node = zone.node(at);
    let has_something = zone.rrsets_of(at).next().is_some() || node.steering.service.is_some() || zone.whoami == at;
    (node.cut == NONE || node.cut == at) && has_something
}

/// The RRsets of the file that are signed: what the zone is authoritative for (RFC 4035 §2.2).
fn jobs_of(zone: &Zone) -> impl Iterator<Item = Job> {
    let nodes = zone.nodes().filter(|(at, node)| node.cut == NONE || node.cut == *at);
    nodes.flat_map(move |(at, node)| {
        let rrsets = zone.rrsets_of(at).filter(move |rrset| node.cut == NONE || rrset.rtype == RecordType::DS);
        rrsets.map(move |rrset| Job {
            owner: zone.owner(at).into(),
            rtype: rrset.rtype,
            ttl: rrset.ttl,
            rdata: rrset.rdata().map(|rdata| layout::canonical(rrset.rtype, rdata)).collect(),
        })
    })
}

/// What signing adds to a zone.
pub(super) fn is_of_signing(rtype: RecordType) -> bool {
    matches!(
        rtype,
        RecordType::DNSKEY
            | RecordType::CDS
            | RecordType::CDNSKEY
            | RecordType::RRSIG
            | RecordType::NSEC
            | RecordType::NSEC3
            | RecordType::NSEC3PARAM
    )
}

impl Job {
    fn canonical(&self) -> Canonical<'_> {
        Canonical::new(&self.owner, self.rtype, self.ttl, self.rdata.clone())
    }
}

fn with_serial(mut job: Job, serial: u32) -> Job {
    for rdata in &mut job.rdata {
        put_serial(rdata, serial);
    }
    job
}

/// Writes the serial number into the data of an SOA record: the first of the five numbers at its end.
pub(super) fn put_serial(rdata: &mut [u8], serial: u32) {
    if let Some(tail) = rdata.last_chunk_mut::<20>() {
        tail[..4].copy_from_slice(&serial.to_be_bytes());
    }
}

struct State<'s> {
    signer: &'s Signer,
    signing: &'s Signing,
    before: &'s [&'s Kept],
    now: u64,
    threads: usize,
}

/// A zone that was built once before with less in it.
fn built((zone, faults): (Option<Zone>, Vec<Diagnostic>)) -> Result<Zone, Diagnostic> {
    let fault = || faults.into_iter().find(Diagnostic::is_error);
    zone.ok_or_else(|| fault().unwrap_or_else(|| Diagnostic::error("the zone cannot be built with its signatures")))
}

impl Signed {
    /// Keeps the signatures of another form of the zone too.
    fn absorb(&mut self, other: Self) {
        (self.again, self.from) = (self.again.min(other.again), self.from.max(other.from));
        // What was just made has one owner.
        if let (Some(kept), Ok(others)) = (Arc::get_mut(&mut self.kept), Arc::try_unwrap(other.kept)) {
            kept.signatures.extend(others.signatures);
        }
    }
}

impl State<'_> {
    /// A signature of before that is still good.
    fn fresh(&self, digest: &Digest) -> Option<&[u8]> {
        let rdata = self.before.iter().find_map(|kept| kept.signatures.get(digest))?;
        let is_fresh = |validity| self.signing.lifetime.is_fresh(validity, self.now);
        Validity::of_rdata(rdata).is_some_and(is_fresh).then_some(&**rdata)
    }

    /// The signatures of each RRset, those that are still good as they were.
    fn sign_all(&self, jobs: &[Job]) -> Result<Vec<Vec<Made>>, Diagnostic> {
        let chunk = jobs.len().div_ceil(self.threads.max(1)).max(1);
        let state = self;
        let made: Option<Vec<Vec<Made>>> = thread::scope(|scope| {
            let chunks = jobs.chunks(chunk);
            let running: Vec<_> = chunks
                .map(|jobs| scope.spawn(move || jobs.iter().map(|job| state.sign(job)).collect::<Option<Vec<_>>>()))
                .collect();
            let ended = running.into_iter().map(|thread| thread.join().ok().flatten());
            ended.collect::<Option<Vec<_>>>().map(|made| made.into_iter().flatten().collect())
        });
        made.ok_or_else(|| Diagnostic::error("the system has no random numbers to sign with"))
    }

    /// Whether all signatures of an RRset are those of the last time.
    fn is_kept(&self, job: &Job) -> bool {
        let rrset = job.canonical();
        let mut keys = self.signer.keys_for(job.rtype);
        keys.all(|key| self.fresh(&Digest::of(&self.signer.unsigned(key, &rrset))).is_some())
    }

    fn sign(&self, job: &Job) -> Option<Vec<Made>> {
        let rrset = job.canonical();
        let keys = self.signer.keys_for(job.rtype);
        let of_key = keys.map(|key| {
            let digest = Digest::of(&self.signer.unsigned(key, &rrset));
            if let Some(rdata) = self.fresh(&digest) {
                return Some(Made { digest, rdata: rdata.into() });
            }
            let rdata = self.signer.sign(key, &rrset, self.signing.lifetime.from(self.now, digest.mark()))?;
            Some(Made { digest, rdata: rdata.into() })
        });
        of_key.collect()
    }
}

impl Zone {
    /// Whether the zone was signed before it came here.
    pub fn is_signed_elsewhere(&self) -> bool {
        self.signer.is_none() && !matches!(self.denial, Denial::None)
    }

    /// The zone as it is transferred: without what steering adds to names that its file does not have, which others could not answer.
    pub fn transferred(&self) -> &Self {
        self.transferred.as_deref().unwrap_or(self)
    }

    /// Whether answers have types at names that the file does not have there.
    fn adds_types(&self) -> bool {
        let lacks = |at, rtype| self.node(at).steering.family(rtype).is_some() && self.rrset(at, rtype).is_none();
        // RFC 4035 §2.3: no name has an NSEC record alone, as that of a service without nodes has.
        let is_bare = |at, node: Node| node.steering.service.is_some() && self.rrsets_of(at).next().is_none();
        let adds = |(at, node)| lacks(at, RecordType::A) || lacks(at, RecordType::AAAA) || is_bare(at, node);
        self.whoami != NONE || self.nodes().any(adds)
    }

    /// Signs it again as it is, with what is bound to it, by what it was signed with.
    pub fn sign_again(
        &self,
        (steered, whoami): (&[Steered], Option<&Name>),
        signed: &Signed,
        now: u64,
        threads: usize,
    ) -> Result<(Self, Signed), Diagnostic> {
        let mut records = Records::of(self);
        let zone = built(Self::build_with_whoami(&records, steered, whoami))?;
        records.sign(&zone, (steered, whoami), &signed.signing, now, Some(&signed.kept), threads)
    }

    /// What signs it, if it is signed here.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// Gives it what it was signed with.
    fn with_signer(self, signed: &Signed) -> Self {
        Self { signer: Some(signed.signer.clone()), ..self }
    }
}
