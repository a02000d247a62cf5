//! A reader that makes every line end alike.

use std::io::{self, ErrorKind, Read};

/// Line feeds put behind the input. With two of them a record can only reach the very end of the stream inside an open
/// quote, which is how [`Lines::spent`] finds quotes that are never closed.
const CLOSING: u8 = 2;

/// Hands on the bytes of `inner` with CRLF and lone CR replaced by LF.
///
/// The `csv` crate counts only LF as a line, and counts the LF of a CRLF after it has handed out the record, so line
/// numbers would be wrong without this.
pub(super) struct Lines<R> {
    inner: R,
    delimiter: u8,
    most_delimiters: usize,
    after_return: bool,
    closing: u8,
    line: u64,
    delimiters: usize,
    sent: u64,
    problem: Option<String>,
}

impl<R: Read> Lines<R> {
    /// Refuses lines with more than `most_delimiters` delimiters, in quotes or not: `csv` keeps the positions of all
    /// fields of a record, so that a line of nothing but delimiters would need many times its own length.
    pub(super) fn new(inner: R, delimiter: u8, most_delimiters: usize) -> Self {
        Lines {
            inner,
            delimiter,
            most_delimiters,
            after_return: false,
            closing: CLOSING,
            line: 1,
            delimiters: 0,
            sent: 0,
            problem: None,
        }
    }

    /// Whether the input has ended and `consumed` bytes are all there were.
    pub(super) fn spent(&self, consumed: u64) -> bool {
        self.closing == 0 && self.sent == consumed
    }

    /// Why the last read failed, if it was this reader that refused.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Rewrites `bytes` in place; returns how many are left.
    fn clean(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let mut byte = bytes[at];
            let second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            if second_half {
                continue;
            }
            if byte == b'\r' {
                byte = b'\n';
            }
            if byte == b'\n' {
                self.line += 1;
                self.delimiters = 0;
            } else if byte == self.delimiter {
                self.delimiters += 1;
                if self.delimiters > self.most_delimiters {
                    let most = self.most_delimiters + 1;
                    let problem = format!("line {} has more than {most} fields", self.line);
                    self.problem = Some(problem.clone());
                    return Err(io::Error::new(ErrorKind::InvalidData, problem));
                }
            }
            bytes[kept] = byte;
            kept += 1;
        }
        Ok(kept)
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match self.inner.read(out) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut kept = 0;
            if count > 0 {
                kept = self.clean(&mut out[..count])?;
                if kept == 0 {
                    continue;
                }
            } else {
                while self.closing > 0 && kept < out.len() {
                    out[kept] = b'\n';
                    kept += 1;
                    self.closing -= 1;
                }
            }
            self.sent += kept as u64;
            return Ok(kept);
        }
    }
}
