// What the threads of a subgroup are and tell each other.
//
// Layout: eight words a thread: its subgroup's number in the workgroup, the subgroup's size as the device says, its
// own number in the subgroup, then the sum of the subgroup's words, the sum of those before its own, lane 0's word,
// the word of the lane whose number differs in the last bit, and the bits of the sum of the subgroup's floats.
// Bindings: 0 `words`, 1 `floats`, one a thread, 2 `out`.
// Needs: subgroups.

@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read> floats: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let word = words[id.x];
    let sum = subgroupAdd(word);
    let before = subgroupExclusiveAdd(word);
    let first = subgroupBroadcast(word, 0u);
    let neighbour = subgroupShuffleXor(word, 1u);
    let total = subgroupAdd(floats[id.x]);
    let at = 8u * id.x;
    out[at] = subgroup;
    out[at + 1u] = size;
    out[at + 2u] = lane;
    out[at + 3u] = sum;
    out[at + 4u] = before;
    out[at + 5u] = first;
    out[at + 6u] = neighbour;
    out[at + 7u] = bitcast<u32>(total);
}
