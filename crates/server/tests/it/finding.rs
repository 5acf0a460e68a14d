//! Indexes: told, searched with the models that made them, and refused where these are not here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::Image;
use manager::find::index::{
    Begun, DocumentId, Grid, Hash, NewDocument, NewPage, PageVectors, Preview, Profile, Writer,
};
use manager::find::{Encoders, MakeOptions, Offer};
use manager::house::{House, ModelState};
use manager::runtime::{EmbedOptions, Kinds};
use serde_json::{Value, json};
use server::mcp::Files;
use server::{Options, Rules, router};

use crate::house::{get, open_in, post};

/// What the preview of every page is.
const PREVIEW: &[u8] = b"a small image";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").canonicalize().unwrap()
}

/// A place for indexes, documents and models.
pub(crate) struct World {
    home: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["indexes", "models", "papers"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        Self { home }
    }

    /// A folder in it, as it really is.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    /// A copy of a tiny model, which is its own to change.
    fn model(&self, from: &str, name: &str) -> PathBuf {
        let to = self.at("models").join(name);
        copy(&fixtures().join(from), &to);
        to
    }

    fn house(&self) -> Arc<House> {
        open_in(&self.at("models"), &[])
    }

    /// A server that offers these indexes, and files under these folders.
    pub(crate) fn server(&self, house: &Arc<House>, indexes: &[&str], roots: &[&str]) -> Router {
        let wanted: Vec<String> = indexes.iter().map(|&name| name.to_owned()).collect();
        let indexes = Offer::of(&wanted, &self.at("indexes")).unwrap();
        let roots = roots.iter().map(|root| self.at(root)).collect();
        let files = Files { roots, worker: Vec::new() };
        let rules = Rules { files, indexes, ..Rules::default() };
        router(Arc::clone(house), Options { rules, ..Options::default() })
    }

    /// An index of pages with these words, by document.
    pub(crate) fn words(&self, index: &str, documents: &[(&str, &[&str])]) -> Writer {
        let mut writer =
            Writer::create(&self.at("indexes").join(index), &Profile::default()).unwrap();
        for (name, pages) in documents {
            let id = self.begin(&mut writer, name, pages.len());
            let pages: Vec<_> = pages.iter().zip(1..).map(|(text, n)| page(id, n, text)).collect();
            writer.commit(&pages, &[id]).unwrap();
        }
        writer
    }

    fn begin(&self, writer: &mut Writer, name: &str, pages: usize) -> DocumentId {
        let document = NewDocument {
            path: self.at("papers").join(name).to_str().unwrap().to_owned(),
            hash: Hash([pages as u8; 32]),
            pages: u32::try_from(pages).unwrap(),
            date: "2024-05-31".parse().ok(),
            category: name.split('.').next().map(str::to_owned),
            metadata: [("title".to_owned(), format!("A {name}"))].into(),
            reading: None,
        };
        match writer.begin(&document).unwrap() {
            Begun::Open { document, .. } => document,
            Begun::Unchanged(_) => panic!("{document:?} is there"),
        }
    }

    /// An index of pages with these words, by what the model in `folder`, which is called `name`, makes of them.
    async fn meant(
        &self,
        index: &str,
        house: &Arc<House>,
        (name, folder): (&str, &Path),
        texts: &[&str],
    ) {
        let (encoders, profile) = self.encoders(house, name, folder).await;
        let made = house.embed(name, owned(texts), EmbedOptions::default(), true).await.unwrap();
        let mut writer = Writer::create(&self.at("indexes").join(index), &profile).unwrap();
        let id = self.begin(&mut writer, "meant.pdf", texts.len());
        let dense: Vec<_> = made.embeddings.into_iter().map(|of| vec![of.vector]).collect();
        let pages: Vec<_> = (1..)
            .zip(texts)
            .zip(&dense)
            .map(|((n, text), dense)| NewPage { dense, ..page(id, n, text) })
            .collect();
        writer.commit(&pages, &[id]).unwrap();
        drop(encoders);
    }

