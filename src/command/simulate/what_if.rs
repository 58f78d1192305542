//! `thalweg simulate --from thalweg.toml`: one's own fleet in the model world, and the crowds that might come.

use std::path::Path;

use super::super::{FAILURE, SUCCESS, USAGE, draw, plural};
use super::areas::{Catchment, areas};
use super::report::median;
use super::{Wish, seeds, wrong_seeds};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::feed::inputs::{Inputs, Loaded, load};
use crate::pool::Currency;
use crate::simulate::scenario::{Flash, Scenario, read};
use crate::simulate::world::World;
use crate::simulate::{
    Inventory, InventorySite, Outcome, is_policy, policies, policy, run, scenario_source, world_source,
};
use crate::steer::FleetService;

/// Seconds after the warm-up at which crowds begin.
const CROWD_AT: f64 = 600.0;
/// Hours, if none are given, and the most.
const HOURS: f64 = 1.0;
const MOST_HOURS: f64 = 48.0;
/// Part of the fleet's room that is taken at the start, if no number of viewers is given.
const AT_START: f64 = 0.5;
/// Seconds between the pressures that peaks are read from.
const EVERY: u32 = 5;
/// The policies that are compared, if none are given.
const POLICIES: [&str; 2] = ["planner", "geo-weighted"];

/// A crowd of which somebody asks.
#[derive(Debug, Clone, PartialEq)]
struct Crowd {
    viewers: f64,
    area: String,
    /// Seconds.
    within: f64,
}

/// Simulates the fleet of a configuration, prints what came of it, and returns the exit status.
pub(super) fn simulate(file: &Path, wish: &Wish) -> u8 {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let Loaded { inputs, diagnostics, .. } = load(file, &environment, None);
    if has_errors(&diagnostics) {
        draw(&diagnostics);
        return FAILURE;
    }
    let Some(inputs) = inputs else { return FAILURE };
    match prepare(&inputs, wish) {
        Ok(question) => {
            print!("{}", question.answer());
            SUCCESS
        }
        Err(wrong) => {
            draw(&wrong);
            USAGE
        }
    }
}

/// All that is asked.
#[derive(Debug)]
struct Question {
    inventory: Inventory,
    world: World,
    scenario: Scenario,
    policies: Vec<String>,
    seeds: Vec<u64>,
    /// What does not hold in the model world, in words.
    notes: Vec<String>,
    /// Where each crowd comes, in words.
    crowds: Vec<String>,
}

/// Makes a question of the words of the command line, or says all that is wrong with them.
fn prepare(inputs: &Inputs, wish: &Wish) -> Result<Question, Vec<Diagnostic>> {
    let service = service(inputs, wish.service.as_deref()).map_err(|wrong| vec![wrong])?;
    let catchment = Catchment::of(inputs, service);
    let mut wrong = Vec::new();
    let mut sites = catchment.sites;
    let shares = match &wish.viewers {
        Some(text) => read_viewers(text).and_then(|parts| {
            let mut shares = vec![0.0; sites.len()];
            for (area, part) in parts {
                let places = areas(&sites, &catchment.areas, &area)?;
                shares.iter_mut().zip(places).for_each(|(share, place)| *share += part * place);
            }
            Ok(shares)
        }),
        None => {
            let total: f64 = sites.iter().map(InventorySite::capacity).sum();
            Ok(sites.iter().map(|site| site.capacity() / total).collect())
        }
    };
    match shares {
        Ok(shares) => sites.iter_mut().zip(shares).for_each(|(site, share)| site.viewers = share),
        Err(error) => wrong.push(error),
    }
    let pool = inputs.fleet.pool(service.pool);
    let stays = pool.pool.viewer.stays.as_secs_f64();
    let mut flashes = Vec::new();
    let mut crowds = Vec::new();
    for text in &wish.flashes {
        let found = read_crowd(text).and_then(|crowd| Ok((areas(&sites, &catchment.areas, &crowd.area)?, crowd)));
        match found {
            Ok((split, Crowd { viewers, area, within })) => {
                let parts = sites.iter().zip(&split).filter(|(_, part)| **part > 0.0);
                let parts: Vec<String> =
                    parts.map(|(site, part)| format!("{} {:.0} %", site.name, 100.0 * part)).collect();
                let parts = parts.join(", ");
                crowds.push(format!("{viewers:.0} come from {area} ({parts}) in {within:.0} s"));
                let (at, mean_session) = (CROWD_AT, stays);
                flashes.push(Flash { viewers, at, within, mean_session, sigma: 1.0, split: Some(split) });
            }
            Err(error) => wrong.push(error),
        }
    }
    let hours = wish.hours.unwrap_or(HOURS);
    if !(hours > 0.0 && hours <= MOST_HOURS) {
        wrong.push(Diagnostic::error(format!("hours cannot be {hours}: above 0, and at most {MOST_HOURS}")));
    }
    let seeds = seeds(&wish.seeds);
    if seeds.is_empty() {
        wrong.push(wrong_seeds(&wish.seeds));
    }
    let policies = chosen_policies(wish, &mut wrong);
    let inventory = Inventory { sites, pool: pool.pool.clone(), service: service.service.clone() };
    let population = wish.population.unwrap_or_else(|| (inventory.room() * AT_START).round());
    let notes = notes(inputs, service, &inventory);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // Monitoring, resolvers and habits are those of the built-in world.
    let scenario = scenario_source("S1").ok_or_else(Vec::new)?;
    let (other, _) = read(&world_source(), &scenario)?;
    let world = inventory.world(&other, population);
    let scenario = Scenario::of_crowds("what if".to_owned(), (hours * 3600.0).ceil() as u32, flashes);
    let complaints = world.complaints().into_iter().chain(scenario.complaints(&world));
    let wrong: Vec<Diagnostic> = complaints.map(Diagnostic::error).collect();
    if wrong.is_empty() {
        Ok(Question { inventory, world, scenario, policies, seeds, notes, crowds })
    } else {
        Err(wrong)
    }
}

