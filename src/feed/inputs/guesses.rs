//! Where nodes without a place stand.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::geography::Databases;
use super::{Inputs, Loader};
use crate::config::{Config, Written};
use crate::geo::{Countries, Database};
use crate::pool::{Family, Node};
use crate::steer::Guess;

impl Loader {
    /// Where nodes without a place stand: in the country of their address.
    ///
    /// Nodes of inputs with the same databases, that have the addresses that they had, are looked up no more.
    pub(super) fn guess_places(
        &mut self,
        config: &Config,
        databases: &Databases,
        same: Option<&Inputs>,
    ) -> BTreeMap<String, Guess> {
        let known: BTreeMap<&str, &Node> = same
            .iter()
            .flat_map(|inputs| &inputs.config.nodes)
            .map(|written| (written.value.name.as_str(), &written.value))
            .collect();
        let mut guesses = BTreeMap::new();
        let mut unknown: Vec<&Written<Node>> = Vec::new();
        for written in &config.nodes {
            let node = &written.value;
            let is_as_before = known.get(node.name.as_str()).is_some_and(|known| addresses(known) == addresses(node));
            let guess = match same.filter(|_| is_as_before) {
                Some(same) => same.guesses.get(&node.name).cloned(),
                None => addresses(node).into_iter().flatten().find_map(|address| guess(databases.all(), address)),
            };
            match guess {
                Some(guess) => {
                    guesses.insert(node.name.clone(), guess);
                }
                None if node.place.is_some() => {}
                // Of hundreds from a list one word is enough.
                None if !config.is_own(&node.name) => unknown.push(written),
                None => self.diagnostics.push(
                    written
                        .warning(format!("nobody knows where `{}` stands: no database has its address", node.name))
                        .help("write `place = \"…\"`, the key of a `[place.…]` with its position; until then it is far from everybody"),
                ),
            }
        }
        if let Some(first) = unknown.first() {
            let message = format!(
                "nobody knows where {} of the listed nodes stand, the first of them `{}`: no database has their addresses",
                unknown.len(),
                first.value.name
            );
            let help = "give them a label with the key of a `[place.…]`, which `place` of the inventory names; until then they \
                        are far from everybody";
            self.diagnostics.push(first.warning(message).help(help));
        }
        guesses
    }
}

fn addresses(node: &Node) -> [Option<IpAddr>; 2] {
    [Family::V4, Family::V6].map(|family| node.address(family))
}

/// Where an address is, if a database has it.
fn guess(databases: &[Database], address: IpAddr) -> Option<Guess> {
    let facts = Database::merged_facts(databases, address);
    let country = Countries::embedded().get(facts.country.as_deref()?)?;
    Some(Guess {
        country: country.code.clone(),
        continent: country.continent.clone(),
        position: facts.position.unwrap_or(country.position),
    })
}
