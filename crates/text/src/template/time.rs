//! The clock that a template may ask, given by the caller.

/// A moment on the wall clock of the person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalTime {
    /// Seconds since 1970-01-01 00:00 on the local wall clock.
    seconds: i64,
    /// What the local clock is ahead of UTC, in seconds.
    offset: i32,
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Years 0 to 9999, so that no sum overflows and a year has four digits.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl LocalTime {
    /// The moment `unix_seconds` after 1970-01-01 00:00 UTC, where the clock is `utc_offset_seconds` ahead of UTC.
    /// Moments outside of the years 0 to 9999 are moved to the nearest inside.
    pub fn from_unix(unix_seconds: i64, utc_offset_seconds: i32) -> Self {
        let seconds = unix_seconds.saturating_add(i64::from(utc_offset_seconds));
        Self { seconds: seconds.clamp(*RANGE.start(), *RANGE.end()), offset: utc_offset_seconds }
    }

    /// Year, month 1 to 12, day 1 to 31, by the Gregorian calendar.
    fn date(self) -> (i64, usize, i64) {
        // Days counted from 0000-03-01, so that the leap day is the last of its year; 400 years are 146,097 days.
        let days = self.seconds.div_euclid(86_400) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + next, usize::try_from(month).unwrap_or(1), day)
    }

    /// The moment as C's and Python's `strftime` write it, in the C locale. An unknown directive stays as it is.
    pub(super) fn format(self, format: &str) -> String {
        let (year, month, day) = self.date();
        let clock = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let weekday =
            usize::try_from((self.seconds.div_euclid(86_400) + 4).rem_euclid(7)).unwrap_or(0);
        let first = Self::january_first(year);
        let of_year = self.seconds.div_euclid(86_400) - first + 1;
        let half = if hour < 12 { "AM" } else { "PM" };
        let (sign, ahead) = if self.offset < 0 {
            ('-', -i64::from(self.offset))
        } else {
            ('+', i64::from(self.offset))
        };
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let mut directive = letters.next();
            let bare = directive == Some('-');
            if bare {
                directive = letters.next();
            }
            let two = |number: i64| if bare { number.to_string() } else { format!("{number:02}") };
            match directive {
                Some('Y') => out += &year.to_string(),
                Some('y') => out += &two(year % 100),
                Some('m') => out += &two(month as i64),
                Some('d') => out += &two(day),
                Some('e') => out += &if bare { day.to_string() } else { format!("{day:2}") },
                Some('H') => out += &two(hour),
                Some('I') => out += &two(hour12),
                Some('M') => out += &two(minute),
                Some('S') => out += &two(second),
                Some('f') => out += "000000",
                Some('j') => {
                    out += &if bare { of_year.to_string() } else { format!("{of_year:03}") }
                }
                Some('p') => out += half,
                Some('A') => out += DAYS[weekday],
                Some('a') => out += &DAYS[weekday][..3],
                Some('w') => out += &weekday.to_string(),
                Some('u') => out += &((weekday + 6) % 7 + 1).to_string(),
                Some('B') => out += MONTHS[month - 1],
                Some('b' | 'h') => out += &MONTHS[month - 1][..3],
                Some('F') => out += &self.format("%Y-%m-%d"),
                Some('T' | 'X') => out += &self.format("%H:%M:%S"),
                Some('R') => out += &self.format("%H:%M"),
                Some('D' | 'x') => out += &self.format("%m/%d/%y"),
                Some('c') => out += &self.format("%a %b %e %H:%M:%S %Y"),
                Some('z') => out += &format!("{sign}{:02}{:02}", ahead / 3_600, ahead / 60 % 60),
                Some('s') => out += &(self.seconds - i64::from(self.offset)).to_string(),
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('%') => out.push('%'),
                Some(other) => {
                    out += if bare { "%-" } else { "%" };
                    out.push(other);
                }
                None => out += if bare { "%-" } else { "%" },
            }
        }
        out
    }

    /// Days from 1970-01-01 to the first of January of `year`.
    fn january_first(year: i64) -> i64 {
        let before = year - 1;
        365 * year + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
            - 719_162
            - 365
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives() {
        // 2024-02-29 23:05:09 UTC, a Thursday, seen two hours ahead on a Friday.
        let late = LocalTime::from_unix(1_709_247_909, 0);
        assert_eq!(
            late.format("%Y-%m-%d %H:%M:%S %A %a %B %b %j %I %p"),
            "2024-02-29 23:05:09 Thursday Thu February Feb 060 11 PM"
        );
        assert_eq!(
            LocalTime::from_unix(1_709_247_909, 7_200).format("%d %b %Y, %-H:%M %z %w %u %e"),
            "01 Mar 2024, 1:05 +0200 5 5  1"
        );
        assert_eq!(
            late.format("%F %T %R %D %y %-d %% %Q %"),
            "2024-02-29 23:05:09 23:05 02/29/24 24 29 % %Q %"
        );
        assert_eq!(
            LocalTime::from_unix(0, -3_600).format("%c %z %s"),
            "Wed Dec 31 23:00:00 1969 -0100 0"
        );
        assert_eq!(LocalTime::from_unix(978_307_199, 0).format("%F %j"), "2000-12-31 366");
        assert_eq!(LocalTime::from_unix(978_307_200, 0).format("%F %j"), "2001-01-01 001");
        assert_eq!(LocalTime::from_unix(i64::MAX, 0).format("%F"), "9999-12-31");
        assert_eq!(LocalTime::from_unix(i64::MIN, 0).format("%m-%d"), "01-01");
    }
}