    /// An index of two images, by how they look.
    async fn looks(&self, index: &str, house: &Arc<House>, (name, folder): (&str, &Path)) {
        let (_, profile) = self.encoders(house, name, folder).await;
        let files = ["alpha.png", "grey.png"].map(|file| fixtures().join("images").join(file));
        let images = files.map(|file| Image::new(fs::read(file).unwrap())).to_vec();
        let made = house.embed_images(name, images, true).await.unwrap().embeddings;
        let mut writer = Writer::create(&self.at("indexes").join(index), &profile).unwrap();
        let id = self.begin(&mut writer, "looks.pdf", 2);
        let vectors: Vec<Vec<f32>> = made.iter().map(|of| of.multi.concat()).collect();
        let pages: Vec<_> = made
            .iter()
            .zip(&vectors)
            .zip(1..)
            .map(|((of, vectors), n)| {
                let places = of.places.unwrap();
                let grid = Some(Grid {
                    start: places.start as u32,
                    height: places.height as u16,
                    width: places.width as u16,
                });
                let text = if n == 1 { "the garden" } else { "" };
                NewPage { vectors: Some(PageVectors::New { vectors, grid }), ..page(id, n, text) }
            })
            .collect();
        writer.commit(&pages, &[id]).unwrap();
    }

    async fn encoders(&self, house: &Arc<House>, name: &str, folder: &Path) -> (Encoders, Profile) {
        let lease = house.lease(name).await.unwrap();
        let (model, kept) = (Arc::clone(lease.model()), self.at("sums.json"));
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || {
            let options = MakeOptions::default();
            // It was called otherwise when the index was made, and lay there.
            let called = "/elsewhere/first-name";
            let encoders = Encoders::default().and(&model, called, &[&folder], &kept, options);
            let encoders = encoders.unwrap();
            let profile = encoders.profile(false);
            (Encoders::default(), profile)
        })
        .await
        .unwrap()
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn page<'a>(document: DocumentId, number: u32, text: &'a str) -> NewPage<'a> {
    NewPage {
        document,
        number,
        hash: Hash([number as u8; 32]),
        looks: None,
        text,
        read: None,
        vectors: None,
        dense: &[],
        sparse: &[],
        preview: (!text.is_empty()).then_some(Preview { kind: "image/jpeg", bytes: PREVIEW }),
        failure: text.is_empty().then_some("it is an image without text"),
    }
}

/// Two documents of three pages, of which one cannot be found.
pub(crate) const PAPERS: &[(&str, &[&str])] = &[
    ("lease.pdf", &["The tenant pays rent", "Keys are kept by the landlord"]),
    ("letter.pdf", &["Dear sister, the größe of the garden is green", ""]),
];

