//! Whose the targets of Prometheus are: made once a round, so that a round costs as much as there are nodes and series,
//! not their product.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::feed::prometheus::Wanted;
use crate::load::promql::Target;

/// Targets by all that a node may be known by.
#[derive(Debug, Default)]
pub(super) struct Directory<'r> {
    labels: HashMap<&'r str, Vec<&'r Target>>,
    hosts: HashMap<&'r str, Vec<&'r Target>>,
    addresses: HashMap<IpAddr, Vec<&'r Target>>,
}

impl<'r> Directory<'r> {
    /// Of all targets.
    pub(super) fn new(targets: impl Iterator<Item = &'r Target>) -> Self {
        let mut directory = Self::default();
        for target in targets {
            let label = target.label.as_str();
            let host = label.rsplit_once(':').map_or(label, |(host, _)| host);
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            directory.labels.entry(label).or_default().push(target);
            directory.hosts.entry(host).or_default().push(target);
            // An IPv6 address without a port has colons too.
            for address in [host, label].into_iter().filter_map(|text| text.parse().ok()) {
                directory.addresses.entry(address).or_default().push(target);
            }
        }
        directory
    }

    /// The targets of a node, in their order: those with the label that is written, or else with its name or one of its
    /// addresses.
    pub(super) fn of(&self, wanted: &Wanted) -> Vec<&'r Target> {
        let Wanted { instance, name, addresses, .. } = wanted;
        if let Some(instance) = instance {
            return self.labels.get(instance.as_str()).cloned().unwrap_or_default();
        }
        let by_name = [self.labels.get(name.as_str()), self.hosts.get(name.as_str())];
        let by_address = addresses.iter().map(|address| self.addresses.get(address));
        let found = by_name.into_iter().chain(by_address).flatten().flatten();
        let mut targets: Vec<&Target> = found.copied().collect();
        targets.sort();
        targets.dedup();
        targets
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::embedded_presets;
    use crate::pool::{Exporter, NodeId};

    #[test]
    fn a_nodes_targets_have_its_label_or_name_or_address() {
        let target = |label: &str| Target { label: label.to_owned(), job: "node".to_owned() };
        let labels = ["fra1:9100", "fra1", "198.51.100.1:9100", "[2001:db8::1]:9100", "2001:db8::1", "fra12:9100", "x"];
        let targets = labels.map(target);
        let directory = Directory::new(targets.iter());
        let preset = Arc::clone(&embedded_presets()["node"]);
        let of = |instance: Option<&str>| {
            let wanted = Wanted {
                node: NodeId(0),
                exporter: Exporter {
                    preset: Arc::clone(&preset),
                    url: "prometheus".to_owned(),
                    access: Arc::default(),
                },
                instance: instance.map(str::to_owned),
                name: "fra1".to_owned(),
                addresses: vec!["198.51.100.1".parse().expect("IPv4"), "2001:db8:0::1".parse().expect("IPv6")],
            };
            let found = directory.of(&wanted);
            found.into_iter().map(|target| target.label.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(None), ["198.51.100.1:9100", "2001:db8::1", "[2001:db8::1]:9100", "fra1", "fra1:9100"]);
        assert_eq!(of(Some("x")), ["x"]);
        assert_eq!(of(Some("fra2:9100")), [""; 0]);
    }
}
