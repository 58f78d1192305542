//! Zones that are signed here among the inputs: signed again as they are served, whatever is wrong with files meanwhile.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use super::{Inputs, Loaded, Loader, zones};
use crate::feed::secondary::Copies;
use crate::feed::unix_seconds;
use crate::snapshot::Zones;

/// Signs zones again whose signatures or keys are due; nothing is read from disk.
pub(in crate::feed) fn load_signed(file: &Path, previous: &Inputs, copies: &Copies) -> Loaded {
    let mut loader = Loader::new(file, None);
    loader.copies = copies.clone();
    loader.lists = Some(previous.lists.clone());
    let inputs = loader.sign_again(previous);
    loader.into_loaded(Some(inputs))
}

impl Loader {
    fn sign_again(&mut self, previous: &Inputs) -> Inputs {
        let now = unix_seconds();
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut made = (*previous.made).clone();
        let mut served = Vec::new();
        for zone in previous.zones.iter() {
            let due = made.get(zone.apex()).filter(|made| made.is_due(now));
            let again = match due.and_then(|due| due.sign_again(zone, now, threads)) {
                Some(Ok((again, known))) => {
                    made.insert(zone.apex().clone(), Arc::new(known));
                    again
                }
                Some(Err(error)) => {
                    self.diagnostics.push(error.in_file(format!("the zone {}", zone.apex())));
                    Arc::clone(zone)
                }
                None => Arc::clone(zone),
            };
            served.push(again);
        }
        let signed_anew = zones::signed_fingerprint(&previous.made) ^ zones::signed_fingerprint(&made);
        let files_fingerprint = previous.files_fingerprint ^ signed_anew;
        Inputs {
            zones: Arc::new(Zones::new(served)),
            made: Arc::new(made),
            fingerprint: self.with_lists(files_fingerprint),
            files_fingerprint,
            ..previous.clone()
        }
    }
}
