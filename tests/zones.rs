//! Zone files as BIND and Knot take them: each file in `tests/zones/` is of the zone `example.`, and is read to the
//! records that `named-compilezone` has of it, or refused as it is there. `exceptions` lists what differs, and why.
//! `UPDATE=1` rewrites `*.messages`, which is what we say of each file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use thalweg::diagnostic::{Diagnostic, Source, has_errors};
use thalweg::name::Name;
use thalweg::zone::{self, Inclusion, Zone};

/// Names of checks that BIND can make beside the rules of zones, which `named-checkzone` only warns of, as we do.
/// `named-compilezone` refuses by default what breaks them. No query leaves the machine with `-i local`.
const LENIENT: [&str; 16] =
    ["-i", "local", "-k", "warn", "-m", "warn", "-n", "warn", "-r", "warn", "-M", "warn", "-S", "warn", "-W", "warn"];

/// Owner in lower case, type, TTL, data.
type Plain = (Vec<u8>, u16, u32, Vec<u8>);

/// What came of reading a file.
#[derive(Debug, PartialEq)]
enum Outcome {
    Loaded(BTreeSet<Plain>),
    Refused,
}

impl Outcome {
    fn is_loaded(&self) -> bool {
        matches!(self, Self::Loaded(_))
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/zones")
}

/// The directories of zone files; `bad` in a name says that the files are to be refused.
fn directories() -> Vec<String> {
    let entries = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap());
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The zone files of one of them.
fn files(group: &str) -> Vec<String> {
    let entries = fs::read_dir(directory().join(group)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".zone")).collect();
    names.sort();
    names
}

/// By file, `good/x.zone`, why it may differ.
fn exceptions() -> BTreeMap<String, String> {
    let text = fs::read_to_string(directory().join("exceptions")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let exception = |line: &str| {
        let (file, reason) = line.split_once(": ").unwrap_or_else(|| panic!("`file: reason` is expected, not {line}"));
        (file.to_owned(), reason.to_owned())
    };
    let exceptions: BTreeMap<_, _> = lines.map(exception).collect();
    assert!(exceptions.values().all(|reason| reason.len() > 20), "a reason is a sentence");
    exceptions
}

fn ours(origin: &str, path: &Path, shown: &str) -> (Outcome, Vec<Diagnostic>) {
    let source = Source::new(shown, zone::text_of(fs::read(path).unwrap()));
    let mut opened = BTreeMap::from([(path.file_name().unwrap().to_owned(), source.clone())]);
    let mut open = |inclusion: &Inclusion<'_>| {
        let name = OsStr::from_bytes(inclusion.path);
        if let Some(source) = opened.get(name) {
            return Ok(source.clone());
        }
        let octets = fs::read(path.with_file_name(name))
            .map_err(|error| Box::new(Diagnostic::error(format!("cannot be read: {error}")).help("write the file")))?;
        let source = Source::new(Path::new(shown).with_file_name(name).display().to_string(), zone::text_of(octets));
        opened.insert(name.to_owned(), source.clone());
        Ok(source)
    };
    let (records, mut diagnostics) = zone::read(&source, &Name::parse(origin, None).unwrap(), &mut open);
    let (zone, findings) = Zone::build(&records, &[]);
    diagnostics.extend(findings);
    assert_eq!(zone.is_none(), has_errors(&diagnostics), "{shown}");
    let Some(zone) = zone else { return (Outcome::Refused, diagnostics) };
    let records = zone.rrsets().flat_map(|(owner, rrset)| {
        rrset.rdata().map(move |rdata| (owner.to_vec(), rrset.rtype.0, rrset.ttl, rdata.to_vec()))
    });
    (Outcome::Loaded(records.collect()), diagnostics)
}

fn binds(origin: &str, path: &Path) -> (Outcome, String) {
    let output = Command::new("named-compilezone")
        .args(LENIENT)
        .args(["-F", "raw", "-o", "-", origin])
        .arg(path.file_name().unwrap())
        // Files that are included stand beside it.
        .current_dir(path.parent().unwrap())
        .output()
        .expect("named-compilezone of BIND's utilities is needed for this test");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => (Outcome::Loaded(from_raw(&output.stdout)), said),
        false => (Outcome::Refused, said),
    }
}

