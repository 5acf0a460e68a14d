//! Works at a workspace without a model, for tests beside Python's olmOCR:
//! `cargo run -p manager --example workspace -- ADDRESS add PER_GROUP PATH... | show | claim | work TEXT | stats`
//!
//! Answers are JSON. `claim` takes a group and leaves it locked; `work` takes what there is and finishes it with this text
//! for every document.

#![expect(clippy::print_stdout, reason = "a program for developers")]

use std::error::Error;
use std::time::SystemTime;

use documents::pipeline::{PageReading, Provenance, dolma};
use documents::workspace::{Claim, Group, Index, Queue, Stats, inputs::Inputs};
use manager::Environment;
use manager::read::store::{Access, Library, workspace};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let access = Access::from_process(&Environment::from_process(), handle)?;
    let [address, command, rest @ ..] = &words[..] else { return Err("ADDRESS COMMAND ..".into()) };
    let store = workspace(address, None, &access)?;
    let queue = || Queue::open(store.clone(), &Index::load(&*store)?, None, 7);
    let answer = match (*command, rest) {
        ("add", [per_group, paths @ ..]) => {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            let found: Inputs = Library::new(access, None).gather(&paths)?;
            let per_group = per_group.parse()?;
            groups(&Index::change(&*store, &mut |index| found.add_to(index, per_group).map(drop))?)
        }
        ("show", []) => groups(&Index::load(&*store)?),
        ("claim", []) => match queue()?.claim(SystemTime::now())? {
            Claim::Work(group) => json!([group.hash, group.paths]),
            Claim::Wait(_) => json!("wait"),
            Claim::Idle | Claim::Empty => json!("empty"),
        },
        ("work", [text]) => {
            let queue = queue()?;
            let mut done = Vec::new();
            while let Claim::Work(group) = queue.claim(SystemTime::now())? {
                queue.finish(&group, results(&group, text).as_bytes())?;
                done.push(group.hash);
            }
            json!(done)
        }
        ("stats", []) => {
            let stats = Stats::of(&*store, &mut |_, _| {})?;
            json!({ "groups": stats.groups, "done": stats.done, "documents": stats.documents,
                    "skipped": stats.skipped, "pages": stats.pages, "output": stats.output_tokens })
        }
        _ => return Err(format!("unknown command {command}").into()),
    };
    println!("{answer}");
    Ok(())
}

fn groups(index: &Index) -> Value {
    index.groups().iter().map(|group| json!([group.hash, group.paths])).collect()
}

/// Documents of two pages each.
fn results(group: &Group, text: &str) -> String {
    let page = |number| PageReading {
        output_tokens: 5,
        ..PageReading::of_text_layer(number, Some(format!("{text} {number}")))
    };
    let line = |source: &String| {
        let provenance = Provenance { source, version: "test", date: "2001-02-03" };
        dolma(&provenance, &[page(1), page(2)]).map(|document| document.line + "\n")
    };
    group.paths.iter().filter_map(line).collect()
}
