//! Barriers: who may be served by what. They go before every preference, whatever is full, down or unknown.

use super::fleet::Guess;
use crate::geo::{Region, RegionOrigin};
use crate::pool::Area;

/// Whether a node belongs to a service within these areas: by the name of its place, else by where its address is.
pub(super) fn has_node(within: &[Area], place: &str, guess: Option<&Guess>) -> bool {
    within.is_empty()
        || within.iter().any(|area| match area {
            Area::Place(name) => name == place,
            Area::Country(code) => guess.is_some_and(|guess| guess.country == *code),
            Area::Continent(code) => guess.is_some_and(|guess| guess.continent == *code),
            Area::Asn(_) | Area::Region(_) => false,
        })
}

/// Whether the nodes of a site, which serve these clients alone, may serve a region for a service within these areas.
pub(super) fn may_serve(region: &Region, place: &str, serves: &[Area], within: &[Area]) -> bool {
    let is_near = !region.near_only || region.near.iter().any(|near| near == place);
    // Areas that name places alone say nothing of clients.
    let clients: Vec<Area> = within.iter().filter(|area| !matches!(area, Area::Place(_))).cloned().collect();
    is_near && (serves.is_empty() || holds(serves, region)) && (clients.is_empty() || holds(&clients, region))
}

/// Whether all clients of the region are in these areas, as far as what made the region says so.
fn holds(areas: &[Area], region: &Region) -> bool {
    let named = areas.iter().any(|area| match area {
        Area::Region(name) => *name == region.name,
        Area::Continent(code) => region.continent.as_ref() == Some(code),
        Area::Asn(_) | Area::Country(_) | Area::Place(_) => false,
    });
    let countries = region.origin.countries();
    let has_country = |code: &String| areas.contains(&Area::Country(code.clone()));
    let asns: &[u32] = match &region.origin {
        RegionOrigin::Rule { asns, .. } => asns,
        _ => &[],
    };
    let has_asn = |asn: &u32| areas.contains(&Area::Asn(*asn));
    // What a rule names must all match (AND): one list that lies within the areas is enough.
    named
        || (!countries.is_empty() && countries.iter().all(has_country))
        || (!asns.is_empty() && asns.iter().all(has_asn))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(continent: Option<&str>, origin: RegionOrigin) -> Region {
        let continent = continent.map(str::to_owned);
        let near = vec!["fra".to_owned()];
        Region { name: "r".to_owned(), position: None, near, near_only: false, continent, origin, is_vanished: false }
    }

    fn rule(countries: &[&str], asns: &[u32]) -> RegionOrigin {
        let countries = countries.iter().map(|&code| code.to_owned()).collect();
        RegionOrigin::Rule { continents: Vec::new(), countries, asns: asns.to_vec() }
    }

    #[test]
    fn a_barrier_lets_through_only_regions_that_lie_within_it_as_a_whole() {
        let (de, fr) = (Area::Country("DE".to_owned()), Area::Country("FR".to_owned()));
        let eu = Area::Continent("EU".to_owned());
        for (areas, origin, continent, is_let_through) in [
            (vec![de.clone()], RegionOrigin::Country("DE".to_owned()), Some("EU"), true),
            (vec![fr.clone()], RegionOrigin::Country("DE".to_owned()), Some("EU"), false),
            (vec![eu.clone()], RegionOrigin::Country("DE".to_owned()), Some("EU"), true),
            (vec![eu.clone()], RegionOrigin::Country("US".to_owned()), Some("NA"), false),
            (vec![eu], RegionOrigin::Unknown, None, false),
            (vec![de.clone()], rule(&["DE", "FR"], &[]), Some("EU"), false),
            (vec![de, fr], rule(&["DE", "FR"], &[]), Some("EU"), true),
            (vec![Area::Asn(3320)], rule(&["DE"], &[3320]), Some("EU"), true),
            (vec![Area::Asn(3320)], rule(&[], &[3320, 680]), None, false),
            (vec![Area::Region("r".to_owned())], RegionOrigin::Unknown, None, true),
        ] {
            let region = region(continent, origin);
            assert_eq!(may_serve(&region, "fra", &areas, &[]), is_let_through, "serves {areas:?}: {region:?}");
            assert_eq!(may_serve(&region, "fra", &[], &areas), is_let_through, "within {areas:?}: {region:?}");
        }
    }

    #[test]
    fn a_region_that_is_near_only_is_served_from_nowhere_else() {
        let open = region(None, RegionOrigin::Unknown);
        assert!(may_serve(&open, "fra", &[], &[]) && may_serve(&open, "nyc", &[], &[]));
        let closed = Region { near_only: true, ..open };
        assert!(may_serve(&closed, "fra", &[], &[]) && !may_serve(&closed, "nyc", &[], &[]));
    }

    #[test]
    fn a_node_is_within_by_its_place_or_by_its_address() {
        let position = crate::geo::Position { latitude: 50.0, longitude: 8.0 };
        let guess = Guess { country: "DE".to_owned(), continent: "EU".to_owned(), position };
        for (area, is_within) in [
            (Area::Place("fra".to_owned()), true),
            (Area::Place("nyc".to_owned()), false),
            (Area::Country("DE".to_owned()), true),
            (Area::Continent("NA".to_owned()), false),
        ] {
            assert_eq!(has_node(std::slice::from_ref(&area), "fra", Some(&guess)), is_within, "{area:?}");
        }
        assert!(!has_node(&[Area::Country("DE".to_owned())], "fra", None), "unknown is not within");
        assert!(has_node(&[], "fra", None));
    }
}
