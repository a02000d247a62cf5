//! Tables in memory: columns, cells, and what a field of text means.

/// Names shown in a message.
const SHOWN_NAMES: usize = 20;

/// Characters of a name or value shown in a message.
const SHOWN: usize = 60;

/// How to read a table; `None` means: find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// What separates fields. Found among tab, `;` and `,` (in that order) as the one that gives the same number of
    /// fields, more than one, in each of the first lines.
    pub delimiter: Option<char>,
    /// Whether the first row names the columns. Found to be so if one of its fields is not a number although the
    /// fields below it (of the next 100 rows) are.
    pub header: Option<bool>,
    /// Lines that start with this character are skipped; `None`: there are no comments.
    pub comment: Option<char>,
}

/// A table in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// One name per column, all different; `0`, `1`, ... if there is no header.
    pub names: Vec<String>,
    /// The columns, each with one value per row.
    pub columns: Vec<Column>,
    /// The line, counted from 1, on which each row starts.
    pub lines: Vec<u64>,
}

/// The values of one column.
///
/// Empty fields and `NA`, `N/A`, `nan`, `NaN`, `null`, `NULL` and `?` are missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// All fields that are not missing are finite decimal numbers; NaN stands for a missing value.
    Numbers(Vec<f64>),
    /// At least one field is no such number.
    Text(Vec<Option<String>>),
}

/// One value of a column.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

impl Column {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Numbers(values) => values.len(),
            Column::Text(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value; text that is a number counts as that number, because the same field can be part of a text column in
    /// one file and of a number column in another. A row that does not exist is missing.
    pub(super) fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Column::Numbers(values) => match values.get(row) {
                Some(value) if !value.is_nan() => Cell::Number(*value),
                _ => Cell::Missing,
            },
            Column::Text(values) => match values.get(row) {
                Some(Some(text)) => number(text).map_or(Cell::Text(text), Cell::Number),
                _ => Cell::Missing,
            },
        }
    }
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The line of a row, 0 if there is no such row.
    pub(super) fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// Whether the columns are named only by their place.
    pub(super) fn is_unnamed(&self) -> bool {
        self.names.iter().enumerate().all(|(index, name)| *name == index.to_string())
    }

    /// The fields are public, so a table need not come from [`read_table`](super::read_table).
    pub(super) fn check(&self) -> Result<(), String> {
        let rows = self.rows();
        if self.names.len() != self.columns.len() || self.columns.iter().any(|column| column.len() != rows) {
            return Err("the names, columns and lines of the table differ in length".to_string());
        }
        Ok(())
    }
}

/// A name or value as messages show it: quoted, escaped and cut off if long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Names as messages show them: the first of them, and how many more there are.
pub(super) fn shown_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SHOWN_NAMES);
    let list = names.take(SHOWN_NAMES).map(shown).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

/// Whether a field stands for a value that is not known.
pub(super) fn is_missing(field: &str) -> bool {
    matches!(field, "" | "NA" | "N/A" | "nan" | "NaN" | "null" | "NULL" | "?")
}

/// A finite decimal number. Words that Rust reads as numbers (`inf`) and numbers beyond `f64` are none.
pub(super) fn number(field: &str) -> Option<f64> {
    let plain = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { field.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

/// A number written with a decimal comma, or without decimals.
pub(super) fn number_with_comma(field: &str) -> Option<f64> {
    if field.contains('.') { None } else { number(&field.replacen(',', ".", 1)) }
}

/// The fields as numbers, NaN for missing ones, if all of them are numbers. Decimal commas are understood only if no
/// field has a point: `1.234` among `1,5` could mean either.
pub(super) fn numbers<'a, I: Iterator<Item = &'a str>>(
    fields: impl Fn() -> I,
    decimal_comma: bool,
) -> Option<Vec<f64>> {
    let parse = |parse: fn(&str) -> Option<f64>| {
        fields()
            .map(|field| if is_missing(field) { Some(f64::NAN) } else { parse(field) })
            .collect::<Option<Vec<f64>>>()
    };
    parse(number).or_else(|| if decimal_comma { parse(number_with_comma) } else { None })
}

/// The fields of one column. One text for all of them, since a `String` each would cost many times their length.
#[derive(Default)]
pub(super) struct Cells {
    text: String,
    lengths: Vec<u32>,
}

impl Cells {
    pub(super) fn push(&mut self, field: &str) -> Result<(), String> {
        self.lengths.push(u32::try_from(field.len()).map_err(|_| "a field is longer than 4 GiB".to_string())?);
        self.text.push_str(field);
        Ok(())
    }

    /// The fields from the first row on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.lengths.iter().map(move |&length| {
            let end = start + length as usize;
            let field = self.text.get(start..end).unwrap_or_default();
            start = end;
            field
        })
    }

    pub(super) fn into_column(self, skip: usize, decimal_comma: bool) -> Column {
        if let Some(values) = numbers(|| self.iter().skip(skip), decimal_comma) {
            return Column::Numbers(values);
        }
        let text = |field: &str| if is_missing(field) { None } else { Some(field.to_string()) };
        Column::Text(self.iter().skip(skip).map(text).collect())
    }
}
