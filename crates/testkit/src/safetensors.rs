//! Writes safetensors files, as MLX does: no padding, tensors in the given order.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// A tensor to write: name, dtype (`F32`, `U32`, ...), shape, bytes. Nothing is checked, so that tests can lie.
pub type Tensor<'a> = (&'a str, &'a str, &'a [usize], &'a [u8]);

/// The bytes of a file that holds `tensors` and the notes `metadata`.
pub fn encode(tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut header = String::from("{");
    let separate = |header: &mut String| {
        if header.len() > 1 {
            header.push(',');
        }
    };
    if !metadata.is_empty() {
        let notes: Vec<String> =
            metadata.iter().map(|(key, value)| format!("{}:{}", text(key), text(value))).collect();
        let _ = write!(header, "\"__metadata__\":{{{}}}", notes.join(","));
    }
    let mut begin = 0;
    for (name, dtype, shape, bytes) in tensors {
        separate(&mut header);
        let end = begin + bytes.len();
        let (name, dtype) = (text(name), text(dtype));
        let _ = write!(
            header,
            "{name}:{{\"dtype\":{dtype},\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
        );
        begin = end;
    }
    header.push('}');
    let parts = tensors.iter().map(|(_, _, _, bytes)| *bytes);
    raw(&header, &parts.collect::<Vec<_>>().concat())
}

/// The bytes of a file with this header and this data, whether they agree or not.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}

/// Writes [`encode`]'s bytes to `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> io::Result<()> {
    std::fs::write(path, encode(tensors, metadata))
}

/// The little-endian bytes of `values`.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
