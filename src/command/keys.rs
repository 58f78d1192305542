//! `thalweg keys`: makes keys that sign zones, lists them, and rolls them over by their times (RFC 7583). Servers follow the times by
//! themselves; so that they agree, one machine at most has these commands run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::overrides::unix_seconds;
use super::table::aligned;
use super::{FAILURE, SUCCESS, draw};
use crate::config::{self, SignedZone};
use crate::diagnostic::Source;
use crate::dnssec::{Algorithm, KeyMaterial, Role, Times, delegation_signer, key_file, key_tag};
use crate::feed::inputs::load;
use crate::feed::zone_keys::{self, StoredKey};
use crate::name::Name;

/// What is rolled over, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollover {
    /// The key for all but keys: pre-publication (RFC 7583 §3.2.1).
    ZoneSigning,
    /// The key that the parent points at, first part: two of them sign (RFC 7583 §3.3.1).
    Begin,
    /// Its second part: the parent has the new one's DS record, and the old one may go.
    ParentPoints,
}

/// Until all nameservers have what is new, and clocks that differ.
pub const MARGIN: Duration = Duration::from_secs(3_600);
/// The longest TTL that a zone is thought to have, unless it is known.
pub const ZONE_TTL: Duration = Duration::from_secs(86_400);

/// How long things take to be everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// Until all nameservers have what is new, and clocks that differ.
    pub margin: Duration,
    /// The longest TTL of the zone; as the zone has it if there is none.
    pub zone_ttl: Option<Duration>,
    /// The TTL of the DS records at the parent.
    pub parent_ttl: Duration,
}

/// A zone's directory of keys, as the configuration has it.
struct Place {
    directory: PathBuf,
    key_ttl: Duration,
}

/// Makes a key that is in the zone from now on. The first one signs at once; one beside others signs all but keys, and has the
/// parent point at it, when caches can know it, unless it is to be `at_once`.
pub fn generate(file: &Path, zone: &Name, algorithm: Algorithm, role: Role, at_once: bool) -> u8 {
    attempt(|| {
        let place = place(file, zone)?;
        let now = unix_seconds();
        let others = zone_keys::list(&place.directory, zone).map_or_else(|_| Vec::new(), |listing| listing.keys);
        let is_alone = !others.iter().any(|key| key.times.is_published(now));
        let known = now + (MARGIN + place.key_ttl.max(ZONE_TTL)).as_secs();
        let ready = if is_alone || at_once { now } else { known };
        let times = Times {
            created: Some(now),
            publish: Some(now),
            activate: Some(if role == Role::KeySigning { now } else { ready }),
            sync_publish: (role == Role::KeySigning).then_some(ready),
            ..Times::default()
        };
        let private = make(&place, zone, algorithm, role, &times)?;
        println!("{}", private.display());
        if ready > now {
            let what = if role == Role::KeySigning { "the parent is told of it" } else { "it signs" };
            println!(
                "{what} from {} on: caches have to see it first; `--at-once` is for zones that nobody has asked for yet",
                key_file::write_time(ready)
            );
        }
        Ok(())
    })
}

/// Lists the keys of a zone.
pub fn list(file: &Path, zone: &Name) -> u8 {
    attempt(|| {
        let keys = stored(&place(file, zone)?, zone)?;
        let now = unix_seconds();
        let time = |time: Option<u64>| time.map_or_else(String::new, key_file::write_time);
        let rows = keys.iter().map(|key| {
            let Times { created: _, publish, activate, inactive, delete, sync_publish, sync_delete } = key.times;
            vec![
                tag(key).to_string(),
                key.material.role.word().to_owned(),
                key.material.algorithm.mnemonic().to_owned(),
                state(&key.times, now).to_owned(),
                time(publish),
                time(activate),
                time(inactive),
                time(delete),
                time(sync_publish),
                time(sync_delete),
            ]
        });
        let head =
            ["tag", "role", "algorithm", "state", "publish", "activate", "inactive", "delete", "ds from", "ds until"];
        print!("{}", aligned(&head, rows));
        Ok(())
    })
}

