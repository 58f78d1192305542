//! The model of a node: what its load, its answers and its health say of it; its pressure now, and how far it is trusted.

use std::collections::VecDeque;

use super::constants::Constants;
use super::demand::weight;
use super::fleet::FleetNode;
use super::flows::Flows;
use super::weigh::FULL;
use crate::load::NodeLoad;
use crate::load::health::State;
use crate::load::history::Reading;
use crate::pool::{Bitrate, Currency, Saturation};

/// What a node is taken to carry while nobody said: Mbit/s, or viewers.
const ASSUMED_EGRESS: Bitrate = Bitrate(1e9);
const ASSUMED_CLIENTS: f64 = 500.0;
/// Pressure below which load says nothing of capacity.
const TELLING: f64 = 0.10;
/// Part of a lesson by which a nearly idle node is taken for what is configured again: nine tenths in four minutes of scrapes.
const FORGOTTEN: f64 = 0.33;
/// The least that a capacity is learned to be, as part of what is configured.
const LEAST_CAPACITY: f64 = 0.05;
/// The most that one without a configured capacity is taken to have been, as part of what is assumed.
const MOST_CAPACITY: f64 = 400.0;
/// Seconds between two loads above which they teach nothing.
const MAX_GAP: f64 = 90.0;
/// Loads in a row that are compared to find a node that sends no more although viewers come.
const FLAT_LOADS: u32 = 3;
/// Viewers below which a node's bit rate per viewer says nothing.
const FEW_CLIENTS: f64 = 200.0;
/// A fall of load that no departures explain.
const FALLEN: f64 = 0.85;
/// How far load per viewer must fall below the usual before a node seems to send less than viewers want.
const STARVED: f64 = 0.08;
/// How far loads in a row may differ to count as flat, and how far viewers must grow meanwhile.
const FLAT: f64 = 0.03;
const GROWN: f64 = 1.06;
/// How fast the usual load per viewer follows, with each load.
const USUAL: f64 = 0.02;
/// How fast a clipped capacity is tried again, with each load.
const RECOVERED: f64 = 1.0005;
/// Seconds over which prediction errors are averaged.
const ERROR_SPAN: f64 = 300.0;
/// Predictions that are kept to be compared with loads that describe an earlier moment.
const MAX_PREDICTIONS: usize = 64;

/// What is known and learned of a node. Load is in its currency: Mbit/s, or viewers.
#[derive(Debug)]
pub(super) struct Model {
    /// Flows of viewers to it.
    pub(super) flows: Flows,
    /// The load at which its pressure would be 1 if nothing but the configured capacity bound it.
    configured: f64,
    is_configured: bool,
    /// The share of its capacity at which pressure is 1.
    limit: f64,
    /// The load at which its pressure would be 1, as learned.
    learned: f64,
    /// The most that it can be, after the node was seen to send no more.
    clipped: f64,
    sample: Option<Sample>,
    /// Dead-reckoned load, kept beside what is measured.
    reckoned: Option<f64>,
    /// Load per viewer, as it usually is.
    usual_rate: Option<f64>,
    plateau: Option<Plateau>,
    /// Load per second that comes without any answer of ours.
    unexplained: f64,
    /// Part of what came that answers explain, smoothed.
    explained: f64,
    health: State,
    is_out: bool,
    first_seen: f64,
    /// What was measured before was in another life: before a restart, or before it was down.
    is_reborn: bool,
    is_distrusted: bool,
    /// How much more than dead reckoning has, the fleet's median node has.
    median: f64,
    saturated: Option<f64>,
    predictions: VecDeque<(f64, f64)>,
    error: f64,
    restarts: u32,
    life: u32,
}

/// Readings in a row that are about the same.
#[derive(Debug, Clone, Copy)]
struct Plateau {
    /// The first of them.
    load: f64,
    /// Viewers then.
    clients: f64,
    /// How many.
    loads: u32,
}

