//! Applying an encoder to a table.

use super::cells::{Cell, Column, Table, shown};
use super::fit::{Encoder, Kind, Target, key, refuse_missing};
use super::settings::unknown;
use std::collections::{HashMap, HashSet};

/// The most `f32` values (16 GiB) that [`Encoder::features`] and [`Encoder::targets`] make from one table.
pub const MOST_VALUES: usize = 1 << 32;

/// The target of each row.
#[derive(Clone, PartialEq, Debug)]
pub enum EncodedTargets {
    /// There is no target.
    None,
    /// The class of each row, as an index into [`Encoder::class_names`].
    Classes(Vec<u32>),
    /// Row after row, the values of the target columns.
    Values {
        /// `width` values per row.
        values: Vec<f32>,
        /// The number of target columns.
        width: usize,
    },
}

/// A feature of the encoder together with the table's column it comes from.
struct Source<'a> {
    name: &'a str,
    index: usize,
    column: &'a Column,
    step: Step<'a>,
}

/// What is done with a value; `fill` replaces missing ones.
enum Step<'a> {
    Number { fill: Option<f32> },
    Category { places: HashMap<&'a str, usize>, width: usize, fill: Option<usize> },
}

impl Encoder {
    /// The features of every row, row after row, and how many a row has.
    ///
    /// If the table has a header, columns are found by name; others may be there, in any order. Without a header they
    /// are found by place: the table must have all columns of the training table, or all but the target, or nothing
    /// but the features. A category that was not in the training table is an error.
    pub fn features(&self, table: &Table) -> Result<(Vec<f32>, usize), String> {
        let sources = self.sources(table)?;
        let needed = sources
            .iter()
            .filter(|source| matches!(source.step, Step::Number { fill: None } | Step::Category { fill: None, .. }));
        refuse_missing(table, &needed.map(|source| source.index).collect::<Vec<_>>(), "")?;
        let width = self.width();
        let mut features = zeros(table.rows(), width)?;
        for (row, out) in features.chunks_exact_mut(width.max(1)).enumerate() {
            let mut at = 0;
            for source in &sources {
                let cell = source.column.cell(row);
                match &source.step {
                    Step::Number { fill } => {
                        let value = if let (Cell::Missing, Some(fill)) = (cell, fill) {
                            *fill
                        } else {
                            value(cell).map_err(|why| problem(table, row, source.name, &why))?
                        };
                        if let Some(out) = out.get_mut(at) {
                            *out = value;
                        }
                        at += 1;
                    }
                    Step::Category { places, width, fill } => {
                        let place = match (key(cell), fill) {
                            (None, Some(fill)) => Ok(*fill),
                            (value, _) => place(places, value.as_deref()),
                        };
                        let place = place.map_err(|why| problem(table, row, source.name, &why))?;
                        if let Some(out) = out.get_mut(at + place) {
                            *out = 1.0;
                        }
                        at += width;
                    }
                }
            }
        }
        Ok((features, width))
    }

    /// The target of every row. A class that was not in the training table is an error, as is a missing target.
    pub fn targets(&self, table: &Table) -> Result<EncodedTargets, String> {
        if self.target == Target::None {
            return Ok(EncodedTargets::None);
        }
        let found = self.find(table)?;
        let mut columns = Vec::new();
        for &column in self.target.columns() {
            columns.push(self.column(table, &found, column, "the target")?);
        }
        refuse_missing(table, &columns.iter().map(|column| column.0).collect::<Vec<_>>(), "")?;
        if let Target::Classes { names, .. } = &self.target {
            let places: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
            let mut classes = Vec::with_capacity(table.rows());
            for (_, name, column) in columns {
                for row in 0..table.rows() {
                    let class = place(&places, key(column.cell(row)).as_deref());
                    let class =
                        class.and_then(|class| u32::try_from(class).map_err(|_| "too many classes".to_string()));
                    classes.push(class.map_err(|why| problem(table, row, name, &why))?);
                }
            }
            return Ok(EncodedTargets::Classes(classes));
        }
        let width = columns.len();
        let mut values = zeros(table.rows(), width)?;
        for (row, out) in values.chunks_exact_mut(width.max(1)).enumerate() {
            for (out, (_, name, column)) in out.iter_mut().zip(&columns) {
                *out = value(column.cell(row)).map_err(|why| problem(table, row, name, &why))?;
            }
        }
        Ok(EncodedTargets::Values { values, width })
    }

    /// The number of features of a row.
    pub fn width(&self) -> usize {
        let width = |kind: &Kind| if let Kind::Category { values, .. } = kind { values.len() } else { 1 };
        self.features.iter().map(|feature| width(&feature.kind)).sum()
    }