/// Prints the DS records that the parent zone should have.
pub fn ds(file: &Path, zone: &Name) -> u8 {
    attempt(|| {
        let keys = stored(&place(file, zone)?, zone)?;
        let now = unix_seconds();
        let synced: Vec<_> =
            keys.iter().filter(|key| key.material.role == Role::KeySigning && key.times.is_synced(now)).collect();
        if synced.is_empty() {
            return Err(format!(
                "no key of {zone} is ready for its parent\nhelp: `thalweg keys generate {zone}` makes one; \
                 `thalweg keys list {zone}` shows the times"
            ));
        }
        for key in synced {
            let rdata = delegation_signer(&zone.lower_wire(), &key.material.dnskey());
            let digest: String = rdata[4..].iter().map(|octet| format!("{octet:02X}")).collect();
            println!("{zone} IN DS {} {} {} {digest}", tag(key), rdata[2], rdata[3]);
        }
        Ok(())
    })
}

/// Begins a rollover, or goes on with it.
pub fn rollover(file: &Path, zone: &Name, rollover: Rollover, delays: Delays) -> u8 {
    attempt(|| {
        let place = place(file, zone)?;
        let keys = stored(&place, zone)?;
        let now = unix_seconds();
        let role = if rollover == Rollover::ZoneSigning { Role::ZoneSigning } else { Role::KeySigning };
        let active: Vec<&StoredKey> = keys
            .iter()
            .filter(|key| key.material.role == role && key.times.is_published(now) && key.times.delete.is_none())
            .collect();
        let Delays { margin, zone_ttl, parent_ttl } = delays;
        let zone_ttl = longest_ttl(file, zone, zone_ttl)?;
        let after = |from: u64, delays: &[Duration]| from + delays.iter().map(Duration::as_secs).sum::<u64>();
        match (rollover, active.as_slice()) {
            (_, []) => {
                Err(format!("no {} of {zone} is in use\nhelp: `thalweg keys generate {zone}` makes a key", role.word()))
            }
            (Rollover::ParentPoints, [_]) => Err(format!(
                "no rollover of {zone} has begun: it has one {}\nhelp: begin it with `thalweg keys rollover {zone} --ksk`",
                role.word()
            )),
            (Rollover::ParentPoints, [olds @ .., new]) => {
                if let Some(told) = new.times.sync_publish.filter(|told| *told > now) {
                    return Err(format!(
                        "the parent is not told of {} before {}\nhelp: caches have to see the key before its DS record; then have \
                         the parent take that, and come back",
                        tag(new),
                        key_file::write_time(told)
                    ));
                }
                // RFC 7583 §3.3.1: caches may have the old DS records for their TTL; and, where the key signs everything
                // (§3.2.2), what the old one alone has signed.
                let begun = new.times.activate.unwrap_or(now);
                let gone = after(now, &[margin, parent_ttl]).max(after(begun, &[margin, zone_ttl]));
                for old in olds {
                    set(old, &Times { inactive: Some(gone), delete: Some(gone), sync_delete: Some(now), ..old.times })?;
                }
                println!("{} takes over; {} end {}", tag(new), tags(olds), key_file::write_time(gone));
                Ok(())
            }
            (_, [_, _, ..]) => Err(format!(
                "a rollover of {zone} is going on: {} are in use\nhelp: `thalweg keys list {zone}` shows how far it is; once the \
                 parent has the new DS record, `thalweg keys rollover {zone} --ksk --parent-points`",
                tags(&active)
            )),
            (Rollover::ZoneSigning, [old]) => {
                let used = after(now, &[margin, place.key_ttl]);
                let gone = after(used, &[margin, zone_ttl]);
                let times = Times { created: Some(now), publish: Some(now), activate: Some(used), ..Times::default() };
                let new = make(&place, zone, old.material.algorithm, role, &times)?;
                set(old, &Times { inactive: Some(used), delete: Some(gone), ..old.times })?;
                println!("{}", new.display());
                println!(
                    "it signs from {} on; {} is gone at {}",
                    key_file::write_time(used),
                    tag(old),
                    key_file::write_time(gone)
                );
                Ok(())
            }
            (Rollover::Begin, [old]) => {
                let told = after(now, &[margin, place.key_ttl]);
                let times = Times {
                    created: Some(now),
                    publish: Some(now),
                    activate: Some(now),
                    sync_publish: Some(told),
                    ..Times::default()
                };
                let new = make(&place, zone, old.material.algorithm, role, &times)?;
                set(old, &Times { sync_delete: Some(told), ..old.times })?;
                println!("{}", new.display());
                println!(
                    "from {} on `thalweg keys ds {zone}`, and CDS records, show what the parent needs; once it has that: \
                     `thalweg keys rollover {zone} --ksk --parent-points`",
                    key_file::write_time(told)
                );
                Ok(())
            }
        }
    })
}

