//! What the model world is told is what clients would be: the replies' own octets, read by another library.

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

use super::*;
use crate::answer::{Outcome, Reasons};
use crate::simulate::scenario::read as read_scenario;
use crate::simulate::world::Overflow as WorldOverflow;
use crate::simulate::{run, scenario_source, world_source};

/// The planner, each reply of which is read from its octets and made again with reasons.
struct Checked {
    planner: Planner,
    addresses: usize,
    elsewhere: usize,
}

impl Checked {
    fn check(&mut self, query: &Query, answer: &Answer) {
        let nameserver = &self.planner.nameservers[query.nameserver];
        let (length, estimate) = nameserver.last.unwrap();
        let octets = &nameserver.out[..length];
        let reply = Message::from_vec(octets).unwrap();
        assert_eq!((reply.metadata.response_code, reply.metadata.authoritative), (ResponseCode::NoError, true));
        let mut named = Vec::new();
        for record in &reply.answers {
            assert_eq!(record.ttl, answer.ttl);
            assert_eq!(record.name.to_ascii(), NAME);
            match &record.data {
                RData::A(address) => {
                    let node = self.planner.fleet.nodes.iter().position(|node| node.address == address.0).unwrap();
                    named.push(node as u16);
                }
                RData::CNAME(name) => {
                    assert_eq!(name.0.to_ascii(), OVERFLOW);
                    named.push(ELSEWHERE);
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(named, answer.nodes[..]);
        if named == [ELSEWHERE] {
            self.elsewhere += 1;
        } else {
            self.addresses += 1;
        }
        // The same once more, with reasons; the key table has learned from it already.
        let message = message(query.subnet.is_some());
        let (mut again, mut reasons) = (vec![0; MAX_UDP], Reasons::default());
        let context = Context {
            client: SocketAddr::new(IpAddr::V4(query.source), 53),
            local: None,
            transport: Transport::Udp,
            now: query.at_ms,
            idle: None,
            estimate,
        };
        let mut name = LookupName::new();
        let read = read(&message, &mut name).unwrap();
        let (outcome, _) = super::answer(&nameserver.snapshot, &read, &context, None, &mut again, Some(&mut reasons));
        assert!(matches!(outcome, Outcome::Reply { length: again, .. } if again == length));
        assert_eq!(&again[..length], octets);
        assert!(reasons.steering.is_some());
    }
}

impl Policy for Checked {
    fn located(&mut self, network: Ipv4Addr, length: u8, region: usize) {
        self.planner.located(network, length, region);
    }

    fn answer(&mut self, query: &Query, dice: &mut Dice) -> Answer {
        let answer = self.planner.answer(query, dice);
        self.check(query, &answer);
        answer
    }

    fn scraped(&mut self, nameserver: usize, node: usize, at_ms: u64, window: f64, sample: &Sample) {
        self.planner.scraped(nameserver, node, at_ms, window, sample);
    }

    fn probed(&mut self, nameserver: usize, node: usize, at_ms: u64, is_up: bool) {
        self.planner.probed(nameserver, node, at_ms, is_up);
    }

    fn drained(&mut self, node: usize, at_ms: u64, is_drained: bool) {
        self.planner.drained(node, at_ms, is_drained);
    }

    fn tick(&mut self, at_ms: u64) {
        self.planner.tick(at_ms);
    }
}

#[test]
fn answers_are_what_the_replies_say_and_reasons_change_no_octet() {
    let (mut world, mut scenario) = read_scenario(&world_source(), &scenario_source("S10").unwrap()).unwrap();
    (world.population, world.warm_up, scenario.length) = (110_000.0, 200, 100);
    // Most sites are above this when all have come, and some clients are nearer to others than to the overflow.
    world.overflow = Some(WorldOverflow { above: 0.1, cost: 30.0 });
    let planner = Planner::new(&Fleet::new(&world), KeyRule::default(), Constants::USUAL);
    let mut checked = Checked { planner, addresses: 0, elsewhere: 0 };
    run(&world, &scenario, 101, &mut checked, 0);
    let Checked { addresses, elsewhere, .. } = checked;
    assert!(addresses > 1000 && elsewhere > 10, "{addresses} with addresses, {elsewhere} elsewhere");
}
