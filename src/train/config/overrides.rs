//! Single settings changed by their path, as in `optimizer.lr=0.1`.

use super::Config;
use crate::error::{Error, Result};
use toml::{Table, Value};

impl Config {
    /// The same settings with one changed: `path` is its keys and, in lists, indices, separated by dots; `value` is a
    /// TOML value, or a text without quotes. Where the `type` of an optimiser, a schedule, a loss or a layer changes,
    /// the old one's settings are dropped, except for the learning rate.
    ///
    /// # Errors
    /// [`Error::Config`] naming `path`, if there is no such setting or the value does not suit it.
    ///
    /// ```
    /// let config = wgrad::train::Config::preset("mlp")?;
    /// let config = config.with("optimizer.lr", "0.01")?.with("model.layers.0.out_features", "64")?;
    /// assert_eq!(config.optimizer.lr(), 0.01);
    /// let error = config.with("optimizer.rate", "0.1").unwrap_err().to_string();
    /// assert!(error.contains("optimizer.rate") && error.contains("momentum"), "{error}");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn with(&self, path: &str, value: &str) -> Result<Config> {
        let wrong = |message: String| Error::config(path, message);
        let mut root = Value::try_from(self).map_err(|e| wrong(format!("the settings cannot be changed: {e}")))?;
        let parsed = parse(value);
        let keys: Vec<&str> = path.split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(wrong("is not a setting: its keys are separated by single dots".into()));
        }
        set(&mut root, &keys, parsed).map_err(wrong)?;
        // A value that looks like a number may be meant as a text, such as a column's name.
        let changed = root.clone().try_into();
        changed.or_else(|first: toml::de::Error| {
            set(&mut root, &keys, Value::String(value.into())).map_err(wrong)?;
            root.try_into().map_err(|_| wrong(first.message().to_string()))
        })
    }

    /// As [`Config::with`], for an argument `KEY=VALUE`.
    ///
    /// # Errors
    /// As [`Config::with`], and [`Error::Config`] if there is no `=`.
    pub fn with_assignment(&self, assignment: &str) -> Result<Config> {
        match assignment.split_once('=') {
            Some((path, value)) => self.with(path.trim(), value.trim()),
            None => Err(Error::config(assignment, "is not of the form KEY=VALUE, such as optimizer.lr=0.1")),
        }
    }
}

fn parse(text: &str) -> Value {
    let document = format!("v = {text}").parse::<Table>();
    match document.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("v")) {
        Some(value) => value,
        None => Value::String(text.into()),
    }
}

fn set(place: &mut Value, keys: &[&str], value: Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        *place = value;
        return Ok(());
    };
    match place {
        Value::Table(table) => {
            if *key == "type" && rest.is_empty() && table.get("type") != Some(&value) {
                table.retain(|name, _| name == "lr");
            }
            let missing = if rest.is_empty() { Value::String(String::new()) } else { Value::Table(Table::new()) };
            set(table.entry(*key).or_insert(missing), rest, value)
        }
        Value::Array(list) => {
            let count = list.len();
            let index = key.parse().ok().filter(|&index: &usize| index < count);
            match index {
                Some(index) => set(&mut list[index], rest, value),
                None => Err(format!("`{key}` is not an index of a list of {count}")),
            }
        }
        _ => Err(format!("`{key}` is within a setting that has no parts")),
    }
}