/// What a load says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Measured load.
    pub(super) load: f64,
    /// Viewers, if they are counted.
    pub(super) clients: Option<f64>,
    /// Pressure.
    pub(super) pressure: f64,
    /// The moment that it describes.
    pub(super) at: f64,
    /// The moment at which it was read.
    pub(super) read: f64,
}

/// What a new load teaches.
#[derive(Debug)]
pub(super) struct Lesson {
    /// From this moment on.
    pub(super) from: f64,
    /// To this one.
    pub(super) until: f64,
    /// Load that came in between, departures made good.
    pub(super) inflow: f64,
    /// So much of it is known to come without any answer of ours.
    pub(super) unexplained: f64,
    /// Load fell so fast that viewers must have been sent away.
    pub(super) has_fallen: bool,
    /// Pressure, which above the limit tells of viewers who left, not of those who came.
    pub(super) pressure: f64,
}

/// What a node's load now is made of, in its currency.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prediction {
    /// All of it.
    pub load: f64,
    /// What was measured, without those who have left since.
    pub measured: f64,
    /// What was answered since.
    pub added: f64,
    /// What comes without any answer of ours.
    pub unexplained: f64,
    /// What is still to come from answers in caches.
    pub committed: f64,
    /// Load as dead reckoning has it.
    pub reckoned: f64,
}

impl Model {
    /// A node that was first seen at this moment; at the start `-∞`: it has always been there.
    pub(super) fn new(first_seen: f64) -> Self {
        Self {
            flows: Flows::default(),
            configured: 0.0,
            is_configured: false,
            limit: 1.0,
            learned: 0.0,
            clipped: f64::INFINITY,
            sample: None,
            reckoned: None,
            usual_rate: None,
            plateau: None,
            unexplained: 0.0,
            explained: 1.0,
            health: State::Unknown,
            is_out: false,
            first_seen,
            is_reborn: true,
            is_distrusted: false,
            median: 1.0,
            saturated: None,
            predictions: VecDeque::new(),
            error: 0.0,
            restarts: 0,
            life: 0,
        }
    }

    /// Takes what the configuration, or an operator for the time being, or else the node's link says of its capacity.
    pub(super) fn configure(&mut self, known: &FleetNode, link: Option<Bitrate>, for_now: Option<f64>) {
        let node = &known.node;
        let (capacity, limit) = match known.currency {
            Currency::Egress => (node.capacity.egress.or(link).map(Bitrate::megabits), node.limits.egress),
            Currency::Clients => (node.capacity.clients, node.limits.clients),
        };
        let assumed = match known.currency {
            Currency::Egress => ASSUMED_EGRESS.megabits(),
            Currency::Clients => ASSUMED_CLIENTS,
        };
        let capacity = for_now.or(capacity);
        let configured = capacity.unwrap_or(assumed) * limit;
        if configured != self.configured {
            let scale = if self.configured > 0.0 { configured / self.configured } else { 0.0 };
            self.learned = if scale > 0.0 { self.learned * scale } else { configured };
            self.clipped = f64::INFINITY;
            self.configured = configured;
        }
        (self.is_configured, self.limit) = (capacity.is_some(), limit);
    }

