//! What is said of a zone as a whole.

use super::super::Zone;
use super::{HEAD, lines, read_text, read_text_of, steered, with_head};
use crate::zone::Steered;

fn findings(text: &str, steered: &[Steered]) -> (bool, Vec<String>) {
    let (records, problems) = read_text(text);
    assert_eq!(lines(&problems), [""; 0], "{text}");
    let (zone, findings) = Zone::build(&records, steered);
    (zone.is_some(), lines(&findings))
}

#[test]
fn a_good_zone_gives_no_findings() {
    let good = with_head(
        "a A 192.0.2.1\n A 192.0.2.2\n A 192.0.2.1\nb CNAME a\n@ MX 10 a\n MX 20 .\n MX 30 x.example.\n\
         c MX 1 q.w\n*.w AAAA 2001:db8::1\nsub NS ns.sub\nns.sub A 192.0.2.9\nsub NS ns.other\nother NS x.\n",
    );
    assert_eq!(findings(&good, &[]), (true, vec![]));
}

#[test]
fn what_a_zone_must_have_is_missed() {
    for (text, expected) in [
        (
            "",
            &[
                "z: error: the zone `live.example.` has no SOA record (write `@ SOA ns1 hostmaster 1 1h 15m 2w 5m`)",
                "z: error: the zone `live.example.` has no NS record (write `@ NS` and the name of each nameserver)",
            ][..],
        ),
        (
            "$TTL 5\na SOA a. b. 1 2 3 4 5\n@ NS a.\n",
            &[
                "z: error: the zone `live.example.` has no SOA record (write `@ SOA ns1 hostmaster 1 1h 15m 2w 5m`)",
                "z:2:3: error: an SOA record at `a.live.example.`, which is not the zone's name (a child zone has a file of its own)",
            ],
        ),
        (
            "$TTL 5\n@ SOA a. b. 1 2 3 4 5\na A 192.0.2.1\n",
            &["z: error: the zone `live.example.` has no NS record (write `@ NS` and the name of each nameserver)"],
        ),
    ] {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(findings(text, &[]), (false, expected), "{text}");
    }
}

#[test]
fn what_a_zone_must_not_have_is_refused() {
    for (more, expected) in [
        ("@ SOA a. b. 1 2 3 4 5", "z:8:3: error: a second SOA record at `live.example.` (keep one of them)"),
        ("a CNAME b.\na CNAME c.", "z:9:3: error: a second CNAME record at `a.live.example.` (keep one of them)"),
        (
            "a A 192.0.2.1\na TXT x\na CNAME b. ; text",
            "z:10:3: error: `a.live.example.` has a CNAME beside other data: A, TXT \
             (an alias has no other records; move one of the two to another name)",
        ),
        (
            "@ CNAME b.",
            "z:8:3: error: `live.example.` has a CNAME beside other data: NS, SOA \
             (the zone's own name cannot be an alias; give it addresses)",
        ),
        ("*.a NS b.", "z:8:5: error: an NS record at the wildcard `*.a.live.example.` (delegate each name by itself)"),
    ] {
        assert_eq!(findings(&with_head(more), &[]), (false, vec![expected.to_owned()]), "{more}");
    }
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    for (more, expected) in [
        (
            "a A 192.0.2.1\na 60 A 192.0.2.2\na 90 A 192.0.2.3",
            "z:9:6: warning: the TTL 60 differs from 300 in the same RRset, A of `a.live.example.` \
             (the records of an RRset have one TTL; the lowest, 60, is used)",
        ),
        ("@ NS ns9", "z:8:3: warning: the NS record points at `ns9.live.example.`, which has no address in this zone"),
        (
            "@ MX 10 mail.live.example",
            "z:8:3: warning: the MX record points at `mail.live.example.live.example.`, which has no address in this zone \
             (is the dot at the end of the name missing?)",
        ),
        (
            "www CNAME ns1.live.example",
            "z:8:5: warning: the CNAME record points at `ns1.live.example.live.example.`, which does not exist \
             (is the dot at the end of the name missing?)",
        ),
        (
            "www.live.example A 192.0.2.1",
            "z:8:18: warning: the owner `www.live.example.live.example.` has the zone's name twice \
             (is the dot at the end of the name missing?)",
        ),
        (
            "_x SRV 1 2 3 t\nt TXT x",
            "z:8:4: warning: the SRV record points at `t.live.example.`, which has no address in this zone",
        ),
        (
            "m MX 1 alias\nalias CNAME ns1",
            "z:8:3: warning: the MX record points at `alias.live.example.`, which is an alias, not a name with addresses",
        ),
        (
            "m MX 1 q.w\n*.w CNAME ns1",
            "z:8:3: warning: the MX record points at `q.w.live.example.`, which is an alias, not a name with addresses",
        ),
        (
            "sub NS ns.sub",
            "z:8:5: warning: the NS record points at `ns.sub.live.example.`, which is inside the delegated zone \
             and has no address here: nobody can reach it",
        ),
    ] {
        assert_eq!(findings(&with_head(more), &[]), (true, vec![expected.to_owned()]), "{more}");
    }
}