/// The service that is asked for, or the first one.
fn service<'a>(inputs: &'a Inputs, name: Option<&str>) -> Result<&'a FleetService, Diagnostic> {
    let services = &inputs.fleet.services;
    let named = |service: &&FleetService| {
        let known = service.service.name.to_string();
        name.is_none_or(|name| known.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.')))
    };
    let known = || services.iter().map(|service| service.service.name.to_string()).collect::<Vec<_>>().join(", ");
    match (services.iter().find(named), name) {
        (Some(service), _) if inputs.fleet.pool(service.pool).sites.is_empty() => {
            Err(Diagnostic::error(format!("the pool of {} has no nodes", service.service.name)))
        }
        (Some(service), _) => Ok(service),
        (None, Some(name)) => {
            Err(Diagnostic::error(format!("there is no service `{name}`")).help(format!("known: {}", known())))
        }
        (None, None) => Err(Diagnostic::error("the configuration has no service".to_owned())),
    }
}

fn chosen_policies(wish: &Wish, wrong: &mut Vec<Diagnostic>) -> Vec<String> {
    let known = policies();
    for name in wish.policies.iter().filter(|name| !is_policy(name)) {
        wrong.push(super::unknown("policy", name, &known));
    }
    if wish.policies.is_empty() { POLICIES.map(str::to_owned).to_vec() } else { wish.policies.clone() }
}

/// What holds in the configuration and not in the model world.
fn notes(inputs: &Inputs, service: &FleetService, inventory: &Inventory) -> Vec<String> {
    let mut notes = Vec::new();
    let nodes = || inventory.sites.iter().flat_map(|site| &site.nodes);
    let unsized_nodes: Vec<&str> =
        nodes().filter(|node| node.capacity.egress.is_none()).map(|node| node.name.as_str()).collect();
    if !unsized_nodes.is_empty() {
        notes.push(format!("1 Gbit/s is assumed where capacity.egress is not known: {}", unsized_nodes.join(", ")));
    }
    let near_only = inputs.geo.regions().iter().any(|region| region.near_only);
    if !service.service.within.is_empty() || near_only || nodes().any(|node| !node.serves.is_empty()) {
        notes.push("barriers do not hold here: within, serves, near_only".to_owned());
    }
    if inventory.pool.currency == Currency::Clients || nodes().any(|node| node.capacity.clients.is_some()) {
        notes.push("nodes are limited by capacity.egress alone here, not by capacity.clients".to_owned());
    }
    notes
}

/// `20000@eu/3min`.
fn read_crowd(text: &str) -> Result<Crowd, Diagnostic> {
    let read = || {
        let (viewers, rest) = text.split_once('@')?;
        let (area, within) = rest.rsplit_once('/')?;
        let viewers: f64 = viewers.trim().replace('_', "").parse().ok()?;
        let area = area.trim().to_owned();
        let within = seconds(within.trim())?;
        ((1.0..=1e7).contains(&viewers) && within >= 1.0 && !area.is_empty()).then_some(Crowd { viewers, area, within })
    };
    read().ok_or_else(|| {
        Diagnostic::error(format!("flash cannot be `{text}`"))
            .help("viewers, where they are, and within which time they come, as 20000@eu/3min")
    })
}

