//! Tests of who is let in, who is not, and who leaves.

use super::*;
use crate::load::heartbeat::Heartbeat;

const SECOND: Duration = Duration::from_secs(1);
const LEAVES: Duration = Duration::from_secs(600);

fn beat(node: &str, address: u8, source: u8, server: &str, at: Instant) -> Beat {
    Beat {
        inventory: "srs".to_owned(),
        node: node.to_owned(),
        address: [192, 0, 2, address].into(),
        source: [10, 0, 0, source].into(),
        heartbeat: Heartbeat { device: node.to_owned(), server: server.to_owned(), ..Heartbeat::default() },
        at,
    }
}

fn wish(node: Option<&str>, is_approval: bool) -> EnrolWish {
    let (inventory, who, reason) = ("srs".to_owned(), "karl".to_owned(), "new rack".to_owned());
    EnrolWish { inventory, node: node.map(str::to_owned), is_approval, who, reason }
}

/// Members of which these were let in at once, at these moments.
fn members(nodes: &[(&str, u8)], at: Instant) -> Members {
    let mut members = Members::default();
    for (node, address) in nodes {
        assert_eq!(members.take(&beat(node, *address, *address, "s", at), true, 0), Taken::Member(true));
    }
    members
}

fn listed(members: &mut Members, now: Instant) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&members.list(now, LEAVES).0).unwrap();
    let name = |group: &serde_json::Value| group["labels"]["node"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_node_waits_until_it_is_approved_and_another_address_waits_again() {
    let (mut members, now) = (Members::default(), Instant::now());
    assert_eq!(members.take(&beat("a", 1, 1, "s", now), false, 7), Taken::Waiting(true));
    assert_eq!(members.take(&beat("a", 1, 1, "s", now + 9 * SECOND), false, 16), Taken::Waiting(false));
    assert_eq!(listed(&mut members, now), [""; 0]);
    let unknown = members.enrol(&wish(Some("b"), true), 20).unwrap_err();
    assert!(unknown.contains("no heartbeat of a node `b`"), "{unknown}");
    assert_eq!(members.enrol(&wish(Some("a"), true), 20).unwrap(), ["a (192.0.2.1)"]);
    assert_eq!(listed(&mut members, now), ["a"]);
    assert!(members.enrol(&wish(Some("a"), true), 20).unwrap_err().contains("approved already"));
    assert_eq!(members.take(&beat("a", 1, 1, "s", now + 18 * SECOND), false, 25), Taken::Member(false));
    // It moves, or somebody says so.
    assert_eq!(members.take(&beat("a", 2, 1, "s", now + 27 * SECOND), false, 34), Taken::Refused(Unwanted::Taken));
    assert_eq!(members.take(&beat("a", 2, 1, "s", now + 60 * SECOND), false, 67), Taken::Waiting(true));
    let waiting = members.waiting(now + 61 * SECOND, 68);
    assert_eq!(waiting[0].instead_of, Some([192, 0, 2, 1].into()));
    assert_eq!((waiting[0].since, waiting[0].beat), (67, 67));
    assert!(members.list(now, LEAVES).0.contains("192.0.2.1:1985"));
    members.enrol(&wish(None, true), 70).unwrap();
    assert!(members.list(now, LEAVES).0.contains("192.0.2.2:1985"));
}

#[test]
fn a_name_is_not_taken_over_while_its_node_is_alive() {
    let now = Instant::now();
    for is_open in [false, true] {
        let mut members = members(&[("a", 1)], now);
        for other in [beat("a", 1, 9, "s", now + 20 * SECOND), beat("a", 1, 1, "t", now + 20 * SECOND)] {
            assert_eq!(members.take(&other, is_open, 0), Taken::Refused(Unwanted::Taken));
        }
        // As after a container was made anew.
        assert_eq!(members.take(&beat("a", 1, 1, "t", now + 31 * SECOND), is_open, 0), Taken::Member(true));
    }
}

#[test]
fn of_two_addresses_that_wait_one_has_to_be_named() {
    let (mut members, now) = (Members::default(), Instant::now());
    for address in [1, 2] {
        assert_eq!(members.take(&beat("a", address, address, "s", now), false, 0), Taken::Waiting(true));
    }
    let refused = members.enrol(&wish(Some("a"), true), 0).unwrap_err();
    assert!(refused.contains("a@192.0.2.1, a@192.0.2.2"), "{refused}");
    assert!(members.enrol(&wish(None, true), 0).is_err());
    assert_eq!(members.enrol(&wish(Some("a@192.0.2.2"), true), 0).unwrap(), ["a (192.0.2.2)"]);
}

#[test]
fn so_many_wait_and_no_more_while_they_are_alive() {
    let (mut members, now) = (Members::default(), Instant::now());
    for index in 0..MAX_WAITING {
        let taken = members.take(&beat(&format!("n{index}"), 1, 1, "s", now), false, 0);
        assert_eq!(taken, Taken::Waiting(true));
    }
    let one_more = |members: &mut Members, at| members.take(&beat("one-more", 1, 1, "s", at), false, 0);
    assert_eq!(one_more(&mut members, now + 20 * SECOND), Taken::Refused(Unwanted::Crowded));
    assert_eq!(one_more(&mut members, now + 31 * SECOND), Taken::Waiting(true));
    assert_eq!(members.waiting.len(), MAX_WAITING);
}

#[test]
fn a_silent_node_leaves_and_returns_without_another_approval() {
    let now = Instant::now();
    let mut members = members(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)], now);
    let later = now + LEAVES + SECOND;
    for (node, address) in [("a", 1), ("b", 2), ("c", 3)] {
        members.take(&beat(node, address, address, "s", later), false, 0);
    }
    assert_eq!(listed(&mut members, now + LEAVES), ["a", "b", "c", "d"]);
    assert_eq!(listed(&mut members, later), ["a", "b", "c"]);
    assert_eq!(members.take(&beat("d", 4, 4, "s", later), false, 0), Taken::Member(true));
    assert_eq!(listed(&mut members, later), ["a", "b", "c", "d"]);
    members.enrol(&wish(Some("d"), false), 0).unwrap();
    assert_eq!(listed(&mut members, later), ["a", "b", "c"]);
    assert_eq!(members.take(&beat("d", 4, 4, "s", later), false, 0), Taken::Waiting(true));
}

