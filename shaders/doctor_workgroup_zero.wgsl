// Whether workgroup memory starts as zeros: one entry point leaves it full, the other counts what it finds.
//
// Layout: a word a workgroup.
// Bindings: 0 `out`: `fill` writes the last word, so that nothing can be left out; `look` the number of words that
//   are not 0.
// Constants:
//   WORDS  words of workgroup memory: few where they are set to zero, which GL's drivers take seconds to compile if
//          there are many.

const WORDS: u32 = 256u;

@group(0) @binding(0) var<storage, read_write> out: array<u32>;

var<workgroup> words: array<u32, WORDS>;
var<workgroup> count: atomic<u32>;

@compute @workgroup_size(64)
fn fill(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    for (var i = local; i < WORDS; i += 64u) {
        words[i] = 0xdeadbeefu ^ i;
    }
    workgroupBarrier();
    if local == 0u {
        out[group.x] = words[out[group.x] % WORDS];
    }
}

@compute @workgroup_size(64)
fn look(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var found = 0u;
    for (var i = local; i < WORDS; i += 64u) {
        found += select(0u, 1u, words[i] != 0u);
    }
    workgroupBarrier();
    if local == 0u {
        atomicStore(&count, 0u);
    }
    workgroupBarrier();
    atomicAdd(&count, found);
    workgroupBarrier();
    if local == 0u {
        out[group.x] = atomicLoad(&count);
    }
}
