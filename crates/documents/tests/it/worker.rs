//! The child process: what it does to pages that bring it down.

use std::process::Command;
use std::time::{Duration, Instant};

use documents::pipeline::{Parse as _, lay_out};
use documents::worker::{Pool, Worker};
use documents::{
    Document, Error, Limits, OpenFailure, Origin, PageFailure, PageSet, ProtocolFault, Source,
};
use testkit::pdf::{Pdf, text};

fn command(arguments: &'static [&'static str]) -> impl Fn() -> Command + Send + Sync + 'static {
    move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_documents-worker"));
        command.args(arguments);
        command
    }
}

/// Generous with time: a busy machine must not fail a test.
fn limits() -> Limits {
    Limits { page_time: Duration::from_secs(60), memory_bytes: 1 << 30, ..Limits::default() }
}

/// A file with one page for each text.
fn file(texts: &[&str]) -> Source {
    let mut pdf = Pdf::new();
    for each in texts {
        pdf.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, each));
    }
    Source { name: "file.pdf".to_owned(), bytes: pdf.finish() }
}

fn read_with(worker: &mut Worker, source: Source) -> Document {
    lay_out(source, &PageSet::all(), &[], worker).expect("the file opens")
}

fn failure(document: &Document, page: usize) -> &PageFailure {
    let Origin::Failed(failure) = &document.pages[page].origin else {
        panic!("page {page}: {:?}", document.pages[page].origin)
    };
    failure
}

#[test]
fn a_worker_reads_what_this_process_reads() {
    let source = file(&["First page", "Second page"]);
    let here = super::document(source.bytes.clone());
    let mut there = read_with(&mut Worker::new(command(&[]), limits()), source);
    there.name = here.name.clone();
    assert_eq!(here, there);

    // And a real document, larger than one message of the protocol's parts.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lease.pdf");
    let mut lease = Source::read(&path, 1 << 20).unwrap();
    lease.bytes.extend(vec![b' '; 3 << 20]);
    lease.name = "test.pdf".to_owned();
    let here = super::document(lease.bytes.clone());
    assert_eq!(here.pages.len(), 3);
    assert_eq!(here, read_with(&mut Worker::new(command(&[]), limits()), lease));
}

#[test]
fn every_fault_is_the_fault_of_its_page() {
    let mut worker = Worker::new(command(&["faulty"]), limits());
    let pages = [
        "fine 1", "PANIC", "fine 3", "fine 4", "fine 5", "EXIT", "ABORT", "MEMORY", "STACK",
        "fine 10",
    ];
    let document = read_with(&mut worker, file(&pages));
    for page in [0, 2, 3, 4, 9] {
        assert_eq!(document.pages[page].blocks[0].text(), pages[page]);
    }
    let PageFailure::Panic { message } = failure(&document, 1) else {
        panic!("{:?}", failure(&document, 1))
    };
    assert!(message.contains("asked to panic on page index 1"), "{message}");
    let PageFailure::Died { status } = failure(&document, 5) else {
        panic!("{:?}", failure(&document, 5))
    };
    assert!(status.contains('7') && status.contains("going away"), "{status}");
    assert!(matches!(failure(&document, 6), PageFailure::Died { .. }));
    // The system enforces the limit of memory on Linux; elsewhere the parent watches.
    #[cfg(target_os = "linux")]
    assert_eq!(*failure(&document, 7), PageFailure::Memory { limit: limits().memory_bytes });
    assert_eq!(*failure(&document, 8), PageFailure::StackOverflow);
}

#[test]
fn a_page_that_hangs_is_given_up_in_time() {
    let page_time = Duration::from_secs(2);
    let mut worker = Worker::new(command(&["faulty"]), Limits { page_time, ..limits() });
    let document = read_with(&mut worker, file(&["fine 1", "HANG", "fine 3"]));
    assert_eq!(*failure(&document, 1), PageFailure::Timeout { limit: page_time });
    for page in [0, 2] {
        assert_eq!(document.pages[page].blocks[0].text(), ["fine 1", "", "fine 3"][page]);
    }
}

/// A stream of 200 KB that two filters blow up to 800 MB.
#[cfg(target_os = "linux")]
#[test]
fn a_decompression_bomb_takes_only_its_page_down() {
    let mut pdf = Pdf::new();
    pdf.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, "before"));
    let bomb = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] \
         /Filter [/RunLengthDecode /RunLengthDecode]",
        &[&[0x81; 200_000][..], &[0, 0x80, 0x80]].concat(),
    );
    pdf.page_with(612.0, 792.0, "/X Do", "", &format!("/XObject << /X {bomb} 0 R >>"));
    pdf.page(612.0, 792.0, &text("F1", 10.0, 72.0, 700.0, "after"));
    let limits = Limits { memory_bytes: 512 << 20, page_time: Duration::from_secs(20), ..limits() };
    let source = Source { name: "bomb.pdf".to_owned(), bytes: pdf.finish() };
    let document = read_with(&mut Worker::new(command(&[]), limits), source);
    assert_eq!(document.pages[0].blocks[0].text(), "before");
    assert_eq!(*failure(&document, 1), PageFailure::Memory { limit: 512 << 20 });
    assert_eq!(document.pages[2].blocks[0].text(), "after");
}