/// The pages of hits, as `NAME PAGE`.
fn found(answer: &Value) -> Vec<String> {
    let hits = answer["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
    hits.iter().map(|hit| format!("{} {}", hit["name"].as_str().unwrap(), hit["page"])).collect()
}

async fn search(server: &Router, body: Value) -> Value {
    let reply = post(server, "/v1/search", &body).await;
    assert_eq!(reply.status.as_u16(), 200, "{body}: {}", reply.body);
    reply.json()
}

async fn refused(server: &Router, body: Value) -> (u16, Value) {
    let reply = post(server, "/v1/search", &body).await;
    (reply.status.as_u16(), reply.json()["error"].clone())
}

#[tokio::test]
async fn pages_are_found_by_their_words_and_nothing_else_is_told() {
    let world = World::new();
    drop(world.words("papers", PAPERS));
    let house = world.house();
    let server = world.server(&house, &["papers"], &[]);
    let hits = search(&server, json!({"index": "papers", "query": "who has the größe"})).await;
    assert_eq!(found(&hits)[0], "letter.pdf 1");
    assert_eq!(
        (&hits["object"], &hits["route"], &hits["pages"]),
        (&json!("search"), &json!("words"), &json!(4))
    );
    assert!(hits["took"].as_array().unwrap().len() > 2 && hits["models"] == json!([]));
    let hit = &hits["hits"][0];
    // Marks are counted in characters.
    let text: Vec<char> = hit["snippet"]["text"].as_str().unwrap().chars().collect();
    let marked: Vec<String> = hit["snippet"]["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mark| {
            let at = |n: usize| mark[n].as_u64().unwrap() as usize;
            text[at(0)..at(1)].iter().collect()
        })
        .collect();
    assert!(marked.contains(&"größe".to_owned()), "{hit}");
    // Where documents lie is not told.
    assert!(hit.get("path").is_none());
    let all = get(&server, "/v1/indexes/papers/documents").await;
    let home = world.at("").to_str().unwrap().to_owned();
    for reply in [&hits.to_string(), &all.body, &get(&server, "/v1/indexes").await.body] {
        assert!(!reply.contains(&home), "{reply}");
    }
    // The only index need not be named.
    let rent = search(&server, json!({"query": "rent", "texts": true, "previews": "data"})).await;
    assert_eq!(found(&rent), ["lease.pdf 1"]);
    assert_eq!(rent["hits"][0]["text"], "The tenant pays rent");
    let data = format!("data:image/jpeg;base64,{}", STANDARD.encode(PREVIEW));
    assert_eq!(rent["hits"][0]["preview"], data.as_str());
    for (narrow, pages) in [
        (json!({"path": "lease.pdf"}), 2),
        (json!({"path": "l*.pdf", "pages": "1"}), 2),
        (json!({"category": "letter"}), 1),
        (json!({"category": ["letter", "lease"], "limit": 2}), 2),
        (json!({"from": "2024-06-01"}), 0),
        (json!({"to": "2024-05-31", "pages": "2-"}), 1),
        (json!({"path": "papers"}), 0),
        (json!({"path": "*papers*"}), 0),
    ] {
        let mut body = json!({"query": "the"});
        body.as_object_mut().unwrap().extend(narrow.as_object().unwrap().clone());
        let mut hits = search(&server, body.clone()).await;
        // The word stands on every page with words but one.
        if narrow.get("pages").is_none() {
            body["query"] = "the rent".into();
            hits = search(&server, body).await;
        }
        assert_eq!(found(&hits).len(), pages, "{narrow}: {hits}");
    }
    // Under a folder that is allowed it is told, and may be asked for.
    let open = world.server(&house, &["papers"], &["papers"]);
    let lease = world.at("papers/lease.pdf");
    let hits = search(&open, json!({"query": "rent"})).await;
    assert_eq!(hits["hits"][0]["path"], lease.to_str().unwrap());
    for path in
        [lease.to_str().unwrap(), "lease.pdf", world.at("papers").to_str().unwrap(), "./lease*"]
    {
        assert_eq!(
            found(&search(&open, json!({"query": "rent", "path": path})).await).len(),
            1,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_offered_is_described_page_by_page() {
    let world = World::new();
    drop(world.words("papers", PAPERS));
    drop(world.words("secret", PAPERS));
    let house = world.house();
    let server = world.server(&house, &["papers", "later"], &[]);
    let all = get(&server, "/v1/indexes").await.json();
    let ids: Vec<_> = all["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["later", "papers"]);
    assert_eq!((&all["data"][0]["ready"], &all["data"][1]["ready"]), (&json!(false), &json!(true)));
    assert!(all["data"][0]["error"].as_str().unwrap().contains("is not there"), "{all}");
    let one = get(&server, "/v1/indexes/papers").await.json();
    assert_eq!(one, all["data"][1]);
    assert_eq!(
        [&one["documents"], &one["pages"], &one["failed_pages"], &one["encoders"]],
        [&json!(2), &json!(4), &json!(1), &json!([])]
    );
    assert!(one["bytes"].as_u64().unwrap() > 4096);
    let documents = get(&server, "/v1/indexes/papers/documents?limit=1").await.json();
    assert_eq!(documents["has_more"], true);
    let first = &documents["data"][0];
    assert_eq!(
        (&first["name"], &first["category"], &first["date"]),
        (&json!("lease.pdf"), &json!("lease"), &json!("2024-05-31"))
    );
    assert_eq!(first["metadata"], json!({"title": "A lease.pdf"}));
    let rest = get(&server, &format!("/v1/indexes/papers/documents?after={}", first["document"]))
        .await
        .json();
    assert_eq!((&rest["has_more"], rest["data"].as_array().unwrap().len()), (&json!(false), 1));
    assert_eq!(
        rest["data"][0]["failures"],
        json!([{"page": 2, "reason": "it is an image without text"}])
    );
    let hits = search(&server, json!({"index": "papers", "query": "landlord"})).await;
    let address = hits["hits"][0]["preview"].as_str().unwrap();
    assert_eq!(address, "/v1/indexes/papers/documents/1/pages/2/preview");
    let image = get(&server, address).await;
    assert_eq!(
        (image.headers["content-type"].to_str().unwrap(), image.body.as_bytes()),
        ("image/jpeg", PREVIEW)
    );
    assert_eq!(image.headers["x-content-type-options"], "nosniff");
    let page = get(&server, "/v1/indexes/papers/documents/1/pages/2").await.json();
    assert_eq!(
        (&page["text"], &page["preview"]),
        (&json!("Keys are kept by the landlord"), &json!(address))
    );
    for (path, status) in [
        ("/v1/indexes/secret", 404),
        ("/v1/indexes/secret/documents/1/pages/1", 404),
        ("/v1/indexes/later", 404),
        ("/v1/indexes/..", 404),
        ("/v1/indexes/%2Fetc/documents", 404),
        ("/v1/indexes/papers/documents/1/pages/3", 404),
        ("/v1/indexes/papers/documents/9/pages/1", 404),
        ("/v1/indexes/papers/documents/2/pages/2/preview", 404),
        ("/v1/indexes/papers/documents/x/pages/1", 400),
        ("/v1/indexes/papers/documents?limit=0", 400),
        ("/v1/indexes/papers/documents?order=name", 400),
    ] {
        let reply = get(&server, path).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.body);
        assert!(reply.json()["error"]["message"].as_str().unwrap().len() > 10, "{path}");
    }
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_by_their_field() {
    let world = World::new();
    drop(world.words("papers", PAPERS));
    drop(world.words("other", PAPERS));
    let house = world.house();
    let server = world.server(&house, &["*"], &[]);
    for (body, param) in [
        (json!({"index": "papers", "query": " "}), "query"),
        (json!({"index": "papers", "query": "x".repeat(20_000)}), "query"),
        (json!({"query": "rent"}), "index"),
        (json!({"index": "papers", "query": "rent", "limit": 0}), "limit"),
        (json!({"index": "papers", "query": "rent", "limit": 1001}), "limit"),
        (json!({"index": "papers", "query": "rent", "limit": 101, "texts": true}), "limit"),
        (json!({"index": "papers", "query": "rent", "pages": "5-1"}), "pages"),
        (json!({"index": "papers", "query": "rent", "from": "yesterday"}), "from"),
        (json!({"index": "papers", "query": "rent", "words": true, "fused": true}), "fused"),
        (json!({"index": "papers", "query": "rent", "rerank_pages": 5}), "rerank_pages"),
        (
            json!({"index": "papers", "query": "rent", "rerank": "x", "rerank_pages": 101}),
            "rerank_pages",
        ),
        (json!({"index": "papers", "query": "rent", "colour": "red"}), "colour"),
    ] {
        let (status, error) = refused(&server, body.clone()).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{body}: {error}");
    }
    let (status, error) = refused(&server, json!({"index": "none", "query": "rent"})).await;
    assert_eq!((status, &error["code"]), (404, &json!("index_not_found")));
    assert!(error["message"].as_str().unwrap().contains("other, papers"), "{error}");
    let (status, error) =
        refused(&server, json!({"index": "papers", "query": "a", "path": "/etc/*"})).await;
    assert_eq!((status, &error["param"]), (403, &json!("path")));
    let (status, error) =
        refused(&server, json!({"index": "papers", "query": "a", "path": "*******"})).await;
    assert_eq!(status, 400, "{error}");
    let closed = world.server(&house, &[], &[]);
    for body in [json!({"query": "rent"}), json!({"index": "papers", "query": "rent"})] {
        let (status, error) = refused(&closed, body).await;
        assert_eq!(status, 404);
        assert!(error["message"].as_str().unwrap().contains("--index"), "{error}");
    }
    assert_eq!(get(&closed, "/v1/indexes").await.json()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_may_be_written_removed_and_made_anew_meanwhile() {
    let world = World::new();
    let mut writer = world.words("papers", PAPERS);
    let house = world.house();
    let server = world.server(&house, &["papers"], &[]);
    let ask = json!({"query": "rent"});
    assert_eq!(found(&search(&server, ask.clone()).await).len(), 1);
    // Searched while its writer adds documents, each answer is of one state.
    let asking = tokio::spawn({
        let (server, ask) = (server.clone(), ask.clone());
        async move {
            let mut last = 0;
            for _ in 0..40 {
                let now = found(&search(&server, ask.clone()).await).len();
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        }
    });
    for n in 0..8 {
        let id = world.begin(&mut writer, &format!("more{n}.pdf"), 1);
        writer.commit(&[page(id, 1, "more rent")], &[id]).unwrap();
    }
    asking.await.unwrap();
    assert_eq!(found(&search(&server, ask.clone()).await).len(), 9);
    drop(writer);
    fs::remove_dir_all(world.at("indexes/papers")).unwrap();
    let (status, error) = refused(&server, ask.clone()).await;
    assert_eq!((status, &error["code"]), (404, &json!("index_not_found")), "{error}");
    assert!(
        !error["message"].as_str().unwrap().contains(world.at("").to_str().unwrap()),
        "{error}"
    );
    drop(world.words("papers", &[("new.pdf", &["other rent"])]));
    assert_eq!(found(&search(&server, ask).await), ["new.pdf 1"]);
}

/// How many use the model, if it is in memory.
async fn state(house: &Arc<House>, name: &str) -> Option<usize> {
    let models = house.models().await.unwrap();
    match models.into_iter().find(|model| model.name == name).unwrap().state {
        ModelState::Loaded { users, .. } => Some(users),
        ModelState::Unloaded | ModelState::Loading | ModelState::Unloading => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_that_made_an_index_is_the_houses() {
    let world = World::new();
    let bert = world.model("models/bert", "texts");
    let house = world.house();
    let texts = ["one page", "another page about keys", "rent"];
    world.meant("papers", &house, ("texts", &bert), &texts).await;
    assert!(house.unload("texts").await.unwrap());
    let server = world.server(&house, &["papers"], &[]);
    let index = get(&server, "/v1/indexes/papers").await.json();
    let made = &index["encoders"][0];
    // Known by its files, whatever it was called; and of where it lay nothing is told.
    assert_eq!(
        (&made["model"], &made["served_as"], &made["finds_by"]),
        (&json!("first-name"), &json!("texts"), &json!("meaning"))
    );
    assert!(index["ready"] == true && !index.to_string().contains("elsewhere"), "{index}");
    assert_eq!(state(&house, "texts").await, None);
    // Those who come together wait for one load, and all have the same answer.
    let ask = json!({"query": "keys", "previews": "none"});
    let all: Vec<_> = (0..24)
        .map(|_| {
            let (server, ask) = (server.clone(), ask.clone());
            tokio::spawn(async move { search(&server, ask).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in all {
        let answer = one.await.unwrap();
        assert_eq!(
            (&answer["route"], &answer["models"]),
            (&json!("words and meaning"), &json!(["texts"]))
        );
        answers.push(answer["hits"].clone());
    }
    assert!(
        answers.windows(2).all(|two| two[0] == two[1]) && answers[0].as_array().unwrap().len() == 3
    );
    assert_eq!(found(&search(&server, ask.clone()).await)[0], "meant.pdf 2");
    assert_eq!(state(&house, "texts").await, Some(0));
    let loads = get(&server, "/v1/requests").await.json();
    let loads = loads["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it.to_string().contains("\"loads\""))
        .count();
    assert!(loads <= 24, "{loads}");
    assert!(get(&server, "/v1/memory").await.json()["owners"]["texts"].is_object());
    let stats = get(&server, "/v1/stats").await.json().to_string();
    assert!(stats.contains("\"search\""), "{stats}");
    // Whoever gives up while the model is loaded leaves nothing behind.
    assert!(house.unload("texts").await.unwrap());
    let given_up =
        tokio::time::timeout(Duration::from_micros(500), search(&server, ask.clone())).await;
    drop(given_up);
    assert_eq!(found(&search(&server, ask.clone()).await).len(), 3);
    while state(&house, "texts").await != Some(0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Touched since it was loaded, it is not trusted until it is loaded again.
    let weights = bert.join("model.safetensors");
    let later = SystemTime::now() + Duration::from_secs(100);
    fs::File::options().append(true).open(&weights).unwrap().set_modified(later).unwrap();
    let (status, error) = refused(&server, ask.clone()).await;
    assert_eq!(status, 503, "{error}");
    assert!(error["message"].as_str().unwrap().contains("changed since it was loaded"), "{error}");
    assert_eq!(found(&search(&server, ask.clone()).await).len(), 3);
    // Another model under the same name is another.
    let config = bert.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text} ")).unwrap();
    let (status, error) = refused(&server, ask.clone()).await;
    assert_eq!(status, 409, "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`first-name`") && !message.contains("elsewhere"), "{error}");
    assert_eq!(
        get(&server, "/v1/indexes/papers").await.json()["encoders"][0]["served_as"],
        Value::Null
    );
    // Its words are found all the same.
    let mut words = ask;
    words["words"] = true.into();
    assert_eq!(found(&search(&server, words).await), ["meant.pdf 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_found_by_the_tokens_of_their_words() {
    let world = World::new();
    let folder = world.model("models/xlm-roberta", "texts");
    let house = world.house();
    let lease = house.lease("texts").await.unwrap();
    let (model, kept) = (Arc::clone(lease.model()), world.at("sums.json"));
    let profile = tokio::task::spawn_blocking(move || {
        let options = MakeOptions { token_vectors: true, ..MakeOptions::default() };
        let encoders = Encoders::default().and(&model, "texts", &[&folder], &kept, options);
        encoders.unwrap().profile(false)
    });
    let profile = profile.await.unwrap();
    drop(lease);
    let kinds = Kinds { dense: true, sparse: true, multi: true };
    let options = EmbedOptions { kinds, ..EmbedOptions::default() };
    let made = house.embed("texts", owned(&["some words"]), options, true).await.unwrap();
    let of = &made.embeddings[0];
    let mut writer = Writer::create(&world.at("indexes/tokens"), &profile).unwrap();
    let id = world.begin(&mut writer, "tokens.pdf", 1);
    let (vectors, dense) = (of.multi.concat(), [of.vector.clone()]);
    let sparse: Vec<(u32, f32)> = of.sparse.clone().into_iter().collect();
    let vectors = Some(PageVectors::New { vectors: &vectors, grid: None });
    let one = NewPage { vectors, dense: &dense, sparse: &sparse, ..page(id, 1, "some words") };
    writer.commit(&[one], &[id]).unwrap();
    let server = world.server(&house, &["tokens"], &[]);
    let index = get(&server, "/v1/indexes/tokens").await.json();
    let by: Vec<_> =
        index["encoders"].as_array().unwrap().iter().map(|it| it["finds_by"].clone()).collect();
    assert_eq!(by, ["tokens", "meaning", "weights"]);
    let hits = search(&server, json!({"query": "some words"})).await;
    assert_eq!((&hits["route"], found(&hits).len()), (&json!("tokens of all pages"), 1));
    assert_eq!(hits["models"], json!(["texts"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_found_by_their_looks() {
    let world = World::new();
    let looks = world.model("vision/colqwen2_5", "looks");
    let house = world.house();
    world.looks("pictures", &house, ("looks", &looks)).await;
    let server = world.server(&house, &["pictures"], &[]);
    let hits = search(&server, json!({"query": "garden"})).await;
    assert_eq!((&hits["route"], found(&hits).len()), (&json!("looks of all pages"), 2));
    // The score is the sum over the question's vectors of what fits each best.
    let question = house
        .embed(
            "looks",
            owned(&["garden"]),
            EmbedOptions {
                kinds: Kinds { dense: false, sparse: false, multi: true },
                ..EmbedOptions::default()
            },
            true,
        )
        .await
        .unwrap();
    let vectors = question.embeddings[0].multi.len() as f64;
    assert!(hits["hits"][0]["score"].as_f64().unwrap() <= vectors * 1.01);
    let fused = search(&server, json!({"query": "garden", "fused": true})).await;
    assert_eq!(
        (&fused["route"], found(&fused)),
        (&json!("words, then looks"), vec!["looks.pdf 1".to_owned()])
    );
    // The words of the best are read again by another model, which is the house's too.
    let judge = world.model("models/bert_rerank", "judge");
    let ask = json!({"query": "garden", "rerank": "judge", "rerank_pages": 2});
    let again = search(&server, ask).await;
    assert!(
        again["route"].as_str().unwrap().ends_with("then the words of the best again"),
        "{again}"
    );
    assert_eq!((&again["models"], found(&again).len()), (&json!(["looks", "judge"]), 2));
    let of = |page: u64| {
        again["hits"].as_array().unwrap().iter().find(|hit| hit["page"] == page).unwrap()["relevance"].clone()
    };
    assert!(of(1).is_number() && of(2).is_null(), "{again}");
    assert_eq!(again["took"].as_array().unwrap().last().unwrap()["stage"], "rerank");
    for (wrong, status) in [("looks", 400), ("nobody", 404)] {
        let (found, error) = refused(&server, json!({"query": "garden", "rerank": wrong})).await;
        assert_eq!(found, status, "{error}");
    }
    drop(judge);
    // Where the model is not offered, it is refused in words.
    let elsewhere = open_in(&fixtures().join("models"), &["bert"]);
    let other = world.server(&elsewhere, &["pictures"], &[]);
    let (status, error) = refused(&other, json!({"query": "garden"})).await;
    assert_eq!(status, 409);
    assert!(
        error["message"].as_str().unwrap().contains("no model here has these files"),
        "{error}"
    );
}
