//! Subgroups: their size, and the results of subgroup operations.

use super::report::{Finding, Verdict};
use super::ulp::Draws;
use crate::error::Result;
use crate::gpu::{Probe, ProbeBuffer, ProbeShader};
use std::collections::BTreeMap;

const GROUPS: usize = 64;
const THREADS: usize = 64;
/// The number of words that each thread writes.
const WORDS: usize = 8;
const OPERATIONS: &str = "subgroup-builtin-functions";

/// The threads of a subgroup, by subgroup invocation id.
type Lanes = BTreeMap<u32, usize>;

/// The threads of each subgroup, by workgroup and subgroup id, and whether their invocation ids are unique and in
/// range.
fn members(out: &[u32]) -> (BTreeMap<(usize, u32), Lanes>, bool) {
    let mut members: BTreeMap<(usize, u32), Lanes> = BTreeMap::new();
    let mut valid_ids = true;
    for (thread, words) in out.chunks_exact(WORDS).enumerate() {
        let lanes = members.entry((thread / THREADS, words[0])).or_default();
        // Two threads of a subgroup must not have the same invocation id.
        valid_ids &= lanes.insert(words[2], thread).is_none() && words[2] < words[1];
    }
    (members, valid_ids)
}

/// The findings for the words and floats given to the threads, and their output.
fn judge(words: &[u32], floats: &[f32], out: &[u32]) -> Vec<Finding> {
    let (members, valid_ids) = members(out);
    let at = |thread: usize, k: usize| out[WORDS * thread + k];
    let mut wrong = [0usize; 4];
    let (mut in_order, mut as_tree, mut off) = (0usize, 0usize, 0usize);
    let mut widths: Vec<u32> = (0..words.len()).map(|thread| at(thread, 1)).collect();
    widths.sort_unstable();
    widths.dedup();
    for lanes in members.values() {
        let sum = lanes.values().fold(0u32, |sum, t| sum.wrapping_add(words[*t]));
        let mut before = 0u32;
        let own: Vec<f32> = lanes.values().map(|t| floats[*t]).collect();
        let (line, tree) = (own.iter().fold(0.0, |sum, x| sum + x), pairwise(&own));
        let exact: f64 = own.iter().map(|x| f64::from(*x)).sum();
        let size: f64 = own.iter().map(|x| f64::from(x.abs())).sum();
        for (lane, &thread) in lanes {
            wrong[0] += usize::from(at(thread, 3) != sum);
            wrong[1] += usize::from(at(thread, 4) != before);
            wrong[2] += usize::from(lanes.get(&0).is_none_or(|first| at(thread, 5) != words[*first]));
            // An inactive lane has no value.
            wrong[3] += usize::from(lanes.get(&(lane ^ 1)).is_some_and(|other| at(thread, 6) != words[*other]));
            before = before.wrapping_add(words[thread]);
            let got = f32::from_bits(at(thread, 7));
            in_order += usize::from(got == line);
            as_tree += usize::from(got == tree);
            // An error bound for any order of the additions, each rounded in either direction.
            let bound = own.len() as f64 * f64::from(f32::EPSILON) * size;
            let near = (f64::from(got) - exact).abs() <= bound;
            off += usize::from(!near);
        }
    }
    let all = words.len();
    let describe = |wrong: usize| if wrong == 0 { "correct".to_string() } else { format!("{wrong} of {all} wrong") };
    let finding = |property: &str, wrong: usize| {
        Finding::new(property, describe(wrong), ["exact on integers", OPERATIONS], Verdict::of(wrong == 0))
            .value("wrong", wrong as f64)
    };
    let order = match () {
        () if off > 0 => format!("{off} of {all} wrong"),
        () if in_order == all && as_tree == all => "sequential and tree order have the same results".to_string(),
        () if in_order == all => "sequential, by lane".to_string(),
        () if as_tree == all => "pairwise tree".to_string(),
        () => format!("other: as sequential in {in_order}, as a tree in {as_tree} of {all}"),
    };
    let shown = widths.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let largest = members.values().map(BTreeMap::len).max().unwrap_or_default();
    let sound = valid_ids
        && members
            .values()
            .zip(members.keys())
            .all(|(lanes, _)| lanes.values().next().is_some_and(|t| lanes.len() <= at(*t, 1) as usize));
    vec![
        Finding::new(
            "subgroup_size, threads in a subgroup",
            format!("{shown}, {largest}"),
            ["invocation ids are below the size", "subgroups"],
            Verdict::of(sound && widths.iter().all(|w| (1..=128).contains(w))),
        )
        .value("size", f64::from(widths.last().copied().unwrap_or_default()))
        .value("threads", largest as f64),
        finding("subgroupAdd(u32)", wrong[0]),
        finding("subgroupExclusiveAdd(u32)", wrong[1]),
        finding("subgroupBroadcast(x, 0)", wrong[2]),
        finding("subgroupShuffleXor(x, 1)", wrong[3]),
        Finding::new("subgroupAdd(f32), order", order, ["any order", "concrete-float-accuracy"], Verdict::of(off == 0))
            .value("in_order", in_order as f64)
            .value("as_tree", as_tree as f64)
            .value("wrong", off as f64),
    ]
}

