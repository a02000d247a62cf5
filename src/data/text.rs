//! Text as tokens: characters or bytes, cut into samples for a network that predicts the next one.

use super::{Dataset, Fractions, Samples, Split, Targets};
use crate::error::{Error, Result};
use crate::memory;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A character (Unicode scalar value): the vocabulary is what the text has.
    #[default]
    Char,
    /// A byte of the text in UTF-8: the vocabulary has 256 tokens, and any text can be written with it.
    Byte,
}

/// The tokens of a text, numbered from 0.
///
/// ```
/// use wgrad::data::Vocabulary;
/// let vocabulary = Vocabulary::of_chars("banana");
/// assert_eq!((vocabulary.len(), vocabulary.encode("nab")?), (3, vec![2, 0, 1]));
/// assert_eq!(vocabulary.decode(&[1, 0, 2]), "ban");
/// assert!(vocabulary.encode("x").unwrap_err().to_string().contains("`x`"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Vocabulary {
    /// Characters in ascending order: token k is the k-th of them.
    Char {
        /// The characters.
        characters: String,
    },
    /// Bytes: token k is byte k.
    Byte,
}

impl Vocabulary {
    /// The characters that a text has.
    pub fn of_chars(text: &str) -> Self {
        let found: std::collections::BTreeSet<char> = text.chars().collect();
        Vocabulary::Char { characters: found.into_iter().collect() }
    }

    /// The number of tokens.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Vocabulary::Char { characters } => characters.chars().count(),
            Vocabulary::Byte => 256,
        }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`Error::Value`] for a character that the vocabulary does not have.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let characters: Vec<char> = match self {
            Vocabulary::Byte => return Ok(text.bytes().map(u32::from).collect()),
            Vocabulary::Char { characters } => characters.chars().collect(),
        };
        let token = |c: char| {
            let found = characters.binary_search(&c).map_err(|_| {
                let known: String = characters.iter().filter(|c| !c.is_control()).take(100).collect();
                let message =
                    format!("`{}` is not among the characters of the training text: {known}", c.escape_debug());
                Error::value("text", message)
            });
            found.map(|at| at as u32)
        };
        text.chars().map(token).collect()
    }

    /// The text of tokens. Bytes that are not UTF-8 become U+FFFD, tokens that the vocabulary does not have too.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            Vocabulary::Byte => {
                let bytes: Vec<u8> = tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Vocabulary::Char { characters } => {
                let characters: Vec<char> = characters.chars().collect();
                let of = |&token: &u32| characters.get(token as usize).copied().unwrap_or(char::REPLACEMENT_CHARACTER);
                tokens.iter().map(of).collect()
            }
        }
    }
}

/// How a text becomes samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// What a token is.
    pub tokens: TokenKind,
    /// The number of tokens that the network sees.
    pub length: usize,
    /// How many tokens further the next sample starts; `length` if `None`, so that each token is predicted once.
    pub stride: Option<usize>,
    /// The vocabulary, if it is known from another text: one with other characters is then an error.
    pub vocabulary: Option<Vocabulary>,
}

impl TextOptions {
    fn stride(&self) -> usize {
        self.stride.unwrap_or(self.length).max(1)
    }
}

/// The most bytes a text takes as samples, for each of its own: as a copy, as tokens and as samples of 4 bytes.
const BYTES_PER_BYTE: u64 = 12;

