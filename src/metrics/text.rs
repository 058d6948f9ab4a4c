//! Prometheus' text format, version 0.0.4: families, each with its samples behind it.
//!
//! Knows no metric. Must never be given a label's value that a peer chose without bound.

use std::fmt::Write;

/// A page under construction.
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    family: &'static str,
}

impl Text {
    /// The type of the page's content.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family, whose kind is "gauge" or "counter"; the samples that follow are its.
    pub fn family(&mut self, kind: &str, name: &'static str, help: &str) {
        self.family = name;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.family);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// The page.
    pub fn into_string(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_behind_its_family_with_its_labels_escaped() {
        let mut text = Text::default();
        text.family("gauge", "a_b", "What it is.");
        text.sample(&[], 1.5);
        text.sample(&[("c", "d"), ("e", "\"\\\n")], 1e15);
        assert_eq!(
            text.into_string(),
            "# HELP a_b What it is.\n# TYPE a_b gauge\na_b 1.5\na_b{c=\"d\",e=\"\\\"\\\\\\n\"} 1000000000000000\n"
        );
    }
}
