//! Zones that are signed here, over time; and chains of zones that were signed elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{Signed, Signing, Steered, Zone};
use super::{build, name, read_text, steered, with_head};
use crate::dnssec::{Algorithm, KeyMaterial, KeySet, Lifetime, Role, SigningKey, Times, nsec3};
use crate::name::{LookupName, Printed};
use crate::wire::RecordType;

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn key(role: Role) -> (Arc<SigningKey>, Times) {
    let material = KeyMaterial::generate(Algorithm::Ed25519, role).unwrap();
    let times = Times { publish: Some(0), activate: Some(0), ..Times::default() };
    (Arc::new(SigningKey::new(&material).unwrap()), times)
}

fn signing(roles: &[Role], validity: u64, refresh: u64) -> Signing {
    let keys = KeySet { keys: roles.iter().map(|role| key(*role)).collect(), unusable: 0 };
    Signing { keys, lifetime: Lifetime { validity, refresh }, key_ttl: 3_600 }
}

fn sign(text: &str, steered: &[Steered], signing: &Signing, now: u64, before: Option<&Signed>) -> (Zone, Signed) {
    let (mut records, _) = read_text(text);
    let zone = Zone::build(&records, steered).0.unwrap();
    let kept = before.map(|signed| &*signed.kept);
    records.sign(&zone, (steered, None), signing, now, kept, 1).unwrap()
}

/// All that a zone has, in no order.
fn content(zone: &Zone) -> BTreeSet<(Vec<u8>, RecordType, Vec<u8>)> {
    zone.rrsets().map(|(owner, rrset)| (owner.to_vec(), rrset.rtype, rrset.bytes.to_vec())).collect()
}

#[test]
fn what_is_transferred_never_changes_without_a_new_serial() {
    // The service's name is in what answers alone, so the two forms of the zone have signatures of their own.
    let services = [steered("play.live.example.", 0, true, true)];
    for (text, refresh) in [(with_head(""), 5 * DAY), (with_head("a A 192.0.2.1\nplay TXT x\n"), DAY)] {
        let signing = signing(&[Role::KeySigning], 14 * DAY, refresh);
        let (mut zone, mut signed) = sign(&text, &services, &signing, NOW, None);
        for step in 1..240 {
            let (next, next_signed) = sign(&text, &services, &signing, NOW + step * 6 * HOUR, Some(&signed));
            let (old, new) = (zone.transferred(), next.transferred());
            let changed: Vec<_> = content(old)
                .symmetric_difference(&content(new))
                .map(|(owner, rtype, bytes)| format!("{} {rtype} {bytes:?}", Printed(owner)))
                .collect();
            assert_eq!(old.serial() == new.serial(), changed.is_empty(), "after {} h: {changed:#?}", step * 6);
            assert_eq!(next.serial(), new.serial());
            assert!(next_signed.again > NOW + step * 6 * HOUR);
            (zone, signed) = (next, next_signed);
        }
        assert!(zone.serial() > 10, "signatures were renewed");
    }
}

#[test]
fn signatures_that_do_not_count_yet_are_made_again() {
    let signing = signing(&[Role::KeySigning], 14 * DAY, 5 * DAY);
    let text = with_head("a A 192.0.2.1\nb A 192.0.2.1\nc A 192.0.2.1\n");
    for ahead in [2 * HOUR, DAY, 5 * DAY] {
        let (zone, signed) = sign(&text, &[], &signing, NOW + ahead, None);
        assert!(signed.from > NOW, "it is known that they do not count at the right time");
        let (right, again) = sign(&text, &[], &signing, NOW, Some(&signed));
        assert!(again.from <= NOW);
        let signatures = |zone: &Zone| -> BTreeSet<_> {
            content(zone).into_iter().filter(|(_, rtype, _)| *rtype == RecordType::RRSIG).collect()
        };
        assert!(signatures(&zone).is_disjoint(&signatures(&right)), "{ahead} s ahead");
    }
}

#[test]
fn a_service_without_nodes_has_a_proof_of_its_own_in_answers_alone() {
    let signing = signing(&[Role::KeySigning], 14 * DAY, 5 * DAY);
    let services = [steered("play.live.example.", 0, false, false)];
    let (zone, _) = sign(&with_head(""), &services, &signing, NOW, None);
    let has_proof = |zone: &Zone| {
        let nsec = |(owner, rtype, _): &(Vec<u8>, RecordType, Vec<u8>)| {
            *rtype == RecordType::NSEC && Printed(owner).to_string() == "play.live.example."
        };
        content(zone).iter().any(nsec)
    };
    assert!(has_proof(&zone));
    // RFC 4035 §2.3: no name has nothing but an NSEC record.
    assert!(!has_proof(zone.transferred()));
}

