//! Zones as inputs: files that they include, broken ones beside good ones, serials over reloads.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::client::{Client, wait_for};
use support::daemon::{SERVER, Served};
use support::installation::Installation;
use support::query::Query;
use thalweg::command::daemon::Daemon;
use thalweg::feed::Options;
use thalweg::feed::inputs::{Inputs, Loaded, load};
use thalweg::wire::RecordType;

mod support;
#[path = "zone_inputs/unchanged.rs"]
mod unchanged;

const ZONE: &str = "zones/live.example.zone";
const HEAD: &str = "$TTL 60\n@ SOA ns1 host 1 2h 15m 2w 60\n@ NS ns1\nns1 A 192.0.2.53\n";

fn with_head(more: &str) -> String {
    format!("{HEAD}{more}")
}

fn installation(more: &str) -> Installation {
    Installation::new([("thalweg.toml", SERVER), (ZONE, with_head(more).as_str())])
}

/// What is read, and what is said of it without the directory that it lies in.
fn read(installation: &Installation, previous: Option<&Inputs>) -> (Option<Inputs>, Vec<String>) {
    let Loaded { inputs, diagnostics, .. } = load(&installation.config(), &[], previous);
    let directory = format!("{}/", installation.path("").display().to_string().trim_end_matches('/'));
    let real = format!("{}/", fs::canonicalize(&directory).unwrap().display());
    (inputs, diagnostics.iter().map(|each| each.to_string().replace(&real, "").replace(&directory, "")).collect())
}

fn zones(inputs: Option<&Inputs>) -> Vec<String> {
    inputs.unwrap().zones.iter().map(|zone| zone.apex().to_string()).collect()
}

#[test]
fn files_are_included_from_beside_the_file_that_names_them() {
    let installation = installation("$INCLUDE parts/one.inc\n");
    fs::create_dir(installation.path("zones/parts")).unwrap();
    installation.write("zones/parts/one.inc", "one A 192.0.2.1\n$INCLUDE \"two three.inc\"\n");
    installation.write("zones/parts/two three.inc", "two A 192.0.2.2\n$INCLUDE ../four.inc\n");
    installation.write("zones/four.inc", "four A 192.0.2.4\n");
    symlink("parts/one.inc", installation.path("zones/link.inc")).unwrap();
    let absolute = installation.path("zones/four.inc").display().to_string();
    installation
        .write(ZONE, &with_head(&format!("$INCLUDE parts/one.inc\n$INCLUDE link.inc l\n$INCLUDE {absolute} a\n")));
    let (inputs, said) = read(&installation, None);
    assert_eq!(said, [""; 0]);
    // The apex, ns1; one, two and four; l and these below it; a and four below it.
    assert_eq!(inputs.unwrap().zones.iter().map(|zone| zone.node_count()).collect::<Vec<_>>(), [11]);
}

#[test]
fn files_outside_the_directory_of_zones_are_not_included() {
    let installation = installation("");
    installation.write("secret.inc", "a A 192.0.2.1\n");
    symlink(installation.path("secret.inc"), installation.path("zones/link.inc")).unwrap();
    symlink(installation.path(""), installation.path("zones/up")).unwrap();
    let absolute = installation.path("secret.inc").display().to_string();
    for path in
        ["../secret.inc", "link.inc", "up/secret.inc", "up/missing.inc", "../missing.inc", &absolute, "/etc/hostname"]
    {
        installation.write(ZONE, &with_head(&format!("$INCLUDE {path}\n")));
        let (inputs, said) = read(&installation, None);
        assert_eq!(zones(inputs.as_ref()), [""; 0], "{path}");
        assert_eq!(said.len(), 1, "{path}: {said:?}");
        let help = "(only files in the directory of zones can be included, also by symbolic links)";
        let is_refused =
            said[0].starts_with("zones/live.example.zone:5:10: error: ") && said[0].contains(" is outside ");
        assert!(is_refused && said[0].ends_with(help), "{path}: {said:?}");
    }
    for (path, because) in [(".", "it is no file"), ("missing.inc", "No such file")] {
        installation.write(ZONE, &with_head(&format!("$INCLUDE {path}\n")));
        let (_, said) = read(&installation, None);
        assert!(said.len() == 1 && said[0].contains("cannot be read") && said[0].contains(because), "{said:?}");
    }
}

