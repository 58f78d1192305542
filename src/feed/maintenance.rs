//! Maintenance: which nodes get nobody new now, by the windows of the configuration.

use std::collections::BTreeSet;

use super::inputs::Inputs;
use super::run::Feed;
use super::unix_seconds;
use crate::intake::Grade;
use crate::steer::{Drain, clock};

/// The drains of all maintenance that is on at `now`, or so near that its lead is; in seconds since 1970.
pub(super) fn drains(inputs: &Inputs, now: u64) -> Vec<Drain> {
    let mut drains: Vec<Drain> = Vec::new();
    for maintenance in inputs.config.maintenance.iter().map(|written| &written.value) {
        let Some(span) = maintenance.span(now) else { continue };
        for known in inputs.fleet.nodes.iter().filter(|known| known.is_configured) {
            let place = &inputs.fleet.places[usize::from(known.place.0)].name;
            // Of several the first is told.
            let is_told = drains.iter().any(|drain| drain.node == known.node.name);
            if !is_told && maintenance.which.selects(&known.node, place) {
                drains.push(Drain::of_maintenance(&known.node.name, maintenance, span));
            }
        }
    }
    drains
}

impl Feed {
    /// Tells of maintenance that begins or ends.
    pub(super) fn tell_maintenance(&mut self) {
        let now = unix_seconds();
        let windows = self.inputs.config.maintenance.iter().map(|written| &written.value);
        let on: BTreeSet<String> =
            windows.clone().filter(|each| each.span(now).is_some()).map(|each| each.name.clone()).collect();
        for name in on.difference(&self.maintained) {
            let Some((each, span)) =
                windows.clone().find(|each| each.name == *name).and_then(|each| Some((each, each.span(now)?)))
            else {
                continue;
            };
            let until = clock(span.until, now);
            let told = format!("maintenance {name}: its nodes get nobody new until {until}: {}", each.reason);
            tracing::warn!("{told}");
            self.board.note("maintenance", Grade::Note, &told);
        }
        for name in self.maintained.difference(&on) {
            let told = format!("maintenance {name} is over: its nodes get viewers again");
            tracing::warn!("{told}");
            self.board.note("maintenance", Grade::Note, &told);
        }
        self.maintained = on;
    }
}