#[test]
fn a_file_that_keeps_killing_is_given_up() {
    let limits = Limits { deaths_per_file: 2, ..limits() };
    let mut worker = Worker::new(command(&["faulty"]), limits);
    let document = read_with(&mut worker, file(&["EXIT", "EXIT", "fine", "fine"]));
    assert!(matches!(failure(&document, 1), PageFailure::Died { .. }));
    assert_eq!(*failure(&document, 2), PageFailure::GivenUp { deaths: 2 });
    // The next file starts afresh.
    assert_eq!(read_with(&mut worker, file(&["fine"])).pages[0].blocks[0].text(), "fine");
}

#[test]
fn a_wrong_program_is_noticed() {
    for (arguments, fault) in
        [(&["garbage"][..], None), (&["silent"][..], Some(ProtocolFault::Ended))]
    {
        let arguments: &'static [&'static str] = Box::leak(arguments.to_vec().into_boxed_slice());
        let start = Instant::now();
        let error = Worker::new(command(arguments), limits()).open(file(&["x"]), &[]).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(10));
        let Error::WorkerProtocol { what, .. } = error else { panic!("{error}") };
        if let Some(fault) = fault {
            assert_eq!(what, fault);
        }
    }
    let absent = Worker::new(|| Command::new("/nowhere/folio"), limits()).open(file(&["x"]), &[]);
    assert!(matches!(absent, Err(Error::WorkerStart { .. })));
}

#[test]
fn a_worker_does_not_inherit_the_environment() {
    let start = || {
        let mut command = command(&[])();
        command.env("FOLIO_TEST_SECRET", "swordfish");
        command
    };
    let mut worker = Worker::new(start, limits());
    worker.open(file(&["x"]), &[]).unwrap();
    #[cfg(target_os = "linux")]
    {
        let pid = worker.process_id().unwrap();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let space = limits.lines().find(|l| l.starts_with("Max address space")).unwrap();
        assert!(space.contains(&(1u64 << 30).to_string()), "{space}");
    }
}

#[test]
fn errors_of_files_come_through_with_their_names() {
    let mut worker = Worker::new(command(&[]), limits());
    let locked = include_bytes!("../../../../fixtures/documents/locked/aes-256.pdf").to_vec();
    let source = Source { name: "locked.pdf".to_owned(), bytes: locked.clone() };
    let error = worker.open(source, &[]).unwrap_err();
    assert_eq!(error.to_string(), "locked.pdf: is encrypted and needs a password");
    let source = Source { name: "locked.pdf".to_owned(), bytes: locked };
    assert!(worker.open(source, &["user".to_owned()]).unwrap().encrypted);
    let source = Source { name: "torn.pdf".to_owned(), bytes: b"%PDF-1.4 nothing".to_vec() };
    let error = worker.open(source, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::Open { failure: OpenFailure::Damaged { bytes: 16 }, .. }),
        "{error}"
    );
}

#[test]
fn a_pool_lends_its_workers_to_threads() {
    let pool = Pool::new(command(&[]), 2, limits());
    let texts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let pool = &pool;
                scope.spawn(move || {
                    let name = format!("file number {n}");
                    let document = read_with(&mut pool.lease(), file(&[&name]));
                    document.pages[0].blocks[0].text()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    let wanted: Vec<String> = (0..6).map(|n| format!("file number {n}")).collect();
    assert_eq!(texts, wanted);
}

/// A field may be within a field and say of itself that it is none for text; what it looks like is not a field.
#[test]
fn forms_with_fields_for_text_are_told_apart() {
    let cases = [
        ("", false),
        ("/AcroForm << /Fields [<< /FT /Tx /T (name) >>] >>", true),
        ("/AcroForm << /Fields [<< /FT /Btn /T (yes) >> << /FT /Sig /T (here) >>] >>", false),
        ("/AcroForm << /Fields [<< /T (a) /FT /Tx /Kids [<< /T (b) >>] >>] >>", true),
        ("/AcroForm << /Fields [<< /T (a) /FT /Tx /Kids [<< /T (b) /FT /Ch >>] >>] >>", false),
        ("/AcroForm << /Fields [<< /T (a) /FT /Tx /Kids [<< /Subtype /Widget >>] >>] >>", true),
        ("/AcroForm << /Fields 7 >>", false),
        ("/AcroForm 1 0 R", false),
    ];
    let mut there = Worker::new(command(&[]), limits());
    for (catalog, form) in cases {
        let mut pdf = Pdf::new();
        pdf.page(100.0, 100.0, "").catalog(catalog);
        let source = Source { name: "form.pdf".to_owned(), bytes: pdf.finish() };
        let outline = there.open(source, &[]).unwrap();
        assert_eq!(outline.form, form, "{catalog}");
    }
    // One that holds itself ends, too.
    let mut pdf = Pdf::new();
    let field = pdf.object("<< /T (a) /Kids [7 0 R] >>");
    assert_eq!(field, 7);
    pdf.page(100.0, 100.0, "").catalog("/AcroForm << /Fields [7 0 R] >>");
    let source = Source { name: "form.pdf".to_owned(), bytes: pdf.finish() };
    assert!(!there.open(source, &[]).unwrap().form);
}
