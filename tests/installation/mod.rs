//! A small installation that is published as `thalweg run` would, for tests of the transports.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use thalweg::feed::{Feed, Options};
use thalweg::intake::Counts;
use thalweg::serve::{Learner, Responder};

/// One node, so that every moment has the same answer.
const CONFIG: &str = r#"
[service."play.live.example"]

[place.fra]
at = [50.1, 8.7]

[node.fra1]
addresses = ["198.51.100.10", "2001:db8::10"]
place = "fra"
"#;

const ZONE: &str = "
$TTL 1h
@     SOA   ns1 hostmaster 1 2h 15m 2w 5m
@     NS    ns1
@     MX    10 mail
ns1   A     192.0.2.53
ns1   AAAA  2001:db8::53
mail  A     192.0.2.25
www   CNAME play
text  TXT   \"a;b\" \"two words\" ab\\255c
svc   TYPE65 \\# 13 0001 00 0001 0006 026832 026833
odd   TYPE65280 \\# 3 c0ff00
sub   NS    ns.sub
ns.sub A    192.0.2.54
";

/// Answers for `live.example` and counts, with `play` steered, `www` an alias of it, and `large` of 32 KiB.
pub(crate) fn responder(counts: Arc<Counts>) -> Responder {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("zones")).unwrap();
    let file = directory.path().join("thalweg.toml");
    fs::write(&file, CONFIG).unwrap();
    let mut zone = ZONE.to_owned();
    for index in 0..128 {
        zone.push_str(&format!("large TXT \"{index:0>250}\"\n"));
    }
    fs::write(directory.path().join("zones/live.example.zone"), zone).unwrap();
    let options = Options { file, environment: Vec::new(), is_watching: true, is_strict: true };
    let feed = Feed::new(options).unwrap_or_else(|error| panic!("{}", error.diagnostics[0]));
    Responder::new(feed.published(), counts, Learner::new(2, 1).0)
}
