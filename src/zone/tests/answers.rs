//! What look-up finds, question by question.

use super::super::{Found, Lookup, Zone};
use super::{build, name, steered, with_head};
use crate::name::{LookupName, Printed};
use crate::wire::RecordType;

fn lookup<'z>(zone: &'z Zone, owner: &str, qtype: RecordType) -> Lookup<'z> {
    let owner = LookupName::from_wire(name(owner).wire());
    zone.lookup(&owner, qtype)
}

/// In words: what a case expects.
fn found(zone: &Zone, question: &str) -> String {
    let (owner, qtype) = question.split_once(' ').expect(question);
    let owner = match owner {
        "@" => "live.example.".to_owned(),
        relative => format!("{relative}.live.example."),
    };
    let Lookup { found, wildcard, .. } = lookup(zone, &owner, qtype.parse().expect(qtype));
    let found = match found {
        Found::Records(rrset) => format!("{} {} ttl {}", rrset.rtype, rrset.count, rrset.ttl),
        Found::Any(rrset) => format!("any {} {}", rrset.rtype, rrset.count),
        Found::Cname { record, target } => format!("cname {} ttl {}", Printed(target), record.ttl),
        Found::Dname { owner, record, target } => {
            format!("dname {} to {} ttl {}", Printed(owner), Printed(target), record.ttl)
        }
        Found::Steered { service, family } => format!("steered {} {family:?}", service.0),
        Found::Whoami => "whoami".to_owned(),
        Found::NoData { service: None } => "nodata".to_owned(),
        Found::NoData { service: Some(service) } => format!("nodata of {}", service.0),
        Found::NxDomain => "nxdomain".to_owned(),
        Found::Referral { cut, labels, ns } => format!("referral {} {labels} NS {}", Printed(cut), ns.count),
    };
    if wildcard.is_some() { format!("{found} by wildcard") } else { found }
}

fn check(zone: &Zone, cases: &[(&str, &str)]) {
    for (question, expected) in cases {
        assert_eq!(found(zone, question), *expected, "{question}");
    }
}

#[test]
fn data_at_names_that_exist() {
    let zone =
        build(&with_head("@ A 192.0.2.1\nwww 60 CNAME Ns1\nd.e.f A 192.0.2.1\n A 192.0.2.2\nt TYPE65280 \\# 0\n"), &[]);
    check(
        &zone,
        &[
            ("@ A", "A 1 ttl 300"),
            ("@ SOA", "SOA 1 ttl 300"),
            ("@ NS", "NS 1 ttl 300"),
            ("@ DS", "nodata"),
            ("@ MX", "nodata"),
            ("NS1 A", "A 1 ttl 300"),
            ("ns1 AAAA", "AAAA 1 ttl 300"),
            ("ns1 TXT", "nodata"),
            ("d.e.f A", "A 2 ttl 300"),
            ("t TYPE65280", "TYPE65280 1 ttl 300"),
            ("www A", "cname Ns1.live.example. ttl 60"),
            ("www CNAME", "CNAME 1 ttl 60"),
            ("www ANY", "any CNAME 1"),
            ("@ ANY", "any A 1"),
        ],
    );
}

#[test]
fn names_that_do_not_exist_and_empty_non_terminals() {
    let zone = build(&with_head("a.b.c.d A 192.0.2.1\n"), &[]);
    check(
        &zone,
        &[
            ("x A", "nxdomain"),
            ("x.ns1 A", "nxdomain"),
            ("d A", "nodata"),
            ("d ANY", "nodata"),
            ("c.d A", "nodata"),
            ("b.c.d A", "nodata"),
            ("x.d A", "nxdomain"),
            ("b.c A", "nxdomain"),
            ("x.a.b.c.d A", "nxdomain"),
            ("x.y.z.b.c.d A", "nxdomain"),
            ("* A", "nxdomain"),
        ],
    );
}

