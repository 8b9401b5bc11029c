//! Large pages: a processor keeps the places of some thousand pages at hand, which are a few megabytes of small ones, and looks up every
//! other page in memory (twice over in a virtual machine).
use super::arguments::addresses;
use memmap2::Mmap;
use napi::Result;
use napi::bindgen_prelude::Uint8ArraySlice as Bytes;
use napi_derive::napi;

/// Asks the system to back memory that has not been touched yet with large pages. It may do so or not.
#[napi(catch_unwind)]
pub fn prefer_large_pages(memory: Bytes) -> Result<()> {
    let range = addresses(&memory);
    #[cfg(not(target_os = "linux"))]
    let _ = range;
    #[cfg(target_os = "linux")]
    // SAFETY: pages of memory that JavaScript holds during this call, and of what its allocator has beside it; the advice changes nothing
    // of what they contain.
    unsafe {
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
        // From the first page on, where the allocator has some words of its own: without it the first large page would not be whole.
        let (begin, end) = (range.start / page * page, range.end / page * page);
        if begin < end {
            libc::madvise(std::ptr::with_exposed_provenance_mut(begin), end - begin, libc::MADV_HUGEPAGE);
        }
    }
    Ok(())
}

/// The same of a mapped file: what of it is not in memory yet is then read in large pages, if its file system can.
pub fn map_in_large_pages(file: &Mmap) {
    #[cfg(target_os = "linux")]
    let _ = file.advise(memmap2::Advice::HugePage);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
