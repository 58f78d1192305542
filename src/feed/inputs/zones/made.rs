//! One zone: read with what it includes and built, or kept as it was if all that it is made of is the same.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::ZoneFile;
use crate::diagnostic::{Diagnostic, Source, keep_excerpts};
use crate::feed::include::{Includes, Inclusions};
use crate::feed::inputs::{Taken, read_file, shown};
use crate::feed::parts::share;
use crate::feed::seal::Seal;
use crate::feed::secondary::Copy;
use crate::feed::stamps::Stamps;
use crate::feed::state::{peek, signatures_of};
use crate::name::Name;
use crate::zone::{self, Inclusion, Kept, Records, Signed, Signing, Steered, Zone};

/// What was made of a zone's files, and by what it is known that it need not be made again.
#[derive(Debug, Clone)]
pub(in crate::feed::inputs) struct Made {
    origin: Name,
    path: PathBuf,
    seal: Seal,
    inclusions: Inclusions,
    bound: Bound,
    /// What its files add to the sum of all zones.
    pub(super) share: u64,
    /// What is wrong with single records.
    pub(super) read: Vec<Diagnostic>,
    /// What is wrong with the zone as a whole.
    pub(super) built: Vec<Diagnostic>,
    /// None if it is broken.
    pub(super) zone: Option<Arc<Zone>>,
    /// What came of signing it; of the last time, if it is broken.
    signed: Option<Arc<Signed>>,
    /// When it was made, in seconds since 1970.
    made_at: u64,
}

/// What the configuration puts into a zone.
#[derive(Debug, Clone, Default)]
pub(in crate::feed::inputs) struct Bound {
    pub(super) steered: Vec<Steered>,
    pub(super) whoami: Option<Name>,
    /// By what it is signed, if it is signed here.
    pub(super) signing: Option<Arc<Signing>>,
}

/// What zones are read with; the same for all of them.
pub(super) struct Reading<'l> {
    pub(super) zone_directory: &'l Path,
    /// What was made of the files that were read last.
    pub(super) before: Option<&'l BTreeMap<Name, Arc<Made>>>,
    /// The zones that are served.
    pub(super) served: BTreeMap<&'l Name, &'l Arc<Zone>>,
    /// Has taken nothing.
    pub(super) taken: Taken,
    /// Seconds since 1970.
    pub(super) now: u64,
    /// The state directory, where signatures are kept.
    pub(super) state: Option<PathBuf>,
}

/// What came of a zone's files.
pub(in crate::feed::inputs) struct Outcome {
    /// None if there is no file.
    pub(super) made: Option<Arc<Made>>,
    /// Why not.
    pub(super) unreadable: Option<Diagnostic>,
    /// The serial is not as secondaries want it.
    pub(super) serial: Option<Diagnostic>,
    pub(super) watched: Stamps,
    pub(super) taken: Taken,
}

