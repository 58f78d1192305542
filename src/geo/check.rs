//! What is wrong with rules and networks together, or given what the databases know.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeSet;

use super::claim::is_automatic_name;
use super::country::Countries;
use super::database::Database;
use super::rule::{NetworkRule, NetworkTarget, RegionRule};
use crate::diagnostic::{Diagnostic, nearest};

/// All that can be said only here; whether codes and names are known is checked where they are read.
pub(super) fn check(
    databases: &[Database],
    countries: &Countries,
    rules: &[RegionRule],
    networks: &[NetworkRule],
) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = rules.iter().filter_map(|rule| check_matchers(rule, countries)).collect();
    let defaults: Vec<&str> = rules.iter().filter(|rule| rule.is_default).map(|rule| rule.name.as_str()).collect();
    if let [first, others @ ..] = defaults.as_slice() {
        diagnostics.extend(others.iter().map(|other| {
            Diagnostic::error(format!("region `{other}` is the default, but `{first}` is already"))
                .help("leave `default = true` with one of them")
        }));
    }
    diagnostics.extend(rules_without_systems(databases, rules));
    diagnostics.extend(rules_without_subdivisions(databases, rules, networks));
    diagnostics.extend(networks_without_region(rules, networks));
    diagnostics
}

fn check_matchers(rule: &RegionRule, countries: &Countries) -> Option<Diagnostic> {
    let name = &rule.name;
    let is_automatic = is_automatic_name(name, countries);
    if !rule.has_matchers() && !rule.is_default && !is_automatic {
        return Some(
            Diagnostic::error(format!("region `{name}` does not say whom it holds"))
                .help("give it `continents`, `countries`, `subdivisions`, `asns` or `networks`, or `default = true`"),
        );
    }
    let is_itself = rule.countries == [name.as_str()] || rule.subdivisions == [name.as_str()];
    (is_automatic && rule.has_matchers() && !is_itself).then(|| {
        Diagnostic::warning(format!("region `{name}` also holds all whom the automatic region of that name would hold"))
            .help("give it another name, if only its own clients are meant")
    })
}

fn rules_without_systems(databases: &[Database], rules: &[RegionRule]) -> Vec<Diagnostic> {
    let knows_systems = databases.iter().any(|database| database.records().iter().any(|facts| facts.asn.is_some()));
    let asking = rules.iter().filter(|rule| !knows_systems && !rule.asns.is_empty());
    asking
        .map(|rule| {
            Diagnostic::warning(format!("region `{}` asks for AS numbers, but no database has them", rule.name))
                .help("add a file such as GeoLite2-ASN.mmdb to `databases` of [geoip]")
        })
        .collect()
}

fn rules_without_subdivisions(
    databases: &[Database],
    rules: &[RegionRule],
    networks: &[NetworkRule],
) -> Vec<Diagnostic> {
    let asks = rules.iter().any(|rule| !rule.subdivisions.is_empty());
    if !asks {
        return Vec::new();
    }
    let in_databases = databases.iter().flat_map(Database::records).filter_map(|facts| facts.subdivision.as_deref());
    let in_networks = networks.iter().filter_map(|network| match &network.target {
        NetworkTarget::Country(_, subdivision) => subdivision.as_deref(),
        NetworkTarget::Region(_) | NetworkTarget::Place(..) => None,
    });
    let known: BTreeSet<&str> = in_databases.chain(in_networks).collect();
    let no_help = "add a city database to `databases` of [geoip]".to_owned();
    let unknown = rules.iter().flat_map(|rule| rule.subdivisions.iter().map(move |code| (rule, code)));
    unknown
        .filter(|(_, code)| !known.contains(code.as_str()))
        .map(|(rule, code)| {
            let help = match nearest(code, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => no_help.clone(),
            };
            Diagnostic::warning(format!("region `{}` asks for {code}, which no database knows", rule.name)).help(help)
        })
        .collect()
}

fn networks_without_region(rules: &[RegionRule], networks: &[NetworkRule]) -> Vec<Diagnostic> {
    let names = || rules.iter().map(|rule| rule.name.as_str());
    let lost = networks.iter().filter_map(|network| match &network.target {
        NetworkTarget::Region(name) => (!names().any(|known| known == name)).then_some((network.prefix, name)),
        NetworkTarget::Country(..) | NetworkTarget::Place(..) => None,
    });
    lost.map(|(prefix, name)| {
        Diagnostic::error(format!("network {prefix} is put into region `{name}`, which does not exist"))
            .maybe_help(nearest(name, names()).map(|meant| format!("did you mean `{meant}`?")))
    })
    .collect()
}
