//! Records of made-up requests.

use std::time::Duration;

use super::*;

fn head(id: &str) -> Head {
    Head { id: id.to_owned(), method: "POST".to_owned(), path: "/v1/x".to_owned() }
}

fn at(millis: u64, step: Step) -> Told {
    Told { at: Duration::from_millis(millis), answer: 0, step }
}

fn ended() -> Step {
    Step::Ended {
        reason: "stop",
        prompt_tokens: Some(7),
        cached_tokens: Some(4),
        completion_tokens: 3,
    }
}

/// A request that waited for a load, was read, and answered.
fn told() -> Record {
    let mut record = Record::of(head("a"), SystemTime::UNIX_EPOCH + Duration::from_secs(100));
    record.answers = 1;
    record.seconds = Duration::from_millis(1000);
    record.over = true;
    record.steps = vec![
        at(1, Step::Asked { model: "fast".to_owned() }),
        at(2, Step::Passed { who: "x".to_owned(), why: "no_room", reason: "full".to_owned() }),
        at(3, Step::Wants { model: "y".to_owned() }),
        at(4, Step::Evicts { model: "z".to_owned() }),
        at(100, Step::Loads { bytes: 5 }),
        at(300, Step::Loaded),
        at(303, Step::Has),
        at(353, Step::Begun { prompt_tokens: 7 }),
        at(453, Step::First),
        at(953, ended()),
    ];
    record
}

#[test]
fn time_is_divided() {
    let millis = |millis| Some(Duration::from_millis(millis));
    let mut record = told();
    let whole = Phases {
        model: millis(300),
        load: millis(200),
        queue: millis(50),
        prompt: millis(100),
        answer: millis(500),
    };
    assert_eq!(record.phases(0), whole);
    assert_eq!(record.phases(1), Phases::default());
    assert_eq!(record.model(0), Some("y"));
    // While it is under way, its last part lasts until now.
    record.steps.truncate(7);
    let queued = Phases { queue: millis(697), prompt: None, answer: None, ..whole };
    assert_eq!(record.phases(0), queued);
    record.steps.truncate(1);
    assert_eq!((record.phases(0), record.model(0)), (Phases::default(), Some("fast")));
}

#[test]
fn it_is_told_and_drawn() {
    let json = told().json();
    assert_eq!(json["answers"][0]["model"], "y");
    assert_eq!(json["answers"][0]["prompt_seconds"], 0.1);
    let what = |at: usize| json["steps"][at]["what"].as_str().unwrap();
    assert_eq!((what(1), what(9)), ("passed", "ended"));
    assert_eq!(json["steps"][9]["cached_tokens"], 4);
    let later = Record { began: SystemTime::UNIX_EPOCH + Duration::from_secs(102), ..told() };
    let trace = trace(&[Arc::new(told()), Arc::new(later)]);
    let events = trace["traceEvents"].as_array().unwrap();
    let bars = |row: u64| events.iter().filter(move |e| e["ph"] == "X" && e["tid"] == row);
    let named: Vec<_> = bars(1).map(|bar| bar["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["request", "model", "load", "queue", "prompt", "answer"]);
    let answer = |row| {
        let bar = bars(row).find(|bar| bar["name"] == "answer").unwrap();
        (bar["ts"].clone(), bar["dur"].clone())
    };
    assert_eq!(answer(1), (453_000.into(), 500_000.into()));
    assert_eq!(answer(2), (2_453_000.into(), 500_000.into()));
}

#[test]
fn only_the_last_are_kept_and_only_what_tells() {
    let recorder = Arc::new(Recorder::default());
    for n in 0..MOST_KEPT + 10 {
        recorder.begin(head(&n.to_string())).note(Step::Has);
    }
    for status in [200, 404, 401] {
        recorder.begin(head("looked")).status(status);
    }
    recorder.begin(head("bad")).status(400);
    let open = recorder.begin(head("open"));
    assert!(recorder.find("open").is_none());
    open.note(Step::Has);
    let records = recorder.records();
    assert_eq!(records.len(), MOST_KEPT + 1);
    assert_eq!(records[0].head.id, "11");
    let last = |back: usize| &records[records.len() - back];
    assert_eq!((last(1).head.id.as_str(), last(1).over), ("open", false));
    assert_eq!((last(2).head.id.as_str(), last(2).over), ("bad", true));
    assert!(recorder.find("looked").is_none());
    drop(open);
    assert!(recorder.find("open").unwrap().over);
}

#[test]
fn a_long_record_keeps_its_ends() {
    let recorder = Arc::new(Recorder::default());
    let flight = recorder.begin(head("long"));
    flight.note(Step::Asked { model: "m".to_owned() });
    for n in 0..5_000 {
        flight.note(Step::Loads { bytes: n });
        flight.note(Step::GivenUp { tokens: 2 });
    }
    let before = flight.record().tokens();
    flight.note(ended());
    let record = flight.record();
    assert_eq!(record.steps.len(), MOST_STEPS);
    assert_eq!(record.left_out, 10_002 - MOST_STEPS as u64);
    // All tokens are paid for, also those of steps that are not kept.
    assert_eq!((before, record.tokens()), (10_000, 10_000 + ended().tokens()));
    assert_eq!(record.steps[0].step.name(), "asked");
    assert_eq!(record.steps.last().unwrap().step, ended());
}

#[tokio::test]
async fn it_is_at_hand_where_the_work_is_done() {
    let recorder = Arc::new(Recorder::default());
    note(|| unreachable!("nobody listens"));
    let flight = recorder.begin(head("a"));
    let (first, second) = (flight.another(), flight.another());
    recorded(first, async { note(|| Step::Has) }).await;
    recorded(second, async { note(|| Step::Loaded) }).await;
    assert!(current().is_none());
    let record = flight.record();
    let told: Vec<_> = record.steps.iter().map(|told| (told.answer, told.step.name())).collect();
    assert_eq!(told, [(0, "has"), (1, "loaded")]);
}