/// BIND's own binary form: a file header of 24 octets, then RRsets.
fn from_raw(raw: &[u8]) -> BTreeSet<Plain> {
    fn take<'r>(rest: &mut &'r [u8], octets: usize) -> &'r [u8] {
        let (taken, after) = rest.split_at(octets);
        *rest = after;
        taken
    }
    fn number(octets: &[u8]) -> usize {
        octets.iter().fold(0, |number, &octet| number << 8 | usize::from(octet))
    }
    let mut records = BTreeSet::new();
    let mut rest = &raw[24..];
    while !rest.is_empty() {
        let length = number(take(&mut rest, 4)) - 4;
        let mut rrset = take(&mut rest, length);
        let _class = take(&mut rrset, 2);
        let rtype = number(take(&mut rrset, 2)) as u16;
        let _covers = take(&mut rrset, 2);
        let ttl = number(take(&mut rrset, 4)) as u32;
        let count = number(take(&mut rrset, 4));
        let owner_length = number(take(&mut rrset, 2));
        let owner = take(&mut rrset, owner_length).to_ascii_lowercase();
        for _ in 0..count {
            let rdata_length = number(take(&mut rrset, 2));
            records.insert((owner.clone(), rtype, ttl, take(&mut rrset, rdata_length).to_vec()));
        }
    }
    records
}

fn does_knot_load(path: &Path) -> bool {
    let output = Command::new("kzonecheck").args(["-o", "example."]).arg(path).output();
    output.expect("kzonecheck of Knot DNS is needed for this test").status.success()
}

/// Where two outcomes differ, for a message.
fn difference(ours: &Outcome, binds: &Outcome) -> String {
    let line = |(owner, rtype, ttl, rdata): &Plain| {
        let owner = thalweg::name::Printed(owner).to_string();
        format!("{owner} {ttl} {} {}", thalweg::wire::RecordType(*rtype), rdata.escape_ascii())
    };
    match (ours, binds) {
        (Outcome::Loaded(ours), Outcome::Loaded(binds)) => {
            let only = |who: &str, of: &BTreeSet<Plain>, other: &BTreeSet<Plain>| {
                of.difference(other).map(|record| format!("\n  only {who}: {}", line(record))).collect::<String>()
            };
            only("we", ours, binds) + &only("BIND", binds, ours)
        }
        _ if ours.is_loaded() => "only we load it".to_owned(),
        _ => "only BIND loads it".to_owned(),
    }
}

#[test]
fn bind_loads_the_same_records_or_none_either() {
    let exceptions = exceptions();
    let (mut wrong, mut knot, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut count = 0;
    for group in directories() {
        for file in files(&group) {
            let shown = format!("{group}/{file}");
            let path = directory().join(&group).join(&file);
            let (ours, diagnostics) = ours("example.", &path, &shown);
            let (binds, said) = binds("example.", &path);
            let errors: Vec<String> =
                diagnostics.iter().filter(|each| each.is_error()).map(ToString::to_string).collect();
            if ours.is_loaded() == group.contains("bad") {
                wrong.push(format!("{shown} is in the wrong directory: {errors:?}"));
            }
            match (ours == binds, exceptions.get(&shown)) {
                (true, Some(_)) => wrong.push(format!("{shown} is an exception no longer")),
                (false, None) => {
                    wrong.push(format!("{shown}: {}\n{errors:?}\n{said}", difference(&ours, &binds)));
                }
                _ => {}
            }
            if binds.is_loaded() != does_knot_load(&path) {
                knot.push(shown.clone());
            }
            count += 1;
            seen.insert(shown);
        }
    }
    wrong.extend(exceptions.keys().filter(|file| !seen.contains(*file)).map(|file| format!("{file} is not there")));
    // Knot decides nothing; where it differs from BIND, it is good to know.
    println!("Knot and BIND differ on {} of {count}: {}", knot.len(), knot.join(", "));
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 150, "only {count} zone files");
}

#[test]
fn bind_reads_the_same_records_from_the_shipped_zone() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("zones/live.example.zone");
    let (ours, _) = ours("live.example.", &path, "live.example.zone");
    let (binds, said) = binds("live.example.", &path);
    assert!(ours == binds && ours.is_loaded(), "{}\n{said}", difference(&ours, &binds));
}

#[test]
fn of_every_file_is_said_what_is_written_down() {
    let mut wrong = Vec::new();
    // What is said of single types is tested beside their reader.
    for group in ["good", "bad"] {
        let mut found = String::new();
        for file in files(group) {
            let shown = format!("{group}/{file}");
            let (_, diagnostics) = ours("example.", &directory().join(group).join(&file), &shown);
            for diagnostic in diagnostics {
                assert!(!diagnostic.render(false).is_empty());
                found.push_str(&format!("{diagnostic}\n").replace('\0', "\\0"));
            }
        }
        let path = directory().join(format!("{group}.messages"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let expected: BTreeSet<&str> = expected.lines().collect();
        let found: BTreeSet<&str> = found.lines().collect();
        wrong.extend(expected.difference(&found).map(|line| format!("no longer said: {line}")));
        wrong.extend(found.difference(&expected).map(|line| format!("said now:       {line}")));
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites what is expected", wrong.join("\n"));
}