    /// Takes what is known of the node's load; a lesson, if there is a new one that teaches something.
    ///
    /// `stays` are the seconds that a viewer stays on average.
    pub(super) fn observe(
        &mut self,
        constants: &Constants,
        reading: &Reading,
        currency: Currency,
        saturation: Saturation,
        stays: f64,
    ) -> Option<Lesson> {
        if let Some(load) = reading.last() {
            self.note_restarts(load.restarts);
        }
        let Reading::Fresh(load) = reading else {
            if let Reading::Stale { last, .. } = reading
                && self.sample.is_none()
            {
                // It was read before this controller began.
                let sample = self.sample_of(last, currency);
                self.reckoned = Some(self.reckoned.unwrap_or(0.0).max(sample.load));
                self.sample = Some(sample);
            }
            return None;
        };
        let sample = self.sample_of(load, currency);
        let previous = self.sample.replace(sample);
        if previous.is_some_and(|previous| previous.read >= sample.read) {
            self.sample = previous;
            return None;
        }
        self.judge_prediction(&sample, previous.as_ref());
        self.learn_capacity(&sample, constants.capacity_learned);
        let is_doubtful =
            self.is_distrusted || (previous.is_some() && self.is_low(&sample) && !self.is_confirmed(&sample));
        if currency == Currency::Egress && !is_doubtful {
            self.find_saturation(&sample, saturation);
        }
        let is_reborn = std::mem::take(&mut self.is_reborn);
        let previous = previous.filter(|_| !is_reborn);
        let gain = if is_doubtful { constants.reckoned_distrusted } else { constants.reckoned };
        match &mut self.reckoned {
            Some(reckoned) if previous.is_some() => *reckoned += gain * (sample.load - *reckoned),
            reckoned => *reckoned = Some(sample.load),
        }
        let previous = previous?;
        let elapsed = sample.at - previous.at;
        if is_doubtful || elapsed <= 0.0 || elapsed > MAX_GAP {
            return None;
        }
        let departed = (previous.load + sample.load) / 2.0 * elapsed / stays;
        Some(Lesson {
            from: previous.at,
            until: sample.at,
            inflow: sample.load - previous.load + departed,
            unexplained: self.unexplained * elapsed,
            has_fallen: sample.load <= FALLEN * previous.load,
            pressure: sample.pressure,
        })
    }

    /// Takes what was left of a lesson when all viewers of answers were reckoned with.
    pub(super) fn learn(&mut self, constants: &Constants, lesson: &Lesson, error: f64) {
        let Constants { unexplained, most_unexplained, .. } = *constants;
        let elapsed = lesson.until - lesson.from;
        let most = self.configured * most_unexplained;
        self.unexplained = (self.unexplained + unexplained * error / elapsed).clamp(0.0, most);
        let explained = lesson.inflow - self.unexplained * elapsed;
        if lesson.inflow > 0.0 {
            let part = (explained / lesson.inflow).clamp(0.0, 1.0);
            self.explained += (part - self.explained) * unexplained;
        }
    }

    /// The counters began anew: what was known of the load is of another life.
    fn note_restarts(&mut self, restarts: u32) {
        if restarts != self.restarts {
            self.restarts = restarts;
            self.is_reborn = true;
        }
    }

    /// Takes what probes say of it where it is best, and whether it is out everywhere for that: what it learned is right
    /// while anybody is sent there.
    pub(super) fn set_health(&mut self, health: State, is_out: bool) {
        if is_out && !self.is_out {
            self.flows.stop();
            self.life = self.life.wrapping_add(1);
            self.is_reborn = true;
        }
        (self.health, self.is_out) = (health, is_out);
    }

    /// Whether probes have it out, so that nobody is sent there.
    pub(super) fn is_out(&self) -> bool {
        self.is_out
    }

    /// Time passes: so much load came by answers.
    pub(super) fn pass(&mut self, elapsed: f64, added: f64, stays: f64) {
        let reckoned = self.reckoned.get_or_insert(0.0);
        *reckoned = (*reckoned + added + (self.unexplained - *reckoned / stays) * elapsed).max(0.0);
    }

    /// The load now: `added` and `committed` are what answers brought since the last load, and will bring.
    pub(super) fn predict(
        &self,
        constants: &Constants,
        now: f64,
        reading: &Reading,
        added: f64,
        committed: f64,
        stays: f64,
    ) -> Prediction {
        let reckoned = self.reckoned.unwrap_or(0.0);
        let prediction = Prediction { added, committed, reckoned, ..Prediction::default() };
        let (Some(sample), Reading::Fresh(_), false) = (&self.sample, reading, self.is_distrusted) else {
            // Dead reckoning goes on; load that was measured once does not vanish at once.
            let measured = reckoned.max(self.sample.map_or(0.0, |sample| constants.floor * sample.load));
            return Prediction { load: measured + committed, measured, added: 0.0, ..prediction };
        };
        let age = (now - sample.at).max(0.0);
        let measured = sample.load * (1.0 - (age / stays).min(constants.departed));
        let unexplained = self.unexplained * age;
        Prediction { load: measured + added + unexplained + committed, measured, unexplained, ..prediction }
    }

