//! Frames between parent and worker: whatever decodes must encode to a message that decodes to
//! itself.
#![no_main]

use documents::worker::{Request, Response, read_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut input = bytes;
    while let Ok(Some((tag, payload))) = read_frame(&mut input) {
        if let Ok(request) = Request::decode(tag, &payload) {
            let (tag, payload) = request.encode();
            assert_eq!(Request::decode(tag, &payload), Ok(request));
        }
        if let Ok(response) = Response::decode(tag, &payload) {
            let (tag, payload) = response.encode();
            assert_eq!(Response::decode(tag, &payload), Ok(response));
        }
    }
});
