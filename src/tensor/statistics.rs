//! Reductions built from other operations: variance, norms, products, cumulative sums, the `k` largest elements.

use super::Tensor;
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::scan::Scan;
use crate::ops::topk::TopK;
use crate::shape::{Axes, Shape};

impl<'g> Tensor<'g> {
    /// `√x` whose gradient is 0 rather than infinite where `x` is 0, as PyTorch's standard deviations and norms have
    /// it.
    #[track_caller]
    fn sqrt_of_sum(self) -> Tensor<'g> {
        let zero = self.eq(0.0);
        zero.select(0.0, zero.select(1.0, self).sqrt())
    }

    /// The sorted axes, or the poisoned tensor if the call is in error.
    #[track_caller]
    fn axes(self, name: &str, axes: &Axes) -> Result<Vec<usize>, Tensor<'g>> {
        if self.is_poisoned() {
            return Err(self);
        }
        match axes.resolve(self.shape().rank()) {
            Ok(axes) => Ok(axes),
            Err(message) => Err(self.graph.fail(name, message)),
        }
    }

    /// Removes axes that a reduction has kept; a poisoned tensor stays poisoned.
    #[track_caller]
    fn without(self, axes: &[usize]) -> Tensor<'g> {
        if self.is_poisoned() {
            return self;
        }
        let shape = self.shape();
        let sizes: Vec<usize> = (0..shape.rank()).filter(|k| !axes.contains(k)).map(|k| shape[k]).collect();
        self.reshape(sizes)
    }

    /// The variance over `axes`, `Σ (x − mean)²/(n − correction)`, as `torch.var`. Correction 1 gives the unbiased
    /// sample variance, 0 the population variance.
    #[track_caller]
    pub fn var(self, axes: impl Into<Axes>, correction: f64) -> Tensor<'g> {
        let axes = match self.axes("var", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        self.var_keepdim(&axes[..], correction).without(&axes)
    }

    /// [`Tensor::var`] with the reduced axes kept, with size 1.
    #[track_caller]
    pub fn var_keepdim(self, axes: impl Into<Axes>, correction: f64) -> Tensor<'g> {
        let axes = match self.axes("var", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        let shape = self.shape();
        let count = axes.iter().map(|&k| shape[k]).product::<usize>() as f64;
        if count - correction <= 0.0 || correction.is_nan() {
            let message = format!("{count} values of {shape} are too few for correction {correction}");
            return self.graph.fail("var", message);
        }
        (self - self.mean_keepdim(&axes[..])).square().sum_keepdim(&axes[..]) * (1.0 / (count - correction))
    }

    /// The standard deviation over `axes`: the square root of [`Tensor::var`]. Where it is 0, its gradient is 0 too.
    #[track_caller]
    pub fn std(self, axes: impl Into<Axes>, correction: f64) -> Tensor<'g> {
        self.var(axes, correction).sqrt_of_sum()
    }

    /// [`Tensor::std`] with the reduced axes kept, with size 1.
    #[track_caller]
    pub fn std_keepdim(self, axes: impl Into<Axes>, correction: f64) -> Tensor<'g> {
        self.var_keepdim(axes, correction).sqrt_of_sum()
    }

    /// `log Σ eˣ` over `axes`, computed after subtraction of the maximum.
    #[track_caller]
    pub fn logsumexp(self, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes = match self.axes("logsumexp", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        self.logsumexp_keepdim(&axes[..]).without(&axes)
    }

    /// [`Tensor::logsumexp`] with the reduced axes kept, with size 1.
    #[track_caller]
    pub fn logsumexp_keepdim(self, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes: Axes = axes.into();
        // An infinite maximum is clamped: otherwise the subtraction would be ∞ − ∞.
        let largest = if self.dtype() == DType::F16 { half::f16::MAX.to_f64() } else { f64::from(f32::MAX) };
        let max = self.detach().max_keepdim(axes.clone()).clamp(-largest, largest);
        (self - max).exp().sum_keepdim(axes).log() + max
    }

    /// The `p`-norm over `axes`, `(Σ |x|ᵖ)^(1/p)`. For infinite `p` it is the largest (`-∞`: the smallest) absolute
    /// value, for 0 the number of non-zero elements. Where the norm is 0, its gradient is 0 too.
    #[track_caller]
    pub fn norm(self, p: f64, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes = match self.axes("norm", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        self.norm_keepdim(p, &axes[..]).without(&axes)
    }

    /// [`Tensor::norm`] with the reduced axes kept, with size 1.
    #[track_caller]
    pub fn norm_keepdim(self, p: f64, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes: Axes = axes.into();
        if p.is_nan() || !self.dtype().is_float() {
            let message = format!("takes f32 or f16 and a number p, but they are {} and {p}", self.dtype());
            return self.graph.fail("norm", message);
        }
        match p {
            0.0 => self.ne(0.0).cast(self.dtype()).sum_keepdim(axes),
            1.0 => self.abs().sum_keepdim(axes),
            2.0 => self.square().sum_keepdim(axes).sqrt_of_sum(),
            f64::INFINITY => self.abs().max_keepdim(axes),
            f64::NEG_INFINITY => self.abs().min_keepdim(axes),
            _ => {
                // At 0 neither the power (for some `p`) nor the root has a finite derivative.
                let zero = self.eq(0.0);
                let power = zero.select(1.0, self.abs()).pow(p);
                let at_zero = if p > 0.0 { 0.0 } else { f64::INFINITY };
                let sum = zero.select(at_zero, power).sum_keepdim(axes);
                let none = sum.eq(0.0);
                none.select(0.0, none.select(1.0, sum).pow(1.0 / p))
            }
        }
    }

    /// The product over `axes`, multiplied pairwise as a tree. The gradient is exact where factors are 0, too.
    #[track_caller]
    pub fn prod(self, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes = match self.axes("prod", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        let shape = self.shape();
        let kept: Vec<usize> = (0..shape.rank()).filter(|k| !axes.contains(k)).collect();
        let sizes = |axes: &[usize]| axes.iter().map(|&k| shape[k]).collect::<Vec<_>>();
        let (outer, mut count) = (Shape::from(sizes(&kept)), sizes(&axes).iter().product::<usize>());
        if count == 0 {
            return self.graph.full(outer, 1.0, self.dtype());
        }
        let order: Vec<isize> = kept.iter().chain(&axes).map(|&k| k as isize).collect();
        let mut factors = self.permute(&order).reshape([outer.elements(), count]);
        let mut odd: Option<Tensor<'g>> = None;
        while count > 1 {
            let half = count / 2;
            if count % 2 == 1 {
                let last = factors.slice(1, count - 1..count);
                odd = Some(odd.map_or(last, |product| product * last));
            }
            factors = factors.slice(1, 0..half) * factors.slice(1, half..2 * half);
            count = half;
        }
        odd.map_or(factors, |odd| factors * odd).reshape(outer)
    }

    /// [`Tensor::prod`] with the reduced axes kept, with size 1.
    #[track_caller]
    pub fn prod_keepdim(self, axes: impl Into<Axes>) -> Tensor<'g> {
        let axes = match self.axes("prod", &axes.into()) {
            Ok(axes) => axes,
            Err(poison) => return poison,
        };
        let shape = self.shape();
        let kept = (0..shape.rank()).map(|k| if axes.contains(&k) { 1 } else { shape[k] }).collect::<Vec<_>>();
        self.prod(&axes[..]).reshape(kept)
    }

    /// The cumulative sum along `axis`: `torch.cumsum`.
    #[track_caller]
    pub fn cumsum(self, axis: isize) -> Tensor<'g> {
        self.along_last(Op::Scan(Scan { reverse: false }), axis)
    }

    /// The `k` largest elements along `axis` (the smallest if not `largest`), sorted, and their indices as `u32`. Among
    /// equal elements the first comes first; a NaN counts as larger than any number.
    ///
    /// ```
    /// # use wgrad::{Array, Device, Graph, Session};
    /// let g = Graph::new();
    /// let x = g.constant([3.0f32, 9.0, 1.0, 9.0]);
    /// let (values, indices) = x.topk(3, 0, true);
    /// let mut session = Session::new(Device::cpu())?;
    /// let program = session.compile(&g, &[values, indices])?;
    /// let out = session.run(&program, &[])?;
    /// assert_eq!(out[0].as_slice::<f32>()?, [9.0, 9.0, 3.0]);
    /// assert_eq!(out[1].as_slice::<u32>()?, [1, 3, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn topk(self, k: usize, axis: isize, largest: bool) -> (Tensor<'g>, Tensor<'g>) {
        let indices = self.along_last(Op::TopK(TopK { k, largest }), axis);
        if indices.is_poisoned() {
            return (indices, indices);
        }
        (self.gather(axis, indices), indices)
    }

    /// The number of non-zero elements over `axes`, as `u32`.
    #[track_caller]
    pub fn count_nonzero(self, axes: impl Into<Axes>) -> Tensor<'g> {
        self.ne(0.0).cast(DType::U32).sum(axes)
    }
}