    /// Judges whether the load is implausible: far below what dead reckoning, corrected by the fleet's median error, has.
    ///
    /// A node whose viewers fell as its load did is believed: channels end. Where viewers are counted, by the media server's
    /// own exporter mostly, a load that is not believed follows from them.
    pub(super) fn doubt(&mut self, median: f64, is_fresh: bool) {
        self.median = median;
        self.is_distrusted = false;
        let Some(sample) = self.sample.filter(|_| is_fresh) else { return };
        if !self.is_low(&sample) {
            return;
        }
        if self.is_confirmed(&sample) {
            self.reckoned = Some(sample.load);
            return;
        }
        self.is_distrusted = true;
        if let Some(expected) = self.expected(&sample) {
            self.reckoned = Some(expected);
        }
    }

    /// Whether a load is far below what dead reckoning has.
    fn is_low(&self, sample: &Sample) -> bool {
        let reckoned = self.reckoned.unwrap_or(0.0);
        sample.load < 0.5 * self.median * reckoned && reckoned > 0.05 * self.capacity()
    }

    /// Whether the node's viewers, of whom each brings what is usual, explain a load.
    fn is_confirmed(&self, sample: &Sample) -> bool {
        self.health.is_up()
            && self.expected(sample).is_some_and(|expected| {
                (sample.load - expected).abs() <= 0.3 * sample.load.max(expected) + 0.02 * self.capacity()
            })
    }

    /// The load that as many viewers usually bring.
    fn expected(&self, sample: &Sample) -> Option<f64> {
        sample.clients.zip(self.usual_rate).map(|(clients, rate)| clients * rate)
    }

    /// The load at which its pressure is 1.
    pub(super) fn capacity(&self) -> f64 {
        self.learned.min(self.clipped)
    }

    /// What a new viewer of the node is trusted to find where its health is this: 0.1 to 1 in the first 90 s.
    pub(super) fn warmth(&self, constants: &Constants, now: f64, health: State) -> f64 {
        let Constants { slow_start, slow_start_from, .. } = *constants;
        let since = match health {
            State::Up { since } => since.max(self.first_seen),
            State::Unknown | State::Down { .. } => self.first_seen,
        };
        (slow_start_from + (1.0 - slow_start_from) * (now - since) / slow_start).clamp(slow_start_from.min(1.0), 1.0)
    }

    /// Remembers the pressure that was predicted for now.
    pub(super) fn remember(&mut self, now: f64, pressure: f64) {
        if self.predictions.len() == MAX_PREDICTIONS {
            self.predictions.pop_front();
        }
        self.predictions.push_back((now, pressure));
    }

    /// The last load.
    pub(super) fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// What was learned of it: its capacity as a part of what is configured, and load per viewer as it usually is.
    pub(super) fn legacy(&self) -> (f64, Option<f64>) {
        let part = if self.configured > 0.0 { self.learned / self.configured } else { 1.0 };
        (part, self.usual_rate)
    }

    /// Takes what was learned of it before a restart.
    pub(super) fn inherit(&mut self, capacity: f64, rate: Option<f64>) {
        // A link whose speed is not known yet may be faster than what is assumed.
        let most = if self.is_configured { 1.0 } else { MOST_CAPACITY };
        self.learned = capacity.clamp(LEAST_CAPACITY, most) * self.configured;
        self.usual_rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
    }

    /// How often it has died.
    pub(super) fn life(&self) -> u32 {
        self.life
    }

    /// As probes say.
    pub(super) fn health(&self) -> State {
        self.health
    }

    /// Whether its exporter is taken to be wrong.
    pub(super) fn is_distrusted(&self) -> bool {
        self.is_distrusted
    }

    /// The load at which it seems to be as full as it can be, if it does.
    pub(super) fn saturated(&self) -> Option<f64> {
        self.saturated
    }

