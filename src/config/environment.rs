//! Variables `THALWEG_…` laid over the tree of the file: `THALWEG_SERVER__ADMIN` is `server.admin`.
#![deny(clippy::disallowed_methods)]

use crate::diagnostic::{Diagnostic, Source};

use super::tree::{Entry, Item, Value};
use super::value::{Reading, Wrong, did_you_mean};
use super::written::{Place, Problems};

/// What the names of our variables begin with.
const PREFIX: &str = "THALWEG_";
/// Tables whose keys are fixed: only these can be meant by a variable that has too few underscores.
const FIXED_TABLES: [&str; 6] = ["server", "cluster", "zones", "geoip", "scrape", "defaults"];
/// Tables whose keys are names that the operator gave.
const NAMED_TABLES: [&str; 7] = ["zone", "place", "region", "node", "inventory", "pool", "service"];

/// Sets the keys which the environment has, in place of those of the file.
pub(super) fn overlay(tree: &mut Vec<Entry>, environment: &[(String, String)], problems: &Problems) {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let variable = Variable::new(name, text);
        let keys: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        if keys.len() < 2 {
            warn_of_too_few_underscores(&variable, rest, problems);
        } else if keys.iter().any(String::is_empty) {
            let help = "write `THALWEG_TABLE__KEY`: two underscores between the levels";
            problems.add(&variable.name_place(), Diagnostic::error("a level of the name is empty").help(help));
        } else if let Err(wrong) = variable.set(tree, &keys, 0) {
            problems.add(&variable.name_place(), wrong);
        }
    }
}

/// Without two underscores it is no key: `THALWEG_LOG` is somebody else's, and Kubernetes sets
/// `THALWEG_SERVICE_HOST` beside a service that bears our name.
fn warn_of_too_few_underscores(variable: &Variable<'_>, rest: &str, problems: &Problems) {
    let lower = rest.to_lowercase();
    let Some((table, key)) = lower.split_once('_') else { return };
    if FIXED_TABLES.contains(&table) && !key.is_empty() {
        let meant = format!("{PREFIX}{}__{}", table.to_uppercase(), key.to_uppercase());
        let diagnostic = Diagnostic::warning("the variable sets nothing: two underscores stand between the levels");
        problems.add(&variable.name_place(), diagnostic.help(format!("write `{meant}`, or unset it")));
    }
}

/// One variable, as a source of its own.
struct Variable<'a> {
    name: &'a str,
    text: &'a str,
    source: Source,
}

impl<'a> Variable<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, source: Source::new("environment", format!("{name}={text}")) }
    }

    fn name_place(&self) -> Place {
        Place::in_variable(&self.source, 0..self.name.len(), self.name)
    }

    fn item(&self) -> Item {
        let text_at = self.name.len() + 1;
        let place = Place::in_variable(&self.source, text_at..text_at + self.text.len(), self.name);
        Item { value: Value::Variable(self.text.to_owned()), place }
    }

    /// Walks down from the table at `level` and sets the last key.
    fn set(&self, table: &mut Vec<Entry>, keys: &[String], level: usize) -> Reading<()> {
        // Names of the operator's may have capitals, which the environment's do not show.
        let found = table.iter().position(|entry| entry.key.to_lowercase() == keys[level]);
        if level + 1 == keys.len() {
            let item = self.item();
            match found {
                Some(at) => table[at].item = item,
                None => table.push(Entry { key: keys[level].clone(), key_place: self.name_place(), item }),
            }
            return Ok(());
        }
        let at = match found {
            Some(at) => at,
            None if level == 1 && NAMED_TABLES.contains(&keys[0].as_str()) => {
                let known = did_you_mean(&keys[1], table.iter().map(|entry| entry.key.as_str()));
                let message = format!("there is no {} `{}` in the file whose key could be set", keys[0], keys[1]);
                return Err(Wrong::new(message).maybe_help(known));
            }
            None => {
                let item = Item { value: Value::Table(Vec::new()), place: self.name_place() };
                table.push(Entry { key: keys[level].clone(), key_place: self.name_place(), item });
                table.len() - 1
            }
        };
        match &mut table[at].item.value {
            Value::Table(below) => self.set(below, keys, level + 1),
            _ => Err(Wrong::new(format!("`{}` is no table, it has no keys", keys[..=level].join(".")))),
        }
    }
}
