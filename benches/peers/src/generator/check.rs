//! Whether replies are what they should be.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Result, bail};

use super::template::Template;
use crate::geography::{Geography, Place};
use crate::sets::Expected;

/// How true a server's replies must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// They are made up, and not checked.
    None,
    /// Clients are told the addresses of their place.
    Exact,
    /// So they are but for a few, whom a planner may send to the next place.
    Planned,
}

/// Part of the clients that a planner may send elsewhere: thalweg's does it with 1 %.
const ELSEWHERE: f64 = 0.05;
/// Of so many answers that depend on the client, one is checked for its place: the look-up is slow.
const PLACES_CHECKED: u64 = 32;
/// Octets of an A record whose owner is a pointer.
const RECORD: usize = 16;

/// Checks replies, and counts those that are wrong.
pub(super) struct Checker<'g> {
    truth: Truth,
    geography: &'g Geography,
    /// Replies with another RCODE or number of records, or of no place at all.
    wrong: u64,
    first_wrong: Option<Wrong>,
    steered: u64,
    /// Of the steered ones, those whose place was looked at.
    placed: u64,
    /// Of these, those that name another place than the client's.
    elsewhere: u64,
    first_elsewhere: Option<Wrong>,
}

/// A wrong answer.
#[derive(Debug, Clone)]
struct Wrong {
    client: IpAddr,
    expected: Expected,
    place: Option<&'static str>,
    rcode: u8,
    answers: u16,
    addresses: Vec<[u8; 4]>,
}

impl<'g> Checker<'g> {
    pub(super) fn new(truth: Truth, geography: &'g Geography) -> Self {
        let (first_wrong, first_elsewhere) = (None, None);
        Self { truth, geography, wrong: 0, first_wrong, steered: 0, placed: 0, elsewhere: 0, first_elsewhere }
    }

    /// Forgets what was wrong.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.truth, self.geography);
    }

    /// Looks at a reply to a query of a client: its subnet if it had one, else its address.
    #[inline]
    pub(super) fn check(&mut self, reply: &[u8], template: &Template, client: IpAddr) {
        if self.truth == Truth::None {
            return;
        }
        let Expected { rcode, least, most, is_steered } = template.expected;
        if reply[3] & 0x0f != rcode || reply[6] != 0 || !(least..=most).contains(&reply[7]) {
            self.wrong += 1;
            self.first_wrong.get_or_insert_with(|| Wrong::new(reply, template, client, None));
        } else if is_steered {
            self.steered += 1;
            if self.steered.is_multiple_of(PLACES_CHECKED) {
                self.check_place(reply, template, client);
            }
        }
    }

    fn check_place(&mut self, reply: &[u8], template: &Template, client: IpAddr) {
        // Who is nowhere may be told anything.
        let Some(place) = self.geography.place_of(client) else { return };
        self.placed += 1;
        let found = addresses(reply, template.question_end());
        if found.len() < usize::from(template.expected.least) || !found.iter().all(|address| place.has(*address)) {
            self.elsewhere += 1;
            self.first_elsewhere.get_or_insert_with(|| Wrong::new(reply, template, client, Some(place)));
        }
    }

    /// An error if too much was wrong.
    pub(super) fn finish(&self) -> Result<()> {
        if let Some(wrong) = &self.first_wrong {
            bail!("{} replies are wrong; the first: {wrong}", self.wrong);
        }
        let allowed = if self.truth == Truth::Planned { self.placed as f64 * ELSEWHERE } else { 0.0 };
        match &self.first_elsewhere {
            Some(wrong) if self.elsewhere as f64 > allowed => {
                bail!("of {} replies, {} name another place; the first: {wrong}", self.placed, self.elsewhere)
            }
            _ => Ok(()),
        }
    }
}