fn seconds(text: &str) -> Option<f64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at(end);
    let per_unit = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * per_unit)
}

/// `eu=60%,us=40%`; the parts must add up to 100.
fn read_viewers(text: &str) -> Result<Vec<(String, f64)>, Diagnostic> {
    let part = |part: &str| {
        let (area, percent) = part.split_once('=')?;
        let percent: f64 = percent.trim().trim_end_matches('%').trim().parse().ok()?;
        (0.0..=100.0).contains(&percent).then(|| (area.trim().to_owned(), percent / 100.0))
    };
    let parts: Option<Vec<(String, f64)>> = text.split(',').map(part).collect();
    let parts = parts.filter(|parts| (parts.iter().map(|(_, part)| part).sum::<f64>() - 1.0).abs() < 1e-6);
    parts.ok_or_else(|| {
        Diagnostic::error(format!("viewers cannot be `{text}`"))
            .help("where viewers are, and what part of them, as eu=60%,us=40%; all parts together are 100 %")
    })
}

impl Question {
    /// What happens, in tables.
    fn answer(&self) -> String {
        let Self { inventory, world, scenario, policies, seeds, notes, crowds } = self;
        let sites = &inventory.sites;
        let nodes: usize = sites.iter().map(|site| site.nodes.len()).sum();
        let capacity: f64 = sites.iter().map(InventorySite::capacity).sum();
        let mut text = format!(
            "{}: {} at {}, {}; room for {:.0} viewers of {:.1} Mbit/s below the limits\n",
            inventory.service.name.to_string().trim_end_matches('.'),
            plural(nodes, "node"),
            plural(sites.len(), "place"),
            rate(capacity),
            inventory.room(),
            inventory.pool.viewer.bitrate.0 / 1e6,
        );
        let parts: Vec<String> =
            sites.iter().map(|site| format!("{} {:.0} %", site.name, 100.0 * site.viewers)).collect();
        text.push_str(&format!("at the start {:.0} viewers: {}\n", world.population, parts.join(", ")));
        for crowd in crowds {
            text.push_str(&format!("from minute {:.0} on {crowd}\n", CROWD_AT / 60.0));
        }
        for note in notes {
            text.push_str(&format!("note: {note}\n"));
        }
        for name in policies {
            let fleet = inventory.fleet(world);
            let runs: Vec<Outcome> = seeds
                .iter()
                .filter_map(|seed| {
                    let mut policy = policy(name, &fleet)?;
                    Some(run(world, scenario, *seed, policy.as_mut(), EVERY))
                })
                .collect();
            text.push_str(&self.table(name, &runs));
        }
        text
    }

    /// What one policy makes of it.
    fn table(&self, name: &str, runs: &[Outcome]) -> String {
        let sites = &self.inventory.sites;
        let of_runs = |read: &dyn Fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(read).collect();
            values.sort_by(f64::total_cmp);
            median(&values)
        };
        let mut text = format!(
            "\n{name}: overload {:.2} % of viewer time, throttled {:.2} % of the traffic, mean RTT {:.1} ms, sent elsewhere {:.1} %\n",
            of_runs(&|run| run.figures.overload_percent),
            of_runs(&|run| run.figures.throttled_percent),
            of_runs(&|run| run.figures.rtt_ms),
            of_runs(&|run| run.figures.elsewhere_percent),
        );
        let widest = sites.iter().map(|site| site.name.chars().count()).max().unwrap_or(0).max("place".len());
        let title = format!("  {:<widest$}  {:>5}  {:>12}", "place", "nodes", "capacity");
        text.push_str(&format!("{title}  {:>13}  {:>9}  {:>11}\n", "peak pressure", "full from", "new viewers"));
        let mut first = 0;
        for site in sites {
            let nodes = first..first + site.nodes.len();
            first = nodes.end;
            let highest = |pressures: &Vec<f32>| pressures[nodes.clone()].iter().copied().fold(0.0, f32::max);
            let peak = of_runs(&|run| f64::from(run.pressures.iter().map(highest).fold(0.0, f32::max)));
            let full = of_runs(&|run| {
                let full = run.pressures.iter().position(|pressures| highest(pressures) >= 1.0);
                full.map_or(f64::INFINITY, |step| step as f64 * f64::from(EVERY) / 60.0)
            });
            let full = if full.is_finite() { format!("minute {full:.0}") } else { "never".to_owned() };
            let came = of_runs(&|run| run.details.placed.get(nodes.clone()).map_or(0.0, |came| came.iter().sum()));
            text.push_str(&format!(
                "  {:<widest$}  {:>5}  {:>12}  {peak:>13.2}  {full:>9}  {came:>11.0}\n",
                site.name,
                site.nodes.len(),
                rate(site.capacity()),
            ));
        }
        text
    }
}

