//! Zones that come from other servers among the inputs: read again without all others.

use std::path::Path;
use std::sync::Arc;

use super::zones::ZoneFile;
use super::{Inputs, Loaded, Loader};
use crate::feed::secondary::Copies;
use crate::snapshot::Zones;

/// Puts what came from other servers into inputs that were read; nothing is read from disk.
pub(in crate::feed) fn load_transfers(file: &Path, previous: &Inputs, copies: &Copies) -> Loaded {
    let mut loader = Loader::new(file, None);
    loader.copies = copies.clone();
    loader.lists = Some(previous.lists.clone());
    let inputs = loader.retransfer(previous);
    loader.into_loaded(Some(inputs))
}

impl Loader {
    fn retransfer(&mut self, previous: &Inputs) -> Inputs {
        let config = &previous.config;
        let mut files = self.transferred(config);
        let count = files.len();
        let is_other = |origin: &_| config.zones.secondaries.iter().all(|written| written.value.name != *origin);
        let others = previous.zones.iter().map(|zone| zone.apex()).chain(previous.made.keys());
        // Names belong to the innermost zone, whoever has it.
        files.extend(others.filter(|origin| is_other(origin)).cloned().map(ZoneFile::elsewhere));
        // Names that are in no zone were told of when the configuration was read.
        let told = self.diagnostics.len();
        let bound = self.bind(config, &files, &previous.fleet);
        self.diagnostics.truncate(told);
        let (made_of, bound) = (&files[..count], &bound[..count]);
        let (again, made_again) = self.make_zones((made_of, bound), told, &previous.fleet, Some(previous));
        let kept = previous.zones.iter().filter(|zone| is_other(zone.apex()));
        let zones = kept.chain(again.all()).cloned().collect();
        let mut made = (*previous.made).clone();
        made.retain(|origin, _| is_other(origin));
        made.extend(made_again);
        let fingerprint = self.with_lists(previous.files_fingerprint);
        Inputs { zones: Arc::new(Zones::new(zones)), made: Arc::new(made), fingerprint, ..previous.clone() }
    }
}
