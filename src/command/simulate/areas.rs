//! Areas of one's own fleet: which places a region, a country or a continent has its viewers near.

use crate::diagnostic::{Diagnostic, nearest};
use crate::feed::inputs::Inputs;
use crate::geo::{Countries, Position, Region, RegionId, RegionOrigin, estimated_rtt};
use crate::pool::PlaceId;
use crate::simulate::InventorySite;
use crate::steer::{FleetPool, FleetService};

/// Milliseconds of clients from their nearest place, and between places of which nothing is known.
const NEAR: f64 = 10.0;
const UNKNOWN: f64 = 200.0;

/// Places, and of which areas they are the nearest.
pub(super) struct Catchment {
    /// The places.
    pub(super) sites: Vec<InventorySite>,
    /// Names of regions, countries and continents, with the shares of the places.
    pub(super) areas: Vec<(String, Vec<f64>)>,
}

impl Catchment {
    /// The places of a service's pool.
    pub(super) fn of(inputs: &Inputs, service: &FleetService) -> Self {
        let pool = inputs.fleet.pool(service.pool);
        let mut places: Vec<PlaceId> = pool.sites.iter().map(|site| site.place).collect();
        places.dedup();
        let nodes_at = |place: PlaceId| {
            let ids = pool.sites.iter().filter(move |site| site.place == place).flat_map(|site| &site.nodes);
            ids.map(|id| inputs.fleet.node(*id).node.clone()).collect::<Vec<_>>()
        };
        let sites: Vec<InventorySite> = places
            .iter()
            .map(|place| InventorySite {
                name: inputs.fleet.places[usize::from(place.0)].name.clone(),
                rtt_ms: round_trips(inputs, pool, *place, &places),
                viewers: 0.0,
                nodes: nodes_at(*place),
            })
            .collect();
        let areas = named_areas(inputs, pool, &places, &sites);
        Self { sites, areas }
    }
}

/// The place that is nearest to a region, by its position in the list.
fn nearest_place(pool: &FleetPool, region: RegionId, places: &[PlaceId]) -> Option<usize> {
    let site = pool.candidates(region).first()?;
    places.iter().position(|place| *place == pool.sites[usize::from(*site)].place)
}

/// Round trips to all places of clients to whom this one is the nearest: those of the country that is nearest to it, else
/// by the positions of the places.
fn round_trips(inputs: &Inputs, pool: &FleetPool, place: PlaceId, places: &[PlaceId]) -> Vec<f64> {
    let (fleet, geo) = (&inputs.fleet, &inputs.geo);
    let is_its = |number: usize, region: &Region| {
        let is_country = matches!(region.origin, RegionOrigin::Country(_) | RegionOrigin::Subdivision { .. });
        let nearest = nearest_place(pool, RegionId(number as u16), places).map(|at| places[at]);
        is_country && !region.is_vanished && nearest == Some(place)
    };
    let ids = geo.regions().iter().enumerate().filter(|(number, region)| is_its(*number, region));
    let ids = ids.map(|(number, _)| RegionId(number as u16));
    let region = ids.min_by(|a, b| fleet.distance(*a, place).total_cmp(&fleet.distance(*b, place)));
    let at = |place: PlaceId| fleet.places[usize::from(place.0)].at;
    let between = |other: PlaceId| match (region, at(place), at(other)) {
        _ if region.is_none() && other == place => NEAR,
        (Some(region), ..) => fleet.distance(region, other),
        (None, Some(here), Some(there)) => estimated_rtt(here.kilometres_to(there)),
        (None, ..) => UNKNOWN,
    };
    places.iter().map(|other| between(*other)).collect()
}