impl Reading<'_> {
    /// Reads a zone, and builds it, with what is bound to it, if that is known. Its text and its records are gone afterwards:
    /// together they are larger than the zone.
    pub(super) fn read(&self, file: &ZoneFile, bound: Option<&Bound>) -> Outcome {
        let ZoneFile { origin, path, is_there, transferred } = file;
        let mut outcome = Outcome {
            made: None,
            unreadable: None,
            serial: None,
            watched: Stamps::default(),
            taken: self.taken.like(),
        };
        if !is_there {
            return outcome;
        }
        if let Some(Some(copy)) = transferred {
            self.read_copy(file, copy, bound, &mut outcome);
            return outcome;
        }
        outcome.watched.take(path);
        // A pipe that is named in the configuration is meant; one that lies among the zones is not.
        let read = if path.starts_with(self.zone_directory) { read_file(path) } else { std::fs::read(path) };
        let octets = match read {
            Ok(octets) => octets,
            Err(error) => {
                let error = Diagnostic::error(format!("cannot be read: {error}")).in_file(shown(path));
                outcome.unreadable = Some(error);
                outcome.made = Some(Arc::new(self.unreadable(file, bound)));
                return outcome;
            }
        };
        let seal = outcome.taken.take(path, &octets);
        let name: Arc<str> = shown(path).into();
        let includes = || Includes::new(self.zone_directory, path, &name, seal);
        let before = self.before.and_then(|before| before.get(origin));
        if let Some(before) = before.filter(|before| before.is_of(file, seal, bound) && !before.is_due(self.now)) {
            let mut taken = self.taken.like();
            if includes().are_still(&before.inclusions, &mut outcome.watched, &mut taken) {
                outcome.taken.append(taken);
                outcome.made = Some(Arc::clone(before));
                return outcome;
            }
        }
        self.make(file, bound, seal, octets, includes(), &mut outcome);
        outcome
    }

    /// What is left of a zone whose file cannot be read, which no file is the same as.
    fn unreadable(&self, ZoneFile { origin, path, .. }: &ZoneFile, bound: Option<&Bound>) -> Made {
        let seal = Seal::of(&[]);
        Made {
            origin: origin.clone(),
            path: PathBuf::new(),
            seal,
            inclusions: Includes::new(self.zone_directory, path, &shown(path).into(), seal).end().0,
            bound: bound.cloned().unwrap_or_default(),
            share: 0,
            read: Vec::new(),
            built: Vec::new(),
            zone: None,
            signed: self.signed_before(origin),
            made_at: self.now,
        }
    }

    /// Makes a zone of what came from another server, unless it was made before.
    fn read_copy(&self, file: &ZoneFile, copy: &Copy, bound: Option<&Bound>, outcome: &mut Outcome) {
        let seal = Seal::of(copy.source.text.as_bytes());
        let before = self.before.and_then(|before| before.get(&file.origin));
        if let Some(before) = before.filter(|before| before.is_of(file, seal, bound) && !before.is_due(self.now)) {
            outcome.made = Some(Arc::clone(before));
            return;
        }
        // What is written there names no file.
        let mut open =
            |_: &Inclusion<'_>| Err(Box::new(Diagnostic::error("a zone from another server includes nothing")));
        let (mut records, mut read) = zone::read(&copy.source, &file.origin, &mut open);
        let bound = bound.cloned().unwrap_or_default();
        let (zone, signed, mut built) = self.build(&mut records, &bound, &copy.source.name);
        keep_excerpts(&mut read);
        keep_excerpts(&mut built);
        outcome.made = Some(Arc::new(Made {
            origin: file.origin.clone(),
            path: file.path.clone(),
            seal,
            inclusions: Includes::new(self.zone_directory, &file.path, &copy.source.name, seal).end().0,
            bound,
            // Which version it is depends on when it came, not on what nameservers read.
            share: 0,
            read,
            built,
            signed: self.signed_now(&file.origin, zone.as_ref(), signed),
            zone: zone.map(Arc::new),
            made_at: self.now,
        }));
    }

    fn make(
        &self,
        file: &ZoneFile,
        bound: Option<&Bound>,
        seal: Seal,
        octets: Vec<u8>,
        mut includes: Includes,
        outcome: &mut Outcome,
    ) {
        let ZoneFile { origin, path, .. } = file;
        let own_share = share(&(origin.wire(), &octets));
        let source = Source::new(shown(path), zone::text_of(octets));
        includes.begin(&source);
        let Outcome { watched, taken, .. } = outcome;
        let mut open = |inclusion: &Inclusion<'_>| includes.open(inclusion, watched, taken);
        let (mut records, mut read) = zone::read(&source, origin, &mut open);
        let (zone, signed, mut built) = match bound {
            Some(bound) => self.build(&mut records, bound, &source.name),
            None => (None, None, Vec::new()),
        };
        let before = self.served.get(origin);
        outcome.serial = before.zip(zone.as_ref()).and_then(|(before, zone)| zone.check_serial(before, &records));
        keep_excerpts(&mut read);
        keep_excerpts(&mut built);
        keep_excerpts(outcome.serial.as_mut_slice());
        let (inclusions, texts) = includes.end();
        let share = texts.fold(own_share, |sum, source| sum.wrapping_add(share(&&*source.text)));
        outcome.made = Some(Arc::new(Made {
            origin: origin.clone(),
            path: path.clone(),
            seal,
            inclusions,
            bound: bound.cloned().unwrap_or_default(),
            share,
            read,
            built,
            signed: self.signed_now(origin, zone.as_ref(), signed),
            zone: zone.map(Arc::new),
            made_at: self.now,
        }));
    }

    /// What came of signing a zone; if it is broken, of the last time, from where it goes on when it is whole again.
    fn signed_now(&self, origin: &Name, zone: Option<&Zone>, signed: Option<Signed>) -> Option<Arc<Signed>> {
        if zone.is_some() { signed.map(Arc::new) } else { self.signed_before(origin) }
    }

    fn signed_before(&self, origin: &Name) -> Option<Arc<Signed>> {
        self.before?.get(origin)?.signed.clone()
    }

    /// Makes a zone of records with what is bound to it, and signs it if it is to be signed here.
    fn build(
        &self,
        records: &mut Records,
        bound: &Bound,
        file: &str,
    ) -> (Option<Zone>, Option<Signed>, Vec<Diagnostic>) {
        let (zone, mut faults) = Zone::build_with_whoami(records, &bound.steered, bound.whoami.as_ref());
        let Some(zone) = zone else { return (None, None, faults) };
        match self.sign(records, zone, bound) {
            Ok((zone, signed)) => (Some(zone), signed, faults),
            Err(error) => {
                faults.push(error.in_file(file.to_owned()));
                (None, None, faults)
            }
        }
    }

    /// Signs a zone if it is to be signed here; else looks at whether all that it answers can be proved.
    fn sign(&self, records: &mut Records, zone: Zone, bound: &Bound) -> Result<(Zone, Option<Signed>), Diagnostic> {
        let Bound { steered, whoami, signing } = bound;
        let Some(signing) = signing else {
            let is_added =
                zone.is_signed_elsewhere().then(|| steered.first().map(|steered| &steered.owner).or(whoami.as_ref()));
            return match is_added.flatten() {
                Some(name) => {
                    let message = format!("`{name}` is answered anew each time, but its zone comes signed");
                    let help = format!(
                        "delegate a child zone for it and have that signed here, or have this one signed here: \
                         `[zone.\"{}\"] dnssec = {{ keys = \"keys\" }}` and let it come without signatures",
                        zone.apex()
                    );
                    Err(Diagnostic::error(message).help(help))
                }
                None => Ok((zone, None)),
            };
        };
        let before = self.signed_before(zone.apex());
        if let Some(lost) = before.as_ref().and_then(|before| signing.keys.lost(&before.signing.keys, self.now)) {
            let message =
                format!("the key {} of `{}` has gone, to which the parent may point", lost.tag(), zone.apex());
            let help =
                "put its files back; `thalweg keys rollover --ksk` replaces a key, and says when the old one may go";
            return Err(Diagnostic::error(message).help(help));
        }
        let before =
            before.map(|signed| Arc::clone(&signed.kept)).or_else(|| kept(self.state.as_deref()?, zone.apex()));
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let (zone, signed) =
            records.sign(&zone, (steered, whoami.as_ref()), signing, self.now, before.as_deref(), threads)?;
        Ok((zone, Some(signed)))
    }
}

