//! How the terms of a reduction are shared: by threads of a workgroup, and in parts by workgroups.

use super::estimate::{fastest, seconds};
use super::variant::Split;
use super::{GpuTarget, Lanes, Work, share, shares};

/// Terms that a thread adds at most: Mesa's lavapipe ends a thread's loops after 65,535 iterations of eight terms.
const MOST: usize = 1 << 18;
/// Neighbouring outputs that a workgroup takes where those are neighbours in memory: a few cache lines.
const SPREAD: u32 = 32;
/// Terms that a GPU's thread reads without waiting for one before it reads the next.
const TOGETHER: usize = 8;
/// Elements of the smallest piece of memory that is read.
const SECTOR: usize = 8;

/// The sizes of a reduction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Outputs.
    pub(super) outputs: usize,
    /// Terms of each.
    pub(super) terms: usize,
    /// Whether neighbouring outputs, not neighbouring terms, are neighbours in memory.
    pub(super) spread: bool,
    /// Instructions of a term.
    pub(super) instructions: usize,
    /// How often the loads of a term wait for each other.
    pub(super) waits: usize,
}

impl Shape {
    /// The rule's choice: of a typical GPU's variants the fastest, by estimate; on a software driver as few dispatches and
    /// threads as do.
    pub(super) fn rule(&self, may_split: bool, target: &GpuTarget) -> Split<Lanes> {
        let whole = || Split::whole(share(self.outputs, self.terms, target), self.terms);
        if target.software {
            return whole();
        }
        fastest(self.all(may_split, target), |variant| self.seconds(variant)).unwrap_or_else(whole)
    }

    /// All that may be worth a try: so many parts that threads have terms.
    pub(super) fn all(&self, may_split: bool, target: &GpuTarget) -> Vec<Split<Lanes>> {
        let mut ways = shares(self.outputs, self.terms, MOST, target);
        if self.spread {
            let columns = SPREAD.min(self.outputs.next_power_of_two() as u32);
            ways.retain(|way| target.software || way.workgroup / way.lanes >= columns);
            let largest = 256.min(1 << target.max_invocations.ilog2());
            let wide = [64, 256].into_iter().filter(|&workgroup| workgroup <= largest);
            ways.extend(wide.map(|workgroup| Lanes::new(workgroup, workgroup / columns.min(workgroup), self.outputs)));
        }
        let parts: &[usize] = if may_split { &[1, 4, 8, 16, 32, 64, 128, 256, 512, 1024] } else { &[1] };
        let pairs = ways.into_iter().flat_map(|way| parts.iter().map(move |&parts| (way, parts)));
        let fits = |&(way, parts): &(Lanes, usize)| {
            parts == 1 || self.terms / parts >= TOGETHER * way.lanes as usize && self.outputs * parts <= 1 << 20
        };
        pairs.filter(fits).map(|(way, parts)| Split { way, parts, part: self.terms.div_ceil(parts) }).collect()
    }

    /// Terms that a thread reads at a time.
    pub(super) fn together(&self, way: Lanes, length: usize, target: &GpuTarget) -> usize {
        let long = length / way.lanes as usize > 4096;
        if long || !target.software { TOGETHER } else { 1 }
    }

    /// What a dispatch does of parts of `length` terms.
    pub(super) fn work(&self, way: Lanes, length: usize) -> Work {
        let (terms, steps) = (length.div_ceil(way.lanes as usize), way.lanes.ilog2() as usize);
        let each = terms * (6 + self.instructions) + 8 * steps + 20;
        let needed = self.outputs * self.terms * (1 + self.instructions);
        Work::of(way.workgroup, terms.div_ceil(TOGETHER) * self.waits, steps, each).needed(needed)
    }

    /// What a way takes on a typical GPU, with the sums of parts.
    fn seconds(&self, &Split { way, parts, part }: &Split<Lanes>) -> f64 {
        let slots = (way.workgroup / way.lanes) as usize;
        // Where the threads of a workgroup read single elements far apart, more is read than is used.
        let wasted = match self.spread {
            true => SECTOR.div_ceil(slots),
            false if self.terms >= 4 * SECTOR => SECTOR.div_ceil(way.lanes as usize),
            false => 1,
        };
        let workgroups = (self.outputs * parts).div_ceil(slots) as u64;
        let work = Work { bytes: 4 * (wasted * self.outputs * self.terms) as u64, ..self.work(way, part) };
        seconds(&work, workgroups) + partial_sums(parts, [self.outputs, 0])
    }
}

/// What the dispatches take on a typical GPU that add so many partial results of each of a result's elements, and of each
/// of the sums of its rows; 0 of these if they are not wanted. Nothing for one part.
pub(super) fn partial_sums(parts: usize, [elements, row_sums]: [usize; 2]) -> f64 {
    let seconds = |outputs: usize| {
        let shape = Shape { outputs, terms: parts, spread: outputs > 1, instructions: 4, waits: 1 };
        shape.seconds(&shape.rule(false, &GpuTarget::default()))
    };
    match (parts, row_sums) {
        (..=1, _) => 0.0,
        (_, 0) => seconds(elements),
        _ => seconds(elements) + seconds(row_sums),
    }
}
