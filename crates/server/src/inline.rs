//! Bytes that stand in a request itself: base64, alone or in a `data:` address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a `data:` address holds; [`None`] if `text` is another address, or none.
pub(crate) fn of_address(text: &str) -> Option<Result<Vec<u8>, String>> {
    let rest = text.strip_prefix("data:")?;
    Some(match rest.split_once(',') {
        None => Err("the data: address has no comma".to_owned()),
        Some((kind, _)) if !kind.ends_with(";base64") => {
            Err("the data: address must be base64".to_owned())
        }
        Some((_, data)) => of_base64(data),
    })
}

/// What base64 stands for.
pub(crate) fn of_base64(text: &str) -> Result<Vec<u8>, String> {
    let decoded = STANDARD.decode(text.trim());
    decoded.map_err(|error| format!("what it holds is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{of_address, of_base64};

    #[test]
    fn bytes_stand_alone_or_in_an_address() {
        let two = || Ok(vec![104, 105]);
        assert_eq!(of_base64(" aGk=\n"), two());
        assert_eq!(of_address("data:image/png;base64,aGk="), Some(two()));
        assert_eq!(of_address("https://a/b.png"), None);
        let said = |text: &str| of_address(text).unwrap().unwrap_err();
        assert!(said("data:text/plain,hi").contains("must be base64"));
        assert!(said("data:image/png;base64").contains("no comma"));
        assert!(said("data:;base64,a$").contains("not base64"));
    }
}
