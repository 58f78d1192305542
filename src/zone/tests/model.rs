//! Look-up against a model: a map of names, searched word for word as RFC 1034 and RFC 4592 say.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, prop, prop_assert_eq, prop_oneof, proptest};

use super::super::{Found, Zone};
use super::{HEAD, name, read_text, steered};
use crate::name::{LookupName, Name, Printed};
use crate::wire::RecordType;

/// What stands at the names that own something.
type Model = BTreeMap<Name, Vec<RecordType>>;

#[derive(Debug, PartialEq)]
enum Expected {
    Records,
    Cname,
    Steered,
    NoData,
    NxDomain,
    Referral(String),
    Dname(String),
}

fn ancestors(name: &Name) -> Vec<Name> {
    std::iter::successors(Some(name.clone()), Name::parent).collect()
}

/// RFC 4592 §2.2.2: a name exists if it owns something or if a name below it does.
fn exists(model: &Model, name: &Name) -> bool {
    model.keys().any(|owner| owner.is_at_or_below(name))
}

fn expected(model: &Model, services: &[Name], apex: &Name, qname: &Name, qtype: RecordType) -> (Expected, bool) {
    // RFC 1034 §4.3.2 step 3, from the apex down: a cut takes what is at and below it, a DNAME what is below it.
    for ancestor in ancestors(qname).into_iter().filter(|ancestor| ancestor.is_at_or_below(apex)).rev() {
        let has = |rtype| model.get(&ancestor).is_some_and(|types| types.contains(&rtype));
        let lower = ancestor.to_string().to_lowercase();
        if ancestor != *apex && has(RecordType::NS) {
            if ancestor == *qname && qtype == RecordType::DS {
                break;
            }
            return (Expected::Referral(lower), false);
        }
        if ancestor != *qname && has(RecordType::DNAME) {
            return (Expected::Dname(lower), false);
        }
    }
    if exists(model, qname) {
        return (at(model, services, qname, qtype), false);
    }
    // RFC 4592 §3.3.1: the closest encloser is the longest existing ancestor; the source of synthesis is its wildcard.
    let encloser = ancestors(qname).into_iter().find(|ancestor| exists(model, ancestor)).expect("the apex exists");
    let source = Name::parse("*", Some(&encloser)).expect("short");
    if exists(model, &source) {
        return (at(model, services, &source, qtype), true);
    }
    (Expected::NxDomain, false)
}

fn at(model: &Model, services: &[Name], owner: &Name, qtype: RecordType) -> Expected {
    let types = model.get(owner).map_or(&[][..], Vec::as_slice);
    if services.contains(owner) && qtype == RecordType::A {
        Expected::Steered
    } else if types.contains(&qtype) {
        Expected::Records
    } else if types.contains(&RecordType::CNAME) {
        Expected::Cname
    } else {
        Expected::NoData
    }
}

fn relative_name() -> impl Strategy<Value = String> {
    let label = prop_oneof![3 => Just("*"), 4 => Just("a"), 3 => Just("b"), 1 => Just("C"), 1 => Just("\\000"), 1 => Just("a\\.b")];
    prop::collection::vec(label, 1..5).prop_map(|labels| labels.join("."))
}

fn rtype() -> impl Strategy<Value = RecordType> {
    let types = [RecordType::A, RecordType::TXT, RecordType::NS, RecordType::DS, RecordType::CNAME, RecordType::DNAME];
    prop::sample::select(types.to_vec())
}

proptest! {
    #[test]
    fn look_up_agrees_with_the_rules(
        records in prop::collection::vec((relative_name(), rtype()), 0..12),
        services in prop::collection::vec(relative_name(), 0..3),
        questions in prop::collection::vec((relative_name(), rtype()), 1..40),
    ) {
        let apex = name("live.example.");
        let absolute = |relative: &str| Name::parse(relative, Some(&apex)).expect("short");
        let mut model = Model::from([
            (apex.clone(), vec![RecordType::SOA, RecordType::NS]),
            (absolute("ns1"), vec![RecordType::A, RecordType::AAAA]),
        ]);
        let mut text = HEAD.to_owned();
        for (owner, rtype) in &records {
            let types = model.entry(absolute(owner)).or_default();
            let is_refused = (*rtype == RecordType::CNAME && !types.is_empty())
                || types.contains(&RecordType::CNAME)
                || (*rtype == RecordType::DNAME && types.contains(rtype))
                || (*rtype == RecordType::NS && owner.starts_with('*'));
            if is_refused {
                continue;
            }
            types.push(*rtype);
            let rdata = match *rtype {
                RecordType::A => "192.0.2.1",
                RecordType::DS => "1 8 9 00",
                _ => "x.",
            };
            text.push_str(&format!("{owner} {rtype} {rdata}\n"));
        }
        model.retain(|_, types| !types.is_empty());
        let mut names: Vec<Name> = services.iter().map(|service| absolute(service)).collect();
        names.sort();
        names.dedup();
        names.retain(|service| {
            let has_alias = model.get(service).is_some_and(|types| types.contains(&RecordType::CNAME));
            let below_apex = ancestors(service).into_iter().filter(|ancestor| ancestor.is_at_or_below(&apex) && *ancestor != apex);
            let is_cut = |name: Name| model.get(&name).is_some_and(|types| types.contains(&RecordType::NS));
            let is_renamed = |name: &Name| model.get(name).is_some_and(|types| types.contains(&RecordType::DNAME));
            !has_alias && !ancestors(service).iter().any(is_renamed) && !below_apex.into_iter().any(is_cut)
        });
        let bound: Vec<_> = names.iter().map(|service| steered(&service.to_string(), 0, true, false)).collect();
        for service in &names {
            model.entry(service.clone()).or_default();
        }

        let (parsed, _) = read_text(&text);
        let (zone, findings) = Zone::build(&parsed, &bound);
        let zone = zone.unwrap_or_else(|| panic!("{text}\n{:?}", super::lines(&findings)));
        for (question, qtype) in &questions {
            let qname = absolute(question);
            let lookup_name = LookupName::from_wire(qname.wire());
            let lookup = zone.lookup(&lookup_name, *qtype);
            let found = match lookup.found {
                Found::Records(rrset) => {
                    prop_assert_eq!(rrset.rtype, *qtype);
                    Expected::Records
                }
                Found::Cname { .. } => Expected::Cname,
                Found::Steered { .. } => Expected::Steered,
                Found::NoData { .. } => Expected::NoData,
                Found::NxDomain => Expected::NxDomain,
                Found::Referral { cut, .. } => Expected::Referral(Printed(cut).to_string()),
                Found::Dname { owner, .. } => Expected::Dname(Printed(owner).to_string()),
                Found::Any(_) | Found::Whoami => panic!("nobody asked for that"),
            };
            let expected = expected(&model, &names, &apex, &qname, *qtype);
            prop_assert_eq!((found, lookup.wildcard.is_some()), expected, "{} {} in\n{}", question, qtype, text);
        }
    }
}
