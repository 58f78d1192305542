//! Commands: what the words of the command line do.

pub mod check;
pub mod daemon;
pub mod demo;
pub mod drain;
pub mod explain;
pub mod inventory;
pub mod keys;
pub mod nodes;
pub mod overrides;
pub mod presets;
pub mod run;
pub mod simulate;
pub mod status;

mod admin;
mod notify;
mod probe;
mod spread;
mod table;
mod watch;

use std::io::IsTerminal;

use crate::diagnostic::Diagnostic;

/// Exit status when all is well.
pub const SUCCESS: u8 = 0;
/// Exit status when something is wrong with the inputs, or cannot be done.
pub const FAILURE: u8 = 1;
/// Exit status of a wrong command line.
pub const USAGE: u8 = 2;

/// Draws diagnostics on the standard error, with colour on a terminal.
fn draw(diagnostics: &[Diagnostic]) {
    let with_colour = std::io::stderr().is_terminal();
    for diagnostic in diagnostics {
        eprintln!("{}\n", diagnostic.render(with_colour));
    }
}

/// `3 errors, 1 warning`.
fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = diagnostics.len() - errors;
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

/// `1 node`, `2 nodes`.
fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
