//! What the engine answers at the bounds of its rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use thalweg::answer::{Question, explain};
use thalweg::feed::{Feed, Options};
use thalweg::name::Name;
use thalweg::wire::RecordType;

#[test]
fn an_alias_loop_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("thalweg.toml");
    fs::create_dir(directory.path().join("zones")).unwrap();
    let zone = "@ 60 SOA ns1 host 1 2h 15m 2w 60\n@ 60 NS ns1\nns1 60 A 192.0.2.1\n\
                self 60 CNAME self\none 60 CNAME two\ntwo 60 CNAME one\n*.wild 60 CNAME a.wild\n";
    fs::write(directory.path().join("zones/live.example.zone"), zone).unwrap();
    fs::write(&file, "").unwrap();
    let feed = Feed::new(Options { file, environment: Vec::new(), is_watching: true, is_strict: true }).unwrap();
    let snapshot = feed.published().snapshot();
    for (name, records) in [("self", 1), ("one", 2), ("q.wild", 1)] {
        let name = Name::parse(&format!("{name}.live.example"), None).unwrap();
        let question = Question::of_client(name.clone(), RecordType::A, [192, 0, 2, 9].into());
        let explanation = explain(&snapshot, &question, 0);
        assert_eq!((explanation.rcode.as_str(), explanation.answer.len()), ("NOERROR", records), "{name}");
    }
}
