//! Lists kept over restarts: a server that starts while a list cannot be had begins with the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Lists, Taken, Text};
use crate::config::Format;
use crate::diagnostic::Source;

/// The file in the state directory.
const FILE: &str = "inventories.json";

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
    /// Reads what an earlier run kept; nothing if there is nothing, or if it cannot be read.
    pub(in crate::feed) fn kept_in(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let kept = std::fs::read(&path).and_then(|octets| Ok(serde_json::from_slice::<Kept>(&octets)?));
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no list of an earlier run can be read; lists are read anew");
                return Self::default();
            }
        };
        let text = |(name, kept): (String, KeptText)| {
            let format = Format::of(Path::new(&name)).unwrap_or(Format::Json);
            (name.clone(), Text { source: Source::new(name, kept.text), format, at: kept.at })
        };
        let taken = |(name, KeptLists { nodes, sources }): (String, KeptLists)| {
            (name, Taken { sources: sources.into_iter().map(text).collect(), nodes, ..Taken::default() })
        };
        Self { by_name: kept.into_iter().map(taken).collect() }
    }

    /// Keeps them for the next run: a new file takes the place of the old one whole.
    pub(in crate::feed) fn keep_in(&self, directory: &Path) -> io::Result<()> {
        let text = |(name, text): (&String, &Text)| {
            (name.clone(), KeptText { at: text.at, text: text.source.text.to_string() })
        };
        let taken = |(name, taken): (&String, &Taken)| {
            let sources = taken.sources.iter().map(text).collect();
            (name.clone(), KeptLists { nodes: taken.nodes.clone(), sources })
        };
        let kept: Kept = self.by_name.iter().map(taken).collect();
        let (path, beside) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        // Else a power cut may leave an empty file under the new name.
        file.sync_all()?;
        std::fs::rename(beside, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let name = "https://inventory.example/nodes".to_owned();
        let source = Source::new(name.clone(), "[{\"targets\": [\"ä:1\"]}]");
        let text = Text { source, format: Format::Json, at: 1_700_000_000 };
        let taken = Taken { sources: [(name.clone(), text)].into(), ..Taken::default() };
        let lists = Lists { by_name: [("fleet".to_owned(), taken)].into() };
        assert!(Lists::kept_in(directory.path()).by_name.is_empty());
        lists.keep_in(directory.path()).unwrap();
        let kept = Lists::kept_in(directory.path());
        let text = &kept.by_name["fleet"].sources[&name];
        assert_eq!((&*text.source.text, text.at), ("[{\"targets\": [\"ä:1\"]}]", 1_700_000_000));
        for rubbish in ["", "{", "[]", "{\"fleet\": 7}"] {
            std::fs::write(directory.path().join(FILE), rubbish).unwrap();
            assert!(Lists::kept_in(directory.path()).by_name.is_empty(), "{rubbish}");
        }
    }
}