/// Reads a text file as samples of `length + 1` tokens: a network sees the first `length` and predicts the last
/// `length`. The end of the text becomes the validation and the test set: neighbouring samples are alike, so a random choice
/// would flatter the result.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, is not UTF-8 (for characters), or is too short; [`Error::Limit`] if it
/// does not fit in memory.
pub fn load_text(path: impl AsRef<Path>, options: &TextOptions, fractions: &Fractions) -> Result<Dataset> {
    let path = path.as_ref();
    let size = std::fs::metadata(path).map_err(|e| Error::file(path, format!("could not open: {e}")))?.len();
    let repeats = (options.length / options.stride()) as u64;
    let needed = size.saturating_mul(BYTES_PER_BYTE + 4 * repeats.saturating_sub(1));
    memory::check(&format!("the text {}", path.display()), needed, "use a shorter text or a larger stride")?;
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    let (vocabulary, tokens) = match options.tokens {
        TokenKind::Byte => (Vocabulary::Byte, bytes.iter().map(|&b| u32::from(b)).collect()),
        TokenKind::Char => {
            let text = String::from_utf8(bytes).map_err(|e| {
                let at = e.utf8_error().valid_up_to();
                Error::file(path, format!("is not UTF-8: byte {at} begins no character; use tokens = \"byte\"?"))
            })?;
            let vocabulary = options.vocabulary.clone().unwrap_or_else(|| Vocabulary::of_chars(&text));
            let tokens = vocabulary.encode(&text).map_err(|e| Error::file(path, e))?;
            (vocabulary, tokens)
        }
    };
    let end_of = |share: f64| (tokens.len() as f64 * share).round() as usize;
    let test_start = end_of(1.0 - fractions.test);
    let val_start = end_of(1.0 - fractions.test - fractions.val).min(test_start);
    let part = |name: &str, tokens: &[u32], wanted: bool| {
        let split = || {
            samples(tokens, options, vocabulary.len()).map_err(|message| {
                Error::file(path, format!("the {name} set, {} of {size} bytes, {message}", tokens.len()))
            })
        };
        wanted.then(split).transpose()
    };
    let train = part("training", &tokens[..val_start], true)?.ok_or_else(|| Error::file(path, "has no tokens"))?;
    let val = part("validation", &tokens[val_start..test_start], fractions.val > 0.0)?;
    let test = part("test", &tokens[test_start..], fractions.test > 0.0)?;
    let data = Dataset::new(train, val, test, vocabulary.len())?;
    Ok(Dataset { vocabulary: Some(vocabulary), ..data })
}

fn samples(tokens: &[u32], options: &TextOptions, vocabulary: usize) -> Result<Split, String> {
    let length = options.length;
    if tokens.len() <= length {
        return Err(format!("is too short for a sample of {length} tokens and the next one; use a smaller length"));
    }
    let windows = tokens.windows(length + 1).step_by(options.stride());
    let wrong = |e: Error| e.to_string();
    let x = if vocabulary <= 256 {
        let bytes = windows.flat_map(|w| w.iter().map(|&token| token as u8)).collect();
        Samples::bytes(bytes, [length + 1]).map_err(wrong)?
    } else {
        let numbers = windows.flat_map(|w| w.iter().map(|&token| token as f32)).collect();
        Samples::new(numbers, [length + 1]).map_err(wrong)?
    };
    Split::of(x, Targets::None).map_err(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(text: &[u8], tokens: TokenKind, length: usize, fractions: Fractions) -> Result<Dataset> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.txt");
        std::fs::write(&path, text).unwrap();
        load_text(&path, &TextOptions { tokens, length, stride: None, vocabulary: None }, &fractions)
    }

    #[test]
    fn a_text_becomes_windows_that_share_their_ends() {
        let fractions = Fractions { val: 0.25, test: 0.25, ..Fractions::default() };
        let data = load("abcabcabcabcäbca".as_bytes(), TokenKind::Char, 3, fractions).unwrap();
        assert_eq!(data.classes, 4);
        // Eight of sixteen characters train: abca, abca; the next four validate, the last four test.
        let tokens = |split: &Split| split.x.to_f32().unwrap();
        assert_eq!(tokens(&data.train), [0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 2.0, 0.0]);
        assert_eq!(tokens(data.val.as_ref().unwrap()), [2.0, 0.0, 1.0, 2.0]);
        assert_eq!(tokens(data.test.as_ref().unwrap()), [3.0, 1.0, 2.0, 0.0]);
        let vocabulary = data.vocabulary.unwrap();
        assert_eq!(vocabulary.decode(&vocabulary.encode("cäb").unwrap()), "cäb");
        assert_eq!(vocabulary.decode(&[0, 99]), "a\u{FFFD}");
    }

    #[test]
    fn what_cannot_be_tokens_is_said() {
        let whole = Fractions { val: 0.0, test: 0.0, ..Fractions::default() };
        let error = |text: &[u8], kind, length| load(text, kind, length, whole).unwrap_err().to_string();
        assert!(error(b"ab\xFFc", TokenKind::Char, 1).contains("byte 2"));
        assert!(error(b"abc", TokenKind::Byte, 3).contains("too short"));
        assert!(error(b"", TokenKind::Char, 3).contains("too short"));
        assert!(load(b"ab\xFFc", TokenKind::Byte, 1, whole).is_ok());
        // More characters than a byte can number.
        let many: String = (0..300).filter_map(|k| char::from_u32(0x4E00 + k)).collect();
        let data = load(many.as_bytes(), TokenKind::Char, 10, whole).unwrap();
        assert!(!data.train.x.is_u8() && data.classes == 300);
    }
}