#[test]
fn the_rules_for_steered_names_are_kept() {
    let play = |owner| [steered(owner, 3, true, true)];
    for (more, owner, is_good, expected) in [
        ("play A 192.0.2.1", "play.live.example.", true, None),
        ("", "live.example.", true, None),
        ("*.room A 192.0.2.1", "*.room.live.example.", true, None),
        (
            "",
            "play.live.example.",
            true,
            Some(
                "z: warning: the service `play.live.example.` has no records in the zone file (it is steered here, but \
                 secondaries, which get the file's records, answer that it does not exist: add `play.live.example. A` with \
                 the address of a node)",
            ),
        ),
        (
            "sub NS x.",
            "play.sub.live.example.",
            false,
            Some(
                "z: error: the service `play.sub.live.example.` is below the delegation of `sub.live.example.` (queries for \
                 it are referred to the child zone; take the NS records away or serve the name there)",
            ),
        ),
        (
            "play CNAME x.",
            "play.live.example.",
            false,
            Some(
                "z:8:6: error: the service `play.live.example.` has a CNAME record \
                 (a steered name cannot be an alias; remove the record)",
            ),
        ),
        ("", "play.example.", false, Some("z: error: the service `play.example.` is outside the zone `live.example.`")),
    ] {
        let expected: Vec<String> = expected.map(str::to_owned).into_iter().collect();
        assert_eq!(findings(&with_head(more), &play(owner)), (is_good, expected), "{more} {owner}");
    }
    let twice = [steered("ns1.live.example.", 1, true, true), steered("NS1.live.example.", 2, true, true)];
    let expected = vec!["z: error: the service `NS1.live.example.` is given twice".to_owned()];
    assert_eq!(findings(HEAD, &twice), (false, expected));
}

#[test]
fn a_target_may_be_a_steered_name() {
    let text = with_head("@ MX 1 play\n_x SRV 1 2 3 x.room\n");
    let services = [steered("play.live.example.", 1, true, false), steered("*.room.live.example.", 2, true, false)];
    let (is_good, warnings) = findings(&text, &services);
    assert!(is_good && warnings.iter().all(|warning| warning.contains("no records in the zone file")), "{warnings:?}");
}

#[test]
fn of_very_many_problems_the_first_thousand_are_told_and_an_error_behind_warnings_is() {
    let mut text = with_head("");
    (0..1_500).for_each(|number| text.push_str(&format!("m{number} MX 1 nobody\n")));
    let (is_good, said) = findings(&text, &[]);
    assert!(is_good && said.len() == 1_001, "{}", said.len());
    assert_eq!(said[0], "z: warning: 500 more problems of its records are not shown (mend the others first)");
    (0..1_500).for_each(|number| text.push_str(&format!("c{number} CNAME x.\n A 192.0.2.1\n")));
    let (is_good, said) = findings(&text, &[]);
    assert!(!is_good && said.len() == 2_001, "{}", said.len());
}

#[test]
fn hosts_without_their_last_dot_are_noticed_in_reverse_zones() {
    let text = "$TTL 300\n@ SOA ns1.example. host.example. 1 1h 15m 2w 60\n@ NS ns1.example.\n\
                1 PTR host.example\n2 PTR host.example.\n";
    let (records, problems) = read_text_of(text, "2.0.192.in-addr.arpa.");
    assert!(problems.is_empty());
    let (zone, found) = Zone::build(&records, &[]);
    assert!(zone.is_some());
    assert_eq!(
        lines(&found),
        ["z:4:3: warning: the PTR record points at `host.example.2.0.192.in-addr.arpa.`, which does not exist \
          (is the dot at the end of the name missing?)"]
    );
}
