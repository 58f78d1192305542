//! Histories of zones, kept so that secondaries need not take zones whole after a restart.

use std::sync::Arc;

use crate::feed::inputs::Inputs;
use crate::feed::run::Feed;
use crate::name::Name;
use crate::snapshot::History;

use super::{Store, checksum};

/// How the names of their files begin.
const FRONT: &str = "history-";

/// Inputs with what was kept of the same versions of their zones.
pub(in crate::feed) fn with_histories(mut inputs: Inputs, store: &Store) -> Inputs {
    let zones = Arc::clone(&inputs.zones);
    let of = |apex: &Name| Some(History::of_octets(&store.load(&file_of(apex))?, zones.get(apex)?));
    inputs.transfers = Arc::new(inputs.transfers.with_histories(of));
    let wanted: Vec<String> = inputs.transfers.iter().map(|(apex, _)| file_of(apex)).collect();
    store.names(FRONT).iter().filter(|name| !wanted.contains(name)).for_each(|name| store.remove(name));
    inputs
}

impl Feed {
    /// Writes down histories that are other ones than `before`.
    pub(in crate::feed) fn keep_histories(&self, before: Option<&Inputs>) {
        let Some(keeper) = &self.keeper else { return };
        for (apex, known) in self.inputs.transfers.iter() {
            let old = before.and_then(|before| before.transfers.get(apex));
            let is_as_before = old.is_some_and(|old| Arc::ptr_eq(&old.history, &known.history));
            if let Some(zone) = self.inputs.zones.get(apex).filter(|_| !is_as_before) {
                keeper.save(&file_of(apex), known.history.to_octets(zone));
            }
        }
    }
}

/// A plain file name for a zone, whatever octets its name has, and however many.
fn file_of(apex: &Name) -> String {
    format!("{FRONT}{:032x}", checksum(&apex.lower_wire()))
}
