//! Answers of a zone that is signed here, as a resolver sees them that follows a real delegation from a parent on NSD.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::programs::{Asker, Server, new_key, nsd, output, sign, unbound};
use super::support::daemon::{SERVER, Served};
use super::support::installation::Installation;

/// Everything that a zone can have.
pub(crate) const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 1h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\na A 192.0.2.1\nb AAAA 2001:db8::1\n\
    x.ent A 192.0.2.2\n*.wild A 192.0.2.3\n*.wild TXT w\nc CNAME a\ncc CNAME c\nnx CNAME missing\nwc CNAME foo.wild\nd DNAME ent\n\
    secure NS ns.secure\nsecure DS 12345 13 2 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n\
    ns.secure A 192.0.2.9\ninsecure NS ns.insecure\nns.insecure A 192.0.2.10\nmx MX 10 a\n*.cw CNAME a\nsteered CNAME play\n\
    play A 198.51.100.10\n";

/// What `dnssec` stands in, and the rest of an installation whose names are steered in each way.
pub(crate) fn configuration(dnssec: &str) -> String {
    format!(
        "{SERVER}whoami = \"whoami.live.example\"\n[zone.\"live.example\"]\ndnssec = {{ {dnssec} }}\n\
         [service.\"play.live.example\"]\n[service.\"*.room.live.example\"]\n\
         [service.\"barred.live.example\"]\nwithin = [\"AU\"]\n[service.\"*.barred.live.example\"]\nwithin = [\"AU\"]\n[place.fra]\nat = [50.1, 8.7]\n\
         [defaults.node]\nplace = \"fra\"\ncapacity.egress = \"1Gbit/s\"\n\
         [node.fra1]\naddresses = [\"198.51.100.10\", \"2001:db8:f::10\"]\n[node.fra2]\naddresses = [\"198.51.100.11\"]\n\
         [node.fra3]\naddresses = [\"198.51.100.12\"]\n"
    )
}

/// An installation with a new key.
pub(crate) fn installation(dnssec: &str, zone: &str) -> Installation {
    let text = configuration(dnssec);
    let installation = Installation::new([("thalweg.toml", text.as_str()), ("zones/live.example.zone", zone)]);
    thalweg(&installation, &["generate", "live.example"]);
    installation
}

/// What `thalweg keys` says.
pub(crate) fn thalweg(installation: &Installation, arguments: &[&str]) -> String {
    output(&mut command(installation, arguments))
}

/// `thalweg keys` with these arguments.
pub(crate) fn command(installation: &Installation, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.arg("keys").args(arguments).arg("--config").arg(installation.config());
    command
}

/// A parent zone with these DS records, and the key that proves it.
pub(crate) fn parent(directory: &TempDir, ds: &str) -> (Server, String) {
    let key = new_key(directory.path(), "example.");
    let plain = format!(
        "$TTL 1\nexample. SOA ns1 host 1 1h 15m 2w 1\nexample. NS ns1.example.\nns1.example. A 192.0.2.54\n\
         live.example. NS ns1.live.example.\nns1.live.example. A 192.0.2.53\n{ds}"
    );
    let file = directory.path().join("example.zone");
    fs::write(&file, sign(&format!("$ORIGIN example.\n{plain}"), &key, &[])).unwrap();
    let anchor = fs::read_to_string(key.with_extension("key")).unwrap_or_else(|_| {
        let path = format!("{}.key", key.display());
        fs::read_to_string(path).unwrap()
    });
    let anchor = anchor.lines().find(|line| line.contains("DNSKEY")).unwrap();
    let anchor = anchor.split(';').next().unwrap().replace('\t', " ");
    (nsd("example.", &file), anchor.trim().to_owned())
}