/// What was kept of a signed zone over a restart.
fn kept(state: &Path, zone: &Name) -> Option<Arc<Kept>> {
    let octets = peek(state, &signatures_of(zone))?;
    Kept::of_octets(&octets).map(Arc::new)
}

impl Made {
    /// Whether it is to be signed again, at a time in seconds since 1970.
    pub(in crate::feed::inputs) fn is_due(&self, now: u64) -> bool {
        match (&self.signed, &self.bound.signing) {
            (Some(signed), _) => signed.again <= now || now < signed.from,
            // No key signed; perhaps one soon will.
            (None, Some(signing)) => signing.keys.next(self.made_at).is_some_and(|next| next <= now),
            (None, None) => false,
        }
    }

    /// The zone as it is served, signed again, and what is then known of it; none if it was never signed here. It is signed by
    /// what it was signed with, so that what is wrong with its file or its keys since then holds up nothing.
    pub(in crate::feed::inputs) fn sign_again(
        &self,
        served: &Zone,
        now: u64,
        threads: usize,
    ) -> Option<Result<(Arc<Zone>, Self), Diagnostic>> {
        served.signer()?;
        let Bound { steered, whoami, signing: _ } = &self.bound;
        let again = served.sign_again((steered, whoami.as_ref()), self.signed.as_ref()?, now, threads);
        Some(again.map(|(zone, signed)| {
            let zone = Arc::new(zone);
            let is_whole = self.zone.is_some();
            let made = Self {
                zone: is_whole.then(|| Arc::clone(&zone)),
                signed: Some(Arc::new(signed)),
                made_at: now,
                ..self.clone()
            };
            (zone, made)
        }))
    }

    pub(in crate::feed::inputs) fn signed(&self) -> Option<&Arc<Signed>> {
        self.signed.as_ref()
    }

    pub(in crate::feed::inputs) fn signing(&self) -> Option<&Arc<Signing>> {
        self.bound.signing.as_ref()
    }

    /// Whether the same would be made of this file, as far as can be said before its inclusions are looked at. Messages show
    /// names as they were written, so upper and lower case count.
    fn is_of(&self, file: &ZoneFile, seal: Seal, bound: Option<&Bound>) -> bool {
        let is_bound = bound.is_none_or(|bound| self.bound.is_same(bound));
        self.seal == seal && self.path == file.path && self.origin.wire() == file.origin.wire() && is_bound
    }
}

impl Bound {
    fn is_same(&self, other: &Self) -> bool {
        let wire = |name: &Option<Name>| name.as_ref().map(|name| name.wire().to_vec());
        let is_same = |(one, two): (&Steered, &Steered)| {
            let Steered { owner, service, has_v4, has_v6 } = one;
            owner.wire() == two.owner.wire() && (service, has_v4, has_v6) == (&two.service, &two.has_v4, &two.has_v6)
        };
        self.steered.len() == other.steered.len()
            && self.steered.iter().zip(&other.steered).all(is_same)
            && wire(&self.whoami) == wire(&other.whoami)
            && self.signing.as_ref().map(|signing| signing.mark())
                == other.signing.as_ref().map(|signing| signing.mark())
    }
}
