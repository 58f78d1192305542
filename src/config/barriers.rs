//! Barriers that leave nobody: services without a node that may serve them, regions without a node that they may use.
//!
//! Only what is certain before the geography is read: a node whose place is guessed may stand in any country.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::geo::{Countries, RegionRule};
use crate::pool::{Area, Node, Pool, Service};

use super::Config;
use super::written::{Problems, Written};

/// Reports services and regions that nothing is left for, and areas that let nobody through.
pub(super) fn check(config: &Config, problems: &Problems) {
    for service in &config.services {
        if let Some(error) = left_without_nodes(config, &service.value) {
            problems.add_to(service, error);
        }
    }
    for region in config.regions.iter().filter(|region| region.value.near_only) {
        if let Some(warning) = left_alone(config, &region.value) {
            problems.add_to(region, warning);
        }
    }
    // Nodes often have them from the same default.
    let mut told: Vec<&[Area]> = Vec::new();
    for node in &config.nodes {
        if !told.contains(&&*node.value.serves) {
            told.push(&node.value.serves);
            for warning in lost_areas("serves", &node.value.serves, &config.regions) {
                problems.add_to(node, warning);
            }
        }
    }
    for service in &config.services {
        for warning in lost_areas("within", &service.value.within, &config.regions) {
            problems.add_to(service, warning);
        }
    }
}

fn left_without_nodes(config: &Config, service: &Service) -> Option<Diagnostic> {
    let pool = pool_of(config, service)?;
    let mut standing = nodes_of(config, pool);
    // A pool without nodes has been reported.
    if standing.is_empty() {
        return None;
    }
    standing.retain(|node| may_stand(node, &service.within));
    if standing.is_empty() {
        let message = format!(
            "`within` leaves the service `{}` without any node: none of the pool `{}` stands there",
            service.name, pool.name
        );
        let help = "name a place where nodes of the pool stand";
        return Some(Diagnostic::error(message).help(help));
    }
    standing.iter().all(|node| never_meet(node, service, &config.regions)).then(|| {
        let message = format!(
            "`within` and `serves` leave the service `{}` without any node: none serves a client whom it lets in",
            service.name
        );
        Diagnostic::error(message).help("widen `within`, or `serves` of the nodes of its pool")
    })
}

/// What a region that is near only lacks.
fn left_alone(config: &Config, region: &RegionRule) -> Option<Diagnostic> {
    let is_left_alone = |service: &&Service| {
        let nodes = pool_of(config, service).map_or_else(Vec::new, |pool| nodes_of(config, pool));
        let has_node = || nodes.iter().any(|node| may_use(region, node, service));
        !nodes.is_empty() && may_be_served(region, service) && !has_node()
    };
    let service = config.services.iter().map(|service| &service.value).find(is_left_alone)?;
    let message =
        format!("`near_only` leaves the region `{}` without any node of the service `{}`", region.name, service.name);
    let help = format!("none that may serve it stands at {}: add a place to `near`", region.near.join(" or "));
    Some(Diagnostic::warning(message).help(help))
}

/// What is said of areas whose clients are all in regions that reach beyond the areas: a barrier lets only whole
/// regions through.
fn lost_areas(key: &str, areas: &[Area], regions: &[Written<RegionRule>]) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for area in areas {
        let (code, taker) = match area {
            Area::Country(code) => (code, taker(code, areas, regions)),
            Area::Continent(code) => {
                let countries = Countries::embedded().iter().filter(|country| country.continent == *code);
                let takers: Vec<_> = countries.map(|country| taker(&country.code, areas, regions)).collect();
                (code, takers.iter().flatten().next().copied().filter(|_| takers.iter().all(Option::is_some)))
            }
            // They name regions, or no clients.
            Area::Asn(_) | Area::Region(_) | Area::Place(_) => continue,
        };
        if let Some(taker) = taker {
            let message = format!(
                "`{code}` in `{key}` lets nobody through: its clients are in the region `{}`, which reaches beyond it",
                taker.name
            );
            let help = format!("make a region of {code} alone, before `[region.{}]`", taker.name);
            warnings.push(Diagnostic::warning(message).help(help));
        }
    }
    warnings
}

/// The region that reaches beyond the areas and takes all clients of the country in them.
fn taker<'r>(country: &str, areas: &[Area], regions: &'r [Written<RegionRule>]) -> Option<&'r RegionRule> {
    let area = Area::Country(country.to_owned());
    for rule in regions.iter().map(|region| &region.value).filter(|rule| rule.has_matchers()) {
        if lies_within(rule, areas) && may_hold(&area, rule) {
            return None;
        }
        if claims_whole(rule, country) {
            return Some(rule);
        }
    }
    None
}

/// Whether a rule takes all clients of a country that no rule before it has taken.
fn claims_whole(rule: &RegionRule, country: &str) -> bool {
    let RegionRule {
        name: _,
        continents,
        countries,
        subdivisions,
        asns,
        networks,
        is_default: _,
        near: _,
        near_only: _,
    } = rule;
    let is_on =
        |continent: &String| Countries::embedded().get(country).is_some_and(|country| country.continent == *continent);
    (subdivisions.is_empty() && asns.is_empty() && networks.is_empty())
        && (countries.is_empty() || countries.iter().any(|code| code == country))
        && (continents.is_empty() || continents.iter().any(is_on))
}

/// Whether all clients of a rule are in these areas.
fn lies_within(rule: &RegionRule, areas: &[Area]) -> bool {
    let has_continent = |code: &String| areas.contains(&Area::Continent(code.clone()));
    let has_country = |code: &String| {
        let country = Countries::embedded().get(code);
        areas.contains(&Area::Country(code.clone())) || country.is_some_and(|country| has_continent(&country.continent))
    };
    (!rule.countries.is_empty() && rule.countries.iter().all(has_country))
        || (!rule.continents.is_empty() && rule.continents.iter().all(has_continent))
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
    let let_in = let_in(service);
    let is_apart = |served: &Area| match served {
        Area::Region(name) => rule(name).is_some_and(|region| !may_be_served(region, service)),
        area => !let_in.is_empty() && !let_in.iter().any(|within| overlap(area, within)),
    };
    !node.serves.is_empty() && node.serves.iter().all(is_apart)
}

/// Whether clients of the region may be among those of the service.
fn may_be_served(region: &RegionRule, service: &Service) -> bool {
    let let_in = let_in(service);
    let_in.is_empty() || let_in.iter().any(|area| may_hold(area, region))
}

/// The areas of the service's clients; all if there are none, for places say nothing of clients.
fn let_in(service: &Service) -> Vec<&Area> {
    service.within.iter().filter(|area| !matches!(area, Area::Place(_))).collect()
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
