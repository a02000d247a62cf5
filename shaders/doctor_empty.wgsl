// Next to nothing, to measure what a dispatch costs by itself; and some work, to measure clocks by.
//
// Bindings: 0 `out`, a word.
// Entry points: `main` writes a word; `work` runs some thousand iterations of a loop in each of its threads.

@group(0) @binding(0) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main() {
    out[0] = 1u;
}

@compute @workgroup_size(64)
fn work(@builtin(global_invocation_id) id: vec3<u32>) {
    var state = id.x + out[0];
    for (var i = 0u; i < 4096u; i++) {
        state = state * 1664525u + (1013904223u ^ (state >> 15u));
    }
    // Never true of what is written here, which only the writer knows.
    if state == out[0] {
        out[0] = 1u;
    }
}
