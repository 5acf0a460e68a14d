//! Formulas, compared as text. The benchmark draws both and compares where their symbols stand; here what does not show
//! is taken away, what is written in two ways is written in one, and the formula that is wanted must be a part of one that
//! is there.

/// A deeper formula is not taken apart.
const MOST_DEPTH: usize = 64;

/// Commands that show as others do, or as characters.
const SAME: [(&str, &str); 58] = [
    ("dfrac", "\\frac"),
    ("tfrac", "\\frac"),
    ("cfrac", "\\frac"),
    ("dbinom", "\\binom"),
    ("tbinom", "\\binom"),
    ("le", "\\leq"),
    ("leqslant", "\\leq"),
    ("ge", "\\geq"),
    ("geqslant", "\\geq"),
    ("ne", "\\neq"),
    ("to", "\\rightarrow"),
    ("gets", "\\leftarrow"),
    ("land", "\\wedge"),
    ("lor", "\\vee"),
    ("lnot", "\\neg"),
    ("owns", "\\ni"),
    ("iff", "\\Longleftrightarrow"),
    ("implies", "\\Longrightarrow"),
    ("stackrel", "\\overset"),
    ("lbrace", "\\{"),
    ("rbrace", "\\}"),
    ("lbrack", "["),
    ("rbrack", "]"),
    ("lvert", "|"),
    ("rvert", "|"),
    ("vert", "|"),
    ("mid", "|"),
    ("lVert", "\\|"),
    ("rVert", "\\|"),
    ("Vert", "\\|"),
    ("parallel", "\\|"),
    ("ast", "*"),
    ("colon", ":"),
    ("ldots", "\\dots"),
    ("dotsc", "\\dots"),
    ("dotso", "\\dots"),
    ("cdots", "\\dotsb"),
    ("dotsm", "\\dotsb"),
    ("dotsi", "\\dotsb"),
    ("emptyset", "\\varnothing"),
    ("hbar", "\\hslash"),
    ("thinspace", ""),
    ("quad", ""),
    ("qquad", ""),
    ("enspace", ""),
    ("displaystyle", ""),
    ("textstyle", ""),
    ("scriptstyle", ""),
    ("limits", ""),
    ("nolimits", ""),
    ("nonumber", ""),
    ("notag", ""),
    ("left", ""),
    ("right", ""),
    ("middle", ""),
    ("hfill", ""),
    ("centering", ""),
    ("boldmath", ""),
];

/// Commands that choose a typeface, a size or a kind of symbol for what follows, which is compared as it is.
const FACES: [&str; 40] = [
    "mathrm",
    "mathit",
    "mathbf",
    "mathsf",
    "mathtt",
    "mathcal",
    "mathbb",
    "mathfrak",
    "mathscr",
    "mathnormal",
    "boldsymbol",
    "bm",
    "pmb",
    "text",
    "textrm",
    "textit",
    "textbf",
    "textsf",
    "texttt",
    "textnormal",
    "mbox",
    "hbox",
    "operatorname",
    "mathop",
    "mathrel",
    "mathbin",
    "mathord",
    "mathopen",
    "mathclose",
    "mathpunct",
    "mathinner",
    "rm",
    "bf",
    "it",
    "cal",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "emph",
];

/// Functions whose names are letters.
const NAMES: [&str; 34] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos",
    "arctan", "log", "ln", "lg", "exp", "det", "dim", "deg", "ker", "hom", "arg", "gcd", "min",
    "max", "inf", "sup", "lim", "limsup", "liminf", "Pr", "mod", "bmod",
];

/// The formulas of a text, as the benchmark finds them: by `\(`, `\[`, and then `$$` and `$`, each taken out of the text
/// before the next are looked for.
pub(super) fn formulas(text: &str, dollars: bool) -> Vec<String> {
    let marks = [("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$")];
    let marks = &marks[..if dollars { 4 } else { 2 }];
    let mut found = Vec::new();
    let mut text = text.to_owned();
    for (begin, end) in marks {
        let mut left = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(begin) {
            let inside = &rest[start + begin.len()..];
            // There is at least one character inside.
            let first = inside.chars().next().map_or(0, char::len_utf8);
            let Some(length) = inside[first..].find(end).map(|length| length + first) else {
                break;
            };
            if first == 0 {
                break;
            }
            found.push(inside[..length].trim().to_owned());
            left.push_str(&rest[..start]);
            rest = &inside[length + end.len()..];
        }
        left.push_str(rest);
        text = left;
    }
    found
}

/// Whether a formula is the wanted one, or has it as a part.
pub(super) fn holds(found: &str, wanted: &str) -> bool {
    if found == wanted {
        return true;
    }
    let (found, wanted) = (symbols(found), symbols(wanted));
    !wanted.is_empty() && found.windows(wanted.len()).any(|part| part == wanted)
}

/// What shows of a formula, in one spelling.
fn symbols(formula: &str) -> Vec<String> {
    let mut reader = Reader { words: words(formula), next: 0, depth: 0 };
    let mut out = Vec::new();
    while reader.next < reader.words.len() {
        reader.one(&mut out);
        // A brace that closes nothing.
        if reader.peek() == Some("}") {
            reader.next += 1;
        }
    }
    out
}

