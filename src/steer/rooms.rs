//! Rooms: how many viewers each pool and each of its places can still take, and how soon it is full at the present inflow.

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, FleetPool};
use super::forecast::{inflow, unit};
use super::tables::{PoolTables, Standing, Tables};
use crate::geo::RegionId;
use crate::load::history::Reading;
use crate::pool::{Currency, NodeId, PoolId};

/// The room of a pool, or of one of its places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// The pool, with what sets this use of it apart if there are several.
    pub pool: String,
    /// The place; none = all of the pool.
    pub place: Option<String>,
    /// Nodes that serve, of so many.
    pub nodes: [usize; 2],
    /// Nodes that somebody has drained.
    pub drained: usize,
    /// Mean predicted pressure of those that serve; none if none does.
    pub pressure: Option<f64>,
    /// Load that they can still take below pressure 1.
    pub load: f64,
    /// The unit of load: `Mbit/s` or `viewers`.
    pub unit: String,
    /// The same in viewers, as far as what one brings is known.
    pub viewers: f64,
    /// Viewers per second that come more than leave; negative if more leave.
    pub net: f64,
    /// Seconds until it is full if that goes on; none if it does not fill.
    pub full_in: Option<f64>,
    /// Nothing is known of the load of any of its nodes.
    pub is_unknown: bool,
}

/// The rooms of each pool and of its places, each pool followed by its places, those that are full soonest first.
pub fn rooms(fleet: &Fleet, tables: &Tables) -> Vec<Room> {
    let mut pools: Vec<Vec<Room>> = Vec::new();
    for (index, (pool, states)) in fleet.pools.iter().zip(&tables.pools).enumerate() {
        let view = View { fleet, tables, pool, states, name: fleet.name_of_use(PoolId(index as u16)) };
        let mut numbers: Vec<usize> = pool.sites.iter().map(|site| usize::from(site.place.0)).collect();
        numbers.dedup();
        let mut places: Vec<Room> = numbers.into_iter().map(|place| view.room(Some(place))).collect();
        places.sort_by(|a, b| urgency(a).total_cmp(&urgency(b)));
        let mut rooms = vec![view.room(None)];
        rooms.append(&mut places);
        pools.push(rooms);
    }
    let soonest = |rooms: &Vec<Room>| rooms.iter().map(urgency).fold(f64::INFINITY, f64::min);
    pools.sort_by(|a, b| soonest(a).total_cmp(&soonest(b)));
    pools.into_iter().flatten().collect()
}

/// The less, the worse: seconds until it is full, and for what does not fill, beyond all of these, its pressure.
fn urgency(room: &Room) -> f64 {
    const BEYOND: f64 = 1e12;
    match (room.pressure, room.full_in) {
        (None, _) => -1.0,
        (Some(_), Some(seconds)) => seconds,
        (Some(pressure), None) => BEYOND * (2.0 - pressure.min(1.0)),
    }
}

/// Seconds until load has risen to the capacity; none if it never does. It goes towards a level, that at which as many
/// leave as come, and so the slower the nearer it is.
fn full_in(load: f64, capacity: f64, level: f64, stays: f64) -> Option<f64> {
    if load >= capacity {
        return Some(0.0);
    }
    (level > capacity).then(|| stays * ((level - load) / (level - capacity)).ln())
}

struct View<'a> {
    fleet: &'a Fleet,
    tables: &'a Tables,
    pool: &'a FleetPool,
    states: &'a PoolTables,
    name: String,
}

impl View<'_> {
    fn room(&self, place: Option<usize>) -> Room {
        let is_here = |place_of: usize| place.is_none_or(|place| place == place_of);
        let sites = || {
            let sites = self.pool.sites.iter().enumerate();
            sites.filter(move |(_, site)| is_here(usize::from(site.place.0)))
        };
        let all: Vec<NodeId> = sites().flat_map(|(_, site)| &site.nodes).copied().collect();
        let state = |id: &NodeId| &self.tables.nodes[usize::from(id.0)];
        let serving = || all.iter().map(state).filter(|node| node.standing.is_eligible() && node.factors.weight > 0.0);
        let capacity: f64 = serving().map(|node| node.capacity).sum();
        let load: f64 = serving().map(|node| node.capacity * node.pressure).sum();
        let room = (capacity - load).max(0.0);
        let regions = 0..self.states.demands.len();
        let comes: f64 = regions
            .flat_map(|region| sites().map(move |(site, _)| inflow(self.states, RegionId(region as u16), site)))
            .sum();
        let stays = self.pool.pool.viewer.stays.as_secs_f64().max(1.0);
        let net = comes - load / stays;
        let cost = self.cost().max(f64::MIN_POSITIVE);
        let full_in = full_in(load, capacity, comes * stays, stays);
        Room {
            pool: self.name.clone(),
            place: place.map(|place| self.fleet.places[place].name.clone()),
            nodes: [serving().count(), all.len()],
            drained: all.iter().map(state).filter(|node| node.standing == Standing::Drained).count(),
            pressure: (capacity > 0.0).then(|| load / capacity),
            load: room,
            unit: unit(self.pool).to_owned(),
            viewers: room / cost,
            net: net / cost,
            full_in: full_in.filter(|_| capacity > 0.0),
            is_unknown: serving().all(|node| !matches!(node.reading, Reading::Fresh(_))),
        }
    }

    /// Load of one viewer: as learned where viewers come from, else as configured.
    fn cost(&self) -> f64 {
        let (mut viewers, mut load) = (0.0, 0.0);
        for demand in &self.states.demands {
            viewers += demand.forecast;
            load += demand.forecast * demand.cost;
        }
        match self.pool.pool.currency {
            _ if viewers > 0.0 && load > 0.0 => load / viewers,
            Currency::Egress => self.pool.pool.viewer.bitrate.megabits(),
            Currency::Clients => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_fills_only_if_more_come_than_would_leave_a_full_one() {
        assert_eq!(full_in(800.0, 800.0, 0.0, 2_400.0), Some(0.0));
        assert_eq!(full_in(400.0, 800.0, 700.0, 2_400.0), None);
        // Far above its capacity it rises by what comes: 400 more at 1 a second, of whom few leave.
        let seconds = full_in(400.0, 800.0, 2_400.0 * 100.0, 2_400.0).unwrap();
        assert!((seconds - 4.0).abs() < 0.1, "{seconds}");
        let seconds = full_in(0.0, 800.0, 1_600.0, 2_400.0).unwrap();
        assert!((seconds - 2_400.0 * 2.0_f64.ln()).abs() < 1e-6, "{seconds}");
    }
}
