// A convolution or one of its gradients as a matmul: a part of matmul.wgsl, whose head gives the formula and the other
// constants. Its `b` is the gathered matrix X of conv.wgsl, its `a` the other operand:
//   convolution       rows: output channels  k: input channels, kernel positions   columns: samples, output positions
//   input's gradient  rows: input channels   k: output channels, kernel positions  columns: samples, input positions
//   weight's gradient rows: output channels  k: samples, output positions          columns: input channels, kernel positions
//
// k and columns come in fours, numbered along three axes (outer, y, x). One side's fours are neighbouring channels at one
// kernel position, outer = channels / 4; the other's are neighbouring positions (y, 4·x + 0 … 3) of one sample. Axes are
// filled up to whole fours. So a block of X is four channels by four positions of one line of `x`, whatever the
// pass: one comparison for the line, four for the positions, and two divisions for the four k.
// The input's gradient is taken by residue classes of positions modulo the stride, see `conv_classes.wgsl`: each is a matmul
// of its own.
//
// Layout: `a` by strides; `x` and `c` dense from offsets, `c` once for each part of k.
// Bindings: 0 the sizes and strides, 1 `x`, 2 `w` (which is `a`).
// Constants:
//   WEIGHT     1: the weight's gradient: columns are channels, and k positions. 0: the other way round.
//   SY, SX     the convolution's stride for the input's gradient, else 1.
//   K_AXES     3; 2 where y has the size 1, and 1 where x has too, for k.
//   K_WHOLE    1: the axis whose fours k are needs no filling up; 0: it may.
//   J_WHOLE    the same for columns.
//   A_VECTOR   1: four k of `w` are one aligned vector, and A is a vector of four; needs K_WHOLE. 2: the same for four rows
//              of `w`. 0: A is a scalar.
//   X_VECTOR   1: four positions are one aligned vector of `x` wherever they are inside, and X is a vector of four. 0: X is
//              a scalar.
//   T, A, X    the element types in memory: T f32 or f16, the others T or vectors of four of it.
// Bounds: rows and columns beyond the last read the last. k beyond the last read the first, and channels beyond the last
//   the last: both count as 0 on both sides. A position outside `x` reads the first line's beginning instead and counts as
//   0; those left of 0 wrap around to large u32, so one comparison rejects both sides. Columns beyond the last, among them
//   those that fill an axis up, are not stored.

// [outside]
const EXTRA: u32 = 1u;
struct Axis { first: u32, size: u32, base: u32, k_first: u32, k_size: u32 }
fn axis(residue: u32, stride: u32, period: u32, dilation: u32, pad: u32, size: u32, k_size: u32) -> Axis { return Axis(); }
@group(0) @binding(0) var<uniform> p: Params;
fn masked(block: mat4x4<f32>, inside: vec4<bool>) -> mat4x4<f32> { return block; }
// [end]

const WEIGHT: u32 = 0u;
const SY: u32 = 1u;
const SX: u32 = 1u;
const K_AXES: u32 = 3u;
const K_WHOLE: u32 = 0u;
const J_WHOLE: u32 = 0u;
const A_VECTOR: u32 = 0u;
const X_VECTOR: u32 = 0u;
alias T = f32;
alias A = f32;
alias X = f32;
alias V = vec4<T>;
const CLASSES: u32 = SX * SY;
const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);
// Rows that one load reads.
const ROWS_A: u32 = select(1u, 4u, A_VECTOR == 2u);

struct Params {
    m: u32, tiles_m: u32, tiles_n: u32, batches: u32, c_offset: u32, sums_offset: u32, parts: u32, part_k: u32,
    // Axes of k and of columns in fours, and the size, not in fours, of that which is in fours.
    k_outer: u32, k_height: u32, k_width: u32, k_inner: u32,
    j_outer: u32, j_height: u32, j_width: u32, j_inner: u32,
    // Strides of `w`: of a group, of a row, of k's three axes in fours, and of one k of a four to the next.
    a_offset: u32, a_group: u32, a_row: u32, a_outer: u32, a_y: u32, a_x: u32, a_next: u32,
    // `x`: strides of a group and of a channel, and the size of its planes.
    x_offset: u32, x_group: u32, x_channel: u32, x_height: u32, x_width: u32,
    // What an axis of k, and of columns, in fours, adds: the outer one in memory, the others to the position; and
    // the distance of neighbouring positions of a four.
    xk_outer: u32, xk_y: u32, xk_x: u32, xj_outer: u32, xj_y: u32, xj_x: u32, x_next: u32,
    // Where the first column and the first k meet: may be negative, then wraps around.
    base_y: u32, base_x: u32,
    // Strides of `c`: of a part, a group, a row, and a sample or a channel; the width of its planes.
    c_part: u32, c_group: u32, c_row: u32, c_outer: u32, c_width: u32,
    // With CLASSES above 1: the input gradient's padding, dilation and periods, and the whole sizes of its planes.
    pad_y: u32, pad_x: u32, dilation_y: u32, dilation_x: u32, period_y: u32, period_x: u32, c_height: u32,
    // Words of a replaced region `store`.
    extra: array<vec4<u32>, EXTRA>,
}