#[test]
fn a_zone_that_lies_elsewhere_includes_from_its_own_directory() {
    let installation = installation("");
    fs::create_dir(installation.path("other")).unwrap();
    installation.write("other/file", &with_head("$INCLUDE more\n$INCLUDE ../zones/live.example.zone\n"));
    installation.write("other/more", "a A 192.0.2.1\n");
    let config = format!("{SERVER}[zone.\"other.example\"]\nfile = \"other/file\"\n");
    installation.write("thalweg.toml", &config);
    let (_, said) = read(&installation, None);
    assert!(
        said.len() == 1 && said[0].starts_with("other/file:6:10: error: ") && said[0].contains("is outside"),
        "{said:?}"
    );
}

/// The last octet of the address that a name has.
fn octet(client: &Client, name: &str) -> String {
    let reply = client.ask(&Query::new(name, RecordType::A));
    reply
        .lines
        .iter()
        .find(|line| line.starts_with("answer: "))
        .map_or(String::new(), |line| line.rsplit('.').next().unwrap().to_owned())
}

#[test]
fn an_edit_of_an_included_file_is_noticed_also_if_it_was_missing() {
    let installation = installation("$INCLUDE parts/one.inc\n");
    fs::create_dir(installation.path("zones/parts")).unwrap();
    installation.write("zones/parts/one.inc", "one A 192.0.2.1\n");
    let served = Served::start(&installation);
    let client = Client::new(served.dns());
    assert_eq!(octet(&client, "one.live.example."), "1");
    for (edit, version) in [(Installation::replace as fn(&_, &_, &_), "7"), (Installation::write, "8")] {
        edit(&installation, "zones/parts/one.inc", &format!("one A 192.0.2.{version}\n"));
        wait_for("the edited file", || (octet(&client, "one.live.example.") == version).then_some(()));
    }
    fs::remove_file(installation.path("zones/parts/one.inc")).unwrap();
    let error = served.reload().unwrap_err();
    assert!(error.contains("live.example.zone:5:10: error: ") && error.contains("cannot be read"), "{error}");
    assert_eq!(octet(&client, "one.live.example."), "8");
    installation.write("zones/parts/one.inc", "one A 192.0.2.9\n");
    wait_for("the file that is there again", || (octet(&client, "one.live.example.") == "9").then_some(()));
}

#[test]
fn a_broken_zone_stops_neither_the_start_nor_the_others() {
    let installation = installation("www A 192.0.2.1\n");
    installation.write("zones/broken.example.zone", &with_head("www A 192.0.2.256\n"));
    let options =
        |is_strict| Options { file: installation.config(), environment: Vec::new(), is_watching: true, is_strict };
    let daemon = Daemon::start(options(false)).unwrap_or_else(|error| panic!("{:?}", error.diagnostics));
    let client = Client::new(daemon.listening.dns[0]);
    assert_eq!(octet(&client, "www.live.example."), "1");
    let reply = client.ask(&Query::new("www.broken.example.", RecordType::A));
    assert!(reply.lines[0].starts_with("REFUSED"), "{:?}", reply.lines);
    drop(daemon);
    let refused = Daemon::start(options(true)).err().unwrap().diagnostics;
    assert!(refused.len() == 1 && refused[0].to_string().contains("broken.example.zone:5:7: error: "), "{refused:?}");
}

#[test]
fn errors_of_records_and_of_the_zone_as_a_whole_are_told_at_once() {
    let installation = installation("www A 192.0.2.300\nd DNAME a\nd DNAME b\nns2 CNAME www\nns2 TXT t\n");
    let (inputs, said) = read(&installation, None);
    assert_eq!(zones(inputs.as_ref()), [""; 0]);
    let told = ["`192.0.2.300` is not an IPv4 address", "a second DNAME record at", "has a CNAME beside other data"];
    assert_eq!(said.len(), told.len(), "{said:?}");
    assert!(told.iter().all(|part| said.iter().any(|line| line.contains(part))), "{said:?}");
}

