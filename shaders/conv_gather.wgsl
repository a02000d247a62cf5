// Where the elements of a convolution's gathered matrix X stand: a part of conv.wgsl, whose head gives X and the
// constants.
//
// A column's elements are at x[j.x + k.x + (j.y + k.y) · width + j.z + k.z], where j is what the column contributes
// (`place`) and k what a row of X does; for the input's gradient `conv_classes.wgsl` says how a residue class of
// positions sees an axis.
//
// Layout and bindings: 1 `x`, dense from an offset; the uniform `p` is conv.wgsl's.
// Constants: GATHER, ROW_SUMS and T, see conv.wgsl.
// Region: `x` is replaced where `x` is read as a uniform (see `src/wgsl/window.rs`).
// Bounds: a position outside `x` reads the first element instead and counts as 0; positions left of 0 wrap around to
//   large u32, so one comparison rejects both sides. Columns beyond the last repeat it.

// [outside]
const GATHER: u32 = 1u;
const ROW_SUMS: u32 = 0u;
alias T = f32;

struct Params {
    x_offset: u32, x_group: u32, x_j0: u32, x_height: u32, x_width: u32,
    jx_size: u32, jy_step: u32, jx_step: u32,
}

struct Axis { first: u32, size: u32, base: u32, k_first: u32, k_size: u32 }

@group(0) @binding(0) var<uniform> p: Params;
// [end]

// [x]
@group(0) @binding(1) var<storage, read> x: array<T>;
fn x_one(at: u32) -> f32 {
    return f32(x[at]);
}
// [end]

// `j`: where the column starts in memory, then along y and x; last, whether it is the column of ones.
fn load_x(j: vec4<u32>, k: vec4<u32>) -> f32 {
    var at = j.x + k.x;
    var inside = k.w != 0u;
    if ROW_SUMS == 1u {
        inside = inside & (j.w == 0u);
    }
    if GATHER > 0u {
        let y = j.y + k.y;
        let z = j.z + k.z;
        inside = inside & (y < p.x_height) & (z < p.x_width);
        at = select(p.x_offset, at + y * p.x_width + z, inside);
    }
    let value = select(0.0, x_one(at), inside);
    if ROW_SUMS == 1u {
        return select(value, f32(k.w), j.w == 1u);
    }
    return value;
}

// Where a column's elements begin.
struct Place {
    // In `x`, as `load_x` takes it.
    j: vec4<u32>,
    // In the result: j0 and the position.
    at: vec2<u32>,
    column: u32,
}

fn place(column: u32, columns: u32, g: u32, across: Axis, down: Axis, apart: vec2<u32>) -> Place {
    let last = min(column, max(columns, 1u) - 1u);
    let line = last / max(across.size, 1u);
    let jx = last - line * across.size;
    let j0 = line / max(down.size, 1u);
    let jy = line - j0 * down.size;
    var j = vec4<u32>(p.x_offset + g * p.x_group + j0 * p.x_j0, 0u, 0u, select(0u, 1u, column == columns));
    if GATHER == 0u {
        j.x += jy * p.jy_step * p.x_width + jx * p.jx_step;
    } else {
        j.y = jy * p.jy_step + down.base;
        j.z = jx * p.jx_step + across.base;
    }
    return Place(j, vec2<u32>(j0, (down.first + jy * apart.x) * p.jx_size + across.first + jx * apart.y), column);
}