/// A formula's characters and commands, without white space and comments.
fn words(formula: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = formula.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let mut word = String::from(c);
                match rest.next() {
                    Some(letter) if letter.is_ascii_alphabetic() => {
                        word.push(letter);
                        while let Some(letter) = rest.next_if(char::is_ascii_alphabetic) {
                            word.push(letter);
                        }
                        // The one command whose star says where limits stand.
                        if word == "\\operatorname" && rest.peek() == Some(&'*') {
                            rest.next();
                        }
                    }
                    Some(other) => word.push(other),
                    None => continue,
                }
                words.push(word);
            }
            '~' | '&' => {}
            _ if c.is_whitespace() => {}
            '\u{2212}' => words.push("-".to_owned()),
            '\u{2032}' => words.push("'".to_owned()),
            other => words.push(other.to_string()),
        }
    }
    words
}

struct Reader {
    words: Vec<String>,
    next: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.next).map(String::as_str)
    }

    /// What is in braces here, or the one symbol that stands here.
    fn argument(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        if self.peek() == Some("{") || self.peek().is_some_and(|word| word != "}") {
            self.one(&mut out);
        }
        out
    }

    /// What is in brackets here, if anything is.
    fn option(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        if self.peek() == Some("[") {
            self.next += 1;
            while self.peek().is_some_and(|word| word != "]") {
                let before = self.next;
                self.one(&mut out);
                if self.next == before {
                    break;
                }
            }
            self.next += usize::from(self.peek() == Some("]"));
        }
        out
    }

    /// The name in braces here: of an environment, a color, a label.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if self.peek() == Some("{") {
            self.next += 1;
            while let Some(word) = self.peek().filter(|word| *word != "}") {
                name.push_str(word);
                self.next += 1;
            }
            self.next += usize::from(self.peek().is_some());
        }
        name
    }

    /// Takes one symbol, group or command.
    fn one(&mut self, out: &mut Vec<String>) {
        let Some(word) = self.words.get(self.next).cloned() else { return };
        if word == "}" {
            return;
        }
        self.next += 1;
        if self.depth >= MOST_DEPTH {
            out.push(word);
            return;
        }
        self.depth += 1;
        match word.as_str() {
            "{" => {
                let start = out.len();
                while self.peek().is_some_and(|word| word != "}") {
                    if self.peek() == Some("\\choose") {
                        self.next += 1;
                        let above = out.split_off(start);
                        out.push("\\binom".to_owned());
                        group(above, out);
                        out.push("{".to_owned());
                        while self.peek().is_some_and(|word| word != "}") {
                            self.one(out);
                        }
                        out.push("}".to_owned());
                        break;
                    }
                    self.one(out);
                }
                self.next += usize::from(self.peek().is_some());
            }
            "^" | "_" | "'" => {
                self.next -= 1;
                self.scripts(out);
            }
            _ => match word.strip_prefix('\\') {
                Some(command) => self.command(command, out),
                None => out.push(word),
            },
        }
        self.depth -= 1;
    }

    /// What stands above and below, in one order.
    fn scripts(&mut self, out: &mut Vec<String>) {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                Some("_") => {
                    self.next += 1;
                    below.extend(self.argument());
                }
                Some("^") => {
                    self.next += 1;
                    above.extend(self.argument());
                }
                Some("'") => {
                    self.next += 1;
                    above.push("\\prime".to_owned());
                }
                _ => break,
            }
        }
        for (mark, script) in [("_", below), ("^", above)] {
            if !script.is_empty() {
                out.push(mark.to_owned());
                group(script, out);
            }
        }
    }

    fn command(&mut self, command: &str, out: &mut Vec<String>) {
        if let Some((_, same)) = SAME.iter().find(|(name, _)| *name == command) {
            // `\left.` shows nothing.
            if matches!(command, "left" | "right" | "middle") && self.peek() == Some(".") {
                self.next += 1;
            }
            match *same {
                "\\frac" | "\\binom" | "\\overset" => self.command(&same[1..], out),
                "" => {}
                same => out.push(same.to_owned()),
            }
            return;
        }
        let sized = command.trim_end_matches(['l', 'r', 'm']);
        if FACES.contains(&command) || ["big", "Big", "bigg", "Bigg"].contains(&sized) {
            return;
        }
        if NAMES.contains(&command) {
            out.extend(command.chars().map(String::from));
            return;
        }
        match command {
            "frac" | "binom" | "overset" | "underset" => {
                out.push(format!("\\{command}"));
                for _ in 0..2 {
                    let part = self.argument();
                    group(part, out);
                }
            }
            "sqrt" => {
                let degree = self.option();
                out.push("\\sqrt".to_owned());
                if !degree.is_empty() {
                    group(degree, out);
                }
                let under = self.argument();
                group(under, out);
            }
            "begin" | "end" => {
                let name = self.name();
                if command == "begin" && matches!(name.as_str(), "array" | "tabular") {
                    self.name();
                }
                // Lines that are set below each other show no sign of it; brackets and matrices do.
                let plain = ["aligned", "align", "split", "gathered", "gather", "equation"];
                if !plain.contains(&name.trim_end_matches('*')) && name != "array" {
                    out.push(format!("\\{command}{{{name}}}"));
                }
            }
            "label" | "color" | "phantom" | "hphantom" | "vphantom" | "hspace" | "vspace"
            | "ref" => {
                self.name();
            }
            "textcolor" => {
                self.name();
            }
            // Lines and spaces.
            "\\" | "," | ";" | ":" | "!" | " " | ">" | "-" | "/" => {}
            // A command with an argument that is not known here is followed by its braces, which are a group.
            other => out.push(format!("\\{other}")),
        }
    }
}

fn group(inside: Vec<String>, out: &mut Vec<String>) {
    out.push("{".to_owned());
    out.extend(inside);
    out.push("}".to_owned());
}
