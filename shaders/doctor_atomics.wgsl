// All threads add to one word: atomically, and by an ordinary read and write, where additions may be lost.
//
// Bindings: 0 `atomic_total`, 1 `racy_total`, a word each.

@group(0) @binding(0) var<storage, read_write> atomic_total: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> racy_total: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    atomicAdd(&atomic_total[0], id.x + 1u);
    racy_total[0] += 1u;
}
