//! What stays as it was when inputs are read again: zones and geography of which nothing has changed.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use thalweg::feed::inputs::Inputs;

use super::support::daemon::SERVER;
use super::support::installation::Installation;
use super::{read, with_head, zones};

/// Warned of in the text and in the zone as a whole, each with an included file.
const DOUBTFUL: &str = "b 2147483648 A 192.0.2.1\na 60 A 192.0.2.2\na 30 A 192.0.2.3\n$INCLUDE more.inc\n";
const NODE: &str = "[node.a]\naddresses = [\"198.51.100.10\"]\n[pool.edge]\n";
const FIRST: &str = "zones/a.example.zone";
const SECOND: &str = "zones/b.example.zone";

/// Two zones, of which the first includes a file.
fn installation() -> Installation {
    let first = with_head("www A 192.0.2.1\n$INCLUDE more.inc\n");
    Installation::new([
        ("thalweg.toml", SERVER),
        (FIRST, first.as_str()),
        (SECOND, with_head("www A 192.0.2.1\n").as_str()),
        ("zones/more.inc", "more A 192.0.2.7\n"),
    ])
}

/// The names of the zones that are the same ones as before.
fn kept(before: &Inputs, after: &Inputs) -> Vec<String> {
    let is_kept = |zone: &&Arc<_>| before.zones.iter().any(|old| Arc::ptr_eq(old, zone));
    after.zones.iter().filter(is_kept).map(|zone| zone.apex().to_string()).collect()
}

/// Reads inputs that have no errors.
fn sound(installation: &Installation, previous: Option<&Inputs>) -> Inputs {
    let (inputs, said) = read(installation, previous);
    assert!(said.iter().all(|line| !line.contains(": error: ")), "{said:?}");
    inputs.unwrap()
}

#[test]
fn a_zone_stays_while_its_neighbour_changes_and_is_warned_of_as_before() {
    let installation = installation();
    installation.write(FIRST, &with_head(DOUBTFUL));
    installation.write("zones/more.inc", "more 60 A 192.0.2.7\nmore 30 A 192.0.2.8\n");
    let (first, said) = read(&installation, None);
    let first = first.unwrap();
    let places: Vec<&str> = said.iter().map(|line| line.split(": warning: ").next().unwrap()).collect();
    assert_eq!(places, ["zones/a.example.zone:5:3", "zones/a.example.zone:7:6", "zones/more.inc:2:9"], "{said:?}");
    assert!(said[2].contains(", included by zones/a.example.zone:8"), "{said:?}");
    for octet in 2..5 {
        installation.write(SECOND, &with_head(&format!("www A 192.0.2.{octet}\n")).replace("host 1", "host 2"));
        let (after, again) = read(&installation, Some(&first));
        let after = after.unwrap();
        assert_eq!(kept(&first, &after), ["a.example."]);
        assert_eq!(again, said);
        assert_ne!(first.fingerprint, after.fingerprint);
        // What was kept once is kept again.
        let (third, again) = read(&installation, Some(&after));
        assert_eq!((kept(&after, &third.unwrap()), again), (zones(Some(&after)), said.clone()));
    }
}

#[test]
fn a_zone_is_made_anew_when_a_file_that_it_includes_changes() {
    let installation = installation();
    let mut before = sound(&installation, None);
    let mut change = |edit: &dyn Fn(), expected: &[&str]| {
        edit();
        let after = sound(&installation, Some(&before));
        assert_eq!(kept(&before, &after), expected);
        before = after;
    };
    let both = ["a.example.", "b.example."];
    let (more, other) = ("zones/more.inc", "zones/other.inc");
    installation.write(other, "other A 192.0.2.8\n");
    change(&|| {}, &both);
    change(&|| installation.write(more, "more A 192.0.2.8\n"), &both[1..]);
    change(&|| installation.replace(more, "more A 192.0.2.8\n"), &both);
    change(&|| installation.replace(more, "$INCLUDE other.inc\n$INCLUDE other.inc x\n"), &both[1..]);
    change(&|| installation.write(other, "other A 192.0.2.9\n"), &both[1..]);
    change(&|| {}, &both);
    // Another file with the same octets is another file.
    let link = || {
        fs::rename(installation.path(other), installation.path("zones/moved.inc")).unwrap();
        symlink("moved.inc", installation.path(other)).unwrap();
    };
    change(&link, &both[1..]);
    // A file that is not where it was said to be, and one that is there again.
    fs::rename(installation.path("zones/moved.inc"), installation.path("moved.inc")).unwrap();
    let broken = || read(&installation, Some(&before));
    let (inputs, said) = broken();
    assert!(said.len() == 2 && said.iter().all(|line| line.contains("cannot be read")), "{said:?}");
    assert_eq!(broken().1, said);
    let again = read(&installation, inputs.as_ref());
    assert_eq!((kept(&before, &again.0.unwrap()), again.1), (zones(Some(&before)), said));
    fs::rename(installation.path("moved.inc"), installation.path("zones/moved.inc")).unwrap();
    assert_eq!(kept(&before, &sound(&installation, inputs.as_ref())), ["b.example."]);
}

