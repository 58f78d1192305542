//! Barriers that leave nobody: services without a node that may serve them, regions without a node that they may use.
//!
//! Only what is certain before the geography is read: a node whose place is guessed may stand in any country.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::geo::{Countries, RegionRule};
use crate::pool::{Area, Node, Pool, Service};

use super::Config;
use super::written::{Problems, Written};

/// Reports services and regions that nothing is left for.
pub(super) fn check(config: &Config, problems: &Problems) {
    for written in &config.services {
        let service = &written.value;
        let Some(pool) = pool_of(config, service) else { continue };
        let nodes = nodes_of(config, pool);
        // A pool without nodes has been reported.
        if nodes.is_empty() {
            continue;
        }
        let standing: Vec<&Node> = nodes.into_iter().filter(|node| may_stand(node, &service.within)).collect();
        let diagnostic = if standing.is_empty() {
            let message = format!(
                "`within` leaves the service `{}` without any node: none of the pool `{}` stands there",
                service.name, pool.name
            );
            let help = "name a place where nodes of the pool stand, or a pool that has nodes there";
            Diagnostic::error(message).help(help)
        } else if standing.iter().all(|node| never_meet(node, service, &config.regions)) {
            let message = format!(
                "the service `{}` is left without any node: no client that `within` lets in is one that a node serves",
                service.name
            );
            Diagnostic::error(message).help("widen `within`, or `serves` of the nodes of its pool")
        } else {
            continue;
        };
        problems.add_to(written, diagnostic);
    }
    for written in config.regions.iter().filter(|written| written.value.near_only) {
        let region = &written.value;
        let left_alone = config.services.iter().map(|service| &service.value).find(|service| {
            may_be_served(region, service)
                && pool_of(config, service).is_some_and(|pool| {
                    let nodes = nodes_of(config, pool);
                    !nodes.is_empty() && !nodes.into_iter().any(|node| may_use(region, node, service))
                })
        });
        if let Some(service) = left_alone {
            let message = format!(
                "`near_only` leaves the region `{}` without any node of the service `{}`",
                region.name, service.name
            );
            let help = format!("none that may serve it stands at {}: add places to `near`", region.near.join(" or "));
            problems.add_to(written, Diagnostic::warning(message).help(help));
        }
    }
}

fn pool_of<'c>(config: &'c Config, service: &Service) -> Option<&'c Pool> {
    config.pools.iter().map(|written| &written.value).find(|pool| pool.name == service.pool)
}

fn nodes_of<'c>(config: &'c Config, pool: &Pool) -> Vec<&'c Node> {
    config.nodes.iter().map(|written| &written.value).filter(|node| pool.selects(node)).collect()
}

/// Whether a node may stand in one of the areas.
fn may_stand(node: &Node, within: &[Area]) -> bool {
    let may_stand_in = |area: &Area| match area {
        // The place of an automatic guess is called by its country.
        Area::Place(place) => {
            node.place.as_ref().map_or(Countries::embedded().get(place).is_some(), |own| own == place)
        }
        Area::Continent(_) | Area::Country(_) | Area::Asn(_) | Area::Region(_) => true,
    };
    within.is_empty() || within.iter().any(may_stand_in)
}

/// Whether no client of the service is one that the node serves.
fn never_meet(node: &Node, service: &Service, regions: &[Written<RegionRule>]) -> bool {
    let rule = |name: &str| regions.iter().map(|written| &written.value).find(|region| region.name == name);
    let is_apart = |served: &Area| match served {
        Area::Region(name) => rule(name).is_some_and(|region| !may_be_served(region, service)),
        area => !service.within.is_empty() && !service.within.iter().any(|within| overlap(area, within)),
    };
    !node.serves.is_empty() && node.serves.iter().all(is_apart)
}

/// Whether clients of the region may be among those of the service.
fn may_be_served(region: &RegionRule, service: &Service) -> bool {
    service.within.is_empty() || service.within.iter().any(|area| may_hold(area, region))
}

fn may_use(region: &RegionRule, node: &Node, service: &Service) -> bool {
    let near: Vec<Area> = region.near.iter().cloned().map(Area::Place).collect();
    let serves = node.serves.is_empty() || node.serves.iter().any(|area| may_hold(area, region));
    may_stand(node, &near) && may_stand(node, &service.within) && serves
}

/// Whether a client of the region may be in the area.
fn may_hold(area: &Area, region: &RegionRule) -> bool {
    let countries = || region.countries.iter().map(|code| Area::Country(code.clone()));
    let continents = || region.continents.iter().map(|code| Area::Continent(code.clone()));
    match area {
        Area::Region(name) => *name == region.name,
        Area::Asn(asn) => region.asns.is_empty() || region.asns.contains(asn),
        Area::Country(_) | Area::Continent(_) => {
            (region.countries.is_empty() || countries().any(|country| overlap(area, &country)))
                && (region.continents.is_empty() || continents().any(|continent| overlap(area, &continent)))
        }
        Area::Place(_) => true,
    }
}

/// Whether two areas may have clients in common.
fn overlap(one: &Area, other: &Area) -> bool {
    let is_on = |country: &str, continent: &str| {
        Countries::embedded().get(country).is_none_or(|country| country.continent == continent)
    };
    match (one, other) {
        (Area::Continent(one), Area::Continent(other)) | (Area::Country(one), Area::Country(other)) => one == other,
        (Area::Country(country), Area::Continent(continent)) | (Area::Continent(continent), Area::Country(country)) => {
            is_on(country, continent)
        }
        // Networks and places may have clients anywhere.
        (Area::Asn(_) | Area::Region(_) | Area::Place(_), _) | (_, Area::Asn(_) | Area::Region(_) | Area::Place(_)) => {
            true
        }
    }
}
