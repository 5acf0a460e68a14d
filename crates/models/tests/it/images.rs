//! Images as the reference's processor makes them, bit for bit.

use std::path::{Path, PathBuf};

use models::Error;
use models::media::{Image, PatchConfig};
use serde_json::{Value, json};

use crate::fixture::Golden;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/images")
}

#[test]
fn patches_are_those_of_the_reference() {
    let golden = Golden::at(&root().join("golden.safetensors"));
    let names: Vec<_> = golden.names().filter_map(|name| name.strip_suffix(".size")).collect();
    assert_eq!(names.len(), 6);
    for name in names {
        let size = golden.tokens(&format!("{name}.size"));
        let [width, height, min_pixels, max_pixels] =
            <[u32; 4]>::try_from(size).unwrap().map(|n| n as usize);
        let bytes = std::fs::read(root().join(format!("{name}.rgb"))).unwrap();
        let image = Image::new(width, height, bytes).unwrap();
        let config = PatchConfig { min_pixels, max_pixels, ..PatchConfig::default() };
        let ours = config.cut(&config.resized(&image).unwrap());
        let grid = golden.tokens(&format!("{name}.grid"));
        assert_eq!(ours.grid.map(|n| n as u32), grid[..], "{name}");
        let truth = golden.values(&format!("{name}.pixels"));
        let area = config.patch * config.patch;
        let first = ours.values.chunks_exact(config.frames * area);
        let (mut wrong, mut furthest) = (0, 0.0_f32);
        for (ours, truth) in first.zip(truth.chunks_exact(area)) {
            assert_eq!(ours[..area], ours[area..], "{name}: the frames of a still image are one");
            for (a, b) in ours.iter().zip(truth) {
                wrong += usize::from(a.to_bits() != b.to_bits());
                furthest = furthest.max((a - b).abs());
            }
        }
        assert_eq!(ours.values.len(), truth.len() * config.frames, "{name}");
        assert_eq!(wrong, 0, "{name}: off by {furthest:e} at most");
    }
}

/// Heights and widths before and after, by the reference's own function.
#[test]
fn sizes_are_those_of_the_reference() {
    let config = PatchConfig { max_pixels: 12_845_056, ..PatchConfig::default() };
    for ((height, width), fitted) in [
        ((1288, 996), (1288, 1008)),
        ((1288, 910), (1288, 896)),
        ((724, 1288), (728, 1288)),
        ((100, 30), (112, 28)),
        ((20, 20), (56, 56)),
        ((14, 14), (56, 56)),
        // Two blocks and a half: halves go to the even number.
        ((42, 70), (56, 56)),
        ((3508, 2480), (3500, 2492)),
        ((1288, 30), (1288, 28)),
    ] {
        let (w, h) = config.fit(width, height).unwrap();
        assert_eq!((h, w), fitted, "{height} x {width}");
    }
    assert_eq!(PatchConfig::default().fit(996, 1288).unwrap(), (868, 1120));
    let error = config.fit(10, 2010).unwrap_err();
    assert!(matches!(error, Error::AspectRatio { width: 10, height: 2010, .. }), "{error}");
    assert!(config.fit(10, 2000).is_ok());
}

#[test]
fn the_processors_file_is_read_and_not_overlooked() {
    let read = |file: Value| PatchConfig::read(Path::new("preprocessor_config.json"), &file);
    let published = json!({
        "min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "temporal_patch_size": 2,
        "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
    });
    let config = read(published).unwrap();
    assert_eq!(config, PatchConfig { max_pixels: 12_845_056, ..PatchConfig::default() });
    let both = json!({"size": {"shortest_edge": 4000, "longest_edge": 9000}, "max_pixels": 8000});
    let config = read(both).unwrap();
    assert_eq!((config.min_pixels, config.max_pixels), (4000, 8000));
    for (field, value) in [
        ("do_resize", json!(false)),
        ("do_normalize", json!(false)),
        ("resample", json!(2)),
        ("rescale_factor", json!(1.0)),
        ("patch_size", json!(0)),
        ("patch_size", json!(100_000)),
        ("max_pixels", json!(-1)),
        ("image_mean", json!([0.5])),
        ("image_std", json!([1, 0, 1])),
    ] {
        let error = read(json!({field: value})).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("preprocessor_config.json"), "{error}");
    }
    assert!(read(json!({"min_pixels": 9000, "max_pixels": 8000})).is_err());
}
