//! The head of an answer: five lines of YAML between dashes, and the text after them.
//!
//! Models write Python's and YAML's words alike, so both are taken. What a reader of YAML 1.1 would make of a language
//! called `no` is not: here it is Norwegian.

use std::fmt;

/// What a model says of a page besides its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontMatter {
    /// The language that most of the text is in, as the model names it.
    pub primary_language: Option<String>,
    /// Whether the page stands upright.
    pub is_rotation_valid: bool,
    /// By how many degrees it is to be turned to stand upright, counter-clockwise: 0, 90, 180 or 270.
    pub rotation_correction: u16,
    /// Whether most of the page is a table.
    pub is_table: bool,
    /// Whether most of the page is a diagram.
    pub is_diagram: bool,
}

impl Default for FrontMatter {
    /// What is said of a page that no model looked at.
    fn default() -> Self {
        Self {
            primary_language: None,
            is_rotation_valid: true,
            rotation_correction: 0,
            is_table: false,
            is_diagram: false,
        }
    }
}

/// Why an answer has no head that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrontMatterFault {
    /// It does not begin with a line of three dashes.
    NoStart,
    /// No line of three dashes ends it.
    NoEnd,
    /// A line of it is no `name: value`.
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// A field is missing.
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field that nobody asked for.
    Unknown {
        /// Its name, shortened.
        field: String,
    },
    /// A field's value is of the wrong sort.
    Value {
        /// Which field.
        field: &'static str,
    },
}

impl fmt::Display for FrontMatterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStart => f.write_str("the answer does not begin with front matter"),
            Self::NoEnd => f.write_str("the front matter has no end"),
            Self::Line { line } => write!(f, "line {line} of the front matter is no `name: value`"),
            Self::Missing { field } => write!(f, "the front matter has no `{field}`"),
            Self::Unknown { field } => {
                write!(f, "the front matter has a field `{field}`, which nobody asked for")
            }
            Self::Value { field } => {
                write!(f, "the value of `{field}` in the front matter is of the wrong sort")
            }
        }
    }
}

const FIELDS: [&str; 5] =
    ["primary_language", "is_rotation_valid", "rotation_correction", "is_table", "is_diagram"];

/// Divides an answer into its head and its text; `None` is a page without text.
///
/// # Errors
/// If there is no head, or one that cannot be used.
pub fn parse(answer: &str) -> Result<(FrontMatter, Option<String>), FrontMatterFault> {
    let rest = answer.strip_prefix("---\n").ok_or(FrontMatterFault::NoStart)?;
    let end = rest.find("\n---").ok_or(FrontMatterFault::NoEnd)?;
    let (head, body) = (&rest[..end], rest[end + 4..].trim());
    let mut found: [Option<Scalar<'_>>; 5] = [None; 5];
    for (at, line) in head.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (name, value) = entry(line).ok_or(FrontMatterFault::Line { line: at + 1 })?;
        let field = FIELDS
            .iter()
            .position(|field| *field == name)
            .ok_or_else(|| FrontMatterFault::Unknown { field: name.chars().take(40).collect() })?;
        // As in YAML's libraries, the last one counts.
        found[field] = Some(value);
    }
    let [language, valid, correction, table, diagram] = found;
    let missing = |at: usize| FrontMatterFault::Missing { field: FIELDS[at] };
    let wrong = |at: usize| FrontMatterFault::Value { field: FIELDS[at] };
    let front_matter = FrontMatter {
        primary_language: language.ok_or(missing(0))?.language().ok_or(wrong(0))?,
        is_rotation_valid: valid.ok_or(missing(1))?.truth().ok_or(wrong(1))?,
        rotation_correction: correction.ok_or(missing(2))?.quarter().ok_or(wrong(2))?,
        is_table: table.ok_or(missing(3))?.truth().ok_or(wrong(3))?,
        is_diagram: diagram.ok_or(missing(4))?.truth().ok_or(wrong(4))?,
    };
    Ok((front_matter, (!body.is_empty()).then(|| body.to_owned())))
}