@group(0) @binding(1) var<storage, read> x: array<X>;
@group(0) @binding(2) var<storage, read> w: array<A>;

// What the tiles of a matmul have in common.
struct Operands {
    // Where its matrices begin, and its k.
    a: u32,
    b: u32,
    k: u32,
    // Sizes (y, x) of k and of columns, in fours; columns of the outer axis, and of that which is in fours.
    k_size: vec2<u32>,
    j_size: vec2<u32>,
    j_outer: u32,
    j_inner: u32,
    // Strides of `w` along y and x.
    a_step: vec2<u32>,
    // Where the first column and the first k meet, and the first position in `c`.
    base: vec2<u32>,
    first: vec2<u32>,
}

fn operands(z: u32) -> Operands {
    let g = z / CLASSES;
    var both = Operands(
        p.a_offset + g * p.a_group,
        p.x_offset + g * p.x_group,
        4u * p.k_outer * p.k_height * p.k_width,
        vec2<u32>(p.k_height, p.k_width),
        vec2<u32>(p.j_height, p.j_width),
        p.j_outer,
        p.j_inner,
        vec2<u32>(p.a_y, p.a_x),
        vec2<u32>(p.base_y, p.base_x),
        vec2<u32>(),
    );
    if CLASSES > 1u {
        let residue = z % CLASSES;
        let across = axis(residue % SX, SX, p.period_x, p.dilation_x, p.pad_x, p.c_width, p.k_width);
        let down = axis(residue / SX, SY, p.period_y, p.dilation_y, p.pad_y, p.c_height, p.k_height);
        both.a += down.k_first * p.a_y + across.k_first * p.a_x;
        both.k = 4u * p.k_outer * down.k_size * across.k_size;
        both.k_size = max(vec2<u32>(down.k_size, across.k_size), vec2<u32>(1u));
        both.j_size = max(vec2<u32>(down.size, (across.size + 3u) / 4u), vec2<u32>(1u));
        both.j_outer = select(0u, p.j_outer, down.size > 0u);
        both.j_inner = across.size;
        both.a_step *= vec2<u32>(p.period_y, p.period_x);
        both.base = vec2<u32>(down.base, across.base);
        both.first = vec2<u32>(down.first, across.first);
    }
    return both;
}

// A four's place on the three axes (outer, y, x).
fn along_k(four: u32, size: vec2<u32>) -> vec3<u32> {
    if K_AXES == 1u {
        return vec3<u32>(four, 0u, 0u);
    }
    let line = four / size.y;
    if K_AXES == 2u {
        return vec3<u32>(line, 0u, four - line * size.y);
    }
    return vec3<u32>(line / size.x, line % size.x, four - line * size.y);
}

fn along_columns(four: u32, size: vec2<u32>) -> vec3<u32> {
    let line = four / size.y;
    return vec3<u32>(line / size.x, line % size.x, four % size.y);
}

// How far the elements of a four are from its first, of which there are `left`.
fn distances(left: u32, whole: bool) -> vec4<u32> {
    return select(min(FOUR, vec4<u32>(left - 1u)), FOUR, whole);
}

// The rows of `w`, or for four columns: where they begin in `x`, their position (y, x), and how many channels there are.
struct Lines {
    at: vec4<u32>,
}

fn lines_a(both: Operands, row: u32) -> Lines {
    // Rows beyond the last are not stored: they may be any. A vector of four begins within the last four.
    let rows = min(vec4<u32>(row) + FOUR, vec4<u32>(max(p.m, ROWS_A) - ROWS_A));
    return Lines(vec4<u32>(both.a) + rows * p.a_row);
}

fn lines_b(both: Operands, column: u32) -> Lines {
    let fours = both.j_outer * both.j_size.x * both.j_size.y;
    let at = along_columns(min(column / 4u, max(fours, 1u) - 1u), both.j_size);
    let y = both.base.x + at.y * p.xj_y;
    return Lines(vec4<u32>(both.b + at.x * p.xj_outer, y, both.base.y + at.z * p.xj_x, both.j_inner - 4u * at.x));
}

// The element or the vector at `i`. The conversions let one text serve scalars and vectors.
fn at_a(i: u32) -> vec4<f32> {
    return vec4<f32>(V(w[select(i, i / 4u, A_VECTOR > 0u)]));
}

fn at_x(i: u32) -> vec4<f32> {
    return vec4<f32>(V(x[select(i, i / 4u, X_VECTOR > 0u)]));
}

