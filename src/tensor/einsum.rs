//! Einstein summation of two tensors.

use super::Tensor;
use crate::shape::Shape;

/// A parsed specification: the letters of each operand and of the output.
struct Spec {
    operands: [Vec<char>; 2],
    output: Vec<char>,
}

fn parse(spec: &str) -> Result<Spec, String> {
    let text: String = spec.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(other) = text.chars().find(|c| !c.is_ascii_alphabetic() && !",->".contains(*c)) {
        return Err(format!("`{other}` of `{spec}` is not a letter"));
    }
    let (inputs, output) = match text.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (text.as_str(), None),
    };
    let letters = |part: &str| part.chars().collect::<Vec<char>>();
    let operands: Vec<Vec<char>> = inputs.split(',').map(letters).collect();
    let Ok(operands) = <[Vec<char>; 2]>::try_from(operands) else {
        return Err(format!("`{spec}` must name two operands, separated by one comma"));
    };
    let all = operands.concat();
    if let Some(other) = all.iter().find(|c| !c.is_ascii_alphabetic()) {
        return Err(format!("`{spec}` has a misplaced `{other}`"));
    }
    let output = match output {
        Some(output) => letters(output),
        // As in NumPy, the output has the letters that appear once, in alphabetical order.
        None => {
            let mut once: Vec<char> =
                all.iter().copied().filter(|c| all.iter().filter(|d| *d == c).count() == 1).collect();
            once.sort_unstable();
            once
        }
    };
    for (k, c) in output.iter().enumerate() {
        if !all.contains(c) {
            return Err(format!("`{c}` of the output is in neither operand of `{spec}`"));
        }
        if output[..k].contains(c) {
            return Err(format!("`{c}` appears twice in the output of `{spec}`"));
        }
    }
    Ok(Spec { operands, output })
}

/// Takes the diagonal over axes that share a letter, and returns the remaining letters.
fn diagonal<'g>(mut t: Tensor<'g>, letters: &[char]) -> (Tensor<'g>, Vec<char>) {
    let mut letters = letters.to_vec();
    let repeated = |letters: &[char]| {
        (0..letters.len()).find_map(|k| letters[..k].iter().position(|c| *c == letters[k]).map(|first| (first, k)))
    };
    while let Some((first, second)) = repeated(&letters) {
        let others = (0..letters.len()).filter(|&k| k != first && k != second);
        let order: Vec<isize> = others.chain([first, second]).map(|k| k as isize).collect();
        let moved = t.permute(&order);
        let shape = moved.shape();
        let (lead, n) = (&shape[..shape.rank() - 2], shape[shape.rank() - 1]);
        t = moved.reshape([lead, &[n * n]].concat());
        t = t.slice_step(-1, 0..n * n, n + 1);
        letters = order.iter().map(|&k| letters[k as usize]).collect();
        letters.pop();
    }
    (t, letters)
}

/// Einstein summation over two tensors whose axes are named by letters: `torch.einsum` with two operands.
///
/// The sum runs over every letter of the operands that is not in the output. A letter that appears twice in one operand
/// takes the diagonal. Without `->` the output has the letters that appear once, in alphabetical order. The contraction
/// is one matmul. An error names the specification and the shapes.
///
/// ```
/// use wgrad::{DType, Graph, einsum};
/// let g = Graph::new();
/// let a = g.input("a", [2, 3, 4], DType::F32);
/// let b = g.input("b", [2, 4, 5], DType::F32);
/// assert_eq!(*einsum("bij,bjk->bik", a, b).shape(), [2, 3, 5]);
/// assert_eq!(*einsum("bij,bjk->kb", a, b).shape(), [5, 2]);
/// ```
#[track_caller]
pub fn einsum<'g>(spec: &str, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    if a.is_poisoned() || b.is_poisoned() {
        return if a.is_poisoned() { a } else { b };
    }
    let graph = a.graph;
    let parsed = match parse(spec) {
        Ok(parsed) => parsed,
        Err(message) => return graph.fail("einsum", message),
    };
    let mut sizes: Vec<(char, usize)> = Vec::new();
    for (letters, t) in parsed.operands.iter().zip([a, b]) {
        let shape = t.shape();
        if letters.len() != shape.rank() {
            let message = format!("`{spec}` names {} axes of a tensor of shape {shape}", letters.len());
            return graph.fail("einsum", message);
        }
        for (&c, &size) in letters.iter().zip(shape.iter()) {
            match sizes.iter().find(|(known, _)| *known == c) {
                Some(&(_, other)) if other != size => {
                    let message = format!(
                        "`{c}` of `{spec}` has size {other} and size {size}, in {} and {}",
                        a.shape(),
                        b.shape()
                    );
                    return graph.fail("einsum", message);
                }
                Some(_) => {}
                None => sizes.push((c, size)),
            }
        }
    }
    graph.scope("einsum", || contract(&parsed, &sizes, a, b))
}

/// The contraction for a specification that has been checked against the shapes.
fn contract<'g>(parsed: &Spec, sizes: &[(char, usize)], a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    let size_of = |letters: &[char]| -> Vec<usize> {
        let size = |c: &char| sizes.iter().find(|(known, _)| known == c).map_or(1, |&(_, size)| size);
        letters.iter().map(size).collect()
    };
    let (a, in_a) = diagonal(a, &parsed.operands[0]);
    let (b, in_b) = diagonal(b, &parsed.operands[1]);
    let output = &parsed.output;
    let pick = |from: &[char], other: bool, kept: bool, with: &[char]| -> Vec<char> {
        from.iter().copied().filter(|c| with.contains(c) == other && output.contains(c) == kept).collect()
    };
    let (batch, summed) = (pick(&in_a, true, true, &in_b), pick(&in_a, true, false, &in_b));
    let (rows, columns) = (pick(&in_a, false, true, &in_b), pick(&in_b, false, true, &in_a));
    let arrange = |t: Tensor<'g>, letters: &[char], alone: &[char], parts: [&[char]; 3]| {
        let axis = |c: &char| letters.iter().position(|d| d == c).unwrap_or(0) as isize;
        let gone: Vec<isize> = alone.iter().map(axis).collect();
        let t = if gone.is_empty() { t } else { t.sum(gone) };
        let left: Vec<char> = letters.iter().copied().filter(|c| !alone.contains(c)).collect();
        let order: Vec<isize> =
            parts.concat().iter().map(|c| left.iter().position(|d| d == c).unwrap_or(0) as isize).collect();
        t.permute(&order).reshape(parts.map(|part| size_of(part).iter().product::<usize>()))
    };
    let a = arrange(a, &in_a, &pick(&in_a, false, false, &in_b), [&batch, &rows, &summed]);
    let b = arrange(b, &in_b, &pick(&in_b, false, false, &in_a), [&batch, &summed, &columns]);
    let result = if summed.is_empty() { a * b } else { a.matmul(b) };
    let letters = [batch, rows, columns].concat();
    let order: Vec<isize> = output.iter().map(|c| letters.iter().position(|d| d == c).unwrap_or(0) as isize).collect();
    result.reshape(Shape::from(size_of(&letters))).permute(&order)
}
