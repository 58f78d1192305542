//! Barriers among the inputs: services that they leave without a node or without a client.

use super::Loader;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::geo::{Region, RegionId};
use crate::steer::Fleet;

impl Loader {
    /// Reports services that barriers leave without a node, now that it is known where nodes and clients are.
    pub(super) fn check_barriers(&mut self, config: &Config, fleet: &Fleet, regions: &[Region]) {
        for written in &config.services {
            let service = fleet.services.iter().find(|service| service.service.name == written.value.name);
            let Some(pool) = service.map(|service| fleet.pool(service.pool)) else { continue };
            let name = &written.value.name;
            // Where no place is excluded, that of a pool without any node is told elsewhere.
            if pool.sites.is_empty() && written.value.within.is_empty() {
                continue;
            }
            if pool.sites.is_empty() {
                let message = format!(
                    "`within` leaves the service `{name}` without any node: none of the pool `{}` stands there",
                    pool.pool.name
                );
                let help = "widen `within`, or write `place` for nodes that the geography puts elsewhere; `within` then has to name it";
                self.block_unless_listed(config, written.error(message).help(help));
            } else if regions.is_empty()
                || (0..regions.len()).all(|region| pool.candidates(RegionId(region as u16)).is_empty())
            {
                let message = format!(
                    "barriers leave the service `{name}` without any client: no node of the pool `{}` may serve any region",
                    pool.pool.name
                );
                let help = "widen `within` of the service or `serves` of the nodes, or add a place to `near` of regions that are `near_only`";
                self.block_unless_listed(config, written.error(message).help(help));
            }
        }
    }

    /// Where lists bring nodes, a lack of them is no fault of the configuration, and may be over soon.
    pub(super) fn block_unless_listed(&mut self, config: &Config, mut error: Diagnostic) {
        if config.inventories.is_empty() {
            self.block(error);
        } else {
            error.severity = Severity::Warning;
            self.diagnostics.push(error);
        }
    }
}
