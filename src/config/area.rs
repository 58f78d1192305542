//! Words of `serves` and `within`: which clients, or which places, a barrier lets through.
#![deny(clippy::disallowed_methods)]

use crate::geo::{CONTINENTS, Countries};
use crate::pool::Area;

use super::file::ConfigFile;
use super::value::{Reading, Wrong, did_you_mean, write};
use super::written::Written;

/// What words may name, beside continents and countries.
#[derive(Debug, Clone, Default)]
pub(super) struct Atlas {
    /// Regions of the configuration, with their autonomous systems.
    regions: Vec<(String, Vec<u32>)>,
    places: Vec<String>,
}

/// What a list of areas is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barrier {
    /// Of a node: clients.
    Serves,
    /// Of a service: clients, and places of nodes.
    Within,
}

impl Atlas {
    pub(super) fn of(file: &ConfigFile) -> Self {
        let asns = |asns: &[Written<u32>]| asns.iter().map(|asn| asn.value).collect();
        Self {
            regions: file.regions.iter().map(|region| (region.name.value.clone(), asns(&region.asns))).collect(),
            places: file.places.iter().map(|place| place.name.value.clone()).collect(),
        }
    }

    /// What the words of a list name, one by one.
    pub(super) fn areas(&self, words: &[Written<String>], barrier: Barrier) -> Vec<Reading<Area>> {
        let listed: Vec<u32> = words.iter().filter_map(|word| autonomous_system(&word.value)).collect();
        words.iter().map(|word| self.area(&word.value, barrier, &listed)).collect()
    }

    /// What a word names in a list with these autonomous systems.
    fn area(&self, word: &str, barrier: Barrier, listed: &[u32]) -> Reading<Area> {
        if let Some((kind, name)) = word.split_once(':') {
            return match kind {
                "continent" => continent(name).ok_or_else(|| no_code("continent", name)),
                "country" => country(name).ok_or_else(|| no_code("country", name)),
                "region" => self.region(name, barrier),
                "place" => self.place(name, barrier),
                _ => {
                    let kinds = ["continent", "country", "region", "place"];
                    let help = match kind.to_ascii_lowercase().as_str() {
                        "as" | "asn" => write(format!("AS{name}")),
                        _ => did_you_mean(kind, kinds)
                            .unwrap_or_else(|| "the kinds are continent, country, region and place".to_owned()),
                    };
                    Err(Wrong::new(format!("`{kind}` is no kind of area")).help(help))
                }
            };
        }
        if let Some(number) = autonomous_system(word) {
            return self.asn(number, barrier, listed);
        }
        let is_code = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_code {
            return self.code(word, barrier);
        }
        match barrier {
            Barrier::Serves => self.region(word, barrier),
            Barrier::Within => self.place(word, barrier),
        }
    }

    /// Two letters: a continent, a country, or something that the operator called so.
    fn code(&self, word: &str, barrier: Barrier) -> Reading<Area> {
        let named = match barrier {
            Barrier::Serves => self.has_region(word).then(|| ("region", Area::Region(word.to_owned()))),
            Barrier::Within => self.has_place(word).then(|| ("place", Area::Place(word.to_owned()))),
        };
        let codes = [continent(word).map(|area| ("continent", area)), country(word).map(|area| ("country", area))];
        let meanings: Vec<(&str, Area)> = codes.into_iter().chain([named]).flatten().collect();
        match meanings.as_slice() {
            [] => Err(no_code("country", word)),
            [(_, area)] => Ok(area.clone()),
            _ => {
                let kinds: Vec<String> = meanings.iter().map(|(kind, _)| format!("a {kind}")).collect();
                let spellings: Vec<String> = meanings.iter().map(|(kind, _)| format!("`\"{kind}:{word}\"`")).collect();
                let message = format!("`{word}` is {}", kinds.join(" and "));
                Err(Wrong::new(message).help(format!("write {}", spellings.join(" or "))))
            }
        }
    }

    fn asn(&self, number: u32, barrier: Barrier, listed: &[u32]) -> Reading<Area> {
        if barrier == Barrier::Within {
            let help = format!("write `serves = [\"AS{number}\"]` at the nodes that only they may use");
            return Err(Wrong::new(format!("`AS{number}` is no continent, country or place")).help(help));
        }
        // A region of more systems than the list has would let the others through.
        let is_let_through = |asns: &[u32]| asns.contains(&number) && asns.iter().all(|asn| listed.contains(asn));
        if self.regions.iter().any(|(_, asns)| is_let_through(asns)) {
            return Ok(Area::Asn(number));
        }
        let message = format!("no region consists of AS{number} alone, and clients are told apart by regions");
        let help = match self.regions.iter().find(|(_, asns)| asns.contains(&number)) {
            Some((shared, _)) => format!(
                "write `\"{shared}\"` for the whole of that region, or make one of it alone: `[region.NAME]` with \
                 `asns = [{number}]`"
            ),
            None => format!("make one: `[region.NAME]` with `asns = [{number}]`"),
        };
        Err(Wrong::new(message).help(help))
    }

    fn region(&self, name: &str, barrier: Barrier) -> Reading<Area> {
        if barrier == Barrier::Within {
            let help = "write continents or countries, such as `\"EU\"` or `\"DE\"`, or places of nodes";
            return Err(Wrong::new(format!("`{name}` is a region: `within` takes no regions")).help(help));
        }
        if self.has_region(name) {
            return Ok(Area::Region(name.to_owned()));
        }
        if self.has_place(name) {
            let message = format!("`{name}` is a place: `serves` says which clients a node serves");
            return Err(Wrong::new(message).help("write regions, countries, continents or autonomous systems"));
        }
        Err(unknown("region", name, self.regions.iter().map(|(known, _)| known.as_str())))
    }