/// The longest TTL that answers of a zone have, which must not be `given` shorter: signatures are in caches for so long.
fn longest_ttl(file: &Path, zone: &Name, given: Option<Duration>) -> Result<Duration, String> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let inputs = load(file, &environment, None).inputs;
    let found = inputs.as_ref().and_then(|inputs| inputs.zones.iter().find(|served| served.apex() == zone));
    let Some(found) = found else {
        // A zone that comes from other servers, or one that is broken just now.
        return Ok(given.unwrap_or(ZONE_TTL));
    };
    let longest = found.rrsets().map(|(_, rrset)| rrset.ttl).max().unwrap_or(0);
    let longest = Duration::from_secs(longest.into());
    match given {
        Some(given) if given < longest => Err(format!(
            "{zone} has records with a TTL of {} s, which caches keep for longer than --zone-ttl\nhelp: leave it out, and the \
             zone's own longest is taken",
            longest.as_secs()
        )),
        Some(given) => Ok(given),
        None => Ok(longest.max(ZONE_TTL)),
    }
}

fn attempt(work: impl FnOnce() -> Result<(), String>) -> u8 {
    match work() {
        Ok(()) => SUCCESS,
        Err(because) => {
            eprintln!("thalweg: {because}");
            FAILURE
        }
    }
}

/// Where the configuration has the keys of a zone.
fn place(file: &Path, zone: &Name) -> Result<Place, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let source = Source::new(file.display().to_string(), text);
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let (config, diagnostics) = config::read(&source, &environment);
    let Some(config) = config else {
        draw(&diagnostics);
        return Err(format!("{} has errors", file.display()));
    };
    let signed = config.zones.signed.iter().find(|signed| signed.value.name == *zone);
    let SignedZone { keys, key_ttl, .. } = signed.map(|signed| signed.value.clone()).ok_or_else(|| {
        let name = zone.to_string();
        format!(
            "{} does not have {zone} signed\nhelp: write `[zone.\"{}\"]` and below it `dnssec.keys = \"keys\"` first",
            file.display(),
            name.trim_end_matches('.')
        )
    })?;
    Ok(Place { directory: file.parent().unwrap_or(Path::new("")).join(keys), key_ttl })
}

/// The keys of a zone, in the order in which they were made.
fn stored(place: &Place, zone: &Name) -> Result<Vec<StoredKey>, String> {
    let listing = zone_keys::list(&place.directory, zone)
        .map_err(|error| format!("{} cannot be read: {error}", place.directory.display()))?;
    if !listing.diagnostics.is_empty() {
        draw(&listing.diagnostics);
        return Err(format!("{} has keys that cannot be used", place.directory.display()));
    }
    let mut keys = listing.keys;
    // Of two that were made within a second, that which is being replaced is the older.
    keys.sort_by_key(|key| (key.times.created, key.times.sync_delete.is_none()));
    Ok(keys)
}

/// Makes a key whose tag no other of the zone has: signatures name keys by it.
fn make(place: &Place, zone: &Name, algorithm: Algorithm, role: Role, times: &Times) -> Result<PathBuf, String> {
    let taken: Vec<u16> = match zone_keys::list(&place.directory, zone) {
        Ok(listing) => listing.keys.iter().map(tag).collect(),
        Err(_) => Vec::new(),
    };
    loop {
        let material = KeyMaterial::generate(algorithm, role).map_err(|error| error.to_string())?;
        if !taken.contains(&key_tag(&material.dnskey())) {
            let write = zone_keys::write(&place.directory, zone, &material, times);
            return write.map_err(|error| format!("no key can be written to {}: {error}", place.directory.display()));
        }
    }
}

fn set(key: &StoredKey, times: &Times) -> Result<(), String> {
    zone_keys::set_times(key, times).map_err(|error| format!("{} cannot be written: {error}", key.private.display()))
}

fn tag(key: &StoredKey) -> u16 {
    key_tag(&key.material.dnskey())
}

fn tags<'k>(keys: impl IntoIterator<Item = &'k &'k StoredKey>) -> String {
    let tags: Vec<String> = keys.into_iter().map(|key| tag(key).to_string()).collect();
    tags.join(", ")
}

/// What a key does now, in a word.
fn state(times: &Times, now: u64) -> &'static str {
    if times.is_active(now) {
        "active"
    } else if times.is_published(now) {
        if times.activate.is_some_and(|activate| activate > now) { "published" } else { "retired" }
    } else if times.delete.is_some_and(|delete| delete <= now) {
        "removed"
    } else {
        "future"
    }
}
