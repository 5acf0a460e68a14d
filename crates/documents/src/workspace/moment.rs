//! Moments as text, in the one form that is written here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// A moment of UTC to the second, such as `2001-02-03T04:05:06Z` (RFC 3339). What is before 1970 is written as its
/// beginning.
pub fn write(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads what [`write()`] wrote.
pub fn read(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (days, time) = text.split_once('T')?;
    let numbers = |text: &str, mark: char| -> Option<[u64; 3]> {
        let plain =
            |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let mut parts = text.split(mark).map(|part| plain(part).then(|| part.parse().ok())?);
        let out = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(out)
    };
    let [year, month, day] = numbers(days, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let whole = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !whole {
        return None;
    }
    let seconds = day_number(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The day of the calendar that is so many days after the first of 1970: years begin in March, so that leap days end
/// them.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Days from the first of 1970 to a day after it.
fn day_number(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_elsewhere() {
        // date --utc --date=@N +%FT%TZ
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in cases {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(write(moment), text);
            assert_eq!(read(text), Some(moment));
        }
        for day in 0..60_000 {
            let moment = UNIX_EPOCH + Duration::from_secs(day * DAY);
            assert_eq!(read(&write(moment)), Some(moment));
        }
        for bad in [
            "",
            "Z",
            "2024-02-29",
            "2024-02-29T12:34Z",
            "2024-13-01T00:00:00Z",
            "1960-01-01T00:00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z ",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
