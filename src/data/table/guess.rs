//! What a file does not say about itself: its delimiter and whether it has a header.

use super::cells::{Cells, TableOptions, is_missing, number, number_with_comma, numbers};
use super::lines::Lines;
use csv::{ByteRecord, ReaderBuilder};

/// Records looked at, at most, to find the delimiter.
const RECORDS: usize = 100;

/// Rows below the first that decide whether the first is a header.
const HEADER_ROWS: usize = 100;

/// The characters that give a file its structure.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    comment: Option<u8>,
}

impl Dialect {
    /// The dialect `options` asks for; the delimiter is looked for in `head`, the first bytes of the file (or all of
    /// them, if `whole`), where `options` names none.
    pub(super) fn find(options: &TableOptions, head: &[u8], whole: bool) -> Result<Dialect, String> {
        let comment = options.comment.map(|comment| structural(comment, "comment")).transpose()?;
        if let Some(delimiter) = options.delimiter {
            let delimiter = structural(delimiter, "delimiter")?;
            if Some(delimiter) == comment {
                return Err("the delimiter and the comment character are the same".to_string());
            }
            return Ok(Dialect { delimiter, comment });
        }
        // Comma comes last: it is also a decimal mark, so `1,5;2,5` would be consistent with it, too.
        let candidates = [b'\t', b';', b','].into_iter().filter(|&delimiter| Some(delimiter) != comment);
        let mut intact: Option<Dialect> = None;
        let mut best: Option<(usize, Dialect)> = None;
        for delimiter in candidates {
            let dialect = Dialect { delimiter, comment };
            let found = dialect.agreement(head, whole);
            if found.intact && found.agreeing > 0 && found.agreeing == found.all {
                intact = intact.or(Some(dialect));
            }
            // All records agreeing beats most of them agreeing, whatever the number of records.
            let rank =
                if found.agreeing == found.all { found.agreeing.saturating_mul(RECORDS) } else { found.agreeing };
            if rank > best.map_or(0, |(most, _)| most) {
                best = Some((rank, dialect));
            }
        }
        if let Some(dialect) = intact {
            return Ok(dialect);
        }
        // Without a consistent one, the most consistent leads to the error that names the line which differs.
        let single = Dialect { delimiter: if comment == Some(b',') { b';' } else { b',' }, comment };
        Ok(best.map_or(single, |(_, dialect)| dialect))
    }

    /// How to read with this dialect.
    pub(super) fn builder(self) -> ReaderBuilder {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.delimiter).comment(self.comment);
        builder
    }

    /// How far the first records agree, if read with this dialect.
    fn agreement(self, head: &[u8], whole: bool) -> Agreement {
        let mut reader = self.builder().from_reader(Lines::new(head, self.delimiter, usize::MAX - 1));
        let mut record = ByteRecord::new();
        let mut counts = Vec::new();
        while counts.len() <= RECORDS && matches!(reader.read_byte_record(&mut record), Ok(true)) {
            if !is_blank(&record) {
                let torn = record.iter().any(|field| field.iter().filter(|&&byte| byte == b'"').count() % 2 == 1);
                counts.push((record.len(), torn));
            }
        }
        // The last record may be cut off where `head` ends.
        if counts.len() > RECORDS || (!whole && counts.len() > 1) {
            counts.pop();
        }
        let first = counts.first().map_or(0, |first| first.0);
        let agreeing = if first > 1 { counts.iter().filter(|(count, _)| *count == first).count() } else { 0 };
        Agreement { agreeing, all: counts.len(), intact: counts.iter().all(|(_, torn)| !torn) }
    }
}

/// What the first records look like in some dialect.
struct Agreement {
    /// How many have as many fields as the first of them; none if that has a single field.
    agreeing: usize,
    /// How many there are.
    all: usize,
    /// Whether no field has an odd number of quotes, as the pieces of a quoted field torn at a wrong delimiter do.
    intact: bool,
}

/// `character` as a byte that may give a file its structure.
fn structural(character: char, what: &str) -> Result<u8, String> {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Ok(byte),
        _ => Err(format!("the {what} character {character:?} is not an ASCII character other than quote and line end")),
    }
}

/// Whether a record is a line of nothing but blanks. A quoted empty field is not: it is a missing value.
pub(super) fn is_blank(record: &ByteRecord) -> bool {
    record.len() == 1 && !record.as_slice().is_empty() && record.as_slice().trim_ascii().is_empty()
}

/// Whether the first of `rows` rows is a header.
///
/// It is one if it has a field that is neither missing nor a number while the fields below it are numbers. A single
/// row without any number can be read either way and is an error.
pub(super) fn has_header(columns: &[Cells], rows: usize, decimal_comma: bool) -> Result<bool, String> {
    let is_word = |field: &str| {
        !is_missing(field) && number(field).is_none() && !(decimal_comma && number_with_comma(field).is_some())
    };
    if rows == 1 {
        if columns.iter().all(|cells| cells.iter().all(is_word)) {
            return Err(
                "the only row has no number: data.header = true or false says whether it is a header".to_string()
            );
        }
        return Ok(false);
    }
    Ok(columns.iter().any(|cells| {
        cells.iter().next().is_some_and(is_word)
            && numbers(|| cells.iter().skip(1).take(HEADER_ROWS), decimal_comma)
                .is_some_and(|values| values.iter().any(|value| !value.is_nan()))
    }))
}
