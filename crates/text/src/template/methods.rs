//! Python's methods on strings and dictionaries, where the engine's companion lacks them.

use minijinja::value::{Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::bounds;

/// Calls `value.method(args)`.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        let text = value.as_str().unwrap_or("");
        bounds::weigh(value)?;
        match method {
            "removeprefix" => {
                let (affix,): (&str,) = from_args(args)?;
                return Ok(text.strip_prefix(affix).unwrap_or(text).into());
            }
            "removesuffix" => {
                let (affix,): (&str,) = from_args(args)?;
                return Ok(text.strip_suffix(affix).unwrap_or(text).into());
            }
            "partition" | "rpartition" => {
                let (separator,): (&str,) = from_args(args)?;
                let forward = method == "partition";
                let found =
                    if forward { text.split_once(separator) } else { text.rsplit_once(separator) };
                let three = match found {
                    Some((before, after)) => [before, separator, after],
                    None if forward => [text, "", ""],
                    None => ["", "", text],
                };
                return Ok(Value::from(Tuple::from(three.map(Value::from))));
            }
            "rsplit" => {
                let (separator, most): (&str, Option<i64>) = from_args(args)?;
                if separator.is_empty() {
                    return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
                }
                let most = usize::try_from(most.unwrap_or(-1)).unwrap_or(usize::MAX - 1);
                let mut pieces: Vec<Value> =
                    text.rsplitn(most + 1, separator).map(Value::from).collect();
                pieces.reverse();
                return Ok(pieces.into());
            }
            "replace" => {
                let from = args.first().and_then(Value::as_str).unwrap_or("");
                let to = args.get(1).and_then(Value::as_str).unwrap_or("");
                bounds::check_replace(text, from, to)?;
            }
            "join" => {
                if let Some(items) = args.first() {
                    bounds::check_join(items, text)?;
                }
            }
            "format" => {
                return Err(Error::new(ErrorKind::UnknownMethod, "str.format is not available"));
            }
            _ => {}
        }
    }
    unknown_method_callback(state, value, method, args)
}
