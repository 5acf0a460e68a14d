//! Days, as filters compare them.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A day of the Gregorian calendar, between the years 0 and 9999. Written `2024-05-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// A day that exists; none if it does not.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year <= 9999 && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let shape: Vec<_> = text.split('-').collect();
            let &[year, month, day] = shape.as_slice() else { return None };
            let whole = [(year, 4), (month, 2), (day, 2)]
                .iter()
                .all(|(part, len)| part.len() == *len && part.bytes().all(|b| b.is_ascii_digit()));
            let date = || Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
            whole.then(date).flatten()
        };
        parse().ok_or_else(|| Error::Value {
            what: "date",
            value: text.chars().take(40).collect(),
            allowed: "a day written YEAR-MONTH-DAY, as 2024-05-31",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_exist_are_read_and_written() {
        for text in ["2024-02-29", "2000-02-29", "0000-01-01", "9999-12-31", "2023-04-30"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2023-02-29",
            "1900-02-29",
            "2023-04-31",
            "2023-13-01",
            "2023-00-01",
            "2023-01-00",
            "23-01-01",
            "2023-1-1",
            "2023-01-01T",
            "+023-01-01",
            "2023-01-01-01",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn later_days_are_greater() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert!(day("2023-12-31") < day("2024-01-01"));
        assert!(day("2024-01-31") < day("2024-02-01"));
    }
}
