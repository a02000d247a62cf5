//! Deciding how the columns of a table become numbers.

use super::cells::{Cell, Column, Table, number, shown};
use super::settings::{Role, TableSettings};
use crate::data::TargetKind;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// The most values a category column, and the most classes a target may have. More of them are rather a sign that a
/// column of identifiers or amounts was named by mistake, and one-hot features would need memory without end.
pub const MOST_CATEGORIES: usize = 10_000;

/// The most classes that [`TargetKind::Auto`] sees in a column of numbers.
const MOST_GUESSED: usize = 100;

/// How the columns of one table, and of every table like it, become numbers.
///
/// Values of category columns and classes are compared as numbers where they are numbers (`1`, `01` and `1.0` are the
/// same), because whether a field is read as text depends on the other fields of its column.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Encoder {
    /// The names of all columns of the training table.
    pub(super) columns: Vec<String>,
    pub(super) features: Vec<Feature>,
    pub(super) target: Target,
}

/// A column that is part of the features, as an index into [`Encoder::columns`].
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) struct Feature {
    pub(super) column: usize,
    pub(super) kind: Kind,
}

/// How a column becomes features; `fill` replaces missing values.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) enum Kind {
    Number { fill: Option<f32> },
    Category { values: Vec<String>, fill: Option<usize> },
}

/// How columns, as indices into [`Encoder::columns`], become the target.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(super) enum Target {
    None,
    Classes { column: usize, names: Vec<String> },
    Values { columns: Vec<usize> },
}

impl Target {
    /// The columns, as indices into [`Encoder::columns`].
    pub(super) fn columns(&self) -> &[usize] {
        match self {
            Target::None => &[],
            Target::Classes { column, .. } => std::slice::from_ref(column),
            Target::Values { columns } => columns,
        }
    }
}

impl Encoder {
    /// Decides from `table` how its columns become features and target.
    ///
    /// Categories and classes are taken from all rows, sorted: numbers by value, then text. What replaces missing
    /// features is computed from `train_rows` alone, so that nothing of the other rows gets into training.
    pub fn fit(
        table: &Table,
        settings: &TableSettings,
        kind: TargetKind,
        train_rows: &[usize],
    ) -> Result<Encoder, String> {
        table.check()?;
        if let Some(row) = train_rows.iter().find(|&&row| row >= table.rows()) {
            return Err(format!("training row {row} is none of the {} rows of the table", table.rows()));
        }
        let (roles, targets) = settings.roles(table)?;
        let mut used = Vec::new();
        for (index, (role, column)) in roles.iter().zip(&table.columns).enumerate() {
            match (role, column) {
                (Role::Number, Column::Text(_)) => return Err(text_column(table, index)),
                (Role::Number | Role::Category, _) => used.push(index),
                (Role::Target | Role::Ignored, _) => {}
            }
        }
        if used.is_empty() {
            return Err("no column is left as a feature".to_string());
        }
        if !settings.fill_missing {
            refuse_missing(table, &used, "set `data.missing` to \"mean\", or name the column in `data.ignore`")?;
        }
        let mut features = Vec::new();
        for index in used {
            let (Some(column), Some(name)) = (table.columns.get(index), table.names.get(index)) else { continue };
            let kind = if roles.get(index) == Some(&Role::Category) {
                let values = distinct(column, name)?;
                let fill =
                    if settings.fill_missing { Some(most_frequent(column, name, &values, train_rows)?) } else { None };
                Kind::Category { values, fill }
            } else {
                let fill = if settings.fill_missing { Some(mean(column, name, train_rows)?) } else { None };
                Kind::Number { fill }
            };
            features.push(Feature { column: index, kind });
        }
        let target = fit_target(table, targets, kind)?;
        Ok(Encoder { columns: table.names.clone(), features, target })
    }
}

/// The message for text in a column of numbers.
fn text_column(table: &Table, index: usize) -> String {
    let name = table.names.get(index).map(|name| shown(name)).unwrap_or_default();
    let mut found = String::new();
    if let Some(Column::Text(values)) = table.columns.get(index) {
        let mut texts = values.iter().zip(&table.lines).filter_map(|(value, line)| Some((value.as_deref()?, line)));
        if let Some((text, line)) = texts.find(|(text, _)| number(text).is_none()) {
            found = format!(" ({} on line {line})", shown(text));
        }
    }
    format!("column {name} is text{found}: name it in `categories` or `ignore`")
}

/// Errors if one of the columns misses a value, naming the first and counting the others; `advice` says what to do.
pub(super) fn refuse_missing(table: &Table, columns: &[usize], advice: &str) -> Result<(), String> {
    let mut first: Option<(usize, usize)> = None;
    let mut count = 0_usize;
    for &index in columns {
        let Some(column) = table.columns.get(index) else { continue };
        for row in 0..column.len() {
            if matches!(column.cell(row), Cell::Missing) {
                count += 1;
                if first.is_none_or(|first| (row, index) < first) {
                    first = Some((row, index));
                }
            }
        }
    }
    let Some((row, index)) = first else { return Ok(()) };
    let name = table.names.get(index).map(|name| shown(name)).unwrap_or_default();
    let others = match count - 1 {
        0 => String::new(),
        1 => " (and 1 other value is missing)".to_string(),
        others => format!(" (and {others} other values are missing)"),
    };
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    Err(format!("line {}, column {name}: the value is missing{others}{advice}", table.line(row)))
}

