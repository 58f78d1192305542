//! Lists kept over restarts: a server that starts while a list cannot be had begins with the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Lists, Taken, Text};
use crate::config::Format;
use crate::diagnostic::Source;
use crate::feed::run::Feed;
use crate::feed::state::Store;

/// The file.
const LISTS: &str = "inventories";

/// As it is written: by inventory, and by path or URL.
type Kept = BTreeMap<String, KeptLists>;

#[derive(Serialize, Deserialize)]
struct KeptLists {
    nodes: BTreeSet<String>,
    sources: BTreeMap<String, KeptText>,
}

#[derive(Serialize, Deserialize)]
struct KeptText {
    at: u64,
    text: String,
}

impl Lists {
    /// What an earlier run kept; nothing if there is nothing, or if it cannot be read.
    pub(in crate::feed) fn restored(store: &Store) -> Self {
        let Some(octets) = store.load(LISTS) else { return Self::default() };
        match serde_json::from_slice(&octets) {
            Ok(kept) => Self::of_kept(kept),
            Err(error) => {
                store.set_aside(LISTS, &error);
                Self::default()
            }
        }
    }

    fn of_kept(kept: Kept) -> Self {
        let text = |(name, kept): (String, KeptText)| {
            let format = Format::of(Path::new(&name)).unwrap_or(Format::Json);
            (name.clone(), Text { source: Source::new(name, kept.text), format, at: kept.at })
        };
        let taken = |(name, KeptLists { nodes, sources }): (String, KeptLists)| {
            (name, Taken { sources: sources.into_iter().map(text).collect(), nodes, ..Taken::default() })
        };
        Self { by_name: kept.into_iter().map(taken).collect() }
    }

    fn kept(&self) -> Kept {
        let text = |(name, text): (&String, &Text)| {
            (name.clone(), KeptText { at: text.at, text: text.source.text.to_string() })
        };
        let taken = |(name, taken): (&String, &Taken)| {
            let sources = taken.sources.iter().map(text).collect();
            (name.clone(), KeptLists { nodes: taken.nodes.clone(), sources })
        };
        self.by_name.iter().map(taken).collect()
    }
}

impl Feed {
    /// Keeps lists for the next start, if they are not those that were kept last.
    pub(in crate::feed) fn keep_lists(&mut self) {
        let Some(keeper) = self.keeper.as_ref().filter(|_| !self.lists.by_name.is_empty()) else { return };
        let mut hasher = DefaultHasher::new();
        self.lists.hash(&mut hasher);
        if std::mem::replace(&mut self.kept_lists, hasher.finish()) == self.kept_lists {
            return;
        }
        match serde_json::to_vec(&self.lists.kept()) {
            Ok(octets) => keeper.save(LISTS, octets),
            Err(error) => tracing::error!("lists of nodes cannot be written down: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        let name = "https://inventory.example/nodes".to_owned();
        let source = Source::new(name.clone(), "[{\"targets\": [\"ä:1\"]}]");
        let text = Text { source, format: Format::Json, at: 1_700_000_000 };
        let nodes = BTreeSet::from(["ä".to_owned()]);
        let taken = Taken { sources: [(name.clone(), text)].into(), nodes: nodes.clone(), ..Taken::default() };
        let lists = Lists { by_name: [("fleet".to_owned(), taken)].into() };
        assert!(Lists::restored(&store).by_name.is_empty());
        store.save(LISTS, &serde_json::to_vec(&lists.kept()).unwrap()).unwrap();
        let kept = &Lists::restored(&store).by_name["fleet"];
        let text = &kept.sources[&name];
        assert_eq!((&*text.source.text, text.at, &kept.nodes), ("[{\"targets\": [\"ä:1\"]}]", 1_700_000_000, &nodes));
        for rubbish in ["", "{", "[]", "{\"fleet\": 7}"] {
            store.save(LISTS, rubbish.as_bytes()).unwrap();
            assert!(Lists::restored(&store).by_name.is_empty(), "{rubbish}");
        }
    }
}
