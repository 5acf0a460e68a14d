//! What a vision model is told, as it was told when it was trained.

/// The prompt of olmOCR 2's models, to the byte.
pub const PROMPT: &str = "Attached is one page of a document that you must process. \
Just return the plain text representation of this document as if you were reading it naturally. \
Convert equations to LateX and tables to HTML.\n\
If there are any figures or charts, label them with the following markdown syntax \
![Alt text describing the contents of the figure](page_startx_starty_width_height.png)\n\
Return your output as markdown, with a front matter section on top specifying values for the \
primary_language, is_rotation_valid, rotation_correction, is_table, and is_diagram parameters.";

/// What is added to [`PROMPT`] where headers and footers are wanted, which models were taught to leave out. Not all of them
/// heed it.
pub const KEEP_HEADERS: &str = "\nWrite the headers, the footers and the number of the page, too: \
at the top and at the bottom, as they stand there.";

/// What the answer to [`PROMPT`] is held to where the decoder can: five fixed lines, then anything or nothing.
pub const GUIDED_REGEX: &str = "---\nprimary_language: (?:[a-z]{2}|null)\n\
is_rotation_valid: (?:True|False|true|false)\n\
rotation_correction: (?:0|90|180|270)\n\
is_table: (?:True|False|true|false)\n\
is_diagram: (?:True|False|true|false)\n\
(?:---|---\n[\\s\\S]+)";

/// The temperatures of the attempts; the last is repeated.
pub const TEMPERATURES: [f32; 8] = [0.1, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0];

/// Tokens of prompt and answer together beyond which an answer counts as cut off.
pub const MOST_TOKENS: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_three_sentences_on_three_lines() {
        // Length and lines of the text that the models were trained with.
        assert_eq!(PROMPT.lines().count(), 3);
        assert_eq!(PROMPT.len(), 557);
        assert!(!PROMPT.contains("  "));
    }
}
