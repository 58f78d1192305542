//! Output that is drawn once or again and again, for terminals and for pipes.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::SUCCESS;

/// Moves to the upper left corner and clears the rest.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Prints what `look` says, with its exit status; every so often if there is an interval, until nobody reads it any more.
pub(super) fn show(interval: Option<Duration>, mut look: impl FnMut() -> (String, u8)) -> u8 {
    let is_terminal = io::stdout().is_terminal();
    loop {
        let (text, status) = look();
        let front = if is_terminal && interval.is_some() { CLEAR } else { "" };
        if !print(&format!("{front}{text}")) {
            // Whoever read it has seen enough.
            return SUCCESS;
        }
        let Some(interval) = interval else { return status };
        std::thread::sleep(interval);
    }
}

/// Prints, and says whether anybody reads it.
pub(super) fn print(text: &str) -> bool {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// A time in one unit: `45 s`, `12 min`, `3 h`, `2 d`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6_000.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        seconds => format!("{:.0} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        for (seconds, told) in [(0.4, "0 s"), (99.0, "99 s"), (720.0, "12 min"), (7_200.0, "2 h"), (200_000.0, "2 d")] {
            assert_eq!(span(seconds), told);
        }
    }
}
