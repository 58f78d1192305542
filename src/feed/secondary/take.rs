//! What the feed does with news of zones that come from other servers: copies are kept and served, what is wrong is told.

use std::sync::Arc;

use super::follow::{News, What};
use super::timers::Standing;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::feed::inputs::Loaded;
use crate::feed::reload::{Reload, Scope};
use crate::feed::run::{Feed, log};
use crate::feed::unix_seconds;
use crate::intake::Grade;

/// The words of the alarms: of a zone that no primary vouches for, of one that is not served for that, and of one that cannot
/// be served as it comes.
const STALE: &str = "zone_stale";
const EXPIRED: &str = "zone_expired";
const REFUSED: &str = "zone_refused";

impl Feed {
    /// Follows the zones of the configuration as it is now.
    pub(in crate::feed) fn follow_zones(&mut self, reload: &mut Option<Reload>) {
        self.followed.configure(&self.inputs);
        self.serve_copies(reload);
    }

    /// Takes what came of a look at a primary.
    pub(in crate::feed) fn take_transfer(&mut self, news: News, reload: &mut Option<Reload>) {
        let News { zone: name, what, timers } = news;
        // It may have been taken out of the configuration meanwhile.
        let Some(zone) = self.followed.zones.get_mut(&name) else { return };
        zone.timers = timers;
        match what {
            What::Came(copy) => {
                zone.confirmed = Some(unix_seconds());
                zone.trouble = None;
                zone.transfers[usize::from(copy.is_changed)] += 1;
                let what = if copy.is_changed { "what has changed" } else { "the whole zone" };
                let told = format!("{name}: serial {} came from {}, {what}", copy.soa.serial, copy.primary);
                tracing::info!(zone = %name, "{told}");
                self.board.note("zone", Grade::Note, &told);
                zone.held = Some(Arc::clone(&copy));
                if let Some(keeper) = &self.keeper {
                    self.followed.keep_copy(keeper, &copy);
                    self.followed.keep_confirmed(keeper);
                }
            }
            What::Confirmed => {
                zone.confirmed = Some(unix_seconds());
                zone.trouble = None;
                if let Some(keeper) = &self.keeper {
                    self.followed.keep_confirmed(keeper);
                }
            }
            What::Failed(because) => {
                tracing::warn!(zone = %name, "no primary has given anything: {because}");
                zone.trouble = Some(because);
            }
        }
        self.tell_zones();
        self.serve_copies(reload);
    }

    /// Looks whether zones have expired.
    pub(in crate::feed) fn watch_zones(&mut self, reload: &mut Option<Reload>) {
        if self.followed.has_lost() {
            tracing::error!("following a zone ended in a panic, which is a defect; it is followed anew");
            self.followed.configure(&self.inputs);
        }
        self.tell_zones();
        self.serve_copies(reload);
    }

    /// Raises the alarms of zones that no primary vouches for, and ends them.
    fn tell_zones(&mut self) {
        let now = self.followed.now();
        for (name, zone) in &mut self.followed.zones {
            let standing = zone.timers.standing(now);
            // What has just been asked for the first time is not wanting yet.
            let is_wanting = standing != Standing::Missing || zone.trouble.is_some();
            let told = Some(standing).filter(|_| is_wanting);
            if zone.told == told {
                continue;
            }
            zone.told = told;
            let subject = name.to_string();
            let because = zone.trouble.as_deref().unwrap_or("no primary has been asked yet");
            let hours = zone.timers.left(now).unwrap_or(0.0) / 3600.0;
            let stale = format!("{name}: no primary vouches for it: {because}; it is served for {hours:.1} h more");
            let expired = match standing {
                Standing::Expired => format!("{name} has expired, and SERVFAIL is answered for it: {because}"),
                _ => format!("{name} has never come, and SERVFAIL is answered for it: {because}"),
            };
            for (alarm, is_up, told) in [
                (STALE, told == Some(Standing::Doubtful), stale),
                (EXPIRED, matches!(told, Some(Standing::Missing | Standing::Expired)), expired),
            ] {
                if is_up && self.board.raise(alarm, &subject, &told) {
                    tracing::error!(alarm, "{told}");
                } else if !is_up && self.board.clear(alarm, &subject) {
                    tracing::info!(alarm, "{name}: it is over");
                }
            }
        }
    }

    /// Has what is to be served of copies served, unless something is read already: then it comes next.
    pub(in crate::feed) fn serve_copies(&mut self, reload: &mut Option<Reload>) {
        if self.followed.changes(&mut self.news.copies) {
            self.followed.is_ahead = true;
        }
        if self.followed.is_ahead && reload.is_none() {
            self.followed.is_ahead = false;
            *reload = Some(self.start_reload(Scope::Transfers, Vec::new()));
        }
    }

    /// Serves zones as they came.
    pub(in crate::feed) fn finish_transfers(&mut self, loaded: Option<Loaded>) {
        let Some(Loaded { inputs: Some(inputs), diagnostics, .. }) = loaded else {
            tracing::error!("reading zones that came ended in a panic; all goes on as before");
            return;
        };
        self.tell_refused(&diagnostics);
        if inputs.fingerprint == self.inputs.fingerprint {
            return;
        }
        if let Err(because) = self.take_zones_of(&inputs) {
            tracing::error!("{because}");
        }
    }

    /// Tells what is wrong with zones as they came, once.
    fn tell_refused(&mut self, diagnostics: &[Diagnostic]) {
        let words: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        if self.followed.refused != words {
            log(diagnostics);
            self.followed.refused = words;
        }
        let first = diagnostics.iter().find(|each| each.is_error());
        match first.filter(|_| has_errors(diagnostics)) {
            Some(first) => drop(self.board.raise(REFUSED, "", &format!("a zone cannot be served as it came: {first}"))),
            None => drop(self.board.clear(REFUSED, "")),
        }
    }
}
