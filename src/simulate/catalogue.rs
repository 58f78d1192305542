//! What is built in: the world, the scenarios (published beside the program too), and the policies.

use super::peers::{PEERS, peer};
use super::planner::Planner;
use super::policy::{Fleet, Policy};
use crate::diagnostic::Source;
use crate::steer::{Constants, KeyRule};

/// Our policy, and the same with the rule for keys that came before.
const PLANNER: &str = "planner";
const PLANNER_LAST_EXPIRED: &str = "planner@last-expired";

/// The world of all scenarios, unless another is given.
pub const WORLD: (&str, &str) = ("w0.toml", include_str!("../../simulate/world/w0.toml"));

/// The scenarios by name.
pub const SCENARIOS: &[(&str, &str)] = &[
    ("S1", include_str!("../../simulate/scenarios/S1.toml")),
    ("S2", include_str!("../../simulate/scenarios/S2.toml")),
    ("S3", include_str!("../../simulate/scenarios/S3.toml")),
    ("S4", include_str!("../../simulate/scenarios/S4.toml")),
    ("S5", include_str!("../../simulate/scenarios/S5.toml")),
    ("S6", include_str!("../../simulate/scenarios/S6.toml")),
    ("S7", include_str!("../../simulate/scenarios/S7.toml")),
    ("S8", include_str!("../../simulate/scenarios/S8.toml")),
    ("S9", include_str!("../../simulate/scenarios/S9.toml")),
    ("S10", include_str!("../../simulate/scenarios/S10.toml")),
    ("X1", include_str!("../../simulate/scenarios/X1.toml")),
    ("X2", include_str!("../../simulate/scenarios/X2.toml")),
    ("X3", include_str!("../../simulate/scenarios/X3.toml")),
    ("X4", include_str!("../../simulate/scenarios/X4.toml")),
    ("X5a", include_str!("../../simulate/scenarios/X5a.toml")),
    ("X5b", include_str!("../../simulate/scenarios/X5b.toml")),
    ("X5c", include_str!("../../simulate/scenarios/X5c.toml")),
    ("X5d", include_str!("../../simulate/scenarios/X5d.toml")),
    ("X6", include_str!("../../simulate/scenarios/X6.toml")),
    ("X7", include_str!("../../simulate/scenarios/X7.toml")),
    ("X8", include_str!("../../simulate/scenarios/X8.toml")),
    ("X9", include_str!("../../simulate/scenarios/X9.toml")),
    ("X10", include_str!("../../simulate/scenarios/X10.toml")),
    ("X11", include_str!("../../simulate/scenarios/X11.toml")),
];

/// The world that is built in.
pub fn world_source() -> Source {
    Source::new(WORLD.0, WORLD.1)
}

/// The scenario of this name, in any case of letters.
pub fn scenario_source(name: &str) -> Option<Source> {
    let (name, text) = SCENARIOS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(Source::new(format!("{name}.toml"), *text))
}

/// The names of all policies, in the order of tables.
pub fn policies() -> Vec<&'static str> {
    [PLANNER, PLANNER_LAST_EXPIRED].into_iter().chain(PEERS.iter().copied()).collect()
}

/// Whether there is a policy of this name: one of the list, or the planner with other constants, as `planner:ahead=30`.
pub fn is_policy(name: &str) -> bool {
    policies().contains(&name) || constants(name).is_some()
}

/// The planner with each of its constants off by a part, one at a time, down and up.
pub fn variants(part: f64) -> Vec<String> {
    let mut usual = Constants::USUAL;
    let both = |(name, value): (&str, &mut f64)| {
        // Without what rounding leaves behind the last decimal that says anything.
        [1.0 - part, 1.0 + part].map(|factor| format!("{PLANNER}:{name}={}", (*value * factor * 1e6).round() / 1e6))
    };
    usual.each().into_iter().flat_map(both).collect()
}

/// The constants of `planner:ahead=30:back=0.1`; none if that is not what the name says.
fn constants(name: &str) -> Option<Constants> {
    let mut constants = Constants::USUAL;
    let Some(others) = name.strip_prefix(PLANNER)?.strip_prefix(':') else {
        return (name == PLANNER).then_some(constants);
    };
    for other in others.split(':') {
        let (name, value) = other.split_once('=')?;
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)?;
        let (_, constant) = constants.each().into_iter().find(|(known, _)| *known == name)?;
        *constant = value;
    }
    Some(constants)
}

/// The policy of this name, new.
pub fn policy(name: &str, fleet: &Fleet) -> Option<Box<dyn Policy>> {
    match name {
        PLANNER_LAST_EXPIRED => Some(Box::new(Planner::new(fleet, KeyRule::LastExpired, Constants::USUAL))),
        _ => match constants(name) {
            Some(constants) => Some(Box::new(Planner::new(fleet, KeyRule::Exposure, constants))),
            None => peer(name, fleet),
        },
    }
}
