//! Tests of zones as a whole: what is read, what is refused, what is found.

mod answers;
mod files;
mod hidden;
mod model;
mod peers;
mod reading;
mod rules;
mod signing;
mod types;

use super::{Inclusion, Records, Steered, Zone, read};
use crate::diagnostic::{Diagnostic, Source};
use crate::name::Name;
use crate::pool::ServiceId;

/// The head that most zones of the tests have: seven lines.
const HEAD: &str = "$TTL 300
@ SOA ns1 host (
 7 3600 600 86400
 60 )
@ NS ns1
ns1 A 192.0.2.53
 AAAA 2001:db8::53
";

fn name(text: &str) -> Name {
    Name::parse(text, None).expect(text)
}

fn read_text(text: &str) -> (Records, Vec<Diagnostic>) {
    read_text_of(text, "live.example.")
}

fn read_text_of(text: &str, origin: &str) -> (Records, Vec<Diagnostic>) {
    read(&Source::new("z", text), &name(origin), &mut no_files)
}

/// There are no files to include.
fn no_files(_: &Inclusion<'_>) -> Result<Source, Box<Diagnostic>> {
    Err(Box::new(Diagnostic::error("there is no such file").help("write it")))
}

fn steered(owner: &str, service: u16, has_v4: bool, has_v6: bool) -> Steered {
    Steered { owner: name(owner), service: ServiceId(service), has_v4, has_v6 }
}

/// A zone that must have no errors; warnings are allowed.
fn build(text: &str, steered: &[Steered]) -> Zone {
    let (records, problems) = read_text(text);
    let (zone, findings) = Zone::build(&records, steered);
    zone.unwrap_or_else(|| panic!("{:?}", lines(&[problems, findings].concat())))
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// `HEAD` and more.
fn with_head(more: &str) -> String {
    format!("{HEAD}{more}")
}
