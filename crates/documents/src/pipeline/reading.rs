//! What was read on a page, by whom, and what it took.

use serde_json::{Map, Value, json};

use super::FrontMatter;

/// Who read a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reader {
    /// A vision model, by the name of the one that answered.
    Model(String),
    /// A program of the system that recognises characters, by its name and version.
    Engine(String),
    /// Nobody: the text is what the file itself holds.
    TextLayer,
}

impl Reader {
    /// Its sort, as it is written in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Model(_) => "model",
            Self::Engine(_) => "ocr_engine",
            Self::TextLayer => "text_layer",
        }
    }

    /// Its name; empty for the text layer.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(name) | Self::Engine(name) => name,
            Self::TextLayer => "",
        }
    }
}

/// The text of a page as somebody read it.
#[derive(Clone, Debug, PartialEq)]
pub struct PageReading {
    /// The page's number, from 1.
    pub number: u32,
    /// What is said of it besides.
    pub front_matter: FrontMatter,
    /// The text, as markdown; `None` for a page without any.
    pub text: Option<String>,
    /// Who read it.
    pub by: Reader,
    /// Whether this is not what was wanted: all attempts of the model that was asked first failed.
    pub fallback: bool,
    /// Why those failed, if they did: what the last of them met.
    pub because: Option<String>,
    /// Tokens of the prompt of the attempt that was taken.
    pub input_tokens: u64,
    /// Tokens of its answer.
    pub output_tokens: u64,
    /// How many attempts were made before it: 0 if the first was taken.
    pub attempt: u32,
    /// By how many degrees the picture was turned for it, counter-clockwise: 0, 90, 180 or 270.
    pub turned: u16,
    /// Seconds from the first attempt to the end of the last.
    pub seconds: f64,
}

impl PageReading {
    /// A page whose own text is its text.
    pub fn of_text_layer(number: u32, text: Option<String>) -> Self {
        Self {
            number,
            front_matter: FrontMatter::default(),
            text,
            by: Reader::TextLayer,
            fallback: false,
            because: None,
            input_tokens: 0,
            output_tokens: 0,
            attempt: 0,
            turned: 0,
            seconds: 0.0,
        }
    }

    /// As JSON, from which [`from_json`](Self::from_json) makes the same again.
    pub fn to_json(&self) -> Value {
        let front = &self.front_matter;
        let mut out = json!({
            "page": self.number,
            "primary_language": front.primary_language,
            "is_rotation_valid": front.is_rotation_valid,
            "rotation_correction": front.rotation_correction,
            "is_table": front.is_table,
            "is_diagram": front.is_diagram,
            "read_by": self.by.kind(),
            "reader": self.by.name(),
            "fallback": self.fallback,
            "attempt": self.attempt,
            "turned": self.turned,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": self.seconds,
            "text": self.text,
        });
        if let Some(because) = &self.because {
            out["because"] = because.as_str().into();
        }
        out
    }

    /// What [`to_json`](Self::to_json) wrote; `None` for anything else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let number = |name: &str| fields.get(name)?.as_u64();
        let truth = |name: &str| fields.get(name)?.as_bool();
        let name = fields.get("reader")?.as_str()?.to_owned();
        let by = match fields.get("read_by")?.as_str()? {
            "model" => Reader::Model(name),
            "ocr_engine" => Reader::Engine(name),
            "text_layer" => Reader::TextLayer,
            _ => return None,
        };
        let turn = |name: &str| u16::try_from(number(name)?).ok().filter(|turn| turn % 90 == 0);
        Some(Self {
            number: u32::try_from(number("page")?).ok()?,
            front_matter: FrontMatter {
                primary_language: text(fields, "primary_language")?,
                is_rotation_valid: truth("is_rotation_valid")?,
                rotation_correction: turn("rotation_correction")?,
                is_table: truth("is_table")?,
                is_diagram: truth("is_diagram")?,
            },
            text: text(fields, "text")?,
            by,
            fallback: truth("fallback")?,
            because: fields.get("because").and_then(Value::as_str).map(str::to_owned),
            input_tokens: number("input_tokens")?,
            output_tokens: number("output_tokens")?,
            attempt: u32::try_from(number("attempt")?).ok()?,
            turned: turn("turned")?,
            seconds: fields.get("seconds")?.as_f64()?,
        })
    }
}

/// A text or null; `None` if it is neither.
#[expect(clippy::option_option, reason = "null, and what is no text")]
fn text(fields: &Map<String, Value>, name: &str) -> Option<Option<String>> {
    match fields.get(name)? {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_survives_json() {
        let mut reading = PageReading::of_text_layer(7, Some("words".to_owned()));
        assert_eq!(PageReading::from_json(&reading.to_json()), Some(reading.clone()));
        reading.front_matter = FrontMatter {
            primary_language: Some("de".to_owned()),
            is_rotation_valid: false,
            rotation_correction: 270,
            is_table: true,
            is_diagram: true,
        };
        reading.by = Reader::Model("eyes".to_owned());
        (reading.text, reading.fallback, reading.attempt, reading.turned) = (None, true, 3, 90);
        (reading.input_tokens, reading.output_tokens, reading.seconds) = (1700, 12, 1.5);
        reading.because = Some("it looped".to_owned());
        assert_eq!(PageReading::from_json(&reading.to_json()), Some(reading.clone()));
        for broken in [
            json!({}),
            json!([]),
            {
                let mut v = reading.to_json();
                v["turned"] = 45.into();
                v
            },
            {
                let mut v = reading.to_json();
                v["text"] = 1.into();
                v
            },
            {
                let mut v = reading.to_json();
                v["read_by"] = "x".into();
                v
            },
        ] {
            assert_eq!(PageReading::from_json(&broken), None, "{broken}");
        }
    }
}
