//! What is written as heading, bold or in italics, in markdown and HTML.

/// The texts of a page that are written so.
pub(super) fn texts(format: &str, page: &str) -> Vec<String> {
    match format {
        "heading" => {
            let mut texts: Vec<String> = page.lines().filter_map(heading).collect();
            for level in 1..=6 {
                texts.extend(elements(page, &format!("h{level}")));
            }
            texts
        }
        "bold" => {
            let mut texts = between(page, "**");
            texts.extend(between(page, "__"));
            texts.extend(elements(page, "b"));
            texts.extend(elements(page, "strong"));
            texts
        }
        _ => {
            let mut texts = single(page, '*');
            texts.extend(single(page, '_'));
            texts.extend(elements(page, "i"));
            texts.extend(elements(page, "em"));
            texts
        }
    }
}

fn heading(line: &str) -> Option<String> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let spaced = text.starts_with(char::is_whitespace);
    ((1..=6).contains(&level) && spaced).then(|| text.trim_start().to_owned())
}

/// What stands between two of a mark.
fn between(page: &str, mark: &str) -> Vec<String> {
    let parts: Vec<&str> = page.split(mark).collect();
    // The last has no mark after it.
    let closed = parts.len().saturating_sub(1);
    parts[..closed].iter().skip(1).step_by(2).map(|part| (*part).to_owned()).collect()
}

/// What stands between two marks that stand alone.
fn single(page: &str, mark: char) -> Vec<String> {
    let mut texts = Vec::new();
    let mut open: Option<usize> = None;
    for (index, _) in page.match_indices(mark) {
        let after = index + mark.len_utf8();
        if page[..index].ends_with(mark) || page[after..].starts_with(mark) {
            continue;
        }
        match open.take() {
            Some(start) => texts.push(page[start..index].to_owned()),
            None => open = Some(after),
        }
    }
    texts
}

/// What is in an element of HTML, up to the first tag that ends one of its name.
fn elements(page: &str, name: &str) -> Vec<String> {
    let lower = page.to_ascii_lowercase();
    let (begin, end) = (format!("<{name}"), format!("</{name}>"));
    let mut texts = Vec::new();
    let mut from = 0;
    while let Some(start) = lower[from..].find(&begin).map(|start| start + from) {
        from = start + begin.len();
        let named = lower[from..].starts_with(|c: char| c == '>' || c.is_whitespace());
        let Some(open) = lower[from..].find('>').filter(|_| named).map(|open| open + from + 1)
        else {
            continue;
        };
        let Some(close) = lower[open..].find(&end).map(|close| close + open) else { break };
        texts.push(page[open..close].to_owned());
        from = close + end.len();
    }
    texts
}
