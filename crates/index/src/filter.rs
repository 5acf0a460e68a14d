//! Which pages a search looks at, as a condition of the database.

use rusqlite::types::Value;

use crate::{Date, Error, Result};

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this path.
    At(String),
    /// In this folder or below.
    Below(String),
    /// Where `*` stands for any characters, `?` for one, `[a-z]` for one of these; the rest is as it is
    /// written, capitals too.
    Like(String),
    /// The same of its last part alone, which is the file's name.
    Named(String),
}

/// Which pages a search looks at: those that all of it is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where the document is.
    pub place: Option<Place>,
    /// The first day; documents without one are left out.
    pub from: Option<Date>,
    /// The last day; documents without one are left out.
    pub to: Option<Date>,
    /// The category is one of these, if there are any.
    pub categories: Vec<String>,
    /// The first and the last page number.
    pub pages: Option<(u32, u32)>,
    /// Names and values of metadata, all of which the document has.
    pub metadata: Vec<(String, String)>,
}

/// The most categories and the most metadata.
const MOST: usize = 100;

/// The most bytes, and the most `*`, of a pattern: each `*` multiplies the time that comparing takes.
const MOST_PATTERN: (usize, usize) = (1000, 6);

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what would take the database too long.
    pub(crate) fn check(&self) -> Result<()> {
        let value = |what, value: String, allowed| Err(Error::Value { what, value, allowed });
        if let Some(Place::Like(pattern) | Place::Named(pattern)) = &self.place {
            let stars = pattern.bytes().filter(|&b| b == b'*').count();
            if pattern.len() > MOST_PATTERN.0 || stars > MOST_PATTERN.1 {
                return value("pattern", pattern.clone(), "at most 1000 bytes and 6 stars");
            }
        }
        let count = self.categories.len().max(self.metadata.len());
        if count > MOST {
            return value("categories or metadata", count.to_string(), "at most 100");
        }
        Ok(())
    }

    /// A condition on pages `p` and documents `d`, which begins with `AND` unless it is empty, and its
    /// values in their order.
    pub(crate) fn condition(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut and = |condition: &str, new: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(new);
        };
        match &self.place {
            Some(Place::At(path)) => and("d.path = ?", vec![path.clone().into()]),
            Some(Place::Below(folder)) => {
                // With one separator at its end, so that a folder is no prefix of another's name.
                let folder = folder.trim_end_matches(['/', '\\']);
                let condition = "substr(d.path, 1, length(?)) = ? \
                                 AND substr(d.path, length(?) + 1, 1) IN ('/', '\\')";
                and(condition, vec![folder.to_owned().into(); 3]);
            }
            Some(Place::Like(pattern)) => and("d.path GLOB ?", vec![pattern.clone().into()]),
            Some(Place::Named(pattern)) => {
                // What is left of a path without the characters at its end that are no separators is its folder.
                let folder = "rtrim(d.path, replace(d.path, '/', ''))";
                let condition = format!("substr(d.path, length({folder}) + 1) GLOB ?");
                and(&condition, vec![pattern.clone().into()]);
            }
            None => {}
        }
        if let Some(from) = self.from {
            and("d.date >= ?", vec![from.to_string().into()]);
        }
        if let Some(to) = self.to {
            and("d.date <= ?", vec![to.to_string().into()]);
        }
        if !self.categories.is_empty() {
            let marks = vec!["?"; self.categories.len()].join(", ");
            let values = self.categories.iter().cloned().map(Value::from).collect();
            and(&format!("d.category IN ({marks})"), values);
        }
        if let Some((first, last)) = self.pages {
            let values = vec![i64::from(first).into(), i64::from(last).into()];
            and("p.number BETWEEN ? AND ?", values);
        }
        for (name, value) in &self.metadata {
            let condition = "EXISTS (SELECT 1 FROM metadata m \
                             WHERE m.document_id = d.id AND m.name = ? AND m.value = ?)";
            and(condition, vec![name.clone().into(), value.clone().into()]);
        }
        (sql, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_filter_says_nothing() {
        assert!(Filter::default().is_empty());
        assert_eq!(Filter::default().condition(), (String::new(), Vec::new()));
    }

    /// Values never stand in the text.
    #[test]
    fn there_is_a_mark_for_each_value() {
        let evil = "'; DROP TABLE pages; --".to_owned();
        let text = || evil.clone();
        for place in
            [Place::At(text()), Place::Below(text()), Place::Like(text()), Place::Named(text())]
        {
            let filter = Filter {
                place: Some(place),
                from: Date::new(2024, 1, 1),
                to: Date::new(2024, 12, 31),
                categories: vec![evil.clone(), evil.clone()],
                pages: Some((1, 3)),
                metadata: vec![(evil.clone(), evil.clone())],
            };
            let (sql, values) = filter.condition();
            assert_eq!(sql.matches('?').count(), values.len());
            assert!(!sql.contains("DROP") && sql.starts_with(" AND "), "{sql}");
            assert!(filter.check().is_ok());
        }
    }

    #[test]
    fn what_takes_too_long_is_refused() {
        let like =
            |pattern: String| Filter { place: Some(Place::Like(pattern)), ..Filter::default() };
        assert!(like("*a*b*c*".into()).check().is_ok());
        assert!(like("*".repeat(7)).check().is_err());
        assert!(like("a".repeat(1001)).check().is_err());
        let named = Filter { place: Some(Place::Named("*".repeat(7))), ..Filter::default() };
        assert!(named.check().is_err());
        let many = Filter { categories: vec![String::new(); 101], ..Filter::default() };
        assert!(many.check().is_err());
    }
}