/// A value on one line.
#[derive(Clone, Copy, Debug)]
struct Scalar<'a> {
    text: &'a str,
    /// Text in quotes is nothing but text.
    quoted: bool,
}

/// The name and the value of a line.
fn entry(line: &str) -> Option<(&str, Scalar<'_>)> {
    if line.starts_with([' ', '\t']) {
        return None;
    }
    let (name, value) = line.split_once(':')?;
    if !value.is_empty() && !value.starts_with([' ', '\t']) {
        return None;
    }
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            let (inner, after) = inner.split_once(quote)?;
            let after = after.trim();
            let plain = !inner.contains('\\') && (after.is_empty() || after.starts_with('#'));
            return plain.then_some((name.trim(), Scalar { text: inner, quoted: true }));
        }
    }
    let bare = match value.find(" #") {
        _ if value.starts_with('#') => "",
        Some(at) => value[..at].trim_end(),
        None => value,
    };
    let nested = bare.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@', '`'])
        || bare.contains(": ")
        || bare.ends_with(':')
        || bare.starts_with("- ");
    (!nested).then_some((name.trim(), Scalar { text: bare, quoted: false }))
}

impl Scalar<'_> {
    fn is_null(self) -> bool {
        !self.quoted && matches!(self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// What YAML 1.1 holds to be true or false.
    fn boolean(self) -> Option<bool> {
        const TRUE: [&str; 3] = ["true", "yes", "on"];
        const FALSE: [&str; 3] = ["false", "no", "off"];
        if self.quoted {
            return None;
        }
        let is = |word: &&str| {
            let mut capital = word.chars();
            let first = capital.next().map(|c| c.to_ascii_uppercase());
            let capital: String = first.into_iter().chain(capital).collect();
            self.text == *word || self.text == capital || self.text == word.to_ascii_uppercase()
        };
        if TRUE.iter().any(is) {
            return Some(true);
        }
        FALSE.iter().any(is).then_some(false)
    }

    fn is_number(self) -> bool {
        let digits = self.text.trim_start_matches(['+', '-']);
        !self.quoted
            && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.chars().any(|c| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_' | 'e' | 'E'))
    }

    #[expect(clippy::option_option, reason = "a language that is wrong, and one that is not there")]
    fn language(self) -> Option<Option<String>> {
        if self.is_null() || (self.quoted && self.text.is_empty()) {
            return Some(None);
        }
        if self.is_number() {
            return None;
        }
        Some(match self.text {
            // Python's word, which training texts had.
            "None" | "none" => None,
            "no" | "No" | "NO" => Some(self.text.to_ascii_lowercase()),
            _ if self.boolean().is_some() => None,
            text => Some(text.to_owned()),
        })
    }

    fn truth(self) -> Option<bool> {
        if self.is_null() || self.is_number() {
            return None;
        }
        Some(self.boolean().unwrap_or_else(|| self.text.eq_ignore_ascii_case("true")))
    }

    fn quarter(self) -> Option<u16> {
        let text = self.text.trim();
        let degrees: u16 = text.strip_prefix('+').unwrap_or(text).parse().ok()?;
        matches!(degrees, 0 | 90 | 180 | 270).then_some(degrees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: [&str; 5], body: &str) -> String {
        let lines: Vec<String> =
            FIELDS.iter().zip(fields).map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("---\n{}---{body}", lines.concat())
    }

    const GOOD: [&str; 5] = ["en", "True", "0", "False", "false"];

    fn with(at: usize, value: &str) -> String {
        let mut fields = GOOD;
        fields[at] = value;
        answer(fields, "\ntext")
    }

    #[test]
    fn a_whole_answer_is_divided() {
        let (front, text) = parse(&answer(GOOD, "\n\n# Title\n\nwords\n---\nmore\n")).unwrap();
        assert_eq!(front.primary_language.as_deref(), Some("en"));
        assert!(front.is_rotation_valid && !front.is_table && !front.is_diagram);
        assert_eq!(text.as_deref(), Some("# Title\n\nwords\n---\nmore"));
        // Text on the line of the dashes is kept.
        assert_eq!(parse(&answer(GOOD, " same line")).unwrap().1.as_deref(), Some("same line"));
        assert_eq!(parse(&answer(GOOD, "")).unwrap().1, None);
        assert_eq!(parse(&answer(GOOD, "\n \n\t\n")).unwrap().1, None);
    }

    #[test]
    fn languages() {
        let cases: [(&str, Result<Option<&str>, ()>); 15] = [
            ("en", Ok(Some("en"))),
            ("null", Ok(None)),
            ("~", Ok(None)),
            ("", Ok(None)),
            ("None", Ok(None)),
            ("none", Ok(None)),
            ("no", Ok(Some("no"))),
            ("NO", Ok(Some("no"))),
            ("yes", Ok(None)),
            ("on", Ok(None)),
            ("'de'", Ok(Some("de"))),
            ("\"no\"", Ok(Some("no"))),
            ("pt-BR # Brazil", Ok(Some("pt-BR"))),
            ("3", Err(())),
            ("1.5", Err(())),
        ];
        for (given, expected) in cases {
            let found = parse(&with(0, given)).map(|(front, _)| front.primary_language);
            let expected = expected.map(|language| language.map(str::to_owned));
            assert_eq!(found.map_err(|_| ()), expected, "{given}");
        }
    }

    #[test]
    fn truths() {
        for (given, expected) in [
            ("true", Some(true)),
            ("True", Some(true)),
            ("TRUE", Some(true)),
            ("yes", Some(true)),
            ("on", Some(true)),
            ("\"true\"", Some(true)),
            ("'tRuE'", Some(true)),
            ("false", Some(false)),
            ("No", Some(false)),
            ("off", Some(false)),
            ("perhaps", Some(false)),
            ("\"yes\"", Some(false)),
            ("1", None),
            ("0", None),
            ("null", None),
        ] {
            let found = parse(&with(3, given)).ok().map(|(front, _)| front.is_table);
            assert_eq!(found, expected, "{given}");
        }
    }

    #[test]
    fn corrections() {
        for (given, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("\"180\"", Some(180)),
            ("+270", Some(270)),
            ("45", None),
            ("360", None),
            ("-90", None),
            ("90.0", None),
            ("true", None),
            ("", None),
        ] {
            let found = parse(&with(2, given)).ok().map(|(front, _)| front.rotation_correction);
            assert_eq!(found, expected, "{given}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fault = |text: &str| parse(text).unwrap_err();
        assert_eq!(fault(""), FrontMatterFault::NoStart);
        assert_eq!(fault(&format!("\n{}", answer(GOOD, ""))), FrontMatterFault::NoStart);
        assert_eq!(fault(&format!("```\n{}", answer(GOOD, ""))), FrontMatterFault::NoStart);
        assert_eq!(fault("----\n---"), FrontMatterFault::NoStart);
        assert_eq!(fault("---\nprimary_language: en\n"), FrontMatterFault::NoEnd);
        assert_eq!(fault("---\n---\ntext"), FrontMatterFault::NoEnd);
        assert_eq!(fault("---\n\n---\ntext"), FrontMatterFault::Missing { field: FIELDS[0] });
        let without = answer(GOOD, "").replace("is_table: False\n", "");
        assert_eq!(fault(&without), FrontMatterFault::Missing { field: "is_table" });
        let more = answer(GOOD, "").replace("is_table", "mood: good\nis_table");
        assert_eq!(fault(&more), FrontMatterFault::Unknown { field: "mood".to_owned() });
        for line in ["is_table", "is_table:yes", "  is_table: yes", "is_table: [1]", "a: b: c"] {
            let text = answer(GOOD, "").replace("is_table: False", line);
            assert_eq!(fault(&text), FrontMatterFault::Line { line: 4 }, "{line}");
        }
        assert_eq!(fault(&with(2, "45")), FrontMatterFault::Value { field: FIELDS[2] });
    }

    #[test]
    fn a_field_given_twice_counts_as_last_given() {
        let twice = answer(GOOD, "").replace("is_table: False", "is_table: False\nis_table: True");
        assert!(parse(&twice).unwrap().0.is_table);
    }
}
