//! A picture that somebody sent: PNG, JPEG, WebP or TIFF, by its first bytes.
#![no_main]

use documents::picture::{Picture, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match decode(input) {
        Ok(Picture { width, height, pixels }) => assert_eq!(pixels.len(), width * height * 3),
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
});