/// RFC 4592 §2.2.1, and beyond.
#[test]
fn wildcards() {
    let zone = build(
        &with_head(
            "*.w A 192.0.2.1\nhost1.w TXT x\nsub.*.w TXT x\n_ssh.host2.w TXT x\nq.w NS x.\n\
             *.c CNAME ns1\n*.*.e TXT x\na.*.t A 192.0.2.1\n* MX 10 ns1\n",
        ),
        &[],
    );
    check(
        &zone,
        &[
            ("x.w A", "A 1 ttl 300 by wildcard"),
            ("x.y.z.w A", "A 1 ttl 300 by wildcard"),
            ("x.w TXT", "nodata by wildcard"),
            ("x.w ANY", "any A 1 by wildcard"),
            ("*.w A", "A 1 ttl 300"),
            ("x.*.w A", "nxdomain"),
            ("sub.*.w A", "nodata"),
            ("host1.w A", "nodata"),
            ("x.host1.w A", "nxdomain"),
            ("host2.w A", "nodata"),
            ("x.host2.w A", "nxdomain"),
            ("x.q.w A", "referral q.w.live.example. 4 NS 1"),
            ("x.c A", "cname ns1.live.example. ttl 300 by wildcard"),
            ("x.c CNAME", "CNAME 1 ttl 300 by wildcard"),
            ("x.e TXT", "nodata by wildcard"),
            ("x.*.e TXT", "TXT 1 ttl 300 by wildcard"),
            ("x.t A", "nodata by wildcard"),
            ("x MX", "MX 1 ttl 300 by wildcard"),
            ("x.y A", "nodata by wildcard"),
            ("@ MX", "nodata"),
            ("ns1 MX", "nodata"),
            ("x.ns1 MX", "nxdomain"),
        ],
    );
}

#[test]
fn delegations_come_before_data() {
    let zone = build(
        &with_head(
            "sub NS ns.sub\nsub NS ns1\nsub DS 1 8 9 00\nsub TXT hidden\nns.sub A 192.0.2.9\n*.sub A 192.0.2.1\n\
             deep.er.sub NS x.\nbare NS x.\n* A 192.0.2.1\n",
        ),
        &[],
    );
    check(
        &zone,
        &[
            ("sub A", "referral sub.live.example. 3 NS 2"),
            ("sub NS", "referral sub.live.example. 3 NS 2"),
            ("sub ANY", "referral sub.live.example. 3 NS 2"),
            ("sub TXT", "referral sub.live.example. 3 NS 2"),
            ("sub DS", "DS 1 ttl 300"),
            ("bare DS", "nodata"),
            ("ns.sub A", "referral sub.live.example. 3 NS 2"),
            ("ns.sub DS", "referral sub.live.example. 3 NS 2"),
            ("x.sub A", "referral sub.live.example. 3 NS 2"),
            ("*.sub A", "referral sub.live.example. 3 NS 2"),
            ("er.sub A", "referral sub.live.example. 3 NS 2"),
            ("x.deep.er.sub A", "referral sub.live.example. 3 NS 2"),
            ("x.y.bare A", "referral bare.live.example. 3 NS 1"),
            ("xbare A", "A 1 ttl 300 by wildcard"),
        ],
    );
    let (a, aaaa) = zone.addresses(name("NS.sub.live.example.").wire());
    assert_eq!(a.expect("glue").rdata().collect::<Vec<_>>(), [[192, 0, 2, 9]]);
    assert_eq!(aaaa, None);
    assert_eq!(zone.addresses(name("ns.other.example.").wire()), (None, None));
    assert_eq!(zone.addresses(name("x.live.example.").wire()), (None, None), "wildcards are no glue");
}

#[test]
fn steered_names() {
    let zone = build(
        &with_head(
            "both A 192.0.2.1\n AAAA 2001:db8::1\n TXT x\nv4 AAAA 2001:db8::1\nplain A 192.0.2.1\n*.room TXT x\nfix.room A 192.0.2.1\n",
        ),
        &[
            steered("live.example.", 0, true, false),
            steered("Both.live.example.", 1, true, true),
            steered("v4.live.example.", 2, true, false),
            steered("*.room.live.example.", 3, false, true),
            steered("a.b.absent.live.example.", 4, true, true),
            steered("plain.live.example.", 5, false, false),
        ],
    );
    check(
        &zone,
        &[
            ("@ A", "steered 0 V4"),
            ("@ AAAA", "nodata of 0"),
            ("@ SOA", "SOA 1 ttl 300"),
            ("@ ANY", "any NS 1"),
            ("both A", "steered 1 V4"),
            ("both AAAA", "steered 1 V6"),
            ("both TXT", "TXT 1 ttl 300"),
            ("both MX", "nodata of 1"),
            ("both ANY", "any TXT 1"),
            ("v4 A", "steered 2 V4"),
            ("v4 AAAA", "AAAA 1 ttl 300"),
            ("v4 ANY", "any AAAA 1"),
            ("x.room AAAA", "steered 3 V6 by wildcard"),
            ("x.room A", "nodata of 3 by wildcard"),
            ("x.room TXT", "TXT 1 ttl 300 by wildcard"),
            ("*.room AAAA", "steered 3 V6"),
            ("fix.room AAAA", "nodata"),
            ("x.fix.room AAAA", "nxdomain"),
            ("room AAAA", "nodata"),
            ("a.b.absent A", "steered 4 V4"),
            ("a.b.absent ANY", "steered 4 V4"),
            ("b.absent A", "nodata"),
            ("x.absent A", "nxdomain"),
            ("plain A", "A 1 ttl 300"),
            ("plain AAAA", "nodata of 5"),
        ],
    );
    let addresses = |owner: &str| {
        let (a, aaaa) = zone.addresses(name(owner).wire());
        (a.is_some(), aaaa.is_some())
    };
    assert_eq!(addresses("both.live.example."), (false, false), "what steering answers is not given beside it");
    assert_eq!(addresses("v4.live.example."), (false, true));
    assert_eq!(addresses("plain.live.example."), (true, false));
}

