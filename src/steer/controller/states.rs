//! The states of nodes: whether each may serve, where, and how far it is known.

use super::{Controller, Inputs, NodeInput};
use crate::load::NodeLoad;
use crate::load::health::{NodeHealth, State};
use crate::load::history::Reading;
use crate::pool::{Family, NodeId, PoolId};
use crate::steer::alarm::Alarm;
use crate::steer::model::Model;
use crate::steer::standings::{Evidence, Standings, failing};
use crate::steer::tables::{Factors, Fitness, NodeState, Standing};

/// The share of the pool's capacity that must be blind for our own monitoring to be the likelier fault.
const MOSTLY_BLIND: f64 = 0.5;

/// What is known of nodes.
pub(super) struct States {
    /// By `NodeId`, where they are best.
    pub(super) nodes: Vec<NodeState>,
    /// By pool and family, those that are less fit there.
    pub(super) apart: Vec<[Vec<(NodeId, Fitness)>; 2]>,
}

impl Controller {
    /// What follows for each node, everywhere.
    pub(super) fn states(&mut self, inputs: &Inputs<'_>, healths: &[&NodeHealth]) -> States {
        let standings = self.judged(inputs, healths);
        self.failing = failing(inputs.fleet, healths);
        if standings.is_holding {
            self.alarms.push(Alarm::Held);
        }
        let total = |is_counted: &dyn Fn(&Standing) -> bool| -> f64 {
            let nodes = self.nodes.iter().zip(&standings.best).zip(&inputs.fleet.nodes);
            // Nobody is sent to nodes that left the configuration, and nobody reads their load.
            let counted = nodes.filter(|((_, standing), known)| known.is_configured && is_counted(standing));
            counted.map(|((model, _), _)| model.capacity()).sum()
        };
        let eligible = total(&|standing| standing.is_eligible());
        let is_mostly_blind =
            eligible > 0.0 && total(&|standing| *standing == Standing::Blind) > MOSTLY_BLIND * eligible;
        if is_mostly_blind {
            self.alarms.push(Alarm::MostlyBlind);
        }
        let fitness = |index: usize, standing: Standing, health: State, pressure: f64| {
            let (model, known) = (&self.nodes[index], &inputs.fleet.nodes[index]);
            let confidence = match standing {
                Standing::New | Standing::Held => self.constants.unknown,
                Standing::Blind if !is_mostly_blind => self.constants.unknown,
                _ => 1.0,
            };
            Fitness {
                standing,
                // What is full and does not answer gets nobody while others have room.
                pressure: if standing == Standing::Full { pressure.max(1.0) } else { pressure },
                factors: Factors {
                    warmth: model.warmth(&self.constants, inputs.now, health),
                    confidence,
                    gate: gate(&inputs.nodes[index].reading),
                    weight: known.node.weight * inputs.overrides.weight(&known.node.name),
                },
            }
        };
        let mut predicted = Vec::with_capacity(inputs.fleet.nodes.len());
        let nodes: Vec<NodeState> = (0..inputs.fleet.nodes.len())
            .map(|index| {
                let model = &self.nodes[index];
                let prediction = self.predict(inputs, index);
                let capacity = model.capacity();
                let pressure = if capacity > 0.0 { prediction.load / capacity } else { 0.0 };
                predicted.push(pressure);
                let Fitness { standing, pressure, factors } =
                    fitness(index, standings.best[index], model.health(), pressure);
                NodeState {
                    reading: inputs.nodes[index].reading.clone(),
                    standing,
                    health: model.health(),
                    checks: inputs.nodes[index].health.clone(),
                    prediction,
                    pressure,
                    capacity,
                    configured: model.configured(),
                    saturated: model.saturated(),
                    factors,
                    explained: model.explained(),
                    prediction_error: model.error(),
                }
            })
            .collect();
        let mut apart = Vec::with_capacity(inputs.fleet.pools.len());
        for (index, pool) in inputs.fleet.pools.iter().enumerate() {
            let id = PoolId(index as u16);
            apart.push(Family::ALL.map(|family| {
                let of = |node: NodeId| {
                    let (at, index) = (standings.at(id, family, node), usize::from(node.0));
                    let (health, best) = (healths[index].at(id, family), &nodes[index]);
                    // The address of this family only: who has none stands nowhere here.
                    inputs.fleet.nodes[index].node.address(family)?;
                    if at == best.standing && health == best.health {
                        return None;
                    }
                    let here = fitness(index, at, health, predicted[index]);
                    (here != best.fitness()).then_some((node, here))
                };
                let mut apart: Vec<_> =
                    pool.sites.iter().flat_map(|site| &site.nodes).filter_map(|id| of(*id)).collect();
                apart.sort_unstable_by_key(|(node, _)| *node);
                apart
            }));
        }
        States { nodes, apart }
    }

    /// How nodes stand in each pool and family, by what is known of their loads.
    pub(super) fn judged(&self, inputs: &Inputs<'_>, healths: &[&NodeHealth]) -> Standings {
        let sound = |(index, model): (usize, &Model)| {
            let known = &inputs.fleet.nodes[index];
            let NodeInput { reading, .. } = &inputs.nodes[index];
            let is_draining = reading.last().is_some_and(|load| load.is_draining);
            if inputs.overrides.is_drained(&known.node.name) || known.node.drained.is_some() || is_draining {
                return Standing::Drained;
            }
            if gate(reading) <= 0.0 {
                return Standing::Exhausted;
            }
            match reading {
                Reading::Never { .. } => Standing::New,
                Reading::Stale { .. } => Standing::Blind,
                Reading::Fresh(_) if model.is_distrusted() => Standing::Distrusted,
                Reading::Fresh(_) => Standing::Known,
            }
        };
        let count = inputs.fleet.nodes.len();
        let sound: Vec<Standing> = self.nodes.iter().enumerate().take(count).map(sound).collect();
        let capacities: Vec<f64> = self.nodes.iter().map(Model::capacity).collect();
        let was_near_full = |input: &NodeInput| input.reading.lately().is_some_and(NodeLoad::is_near_full);
        let near_full: Vec<bool> = inputs.nodes.iter().map(was_near_full).collect();
        let fleet = inputs.fleet;
        let evidence = Evidence { fleet, capacities: &capacities, sound: &sound, near_full: &near_full, healths };
        Standings::of(&evidence, |_| false, |failing| self.peers.confirm(fleet, failing, inputs.now))
    }
}

/// What memory and disk leave of a node's weight.
fn gate(reading: &Reading) -> f64 {
    reading.lately().map_or(1.0, |load| load.gate)
}