/// Regions, countries and continents of the configuration by name, and how their viewers are split over the places: over
/// those that stand there, by capacity, else over those that are nearest.
fn named_areas(
    inputs: &Inputs,
    pool: &FleetPool,
    places: &[PlaceId],
    sites: &[InventorySite],
) -> Vec<(String, Vec<f64>)> {
    let mut areas: Vec<(String, Vec<f64>)> = Vec::new();
    let stands: Vec<Option<(String, String)>> = places.iter().map(|place| stands_in(inputs, *place)).collect();
    let by_capacity = |is_there: &dyn Fn(&(String, String)) -> bool| -> Vec<f64> {
        let part = |(site, stands): (&InventorySite, &Option<(String, String)>)| {
            if stands.as_ref().is_some_and(is_there) { site.capacity() } else { 0.0 }
        };
        sites.iter().zip(&stands).map(part).collect()
    };
    let mut continents: Vec<(String, Vec<f64>)> = Vec::new();
    for (number, region) in inputs.geo.regions().iter().enumerate().filter(|(_, region)| !region.is_vanished) {
        let Some(at) = nearest_place(pool, RegionId(number as u16), places) else { continue };
        let nearest: Vec<f64> = (0..places.len()).map(|place| if place == at { 1.0 } else { 0.0 }).collect();
        match &region.origin {
            RegionOrigin::Country(code) => {
                let there = by_capacity(&|(country, _)| country == code);
                let is_there = there.iter().any(|part| *part > 0.0);
                areas.push((format!("country:{code}"), if is_there { there } else { nearest.clone() }));
                if let Some(continent) = &region.continent {
                    match continents.iter_mut().find(|(name, _)| name == continent) {
                        Some((_, parts)) => parts.iter_mut().zip(&nearest).for_each(|(sum, part)| *sum += part),
                        None => continents.push((continent.clone(), nearest)),
                    }
                }
            }
            RegionOrigin::Rule { .. } | RegionOrigin::Subdivision { .. } | RegionOrigin::Place(_) => {
                areas.push((format!("region:{}", region.name), nearest));
            }
            RegionOrigin::Unknown => {}
        }
    }
    for (name, nearest) in continents {
        let there = by_capacity(&|(_, continent)| *continent == name);
        let is_there = there.iter().any(|part| *part > 0.0);
        areas.push((format!("continent:{name}"), if is_there { there } else { nearest }));
    }
    areas
}

/// Country and continent where a place is: those of the addresses of its nodes, else those whose people are nearest to it.
fn stands_in(inputs: &Inputs, place: PlaceId) -> Option<(String, String)> {
    let here = &inputs.fleet.places[usize::from(place.0)];
    let nearest = |at: Position| {
        let countries = Countries::embedded().iter();
        countries.min_by(|a, b| at.kilometres_to(a.position).total_cmp(&at.kilometres_to(b.position)))
    };
    let guess = inputs.fleet.nodes.iter().find_map(|node| {
        let guess = inputs.guesses.get(&node.node.name).filter(|_| node.place == place && node.is_configured)?;
        Some((guess.country.clone(), guess.continent.clone()))
    });
    guess.or_else(|| here.at.and_then(nearest).map(|country| (country.code.clone(), country.continent.clone())))
}

/// The shares of the places in an area: a place, a region, a country or a continent, told apart by `place:` and so on where
/// one name is several of them.
pub(super) fn areas(sites: &[InventorySite], areas: &[(String, Vec<f64>)], name: &str) -> Result<Vec<f64>, Diagnostic> {
    let of_place = |wanted: &str| {
        let at = sites.iter().position(|site| site.name.eq_ignore_ascii_case(wanted))?;
        Some((0..sites.len()).map(|site| if site == at { 1.0 } else { 0.0 }).collect::<Vec<f64>>())
    };
    let of_area = |wanted: &str| {
        let (_, parts) = areas.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted))?;
        let total: f64 = parts.iter().sum();
        Some(parts.iter().map(|part| part / total).collect())
    };
    let found = match name.split_once(':') {
        Some(("place", place)) => of_place(place),
        Some(_) => of_area(name),
        None => of_place(name)
            .or_else(|| of_area(&format!("region:{name}")))
            .or_else(|| of_area(&format!("continent:{name}")))
            .or_else(|| of_area(&format!("country:{name}"))),
    };
    found.ok_or_else(|| {
        let bare = |known: &'_ str| known.split_once(':').map_or(known, |(_, bare)| bare).to_owned();
        let mut known: Vec<String> = sites.iter().map(|site| site.name.clone()).collect();
        known.extend(areas.iter().map(|(area, _)| bare(area)));
        let like = nearest(name, known.iter().map(String::as_str)).map(|like| format!("did you mean `{like}`? "));
        let places: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
        let places = places.join(", ");
        Diagnostic::error(format!("there is no place, region, country or continent `{name}`"))
            .help(format!("{}places: {places}; countries and continents by two letters", like.unwrap_or_default()))
    })
}
