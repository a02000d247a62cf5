//! Barriers, workgroup memory, atomics, out-of-bounds accesses, long loops.

use super::report::{Finding, Verdict};
use crate::error::Result;
use crate::gpu::{Probe, ProbeBuffer, ProbeShader};
use crate::wgsl::Shader;

const GROUPS: u32 = 256;
/// The number of repetitions of tests that depend on scheduling.
const REPEATS: usize = 8;

fn wrong_of(property: &str, what: &str, wrong: usize, all: usize, promise: [&str; 2]) -> Finding {
    let found = if wrong == 0 { format!("all {all} {what} correct") } else { format!("{wrong} of {all} {what} wrong") };
    Finding::new(property, found, promise, Verdict::of(wrong == 0)).value("wrong", wrong as f64).value("of", all as f64)
}

pub(super) fn barriers(probe: &Probe) -> Result<Vec<Finding>> {
    let shader = ProbeShader::new("doctor_barrier", include_str!("../../shaders/doctor_barrier.wgsl"));
    let expected = |group: u32| {
        let word = |local: u32, round: u32| {
            (group * 256 + local).wrapping_mul(2_654_435_761).wrapping_add(round.wrapping_mul(40_503))
        };
        (0..32).fold(0u32, |sum, round| (0..256).fold(sum, |sum, local| sum.wrapping_add(word(local, round))))
    };
    let mut wrong = 0;
    for _ in 0..REPEATS {
        let mut buffers = [ProbeBuffer::of(&vec![0u32; GROUPS as usize])];
        probe.run(&shader, &mut buffers, GROUPS)?;
        wrong += buffers[0].to::<u32>().iter().zip(0..).filter(|(got, group)| **got != expected(*group)).count();
    }
    let promise = ["all threads wait, and prior writes are visible", "barrier"];
    Ok(vec![wrong_of("workgroupBarrier, 256 threads", "sums", wrong, REPEATS * GROUPS as usize, promise)])
}

pub(super) fn zeros(probe: &Probe) -> Result<Vec<Finding>> {
    let file = Shader::file("doctor_workgroup_zero", include_str!("../../shaders/doctor_workgroup_zero.wgsl"));
    let (few, many) = (file.wgsl()?, file.constant("WORDS", 4096).wgsl()?);
    let fill = ProbeShader::new("doctor_workgroup_zero", &many).entry("fill").not_zeroed();
    let zeroed = ProbeShader::new("doctor_workgroup_zero", &few).entry("look");
    let not_zeroed = ProbeShader::new("doctor_workgroup_zero", &many).entry("look").not_zeroed();
    let dirty_groups = |shader: &ProbeShader<'_>| -> Result<usize> {
        let mut dirty = 0;
        for _ in 0..REPEATS {
            probe.run(&fill, &mut [ProbeBuffer::of(&vec![0u32; GROUPS as usize])], GROUPS)?;
            let mut buffers = [ProbeBuffer::of(&vec![u32::MAX; GROUPS as usize])];
            probe.run(shader, &mut buffers, GROUPS)?;
            dirty += buffers[0].to::<u32>().iter().filter(|words| **words != 0).count();
        }
        Ok(dirty)
    };
    let all = REPEATS * GROUPS as usize;
    let (with, without) = (dirty_groups(&zeroed)?, dirty_groups(&not_zeroed)?);
    let section = "address-space";
    let found = format!("{without} of {all} workgroups read other values");
    Ok(vec![
        wrong_of("zero-initialised workgroup memory", "workgroups", with, all, ["zeros", section]),
        Finding::new(
            "the same, without wgpu's initialisation",
            found,
            ["unspecified (wgrad's kernels run so)", section],
            Verdict::Information,
        )
        .value("dirty", without as f64),
    ])
}

