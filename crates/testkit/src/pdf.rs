//! PDFs written by hand: small, exact, and as broken as a test needs them.

use std::fmt::Write as _;

/// A PDF under construction. Every page has the fonts `/F1` Helvetica, `/F2` Helvetica-Bold, `/F3`
/// Times-Italic and `/F4` Courier, in WinAnsi encoding.
///
/// ```
/// let mut pdf = testkit::pdf::Pdf::new();
/// pdf.page(612.0, 792.0, &testkit::pdf::text("F1", 12.0, 72.0, 700.0, "Hello"));
/// assert!(pdf.finish().starts_with(b"%PDF-1.7"));
/// ```
#[derive(Clone, Debug)]
pub struct Pdf {
    /// Bodies of objects 1, 2, ...; the first two are the catalog and the page tree.
    objects: Vec<Vec<u8>>,
    pages: Vec<usize>,
    catalog: String,
    trailer: String,
}

impl Default for Pdf {
    fn default() -> Self {
        Self::new()
    }
}

impl Pdf {
    /// A document without pages.
    pub fn new() -> Self {
        let mut pdf = Self {
            objects: vec![Vec::new(), Vec::new()],
            pages: Vec::new(),
            catalog: String::new(),
            trailer: String::new(),
        };
        for font in ["Helvetica", "Helvetica-Bold", "Times-Italic", "Courier"] {
            pdf.object(&format!(
                "<< /Type /Font /Subtype /Type1 /BaseFont /{font} /Encoding /WinAnsiEncoding >>"
            ));
        }
        pdf
    }

    /// Adds an object and returns its number.
    pub fn object(&mut self, body: &str) -> usize {
        self.objects.push(body.as_bytes().to_vec());
        self.objects.len()
    }

    /// Adds a stream with more entries for its dictionary and returns its number.
    pub fn stream(&mut self, entries: &str, data: &[u8]) -> usize {
        let mut body = format!("<< /Length {} {entries} >>\nstream\n", data.len()).into_bytes();
        body.extend(data);
        body.extend(b"\nendstream");
        self.objects.push(body);
        self.objects.len()
    }

    /// Adds a page of this size in points with this content.
    pub fn page(&mut self, width: f64, height: f64, content: &str) -> &mut Self {
        self.page_with(width, height, content, "", "")
    }

    /// Adds a page with more entries for its dictionary and for its resources.
    pub fn page_with(
        &mut self,
        width: f64,
        height: f64,
        content: &str,
        entries: &str,
        resources: &str,
    ) -> &mut Self {
        let stream = self.stream("", content.as_bytes());
        let page = self.object(&format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {stream} 0 R \
             /Resources << /Font << /F1 3 0 R /F2 4 0 R /F3 5 0 R /F4 6 0 R >> {resources} >> \
             {entries} >>"
        ));
        self.pages.push(page);
        self
    }

    /// Entries for the catalog.
    pub fn catalog(&mut self, entries: &str) -> &mut Self {
        self.catalog.push_str(entries);
        self
    }

    /// Entries for the trailer.
    pub fn trailer(&mut self, entries: &str) -> &mut Self {
        self.trailer.push_str(entries);
        self
    }

    /// The file.
    pub fn finish(mut self) -> Vec<u8> {
        self.objects[0] =
            format!("<< /Type /Catalog /Pages 2 0 R {} >>", self.catalog).into_bytes();
        let kids: String = self.pages.iter().map(|page| format!("{page} 0 R ")).collect();
        self.objects[1] =
            format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", self.pages.len()).into_bytes();
        let mut out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
        let mut table = String::from("0000000000 65535 f \n");
        for (index, body) in self.objects.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{:010} 00000 n ", out.len());
            out.extend(format!("{} 0 obj\n", index + 1).as_bytes());
            out.extend(body);
            out.extend(b"\nendobj\n");
        }
        let start = out.len();
        let count = self.objects.len() + 1;
        out.extend(format!("xref\n0 {count}\n{table}").as_bytes());
        out.extend(
            format!(
                "trailer\n<< /Size {count} /Root 1 0 R {} >>\nstartxref\n{start}\n%%EOF\n",
                self.trailer
            )
            .as_bytes(),
        );
        out
    }
}

/// Content that shows a line of text at a place, in points from the page's bottom left.
pub fn text(font: &str, size: f64, x: f64, y: f64, text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '(' | ')' | '\\' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if (' '..='~').contains(&c) => escaped.push(c),
            // WinAnsi is Latin-1 in this range, and a PDF takes it in octal.
            c => {
                let _ = write!(escaped, "\\{:03o}", u32::from(c) & 0xff);
            }
        }
    }
    format!("BT /{font} {size} Tf 1 0 0 1 {x} {y} Tm ({escaped}) Tj ET\n")
}

/// Content that shows lines below each other, `leading` points apart.
pub fn lines(font: &str, size: f64, at: (f64, f64), leading: f64, lines: &[&str]) -> String {
    let place =
        |(index, line): (usize, &&str)| text(font, size, at.0, at.1 - index as f64 * leading, line);
    lines.iter().enumerate().map(place).collect()
}