/// `2.5 Gbit/s`.
fn rate(bits: f64) -> String {
    format!("{} Gbit/s", (bits / 1e8).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(wish: &Wish) -> Result<Question, Vec<Diagnostic>> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("thalweg.toml");
        let Loaded { inputs, diagnostics, .. } = load(&file, &[], None);
        assert!(!has_errors(&diagnostics), "{diagnostics:?}");
        prepare(&inputs.unwrap(), wish)
    }

    #[test]
    fn crowds_and_shares_are_read() {
        let crowd = Crowd { viewers: 20_000.0, area: "eu".into(), within: 180.0 };
        assert_eq!(read_crowd("20_000@eu/3min").ok(), Some(crowd));
        for wrong in ["", "x@eu/3min", "20@eu", "20@/3min", "20@eu/3", "20@eu/0s", "-5@eu/3s", "1e300@eu/3s"] {
            assert!(read_crowd(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read_viewers("eu=60%, us=40").ok(), Some(vec![("eu".into(), 0.6), ("us".into(), 0.4)]));
        for wrong in ["", "eu", "eu=60%,us=30%", "eu=160%,us=-60%", "eu=x"] {
            assert!(read_viewers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn areas_are_places_regions_countries_and_continents() {
        let split = |area: &str| {
            let wish = Wish { flashes: vec![format!("100@{area}/3min")], seeds: "1".into(), ..Wish::default() };
            let Question { inventory, scenario, .. } = question(&wish).unwrap();
            let names = inventory.sites.iter().map(|site| site.name.clone());
            let split = scenario.flashes[0].split.clone().unwrap();
            names.zip(split).filter(|(_, part)| *part > 0.0).map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(split("fra"), ["fra"]);
        assert_eq!(split("DE"), ["fra"]);
        assert_eq!(split("eu"), ["fra"]);
        assert_eq!(split("gulf"), ["fra"]);
        assert_eq!(split("continent:NA"), ["nyc"]);
        assert_eq!(split("country:US"), ["nyc"]);
        assert_eq!(split("as"), ["sin"]);
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let wish = Wish {
            flashes: vec!["100@atlantis/3min".into(), "100".into()],
            viewers: Some("fra=50%".into()),
            hours: Some(0.0),
            seeds: "0".into(),
            policies: vec!["planer".into()],
            ..Wish::default()
        };
        let wrong: Vec<String> = question(&wish).map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect();
        let wrong = wrong.join("\n");
        for words in ["atlantis", "flash cannot be `100`", "viewers cannot be", "hours", "seeds", "`planner`"] {
            assert!(wrong.contains(words), "{words}: {wrong}");
        }
        let wish = Wish { service: Some("other.example".into()), seeds: "1".into(), ..Wish::default() };
        let wrong = question(&wish).map(|_| ()).unwrap_err();
        assert!(wrong[0].to_string().contains("play.live.example"), "{wrong:?}");
    }

    #[test]
    fn a_crowd_that_one_place_cannot_hold_goes_to_others() {
        let wish = Wish {
            flashes: vec!["1500@eu/3min".into()],
            seeds: "1".into(),
            population: Some(200.0),
            ..Wish::default()
        };
        let question = question(&wish).unwrap();
        let play = |name: &str| {
            let mut policy = policy(name, &question.inventory.fleet(&question.world)).unwrap();
            run(&question.world, &question.scenario, 101, policy.as_mut(), EVERY)
        };
        let (ours, peer) = (play("planner"), play("geo-weighted"));
        let at_fra = |run: &Outcome| run.details.placed[..2].iter().sum::<f64>();
        assert!(at_fra(&ours) < 0.99 * at_fra(&peer), "{:?} {:?}", ours.details.placed, peer.details.placed);
        let answer = question.answer();
        assert!(answer.contains("1500 come from eu (fra 100 %) in 180 s") && answer.contains("nyc"), "{answer}");
    }
}