#[test]
fn a_resolver_that_validates_finds_everything_proved_below_a_parent_with_a_ds_record() {
    for denial in ["", "--algorithm=ed25519"] {
        let text = configuration("keys = \"keys\"");
        let installation = Installation::new([("thalweg.toml", text.as_str()), ("zones/live.example.zone", ZONE)]);
        let arguments = ["generate", "live.example", denial];
        thalweg(&installation, if denial.is_empty() { &arguments[..2] } else { &arguments });
        let served = Served::start(&installation);
        let directory = TempDir::new().unwrap();
        let (above, anchor) = parent(&directory, &thalweg(&installation, &["ds", "live.example"]));
        let resolver = unbound(&anchor, &[("example.", above.address), ("live.example.", served.dns())]);
        let asker = Asker::of(&resolver);
        for (name, qtype, expected) in [
            ("live.example.", "SOA", "NOERROR ad"),
            ("live.example.", "DNSKEY", "NOERROR ad"),
            ("live.example.", "CDS", "NOERROR ad"),
            ("a.live.example.", "A", "NOERROR ad"),
            ("a.live.example.", "MX", "NOERROR ad"),
            ("missing.live.example.", "A", "NXDOMAIN ad"),
            ("ent.live.example.", "A", "NOERROR ad"),
            ("foo.wild.live.example.", "A", "NOERROR ad"),
            ("foo.wild.live.example.", "MX", "NOERROR ad"),
            ("foo.bar.wild.live.example.", "TXT", "NOERROR ad"),
            ("cc.live.example.", "A", "NOERROR ad"),
            ("nx.live.example.", "A", "NXDOMAIN ad"),
            ("wc.live.example.", "A", "NOERROR ad"),
            ("x.d.live.example.", "A", "NOERROR ad"),
            ("y.d.live.example.", "A", "NXDOMAIN ad"),
            ("zz.cw.live.example.", "A", "NOERROR ad"),
            ("mx.live.example.", "MX", "NOERROR ad"),
            ("secure.live.example.", "DS", "NOERROR ad"),
            ("insecure.live.example.", "DS", "NOERROR ad"),
            ("play.live.example.", "A", "NOERROR ad"),
            ("play.live.example.", "AAAA", "NOERROR ad"),
            ("play.live.example.", "MX", "NOERROR ad"),
            ("steered.live.example.", "A", "NOERROR ad"),
            ("r1.room.live.example.", "A", "NOERROR ad"),
            ("r2.room.live.example.", "TXT", "NOERROR ad"),
            ("whoami.live.example.", "TXT", "NOERROR ad"),
            // No client here is in Australia: there is no address for it, whatever the zone's chain says.
            ("barred.live.example.", "A", "NOERROR ad"),
            ("barred.live.example.", "AAAA", "NOERROR ad"),
            ("r1.barred.live.example.", "A", "NOERROR ad"),
            ("r2.barred.live.example.", "TXT", "NOERROR ad"),
        ] {
            let (found, reply) = asker.ask(name, qtype);
            // RFC 9824 §3.1: in the words of DNSSEC, a name that is denied compactly is there.
            let is_compact = expected == "NXDOMAIN ad" && found == "NOERROR ad";
            assert!(found == expected || is_compact, "{name} {qtype}: {:#?}\n{}", reply.lines, resolver.log());
        }
    }
}

#[test]
fn delv_agrees() {
    let installation = installation("keys = \"keys\"", ZONE);
    let served = Served::start(&installation);
    let directory = TempDir::new().unwrap();
    let key = thalweg(&installation, &["ds", "live.example"]);
    let mut words = key.split_whitespace();
    let (zone, rest) = (words.next().unwrap(), words.skip(2).collect::<Vec<_>>());
    let anchors = directory.path().join("anchors");
    let digest = rest[3..].concat();
    let anchor = format!("trust-anchors {{ {zone} static-ds {} {} {} \"{digest}\"; }};\n", rest[0], rest[1], rest[2]);
    fs::write(&anchors, anchor).unwrap();
    for (name, expected) in [
        ("play.live.example", "; fully validated"),
        ("foo.wild.live.example", "; fully validated"),
        ("x.d.live.example", "; fully validated"),
        ("missing.live.example", "; negative response, fully validated"),
        ("ent.live.example", "; negative response, fully validated"),
    ] {
        let server = [format!("@{}", served.dns().ip()), "-p".to_owned(), served.dns().port().to_string()];
        let told =
            Command::new("delv").args(server).arg("-a").arg(&anchors).args(["+root=live.example", name, "A"]).output();
        let told = told.expect("delv (tests/run installs it)");
        let told = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.contains(expected), "{name}: {told}");
    }
}