#[test]
fn ready_records_are_in_the_order_of_the_file_and_with_the_lowest_ttl() {
    let zone = build(&with_head("a A 192.0.2.9\n 90 A 192.0.2.1\n A 192.0.2.9\nb MX 65 X\n MX 97 x\n MX 65 x\n"), &[]);
    let Found::Records(rrset) = lookup(&zone, "a.live.example.", RecordType::A).found else { panic!() };
    assert_eq!(
        rrset.bytes,
        [
            &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 90, 0, 4, 192, 0, 2, 9][..],
            &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 90, 0, 4, 192, 0, 2, 1]
        ]
        .concat()
    );
    assert_eq!((rrset.count, rrset.ttl), (2, 90));
    // Equal but for the case of a name is equal (RFC 4343); numbers that look like letters are not.
    let Found::Records(rrset) = lookup(&zone, "b.live.example.", RecordType::MX).found else { panic!() };
    assert_eq!(
        rrset.rdata().map(|rdata| rdata[..4].to_vec()).collect::<Vec<_>>(),
        [[0, 65, 1, b'X'], [0, 97, 1, b'x']]
    );
}

#[test]
fn the_soa_of_negative_answers_has_the_lesser_ttl() {
    for (ttl, expected) in [(300, 60), (30, 30)] {
        let zone = build(&with_head("").replace("$TTL 300", &format!("$TTL {ttl}")), &[]);
        assert_eq!((zone.negative_soa().ttl, zone.raw_soa().ttl), (expected, ttl));
        assert!(zone.negative_soa().rdata().eq(zone.raw_soa().rdata()));
        assert_eq!((zone.serial(), zone.apex().to_string(), zone.apex_labels()), (7, "live.example.".to_owned(), 2));
    }
}

#[test]
fn nodes_are_in_canonical_order_with_their_cuts() {
    let text = with_head(
        "yljkjljk.a A 192.0.2.1\nZ.a A 192.0.2.1\nzABC.a A 192.0.2.1\nz A 192.0.2.1\n\\001.z A 192.0.2.1\n\\000.z A 192.0.2.1\n\
         *.z A 192.0.2.1\n\\200.z A 192.0.2.1\n\\001\\001.z A 192.0.2.1\naaaaaaaaaaaaaaaaaaaa2 A 192.0.2.1\n\
         aaaaaaaaaaaaaaaaaaaa10 A 192.0.2.1\naaaaaaaaaaaaaaaaaaaa1 A 192.0.2.1\nx.aaaaaaaaaaaaaaaaaaaa1 NS x.\n",
    );
    let zone = build(&text, &[]);
    let owners: Vec<_> =
        zone.nodes().map(|(node, _)| crate::name::Name::from_wire(zone.owner(node)).unwrap()).collect();
    assert!(owners.windows(2).all(|pair| pair[0] < pair[1]), "{owners:?}");
    assert!(owners.contains(&name("a.live.example.")), "an empty non-terminal is a node");
    assert_eq!(zone.nodes().filter(|(_, node)| node.cut != super::super::store::NONE).count(), 1);
}

