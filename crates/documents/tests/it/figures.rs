//! Pictures on pages, cut out of them.

use documents::figures::{Cut, FigureOptions, cut};
use documents::html::{HtmlOptions, write};
use documents::layout::PageLayout;
use documents::picture::{Picture, decode};
use documents::pipeline::{Outline, PageReading, Parse, Raster, Reader, Render, lay_out};
use documents::{Document, Error, Origin, PageFailure, PageSet, Rect, Source};

/// Draws every page as a picture whose pixels tell where they are, a pixel for a point.
struct Drawn {
    images: Vec<Vec<Rect>>,
}

impl Parse for Drawn {
    fn open(&mut self, _: Source, _: &[String]) -> Result<Outline, Error> {
        Ok(Outline { pages: self.images.len() as u32, ..Outline::default() })
    }

    fn page(&mut self, index: u32) -> Result<PageLayout, PageFailure> {
        let images = self.images[index as usize].clone();
        Ok(PageLayout {
            width: 100.0,
            height: 200.0,
            visible_glyphs: 9,
            images,
            ..PageLayout::default()
        })
    }
}

impl Render for Drawn {
    fn render(&mut self, _: u32, raster: Raster) -> Result<Picture, PageFailure> {
        let [width, height] = raster.size(100.0, 200.0).map(|side| side as usize);
        let pixel = |at: usize| [(at % width) as u8, (at / width) as u8, 7];
        Ok(Picture { width, height, pixels: (0..width * height).flat_map(pixel).collect() })
    }
}

fn document(parser: &mut Drawn) -> Document {
    let source = Source { name: "f.pdf".to_owned(), bytes: Vec::new() };
    lay_out(source, &PageSet::all(), &[], parser).expect("it opens")
}

/// The document after its figures were cut, with what was kept.
fn run(parser: &mut Drawn, document: &mut Document, options: FigureOptions) -> (Cut, Vec<Picture>) {
    let mut kept = Vec::new();
    let cut = cut(document, &options, parser, &mut |figure| {
        kept.push(decode(figure.png).expect("a picture"));
        Ok::<_, ()>(format!("figures/p{}-{}.png", figure.page, figure.number))
    });
    (cut.expect("all are kept"), kept)
}

const OPTIONS: FigureOptions =
    FigureOptions { shown: 200, longest: 200, most_of_page: 3, most: 4, bytes: 1 << 20 };

fn box_of(picture: &Picture) -> [u8; 4] {
    let last = &picture.pixels[picture.pixels.len() - 3..];
    [picture.pixels[0], picture.pixels[1], last[0] + 1, last[1] + 1]
}

fn seen(document: &mut Document, page: usize, text: &str, turned: u16) {
    let reading = PageReading {
        by: Reader::Model("eyes".to_owned()),
        turned,
        ..PageReading::of_text_layer(page as u32 + 1, Some(text.to_owned()))
    };
    document.pages[page].origin = Origin::Transcript(Box::new(reading));
}

#[test]
fn images_of_a_page_are_cut_out_and_named() {
    let figure = Rect::new(10.0, 20.0, 60.0, 80.0);
    let dot = Rect::new(80.0, 80.0, 85.0, 85.0);
    let paper = Rect::new(0.0, 0.0, 100.0, 200.0);
    let mut parser = Drawn { images: vec![vec![dot, figure], vec![paper]] };
    let mut document = document(&mut parser);
    let (cut, kept) = run(&mut parser, &mut document, OPTIONS);
    assert_eq!(cut, Cut { figures: 1, ..Cut::default() });
    assert_eq!(box_of(&kept[0]), [10, 20, 60, 80]);
    let markdown = documents::markdown::write(&document, Default::default());
    assert_eq!(markdown, "![](figures/p1-1.png)\n");
    let html = write(&document, HtmlOptions::default());
    assert!(html.contains("<img src=\"figures/p1-1.png\""), "{html}");
    let json = documents::json::write(&document, Default::default());
    let block = &json["pages"][0]["blocks"][0];
    assert_eq!((&block["kind"], &block["file"]), (&"figure".into(), &"figures/p1-1.png".into()));
}

#[test]
fn what_repeats_is_no_figure_and_there_is_an_end() {
    let logo = Rect::new(0.0, 0.0, 40.0, 30.0);
    let figures: Vec<Rect> =
        (0..5).map(|n| Rect::new(50.0, n as f32 * 40.0, 90.0, n as f32 * 40.0 + 30.0)).collect();
    let page = |n: usize| [vec![logo], figures[..n].to_vec()].concat();
    let mut parser = Drawn { images: vec![page(5), page(0), page(2)] };
    let mut document = document(&mut parser);
    let (cut, kept) = run(&mut parser, &mut document, OPTIONS);
    assert_eq!((cut.figures, cut.too_many, kept.len()), (4, 3, 4));
    let mut parser = Drawn { images: vec![page(2)] };
    let mut document = crate::figures::document(&mut parser);
    let (cut, _) = run(&mut parser, &mut document, FigureOptions { bytes: 10, ..OPTIONS });
    assert_eq!((cut.figures, cut.too_many), (0, 3));
}

#[test]
fn what_a_model_names_is_cut_out_of_the_page_as_it_saw_it() {
    let text = "a ![A cat](page_10_20_30_40.png) b\n\n![again](page_10_20_30_40.png)\n\n![off](page_900_0_5_5.png)";
    let boxes = [
        (0, Rect::new(10.0, 20.0, 40.0, 60.0)),
        (90, Rect::new(40.0, 10.0, 80.0, 40.0)),
        (180, Rect::new(60.0, 140.0, 90.0, 180.0)),
        (270, Rect::new(20.0, 160.0, 60.0, 190.0)),
    ];
    for (turned, wanted) in boxes {
        let mut parser = Drawn { images: vec![Vec::new()] };
        let mut document = document(&mut parser);
        seen(&mut document, 0, text, turned);
        let (cut, kept) = run(&mut parser, &mut document, OPTIONS);
        assert_eq!((cut.figures, cut.outside), (1, 1), "{turned}");
        assert_eq!(document.pages[0].blocks[0].bbox, wanted, "{turned}");
        // The picture stands upright, as it was seen.
        assert_eq!((kept[0].width, kept[0].height), (30, 40), "{turned}");
        let markdown = documents::markdown::write(&document, Default::default());
        let wanted = "a ![A cat](figures/p1-1.png) b\n\n![again](figures/p1-1.png)\n\n![off](page_900_0_5_5.png)\n";
        assert_eq!(markdown, wanted);
        let html = write(&document, HtmlOptions::default());
        assert_eq!(html.matches("<img src=\"figures/p1-1.png\"").count(), 2);
        assert!(html.contains("<span class=\"picture\">off</span>"));
    }
}
