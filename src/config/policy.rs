//! How nodes are chosen for a service: what its pool says, and the service itself before it.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::Diagnostic;
use crate::pool::{HashKey, Policy};

use super::defaults;
use super::file::{PolicyTable, PoolTable, ServiceTable};
use super::written::Problems;

/// The policy of a pool.
pub(super) fn of_pool(table: &PolicyTable) -> Policy {
    policy(word(table).unwrap_or(PLANNER), &[table])
}

/// The policy of a service, if it says anything about that.
pub(super) fn of_service(service: &PolicyTable, pool: Option<&PolicyTable>) -> Option<Policy> {
    if service.word.is_none() && service.key.is_none() && service.bound.is_none() {
        return None;
    }
    let word = word(service).or_else(|| word(pool?)).unwrap_or(PLANNER);
    let tables: Vec<&PolicyTable> = [service].into_iter().chain(pool).collect();
    Some(policy(word, &tables))
}

/// The policy of this word, with the usual key and bound if it hashes; none if there is no such word.
pub fn policy_of_word(word: &str) -> Option<Policy> {
    Policy::WORDS.contains(&word).then(|| policy(word, &[]))
}

const PLANNER: &str = "planner";
const HASH: &str = "hash";

fn word(table: &PolicyTable) -> Option<&'static str> {
    table.word.as_ref().map(|word| word.value)
}

/// What the words mean; the first table that has a key of hashing wins.
fn policy(word: &str, tables: &[&PolicyTable]) -> Policy {
    match word {
        "round_robin" => Policy::RoundRobin,
        "weighted" => Policy::Weighted,
        "nearest" => Policy::Nearest,
        "failover" => Policy::Failover,
        HASH => Policy::Hash {
            key: match tables.iter().find_map(|table| table.key.as_ref()).map(|key| key.value) {
                Some("label") => HashKey::Label,
                Some("name") => HashKey::Name,
                _ => defaults::HASH_KEY,
            },
            bound: tables
                .iter()
                .find_map(|table| table.bound.as_ref())
                .map_or(defaults::HASH_BOUND, |bound| bound.value),
        },
        _ => Policy::Planner,
    }
}

/// Reports keys of hashing in a pool that does not hash.
pub(super) fn check_pool(pool: &PoolTable, problems: &Problems) {
    if word(&pool.policy) != Some(HASH) && !(pool.policy.has_word && pool.policy.word.is_none()) {
        refuse_hash_keys(&pool.policy, problems);
    }
}

/// Reports keys of hashing in a service that does not hash, and what cannot be hashed.
pub(super) fn check_service(service: &ServiceTable, pool: Option<&PoolTable>, problems: &Problems) {
    let own = &service.policy;
    let deciding = if own.has_word { Some(own) } else { pool.map(|pool| &pool.policy) };
    // With a word that could not be read, or of a pool that is not there, nobody knows whether it hashes.
    let Some(deciding) = deciding.filter(|table| table.word.is_some() || !table.has_word) else { return };
    if word(deciding) != Some(HASH) {
        return refuse_hash_keys(own, problems);
    }
    if let Some(answers) = &service.answers
        && answers.value.is_some_and(|count| count > 1)
    {
        let message = "the policy `hash` names one node, whatever `answers` says";
        problems.add_to(answers, Diagnostic::warning(message).help("write `answers = 1`, or leave it out"));
    }
    if service.name.value.is_wildcard() {
        return;
    }
    let of_pool = pool.filter(|pool| word(&pool.policy) == Some(HASH)).map(|pool| &pool.policy);
    let key = own.key.as_ref().or_else(|| of_pool?.key.as_ref());
    if key.is_some_and(|key| key.value == "label") {
        let message =
            format!("the service `{}` has one name only, so its leftmost label tells nobody apart", service.name.value);
        let help = "write `key = \"client\"`, or make it a wildcard service such as `*.room.live.example`";
        match &own.key {
            Some(key) => problems.add_to(key, Diagnostic::error(message).help(help)),
            None => problems.add_to(&service.name, Diagnostic::error(message).help(help)),
        }
    }
}

fn refuse_hash_keys(table: &PolicyTable, problems: &Problems) {
    let refuse = |key: &str| {
        let help = format!("write `policy = \"hash\"` too, or take `{key}` away");
        Diagnostic::error(format!("`{key}` says what the policy `hash` does, which is not in use here")).help(help)
    };
    if let Some(key) = &table.key {
        problems.add_to(key, refuse("key"));
    }
    if let Some(bound) = &table.bound {
        problems.add_to(bound, refuse("bound"));
    }
}