// Four rows of `w` for each of four k.
fn block_a(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> {
    let inside = vec4<bool>(k < both.k);
    let four = along_k(select(0u, k / 4u, inside.x), both.k_size);
    let at = four.x * p.a_outer + four.y * both.a_step.x + four.z * both.a_step.y;
    if A_VECTOR == 1u {
        let i = lines.at + vec4<u32>(at);
        return transpose(masked(mat4x4<f32>(at_a(i.x), at_a(i.y), at_a(i.z), at_a(i.w)), inside));
    }
    let left = p.k_inner - 4u * select(four.x, four.z, WEIGHT == 1u);
    let i = vec4<u32>(at) + distances(left, K_WHOLE == 1u) * p.a_next;
    let block = mat4x4<f32>(rows_a(lines, i.x), rows_a(lines, i.y), rows_a(lines, i.z), rows_a(lines, i.w));
    return masked(block, inside & (vec4<bool>(K_WHOLE == 1u) | (FOUR < vec4<u32>(left))));
}

// Four rows at one k, which is `at` further.
fn rows_a(lines: Lines, at: u32) -> vec4<f32> {
    if A_VECTOR == 2u {
        return at_a(lines.at.x + at);
    }
    let i = lines.at + vec4<u32>(at);
    return vec4<f32>(at_a(i.x).x, at_a(i.y).x, at_a(i.z).x, at_a(i.w).x);
}

// Four columns of X for each of four k.
fn block_b(both: Operands, lines: Lines, k: u32) -> mat4x4<f32> {
    let four = along_k(select(0u, k / 4u, k < both.k), both.k_size);
    let left = p.k_inner - 4u * select(four.x, four.z, WEIGHT == 1u);
    let y = lines.at.y + four.y * p.xk_y;
    let positions = vec4<u32>(lines.at.z + four.z * p.xk_x) + FOUR * p.x_next;
    var inside = vec4<bool>((k < both.k) & (y < p.x_height)) & (positions < vec4<u32>(p.x_width));
    if WEIGHT == 1u {
        inside &= vec4<bool>(K_WHOLE == 1u) | (FOUR < vec4<u32>(left));
    }
    let line = lines.at.x + four.x * p.xk_outer + y * p.x_width;
    let at = select(vec4<u32>(p.x_offset), vec4<u32>(line) + positions, inside);
    let whole = select(K_WHOLE, J_WHOLE, WEIGHT == 1u) == 1u;
    let channels = distances(select(left, lines.at.w, WEIGHT == 1u), whole) * p.x_channel;
    let block = mat4x4<f32>(
        positions_x(at + vec4<u32>(channels.x), inside),
        positions_x(at + vec4<u32>(channels.y), inside),
        positions_x(at + vec4<u32>(channels.z), inside),
        positions_x(at + vec4<u32>(channels.w), inside),
    );
    if WEIGHT == 1u {
        return transpose(block);
    }
    return masked(block, vec4<bool>(K_WHOLE == 1u) | (FOUR < vec4<u32>(left)));
}

// Four positions of a channel.
fn positions_x(at: vec4<u32>, inside: vec4<bool>) -> vec4<f32> {
    if X_VECTOR == 1u {
        return select(vec4<f32>(), at_x(at.x), inside);
    }
    return select(vec4<f32>(), vec4<f32>(at_x(at.x).x, at_x(at.y).x, at_x(at.z).x, at_x(at.w).x), inside);
}

// Four columns of the result, `count` of which there are: the number of the first in row 0, counted through all parts,
// and its coordinates (sample or channel, row of all groups, position); and how both go on to the next row and column.
struct Quad {
    count: u32,
    i: u32,
    row: u32,
    next: u32,
    at: vec3<u32>,
    along: vec3<u32>,
}

fn quad(both: Operands, unit: u32, column: u32) -> Quad {
    let four = along_columns(column / 4u, both.j_size);
    let left = both.j_inner - 4u * select(four.z, four.x, WEIGHT == 1u);
    let outer = four.x * select(1u, 4u, WEIGHT == 1u);
    let across = four.z * select(4u, 1u, WEIGHT == 1u);
    let position = (both.first.x + four.y * SY) * p.c_width + both.first.y + across * SX;
    let part = unit / p.batches;
    let i = part * p.c_part + unit % p.batches / CLASSES * p.c_group + outer * p.c_outer + position;
    return Quad(
        select(0u, left, four.x < both.j_outer),
        i,
        p.c_row,
        select(SX, p.c_outer, WEIGHT == 1u),
        vec3<u32>(part * p.j_outer + outer, unit % p.batches / CLASSES * p.m, position),
        select(vec3<u32>(0u, 0u, SX), vec3<u32>(1u, 0u, 0u), vec3<bool>(WEIGHT == 1u)),
    );
}
