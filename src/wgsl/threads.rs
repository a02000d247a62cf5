//! How many threads share the work of a dispatch, and how many workgroups.

use super::GpuTarget;

/// Workgroups that fill a large GPU once: a data-centre GPU has some 130 compute units.
pub(super) const FULL: u64 = 128;
/// Workgroups that a launch is cut into where its outputs are too few: several for each compute unit, so that one's
/// memory accesses hide behind another's.
const PARTS: u64 = 1024;

/// Threads a workgroup for `points` independent ones: small workgroups spread small launches over the device.
pub fn workgroup_size(points: usize, target: &GpuTarget) -> u32 {
    let wanted = if points >= 1 << 16 { 256 } else { 64 };
    wanted.min(target.max_invocations)
}

/// How threads that have no work in common are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// Threads a workgroup; by their number in all if not said.
    pub workgroup: Option<u32>,
    /// Whether a thread takes four neighbouring points where it can.
    pub quads: bool,
}

impl Apart {
    /// The rule's where a thread takes one point.
    pub const SINGLE: Apart = Apart { workgroup: None, quads: false };

    /// The rule's for `points` points: where these are few, a GPU rather has more threads.
    pub fn rule(points: usize, target: &GpuTarget) -> Apart {
        Apart { workgroup: None, quads: target.software || points >= 1 << 16 }
    }

    /// All that may be worth a try where a thread takes one point.
    pub fn single(target: &GpuTarget) -> Vec<Apart> {
        let sizes = [64, 256].into_iter().filter(|&size| size <= target.max_invocations);
        sizes.map(|size| Apart { workgroup: Some(size), quads: false }).collect()
    }

    /// All that may be worth a try.
    pub fn all(target: &GpuTarget) -> Vec<Apart> {
        let single = Apart::single(target).into_iter();
        single.flat_map(|way| [Apart { quads: true, ..way }, way]).collect()
    }

    /// Threads a workgroup, of so many in all.
    pub fn workgroup(self, threads: usize, target: &GpuTarget) -> u32 {
        self.workgroup.unwrap_or_else(|| workgroup_size(threads, target))
    }
}

impl std::fmt::Display for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.workgroup {
            Some(workgroup) => write!(f, "{workgroup}-threads")?,
            None => f.write_str("threads-by-size")?,
        }
        f.write_str(if self.quads { "-quads" } else { "" })
    }
}

/// How a shader in which threads share an output is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Threads a workgroup.
    pub workgroup: u32,
    /// Threads an output.
    pub lanes: u32,
    /// Workgroups in all.
    pub workgroups: u64,
}

impl Lanes {
    /// So many threads a workgroup and an output, for `outputs` of them.
    pub fn new(workgroup: u32, lanes: u32, outputs: usize) -> Lanes {
        Lanes { workgroup, lanes, workgroups: (outputs as u64).div_ceil(u64::from(workgroup / lanes)) }
    }
}

impl std::fmt::Display for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-threads-{}-each", self.workgroup, self.lanes)
    }
}

/// Other ways to share `outputs` outputs of `terms` terms, with no more than `most` terms a thread.
pub fn shares(outputs: usize, terms: usize, most: usize, target: &GpuTarget) -> Vec<Lanes> {
    let largest = 256.min(1 << target.max_invocations.ilog2());
    let pairs = [64, 256].into_iter().flat_map(|workgroup| [1, 4, 16, 64, 256].map(|lanes| (workgroup, lanes)));
    let useful = pairs.filter(|&(workgroup, lanes)| {
        let each = terms.div_ceil(lanes as usize);
        workgroup <= largest && lanes <= workgroup && each <= most && lanes as usize <= terms.next_power_of_two()
    });
    useful.map(|(workgroup, lanes)| Lanes::new(workgroup, lanes, outputs)).collect()
}

/// How many threads share an output that joins `terms` values, for `outputs` of them.
pub fn share(outputs: usize, terms: usize, target: &GpuTarget) -> Lanes {
    let workgroup = 256.min(1 << target.max_invocations.ilog2());
    // A software driver runs its threads in vectors one after another: barriers only cost.
    if target.software && outputs >= 256 && terms <= 1 << 14 {
        return Lanes::new(64.min(workgroup), 1, outputs);
    }
    // A thread wants some terms of its own, fewer where there would be too few threads to fill a device otherwise.
    let wanted = if outputs >= 1 << 14 { terms / 32 } else { terms / 4 };
    let lanes = (wanted.max(1) as u32).next_power_of_two().min(workgroup);
    // Few outputs: no more slots in a workgroup than there are outputs.
    let workgroup = workgroup.min((lanes as usize * outputs.next_power_of_two()).max(32) as u32).max(lanes);
    Lanes::new(workgroup, lanes, outputs)
}

/// How many parts the terms of each output are cut into, where a launch of one part has so many workgroups: 1 where
/// these fill a GPU, or where an output has fewer than four times the terms that a part has at least. A software
/// driver runs few workgroups at a time, and another dispatch costs it more than it saves.
pub fn split(workgroups: u64, terms: usize, least: usize, target: &GpuTarget) -> usize {
    if target.software || workgroups == 0 || workgroups >= FULL || terms < 4 * least {
        return 1;
    }
    terms.div_ceil(least).min(PARTS.div_ceil(workgroups) as usize)
}
