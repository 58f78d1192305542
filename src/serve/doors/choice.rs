//! The choice of nodes for one viewer, by the family of addresses that he has, or else by the other.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

use super::refusal::Refusal;
use super::visit::Visit;
use crate::answer::Question;
use crate::name::Name;
use crate::pool::{Family, Full};
use crate::serve::Consulted;
use crate::steer::Observation;

/// For whom nodes are chosen.
pub(super) struct Choice<'c> {
    /// The service's name.
    pub(super) name: &'c Name,
    /// What is hashed where nodes are found by hashing.
    pub(super) stream: Option<&'c [u8]>,
    /// The family, if it must be that one.
    pub(super) family: Option<Family>,
    /// For how many viewers it counts.
    pub(super) viewers: u32,
}

/// What was chosen.
pub(super) struct Chosen<'s> {
    pub(super) consulted: &'s Consulted<'s>,
    pub(super) observation: &'s Observation<'s>,
    pub(super) family: Family,
    /// No node has room: the least loaded are named.
    pub(super) is_full: bool,
}

impl Choice<'_> {
    /// Chooses, and counts that; `tell` puts it into words.
    pub(super) fn make<T>(&self, visit: &Visit, tell: impl Fn(&Chosen<'_>) -> T) -> Result<T, Refusal> {
        let own = if visit.client.is_ipv4() { Family::V4 } else { Family::V6 };
        let other = if own == Family::V4 { Family::V6 } else { Family::V4 };
        let families = self.family.map_or_else(|| vec![own, other], |family| vec![family]);
        let mut refusal = None;
        for family in families {
            let question = Question::of_client(self.name.clone(), family.into(), visit.client);
            let found = visit.consult(&question.message(), self.stream, |consulted| {
                let told = self.judge(consulted, family).map(|chosen| tell(&chosen));
                let viewers = if told.is_ok() { self.viewers } else { 0 };
                (told, viewers)
            })?;
            match found {
                Ok(told) => return Ok(told),
                // Perhaps its nodes have the other family alone.
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
        Err(refusal.unwrap_or_else(|| self.unknown()))
    }

    fn judge<'s>(&self, consulted: &'s Consulted<'s>, family: Family) -> Result<Chosen<'s>, Refusal> {
        let Consulted { snapshot, message, observation } = consulted;
        let Some(observation) = observation else { return Err(self.nothing(message)) };
        let &Observation { region, pool, .. } = observation;
        let is_full = snapshot.tables.pools[usize::from(pool.0)].of(family).is_full(region);
        if is_full && snapshot.fleet.pool(pool).pool.full == Full::Refuse {
            return Err(Refusal::full());
        }
        Ok(Chosen { consulted, observation, family, is_full })
    }

    /// Why nothing was chosen.
    fn nothing(&self, message: &[u8]) -> Refusal {
        let name = self.name;
        let rcode = Message::from_vec(message).map_or(ResponseCode::ServFail, |message| message.metadata.response_code);
        match rcode {
            ResponseCode::NoError => Refusal::unknown(format!(
                "{name} has no nodes for this client: it is no service, or a barrier is in the way; `/resolve` has its records"
            )),
            ResponseCode::NXDomain => self.unknown(),
            _ => Refusal::forbidden(format!("{name} is not answered here")),
        }
    }

    fn unknown(&self) -> Refusal {
        Refusal::unknown(format!("there is no {}", self.name))
    }
}

impl Chosen<'_> {
    /// The name to which viewers are sent if there is no room.
    pub(super) fn elsewhere(&self) -> Option<String> {
        if !self.observation.nodes.is_empty() {
            return None;
        }
        let message = Message::from_vec(self.consulted.message).ok()?;
        message.answers.iter().rev().find_map(|record| match &record.data {
            RData::CNAME(name) => Some(name.0.to_string()),
            _ => None,
        })
    }
}
