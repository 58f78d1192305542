//! URLs of a node for viewers, by protocol: `rtmp://{address}/{stream}`.
#![deny(clippy::disallowed_methods)]

/// A text with placeholders in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(&'static str),
}

impl Template {
    /// What can stand in braces: the node's address, IPv6 in brackets; its name; the stream or room; the service's name.
    pub const PLACEHOLDERS: [&str; 4] = ["address", "node", "stream", "name"];
    /// What viewers speak.
    pub const PROTOCOLS: [&str; 9] = ["rtmp", "rtmps", "flv", "hls", "dash", "srt", "webrtc", "whip", "whep"];

    /// Reads a template; an error is a placeholder that is not known, or a brace that has no other.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, behind) = after.split_once('}').ok_or_else(|| "{".to_owned())?;
            let known = Self::PLACEHOLDERS.into_iter().find(|known| *known == word);
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Placeholder(known.ok_or_else(|| format!("{{{word}}}"))?));
            rest = behind;
        }
        if rest.contains('}') {
            return Err("}".to_owned());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The text with what stands for each placeholder.
    pub fn fill(&self, what: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(word) => what(word),
        };
        self.parts.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_unknown_ones_told() {
        let template = Template::parse("rtmp://{address}:1935/{stream}").unwrap();
        assert_eq!(template.fill(str::to_uppercase), "rtmp://ADDRESS:1935/STREAM");
        for (text, wrong) in [("a{host}b", "{host}"), ("a{b", "{"), ("a}b", "}"), ("{}", "{}")] {
            assert_eq!(Template::parse(text), Err(wrong.to_owned()));
        }
    }
}
