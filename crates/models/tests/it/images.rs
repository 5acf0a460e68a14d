//! Images as the reference's processor makes them, bit for bit.

use std::path::{Path, PathBuf};

use models::Error;
use models::media::{BoardConfig, CropConfig, Image, PatchConfig, Planes};
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

/// The pictures of networks that see, by their names.
fn picture(name: &str, golden: &Golden, i: usize) -> Image {
    let size = golden.tokens(&format!("image{i}.size"));
    let path = crate::vision::root().join("pictures").join(format!("{name}.rgb"));
    Image::new(size[0] as usize, size[1] as usize, std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn crops_are_those_of_the_reference() {
    let folder = crate::vision::root().join("llava_next");
    let golden = Golden::at(&folder.join("golden.safetensors"));
    let path = folder.join("preprocessor_config.json");
    let file = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let config = CropConfig::read(&path, &file).unwrap();
    let grids = [[1, 2], [2, 2], [3, 1], [2, 2]];
    for (i, (name, wanted)) in ["exact", "odd", "tall", "upright"].iter().zip(grids).enumerate() {
        let (parts, grid) = config.crops(&picture(name, &golden, i)).unwrap();
        assert_eq!(grid, wanted, "{name}");
        let planes = parts.iter().map(|part| Planes::of(part, &config.normalization));
        let ours: Vec<f32> = planes.flat_map(|planes| planes.values().to_vec()).collect();
        let truth = golden.values(&format!("image{i}.pixels"));
        assert_eq!(ours.len(), truth.len(), "{name}");
        let wrong = ours.iter().zip(truth).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(wrong, 0, "{name}");
    }
}

#[test]
fn boards_are_those_of_the_reference() {
    let folder = crate::vision::root().join("phi3_v");
    let golden = Golden::at(&folder.join("golden.safetensors"));
    let path = folder.join("preprocessor_config.json");
    let file = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let config = BoardConfig::read(&path, &file, 336).unwrap();
    for (i, name) in ["exact", "odd", "tall"].into_iter().enumerate() {
        let (board, [rows, columns]) = config.fitted(&picture(name, &golden, i)).unwrap();
        assert_eq!([rows as u32, columns as u32], golden.tokens(&format!("image{i}.grid"))[..]);
        let board = Planes::of(&board, &config.normalization);
        let small = board.interpolated(336);
        // Of each part and colour, every seventh pixel of every seventh row.
        let mut ours: Vec<f32> = Vec::new();
        let mut take = |planes: &Planes, [height, width]: [usize; 2], [top, left]: [usize; 2]| {
            for plane in planes.values().chunks_exact(height * width) {
                for y in (top..top + 336).step_by(7) {
                    ours.extend(plane[y * width + left..][..336].iter().step_by(7));
                }
            }
        };
        take(&small, [336, 336], [0, 0]);
        for crop in 0..rows * columns {
            let corner = [crop / columns, crop % columns].map(|at| at * 336);
            take(&board, [rows * 336, columns * 336], corner);
        }
        let truth = golden.values(&format!("image{i}.pixels"));
        assert_eq!(ours.len(), truth.len(), "{name}");
        let wrong = ours.iter().zip(truth).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(wrong, 0, "{name}");
    }
    let narrow = |width: usize| Image::new(width, 1, vec![0; width * 3]).unwrap();
    assert_eq!(config.fitted(&narrow(4 * 336)).unwrap().1, [1, 4]);
    let error = config.fitted(&narrow(4 * 336 + 1)).unwrap_err();
    assert!(matches!(error, Error::AspectRatio { most: 1344, .. }), "{error}");
    for value in [json!(0), json!(65), json!(-1), json!(2.5), json!("four")] {
        let file = json!({"num_crops": value});
        let error = BoardConfig::read(&path, &file, 336).unwrap_err().to_string();
        assert!(error.contains("num_crops") && error.contains("preprocessor_config.json"));
    }
}

/// Heights and widths of images, and the sizes that the reference's own function chooses of the published ones.
#[test]
fn grids_are_those_of_the_reference() {
    let config = CropConfig::read(Path::new("preprocessor_config.json"), &json!({"size": 336}));
    let config = config.unwrap();
    for ((height, width), size) in [
        ((336, 672), [336, 672]),
        ((100, 100), [336, 672]),
        ((1000, 1000), [672, 672]),
        ((300, 301), [336, 672]),
        ((3508, 2480), [672, 672]),
        ((2480, 3508), [672, 672]),
        ((40, 1000), [336, 1008]),
        ((1000, 40), [1008, 336]),
        ((671, 673), [672, 672]),
        ((200, 640), [336, 672]),
        ((1, 1), [336, 672]),
        ((5000, 1600), [1008, 336]),
        ((336, 336), [336, 672]),
        ((17, 4000), [336, 1008]),
    ] {
        let grid = config.best(width, height).unwrap();
        assert_eq!(grid.map(|crops| crops * 336), size, "{height} x {width}");
    }
    let error = config.best(2000, 1).unwrap_err();
    assert!(matches!(error, Error::AspectRatio { most: 1008, .. }), "{error}");
    assert_eq!(config.best(1008, 1).unwrap(), [1, 3]);
}

#[test]
fn a_file_about_crops_is_read_and_not_overlooked() {
    let read = |file: Value| CropConfig::read(Path::new("preprocessor_config.json"), &file);
    let config = read(json!({
        "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
        "do_center_crop": true, "resample": 3, "aspect_ratio_setting": "anyres",
    }));
    assert_eq!(config.unwrap().grids, [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]]);
    for (field, value) in [
        ("do_resize", json!(false)),
        ("do_center_crop", json!(false)),
        ("do_normalize", json!(false)),
        ("resample", json!(2)),
        ("aspect_ratio_setting", json!("pad")),
        ("size", json!({"shortest_edge": 0})),
        ("size", json!({"shortest_edge": 1_u64 << 62})),
        ("size", json!({"height": 336, "width": 335})),
        ("size", json!({"longest_edge": 336})),
        ("crop_size", json!({"height": 224, "width": 224})),
        ("image_grid_pinpoints", json!([])),
        ("image_grid_pinpoints", json!([[336]])),
        ("image_grid_pinpoints", json!([[336, 500]])),
        ("image_grid_pinpoints", json!([[336, 0]])),
        ("image_grid_pinpoints", json!([[336, 336 * 65]])),
        ("image_grid_pinpoints", json!([[1024 * 5, 1024 * 5]])),
        ("image_grid_pinpoints", json!([[1_u64 << 62, 336]])),
        ("image_grid_pinpoints", json!(vec![[336, 336]; 65])),
        ("image_grid_pinpoints", json!("(1x1),...,(6x6)")),
    ] {
        let large = value == json!([[1024 * 5, 1024 * 5]]);
        let mut file = json!({"size": {"shortest_edge": if large { 1024 } else { 336 }}});
        file[field] = value;
        let error = read(file).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("preprocessor_config.json"), "{error}");
    }
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