pub(super) fn atomics(probe: &Probe) -> Result<Vec<Finding>> {
    let shader = ProbeShader::new("doctor_atomics", include_str!("../../shaders/doctor_atomics.wgsl"));
    let threads = 64 * GROUPS;
    let expected = (1..=threads).fold(0u32, u32::wrapping_add);
    let (mut wrong, mut lost) = (0, 0u64);
    for _ in 0..REPEATS {
        let mut buffers = [ProbeBuffer::of(&[0u32]), ProbeBuffer::of(&[0u32])];
        probe.run(&shader, &mut buffers, GROUPS)?;
        wrong += usize::from(buffers[0].to::<u32>()[0] != expected);
        lost += u64::from(threads.saturating_sub(buffers[1].to::<u32>()[0]));
    }
    let share = lost as f64 / (u64::from(threads) * REPEATS as u64) as f64;
    Ok(vec![
        wrong_of("atomicAdd by 16,384 threads", "totals", wrong, REPEATS, ["no addition is lost", "atomic-rmw"]),
        Finding::new(
            "non-atomic x += 1 by 16,384 threads",
            format!("{:.1} % lost", 100.0 * share),
            ["data race: unspecified", "memory-model"],
            Verdict::Information,
        )
        .value("lost_share", share),
    ])
}

/// The number of words before and after the binding, and in the binding.
const GUARD: usize = 64;
const BOUND: usize = 64;
/// The initial contents, which no shader writes.
const MARK: u32 = 0x5afe_0000;

/// Out-of-bounds indices: in the words after the binding, in those before it (by overflow), and far away.
fn indices() -> Vec<u32> {
    let bound = BOUND as u32;
    let near = bound..bound + GUARD as u32;
    let before = (1..=GUARD as u32).map(|back| 0u32.wrapping_sub(back));
    // The byte offset of index 2³⁰ overflows 32 bits to 0.
    let wrapped = [1 << 29, 1 << 30, (1 << 30) + bound, 1 << 31, u32::MAX / 4, i32::MAX as u32];
    near.chain(before).chain(wrapped).chain([1000, 100_000, 10_000_000]).collect()
}

pub(super) fn bounds(probe: &Probe) -> Result<Vec<Finding>> {
    let text = include_str!("../../shaders/doctor_bounds.wgsl");
    let promise = ["access the binding only, or have no effect", "out-of-bounds-access-sec"];
    let indices = indices();
    let words: Vec<u32> = (0..(GUARD + BOUND + GUARD) as u32).map(|k| MARK + k).collect();
    let window = GUARD * 4..(GUARD + BOUND) * 4;
    let mut findings = Vec::new();
    for (entry, property) in [("read_beyond", "out-of-bounds reads"), ("write_beyond", "out-of-bounds writes")] {
        let shader = ProbeShader::new("doctor_bounds", text).entry(entry);
        let out = ProbeBuffer::of(&vec![0u32; indices.len()]);
        let mut buffers = [ProbeBuffer::read_only(&indices), ProbeBuffer::of(&words).bound(window.clone()), out];
        probe.run(&shader, &mut buffers, (indices.len() as u32).div_ceil(64))?;
        let (after, out) = (buffers[1].to::<u32>(), buffers[2].to::<u32>());
        let finding = if entry == "read_beyond" {
            let inside = &words[GUARD..GUARD + BOUND];
            let foreign = out.iter().filter(|word| **word != 0 && !inside.contains(word)).count();
            let zeros = out.iter().filter(|word| **word == 0).count();
            let found = match foreign {
                0 => format!("{zeros} of {} return 0, the others words in the binding", out.len()),
                foreign => format!("{foreign} of {} return data outside the binding", out.len()),
            };
            Finding::new(property, found, promise, Verdict::of(foreign == 0)).value("foreign", foreign as f64)
        } else {
            let hit = |range: std::ops::Range<usize>| range.filter(|k| after[*k] != words[*k]).count();
            let (guards, inside) = (hit(0..GUARD) + hit(GUARD + BOUND..words.len()), hit(GUARD..GUARD + BOUND));
            let neighbours = usize::from(buffers[0].to::<u32>() != indices) + usize::from(out != indices);
            let found = match guards + neighbours {
                0 if inside == 0 => "no effect".to_string(),
                0 => format!("{inside} words of the binding changed, none outside"),
                _ => format!("{guards} words outside the binding and {neighbours} other buffers changed"),
            };
            Finding::new(property, found, promise, Verdict::of(guards + neighbours == 0))
                .value("around", guards as f64)
                .value("inside", inside as f64)
        };
        findings.push(finding);
    }
    Ok(findings)
}

