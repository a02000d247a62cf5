// Sums by a tree in workgroup memory, many in a row, with a barrier between any two steps: a driver that lets a
// thread run ahead gets a wrong sum.
//
// Layout: a word a workgroup.
// Bindings: 0 `out`, the sum over all rounds, modulo 2³².
// Constants:
//   ROUNDS  sums in a row.

const ROUNDS: u32 = 32u;

@group(0) @binding(0) var<storage, read_write> out: array<u32>;

var<workgroup> shared_words: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var total = 0u;
    for (var round = 0u; round < ROUNDS; round++) {
        shared_words[local] = (group.x * 256u + local) * 2654435761u + round * 40503u;
        workgroupBarrier();
        for (var width = 128u; width > 0u; width = width / 2u) {
            if local < width {
                shared_words[local] += shared_words[local + width];
            }
            workgroupBarrier();
        }
        // A thread far away reads the sum: it has to be there for all.
        total += shared_words[0];
        workgroupBarrier();
    }
    if local == 255u {
        out[group.x] = total;
    }
}