#[test]
fn keys_of_which_some_are_missing_sign_nothing() {
    let (mut records, _) = read_text(&with_head(""));
    let mut refusal = |signing: &Signing| {
        let zone = Zone::build(&records, &[]).0.unwrap();
        records.sign(&zone, (&[], None), signing, NOW, None, 1).map(|_| ()).unwrap_err().to_string()
    };
    let both = signing(&[Role::KeySigning, Role::ZoneSigning], 14 * DAY, 5 * DAY);
    let mut unreadable = both.clone();
    unreadable.keys.unusable = 1;
    assert!(refusal(&unreadable).contains("1 of its keys cannot be used"));
    let mut pointless = both.clone();
    pointless.keys.keys.remove(0);
    assert!(refusal(&pointless).contains("no key signs the keys"));
    assert_eq!(pointless.keys.lost(&both.keys, NOW).map(SigningKey::role), Some(Role::KeySigning));
    let mut retired = both.clone();
    retired.keys.keys[0].1.delete = Some(NOW);
    assert!(pointless.keys.lost(&retired.keys, NOW).is_none(), "its time was over");
}

/// The owner of the NSEC3 record of a name.
fn hashed(parameters: &nsec3::Parameters, owner: &str) -> String {
    parameters.hash(LookupName::from_wire(name(owner).wire()).wire()).to_string()
}

/// A zone whose NSEC3 chains have records of these names, by the salts of the chains.
fn with_chains(more: &str, chains: &[(&str, &[&str])]) -> Zone {
    const SIGNATURE: &str = "13 2 300 20300101000000 20260101000000 1 live.example. AAAA";
    let mut text = with_head(more);
    text += &format!("@ DNSKEY 257 3 13 AAAA\n@ RRSIG DNSKEY {SIGNATURE}\n@ NSEC3PARAM 1 0 0 {}\n", chains[0].0);
    for (salt, owners) in chains {
        let octets = u8::from_str_radix(salt, 16).unwrap();
        let parameters = nsec3::Parameters::read(&[1, 0, 0, 0, 1, octets]).unwrap();
        for owner in *owners {
            let owner = hashed(&parameters, owner);
            text += &format!("{owner} NSEC3 1 1 0 {salt} {owner} A\n{owner} RRSIG NSEC3 {SIGNATURE}\n");
        }
    }
    build(&text, &[])
}

/// The owners of what proves an answer.
fn proofs(zone: &Zone, owner: &str) -> Vec<String> {
    let owner = LookupName::from_wire(name(owner).wire());
    let lookup = zone.lookup(&owner, RecordType::A);
    let labels =
        |proof: &super::super::Proof<'_>| Printed(proof.owner).to_string().split('.').next().unwrap().to_owned();
    zone.proofs(&owner, &lookup).iter().map(labels).collect()
}

#[test]
fn below_a_name_that_opt_out_left_out_the_closest_one_of_the_chain_is_proved() {
    // RFC 5155 §7.1: b is there for the sake of an insecure delegation alone, and has no record.
    let zone = with_chains("a.b NS ns1\n", &[("aa", &["live.example.", "ns1.live.example."])]);
    let parameters = nsec3::Parameters::read(&[1, 0, 0, 0, 1, 0xaa]).unwrap();
    let apex = hashed(&parameters, "live.example.");
    assert!(proofs(&zone, "x.b.live.example.").contains(&apex), "{:?}", proofs(&zone, "x.b.live.example."));
}

#[test]
fn records_of_another_chain_prove_nothing() {
    let names = ["live.example.", "ns1.live.example.", "c.live.example."];
    let zone = with_chains("c A 192.0.2.1\n", &[("aa", &names), ("bb", &names)]);
    let parameters = nsec3::Parameters::read(&[1, 0, 0, 0, 1, 0xaa]).unwrap();
    let chain = names.map(|owner| hashed(&parameters, owner));
    for number in 0..50 {
        let found = proofs(&zone, &format!("x{number}.live.example."));
        assert!(!found.is_empty() && found.iter().all(|owner| chain.contains(owner)), "{found:?}");
    }
}