#[test]
fn an_edit_that_leaves_length_and_times_as_they_were_is_seen() {
    let installation = installation();
    let before = sound(&installation, None);
    let written = fs::metadata(installation.path(FIRST)).unwrap().modified().unwrap();
    let text = fs::read_to_string(installation.path(FIRST)).unwrap().replace("192.0.2.1", "192.0.2.9");
    installation.write(FIRST, &text);
    File::options().write(true).open(installation.path(FIRST)).unwrap().set_modified(written).unwrap();
    assert_eq!(kept(&before, &sound(&installation, Some(&before))), ["b.example."]);
}

#[test]
fn a_zone_is_made_anew_when_another_service_or_whoami_is_put_into_it() {
    let installation = installation();
    let configure = |more: &str| installation.write("thalweg.toml", &format!("{SERVER}{more}"));
    let mut before = sound(&installation, None);
    let both = ["a.example.", "b.example."];
    let first = format!("{NODE}[service.\"play.a.example\"]\npool = \"edge\"\n");
    let second = format!("{first}[service.\"a.b.example\"]\npool = \"edge\"\n");
    let third = second.replace("[service.\"play", "[service.\"live.a.example\"]\npool = \"edge\"\n[service.\"play");
    let six = first.replace(".10\"]", ".10\", \"2001:db8::1\"]");
    for (what, config, expected) in [
        ("a node that nobody uses", NODE.to_owned(), &both[..]),
        ("a service", first.clone(), &both[1..]),
        ("another address", first.replace(".10\"]", ".11\"]"), &both),
        ("one more node", format!("{first}[node.b]\naddresses = [\"198.51.100.12\"]\n"), &both),
        ("another family", six, &both[1..]),
        ("no family", first, &both[1..]),
        ("a service in the other", second, &both[..1]),
        ("other numbers of both", third, &[]),
        ("none", String::new(), &[]),
        ("whoami", "whoami = \"who.a.example\"\n".to_owned(), &both[1..]),
        ("whoami in other letters", "whoami = \"Who.a.example\"\n".to_owned(), &both[1..]),
        ("whoami in the other", "whoami = \"who.b.example\"\n".to_owned(), &[]),
        ("nothing new", "whoami = \"who.b.example\"\n".to_owned(), &both),
    ] {
        configure(&config);
        let after = sound(&installation, Some(&before));
        assert_eq!(kept(&before, &after), expected, "{what}");
        before = after;
    }
}

#[test]
fn a_zone_that_is_broken_is_told_each_time_and_stays_until_it_is_mended() {
    let installation = installation();
    let first = sound(&installation, None);
    let good = fs::read_to_string(installation.path(FIRST)).unwrap();
    installation.write(FIRST, &format!("{good}www A 192.0.2.256\nwww CNAME x\n"));
    let (broken, said) = read(&installation, Some(&first));
    let places: Vec<&str> = said.iter().map(|line| line.split(": error: ").next().unwrap()).collect();
    assert_eq!(places, ["zones/a.example.zone:7:7", "zones/a.example.zone:8:5"], "{said:?}");
    let (again, repeated) = read(&installation, broken.as_ref());
    assert_eq!((kept(&first, &again.unwrap()), repeated), (zones(Some(&first)), said));
    installation.write(FIRST, &format!("{good}new A 192.0.2.3\n").replace("host 1", "host 2"));
    assert_eq!(kept(&first, &sound(&installation, broken.as_ref())), ["b.example."]);
}

