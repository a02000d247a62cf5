//! Stable sorts of pairs (key, position) by key: `shaders/radix_sort.wgsl`.

use super::scan::scan;
use super::{Dispatch, Dispatches, Operands, Shader, Work};
use crate::dtype::DType;
use crate::kernels::Operand;

/// Bits of a digit: as many as let one count for each digit and thread fit in 16 KiB of workgroup memory.
const BITS: u32 = 5;
const DIGITS: usize = 1 << BITS;
/// Threads of a workgroup, and pairs a thread takes.
const WORKGROUP: usize = 64;
const PER: usize = 16;

/// Adds the dispatches that sort dense pairs `[count, 2]` by keys below `keys`, and gives the sorted ones: three
/// dispatches (or more, where there are many blocks to scan) for each five bits of the largest key.
pub(super) fn sort(cx: &mut Dispatches<'_>, pairs: Operand, keys: usize) -> Operand {
    let count = pairs.view.shape[0];
    let blocks = count.div_ceil(WORKGROUP * PER);
    let bits = usize::BITS - keys.saturating_sub(1).leading_zeros();
    let mut from = pairs;
    for pass in 0..bits.div_ceil(BITS) {
        let counts = cx.scratch([1, DIGITS * blocks], DType::U32);
        let sums = cx.scratch([1, DIGITS * blocks], DType::U32);
        let to = cx.scratch([count, 2], DType::U32);
        let dispatch = |inputs: &[Operand], output: &Operand, place: bool| {
            let mut shader = Shader::file("radix_sort", include_str!("../../shaders/radix_sort.wgsl"))
                .constant("WORKGROUP", WORKGROUP as u32)
                .constant("PER", PER as u32)
                .constant("PLACE", place.into());
            if place {
                shader = shader.replace("counting", "fn store_count(i: u32, count: u32) {}");
                shader.named = vec!["pairs", "sums", "sorted"];
            } else {
                let nothing = "fn before(i: u32) -> u32 {\n    return 0u;\n}\nfn put(i: u32, pair: vec2<u32>) {}";
                shader = shader.replace("placing", nothing);
                shader.named = vec!["pairs", "counts"];
            }
            // Counts of digits are added up over the threads.
            let work = Work::of(WORKGROUP as u32, PER, 2, 20 * PER + 4 * WORKGROUP);
            let params = [count, blocks, (pass * BITS) as usize, 0].map(|n| n as u32).to_vec();
            Dispatch::new(Operands::new(inputs, std::slice::from_ref(output)), shader, params, blocks as u64).work(work)
        };
        cx.push(dispatch(std::slice::from_ref(&from), &counts, false));
        scan(cx, false, 1, DIGITS * blocks, counts, sums.clone());
        cx.push(dispatch(&[from, sums], &to, true));
        from = to;
    }
    from
}
