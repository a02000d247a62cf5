// Reads and writes at indices that may be outside what is bound.
//
// Layout: dense words; as many indices as threads.
// Bindings: 0 `indices`, 1 `bound`, a part of a larger buffer, 2 `out`, what was read.

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> bound: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn read_beyond(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&indices) {
        out[id.x] = bound[indices[id.x]];
    }
}

@compute @workgroup_size(64)
fn write_beyond(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&indices) {
        bound[indices[id.x]] = 0xbadbad00u + id.x;
        out[id.x] = indices[id.x];
    }
}