#[test]
fn a_pipe_is_no_zone_file() {
    let installation = installation("$INCLUDE more\n");
    for pipe in ["zones/pipe.example.zone", "zones/more"] {
        assert!(Command::new("mkfifo").arg(installation.path(pipe)).status().unwrap().success());
    }
    let (inputs, said) = read(&installation, None);
    assert_eq!(zones(inputs.as_ref()), [""; 0]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|line| line.contains("cannot be read: it is no file")), "{said:?}");
}

#[test]
fn a_file_that_was_meant_to_be_a_zone_is_not_passed_over_in_silence() {
    let installation = installation("www A 192.0.2.1\n");
    installation.write("zones/other.example.ZONE", &with_head(""));
    let (inputs, said) = read(&installation, None);
    assert_eq!(zones(inputs.as_ref()), ["live.example."]);
    let warning = "zones/other.example.ZONE: warning: the file is not read: its name does not end with `.zone` \
                   (write the name in UTF-8 and its end in lower case)";
    assert_eq!(said, [warning]);
}

#[test]
fn of_two_files_of_a_zone_neither_is_taken() {
    let installation = installation("www A 192.0.2.1\n");
    let (first, _) = read(&installation, None);
    installation.write("zones/Live.example.zone", &with_head("www A 192.0.2.2\n").replace("host 1", "host 2"));
    let (inputs, said) = read(&installation, None);
    assert_eq!(zones(inputs.as_ref()), [""; 0]);
    let error =
        "zones/live.example.zone: error: zones/Live.example.zone is of the same zone (one of the two files has to go)";
    assert_eq!(said, [error]);
    let (second, _) = read(&installation, first.as_ref());
    assert_eq!(second.unwrap().zones.iter().map(|zone| zone.serial()).collect::<Vec<_>>(), [1], "the old form stays");
}

#[test]
fn a_file_can_be_of_the_root() {
    let installation = installation("");
    installation.write("zones/..zone", &with_head("www A 192.0.2.1\n"));
    installation.write("zones/0\\04725.2.0.192.in-addr.arpa.zone", &with_head("1 PTR a.\n"));
    let (inputs, said) = read(&installation, None);
    assert_eq!(said, [""; 0]);
    assert_eq!(zones(inputs.as_ref()), [".", "0/25.2.0.192.in-addr.arpa.", "live.example."]);
}

#[test]
fn a_zone_whose_serial_is_not_raised_is_taken_with_a_warning() {
    let installation = installation("www A 192.0.2.1\n");
    let (first, said) = read(&installation, None);
    assert_eq!(said, [""; 0]);
    let (_, said) = read(&installation, first.as_ref());
    assert_eq!(said, [""; 0], "nothing has changed");
    installation.write(ZONE, &with_head("www A 192.0.2.2\n"));
    let (second, said) = read(&installation, first.as_ref());
    assert_eq!(
        said,
        [
            "zones/live.example.zone:2:3: warning: the records of `live.example.` have changed, but its serial is 1 as before \
          (secondaries keep the old records until it is higher: make it 2)"
        ]
    );
    assert_eq!(zones(second.as_ref()), ["live.example."]);
    installation.write(ZONE, &with_head("www A 192.0.2.3\n").replace("host 1", "host 2"));
    assert_eq!(read(&installation, second.as_ref()).1, [""; 0]);
}

#[test]
fn a_zone_file_may_hold_any_octets() {
    let installation = installation("");
    let zone = [HEAD.as_bytes(), b"text TXT \"\xe4\xff\" ; \xfc\n"].concat();
    fs::write(installation.path(ZONE), zone).unwrap();
    let (inputs, said) = read(&installation, None);
    assert_eq!(said, [""; 0]);
    let inputs = inputs.unwrap();
    let texts = inputs.zones.iter().flat_map(|zone| zone.rrsets()).filter(|(_, rrset)| rrset.rtype == RecordType::TXT);
    assert_eq!(texts.flat_map(|(_, rrset)| rrset.rdata()).collect::<Vec<_>>(), [b"\x02\xe4\xff"]);
}
