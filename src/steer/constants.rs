//! The constants of the planner's model: how it takes viewers, caches and learning to be, and how it smooths and weighs.
//!
//! They are a value and not written where they are used, so that the model world can vary each: a planner that stands or
//! falls with one of them would not be worth much. What operators set stands in the configuration.

/// What the planner assumes.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants {
    /// Seconds over which arrivals are smoothed, for what is now.
    pub fast: f64,
    /// The same for what is usual.
    pub slow: f64,
    /// Part of an error that a demand's cost learns at once (normalised LMS: Widrow and Hoff: Adaptive switching circuits,
    /// 1960; Nagumo and Noda: A learning method for system identification, 1967).
    pub cost_learned: f64,
    /// Viewers squared of a lesson below which less is learned.
    pub few_squared: f64,
    /// What answers promise weighs up to so many times what nodes confirm.
    pub credit: f64,
    /// The same for how fast it may grow.
    pub growth: f64,
    /// Part of the capacity, per second, that needs no confirmation to weigh.
    pub free_credit: f64,
    /// The same for what may come.
    pub free_growth: f64,
    /// Seconds over which the bound of growth, and the flows that other nameservers are told of, are smoothed.
    pub steady: f64,
    /// Seconds for which caches are trusted to send at the rate that was estimated: later ones are cut off.
    pub horizon: f64,
    /// Seconds of demand that are placed.
    pub ahead: f64,
    /// Milliseconds by which a site must be worse to get e times less.
    pub softness: f64,
    /// Part of the way that a plan goes in a second, away from a site that fills.
    pub away: f64,
    /// The same back to one that has room.
    pub back: f64,
    /// Milliseconds that filling a site to pressure 0.95 costs; it begins at 0.80.
    pub filling: f64,
    /// Milliseconds that each unit of pressure above 0.98 costs.
    pub overfilling: f64,
    /// Exponent of headroom in weights.
    pub exponent: f64,
    /// Part of a node's headroom that one answer to a heavy key may use.
    pub grain: f64,
    /// Part of a region's viewers, and of the smallest node of the nearest site, above which a key is heavy.
    pub heavy: f64,
    /// Part of a node's headroom that one answer may use while caches hold it.
    pub beta: f64,
    /// Site pressure above which answers live shorter.
    pub busy: f64,
    /// Part of a site's capacity above which answers live shorter if a region brings so much in a second; viewers who stay for
    /// 40 minutes bring 0.0004 to a site that they fill.
    pub rush: f64,
    /// How many times as many viewers as are known may come to an answer that cannot be taken back for long.
    pub crowd: f64,
    /// Weight of one load in what a node's capacity is learned to be.
    pub capacity_learned: f64,
    /// How fast dead reckoning follows measured load.
    pub reckoned: f64,
    /// The same while that is not trusted.
    pub reckoned_distrusted: f64,
    /// The part of a load once measured that is reckoned with at least while no newer one is trusted.
    pub floor: f64,
    /// The most of a load that is taken to have left since it was measured.
    pub departed: f64,
    /// Viewers stay for so many times as long as the pool says.
    pub stays: f64,
    /// Part of the error that goes to load that no answer explains, with each load.
    pub unexplained: f64,
    /// The most that comes unexplained in a second, as part of the capacity.
    pub most_unexplained: f64,
    /// What a node is trusted with while its load is not known.
    pub unknown: f64,
    /// Seconds in which a node that comes up gets its full part.
    pub slow_start: f64,
    /// The part with which it begins.
    pub slow_start_from: f64,
}

impl Constants {
    /// What is used.
    pub const USUAL: Self = Self {
        fast: 8.0,
        slow: 40.0,
        cost_learned: 0.05,
        few_squared: 900.0,
        credit: 1.5,
        growth: 2.0,
        free_credit: 0.0002,
        free_growth: 0.005,
        steady: 5.0,
        horizon: 45.0,
        ahead: 22.0,
        softness: 4.0,
        away: 0.5,
        back: 0.05,
        filling: 60.0,
        overfilling: 4_000.0,
        exponent: 1.5,
        grain: 0.05,
        heavy: 0.01,
        beta: 0.04,
        busy: 0.75,
        rush: 0.002,
        crowd: 60.0,
        capacity_learned: 0.3,
        reckoned: 0.2,
        reckoned_distrusted: 0.003,
        floor: 0.8,
        departed: 0.3,
        stays: 1.0,
        unexplained: 0.05,
        most_unexplained: 1.0 / 60.0,
        unknown: 0.7,
        slow_start: 90.0,
        slow_start_from: 0.1,
    };

    /// Each of them by its name.
    pub fn each(&mut self) -> [(&'static str, &mut f64); 34] {
        let Self {
            fast,
            slow,
            cost_learned,
            few_squared,
            credit,
            growth,
            free_credit,
            free_growth,
            steady,
            horizon,
            ahead,
            softness,
            away,
            back,
            filling,
            overfilling,
            exponent,
            grain,
            heavy,
            beta,
            busy,
            rush,
            crowd,
            capacity_learned,
            reckoned,
            reckoned_distrusted,
            floor,
            departed,
            stays,
            unexplained,
            most_unexplained,
            unknown,
            slow_start,
            slow_start_from,
        } = self;
        [
            ("fast", fast),
            ("slow", slow),
            ("cost_learned", cost_learned),
            ("few_squared", few_squared),
            ("credit", credit),
            ("growth", growth),
            ("free_credit", free_credit),
            ("free_growth", free_growth),
            ("steady", steady),
            ("horizon", horizon),
            ("ahead", ahead),
            ("softness", softness),
            ("away", away),
            ("back", back),
            ("filling", filling),
            ("overfilling", overfilling),
            ("exponent", exponent),
            ("grain", grain),
            ("heavy", heavy),
            ("beta", beta),
            ("busy", busy),
            ("rush", rush),
            ("crowd", crowd),
            ("capacity_learned", capacity_learned),
            ("reckoned", reckoned),
            ("reckoned_distrusted", reckoned_distrusted),
            ("floor", floor),
            ("departed", departed),
            ("stays", stays),
            ("unexplained", unexplained),
            ("most_unexplained", most_unexplained),
            ("unknown", unknown),
            ("slow_start", slow_start),
            ("slow_start_from", slow_start_from),
        ]
    }
}

impl Default for Constants {
    fn default() -> Self {
        Self::USUAL
    }
}