/// The A records behind the question; all servers point to it for their owner.
fn addresses(reply: &[u8], question_end: usize) -> Vec<[u8; 4]> {
    let count = usize::from(u16::from_be_bytes([reply[6], reply[7]]));
    let records = reply.get(question_end..).unwrap_or_default().chunks_exact(RECORD).take(count);
    let is_address = |record: &&[u8]| record[..4] == [0xc0, 12, 0, 1];
    records.take_while(is_address).filter_map(|record| record.last_chunk().copied()).collect()
}

impl Wrong {
    fn new(reply: &[u8], template: &Template, client: IpAddr, place: Option<&Place>) -> Self {
        Self {
            client,
            expected: template.expected,
            place: place.map(|place| place.name),
            rcode: reply[3] & 0x0f,
            answers: u16::from_be_bytes([reply[6], reply[7]]),
            addresses: addresses(reply, template.question_end()),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, expected: Expected { rcode: right, most, .. }, place, rcode, answers, addresses } = self;
        write!(out, "RCODE {rcode} with {answers} records instead of RCODE {right} with {most}")?;
        if let Some(place) = place {
            write!(out, " of {place}")?;
        }
        write!(out, ", for the client {client}")?;
        if let Some([first, second, third, fourth]) = addresses.first() {
            write!(out, "; the first address is {first}.{second}.{third}.{fourth}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::random::Random;
    use super::*;
    use crate::sets::Set;

    /// The reply to a query for the live name, with these addresses.
    fn reply(template: &Template, rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut reply = vec![0; 512];
        template.write(0, None, &mut Random::new(0), &mut reply);
        (reply[3], reply[7]) = (rcode, addresses.len() as u8);
        reply.truncate(template.question_end());
        for address in addresses {
            reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
            reply.extend_from_slice(address);
        }
        reply
    }

    #[test]
    fn wrong_replies_are_errors_and_a_planner_may_send_a_few_elsewhere() {
        let directory = tempfile::tempdir().expect("a directory");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../geoip");
        let geography = Geography::build(&sources, &directory.path().join("test.mmdb")).expect("built");
        let queries = Set::G16.queries(1);
        let template = Template::new(&queries.questions[0], &queries);
        let client = IpAddr::from([127, 0, 0, 7]);
        let [here, there] = [1, 2].map(|octet| [[198, 18, octet, 1]; 3]);
        let outcome = |truth, replies: &[(Vec<u8>, usize)]| {
            let mut checker = Checker::new(truth, &geography);
            for (reply, count) in replies {
                (0..*count).for_each(|_| checker.check(reply, &template, client));
            }
            checker.finish().map_err(|error| error.to_string())
        };
        const LOOKED_AT: usize = PLACES_CHECKED as usize;
        let (right, elsewhere) = (reply(&template, 0, &here), reply(&template, 0, &there));
        assert_eq!(outcome(Truth::Exact, &[(right.clone(), 2 * LOOKED_AT)]), Ok(()));
        let mixed = [(right.clone(), 99 * LOOKED_AT), (elsewhere.clone(), LOOKED_AT)];
        assert_eq!(outcome(Truth::Planned, &mixed), Ok(()));
        assert_eq!(
            outcome(Truth::Exact, &mixed).expect_err("one is elsewhere"),
            "of 100 replies, 1 name another place; the first: RCODE 0 with 3 records instead of RCODE 0 with 3 of eu, for the \
             client 127.0.0.7; the first address is 198.18.2.1"
        );
        assert!(
            outcome(Truth::Planned, &[(right, 9 * LOOKED_AT), (elsewhere, LOOKED_AT)]).is_err(),
            "10 % are too many"
        );
        for wrong in [reply(&template, 2, &[]), reply(&template, 0, &here[..2]), reply(&template, 3, &here)] {
            assert!(outcome(Truth::Planned, &[(wrong.clone(), 1)]).is_err());
            assert_eq!(outcome(Truth::None, &[(wrong, 1)]), Ok(()));
        }
    }
}