#[test]
fn what_is_wrong_in_many_zones_is_told_in_the_order_of_their_names() {
    let installation = Installation::new([("thalweg.toml", SERVER), ("networks.csv", "192.0.2.0/24\n")]);
    let (mut of_records, mut of_zones) = (Vec::new(), Vec::new());
    for index in 0..40 {
        let name = format!("zones/z{index:02}.example.zone");
        let filler: String = (0..(index * 7 % 13) * 50).map(|host| format!("h{host} A 192.0.2.1\n")).collect();
        installation.write(&name, &with_head(&format!("bad A x\nodd DNAME a\nodd DNAME b\n{filler}")));
        of_records.push(format!("{name}:5:7"));
        of_zones.push(format!("{name}:7:5"));
    }
    let expected = [of_records.clone(), of_zones].concat();
    let mut before = None;
    for _ in 0..3 {
        let (inputs, said) = read(&installation, before.as_ref());
        let places: Vec<&str> = said.iter().map(|line| line.split(": error: ").next().unwrap()).collect();
        assert_eq!(places, expected);
        before = inputs;
    }
    // Without a geography nobody knows what is in which zone; errors of records are told all the same.
    installation.write("thalweg.toml", &format!("{SERVER}[geoip]\nnetworks = \"networks.csv\"\n"));
    for previous in [None, before.as_ref()] {
        let (inputs, said) = read(&installation, previous);
        let places: Vec<&str> = said.iter().map(|line| line.split(": error: ").next().unwrap()).collect();
        assert_eq!(places, [of_records.clone(), vec!["networks.csv:1:1".to_owned()]].concat());
        assert!(inputs.is_none());
    }
}

#[test]
fn a_geography_stays_until_something_that_it_is_made_of_changes() {
    let installation = installation();
    installation.write("networks.csv", "192.0.2.0/24,DE\n");
    let networks = "[geoip]\nnetworks = \"networks.csv\"\n";
    let region = "[region.dach]\ncountries = [\"DE\", \"AT\"]\n";
    // No database that is there has systems.
    let doubtful = "[region.odd]\nasns = [64500]\n";
    let node = "[node.a]\naddresses = [\"81.169.181.94\"]\n[pool.edge]\n";
    let place = "[place.fra]\nat = [50.1, 8.7]\n";
    let mut before: Option<Inputs> = None;
    for (what, config, is_kept, warnings) in [
        ("the first", String::new(), false, 0),
        ("nothing", String::new(), true, 0),
        ("a node, whose place is looked up", node.to_owned(), true, 0),
        ("a place, which nothing names", format!("{node}{place}"), true, 0),
        ("a region", format!("{node}{place}{region}"), false, 0),
        ("a region that is in doubt", format!("{region}{doubtful}"), false, 1),
        ("a node beside it", format!("{region}{doubtful}{node}"), true, 1),
        ("networks", format!("{networks}{region}"), false, 0),
        ("a node beside them", format!("{networks}{region}{node}"), true, 0),
        ("a place, which they may name", format!("{networks}{region}{place}"), false, 0),
        ("a zone", format!("{networks}{region}{place}"), true, 0),
        ("other networks", format!("{networks}{region}{place}"), false, 0),
        ("no networks", String::new(), false, 0),
    ] {
        installation.write("thalweg.toml", &format!("{SERVER}{config}"));
        if what == "a zone" {
            installation.write(FIRST, &with_head("www A 192.0.2.3\n").replace("host 1", "host 2"));
        }
        if what == "other networks" {
            installation.write("networks.csv", "192.0.2.0/24,FR\n");
        }
        let (after, said) = read(&installation, before.as_ref());
        let after = after.unwrap();
        let of_regions = said.iter().filter(|line| line.contains("asks for AS numbers")).count();
        assert_eq!(of_regions, warnings, "{what}: {said:?}");
        let is_same = before.is_some_and(|before| Arc::ptr_eq(&before.geo, &after.geo));
        assert_eq!(is_same, is_kept, "{what}");
        assert_eq!(after.guesses.len(), usize::from(config.contains("node")), "{what}");
        before = Some(after);
    }
}