    /// The capacity as configured, times the limit.
    pub(super) fn configured(&self) -> f64 {
        self.configured
    }

    /// The part of what came that answers explain, 0 to 1.
    pub(super) fn explained(&self) -> f64 {
        self.explained
    }

    /// Mean error of predicted pressure over five minutes, without sign.
    pub(super) fn error(&self) -> f64 {
        self.error
    }

    fn sample_of(&self, load: &NodeLoad, currency: Currency) -> Sample {
        let counted = match currency {
            Currency::Egress => load.egress.map(Bitrate::megabits),
            Currency::Clients => load.clients,
        };
        Sample {
            // Without a measure of the currency, pressure stands for it.
            load: counted.unwrap_or(load.pressure * self.configured),
            clients: load.clients,
            pressure: load.pressure,
            at: load.at,
            read: load.sampled,
        }
    }

    fn judge_prediction(&mut self, sample: &Sample, previous: Option<&Sample>) {
        let predicted = self.predictions.iter().find(|(at, _)| *at >= sample.at);
        let (Some((_, predicted)), Some(previous)) = (predicted, previous) else { return };
        let error = (predicted - sample.pressure).abs();
        self.error += (error - self.error) * weight(ERROR_SPAN, sample.at - previous.at).clamp(0.0, 1.0);
        while self.predictions.front().is_some_and(|(at, _)| *at < sample.at) {
            self.predictions.pop_front();
        }
    }

    /// Another resource than what load is counted in may bind: pressure says how much load that allows.
    fn learn_capacity(&mut self, sample: &Sample, part: f64) {
        if sample.pressure < TELLING {
            // Nothing binds it now, and nobody comes to show whether what did is gone.
            self.learned += FORGOTTEN * part * (self.configured - self.learned).max(0.0);
            return;
        }
        let most = if self.is_configured { self.configured } else { f64::INFINITY };
        let allowed = (sample.load / sample.pressure).clamp(LEAST_CAPACITY * self.configured, most);
        // A node that is full by what is measured is full at once, whatever else binds it than was thought.
        let part = if sample.pressure >= FULL && allowed < self.learned { 1.0 } else { part };
        self.learned += part * (allowed - self.learned);
    }

    /// Finds a node that sends no more although viewers come: load stays flat for some readings while viewers grow, and
    /// each gets less than the node usually sends. A low rate alone means nothing: there are audio and small pictures.
    fn find_saturation(&mut self, sample: &Sample, saturation: Saturation) {
        let Some(clients) = sample.clients.filter(|clients| *clients > FEW_CLIENTS) else { return };
        let rate = sample.load / clients;
        let usual = *self.usual_rate.get_or_insert(rate);
        let plateau = match self.plateau {
            Some(plateau) if (sample.load / plateau.load - 1.0).abs() <= FLAT => {
                Plateau { loads: plateau.loads + 1, ..plateau }
            }
            _ => Plateau { load: sample.load, clients, loads: 1 },
        };
        self.plateau = Some(plateau);
        // Bit rates differ by half their mean; the mean of n viewers by so much less.
        let least_fall = STARVED.max(3.0 * 0.5 / clients.sqrt());
        let is_low = rate < (1.0 - least_fall) * usual;
        let is_starved = is_low && sample.pressure > 0.25;
        let has_grown = clients >= GROWN * plateau.clients;
        if is_starved && plateau.loads >= FLAT_LOADS && (has_grown || self.saturated.is_some()) {
            self.saturated = Some(sample.load);
        } else if !is_starved {
            self.saturated = None;
            // What falls far may be wrong, and is believed slowly.
            let news = if is_low { USUAL / 10.0 } else { USUAL };
            self.usual_rate = Some(usual + news * (rate - usual));
        }
        match (self.saturated, saturation) {
            (Some(load), Saturation::Clip) if is_starved => self.clipped = self.clipped.min(self.limit * load),
            _ => self.clipped *= RECOVERED,
        }
    }
}
