//! Reading CSV and TSV text.

use super::guess::{Dialect, has_header, is_blank};
use super::lines::Lines;
use csv::ByteRecord;
use std::collections::HashSet;
use std::io::Read;

/// The most columns a table may have.
pub const MOST_COLUMNS: usize = 1_000_000;

/// Bytes read ahead to find the delimiter.
const HEAD: usize = 256 * 1024;

/// Characters of a name or value shown in a message.
const SHOWN: usize = 60;

/// Names shown in a message.
const SHOWN_NAMES: usize = 20;

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

    /// The fields are public, so a table need not come from [`read_table`].
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
    fn push(&mut self, field: &str) -> Result<(), String> {
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

    fn into_column(self, skip: usize, decimal_comma: bool) -> Column {
        if let Some(values) = numbers(|| self.iter().skip(skip), decimal_comma) {
            return Column::Numbers(values);
        }
        let text = |field: &str| if is_missing(field) { None } else { Some(field.to_string()) };
        Column::Text(self.iter().skip(skip).map(text).collect())
    }
}

/// Reads a table from UTF-8 text, with or without byte order mark.
///
/// * Lines end in LF, CRLF or CR; in quoted fields all of these are read as LF.
/// * Fields may be in double quotes, with doubled quotes inside. The quote must follow the delimiter directly: a quote
///   after a blank is part of the text.
/// * Blanks around a field are removed, also inside quotes. Empty and blank lines are skipped.
/// * Decimal commas (`1,5`) are understood if the delimiter is `;` and the column has no number with a point.
/// * Every row must have the same number of fields, at most [`MOST_COLUMNS`].
/// * A file without rows is an error, and so are empty or repeated names in the header.
///
/// Rows are read one by one; the memory needed is at most a fixed multiple of the input's length.
pub fn read_table(bytes: impl Read, options: &TableOptions) -> Result<Table, String> {
    let mut bytes = bytes;
    let mut head = Vec::new();
    let taken = bytes.by_ref().take(HEAD as u64).read_to_end(&mut head);
    taken.map_err(|error| format!("cannot be read: {error}"))?;
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return Err("is UTF-16; tables must be UTF-8".to_string());
    }
    let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
    let dialect = Dialect::find(options, start, head.len() < HEAD)?;
    let decimal_comma = dialect.delimiter == b';';
    let (mut columns, mut lines) = read_rows(start.chain(bytes), dialect)?;
    if columns.is_empty() {
        return Err("has no rows".to_string());
    }
    let header = match options.header {
        Some(header) => header,
        None => has_header(&columns, lines.len(), decimal_comma)?,
    };
    let names = if header {
        if lines.len() == 1 {
            return Err("has a header but no rows".to_string());
        }
        lines.remove(0);
        header_names(&columns)?
    } else {
        (0..columns.len()).map(|index| index.to_string()).collect()
    };
    let skip = usize::from(header);
    let columns = columns.drain(..).map(|cells| cells.into_column(skip, decimal_comma)).collect();
    Ok(Table { names, columns, lines })
}

/// All rows, the header included, as columns of text, and the line on which each row starts.
fn read_rows(bytes: impl Read, dialect: Dialect) -> Result<(Vec<Cells>, Vec<u64>), String> {
    let mut reader = dialect.builder().from_reader(Lines::new(bytes, dialect.delimiter, MOST_COLUMNS - 1));
    let mut record = ByteRecord::new();
    let mut columns: Vec<Cells> = Vec::new();
    let mut lines: Vec<u64> = Vec::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok((columns, lines)),
            Err(error) => {
                return Err(match reader.get_ref().problem() {
                    Some(problem) => problem.to_string(),
                    None => format!("cannot be read: {error}"),
                });
            }
        }
        // `csv` tells where it stands, which is behind the record's line end; where a record starts it would tell
        // without the blank lines before it.
        let behind = reader.position();
        let within = line_feeds(record.as_slice());
        if reader.get_ref().spent(behind.byte()) {
            let line = behind.line().saturating_sub(within);
            return Err(format!("the row on line {line} has a quote that is never closed"));
        }
        let line = behind.line().saturating_sub(within + 1);
        if is_blank(&record) {
            continue;
        }
        if columns.is_empty() {
            if record.len() > MOST_COLUMNS {
                return Err(format!("line {line} has more than {MOST_COLUMNS} fields"));
            }
            columns.resize_with(record.len(), Cells::default);
        } else if record.len() != columns.len() {
            let first = lines.first().copied().unwrap_or(1);
            let (found, expected) = (fields(record.len()), columns.len());
            return Err(format!("line {line} has {found}, but line {first} has {expected}"));
        }
        let mut before = 0;
        for (cells, field) in columns.iter_mut().zip(&record) {
            let text = std::str::from_utf8(field).map_err(|error| {
                let valid = field.get(..error.valid_up_to()).unwrap_or_default();
                format!("line {} is not UTF-8", line + before + line_feeds(valid))
            })?;
            cells.push(text.trim())?;
            before += line_feeds(field);
        }
        lines.push(line);
    }
}

/// How many line feeds there are.
fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// A number of fields in words.
fn fields(count: usize) -> String {
    if count == 1 { "1 field".to_string() } else { format!("{count} fields") }
}

/// The first row as names.
fn header_names(columns: &[Cells]) -> Result<Vec<String>, String> {
    let names: Vec<String> = columns.iter().filter_map(|cells| cells.iter().next().map(str::to_string)).collect();
    let unnamed: Vec<String> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.is_empty())
        .map(|(index, _)| (index + 1).to_string())
        .collect();
    if !unnamed.is_empty() {
        let list = shown_names(unnamed.iter().map(String::as_str)).replace('"', "");
        return Err(format!("the header has no name for column {list} (counted from 1)"));
    }
    let mut seen = HashSet::new();
    let mut repeated: Vec<&str> = names.iter().map(String::as_str).filter(|name| !seen.insert(*name)).collect();
    repeated.sort_unstable();
    repeated.dedup();
    if !repeated.is_empty() {
        return Err(format!("the header repeats {}", shown_names(repeated.iter().copied())));
    }
    Ok(names)
}
