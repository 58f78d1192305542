//! Signing a zone here: keys, a chain of NSEC records and signatures are added to what its file says (RFC 4035 §2).
//!
//! A zone that is signed so is a zone like one that was signed in its file, and can be transferred.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread;

use super::denial::{Denial, expiration};
use super::kept::{Digest, Digester, Kept};
use super::layout;
use super::records::Records;
use super::store::{APEX, NONE, Rrset, Zone};
use crate::diagnostic::Diagnostic;
use crate::dnssec::{Canonical, KeySet, Lifetime, Signer, bitmap, delegation_signer};
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
        (self.lifetime, self.key_ttl).hash(&mut hasher);
        hasher.finish()
    }
}

impl Records {
    /// Adds to the records of a zone all that signs it. The zone must have been built of them; `before` is what was kept of the
    /// last time. An error says why it cannot be signed.
    pub fn sign(
        &mut self,
        zone: &Zone,
        signing: &Signing,
        now: u64,
        before: Option<&Kept>,
        threads: usize,
    ) -> Result<Signed, Diagnostic> {
        self.sign_as(zone, signing, now, (before, None), threads)
    }

    /// The same for the form of the zone that is transferred, with the serial number of the one that answers, whose signatures
    /// are the same for most RRsets.
    pub fn sign_for_transfer(
        &mut self,
        zone: &Zone,
        signing: &Signing,
        now: u64,
        answering: &Signed,
        threads: usize,
    ) -> Result<Signed, Diagnostic> {
        let kept = &answering.kept;
        self.sign_as(zone, signing, now, (Some(kept), Some(kept.serial)), threads)
    }

    fn sign_as(
        &mut self,
        zone: &Zone,
        signing: &Signing,
        now: u64,
        (before, serial): (Option<&Kept>, Option<u32>),
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
        let Some(signer) = signing.keys.signer(zone.lower_apex(), signing.lifetime, now) else {
            let message = format!("no key signs the zone `{name}` now");
            let help =
                format!("make one with `thalweg keys generate {name}`, or look at the times of `thalweg keys list`");
            return Err(Diagnostic::error(message).help(help));
        };
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
        let serial = serial.unwrap_or_else(|| Kept::serial(before, zone.serial(), &content));
        self.set_serial(serial);
        let soa_jobs: Vec<Job> = soa_jobs.into_iter().map(|job| with_serial(job, serial)).collect();
        let soa_made = state.sign_all(&soa_jobs)?;
        let mut signatures = HashMap::new();
        let mut first_end = u64::MAX;
        for (job, made) in others.iter().zip(made).chain(soa_jobs.iter().zip(soa_made)) {
            if is_of_signing(job.rtype) {
                job.rdata.iter().for_each(|rdata| self.add(&job.owner, job.rtype, job.ttl, rdata));
            }
            for Made { digest, rdata } in made {
                self.add(&job.owner, RecordType::RRSIG, job.ttl, &rdata);
                first_end = first_end.min(u64::from(expiration(&rdata).unwrap_or(0)));
                signatures.insert(digest, rdata);
            }
        }
        let renewed = first_end.saturating_sub(signing.lifetime.refresh).max(now + 1);
        let again = signing.keys.next(now).map_or(renewed, |next| next.min(renewed));
        let kept = Arc::new(Kept { serial, content, signatures });
        Ok(Signed { kept, again, signer })
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
    let has_something =
        zone.rrsets_of(at).next().is_some() || node.steering.any_family().is_some() || zone.whoami == at;
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
    before: Option<&'s Kept>,
    now: u64,
    threads: usize,
}

impl Signed {
    /// Keeps the signatures of another form of the zone too.
    pub fn absorb(&mut self, other: Self) {
        self.again = self.again.min(other.again);
        // What was just made has one owner.
        if let (Some(kept), Ok(others)) = (Arc::get_mut(&mut self.kept), Arc::try_unwrap(other.kept)) {
            kept.signatures.extend(others.signatures);
        }
    }
}

impl State<'_> {
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

    fn sign(&self, job: &Job) -> Option<Vec<Made>> {
        let rrset = Canonical::new(&job.owner, job.rtype, job.ttl, job.rdata.clone());
        let keys = self.signer.keys_for(job.rtype);
        let of_key = keys.map(|key| {
            let digest = Digest::of(&self.signer.unsigned(key, &rrset));
            let before = self.before.and_then(|before| before.signatures.get(&digest));
            if let Some(rdata) =
                before.filter(|rdata| self.signing.lifetime.is_fresh(expiration(rdata).unwrap_or(0), self.now))
            {
                return Some(Made { digest, rdata: rdata.clone() });
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

    /// Gives it another form for transfers.
    pub fn with_transferred(self, transferred: Self) -> Self {
        Self { transferred: Some(Box::new(transferred)), ..self }
    }

    /// Whether answers have types at names that the file does not have there.
    pub fn adds_types(&self) -> bool {
        let lacks = |at, rtype| self.node(at).steering.family(rtype).is_some() && self.rrset(at, rtype).is_none();
        self.whoami != NONE || self.nodes().any(|(at, _)| lacks(at, RecordType::A) || lacks(at, RecordType::AAAA))
    }

    /// What signs it, if it is signed here.
    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// Gives it what it was signed with.
    pub fn with_signer(self, signed: &Signed) -> Self {
        Self { signer: Some(signed.signer.clone()), ..self }
    }
}