#[test]
fn many_that_fall_silent_one_after_another_leave_in_one_list_which_can_be_held() {
    let now = Instant::now();
    let mut members = Members::default();
    // Heartbeats are spread over nine seconds, so that the first of them is due long before the last.
    for address in 1..=9 {
        let at = now + SECOND * u32::from(address);
        members.take(&beat(&format!("n{address}"), address, address, "s", at), true, 0);
    }
    let first_due = now + SECOND + LEAVES + SECOND;
    assert_eq!(listed(&mut members, first_due), [""; 0], "all of them are silent");
    // Nobody has taken that list: whoever beats again is in.
    members.take(&beat("n1", 1, 1, "s", first_due), false, 0);
    assert_eq!(listed(&mut members, first_due), ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"]);
    // Somebody has.
    let late = first_due + LEAVES / 2;
    members.take(&beat("n1", 1, 1, "s", late), false, 0);
    let list: BTreeSet<String> = listed(&mut members, late).into_iter().collect();
    members.settle(&list, late);
    assert_eq!(listed(&mut members, late), ["n1"]);
    members.take(&beat("n2", 2, 2, "s", late), false, 0);
    assert_eq!(listed(&mut members, late), ["n1", "n2"]);
}

#[test]
fn nodes_that_left_make_room_for_others() {
    let now = Instant::now();
    let mut members = Members::default();
    let let_in = |members: &mut Members, index: usize, at: Instant| {
        let address = std::net::Ipv4Addr::from_bits(0xC612_0000 + index as u32).into();
        members.take(&Beat { address, ..beat(&format!("n{index}"), 1, 1, "s", at) }, true, 0)
    };
    for index in 0..MAX_NODES {
        assert_eq!(let_in(&mut members, index, now), Taken::Member(true));
    }
    assert_eq!(let_in(&mut members, MAX_NODES, now), Taken::Refused(Unwanted::Crowded));
    let later = now + LEAVES + SECOND;
    for index in 1..MAX_NODES {
        let_in(&mut members, index, later);
    }
    members.list(later, LEAVES);
    assert_eq!(let_in(&mut members, MAX_NODES, later), Taken::Member(true));
    assert!(members.approved.len() == MAX_NODES && !members.approved.contains_key("n0"));
}

#[test]
fn nodes_that_beat_once_a_minute_are_not_silent_between() {
    let now = Instant::now();
    let nodes = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    let mut members = members(&nodes, now);
    for minute in 1..5 {
        for (node, address) in nodes {
            members.take(&beat(node, address, address, "s", now + 60 * minute * SECOND), false, 0);
        }
    }
    let last = now + 240 * SECOND;
    assert_eq!(members.silent(last + 170 * SECOND), 0);
    assert_eq!(members.silent(last + 190 * SECOND), 4);
    // After an outage of an hour a minute is the habit again.
    for after in [3600, 3660] {
        members.take(&beat("a", 1, 1, "s", last + after * SECOND), false, 0);
    }
    let other = beat("a", 1, 9, "t", last + 3850 * SECOND);
    assert_ne!(members.take(&other, false, 0), Taken::Refused(Unwanted::Taken));
    let soon = beat("b", 2, 9, "t", last + 100 * SECOND);
    assert_eq!(members.take(&soon, false, 0), Taken::Refused(Unwanted::Taken));
}

#[test]
fn whether_any_has_left_is_told_once() {
    let now = Instant::now();
    let mut members = members(&[("a", 1), ("b", 2)], now);
    let served = BTreeSet::from(["a".to_owned()]);
    assert!(!members.settle(&served, now), "nobody is silent");
    assert!(members.settle(&served, now + 40 * SECOND));
    assert!(!members.settle(&served, now + 41 * SECOND));
}
