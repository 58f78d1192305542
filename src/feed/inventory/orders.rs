//! What an operator and the network say to inventories: a shrunken list is confirmed, a URL has been looked at.

use std::sync::Arc;

use super::{Fetch, Fetched, Lists, Pending};
use crate::config::{Config, Written};
use crate::feed::reload::{Reload, Scope, Waiter};
use crate::feed::run::Feed;
use crate::intake::Answer;

/// A list that an operator wants to be taken.
pub(in crate::feed) struct Confirmation {
    pub(in crate::feed) inventory: String,
    pub(in crate::feed) answer: Answer,
}

impl Lists {
    /// What waits in an inventory; none if there is no such inventory.
    fn pending(&self, inventory: &str) -> Option<Option<&Pending>> {
        self.by_name.get(inventory).map(|taken| taken.pending.as_ref())
    }

    /// Why the list of an inventory is not taken, if it waits.
    pub(in crate::feed) fn waits(&self, inventory: &str) -> Option<String> {
        let pending = self.pending(inventory)??;
        Some(format!(
            "the list of `{inventory}` is shorter still, with {} nodes, and waits: look at it with `thalweg inventory`, and \
             confirm again",
            pending.nodes.len()
        ))
    }
}

impl Feed {
    /// Takes the list that waits, if one does: it is read again, and taken unless it lacks more than what was shown.
    pub(in crate::feed) fn confirm(&mut self, confirmation: Confirmation, reload: &mut Option<Reload>) {
        let Confirmation { inventory, answer } = confirmation;
        let refused = match self.lists.pending(&inventory) {
            Some(Some(pending)) => {
                tracing::warn!(inventory, nodes = pending.nodes.len(), "an operator confirms the list that waits");
                self.news.confirmed.insert(inventory.clone(), pending.nodes.clone());
                return self.begin_reload(reload, Scope::Lists, Some(Waiter { answer, confirms: Some(inventory) }));
            }
            Some(None) => format!("no list of `{inventory}` waits to be confirmed"),
            None => {
                let names = self.lists.by_name.keys().map(String::as_str);
                let help = crate::diagnostic::nearest(&inventory, names)
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                format!("no inventory is called `{inventory}`{help}")
            }
        };
        // Who asked may have gone away meanwhile.
        let _gone = answer.send(Err(refused));
    }

    /// Takes what came of a look at a URL; only what differs from what was taken is news.
    pub(in crate::feed) fn take_fetched(&mut self, fetched: Fetched, reload: &mut Option<Reload>) {
        let Fetched { url, outcome } = fetched;
        let had_failed = self.news.fetched.get(&url).is_some_and(|before| before.result.is_err());
        let has_failed = outcome.result.is_err();
        let is_same = Arc::make_mut(&mut self.lists).note(&url, &outcome);
        self.news.fetched.insert(url, outcome);
        if !is_same && !(had_failed && has_failed) {
            self.begin_reload(reload, Scope::Lists, None);
        }
    }

    /// Takes lists as they were read, whatever becomes of the inputs that they are part of.
    pub(in crate::feed) fn take_lists(&mut self, lists: Lists) {
        for (name, taken) in &lists.by_name {
            let before = self.lists.by_name.get(name).and_then(|before| before.pending.as_ref());
            match (before, &taken.pending) {
                (None | Some(_), Some(pending)) if before.is_none_or(|before| before.nodes != pending.nodes) => {
                    tracing::error!(
                        inventory = name,
                        "its list shrank from {} to {} nodes, and is not taken: the old one goes on until `thalweg inventory \
                         confirm {name}`, or until the list has grown again",
                        taken.nodes.len(),
                        pending.nodes.len()
                    );
                }
                (Some(_), None) => {
                    tracing::info!(inventory = name, nodes = taken.nodes.len(), "no list waits any more")
                }
                _ => {}
            }
        }
        self.lists = Arc::new(lists);
        self.keep_lists();
    }

    /// Keeps lists for the next start, if there is a place for that.
    fn keep_lists(&self) {
        let Some(directory) = self.inputs.state_directory() else { return };
        if let Err(error) = self.lists.keep_in(&directory) {
            tracing::warn!(directory = %directory.display(), %error, "lists of nodes are not kept for the next start");
        }
    }
}

/// The URLs of a configuration.
pub(in crate::feed) fn fetches(config: &Config) -> Vec<Fetch> {
    let fetch = |url: &Written<String>, refresh| Fetch { url: url.value.clone(), refresh };
    let inventories = config.inventories.iter().map(|written| &written.value);
    inventories.filter_map(|inventory| Some(fetch(inventory.url.as_ref()?, inventory.refresh))).collect()
}
