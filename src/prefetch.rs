//! Calling memory into the cache before it is read: what a batch of queries needs comes all at once, not one after the other.
#![deny(clippy::disallowed_methods)]
#![expect(unsafe_code, reason = "no safe function of the standard library has the instruction")]

/// Calls the cache line of an element, if there is such an element. It changes nothing but time.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    if let Some(element) = slice.get(index) {
        let pointer = std::ptr::from_ref(element).cast::<i8>();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction reads nothing that the program sees, and faults at no address (Intel SDM, PREFETCHh).
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(pointer);
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above (Arm ARM, PRFM); it changes no register and no flag.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _nothing = pointer;
    }
}