/// What categories are compared by: see [`Encoder`].
pub(super) fn key(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    match cell {
        Cell::Missing => None,
        Cell::Text(text) => Some(Cow::Borrowed(text)),
        Cell::Number(value) => Some(Cow::Owned(number_text(value))),
    }
}

/// A number as text from which it can be read back exactly.
fn number_text(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_string()
    } else if (1e-5..1e16).contains(&size) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// Numbers by value, then text.
fn by_value(left: &str, right: &str) -> Ordering {
    match (number(left), number(right)) {
        (Some(a), Some(b)) => a.total_cmp(&b).then_with(|| left.cmp(right)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// The different values of a column, sorted.
fn distinct(column: &Column, name: &str) -> Result<Vec<String>, String> {
    let mut seen = HashSet::new();
    for row in 0..column.len() {
        if let Some(value) = key(column.cell(row))
            && !seen.contains(value.as_ref())
        {
            if seen.len() == MOST_CATEGORIES {
                return Err(format!("column {} has more than {MOST_CATEGORIES} different values", shown(name)));
            }
            seen.insert(value.into_owned());
        }
    }
    let mut values: Vec<String> = seen.into_iter().collect();
    values.sort_unstable_by(|left, right| by_value(left, right));
    Ok(values)
}

/// The message for a column that has nothing to replace missing values by.
fn no_fill(name: &str) -> String {
    format!("column {} has no value in the training rows that could replace missing ones", shown(name))
}

/// The index of the value that most training rows have, the first of these if there are several.
fn most_frequent(column: &Column, name: &str, values: &[String], rows: &[usize]) -> Result<usize, String> {
    let places: HashMap<&str, usize> =
        values.iter().enumerate().map(|(place, value)| (value.as_str(), place)).collect();
    let mut counts = vec![0_usize; values.len()];
    for &row in rows {
        let place = key(column.cell(row)).and_then(|value| places.get(value.as_ref()).copied());
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().filter(|&most| most > 0).ok_or_else(|| no_fill(name))?;
    counts.iter().position(|&count| count == most).ok_or_else(|| no_fill(name))
}

/// The mean of the training rows.
fn mean(column: &Column, name: &str, rows: &[usize]) -> Result<f32, String> {
    let mut mean = 0.0_f64;
    let mut count = 0.0_f64;
    for &row in rows {
        if let Cell::Number(value) = column.cell(row) {
            count += 1.0;
            // Not a sum, which could overflow.
            mean += (value - mean) / count;
        }
    }
    if count == 0.0 {
        return Err(no_fill(name));
    }
    let mean = mean as f32;
    if mean.is_finite() { Ok(mean) } else { Err(format!("the mean of column {} is too large for f32", shown(name))) }
}

/// Decides what the target columns become.
fn fit_target(table: &Table, columns: Vec<usize>, kind: TargetKind) -> Result<Target, String> {
    let Some(&first) = columns.first() else { return Ok(Target::None) };
    refuse_missing(table, &columns, "a target must not be missing")?;
    if columns.len() == 1
        && let (Some(column), Some(name)) = (table.columns.get(first), table.names.get(first))
    {
        let classes = match (kind, column) {
            (TargetKind::Classes, _) | (TargetKind::Auto, Column::Text(_)) => true,
            (TargetKind::Auto, Column::Numbers(values)) => look_like_classes(values),
            (TargetKind::Values | TargetKind::None, _) => false,
        };
        if classes {
            return Ok(Target::Classes { column: first, names: distinct(column, name)? });
        }
    } else if kind == TargetKind::Classes {
        return Err(format!("`target` names {} columns, but classes are in a single one", columns.len()));
    }
    for &index in &columns {
        if let (Some(Column::Text(_)), Some(name)) = (table.columns.get(index), table.names.get(index)) {
            return Err(format!("target column {} is text, but values must be numbers", shown(name)));
        }
    }
    Ok(Target::Values { columns })
}

/// Whether numbers are classes according to [`TargetKind::Auto`].
fn look_like_classes(values: &[f64]) -> bool {
    let mut present = [false; MOST_GUESSED];
    for &value in values {
        if !(value >= 0.0 && value < MOST_GUESSED as f64 && value.fract() == 0.0) {
            return false;
        }
        if let Some(class) = present.get_mut(value as usize) {
            *class = true;
        }
    }
    let count = present.iter().filter(|&&class| class).count();
    count >= 2 && count <= values.len() / 2 && present.iter().take(count).all(|&class| class)
}
