//! Whether a sentence obeys the grammar of [`sentences`](super::make_data::sentences).

const NOUNS: [&str; 8] = ["cat", "dog", "bird", "horse", "king", "ship", "tree", "star"];
const ADJECTIVES: [&str; 6] = ["old", "small", "red", "quiet", "brave", "lost"];
const VERBS: [&str; 5] = ["see", "follow", "find", "fear", "love"];

/// What is wrong with a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Right,
    /// Words and their order are right, but a verb does not agree with its subject.
    Disagrees,
    /// A word, or the order of words.
    Broken,
}

/// The beginnings of sentences up to the verb: every noun, in singular and plural, with no adjective or one of two. The line's end
/// before them says that a sentence begins: a network that sees nothing before `the cat` can't know whether that is a subject.
pub fn subjects() -> Vec<String> {
    let phrases = ["", "old ", "small "].iter().flat_map(|adjective| NOUNS.iter().map(move |noun| (adjective, noun)));
    phrases.flat_map(|(adjective, noun)| ["", "s"].map(|ending| format!("\nthe {adjective}{noun}{ending} "))).collect()
}

/// Judges a sentence with its full stop.
pub fn judge(sentence: &str) -> Verdict {
    let Some(sentence) = sentence.trim_start().strip_suffix('.') else { return Verdict::Broken };
    let words: Vec<&str> = sentence.split(' ').collect();
    let Some((first, rest)) = clause(&words) else { return Verdict::Broken };
    let agree = match rest {
        [] => first,
        ["and", rest @ ..] => match clause(rest) {
            Some((second, [])) => first && second,
            _ => return Verdict::Broken,
        },
        _ => return Verdict::Broken,
    };
    if agree { Verdict::Right } else { Verdict::Disagrees }
}

/// Whether the verb of the clause at the beginning agrees with its subject, and the words after it.
fn clause<'w, 's>(words: &'w [&'s str]) -> Option<(bool, &'w [&'s str])> {
    let (plural, words) = phrase(words)?;
    let (verb, words) = words.split_first()?;
    let (_, verb_has_s) = known(&VERBS, verb)?;
    let (_, words) = phrase(words)?;
    Some((plural != verb_has_s, words))
}

/// Whether the noun of the phrase at the beginning is in the plural, and the words after it.
fn phrase<'w, 's>(words: &'w [&'s str]) -> Option<(bool, &'w [&'s str])> {
    let words = words.strip_prefix(&["the"])?;
    let adjectives = words.iter().take(2).take_while(|word| ADJECTIVES.contains(word)).count();
    let (noun, words) = words[adjectives..].split_first()?;
    Some((known(&NOUNS, noun)?.1, words))
}

/// A word of a list, and whether it has an s at its end.
fn known<'a>(list: &[&'a str], word: &str) -> Option<(&'a str, bool)> {
    let find = |wanted: &str| list.iter().copied().find(|own| *own == wanted);
    find(word).map(|own| (own, false)).or_else(|| word.strip_suffix('s').and_then(find).map(|own| (own, true)))
}
