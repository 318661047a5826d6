//! Reading YAML of containers. The readers fail at a key that they do not know, so that no line of the files
//! goes untested unnoticed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// A file of `packaging/container/`.
pub(super) fn read(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/container").join(name);
    parse(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
}

pub(super) fn parse(text: &str) -> Result<Value> {
    Ok(serde_yaml::from_str(text)?)
}

/// The value at a path such as `/services/signer` (RFC 6901); null if there is none.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// The entries of a mapping.
pub(super) fn entries<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{what} is not a mapping: {value}"))
}

/// The entries of a list.
pub(super) fn list<'a>(value: &'a Value, what: &str) -> Result<&'a [Value]> {
    value.as_array().map(Vec::as_slice).with_context(|| format!("{what} is not a list: {value}"))
}

/// A text, a number or a truth value as it is written.
pub(super) fn word(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => bail!("not a single value: {value}"),
    }
}

pub(super) fn words(value: &Value, what: &str) -> Result<Vec<String>> {
    list(value, what)?.iter().map(word).collect()
}
