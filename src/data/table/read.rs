//! Reading CSV and TSV text.

use super::cells::{Cells, Table, TableOptions, shown_names};
use super::guess::{Dialect, has_header, is_blank};
use super::lines::Lines;
use csv::ByteRecord;
use std::collections::HashSet;
use std::io::Read;

/// The most columns a table may have.
pub const MOST_COLUMNS: usize = 1_000_000;

/// Bytes read ahead to find the delimiter.
const HEAD: usize = 256 * 1024;

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
