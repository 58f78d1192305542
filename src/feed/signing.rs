//! Signing among the ticks: what is steered before each snapshot, zones when their signatures or keys are due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inputs::Loaded;
use super::reload::{Reload, Scope};
use super::run::{Feed, log};
use super::state::signatures_of;
use super::unix_seconds;
use crate::snapshot::{Signatures, Steered};
use crate::steer::Tables;

/// The most time of a tick in which signatures are made; what is left over comes with the next, and is signed by the packet
/// path meanwhile.
const MAX_SIGNING: Duration = Duration::from_millis(300);
/// The end of a zone's signatures is told of when so much of the time is left in which they should have been made anew.
const ALARM_PART: u64 = 2;
/// The same for zones that are signed in their files, in seconds: time for somebody to look.
const FOREIGN_ALARM: u64 = 3 * 86_400;
/// A zone that could not be signed again is tried again after so long: each time all that is wrong is told.
const RETRY: Duration = Duration::from_secs(60);
/// The alarm of signatures that end soon.
const ALARM: &str = "signatures";

impl Feed {
    /// Signs what the tables steer.
    pub(super) fn sign_menus(&mut self, tables: &Tables) -> Arc<Signatures> {
        let begun = Instant::now();
        let steered = Steered {
            zones: &self.inputs.zones,
            fleet: &self.inputs.fleet,
            elsewhere: &self.inputs.elsewhere,
            tables,
            now: unix_seconds(),
        };
        let before = self.notary.made();
        let signatures = self.notary.sign(&steered, || begun.elapsed() < MAX_SIGNING);
        let made = self.notary.made() - before;
        if made > 0 {
            tracing::debug!(made, count = signatures.count(), elapsed = ?begun.elapsed(), "signatures of node sets");
        }
        signatures
    }

    /// Has zones signed again whose signatures or keys are due, and tells of those that end soon.
    pub(super) fn watch_signatures(&mut self, reload: &mut Option<Reload>) {
        let now = unix_seconds();
        if !self.inputs.is_signing_due(now) {
            self.sign_after = Instant::now();
        } else if reload.is_none() && self.sign_after <= Instant::now() {
            self.sign_after = Instant::now() + RETRY;
            // Zones that were never signed may be, once a key signs.
            let scope = if self.inputs.can_sign_again(now) { Scope::Signing } else { Scope::All };
            *reload = Some(self.start_reload(scope, Vec::new()));
        }
        for zone in self.inputs.zones.iter() {
            let Some(end) = zone.signatures_end() else { continue };
            let signer = zone.signer();
            let early = signer.map_or(FOREIGN_ALARM, |signer| signer.lifetime().refresh / ALARM_PART);
            let left = u64::from(end).saturating_sub(now);
            let name = zone.apex().to_string();
            if left >= early {
                self.board.clear(ALARM, &name);
                continue;
            }
            let remedy = match signer {
                Some(_) => "they could not be made anew: look at the zone's errors and its keys",
                None => "sign the zone file again",
            };
            let told = if left > 0 {
                format!("the first signature of the zone {name} ends in {} h; {remedy}", left / 3_600)
            } else {
                format!("a signature of the zone {name} has ended, and resolvers that validate get no answer; {remedy}")
            };
            self.board.raise(ALARM, &name, &told);
        }
    }

    /// Takes zones that were signed again.
    pub(super) fn finish_signing(&mut self, loaded: Option<Loaded>) {
        let Some(Loaded { inputs: Some(inputs), diagnostics, .. }) = loaded else {
            tracing::error!("signing zones again ended in a panic; it is tried again");
            return;
        };
        log(&diagnostics);
        match self.take_zones_of(&inputs) {
            // What is due next, be it in a second, waits for nothing.
            Ok(()) if diagnostics.is_empty() => self.sign_after = Instant::now(),
            Ok(()) => {}
            Err(because) => tracing::error!("{because}"),
        }
    }

    /// Writes down the signatures of zones that have new ones, so that a restart need not make them again.
    pub(super) fn keep_signatures(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        let mut kept = std::mem::take(&mut self.kept_signatures);
        kept.retain(|zone, _| self.inputs.signing(zone).is_some());
        for (zone, signed) in self.inputs.signed() {
            if kept.get(zone).is_none_or(|before| !Arc::ptr_eq(before, signed)) {
                keeper.save(&signatures_of(zone), signed.kept.to_octets());
                kept.insert(zone.clone(), Arc::clone(signed));
            }
        }
        self.kept_signatures = kept;
    }
}
