//! A cache of compiled pipelines on disk, for drivers that support it (Vulkan pipeline caches).
//!
//! The files are in the cache directory (`cache_dir.rs`). A file that is stale, damaged or of another adapter is ignored. Files can
//! be deleted safely: the pipelines are then compiled again.

use super::cache_dir;
use std::path::PathBuf;

/// The magic number at the start of a file. The length and checksum of the data follow, eight bytes each, then the
/// data.
const MAGIC: &[u8; 8] = b"wgradPC1";
const HEADER: usize = 24;

/// The pipeline cache of a device and its file.
#[derive(Debug)]
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
    key: String,
    /// The checksum of the data that was read: unchanged data is not written again.
    read: Option<u64>,
}

impl PipelineCache {
    /// Opens the cache of a device; `None` if the backend does not support it or there is no directory for it.
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> Option<PipelineCache> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let name = wgpu::util::pipeline_cache_key(adapter)?;
        let file = cache_dir::path()?.join(&name);
        let key = format!("{name} {} {} {}", adapter.driver, adapter.driver_info, env!("CARGO_PKG_VERSION"));
        let data = std::fs::read(&file).ok().and_then(|bytes| unpack(&bytes, &key).map(<[u8]>::to_vec));
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgrad"), data: data.as_deref(), fallback: true };
        // SAFETY: the data must come from `PipelineCache::get_data` on an adapter with the same key. Only `drop` below
        // writes such a file, from `get_data`, under a temporary name that is renamed when complete; `unpack` accepts
        // it only with its magic number, its length, and a checksum of the data and the key, which names the adapter,
        // its driver's version and this crate's version. wgpu and the driver also validate the data's own header.
        #[allow(unsafe_code)]
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        let read = data.map(|data| checksum(&data, &key));
        Some(PipelineCache { cache, file, key, read })
    }

    /// The cache, for building pipelines.
    pub(super) fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }
}

impl Drop for PipelineCache {
    /// Writes the cache if it has changed. A failed write is not an error.
    fn drop(&mut self) {
        if let Some(data) = self.cache.get_data()
            && self.read != Some(checksum(&data, &self.key))
        {
            let _ = cache_dir::write(&self.file, &pack(&data, &self.key));
        }
    }
}

/// FNV-1a over the key and the data.
fn checksum(data: &[u8], key: &str) -> u64 {
    let bytes = key.bytes().chain([0]).chain(data.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn pack(data: &[u8], key: &str) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend((data.len() as u64).to_le_bytes());
    out.extend(checksum(data, key).to_le_bytes());
    out.extend(data);
    out
}

/// The data of a file; `None` unless it is a complete file with this key.
fn unpack<'b>(bytes: &'b [u8], key: &str) -> Option<&'b [u8]> {
    let (header, data) = bytes.split_at_checked(HEADER)?;
    let word = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let whole = header.starts_with(MAGIC) && word(8) == Some(data.len() as u64);
    (whole && word(16) == Some(checksum(data, key))).then_some(data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_files_with_the_same_key_are_read() {
        let file = pack(b"pipelines", "adapter 1");
        assert_eq!(unpack(&file, "adapter 1"), Some(&b"pipelines"[..]));
        assert_eq!(unpack(&file, "adapter 2"), None);
        for cut in 0..file.len() {
            assert_eq!(unpack(&file[..cut], "adapter 1"), None);
            let mut damaged = file.clone();
            damaged[cut] ^= 1;
            assert_eq!(unpack(&damaged, "adapter 1"), None);
        }
        assert_eq!(unpack(&[file, vec![0]].concat(), "adapter 1"), None);
    }
}