/// Iteration counts; multiples of those of the inner loop.
const ITERATIONS: [u32; 5] = [1000, 65_500, 66_000, 100_000, 300_000];

fn state_after(thread: u32, iterations: u32) -> u32 {
    (0..iterations).fold(thread, |s, _| s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223 ^ (s >> 15)))
}

/// The finding on whether all threads ran all their iterations.
fn iterations(property: &str, out: &[u32]) -> Finding {
    let completed = |k: usize| out[2 * k + 1];
    let right = |k: usize| completed(k) == ITERATIONS[k] && out[2 * k] == state_after(k as u32, ITERATIONS[k]);
    let short = (0..ITERATIONS.len()).find(|k| !right(*k));
    let found = match short {
        None => format!("all {} iterations run", ITERATIONS[ITERATIONS.len() - 1]),
        Some(k) => format!("silently ends after {} iterations of {}", completed(k), ITERATIONS[k]),
    };
    let promise = ["runs until its condition is false", "while-statement"];
    Finding::new(property, found, promise, Verdict::of(short.is_none()))
        .value("asked", f64::from(ITERATIONS[short.unwrap_or(ITERATIONS.len() - 1)]))
        .value("made", f64::from(completed(short.unwrap_or(ITERATIONS.len() - 1))))
}

pub(super) fn loops(probe: &Probe) -> Result<Vec<Finding>> {
    let text = include_str!("../../shaders/doctor_loop.wgsl");
    let mut findings = Vec::new();
    for (entry, property) in [("main", "a loop of 300,000 iterations"), ("nested", "nested loops, the inner of 500")] {
        let shader = ProbeShader::new("doctor_loop", text).entry(entry);
        let mut buffers = [ProbeBuffer::read_only(&ITERATIONS), ProbeBuffer::of(&[0u32; 2 * ITERATIONS.len()])];
        probe.run(&shader, &mut buffers, ITERATIONS.len() as u32)?;
        findings.push(iterations(property, &buffers[1].to()));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_ends_early_does_not_conform() {
        let mut out: Vec<u32> =
            ITERATIONS.iter().zip(0..).flat_map(|(iterations, k)| [state_after(k, *iterations), *iterations]).collect();
        assert_eq!(iterations("", &out).verdict, Verdict::Within);
        out[5] = 65_535;
        let ended = iterations("", &out);
        assert!(ended.verdict == Verdict::Outside && ended.found.contains("65535"), "{ended:?}");
        // The right count with a wrong state does not pass.
        let mut out = out.clone();
        out[5] = ITERATIONS[2];
        out[4] ^= 1;
        assert_eq!(iterations("", &out).verdict, Verdict::Outside);
    }

    #[test]
    fn indices_reach_both_guards() {
        let indices = indices();
        let place = |i: u32| GUARD as i64 + i64::from(i as i32);
        assert!(indices.iter().all(|i| *i as usize >= BOUND));
        let words = (GUARD + BOUND + GUARD) as i64;
        for k in (0..GUARD as i64).chain((GUARD + BOUND) as i64..words) {
            assert!(indices.iter().any(|i| place(*i) == k), "no index addresses word {k}");
        }
    }

    #[test]
    fn one_wrong_sum_does_not_conform() {
        assert_eq!(wrong_of("", "sums", 0, 8, ["", ""]).verdict, Verdict::Within);
        assert_eq!(wrong_of("", "sums", 1, 8, ["", ""]).verdict, Verdict::Outside);
    }
}
