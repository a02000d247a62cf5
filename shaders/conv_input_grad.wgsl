// The gradient of a convolution with respect to its input (also the transposed convolution):
//   x[n, first(o) + c, iy, ix] = Σ_{o, qy, qx} w[o, c, qy, qx] · y[n, o, py, px]
// over the output positions with py·sy + qy·dy − pady = iy and px·sx + qx·dx − padx = ix.
//
// One thread computes one element of `x` and gathers: no atomics, so the result is the same bits every time.
//
// Layout: dense, each from an offset: y [batch, out_channels, oh, ow], w [out_channels, group_in, kh, kw],
//   x [batch, in_channels, ih, iw].
// Bindings: 0 `y`, 1 `w`, 2 `x`, 3 the sizes (as in `conv.wgsl`).
// Constants: WORKGROUP, threads a workgroup: 1..=256. T, the element type in memory: f32 or f16; sums are f32.
// Bounds: a thread beyond the last element returns at once; a kernel position that meets no output position is skipped:
//   `padded − q·dilation` is negative, not a multiple of the stride, or beyond the last position.

const WORKGROUP: u32 = 64u;
alias T = f32;

struct Params {
    batch: u32,
    in_channels: u32,
    out_channels: u32,
    group_in: u32,
    group_out: u32,
    ih: u32,
    iw: u32,
    oh: u32,
    ow: u32,
    kh: u32,
    kw: u32,
    sy: u32,
    sx: u32,
    pady: u32,
    padx: u32,
    dy: u32,
    dx: u32,
    a_offset: u32,
    b_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read> y: array<T>;
@group(0) @binding(1) var<storage, read> w: array<T>;
@group(0) @binding(2) var<storage, read_write> x: array<T>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = (group.y * groups.x + group.x) * WORKGROUP + thread;
    if i >= p.batch * p.in_channels * p.ih * p.iw {
        return;
    }
    let ix = i % p.iw + p.padx;
    let iy = i / p.iw % p.ih + p.pady;
    let channel = i / (p.iw * p.ih) % p.in_channels;
    let n = i / (p.iw * p.ih * p.in_channels);
    let first = channel / p.group_in * p.group_out;
    let c = channel % p.group_in;
    var sum = 0.0;
    for (var o = first; o < first + p.group_out; o++) {
        let plane = p.a_offset + (n * p.out_channels + o) * p.oh * p.ow;
        let kernel = p.b_offset + (o * p.group_in + c) * p.kh * p.kw;
        var part = 0.0;
        for (var qy = 0u; qy < p.kh && qy * p.dy <= iy; qy++) {
            let ty = iy - qy * p.dy;
            let py = ty / p.sy;
            if py < p.oh && py * p.sy == ty {
                for (var qx = 0u; qx < p.kw && qx * p.dx <= ix; qx++) {
                    let tx = ix - qx * p.dx;
                    let px = tx / p.sx;
                    if px < p.ow && px * p.sx == tx {
                        part += f32(y[plane + py * p.ow + px]) * f32(w[kernel + qy * p.kw + qx]);
                    }
                }
            }
        }
        sum += part;
    }
    x[p.out_offset + i] = T(sum);
}