    /// The name of each feature: that of its column, with the value if it stands for a category (`color=red`).
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for feature in &self.features {
            let name = self.name(feature.column);
            match &feature.kind {
                Kind::Number { .. } => names.push(name.to_string()),
                Kind::Category { values, .. } => names.extend(values.iter().map(|value| format!("{name}={value}"))),
            }
        }
        names
    }

    /// The names of the classes, if the target is a class.
    pub fn class_names(&self) -> Option<&[String]> {
        if let Target::Classes { names, .. } = &self.target { Some(names) } else { None }
    }

    /// The names of the target columns.
    pub fn target_names(&self) -> Vec<String> {
        self.target.columns().iter().map(|&column| self.name(column).to_string()).collect()
    }

    /// An encoder can come from a file, so that an index need not be right.
    fn name(&self, column: usize) -> &str {
        self.columns.get(column).map_or("", String::as_str)
    }

    /// Where the columns of the training table are in `table`, as far as they are there.
    fn find(&self, table: &Table) -> Result<HashMap<usize, usize>, String> {
        table.check()?;
        if table.is_unnamed() {
            let count = table.names.len();
            let targets: HashSet<usize> = self.target.columns().iter().copied().collect();
            let all: Vec<usize> = (0..self.columns.len()).collect();
            let inputs: Vec<usize> = all.iter().copied().filter(|column| !targets.contains(column)).collect();
            let features: Vec<usize> = self.features.iter().map(|feature| feature.column).collect();
            let counts = format!("{}, {} or {}", all.len(), inputs.len(), features.len());
            let columns = [all, inputs, features].into_iter().find(|columns| columns.len() == count);
            let columns = columns.ok_or_else(|| {
                format!(
                    "there are {count} columns without names, but there must be {counts} (all columns of the training \
                     table, those without target, the features alone)"
                )
            })?;
            return Ok(columns.into_iter().enumerate().map(|(at, column)| (column, at)).collect());
        }
        let places: HashMap<&str, usize> =
            table.names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let named = self.columns.iter().enumerate();
        Ok(named.filter_map(|(column, name)| Some((column, *places.get(name.as_str())?))).collect())
    }

    /// The place, name and values of a column in `table`.
    fn column<'a>(
        &'a self,
        table: &'a Table,
        found: &HashMap<usize, usize>,
        column: usize,
        whose: &str,
    ) -> Result<(usize, &'a str, &'a Column), String> {
        let name = self.name(column);
        let place = found.get(&column).and_then(|&place| Some((place, table.columns.get(place)?)));
        let (place, values) = place.ok_or_else(|| unknown(table, name, whose))?;
        Ok((place, name, values))
    }

    /// The features with their columns in `table`.
    fn sources<'a>(&'a self, table: &'a Table) -> Result<Vec<Source<'a>>, String> {
        let found = self.find(table)?;
        let mut sources = Vec::with_capacity(self.features.len());
        for feature in &self.features {
            let (index, name, column) = self.column(table, &found, feature.column, "a feature")?;
            let step = match &feature.kind {
                Kind::Number { fill } => Step::Number { fill: *fill },
                Kind::Category { values, fill } => {
                    if fill.is_some_and(|fill| fill >= values.len()) {
                        return Err(format!("the encoder is damaged: column {} has no such value", shown(name)));
                    }
                    let places = values.iter().enumerate().map(|(at, value)| (value.as_str(), at)).collect();
                    Step::Category { places, width: values.len(), fill: *fill }
                }
            };
            sources.push(Source { name, index, column, step });
        }
        Ok(sources)
    }
}

/// The message for a value that cannot be used.
fn problem(table: &Table, row: usize, name: &str, why: &str) -> String {
    format!("line {}, column {}: {why}", table.line(row), shown(name))
}

/// A value as `f32`, which must be finite.
fn value(cell: Cell<'_>) -> Result<f32, String> {
    match cell {
        Cell::Missing => Err("the value is missing".to_string()),
        Cell::Text(text) => Err(format!("{} is not a number", shown(text))),
        Cell::Number(number) if (number as f32).is_finite() => Ok(number as f32),
        Cell::Number(number) => Err(format!("{number:e} is too large for f32")),
    }
}

/// The place of a category or class.
fn place(places: &HashMap<&str, usize>, value: Option<&str>) -> Result<usize, String> {
    let value = value.ok_or_else(|| "the value is missing".to_string())?;
    places.get(value).copied().ok_or_else(|| format!("{} is not among the values of the training table", shown(value)))
}

/// Room for `rows` times `width` values.
fn zeros(rows: usize, width: usize) -> Result<Vec<f32>, String> {
    let count = rows.checked_mul(width).filter(|&count| count <= MOST_VALUES);
    let count = count.ok_or_else(|| format!("{rows} rows of {width} values are more than {MOST_VALUES} values"))?;
    let mut values = Vec::new();
    let room = values.try_reserve_exact(count);
    room.map_err(|_| format!("there is no memory for {rows} rows of {width} values"))?;
    values.resize(count, 0.0);
    Ok(values)
}