    fn place(&self, name: &str, barrier: Barrier) -> Reading<Area> {
        if barrier == Barrier::Serves {
            let message = format!("`{name}` is a place: `serves` says which clients a node serves");
            return Err(Wrong::new(message).help("write regions, countries, continents or autonomous systems"));
        }
        if self.has_place(name) {
            return Ok(Area::Place(name.to_owned()));
        }
        if self.has_region(name) {
            return self.region(name, barrier);
        }
        Err(unknown("place", name, self.places.iter().map(String::as_str)))
    }

    fn has_region(&self, name: &str) -> bool {
        self.regions.iter().any(|(known, _)| known == name)
    }

    fn has_place(&self, name: &str) -> bool {
        self.places.iter().any(|known| known == name)
    }
}

fn continent(code: &str) -> Option<Area> {
    CONTINENTS.contains(&code).then(|| Area::Continent(code.to_owned()))
}

fn country(code: &str) -> Option<Area> {
    Countries::embedded().get(code).map(|country| Area::Country(country.code.clone()))
}

/// The number in `AS3320`.
fn autonomous_system(word: &str) -> Option<u32> {
    let digits = word.strip_prefix("AS")?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&number| is_number && number > 0)
}

fn no_code(kind: &str, code: &str) -> Wrong {
    let meant = match kind {
        "continent" => Some(code.to_uppercase()).filter(|upper| CONTINENTS.contains(&upper.as_str())),
        _ => Countries::embedded().nearest(code).map(str::to_owned),
    };
    let codes = match kind {
        "continent" => "continents are AF, AN, AS, EU, NA, OC and SA",
        _ => "countries have the codes of ISO 3166-1, such as `DE`",
    };
    let help = meant.map_or_else(|| codes.to_owned(), |meant| format!("did you mean `{meant}`?"));
    Wrong::new(format!("there is no {kind} `{code}`")).help(help)
}

/// What is neither a code nor a name, and what it may have been meant to be.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Wrong {
    let upper = name.to_uppercase();
    let is_code = upper.len() == 2 && (continent(&upper).is_some() || country(&upper).is_some());
    let help = match did_you_mean(name, known) {
        Some(help) => help,
        None if is_code || autonomous_system(&upper).is_some() => write(upper),
        None if autonomous_system(&format!("AS{name}")).is_some() => write(format!("AS{name}")),
        None => {
            format!("a {what} is made by a table `[{what}.{name}]`; countries and continents have two capital letters")
        }
    };
    Wrong::new(format!("there is no {what} `{name}`")).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atlas() -> Atlas {
        let region = |name: &str, asns: &[u32]| (name.to_owned(), asns.to_vec());
        let regions = vec![region("telekom", &[3320]), region("isps", &[1, 2]), region("CH", &[])];
        Atlas { regions, places: vec!["fra".to_owned(), "AT".to_owned()] }
    }

    fn found(word: &str, barrier: Barrier) -> Result<Area, String> {
        atlas()
            .areas(&[Written::default(word.to_owned())], barrier)
            .remove(0)
            .map_err(|wrong| crate::diagnostic::Diagnostic::from(wrong).to_string())
    }

    #[test]
    fn words_are_the_areas_that_they_name() {
        let [continent, country, region, place] = [Area::Continent, Area::Country, Area::Region, Area::Place]
            .map(|kind: fn(String) -> Area| move |name: &str| kind(name.to_owned()));
        for (word, barrier, area) in [
            ("EU", Barrier::Serves, continent("EU")),
            ("OC", Barrier::Within, continent("OC")),
            ("continent:NA", Barrier::Serves, continent("NA")),
            ("country:NA", Barrier::Within, country("NA")),
            ("DE", Barrier::Within, country("DE")),
            ("AS3320", Barrier::Serves, Area::Asn(3320)),
            ("telekom", Barrier::Serves, region("telekom")),
            ("region:telekom", Barrier::Serves, region("telekom")),
            ("region:CH", Barrier::Serves, region("CH")),
            ("CH", Barrier::Within, country("CH")),
            ("fra", Barrier::Within, place("fra")),
            ("place:AT", Barrier::Within, place("AT")),
            ("AT", Barrier::Serves, country("AT")),
        ] {
            assert_eq!(found(word, barrier), Ok(area), "{word}");
        }
    }

    #[test]
    fn autonomous_systems_are_let_through_by_whole_regions() {
        let all_sound = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|&word| Written::default(word.to_owned())).collect();
            atlas().areas(&words, Barrier::Serves).iter().all(Result::is_ok)
        };
        assert!(all_sound(&["AS3320"]) && all_sound(&["AS2", "AS1"]));
        assert!(!all_sound(&["AS1"]) && !all_sound(&["AS3"]));
    }

    #[test]
    fn what_may_mean_two_things_is_refused() {
        for (word, barrier) in [
            ("AF", Barrier::Serves),
            ("AS", Barrier::Within),
            ("NA", Barrier::Serves),
            ("SA", Barrier::Within),
            // A country, and a region or a place of the configuration.
            ("CH", Barrier::Serves),
            ("AT", Barrier::Within),
        ] {
            assert!(found(word, barrier).is_err_and(|wrong| wrong.contains(" and a ")), "{word}");
        }
    }
}