#[test]
fn the_longest_and_deepest_names_are_found() {
    let deep = "a.".repeat(119);
    let zone = build(&format!("$TTL 5\n@ SOA . . 1 2 3 4 5\n@ NS x.\n{deep}live.example. A 192.0.2.1\n"), &[]);
    assert_eq!(zone.node_count(), 120);
    for (prefix, expected) in [("", "A 1 ttl 5"), ("b.", "nxdomain")] {
        assert_eq!(found(&zone, &format!("{prefix}{} A", deep.trim_end_matches('.'))), expected);
    }
    assert_eq!(found(&zone, &format!("{} A", "a.".repeat(60).trim_end_matches('.'))), "nodata");
    assert_eq!(found(&zone, &format!("{}b A", "a.".repeat(110))), "nxdomain");
}

#[test]
fn a_zone_may_be_the_root() {
    let text = "$TTL 5\n@ SOA . . 1 2 3 4 5\n@ NS a.ns.\na.ns. A 192.0.2.1\ncom NS x.\n";
    let (records, _) = super::read(&crate::diagnostic::Source::new("z", text), &name("."), &mut super::no_files);
    let (zone, findings) = Zone::build(&records, &[]);
    assert_eq!(super::lines(&findings), [""; 0]);
    let zone = zone.expect("no errors");
    assert_eq!(lookup(&zone, "de.", RecordType::A).found, Found::NxDomain);
    assert!(matches!(lookup(&zone, "x.com.", RecordType::A).found, Found::Referral { labels: 1, .. }));
    assert!(matches!(lookup(&zone, ".", RecordType::NS).found, Found::Records(_)));
    assert!(matches!(lookup(&zone, "a.ns.", RecordType::A).found, Found::Records(_)));
}

#[test]
fn dname_occludes_what_is_below_it() {
    let zone = build(
        &with_head(
            "d DNAME elsewhere.\nd TXT t\nx.d A 192.0.2.1\n*.d A 192.0.2.2\nsub NS ns.sub\nns.sub A 192.0.2.3\n\
         sub DNAME child.\na.sub DNAME lost.\n*.w DNAME wild.\nb.*.w TXT t\ne.d DNAME second.",
        ),
        &[],
    );
    let renamed = "dname d.live.example. to elsewhere. ttl 300";
    check(
        &zone,
        &[
            ("d DNAME", "DNAME 1 ttl 300"),
            ("d TXT", "TXT 1 ttl 300"),
            ("d A", "nodata"),
            // RFC 6672 §2.4: whatever the file has.
            ("x.d A", renamed),
            ("*.d A", renamed),
            ("y.d A", renamed),
            ("y.d DNAME", renamed),
            ("a.b.c.d DS", renamed),
            ("e.d DNAME", renamed),
            ("f.e.d A", renamed),
            // At a cut it belongs to the child.
            ("sub DNAME", "referral sub.live.example. 3 NS 1"),
            ("x.sub A", "referral sub.live.example. 3 NS 1"),
            ("x.a.sub A", "referral sub.live.example. 3 NS 1"),
            // Owned by a wildcard it is not expanded, but for its own type.
            ("x.w A", "nodata by wildcard"),
            ("x.w DNAME", "DNAME 1 ttl 300 by wildcard"),
            ("y.x.w A", "nodata by wildcard"),
            // The asterisk itself is a name like any other.
            ("b.*.w TXT", "dname *.w.live.example. to wild. ttl 300"),
        ],
    );
    assert_eq!(zone.addresses(name("x.d.live.example.").wire()), (None, None), "what is occluded is no glue");
    assert!(zone.addresses(name("ns.sub.live.example.").wire()).0.is_some(), "glue below a cut is");
}

#[test]
fn a_dname_at_the_apex_renames_all_but_the_apex() {
    let zone = build(&with_head("@ DNAME other.example.\nx A 192.0.2.1"), &[]);
    let renamed = "dname live.example. to other.example. ttl 300";
    check(&zone, &[("@ NS", "NS 1 ttl 300"), ("@ A", "nodata"), ("x A", renamed), ("ns1 A", renamed)]);
}

#[test]
fn a_record_that_goes_to_another_name_is_a_change() {
    let zones = ["a A 192.0.2.1\n  A 192.0.2.2\nb A 192.0.2.3\n", "a A 192.0.2.1\nb A 192.0.2.2\n  A 192.0.2.3\n"];
    let [before, after] = zones.map(|records| build(&with_head(records), &[]).fingerprint());
    assert_ne!(before, after);
}
