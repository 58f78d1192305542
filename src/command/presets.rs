//! `thalweg presets`: the rules by which exporters are read.

use super::table::aligned;
use super::{SUCCESS, USAGE};
use crate::config::{embedded_presets, preset_text};
use crate::diagnostic::nearest;
use crate::pool::Resource;

/// Lists the presets of the program, or shows one as it was written: it can be pasted below `[preset.NAME]`.
pub fn presets(name: Option<&str>) -> u8 {
    let presets = embedded_presets();
    let Some(name) = name else {
        let rows = presets.values().map(|preset| {
            let mut resources: Vec<&Resource> = preset.rules.iter().map(|rule| &rule.resource).collect();
            resources.sort();
            resources.dedup();
            let resources: Vec<String> = resources.into_iter().map(ToString::to_string).collect();
            vec![preset.name.clone(), preset.about.clone(), resources.join(", ")]
        });
        print!("{}", aligned(&["preset", "reads", "resources"], rows));
        return SUCCESS;
    };
    if let Some(text) = preset_text(name) {
        print!("{text}");
        return SUCCESS;
    }
    let meant = nearest(name, presets.keys().map(String::as_str)).map(|meant| format!("; did you mean `{meant}`?"));
    eprintln!("thalweg: there is no preset `{name}`{}", meant.unwrap_or_default());
    USAGE
}