/// A pairwise sum, neighbours first.
fn pairwise(values: &[f32]) -> f32 {
    match values {
        [] => 0.0,
        [x] => *x,
        _ => {
            let (low, high) = values.split_at(values.len().next_power_of_two() / 2);
            pairwise(low) + pairwise(high)
        }
    }
}

pub(super) fn examine(probe: &Probe) -> Result<Vec<Finding>> {
    let shader = ProbeShader::new("doctor_subgroups", include_str!("../../shaders/doctor_subgroups.wgsl"));
    let mut draws = Draws::new(30);
    let words: Vec<u32> = (0..GROUPS * THREADS).map(|_| draws.word()).collect();
    let floats: Vec<f32> = (0..GROUPS * THREADS).map(|_| draws.signed(-8, 8)).collect();
    let out = ProbeBuffer::of(&vec![0u32; WORDS * words.len()]);
    let mut buffers = [ProbeBuffer::read_only(&words), ProbeBuffer::read_only(&floats), out];
    probe.run(&shader, &mut buffers, GROUPS as u32)?;
    Ok(judge(&words, &floats, &buffers[2].to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of correct subgroups of four threads.
    fn right(words: &[u32], floats: &[f32]) -> Vec<u32> {
        let mut out = Vec::new();
        for (t, word) in words.iter().enumerate() {
            let start = t / 4 * 4;
            let own = &words[start..start + 4];
            let before = words[start..t].iter().fold(0u32, |a, b| a.wrapping_add(*b));
            let sum = own.iter().fold(0u32, |a, b| a.wrapping_add(*b));
            let total = pairwise(&floats[start..start + 4]);
            let lane = (t % 4) as u32;
            assert_eq!(own[t % 4], *word);
            out.extend([(t % THREADS / 4) as u32, 4, lane, sum, before, own[0], words[t ^ 1], total.to_bits()]);
        }
        out
    }

    #[test]
    fn wrong_values_do_not_conform() {
        let words: Vec<u32> = (0..THREADS as u32).map(|k| k.wrapping_mul(2_654_435_761)).collect();
        let floats: Vec<f32> = (0..THREADS).map(|k| 0.1 + k as f32 * 1.37).collect();
        let out = right(&words, &floats);
        let findings = judge(&words, &floats, &out);
        assert!(findings.iter().all(|f| f.verdict == Verdict::Within), "{findings:?}");
        assert!(findings[5].found.contains("tree"), "{:?}", findings[5]);
        for (word, finding) in [(2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 5)] {
            let mut broken = out.clone();
            broken[WORDS * 9 + word] ^= 0x0070_0003;
            assert_eq!(judge(&words, &floats, &broken)[finding].verdict, Verdict::Outside, "word {word}");
        }
    }
}
